//! The machine itself: its system, disks, memory and clock.

use super::{Looked, State};
use crate::base::size::bytes;
use crate::engine::Result;
use crate::host::machine::{Machine, OsRelease};
use crate::host::{Command, Host, Space, read_text};
use std::path::Path;
use std::time::Duration;

/// The architectures that the shipped modules know.
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];
/// What programs and logs fill.
const DISKS: [&str; 7] = ["/", "/boot", "/home", "/tmp", "/var", "/var/lib", "/var/log"];
/// A share of a small file system says something; of a large one, only with what is free.
const SMALL: u64 = 2_000_000_000;

/// Why profiles can't be applied to such a system; `None` when they can.
pub fn unsupported(os: &OsRelease) -> Option<String> {
    if os.id == "debian" && os.version_id == "13" {
        return None;
    }
    Some(format!("it is {}; profiles are made and tested for Debian 13 (trixie) only", name(os)))
}

fn name(os: &OsRelease) -> &str {
    if os.pretty.is_empty() { "an unknown system" } else { &os.pretty }
}

pub(super) fn system(machine: &Machine) -> Looked {
    let seen = format!("{}, {}", name(&machine.os), machine.architecture);
    let is_known = ARCHITECTURES.contains(&machine.architecture.as_str());
    match unsupported(&machine.os) {
        Some(why) => Looked::found("system", State::Unhealthy, seen, why, "use a server with Debian 13"),
        None if !is_known => {
            let why = format!("modules are made and tested for {}", ARCHITECTURES.join(" and "));
            Looked::found("system", State::Degraded, seen, why, "use a server of one of these architectures")
        }
        None => Looked::well("system", seen),
    }
}

pub(super) fn disks(host: &dyn Host) -> Result<Vec<Looked>> {
    let mut devices = Vec::new();
    let mut all = Vec::new();
    for path in DISKS {
        if path != "/" && host.meta(Path::new(path))?.is_none() {
            continue;
        }
        let space = host.space(Path::new(path))?;
        if space.total > 0 && !devices.contains(&space.device) {
            devices.push(space.device);
            all.push(disk(path, &space));
        }
    }
    Ok(all)
}

fn disk(path: &str, space: &Space) -> Looked {
    let used = 100 - (u128::from(space.available) * 100 / u128::from(space.total.max(1))).min(100);
    let seen = format!("{path} is {used} % full, {} of {} are free", bytes(space.available), bytes(space.total));
    if space.read_only {
        let fix = format!("mount -o remount,rw {path}, or look why it is not writable: dmesg");
        return Looked::found("disk", State::Unhealthy, format!("{path} is read-only"), "nothing can be changed", fix);
    }
    let state = match used {
        91.. if space.available < 1_000_000_000 => State::Unhealthy,
        76.. if space.available < 4_000_000_000 && space.total > SMALL => State::Degraded,
        _ => return Looked::well("disk", seen),
    };
    let why = "programs fail when it is full";
    let fix =
        format!("look what fills it: du -xh -d2 {path} | sort -h | tail; apt-get clean; journalctl --vacuum-size=100M");
    Looked::found("disk", state, seen, why, fix)
}

pub(super) fn memory(host: &dyn Host) -> Result<Looked> {
    Ok(memory_of(&read_text(host, Path::new("/proc/meminfo"))?))
}

/// From proc_meminfo(5).
fn memory_of(meminfo: &str) -> Looked {
    let field = |name: &str| -> Option<u64> {
        let value = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    let (Some(total), Some(free)) = (field("MemTotal"), field("MemAvailable")) else {
        return Looked::beside("memory", "the kernel does not say how much there is");
    };
    let swap = field("SwapFree").unwrap_or(0);
    let used = 100 - (free * 100 / total.max(1)).min(100);
    let seen = format!("{used} % in use, {} of {} are free", bytes(free), bytes(total));
    if used <= 90 {
        return Looked::well("memory", seen);
    }
    // What does not fit may go to swap: slow, and not yet wrong.
    let state = if swap > free { State::Degraded } else { State::Unhealthy };
    let fix = "see what takes it: systemd-cgtop -m; or add swap: modules.system.swap";
    Looked::found("memory", state, seen, "the kernel ends programs when there is none", fix)
}

/// A container has the clock of its host.
pub(super) fn time(host: &dyn Host, machine: &Machine) -> Looked {
    if let Some(container) = &machine.container {
        return Looked::beside("time", format!("a container ({container}) has its host's clock"));
    }
    let ask = Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]);
    match host.look(&ask.timeout(Duration::from_secs(5))) {
        Ok(output) if output.text().trim() == "yes" => Looked::well("time", "the clock is synchronised"),
        Ok(output) if output.text().trim() == "no" => Looked::found(
            "time",
            State::Degraded,
            "the clock is not synchronised",
            "certificates and one-time codes fail on a clock that is wrong",
            "timedatectl set-ntp true, or install systemd-timesyncd; right after a boot: wait a minute",
        ),
        _ => Looked::beside("time", "systemd-timedated does not answer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(total: u64, available: u64) -> Space {
        Space { total, available, device: 1, read_only: false }
    }

    #[test]
    fn a_disk_is_judged_by_its_share_and_by_what_is_free() {
        let of = |total: u64, available: u64| disk("/", &space(total, available)).state;
        let gb = 1_000_000_000;
        assert_eq!(of(20 * gb, 6 * gb), State::Healthy);
        assert_eq!(of(20 * gb, 3 * gb), State::Degraded);
        assert_eq!(of(20 * gb, gb / 2), State::Unhealthy);
        assert_eq!(of(1000 * gb, 60 * gb), State::Healthy, "94 % of a large disk leave enough");
        assert_eq!(of(gb / 2, gb / 10), State::Healthy, "/boot with a few kernels");
        assert_eq!(of(gb / 2, gb / 50), State::Unhealthy);
        let found = disk("/boot", &Space { read_only: true, ..space(gb, gb) });
        assert_eq!((found.state, found.seen.as_str()), (State::Unhealthy, "/boot is read-only"));
    }

    #[test]
    fn memory_that_is_gone_is_worse_without_swap() {
        let of = |free: u64, swap: u64| {
            memory_of(&format!("MemTotal: 1000000 kB\nMemFree: 1 kB\nMemAvailable: {free} kB\nSwapFree: {swap} kB\n"))
                .state
        };
        assert_eq!(
            [of(200_000, 0), of(50_000, 0), of(50_000, 900_000)],
            [State::Healthy, State::Unhealthy, State::Degraded]
        );
        assert_eq!(memory_of("").state, State::NotApplicable);
    }

    #[test]
    fn another_system_is_told_and_another_architecture_is_only_not_tested() {
        let mut machine = Machine { architecture: "amd64".into(), ..Machine::default() };
        assert!(system(&machine).why.contains("an unknown system"));
        machine.os = OsRelease { id: "debian".into(), version_id: "13".into(), ..OsRelease::default() };
        assert_eq!(system(&machine).state, State::Healthy);
        machine.architecture = "riscv64".into();
        assert_eq!(system(&machine).state, State::Degraded);
    }
}
