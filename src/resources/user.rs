//! A user, driven through useradd(8) and usermod(8).
//!
//! Only the fields that are given are looked after. A user is never given another number, and a user that we did not
//! make is never removed. `locked: true` is a locked password and an account that expired (usermod(8) `--lock
//! --expiredate 1`: a locked password alone still lets SSH keys in); `locked: false` looks after nothing, since a new
//! user without a password could not be unlocked. The home is made and filled by [`super::home`].

use super::account_file::{self, Lines, OF_A_USER};
use super::user_undo::UndoUser;
use super::{fields, home};
use crate::base::ids::ResourceId;
use crate::base::paths::{GROUP, GSHADOW, PASSWD, SHADOW, SUBGID, SUBUID};
use crate::engine::{Action, Change, Context, Error, Resource, Result, State, UndoRecord};
use crate::host::{Command, Host, Kind, read_text};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

pub use super::user_undo::{UNDO, decode};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default, deserialize_with = "fields::optional_number")]
    uid: Option<u32>,
    #[serde(default, deserialize_with = "fields::optional_text")]
    group: Option<String>,
    #[serde(default, deserialize_with = "fields::optional_text")]
    home: Option<String>,
    #[serde(default, deserialize_with = "fields::optional_text")]
    shell: Option<String>,
    #[serde(default, deserialize_with = "fields::optional_text")]
    comment: Option<String>,
    #[serde(default, deserialize_with = "fields::boolean")]
    system: bool,
    #[serde(default, deserialize_with = "fields::boolean")]
    locked: bool,
}

/// A user that must exist.
#[derive(Debug)]
pub struct User {
    id: ResourceId,
    fields: Fields,
}

impl User {
    /// The user that a manifest asks for.
    pub fn from_spec(name: &str, fields: &Map<String, Value>, module: &str) -> Result<Box<dyn Resource>> {
        let read: Fields = fields::read("user", name, fields, module)?;
        let texts = [&read.group, &read.home, &read.shell, &read.comment];
        if !account_file::is_name(name) {
            return Err(fields::invalid("user", name, module, "this is no login name"));
        }
        if texts.into_iter().flatten().any(|text| text.contains([':', '\n'])) {
            return Err(fields::invalid("user", name, module, "a colon or a line end would break /etc/passwd"));
        }
        if [&read.home, &read.shell].into_iter().flatten().any(|path| !path.starts_with('/')) {
            return Err(fields::invalid("user", name, module, "home and shell are absolute paths"));
        }
        Ok(Box::new(User { id: ResourceId::new("user", name), fields: read }))
    }

    fn name(&self) -> &str {
        self.id.name()
    }

    /// Where the home is, or will be.
    fn home(&self, passwd: Option<&[&str]>) -> PathBuf {
        let there = passwd.and_then(|fields| fields.get(5)).map(|home| (*home).to_owned());
        let wanted = self.fields.home.clone();
        PathBuf::from(wanted.or(there).unwrap_or_else(|| format!("/home/{}", self.name())))
    }

