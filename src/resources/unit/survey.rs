//! What systemd says of units, read for all of them at once.
//!
//! systemd itself is asked, at the socket where `systemctl` asks it: a `systemctl show` says the same, but costs about
//! 10 ms of CPU, nearly all of it the start of the program. It is what is left for what the socket doesn't tell: to who
//! isn't root, and should systemd do otherwise one day (decision 13).
//!
//! All units of one run share a [`UnitSurvey`], which asks for all of them when the first is observed. Each answer of that
//! one call is given out once and only while it is fresh: whoever asks again (after a change) asks systemd again. Who only
//! looks shares it.

use crate::engine::Result;
use crate::host::bus::{self, Properties, Question, Scalar};
use crate::host::machine::is_booted;
use crate::host::{Command, Host, Kind};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Where unit files are, the first counts (systemd.unit(5)).
const UNIT_FILES: [&str; 3] = ["/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"];
/// How old an answer of the common call may be, in nanoseconds: half a second, the time of observing a plan.
const FRESH: i128 = 500_000_000;
/// Where systemd listens for root alone, without a bus between; its own (systemd(1), "Files").
const SOCKET: &str = "/run/systemd/private";
/// What all interfaces of its units begin with, and the paths of the units (org.freedesktop.systemd1(5)).
const INTERFACE: &str = "org.freedesktop.systemd1.";
const UNITS: &str = "/org/freedesktop/systemd1/unit/";
/// The properties that systemctl is asked for.
const PROPERTIES: &str = "LoadState,UnitFileState,ActiveState,SubState,Result,Type,NRestarts,NeedDaemonReload,FragmentPath,\
     ActiveEnterTimestamp,InactiveExitTimestamp,StateChangeTimestamp";

/// What systemd says of one unit. Empty texts where it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitFacts {
    /// `loaded`, `not-found`, `masked`, `bad-setting`, `error`.
    pub load: String,
    /// `enabled`, `disabled`, `static`, `masked`... (systemctl(1), is-enabled).
    pub file: String,
    /// `active`, `inactive`, `failed`, `activating`, `deactivating`, `reloading`.
    pub active: String,
    /// The state in the words of the unit's kind: `running`, `exited`, `auto-restart`.
    pub sub: String,
    /// How it ended: `success`, `exit-code`, `timeout`.
    pub result: String,
    /// The kind of service: `notify`, `oneshot`.
    pub kind: String,
    /// How often systemd has restarted it by itself.
    pub restarts: String,
    /// Its files changed since systemd read them.
    pub stale: bool,
    /// The unit's own file.
    pub fragment: String,
    /// When it last became active, nanoseconds since the epoch; systemd keeps that in microseconds.
    pub entered: Option<i128>,
    /// When it was last started, likewise.
    pub started: Option<i128>,
    /// When its state last changed, likewise: a reload counts, too.
    pub state_changed: Option<i128>,
}

impl UnitFacts {
    /// Whether it exists and can be used.
    pub fn is_loaded(&self) -> bool {
        self.load == "loaded"
    }

    /// Whether it is masked, for now or for good.
    pub fn is_masked(&self) -> bool {
        self.file.starts_with("masked") || self.load == "masked"
    }

    /// Whether it runs (or has run well and stays so).
    pub fn is_active(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "refreshing")
    }

    /// Whether systemd remembers that it failed.
    pub fn has_failed(&self) -> bool {
        self.active == "failed"
    }

    /// Whether it ended, and systemd is about to start it again by itself.
    pub fn is_restarting(&self) -> bool {
        matches!(self.sub.as_str(), "auto-restart" | "auto-restart-queued")
    }

    /// Whether it is on its way to another state.
    pub fn is_changing(&self) -> bool {
        matches!(self.active.as_str(), "activating" | "deactivating") && !self.is_restarting()
    }

    /// Whether it can't be enabled or disabled, because its file has no place to be linked to.
    pub fn is_fixed(&self) -> bool {
        matches!(self.file.as_str(), "static" | "indirect" | "generated" | "transient")
    }

    /// Whether it starts at boot.
    pub fn is_enabled(&self) -> bool {
        matches!(self.file.as_str(), "enabled" | "alias")
    }
}

