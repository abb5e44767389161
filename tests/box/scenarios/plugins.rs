//! Modules that come from elsewhere, and the administrator's own programs at the events of a run.

use super::Scenario;
use super::program::{installed, json, program};
use crate::harness::Machine;
use serde_json::Value;

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a plugin comes from an archive, is applied, disabled and removed, and a rollback needs it no more",
        run: plugin,
    },
    Scenario {
        name: "hooks of each event are told what happens, and one that fails keeps the host untouched",
        run: hooks,
    },
];

const MODULE: &str = "name: trees
summary: Directories as trees
resources:
  - package: tree
  - file: /etc/trees.conf
    template: trees.conf.tera
";

/// A profile with the plugin, or without.
fn profile(machine: &Machine, modules: &str) {
    let text = format!("title: Own\nsummary: Of a test\nmodules: {{{modules}}}\n");
    machine.put_bytes(text, "/etc/vps-configurator/profiles.d/own.yaml", 0o644);
}

fn plugin() {
    let mut machine = installed("plugin");
    machine.put_bytes(MODULE, "/tmp/src/trees/module.yaml", 0o644);
    machine.put_bytes("host = {{ facts.hostname }}\n", "/tmp/src/trees/templates/trees.conf.tera", 0o644);
    machine.ok("tar -C /tmp/src -czf /tmp/trees.tar.gz trees && ln -s /etc/shadow /tmp/src/trees/templates/b");
    machine.ok("tar -C /tmp/src -czf /tmp/link.tar.gz trees && rm -r /tmp/src");
    let sum = machine.ok("sha256sum /tmp/trees.tar.gz");
    let sum = sum.split(' ').next().unwrap();
    let out = tempfile::tempdir().unwrap();
    machine.get("/tmp/trees.tar.gz", out.path().join("trees.tar.gz"));
    let url = format!("{}/trees.tar.gz", machine.serve(out.path()).trim_end_matches('/'));

    let refused = json(&machine, 1, "plugin install /tmp/link.tar.gz");
    assert_eq!(refused["error_code"], "plugin-unfit", "{refused:#}");
    let wrong = json(&machine, 1, &format!("plugin install {url} --sha256 {}", "0".repeat(64)));
    assert_eq!(wrong["error_code"], "download-failed", "{wrong:#}");
    let before = machine.snapshot();
    let came = json(&machine, 0, &format!("plugin install {url} --sha256 {sum}"));
    assert_eq!(came["plugin"], "trees");
    assert_eq!(machine.ok("stat -c '%U %a' /etc/vps-configurator/modules.d/trees/module.yaml").trim(), "root 640");
    machine.ok("journalctl -q --sync; journalctl -q PLUGIN=trees | grep 'plugin trees installed from http'");

    profile(&machine, "trees: {}");
    json(&machine, 0, "install --profile own --yes");
    machine.ok("tree --version && grep -q '^host = ' /etc/trees.conf");
    let refused = json(&machine, 2, "plugin disable trees");
    assert_eq!(refused["error_code"], "plugin-in-use", "{refused:#}");
    profile(&machine, "");
    json(&machine, 0, "plugin disable trees");
    json(&machine, 1, "plugin remove trees --yes");
    json(&machine, 0, "plugin remove trees --force --yes");
    json(&machine, 0, "rollback --module trees --yes");
    machine.ok("! command -v tree && test ! -e /etc/trees.conf");
    machine.ok("rm /etc/vps-configurator/profiles.d/own.yaml");
    json(&machine, 0, "rollback --to 0 --yes");
    let left: Vec<String> = machine.differences(&before).into_iter().filter(|line| line.contains("trees")).collect();
    assert!(left.is_empty(), "{left:#?}");
    assert_eq!(machine.ok("ls -A /etc/vps-configurator/modules.d").trim(), "");
}

/// What hooks were told so far; forgotten then.
fn told(machine: &Machine) -> Vec<Value> {
    let text = machine.ok("touch /root/told; cat /root/told; rm /root/told");
    text.lines().map(|line| serde_json::from_str(line).expect("a hook is told JSON")).collect()
}

fn events(told: &[Value]) -> Vec<&str> {
    told.iter().map(|one| one["event"].as_str().unwrap_or_default()).collect()
}

fn hooks() {
    let machine = installed("hooks");
    let dir = "/etc/vps-configurator/hooks.d";
    for event in ["pre_install", "post_module", "post_install", "post_rollback", "on_error"] {
        machine.put_bytes("#!/bin/sh\ncat >> /root/told\necho told\n", &format!("{dir}/{event}/10-tell"), 0o755);
    }
    machine.put_bytes("#!/bin/sh\necho no backup >&2\nexit 1\n", &format!("{dir}/pre_install/20-backup"), 0o755);
    let module = "name: bit\nsummary: A bit\nresources:\n  - package: tree\n  - file: /etc/bit.conf\n    content: x\n";
    machine.put_bytes(module, "/etc/vps-configurator/modules.d/bit/module.yaml", 0o644);
    profile(&machine, "bit: {}");
    let before = machine.snapshot();
    let refused = json(&machine, 1, "install --profile own --yes");
    assert_eq!(refused["error_code"], "hook-failed", "{refused:#}");
    assert_eq!(events(&told(&machine)), ["pre_install"]);
    machine.must_be_as_before(&before);

    machine.ok(&format!("chmod -x {dir}/pre_install/20-backup"));
    let before = machine.snapshot();
    let done = json(&machine, 0, "install --profile own --yes");
    let all = told(&machine);
    assert_eq!(events(&all), ["pre_install", "post_module", "post_install"]);
    assert_eq!((&all[1]["module"], &all[2]["state"]), (&"bit".into(), &"done".into()));
    assert_eq!(all[2]["transaction"], done["transaction"]);
    let id = &done["transaction"];
    machine
        .ok(&format!("journalctl -q --sync; journalctl -q TRANSACTION_ID={id} HOOK=post_install/10-tell | grep told"));

    let bad = "name: bad\nsummary: Bad\nresources:\n  - file: /etc/bad.conf\n    content: x\n    check: [\"false\"]\n";
    machine.put_bytes(bad, "/etc/vps-configurator/modules.d/bad/module.yaml", 0o644);
    profile(&machine, "bit: {}, bad: {}");
    let failed = program(&machine, "install --profile own --yes");
    assert_eq!(failed.code, 1, "{}{}", failed.stdout, failed.stderr);
    let all = told(&machine);
    assert_eq!(events(&all), ["pre_install", "on_error"]);
    assert_eq!(all[1]["error"]["code"], "check-failed", "{all:#?}");
    profile(&machine, "bit: {}");
    machine.ok("rm -r /etc/vps-configurator/modules.d/bad");
    json(&machine, 0, "rollback --yes");
    assert_eq!(events(&told(&machine)), ["post_rollback"]);
    machine.must_be_as_before(&before);
}
