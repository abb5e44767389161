//! Confirmed changes: what people's way in depends on is taken back, unless somebody who came in afterwards says that
//! it may stay.
//!
//! The truth is in the journal. A transaction is armed before its first change; when it is no longer under way it waits;
//! then it is confirmed, or reverted. Wake-ups (timers of systemd) only call [`revert_due`], which looks at the journal
//! and the clock: one too many does no harm, and the death of any process, a reboot or an upgrade lose none, because
//! the next boot and each changing run call it, too.

use super::recover::{finish_rollbacks, is_needed, leave, settle, settle_those};
use super::rollback::{self, RollbackReport, Target};
use super::{Error, Result, Works, events};
use crate::base::ids::{ResourceId, TransactionId};
use crate::host::{Host, login};
use crate::journal::{ConfirmationRow, ConfirmationState, Ending, Moment, StepRow, TransactionState};
use serde_json::Value;
use std::time::Duration;

/// What must be confirmed, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The resources that are to change and that people's way in depends on.
    pub resources: Vec<ResourceId>,
    /// The modules that are taken back otherwise, each before those that it depends on.
    pub modules: Vec<String>,
    /// How long is waited after the last change.
    pub timeout: Duration,
}

/// How taking an unconfirmed transaction back went.
#[derive(Debug)]
pub struct Reverted {
    /// The transaction.
    pub tx: TransactionId,
    /// Its modules, one after the other.
    pub reports: Vec<RollbackReport>,
}

impl Reverted {
    /// Whether all of it is back.
    pub fn is_complete(&self) -> bool {
        self.reports.iter().all(RollbackReport::is_complete)
    }
}

/// Brings in order what steps may wait for, as packages that others work on; called before the first of those steps
/// only.
pub type Ready<'r> = &'r dyn Fn() -> Result<()>;

/// Arms a transaction that has begun and has not yet changed anything. When it can't be made sure that somebody wakes
/// up to take it back, it must not go on.
pub fn arm(works: &Works<'_>, tx: TransactionId, terms: &Terms) -> Result<()> {
    works.journal.arm(&ConfirmationRow {
        tx,
        state: ConfirmationState::Armed,
        resources: terms.resources.clone(),
        modules: terms.modules.clone(),
        timeout: i64::try_from(terms.timeout.as_secs()).unwrap_or(i64::MAX),
        since: moment(works),
        ended: None,
        by: None,
        why: None,
    })?;
    match works.services.wake(works.host, terms.timeout) {
        Ok(()) => Ok(()),
        Err(error) => {
            end(works, tx, ConfirmationState::Armed, ConfirmationState::Void)?;
            Err(Error::refused("confirm-no-timer", "arm the way back", error.to_string())
                .fix("see why: systemctl status 'vps-configurator-revert*'")
                .fix("or, when you have another way in: --confirm never"))
        }
    }
}

/// Brings the confirmations in step with what stands: called under the lock, whenever a run has ended. What is no
/// longer under way waits from now on; where nothing stands of what the way in depends on, nothing must be confirmed.
pub fn settle_all(works: &Works<'_>) -> Result<Vec<ConfirmationRow>> {
    let before = works.journal.open_confirmations()?;
    let was_open = !before.is_empty();
    let mut open = Vec::new();
    for row in before {
        let is_running = is_running(works, row.tx)?;
        // Where a rollback was cut off at its very end nothing stands, and it is still to be closed.
        let is_going_on = row.state == ConfirmationState::Reverting && is_needed(works)?;
        if !is_running && !is_going_on && !stands(works, &row)? {
            let state = match row.state {
                ConfirmationState::Reverting => ConfirmationState::Reverted,
                _ => ConfirmationState::Void,
            };
            end(works, row.tx, row.state, state)?;
            continue;
        }
        if !is_running && row.state == ConfirmationState::Armed {
            works.journal.await_confirmation(row.tx, &moment(works))?;
            events::waiting(row.tx, row.timeout);
            works.services.wake(works.host, Duration::from_secs(row.timeout.unsigned_abs()))?;
        }
        open.extend(works.journal.confirmation(row.tx)?);
    }
    if was_open && open.is_empty() {
        works.services.rest(works.host)?;
    }
    Ok(open)
}

