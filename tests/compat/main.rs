//! What a released version wrote still opens: its journal, an undo record of each kind, a profile, a manifest. One
//! folder for each release; what is in it is never edited once that is out.
//!
//! `UPDATE_COMPAT=1` writes the folder of the version that is being made, from a real install on a simulated host.

#[path = "../support/mod.rs"]
mod support;

use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use support::tree::{Tree, copy};
use vps_configurator::engine::UndoRecord;
use vps_configurator::journal::Journal;
use vps_configurator::resources::undoers;

const STATE: &str = "/var/lib/vps-configurator";

/// The folders of all releases.
fn releases() -> Vec<PathBuf> {
    let all = fs::read_dir(support::top().join("tests/compat")).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = all.filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(!folders.is_empty());
    folders
}

/// The whole database as SQL text.
fn dump(database: &Path) -> String {
    let connection = Connection::open(database).unwrap();
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    let mut text = format!("PRAGMA user_version = {version};\n");
    let strings = |sql: &str| -> Vec<(String, Option<String>)> {
        let mut query = connection.prepare(sql).unwrap();
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    };
    for (_, sql) in strings("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid") {
        text.push_str(&format!("{};\n", sql.unwrap()));
    }
    for (table, _) in strings("SELECT name, NULL FROM sqlite_master WHERE type = 'table' ORDER BY rowid") {
        let mut query = connection.prepare(&format!("SELECT * FROM {table} ORDER BY rowid")).unwrap();
        let width = query.column_count();
        let mut rows = query.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cells: Vec<String> = (0..width)
                .map(|at| match row.get::<_, Cell>(at).unwrap() {
                    Cell::Null => "NULL".to_owned(),
                    Cell::Integer(number) => number.to_string(),
                    Cell::Text(text) => format!("'{}'", text.replace('\'', "''")),
                    other => panic!("a cell that is {other:?}"),
                })
                .collect();
            text.push_str(&format!("INSERT INTO {table} VALUES({});\n", cells.join(",")));
        }
    }
    text
}

/// A state folder with the journal of a release in it.
fn restored(release: &Path, state: &Path) {
    fs::create_dir_all(state).unwrap();
    let connection = Connection::open(state.join("journal.db")).unwrap();
    connection.execute_batch(&fs::read_to_string(release.join("journal.sql")).unwrap()).unwrap();
    copy(&release.join("objects"), &state.join("objects"));
}

#[test]
fn the_fixtures_of_this_version_are_written_when_that_is_asked_for() {
    let folder = support::top().join("tests/compat").join(env!("CARGO_PKG_VERSION"));
    if std::env::var_os("UPDATE_COMPAT").is_none() {
        assert!(folder.is_dir(), "this version has no fixtures yet: UPDATE_COMPAT=1");
        return;
    }
    let tree = Tree::new();
    tree.call("install --profile full --set modules.extra.enabled=true --workers 1 --yes").ends(0);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("undo")).unwrap();
    let state = tree.at(STATE);
    let journal = Journal::open(&state).unwrap();
    for step in journal.standing().unwrap() {
        let Some(record) = step.undo else { continue };
        let kind = record["kind"].as_str().unwrap().to_owned();
        let text = format!("{}\n", serde_json::to_string_pretty(&record).unwrap());
        fs::write(folder.join(format!("undo/{kind}.json")), text).unwrap();
    }
    drop(journal);
    let root = tree.root().display().to_string();
    fs::write(folder.join("journal.sql"), dump(&state.join("journal.db")).replace(&root, "/")).unwrap();
    copy(&state.join("objects"), &folder.join("objects"));
    fs::write(folder.join("profile.yaml"), tree.text("/usr/share/vps-configurator/profiles/full.yaml")).unwrap();
    fs::write(folder.join("module.yaml"), MANIFEST).unwrap();
    fs::write(folder.join("config.yaml"), CONFIG).unwrap();
}

