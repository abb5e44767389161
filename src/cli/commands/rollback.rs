//! `rollback`: takes changes back, newest first.

use super::Outcome;
use super::transaction::{what, word};
use crate::base::count::counted;
use crate::base::ids::{ResourceId, TransactionId};
use crate::cli::args::{self, Recover, Rollback};
use crate::cli::ask::ask;
use crate::cli::baseline;
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::hooks;
use crate::cli::owed;
use crate::cli::render::progress::Drawn;
use crate::cli::render::time;
use crate::cli::render::wrap::wrap;
use crate::cli::session::{Held, Session};
use crate::cli::setup::{Setup, patience, select_of};
use crate::cli::signals::Signals;
use crate::cli::story;
use crate::engine::heirs::inherit;
use crate::engine::recover::{Direction, is_needed, recover};
use crate::engine::rollback::{RollbackReport, Selection, Target, describe, roll_back, select};
use crate::engine::undo::Wishes;
use crate::engine::{Patience, Silent, Works, confirm};
use crate::host::ReadOnly;
use crate::journal::{Journal, StepRow, StepState, TransactionKind, TransactionRow, TransactionState};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Runs it.
pub fn run(session: &Session<'_>, flags: &Rollback) -> Outcome {
    session.require_root()?;
    let target = match (flags.to, &flags.module) {
        (Some(id), _) => Target::To(TransactionId(id)),
        (None, Some(name)) => Target::Module(name.clone()),
        (None, None) => Target::Last,
    };
    let Some(journal) = session.journal_to_read()? else { return nothing(session, &target) };
    if flags.list || flags.status {
        return list(session, &journal, flags.status);
    }
    let silent = Silent;
    let looking = ReadOnly(session.host);
    let works = Works { host: &looking, ..session.works(&journal, &silent) };
    let mut selection = select(&works, &target)?;
    let (wishes, warning) = wishes(session, &journal, &target)?;
    if selection.steps.is_empty() {
        // A run that a crash cut off before anything stood, or a rollback at its very end, or one whose acts could not be
        // paid: it is closed, dpkg is healed, and what is owed is paid.
        let is_open = is_needed(&works)? || !journal.owed()?.is_empty();
        let is_meant = match &target {
            Target::To(id) => {
                let rows = journal.transactions()?;
                rows.iter().filter(|row| row.state == TransactionState::Running).all(|row| row.id > *id)
            }
            _ => journal.standing()?.is_empty(),
        };
        if !flags.dry_run && is_open && is_meant {
            drop(journal);
            return super::recover::run(
                session,
                &Recover { direction: Some(args::Direction::Undo), events: flags.events.clone() },
            );
        }
        return nothing(session, &target);
    }
    let inherited = match &target {
        Target::Module(name) => inherit(works.undoers, &mut selection.steps, name, &wishes)?,
        _ => Vec::new(),
    };
    let mut shown = preview(&works, &selection)?;
    for line in inherited.iter().flat_map(|one| &one.lines) {
        shown.0.push_str(&wrap("  ", line));
    }
    if let Target::Module(name) = &target
        && let Some(line) = left_without(session, &works, name)?
    {
        shown.0.push_str(&wrap("  ", &line));
    }
    if let Some(warning) = &warning {
        match flags.dry_run || !flags.yes {
            true => shown.0.push_str(&wrap("  ", warning)),
            false => session.output.error(&format!("{warning}\n")),
        }
    }
    if flags.dry_run {
        if session.output.is_json() {
            session.output.value(&json!({"status": "dry-run", "steps": shown.1}));
        } else {
            session.output.text(&format!("{}\nNothing was changed.\n", shown.0));
        }
        return Ok(Exit::Done);
    }
    if !flags.yes && !session.output.is_json() {
        session.output.text(&shown.0);
    }
    session.require_writable()?;
    ask(session, flags.yes, "Take this back?")?;
    drop(journal);
    // The end of the session, or of a firewall's patience with it, must not leave the host half-way.
    let stop = Signals::watch().stop();
    story::begin(session.output.is_verbose());
    let lock = Held::new(Some(session.lock()?));
    let journal = session.journal()?;
    let progress = Drawn::new(session.output, flags.events.as_deref())?;
    let patience = patience(session, Some(&stop));
    // What is begun is brought to its end, whoever asks to stop.
    let works = Works { patience: Patience { stop: None, ..patience }, ..session.works(&journal, &progress) };
    let before = std::time::Instant::now();
    refuse_if_changed(&selection, &select(&works, &target)?)?;
    let is_cut_off = is_needed(&works)?;
    if is_cut_off {
        super::recover::renew(&Works { patience, ..works }, false)?;
    }
    super::recover::prepare(session, &progress, patience, is_cut_off)?;
    baseline::begin(session, &journal);
    session.begin_changes();
    let cut_off = recover(&works, Direction::Leave, &session.actor())?;
    if let Target::Module(name) = &target {
        let mut steps = select(&works, &target)?.steps;
        for one in inherit(works.undoers, &mut steps, name, &wishes)? {
            journal.hand_over(one.step, &serde_json::to_value(&one.undo).unwrap_or_default(), &one.shared)?;
        }
    }
    // Where nothing of the last transaction stands any more, the one before it was not asked for.
    let newest = |selection: &Selection| selection.steps.first().map(|step| step.tx);
    let is_over = target == Target::Last && newest(&select(&works, &target)?) != newest(&selection);
    let mut report = if is_over { RollbackReport::default() } else { roll_back(&works, &target, &session.actor())? };
    cut_off.rolled_back.into_iter().for_each(|other| report.join(other));
    baseline::end(session, &journal, report.tx);
    confirm::settle_all(&works)?;
    progress.finish();
    let outcome = tell(session, &report, before.elapsed().as_secs_f64());
    hooks::after_rollback(session, "asked", &report, Some(&lock));
    outcome
}

