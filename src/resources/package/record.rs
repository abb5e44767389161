//! The undo record of the package transaction, of the kind `package-set`: what was there before, what came, and what
//! maintainer scripts did.

use super::guard::held_units;
use super::resumed::Resumed;
use super::side_effects::{is_accounts, overlay};
use super::simulation::Item;
use super::traces::{Traces, tables};
use super::tree::{Changes, Node, Tree};
use crate::base::digest::Digest;
use crate::engine::{Context, Debt, DebtKind, Error, Result, Scope, Undo, UndoRecord};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The kind of record.
pub const KIND: &str = "package-set";

/// What a claimed package was before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "was", rename_all = "snake_case")]
pub enum Before {
    /// Not installed.
    Absent,
    /// Installed.
    Installed {
        /// In this version.
        version: String,
        /// As a dependency.
        auto: bool,
    },
}

/// A package that was upgraded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// What it was and what it became.
    #[serde(flatten)]
    pub item: Item,
    /// It came in as a dependency.
    #[serde(default)]
    pub auto: bool,
    /// The old version's file in the object store, where apt still had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deb: Option<Digest>,
}

/// What maintainer scripts did, seen right after the transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The paths that they changed. The content of account files is in the object store.
    #[serde(default)]
    pub changes: Changes,
    /// The packet filter's tables.
    #[serde(default)]
    pub tables: Vec<String>,
    /// The starts that are owed to units which were held back. The engine puts them into its books.
    #[serde(default)]
    pub debts: Vec<Debt>,
}

impl Settled {
    /// All that is different in `now`, and the packet filter's tables then.
    fn between(context: &Context<'_>, before: &Tree, now: &Tree, tables: Vec<String>) -> Result<Settled> {
        let mut settled = Settled { tables, ..Settled::default() };
        settled.follow(context, before, now)?;
        Ok(settled)
    }

    /// Goes on from `from` to `to`, where what happened between the two is ours: paths that nobody else changed, and the
    /// entries of account files.
    pub(super) fn follow(&mut self, context: &Context<'_>, from: &Tree, to: &Tree) -> Result<()> {
        for (path, now) in from.changes_to(to) {
            let is_ours = self.changes.get(&path).is_none_or(|after| from.nodes.get(&path) == after.as_ref());
            let now = match (is_accounts(&path), is_ours) {
                (false, true) => now,
                (false, false) => continue,
                (true, true) => {
                    to.content(&path).map(|content| context.objects.put(content)).transpose()?;
                    now
                }
                (true, false) => match self.entries(context, &path, from, to)? {
                    Some(node) => Some(node),
                    None => continue,
                },
            };
            self.changes.insert(path, now);
        }
        Ok(())
    }

    /// The account file at `path` as it was known, with the entries that changed between `from` and `to`.
    fn entries(&self, context: &Context<'_>, path: &Path, from: &Tree, to: &Tree) -> Result<Option<Node>> {
        let Some(Some(Node::File { digest: Some(digest), .. })) = self.changes.get(path) else { return Ok(None) };
        let (Some(from), Some(now)) = (from.content(path), to.content(path)) else { return Ok(None) };
        let Some(attributes) = to.nodes.get(path).and_then(Node::attributes) else { return Ok(None) };
        let text = |content: &[u8]| String::from_utf8_lossy(content).into_owned();
        let text = overlay(&text(&context.objects.get(digest)?), &text(from), &text(now));
        let digest = context.objects.put(text.as_bytes())?;
        Ok(Some(Node::File { attributes: attributes.clone(), digest: Some(digest), stamp: None }))
    }
}