#[test]
fn an_undo_record_of_every_kind_and_release_decodes() {
    let known: BTreeSet<&str> = undoers().kinds().collect();
    let mut newest = BTreeSet::new();
    for release in releases() {
        newest.clear();
        for entry in fs::read_dir(release.join("undo")).unwrap() {
            let path = entry.unwrap().path();
            let record: UndoRecord = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            undoers().decode(&record).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            newest.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    let without: Vec<_> = known.iter().filter(|kind| !newest.contains(**kind)).collect();
    assert!(without.is_empty(), "no fixture for the kinds {without:?}: UPDATE_COMPAT=1");
}

#[test]
fn the_journal_of_every_release_opens_and_each_step_can_be_undone() {
    for release in releases() {
        let dir = tempfile::tempdir().unwrap();
        restored(&release, dir.path());
        let journal = Journal::open(dir.path()).unwrap();
        let steps = journal.standing().unwrap();
        assert!(steps.len() > 10, "{} stand", steps.len());
        for step in &steps {
            let record: UndoRecord = serde_json::from_value(step.undo.clone().unwrap()).unwrap();
            undoers().decode(&record).unwrap_or_else(|e| panic!("{}: {e}", step.resource));
        }
        assert!(journal.transactions().unwrap().iter().all(|row| !row.version.is_empty()));
    }
}

#[test]
fn this_version_takes_back_what_every_release_installed() {
    for release in releases() {
        let tree = Tree::new();
        let before = tree.listing();
        // The same host, installed anew; then the journal is exchanged for the one of the release.
        tree.call("install --profile full --set modules.extra.enabled=true --workers 1 --yes").ends(0);
        fs::remove_dir_all(tree.at(STATE)).unwrap();
        restored(&release, &tree.at(STATE));
        // Only read, it still has the form of its release.
        tree.call("status").ends(0);
        assert_eq!(tree.call("transaction list --json").ends(0).json()["transactions"][0]["state"], "done");
        tree.call("transaction show 1").ends(0);
        tree.call("rollback --dry-run").ends(0);
        tree.call("rollback --yes").ends(0);
        tree.must_be(&before, &format!("after the rollback of what {} installed", release.display()));
    }
}

#[test]
fn a_profile_a_manifest_and_a_configuration_of_every_release_are_good() {
    for release in releases() {
        let tree = Tree::new();
        let read = |name: &str| fs::read_to_string(release.join(name)).unwrap();
        tree.put("/etc/vps-configurator/profiles.d/released.yaml", read("profile.yaml"));
        tree.put("/etc/vps-configurator/modules.d/released/module.yaml", read("module.yaml"));
        tree.put("/etc/vps-configurator/config.yaml", read("config.yaml"));
        tree.call("config validate").ends(0);
        let shown: Value = tree.call("config show --json").ends(0).json();
        assert_eq!(shown["modules.released.number"], 7, "{shown:#}");
        tree.call("plan").ends(4);
    }
}

/// Every form that a manifest may have: types of options, kinds with their fields, probes.
const MANIFEST: &str = r#"name: released
summary: Every form that a manifest may have
priority: 77
mandatory: false
depends_on: [base]
conflicts_with: []
requires: {disk_mb: 1, memory_mb: 1, architectures: [amd64, arm64]}
options:
  text: {type: string, pattern: '[a-z]*', default: abc, help: A text}
  switch: {type: boolean, default: true, help: A switch}
  number: {type: integer, min: 0, max: 9, default: 3, help: A number}
  share: {type: number, min: 0, max: 1, default: 0.5, help: A share}
  word: {type: choice, choices: [one, two], default: one, help: A word}
  names: {type: list, items: {type: string}, default: [x, y], help: Names}
  group:
    inner: {type: boolean, default: false, help: In a group}
resources:
  - package: [tool, web]
    recommends: false
  - directory: /etc/released
    mode: "0750"
    owner: root
    group: root
  - file: "/etc/released/{{ item }}"
    for_each: options.names
    content: "{{ options.text }} {{ options.number }} {{ facts.hostname }}\n"
    mode: "0640"
    secret: false
    check: [visudo, -cf, "{path}"]
    notify: [restart web.service]
  - symlink: /etc/released/link
    target: x
    when: options.switch
  - block: /etc/hosts
    marker: released
    content: "192.0.2.8 released\n"
    at: end
  - unit: web.service
    enabled: true
    active: true
  - {sysctl: vm.swappiness, value: "{{ options.number }}", at_least: false}
  - command: mark
    run: [mark, /etc/marked]
    creates: /etc/marked
    undo: [unmark, /etc/marked]
    timeout: 30
verify:
  - name: A file is there
    file: /etc/released/x
    contains: "{{ options.text }}"
  - unit: web.service
    enabled: true
  - effective_sysctl: vm.swappiness
    value: "{{ options.number }}"
  - command: [tool]
    contains: tool
    exit: 0
    timeout: 5
next_steps:
  - "{% if options.switch %}Look at /etc/released{% endif %}"
"#;

/// Every key that the configuration has.
const CONFIG: &str = "profile: released\napply: {workers: 2, lock_wait: 60, recovery: undo}\nmodules:\n  released: {enabled: true, number: 7, group: {inner: true}, names: [x]}\n  web: {enabled: false}\n  people: {enabled: false}\n  kernel: {enabled: false}\n";
