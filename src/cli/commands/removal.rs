//! `internal may-remove`: whether the package can go. Its prerm goes by the exit code, and shows what is printed.

use super::{Outcome, rollback};
use crate::base::ids::TransactionId;
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::session::Session;
use crate::journal::Journal;

/// Runs it. Exit 0 when nothing stands, 4 when changes do: a line on standard output for each transaction of them.
/// Refuses while a run is under way, and while a change of the way in waits: only this program takes it back.
pub fn run(session: &Session<'_>) -> Outcome {
    session.require_root()?;
    session.require_quiet()?;
    let found =
        session.journal_to_read().and_then(|journal| journal.as_ref().map(look).transpose()).map_err(|problem| {
            problem.fix(
                "to remove the package all the same, without a way back: move /var/lib/vps-configurator away first",
            )
        })?;
    let Some((open, applied)) = found else { return Ok(Exit::Done) };
    if let Some(tx) = open {
        let why = format!("transaction {tx} waits for its confirmation, and only this program can take it back");
        return Err(Problem::new(Exit::Failed, "confirm-waiting", "cannot remove the package", why)
            .fix("log in anew, from a second terminal, and there: sudo vps-configurator confirm")
            .fix("or take it back now: vps-configurator rollback"));
    }
    session.output.raw(&applied);
    Ok(if applied.is_empty() { Exit::Done } else { Exit::Findings })
}

/// What waits to be confirmed, and what stands.
fn look(journal: &Journal) -> Result<(Option<TransactionId>, String), Problem> {
    Ok((journal.open_confirmations()?.first().map(|row| row.tx), rollback::applied(journal)?))
}
