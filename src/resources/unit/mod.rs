//! A systemd unit: whether it starts at boot, runs now, is masked. What counts is what systemd has in force, not what
//! files say.
//!
//! `static` and generated units have nothing that could be enabled: they satisfy either wish. A unit that isn't there
//! satisfies the wish that it be disabled and stopped.

pub mod debt;
pub mod health;
pub mod survey;
pub mod undo;

use self::survey::{UnitFacts, UnitSurvey};
use self::undo::UndoUnit;
use super::fields;
use crate::base::ids::ResourceId;
use crate::engine::{Action, Change, Context, Debt, DebtKind, Error, Health, Resource, Result, State, UndoRecord};
use crate::host::machine::is_booted;
use crate::host::{self, Command, Host};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use self::undo::{UNDO, decode};

/// How long a unit may take to start or stop (systemd's own limits are mostly 90 s; oneshot units have none).
const PATIENCE: Duration = Duration::from_secs(300);
/// For how many seconds a unit that was started must run on, when its module does not say.
const STARTED: u32 = 1;
/// How many lines of the journal explain a failure.
const LINES: &str = "15";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default, deserialize_with = "fields::optional_boolean")]
    enabled: Option<bool>,
    #[serde(default, deserialize_with = "fields::optional_boolean")]
    active: Option<bool>,
    #[serde(default, deserialize_with = "fields::boolean")]
    masked: bool,
    #[serde(default)]
    healthy: BTreeMap<String, String>,
}

/// A unit that must be in a state.
#[derive(Debug)]
pub struct Unit {
    id: ResourceId,
    fields: Fields,
    health: Health,
    survey: Arc<UnitSurvey>,
}

/// What a manifest says of when a unit is well.
pub fn health(name: &str, fields: &Map<String, Value>, module: &str) -> Result<Health> {
    let read: Fields = fields::read("unit", name, fields, module)?;
    let wrong = |why: String| fields::invalid("unit", name, module, why);
    let mut health = Health::default();
    for (key, value) in &read.healthy {
        let seconds = || match value.trim().parse::<u32>() {
            Ok(seconds) if seconds <= 300 => Ok(Some(seconds)),
            _ => Err(wrong(format!("healthy: {key} wants seconds from 0 to 300, not \"{value}\""))),
        };
        match key.as_str() {
            "stable" => health.stable = seconds()?,
            "within" => health.within = seconds()?,
            "port" => {
                health.ports =
                    value.split([' ', ',', '\n']).filter(|port| !port.is_empty()).map(str::to_owned).collect();
                let good = |port: &String| {
                    let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
                    number.parse::<u16>().is_ok_and(|n| n > 0) && matches!(protocol, "tcp" | "udp")
                };
                if let Some(bad) = health.ports.iter().find(|port| !good(port)) {
                    return Err(wrong(format!("healthy: \"{bad}\" is no port such as 80 or 53/udp")));
                }
            }
            _ => return Err(wrong(format!("healthy knows port, stable and within, not \"{key}\""))),
        }
    }
    Ok(health)
}

fn is_service(name: &str) -> bool {
    name.ends_with(".service")
}

/// Whether this is the whole name of a unit (systemd.unit(5)); a template without its instance is none.
fn is_unit_name(name: &str) -> bool {
    const KINDS: [&str; 8] = ["service", "socket", "timer", "path", "mount", "target", "slice", "swap"];
    let plain = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    let stem = name.rsplit_once('.').filter(|(_, kind)| KINDS.contains(kind)).map(|(stem, _)| stem);
    stem.is_some_and(|stem| !stem.is_empty() && !stem.ends_with('@') && !stem.starts_with('-'))
        && name.chars().all(plain)
}

impl Unit {
    /// The unit that a manifest asks for; all units of a run share one `survey`.
    pub fn from_spec(
        name: &str,
        fields: &Map<String, Value>,
        module: &str,
        survey: &Arc<UnitSurvey>,
    ) -> Result<Box<dyn Resource>> {
        let read: Fields = fields::read("unit", name, fields, module)?;
        if !is_unit_name(name) {
            return Err(fields::invalid("unit", name, module, "this is no whole name of a unit, such as ssh.service"));
        }
        if read.masked && (read.enabled == Some(true) || read.active == Some(true)) {
            return Err(fields::invalid("unit", name, module, "a masked unit can be neither enabled nor active"));
        }
        if !read.masked && read.enabled.is_none() && read.active.is_none() {
            return Err(fields::invalid("unit", name, module, "it asks for nothing: say enabled, active or masked"));
        }
        let health = health(name, fields, module)?;
        survey.register(name);
        Ok(Box::new(Unit { id: ResourceId::new("unit", name), fields: read, health, survey: survey.clone() }))
    }

