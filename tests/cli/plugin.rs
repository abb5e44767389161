//! Modules of the administrator's that come, go, and are switched.

use crate::support::program;
use crate::support::tree::Tree;
use nix::pty::openpty;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use vps_configurator::base::digest::Digest;

const GOOD: &str = "name: tree\nsummary: Lists directories as trees\noptions:\n  depth: {type: integer, default: 3, help: How deep}\n\
                    resources:\n  - package: tool\n  - file: /etc/tree.conf\n    template: tree.conf.tera\n";

/// A host, and a plugin on the machine beside it.
struct Desk {
    tree: Tree,
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Desk {
        let desk = Desk { tree: Tree::new(), dir: tempfile::tempdir().unwrap() };
        desk.write("tree/module.yaml", GOOD);
        desk.write("tree/templates/tree.conf.tera", "depth = {{ options.depth }}\n");
        desk
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn at(&self, path: &str) -> String {
        self.dir.path().join(path).display().to_string()
    }

    /// Packs the folder `tree`, beside which there may be more.
    fn pack(&self, name: &str, flags: &[&str]) -> PathBuf {
        let to = self.dir.path().join(name);
        let mut tar = Command::new("tar");
        tar.args(flags).arg("-cf").arg(&to).arg("-C").arg(self.dir.path()).arg("tree");
        assert!(tar.status().unwrap().success());
        to
    }

    fn plugins(&self) -> Value {
        self.tree.call("plugin list --json").ends(0).json()["plugins"].clone()
    }

    /// Refused with this code: and the host and its plugins are as before.
    #[track_caller]
    fn refuses(&self, line: &str, exit: i32, code: &str) -> String {
        let before = self.tree.listing();
        let told = self.tree.call(&format!("{line} --json")).ends(exit).json();
        assert_eq!(told["error_code"], code, "{told:#}");
        self.tree.must_be(&before, line);
        told["error_details"]["why"].as_str().unwrap().to_owned()
    }
}

fn sum(path: &Path) -> String {
    Digest::of(&fs::read(path).unwrap()).to_string()
}

#[test]
fn a_plugin_comes_is_applied_is_disabled_and_goes_and_its_changes_can_be_taken_back_all_the_same() {
    let desk = Desk::new();
    let tree = &desk.tree;
    let before = tree.listing();
    let archive = desk.pack("tree.tar.gz", &["-z"]);
    let line = format!("plugin install {} --sha256 {}", archive.display(), sum(&archive));
    let dry = tree.call(&format!("{line} --dry-run --json")).ends(0).json();
    assert_eq!((&dry["status"], &dry["plugin"]), (&"dry-run".into(), &"tree".into()));
    tree.must_be(&before, "a dry run");
    let done = tree.call(&format!("{line} --json")).ends(0).json();
    assert_eq!(done["files"], json!(["module.yaml", "templates/tree.conf.tera"]));
    assert_eq!((&desk.plugins()[0]["enabled"], &desk.plugins()[0]["applied"]), (&true.into(), &false.into()));
    assert!(tree.call("module list").ends(0).out.contains("\ntree "));

    tree.enable(&["tree"]);
    tree.call("install --yes").ends(0);
    assert_eq!(tree.text("/etc/tree.conf"), "depth = 3\n");
    assert_eq!(desk.plugins()[0]["applied"], true);

    // What the configuration names stays.
    let why = desk.refuses("plugin disable tree", 2, "plugin-in-use");
    assert!(why.contains("config.yaml:3:3: the module \"tree\" is a plugin that is switched off"), "{why}");
    desk.refuses("plugin remove tree --yes", 1, "plugin-applied");
    let forced = tree.call("plugin disable tree --force").ends(0).out;
    assert!(forced.contains("Its changes stand.") && forced.contains("rollback --module tree"), "{forced}");
    let why = desk.refuses("plan", 2, "plugin-disabled");
    assert!(why.contains("hint: vps-configurator plugin enable tree"), "{why}");
    desk.refuses("plan --profile small --module tree", 2, "plugin-disabled");
    desk.refuses("module show tree", 2, "plugin-disabled");
    assert!(!tree.call("module list").ends(0).out.contains("\ntree "));
    assert_eq!(desk.plugins()[0]["enabled"], false);
    tree.call("plugin enable tree").ends(0);
    assert_eq!(tree.call("install --yes --json").ends(0).json()["changes"], 0);

    // Out of the configuration: what it changed goes with the next install, though the plugin has gone before it.
    tree.enable(&[]);
    tree.call("plugin disable tree").ends(0);
    desk.refuses("plugin remove tree --yes", 1, "plugin-applied");
    tree.call("plugin remove tree --force --yes").ends(0);
    assert_eq!(desk.plugins(), json!([]));
    assert!(tree.call("plan").ends(4).out.contains("- file:/etc/tree.conf: no longer asked for"));
    tree.call("install --yes").ends(0);
    assert!(!tree.has("/etc/tree.conf") && !tree.has("/usr/bin/tool"));
    // And that is taken back, and all before it: without the plugin.
    tree.call("rollback --yes").ends(0);
    assert_eq!(tree.text("/etc/tree.conf"), "depth = 3\n");
    tree.call("rollback --to 0 --yes").ends(0);
    fs::remove_dir_all(tree.at("/etc/vps-configurator")).unwrap();
    tree.must_be(&before, "all is taken back");
}

#[test]
fn a_plugin_comes_from_the_network_with_its_checksum_only() {
    let desk = Desk::new();
    let archive = desk.pack("tree.tar.xz", &["-J"]);
    desk.tree.put("/srv/web/example.org/tree.tar.xz", fs::read(&archive).unwrap());
    let url = "https://example.org/tree.tar.xz";
    desk.refuses(&format!("plugin install {url}"), 2, "plugin-source");
    desk.refuses(&format!("plugin install {url} --sha256 abc"), 2, "plugin-source");
    desk.refuses("plugin install ftp://example.org/tree", 2, "plugin-source");
    desk.refuses(&format!("plugin install {url} --sha256 {}", "0".repeat(64)), 1, "download-failed");
    desk.refuses(&format!("plugin install {} --sha256 {}", archive.display(), "0".repeat(64)), 1, "download-mismatch");
    desk.tree.call(&format!("plugin install {url} --sha256 {}", sum(&archive).to_uppercase())).ends(0);
    assert_eq!(desk.plugins()[0]["name"], "tree");
}

#[test]
fn what_is_no_good_module_is_refused_before_it_is_there() {
    let desk = Desk::new();
    let from = format!("plugin install {}", desk.at("tree"));
    let bad = |text: &str, code: &str, word: &str| {
        desk.write("tree/module.yaml", text);
        let why = desk.refuses(&from, 2, code);
        assert!(why.contains(word), "{why}");
    };
    bad("name: ../x\nsummary: x\n", "module-name", "is no good name");
    bad("summary: x\n", "key-missing", "name");
    bad("name: base\nsummary: x\n", "module-replaces", "a built-in module can't be replaced");
    bad("name: tree\nsummary: x\nresources:\n  - fiel: /x\n", "kind-unknown", "fiel");
    bad("name: tree\nsummary: x\ndepends_on: [nosuch]\n", "module-unknown", "nosuch");
    bad(&GOOD.replace("depth:", "deepth:"), "template-undefined", "tree.conf.tera");
    bad("name: [\n", "yaml-syntax", "");
    bad(&GOOD.replace("/etc/tree.conf", "etc/tree.conf"), "type-wrong", "absolute path");
    bad(&GOOD.replace("/etc/tree.conf", "/etc/{{ options.nosuch }}"), "template-undefined", "nosuch");
    desk.refuses(&format!("plugin install {}", desk.at("nothing")), 2, "plugin-source");
    fs::remove_file(desk.dir.path().join("tree/module.yaml")).unwrap();
    desk.refuses(&from, 1, "plugin-unfit");
}

#[test]
fn a_plugin_is_replaced_when_that_is_said_and_stays_switched_as_it_was() {
    let desk = Desk::new();
    let tree = &desk.tree;
    let line = format!("plugin install {}", desk.at("tree"));
    tree.call(&line).ends(0);
    desk.refuses(&line, 2, "plugin-exists");
    desk.write("tree/templates/tree.conf.tera", "deep = {{ options.depth }}\n");
    tree.call(&format!("{line} --replace")).ends(0);
    tree.call("install --profile small --module tree --yes").ends(0);
    assert_eq!(tree.text("/etc/tree.conf"), "deep = 3\n");
    // An option that the configuration sets can't go.
    tree.put("/etc/vps-configurator/config.yaml", "profile: small\nmodules:\n  tree: {depth: 5}\n");
    desk.write("tree/module.yaml", &GOOD.replace("depth:", "levels:"));
    desk.write("tree/templates/tree.conf.tera", "deep = {{ options.levels }}\n");
    let why = desk.refuses(&format!("{line} --replace"), 2, "plugin-in-use");
    assert!(why.contains("unknown key \"depth\""), "{why}");
    tree.call("plugin disable tree --force").ends(0);
    tree.call(&format!("{line} --replace")).ends(0);
    assert_eq!(desk.plugins()[0]["enabled"], false);
    assert!(tree.text("/etc/vps-configurator/modules.d/tree.disabled/module.yaml").contains("levels"));
}

#[test]
fn what_lies_in_the_place_of_a_plugin_and_is_none_stays() {
    let desk = Desk::new();
    let place = "/etc/vps-configurator/modules.d/tree";
    let line = format!("plugin install {}", desk.at("tree"));
    for path in [format!("{place}/templates/half-written.tera"), place.to_owned()] {
        desk.tree.put(&path, "mine");
        for flags in ["", " --replace", " --dry-run"] {
            let why = desk.refuses(&format!("{line}{flags}"), 2, "plugin-exists");
            assert!(why.contains("modules.d/tree is there, and is no plugin"), "{why}");
        }
        assert_eq!(desk.tree.text(&path), "mine");
        match path == place {
            true => desk.tree.remove(place),
            false => fs::remove_dir_all(desk.tree.at(place)).unwrap(),
        }
    }
    desk.tree.call(&line).ends(0);
}

#[test]
fn a_broken_plugin_is_listed_and_can_be_put_out_of_the_way() {
    let desk = Desk::new();
    let tree = &desk.tree;
    tree.module("broken", "resources:\n  - fiel: /x\n");
    tree.module("needs", "depends_on: [broken]\n");
    desk.refuses("plan --profile small", 2, "kind-unknown");
    let all = desk.plugins();
    assert_eq!(all[0]["problems"], json!(["unknown kind \"fiel\""]));
    let text = tree.call("plugin list").ends(0).out;
    assert!(text.contains("broken: unknown kind"), "{text}");
    tree.call("plugin disable broken").ends(0);
    desk.refuses("plan --profile small", 2, "plugin-disabled");
    tree.call("plugin disable needs").ends(0);
    tree.call("plan --profile small").ends(4);
    desk.refuses("plugin enable broken", 2, "kind-unknown");
    desk.refuses("plugin enable needs", 2, "plugin-disabled");
    desk.refuses("plugin enable ../conf.d", 2, "plugin-unknown");
    let why = desk.refuses("plugin enable web", 2, "plugin-unknown");
    assert!(why.contains("come with the program"), "{why}");
    tree.module("broken", "");
    desk.refuses("plugin disable broken", 1, "plugin-exists");
    tree.call("plugin remove broken --yes").ends(0);
    tree.call("plugin remove broken --yes").ends(0);
    tree.call("plugin remove needs --yes").ends(0);
    assert_eq!(desk.plugins(), json!([]));
    assert_eq!(fs::read_dir(tree.at("/etc/vps-configurator/modules.d")).unwrap().count(), 0);
}

#[test]
fn nobody_who_brings_or_asks_something_keeps_a_change_from_being_taken_back() {
    let desk = Desk::new();
    let tree = &desk.tree;
    let line = format!("plugin install {}", desk.at("tree"));
    tree.call(&line).ends(0);
    // A question on a terminal that nobody answers.
    let pty = openpty(None, None).unwrap();
    let mut asks = program(tree.root());
    asks.args(["plugin", "remove", "tree"]).stdin(pty.slave).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut asks = asks.spawn().unwrap();
    let mut told = Vec::new();
    let mut stream = asks.stderr.take().unwrap();
    while !told.ends_with(b"[y/N] ") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        told.extend(byte);
    }
    tree.call("install --profile full --module people --confirm always --yes").ends(0);
    desk.refuses(&format!("{line} --replace"), 1, "confirm-waiting");
    tree.call("rollback --yes").ends(0);
    File::from(pty.master.try_clone().unwrap()).write_all(b"y\n").unwrap();
    assert!(asks.wait().unwrap().success());
    assert_eq!(desk.plugins(), json!([]));
}

