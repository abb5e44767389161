//! What each command prints and how it ends, with each of its flags, on one host from fresh to taken back.

use super::snapshots;
use crate::support::Ran;
use crate::support::snapshot::{compare, steady};
use crate::support::tree::Tree;
use clap::CommandFactory;
use std::cell::RefCell;
use std::collections::BTreeSet;
use vps_configurator::cli::args::Args;

/// A host, and the command lines that were run on it.
struct Session {
    tree: Tree,
    lines: RefCell<BTreeSet<String>>,
}

impl Session {
    fn new() -> Session {
        Session { tree: Tree::new(), lines: RefCell::default() }
    }

    /// Runs a line (`ROOT` stands for the tree), which must end with `code` and print what the snapshot holds.
    #[track_caller]
    fn step(&self, name: &str, line: &str, code: i32) -> Ran {
        self.lines.borrow_mut().insert(line.to_owned());
        let ran = self.tree.call(&line.replace("ROOT", &self.tree.root().display().to_string())).ends(code);
        let mut text = format!("$ vps-configurator {line}\n{}", ran.out);
        if !ran.err.is_empty() {
            text.push_str(&format!("--- standard error\n{}", ran.err));
        }
        text.push_str(&format!("--- exit {}\n", ran.code));
        compare(&snapshots().join(format!("{name}.txt")), &steady(&text, self.tree.root()), "UPDATE_SNAPSHOTS");
        ran
    }
}

