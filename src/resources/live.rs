//! Values that the kernel holds beside the files that set them at boot: read in `/proc` and `/sys`.

use crate::engine::Result;
use crate::host::{Host, Kind};
use std::path::Path;

/// The value in the file at `path`, runs of blanks made one; `None` when there is no such file.
pub fn value(host: &dyn Host, path: &Path) -> Result<Option<String>> {
    match host.meta(path)? {
        Some(meta) if meta.kind == Kind::File => Ok(Some(one_line(&String::from_utf8_lossy(&host.read(path)?)))),
        _ => Ok(None),
    }
}

/// `text` with every run of blanks made one space, none at the ends: `4096\t87380\t6291456\n` and
/// `4096 87380 6291456` are the same value.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