    fn name(&self) -> &str {
        self.id.name()
    }

    /// The facts in the words of the wish: only what is looked after.
    fn state(&self, facts: &UnitFacts) -> Value {
        let f = &self.fields;
        let mut state = Map::from_iter([("masked".to_owned(), Value::Bool(facts.is_masked()))]);
        if let Some(wish) = f.enabled {
            let enabled = if facts.is_fixed() { wish } else { facts.is_enabled() };
            state.insert("enabled".to_owned(), enabled.into());
        }
        if f.active.is_some() {
            state.insert("active".to_owned(), facts.is_active().into());
        }
        let needed = f.enabled == Some(true) || f.active == Some(true);
        if needed && !facts.is_loaded() && !facts.is_masked() {
            state.insert("load".to_owned(), facts.load.clone().into());
        } else if f.active == Some(true) && (facts.active == "failed" || facts.is_restarting()) {
            state.insert("failed".to_owned(), facts.result.clone().into());
        }
        Value::Object(state)
    }

    fn wanted(&self) -> Value {
        let f = &self.fields;
        let mut state = Map::from_iter([("masked".to_owned(), Value::Bool(f.masked))]);
        state.extend(f.enabled.map(|wish| ("enabled".to_owned(), wish.into())));
        state.extend(f.active.map(|wish| ("active".to_owned(), wish.into())));
        Value::Object(state)
    }

    /// What must be done, in the order in which it is done: verbs of systemctl.
    fn verbs(&self, seen: &Value) -> Vec<&'static str> {
        let wanted = self.wanted();
        let differs = |key: &str| (wanted[key] != seen[key]).then(|| wanted[key].as_bool()).flatten();
        let mut verbs = Vec::new();
        if differs("masked") == Some(false) {
            verbs.push("unmask");
        }
        verbs.extend(differs("enabled").map(|wish| if wish { "enable" } else { "disable" }));
        verbs.extend(differs("active").map(|wish| if wish { "start" } else { "stop" }));
        if differs("masked") == Some(true) {
            verbs.push("mask");
        }
        verbs
    }

    fn start(&self, context: &Context<'_>, facts: &UnitFacts) -> Result<()> {
        let host = context.host;
        if !is_booted(host)? {
            let why = "systemd does not run here (a chroot or an image that is being built)";
            return Err(Error::refused("systemd-not-running", format!("start {}", self.name()), why)
                .fix("run it on the booted host, or leave out `active`"));
        }
        if facts.active == "failed" {
            systemctl(host, "reset-failed", self.name())?;
        }
        let what = format!("start {}", self.name());
        match systemctl(host, "start", self.name()) {
            Err(Error::Host(host::Error::Failed { tail, .. })) => {
                return Err(failure(host, "unit-failed", &what, self.name(), &tail));
            }
            started => started?,
        }
        let mut health = self.health.clone();
        health.stable = health.stable.or(Some(STARTED));
        // As after a restart: it was asked to run, so it must.
        let started = Debt { healthy: health, ran: true, ..Debt::new(DebtKind::Restart, self.name()) };
        match health::prove(host, &[started]).pop() {
            Some(Err(Error::Refused { code, why, fix, module, .. })) => {
                Err(Error::Refused { code, what, why, fix, module })
            }
            Some(proved) => proved,
            None => Ok(()),
        }
    }
}

/// Runs one verb of systemctl on one unit.
pub(super) fn systemctl(host: &dyn Host, verb: &str, name: &str) -> Result<()> {
    host.run(&Command::new("systemctl").args([verb, "--", name]).timeout(PATIENCE))?;
    Ok(())
}

/// The refusal of a unit that would not start or did not stay well, with what it said last.
pub(super) fn failure(host: &dyn Host, code: &'static str, what: &str, name: &str, said: &str) -> Error {
    let journal = Command::new("journalctl").args([
        "--no-pager",
        "--quiet",
        "--boot",
        "--output",
        "cat",
        "--lines",
        LINES,
        "--unit",
        name,
    ]);
    // The journal only explains: without it the reason of systemctl must do.
    let lines = host.look(&journal).map(|output| output.text()).unwrap_or_default();
    let (said, lines) = (said.trim(), lines.trim_end());
    let why = match code {
        _ if lines.trim().is_empty() => said.to_owned(),
        "unit-failed" => lines.to_owned(),
        _ => format!("{said}\n{lines}"),
    };
    Error::refused(code, what, why)
        .fix(format!("see systemctl status {name}; correct what it complains of, then run again"))
}