/// Which packages each module wants of what the newest install had asked for, without the modules that were taken back
/// since. Nothing, and a warning, where the configuration can't be read: a rollback must work all the same.
fn wishes(session: &Session<'_>, journal: &Journal, target: &Target) -> Result<(Wishes, Option<String>), Problem> {
    let Target::Module(name) = target else { return Ok((Wishes::new(), None)) };
    let rows = journal.transactions()?;
    let newest = rows.iter().find(|row| row.kind == TransactionKind::Install);
    let select = newest.map(|row| select_of(&row.request)).unwrap_or_default();
    let setup = match Setup::make(session, &select) {
        Ok(setup) => setup,
        Err(problem) => {
            let is_other = |step: &StepRow| step.module != *name || step.shared.iter().any(|other| other != name);
            let warning = format!(
                "warning: {} ({}): packages that other modules want as well may go with it",
                problem.what, problem.code
            );
            return Ok((Wishes::new(), journal.standing()?.iter().any(is_other).then_some(warning)));
        }
    };
    let mut wishes = setup.packages.map(|packages| packages.wishes()).unwrap_or_default();
    for row in rows.iter().take_while(|row| row.kind == TransactionKind::Rollback) {
        if let Some(name) = row.request.get("module").and_then(Value::as_str) {
            wishes.remove(name);
        }
    }
    Ok((wishes, None))
}

/// A warning about the modules that stand and depend on `name`, which is to go.
fn left_without(session: &Session<'_>, works: &Works<'_>, name: &str) -> Result<Option<String>, Problem> {
    // A rollback must work where the modules of now can't even be read.
    let Ok(catalogue) = crate::cli::setup::catalogue(session) else { return Ok(None) };
    let mut gone = BTreeSet::from([name.to_owned()]);
    loop {
        let more: Vec<String> = catalogue
            .iter()
            .filter(|module| module.depends_on.iter().any(|need| gone.contains(&need.name)))
            .map(|module| module.name.clone())
            .filter(|module| !gone.contains(module))
            .collect();
        if more.is_empty() {
            break;
        }
        gone.extend(more);
    }
    gone.remove(name);
    let mut standing = works.journal.standing()?;
    standing.retain(|step| step.removes.is_none());
    gone.retain(|module| standing.iter().any(|step| step.module == *module || step.shared.contains(module)));
    Ok((!gone.is_empty()).then(|| {
        let names = gone.into_iter().collect::<Vec<_>>().join(", ");
        format!("warning: {names} depend on {name} and stay; to be on the safe side, take them back first")
    }))
}

/// Refuses to take back anything but what was shown: another run may have ended between the question and the lock.
fn refuse_if_changed(shown: &Selection, now: &Selection) -> Result<(), Problem> {
    let ids = |selection: &Selection| selection.steps.iter().map(|step| step.id).collect::<Vec<_>>();
    if ids(shown) == ids(now) {
        return Ok(());
    }
    Err(Problem::new(
        Exit::Failed,
        "host-moved",
        "what stands has changed since it was shown",
        "another run of vps-configurator ended in between",
    )
    .fix("look again: vps-configurator rollback --dry-run"))
}

fn nothing(session: &Session<'_>, target: &Target) -> Outcome {
    let module = match target {
        Target::Module(name) => Some(name),
        _ => None,
    };
    match (session.output.is_json(), module) {
        (true, _) => session.output.value(&json!({"status": "success", "module": module, "changes": 0})),
        (false, Some(name)) => {
            session.output.text(&format!("Nothing of module {name} stands; there is nothing to take back.\n"));
        }
        (false, None) => session.output.text("Nothing stands that could be taken back.\n"),
    }
    Ok(Exit::Done)
}

/// What would be taken back, as text and as JSON.
fn preview(works: &Works<'_>, selection: &Selection) -> Result<(String, Value), Problem> {
    let mut text = String::from("To take back, newest first:\n");
    let mut all = Vec::new();
    for (step, (id, lines)) in selection.steps.iter().zip(describe(works, selection)?) {
        text.push_str(&format!(
            "  - {id} [{}]\n",
            if step.shared.is_empty() { step.module.clone() } else { step.shared.join(", ") }
        ));
        for line in &lines {
            text.push_str(&wrap("      ", line));
        }
        all.push(json!({"resource": id, "transaction": step.tx, "module": step.module, "lines": lines}));
    }
    Ok((text, Value::Array(all)))
}

