//! Every shipped profile: as a fresh server sees it before anything is done, and there and back.

use super::Scenario;
use super::beginner::{authorise, login};
use super::program::{installed, json, must_be_settled, start, take_all_back, timed};
use crate::harness::Machine;
use std::fs;
use std::path::Path;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "every shipped profile can be planned on a fresh server, and tells what it takes",
    run: planned,
}];

/// With `VPS_BOX_LONG=1`; `beginner` is in the default suite. Each prints its line of docs/reference/profiles.md.
pub const LONG: &[Scenario] = &[
    Scenario { name: "profile minimal comes, stays and goes", run: || there_and_back("minimal") },
    Scenario { name: "profile server comes, stays and goes", run: || there_and_back("server") },
    Scenario { name: "profile beginner comes, stays and goes", run: || there_and_back("beginner") },
    Scenario { name: "profile intermediate comes, stays and goes", run: || there_and_back("intermediate") },
    Scenario { name: "profile advanced comes, stays and goes", run: || there_and_back("advanced") },
    Scenario { name: "profile fullstack comes, stays and goes", run: || there_and_back("fullstack") },
    Scenario { name: "profile devops comes, stays and goes", run: || there_and_back("devops") },
];

/// Where a reboot keeps it.
const KEY: &str = "/root/.ssh/of-the-test";

fn there_and_back(profile: &str) {
    let mut machine = installed("profile");
    authorise(&machine, KEY);
    // Another boot comes later: what a boot makes is there before.
    machine.reboot();
    let before = machine.snapshot();
    let (plan, planning) = timed(|| json(&machine, 4, &format!("plan --profile {profile}")));
    let steps = plan["plan"]["steps"].as_array().expect("steps");
    let packages = steps.iter().find(|step| step["id"] == "package:all").expect("packages come with each");
    let solution = &packages["seen"]["solution"];
    let download = solution["download"].as_u64().expect("a size") / 1_000_000;
    let used = used(&machine);
    let ((), installing) = timed(|| start(&machine, profile));
    let taken = self::used(&machine) - used;
    must_be_settled(&machine, profile);
    let (again, checking) = timed(|| json(&machine, 0, &format!("install --profile {profile} --yes")));
    assert_eq!(again["changes"], 0);
    machine.reboot();
    assert_eq!(machine.failed_units, [""; 0], "after a reboot");
    assert!(login(&machine, KEY), "ssh works after a reboot");
    must_be_settled(&machine, profile);
    let ((), back) = timed(|| take_all_back(&machine, &before));
    assert!(login(&machine, KEY), "ssh works afterwards");
    let seconds = [planning, installing, checking, back].map(|time| format!("{:.1} s", time.as_secs_f64()));
    println!(
        "| {profile} | {} | {} | {download} MB | {taken} MB | {} |",
        steps.len(),
        solution["new"].as_array().map_or(0, Vec::len),
        seconds.join(" | ")
    );
}

/// MB of the disk that are taken; without what apt keeps to install it again.
fn used(machine: &Machine) -> i64 {
    let out = machine.ok("sync; du -xsm --exclude=/var/cache/apt/archives / 2>/dev/null | cut -f1");
    out.trim().parse().expect("a number")
}

fn planned() {
    let machine = installed("profiles");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/profiles");
    let mut seen = 0;
    for file in fs::read_dir(folder).expect("profiles are there") {
        let path = file.expect("readable").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let plan = json(&machine, 4, &format!("plan --profile {name}"));
        let steps = plan["plan"]["steps"].as_array().expect("steps");
        let packages = steps.iter().find(|step| step["id"] == "package:all").expect("packages come with each");
        let bytes = |key: &str| packages["seen"]["solution"][key].as_u64().expect("a size");
        let shown = json(&machine, 0, &format!("profile show {name}"));
        for (key, unit) in [("download", "download_mb"), ("installed", "disk_mb")] {
            let (real, told) = (bytes(key) / 1_000_000, shown["estimate"][unit].as_u64().expect("an estimate"));
            assert!(told >= real * 9 / 10 && told <= real * 5 / 4 + 50, "{name}: {unit} says {told}, it takes {real}");
        }
        seen += 1;
    }
    assert!(seen > 5, "{seen} profiles");
}
