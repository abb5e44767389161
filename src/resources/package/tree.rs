//! Pictures of the places where maintainer scripts leave things that dpkg does not know of: links in `/etc`, generated
//! configuration, accounts, directories under `/usr/local`. The difference of two pictures is what a transaction did.

use crate::base::digest::Digest;
use crate::base::paths;
use crate::engine::{Error, Result};
use crate::host::{Attributes, Host, Kind};
use crate::journal::Objects;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A place that is pictured.
struct Place {
    path: &'static str,
    /// How many levels below it.
    depth: usize,
    /// Whether the content of files is kept.
    content: bool,
}

const fn place(path: &'static str, depth: usize, content: bool) -> Place {
    Place { path, depth, content }
}

/// Where maintainer scripts leave things. Of homes only the first levels: packages have no business there.
const PLACES: [Place; 6] = [
    place("/etc", 64, true),
    place("/usr/local", 5, false),
    place("/opt", 2, false),
    place("/root", 1, false),
    place("/home", 2, false),
    place("/var/spool/cron", 3, true),
];
/// Files larger than this are known by size and time alone.
const LARGEST: u64 = 1 << 20;
/// Ours, or made anew by whoever needs it.
const EXCEPT: [&str; 3] = [paths::ETC, "/etc/.updated", "/etc/mtab"];

/// What is at one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Node {
    /// A regular file.
    File {
        /// Owner, mode, extended attributes.
        #[serde(flatten)]
        attributes: Attributes,
        /// Its content, where it is kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<Digest>,
        /// Size and time of the last change (nanoseconds), where the content is not kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stamp: Option<(u64, i64)>,
    },
    /// A directory.
    Directory {
        /// Owner, mode, extended attributes.
        #[serde(flatten)]
        attributes: Attributes,
    },
    /// A symbolic link.
    Link {
        /// Where it points.
        target: PathBuf,
        /// Owner.
        #[serde(flatten)]
        attributes: Attributes,
    },
    /// A socket, pipe or device.
    Other,
}

impl Node {
    /// A regular file without content.
    pub fn is_empty_file(&self) -> bool {
        matches!(self, Node::File { digest: Some(digest), .. } if *digest == Digest::of(b""))
            || matches!(self, Node::File { stamp: Some((0, _)), .. })
    }

    /// Owner, mode, extended attributes.
    pub fn attributes(&self) -> Option<&Attributes> {
        match self {
            Node::File { attributes, .. } | Node::Directory { attributes } | Node::Link { attributes, .. } => {
                Some(attributes)
            }
            Node::Other => None,
        }
    }

    /// Whether both are the same but for owner, mode and extended attributes.
    pub fn same_content(&self, other: &Node) -> bool {
        match (self, other) {
            (Node::File { digest: Some(a), .. }, Node::File { digest: Some(b), .. }) => a == b,
            (Node::File { stamp: a, .. }, Node::File { stamp: b, .. }) => a == b,
            (Node::Directory { .. }, Node::Directory { .. }) => true,
            (Node::Link { target: a, .. }, Node::Link { target: b, .. }) => a == b,
            _ => false,
        }
    }
}

/// A picture: every path and what is there, with the contents that were read.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// By path; paths that are no UTF-8 are left out.
    pub nodes: BTreeMap<PathBuf, Node>,
    contents: BTreeMap<Digest, Vec<u8>>,
}

/// The first line of a stored picture, before the contents.
#[derive(Serialize, Deserialize)]
struct Header {
    nodes: BTreeMap<PathBuf, Node>,
    /// Digests and lengths of the contents that follow, in this order.
    contents: Vec<(Digest, usize)>,
}

/// What changed: each path with what is there now, `None` when it is gone.
pub type Changes = BTreeMap<PathBuf, Option<Node>>;

impl Tree {
    /// The host now, without what lies at or below the paths of `foreign`.
    pub fn see(host: &dyn Host, foreign: &BTreeSet<PathBuf>) -> Result<Tree> {
        let mut tree = Tree::default();
        for place in &PLACES {
            tree.walk(host, Path::new(place.path), place.depth, place.content, foreign)?;
        }
        Ok(tree)
    }

    fn walk(
        &mut self,
        host: &dyn Host,
        path: &Path,
        depth: usize,
        content: bool,
        foreign: &BTreeSet<PathBuf>,
    ) -> Result<()> {
        let is_ours = EXCEPT.iter().any(|e| path == Path::new(e)) || foreign.contains(path);
        if is_ours || path.to_str().is_none() {
            return Ok(());
        }
        let Some(meta) = host.meta(path)? else {
            return Ok(());
        };
        let attributes = meta.attributes;
        let node = match meta.kind {
            Kind::Link(target) => Node::Link { target, attributes },
            Kind::Other => Node::Other,
            Kind::Directory => Node::Directory { attributes },
            Kind::File if content && meta.size <= LARGEST => {
                let bytes = host.read(path)?;
                let digest = Digest::of(&bytes);
                self.contents.insert(digest.clone(), bytes);
                Node::File { attributes, digest: Some(digest), stamp: None }
            }
            Kind::File => {
                let time = i64::try_from(meta.modified).unwrap_or(i64::MAX);
                Node::File { attributes, digest: None, stamp: Some((meta.size, time)) }
            }
        };
        let descend = depth > 0 && matches!(node, Node::Directory { .. });
        self.nodes.insert(path.to_owned(), node);
        if descend {
            for name in host.list(path)? {
                self.walk(host, &path.join(name), depth - 1, content, foreign)?;
            }
        }
        Ok(())
    }

