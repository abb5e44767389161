//! Every failure in the words that an administrator needs: what failed, what state the host is in, why, how to mend
//! it, and a stable code that `docs/reference/errors.md` explains.

use super::exit::Exit;
use crate::{engine, host, journal};
use serde_json::{Value, json};

/// A failure, explained.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The stable code: words with hyphens.
    pub code: String,
    /// What could not be done.
    pub what: String,
    /// The state that the host is in now.
    pub state: String,
    /// Why.
    pub why: Vec<String>,
    /// How to mend it.
    pub fix: Vec<String>,
    /// The command that shows more.
    pub details: Option<String>,
    /// The hosts that gave no answer, where that is why.
    pub hosts: Vec<String>,
    /// The exit code.
    pub exit: Exit,
}

/// The state of a host that nothing was done to.
pub const UNTOUCHED: &str = "nothing was changed";

/// The state of a host that a run had begun to change when something else failed.
pub const BEGUN: &str =
    "no longer as this run found it: vps-configurator status tells what stands and what is left over";

impl Problem {
    /// Nothing was touched, and the program ends with `exit`.
    pub fn new(exit: Exit, code: &str, what: impl Into<String>, why: impl Into<String>) -> Self {
        Problem {
            code: code.to_owned(),
            what: what.into(),
            state: UNTOUCHED.to_owned(),
            why: why.into().lines().map(str::to_owned).collect(),
            fix: Vec::new(),
            details: None,
            hosts: Vec::new(),
            exit,
        }
    }

    /// One more way to mend it.
    pub fn fix(mut self, line: impl Into<String>) -> Self {
        self.fix.push(line.into());
        self
    }

    /// The state that the host is in.
    pub fn state(mut self, state: impl Into<String>) -> Self {
        self.state = state.into();
        self
    }

    /// The form of design.md section 6.
    pub fn text(&self) -> String {
        let mut text = format!("error: {}\n", self.what);
        let mut field = |name: &str, lines: &[String]| {
            for (n, line) in lines.iter().enumerate() {
                let head = if n == 0 { format!("{name}:") } else { String::new() };
                text.push_str(format!("  {head:<6} {line}").trim_end());
                text.push('\n');
            }
        };
        field("state", std::slice::from_ref(&self.state));
        field("why", &self.why);
        field("fix", &self.fix);
        text.push_str(&format!("  code:  {}", self.code));
        if let Some(details) = &self.details {
            text.push_str(&format!("      details: {details}"));
        }
        text.push('\n');
        text
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        json!({
            "status": self.exit.word(),
            "error_code": self.code,
            "error_message": self.what,
            "host_state": self.state,
            "error_details": {"what": self.what, "why": self.why.join("\n"), "how": self.fix},
            "details": self.details,
            "exit_code": self.exit.code(),
        })
    }
}

impl From<engine::Error> for Problem {
    fn from(error: engine::Error) -> Self {
        Problem::of(&error)
    }
}

impl From<host::Error> for Problem {
    fn from(error: host::Error) -> Self {
        Problem::of_host(&error)
    }
}

impl From<journal::Error> for Problem {
    fn from(error: journal::Error) -> Self {
        Problem::of_journal(&error)
    }
}

impl Problem {
    /// A failure of the engine or of a resource, explained.
    pub fn of(error: &engine::Error) -> Self {
        match error {
            engine::Error::Host(error) => Problem::of_host(error),
            engine::Error::Journal(error) => Problem::of_journal(error),
            engine::Error::Refused { code, what, why, fix, .. } => {
                let mut problem = Problem::new(Exit::Failed, code, what, why);
                problem.fix.clone_from(fix);
                problem
            }
            engine::Error::Unreachable { what, hosts, why } => {
                let from = if hosts.is_empty() { "the mirrors".to_owned() } else { hosts.join(", ") };
                let mut problem =
                    Problem::new(Exit::Failed, "network-unreachable", format!("cannot fetch {what} from {from}"), why)
                        .fix("see that the host has a route and a name server: ip route; getent hosts deb.debian.org")
                        .fix("then run the same command again");
                problem.hosts.clone_from(hosts);
                problem
            }
            engine::Error::NotVerified { id, left } => Problem::new(
                Exit::Failed,
                "not-verified",
                format!("{id} did not become as wanted"),
                format!("after the change there was still to do: {left}"),
            )
            .fix("something else may be setting it back: look for another tool that manages it"),
            engine::Error::UnknownRecord { kind, version } => Problem::new(
                Exit::Failed,
                "undo-record-unknown",
                "cannot read an undo record",
                format!("its kind is {kind}, version {version}; a newer vps-configurator wrote it"),
            )
            .fix("install the version that made the change, or a newer one"),
            engine::Error::BadRecord { kind, why } => {
                Problem::new(Exit::Failed, "undo-record-bad", format!("cannot read the undo record of {kind}"), why)
                    .fix("restore /var/lib/vps-configurator from a backup")
            }
            engine::Error::Cycle { path } => {
                Problem::new(Exit::Usage, "resource-cycle", "resources wait for each other", path.join(" -> "))
                    .fix("remove one of these needs in the module's manifest")
            }
            engine::Error::Dangling { id, needs, origin } => Problem::new(
                Exit::Usage,
                "resource-missing",
                format!("{id} needs {needs}, which no enabled module declares"),
                format!("it is written in {origin}"),
            )
            .fix("declare it, or correct the name"),
            engine::Error::TwoOwners { id, first, second } => Problem::new(
                Exit::Usage,
                "two-owners",
                format!("two modules want to own {id}"),
                format!("{first}\n{second}"),
            )
            .fix("remove it from one of them"),
            engine::Error::Moved { id } => Problem::new(
                Exit::Failed,
                "host-moved",
                format!("{id} changed since the plan was made"),
                "the plan would not do what it said",
            )
            .fix("run vps-configurator plan again"),
            engine::Error::UndoIncomplete { transaction } => Problem::new(
                Exit::UndoIncomplete,
                "undo-incomplete",
                "an earlier rollback is unfinished",
                format!("transaction {transaction} could not be taken back whole"),
            )
            .state("partly rolled back; nothing more is applied until this is resolved")
            .fix(format!("see why: vps-configurator transaction show {transaction}"))
            .fix("mend it, then run the rollback that failed again (rollback, or rollback --module NAME)"),
        }
    }

