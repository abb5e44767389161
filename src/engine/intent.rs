//! Making one change: written down before it changes anything, made, verified, marked. It is a step of its own, or, in a
//! transaction that goes on after it was cut off, one with the step that was cut off.

use super::{Change, Error, Resource, Result, State, UndoRecord, Works, debts, events};
use crate::base::ids::{ResourceId, TransactionId};
use crate::journal::{Intent, StepRow, StepState};
use serde_json::Value;

/// Captures what undoing needs, commits `intent` with it, makes the change, and looks whether anything is left of it.
/// Returns what is in force then. A step of it that was `cut_off` is made by that, too.
pub(super) fn make(
    works: &Works<'_>,
    intent: Intent,
    cut_off: Option<&StepRow>,
    resource: &dyn Resource,
    seen: &State,
    change: &Change,
) -> Result<State> {
    let context = works.context();
    let (tx, module, id) = (intent.tx, intent.module.clone(), resource.id());
    let undo = resource.capture(&context, seen, change)?;
    let (step, undo) = write_down(works, intent, undo)?;
    let made = resource.apply(&context, seen, change).and_then(|()| {
        let seen = resource.observe(works.host)?;
        let left = resource.compare(&seen)?;
        if left.is_needed() {
            return Err(Error::NotVerified { id: id.clone(), left: left.summary });
        }
        Ok(seen)
    });
    let settled = works.undoers.decode(&undo).and_then(|undo| undo.settle(&context));
    let made = match made {
        Ok(seen) => seen,
        Err(error) => {
            let text = error.to_string();
            // What comes on top of it must not take its place.
            if let Err(second) = note_failure(works, (tx, step), &module, id, settled, &text) {
                tracing::warn!("{id} failed, and that was not written down whole: {second}");
            }
            events::failed(tx, &module, id, &text);
            return Err(error);
        }
    };
    let settled = settled?;
    // Before the step is marked: a crash in between owes it twice, which is paid once.
    debts::owe_settled(works, tx, &module, id, settled.as_ref())?;
    if let Some(first) = cut_off.filter(|first| first.id != step) {
        works.journal.set_step(first.id, StepState::Verified, None, None, works.now())?;
    }
    works.journal.set_step(step, StepState::Verified, settled.as_ref(), None, works.now())?;
    events::applied(tx, &module, id, &change.summary);
    Ok(made)
}

/// Writes down that a step failed. What was configured before that, and held back, is owed too.
fn note_failure(
    works: &Works<'_>,
    (tx, step): (TransactionId, i64),
    module: &str,
    id: &ResourceId,
    settled: Result<Option<Value>>,
    text: &str,
) -> Result<()> {
    let settled = settled?;
    debts::owe_settled(works, tx, module, id, settled.as_ref())?;
    Ok(works.journal.set_step(step, StepState::Intent, settled.as_ref(), Some(text), works.now())?)
}

/// Commits `intent` with how to take it back. When a step of the same transaction on the same resource was cut off, and
/// its kind can make one record of both, that step's record is the one that changes. Returns the step's number and the
/// record that stands.
fn write_down(works: &Works<'_>, mut intent: Intent, undo: UndoRecord) -> Result<(i64, UndoRecord)> {
    if let Some(step) = works.journal.cut_off(intent.tx, &intent.resource)?
        && let Some(undo) = extended(works, &step, &undo)?
    {
        intent.undo = Some(serde_json::to_value(&undo).unwrap_or_default());
        intent.shared.extend(step.shared.iter().cloned());
        intent.shared.sort();
        intent.shared.dedup();
        for debt in step.notify.as_array().into_iter().flatten() {
            if !intent.notify.contains(debt) {
                intent.notify.push(debt.clone());
            }
        }
        works.journal.extend(step.id, &intent)?;
        events::extended(intent.tx, &step.module, &intent.resource);
        return Ok((step.id, undo));
    }
    intent.undo = Some(serde_json::to_value(&undo).unwrap_or_default());
    Ok((works.journal.intend(&intent)?, undo))
}

