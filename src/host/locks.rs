//! Locks: our own (flock(2), with a note of who holds it) and the fcntl(2) locks of dpkg and apt, which are only
//! looked at.

use super::place::Place;
use super::{Error, Guard, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, Flock, FlockArg, OFlag, fcntl};
use nix::libc;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// Our lock while it is held. The file stays: removing it would let two processes lock two files of one name.
#[derive(Debug)]
struct Held(#[allow(dead_code, reason = "held for its drop, which unlocks")] Flock<File>);

impl Guard for Held {}

/// Takes the lock in the file at `place`, which then holds three lines: pid, `note`, and `now` (nanoseconds since the
/// epoch, written as a time).
pub(super) fn take(place: &Place, path: &Path, note: &str, now: i128) -> Result<Box<dyn Guard>> {
    let failed = |source: io::Error| Error::Io { act: "lock", path: path.to_owned(), source };
    let flags = OFlag::O_RDWR | OFlag::O_CREAT;
    // Root's alone: flock(2) takes whoever can open the file, if only to read it.
    let file = File::from(place.open(flags, 0o600).map_err(failed)?);
    let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        Err((mut file, Errno::EWOULDBLOCK)) => {
            let mut text = String::new();
            file.read_to_string(&mut text).map_err(failed)?;
            return Err(Error::Locked { path: path.to_owned(), holder: holder(&text) });
        }
        Err((_, e)) => return Err(failed(e.into())),
    };
    let note = note.replace('\n', " ");
    let text = format!("{}\n{note}\n{}\n", std::process::id(), time(now));
    // On a file system that is full nobody is told who holds it; it is held all the same, and what is to be taken back is.
    let _ = lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| lock.write_all(text.as_bytes()));
    Ok(Box::new(Held(lock)))
}

/// The fcntl(2) lock on the file at `place` while it is held: it goes with this open file, whatever else of this process
/// looks at the file (F_OFD_SETLK).
#[derive(Debug)]
struct Joined(File);

impl Guard for Joined {}

impl Drop for Joined {
    /// Closing it would not do: a child that was forked meanwhile has it open until it is a program of its own.
    fn drop(&mut self) {
        let lock = libc::flock { l_type: libc::F_UNLCK as libc::c_short, ..whole_file() };
        let _ = fcntl(&self.0, FcntlArg::F_OFD_SETLK(&lock));
    }
}

/// Takes the fcntl(2) write lock on the file at `place`, which is made when it isn't there.
pub(super) fn take_fcntl(place: &Place, path: &Path) -> Result<Box<dyn Guard>> {
    let failed = |source: io::Error| Error::Io { act: "lock", path: path.to_owned(), source };
    let file = File::from(place.open(OFlag::O_RDWR | OFlag::O_CREAT, 0o600).map_err(failed)?);
    match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file())) {
        Ok(_) => Ok(Box::new(Joined(file))),
        Err(Errno::EAGAIN | Errno::EACCES) => {
            let holder = fcntl_holder(place).map_err(failed)?;
            let holder = holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            Err(Error::Locked { path: path.to_owned(), holder })
        }
        Err(e) => Err(failed(e.into())),
    }
}

/// A write lock from the first byte to the last.
fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// The words for the three lines of a lock file; it may be caught half-written.
fn holder(text: &str) -> String {
    let mut lines = text.lines();
    match (lines.next(), lines.next(), lines.next()) {
        (Some(pid), Some(note), Some(since)) => format!("pid {pid} ({note}) since {since}"),
        (Some(pid), _, _) => format!("pid {pid}"),
        _ => "another process".to_owned(),
    }
}

fn time(nanoseconds: i128) -> String {
    let second = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).unwrap_or(0);
    jiff::Timestamp::from_second(second).map_or_else(|_| second.to_string(), |t| t.to_string())
}

/// The pid that holds an fcntl write lock on the file. Asking the kernel needs to open the file; without the right to,
/// /proc/locks (proc(5)) says the same.
pub(super) fn fcntl_holder(place: &Place) -> io::Result<Option<u32>> {
    let fd = match place.open(OFlag::O_RDONLY | OFlag::O_NONBLOCK, 0) {
        Ok(fd) => fd,
        Err(e) if e.raw_os_error() == Some(libc::EACCES) => {
            let Some(stat) = place.stat()? else {
                return Ok(None);
            };
            let (major, minor) = (nix::sys::stat::major(stat.st_dev), nix::sys::stat::minor(stat.st_dev));
            return Ok(holder_in_table(&std::fs::read_to_string("/proc/locks")?, major, minor, stat.st_ino));
        }
        Err(e) => return Err(e),
    };
    let mut lock = whole_file();
    fcntl(&fd, FcntlArg::F_GETLK(&mut lock))?;
    let held = i32::from(lock.l_type) == libc::F_WRLCK;
    Ok(if held { u32::try_from(lock.l_pid).ok() } else { None })
}

