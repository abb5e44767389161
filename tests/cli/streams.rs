//! Colour, closed pipes, shells, and a program that starts without any file of its own.

use crate::support::tree::Tree;
use crate::support::{Ran, program};
use std::path::Path;
use std::process::{Command, Stdio};

const ESCAPE: char = '\u{1b}';

/// Runs a line on a terminal: script(1) gives it one.
fn on_a_terminal(tree: &Tree, environment: &[(&str, &str)], line: &str) -> Option<Ran> {
    let command = format!("{} --root {} {line}", env!("CARGO_BIN_EXE_vps-configurator"), tree.root().display());
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    script.envs(environment.iter().copied());
    match script.output() {
        Ok(output) => Some(Ran::of(&output)),
        Err(why) => {
            println!("skipped: no script(1) to give a terminal: {why}");
            None
        }
    }
}

#[test]
fn a_terminal_gets_colour_unless_no_color_or_a_flag_or_a_dumb_terminal_says_no() {
    let tree = Tree::new();
    let line = "plan --profile small";
    let Some(coloured) = on_a_terminal(&tree, &[("TERM", "xterm")], line) else { return };
    assert!(coloured.out.contains(ESCAPE), "{}", coloured.out);
    for (environment, line) in [
        (vec![("TERM", "xterm"), ("NO_COLOR", "1")], line.to_owned()),
        (vec![("TERM", "dumb")], line.to_owned()),
        (vec![], line.to_owned()),
        (vec![("TERM", "xterm")], format!("{line} --color never")),
        (vec![("TERM", "xterm")], format!("{line} --json")),
    ] {
        let plain = on_a_terminal(&tree, &environment, &line).unwrap();
        assert!(!plain.out.contains(ESCAPE), "{environment:?} {line}: {}", plain.out);
        assert_eq!(plain.code, 4);
    }
}

#[test]
fn a_pipe_gets_no_colour_unless_it_is_asked_for() {
    let tree = Tree::new();
    assert!(!tree.call("plan --profile small").out.contains(ESCAPE));
    assert!(tree.call("plan --profile small --color always").out.contains(ESCAPE));
    assert!(tree.call("plan --profile nosuch --color always").err.starts_with("\u{1b}[1;31merror:\u{1b}[0m "));
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let tree = Tree::new();
    for line in ["--help", "completion bash", "config schema", "plan --profile full", "module list --json"] {
        let script = "\"$@\" | head -n 1; exit ${PIPESTATUS[0]}";
        let mut command = Command::new("bash");
        command.env_clear().env("PATH", "/usr/bin:/bin").args(["-c", script, "bash"]);
        command.arg(env!("CARGO_BIN_EXE_vps-configurator")).arg("--root").arg(tree.root()).args(line.split(' '));
        let ran = Ran::of(&command.output().unwrap());
        assert_eq!(ran.err, "", "{line}");
        assert!(ran.code == 0 || ran.code == 4, "{line} ended with {}", ran.code);
        assert_eq!(ran.out.lines().count(), 1, "{line}");
    }
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let tree = Tree::new();
    for (line, code) in [("module list --json", 1), ("plan --profile full", 1), ("completion bash", 1), ("--help", 1)] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ran = Ran::of(&program(tree.root()).args(line.split(' ')).stdout(full).output().unwrap()).ends(code);
        assert!(line == "--help" || ran.err.contains("code:  cannot-write"), "{line}: {}", ran.err);
    }
}

#[test]
fn version_and_help_need_no_file() {
    let empty = tempfile::tempdir().unwrap();
    for (line, begins) in [
        ("--version", format!("vps-configurator {}\n", env!("CARGO_PKG_VERSION"))),
        ("--help", "Turn a fresh Debian 13 server".to_owned()),
    ] {
        let mut command = program(&empty.path().join("nowhere"));
        command.arg(line).current_dir(empty.path());
        let ran = Ran::of(&command.output().unwrap()).ends(0);
        assert!(ran.out.starts_with(&begins) && ran.err.is_empty(), "{line}: {}{}", ran.out, ran.err);
    }
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[test]
fn completions_name_every_command_and_shells_accept_them() {
    let empty = tempfile::tempdir().unwrap();
    let script =
        |shell: &str| Ran::of(&program(empty.path()).args(["completion", shell]).output().unwrap()).ends(0).out;
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = script(shell);
        for word in ["install", "rollback", "transaction", "direction"] {
            assert!(text.contains(word), "{shell} lacks {word}");
        }
    }
    let file = empty.path().join("completion");
    std::fs::write(&file, script("bash")).unwrap();
    let checked = Command::new("bash").arg("-n").arg(&file).status().unwrap();
    assert!(checked.success());
}

#[test]
fn documentation_is_generated_and_schema_is_json() {
    let tree = Tree::new();
    let out = tree.at("/tmp/out");
    let count = |what: &str| -> usize {
        tree.run(["internal", "generate", what, out.to_str().unwrap()]).ends(0);
        let count = std::fs::read_dir(&out).unwrap().count();
        std::fs::remove_dir_all(&out).unwrap();
        count
    };
    assert!(count("man") > 10);
    assert_eq!(count("completion"), 3);
    assert!(count("reference") > 2);
    assert_eq!(count("schema"), 1);
    let schema = tree.call("config schema").ends(0).json();
    assert!(schema["$schema"].is_string() && schema["$defs"]["modules"].is_object(), "{schema}");
}

#[test]
fn the_words_of_a_file_steer_no_terminal() {
    let tree = Tree::new();
    tree.put("/etc/base/greeting.conf", "\u{1b}]0;title\u{7}\u{9b}2J\n");
    let shown = tree.call("plan --profile small --color always").ends(4).out;
    assert!(shown.contains("?]0;title??2J") && shown.contains("\u{1b}[31m-"), "{shown:?}");
    assert!(!shown.contains("\u{1b}]") && !shown.contains(['\u{7}', '\u{9b}']), "{shown:?}");
}

#[test]
fn an_unwritable_place_for_a_plan_or_documents_is_told() {
    let tree = Tree::new();
    let nowhere = Path::new("/proc/nowhere/plan");
    let ran = tree.run(["plan", "--profile", "small", "--out", nowhere.to_str().unwrap()]).ends(1);
    assert!(ran.err.contains("code:  cannot-write"), "{}", ran.err);
    let ran = tree.run(["internal", "generate", "man", "/proc/nowhere"]).ends(1);
    assert!(ran.err.contains("code:  cannot-write"), "{}", ran.err);
}
