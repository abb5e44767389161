//! Paying debts: what is owed to systemd and its units because something changed.

use super::survey::{self, UnitFacts};
use super::undo::daemon_reload;
use super::{failure, systemctl};
use crate::engine::{Debt, DebtKind, Error, Result};
use crate::host::machine::is_booted;
use crate::host::{self, Command, Host};

/// How a debt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Paid {
    /// Done.
    Done,
    /// Nothing to do, and why: the unit doesn't run, isn't there, is masked.
    NotNeeded(String),
}

/// Pays a debt. Reloading and restarting concern only what runs; starting only what is enabled and not masked. sshd is
/// never restarted, and its configuration is checked before it reads it: it may be the only way in.
pub fn pay(host: &dyn Host, debt: &Debt) -> Result<Paid> {
    if !is_booted(host)? {
        return Ok(Paid::NotNeeded("systemd does not run here".to_owned()));
    }
    if debt.kind == DebtKind::DaemonReload {
        daemon_reload(host)?;
        return Ok(Paid::Done);
    }
    let name = debt.unit.as_str();
    let facts = survey::show_one(host, name)?;
    if let Some(why) = needless(debt.kind, name, &facts) {
        return Ok(Paid::NotNeeded(why));
    }
    if facts.stale {
        daemon_reload(host)?;
    }
    let verb = match debt.kind {
        _ if is_sshd(name) => {
            check_sshd(host)?;
            if facts.is_active() { "reload" } else { "start" }
        }
        DebtKind::Start if facts.active == "failed" => {
            systemctl(host, "reset-failed", name)?;
            "start"
        }
        DebtKind::Start => "start",
        DebtKind::Restart => "try-restart",
        DebtKind::Reload | DebtKind::DaemonReload => "try-reload-or-restart",
    };
    match systemctl(host, verb, name) {
        Err(Error::Host(host::Error::Failed { tail, .. })) => Err(failure(host, name, &tail)),
        paid => paid.map(|()| Paid::Done),
    }
}

/// Why nothing needs to be done, if so.
fn needless(kind: DebtKind, name: &str, facts: &UnitFacts) -> Option<String> {
    let runs = facts.is_active() || facts.is_changing();
    if facts.is_masked() {
        return Some(format!("{name} is masked"));
    }
    if !facts.is_loaded() {
        return Some(format!("there is no {name}"));
    }
    match kind {
        DebtKind::Start if runs => Some(format!("{name} runs already")),
        DebtKind::Start if !facts.is_enabled() => Some(format!("{name} is not enabled")),
        DebtKind::Reload | DebtKind::Restart if !runs => Some(format!("{name} does not run")),
        _ => None,
    }
}

fn is_sshd(name: &str) -> bool {
    matches!(name, "ssh.service" | "sshd.service")
}

fn check_sshd(host: &dyn Host) -> Result<()> {
    match host.look(&Command::new("sshd").arg("-t")) {
        Err(host::Error::Failed { code, tail, .. }) => {
            let why = format!("sshd -t exited {code}: {}", tail.trim());
            Err(Error::refused("ssh-config-rejected", "reload ssh.service", why)
                .fix("correct the line of /etc/ssh that it names; until then sshd goes on with the old configuration"))
        }
        checked => checked.map(|_| ()).map_err(Error::from),
    }
}

/// Whether the unit was started or restarted after the debt was made (`since`, nanoseconds since the epoch): then it has
/// read what changed. systemd keeps that moment in microseconds; one within the same microsecond doesn't count.
pub fn already_paid(host: &dyn Host, debt: &Debt, since: i128) -> Result<bool> {
    if debt.kind == DebtKind::DaemonReload || !is_booted(host)? {
        return Ok(false);
    }
    let command = Command::new("systemctl").args([
        "show",
        "--timestamp=us+utc",
        "--value",
        "--property",
        "InactiveExitTimestamp",
        "--",
        &debt.unit,
    ]);
    let text = host.look(&command)?.text();
    Ok(microseconds(text.trim()).is_some_and(|started| started * 1000 > since))
}

/// The microseconds since the epoch of `Mon 2026-11-23 18:55:14.123456 UTC`.
fn microseconds(text: &str) -> Option<i128> {
    let (_, rest) = text.split_once(' ')?;
    let rest = rest.strip_suffix(" UTC")?.replacen(' ', "T", 1);
    let time: jiff::Timestamp = format!("{rest}Z").parse().ok()?;
    Some(i128::from(time.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_of_a_start_is_read_to_the_microsecond() {
        assert_eq!(microseconds("Thu 1970-01-01 00:00:01.000002 UTC"), Some(1_000_002));
        assert_eq!(microseconds(""), None);
        assert_eq!(microseconds("n/a"), None);
    }

    #[test]
    fn what_does_not_run_is_neither_reloaded_nor_restarted() {
        let facts = |load: &str, file: &str, active: &str| UnitFacts {
            load: load.into(),
            file: file.into(),
            active: active.into(),
            ..UnitFacts::default()
        };
        assert!(needless(DebtKind::Reload, "a", &facts("loaded", "enabled", "inactive")).is_some());
        assert!(needless(DebtKind::Restart, "a", &facts("loaded", "enabled", "active")).is_none());
        assert!(needless(DebtKind::Start, "a", &facts("loaded", "disabled", "inactive")).is_some());
        assert!(needless(DebtKind::Start, "a", &facts("loaded", "enabled", "inactive")).is_none());
        assert!(needless(DebtKind::Start, "a", &facts("masked", "masked", "inactive")).is_some());
        assert!(needless(DebtKind::Restart, "a", &facts("not-found", "", "inactive")).is_some());
    }
}
