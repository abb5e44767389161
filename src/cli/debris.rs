//! What a run that was killed left in the program's own directories: files under their temporary names, candidates that a
//! checker had looked at, half-fetched downloads. Beside the files of the host, the next write or the undo of the same
//! path takes it away.

use crate::base::paths;
use crate::host::{self, Host, is_temporary_name, remove_tree, temporary_name};
use std::path::{Path, PathBuf};

/// Our directories, with the beginning of the names in them that nobody needs once a run is over.
fn directories() -> [(PathBuf, Option<&'static str>); 7] {
    let cache = Path::new(paths::CACHE);
    [
        (paths::LOG.into(), None),
        (paths::RUN.into(), Some("candidate-")),
        (paths::KEPT.into(), None),
        (paths::MODULES_D.into(), None),
        (paths::CACHE.into(), None),
        (cache.join("debs"), None),
        (cache.join("downloads"), Some("")),
    ]
}

/// Removes it; for whoever holds the lock of changing runs. What can't be removed is in nobody's way.
pub fn sweep(host: &dyn Host) {
    for (dir, spent) in directories() {
        if let Err(error) = sweep_one(host, &dir, spent) {
            tracing::warn!("what an earlier run left in {} stays: {error}", dir.display());
        }
    }
}

fn sweep_one(host: &dyn Host, dir: &Path, spent: Option<&str>) -> host::Result<()> {
    if let Some(name) = dir.file_name() {
        remove_tree(host, &dir.with_file_name(temporary_name(name)))?;
    }
    for name in host.list(dir)? {
        let is_spent = spent.is_some_and(|start| name.to_string_lossy().starts_with(start));
        if is_spent || is_temporary_name(&name) {
            remove_tree(host, &dir.join(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;

    #[test]
    fn only_what_a_killed_run_left_goes() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        };
        let goes = [
            "run/vps-configurator/candidate-1234/sudoers",
            "run/vps-configurator/candidate-1234/.sudoers.vps-configurator",
            "var/log/vps-configurator/.install-1.json.vps-configurator",
            "var/cache/vps-configurator/downloads/abcd",
            "var/cache/vps-configurator/downloads/plugin/tree/templates/a",
            "etc/vps-configurator/modules.d/.tree.vps-configurator/templates/a",
            "var/cache/vps-configurator/.debs.vps-configurator",
        ];
        let stays = [
            "run/vps-configurator/lock",
            "etc/vps-configurator/modules.d/tree/templates/a",
            "run/vps-configurator/held-units",
            "var/log/vps-configurator/install-1.json",
            "var/cache/vps-configurator/debs/a_1_all.deb",
            "var/cache/vps-configurator/lists/InRelease",
            "var/lib/vps-configurator/kept/1234-hosts",
        ];
        goes.iter().chain(&stays).for_each(|path| put(path));
        std::fs::create_dir(dir.path().join("var/log/.vps-configurator.vps-configurator")).unwrap();
        sweep(&RealHost::new(dir.path().into()));
        let is_there = |path: &&&str| dir.path().join(path).exists();
        assert_eq!(goes.iter().filter(is_there).count(), 0);
        assert_eq!(stays.iter().filter(is_there).count(), stays.len());
        assert!(!dir.path().join("run/vps-configurator/candidate-1234").exists());
        assert!(!dir.path().join("var/log/.vps-configurator.vps-configurator").exists());
    }
}
