//! A round, played on a box with a drive of its own.

use super::reference::Reference;
use super::round::{Moment, Round};
use crate::harness::{Machine, Snapshot, leader};
use crate::scenarios::beginner::{authorise, login};
use crate::scenarios::program::{installed_on, json, program, story, unit};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// A rollback as a unit, so that nobody waits for it.
const ROLLBACK: &str = "vps-rollback.service";

const RECOVERY: &str = "vps-configurator-recover.service";

/// Modules and profiles of the test's own.
const SHARE: &str = "tests/box/share";

/// Says which way recovery goes. Not there when the box is looked at.
pub const SETTINGS: &str = "/etc/vps-configurator/conf.d/50-test.yaml";

/// Made by a package's script and never twice the same: of random numbers, or (git-lfs) in random order. That they are
/// empty is all that can be wrong with them.
const RANDOM: &[&str] =
    &["/etc/gitconfig", "/etc/ssl/certs/ssl-cert-snakeoil.pem", "/etc/ssl/private/ssl-cert-snakeoil.key"];

/// Where the key of the test's logins lies in the box.
const KEY: &str = "/root/.ssh/of-the-test";

/// The box of all rounds that lose nothing: each leaves it as it was before.
pub struct Bench {
    pub machine: Machine,
}

impl Bench {
    pub fn new() -> Self {
        let machine = installed_on(Machine::plan("power").drive());
        machine.put(Path::new(env!("CARGO_MANIFEST_DIR")).join(SHARE), "/etc/vps-configurator");
        authorise(&machine, KEY);
        // Which of two packages gets which number depends on which is configured first.
        machine.ok("groupadd --system --gid 901 ssl-cert");
        machine.ok(&format!("systemctl enable -q {RECOVERY} && mkdir -p /etc/vps-configurator/conf.d && sync"));
        Bench { machine }
    }

    /// What is wrong afterwards. Trouble of the harness is a panic, and ends all rounds.
    pub fn play(&mut self, round: &Round, reference: &Reference) -> Result<(), String> {
        let machine = &mut self.machine;
        let direction = if round.undoes { "undo" } else { "finish" };
        set(machine, direction, round.fast);
        let last = newest(machine, "").map_or(0, |(id, ..)| id);
        let install = unit(&round.profile);
        machine.ok(&format!("systemctl start --no-block {install}"));
        cut_at(machine, "install", &install, round.install, reference.install);
        machine.power_on();
        if let Some(moment) = round.recovery {
            cut_at(machine, "recovery", RECOVERY, moment, reference.install);
            machine.power_on();
        }
        machine.wait_until_up();
        machine.ok(&format!("rm {SETTINGS}; sync"));
        let installed = match newest(machine, "install").filter(|(id, ..)| *id > last) {
            // The cut came before the transaction was written down: nothing to recover.
            None => false,
            Some((_, _, state)) if state == "done" => true,
            Some((_, _, state)) if round.undoes && (state == "failed" || state == "undone") => false,
            other => return Err(told(machine, &format!("after recovery: {other:?}"))),
        };
        must_be(machine, round, reference, installed)?;
        if !installed {
            return Ok(());
        }
        let rollback = ["--quiet", "--collect", "--unit", ROLLBACK, "vps-configurator", "rollback", "--to", "0", "-y"];
        let Some(moment) = round.rollback else {
            let output = program(machine, "rollback --to 0 -y");
            if output.code != 0 {
                return Err(told(machine, &format!("no way back: {}\n{}", output.stdout, output.stderr)));
            }
            return must_be(machine, round, reference, false);
        };
        machine.ok(&format!("systemd-run {}", rollback.join(" ")));
        cut_at(machine, "rollback", ROLLBACK, moment, reference.rollback);
        machine.power_on();
        machine.wait_until_up();
        match newest(machine, "") {
            Some((_, kind, state)) if kind == "rollback" && state == "done" => {}
            // The cut came before the way back was written down.
            Some((_, kind, _)) if kind == "install" => {
                must_be(machine, round, reference, true)?;
                machine.ok("vps-configurator rollback --to 0 -y");
            }
            other => return Err(told(machine, &format!("after the recovery of a rollback: {other:?}"))),
        }
        must_be(machine, round, reference, false)
    }
}

/// Sets which way recovery goes, and how packages are unpacked.
pub fn set(machine: &Machine, direction: &str, fast: bool) {
    machine.ok(&format!("printf 'apply:\\n  recovery: {direction}\\n  fast_io: {fast}\\n' > {SETTINGS}; sync"));
}

/// Number, kind and state of the newest transaction whose kind begins so.
fn newest(machine: &Machine, kind: &str) -> Option<(i64, String, String)> {
    let list = json(machine, 0, "transaction list");
    let mut rows = list["transactions"].as_array()?.iter();
    let row = rows.find(|row| row["kind"].as_str().is_some_and(|found| found.starts_with(kind)))?;
    let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    Some((row["id"].as_i64()?, text("kind"), text("state")))
}