    /// The fields that are looked after, as they must be.
    fn wanted(&self) -> Value {
        let f = &self.fields;
        let mut state = Map::from_iter([("exists".to_owned(), Value::Bool(true))]);
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                state.insert(key.to_owned(), value);
            }
        };
        set("uid", f.uid.map(Value::from));
        set("group", f.group.clone().map(Value::from));
        set("home", f.home.clone().map(Value::from));
        set("shell", f.shell.clone().map(Value::from));
        set("comment", f.comment.clone().map(Value::from));
        set("locked", f.locked.then_some(Value::Bool(true)));
        set("home_made", (!f.system).then_some(Value::Bool(true)));
        Value::Object(state)
    }

    /// Whether useradd was killed between the files that it writes one after the other.
    fn is_half_made(&self, host: &dyn Host, gid: &str) -> Result<bool> {
        let lacks = |file: &str| self.is_missing(host, file);
        let groupless = account_file::group_name(&read_text(host, GROUP)?, gid).is_none();
        Ok(groupless || lacks(SHADOW)? || (!self.fields.system && (lacks(SUBUID)? || lacks(SUBGID)?)))
    }

    /// Whether the file is there, and has no line of this name.
    fn is_missing(&self, host: &dyn Host, file: &str) -> Result<bool> {
        let there = host.meta(Path::new(file))?.is_some();
        Ok(there && account_file::line(&read_text(host, file)?, self.name()).is_none())
    }

    fn add(&self, host: &dyn Host) -> Result<()> {
        let f = &self.fields;
        let groups = read_text(host, GROUP)?;
        let group =
            f.group.clone().or_else(|| account_file::line(&groups, self.name()).map(|_| self.name().to_owned()));
        let mut command = Command::new("useradd").arg("--no-create-home");
        command = match &group {
            Some(group) => command.args(["--gid", group]),
            None => command.arg("--user-group"),
        };
        if f.system {
            command = command.arg("--system");
        }
        if let Some(uid) = f.uid {
            command = command.args(["--uid", &uid.to_string()]);
        }
        command = command.args(["--home-dir", &self.home(None).display().to_string()]);
        let shell = match (&f.shell, f.system) {
            (Some(shell), _) => shell,
            (None, true) => "/usr/sbin/nologin",
            (None, false) => "/bin/bash",
        };
        command = command.args(["--shell", shell]);
        if let Some(comment) = &f.comment {
            command = command.args(["--comment", comment]);
        }
        host.run(&command.arg(self.name()))?;
        Ok(())
    }

    /// Changes what differs of a user that is there.
    fn modify(&self, host: &dyn Host) -> Result<()> {
        let (seen, wanted) = (self.observe(host)?.0, self.wanted());
        let options = [("group", "--gid"), ("home", "--home"), ("shell", "--shell"), ("comment", "--comment")];
        let mut args: Vec<String> = Vec::new();
        for (field, option) in options {
            if let Some(value) = wanted[field].as_str().filter(|_| seen[field] != wanted[field]) {
                args.extend([option.to_owned(), value.to_owned()]);
            }
        }
        if wanted["locked"] == true && seen["locked"] != true {
            args.extend(["--lock", "--expiredate", "1"].map(str::to_owned));
        }
        if !args.is_empty() {
            host.run(&Command::new("usermod").args(args).arg(self.name()))?;
        }
        Ok(())
    }
}

impl Resource for User {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn observe(&self, host: &dyn Host) -> Result<State> {
        let passwd = read_text(host, PASSWD)?;
        let Some(line) = account_file::fields(&passwd, self.name()).filter(|fields| fields.len() == 7) else {
            let there = !self.fields.system && host.meta(&self.home(None))?.is_some();
            let absent = json!({"exists": false});
            return Ok(State(if there { json!({"exists": false, "home_there": true}) } else { absent }));
        };
        let Value::Object(mut state) = self.wanted() else {
            return Ok(State(Value::Null));
        };
        for (key, value) in &mut state {
            *value = match key.as_str() {
                "exists" => Value::Bool(true),
                "uid" => line[2].parse::<u32>().map_or(Value::Null, Value::from),
                "group" => account_file::group_name(&read_text(host, GROUP)?, line[3]).into(),
                "home" => line[5].into(),
                "shell" => line[6].into(),
                "comment" => line[4].into(),
                "locked" => {
                    let shadow = read_text(host, SHADOW)?;
                    let fields = account_file::fields(&shadow, self.name()).unwrap_or_default();
                    let locked = fields.get(1).is_some_and(|hash| hash.starts_with(['!', '*']));
                    Value::Bool(locked && fields.get(7) == Some(&"1"))
                }
                _ => {
                    let is_directory = host.meta(Path::new(line[5]))?.is_some_and(|meta| meta.kind != Kind::File);
                    Value::Bool(is_directory || line[5].starts_with("/nonexistent"))
                }
            };
        }
        Ok(State(Value::Object(state)))
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        let wanted = self.wanted();
        if seen.0 == wanted {
            return Ok(Change::keep(seen));
        }
        let (Some(from), Some(to)) = (seen.0.as_object(), wanted.as_object()) else {
            return Ok(Change::keep(seen));
        };
        if seen.0["exists"] != true {
            let kind = if self.fields.system { "create the system user" } else { "create the user" };
            let mut change = Change::new(Action::Create, kind, wanted.clone());
            let said = to.iter().filter(|(key, _)| !["exists", "home_made"].contains(&key.as_str()));
            change.details = said.map(|(key, value)| format!("{key}: {}", shown(value))).collect();
            return Ok(change);
        }
        if from.get("uid") != to.get("uid") {
            let why = format!("it exists with number {}, not {}", seen.0["uid"], wanted["uid"]);
            return Err(Error::refused("user-number-taken", format!("make user {}", self.name()), why)
                .fix("leave out uid, or give the number that the user has: its files would change hands"));
        }
        let differs = to.iter().filter(|(key, value)| from.get(*key) != Some(value));
        let details: Vec<String> = differs
            .map(|(key, value)| match key.as_str() {
                "home_made" => "make the home directory".to_owned(),
                "locked" => "lock the account".to_owned(),
                _ => format!("{key}: {} → {}", shown(&seen.0[key]), shown(value)),
            })
            .collect();
        let mut change = Change::new(Action::Update, details.join(", "), wanted.clone());
        if details.len() > 1 {
            change.summary = format!("change {} fields", details.len());
            change.details = details;
        }
        Ok(change)
    }

