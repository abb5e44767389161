//! Taking back what maintainer scripts did outside of dpkg's knowledge.
//!
//! One rule for every path, from four pictures: *before* the transaction, *after* it, now just before the packages
//! are purged (*present*), and once they are (*purged*). Where present = after, nobody but us touched the path, and it
//! goes back to what it was before, whatever the purge made of it. Where not, someone did: it stays as the purge left
//! it, and we say so. The account files go by the same rule line by line.

use super::tree::{Changes, Node, Tree};
use crate::engine::Result;
use crate::host::{self, Attributes, Host};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Files with one entry a line, its name before the first colon (passwd(5), group(5), shadow(5), subuid(5)).
const ACCOUNTS: [&str; 12] = [
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/subuid",
    "/etc/subgid",
    "/etc/passwd-",
    "/etc/group-",
    "/etc/shadow-",
    "/etc/gshadow-",
    "/etc/subuid-",
    "/etc/subgid-",
];

/// Whether this is a file of accounts, whose entries are looked at one by one.
pub fn is_accounts(path: &Path) -> bool {
    ACCOUNTS.iter().any(|a| path == Path::new(a))
}

/// What is to be done at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Act {
    Remove,
    Put(Node),
    /// What stood there at present, before the purge.
    Back(Node),
    Text(String, Attributes),
}

/// The pictures that decide.
#[derive(Debug)]
pub struct Pictures<'a> {
    /// Before the transaction.
    pub before: &'a Tree,
    /// What was different after it.
    pub after: &'a Changes,
    /// The content of account files after it.
    pub accounts_after: &'a BTreeMap<PathBuf, String>,
    /// Now, before anything is purged.
    pub present: &'a Tree,
    /// Once everything is purged.
    pub purged: &'a Tree,
    /// What stays because people's data needs it.
    pub spared: &'a [PathBuf],
}

