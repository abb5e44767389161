//! The only code that touches the machine: files, programs, the clock, locks.
//!
//! Everything above works on `&dyn Host`. [`RealHost`](real::RealHost) is the machine (or a directory that stands for
//! it, in tests); [`ReadOnly`](read_only::ReadOnly) is the same host with every effect refused, which is what a dry
//! run is given; [`FakeHost`](fake::FakeHost) fails or dies at a chosen effect, for the crash suite.
//!
//! Paths are absolute paths of the managed host. With a root prefix, programs are looked up under that root too: a
//! fake root brings its own `apt-get` and `systemctl`, and no test can reach the real ones.

pub mod accounts;
pub mod actor;
pub mod bus;
mod capture;
pub mod command;
mod dialogue;
pub mod error;
pub mod fake;
pub mod kernel;
mod locks;
pub mod login;
pub mod machine;
mod netfilter;
mod place;
mod reach;
pub mod read_only;
pub mod real;
mod runner;
mod scan;
pub mod sockets;
pub mod view;
mod xattrs;

pub use command::{Command, Output};
pub use error::{Error, Result};
pub use fake::FakeHost;
pub use place::{is_temporary_name, temporary_name};
pub use read_only::ReadOnly;
pub use real::RealHost;
pub use view::{Candidate, Shape};

use crate::base::digest::Digest;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Debug;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link and its target, as written.
    Link(PathBuf),
    /// A socket, device or pipe: never ours.
    Other,
}

/// Owner, mode and extended attributes of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// The permission bits with set-uid, set-gid and sticky: `mode & 0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes (ACLs and capabilities are among them), by full name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

impl Attributes {
    /// Owned by root, with this mode and no extended attributes.
    pub fn root(mode: u32) -> Self {
        Attributes { mode, uid: 0, gid: 0, xattrs: BTreeMap::new() }
    }
}

/// What `lstat` and `listxattr` say of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// Owner, mode, extended attributes.
    pub attributes: Attributes,
    /// Size in bytes.
    pub size: u64,
    /// Last change of the content, nanoseconds since the epoch.
    pub modified: i128,
    /// Last change of anything of it: content, owner, mode, name (stat(2): `st_ctime`). No program can set it back.
    pub changed: i128,
}

/// A file system's room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that a process of root may still use.
    pub available: u64,
    /// Bytes in all.
    pub total: u64,
    /// The device number: two paths with the same one share their room.
    pub device: u64,
    /// Mounted read-only.
    pub read_only: bool,
}

/// What many files are like, in a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Equal for the same files in the same state, as far as inodes, sizes and times of change tell.
    pub sum: u64,
    /// When any of them changed last ([`Meta::changed`]): a stamp that is hardly younger may miss a further change.
    pub newest: i128,
    /// When the look at them began, nanoseconds since the epoch.
    pub begun: i128,
}

/// Why something elsewhere can't be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreachable {
    /// Its name has no address, or nobody tells it.
    Name(String),
    /// Nothing answers at its address.
    Connection(String),
}

/// A held lock; released when dropped.
pub trait Guard: Send + Debug {}