#[test]
fn every_command_says_what_it_did_and_every_flag_is_tried() {
    let session = Session::new();
    let tree = &session.tree;
    tree.put("/etc/sudoers.d/README", "");
    let before = tree.listing();

    // Nothing is there yet.
    session.step("status-fresh", "status", 0);
    session.step("health-check", "health check --verbose", 0);
    session.step("health-check-pre", "health check --pre", 0);
    session.step("transaction-list-fresh", "transaction list", 0);
    session.step("rollback-fresh", "rollback --yes", 0);
    session.step("rollback-list-fresh", "rollback --list", 0);
    session.step("confirm-fresh", "confirm", 0);
    session.step("recover-fresh", "recover --direction undo", 0);
    session.step("plan-without-a-profile", "plan", 2);

    // What there is.
    session.step("profile-list", "profile list", 0);
    session.step("profile-show", "profile show full", 0);
    session.step("module-list", "module list", 0);
    session.step("module-show", "module show base", 0);
    session.step("module-show-unknown", "module show bsae", 2);
    session.step("module-graph", "module graph --color never", 0);
    session.step("module-graph-profile", "module graph --profile full --format ascii", 0);
    session.step("module-graph-mermaid", "module graph --format mermaid", 0);
    session.step("module-graph-dot", "module graph --format dot", 0);
    session.step("module-graph-json", "module graph --format json", 0);

    // Modules of the administrator's own.
    tree.put("/tmp/tree/module.yaml", "name: tree\nsummary: Lists directories\nresources:\n  - package: tool\n");
    session.step("plugin-list-none", "plugin list", 0);
    session.step("plugin-install-dry-run", "plugin install ROOT/tmp/tree --dry-run", 0);
    session.step("plugin-install", "plugin install ROOT/tmp/tree", 0);
    session.step("plugin-install-again", "plugin install ROOT/tmp/tree", 2);
    session.step("plugin-install-replace", "plugin install ROOT/tmp/tree --replace --force", 0);
    session.step("plugin-install-checksum", "plugin install ROOT/tmp/tree --sha256 12", 2);
    session.step("plugin-list", "plugin list", 0);
    session.step("plugin-disable-dry-run", "plugin disable tree --dry-run", 0);
    session.step("plugin-disable", "plugin disable tree --force", 0);
    session.step("plugin-list-disabled", "plugin list", 0);
    session.step("plugin-enable-dry-run", "plugin enable tree --dry-run", 0);
    session.step("plugin-enable", "plugin enable tree", 0);
    session.step("plugin-enable-again", "plugin enable tree", 0);
    session.step("plugin-remove-dry-run", "plugin remove tree --dry-run", 0);
    session.step("plugin-remove-not-confirmed", "plugin remove tree", 2);
    session.step("plugin-remove", "plugin remove tree --force --yes", 0);
    session.step("plugin-remove-again", "plugin remove tree --yes", 2);
    for left in ["/tmp/tree", "/etc/vps-configurator"] {
        std::fs::remove_dir_all(tree.at(left)).unwrap();
    }

    // The configuration.
    session.step("config-show", "config show --profile full", 0);
    session.step("config-show-origin", "config show modules.web --origin --profile full", 0);
    session.step("config-show-unknown", "config show modules.wbe --profile full", 2);
    session.step("config-set-dry-run", "config set modules.base.level 5 --dry-run", 0);
    tree.must_be(&before, "nothing so far changes anything");
    session.step("config-set", "config set modules.base.level 5", 0);
    session.step("config-set-wrong", "config set modules.base.level loud", 2);
    session.step("config-show-set", "config show modules.base.level --origin --profile small", 0);
    session.step("config-set-unset", "config set modules.base.level --unset", 0);
    session.step("config-validate", "config validate --profile full", 0);
    session.step("profile-create-dry-run", "profile create mine --extends small --module kernel --dry-run", 0);
    session.step("profile-create", "profile create mine --extends small --module kernel", 0);
    session.step("profile-create-again", "profile create mine --module kernel", 2);
    session.step("profile-show-own", "profile show mine", 0);
    std::fs::remove_dir_all(tree.at("/etc/vps-configurator")).unwrap();

    // Plans change nothing.
    session.step("plan", "plan --profile full", 4);
    session.step("plan-verbose", "plan --profile small --verbose", 4);
    session.step("plan-quiet", "plan --profile full --quiet", 4);
    session.step("plan-colour", "plan --profile small --color always", 4);
    session.step("plan-module", "plan --profile full --module kernel", 4);
    session.step("plan-skip", "plan --profile full --skip web,people", 4);
    session.step("plan-set", "plan --profile small --set modules.base.level=7", 4);
    session.step("plan-out", "plan --profile small --out ROOT/tmp/plan.json", 4);
    session.step("install-dry-run", "install --profile full --dry-run", 0);
    session.step("install-not-confirmed", "install --profile full", 2);
    session.step("install-plan-and-set", "install --plan ROOT/tmp/plan.json --set modules.base.level=7 --yes", 2);
    session.step("install-plan-missing", "install --plan ROOT/tmp/nothing.json --yes", 2);
    let saved = tree.text("/tmp/plan.json");
    tree.put("/tmp/edited.json", saved.replace("mode 0640", "mode 0666"));
    session.step("install-plan-edited", "install --plan ROOT/tmp/edited.json --yes", 2);
    tree.remove("/tmp/edited.json");
    tree.put("/tmp/answers.yaml", "profile: small\nmodules: {base: {level: 7}}\n");
    session.step("wizard-without-a-terminal", "wizard", 2);
    session.step("wizard-left", "wizard --plain", 1);
    session.step("wizard-answers-dry-run", "wizard --answers ROOT/tmp/answers.yaml --dry-run", 0);
    session.step("wizard-answers-not-confirmed", "wizard --answers ROOT/tmp/answers.yaml", 2);
    tree.put("/tmp/answers.yaml", "profile: smal\nmodules: {base: {level: loud}}\n");
    session.step("wizard-answers-wrong", "wizard --answers ROOT/tmp/answers.yaml --yes", 2);
    tree.remove("/tmp/answers.yaml");

    // There.
    session.step("install-plan", "install --plan ROOT/tmp/plan.json --workers 1 --yes", 0);
    session.step("install-plan-outdated", "install --plan ROOT/tmp/plan.json --yes", 1);
    tree.remove("/tmp/plan.json");
    session.step("install-download-only", "install --profile full --download-only --yes", 0);
    assert!(tree.text("/var/lib/dpkg/status").lines().all(|line| line != "Package: web"), "fetched, not installed");
    session.step("cache-stats", "cache stats", 0);
    session.step("cache-list", "cache list", 0);
    session.step("cache-list-verify", "cache list --verify", 0);
    session.step("cache-clear-dry-run", "cache clear --dry-run", 0);
    session.step("install-quiet", "install --profile full --module web --skip kernel --dry-run --quiet", 0);
    session.step("install", "install --profile full --workers 1 --yes", 0);
    session.step("install-again", "install --profile full --yes --events /dev/null", 0);
    session.step("plan-nothing", "plan --profile full", 0);
    session.step("status", "status", 0);
    session.step("verify", "verify --profile full", 0);
    session.step("verify-verbose", "verify --profile full --verbose", 0);
    session.step("verify-module", "verify --profile full --module kernel --skip web", 0);
    session.step("transaction-list", "transaction list", 0);
    session.step("transaction-show", "transaction show 2", 0);
    session.step("transaction-show-unknown", "transaction show 9", 2);
    session.step("transaction-diff", "transaction diff 1", 0);
    session.step("circuit-breaker-status", "circuit-breaker status", 0);
    session.step("circuit-breaker-reset", "circuit-breaker reset", 0);
    session.step("supply-chain-verify", "supply-chain verify", 0);
    session.step("recover-nothing", "recover --events /dev/null", 0);

    // Someone changes something.
    tree.put("/etc/base/greeting.conf", "greeting = rude\n");
    tree.put("/proc/sys/vm/swappiness", "99\n");
    session.step("verify-set", "verify --profile full --module base --set modules.base.greeting=rude", 4);
    session.step("verify-drift", "verify --profile full", 4);
    session.step("plan-drift", "plan --profile full", 4);
    session.step("install-mends-drift", "install --profile full --workers 1 --yes", 0);

    // Someone changes something beside the profile.
    let sudoers = "ada ALL=(ALL) NOPASSWD: ALL\n";
    tree.put("/etc/sudoers.d/ada", sudoers);
    tree.put("/usr/bin/tool", "#!/bin/sh\necho evil\n");
    session.step("verify-findings", "verify --profile full", 4);
    session.step("verify-deep", "verify --profile full --deep", 4);
    session.step("finding-list-none", "finding list", 0);
    session.step("finding-accept-unknown", "finding accept sudo:/etc/sudoers.d/bob", 2);
    session.step("finding-accept", "finding accept sudo:* --reason expected", 0);
    session.step("finding-list", "finding list", 0);
    session.step("verify-accepted", "verify --profile full", 4);
    session.step("finding-withdraw", "finding withdraw sudo:/etc/sudoers.d/ada", 0);
    tree.remove("/etc/sudoers.d/ada");
    tree.put("/usr/bin/tool", "#!/bin/sh\necho tool 1.0\n");
    session.step("verify-found-no-more", "verify --profile full", 0);

    // And back.
    session.step("rollback-list", "rollback --list", 0);
    session.step("rollback-status", "rollback --status", 0);
    session.step("rollback-dry-run", "rollback --to 0 --dry-run", 0);
    session.step("rollback-not-confirmed", "rollback", 2);
    session.step("rollback", "rollback --yes", 0);
    session.step("rollback-module", "rollback --module people --yes", 0);
    session.step("rollback-module-again", "rollback --module people --yes", 0);
    session.step("rollback-to", "rollback --to 0 --yes", 0);
    session.step("rollback-nothing", "rollback --yes --events /dev/null", 0);

    // What touches the way in waits to be confirmed.
    session.step("plan-nothing-to-confirm", "plan --profile full --module kernel", 4);
    session.step("install-armed", "install --profile full --module people --confirm always --workers 1 --yes", 0);
    session.step("status-waiting", "status", 4);
    session.step("install-while-one-waits", "install --profile full --confirm never --yes", 1);
    session.step("confirm-without-a-login", "confirm", 1);
    session.step("confirm-unknown", "confirm 99", 2);
    session.step("confirm", "confirm --from-here", 0);
    session.step("confirm-again", "confirm", 0);
    session.step("transaction-show-confirmed", "transaction show 7", 0);
    session.step("rollback-confirmed", "rollback --yes", 0);
    let again =
        "install --profile full --module people --confirm always --confirm-timeout 900 --workers 1 --quiet --yes";
    session.step("install-armed-quietly", again, 0);
    session.step("rollback-waiting", "rollback --yes", 0);
    session.step("transaction-show-void", "transaction show 9", 0);
    session.step("status-taken-back", "status", 0);
    session.step("transaction-list-taken-back", "transaction list", 0);
    // What somebody else set in the kernel stays, and is told.
    tree.put("/proc/sys/vm/swappiness", "60\n");
    tree.must_be(&before, "after everything was taken back");

    every_flag_is_tried(&session.lines.borrow());
}

