//! What goes wrong on real hosts: each time it is said why, and the host is as before, or as far as it was told to be.

use super::Scenario;
use super::program::{installed, json, must_be_settled, program, start, story, take_all_back, unit};
use crate::harness::Output;

pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "without a network an install is refused and the host is as before", run: no_network },
    Scenario { name: "a disk too small is told with numbers before anything is touched", run: full_disk },
    Scenario { name: "a read-only /etc fails an install and the host is as before", run: read_only_etc },
    Scenario { name: "another system than Debian 13 is refused", run: other_system },
    Scenario { name: "somebody else's dpkg is named and waited for, and a broken one mended", run: dpkg_busy },
    Scenario { name: "a second run while one is under way is refused, and names the first", run: second_run },
    Scenario { name: "a module whose unit does not start comes back, the others stay", run: broken_unit },
    Scenario { name: "a configuration that sshd rejects never reaches it", run: broken_sshd },
    Scenario { name: "an install that is stopped is taken back, and a hang-up does not stop it", run: signals },
];

const INSTALL: &str = "install --profile small --yes";

/// Refused with this exit code and stable code word; what it said.
#[track_caller]
fn refused(output: &Output, exit: i32, code: &str) -> String {
    let said = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, exit, "{said}");
    assert!(said.contains(&format!("code:  {code}")), "not {code}:\n{said}");
    said
}

fn no_network() {
    let machine = installed("offline");
    machine.ok("ip route delete default");
    let before = machine.snapshot();
    let said = refused(&program(&machine, INSTALL), 1, "network-unreachable");
    assert!(said.contains("deb.debian.org") || said.contains("network"), "{said}");
    machine.must_be_as_before(&before);
    assert_eq!(program(&machine, "status").code, 0);
    machine.ok(&format!("ip route add default via {}", machine.gateway()));
    start(&machine, "small");
    must_be_settled(&machine, "small");
}

fn full_disk() {
    let machine = installed("full");
    machine.ok("mount -t tmpfs -o size=12m tmpfs /var/cache/apt/archives && mkdir /var/cache/apt/archives/partial");
    // systemd notices the mount in its own time.
    machine.ok("until systemctl is-active -q var-cache-apt-archives.mount; do sleep 0.1; done");
    let before = machine.snapshot();
    for words in [INSTALL, "plan --profile small"] {
        let said = refused(&program(&machine, words), 1, "disk-full");
        assert!(said.contains("MB") && said.contains("/var/cache/apt"), "{said}");
        machine.must_be_as_before(&before);
    }
    assert_eq!(machine.ok("find /var/cache/apt/archives -type f -size +0 | wc -l").trim(), "0");
}

fn read_only_etc() {
    let machine = installed("readonly");
    machine.ok("mount --bind /etc /etc && mount -o remount,ro,bind /etc");
    machine.ok("until systemctl is-active -q etc.mount; do sleep 0.1; done");
    let before = machine.snapshot();
    let said = refused(&program(&machine, INSTALL), 1, "read-only");
    assert!(said.contains("/etc is mounted read-only"), "{said}");
    machine.must_be_as_before(&before);
    machine.ok("umount /etc");
    assert_eq!(program(&machine, "status").code, 0);
}

fn other_system() {
    let machine = installed("other");
    machine.ok("rm /etc/os-release");
    let systems = [
        (
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n",
            "bookworm",
        ),
        ("PRETTY_NAME=\"Ubuntu 24.04.3 LTS\"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n", "Ubuntu 24.04"),
    ];
    for (text, name) in systems {
        machine.put_bytes(text, "/etc/os-release", 0o644);
        let before = machine.snapshot();
        for words in [INSTALL, "plan --profile small"] {
            let said = refused(&program(&machine, words), 1, "system-unsupported");
            assert!(said.contains(name), "{said}");
        }
        machine.must_be_as_before(&before);
    }
}

/// Holds dpkg's lock as dpkg does, for a while.
const HOLDER: &str = "systemd-run --quiet --unit=holder python3 -c 'import fcntl, time; \
    file = open(\"/var/lib/dpkg/lock-frontend\", \"w\"); fcntl.lockf(file, fcntl.LOCK_EX); time.sleep(8)' && sleep 1";

fn dpkg_busy() {
    let machine = installed("busy");
    let before = machine.snapshot();
    // Unpacked and not configured: what a killed dpkg of somebody else leaves.
    machine.ok("cd /run && apt-get download -qq tree 2>/dev/null && dpkg --unpack tree_*.deb >/dev/null && dpkg --audit | grep -q tree");
    machine.ok(HOLDER);
    let output = program(&machine, INSTALL);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, 0, "{said}");
    assert!(said.contains("python3") && said.contains("pid"), "the holder is named:\n{said}");
    must_be_settled(&machine, "small");
    assert!(machine.ok("dpkg -s tree").contains("install ok installed"));
    let output = program(&machine, "rollback --yes");
    assert_eq!(output.code, 0, "{}", output.stderr);
    machine.ok("apt-get purge -qqy tree >/dev/null");
    machine.must_be_as_before(&before);
}

