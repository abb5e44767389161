//! dpkg and apt in other hands: who works with them is named and waited for, what they left broken is brought in order,
//! and a package that can't be configured takes only its module along.

use super::Scenario;
use super::program::{installed, json, must_be_settled, program, start, story, take_all_back, unit};
use crate::harness::Machine;

/// With `VPS_BOX_LONG=1`.
pub const LONG: &[Scenario] = &[
    Scenario {
        name: "a running unattended-upgrade is named and waited for, then the install goes on",
        run: waited_for,
    },
    Scenario {
        name: "a dpkg that was killed while it unpacked is healed by install, recover and rollback",
        run: killed,
    },
    Scenario {
        name: "a package cut off before its script had set up is unpacked as if for the first time",
        run: cut_off_before_setting_up,
    },
    Scenario { name: "new packages that a power cut spoilt are mended before any script runs", run: spoilt },
    Scenario {
        name: "an apt-get that crashes is run once more where nothing had begun, and taken back where it had",
        run: crashing,
    },
    Scenario { name: "a package whose script fails takes only its own module along", run: broken_package },
];

/// Two packages in versions older than any, for unattended-upgrade to upgrade, each of which takes 45 s.
const OLD: &str = "set -e; for name in tree ed; do mkdir -p /run/old/$name/DEBIAN; \
     printf 'Package: %s\\nVersion: 0.0.1\\nArchitecture: amd64\\nMaintainer: x <x@example.org>\\nDescription: old\\n' $name \
         >/run/old/$name/DEBIAN/control; \
     dpkg-deb -b /run/old/$name /run/old/$name.deb >/dev/null; dpkg -i /run/old/$name.deb >/dev/null; done; \
     printf 'DPkg::Pre-Install-Pkgs {\"sleep 45\";};\\n' >/etc/apt/apt.conf.d/99slow; \
     apt-get install -qqy unattended-upgrades >/dev/null 2>&1";

fn waited_for() {
    let machine = installed("upgrading");
    machine.ok(OLD);
    let timers = "systemctl is-enabled apt-daily.timer apt-daily-upgrade.timer; systemctl is-active apt-daily.timer apt-daily-upgrade.timer";
    let before = machine.sh(timers).stdout;
    machine.ok("systemd-run --quiet --unit=upgrading unattended-upgrade --verbose");
    machine.ok("for i in $(seq 300); do grep -q ' POSIX .* WRITE ' /proc/locks && exit 0; sleep 0.1; done; exit 1");
    machine.ok(&format!("systemctl start --no-block {}", unit("small")));
    let status = format!("systemctl show -P StatusText {}", unit("small"));
    machine.ok(&format!(
        "for i in $(seq 300); do {status} | grep -q 'waiting: for unattended-upgrade .*(pid [0-9]*, for [0-9]* s' && exit 0; \
         sleep 0.1; done; {status}; exit 1"
    ));
    // Waits for the one under way.
    start(&machine, "small");
    assert!(machine.ok("cat /var/log/unattended-upgrades/unattended-upgrades.log").contains("All upgrades installed"));
    assert_eq!(machine.ok("systemctl show -P Result upgrading.service").trim(), "success");
    let report = json_report(&machine);
    assert!(report.contains("waited ") && report.contains("for unattended-upgrade"), "{report}");
    assert_eq!(machine.sh(timers).stdout, before, "the timers are left alone");
    must_be_settled(&machine, "small");
    // What the other did stays when ours goes.
    assert_eq!(program(&machine, "rollback --yes").code, 0);
    assert_eq!(machine.ok("dpkg-query -Wf '${Version}\\n' tree ed | grep -c -v '^0.0.1$'").trim(), "2");
}

/// The newest report that was kept.
fn json_report(machine: &Machine) -> String {
    machine.ok("cat $(ls -t /var/log/vps-configurator/install-*.json | head -n 1)")
}

/// Kills apt and dpkg while files of vim-runtime are being unpacked, until the kill hits that moment.
const KILLED: &str = "apt-get install -qqy --download-only vim >/dev/null 2>&1; for try in 1 2 3 4 5; do \
     (apt-get install -qqy vim >/dev/null 2>&1) & \
     for i in $(seq 3000); do find /usr/share/vim -name '*.dpkg-new' 2>/dev/null | grep -q . && break; sleep 0.01; done; \
     pkill -KILL -x 'dpkg|apt-get|dpkg-deb'; wait; \
     dpkg --audit | grep -q vim-runtime && find /usr -name '*.dpkg-new' | grep -q . && exit 0; \
     dpkg --configure -a >/dev/null 2>&1; apt-get -qqyf install >/dev/null 2>&1; apt-get purge -qqy --autoremove vim >/dev/null 2>&1; \
     done; exit 1";