    fn of_host(error: &host::Error) -> Self {
        let text = error.to_string();
        match error {
            host::Error::Io { act, path, source } => {
                let what = format!("cannot {act} {}", path.display());
                let problem =
                    |code, fix: &str| Problem::new(Exit::Failed, code, what.clone(), source.to_string()).fix(fix);
                match source.raw_os_error() {
                    Some(30) => problem("read-only", "mount the file system writable, or look why it is not: dmesg"),
                    Some(28) => problem("disk-full", "make room: apt-get clean, journalctl --vacuum-size=100M, df -h"),
                    Some(13 | 1) => problem(
                        "not-permitted",
                        "run it as root; where root is refused, too: lsattr tells what chattr +i holds",
                    ),
                    _ => problem("file-error", "look at the path and its file system"),
                }
            }
            host::Error::NoProgram { program } => {
                Problem::new(Exit::Failed, "program-missing", format!("cannot run {program}"), "it is not installed")
                    .fix(format!("find its package: apt-file search bin/{program}"))
            }
            host::Error::Failed { command, code, tail } => {
                Problem::new(Exit::Failed, "command-failed", format!("{command} exited {code}"), tail)
                    .fix("mend what it says, and run the same command again")
            }
            host::Error::TimedOut { command, seconds } => Problem::new(
                Exit::Failed,
                "command-timeout",
                format!("{command} did not end"),
                format!("it was given {seconds} s"),
            )
            .fix("look at what it waits for, and run the same command again"),
            host::Error::NoView { why } => {
                Problem::new(Exit::Failed, "view-impossible", "cannot look at the changed files beforehand", why)
                    .fix("run it where mount namespaces are allowed (a container needs CAP_SYS_ADMIN)")
            }
            host::Error::ReadOnly { what } => {
                Problem::new(Exit::Failed, "dry-run", "a dry run tried to change something", what)
                    .fix("this is a bug: please report it")
            }
            host::Error::Locked { holder, .. } => {
                Problem::new(Exit::Locked, "lock-held", "another run is under way", holder)
                    .fix("wait for it to end, then run the same command again")
            }
            host::Error::Unexpected { path, what } => {
                Problem::new(Exit::Failed, "unexpected", format!("{} is not as expected", path.display()), what)
                    .fix("put it right by hand, and run the same command again")
            }
            host::Error::Injected(_) => Problem::new(Exit::Failed, "injected", "a test made this fail", text),
        }
    }

    fn of_journal(error: &journal::Error) -> Self {
        let (code, fix) = match error {
            journal::Error::TooNew { .. } => {
                ("journal-too-new", "install the version of vps-configurator that last ran here, or a newer one")
            }
            journal::Error::Damaged(_) | journal::Error::Corrupt(_) => {
                ("journal-damaged", "restore /var/lib/vps-configurator from a backup")
            }
            error if error.is_full() => (
                "disk-full",
                "make room: apt-get clean, journalctl --vacuum-size=100M, df -h /var/lib/vps-configurator",
            ),
            journal::Error::Database(_) | journal::Error::Io(_) => {
                ("journal-error", "look whether /var/lib/vps-configurator is writable and has room")
            }
        };
        Problem::new(Exit::Failed, code, "cannot use the journal", error.to_string()).fix(fix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_printed_in_the_form_of_the_house() {
        let mut problem = Problem::new(
            Exit::Failed,
            "ssh-config-rejected",
            "cannot reload ssh.service",
            "sshd -t exited 255\nline 7",
        )
        .state("rolled back, 5 of 5 steps undone; the host is as it was before")
        .fix("correct modules.security.ssh");
        problem.details = Some("vps-configurator transaction show 17".into());
        assert_eq!(
            problem.text(),
            "error: cannot reload ssh.service\n\
             \x20 state: rolled back, 5 of 5 steps undone; the host is as it was before\n\
             \x20 why:   sshd -t exited 255\n\
             \x20        line 7\n\
             \x20 fix:   correct modules.security.ssh\n\
             \x20 code:  ssh-config-rejected      details: vps-configurator transaction show 17\n"
        );
    }
}
