//! The kinds of resources, each there and back on a booted machine: units, people, the firewall.
//!
//! The test binary itself is carried into the box and called there with the verb `inside` (see [`inside`]): what is
//! proved is the library's code on a real systemd, shadow and ufw.

use super::Scenario;
use crate::harness::Machine;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use vps_configurator::engine::{Context, Outcome, Patience, Resource, Scope, Silent, UndoRecord, Undoers};
use vps_configurator::host::{Host, real::RealHost};
use vps_configurator::journal::Objects;
use vps_configurator::resources::unit::survey::{self, UnitSurvey};
use vps_configurator::resources::{firewall, group, member, unit, user};

pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "a firewall goes up and comes down, and the machine is as before", run: firewall_round_trip },
    Scenario {
        name: "a unit is enabled and started and taken back, and the machine is as before",
        run: unit_round_trip,
    },
    Scenario { name: "systemd says of units at its socket what systemctl says", run: both_ways },
    Scenario {
        name: "a user, a group and a membership come and go, and the machine is as before",
        run: people_round_trip,
    },
];

/// Where the box keeps the records between the two calls: forgotten by a reboot, and in no snapshot.
const RECORDS: &str = "/run/kinds.json";
const OBJECTS: &str = "/run/kinds-objects";
/// Where this binary lies in the box.
const CARRIED: &str = "/run/kinds";

fn firewall_round_trip() {
    let machine = prepared("wall", "ufw nftables");
    let before = machine.snapshot();
    let wall = json!([["firewall", "ufw", {"rules": ["allow 80,443/tcp # web", "allow from 10.1.2.3/8 to any port 5432 proto tcp"]}]]);
    apply(&machine, &wall);
    assert!(machine.ok("ufw status verbose").contains("22/tcp"), "the port of sshd must be open");
    // Drift of the kernel alone is seen, and mended without a moment that shuts everybody out.
    machine.ok("iptables -F INPUT");
    apply_more(&machine, &wall);
    assert!(machine.ok("iptables -S INPUT").contains("-A INPUT -j ufw-before-input"));
    take_back(&machine);
    machine.must_be_as_before(&before);
}

fn unit_round_trip() {
    let machine = prepared("unit", "");
    machine.ok("printf '[Unit]\\n[Service]\\nType=notify\\nExecStart=/bin/sh -c \"systemd-notify --ready; exec sleep infinity\"\\nNotifyAccess=all\\n[Install]\\nWantedBy=multi-user.target\\n' > /etc/systemd/system/kept.service");
    machine.ok("printf '[Service]\\nExecStart=/bin/sh -c \"echo the port is taken; exit 3\"\\n[Install]\\nWantedBy=multi-user.target\\n' > /etc/systemd/system/broken.service");
    machine.ok("systemctl daemon-reload");
    let before = machine.snapshot();
    apply(
        &machine,
        &json!([["unit", "kept.service", {"enabled": true, "active": true}], ["unit", "apt-daily.timer", {"masked": true, "active": false}]]),
    );
    assert_eq!(machine.ok("systemctl is-active kept.service").trim(), "active");
    let output = machine.run(&[
        "/run/kinds",
        "inside",
        "apply",
        r#"[["unit","broken.service",{"enabled":true,"active":true}]]"#,
    ]);
    assert_ne!(output.code, 0);
    let said = format!("{output:?}");
    assert!(said.contains("unit-unhealthy") && said.contains("the port is taken"), "{said}");
    take_back(&machine);
    machine.must_be_as_before(&before);
}

/// Units of every kind and in every state that there is.
const UNITS: &str = "ssh.service ssh.socket getty@tty1.service multi-user.target system.slice init.scope -.mount tmp.mount \
    apt-daily.timer systemd-tmpfiles-clean.timer systemd-ask-password-console.path proc-sys-fs-binfmt_misc.automount \
    nope.service nope.timer bad.service other-name.service failed.service done.service again.service masked.service stale.service";

