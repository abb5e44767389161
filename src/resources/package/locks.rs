//! Courtesy towards others who work with packages: they are named, waited for, and never pushed aside.

use crate::engine::{Error, Event, Progress, Result};
use crate::host::{Host, read_text};
use std::path::Path;
use std::time::Duration;

/// The locks of dpkg and apt, all of the fcntl kind.
const LOCKS: [&str; 4] =
    ["/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock"];
/// How often it is looked whether they are free.
const LOOK: Duration = Duration::from_millis(500);
/// How often the waiting is told.
const TELL: Duration = Duration::from_secs(5);

/// Waits until nobody holds one of the locks, for at most `limit`; then refuses with `apt-lock-held`. Says whether it
/// had to wait: what was seen before may be out of date then.
pub fn wait_for_locks(host: &dyn Host, progress: &dyn Progress, limit: Duration) -> Result<bool> {
    let began = host.now();
    let mut told: Option<i128> = None;
    while let Some((path, pid)) = holder(host)? {
        let now = host.now();
        let waited = nanoseconds(now - began);
        let who = describe(host, pid);
        if waited >= limit {
            return Err(Error::refused(
                "apt-lock-held",
                "cannot install or remove packages",
                format!("{path} is held by {who}; waited for {} s", waited.as_secs()),
            )
            .fix("let it end (systemctl status apt-daily-upgrade.service tells of Debian's own), then run this again")
            .fix(format!("if it hangs: see what it waits for with: ps -o pid,etime,args -p {pid}")));
        }
        if told.is_none_or(|t| nanoseconds(now - t) >= TELL) {
            let line =
                format!("for {who}, who works with packages ({} s of at most {} s)", waited.as_secs(), limit.as_secs());
            progress.tell(&Event::Waiting { what: &line });
            told = Some(now);
        }
        host.pause(LOOK);
    }
    Ok(told.is_some())
}

fn nanoseconds(count: i128) -> Duration {
    Duration::from_nanos(u64::try_from(count).unwrap_or(0))
}

/// The first lock that is held, and by whom.
fn holder(host: &dyn Host) -> Result<Option<(&'static str, u32)>> {
    for path in LOCKS {
        if let Some(pid) = host.lock_holder(Path::new(path))? {
            return Ok(Some((path, pid)));
        }
    }
    Ok(None)
}

/// A process for people: `unattended-upgr (pid 734, for 94 s)`.
fn describe(host: &dyn Host, pid: u32) -> String {
    let text = |name: &str| read_text(host, format!("/proc/{pid}/{name}")).unwrap_or_default();
    let command: String =
        text("cmdline").split(|c: char| c == '\0' || c.is_whitespace()).take(4).collect::<Vec<_>>().join(" ");
    let uptime = read_text(host, "/proc/uptime").unwrap_or_default();
    let age = age(&text("stat"), &uptime).map(|s| format!(", for {s} s")).unwrap_or_default();
    let command = command.trim();
    format!("{} (pid {pid}{age})", if command.is_empty() { "another process" } else { command })
}

/// Seconds since a process began, from the texts of /proc/PID/stat (field 22, in ticks of 1/100 s) and /proc/uptime
/// (proc_pid_stat(5), proc_uptime(5)).
fn age(stat: &str, uptime: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let began: u64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    let up: f64 = uptime.split(' ').next()?.parse().ok()?;
    Some((up as u64).saturating_sub(began / 100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_process_is_read_past_a_name_with_blanks_and_brackets() {
        let stat = "734 (unatt (x) y) S 1 734 734 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 90000 1 2";
        assert_eq!(age(stat, "994.55 1800.1\n"), Some(94));
        assert_eq!(age("", ""), None);
    }
}
