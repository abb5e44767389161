//! Looking through many files at once for those that changed: one stat for each, taken from its open directory.

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// `st_ctime` in nanoseconds since the epoch.
pub(super) fn changed(stat: &FileStat) -> i128 {
    i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec)
}

/// Adds what changed after `since` in the open directory `fd`, which is called `path`, to `found`. What goes away
/// meanwhile is passed over.
pub(super) fn walk(
    fd: OwnedFd,
    path: &Path,
    except: &[PathBuf],
    since: i128,
    found: &mut Vec<PathBuf>,
) -> io::Result<()> {
    if except.iter().any(|left_out| path == left_out) {
        return Ok(());
    }
    let own = fstat(&fd)?;
    if changed(&own) > since {
        found.push(path.to_owned());
    }
    let mut below = Vec::new();
    let mut dir = Dir::from_fd(fd)?;
    let handle = dir.as_fd().try_clone_to_owned()?;
    for entry in dir.iter() {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let is_directory = match entry.file_type() {
            Some(Type::Directory) => true,
            Some(Type::File) | None => false,
            Some(_) => continue,
        };
        if is_directory {
            below.push(name.to_owned());
            continue;
        }
        let stat = match fstatat(&handle, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => continue,
            stat => stat?,
        };
        match super::real::format_of(&stat) {
            nix::sys::stat::SFlag::S_IFREG if changed(&stat) > since => found.push(path.join(name)),
            // A file system that tells no types in its directories.
            nix::sys::stat::SFlag::S_IFDIR => below.push(name.to_owned()),
            _ => {}
        }
    }
    drop(dir);
    for name in below {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(&handle, name.as_os_str(), flags, Mode::empty()) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
            Err(e) => return Err(e.into()),
            Ok(fd) if fstat(&fd)?.st_dev != own.st_dev => {}
            Ok(fd) => walk(fd, &path.join(name), except, since, found)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::host::{Host, RealHost};
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    #[test]
    fn what_changed_after_a_moment_is_found_be_it_content_mode_or_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let host = RealHost::new(dir.path().into());
        for name in ["usr/bin/a", "usr/bin/b", "usr/bin/gone", "usr/lib/x/c", "usr/lib/skip/d"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        symlink("a", dir.path().join("usr/bin/link")).unwrap();
        let dirs = [PathBuf::from("/usr/bin"), PathBuf::from("/usr/lib"), PathBuf::from("/no/such")];
        let except = [PathBuf::from("/usr/lib/skip")];
        let look = |since| -> Vec<String> {
            let found = host.changed_since(&dirs, &except, since).unwrap();
            found.iter().map(|path| path.display().to_string()).collect()
        };
        let all = ["/usr/bin", "/usr/bin/a", "/usr/bin/b", "/usr/bin/gone", "/usr/lib", "/usr/lib/x", "/usr/lib/x/c"];
        assert_eq!(look(0), all);
        let newest = all.map(|path| host.meta(path.as_ref()).unwrap().unwrap().changed).into_iter().max().unwrap();
        assert!(look(newest).is_empty());
        // The kernel's clock for files goes in steps of some milliseconds: until it has gone on.
        while fs::write(dir.path().join("tick"), "").is_ok()
            && host.meta("/tick".as_ref()).unwrap().unwrap().changed <= newest
        {}
        fs::set_permissions(dir.path().join("usr/lib/x/c"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::remove_file(dir.path().join("usr/bin/gone")).unwrap();
        fs::write(dir.path().join("usr/lib/skip/d"), "other").unwrap();
        assert_eq!(look(newest), ["/usr/bin", "/usr/lib/x/c"]);
    }
}
