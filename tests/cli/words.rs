//! What each command prints and how it ends.

use crate::support::tree::Tree;

#[test]
fn a_small_profile_is_planned_applied_verified_and_taken_back() {
    let tree = Tree::new();
    let before = tree.listing();
    let plan = tree.call("plan --profile full").ends(4);
    println!("{}", plan.out);
    let done = tree.call("install --profile full --yes").ends(0);
    println!("{}{}", done.out, done.err);
    let verified = tree.call("verify --profile full");
    println!("{}{}", verified.out, verified.err);
    let again = tree.call("install --profile full --yes").ends(0);
    println!("{}", again.out);
    let back = tree.call("rollback --yes");
    println!("{}{}", back.out, back.err);
    tree.must_be(&before, "after the rollback");
}
