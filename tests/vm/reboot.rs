//! What only a machine with a kernel of its own shows: swap, modules, settings of the kernel, and a reboot.

use crate::guest::Guest;
use crate::harness::{Shell, Snapshot, Trouble, diff};
use crate::image::Image;
use crate::program::{json, must_be_settled, program, start, story};
use crate::station::Station;

/// Where beginner's own values would leave the host as it is.
const SETTINGS: &str = "modules:
  system: {hostname: workshop, timezone: Europe/Berlin, swap_size_mb: 256}
  security:
    ufw: {additional_ports: [80/tcp, 60000:61000/udp]}
";

pub fn beginner(station: &Station, image: &Image) {
    let mut guest = Guest::boot(station, image);
    guest.ok(&format!("cat > /etc/vps-configurator/conf.d/60-test.yaml <<'END'\n{SETTINGS}END"));
    let before = guest.snapshot();
    start(&guest, "beginner");
    must_be_settled(&guest, "beginner");
    in_force(&guest);
    let standing = guest.snapshot();

    guest.reboot();
    must_be_settled(&guest, "beginner");
    in_force(&guest);
    assert_eq!(json(&guest, 0, "install --profile beginner --yes")["changes"], 0);
    must_be(&differences(&standing, &guest.snapshot()), "a reboot changed");

    let output = program(&guest, "rollback --to 0 --yes");
    assert_eq!(output.code, 0, "{}\n{}\n{}", output.stdout, output.stderr, story(&guest));
    must_login(&guest);
    must_be(&differences_but_modules(&before, &guest.snapshot()), "taking it back left");
    guest.reboot();
    must_login(&guest);
    assert_eq!(program(&guest, "status").code, 0);
    must_be(&differences(&before, &guest.snapshot()), "taking it back left, after a reboot");
}

/// A line for each difference that counts.
fn differences(wanted: &Snapshot, found: &Snapshot) -> Vec<String> {
    compare(wanted, found, "")
}

/// The same before a reboot: a module that the kernel has loaded stays, with the settings that it brought.
fn differences_but_modules(wanted: &Snapshot, found: &Snapshot) -> Vec<String> {
    compare(wanted, found, "sysctl:net.netfilter.*   # of a module that is loaded\n")
}

fn compare(wanted: &Snapshot, found: &Snapshot, more: &str) -> Vec<String> {
    let exceptions = || -> Result<Vec<_>, Trouble> {
        let mut all = diff::exceptions()?;
        all.extend(diff::exceptions_in(include_str!("may-differ.txt"))?);
        all.extend(diff::exceptions_in(more)?);
        Ok(all)
    };
    diff::compare(wanted, found, &exceptions().unwrap_or_else(|why| panic!("{why}")))
}

#[track_caller]
fn must_be(lines: &[String], what: &str) {
    assert!(lines.is_empty(), "{what}:\n{}", lines.join("\n"));
}

#[track_caller]
fn must_login(guest: &Guest<'_>) {
    let login = guest.login();
    assert_eq!(login.stdout.trim(), "in as root", "{}", login.stderr);
}

/// Questions to the running kernel and to the services themselves, and what the answers must hold.
fn in_force(guest: &Guest<'_>) {
    const ANSWERS: &[(&str, &[&str])] = &[
        ("uname -n; getent hosts workshop", &["workshop\n", "127.0.1.1"]),
        ("readlink -f /etc/localtime; date +%Z", &["Europe/Berlin", "CET"]),
        ("swapon --noheadings --show=NAME,SIZE --bytes; grep swap /etc/fstab", &["/swapfile 268431360", "/swapfile"]),
        ("lsmod", &["\ntcp_bbr "]),
        ("sysctl vm.swappiness vm.dirty_ratio", &["vm.swappiness = 10\n", "vm.dirty_ratio = 15\n"]),
        ("sysctl fs.inotify.max_user_watches", &["= 524288\n"]),
        ("sysctl net.ipv4.tcp_congestion_control net.core.default_qdisc", &["= bbr\n", "= fq\n"]),
        ("ufw status verbose", &["Status: active", "deny (incoming)", "22/tcp", "80/tcp", "60000:61000/udp"]),
        ("fail2ban-client status sshd", &["Journal matches"]),
        ("sshd -T", &["\nmaxauthtries 4\n", "\nx11forwarding no\n", "\nloglevel VERBOSE\n"]),
        ("systemctl is-active docker containerd ssh fail2ban unattended-upgrades | sort -u", &["active\n"]),
        ("systemctl is-enabled docker containerd ssh fail2ban ufw | sort -u", &["enabled\n"]),
        (
            // An image of nothing but dash: no network needed.
            "mkdir /run/image && cd /run/image && cp --parents /usr/bin/dash $(ldd /usr/bin/dash | grep -o '/[^ ]*') . && \
             tar c . | docker import - tiny > /dev/null && rm -r /run/image && \
             docker run --rm tiny /usr/bin/dash -c 'echo it is $((6 * 7))'; docker rmi tiny > /dev/null",
            &["it is 42\n"],
        ),
    ];
    must_login(guest);
    for (question, wanted) in ANSWERS {
        let answer = guest.ok(question);
        for part in *wanted {
            assert!(format!("\n{answer}").contains(part), "{question}: no {part:?} in\n{answer}");
        }
    }
    for question in ["systemctl is-active docker containerd ssh fail2ban", "systemctl is-enabled docker ssh ufw"] {
        let answers = guest.ok(question);
        assert_eq!(answers.lines().collect::<std::collections::BTreeSet<_>>().len(), 1, "{question}: {answers}");
    }
}
