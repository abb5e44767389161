//! Taking back, in the course of an install, what nothing asks for any more; and making it anew when that install is
//! itself taken back.
//!
//! The earlier step is taken back by its own undo record. The step that does it stands in the journal before it begins,
//! with a recipe of what goes and a picture of the paths that it owns.

use super::completion::{complete, goes_on};
use super::dropped::Rests;
use super::heirs::inherit;
use super::intent::make;
use super::plan::{Dropped, Step};
use super::rollback::record;
use super::{Change, Error, Outcome, Recipe, Result, Scope, UndoRecord, Works, debts, dropped, events};
use crate::base::ids::TransactionId;
use crate::journal::{Intent, StepRow, StepState, TransactionState, UndoEntry};
use serde_json::{Value, json};

/// What came of it.
#[derive(Debug)]
pub(super) struct Removed {
    /// Whether anything was there to take back.
    pub changed: bool,
    /// What was kept, and why.
    pub kept: Vec<String>,
}

/// The earlier step that `planned` takes back, as the plan saw it. `None` when it stands no more.
pub(super) fn leaving(
    works: &Works<'_>,
    planned: &Step,
    dropped: &Dropped,
    rests: &mut Rests,
) -> Result<Option<StepRow>> {
    let Some(row) = works.journal.step(dropped.step)?.filter(|row| row.state.stands()) else { return Ok(None) };
    let lines = dropped::lines(works, &row, &planned.module, dropped, rests)?;
    if planned.seen.0 != json!(lines) {
        return Err(Error::Moved { id: row.resource });
    }
    Ok(Some(row))
}

/// Takes `row` back for `planned`, in the transaction `tx`.
pub(super) fn take_back(works: &Works<'_>, tx: TransactionId, planned: &Step, dropped: &Dropped) -> Result<Removed> {
    let context = works.context();
    // Read anew: another part of it may have gone just now.
    let Some(mut row) = works.journal.step(dropped.step)?.filter(|row| row.state.stands()) else {
        return Ok(Removed { changed: false, kept: Vec::new() });
    };
    for one in inherit(works.undoers, std::slice::from_mut(&mut row), &planned.module, &dropped.heirs)? {
        works.journal.hand_over(one.step, &serde_json::to_value(&one.undo).unwrap_or_default(), &one.shared)?;
    }
    let row = &row;
    let scope = dropped::scope(&planned.module, &dropped.names);
    let (removal, picture) = match works.journal.cut_off_removal(tx, row.id, &planned.module)? {
        Some(begun) => (begun.id, record(&begun)?),
        None => {
            let mut recipe = dropped::recipe(row, &planned.module, &dropped.names)?
                .ok_or_else(|| Error::refused("internal", format!("take {} back", row.resource), "it has no recipe"))?;
            let node = works.undoers.remake(&context, &recipe)?;
            let picture = works.undoers.picture(&context, &*node.resource, &mut recipe)?;
            let intent = Intent {
                tx,
                resource: row.resource.clone(),
                module: planned.module.clone(),
                shared: Vec::new(),
                action: "remove".into(),
                summary: planned.change.summary.clone(),
                before: row.after.clone(),
                after: Value::Null,
                notify: debts::owed(works, &planned.notify)?,
                undo: Some(serde_json::to_value(&picture).unwrap_or_default()),
                recipe: Some(serde_json::to_value(&recipe).unwrap_or_default()),
                removes: Some(row.id),
                now: works.now(),
            };
            (works.journal.intend(&intent)?, Some(picture))
        }
    };
    carry_through(works, tx, Begun { removal, picture, module: &planned.module }, row, &scope)
}

/// A removal that is written down.
struct Begun<'a> {
    removal: i64,
    picture: Option<UndoRecord>,
    module: &'a str,
}

/// Takes `row` back, and marks that and the removal as done.
fn carry_through(
    works: &Works<'_>,
    tx: TransactionId,
    begun: Begun<'_>,
    row: &StepRow,
    scope: &Scope,
) -> Result<Removed> {
    let context = works.context();
    let Begun { removal, picture, module } = begun;
    let undo = record(row)?.map(|record| works.undoers.decode(&record)).transpose()?;
    // Others have a share in it, which stays, also where this one's is gone already.
    let is_part = match &undo {
        Some(undo) => undo.without(scope)?.is_some(),
        None => false,
    };
    let undone = match &undo {
        Some(undo) => undo.undo(&context, scope, row.settled.as_ref()),
        None => Ok(Outcome::AlreadyGone),
    };
    let outcome = match undone {
        Ok(outcome) => outcome,
        Err(error) => {
            let text = error.to_string();
            works.journal.set_step(removal, StepState::Intent, None, Some(&text), works.now())?;
            return Err(error);
        }
    };
    let (state, word, kept, rest) = match outcome {
        Outcome::Undone => (StepState::Undone, "undone", Vec::new(), None),
        Outcome::AlreadyGone if is_part => (row.state, "already-gone", Vec::new(), None),
        Outcome::AlreadyGone => (StepState::Undone, "already-gone", Vec::new(), None),
        Outcome::Kept(lines) => (StepState::Undone, "kept", lines, None),
        Outcome::Partly(rest) => (row.state, "partly", Vec::new(), Some(rest)),
    };
    let shared: Option<Vec<String>> = match &rest {
        Some(rest) => Some(works.undoers.decode(rest)?.wishes().into_keys().collect()),
        None => None,
    };
    let rest = rest.map(|record| serde_json::to_value(record).unwrap_or_default());
    let settled = match &picture {
        Some(picture) => works.undoers.decode(picture)?.settle(&context)?,
        None => None,
    };
    works.journal.record_undo(&UndoEntry {
        step: row,
        tx,
        state,
        outcome: word,
        lines: &kept,
        rest: rest.as_ref(),
        by: Some((removal, settled.as_ref())),
        shared: shared.as_deref(),
        notify: &[],
        now: works.now(),
    })?;
    events::undone(tx, module, &row.resource, word);
    if !works.journal.steps(row.tx)?.iter().any(|step| step.state.stands()) {
        works.journal.set_transaction(row.tx, TransactionState::Undone, Some(works.now()), None)?;
    }
    Ok(Removed { changed: word != "already-gone", kept })
}

