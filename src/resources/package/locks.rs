//! Courtesy towards others who work with packages: they are named, waited for, and never pushed aside.

use super::holder::Holder;
use crate::engine::{Error, Event, Patience, Progress, Result};
use crate::host::Host;
use std::time::Duration;

/// How long others are waited for where no configuration says otherwise. A first unattended upgrade takes minutes.
pub const LOCK_WAIT: Duration = Duration::from_secs(600);
/// How often it is looked whether they are done.
const LOOK: Duration = Duration::from_millis(500);
/// How often the waiting is told.
const TELL: Duration = Duration::from_secs(5);

/// Waits until nobody holds a lock of dpkg, apt or unattended-upgrades, for as long as `patience` says; then refuses with
/// `apt-lock-held`, or with `stopped`. Says whether it had to wait: what was seen before may be out of date then.
pub fn wait_for_locks(host: &dyn Host, progress: &dyn Progress, patience: Patience<'_>) -> Result<bool> {
    wait_for(host, progress, patience, &|| Holder::find(host))
}

/// The time is the machine's: at a first boot, when others work with packages, the clock of the wall is being set.
fn wait_for(
    host: &dyn Host,
    progress: &dyn Progress,
    patience: Patience<'_>,
    find: &dyn Fn() -> Result<Option<Holder>>,
) -> Result<bool> {
    let limit = patience.limit;
    let began = host.uptime();
    let mut told: Option<(i128, String)> = None;
    while let Some(holder) = find()? {
        let now = host.uptime();
        let waited = nanoseconds(now - began);
        let who = holder.describe(host);
        if waited >= limit {
            return Err(Error::refused(
                "apt-lock-held",
                "cannot install or remove packages",
                format!("{} is held by {who}; waited for {} s", holder.lock, waited.as_secs()),
            )
            .fix("let it end (systemctl status apt-daily-upgrade.service tells of Debian's own), then run this again")
            .fix(format!("if it hangs: see what it waits for with: ps -o pid,etime,args -p {}", holder.pid)));
        }
        if patience.is_over() {
            return Err(stopped(&format!("{} is held by {who}", holder.lock)));
        }
        if told.as_ref().is_none_or(|(at, _)| nanoseconds(now - at) >= TELL) {
            let line =
                format!("for {who}, who works with packages ({} s of at most {} s)", waited.as_secs(), limit.as_secs());
            progress.tell(&Event::Waiting { what: &line });
            told = Some((now, who));
        }
        host.pause(LOOK);
    }
    if let Some((_, who)) = &told {
        let line = format!("waited {} s for {who}", nanoseconds(host.uptime() - began).as_secs());
        progress.tell(&Event::Note { line: &line });
    }
    Ok(told.is_some())
}

/// Somebody asked to stop while others were waited for, because of `why`.
pub fn stopped(why: &str) -> Error {
    Error::refused("stopped", "cannot install or remove packages", format!("{why}, and a signal asked to stop waiting"))
        .fix("run the same command again")
}

fn nanoseconds(count: i128) -> Duration {
    Duration::from_nanos(u64::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Silent;
    use crate::host::FakeHost;
    use std::cell::Cell;

    /// Whether somebody who holds a lock for two looks is waited for, when the clock is set by so many seconds meanwhile.
    fn waits(seconds: i64) -> Result<bool> {
        let dir = tempfile::tempdir().unwrap();
        let host = FakeHost::new(dir.path().into());
        let looks = Cell::new(0);
        let find = || {
            looks.set(looks.get() + 1);
            host.set_clock(seconds * looks.get());
            Ok((looks.get() < 3).then_some(Holder { lock: "/var/lib/dpkg/lock", pid: 7 }))
        };
        wait_for(&host, &Silent, Patience::of(Duration::from_secs(60)), &find)
    }

    #[test]
    fn a_clock_that_is_set_ends_no_waiting() {
        for seconds in [0, 3600, -3600, 40 * 365 * 86400] {
            assert!(waits(seconds).unwrap(), "{seconds}");
        }
    }
}
