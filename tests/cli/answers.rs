//! What an install that finds nothing to do need not ask programs again.

use crate::support::top;
use crate::support::tree::Tree;
use std::time::Duration;

/// A host whose sshd counts how often it is asked what is in force.
fn host() -> Tree {
    let tree = Tree::new();
    let list = top().join("config/answers.yaml");
    tree.put("/usr/share/vps-configurator/answers.yaml", std::fs::read(list).unwrap());
    tree.put("/asked", "");
    let sshd = tree.text("/usr/sbin/sshd").replacen('\n', "\n[ \"$1\" != -T ] || echo x >> \"$VPS_ROOT/asked\"\n", 1);
    tree.program("/usr/sbin/sshd", &sshd);
    tree
}

/// How often sshd is asked in a run of `line`, once nothing is younger than what a stamp is trusted for.
fn asks(tree: &Tree, line: &str, exit: i32) -> usize {
    std::thread::sleep(Duration::from_millis(150));
    let before = tree.text("/asked").lines().count();
    tree.call(line).ends(exit);
    tree.text("/asked").lines().count() - before
}

#[test]
fn an_install_with_nothing_to_do_asks_no_program_again_and_one_that_changes_something_goes_by_fresh_answers() {
    let tree = host();
    let line = "install --profile small --yes";
    let fresh = asks(&tree, line, 0);
    assert!(fresh > 0, "the ports of ssh are those that sshd tells");
    assert_eq!(asks(&tree, line, 0), 1, "now it is remembered");
    assert_eq!(asks(&tree, line, 0), 0);
    tree.put("/etc/ssh/sshd_config.d/10-mine.conf", "Port 2222\n");
    assert_eq!(asks(&tree, line, 0), 1, "sshd's configuration changed");
    assert_eq!(asks(&tree, line, 0), 0);
    let ports = "{% for port in facts.ssh_ports %}{{ port }} {% endfor %}";
    tree.module("ports", &format!("resources:\n  - file: /etc/ports\n    content: \"{ports}\"\n"));
    tree.enable(&["ports"]);
    assert!(asks(&tree, "install --yes", 0) > 0, "something is to be changed");
    assert_eq!(tree.text("/etc/ports").trim(), "2222");

    // Nobody sees when a memory is wrong, but nothing is changed by it.
    assert_eq!(asks(&tree, "install --yes", 0), 0);
    let memory = "/var/cache/vps-configurator/answered.json";
    tree.put(memory, tree.text(memory).replace("2222", "7777"));
    assert!(asks(&tree, "install --yes", 0) > 0, "by that memory there was something to do");
    assert_eq!(tree.text("/etc/ports").trim(), "2222");
    assert_eq!(asks(&tree, "install --yes", 0), 1, "it was forgotten");
    tree.put(memory, tree.text(memory).replace("2222", "7777"));
    tree.call("install --set modules.base.level=8 --yes").ends(0);
    assert_eq!(tree.text("/etc/ports").trim(), "2222");

    assert!((0..2).all(|_| asks(&tree, "plan --set modules.base.level=8", 0) > 0), "a plan alone remembers nothing");
    tree.put("/etc/ssh/sshd_config", "Include /srv/more.conf\n");
    let line = "install --set modules.base.level=8 --yes";
    assert!((0..3).all(|_| asks(&tree, line, 0) > 0), "what sshd reads elsewhere is not looked at");
    tree.put("/etc/ssh/sshd_config", "");
    tree.put("/usr/share/vps-configurator/answers.yaml", "answers: 3\n");
    assert!((0..3).all(|_| asks(&tree, line, 0) > 0), "without a list all is asked");
}
