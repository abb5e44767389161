//! The machine itself, or a directory that stands for it in tests.

use super::place::{Links, Place, temporary_name};
use super::runner::Runner;
use super::{
    Attributes, Candidate, Command, Error, Guard, Host, Kind, Meta, Output, Result, Space, Stamp, Unreachable,
    dialogue, locks, netfilter, reach, scan, view, xattrs,
};
use crate::base::digest::Digest;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, readlinkat, renameat, renameat2};
use nix::libc;
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstat, mkdirat};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, geteuid, symlinkat, unlinkat};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Room for a file of the kernel's: most are shorter.
const KERNELS_FILE: usize = 16 << 10;

/// Where programs that set up a host write: one file system, or several (hier(7)).
const SYNCED: [&str; 11] =
    ["/", "/boot", "/etc", "/home", "/opt", "/root", "/srv", "/usr", "/var", "/var/lib", "/var/log"];

/// The machine: root `/`; or, in tests, a directory that holds a tree of files and its own programs.
#[derive(Debug)]
pub struct RealHost {
    root: PathBuf,
    runner: Runner,
}

impl RealHost {
    /// The machine whose files lie under `root` (`/` = this machine).
    pub fn new(root: PathBuf) -> Self {
        RealHost { runner: Runner::new(root.clone()), root }
    }

    fn find(&self, path: &Path, links: Links, act: &'static str) -> Result<Place> {
        Place::find(&self.root, path, links)
            .map_err(|source| untrusted(&source, path).unwrap_or(failed(act, path)(source)))
    }

    /// Everything of a write but the rename: the finished file under its temporary name.
    pub(super) fn stage(&self, path: &Path, content: &[u8], attributes: &Attributes) -> Result<Staged> {
        let place = self.find(path, Links::Trusted, "write")?;
        let beside = place.beside(temporary_name(&place.name)).map_err(failed("write", path))?;
        let staged = Staged { place, beside };
        let written = staged.clear().and_then(|()| {
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
            let mut file = File::from(staged.beside.open(flags, 0o600)?);
            file.write_all(content)?;
            let fd = OwnedFd::from(file);
            self.dress(&fd, attributes)?;
            Ok(nix::unistd::fsync(&fd)?)
        });
        written.map_err(|e| staged.give_up("write", path, e)).map(|()| staged)
    }

    /// The same for a link.
    pub(super) fn stage_link(&self, path: &Path, target: &Path, attributes: &Attributes) -> Result<Staged> {
        let place = self.find(path, Links::Trusted, "link")?;
        let beside = place.beside(temporary_name(&place.name)).map_err(failed("link", path))?;
        let staged = Staged { place, beside };
        let made = staged.clear().and_then(|()| {
            symlinkat(target, &staged.beside.dir, staged.beside.name.as_os_str())?;
            self.dress_link(&staged.beside, attributes)
        });
        made.map_err(|e| staged.give_up("link", path, e)).map(|()| staged)
    }

    /// The same for a directory.
    pub(super) fn stage_directory(&self, path: &Path, attributes: &Attributes) -> Result<Staged> {
        let place = self.find(path, Links::Trusted, "make")?;
        let beside = place.beside(temporary_name(&place.name)).map_err(failed("make", path))?;
        let staged = Staged { place, beside };
        let made = staged.clear().and_then(|()| {
            mkdirat(&staged.beside.dir, staged.beside.name.as_os_str(), Mode::S_IRWXU)?;
            let fd = staged.beside.open(OFlag::O_RDONLY | OFlag::O_DIRECTORY, 0)?;
            self.dress(&fd, attributes)?;
            Ok(nix::unistd::fsync(&fd)?)
        });
        made.map_err(|e| staged.give_up("make", path, e)).map(|()| staged)
    }

    /// Puts what was staged in its place, for good.
    pub(super) fn commit(&self, path: &Path, staged: Staged) -> Result<()> {
        let (from, to) = (&staged.beside, &staged.place);
        renameat(&from.dir, from.name.as_os_str(), &to.dir, to.name.as_os_str())
            .map_err(|e| staged.give_up("rename", path, e.into()))?;
        staged.place.sync_dir().map_err(failed("sync the directory of", path))
    }