/// The box is what the undisturbed run made of it, or as it was before that; nothing is pending, damaged or owed.
fn must_be(machine: &mut Machine, round: &Round, reference: &Reference, installed: bool) -> Result<(), String> {
    if !machine.failed_units.is_empty() {
        return Err(told(machine, &format!("failed at boot: {}", machine.failed_units.join(", "))));
    }
    if !login(machine, KEY) {
        return Err(told(machine, "no login by SSH"));
    }
    let profile = &round.profile;
    let questions: &[(&str, i32)] =
        if installed { &[("status", 0), ("verify", 0), ("plan", 0)] } else { &[("status", 0), ("plan", 4)] };
    for (words, code) in questions {
        let words = if *words == "status" { (*words).to_owned() } else { format!("{words} --profile {profile}") };
        let output = program(machine, &words);
        if output.code != *code {
            let said = format!("`{words}` ends with {}\n{}{}", output.code, output.stdout, output.stderr);
            return Err(told(machine, &said));
        }
    }
    if installed {
        let changes = json(machine, 0, &format!("install --profile {profile} --yes"))["changes"].clone();
        if changes != 0 {
            return Err(told(machine, &format!("a further run makes {changes} changes")));
        }
    }
    // As the reference was: what a service shows at its first start, it may not at its second.
    if installed {
        machine.reboot();
    }
    let (wanted, name): (&Snapshot, _) = if installed {
        (&reference.after, "what an undisturbed run makes of it")
    } else {
        (&reference.before, "as it was before")
    };
    let mut lines = machine.differences_to(wanted, &machine.whole());
    let is_random = |line: &str| RANDOM.iter().any(|path| line.starts_with(&format!("changed file {path}: content")));
    lines.retain(|line| !is_random(line) || line.contains("-> 0 bytes"));
    // Of a conffile that a package only takes away (`remove-on-upgrade`), dpkg notes something else when the package is
    // installed once more. Which packages are there, and how, is compared by itself.
    lines.retain(|line| !line.starts_with("changed data /var/lib/dpkg/status: size"));
    // What deb-systemd-helper notes of a unit that its package doesn't enable, once the script ran twice. Which units are
    // enabled is compared by itself, and that the notes go with the package, once it is taken back.
    let is_note = |line: &str| line.starts_with("added data /var/lib/systemd/deb-systemd-helper-enabled/");
    lines.retain(|line| !(installed && is_note(line)));
    if lines.is_empty() {
        println!("  {name}");
        return Ok(());
    }
    Err(told(machine, &format!("not {name}:\n{}", lines.join("\n"))))
}

/// With what the program says of it.
fn told(machine: &Machine, what: &str) -> String {
    let list = program(machine, "transaction list");
    let audit = machine.sh("dpkg --audit; tail -n 3 /var/log/dpkg.log");
    format!("{what}\n{}{}\n{}", list.stdout, audit.stdout, story(machine))
}

/// Cuts the power at the moment, or when the unit has ended before that.
fn cut_at(machine: &mut Machine, what: &str, unit: &str, moment: Moment, whole: u64) {
    let begun = machine.writes();
    let target = (whole as f64 * moment.share) as u64;
    let since = Instant::now();
    let (mut seen, mut last) = (None, BTreeSet::new());
    let ended = loop {
        if machine.writes() - begun >= target {
            break false;
        }
        let now = at_work(machine, &[unit, "vps-configurator-apt.service"]);
        // A unit that has nothing to do may come and go between two looks, and each has moments without a process.
        let patience = Duration::from_secs(if seen.is_some() { 1 } else { 30 });
        if now.is_empty() && seen.unwrap_or(since).elapsed() > patience {
            break true;
        }
        if !now.is_empty() {
            (seen, last) = (Some(Instant::now()), now);
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    std::thread::sleep(moment.pause);
    let writes = machine.writes() - begun;
    let log = fs::read_to_string(machine.disk().join("var/log/dpkg.log")).unwrap_or_default();
    machine.power_cut();
    let names = last.into_iter().collect::<Vec<_>>().join(" ");
    let end = if ended { ", and had ended" } else { "" };
    println!(
        "  {what}: cut after {writes} writes of {whole}{end}; at work: {names}; {}",
        log.lines().last().unwrap_or("")
    );
}

/// The names of the processes of these units.
fn at_work(machine: &Machine, units: &[&str]) -> BTreeSet<String> {
    let of_units = |pid: &i32| {
        let group = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        units.iter().any(|unit| group.trim_end().ends_with(&format!("/{unit}")))
    };
    let processes = leader::cgroup(machine.record()).map(|path| leader::processes(&path)).unwrap_or_default();
    let name = |pid: i32| fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|name| name.trim().to_owned());
    processes.into_iter().filter(of_units).filter_map(name).collect()
}
