//! What this binary does in the guest: it looks at the machine that it runs on, and prints what it sees.
//!
//! Beside the state that `tests/box` measures, two kinds of things that only a lost disk cache can change:
//! `data`, the size of every file of packages and programs (a file whose content was lost is empty or short), and
//! `damage`, what dpkg, SQLite and our own store of pre-images find wrong.

use crate::harness::exec::output_of;
use crate::harness::record::hex;
use crate::harness::snapshot::{Attributes, Subject};
use crate::harness::{Snapshot, Trouble};
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const STATE: &str = "/var/lib/vps-configurator";

/// Runs a verb, if the words are one for the inside of a guest.
pub fn run(words: &[String]) -> Option<Result<(), Trouble>> {
    match words {
        [verb] if verb == "snapshot" => Some(snapshot()),
        _ => None,
    }
}

fn snapshot() -> Result<(), Trouble> {
    let mut snapshot = Snapshot::of(&Subject::Here)?;
    for folder in ["/usr", "/boot", "/var/lib"] {
        sizes(Path::new(folder), &mut snapshot)?;
    }
    for line in damage()? {
        snapshot.0.entry("damage".into()).or_default().insert(line, Attributes::new());
    }
    println!("{}", serde_json::to_string(&snapshot).map_err(|error| error.to_string())?);
    Ok(())
}

fn sizes(folder: &Path, snapshot: &mut Snapshot) -> Result<(), Trouble> {
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
        let things = snapshot.0.entry("data".into()).or_default();
        things.insert(path.display().to_string(), [("size".to_owned(), size)].into());
        if about.is_dir() {
            sizes(&path, snapshot)?;
        }
    }
    Ok(())
}

/// A line for each thing that is wrong.
fn damage() -> Result<Vec<String>, Trouble> {
    let mut found = Vec::new();
    for question in ["--audit", "--verify"] {
        let mut dpkg = Command::new("dpkg");
        dpkg.arg(question).env("LC_ALL", "C");
        let output = output_of(dpkg, b"", Duration::from_secs(3600))?;
        let said = output.stdout.lines().chain(output.stderr.lines());
        found.extend(said.map(|line| format!("dpkg {question}: {}", line.trim())));
    }
    let journal = Path::new(STATE).join("journal.db");
    if journal.exists() {
        found.extend(journal_damage(&journal).map_err(|error| format!("{}: {error}", journal.display()))?);
    }
    objects(&Path::new(STATE).join("objects"), &mut found)?;
    Ok(found)
}

/// Not empty, and sound by SQLite's own check.
fn journal_damage(path: &Path) -> rusqlite::Result<Vec<String>> {
    let journal = rusqlite::Connection::open(path)?;
    journal.busy_timeout(Duration::from_secs(60))?;
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
