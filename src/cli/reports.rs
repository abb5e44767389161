//! The reports that installs leave beside the logs: a document for programs and a page for a browser.

use super::render::page::page;
use super::session::Session;
use crate::base::ids::TransactionId;
use crate::base::paths;
use crate::host::{self, Attributes, Host};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The reports of so many installs are kept.
const KEPT: usize = 30;
/// The endings of their names: the page, the document.
const ENDINGS: [&str; 2] = ["html", "json"];

fn path(tx: i64, ending: &str) -> PathBuf {
    Path::new(paths::LOG).join(format!("install-{tx}.{ending}"))
}

/// Keeps the result of an install, which learns where. That it can't be kept changes nothing for the host: why is
/// returned, and told.
pub fn keep(session: &Session<'_>, tx: TransactionId, value: &mut Value) -> Result<(), String> {
    let html = path(tx.0, ENDINGS[0]);
    value["report"] = Value::Null;
    let kept = write(session.host, &html, &page(value)).and_then(|()| {
        value["report"] = html.to_string_lossy().into();
        let text = format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default());
        write(session.host, &path(tx.0, ENDINGS[1]), &text)
    });
    kept.and_then(|()| rotate(session.host)).map_err(|error| {
        tracing::warn!("the report was not kept: {error}");
        error.to_string()
    })
}

/// Those of a transaction that are there.
pub fn of(host: &dyn Host, tx: TransactionId) -> Vec<String> {
    let there =
        ENDINGS.into_iter().map(|ending| path(tx.0, ending)).filter(|path| matches!(host.meta(path), Ok(Some(_))));
    there.map(|path| path.to_string_lossy().into_owned()).collect()
}

fn write(host: &dyn Host, path: &Path, text: &str) -> host::Result<()> {
    let dir = Path::new(paths::LOG);
    if host.meta(dir)?.is_none() {
        host.make_directory(dir, &Attributes::root(0o750))?;
    }
    host.write(path, text.as_bytes(), &Attributes::root(0o640))
}

/// Removes the oldest ones.
fn rotate(host: &dyn Host) -> host::Result<()> {
    let number = |name: &str| -> Option<i64> {
        let (number, ending) = name.strip_prefix("install-")?.split_once('.')?;
        ENDINGS.contains(&ending).then(|| number.parse().ok()).flatten()
    };
    let names = host.list(Path::new(paths::LOG))?;
    let mut numbers: Vec<i64> = names.iter().filter_map(|name| number(name.to_str()?)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    for tx in numbers.iter().rev().skip(KEPT) {
        for ending in ENDINGS {
            host.remove(&path(*tx, ending))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;

    #[test]
    fn the_reports_of_the_newest_installs_are_kept_and_nothing_else_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("var/log/vps-configurator");
        std::fs::create_dir_all(&log).unwrap();
        let others = ["apt-failed.log", "install-x.json", "install-1.txt"];
        others.iter().for_each(|name| std::fs::write(log.join(name), "x").unwrap());
        for tx in 1..=40 {
            std::fs::write(log.join(format!("install-{tx}.json")), "x").unwrap();
            std::fs::write(log.join(format!("install-{tx}.html")), "x").unwrap();
        }
        let host = RealHost::new(dir.path().into());
        rotate(&host).unwrap();
        let is_there = |name: &str| log.join(name).exists();
        assert!(others.iter().all(|name| is_there(name)));
        assert!(!is_there("install-10.json") && !is_there("install-10.html"));
        assert!(is_there("install-11.json") && is_there("install-40.html"));
        assert_eq!(of(&host, TransactionId(11)).len(), 2);
        assert!(of(&host, TransactionId(10)).is_empty());
    }
}
