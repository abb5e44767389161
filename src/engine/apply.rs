//! Applying a plan: workers take what is free from the graph; each step is written down, made, verified, marked. A
//! failure takes its module back, or, when the module is mandatory, the whole transaction.

use super::completion::{CutOff, complete, goes_on};
use super::dropped::Rests;
use super::graph::Order;
use super::intent::make;
use super::plan::{Plan, Step};
use super::rollback::{self, RollbackReport, Target};
use super::{Action, Error, Event, Node, Patience, Policy, Resource, Result, Works, debts, events, removal};
use crate::base::ids::{ResourceId, TransactionId};
use crate::journal::{Intent, StepRow, StepState, TransactionState};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// One step that was made.
#[derive(Debug, Clone)]
pub struct Applied {
    /// What.
    pub id: ResourceId,
    /// For which module.
    pub module: String,
    /// How it was said in the plan.
    pub summary: String,
    /// How long it took, seconds.
    pub seconds: f64,
}

/// One step that failed.
#[derive(Debug)]
pub struct Failure {
    /// What.
    pub id: ResourceId,
    /// The module at fault.
    pub module: String,
    /// Why.
    pub error: Error,
}

/// How an apply went.
#[derive(Debug)]
pub struct Report {
    /// The transaction.
    pub tx: TransactionId,
    /// How it ended.
    pub state: TransactionState,
    /// What was made, in the order in which it ended.
    pub applied: Vec<Applied>,
    /// How many resources needed nothing.
    pub unchanged: usize,
    /// What failed.
    pub failures: Vec<Failure>,
    /// Modules that were taken back because of a failure of their own or of one that they depend on.
    pub failed_modules: BTreeSet<String>,
    /// Where the outcome was not what the plan had promised.
    pub deviations: Vec<String>,
    /// What was kept of what nothing asks for any more, and why.
    pub kept: Vec<String>,
    /// How taking back went, where something failed.
    pub rollbacks: Vec<RollbackReport>,
    /// Acts that could not be paid.
    pub unpaid: Vec<debts::Unpaid>,
}

impl Report {
    /// Whether everything that was taken back is back.
    pub fn is_undo_complete(&self) -> bool {
        self.rollbacks.iter().all(RollbackReport::is_complete)
    }
}

/// Applies what `plan` promised on `nodes` under the transaction `tx`, which is running. The caller holds the lock.
pub fn apply(
    works: &Works<'_>,
    nodes: Vec<Node>,
    order: &Order,
    plan: &Plan,
    tx: TransactionId,
    policy: &Policy,
    actor: &Value,
) -> Result<Report> {
    let nodes = nodes.into_iter().map(Slot::from).collect();
    let mut run =
        Run { works, nodes, order, plan, tx, policy, cut_off: CutOff::of(works, tx)?, since: BTreeMap::new() };
    works.progress.tell(&Event::Begin { total: plan.steps.len() });
    let mut board = Board::new(&run);
    if plan.dropped().next().is_some() {
        let before = run.look();
        run.take_back_dropped(&mut board);
        run.since = run.look();
        // What was not as the plan saw it before anything went is not excused by that.
        let was_planned = |id: &ResourceId| plan.step(id).map(|step| &step.seen) == before.get(id);
        run.since.retain(|id, _| was_planned(id));
    }
    let board = Mutex::new(board);
    let changed = Condvar::new();
    std::thread::scope(|scope| {
        let workers = policy.workers.min(run.nodes.len()).max(1);
        // The calling thread works too: one worker is no thread at all.
        for _ in 1..workers {
            scope.spawn(|| run.work(&board, &changed));
        }
        run.work(&board, &changed);
    });
    let board = board.into_inner().unwrap_or_else(PoisonError::into_inner);
    finish(&run, actor, board)
}

/// A node whose resource may be replaced by what is left of it without a failed module.
#[derive(Debug)]
struct Slot {
    node: Node,
    resource: Mutex<std::sync::Arc<dyn Resource>>,
}

impl From<Node> for Slot {
    fn from(mut node: Node) -> Self {
        let resource = std::mem::replace(&mut node.resource, Box::new(Nothing(ResourceId::new("none", "none"))));
        Slot { node, resource: Mutex::new(std::sync::Arc::from(resource)) }
    }
}

