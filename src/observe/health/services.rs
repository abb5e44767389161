//! Units that failed, and the timers that look after this host.

use super::{Looked, State};
use crate::engine::Result;
use crate::host::machine::is_booted;
use crate::host::{Command, Host};
use crate::resources::unit::survey::{self, UnitFacts};
use std::time::Duration;

/// Compares the host with its profile; what it finds makes it fail.
const DRIFT: &str = "vps-configurator-drift.service";
/// What starts it.
const TIMER: &str = "vps-configurator-drift.timer";

pub(super) fn look(host: &dyn Host) -> Result<Vec<Looked>> {
    if !is_booted(host)? {
        return Ok(vec![Looked::beside("services", "systemd does not run this host")]);
    }
    let list = ["list-units", "--failed", "--plain", "--no-legend", "--no-pager", "--quiet"];
    let failed = host.look(&Command::new("systemctl").args(list).timeout(Duration::from_secs(10)))?.text();
    let mut all: Vec<Looked> = failed_units(&failed).map(failure).collect();
    if all.is_empty() {
        all.push(Looked::well("services", "no unit has failed"));
    }
    let ours = survey::show(host, &[TIMER.to_owned(), DRIFT.to_owned()])?;
    if let (Some(timer), Some(service)) = (ours.get(TIMER), ours.get(DRIFT)) {
        all.push(watch(timer, service));
    }
    Ok(all)
}

/// The names in the answer of systemctl.
fn failed_units(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.split_whitespace().find(|word| word.contains('.')))
}

fn failure(unit: &str) -> Looked {
    if unit == DRIFT {
        let why = "the last comparison with the profile found drift, or could not be made";
        return Looked::found("services", State::Degraded, format!("{unit} failed"), why, "vps-configurator verify");
    }
    let fix = format!("systemctl status {unit}; journalctl -u {unit}; once it is mended: systemctl restart {unit}");
    Looked::found(
        "services",
        State::Unhealthy,
        format!("{unit} failed"),
        "systemd could not start it, or it ended",
        fix,
    )
}

/// Who looks after drift.
fn watch(timer: &UnitFacts, service: &UnitFacts) -> Looked {
    let last = match service.state_changed {
        Some(_) if service.has_failed() => ", and found something the last time",
        Some(_) if service.result == "success" => ", and found nothing the last time",
        _ => ", and has not looked yet",
    };
    match (timer.is_loaded(), timer.is_enabled(), timer.is_active()) {
        (false, ..) => Looked::beside("drift", "nothing compares this host with its profile by itself"),
        (true, true, false) => Looked::found(
            "drift",
            State::Degraded,
            format!("{TIMER} is enabled and does not run"),
            "nothing compares this host with its profile",
            format!("systemctl start {TIMER}"),
        ),
        (true, false, false) => Looked::beside("drift", format!("{TIMER} is switched off")),
        (true, _, true) => Looked::well("drift", format!("{TIMER} runs{last}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_units_are_named_with_or_without_a_mark_before_them() {
        let text = "nginx.service loaded failed failed A web server\n\u{25cf} a@b.service loaded failed failed x\n\n";
        assert_eq!(failed_units(text).collect::<Vec<_>>(), ["nginx.service", "a@b.service"]);
        assert_eq!(failure("nginx.service").state, State::Unhealthy);
        assert_eq!(failure(DRIFT).fix, "vps-configurator verify");
    }

    #[test]
    fn a_timer_that_is_switched_off_is_somebodys_wish_and_one_that_stands_still_is_not() {
        let timer = |file: &str, active: &str| UnitFacts {
            load: "loaded".into(),
            file: file.into(),
            active: active.into(),
            ..UnitFacts::default()
        };
        let of = |timer: UnitFacts| watch(&timer, &UnitFacts::default()).state;
        assert_eq!(of(timer("enabled", "active")), State::Healthy);
        assert_eq!(of(timer("enabled", "inactive")), State::Degraded);
        assert_eq!(of(timer("disabled", "inactive")), State::NotApplicable);
        assert_eq!(of(UnitFacts::default()), State::NotApplicable);
    }
}
