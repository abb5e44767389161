//! The main job: a fresh server becomes the workstation `beginner` as planned, stays so, and goes back.

use super::Scenario;
use super::program::{installed, json, must_be_settled, program, start, story, timed};
use super::promise::{must_be_kept, newest, result};
use super::services::must_have_started_once;
use crate::harness::{Machine, exec};
use std::process::Command;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "beginner: what was planned comes and nothing else, a second run changes nothing, module by module it goes back",
    run: beginner,
}];

fn beginner() {
    let machine = installed("workstation");
    let key = KEY;
    authorise(&machine, key);
    assert!(login(&machine, key), "ssh works before");
    let before = machine.snapshot();
    let (plan, planning) = timed(|| json(&machine, 4, "plan --profile beginner"));
    machine.must_be_as_before(&before);
    let ((), installing) = timed(|| start(&machine, "beginner"));
    let after = machine.snapshot();
    let transaction = newest(&machine);
    assert_eq!(result(&machine, transaction)["deviations"], serde_json::json!([]));
    assert_eq!(result(&machine, transaction)["plan"], plan["plan"]["hash"]);
    must_be_kept(&machine, &plan, &before, &after, transaction);

    let ((), again) = timed(|| start(&machine, "beginner"));
    machine.must_be_as_before(&after);
    assert_eq!(newest(&machine), transaction, "a second start is no transaction");
    assert_eq!(json(&machine, 0, "install --profile beginner --yes")["changes"], 0);
    must_be_settled(&machine, "beginner");
    must_have_started_once(&machine, "docker.service", "/etc/docker/daemon.json");
    must_have_started_once(&machine, "fail2ban.service", "/etc/fail2ban/jail.d/zz-vps-configurator.conf");
    println!("beginner: plan {planning:.1?}, install {installing:.1?}, nothing to do {again:.2?}");
    must_ask_no_program_twice(&machine);
    in_force(&machine, key);

    let standing = machine.snapshot();
    let more = "--set modules.system.hostname=workshop --set modules.system.timezone=Europe/Berlin \
                --set 'modules.security.ufw.additional_ports=[80/tcp, 60000:61000/udp]' \
                --set modules.docker.log_max_files=5 --set modules.git.default_branch=trunk";
    json(&machine, 0, &format!("install --profile beginner {more} --yes"));
    assert_eq!(machine.ok("uname -n; git config --system init.defaultBranch"), "workshop\ntrunk\n");
    assert!(machine.ok("ufw status").contains("60000:61000/udp"));
    assert_eq!(program(&machine, &format!("verify --profile beginner {more}")).code, 0);
    json(&machine, 0, "rollback --yes");
    machine.must_be_as_before(&standing);
    must_be_settled(&machine, "beginner");

    let ((), back) = timed(|| {
        for module in ["git", "docker", "python", "security", "system"] {
            let output = program(&machine, &format!("rollback --module {module} --yes"));
            assert_eq!(output.code, 0, "{module}: {}\n{}", output.stderr, story(&machine));
            let modules = json(&machine, 0, "status")["modules"].to_string();
            assert!(!modules.contains(module), "{module} still stands: {modules}");
        }
    });
    println!("beginner: module by module back in {back:.1?}");
    machine.must_be_as_before(&before);
    assert!(login(&machine, key), "ssh works afterwards");
}

/// What programs answered is remembered, and a look a moment later asks none of them again.
fn must_ask_no_program_twice(machine: &Machine) {
    let kept = "/var/cache/vps-configurator/answered.json";
    // What changed in the last tenth of a second may change again unseen.
    machine.ok("vps-configurator verify && sleep 1 && vps-configurator verify");
    let answers = machine.read(kept);
    let count = serde_json::from_str::<serde_json::Value>(&answers).unwrap().as_object().unwrap().len();
    assert!(count > 25, "{count} answers are remembered");
    assert_eq!(program(machine, "verify").code, 0);
    assert_eq!(machine.read(kept), answers);
}

