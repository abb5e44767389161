//! The kind `directory`: a directory with its owner and mode. What lies in it is not looked after.

use super::preimage::{self, Image, Intent, Paths};
use super::seen::{Owned, Seen};
use super::{fields, owner};
use crate::base::ids::ResourceId;
use crate::engine::{Action, Change, Context, Error, Resource, Result, State, UndoRecord};
use crate::host::{Attributes, Host};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// A directory.
#[derive(Debug)]
pub struct Directory {
    id: ResourceId,
    path: PathBuf,
    fields: Fields,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default = "usual_mode", deserialize_with = "fields::mode")]
    mode: u32,
    #[serde(default = "owner::root")]
    owner: String,
    #[serde(default = "owner::root")]
    group: String,
    #[serde(default, rename = "before_packages", deserialize_with = "fields::boolean")]
    _before_packages: bool,
}

fn usual_mode() -> u32 {
    0o755
}

impl Directory {
    /// The directory `name` as a manifest declares it.
    pub fn from_spec(name: &str, fields: &Map<String, Value>, module: &str) -> Result<Box<dyn Resource>> {
        let path = fields::path("directory", name, module)?;
        let fields = fields::read("directory", name, fields, module)?;
        Ok(Box::new(Directory { id: ResourceId::new("directory", name), path, fields }))
    }

    fn owned(&self) -> Owned {
        Owned::new(self.fields.mode, &self.fields.owner, &self.fields.group)
    }

    /// Owner and mode as wanted; the extended attributes (default ACLs) of one that is there stay.
    fn attributes(&self, host: &dyn Host) -> Result<Attributes> {
        let wanted = owner::attributes(host, self.fields.mode, &self.fields.owner, &self.fields.group)?;
        Ok(match host.meta(&self.path)? {
            Some(meta) => Attributes { xattrs: meta.attributes.xattrs, ..wanted },
            None => wanted,
        })
    }
}

impl Resource for Directory {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn observe(&self, host: &dyn Host) -> Result<State> {
        Ok(Seen::at(host, &self.path, true)?.state())
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        let after = Seen::Directory { owned: self.owned() }.state().0;
        match Seen::from_state(seen)? {
            Seen::Directory { owned } if owned == self.owned() => Ok(Change::keep(seen)),
            Seen::Directory { owned } => {
                let summary = format!("set {}", owned.changes(&self.owned()).join(", "));
                Ok(Change::new(Action::Update, summary, after))
            }
            Seen::Absent => {
                Ok(Change::new(Action::Create, format!("make the directory, {}", self.owned().words()), after))
            }
            other => Err(Error::refused(
                "not-a-directory",
                format!("cannot make the directory {}", self.path.display()),
                format!("there is {}", other.words()),
            )
            .fix(format!("look at {} and move it away", self.path.display()))),
        }
    }

    fn capture(&self, context: &Context<'_>, _seen: &State, _change: &Change) -> Result<UndoRecord> {
        let after = Image::Directory { attributes: self.attributes(context.host)? };
        Paths::capture(context, &[Intent::new(&self.path, after)])?.record()
    }

    fn apply(&self, context: &Context<'_>, _seen: &State, _change: &Change) -> Result<()> {
        let attributes = self.attributes(context.host)?;
        if context.host.meta(&self.path)?.is_some() {
            context.host.set_attributes(&self.path, &attributes)?;
        } else {
            preimage::make_parents(context.host, &self.path)?;
            context.host.make_directory(&self.path, &attributes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Outcome;
    use crate::resources::bench::Bench;
    use serde_json::json;

    fn directory(name: &str, fields: Value) -> Box<dyn Resource> {
        Directory::from_spec(name, fields.as_object().unwrap(), "test").unwrap()
    }

    #[test]
    fn a_directory_and_its_missing_parents_come_and_go() {
        let change = Bench::new().there_and_back(&*directory("/srv/a/b", json!({"mode": "0750", "owner": "ada"})));
        assert_eq!(change.summary, "make the directory, mode 0750, owner ada:root");
    }

    #[test]
    fn owner_and_mode_of_one_that_is_there_come_back() {
        let bench = Bench::new();
        bench.put("/srv/data/file", "kept");
        let change = bench.there_and_back(&*directory("/srv/data", json!({"mode": "0700"})));
        assert_eq!(change.summary, "set mode 0755 → 0700");
        assert_eq!(bench.text("/srv/data/file"), "kept");
    }

    #[test]
    fn a_directory_that_is_used_by_now_stays() {
        let bench = Bench::new();
        let step = bench.step(&*directory("/srv/data", json!({})));
        bench.put("/srv/data/theirs", "x");
        assert!(matches!(step.undo(), Outcome::Kept(lines) if lines[0].contains("not empty")));
        assert_eq!(bench.text("/srv/data/theirs"), "x");
    }

    #[test]
    fn a_file_in_the_way_is_refused() {
        let bench = Bench::new();
        let resource = directory("/etc/passwd", json!({}));
        let seen = resource.observe(bench.host()).unwrap();
        assert!(matches!(resource.compare(&seen), Err(Error::Refused { code: "not-a-directory", .. })));
    }
}
