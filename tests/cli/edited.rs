//! Files of ours that somebody edited since.

use crate::support::tree::Tree;
use serde_json::{Value, json};

const FILE: &str = "/etc/mine.conf";
const OPTIONS: &str = "options:
  one: {type: string, default: \"1\", help: x}
  two: {type: string, default: \"2\", help: x}
";

/// A module with a file of three lines, two of which are options.
fn tree(more: &str) -> Tree {
    let tree = Tree::new();
    // The simulated programs, which no package brought a moment ago, are nobody's finding.
    tree.put("/etc/vps-configurator/conf.d/10-drift.yaml", "drift: {skip: [programs]}\n");
    let resources = format!(
        "resources:\n  - file: {FILE}\n    content: |\n      one = {{{{ options.one }}}}\n      between = x\n      two = {{{{ options.two }}}}\n{more}"
    );
    tree.module("mine", &format!("{OPTIONS}{resources}"));
    tree.enable(&["mine"]);
    tree.call("install --yes").ends(0);
    assert_eq!(tree.text(FILE), "one = 1\nbetween = x\ntwo = 2\n");
    tree
}

fn set(tree: &Tree, one: &str, two: &str) {
    let config = format!("profile: small\nmodules:\n  mine: {{enabled: true, one: \"{one}\", two: \"{two}\"}}\n");
    tree.put("/etc/vps-configurator/config.yaml", config);
}

fn findings(tree: &Tree, code: i32) -> Vec<String> {
    let value = tree.call("verify --json").ends(code).json();
    assert_eq!(value["drift"], json!([]), "{value}");
    value["findings"].as_array().unwrap().iter().map(|finding| finding["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_edit_is_drift_that_the_next_install_takes_out_and_a_rollback_brings_back() {
    let tree = tree("");
    let edited = "one = 1\nbetween = x\ntwo = 2\nmy own\n";
    tree.put(FILE, edited);
    let value = tree.call("verify --json").ends(4).json();
    assert_eq!((&value["drift"][0]["resource"], &value["findings"]), (&json!(format!("file:{FILE}")), &json!([])));
    let shown = tree.call("plan").ends(4).out;
    assert!(shown.contains("edited by hand since transaction 1: that goes") && shown.contains("-my own"), "{shown}");
    let done = tree.call("install --yes").ends(0).out;
    assert!(done.contains("edited by hand since transaction 1: that goes"), "{done}");
    assert_eq!(tree.text(FILE), "one = 1\nbetween = x\ntwo = 2\n");
    tree.call("rollback --yes").ends(0);
    assert_eq!(tree.text(FILE), edited);
}

#[test]
fn an_edit_that_was_accepted_stays_and_what_comes_beside_it_does_not() {
    let tree = tree("");
    let edited = "mine = yes\none = 1\nbetween = x\ntwo = 2\n";
    tree.put(FILE, edited);
    tree.call(&format!("finding accept edits:{FILE}* --reason wanted")).ends(0);
    assert!(findings(&tree, 0).is_empty());
    assert_eq!(tree.call("install --yes --json").ends(0).json()["changes"], 0);
    tree.put(FILE, format!("{edited}evil = yes\n"));
    let drift = tree.call("verify --json").ends(4).json()["drift"].clone();
    assert!(drift[0]["diff"].as_str().unwrap().ends_with("-evil = yes\n"), "{drift}");
    tree.call("install --yes").ends(0);
    assert_eq!(tree.text(FILE), edited);
    assert!(findings(&tree, 0).is_empty());
    // Whoever takes it out again needs nobody's word.
    tree.put(FILE, "one = 1\nbetween = x\ntwo = 2\n");
    assert!(findings(&tree, 0).is_empty());
    assert_eq!(tree.call("install --yes --json").ends(0).json()["changes"], 0);
}

#[test]
fn a_word_that_is_withdrawn_leaves_the_edit_to_the_next_install() {
    let tree = tree("");
    tree.put(FILE, "mine = yes\none = 1\nbetween = x\ntwo = 2\n");
    tree.call("finding accept edits:*").ends(0);
    tree.call("finding withdraw edits:*").ends(0);
    tree.call("install --yes").ends(0);
    assert_eq!(tree.text(FILE), "one = 1\nbetween = x\ntwo = 2\n");
}

#[test]
fn an_edit_is_merged_with_what_is_wanted_now_and_told_until_it_is_accepted() {
    let tree = tree("");
    let edited = "one = 1\nbetween = x\ntwo = 2\nmy own\n";
    tree.put(FILE, edited);
    tree.set_mode(FILE, 0o600);
    let before = tree.listing();
    set(&tree, "11", "2");
    let shown = tree.call("plan").ends(4).out;
    assert!(shown.contains("edited by hand since transaction 1: those lines are kept"), "{shown}");
    assert!(shown.contains("-one = 1") && shown.contains("+one = 11") && shown.contains("mode 0600 → 0644"), "{shown}");
    tree.call("install --dry-run").ends(0);
    let done = tree.call("install --yes --json").ends(0).json();
    assert_eq!((&done["changes"], &done["deviations"]), (&json!(1), &json!([])), "{done}");
    assert!(done["edited"][0].as_str().unwrap().contains("merged"), "{done}");
    let merged = "one = 11\nbetween = x\ntwo = 2\nmy own\n";
    assert_eq!(tree.text(FILE), merged);
    // A second run has nothing to do, and what is not ours is told until somebody says that it is right.
    assert_eq!(tree.call("install --yes --json").ends(0).json()["changes"], 0);
    let found = findings(&tree, 4);
    assert!(found.len() == 1 && found[0].starts_with(&format!("edits:{FILE}#")), "{found:?}");
    let words = tree.call("verify").ends(4).out;
    assert!(words.contains("line 4: `my own` was put in by hand"), "{words}");
    tree.call(&format!("finding accept {}", found[0])).ends(0);
    assert!(findings(&tree, 0).is_empty());
    // What comes on top of it is drift, and goes alone.
    tree.put(FILE, format!("{merged}evil\n"));
    tree.call("verify").ends(4);
    tree.call("install --yes").ends(0);
    assert_eq!(tree.text(FILE), merged);
    tree.call("rollback --yes").ends(0);
    tree.call("rollback --yes").ends(0);
    set(&tree, "11", "2");
    assert_eq!(tree.text(FILE), edited);
    let listing = tree.listing();
    assert_eq!(listing.get(FILE), before.get(FILE), "as it was before the merge, with its mode");
}

#[test]
fn where_both_meet_the_file_stays_is_told_and_everything_else_goes_on() {
    let tree = tree("  - file: /etc/other.conf\n    content: \"{{ options.one }}\\n\"\n");
    let edited = "one = mine\nbetween = x\ntwo = 2\n";
    tree.put(FILE, edited);
    set(&tree, "11", "22");
    let shown = tree.call("plan").ends(4).out;
    assert!(shown.contains("line 1: there is `one = mine`; wanted is `one = 11`"), "{shown}");
    assert!(shown.contains("-one = mine") && shown.contains("+one = 11"), "{shown}");
    let plan = tree.call("plan --json").ends(4).json();
    assert_eq!(plan["plan"]["left"][0]["id"], format!("file:{FILE}"));
    let done = tree.call("install --yes").ends(4).out;
    assert!(done.contains("Not as wanted, and left as it is") && done.contains("there is `one = mine`"), "{done}");
    assert_eq!((tree.text(FILE).as_str(), tree.text("/etc/other.conf").as_str()), (edited, "11\n"));
    let again = tree.call("install --yes --json").ends(4).json();
    assert_eq!((&again["changes"], &again["status"]), (&json!(0), &json!("findings")), "{again}");
    let verified = tree.call("verify --json").ends(4).json();
    assert_eq!((&verified["status"], &verified["drift"]), (&json!("drift"), &json!([])));
    assert_eq!(verified["left"][0]["module"], "mine");
    // The words of whoever edited it count for theirs.
    tree.call(&format!("finding accept edits:{FILE}*")).ends(0);
    tree.call("install --yes").ends(0);
    assert_eq!(tree.text(FILE), "one = mine\nbetween = x\ntwo = 22\n");
    // And moved away, it is as wanted.
    tree.remove(FILE);
    tree.call("install --yes").ends(0);
    assert_eq!(tree.text(FILE), "one = 11\nbetween = x\ntwo = 22\n");
}

#[test]
fn a_file_that_was_removed_by_hand_is_written_anew() {
    let tree = tree("");
    tree.remove(FILE);
    set(&tree, "11", "2");
    assert_eq!(tree.call("install --yes --json").ends(0).json()["changes"], 1);
    assert_eq!(tree.text(FILE), "one = 11\nbetween = x\ntwo = 2\n");
}

#[test]
fn what_is_no_text_is_never_merged() {
    let tree = tree("");
    for bytes in [&b"one = 1\nbetween = \xff\ntwo = 2\n"[..], b"\0", &vec![b'x'; 300 * 1024]] {
        tree.put(FILE, bytes);
        set(&tree, "11", "2");
        let shown = tree.call("install --yes").ends(4).out;
        assert!(shown.contains("it can't be merged"), "{shown}");
        assert_eq!(std::fs::read(tree.at(FILE)).unwrap(), bytes);
        set(&tree, "1", "2");
        tree.call("install --yes").ends(0);
        assert_eq!(tree.text(FILE), "one = 1\nbetween = x\ntwo = 2\n", "it was drift");
    }
}

#[test]
fn line_ends_stay_as_they_are() {
    let tree = tree("");
    tree.put(FILE, "one = 1\nbetween = x\ntwo = 2");
    set(&tree, "11", "2");
    tree.call("install --yes").ends(0);
    assert_eq!(tree.text(FILE), "one = 11\nbetween = x\ntwo = 2");
    tree.put(FILE, "one = 11\r\nbetween = x\r\ntwo = 2\r\n");
    set(&tree, "1", "2");
    tree.call("install --yes").ends(4);
    assert_eq!(tree.text(FILE), "one = 11\r\nbetween = x\r\ntwo = 2\r\n", "every line of it is theirs");
}

#[test]
fn a_secret_is_neither_merged_nor_shown() {
    let tree = Tree::new();
    let of = |content: &str| {
        tree.module(
            "mine",
            &format!("resources:\n  - {{file: {FILE}, content: \"{content}\\n\", mode: \"0600\", secret: true}}\n"),
        );
    };
    of("token = first");
    tree.enable(&["mine"]);
    tree.call("install --yes").ends(0);
    tree.put(FILE, "token = first\ntheirs = hush\n");
    of("token = second");
    for command in ["plan --json", "install --yes --json", "verify --json"] {
        let out = tree.call(command).ends(4).out;
        assert!(!out.contains("hush") && !out.contains("= second"), "{out}");
    }
    assert_eq!(tree.text(FILE), "token = first\ntheirs = hush\n");
    assert!(!tree.call("transaction show 1 --json").ends(0).out.contains("hush"));
}

#[test]
fn without_a_base_an_edit_is_no_edit_of_ours() {
    let tree = Tree::new();
    tree.put(FILE, "theirs\n");
    tree.module("mine", &format!("resources:\n  - {{file: {FILE}, content: \"ours\\n\"}}\n"));
    tree.enable(&["mine"]);
    let shown = tree.call("plan").ends(4).out;
    assert!(shown.contains("did not write") && !shown.contains("edited by hand"), "{shown}");
    tree.call("install --yes").ends(0);
    assert_eq!(tree.text(FILE), "ours\n");
    tree.call("rollback --yes").ends(0);
    assert_eq!(tree.text(FILE), "theirs\n");
}

#[test]
fn what_a_checker_refuses_of_a_merged_file_never_gets_there() {
    let tree = Tree::new();
    let of = |who: &str| {
        let content = format!("{who} ALL=(ALL) ALL\\n# between\\n# more\\n");
        let check = "check: [visudo, -cf, \"{path}\"]";
        let file = format!("{{file: /etc/sudoers.d/mine, content: \"{content}\", mode: \"0440\", {check}}}");
        tree.module("mine", &format!("resources:\n  - {file}\n"));
    };
    of("ada");
    tree.enable(&["mine"]);
    tree.call("install --yes").ends(0);
    let edited = "ada ALL=(ALL) ALL\n# between\n# more\nBROKEN\n";
    tree.put("/etc/sudoers.d/mine", edited);
    of("bob");
    let refused = tree.call("install --yes --json").ends(1);
    assert!(refused.out.contains("syntax error"), "{}", refused.out);
    assert_eq!(tree.text("/etc/sudoers.d/mine"), edited);
}

#[test]
fn a_plan_that_was_saved_before_the_edit_is_refused() {
    let tree = tree("");
    set(&tree, "11", "2");
    let plan = tree.at("/tmp/plan.json");
    tree.call(&format!("plan --out {}", plan.display())).ends(4);
    tree.put(FILE, "one = 1\nbetween = x\ntwo = 2\nmy own\n");
    let refused = tree.call(&format!("install --plan {} --yes", plan.display())).ends(1);
    assert!(refused.err.contains("host-moved") && refused.err.contains(FILE), "{}", refused.err);
    assert_eq!(tree.text(FILE), "one = 1\nbetween = x\ntwo = 2\nmy own\n");
}

#[test]
fn an_edit_of_a_block_of_ours_is_drift_of_that_block_alone() {
    let tree = Tree::new();
    tree.put("/etc/theirs", "first\n");
    let of = |content: &str| {
        tree.module(
            "mine",
            &format!("resources:\n  - {{block: /etc/theirs, marker: mine, content: \"{content}\\n\"}}\n"),
        );
    };
    of("one");
    tree.enable(&["mine"]);
    tree.call("install --yes").ends(0);
    let edited = tree.text("/etc/theirs").replace("one", "edited").replace("first", "FIRST");
    tree.put("/etc/theirs", &edited);
    of("two");
    tree.call("install --yes").ends(0);
    assert!(tree.text("/etc/theirs").contains("two") && tree.text("/etc/theirs").contains("FIRST"));
    tree.call("rollback --yes").ends(0);
    assert_eq!(tree.text("/etc/theirs"), edited);
}

#[test]
fn what_the_profile_drops_of_a_merged_file_keeps_a_copy_of_the_edit() {
    let tree = tree("");
    tree.put(FILE, "one = 1\nbetween = x\ntwo = 2\nmy own\n");
    set(&tree, "11", "2");
    tree.call("install --yes").ends(0);
    tree.enable(&[]);
    let done: Value = tree.call("install --yes --json").ends(0).json();
    assert!(!tree.has(FILE));
    let kept = done["kept"].to_string();
    assert!(kept.contains("kept as"), "{done}");
}