/// Every promise of the profile, asked of the host itself.
fn in_force(machine: &Machine, key: &str) {
    assert!(login(machine, key), "ssh from outside still works");
    let wall = machine.ok("ufw status verbose");
    assert!(wall.contains("Status: active") && wall.contains("deny (incoming)") && wall.contains("22/tcp"), "{wall}");
    // From outside: a port that something listens on, and that nothing opened.
    machine.ok("systemd-run --quiet --unit listener python3 -m http.server 8000 && sleep 1 && curl -sf localhost:8000 >/dev/null");
    let reach = |port: u16| {
        let address = (machine.address(), port).into();
        std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_secs(2)).is_ok()
    };
    assert!(reach(22) && !reach(8000), "the firewall lets in what it shall");
    machine.ok("systemctl stop listener");
    let jail = machine.ok("fail2ban-client status sshd");
    assert!(jail.contains("Journal matches"), "{jail}");
    let sshd = machine.ok("sshd -T");
    for value in [
        "permitemptypasswords no",
        "x11forwarding no",
        "maxauthtries 4",
        "logingracetime 60",
        "allowtcpforwarding local",
        "loglevel VERBOSE",
    ] {
        assert!(sshd.lines().any(|line| line == value), "{value} in\n{sshd}");
    }
    // An image of nothing but dash: no network needed.
    machine.ok(
        "mkdir /run/image && cd /run/image && \
         cp --parents /usr/bin/dash $(ldd /usr/bin/dash | grep -o '/[^ ]*') . && tar c . | docker import - tiny && rm -r /run/image",
    );
    assert_eq!(machine.ok("docker run --rm tiny /usr/bin/dash -c 'echo $((6 * 7))'").trim(), "42");
    machine.ok("docker rmi tiny");
    assert_eq!(
        machine.ok("python3 -m venv /run/venv && /run/venv/bin/pip --version && rm -r /run/venv").split(' ').next(),
        Some("pip")
    );
    assert_eq!(
        machine
            .ok("git -C /run init -q probe && git -C /run/probe symbolic-ref --short HEAD && rm -r /run/probe")
            .trim(),
        "main"
    );
    assert_eq!(machine.ok("sysctl -n net.ipv4.tcp_fin_timeout").trim(), "30");
    assert!(machine.ok("apt-config dump APT::Periodic::Unattended-Upgrade").contains("\"1\""));
    let next = machine.ok("systemctl show -P NextElapseUSecRealtime apt-daily-upgrade.timer");
    assert!(!next.trim().is_empty(), "the daily update is scheduled");
    let told = machine.ok(&format!("journalctl -o json --no-pager TRANSACTION_ID={} | head -1", newest(machine)));
    assert!(told.contains("MESSAGE_ID") && told.contains("RESOURCE"), "{told}");
}

/// Where a reboot forgets it.
const KEY: &str = "/run/key";

/// Makes a key at this path of the box that root of the box accepts.
pub fn authorise(machine: &Machine, key: &str) {
    machine.ok(&format!(
        "mkdir -p -m 700 /root/.ssh && ssh-keygen -q -t ed25519 -N '' -f {key} && cat {key}.pub >> /root/.ssh/authorized_keys"
    ));
}

/// Logs in from this side of the veth pair: with the box's own ssh, in this machine's network.
pub fn login(machine: &Machine, key: &str) -> bool {
    let leader = exec::leader_of(machine.record()).expect("it is up").to_string();
    let output = Command::new("nsenter")
        .args(["--target", &leader, "--mount", "--", "ssh", "-i", key, "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"])
        .args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"])
        .args([&format!("root@{}", machine.address()), "hostname"])
        .output()
        .expect("nsenter runs");
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let expected = machine.ok("hostname").trim().to_owned();
    if said != expected {
        println!("ssh: {}", String::from_utf8_lossy(&output.stderr));
    }
    said == expected
}