/// The record, version 1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What each module claimed, and what that was before.
    #[serde(default)]
    pub claims: BTreeMap<String, BTreeMap<String, Before>>,
    /// The modules that wanted security updates.
    #[serde(default)]
    pub security: BTreeSet<String>,
    /// Packages that were not there before.
    #[serde(default)]
    pub new: Vec<Item>,
    /// Packages that were there in older versions.
    #[serde(default)]
    pub upgrades: Vec<Upgrade>,
    /// The picture of the host before, in the object store.
    #[serde(default)]
    pub tree: Option<Digest>,
    /// What there was before of what the packages' programs leave.
    #[serde(default)]
    pub traces: Traces,
    /// Paths that belong to other resources.
    #[serde(default)]
    pub foreign: BTreeSet<PathBuf>,
    /// The boot of the host in which it began (boot_id of proc_sys_kernel(5)).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub boot: String,
    /// What maintainer scripts did, as far as it is still to be taken back; once a part was undone it stands here and
    /// not with the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
    /// Where it went on, when the step was cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Resumed>,
}

/// Reads a record of any released version.
pub fn decode(version: u32, data: &Value) -> Result<Box<dyn Undo>> {
    Ok(Box::new(read(version, data)?))
}

fn read(version: u32, data: &Value) -> Result<Record> {
    if version != 1 {
        return Err(Error::UnknownRecord { kind: KIND.to_owned(), version });
    }
    serde_json::from_value(data.clone()).map_err(|e| bad(&e))
}

/// The packages that a step brought, `name version`; none where it is a step of another kind.
pub fn brought(record: &UndoRecord) -> Vec<String> {
    let read = if record.kind == KIND { read(record.version, &record.data).ok() } else { None };
    let Some(read) = read else { return Vec::new() };
    let items = read.new.iter().chain(read.upgrades.iter().map(|upgrade| &upgrade.item));
    items.map(|item| format!("{} {}", item.name, item.version)).collect()
}

pub(super) fn bad(error: &serde_json::Error) -> Error {
    Error::BadRecord { kind: KIND.to_owned(), why: error.to_string() }
}

impl Record {
    /// As the journal keeps it.
    pub fn to_undo_record(&self) -> Result<UndoRecord> {
        Ok(UndoRecord::new(KIND, serde_json::to_value(self).map_err(|e| bad(&e))?))
    }

    /// What maintainer scripts did, as it was seen; `None` when the step never came to that.
    pub(super) fn settled(&self, after: Option<&Value>) -> Result<Option<Settled>> {
        match (&self.settled, after) {
            (Some(settled), _) => Ok(Some(settled.clone())),
            (None, Some(value)) => serde_json::from_value(value.clone()).map(Some).map_err(|e| bad(&e)),
            (None, None) => Ok(None),
        }
    }

    /// What maintainer scripts did, seen now: the difference to the picture from before, or, when the step went on after
    /// it was cut off, to the one from which it went on.
    pub(super) fn see_settled(&self, context: &Context<'_>) -> Result<Settled> {
        let Some(digest) = &self.tree else { return Ok(Settled::default()) };
        let before = Tree::kept(context.objects, digest)?;
        let mut settled = match &self.resumed {
            Some(resumed) => resumed.see_settled(context, &self.foreign)?,
            None => {
                Settled::between(context, &before, &Tree::see(context.host, &self.foreign)?, tables(context.host)?)?
            }
        };
        settled.debts = held_units(context.host)?.into_iter().map(|unit| Debt::new(DebtKind::Start, unit)).collect();
        settled
            .changes
            .retain(|path, node| before.nodes.contains_key(path) || !self.is_made_beside(path, node.as_ref()));
        Ok(settled)
    }

    /// One record of this step, which was cut off, and of `newer`, with which it goes on.
    pub(super) fn gone_on(
        &self,
        context: &Context<'_>,
        after: Option<&Value>,
        newer: &UndoRecord,
    ) -> Result<UndoRecord> {
        let newer = read(newer.version, &newer.data)?;
        let settled = match (self.settled(after)?, &self.tree, &newer.tree) {
            (Some(settled), ..) => settled,
            // Nobody looked when it was found cut off: all that happened until now counts as ours.
            (None, Some(before), Some(now)) if self.resumed.is_none() => {
                let (before, now) = (Tree::kept(context.objects, before)?, Tree::kept(context.objects, now)?);
                Settled::between(context, &before, &now.without(&self.foreign), newer.traces.tables.clone())?
            }
            (None, ..) => self.see_settled(context)?,
        };
        self.extended(context, settled, newer)?.to_undo_record()
    }

