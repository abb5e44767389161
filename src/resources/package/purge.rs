//! What must be done around a removal: units stopped, people's data spared.

use crate::engine::Result;
use crate::host::machine::is_booted;
use crate::host::{Command, Host, read_text};
use std::collections::BTreeSet;
use std::path::Path;

/// Data that purging a package would destroy although people made it.
struct Treasure {
    package: &'static str,
    /// What is told.
    what: &'static str,
    /// Where it lies.
    path: &'static str,
    /// Directories below it in which any entry is something that people made; with the names that don't count.
    signs: &'static [(&'static str, &'static [&'static str])],
    /// The program that the maintainer scripts destroy it with; without its executable bit they don't.
    destroyer: &'static str,
}

/// Debian's `docker.io` copies a script into `/var/lib/docker` when it is removed and runs it there when it is purged:
/// it deletes every volume, container and image.
const TREASURES: [Treasure; 1] = [Treasure {
    package: "docker.io",
    what: "volumes, containers or images",
    path: "/var/lib/docker",
    signs: &[
        ("volumes", &["metadata.db", "backingFsBlockDev"]),
        ("containers", &[]),
        ("image/overlay2/imagedb/content/sha256", &[]),
    ],
    destroyer: "/usr/share/docker.io/contrib/nuke-graph-directory.sh",
}];

/// What people made that purging `packages` would destroy: one line each, for the plan and the report.
pub fn treasures(host: &dyn Host, packages: &BTreeSet<String>) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for treasure in TREASURES.iter().filter(|t| packages.contains(t.package)) {
        if is_there(host, treasure)? {
            lines.push(format!(
                "{} stays: it holds {}; remove it yourself when nobody needs them",
                treasure.path, treasure.what
            ));
        }
    }
    Ok(lines)
}

fn is_there(host: &dyn Host, treasure: &Treasure) -> Result<bool> {
    for (sign, except) in treasure.signs {
        let names = host.list(&Path::new(treasure.path).join(sign))?;
        if names.iter().any(|n| !except.iter().any(|e| n == e)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes the maintainer scripts unable to destroy data, and says what stays. Disarmed in any case: Docker's script
/// deletes across mounts, and where it fails the purge does.
pub fn spare_treasures(host: &dyn Host, packages: &BTreeSet<String>) -> Result<Vec<String>> {
    for treasure in TREASURES.iter().filter(|t| packages.contains(t.package)) {
        let name = Path::new(treasure.destroyer).file_name().unwrap_or_default();
        host.remove(&Path::new(treasure.path).join(name))?;
        if let Some(meta) = host.meta(Path::new(treasure.destroyer))? {
            let mut attributes = meta.attributes;
            attributes.mode &= !0o111;
            host.set_attributes(Path::new(treasure.destroyer), &attributes)?;
        }
    }
    treasures(host, packages)
}

/// The data directories of packages that are gone in which nobody made anything.
pub fn disposable(host: &dyn Host, packages: &BTreeSet<String>) -> Result<Vec<&'static str>> {
    let mut directories = Vec::new();
    for treasure in TREASURES.iter().filter(|t| packages.contains(t.package)) {
        if host.meta(Path::new(treasure.path))?.is_some() && !is_there(host, treasure)? {
            directories.push(treasure.path);
        }
    }
    Ok(directories)
}

/// The systemd units that `packages` ship, templates as patterns of their instances.
pub fn units(host: &dyn Host, packages: &BTreeSet<String>, architecture: &str) -> Result<Vec<String>> {
    let mut units = BTreeSet::new();
    for package in packages {
        let mut list = read_text(host, format!("/var/lib/dpkg/info/{package}.list"))?;
        if list.is_empty() {
            list = read_text(host, format!("/var/lib/dpkg/info/{package}:{architecture}.list"))?;
        }
        units.extend(list.lines().filter_map(unit));
    }
    Ok(units.into_iter().collect())
}

fn unit(path: &str) -> Option<String> {
    let name = path.strip_prefix("/usr").unwrap_or(path).strip_prefix("/lib/systemd/system/")?;
    let (stem, suffix) = name.rsplit_once('.')?;
    let counts = !name.contains('/') && ["service", "socket", "timer", "path"].contains(&suffix);
    counts.then(|| if stem.ends_with('@') { format!("{stem}*.{suffix}") } else { name.to_owned() })
}

/// Whether systemd runs here.
pub fn has_systemd(host: &dyn Host) -> Result<bool> {
    Ok(is_booted(host)? && host.has_program("systemctl"))
}

/// Runs `systemctl act units`; what is not loaded is no failure.
pub fn systemctl(host: &dyn Host, act: &[&str], units: &[String]) -> Result<()> {
    let accept: Vec<i32> = (0..=5).collect();
    let command = Command::new("systemctl").args(act.iter().copied()).args(units.iter().cloned());
    host.run(&command.accept(&accept).timeout(std::time::Duration::from_secs(180)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_found_in_a_packages_list_of_files() {
        assert_eq!(unit("/usr/lib/systemd/system/docker.socket").as_deref(), Some("docker.socket"));
        assert_eq!(unit("/lib/systemd/system/getty@.service").as_deref(), Some("getty@*.service"));
        assert_eq!(unit("/usr/lib/systemd/system/a.service.d/x.conf"), None);
        assert_eq!(unit("/usr/lib/systemd/user/x.service"), None);
    }
}
