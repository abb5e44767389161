//! The state of a box, as far as "as before" is measured.
//!
//! Kind -> name -> attribute -> value, all text and in stable order: one shape for everything keeps the
//! comparison and the list of what may differ simple. Nothing is left out here; `may-differ.txt` says later
//! which differences don't count. What lies on the disk is read from outside, without the box's help; what only
//! the running system knows comes from its namespaces. A virtual machine can't be read from outside while it runs: in
//! it this binary reads the machine that it runs on.

mod accounts;
mod depth;
mod files;
mod kernel;
mod packages;
mod units;

use super::record::Record;
use super::{Output, Trouble, exec, host};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub type Attributes = BTreeMap<String, String>;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot(pub BTreeMap<String, BTreeMap<String, Attributes>>);

/// Whose state is read.
pub enum Subject<'a> {
    /// A box's, from this side, with its process 1 as seen from here.
    Box(&'a Record, i32),
    /// That of the machine this process runs on.
    #[allow(dead_code, reason = "for tests/vm, where this binary runs in the guest")]
    Here,
}

impl Subject<'_> {
    /// Where its disk is, as this process sees it.
    fn disk(&self) -> PathBuf {
        match self {
            Subject::Box(record, _) => record.disk(),
            Subject::Here => "/".into(),
        }
    }

    /// Its process 1, where that isn't ours.
    fn leader(&self) -> Option<i32> {
        match self {
            Subject::Box(_, leader) => Some(*leader),
            Subject::Here => None,
        }
    }

    /// Runs a program that it has.
    fn run(&self, argv: &[&str]) -> Result<Output, Trouble> {
        let limit = Duration::from_secs(60);
        match self {
            Subject::Box(record, _) => exec::run(record, argv, b"", limit),
            Subject::Here => {
                let mut command = Command::new(argv[0]);
                command.args(&argv[1..]);
                exec::output_of(command, b"", limit)
            }
        }
    }

    /// Runs a program of this side on its network: the subject itself may not have the program.
    fn on_its_network(&self, program: &str, arguments: &[&str]) -> Result<String, Trouble> {
        let Some(leader) = self.leader() else { return host::run(program, arguments) };
        let target = format!("--target={leader}");
        host::run("nsenter", &[&[&target, "--net", program], arguments].concat())
    }
}

impl Snapshot {
    /// Of a box.
    pub fn take(record: &Record) -> Result<Self, Trouble> {
        Self::of(&Subject::Box(record, exec::leader_of(record)?))
    }

    /// Of a box, with what only a lost disk cache can change.
    #[allow(dead_code, reason = "for scenarios that cut power, which tests/vm has none of")]
    pub fn whole(record: &Record) -> Result<Self, Trouble> {
        Self::deep(&Subject::Box(record, exec::leader_of(record)?))
    }

    /// Of either, likewise.
    pub fn deep(subject: &Subject<'_>) -> Result<Self, Trouble> {
        let mut snapshot = Self::of(subject)?;
        depth::read(subject, &mut snapshot)?;
        Ok(snapshot)
    }

    pub fn of(subject: &Subject<'_>) -> Result<Self, Trouble> {
        let disk = subject.disk();
        let mut snapshot = Snapshot::default();
        files::read(&disk, &mut snapshot)?;
        packages::read(&disk, &mut snapshot)?;
        accounts::read(&disk, &mut snapshot)?;
        units::read(subject, &mut snapshot)?;
        kernel::read(subject, &mut snapshot)?;
        Ok(snapshot)
    }

    /// Notes one thing; a thing without attributes counts by being there.
    fn note<const N: usize>(&mut self, kind: &str, name: impl Into<String>, attributes: [(&str, String); N]) {
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
        let things = self.0.entry(kind.to_owned()).or_default();
        things.entry(name.into()).or_default().extend(attributes);
    }

    pub fn save(&self, path: &Path) -> Result<(), Trouble> {
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        fs::write(path, text + "\n").map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    pub fn load(path: &Path) -> Result<Self, Trouble> {
        let text = fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{} is no snapshot: {error}", path.display()))
    }
}