    /// A directory that is there for what other resources, at the same time, put into it: theirs to take away.
    fn is_made_beside(&self, path: &Path, node: Option<&Node>) -> bool {
        let mut foreign = self.foreign.iter().chain(self.resumed.iter().flat_map(|resumed| &resumed.foreign));
        matches!(node, Some(Node::Directory { .. })) && foreign.any(|f| f != path && f.starts_with(path))
    }

    /// The modules that share this record.
    pub(super) fn modules(&self) -> BTreeSet<&String> {
        self.claims.keys().chain(&self.security).collect()
    }

    /// All of it, or all that is left of it, goes.
    pub(super) fn is_whole(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Whole => true,
            Scope::Module(module) => self.modules().into_iter().all(|m| m == module),
            Scope::Names(module, names) => {
                let is_all = |(m, claims): (&String, &BTreeMap<String, Before>)| {
                    m == module && claims.keys().all(|name| names.contains(name))
                };
                self.security.is_empty() && self.claims.iter().all(is_all)
            }
        }
    }

    /// The rest of the record once `scope` has gone.
    pub(super) fn without(&self, scope: &Scope) -> Record {
        let mut rest = self.clone();
        match scope {
            Scope::Whole => rest = Record::default(),
            Scope::Module(module) => {
                rest.claims.remove(module);
                rest.security.remove(module);
            }
            Scope::Names(module, names) => {
                if let Some(claims) = rest.claims.get_mut(module) {
                    claims.retain(|name, _| !names.contains(name));
                }
                rest.claims.retain(|_, claims| !claims.is_empty());
            }
        }
        rest
    }

    /// What of a scope nobody else asked for.
    pub(super) fn only_in(&self, scope: &Scope) -> BTreeMap<&String, &Before> {
        match scope {
            Scope::Whole => self.claims.values().flatten().collect(),
            Scope::Module(module) => self.only_of(module),
            Scope::Names(module, names) => {
                self.only_of(module).into_iter().filter(|(name, _)| names.contains(*name)).collect()
            }
        }
    }

    /// What only `module` asked for.
    pub(super) fn only_of(&self, module: &str) -> BTreeMap<&String, &Before> {
        let others: BTreeSet<&String> =
            self.claims.iter().filter(|(m, _)| *m != module).flat_map(|(_, c)| c.keys()).collect();
        self.claims.get(module).into_iter().flatten().filter(|(n, _)| !others.contains(n)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Attributes;
    use serde_json::json;

    #[test]
    fn a_directory_that_holds_what_others_put_there_meanwhile_is_theirs() {
        let record = Record { foreign: BTreeSet::from(["/etc/sysctl.d/x.conf".into()]), ..Record::default() };
        let directory = Node::Directory { attributes: Attributes::root(0o755) };
        assert!(record.is_made_beside(Path::new("/etc/sysctl.d"), Some(&directory)));
        assert!(!record.is_made_beside(Path::new("/etc/docker"), Some(&directory)));
        assert!(!record.is_made_beside(Path::new("/etc/sysctl.d"), None));
    }

    #[test]
    fn a_record_of_version_1_is_read_and_a_later_one_refused() {
        let data = json!({
            "claims": {"git": {"git": {"was": "absent"}, "jq": {"was": "installed", "version": "1.7", "auto": true}}, "web": {"jq": {"was": "absent"}}},
            "new": [{"name": "git", "architecture": "amd64", "version": "2.47"}],
            "upgrades": [{"name": "libc6", "architecture": "amd64", "version": "2", "old": "1", "auto": true}],
        });
        assert!(decode(1, &data).is_ok());
        assert!(matches!(decode(2, &data), Err(Error::UnknownRecord { version: 2, .. })));
        let record: Record = serde_json::from_value(data).unwrap();
        assert_eq!(record.only_of("git").into_keys().collect::<Vec<_>>(), ["git"]);
        assert!(!record.is_whole(&Scope::Module("git".into())) && record.is_whole(&Scope::Whole));
        let again: Record = serde_json::from_value(record.to_undo_record().unwrap().data).unwrap();
        assert_eq!(again, record);
    }
}
