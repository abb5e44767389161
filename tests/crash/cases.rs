//! One line a case: a kind of resource, what is asked of it, and how the host is before.

use crate::points::Case;
use crate::support::tree::Tree;
use vps_configurator::host::{Command, Host, RealHost};

/// A case of one kind.
pub struct Wish {
    /// What it is about: `kind: variant`.
    pub name: &'static str,
    /// The resources of its module.
    pub resources: &'static str,
    /// What is on the host before.
    pub host: fn(&Tree),
    /// A path that does not come back, because it should not.
    pub but: Option<&'static str>,
}

impl Wish {
    /// As a case that can be played.
    pub fn case(&self) -> Case {
        Case {
            name: self.name.to_owned(),
            install: "install --profile small --module case --set modules.case.enabled=true --yes".to_owned(),
            tree,
            but: self.but,
            second: 0,
        }
    }
}

fn tree(name: &str) -> Tree {
    let wish = WISHES.iter().find(|wish| wish.name == name).unwrap();
    let tree = Tree::new();
    (wish.host)(&tree);
    let words = [("KEY", KEY), ("FINGERPRINT", FINGERPRINT), ("SHA256", SHA256)];
    let resources = words.iter().fold(wish.resources.to_owned(), |text, (word, value)| text.replace(word, value));
    tree.module("case", &format!("resources:\n  - {resources}\n"));
    tree
}

const fn wish(name: &'static str, resources: &'static str, host: fn(&Tree)) -> Wish {
    Wish { name, resources, host, but: None }
}

/// The host as it is.
fn plain(_: &Tree) {}

/// A file of the administrator's, with an extended attribute, and a unit that has read it.
fn theirs(tree: &Tree) {
    tree.put("/etc/theirs.conf", "theirs\n");
    tree.set_mode("/etc/theirs.conf", 0o640);
    // Where the file system of the tests has none, they are compared all the same.
    let _ = xattr::set(tree.at("/etc/theirs.conf"), "user.note", b"mine");
    tree.put("/srv/data/keep", "kept\n");
    tree.put("/srv/data/old", "old\n");
    std::os::unix::fs::symlink("old", tree.at("/srv/data/now")).unwrap();
}

/// A unit that runs, with the configuration that it has read. `more` are lines of its file.
pub fn running(tree: &Tree, more: &str) {
    theirs(tree);
    let unit = format!("READS=/etc/theirs.conf\n{more}[Install]\nWantedBy=multi-user.target\nAlso=own.socket\n");
    tree.put("/usr/lib/systemd/system/own.service", unit);
    tree.put("/usr/lib/systemd/system/own.socket", "[Install]\nWantedBy=sockets.target\n");
    on(tree, "systemctl", &["enable", "own.service"]);
    on(tree, "systemctl", &["start", "own.service"]);
}

fn started(tree: &Tree) {
    running(tree, "");
}

/// The same, stopped.
fn stopped(tree: &Tree) {
    started(tree);
    on(tree, "systemctl", &["stop", "own.service"]);
    on(tree, "systemctl", &["disable", "own.service"]);
    on(tree, "systemctl", &["disable", "own.socket"]);
}

/// A block of ours in a file of theirs, from an earlier life.
fn blocks(tree: &Tree) {
    theirs(tree);
    tree.put("/etc/theirs.conf", "one\n# BEGIN vps-configurator: case\nformer\n# END vps-configurator: case\ntwo");
}

/// A swap file of ours, of 2 MiB, that is on.
fn swaps(tree: &Tree) {
    tree.put("/swapfile", "");
    tree.set_mode("/swapfile", 0o600);
    on(tree, "fallocate", &["-l", "2097152", "/swapfile"]);
    on(tree, "mkswap", &["/swapfile"]);
    on(tree, "swapon", &["/swapfile"]);
    let fstab = "# BEGIN vps-configurator: swap\n/swapfile none swap sw 0 0\n# END vps-configurator: swap\n";
    tree.put("/etc/fstab", format!("/dev/vda1 / ext4 defaults 0 1\n{fstab}"));
}

/// A swap file that is there, and not looked after.
fn foreign_swap(tree: &Tree) {
    swaps(tree);
    on(tree, "swapoff", &["/swapfile"]);
    tree.put("/etc/fstab", "/dev/vda1 / ext4 defaults 0 1\n");
}

/// A firewall that is on, with a rule of theirs.
fn walled(tree: &Tree) {
    on(tree, "ufw", &["allow", "in", "from", "any", "to", "any", "port", "99", "proto", "tcp"]);
    on(tree, "ufw", &["--force", "enable"]);
}

/// The same, flushed by somebody.
fn flushed(tree: &Tree) {
    walled(tree);
    let live = tree.text("/run/fake-netfilter/4").replace("-A INPUT -j ufw-before-input\n", "");
    tree.put("/run/fake-netfilter/4", live);
}

