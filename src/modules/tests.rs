//! Tests of the whole way from manifests to specs. Sources are made in memory; one test reads them from a directory.

use super::catalogue::Catalogue;
use super::expand::{Expansion, OptionValues, expand};
use super::facts::Facts;
use super::probe::ProbeTest;
use super::source::{Content, ModuleSource};
use crate::base::yaml::{Problems, Source};
use crate::host::RealHost;
use crate::resources::schema::PackageOrder;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

fn module(name: &str, text: &str, files: &[(&str, &str)]) -> ModuleSource {
    ModuleSource {
        dir: PathBuf::from(format!("/m/{name}")),
        builtin: true,
        manifest: Source::new(format!("/m/{name}/module.yaml"), text),
        files: files.iter().map(|(path, text)| ((*path).to_owned(), Content::Held(text.as_bytes().to_vec()))).collect(),
    }
}

fn small(name: &str, rest: &str) -> ModuleSource {
    module(name, &format!("name: {name}\nsummary: a test\n{rest}"), &[])
}

fn told(sources: Vec<ModuleSource>) -> String {
    Catalogue::new(sources).unwrap_err().to_string()
}

fn expanded(sources: Vec<ModuleSource>, values: serde_json::Value) -> Result<Expansion, Problems> {
    let catalogue = Catalogue::new(sources)?;
    let order = catalogue.order(catalogue.names());
    let mut options: OptionValues = catalogue.iter().map(|m| (m.name.clone(), m.options.defaults())).collect();
    for (name, given) in values.as_object().into_iter().flatten() {
        let given: BTreeMap<String, serde_json::Value> = serde_json::from_value(given.clone()).unwrap();
        options.entry(name.clone()).or_default().extend(given);
    }
    let facts = Facts { ssh_port: 2222, users: vec!["anna".into(), "åke".into()], ..Facts::default() };
    expand(&RealHost::new("/nonexistent".into()), &catalogue, &order, &options, &facts)
}

fn ids(expansion: &Expansion) -> Vec<String> {
    expansion.specs.iter().map(|spec| spec.id().to_string()).collect()
}

const DOCKER: &str = "\
name: docker
summary: Containers
depends_on: [system]
requires: {disk_mb: 900, architectures: [amd64]}
options:
  source:
    type: choice
    choices: [debian, docker]
    default: debian
    help: Where the packages come from
  users: {type: list, items: {type: string}, default: [], help: Who may use it}
  log:
    size_mb: {type: integer, min: 1, max: 100, default: 10, help: Log size}
    live: {type: boolean, default: true, help: Live restore}
