//! Whether a reboot is needed, and why: what packages asked for, and a kernel that is newer than the one that runs.

use super::{Looked, State};
use crate::base::version;
use crate::engine::Result;
use crate::host::machine::container;
use crate::host::{Host, read_text};
use std::path::Path;

/// What scripts of packages leave when they want a reboot, and their names beside it.
const REQUIRED: &str = "/run/reboot-required";

/// Why a reboot is needed; empty when none is.
///
/// # Errors
/// When a file can't be read.
pub fn reasons(host: &dyn Host) -> Result<Vec<String>> {
    let mut all = Vec::new();
    if host.meta(Path::new(REQUIRED))?.is_some() {
        all.push(asked(&read_text(host, Path::new(&format!("{REQUIRED}.pkgs")))?));
    }
    // A container runs the kernel of its host.
    if container(host)?.is_none() {
        let running = read_text(host, Path::new("/proc/sys/kernel/osrelease"))?;
        let names = host.list(Path::new("/boot"))?;
        let there = names.iter().filter_map(|name| name.to_str()?.strip_prefix("vmlinuz-"));
        all.extend(
            newer(running.trim(), there)
                .map(|newest| format!("the kernel {newest} is installed, and {} runs", running.trim())),
        );
    }
    Ok(all)
}

fn asked(packages: &str) -> String {
    let mut names: Vec<&str> = packages.split_whitespace().collect();
    names.sort_unstable();
    names.dedup();
    match names.as_slice() {
        [] => "a package asked for it".to_owned(),
        names => format!("{} asked for it", names.join(", ")),
    }
}

/// The newest installed kernel of the flavour that runs, when that is another one.
fn newer<'a>(running: &str, there: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let flavour = |name: &'a str| name.split_once('-').map(|(_, flavour)| flavour);
    let own = running.split_once('-').map(|(_, flavour)| flavour);
    let newest = there.filter(|name| flavour(name) == own).max_by(|a, b| version::compare(a, b))?;
    (version::compare(newest, running).is_gt()).then_some(newest)
}

pub(super) fn look(host: &dyn Host) -> Result<Looked> {
    let why = reasons(host)?;
    if why.is_empty() {
        return Ok(Looked::well("reboot", "none is needed"));
    }
    Ok(Looked::found(
        "reboot",
        State::Degraded,
        "a reboot is needed",
        why.join("; "),
        "systemctl reboot, when nobody works",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_kernel_counts_when_it_is_of_the_same_flavour() {
        let there = ["6.12.9+deb13-amd64", "6.12.48+deb13-amd64", "6.12.57+deb13-cloud-amd64"];
        let newer = |running: &str| newer(running, there.into_iter());
        assert_eq!(newer("6.12.9+deb13-amd64"), Some("6.12.48+deb13-amd64"));
        assert_eq!(newer("6.12.48+deb13-amd64"), None);
        assert_eq!(newer("6.12.43+deb13-cloud-amd64"), Some("6.12.57+deb13-cloud-amd64"));
        assert_eq!((newer("5.10.0"), newer("")), (None, None), "a provider's own kernel");
    }

    #[test]
    fn who_asked_is_named_once() {
        assert_eq!(asked("linux-image-amd64\nlibc6\nlibc6\n"), "libc6, linux-image-amd64 asked for it");
        assert_eq!(asked(""), "a package asked for it");
    }
}
