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
    /// The unit was started after the debt was made: it has read what changed.
    Since,
    /// Nothing to do, and why: the unit doesn't run, isn't there, is masked.
    NotNeeded(String),
}

/// Debts as they are owed now: a unit that runs must run when they are paid.
pub fn owed(host: &dyn Host, debts: &[Debt]) -> Result<Vec<Debt>> {
    let names: Vec<String> = debts.iter().map(|debt| debt.unit.clone()).filter(|unit| !unit.is_empty()).collect();
    if names.is_empty() || !is_booted(host)? {
        return Ok(debts.to_vec());
    }
    let facts = survey::show(host, &names)?;
    let runs = |debt: &Debt| facts.get(&debt.unit).is_some_and(|facts| facts.is_active() || facts.is_changing());
    Ok(debts.iter().map(|debt| Debt { ran: debt.ran || runs(debt), ..debt.clone() }).collect())
}

/// Pays a debt that was made at `made` (nanoseconds since the epoch). Reloading and restarting concern only what runs,
/// or ran when they were owed; starting only what is enabled and not masked. sshd is never restarted, and its
/// configuration is checked before it reads it: it may be the only way in.
pub fn pay(host: &dyn Host, debt: &Debt, made: i128) -> Result<Paid> {
    if !is_booted(host)? {
        return Ok(Paid::NotNeeded("systemd does not run here".to_owned()));
    }
    if debt.kind == DebtKind::DaemonReload {
        daemon_reload(host)?;
        return Ok(Paid::Done);
    }
    let name = debt.unit.as_str();
    let facts = survey::show_one(host, name)?;
    if facts.is_active() && facts.started.is_some_and(|started| started > made) {
        return Ok(Paid::Since);
    }
    if let Some(why) = needless(debt, &facts) {
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
        DebtKind::Start | DebtKind::Restart | DebtKind::Reload if facts.has_failed() => {
            systemctl(host, "reset-failed", name)?;
            "start"
        }
        DebtKind::Start => "start",
        DebtKind::Restart | DebtKind::Reload if !facts.is_active() && !facts.is_changing() => "start",
        DebtKind::Restart => "try-restart",
        DebtKind::Reload | DebtKind::DaemonReload => "try-reload-or-restart",
    };
    match systemctl(host, verb, name) {
        Err(Error::Host(host::Error::Failed { tail, .. })) => {
            Err(failure(host, "unit-failed", &debt.to_string(), name, &tail))
        }
        paid => paid.map(|()| Paid::Done),
    }
}

/// Why nothing needs to be done, if so.
fn needless(debt: &Debt, facts: &UnitFacts) -> Option<String> {
    let name = &debt.unit;
    let runs = facts.is_active() || facts.is_changing();
    if facts.is_masked() {
        return Some(format!("{name} is masked"));
    }
    if !facts.is_loaded() {
        return Some(format!("there is no {name}"));
    }
    match debt.kind {
        DebtKind::Start if runs => Some(format!("{name} runs already")),
        DebtKind::Start if !facts.is_enabled() => Some(format!("{name} is not enabled")),
        DebtKind::Reload | DebtKind::Restart if !runs && !debt.ran => Some(format!("{name} does not run")),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_run_is_neither_reloaded_nor_restarted() {
        let facts = |load: &str, file: &str, active: &str| UnitFacts {
            load: load.into(),
            file: file.into(),
            active: active.into(),
            ..UnitFacts::default()
        };
        assert!(needless(&Debt::new(DebtKind::Reload, "a"), &facts("loaded", "enabled", "inactive")).is_some());
        assert!(needless(&Debt::new(DebtKind::Restart, "a"), &facts("loaded", "enabled", "active")).is_none());
        assert!(needless(&Debt::new(DebtKind::Start, "a"), &facts("loaded", "disabled", "inactive")).is_some());
        assert!(needless(&Debt::new(DebtKind::Start, "a"), &facts("loaded", "enabled", "inactive")).is_none());
        assert!(needless(&Debt::new(DebtKind::Start, "a"), &facts("masked", "masked", "inactive")).is_some());
        assert!(needless(&Debt::new(DebtKind::Restart, "a"), &facts("not-found", "", "inactive")).is_some());
    }
}