    /// The same where nothing may be yet. A file system that can't promise that by itself is looked at before.
    fn commit_new(&self, path: &Path, staged: Staged) -> Result<()> {
        let (from, to) = (&staged.beside, &staged.place);
        let (old, new) = (from.name.as_os_str(), to.name.as_os_str());
        let moved = match renameat2(&from.dir, old, &to.dir, new, RenameFlags::RENAME_NOREPLACE) {
            Err(Errno::EINVAL) => match to.stat() {
                Ok(None) => renameat(&from.dir, old, &to.dir, new).map_err(io::Error::from),
                Ok(Some(_)) => Err(Errno::EEXIST.into()),
                Err(e) => Err(e),
            },
            moved => moved.map_err(io::Error::from),
        };
        moved.map_err(|e| staged.give_up("make", path, e))?;
        staged.place.sync_dir().map_err(failed("sync the directory of", path))
    }

    /// Owner, then mode (a new owner clears set-uid, and set-uid must never be there for the wrong owner), then
    /// extended attributes (a new owner clears capabilities, too).
    fn dress(&self, fd: &OwnedFd, attributes: &Attributes) -> io::Result<()> {
        let owner = (Some(Uid::from_raw(attributes.uid)), Some(Gid::from_raw(attributes.gid)));
        self.allow_foreign(fchownat(fd, "", owner.0, owner.1, AtFlags::AT_EMPTY_PATH))?;
        // fchmod and fsetxattr refuse descriptors of kind O_PATH, their names under /proc are as good (proc(5)).
        let path = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        let mode = Mode::from_bits_truncate(attributes.mode as libc::mode_t);
        fchmodat(AT_FDCWD, &path, mode, FchmodatFlags::FollowSymlink)?;
        xattrs::set(&path, &attributes.xattrs, true)
    }

    /// A regular file, and its size.
    fn open_to_read(&self, path: &Path) -> Result<(OwnedFd, i64)> {
        // Without O_NONBLOCK, opening a named pipe that someone left here would wait for ever.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
        let opened = match Place::open_straight(&self.root, path, flags) {
            Ok(None) => self.find(path, Links::All, "read")?.open(flags, 0),
            Ok(Some(fd)) => Ok(fd),
            Err(error) => Err(error),
        };
        let fd = opened.map_err(failed("read", path))?;
        let stat = fstat(&fd).map_err(|e| failed("read", path)(e.into()))?;
        if format_of(&stat) != SFlag::S_IFREG {
            return Err(Error::Unexpected { path: path.to_owned(), what: "is not a regular file".to_owned() });
        }
        Ok((fd, stat.st_size))
    }

    /// Shows each entry of a directory, with the directory; none when there is no such directory.
    fn each_in(&self, dir: &Path, see: scan::See<'_>) -> io::Result<()> {
        match Place::open_at(&self.root, dir, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            fd => scan::each_in(&fd?, see),
        }
    }

    fn dress_link(&self, place: &Place, attributes: &Attributes) -> io::Result<()> {
        let owner = (Some(Uid::from_raw(attributes.uid)), Some(Gid::from_raw(attributes.gid)));
        let name = place.name.as_os_str();
        self.allow_foreign(fchownat(&place.dir, name, owner.0, owner.1, AtFlags::AT_SYMLINK_NOFOLLOW))?;
        xattrs::set(&place.proc_path(), &attributes.xattrs, false)
    }

    /// In a tree that only stands for a machine (a test, run by someone who isn't root), files can't be given to
    /// root: there, and only there, that is no failure. On the machine itself it always is one.
    fn allow_foreign(&self, result: nix::Result<()>) -> io::Result<()> {
        match result {
            Err(Errno::EPERM) if self.root != Path::new("/") && !geteuid().is_root() => Ok(()),
            other => Ok(other?),
        }
    }
}

/// A finished file or link that only waits for its rename.
#[derive(Debug)]
pub(super) struct Staged {
    place: Place,
    beside: Place,
}

