//! The packages: from the signed repository onto a host, through their whole life, and off it again.
//!
//! Nothing here asks the program to change the host; where a unit needs a program that works, fails or takes long, a
//! script stands in for it.

use super::Scenario;
use crate::harness::repository::Repository;
use crate::harness::{Machine, Output};

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "quick-install refuses a foreign key, installs with the right one, and takes all of it back",
        run: quick_install,
    },
    Scenario { name: "apt refuses the repository when a byte of it was changed", run: tampered_repository },
    Scenario {
        name: "installing changes nothing but the package's own files and starts nothing but the timer",
        run: install_is_quiet,
    },
    Scenario { name: "the answer for the profile is stored, preseeded or given on a terminal", run: answers },
    Scenario {
        name: "an administrator's edit wins over debconf, and a later answer keeps the rest of the file",
        run: edits_win,
    },
    Scenario {
        name: "upgrade, downgrade, removal and reinstall keep settings, state and what was disabled",
        run: versions,
    },
    Scenario { name: "an edited conffile is kept when its default changes", run: conffile },
    Scenario { name: "a removal asks before the way back is lost, and can be refused", run: removal_asks },
    Scenario { name: "a purge leaves nothing of ours and everything of the administrator's", run: purge },
    Scenario {
        name: "an install holds back a shutdown while it runs, and no longer when it is killed",
        run: shutdown_waits,
    },
    Scenario { name: "a removal stops a running install, an upgrade doesn't", run: running_install },
    Scenario { name: "a unit that fails, and drift, leave one critical line in the journal", run: alerts },
    Scenario { name: "recovery runs at the next boot when there is a journal", run: recovery_at_boot },
];

const PROFILE: &str = "/etc/vps-configurator/conf.d/00-profile.yaml";

/// A box that knows the repository, as `quick-install.sh` leaves it, with the package installed.
fn installed(repository: &Repository) -> Machine {
    let machine = prepared(repository);
    quiet_apt(&machine, "install vps-configurator");
    machine
}

/// The same, before the package.
fn prepared(repository: &Repository) -> Machine {
    let mut machine = Machine::boot("packages");
    let url = machine.serve(repository.folder());
    machine.put(repository.folder().join("vps-configurator.pgp"), "/usr/share/keyrings/vps-configurator.pgp");
    let source = format!(
        "Types: deb\nURIs: {url}\nSuites: trixie\nComponents: main\n\
         Signed-By: /usr/share/keyrings/vps-configurator.pgp\n"
    );
    machine.put_bytes(source, "/etc/apt/sources.list.d/vps-configurator.sources", 0o644);
    machine.ok("apt-get update -qq -eany");
    machine
}

#[track_caller]
fn quiet_apt(machine: &Machine, words: &str) -> String {
    machine.ok(&format!("DEBIAN_FRONTEND=noninteractive apt-get -y -q --allow-downgrades {words} 2>&1"))
}

#[track_caller]
fn preseed(machine: &Machine, answer: &str) {
    machine.ok(&format!("echo 'vps-configurator vps-configurator/profile select {answer}' | debconf-set-selections"));
}

/// As an administrator without a terminal does it.
#[track_caller]
fn reconfigure(machine: &Machine) -> String {
    machine.ok("env -u DEBIAN_FRONTEND dpkg-reconfigure -f noninteractive vps-configurator 2>&1")
}

/// The answers, typed one after the other at the prompts of a command on a terminal.
fn on_terminal(machine: &Machine, answers: &str, command: &str) -> Output {
    machine.sh(&format!(
        "(for answer in {answers}; do sleep 3; echo $answer; done) | \
         script -qec \"env DEBIAN_FRONTEND=teletype {command}\" /dev/null"
    ))
}

/// Lets a shell script play the program from now on.
fn stand_in(machine: &Machine, script: &str) {
    machine.put_bytes(format!("#!/bin/sh\n{script}\n"), "/usr/sbin/vps-configurator", 0o755);
}

