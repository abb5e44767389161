//! Taking the package transaction back: the undo kind `package-set`.
//!
//! Purged is exactly what the transaction brought in. Where something that came since needs one of our packages, that
//! one is kept and told. Upgrades go back to their old versions, marks to what they were, and what maintainer scripts
//! left goes by the rule of [`side_effects`](super::side_effects).

use super::database::{Database, Known};
use super::guard::release_guard;
use super::health::{Ailments, Healing, heal};
use super::locks::wait_for_locks;
use super::record::{Before, Record, Settled, Upgrade, bad};
use super::removal::{self, Removal};
use super::set::mark;
use super::side_effects::{Pictures, is_accounts};
use super::simulation::Simulation;
use super::traces::Traces;
use super::tree::{Node, Tree};
use super::{apt, begun, purge, treasure};
use crate::base::count::counted;
use crate::base::digest::Digest;
use crate::base::paths;
use crate::engine::undo::{Heirs, Wishes};
use crate::engine::{Context, Error, Event, Outcome, Result, Scope, Undo, UndoRecord};
use crate::host::Attributes;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What is left to do once `packages` are gone, also when an earlier run purged them and died: their data, what their
/// programs left in the kernel, their units.
fn tidy(context: &Context<'_>, traces: &Traces, packages: &BTreeSet<String>) -> Result<()> {
    let host = context.host;
    let now = Database::read(host)?;
    let is_gone = |n: &&String| !now.known(n).is_some_and(Known::is_present);
    let gone: BTreeSet<String> = packages.iter().filter(is_gone).cloned().collect();
    treasure::tidy(host, &gone, &traces.present)?;
    traces.put_back(host, &gone)?;
    if purge::has_systemd(host)? && !gone.is_empty() {
        purge::systemctl(host, &["daemon-reload"], &[])?;
    }
    Ok(())
}

impl Record {
    /// Brings dpkg in order before anything is undone. What scripts did meanwhile belongs to what they did before.
    fn heal(&self, context: &Context<'_>, settled: Option<Settled>) -> Result<Settled> {
        let is_broken = Ailments::are_there(context.host)?;
        let broken = if is_broken { Some(Tree::see(context.host, &self.foreign)?) } else { None };
        match heal(context.host, context.progress, Healing { patience: context.patience, holds_services: true }) {
            Ok(_) => {}
            // What is broken may be just what goes now.
            Err(error @ Error::Refused { code: "dpkg-broken", .. }) => {
                let line = error.to_string();
                context.progress.tell(&Event::Note { line: &line });
            }
            Err(error) => return Err(error),
        }
        match (settled, broken) {
            (None, _) => self.see_settled(context),
            (Some(settled), None) => Ok(settled),
            (Some(mut settled), Some(broken)) => {
                settled.follow(context, &broken, &Tree::see(context.host, &self.foreign)?)?;
                Ok(settled)
            }
        }
    }

    /// Those of `names` that are there, in whatever state.
    fn present(database: &Database, names: impl Iterator<Item = String>) -> BTreeSet<String> {
        names.filter(|n| database.known(n).is_some_and(|p| p.is_present())).collect()
    }

    /// Everything that the record brought goes.
    fn whole_removal(&self, context: &Context<'_>, database: &Database, writes: bool) -> Result<Removal> {
        let mut removal =
            Removal { purge: Record::present(database, self.new.iter().map(|i| i.name.clone())), ..Removal::default() };
        for upgrade in &self.upgrades {
            let old = upgrade.item.old.clone().unwrap_or_default();
            if database.known(&upgrade.item.name).is_none_or(|p| p.version == old) {
                continue;
            }
            match &upgrade.deb {
                Some(digest) if writes => removal.downgrade.push(self.deb(context, upgrade, &old, digest)?),
                _ if upgrade.item.old_is_gone && upgrade.deb.is_none() => {
                    removal.kept.push(format!(
                        "{} stays at {}: no archive has {old} any more",
                        upgrade.item.name, upgrade.item.version
                    ));
                }
                _ => removal.downgrade.push(format!("{}={old}", upgrade.item.name)),
            }
        }
        removal.shrink(context, database)?;
        Ok(removal)
    }

