//! What a changed profile no longer asks for.

use crate::support::tree::Tree;

/// `small`, and of a module of the administrator's what `rest` says.
fn with(rest: &str) -> Tree {
    let tree = Tree::new();
    tree.module("mine", rest);
    tree.enable(&["mine"]);
    tree
}

#[test]
fn a_module_that_leaves_the_profile_goes_and_what_others_want_stays() {
    let tree = Tree::new();
    tree.module("other", "resources:\n  - package: tool\n  - file: /etc/other\n    content: x\n");
    tree.enable(&["other"]);
    tree.call("install --yes").ends(0);
    tree.module(
        "mine",
        "resources:\n  - package: [web, tool]\n  - file: /etc/mine.d/mine\n    content: mine\n  - user: mia\n",
    );
    tree.enable(&["other", "mine"]);
    tree.call("install --yes").ends(0);
    let with = tree.listing();
    tree.enable(&["other"]);
    let shown = tree.call("plan").ends(4).out;
    let words = "- file:/etc/mine.d/mine: no longer asked for\n";
    assert!(shown.contains(words) && shown.contains("remove /etc/mine.d/mine"), "{shown}");
    assert!(shown.contains("profile small does not ask for web; transaction 2 (small) did"), "{shown}");
    assert!(shown.contains("0 to create, 0 to update, 3 to remove"), "{shown}");
    let plan = tree.call("plan --json").ends(4).json();
    let first = &plan["plan"]["steps"][0];
    assert_eq!((&first["change"]["action"], &first["dropped"]["transaction"]), (&"remove".into(), &2.into()));
    assert_eq!(first["dropped"]["profile"], "small");
    assert_eq!(tree.call("verify --json").ends(4).json()["drift"].as_array().unwrap().len(), 3);
    tree.call("install --dry-run").ends(0);
    let done = tree.call("install --yes --json").ends(0).json();
    assert_eq!((&done["changes"], &done["deviations"]), (&3.into(), &serde_json::json!([])));
    assert!(tree.has("/usr/bin/tool") && !tree.has("/usr/bin/web") && !tree.has("/etc/mine.d"));
    assert_eq!(tree.call("install --yes --json").ends(0).json()["changes"], 0);
    // Nothing of it stands for a rollback of the module.
    assert!(tree.call("rollback --module mine --dry-run").ends(0).out.contains("Nothing of module mine stands"));
    tree.call("rollback --yes").ends(0);
    tree.enable(&["other", "mine"]);
    tree.must_be(&with, "what was dropped is back");
    assert_eq!(tree.call("install --yes --json").ends(0).json()["changes"], 0);
    tree.call("rollback --module mine --yes").ends(0);
    assert!(tree.has("/usr/bin/tool") && !tree.has("/usr/bin/web") && !tree.has("/etc/mine.d"));
    assert!(!tree.text("/etc/passwd").contains("mia:"));
}

#[test]
fn everything_taken_back_after_something_was_dropped_is_the_host_as_it_was() {
    let tree = with("resources:\n  - package: web\n  - file: /etc/mine\n    content: mine\n");
    let before = tree.listing();
    tree.call("install --yes").ends(0);
    tree.enable(&[]);
    tree.call("install --yes").ends(0);
    tree.call("rollback --to 0 --yes").ends(0);
    tree.enable(&["mine"]);
    tree.must_be(&before, "all was taken back");
    assert!(tree.call("rollback --list").ends(0).out.contains("Nothing stands"));
}

#[test]
fn a_module_that_was_dropped_and_came_back_leaves_the_packages_of_the_others_to_be_taken_back() {
    let tree = Tree::new();
    tree.module("mine", "resources:\n  - package: web\n");
    tree.module("other", "resources:\n  - package: tool\n");
    tree.enable(&["mine", "other"]);
    let before = tree.listing();
    tree.call("install --yes").ends(0);
    tree.enable(&["other"]);
    tree.call("install --yes").ends(0);
    tree.call("rollback --yes").ends(0);
    tree.enable(&["mine", "other"]);
    tree.call("rollback --to 0 --yes").ends(0);
    tree.must_be(&before, "all was taken back");
}

