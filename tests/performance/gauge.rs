//! Measuring: one process tree by what the kernel accounts to it, one box by its control group; medians.

use crate::harness::{Machine, leader};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// Where the measuring binary lies in a box.
pub const CARRIED: &str = "/run/performance";

/// What one execution cost. Times in milliseconds, `rss` in kB.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    pub wall: f64,
    pub user: f64,
    pub system: f64,
    /// The largest resident set of any process of the tree.
    pub rss: f64,
}

impl Cost {
    /// Processor time.
    pub fn cpu(&self) -> f64 {
        self.user + self.system
    }

    /// The median of each figure by itself.
    pub fn median(costs: &[Cost]) -> Cost {
        let of = |figure: fn(&Cost) -> f64| {
            let mut all: Vec<f64> = costs.iter().map(figure).collect();
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied().unwrap_or_default()
        };
        Cost { wall: of(|c| c.wall), user: of(|c| c.user), system: of(|c| c.system), rss: of(|c| c.rss) }
    }
}

/// Runs `argv` in the box `count` times, one after another, and gives what one cost on average: the tree of processes
/// that it starts and waits for, and nothing else of the box.
pub fn tree(machine: &Machine, count: u32, argv: &[&str]) -> Cost {
    let count = count.to_string();
    let words = [&[CARRIED, "inside", &count, "--"], argv].concat();
    let output = machine.run(&words);
    let figures: Vec<f64> = output.stdout.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match figures[..] {
        [wall, user, system, rss] if output.success() => Cost { wall, user, system, rss },
        _ => panic!("{argv:?} could not be measured: {} {}{}", output.code, output.stdout, output.stderr),
    }
}

/// The part that runs in the box: `inside COUNT -- ARGV`. Its own children are all that is measured.
pub fn inside(words: &[String]) -> Option<ExitCode> {
    let [first, count, dashes, program, arguments @ ..] = words else { return None };
    if first != "inside" || dashes != "--" {
        return None;
    }
    let count: u32 = count.parse().unwrap_or(1).max(1);
    let begun = Instant::now();
    for _ in 0..count {
        let status = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).status();
        match status {
            Ok(status) if status.success() => {}
            other => {
                eprintln!("{program} ended with {other:?}");
                return Some(ExitCode::FAILURE);
            }
        }
    }
    let wall = begun.elapsed().as_secs_f64() * 1e3;
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else { return Some(ExitCode::FAILURE) };
    let each = |milliseconds: f64| milliseconds / f64::from(count);
    let milliseconds = |time: nix::sys::time::TimeVal| time.num_microseconds() as f64 / 1e3;
    println!(
        "{} {} {} {}",
        each(wall),
        each(milliseconds(usage.user_time())),
        each(milliseconds(usage.system_time())),
        usage.max_rss()
    );
    Some(ExitCode::SUCCESS)
}

/// What the whole box spends while `script` runs: also what its systemd and the units that it starts do on its behalf.
pub fn whole(machine: &Machine, script: &str) -> Cost {
    let before = spent(machine);
    let begun = Instant::now();
    machine.ok(script);
    let wall = begun.elapsed().as_secs_f64() * 1e3;
    let after = spent(machine);
    Cost { wall, user: after.0 - before.0, system: after.1 - before.1, rss: 0.0 }
}

/// User and system time of a box since its boot, milliseconds.
fn spent(machine: &Machine) -> (f64, f64) {
    let group = leader::cgroup(machine.record()).expect("the box is up");
    let text = std::fs::read_to_string(group.join("cpu.stat")).expect("control groups of version 2 count time");
    let figure = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().parse::<f64>().unwrap_or_default() / 1e3
    };
    (figure("user_usec"), figure("system_usec"))
}