    /// The old version's file, taken out of the store for apt.
    fn deb(&self, context: &Context<'_>, upgrade: &Upgrade, old: &str, digest: &Digest) -> Result<String> {
        let dir = Path::new(paths::CACHE).join("debs");
        for dir in [Path::new(paths::CACHE), &dir] {
            if context.host.meta(dir)?.is_none() {
                context.host.make_directory(dir, &Attributes::root(paths::CACHE_MODE))?;
            }
        }
        let bare = upgrade.item.name.split(':').next().unwrap_or_default();
        let path = dir.join(format!("{bare}_{}_{}.deb", old.replace(':', "%3a"), upgrade.item.architecture));
        context.host.write(&path, &context.objects.get(digest)?, &Attributes::root(0o644))?;
        Ok(path.display().to_string())
    }

    /// The packages of the record that nothing would need any more without `module`, according to apt.
    fn module_removal(&self, context: &Context<'_>, database: &Database) -> Result<Removal> {
        let options =
            ["-o", "APT::AutoRemove::RecommendsImportant=false", "-o", "APT::AutoRemove::SuggestsImportant=false"];
        let args = ["--purge", "autoremove"].map(str::to_owned).into();
        let (_, output) = removal::simulate(context.host, database, &options, args)?;
        if output.code != 0 {
            return Err(removal::refusal(&output));
        }
        let new: BTreeSet<&String> = self.new.iter().map(|i| &i.name).collect();
        let gone = Simulation::parse(&output.text()).remove.into_iter().filter(|n| new.contains(n));
        let mut removal = Removal { purge: Record::present(database, gone), ..Removal::default() };
        removal.shrink(context, database)?;
        Ok(removal)
    }

    /// Puts the marks back that the transaction changed.
    fn restore_marks(&self, context: &Context<'_>) -> Result<()> {
        let database = Database::read(context.host)?;
        let claimed = self
            .claims
            .values()
            .flatten()
            .filter(|(_, b)| matches!(b, Before::Installed { auto: true, .. }))
            .map(|(n, _)| n);
        let upgraded = self.upgrades.iter().filter(|u| u.auto).map(|u| &u.item.name);
        let auto: BTreeSet<String> =
            claimed.chain(upgraded).filter(|n| database.installed(n).is_some_and(|p| !p.auto)).cloned().collect();
        mark(context.host, "auto", &auto.into_iter().collect::<Vec<_>>())
    }

    /// Which undo this is, for one that goes on where it was cut off.
    fn id(&self, scope: &Scope) -> Result<Digest> {
        let record = serde_json::to_string(self).map_err(|e| bad(&e))?;
        Ok(Digest::of(format!("{scope:?} {record}").as_bytes()))
    }

    fn undo_whole(&self, context: &Context<'_>, settled: &Settled) -> Result<Outcome> {
        let host = context.host;
        let database = Database::read(host)?;
        let mut removal = self.whole_removal(context, &database, true)?;
        let before = match &self.tree {
            Some(digest) => Tree::kept(context.objects, digest)?,
            None => Tree::default(),
        };
        let had_work = !removal.is_empty();
        let present = begun::picture(host, &self.id(&Scope::Whole)?, &self.foreign, &settled.changes, had_work)?;
        let copied = self.keep_copies(context, settled, &present)?;
        if had_work {
            removal.run(context, &database, &self.traces, &settled.tables)?;
        }
        tidy(context, &self.traces, &self.new.iter().map(|i| i.name.clone()).collect())?;
        self.restore_marks(context)?;
        let mut accounts_after = BTreeMap::new();
        for path in settled.changes.keys().filter(|p| is_accounts(p)) {
            if let Some(Some(Node::File { digest: Some(digest), .. })) = settled.changes.get(path) {
                let text = String::from_utf8_lossy(&context.objects.get(digest)?).into_owned();
                accounts_after.insert(path.clone(), text);
            }
        }
        let purged = Tree::see(host, &self.foreign)?;
        let is_back = purged.nodes == before.nodes;
        if !is_back && self.tree.is_some() {
            let pictures = Pictures {
                before: &before,
                after: &settled.changes,
                accounts_after: &accounts_after,
                present: &present,
                purged: &purged,
                spared: &treasure::settings(host)?,
            };
            removal.kept.extend(pictures.restore(host)?);
        }
        removal.kept.extend(self.tell_copies(context, &copied)?);
        Ok(if !removal.kept.is_empty() {
            Outcome::Kept(removal.kept)
        } else if had_work || !is_back {
            Outcome::Undone
        } else {
            Outcome::AlreadyGone
        })
    }

