//! Holding services back while their packages are configured: Debian's `policy-rc.d`
//! (/usr/share/doc/init-system-helpers/README.policy-rc.d.gz).
//!
//! A service that starts with its distribution's defaults, before its hardened configuration is in place, is open for
//! a while. So while packages are installed, starts are refused (101) and written down; the engine owes them a start.
//! A service that runs already may be restarted: it has its configuration.

use super::apt::UNIT;
use crate::base::paths;
use crate::engine::{Event, Progress, Result};
use crate::host::{Attributes, Command, Host, read_if_there, read_text};
use crate::resources::preimage::clear_debris;
use std::collections::BTreeSet;
use std::path::Path;

/// The line that tells ours from the administrator's.
const MARK: &str = "# Written by vps-configurator: services wait until they are configured. Removed by itself.";

/// The guard of the process with this number and start (field 22 of proc_pid_stat(5)). Once neither that process nor
/// apt's unit is there any more, it holds nothing back: it may have been left by a crash.
fn script(owner: Option<(&str, &str)>) -> String {
    let liveness = owner.map(|(pid, start)| {
        format!(
            "if [ ! -d /sys/fs/cgroup/system.slice/{UNIT}.service ] &&\n  \
             [ \"$(cut -d' ' -f22 /proc/{pid}/stat 2>/dev/null)\" != {start} ]; then exit 0; fi\n"
        )
    });
    format!(
        "#!/bin/sh\n{MARK}\n{}while [ \"${{1#--}}\" != \"$1\" ]; do shift; done\n\
         case \"$2\" in\n  *start*) ;;\n  *) exit 0 ;;\nesac\n\
         if [ -d /run/systemd/system ] && systemctl --quiet is-active \"$1\"; then exit 0; fi\n\
         echo \"$1 $2\" >>{}\nexit 101\n",
        liveness.unwrap_or_default(),
        paths::HELD_UNITS
    )
}

/// Puts the guard in place. A `policy-rc.d` of the administrator's stays, and rules in our place. What a guard of ours
/// that is there had held back stays in the list.
pub fn take_guard(host: &dyn Host, progress: &dyn Progress) -> Result<()> {
    put_guard(host, progress, false)
}

/// The same for what goes on after a crash: what was held back before it stays in the list.
pub fn take_guard_again(host: &dyn Host, progress: &dyn Progress) -> Result<()> {
    put_guard(host, progress, true)
}

fn put_guard(host: &dyn Host, progress: &dyn Progress, goes_on: bool) -> Result<()> {
    let path = Path::new(paths::POLICY_RC_D);
    let there = read_if_there(host, path)?;
    let own = read_text(host, "/proc/self/stat")?;
    let owner = own.split(' ').next().filter(|pid| !pid.is_empty()).zip(own.split(' ').nth(21));
    let script = script(owner);
    if there.as_deref() == Some(script.as_bytes()) {
        return Ok(());
    }
    let is_ours = there.as_deref().map(|text| String::from_utf8_lossy(text).contains(MARK));
    if is_ours == Some(false) {
        let line = format!("{} is yours and stays: it decides whether new services start at once", paths::POLICY_RC_D);
        progress.tell(&Event::Note { line: &line });
        return Ok(());
    }
    if host.meta(Path::new(paths::RUN))?.is_none() {
        host.make_directory(Path::new(paths::RUN), &Attributes::root(0o755))?;
    }
    if is_ours.is_none() && !goes_on {
        host.remove(Path::new(paths::HELD_UNITS))?;
    }
    host.write(path, script.as_bytes(), &Attributes::root(0o755))?;
    Ok(())
}

/// Removes the guard, when it is ours. Recovery calls it too.
pub fn release_guard(host: &dyn Host) -> Result<()> {
    let path = Path::new(paths::POLICY_RC_D);
    clear_debris(host, path)?;
    if read_if_there(host, path)?.is_some_and(|t| String::from_utf8_lossy(&t).contains(MARK)) {
        host.remove(path)?;
    }
    Ok(())
}

/// The units that were held back and are enabled: the engine owes each a start.
pub fn held_units(host: &dyn Host) -> Result<Vec<String>> {
    let units = held(&read_text(host, paths::HELD_UNITS)?);
    if units.is_empty() {
        return Ok(Vec::new());
    }
    // One line for each, in this order.
    let command = Command::new("systemctl").arg("is-enabled").args(units.iter().cloned()).accept(&[0, 1, 3, 4]);
    let states = host.look(&command)?.text();
    let will_start = |state: &str| matches!(state.trim(), "enabled" | "enabled-runtime" | "alias" | "generated");
    Ok(units.into_iter().zip(states.lines()).filter(|(_, state)| will_start(state)).map(|(unit, _)| unit).collect())
}

/// Unit names from the guard's lines `name action`: an init script `ufw` is `ufw.service`.
fn held(text: &str) -> BTreeSet<String> {
    let suffixes = [".service", ".socket", ".timer", ".path", ".mount", ".target"];
    let names = text.lines().filter_map(|l| l.split(' ').next()).filter(|n| !n.is_empty());
    names
        .map(
            |name| {
                if suffixes.iter().any(|s| name.ends_with(s)) { name.to_owned() } else { format!("{name}.service") }
            },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_that_outlived_its_process_holds_nothing_back() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("held");
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let (pid, start) = (std::process::id().to_string(), stat.split(' ').nth(21).unwrap());
        for (owner, code, held) in [
            (None, 101, true),
            (Some((pid.as_str(), start)), 101, true),
            // Another process of the same number, and none at all.
            (Some((pid.as_str(), "1")), 0, false),
            (Some(("4194305", "7")), 0, false),
        ] {
            let path = dir.path().join("policy-rc.d");
            std::fs::write(&path, script(owner).replace(paths::HELD_UNITS, &list.to_string_lossy())).unwrap();
            let _ = std::fs::remove_file(&list);
            let ended = std::process::Command::new("sh").arg(&path).args(["no-such-unit", "start"]).status().unwrap();
            assert_eq!((ended.code(), list.exists()), (Some(code), held), "{owner:?}");
            let stopped = std::process::Command::new("sh").arg(&path).args(["no-such-unit", "stop"]).status().unwrap();
            assert_eq!(stopped.code(), Some(0));
        }
    }

    #[test]
    fn held_lines_become_unit_names_once_each() {
        let units: Vec<String> = held("ufw start\nufw.service start\ndocker.socket start\n\n").into_iter().collect();
        assert_eq!(units, ["docker.socket", "ufw.service"]);
    }
}