/// One record of what was cut off and what goes on, where the kind has such.
fn extended(works: &Works<'_>, step: &StepRow, newer: &UndoRecord) -> Result<Option<UndoRecord>> {
    let Some(older) = step.undo.clone() else { return Ok(None) };
    let older: UndoRecord = serde_json::from_value(older)
        .map_err(|e| Error::BadRecord { kind: step.resource.to_string(), why: e.to_string() })?;
    works.undoers.decode(&older)?.extend(&works.context(), step.settled.as_ref(), newer)
}

#[cfg(test)]
mod tests {
    use super::super::recover::{Direction, recover};
    use super::super::rollback::{Target, roll_back};
    use super::super::sample::Word;
    use super::super::tests::{Bench, PATIENCE, Paid, dies, install, of, policy};
    use super::super::*;
    use crate::base::ids::{ResourceId, TransactionId};
    use crate::host::fake::{FakeHost, Fault};
    use crate::host::{Attributes, Host, RealHost};
    use crate::journal::StepState;
    use serde_json::{Value, json};
    use std::path::Path;

    /// The undo of a word that makes one record of a cut-off step and its going on.
    #[derive(Debug)]
    struct Joint(Value);

    impl Undo for Joint {
        fn describe(&self, _: &Context<'_>, _: &Scope) -> Result<Vec<String>> {
            Ok(vec![])
        }
        fn undo(&self, context: &Context<'_>, scope: &Scope, _: Option<&Value>) -> Result<Outcome> {
            let path = Path::new(self.0["path"].as_str().unwrap());
            if let Scope::Module(name) = scope {
                let rest = String::from_utf8(context.host.read(path)?).unwrap().replace(&format!("{name},"), "");
                context.host.write(path, rest.as_bytes(), &Attributes::root(0o644))?;
                return Ok(Outcome::Partly(UndoRecord::new("word", self.0.clone())));
            }
            match self.0["before"].as_str() {
                Some(word) => context.host.write(path, word.as_bytes(), &Attributes::root(0o644))?,
                None => context.host.remove(path)?,
            }
            Ok(Outcome::Undone)
        }
        fn settle(&self, context: &Context<'_>) -> Result<Option<Value>> {
            let there = context.host.meta(Path::new(self.0["path"].as_str().unwrap()))?.is_some();
            Ok(Some(json!({"there": there})))
        }
        fn extend(&self, _: &Context<'_>, after: Option<&Value>, newer: &UndoRecord) -> Result<Option<UndoRecord>> {
            let mut one = self.0.clone();
            let parts = one["parts"].as_u64().unwrap_or(1);
            one["parts"] = json!(parts + 1);
            one["found"] = json!({"after": after, "newer": newer.data["before"]});
            Ok(Some(UndoRecord::new("word", one)))
        }
    }

    fn joint() -> Undoers {
        Undoers::new(&[("word", |_, data| Ok(Box::new(Joint(data.clone()))))])
    }

    #[test]
    fn a_step_that_is_cut_off_and_cut_off_again_stays_one_step_that_is_written_down_before_each_change() {
        let bench = Bench::new();
        std::fs::write(bench.root().join("x/a"), "before").unwrap();
        let (undoers, paid) = (joint(), Paid::default());
        for parts in 1..=3 {
            let journal = bench.journal();
            let host = FakeHost::with_fault(bench.root(), 1, Fault::DieBefore);
            let works = Works {
                host: &host,
                journal: &journal,
                progress: &Silent,
                undoers: &undoers,
                services: &paid,
                patience: PATIENCE,
            };
            let resumed = recover(&works, Direction::Finish, &Value::Null).unwrap().to_finish.map(|row| row.id);
            assert_eq!(resumed, (parts > 1).then_some(TransactionId(1)));
            // Somebody changes it in between.
            std::fs::write(bench.root().join("x/a"), format!("by hand {parts}")).unwrap();
            let died = dies(&host, || drop(install(&works, vec![node()], &policy(1), resumed).unwrap()));
            assert!(died);
            let steps = journal.steps(TransactionId(1)).unwrap();
            assert_eq!(steps.len(), 1, "one step, whatever happens");
            let undo = &steps[0].undo.as_ref().unwrap()["data"];
            assert_eq!((undo["before"].as_str(), steps[0].state), (Some("by hand 1"), StepState::Intent));
            assert_eq!(steps[0].before, "by hand 1");
            if parts > 1 {
                assert_eq!(undo["parts"], parts);
                assert_eq!(undo["found"], json!({"after": {"there": true}, "newer": format!("by hand {parts}")}));
                assert_eq!(steps[0].settled, None, "what was seen is part of the record; the next crash looks anew");
            }
            assert_eq!(journal.owed().unwrap().len(), parts);
        }
        let journal = bench.journal();
        let host = RealHost::new(bench.root());
        let works = Works {
            host: &host,
            journal: &journal,
            progress: &Silent,
            undoers: &undoers,
            services: &paid,
            patience: PATIENCE,
        };
        let resumed = recover(&works, Direction::Finish, &Value::Null).unwrap().to_finish.unwrap().id;
        assert_eq!(install(&works, vec![node()], &policy(1), Some(resumed)).unwrap().applied.len(), 1);
        let steps = journal.steps(resumed).unwrap();
        assert_eq!((steps.len(), steps[0].state), (1, StepState::Verified));
        assert!(roll_back(&works, &Target::Last, &Value::Null).unwrap().is_complete());
        assert_eq!(bench.tree()["a"], "by hand 1");
    }