    /// Copies of the files that someone changed since, before a purge may remove them: nothing is lost. Returns their
    /// paths, each with its copy's.
    fn keep_copies(&self, context: &Context<'_>, settled: &Settled, present: &Tree) -> Result<Vec<(PathBuf, PathBuf)>> {
        let is_changed = |(path, after): &(&PathBuf, &Option<Node>)| {
            let differs = matches!((present.nodes.get(*path), after), (Some(n), Some(a)) if !n.same_content(a));
            differs && !is_accounts(path) && !is_generated(path)
        };
        let mut copied = Vec::new();
        for (path, _) in settled.changes.iter().filter(is_changed) {
            let (Some(content), Some(node)) = (present.content(path), present.nodes.get(path)) else {
                continue;
            };
            let copy = kept_copy(path, content);
            for dir in copy.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
                if context.host.meta(dir)?.is_none() {
                    context.host.make_directory(dir, &Attributes::root(0o700))?;
                }
            }
            let attributes = node.attributes().cloned().unwrap_or_else(|| Attributes::root(0o600));
            context.host.write(&copy, content, &attributes)?;
            copied.push((path.clone(), copy));
        }
        Ok(copied)
    }

    /// Removes the copies of files that are still there; tells the others.
    fn tell_copies(&self, context: &Context<'_>, copied: &[(PathBuf, PathBuf)]) -> Result<Vec<String>> {
        let mut kept = Vec::new();
        for (path, copy) in copied {
            if context.host.meta(path)?.is_some() {
                context.host.remove(copy)?;
            } else {
                kept.push(format!(
                    "{} went with its package, but someone had changed it: a copy is {}",
                    path.display(),
                    copy.display()
                ));
            }
        }
        Ok(kept)
    }

    fn undo_part(&self, context: &Context<'_>, scope: &Scope, mut settled: Settled) -> Result<Outcome> {
        let host = context.host;
        let rest = Record::without(self, scope);
        if rest == *self {
            return Ok(Outcome::AlreadyGone);
        }
        let database = Database::read(host)?;
        let was_manual = |b: &Before| matches!(b, Before::Installed { auto: false, .. });
        let dropped = self.only_in(scope).into_iter().filter(|(_, b)| !was_manual(b)).map(|(n, _)| n);
        let auto: Vec<String> = dropped.filter(|n| database.installed(n).is_some_and(|p| !p.auto)).cloned().collect();
        mark(host, "auto", &auto)?;
        let mut removal = self.module_removal(context, &Database::read(host)?)?;
        let present = begun::picture(host, &self.id(scope)?, &self.foreign, &settled.changes, !removal.is_empty())?;
        if !removal.is_empty() {
            let copied = self.keep_copies(context, &settled, &present)?;
            removal.run(context, &database, &self.traces, &settled.tables)?;
            tidy(context, &self.traces, &removal.purge)?;
            removal.kept.extend(self.tell_copies(context, &copied)?);
        }
        // What the purge itself changed is ours: the rest of the record goes on from there.
        let purged = Tree::see(host, &self.foreign)?;
        settled.follow(context, &present, &purged)?;
        for line in &removal.kept {
            context.progress.tell(&Event::Note { line });
        }
        let mut rest = rest;
        rest.new.retain(|i| !removal.purge.contains(&i.name));
        (rest.settled, rest.resumed) = (Some(settled), None);
        Ok(Outcome::Partly(rest.to_undo_record()?))
    }
}

/// Named by its content, too: the copy of an earlier rollback is neither overwritten nor removed.
fn kept_copy(path: &Path, content: &[u8]) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let path = path.with_file_name(format!("{}-{name}", Digest::of(content).short()));
    Path::new(paths::KEPT).join("packages").join(path.strip_prefix("/").unwrap_or(&path))
}

/// Files that programs write by themselves from others; a copy of them is nobody's loss.
fn is_generated(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.ends_with(".cache") || name.starts_with("/etc/ssl/certs") || name.starts_with("/etc/alternatives")
}

