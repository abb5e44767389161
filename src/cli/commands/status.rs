//! `status`: what is applied, owed and left over, and what runs on with older files, on one page.

use super::Outcome;
use super::transaction::{summary, what, word};
use crate::base::count::counted;
use crate::cli::exit::Exit;
use crate::cli::render::wrap::wrap;
use crate::cli::render::{confirmation, time};
use crate::cli::session::Session;
use crate::engine::Debt;
use crate::journal::{TransactionKind, TransactionState};
use crate::observe::outdated::{self, Outdated, Part};
use serde_json::{Value, json};

/// Shows it. Exit 3 when a rollback is incomplete, 4 when a crash or a debt is left over, or something waits to be
/// confirmed; as long as a run is under way, too. What is outdated is told and has no code: after each of Debian's
/// upgrades something is.
pub fn run(session: &Session<'_>) -> Outcome {
    session.require_root()?;
    let Some(journal) = session.journal_to_read()? else {
        if session.output.is_json() {
            session.output.value(&json!({"status": "fresh", "transactions": 0}));
        } else {
            session.output.text("Nothing was applied on this host yet.\n\nStart: vps-configurator plan\n");
        }
        return Ok(Exit::Done);
    };
    let rows = journal.transactions()?;
    let standing = journal.standing()?;
    let owed = journal.owed()?;
    let cut_off: Vec<_> = rows.iter().filter(|row| row.state == TransactionState::Running).collect();
    let busy = if cut_off.is_empty() { None } else { session.who_changes() };
    let stuck = standing.iter().any(|step| step.state == crate::journal::StepState::UndoFailed);
    let last = rows.iter().find(|row| row.kind == TransactionKind::Install && row.state != TransactionState::Undone);
    let mut modules: Vec<String> = Vec::new();
    for step in standing.iter().filter(|step| step.removes.is_none()) {
        let names = if step.shared.is_empty() { vec![step.module.clone()] } else { step.shared.clone() };
        modules.extend(names);
    }
    modules.sort();
    modules.dedup();
    let open = journal.open_confirmations()?;
    let outdated = outdated::outdated(session.host, &standing)?;
    let exit = match (stuck, cut_off.is_empty() && owed.is_empty() && open.is_empty()) {
        (true, _) => Exit::UndoIncomplete,
        (false, false) => Exit::Findings,
        (false, true) => Exit::Done,
    };
    if session.output.is_json() {
        session.output.value(&json!({
            "status": match (stuck, cut_off.is_empty(), open.is_empty(), owed.is_empty()) {
                (true, ..) => "undo-incomplete",
                (false, false, ..) if busy.is_some() => "under-way",
                (false, false, ..) => "interrupted",
                (false, true, false, _) => "waiting",
                (false, true, true, false) => "owed",
                (false, true, true, true) => "ok",
            },
            "transactions": rows.len(),
            "last": last.map(summary),
            "standing_steps": standing.len(),
            "modules": modules,
            "owed": owed.iter().map(|row| json!({"debt": row.debt, "because": row.reason, "since": time::rfc3339(row.made)})).collect::<Vec<_>>(),
            "confirmations": open.iter().map(|row| confirmation::json(session.host, row)).collect::<Vec<_>>(),
            "outdated": outdated.iter().map(outdated_json).collect::<Vec<_>>(),
            "interrupted": cut_off.iter().map(|row| row.id).collect::<Vec<_>>(),
        }));
        return Ok(exit);
    }
    let mut text = String::new();
    match last {
        Some(row) => text.push_str(&format!(
            "Applied:   {} (transaction {}, {}, {})\n",
            what(row),
            row.id,
            word(&row.state),
            time::minute(row.started)
        )),
        None => text.push_str("Applied:   nothing\n"),
    }
    if !modules.is_empty() {
        text.push_str(&format!("Modules:   {}\n", modules.join(", ")));
    }
    text.push_str(&format!("Standing:  {} that can be taken back\n", counted(standing.len(), "change")));
    for row in &owed {
        let debt = serde_json::from_value::<Debt>(row.debt.clone()).map(|debt| debt.to_string()).unwrap_or_default();
        text.push_str(&format!("Owed:      {debt}, because {}\n", row.reason));
    }
    outdated.iter().for_each(|found| text.push_str(&outdated_lines(found)));
    for row in &cut_off {
        let how = match &busy {
            Some(who) => format!("is under way: {who}"),
            None => "was cut off; vps-configurator recover finishes or undoes it".to_owned(),
        };
        text.push_str(&wrap("", &format!("Open:      transaction {} ({}) {how}", row.id, what(row))));
    }
    open.iter().for_each(|row| text.push_str(&confirmation::status(session.host, row)));
    if stuck {
        text.push_str("Undo:      incomplete; vps-configurator rollback tries again, nothing is applied before\n");
    }
    session.output.text(&text);
    Ok(exit)
}

/// A unit, what it has of which files, and how to bring it up to date.
fn outdated_lines(found: &Outdated) -> String {
    let has = match found.part {
        Part::Programs => "runs programs that an upgrade has replaced",
        Part::Configuration => "has not read its configuration since it changed",
        Part::UnitFile => "is not what its unit file says now",
    };
    let files: String = found.files.iter().map(|file| format!("             {file}\n")).collect();
    format!("Outdated:  {}\n           {has}:\n{files}           {}\n", found.unit, found.remedy)
}

fn outdated_json(found: &Outdated) -> Value {
    let part = match found.part {
        Part::Programs => "programs",
        Part::Configuration => "configuration",
        Part::UnitFile => "unit-file",
    };
    json!({"unit": found.unit, "part": part, "files": found.files, "pids": found.pids, "remedy": found.remedy})
}
