//! `internal`: what units and the package build call.

use super::Outcome;
use crate::cli::args::{Generated, Internal};
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::generate;
use crate::cli::session::Session;
use clap_complete::Shell;

/// Runs one of them.
pub fn run(session: &Session<'_>, verb: &Internal) -> Outcome {
    match verb {
        Internal::Revert => super::revert::run(session),
        Internal::MayRemove => super::removal::run(session),
        Internal::Generate { what, dir } => {
            let files = match what {
                Generated::Man => generate::manual_pages().map_err(|e| cannot_write(dir, &e))?,
                Generated::Completion => [Shell::Bash, Shell::Zsh, Shell::Fish].map(generate::completion).to_vec(),
                Generated::Reference => super::module::reference(session)?,
                Generated::Schema => vec![("vps-configurator.json".to_owned(), super::config::schema(session)?)],
            };
            generate::write(dir, &files).map_err(|e| cannot_write(dir, &e))?;
            Ok(Exit::Done)
        }
    }
}

fn cannot_write(dir: &std::path::Path, error: &std::io::Error) -> Problem {
    Problem::new(Exit::Failed, "cannot-write", format!("cannot write into {}", dir.display()), error.to_string())
        .fix("name a directory that can be written")
}