/// A user with keys of its own.
fn keys(tree: &Tree) {
    tree.put(
        "/home/ada/.ssh/authorized_keys",
        "ssh-ed25519 theirs\n# BEGIN vps-configurator: keys\nold\n# END vps-configurator: keys\n",
    );
    for path in ["/home/ada", "/home/ada/.ssh", "/home/ada/.ssh/authorized_keys"] {
        let _ = std::os::unix::fs::chown(tree.at(path), Some(1000), Some(1000));
    }
}

/// Files of settings that others wrote.
fn settings(tree: &Tree) {
    tree.put("/etc/timezone", "Etc/UTC\n");
    tree.put("/etc/default/locale", "LANG=C.UTF-8\n");
    tree.put(
        "/etc/sysctl.d/60-vps-configurator-case.conf",
        "# Written by vps-configurator (module case); changes are overwritten.\nvm.swappiness = 30\n",
    );
    tree.put(
        "/etc/modules-load.d/vps-configurator-tcp_bbr.conf",
        "# Written by vps-configurator; changes are overwritten.\ntcp_bbr\n",
    );
}

/// An apt source's key, beside the module.
fn key(tree: &Tree) {
    tree.put("/etc/vps-configurator/modules.d/case/key.asc", include_str!("../support/keys/test.asc"));
}

/// The same, and the source as an earlier version wrote it.
fn key_and_source(tree: &Tree) {
    key(tree);
    tree.put("/etc/apt/sources.list.d/other-vps-configurator.sources", "Types: deb\n");
}

/// An old version of a package is installed; the archive of Debian-Security has a newer one.
fn outdated(tree: &Tree) {
    on(tree, "apt-get", &["install", "tool"]);
    let old = tree.at("/var/lib/fake-repo/tool_1.0");
    std::fs::rename(tree.at("/var/lib/fake-repo/tool"), old).unwrap();
    tree.package("tool", "");
    let control = tree.text("/var/lib/fake-repo/tool/control").replace("Version: 1.0", "Version: 1.1");
    tree.put("/var/lib/fake-repo/tool/control", &control);
    tree.packed("tool", "/usr/bin/tool", "#!/bin/sh\necho tool 1.1\n");
    tree.put("/var/lib/apt/lists/security_dists_trixie-security_InRelease", "Label: Debian-Security\n");
    tree.put("/var/lib/apt/lists/security_dists_trixie-security_main_binary-amd64_Packages", &control);
    tree.remove("/run/apt.calls");
}

/// A package is there as a dependency.
fn dependency(tree: &Tree) {
    on(tree, "apt-get", &["install", "web"]);
    tree.remove("/run/apt.calls");
}

/// Runs a program of the tree.
fn on(tree: &Tree, program: &str, args: &[&str]) {
    let host = RealHost::new(tree.root().to_owned());
    host.run(&Command::new(program).args(args.iter().copied())).unwrap();
}

pub const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJm0Tn8fvWbZfVfZB0Q0uY8n3VJ0m5kM5vOQeN2pZl1t ada@example";
const FINGERPRINT: &str = "8241E7B4B4D7BE96075609B6CC953988852B2F63";
const SHA256: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