impl Slot {
    fn resource(&self) -> std::sync::Arc<dyn Resource> {
        std::sync::Arc::clone(&self.resource.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Stands in a node whose resource has moved to its slot.
#[derive(Debug)]
struct Nothing(ResourceId);

impl Resource for Nothing {
    fn id(&self) -> &ResourceId {
        &self.0
    }
    fn observe(&self, _: &dyn crate::host::Host) -> Result<super::State> {
        Ok(super::State(Value::Null))
    }
    fn compare(&self, seen: &super::State) -> Result<super::Change> {
        Ok(super::Change::keep(seen))
    }
    fn capture(&self, _: &super::Context<'_>, _: &super::State, _: &super::Change) -> Result<super::UndoRecord> {
        Err(Error::refused("internal", "capture nothing", "there is nothing"))
    }
    fn apply(&self, _: &super::Context<'_>, _: &super::State, _: &super::Change) -> Result<()> {
        Ok(())
    }
}

/// Where each node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Waiting,
    Running,
    Unchanged,
    Changed,
    Failed,
    Skipped,
}

/// What the workers share.
#[derive(Debug)]
struct Board {
    status: Vec<Status>,
    busy: BTreeSet<&'static str>,
    running: usize,
    stopped: bool,
    /// Shared ones that are tried again without the module that failed.
    retried: BTreeSet<usize>,
    failed_modules: BTreeSet<String>,
    applied: Vec<Applied>,
    failures: Vec<Failure>,
    deviations: Vec<String>,
    kept: Vec<String>,
    fatal: Option<Error>,
}

impl Board {
    fn new(run: &Run<'_>) -> Self {
        Board {
            status: vec![Status::Waiting; run.nodes.len()],
            busy: BTreeSet::new(),
            running: 0,
            stopped: false,
            retried: BTreeSet::new(),
            failed_modules: BTreeSet::new(),
            applied: Vec::new(),
            failures: Vec::new(),
            deviations: Vec::new(),
            kept: Vec::new(),
            fatal: None,
        }
    }
}

struct Run<'a> {
    works: &'a Works<'a>,
    nodes: Vec<Slot>,
    order: &'a Order,
    plan: &'a Plan,
    tx: TransactionId,
    policy: &'a Policy,
    cut_off: CutOff,
    /// What the plan changes, as it was once everything that nothing asks for any more had been taken back.
    since: BTreeMap<ResourceId, super::State>,
}

/// What came of one step.
enum Done {
    Unchanged,
    Changed(Applied),
    /// Everything stopped while it was only looked at.
    NotBegun,
}

impl Run<'_> {
    /// One worker: takes free nodes until nothing is left or everything stopped.
    fn work(&self, board: &Mutex<Board>, changed: &Condvar) {
        let _alarm = Alarm { board, changed };
        let mut guard = lock(board);
        loop {
            let Some((at, resource)) = self.next(&mut guard) else {
                if guard.running == 0 {
                    changed.notify_all();
                    return;
                }
                guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(guard);
            let outcome = self.step(at, &*resource, board);
            guard = lock(board);
            guard.running -= 1;
            for name in resource.exclusive() {
                guard.busy.remove(name);
            }
            self.record(at, &*resource, outcome, &mut guard);
            changed.notify_all();
        }
    }

    /// The first free node in the plan's order; marks it as running. Nodes of failed modules are skipped on the way.
    fn next(&self, board: &mut Board) -> Option<(usize, std::sync::Arc<dyn Resource>)> {
        if self.policy.is_stopped() {
            board.stopped = true;
        }
        if board.stopped {
            return None;
        }
        for &at in &self.order.sequence {
            if board.status[at] != Status::Waiting {
                continue;
            }
            let Some(resource) = self.left(at, board) else {
                // Of what was shared nothing is left to do: those of other modules that only come after it go on.
                let is_shared = !self.nodes[at].resource().shared_by().is_empty();
                board.status[at] = if is_shared { Status::Unchanged } else { Status::Skipped };
                continue;
            };
            let shared = !resource.shared_by().is_empty();
            // What is shared goes on without what only a failed module had needed before it.
            let excused = |b: usize| shared && board.failed_modules.contains(&self.nodes[b].node.module);
            let before: Vec<usize> = self.order.before[at].iter().copied().filter(|&b| !excused(b)).collect();
            if let Some(&b) = before.iter().find(|&&b| matches!(board.status[b], Status::Failed | Status::Skipped)) {
                board.status[at] = Status::Skipped;
                self.fail_for_need(at, b, board);
                if board.stopped {
                    return None;
                }
                continue;
            }
            let free = before.iter().all(|&b| matches!(board.status[b], Status::Unchanged | Status::Changed))
                && !resource.exclusive().iter().any(|name| board.busy.contains(name));
            if free {
                board.status[at] = Status::Running;
                board.running += 1;
                board.busy.extend(resource.exclusive());
                return Some((at, resource));
            }
        }
        None
    }

    /// What is left of a node's resource without the modules that failed; `None` when nothing is.
    fn left(&self, at: usize, board: &Board) -> Option<std::sync::Arc<dyn Resource>> {
        let slot = &self.nodes[at];
        let mut resource = slot.resource();
        let shared = resource.shared_by();
        if shared.is_empty() {
            return (!board.failed_modules.contains(&slot.node.module)).then_some(resource);
        }
        for module in shared.iter().filter(|module| board.failed_modules.contains(*module)) {
            resource = std::sync::Arc::from(resource.without(module)?);
        }
        *slot.resource.lock().unwrap_or_else(PoisonError::into_inner) = std::sync::Arc::clone(&resource);
        Some(resource)
    }

    /// A module of which something can't be made, because what it needs of another module is not there, has failed: it
    /// must not stand half made.
    fn fail_for_need(&self, at: usize, need: usize, board: &mut Board) {
        let (node, id) = (&self.nodes[at].node, self.nodes[at].resource().id().clone());
        let needed = self.nodes[need].resource().id().clone();
        let error = Error::refused("need-failed", id.to_string(), format!("it needs {needed}, which failed"))
            .fix("mend what failed first, then run this again");
        self.fail_module(&node.module, board);
        board.failures.push(Failure { id, module: node.module.clone(), error });
    }

    /// What steps are made with: unlike what takes them back, they end their waiting when everything is to stop.
    fn heeding(&self) -> Works<'_> {
        let patience = Patience { stop: self.policy.stop.as_deref(), ..self.works.patience };
        Works { patience, ..*self.works }
    }

