//! A program that is run once: for what no other kind covers. Never a shell line.
//!
//! It says how to see that it was done (`creates` or `unless`), and how it is taken back (`undo`) or that it can't be
//! (`irreversible: true`, which the plan shows). A path that begins with `~` is below the home of the user who runs it.

use super::account_file;
use super::fields;
use crate::base::ids::ResourceId;
use crate::base::paths::PASSWD;
use crate::engine::{Action, Change, Context, Outcome, Resource, Result, Scope, State, Undo, UndoRecord};
use crate::host::{self, Command, Host, read_text};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The kind of the undo record.
pub const UNDO: &str = "command";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(deserialize_with = "fields::list")]
    run: Vec<String>,
    #[serde(default, deserialize_with = "fields::optional_text")]
    creates: Option<String>,
    #[serde(default, deserialize_with = "fields::list")]
    unless: Vec<String>,
    #[serde(default, deserialize_with = "fields::list")]
    undo: Vec<String>,
    #[serde(default, deserialize_with = "fields::boolean")]
    irreversible: bool,
    #[serde(default, deserialize_with = "fields::optional_text")]
    user: Option<String>,
    #[serde(default, deserialize_with = "fields::optional_number")]
    timeout: Option<u32>,
    #[serde(default, deserialize_with = "fields::optional_text")]
    directory: Option<String>,
    #[serde(default, deserialize_with = "fields::map")]
    env: BTreeMap<String, String>,
}

/// How a program is run, and how it is seen that it was: what doing and undoing share.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Way {
    #[serde(default)]
    creates: Option<PathBuf>,
    #[serde(default)]
    unless: Vec<String>,
    #[serde(default)]
    user: Option<String>,
    timeout: u32,
    #[serde(default)]
    directory: Option<PathBuf>,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

impl Way {
    /// Where a path of the manifest lies; `None` when it is below the home of a user who isn't there.
    fn place(&self, host: &dyn Host, path: &Path) -> Result<Option<PathBuf>> {
        let Ok(below) = path.strip_prefix("~") else {
            return Ok(Some(path.to_owned()));
        };
        let passwd = read_text(host, PASSWD)?;
        let user = self.user.as_deref().unwrap_or("root");
        let home = account_file::fields(&passwd, user)
            .and_then(|fields| fields.get(5).map(|home| Path::new(*home).join(below)));
        Ok(home)
    }

    /// The command as it is shown.
    fn shown(&self, argv: &[String]) -> String {
        self.command(argv).shown()
    }

    /// The command as it is run.
    fn placed(&self, host: &dyn Host, argv: &[String]) -> Result<Command> {
        let mut command = self.command(argv);
        if let Some(directory) = &self.directory {
            command.directory = self.place(host, directory)?;
        }
        Ok(command)
    }

    fn command(&self, argv: &[String]) -> Command {
        let mut command = Command::new(argv.first().cloned().unwrap_or_default())
            .args(argv.iter().skip(1).cloned())
            .timeout(Duration::from_secs(u64::from(self.timeout)));
        command.env = self.env.clone().into_iter().collect();
        command.user.clone_from(&self.user);
        command.directory.clone_from(&self.directory);
        command
    }

