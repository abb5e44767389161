//! A real run that is watched: in a pipe, by systemd, by a program, on terminals of two widths.

use super::Scenario;
use super::program::{installed, must_be_settled, program, story, unit};
use crate::harness::Machine;
use serde_json::Value;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "a run tells how far it is in a pipe, to systemd, to a program and on a terminal",
    run: watched,
}];

/// Installs `small` as a shell would with `how` behind it, then takes it back; what it wrote.
fn told(machine: &Machine, how: &str) -> String {
    let output = machine.sh(&format!("vps-configurator install --profile small --yes {how}"));
    assert_eq!(output.code, 0, "{}\n{}\n{}", output.stdout, output.stderr, story(machine));
    assert_eq!(program(machine, "rollback --yes").code, 0);
    output.stderr
}

/// The page and the document that the first install left.
fn reported(machine: &Machine) {
    let page = machine.ok("cat /var/log/vps-configurator/install-1.html");
    assert!(
        page.starts_with("<!DOCTYPE html>") && page.contains("packages came") && !page.contains("<script"),
        "{page}"
    );
    let document: Value = serde_json::from_str(&machine.ok("cat /var/log/vps-configurator/install-1.json")).unwrap();
    assert!(document["packages"]["download_bytes"].as_u64() > Some(1_000_000), "{document:#}");
    let modes = machine.ok("stat -c '%a %U' /var/log/vps-configurator/install-1.*");
    assert_eq!(modes, "640 root\n640 root\n");
    assert!(machine.ok("vps-configurator transaction show 1").contains("install-1.html"));
}

/// Where the reports go has no room left.
fn no_room_for_a_report(machine: &Machine) {
    machine.ok("mount -t tmpfs -o size=4k tmpfs /var/log/vps-configurator");
    let output = program(machine, "install --profile small --yes");
    assert_eq!(output.code, 0, "{}\n{}", output.stdout, output.stderr);
    assert!(output.stderr.contains("warning: the report was not kept: "), "{}", output.stderr);
    machine.ok("umount /var/log/vps-configurator");
    must_be_settled(machine, "small");
}

fn watched() {
    let machine = installed("watched");
    // The lists are old: what is fetched for the plan is not what is looked at here.
    machine.ok("apt-get update -qq");
    // From a mirror as far away as most: from this one all would have come between two lines.
    machine.put_bytes("Acquire::http::Dl-Limit \"15000\";\n", "/etc/apt/apt.conf.d/90slow", 0o644);
    machine.ok(&format!(
        "(systemctl start {0}; echo $? >/root/done) & until [ -e /root/done ]; do systemctl show -P StatusText {0}; \
         sleep 0.05; done | uniq >/root/status; [ $(cat /root/done) = 0 ]",
        unit("small")
    ));
    must_be_settled(&machine, "small");
    let status = machine.ok("cat /root/status");
    let is_told = |pattern: &str| machine.sh(&format!("grep -Eq '{pattern}' /root/status")).success();
    assert!(is_told("^Retrieving file [0-9]+ of [0-9]+, .* of .* MB"), "the download is told in bytes:\n{status}");
    assert!(is_told("^step [0-9]+/[0-9]+, [0-9]+ %, all: .*ing .* \\([0-9]+ %\\)"), "and the packages:\n{status}");
    reported(&machine);
    assert_eq!(program(&machine, "rollback --yes").code, 0);

    let lines = told(&machine, "");
    assert!(!lines.contains('\u{1b}') && !lines.contains('\r'), "{lines}");
    let tenths = lines.lines().filter(|line| line.starts_with("    ")).count();
    assert!((5..=40).contains(&tenths), "packages have a line for each tenth, no more:\n{lines}");

    told(&machine, "--quiet --events /root/events");
    let events = machine.ok("cat /root/events");
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let left = |event: &Value| event["seconds_left"].as_f64();
    let first = events.iter().find(|event| event["event"] == "begin").and_then(left).expect("it was installed before");
    let took = events.last().unwrap()["at"].as_f64().unwrap();
    println!("expected at the beginning {first:.0} s; it took {took:.0} s");
    assert!(first > 0.0 && events.len() > 50, "{events:#?}");
    assert_eq!(events.last().unwrap()["event"], "end");

    for columns in [80, 40] {
        let line =
            format!("stty cols {columns} rows 24; TERM=xterm exec vps-configurator install --profile small --yes");
        machine.put_bytes(line, "/root/line", 0o755);
        machine.ok("script -qec 'sh /root/line' /root/screen >/dev/null </dev/null");
        let screen = machine.ok("cat /root/screen");
        assert!(screen.contains("\u{1b}[") && screen.contains("modules done; now"), "{screen}");
        assert!(screen.contains(" left") && screen.contains("Unpacking "), "{screen}");
        assert!(screen.contains("Installation completed successfully"), "{screen}");
        assert_eq!(program(&machine, "rollback --yes").code, 0);
    }
    no_room_for_a_report(&machine);
}
