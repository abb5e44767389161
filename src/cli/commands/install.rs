//! `install`: makes the host match a profile. Finishes first what a crash cut off.

use super::Outcome;
use crate::base::count::counted;
use crate::base::ids::TransactionId;
use crate::cli::args::{Install, Select};
use crate::cli::arming::{Arming, Asked};
use crate::cli::ask::ask;
use crate::cli::baseline;
use crate::cli::broadcast::broadcast;
use crate::cli::exit::Exit;
use crate::cli::explain::{Problem, UNTOUCHED};
use crate::cli::hooks::{self, Hooks};
use crate::cli::knock::Knock;
use crate::cli::owed;
use crate::cli::render::progress::Drawn;
use crate::cli::render::{confirmation, plan as page, report};
use crate::cli::reports;
use crate::cli::session::{Held, Session};
use crate::cli::setup::{Setup, select_of};
use crate::cli::signals::Signals;
use crate::cli::story;
use crate::cli::upstream::{Aside, Upstream};
use crate::engine::apply::{Report, apply};
use crate::engine::plan::{Plan, Step};
use crate::engine::recover::{Direction, is_needed, leave, recover};
use crate::engine::{Event, Patience, Progress, Resource, Works, confirm, debts};
use crate::host::machine::hostname;
use crate::journal::{Begin, ConfirmationRow, Journal, StepState, TransactionKind, TransactionState};
use crate::observe::answers::{Depth, List, Remembering};
use crate::observe::health::reasons_to_reboot;
use crate::profiles::settings::Recovery;
use crate::resources::package::{PackageSet, cache};
use crate::resources::whole;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
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
struct Order<'a> {
    select: Select,
    /// What programs had said before, by which the setup was made; none where they were asked.
    answers: Option<&'a Remembering<'a>>,
    saved: Option<Plan>,
    workers: Option<usize>,
    download_only: bool,
    yes: bool,
    asked: Asked,
    events: Option<PathBuf>,
}

/// Runs it.
pub fn run(session: &Session<'_>, flags: &Install) -> Outcome {
    session.require_root()?;
    session.require_debian_13()?;
    let (select, saved) = match &flags.plan {
        Some(path) => saved(path, &flags.select)?,
        None => (flags.select.clone(), None),
    };
    let asked = Asked { when: flags.confirm, timeout: flags.confirm_timeout };
    if flags.dry_run {
        return dry_run(session, &select, asked);
    }
    let answers = Remembering::new(session.host, what_may_be_remembered(session), Depth::Plan);
    let order = Order {
        select,
        answers: Some(&answers),
        saved,
        workers: flags.workers.map(usize::from),
        download_only: flags.download_only,
        yes: flags.yes,
        asked,
        events: flags.events.clone(),
    };
    story::begin(session.output.is_verbose());
    // Wrong configuration is told before anything is locked or healed.
    let setup = match Setup::make(&session.on(&answers), &order.select) {
        Err(_) if !answers.is_still_so() => Setup::make(session, &order.select)?,
        setup => setup?,
    };
    let lock = Held::new(Some(session.lock()?));
    carry_out(session, &lock, setup, &order, None)
}

/// The programs that need not be asked again should there be nothing to do. It's only a shortcut: without a good list, or
/// where sshd reads files that the list does not know of, all are asked.
fn what_may_be_remembered(session: &Session<'_>) -> List {
    if !whole::ssh_is_at_home(session.host) {
        return List::default();
    }
    List::load(session.host).unwrap_or_else(|problems| {
        tracing::warn!("nothing that programs answered is remembered: {problems}");
        List::default()
    })
}

/// Makes what was shown and agreed to elsewhere, and nothing else: `lock` is held, and the configuration says it by now.
pub fn agreed(session: &Session<'_>, lock: &Held, plan: Plan) -> Outcome {
    let (select, asked) = (Select::default(), Asked::default());
    let saved = Some(plan);
    let order =
        Order { select, answers: None, saved, workers: None, download_only: false, yes: true, asked, events: None };
    let setup = Setup::make(session, &order.select)?;
    carry_out(session, lock, setup, &order, None)
}