#[test]
fn what_leaves_a_list_goes_alone() {
    let options = "options:\n  packages: {type: list, items: {type: string}, default: [web, tool], help: x}\n  files: {type: list, items: {type: string}, default: [a, b], help: x}\n";
    let rest = "resources:\n  - package: \"{{ item }}\"\n    for_each: options.packages\n  - file: \"/etc/mine-{{ item }}\"\n    for_each: options.files\n    content: x\n";
    let tree = with(&format!("{options}{rest}"));
    tree.call("install --yes").ends(0);
    let config = "profile: small\nmodules:\n  mine: {enabled: true, packages: [web], files: [b]}\n";
    tree.put("/etc/vps-configurator/config.yaml", config);
    let done = tree.call("install --yes --json").ends(0).json();
    assert_eq!(done["changes"], 2, "{done}");
    assert!(
        tree.has("/usr/bin/web") && !tree.has("/usr/bin/tool") && !tree.has("/etc/mine-a") && tree.has("/etc/mine-b")
    );
    assert_eq!(tree.call("install --yes --json").ends(0).json()["changes"], 0);
    tree.call("rollback --yes").ends(0);
    assert!(tree.has("/usr/bin/tool") && tree.has("/etc/mine-a"));
    // And once more from there: what came back is as good as what was there first.
    assert_eq!(tree.call("install --yes --json").ends(0).json()["changes"], 2);
    assert!(!tree.has("/usr/bin/tool") && !tree.has("/etc/mine-a"));
}

#[test]
fn what_came_by_a_selection_beside_the_profile_stays_and_is_told() {
    let tree = Tree::new();
    tree.module("mine", "resources:\n  - package: web\n  - file: /etc/mine\n    content: mine\n");
    tree.module("other", "resources:\n  - package: web\n  - file: /etc/other\n    content: other\n");
    tree.enable(&["other"]);
    tree.call("install --yes").ends(0);
    tree.call("install --module mine --yes").ends(0);
    tree.call("install --set modules.mine.enabled=true --yes").ends(0);
    assert_eq!(tree.call("install --yes --json").ends(0).json()["changes"], 0);
    tree.enable(&[]);
    // Neither a run for some modules nor one without some takes anything back.
    tree.call("install --module base --yes").ends(0);
    tree.call("install --skip base --yes").ends(0);
    assert!(tree.has("/etc/other"));
    let shown = tree.call("plan").ends(4).out;
    assert!(shown.contains("module mine is not the profile's; it came by itself with transaction 2"), "{shown}");
    tree.call("install --yes").ends(0);
    assert!(!tree.has("/etc/other") && tree.has("/etc/mine") && tree.has("/usr/bin/web"));
    // Once the profile has asked for it, it is the profile's.
    tree.enable(&["mine"]);
    tree.call("install --set modules.base.enabled=true --yes").ends(0);
    tree.put("/etc/more", "x");
    tree.module("mine", "resources:\n  - package: web\n  - file: /etc/mine\n    content: more\n");
    tree.call("install --yes").ends(0);
    tree.enable(&[]);
    let done = tree.call("install --yes").ends(0);
    assert!(!tree.has("/etc/mine") && !tree.has("/usr/bin/web"), "{}", done.out);
}

#[test]
fn an_edited_file_goes_with_a_copy_kept_and_comes_back_as_it_was_edited() {
    let tree = with("resources:\n  - file: /etc/mine\n    content: |\n      one\n      two\n");
    tree.call("install --yes").ends(0);
    tree.put("/etc/mine", "one\nmy own\n");
    tree.set_mode("/etc/mine", 0o600);
    let edited = tree.listing();
    tree.enable(&[]);
    let shown = tree.call("plan").ends(4).out;
    assert!(shown.contains("keep a copy of /etc/mine, which was changed since"), "{shown}");
    let done = tree.call("install --yes --json").ends(0).json();
    assert!(done["kept"][0].as_str().unwrap().contains("that version is kept as"), "{done}");
    assert!(!tree.has("/etc/mine"));
    tree.call("rollback --yes").ends(0);
    tree.enable(&["mine"]);
    tree.must_be(&edited, "the edited file is back");
}

