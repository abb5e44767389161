//! Taking back what stands: newest first, on to the end whatever fails, each outcome committed as it happens.

use super::{Debt, Error, Event, Health, Outcome, Result, Scope, UndoRecord, Works, debts, events, removal};
use crate::base::ids::{ResourceId, TransactionId};
use crate::journal::{Begin, StepRow, StepState, TransactionKind, TransactionRow, TransactionState, UndoEntry};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What to take back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The newest transaction that still stands.
    Last,
    /// Everything newer than this transaction, so that the host is as it was when that one had ended. 0: everything.
    To(TransactionId),
    /// Exactly this transaction.
    Only(TransactionId),
    /// What this module asked for, in every transaction.
    Module(String),
    /// What this module asked for in this transaction.
    ModuleOf(String, TransactionId),
    /// The steps of this transaction that were cut off and that nothing finished.
    CutOff(TransactionId),
}

/// What stands and belongs to a target, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The steps, newest first.
    pub steps: Vec<StepRow>,
    /// How much of shared ones.
    pub scope: Scope,
}

/// How a rollback went.
#[derive(Debug, Default)]
pub struct RollbackReport {
    /// Its own transaction; `None` when nothing stood.
    pub tx: Option<TransactionId>,
    /// The transactions that it touched.
    pub undoes: Vec<TransactionId>,
    /// The steps taken back.
    pub undone: Vec<ResourceId>,
    /// What was kept, and why.
    pub kept: Vec<String>,
    /// The steps that could not be taken back, with the reason.
    pub failed: Vec<(ResourceId, Error)>,
    /// Acts that could not be paid afterwards.
    pub unpaid: Vec<debts::Unpaid>,
}

impl RollbackReport {
    /// Adds what a rollback just before it did. What that could not pay, this one tried to pay once more.
    pub fn join(&mut self, other: RollbackReport) {
        if self.tx.is_none() {
            self.unpaid = other.unpaid;
        }
        self.tx = self.tx.or(other.tx);
        self.undoes.extend(other.undoes);
        self.undoes.sort_unstable_by(|a, b| b.cmp(a));
        self.undoes.dedup();
        self.undone.extend(other.undone);
        self.kept.extend(other.kept);
        self.failed.extend(other.failed);
    }

    /// Whether everything that was selected is back.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty()
    }
}

/// What stands and belongs to `target`.
pub fn select(works: &Works<'_>, target: &Target) -> Result<Selection> {
    let mut steps = works.journal.standing()?;
    let scope = match target {
        Target::Module(name) | Target::ModuleOf(name, _) => Scope::Module(name.clone()),
        _ => Scope::Whole,
    };
    match target {
        Target::Last => {
            let last = steps.iter().map(|step| step.tx).max();
            steps.retain(|step| Some(step.tx) == last);
        }
        Target::To(id) => steps.retain(|step| step.tx > *id),
        Target::Only(id) | Target::ModuleOf(_, id) => steps.retain(|step| step.tx == *id),
        Target::CutOff(id) => steps.retain(|step| step.tx == *id && step.state == StepState::Intent),
        // What the profile had dropped of it is gone already.
        Target::Module(_) => steps.retain(|step| step.removes.is_none()),
    }
    for step in steps.iter_mut().filter(|step| step.removes.is_some()) {
        // What it took back goes, too: it is not made anew for that.
        if let Some(removed) = step.removes.map(|number| works.journal.step(number)).transpose()?.flatten() {
            let goes = match target {
                Target::To(id) => removed.tx > *id,
                _ => removed.tx == step.tx,
            };
            if goes {
                (step.removes, step.undo) = (None, None);
            }
        }
    }
    if let Scope::Module(name) = &scope {
        // Who shares a step counts, not in whose name it was made: once a module is out of it, it has no more to undo.
        steps.retain(|step| match step.shared.is_empty() {
            true => step.module == *name,
            false => step.shared.contains(name),
        });
    }
    Ok(Selection { steps, scope })
}

/// What taking the selection back would do, a step with its lines each. Reads only.
pub fn describe(works: &Works<'_>, selection: &Selection) -> Result<Vec<(ResourceId, Vec<String>)>> {
    let context = works.context();
    let mut all = Vec::new();
    for step in &selection.steps {
        if step.removes.is_some() {
            all.push((step.resource.clone(), vec!["make it anew, as it was when it was taken back".to_owned()]));
            continue;
        }
        let described = record(step).and_then(|record| match record {
            Some(record) => works.undoers.decode(&record)?.describe(&context, &scope_of(step, &selection.scope)),
            None => Ok(Vec::new()),
        });
        // One that can't be looked at must not keep the others from being taken back.
        let lines = described.unwrap_or_else(|error| vec![format!("cannot be told now: {error}")]);
        all.push((step.resource.clone(), lines));
    }
    Ok(all)
}

