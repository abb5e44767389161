//! `recover`: after a crash, finishes or takes back what was cut off. Run at boot, and by every changing command.

use super::Outcome;
use super::install::{self, Resume};
use crate::cli::args::{self, Recover};
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::render::progress::Drawn;
use crate::cli::session::Session;
use crate::cli::signals::Signals;
use crate::cli::story;
use crate::engine::recover::{Direction, is_needed, recover};
use crate::engine::{Works, debts};
use crate::profiles::settings::Recovery;
use crate::resources;
use serde_json::{Value, json};

/// Runs it.
pub fn run(session: &Session<'_>, flags: &Recover) -> Outcome {
    session.require_root()?;
    if session.journal_to_read()?.is_none() {
        return quiet(session);
    }
    story::begin(session.output.is_verbose());
    // The end of the session, or of a firewall's patience with it, must not leave the host half-way.
    let _signals = Signals::watch();
    let lock = session.lock()?;
    let journal = session.journal()?;
    let progress = Drawn::new(session.output);
    let works = session.works(&journal, &progress);
    if !is_needed(&works)? && journal.owed()?.is_empty() {
        resources::package::release_guard(&session.host)?;
        return quiet(session);
    }
    prepare(session, &works)?;
    let direction = match flags.direction {
        Some(args::Direction::Finish) => Direction::Finish,
        Some(args::Direction::Undo) => Direction::Undo,
        None => configured(session)?,
    };
    let recovery = recover(&works, direction, &session.actor())?;
    for unpaid in debts::pay(&works)? {
        session.output.error(&format!("owed: {} ({})\n", unpaid.debt, unpaid.error));
    }
    progress.finish();
    drop(journal);
    let (to_finish, rolled_back) = (recovery.to_finish, recovery.rolled_back);
    for report in &rolled_back {
        super::rollback::tell(session, report, 0.0)?;
    }
    match to_finish {
        Some(row) => install::resume(session, lock, Resume { tx: row.id, request: row.request }),
        None => Ok(Exit::Done),
    }
}

/// Heals what a crash left of dpkg, waits for an apt that outlived us, takes our guard away.
pub fn prepare(session: &Session<'_>, works: &Works<'_>) -> Result<(), Problem> {
    if is_needed(works)? {
        resources::package::adopt(&session.host, works.progress)?;
        // The guard goes last: healing goes on under it, keeps its list of who is owed a start, and may take it anew.
        let healed = resources::package::heal(&session.host, works.progress);
        resources::package::release_guard(&session.host)?;
        healed?;
    }
    Ok(())
}

/// The direction of the configuration; finishing, when that cannot be read: a crash must not wait for a person.
fn configured(session: &Session<'_>) -> Result<Direction, Problem> {
    Ok(match crate::cli::setup::recovery(session) {
        Ok(Recovery::Undo) => Direction::Undo,
        _ => Direction::Finish,
    })
}

fn quiet(session: &Session<'_>) -> Outcome {
    if session.output.is_json() {
        session.output.value(&json!({"status": "success", "recovered": Value::Null}));
    } else {
        session.output.text("Nothing was cut off.\n");
    }
    Ok(Exit::Done)
}