fn second_run() {
    let machine = installed("second");
    let before = machine.snapshot();
    machine.ok(&format!("systemctl start --no-block {}", unit("small")));
    machine.ok("for i in $(seq 100); do test -s /run/vps-configurator/lock && exit 0; sleep 0.1; done; exit 1");
    for words in [INSTALL, "rollback --yes"] {
        let output = program(&machine, words);
        let said = format!("{}{}", output.stdout, output.stderr);
        if words == INSTALL {
            assert_eq!(output.code, 5, "{said}");
            assert!(said.contains("pid ") && said.contains("install"), "{said}");
        } else {
            assert!([0, 5].contains(&output.code), "nothing stands yet, or the lock is held: {said}");
        }
    }
    // Waits for the one under way.
    start(&machine, "small");
    must_be_settled(&machine, "small");
    take_all_back(&machine, &before);
}

fn broken_unit() {
    let machine = installed("broken");
    let manifest = "\
name: broken
summary: A service that never comes up
priority: 90
mandatory: false
depends_on: [system]
resources:
  - package: tree
  - file: /etc/systemd/system/never.service
    content: |
      [Service]
      Type=notify
      ExecStart=/bin/sh -c \"echo the port is taken; exit 3\"
      [Install]
      WantedBy=multi-user.target
    notify: [daemon-reload]
  - unit: never.service
    enabled: true
    active: true
    needs: [\"file:/etc/systemd/system/never.service\"]
";
    machine.ok("mkdir -p /etc/vps-configurator/modules.d/broken");
    machine.put_bytes(manifest, "/etc/vps-configurator/modules.d/broken/module.yaml", 0o644);
    let before = machine.snapshot();
    let output = program(&machine, "install --profile small --set modules.broken.enabled=true --yes");
    let said = refused(&output, 1, "unit-failed");
    assert!(said.contains("the port is taken"), "the journal's last lines:\n{said}");
    assert!(said.contains("module broken"), "{said}");
    must_be_settled(&machine, "small");
    assert_eq!(machine.sh("dpkg -s tree").code, 1, "its package is gone");
    assert_eq!(machine.sh("systemctl cat never.service").code, 1, "its unit is gone");
    assert!(!json(&machine, 0, "status")["modules"].to_string().contains("broken"));
    machine.sh("systemctl reset-failed never.service");
    take_all_back(&machine, &before);
}

fn broken_sshd() {
    let machine = installed("sshd");
    let manifest = "\
name: broken
summary: A word that sshd does not know
priority: 90
mandatory: false
depends_on: [security]
resources:
  - file: /etc/ssh/sshd_config.d/10-broken.conf
    content: |
      PermitRootLogin perhaps
    notify: [reload ssh.service]
";
    machine.ok("mkdir -p /etc/vps-configurator/modules.d/broken");
    machine.put_bytes(manifest, "/etc/vps-configurator/modules.d/broken/module.yaml", 0o644);
    let before = machine.snapshot();
    let pid = machine.ok("systemctl show -P MainPID ssh.service");
    let said = refused(
        &program(&machine, "install --profile small --set modules.broken.enabled=true --yes"),
        1,
        "ssh-config-rejected",
    );
    assert!(said.contains("perhaps") || said.contains("10-broken.conf"), "{said}");
    machine.ok("sshd -t && test ! -e /etc/ssh/sshd_config.d/10-broken.conf");
    assert_eq!(machine.ok("systemctl show -P MainPID ssh.service"), pid, "sshd was never stopped");
    must_be_settled(&machine, "small");
    // An option that no list allows doesn't get that far.
    let output = program(&machine, "install --profile small --set modules.security.ssh.max_auth_tries=many --yes");
    assert_eq!(output.code, 2, "{}", output.stderr);
    take_all_back(&machine, &before);
}

/// The install as a child of a terminal or of a unit, and what comes of it when it is asked to stop.
fn signals() {
    let machine = installed("signals");
    let before = machine.snapshot();
    // The first run also fills apt's cache, so that the moments below are in the middle of the packages.
    machine.ok("vps-configurator install --profile small --download-only --yes >/dev/null");
    machine.must_be_as_before(&before);
    let run =
        "systemd-run --quiet --pipe --wait --collect --unit=run.service vps-configurator install --profile small --yes";
    // It unpacks by dpkg-deb; dpkg alone also answers questions while a plan is made.
    let wait_for_dpkg = "for i in $(seq 300); do pgrep -x dpkg-deb >/dev/null && exit 0; sleep 0.1; done; exit 1";
    for signal in ["TERM", "INT"] {
        let said = machine.sh(&format!(
            "(({wait_for_dpkg}) && sleep 1 && systemctl kill --kill-whom=main -s {signal} run.service) & {run}"
        ));
        assert_eq!(said.code, 1, "{signal}: {}{}", said.stdout, said.stderr);
        machine.must_be_as_before(&before);
    }
    // Ctrl-C on a terminal goes to everything in the foreground, apt and dpkg, too.
    let typed = machine.sh(&format!(
        "(({wait_for_dpkg}); sleep 1; printf '\\003'; sleep 100) | script -qec 'vps-configurator {INSTALL}; echo code $?' /dev/null"
    ));
    assert!(typed.stdout.contains("code 1"), "{}", typed.stdout);
    machine.must_be_as_before(&before);
    let output =
        machine.sh(&format!("(({wait_for_dpkg}) && systemctl kill --kill-whom=main -s HUP run.service) & {run}"));
    assert_eq!(output.code, 0, "{}{}\n{}", output.stdout, output.stderr, story(&machine));
    must_be_settled(&machine, "small");
    take_all_back(&machine, &before);
}
