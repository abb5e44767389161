//! Services and the files that they read: both come back together, and neither is left behind by a crash.

use super::Scenario;
use super::program::{installed, json, program, start};
use crate::harness::Machine;

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a file, its service and the answer of its port come back as one, also after a kill",
        run: as_one,
    },
    Scenario {
        name: "a restart that a kill lost is made by a later run, and a dead service is never green",
        run: debts,
    },
    Scenario {
        name: "a service of a package that comes starts once, and with its configuration already",
        run: already_configured,
    },
    Scenario { name: "status names what runs on with older programs or configuration", run: outdated },
];

fn already_configured() {
    let machine = installed("held");
    start(&machine, "small");
    must_have_started_once(&machine, "fail2ban.service", "/etc/fail2ban/jail.d/zz-vps-configurator.conf");
    assert_eq!(machine.sh("test -e /usr/sbin/policy-rc.d").code, 1, "the guard is gone");
}

/// In this boot, and after its file was there.
#[track_caller]
pub fn must_have_started_once(machine: &Machine, unit: &str, file: &str) {
    // systemd.journal-fields(7): "a unit has started".
    let starts = format!(
        "journalctl -b -q -o short-precise MESSAGE_ID=39f53479d3a045ac8e11786248231fbf UNIT={unit}; systemctl show -P NRestarts {unit}"
    );
    let told = machine.ok(&starts);
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines.len() == 2 && lines[1] == "0", "{unit} has started more than once, or never:\n{told}");
    let number = |script: &str| -> f64 {
        let text = machine.ok(script);
        text.trim().parse().unwrap_or_else(|error| panic!("{script}: {text}: {error}"))
    };
    let written = number(&format!("stat -c %.6Y {file}"));
    let began =
        number(&format!("date -d \"$(systemctl show --timestamp=us -P ExecMainStartTimestamp {unit})\" +%s.%6N"));
    assert!(written < began, "{unit} began at {began}, before {file} was written at {written}");
}

/// A server that listens where its file says, and what may be asked of its health.
const MANIFEST: &str = "\
name: echo
summary: A server of our own
priority: 80
mandatory: false
options:
  port: {type: integer, default: 8081, min: 1, max: 65535, help: Where it listens}
  answers: {type: integer, default: 8081, min: 1, max: 65535, help: Where it must answer}
  stable: {type: integer, default: 1, min: 1, max: 600, help: Seconds that it must run on}
  pause: {type: boolean, default: false, help: A long step after the file}
