//! A host that is well, and one of which a unit, a disk, its records or its network is not.

use super::Scenario;
use super::program::{installed, json};
use crate::harness::Machine;
use serde_json::Value;

pub const SCENARIOS: &[Scenario] =
    &[Scenario { name: "a host is well until a unit, a disk or the network is not, and is told which", run: health }];

/// What is not well, each in a line.
fn findings(machine: &Machine, code: i32, words: &str) -> Vec<String> {
    let value = json(machine, code, words);
    let bad = |one: &&Value| one["state"] == "degraded" || one["state"] == "unhealthy";
    let all = value["checks"].as_array().unwrap().iter();
    let line = |one: &Value| {
        assert!(!one["fix"].as_str().unwrap().is_empty() && !one["why"].as_str().unwrap().is_empty(), "{one}");
        format!(
            "{} {}: {}",
            one["check"].as_str().unwrap(),
            one["state"].as_str().unwrap(),
            one["seen"].as_str().unwrap()
        )
    };
    all.filter(bad).map(line).collect()
}

fn health() {
    let machine = installed("well");
    for words in ["health check", "health check --pre"] {
        assert_eq!(findings(&machine, 0, words), [""; 0], "{words}");
    }
    let seen = machine.ok("vps-configurator health check --verbose");
    assert!(seen.contains("deb.debian.org:80 answers") && seen.contains("Debian GNU/Linux 13"), "{seen}");

    machine.sh("systemd-run --quiet --unit=broken --wait false");
    assert_eq!(findings(&machine, 4, "health check"), ["services unhealthy: broken.service failed"]);
    assert_eq!(findings(&machine, 0, "health check --pre"), [""; 0]);
    machine.ok("systemctl reset-failed");

    machine.ok("mount -t tmpfs -o size=1m tmpfs /home && head -c 1000000 /dev/zero >/home/full");
    let found = findings(&machine, 4, "health check --pre");
    assert!(found.len() == 1 && found[0].starts_with("disk unhealthy: /home is 9"), "{found:?}");
    machine.ok("umount /home");

    machine.ok("mkdir -p /var/lib/dpkg/updates && touch /var/lib/dpkg/updates/0001");
    let found = findings(&machine, 4, "health check --pre");
    assert!(found.len() == 1 && found[0].starts_with("dpkg unhealthy: dpkg was interrupted"), "{found:?}");
    machine.ok("rm /var/lib/dpkg/updates/0001");

    machine.ok("ip route delete default");
    let found = findings(&machine, 4, "health check");
    assert_eq!(found, ["network unhealthy: the name deb.debian.org is not found"]);
    // Its address is known, and there is no way to it.
    machine.ok("echo '192.0.2.1 deb.debian.org' >>/etc/hosts");
    let found = findings(&machine, 4, "health check");
    assert_eq!(found, ["network unhealthy: deb.debian.org:80 does not answer"]);
    machine.ok(&format!("sed -i /192.0.2.1/d /etc/hosts; ip route add default via {}", machine.gateway()));
    assert_eq!(findings(&machine, 0, "health check"), [""; 0]);
}
