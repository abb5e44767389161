//! The engine's promises, on resources that are files of a temporary directory.

use super::graph::Order;
use super::plan::Plan;
use super::recover::{Direction, recover};
use super::rollback::{Target, roll_back};
use super::sample::{Word, node, undoers};
use super::*;
use crate::base::ids::{ResourceId, TransactionId};
use crate::host::fake::{FakeHost, Fault, Moment};
use crate::host::{Attributes, Host, RealHost};
use crate::journal::{Begin, Journal, StepState, TransactionKind, TransactionState};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Nobody is waited for.
pub(super) const PATIENCE: Patience<'static> = Patience::of(Duration::ZERO);

#[derive(Debug, Default)]
pub(super) struct Paid(Mutex<Vec<String>>);

impl Services for Paid {
    fn pay(&self, _host: &dyn Host, debt: &Debt, _made: i64) -> Result<bool> {
        if debt.unit == "broken.service" {
            return Err(Error::refused("unit-failed", "restart broken.service", "it does not start"));
        }
        self.0.lock().unwrap().push(debt.to_string());
        Ok(true)
    }

    fn prove(&self, _host: &dyn Host, debts: &[Debt]) -> Vec<Result<()>> {
        for debt in debts.iter().filter(|debt| !debt.healthy.ports.is_empty()) {
            self.0.lock().unwrap().push(format!("{} answers at {}", debt.unit, debt.healthy.ports.join(", ")));
        }
        debts.iter().map(|_| Ok(())).collect()
    }

    fn wake(&self, host: &dyn Host, after: Duration) -> Result<()> {
        if host.meta(Path::new("/x/no-timer"))?.is_some() {
            return Err(Error::refused("sample", "wake up", "there is no timer"));
        }
        // An effect, so that a host can die at it.
        host.write(Path::new("/x/.wake"), b"", &Attributes::root(0o644))?;
        self.0.lock().unwrap().push(format!("wake in {} s", after.as_secs()));
        Ok(())
    }

    fn rest(&self, _host: &dyn Host) -> Result<()> {
        self.0.lock().unwrap().push("rest".to_owned());
        Ok(())
    }
}

/// A transaction that was cut off in the step on `id`, which `undo` takes back.
pub(super) fn cut_off(works: &Works<'_>, id: &ResourceId, undo: Value, after: Value) -> TransactionId {
    let tx = works.journal.begin(&begin(TransactionKind::Install, json!({}))).unwrap();
    let intent = crate::journal::Intent {
        tx,
        resource: id.clone(),
        module: "one".into(),
        shared: vec![],
        action: "create".into(),
        summary: String::new(),
        before: Value::Null,
        after,
        notify: vec![],
        undo: Some(json!({"kind": "word", "version": 1, "data": undo})),
        recipe: None,
        removes: None,
        now: 1,
    };
    works.journal.intend(&intent).unwrap();
    tx
}

/// A host directory with `/x`, and a journal beside it.
pub(super) struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("host/x")).unwrap();
        Bench { dir }
    }

    pub(super) fn root(&self) -> PathBuf {
        self.dir.path().join("host")
    }

    pub(super) fn tree(&self) -> BTreeMap<String, String> {
        let mut tree = BTreeMap::new();
        for entry in std::fs::read_dir(self.root().join("x")).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if !name.starts_with('.') {
                tree.insert(name, std::fs::read_to_string(entry.path()).unwrap());
            }
        }
        tree
    }

    pub(super) fn journal(&self) -> Journal {
        Journal::open(&self.dir.path().join("state")).unwrap()
    }

    pub(super) fn with<T>(&self, host: &dyn Host, act: impl FnOnce(&Works<'_>) -> T) -> (T, Vec<String>) {
        let journal = self.journal();
        let paid = Paid::default();
        let undoers = undoers();
        let works = Works {
            host,
            journal: &journal,
            progress: &Silent,
            undoers: &undoers,
            services: &paid,
            patience: PATIENCE,
        };
        let outcome = act(&works);
        (outcome, paid.0.into_inner().unwrap())
    }
}