    /// Observe, compare, write down, apply, verify, mark.
    fn step(&self, at: usize, resource: &dyn Resource, board: &Mutex<Board>) -> Result<Done> {
        let works = self.works;
        let node = &self.nodes[at].node;
        let id = resource.id();
        let began = works.now();
        let promised = self.plan.step(id);
        let mut seen = resource.observe(works.host)?;
        let cut_off = self.cut_off.take(id);
        if let Some(step) = &cut_off {
            if let Some(done) = self.go_on(resource, step, &seen, began)? {
                return Ok(done);
            }
            seen = resource.observe(works.host)?;
        }
        self.refuse_if_moved(at, resource, &seen, board)?;
        let change = resource.compare(&seen)?;
        let mut intent = Intent {
            tx: self.tx,
            resource: id.clone(),
            module: node.module.clone(),
            shared: resource.shared_by(),
            action: word(change.action),
            summary: change.summary.clone(),
            before: seen.0.clone(),
            after: change.after.0.clone(),
            notify: Vec::new(),
            undo: None,
            recipe: self.recipe(at, resource),
            removes: None,
            now: began,
        };
        if change.action == Action::Keep {
            if promised.is_some() || cut_off.is_some() {
                // The packages did it already: the promise is kept, and there is nothing of ours to undo.
                match works.journal.cut_off(self.tx, id)? {
                    // Or it was done by the attempt that was cut off, or that failed because of a module that is out of
                    // it now.
                    Some(step) => works.journal.set_step(step.id, StepState::Verified, None, None, works.now())?,
                    None => {
                        let step = works.journal.intend(&intent)?;
                        works.journal.set_step(step, StepState::Kept, None, None, works.now())?;
                    }
                }
                if promised.is_some() {
                    self.note_deviation(id, &change.after, board);
                    works.progress.tell(&Event::StepDone { id, module: &node.module });
                }
            }
            return Ok(Done::Unchanged);
        }
        if self.policy.is_stopped() || lock(board).stopped {
            return Ok(Done::NotBegun);
        }
        works.progress.tell(&Event::StepBegins { id, module: &node.module, summary: &change.summary });
        intent.notify = debts::owed(works, &node.notify)?;
        match make(&self.heeding(), intent, cut_off.as_ref(), resource, &seen, &change) {
            Ok(seen) => {
                self.note_deviation(id, &seen, board);
                works.progress.tell(&Event::StepDone { id, module: &node.module });
                let seconds = (works.now() - began) as f64 / 1e9;
                Ok(Done::Changed(Applied {
                    id: id.clone(),
                    module: node.module.clone(),
                    summary: change.summary,
                    seconds,
                }))
            }
            Err(error) => {
                works.progress.tell(&Event::StepFailed { id, module: &node.module, error: &error.to_string() });
                Err(error)
            }
        }
    }

