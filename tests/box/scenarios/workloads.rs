//! What a box must be able to carry for the scenarios of our modules: a firewall, containers, boxes.

use super::Scenario;
use crate::harness::{Machine, base, host};
use std::fs;
use std::path::Path;

pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "ufw and docker work in a box and do not touch this machine", run: firewall_and_docker },
    Scenario { name: "a box can be made inside a box, where systemd runs", run: nested },
];

fn firewall_and_docker() {
    let machine = Machine::plan("docker").real("/var/lib/docker").boot();
    let ours = || host::run("nft", &["--stateless", "list", "ruleset"]).expect("nft runs");
    let outside = ours();
    machine.ok("apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y ufw docker.io");
    let before = machine.snapshot();
    machine.ok("ufw allow 22/tcp && ufw --force enable");
    let lines = machine.differences(&before).join("\n");
    // Both are matches that nft alone may leave out of its list.
    assert!(lines.contains("--ctstate RELATED,ESTABLISHED") && lines.contains("--dport 22"), "{lines}");
    machine.ok("apt-get update");
    assert_eq!(outside, ours(), "this machine's firewall changed");
    // An image of nothing but dash.
    machine.ok(
        "mkdir /root/image && cd /root/image && cp --parents /usr/bin/dash $(ldd /usr/bin/dash | grep -o '/[^ ]*') . && \
         tar c . | docker import - tiny",
    );
    assert_eq!(machine.ok("docker run --rm tiny /usr/bin/dash -c 'echo $((6 * 7))'").trim(), "42");
    assert_eq!(machine.ok("docker info --format '{{.Driver}}'").trim(), "overlay2");
}

/// The inner box stands on a copy of our base: making one there works, too, but takes a minute.
fn nested() {
    let outer = Machine::plan("outer").nested().boot();
    let base = base::ready().expect("the base is there");
    let made = base.parent().and_then(Path::parent).expect("a base lies in <recipe>/<seconds>/root");
    let inside = outer.record().folder().join("real/var-tmp/vps-box/base");
    fs::create_dir_all(&inside).expect("a folder in the box");
    host::run("cp", &["-a", "--reflink=auto", &made.to_string_lossy(), &inside.to_string_lossy()]).expect("a copy");
    outer.put(std::env::current_exe().expect("the path of this binary"), "/usr/local/bin/box");
    outer.ok("box up inner");
    assert_eq!(outer.ok("box run inner -- systemctl is-system-running").trim(), "running");
    outer.ok("box run inner -- apt-get update");
    outer.ok("box kill inner && box up inner && box snapshot inner a.json && box snapshot inner b.json");
    outer.ok("box diff a.json b.json");
    assert!(outer.ok("systemctl list-units --plain --no-legend").contains("vpsbox"), "not a unit of its systemd");
    outer.ok("box down inner");
    assert_eq!(outer.ok("systemctl list-units --all --plain --no-legend 'vpsbox*'; nft list tables"), "");
    assert_eq!(outer.ok("ls /sys/class/net").split_whitespace().collect::<Vec<_>>(), ["eth0", "lo"]);
}
