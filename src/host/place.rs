//! Finding a path under the root without ever leaving it: every step is taken from an open directory
//! (path_resolution(7)), so nobody can swap a directory for a link between the look and the act.

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, fstatat};
use nix::unistd::geteuid;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

/// The end of temporary names.
const MARK: &[u8] = b".vps-configurator";
/// As many links as the kernel follows before it says ELOOP.
const MAX_LINKS: usize = 40;
/// The owner of what belongs to a user that this user namespace doesn't know (user_namespaces(7)).
const OVERFLOW: u32 = 65534;

/// An open directory and a name in it: where a path leads.
#[derive(Debug)]
pub(super) struct Place {
    /// The directory (opened with `O_PATH`).
    pub dir: OwnedFd,
    /// The name in it; `.` for the root itself.
    pub name: OsString,
}

/// Which symbolic links are followed on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// Those of the parents, not a last one: to look at the thing itself.
    Parents,
    /// A last one too: to read content. Only links that root (or whoever runs this) made: between our look at a
    /// user's file and our reading of it the user could put a link to /etc/shadow there, and what we read we write.
    All,
    /// Those of the parents, but only links that root (or whoever runs this) made. Otherwise a user could point
    /// `~/.ssh` at `/etc`, and the next key that root writes there for the user would land in it.
    Trusted,
}

impl Place {
    /// Where `path` leads under `root`. Absolute targets of links count from `root`, and `..` stops at it.
    ///
    /// # Errors
    /// ENOENT and ENOTDIR when a parent is missing, ELOOP for a circle, EPERM for a link that is not trusted.
    pub fn find(root: &Path, path: &Path, links: Links) -> io::Result<Place> {
        let path = &*own(root, path);
        if let Some(place) = Place::straight(root, path, links)? {
            return Ok(place);
        }
        let mut above = vec![open_root(root)?];
        let mut left = steps(path);
        let mut followed = 0;
        while let Some(name) = left.pop_front() {
            let Some(here) = above.last() else {
                return Err(Errno::ENOENT.into());
            };
            if name == OsStr::new("..") {
                if above.len() > 1 {
                    above.pop();
                }
                continue;
            }
            let last = left.is_empty();
            let target = match readlinkat(here, name.as_os_str()) {
                Ok(_) if last && links != Links::All => None,
                Ok(target) => Some(target),
                Err(Errno::EINVAL) => None,
                Err(Errno::ENOENT) if last => None,
                Err(e) => return Err(e.into()),
            };
            if let Some(target) = target {
                followed += 1;
                if followed > MAX_LINKS {
                    return Err(Errno::ELOOP.into());
                }
                if links != Links::Parents {
                    let owner = fstatat(here, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?.st_uid;
                    // To read, also what belongs to nobody we know: /sys in a container with users of its own.
                    let is_strange = links == Links::All && owner == OVERFLOW;
                    if owner != 0 && owner != geteuid().as_raw() && !is_strange {
                        return Err(Errno::EPERM.into());
                    }
                }
                let target = PathBuf::from(target);
                if target.is_absolute() {
                    above.truncate(1);
                }
                for step in steps(&target).into_iter().rev() {
                    left.push_front(step);
                }
            } else if last {
                return Ok(Place { dir: above.pop().ok_or(Errno::ENOENT)?, name });
            } else {
                let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                above.push(openat(here, name.as_os_str(), flags, Mode::empty())?);
            }
        }
        Ok(Place { dir: above.pop().ok_or(Errno::ENOENT)?, name: OsString::from(".") })
    }

    /// The same in one step of the kernel's own, which is cheaper than one of ours for each directory: where neither links
    /// nor `..` are on the way (openat2(2)), as on nearly every. `None` where there are, or where the kernel refuses to
    /// be asked that.
    fn straight(root: &Path, path: &Path, links: Links) -> io::Result<Option<Place>> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
        let Some(dir) = in_one_step(root, parent, OFlag::O_PATH | OFlag::O_DIRECTORY)? else { return Ok(None) };
        if links == Links::All && !matches!(readlinkat(&dir, name), Err(Errno::EINVAL | Errno::ENOENT)) {
            return Ok(None);
        }
        Ok(Some(Place { dir, name: name.to_owned() }))
    }

