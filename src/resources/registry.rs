//! What the engine needs to know of all kinds: how their changes are undone, and who pays debts.

use super::recipe::KITCHEN;
use super::{
    command, firewall, group, hostname, kernel_module, locale, member, package, preimage, swap, sysctl, unit, user,
};
use crate::engine::{Debt, Result, Services, Undoers};
use crate::host::machine::is_booted;
use crate::host::{Command, Host};
use std::time::Duration;

/// The decoders of every kind of undo record that was ever released.
pub fn undoers() -> Undoers {
    Undoers::new(&[
        (command::UNDO, command::decode),
        (firewall::UNDO, firewall::decode),
        (firewall::one::KIND, firewall::one::decode),
        (group::UNDO, group::decode),
        (hostname::KIND, hostname::decode),
        (kernel_module::KIND, kernel_module::decode),
        (locale::KIND, locale::decode),
        (member::UNDO, member::decode),
        (package::KIND, package::decode),
        (preimage::KIND, preimage::Paths::decode),
        (swap::KIND, swap::decode),
        (sysctl::KIND, sysctl::decode),
        (unit::UNDO, unit::decode),
        (user::UNDO, user::decode),
    ])
    .remaking(KITCHEN)
}

/// The timer that wakes up after as many seconds as its instance says (`systemd/vps-configurator-revert@.timer`).
const WAKE: &str = "vps-configurator-revert@";

/// Pays debts to systemd and its units, and wakes up through it.
#[derive(Debug, Clone, Copy)]
pub struct Units;

impl Services for Units {
    fn owed(&self, host: &dyn Host, debts: &[Debt]) -> Result<Vec<Debt>> {
        unit::debt::owed(host, debts)
    }

    fn pay(&self, host: &dyn Host, debt: &Debt, made: i64) -> Result<bool> {
        Ok(!matches!(unit::debt::pay(host, debt, i128::from(made))?, unit::debt::Paid::NotNeeded(_)))
    }

    fn prove(&self, host: &dyn Host, debts: &[Debt]) -> Vec<Result<()>> {
        unit::health::prove(host, debts)
    }

    fn wake(&self, host: &dyn Host, after: Duration) -> Result<()> {
        // Never early. Restarted, because one that has just elapsed would not begin anew.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        host.run(&Command::new("systemctl").args(["restart", &format!("{WAKE}{seconds}.timer")]))?;
        Ok(())
    }

    fn rest(&self, host: &dyn Host) -> Result<()> {
        if is_booted(host)? {
            host.run(&Command::new("systemctl").args(["stop", &format!("{WAKE}*.timer")]))?;
        }
        Ok(())
    }
}