/// Whether something is to be taken back now.
pub fn is_due(works: &Works<'_>) -> Result<bool> {
    for row in works.journal.open_confirmations()? {
        if due(works, &row)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes back what was not confirmed in time, and sees to it that somebody wakes up for the rest. The caller holds the
/// lock.
pub fn revert_due(works: &Works<'_>, actor: &Value, ready: Ready<'_>) -> Result<Vec<Reverted>> {
    let mut reverted = Vec::new();
    // A run that died between its last change and its end waits from now on, so that it can still be confirmed.
    for row in settle_all(works)? {
        if due(works, &row)? {
            let why = format!("nobody confirmed it within {} s", row.timeout);
            reverted.extend(revert(works, &row, &why, actor, ready)?);
            continue;
        }
        let left = remaining(works.host, &row);
        if !left.is_zero() {
            works.services.wake(works.host, left)?;
        }
    }
    Ok(reverted)
}

/// Takes a transaction back that is not confirmed. `None` when it was in the meantime. Safe to be cut off, and to be
/// called again. What waits for nobody goes first: people must get in again, whoever works with packages just now.
pub fn revert(
    works: &Works<'_>,
    row: &ConfirmationRow,
    why: &str,
    actor: &Value,
    ready: Ready<'_>,
) -> Result<Option<Reverted>> {
    if !works.journal.begin_revert(row.tx, why)? {
        return Ok(None);
    }
    events::reverting(row.tx, why);
    let targets: Vec<Target> = row.modules.iter().map(|name| Target::ModuleOf(name.clone(), row.tx)).collect();
    let waits = |step: &StepRow| rollback::may_wait(works, step);
    let mut reports = Vec::new();
    let mut is_ready = Ok(());
    if let Some(slow) = works.journal.steps(row.tx)?.into_iter().find(|step| step.state.stands() && waits(step)) {
        settle_those(works, row.tx, |step| !waits(step))?;
        for target in &targets {
            reports.push(rollback::roll_back_at_once(works, target, false, actor)?);
        }
        is_ready = ready().map_err(|error| (slow.resource, error));
        // What failed is tried once more.
        reports.iter_mut().for_each(|report| report.failed.clear());
    }
    match is_ready {
        Ok(()) => {
            reports.extend(finish_rollbacks(works)?);
            if is_running(works, row.tx)? {
                settle(works, row.tx)?;
                reports.push(leave(works, row.tx, Some(why), actor)?);
            }
            for target in &targets {
                reports.push(rollback::roll_back(works, target, actor)?);
            }
        }
        // The rest all the same; this is tried again at the next wake-up.
        Err(failed) => {
            for target in &targets {
                reports.push(rollback::roll_back_at_once(works, target, true, actor)?);
            }
            reports.push(RollbackReport { failed: vec![failed], ..RollbackReport::default() });
        }
    }
    let reverted = Reverted { tx: row.tx, reports };
    if reverted.is_complete() {
        end(works, row.tx, ConfirmationState::Reverting, ConfirmationState::Reverted)?;
        rest_if_nothing_is_open(works)?;
    }
    events::reverted(row.tx, reverted.is_complete());
    Ok(Some(reverted))
}

/// Confirms a transaction that waits. `false` when it does not wait any more. Needs no lock: of a confirmation and a
/// revert that come at the same time the journal lets one win.
pub fn confirm(works: &Works<'_>, tx: TransactionId, by: &Value) -> Result<bool> {
    let ending = Ending { state: ConfirmationState::Confirmed, now: works.now(), by: Some(by) };
    if !works.journal.end_confirmation(tx, ConfirmationState::Waiting, ending)? {
        return Ok(false);
    }
    events::confirmed(tx);
    rest_if_nothing_is_open(works)?;
    Ok(true)
}

/// How long is left. Within one boot nobody's setting of the clock changes it. After a reboot the wall's clock counts;
/// one that was set back gives the whole time anew.
pub fn remaining(host: &dyn Host, row: &ConfirmationRow) -> Duration {
    let whole = i128::from(row.timeout) * 1_000_000_000;
    let gone = match login::boot(host) == row.since.boot {
        true => host.uptime() - i128::from(row.since.uptime),
        false => host.now() - i128::from(row.since.wall),
    };
    let left = (whole - gone.max(0)).max(0);
    Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX))
}