/// As a loss of power leaves it that comes once dpkg has noted the package, and before the disk has the diversions that
/// its preinst makes. dpkg then calls that with `upgrade`, which makes none, and finds a file of vim-tiny in its way.
const NOT_DIVERTED: &str = "cd /usr/share/vim/vim91/doc; for name in help.txt tags; do mv $name.vim-tiny $name; done; \
     sed -i '\\|^/usr/share/vim/vim91/doc/|,+2d' /var/lib/dpkg/diversions; \
     dpkg --unpack /var/cache/apt/archives/vim-runtime_*.deb 2>&1 | grep -q 'trying to overwrite'";

fn cut_off_before_setting_up() {
    let machine = installed("setup");
    machine.ok("apt-get install -qqy vim-tiny >/dev/null 2>&1");
    machine.ok(KILLED);
    machine.ok(NOT_DIVERTED);
    assert_eq!(program(&machine, "recover").code, 0, "{}", story(&machine));
    must_be_whole(&machine);
    assert_eq!(machine.ok("dpkg-divert --list '*vim91*' | wc -l").trim(), "2");
    assert_eq!(machine.ok("apt-mark showauto vim-runtime").trim(), "vim-runtime");
}

fn must_be_whole(machine: &Machine) {
    assert_eq!(machine.sh("dpkg --audit").stdout, "");
    assert_eq!(machine.sh("find / -xdev -name '*.dpkg-new' -o -xdev -name '*.dpkg-tmp'").stdout, "");
    assert_eq!(machine.sh("dpkg --verify vim-runtime").stdout, "");
    assert_eq!(
        machine.sh("ls -A /var/lib/dpkg/updates /usr/sbin/policy-rc.d 2>/dev/null | grep -v :").stdout.trim(),
        ""
    );
}

/// What the administrator had begun goes again.
fn purge_vim(machine: &Machine) {
    machine.ok("apt-get purge -qqy vim vim-runtime libgpm2 libsodium23 >/dev/null");
}

fn killed() {
    let machine = installed("mid-unpack");
    let before = machine.snapshot();
    machine.ok(KILLED);
    // A plan tells it and changes nothing.
    let audit = machine.ok("dpkg --audit");
    let plan = program(&machine, "plan --profile small");
    assert_eq!(plan.code, 4, "{}{}", plan.stdout, plan.stderr);
    assert!(
        plan.stdout.contains("bring dpkg in order") && plan.stdout.contains("vim-runtime is half-installed"),
        "{}",
        plan.stdout
    );
    assert_eq!(machine.ok("dpkg --audit"), audit);

    let output = program(&machine, "install --profile small --yes");
    let said = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, 0, "{said}");
    assert!(said.contains("dpkg was interrupted at") && said.contains("dpkg is in order again: finished"), "{said}");
    must_be_whole(&machine);
    must_be_settled(&machine, "small");
    // It is the administrator's, and stays.
    assert_eq!(program(&machine, "rollback --yes").code, 0);
    machine.ok("dpkg -s vim-runtime | grep -q 'ok installed'");
    purge_vim(&machine);
    machine.must_be_as_before(&before);

    machine.ok(KILLED);
    let output = program(&machine, "recover");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    must_be_whole(&machine);
    purge_vim(&machine);
    machine.must_be_as_before(&before);

    start(&machine, "small");
    machine.ok(KILLED);
    let output = program(&machine, "rollback --yes");
    assert_eq!(output.code, 0, "{}{}\n{}", output.stdout, output.stderr, story(&machine));
    must_be_whole(&machine);
    purge_vim(&machine);
    machine.must_be_as_before(&before);
}

/// An apt-get that crashes, as it did by itself once: at once, or while dpkg unpacks; each once.
const CRASHING: &str = "#!/bin/sh\ncase $* in *Status-Fd=3*)\n\
     mkdir /run/at-once 2>/dev/null && kill -SEGV $$\n\
     case $* in *--download-only*) exec /usr/bin/apt-get \"$@\";; esac\n\
     [ -e /run/crash-later ] && rm /run/crash-later && \
     (while ! pgrep -x dpkg-deb >/dev/null; do sleep 0.01; done; kill -SEGV $$) &\n\
     ;; esac\nexec /usr/bin/apt-get \"$@\"\n";

fn crashing() {
    let machine = installed("crashing");
    machine.put_bytes(CRASHING, "/usr/sbin/apt-get", 0o755);
    machine.ok("touch /run/crash-later; mkdir /run/at-once");
    let before = machine.snapshot();
    let failed = program(&machine, "install --profile small --yes");
    assert_ne!(failed.code, 0, "{}", failed.stdout);
    assert!(failed.stderr.contains("apt-get was ended by SIGSEGV"), "{}\n{}", failed.stderr, story(&machine));
    assert_eq!(machine.ok("dpkg --audit"), "");
    machine.must_be_as_before(&before);
    machine.ok("rmdir /run/at-once");
    start(&machine, "small");
    machine.ok("test -d /run/at-once");
    assert!(story(&machine).contains("apt-get crashed before it had begun"), "{}", story(&machine));
    must_be_settled(&machine, "small");
    take_all_back(&machine, &before);
}