impl Staged {
    /// Removes what a crash left under the temporary name.
    fn clear(&self) -> io::Result<()> {
        match unlink(&self.beside, &self.beside.name) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Leaves nothing behind when writing failed (a full disk above all).
    fn give_up(&self, act: &'static str, path: &Path, source: io::Error) -> Error {
        // The first failure is the one to tell; a file that can't be removed either is found by the next write.
        drop(self.clear());
        Error::Io { act, path: path.to_owned(), source }
    }
}

/// Removes a file, a link or an empty directory in the directory of `place`.
fn unlink(place: &Place, name: &OsStr) -> nix::Result<()> {
    match unlinkat(&place.dir, name, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::EISDIR) => unlinkat(&place.dir, name, UnlinkatFlags::RemoveDir),
        other => other,
    }
}

fn failed(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { act, path, source }
}

/// The words for the one refusal of [`Place::find`] that is its own.
fn untrusted(error: &io::Error, path: &Path) -> Option<Error> {
    let what = "a directory on the way is a symbolic link that another user made; no change goes through it".to_owned();
    (error.raw_os_error() == Some(libc::EPERM)).then(|| Error::Unexpected { path: path.to_owned(), what })
}

/// Whether an error says that there is nothing at a path, or can't be.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

pub(super) fn format_of(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

impl Host for RealHost {
    fn meta(&self, path: &Path) -> Result<Option<Meta>> {
        let place = match Place::find(&self.root, path, Links::Parents) {
            Err(e) if is_missing(&e) => return Ok(None),
            place => place.map_err(failed("look at", path))?,
        };
        let Some(stat) = place.stat().map_err(failed("look at", path))? else {
            return Ok(None);
        };
        let kind = match format_of(&stat) {
            SFlag::S_IFREG => Kind::File,
            SFlag::S_IFDIR => Kind::Directory,
            SFlag::S_IFLNK => match readlinkat(&place.dir, place.name.as_os_str()) {
                Ok(target) => Kind::Link(PathBuf::from(target)),
                Err(Errno::ENOENT) => return Ok(None),
                Err(e) => return Err(failed("look at", path)(e.into())),
            },
            _ => Kind::Other,
        };
        let xattrs = match xattrs::all(&place.proc_path()) {
            Err(e) if is_missing(&e) => return Ok(None),
            found => found.map_err(failed("read the extended attributes of", path))?,
        };
        Ok(Some(Meta {
            kind,
            attributes: Attributes { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid, xattrs },
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec),
            changed: scan::changed(&stat),
        }))
    }

    fn digest(&self, path: &Path) -> Result<Digest> {
        let (fd, _) = self.open_to_read(path)?;
        Digest::of_all(&mut std::fs::File::from(fd)).map_err(failed("read", path))
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let (fd, size) = self.open_to_read(path)?;
        let size = usize::try_from(size).unwrap_or(0);
        // Files of the kernel tell no size, and some of them are made anew by a walk through all there is at each reading.
        let mut content = Vec::with_capacity(if size == 0 { KERNELS_FILE } else { size });
        loop {
            match rustix::io::read(&fd, rustix::buffer::spare_capacity(&mut content)) {
                Ok(0) => return Ok(content),
                Ok(_) if content.len() == size => return Ok(content),
                Ok(_) | Err(rustix::io::Errno::INTR) => content.reserve(1),
                Err(e) => return Err(failed("read", path)(e.into())),
            }
        }
    }

    fn read_parts(&self, path: &Path, part: usize, see: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<()> {
        let (fd, _) = self.open_to_read(path)?;
        let mut room = vec![0; part];
        loop {
            match rustix::io::read(&fd, &mut room) {
                Ok(0) => return Ok(()),
                Ok(length) if see(&room[..length]).is_break() => return Ok(()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(failed("read", path)(e.into())),
            }
        }
    }

    fn list(&self, dir: &Path) -> Result<Vec<OsString>> {
        let mut names = Vec::new();
        self.each_in(dir, &mut |_, entry| {
            names.push(OsString::from_vec(entry.file_name().to_bytes().to_vec()));
            Ok(())
        })
        .map_err(failed("list", dir))?;
        names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        Ok(names)
    }

    fn entries(&self, dir: &Path) -> Result<Vec<(OsString, Kind)>> {
        let mut entries = Vec::new();
        self.each_in(dir, &mut |fd, entry| {
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            entries.extend(scan::kind_in(fd, name, entry.file_type())?.map(|kind| (name.to_owned(), kind)));
            Ok(())
        })
        .map_err(failed("list", dir))?;
        entries.sort_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
        Ok(entries)
    }

    fn changed_since(&self, dirs: &[PathBuf], except: &[PathBuf], since: i128) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for dir in dirs {
            match Place::open_at(&self.root, dir, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
                Err(e) if is_missing(&e) => {}
                Err(e) => return Err(failed("look through", dir)(e)),
                Ok(fd) => {
                    let see = &mut |seen: &scan::Seen<'_>| found.extend(seen.changed_since(since));
                    let mut walk = scan::Walk { except, is_deep: true, see };
                    walk.run(&fd, dir).map_err(failed("look through", dir))?;
                }
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    fn stamp(&self, paths: &[PathBuf], except: &[PathBuf]) -> Result<Stamp> {
        let mut stamp = Stamp { begun: self.now(), ..Stamp::default() };
        for path in paths {
            if path.starts_with("/proc") {
                stamp.mix(&(path, super::read_if_there(self, path)?));
                continue;
            }
            let (path, is_deep) = match path.parent().filter(|_| path.ends_with("*")) {
                Some(parent) => (parent, false),
                None => (path.as_path(), true),
            };
            let fd = match Place::open_at(&self.root, path, OFlag::O_RDONLY | OFlag::O_NONBLOCK) {
                Err(e) if is_missing(&e) => continue,
                Err(e) => return Err(failed("look through", path)(e)),
                Ok(fd) => fd,
            };
            stamp.mix(&path);
            scan::stamp(&fd, path, except, is_deep, &mut stamp).map_err(failed("look through", path))?;
        }
        Ok(stamp)
    }

    fn packet_filter_refusal(&self) -> Option<String> {
        if self.root != Path::new("/") { None } else { netfilter::refusal() }
    }

    fn reach(&self, name: &str, port: u16, wait: Duration) -> Option<std::result::Result<(), Unreachable>> {
        (self.root == Path::new("/")).then(|| reach::reach(name, port, wait))
    }

    fn outward_address(&self) -> Option<Ipv4Addr> {
        if self.root != Path::new("/") {
            return None;
        }
        // An address of nobody's (RFC 5737): to connect a datagram socket only asks for the way.
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
        match socket.local_addr().ok()? {
            SocketAddr::V4(address) => Some(*address.ip()),
            SocketAddr::V6(_) => None,
        }
    }

    fn rules_stamp(&self) -> Option<String> {
        if self.root != Path::new("/") { None } else { netfilter::stamp() }
    }

    fn ask(&self, socket: &Path, question: &[u8], until: &[u8]) -> Result<Vec<u8>> {
        let place = self.find(socket, Links::All, "ask")?;
        dialogue::ask(&place.proc_path(), question, until).map_err(failed("ask", socket))
    }

    fn space(&self, path: &Path) -> Result<Space> {
        let mut tried = path;
        let fd = loop {
            match (Place::open_at(&self.root, tried, OFlag::O_PATH), tried.parent()) {
                (Err(e), Some(parent)) if is_missing(&e) => tried = parent,
                (opened, _) => break opened.map_err(failed("look at the room of", path))?,
            }
        };
        let errno = |e: Errno| failed("look at the room of", path)(e.into());
        let (vfs, stat) = (fstatvfs(&fd).map_err(errno)?, fstat(&fd).map_err(errno)?);
        Ok(Space {
            available: vfs.blocks_free() * vfs.fragment_size(),
            total: vfs.blocks() * vfs.fragment_size(),
            device: stat.st_dev,
            read_only: vfs.flags().contains(FsFlags::ST_RDONLY),
        })
    }

    fn look(&self, command: &Command) -> Result<Output> {
        self.runner.run(self, command, &mut |_| ())
    }

    fn look_over(&self, command: &Command, candidates: &[Candidate]) -> Result<Output> {
        if self.root == Path::new("/") {
            let command = command.clone().env("HOME", "/tmp");
            return view::on_the_machine(self, candidates, || self.look(&command));
        }
        let farm = view::Farm::of(&self.root, candidates)?;
        RealHost::new(farm.root().to_owned()).look(command)
    }

    fn is_chroot(&self) -> bool {
        let place = |path: &str| std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
        self.root == Path::new("/") && place("/proc/1/root").is_some_and(|first| place("/") != Some(first))
    }

    fn has_views(&self) -> bool {
        let probe = Path::new(crate::base::paths::RUN).join("view");
        let file = Candidate { path: probe, shape: view::Shape::File(Vec::new()), attributes: Attributes::root(0o600) };
        self.root != Path::new("/") || view::on_the_machine(self, &[file], || Ok(())).is_ok()
    }

    fn has_program(&self, name: &str) -> bool {
        self.runner.locate(name).is_some()
    }

    fn now(&self) -> i128 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i128::try_from(d.as_nanos()).unwrap_or(0))
    }

    fn uptime(&self) -> i128 {
        clock_gettime(ClockId::CLOCK_BOOTTIME)
            .map_or(0, |time| i128::from(time.tv_sec()) * 1_000_000_000 + i128::from(time.tv_nsec()))
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn lock_holder(&self, path: &Path) -> Result<Option<u32>> {
        match Place::find(&self.root, path, Links::All).and_then(|place| locks::fcntl_holder(&place)) {
            Err(e) if is_missing(&e) => Ok(None),
            holder => holder.map_err(failed("look at the lock", path)),
        }
    }

    fn write(&self, path: &Path, content: &[u8], attributes: &Attributes) -> Result<()> {
        let staged = self.stage(path, content, attributes)?;
        self.commit(path, staged)
    }

    fn make_directory(&self, path: &Path, attributes: &Attributes) -> Result<()> {
        let staged = self.stage_directory(path, attributes)?;
        self.commit_new(path, staged)
    }

    fn make_link(&self, path: &Path, target: &Path, attributes: &Attributes) -> Result<()> {
        let staged = self.stage_link(path, target, attributes)?;
        self.commit(path, staged)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let (old, new) = (self.find(from, Links::Trusted, "rename")?, self.find(to, Links::Trusted, "rename")?);
        let flags = match new.stat().map_err(failed("rename", to))? {
            None => RenameFlags::RENAME_NOREPLACE,
            Some(_) => RenameFlags::RENAME_EXCHANGE,
        };
        renameat2(&old.dir, old.name.as_os_str(), &new.dir, new.name.as_os_str(), flags)
            .map_err(|e| failed("rename", from)(e.into()))?;
        new.sync_dir().and_then(|()| old.sync_dir()).map_err(failed("sync the directory of", to))
    }

    fn set_attributes(&self, path: &Path, attributes: &Attributes) -> Result<()> {
        let act = "set the attributes of";
        let place = self.find(path, Links::Trusted, act)?;
        let stat = place.stat().map_err(failed(act, path))?;
        let stat = stat.ok_or_else(|| failed(act, path)(Errno::ENOENT.into()))?;
        let done = if format_of(&stat) == SFlag::S_IFLNK {
            self.dress_link(&place, attributes)
        } else {
            place.open(OFlag::O_PATH, 0).and_then(|fd| self.dress(&fd, attributes))
        };
        done.map_err(failed(act, path))?;
        if matches!(format_of(&stat), SFlag::S_IFREG | SFlag::S_IFDIR) {
            // A file that we may not read (only possible when not root) can't be synced: it is left to the kernel.
            match place.open(OFlag::O_RDONLY | OFlag::O_NONBLOCK, 0) {
                Err(e) if e.raw_os_error() == Some(libc::EACCES) => {}
                fd => fd.and_then(|fd| Ok(nix::unistd::fsync(&fd)?)).map_err(failed("sync", path))?,
            }
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let place = match Place::find(&self.root, path, Links::Trusted) {
            Err(e) if is_missing(&e) => return Ok(()),
            place => place.map_err(|e| untrusted(&e, path).unwrap_or(failed("remove", path)(e)))?,
        };
        let mut gone = false;
        for name in [place.name.clone(), temporary_name(&place.name)] {
            match unlink(&place, &name) {
                Ok(()) => gone = true,
                Err(Errno::ENOENT) => {}
                Err(e) => return Err(failed("remove", path)(e.into())),
            }
        }
        if gone { place.sync_dir().map_err(failed("sync the directory of", path)) } else { Ok(()) }
    }

    fn run(&self, command: &Command) -> Result<Output> {
        self.runner.run(self, command, &mut |_| ())
    }

    fn run_watched(&self, command: &Command, on_line: &mut dyn FnMut(&str)) -> Result<Output> {
        self.runner.run(self, command, on_line)
    }

    fn sync(&self) -> Result<()> {
        let mut synced = BTreeSet::new();
        for dir in SYNCED.iter().map(Path::new) {
            let place = match Place::find(&self.root, dir, Links::All) {
                Err(e) if is_missing(&e) => continue,
                place => place.map_err(failed("sync", dir))?,
            };
            let Some(stat) = place.stat().map_err(failed("sync", dir))? else { continue };
            if synced.insert(stat.st_dev) {
                let open = place.open(OFlag::O_RDONLY | OFlag::O_DIRECTORY, 0);
                open.and_then(|dir| Ok(nix::unistd::syncfs(dir)?)).map_err(failed("sync", dir))?;
            }
        }
        Ok(())
    }

    fn lock(&self, path: &Path, note: &str) -> Result<Box<dyn Guard>> {
        if let Some(dir) = path.parent()
            && self.meta(dir)?.is_none()
        {
            match self.make_directory(dir, &Attributes::root(0o755)) {
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
        }
        let place = self.find(path, Links::Trusted, "lock")?;
        locks::take(&place, path, note, self.now())
    }

    fn lock_fcntl(&self, path: &Path) -> Result<Box<dyn Guard>> {
        locks::take_fcntl(&self.find(path, Links::Trusted, "lock")?, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A host on an empty directory; what it writes belongs to whoever runs the tests.
    fn host() -> (tempfile::TempDir, RealHost, Attributes) {
        let dir = tempfile::tempdir().unwrap();
        let host = RealHost::new(dir.path().into());
        let (uid, gid) = (geteuid().as_raw(), nix::unistd::getegid().as_raw());
        (dir, host, Attributes { uid, gid, ..Attributes::root(0o640) })
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_written_is_what_is_seen() {
        let (dir, host, mut attributes) = host();
        attributes.xattrs.insert("user.note".into(), b"ours".to_vec());
        let path = Path::new("/file");
        if let Err(e) = host.write(path, b"text", &attributes) {
            eprintln!("without extended attributes: {e}");
            attributes.xattrs.clear();
            host.write(path, b"text", &attributes).unwrap();
        }
        let meta = host.meta(path).unwrap().unwrap();
        assert_eq!((&meta.kind, &meta.attributes, meta.size), (&Kind::File, &attributes, 4));
        let known = fs::metadata(dir.path().join("file")).unwrap();
        assert_eq!(meta.modified, i128::from(known.mtime()) * 1_000_000_000 + i128::from(known.mtime_nsec()));
        assert_eq!(host.read(path).unwrap(), b"text");
        assert_eq!(names(dir.path()), ["file"]);
        attributes.mode = 0o4755;
        attributes.xattrs.clear();
        host.set_attributes(path, &attributes).unwrap();
        assert_eq!(host.meta(path).unwrap().unwrap().attributes, attributes);
    }

    #[test]
    fn writing_through_a_link_replaces_the_link() {
        let (dir, host, attributes) = host();
        fs::write(dir.path().join("target"), "kept").unwrap();
        symlink("target", dir.path().join("link")).unwrap();
        host.write(Path::new("/link"), b"new", &attributes).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("target")).unwrap(), "kept");
        assert_eq!(host.meta(Path::new("/link")).unwrap().unwrap().kind, Kind::File);
        host.make_link(Path::new("/link"), Path::new("/target"), &attributes).unwrap();
        assert_eq!(host.meta(Path::new("/link")).unwrap().unwrap().kind, Kind::Link("/target".into()));
        assert_eq!(host.read(Path::new("/link")).unwrap(), b"kept");
        host.set_attributes(Path::new("/link"), &attributes).unwrap();
        let mode = fs::metadata(dir.path().join("target")).unwrap().mode() & 0o777;
        assert_ne!(mode, attributes.mode, "the target of a link is not ours to change");
    }

    #[test]
    fn directories_are_made_listed_and_removed_when_empty() {
        let (_dir, host, attributes) = host();
        let (dir, file) = (Path::new("/one"), Path::new("/one/file"));
        assert!(host.write(file, b"", &attributes).is_err(), "the parent must exist");
        let wanted = Attributes { mode: 0o2750, ..attributes.clone() };
        host.make_directory(dir, &wanted).unwrap();
        assert!(matches!(host.make_directory(dir, &wanted), Err(Error::Io { act: "make", .. })));
        assert_eq!(host.meta(dir).unwrap().unwrap().attributes, wanted);
        host.write(file, b"", &attributes).unwrap();
        host.write(Path::new("/one/a"), b"", &attributes).unwrap();
        assert_eq!(host.list(dir).unwrap(), ["a", "file"]);
        assert!(host.remove(dir).is_err());
        for path in ["/one/file", "/one/a", "/one", "/one", "/none/none"] {
            host.remove(Path::new(path)).unwrap();
        }
        assert_eq!((host.meta(dir).unwrap(), host.list(dir).unwrap()), (None, vec![]));
        assert_eq!(host.meta(file).unwrap(), None);
    }

    #[test]
    fn a_file_is_shown_in_parts_until_there_is_enough() {
        let (_dir, host, attributes) = host();
        let path = Path::new("/long");
        host.write(path, b"0123456789", &attributes).unwrap();
        for (enough, parts) in [(20, vec!["0123", "4567", "89"]), (5, vec!["0123", "4567"]), (0, vec!["0123"])] {
            let mut seen = Vec::new();
            host.read_parts(path, 4, &mut |part| {
                seen.push(String::from_utf8(part.to_vec()).unwrap());
                if seen.concat().len() >= enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
            assert_eq!(seen, parts);
        }
        let missing = host.read_parts(Path::new("/none"), 4, &mut |_| ControlFlow::Continue(()));
        assert!(matches!(crate::host::if_there(missing), Ok(None)));
        assert!(host.read_parts(Path::new("/"), 4, &mut |_| ControlFlow::Continue(())).is_err());
    }

    #[test]
    fn what_lies_in_a_directory_is_told_with_what_it_is() {
        let (dir, host, attributes) = host();
        assert_eq!(host.entries(Path::new("/none")).unwrap(), []);
        host.make_directory(Path::new("/b"), &attributes).unwrap();
        host.write(Path::new("/c"), b"", &attributes).unwrap();
        symlink("/none", dir.path().join("a")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("d")).unwrap();
        let wanted = [("a", Kind::Link("/none".into())), ("b", Kind::Directory), ("c", Kind::File), ("d", Kind::Other)];
        assert_eq!(host.entries(Path::new("/")).unwrap(), wanted.map(|(name, kind)| (name.into(), kind)));
        assert!(host.entries(Path::new("/c")).is_err());
    }

    #[test]
    fn what_a_crash_left_beside_goes_with_the_next_write_or_removal() {
        let (dir, host, attributes) = host();
        let (path, left) = (Path::new("/file"), dir.path().join(".file.vps-configurator"));
        fs::write(&left, "half").unwrap();
        host.write(path, b"whole", &attributes).unwrap();
        assert_eq!(names(dir.path()), ["file"]);
        fs::write(&left, "half").unwrap();
        host.remove(path).unwrap();
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn a_directory_appears_with_its_owner_and_mode_and_never_in_place_of_another() {
        let (dir, host, attributes) = host();
        let path = Path::new("/one");
        let staged = host.stage_directory(path, &Attributes { mode: 0o751, ..attributes.clone() }).unwrap();
        assert_eq!(names(dir.path()), [".one.vps-configurator"], "it is not there before it is whole");
        fs::create_dir(dir.path().join("one")).unwrap();
        let taken = host.commit_new(path, staged).unwrap_err();
        assert!(matches!(&taken, Error::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists), "{taken}");
        assert_eq!(names(dir.path()), ["one"]);
        // What a crash left is in nobody's way, whatever comes to that path next.
        fs::remove_dir(dir.path().join("one")).unwrap();
        fs::create_dir(dir.path().join(".one.vps-configurator")).unwrap();
        host.make_directory(path, &Attributes { mode: 0o751, ..attributes.clone() }).unwrap();
        assert_eq!(host.meta(path).unwrap().unwrap().attributes.mode, 0o751);
        host.remove(path).unwrap();
        fs::create_dir(dir.path().join(".one.vps-configurator")).unwrap();
        host.write(path, b"file", &attributes).unwrap();
        assert_eq!(names(dir.path()), ["one"]);
    }

    #[test]
    fn only_regular_files_are_read() {
        let (dir, host, _) = host();
        nix::unistd::mkfifo(&dir.path().join("pipe"), Mode::S_IRWXU).unwrap();
        for path in ["/pipe", "/"] {
            assert!(matches!(host.read(Path::new(path)), Err(Error::Unexpected { .. })), "{path}");
        }
        assert_eq!(host.meta(Path::new("/pipe")).unwrap().unwrap().kind, Kind::Other);
        assert_eq!(host.meta(Path::new("/")).unwrap().unwrap().kind, Kind::Directory);
    }

    #[test]
    fn the_room_of_a_missing_path_is_that_of_its_parent() {
        let (_dir, host, _) = host();
        let room = host.space(Path::new("/no/such/path")).unwrap();
        assert_eq!(room.device, host.space(Path::new("/")).unwrap().device);
        assert!(room.available > 0 && room.total >= room.available && !room.read_only);
    }

    #[test]
    fn a_file_can_be_given_to_others_only_by_root() {
        let (dir, host, attributes) = host();
        let theirs = Attributes { uid: 1234, gid: 1235, ..attributes };
        host.write(Path::new("/file"), b"", &theirs).unwrap();
        let owner = fs::metadata(dir.path().join("file")).unwrap().uid();
        assert_eq!(owner, if geteuid().is_root() { 1234 } else { geteuid().as_raw() });
    }

    #[test]
    fn a_full_disk_leaves_no_temporary_file() {
        let (dir, host, attributes) = host();
        let mount =
            nix::mount::mount(Some("tmpfs"), dir.path(), Some("tmpfs"), nix::mount::MsFlags::empty(), Some("size=64k"));
        if let Err(e) = mount {
            eprintln!("skipped: a full disk needs root, to mount a small tmpfs ({e})");
            return;
        }
        let full = host.write(Path::new("/file"), &[b'x'; 200_000], &attributes);
        let left = names(dir.path());
        let small = host.write(Path::new("/file"), b"fits", &attributes);
        nix::mount::umount(dir.path()).unwrap();
        let Err(Error::Io { source, .. }) = full else { panic!("{full:?}") };
        assert_eq!(source.raw_os_error(), Some(libc::ENOSPC));
        small.unwrap();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn a_full_disk_keeps_nobody_from_the_lock() {
        let (dir, host, _) = host();
        let mount =
            nix::mount::mount(Some("tmpfs"), dir.path(), Some("tmpfs"), nix::mount::MsFlags::empty(), Some("size=16k"));
        if let Err(e) = mount {
            eprintln!("skipped: a full disk needs root, to mount a small tmpfs ({e})");
            return;
        }
        let full = fs::write(dir.path().join("file"), [b'x'; 64 << 10]);
        let first = host.lock(Path::new("/lock"), "first");
        let second = host.lock(Path::new("/lock"), "second");
        let (is_full, is_held) = (full.is_err(), first.is_ok());
        let told = second.map(drop).unwrap_err();
        drop(first);
        nix::mount::umount(dir.path()).unwrap();
        assert!(is_full && is_held);
        assert!(matches!(&told, Error::Locked { holder, .. } if holder == "another process"), "{told}");
    }

    #[test]
    fn the_temporary_file_is_private_while_it_is_written() {
        let (dir, host, attributes) = host();
        let staged = host.stage(Path::new("/secret"), b"x", &Attributes { mode: 0o600, ..attributes }).unwrap();
        let left = fs::metadata(dir.path().join(".secret.vps-configurator")).unwrap();
        assert_eq!(left.permissions().mode() & 0o777, 0o600);
        host.commit(Path::new("/secret"), staged).unwrap();
        assert_eq!(names(dir.path()), ["secret"]);
    }
}