/// Whether a login began after what is to be confirmed was made.
pub fn is_new(host: &dyn Host, row: &ConfirmationRow, began: i128) -> bool {
    login::boot(host) != row.since.boot || began > i128::from(row.since.uptime)
}

/// A transaction that was cut off before it had changed anything that matters is left to recovery, and stays armed.
fn due(works: &Works<'_>, row: &ConfirmationRow) -> Result<bool> {
    Ok(match row.state {
        ConfirmationState::Reverting => true,
        ConfirmationState::Waiting => remaining(works.host, row).is_zero(),
        ConfirmationState::Armed => remaining(works.host, row).is_zero() && stands(works, row)?,
        _ => false,
    })
}

fn rest_if_nothing_is_open(works: &Works<'_>) -> Result<()> {
    match works.journal.open_confirmations()?.is_empty() {
        true => works.services.rest(works.host),
        false => Ok(()),
    }
}

fn is_running(works: &Works<'_>, tx: TransactionId) -> Result<bool> {
    Ok(works.journal.transaction(tx)?.is_some_and(|row| row.state == TransactionState::Running))
}

/// Whether something of its modules stands on which the way in depends; of what is being taken back, whether anything
/// of them does.
fn stands(works: &Works<'_>, row: &ConfirmationRow) -> Result<bool> {
    let is_ours = |module: &String, shared: &[String]| match shared {
        [] => row.modules.contains(module),
        _ => shared.iter().any(|module| row.modules.contains(module)),
    };
    let is_reverting = row.state == ConfirmationState::Reverting;
    Ok(works.journal.steps(row.tx)?.iter().any(|step| {
        step.state.stands()
            && is_ours(&step.module, &step.shared)
            && (is_reverting || row.resources.contains(&step.resource))
    }))
}

fn end(works: &Works<'_>, tx: TransactionId, from: ConfirmationState, state: ConfirmationState) -> Result<()> {
    works.journal.end_confirmation(tx, from, Ending { state, now: works.now(), by: None })?;
    Ok(())
}