/// Waits for what a script says; a unit's start isn't its end.
#[track_caller]
fn wait_for(machine: &Machine, condition: &str) {
    machine.ok(&format!("for i in $(seq 100); do if {condition}; then exit 0; fi; sleep 0.1; done; exit 1"));
}

fn quick_install() {
    let repository = Repository::of_built_packages();
    let mut machine = Machine::boot("packages");
    let url = machine.serve(repository.folder());
    machine.put(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/quick-install.sh"), "/root/quick-install.sh");
    machine.ok("apt-get update -qq");
    let before = machine.snapshot();
    let run = |fingerprint: &str, argument: &str| {
        machine.sh(&format!(
            "REPO_URL={url} VPS_FINGERPRINT={fingerprint} DEBIAN_FRONTEND=noninteractive \
             sh /root/quick-install.sh {argument}"
        ))
    };

    let foreign = run(&"0".repeat(40), "");
    assert_eq!(foreign.code, 1, "{foreign:?}");
    assert!(foreign.stderr.contains(&repository.fingerprint()));
    assert_eq!(run("", "").code, 2);
    machine.must_be_as_before(&before);

    // A second key in the file would be trusted, too.
    let served = repository.folder().join("vps-configurator.pgp");
    let key = std::fs::read(&served).expect("the public key");
    std::fs::write(&served, [key.clone(), key.clone()].concat()).expect("the key is ours");
    assert_eq!(run(&repository.fingerprint(), "").code, 1);
    std::fs::write(&served, key).expect("the key is ours");

    let right = run(&repository.fingerprint(), "");
    assert_eq!(right.code, 0, "{right:?}");
    machine.ok("vps-configurator --version && dpkg -s vps-configurator-apt-source");
    let again = run(&repository.fingerprint(), "");
    assert!(again.stdout.contains("0 upgraded, 0 newly installed, 0 to remove"), "{again:?}");

    assert_eq!(run("", "--uninstall").code, 0);
    machine.must_be_as_before(&before);
}

fn tampered_repository() {
    let repository = Repository::of_built_packages();
    let machine = prepared(&repository);
    let release = repository.folder().join("dists/trixie/InRelease");
    let text = std::fs::read_to_string(&release).expect("InRelease");
    std::fs::write(&release, text.replace("Label: vps", "Label: VPS")).expect("the tree is ours");
    let update = machine.sh("apt-get update -eany 2>&1");
    assert_ne!(update.code, 0, "{update:?}");

    // With the signature in order, but another package than the signed index names.
    std::fs::write(&release, text).expect("the tree is ours");
    machine.ok("apt-get update -qq -eany");
    let pool = repository.folder().join("pool/main/v/vps-configurator");
    for entry in std::fs::read_dir(pool).expect("the pool") {
        let deb = entry.expect("a file of the pool").path();
        let mut bytes = std::fs::read(&deb).expect("a package");
        *bytes.last_mut().expect("not empty") ^= 1;
        std::fs::write(&deb, bytes).expect("the tree is ours");
    }
    let install = machine.sh("DEBIAN_FRONTEND=noninteractive apt-get -y install vps-configurator 2>&1");
    assert_ne!(install.code, 0, "{install:?}");
    assert!(install.stdout.contains("Hash Sum mismatch"), "{install:?}");
}

fn install_is_quiet() {
    let repository = Repository::of_built_packages();
    let machine = prepared(&repository);
    let before = machine.snapshot();
    quiet_apt(&machine, "install vps-configurator");
    let foreign: Vec<String> = machine
        .differences(&before)
        .into_iter()
        .filter(|line| !line.contains("vps-configurator") && !line.contains("package libsqlite3-0"))
        .collect();
    assert_eq!(foreign, Vec::<String>::new());
    assert_eq!(
        machine.ok(
            "systemctl list-units --all --no-legend --plain 'vps-configurator*' | awk '$3 == \"active\" { print $1 }'"
        ),
        "vps-configurator-drift.timer\n"
    );
    assert_eq!(machine.ok("systemctl is-enabled vps-configurator-recover").trim(), "enabled");
    assert_eq!(machine.sh("dpkg --verify vps-configurator").stdout, "");
    assert_eq!(
        machine.ok(
            "stat -c %a /etc/vps-configurator /var/lib/vps-configurator /var/log/vps-configurator /run/vps-configurator"
        ),
        "750\n700\n750\n755\n"
    );
}

fn answers() {
    let repository = Repository::of_built_packages();
    let machine = prepared(&repository);
    preseed(&machine, "none");
    quiet_apt(&machine, "install vps-configurator");
    machine.ok(&format!("test ! -e {PROFILE}"));

    preseed(&machine, "beginner");
    reconfigure(&machine);
    assert!(machine.read(PROFILE).ends_with("\nprofile: beginner\n"));

    let refused = reconfigure_with(&machine, "nonsense");
    assert!(refused.contains("there is no profile \"nonsense\""), "{refused}");
    assert!(machine.read(PROFILE).ends_with("\nprofile: beginner\n"));

    let answered = on_terminal(&machine, "none", "dpkg-reconfigure -f teletype vps-configurator");
    assert_eq!(answered.code, 0, "{answered:?}");
    assert!(answered.stdout.contains("Profile of this host"), "{answered:?}");
    machine.ok(&format!("test ! -e {PROFILE}"));
    let number = number_of_choice(&answered.stdout, "beginner");
    let answered = on_terminal(&machine, number, "dpkg-reconfigure -f teletype vps-configurator");
    assert_eq!(answered.code, 0, "{answered:?}");
    assert!(machine.read(PROFILE).ends_with("\nprofile: beginner\n"));
}

/// The number that debconf's teletype printed in front of `choice`: `4` of "  4. beginner".
fn number_of_choice<'a>(printed: &'a str, choice: &str) -> &'a str {
    let words: Vec<&str> = printed.split_whitespace().collect();
    let at = words.windows(2).find(|pair| pair[1] == choice && pair[0].ends_with('.'));
    at.unwrap_or_else(|| panic!("no number before {choice}: {printed}"))[0].trim_end_matches('.')
}