/// Takes the target back in a transaction of its own, then pays what that owes.
pub fn roll_back(works: &Works<'_>, target: &Target, actor: &Value) -> Result<RollbackReport> {
    let selection = select(works, target)?;
    begin(works, target, &selection, actor)
}

/// Takes back what of the target waits for nobody: its newest steps up to the first that may have to wait, or, with
/// `leaps`, also what is older than that one.
pub(super) fn roll_back_at_once(
    works: &Works<'_>,
    target: &Target,
    leaps: bool,
    actor: &Value,
) -> Result<RollbackReport> {
    let mut selection = select(works, target)?;
    if leaps {
        selection.steps.retain(|step| !may_wait(works, step));
    } else if let Some(at) = selection.steps.iter().position(|step| may_wait(works, step)) {
        selection.steps.truncate(at);
    }
    begin(works, target, &selection, actor)
}

/// Whether undoing a step may have to wait for others.
pub(super) fn may_wait(works: &Works<'_>, step: &StepRow) -> bool {
    // What makes something anew waits as what made it first.
    if let Some(first) = step.removes {
        return works.journal.step(first).is_ok_and(|first| first.is_some_and(|first| may_wait(works, &first)));
    }
    let undo = record(step).and_then(|record| record.map(|record| works.undoers.decode(&record)).transpose());
    // What can't be read fails when it is tried, and waits for nobody.
    undo.is_ok_and(|undo| undo.is_some_and(|undo| undo.may_wait()))
}

fn begin(works: &Works<'_>, target: &Target, selection: &Selection, actor: &Value) -> Result<RollbackReport> {
    if selection.steps.is_empty() {
        return Ok(RollbackReport::default());
    }
    let mut undoes: Vec<TransactionId> = selection.steps.iter().map(|step| step.tx).collect();
    undoes.dedup();
    let tx = works.journal.begin(&Begin {
        kind: TransactionKind::Rollback,
        undoes,
        request: serde_json::to_value(target).unwrap_or_default(),
        plan: Value::Null,
        actor: actor.clone(),
        now: works.now(),
    })?;
    events::begun(tx, "rollback");
    carry_on(works, tx, selection, Vec::new())
}

/// Goes on with a rollback that a crash cut off.
pub(super) fn resume(works: &Works<'_>, row: &TransactionRow) -> Result<RollbackReport> {
    let target: Target = serde_json::from_value(row.request.clone())
        .map_err(|e| crate::journal::Error::Corrupt(format!("a rollback that cannot be read: {e}")))?;
    let mut selection = select(works, &target)?;
    selection.steps.retain(|step| row.undoes.contains(&step.tx));
    carry_on(works, row.id, &selection, row.undoes.clone())
}

/// `undoes`: the transactions that are known to be touched, though nothing of them may stand any more.
fn carry_on(
    works: &Works<'_>,
    tx: TransactionId,
    selection: &Selection,
    undoes: Vec<TransactionId>,
) -> Result<RollbackReport> {
    let mut report = RollbackReport { tx: Some(tx), undoes, ..RollbackReport::default() };
    for step in &selection.steps {
        if !report.undoes.contains(&step.tx) {
            report.undoes.push(step.tx);
        }
        take_back(works, tx, step, &selection.scope, &mut report)?;
    }
    report.unpaid = debts::pay(works)?;
    close(works, tx, &report)?;
    Ok(report)
}

