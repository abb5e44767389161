//! What a changed profile no longer asks for.

use super::Scenario;
use super::program::{installed, json, program, story, take_all_back};
use crate::harness::Machine;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "what a changed profile drops goes alone, comes back with a rollback, and is never the last way in",
    run: dropped,
}];

/// A tool, a file and a unit of the administrator's own.
const TOOL: &str = "  - package: [tree, ncdu]
  - file: /etc/tool.conf
    content: tool
  - file: /etc/systemd/system/tool.service
    content: |
      [Service]
      ExecStart=/usr/bin/sleep infinity
      [Install]
      WantedBy=multi-user.target
    notify: [daemon-reload]
  - unit: tool.service
    enabled: true
    active: true
";

/// A firewall, the module `tool` or not, these ports and these people.
fn profile(machine: &Machine, tool: bool, ports: &str, people: &[&str]) {
    let key = machine.read("/run/key.pub");
    let person =
        |name: &&str| format!("\n      - {{name: {name}, sudo: full, password: false, keys: [\"{}\"]}}", key.trim());
    let people: String = people.iter().map(person).collect();
    let people = if people.is_empty() { "[]".to_owned() } else { people };
    let text = format!(
        "title: Own\nsummary: Of a test\nmodules:\n  system: {{enabled: true, build_tools: false}}\n  security: {{enabled: true, fail2ban: {{enabled: false}}, ufw: {{additional_ports: [{ports}]}}}}\n  kept: {{enabled: true}}\n  tool: {{enabled: {tool}}}\n  rbac:\n    enabled: true\n    users: {people}\n"
    );
    machine.put_bytes(text, "/etc/vps-configurator/profiles.d/own.yaml", 0o644);
}

#[track_caller]
fn install(machine: &Machine) -> serde_json::Value {
    let output = program(machine, "install --profile own --yes --json");
    assert_eq!(output.code, 0, "{}\n{}\n{}", output.stdout, output.stderr, story(machine));
    serde_json::from_str(&output.stdout).expect("install tells JSON")
}

fn dropped() {
    let machine = installed("dropped");
    machine.ok("ssh-keygen -q -t ed25519 -N '' -f /run/key; passwd -d root; passwd -l root");
    for (name, resources) in
        [("tool", TOOL), ("kept", "  - package: [tree, less]\n  - file: /etc/kept.conf\n    content: kept\n")]
    {
        let manifest = format!("name: {name}\nsummary: A module of a test\npriority: 50\nresources:\n{resources}");
        machine.put_bytes(manifest, &format!("/etc/vps-configurator/modules.d/{name}/module.yaml"), 0o644);
    }
    let fresh = machine.snapshot();
    // What stays, to be held against what is left: installed first, by itself.
    profile(&machine, false, "", &["mia"]);
    install(&machine);
    profile(&machine, true, "8080/tcp, 9090/tcp", &["mia", "eve"]);
    let without = machine.snapshot();
    install(&machine);
    assert_eq!(machine.ok("systemctl is-active tool").trim(), "active");
    assert!(machine.ok("ufw status").contains("8080/tcp"));
    machine.ok("sudo -l -U eve /bin/sh");
    let with = machine.snapshot();

    // The module, one port and one person leave.
    profile(&machine, false, "8080/tcp", &["mia"]);
    let shown = program(&machine, "plan --profile own");
    assert_eq!(shown.code, 4, "{}", shown.stderr);
    for part in [
        "- unit:tool.service: no longer asked for",
        "remove /etc/tool.conf",
        "- firewall_rule:allow 9090/tcp: no longer asked for",
        "remove the user eve",
        "purge 1 package: ncdu",
        "does not ask for ncdu",
    ] {
        assert!(shown.stdout.contains(part), "{part}:\n{}", shown.stdout);
    }
    let is_ours = |line: &String| line.contains("/profiles.d/own.yaml");
    assert!(machine.differences(&with).iter().all(is_ours), "a plan changes nothing");
    // Nobody confirms that people and ports go: they are back, and the tool, which lets nobody in, is gone.
    let armed = program(&machine, "install --profile own --yes --confirm always --confirm-timeout 10");
    assert_eq!(armed.code, 0, "{}\n{}", armed.stdout, armed.stderr);
    let is_over = "vps-configurator status --json | grep -q '\"confirmations\": \\[\\]'";
    machine
        .ok(&format!("for i in $(seq 300); do {is_over} && exit 0; sleep 0.5; done; vps-configurator status; exit 1"));
    machine.ok("sudo -l -U eve /bin/sh && ufw status | grep -q 9090/tcp && ! test -e /etc/tool.conf");
    // Asked for once more.
    assert_eq!(install(&machine)["deviations"], serde_json::json!([]));
    machine.ok("! test -e /etc/tool.conf && ! id eve && test -x /usr/bin/tree && ! test -e /usr/bin/ncdu && ! test -e /home/eve");
    machine.ok("! ufw status | grep -q 9090/tcp && ufw status | grep -q 8080/tcp && ufw status | grep -q 22/tcp");
    machine.ok("! ls /etc/sudoers.d | grep eve && sudo -l -U mia /bin/sh");
    let left = machine.differences(&without);
    let is_meant = |line: &String| line.contains("ufw") || line.contains("8080") || line.contains("own.yaml");
    assert!(left.iter().all(is_meant), "only the port that stays is left:\n{}", left.join("\n"));
    assert_eq!(json(&machine, 0, "install --profile own --yes")["changes"], 0);

    // The last one who can become root stays.
    profile(&machine, false, "8080/tcp", &[]);
    let before = machine.snapshot();
    for words in ["plan --profile own", "install --profile own --yes"] {
        let refused = program(&machine, words);
        assert_eq!(refused.code, 1, "{words}: {}\n{}", refused.stdout, refused.stderr);
        assert!(
            refused.stderr.contains("the last way in") && refused.stderr.contains("ssh-locks-out"),
            "{}",
            refused.stderr
        );
    }
    machine.must_be_as_before(&before);
    machine.ok("sudo -l -U mia /bin/sh");

    // All of it comes back, with what had been there.
    profile(&machine, true, "8080/tcp, 9090/tcp", &["mia", "eve"]);
    machine.ok("vps-configurator rollback --to 2 --yes");
    machine.must_be_as_before(&with);
    assert_eq!(json(&machine, 0, "install --profile own --yes")["changes"], 0);

    machine.ok("rm /etc/vps-configurator/profiles.d/own.yaml");
    take_all_back(&machine, &fresh);
}
