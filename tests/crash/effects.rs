//! An error, and death before, in the middle of and after every effect.

use crate::bench::{Bench, dies};
use vps_configurator::engine::recover::Direction;
use vps_configurator::host::fake::Fault;

/// Files of each sort, people, kernel settings, and a unit with its file.
const FILES: &[&str] = &["base", "people", "kernel", "own"];
/// Packages with a unit and its configuration.
const PACKAGES: &[&str] = &["base", "web"];

const DEATHS: [Fault; 3] = [Fault::DieBefore, Fault::DieMiddle, Fault::DieAfter];

/// How many effects an install and its rollback have.
fn effects(modules: &'static [&'static str]) -> (u64, u64) {
    let bench = Bench::new(modules);
    let host = bench.host();
    let report = bench.install(&host, None).unwrap();
    assert!(bench.is_installed(), "{:?} {:?}", report.state, report.failures);
    let back = bench.host();
    assert!(bench.roll_back(&back).is_complete());
    bench.must_be_back("without a fault");
    (host.effects(), back.effects())
}

/// All faults at effects 1 to `last`: dying after one is dying before the next, so that counts for the last alone.
fn faults(last: u64) -> Vec<(u64, Fault)> {
    let all = (1..=last).flat_map(|number| DEATHS.map(|fault| (number, fault)));
    all.filter(|(number, fault)| *fault != Fault::DieAfter || *number == last).collect()
}

/// Does `work` for each of `points` on two threads; says how many there were.
fn each<T: Sync>(what: &str, points: &[T], work: impl Fn(&T) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst)) {
                    work(point);
                }
            });
        }
    });
    println!("{what}: {} points", points.len());
}

fn an_install_that_dies(modules: &'static [&'static str], what: &str) {
    let (last, _) = effects(modules);
    let mut points = Vec::new();
    for (n, (number, fault)) in faults(last).into_iter().enumerate() {
        points.push((number, fault, if n % 2 == 0 { Direction::Finish } else { Direction::Undo }));
        points.push((number, fault, if n % 2 == 0 { Direction::Undo } else { Direction::Finish }));
    }
    each(
        &format!("{what}: death in an install of {last} effects, both directions"),
        &points,
        |(number, fault, direction)| {
            let when = format!("{what}: {fault:?} at {number} of {last}, {direction:?}");
            let bench = Bench::new(modules);
            let host = bench.faulty(*number, *fault);
            assert!(dies(&host, || drop(bench.install(&host, None))), "{when}: it did not die");
            bench.recover(&bench.host(), *direction);
            if *direction == Direction::Finish {
                assert!(bench.is_installed(), "{when}: not finished");
                assert!(bench.roll_back(&bench.host()).is_complete(), "{when}");
            }
            bench.must_be_back(&when);
        },
    );
}

fn an_error_in_an_install(modules: &'static [&'static str], what: &str) {
    let (last, _) = effects(modules);
    let points: Vec<u64> = (1..=last).collect();
    each(&format!("{what}: an error in an install"), &points, |number| {
        let when = format!("{what}: an error at {number} of {last}");
        let bench = Bench::new(modules);
        let report = bench.install(&bench.faulty(*number, Fault::Fail), None).unwrap();
        assert!(report.is_undo_complete(), "{when}: {:?} {:?}", report.failures, report.rollbacks);
        assert!(bench.roll_back(&bench.host()).is_complete(), "{when}");
        bench.must_be_back(&when);
    });
}

fn a_rollback_that_dies_or_fails(modules: &'static [&'static str], what: &str) {
    let (_, last) = effects(modules);
    let mut points = faults(last);
    points.extend((1..=last).map(|number| (number, Fault::Fail)));
    each(&format!("{what}: death and errors in a rollback of {last} effects"), &points, |(number, fault)| {
        let when = format!("{what}: {fault:?} at {number} of {last} of a rollback");
        let bench = Bench::new(modules);
        bench.install(&bench.host(), None);
        let host = bench.faulty(*number, *fault);
        let died = dies(&host, || drop(bench.roll_back(&host)));
        assert_eq!(died, *fault != Fault::Fail, "{when}");
        bench.recover(&bench.host(), Direction::Finish);
        bench.roll_back(&bench.host());
        bench.must_be_back(&when);
    });
}

fn a_recovery_that_dies(modules: &'static [&'static str], what: &str, stride: usize) {
    let (last, _) = effects(modules);
    let mut points = Vec::new();
    for first in (1..=last).step_by(stride) {
        for direction in [Direction::Finish, Direction::Undo] {
            points.push((first, direction));
        }
    }
    let count = std::sync::atomic::AtomicUsize::new(0);
    each(&format!("{what}: recoveries, each dying at every third effect"), &points, |(first, direction)| {
        for second in (1..).step_by(3) {
            let when = format!("{what}: death at {first}, then at {second} of its recovery, {direction:?}");
            let bench = Bench::new(modules);
            let host = bench.faulty(*first, Fault::DieMiddle);
            assert!(dies(&host, || drop(bench.install(&host, None))), "{when}");
            let host = bench.faulty(second, Fault::DieMiddle);
            let died = dies(&host, || bench.recover(&host, *direction));
            bench.recover(&bench.host(), *direction);
            bench.roll_back(&bench.host());
            bench.must_be_back(&when);
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if !died {
                break;
            }
        }
    });
    println!("{what}: {} double deaths", count.into_inner());
}

#[test]
fn files_people_and_units_survive_death_at_every_effect_of_an_install() {
    an_install_that_dies(FILES, "files");
}

#[test]
fn files_people_and_units_survive_an_error_at_every_effect() {
    an_error_in_an_install(FILES, "files");
}

#[test]
fn files_people_and_units_survive_death_and_errors_in_a_rollback() {
    a_rollback_that_dies_or_fails(FILES, "files");
}

#[test]
fn files_people_and_units_survive_death_in_a_recovery() {
    a_recovery_that_dies(&["base", "own"], "files", 3);
}

#[test]
fn packages_survive_death_at_every_effect_of_an_install() {
    an_install_that_dies(PACKAGES, "packages");
}

#[test]
fn packages_survive_an_error_at_every_effect() {
    an_error_in_an_install(PACKAGES, "packages");
}

#[test]
fn packages_survive_death_and_errors_in_a_rollback() {
    a_rollback_that_dies_or_fails(PACKAGES, "packages");
}
