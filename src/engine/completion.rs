//! Steps that an earlier run of the same transaction left half-made. What a kind shows of its state need not show that
//! something is missing: a user without its line in shadow(5) is a user. So a step that was cut off is made again, to its
//! end, with what it had set out to do, before anything is planned on top of it.

use super::{Action, Change, Resource, Result, State, Works, debts, events};
use crate::base::ids::{ResourceId, TransactionId};
use crate::journal::{StepRow, StepState};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The steps of a transaction that were cut off, the last one of each resource.
#[derive(Debug, Default)]
pub(super) struct CutOff(Mutex<BTreeMap<ResourceId, StepRow>>);

impl CutOff {
    /// As the journal has them before the transaction goes on; none of one that only begins.
    pub fn of(works: &Works<'_>, tx: TransactionId) -> Result<Self> {
        let steps = works
            .journal
            .steps(tx)?
            .into_iter()
            .filter(|step| step.state == StepState::Intent && step.removes.is_none());
        Ok(CutOff(Mutex::new(steps.map(|step| (step.resource.clone(), step)).collect())))
    }

    /// The one of this resource, once.
    pub fn take(&self, id: &ResourceId) -> Option<StepRow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }

    /// Whether some were not taken: nobody asks for what they had changed any more.
    pub fn is_left(&self) -> bool {
        !self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// Whether a step is made once more with what it had set out from and to, as its kind says: `seen` is what is there now.
pub(super) fn goes_on(resource: &dyn Resource, step: &StepRow, seen: &State) -> bool {
    resource.goes_on(&State(step.before.clone()), &change_of(step), seen)
}

/// Makes the change of `step` once more: `seen` is what is there now. Returns the state afterwards when nothing is left
/// to do; the step is marked then. What is left is for a step of its own.
pub(super) fn complete(
    works: &Works<'_>,
    resource: &dyn Resource,
    step: &StepRow,
    seen: &State,
) -> Result<Option<State>> {
    let (before, change) = (State(step.before.clone()), change_of(step));
    if step.settled.is_some() {
        works.journal.make_again(step.id)?;
    }
    events::extended(step.tx, &step.module, &step.resource);
    if let Err(error) = resource.apply(&works.context(), &before, &change) {
        works.journal.set_step(step.id, StepState::Intent, None, Some(&error.to_string()), works.now())?;
        return Err(error);
    }
    let now = resource.observe(works.host)?;
    if resource.compare(&now)?.is_needed() {
        return Ok(None);
    }
    // What recovery saw right after the crash counts where nothing was to be seen of what was missing: what others did
    // since is theirs.
    let settled = match &step.settled {
        Some(settled) if *seen == now => Some(settled.clone()),
        _ => settle(works, step)?,
    };
    works.journal.set_step(step.id, StepState::Verified, settled.as_ref(), None, works.now())?;
    Ok(Some(now))
}

fn settle(works: &Works<'_>, step: &StepRow) -> Result<Option<Value>> {
    let Some(record) = step.undo.clone().and_then(|record| serde_json::from_value(record).ok()) else {
        return Ok(None);
    };
    let settled = works.undoers.decode(&record)?.settle(&works.context())?;
    debts::owe_settled(works, step.tx, &step.module, &step.resource, settled.as_ref())?;
    Ok(settled)
}

/// What a step had set out to do, as the journal keeps it.
fn change_of(step: &StepRow) -> Change {
    let action = match step.action.as_str() {
        "create" => Action::Create,
        "remove" => Action::Remove,
        _ => Action::Update,
    };
    Change::new(action, step.summary.clone(), step.after.clone())
}

#[cfg(test)]
mod tests {
    use super::super::recover::{Direction, recover};
    use super::super::rollback::{Target, roll_back};
    use super::super::sample::Word;
    use super::super::tests::{Bench, cut_off, install, of, policy};
    use super::super::*;
    use super::*;
    use crate::host::{Attributes, Host, RealHost};
    use crate::journal::TransactionState;
    use serde_json::json;
    use std::path::Path;

    /// A word of which a second one, in another file, shows nothing.
    #[derive(Debug)]
    struct Pair(Word);

    impl Resource for Pair {
        fn id(&self) -> &ResourceId {
            self.0.id()
        }
        fn observe(&self, host: &dyn Host) -> Result<State> {
            self.0.observe(host)
        }
        fn compare(&self, seen: &State) -> Result<Change> {
            self.0.compare(seen)
        }
        fn capture(&self, context: &Context<'_>, seen: &State, change: &Change) -> Result<UndoRecord> {
            self.0.capture(context, seen, change)
        }
        fn apply(&self, context: &Context<'_>, seen: &State, change: &Change) -> Result<()> {
            self.0.apply(context, seen, change)?;
            Ok(context.host.write(Path::new("/x/second"), seen.0.to_string().as_bytes(), &Attributes::root(0o644))?)
        }
    }

    fn pair() -> Node {
        let mut node = of("word:a", "one", &[], 0);
        node.resource = Box::new(Pair(Word { id: ResourceId::new("word", "a"), want: "on".into(), fails: false }));
        node
    }

    /// A transaction that was cut off in the step of a word that was `null` and is to be `on`.
    fn half_made(works: &Works<'_>) -> TransactionId {
        cut_off(works, &ResourceId::new("word", "a"), json!({"path": "/x/a", "before": null}), json!("on"))
    }

    #[test]
    fn what_does_not_show_that_it_is_half_made_is_made_whole_with_what_the_step_had_set_out_from() {
        let bench = Bench::new();
        let host = RealHost::new(bench.root());
        bench.with(&host, |works| {
            let tx = half_made(works);
            std::fs::write(bench.root().join("x/a"), "on").unwrap();
            let report = install(works, vec![pair()], &policy(1), Some(tx)).unwrap();
            assert_eq!((report.state, report.applied.len(), report.unchanged), (TransactionState::Done, 1, 0));
            assert!(report.deviations.is_empty(), "{:?}", report.deviations);
            let steps = works.journal.steps(tx).unwrap();
            assert_eq!(steps.iter().map(|step| step.state).collect::<Vec<_>>(), [StepState::Verified]);
        });
        assert_eq!(bench.tree()["second"], "null");
    }

    #[test]
    fn what_somebody_changed_since_is_not_made_again_over_it() {
        let bench = Bench::new();
        let host = RealHost::new(bench.root());
        bench.with(&host, |works| {
            let tx = half_made(works);
            std::fs::write(bench.root().join("x/a"), "theirs").unwrap();
            install(works, vec![pair()], &policy(1), Some(tx)).unwrap();
            assert_eq!(bench.tree()["second"], "\"theirs\"", "a step of its own, from what is there now");
            let steps = works.journal.steps(tx).unwrap();
            assert_eq!(steps.iter().map(|s| s.state).collect::<Vec<_>>(), [StepState::Verified, StepState::Verified]);
            assert!(roll_back(works, &Target::Last, &Value::Null).unwrap().is_complete());
        });
    }

    #[test]
    fn a_half_made_step_that_nobody_asks_for_any_more_is_taken_back_with_the_end_of_its_transaction() {
        let bench = Bench::new();
        let host = RealHost::new(bench.root());
        bench.with(&host, |works| {
            let tx = half_made(works);
            std::fs::write(bench.root().join("x/a"), "on").unwrap();
            let report = install(works, vec![of("word:other", "one", &[], 0)], &policy(1), Some(tx)).unwrap();
            assert_eq!(report.state, TransactionState::Done);
            let states: Vec<_> = works.journal.steps(tx).unwrap().iter().map(|step| step.state).collect();
            assert_eq!(states, [StepState::Undone, StepState::Verified]);
        });
        assert_eq!(bench.tree().into_keys().collect::<Vec<_>>(), ["other"]);
    }

    #[test]
    fn a_transaction_that_is_left_as_it_is_keeps_no_half_made_step() {
        let bench = Bench::new();
        let host = RealHost::new(bench.root());
        bench.with(&host, |works| {
            let whole = install(works, vec![of("word:whole", "one", &[], 0)], &policy(1), None).unwrap().tx;
            works.journal.set_transaction(whole, TransactionState::Running, None, None).unwrap();
            let tx = half_made(works);
            std::fs::write(bench.root().join("x/a"), "on").unwrap();
            // Of two that were cut off one can be finished; the other is left.
            let recovery = recover(works, Direction::Finish, &Value::Null).unwrap();
            assert_eq!(recovery.to_finish.map(|row| row.id), Some(tx));
            super::super::recover::leave(works, tx, None, &Value::Null).unwrap();
            let state = |id| works.journal.transaction(id).unwrap().unwrap().state;
            assert_eq!((state(whole), state(tx)), (TransactionState::Interrupted, TransactionState::Undone));
        });
        assert_eq!(bench.tree().into_keys().collect::<Vec<_>>(), ["whole"]);
    }
}
