//! The shipped profile `beginner`, whole, on the simulated host.

use crate::support::tree::Tree;

#[test]
fn the_shipped_profile_is_installed_as_planned_changes_nothing_twice_and_goes_away_again() {
    let tree = Tree::shipped();
    let before = tree.listing();
    let plan = tree.call("plan --profile beginner --set modules.system.swap_size_mb=1 --json").ends(4).json();
    let done = tree.call("install --profile beginner --set modules.system.swap_size_mb=1 --yes --json").ends(0).json();
    assert_eq!(done["deviations"], serde_json::json!([]), "{done:#}");
    assert_eq!(done["changes"], plan["plan"]["steps"].as_array().unwrap().len());
    let sshd = tree.text("/etc/ssh/sshd_config.d/00-vps-configurator.conf");
    assert!(sshd.contains("MaxAuthTries 4"), "{sshd}");
    let again = tree.call("install --profile beginner --set modules.system.swap_size_mb=1 --yes --json").ends(0).json();
    assert_eq!(again["changes"], 0);
    tree.call("rollback --yes").ends(0);
    tree.must_be(&before, "after the rollback of beginner");
}
