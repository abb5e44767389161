//! The state of a box, as far as "as before" is measured.
//!
//! Kind -> name -> attribute -> value, all text and in stable order: one shape for everything keeps the
//! comparison and the list of what may differ simple. Nothing is left out here; `may-differ.txt` says later
//! which differences don't count. What lies on the disk is read from outside, without the box's help; what only
//! the running system knows comes from its namespaces.

mod accounts;
mod files;
mod kernel;
mod packages;
mod units;

use super::record::Record;
use super::{Trouble, exec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

pub type Attributes = BTreeMap<String, String>;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot(pub BTreeMap<String, BTreeMap<String, Attributes>>);

impl Snapshot {
    pub fn take(record: &Record) -> Result<Self, Trouble> {
        let leader = exec::leader_of(record)?;
        let disk = record.disk();
        let mut snapshot = Snapshot::default();
        files::read(&disk, &mut snapshot)?;
        packages::read(&disk, &mut snapshot)?;
        accounts::read(&disk, &mut snapshot)?;
        units::read(record, &mut snapshot)?;
        kernel::read(record, leader, &mut snapshot)?;
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
