//! The box: real, booted Debian 13 machines to try the program on.
//!
//! Two things in one binary, since both need the same machinery: the runner of the scenarios
//! (`cargo test --test box`) and, when the first argument is a verb, the developers' workbench
//! (`cargo test -q --test box -- up mybox`). See `README.md` beside this file.

mod harness;
mod scenarios;
mod workbench;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(exit) = workbench::run(&words) {
        return exit;
    }
    if let Some(ended) = scenarios::kinds::inside(&words) {
        return ended.map_or_else(
            |why| {
                eprintln!("box: {why}");
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        );
    }
    let mut arguments = Arguments::from_args();
    // A third of its time a scenario waits: for the mirror, for a boot, for a time to come.
    arguments.test_threads.get_or_insert_with(|| 1 + std::thread::available_parallelism().map_or(2, usize::from));
    let skip = std::env::var("VPS_BOX").is_ok_and(|value| value == "skip");
    let trials: Vec<Trial> = scenarios::all()
        .into_iter()
        .map(|scenario| {
            let run = scenario.run;
            let unable = scenarios::unable(&scenario);
            if let (Some(why), false, true) = (unable, arguments.list, wanted(&arguments, scenario.name)) {
                eprintln!("box: not run, because {why}: {}", scenario.name);
            }
            Trial::test(scenario.name, move || {
                run();
                Ok(())
            })
            .with_ignored_flag(skip || unable.is_some())
        })
        .collect();
    if skip {
        eprintln!("box: skipped, because VPS_BOX=skip");
    } else if !arguments.list
        && trials.iter().any(|trial| wanted(&arguments, trial.name()))
        && let Err(why) = harness::prepare()
    {
        eprintln!("box: this machine cannot run boxes: {why}");
        eprintln!("box: set VPS_BOX=skip to leave these tests out");
        return ExitCode::FAILURE;
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The same choice libtest makes, so that `cargo test some_unit_test` doesn't make a base image first.
fn wanted(arguments: &Arguments, name: &str) -> bool {
    let matches = |pattern: &String| {
        if arguments.exact { name == pattern } else { name.contains(pattern.as_str()) }
    };
    arguments.filter.as_ref().is_none_or(matches) && !arguments.skip.iter().any(matches)
}
