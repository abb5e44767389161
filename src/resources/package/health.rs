//! Whether dpkg and apt are in order: what an interruption left, and dependencies that nothing meets. Found before
//! anything is installed or removed; [`heal`] puts it right and says what it did.

use super::aborted;
use super::apt::{self, TRANSACTION_TIME};
use super::damage::is_blank;
use super::database::{self, Database, Known};
use super::failure;
use super::guard::take_guard;
use super::holder::Holder;
use super::locks::wait_for_locks;
use super::set::mark;
use super::unsynced;
use crate::engine::{Error, Event, Patience, Progress, Result};
use crate::host::{Command, Host, read_if_there};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// What dpkg notes of triggers that are still to be told to packages. It does not sync it, and of zeros it makes nothing:
/// whatever it is asked for, it refuses.
const DEFERRED: &str = "/var/lib/dpkg/triggers/Unincorp";
/// How many names one line of words holds.
const SHOWN: usize = 8;

/// What is not in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ailments {
    /// dpkg was killed while it wrote its database.
    #[serde(default)]
    pub interrupted: bool,
    /// Packages on which dpkg's work was cut off or failed, with their states: `half-installed`.
    #[serde(default)]
    pub unfinished: BTreeMap<String, String>,
    /// Dependencies that nothing meets: `a needs b (>= 2)`.
    #[serde(default)]
    pub unmet: Vec<String>,
    /// The machine stopped before the disk had all new packages, which were not synced one by one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsynced: bool,
}

impl Ailments {
    /// What is not in order; `None` when all is, and while somebody works on packages: what is unfinished then is being
    /// finished. Dependencies are looked at only when something `is_wanted`: nobody else minds them.
    pub fn find(host: &dyn Host, database: &Database, is_wanted: bool) -> Result<Option<Ailments>> {
        let found = Ailments::look(host, database, is_wanted)?;
        Ok(if found.is_some() && Holder::find(host)?.is_some() { None } else { found })
    }

    fn look(host: &dyn Host, database: &Database, is_wanted: bool) -> Result<Option<Ailments>> {
        let state = |p: &Known| {
            let leaving = if p.is_leaving { ", being removed" } else { "" };
            format!("{}{}{leaving}", p.state, if p.reinstall { ", to be reinstalled" } else { "" })
        };
        let unfinished = database.all().filter(|(_, p)| p.is_unfinished()).map(|(n, p)| (n.to_owned(), state(p)));
        let mut found = Ailments {
            interrupted: database::is_interrupted(host)?,
            unfinished: unfinished.collect(),
            unmet: vec![],
            unsynced: unsynced::marked(host)?.is_some(),
        };
        let unmet = if is_wanted || !found.unfinished.is_empty() { database.unmet() } else { Vec::new() };
        // apt has the last word: it knows what may stand for what.
        if !unmet.is_empty() && (!found.unfinished.is_empty() || !is_sound(host)?) {
            found.unmet = unmet;
        }
        Ok((found != Ailments::default()).then_some(found))
    }

    /// Whether anything is not in order, whoever is at it.
    pub fn are_there(host: &dyn Host) -> Result<bool> {
        Ok(Ailments::look(host, &Database::read(host)?, true)?.is_some())
    }

    /// One line for each, for the plan.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.interrupted {
            lines.push("dpkg was interrupted while it wrote its database".to_owned());
        }
        lines.extend(self.unfinished.iter().map(|(name, state)| format!("{name} is {state}")));
        lines.extend(self.unmet.iter().cloned());
        if self.unsynced {
            lines.push("the machine stopped before the disk had all files of the new packages".to_owned());
        }
        lines
    }

    /// All in one line: `dpkg was interrupted at vim and 3 others`.
    fn summary(&self) -> String {
        let names: Vec<&str> = self.unfinished.keys().map(String::as_str).collect();
        match (names.as_slice(), self.unmet.as_slice()) {
            ([], []) if self.unsynced => "the machine stopped before the disk had all new packages".to_owned(),
            ([], []) => "dpkg was interrupted".to_owned(),
            ([], unmet) => format!("dependencies are not met: {}", some(unmet)),
            (names, _) => format!("dpkg was interrupted at {}", some(names)),
        }
    }
}

/// The first of them, and how many more there are.
fn some<S: AsRef<str>>(names: &[S]) -> String {
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Whether apt finds every dependency met.
fn is_sound(host: &dyn Host) -> Result<bool> {
    let check = Command::new("apt-get").args(["-q", "-s", "check"]).accept(&[0, 100]).timeout(Duration::from_secs(120));
    Ok(host.look(&check)?.code == 0)
}

/// How healing goes about it.
#[derive(Debug, Clone, Copy)]
pub struct Healing<'a> {
    /// How others who work with packages are waited for.
    pub patience: Patience<'a>,
    /// Services that are configured on the way wait for theirs: it is our own work that was cut off.
    pub holds_services: bool,
}

