//! A package step that was cut off and went on: one record of both parts. What was before is what was before the first;
//! what others changed between the two is not ours.

use super::record::{Before, Record, Settled};
use super::traces::tables;
use super::tree::Tree;
use crate::base::digest::Digest;
use crate::engine::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where a step that was cut off went on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// What was ours by then.
    #[serde(default)]
    pub settled: Settled,
    /// The picture of the host from which it went on, in the object store.
    #[serde(default)]
    pub tree: Option<Digest>,
    /// The packet filter's tables then.
    #[serde(default)]
    pub tables: Vec<String>,
    /// Paths that belonged to other resources from then on.
    #[serde(default)]
    pub foreign: BTreeSet<PathBuf>,
}

impl Resumed {
    /// What is ours by now: what was then, and what happened since. `foreign`: the paths that never were.
    pub(super) fn see_settled(&self, context: &Context<'_>, foreign: &BTreeSet<PathBuf>) -> Result<Settled> {
        let mut settled = self.settled.clone();
        for table in tables(context.host)? {
            if !self.tables.contains(&table) && !settled.tables.contains(&table) {
                settled.tables.push(table);
            }
        }
        if let Some(digest) = &self.tree {
            let apart = foreign | &self.foreign;
            let from = Tree::kept(context.objects, digest)?.without(&apart);
            settled.follow(context, &from, &Tree::see(context.host, &apart)?)?;
        }
        Ok(settled)
    }
}

impl Record {
    /// This record and `newer`, with which its step goes on, as one. `settled` is what was ours when the step had been
    /// found cut off.
    pub(super) fn extended(&self, context: &Context<'_>, settled: Settled, newer: Record) -> Result<Record> {
        let mut one = self.clone();
        for (module, claims) in newer.claims {
            let ours = one.claims.entry(module).or_default();
            for (name, before) in claims {
                let before = self.known_before(&name).unwrap_or(before);
                ours.entry(name).or_insert(before);
            }
        }
        one.security.extend(newer.security);
        for item in newer.new {
            match one.new.iter_mut().find(|known| known.name == item.name) {
                Some(known) => known.version = item.version,
                // It was there before; that somebody took it away in between doesn't make it ours.
                None if matches!(self.known_before(&item.name), Some(Before::Installed { .. })) => {}
                None => one.new.push(item),
            }
        }
        for upgrade in newer.upgrades {
            let known = one.new.iter_mut().chain(one.upgrades.iter_mut().map(|u| &mut u.item));
            match known.into_iter().find(|item| item.name == upgrade.item.name) {
                Some(item) => item.version = upgrade.item.version,
                None => one.upgrades.push(upgrade),
            }
        }
        let tables = newer.traces.tables.clone();
        one.traces.extend(&self.new.iter().map(|item| item.name.clone()).collect(), newer.traces);
        one.tree = self.tree_with_what_others_did(context, &settled, newer.tree.as_ref(), &newer.foreign)?;
        one.settled = None;
        one.resumed = Some(Resumed { settled, tree: newer.tree, tables, foreign: newer.foreign });
        Ok(one)
    }

    /// What this record knows of a package before it.
    fn known_before(&self, name: &str) -> Option<Before> {
        let claimed = self.claims.values().find_map(|claims| claims.get(name)).cloned();
        let upgraded = || {
            let upgrade = self.upgrades.iter().find(|upgrade| upgrade.item.name == name)?;
            Some(Before::Installed { version: upgrade.item.old.clone().unwrap_or_default(), auto: upgrade.auto })
        };
        let came = || self.new.iter().any(|item| item.name == name).then_some(Before::Absent);
        claimed.or_else(upgraded).or_else(came)
    }

    /// The picture of before, with what others changed between what was ours (`settled`) and the picture `at` from which
    /// the step goes on: taking it back must not take that back.
    fn tree_with_what_others_did(
        &self,
        context: &Context<'_>,
        settled: &Settled,
        at: Option<&Digest>,
        foreign: &BTreeSet<PathBuf>,
    ) -> Result<Option<Digest>> {
        let (Some(before), Some(at)) = (&self.tree, at) else { return Ok(self.tree.clone().or(at.cloned())) };
        let mut tree = Tree::kept(context.objects, before)?;
        let at = Tree::kept(context.objects, at)?.without(&self.foreign);
        let mut theirs = tree.changes_to(&at);
        let is_apart = |path: &Path| foreign.iter().any(|f| path.starts_with(f));
        theirs.retain(|path, _| !settled.changes.contains_key(path) && !is_apart(path));
        if theirs.is_empty() {
            return Ok(Some(before.clone()));
        }
        tree.take_over(theirs, &at);
        tree.keep(context.objects).map(Some)
    }
}