/// Finishes an install that a crash cut off, under the lock that is held. Nobody is asked: it had been agreed to.
pub fn resume(session: &Session<'_>, lock: &Held, resume: Resume, events: Option<PathBuf>) -> Outcome {
    let select = select_of(&resume.request);
    let asked = Asked::default();
    let order =
        Order { select, answers: None, saved: None, workers: None, download_only: false, yes: true, asked, events };
    let setup = Setup::make(session, &order.select)?;
    carry_out(session, lock, setup, &order, Some(resume.tx))
}

fn dry_run(session: &Session<'_>, select: &Select, asked: Asked) -> Outcome {
    let setup = Setup::make(session, select)?;
    let plan = setup.plan(session)?;
    setup.check(session, &plan)?;
    let arming = Arming::of(session, &setup, &plan, asked);
    if session.output.is_json() {
        session.output.value(&json!({
            "status": "dry-run", "profile": setup.profile, "modules": setup.modules, "plan": plan,
            "confirm": arming.as_ref().map(Arming::json),
        }));
    } else {
        page::show(session.output, &plan, &setup.profile, arming.as_ref());
    }
    Ok(Exit::Done)
}

fn carry_out(
    session: &Session<'_>,
    lock: &Held,
    setup: Setup,
    order: &Order<'_>,
    resumed: Option<TransactionId>,
) -> Outcome {
    let mut aside = Aside::default();
    let exit = with_what_answers(session, lock, setup, order, resumed, &mut aside)?;
    let state = match order.download_only {
        true => "the packages of the other modules are fetched; nothing was changed",
        false => "the other modules are as the profile says",
    };
    aside.outcome(session, exit, state)
}

/// The plan, without the modules that can't be had now: these are `aside` then.
fn planned(
    session: &Session<'_>,
    works: &Works<'_>,
    setup: &mut Setup,
    order: &Order<'_>,
    aside: &mut Aside,
) -> Result<Plan, Problem> {
    leave_out(session, works, setup, order, aside, &[])?;
    loop {
        let settings = setup.settings.clone();
        let upstream = Upstream::new(session, &settings, works.progress);
        match upstream.persist(setup, || setup.plan(session)) {
            Err(problem) if leave_out(session, works, setup, order, aside, &problem.hosts)? => {}
            done => return done,
        }
    }
}

/// Fetches the packages of the plan; without the modules that can't be had now. What the plan is then.
fn fetched(
    session: &Session<'_>,
    works: &Works<'_>,
    setup: &mut Setup,
    order: &Order<'_>,
    aside: &mut Aside,
    mut plan: Plan,
) -> Result<Plan, Problem> {
    loop {
        let settings = setup.settings.clone();
        let upstream = Upstream::new(session, &settings, works.progress);
        match upstream.persist(setup, || fetch_packages(works, setup, &plan)) {
            Err(problem) if leave_out(session, works, setup, order, aside, &problem.hosts)? => {
                plan = planned(session, works, setup, order, aside)?;
            }
            done => return done.map(|()| plan),
        }
    }
}

/// Sets the modules aside that need these hosts, or hosts that are left alone; says whether there are any.
fn leave_out(
    session: &Session<'_>,
    works: &Works<'_>,
    setup: &mut Setup,
    order: &Order<'_>,
    aside: &mut Aside,
    silent: &[String],
) -> Result<bool, Problem> {
    let settings = setup.settings.clone();
    if !Upstream::new(session, &settings, works.progress).set_aside(setup, silent, aside)? {
        return Ok(false);
    }
    let mut select = order.select.clone();
    select.skip.extend(aside.modules.keys().cloned());
    *setup = Setup::make(session, &select)?;
    aside.tell(setup);
    Ok(true)
}

fn with_what_answers(
    session: &Session<'_>,
    lock: &Held,
    setup: Setup,
    order: &Order<'_>,
    resumed: Option<TransactionId>,
    aside: &mut Aside,
) -> Outcome {
    let mut base = hooks::base(session, Some(&setup.profile), &setup.modules);
    base["resumed"] = resumed.is_some().into();
    let hooks = Hooks::of(session, setup.settings.hook_timeout, base, Some(lock));
    let outcome = make_it_so(session, setup, order, resumed, &hooks, aside);
    if let Err(problem) = &outcome
        && hooks.is_open()
    {
        hooks.after(hooks::Event::OnError, None, &hooks::error_of(problem));
    }
    hooks.tell();
    outcome
}