    /// Makes a step whole that was cut off; `None` when more is to do than it had set out to.
    fn go_on(&self, resource: &dyn Resource, step: &StepRow, seen: &super::State, began: i64) -> Result<Option<Done>> {
        if !goes_on(resource, step, seen) {
            return Ok(None);
        }
        let (works, id) = (self.works, resource.id());
        works.progress.tell(&Event::StepBegins { id, module: &step.module, summary: &step.summary });
        match complete(&self.heeding(), resource, step, seen) {
            Ok(Some(_)) => {
                events::applied(self.tx, &step.module, id, &step.summary);
                works.progress.tell(&Event::StepDone { id, module: &step.module });
                let seconds = (works.now() - began) as f64 / 1e9;
                let (module, summary) = (step.module.clone(), step.summary.clone());
                Ok(Some(Done::Changed(Applied { id: id.clone(), module, summary, seconds })))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                events::failed(self.tx, &step.module, id, &error.to_string());
                works.progress.tell(&Event::StepFailed { id, module: &step.module, error: &error.to_string() });
                Err(error)
            }
        }
    }

    /// What makes it anew, as far as it is made now.
    fn recipe(&self, at: usize, resource: &dyn Resource) -> Option<Value> {
        let recipe = self.nodes[at].node.recipe.as_ref()?;
        let shared = resource.shared_by();
        let recipe = if shared.is_empty() { recipe.clone() } else { recipe.of_modules(&shared) };
        serde_json::to_value(recipe).ok()
    }

    /// What the plan changes, as it is now. What can't be looked at tells so when its turn comes.
    fn look(&self) -> BTreeMap<ResourceId, super::State> {
        let planned = self.nodes.iter().map(Slot::resource).filter(|resource| self.plan.step(resource.id()).is_some());
        planned.filter_map(|one| Some((one.id().clone(), one.observe(self.works.host).ok()?))).collect()
    }

    /// Takes back what nothing asks for any more, before anything is made: what comes may need its place.
    fn take_back_dropped(&self, board: &mut Board) {
        let works = self.works;
        let (mut all, mut rests) = (Vec::new(), Rests::new());
        for (planned, dropped) in self.plan.dropped() {
            match removal::leaving(works, planned, dropped, &mut rests) {
                Ok(Some(_)) => all.push((planned, dropped)),
                Ok(None) => {}
                Err(error) => self.removal_failed(planned, error, board),
            }
        }
        for (planned, dropped) in all {
            if self.policy.is_stopped() {
                board.stopped = true;
            }
            if board.stopped || board.failed_modules.contains(&planned.module) {
                continue;
            }
            let (id, module, summary, began) = (&planned.id, &planned.module, &planned.change.summary, works.now());
            works.progress.tell(&Event::StepBegins { id, module, summary });
            match removal::take_back(works, self.tx, planned, dropped) {
                Ok(removed) => {
                    works.progress.tell(&Event::StepDone { id, module });
                    board.kept.extend(removed.kept);
                    if removed.changed {
                        let seconds = (works.now() - began) as f64 / 1e9;
                        let (id, module, summary) = (id.clone(), module.clone(), summary.clone());
                        board.applied.push(Applied { id, module, summary, seconds });
                    }
                }
                Err(error) => {
                    works.progress.tell(&Event::StepFailed { id, module, error: &error.to_string() });
                    self.removal_failed(planned, error, board);
                }
            }
        }
    }

    fn removal_failed(&self, planned: &Step, error: Error, board: &mut Board) {
        events::failed(self.tx, &planned.module, &planned.id, &error.to_string());
        if let Error::Journal(journal) = &error {
            board.stopped = true;
            if !journal.is_full() {
                board.fatal = Some(error);
                return;
            }
        }
        self.fail_module(&planned.module, board);
        board.failures.push(Failure { id: planned.id.clone(), module: planned.module.clone(), error });
    }

