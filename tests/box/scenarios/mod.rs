//! Every scenario, in one list. A new file of scenarios: a `mod` line and its `SCENARIOS` below.

mod bad_days;
mod beginner;
mod courtesy;
mod harness;
mod kills;
pub mod kinds;
mod packages;
mod program;
mod promise;
mod snapshot;
mod workloads;

/// One test: its name is a sentence.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(),
}

pub fn all() -> Vec<Scenario> {
    [
        harness::SCENARIOS,
        snapshot::SCENARIOS,
        workloads::SCENARIOS,
        kinds::SCENARIOS,
        kills::SCENARIOS,
        beginner::SCENARIOS,
        courtesy::SCENARIOS,
        bad_days::SCENARIOS,
        packages::SCENARIOS,
    ]
    .concat()
}
