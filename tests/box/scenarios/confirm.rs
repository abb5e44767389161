//! Confirmed changes: an administrator who knows the machine only by SSH shuts himself out, in each way that there is,
//! and is let in again; or comes in anew, and confirms.

use super::Scenario;
use super::program::{installed, json, program, story, take_all_back};
use crate::harness::{Machine, Output, Snapshot, exec};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "an administrator who shuts the SSH port over SSH is let in again, and the rest of the install stays",
        run: shut,
    },
    Scenario { name: "a change is confirmed from a new login and from nowhere else", run: confirmed },
    Scenario { name: "an unconfirmed change comes back after a power cut, at boot when it is late", run: power_cut },
    Scenario { name: "an unconfirmed change comes back when the program was replaced meanwhile", run: replaced },
    Scenario { name: "a change that was killed half-way comes back", run: killed },
    Scenario { name: "what the program itself sees to be lost comes back at once", run: at_once },
    Scenario { name: "what would certainly shut somebody out is refused beforehand", run: refused },
    Scenario { name: "a service is armed while somebody is logged in, and not when nobody is", run: service },
];

/// Longer than anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

/// A packet filter of the administrator's own. It may be seen from inside only as far as `lo`.
const FILTER: &str = "  - package: nftables
  - file: /etc/nftables.conf
    content: |
      flush ruleset
      table inet gate {
        chain input {
          type filter hook input priority 0; policy drop;
          iif lo accept
RULES
        }
      }
    check: [nft, -c, -f, \"{path}\"]
    notify: [restart nftables.service]
  - unit: nftables.service
    enabled: true
    active: true
";

/// A box with the program, and mia in it, who may become root and comes in with a key.
struct Server {
    machine: Machine,
    key: String,
}

impl Server {
    fn new() -> Self {
        let machine = installed("remote");
        machine.ok("useradd -m -s /bin/bash mia && echo 'mia ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/mia && chmod 0440 /etc/sudoers.d/mia && \
             ssh-keygen -q -t ed25519 -N '' -f /run/key && \
             install -d -o mia -g mia -m 700 /home/mia/.ssh && \
             install -o mia -g mia -m 600 /run/key.pub /home/mia/.ssh/authorized_keys");
        // The package has them enabled; a bare binary has nobody who does.
        machine.ok("systemctl enable -q vps-configurator-revert.service vps-configurator-recover.service");
        let key = machine.read("/run/key");
        let server = Server { machine, key };
        assert!(server.comes_in(), "ssh works before");
        server.module("free", "  - file: /etc/free.conf\n    content: free\n");
        server
    }

    /// A module of the administrator's, enabled in the profile `own`.
    fn module(&self, name: &str, resources: &str) {
        let folder = format!("/etc/vps-configurator/modules.d/{name}");
        let manifest = format!("name: {name}\nsummary: A module of a test\npriority: 50\nresources:\n{resources}");
        self.machine.put_bytes(manifest, &format!("{folder}/module.yaml"), 0o644);
        let profile = "/etc/vps-configurator/profiles.d/own.yaml";
        self.machine.ok(&format!(
            "test -s {profile} || printf 'title: Own\\nsummary: Of a test\\nmodules:\\n' >{profile}; \
             grep -q ' {name}:' {profile} || echo '  {name}: {{enabled: true}}' >>{profile}"
        ));
    }

    /// The module `gate`: a packet filter with these rules.
    fn gate(&self, rules: &str) {
        let rules: Vec<String> = rules.lines().map(|rule| format!("          {rule}")).collect();
        self.module("gate", &FILTER.replace("RULES", &rules.join("\n")));
    }

    /// A shell script of mia's, in an SSH session from this side of the veth pair. A session that is lost ends soon.
    fn ssh(&self, options: &[&str], script: &str) -> Output {
        let leader = exec::leader_of(self.machine.record()).expect("it is up").to_string();
        let mut ssh = Command::new("nsenter");
        ssh.args(["--target", &leader, "--mount", "--", "ssh", "-i", "/run/key"]);
        for option in [
            "BatchMode=yes",
            "ConnectTimeout=5",
            "ServerAliveInterval=2",
            "ServerAliveCountMax=2",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
        ] {
            ssh.args(["-o", option]);
        }
        ssh.args(options).arg(format!("mia@{}", self.machine.address())).arg(script);
        let (status, stdout, stderr) = exec::collect(ssh, b"", LIMIT).expect("a session ends, lost or not");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Output { code: status.code().unwrap_or(255), stdout: text(stdout), stderr: text(stderr) }
    }

    /// Installs the profile over SSH.
    fn install(&self, more: &str) -> Output {
        self.ssh(&[], &format!("sudo vps-configurator install --profile own --yes {more}"))
    }

    fn comes_in(&self) -> bool {
        self.ssh(&[], "true").code == 0
    }

    /// Whether a stranger's connection gets through, without a login.
    fn is_reached(&self) -> bool {
        let address = (self.machine.address(), 22).into();
        TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_ok()
    }

    /// The open confirmation, as `status` has it.
    fn waiting(&self) -> serde_json::Value {
        let output = program(&self.machine, "status --json");
        let status: serde_json::Value = serde_json::from_str(&output.stdout).expect("status is JSON");
        status["confirmations"][0].clone()
    }

    /// What `act` says, and what mia reads meanwhile in a session that had begun before.
    fn while_one_sits(&self, act: impl FnOnce() -> Output) -> (Output, String) {
        self.machine.ok("rm -f /tmp/sits /tmp/leaves");
        std::thread::scope(|scope| {
            let terminal =
                scope.spawn(|| self.ssh(&["-tt"], "touch /tmp/sits; until test -e /tmp/leaves; do sleep 0.1; done"));
            self.machine.ok("until test -e /tmp/sits; do sleep 0.1; done");
            let said = act();
            self.machine.ok("touch /tmp/leaves");
            (said, terminal.join().expect("the session ends").stdout)
        })
    }

    /// Waits until mia comes in, and nothing is open any more.
    #[track_caller]
    fn must_come_back(&self) {
        let end = Instant::now() + LIMIT;
        while !(self.is_reached() && self.comes_in() && self.waiting().is_null()) {
            assert!(Instant::now() < end, "{}\n{}", program(&self.machine, "status").stdout, story(&self.machine));
            std::thread::sleep(Duration::from_millis(500));
        }
        self.must_be_quiet();
    }

    /// Nobody is to wake up any more.
    #[track_caller]
    fn must_be_quiet(&self) {
        let units = "systemctl list-units --plain --no-legend 'vps-configurator-revert*'";
        self.machine
            .ok(&format!("for i in $(seq 100); do test -z \"$({units})\" && exit 0; sleep 0.1; done; {units}; exit 1"));
        assert!(!self.machine.sh("ls -d /run/vps-configurator-knock").success(), "the key of the probe is gone");
    }

    /// How the newest confirmation ended, and of which transaction it is.
    fn ended(&self, transaction: i64) -> String {
        let shown = json(&self.machine, 0, &format!("transaction show {transaction}"));
        shown["confirmation"]["state"].as_str().unwrap_or_default().to_owned()
    }

    /// All that is left of the install is what does not touch the way in; that goes by hand.
    #[track_caller]
    fn must_stand_alone(&self, before: &Snapshot) {
        self.machine.ok("test -e /etc/free.conf");
        // A session that was lost lives on at the server's end until that notices.
        self.machine.ok("loginctl terminate-user mia 2>/dev/null; for i in $(seq 200); do \
             test -z \"$(systemctl list-units --plain --no-legend 'session-*.scope')\" && exit 0; sleep 0.1; done; exit 1");
        assert_eq!(json(&self.machine, 0, "status")["modules"], serde_json::json!(["free"]));
        take_all_back(&self.machine, before);
    }
}

/// Refused or failed with this stable code; what it said.
#[track_caller]
fn is_refused(output: &Output, code: &str) -> String {
    let said = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, 1, "{said}");
    assert!(said.contains(&format!("code:  {code}")), "not {code}:\n{said}");
    said
}