pub(super) fn install(
    works: &Works<'_>,
    nodes: Vec<Node>,
    policy: &Policy,
    resume: Option<TransactionId>,
) -> Result<apply::Report> {
    let order = Order::of(&nodes)?;
    let plan = Plan::make(&nodes, &order, works.host)?;
    let tx = match resume {
        Some(tx) => tx,
        None => works.journal.begin(&Begin {
            kind: TransactionKind::Install,
            undoes: vec![],
            request: json!({}),
            plan: serde_json::to_value(&plan).unwrap(),
            actor: Value::Null,
            now: works.now(),
        })?,
    };
    apply::apply(works, nodes, &order, &plan, tx, policy, &Value::Null)
}

pub(super) fn policy(workers: usize) -> Policy {
    Policy { workers, ..Policy::default() }
}

fn three() -> Vec<Node> {
    let mut nodes = vec![node("word:a", &[]), node("word:b", &["word:a"]), node("word:c", &["word:b"])];
    nodes[0].notify.push(Debt::new(DebtKind::Reload, "a.service"));
    nodes[2].notify.push(Debt::new(DebtKind::Restart, "a.service"));
    nodes
}

#[test]
fn what_is_planned_is_applied_verified_and_paid_once_and_a_second_run_has_nothing_to_do() {
    let bench = Bench::new();
    let host = RealHost::new(bench.root());
    let (report, paid) = bench.with(&host, |works| install(works, three(), &policy(3), None).unwrap());
    assert_eq!(report.state, TransactionState::Done);
    assert_eq!((report.applied.len(), report.deviations.len()), (3, 0));
    assert_eq!(paid, ["restart a.service"]);
    assert_eq!(bench.tree().values().collect::<BTreeSet<_>>(), BTreeSet::from([&"on".to_owned()]));
    let nodes = three();
    let plan = Plan::make(&nodes, &Order::of(&nodes).unwrap(), &host).unwrap();
    assert!(plan.is_empty() && plan.unchanged == 3);
}

#[test]
fn a_rollback_brings_back_what_was_and_a_second_one_finds_nothing() {
    let bench = Bench::new();
    std::fs::write(bench.root().join("x/b"), "before").unwrap();
    let before = bench.tree();
    let host = RealHost::new(bench.root());
    bench.with(&host, |works| install(works, three(), &policy(2), None).unwrap());
    assert_ne!(bench.tree(), before);
    let (report, paid) = bench.with(&host, |works| roll_back(works, &Target::Last, &Value::Null).unwrap());
    assert_eq!(report.undone.len(), 3);
    assert_eq!(paid, ["restart a.service"]);
    assert_eq!(bench.tree(), before);
    assert_eq!(bench.journal().transaction(TransactionId(1)).unwrap().unwrap().state, TransactionState::Undone);
    let (again, _) = bench.with(&host, |works| roll_back(works, &Target::Last, &Value::Null).unwrap());
    assert_eq!(again.tx, None);
}

#[test]
fn after_a_rollback_a_unit_must_be_as_well_as_the_configuration_that_is_back_asks() {
    let bench = Bench::new();
    let host = RealHost::new(bench.root());
    let at = |want: &str, port: &str| {
        let mut node = node("word:a", &[]);
        node.resource = Box::new(Word { id: ResourceId::new("word", "a"), want: want.into(), fails: false });
        let healthy = Health { ports: vec![port.into()], ..Health::default() };
        node.notify.push(Debt { healthy, ..Debt::new(DebtKind::Restart, "a.service") });
        vec![node]
    };
    bench.with(&host, |works| install(works, at("on", "8081"), &policy(1), None).unwrap());
    let (_, paid) = bench.with(&host, |works| install(works, at("off", "8082"), &policy(1), None).unwrap());
    assert_eq!(paid, ["restart a.service", "a.service answers at 8082"]);
    // A restart that was never made good asks for nothing any more, either.
    let owed = serde_json::to_value(&at("off", "8082")[0].notify[0]).unwrap();
    bench.journal().owe(TransactionId(2), "sample", &owed, "it was cut off", 1).unwrap();
    let (_, paid) = bench.with(&host, |works| roll_back(works, &Target::Last, &Value::Null).unwrap());
    assert_eq!(paid, ["restart a.service", "a.service answers at 8081"]);
    let (_, paid) = bench.with(&host, |works| roll_back(works, &Target::Last, &Value::Null).unwrap());
    assert_eq!(paid, ["restart a.service"]);
}