#[test]
fn what_took_the_place_of_what_was_dropped_is_not_lost() {
    let tree = with("resources:\n  - file: /etc/mine\n    content: ours\n");
    tree.call("install --yes").ends(0);
    tree.enable(&[]);
    tree.call("install --yes").ends(0);
    tree.put("/etc/mine", "theirs\n");
    let shown = tree.call("rollback --yes --json").ends(0).json();
    assert!(shown["kept"][0].as_str().unwrap().contains("did not write"), "{shown}");
    assert_eq!(tree.text("/etc/mine"), "ours");
    tree.call("rollback --module mine --yes").ends(0);
    assert_eq!(tree.text("/etc/mine"), "theirs\n");
}

#[test]
fn a_saved_plan_that_drops_something_is_carried_out_or_refused_when_the_host_moved() {
    let tree = with("resources:\n  - file: /etc/mine\n    content: ours\n");
    tree.call("install --yes").ends(0);
    tree.enable(&[]);
    let saved = tree.at("/root/plan.json").display().to_string();
    tree.run(["plan", "--out", &saved]).ends(4);
    tree.put("/etc/mine", "edited\n");
    assert!(tree.run(["install", "--plan", &saved, "--yes"]).ends(1).err.contains("file:/etc/mine"));
    assert_eq!(tree.text("/etc/mine"), "edited\n");
    tree.run(["plan", "--out", &saved]).ends(4);
    tree.run(["install", "--plan", &saved, "--yes"]).ends(0);
    assert!(!tree.has("/etc/mine"));
}

#[test]
fn what_cannot_be_taken_back_fails_its_module_alone_and_stands_as_before() {
    let command = "  - command: mark\n    run: [mark]\n    creates: /etc/marked\n    undo: [nosuch]\n";
    let tree = with(&format!("resources:\n{command}  - file: /etc/mine\n    content: ours\n"));
    tree.program("/usr/sbin/mark", "#!/bin/sh\necho x > $VPS_ROOT/etc/marked\n");
    tree.call("install --yes").ends(0);
    let with = tree.listing();
    tree.module("new", "resources:\n  - file: /etc/new\n    content: new\n");
    tree.enable(&["new"]);
    let done = tree.call("install --yes --json").ends(1).json();
    assert_eq!((&done["status"], &done["rollback_complete"]), (&"degraded".into(), &true.into()), "{done}");
    assert!(tree.has("/etc/mine") && tree.has("/etc/marked") && tree.has("/etc/new"));
    tree.call("rollback --yes").ends(0);
    std::fs::remove_dir_all(tree.at("/etc/vps-configurator/modules.d/new")).unwrap();
    tree.enable(&["mine"]);
    tree.must_be(&with, "nothing was dropped");
}

#[test]
fn a_person_who_left_the_profile_comes_back_with_number_password_and_home() {
    let tree = with("resources:\n  - user: mia\n");
    tree.call("install --yes").ends(0);
    let shadow = tree.text("/etc/shadow");
    let line = shadow.lines().find(|line| line.starts_with("mia:")).unwrap();
    let rest = line.splitn(3, ':').nth(2).unwrap();
    tree.put("/etc/shadow", shadow.replace(line, &format!("mia:$y$hash:{rest}")));
    tree.set_mode("/etc/shadow", 0o640);
    tree.put("/home/mia/thesis", "years of work");
    let with = tree.listing();
    let person = tree.text("/etc/passwd").lines().find(|line| line.starts_with("mia:")).unwrap().to_owned();
    tree.enable(&[]);
    let done = tree.call("install --yes --json").ends(0).json();
    assert!(done["kept"][0].as_str().unwrap().contains("/home/mia: somebody put thesis there"), "{done}");
    assert!(!tree.text("/etc/passwd").contains("mia:") && tree.has("/home/mia/thesis"));
    // Somebody else comes meanwhile.
    let number: u32 = person.split(':').nth(2).unwrap().parse().unwrap();
    let other = format!("eve:x:{0}:{0}::/home/eve:/bin/sh\n", number + 7);
    tree.put("/etc/passwd", tree.text("/etc/passwd") + &other);
    tree.call("rollback --yes").ends(0);
    assert!(tree.text("/etc/passwd").contains(&person) && tree.text("/etc/shadow").contains("mia:$y$hash:"));
    tree.put("/etc/passwd", tree.text("/etc/passwd").replace(&other, ""));
    tree.enable(&["mine"]);
    tree.must_be(&with, "mia is back");
}
