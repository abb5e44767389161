//! Which hooks there are: the programs in `hooks.d/<event>/` that may be run, and those that are passed over, with why.

use crate::base::paths;
use crate::host::{Host, Kind, Meta, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// An install is agreed to, and nothing is changed yet. One that fails stops it.
    PreInstall,
    /// An install is at its end, and changes of a module stand. For each such module.
    PostModule,
    /// An install is at its end, and what it made stands, or part of it.
    PostInstall,
    /// Something was taken back: asked for, not confirmed in time, or cut off by a crash.
    PostRollback,
    /// An install that had been agreed to, or a rollback, did not come to its end, or not with everything.
    OnError,
}

/// All of them, with their names.
pub const EVENTS: [(Event, &str); 5] = [
    (Event::PreInstall, "pre_install"),
    (Event::PostModule, "post_module"),
    (Event::PostInstall, "post_install"),
    (Event::PostRollback, "post_rollback"),
    (Event::OnError, "on_error"),
];

impl Event {
    /// Its name, that of its folder.
    pub fn name(self) -> &'static str {
        EVENTS.iter().find(|(event, _)| *event == self).map_or("", |(_, name)| name)
    }
}

/// The hooks there are.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The programs of each event, in the order in which they run.
    pub programs: BTreeMap<Event, Vec<PathBuf>>,
    /// What lies there and is not run, and why, a line each.
    pub skipped: Vec<String>,
}

impl Found {
    /// Looks through `hooks.d`; programs of anybody but `owner` (root) are passed over.
    ///
    /// # Errors
    /// When a folder can't be read.
    pub fn look(host: &dyn Host, owner: u32) -> Result<Found> {
        let mut found = Found::default();
        let top = Path::new(paths::HOOKS_D);
        let Some(meta) = host.meta(top)? else { return Ok(found) };
        if let Some(why) = distrust(&meta, owner, &Kind::Directory) {
            found.skip(top, why);
            return Ok(found);
        }
        for name in host.list(top)? {
            let (dir, name) = (top.join(&name), name.to_string_lossy());
            let Some(meta) = host.meta(&dir)?.filter(|_| !name.starts_with('.')) else { continue };
            let Some((event, _)) = EVENTS.iter().find(|(_, event)| *event == name) else {
                let names: Vec<&str> = EVENTS.iter().map(|(_, name)| *name).collect();
                found.skip(&dir, &format!("is no event; there are: {}", names.join(", ")));
                continue;
            };
            match distrust(&meta, owner, &Kind::Directory) {
                Some(why) => found.skip(&dir, why),
                None => found.look_into(host, &dir, *event, owner)?,
            }
        }
        Ok(found)
    }

    fn look_into(&mut self, host: &dyn Host, dir: &Path, event: Event, owner: u32) -> Result<()> {
        for name in host.list(dir)?.into_iter().filter(|name| is_name(&name.to_string_lossy())) {
            let path = dir.join(name);
            let Some(meta) = host.meta(&path)? else { continue };
            match distrust(&meta, owner, &Kind::File) {
                Some(why) => self.skip(&path, why),
                // Whoever takes the right to run it away has switched it off.
                None if meta.attributes.mode & 0o111 == 0 => {}
                None => self.programs.entry(event).or_default().push(path),
            }
        }
        Ok(())
    }

    fn skip(&mut self, path: &Path, why: &str) {
        self.skipped.push(format!("{} {why}: it is not run", path.display()));
    }

    /// What a plan says of them.
    pub fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.skipped.iter().map(|line| format!("hooks: {line}")).collect();
        let names: Vec<String> = self.programs.values().flatten().map(|path| short(path)).collect();
        if !names.is_empty() {
            notes.push(format!(
                "hooks run: {}; what they do is no part of this plan, and no rollback takes it back",
                names.join(", ")
            ));
        }
        notes
    }
}

/// A hook's name as it is told: `pre_install/10-backup`.
pub fn short(path: &Path) -> String {
    path.strip_prefix(paths::HOOKS_D).unwrap_or(path).display().to_string()
}

/// A name that run-parts(8) would take: no dot, no `~`, so neither `x.dpkg-old` nor `x~`.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// Why what is there is not run as root.
fn distrust(meta: &Meta, owner: u32, wanted: &Kind) -> Option<&'static str> {
    if meta.kind != *wanted {
        return Some(if *wanted == Kind::File { "is no plain file" } else { "is no folder" });
    }
    if meta.attributes.uid != owner {
        return Some("is not root's");
    }
    (meta.attributes.mode & 0o022 != 0).then_some("can be written by others than root")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn put(top: &Path, path: &str, mode: u32) {
        let path = top.join(paths::HOOKS_D.trim_start_matches('/')).join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn look(dir: &Path) -> Found {
        Found::look(&RealHost::new(dir.into()), nix::unistd::geteuid().as_raw()).unwrap()
    }

    #[test]
    fn hooks_are_what_run_parts_would_run_and_nobody_but_root_can_change() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path();
        assert_eq!(look(top), Found::default());
        for name in ["20-b", "10-a", "a.dpkg-old", "b~", ".hidden", "name.sh"] {
            put(top, &format!("pre_install/{name}"), 0o755);
        }
        put(top, "pre_install/off", 0o644);
        put(top, "pre_install/writable", 0o775);
        put(top, "on_error/mail", 0o700);
        put(top, "pre-install/x", 0o755);
        let hooks = top.join(paths::HOOKS_D.trim_start_matches('/'));
        symlink("/bin/true", hooks.join("on_error/link")).unwrap();
        fs::create_dir(hooks.join("post_install")).unwrap();
        fs::set_permissions(hooks.join("post_install"), fs::Permissions::from_mode(0o777)).unwrap();
        let found = look(top);
        let names: Vec<String> = found.programs.values().flatten().map(|path| short(path)).collect();
        assert_eq!(names, ["pre_install/10-a", "pre_install/20-b", "on_error/mail"]);
        let at = |name: &str, why: &str| format!("{}/{name} {why}: it is not run", paths::HOOKS_D);
        let writable = "can be written by others than root";
        let events = "is no event; there are: pre_install, post_module, post_install, post_rollback, on_error";
        assert_eq!(
            found.skipped,
            [
                at("on_error/link", "is no plain file"),
                at("post_install", writable),
                at("pre-install", events),
                at("pre_install/writable", writable)
            ]
        );
        assert_eq!(found.notes().len(), 5);
        fs::set_permissions(&hooks, fs::Permissions::from_mode(0o777)).unwrap();
        let found = look(top);
        assert!(found.programs.is_empty() && found.skipped.len() == 1, "{found:?}");
    }

    #[test]
    fn programs_of_another_owner_are_not_run() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "pre_install/a", 0o755);
        let found = Found::look(&RealHost::new(dir.path().into()), nix::unistd::geteuid().as_raw() + 1).unwrap();
        assert!(found.programs.is_empty() && found.skipped[0].ends_with("is not root's: it is not run"));
    }
}
