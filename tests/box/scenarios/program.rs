//! The program in a box, as an administrator has it, and what the scenarios of the main job do with it.

use crate::harness::machine::Plan;
use crate::harness::{Machine, Output, Shell, Snapshot};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A profile with a firewall, fail2ban and git: every kind of change there is, in a fifth of beginner's time.
const SMALL: &str = "\
title: Small
summary: A firewall, fail2ban and git
modules:
  system: {enabled: true, build_tools: false}
  security: {enabled: true}
  git: {enabled: true, lfs: false, github_cli: false}
";

/// Boots a box with the program in it and the profile `small` beside the shipped ones.
///
/// From the signed repository that `make repo` left in `target/repo`, by apt; with `VPS_BOX_PROGRAM=<path>` that binary
/// instead, with this tree's modules and units; without either, the binary that cargo built for this test.
pub fn installed(name: &str) -> Machine {
    // Docker's storage can't lie on an overlay.
    installed_on(Machine::plan(name).real("/var/lib/docker").real("/var/lib/containerd"))
}

/// The same on a machine of another kind.
pub fn installed_on(plan: Plan) -> Machine {
    let mut machine = plan.boot();
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let repository = project.join("target/repo");
    let given = std::env::var_os("VPS_BOX_PROGRAM").map(PathBuf::from);
    match given {
        None if repository.join("dists").is_dir() => from_repository(&mut machine, &repository),
        given => {
            let program = given.unwrap_or_else(|| env!("CARGO_BIN_EXE_vps-configurator").into());
            machine.put(program, "/usr/sbin/vps-configurator");
            machine.ok("mkdir -p /usr/share/vps-configurator");
            machine.put(project.join("config"), "/usr/share/vps-configurator");
            machine.put(project.join("systemd"), "/usr/lib/systemd/system");
            machine.ok(
                "systemctl daemon-reload && ldconfig -p | grep -q libsqlite3.so.0 || apt-get install -qq libsqlite3-0",
            );
        }
    }
    machine.ok("mkdir -p /etc/vps-configurator/profiles.d");
    machine.put_bytes(SMALL, "/etc/vps-configurator/profiles.d/small.yaml", 0o644);
    machine
}

fn from_repository(machine: &mut Machine, repository: &Path) {
    let url = machine.serve(repository);
    machine.put(repository.join("vps-configurator.pgp"), "/usr/share/keyrings/vps-configurator.pgp");
    let source = format!(
        "Types: deb\nURIs: {url}\nSuites: trixie\nComponents: main\n\
         Signed-By: /usr/share/keyrings/vps-configurator.pgp\n"
    );
    machine.put_bytes(source, "/etc/apt/sources.list.d/vps-configurator.sources", 0o644);
    machine.ok("apt-get update -qq -eany && DEBIAN_FRONTEND=noninteractive apt-get install -qqy vps-configurator");
}

/// Runs the program with words as typed in a shell.
pub fn program(machine: &impl Shell, words: &str) -> Output {
    machine.sh(&format!("vps-configurator {words}"))
}

/// The same, and its JSON; the exit code must be `code`.
#[track_caller]
pub fn json(machine: &impl Shell, code: i32, words: &str) -> Value {
    let output = program(machine, &format!("{words} --json"));
    assert_eq!(output.code, code, "{words}:\n{}\n{}", output.stdout, output.stderr);
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{words}: {error}\n{}", output.stdout))
}

/// The unit that applies a profile.
pub fn unit(profile: &str) -> String {
    format!("vps-configurator-install@{profile}.service")
}

/// `systemctl start` of that unit: returns when it is done, with its result.
#[track_caller]
pub fn start(machine: &impl Shell, profile: &str) {
    let output = machine.sh(&format!("systemctl start {}", unit(profile)));
    assert!(output.success(), "{}\n{}", output.stderr, story(machine));
}

/// What the program told the system's journal, for the words of a failed test.
pub fn story(machine: &impl Shell) -> String {
    machine.sh("journalctl --no-pager -o short-precise -n 120 -t vps-configurator").stdout
}

/// The host is as the profile says, nothing is pending, and nothing is owed or left over.
#[track_caller]
pub fn must_be_settled(machine: &impl Shell, profile: &str) {
    for words in [format!("verify --profile {profile}"), format!("plan --profile {profile}"), "status".to_owned()] {
        let output = program(machine, &words);
        assert_eq!(output.code, 0, "{words}:\n{}\n{}\n{}", output.stdout, output.stderr, story(machine));
    }
    assert_eq!(machine.sh("dpkg --audit").stdout, "");
}

/// Takes everything back; the box must be as before.
#[track_caller]
pub fn take_all_back(machine: &Machine, before: &Snapshot) {
    let output = program(machine, "rollback --to 0 --yes");
    assert_eq!(output.code, 0, "{}\n{}\n{}", output.stdout, output.stderr, story(machine));
    machine.must_be_as_before(before);
}

/// How long something takes.
pub fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    (act(), began.elapsed())
}

/// Numbers that the same seed gives again. The seed is printed; `VPS_BOX_SEED` sets it.
pub struct Dice(u64);

impl Dice {
    pub fn new(scenario: &str) -> Self {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64 % 1_000_000);
        let seed = std::env::var("VPS_BOX_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(clock);
        println!("{scenario}: VPS_BOX_SEED={seed}");
        Dice(seed)
    }

    /// A share of `whole`, between `from` and `to` (0.0 to 1.0). SplitMix64.
    pub fn share(&mut self, whole: Duration, from: f64, to: f64) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let unit = ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64;
        whole.mul_f64(from + (to - from) * unit)
    }
}