fn reconfigure_with(machine: &Machine, answer: &str) -> String {
    preseed(machine, answer);
    reconfigure(machine)
}

fn edits_win() {
    let repository = Repository::of_built_packages();
    let machine = installed(&repository);
    let reinstall = || quiet_apt(&machine, "install --reinstall vps-configurator");

    // The line taken out, a note and another setting put in: debconf follows.
    let edited = "# a note\nlanguage: sv";
    machine.put_bytes(edited, PROFILE, 0o640);
    reinstall();
    assert_eq!(machine.read(PROFILE), edited);
    let asked = machine.ok("echo get vps-configurator/profile | debconf-communicate");
    assert_eq!(asked.trim(), "0 none");

    // A new answer changes the one line.
    reconfigure_with(&machine, "beginner");
    assert_eq!(machine.read(PROFILE), format!("{edited}\nprofile: beginner\n"));
    assert_eq!(machine.ok(&format!("stat -c %a {PROFILE}")).trim(), "640");

    // Quotes and a comment are the administrator's.
    machine.put_bytes("profile: \"beginner\"   # ours\n", PROFILE, 0o644);
    reinstall();
    assert_eq!(machine.read(PROFILE), "profile: \"beginner\"   # ours\n");

    // A profile of the administrator's own is left alone, said so, and asked about no further.
    machine.put_bytes("profile: mine\n", PROFILE, 0o644);
    let said = reconfigure_with(&machine, "beginner");
    assert!(said.contains("a profile of your own (\"mine\")"), "{said}");
    assert_eq!(machine.read(PROFILE), "profile: mine\n");

    // A deleted file stays deleted until someone asks for it.
    machine.ok(&format!("rm {PROFILE}"));
    reinstall();
    machine.ok(&format!("test ! -e {PROFILE}"));
    reconfigure(&machine);
    assert!(machine.read(PROFILE).ends_with("\nprofile: beginner\n"));
}

