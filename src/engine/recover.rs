//! After a crash: what was cut off is found in the journal, and finished or taken back without a person.

use super::rollback::{self, RollbackReport, Target};
use super::{Result, UndoRecord, Works, debts, events};
use crate::base::ids::TransactionId;
use crate::journal::{StepRow, StepState, TransactionKind, TransactionRow, TransactionState};
use serde_json::Value;

/// What to do with an install that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Leave what stands and let the next plan do the rest, in the same transaction.
    Finish,
    /// Take it back.
    Undo,
    /// Leave what was made whole as it is, and take back what is half-made: somebody else decides about the rest.
    Leave,
}

/// What recovery found and did.
#[derive(Debug, Default)]
pub struct Recovery {
    /// The install that was cut off and is to be finished: the caller plans it anew and applies under this id.
    pub to_finish: Option<TransactionRow>,
    /// Rollbacks that were finished, and installs that were taken back.
    pub rolled_back: Vec<RollbackReport>,
}

/// Whether a crash left something: cheap, reads only.
pub fn is_needed(works: &Works<'_>) -> Result<bool> {
    Ok(!works.journal.running()?.is_empty())
}

/// Finishes rollbacks that were cut off and finishes or takes back the install that was. The caller holds the lock
/// and has healed dpkg. Safe to be cut off itself, and to be called again.
pub fn recover(works: &Works<'_>, direction: Direction, actor: &Value) -> Result<Recovery> {
    // A rollback comes before the install that it takes back, which then is not under way any more.
    let mut recovery = Recovery { rolled_back: finish_rollbacks(works)?, to_finish: None };
    for tx in works.journal.running()? {
        settle(works, tx.id)?;
        match direction {
            Direction::Finish => {
                events::recovered(tx.id, "it will be finished");
                if recovery.to_finish.is_none() {
                    recovery.to_finish = Some(tx);
                } else {
                    recovery.rolled_back.push(leave(works, tx.id, None, actor)?);
                }
            }
            Direction::Leave => recovery.rolled_back.push(leave(works, tx.id, None, actor)?),
            Direction::Undo => {
                events::recovered(tx.id, "it is taken back");
                // Marked afterwards: cut off in between, it is still found.
                recovery.rolled_back.push(rollback::roll_back(works, &Target::Only(tx.id), actor)?);
                works.journal.set_transaction(tx.id, TransactionState::Failed, Some(works.now()), None)?;
            }
        }
    }
    Ok(recovery)
}

/// Finishes rollbacks that were cut off, newest first.
pub(super) fn finish_rollbacks(works: &Works<'_>) -> Result<Vec<RollbackReport>> {
    let mut reports = Vec::new();
    for tx in works.journal.running()?.into_iter().filter(|tx| tx.kind == TransactionKind::Rollback) {
        events::recovered(tx.id, "its rollback goes on");
        if let Ok(Target::Only(id)) = serde_json::from_value(tx.request.clone()) {
            // Before the rollback is marked as done: an install that was being taken back is not finished.
            works.journal.set_transaction(id, TransactionState::Failed, Some(works.now()), None)?;
        }
        reports.push(rollback::resume(works, &tx)?);
    }
    Ok(reports)
}

/// Leaves an install that was cut off, and that recovery has looked at, as it is, for the reason `why`: what was made
/// whole stands, what is half-made is taken back.
pub fn leave(works: &Works<'_>, id: TransactionId, why: Option<&str>, actor: &Value) -> Result<RollbackReport> {
    let report = rollback::roll_back(works, &Target::CutOff(id), actor)?;
    let is_over = works.journal.steps(id)?.iter().all(|step| !step.state.stands());
    let state = if is_over { TransactionState::Undone } else { TransactionState::Interrupted };
    works.journal.set_transaction(id, state, Some(works.now()), why)?;
    Ok(report)
}

/// Makes anew what a loss of power may have taken from the half-made steps of installs. The caller holds the lock; to be
/// called before anything is brought in order that could build on what is damaged.
pub fn renew(works: &Works<'_>) -> Result<()> {
    for tx in works.journal.running()?.iter().filter(|tx| tx.kind == TransactionKind::Install) {
        for step in works.journal.steps(tx.id)?.iter().filter(|step| step.state == StepState::Intent) {
            let record = step.undo.clone().and_then(|record| serde_json::from_value::<UndoRecord>(record).ok());
            let Some(record) = record else { continue };
            if works.undoers.decode(&record)?.renew(&works.context())? && step.settled.is_some() {
                // What was seen of it is not all any more.
                works.journal.make_again(step.id)?;
            }
        }
    }
    Ok(())
}

/// Lets the undo records of half-made steps look at what there is to remember, while it is fresh.
pub(super) fn settle(works: &Works<'_>, tx: TransactionId) -> Result<()> {
    settle_those(works, tx, |_| true)
}

/// The same for the steps that `is_meant`.
pub(super) fn settle_those(works: &Works<'_>, tx: TransactionId, is_meant: impl Fn(&StepRow) -> bool) -> Result<()> {
    for step in works.journal.steps(tx)? {
        if step.state != StepState::Intent || step.settled.is_some() || !is_meant(&step) {
            continue;
        }
        let Some(record) = &step.undo else { continue };
        let Ok(record) = serde_json::from_value::<UndoRecord>(record.clone()) else { continue };
        let settled = works.undoers.decode(&record)?.settle(&works.context())?;
        if settled.is_some() {
            // Owed first: a crash in between owes it twice, which is paid once.
            debts::owe_settled(works, tx, &step.module, &step.resource, settled.as_ref())?;
            works.journal.set_step(step.id, StepState::Intent, settled.as_ref(), None, works.now())?;
        }
    }
    Ok(())
}
