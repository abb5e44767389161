//! Every scenario, in one list. A new file of scenarios: a `mod` line and its `SCENARIOS` below.

mod harness;
pub mod kinds;
mod packages;
mod snapshot;
mod workloads;

/// One test: its name is a sentence.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(),
}

pub fn all() -> Vec<Scenario> {
    [harness::SCENARIOS, snapshot::SCENARIOS, workloads::SCENARIOS, kinds::SCENARIOS, packages::SCENARIOS].concat()
}
