//! What the suites share: a tree that stands for a Debian 13 host, the built program run on it, and trees compared.

#![allow(dead_code, reason = "each suite is a program of its own and uses a part")]

pub mod listing;
pub mod repository;
pub mod snapshot;
pub mod tree;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The top folder of the project.
pub fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The built program, with the environment of a quiet shell.
pub fn program(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vps-configurator"));
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8").env("COLUMNS", "80");
    command.arg("--root").arg(root).stdin(Stdio::null());
    command
}

/// How a run of the program ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The exit code; 128 and the signal when one killed it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// From what the standard library says.
    pub fn of(output: &Output) -> Ran {
        use std::os::unix::process::ExitStatusExt;
        let signal = || 128 + output.status.signal().unwrap_or(0);
        Ran {
            code: output.status.code().unwrap_or_else(signal),
            out: String::from_utf8(output.stdout.clone()).unwrap(),
            err: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }

    /// The same, when the code is this one.
    #[track_caller]
    pub fn ends(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "\n--- out\n{}\n--- err\n{}", self.out, self.err);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}\n--- out\n{}\n--- err\n{}", self.out, self.err))
    }
}

impl tree::Tree {
    /// Runs the program on this tree.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ran {
        Ran::of(&program(self.root()).args(arguments).output().unwrap())
    }

    /// Runs it with the words of one line.
    pub fn call(&self, line: &str) -> Ran {
        self.run(line.split(' '))
    }
}
