//! The harness itself: what every other scenario stands on.

use super::Scenario;
use crate::harness::Machine;
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "a box boots in seconds and all its units are well",
    run: boots,
}];

fn boots() {
    let begun = Instant::now();
    let machine = Machine::boot("fresh");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(20), "the boot took {took:?}");
    assert_eq!(machine.failed_units, Vec::<String>::new());
    assert_eq!(machine.ok("hostname").trim(), "fresh");
    assert_eq!(machine.ok("systemctl is-system-running").trim(), "running");
}