fn moment(works: &Works<'_>) -> Moment {
    let uptime = i64::try_from(works.host.uptime()).unwrap_or(i64::MAX);
    Moment { wall: works.now(), boot: login::boot(works.host), uptime }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::graph::Order;
    use crate::engine::plan::Plan;
    use crate::engine::recover::{Direction, recover};
    use crate::engine::tests::{Bench, begin, dies, of, policy};
    use crate::engine::{Node, apply};
    use crate::host::fake::{FakeHost, Fault};
    use crate::journal::TransactionKind;
    use serde_json::json;
    use std::collections::BTreeMap;

    const TX: TransactionId = TransactionId(1);
    /// So long that the clock of a fake host, which goes on with each look at it, doesn't come near.
    const TIMEOUT: Duration = Duration::from_secs(100_000);

    /// `wall` is the way in; `web` depends on it, and `free` on nothing.
    fn nodes() -> Vec<Node> {
        vec![of("word:free", "free", &[], -1), of("word:wall", "wall", &[], 0), of("word:web", "web", &[], 1)]
    }

    fn terms() -> Terms {
        let modules = vec!["web".to_owned(), "wall".to_owned()];
        Terms { resources: vec![ResourceId::new("word", "wall")], modules, timeout: TIMEOUT }
    }

    /// What `install` does from its first write to its last.
    fn armed_install(works: &Works<'_>, resumed: Option<TransactionId>) {
        let (nodes, policy) = (nodes(), policy(1));
        let order = Order::of(&nodes).unwrap();
        let plan = Plan::make(&nodes, &order, works.host).unwrap();
        let tx = resumed.unwrap_or_else(|| works.journal.begin(&begin(TransactionKind::Install, json!({}))).unwrap());
        if works.journal.confirmation(tx).unwrap().is_none() {
            arm(works, tx, &terms()).unwrap();
        }
        if !plan.is_empty() {
            apply::apply(works, nodes, &order, &plan, tx, &policy, &Value::Null).unwrap();
        }
        works.journal.set_transaction(tx, TransactionState::Done, Some(works.now()), None).unwrap();
        settle_all(works).unwrap();
    }

    /// What the revert unit does.
    fn wake_up(works: &Works<'_>) -> Vec<Reverted> {
        revert_due(works, &Value::Null, &|| Ok(())).unwrap()
    }

    fn state(bench: &Bench) -> ConfirmationState {
        bench.journal().confirmation(TX).unwrap().unwrap().state
    }

    fn names(tree: &BTreeMap<String, String>) -> Vec<&str> {
        tree.keys().map(String::as_str).collect()
    }

    #[test]
    fn what_nobody_confirms_is_taken_back_with_what_depends_on_it_and_the_rest_stands() {
        let bench = Bench::new();
        let host = FakeHost::new(bench.root());
        let ((), done) = bench.with(&host, |works| armed_install(works, None));
        assert_eq!(done, ["wake in 100000 s", "wake in 100000 s"], "at the arming, and anew at the end");
        assert_eq!(state(&bench), ConfirmationState::Waiting);
        let (early, done) = bench.with(&host, wake_up);
        assert!(early.is_empty() && done[0].starts_with("wake in 99"), "{done:?}");
        host.pause(2 * TIMEOUT);
        let (reverted, done) = bench.with(&host, wake_up);
        assert!(reverted[0].is_complete() && reverted[0].tx == TX);
        assert_eq!(done, ["rest"]);
        assert_eq!(names(&bench.tree()), ["free"]);
        assert_eq!(state(&bench), ConfirmationState::Reverted);
        let (again, done) = bench.with(&host, wake_up);
        assert!(again.is_empty() && done.is_empty());
    }

    #[test]
    fn what_is_confirmed_stays_and_nobody_wakes_up_any_more() {
        let bench = Bench::new();
        let host = FakeHost::new(bench.root());
        bench.with(&host, |works| armed_install(works, None));
        let by = json!({"login_name": "mia"});
        let (confirmed, done) = bench.with(&host, |works| confirm(works, TX, &by).unwrap());
        assert!(confirmed);
        assert_eq!(done, ["rest"]);
        host.pause(2 * TIMEOUT);
        assert!(bench.with(&host, wake_up).0.is_empty());
        assert_eq!(names(&bench.tree()), ["free", "wall", "web"]);
        assert!(!bench.with(&host, |works| confirm(works, TX, &by).unwrap()).0, "it was confirmed already");
    }

    #[test]
    fn wherever_the_process_dies_the_way_in_comes_back_and_recovery_arms_what_it_finishes() {
        let mut reverted = 0;
        for number in 1.. {
            for fault in [Fault::DieBefore, Fault::DieMiddle, Fault::DieAfter] {
                let bench = Bench::new();
                let host = FakeHost::with_fault(bench.root(), number, fault);
                if !dies(&host, || drop(bench.with(&host, |works| armed_install(works, None)))) {
                    assert!(reverted > 3, "{reverted} of its deaths left something to take back");
                    return;
                }
                let when = format!("at {number}, {fault:?}");
                let host = FakeHost::new(bench.root());
                host.pause(2 * TIMEOUT);
                reverted += bench.with(&host, wake_up).0.len();
                if state(&bench) == ConfirmationState::Waiting {
                    host.pause(2 * TIMEOUT);
                    reverted += bench.with(&host, wake_up).0.len();
                }
                let tree = bench.tree();
                assert!(!tree.contains_key("wall") && !tree.contains_key("web"), "{when}: {tree:?}");
                // What is finished after that is armed as it was, and comes back as well.
                bench.with(&host, |works| {
                    let finish = recover(works, Direction::Finish, &Value::Null).unwrap().to_finish;
                    if let Some(row) = finish {
                        armed_install(works, Some(row.id));
                        assert_eq!(state(&bench), ConfirmationState::Waiting, "{when}");
                        host.pause(2 * TIMEOUT);
                        assert!(wake_up(works)[0].is_complete(), "{when}");
                    }
                });
                assert!(!bench.tree().contains_key("wall"), "{when}");
                assert!(bench.journal().open_confirmations().unwrap().is_empty(), "{when}");
            }
        }
    }

    #[test]
    fn a_revert_that_dies_is_gone_on_with_by_the_next_wake_up() {
        for number in 1.. {
            for fault in [Fault::Fail, Fault::DieBefore, Fault::DieAfter] {
                let bench = Bench::new();
                bench.with(&FakeHost::new(bench.root()), |works| armed_install(works, None));
                let host = FakeHost::with_fault(bench.root(), number, fault);
                host.pause(2 * TIMEOUT);
                let died = dies(&host, || drop(bench.with(&host, |works| revert_due(works, &Value::Null, &|| Ok(())))));
                if !died && state(&bench) == ConfirmationState::Reverted {
                    assert_eq!(number, 5, "two files are taken back, and the disk has each");
                    return;
                }
                assert_eq!(state(&bench), ConfirmationState::Reverting);
                // Not even a clock that was set back stops it.
                let (reverted, _) = bench.with(&FakeHost::new(bench.root()), wake_up);
                assert!(reverted[0].is_complete(), "at {number}, {fault:?}");
                assert_eq!(names(&bench.tree()), ["free"]);
                assert_eq!(state(&bench), ConfirmationState::Reverted);
            }
        }
    }

    /// `wall` comes after packages, and so does `web`; somebody else works with packages.
    #[test]
    fn whoever_works_with_packages_keeps_nobody_shut_out() {
        let bench = Bench::new();
        let host = FakeHost::new(bench.root());
        bench.with(&host, |works| {
            let nodes = vec![of("word:early", "wall", &[], -2), of("word:slow", "wall", &["word:early"], -1)];
            let nodes: Vec<Node> = nodes.into_iter().chain(nodes_after("word:slow")).collect();
            let order = Order::of(&nodes).unwrap();
            let plan = Plan::make(&nodes, &order, works.host).unwrap();
            let tx = works.journal.begin(&begin(TransactionKind::Install, json!({}))).unwrap();
            arm(works, tx, &terms()).unwrap();
            apply::apply(works, nodes, &order, &plan, tx, &policy(1), &Value::Null).unwrap();
            settle_all(works).unwrap();
        });
        assert_eq!(names(&bench.tree()), ["early", "free", "slow", "wall", "web"]);
        host.pause(2 * TIMEOUT);
        let seen = std::cell::RefCell::new(Vec::new());
        let wake = |works: &Works<'_>, outcome: fn() -> Result<()>| {
            let ready = || {
                seen.borrow_mut().push(bench.tree().into_keys().collect::<Vec<_>>());
                outcome()
            };
            revert_due(works, &Value::Null, &ready).unwrap()
        };
        let held = || Err(Error::refused("apt-lock-held", "cannot install or remove packages", "apt works"));
        let (reverted, _) = bench.with(&host, |works| wake(works, held));
        assert_eq!(seen.borrow()[0], ["early", "free", "slow"], "before anything is waited for");
        assert_eq!(names(&bench.tree()), ["free", "slow"], "all that waits for nobody");
        let [failed] = &reverted[0].reports.iter().flat_map(|report| &report.failed).collect::<Vec<_>>()[..] else {
            panic!("{reverted:?}");
        };
        assert!(failed.0.to_string() == "word:slow" && failed.1.to_string().contains("apt works"), "{failed:?}");
        assert_eq!(state(&bench), ConfirmationState::Reverting);
        let (reverted, _) = bench.with(&host, |works| wake(works, || Ok(())));
        assert!(reverted[0].is_complete());
        assert_eq!(names(&bench.tree()), ["free"]);
        assert_eq!(state(&bench), ConfirmationState::Reverted);
    }

    fn nodes_after(need: &str) -> Vec<Node> {
        let need = ResourceId::parse(need).unwrap();
        let mut nodes = nodes();
        nodes.iter_mut().filter(|node| node.module != "free").for_each(|node| node.needs.push(need.clone()));
        nodes
    }

    #[test]
    fn a_rollback_by_hand_leaves_nothing_to_confirm() {
        let bench = Bench::new();
        let host = FakeHost::new(bench.root());
        bench.with(&host, |works| armed_install(works, None));
        let (open, done) = bench.with(&host, |works| {
            rollback::roll_back(works, &Target::Module("wall".into()), &Value::Null).unwrap();
            settle_all(works).unwrap()
        });
        assert!(open.is_empty());
        assert_eq!(done, ["rest"]);
        assert_eq!(state(&bench), ConfirmationState::Void);
    }

    #[test]
    fn without_somebody_who_wakes_up_nothing_is_armed() {
        let bench = Bench::new();
        std::fs::write(bench.root().join("x/no-timer"), "").unwrap();
        let host = FakeHost::new(bench.root());
        let (refused, _) = bench.with(&host, |works| {
            works.journal.begin(&begin(TransactionKind::Install, json!({}))).unwrap();
            arm(works, TX, &terms())
        });
        assert!(matches!(refused, Err(Error::Refused { code: "confirm-no-timer", .. })));
        assert_eq!(state(&bench), ConfirmationState::Void);
    }

    #[test]
    fn nobodys_clock_prolongs_the_time_and_a_reboot_does_not_end_it() {
        let bench = Bench::new();
        let host = FakeHost::new(bench.root());
        let boot = |id: &str| {
            std::fs::create_dir_all(bench.root().join("proc/sys/kernel/random")).unwrap();
            std::fs::write(bench.root().join("proc/sys/kernel/random/boot_id"), id).unwrap();
        };
        boot("one\n");
        bench.with(&host, |works| armed_install(works, None));
        let row = |since: Moment| ConfirmationRow { since, ..bench.journal().confirmation(TX).unwrap().unwrap() };
        let (wall, uptime) = (i64::try_from(host.now()).unwrap(), i64::try_from(host.uptime()).unwrap());
        let hour = 3_600_000_000_000;
        let left = |wall: i64, boot: &str, uptime: i64| {
            remaining(&host, &row(Moment { wall, boot: boot.into(), uptime })).as_secs() / 3600
        };
        // 27 hours and some; within one boot the wall says nothing.
        assert_eq!(left(wall - 20 * hour, "one", uptime - hour), 26);
        assert_eq!(left(wall + 20 * hour, "one", uptime - hour), 26);
        assert_eq!(left(wall - 20 * hour, "zero", uptime), 7);
        assert_eq!(left(wall + 20 * hour, "zero", uptime), 27, "set back: the whole time anew");
        assert_eq!(left(wall - 200 * hour, "zero", uptime), 0);
        let now = row(Moment { wall, boot: "one".into(), uptime });
        assert!(is_new(&host, &now, i128::from(uptime) + 1) && !is_new(&host, &now, i128::from(uptime)));
        boot("two");
        assert!(is_new(&host, &now, 5), "whoever came in after a reboot came in after the change");
    }
}