/// Makes anew what the step `removal` took back: as a new step of the transaction that had made it first. Paths that
/// are still as the removal left them get back what stood there, byte for byte.
pub(super) fn remake(works: &Works<'_>, removal: &StepRow, removed: i64) -> Result<Outcome> {
    let context = works.context();
    let former = works.journal.step(removed)?;
    let (Some(former), Some(recipe)) = (former, &removal.recipe) else { return Ok(Outcome::AlreadyGone) };
    let recipe = Recipe::read(recipe)?;
    let node = works.undoers.remake(&context, &recipe)?;
    let (resource, id) = (&*node.resource, node.resource.id());
    let picture: Option<UndoRecord> = record(removal)?;
    let is_shared = !former.shared.is_empty();
    if former.state.stands() && (!is_shared || resource.compare(&resource.observe(works.host)?)?.is_needed()) {
        // It was cut off half-way: nothing that is half gone is made whole but by going first. Where that fails, what
        // is still there is gone on with. (Packages that are all there have not begun to go.)
        let names = recipe.parts.iter().map(|part| part.name.clone()).collect();
        let scope = if is_shared { Scope::Names(removal.module.clone(), names) } else { Scope::Whole };
        let begun = Begun { removal: removal.id, picture: picture.clone(), module: &removal.module };
        if let Err(error) = carry_through(works, removal.tx, begun, &former, &scope) {
            events::undo_failed(removal.tx, &former.module, &former.resource, &error.to_string());
        }
    }
    let picture = picture.map(|record| works.undoers.decode(&record)).transpose()?;
    let begun = works.journal.cut_off(former.tx, id)?;
    let as_left = match &picture {
        Some(picture) if begun.is_none() && removal.settled.is_some() => picture.settle(&context)? == removal.settled,
        _ => true,
    };
    let mut seen = resource.observe(works.host)?;
    if let Some(begun) = begun.as_ref().filter(|begun| goes_on(resource, begun, &seen)) {
        complete(works, resource, begun, &seen)?;
        seen = resource.observe(works.host)?;
    }
    let change = resource.compare(&seen)?;
    let mut outcome = Outcome::AlreadyGone;
    if change.is_needed() {
        outcome = Outcome::Undone;
        let notify = debts::owed(works, &dropped::debts(removal))?;
        let mut intent = intent(works, former.tx, removal, &change);
        (intent.before, intent.notify, intent.shared) = (seen.0.clone(), notify, resource.shared_by());
        make(works, intent, begun.as_ref(), resource, &seen, &change)?;
        if !as_left {
            let note = |line: &String| format!("{id}: made anew: {line}");
            let lines: Vec<String> = change.details.iter().map(note).collect();
            if !lines.is_empty() {
                outcome = Outcome::Kept(lines);
            }
        }
    } else if let Some(begun) = begun {
        works.journal.set_step(begun.id, StepState::Verified, None, None, works.now())?;
    }
    if let Some(picture) = picture.filter(|_| as_left) {
        let now = picture.settle(&context)?;
        match picture.undo(&context, &Scope::Whole, now.as_ref())? {
            Outcome::AlreadyGone => {}
            _ => outcome = Outcome::Undone,
        }
    }
    let is_undone = |row: &crate::journal::TransactionRow| row.state == TransactionState::Undone;
    if works.journal.transaction(former.tx)?.as_ref().is_some_and(is_undone) {
        works.journal.set_transaction(former.tx, TransactionState::Done, Some(works.now()), None)?;
    }
    Ok(outcome)
}

fn intent(works: &Works<'_>, tx: TransactionId, removal: &StepRow, change: &Change) -> Intent {
    Intent {
        tx,
        resource: removal.resource.clone(),
        module: removal.module.clone(),
        shared: Vec::new(),
        action: "create".into(),
        summary: change.summary.clone(),
        before: Value::Null,
        after: change.after.0.clone(),
        notify: Vec::new(),
        undo: None,
        recipe: removal.recipe.clone(),
        removes: None,
        now: works.now(),
    }
}