fn failing(id: &str, module: &str, needs: &[&str]) -> Node {
    let mut bad = node(id, needs);
    bad.resource = Box::new(Word { id: ResourceId::parse(id).unwrap(), want: "on".into(), fails: true });
    bad.module = module.into();
    bad
}

#[test]
fn a_failing_module_is_taken_back_alone_with_those_that_depend_on_it() {
    let bench = Bench::new();
    let host = RealHost::new(bench.root());
    let mut nodes = vec![node("word:good", &[]), failing("word:bad", "docker", &[]), node("word:early", &[])];
    nodes[2].module = "docker".into();
    nodes[2].priority = -5;
    nodes.push(node("word:later", &["word:good"]));
    nodes[3].module = "compose".into();
    nodes[3].priority = 9;
    let mut policy = policy(1);
    policy.depends_on.insert("compose".into(), BTreeSet::from(["docker".to_owned()]));
    let (report, _) = bench.with(&host, |works| install(works, nodes, &policy, None).unwrap());
    assert_eq!(report.state, TransactionState::Partial);
    assert_eq!(bench.tree().into_keys().collect::<Vec<_>>(), ["good"]);
    assert_eq!(report.failed_modules, BTreeSet::from(["docker".to_owned(), "compose".to_owned()]));
}

#[test]
fn a_failing_mandatory_module_takes_everything_back() {
    let bench = Bench::new();
    let host = RealHost::new(bench.root());
    let nodes = vec![node("word:good", &[]), failing("word:late", "system", &["word:good"])];
    let mut policy = policy(2);
    policy.mandatory.insert("system".into());
    let (report, _) = bench.with(&host, |works| install(works, nodes, &policy, None).unwrap());
    assert_eq!(report.state, TransactionState::Failed);
    assert!(report.is_undo_complete());
    assert!(bench.tree().is_empty());
}

#[test]
fn a_unit_that_does_not_come_back_takes_its_module_back() {
    let bench = Bench::new();
    let host = RealHost::new(bench.root());
    let mut nodes = vec![node("word:good", &[]), node("word:conf", &[])];
    nodes[1].module = "web".into();
    nodes[1].notify.push(Debt::new(DebtKind::Restart, "broken.service"));
    let (report, _) = bench.with(&host, |works| install(works, nodes, &policy(1), None).unwrap());
    assert_eq!(report.state, TransactionState::Partial);
    assert_eq!(report.failures[0].module, "web");
    assert_eq!(bench.tree().into_keys().collect::<Vec<_>>(), ["good"]);
}

#[test]
fn a_host_that_moved_since_the_plan_is_left_alone() {
    let bench = Bench::new();
    let host = RealHost::new(bench.root());
    let nodes = vec![node("word:a", &[])];
    let order = Order::of(&nodes).unwrap();
    let plan = Plan::make(&nodes, &order, &host).unwrap();
    std::fs::write(bench.root().join("x/a"), "mine").unwrap();
    let (report, _) = bench.with(&host, |works| {
        let begin = Begin {
            kind: TransactionKind::Install,
            undoes: vec![],
            request: json!({}),
            plan: json!({}),
            actor: Value::Null,
            now: 1,
        };
        let tx = works.journal.begin(&begin).unwrap();
        apply::apply(works, nodes, &order, &plan, tx, &policy(1), &Value::Null).unwrap()
    });
    assert!(matches!(report.failures[0].error, Error::Moved { .. }));
    assert_eq!(bench.tree()["a"], "mine");
}

