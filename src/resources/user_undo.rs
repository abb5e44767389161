//! Taking back what was done to a user.

use super::account_file::{self, Lines, OF_A_USER};
use super::home::{self, Listing};
use super::preimage::clear_debris;
use crate::base::digest::Digest;
use crate::base::paths::{GROUP, GSHADOW, PASSWD, SHADOW, SUBGID, SUBUID};
use crate::engine::{Context, Error, Outcome, Result, Scope, Undo, UndoRecord};
use crate::host::{Host, read_text};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The kind of the undo record.
pub const UNDO: &str = "user";

/// What undoing needs: whether we made the user, and its lines as they were (in the object store, for they hold the
/// password's hash).
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UndoUser {
    pub(super) name: String,
    pub(super) created: bool,
    pub(super) before: Digest,
    #[serde(default)]
    pub(super) group_made: bool,
    #[serde(default)]
    pub(super) home_made: bool,
    pub(super) home: PathBuf,
}

/// What there is to remember once the user is made: the digests of its lines, and what lies in its home.
#[derive(Debug, Default, Serialize, Deserialize)]
struct After {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    lines: BTreeMap<String, Digest>,
    #[serde(default)]
    home: Listing,
}

/// Reads the undo record of a user.
pub fn decode(version: u32, data: &Value) -> Result<Box<dyn Undo>> {
    super::preimage::from_data::<UndoUser>(UNDO, version, data).map(|undo| Box::new(undo) as Box<dyn Undo>)
}

impl UndoUser {
    /// What sets the lines of a user to what they are now.
    pub(super) fn of_present(context: &Context<'_>, name: &str) -> Result<UndoRecord> {
        let undo = UndoUser {
            name: name.to_owned(),
            created: false,
            before: Lines::of(context.host, &OF_A_USER, name)?.keep(context)?,
            group_made: false,
            home_made: false,
            home: PathBuf::new(),
        };
        Ok(UndoRecord::new(UNDO, super::preimage::to_data(UNDO, &undo)?))
    }

    fn after(after: Option<&Value>) -> Result<Option<After>> {
        let read = |value: &Value| serde_json::from_value(value.clone());
        after.map(read).transpose().map_err(|e| Error::BadRecord { kind: UNDO.to_owned(), why: e.to_string() })
    }

    /// The home that we made, when it may go, or what keeps it.
    fn home_now(&self, host: &dyn Host, after: Option<&After>) -> Result<Option<std::result::Result<Listing, String>>> {
        if !self.home_made || host.meta(&self.home)?.is_none() {
            return Ok(None);
        }
        let now = home::listing(host, &self.home)?;
        // What is as in /etc/skel is ours, too: of a home that was cut off the rest came after it was looked at.
        let mut added = home::added(&now, &home::skel(host)?);
        if let Some(after) = after {
            let since = home::added(&now, &after.home);
            added.retain(|path| since.contains(path));
        }
        Ok(Some(match added.first() {
            None => Ok(now),
            Some(first) => {
                let more = if added.len() > 1 { format!(" and {} more", added.len() - 1) } else { String::new() };
                Err(format!("{}: somebody put {first}{more} there", self.home.display()))
            }
        }))
    }

    fn undo_creation(&self, context: &Context<'_>, after: Option<&After>) -> Result<Outcome> {
        let host = context.host;
        let passwd = read_text(host, PASSWD)?;
        let line = account_file::fields(&passwd, &self.name);
        let uid = line.as_ref().and_then(|fields| fields.get(2)).map(|uid| (*uid).to_owned());
        if let (Some(uid), Some(after)) = (&uid, after)
            && !after.uid.is_empty()
            && *uid != after.uid
        {
            let line = format!("user {}: it was made anew by somebody, with number {uid}", self.name);
            return Ok(Outcome::Kept(vec![line]));
        }
        if let Some(uid) = &uid
            && let Some(process) = process_of(host, uid)?
        {
            let why = format!("it is logged in or runs something ({process})");
            return Err(Error::refused("user-busy", format!("remove user {}", self.name), why)
                .fix(format!("end its sessions: loginctl terminate-user {}", self.name)));
        }
        let mut kept = Vec::new();
        let mut changed = false;
        match self.home_now(host, after)? {
            // Of one that was cut off before it was whole, only its temporary name is there.
            None if self.home_made => clear_debris(host, &self.home)?,
            None => {}
            Some(Err(why)) => kept.push(why),
            Some(Ok(now)) => {
                home::remove(host, &self.home, &now)?;
                changed = true;
            }
        }
        // passwd(5) last: until then, undoing again finds the user and goes on.
        for file in [SHADOW, SUBUID, SUBGID] {
            changed |= account_file::put(host, context.progress, file, &self.name, None)?;
        }
        if self.group_made {
            let groups = read_text(host, GROUP)?;
            let own = account_file::line(&groups, &self.name);
            let gid = own.and_then(|line| line.split(':').nth(2)).unwrap_or("");
            let mut users = account_file::users_of_group(&passwd, gid);
            users.extend(own.map(account_file::members).unwrap_or_default().into_iter().map(str::to_owned));
            users.retain(|user| *user != self.name);
            if users.is_empty() {
                for file in [GSHADOW, GROUP] {
                    changed |= account_file::put(host, context.progress, file, &self.name, None)?;
                }
            } else {
                kept.push(format!("group {}: used by {}", self.name, users.join(", ")));
            }
        } else if !Lines::kept(context, UNDO, &self.before)?.0.contains_key(GSHADOW) {
            changed |= account_file::put(host, context.progress, GSHADOW, &self.name, None)?;
        }
        changed |= account_file::put(host, context.progress, PASSWD, &self.name, None)?;
        Ok(match (kept.is_empty(), changed) {
            (false, _) => Outcome::Kept(kept),
            (true, true) => Outcome::Undone,
            (true, false) => Outcome::AlreadyGone,
        })
    }