fn make_it_so(
    session: &Session<'_>,
    mut setup: Setup,
    order: &Order<'_>,
    resumed: Option<TransactionId>,
    hooks: &Hooks<'_>,
    aside: &mut Aside,
) -> Outcome {
    let began = Instant::now();
    let journal = session.journal()?;
    let progress = Drawn::new(session.output, order.events.as_deref())?;
    let patience = Patience::of(setup.settings.lock_wait);
    let works = Works { patience, ..session.works(&journal, &progress) };
    refuse_after_a_revert(session, &works)?;
    let resumed = match resumed {
        Some(tx) => Some(tx),
        None => after_a_crash(session, &works, &setup)?,
    };
    refuse_after_incomplete_undo(&works)?;
    let waits = refuse_while_one_waits(session, &works, resumed).err();
    if waits.is_some() {
        // Who takes it back waits for our lock, and must not wait for mirrors.
        aside.goes_without_network = true;
        aside.tell(&setup);
    }
    let quick = order.answers.map(|answers| session.on(answers));
    let mut first = planned(quick.as_ref().unwrap_or(session), &works, &mut setup, order, aside);
    let is_over = resumed.is_none() && order.saved.is_none() && first.as_ref().is_ok_and(Plan::is_empty);
    // What changes something, or is refused, goes by what the programs say now.
    if !is_over && order.answers.is_some_and(|answers| !answers.is_still_so()) {
        aside.begin_anew();
        setup = Setup::make(session, &order.select)?;
        aside.tell(&setup);
        first = planned(session, &works, &mut setup, order, aside);
    }
    let mut plan = match (first, waits) {
        (Err(_), Some(waits)) => return Err(waits),
        // Such a plan may be another than the saved one for that reason alone.
        (Ok(plan), Some(waits)) if !plan.is_empty() => return Err(waits),
        (plan, _) => plan?,
    };
    if let Some(saved) = &order.saved {
        refuse_if_outdated(saved, &plan)?;
    }
    let is_half_made = match resumed {
        Some(tx) => journal.steps(tx)?.iter().any(|step| step.state == StepState::Intent),
        None => false,
    };
    if plan.is_empty() && !is_half_made {
        let outcome = nothing_to_do(session, &works, &progress, &setup, &plan, resumed, began);
        if let (Some(tx), Ok(_)) = (resumed, &outcome) {
            after_install(&journal, &setup, tx, None, hooks);
        }
        if let Some(answers) = order.answers {
            answers.keep();
        }
        return outcome;
    }
    refuse_while_one_waits(session, &works, resumed)?;
    session.require_writable()?;
    setup.check(session, &plan)?;
    if order.download_only {
        plan = fetched(session, &works, &mut setup, order, aside, plan)?;
        progress.finish();
        match session.output.is_json() {
            true => session.output.value(&json!({"status": "fetched", "profile": setup.profile, "plan": plan.hash})),
            false => session.output.text("The packages are fetched; install again without --download-only.\n"),
        }
        return Ok(Exit::Done);
    }
    let mut arming = Arming::of(session, &setup, &plan, order.asked);
    progress.aside(|| {
        if !order.yes && !session.output.is_json() {
            page::show(session.output, &plan, &setup.profile, arming.as_ref());
        }
        ask(session, order.yes, "Make these changes?")
    })?;
    let signals = Signals::watch();
    // Who was led here is watched from the answers on.
    if resumed.is_none() {
        refuse_if_stopped(&signals, UNTOUCHED)?;
    }
    // What a crash cut off had been agreed to, and its hooks were run.
    if resumed.is_none() && hooks.has(hooks::Event::PreInstall) {
        before_install(session, &setup, &plan, &signals, hooks)?;
    }
    hooks.open();
    if let Some(now) = once_packages_are_ready(session, &works, &setup, &plan, &signals)? {
        if now.is_empty() && !is_half_made {
            let outcome = nothing_to_do(session, &works, &progress, &setup, &now, resumed, began);
            if let (Some(tx), Ok(_)) = (resumed, &outcome) {
                after_install(&journal, &setup, tx, None, hooks);
            }
            return outcome;
        }
        if let Some(saved) = &order.saved {
            refuse_if_outdated(saved, &now)?;
        }
        arming = Arming::of(session, &setup, &now, order.asked);
        if now.hash != plan.hash && !order.yes {
            progress.aside(|| {
                if !session.output.is_json() {
                    session.output.text("The packages are ready. What is left to do:\n");
                    page::show(session.output, &now, &setup.profile, arming.as_ref());
                }
                ask(session, order.yes, "Make these changes?")
            })?;
        }
        plan = now;
    }
    progress.expect(&plan, &journal);
    // Before anything is changed: what can't be had is known then.
    let left_out = aside.modules.len();
    plan = fetched(session, &works, &mut setup, order, aside, plan)?;
    if aside.modules.len() > left_out {
        arming = Arming::of(session, &setup, &plan, order.asked);
    }
    if let Some(workers) = order.workers {
        setup.policy.workers = workers;
    }
    setup.policy.stop = Some(signals.stop());
    let actor = session.actor();
    baseline::begin(session, &journal);
    let before = arming.as_ref().map(|arming| Knock::at(session.host, &arming.logins));
    session.begin_changes();
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
    if let Some(arming) = arming.as_ref().filter(|_| !matches!(journal.confirmation(tx), Ok(Some(_))))
        && let Err(error) = confirm::arm(&works, tx, &arming.terms)
    {
        journal.set_transaction(tx, TransactionState::Failed, Some(works.now()), Some(&error.to_string()))?;
        return Err(error.into());
    }
    let nodes = std::mem::take(&mut setup.nodes);
    let made = apply(&works, nodes, &setup.order, &plan, tx, &setup.policy, &actor);
    if let Ok(made) = &made {
        Upstream::new(session, &setup.settings, &progress).learn(&setup, made);
    }
    if made.is_ok() {
        let what = "noting how the host is now";
        progress.tell(&Event::Within { what, percent: None, bytes: None, done: None });
        baseline::end(session, &journal, Some(tx));
        trim_cache(session, &setup);
    }
    progress.finish();
    let made = made.map_err(|error| {
        Problem::from(error).state("stopped where it was; vps-configurator recover finishes or undoes it")
    })?;
    let waiting = confirm::settle_all(&works)?.into_iter().find(|row| row.tx == tx);
    let looked = match (&waiting, before, arming) {
        (Some(row), Some(before), Some(arming)) => {
            let after = Knock::again(session.host, &arming.logins, &before);
            let lost = after.lost(&before);
            if !lost.is_empty() {
                return take_back_at_once(session, &works, row, &lost);
            }
            after.passed()
        }
        _ => Vec::new(),
    };
    if let Some(row) = &waiting {
        let text = confirmation::after_install(session.host, row, &looked);
        broadcast(session.host, session.output, &format!("vps-configurator: transaction {} is done.\n{text}", row.tx));
    }
    let waiting = waiting.as_ref().map(|row| (row, looked.as_slice()));
    let outcome = tell(session, &progress, &setup, &plan, Some(&made), waiting, began.elapsed().as_secs_f64());
    after_install(&journal, &setup, tx, Some(&made), hooks);
    outcome
}

