//! The kind `generated`: a file whose content a program makes on this host, and which is then kept: a key, a secret.
//!
//! What the program prints goes into the file, never through a shell, an argument or the journal. With `stdin` the
//! content follows from another file (a public key from its private one), and is made anew when that one changes.

use super::preimage::{self, Intent, Paths};
use super::seen::{Owned, Seen};
use super::{fields, owner};
use crate::base::ids::ResourceId;
use crate::engine::{Action, Change, Context, Error, Resource, Result, State, UndoRecord};
use crate::host::{self, Command, Host};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

const KIND: &str = "generated";

/// A file that a program makes once.
#[derive(Debug)]
pub struct Generated {
    id: ResourceId,
    path: PathBuf,
    fields: Fields,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(deserialize_with = "fields::list")]
    run: Vec<String>,
    #[serde(default)]
    stdin: Option<PathBuf>,
    #[serde(default = "private", deserialize_with = "fields::mode")]
    mode: u32,
    #[serde(default = "owner::root")]
    owner: String,
    #[serde(default = "owner::root")]
    group: String,
}

fn private() -> u32 {
    0o600
}

impl Generated {
    /// The file `name` as a manifest declares it.
    pub fn from_spec(name: &str, fields: &Map<String, Value>, module: &str) -> Result<Box<dyn Resource>> {
        let path = fields::path(KIND, name, module)?;
        let fields: Fields = fields::read(KIND, name, fields, module)?;
        if fields.run.is_empty() {
            return Err(fields::invalid(KIND, name, module, "run is empty"));
        }
        Ok(Box::new(Generated { id: ResourceId::new(KIND, name), path, fields }))
    }

    fn wanted(&self) -> Value {
        let Fields { mode, owner, group, .. } = &self.fields;
        json!({"made": true, "owned": Owned::new(*mode, owner, group)})
    }

    /// The program, with what it reads; `None` while the file that it reads isn't there.
    fn program(&self, host: &dyn Host) -> Result<Option<Command>> {
        let mut argv = self.fields.run.iter().cloned();
        let mut command = Command::new(argv.next().unwrap_or_default()).args(argv);
        if let Some(path) = &self.fields.stdin {
            let Some(bytes) = host::read_if_there(host, path)? else { return Ok(None) };
            command = command.stdin(bytes);
        }
        Ok(Some(command))
    }

