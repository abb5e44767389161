//! `install`: makes the host match a profile. Finishes first what a crash cut off.

use super::Outcome;
use crate::base::ids::TransactionId;
use crate::base::paths;
use crate::cli::args::{Install, Select};
use crate::cli::baseline;
use crate::cli::confirm::confirm;
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::render::progress::Drawn;
use crate::cli::render::{plan as page, report};
use crate::cli::session::Session;
use crate::cli::setup::{Setup, select_of};
use crate::cli::signals::Signals;
use crate::cli::story;
use crate::engine::apply::{Report, apply};
use crate::engine::plan::Plan;
use crate::engine::recover::{Direction, is_needed, leave, recover};
use crate::engine::{Works, debts};
use crate::host::{Attributes, Guard};
use crate::journal::{Begin, StepState, TransactionKind, TransactionState};
use crate::profiles::settings::Recovery;
use serde_json::Value;
use std::path::Path;
use std::time::Instant;

/// An install that a crash cut off, to be finished.
#[derive(Debug)]
pub struct Resume {
    /// Its transaction.
    pub tx: TransactionId,
    /// What was asked for.
    pub request: Value,
}

/// How one install goes about it.
struct Order {
    select: Select,
    saved: Option<Plan>,
    workers: Option<usize>,
    download_only: bool,
    yes: bool,
}

/// Runs it.
pub fn run(session: &Session<'_>, flags: &Install) -> Outcome {
    session.require_root()?;
    session.require_debian_13()?;
    let (select, saved) = match &flags.plan {
        Some(path) => saved(path, &flags.select)?,
        None => (flags.select.clone(), None),
    };
    if flags.dry_run {
        return dry_run(session, &select);
    }
    let order = Order {
        select,
        saved,
        workers: flags.workers.map(usize::from),
        download_only: flags.download_only,
        yes: flags.yes,
    };
    story::begin(session.output.is_verbose());
    // Wrong configuration is told before anything is locked or healed.
    let setup = Setup::make(session, &order.select)?;
    let lock = session.lock()?;
    carry_out(session, lock, setup, &order, None)
}

/// Finishes an install that a crash cut off. Nobody is asked: it had been agreed to.
pub fn resume(session: &Session<'_>, lock: Box<dyn Guard>, resume: Resume) -> Outcome {
    let order =
        Order { select: select_of(&resume.request), saved: None, workers: None, download_only: false, yes: true };
    let setup = Setup::make(session, &order.select)?;
    carry_out(session, lock, setup, &order, Some(resume.tx))
}

fn dry_run(session: &Session<'_>, select: &Select) -> Outcome {
    let setup = Setup::make(session, select)?;
    let plan = setup.plan(session)?;
    if session.output.is_json() {
        session.output.value(&serde_json::json!({
            "status": "dry-run", "profile": setup.profile, "modules": setup.modules, "plan": plan
        }));
    } else {
        session.output.text(&page::text(
            &plan,
            &setup.profile,
            session.output.has_colour(),
            session.output.is_verbose(),
        ));
    }
    Ok(Exit::Done)
}

