//! Whether this host is well: what a profile needs of it before an install, and what must hold on it afterwards. It only
//! looks, and asks nobody for longer than a few seconds.
//!
//! What is not as the profile says is `verify`'s to find; what is here would be wrong on any host.

mod machine;
mod network;
mod reboot;
mod records;
mod services;

pub use machine::unsupported;
pub use reboot::reasons as reasons_to_reboot;

use crate::engine::Result;
use crate::host::Host;
use crate::host::machine::Machine;
use crate::journal::Journal;
use crate::resources::package::{Ailments, Database, Holder};

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It does not apply to this host, or can't be told here.
    NotApplicable,
    /// As it should be.
    Healthy,
    /// It works, and somebody should look at it.
    Degraded,
    /// Something does not work, or soon won't.
    Unhealthy,
}

impl State {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            State::NotApplicable => "not-applicable",
            State::Healthy => "healthy",
            State::Degraded => "degraded",
            State::Unhealthy => "unhealthy",
        }
    }
}

/// What one look at one thing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// What was looked at: `disk`, `network`.
    pub at: &'static str,
    /// How it is.
    pub state: State,
    /// What was seen.
    pub seen: String,
    /// Why that is no good; empty when it is well.
    pub why: String,
    /// How to mend it; empty when there is nothing to mend.
    pub fix: String,
}

impl Looked {
    fn well(at: &'static str, seen: impl Into<String>) -> Self {
        Looked { at, state: State::Healthy, seen: seen.into(), why: String::new(), fix: String::new() }
    }

    fn beside(at: &'static str, seen: impl Into<String>) -> Self {
        Looked { state: State::NotApplicable, ..Looked::well(at, seen) }
    }

    fn found(
        at: &'static str,
        state: State,
        seen: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Looked { at, state, seen: seen.into(), why: why.into(), fix: fix.into() }
    }

    /// Whether somebody has to do something.
    pub fn is_finding(&self) -> bool {
        self.state >= State::Degraded
    }
}

/// Says who changes the host, where it is asked: only when something is under way or was cut off.
pub type Busy<'b> = &'b dyn Fn() -> Option<String>;

/// Looks at what an install needs of a host.
pub fn before(host: &dyn Host) -> Result<Vec<Looked>> {
    let machine = Machine::read(host)?;
    let mut all = vec![machine::system(&machine)];
    all.extend(machine::disks(host)?);
    all.push(machine::memory(host)?);
    all.extend(network::look(host)?);
    all.push(machine::time(host, &machine));
    all.push(dpkg(host)?);
    Ok(all)
}

/// Looks at all of it. `busy` tells which run changes the host right now.
pub fn all(host: &dyn Host, journal: Option<&Journal>, busy: Busy<'_>) -> Result<Vec<Looked>> {
    let mut all = before(host)?;
    all.extend(services::look(host)?);
    all.push(reboot::look(host)?);
    all.extend(records::look(journal, busy)?);
    Ok(all)
}

/// Whether dpkg and apt are in order. What somebody is working with is not broken.
fn dpkg(host: &dyn Host) -> Result<Looked> {
    let found = Ailments::find(host, &Database::read(host)?, true)?;
    Ok(match (found, Holder::find(host)?) {
        (None, _) => Looked::well("dpkg", "every package is whole"),
        (Some(_), Some(holder)) => Looked::found(
            "dpkg",
            State::Degraded,
            format!("{} works with packages", holder.describe(host)),
            "until it is done some are half installed",
            "let it end, then look again",
        ),
        (Some(found), None) => Looked::found(
            "dpkg",
            State::Unhealthy,
            found.lines().join("; "),
            "nothing can be installed before it is in order",
            "vps-configurator recover, or: dpkg --configure -a && apt-get --fix-broken install",
        ),
    })
}

/// The worst of them.
pub fn worst(all: &[Looked]) -> State {
    all.iter().map(|one| one.state).max().unwrap_or(State::Healthy).max(State::Healthy)
}
