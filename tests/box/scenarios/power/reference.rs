//! What an undisturbed run makes of a box, and how much it writes for that: the measure of the disturbed ones.

use super::trial::{Bench, SETTINGS, set};
use crate::harness::Snapshot;
use crate::scenarios::program::{must_be_settled, program, start, story};

pub struct Reference {
    /// The box after a boot, before anything is installed.
    pub before: Snapshot,
    /// After the install and a boot.
    pub after: Snapshot,
    /// Writes of the drive during the install.
    pub install: u64,
    /// Writes of the drive while all of it is taken back.
    pub rollback: u64,
}

impl Reference {
    /// There and back. Leaves the packages in apt's cache, so that the rounds take what they need from there.
    pub fn made(bench: &mut Bench, profile: &str, fast: bool) -> Self {
        let machine = &mut bench.machine;
        machine.reboot();
        let before = machine.whole();
        set(machine, "finish", fast);
        let begun = machine.writes();
        start(machine, profile);
        machine.ok(&format!("rm {SETTINGS}; sync"));
        let install = machine.writes() - begun;
        must_be_settled(machine, profile);
        machine.reboot();
        must_be_settled(machine, profile);
        let after = machine.whole();
        let begun = machine.writes();
        let output = program(machine, "rollback --to 0 --yes");
        assert_eq!(output.code, 0, "{}\n{}\n{}", output.stdout, output.stderr, story(machine));
        machine.ok("sync");
        let rollback = machine.writes() - begun;
        // A round that lost something leaves the next one this.
        machine.keep_drive();
        let lines = machine.differences_to(&before, &machine.whole());
        assert!(lines.is_empty(), "taken back undisturbed, {profile} leaves:\n{}", lines.join("\n"));
        println!("{profile}: {install} writes for the install, {rollback} for the way back");
        Reference { before, after, install, rollback }
    }
}
