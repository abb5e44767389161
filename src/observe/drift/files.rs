//! Files, and the files in directories: content, owner and mode.

use super::{Item, Items};
use crate::engine::Result;
use crate::host::{Host, Kind};
use crate::resources::owner;
use std::path::{Path, PathBuf};

/// What is at each of `paths`; of a directory, what lies in it, not deeper.
pub(super) fn look(host: &dyn Host, paths: &[PathBuf]) -> Result<Items> {
    let mut items = Items::new();
    for path in paths {
        if host.meta(path)?.is_some_and(|meta| meta.kind == Kind::Directory) {
            for name in host.list(path)? {
                add(host, &path.join(name), &mut items)?;
            }
        } else {
            add(host, path, &mut items)?;
        }
    }
    Ok(items)
}

fn add(host: &dyn Host, path: &Path, items: &mut Items) -> Result<()> {
    let Some(meta) = host.meta(path)? else { return Ok(()) };
    let (what, content) = match &meta.kind {
        Kind::File => (format!("{} bytes", meta.size), host.digest(path)?.to_string()),
        Kind::Link(target) => (format!("a link to {}", target.display()), String::new()),
        Kind::Directory => ("a directory".to_owned(), String::new()),
        Kind::Other => ("no plain file".to_owned(), String::new()),
    };
    let (user, group) = owner::names(host, &meta.attributes)?;
    let text = format!("{what}, mode {:04o}, owner {user}:{group}", meta.attributes.mode);
    let value = format!("{text} {content}");
    items.insert(path.to_string_lossy().into_owned(), Item { value, text, place: Some(path.to_owned()) });
    Ok(())
}
