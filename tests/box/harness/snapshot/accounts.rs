//! Users, groups and their secrets' fields, each by itself: the order of lines in the files doesn't count.

use super::{Attributes, Snapshot};
use crate::harness::Trouble;
use std::fs;
use std::path::Path;

/// A database, the kind its lines are noted as, and its fields after the name.
const DATABASES: &[(&str, &str, &[&str])] = &[
    ("passwd", "user", &["password", "uid", "gid", "gecos", "home", "shell"]),
    ("group", "group", &["password", "gid", "members"]),
    ("shadow", "shadow", &["password", "changed", "minimum", "maximum", "warning", "inactive", "expires", "reserved"]),
    ("gshadow", "gshadow", &["password", "administrators", "members"]),
    ("subuid", "subuid", &["first", "count"]),
    ("subgid", "subgid", &["first", "count"]),
];

pub fn read(disk: &Path, snapshot: &mut Snapshot) -> Result<(), Trouble> {
    for (file, kind, fields) in DATABASES {
        let Ok(text) = fs::read_to_string(disk.join("etc").join(file)) else {
            continue;
        };
        let entries = snapshot.0.entry((*kind).to_owned()).or_default();
        for line in text.lines() {
            let mut values = line.split(':');
            let name = values.next().unwrap_or_default().to_owned();
            let attributes: Attributes =
                fields.iter().zip(values).map(|(field, value)| ((*field).to_owned(), value.to_owned())).collect();
            entries.insert(name, attributes);
        }
    }
    // Users whose services run without a login.
    for entry in fs::read_dir(disk.join("var/lib/systemd/linger")).into_iter().flatten().flatten() {
        snapshot.note("linger", entry.file_name().to_string_lossy(), []);
    }
    Ok(())
}
