//! `cache stats|list|clear`: the packages that apt keeps, and that an install without a network takes.

use super::Outcome;
use crate::base::count::counted;
use crate::base::size::bytes;
use crate::cli::args::Cache;
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::render::{table::Table, time};
use crate::cli::session::Session;
use crate::cli::setup::settings;
use crate::resources::package::cache::{self, ARCHIVES, Cached, Verdict};
use serde_json::{Value, json};

/// Runs one of them.
pub fn run(session: &Session<'_>, verb: &Cache) -> Outcome {
    session.require_root()?;
    match verb {
        Cache::Stats => stats(session),
        Cache::List { verify } => list(session, *verify),
        Cache::Clear { dry_run } => clear(session, *dry_run),
    }
}

fn stats(session: &Session<'_>) -> Outcome {
    let limit = settings(session)?.cache_limit;
    let files = cache::list(session.host)?;
    let total = total(&files);
    let installed = files.iter().filter(|file| file.is_installed).count();
    let used = files.iter().map(|file| file.used);
    let (first, last) = (used.clone().min(), used.max());
    if session.output.is_json() {
        session.output.value(&json!({
            "directory": ARCHIVES, "packages": files.len(), "bytes": total, "limit_bytes": limit,
            "installed": installed, "used_first": first.map(rfc3339), "used_last": last.map(rfc3339),
        }));
        return Ok(Exit::Done);
    }
    let limit = limit.map_or("none".to_owned(), bytes);
    let mut text = format!("directory  {ARCHIVES}\npackages   {}, {} of them installed\n", files.len(), installed);
    text.push_str(&format!("size       {}\nlimit      {limit} (cache.limit), held after each install\n", bytes(total)));
    if let (Some(first), Some(last)) = (first, last) {
        text.push_str(&format!("last used  from {} to {}\n", minute(first), minute(last)));
    }
    session.output.text(&text);
    Ok(Exit::Done)
}

fn list(session: &Session<'_>, verify: bool) -> Outcome {
    let files = cache::list(session.host)?;
    let verdicts = if verify { cache::verify(session.host, &files)? } else { Vec::new() };
    let verdict = |index: usize| verdicts.get(index).map(|verdict| verdict.word());
    let exit = if verdicts.contains(&Verdict::Damaged) { Exit::Findings } else { Exit::Done };
    if session.output.is_json() {
        let file = |(index, file): (usize, &Cached)| {
            json!({
                "package": file.key.name, "version": file.key.version, "architecture": file.key.architecture,
                "bytes": file.size, "used": rfc3339(file.used), "installed": file.is_installed, "path": file.path,
                "state": verdict(index),
            })
        };
        let files: Vec<Value> = files.iter().enumerate().map(file).collect();
        session.output.value(&json!({"status": exit.word(), "packages": files}));
        return Ok(exit);
    }
    if files.is_empty() {
        session.output.text("apt's cache has no packages; fill it: vps-configurator install --download-only\n");
        return Ok(exit);
    }
    let mut table = Table::new(&["USED", "SIZE", "STATE", "PACKAGE"]);
    for (index, file) in files.iter().enumerate() {
        let state = verdict(index).unwrap_or(if file.is_installed { "installed" } else { "" });
        let package = format!("{} {} {}", file.key.name, file.key.version, file.key.architecture);
        table.row([minute(file.used), bytes(file.size), state.to_owned(), package]);
    }
    session.output.text(&table.text());
    Ok(exit)
}

fn clear(session: &Session<'_>, dry_run: bool) -> Outcome {
    let gone = if dry_run {
        cache::list(session.host)?
    } else {
        let _lock = session.lock()?;
        let held = || {
            let why = format!("another program holds {ARCHIVES}/lock");
            Problem::new(Exit::Failed, "apt-lock-held", "cannot clear apt's cache", why)
                .fix("wait until it is done, then run this again")
        };
        cache::trim(session.host, 0)?.ok_or_else(held)?
    };
    let size = bytes(total(&gone));
    if session.output.is_json() {
        let paths: Vec<_> = gone.iter().map(|file| &file.path).collect();
        session.output.value(&json!({"packages": gone.len(), "bytes": total(&gone), "paths": paths}));
    } else {
        let word = if dry_run { "Would remove" } else { "Removed" };
        session.output.text(&format!("{word} {}, {size}, from {ARCHIVES}.\n", counted(gone.len(), "package")));
    }
    Ok(Exit::Done)
}

fn total(files: &[Cached]) -> u64 {
    files.iter().map(|file| file.size).sum()
}

fn nanoseconds(at: i128) -> i64 {
    i64::try_from(at).unwrap_or_default()
}

fn minute(at: i128) -> String {
    time::minute(nanoseconds(at))
}

fn rfc3339(at: i128) -> String {
    time::rfc3339(nanoseconds(at))
}
