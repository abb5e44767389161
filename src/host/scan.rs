//! Looking through directories: what is in one; and at once through many files for those that changed, or whether any did:
//! one stat for each, taken from its open directory.

use super::{Kind, Stamp};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, stat};
use rustix::fs::{FileType, RawDir, RawDirEntry};
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// `st_ctime` in nanoseconds since the epoch.
pub(super) fn changed(stat: &FileStat) -> i128 {
    i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec)
}

/// Room for names, for one reading of a directory (getdents64(2)): those of most in two calls.
const NAMES: usize = 32 << 10;

/// Who is shown the entries of a directory, with the directory.
pub(super) type See<'a> = &'a mut dyn FnMut(&OwnedFd, &RawDirEntry<'_>) -> io::Result<()>;

/// Shows each entry of an open directory.
pub(super) fn each_in(dir: &OwnedFd, see: See<'_>) -> io::Result<()> {
    let mut room = vec![MaybeUninit::uninit(); NAMES];
    let mut names = RawDir::new(dir, &mut room);
    while let Some(entry) = names.next() {
        let entry = match entry {
            // The directory itself was removed meanwhile.
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            entry => entry?,
        };
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            see(dir, &entry)?;
        }
    }
    Ok(())
}

/// What `name` in an open directory is, of which the directory says `kind`; `None` when it is gone.
pub(super) fn kind_in(dir: &OwnedFd, name: &OsStr, kind: FileType) -> io::Result<Option<Kind>> {
    let kind = match kind {
        // A file system that tells no types in its directories.
        FileType::Unknown => match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => return Ok(None),
            stat => FileType::from_raw_mode(stat?.st_mode),
        },
        kind => kind,
    };
    Ok(Some(match kind {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => match readlinkat(dir, name) {
            Err(Errno::ENOENT) => return Ok(None),
            target => Kind::Link(PathBuf::from(target?)),
        },
        _ => Kind::Other,
    }))
}

/// A walk through a tree.
pub(super) struct Walk<'a> {
    /// What lies at or below these is left out; one that is no whole path is a name, wherever it is.
    pub except: &'a [PathBuf],
    /// Whether directories in the first one are entered.
    pub is_deep: bool,
    /// What is shown all that is found: the directory that it is in and its name there (for the first directory itself
    /// an empty one), and its state, of a link its own.
    pub see: &'a mut dyn FnMut(&Seen<'_>),
}

impl Walk<'_> {
    /// All that lies at and below the open directory `fd`, which is called `path`. Of other file systems only the
    /// directory is shown that they are mounted at; what goes away meanwhile is passed over.
    pub fn run(&mut self, fd: &OwnedFd, path: &Path) -> io::Result<()> {
        if self.except.iter().any(|left_out| path == left_out) {
            return Ok(());
        }
        self.enter(fd, &fstat(fd)?, path, &mut vec![MaybeUninit::uninit(); NAMES])
    }

    fn enter(&mut self, dir: &OwnedFd, own: &FileStat, path: &Path, room: &mut [MaybeUninit<u8>]) -> io::Result<()> {
        (self.see)(&Seen { dir, inode: own.st_ino, path, name: OsStr::new(""), stat: own, is_foreign: false });
        let mut below = Vec::new();
        let mut names = RawDir::new(dir, room);
        while let Some(entry) = names.next() {
            let entry = match entry {
                Err(rustix::io::Errno::NOENT) => break,
                entry => entry?,
            };
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            if entry.file_type() == FileType::Directory {
                below.push(name.to_owned());
                continue;
            }
            let stat = match fstatat(dir, entry.file_name(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Err(Errno::ENOENT) => continue,
                other => other?,
            };
            // A file system that tells no types in its directories.
            if super::real::format_of(&stat) == SFlag::S_IFDIR {
                below.push(name.to_owned());
            } else {
                (self.see)(&Seen { dir, inode: own.st_ino, path, name, stat: &stat, is_foreign: false });
            }
        }
        if !self.is_deep {
            return Ok(());
        }
        for name in below {
            let path = path.join(&name);
            if self.except.iter().any(|left_out| *left_out == path || *left_out == Path::new(&name)) {
                continue;
            }
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            match openat(dir, name.as_os_str(), flags, Mode::empty()) {
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
                Err(e) => return Err(e.into()),
                Ok(fd) => {
                    let stat = fstat(&fd)?;
                    if stat.st_dev == own.st_dev {
                        self.enter(&fd, &stat, &path, room)?;
                    } else {
                        let is_foreign = true;
                        (self.see)(&Seen { dir, inode: own.st_ino, path: &path, name: &name, stat: &stat, is_foreign });
                    }
                }
            }
        }
        Ok(())
    }
}

/// Adds what is at the open file or directory `fd` to a stamp, and what is directly in it or, when it is `deep`, all below.
pub(super) fn stamp(fd: &OwnedFd, path: &Path, except: &[PathBuf], is_deep: bool, stamp: &mut Stamp) -> io::Result<()> {
    let own = fstat(fd)?;
    if super::real::format_of(&own) == SFlag::S_IFDIR {
        let proc = stat("/proc").map(|stat| stat.st_dev).ok();
        Walk { except, is_deep, see: &mut |seen| seen.stamp(proc, stamp) }.run(fd, path)
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
    /// Whether it is the top of another file system.
    is_foreign: bool,
}

impl Seen<'_> {
    /// Its path, when it is a regular file or a directory that changed after `since`.
    pub(super) fn changed_since(&self, since: i128) -> Option<PathBuf> {
        let is_of_interest = matches!(super::real::format_of(self.stat), SFlag::S_IFREG | SFlag::S_IFDIR);
        let path = || if self.name.is_empty() { self.path.to_owned() } else { self.path.join(self.name) };
        (is_of_interest && !self.is_foreign && changed(self.stat) > since).then(path)
    }

    /// Adds it to a stamp, and the file or directory that it leads to when it is a link; not one on the device `proc`,
    /// which is another at each look.
    fn stamp(&self, proc: Option<u64>, stamp: &mut Stamp) {
        if self.is_foreign {
            stamp.mix(&(self.inode, self.name, "other", self.stat.st_dev, self.stat.st_ino));
            return;
        }
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
