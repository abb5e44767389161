//! The kind `block`: a managed block in a file that is not ours. Everything around it stays byte for byte, and undoing
//! takes out the block, not what others wrote since.

use super::part::{self, Part, Place};
use super::preimage::{Image, Intent, Paths};
use super::seen::Seen;
use super::whole::{Draft, Whole};
use super::{fields, file};
use crate::base::count::counted;
use crate::base::diff;
use crate::base::ids::ResourceId;
use crate::engine::{Action, Change, Context, Error, Resource, Result, State, UndoRecord};
use crate::host::{Attributes, Host, Kind};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// A managed block.
#[derive(Debug)]
pub struct Block {
    id: ResourceId,
    path: PathBuf,
    fields: Fields,
    whole: Option<Arc<Whole>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    marker: String,
    content: String,
    #[serde(default)]
    at: Place,
    #[serde(default, rename = "check", deserialize_with = "fields::list")]
    _check: Vec<String>,
}

/// What the block will be.
pub fn draft(name: &str, fields: &Map<String, Value>, module: &str) -> Result<Draft> {
    let Fields { marker, content, at, .. } = read(name, fields, module)?;
    Ok(Draft::Block { marker, content, at })
}

fn read(name: &str, fields: &Map<String, Value>, module: &str) -> Result<Fields> {
    let mut fields: Fields = fields::read("block", name, fields, module)?;
    let word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if fields.marker.is_empty() || !fields.marker.chars().all(word) {
        return Err(fields::invalid("block", name, module, "the marker must be one word"));
    }
    if !fields.content.is_empty() && !fields.content.ends_with('\n') {
        fields.content.push('\n');
    }
    Ok(fields)
}

/// What is seen of a block: whether there is a file to hold it, and the text between its marker lines.
#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Found {
    holder: String,
    block: Option<String>,
}

impl Block {
    /// The block in the file `name` as a manifest declares it, its template already rendered into `content`; `whole` is
    /// what it is checked with.
    pub fn from_spec(
        name: &str,
        fields: &Map<String, Value>,
        module: &str,
        whole: Option<Arc<Whole>>,
    ) -> Result<Box<dyn Resource>> {
        let path = fields::path("block", name, module)?;
        let fields = read(name, fields, module)?;
        // Two modules may each keep a block in one file, so the marker belongs to the name.
        let id = ResourceId::new("block", &format!("{name}#{}", fields.marker));
        Ok(Box::new(Block { id, path, fields, whole }))
    }

    /// The file's bytes with the block as wanted, and its attributes; those of a new file when there is none.
    fn wanted(&self, host: &dyn Host) -> Result<(Vec<u8>, Vec<u8>, Attributes)> {
        let (text, attributes) = match host.meta(&self.path)? {
            Some(meta) => (host.read(&self.path)?, meta.attributes),
            None => (Vec::new(), Attributes::root(0o644)),
        };
        let new = part::put(&text, &self.fields.marker, &self.fields.content, self.fields.at);
        Ok((text, new, attributes))
    }
}

impl Resource for Block {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn observe(&self, host: &dyn Host) -> Result<State> {
        let block = match host.meta(&self.path)? {
            Some(meta) if meta.kind == Kind::File => {
                let text = host.read(&self.path)?;
                part::inner(&text, &self.fields.marker).map(|b| String::from_utf8_lossy(b).into_owned())
            }
            _ => None,
        };
        let holder = Seen::at(host, &self.path, true)?.words();
        Ok(State(json!({"holder": holder, "block": block})))
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        let found = Found::deserialize(&seen.0)
            .map_err(|e| Error::BadRecord { kind: "state of a block".into(), why: e.to_string() })?;
        let lines = counted(self.fields.content.lines().count(), "line");
        let after = json!({"holder": Seen::words_of_file(), "block": self.fields.content});
        let summary = match (found.holder.as_str(), &found.block) {
            _ if seen.0 == after => return Ok(Change::keep(seen)),
            (holder, Some(_)) if holder == Seen::words_of_file() => {
                format!("change our block {} to {lines}", self.fields.marker)
            }
            (holder, None) if holder == Seen::words_of_file() => {
                format!("add our block {} of {lines}", self.fields.marker)
            }
            ("nothing", _) => format!("make the file with our block {} of {lines}", self.fields.marker),
            (holder, _) => {
                return Err(Error::refused(
                    "not-a-file",
                    format!("cannot put a block into {}", self.path.display()),
                    format!("there is {holder}"),
                ));
            }
        };
        let action = if found.block.is_some() { Action::Update } else { Action::Create };
        let name = self.path.to_string_lossy();
        let old = found.block.as_deref().unwrap_or_default();
        let mut change = Change::new(action, summary, after);
        change.diff = Some(diff::unified(old, &self.fields.content, &name, &name));
        Ok(change)
    }

