//! Documents that are made from the program are as the program is now; examples parse; the top level is the owner's.

use super::sources::top;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_vps-configurator"))
}

#[test]
fn the_generated_reference_is_up_to_date() {
    let fresh = tempfile::tempdir().unwrap();
    let status = program().args(["internal", "generate", "reference"]).arg(fresh.path()).status().unwrap();
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
    let page = fs::read_to_string(dir.path().join("vps-configurator-install.8")).unwrap();
    for flag in ["profile", "module", "skip", "set", "dry\\-run", "plan", "workers", "download\\-only", "yes"] {
        assert!(page.contains(&format!("\\-\\-{flag}")), "--{flag} is not in vps-configurator-install(8)");
    }
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
