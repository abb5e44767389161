//! A file of ours that an administrator edited.

use super::Scenario;
use super::program::{installed, json, program, story};

pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "an administrator's edit of a drop-in and an option that changes another line of it are both in force",
    run: edited,
}];

const DROP_IN: &str = "/etc/ssh/sshd_config.d/00-vps-configurator.conf";
const PROFILE: &str = "title: Own
summary: Of a test
modules:
  system: {enabled: true, build_tools: false}
  security: {enabled: true, fail2ban: {enabled: false}, ufw: {enabled: false}, updates: {automatic: false}}
";

fn edited() {
    let machine = installed("edited");
    machine.put_bytes(PROFILE, "/etc/vps-configurator/profiles.d/own.yaml", 0o644);
    let first = program(&machine, "install --profile own --yes");
    assert_eq!(first.code, 0, "{}\n{}", first.stderr, story(&machine));
    let in_force = |line: &str| {
        let all = machine.ok("sshd -T");
        assert!(all.lines().any(|one| one == line), "{line} is not in force:\n{all}");
    };
    in_force("maxauthtries 4");

    machine.ok(&format!("sed -i 's/^ClientAliveCountMax .*/ClientAliveCountMax 3/' {DROP_IN} && systemctl reload ssh"));
    let by_hand = machine.read(DROP_IN);
    let drift = json(&machine, 4, "verify");
    assert_eq!(drift["drift"][0]["resource"], format!("file:{DROP_IN}"), "{drift}");

    let set = "install --profile own --set modules.security.ssh.max_auth_tries=6";
    let shown = program(&machine, &format!("{set} --dry-run")).stdout;
    assert!(shown.contains("those lines are kept") && shown.contains("+MaxAuthTries 6"), "{shown}");
    let done = json(&machine, 0, &format!("{set} --yes"));
    assert_eq!((done["changes"].as_u64(), done["deviations"].as_array().map(Vec::len)), (Some(1), Some(0)), "{done}");
    in_force("maxauthtries 6");
    in_force("clientalivecountmax 3");
    assert_eq!(json(&machine, 0, &format!("{set} --yes"))["changes"], 0);
    let found = json(&machine, 4, "verify");
    let ids: Vec<&str> = found["findings"].as_array().unwrap().iter().filter_map(|one| one["id"].as_str()).collect();
    assert!(ids.iter().any(|id| id.starts_with(&format!("edits:{DROP_IN}#"))), "{found}");
    assert!(ids.contains(&"sshd:clientalivecountmax"), "what is in force is told, too: {found}");
    assert_eq!(found["drift"], serde_json::json!([]), "{found}");
    let accepted =
        program(&machine, "finding accept 'edits:*' sshd:clientalivecountmax --reason 'a case with the vendor'");
    assert_eq!(accepted.code, 0, "{}", accepted.stderr);
    json(&machine, 0, "verify");

    // Both want the same line otherwise.
    machine.ok(&format!("sed -i 's/^MaxAuthTries .*/MaxAuthTries 9/' {DROP_IN}"));
    let before = machine.read(DROP_IN);
    let told = program(&machine, "install --profile own --set modules.security.ssh.max_auth_tries=3 --yes");
    assert_eq!(told.code, 4, "{}\n{}", told.stdout, told.stderr);
    assert!(told.stdout.contains("there is `MaxAuthTries 9`; wanted is `MaxAuthTries 3`"), "{}", told.stdout);
    assert_eq!(machine.read(DROP_IN), before);

    // What sshd would not take does not get there, whoever wrote it.
    machine.ok(&format!("sed -i 's/^MaxAuthTries .*/MaxAuthTries 6/; $a Bogus yes' {DROP_IN}"));
    let broken = machine.read(DROP_IN);
    let refused =
        program(&machine, "install --profile own --set modules.security.ssh.login_grace_seconds=77 --yes --json");
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    assert!(refused.stdout.contains("ssh-config-rejected"), "{}", refused.stdout);
    assert_eq!(machine.read(DROP_IN), broken);

    let back = program(&machine, "rollback --yes");
    assert_eq!(back.code, 0, "{}", back.stderr);
    assert!(back.stdout.contains("kept as"), "{}", back.stdout);
    assert_eq!(machine.read(DROP_IN), by_hand);
    in_force("clientalivecountmax 3");
    in_force("maxauthtries 4");
}
