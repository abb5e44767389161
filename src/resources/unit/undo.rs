//! Taking back what was done to a unit: the links that enable or mask it, and whether it runs.
//!
//! Enabling is nothing but links (systemctl(1), enable), so exactly the links that came are taken away and those that
//! went are put back: what `systemctl disable` would do differs as soon as an administrator linked a unit by hand.

use super::survey::{self, UnitFacts};
use crate::engine::{Context, Error, Outcome, Result, Scope, Undo};
use crate::host::machine::is_booted;
use crate::host::{self, Attributes, Command, Host, Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The kind of the undo record.
pub const UNDO: &str = "unit";

/// Where the administrator's links are.
const LINKS: &str = "/etc/systemd/system";

/// Links by path, with their targets as written.
type Links = BTreeMap<PathBuf, PathBuf>;

/// What undoing needs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UndoUnit {
    unit: String,
    /// The unit, and those that its file names in `Also=`: they are enabled with it.
    names: Vec<String>,
    links: Links,
    /// The directories in [`LINKS`] that were there.
    #[serde(default)]
    directories: BTreeSet<PathBuf>,
    /// Whether it ran; `None` when that wasn't looked after.
    #[serde(default)]
    active: Option<bool>,
}

/// Reads the undo record of a unit.
pub fn decode(version: u32, data: &Value) -> Result<Box<dyn Undo>> {
    crate::resources::preimage::from_data::<UndoUnit>(UNDO, version, data).map(|undo| Box::new(undo) as Box<dyn Undo>)
}

/// Lets systemd read its files again.
pub(super) fn daemon_reload(host: &dyn Host) -> Result<()> {
    host.run(&Command::new("systemctl").arg("daemon-reload"))?;
    Ok(())
}

/// The units that `Also=` lines of a unit file name.
fn also(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("Also="));
    lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

fn directories(host: &dyn Host) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for name in host.list(Path::new(LINKS))? {
        let path = Path::new(LINKS).join(name);
        if host.meta(&path)?.is_some_and(|meta| meta.kind == Kind::Directory) {
            found.insert(path);
        }
    }
    Ok(found)
}

/// Every link that enables, aliases or masks one of `names`, and the links of an init script of the same name, which
/// systemctl keeps in step (systemd-sysv-install).
fn links(host: &dyn Host, names: &[String]) -> Result<Links> {
    let mut found = Links::new();
    let mut places: Vec<PathBuf> = directories(host)?.into_iter().collect();
    places.push(PathBuf::from(LINKS));
    for place in places {
        for name in host.list(&place)? {
            let path = place.join(&name);
            let Some(Kind::Link(target)) = host.meta(&path)?.map(|meta| meta.kind) else {
                continue;
            };
            let base = target.file_name().map(|base| base.to_string_lossy().into_owned()).unwrap_or_default();
            if names.iter().any(|unit| *unit == name.to_string_lossy() || *unit == base) {
                found.insert(path, target);
            }
        }
    }
    let scripts: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(".service")).collect();
    for level in ["0", "1", "2", "3", "4", "5", "6", "S"] {
        let place = PathBuf::from(format!("/etc/rc{level}.d"));
        for name in host.list(&place)? {
            let text = name.to_string_lossy();
            if text.get(3..).is_some_and(|script| scripts.contains(&script)) {
                let path = place.join(&name);
                if let Some(Kind::Link(target)) = host.meta(&path)?.map(|meta| meta.kind) {
                    found.insert(path, target);
                }
            }
        }
    }
    Ok(found)
}

impl UndoUnit {
    /// What there is now. `wish`: what is asked of its activity.
    pub(super) fn capture(host: &dyn Host, unit: &str, facts: &UnitFacts, wish: Option<bool>) -> Result<Self> {
        let mut names = vec![unit.to_owned()];
        if !facts.fragment.is_empty() && host.meta(Path::new(&facts.fragment))?.is_some() {
            names.extend(also(&String::from_utf8_lossy(&host.read(Path::new(&facts.fragment))?)));
        }
        Ok(UndoUnit {
            unit: unit.to_owned(),
            links: links(host, &names)?,
            directories: directories(host)?,
            active: wish.map(|_| facts.is_active()),
            names,
        })
    }