#[test]
fn a_plugin_that_can_not_even_be_read_is_listed_and_can_be_put_out_of_the_way() {
    let desk = Desk::new();
    let tree = &desk.tree;
    let place = tree.at("/etc/vps-configurator/modules.d/lost");
    fs::create_dir_all(&place).unwrap();
    symlink("/home/ada/gone.yaml", place.join("module.yaml")).unwrap();
    desk.refuses("plan --profile small", 2, "modules-unreadable");
    let all = desk.plugins();
    assert!(all[0]["problems"][0].as_str().unwrap().contains("modules.d/lost/module.yaml"), "{all}");
    tree.call("plugin disable lost").ends(0);
    tree.call("plan --profile small").ends(4);
    tree.call("plugin remove lost --yes").ends(0);
    assert!(!place.exists() && desk.plugins() == json!([]));
}

#[test]
fn a_plugin_that_another_needs_does_not_go() {
    let desk = Desk::new();
    desk.tree.call(&format!("plugin install {}", desk.at("tree"))).ends(0);
    desk.tree.module("wood", "depends_on: [tree]\n");
    for line in ["plugin disable tree", "plugin remove tree --yes"] {
        let why = desk.refuses(line, 2, "plugin-in-use");
        assert!(why.contains("wood depends on \"tree\""), "{why}");
    }
    desk.tree.call("plugin disable tree --force").ends(0);
    desk.tree.call("plugin enable tree").ends(0);
    desk.tree.call("plan --profile small --module wood").ends(4);
}
