//! Holding services back while their packages are configured: Debian's `policy-rc.d`
//! (/usr/share/doc/init-system-helpers/README.policy-rc.d.gz).
//!
//! A service that starts with its distribution's defaults, before its hardened configuration is in place, is open for
//! a while. So while packages are installed, starts are refused (101) and written down; the engine owes them a start.
//! A service that runs already may be restarted: it has its configuration.

use crate::base::paths;
use crate::engine::{Event, Progress, Result};
use crate::host::{Attributes, Command, Host, read_if_there, read_text};
use crate::resources::preimage::clear_debris;
use std::collections::BTreeSet;
use std::path::Path;

/// The line that tells ours from the administrator's.
const MARK: &str = "# Written by vps-configurator: services wait until they are configured. Removed by itself.";

fn script() -> String {
    format!(
        "#!/bin/sh\n{MARK}\nwhile [ \"${{1#--}}\" != \"$1\" ]; do shift; done\n\
         case \"$2\" in\n  *start*) ;;\n  *) exit 0 ;;\nesac\n\
         if [ -d /run/systemd/system ] && systemctl --quiet is-active \"$1\"; then exit 0; fi\n\
         echo \"$1 $2\" >>{}\nexit 101\n",
        paths::HELD_UNITS
    )
}

/// Puts the guard in place. A `policy-rc.d` of the administrator's stays, and rules in our place.
pub fn take_guard(host: &dyn Host, progress: &dyn Progress) -> Result<()> {
    let path = Path::new(paths::POLICY_RC_D);
    let there = read_if_there(host, path)?;
    let script = script();
    if there.as_deref() == Some(script.as_bytes()) {
        return Ok(());
    }
    if there.is_some_and(|t| !String::from_utf8_lossy(&t).contains(MARK)) {
        let line = format!("{} is yours and stays: it decides whether new services start at once", paths::POLICY_RC_D);
        progress.tell(&Event::Note { line: &line });
        return Ok(());
    }
    if host.meta(Path::new(paths::RUN))?.is_none() {
        host.make_directory(Path::new(paths::RUN), &Attributes::root(0o755))?;
    }
    host.remove(Path::new(paths::HELD_UNITS))?;
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
    let mut units = Vec::new();
    for unit in held(&read_text(host, paths::HELD_UNITS)?) {
        let command = Command::new("systemctl").args(["is-enabled", &unit]).accept(&[0, 1, 3, 4]);
        let state = host.look(&command)?.text();
        if matches!(state.trim(), "enabled" | "enabled-runtime" | "alias" | "generated") {
            units.push(unit);
        }
    }
    Ok(units)
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
    fn held_lines_become_unit_names_once_each() {
        let units: Vec<String> = held("ufw start\nufw.service start\ndocker.socket start\n\n").into_iter().collect();
        assert_eq!(units, ["docker.socket", "ufw.service"]);
    }
}
