//! `--json`: every command's answer parses, and has the keys that were promised.

use crate::support::tree::Tree;
use clap::CommandFactory;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;
use vps_configurator::cli::args::Args;

#[track_caller]
fn has(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value.get(key).is_some(), "no key {key} in {value:#}");
    }
}

#[test]
fn every_command_answers_in_json_with_the_promised_keys() {
    let tree = Tree::new();
    let asked = RefCell::new(BTreeSet::new());
    let ask = |line: &str, code: i32| {
        asked.borrow_mut().insert(line.to_owned());
        let ran = tree.call(&format!("{line} --json")).ends(code);
        assert_eq!(ran.err, "", "{line}: standard error is for people");
        ran.json()
    };
    assert_eq!(ask("status", 0)["status"], "fresh");
    let health = ask("health check", 0);
    assert_eq!(health["status"], "healthy");
    has(&health["checks"][0], &["check", "state", "seen", "why", "fix"]);
    assert_eq!(ask("transaction list", 0)["transactions"], serde_json::json!([]));
    assert_eq!(ask("rollback --yes", 0)["changes"], 0);
    assert_eq!(ask("rollback --module web --yes", 0)["module"], "web");
    assert_eq!(ask("recover", 0)["status"], "success");
    assert_eq!(ask("confirm", 0)["confirmation"], Value::Null);
    has(
        &ask("module list", 0)["modules"][0],
        &["name", "summary", "priority", "mandatory", "enabled", "builtin", "depends_on"],
    );
    let module = ask("module show base", 0);
    has(&module, &["name", "summary", "options", "depends_on", "enabled"]);
    has(&module["options"][0], &["name", "type", "default", "help"]);
    has(&ask("module graph", 0), &["nodes", "edges"]);
    tree.put("/tmp/tree/module.yaml", "name: tree\nsummary: Trees\n");
    let install = format!("plugin install {}", tree.at("/tmp/tree").display());
    has(&ask(&install, 0), &["status", "plugin", "enabled", "files"]);
    has(&ask("plugin list", 0)["plugins"][0], &["name", "enabled", "applied", "path", "summary", "problems"]);
    assert_eq!(ask("plugin disable tree", 0)["enabled"], false);
    assert_eq!(ask("plugin enable tree", 0)["enabled"], true);
    assert_eq!(ask("plugin remove tree --yes", 0)["plugin"], "tree");
    has(&ask("profile list", 0)["profiles"][0], &["name", "summary"]);
    has(&ask("profile show full", 0), &["name", "modules"]);
    let shown = ask("config show --profile full", 0);
    assert_eq!(shown["modules.web.port"], 8080);
    let shown = ask("config show modules.web.port --origin --profile full", 0);
    has(&shown["modules.web.port"], &["value", "origin"]);
    assert_eq!(ask("config validate --profile full", 0)["problems"], serde_json::json!([]));
    has(&ask("config set modules.base.level 4 --dry-run", 0), &["status", "key", "path", "text"]);
    has(&ask("config set modules.base.level 4", 0), &["status", "key", "path"]);
    ask("config set modules.base.level --unset", 0);
    has(&ask("profile create mine --module kernel --dry-run", 0), &["status", "path", "text"]);
    has(&ask("profile create mine --module kernel", 0), &["status", "path"]);
    assert!(ask("config schema", 0)["$schema"].is_string());

    let plan = ask("plan --profile full", 4);
    has(&plan, &["format", "profile", "request", "modules", "plan"]);
    has(&plan["plan"], &["hash", "steps", "unchanged"]);
    has(&plan["plan"]["steps"][0], &["id", "module", "change", "seen"]);
    assert_eq!(ask("install --profile full --dry-run", 0)["status"], "dry-run");
    tree.put("/tmp/answers.yaml", "profile: full\n");
    let answers = format!("wizard --answers {}", tree.at("/tmp/answers.yaml").display());
    assert_eq!(ask(&format!("{answers} --dry-run"), 0)["plan"]["hash"], plan["plan"]["hash"]);
    assert_eq!(ask(&answers, 2)["error_code"], "not-confirmed");
    assert_eq!(ask("wizard", 2)["error_code"], "wizard-no-terminal");
    tree.remove("/tmp/answers.yaml");
    let refused = ask("install --profile full", 2);
    assert_eq!((&refused["status"], &refused["error_code"]), (&"error".into(), &"not-confirmed".into()));
    has(&refused, &["error_message", "host_state", "error_details", "exit_code"]);
    has(&refused["error_details"], &["what", "why", "how"]);

    let keys = [
        "status",
        "profile",
        "transaction",
        "duration_seconds",
        "changes",
        "unchanged",
        "modules_installed",
        "modules_skipped",
        "plan",
        "deviations",
        "summary",
        "steps",
        "failures",
        "rollback_executed",
        "rollback_complete",
        "owed",
        "next_steps",
        "hostname",
        "ended",
        "reboot",
        "packages",
        "report",
    ];
    assert_eq!(ask("install --profile full --download-only --yes", 0)["status"], "fetched");
    has(
        &ask("cache stats", 0),
        &["directory", "packages", "bytes", "limit_bytes", "installed", "used_first", "used_last"],
    );
    let keys_of_a_file = ["package", "version", "architecture", "bytes", "used", "installed", "path", "state"];
    has(&ask("cache list --verify", 0)["packages"][0], &keys_of_a_file);
    let done = ask("install --profile full --yes", 0);
    has(&done, &keys);
    assert_eq!((&done["status"], &done["changes"]), (&"success".into(), &14.into()));
    assert_eq!(done["deviations"], serde_json::json!([]));
    assert_eq!(done["plan"], plan["plan"]["hash"], "the plan is the promise that was kept");
    has(&done["summary"]["web"], &["status", "duration"]);
    let again = ask("install --profile full --yes", 0);
    has(&again, &keys[..keys.len() - 1]);
    assert_eq!((&again["status"], &again["changes"]), (&"success".into(), &0.into()));

    let status = ask("status", 0);
    has(&status, &["status", "transactions", "last", "standing_steps", "modules", "owed", "outdated", "interrupted"]);
    let verified = ask("verify --profile full", 0);
    has(&verified, &["status", "profile", "drift", "findings", "baseline", "not_compared", "unchanged", "probes"]);
    has(&verified["baseline"], &["at", "by", "transaction", "reason"]);
    has(&verified["probes"][0], &["module", "name", "verdict"]);
    has(
        &ask("transaction list", 0)["transactions"][0],
        &["id", "kind", "state", "profile", "begun", "ended", "by", "version"],
    );
    let shown = ask("transaction show 1", 0);
    has(&shown, &["actor", "request", "steps", "undos"]);
    has(&shown["steps"][0], &["resource", "module", "action", "summary", "state", "seconds"]);
    has(&ask("transaction diff 1", 0)["steps"][0], &["resource", "before", "after", "state"]);
    has(&ask("rollback --list", 0), &["unfinished", "incomplete", "transactions"]);
    has(&ask("rollback --status", 0), &["unfinished", "incomplete", "transactions"]);
    has(&ask("rollback --dry-run", 0)["steps"][0], &["resource", "transaction", "module", "lines"]);
    has(&ask("circuit-breaker status", 0), &["hosts", "rules"]);
    has(&ask("circuit-breaker reset", 0), &["hosts"]);
    let chain = ask("supply-chain verify", 0);
    has(&chain, &["pins", "standing", "sources", "findings"]);
    has(&chain["downloads"][0], &["transaction", "at", "modules", "url", "sha256", "packages", "stands"]);
    tree.put("/etc/base/greeting.conf", "mine\n");
    tree.put("/etc/sudoers.d/ada", "x\n");
    let drifted = ask("verify --profile full", 4);
    assert_eq!(drifted["status"], "drift");
    has(&drifted["drift"][0], &["resource", "module", "summary", "details", "changed", "last", "diff"]);
    has(&drifted["drift"][0]["last"], &["transaction", "by", "at", "summary"]);
    has(&drifted["findings"][0], &["id", "what", "text", "file", "changed"]);
    let accepted = ask("finding accept sudo:*", 0);
    assert_eq!(accepted["findings"], serde_json::json!(["sudo:/etc/sudoers.d/ada"]));
    has(&ask("finding list", 0)["findings"][0], &["id", "by", "at", "reason", "accepted", "was"]);
    has(&ask("cache clear", 0), &["packages", "bytes", "paths"]);
    assert_eq!(ask("finding withdraw sudo:*", 0)["changes"], 1);
    tree.remove("/etc/sudoers.d/ada");
    let back = ask("rollback --yes", 0);
    has(&back, &["status", "transaction", "undoes", "changes", "kept", "failed", "owed", "duration_seconds"]);
    assert_eq!(back["kept"].as_array().map(Vec::len), Some(1), "the changed file's copy is named: {back:#}");

    let plan = ask("install --profile full --module people --confirm always --dry-run", 0);
    has(&plan["confirm"], &["seconds", "resources", "modules"]);
    let armed = ask("install --profile full --module people --confirm always --yes", 0);
    let open = ["transaction", "state", "until", "seconds_left", "modules", "resources"];
    has(&armed["confirmation"], &open);
    has(&armed["confirmation"], &["seen"]);
    let status = ask("status", 4);
    assert_eq!(status["status"], "waiting");
    has(&status["confirmations"][0], &open);
    assert_eq!(ask("confirm", 1)["error_code"], "confirm-needs-new-login");
    assert_eq!(ask("confirm --from-here", 0)["confirmation"]["state"], "confirmed");
    every_command_was_asked(&asked.borrow());
}

