//! A user's membership in a group, made with gpasswd(1). The name is `user/group`.

use super::account_file::{self, OF_A_GROUP};
use super::fields;
use crate::base::ids::ResourceId;
use crate::base::paths::{GROUP, GSHADOW, PASSWD};
use crate::engine::{Action, Change, Context, Error, Outcome, Resource, Result, Scope, State, Undo, UndoRecord};
use crate::host::{Command, Host, read_text};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The kind of the undo record.
pub const UNDO: &str = "member";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {}

/// A membership that must be.
#[derive(Debug)]
pub struct Member {
    id: ResourceId,
    user: String,
    group: String,
}

impl Member {
    /// The membership that a manifest asks for.
    pub fn from_spec(name: &str, fields: &Map<String, Value>, module: &str) -> Result<Box<dyn Resource>> {
        let _: Fields = fields::read("member", name, fields, module)?;
        let Some((user, group)) =
            name.split_once('/').filter(|(u, g)| account_file::is_name(u) && account_file::is_name(g))
        else {
            return Err(fields::invalid("member", name, module, "the name must be user/group"));
        };
        let (user, group) = (user.to_owned(), group.to_owned());
        Ok(Box::new(Member { id: ResourceId::new("member", name), user, group }))
    }
}

/// Whether the line of `group` in `file` names `user`.
fn is_member(host: &dyn Host, file: &str, user: &str, group: &str) -> Result<bool> {
    let text = read_text(host, file)?;
    Ok(account_file::line(&text, group).is_some_and(|line| account_file::members(line).contains(&user)))
}

impl Resource for Member {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn observe(&self, host: &dyn Host) -> Result<State> {
        // What is in force is group(5); gshadow(5) only says who may use gpasswd.
        Ok(State(json!({"member": is_member(host, GROUP, &self.user, &self.group)?})))
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        if seen.0["member"] == true {
            return Ok(Change::keep(seen));
        }
        let summary = format!("add {} to group {}", self.user, self.group);
        Ok(Change::new(Action::Create, summary, json!({"member": true})))
    }

    fn capture(&self, context: &Context<'_>, _: &State, _: &Change) -> Result<UndoRecord> {
        let mut added = Vec::new();
        for file in OF_A_GROUP {
            if !is_member(context.host, file, &self.user, &self.group)? {
                added.push(file);
            }
        }
        Ok(UndoRecord::new(UNDO, json!({"user": self.user, "group": self.group, "files": added})))
    }

    fn apply(&self, context: &Context<'_>, _: &State, _: &Change) -> Result<()> {
        let refused =
            |why: String| Error::refused("account-missing", format!("add {} to group {}", self.user, self.group), why);
        if account_file::line(&read_text(context.host, PASSWD)?, &self.user).is_none() {
            return Err(
                refused(format!("there is no user {}", self.user)).fix("create the user first, or correct the name")
            );
        }
        if account_file::line(&read_text(context.host, GROUP)?, &self.group).is_none() {
            return Err(refused(format!("there is no group {}", self.group))
                .fix("correct the name, or enable the module whose package makes the group"));
        }
        // gpasswd writes group(5) first: a run that was killed between the two files is completed here.
        let whole = is_member(context.host, GROUP, &self.user, &self.group)?
            && (is_member(context.host, GSHADOW, &self.user, &self.group)?
                || account_file::line(&read_text(context.host, GSHADOW)?, &self.group).is_none());
        if !whole {
            context.host.run(&Command::new("gpasswd").args(["--add", &self.user, &self.group]))?;
        }
        Ok(())
    }

    fn exclusive(&self) -> &'static [&'static str] {
        &["accounts"]
    }

    fn changed(&self, host: &dyn Host) -> Result<Option<i128>> {
        Ok(host.meta(Path::new(GROUP))?.map(|meta| meta.changed))
    }
}

/// Takes a user out of the list of a group's members, in the files where we added it.
#[derive(Debug, Serialize, Deserialize)]
struct UndoMember {
    user: String,
    group: String,
    #[serde(default)]
    files: Vec<String>,
}

/// Reads the undo record of a membership.
pub fn decode(version: u32, data: &Value) -> Result<Box<dyn Undo>> {
    super::preimage::from_data::<UndoMember>(UNDO, version, data).map(|undo| Box::new(undo) as Box<dyn Undo>)
}

impl Undo for UndoMember {
    fn describe(&self, context: &Context<'_>, _: &Scope) -> Result<Vec<String>> {
        for file in &self.files {
            if is_member(context.host, file, &self.user, &self.group)? {
                return Ok(vec![format!("take {} out of group {}", self.user, self.group)]);
            }
        }
        Ok(Vec::new())
    }

    fn undo(&self, context: &Context<'_>, _: &Scope, _: Option<&Value>) -> Result<Outcome> {
        let mut changed = false;
        for file in self.files.iter().rev() {
            let text = read_text(context.host, file)?;
            if let Some(line) = account_file::line(&text, &self.group) {
                let without = account_file::without_member(line, &self.user);
                changed |= account_file::put(context.host, context.progress, file, &self.group, Some(&without))?;
            }
        }
        Ok(if changed { Outcome::Undone } else { Outcome::AlreadyGone })
    }
}