fn shut() {
    let server = Server::new();
    server.gate("");
    let before = server.machine.snapshot();
    let shown = server.ssh(&[], "sudo vps-configurator plan --profile own");
    assert!(shown.stdout.contains("must be confirmed"), "{shown:?}");
    server.install("--confirm-timeout 15");
    assert!(!server.is_reached(), "the port is shut");
    let waiting = server.waiting();
    assert_eq!(
        (&waiting["state"], &waiting["modules"]),
        (&"waiting".into(), &serde_json::json!(["gate"])),
        "{waiting}"
    );
    server.must_come_back();
    assert_eq!(server.ended(1), "reverted");
    let late = server.ssh(&[], "sudo vps-configurator confirm");
    is_refused(&late, "confirm-too-late");
    server.must_stand_alone(&before);
}

fn confirmed() {
    let server = Server::new();
    server.gate("ct state established,related accept\ntcp dport 22 accept");
    // A connection that is shared by several sessions, kept open in the background.
    let shared = ["-o", "ControlPath=/run/shared", "-o", "ControlMaster=auto", "-o", "ControlPersist=300"];
    let said = server.ssh(&shared, "sudo vps-configurator install --profile own --yes");
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("This must be confirmed"), "{}", said.stdout);
    assert_eq!(program(&server.machine, "status").code, 4);
    // Not from the same connection, not from this host itself, not from a service.
    let again = server.ssh(&shared, "sudo vps-configurator confirm");
    assert!(is_refused(&again, "confirm-needs-new-login").contains("began before"), "{again:?}");
    let address = server.machine.address();
    let from_here = server.machine.sh(&format!(
        "ssh -i /run/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null mia@{address} sudo vps-configurator confirm"
    ));
    assert!(is_refused(&from_here, "confirm-needs-new-login").contains("from this host itself"), "{from_here:?}");
    let unit = server.machine.sh("systemd-run --quiet --pipe --wait --collect vps-configurator confirm");
    assert!(is_refused(&unit, "confirm-needs-new-login").contains("no login"), "{unit:?}");
    // Nothing goes on top of it, what is there already is no change, and looking is free.
    let second = server.ssh(&shared, "sudo vps-configurator install --profile small --yes");
    assert!(is_refused(&second, "confirm-waiting").contains("gate"), "{second:?}");
    assert_eq!(server.ssh(&shared, "sudo vps-configurator install --profile own --yes").code, 0);
    assert_eq!(server.ssh(&shared, "sudo vps-configurator verify --profile own").code, 0);
    assert_eq!(server.waiting()["state"], "waiting");

    let new = server.ssh(&[], "sudo vps-configurator confirm");
    assert_eq!(new.code, 0, "{}{}", new.stdout, new.stderr);
    assert_eq!(server.ended(1), "confirmed");
    server.must_be_quiet();
    assert_eq!(program(&server.machine, "status").code, 0);
    let again = server.ssh(&[], "sudo vps-configurator confirm");
    assert_eq!((again.code, again.stdout.as_str()), (0, "Nothing waits for a confirmation.\n"));
    server.machine.ok("nft list chain inet gate input | grep -q 'dport 22'");

    // A rollback by hand leaves nothing to confirm, and who knows another way in needs no login for it.
    server.gate("ct state established,related accept\ntcp dport {22, 80} accept");
    assert_eq!(server.install("").code, 0);
    assert_eq!(server.ssh(&[], "sudo vps-configurator rollback --yes").code, 0);
    assert_eq!(server.ended(2), "void");
    server.must_be_quiet();
    assert_eq!(server.install("").code, 0);
    assert_eq!(program(&server.machine, "confirm --from-here").code, 0);
    assert_eq!(server.ended(4), "confirmed");
    // A script that knows what it does is not asked.
    server.gate("tcp dport 22 accept\nct state established,related accept");
    assert_eq!(server.install("--confirm never").code, 0);
    assert!(server.waiting().is_null());
}

