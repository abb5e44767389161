//! A layer names only what stands below it; folders of the same rank don't know each other.

use super::sources::{Source, below};
use std::path::{Path, PathBuf};

/// From the top down. Names on one line are of the same rank.
const LAYERS: &[&[&str]] = &[
    &["cli"],
    &["access", "security", "observe"],
    &["profiles"],
    &["modules"],
    &["resources"],
    &["engine"],
    &["journal"],
    &["host"],
    &["base"],
];

fn rank(name: &str) -> Option<usize> {
    LAYERS.iter().position(|names| names.contains(&name))
}

/// The layer that a file belongs to: the folder under `src`.
fn layer(source: &Source) -> Option<String> {
    let mut parts = source.path.components().skip(1);
    let name = parts.next()?.as_os_str().to_str()?.trim_end_matches(".rs").to_owned();
    rank(&name).map(|_| name)
}

/// The lines of a file that name something above their own layer, or beside it.
fn breaches(source: &Source) -> Vec<String> {
    let Some(own) = layer(source) else { return Vec::new() };
    let mut found = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        let line = line.trim_start();
        if line.starts_with("//") {
            continue;
        }
        for name in names(line) {
            if name != own && rank(&name).is_some_and(|other| other <= rank(&own).unwrap_or(0)) {
                found.push(format!(
                    "{}:{}: {own} names {name}: move the shared thing down, or pass it in as an argument",
                    source.path.display(),
                    number + 1
                ));
            }
        }
    }
    found
}

/// The modules of the crate that a line names: `crate::host::...`, `crate::{host, journal}`.
fn names(line: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in line.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => names.push(rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("").to_owned()),
            Some(list) => {
                let mut depth = 0;
                let mut word = String::new();
                for c in list.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => names.push(std::mem::take(&mut word)),
                        _ if depth == 0 => word.push(c),
                        _ => {}
                    }
                }
                names.push(word);
            }
        }
    }
    names.into_iter().map(|name| name.trim().split("::").next().unwrap_or("").to_owned()).collect()
}

#[test]
fn no_layer_names_one_above_it_or_beside_it() {
    let found: Vec<String> = below("src", "rs").iter().flat_map(breaches).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_rule_itself_finds_a_breach() {
    let bad = |path: &str, text: &str| breaches(&Source { path: path.into(), text: text.into() }).len();
    assert_eq!(bad("src/host/real.rs", "use crate::engine::Plan;"), 1);
    assert_eq!(bad("src/security/cis/mod.rs", "use crate::access::user;"), 1);
    assert_eq!(bad("src/engine/plan.rs", "use crate::{host, journal, resources::file};"), 1);
    assert_eq!(bad("src/engine/plan.rs", "use crate::host::Host; use crate::base::ids;"), 0);
}

#[test]
fn the_machine_is_touched_in_the_host_layer_only() {
    // The journal lives in our own state directory; the command line reads and writes files that the person names.
    let allowed = ["src/host/", "src/journal/", "src/cli/", "src/main.rs", "src/apt-source/"];
    let forbidden = ["std::fs", "std::process::Command", "SystemTime::now", "std::env::", "println!", "eprintln!"];
    let sources = below("src", "rs");
    let tests: Vec<_> = sources.iter().flat_map(only_for_tests).collect();
    let mut found = Vec::new();
    for source in sources {
        let path = source.path.display().to_string();
        if allowed.iter().any(|start| path.starts_with(start)) || tests.contains(&source.path) {
            continue;
        }
        for (number, line) in source.code().lines().enumerate() {
            let line = line.trim_start();
            let cited = line.starts_with("//") || line.contains("env!(");
            if let (false, Some(what)) = (cited, forbidden.iter().find(|what| line.contains(**what))) {
                found.push(format!("{path}:{}: {what}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "these belong in src/host (or are handed in):\n{}", found.join("\n"));
}

/// The files that a file declares for tests only: `#[cfg(test)] mod bench;`.
fn only_for_tests(source: &Source) -> Vec<PathBuf> {
    let dir = source.path.parent().unwrap_or(Path::new("src"));
    let mut lines = source.text.lines().peekable();
    let mut files = Vec::new();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]"
            && let Some(name) = lines.peek().and_then(|next| next.strip_prefix("mod ")?.strip_suffix(';'))
        {
            files.push(dir.join(format!("{name}.rs")));
        }
    }
    files
}

#[test]
fn every_file_says_at_its_head_what_it_is_and_is_one_noun() {
    let mut found = Vec::new();
    for source in below("src", "rs").iter().chain(&below("tests", "rs")) {
        let lines = source.text.lines().count();
        if !source.text.starts_with("//!") {
            found.push(format!("{}: no //! at its head", source.path.display()));
        }
        if lines > 800 && !source.text.lines().take(12).any(|line| line.contains("one piece")) {
            found.push(format!(
                "{}: {lines} lines, and its head doesn't say why it is one piece",
                source.path.display()
            ));
        }
        let stem = source.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if ["utils", "util", "helpers", "helper", "common", "misc"].contains(&stem) {
            found.push(format!("{}: name the noun", source.path.display()));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn unsafe_code_stands_nowhere_but_in_the_pam_interface() {
    let with_unsafe: Vec<_> = below("src", "rs")
        .into_iter()
        .filter(|source| source.path.to_str() != Some("src/pam/ffi.rs"))
        .filter(|source| {
            source.code().lines().any(|line| line.contains("unsafe ") && !line.trim_start().starts_with("//"))
        })
        .map(|source| source.path)
        .collect();
    assert!(with_unsafe.is_empty(), "{with_unsafe:?}");
}

#[test]
fn the_paths_of_our_own_stand_in_one_file() {
    let roots = ["/etc", "/run", "/usr/share", "/var/cache", "/var/lib", "/var/log"];
    let own: Vec<String> = roots.iter().map(|root| format!("\"{root}/vps-configurator")).collect();
    let sources = below("src", "rs");
    let tests: Vec<_> = sources.iter().flat_map(only_for_tests).collect();
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !tests.contains(&source.path)) {
        if source.path.ends_with("src/base/paths.rs") {
            continue;
        }
        for (number, line) in source.code().lines().enumerate() {
            if own.iter().any(|path| line.contains(path)) {
                found.push(format!("{}:{}: name it in src/base/paths.rs", source.path.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
