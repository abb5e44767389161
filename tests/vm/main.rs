//! Virtual machines: real kernels that are rebooted, with the program at work in them.
//!
//! One binary for both sides: here it runs the scenarios (`cargo test --test vm`), and in a guest, carried there on a
//! disk of its own, it looks at the machine that it runs on. See `README.md` beside this file.

mod agent;
mod guest;
#[allow(dead_code, reason = "the harness of tests/box, of which this suite needs a part")]
#[path = "../box/harness/mod.rs"]
mod harness;
mod image;
mod inside;
#[allow(dead_code, reason = "the words of tests/box for the program, of which this suite needs a part")]
#[path = "../box/scenarios/program.rs"]
mod program;
mod reboot;
mod station;
mod wire;

use image::Image;
use libtest_mimic::{Arguments, Trial};
use station::Station;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

/// A test: its name is a sentence.
struct Scenario {
    name: &'static str,
    run: fn(&Station, &Image),
}

const SCENARIOS: &[Scenario] = &[Scenario {
    name: "beginner stands after a reboot, and a host that it was taken from is as before after another",
    run: reboot::beginner,
}];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(ended) = inside::run(&words) {
        return ended.map_or_else(failed, |()| ExitCode::SUCCESS);
    }
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    // Made by the first scenario that runs; switched off with the last.
    let shared: Arc<Mutex<Option<(Station, Image)>>> = Arc::default();
    let trials = SCENARIOS.iter().map(|scenario| {
        let (shared, run) = (Arc::clone(&shared), scenario.run);
        Trial::test(scenario.name, move || {
            let mut shared = shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let ready = match shared.take() {
                Some(ready) => ready,
                None => prepare().map_err(|why| format!("this machine cannot run virtual machines: {why}"))?,
            };
            let (station, image) = shared.insert(ready);
            run(station, image);
            Ok(())
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    drop(shared);
    conclusion.exit_code()
}

fn prepare() -> Result<(Station, Image), harness::Trouble> {
    harness::prepare()?;
    let station = Station::ready()?;
    let image = Image::ready(&station)?;
    Ok((station, image))
}

fn failed(why: harness::Trouble) -> ExitCode {
    eprintln!("vm: {why}");
    ExitCode::FAILURE
}
