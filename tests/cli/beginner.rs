//! The shipped profile `beginner`, whole, on the simulated host.

use crate::support::tree::Tree;

#[test]
fn the_shipped_profile_is_installed_as_planned_changes_nothing_twice_and_goes_away_again() {
    let tree = Tree::shipped();
    let before = tree.listing();
    let plan = tree.call("plan --profile beginner --set modules.system.swap_size_mb=1 --json").ends(4).json();
    let done = tree.call("install --profile beginner --set modules.system.swap_size_mb=1 --yes --json").ends(0).json();
    assert_eq!(done["deviations"], serde_json::json!([]), "{done:#}");
    assert_eq!(done["changes"], plan["plan"]["steps"].as_array().unwrap().len());
    let sshd = tree.text("/etc/ssh/sshd_config.d/00-vps-configurator.conf");
    assert!(sshd.contains("MaxAuthTries 4"), "{sshd}");
    let again = tree.call("install --profile beginner --set modules.system.swap_size_mb=1 --yes --json").ends(0).json();
    assert_eq!(again["changes"], 0);
    tree.call("rollback --yes").ends(0);
    tree.must_be(&before, "after the rollback of beginner");
}

#[test]
fn files_of_vpn_clients_name_an_address_that_somebody_said_or_that_the_host_has() {
    let tree = Tree::shipped();
    let with = |more: &str| {
        let config = format!("profile: beginner\nmodules:\n  wireguard: {{enabled: true, {more}}}\n");
        tree.put("/etc/vps-configurator/config.yaml", config);
        tree.call("plan --module wireguard")
    };
    let refused = with("peers: [{name: a, address: 10.8.0.2}, {name: b, address: 10.8.0.3}]").ends(2);
    assert!(refused.err.contains("option-required"), "{}", refused.err);
    assert_eq!(refused.err.matches("modules.wireguard.endpoint is not set").count(), 1, "{}", refused.err);
    let key = "p".repeat(43);
    for good in [
        "peers: []".to_owned(),
        format!("peers: [{{name: a, address: 10.8.0.2, public_key: \"{key}=\"}}]"),
        "endpoint: vpn.example.org, peers: [{name: a, address: 10.8.0.2}]".to_owned(),
    ] {
        let said = with(&good).err;
        assert!(!said.contains("option-required"), "{good}: {said}");
    }
}

#[test]
fn a_kernel_without_bbr_and_a_container_without_a_packet_filter_are_found_while_planning() {
    let tree = Tree::shipped();
    tree.put("/lib/modules/6.12/modules.dep", "kernel/net/ipv4/tcp_vegas.ko.xz:\n");
    let plan = tree.call("plan --profile beginner --set modules.system.swap_size_mb=1 --json").ends(4).json();
    let notes = plan["plan"]["notes"].to_string();
    assert!(
        notes.contains("kernel_module:tcp_bbr: not applicable here: the running kernel has no such module"),
        "{notes}"
    );
    let settings = plan["plan"]["steps"].as_array().unwrap().iter().find(|step| step["id"] == "sysctl:system").unwrap();
    let text = settings.to_string();
    assert!(!text.contains("tcp_congestion_control") && !text.contains("default_qdisc"), "{text}");
    assert!(text.contains("tcp_fin_timeout"), "{text}");

    tree.program(
        "/usr/sbin/iptables",
        "#!/bin/sh\necho 'iptables: Could not fetch rule set generation id: Permission denied' >&2\nexit 4\n",
    );
    let before = tree.listing();
    let refused = tree.call("install --profile beginner --set modules.system.swap_size_mb=1 --yes").ends(1);
    assert!(
        refused.err.contains("firewall-impossible") && refused.err.contains("Permission denied"),
        "{}",
        refused.err
    );
    tree.must_be(&before, "nothing was touched");
    tree.call("plan --profile beginner --set modules.system.swap_size_mb=1 --set modules.security.ufw.enabled=false")
        .ends(4);
}

#[test]
fn what_is_no_public_key_is_told_where_it_stands_and_never_whole() {
    let tree = Tree::shipped();
    let with = |key: &str| {
        let users = format!("users: [{{name: mia, keys: [\"{key}\"]}}]");
        tree.put(
            "/etc/vps-configurator/config.yaml",
            format!("profile: beginner\nmodules:\n  rbac: {{enabled: true, {users}}}\n"),
        );
        tree.call("config validate")
    };
    let key = format!("AAAAC3NzaC1lZDI1NTE5AAAAI{}", "a".repeat(43));
    for good in [
        format!("ssh-ed25519 {key}"),
        format!("ssh-ed25519 {key} mia@laptop, at home\\n"),
        format!("from=\\\"10.0.0.0/8\\\",no-pty sk-ssh-ed25519@openssh.com {key} mia"),
    ] {
        with(&good).ends(0);
    }
    let long = "b".repeat(300);
    let twice = format!("ssh-ed25519 {key}\\nssh-ed25519 {key}");
    for bad in ["ssh-ed25519", "ssh-dss AAAAB3", "mia@laptop", &key, &twice, &format!("ssh-ed25519 {long}")] {
        let refused = with(bad).ends(2);
        assert!(refused.err.contains("pattern-mismatch") && refused.err.contains("config.yaml:3"), "{}", refused.err);
        let told: Vec<&str> = refused.err.lines().filter(|line| line.contains("is not a public SSH key")).collect();
        assert!(matches!(told[..], [line] if !line.contains(&"b".repeat(41))), "{}", refused.err);
        assert!(!refused.err.contains(&long), "{}", refused.err);
    }
}