fn carry_out(
    session: &Session<'_>,
    _lock: Box<dyn Guard>,
    mut setup: Setup,
    order: &Order,
    resumed: Option<TransactionId>,
) -> Outcome {
    let began = Instant::now();
    let journal = session.journal()?;
    let progress = Drawn::new(session.output);
    let works = session.works(&journal, &progress);
    let resumed = match resumed {
        Some(tx) => Some(tx),
        None => after_a_crash(session, &works, &setup)?,
    };
    refuse_after_incomplete_undo(&works)?;
    let plan = setup.plan(session)?;
    if let Some(saved) = &order.saved {
        refuse_if_outdated(saved, &plan)?;
    }
    let is_half_made = match resumed {
        Some(tx) => journal.steps(tx)?.iter().any(|step| step.state == StepState::Intent),
        None => false,
    };
    if plan.is_empty() && !is_half_made {
        return nothing_to_do(session, &works, &setup, &plan, resumed, began);
    }
    session.require_writable()?;
    if order.download_only {
        if let Some(packages) = &setup.packages {
            packages.download(session.host, &progress)?;
        }
        progress.finish();
        session.output.text("The packages are fetched; install again without --download-only.\n");
        return Ok(Exit::Done);
    }
    if !order.yes && !session.output.is_json() {
        session.output.text(&page::text(
            &plan,
            &setup.profile,
            session.output.has_colour(),
            session.output.is_verbose(),
        ));
    }
    confirm(session, order.yes, "Make these changes?")?;
    let signals = Signals::watch();
    if let Some(workers) = order.workers {
        setup.policy.workers = workers;
    }
    setup.policy.stop = Some(signals.stop());
    let actor = session.actor();
    baseline::begin(session, &journal);
    let tx = match resumed {
        Some(tx) => tx,
        None => journal.begin(&Begin {
            kind: TransactionKind::Install,
            undoes: Vec::new(),
            request: setup.kept_request(),
            plan: serde_json::to_value(&plan).unwrap_or_default(),
            actor: actor.clone(),
            now: works.now(),
        })?,
    };
    let nodes = std::mem::take(&mut setup.nodes);
    let made = apply(&works, nodes, &setup.order, &plan, tx, &setup.policy, &actor);
    if made.is_ok() {
        baseline::end(session, &journal, Some(tx));
    }
    progress.finish();
    let made = made.map_err(|error| {
        Problem::from(error).state("stopped where it was; vps-configurator recover finishes or undoes it")
    })?;
    tell(session, &setup, &plan, Some(&made), began.elapsed().as_secs_f64())
}

/// Heals and finishes what a crash left. The install that was cut off goes on under its number when it is the same.
fn after_a_crash(session: &Session<'_>, works: &Works<'_>, setup: &Setup) -> Result<Option<TransactionId>, Problem> {
    if !is_needed(works)? {
        return Ok(None);
    }
    super::recover::prepare(session, works)?;
    let direction = match setup.settings.recovery {
        Recovery::Finish => Direction::Finish,
        Recovery::Undo => Direction::Undo,
    };
    let recovery = recover(works, direction, &session.actor())?;
    let Some(row) = recovery.to_finish else { return Ok(None) };
    if row.request == setup.kept_request() {
        return Ok(Some(row.id));
    }
    leave(works, row.id, &session.actor())?;
    Ok(None)
}

fn refuse_after_incomplete_undo(works: &Works<'_>) -> Result<(), Problem> {
    match works.journal.standing()?.iter().find(|step| step.state == StepState::UndoFailed) {
        Some(step) => Err(crate::engine::Error::UndoIncomplete { transaction: step.tx.0 }.into()),
        None => Ok(()),
    }
}

fn nothing_to_do(
    session: &Session<'_>,
    works: &Works<'_>,
    setup: &Setup,
    plan: &Plan,
    resumed: Option<TransactionId>,
    began: Instant,
) -> Outcome {
    let unpaid = debts::pay(works)?;
    if let Some(tx) = resumed {
        works.journal.set_transaction(tx, TransactionState::Done, Some(works.now()), None)?;
    }
    // After an upgrade from a version that kept none, and after a run that died when its work was done.
    baseline::end(session, works.journal, resumed);
    if let Some(debt) = unpaid.into_iter().next() {
        return Err(Problem::from(debt.error).state("as the profile says, but for what is still owed"));
    }
    tell(session, setup, plan, None, began.elapsed().as_secs_f64())
}

/// A saved plan, with the selection that it was made with.
fn saved(path: &Path, given: &Select) -> Result<(Select, Option<Plan>), Problem> {
    let refuse = |code: &str, why: String| {
        Problem::new(Exit::Usage, code, format!("cannot use the plan {}", path.display()), why)
            .fix(format!("make it anew: vps-configurator plan --out {}", path.display()))
    };
    if given.profile.is_some() || !given.module.is_empty() || !given.skip.is_empty() || !given.set.is_empty() {
        return Err(refuse("plan-unusable", "a saved plan brings its own profile, modules and settings".into()));
    }
    let text = std::fs::read_to_string(path).map_err(|e| refuse("plan-unreadable", e.to_string()))?;
    let value: Value = serde_json::from_str(&text).map_err(|e| refuse("plan-unreadable", e.to_string()))?;
    let plan: Plan = value
        .get("plan")
        .cloned()
        .and_then(|plan| serde_json::from_value(plan).ok())
        .ok_or_else(|| refuse("plan-unreadable", "it is not a plan of this version".into()))?;
    if !plan.is_genuine() {
        return Err(refuse("plan-edited", "its hash is not that of its steps: it was edited".into()));
    }
    Ok((select_of(value.get("request").unwrap_or(&Value::Null)), Some(plan)))
}

