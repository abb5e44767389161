//! What a module brought and another one wants, too.

use crate::support::tree::Tree;

#[test]
fn a_package_that_a_later_module_wants_too_stays_when_the_first_one_is_taken_back() {
    let tree = Tree::new();
    tree.module("first", "resources:\n  - package: tool\n  - file: /etc/first\n    content: x\n");
    tree.module("second", "resources:\n  - package: tool\n");
    let before = tree.listing();
    tree.enable(&["first"]);
    tree.call("install --yes").ends(0);
    tree.enable(&["first", "second"]);
    assert_eq!(tree.call("install --yes --json").ends(0).json()["changes"], 0, "second finds it there");
    let shown = tree.call("rollback --module first --dry-run").ends(0);
    assert!(shown.out.contains("tool stay: module second wants them"), "{}", shown.out);
    tree.call("rollback --module first --yes").ends(0);
    assert!(tree.has("/usr/bin/tool") && !tree.has("/etc/first"));
    let shown = tree.call("rollback --module second --dry-run").ends(0);
    assert!(shown.out.contains("purge 1 package: tool"), "it is second's now: {}", shown.out);
    tree.call("rollback --to 0 --yes").ends(0);
    std::fs::remove_file(tree.at("/etc/vps-configurator/config.yaml")).unwrap();
    tree.must_be(&before, "after everything was taken back");
}
