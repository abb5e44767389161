//! Whether units are well after something was done to them: they run on for a while, and their ports answer. All of
//! them are watched at once, so that ten units take no longer than one.

use super::survey::{self, UnitFacts};
use super::{failure, is_service};
use crate::engine::{Debt, DebtKind, Result};
use crate::host::machine::is_booted;
use crate::host::{Host, sockets};
use std::time::Duration;

/// How long a service must run on, when its module does not say.
pub const STABLE: Duration = Duration::from_secs(2);
/// How long its ports may take to answer, when its module does not say.
pub const WITHIN: Duration = Duration::from_secs(15);
/// How long a unit may be on its way to another state.
const PATIENCE: Duration = Duration::from_secs(300);
/// The time between two looks, at least.
const STEP: Duration = Duration::from_millis(200);

/// What a look at a unit says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It is well.
    Well,
    /// That can't be said yet.
    Wait,
    /// It isn't, and why.
    Sick(String),
}

/// A unit that is watched.
#[derive(Debug)]
struct Watched<'a> {
    debt: &'a Debt,
    /// What was seen first: how often systemd had restarted it.
    restarts: Option<String>,
    /// When it became active, as last seen.
    entered: Option<i128>,
    /// How long it has run on.
    stable: Duration,
    /// How long it had been watched when it was looked at last.
    seen: Duration,
    verdict: Verdict,
}

/// Watches the units of all these debts, which were paid just now, until each is well or not. The outcomes are in the
/// order of the debts.
///
/// # Errors
/// `unit-unhealthy` with what was seen and the last lines of the unit's journal.
pub fn prove(host: &dyn Host, debts: &[Debt]) -> Vec<Result<()>> {
    let mut watched: Vec<Watched<'_>> = debts.iter().map(Watched::new).collect();
    let watching = watch(host, &mut watched);
    let outcome = |one: &Watched<'_>| {
        let act = one.debt.to_string();
        match (&one.verdict, &watching) {
            (Verdict::Sick(why), _) => Err(failure(host, "unit-unhealthy", &act, &one.debt.unit, why)),
            // Nothing is proved when systemd can't be asked.
            (Verdict::Wait, Err(error)) => {
                let why = format!("whether it is well can't be told: {error}");
                Err(failure(host, "unit-unhealthy", &act, &one.debt.unit, &why))
            }
            (Verdict::Well, _) | (Verdict::Wait, Ok(())) => Ok(()),
        }
    };
    watched.iter().map(outcome).collect()
}

