//! What boxes and virtual machines have in common for those who only want something run there.

use super::{Machine, Output};

/// A machine that runs a shell script as root.
pub trait Shell {
    fn sh(&self, script: &str) -> Output;

    /// Runs a script that must succeed, and returns what it printed.
    #[track_caller]
    fn ok(&self, script: &str) -> String {
        let output = self.sh(script);
        let Output { code, stdout, stderr } = &output;
        assert!(output.success(), "exit code {code} from\n{script}\nstdout:\n{stdout}\nstderr:\n{stderr}");
        output.stdout
    }
}

impl Shell for Machine {
    fn sh(&self, script: &str) -> Output {
        Machine::sh(self, script)
    }
}