    /// Whether the file is what it must be: made, and still following from the one that it was made of.
    fn is_made(&self, host: &dyn Host) -> Result<bool> {
        let Some(content) = host::read_if_there(host, &self.path)? else { return Ok(false) };
        if self.fields.stdin.is_none() {
            return Ok(!content.is_empty());
        }
        let Some(program) = self.program(host)? else { return Ok(false) };
        match host.look(&program) {
            Ok(output) => Ok(output.stdout == content),
            Err(host::Error::NoProgram { .. } | host::Error::Failed { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Resource for Generated {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn observe(&self, host: &dyn Host) -> Result<State> {
        Ok(State(match Seen::at(host, &self.path, true)? {
            Seen::Absent => json!({"made": false}),
            Seen::File { owned, .. } => json!({"made": self.is_made(host)?, "owned": owned}),
            other => json!({"other": other.words()}),
        }))
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        let wanted = self.wanted();
        if seen.0 == wanted {
            return Ok(Change::keep(seen));
        }
        if let Some(other) = seen.0["other"].as_str() {
            let what = format!("cannot write {}", self.path.display());
            let why = format!("there is {other}, which would have to be removed");
            return Err(Error::refused("not-a-file", what, why)
                .fix(format!("look at {} and move it away", self.path.display())));
        }
        let shown = Command::new(self.fields.run.first().cloned().unwrap_or_default())
            .args(self.fields.run.iter().skip(1).cloned())
            .shown();
        Ok(match (seen.0["made"] == true, seen.0["owned"].is_null()) {
            (_, true) => Change::new(Action::Create, format!("make it with `{shown}`, and keep it"), wanted),
            (true, _) => {
                Change::new(Action::Update, format!("set mode {:04o} and its owner", self.fields.mode), wanted)
            }
            (false, false) => Change::new(Action::Update, format!("make it anew with `{shown}`"), wanted),
        })
    }

    fn capture(&self, context: &Context<'_>, _seen: &State, _change: &Change) -> Result<UndoRecord> {
        Paths::capture(context, &[Intent::unknown(&self.path)])?.record()
    }

    fn apply(&self, context: &Context<'_>, _seen: &State, _change: &Change) -> Result<()> {
        let host = context.host;
        let Fields { mode, owner, group, stdin, .. } = &self.fields;
        let attributes = owner::attributes(host, *mode, owner, group)?;
        if self.is_made(host)? {
            return Ok(host.set_attributes(&self.path, &attributes)?);
        }
        let what = || format!("cannot make {}", self.path.display());
        let Some(program) = self.program(host)? else {
            let why = format!("{} is not there", stdin.clone().unwrap_or_default().display());
            return Err(Error::refused("generator-failed", what(), why));
        };
        let output = host.run(&program)?;
        if output.stdout.is_empty() {
            let why = format!("{} printed nothing", program.shown());
            return Err(Error::refused("generator-failed", what(), why));
        }
        preimage::make_parents(host, &self.path)?;
        Ok(host.write(&self.path, &output.stdout, &attributes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Outcome;
    use crate::resources::bench::{Bench, survives_every_crash};

    fn generated(name: &str, fields: Value) -> Box<dyn Resource> {
        Generated::from_spec(name, fields.as_object().unwrap(), "test").unwrap()
    }

    fn bench() -> Bench {
        let bench = Bench::new();
        bench.program("genkey", "echo secret-$$");
        bench.program("pubkey", "sed s/secret/public/");
        bench
    }

    #[test]
    fn a_key_is_made_once_is_private_and_shows_nowhere() {
        let bench = bench();
        let key = generated("/etc/vpn/a.key", json!({"run": ["genkey"]}));
        let step = bench.step(&*key);
        assert!(!format!("{:?} {:?}", step.change, key.observe(bench.host())).contains("secret"));
        let made = bench.text("/etc/vpn/a.key");
        assert!(made.starts_with("secret-"), "{made}");
        assert!(!bench.plan(&*key).1.is_needed());
        assert_eq!(bench.text("/etc/vpn/a.key"), made);
        assert_eq!(step.undo(), Outcome::Undone);
        assert!(!bench.at("/etc/vpn").exists());
    }

    #[test]
    fn a_key_that_is_there_already_is_never_made_anew() {
        let bench = bench();
        bench.put("/etc/vpn/a.key", "mine\n");
        let key = generated("/etc/vpn/a.key", json!({"run": ["genkey"]}));
        let change = bench.there_and_back(&*key);
        assert_eq!(change.summary, "set mode 0600 and its owner");
        assert_eq!(bench.text("/etc/vpn/a.key"), "mine\n");
    }

    #[test]
    fn what_follows_from_a_file_follows_its_change() {
        let bench = bench();
        bench.put("/etc/vpn/a.key", "secret-1\n");
        let public = generated("/etc/vpn/a.pub", json!({"run": ["pubkey"], "stdin": "/etc/vpn/a.key", "mode": "0644"}));
        let _ = bench.step(&*public);
        assert_eq!(bench.text("/etc/vpn/a.pub"), "public-1\n");
        bench.put("/etc/vpn/a.key", "secret-2\n");
        assert_eq!(bench.step(&*public).change.summary, "make it anew with `pubkey`");
        assert_eq!(bench.text("/etc/vpn/a.pub"), "public-2\n");
    }

    #[test]
    fn a_program_that_prints_nothing_leaves_no_empty_key() {
        let bench = bench();
        bench.program("genkey", ":");
        let key = generated("/etc/vpn/a.key", json!({"run": ["genkey"]}));
        let (seen, change) = bench.plan(&*key);
        let error = key.apply(&bench.context(), &seen, &change).unwrap_err();
        assert!(matches!(error, Error::Refused { code: "generator-failed", .. }));
        assert!(!bench.at("/etc/vpn/a.key").exists());
    }

    #[test]
    fn no_crash_leaves_half_a_key() {
        survives_every_crash(|| (bench(), generated("/etc/vpn/a.key", json!({"run": ["genkey"]}))));
    }
}