/// Waits until an install has unpacked everything and configured some of it, stops it there, and takes from files of new
/// packages what a power cut may take from files that nobody synced: a program that scripts call, another one, a link, a
/// conffile that waits to be configured, one that is in its place.
const SPOIL: &str = "mark=/var/lib/vps-configurator/unsynced-packages; \
     for i in $(seq 6000); do test -s $mark && break; sleep 0.02; done; \
     known=$(cat /var/log/dpkg.log 2>/dev/null | wc -l); \
     for i in $(seq 6000); do tail -n +$((known + 1)) /var/log/dpkg.log 2>/dev/null | grep -q ' configure ' && break; sleep 0.02; done; \
     pkill -STOP -x 'dpkg|apt-get'; sleep 0.2; set -e; test -s $mark; \
     for path in /usr/sbin/ufw /usr/bin/git /usr/bin/fail2ban-client; do test -s $path; : >$path; done; \
     rm /usr/bin/git-upload-pack; : >/etc/fail2ban/jail.conf.dpkg-new; dpkg-query -Wf '${Status}' ufw";

fn spoilt() {
    for direction in ["finish", "undo"] {
        let mut machine = installed("spoilt");
        machine.ok("systemctl enable vps-configurator-recover.service");
        assert_eq!(program(&machine, &format!("config set apply.recovery {direction}")).code, 0);
        assert_eq!(program(&machine, "config set apply.fast_io true").code, 0);
        let before = machine.snapshot();
        machine.ok(&format!("systemctl start --no-block {}", unit("small")));
        assert_eq!(machine.ok(SPOIL), "install ok unpacked", "dpkg was stopped before it configured ufw");
        machine.power_cut();
        machine.boot_again();
        machine.ok("systemctl is-system-running --wait >/dev/null || true");
        let said = story(&machine);
        assert!(said.contains("unpacking anew: ") && said.contains("files are damaged"), "{direction}: {said}");
        must_be_whole(&machine);
        assert_eq!(machine.sh("dpkg --verify git fail2ban ufw 2>&1 | grep -v 'not installed'").stdout, "", "{said}");
        machine.ok("test ! -e /var/lib/vps-configurator/unsynced-packages");
        if direction == "finish" {
            must_be_settled(&machine, "small");
            assert_eq!(program(&machine, "rollback --yes").code, 0);
        }
        machine.must_be_as_before(&before);
    }
}

/// An archive with one package whose script fails, and a module that asks for it.
fn broken_package() {
    let machine = installed("broken-package");
    let before = machine.snapshot();
    machine.ok(
        "set -e; mkdir -p /srv/archive/sour/DEBIAN; cd /srv/archive; \
         printf 'Package: sour\\nVersion: 1\\nArchitecture: amd64\\nMaintainer: x <x@example.org>\\nDescription: sour\\n' >sour/DEBIAN/control; \
         printf '#!/bin/sh\\necho its disk is of cheese >&2\\nexit 1\\n' >sour/DEBIAN/postinst; chmod 755 sour/DEBIAN/postinst; \
         dpkg-deb -b sour sour.deb >/dev/null; \
         (cat sour/DEBIAN/control; echo Filename: ./sour.deb; echo Size: $(stat -c %s sour.deb); echo SHA256: $(sha256sum sour.deb | cut -d' ' -f1)) >Packages; \
         printf 'Types: deb\\nURIs: file:/srv/archive\\nSuites: ./\\nTrusted: yes\\n' >/etc/apt/sources.list.d/sour.sources; \
         apt-get update -qq",
    );
    let manifest = "\
name: sour
summary: A package that can't be configured
priority: 90
mandatory: false
depends_on: [system]
resources:
  - package: sour
";
    machine.ok("mkdir -p /etc/vps-configurator/modules.d/sour");
    machine.put_bytes(manifest, "/etc/vps-configurator/modules.d/sour/module.yaml", 0o644);
    let output = program(&machine, "install --profile small --set modules.sour.enabled=true --yes");
    let said = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, 1, "{said}");
    assert!(said.contains("code:  package-failed") && said.contains("module sour"), "{said}");
    let story = "/var/log/vps-configurator/apt-failed.log";
    assert!(said.contains(story) && machine.read(story).contains("its disk is of cheese"), "{said}");
    must_be_settled(&machine, "small");
    assert!(!json(&machine, 0, "status")["modules"].to_string().contains("sour"));
    assert_eq!(machine.sh("dpkg -s sour").code, 1, "it is gone");
    assert_eq!(program(&machine, "rollback --to 0 --yes").code, 0);
    machine.ok(
        "rm -r /srv/archive /etc/apt/sources.list.d/sour.sources /etc/vps-configurator/modules.d/sour && apt-get update -qq",
    );
    machine.must_be_as_before(&before);
}