fn power_cut() {
    let mut server = Server::new();
    server.gate("");
    let before = server.machine.snapshot();
    for is_late in [false, true] {
        server.install("--confirm-timeout 20");
        assert!(!server.is_reached(), "the port is shut");
        server.machine.power_cut();
        if is_late {
            std::thread::sleep(Duration::from_secs(20));
        }
        server.machine.boot_again();
        server.machine.put_bytes(&server.key, "/run/key", 0o600);
        server.must_come_back();
        server.must_stand_alone(&before);
    }
    assert_eq!(server.ended(1), "reverted");
}

fn replaced() {
    let server = Server::new();
    server.gate("");
    let before = server.machine.snapshot();
    server.install("--confirm-timeout 30");
    // Through the console of the provider.
    if server.machine.sh("dpkg -s vps-configurator").success() {
        server.machine.ok("DEBIAN_FRONTEND=noninteractive apt-get install -qqy --reinstall vps-configurator");
        // The way back must not be taken away.
        let removal = server.machine.sh("DEBIAN_FRONTEND=noninteractive apt-get remove -qqy vps-configurator");
        let said = format!("{}{}", removal.stdout, removal.stderr);
        assert!(!removal.success() && said.contains("waits for its confirmation"), "{said}");
        server.machine.ok("dpkg --configure -a && dpkg -s vps-configurator | grep -q 'install ok installed'");
    } else {
        server
            .machine
            .ok("cp -p /usr/sbin/vps-configurator /usr/sbin/.new && mv /usr/sbin/.new /usr/sbin/vps-configurator");
        server.machine.ok("systemctl daemon-reload && systemctl daemon-reexec");
    }
    server.must_come_back();
    assert_eq!(server.ended(1), "reverted");
    server.must_stand_alone(&before);
}

