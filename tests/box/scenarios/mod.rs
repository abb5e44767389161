//! Every scenario, in one list. A new file of scenarios: a `mod` line and its `SCENARIOS` below.

mod harness;
pub mod kinds;
mod packages;

/// One test: its name is a sentence.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(),
}

pub fn all() -> Vec<Scenario> {
    [harness::SCENARIOS, kinds::SCENARIOS, packages::SCENARIOS].concat()
}
