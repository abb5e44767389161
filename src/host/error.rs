//! What can go wrong with the machine. The words for people are made in `cli::explain`.

use std::io;
use std::path::PathBuf;

/// The result of anything that touches the machine.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {act} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "write", "remove"...
        act: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The program is not installed.
    #[error("the program {program} is not installed")]
    NoProgram {
        /// Its name.
        program: String,
    },
    /// The program ended with a code that is not accepted.
    #[error("{command} exited {code}: {tail}")]
    Failed {
        /// The command as a person would type it.
        command: String,
        /// Its exit code; 128 + n for signal n.
        code: i32,
        /// The last lines that it wrote, standard error first choice.
        tail: String,
    },
    /// The program took longer than it may.
    #[error("{command} did not end within {seconds} s")]
    TimedOut {
        /// The command as a person would type it.
        command: String,
        /// What it was given.
        seconds: u64,
    },
    /// No view with candidates over the real files can be made here: no right to, as in many containers.
    #[error("no private view of the files can be made here: {why}")]
    NoView {
        /// What was tried, and why it was refused.
        why: String,
    },
    /// A change was tried where none is allowed: a dry run, or a read-only host.
    #[error("refused in a dry run: {what}")]
    ReadOnly {
        /// The change.
        what: String,
    },
    /// Another process holds the lock.
    #[error("{} is locked by {holder}", path.display())]
    Locked {
        /// The lock's file.
        path: PathBuf,
        /// Who holds it: pid, what it runs, since when.
        holder: String,
    },
    /// Something is not what it must be (a file in place of a directory, text that does not parse).
    #[error("{}: {what}", path.display())]
    Unexpected {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A test made this effect fail.
    #[error("injected failure at effect {0}")]
    Injected(u64),
}