/// All cases of single kinds. `KEY`, `FINGERPRINT` and `SHA256` stand for these.
#[rustfmt::skip]
pub const WISHES: &[Wish] = &[
    wish("file: create", "{file: /etc/deep/er/new.conf, content: \"new\\n\", mode: \"0600\"}", plain),
    wish("file: update", "{file: /etc/theirs.conf, content: \"ours\\n\", mode: \"0600\"}", theirs),
    wish("file: mode alone", "{file: /etc/theirs.conf, content: \"theirs\\n\", mode: \"0600\"}", theirs),
    wish("file: in place of a link", "{file: /srv/data/now, content: \"now\\n\", owner: ada}", theirs),
    wish("file: checked and secret", "{file: /etc/sudoers.d/ours, content: \"ada ALL=(ALL) ALL\\n\", mode: \"0440\", secret: true, check: [visudo, -cf, \"{path}\"]}", plain),
    wish("file: read by a unit", "{file: /etc/theirs.conf, content: \"ours\\n\", notify: [restart own.service, daemon-reload]}", started),
    wish("file: reloaded", "{file: /etc/theirs.conf, content: \"ours\\n\", notify: [reload own.service]}", started),
    wish("file: with another one in it", "{file: /etc/client.conf, content: \"name = @{/etc/case/name}\\n\", mode: \"0600\", inserts: true}\n  - {generated: /etc/case/name, run: [hostname]}", plain),
    wish("generated: create", "{generated: /etc/case/name, run: [hostname]}", plain),
    wish("directory: create", "{directory: /srv/new/deeper, mode: \"0750\", owner: ada, group: ada}", plain),
    wish("directory: update", "{directory: /srv/data, mode: \"0711\", owner: ada}", theirs),
    wish("symlink: create", "{symlink: /srv/a/b/link, target: /etc/hosts}", plain),
    wish("symlink: update", "{symlink: /srv/data/now, target: keep}", theirs),
    wish("symlink: in place of a file", "{symlink: /etc/theirs.conf, target: hosts}", theirs),
    wish("block: create the file", "{block: /etc/new/theirs.conf, marker: case, content: \"ours\\n\"}", plain),
    wish("block: add", "{block: /etc/theirs.conf, marker: case, at: start, content: \"ours\\n\", check: [visudo, -cf, \"{path}\"]}", theirs),
    wish("block: change", "{block: /etc/theirs.conf, marker: case, content: \"ours\\nmore\\n\"}", blocks),
    wish("apt_source: create", "{apt_source: other, uris: [\"https://example.org/debian\"], suites: [trixie], components: [main], key: key.asc, fingerprint: FINGERPRINT}", key),
    wish("apt_source: update", "{apt_source: other, uris: [\"https://example.org/debian\"], suites: [trixie], components: [main], key: key.asc, fingerprint: FINGERPRINT}", key_and_source),
    wish("download: create", "{download: /opt/new/bin/fetched, url: \"https://example.org/fetched\", sha256: SHA256, mode: \"0755\"}", plain),
    wish("download: update", "{download: /etc/theirs.conf, url: \"https://example.org/fetched\", sha256: SHA256}", theirs),
    wish("unit: enable and start", "{unit: own.service, enabled: true, active: true}", stopped),
    wish("unit: disable and stop", "{unit: own.service, enabled: false, active: false}", started),
    wish("unit: mask", "{unit: own.service, masked: true, active: false}", started),
    wish("user: create", "{user: anna, shell: /bin/zsh, comment: Anna}", plain),
    wish("user: create for the system", "{user: robot, system: true, home: /srv/robot}", plain),
    wish("user: update", "{user: ada, shell: /bin/zsh, comment: A, locked: true}", plain),
    wish("group: create", "{group: dev, gid: 2000}", plain),
    wish("member: create", "{member: ada/adm}", plain),
    wish("authorized_key: create", "{authorized_key: ada, keys: [\"KEY\"]}", plain),
    wish("authorized_key: update", "{authorized_key: ada, keys: [\"KEY\"]}", keys),
    wish("sysctl: create", "{sysctl: vm.swappiness, value: \"10\"}\n  - {sysctl: net.core.somaxconn, value: \"8192\", at_least: true}\n  - {sysctl: no.such.key, value: \"1\"}", plain),
    wish("sysctl: update", "{sysctl: vm.swappiness, value: \"10\"}\n  - {sysctl: net.ipv4.tcp_rmem, value: \"4096 131072 16777216\"}", settings),
    wish("kernel_module: create", "{kernel_module: tcp_bbr}", plain),
    wish("kernel_module: load", "{kernel_module: tcp_bbr}", settings),
    wish("hostname: update", "{hostname: web.example.org}", plain),
    wish("timezone: update", "{timezone: Europe/Stockholm}", plain),
    wish("timezone: with its name", "{timezone: Europe/Stockholm}", settings),
    wish("locale: create", "{locale: sv_SE.UTF-8}", plain),
    wish("locale: in two files", "{locale: sv_SE.UTF-8}", settings),
    wish("swap: create", "{swap: /swap/file, size_mb: 1}", plain),
    wish("swap: resize", "{swap: /swapfile, size_mb: 1}", swaps),
    wish("swap: take on", "{swap: /swapfile, size_mb: 2}", foreign_swap),
    wish("swap: remove", "{swap: /swapfile, size_mb: 0}", swaps),
    wish("firewall: switch on", "{firewall: ufw, incoming: deny, rules: [\"allow 80/tcp # web\", \"allow from 10.1.2.3\"]}", plain),
    wish("firewall: add to theirs", "{firewall: ufw, incoming: reject, rules: [\"deny 99/tcp\"]}", walled),
    // A firewall that somebody flushed is not flushed again.
    Wish { but: Some("/run/fake-netfilter/"), ..wish("firewall: load again", "{firewall: ufw, incoming: allow, rules: []}", flushed) },
    wish("firewall_rule: add", "{firewall_rule: \"allow 81/tcp # web\"}", walled),
    wish("command: run", "{command: mark, run: [mark, /etc/marked], creates: /etc/marked, undo: [unmark, /etc/marked]}", plain),
    wish("package: install", "{package: [web, tool]}", plain),
    wish("package: mark", "{package: libweb}", dependency),
    wish("security_updates: upgrade", "{security_updates: all}", outdated),
];