impl Pictures<'_> {
    /// What there is to do, and what is left alone because someone changed it.
    fn decide(&self) -> (BTreeMap<PathBuf, Act>, Vec<String>) {
        let (mut acts, mut kept) = (BTreeMap::new(), Vec::new());
        let paths = self
            .before
            .nodes
            .keys()
            .chain(self.after.keys())
            .chain(self.present.nodes.keys())
            .chain(self.purged.nodes.keys());
        let stays = |path: &Path| self.spared.iter().any(|s| path.starts_with(s) || s.starts_with(path));
        for path in paths.filter(|path| !stays(path)).collect::<BTreeSet<_>>() {
            let before = self.before.nodes.get(path);
            let after = self.after.get(path).map_or(before, Option::as_ref);
            let (present, purged) = (self.present.nodes.get(path), self.purged.nodes.get(path));
            if present == after {
                match before {
                    _ if purged == before => {}
                    None => drop(acts.insert(path.clone(), Act::Remove)),
                    Some(node) => drop(acts.insert(path.clone(), Act::Put(node.clone()))),
                }
                continue;
            }
            if let (None, None, Some(theirs), None) = (before, after, present, purged) {
                // Somebody's own file, and a script removed the whole folder that it lies in: it comes back.
                acts.insert(path.clone(), Act::Back(theirs.clone()));
                continue;
            }
            if present == before || purged == before || !self.after.contains_key(path) {
                continue;
            }
            if before.is_none() && purged.is_some_and(Node::is_empty_file) {
                // A script emptied what a script had made (git-lfs does), in an undo that was cut off, or in that of a
                // transaction on top. Nothing of anybody's is in it.
                acts.insert(path.clone(), Act::Remove);
            } else if is_accounts(path) {
                acts.extend(self.merge_accounts(path).map(|act| (path.clone(), act)));
            } else if purged.is_some() && is_worth_telling(before, purged) {
                kept.push(format!("{} was changed by someone since: left as it is", path.display()));
            }
        }
        (acts, kept)
    }

    /// The account file as it is now, with the entries back that only the transaction changed.
    fn merge_accounts(&self, path: &Path) -> Option<Act> {
        let text = |tree: &Tree| tree.content(path).map(|c| String::from_utf8_lossy(c).into_owned());
        let before = text(self.before)?;
        let after = self.accounts_after.get(path)?;
        let (present, purged) = (text(self.present)?, text(self.purged)?);
        let attributes = self.purged.nodes.get(path)?.attributes()?.clone();
        let merged = merge(&before, after, &present, &purged);
        (merged != purged).then_some(Act::Text(merged, attributes))
    }

    /// Puts back what can be. A path that can't be put back is told and does not stop the others.
    pub fn restore(&self, host: &dyn Host) -> Result<Vec<String>> {
        let (acts, mut kept) = self.decide();
        let mut failed: BTreeSet<&Path> = BTreeSet::new();
        let removals = acts.iter().rev().filter(|(_, act)| **act == Act::Remove);
        let others = acts.iter().filter(|(_, act)| **act != Act::Remove);
        for (path, act) in removals.chain(others) {
            let done = match act {
                Act::Remove => host.remove(path),
                Act::Text(text, attributes) => host.write(path, text.as_bytes(), attributes),
                Act::Put(node) => self.put(host, path, node, self.before),
                Act::Back(node) => {
                    kept.push(format!("{} is someone's own: it was put back", path.display()));
                    self.make_parents(host, path).and_then(|()| self.put(host, path, node, self.present))
                }
            };
            match done {
                Ok(()) => {}
                Err(e @ host::Error::Injected(_)) => return Err(e.into()),
                // A directory stays because of something in it, and so do those around it: told once.
                Err(_) if failed.iter().any(|f| f.starts_with(path)) => {}
                Err(_) if *act == Act::Remove && !host.list(path)?.is_empty() => {
                    failed.insert(path);
                    kept.push(format!("{} stays: it holds files of someone else", path.display()));
                }
                Err(e) => {
                    failed.insert(path);
                    kept.push(format!("{} could not be put back: {e}", path.display()));
                }
            }
        }
        Ok(kept)
    }

    /// The folders that a purge took away with what was in them.
    fn make_parents(&self, host: &dyn Host, path: &Path) -> host::Result<()> {
        for parent in path.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
            if let (None, Some(Node::Directory { attributes })) = (host.meta(parent)?, self.present.nodes.get(parent)) {
                host.make_directory(parent, attributes)?;
            }
        }
        Ok(())
    }

    /// Puts `node` there, its content from the picture `of`.
    fn put(&self, host: &dyn Host, path: &Path, node: &Node, of: &Tree) -> host::Result<()> {
        let purged = self.purged.nodes.get(path);
        if let (Some(purged), Some(attributes)) = (purged, node.attributes())
            && purged.same_content(node)
        {
            return host.set_attributes(path, attributes);
        }
        let changes_kind = purged.is_some_and(|p| std::mem::discriminant(p) != std::mem::discriminant(node));
        if changes_kind {
            host.remove(path)?;
        }
        match node {
            Node::Directory { attributes } => host.make_directory(path, attributes),
            Node::Link { target, attributes } => host.make_link(path, target, attributes),
            Node::File { attributes, .. } => match of.content(path) {
                Some(content) => host.write(path, content, attributes),
                None => Err(host::Error::Unexpected {
                    path: path.to_owned(),
                    what: "its content from before was not kept".to_owned(),
                }),
            },
            Node::Other => Ok(()),
        }
    }
}

/// Files whose content is not kept, and that were there before, are someone's business in any case.
fn is_worth_telling(before: Option<&Node>, purged: Option<&Node>) -> bool {
    !matches!(
        (before, purged),
        (Some(Node::File { stamp: Some(_), .. }), _) | (Some(Node::Other), _) | (_, Some(Node::Other))
    )
}

/// Merges the lines of an account file: an entry that is at present as it was after the transaction goes back to what
/// it was before; every other stays as the purge left it. The order of the present file is kept.
fn merge(before: &str, after: &str, present: &str, purged: &str) -> String {
    let (before_by, after_by, present_by) = (entries(before), entries(after), entries(present));
    let ours = |name: &str| present_by.get(name) == after_by.get(name);
    let mut merged = String::new();
    let mut seen = BTreeSet::new();
    for line in purged.lines() {
        let name = name(line);
        seen.insert(name);
        let line = if ours(name) { before_by.get(name).copied() } else { Some(line) };
        if let Some(line) = line {
            merged.push_str(line);
            merged.push('\n');
        }
    }
    for line in before.lines().filter(|l| !seen.contains(name(l)) && ours(name(l))) {
        merged.push_str(line);
        merged.push('\n');
    }
    merged
}

