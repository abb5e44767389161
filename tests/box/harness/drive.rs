//! A drive of a box's own: an ext4 file system in a file of this side, which loses what wasn't written out when its
//! power is cut.
//!
//! Shut down without flushing its journal, ext4 sends nothing more to the drive: what lay in the page cache and in the
//! running commit is gone, and the next mount replays the journal, as after a power cut. What had been sent to the drive
//! is there: it is one without a volatile cache, and the box's syncs needn't reach the disk of this machine, since this
//! machine goes on.

use super::record::Record;
use super::{Trouble, host};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Sparse: more than any box fills.
const SIZE: &str = "12G";

/// Nothing is written out before something asks for it (as far as the kernel lets us: what is older than half a minute
/// goes), no flushes of this machine's disk, no writes in the background that no one asked for.
const OPTIONS: &str = "loop,noatime,nobarrier,noinit_itable,commit=300";

/// `FS_IOC_SHUTDOWN` with `NOLOGFLUSH`, from linux/fs.h and fs/ext4/ext4.h.
const SHUT_DOWN: &str =
    "open my $top, '<', $ARGV[0] or die $!; my $how = pack 'L', 2; ioctl $top, 0x8004587d, $how or die $!";

/// Why boxes can't have one here. None: they can.
pub fn missing() -> Option<&'static str> {
    let kernel = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !Path::new("/dev/loop-control").exists() {
        return Some("there are no loop devices");
    }
    (!kernel.lines().any(|line| line.trim() == "ext4")).then_some("the kernel doesn't know ext4")
}

/// Makes it, with everything of the base on it.
pub fn make(record: &Record) -> Result<(), Trouble> {
    let (base, image) = (record.base.display().to_string(), image(record).display().to_string());
    host::run("mke2fs", &["-q", "-t", "ext4", "-E", "lazy_itable_init=1", "-d", &base, &image, SIZE]).map(drop)
}

pub fn mount(record: &Record) -> Result<(), Trouble> {
    let (image, disk) = (image(record).display().to_string(), record.disk().display().to_string());
    host::run("mount", &["-t", "ext4", "-o", OPTIONS, &image, &disk]).map(drop)
}

/// Keeps what is on it, while the box is off.
pub fn keep(record: &Record) -> Result<(), Trouble> {
    copy(&image(record), &kept(record))
}

/// Brings back what was kept, while the box is off.
pub fn restore(record: &Record) -> Result<(), Trouble> {
    copy(&kept(record), &image(record))
}

fn copy(from: &Path, to: &Path) -> Result<(), Trouble> {
    let (from, to) = (from.display().to_string(), to.display().to_string());
    host::run("cp", &["--sparse=always", &from, &to]).map(drop)
}

fn kept(record: &Record) -> PathBuf {
    record.folder().join("kept.img")
}

fn image(record: &Record) -> PathBuf {
    record.folder().join("drive.img")
}

/// From here on nothing reaches it.
pub fn cut(record: &Record) -> Result<(), Trouble> {
    host::run("perl", &["-e", SHUT_DOWN, &record.disk().display().to_string()]).map(drop)
}

/// Takes it from its place. As long as the kernel holds it, to mount it would be to get the same file system, shut down:
/// where another process has the mount in a namespace of its own, the box goes on with a copy.
pub fn let_go(record: &Record) -> Result<(), Trouble> {
    let kernel = Path::new("/sys/fs/ext4").join(device(record).ok_or("the drive isn't mounted")?);
    host::run("umount", &[&record.disk().display().to_string()])?;
    let end = Instant::now() + Duration::from_secs(2);
    while kernel.exists() {
        if Instant::now() > end {
            let (image, copied) = (image(record), record.folder().join("copied.img"));
            copy(&image, &copied)?;
            return fs::rename(&copied, &image).map_err(|error| format!("cannot rename {}: {error}", copied.display()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The loop device's name.
fn device(record: &Record) -> Option<String> {
    let disk = record.disk();
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let line = mounts.lines().find(|line| line.split(' ').nth(4) == disk.to_str())?;
    let source = line.split_once(" - ")?.1.split(' ').nth(1)?;
    source.strip_prefix("/dev/").map(str::to_owned)
}

/// How many writes it has had since it was mounted.
pub fn writes(record: &Record) -> Result<u64, Trouble> {
    let stat = Path::new("/sys/block").join(device(record).ok_or("the drive isn't mounted")?).join("stat");
    let text = fs::read_to_string(&stat).map_err(|error| format!("cannot read {}: {error}", stat.display()))?;
    let count = text.split_whitespace().nth(4).and_then(|count| count.parse().ok());
    count.ok_or_else(|| format!("{}: {text:?}", stat.display()))
}