fn watch(host: &dyn Host, watched: &mut [Watched<'_>]) -> Result<()> {
    if watched.is_empty() || !is_booted(host)? {
        return Ok(());
    }
    let mut waited = Duration::ZERO;
    loop {
        let names: Vec<String> = watched.iter().map(|one| one.debt.unit.clone()).collect();
        let facts = survey::show(host, &names)?;
        let wants_ports = watched.iter().any(|one| !one.debt.healthy.ports.is_empty());
        let listening = if wants_ports { sockets::listening(host) } else { Vec::new() };
        for one in watched.iter_mut().filter(|one| one.verdict == Verdict::Wait) {
            let Some(facts) = facts.get(&one.debt.unit) else { continue };
            let missing = one.debt.healthy.ports.iter().find(|port| !sockets::answers(&listening, port));
            one.look(facts, missing.map(String::as_str), waited, host.now());
        }
        let waiting = watched.iter().filter(|one| one.verdict == Verdict::Wait);
        let pauses = waiting.map(|one| facts.get(&one.debt.unit).map_or(STEP, |facts| one.pause(facts)));
        let Some(pause) = pauses.min() else { return Ok(()) };
        host.pause(pause);
        waited += pause;
    }
}

impl<'a> Watched<'a> {
    fn new(debt: &'a Debt) -> Self {
        Watched {
            debt,
            restarts: None,
            entered: None,
            stable: Duration::ZERO,
            seen: Duration::ZERO,
            verdict: Verdict::Wait,
        }
    }

    /// One look. `missing`: a port of it that does not answer. `waited`: how long all are watched by now.
    fn look(&mut self, facts: &UnitFacts, missing: Option<&str>, waited: Duration, now: i128) {
        match (self.restarts.is_some(), self.entered == facts.entered) {
            (true, true) => self.stable += waited - self.seen,
            (true, false) => self.stable = Duration::ZERO,
            // A reload doesn't start it, but what it does to it is seen only from now on.
            (false, _) if self.debt.kind == DebtKind::Reload => {}
            (false, _) => {
                let age = facts.entered.map_or(0, |entered| (now - entered).max(0));
                self.stable = Duration::from_nanos(u64::try_from(age).unwrap_or(u64::MAX));
            }
        }
        self.entered = facts.entered;
        self.seen = waited;
        let before = self.restarts.replace(facts.restarts.clone());
        self.verdict = verdict(self.debt, facts, before.as_deref(), missing, self.stable, waited);
    }

    /// How long to wait before the next look: of a service that runs, that it ended in between is seen afterwards, too.
    fn pause(&self, facts: &UnitFacts) -> Duration {
        let is_running = facts.is_active() && facts.sub == "running" && !facts.is_changing();
        let left = if is_running { must_run(self.debt).saturating_sub(self.stable) } else { STEP };
        left.clamp(STEP, STABLE)
    }
}

/// How long a service must run on.
fn must_run(debt: &Debt) -> Duration {
    debt.healthy.stable.map_or(STABLE, |seconds| Duration::from_secs(seconds.into()))
}

/// The decision on one unit.
fn verdict(
    debt: &Debt,
    facts: &UnitFacts,
    restarts: Option<&str>,
    missing: Option<&str>,
    stable: Duration,
    waited: Duration,
) -> Verdict {
    let within = debt.healthy.within.map_or(WITHIN, |seconds| Duration::from_secs(seconds.into()));
    if facts.has_failed() {
        return Verdict::Sick(format!("it failed: {}", facts.result));
    }
    if facts.is_restarting() || restarts.is_some_and(|before| before != facts.restarts) {
        return Verdict::Sick(format!("it ended ({}), and systemd restarts it", facts.result));
    }
    if facts.is_changing() {
        return if waited < PATIENCE { Verdict::Wait } else { Verdict::Sick(format!("it is still {}", facts.active)) };
    }
    if !facts.is_active() {
        // What does its work and ends has done it. And what a package brings may have reasons not to run on.
        let may_end = facts.kind == "oneshot" && facts.result == "success" || debt.kind == DebtKind::Start;
        return if may_end { Verdict::Well } else { Verdict::Sick("it ended by itself".to_owned()) };
    }
    if is_service(&debt.unit) && facts.sub == "running" && stable < must_run(debt) {
        return Verdict::Wait;
    }
    match missing {
        None => Verdict::Well,
        Some(_) if waited < within => Verdict::Wait,
        Some(port) => Verdict::Sick(format!("it runs, but nothing listens on port {port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Health;

    fn facts(active: &str, sub: &str) -> UnitFacts {
        UnitFacts { active: active.into(), sub: sub.into(), restarts: "0".into(), ..UnitFacts::default() }
    }

    fn debt(kind: DebtKind, health: Health) -> Debt {
        Debt { healthy: health, ..Debt::new(kind, "web.service") }
    }

    const LONG: Duration = Duration::from_secs(1000);

    #[test]
    fn a_service_is_well_when_it_runs_on_for_as_long_as_it_must() {
        let restart = debt(DebtKind::Restart, Health::default());
        let look = |stable: u64| {
            verdict(&restart, &facts("active", "running"), Some("0"), None, Duration::from_millis(stable), LONG)
        };
        assert_eq!((look(1900), look(2000)), (Verdict::Wait, Verdict::Well));
        let longer = debt(DebtKind::Restart, Health { stable: Some(5), ..Health::default() });
        assert_eq!(verdict(&longer, &facts("active", "running"), None, None, STABLE, LONG), Verdict::Wait);
        // What runs no process has nothing that could end.
        assert_eq!(verdict(&longer, &facts("active", "exited"), None, None, Duration::ZERO, LONG), Verdict::Well);
    }

    #[test]
    fn one_that_ends_or_is_restarted_or_fails_is_not() {
        let restart = debt(DebtKind::Restart, Health::default());
        let sick = |facts: &UnitFacts, before: &str| {
            matches!(verdict(&restart, facts, Some(before), None, LONG, LONG), Verdict::Sick(_))
        };
        assert!(sick(&facts("failed", "failed"), "0") && sick(&facts("inactive", "dead"), "0"));
        assert!(sick(&facts("activating", "auto-restart"), "0"));
        assert!(sick(&facts("activating", "auto-restart-queued"), "0"));
        assert!(sick(&UnitFacts { restarts: "1".into(), ..facts("active", "running") }, "0"));
        assert!(sick(&facts("activating", "start"), "0"), "not for ever");
        let started = debt(DebtKind::Start, Health::default());
        assert_eq!(verdict(&started, &facts("inactive", "dead"), Some("0"), None, LONG, LONG), Verdict::Well);
        let oneshot = UnitFacts { kind: "oneshot".into(), result: "success".into(), ..facts("inactive", "dead") };
        assert_eq!(verdict(&restart, &oneshot, Some("0"), None, LONG, LONG), Verdict::Well);
    }

    #[test]
    fn a_port_that_does_not_answer_is_waited_for_and_then_told() {
        let web = debt(DebtKind::Restart, Health { within: Some(3), ..Health::default() });
        let look = |missing, waited| {
            verdict(&web, &facts("active", "running"), Some("0"), missing, LONG, Duration::from_secs(waited))
        };
        assert_eq!(look(None, 0), Verdict::Well);
        assert_eq!(look(Some("80/tcp"), 2), Verdict::Wait);
        assert_eq!(look(Some("80/tcp"), 3), Verdict::Sick("it runs, but nothing listens on port 80/tcp".into()));
    }

    #[test]
    fn nothing_is_proved_when_systemd_cannot_be_asked() {
        let bench = crate::resources::bench::Bench::new();
        bench.put("/run/systemd/system/x", "");
        bench.program("systemctl", "echo no bus >&2; exit 1");
        let debts = [debt(DebtKind::Restart, Health::default()), debt(DebtKind::Reload, Health::default())];
        let outcomes = prove(bench.host(), &debts);
        assert_eq!(outcomes.len(), 2);
        for outcome in outcomes {
            let told = outcome.unwrap_err().to_string();
            assert!(told.contains("can't be told") && told.contains("no bus"), "{told}");
        }
    }

    #[test]
    fn the_time_that_it_runs_on_counts_from_its_start_and_anew_from_each_further_one() {
        let second = 1_000_000_000;
        let watch = debt(DebtKind::Restart, Health::default());
        let mut one = Watched::new(&watch);
        let at = |entered: i128| UnitFacts { entered: Some(entered * second), ..facts("active", "running") };
        one.look(&at(99), None, Duration::ZERO, 100 * second);
        assert_eq!((one.stable, one.verdict.clone()), (Duration::from_secs(1), Verdict::Wait));
        one.look(&at(101), None, STEP, 101 * second);
        assert_eq!(one.stable, Duration::ZERO);
        let reload = debt(DebtKind::Reload, Health::default());
        let mut one = Watched::new(&reload);
        one.look(&at(0), None, Duration::ZERO, 100 * second);
        assert_eq!(one.verdict, Verdict::Wait, "a reload is watched as long as a start");
        // What runs is looked at again when it has run for long enough.
        let mut one = Watched::new(&watch);
        one.look(&at(99), None, Duration::ZERO, 100 * second);
        assert_eq!(one.pause(&at(99)), Duration::from_secs(1));
        one.look(&at(99), None, Duration::from_secs(1), 101 * second);
        assert_eq!((one.stable, one.verdict.clone()), (STABLE, Verdict::Well));
        assert_eq!(one.pause(&facts("activating", "start")), STEP);
        let patient = debt(DebtKind::Restart, Health { stable: Some(60), ..Health::default() });
        assert_eq!(Watched::new(&patient).pause(&at(0)), STABLE, "one that ends is found before the minute is over");
        // Started long ago and only looked at: nothing is waited for.
        let mut one = Watched::new(&watch);
        one.look(&at(0), None, Duration::ZERO, 100 * second);
        assert_eq!(one.verdict, Verdict::Well);
    }
}