    /// What `lstat` says of it; `None` when nothing is there.
    pub fn stat(&self) -> io::Result<Option<FileStat>> {
        match fstatat(&self.dir, self.name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Opens what a path leads to, a last link and all ([`Links::All`]).
    ///
    /// # Errors
    /// As [`Place::find`], and when it can't be opened.
    pub fn open_at(root: &Path, path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
        match Place::open_straight(root, path, flags)? {
            Some(fd) => Ok(fd),
            None => Place::find(root, path, Links::All)?.open(flags, 0),
        }
    }

    /// The same in one step of the kernel's own; `None` where that can't be.
    pub fn open_straight(root: &Path, path: &Path, flags: OFlag) -> io::Result<Option<OwnedFd>> {
        let path = &*own(root, path);
        // openat2(2) takes nothing that means nothing beside O_PATH.
        let terminal = if flags.contains(OFlag::O_PATH) { OFlag::empty() } else { OFlag::O_NOCTTY };
        in_one_step(root, path, flags | terminal)
    }

    /// Opens it, never through a link.
    pub fn open(&self, flags: OFlag, mode: u32) -> io::Result<OwnedFd> {
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        Ok(openat(&self.dir, self.name.as_os_str(), flags, Mode::from_bits_truncate(mode as libc::mode_t))?)
    }

    /// The same directory with another name in it.
    pub fn beside(&self, name: OsString) -> io::Result<Place> {
        Ok(Place { dir: self.dir.as_fd().try_clone_to_owned()?, name })
    }

    /// A path for calls that take no directory descriptor (extended attributes of links).
    pub fn proc_path(&self) -> PathBuf {
        use std::os::fd::AsRawFd;
        PathBuf::from(format!("/proc/self/fd/{}", self.dir.as_raw_fd())).join(&self.name)
    }

    /// Writes the directory's entries to the disk, so that a rename or removal survives a power cut.
    pub fn sync_dir(&self) -> io::Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = openat(&self.dir, ".", flags, Mode::empty())?;
        Ok(nix::unistd::fsync(&dir)?)
    }
}

/// The name that a file has while it is written: `.NAME.vps-configurator`, in the same directory. It follows from the
/// name alone, so that after a crash the next write or removal of the same path takes it away too.
pub fn temporary_name(name: &OsStr) -> OsString {
    const NAME_MAX: usize = 255;
    let mut bytes = vec![b'.'];
    if name.len() + 1 + MARK.len() > NAME_MAX {
        bytes.extend_from_slice(crate::base::digest::Digest::of(name.as_bytes()).as_str().as_bytes());
    } else {
        bytes.extend_from_slice(name.as_bytes());
    }
    bytes.extend_from_slice(MARK);
    OsString::from_vec(bytes)
}

/// Whether a file of this name is one that was being written.
pub fn is_temporary_name(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".") && name.as_bytes().ends_with(MARK)
}

/// Opens a path by one step of the kernel's own, where neither links nor `..` are on the way (openat2(2)). `None` where
/// there are, or where the kernel refuses to be asked that.
fn in_one_step(root: &Path, path: &Path, flags: OFlag) -> io::Result<Option<OwnedFd>> {
    if path.components().any(|part| part == Component::ParentDir) {
        return Ok(None);
    }
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    let opened = if root == Path::new("/") {
        openat2(AT_FDCWD, &Path::new("/").join(path), how)
    } else {
        let below = path.strip_prefix("/").unwrap_or(path);
        openat2(open_root(root)?, if below == Path::new("") { Path::new(".") } else { below }, how)
    };
    match opened {
        Ok(fd) => Ok(Some(fd)),
        Err(e @ (Errno::ENOENT | Errno::ENOTDIR)) => Err(e.into()),
        Err(_) => Ok(None),
    }
}

/// A path on the machine itself past the kernel's own link for this process: on the way by its number there is none.
fn own<'a>(root: &Path, path: &'a Path) -> Cow<'a, Path> {
    // By what number it goes there: /proc may be that of another namespace of processes (pid_namespaces(7)).
    static NUMBER: OnceLock<Option<OsString>> = OnceLock::new();
    let number = || NUMBER.get_or_init(|| readlinkat(AT_FDCWD, "/proc/self").ok()).as_ref();
    if root == Path::new("/") && path.starts_with("/proc") {
        // The links themselves are what they are.
        if let Ok(rest) = path.strip_prefix("/proc/self")
            && rest != Path::new("")
            && let Some(number) = number()
        {
            return Path::new("/proc").join(number).join(rest).into();
        }
        if let Ok(rest) = path.strip_prefix("/proc/net")
            && rest != Path::new("")
            && let Some(number) = number()
        {
            return Path::new("/proc").join(number).join("net").join(rest).into();
        }
    }
    path.into()
}

fn open_root(root: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(nix::fcntl::open(root, flags, Mode::empty())?)
}

