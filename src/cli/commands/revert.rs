//! `internal revert`: takes back what was not confirmed in time. Run by the timer that an armed install sets, and at
//! boot. It waits for whoever holds the lock: an install that is still under way gets a new time at its end.

use super::Outcome;
use crate::base::count::counted;
use crate::base::ids::TransactionId;
use crate::cli::baseline;
use crate::cli::broadcast::broadcast;
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::hooks;
use crate::cli::owed;
use crate::cli::render::progress::Drawn;
use crate::cli::session::Session;
use crate::cli::setup::patience;
use crate::cli::signals::Signals;
use crate::cli::story;
use crate::engine::Works;
use crate::engine::confirm::{Reverted, is_due, revert_due};
use crate::engine::recover::is_needed;
use crate::host::Guard;
use serde_json::json;
use std::time::Duration;

/// Runs it.
pub fn run(session: &Session<'_>) -> Outcome {
    session.require_root()?;
    match session.journal_to_read()? {
        Some(journal) if !journal.open_confirmations()?.is_empty() => {}
        _ => return Ok(Exit::Done),
    }
    story::begin(session.output.is_verbose());
    let _signals = Signals::watch();
    let _lock = lock(session)?;
    let journal = session.journal()?;
    let progress = Drawn::new(session.output, None)?;
    let reverted =
        what_is_due(session, &Works { patience: patience(session, None), ..session.works(&journal, &progress) })?;
    progress.finish();
    for one in &reverted {
        broadcast(session.host, session.output, &format!("vps-configurator: {}", not_confirmed(one)));
    }
    tell(session, &reverted)
}

/// Takes back what is due. Called by every changing command, before it begins.
pub fn what_is_due(session: &Session<'_>, works: &Works<'_>) -> Result<Vec<Reverted>, Problem> {
    let is_due = is_due(works)?;
    if is_due {
        baseline::begin(session, works.journal);
        session.begin_changes();
    }
    let is_cut_off = is_needed(works)?;
    let ready = || super::recover::prepare(session, works.progress, works.patience, is_cut_off);
    let reverted = revert_due(works, &session.actor(), &ready)?;
    if is_due {
        baseline::end(session, works.journal, newest(&reverted));
    }
    Ok(reverted)
}

/// The last transaction that took something back.
pub fn newest<'r>(reverted: impl IntoIterator<Item = &'r Reverted>) -> Option<TransactionId> {
    reverted.into_iter().flat_map(|one| &one.reports).filter_map(|report| report.tx).max()
}

/// Our lock, however long that takes.
fn lock(session: &Session<'_>) -> Result<Box<dyn Guard>, Problem> {
    loop {
        match session.lock() {
            Err(problem) if problem.exit == Exit::Locked => session.host.pause(Duration::from_secs(1)),
            taken => return taken,
        }
    }
}

fn not_confirmed(one: &Reverted) -> String {
    format!("Transaction {} was not confirmed: {} taken back.\n", one.tx, counted(count(one), "change"))
}

/// How many changes it took back.
fn count(one: &Reverted) -> usize {
    one.reports.iter().map(|report| report.undone.len()).sum()
}

/// Tells what was taken back.
pub fn tell(session: &Session<'_>, reverted: &[Reverted]) -> Outcome {
    let mut failed = Vec::new();
    let mut told = Vec::new();
    for one in reverted {
        let kept: Vec<&String> = one.reports.iter().flat_map(|report| &report.kept).collect();
        if session.output.is_json() {
            told.push(json!({
                "status": if one.is_complete() { "reverted" } else { "undo-incomplete" },
                "transaction": one.tx, "changes": count(one), "kept": kept,
            }));
        } else {
            session.output.text(&not_confirmed(one));
            kept.iter().for_each(|line| session.output.text(&format!("  kept: {line}\n")));
        }
        one.reports.iter().for_each(|report| hooks::after_rollback(session, "not-confirmed", report, None));
        failed.extend(one.reports.iter().flat_map(|report| &report.failed).map(|(id, error)| format!("{id}: {error}")));
    }
    if session.output.is_json() {
        session.output.value(&json!({"reverted": told}));
    }
    if !failed.is_empty() {
        return Err(incomplete(&failed));
    }
    // What an earlier one could not pay, a later one tried again.
    let last = reverted.iter().flat_map(|one| &one.reports).rfind(|report| report.tx.is_some());
    match last.and_then(|report| owed::problem(&report.unpaid, "taken back")) {
        Some(problem) => Err(problem),
        None => Ok(Exit::Done),
    }
}

/// Not all of it could be taken back.
pub fn incomplete(failed: &[String]) -> Problem {
    let what = "not everything that was not confirmed could be taken back";
    Problem::new(Exit::UndoIncomplete, "undo-incomplete", what, failed.join("\n"))
        .state("partly taken back; it is tried again, and nothing more is applied until it is back")
        .fix("mend what it says; systemctl start vps-configurator-revert.service tries at once")
}