/// Reads the program's own list of flags, so that a new one asks for a step above.
fn every_flag_is_tried(lines: &BTreeSet<String>) {
    fn walk(command: &clap::Command, path: &str, missing: &mut Vec<String>, lines: &BTreeSet<String>) {
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let Some(long) = argument.get_long() else { continue };
            let flag = format!("--{long}");
            let begins = |line: &&String| line.starts_with(path.trim_start());
            if !lines.iter().filter(begins).any(|line| line.split(' ').any(|word| word == flag)) {
                missing.push(format!("{path} {flag}"));
            }
        }
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            walk(sub, &format!("{path} {}", sub.get_name()), missing, lines);
        }
    }
    let mut missing = Vec::new();
    walk(&Args::command(), "", &mut missing, lines);
    // These are tried in `json` and `streams`.
    missing.retain(|flag| flag != " --json");
    assert!(missing.is_empty(), "no step tries {missing:#?}");
}

#[test]
fn help_fits_eighty_columns_and_is_the_one_that_was_agreed_to() {
    let session = Session::new();
    fn walk(command: &clap::Command, path: &str, session: &Session) {
        let line = format!("{path} --help").trim_start().to_owned();
        let name = format!("help{}", path.replace(' ', "-"));
        let ran = session.step(&name, &line, 0);
        let long: Vec<&str> = ran.out.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{line}: more than 80 columns: {long:#?}");
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            walk(sub, &format!("{path} {}", sub.get_name()), session);
        }
    }
    walk(&Args::command(), "", &session);
}

#[test]
fn wrong_usage_ends_with_two_and_touches_nothing() {
    let tree = Tree::new();
    let before = tree.listing();
    for line in [
        "instal",
        "install --porfile full",
        "install --workers 0",
        "install --workers many",
        "plan extra",
        "rollback --to x",
        "rollback --to 1 --module web",
        "rollback --list --dry-run",
        "recover --direction sideways",
        "transaction show",
        "transaction show one",
        "finding accept",
        "finding accept --reason x",
        "module graph --format png",
        "config set modules.base.level",
        "config set modules.base.level 3 --unset",
        "completion tcsh",
        "install --quiet --verbose",
        "install --plan x --dry-run",
        "install --confirm perhaps",
        "install --confirm-timeout 9",
        "confirm one",
        "wizard --yes",
        "wizard --plain --answers x",
    ] {
        let ran = tree.call(line).ends(2);
        assert!(ran.out.is_empty() && ran.err.starts_with("error: "), "{line}: {}{}", ran.out, ran.err);
    }
    tree.must_be(&before, "after wrong usage");
}
