//! The measure itself: what snapshot and diff see, and what they let pass.

use super::Scenario;
use crate::harness::{Machine, Snapshot, diff, host, leader};

pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "a snapshot equals itself taken again, also after a reboot", run: snapshot_is_stable },
    Scenario { name: "the diff sees each kind of change and nothing else", run: diff_sees_changes },
    Scenario { name: "what may differ is a short list of exact rules with reasons", run: exceptions },
];

fn snapshot_is_stable() {
    let mut machine = Machine::boot("stable");
    let before = machine.snapshot();
    machine.must_be_as_before(&before);
    machine.reboot();
    machine.must_be_as_before(&before);
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    before.save(file.path()).expect("it can be saved");
    assert_eq!(Snapshot::load(file.path()).expect("it can be loaded"), before);
}

/// A change made by hand, and how the line about it must begin.
const CHANGES: &[(&str, &str)] = &[
    ("echo more >>/etc/motd", "changed file /etc/motd: content "),
    ("chmod 0600 /etc/fstab", "changed file /etc/fstab: mode 0644 -> 0600"),
    ("chown 1 /etc/crontab", "changed file /etc/crontab: owner 0:0 -> 1:0"),
    ("ln -s nowhere /opt/link", "added file /opt/link: mode 0777, owner 0:0, target nowhere, type link"),
    ("rm /etc/default/cron", "removed file /etc/default/cron: "),
    ("mkdir /etc/empty-folder", "added file /etc/empty-folder: mode 0755, owner 0:0, type folder"),
    (
        "python3 -c 'import os; os.setxattr(\"/etc/issue\", \"user.a\", b\"b\")'",
        "changed file /etc/issue: xattr user.a nothing -> b",
    ),
    (
        "cp /bin/true /usr/local/bin/able; setcap cap_net_raw=ep /usr/local/bin/able",
        "added file /usr/local/bin/able: capabilities permitted 0x2000 inheritable 0x0 effective, content ",
    ),
    ("usermod -c 'The one' root", "changed user root: gecos root -> The one"),
    ("passwd -q -x 90 daemon", "changed shadow daemon: maximum 99999 -> 90"),
    ("groupadd -g 4242 newgroup", "added group newgroup: gid 4242, "),
    (
        "rm /etc/systemd/system/timers.target.wants/logrotate.timer",
        "changed unit logrotate.timer: enabled enabled -> disabled",
    ),
    ("systemctl stop cron", "removed active cron.service: state active"),
    ("echo 1 >/proc/sys/net/ipv4/conf/all/log_martians", "changed sysctl net.ipv4.conf.all.log_martians: is 0 -> 1"),
    ("apt-mark auto curl", "changed package curl: mark manual -> auto"),
    ("apt-mark hold curl", "changed package curl: state install ok installed -> hold ok installed"),
    ("ln -sf /usr/share/zoneinfo/Europe/Berlin /etc/localtime", "changed host timezone: is "),
    ("hostname other", "changed host hostname: is changes -> other"),
    ("mkdir -p /mnt/m && mount -t tmpfs none /mnt/m", "added mount /mnt/m: is tmpfs "),
    ("dpkg-divert --quiet --local --rename --add /usr/bin/wget", "added diversion /usr/bin/wget: "),
    ("dpkg-statoverride --add root root 0700 /usr/bin/nano", "added statoverride /usr/bin/nano: rule root root 700"),
];

fn diff_sees_changes() {
    let machine = Machine::boot("changes");
    let before = machine.snapshot();
    for (script, _) in CHANGES {
        machine.ok(script);
    }
    // The box has no nft of its own: ours, in its network.
    let leader = leader::find(machine.record()).expect("it is up").to_string();
    host::run("nsenter", &["--target", &leader, "--net", "nft", "add table inet leftover"]).expect("nft runs");
    let lines = machine.differences(&before);
    for wanted in CHANGES.iter().map(|(_, line)| *line).chain(["added nft inet leftover: "]) {
        assert!(lines.iter().any(|line| line.starts_with(wanted)), "no line {wanted:?} in\n{}", lines.join("\n"));
    }
    let rule = "nft 'add chain inet leftover input { type filter hook input priority 0 ; }' && \
                nft 'add rule inet leftover input tcp dport 22 counter accept'";
    let with_table = machine.snapshot();
    host::run("nsenter", &["--target", &leader, "--net", "sh", "-c", rule]).expect("nft runs");
    let lines = machine.differences(&with_table);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("added nft inet leftover chain input: rules type filter hook input"), "{lines:?}");
}

/// Needs no box.
fn exceptions() {
    let list = diff::exceptions().expect("each line has a rule and a reason");
    assert!(list.len() < 60, "{} exceptions are no short list", list.len());
    let snapshot = |kind: &str, name: &str, attribute: &str, value: &str| {
        let attributes = [(attribute.to_owned(), value.to_owned())].into();
        Snapshot([(kind.to_owned(), [(name.to_owned(), attributes)].into())].into())
    };
    let lines = |before: &Snapshot, after: &Snapshot| diff::compare(before, after, &list);
    let passwd = |attribute: &str, value: &str| snapshot("file", "/etc/passwd", attribute, value);
    assert_eq!(lines(&passwd("content", "a"), &passwd("content", "b")), Vec::<String>::new());
    assert_eq!(lines(&passwd("mode", "a"), &passwd("mode", "b")), ["changed file /etc/passwd: mode a -> b"]);
    assert_eq!(lines(&passwd("content", "a"), &Snapshot::default()), ["removed file /etc/passwd: content a"]);
    let unit = |name: &str| snapshot("active", name, "state", "active");
    assert_eq!(lines(&unit("user@1000.service"), &unit("run-u7.service")), Vec::<String>::new());
    assert_eq!(lines(&Snapshot::default(), &unit("user.service")), ["added active user.service: state active"]);
}
