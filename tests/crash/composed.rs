//! Plans of several kinds that hang together.

use crate::cases::{KEY, running};
use crate::points::Case;
use crate::support::tree::Tree;

/// All of them: what is installed, and on what.
pub fn cases() -> Vec<Case> {
    let case = |name: &str, modules: &[&str], tree: fn(&str) -> Tree| {
        let mut install = "install --profile small --yes".to_owned();
        for module in modules {
            install.push_str(&format!(" --module {module} --set modules.{module}.enabled=true"));
        }
        // One after the other, so that the kill points are the same ones each time.
        install.push_str(" --set apply.workers=1");
        Case { name: name.to_owned(), install, tree, but: None, second: 1 }
    };
    let dropped = |name: &str, tree: fn(&str) -> Tree| {
        let install = "install --profile small --yes --set apply.workers=1".to_owned();
        Case { name: name.to_owned(), install, tree, but: None, second: 1 }
    };
    vec![
        dropped("dropped: a file, a unit, a user", dropped_files),
        dropped("dropped: packages, their files, their unit", dropped_packages),
        case("a group: file, checker, restart, probe", &["case"], group),
        case("a group that comes up and dies", &["case"], group_that_dies),
        dropped("an edited file is merged, and read by its unit", edited_file),
        case("people: group, user, member, key, sudo", &["case"], people),
        case("packages: they, their files, their unit", &["web"], |_| Tree::new()),
    ]
}

/// A unit that runs and listens, and is to read another configuration.
fn group(_: &str) -> Tree {
    listening("ours", 0)
}

/// The same; with that configuration it starts, and dies.
fn group_that_dies(_: &str) -> Tree {
    listening("DIES", 3)
}

fn listening(content: &str, stable: u32) -> Tree {
    let tree = Tree::new();
    running(&tree, "LISTENS=8081\n");
    tree.module(
        "case",
        &format!(
            "resources:
  - {{directory: /etc/theirs.d, mode: \"0750\"}}
  - {{file: /etc/theirs.d/more.conf, content: \"more\\n\", notify: [reload own.service]}}
  - {{file: /etc/theirs.conf, content: \"{content}\\n\", check: [visudo, -cf, \"{{path}}\"], notify: [restart own.service]}}
  - {{unit: own.service, enabled: true, active: true, healthy: {{port: 8081, stable: {stable}}}}}
"
        ),
    );
    tree
}

/// Somebody who may log in and become root.
fn people(_: &str) -> Tree {
    let tree = Tree::new();
    tree.module(
        "case",
        &format!(
            "resources:
  - {{group: dev, gid: 2000}}
  - {{user: anna, shell: /bin/zsh, comment: Anna}}
  - {{member: anna/dev}}
  - {{authorized_key: anna, keys: [\"{KEY}\"]}}
  - {{file: /etc/sudoers.d/anna, content: \"anna ALL=(ALL) ALL\\n\", mode: \"0440\", check: [visudo, -cf, \"{{path}}\"]}}
"
        ),
    );
    tree
}

/// A host on which a module stands that the profile no longer asks for.
fn dropped_files(_: &str) -> Tree {
    let tree = Tree::new();
    running(&tree, "");
    let resources = "resources:
  - {file: /etc/theirs.conf, content: \"ours\\n\", notify: [restart own.service]}
  - {unit: own.service, enabled: false, active: true}
  - {user: anna, shell: /bin/zsh, comment: Anna}
";
    dropping(tree, "case", Some(resources))
}

/// A host on which somebody edited a file of ours that is now wanted otherwise.
fn edited_file(_: &str) -> Tree {
    let tree = Tree::new();
    running(&tree, "");
    let of = |first: &str| {
        let content = format!("{first}\\nsecond\\nthird\\n");
        let file = format!("file: /etc/theirs.conf, content: \"{content}\", notify: [restart own.service]");
        tree.module("case", &format!("resources:\n  - {{{file}, check: [visudo, -cf, \"{{path}}\"]}}\n"));
    };
    of("first");
    tree.enable(&["case"]);
    tree.call("install --profile small --yes").ends(0);
    tree.put("/etc/theirs.conf", "first\nsecond\nthird\nby hand\n");
    of("another");
    tree
}

fn dropped_packages(_: &str) -> Tree {
    dropping(Tree::new(), "web", None)
}

fn dropping(tree: Tree, module: &str, resources: Option<&str>) -> Tree {
    if let Some(resources) = resources {
        tree.module(module, resources);
    }
    tree.enable(&[module]);
    tree.call("install --profile small --yes").ends(0);
    tree.enable(&[]);
    tree
}
