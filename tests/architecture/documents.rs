//! Documents that are made from the program are as the program is now; examples parse; the top level is the owner's.

use super::sources::{below, top};
use clap::CommandFactory;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use vps_configurator::cli::args::Args;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_vps-configurator"))
}

/// A tree that has the shipped data where the package puts it.
pub fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    copy(&top().join("config"), &root.path().join("usr/share/vps-configurator"));
    root
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn the_generated_reference_is_up_to_date() {
    let fresh = tempfile::tempdir().unwrap();
    let root = root();
    let status = program()
        .arg("--root")
        .arg(root.path())
        .args(["internal", "generate", "reference"])
        .arg(fresh.path())
        .status()
        .unwrap();
    assert!(status.success());
    let kept = top().join("docs/reference");
    let mut stale = Vec::new();
    let mut ahead = vec![fresh.path().to_owned()];
    let mut count = 0;
    while let Some(dir) = ahead.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                ahead.push(path);
                continue;
            }
            count += 1;
            let name = path.strip_prefix(fresh.path()).unwrap().to_owned();
            if fs::read(&path).ok() != fs::read(kept.join(&name)).ok() {
                stale.push(name);
            }
        }
    }
    assert!(count >= 2, "the generator wrote {count} files");
    assert!(stale.is_empty(), "run `make reference`; out of date in docs/reference: {stale:?}");
}

#[test]
fn every_flag_and_command_is_in_its_manual_page() {
    let dir = tempfile::tempdir().unwrap();
    let status = program().args(["internal", "generate", "man"]).arg(dir.path()).status().unwrap();
    assert!(status.success());
    let mut missing = Vec::new();
    let looked_at = pages(&Args::command(), "vps-configurator", dir.path(), &mut missing);
    assert!(looked_at > 40, "only {looked_at} flags and commands were looked for");
    assert!(missing.is_empty(), "not in a manual page: {missing:#?}");
}

/// Looks for the flags and commands of a command in its page, and those below it in theirs. How many there are.
fn pages(command: &clap::Command, name: &str, dir: &Path, missing: &mut Vec<String>) -> usize {
    let page = fs::read_to_string(dir.join(format!("{name}.8"))).unwrap_or_default().replace("\\-", "-");
    let mut count = 0;
    for flag in command.get_arguments().filter(|flag| !flag.is_hide_set()).filter_map(|flag| flag.get_long()) {
        count += 1;
        if !page.contains(&format!("--{flag}")) {
            missing.push(format!("{name}(8): --{flag}"));
        }
    }
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        let below = format!("{name}-{}", inner.get_name());
        count += 1;
        if !page.contains(&below) {
            missing.push(format!("{name}(8): {below}"));
        }
        count += pages(inner, &below, dir, missing);
    }
    count
}

#[test]
fn every_event_of_the_system_journal_is_explained() {
    let page = fs::read_to_string(top().join("docs/how-to/journal.md")).unwrap();
    let begin = "\"5f2d4d5d7d8a4f0f9a0c6b1f3f6d2a";
    let sources: String = below("src", "rs").into_iter().map(|source| source.text).collect();
    let events: BTreeSet<&str> =
        sources.match_indices(begin).map(|(at, _)| &sources[at + begin.len()..][..2]).collect();
    assert!(events.len() > 10, "{events:?}");
    let missing: Vec<_> = events.iter().filter(|event| !page.contains(&format!("`{event}`"))).collect();
    assert!(missing.is_empty(), "docs/how-to/journal.md lacks {missing:?}");
}

#[test]
fn the_top_level_is_the_owners_list() {
    let allowed: BTreeSet<&str> = [
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "debian",
        "systemd",
        "config",
        "etc",
        "tests",
        "docs",
        "Makefile",
        "README.md",
        "LICENSE",
        "target",
    ]
    .into();
    let found: Vec<String> = fs::read_dir(top())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.') && !allowed.contains(name.as_str()))
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn every_shipped_file_of_configuration_is_good() {
    let root = root();
    let names = below("config/profiles", "yaml");
    assert!(!names.is_empty());
    for source in names {
        let name = source.path.file_stem().unwrap().to_str().unwrap().to_owned();
        let output =
            program().arg("--root").arg(root.path()).args(["config", "validate", "--profile", &name]).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn debconf_offers_every_shipped_profile() {
    let templates = fs::read_to_string(top().join("debian/vps-configurator.templates")).unwrap();
    let choices = templates.lines().find_map(|line| line.strip_prefix("Choices: ")).unwrap();
    let offered: BTreeSet<&str> = choices.split(", ").filter(|choice| *choice != "none").collect();
    let files: Vec<_> = fs::read_dir(top().join("config/profiles")).unwrap().map(|f| f.unwrap().path()).collect();
    let shipped: BTreeSet<&str> = files.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
    assert_eq!(offered, shipped);
    for name in shipped {
        assert!(templates.contains(&format!("\n  {name}: ")), "{name} is explained");
    }
}