/// Runs `act` until the host dies in it; `false` when it came to its end.
pub(super) fn dies(host: &FakeHost, act: impl FnOnce()) -> bool {
    let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
    assert_eq!(end.is_err(), host.is_dead(), "it ended by something else than the fault");
    end.is_err()
}

#[test]
fn after_a_death_at_any_effect_of_an_install_it_is_finished_or_taken_back() {
    let mut points = 0;
    for direction in [Direction::Finish, Direction::Undo] {
        for fault in [Fault::DieBefore, Fault::DieMiddle, Fault::DieAfter] {
            for number in 1.. {
                let bench = Bench::new();
                std::fs::write(bench.root().join("x/b"), "before").unwrap();
                let before = bench.tree();
                let host = FakeHost::with_fault(bench.root(), number, fault);
                if !dies(&host, || {
                    bench.with(&host, |works| install(works, three(), &policy(1), None).unwrap());
                }) {
                    break;
                }
                points += 1;
                let host = RealHost::new(bench.root());
                bench.with(&host, |works| {
                    let recovery = recover(works, direction, &Value::Null).unwrap();
                    if let Some(row) = recovery.to_finish {
                        install(works, three(), &policy(1), Some(row.id)).unwrap();
                        assert_eq!(bench.tree().len(), 3);
                        roll_back(works, &Target::Last, &Value::Null).unwrap();
                    }
                });
                assert_eq!(bench.tree(), before, "{direction:?} {fault:?} at {number}");
                assert!(bench.journal().standing().unwrap().is_empty());
            }
        }
    }
    assert_eq!(points, 2 * 3 * 4, "each of three writes and a sync, three ways to die, two ways back");
}

#[test]
fn after_a_death_at_any_effect_of_a_rollback_it_goes_on_to_its_end() {
    for fault in [Fault::DieBefore, Fault::DieMiddle, Fault::DieAfter] {
        for number in 1.. {
            let bench = Bench::new();
            std::fs::write(bench.root().join("x/b"), "before").unwrap();
            let before = bench.tree();
            let host = RealHost::new(bench.root());
            bench.with(&host, |works| install(works, three(), &policy(1), None).unwrap());
            let host = FakeHost::with_fault(bench.root(), number, fault);
            if !dies(&host, || {
                bench.with(&host, |works| roll_back(works, &Target::Last, &Value::Null).unwrap());
            }) {
                break;
            }
            let host = RealHost::new(bench.root());
            bench.with(&host, |works| recover(works, Direction::Finish, &Value::Null).unwrap());
            assert_eq!(bench.tree(), before, "{fault:?} at {number}");
        }
    }
}

#[test]
fn an_effect_that_fails_leaves_everything_as_it_was() {
    for number in 1..=3 {
        let bench = Bench::new();
        let host = FakeHost::with_fault(bench.root(), number, Fault::Fail);
        let (report, _) = bench.with(&host, |works| install(works, three(), &policy(1), None).unwrap());
        assert_eq!(report.state, TransactionState::Failed, "at {number}");
        assert!(bench.tree().is_empty(), "at {number}");
    }
}

#[test]
fn an_undo_that_fails_is_named_and_tried_again_by_the_next_rollback() {
    let bench = Bench::new();
    let host = RealHost::new(bench.root());
    bench.with(&host, |works| install(works, three(), &policy(1), None).unwrap());
    let host = FakeHost::with_fault(bench.root(), 2, Fault::Fail);
    let (report, _) = bench.with(&host, |works| roll_back(works, &Target::Last, &Value::Null).unwrap());
    assert_eq!((report.undone.len(), report.failed.len()), (2, 1), "it goes on after a failure");
    let standing = bench.journal().standing().unwrap();
    assert_eq!(standing.iter().map(|s| s.state).collect::<Vec<_>>(), [StepState::UndoFailed]);
    let host = RealHost::new(bench.root());
    let (again, _) = bench.with(&host, |works| roll_back(works, &Target::Last, &Value::Null).unwrap());
    assert!(again.is_complete() && bench.tree().is_empty());
    assert!(host.meta(Path::new("/x/a")).unwrap().is_none());
}