/// Goes no further when somebody asked to stop and nothing is begun.
fn refuse_if_stopped(signals: &Signals, state: &str) -> Result<(), Problem> {
    match signals.stop().load(Ordering::SeqCst) {
        true => Err(Problem::new(Exit::Failed, "stopped", "stopped", "a signal asked for it").state(state)),
        false => Ok(()),
    }
}

/// Runs the hooks of what is agreed to and not begun. What they do must not be part of what was agreed to.
fn before_install(
    session: &Session<'_>,
    setup: &Setup,
    plan: &Plan,
    signals: &Signals,
    hooks: &Hooks<'_>,
) -> Result<(), Problem> {
    hooks.before(hooks::Event::PreInstall, json!({"plan": plan.hash, "changes": plan.steps.len()}))?;
    const STATE: &str = "nothing was changed, but for what the hooks did themselves";
    refuse_if_stopped(signals, STATE)?;
    let now = setup.plan(session)?;
    if now.hash == plan.hash {
        return Ok(());
    }
    let differs: Vec<String> = plan.differs_in(&now).iter().map(ToString::to_string).collect();
    let why = format!("a pre_install hook changed what was planned: {}", differs.join(", "));
    Err(Problem::new(Exit::Failed, "host-moved", "the plan that was agreed to is no longer right", why)
        .state(STATE)
        .fix("look at the new one: vps-configurator plan"))
}