    fn node() -> Node {
        let mut node = of("word:a", "one", &[], 0);
        node.notify.push(Debt::new(DebtKind::Restart, "a.service"));
        node
    }

    #[test]
    fn without_such_a_record_a_step_that_goes_on_is_a_second_one() {
        let bench = Bench::new();
        let host = RealHost::new(bench.root());
        bench.with(&host, |works| {
            let id = ResourceId::new("word", "a");
            let tx = super::super::tests::cut_off(works, &id, json!({"path": "/x/a", "before": null}), Value::Null);
            std::fs::write(bench.root().join("x/a"), "half").unwrap();
            install(works, vec![of("word:a", "one", &[], 0)], &policy(1), Some(tx)).unwrap();
            let steps = works.journal.steps(tx).unwrap();
            assert_eq!(steps.iter().map(|s| s.state).collect::<Vec<_>>(), [StepState::Verified, StepState::Verified]);
            assert!(roll_back(works, &Target::Last, &Value::Null).unwrap().is_complete());
        });
        assert!(bench.tree().is_empty());
    }

    /// A word that is made of the names of those who share it, and that fails because of `docker`.
    #[derive(Debug)]
    struct Shared(ResourceId, Vec<String>);

    impl Shared {
        fn word(&self) -> Word {
            Word { id: self.0.clone(), want: self.1.iter().map(|name| format!("{name},")).collect(), fails: false }
        }
    }

    impl Resource for Shared {
        fn id(&self) -> &ResourceId {
            &self.0
        }
        fn observe(&self, host: &dyn Host) -> Result<State> {
            self.word().observe(host)
        }
        fn compare(&self, seen: &State) -> Result<Change> {
            let seen = State(json!(seen.0.as_str().unwrap_or_default().replace("half,", "")));
            self.word().compare(&seen)
        }
        fn capture(&self, context: &Context<'_>, seen: &State, change: &Change) -> Result<UndoRecord> {
            self.word().capture(context, seen, change)
        }
        fn apply(&self, context: &Context<'_>, seen: &State, change: &Change) -> Result<()> {
            self.word().apply(context, seen, change)?;
            if self.1.contains(&"docker".to_owned()) {
                return Err(Error::Refused {
                    code: "package-failed",
                    what: "cannot install docker".into(),
                    why: "it is made to fail".into(),
                    fix: vec![],
                    module: Some("docker".into()),
                });
            }
            Ok(())
        }
        fn shared_by(&self) -> Vec<String> {
            self.1.clone()
        }
        fn without(&self, module: &str) -> Option<Box<dyn Resource>> {
            let rest: Vec<String> = self.1.iter().filter(|m| *m != module).cloned().collect();
            (!rest.is_empty()).then(|| Box::new(Shared(self.0.clone(), rest)) as Box<dyn Resource>)
        }
    }