/// Finishes what an interrupted dpkg left and meets what is unmet; says what it found and did. Nothing to do costs
/// nothing, and is `false`. Removes no package. Refuses with `dpkg-broken` when something is left.
pub fn heal(host: &dyn Host, progress: &dyn Progress, healing: Healing<'_>) -> Result<bool> {
    if !Ailments::are_there(host)? {
        return Ok(false);
    }
    // Perhaps it is only unfinished because somebody is at it.
    wait_for_locks(host, progress, healing.patience)?;
    let before = Database::read(host)?;
    let Some(ailments) = Ailments::look(host, &before, true)? else { return Ok(false) };
    if healing.holds_services {
        take_guard(host, progress)?;
    }
    let line = format!("{}; bringing it in order", ailments.summary());
    progress.tell(&Event::Note { line: &line });
    if read_if_there(host, DEFERRED)?.is_some_and(|text| !text.is_empty() && is_blank(&text)) {
        host.remove(Path::new(DEFERRED))?;
    }
    let forgotten = aborted::forget(host, &before)?;
    // Before a script runs: the programs that it calls must be whole.
    let unsynced = unsynced::marked(host)?;
    let is_mended = unsynced.as_ref().map_or(Ok(false), |names| unsynced::mend(host, progress, names))?;
    let lost_conffiles = unsynced.as_ref().map(|_| "--force-confmiss");
    let configure = ["--force-confdef", "--force-confold", "--configure", "-a"];
    let dpkg = Command::new("dpkg").args(lost_conffiles).args(configure).accept(&[0, 1, 2]).timeout(TRANSACTION_TIME);
    let first = host.run(&dpkg)?;
    let mut text = first.text() + &String::from_utf8_lossy(&first.stderr);
    // dpkg --configure leaves packages alone that must be reinstalled, and those with unmet dependencies.
    let database = Database::read(host)?;
    let damaged = database.all().filter(|(_, p)| p.reinstall && !p.is_leaving).map(|(n, _)| n);
    let reinstall: BTreeSet<&str> = forgotten.iter().map(String::as_str).chain(damaged).collect();
    if !reinstall.is_empty() {
        let args = ["--no-remove", "--reinstall", "install"].into_iter().chain(reinstall).map(str::to_owned);
        let output = apt::run(host, progress, None, &args.collect::<Vec<_>>())?;
        text = output.text() + &String::from_utf8_lossy(&output.stderr);
        // What apt is asked for by name it takes for wanted.
        let now = Database::read(host)?;
        let was_auto = |name: &String| before.known(name).is_some_and(|p| p.auto) && now.installed(name).is_some();
        mark(host, "auto", &forgotten.into_iter().filter(was_auto).collect::<Vec<_>>())?;
    }
    if Ailments::are_there(host)? {
        let args = ["--no-remove", "-f", "install"].map(str::to_owned);
        let output = apt::run(host, progress, None, &args)?;
        text = output.text() + &String::from_utf8_lossy(&output.stderr);
    }
    if let Some(names) = &unsynced {
        if is_mended {
            unsynced::require_whole(host, names, &text)?;
        }
        unsynced::end(host)?;
    }
    let after = Database::read(host)?;
    let Some(left) = Ailments::look(host, &after, true)? else {
        let line = format!("dpkg is in order again: {}", outcome(&ailments, &before, &after));
        progress.tell(&Event::Note { line: &line });
        return Ok(true);
    };
    Err(Error::refused(
        "dpkg-broken",
        "cannot bring dpkg in order",
        format!("{}\n{}", left.lines().join("\n"), failure::last_lines(&text, 8)),
    )
    .fix("see what they lack: dpkg --audit; apt-get check")
    .fix("then dpkg --configure -a && apt-get -f install, which may want to remove packages: read what it says"))
}

/// What became of what was found: `finished vim; installed libx`.
fn outcome(ailments: &Ailments, before: &Database, after: &Database) -> String {
    let is_there = |name: &&String| after.installed(name).is_some();
    let (there, gone): (Vec<&String>, Vec<&String>) = ailments.unfinished.keys().partition(is_there);
    let was_whole = |name: &str| before.known(name).is_some_and(Known::is_coming);
    let came: Vec<&str> = after.all().filter(|(n, p)| p.is_installed() && !was_whole(n)).map(|(n, _)| n).collect();
    let came: Vec<&str> = came.into_iter().filter(|n| !ailments.unfinished.contains_key(*n)).collect();
    let mut parts = Vec::new();
    for (names, word) in [(there, "finished"), (gone, "no longer there:")] {
        if !names.is_empty() {
            parts.push(format!("{word} {}", some(&names)));
        }
    }
    if !came.is_empty() {
        parts.push(format!("installed {}", some(&came)));
    }
    if ailments.unsynced {
        parts.push("the disk has all files".to_owned());
    }
    if parts.is_empty() { "its database is whole".to_owned() } else { parts.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_cut_short() {
        assert_eq!(some(&["a", "b"]), "a, b");
        assert_eq!(some(&["a"; 10]), "a, a, a, a, a, a, a, a and 2 more");
    }

    #[test]
    fn what_was_done_is_told_by_what_is_there_now() {
        let status =
            |name: &str, state: &str| format!("Package: {name}\nStatus: {state}\nArchitecture: all\nVersion: 1\n\n");
        let before = status("vim", "install ok unpacked") + &status("old", "deinstall ok half-installed");
        let after = status("vim", "install ok installed") + &status("libx", "install ok installed");
        let (before, after) = (Database::parse(&before, ""), Database::parse(&after, ""));
        let names = ["vim", "old"].map(|n| (n.to_owned(), String::new()));
        let ailments = Ailments { unfinished: names.into(), ..Ailments::default() };
        assert_eq!(outcome(&ailments, &before, &after), "finished vim; no longer there: old; installed libx");
        assert_eq!(outcome(&Ailments::default(), &after, &after), "its database is whole");
    }
}