pub(super) fn of(id: &str, module: &str, needs: &[&str], priority: i32) -> Node {
    let mut node = node(id, needs);
    node.module = module.into();
    node.priority = priority;
    node
}

fn owing(mut node: Node, unit: &str) -> Node {
    node.notify.push(Debt::new(DebtKind::Restart, unit));
    node
}

pub(super) fn begin(kind: TransactionKind, request: Value) -> Begin {
    Begin { kind, undoes: vec![], request, plan: json!({}), actor: Value::Null, now: 1 }
}

/// A word that several modules share: it is their names.
#[derive(Debug, Clone)]
struct Shared(ResourceId, Vec<String>);

impl Shared {
    fn word(&self) -> Word {
        Word { id: self.0.clone(), want: self.1.join(","), fails: false }
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
        self.word().compare(seen)
    }
    fn capture(&self, context: &Context<'_>, seen: &State, change: &Change) -> Result<UndoRecord> {
        self.word().capture(context, seen, change)
    }
    fn apply(&self, context: &Context<'_>, seen: &State, change: &Change) -> Result<()> {
        self.word().apply(context, seen, change)
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
fn a_module_that_is_out_of_a_shared_step_takes_nothing_more_of_it_back() {
    let bench = Bench::new();
    let host = RealHost::new(bench.root());
    bench.with(&host, |works| {
        let tx = works.journal.begin(&begin(TransactionKind::Install, json!({}))).unwrap();
        let intent = crate::journal::Intent {
            tx,
            resource: ResourceId::new("package", "all"),
            module: "git".into(),
            shared: vec!["docker".into()],
            action: "create".into(),
            summary: String::new(),
            before: Value::Null,
            after: Value::Null,
            notify: vec![],
            undo: None,
            recipe: None,
            removes: None,
            now: 1,
        };
        works.journal.intend(&intent).unwrap();
        let steps = |name: &str| rollback::select(works, &Target::Module(name.into())).unwrap().steps.len();
        assert_eq!((steps("git"), steps("docker")), (0, 1));
    });
}

#[test]
fn modules_are_taken_back_before_those_that_they_depend_on() {
    let bench = Bench::new();
    let host = RealHost::new(bench.root());
    let mut late = failing("word:late", "base", &["word:user"]);
    late.priority = 9;
    let nodes = vec![of("word:base", "base", &[], -5), of("word:user", "zebra", &["word:base"], 0), late];
    let mut policy = policy(1);
    policy.depends_on.insert("zebra".into(), BTreeSet::from(["base".to_owned()]));
    let (report, _) = bench.with(&host, |works| install(works, nodes, &policy, None).unwrap());
    let order: Vec<String> = report.rollbacks.iter().map(|r| r.undone[0].to_string()).collect();
    assert_eq!(order, ["word:user", "word:late"]);
    assert!(bench.tree().is_empty());
}

#[test]
fn what_an_earlier_run_owes_and_cannot_be_paid_is_told_and_takes_nothing_back() {
    let bench = Bench::new();
    let host = RealHost::new(bench.root());
    let mut policy = policy(1);
    policy.mandatory.insert("web".into());
    let (report, _) = bench.with(&host, |works| {
        let old = works.journal.begin(&begin(TransactionKind::Install, json!({}))).unwrap();
        works.journal.set_transaction(old, TransactionState::Failed, Some(1), None).unwrap();
        let debt = json!({"kind": "restart", "unit": "broken.service"});
        works.journal.owe(old, "web", &debt, "x", 1).unwrap();
        install(works, vec![node("word:good", &[])], &policy, None).unwrap()
    });
    assert_eq!((report.state, report.unpaid.len()), (TransactionState::Done, 1));
    assert_eq!(bench.tree().len(), 1);
}

#[test]
fn a_unit_that_does_not_come_back_takes_back_all_that_owe_it_and_all_that_depend_on_them() {
    let bench = Bench::new();
    let host = RealHost::new(bench.root());
    let nodes = vec![
        owing(of("word:one", "one", &[], 0), "broken.service"),
        owing(of("word:two", "two", &[], 1), "broken.service"),
        of("word:top", "top", &[], 2),
        of("word:good", "good", &[], 3),
    ];
    let mut policy = policy(1);
    policy.depends_on.insert("top".into(), BTreeSet::from(["two".to_owned()]));
    let (report, _) = bench.with(&host, |works| install(works, nodes, &policy, None).unwrap());
    assert_eq!(report.state, TransactionState::Partial);
    assert_eq!(report.failed_modules, BTreeSet::from(["one", "two", "top"].map(str::to_owned)));
    assert_eq!(bench.tree().into_keys().collect::<Vec<_>>(), ["good"]);
}

#[test]
fn a_module_that_needs_something_of_a_failed_one_does_not_stand_half_made() {
    let bench = Bench::new();
    let host = RealHost::new(bench.root());
    let nodes = vec![
        of("word:half", "other", &[], -5),
        failing("word:bad", "bad", &[]),
        of("word:rest", "other", &["word:bad"], 0),
        of("word:good", "good", &[], 9),
    ];
    let (report, _) = bench.with(&host, |works| install(works, nodes, &policy(1), None).unwrap());
    assert_eq!(report.failed_modules, BTreeSet::from(["bad", "other"].map(str::to_owned)));
    assert_eq!(bench.tree().into_keys().collect::<Vec<_>>(), ["good"]);
}

#[test]
fn what_is_shared_goes_on_without_a_module_that_failed_before_it() {
    let bench = Bench::new();
    let host = RealHost::new(bench.root());
    let mut all = of("word:all", "docker", &["word:source"], 0);
    let shared = ["docker".to_owned(), "git".to_owned()].to_vec();
    all.resource = Box::new(Shared(ResourceId::new("word", "all"), shared));
    let nodes = vec![
        failing("word:source", "docker", &[]),
        all,
        of("word:git", "git", &["word:all"], 0),
        of("word:docker", "docker", &["word:all"], 0),
    ];
    let (report, _) = bench.with(&host, |works| install(works, nodes, &policy(2), None).unwrap());
    assert_eq!(report.state, TransactionState::Partial);
    let tree = bench.tree();
    assert_eq!(tree.keys().collect::<Vec<_>>(), ["all", "git"]);
    assert_eq!(tree["all"], "git");
}

#[test]
fn a_failed_module_does_not_excuse_that_the_host_moved() {
    let bench = Bench::new();
    let host = RealHost::new(bench.root());
    let mut bad = failing("word:bad", "bad", &[]);
    bad.priority = -5;
    let nodes = vec![bad, of("word:mine", "good", &[], 0)];
    let order = Order::of(&nodes).unwrap();
    let plan = Plan::make(&nodes, &order, &host).unwrap();
    std::fs::write(bench.root().join("x/mine"), "mine").unwrap();
    let (report, _) = bench.with(&host, |works| {
        let tx = works.journal.begin(&begin(TransactionKind::Install, json!({}))).unwrap();
        apply::apply(works, nodes, &order, &plan, tx, &policy(1), &Value::Null).unwrap()
    });
    assert!(matches!(report.failures[1].error, Error::Moved { .. }));
    assert_eq!(bench.tree()["mine"], "mine");
}

#[test]
fn an_install_that_was_being_taken_back_is_not_finished_after_a_crash() {
    let bench = Bench::new();
    let host = RealHost::new(bench.root());
    bench.with(&host, |works| {
        let tx = install(works, three(), &policy(1), None).unwrap().tx;
        works.journal.set_transaction(tx, TransactionState::Running, None, None).unwrap();
        let mut cut_off = begin(TransactionKind::Rollback, serde_json::to_value(Target::Only(tx)).unwrap());
        cut_off.undoes = vec![tx];
        works.journal.begin(&cut_off).unwrap();
        let recovery = recover(works, Direction::Finish, &Value::Null).unwrap();
        assert!(recovery.to_finish.is_none());
        assert!(!super::recover::is_needed(works).unwrap());
    });
    assert!(bench.tree().is_empty());
}

#[test]
fn a_rollback_that_was_cut_off_at_its_very_end_marks_what_it_took_back() {
    let bench = Bench::new();
    let host = RealHost::new(bench.root());
    bench.with(&host, |works| {
        let tx = install(works, three(), &policy(1), None).unwrap().tx;
        let back = roll_back(works, &Target::Last, &Value::Null).unwrap().tx.unwrap();
        works.journal.set_transaction(tx, TransactionState::Done, Some(1), None).unwrap();
        works.journal.set_transaction(back, TransactionState::Running, None, None).unwrap();
        recover(works, Direction::Finish, &Value::Null).unwrap();
        assert_eq!(works.journal.transaction(tx).unwrap().unwrap().state, TransactionState::Undone);
    });
}

/// An undo whose step held a unit back.
#[derive(Debug)]
struct Holding;

impl Undo for Holding {
    fn describe(&self, _: &Context<'_>, _: &Scope) -> Result<Vec<String>> {
        Ok(vec![])
    }
    fn undo(&self, _: &Context<'_>, _: &Scope, _: Option<&Value>) -> Result<Outcome> {
        Ok(Outcome::Undone)
    }
    fn settle(&self, _: &Context<'_>) -> Result<Option<Value>> {
        Ok(Some(json!({"debts": [{"kind": "start", "unit": "held.service"}]})))
    }
}

#[test]
fn the_units_that_a_failed_step_held_back_are_started_all_the_same() {
    let bench = Bench::new();
    let host = RealHost::new(bench.root());
    let journal = bench.journal();
    let paid = Paid::default();
    let undoers = Undoers::new(&[("word", |_, _| Ok(Box::new(Holding)))]);
    let works = Works {
        host: &host,
        journal: &journal,
        progress: &Silent,
        undoers: &undoers,
        services: &paid,
        patience: PATIENCE,
    };
    install(&works, vec![failing("word:bad", "bad", &[])], &policy(1), None).unwrap();
    assert_eq!(*paid.0.lock().unwrap(), ["start held.service"]);
}

#[test]
fn a_record_that_nobody_can_read_keeps_no_other_step_from_being_taken_back() {
    let bench = Bench::new();
    let host = RealHost::new(bench.root());
    let (report, _) = bench.with(&host, |works| {
        let tx = install(works, vec![node("word:good", &[])], &policy(1), None).unwrap().tx;
        for undo in [json!({"kind": "later", "version": 9, "data": {}}), json!("no record at all")] {
            let intent = crate::journal::Intent {
                tx,
                resource: ResourceId::new("word", "later"),
                module: "sample".into(),
                shared: vec![],
                action: "create".into(),
                summary: String::new(),
                before: Value::Null,
                after: Value::Null,
                notify: vec![],
                undo: Some(undo),
                recipe: None,
                removes: None,
                now: 1,
            };
            works.journal.intend(&intent).unwrap();
        }
        let selection = rollback::select(works, &Target::Last).unwrap();
        assert_eq!(rollback::describe(works, &selection).unwrap().len(), 3);
        roll_back(works, &Target::Last, &Value::Null).unwrap()
    });
    assert_eq!((report.undone.len(), report.failed.len()), (1, 2));
    assert!(bench.tree().is_empty());
}

#[test]
fn where_nothing_shared_is_left_what_only_comes_after_it_goes_on() {
    let bench = Bench::new();
    let host = RealHost::new(bench.root());
    let mut all = of("word:all", "docker", &["word:source"], 0);
    all.resource = Box::new(Shared(ResourceId::new("word", "all"), vec!["docker".to_owned()]));
    let nodes = vec![failing("word:source", "docker", &[]), all, of("word:git", "git", &["word:all"], 0)];
    let (report, _) = bench.with(&host, |works| install(works, nodes, &policy(1), None).unwrap());
    assert_eq!(report.failed_modules, BTreeSet::from(["docker".to_owned()]));
    assert_eq!(bench.tree().into_keys().collect::<Vec<_>>(), ["git"]);
}

#[test]
fn nothing_is_marked_as_over_before_the_disk_has_what_programs_wrote() {
    let bench = Bench::new();
    let effects = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&effects);
    let note = Box::new(move |moment: &Moment<'_>| notes.lock().unwrap().push(moment.what.to_owned()));
    let host = FakeHost::new(bench.root()).observed(note);
    let state = |works: &Works<'_>, tx| works.journal.transaction(tx).unwrap().unwrap().state;
    bench.with(&host, |works| {
        let tx = install(works, vec![of("word:a", "one", &[], 0)], &policy(1), None).unwrap().tx;
        assert_eq!(effects.lock().unwrap().iter().filter(|what| *what == "sync").count(), 1);
        assert_eq!(effects.lock().unwrap().last().unwrap(), "sync");
        assert_eq!(state(works, tx), TransactionState::Done);
    });
    let last = host.effects();
    // Where the disk does not take it, it is not over.
    let bench = Bench::new();
    let host = FakeHost::with_fault(bench.root(), last, Fault::Fail);
    bench.with(&host, |works| {
        install(works, vec![of("word:a", "one", &[], 0)], &policy(1), None).unwrap_err();
        let cut_off = recover(works, Direction::Finish, &Value::Null).unwrap().to_finish.unwrap().id;
        assert_eq!(state(works, cut_off), TransactionState::Running);
        assert!(roll_back(works, &Target::Last, &Value::Null).unwrap().is_complete());
        assert_eq!(host.effects(), last + 2, "the removal, and the disk once more");
    });
}

/// A disk that is full from the second intent on.
#[derive(Debug, Default)]
struct Full(std::sync::atomic::AtomicUsize);

impl crate::journal::Watch for Full {
    fn before(&self, write: crate::journal::Write<'_>) -> crate::journal::Result<()> {
        let is_intent = matches!(write, crate::journal::Write::Commit("intent"));
        match is_intent && self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0 {
            true => Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into()),
            false => Ok(()),
        }
    }
}

#[test]
fn a_run_that_finds_no_room_for_its_journal_takes_back_what_it_had_made() {
    let bench = Bench::new();
    let host = FakeHost::new(bench.root());
    let before = bench.tree();
    let watch = std::sync::Arc::new(Full::default());
    let journal = Journal::open_watched(&bench.dir.path().join("state"), Some(watch)).unwrap();
    let (paid, undoers) = (Paid::default(), undoers());
    let works = Works {
        host: &host,
        journal: &journal,
        progress: &Silent,
        undoers: &undoers,
        services: &paid,
        patience: PATIENCE,
    };
    let report = install(&works, three(), &policy(1), None).unwrap();
    assert_eq!((report.state, report.applied.len()), (TransactionState::Failed, 1));
    assert!(report.failures[0].error.to_string().contains("no storage space"), "{:?}", report.failures);
    assert!(report.is_undo_complete());
    assert_eq!(bench.tree(), before);
}

/// A step that fails, and of which nothing can be remembered afterwards either.
#[test]
fn what_comes_on_top_of_a_failure_does_not_take_its_place() {
    let bench = Bench::new();
    let host = FakeHost::new(bench.root());
    let (report, _) = bench.with(&host, |works| {
        let id = ResourceId::parse("word:unsettled").unwrap();
        let mut nodes = vec![node("word:unsettled", &[])];
        nodes[0].resource = Box::new(Word { id, want: "on".into(), fails: true });
        install(works, nodes, &policy(1), None).unwrap()
    });
    let told = report.failures[0].error.to_string();
    assert!(told.contains("it is made to fail"), "{told}");
}