    /// A resource that nothing changed before in this run must still be as the plan saw it.
    fn refuse_if_moved(
        &self,
        at: usize,
        resource: &dyn Resource,
        seen: &super::State,
        board: &Mutex<Board>,
    ) -> Result<()> {
        let id = resource.id();
        let Some(step) = self.plan.step(id) else { return Ok(()) };
        // What was taken back at the beginning may have changed what this one sees.
        if step.seen == *seen || self.since.get(id) == Some(seen) {
            return Ok(());
        }
        let board = lock(board);
        let mut ahead: Vec<usize> = self.order.before[at].iter().copied().collect();
        let mut met = BTreeSet::new();
        while let Some(b) = ahead.pop() {
            if board.status[b] == Status::Changed {
                return Ok(());
            }
            if met.insert(b) {
                ahead.extend(&self.order.before[b]);
            }
        }
        // What is left of a shared resource without a failed module sees less than the plan did.
        if !board.failed_modules.is_empty() && !resource.shared_by().is_empty() {
            return Ok(());
        }
        Err(Error::Moved { id: id.clone() })
    }

    fn note_deviation(&self, id: &ResourceId, after: &super::State, board: &Mutex<Board>) {
        let line = match self.plan.step(id) {
            None => format!("{id} was changed, and the plan had not said so"),
            Some(step) if step.change.after != *after => format!("{id} is not as the plan had promised"),
            Some(_) => return,
        };
        lock(board).deviations.push(line);
    }

    /// Notes the outcome of a step; decides what a failure takes with it.
    fn record(&self, at: usize, resource: &dyn Resource, outcome: Result<Done>, board: &mut Board) {
        let error = match outcome {
            Ok(Done::Unchanged) => {
                // The attempt that failed changed it all the same: what comes after it sees another host than the plan.
                board.status[at] = if board.retried.contains(&at) { Status::Changed } else { Status::Unchanged };
                return;
            }
            Ok(Done::Changed(applied)) => {
                board.status[at] = Status::Changed;
                board.applied.push(applied);
                return;
            }
            Ok(Done::NotBegun) => {
                board.stopped = true;
                board.status[at] = Status::Skipped;
                return;
            }
            Err(error) => error,
        };
        let node = &self.nodes[at].node;
        if let Error::Journal(journal) = &error {
            board.stopped = true;
            board.status[at] = Status::Failed;
            // On a full disk there is room left for the way back.
            if journal.is_full() {
                board.failures.push(Failure { id: resource.id().clone(), module: node.module.clone(), error });
            } else {
                board.fatal = Some(error);
            }
            return;
        }
        let module = match &error {
            Error::Refused { module: Some(guilty), .. } => guilty.clone(),
            _ => node.module.clone(),
        };
        let shared = resource.shared_by();
        // What nobody is to blame for (a lock, the network) fails for all that share it: without one it fails again.
        let is_to_blame = matches!(&error, Error::Refused { module: Some(guilty), .. } if shared.contains(guilty));
        self.fail_module(&module, board);
        board.failures.push(Failure { id: resource.id().clone(), module, error });
        if shared.is_empty() {
            board.status[at] = Status::Failed;
        } else if is_to_blame {
            // Once more without it, and without those that depend on it, if something is left then.
            board.status[at] = Status::Waiting;
            board.retried.insert(at);
        } else {
            board.status[at] = Status::Failed;
            board.stopped = true;
        }
    }

    /// A failed module takes the modules that depend on it with it; a mandatory one stops everything.
    fn fail_module(&self, module: &str, board: &mut Board) {
        fail(self.policy, module, board);
    }
}

/// A failed module takes the modules that depend on it with it; a mandatory one stops everything.
fn fail(policy: &Policy, module: &str, board: &mut Board) {
    let mut ahead = vec![module.to_owned()];
    while let Some(name) = ahead.pop() {
        if policy.mandatory.contains(&name) {
            board.stopped = true;
        }
        for (other, needs) in &policy.depends_on {
            if needs.contains(&name) && !board.failed_modules.contains(other) {
                ahead.push(other.clone());
            }
        }
        board.failed_modules.insert(name);
    }
}