fn versions() {
    let repository = Repository::of_built_packages();
    repository.add_version("9.0.0-1", "true");
    let machine = prepared(&repository);
    let built = machine.ok("apt-cache madison vps-configurator | awk '{ print $3 }' | tail -n 1").trim().to_owned();
    let version = || machine.ok("dpkg-query -W -f '${Version}' vps-configurator");

    quiet_apt(&machine, &format!("install vps-configurator={built}"));
    machine.ok("echo kept > /var/lib/vps-configurator/kept-file && systemctl disable --now vps-configurator-drift.timer 2>/dev/null");
    preseed(&machine, "none");
    reconfigure(&machine);
    machine.put_bytes("profile: mine\n", PROFILE, 0o644);

    quiet_apt(&machine, "install vps-configurator");
    assert_eq!(version(), "9.0.0-1");
    quiet_apt(&machine, &format!("install vps-configurator={built}"));
    assert_eq!(version(), built);
    quiet_apt(&machine, "remove vps-configurator");
    machine.ok("test ! -e /usr/sbin/vps-configurator");
    quiet_apt(&machine, "install vps-configurator");
    assert_eq!(version(), "9.0.0-1");

    assert_eq!(machine.read(PROFILE), "profile: mine\n");
    assert_eq!(machine.read("/var/lib/vps-configurator/kept-file"), "kept\n");
    let timer = machine
        .sh("systemctl is-enabled vps-configurator-drift.timer; systemctl is-active vps-configurator-drift.timer");
    assert_eq!(timer.stdout, "disabled\ninactive\n");
    assert_eq!(machine.ok("systemctl --failed --no-legend"), "");
}

fn conffile() {
    let repository = Repository::of_built_packages();
    let machine = installed(&repository);
    machine.ok("echo 'profile: beginner' >> /etc/vps-configurator/config.yaml");
    let edited = machine.read("/etc/vps-configurator/config.yaml");
    repository.add_version("9.0.0-1", "echo '# new' >> etc/vps-configurator/config.yaml");
    machine.ok("apt-get update -qq -eany");
    quiet_apt(
        &machine,
        "-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold install vps-configurator",
    );
    assert_eq!(machine.read("/etc/vps-configurator/config.yaml"), edited);
    machine.ok("grep -x '# new' /etc/vps-configurator/config.yaml.dpkg-dist");
    quiet_apt(&machine, "purge vps-configurator");
    machine.ok("test ! -e /etc/vps-configurator");
}

fn removal_asks() {
    let repository = Repository::of_built_packages();
    let machine = installed(&repository);
    // Nothing applied: no question, no word.
    let words = quiet_apt(&machine, "remove vps-configurator");
    assert!(!words.contains("rollback"), "{words}");
    quiet_apt(&machine, "install vps-configurator");

    machine.put_bytes("x", "/var/lib/vps-configurator/journal.db", 0o600);
    stand_in(
        &machine,
        "[ \"$*\" != 'internal may-remove' ] || { printf 'transaction 18 docker\\ntransaction 17 beginner\\n'; exit 4; }",
    );
    let refused = on_terminal(&machine, "no", "apt-get -y remove vps-configurator");
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(refused.stdout.contains("transaction 18 docker;transaction 17 beginner"), "{refused:?}");
    assert!(refused.stdout.contains("vps-configurator rollback"), "{refused:?}");
    assert_eq!(machine.ok("dpkg-query -W -f '${db:Status-Abbrev}' vps-configurator").trim(), "ii");
    assert_eq!(machine.ok("systemctl is-active vps-configurator-drift.timer").trim(), "active");

    // Without anyone to ask it goes on, with the warning; the refusal of before doesn't stick.
    let words = quiet_apt(&machine, "remove vps-configurator");
    assert!(words.contains("  transaction 17 beginner") && words.contains("the way back"), "{words}");
    machine.ok("test -s /var/lib/vps-configurator/journal.db");

    // A journal of which nothing stands any more is worth no word.
    quiet_apt(&machine, "install vps-configurator");
    stand_in(&machine, "exit 0");
    let words = quiet_apt(&machine, "remove vps-configurator");
    assert!(!words.contains("these changes stay"), "{words}");

    // What refuses, or does not answer, is not removed.
    quiet_apt(&machine, "install vps-configurator");
    for (script, words) in [("echo 'one waits' >&2; exit 1", "one waits"), ("exit 101", "does not answer (exit 101)")] {
        stand_in(&machine, script);
        let refused = machine.sh("apt-get -y remove vps-configurator </dev/null 2>&1");
        assert!(refused.code != 0 && refused.stdout.contains(words), "{refused:?}");
        assert_eq!(machine.ok("dpkg-query -W -f '${db:Status-Abbrev}' vps-configurator").trim(), "ii");
    }
    machine.ok("mv /var/lib/vps-configurator /root/");
    quiet_apt(&machine, "remove vps-configurator");
}