/// Every command but those whose purpose is a text for a shell or a file.
fn every_command_was_asked(lines: &BTreeSet<String>) {
    fn walk(command: &clap::Command, path: &str, missing: &mut Vec<String>, lines: &BTreeSet<String>) {
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let path = format!("{path} {}", sub.get_name()).trim_start().to_owned();
            if sub.has_subcommands() {
                walk(sub, &path, missing, lines);
            } else if path != "completion" && !lines.iter().any(|line| line.starts_with(&path)) {
                missing.push(path);
            }
        }
    }
    let mut missing = Vec::new();
    walk(&Args::command(), "", &mut missing, lines);
    assert!(missing.is_empty(), "with --json these were not asked: {missing:?}");
}

#[test]
fn whatever_a_recovery_does_it_tells_in_one_document() {
    let tree = Tree::new();
    let stop = "#!/bin/sh\nkill -9 $PPID\n";
    tree.call("install --profile small --yes").ends(0);
    let useradd = tree.text("/usr/sbin/useradd");
    tree.program("/usr/sbin/useradd", stop);
    assert_eq!(tree.call("install --profile full --yes --json").code, 137, "it is killed when it gets to people");
    tree.program("/usr/sbin/useradd", &useradd);
    let told = tree.call("recover --direction undo --json").ends(0).json();
    has(&told, &["status", "recovered", "owed"]);
    has(&told["recovered"][0], &["status", "transaction", "undoes", "changes", "kept", "failed", "owed"]);
    assert_eq!(tree.call("recover --json").ends(0).json()["recovered"], serde_json::json!([]));
}