resources:
  - package: [\"{% if options.source == 'docker' %}docker-ce{% else %}docker.io{% endif %}\", \"{% if options.log.live %}{% endif %}\", docker-cli]
  - apt_source: docker
    when: options.source == \"docker\"
    uris: [https://download.example/linux]
    suites: [\"{{ facts.codename }}\"]
    key: docker.asc
    fingerprint: 9DC858229FC7DD38854AE2D88D81803C0EBFCD88
  - directory: /etc/docker
  - file: /etc/docker/daemon.json
    template: daemon.json.tera
    mode: \"0640\"
    needs: [package:docker-cli]
    notify: [restart docker, daemon-reload]
  - member: \"{{ item }}/docker\"
    for_each: options.users
    when: item != \"root\"
  - unit: docker
    enabled: \"{{ options.log.live }}\"
    active: true
verify:
  - command: [docker, version]
    contains: \"Server\"
    name: The daemon answers
  - port: \"{{ facts.ssh_port }}\"
  - unit: docker.service
    enabled: true
next_steps:
  - \"{% if options.users %}Log in again, {{ options.users | join(sep=', ') }}{% endif %}\"
";

fn docker() -> Vec<ModuleSource> {
    let template = "{\"size\": {{ options.log.size_mb }}, \"users\": {{ options.users | json }}, \"live\": {{ options.log.live }}}\n";
    let files = [("templates/daemon.json.tera", template), ("docker.asc", "KEY {{ not a template }}")];
    vec![module("docker", DOCKER, &files), small("system", "priority: 10\nresources:\n  - hostname: box\n")]
}

#[test]
fn a_module_becomes_resources_with_when_for_each_lists_and_implicit_edges() {
    let got = expanded(docker(), json!({"docker": {"users": ["anna", "root", "åke"]}})).unwrap();
    assert_eq!(
        ids(&got),
        [
            "hostname:box",
            "package:docker.io",
            "package:docker-cli",
            "directory:/etc/docker",
            "file:/etc/docker/daemon.json",
            "member:anna/docker",
            "member:åke/docker",
            "unit:docker.service",
        ]
    );
    let file = &got.specs[4];
    assert_eq!(file.text("content"), Some("{\"size\": 10, \"users\": [\"anna\",\"root\",\"åke\"], \"live\": true}\n"));
    assert_eq!(file.text("mode"), Some("0640"));
    assert!(!file.fields.contains_key("template"));
    let needs: Vec<&str> = file.needs.iter().map(|id| id.as_str()).collect();
    assert_eq!(needs, ["package:docker-cli", "directory:/etc/docker", "member:anna/docker", "member:åke/docker"]);
    assert_eq!(file.notify[0].unit, "docker.service");
    assert_eq!((file.origin.as_str(), file.packages), ("/m/docker/module.yaml:24", PackageOrder::After));
    let unit = &got.specs[7];
    assert_eq!(unit.fields["enabled"], json!(true));
    assert_eq!(unit.needs[0].as_str(), "file:/etc/docker/daemon.json");
    assert_eq!(got.specs[0].packages, PackageOrder::Either);
    assert!(got.specs[0].priority < unit.priority);
}

#[test]
fn probes_and_next_steps_are_rendered_the_same_way() {
    let got = expanded(docker(), json!({"docker": {"users": ["anna"]}})).unwrap();
    let names: Vec<&str> = got.probes.iter().map(|probe| probe.name.as_str()).collect();
    assert_eq!(names, ["The daemon answers", "port 2222/tcp answers", "docker.service is active and enabled"]);
    assert!(matches!(got.probes[1].test, ProbeTest::Port { port: 2222, .. }));
    assert_eq!(got.next_steps[0].text, "Log in again, anna");
    assert!(expanded(docker(), json!({})).unwrap().next_steps.is_empty());
}

#[test]
fn an_option_brings_another_source_and_its_key_is_taken_as_it_is() {
    let got = expanded(docker(), json!({"docker": {"source": "docker"}})).unwrap();
    let source = got.specs.iter().find(|spec| spec.kind == "apt_source").unwrap();
    assert_eq!(source.text("key"), Some("KEY {{ not a template }}"));
    assert_eq!(source.packages, PackageOrder::Before);
    assert!(ids(&got).contains(&"package:docker-ce".to_owned()));
}

#[test]
fn what_a_resource_before_the_packages_needs_comes_before_them_too() {
    let text = "resources:\n  - directory: /etc/x\n  - file: /etc/x/y\n    content: a\n    before_packages: true\n  - file: /etc/z\n    content: a\n";
    let got = expanded(vec![small("a", text)], json!({})).unwrap();
    let orders: Vec<PackageOrder> = got.specs.iter().map(|spec| spec.packages).collect();
    assert_eq!(orders, [PackageOrder::Before, PackageOrder::Before, PackageOrder::After]);
}

#[test]
fn everything_wrong_in_a_manifest_is_told_at_once() {
    let text = "\
name: docker
sumary: Containers
priority: 200
options:
  size: {type: integer, min: 1, default: 0, help: Size}
  kind: {type: chioce, default: a, help: x}
resources:
  - file: etc/å.conf
    content: a
    mode: 0644
    ownr: root
  - pakage: git
  - command: make
    run: [make]
  - unit: docker
    enabled: yes
  - file: /a
    template: daemon.jsn
verify:
  - prot: 22
";
    let expected = "\
/m/docker/module.yaml:1:1: the key \"summary\" is missing in a module's manifest
  | name: docker
  | ^^^^
/m/docker/module.yaml:2:1: unknown key \"sumary\" in a module's manifest
  | sumary: Containers
  | ^^^^^^
  hint: did you mean \"summary\"?
/m/docker/module.yaml:3:11: 200 must be between 0 and 100
  | priority: 200
  |           ^^^
/m/docker/module.yaml:5:42: 0 must be at least 1
  |   size: {type: integer, min: 1, default: 0, help: Size}
  |                                          ^
/m/docker/module.yaml:6:16: \"chioce\" is none of string, boolean, integer, number, choice, list, map
  |   kind: {type: chioce, default: a, help: x}
  |                ^^^^^^
  hint: did you mean \"choice\"?
/m/docker/module.yaml:8:11: wanted an absolute path, found the text \"etc/å.conf\"
  |   - file: etc/å.conf
  |           ^^^^^^^^^^
/m/docker/module.yaml:10:11: wanted four octal digits in quotes, found the number 0644
  |     mode: 0644
  |           ^^^^
  hint: write: \"0644\"
/m/docker/module.yaml:11:5: unknown key \"ownr\" in a file
  |     ownr: root
  |     ^^^^
  hint: did you mean \"owner\"?
/m/docker/module.yaml:12:5: unknown kind \"pakage\"
  |   - pakage: git
  |     ^^^^^^
  hint: did you mean \"package\"?
/m/docker/module.yaml:13:5: a command needs one of: creates, unless
  |   - command: make
  |     ^^^^^^^
/m/docker/module.yaml:13:5: a command needs one of: undo, irreversible
  |   - command: make
  |     ^^^^^^^
/m/docker/module.yaml:16:14: wanted true or false, found the text \"yes\"
  |     enabled: yes
  |              ^^^
  hint: write true
/m/docker/module.yaml:18:15: the module has no file templates/daemon.jsn
  |     template: daemon.jsn
  |               ^^^^^^^^^^
  hint: did you mean \"daemon.json\"?
/m/docker/module.yaml:20:5: unknown kind \"prot\"
  |   - prot: 22
  |     ^^^^
  hint: did you mean \"port\"?";
    assert_eq!(told(vec![module("docker", text, &[("templates/daemon.json", "")])]), expected);
}

#[test]
fn a_missing_dependency_is_told_with_the_nearest_name() {
    assert_eq!(
        told(vec![small("docker", "depends_on: [sytem]\n"), small("system", "")]),
        "/m/docker/module.yaml:3:14: docker depends on \"sytem\", which does not exist\n\
         \u{20} | depends_on: [sytem]\n  |              ^^^^^\n  hint: did you mean \"system\"?"
    );
}

#[test]
fn a_cycle_is_named_with_its_whole_path() {
    let sources = vec![
        small("a", "depends_on: [x, b]\n"),
        small("b", "depends_on: [c]\n"),
        small("c", "depends_on: [a]\n"),
        small("x", ""),
    ];
    assert_eq!(
        told(sources),
        "/m/a/module.yaml:3:17: modules depend on each other: a -> b -> c -> a\n\
         \u{20} | depends_on: [x, b]\n  |                 ^\n  hint: one of these must not depend on the next"
    );
    assert!(told(vec![small("a", "depends_on: [a]\n")]).contains("a -> a"));
}

#[test]
fn a_plugin_cannot_replace_a_built_in_module() {
    let mut plugin = small("git", "");
    plugin.dir = PathBuf::from("/etc/vps-configurator/modules.d/git");
    plugin.builtin = false;
    assert_eq!(
        told(vec![small("git", ""), plugin]),
        "the module \"git\" is in /m/git and in /etc/vps-configurator/modules.d/git; a built-in module can't be replaced\n\
         \u{20} hint: give the one in /etc/vps-configurator/modules.d/git another name"
    );
}

#[test]
fn the_load_order_is_dependencies_then_priority_then_name() {
    let sources = vec![
        small("a", "priority: 1\ndepends_on: [z]\n"),
        small("b", ""),
        small("c", ""),
        small("y", "priority: 20\n"),
        small("z", "priority: 90\n"),
    ];
    let catalogue = Catalogue::new(sources).unwrap();
    assert_eq!(catalogue.order(catalogue.names()), ["y", "b", "c", "z", "a"]);
    let needed = catalogue.with_dependencies(["a"]);
    assert_eq!(needed.into_iter().collect::<Vec<_>>(), [("a", None), ("z", Some("a"))]);
}

#[test]
fn errors_in_templates_have_their_place_in_the_manifest_or_the_file() {
    let text = "\
name: t
summary: s
options:
  size: {type: integer, default: 1, help: h}
resources:
  - file: /a
    template: å.tera
  - file: \"/b/{{ options.sise }}\"
    content: |
      first
      second {{ options.size | uper }}
  - file: /c
    content: x
    when: optoins.size > 1
  - file: /d
    content: \"{{ options.size + }}\"
  - file: /e
    content: x
    for_each: options.size
  - swap: /s
    size_mb: \"{{ facts.hostname }}x\"
  - file: /f
    content: x
    needs: [file:/g]
";
    let file = "åäö\n{% if options.siz %}x{% endif %}\n";
    let got = expanded(vec![module("t", text, &[("templates/å.tera", file)])], json!({})).unwrap_err().to_string();
    let expected = "\
/m/t/templates/å.tera:2:7: undefined name options.siz
  | {% if options.siz %}x{% endif %}
  |       ^^^^^^^^^^^
  hint: did you mean \"size\"?
/m/t/module.yaml:8:18: undefined name options.sise
  |   - file: \"/b/{{ options.sise }}\"
  |                  ^^^^^^^^^^^^
  hint: did you mean \"size\"?
/m/t/module.yaml:11:32: template: Unknown filter `uper`
  |       second {{ options.size | uper }}
  |                                ^^^^
/m/t/module.yaml:14:11: undefined name optoins.size
  |     when: optoins.size > 1
  |           ^^^^^^^^^^^^
  hint: did you mean \"options\"?
/m/t/module.yaml:16:33: template: Found `}}` but expected one of: integer, float, string, bool, ident, `-`, `not`, `<`, `{`, `[` or `(`
  |     content: \"{{ options.size + }}\"
  |                                 ^^
/m/t/module.yaml:19:15: for_each must give a list
  |     for_each: options.size
  |               ^^^^^^^^^^^^
/m/t/module.yaml:21:14: wanted a whole number, the template gives \"x\"
  |     size_mb: \"{{ facts.hostname }}x\"
  |              ^^^^^^^^^^^^^^^^^^^^^^^
/m/t/module.yaml:24:13: nothing declares file:/g
  |     needs: [file:/g]
  |             ^^^^^^^
  hint: did you mean \"file:/f\"?";
    assert_eq!(got, expected);
}

#[test]
fn fifty_modules_are_put_in_order() {
    let text = |n: usize| {
        let needs: Vec<String> = (n.saturating_sub(3)..n).map(|d| format!("m{d}")).collect();
        format!("priority: {}\ndepends_on: [{}]\n", n % 7, needs.join(", "))
    };
    let catalogue = Catalogue::new((0..50).map(|n| small(&format!("m{n}"), &text(n))).collect()).unwrap();
    let start = std::time::Instant::now();
    let order = catalogue.order(catalogue.names());
    let taken = start.elapsed();
    assert_eq!((order.len(), order[0].as_str(), order[49].as_str()), (50, "m0", "m49"));
    println!("order of 50 modules: {taken:?}");
}

#[test]
fn modules_are_read_from_a_host_and_other_folders_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("m/git");
    std::fs::create_dir_all(dir.join("templates/deep")).unwrap();
    std::fs::create_dir_all(root.path().join("m/README")).unwrap();
    std::fs::write(dir.join("module.yaml"), "name: git\nsummary: s\n").unwrap();
    std::fs::write(dir.join("templates/deep/x.tera"), "x").unwrap();
    let host = RealHost::new(root.path().to_owned());
    let catalogue = Catalogue::load(&host, std::path::Path::new("/m"), std::path::Path::new("/none")).unwrap();
    let git = catalogue.get("git").unwrap();
    assert_eq!(catalogue.names().collect::<Vec<_>>(), ["git"]);
    assert_eq!(git.files.keys().collect::<Vec<_>>(), ["templates/deep/x.tera"]);
    assert_eq!(git.dir, PathBuf::from("/m/git"));
}

#[test]
fn what_an_option_takes_is_told_in_words_with_the_keys_of_its_items() {
    let options = "options:
  word: {type: string, pattern: '[a-z]+', means: 'a word: web', default: a, help: Of words}
  bare: {type: string, pattern: '[a-z]+', default: a, help: Of letters}
  port: {type: integer, min: 1, max: 9, default: 1, help: A port}
  share: {type: number, min: 0.5, default: 1.0, help: A share}
  sides: {type: list, items: {type: choice, choices: [left, right]}, default: [], help: Both}
  people:
    type: list
    default: []
    help: Who
    items: {type: map, fields: {name: {type: string}, on: {type: boolean, default: true}}}
";
    let catalogue = Catalogue::new(vec![small("own", options)]).unwrap();
    let all = catalogue.get("own").unwrap().options.0.iter().flat_map(|option| option.with_keys());
    let told: Vec<String> = all.map(|(path, option)| format!("{path}: {}", option.kind.takes())).collect();
    let wanted = [
        "word: string: a word: web",
        "bare: string: what matches [a-z]+",
        "port: integer, 1 to 9",
        "share: number, at least 0.5",
        "sides: list of choices: left, right",
        "people: list of maps",
        "people[].name: string",
        "people[].on: boolean",
    ];
    assert_eq!(told, wanted);
}
