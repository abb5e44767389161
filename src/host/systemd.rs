//! What systemd says of its units, asked in one call for all of them: each fork costs more than all else of a look.

use super::{Command, Error, Host, Kind, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The properties asked for (org.freedesktop.systemd1(5)).
const PROPERTIES: &str = "Id,LoadState,ActiveState,SubState,UnitFileState,ActiveEnterTimestampMonotonic,\
                          NeedDaemonReload,FragmentPath,Type,MainPID,Result";

/// What systemd says of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitState {
    /// Its real name, when the one asked for is an alias.
    pub id: String,
    /// `loaded`, `not-found`, `masked`, `bad-setting`, `error`.
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating`, `deactivating`, `reloading`.
    pub active: String,
    /// The finer state of its kind: `running`, `dead`, `exited`, `listening`.
    pub sub: String,
    /// `enabled`, `disabled`, `static`, `masked`, `alias`, `generated`...; empty when it has no file.
    pub file: String,
    /// When it last became active, in microseconds since the machine started; 0 = never.
    pub active_since: u64,
    /// Its files changed since systemd read them.
    pub needs_reload: bool,
    /// Its unit file.
    pub fragment: Option<PathBuf>,
    /// `simple`, `notify`, `oneshot`...; empty for units that are no services.
    pub kind: String,
    /// Its main process.
    pub main_pid: Option<u32>,
    /// How it last ended: `success`, `exit-code`, `timeout`...
    pub result: String,
}

impl UnitState {
    /// Whether systemd found a unit of this name (a masked one is found).
    pub fn exists(&self) -> bool {
        self.load != "not-found"
    }

    /// Whether it works now.
    pub fn is_active(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "refreshing")
    }

    /// Whether it starts with the machine (until the next start only counts, too).
    pub fn is_enabled(&self) -> bool {
        matches!(self.file.as_str(), "enabled" | "enabled-runtime" | "alias")
    }

    /// Whether it can't be started at all.
    pub fn is_masked(&self) -> bool {
        self.load == "masked"
    }

    fn parse(block: &str) -> Self {
        let mut unit = UnitState::default();
        for (name, value) in block.lines().filter_map(|line| line.split_once('=')) {
            let text = || value.to_owned();
            match name {
                "Id" => unit.id = text(),
                "LoadState" => unit.load = text(),
                "ActiveState" => unit.active = text(),
                "SubState" => unit.sub = text(),
                "UnitFileState" => unit.file = text(),
                "ActiveEnterTimestampMonotonic" => unit.active_since = value.parse().unwrap_or(0),
                "NeedDaemonReload" => unit.needs_reload = value == "yes",
                "FragmentPath" if !value.is_empty() => unit.fragment = Some(value.into()),
                "Type" => unit.kind = text(),
                "MainPID" => unit.main_pid = value.parse().ok().filter(|pid| *pid != 0),
                "Result" => unit.result = text(),
                _ => {}
            }
        }
        unit
    }
}

/// The states of these units, by the names they were asked for.
///
/// # Errors
/// `Error::NoProgram` and `Error::Failed` where systemd is not there or does not run: see [`is_booted`].
pub fn units(host: &dyn Host, names: &[&str]) -> Result<BTreeMap<String, UnitState>> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let command = Command::new("systemctl").args(["show", "--no-pager", "-p", PROPERTIES, "--"]);
    let output = host.look(&command.args(names.iter().copied()))?;
    parse_units(&output.text(), names).ok_or_else(|| Error::Unexpected {
        path: "systemctl".into(),
        what: format!("was asked for {} units and told of another number", names.len()),
    })
}

/// The blocks of `systemctl show` come in the order of the names, with an empty line between.
fn parse_units(text: &str, names: &[&str]) -> Option<BTreeMap<String, UnitState>> {
    let blocks: Vec<&str> = text.split("\n\n").filter(|block| !block.trim().is_empty()).collect();
    let pairs = names.iter().zip(&blocks).map(|(name, block)| ((*name).to_owned(), UnitState::parse(block)));
    (blocks.len() == names.len()).then(|| pairs.collect())
}

/// The last 20 lines that a unit wrote to the journal.
pub fn journal_tail(host: &dyn Host, unit: &str) -> Result<Vec<String>> {
    let command = Command::new("journalctl").args(["-u", unit, "-n", "20", "--no-pager", "-o", "cat"]);
    Ok(host.look(&command)?.text().lines().map(str::to_owned).collect())
}

/// Whether systemd runs the machine (sd_booted(3)).
pub fn is_booted(host: &dyn Host) -> Result<bool> {
    Ok(host.meta(Path::new("/run/systemd/system"))?.is_some_and(|meta| meta.kind == Kind::Directory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;
    use std::os::unix::fs::PermissionsExt;

    const SHOWN: &str = "Type=notify\nMainPID=612\nResult=success\nId=ssh.service\nLoadState=loaded\n\
        ActiveState=active\nSubState=running\nFragmentPath=/usr/lib/systemd/system/ssh.service\nUnitFileState=enabled\n\
        NeedDaemonReload=yes\nActiveEnterTimestampMonotonic=4123456\n\nMainPID=0\nResult=success\n\
        Id=none.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nFragmentPath=\nUnitFileState=\n\
        NeedDaemonReload=no\nActiveEnterTimestampMonotonic=0\n\nId=x.mount\nLoadState=masked\nUnitFileState=masked\n";

    #[test]
    fn units_keep_the_names_they_were_asked_for() {
        let units = parse_units(SHOWN, &["sshd.service", "none.service", "x.mount"]).unwrap();
        let ssh = &units["sshd.service"];
        assert_eq!((ssh.id.as_str(), ssh.kind.as_str(), ssh.main_pid), ("ssh.service", "notify", Some(612)));
        assert!(ssh.exists() && ssh.is_active() && ssh.is_enabled() && ssh.needs_reload && !ssh.is_masked());
        assert_eq!((ssh.active_since, ssh.result.as_str(), ssh.sub.as_str()), (4_123_456, "success", "running"));
        assert!(ssh.fragment.as_ref().unwrap().ends_with("ssh.service"));
        let none = &units["none.service"];
        assert!(!none.exists() && !none.is_active() && !none.is_enabled());
        assert_eq!((none.main_pid, &none.fragment), (None, &None));
        assert!(units["x.mount"].is_masked() && units["x.mount"].exists());
        assert_eq!(parse_units(SHOWN, &["one"]), None);
    }

    #[test]
    fn all_units_are_asked_for_in_one_call() {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("usr/bin");
        std::fs::create_dir_all(&bin).unwrap();
        let script = "#!/bin/sh\necho call >> $VPS_ROOT/calls\nwhile [ \"$1\" != -- ]; do shift; done; shift\n\
                      for unit; do echo Id=$unit; echo LoadState=loaded; echo; done\n";
        std::fs::write(bin.join("systemctl"), script).unwrap();
        std::fs::set_permissions(bin.join("systemctl"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let host = RealHost::new(dir.path().into());
        let found = units(&host, &["a.service", "b.timer"]).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a.service", "b.timer"]);
        assert!(units(&host, &[]).unwrap().is_empty());
        assert_eq!(std::fs::read_to_string(dir.path().join("calls")).unwrap(), "call\n");
        assert!(!is_booted(&host).unwrap());
        std::fs::create_dir_all(dir.path().join("run/systemd/system")).unwrap();
        assert!(is_booted(&host).unwrap());
    }
}