/// Runs the hooks of what is done, or was found done.
fn after_install(journal: &Journal, setup: &Setup, tx: TransactionId, made: Option<&Report>, hooks: &Hooks<'_>) {
    let steps = journal.steps(tx).unwrap_or_default();
    let stands = |module: &String| {
        let mut standing = steps.iter().filter(|step| step.state.stands() && step.removes.is_none());
        standing.any(|step| step.shared.contains(module) || (step.shared.is_empty() && step.module == *module))
    };
    for module in setup.modules.iter().filter(|module| stands(module)) {
        hooks.after(hooks::Event::PostModule, Some(tx), &json!({"module": module, "state": "done"}));
    }
    let state = made.map_or(TransactionState::Done, |made| made.state);
    let failed: Vec<&String> = made.iter().flat_map(|made| &made.failed_modules).collect();
    let more = json!({"state": state, "changes": made.map(|made| made.applied.len()), "failed_modules": failed});
    if state != TransactionState::Failed {
        hooks.after(hooks::Event::PostInstall, Some(tx), &more);
    }
    if let Some(problem) = made.and_then(problem) {
        let mut more = more;
        more["error"] = hooks::error_of(&problem)["error"].take();
        hooks.after(hooks::Event::OnError, Some(tx), &more);
        hooks.close();
    }
}

/// Holds the limit of apt's cache. That it can't be held now is no failure of the install: the next one tries again.
fn trim_cache(session: &Session<'_>, setup: &Setup) {
    let Some(limit) = setup.settings.cache_limit else { return };
    match cache::trim(session.host, limit) {
        Ok(gone) => {
            gone.into_iter().flatten().for_each(|file| tracing::debug!("{} is over the limit", file.path.display()))
        }
        Err(error) => tracing::warn!("apt's cache was not trimmed: {error}"),
    }
}

/// What was not confirmed in time is taken back before anything else, should nobody have done it yet. What was read of
/// the host until then is no longer so.
fn refuse_after_a_revert(session: &Session<'_>, works: &Works<'_>) -> Result<(), Problem> {
    let reverted = super::revert::what_is_due(session, works)?;
    let failed = reverted.iter().flat_map(|one| &one.reports).flat_map(|report| &report.failed);
    let failed: Vec<String> = failed.map(|(id, error)| format!("{id}: {error}")).collect();
    match reverted.first() {
        None => Ok(()),
        Some(_) if !failed.is_empty() => Err(super::revert::incomplete(&failed)),
        Some(one) => Err(Problem::new(
            Exit::Failed,
            "confirm-too-late",
            format!("transaction {} was not confirmed in time", one.tx),
            "so it was taken back before anything else",
        )
        .state("transaction taken back; nothing else was changed")
        .fix("look at a new plan: vps-configurator plan")),
    }
}

/// While a transaction waits for its confirmation nothing is put on top of it: it may have to go.
fn refuse_while_one_waits(
    session: &Session<'_>,
    works: &Works<'_>,
    resumed: Option<TransactionId>,
) -> Result<(), Problem> {
    match confirm::settle_all(works)?.iter().find(|row| Some(row.tx) != resumed) {
        None => Ok(()),
        Some(row) => Err(one_waits(
            format!("transaction {} waits for its confirmation", row.tx),
            format!(
                "it touches the way in ({}), and is taken back unless it is confirmed; it waits {}",
                row.modules.join(", "),
                confirmation::until(session.host, row)
            ),
        )),
    }
}

/// What cannot be begun while a change waits to be confirmed, and why.
pub fn one_waits(what: impl Into<String>, why: impl Into<String>) -> Problem {
    Problem::new(Exit::Failed, "confirm-waiting", what, why)
        .fix("log in anew, from a second terminal, and there: sudo vps-configurator confirm")
        .fix("or take it back now: vps-configurator rollback")
}

