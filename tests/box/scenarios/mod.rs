//! Every scenario, in one list. A new file of scenarios: a `mod` line and its `SCENARIOS` below.

mod bad_days;
mod beginner;
mod checkers;
mod confirm;
mod courtesy;
mod deployment;
mod desktop;
mod dpkg;
mod drift;
mod dropped;
mod edited;
mod harness;
mod health;
mod kills;
pub mod kinds;
mod languages;
mod modules;
mod offline;
mod packages;
mod plugins;
mod power;
mod profiles;
mod program;
mod promise;
mod servers;
mod services;
mod snapshot;
mod third_party;
mod tools;
mod watched;
mod wizard;
mod workloads;

use crate::harness::drive;

/// One test: its name is a sentence.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(),
}

/// Why this machine can't run a scenario that others can. None: it can, as far as is known before it is tried.
pub fn unable(scenario: &Scenario) -> Option<&'static str> {
    let mut on_a_drive = [&[harness::CUT_DRIVE], power::LONG].concat().into_iter();
    if on_a_drive.any(|it| it.name == scenario.name) { drive::missing() } else { None }
}

pub fn all() -> Vec<Scenario> {
    let long = std::env::var("VPS_BOX_LONG").is_ok_and(|value| value == "1");
    [
        harness::SCENARIOS,
        snapshot::SCENARIOS,
        workloads::SCENARIOS,
        watched::SCENARIOS,
        health::SCENARIOS,
        kinds::SCENARIOS,
        kills::SCENARIOS,
        if long { kills::LONG } else { &[] },
        if long { power::LONG } else { &[] },
        if long { languages::LONG } else { &[] },
        if long { desktop::LONG } else { &[] },
        if long { profiles::LONG } else { &[] },
        if long { tools::LONG } else { &[] },
        servers::SCENARIOS,
        if long { servers::LONG } else { &[] },
        beginner::SCENARIOS,
        profiles::SCENARIOS,
        wizard::SCENARIOS,
        confirm::SCENARIOS,
        courtesy::SCENARIOS,
        dropped::SCENARIOS,
        edited::SCENARIOS,
        if long { dpkg::LONG } else { &[] },
        if long { drift::LONG } else { &[] },
        bad_days::SCENARIOS,
        services::SCENARIOS,
        packages::SCENARIOS,
        plugins::SCENARIOS,
        offline::SCENARIOS,
        third_party::SCENARIOS,
        if long { checkers::LONG } else { &[] },
        if long { deployment::LONG } else { &[] },
    ]
    .concat()
}