/// Reads the answer of `systemctl show` for several units: blocks of `Key=value`, an empty line between them, in the
/// order in which they were asked for.
pub fn parse(text: &str) -> Vec<UnitFacts> {
    let block = |block: &str| {
        let mut facts = UnitFacts::default();
        for (key, value) in block.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "LoadState" => facts.load = value.to_owned(),
                "UnitFileState" => facts.file = value.to_owned(),
                "ActiveState" => facts.active = value.to_owned(),
                "SubState" => facts.sub = value.to_owned(),
                "Result" => facts.result = value.to_owned(),
                "Type" => facts.kind = value.to_owned(),
                "NRestarts" => facts.restarts = value.to_owned(),
                "NeedDaemonReload" => facts.stale = value == "yes",
                "FragmentPath" => facts.fragment = value.to_owned(),
                "ActiveEnterTimestamp" => facts.entered = moment(value),
                "InactiveExitTimestamp" => facts.started = moment(value),
                "StateChangeTimestamp" => facts.state_changed = moment(value),
                _ => {}
            }
        }
        facts
    };
    text.split("\n\n").filter(|part| !part.trim().is_empty()).map(block).collect()
}

/// Asks systemd, in one call. Where it doesn't run (a chroot, an image that is being built) only the files are asked.
pub fn show(host: &dyn Host, names: &[String]) -> Result<BTreeMap<String, UnitFacts>> {
    if !host.has_program("systemctl") {
        let absent = UnitFacts { load: "not-found".to_owned(), ..UnitFacts::default() };
        return Ok(names.iter().map(|name| (name.clone(), absent.clone())).collect());
    }
    if !is_booted(host)? {
        return names.iter().map(|name| Ok((name.clone(), from_files(host, name)?))).collect();
    }
    let mut all = ask_systemd(host, names);
    let left: Vec<String> = names.iter().filter(|name| !all.contains_key(*name)).cloned().collect();
    if !left.is_empty() {
        all.extend(ask_systemctl(host, &left)?);
    }
    Ok(all)
}

/// What `systemctl show` says.
///
/// # Errors
/// When it fails, as it does for all of them when one can be no unit's name.
pub fn ask_systemctl(host: &dyn Host, names: &[String]) -> Result<BTreeMap<String, UnitFacts>> {
    let show = ["show", "--no-pager", "--timestamp=us+utc", "--property", PROPERTIES, "--"];
    let text = host.look(&Command::new("systemctl").args(show).args(names.iter().cloned()))?.text();
    Ok(names.iter().cloned().zip(parse(&text)).collect())
}

/// What systemd tells at its socket: of all these units, of some or of none.
pub fn ask_systemd(host: &dyn Host, names: &[String]) -> BTreeMap<String, UnitFacts> {
    let questions: Vec<Vec<Question>> = names.iter().map(|name| questions(name)).collect();
    let answers = match bus::ask(host, Path::new(SOCKET), &questions.concat()) {
        Ok(answers) => answers,
        Err(error) => {
            tracing::debug!("systemctl is asked in the place of systemd: {error}");
            return BTreeMap::new();
        }
    };
    let mut answers = answers.into_iter();
    let mut all = BTreeMap::new();
    for (name, asked) in names.iter().zip(questions) {
        let own: Option<Vec<Properties>> = answers.by_ref().take(asked.len()).collect();
        match own.filter(|own| own.len() == asked.len()).and_then(|own| told(&own.into_iter().flatten().collect())) {
            Some(facts) => drop(all.insert(name.clone(), facts)),
            None => tracing::debug!("systemctl is asked about {name}"),
        }
    }
    all
}