fn purge() {
    let repository = Repository::of_built_packages();
    let machine = prepared(&repository);
    // Dependencies first: they are not ours to take away.
    quiet_apt(&machine, "install libsqlite3-0");
    let before = machine.snapshot();
    quiet_apt(&machine, "install vps-configurator");
    stand_in(&machine, "[ \"$1\" != install ] || { echo x > /var/lib/vps-configurator/journal.db; exit 1; }");
    machine.sh("systemctl start vps-configurator-install@beginner");
    machine.ok("mkdir -p /var/lib/vps-configurator/objects/ab /var/cache/vps-configurator/lists && echo x | tee /var/lib/vps-configurator/objects/ab/c /var/cache/vps-configurator/lists/d /var/log/vps-configurator/e /run/vps-configurator/lock");
    machine.ok("systemctl start vps-configurator-drift.service; test -e /var/lib/systemd/timers/stamp-vps-configurator-drift.timer");
    quiet_apt(&machine, "purge vps-configurator");

    machine.must_be_as_before(&before);
    let left = machine.ok("find / -xdev -name '*vps-configurator*' ! -path '/proc/*' ! -path '/var/lib/apt/lists/*' \
         ! -path '/var/cache/apt/*' ! -path '/etc/apt/sources.list.d/*' ! -path '/usr/share/keyrings/*'; \
         find /run -name '*vps-configurator*' ! -path '/run/systemd/*'; \
         systemctl list-units --all --no-legend --plain 'vps-configurator*'; \
         grep -h vps-configurator /var/cache/debconf/*.dat || true");
    assert_eq!(left, "");

    // What the administrator put there is not ours.
    quiet_apt(&machine, "install vps-configurator");
    machine.put_bytes("a: 1\n", "/etc/vps-configurator/profiles.d/mine.yaml", 0o600);
    quiet_apt(&machine, "purge vps-configurator");
    assert_eq!(machine.ok("find /etc/vps-configurator -type f"), "/etc/vps-configurator/profiles.d/mine.yaml\n");

    // Nor are the edits that a rollback kept.
    quiet_apt(&machine, "install vps-configurator");
    machine.ok("mkdir -p /var/lib/vps-configurator/kept/7 /var/lib/vps-configurator/objects && echo mine > /var/lib/vps-configurator/kept/7/hosts");
    assert!(quiet_apt(&machine, "purge vps-configurator").contains("/var/lib/vps-configurator/kept stays"));
    assert_eq!(machine.ok("find /var/lib/vps-configurator -type f"), "/var/lib/vps-configurator/kept/7/hosts\n");
    machine.ok("test ! -e /var/lib/vps-configurator/objects && rm -r /var/lib/vps-configurator");
}

