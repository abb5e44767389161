//! Taking a change back: records that outlive versions, and the contract of undoing them.

use super::recipe::{Kitchen, Recipe};
use super::{Context, Error, Node, Resource, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

/// What the journal keeps of a step so that it can be taken back: kind, version, JSON. Fields are only ever added, and
/// are optional; every released version still decodes (`tests/compat`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoRecord {
    /// Which decoder reads it.
    pub kind: String,
    /// The version of the data's form, from 1.
    pub version: u32,
    /// What undoing needs.
    pub data: Value,
}

impl UndoRecord {
    /// A record of `kind` in its first form.
    pub fn new(kind: &str, data: Value) -> Self {
        UndoRecord { kind: kind.to_owned(), version: 1, data }
    }
}

/// How much of a step is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    Whole,
    /// Only what this module asked for (of a step that several share).
    Module(String),
    /// Only these things, by name, that this module asked for (of a step that several share).
    Names(String, BTreeSet<String>),
}

/// How undoing one step ended. A failure is an `Err`, and the rollback goes on to the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Taken back.
    Undone,
    /// Nothing was there to take back: as good.
    AlreadyGone,
    /// Someone changed it after us: left alone, or its copy kept. The lines say what and where.
    Kept(Vec<String>),
    /// A part is taken back; this record undoes the rest.
    Partly(UndoRecord),
}

/// What modules want of a thing that they share, by name: of the packages, which.
pub type Wishes = BTreeMap<String, BTreeSet<String>>;

/// What each module takes over of a thing that another one leaves, by name.
pub type Heirs = BTreeMap<String, Vec<String>>;

/// A decoded undo record.
pub trait Undo: Send + Debug {
    /// What undoing would do now, one line each, for `rollback --dry-run`. Reads only.
    fn describe(&self, context: &Context<'_>, scope: &Scope) -> Result<Vec<String>>;

    /// Takes the change back. Doing it twice is harmless; what is already gone is success. `after` is what
    /// [`settle`](Undo::settle) returned when the step was applied, when it came to that.
    fn undo(&self, context: &Context<'_>, scope: &Scope, after: Option<&Value>) -> Result<Outcome>;

    /// Called once after the step was applied (by recovery, when a crash came between): what there is to remember
    /// that was not known before, such as the files that maintainer scripts made.
    fn settle(&self, _context: &Context<'_>) -> Result<Option<Value>> {
        Ok(None)
    }

    /// Called by recovery on a step that was cut off, before anything else is done with it: makes anew what a loss of
    /// power may have taken from what the step had made by then, where nothing shows that it is missing. Returns whether
    /// it changed something.
    fn renew(&self, _context: &Context<'_>) -> Result<bool> {
        Ok(false)
    }

    /// Whether it may have to wait for others on this host, as for whoever works with packages. What needs no such wait
    /// is taken back first when people must be let in again.
    fn may_wait(&self) -> bool {
        false
    }

    /// What each module asked for, of a thing that several share.
    fn wishes(&self) -> Wishes {
        Wishes::new()
    }

    /// The record of what is left once `scope` has gone; `None` where nothing is, or no part can go alone.
    fn without(&self, _scope: &Scope) -> Result<Option<UndoRecord>> {
        Ok(None)
    }

    /// The same record with modules of `wishes` in it that want what `leaving` alone had asked for, and what each of them
    /// takes over; `None` when none does.
    fn hand_over(&self, _leaving: &str, _wishes: &Wishes) -> Result<Option<(UndoRecord, Heirs)>> {
        Ok(None)
    }

    /// Called when a step that was cut off goes on in its own transaction: one record of this one and of `newer`, which
    /// was captured just now, on the host as the cut-off change left it and with what others changed since. `after` is
    /// what [`settle`](Undo::settle) had returned when that was found. `None`: the kind needs no such record, and each
    /// of the two steps is taken back by itself, the newer one first.
    fn extend(
        &self,
        _context: &Context<'_>,
        _after: Option<&Value>,
        _newer: &UndoRecord,
    ) -> Result<Option<UndoRecord>> {
        Ok(None)
    }
}

/// Reads one kind of record, of any released version.
pub type Decode = fn(version: u32, data: &Value) -> Result<Box<dyn Undo>>;

/// All kinds of undo records that this program can read.
#[derive(Debug, Clone, Default)]
pub struct Undoers {
    kinds: BTreeMap<&'static str, Decode>,
    kitchen: Option<Kitchen>,
}

impl Undoers {
    /// With these kinds.
    pub fn new(kinds: &[(&'static str, Decode)]) -> Self {
        Undoers { kinds: kinds.iter().copied().collect(), kitchen: None }
    }

    /// And with how what was taken back is made anew.
    #[must_use]
    pub fn remaking(self, kitchen: Kitchen) -> Self {
        Undoers { kitchen: Some(kitchen), ..self }
    }

    fn kitchen(&self) -> Result<&Kitchen> {
        self.kitchen.as_ref().ok_or_else(|| Error::refused("internal", "make something anew", "nothing is known of it"))
    }

    /// The node of a recipe.
    pub(super) fn remake(&self, context: &Context<'_>, recipe: &Recipe) -> Result<Node> {
        (self.kitchen()?.remake)(context, recipe)
    }

    /// What a resource is now beside its recipe.
    pub(super) fn picture(
        &self,
        context: &Context<'_>,
        resource: &dyn Resource,
        recipe: &mut Recipe,
    ) -> Result<UndoRecord> {
        (self.kitchen()?.picture)(context, resource, recipe)
    }

    /// The kinds, sorted.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.kinds.keys().copied()
    }

    /// The undo of a record; an error when its kind or version is unknown (the host was last changed by a newer
    /// version of the program).
    pub fn decode(&self, record: &UndoRecord) -> Result<Box<dyn Undo>> {
        match self.kinds.get(record.kind.as_str()) {
            Some(decode) => decode(record.version, &record.data),
            None => Err(super::Error::UnknownRecord { kind: record.kind.clone(), version: record.version }),
        }
    }
}