/// What is asked about a unit. Its states are told all at once; that it was restarted is asked before, so that a restart in
/// between shows at the next look, and how it ended, which explains the states, after.
fn questions(name: &str) -> Vec<Question> {
    let path = format!("{UNITS}{}", escaped(name));
    let ask = |kind: &str, property| Question { path: path.clone(), interface: format!("{INTERFACE}{kind}"), property };
    let (kind, plain): (_, &[&'static str]) = match name.rsplit_once('.').map(|(_, kind)| kind) {
        Some("service") => ("Service", &["Result", "Type"]),
        Some("mount") => ("Mount", &["Result", "Type"]),
        Some("automount") => ("Automount", &["Result"]),
        Some("path") => ("Path", &["Result"]),
        Some("scope") => ("Scope", &["Result"]),
        Some("socket") => ("Socket", &["Result"]),
        Some("swap") => ("Swap", &["Result"]),
        Some("timer") => ("Timer", &["Result"]),
        _ => ("", &[]),
    };
    let before = (kind == "Service").then(|| ask(kind, Some("NRestarts")));
    let after = plain.iter().map(|property| ask(kind, Some(property)));
    before.into_iter().chain([ask("Unit", None)]).chain(after).collect()
}

/// The facts out of what systemd told of a unit; `None` when that isn't whole.
fn told(properties: &Properties) -> Option<UnitFacts> {
    let text = |key: &str| match properties.get(key) {
        Some(Scalar::Text(text)) => text.clone(),
        Some(Scalar::Number(number)) => number.to_string(),
        None => String::new(),
    };
    // Microseconds, 0 for never.
    let moment = |key: &str| match properties.get(key) {
        Some(Scalar::Number(number)) if *number > 0 => Some(i128::from(*number) * 1000),
        _ => None,
    };
    (!text("LoadState").is_empty()).then(|| UnitFacts {
        load: text("LoadState"),
        file: text("UnitFileState"),
        active: text("ActiveState"),
        sub: text("SubState"),
        result: text("Result"),
        kind: text("Type"),
        restarts: text("NRestarts"),
        stale: text("NeedDaemonReload") == "1",
        fragment: text("FragmentPath"),
        entered: moment("ActiveEnterTimestamp"),
        started: moment("InactiveExitTimestamp"),
        state_changed: moment("StateChangeTimestamp"),
    })
}

/// A name in the path of an object: all but letters and digits by their number (sd_bus_path_encode(3)).
fn escaped(name: &str) -> String {
    let one = |(at, byte): (usize, u8)| match byte {
        b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
        b'0'..=b'9' if at > 0 => char::from(byte).to_string(),
        _ => format!("_{byte:02x}"),
    };
    name.bytes().enumerate().map(one).collect()
}

/// `Mon 2026-11-23 18:55:14.123456 UTC` in nanoseconds since the epoch.
fn moment(text: &str) -> Option<i128> {
    let (_, rest) = text.split_once(' ')?;
    let rest = rest.strip_suffix(" UTC")?.replacen(' ', "T", 1);
    let time: jiff::Timestamp = format!("{rest}Z").parse().ok()?;
    Some(i128::from(time.as_microsecond()) * 1000)
}

fn from_files(host: &dyn Host, name: &str) -> Result<UnitFacts> {
    let command = Command::new("systemctl").args(["is-enabled", "--", name]).accept(&[0, 1, 2, 3, 4]);
    let file = host.look(&command)?.text().trim().to_owned();
    let load = if file.is_empty() || file == "not-found" { "not-found" } else { "loaded" };
    let mut facts = UnitFacts { load: load.to_owned(), file, active: "inactive".to_owned(), ..UnitFacts::default() };
    for dir in UNIT_FILES {
        let path = format!("{dir}/{name}");
        if facts.fragment.is_empty() && host.meta(Path::new(&path))?.is_some_and(|meta| meta.kind == Kind::File) {
            facts.fragment = path;
        }
    }
    Ok(facts)
}

/// One unit, asked for now.
pub fn show_one(host: &dyn Host, name: &str) -> Result<UnitFacts> {
    Ok(show(host, &[name.to_owned()])?.remove(name).unwrap_or_default())
}

/// What all units of one run share.
#[derive(Debug, Default)]
pub struct UnitSurvey {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    names: BTreeSet<String>,
    answers: BTreeMap<String, UnitFacts>,
    given: BTreeSet<String>,
    taken: i128,
    asked: bool,
}

impl UnitSurvey {
    /// A survey for one run.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Adds a unit to the common call; not what can be none, for which systemctl would fail as a whole.
    pub fn register(&self, name: &str) {
        if !super::is_unit_name(name) {
            return;
        }
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).names.insert(name.to_owned());
    }

    /// What systemd says of `name`: out of the common call the first time, asked anew every other time.
    pub fn facts(&self, host: &dyn Host, name: &str) -> Result<UnitFacts> {
        self.answer(host, name, true)
    }

    /// The same out of the common call also when it was given out before: for those that change nothing.
    pub fn seen(&self, host: &dyn Host, name: &str) -> Result<UnitFacts> {
        self.answer(host, name, false)
    }

    fn answer(&self, host: &dyn Host, name: &str, once: bool) -> Result<UnitFacts> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if !inner.asked {
            let names: Vec<String> = inner.names.iter().cloned().collect();
            inner.answers = show(host, &names)?;
            inner.taken = host.now();
            inner.asked = true;
        }
        let age = host.now() - inner.taken;
        let is_first = !once || inner.given.insert(name.to_owned());
        let answer = inner.answers.get(name).filter(|_| is_first && (0..FRESH).contains(&age)).cloned();
        drop(inner);
        answer.map_or_else(|| show_one(host, name), Ok)
    }

    /// Forgets the common call: something was changed.
    pub fn forget(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).answers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_of_a_start_is_read_to_the_microsecond() {
        assert_eq!(moment("Thu 1970-01-01 00:00:01.000002 UTC"), Some(1_000_002_000));
        assert_eq!((moment(""), moment("n/a")), (None, None));
    }

    #[test]
    fn what_systemd_answers_itself_is_read_as_what_systemctl_says() {
        let text = |text: &str| Scalar::Text(text.to_owned());
        let mut said = Properties::from([
            ("LoadState".to_owned(), text("loaded")),
            ("UnitFileState".to_owned(), text("enabled")),
            ("NeedDaemonReload".to_owned(), Scalar::Number(1)),
            ("NRestarts".to_owned(), Scalar::Number(0)),
            ("ActiveEnterTimestamp".to_owned(), Scalar::Number(1_000_002)),
            ("StateChangeTimestamp".to_owned(), Scalar::Number(0)),
        ]);
        let shown = "LoadState=loaded\nUnitFileState=enabled\nNeedDaemonReload=yes\nNRestarts=0\n\
            ActiveEnterTimestamp=Thu 1970-01-01 00:00:01.000002 UTC\nStateChangeTimestamp=\n";
        assert_eq!(told(&said).as_ref(), parse(shown).first());
        said.remove("LoadState");
        assert_eq!(told(&said), None);
    }

    #[test]
    fn a_unit_is_an_object_whose_path_has_letters_and_digits_only() {
        assert_eq!(escaped("getty@tty1.service"), "getty_40tty1_2eservice");
        assert_eq!(escaped("0a\\x2db.mount"), "_30a_5cx2db_2emount");
    }

    #[test]
    fn one_answer_holds_several_units_in_the_order_asked() {
        let text = "Type=notify\nNRestarts=0\nResult=success\nId=ssh.service\nLoadState=loaded\nActiveState=active\n\
                    SubState=running\nUnitFileState=enabled\nNeedDaemonReload=no\n\nId=nope.service\n\
                    LoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\nNeedDaemonReload=no\n";
        let facts = parse(text);
        assert_eq!(facts.len(), 2);
        assert!(facts[0].is_loaded() && facts[0].is_active() && facts[0].is_enabled() && facts[0].kind == "notify");
        assert!(!facts[1].is_loaded() && !facts[1].is_active() && !facts[1].is_enabled());
    }
}
