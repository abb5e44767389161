//! Takes a box away, whatever state it is in. Every step may find its work done already.

use super::record::Record;
use super::{Trouble, disk, drive, host, leader, net, place};
use nix::mount::{MntFlags, umount2};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

pub fn remove(record: &Record) -> Result<(), Trouble> {
    stop(record)?;
    let merged = record.disk();
    // nspawn's lock on the tree, named after device and inode; killed, it leaves the file.
    if let Ok(about) = fs::metadata(&merged) {
        let _ = fs::remove_file(format!("/run/systemd/nspawn/locks/inode-{}:{}", about.dev(), about.ino()));
    }
    if record.options.drive && disk::mounted(&merged) {
        // Nobody wants what it hasn't been sent.
        let _ = drive::cut(record);
    }
    let mut tries = 0;
    while disk::mounted(&merged) {
        // Someone may be looking into it; after a while it goes anyway, out of sight at once.
        let flags = if tries < 20 { MntFlags::empty() } else { MntFlags::MNT_DETACH };
        if let Err(error) = umount2(&merged, flags) {
            if tries > 25 {
                return Err(format!("cannot unmount {}: {error}", merged.display()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        tries += 1;
    }
    let folder = record.folder();
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| format!("cannot remove {}: {error}", folder.display()))?;
    }
    let _lock = place::lock_registry()?;
    // Between the folder's end and this a clean may have let go of it, and another box have taken it.
    if net::is_held_by(record.number, &folder) {
        strip(record.number);
        net::release_number(record.number);
    }
    Ok(())
}

/// Kills everything of the box at once and waits for the end of it.
fn stop(record: &Record) -> Result<(), Trouble> {
    let Some(cgroup) = leader::cgroup(record) else {
        return Ok(());
    };
    let _ = fs::write(cgroup.join("cgroup.kill"), "1");
    leader::wait_until_down(record)?;
    remove_cgroup(&cgroup);
    Ok(())
}

pub fn remove_cgroup(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    let _ = fs::remove_dir(cgroup);
}

/// What a number leaves on this machine outside the box's folder. (A network namespace dies with the launcher's
/// mount namespace, and takes the veth pair along; only the name's empty file stays.)
pub fn strip(number: u16) {
    let tag = format!("vpsbox{number}");
    let _ = host::run("ip", &["link", "delete", &tag]);
    let _ = fs::remove_file(format!("/run/netns/{tag}"));
    for folder in ["propagate", "unix-export"] {
        let _ = fs::remove_dir_all(format!("/run/systemd/nspawn/{folder}/{tag}"));
    }
}
