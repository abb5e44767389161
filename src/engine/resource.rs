//! The contract of a resource: the smallest thing that can be compared, changed, verified and undone.

use super::{Patience, Progress, Recipe, Result, UndoRecord};
use crate::base::ids::ResourceId;
use crate::host::Host;
use crate::journal::Objects;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt::Debug;

/// What is in force on the host for one resource, as its kind writes it. Two equal states are the same state: no
/// times, no pids, nothing that changes by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct State(pub Value);

/// What kind of change is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing to do.
    Keep,
    /// It isn't there and will be.
    Create,
    /// It is there, and not as wanted.
    Update,
    /// It is there and will not be.
    Remove,
}

/// The outcome of comparing what is with what is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
pub struct Change {
    /// What will happen.
    pub action: Action,
    /// One line in the imperative, for the plan: `write 214 bytes, mode 0644`, `enable and start`.
    pub summary: String,
    /// More lines, where one does not do: packages with versions, fields from → to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// A unified diff of the text that changes, where the content is text and not secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// The state that will be in force afterwards. The journal's `after` must equal it: the plan is a promise.
    pub after: State,
    /// This change cannot be taken back; the plan says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub irreversible: bool,
}

impl Change {
    /// Nothing to do: `seen` is what is wanted.
    pub fn keep(seen: &State) -> Self {
        Change {
            action: Action::Keep,
            summary: String::new(),
            details: Vec::new(),
            diff: None,
            after: seen.clone(),
            irreversible: false,
        }
    }

    /// A change with its one line and the state afterwards.
    pub fn new(action: Action, summary: impl Into<String>, after: Value) -> Self {
        Change {
            action,
            summary: summary.into(),
            details: Vec::new(),
            diff: None,
            after: State(after),
            irreversible: false,
        }
    }

    /// Whether something will happen.
    pub fn is_needed(&self) -> bool {
        self.action != Action::Keep
    }
}

/// What a resource may use while it works.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The machine.
    pub host: &'a dyn Host,
    /// The store of pre-images: `put` returns a digest after an fsync.
    pub objects: &'a Objects,
    /// Where progress is told.
    pub progress: &'a dyn Progress,
    /// How others are waited for.
    pub patience: Patience<'a>,
}

/// Something that can be put right and undone.
pub trait Resource: Send + Sync + Debug {
    /// Its name, unique on the host.
    fn id(&self) -> &ResourceId;

    /// What is in force now. Reads only; works on a host where nothing of it exists yet.
    fn observe(&self, host: &dyn Host) -> Result<State>;

    /// What must change for `seen` to be as wanted. Pure: no host.
    fn compare(&self, seen: &State) -> Result<Change>;

    /// Everything that undoing `change` will need; pre-images go to the object store first. Changes nothing else.
    fn capture(&self, context: &Context<'_>, seen: &State, change: &Change) -> Result<UndoRecord>;

    /// Makes the change. After a crash it is called again on a half-made change, with the same `seen` and `change`.
    fn apply(&self, context: &Context<'_>, seen: &State, change: &Change) -> Result<()>;

    /// Whether a step that was cut off is made again with what it had set out from (`before`) and to (`change`), when
    /// `now` is what is there. When that is as promised, for something may be missing that does not show; a kind whose
    /// half-made state shows says so itself. Not where that would write over what somebody else made since.
    fn goes_on(&self, _before: &State, change: &Change, now: &State) -> bool {
        *now == change.after
    }

    /// The room that the change takes: bytes, each with a path on the file system that they are taken from.
    fn room(&self, _seen: &State, _change: &Change) -> Result<Vec<(std::path::PathBuf, u64)>> {
        Ok(Vec::new())
    }

    /// Things that only one resource may do at a time ("dpkg", "accounts", "ufw"): the scheduler keeps them apart.
    fn exclusive(&self) -> &'static [&'static str] {
        &[]
    }

    /// The paths that it owns, for the rule of one owner and for the implicit edges (file under directory).
    fn paths(&self) -> Vec<std::path::PathBuf> {
        Vec::new()
    }

    /// When what it looks after last changed, nanoseconds since the epoch, where the host knows: for people, when it
    /// has drifted.
    fn changed(&self, host: &dyn Host) -> Result<Option<i128>> {
        let mut newest = None;
        for path in self.paths() {
            newest = newest.max(host.meta(&path)?.map(|meta| meta.changed));
        }
        Ok(newest)
    }

    /// The modules that share this resource, when it is more than one (the package transaction).
    fn shared_by(&self) -> Vec<String> {
        Vec::new()
    }

    /// The same resource without what `module` asked of it; `None` when nothing is left. Only for shared ones.
    fn without(&self, _module: &str) -> Option<Box<dyn Resource>> {
        None
    }
}

/// An act owed because something changed: kept in the journal until it is paid.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Debt {
    /// What is owed.
    pub kind: DebtKind,
    /// The unit that it is owed to; empty for [`DebtKind::DaemonReload`].
    pub unit: String,
    /// The unit ran when this was owed: whatever happens, it runs when this is paid.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ran: bool,
    /// When the unit counts as well after the act.
    #[serde(default, skip_serializing_if = "Health::is_default")]
    pub healthy: Health,
}

impl Debt {
    /// An act owed to a unit of which nothing more is known.
    pub fn new(kind: DebtKind, unit: impl Into<String>) -> Self {
        Debt { kind, unit: unit.into(), ran: false, healthy: Health::default() }
    }

    /// One debt of two to the same unit. What its health is asked for is the later one's: that is the configuration in
    /// force.
    pub fn join(&mut self, later: &Debt) {
        self.ran |= later.ran;
        self.healthy.clone_from(&later.healthy);
    }
}

/// When a unit counts as well after it was started, restarted or reloaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Health {
    /// For how many seconds it must run on; the default of the kind `unit` when none is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<u32>,
    /// Within how many seconds its ports must answer; the default of the kind `unit` when none is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<u32>,
    /// The ports at which something must listen: `80`, `53/udp`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
}

impl Health {
    /// Whether nothing is asked but the defaults.
    pub fn is_default(&self) -> bool {
        *self == Health::default()
    }
}

/// What is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DebtKind {
    /// systemd must read its unit files again.
    DaemonReload,
    /// The unit must read its configuration again, if it runs.
    Reload,
    /// The unit must be restarted, if it runs.
    Restart,
    /// The unit was held back while its package was configured, and must be started.
    Start,
}

/// A resource in the graph: who asked for it, and what it waits for.
#[derive(Debug)]
pub struct Node {
    /// The resource.
    pub resource: Box<dyn Resource>,
    /// The module that asked for it.
    pub module: String,
    /// What must be in place before.
    pub needs: Vec<ResourceId>,
    /// What is owed after it changed (and after its change was undone).
    pub notify: Vec<Debt>,
    /// The modules on whose part of it people's way in depends; none when nobody's does.
    pub access: Vec<String>,
    /// Smaller goes first where the graph leaves the choice.
    pub priority: i32,
    /// Where it is written: `file:line` of the manifest, for messages.
    pub origin: String,
    /// What makes it anew; `None` where nothing can.
    pub recipe: Option<Recipe>,
}