    #[test]
    fn a_module_that_fails_when_a_cut_off_step_goes_on_is_taken_out_of_the_one_record() {
        let bench = Bench::new();
        let (journal, undoers, paid) = (bench.journal(), joint(), Paid::default());
        let host = RealHost::new(bench.root());
        let works = Works {
            host: &host,
            journal: &journal,
            progress: &Silent,
            undoers: &undoers,
            services: &paid,
            patience: PATIENCE,
        };
        let id = ResourceId::new("word", "all");
        let tx = super::super::tests::cut_off(&works, &id, json!({"path": "/x/all", "before": null}), Value::Null);
        std::fs::write(bench.root().join("x/all"), "half,").unwrap();
        let mut all = of("word:all", "docker", &[], 0);
        all.resource = Box::new(Shared(id, ["docker", "git"].map(str::to_owned).to_vec()));
        let report = install(&works, vec![all], &policy(1), Some(tx)).unwrap();
        assert_eq!(report.state, crate::journal::TransactionState::Partial);
        let steps = journal.steps(tx).unwrap();
        assert_eq!((steps.len(), steps[0].state), (1, StepState::Verified));
        assert_eq!(steps[0].shared, ["git"], "docker is out of it");
        assert_eq!(steps[0].undo.as_ref().unwrap()["data"]["parts"], 3);
        assert_eq!(bench.tree()["all"], "git,");
        assert!(roll_back(&works, &Target::Last, &Value::Null).unwrap().is_complete());
        assert!(bench.tree().is_empty());
    }

    /// All there is once one attempt was made, though that attempt fails because of `docker`.
    #[derive(Debug)]
    struct Stubborn(Shared);

    impl Resource for Stubborn {
        fn id(&self) -> &ResourceId {
            self.0.id()
        }
        fn observe(&self, host: &dyn Host) -> Result<State> {
            Ok(State(json!(host.meta(Path::new("/x/all"))?.is_some())))
        }
        fn compare(&self, seen: &State) -> Result<Change> {
            Ok(if seen.0 == true { Change::keep(seen) } else { Change::new(Action::Create, "make", json!(true)) })
        }
        fn capture(&self, _: &Context<'_>, _: &State, _: &Change) -> Result<UndoRecord> {
            Ok(UndoRecord::new("word", json!({"path": "/x/all", "before": null})))
        }
        fn apply(&self, context: &Context<'_>, seen: &State, change: &Change) -> Result<()> {
            // What comes after it finds another host than the plan did.
            context.host.write(Path::new("/x/later"), b"theirs", &Attributes::root(0o644))?;
            self.0.apply(context, seen, change)
        }
        fn shared_by(&self) -> Vec<String> {
            self.0.shared_by()
        }
        fn without(&self, module: &str) -> Option<Box<dyn Resource>> {
            let rest: Vec<String> = self.0.1.iter().filter(|m| *m != module).cloned().collect();
            (!rest.is_empty()).then(|| Box::new(Stubborn(Shared(self.0.0.clone(), rest))) as Box<dyn Resource>)
        }
    }

    #[test]
    fn what_a_failed_attempt_has_done_already_stands_and_what_comes_after_it_goes_on() {
        let bench = Bench::new();
        let (journal, undoers, paid) = (bench.journal(), joint(), Paid::default());
        let host = RealHost::new(bench.root());
        let works = Works {
            host: &host,
            journal: &journal,
            progress: &Silent,
            undoers: &undoers,
            services: &paid,
            patience: PATIENCE,
        };
        let id = ResourceId::new("word", "all");
        let mut all = of("word:all", "docker", &[], 0);
        all.resource = Box::new(Stubborn(Shared(id, ["docker", "git"].map(str::to_owned).to_vec())));
        let report = install(&works, vec![all, of("word:later", "git", &["word:all"], 0)], &policy(1), None).unwrap();
        assert_eq!(report.state, crate::journal::TransactionState::Partial, "{:?}", report.failures);
        let steps = journal.steps(report.tx).unwrap();
        let states: Vec<_> = steps.iter().map(|step| (step.resource.as_str(), step.state)).collect();
        assert_eq!(states, [("word:all", StepState::Verified), ("word:later", StepState::Verified)]);
        assert_eq!(steps[0].shared, ["git"]);
    }
}
