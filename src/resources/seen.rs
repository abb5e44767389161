//! What a path looks like to the kinds that look after paths: the state that a plan and the journal carry.

use super::owner;
use crate::base::digest::Digest;
use crate::engine::{Error, Result, State};
use crate::host::{Host, Kind};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Text longer than this (bytes) is compared by its digest alone and shown without a diff.
pub(super) const LONGEST_TEXT: usize = 256 * 1024;

/// What is at a path, with owners by name so that a plan can be made before an account exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Seen {
    /// Nothing.
    Absent,
    /// A regular file.
    File {
        /// The digest of its content.
        digest: Digest,
        /// Its owner and mode.
        #[serde(flatten)]
        owned: Owned,
        /// Its content, where that is text and no secret.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// A directory.
    Directory {
        /// Its owner and mode.
        #[serde(flatten)]
        owned: Owned,
    },
    /// A symbolic link.
    Link {
        /// Where it points, as written.
        target: String,
    },
    /// A device, socket or pipe.
    Other,
}

/// Owner and mode, as people write them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// Permission bits: `0644`.
    pub mode: String,
    /// The owner's name.
    pub owner: String,
    /// The group's name.
    pub group: String,
}

impl Owned {
    /// These.
    pub fn new(mode: u32, owner: &str, group: &str) -> Self {
        Owned { mode: format!("{mode:04o}"), owner: owner.to_owned(), group: group.to_owned() }
    }

    /// What changes from `self` to `other`, one line each.
    pub fn changes(&self, other: &Owned) -> Vec<String> {
        [("mode", &self.mode, &other.mode), ("owner", &self.owner, &other.owner), ("group", &self.group, &other.group)]
            .iter()
            .filter(|(_, from, to)| from != to)
            .map(|(what, from, to)| format!("{what} {from} → {to}"))
            .collect()
    }

    /// `mode 0644`, and the owner where that is not root.
    pub fn words(&self) -> String {
        match (self.owner.as_str(), self.group.as_str()) {
            ("root", "root") => format!("mode {}", self.mode),
            (owner, group) => format!("mode {}, owner {owner}:{group}", self.mode),
        }
    }
}

impl Seen {
    /// What is at `path`. `secret`: nothing of the content may be shown or journaled, only its digest.
    pub fn at(host: &dyn Host, path: &Path, secret: bool) -> Result<Seen> {
        let Some(meta) = host.meta(path)? else {
            return Ok(Seen::Absent);
        };
        let owned = || -> Result<Owned> {
            let (owner, group) = owner::names(host, &meta.attributes)?;
            Ok(Owned::new(meta.attributes.mode, &owner, &group))
        };
        Ok(match &meta.kind {
            Kind::File => Seen::file(&host.read(path)?, owned()?, secret),
            Kind::Directory => Seen::Directory { owned: owned()? },
            Kind::Link(target) => Seen::Link { target: target.to_string_lossy().into_owned() },
            Kind::Other => Seen::Other,
        })
    }

    /// A file with this content.
    pub fn file(content: &[u8], owned: Owned, secret: bool) -> Seen {
        let text = (!secret && content.len() <= LONGEST_TEXT && !content.contains(&0))
            .then(|| std::str::from_utf8(content).ok().map(str::to_owned))
            .flatten();
        Seen::File { digest: Digest::of(content), owned, text }
    }

    /// As a state.
    pub fn state(&self) -> State {
        State(serde_json::to_value(self).unwrap_or_default())
    }

    /// Read back from a state.
    pub fn from_state(state: &State) -> Result<Seen> {
        Seen::deserialize(&state.0).map_err(|e| Error::BadRecord { kind: "state of a path".into(), why: e.to_string() })
    }

    /// A file, in the words of [`words`](Self::words).
    pub fn words_of_file() -> &'static str {
        "a file"
    }

    /// In a few words, for messages.
    pub fn words(&self) -> String {
        match self {
            Seen::Absent => "nothing".into(),
            Seen::File { .. } => Seen::words_of_file().into(),
            Seen::Directory { .. } => "a directory".into(),
            Seen::Link { target } => format!("a link to {target}"),
            Seen::Other => "a device, socket or pipe".into(),
        }
    }
}