#[test]
fn the_result_of_an_install_is_kept_beside_the_logs() {
    let tree = Tree::new();
    let printed = tree.call("install --profile small --yes --json").ends(0).json();
    let kept: Value = serde_json::from_str(&tree.text("/var/log/vps-configurator/install-1.json")).unwrap();
    assert_eq!(kept, printed);
    assert_eq!(printed["report"], "/var/log/vps-configurator/install-1.html");
    let page = tree.text("/var/log/vps-configurator/install-1.html");
    assert!(page.contains("<h1>success: profile small, transaction 1</h1>"), "{page}");
    for ending in ["html", "json"] {
        let path = tree.at(&format!("/var/log/vps-configurator/install-1.{ending}"));
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions());
        assert_eq!(mode & 0o7777, 0o640, "{ending}");
    }
    let shown = tree.call("transaction show 1 --json").ends(0).json();
    assert_eq!(shown["reports"].as_array().map(Vec::len), Some(2), "{shown:#}");
}

#[test]
fn a_report_that_cannot_be_kept_is_told_and_fails_nothing() {
    let tree = Tree::new();
    // Something else stands where its directory should be.
    tree.put("/var/log/vps-configurator", "mine\n");
    let ran = tree.call("install --profile small --yes").ends(0);
    assert!(ran.err.contains("warning: the report was not kept: "), "{}", ran.err);
    let ran = tree.call("install --profile full --yes --json").ends(0);
    assert_eq!((ran.json()["report"].clone(), ran.err.as_str()), (Value::Null, ""));
    assert_eq!(tree.text("/var/log/vps-configurator"), "mine\n");
}
