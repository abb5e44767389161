//! A box's disk: an empty layer on the base, the few real folders in it, and what makes this server this one.

use super::record::Record;
use super::{Trouble, drive};
use nix::mount::{MsFlags, mount};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Mounts it; the first time it also gets its identity.
pub fn ready(record: &Record) -> Result<(), Trouble> {
    if !mounted(&record.disk()) {
        if record.options.drive { drive::mount(record) } else { mount_layers(record) }?;
    }
    let mark = record.folder().join("personal");
    if !mark.exists() {
        personalise(record)?;
        File::create(&mark).map_err(|error| format!("cannot mark {}: {error}", record.id))?;
    }
    Ok(())
}

/// redirect_dir: without it a folder of the base can't be renamed, which works on any other file system.
fn mount_layers(record: &Record) -> Result<(), Trouble> {
    let folder = record.folder();
    let disk = record.disk();
    let layers = format!(
        "lowerdir={},upperdir={},workdir={},redirect_dir=on",
        record.base.display(),
        folder.join("upper").display(),
        folder.join("work").display()
    );
    mount(Some("overlay"), &disk, Some("overlay"), MsFlags::empty(), Some(layers.as_str())).map_err(|error| {
        format!(
            "cannot mount the overlay of {} ({error}); VPS_BOX_DIR must lie on a real file system, not on an overlay",
            record.id
        )
    })
}

pub fn mounted(path: &Path) -> bool {
    fs::read_to_string("/proc/self/mountinfo")
        .unwrap_or_default()
        .lines()
        .any(|line| line.split(' ').nth(4) == path.to_str())
}

/// What differs between two servers of one image.
fn personalise(record: &Record) -> Result<(), Trouble> {
    let disk = record.disk();
    let write = |path: &str, text: String| {
        let path = disk.join(path);
        let _ = fs::remove_file(&path);
        fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
    };
    let name = &record.hostname;
    write("etc/machine-id", format!("{}\n", record.machine_id))?;
    fs::set_permissions(disk.join("etc/machine-id"), PermissionsExt::from_mode(0o444))
        .map_err(|error| format!("cannot set the mode of /etc/machine-id: {error}"))?;
    write("etc/hostname", format!("{name}\n"))?;
    write(
        "etc/hosts",
        format!(
            "127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n::1\t\tlocalhost ip6-localhost ip6-loopback\n\
             ff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n"
        ),
    )?;
    write("etc/resolv.conf", resolver()?)?;
    let dbus = disk.join("var/lib/dbus/machine-id");
    if dbus.parent().is_some_and(Path::is_dir) && !dbus.is_symlink() {
        let _ = fs::remove_file(&dbus);
        symlink("/etc/machine-id", &dbus).map_err(|error| format!("cannot link {}: {error}", dbus.display()))?;
    }
    for folder in real_folders(record) {
        let source = real_source(record, &folder);
        fs::create_dir_all(&source).map_err(|error| format!("cannot make {}: {error}", source.display()))?;
        let mode = if folder.starts_with("/var/tmp") { 0o1777 } else { 0o711 };
        fs::set_permissions(&source, PermissionsExt::from_mode(mode))
            .map_err(|error| format!("cannot set the mode of {}: {error}", source.display()))?;
    }
    Ok(())
}

/// This machine's resolver, if a box can reach it: a resolver on 127.0.0.1 is nobody's but ours.
fn resolver() -> Result<String, Trouble> {
    for path in ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"] {
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut servers = text.lines().filter_map(|line| line.strip_prefix("nameserver"));
        if servers.any(|server| !server.trim().starts_with("127.") && server.trim() != "::1") {
            return Ok(text);
        }
    }
    Err("this machine's resolver listens on 127.0.0.1 only, which boxes can't reach".into())
}

/// A nested box keeps its state under /var/tmp, and an overlay can't lie on the overlay that the box itself is.
/// A drive of its own is a real file system all over.
pub fn real_folders(record: &Record) -> Vec<PathBuf> {
    if record.options.drive {
        return Vec::new();
    }
    let mut folders = record.options.real.clone();
    if record.options.nested {
        folders.push("/var/tmp".into());
    }
    folders
}

pub fn real_source(record: &Record, folder: &Path) -> PathBuf {
    let name = folder.to_string_lossy().trim_matches('/').replace('/', "-");
    record.folder().join("real").join(name)
}