/// A worker that panics leaves the others waiting for ever, unless they are told.
struct Alarm<'a> {
    board: &'a Mutex<Board>,
    changed: &'a Condvar,
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut board = lock(self.board);
            board.stopped = true;
            board.running = board.running.saturating_sub(1);
            drop(board);
            self.changed.notify_all();
        }
    }
}

/// Pays debts, takes back what failed, and marks the transaction.
fn finish(run: &Run<'_>, actor: &Value, mut board: Board) -> Result<Report> {
    let (works, tx, policy) = (run.works, run.tx, run.policy);
    if let Some(error) = board.fatal {
        return Err(error);
    }
    let mut rollbacks = Vec::new();
    let mut unpaid = Vec::new();
    if !board.stopped {
        if run.cut_off.is_left() {
            rollbacks.push(rollback::roll_back(works, &Target::CutOff(tx), actor)?);
        }
        take_back_modules(works, tx, policy, board.failed_modules.clone(), actor, &mut rollbacks)?;
        let mut late = debts::pay(works)?;
        // A unit that does not come back takes back the newest change of this run that owes it, and, where that doesn't
        // help, the one before. What earlier runs owe is told, and is nobody's fault here.
        while let Some((at, module)) = late.iter().enumerate().find_map(|(at, debt)| {
            let ours = |(of, module): &&(TransactionId, String)| *of == tx && !board.failed_modules.contains(module);
            debt.owed_by.iter().find(ours).map(|(_, module)| (at, module.clone()))
        }) {
            let debt = late.swap_remove(at);
            let id = ResourceId::new("unit", &debt.debt.unit);
            events::failed(tx, &module, &id, &debt.error.to_string());
            let before = board.failed_modules.clone();
            fail(policy, &module, &mut board);
            board.failures.push(Failure { id, module, error: debt.error });
            if board.stopped {
                break;
            }
            let fallen = board.failed_modules.difference(&before).cloned().collect();
            take_back_modules(works, tx, policy, fallen, actor, &mut rollbacks)?;
            late = debts::pay(works)?;
        }
        if !board.stopped {
            for report in &mut rollbacks {
                report.unpaid.clear();
            }
            unpaid.append(&mut late);
        }
    }
    let why = board.failures.first().map(|failure| failure.error.to_string());
    let state = if board.stopped {
        // Marked afterwards: the rollback's own row says from its first commit on that this is being taken back.
        rollbacks.push(rollback::roll_back(works, &Target::Only(tx), actor)?);
        TransactionState::Failed
    } else if board.failures.is_empty() {
        TransactionState::Done
    } else if works.journal.steps(tx)?.iter().any(|step| step.state.stands()) {
        TransactionState::Partial
    } else {
        TransactionState::Failed
    };
    for report in &mut rollbacks {
        unpaid.append(&mut report.unpaid);
    }
    // What programs wrote, scripts of packages above all, is nobody's to lose once this is over.
    works.host.sync()?;
    works.journal.set_transaction(tx, state, Some(works.now()), why.as_deref())?;
    events::ended(tx, if state == TransactionState::Done { "done" } else { "with failures" });
    let unchanged = board.status.iter().filter(|status| **status == Status::Unchanged).count();
    Ok(Report {
        tx,
        state,
        applied: board.applied,
        unchanged,
        failures: board.failures,
        failed_modules: board.failed_modules,
        deviations: board.deviations,
        kept: board.kept,
        rollbacks,
        unpaid,
    })
}

/// Takes modules back, each before those that it depends on.
fn take_back_modules(
    works: &Works<'_>,
    tx: TransactionId,
    policy: &Policy,
    mut modules: BTreeSet<String>,
    actor: &Value,
    rollbacks: &mut Vec<RollbackReport>,
) -> Result<()> {
    let needed = |module: &String, by: &BTreeSet<String>| {
        by.iter().any(|other| other != module && policy.depends_on.get(other).is_some_and(|n| n.contains(module)))
    };
    while let Some(module) = modules.iter().find(|module| !needed(module, &modules)).or(modules.first()).cloned() {
        modules.remove(&module);
        rollbacks.push(rollback::roll_back(works, &Target::ModuleOf(module, tx), actor)?);
    }
    Ok(())
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

fn word(action: Action) -> String {
    match action {
        Action::Keep => "keep",
        Action::Create => "create",
        Action::Update => "update",
        Action::Remove => "remove",
    }
    .to_owned()
}
