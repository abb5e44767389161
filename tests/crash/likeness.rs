//! What a host is like, but for times: two that are alike go on alike, and only one of them needs to be recovered from.

use crate::ground::STATE;
use rusqlite::{Connection, OpenFlags, types::ValueRef};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use vps_configurator::base::digest::Digest;

/// What no run looks at, with its reason.
const ASIDE: &[&str] = &[
    "/run/vps-configurator/lock",        // whose lock it was
    "/run/vps-configurator/view-",       // a view of a program that runs
    "/var/lib/vps-configurator/ballast", // room that nobody reads
    "/run/vps-calls",                    // the calls that simulated programs note
    "/run/apt.calls",                    // the same
    "/run/vps-boot",                     // the same
    "/var/log/vps-configurator",         // reports
    "/usr/sbin/",                        // the simulated programs
    "/usr/share/",                       // what packages ship
    "/usr/lib/apt/",                     // the same
    "/var/lib/fake-repo/",               // the archive is not the host
];

/// The tables of the journal.
const TABLES: [&str; 6] = ["transactions", "steps", "undos", "debts", "baselines", "confirmations"];

/// The digest of everything on the disk below `root` that a run goes by, but for times.
pub fn likeness(root: &Path) -> Digest {
    let mut all = BTreeMap::new();
    walk(root, root, &mut all);
    let mut text: String = all.into_iter().map(|(path, what)| format!("{path} {what}\n")).collect();
    let journal = root.join(format!("{}/journal.db", STATE.trim_start_matches('/')));
    if journal.exists() {
        write!(text, "{}", rows(&journal)).unwrap();
    }
    Digest::of(without_times(&text).as_bytes())
}

fn walk(root: &Path, dir: &Path, all: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("/{}", path.strip_prefix(root).unwrap().display());
        if ASIDE.iter().any(|aside| name.starts_with(aside)) && name != "/usr/sbin/policy-rc.d"
            || name.starts_with(&format!("{STATE}/journal.db"))
        {
            continue;
        }
        let meta = fs::symlink_metadata(&path).unwrap();
        let mut what = format!("{:o} {}:{} ", meta.mode(), meta.uid(), meta.gid());
        if meta.is_symlink() {
            write!(what, "{:?}", fs::read_link(&path).unwrap()).unwrap();
        } else if meta.is_dir() {
            walk(root, &path, all);
        } else if !name.starts_with("/run/fake-systemd/active/") {
            // Those say since when a unit runs.
            what.push_str(&String::from_utf8_lossy(&fs::read(&path).unwrap()));
        }
        for attribute in xattr::list(&path).unwrap() {
            write!(what, " {attribute:?}={:?}", xattr::get(&path, &attribute).unwrap()).unwrap();
        }
        all.insert(name, what);
    }
}

/// Every row of the journal.
fn rows(journal: &Path) -> String {
    let connection = Connection::open_with_flags(journal, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut text = String::new();
    for table in TABLES {
        let Ok(mut query) = connection.prepare(&format!("SELECT * FROM {table} ORDER BY rowid")) else { continue };
        let columns = query.column_count();
        let mut rows = query.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                match row.get_ref(column).unwrap() {
                    ValueRef::Text(value) => text.push_str(&String::from_utf8_lossy(value)),
                    ValueRef::Integer(value) => write!(text, "{value}").unwrap(),
                    other => write!(text, "{other:?}").unwrap(),
                }
                text.push('\t');
            }
            writeln!(text, "{table}").unwrap();
        }
    }
    text
}

/// `text` with `T` in place of each number that counts nanoseconds.
fn without_times(text: &str) -> String {
    let (mut out, mut digits) = (String::with_capacity(text.len()), String::new());
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        out.push_str(if digits.len() > 15 { "T" } else { &digits });
        digits.clear();
        out.push(c);
    }
    out
}
