//! What the engine works with, handed in by the command line.

use super::{Context, Debt, Progress, Result, Undoers};
use crate::host::Host;
use crate::journal::Journal;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Pays debts and wakes up: knows units, which the engine doesn't.
pub trait Services: Send + Sync + Debug {
    /// Debts as they are owed by a change that is about to be made: with whether their units run now.
    fn owed(&self, _host: &dyn Host, debts: &[Debt]) -> Result<Vec<Debt>> {
        Ok(debts.to_vec())
    }
    /// Does what is owed since `made` (nanoseconds since the epoch). `false` when nothing is to do: the unit is gone, or
    /// does not run and need not. One that was started since is left alone, and is still to be proved.
    fn pay(&self, host: &dyn Host, debt: &Debt, made: i64) -> Result<bool>;
    /// Whether the units are well after their debts were paid: all are watched at once. In the order of the debts.
    fn prove(&self, _host: &dyn Host, debts: &[Debt]) -> Vec<Result<()>> {
        debts.iter().map(|_| Ok(())).collect()
    }

    /// Has [`confirm::revert_due`](super::confirm::revert_due) called after this time, whatever becomes of this process.
    /// Calls that are to come already may stay.
    fn wake(&self, host: &dyn Host, after: Duration) -> Result<()>;

    /// Nobody needs to wake up any more.
    fn rest(&self, host: &dyn Host) -> Result<()>;
}

/// The machine, the journal, and the kinds that can be undone.
#[derive(Debug, Clone, Copy)]
pub struct Works<'a> {
    /// The machine.
    pub host: &'a dyn Host,
    /// The journal.
    pub journal: &'a Journal,
    /// Where progress is told.
    pub progress: &'a dyn Progress,
    /// The kinds of undo records.
    pub undoers: &'a Undoers,
    /// Pays debts and wakes up.
    pub services: &'a dyn Services,
    /// How others are waited for.
    pub patience: Patience<'a>,
}

/// How others who hold what is needed are waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience<'a> {
    /// How long.
    pub limit: Duration,
    /// Set from outside when it shall end at once. None where something has to be brought to an end: while a change is
    /// taken back.
    pub stop: Option<&'a AtomicBool>,
}

impl Patience<'_> {
    /// So long, whoever asks to stop.
    pub const fn of(limit: Duration) -> Self {
        Patience { limit, stop: None }
    }

    /// Whether somebody asked to stop.
    pub fn is_over(&self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::SeqCst))
    }
}

impl<'a> Works<'a> {
    /// What a resource gets of it.
    pub fn context(&self) -> Context<'a> {
        let (host, objects, progress, patience) = (self.host, self.journal.objects(), self.progress, self.patience);
        Context { host, objects, progress, patience }
    }

    /// The time, as the journal writes it.
    pub fn now(&self) -> i64 {
        i64::try_from(self.host.now()).unwrap_or(i64::MAX)
    }
}

/// More steps than this are never under way at once: the settings and the command line allow no more.
pub const MOST_WORKERS: u16 = 16;

/// How an apply goes about it.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// How many steps at a time, 1 to [`MOST_WORKERS`].
    pub workers: usize,
    /// The modules whose failure takes the whole transaction back.
    pub mandatory: BTreeSet<String>,
    /// For each module, the modules that it depends on: it is skipped when one of them failed.
    pub depends_on: BTreeMap<String, BTreeSet<String>>,
    /// Set from outside to stop at the next step and take everything back.
    pub stop: Option<Arc<AtomicBool>>,
}

impl Policy {
    /// Whether somebody asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::SeqCst))
    }
}