/// Shuts the port, says so, and goes on for long.
const SLOW: &str = "#!/bin/sh
nft add table inet gate && nft add chain inet gate input '{ type filter hook input priority 0; policy drop; }'
touch /run/half-way
sleep 600
";

fn killed() {
    let server = Server::new();
    server.machine.ok("DEBIAN_FRONTEND=noninteractive apt-get install -qqy nftables >/dev/null");
    server.machine.put_bytes(SLOW, "/usr/local/sbin/slow", 0o755);
    server.module(
        "slow",
        "  - command: shut the port\n    run: [/usr/local/sbin/slow]\n    unless: [nft, list, table, inet, gate]\n    undo: [nft, delete, table, inet, gate]\n    timeout: 900\n    access: true\n",
    );
    let before = server.machine.snapshot();
    std::thread::scope(|scope| {
        let session = scope.spawn(|| server.install("--confirm-timeout 15 --workers 1"));
        let wait = "for i in $(seq 1200); do test -e /run/half-way && exit 0; sleep 0.1; done; exit 1";
        server.machine.ok(wait);
        assert_eq!(server.waiting()["state"], "armed");
        // From the console: nobody can confirm what is half done.
        let early = program(&server.machine, "confirm --from-here");
        is_refused(&early, "confirm-under-way");
        server
            .machine
            .ok("pkill -KILL -x vps-configurato; pkill -KILL -x slow; pkill -KILL -x sleep; rm /run/half-way");
        session.join().expect("the session ends");
    });
    server.must_come_back();
    assert_eq!(server.ended(1), "reverted");
    server.must_stand_alone(&before);
}

fn at_once() {
    let server = Server::new();
    // A configuration that sshd rejects as a whole does not even get there.
    let sshd = "  - file: /etc/ssh/sshd_config.d/10-bad.conf\n    content: PermitRootLogin perhaps\n";
    let bad = [
        ("sshd", sshd, "ssh-config-rejected", "perhaps"),
        (
            "nosudo",
            "  - file: /etc/sudoers.d/zz-last\n    content: \"mia ALL=(ALL) !ALL\\n\"\n    mode: \"0440\"\n    check: [visudo, -cf, \"{path}\"]\n",
            "confirm-probe-failed",
            "may become root",
        ),
        ("nologin", "  - file: /etc/nologin\n    content: Come back later\n", "confirm-probe-failed", "is let in"),
    ];
    let profile = "/etc/vps-configurator/profiles.d/own.yaml";
    for (at, (name, resources, code, what)) in bad.into_iter().enumerate() {
        server.module(name, resources);
        let before = server.machine.snapshot();
        let said = server.install("");
        let why = is_refused(&said, code);
        assert!(why.contains(what), "{why}");
        assert!(server.comes_in());
        let ended = if code == "confirm-probe-failed" { "reverted" } else { "void" };
        assert_eq!(server.ended(3 * at as i64 + 1), ended);
        server.must_be_quiet();
        server.must_stand_alone(&before);
        server.machine.ok(&format!("sed -i '/ {name}:/d' {profile}"));
    }
}