/// How a rollback went, for programs.
pub fn document(report: &RollbackReport, seconds: f64) -> Value {
    json!({
        "status": if report.is_complete() { "success" } else { "undo-incomplete" },
        "transaction": report.tx, "undoes": report.undoes, "changes": report.undone.len(), "kept": report.kept,
        "failed": report.failed.iter().map(|(id, error)| json!({"resource": id, "error": error.to_string()})).collect::<Vec<_>>(),
        "owed": report.unpaid.iter().map(|debt| debt.debt.to_string()).collect::<Vec<_>>(),
        "duration_seconds": seconds,
    })
}

/// Tells how a rollback went.
pub fn tell(session: &Session<'_>, report: &RollbackReport, seconds: f64) -> Outcome {
    let owed = owed::problem(&report.unpaid, "taken back").filter(|_| report.is_complete());
    let exit = if report.is_complete() { Exit::Done } else { Exit::UndoIncomplete };
    let undoes: Vec<String> = report.undoes.iter().map(ToString::to_string).collect();
    if session.output.is_json() {
        session.output.value(&document(report, seconds));
    }
    let mut text = format!(
        "Taken back: {} of transaction {}, {}.\n",
        counted(report.undone.len(), "change"),
        undoes.join(", "),
        time::length(seconds)
    );
    for line in &report.kept {
        text.push_str(&wrap("  ", &format!("kept: {line}")));
    }
    for debt in &report.unpaid {
        text.push_str(&format!("  owed: {} ({})\n", debt.debt, debt.error));
    }
    if !session.output.is_json() {
        session.output.text(&text);
    }
    if report.is_complete() {
        return owed.map_or(Ok(exit), Err);
    }
    let why: Vec<String> = report.failed.iter().map(|(id, error)| format!("{id}: {error}")).collect();
    let mut problem = Problem::new(exit, "undo-incomplete", "not everything could be taken back", why.join("\n"))
        .state(format!(
            "of the steps {} are back, {} are not; nothing more is applied until they are",
            report.undone.len(),
            report.failed.len()
        ))
        .fix("mend what it says, then run the same rollback again; --dry-run shows what it would take back");
    problem.details = report.tx.map(|tx| format!("vps-configurator transaction show {tx}"));
    Err(problem)
}

/// The transactions of which changes stand, newest first, a line each.
pub(super) fn applied(journal: &Journal) -> Result<String, Problem> {
    let standing = journal.standing()?;
    let mut rows = journal.transactions()?;
    rows.retain(|row| standing.iter().any(|step| step.tx == row.id));
    Ok(lines(&rows, &standing))
}

fn lines(rows: &[TransactionRow], standing: &[StepRow]) -> String {
    let line = |row: &TransactionRow| {
        let count = standing.iter().filter(|step| step.tx == row.id).count();
        let (begun, state) = (time::minute(row.started), word(&row.state));
        let standing = counted(count, "change") + if count == 1 { " stands" } else { " stand" };
        format!("transaction {:<4} {begun} {state:<9} {} ({standing})\n", row.id, what(row))
    };
    rows.iter().map(line).collect()
}

fn list(session: &Session<'_>, journal: &Journal, status: bool) -> Outcome {
    let standing = journal.standing()?;
    let mut stuck: Vec<(&ResourceId, String)> = Vec::new();
    for step in standing.iter().filter(|step| step.state == StepState::UndoFailed) {
        stuck.push((&step.resource, journal.last_undo(step.id)?.unwrap_or_default().join("; ")));
    }
    let rows: Vec<_> =
        journal.transactions()?.into_iter().filter(|row| standing.iter().any(|step| step.tx == row.id)).collect();
    let running = !journal.running()?.is_empty();
    let exit = if stuck.is_empty() { Exit::Done } else { Exit::UndoIncomplete };
    if session.output.is_json() {
        session.output.value(&json!({
            "unfinished": running, "incomplete": stuck.iter().map(|(resource, why)| json!({"resource": resource, "why": why})).collect::<Vec<_>>(),
            "transactions": rows.iter().map(super::transaction::summary).collect::<Vec<_>>(),
        }));
        return Ok(exit);
    }
    let mut text = String::new();
    if status {
        text.push_str(match (running, stuck.is_empty()) {
            (_, false) => "A rollback is incomplete:\n",
            (true, true) => "A transaction was cut off; vps-configurator recover finishes or undoes it.\n",
            (false, true) => "No rollback is unfinished.\n",
        });
        for (resource, why) in &stuck {
            text.push_str(&wrap("  ", &format!("{resource}: {why}")));
        }
    } else {
        text.push_str(&lines(&rows, &standing));
        if rows.is_empty() {
            text.push_str("Nothing stands that could be taken back.\n");
        }
    }
    session.output.text(&text);
    Ok(exit)
}