fn refuse_if_outdated(saved: &Plan, now: &Plan) -> Result<(), Problem> {
    if saved.hash == now.hash {
        return Ok(());
    }
    let differs: Vec<String> = saved.differs_in(now).iter().map(ToString::to_string).collect();
    Err(Problem::new(
        Exit::Failed,
        "host-moved",
        "the saved plan is out of date",
        format!("the host or the configuration changed since: {}", differs.join(", ")),
    )
    .fix("look at a new one: vps-configurator plan"))
}

fn tell(session: &Session<'_>, setup: &Setup, plan: &Plan, made: Option<&Report>, seconds: f64) -> Outcome {
    let result = report::Result {
        profile: &setup.profile,
        modules: &setup.modules,
        available: setup.available,
        plan,
        report: made,
        seconds,
        next_steps: if made.is_some() { &setup.next_steps } else { &[] },
    };
    let value = report::json(&result);
    if let Some(made) = made {
        keep(session, &format!("install-{}.json", made.tx), &value);
    }
    let problem = made.and_then(problem);
    match (session.output.is_json(), problem) {
        (true, None) => session.output.value(&value),
        (true, Some(problem)) => {
            let mut value = value;
            if let (Value::Object(all), Value::Object(more)) = (&mut value, problem.json()) {
                more.into_iter().for_each(|(name, part)| {
                    all.entry(name).or_insert(part);
                });
            }
            session.output.value(&value);
            return Ok(problem.exit);
        }
        (false, problem) => {
            session.output.text(&report::text(&result));
            if let Some(problem) = problem {
                return Err(problem);
            }
        }
    }
    Ok(Exit::Done)
}

/// Why an install did not come to its end, if it didn't.
fn problem(made: &Report) -> Option<Problem> {
    let complete = made.is_undo_complete();
    let first = made.failures.first();
    if made.state == TransactionState::Done {
        // What an earlier run owes is nobody's fault here, but a service that is not well is no success.
        let debt = made.unpaid.first()?;
        let mut problem = Problem::of(&debt.error).state("as the profile says, but for what is still owed");
        problem.details = Some("vps-configurator status".to_owned());
        return Some(problem);
    }
    let (what, code, why, fix) = match first {
        Some(failure) => {
            let explained = explain(&failure.error);
            (
                format!("module {} failed: {}", failure.module, explained.what),
                explained.code,
                explained.why,
                explained.fix,
            )
        }
        None => ("stopped".to_owned(), "stopped".to_owned(), vec!["a signal asked for it".to_owned()], Vec::new()),
    };
    let count: usize = made.rollbacks.iter().map(|report| report.undone.len()).sum();
    let state = match (complete, made.state) {
        (false, _) => "some changes could not be taken back; nothing more is applied until they are".to_owned(),
        (true, TransactionState::Partial) => {
            format!("the other modules are installed; {count} changes of the failed ones were taken back")
        }
        (true, _) if !made.unpaid.is_empty() => {
            let owed: Vec<String> = made.unpaid.iter().map(|debt| debt.debt.to_string()).collect();
            format!("rolled back, {count} of {count} steps undone; still owed: {}", owed.join(", "))
        }
        (true, _) => format!("rolled back, {count} of {count} steps undone; the host is as it was before"),
    };
    let exit = if complete { Exit::Failed } else { Exit::UndoIncomplete };
    let mut problem = Problem::new(exit, &code, what, why.join("\n")).state(state);
    problem.fix = fix;
    problem.details = Some(format!("vps-configurator transaction show {}", made.tx));
    Some(problem)
}

fn explain(error: &crate::engine::Error) -> Problem {
    Problem::of(error)
}

/// Keeps the result beside the logs. That it can't be written changes nothing for the host.
fn keep(session: &Session<'_>, name: &str, value: &Value) {
    let dir = Path::new(paths::LOG);
    let text = format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default());
    let made = match session.host.meta(dir) {
        Ok(None) => session.host.make_directory(dir, &Attributes::root(0o750)),
        other => other.map(drop),
    };
    let kept = made.and_then(|()| session.host.write(&dir.join(name), text.as_bytes(), &Attributes::root(0o640)));
    if let Err(error) = kept {
        tracing::warn!("the report was not kept: {error}");
    }
}
