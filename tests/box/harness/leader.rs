//! Finds a running box: its process 1 as seen from here, and whether it is up.

use super::record::Record;
use super::{Trouble, drive, exec, host};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The box's own part of the cgroup tree, as this side sees it. None while it's not up.
pub fn cgroup(record: &Record) -> Option<PathBuf> {
    let own = fs::read_to_string(record.folder().join("cgroup")).ok()?;
    let path = cgroup_root()?.join(own.trim().trim_start_matches('/'));
    path.is_dir().then_some(path)
}

/// Where the unified tree is mounted: at the usual place, or beside the old ones. Its mount may show a part only.
fn cgroup_root() -> Option<PathBuf> {
    fs::read_to_string("/proc/self/mountinfo").ok()?.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        (kind.starts_with("cgroup2 ")).then(|| place.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// The box's process 1. Read it anew each time: it changes at every boot, and while nspawn sets up.
pub fn find(record: &Record) -> Option<i32> {
    let depth = own_depth();
    processes(&cgroup(record)?.join("box"))
        .into_iter()
        .find(|pid| namespace_ids(*pid).is_some_and(|ids| ids.len() == depth + 1 && ids.last() == Some(&1)))
}

/// Every process under a cgroup.
pub fn processes(cgroup: &Path) -> Vec<i32> {
    let mut found: Vec<i32> = fs::read_to_string(cgroup.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(processes(&entry.path()));
        }
    }
    found
}

/// A process's number in each pid namespace it is in, from ours inwards.
fn namespace_ids(pid: i32) -> Option<Vec<i32>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    Some(line.split_whitespace().filter_map(|id| id.parse().ok()).collect())
}

fn own_depth() -> usize {
    namespace_ids(nix::unistd::getpid().as_raw()).map_or(1, |ids| ids.len())
}

/// Waits for the end of the boot. Gives the names of failed units, if any: a box may well be useful with them.
pub fn wait_until_up(record: &Record) -> Result<Vec<String>, Trouble> {
    // A boot may have a cut-off install to settle.
    let end = Instant::now() + Duration::from_secs(900);
    let mut last = String::from("no process 1");
    while Instant::now() < end {
        if let Some(leader) = find(record) {
            let state = exec::quick(record, leader, &["systemctl", "is-system-running", "--wait"]);
            match state.as_deref().map(str::trim) {
                Some("running") => return Ok(Vec::new()),
                Some("degraded") => {
                    let list = ["systemctl", "list-units", "--failed", "--plain", "--no-legend"];
                    let failed = exec::quick(record, leader, &list).unwrap_or_default();
                    let names = failed.lines().filter_map(|line| line.split_whitespace().next());
                    return Ok(names.map(str::to_owned).collect());
                }
                Some(other) if !other.is_empty() => last = other.to_owned(),
                _ => {}
            }
        } else if launcher_ended(record) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let console = fs::read_to_string(record.folder().join("console.log")).unwrap_or_default();
    let tail: Vec<&str> = console.lines().rev().take(15).collect();
    Err(format!(
        "{} didn't come up ({last}); the end of its console:\n{}",
        record.id,
        tail.into_iter().rev().collect::<Vec<_>>().join("\n")
    ))
}

/// It wrote down its cgroup, but nothing runs there any more.
fn launcher_ended(record: &Record) -> bool {
    record.folder().join("cgroup").exists() && cgroup(record).is_none_or(|path| processes(&path).is_empty())
}

/// The plug: no process of the box gets to run another instruction. Its disk stays; a drive of its own loses what it
/// hadn't been sent.
pub fn cut_power(record: &Record) -> Result<(), Trouble> {
    let leader = find(record).ok_or_else(|| format!("{} is not running", record.id))?;
    if record.options.drive {
        drive::cut(record)?;
    }
    kill(Pid::from_raw(leader), Signal::SIGKILL).map_err(|error| format!("cannot kill process {leader}: {error}"))?;
    wait_until_down(record)?;
    if record.options.drive { drive::let_go(record) } else { Ok(()) }
}

/// Until the last process of box and launcher is gone.
pub fn wait_until_down(record: &Record) -> Result<(), Trouble> {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        if cgroup(record).is_none_or(|path| processes(&path).is_empty()) {
            settle_unit(record);
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!("processes of {} don't end", record.id))
}

/// On a machine with systemd the unit lingers a moment, and a new one of the same name would be refused.
fn settle_unit(record: &Record) {
    if !host::runs_systemd() {
        return;
    }
    let unit = format!("{}.service", record.tag());
    for _ in 0..100 {
        let state = host::run("systemctl", &["show", "--property=ActiveState", "--value", &unit]);
        match state.as_deref().map(str::trim) {
            Ok("inactive") => return,
            Ok("failed") => {
                let _ = host::run("systemctl", &["reset-failed", &unit]);
            }
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
