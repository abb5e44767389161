//! A group, made with groupadd(8).
//!
//! It is never given another number: files would change hands. Undoing takes out the group that we made, unless
//! somebody uses it.

use super::account_file::{self, Lines, OF_A_GROUP};
use super::fields;
use crate::base::ids::ResourceId;
use crate::base::paths::{GROUP, GSHADOW, PASSWD};
use crate::engine::{Action, Change, Context, Error, Outcome, Resource, Result, Scope, State, Undo, UndoRecord};
use crate::host::{Command, Host, read_text};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The kind of the undo record.
pub const UNDO: &str = "group";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default, deserialize_with = "fields::optional_number")]
    gid: Option<u32>,
    #[serde(default, deserialize_with = "fields::boolean")]
    system: bool,
}

/// A group that must exist.
#[derive(Debug)]
pub struct Group {
    id: ResourceId,
    gid: Option<u32>,
    system: bool,
}

impl Group {
    /// The group that a manifest asks for.
    pub fn from_spec(name: &str, fields: &Map<String, Value>, module: &str) -> Result<Box<dyn Resource>> {
        let read: Fields = fields::read("group", name, fields, module)?;
        if !account_file::is_name(name) {
            return Err(fields::invalid("group", name, module, "this is no name for a group"));
        }
        Ok(Box::new(Group { id: ResourceId::new("group", name), gid: read.gid, system: read.system }))
    }

    fn wanted(&self) -> Value {
        match self.gid {
            Some(gid) => json!({"exists": true, "gid": gid}),
            None => json!({"exists": true}),
        }
    }
}

impl Resource for Group {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn observe(&self, host: &dyn Host) -> Result<State> {
        let groups = read_text(host, GROUP)?;
        Ok(State(match (account_file::fields(&groups, self.id.name()), self.gid) {
            (None, _) => json!({"exists": false}),
            (Some(_), None) => json!({"exists": true}),
            (Some(fields), Some(_)) => json!({"exists": true, "gid": number(fields.get(2))}),
        }))
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        let wanted = self.wanted();
        if seen.0 == wanted {
            return Ok(Change::keep(seen));
        }
        if seen.0["exists"] == true {
            let why = format!("it exists with number {}, not {}", seen.0["gid"], wanted["gid"]);
            return Err(Error::refused("group-number-taken", format!("make group {}", self.id.name()), why)
                .fix("leave out gid, or give the number that the group has: its files would change hands"));
        }
        let kind = if self.system { "create the system group" } else { "create the group" };
        let summary = self.gid.map_or_else(|| kind.to_owned(), |gid| format!("{kind} with number {gid}"));
        Ok(Change::new(Action::Create, summary, wanted))
    }

    fn capture(&self, _: &Context<'_>, _: &State, _: &Change) -> Result<UndoRecord> {
        Ok(UndoRecord::new(UNDO, json!({"name": self.id.name()})))
    }

    fn apply(&self, context: &Context<'_>, _: &State, _: &Change) -> Result<()> {
        let host = context.host;
        let lacks = |file: &str| -> Result<bool> {
            let there = host.meta(Path::new(file))?.is_some();
            Ok(there && account_file::line(&read_text(host, file)?, self.id.name()).is_none())
        };
        if !lacks(GROUP)? {
            if !lacks(GSHADOW)? {
                return Ok(());
            }
            // groupadd was killed between the two files that it writes: once more, from the beginning.
            account_file::put(host, context.progress, GROUP, self.id.name(), None)?;
        }
        let mut command = Command::new("groupadd");
        if self.system {
            command = command.arg("--system");
        }
        if let Some(gid) = self.gid {
            command = command.args(["--gid", &gid.to_string()]);
        }
        host.run(&command.arg(self.id.name()))?;
        Ok(())
    }

    fn exclusive(&self) -> &'static [&'static str] {
        &["accounts"]
    }
}

fn number(text: Option<&&str>) -> Value {
    text.and_then(|text| text.parse::<u32>().ok()).map_or(Value::Null, Value::from)
}

/// Takes out a group that we made.
#[derive(Debug, Serialize, Deserialize)]
struct UndoGroup {
    name: String,
}

/// Reads the undo record of a group.
pub fn decode(version: u32, data: &Value) -> Result<Box<dyn Undo>> {
    super::preimage::from_data::<UndoGroup>(UNDO, version, data).map(|undo| Box::new(undo) as Box<dyn Undo>)
}

impl UndoGroup {
    /// Who still needs the group: its members, and the users whose first group it is.
    fn users(&self, context: &Context<'_>) -> Result<Vec<String>> {
        let groups = read_text(context.host, GROUP)?;
        let Some(line) = account_file::line(&groups, &self.name) else {
            return Ok(Vec::new());
        };
        let gid = line.split(':').nth(2).unwrap_or("");
        let mut users: Vec<String> = account_file::members(line).into_iter().map(str::to_owned).collect();
        users.extend(account_file::users_of_group(&read_text(context.host, PASSWD)?, gid));
        Ok(users)
    }
}

impl Undo for UndoGroup {
    fn describe(&self, context: &Context<'_>, _: &Scope) -> Result<Vec<String>> {
        let there = !Lines::of(context.host, &OF_A_GROUP, &self.name)?.0.is_empty();
        let users = self.users(context)?;
        Ok(match (there, users.is_empty()) {
            (false, _) => Vec::new(),
            (true, true) => vec![format!("remove the group {}", self.name)],
            (true, false) => vec![format!("keep the group {}: it is used by {}", self.name, users.join(", "))],
        })
    }

    fn undo(&self, context: &Context<'_>, _: &Scope, _: Option<&Value>) -> Result<Outcome> {
        let users = self.users(context)?;
        if !users.is_empty() {
            return Ok(Outcome::Kept(vec![format!("group {}: used by {}", self.name, users.join(", "))]));
        }
        let mut changed = false;
        for file in OF_A_GROUP.iter().rev() {
            changed |= account_file::put(context.host, context.progress, file, &self.name, None)?;
        }
        Ok(if changed { Outcome::Undone } else { Outcome::AlreadyGone })
    }
}
