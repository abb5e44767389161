//! Measures what the program costs, beside others that do the same work in boxes of the same kind, in one run.
//!
//! `cargo test --test performance` for everything, `-- start noop` for some chapters. Nothing is asserted: the report
//! says where a target is missed, and the exit code only whether everything ran. See `README.md` beside this file.

#[path = "../box/harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the box harness has more than is needed here")]
mod harness;

mod chapters;
mod contender;
mod gauge;
mod report;
mod stage;

use report::Report;
use stage::Stage;
use std::process::ExitCode;

/// A chapter of the report: its word on the command line, and what measures it.
type Chapter = (&'static str, fn(&Stage, &mut Report));

const CHAPTERS: &[Chapter] = &[
    ("start", chapters::start),
    ("size", chapters::size),
    ("plan", chapters::plan),
    ("first", chapters::first_run),
    ("noop", chapters::noop),
    ("engine", chapters::engine),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(exit) = gauge::inside(&words) {
        return exit;
    }
    let unknown: Vec<&String> =
        words.iter().filter(|word| CHAPTERS.iter().all(|(name, _)| *name != word.as_str())).collect();
    if !unknown.is_empty() {
        eprintln!("performance: no chapter {unknown:?}; there are start, size, plan, first, noop, engine");
        return ExitCode::FAILURE;
    }
    if let Err(why) = harness::prepare() {
        eprintln!("performance: this machine cannot run boxes: {why}");
        return ExitCode::FAILURE;
    }
    let stage = match Stage::set() {
        Ok(stage) => stage,
        Err(why) => {
            eprintln!("performance: {why}");
            return ExitCode::FAILURE;
        }
    };
    let mut report = Report::new(stage.rounds);
    for (name, measure) in CHAPTERS {
        if words.is_empty() || words.iter().any(|word| word == name) {
            eprintln!("performance: {name}");
            // A chapter that breaks down leaves the others standing.
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| measure(&stage, &mut report))).is_err() {
                report.broken(name);
            }
            // After each chapter: who stops it in the middle of an hour has the first half.
            if let Err(why) = report.keep(&stage.folder) {
                eprintln!("performance: the report cannot be kept: {why}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{}", report.markdown());
    if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
