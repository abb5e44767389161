//! Where the harness keeps its state, and the one lock over it.

use super::Trouble;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

/// `VPS_BOX_DIR`, by default under `/var/tmp`, which survives reboots and is rarely a tmpfs.
pub fn top() -> PathBuf {
    std::env::var_os("VPS_BOX_DIR").map_or_else(|| PathBuf::from("/var/tmp/vps-box"), PathBuf::from)
}

pub fn bases() -> PathBuf {
    top().join("base")
}

pub fn boxes() -> PathBuf {
    top().join("boxes")
}

/// Shared by all state folders of this machine: subnet numbers are a thing of the kernel, not of a folder.
pub fn registry() -> PathBuf {
    PathBuf::from("/run/vps-box")
}

/// Makes the folders; refuses what overlayfs can't be told (its option string has no quoting for these).
pub fn make() -> Result<(), Trouble> {
    let top = top();
    let text = top.to_string_lossy().into_owned();
    if !top.is_absolute() || text.contains([',', ':', '\\', ' ', '"']) {
        return Err(format!(
            "VPS_BOX_DIR is {text:?}: it must be an absolute path without spaces, commas, colons, quotes or backslashes"
        ));
    }
    for folder in [bases(), boxes(), registry()] {
        fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    }
    Ok(())
}

/// Held while it lives; the kernel releases it when a killed run ends, so it can't stay behind.
pub struct Locked(#[allow(dead_code, reason = "held for its drop")] Flock<File>);

pub fn lock(path: &Path) -> Result<Locked, Trouble> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|error| format!("cannot open {}: {error}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map(Locked)
        .map_err(|(_, error)| format!("cannot lock {}: {error}", path.display()))
}

/// Over the numbers, the host's NAT table and the records.
pub fn lock_registry() -> Result<Locked, Trouble> {
    lock(&registry().join("lock"))
}