    /// Keeps the picture in one object of the store.
    pub fn keep(&self, objects: &Objects) -> Result<Digest> {
        Ok(objects.put(&self.to_bytes()?)?)
    }

    /// A picture that was kept.
    pub fn kept(objects: &Objects, digest: &Digest) -> Result<Tree> {
        Tree::from_bytes(&objects.get(digest)?)
    }

    /// The picture with its contents, in one piece.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let contents = self.contents.iter().map(|(d, c)| (d.clone(), c.len())).collect();
        let header = Header { nodes: self.nodes.clone(), contents };
        let mut bytes = serde_json::to_vec(&header).map_err(|e| damaged(&e.to_string()))?;
        bytes.push(b'\n');
        self.contents.values().for_each(|c| bytes.extend_from_slice(c));
        Ok(bytes)
    }

    /// What [`to_bytes`](Tree::to_bytes) made.
    pub fn from_bytes(bytes: &[u8]) -> Result<Tree> {
        let end = bytes.iter().position(|b| *b == b'\n').ok_or_else(|| damaged("no header"))?;
        let (head, rest) = bytes.split_at(end);
        let header: Header = serde_json::from_slice(head).map_err(|e| damaged(&e.to_string()))?;
        let (mut contents, mut at) = (BTreeMap::new(), 1);
        for (digest, length) in header.contents {
            let content = rest.get(at..at + length).ok_or_else(|| damaged("cut off"))?;
            contents.insert(digest, content.to_vec());
            at += length;
        }
        Ok(Tree { nodes: header.nodes, contents })
    }

    /// The same without what lies at or below the paths of `foreign`.
    pub fn without(mut self, foreign: &BTreeSet<PathBuf>) -> Tree {
        self.nodes.retain(|path, _| !foreign.iter().any(|f| path.starts_with(f)));
        self
    }

    /// The content of the file at `path`, where it is kept.
    pub fn content(&self, path: &Path) -> Option<&[u8]> {
        match self.nodes.get(path) {
            Some(Node::File { digest: Some(digest), .. }) => self.contents.get(digest).map(Vec::as_slice),
            _ => None,
        }
    }

    /// What is different in `later`.
    pub fn changes_to(&self, later: &Tree) -> Changes {
        let paths = self.nodes.keys().chain(later.nodes.keys());
        let changed = paths.filter(|p| self.nodes.get(*p) != later.nodes.get(*p));
        changed.map(|p| (p.clone(), later.nodes.get(p).cloned())).collect()
    }

    /// Takes `changes` over from `other`, with the contents.
    pub fn take_over(&mut self, changes: Changes, other: &Tree) {
        for (path, node) in changes {
            if let Some(Node::File { digest: Some(digest), .. }) = &node {
                self.contents.extend(other.contents.get(digest).map(|content| (digest.clone(), content.clone())));
            }
            match node {
                Some(node) => drop(self.nodes.insert(path, node)),
                None => drop(self.nodes.remove(&path)),
            }
        }
    }

    /// This picture with what somebody may have written since, as `now` has it: files with something in them, and the
    /// folders that they need. Of links, empty files and what is gone it isn't known whether a script was at it: nobody
    /// loses anything by them.
    pub fn with_writings(mut self, now: &Tree) -> Tree {
        let is_writing = |(path, node): &(&PathBuf, &Node)| {
            matches!(node, Node::File { .. }) && !node.is_empty_file() && self.nodes.get(*path) != Some(*node)
        };
        let mut changes: Changes =
            now.nodes.iter().filter(is_writing).map(|(p, n)| (p.clone(), Some(n.clone()))).collect();
        let folders: BTreeSet<&Path> = changes.keys().flat_map(|path| path.ancestors().skip(1)).collect();
        let folders = folders.into_iter().filter(|path| !self.nodes.contains_key(*path));
        let folders: Changes = folders.filter_map(|p| Some((p.to_owned(), Some(now.nodes.get(p)?.clone())))).collect();
        changes.extend(folders);
        self.take_over(changes, now);
        self
    }

    /// Adds a file, for tests.
    #[cfg(test)]
    pub fn with(mut self, path: &str, content: &str) -> Tree {
        let digest = Digest::of(content.as_bytes());
        self.contents.insert(digest.clone(), content.into());
        let node = Node::File { attributes: Attributes::root(0o644), digest: Some(digest), stamp: None };
        self.nodes.insert(path.into(), node);
        self
    }
}

fn damaged(why: &str) -> Error {
    Error::BadRecord { kind: super::record::KIND.to_owned(), why: format!("the picture of the host before: {why}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_survives_the_store_and_shows_what_changed() {
        let dir = tempfile::tempdir().unwrap();
        let objects = Objects::new(dir.path());
        let before = Tree::default().with("/etc/a", "1\n").with("/etc/b", "2\n\n");
        let digest = before.keep(&objects).unwrap();
        let again = Tree::kept(&objects, &digest).unwrap();
        assert_eq!(again.nodes, before.nodes);
        assert_eq!(again.content(Path::new("/etc/b")), Some(&b"2\n\n"[..]));
        let after = Tree::default().with("/etc/b", "3").with("/etc/c", "4");
        let changes = before.changes_to(&after);
        let seen: Vec<(&str, bool)> = changes.iter().map(|(p, n)| (p.to_str().unwrap(), n.is_some())).collect();
        assert_eq!(seen, [("/etc/a", false), ("/etc/b", true), ("/etc/c", true)]);
    }
}
