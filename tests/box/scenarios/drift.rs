//! What others change on a host that we look after: `verify` sees it, with file and time and what was known.

use super::Scenario;
use super::program::{installed, json, program, story};
use crate::harness::Machine;
use serde_json::Value;

/// They take the profile beginner, and minutes.
pub const LONG: &[Scenario] = &[Scenario {
    name: "drift: of twelve changes by hand verify sees twelve, a run mends its own and swallows none of the others",
    run: twelve,
}];

/// A module of the administrator's with something of each kind that the twelve touch.
const GUARD: &str = r#"name: guard
summary: What the scenario of drift changes by hand
depends_on: [security]
resources:
  - package: [sudo, adduser]
  - authorized_key: ada
    keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB0123456789012345678901234567890123456789abc ada@laptop"]
  - file: /etc/guard.conf
    content: "one = 1\ntwo = 2\n"
    mode: "0640"
"#;

/// One change by hand: what it is, how it is made, where `verify` tells it (`drift` or `findings`), under which id, and
/// which file it names.
struct ByHand {
    what: &'static str,
    script: &'static str,
    list: &'static str,
    id: &'static str,
    file: Option<&'static str>,
}

const fn hand(
    what: &'static str,
    script: &'static str,
    list: &'static str,
    id: &'static str,
    file: Option<&'static str>,
) -> ByHand {
    ByHand { what, script, list, id, file }
}

/// The twelve of research/engines.md, section 1.
const TWELVE: [ByHand; 12] = [
    hand(
        "a rule of ufw",
        "ufw allow 23/tcp",
        "findings",
        "firewall:allow tcp 23 0.0.0.0/0 any 0.0.0.0/0 in",
        Some("/etc/ufw/user.rules"),
    ),
    hand("a member of a group", "gpasswd -a bob sudo", "findings", "admins:sudo/bob", Some("/etc/group")),
    hand(
        "a sudoers file",
        "echo 'bob ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/99-evil && chmod 440 /etc/sudoers.d/99-evil",
        "findings",
        "sudo:/etc/sudoers.d/99-evil",
        Some("/etc/sudoers.d/99-evil"),
    ),
    hand("a live kernel setting", "sysctl -qw net.ipv4.tcp_fin_timeout=99", "drift", "sysctl:system", None),
    hand(
        "a key",
        "echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBxyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyz evil' \
         >> /home/ada/.ssh/authorized_keys",
        "findings",
        "ssh-keys:ada/",
        Some("/home/ada/.ssh/authorized_keys"),
    ),
    hand(
        "an SSH drop-in that overrides ours",
        "echo 'MaxAuthTries 20' > /etc/ssh/sshd_config.d/00-evil.conf",
        "findings",
        "sshd:maxauthtries",
        Some("/etc/ssh/sshd_config.d/00-evil.conf"),
    ),
    hand(
        "a live rule of iptables",
        "iptables -I INPUT -p tcp --dport 8023 -j ACCEPT",
        "findings",
        "packet-filter:",
        None,
    ),
    hand("a packaged program", "printf x >> /usr/bin/jq", "findings", "programs:/usr/bin/jq", Some("/usr/bin/jq")),
    hand("a file", "echo 'three = 3' >> /etc/guard.conf", "drift", "file:/etc/guard.conf", None),
    hand(
        "a mode",
        "chmod 600 /etc/fail2ban/jail.d/zz-vps-configurator.conf",
        "drift",
        "file:/etc/fail2ban/jail.d/zz-vps-configurator.conf",
        None,
    ),
    hand("a service", "systemctl stop fail2ban", "drift", "unit:fail2ban.service", None),
    hand("a package", "apt-get install -qqy nmap", "findings", "packages:nmap", Some("/var/lib/dpkg/info/nmap.list")),
];