impl Resource for Unit {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn observe(&self, host: &dyn Host) -> Result<State> {
        Ok(State(self.state(&self.survey.facts(host, self.name())?)))
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        let wanted = self.wanted();
        if seen.0 == wanted {
            return Ok(Change::keep(seen));
        }
        let verbs = self.verbs(&seen.0);
        let action = if seen.0.get("load").is_some() { Action::Create } else { Action::Update };
        let mut summary = verbs.join(" and ");
        if let Some(result) = seen.0.get("failed").and_then(Value::as_str) {
            summary.push_str(&format!(" (it failed: {result})"));
        }
        Ok(Change::new(action, summary, wanted))
    }

    /// When systemd last saw it change its state.
    fn changed(&self, host: &dyn Host) -> Result<Option<i128>> {
        if !host.has_program("systemctl") || !is_booted(host)? {
            return Ok(None);
        }
        Ok(survey::show_one(host, self.name())?.state_changed)
    }

    fn capture(&self, context: &Context<'_>, _: &State, _: &Change) -> Result<UndoRecord> {
        let facts = survey::show_one(context.host, self.name())?;
        let undo = UndoUnit::capture(context.host, self.name(), &facts, self.fields.active)?;
        Ok(UndoRecord::new(UNDO, serde_json::to_value(undo).unwrap_or_default()))
    }

    /// Links come one after the other (`Also=`), and the first is all that shows; each verb may be given twice.
    fn goes_on(&self, before: &State, _: &Change, now: &State) -> bool {
        now != before
    }

    fn apply(&self, context: &Context<'_>, seen: &State, _: &Change) -> Result<()> {
        self.survey.forget();
        let host = context.host;
        let booted = is_booted(host)?;
        let mut facts = survey::show_one(host, self.name())?;
        if booted && (facts.stale || facts.load == "not-found") {
            undo::daemon_reload(host)?;
            facts = survey::show_one(host, self.name())?;
        }
        let state = self.state(&facts);
        if state["load"] == "not-found" {
            let what = format!("{} {}", self.verbs(&state).join(" and "), self.name());
            return Err(Error::refused("unit-missing", what, "there is no such unit")
                .fix("correct its name, or add the package that brings it"));
        }
        let planned = self.verbs(&seen.0).into_iter().filter(|verb| *verb != "enable" || !facts.is_fixed());
        for verb in planned {
            if verb == "start" {
                self.start(context, &survey::show_one(host, self.name())?)?;
            } else {
                systemctl(host, verb, self.name())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn unit(fields: Value) -> Result<Box<dyn Resource>> {
        let Value::Object(fields) = fields else { panic!("not an object") };
        Unit::from_spec("web.service", &fields, "web", &UnitSurvey::new())
    }

    #[test]
    fn the_plan_of_a_unit_that_is_not_there_yet_says_enable_and_start() {
        let unit = unit(json!({"enabled": true, "active": "true"})).unwrap();
        let seen = State(json!({"masked": false, "enabled": false, "active": false, "load": "not-found"}));
        let change = unit.compare(&seen).unwrap();
        assert_eq!((change.action, change.summary.as_str()), (Action::Create, "enable and start"));
        assert_eq!(change.after.0, json!({"masked": false, "enabled": true, "active": true}));
        assert!(!unit.compare(&change.after).unwrap().is_needed());
    }

    #[test]
    fn wishes_that_contradict_each_other_are_refused() {
        assert!(unit(json!({"masked": true, "active": true})).is_err());
        assert!(unit(json!({})).is_err());
        assert!(unit(json!({"enabled": true, "colour": "red"})).is_err());
    }

    #[test]
    fn only_whole_names_of_units_are_taken() {
        assert!(is_unit_name("ssh.service") && is_unit_name("getty@tty1.service") && is_unit_name("a\\x2db.mount"));
        assert!(!is_unit_name("ssh") && !is_unit_name("getty@.service") && !is_unit_name("--now.service"));
    }
}
