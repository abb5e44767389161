//! `completion`: a shell's completion script.

use super::Outcome;
use crate::cli::exit::Exit;
use crate::cli::generate;
use crate::cli::output::Output;

/// Prints it.
pub fn run(output: &Output, shell: clap_complete::Shell) -> Outcome {
    let (_, script) = generate::completion(shell);
    output.raw(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}
