//! One file for each noun of the command line: thin, from arguments to a call of the library and its rendering.

mod completion;
mod config;
mod confirm;
mod finding;
mod install;
mod internal;
mod module;
mod plan;
mod profile;
mod recover;
mod revert;
mod rollback;
mod status;
mod transaction;
mod verify;

pub use transaction::who;

use super::Environment;
use super::args::{Args, Command};
use super::exit::Exit;
use super::explain::Problem;
use super::output::Output;
use super::session::{Session, Site};

/// What a command returns.
pub type Outcome = Result<Exit, Problem>;

/// Runs the command that was asked for on `site`; `line` is how it was asked, for the records.
pub fn run(site: &Site<'_>, args: &Args, line: &str, environment: &Environment, output: &Output) -> Outcome {
    let session = |name: &str| Session::new(site, &args.global, name, line, environment, output);
    match &args.command {
        Command::Install(flags) => install::run(&session("install"), flags),
        Command::Plan(flags) => plan::run(&session("plan"), flags),
        Command::Verify(flags) => verify::run(&session("verify"), flags),
        Command::Rollback(flags) => rollback::run(&session("rollback"), flags),
        Command::Confirm(flags) => confirm::run(&session("confirm"), flags),
        Command::Status => status::run(&session("status")),
        Command::Recover(flags) => recover::run(&session("recover"), flags),
        Command::Transaction(verb) => transaction::run(&session("transaction"), verb),
        Command::Finding(verb) => finding::run(&session("finding"), verb),
        Command::Module(verb) => module::run(&session("module"), verb),
        Command::Profile(verb) => profile::run(&session("profile"), verb),
        Command::Config(verb) => config::run(&session("config"), verb),
        Command::Completion { shell } => completion::run(output, *shell),
        Command::Internal(verb) => internal::run(&session("internal"), verb),
    }
}
