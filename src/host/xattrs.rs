//! Extended attributes of files (xattr(7)).

use nix::libc;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

/// Extended attributes that the kernel's security modules keep by themselves: neither seen nor set.
const KEPT_BY_THE_KERNEL: [&str; 3] = ["security.selinux", "security.ima", "security.evm"];

/// All of the file at `path`, a link itself.
pub(super) fn all(path: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let names = match xattr::list(path) {
        Err(e) if e.raw_os_error() == Some(libc::ENOTSUP) => return Ok(found),
        names => names?,
    };
    for name in names {
        let text = name.to_string_lossy().into_owned();
        if !KEPT_BY_THE_KERNEL.contains(&text.as_str())
            && let Some(value) = xattr::get(path, &name)?
        {
            found.insert(text, value);
        }
    }
    Ok(found)
}

/// Makes the extended attributes exactly `wanted`. `follow`: `path` is a descriptor's name under /proc, a link itself.
pub(super) fn set(path: &Path, wanted: &BTreeMap<String, Vec<u8>>, follow: bool) -> io::Result<()> {
    let listed = if follow { xattr::list_deref(path) } else { xattr::list(path) };
    let present: Vec<OsString> = match listed {
        Err(e) if e.raw_os_error() == Some(libc::ENOTSUP) && wanted.is_empty() => return Ok(()),
        names => names?.collect(),
    };
    for name in present {
        let text = name.to_string_lossy();
        if !wanted.contains_key(text.as_ref()) && !KEPT_BY_THE_KERNEL.contains(&text.as_ref()) {
            let removed = if follow { xattr::remove_deref(path, &name) } else { xattr::remove(path, &name) };
            removed?;
        }
    }
    for (name, value) in wanted {
        if follow { xattr::set_deref(path, name, value) } else { xattr::set(path, name, value) }?;
    }
    Ok(())
}
