//! The kind `symlink`: a symbolic link of ours.

use super::fields;
use super::preimage::{self, Image, Intent, Paths};
use super::seen::Seen;
use super::whole::{Draft, Whole};
use crate::base::ids::ResourceId;
use crate::engine::{Action, Change, Context, Error, Resource, Result, State, UndoRecord};
use crate::host::{Attributes, Host};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The mode that the kernel gives to every symbolic link (symlink(7)).
const LINK_MODE: u32 = 0o777;

/// A symbolic link.
#[derive(Debug)]
pub struct Symlink {
    id: ResourceId,
    path: PathBuf,
    target: String,
    whole: Option<Arc<Whole>>,
}

/// What the link will be.
pub fn draft(name: &str, fields: &Map<String, Value>, module: &str) -> Result<Draft> {
    fields::read("symlink", name, fields, module).map(|Fields { target, .. }| Draft::Link(target))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    target: String,
    #[serde(default, rename = "before_packages", deserialize_with = "fields::boolean")]
    _before_packages: bool,
}

impl Symlink {
    /// The link `name` as a manifest declares it; `whole` is what it is checked with.
    pub fn from_spec(
        name: &str,
        fields: &Map<String, Value>,
        module: &str,
        whole: Option<Arc<Whole>>,
    ) -> Result<Box<dyn Resource>> {
        let path = fields::path("symlink", name, module)?;
        let Fields { target, .. } = fields::read("symlink", name, fields, module)?;
        if target.is_empty() || target.contains('\0') {
            return Err(fields::invalid("symlink", name, module, "the target must not be empty"));
        }
        Ok(Box::new(Symlink { id: ResourceId::new("symlink", name), path, target, whole }))
    }
}

impl Resource for Symlink {
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
        let after = Seen::Link { target: self.target.clone() };
        let found = Seen::from_state(seen)?;
        let (action, summary) = match &found {
            found if *found == after => return Ok(Change::keep(seen)),
            Seen::Absent => (Action::Create, format!("link to {}", self.target)),
            Seen::Link { target } => (Action::Update, format!("link to {} instead of {target}", self.target)),
            Seen::File { .. } => (Action::Update, format!("replace a file by a link to {}", self.target)),
            Seen::Directory { .. } | Seen::Other => {
                return Err(Error::refused(
                    "not-a-link",
                    format!("cannot make the link {}", self.path.display()),
                    format!("there is {}", found.words()),
                )
                .fix(format!("look at {} and move it away", self.path.display())));
            }
        };
        Ok(Change::new(action, summary, after.state().0))
    }

    fn capture(&self, context: &Context<'_>, _seen: &State, _change: &Change) -> Result<UndoRecord> {
        let after = Image::Link { target: PathBuf::from(&self.target), attributes: Attributes::root(LINK_MODE) };
        Paths::capture(context, &[Intent::new(&self.path, after)])?.record()
    }

    fn apply(&self, context: &Context<'_>, _seen: &State, _change: &Change) -> Result<()> {
        let put = || {
            preimage::make_parents(context.host, &self.path)?;
            Ok(context.host.make_link(&self.path, Path::new(&self.target), &Attributes::root(LINK_MODE))?)
        };
        Whole::around(self.whole.as_deref(), context, &self.path, &put)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Outcome;
    use crate::resources::bench::Bench;
    use serde_json::json;
    use std::fs;

    fn symlink(name: &str, target: &str) -> Box<dyn Resource> {
        Symlink::from_spec(name, json!({"target": target}).as_object().unwrap(), "test", None).unwrap()
    }

    #[test]
    fn a_link_comes_and_goes_where_nothing_a_link_or_a_file_was() {
        let bench = Bench::new();
        let _ = bench.there_and_back(&*symlink("/etc/new/alias", "../passwd"));
        std::os::unix::fs::symlink("old", bench.at("/etc/alias")).unwrap();
        let _ = bench.there_and_back(&*symlink("/etc/alias", "new"));
        bench.put("/etc/plain", "text");
        let change = bench.there_and_back(&*symlink("/etc/plain", "passwd"));
        assert_eq!(change.summary, "replace a file by a link to passwd");
    }

    #[test]
    fn a_link_that_somebody_turned_elsewhere_is_told() {
        let bench = Bench::new();
        let step = bench.step(&*symlink("/etc/alias", "ours"));
        fs::remove_file(bench.at("/etc/alias")).unwrap();
        std::os::unix::fs::symlink("theirs", bench.at("/etc/alias")).unwrap();
        assert!(matches!(step.undo(), Outcome::Kept(lines) if lines[0].contains("theirs")));
        assert!(fs::symlink_metadata(bench.at("/etc/alias")).is_err());
    }

    #[test]
    fn a_directory_in_the_way_is_refused() {
        let bench = Bench::new();
        let resource = symlink("/etc", "x");
        let seen = resource.observe(bench.host()).unwrap();
        assert!(matches!(resource.compare(&seen), Err(Error::Refused { code: "not-a-link", .. })));
    }
}
