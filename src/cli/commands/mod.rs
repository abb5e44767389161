//! One file for each noun of the command line: thin, from arguments to a call of the library and its rendering.

mod cache;
mod circuit_breaker;
mod completion;
mod config;
mod confirm;
mod finding;
mod health;
mod install;
mod internal;
mod module;
mod plan;
mod plugin;
mod profile;
mod recover;
mod removal;
mod revert;
mod rollback;
mod status;
mod supply_chain;
mod transaction;
mod verify;
mod wizard;

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
    let run = |name: &str, command: &dyn Fn(&Session<'_>) -> Outcome| {
        let session = Session::new(site, &args.global, name, line, environment, output);
        command(&session).map_err(|problem| session.in_truth(problem))
    };
    match &args.command {
        Command::Install(flags) => run("install", &|session| install::run(session, flags)),
        Command::Wizard(flags) => run("wizard", &|session| wizard::run(session, flags)),
        Command::Plan(flags) => run("plan", &|session| plan::run(session, flags)),
        Command::Verify(flags) => run("verify", &|session| verify::run(session, flags)),
        Command::Rollback(flags) => run("rollback", &|session| rollback::run(session, flags)),
        Command::Confirm(flags) => run("confirm", &|session| confirm::run(session, flags)),
        Command::Status => run("status", &|session| status::run(session)),
        Command::Recover(flags) => run("recover", &|session| recover::run(session, flags)),
        Command::Transaction(verb) => run("transaction", &|session| transaction::run(session, verb)),
        Command::Health(verb) => run("health", &|session| health::run(session, verb)),
        Command::Finding(verb) => run("finding", &|session| finding::run(session, verb)),
        Command::Module(verb) => run("module", &|session| module::run(session, verb)),
        Command::Plugin(verb) => run("plugin", &|session| plugin::run(session, verb)),
        Command::Profile(verb) => run("profile", &|session| profile::run(session, verb)),
        Command::Config(verb) => run("config", &|session| config::run(session, verb)),
        Command::Cache(verb) => run("cache", &|session| cache::run(session, verb)),
        Command::SupplyChain(verb) => run("supply-chain", &|session| supply_chain::run(session, verb)),
        Command::CircuitBreaker(verb) => run("circuit-breaker", &|session| circuit_breaker::run(session, verb)),
        Command::Completion { shell } => completion::run(output, *shell),
        Command::Internal(verb) => run("internal", &|session| internal::run(session, verb)),
    }
}
