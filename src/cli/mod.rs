//! The command line: parses, runs one command, explains what went wrong. It owns every word that a person reads.

pub mod args;
pub mod arming;
pub mod ask;
pub mod baseline;
mod broadcast;
pub mod commands;
pub mod debris;
pub mod exit;
pub mod explain;
pub mod forecast;
pub mod generate;
pub mod hooks;
pub mod knock;
pub mod lockout;
pub mod output;
pub mod owed;
pub mod render;
pub mod reports;
pub mod session;
pub mod setup;
pub mod signals;
pub mod story;
mod upstream;
pub mod wizard;

use crate::host::RealHost;
use args::Args;
use clap::Parser;
use exit::Exit;
use output::Output;
use session::Site;
use std::collections::BTreeMap;
use std::ffi::OsString;

/// The environment, as the program was given it. Read here and nowhere else.
pub type Environment = BTreeMap<String, String>;

/// Runs the program with these arguments (the first is its name) and this environment; returns the exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>, environment: Environment) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let args = match Args::try_parse_from(&arguments) {
        Ok(args) => args,
        Err(error) => {
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            // A closed pipe while the help is printed is no failure of ours.
            return match error.print() {
                Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Exit::Failed.code(),
                _ => code.code(),
            };
        }
    };
    let output = Output::new(&args.global, &environment);
    let line = session::recorded(&arguments);
    let host = RealHost::new(args.global.root.clone());
    let exit = match commands::run(&Site::new(&host), &args, &line, &environment, &output) {
        Ok(exit) => exit,
        Err(problem) => {
            output.explain(&problem);
            problem.exit
        }
    };
    output.finish(exit).code()
}