impl Undo for Record {
    fn without(&self, scope: &Scope) -> Result<Option<UndoRecord>> {
        match self.is_whole(scope) {
            true => Ok(None),
            false => Record::without(self, scope).to_undo_record().map(Some),
        }
    }

    fn wishes(&self) -> Wishes {
        let names = |module: &String| self.claims.get(module).into_iter().flat_map(|claims| claims.keys()).cloned();
        self.modules().into_iter().map(|module| (module.clone(), names(module).collect())).collect()
    }

    fn hand_over(&self, leaving: &str, wishes: &Wishes) -> Result<Option<(UndoRecord, Heirs)>> {
        let left = self.only_of(leaving);
        let (mut record, mut heirs) = (self.clone(), Heirs::new());
        for (module, names) in wishes.iter().filter(|(module, _)| *module != leaving) {
            for (name, before) in left.iter().filter(|(name, _)| names.contains(**name)) {
                record.claims.entry(module.clone()).or_default().insert((*name).clone(), (*before).clone());
                heirs.entry(module.clone()).or_insert_with(Vec::new).push((*name).clone());
            }
        }
        Ok(if heirs.is_empty() { None } else { Some((record.to_undo_record()?, heirs)) })
    }

    fn describe(&self, context: &Context<'_>, scope: &Scope) -> Result<Vec<String>> {
        let database = Database::read(context.host)?;
        let mut lines = Vec::new();
        let removal = match scope {
            Scope::Module(_) | Scope::Names(..) if !self.is_whole(scope) => {
                let was_manual = |b: &Before| matches!(b, Before::Installed { auto: false, .. });
                let dropped = self.only_in(scope).into_iter().filter(|(_, b)| !was_manual(b));
                let names: Vec<String> = dropped.map(|(name, _)| name.clone()).collect();
                if !names.is_empty() {
                    lines.push(format!("no longer wanted: {}; they go with what only they need", names.join(", ")));
                }
                let purge =
                    Record::present(&database, names.into_iter().filter(|n| self.new.iter().any(|i| i.name == *n)));
                Removal { purge, ..Removal::default() }
            }
            _ => self.whole_removal(context, &database, false)?,
        };
        if !removal.purge.is_empty() {
            let names = removal.purge.iter().cloned().collect::<Vec<_>>().join(", ");
            lines.push(format!("purge {}: {names}", counted(removal.purge.len(), "package")));
        }
        lines.extend(removal.downgrade.iter().map(|d| format!("put back {d}")));
        lines.extend(treasure::told(context.host, &removal.purge)?);
        lines.extend(removal.kept);
        Ok(lines)
    }

    fn undo(&self, context: &Context<'_>, scope: &Scope, after: Option<&Value>) -> Result<Outcome> {
        let (host, progress) = (context.host, context.progress);
        apt::adopt(host, progress, context.patience)?;
        wait_for_locks(host, progress, context.patience)?;
        let settled = self.heal(context, self.settled(after)?)?;
        release_guard(host)?;
        let ended = match scope {
            Scope::Module(_) | Scope::Names(..) if !self.is_whole(scope) => self.undo_part(context, scope, settled),
            _ => self.undo_whole(context, &settled),
        };
        begun::end(host)?;
        ended
    }

    /// What maintainer scripts did, once nobody works on the packages any more.
    fn settle(&self, context: &Context<'_>) -> Result<Option<Value>> {
        apt::adopt(context.host, context.progress, context.patience)?;
        serde_json::to_value(self.see_settled(context)?).map(Some).map_err(|e| bad(&e))
    }

    fn renew(&self, context: &Context<'_>) -> Result<bool> {
        self.make_anew(context)
    }

    fn may_wait(&self) -> bool {
        true
    }

    fn extend(&self, context: &Context<'_>, after: Option<&Value>, newer: &UndoRecord) -> Result<Option<UndoRecord>> {
        self.gone_on(context, after, newer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_two_versions_of_a_file_are_two_files() {
        let copy = |content: &[u8]| kept_copy(Path::new("/etc/docker/daemon.json"), content);
        assert_ne!(copy(b"one"), copy(b"two"));
        assert!(copy(b"one").starts_with(Path::new(paths::KEPT).join("packages/etc/docker")));
    }
}