fn both_ways() {
    let machine = prepared("both", "");
    let unit =
        |name: &str, text: &str| machine.put_bytes(format!("{text}\n"), &format!("/etc/systemd/system/{name}"), 0o644);
    unit("bad.service", "[Service]\nType=simple");
    unit("failed.service", "[Service]\nExecStart=/bin/false");
    unit(
        "done.service",
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n[Install]\nAlias=other-name.service",
    );
    unit("again.service", "[Service]\nExecStart=/bin/sleep 1\nRestart=always\nRestartSec=1h");
    unit("stale.service", "[Service]\nExecStart=/bin/sleep infinity");
    machine.ok(
        "systemctl daemon-reload && systemctl mask --quiet masked.service && systemctl enable --quiet done.service",
    );
    machine.ok("systemctl start done.service again.service stale.service; systemctl start failed.service; sleep 2");
    unit("stale.service", "[Service]\nExecStart=/bin/sleep 1000");
    let said = machine.ok(&format!("/run/kinds inside units '{UNITS}'"));
    for part in [
        "\"failed\"",
        "\"auto-restart\"",
        "\"masked\"",
        "\"bad-setting\"",
        "\"not-found\"",
        "\"exit-code\"",
        "stale: true",
    ] {
        assert!(said.contains(part), "no unit is {part}:\n{said}");
    }
    // Who may not use the socket asks systemctl.
    let plan = r#"[["unit","ssh.service",{"enabled":false}]]"#;
    let output = machine.run(&["setpriv", "--reuid=nobody", "--clear-groups", CARRIED, "inside", "plan", plan]);
    assert_eq!((output.code, output.stdout.trim()), (0, "unit:ssh.service: disable"), "{output:?}");
}

/// In the box: each unit both ways.
fn units(host: &dyn Host, names: &str) -> Result<(), String> {
    let names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    let told = survey::ask_systemd(host, &names);
    let shown = survey::ask_systemctl(host, &names).map_err(|e| e.to_string())?;
    println!("{told:#?}");
    for name in &names {
        let (told, shown) = (told.get(name), shown.get(name));
        if told.is_none() || told != shown {
            return Err(format!("of {name}, systemd says {told:#?}, systemctl {shown:#?}"));
        }
    }
    Ok(())
}

fn people_round_trip() {
    let machine = prepared("people", "");
    let before = machine.snapshot();
    let files = "cat /etc/passwd /etc/shadow /etc/group /etc/gshadow /etc/subuid /etc/subgid";
    let bytes = machine.ok(files);
    apply(
        &machine,
        &json!([
            ["group", "dev", {}],
            ["user", "anna", {"shell": "/bin/bash", "comment": "Anna"}],
            ["member", "anna/dev", {}],
            ["user", "robot", {"system": true, "home": "/nonexistent"}],
            ["user", "daemon", {"shell": "/bin/false", "locked": true, "system": true}]
        ]),
    );
    assert!(machine.ok("id anna").contains("dev"));
    assert_eq!(machine.ok("stat -c '%a %U' /home/anna").trim(), "700 anna");
    take_back(&machine);
    assert_eq!(machine.ok(files), bytes, "every byte, in the same order");
    machine.must_be_as_before(&before);
}

fn prepared(name: &str, packages: &str) -> Machine {
    let machine = Machine::boot(name);
    if !packages.is_empty() {
        machine.ok(&format!("DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends {packages}"));
    }
    machine.put(std::env::current_exe().expect("own path"), CARRIED);
    machine
}

fn apply(machine: &Machine, resources: &Value) {
    apply_more(machine, resources);
    let again = machine.ok(&format!("/run/kinds inside plan '{resources}'"));
    assert_eq!(again.trim(), "", "a second time there is nothing to do");
}

fn apply_more(machine: &Machine, resources: &Value) {
    print!("{}", machine.ok(&format!("/run/kinds inside apply '{resources}'")));
}

fn take_back(machine: &Machine) {
    print!("{}", machine.ok("/run/kinds inside undo"));
    let again = machine.ok("/run/kinds inside undo");
    assert!(!again.contains("Undone"), "the second undo found something: {again}");
}

