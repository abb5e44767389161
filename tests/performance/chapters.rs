//! The chapters of the report.

use crate::contender::{Contender, contenders};
use crate::gauge::{Cost, tree, whole};
use crate::harness::Machine;
use crate::report::Report;
use crate::stage::Stage;

/// Executions that one sample of something that takes milliseconds is the mean of.
const MANY: u32 = 20;

/// `count` samples in turn of each of `commands`, so that what else goes on on this machine meets them alike.
fn in_turn<const N: usize>(count: usize, mut sample: impl FnMut(usize) -> Cost) -> [Vec<Cost>; N] {
    let mut all: [Vec<Cost>; N] = std::array::from_fn(|_| Vec::new());
    for _ in 0..count {
        for (which, costs) in all.iter_mut().enumerate() {
            costs.push(sample(which));
        }
    }
    all
}

/// `--version` and `--help`.
pub fn start(stage: &Stage, report: &mut Report) {
    let machine = stage.boot("start");
    let commands: [&[&str]; 3] = [&["vps-configurator", "--version"], &["vps-configurator", "--help"], &["/bin/true"]];
    let [version, help, nothing] = in_turn(stage.rounds, |which| tree(&machine, MANY, commands[which]));
    report.chapter("Start");
    let version = report.row("--version", &version);
    let help = report.row("--help", &help);
    report.row("/bin/true, the floor of this machine", &nothing);
    report.target("--version, CPU", version.cpu(), 5.0, "ms");
    report.target("--help, CPU", help.cpu(), 5.0, "ms");
    report.target("--version, wall", version.wall, 5.0, "ms");
    report.target("--help, wall", help.wall, 5.0, "ms");
}

/// What lies on the disk.
pub fn size(stage: &Stage, report: &mut Report) {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    report.chapter("Size");
    let program = std::fs::metadata(&stage.program).expect("it was built").len();
    report.target("the program, stripped", megabytes(program), 10.0, "MB");
    match stage.installed_size() {
        Some(kib) => report.target("the Debian package, installed", megabytes(kib * 1024), 10.0, "MB"),
        None => report.note("no Debian package in target/debian: `make debs` makes it"),
    }
}

/// `plan` where nothing is installed yet, beside what apt alone needs to say as much about packages.
pub fn plan(stage: &Stage, report: &mut Report) {
    let machine = stage.boot("plan");
    let apt = [&["apt-get", "-s", "--no-install-recommends", "install"], names(&stage.packages).as_slice()].concat();
    // It ends with 4, since there is something to do.
    let ours = format!("vps-configurator plan --profile {}; test $? = 4", stage.profile);
    let commands: [&[&str]; 2] = [&["sh", "-c", &ours], &apt];
    let [cold_ours, cold_apt] = in_turn(stage.rounds, |which| {
        machine.ok("rm -f /var/cache/apt/*.bin");
        tree(&machine, 1, commands[which])
    });
    let [warm_ours, warm_apt] = in_turn(stage.rounds, |which| tree(&machine, 1, commands[which]));
    report.chapter("`plan` on a fresh host");
    report.row("apt-get -s install, same set, no cache", &cold_apt);
    let cold = report.row("plan, apt has no cache", &cold_ours);
    report.row("apt-get -s install, same set, cache there", &warm_apt);
    let warm = report.row("plan, apt has its cache", &warm_ours);
    report.target("plan, CPU, no cache", cold.cpu() / 1e3, 2.0, "s");
    report.target("plan, CPU, cache there", warm.cpu() / 1e3, 2.0, "s");
}

/// The host's language, as all but bare apt-get make it.
const LOCALE: &str = "echo 'en_US.UTF-8 UTF-8' >> /etc/locale.gen && locale-gen > /dev/null";

/// The same packages, files, units, firewall, kernel values, language and time zone in a fresh box for each.
pub fn first_run(stage: &Stage, report: &mut Report) {
    let all = contenders(stage, report);
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); all.len()];
    let mut locale = Vec::new();
    for round in 0..stage.first_rounds {
        // Each is the first of a round in its turn: what the one before has left behind it meets all alike.
        for turn in 0..all.len() {
            let which = (round + turn) % all.len();
            let contender = &all[which];
            eprintln!("performance:   round {}: {}", round + 1, contender.name);
            let machine = stage.boot("first");
            contender.put(stage, &machine);
            costs[which].push(whole(&machine, &contender.script));
            if contender.is_bare {
                locale.push(whole(&machine, LOCALE));
            }
        }
    }
    report.chapter(&format!("First run of `{}`: what the whole box spends", stage.profile));
    let medians: Vec<Cost> = all.iter().zip(&costs).map(|(c, costs)| report.row(&c.name, costs)).collect();
    let locale = report.row("locale-gen alone, which no package does", &locale);
    if let [apt, ours, ..] = medians[..] {
        report.target("user CPU, ours over bare apt-get", ours.user / apt.user, 1.05, "x");
        let both = ours.user / (apt.user + locale.user);
        report.note(format!("user CPU, ours over bare apt-get and locale-gen after it: {both:.2} x"));
    }
    // Round by round: what else this machine did meanwhile met both.
    if let [apt, ours, ..] = &costs[..] {
        let mut ratios: Vec<f64> = ours.iter().zip(apt).map(|(ours, apt)| ours.wall / apt.wall).collect();
        ratios.sort_by(f64::total_cmp);
        report.target("wall time, ours over bare apt-get in the same round", ratios[ratios.len() / 2], 1.0, "x");
        report.note(format!("these ratios, round by round, from the least: {ratios:.2?}"));
    }
}

