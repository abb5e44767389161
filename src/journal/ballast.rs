//! Room that is kept for the way back: a file of no use, which goes when the disk is full, so that what must be taken back
//! can be written down and done.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Bytes: enough for the journal of a large rollback (SQLite's write-ahead log grows to 4 MiB before it is folded in) and
/// for files of `/etc`.
const SIZE: u64 = 8 * 1024 * 1024;
/// It is made only where this many times its size is free.
const PLENTY: u64 = 16;

fn place(state: &Path) -> PathBuf {
    state.join("ballast")
}

/// Bytes that root can still write there; nothing when that can't be told.
fn available(state: &Path) -> u64 {
    nix::sys::statvfs::statvfs(state).map_or(0, |vfs| vfs.blocks_free() * vfs.fragment_size())
}

/// Keeps the room, where there is plenty. Without it everything goes on all the same.
pub(super) fn keep(state: &Path) {
    let path = place(state);
    let found = fs::metadata(&path).map(|meta| meta.len());
    if matches!(found, Ok(SIZE)) || available(state) < PLENTY * SIZE {
        return;
    }
    // One that a crash cut off while it was made.
    if found.is_ok() && fs::remove_file(&path).is_err() {
        return;
    }
    let made =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).is_ok_and(|file| {
            i64::try_from(SIZE).is_ok_and(|size| nix::fcntl::posix_fallocate(&file, 0, size).is_ok())
        });
    if !made {
        // A smaller one is worse than none: it takes room and gives too little.
        let _ = fs::remove_file(&path);
    }
}

/// Gives the room up, when there is none left beside it.
pub(super) fn give_up(state: &Path) {
    if available(state) < SIZE {
        let _ = fs::remove_file(place(state));
    }
}
