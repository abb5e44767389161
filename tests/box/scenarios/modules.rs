//! What the scenarios of the shipped modules share: a profile comes, is used for real, and goes without a trace.

use super::program::{installed, json, must_be_settled, start, take_all_back, timed};
use crate::harness::Machine;

/// Installs the profile on a fresh server (as the unit does it), proves it, and that a second start finds nothing to do;
/// then lets `used` work with it; then takes everything back. What `used` leaves must be what a rollback may leave.
pub fn there_and_back(name: &str, profile: &str, used: impl FnOnce(&Machine)) {
    let machine = installed(name);
    there_and_back_on(&machine, name, profile, || used(&machine));
}

/// The same, on a server that a scenario has prepared.
pub fn there_and_back_on(machine: &Machine, name: &str, profile: &str, used: impl FnOnce()) {
    profile_on(machine, name, profile);
    let before = machine.snapshot();
    let ((), installing) = timed(|| start(machine, name));
    must_be_settled(machine, name);
    let after = machine.snapshot();
    let (again, settled) = timed(|| json(machine, 0, &format!("install --profile {name} --yes")));
    assert_eq!(again["changes"], 0, "a second run finds nothing to do");
    machine.must_be_as_before(&after);
    used();
    let ((), back) = timed(|| take_all_back(machine, &before));
    println!("{name}: install {installing:.1?}, nothing to do {settled:.2?}, back {back:.1?}");
}

/// Gives the server a profile of that name.
pub fn profile_on(machine: &Machine, name: &str, profile: &str) {
    machine.put_bytes(profile, &format!("/etc/vps-configurator/profiles.d/{name}.yaml"), 0o644);
}