fn refused() {
    let server = Server::new();
    let bad = [
        ("Port 2222", "sshd would no longer listen there"),
        ("ListenAddress 127.0.0.1", "sshd would no longer listen there"),
        ("AllowUsers ada", "mia is logged in"),
        ("PasswordAuthentication no\n      PermitRootLogin no", "no account that may become root has an SSH key"),
    ];
    // With a password only, and a key that is not hers to become root with.
    for (content, why) in bad {
        if content.starts_with("Password") {
            server.machine.ok("sed -i 's/^/command=\"backup\" /' /home/mia/.ssh/authorized_keys");
        }
        server.module(
            "sshd",
            &format!("  - file: /etc/ssh/sshd_config.d/10-own.conf\n    content: |\n      {content}\n"),
        );
        let before = server.machine.snapshot();
        let output = match content.starts_with("Password") {
            true => program(&server.machine, "install --profile own --yes"),
            false => server.install(""),
        };
        let said = is_refused(&output, "ssh-locks-out");
        assert!(said.contains(why), "{said}");
        server.machine.must_be_as_before(&before);
    }
    // From the console: root comes in with a password, and the only administrator has no way in.
    server
        .machine
        .ok("rm /etc/sudoers.d/mia; useradd -m -s /bin/bash -G sudo deploy; echo root:once-upon | chpasswd; \
         echo 'PermitRootLogin yes' >/etc/ssh/sshd_config.d/05-root.conf; systemctl reload ssh");
    server.module(
        "sshd",
        "  - file: /etc/ssh/sshd_config.d/01-own.conf\n    content: PermitRootLogin prohibit-password\n",
    );
    let before = server.machine.snapshot();
    let said = is_refused(&program(&server.machine, "install --profile own --yes"), "ssh-locks-out");
    assert!(said.contains("deploy may use sudo, and would have no way in"), "{said}");
    server.machine.must_be_as_before(&before);
    server.machine.ok("echo deploy:once-upon | chpasswd");
    let said = program(&server.machine, "install --profile own --yes");
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(server.machine.ok("sshd -T | grep ^permitrootlogin").trim(), "permitrootlogin without-password");
    // A firewall that is off, with a rule that would shut the port before any that the program adds.
    server.machine.ok("DEBIAN_FRONTEND=noninteractive apt-get install -qqy ufw >/dev/null && ufw deny 22");
    server.module("wall", "  - package: ufw\n  - firewall: ufw\n    rules: [allow 80/tcp]\n");
    let before = server.machine.snapshot();
    let said = is_refused(&program(&server.machine, "install --profile own --yes"), "firewall-locks-out");
    assert!(said.contains("deny any 22"), "{said}");
    server.machine.must_be_as_before(&before);
    server.machine.ok("ufw delete deny 22");
    let said = program(&server.machine, "install --profile own --yes");
    assert_eq!(said.code, 0, "{said:?}");
    assert!(server.is_reached() && server.machine.ok("ufw status").contains("22/tcp"));
}

fn service() {
    let server = Server::new();
    server.gate("ct state established,related accept\ntcp dport 22 accept");
    let start = "systemctl start vps-configurator-install@own.service";
    // As a first boot does it.
    server.machine.ok(start);
    assert!(server.waiting().is_null());
    server.gate("tcp dport 22 accept\nct state established,related accept");
    // The service has no terminal: whoever sits at one is told.
    let (said, terminal) =
        server.while_one_sits(|| server.ssh(&[], &format!("sudo {start} && sudo vps-configurator confirm")));
    assert!(is_refused(&said, "confirm-needs-new-login").contains("began before"), "{said:?}");
    assert!(
        terminal.contains("This must be confirmed") && terminal.contains("sudo vps-configurator confirm"),
        "{terminal}"
    );
    assert_eq!(server.waiting()["state"], "waiting");
    assert_eq!(server.ssh(&[], "sudo vps-configurator confirm").code, 0);
    // And that it was taken back, where nobody confirms.
    server.machine.ok("vps-configurator config set confirm.timeout 15");
    server.gate("tcp dport 22 counter accept\nct state established,related accept");
    let (said, terminal) = server.while_one_sits(|| {
        let said = server.ssh(&[], &format!("sudo {start}"));
        server.must_come_back();
        said
    });
    assert_eq!(said.code, 0, "{said:?}");
    assert!(terminal.contains("was not confirmed: 1 change taken back."), "{terminal}");
    server.machine.ok("vps-configurator config set confirm.timeout 300");
    // Whoever asks for it always gets it.
    server.gate("tcp dport 22 counter accept\nct state established,related accept");
    assert_eq!(program(&server.machine, "install --profile own --yes --confirm always").code, 0);
    assert_eq!(server.waiting()["state"], "waiting");
    server.machine.ok("vps-configurator config set confirm.when never");
    assert_eq!(server.ssh(&[], "sudo vps-configurator confirm").code, 0);
    server.gate("tcp dport 22 accept");
    assert_eq!(server.install("").code, 0);
    assert!(server.waiting().is_null());
}