fn steps(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn content(root: &Path, path: &str) -> io::Result<String> {
        let fd = Place::find(root, Path::new(path), Links::All)?.open(OFlag::O_RDONLY, 0)?;
        io::read_to_string(fs::File::from(fd))
    }

    #[test]
    fn links_and_dots_stay_under_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("etc/deep")).unwrap();
        fs::write(root.join("etc/one"), "inside").unwrap();
        symlink("/etc/one", root.join("absolute")).unwrap();
        symlink("../../../../../etc/one", root.join("etc/deep/up")).unwrap();
        symlink("/etc", root.join("dir")).unwrap();
        symlink("round", root.join("round")).unwrap();
        for path in ["/absolute", "/etc/deep/up", "/dir/one", "/../../etc/one", "/dir/deep/../one"] {
            assert_eq!(content(root, path).unwrap(), "inside", "{path}");
        }
        assert_eq!(content(root, "/round").unwrap_err().raw_os_error(), Some(libc::ELOOP));
        assert_eq!(content(root, "/none/one").unwrap_err().raw_os_error(), Some(libc::ENOENT));
        assert_eq!(content(root, "/etc/one/two").unwrap_err().raw_os_error(), Some(libc::ENOTDIR));
        let straight = |path: &str, links| {
            let found = Place::straight(root, Path::new(path), links).unwrap();
            found.map(|place| place.name.into_string().unwrap())
        };
        for path in ["/absolute", "/dir", "/dir/one", "/dir/none", "/etc/deep/../one", "/", "/round"] {
            assert_eq!(straight(path, Links::All), None, "{path}: there is a link or none of it is a name");
        }
        let cases = [("/etc/one", Links::All), ("/etc/deep/none", Links::All), ("/dir", Links::Parents)];
        for (path, links) in cases {
            assert_eq!(straight(path, links).as_deref(), path.rsplit('/').next(), "{path}");
        }
    }

    #[test]
    fn on_the_machine_itself_the_way_is_straight_too() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        fs::write(top.join("one"), "inside").unwrap();
        symlink(&top, top.join("round")).unwrap();
        let straight = |path: PathBuf| Place::straight(Path::new("/"), &path, Links::All).unwrap();
        assert_eq!(straight(top.join("one")).unwrap().name, "one");
        assert!(straight(top.join("round/one")).is_none() && straight("/".into()).is_none());
        assert_eq!(content(Path::new("/"), &top.join("round/one").display().to_string()).unwrap(), "inside");
        let gone = Place::find(Path::new("/"), &top.join("none/one"), Links::All).unwrap_err();
        assert_eq!(gone.raw_os_error(), Some(libc::ENOENT));
        let here = format!("/proc/{}", std::process::id());
        for (path, leads) in [("self/stat", "/stat"), ("self/fd/0", "/fd/0"), ("net/tcp", "/net/tcp")] {
            let path = Path::new("/proc").join(path);
            assert_eq!(own(Path::new("/"), &path), Path::new(&format!("{here}{leads}")));
            assert_eq!(own(&top, &path), path, "in a tree it is a file like any other");
        }
        for path in ["/proc/self", "/proc/net", "/proc/1/stat", "/proc/selfish"].map(Path::new) {
            assert_eq!(own(Path::new("/"), path), path);
        }
    }

    #[test]
    fn what_is_opened_by_its_path_is_what_lies_there_whatever_is_on_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        fs::create_dir(top.join("deep")).unwrap();
        fs::write(top.join("deep/one"), "inside").unwrap();
        symlink("deep", top.join("way")).unwrap();
        symlink("deep/one", top.join("last")).unwrap();
        let read = |root: &Path, path: &Path| {
            let fd = Place::open_at(root, path, OFlag::O_RDONLY)?;
            io::read_to_string(fs::File::from(fd))
        };
        for path in ["deep/one", "way/one", "last", "deep/../last"] {
            assert_eq!(read(&top, &Path::new("/").join(path)).unwrap(), "inside", "{path}");
            assert_eq!(read(Path::new("/"), &top.join(path)).unwrap(), "inside", "{path}");
        }
        // Of a link itself nothing is to be had, not even where only its place is asked for.
        for (root, path) in [(Path::new("/"), top.join("last")), (&top, "/last".into())] {
            let fd = Place::open_at(root, &path, OFlag::O_PATH).unwrap();
            assert_eq!(nix::sys::stat::fstat(&fd).unwrap().st_size, 6);
        }
        let code = |path: &str| read(&top, Path::new(path)).unwrap_err().raw_os_error();
        assert_eq!([code("/none"), code("/deep/one/two")], [Some(libc::ENOENT), Some(libc::ENOTDIR)]);
        Place::open_at(&top, Path::new("/"), OFlag::O_RDONLY | OFlag::O_DIRECTORY).unwrap();
        Place::open_at(Path::new("/"), Path::new("/"), OFlag::O_RDONLY | OFlag::O_DIRECTORY).unwrap();
    }

    #[test]
    fn a_link_that_a_user_made_is_followed_neither_for_a_change_nor_to_read() {
        if !geteuid().is_root() {
            eprintln!("skipped: giving a link away needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        symlink("/etc", dir.path().join("ssh")).unwrap();
        Place::find(dir.path(), Path::new("/ssh/file"), Links::Trusted).unwrap();
        std::os::unix::fs::lchown(dir.path().join("ssh"), Some(1000), Some(1000)).unwrap();
        let refused = Place::find(dir.path(), Path::new("/ssh/file"), Links::Trusted).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
        Place::find(dir.path(), Path::new("/ssh/file"), Links::Parents).unwrap();
        assert!(content(dir.path(), "/ssh").is_err_and(|e| e.raw_os_error() == Some(libc::EPERM)), "nor read");
        std::os::unix::fs::lchown(dir.path().join("ssh"), Some(OVERFLOW), None).unwrap();
        Place::find(dir.path(), Path::new("/ssh"), Links::All).unwrap();
    }

    #[test]
    fn a_long_name_gets_a_temporary_name_that_fits() {
        assert_eq!(temporary_name(OsStr::new("hosts")), ".hosts.vps-configurator");
        assert!(temporary_name(OsStr::new(&"x".repeat(255))).len() <= 255);
    }
}