/// Nothing to do, on a box that has it all. One after another, each after a run of its own: what the peers would do
/// differently from one another would give them work.
pub fn noop(stage: &Stage, report: &mut Report) {
    let machine = stage.boot_on_drive("noop");
    // The stage stops it, and `verify` wants it.
    machine.ok("systemctl start apt-daily-upgrade.timer && vps-configurator install --profile beginner --yes");
    let sample = |argv: &[&str]| -> Vec<Cost> { (0..stage.rounds).map(|_| tree(&machine, 1, argv)).collect() };
    let all: Vec<Contender> = contenders(stage, report).into_iter().filter(|c| !c.is_bare).collect();
    report.chapter("Nothing to do");
    let ours = report
        .row("vps-configurator install", &sample(&["vps-configurator", "install", "--profile", "beginner", "-y"]));
    // As the timer runs it, every quarter of an hour; the first look finds nothing remembered of the programs' answers.
    machine.ok("vps-configurator verify && sleep 1 && vps-configurator verify");
    let verify = report.row("vps-configurator verify", &sample(&["vps-configurator", "verify"]));
    for contender in all.iter().skip(1) {
        contender.put(stage, &machine);
        machine.ok(&contender.script);
        report.row(&contender.name, &sample(&["sh", "-c", &contender.script]));
    }
    report.target("install with nothing to do, CPU", ours.cpu() / 1e3, 0.05, "s");
    report.target("install with nothing to do, peak RSS", ours.rss / 1024.0, 20.0, "MB");
    report.target("verify of what is as it should be, CPU", verify.cpu() / 1e3, 0.05, "s");
    report.target("verify of what is as it should be, peak RSS", verify.rss / 1024.0, 20.0, "MB");
}

/// What the engine itself takes: steps side by side, a plan of many resources, a cycle among modules.
pub fn engine(stage: &Stage, report: &mut Report) {
    let machine = stage.boot("engine");
    let all = |count: usize, resource: fn(usize) -> String| -> String { (0..count).map(resource).collect() };
    let slow = all(10, |n| format!("  - generated: /etc/ten-{n}\n    run: [sh, -c, \"sleep 1; echo {n}\"]\n"));
    let many = all(1000, |n| format!("  - file: /etc/many-{n}\n    content: \"{n}\"\n"));
    let one = all(1, |n| format!("  - file: /etc/one-{n}\n    content: \"{n}\"\n"));
    for (name, resources) in [("ten", slow), ("many", many), ("one", one)] {
        module(&machine, name, &format!("resources:\n{resources}"));
        let profile = format!("title: Own\nsummary: Of a measurement\nmodules: {{{name}: {{}}}}\n");
        machine.put_bytes(profile, &format!("/etc/vps-configurator/profiles.d/{name}.yaml"), 0o644);
    }
    let workers = [1, 4].map(|workers| format!("vps-configurator install --profile ten --workers {workers} --yes"));
    let [alone, together] = in_turn(stage.rounds, |which| {
        let cost = tree(&machine, 1, &["sh", "-c", &workers[which]]);
        machine.ok("vps-configurator rollback --to 0 --yes");
        cost
    });
    let plans = ["one", "many"].map(|name| format!("vps-configurator plan --profile {name}; test $? = 4"));
    let [small, large] = in_turn(stage.rounds, |which| tree(&machine, 1, &["sh", "-c", &plans[which]]));
    // Each needs the next; the last one nothing, then the first.
    let ring = |last: &str| {
        (0..50).for_each(|n| {
            let next = if n < 49 { format!("depends_on: [ring_{}]\n", n + 1) } else { last.to_owned() };
            module(&machine, &format!("ring_{n}"), &next);
        });
    };
    let rings = [("", 0), ("depends_on: [ring_0]\n", 2)].map(|(last, exit)| {
        ring(last);
        let line = format!("vps-configurator module graph > /dev/null 2>&1; test $? = {exit}");
        (0..stage.rounds).map(|_| tree(&machine, 1, &["sh", "-c", &line])).collect::<Vec<Cost>>()
    });
    report.chapter("The engine");
    let alone = report.row("10 steps of 1 s, 1 worker", &alone);
    let together = report.row("10 steps of 1 s, 4 workers", &together);
    let small = report.row("plan of 1 resource", &small);
    let large = report.row("plan of 1,000 resources", &large);
    let [open, closed] = [("50 modules in a row", 0), ("50 modules in a ring, refused", 1)]
        .map(|(who, which)| report.row(who, &rings[which]));
    report.target(
        "4 workers over 1, wall (10 steps in turns of 4: 3 of 10)",
        together.wall / alone.wall,
        1.0 / 3.0,
        "x",
    );
    report.target("1,000 resources planned, beyond 1", large.wall - small.wall, 50.0, "ms");
    report.target("a ring of 50 modules named, beyond a row of them", closed.wall - open.wall, 5.0, "ms");
}

/// A module of the host's own.
fn module(machine: &Machine, name: &str, rest: &str) {
    let text = format!("name: {name}\nsummary: Of a measurement\npriority: 50\n{rest}");
    machine.put_bytes(text, &format!("/etc/vps-configurator/modules.d/{name}/module.yaml"), 0o644);
}

fn names(packages: &[String]) -> Vec<&str> {
    packages.iter().map(String::as_str).collect()
}