    fn capture(&self, context: &Context<'_>, seen: &State, _: &Change) -> Result<UndoRecord> {
        let lines = Lines::of(context.host, &OF_A_USER, self.name())?;
        let passwd = read_text(context.host, PASSWD)?;
        let home = self.home(account_file::fields(&passwd, self.name()).as_deref());
        let undo = UndoUser {
            name: self.name().to_owned(),
            created: seen.0["exists"] != true,
            before: lines.keep(context)?,
            group_made: !lines.0.contains_key(GROUP),
            home_made: !self.fields.system && context.host.meta(&home)?.is_none(),
            home,
        };
        Ok(UndoRecord::new(UNDO, serde_json::to_value(undo).unwrap_or_default()))
    }

    /// useradd(8) and usermod(8) write one file after the other, and most of them don't show.
    fn goes_on(&self, before: &State, _: &Change, now: &State) -> bool {
        now != before
    }

    fn apply(&self, context: &Context<'_>, seen: &State, change: &Change) -> Result<()> {
        let host = context.host;
        let there = |host: &dyn Host| -> Result<Option<Vec<String>>> {
            let passwd = read_text(host, PASSWD)?;
            let fields = account_file::fields(&passwd, self.name());
            Ok(fields.filter(|f| f.len() == 7).map(|f| f.into_iter().map(str::to_owned).collect()))
        };
        if let Some(line) = there(host)?
            && change.action == Action::Create
            && self.is_half_made(host, &line[3])?
        {
            for file in [SUBGID, SUBUID, SHADOW, PASSWD] {
                account_file::put(host, context.progress, file, self.name(), None)?;
            }
        }
        if there(host)?.is_none() {
            self.add(host)?;
        }
        if change.action == Action::Create && !self.is_missing(host, GROUP)? && self.is_missing(host, GSHADOW)? {
            // Its own group, of a useradd that was killed between the two files: no password, as that gives it.
            host.run(&Command::new("gpasswd").args(["-R", self.name()]))?;
        }
        self.modify(host)?;
        if let Some(line) = there(host)?
            && !self.fields.system
            && seen.0["home_there"] != true
            && seen.0["home_made"] != true
            && let (Ok(uid), Ok(gid)) = (line[2].parse(), line[3].parse())
        {
            home::fill(host, Path::new(&line[5]), uid, gid)?;
        }
        Ok(())
    }

    fn exclusive(&self) -> &'static [&'static str] {
        &["accounts"]
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