/// The account file `after`, with the entries that differ between `from` and `to` as they are in `to`, where they were in
/// `from` as they are in `after`: what was changed by others in between stays theirs.
pub fn overlay(after: &str, from: &str, to: &str) -> String {
    let (after_by, from_by, to_by) = (entries(after), entries(from), entries(to));
    let is_moved = |name: &str| from_by.get(name) != to_by.get(name) && from_by.get(name) == after_by.get(name);
    let kept = after.lines().filter_map(|line| match is_moved(name(line)) {
        true => to_by.get(name(line)).copied(),
        false => Some(line),
    });
    let came = to.lines().filter(|line| !after_by.contains_key(name(line)) && is_moved(name(line)));
    kept.chain(came).flat_map(|line| [line, "\n"]).collect()
}

fn name(line: &str) -> &str {
    line.split(':').next().unwrap_or(line)
}

fn entries(text: &str) -> BTreeMap<&str, &str> {
    text.lines().map(|l| (name(l), l)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(before: &Tree, later: &Tree) -> (Changes, BTreeMap<PathBuf, String>) {
        let changes = before.changes_to(later);
        let text = |p: &PathBuf| later.content(p).map(|c| (p.clone(), String::from_utf8_lossy(c).into_owned()));
        let accounts = changes.keys().filter(|p| is_accounts(p)).filter_map(text).collect();
        (changes, accounts)
    }

    #[test]
    fn what_only_we_changed_goes_back_and_what_others_changed_stays() {
        let before = Tree::default().with("/etc/changed", "1").with("/etc/removed", "1").with("/etc/shells", "sh\n");
        let later = Tree::default()
            .with("/etc/changed", "2")
            .with("/etc/made", "2")
            .with("/etc/edited", "2")
            .with("/etc/emptied", "2")
            .with("/etc/shells", "sh\nzsh\n");
        let (changes, accounts) = after(&before, &later);
        let present = later.clone().with("/etc/edited", "by hand").with("/etc/emptied", "").with("/etc/theirs", "x");
        let present = present.with("/etc/caddy/theirs", "a site");
        // The purge took zsh out of shells itself, left a file behind, and removed a whole folder.
        let mut purged = present.clone().with("/etc/shells", "sh\n").with("/etc/left-by-purge", "y");
        purged.nodes.remove(Path::new("/etc/caddy/theirs"));
        let pictures = Pictures {
            before: &before,
            after: &changes,
            accounts_after: &accounts,
            present: &present,
            purged: &purged,
            spared: &[],
        };
        let (acts, kept) = pictures.decide();
        let names: Vec<&str> = acts.keys().map(|p| p.to_str().unwrap()).collect();
        let wanted =
            ["/etc/caddy/theirs", "/etc/changed", "/etc/emptied", "/etc/left-by-purge", "/etc/made", "/etc/removed"];
        assert_eq!(names, wanted);
        assert!(matches!(acts[Path::new("/etc/caddy/theirs")], Act::Back(_)));
        assert_eq!(acts[Path::new("/etc/made")], Act::Remove);
        assert_eq!(kept, ["/etc/edited was changed by someone since: left as it is"]);
    }

    #[test]
    fn entries_that_come_later_are_ours_and_those_of_others_in_between_are_not() {
        let after = "root:x:0\n_a:x:101\ngone:x:7\n";
        let from = "root:x:0\n_a:x:101\ngone:x:7\nada:x:1000\n";
        let to = "root:x:0\n_a:x:101:changed\nada:x:1000\n_b:x:102\n";
        assert_eq!(overlay(after, from, to), "root:x:0\n_a:x:101:changed\n_b:x:102\n");
    }

    #[test]
    fn our_accounts_go_and_those_made_since_stay() {
        let before = "root:x:0\ngames:x:5\n";
        let after = "root:x:0\ngames:x:5\npolkitd:x:992\ndocker:x:991:\n";
        let present = "root:x:0\ngames:x:5\npolkitd:x:992\ndocker:x:991:alice\nalice:x:1000\n";
        assert_eq!(merge(before, after, present, present), "root:x:0\ngames:x:5\ndocker:x:991:alice\nalice:x:1000\n");
        assert_eq!(merge(before, after, after, "root:x:0\n"), before);
    }
}
