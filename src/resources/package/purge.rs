//! What must be done around a removal: the units of what goes are stopped, and no longer remembered as failed.

use crate::engine::Result;
use crate::host::machine::is_booted;
use crate::host::{Command, Host, read_text};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The systemd units that `packages` ship, templates as patterns of their instances.
pub fn units(host: &dyn Host, packages: &BTreeSet<String>, architecture: &str) -> Result<Vec<String>> {
    let mut units = BTreeSet::new();
    for package in packages {
        units.extend(files(host, package, architecture)?.iter().filter_map(|path| unit(path.to_str()?)));
    }
    Ok(units.into_iter().collect())
}

/// The paths that a package brought, as dpkg has them.
pub fn files(host: &dyn Host, package: &str, architecture: &str) -> Result<Vec<PathBuf>> {
    let mut list = read_text(host, format!("/var/lib/dpkg/info/{package}.list"))?;
    if list.is_empty() {
        list = read_text(host, format!("/var/lib/dpkg/info/{package}:{architecture}.list"))?;
    }
    Ok(list.lines().map(PathBuf::from).collect())
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