resources:
  - file: /etc/echo.env
    content: \"PORT={{ options.port }}\\n\"
    notify: [restart echo.service]
  - file: /etc/systemd/system/echo.service
    content: |
      [Unit]
      StartLimitIntervalSec=0
      [Service]
      Type=exec
      EnvironmentFile=/etc/echo.env
      ExecStart=/usr/bin/python3 -m http.server --bind 127.0.0.1 ${PORT}
      [Install]
      WantedBy=multi-user.target
    notify: [daemon-reload]
    needs: [\"file:/etc/echo.env\"]
  - unit: echo.service
    enabled: true
    active: true
    healthy: {port: \"{{ options.answers }}\", stable: \"{{ options.stable }}\", within: 4}
    needs: [\"file:/etc/systemd/system/echo.service\"]
  - command: pause
    when: options.pause
    run: [sleep, '300']
    unless: ['false']
    undo: ['true']
    timeout: 400
    needs: [\"unit:echo.service\"]
";
const PROFILE: &str = "title: Echo\nsummary: One server\nmodules:\n  echo: {enabled: true}\n";

fn with_server(name: &str) -> Machine {
    let machine = installed(name);
    machine.ok("mkdir -p /etc/vps-configurator/modules.d/echo");
    machine.put_bytes(MANIFEST, "/etc/vps-configurator/modules.d/echo/module.yaml", 0o644);
    machine.put_bytes(PROFILE, "/etc/vps-configurator/profiles.d/echo.yaml", 0o644);
    must(&machine, 0, "install --profile echo --yes");
    assert!(answers(&machine, 8081));
    machine
}

#[track_caller]
fn must(machine: &Machine, code: i32, words: &str) -> String {
    let output = program(machine, words);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, code, "{words}:\n{said}");
    said
}

fn answers(machine: &Machine, port: u16) -> bool {
    machine.sh(&format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}' 2>/dev/null")).success()
}

/// Begins an install beside, waits until `moment` (a command) succeeds, and kills the program.
fn killed_when(machine: &Machine, words: &str, moment: &str) {
    machine.ok(&format!("systemd-run --quiet --unit=cut vps-configurator {words}"));
    machine.ok(&format!("for i in $(seq 600); do {moment} && exit 0; sleep 0.05; done; exit 1"));
    machine.ok("systemctl kill --signal=KILL cut; systemctl reset-failed cut");
}

fn as_one() {
    let machine = with_server("asone");
    // The new file is right by itself, and what it leads to isn't.
    let said =
        must(&machine, 1, "install --profile echo --set modules.echo.port=8082 --set modules.echo.answers=9999 --yes");
    assert!(said.contains("unit-unhealthy") && said.contains("9999"), "{said}");
    assert!(answers(&machine, 8081) && !answers(&machine, 8082), "the old process is back with the old file");
    assert_eq!(machine.ok("cat /etc/echo.env"), "PORT=8081\n");
    must(&machine, 0, "verify --profile echo");
    // Killed after the switch and the restart, while it is watched.
    let change = "install --profile echo --set modules.echo.port=8082 --set modules.echo.answers=8082 \
                  --set modules.echo.stable=15 --yes";
    let restarted = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/8082' 2>/dev/null";
    for (direction, port) in [("undo", 8081), ("finish", 8082)] {
        killed_when(&machine, change, restarted);
        assert_eq!(json(&machine, 4, "status")["status"], "interrupted");
        machine.ok("sed -i /recovery/d /etc/vps-configurator/config.yaml 2>/dev/null; true");
        must(&machine, 0, &format!("config set apply.recovery {direction}"));
        must(&machine, 0, "recover");
        assert_eq!(machine.ok("cat /etc/echo.env"), format!("PORT={port}\n"), "{direction}");
        assert!(answers(&machine, port) && !answers(&machine, if port == 8081 { 8082 } else { 8081 }), "{direction}");
        assert_eq!(json(&machine, 0, "status")["owed"], serde_json::json!([]));
    }
}

fn debts() {
    let machine = with_server("debts");
    let to_8082 = "--profile echo --set modules.echo.port=8082 --set modules.echo.answers=8082";
    killed_when(
        &machine,
        &format!("install {to_8082} --set modules.echo.pause=true --yes"),
        "pgrep -x sleep -a | grep -q 'sleep 300'",
    );
    machine.sh("pkill -f 'sleep 300'");
    assert!(answers(&machine, 8081) && machine.ok("cat /etc/echo.env") == "PORT=8082\n", "the restart is lost");
    let status = json(&machine, 4, "status");
    assert_eq!(status["owed"][0]["debt"]["unit"], "echo.service", "{status:#}");
    must(&machine, 0, "config set apply.recovery finish");
    // Whatever is asked for next: what was owed is paid.
    must(&machine, 0, &format!("install {to_8082} --yes"));
    assert!(answers(&machine, 8082) && !answers(&machine, 8081));
    assert_eq!(json(&machine, 0, "status")["owed"], serde_json::json!([]));
    // Dead with all files right: each run says so, until it lives.
    machine.ok("systemctl stop echo && systemd-run --quiet --unit=thief python3 -m http.server --bind 127.0.0.1 8082");
    machine.ok("until bash -c 'exec 3<>/dev/tcp/127.0.0.1/8082' 2>/dev/null; do sleep 0.1; done");
    for round in 1..=2 {
        let said = must(&machine, 1, &format!("install {to_8082} --yes"));
        assert!(said.contains("echo.service"), "round {round}: {said}");
        must(&machine, 4, &format!("verify {to_8082}"));
    }
    machine.ok("systemctl stop thief");
    must(&machine, 0, &format!("install {to_8082} --yes"));
    must(&machine, 0, &format!("verify {to_8082}"));
}

fn outdated() {
    let machine = with_server("outdated");
    assert_eq!(json(&machine, 0, "status")["outdated"], serde_json::json!([]));
    machine.ok("echo '# mine' >> /etc/echo.env");
    let status = json(&machine, 0, "status");
    let found = &status["outdated"][0];
    assert_eq!((&found["unit"], &found["part"]), (&"echo.service".into(), &"configuration".into()), "{status:#}");
    assert_eq!(found["files"], serde_json::json!(["/etc/echo.env"]));
    let said = must(&machine, 0, "status");
    assert!(said.contains("systemctl restart echo.service"), "{said}");
    machine.ok("systemctl restart echo");
    assert_eq!(json(&machine, 0, "status")["outdated"], serde_json::json!([]));
    // What an upgrade does to a program that runs.
    machine.ok("apt-get install --reinstall -qqy $(dpkg -S $(readlink -f /usr/bin/python3) | cut -d: -f1) >/dev/null");
    let status = json(&machine, 0, "status");
    let all = status["outdated"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|one| one["unit"] == "echo.service").unwrap_or_else(|| panic!("{status:#}"));
    assert_eq!(found["part"], "programs");
    let pid = machine.ok("systemctl show --value -p MainPID echo").trim().parse::<u64>().ok();
    assert_eq!(found["pids"][0].as_u64(), pid, "{status:#}");
    machine.ok("systemctl restart echo");
    let status = json(&machine, 0, "status");
    assert!(!status["outdated"].to_string().contains("echo.service"), "{status:#}");
}
