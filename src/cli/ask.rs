//! Asking before a change. Without a terminal there is nobody to ask, so `--yes` must have been given.

use super::exit::Exit;
use super::explain::Problem;
use super::session::Session;
use std::io::{BufRead, IsTerminal};

/// Asks; `Err` when the answer is no, or nobody can answer.
pub fn ask(session: &Session<'_>, yes: bool, question: &str) -> Result<(), Problem> {
    if yes {
        return Ok(());
    }
    let why_not = match (session.output.is_json(), std::io::stdin().is_terminal()) {
        (true, _) => Some("with --json no question is put, and --yes was not given"),
        (false, false) => Some("standard input is no terminal, and --yes was not given"),
        (false, true) => None,
    };
    if let Some(why) = why_not {
        return Err(Problem::new(Exit::Usage, "not-confirmed", "nobody can be asked", why)
            // The whole line: a rollback of a module without its name would take back something else.
            .fix(format!("{} --yes", session.line())));
    }
    session.output.error(&format!("{question} [y/N] "));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        return Ok(());
    }
    Err(Problem::new(Exit::Failed, "not-confirmed", "stopped", "the answer was no"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Environment;
    use crate::cli::args::Args;
    use crate::cli::output::Output;
    use crate::cli::session::Site;
    use crate::host::RealHost;
    use clap::Parser;

    #[test]
    fn the_advice_is_the_same_command_and_not_a_wider_one() {
        let args = Args::try_parse_from(["x", "--json", "rollback", "--module", "git"]).unwrap();
        let environment = Environment::default();
        let output = Output::new(&args.global, &environment);
        let line = "vps-configurator rollback --module git";
        let host = RealHost::new("/".into());
        let session = Session::new(&Site::new(&host), &args.global, "rollback", line, &environment, &output);
        let refused = ask(&session, false, "?").unwrap_err();
        assert_eq!(refused.fix, ["vps-configurator rollback --module git --yes"]);
        assert_eq!(refused.why, ["with --json no question is put, and --yes was not given"]);
    }
}