fn shutdown_waits() {
    let repository = Repository::of_built_packages();
    let mut machine = installed(&repository);
    let held = "systemd-inhibit --list --no-legend --no-pager | grep -q '^vps-configurator .* block'";
    // A boot with nothing to recover leaves nothing that would hold back the next one.
    machine.reboot();
    wait_for(&machine, &format!("! {held}"));

    stand_in(&machine, "systemd-notify 'STATUS=step 3 of 9'; exec sleep 600");
    machine.ok("systemctl start --no-block vps-configurator-install@beginner");
    wait_for(&machine, held);
    wait_for(&machine, "systemctl show -p StatusText vps-configurator-install@beginner | grep -q 'step 3 of 9'");
    let reboot = machine.sh("systemctl reboot");
    assert_ne!(reboot.code, 0);
    assert!(reboot.stderr.contains("denied"), "{reboot:?}");

    machine.ok("systemctl kill -s KILL vps-configurator-install@beginner");
    wait_for(&machine, &format!("! {held}"));
    assert_eq!(
        machine.ok("systemctl show -p ActiveState,Result --value vps-configurator-inhibit"),
        "success\ninactive\n"
    );
}

fn running_install() {
    let repository = Repository::of_built_packages();
    let machine = installed(&repository);
    stand_in(&machine, "exec sleep 600");
    machine.ok("systemctl start --no-block vps-configurator-install@beginner");
    let pid = || machine.ok("systemctl show -p MainPID --value vps-configurator-install@beginner");
    wait_for(&machine, "[ $(systemctl show -p MainPID --value vps-configurator-install@beginner) != 0 ]");
    let first = pid();
    quiet_apt(&machine, "install --reinstall vps-configurator");
    assert_eq!(pid(), first, "an upgrade touched the running install");
    quiet_apt(&machine, "remove vps-configurator");
    assert_eq!(pid().trim(), "0");
    assert_eq!(machine.ok("systemctl --failed --no-legend"), "");
}

fn alerts() {
    let repository = Repository::of_built_packages();
    let machine = installed(&repository);
    let critical = || machine.ok("journalctl --sync; journalctl -q -p 2 -t vps-configurator -o cat --no-pager");
    stand_in(&machine, "case $1 in install) exit 3 ;; verify) exit $(cat /root/verify) ;; esac");
    machine.put_bytes("x", "/var/lib/vps-configurator/journal.db", 0o600);
    for quiet in ["0", "5"] {
        machine.put_bytes(quiet, "/root/verify", 0o644);
        machine.ok("systemctl start vps-configurator-drift");
    }
    assert_eq!(critical(), "");

    machine.put_bytes("4", "/root/verify", 0o644);
    assert_ne!(machine.sh("systemctl start vps-configurator-drift").code, 0);
    assert_ne!(machine.sh("systemctl start vps-configurator-install@beginner").code, 0);
    wait_for(
        &machine,
        "journalctl --sync; [ $(journalctl -q -p 2 -t vps-configurator -o cat --no-pager | wc -l) = 2 ]",
    );
    let lines = critical();
    assert!(lines.contains("vps-configurator-drift.service failed (exit-code, status 4)"), "{lines}");
    assert!(lines.contains("vps-configurator-install@beginner.service failed (exit-code, status 3)"), "{lines}");
}

fn recovery_at_boot() {
    let repository = Repository::of_built_packages();
    let mut machine = installed(&repository);
    stand_in(&machine, "[ \"$*\" != recover ] || echo recovered >> /root/recovered");
    machine.reboot();
    machine.ok("test ! -e /root/recovered");
    machine.put_bytes("x", "/var/lib/vps-configurator/journal.db", 0o600);
    machine.power_cut();
    machine.boot_again();
    wait_for(&machine, "test -s /root/recovered");
    assert_eq!(machine.failed_units, Vec::<String>::new());
    assert_eq!(machine.read("/root/recovered"), "recovered\n");
}
