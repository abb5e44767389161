//! The whole process tree is killed at random moments, the power is cut: the next start finishes or takes back by itself.

use super::Scenario;
use super::program::{Dice, installed, must_be_settled, program, start, story, take_all_back, timed, unit};
use crate::harness::Machine;
use std::time::Duration;

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "an install and a rollback killed at random moments converge without a person",
        run: || killed("small", 5, 2),
    },
    Scenario { name: "a power cut during an install is mended at the next boot", run: power_cut },
];

/// Those that take long: with `VPS_BOX_LONG=1`, before a release.
pub const LONG: &[Scenario] = &[Scenario {
    name: "beginner killed while it installs and while it is taken back converges",
    run: || killed("beginner", 5, 2),
}];

/// A rollback as a unit, so that it can be killed with all its children.
const ROLLBACK: &str = "vps-rollback.service";

/// Where the program runs apt, so that apt can outlive it.
const APT: &str = "vps-configurator-apt.service";

/// In each round the install is killed `cuts` times before it may end, then the rollback once.
fn killed(profile: &str, rounds: u32, cuts: u32) {
    let machine = installed("killed");
    let mut dice = Dice::new(profile);
    let before = machine.snapshot();
    // One undisturbed run for the small profile says how long it takes; it also leaves the packages in apt's cache.
    let (whole, back) = if profile == "small" {
        let (_, whole) = timed(|| start(&machine, profile));
        must_be_settled(&machine, profile);
        let (_, back) = timed(|| take_all_back(&machine, &before));
        println!("{profile}: install {whole:.1?}, rollback {back:.1?}");
        (whole, back)
    } else {
        (Duration::from_secs(100), Duration::from_secs(50))
    };
    for round in 0..rounds {
        // Spread over the run: the first cut of each round has its own part of it, the others lie in what is left.
        let part = f64::from(round) / f64::from(rounds);
        let mut left = whole;
        for cut in 0..cuts {
            let at = if cut == 0 {
                dice.share(left, part, part + 1.0 / f64::from(rounds))
            } else {
                dice.share(left, 0.0, 1.0)
            };
            left = left.saturating_sub(at);
            // Every third kill leaves apt alone, which then outlives the program.
            let victims = if (round * cuts + cut) % 3 == 2 { 1 } else { 2 };
            let units = [&unit(profile), APT];
            let was =
                kill_after(&machine, &["systemctl", "start", "--no-block", &unit(profile)], &units[..victims], at);
            println!("{profile} round {round}: install killed after {at:.2?}, {victims} units: {was}");
        }
        let (_, healed) = timed(|| start(&machine, profile));
        must_be_settled(&machine, profile);
        let at = dice.share(back, part, part + 1.0 / f64::from(rounds));
        let command = [
            "systemd-run",
            "--quiet",
            "--collect",
            "--unit",
            ROLLBACK,
            "vps-configurator",
            "rollback",
            "--to",
            "0",
            "-y",
        ];
        let was = kill_after(&machine, &command, &[ROLLBACK, APT], at);
        println!("{profile} round {round}: converged in {healed:.1?}; rollback killed after {at:.2?}: {was}");
        take_all_back(&machine, &before);
        assert_eq!(program(&machine, "status").code, 0);
    }
}

/// Starts something and kills all processes of the units after a while; says what the first was doing then.
fn kill_after(machine: &Machine, command: &[&str], units: &[&str], at: Duration) -> String {
    assert!(machine.run(command).success(), "{}", story(machine));
    std::thread::sleep(at);
    let (unit, all) = (units[0], units.join(" "));
    let was = machine.sh(&format!("systemctl show -P ActiveState {unit}; systemctl show -P StatusText {unit}")).stdout;
    // The units that are there: asked for in one call, so that they die at once.
    machine.sh(&format!(
        "systemctl kill --kill-whom=all -s KILL $(systemctl list-units -q --plain --no-legend {all} | cut -d' ' -f1)"
    ));
    machine.ok(&format!(
        "for i in $(seq 100); do case $(systemctl show -P ActiveState {unit}) in inactive|failed) exit 0;; esac; \
         sleep 0.1; done; exit 1"
    ));
    machine.sh(&format!("systemctl reset-failed {all}"));
    was.trim().replace('\n', ", ")
}

fn power_cut() {
    let mut machine = installed("powercut");
    let mut dice = Dice::new("power cut");
    let before = machine.snapshot();
    for part in [0.2, 0.6] {
        let at = dice.share(Duration::from_secs(25), part, part + 0.3);
        machine.ok(&format!("systemctl start --no-block {}", unit("small")));
        std::thread::sleep(at);
        machine.power_cut();
        machine.boot_again();
        println!("power cut after {at:.2?}");
        // With the package, boot has started it already, and this waits for its end.
        let recovery = machine.sh("systemctl start vps-configurator-recover.service");
        assert_eq!(recovery.code, 0, "{}", story(&machine));
        if program(&machine, "verify --profile small").code != 0 {
            // The cut came before the transaction had begun: there was nothing to recover.
            assert_eq!(program(&machine, "status").code, 0, "{}", story(&machine));
            start(&machine, "small");
        }
        must_be_settled(&machine, "small");
        take_all_back(&machine, &before);
    }
}
