//! Looking through many files at once for those that changed, or whether any did: one stat for each, taken from its open
//! directory.

use super::Stamp;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, stat};
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// `st_ctime` in nanoseconds since the epoch.
pub(super) fn changed(stat: &FileStat) -> i128 {
    i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec)
}

/// Shows `see` all that lies at and below the open directory `fd`, which is called `path`: the directory that it is in
/// and its name there (for `path` itself an empty one), and its state, of a link its own. What lies at or below `except`
/// and on other file systems is left out; what goes away meanwhile is passed over.
pub(super) fn walk(fd: OwnedFd, path: &Path, except: &[PathBuf], see: &mut dyn FnMut(&Seen<'_>)) -> io::Result<()> {
    if except.iter().any(|left_out| path == left_out) {
        return Ok(());
    }
    let own = fstat(&fd)?;
    let mut below = Vec::new();
    let mut dir = Dir::from_fd(fd)?;
    let handle = dir.as_fd().try_clone_to_owned()?;
    see(&Seen { dir: &handle, inode: own.st_ino, path, name: OsStr::new(""), stat: &own });
    for entry in dir.iter() {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        if entry.file_type() == Some(Type::Directory) {
            below.push(name.to_owned());
            continue;
        }
        let stat = match fstatat(&handle, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => continue,
            other => other?,
        };
        // A file system that tells no types in its directories.
        if super::real::format_of(&stat) == SFlag::S_IFDIR {
            below.push(name.to_owned());
        } else {
            see(&Seen { dir: &handle, inode: own.st_ino, path, name, stat: &stat });
        }
    }
    drop(dir);
    for name in below {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(&handle, name.as_os_str(), flags, Mode::empty()) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
            Err(e) => return Err(e.into()),
            Ok(fd) if fstat(&fd)?.st_dev != own.st_dev => {}
            Ok(fd) => walk(fd, &path.join(name), except, see)?,
        }
    }
    Ok(())
}

/// Adds what is at and below the open file or directory `fd` to a stamp.
pub(super) fn stamp(fd: OwnedFd, path: &Path, except: &[PathBuf], stamp: &mut Stamp) -> io::Result<()> {
    let own = fstat(&fd)?;
    if super::real::format_of(&own) == SFlag::S_IFDIR {
        let proc = stat("/proc").map(|stat| stat.st_dev).ok();
        walk(fd, path, except, &mut |seen| seen.stamp(proc, stamp))
    } else {
        stamp.add(&path, &own);
        Ok(())
    }
}

/// One thing that a walk came by.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    dir: &'a OwnedFd,
    inode: u64,
    path: &'a Path,
    name: &'a OsStr,
    stat: &'a FileStat,
}

impl Seen<'_> {
    /// Its path, when it is a regular file or a directory that changed after `since`.
    pub(super) fn changed_since(&self, since: i128) -> Option<PathBuf> {
        let is_of_interest = matches!(super::real::format_of(self.stat), SFlag::S_IFREG | SFlag::S_IFDIR);
        let path = || if self.name.is_empty() { self.path.to_owned() } else { self.path.join(self.name) };
        (is_of_interest && changed(self.stat) > since).then(path)
    }

    /// Adds it to a stamp, and the file or directory that it leads to when it is a link; not one on the device `proc`,
    /// which is another at each look.
    fn stamp(&self, proc: Option<u64>, stamp: &mut Stamp) {
        stamp.add(&(self.inode, self.name), self.stat);
        if super::real::format_of(self.stat) == SFlag::S_IFLNK
            && let Ok(target) = fstatat(self.dir, self.name, AtFlags::empty())
            && matches!(super::real::format_of(&target), SFlag::S_IFREG | SFlag::S_IFDIR)
            && proc != Some(target.st_dev)
        {
            stamp.add(&(self.inode, self.name, "target"), &target);
        }
    }
}

impl Stamp {
    /// Adds the state of the file that is known by `name`, in whatever order.
    fn add(&mut self, name: &impl Hash, stat: &FileStat) {
        self.mix(&(name, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mode, changed(stat)));
        self.newest = self.newest.max(changed(stat));
    }

    /// Adds whatever it depends on beside, in whatever order.
    pub(super) fn mix(&mut self, what: &impl Hash) {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
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
