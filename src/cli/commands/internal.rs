//! `internal`: what the package build and the units call.

use super::Outcome;
use crate::base::ids::TransactionId;
use crate::cli::args::{Generated, Internal};
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::session::Session;
use crate::cli::{generate, story};
use clap_complete::Shell;

/// A unit of ours failed. See `journalctl MESSAGE_ID=...`.
const ALERT: &str = "5f2d4d5d7d8a4f0f9a0c6b1f3f6d2a10";

/// Runs one of them.
pub fn run(session: &Session<'_>, verb: &Internal) -> Outcome {
    match verb {
        Internal::Generate { what, dir } => {
            let files = match what {
                Generated::Man => generate::manual_pages().map_err(|e| cannot_write(dir, &e))?,
                Generated::Completion => [Shell::Bash, Shell::Zsh, Shell::Fish].map(generate::completion).to_vec(),
                Generated::Reference => super::module::reference(session)?,
                Generated::Schema => vec![("vps-configurator.json".to_owned(), super::config::schema(session)?)],
            };
            generate::write(dir, &files).map_err(|e| cannot_write(dir, &e))?;
            Ok(Exit::Done)
        }
        Internal::Alert { unit } => {
            story::begin(session.output.is_verbose());
            let last = session.journal_to_read()?.and_then(|journal| journal.transactions().ok()?.into_iter().next());
            let (tx, why) =
                last.map_or((TransactionId(0), String::new()), |row| (row.id, row.error.unwrap_or_default()));
            tracing::error!(
                MESSAGE_ID = ALERT,
                UNIT = unit.as_str(),
                TRANSACTION_ID = tx.0,
                "{unit} failed{}{why}; see vps-configurator status",
                if why.is_empty() { "" } else { ": " }
            );
            Ok(Exit::Done)
        }
    }
}

fn cannot_write(dir: &std::path::Path, error: &std::io::Error) -> Problem {
    Problem::new(Exit::Failed, "cannot-write", format!("cannot write into {}", dir.display()), error.to_string())
        .fix("name a directory that can be written")
}
