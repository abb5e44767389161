//! Values that the kernel holds beside the files that set them at boot: read in `/proc` and `/sys`.

use crate::engine::Result;
use crate::host::{Error, Host};
use std::io::ErrorKind;
use std::path::Path;

/// The value in the file at `path`, runs of blanks made one; `None` when there is no such file.
pub fn value(host: &dyn Host, path: &Path) -> Result<Option<String>> {
    match host.read(path) {
        Ok(text) => Ok(Some(one_line(&String::from_utf8_lossy(&text)))),
        // No regular file.
        Err(Error::Unexpected { .. }) => Ok(None),
        Err(Error::Io { source, .. }) if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// `text` with every run of blanks made one space, none at the ends: `4096\t87380\t6291456\n` and
/// `4096 87380 6291456` are the same value.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