    fn capture(&self, context: &Context<'_>, _seen: &State, _change: &Change) -> Result<UndoRecord> {
        let (old, new, attributes) = self.wanted(context.host)?;
        let before = part::inner(&old, &self.fields.marker).map(|b| String::from_utf8_lossy(b).into_owned());
        let ours = Part::Block { marker: self.fields.marker.clone(), before, after: self.fields.content.clone() };
        Paths::capture(context, &[Intent::part(&self.path, Image::file(&new, attributes), ours)])?.record()
    }

    fn apply(&self, context: &Context<'_>, _seen: &State, _change: &Change) -> Result<()> {
        let put = || {
            let (_, new, attributes) = self.wanted(context.host)?;
            file::put(context.host, &self.path, &new, &attributes)
        };
        Whole::around(self.whole.as_deref(), context, &self.path, &put)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Outcome;
    use crate::resources::bench::{Bench, survives_every_crash};
    use std::fs;

    fn block(content: &str) -> Box<dyn Resource> {
        let fields = json!({"marker": "shell", "content": content});
        Block::from_spec("/etc/bash.bashrc", fields.as_object().unwrap(), "test", None).unwrap()
    }

    #[test]
    fn a_block_comes_and_goes_with_and_without_a_file() {
        let bench = Bench::new();
        let change = bench.there_and_back(&*block("alias l=ls"));
        assert_eq!(change.summary, "make the file with our block shell of 1 line");
        bench.put("/etc/bash.bashrc", b"PS1=x \xff\nno newline at the end");
        let _ = bench.there_and_back(&*block("alias l=ls\n"));
    }

    #[test]
    fn what_others_wrote_since_stays_when_the_block_goes() {
        let bench = Bench::new();
        bench.put("/etc/bash.bashrc", "first\n");
        let step = bench.step(&*block("alias l=ls\n"));
        let text = bench.text("/etc/bash.bashrc");
        bench.put("/etc/bash.bashrc", text.replace("first", "FIRST") + "last\n");
        assert_eq!(step.undo(), Outcome::Undone);
        assert_eq!(bench.text("/etc/bash.bashrc"), "FIRST\nlast\n");
    }

    #[test]
    fn a_changed_block_goes_back_to_the_former_one() {
        let bench = Bench::new();
        let _first = bench.step(&*block("one\n"));
        let step = bench.step(&*block("two\n"));
        let text = bench.text("/etc/bash.bashrc");
        bench.put("/etc/bash.bashrc", format!("theirs\n{text}"));
        assert_eq!(step.undo(), Outcome::Undone);
        assert!(bench.text("/etc/bash.bashrc").contains("\none\n"));
        assert!(bench.text("/etc/bash.bashrc").starts_with("theirs\n"));
    }

    #[test]
    fn a_file_that_held_only_our_block_goes_too_even_when_the_block_was_edited() {
        let bench = Bench::new();
        let before = bench.tree();
        let step = bench.step(&*block("one\n"));
        let text = bench.text("/etc/bash.bashrc");
        bench.put("/etc/bash.bashrc", text.replace("one", "edited"));
        assert!(matches!(step.undo(), Outcome::Kept(lines) if lines[0].contains("/kept/")));
        assert_eq!(bench.tree(), before);
    }

    #[test]
    fn no_crash_leaves_half_a_block() {
        survives_every_crash(|| {
            let bench = Bench::new();
            bench.put("/etc/bash.bashrc", "first\n");
            (bench, block("one\n"))
        });
    }

    #[test]
    fn an_edit_inside_the_block_is_drift() {
        let bench = Bench::new();
        let resource = block("one\n");
        let _step = bench.step(&*resource);
        let text = bench.text("/etc/bash.bashrc");
        bench.put("/etc/bash.bashrc", text.replace("one", "evil"));
        assert!(bench.plan(&*resource).1.is_needed());
    }

    #[test]
    fn a_link_in_place_of_the_file_is_refused() {
        let bench = Bench::new();
        std::os::unix::fs::symlink("elsewhere", bench.at("/etc/bash.bashrc")).unwrap();
        let resource = block("one\n");
        let seen = resource.observe(bench.host()).unwrap();
        assert!(matches!(resource.compare(&seen), Err(Error::Refused { code: "not-a-file", .. })));
        assert!(fs::symlink_metadata(bench.at("/etc/bash.bashrc")).unwrap().is_symlink());
    }
}
