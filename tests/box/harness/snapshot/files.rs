//! Every path under the folders an administrator, or we on their behalf, write to.

use super::{Attributes, Snapshot};
use crate::harness::Trouble;
use crate::harness::record::hex;
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

const FOLDERS: &[&str] = &["etc", "usr/local", "opt", "root", "home", "var/spool/cron"];

pub fn read(disk: &Path, snapshot: &mut Snapshot) -> Result<(), Trouble> {
    let files = snapshot.0.entry("file".into()).or_default();
    let mut waiting: Vec<_> = FOLDERS.iter().map(|folder| disk.join(folder)).collect();
    while let Some(path) = waiting.pop() {
        let about = match fs::symlink_metadata(&path) {
            Ok(about) => about,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
        };
        if about.is_dir() {
            let entries = fs::read_dir(&path).map_err(|error| format!("cannot list {}: {error}", path.display()))?;
            waiting.extend(entries.flatten().map(|entry| entry.path()));
        }
        let inside = path.strip_prefix(disk).map_err(|error| error.to_string())?;
        // A name that isn't UTF-8 keeps its bytes visible.
        let name = format!("/{}", inside.as_os_str().as_encoded_bytes().escape_ascii());
        files.insert(name, attributes(&path, &about)?);
    }
    Ok(())
}

fn attributes(path: &Path, about: &fs::Metadata) -> Result<Attributes, Trouble> {
    let trouble = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let kind = about.file_type();
    let mut found = Attributes::from([
        ("mode".to_owned(), format!("{:04o}", about.mode() & 0o7777)),
        ("owner".to_owned(), format!("{}:{}", about.uid(), about.gid())),
    ]);
    let mut note = |name: String, value: String| found.insert(name, value);
    if kind.is_symlink() {
        note("type".into(), "link".into());
        note("target".into(), fs::read_link(path).map_err(trouble)?.display().to_string());
    } else if kind.is_file() {
        note("type".into(), "file".into());
        note("content".into(), digest(&fs::read(path).map_err(trouble)?));
    } else if kind.is_dir() {
        note("type".into(), "folder".into());
    } else if kind.is_block_device() || kind.is_char_device() {
        note("type".into(), format!("device {:x}", about.rdev()));
    } else {
        note("type".into(), "socket or pipe".into());
    }
    for name in xattr::list(path).map_err(trouble)? {
        let value = xattr::get(path, &name).map_err(trouble)?.unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        if name == "security.capability" {
            note("capabilities".into(), capabilities(&value));
        } else {
            note(format!("xattr {name}"), value.escape_ascii().to_string());
        }
    }
    Ok(found)
}

fn digest(bytes: &[u8]) -> String {
    format!("{} bytes sha256 {}", bytes.len(), hex(&Sha256::digest(bytes)))
}

/// struct vfs_cap_data: a word of version and flags, then permitted and inheritable, the low words first.
fn capabilities(value: &[u8]) -> String {
    let word = |at: usize| -> u32 {
        value.get(at * 4..at * 4 + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
    };
    let permitted = u64::from(word(3)) << 32 | u64::from(word(1));
    let inheritable = u64::from(word(4)) << 32 | u64::from(word(2));
    let effective = if word(0) & 1 == 1 { " effective" } else { "" };
    format!("permitted {permitted:#x} inheritable {inheritable:#x}{effective}")
}
