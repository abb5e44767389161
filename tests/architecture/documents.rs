//! Documents that are made from the program are as the program is now; examples parse; the top level is the owner's.

use super::sources::{below, top};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

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
    let page = fs::read_to_string(dir.path().join("vps-configurator-install.8")).unwrap();
    for flag in
        ["profile", "module", "skip", "set", "dry\\-run", "plan", "confirm", "workers", "download\\-only", "yes"]
    {
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