fn twelve() {
    let machine = installed("drift");
    // With an administrator from the start: what SSH lets in depends on whether there is one.
    machine.ok("apt-get install -qqy adduser sudo && \
         for name in ada bob; do adduser --disabled-password --gecos '' $name; done && gpasswd -a ada sudo");
    machine.ok("mkdir -p /etc/vps-configurator/modules.d/guard /etc/vps-configurator/conf.d");
    machine.put_bytes(GUARD, "/etc/vps-configurator/modules.d/guard/module.yaml", 0o644);
    machine.put_bytes(
        "profile: beginner\nmodules:\n  guard: {enabled: true}\n",
        "/etc/vps-configurator/conf.d/10-drift.yaml",
        0o644,
    );
    json(&machine, 0, "install --yes");
    let clean = json(&machine, 0, "verify");
    assert_eq!((&clean["findings"], &clean["baseline"]["transaction"]), (&Value::from(Vec::<Value>::new()), &1.into()));

    // From here on programs are asked again only when something changed: each change is made right after a look that
    // remembered everything.
    machine.ok("sleep 1");
    json(&machine, 0, "verify");
    let answered = || machine.ok("stat -c %i.%Z /var/cache/vps-configurator/answered.json");
    let remembered = answered();
    json(&machine, 0, "verify");
    assert_eq!(answered(), remembered, "nothing was asked again that is remembered");

    let mut known: Vec<String> = Vec::new();
    let mut seen = 0;
    for hand in TWELVE {
        // Times are told in seconds, and the changes are to be told apart.
        machine.ok("sleep 1");
        program(&machine, "verify");
        machine.ok(&format!("sleep 1; {}", hand.script));
        let verdict = json(&machine, 4, "verify");
        let new = told(&verdict).into_iter().filter(|told| !known.contains(&told.0)).collect::<Vec<_>>();
        let found = new.iter().find(|(id, _)| id.starts_with(&format!("{} {}", hand.list, hand.id)));
        let Some((_, entry)) = found else { panic!("not seen: {}; new is only {new:#?}", hand.what) };
        if let Some(file) = hand.file {
            assert_eq!(entry["file"], file, "{}", hand.what);
        }
        if hand.file.is_some() || !["sysctl:system", "packet-filter:"].contains(&hand.id) {
            let changed = entry["changed"].as_str().unwrap_or_else(|| panic!("no time for {}: {entry:#}", hand.what));
            let now = machine.ok("date -u +%Y-%m-%dT%H:%M");
            assert_eq!(changed.get(..10), now.get(..10), "{}", hand.what);
        }
        if hand.list == "drift" {
            assert_eq!((&entry["last"]["transaction"], &entry["last"]["by"]), (&1.into(), &"root".into()), "{entry:#}");
        }
        seen += 1;
        println!(
            "drift: seen: {}: {}",
            hand.what,
            new.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>().join(", ")
        );
        known.extend(new.into_iter().map(|(id, _)| id));
    }
    println!("drift: {seen} of {} seen", TWELVE.len());
    let shown = program(&machine, "verify");
    assert_eq!(shown.code, 4);
    for word in ["set by /etc/ssh/sshd_config.d/00-evil.conf line 1", "--dport 8023 -j ACCEPT", "transaction 1 by root"]
    {
        let text = shown.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(word), "{word} in\n{}", shown.stdout);
    }
    alerted(&machine);
    a_run_swallows_nothing(&machine);
    accepted(&machine);
}

/// Everything that a verdict tells, as `list id`, with its entry.
fn told(verdict: &Value) -> Vec<(String, Value)> {
    let mut told = Vec::new();
    for (list, key) in [("drift", "resource"), ("findings", "id")] {
        for entry in verdict[list].as_array().expect("a list") {
            told.push((format!("{list} {}", entry[key].as_str().expect("an id")), entry.clone()));
        }
    }
    told
}

/// The unit of the timer fails with what it found, and the alert says how much that is.
fn alerted(machine: &Machine) {
    assert_eq!(machine.sh("systemctl start vps-configurator-drift.service").code, 1);
    let line = "journalctl --no-pager -o cat MESSAGE_ID=5f2d4d5d7d8a4f0f9a0c6b1f3f6d2a10";
    let line = machine.ok(&format!("for n in 1 2 3 4 5 6 7 8 9 10; do {line} | grep . && break; sleep 1; done"));
    assert!(line.contains("4 resources drifted, 10 findings"), "{line}\n{}", story(machine));
}

/// An install puts its own things right; what others did beside them stays a finding.
fn a_run_swallows_nothing(machine: &Machine) {
    let before = json(machine, 4, "verify");
    json(machine, 0, "install --yes");
    let after = json(machine, 4, "verify");
    assert_eq!(after["drift"], Value::from(Vec::<Value>::new()), "{after:#}");
    let ids = |verdict: &Value| {
        let list = verdict["findings"].as_array().expect("a list").iter();
        list.map(|finding| finding["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&after), ids(&before));
}

/// What is accepted is no finding any more, also after a reboot; what the reboot took away is told as gone.
fn accepted(machine: &Machine) {
    let accepted = json(machine, 0, "finding accept '*' --reason 'the scenario did it'");
    assert_eq!(accepted["changes"], 10, "{accepted:#}");
    machine.ok("rm /etc/ssh/sshd_config.d/00-evil.conf && systemctl reload ssh");
    let gone = json(machine, 4, "verify");
    let told: Vec<String> = told(&gone).into_iter().map(|(id, entry)| format!("{id} {}", entry["what"])).collect();
    let wanted = [
        "findings ssh-config:/etc/ssh/sshd_config.d/00-evil.conf \"removed\"",
        "findings sshd:maxauthtries \"changed\"",
    ];
    assert_eq!(told, wanted, "{gone:#}");
    json(machine, 0, "finding withdraw 'ssh*:*'");
    let left = json(machine, 4, "verify");
    let ids: Vec<&Value> = left["findings"].as_array().expect("a list").iter().map(|finding| &finding["id"]).collect();
    assert!(ids.len() == 1 && ids[0].as_str().is_some_and(|id| id.starts_with("ssh-keys:ada/")), "{left:#}");
    let deep = json(machine, 4, "verify --deep");
    assert_eq!(deep["findings"], left["findings"], "every file of every package is as it was brought");
}
