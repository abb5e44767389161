//! `confirm`: keeps a change of the way in, when it comes from a login that began after the change.

use super::Outcome;
use crate::base::ids::TransactionId;
use crate::cli::args::Confirm;
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::render::{confirmation as page, time};
use crate::cli::session::Session;
use crate::cli::story;
use crate::engine::Silent;
use crate::engine::confirm::{confirm, is_new};
use crate::host::login;
use crate::journal::{ConfirmationRow, ConfirmationState, Journal, TransactionKind};
use serde_json::json;

/// Runs it.
pub fn run(session: &Session<'_>, flags: &Confirm) -> Outcome {
    session.require_root()?;
    let Some(journal) = session.journal_to_read()? else { return nothing(session) };
    let Some(row) = asked_for(&journal, flags.id)? else { return nothing(session) };
    match row.state {
        ConfirmationState::Waiting => {}
        ConfirmationState::Armed => return Err(under_way(&row)),
        ConfirmationState::Confirmed | ConfirmationState::Void => return nothing(session),
        ConfirmationState::Reverting | ConfirmationState::Reverted => return Err(too_late(&row)),
    }
    if !flags.from_here {
        refuse_old_login(session, &row)?;
    }
    drop(journal);
    story::begin(session.output.is_verbose());
    let journal = session.journal()?;
    let confirmed = confirm(&session.works(&journal, &Silent), row.tx, &session.actor())?;
    let row = journal.confirmation(row.tx)?.unwrap_or(row);
    if !confirmed && row.state != ConfirmationState::Confirmed {
        return Err(too_late(&row));
    }
    if session.output.is_json() {
        session.output.value(&json!({"status": "success", "confirmation": page::json(session.host, &row)}));
    } else {
        session.output.text(&format!("Confirmed: transaction {} stays.\n", row.tx));
    }
    Ok(Exit::Done)
}

/// The one of that number; without a number, the one of the newest install, or one that is still open.
fn asked_for(journal: &Journal, id: Option<i64>) -> Result<Option<ConfirmationRow>, Problem> {
    if let Some(id) = id {
        super::transaction::find(journal, id)?;
        return Ok(journal.confirmation(TransactionId(id))?);
    }
    if let Some(open) = journal.open_confirmations()?.pop() {
        return Ok(Some(open));
    }
    let newest = journal.transactions()?.into_iter().find(|row| row.kind == TransactionKind::Install);
    Ok(match newest {
        Some(install) => journal.confirmation(install.id)?,
        None => None,
    })
}

fn nothing(session: &Session<'_>) -> Outcome {
    if session.output.is_json() {
        session.output.value(&json!({"status": "success", "confirmation": null}));
    } else {
        session.output.text("Nothing waits for a confirmation.\n");
    }
    Ok(Exit::Done)
}

fn refuse_old_login(session: &Session<'_>, row: &ConfirmationRow) -> Result<(), Problem> {
    let login = login::own(session.host, session.environment);
    let why = match login.as_ref().map(|login| (login, login.began)) {
        None => "this was called from no login that could be found: by a service, or from outside of any session",
        Some((login, _)) if login.is_from_here() => {
            "this login came from this host itself: it does not show that anybody can come in"
        }
        Some((_, None)) => {
            "nobody knows when this login began: in tmux, screen and the like, the program outlives the login"
        }
        Some((_, Some(began))) if !is_new(session.host, row, began) => {
            "this login began before the change was made (sessions that share one connection are as old as that)"
        }
        Some(_) => return Ok(()),
    };
    let problem =
        Problem::new(Exit::Failed, "confirm-needs-new-login", format!("cannot confirm transaction {}", row.tx), why)
            .state(format!("it still waits, {}", page::until(session.host, row)))
            .fix("open a new terminal on your own computer, log in there, and call: sudo vps-configurator confirm")
            .fix("with ssh's ControlMaster: ssh -o ControlPath=none, so that it is a new connection")
            .fix("or, when you have another way in: vps-configurator confirm --from-here");
    Err(problem)
}

fn under_way(row: &ConfirmationRow) -> Problem {
    Problem::new(
        Exit::Failed,
        "confirm-under-way",
        format!("cannot confirm transaction {} yet", row.tx),
        "it is still under way, or was cut off before its end",
    )
    .state("as it is: nothing more was changed")
    .fix("wait for its end; vps-configurator status tells")
    .fix("if it was cut off: vps-configurator recover, then confirm from a new login")
}

fn too_late(row: &ConfirmationRow) -> Problem {
    let (what, state) = match row.state {
        ConfirmationState::Reverted => (
            "it was taken back",
            row.ended.map_or_else(String::new, |ended| format!("taken back at {}", time::second(ended))),
        ),
        _ => ("it is being taken back", "partly taken back; that goes on by itself".to_owned()),
    };
    let mut problem = Problem::new(
        Exit::Failed,
        "confirm-too-late",
        format!("cannot confirm transaction {}: {what}", row.tx),
        row.why.clone().unwrap_or_default(),
    )
    .state(state)
    .fix("install again, and confirm in time; --confirm-timeout SECONDS gives more of it");
    problem.details = Some(format!("vps-configurator transaction show {}", row.tx));
    problem
}
