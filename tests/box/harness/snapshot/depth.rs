//! What only a lost disk cache can change: `data`, the size of every file of packages and programs (a file whose content
//! was lost is empty or short), and `damage`, what dpkg, SQLite and the digests of our own pre-images find wrong.

use super::{Snapshot, Subject};
use crate::harness::Trouble;
use crate::harness::record::hex;
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const FOLDERS: &[&str] = &["usr", "boot", "var/lib"];

const STATE: &str = "var/lib/vps-configurator";

pub fn read(subject: &Subject<'_>, snapshot: &mut Snapshot) -> Result<(), Trouble> {
    let disk = subject.disk();
    for folder in FOLDERS {
        sizes(&disk, &disk.join(folder), snapshot)?;
    }
    let mut found = Vec::new();
    for question in ["--audit", "--verify"] {
        let output = subject.run(&["env", "LC_ALL=C", "dpkg", question])?;
        let said = output.stdout.lines().chain(output.stderr.lines());
        found.extend(said.map(|line| format!("dpkg {question}: {}", line.trim())));
    }
    let journal = disk.join(STATE).join("journal.db");
    if journal.exists() {
        found.extend(journal_damage(&journal).map_err(|error| format!("{}: {error}", journal.display()))?);
    }
    objects(&disk.join(STATE).join("objects"), &mut found)?;
    found.into_iter().for_each(|line| snapshot.note("damage", line, []));
    Ok(())
}

fn sizes(disk: &Path, folder: &Path, snapshot: &mut Snapshot) -> Result<(), Trouble> {
    let trouble = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(trouble)? {
        let path = entry.map_err(trouble)?.path();
        let Ok(about) = fs::symlink_metadata(&path) else {
            continue;
        };
        let size = match about.file_type() {
            kind if kind.is_dir() => "folder".to_owned(),
            kind if kind.is_file() => about.size().to_string(),
            _ => "special".to_owned(),
        };
        let inside = Path::new("/").join(path.strip_prefix(disk).map_err(|error| error.to_string())?);
        snapshot.note("data", inside.display().to_string(), [("size", size)]);
        if about.is_dir() {
            sizes(disk, &path, snapshot)?;
        }
    }
    Ok(())
}

/// Not empty, and sound by SQLite's own check.
fn journal_damage(path: &Path) -> rusqlite::Result<Vec<String>> {
    let journal = rusqlite::Connection::open(path)?;
    journal.busy_timeout(std::time::Duration::from_secs(60))?;
    let mut check = journal.prepare("PRAGMA integrity_check")?;
    let lines = check.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    let tables: i64 = journal.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let mut found: Vec<String> =
        lines.into_iter().filter(|line| line != "ok").map(|line| format!("journal.db: {line}")).collect();
    if tables == 0 {
        found.push("journal.db: it has no tables".into());
    }
    Ok(found)
}

/// Each pre-image is named by the SHA-256 of its content. One that was being written has another name.
fn objects(folder: &Path, found: &mut Vec<String>) -> Result<(), Trouble> {
    for head in fs::read_dir(folder).into_iter().flatten().flatten() {
        for tail in fs::read_dir(head.path()).into_iter().flatten().flatten() {
            let name = format!("{}{}", head.file_name().display(), tail.file_name().display());
            if tail.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = tail.path();
            let content = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            if hex(&Sha256::digest(&content)) != name {
                found.push(format!("pre-image {name}: {} bytes of something else", content.len()));
            }
        }
    }
    Ok(())
}
