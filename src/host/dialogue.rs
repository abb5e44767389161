//! A question to a service that listens at a Unix socket, and what it answers: far cheaper than the service's own client,
//! and never for longer than a moment.

use memchr::memmem;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest answer: what systemd tells of a hundred units.
const MOST: usize = 1 << 20;

/// Asks the service at `path`; what it answers up to `until`.
pub(super) fn ask(path: &Path, question: &[u8], until: &[u8]) -> io::Result<Vec<u8>> {
    if until.is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let deadline = Instant::now() + PATIENCE;
    // A service that accepts nobody any more must not make us wait (connect(2): EAGAIN).
    let kind = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, kind, None)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    let mut service = UnixStream::from(fd);
    service.set_nonblocking(false)?;
    service.set_write_timeout(Some(PATIENCE))?;
    service.write_all(question)?;
    let mut answer = Vec::new();
    let mut part = vec![0; 32 << 10];
    loop {
        let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        service.set_read_timeout(Some(left.ok_or(Errno::ETIMEDOUT)?))?;
        let count = match service.read(&mut part) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
            other => other?,
        };
        // The end may have begun in the part before.
        let fresh = answer.len().saturating_sub(until.len());
        answer.extend_from_slice(part.get(..count).unwrap_or_default());
        if let Some(end) = memmem::find(answer.get(fresh..).unwrap_or_default(), until) {
            answer.truncate(fresh + end);
            return Ok(answer);
        }
        if answer.len() > MOST {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MOST;
    use crate::host::{Host, RealHost};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    /// What a service that says this, piece by piece, is heard to say; and what it was asked.
    fn said(pieces: &'static [&'static [u8]]) -> (Option<Vec<u8>>, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("sock")).unwrap();
        let service = std::thread::spawn(move || {
            let (mut caller, _) = listener.accept().unwrap();
            let mut asked = [0; 5];
            caller.read_exact(&mut asked).unwrap();
            for piece in pieces {
                // Who has heard enough hangs up.
                let _ = caller.write_all(piece);
            }
            asked.to_vec()
        });
        let host = RealHost::new(dir.path().into());
        let answer = host.ask(Path::new("/sock"), b"ping?", b"END").ok();
        (answer, service.join().unwrap())
    }

    #[test]
    fn an_answer_is_what_comes_before_its_end_and_one_without_an_end_is_none() {
        assert_eq!(said(&[b"one E", b"ND two"]), (Some(b"one ".to_vec()), b"ping?".to_vec()));
        assert_eq!(said(&[b"END"]).0, Some(Vec::new()));
        assert_eq!(said(&[b"one EN"]).0, None);
        assert_eq!(said(&[]).0, None);
        assert!(RealHost::new("/".into()).ask(Path::new("/sock"), b"x", b"").is_err(), "an answer must have an end");
        const LONG: &[u8] = &[b'x'; MOST + 100_000];
        assert_eq!(said(&[LONG, b"END"]).0, None);
    }

    #[test]
    fn where_nobody_listens_or_nobody_answers_there_is_no_answer() {
        let dir = tempfile::tempdir().unwrap();
        let host = RealHost::new(dir.path().into());
        assert!(host.ask(Path::new("/sock"), b"x", b"END").is_err());
        drop(UnixListener::bind(dir.path().join("sock")).unwrap());
        assert!(host.ask(Path::new("/sock"), b"x", b"END").is_err(), "left by one that ended");
        std::fs::remove_file(dir.path().join("sock")).unwrap();
        let _silent = UnixListener::bind(dir.path().join("sock")).unwrap();
        assert!(host.ask(Path::new("/sock"), b"x", b"END").is_err(), "it accepts nobody");
    }
}