    /// Whether it was done. Where the program of the guard, its user or its directory isn't there yet, it wasn't.
    fn is_done(&self, host: &dyn Host) -> Result<bool> {
        if let Some(path) = &self.creates {
            return Ok(match self.place(host, path)? {
                Some(path) => host.meta(&path)?.is_some(),
                None => false,
            });
        }
        let passwd = read_text(host, PASSWD)?;
        if self.user.as_ref().is_some_and(|user| account_file::line(&passwd, user).is_none()) {
            return Ok(false);
        }
        if let Some(directory) = &self.directory
            && match self.place(host, directory)? {
                Some(directory) => host.meta(&directory)?.is_none(),
                None => true,
            }
        {
            return Ok(false);
        }
        match host.look(&self.placed(host, &self.unless)?) {
            Ok(_) => Ok(true),
            Err(host::Error::NoProgram { .. } | host::Error::Failed { .. }) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}

/// A program that must have been run.
#[derive(Debug)]
pub struct Run {
    id: ResourceId,
    argv: Vec<String>,
    undo: Vec<String>,
    way: Way,
}

impl Run {
    /// The command that a manifest asks for.
    pub fn from_spec(name: &str, fields: &Map<String, Value>, module: &str) -> Result<Box<dyn Resource>> {
        let f: Fields = fields::read("command", name, fields, module)?;
        let invalid = |why: &str| Err(fields::invalid("command", name, module, why));
        if f.run.is_empty() {
            return invalid("run is empty");
        }
        if f.creates.is_some() != f.unless.is_empty() {
            return invalid("it needs a guard: either `creates: path` or `unless: [argv]`");
        }
        if f.irreversible != f.undo.is_empty() {
            return invalid("it needs either `undo: [argv]` or `irreversible: true`");
        }
        let paths = [&f.creates, &f.directory];
        let is_at_home = |path: &str| path == "~" || path.starts_with("~/");
        if paths.into_iter().flatten().any(|path| !path.starts_with('/') && !is_at_home(path)) {
            return invalid("creates and directory are absolute paths, or begin with ~/, the home of its user");
        }
        let way = Way {
            creates: f.creates.map(PathBuf::from),
            unless: f.unless,
            user: f.user,
            timeout: f.timeout.unwrap_or(300),
            directory: f.directory.map(PathBuf::from),
            env: f.env,
        };
        Ok(Box::new(Run { id: ResourceId::new("command", name), argv: f.run, undo: f.undo, way }))
    }
}

impl Resource for Run {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn observe(&self, host: &dyn Host) -> Result<State> {
        Ok(State(json!({"done": self.way.is_done(host)?})))
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        if seen.0["done"] == true {
            return Ok(Change::keep(seen));
        }
        let mut change =
            Change::new(Action::Create, format!("run {}", self.way.shown(&self.argv)), json!({"done": true}));
        change.irreversible = self.undo.is_empty();
        Ok(change)
    }

    fn capture(&self, _: &Context<'_>, _: &State, _: &Change) -> Result<UndoRecord> {
        let undo = UndoRun { name: self.id.name().to_owned(), argv: self.undo.clone(), way: self.way.clone() };
        Ok(UndoRecord::new(UNDO, serde_json::to_value(undo).unwrap_or_default()))
    }

    fn apply(&self, context: &Context<'_>, _: &State, _: &Change) -> Result<()> {
        // After a crash it may have been done: the guard knows.
        if !self.way.is_done(context.host)? {
            context.host.run(&self.way.placed(context.host, &self.argv)?)?;
        }
        Ok(())
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.way.creates.iter().filter(|path| path.is_absolute()).cloned().collect()
    }
}

/// Runs the program that takes it back.
#[derive(Debug, Serialize, Deserialize)]
struct UndoRun {
    name: String,
    #[serde(default)]
    argv: Vec<String>,
    way: Way,
}

/// Reads the undo record of a command.
pub fn decode(version: u32, data: &Value) -> Result<Box<dyn Undo>> {
    super::preimage::from_data::<UndoRun>(UNDO, version, data).map(|undo| Box::new(undo) as Box<dyn Undo>)
}

impl Undo for UndoRun {
    fn describe(&self, context: &Context<'_>, _: &Scope) -> Result<Vec<String>> {
        Ok(if !self.way.is_done(context.host)? {
            Vec::new()
        } else if self.argv.is_empty() {
            vec![format!("leave command {} as it is: it cannot be taken back", self.name)]
        } else {
            vec![format!("run {}", self.way.shown(&self.argv))]
        })
    }

    fn undo(&self, context: &Context<'_>, _: &Scope, _: Option<&Value>) -> Result<Outcome> {
        if !self.way.is_done(context.host)? {
            return Ok(Outcome::AlreadyGone);
        }
        if self.argv.is_empty() {
            return Ok(Outcome::Kept(vec![format!("command {}: it cannot be taken back", self.name)]));
        }
        context.host.run(&self.way.placed(context.host, &self.argv)?)?;
        Ok(Outcome::Undone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::bench::Bench;

    fn run(fields: Value) -> Result<Box<dyn Resource>> {
        let Value::Object(fields) = fields else { panic!("not an object") };
        Run::from_spec("touch", &fields, "test")
    }

    #[test]
    fn without_a_guard_or_without_a_way_back_it_is_refused() {
        assert!(run(json!({"run": ["touch", "/x"]})).is_err());
        assert!(run(json!({"run": ["touch", "/x"], "creates": "/x"})).is_err());
        assert!(run(json!({"run": ["touch", "/x"], "undo": ["rm", "/x"]})).is_err());
        assert!(run(json!({"run": [], "creates": "/x", "undo": ["rm", "/x"]})).is_err());
        assert!(run(json!({"run": ["a"], "creates": "/x", "undo": ["rm"], "irreversible": true})).is_err());
        assert!(run(json!({"run": "touch\n/x", "creates": "/x", "undo": ["rm", "/x"]})).is_ok());
        assert!(run(json!({"run": ["a"], "unless": ["b"], "irreversible": "true"})).is_ok());
    }

    #[test]
    fn a_tilde_is_the_home_of_the_user_who_runs_it() {
        let bench = Bench::new();
        let resource =
            run(json!({"run": ["touch", "/x"], "creates": "~/.tool/done", "user": "ada", "irreversible": true,
            "directory": "~"}))
            .unwrap();
        assert_eq!(resource.observe(bench.host()).unwrap().0["done"], false);
        bench.put("/home/ada/.tool/done", "");
        assert_eq!(resource.observe(bench.host()).unwrap().0["done"], true);
        assert!(resource.paths().is_empty());
        let stranger = json!({"run": ["touch", "/x"], "creates": "~/x", "user": "nobody-here", "irreversible": true});
        assert_eq!(run(stranger).unwrap().observe(bench.host()).unwrap().0["done"], false);
        assert!(run(json!({"run": ["touch", "/x"], "creates": "~ada/x", "irreversible": true})).is_err());
    }

    #[test]
    fn the_plan_shows_what_cannot_be_taken_back() {
        let change = run(json!({"run": ["a", "b c"], "creates": "/x", "irreversible": true}))
            .unwrap()
            .compare(&State(json!({"done": false})))
            .unwrap();
        assert!(change.irreversible);
        assert_eq!(change.summary, "run a 'b c'");
    }
}