/// The machine. The first group of functions only looks; the second changes, and is refused in a dry run.
pub trait Host: Send + Sync + Debug {
    /// What is at `path`, not following a last symbolic link; `None` when nothing is.
    fn meta(&self, path: &Path) -> Result<Option<Meta>>;
    /// The content of the file at `path`, following links.
    fn read(&self, path: &Path) -> Result<Vec<u8>>;
    /// Shows the content of the file at `path` in parts of at most `part` bytes, one after the other, until `see` has
    /// enough: for what is long, and for what the kernel makes at some cost as it is read.
    fn read_parts(&self, path: &Path, part: usize, see: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<()>;
    /// The SHA-256 of a regular file, however large.
    fn digest(&self, path: &Path) -> Result<Digest>;
    /// The names in a directory, sorted; empty when there is no such directory.
    fn list(&self, dir: &Path) -> Result<Vec<OsString>>;
    /// The same with what each of them is.
    fn entries(&self, dir: &Path) -> Result<Vec<(OsString, Kind)>>;
    /// The regular files and directories at and below `dirs` that changed after `since` (as [`Meta::changed`]), sorted.
    /// What lies at or below `except`, behind links and on other file systems is left out. One of `except` that is no
    /// whole path is the name of directories, wherever they are.
    fn changed_since(&self, dirs: &[PathBuf], except: &[PathBuf], since: i128) -> Result<Vec<PathBuf>>;
    /// A stamp of all that is at and below `paths`, links and what is mounted there included: it moves when any of it
    /// changes. What lies at or below `except` is left out, and of other file systems but their being there. Of files in
    /// `/proc` their content counts. Of a path that ends in `/*` only what lies directly in that directory counts.
    fn stamp(&self, paths: &[PathBuf], except: &[PathBuf]) -> Result<Stamp>;
    /// A word that moves with every change of the kernel's packet filter; `None` where that can't be told.
    fn rules_stamp(&self) -> Option<String>;
    /// Asks the service that listens at the Unix socket `socket`: writes `question` and gives what it answers, up to
    /// `until`. Waits 2 seconds at most.
    fn ask(&self, socket: &Path, question: &[u8], until: &[u8]) -> Result<Vec<u8>>;
    /// Why this host's packet filter can't be changed; `None` when it can, or when that can't be told.
    fn packet_filter_refusal(&self) -> Option<String>;
    /// The address that packets to the internet leave from; `None` where there is no such way. Nothing is sent.
    fn outward_address(&self) -> Option<Ipv4Addr>;
    /// Whether something answers at `port` of the host `name`, which is looked up; each of both is waited for as long as
    /// `wait`. Nothing is sent. `None` where that can't be told: a tree that stands for a host has no network.
    fn reach(&self, name: &str, port: u16, wait: Duration) -> Option<std::result::Result<(), Unreachable>>;
    /// The room of the file system that holds `path` (or its nearest existing parent).
    fn space(&self, path: &Path) -> Result<Space>;
    /// Runs a program that only looks.
    fn look(&self, command: &Command) -> Result<Output>;
    /// Runs a program that only looks, in a view of the host of its own in which the candidates lie over what is there.
    /// Its home is an empty directory that ends with the view. [`Error::NoView`] where none can be made.
    fn look_over(&self, command: &Command, candidates: &[Candidate]) -> Result<Output>;
    /// Whether such a view can be made here: a container may have no right to.
    fn has_views(&self) -> bool;
    /// Whether this is a tree within the system that runs (chroot(2)): what runs there is not asked about it.
    fn is_chroot(&self) -> bool;
    /// Whether a program of this name can be run.
    fn has_program(&self, name: &str) -> bool;
    /// Nanoseconds since the epoch.
    fn now(&self) -> i128;
    /// Nanoseconds since the host was started, those included that it slept (CLOCK_BOOTTIME, clock_gettime(2)). Nobody
    /// can set it.
    fn uptime(&self) -> i128;
    /// Sleeps.
    fn pause(&self, time: Duration);
    /// The pid of the process that holds an fcntl write lock on `path` (dpkg's and apt's kind of lock).
    fn lock_holder(&self, path: &Path) -> Result<Option<u32>>;

    /// Puts a file in place at once: written beside, owner and mode set, synced, renamed, its directory synced.
    /// Follows no link at `path`: a link there is replaced.
    fn write(&self, path: &Path, content: &[u8], attributes: &Attributes) -> Result<()>;
    /// Makes one directory; its parent must exist.
    fn make_directory(&self, path: &Path, attributes: &Attributes) -> Result<()>;
    /// Puts a symbolic link in place at once.
    fn make_link(&self, path: &Path, target: &Path, attributes: &Attributes) -> Result<()>;
    /// Moves what is at `from` to `to`, in one step and for good; both must be on one file system. What is at `to` already
    /// takes its place. Follows no link at either.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Sets owner, then mode, then extended attributes (others than these are removed).
    fn set_attributes(&self, path: &Path, attributes: &Attributes) -> Result<()>;
    /// Removes a file, a link or an empty directory, and what a crash during a write of it left beside. Already gone
    /// is success.
    fn remove(&self, path: &Path) -> Result<()>;
    /// Runs a program that changes something.
    fn run(&self, command: &Command) -> Result<Output>;
    /// Runs a program that changes something, and calls `on_line` with each line that it writes to the descriptor
    /// [`STATUS_FD`](command::STATUS_FD), while it runs.
    fn run_watched(&self, command: &Command, _on_line: &mut dyn FnMut(&str)) -> Result<Output> {
        self.run(command)
    }
    /// Waits until the disk has what was written to it so far, by whatever program (syncfs(2)).
    fn sync(&self) -> Result<()>;
    /// Takes the lock at `path`, for this process; `Error::Locked` names who holds it.
    fn lock(&self, path: &Path, note: &str) -> Result<Box<dyn Guard>>;
    /// Takes the fcntl write lock on `path`, as other programs do that change what it stands for (lckpwdf(3));
    /// `Error::Locked` names who holds it.
    fn lock_fcntl(&self, path: &Path) -> Result<Box<dyn Guard>>;
}

/// The content of a file; `None` when there is none.
///
/// # Errors
/// As [`Host::read`], but for a file that is missing.
pub fn read_if_there(host: &dyn Host, path: impl AsRef<Path>) -> Result<Option<Vec<u8>>> {
    if_there(host.read(path.as_ref()))
}

/// The SHA-256 of a file; `None` when there is none.
///
/// # Errors
/// As [`Host::digest`], but for a file that is missing.
pub fn digest_if_there(host: &dyn Host, path: &Path) -> Result<Option<Digest>> {
    if_there(host.digest(path))
}

/// What was read; `None` when there was nothing to read.
///
/// # Errors
/// As what was read, but for a file that is missing.
pub fn if_there<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(it) => Ok(Some(it)),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Removes what is at `path`, and when that is a directory, everything in it. No link is followed. Already gone is
/// success.
///
/// # Errors
/// As [`Host::remove`].
pub fn remove_tree(host: &dyn Host, path: &Path) -> Result<()> {
    if matches!(host.meta(path)?, Some(Meta { kind: Kind::Directory, .. })) {
        for name in host.list(path)? {
            remove_tree(host, &path.join(name))?;
        }
    }
    host.remove(path)
}

/// The text of a file of which a host may have none: then it is empty. What is not UTF-8 is replaced.
///
/// # Errors
/// As [`Host::read`], but for a file that is missing.
pub fn read_text(host: &dyn Host, path: impl AsRef<Path>) -> Result<String> {
    let bytes = read_if_there(host, path)?.unwrap_or_default();
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

/// Bytes as text, what is no UTF-8 replaced; for what may be long: the library's function takes ten times as long.
pub fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}