    /// The links that came with our change and the links that went with it, as far as they still are so.
    fn differences(&self, host: &dyn Host, after: Option<&Value>) -> Result<(Vec<PathBuf>, Links)> {
        let now = links(host, &self.names)?;
        let settled =
            after.and_then(|after| after.get("links")).map(|links| Links::deserialize(links).unwrap_or_default());
        let ours = |path: &PathBuf| settled.as_ref().is_none_or(|links| links.contains_key(path));
        let went = |path: &PathBuf| settled.as_ref().is_none_or(|links| !links.contains_key(path));
        let came: Vec<PathBuf> = now
            .iter()
            .filter(|(path, target)| self.links.get(*path) != Some(target) && ours(path))
            .map(|(p, _)| p.clone())
            .collect();
        let back = self.links.iter().filter(|(path, _)| !now.contains_key(*path) && went(path));
        let mut back: Links = back.map(|(path, target)| (path.clone(), target.clone())).collect();
        // A link whose target we changed is put back, not taken away.
        for path in &came {
            back.extend(self.links.get(path).map(|target| (path.clone(), target.clone())));
        }
        Ok((came, back))
    }

    /// The verb that brings its activity back, when one is needed.
    fn verb(&self, host: &dyn Host) -> Result<Option<&'static str>> {
        let Some(active) = self.active.filter(|_| host.has_program("systemctl")) else {
            return Ok(None);
        };
        if !is_booted(host)? {
            return Ok(None);
        }
        let now = survey::show_one(host, &self.unit)?;
        let gone = !now.is_loaded();
        Ok(match (active, now.is_active() || now.is_changing()) {
            (false, true) => Some("stop"),
            // A unit that would not start is remembered as failed, even when its file is gone.
            (false, false) if now.has_failed() => Some("reset-failed"),
            (true, false) if !gone => Some("start"),
            _ => None,
        })
    }
}

impl Undo for UndoUnit {
    fn describe(&self, context: &Context<'_>, _: &Scope) -> Result<Vec<String>> {
        let (came, back) = self.differences(context.host, None)?;
        let mut lines: Vec<String> = came.iter().map(|path| format!("remove the link {}", path.display())).collect();
        lines.extend(back.keys().map(|path| format!("put back the link {}", path.display())));
        lines.extend(self.verb(context.host)?.map(|verb| format!("{verb} {}", self.unit)));
        Ok(lines)
    }

    fn undo(&self, context: &Context<'_>, _: &Scope, after: Option<&Value>) -> Result<Outcome> {
        let host = context.host;
        let verb = self.verb(host)?;
        if let Some(verb @ ("stop" | "reset-failed")) = verb {
            super::systemctl(host, verb, &self.unit)?;
        }
        let (came, back) = self.differences(host, after)?;
        for path in &came {
            host.remove(path)?;
        }
        // Apart from the links, so that an undo that was killed between the two is completed.
        let is_made_for_links = |dir: &Path| {
            let kind = dir.extension().unwrap_or_default();
            ["wants", "requires", "upholds"].iter().any(|known| kind == *known)
        };
        let mut emptied = false;
        for dir in directories(host)? {
            if is_made_for_links(&dir) && !self.directories.contains(&dir) && host.list(&dir)?.is_empty() {
                host.remove(&dir)?;
                emptied = true;
            }
        }
        for (path, target) in &back {
            if let Some(parent) = path.parent()
                && host.meta(parent)?.is_none()
            {
                host.make_directory(parent, &Attributes::root(0o755))?;
            }
            host.make_link(path, target, &Attributes::root(0o777))?;
        }
        let moved = emptied || !came.is_empty() || !back.is_empty();
        if moved && is_booted(host)? && host.has_program("systemctl") {
            daemon_reload(host)?;
        }
        // Only now: it may have been masked.
        if self.verb(host)? == Some("start") {
            match super::systemctl(host, "start", &self.unit) {
                Err(Error::Host(host::Error::Failed { tail, .. })) => {
                    let what = format!("start {}", self.unit);
                    return Err(super::failure(host, "unit-failed", &what, &self.unit, &tail));
                }
                started => started?,
            }
        }
        Ok(if moved || verb.is_some() { Outcome::Undone } else { Outcome::AlreadyGone })
    }

    fn settle(&self, context: &Context<'_>) -> Result<Option<Value>> {
        Ok(Some(json!({"links": links(context.host, &self.names)?})))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_that_are_enabled_along_are_read_from_the_file() {
        assert_eq!(
            also("[Install]\nAlso=a.socket b.timer\nWantedBy=x\n Also=c.path\n"),
            ["a.socket", "b.timer", "c.path"]
        );
    }
}