/// Finds the holder in the text of /proc/locks: `1: POSIX  ADVISORY  WRITE 734 fe:00:1234 0 EOF`; device numbers are
/// hexadecimal there. Lines with `->` wait for the lock.
fn holder_in_table(table: &str, major: u64, minor: u64, inode: u64) -> Option<u32> {
    let wanted = format!("{major:02x}:{minor:02x}:{inode}");
    table.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (kind, _, access) = (words.next()?, words.next()?, words.next()?);
        let (pid, file) = (words.next()?, words.next()?);
        (kind == "POSIX" && access == "WRITE" && file == wanted).then(|| pid.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use crate::host::real::RealHost;

    #[test]
    fn a_second_taker_is_told_who_holds_the_lock_and_since_when() {
        let dir = tempfile::tempdir().unwrap();
        let path = Path::new("/run/lock");
        let (one, two) = (RealHost::new(dir.path().into()), RealHost::new(dir.path().into()));
        let guard = match one.lock(path, "apply advanced") {
            // /run itself is missing: only one directory is made.
            Err(e) => panic!("{e}"),
            Ok(guard) => guard,
        };
        let Err(Error::Locked { holder, .. }) = two.lock(path, "rollback") else { panic!("locked twice") };
        assert!(holder.starts_with(&format!("pid {} (apply advanced) since ", std::process::id())), "{holder}");
        assert!(holder.ends_with('Z'), "{holder}");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(dir.path().join("run/lock")).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600, "anybody who may open it may hold it");
        drop(guard);
        two.lock(path, "rollback").unwrap();
    }

    #[test]
    fn the_table_of_locks_names_the_one_who_holds_and_not_the_one_who_waits() {
        let table = "1: FLOCK  ADVISORY  WRITE 11 fe:00:77 0 EOF\n2: POSIX  ADVISORY  READ 12 fe:00:77 0 EOF\n\
                     3: -> POSIX  ADVISORY  WRITE 13 fe:00:77 0 EOF\n4: POSIX  ADVISORY  WRITE 14 fe:00:77 0 EOF\n";
        assert_eq!(holder_in_table(table, 0xfe, 0, 77), Some(14));
        assert_eq!(holder_in_table(table, 0xfe, 0, 78), None);
    }

    #[test]
    fn the_holder_of_an_fcntl_lock_is_found() {
        use std::io::BufRead;
        use std::process::{Command, Stdio};
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("lock"), "").unwrap();
        let host = RealHost::new(dir.path().into());
        assert_eq!(host.lock_holder(Path::new("/none")).unwrap(), None);
        assert_eq!(host.lock_holder(Path::new("/lock")).unwrap(), None);
        let script = "import fcntl,sys; f=open(sys.argv[1],'w'); fcntl.lockf(f, fcntl.LOCK_EX)\nprint('held', flush=True); sys.stdin.read()";
        let spawned = Command::new("python3")
            .args(["-c", script, &dir.path().join("lock").to_string_lossy()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = spawned else {
            eprintln!("skipped: needs python3 to hold an fcntl lock in another process");
            return;
        };
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(host.lock_holder(Path::new("/lock")).unwrap(), Some(child.id()));
        let Err(Error::Locked { holder, .. }) = host.lock_fcntl(Path::new("/lock")) else { panic!("locked twice") };
        assert_eq!(holder, format!("process {}", child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(host.lock_holder(Path::new("/lock")).unwrap(), None);
    }

    #[test]
    fn an_fcntl_lock_that_is_held_keeps_others_out_also_when_it_was_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let (host, lock) = (RealHost::new(dir.path().into()), Path::new("/lock"));
        let guard = host.lock_fcntl(lock).unwrap();
        // A lock of fcntl(2)'s older kind would be gone after this: the process opens the file, and closes it.
        host.lock_holder(lock).unwrap();
        let file = std::fs::File::options().write(true).open(dir.path().join("lock")).unwrap();
        assert_eq!(fcntl(&file, FcntlArg::F_SETLK(&whole_file())), Err(Errno::EAGAIN));
        assert!(matches!(host.lock_fcntl(lock), Err(Error::Locked { .. })));
        drop(guard);
        fcntl(&file, FcntlArg::F_SETLK(&whole_file())).unwrap();
    }
}
