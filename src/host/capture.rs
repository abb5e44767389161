//! What a program wrote to one of its streams, within bounds: a program that writes without end must not take the memory.

use nix::errno::Errno;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

/// How much of each stream is kept: half from its start, half from its end.
pub(super) const KEPT: usize = 4 << 20;

/// One captured stream: its start and its end, with a line between that says how much is left out.
#[derive(Debug)]
pub(super) struct Capture {
    /// Where it is read from; `None` once it ended.
    pub fd: Option<OwnedFd>,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: usize,
}

impl Capture {
    /// A stream to read.
    pub fn new(fd: Option<OwnedFd>) -> Self {
        Capture { fd, head: Vec::new(), tail: VecDeque::new(), left_out: 0 }
    }

    /// Whether it ended.
    pub fn is_done(&self) -> bool {
        self.fd.is_none()
    }

    /// Takes what is there now.
    pub fn read(&mut self) -> io::Result<()> {
        let Some(fd) = &self.fd else { return Ok(()) };
        let mut buffer = [0; 65536];
        match nix::unistd::read(fd, &mut buffer) {
            Ok(0) => self.fd = None,
            Ok(n) => self.keep(buffer.get(..n).unwrap_or_default()),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(KEPT / 2 - self.head.len()));
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(KEPT / 2);
        self.tail.drain(..over);
        self.left_out += over;
    }

    /// What was kept, in one piece.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.head);
        if self.left_out > 0 {
            all.extend_from_slice(format!("\n[... {} bytes left out ...]\n", self.left_out).as_bytes());
        }
        all.extend(std::mem::take(&mut self.tail));
        all
    }
}