/// Takes one step back and records how it went.
pub(super) fn take_back(
    works: &Works<'_>,
    tx: TransactionId,
    step: &StepRow,
    scope: &Scope,
    report: &mut RollbackReport,
) -> Result<()> {
    let scope = scope_of(step, scope);
    works.progress.tell(&Event::TakingBack { id: &step.resource, module: &step.module });
    // What it owes is what runs now: it may have been stopped since the step was made.
    let notify: Vec<Debt> = serde_json::from_value(step.notify.clone()).unwrap_or_default();
    let notify = notify
        .into_iter()
        .map(|debt| Ok(Debt { ran: false, healthy: earlier_health(works, step, &debt.unit)?, ..debt }))
        .collect::<Result<Vec<Debt>>>()?;
    let notify = debts::owed(works, &notify)?;
    let outcome = match record(step) {
        _ if step.removes.is_some() => removal::remake(works, step, step.removes.unwrap_or_default()),
        Err(error) => Err(error),
        Ok(None) => Ok(Outcome::AlreadyGone),
        Ok(Some(record)) => {
            works.undoers.decode(&record).and_then(|undo| undo.undo(&works.context(), &scope, step.settled.as_ref()))
        }
    };
    let (state, word, lines, rest) = match outcome {
        Ok(Outcome::Undone) => (StepState::Undone, "undone", Vec::new(), None),
        Ok(Outcome::AlreadyGone) => (StepState::Undone, "already-gone", Vec::new(), None),
        // It may be kept only for what could not be undone before it: a group for its user. It is tried again with that.
        Ok(Outcome::Kept(lines)) if !report.failed.is_empty() => {
            report.kept.extend(lines.iter().cloned());
            (StepState::UndoFailed, "kept", lines, None)
        }
        Ok(Outcome::Kept(lines)) => (StepState::Undone, "kept", lines, None),
        Ok(Outcome::Partly(rest)) => (step.state, "partly", Vec::new(), Some(rest)),
        Err(error) => {
            let text = error.to_string();
            events::undo_failed(tx, &step.module, &step.resource, &text);
            report.failed.push((step.resource.clone(), error));
            (StepState::UndoFailed, "failed", vec![text], None)
        }
    };
    if state != StepState::UndoFailed {
        events::undone(tx, &step.module, &step.resource, word);
        report.undone.push(step.resource.clone());
        report.kept.extend(lines.iter().cloned());
    }
    let rest = rest.map(|record| serde_json::to_value(record).unwrap_or_default());
    let shared: Option<Vec<String>> = match &scope {
        Scope::Module(name) if rest.is_some() => {
            Some(step.shared.iter().filter(|other| *other != name).cloned().collect())
        }
        _ => None,
    };
    works.journal.record_undo(&UndoEntry {
        step,
        tx,
        state,
        outcome: word,
        lines: &lines,
        rest: rest.as_ref(),
        by: None,
        shared: shared.as_deref(),
        notify: &notify,
        now: works.now(),
    })?;
    Ok(())
}

/// What is asked of a unit's health once `step` is back: what the newest change before it asked for. Nothing but that it
/// runs where none of ours stands: which ports it answered at is then not known.
fn earlier_health(works: &Works<'_>, step: &StepRow, unit: &str) -> Result<Health> {
    for other in works.journal.standing()?.into_iter().filter(|other| other.id < step.id) {
        let debts: Vec<Debt> = serde_json::from_value(other.notify).unwrap_or_default();
        if let Some(debt) = debts.into_iter().find(|debt| debt.unit == unit) {
            return Ok(debt.healthy);
        }
    }
    Ok(Health::default())
}

/// Marks the rollback as ended, and the transactions of which nothing stands any more as undone, once the disk has what
/// programs wrote.
fn close(works: &Works<'_>, tx: TransactionId, report: &RollbackReport) -> Result<()> {
    works.host.sync()?;
    let now = works.now();
    for id in &report.undoes {
        let stands = works.journal.steps(*id)?.iter().any(|step| step.state.stands());
        if !stands {
            works.journal.set_transaction(*id, TransactionState::Undone, Some(now), None)?;
        }
    }
    let state = if report.is_complete() { TransactionState::Done } else { TransactionState::UndoIncomplete };
    works.journal.set_transaction(tx, state, Some(now), None)?;
    events::ended(tx, if report.is_complete() { "taken back" } else { "undo incomplete" });
    Ok(())
}

/// A step that only one module has is taken back whole.
fn scope_of(step: &StepRow, scope: &Scope) -> Scope {
    match scope {
        Scope::Module(name) if step.shared.iter().any(|other| other != name) => scope.clone(),
        _ => Scope::Whole,
    }
}

pub(super) fn record(step: &StepRow) -> Result<Option<UndoRecord>> {
    step.undo.clone().map(|undo| read_record(undo, &step.resource)).transpose()
}

/// The record that the step of `resource` keeps.
pub(super) fn read_record(undo: Value, resource: &ResourceId) -> Result<UndoRecord> {
    serde_json::from_value(undo).map_err(|e| Error::BadRecord { kind: resource.to_string(), why: e.to_string() })
}