/// What the program itself sees to be lost is not waited for.
fn take_back_at_once(session: &Session<'_>, works: &Works<'_>, row: &ConfirmationRow, lost: &[String]) -> Outcome {
    let why = lost.join("\n");
    baseline::begin(session, works.journal);
    let Some(reverted) = confirm::revert(works, row, &why, &session.actor(), &|| Ok(()))? else {
        // Somebody came in anew and confirmed it: that counts for more than what is seen from inside.
        return Ok(Exit::Done);
    };
    baseline::end(session, works.journal, super::revert::newest([&reverted]));
    let count: usize = reverted.reports.iter().map(|report| report.undone.len()).sum();
    let modules = row.modules.join(", ");
    let mut problem = match reverted.is_complete() {
        true => {
            Problem::new(Exit::Failed, "confirm-probe-failed", "after the change nobody would get in any more", why)
                .state(format!(
                    "taken back at once: {} of {modules}; what else was installed stands",
                    counted(count, "change")
                ))
                .fix("correct the option that it comes from; vps-configurator plan shows what it would change")
                .fix("if it is meant to be so: --confirm never")
        }
        false => {
            let failed = reverted.reports.iter().flat_map(|report| &report.failed);
            let failed: Vec<String> = failed.map(|(id, error)| format!("{id}: {error}")).collect();
            super::revert::incomplete(&failed)
        }
    };
    problem.details = Some(format!("vps-configurator transaction show {}", row.tx));
    Err(problem)
}

/// Heals and finishes what a crash left. The install that was cut off goes on under its number when it is the same.
fn after_a_crash(session: &Session<'_>, works: &Works<'_>, setup: &Setup) -> Result<Option<TransactionId>, Problem> {
    if !is_needed(works)? {
        return Ok(None);
    }
    let direction = match setup.settings.recovery {
        Recovery::Finish => Direction::Finish,
        Recovery::Undo => Direction::Undo,
    };
    super::recover::renew(works, direction == Direction::Finish)?;
    super::recover::prepare(session, works.progress, works.patience, true)?;
    session.begin_changes();
    let recovery = recover(works, direction, &session.actor())?;
    let Some(row) = recovery.to_finish else { return Ok(None) };
    if row.request == setup.kept_request() {
        return Ok(Some(row.id));
    }
    leave(works, row.id, None, &session.actor())?;
    Ok(None)
}

/// Where packages are to change: waits for others who work with packages, and brings dpkg in order, before there is
/// anything to undo: what they change meanwhile, and what scripts of packages that aren't ours do now, is not ours. The
/// plan that is right then, when something came of it.
fn once_packages_are_ready(
    session: &Session<'_>,
    works: &Works<'_>,
    setup: &Setup,
    plan: &Plan,
    signals: &Signals,
) -> Result<Option<Plan>, Problem> {
    let changes = |packages: &&PackageSet| plan.steps.iter().any(|step| step.id == *packages.id());
    let Some(packages) = setup.packages.as_ref().filter(changes) else {
        return Ok(None);
    };
    let stop = signals.stop();
    let ready = packages.make_ready(works.host, works.progress, Patience { stop: Some(&stop), ..works.patience });
    if super::recover::is_change(&ready) {
        session.begin_changes();
    }
    if !ready? {
        return Ok(None);
    }
    setup.plan(session).map(Some)
}

/// Fetches the packages of the plan into apt's cache.
fn fetch_packages(works: &Works<'_>, setup: &Setup, plan: &Plan) -> Result<(), Problem> {
    let Some(packages) = &setup.packages else { return Ok(()) };
    let is_it = |step: &&Step| step.id == *packages.id() && step.dropped.is_none();
    match plan.steps.iter().find(is_it) {
        Some(step) => Ok(packages.download(works.host, works.progress, works.patience, &step.seen)?),
        None => Ok(()),
    }
}

fn refuse_after_incomplete_undo(works: &Works<'_>) -> Result<(), Problem> {
    match works.journal.undo_failed()? {
        Some(tx) => Err(crate::engine::Error::UndoIncomplete { transaction: tx.0 }.into()),
        None => Ok(()),
    }
}

fn nothing_to_do(
    session: &Session<'_>,
    works: &Works<'_>,
    progress: &Drawn,
    setup: &Setup,
    plan: &Plan,
    resumed: Option<TransactionId>,
    began: Instant,
) -> Outcome {
    let unpaid = debts::pay(works)?;
    if let Some(tx) = resumed {
        works.host.sync()?;
        works.journal.set_transaction(tx, TransactionState::Done, Some(works.now()), None)?;
        confirm::settle_all(works)?;
    }
    // After an upgrade from a version that kept none, and after a run that died when its work was done.
    baseline::end(session, works.journal, resumed);
    if let Some(problem) = owed::problem(&unpaid, "as the profile says") {
        return Err(problem);
    }
    progress.finish();
    tell(session, progress, setup, plan, None, None, began.elapsed().as_secs_f64())
}

