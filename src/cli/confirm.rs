//! Asking before a change. Without a terminal there is nobody to ask, so `--yes` must have been given.

use super::exit::Exit;
use super::explain::Problem;
use super::session::Session;
use std::io::{BufRead, IsTerminal};

/// Asks; `Err` when the answer is no, or nobody can answer.
pub fn confirm(session: &Session<'_>, yes: bool, question: &str) -> Result<(), Problem> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() || session.output.is_json() {
        return Err(Problem::new(
            Exit::Usage,
            "not-confirmed",
            "nobody can be asked",
            "standard input is no terminal, and --yes was not given",
        )
        .fix(format!("vps-configurator {} --yes", session.command)));
    }
    session.output.error(&format!("{question} [y/N] "));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        return Ok(());
    }
    Err(Problem::new(Exit::Failed, "not-confirmed", "stopped", "the answer was no"))
}
