//! A run that is watched: on a terminal, in a pipe, by a program; and by one that goes away.

use crate::refusals::lock_of_dpkg;
use crate::support::tree::Tree;
use crate::support::{Ran, program};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const ESCAPE: char = '\u{1b}';
const INSTALL: &str = "install --profile full --workers 1 --yes";

/// An install on a terminal that is `columns` wide: script(1) gives it one.
fn on_a_terminal(tree: &Tree, columns: usize, environment: &[(&str, &str)]) -> Child {
    let program = env!("CARGO_BIN_EXE_vps-configurator");
    let line = format!("stty cols {columns} rows 24; exec {program} --root {} {INSTALL}", tree.root().display());
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    script.envs(environment.iter().copied()).stdout(Stdio::piped()).spawn().expect("script(1) of bsdutils")
}

/// What a terminal got, without what moves the cursor and clears.
fn lines_of(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            ESCAPE => drop(rest.find(|c| c.is_ascii_alphabetic())),
            '\r' | '\n' => lines.push(String::new()),
            c => lines.last_mut().unwrap().push(c),
        }
    }
    lines.into_iter().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// A line as a terminal that is `columns` wide shows it.
fn rows_of(line: &str, columns: usize) -> Vec<String> {
    line.chars().collect::<Vec<_>>().chunks(columns).map(String::from_iter).collect()
}

#[test]
fn a_terminal_of_any_width_gets_lines_that_move_and_fit() {
    for columns in [80, 40] {
        let tree = Tree::new();
        let ran = Ran::of(&on_a_terminal(&tree, columns, &[("TERM", "xterm")]).wait_with_output().unwrap()).ends(0);
        assert!(ran.out.contains(ESCAPE), "{}", ran.out);
        assert!(!ran.out.contains("\u{1b}[3"), "no colour: {}", ran.out);
        let lines = lines_of(&ran.out);
        // Each line is filled up to the edge, where the next one begins.
        let rows: Vec<String> = lines.iter().flat_map(|line| rows_of(line, columns)).collect();
        let has = |start: &str, part: &str| rows.iter().any(|row| row.starts_with(start) && row.contains(part));
        assert!(
            has("| ", "[=") && has("  0 of 4 modules", "done; now web") && has("  web: 3 changes", ""),
            "{rows:#?}"
        );
        assert!(has("  Unpacking tool (30 %)", ""), "{rows:#?}");
        tree.call("verify --profile full").ends(0);
    }
}

#[test]
fn a_terminal_that_cannot_move_gets_plain_lines() {
    for environment in [&[("TERM", "dumb")][..], &[]] {
        let tree = Tree::new();
        let ran = Ran::of(&on_a_terminal(&tree, 80, environment).wait_with_output().unwrap()).ends(0);
        assert!(!ran.out.contains(ESCAPE), "{}", ran.out);
        assert!(ran.out.contains("    30 % Unpacking tool"), "{}", ran.out);
    }
}

#[test]
fn a_run_goes_on_when_its_terminal_is_gone() {
    let tree = Tree::new();
    let held = lock_of_dpkg(&tree, "/var/lib/dpkg/lock-frontend");
    let mut script = on_a_terminal(&tree, 80, &[("TERM", "xterm")]);
    let mut out = script.stdout.take().unwrap();
    let (mut seen, mut part) = (String::new(), [0; 4096]);
    while !seen.contains("waiting: ") {
        let count = out.read(&mut part).unwrap();
        assert!(count > 0, "it ended: {seen}");
        seen.push_str(&String::from_utf8_lossy(&part[..count]));
    }
    script.kill().unwrap();
    script.wait().unwrap();
    drop(held);
    // It has the lock until it is done.
    let done = || tree.call("transaction list --json").json()["transactions"][0]["state"] == "done";
    let ended = (0..600).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        done()
    });
    assert!(ended, "{}", tree.call("transaction list").out);
    let verified = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        tree.call("verify --profile full").code == 0
    });
    assert!(verified, "{}", tree.call("verify --profile full").out);
}

#[test]
fn a_run_goes_on_when_nobody_takes_its_lines() {
    for how in ["2>&-", "2>/dev/full", "2> >(true)", ">/dev/null 2>&1"] {
        let tree = Tree::new();
        let line = format!("\"$@\" {how}");
        let mut bash = Command::new("bash");
        bash.env_clear().env("PATH", "/usr/bin:/bin").args(["-c", &line, "bash"]).stdin(Stdio::null());
        bash.arg(env!("CARGO_BIN_EXE_vps-configurator")).arg("--root").arg(tree.root()).args(INSTALL.split(' '));
        Ran::of(&bash.output().unwrap()).ends(0);
        tree.call("verify --profile full").ends(0);
    }
}

