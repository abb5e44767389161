//! Whether the host is a container: it has no kernel, no modules and no swap of its own.

use crate::engine::Result;
use crate::host::Host;
use std::path::Path;

/// Files that container managers leave for what runs inside (systemd's, Docker's and Podman's).
const SIGNS: [&str; 3] = ["/run/systemd/container", "/.dockerenv", "/run/.containerenv"];

/// Whether the host is a container.
pub fn is_container(host: &dyn Host) -> Result<bool> {
    for sign in SIGNS {
        if host.meta(Path::new(sign))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
