//! A program to run, and what came of it.

use super::text_of;
use std::path::PathBuf;
use std::time::Duration;

/// Where this stands in an argument, the program is given the number of a pipe's descriptor, whose lines go to the
/// callback of [`run_watched`](super::Host::run_watched): `APT::Status-Fd={status_fd}`.
pub const STATUS_FD: &str = "{status_fd}";

/// A program with its arguments. Never a shell line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program's name, looked up in the fixed path `/usr/sbin:/usr/bin:/sbin:/bin`, or an absolute path.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment beside the fixed one (`PATH`, `LC_ALL=C.UTF-8`, `HOME=/root`, `DEBIAN_FRONTEND=noninteractive`,
    /// `TERM=dumb`, `NEEDRESTART_SUSPEND=1`).
    pub env: Vec<(String, String)>,
    /// What it reads; nothing when empty.
    pub stdin: Vec<u8>,
    /// How long it may take; then its process group gets SIGTERM and, 2 s later, SIGKILL.
    pub timeout: Duration,
    /// Run as this user (name), with that user's groups and home.
    pub user: Option<String>,
    /// Working directory; `/` unless said.
    pub directory: Option<PathBuf>,
    /// Exit codes that are no failure.
    pub accept: Vec<i32>,
    /// May not be shown: arguments or input hold a secret.
    pub secret: bool,
}

impl Command {
    /// `program` without arguments, one minute, exit code 0 accepted.
    pub fn new(program: impl Into<String>) -> Self {
        Command {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            stdin: Vec::new(),
            timeout: Duration::from_secs(60),
            user: None,
            directory: None,
            accept: vec![0],
            secret: false,
        }
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
    pub fn args<I: IntoIterator<Item = S>, S: Into<String>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// One more environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What it reads.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// How long it may take.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// Exit codes that are no failure, in place of 0 alone.
    pub fn accept(mut self, codes: &[i32]) -> Self {
        self.accept = codes.to_vec();
        self
    }

    /// The command as a person would type it; secrets are left out.
    pub fn shown(&self) -> String {
        if self.secret {
            return format!("{} (arguments not shown)", self.program);
        }
        let mut line = self.program.clone();
        for arg in &self.args {
            line.push(' ');
            let plain = !arg.is_empty() && arg.chars().all(|c| c.is_ascii_alphanumeric() || "@%+=:,./-_{}".contains(c));
            if plain {
                line.push_str(arg);
            } else {
                line.push_str(&format!("'{}'", arg.replace('\'', r"'\''")));
            }
        }
        line
    }
}

/// How a program ended and what it wrote (each stream up to 4 MiB, the middle left out beyond that).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The exit code; 128 + n when signal n ended it.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Standard output as text.
    pub fn text(&self) -> String {
        text_of(&self.stdout).into_owned()
    }
}