#[test]
fn a_status_in_the_midst_of_a_run_does_not_call_it_cut_off() {
    let tree = Tree::new();
    let program = env!("CARGO_BIN_EXE_vps-configurator");
    let asks = format!(
        "#!/bin/sh\nfor words in status 'health check --json' 'status --json'; do\n  {program} --root \"$VPS_ROOT\" $words\n\
         done >\"$VPS_ROOT/tmp/said\"\n: >\"$VPS_ROOT/etc/asked\"\n"
    );
    tree.program("/usr/sbin/ask", &asks);
    tree.module("asks", "resources:\n  - command: ask\n    run: [ask]\n    creates: /etc/asked\n    undo: [nosuch]\n");
    tree.enable(&["asks"]);
    tree.call("install --yes").ends(0);
    let said = tree.text("/tmp/said");
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("Open: transaction 1 (profile small) is under way: pid "), "{said}");
    assert!(words.contains("\"transaction 1 is under way (pid ") && !words.contains("was cut off"), "{said}");
    assert!(words.contains("\"status\": \"under-way\""), "{said}");
    assert!(!tree.call("status").ends(0).out.contains("Open:"));
}

/// The lines of a file of events.
fn events(tree: &Tree, path: &str) -> Vec<Value> {
    tree.text(path).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn events_tell_each_step_and_how_far_it_is_and_stand_beside_the_result() {
    let tree = Tree::new();
    let path = tree.at("/tmp/events");
    let line = format!("{INSTALL} --json --events {}", path.display());
    let result = tree.call(&line).ends(0);
    assert_eq!((result.json()["status"].as_str(), result.err.as_str()), (Some("success"), ""));
    let all = events(&tree, "/tmp/events");
    let of = |name: &str| all.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    assert!(all.iter().all(|event| event["at"].is_number()), "{all:#?}");
    assert_eq!(of("begin")[0]["steps"], 14);
    let done: Vec<&str> =
        of("step").iter().filter(|e| e["state"] == "done").filter_map(|e| e["resource"].as_str()).collect();
    assert_eq!(done.len(), 14, "{done:?}");
    assert!(of("progress").iter().any(|e| e["what"] == "Unpacking tool" && e["of_this"] == 30.0), "{all:#?}");
    assert!(of("module").iter().any(|e| e["module"] == "web" && e["state"] == "done"), "{all:#?}");
    let percents: Vec<u64> = all.iter().filter_map(|event| event["percent"].as_u64()).collect();
    assert!(percents.is_sorted() && percents.last() == Some(&100), "{percents:?}");
    assert_eq!(all.last().unwrap()["event"], "end");
    assert!(of("begin")[0]["seconds_left"].is_null(), "nothing is known yet");

    tree.call("rollback --yes").ends(0);
    std::fs::remove_file(&path).unwrap();
    tree.call(&line).ends(0);
    let all = events(&tree, "/tmp/events");
    assert!(all.iter().find(|e| e["event"] == "begin").unwrap()["seconds_left"].is_number(), "{all:#?}");
}

#[test]
fn events_go_into_a_pipe_and_a_reader_that_leaves_disturbs_nothing() {
    let tree = Tree::new();
    let mut command = program(tree.root());
    command.args(INSTALL.split(' ')).args(["--quiet", "--events", "/dev/stderr"]);
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(running.stderr.take().unwrap()).lines().map(Result::unwrap);
    let first: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert!(first["event"].is_string());
    drop(lines);
    assert!(running.wait().unwrap().success());
    tree.call("verify --profile full").ends(0);
}

#[test]
fn a_place_that_takes_no_events_is_refused_before_anything_is_changed() {
    let tree = Tree::new();
    let before = tree.listing();
    let pipe = tree.at("/tmp/pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for place in [pipe.as_path(), Path::new("/proc/nowhere/events")] {
        let ran = tree.call(&format!("{INSTALL} --events {}", place.display())).ends(2);
        assert!(ran.err.contains("code:  cannot-write"), "{}", ran.err);
    }
    std::fs::remove_file(&pipe).unwrap();
    tree.must_be(&before, "after it was refused");
    tree.call(&format!("{INSTALL} --events /dev/full")).ends(0);
}