/// The part that runs in the box: `inside plan|apply JSON`, `inside undo`, `inside units NAMES`. Refuses to run anywhere but in a container.
pub fn inside(words: &[String]) -> Option<Result<(), String>> {
    let [first, verb, rest @ ..] = words else {
        return None;
    };
    if first != "inside" {
        return None;
    }
    // Only boxes have this binary at this place.
    if std::env::current_exe().ok().as_deref() != Some(Path::new(CARRIED)) {
        return Some(Err("this is no box".to_owned()));
    }
    let host = RealHost::new("/".into());
    let objects = Objects::new(OBJECTS);
    let context =
        Context { host: &host, objects: &objects, progress: &Silent, patience: Patience::of(Duration::from_secs(600)) };
    Some(match (verb.as_str(), rest) {
        ("undo", []) => undo(&context),
        ("units", [names]) => units(&host, names),
        (_, [text]) => {
            parse(text).and_then(|all| all.iter().try_for_each(|one| step(&context, &**one, verb == "apply")))
        }
        _ => Err("inside plan|apply JSON, inside undo, inside units NAMES".to_owned()),
    })
}

fn parse(text: &str) -> Result<Vec<Box<dyn Resource>>, String> {
    let all: Vec<(String, String, serde_json::Map<String, Value>)> =
        serde_json::from_str(text).map_err(|e| e.to_string())?;
    let survey = UnitSurvey::new();
    all.iter()
        .map(|(kind, name, fields)| {
            match kind.as_str() {
                "firewall" => firewall::Firewall::from_spec(name, fields, "box", &[22]),
                "group" => group::Group::from_spec(name, fields, "box"),
                "member" => member::Member::from_spec(name, fields, "box"),
                "user" => user::User::from_spec(name, fields, "box"),
                _ => unit::Unit::from_spec(name, fields, "box", &survey),
            }
            .map_err(|e| format!("{e:?}"))
        })
        .collect()
}

fn records(host: &dyn Host) -> Result<Vec<(UndoRecord, Option<Value>)>, String> {
    if host.meta(Path::new(RECORDS)).map_err(|e| e.to_string())?.is_none() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&host.read(Path::new(RECORDS)).map_err(|e| e.to_string())?).map_err(|e| e.to_string())
}

fn save(records: &[(UndoRecord, Option<Value>)]) -> Result<(), String> {
    std::fs::write(RECORDS, serde_json::to_vec(records).map_err(|e| e.to_string())?).map_err(|e| e.to_string())
}

fn step(context: &Context<'_>, resource: &dyn Resource, apply: bool) -> Result<(), String> {
    let text = |e: vps_configurator::engine::Error| format!("{e:?}");
    let seen = resource.observe(context.host).map_err(text)?;
    let change = resource.compare(&seen).map_err(text)?;
    if !change.is_needed() {
        return Ok(());
    }
    println!("{}: {}", resource.id(), change.summary);
    if !apply {
        return Ok(());
    }
    let record = resource.capture(context, &seen, &change).map_err(text)?;
    let mut all = records(context.host)?;
    all.push((record.clone(), None));
    save(&all)?;
    resource.apply(context, &seen, &change).map_err(text)?;
    if let Some(last) = all.last_mut() {
        last.1 = undoers().decode(&record).and_then(|undo| undo.settle(context)).map_err(text)?;
    }
    save(&all)?;
    let now = resource.observe(context.host).map_err(text)?;
    if now != change.after {
        return Err(format!("{} promised {:?}, and is {now:?}", resource.id(), change.after));
    }
    Ok(())
}

fn undo(context: &Context<'_>) -> Result<(), String> {
    let mut failed = Vec::new();
    for (record, after) in records(context.host)?.iter().rev() {
        let undo = undoers().decode(record).map_err(|e| e.to_string())?;
        match undo.undo(context, &Scope::Whole, after.as_ref()) {
            Ok(Outcome::Kept(lines)) => failed.push(lines.join("; ")),
            Ok(outcome) => println!("{}: {outcome:?}", record.kind),
            Err(e) => failed.push(format!("{e:?}")),
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

fn undoers() -> Undoers {
    Undoers::new(&[
        (firewall::UNDO, firewall::decode),
        (group::UNDO, group::decode),
        (member::UNDO, member::decode),
        (unit::UNDO, unit::decode),
        (user::UNDO, user::decode),
    ])
}