    fn undo_change(&self, context: &Context<'_>, after: Option<&After>) -> Result<Outcome> {
        let before = Lines::kept(context, UNDO, &self.before)?;
        let now = Lines::of(context.host, &OF_A_USER, &self.name)?;
        let (mut kept, mut changed) = (Vec::new(), false);
        for (file, line) in &before.0 {
            let Some(current) = now.0.get(file).filter(|current| *current != line) else {
                continue;
            };
            let ours = after.and_then(|after| after.lines.get(file)) == Some(&Digest::of(current.as_bytes()));
            if ours || after.is_none() {
                changed |= account_file::put(context.host, context.progress, file, &self.name, Some(line))?;
            } else {
                kept.push(format!("{file}: the line of {} was changed by somebody", self.name));
            }
        }
        match self.home_now(context.host, after)? {
            None if self.home_made => clear_debris(context.host, &self.home)?,
            None => {}
            Some(Err(why)) => kept.push(why),
            Some(Ok(now)) => {
                home::remove(context.host, &self.home, &now)?;
                changed = true;
            }
        }
        Ok(match (kept.is_empty(), changed) {
            (false, _) => Outcome::Kept(kept),
            (true, true) => Outcome::Undone,
            (true, false) => Outcome::AlreadyGone,
        })
    }
}

/// A process of the user with this number, as `pid (name)`; from /proc (proc_pid_status(5)).
fn process_of(host: &dyn Host, uid: &str) -> Result<Option<String>> {
    for entry in host.list(Path::new("/proc"))? {
        let pid = entry.to_string_lossy();
        if !pid.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        // A process may end while we look.
        let Ok(status) = host.read(&Path::new("/proc").join(&entry).join("status")) else {
            continue;
        };
        let status = String::from_utf8_lossy(&status);
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim();
        if field("Uid:").split_whitespace().any(|number| number == uid) && !field("State:").starts_with('Z') {
            return Ok(Some(format!("{pid} {}", field("Name:"))));
        }
    }
    Ok(None)
}

impl Undo for UndoUser {
    fn describe(&self, context: &Context<'_>, _: &Scope) -> Result<Vec<String>> {
        let now = Lines::of(context.host, &OF_A_USER, &self.name)?;
        let mut lines = Vec::new();
        if self.created && !now.0.is_empty() {
            lines.push(format!("remove the user {}", self.name));
        } else if !self.created && Lines::kept(context, UNDO, &self.before)? != now && !now.0.is_empty() {
            lines.push(format!("set the user {} as it was", self.name));
        }
        match self.home_now(context.host, None)? {
            None => {}
            Some(Ok(_)) => lines.push(format!("remove {}", self.home.display())),
            Some(Err(why)) => lines.push(format!("keep {why}, unless that goes before it")),
        }
        Ok(lines)
    }

    fn undo(&self, context: &Context<'_>, _: &Scope, after: Option<&Value>) -> Result<Outcome> {
        let after = Self::after(after)?;
        if self.created {
            self.undo_creation(context, after.as_ref())
        } else {
            self.undo_change(context, after.as_ref())
        }
    }

    fn settle(&self, context: &Context<'_>) -> Result<Option<Value>> {
        let lines = Lines::of(context.host, &OF_A_USER, &self.name)?;
        let uid = lines.0.get(PASSWD).and_then(|line| line.split(':').nth(2)).unwrap_or("").to_owned();
        let home = if self.home_made { home::listing(context.host, &self.home)? } else { Listing::new() };
        let after = After { uid, lines: lines.digests(), home };
        Ok(Some(serde_json::to_value(after).unwrap_or_default()))
    }
}