/// A saved plan, with the selection that it was made with.
fn saved(path: &Path, given: &Select) -> Result<(Select, Option<Plan>), Problem> {
    let refuse = |code: &str, why: String| {
        Problem::new(Exit::Usage, code, format!("cannot use the plan {}", path.display()), why)
            .fix(format!("make it anew: vps-configurator plan --out {}", path.display()))
    };
    if !given.is_empty() {
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

/// `waiting`: what must be confirmed now, and what was seen of the way in.
fn tell(
    session: &Session<'_>,
    progress: &Drawn,
    setup: &Setup,
    plan: &Plan,
    made: Option<&Report>,
    waiting: Option<(&ConfirmationRow, &[String])>,
    seconds: f64,
) -> Outcome {
    let notes = progress.notes();
    // Of a module that was taken back there is nothing to do.
    let stands = |module: &str| made.is_some_and(|made| !made.failed_modules.contains(module));
    let next_steps: Vec<&str> =
        setup.next_steps.iter().filter(|step| stands(&step.module)).map(|step| step.text.as_str()).collect();
    let hostname = hostname(session.host).unwrap_or_default();
    let reboot = made.and_then(|_| reasons_to_reboot(session.host).ok()).unwrap_or_default();
    let result = report::Result {
        profile: &setup.profile,
        modules: &setup.modules,
        available: setup.available,
        plan,
        report: made,
        seconds,
        notes: &notes,
        next_steps: &next_steps,
        reboot: &reboot,
        hostname: &hostname,
        ended: i64::try_from(session.host.now()).unwrap_or(i64::MAX),
    };
    let mut value = report::json(&result);
    if let Some((row, looked)) = waiting {
        value["confirmation"] = confirmation::json(session.host, row);
        value["confirmation"]["seen"] = looked.into();
    }
    let problem = made.and_then(problem);
    if let (Value::Object(all), Some(Value::Object(more))) = (&mut value, problem.as_ref().map(Problem::json)) {
        more.into_iter().for_each(|(name, part)| {
            all.entry(name).or_insert(part);
        });
    }
    let kept = made.map(|made| reports::keep(session, made.tx, &mut value));
    match (session.output.is_json(), problem) {
        (true, problem) => {
            session.output.value(&value);
            if let Some(problem) = problem {
                return Ok(problem.exit);
            }
        }
        (false, problem) => {
            session.output.text(&report::text(&result));
            match (kept, value["report"].as_str()) {
                (Some(Ok(())), Some(path)) => session.output.text(&format!("Report:       {path}\n")),
                (Some(Err(why)), _) => session.output.error(&format!("warning: the report was not kept: {why}\n")),
                _ => {}
            }
            if let Some((row, looked)) = waiting {
                let text = confirmation::after_install(session.host, row, looked);
                // Who wants no words must know this all the same.
                match session.output.is_quiet() {
                    true => session.output.error(&text),
                    false => session.output.text(&text),
                }
            }
            if let Some(problem) = problem {
                return Err(problem);
            }
        }
    }
    Ok(if plan.left.is_empty() { Exit::Done } else { Exit::Findings })
}

/// Why an install did not come to its end, if it didn't.
fn problem(made: &Report) -> Option<Problem> {
    let complete = made.is_undo_complete();
    let first = made.failures.first();
    if made.state == TransactionState::Done {
        // What an earlier run owes is nobody's fault here, but a service that is not well is no success.
        return owed::problem(&made.unpaid, "as the profile says");
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
            format!(
                "the other modules are installed; of the failed ones {} taken back",
                counted(count, "change") + if count == 1 { " was" } else { " were" }
            )
        }
        (true, _) if !made.unpaid.is_empty() => {
            let owed: Vec<String> = made.unpaid.iter().map(|debt| debt.debt.to_string()).collect();
            format!("rolled back, {count} of {} undone; still owed: {}", counted(count, "step"), owed.join(", "))
        }
        (true, _) => format!("rolled back, {count} of {} undone; the host is as it was before", counted(count, "step")),
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
