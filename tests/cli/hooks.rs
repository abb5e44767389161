//! The administrator's own programs at the events of a run.

use crate::support::program;
use crate::support::tree::Tree;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;
use vps_configurator::base::paths;
use vps_configurator::host::{Host, RealHost};

const D: &str = "/etc/vps-configurator/hooks.d";
const INSTALL: &str = "install --profile small --yes";
/// Appends what it is told to `/tmp/told`.
const TELLS: &str = "#!/bin/sh\ncat >> \"$VPS_ROOT/tmp/told\"\n";

fn tree(hooks: &[(&str, &str)]) -> Tree {
    let tree = Tree::new();
    for (name, text) in hooks {
        tree.program(&format!("{D}/{name}"), text);
    }
    tree
}

/// What the hooks were told so far; forgotten then.
fn told(tree: &Tree) -> Vec<Value> {
    if !tree.has("/tmp/told") {
        return Vec::new();
    }
    let text = tree.text("/tmp/told");
    tree.remove("/tmp/told");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn events(told: &[Value]) -> Vec<&str> {
    told.iter().map(|one| one["event"].as_str().unwrap()).collect()
}

fn transactions(tree: &Tree) -> usize {
    tree.call("transaction list --json").ends(0).json()["transactions"].as_array().unwrap().len()
}

fn start(tree: &Tree) -> Child {
    start_line(tree, INSTALL)
}

fn start_line(tree: &Tree, line: &str) -> Child {
    let mut command = program(tree.root());
    command.args(line.split(' ')).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until a file is there.
fn wait_for(tree: &Tree, path: &str) {
    while !tree.has(path) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn hooks_of_each_event_are_told_what_happens() {
    let names = ["pre_install", "post_module", "post_install", "post_rollback", "on_error"];
    let hooks: Vec<(String, &str)> = names.iter().map(|name| (format!("{name}/10-tell"), TELLS)).collect();
    let tree = tree(&hooks.iter().map(|(name, text)| (name.as_str(), *text)).collect::<Vec<_>>());
    let plan = tree.call("plan --profile small").ends(4).out;
    assert!(plan.contains("hooks run: pre_install/10-tell, post_module/10-tell"), "{plan}");
    tree.call("install --profile small --dry-run").ends(0);
    assert!(told(&tree).is_empty(), "a dry run runs none");
    let hash = tree.call("plan --profile small --json").ends(4).json()["plan"]["hash"].clone();
    let done = tree.call(&format!("{INSTALL} --json")).ends(0).json();
    let all = told(&tree);
    assert_eq!(events(&all), ["pre_install", "post_module", "post_install"]);
    assert_eq!((&all[0]["transaction"], &all[0]["plan"]), (&Value::Null, &hash));
    assert_eq!((&all[0]["profile"], &all[0]["resumed"]), (&"small".into(), &false.into()));
    assert_eq!((&all[1]["module"], &all[1]["transaction"]), (&"base".into(), &1.into()));
    assert_eq!((&all[2]["state"], &all[2]["changes"]), (&"done".into(), &done["changes"]));
    assert_eq!(done["hooks"].as_array().unwrap().len(), 3);
    assert_eq!(
        (&done["hooks"][0]["hook"], &done["hooks"][0]["state"]),
        (&"pre_install/10-tell".into(), &"done".into())
    );
    tree.call(INSTALL).ends(0);
    assert!(told(&tree).is_empty(), "nothing to do, nothing to tell");

    // A module that fails.
    tree.module("bad", "resources:\n  - file: /etc/bad\n    content: x\n    check: [fails]\n");
    tree.program("/usr/sbin/fails", "#!/bin/sh\necho no >&2\nexit 1\n");
    tree.module("good", "resources:\n  - file: /etc/good\n    content: x\n");
    tree.enable(&["bad", "good"]);
    tree.call("install --yes").ends(1);
    let all = told(&tree);
    assert_eq!(events(&all), ["pre_install", "post_module", "post_install", "on_error"]);
    assert_eq!((&all[1]["module"], &all[2]["state"]), (&"good".into(), &"partial".into()));
    assert_eq!(all[3]["failed_modules"], serde_json::json!(["bad"]));
    assert_eq!(all[3]["error"]["code"], "check-failed");

    tree.call("rollback --yes").ends(0);
    let all = told(&tree);
    assert_eq!(events(&all), ["post_rollback"]);
    assert_eq!((&all[0]["reason"], &all[0]["undoes"]), (&"asked".into(), &serde_json::json!([2])));
}

#[test]
fn a_hook_that_fails_beforehand_stops_the_run_and_nothing_was_changed() {
    let tree = tree(&[
        ("pre_install/10-good", TELLS),
        ("pre_install/20-bad", "#!/bin/sh\necho the backup is not there >&2\nexit 7\n"),
        ("pre_install/30-never", TELLS),
        ("on_error/10-tell", TELLS),
    ]);
    let before = tree.listing();
    let ran = tree.call(INSTALL).ends(1);
    for words in ["the hook pre_install/20-bad failed", "it exited 7", "the backup is not there", "code:  hook-failed"]
    {
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
    assert_eq!(events(&told(&tree)), ["pre_install"]);
    tree.must_be(&before, "a hook stopped it");
    assert_eq!(transactions(&tree), 0);
    // Switched off, it is in nobody's way.
    tree.set_mode(&format!("{D}/pre_install/20-bad"), 0o644);
    tree.call(INSTALL).ends(0);
    assert_eq!(events(&told(&tree)), ["pre_install", "pre_install"]);
}

#[test]
fn a_hook_that_fails_afterwards_is_told_and_undoes_nothing() {
    let tree = tree(&[
        ("post_module/a", "#!/bin/sh\nexit 3\n"),
        ("post_install/a", "#!/no/such/interpreter\n"),
        ("post_install/b", TELLS),
        ("post_install/world", TELLS),
        ("post_instal/x", TELLS),
    ]);
    tree.set_mode(&format!("{D}/post_install/world"), 0o777);
    let ran = tree.call(INSTALL).ends(0);
    for words in [
        "warning: hook post_module/a failed: it exited 3",
        "warning: hook post_install/a failed: ",
        "post_install/world can be written by others than root: it is not run",
        "hooks.d/post_instal is no event",
    ] {
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
    assert_eq!(events(&told(&tree)), ["post_install"]);
    assert!(tree.has("/etc/base/greeting.conf"));
}

#[test]
fn hooks_that_hang_fork_ignore_their_input_or_write_without_end_hold_nobody_up() {
    let tree = tree(&[
        ("post_install/10-hangs", "#!/bin/sh\nsleep 600 & echo $! > \"$VPS_ROOT/tmp/child\"\nwait\n"),
        ("post_install/20-daemon", "#!/bin/sh\nsetsid sleep 600 & echo $! > \"$VPS_ROOT/tmp/daemon\"\n"),
        ("post_install/30-deaf", "#!/bin/sh\nexec 0<&-\nexit 0\n"),
        ("post_install/40-loud", "#!/bin/sh\nhead -c 100000000 /dev/zero | tr '\\0' x\n"),
        ("post_install/50-last", TELLS),
    ]);
    tree.put("/etc/vps-configurator/config.yaml", "hooks: {timeout: 5}\n");
    let done = tree.call(&format!("{INSTALL} --json")).ends(0).json();
    let all = done["hooks"].as_array().unwrap();
    let state = |at: usize| all[at]["state"].as_str().unwrap();
    assert_eq!(
        (state(0), state(1), state(2), state(3), state(4)),
        ("failed", "done", "done", "done", "done"),
        "{all:#?}"
    );
    assert!(all[0]["text"].as_str().unwrap().contains("did not end within 5 s"), "{all:#?}");
    assert_eq!(all[3]["text"].as_str().unwrap().len(), 2000);
    let pid = |path: &str| Pid::from_raw(tree.text(path).trim().parse().unwrap());
    let is_gone = |pid: Pid| {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        state.is_empty() || state.contains(") Z ")
    };
    while !is_gone(pid("/tmp/child")) {
        std::thread::sleep(Duration::from_millis(20));
    }
    kill(pid("/tmp/daemon"), Signal::SIGKILL).unwrap();
}

#[test]
fn a_hook_that_changes_what_was_planned_stops_the_run() {
    let tree = tree(&[(
        "pre_install/a",
        "#!/bin/sh\nmkdir -p \"$VPS_ROOT/etc/base\"; echo x > \"$VPS_ROOT/etc/base/greeting.conf\"\n",
    )]);
    let ran = tree.call(INSTALL).ends(1);
    assert!(
        ran.err.contains("a pre_install hook changed what was planned: directory:/etc/base, file:/etc/base"),
        "{}",
        ran.err
    );
    assert_eq!(transactions(&tree), 0);
    tree.call(INSTALL).ends(0);
}

#[test]
fn a_signal_while_a_hook_runs_beforehand_ends_the_run_before_it_begins() {
    let waits = "#!/bin/sh\ntouch \"$VPS_ROOT/tmp/begun\"\nwhile [ ! -e \"$VPS_ROOT/tmp/go\" ]; do sleep 0.05; done\n\
                 sleep 0.5\n";
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGKILL] {
        let tree = tree(&[("pre_install/a", waits)]);
        let child = start(&tree);
        wait_for(&tree, "/tmp/begun");
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        if signal == Signal::SIGKILL {
            child.wait_with_output().unwrap();
            tree.put("/tmp/go", "");
        } else {
            // Until its thread has taken the signal, it may not know of it when the hook ends.
            let status = format!("/proc/{}/status", child.id());
            while !std::fs::read_to_string(&status).unwrap().contains("ShdPnd:\t0000000000000000") {
                std::thread::sleep(Duration::from_millis(20));
            }
            tree.put("/tmp/go", "");
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(String::from_utf8_lossy(&output.stderr).contains("a signal asked for it"));
        }
        assert!(!tree.has("/etc/base/greeting.conf"));
        assert_eq!(transactions(&tree), 0);
        tree.call(INSTALL).ends(0);
    }
}

#[test]
fn a_hook_keeps_nobody_from_taking_back_what_waits_to_be_confirmed() {
    let waits = "#!/bin/sh\ntouch \"$VPS_ROOT/tmp/begun\"\nwhile [ ! -e \"$VPS_ROOT/tmp/go\" ]; do sleep 0.05; done\n";
    let tree = tree(&[("post_install/a", waits), ("post_rollback/a", waits)]);
    let host = RealHost::new(tree.root().to_owned());
    for (line, is_free) in [
        (INSTALL, false),
        ("install --profile full --module people --confirm always --yes", true),
        ("rollback --module base --yes", true),
        ("rollback --module people --yes", false),
    ] {
        let child = start_line(&tree, line);
        wait_for(&tree, "/tmp/begun");
        let taken = host.lock(Path::new(paths::LOCK), "another run");
        assert_eq!(taken.is_ok(), is_free, "{line}: {taken:?}");
        drop(taken);
        tree.put("/tmp/go", "");
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        ["/tmp/begun", "/tmp/go"].iter().for_each(|path| tree.remove(path));
    }
}

#[test]
fn what_was_killed_while_a_hook_ran_afterwards_is_done_and_the_hook_is_not_run_again() {
    let tree = tree(&[
        ("post_install/a", "#!/bin/sh\ncat >> \"$VPS_ROOT/tmp/told\"\nkill -9 $PPID\n"),
        ("post_install/b", TELLS),
    ]);
    assert_eq!(tree.call(INSTALL).code, 137);
    assert_eq!(tree.call("recover").ends(0).out, "Nothing was cut off.\n");
    assert_eq!(tree.call(&format!("{INSTALL} --json")).ends(0).json()["changes"], 0);
    assert_eq!(events(&told(&tree)), ["post_install"]);
}

#[test]
fn an_install_that_recovery_finishes_or_takes_back_runs_the_hooks_of_its_end() {
    let hooks =
        [("pre_install/a", TELLS), ("post_install/a", TELLS), ("post_rollback/a", TELLS), ("on_error/a", TELLS)];
    for (direction, wanted) in [("finish", "post_install"), ("undo", "post_rollback")] {
        let tree = tree(&hooks);
        let useradd = tree.text("/usr/sbin/useradd");
        tree.program("/usr/sbin/useradd", "#!/bin/sh\nkill -9 $PPID\n");
        assert_eq!(tree.call("install --profile full --yes").code, 137);
        tree.program("/usr/sbin/useradd", &useradd);
        assert_eq!(events(&told(&tree)), ["pre_install"]);
        tree.call(&format!("recover --direction {direction}")).ends(0);
        let all = told(&tree);
        assert_eq!(events(&all), [wanted], "the hooks of its beginning were run");
        match direction {
            "finish" => assert_eq!((&all[0]["resumed"], &all[0]["transaction"]), (&true.into(), &1.into())),
            _ => assert_eq!(all[0]["reason"], "recovery"),
        }
    }
}
