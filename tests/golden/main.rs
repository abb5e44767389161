//! Case folders: `module.yaml` and `host/` (files over the common host) go in; `plan.txt` and `after.txt` (each path
//! that changed, with mode, owner and content) come out, and a rollback leaves the host as it was. Each kind of
//! resource has a case. `UPDATE_GOLDEN=1` writes what comes out anew.

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use support::listing::{Listing, differences};
use support::snapshot::{compare, steady};
use support::tree::{Tree, copy};

const PROFILE: &str = "title: Case\nsummary: One module\nmodules:\n  case: {enabled: true}\n";

fn plays(case: &Path) {
    let name = case.file_name().unwrap().to_str().unwrap();
    let tree = Tree::new();
    if case.join("host").exists() {
        copy(&case.join("host"), tree.root());
    }
    tree.put("/usr/share/vps-configurator/profiles/case.yaml", PROFILE);
    let module = tree.at("/usr/share/vps-configurator/modules/case");
    fs::create_dir_all(&module).unwrap();
    for entry in fs::read_dir(case).unwrap() {
        let entry = entry.unwrap();
        let file = entry.file_name();
        if entry.path().is_file() && file != "plan.txt" && file != "after.txt" {
            fs::copy(entry.path(), module.join(file)).unwrap();
        }
    }
    let before = tree.listing();

    let plan = tree.call("plan --profile case --verbose").ends(4);
    compare(&case.join("plan.txt"), &steady(&plan.out, tree.root()), "UPDATE_GOLDEN");
    tree.must_be(&before, &format!("{name}: a plan"));

    let done = tree.call("install --profile case --yes --json").ends(0).json();
    assert_eq!(done["deviations"], serde_json::json!([]), "{name}: the plan is a promise");
    let changes = differences(&before, &tree.listing());
    let text: String = changes.iter().map(|line| format!("{}\n", short(line))).collect();
    compare(&case.join("after.txt"), &steady(&text, tree.root()), "UPDATE_GOLDEN");

    let again = tree.call("install --profile case --yes --json").ends(0).json();
    assert_eq!(again["changes"], 0, "{name}: nothing is left to do");
    drops(&tree, name, &before);
    tree.call("rollback --yes").ends(0);
    tree.must_be(&before, &format!("{name}: the rollback"));
}

/// The profile drops the module: all of it goes, and comes again when that is taken back.
fn drops(tree: &Tree, name: &str, before: &Listing) {
    let with = tree.listing();
    let dropping = "--profile case --set modules.case.enabled=false";
    tree.call(&format!("plan {dropping}")).ends(4);
    tree.must_be(&with, &format!("{name}: a plan that drops it"));
    let done = tree.call(&format!("install {dropping} --yes --json")).ends(0).json();
    assert_eq!(done["deviations"], serde_json::json!([]), "{name}: what is dropped");
    tree.must_be(before, &format!("{name}: dropped"));
    let again = tree.call(&format!("install {dropping} --yes --json")).ends(0).json();
    assert_eq!(again["changes"], 0, "{name}: nothing is left to drop");
    tree.call("rollback --yes").ends(0);
    tree.must_be(&with, &format!("{name}: brought back"));
    let again = tree.call("install --profile case --yes --json").ends(0).json();
    assert_eq!(again["changes"], 0, "{name}: all of it is back");
}

/// Long contents (a swap file) by their length.
fn short(line: &str) -> String {
    if line.len() > 20_000 {
        return format!("{}... ({} characters)", line.chars().take(60).collect::<String>(), line.chars().count());
    }
    line.to_owned()
}

fn cases() -> Vec<std::path::PathBuf> {
    let mut all: Vec<_> =
        fs::read_dir(support::top().join("tests/golden/cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

#[test]
fn every_case_is_planned_applied_and_taken_back_as_it_is_written() {
    let cases = cases();
    let failed: Vec<String> = std::thread::scope(|scope| {
        let played: Vec<_> = cases
            .chunks(cases.len().div_ceil(4))
            .map(|part| {
                scope.spawn(|| -> Vec<String> {
                    let bad = |case: &&std::path::PathBuf| std::panic::catch_unwind(|| plays(case)).is_err();
                    part.iter().filter(bad).map(|case| case.display().to_string()).collect()
                })
            })
            .collect();
        played.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    assert!(failed.is_empty(), "these cases failed: {failed:#?}");
    println!("{} cases", cases.len());
}

#[test]
fn every_kind_has_a_case() {
    let all: String = cases().iter().map(|case| fs::read_to_string(case.join("module.yaml")).unwrap()).collect();
    let without: Vec<&str> = vps_configurator::resources::schema::KINDS
        .iter()
        .map(|kind| kind.name)
        .filter(|kind| !all.contains(&format!("- {kind}: ")) && !all.contains(&format!("{{{kind}: ")))
        .collect();
    // The key of an apt_source is checked beside its code, and the simulated archive has no second origin for
    // security_updates: tests/box has both.
    assert_eq!(without, ["security_updates", "apt_source"]);
}
