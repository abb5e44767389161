//! The store of pre-images: files named by the SHA-256 of their content, fsynced before anything relies on them.

use super::{Error, Result, Watch, Write as Coming};
use crate::base::digest::Digest;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where files lie until they are whole.
const UNFINISHED: &str = "unfinished";

/// The store. It lies in our own state directory, so it uses the file system directly, not the managed host.
#[derive(Debug)]
pub struct Objects {
    dir: PathBuf,
    watch: Option<Arc<dyn Watch>>,
}

impl Objects {
    /// The store in `dir`, which is made (0700) when something is first put.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Objects { dir: dir.into(), watch: None }
    }

    /// The same store, with somebody who sees its writes coming.
    pub(super) fn watched(self, watch: Option<Arc<dyn Watch>>) -> Self {
        Objects { watch, ..self }
    }

    /// Keeps `content`; when this returns, it is on the disk. The same content is kept once; one that is there and
    /// damaged is written anew.
    pub fn put(&self, content: &[u8]) -> Result<Digest> {
        let digest = Digest::of(content);
        let path = self.path(&digest);
        let parent = path.parent().unwrap_or(&self.dir);
        if self.get(&digest).is_ok() {
            // Whoever renamed it, another thread or a run that was killed, may not have come to this.
            File::open(parent)?.sync_all()?;
            return Ok(digest);
        }
        make_private(parent)?;
        let unfinished = self.dir.join(UNFINISHED);
        make_private(&unfinished)?;
        let beside = unfinished.join(format!("{}.{:?}", digest.short(), std::thread::current().id()));
        if let Some(watch) = &self.watch {
            watch.before(Coming::Object { beside: &beside, content })?;
        }
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        File::open(parent)?.sync_all()?;
        Ok(digest)
    }

    /// Removes what a run that was killed had not finished to write. Only for whoever holds the lock of changing runs.
    pub(super) fn sweep(&self) -> Result<()> {
        let entries = match fs::read_dir(self.dir.join(UNFINISHED)) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }

    /// The content of `digest`, checked against its name.
    pub fn get(&self, digest: &Digest) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        File::open(self.path(digest)).map_err(|_| Error::Damaged(digest.to_string()))?.read_to_end(&mut content)?;
        if Digest::of(&content) != *digest {
            return Err(Error::Damaged(digest.to_string()));
        }
        Ok(content)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let (head, tail) = digest.as_str().split_at(2);
        self.dir.join(head).join(tail)
    }
}

/// Makes a directory and its missing parents, mode 0700, synced into their parents.
fn make_private(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        make_private(parent)?;
        match std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).create(dir) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e.into()),
            _ => File::open(parent)?.sync_all()?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_comes_back_and_damage_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let store = Objects::new(dir.path().join("objects"));
        let digest = store.put(b"before").unwrap();
        assert_eq!(store.put(b"before").unwrap(), digest);
        assert_eq!(store.get(&digest).unwrap(), b"before");
        fs::write(store.path(&digest), b"after!").unwrap();
        assert!(matches!(store.get(&digest), Err(Error::Damaged(_))));
    }

    #[test]
    fn what_is_there_and_damaged_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let store = Objects::new(dir.path().join("objects"));
        let digest = store.put(b"before").unwrap();
        fs::write(store.path(&digest), b"after!").unwrap();
        assert_eq!(store.put(b"before").unwrap(), digest);
        assert_eq!(store.get(&digest).unwrap(), b"before");
    }

    #[test]
    fn what_a_killed_run_did_not_finish_is_swept_away() {
        let dir = tempfile::tempdir().unwrap();
        let store = Objects::new(dir.path().join("objects"));
        store.sweep().unwrap();
        let digest = store.put(b"whole").unwrap();
        fs::write(dir.path().join("objects/unfinished/half"), b"ha").unwrap();
        store.sweep().unwrap();
        assert_eq!(fs::read_dir(dir.path().join("objects/unfinished")).unwrap().count(), 0);
        assert_eq!(store.get(&digest).unwrap(), b"whole");
    }
}
