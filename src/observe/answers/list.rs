//! The list of programs whose answers depend on files, the packet filter and the word of a service alone. Data, in the package's `answers.yaml`.

use crate::base::glob;
use crate::base::paths;
use crate::base::yaml::{Collector, Node, Problem, Problems, Reader, Source, parse};
use crate::host::{Command, Host, read_if_there};
use std::path::{Path, PathBuf};

/// The list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// The files and directories that every program depends on.
    pub programs: Vec<PathBuf>,
    /// Directories in them that only those depend on which name them; and names of directories that don't count at all.
    pub except: Vec<PathBuf>,
    /// What stands for `programs` when a plan is made.
    pub plan: Vec<PathBuf>,
    /// The programs.
    pub answers: Vec<Answer>,
}

/// Programs, and what their answers depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Patterns of [`glob`]: the program and its arguments, a blank between them.
    pub run: Vec<String>,
    /// Files and directories that they read, too.
    pub reads: Vec<PathBuf>,
    /// What stands for `reads` when a plan is made; without any, nothing is remembered then.
    pub plan: Vec<PathBuf>,
    /// Whether they show rules of the packet filter.
    pub rules: bool,
    /// Files that the service which they ask writes anew whenever it starts; without them nothing is remembered.
    pub at_start: Vec<PathBuf>,
    /// What the service is asked in their place, to see whether it would tell them the same again.
    pub asks: Option<Asks>,
}

/// A question to a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asks {
    /// The Unix socket that it listens at.
    pub socket: PathBuf,
    /// What it is sent.
    pub send: String,
    /// How far its answer counts.
    pub until: String,
}

impl List {
    /// The list of this host; empty where the package brought none.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(host: &dyn Host) -> Result<List, Problems> {
        let unreadable = |error: crate::host::Error| Problem::anywhere("answers-unreadable", error.to_string());
        match read_if_there(host, paths::ANSWERS).map_err(unreadable)? {
            Some(text) => read(&Source::from_bytes(paths::ANSWERS.to_owned(), &text)),
            None => Ok(List::default()),
        }
    }

    /// The place in the list of the programs that `command` is one of. What runs as another user, elsewhere, or with an
    /// input or environment of its own is none; that a probe has a place to note things down in makes no difference.
    pub fn find(&self, command: &Command) -> Option<usize> {
        let Command { user: None, directory: None, secret: false, .. } = command else { return None };
        let is_own = |(_, value): &(String, String)| !Path::new(value).starts_with(paths::PROBE_STATE);
        if !command.stdin.is_empty() || command.env.iter().any(is_own) {
            return None;
        }
        let line =
            std::iter::once(&command.program).chain(&command.args).map(String::as_str).collect::<Vec<_>>().join(" ");
        self.answers.iter().position(|answer| answer.run.iter().any(|pattern| glob::matches(pattern, &line)))
    }
}

fn read(source: &Source) -> Result<List, Problems> {
    let collector = Collector::default();
    let root = parse(source)?;
    let reader = Reader::new(source, &collector);
    let mut list = List::default();
    if let Some(mut fields) = reader.map(&root, "the list of answers") {
        let paths = |nodes: Vec<&Node>| -> Vec<PathBuf> {
            nodes.into_iter().filter_map(|node| node.as_text().map(PathBuf::from)).collect()
        };
        list.programs = paths(fields.texts("programs"));
        list.except = paths(fields.texts("except"));
        list.plan = paths(fields.texts("plan"));
        let answers = fields.require("answers").and_then(|node| reader.list(node)).unwrap_or_default();
        for node in answers {
            let Some(mut fields) = reader.map(node, "an answer") else { continue };
            let patterns = fields.require("run").map(|node| reader.texts(node)).unwrap_or_default();
            list.answers.push(Answer {
                run: patterns.into_iter().filter_map(|node| node.as_text().map(str::to_owned)).collect(),
                reads: paths(fields.texts("reads")),
                plan: paths(fields.texts("plan")),
                rules: fields.boolean("rules").unwrap_or(false),
                at_start: paths(fields.texts("at_start")),
                asks: fields.take("asks").and_then(|node| asks(reader, node)),
            });
            fields.finish();
        }
        fields.finish();
    }
    collector.finish(list)
}

fn asks(reader: Reader<'_>, node: &Node) -> Option<Asks> {
    let mut fields = reader.map(node, "a question")?;
    let mut text = |key: &str| fields.require(key).and_then(|node| reader.text(node)).unwrap_or_default().to_owned();
    let asks = Asks { socket: text("socket").into(), send: text("send"), until: text("until") };
    fields.finish();
    Some(asks)
}

/// The list that we ship.
#[cfg(test)]
pub(super) fn shipped() -> List {
    read(&Source::new("answers.yaml", include_str!("../../../config/answers.yaml"))).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_list_is_good_and_programs_that_ask_a_service_are_not_in_it() {
        let list = shipped();
        assert!(list.programs.contains(&"/etc".into()) && list.answers.len() > 5);
        let found = |line: &str| {
            let mut words = line.split(' ');
            let command = Command::new(words.next().unwrap()).args(words);
            list.find(&command).map(|at| list.answers[at].clone())
        };
        assert!(found("ufw status verbose").unwrap().rules && !found("sshd -T -C user=root").unwrap().rules);
        let asks = found("fail2ban-client get sshd maxretry").unwrap().asks.unwrap();
        assert_eq!(asks.send, "(lVget\naVsshd\naVmaxretry\na.<F2B_END_COMMAND>");
        assert_ne!(found("fail2ban-client get sshd journalmatch").unwrap().asks.unwrap().send, asks.send);
        let docker = found("docker info --format {{.ServerVersion}} {{.LoggingDriver}}").unwrap();
        assert_eq!(docker.asks.unwrap().send, "GET /_ping HTTP/1.0\r\n\r\n");
        for line in ["systemctl show ssh", "fail2ban-client status sshd", "docker info", "swapon --show", "uname -n"] {
            assert_eq!(found(line), None, "{line}");
        }
        let sshd = Command::new("sshd").arg("-T");
        assert!(list.find(&sshd).is_some());
        assert_eq!(list.find(&Command { user: Some("ada".into()), ..sshd.clone() }), None);
        assert_eq!(list.find(&sshd.stdin("x")), None);
    }

    #[test]
    fn a_list_with_an_unknown_key_or_without_patterns_is_told() {
        for (text, code) in [
            ("answers: [{run: [a], raeds: [/b]}]", "key-unknown"),
            ("answers: [{reads: [/b]}]", "key-missing"),
            ("answers: [{run: [a], asks: {socket: /s, send: x}}]", "key-missing"),
            ("programs: [/usr]", "key-missing"),
            ("{plan: {a: b}, answers: []}", "type-wrong"),
            ("answers: [{run: [a], plan: 3}]", "type-wrong"),
            ("- a", "type-wrong"),
        ] {
            let problems = read(&Source::new("t", text)).unwrap_err();
            assert!(problems.0.iter().any(|problem| problem.code == code), "{text}: {problems}");
        }
    }
}
