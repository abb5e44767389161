//! `verify`: with what the host is compared, and what it says of what it could not see.

use crate::support::tree::Tree;

#[test]
fn without_a_selection_the_host_is_held_against_what_the_last_whole_install_was_asked_for() {
    let tree = Tree::new();
    assert!(tree.call("verify").ends(2).err.contains("code:  profile-missing"), "nothing was installed yet");
    tree.call("install --profile full --skip web --set modules.base.level=7 --yes").ends(0);
    let verified = tree.call("verify --json").ends(0).json();
    assert_eq!((&verified["status"], &verified["profile"]), (&"success".into(), &"full".into()));
    tree.call("install --profile small --module base --set modules.base.level=4 --yes").ends(0);
    let verified = tree.call("verify --json").ends(4).json();
    assert_eq!(verified["profile"], "full", "one module says nothing of the rest");
    assert_eq!(tree.call("verify --profile small --json").ends(4).json()["profile"], "small", "a selection counts");
    tree.call("rollback --yes").ends(0);
    tree.call("verify").ends(0);
    tree.call("rollback --yes").ends(0);
    assert!(tree.call("verify").ends(2).err.contains("code:  profile-missing"), "nothing stands any more");
}
