//! What is written down of a box, so that another process (the next run, the workbench) can find and remove it.

use super::{Trouble, place};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// How a box differs from an ordinary server. All off by default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Options {
    /// Boxes can be made inside this one.
    #[serde(default)]
    pub nested: bool,
    /// Folders of the box that are plain folders of this side's file system instead of the overlay: overlayfs can't
    /// have its upper layer on another overlayfs, which docker's storage and nested boxes would need.
    #[serde(default)]
    pub real: Vec<PathBuf>,
    /// Its whole disk is a file system of its own, whose power can be cut (`drive`).
    #[serde(default)]
    pub drive: bool,
}

/// A process that can be told from a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub pid: i32,
    pub born: u64,
}

impl Owner {
    pub fn this_process() -> Self {
        let pid = nix::unistd::getpid().as_raw();
        Owner { pid, born: born(pid).unwrap_or(0) }
    }

    pub fn lives(&self) -> bool {
        born(self.pid) == Some(self.born)
    }
}

/// When a process started, in clock ticks since boot (field 22 of its stat; the name before it may hold anything).
pub fn born(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Unique in the state folder; names the box's folder.
    pub id: String,
    pub hostname: String,
    /// Unique on this machine; names its subnet, veth, cgroup and unit.
    pub number: u16,
    pub machine_id: String,
    /// None: a developer's, kept until `down`.
    pub owner: Option<Owner>,
    pub base: PathBuf,
    pub options: Options,
}

impl Record {
    pub fn folder(&self) -> PathBuf {
        place::boxes().join(&self.id)
    }

    /// Where the box's disk is mounted on this side.
    pub fn disk(&self) -> PathBuf {
        self.folder().join("merged")
    }

    /// Short enough for an interface (15 bytes); also the unit's, cgroup's and nspawn's name for it.
    pub fn tag(&self) -> String {
        format!("vpsbox{}", self.number)
    }

    pub fn save(&self) -> Result<(), Trouble> {
        let path = self.folder().join("record.json");
        let raw = path.with_extension("new");
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        fs::write(&raw, text)
            .and_then(|()| fs::rename(&raw, &path))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    pub fn load(id: &str) -> Result<Self, Trouble> {
        Self::read(&place::boxes().join(id)).ok_or_else(|| format!("there is no box named {id} (see: list)"))
    }

    fn read(folder: &Path) -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(folder.join("record.json")).ok()?).ok()
    }

    pub fn all() -> Vec<Self> {
        let mut records: Vec<Self> = fs::read_dir(place::boxes())
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Self::read(&entry.path()))
            .collect();
        records.sort_by(|a, b| a.id.cmp(&b.id));
        records
    }
}

/// Names become folders, host names and parts of mount options.
pub fn check_name(name: &str) -> Result<(), Trouble> {
    let right = (1..=40).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if right {
        return Ok(());
    }
    Err(format!("{name:?} can't name a box: 1 to 40 of a-z, 0-9 and - (not first or last)"))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
