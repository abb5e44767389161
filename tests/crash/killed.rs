//! The built program, killed with SIGKILL at random moments.

use crate::support::program;
use crate::support::tree::Tree;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often it is killed.
const KILLS: u64 = 30;

/// A moment within `limit`, spread over it and moved by the clock's last digits.
fn moment(number: u64, limit: Duration) -> Duration {
    let noise = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos() % 1000;
    limit.mul_f64((number as f64 + f64::from(noise) / 1000.0) / KILLS as f64)
}

/// Starts a line, kills the program with what it started after `after`; whether it was killed in its work.
fn killed(tree: &Tree, line: &str, after: Duration) -> bool {
    let mut command = program(tree.root());
    command.args(line.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = command.spawn().unwrap();
    std::thread::sleep(after);
    let was_running = running.try_wait().unwrap().is_none();
    let _ = kill(Pid::from_raw(i32::try_from(running.id()).unwrap()), Signal::SIGKILL);
    running.wait().unwrap();
    // What it had started lives on, as after an OOM kill; the next run must bear with that. Give it time to end.
    std::thread::sleep(Duration::from_millis(150));
    was_running
}

#[test]
fn a_run_that_is_killed_is_recovered_and_taken_back() {
    let install = "install --profile full --yes";
    let one = |number: u64| {
        let tree = Tree::new();
        let before = tree.listing();
        let length = Duration::from_millis(1800);
        let mut cut = u64::from(killed(&tree, install, moment(number, length)));
        let direction = if number.is_multiple_of(2) { "finish" } else { "undo" };
        tree.run(["recover", "--direction", direction]).ends(0);
        if direction == "finish" {
            tree.call(install).ends(0);
            tree.call("verify --profile full").ends(0);
            cut += u64::from(killed(&tree, "rollback --to 0 --yes", moment(number, Duration::from_millis(1200))));
            tree.call("recover").ends(0);
        }
        tree.call("rollback --to 0 --yes").ends(0);
        tree.must_be(&before, &format!("kill {number}, {direction}"));
        tree.call("status").ends(0);
        cut
    };
    let cut: u64 = std::thread::scope(|scope| {
        let parts: Vec<_> =
            (0..3).map(|part| scope.spawn(move || (part..KILLS).step_by(3).map(one).sum::<u64>())).collect();
        parts.into_iter().map(|part| part.join().unwrap()).sum()
    });
    println!("{KILLS} installs and as many rollbacks as were finished: {cut} were killed in their work");
    assert!(cut > KILLS / 3, "only {cut} were killed in their work");
}
