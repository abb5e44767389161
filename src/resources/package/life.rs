//! The whole life of a package transaction on a simulated host: plan, install, take back, be killed.

use super::record::decode;
use super::set::{Claim, PackageSet};
use crate::base::digest::Digest;
use crate::engine::{Change, Context, Error, Outcome, Resource, Scope, State, UndoRecord};
use crate::host::Command;
use crate::host::fake::{FakeHost, Fault};
use crate::resources::bench::{Bench, PATIENCE, dies};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

pub(super) fn bench() -> Bench {
    let bench = Bench::new();
    for program in ["apt-get", "apt-mark", "apt-cache", "dpkg", "install", "rm"] {
        bench.simulated(program);
    }
    bench.put("/usr/bin/true", "");
    let control = |name: &str, rest: &str| {
        let text = format!("Package: {name}\nVersion: 1.0\nArchitecture: amd64\nSize: 1000\nInstalled-Size: 4\n{rest}");
        bench.put(&format!("/var/lib/fake-repo/{name}/control"), text);
    };
    control("jq", "Depends: libjq1 (= 1.0)\n");
    control("libjq1", "");
    control("web", "Depends: libjq1\n");
    bench.put("/var/lib/fake-repo/jq/files/usr/bin/jq", "#!/bin/sh\n");
    bench.put("/var/lib/fake-repo/web/files/etc/web/web.conf", "default\n");
    bench.put(
        "/var/lib/fake-repo/web/postinst",
        "#!/bin/sh\necho 'web:x:990:990::/:/bin/false' >> $VPS_ROOT/etc/passwd\nln -sf web.conf $VPS_ROOT/etc/web/on\n",
    );
    for dir in ["/var/lib/dpkg/info", "/var/lib/dpkg/updates", "/var/cache/apt/archives"] {
        std::fs::create_dir_all(bench.at(dir)).unwrap();
    }
    bench.put(
        "/var/lib/dpkg/status",
        "Package: dpkg\nStatus: install ok installed\nVersion: 1.22\nArchitecture: amd64\n\n",
    );
    bench.put("/var/lib/apt/extended_states", "");
    bench.put("/var/lib/apt/lists/fake_dists_trixie_InRelease", "Label: Debian\n");
    std::fs::create_dir_all(bench.at("/var/lib/apt/lists/partial")).unwrap();
    bench
}

pub(super) fn set(claims: &[(&str, &str)]) -> PackageSet {
    let mut by_module: BTreeMap<String, Vec<Claim>> = BTreeMap::new();
    for (module, name) in claims {
        let claim = Claim { name: (*name).to_owned(), release: String::new() };
        by_module.entry((*module).to_owned()).or_default().push(claim);
    }
    PackageSet::new(by_module, BTreeSet::new())
}

fn captured(bench: &Bench, set: &PackageSet) -> (State, Change, UndoRecord) {
    let (seen, change) = bench.plan(set);
    let record = set.capture(&bench.context(), &seen, &change).unwrap();
    (seen, change, record)
}

fn installed(bench: &Bench, set: &PackageSet) -> (UndoRecord, Option<Value>) {
    let (seen, change, record) = captured(bench, set);
    set.apply(&bench.context(), &seen, &change).unwrap();
    assert_eq!(set.observe(bench.host()).unwrap(), change.after, "the plan is a promise");
    let after = decode(1, &record.data).unwrap().settle(&bench.context()).unwrap();
    (record, after)
}

/// The lists of the archive, as apt-get fetches them.
fn lists(bench: &Bench) {
    bench.host().run(&crate::host::Command::new("apt-get").arg("update")).unwrap();
}

/// The excerpts that lie there, each with the names of its packages.
fn excerpts(bench: &Bench) -> Vec<Vec<String>> {
    let dir = bench.at(crate::base::paths::APT_EXCERPTS);
    let names = |dir: std::path::PathBuf| {
        let text = std::fs::read_to_string(dir.join("fake_dists_trixie_main_binary-amd64_Packages")).unwrap();
        text.lines().filter_map(|line| line.strip_prefix("Package: ")).map(str::to_owned).collect()
    };
    let dirs = std::fs::read_dir(dir).into_iter().flatten();
    dirs.map(|entry| names(entry.unwrap().path())).collect()
}

/// What counts as before: not apt's calls and lists, which are the simulation's own.
pub(super) fn tree(bench: &Bench) -> BTreeMap<String, String> {
    let mut tree = bench.tree();
    let own = ["/run", "/var/lib/apt", "/var/lib/dpkg", "/var/cache"];
    tree.retain(|path, _| !own.iter().any(|o| path.starts_with(o)));
    tree.insert("status".into(), bench.text("/var/lib/dpkg/status").trim().to_owned());
    tree
}

#[test]
fn packages_come_and_go_with_everything_that_their_scripts_made() {
    let bench = bench();
    let before = tree(&bench);
    let set = set(&[("a", "jq"), ("b", "web")]);
    let (record, after) = installed(&bench, &set);
    assert!(bench.text("/etc/passwd").contains("web:x:990") && bench.at("/etc/web/on").is_symlink());
    assert!(!set.compare(&set.observe(bench.host()).unwrap()).unwrap().is_needed());
    let undo = decode(1, &record.data).unwrap();
    assert_eq!(undo.undo(&bench.context(), &Scope::Whole, after.as_ref()).unwrap(), Outcome::Undone);
    assert_eq!(tree(&bench), before);
    assert_eq!(undo.undo(&bench.context(), &Scope::Whole, after.as_ref()).unwrap(), Outcome::AlreadyGone);
}

#[test]
fn what_scripts_wrote_is_on_the_disk_before_the_step_ends() {
    let bench = bench();
    let set = set(&[("b", "web")]);
    let (seen, change, _) = captured(&bench, &set);
    let effects = Arc::new(Mutex::new(Vec::new()));
    let seen_by = Arc::clone(&effects);
    let host = FakeHost::new(bench.at("/"))
        .observed(Box::new(move |moment| seen_by.lock().unwrap().push(moment.what.to_owned())));
    set.apply(&Context { host: &host, ..bench.context() }, &seen, &change).unwrap();
    let effects = effects.lock().unwrap();
    assert!(effects.iter().any(|what| what.contains("apt-get")), "{effects:?}");
    assert_eq!(effects.last().map(String::as_str), Some("sync"));
}

#[test]
fn one_module_goes_with_what_only_it_needed_and_the_last_takes_the_rest() {
    let bench = bench();
    let before = tree(&bench);
    let (record, after) = installed(&bench, &set(&[("a", "jq"), ("b", "web")]));
    let undo = decode(1, &record.data).unwrap();
    let outcome = undo.undo(&bench.context(), &Scope::Module("a".into()), after.as_ref()).unwrap();
    let Outcome::Partly(rest) = outcome else { panic!("{outcome:?}") };
    let status = bench.text("/var/lib/dpkg/status");
    assert!(!status.contains("Package: jq") && status.contains("Package: libjq1") && status.contains("Package: web"));
    let rest = decode(rest.version, &rest.data).unwrap();
    let _ = rest.undo(&bench.context(), &Scope::Module("b".into()), after.as_ref()).unwrap();
    assert_eq!(tree(&bench), before);
}

#[test]
fn what_someone_needs_or_changed_since_stays_and_is_told() {
    let bench = bench();
    let (record, after) = installed(&bench, &set(&[("b", "web")]));
    bench.put("/var/lib/fake-repo/theirs/control", "Package: theirs\nVersion: 1\nArchitecture: all\nDepends: libjq1\n");
    bench.host().run(&crate::host::Command::new("apt-get").args(["install", "theirs"])).unwrap();
    bench.put("/etc/web/web.conf", "mine\n");
    let undo = decode(1, &record.data).unwrap();
    let outcome = undo.undo(&bench.context(), &Scope::Whole, after.as_ref()).unwrap();
    let Outcome::Kept(lines) = outcome else { panic!("{outcome:?}") };
    assert!(lines[0].contains("libjq1 stay: theirs"), "{lines:?}");
    assert!(lines[1].contains("a copy is /var/lib/vps-configurator/kept"), "{lines:?}");
    assert_eq!(
        bench.text(&format!(
            "/var/lib/vps-configurator/kept/packages/etc/web/{}-web.conf",
            Digest::of(b"mine\n").short()
        )),
        "mine\n"
    );
    assert!(bench.text("/var/lib/dpkg/status").contains("Package: libjq1"));
}

#[test]
fn an_unknown_name_is_refused_with_its_module_and_the_near_names() {
    let error = set(&[("a", "jqq"), ("b", "web")]).observe(bench().host()).unwrap_err();
    let Error::Refused { code, fix, module, .. } = error else { panic!("{error}") };
    assert_eq!((code, module.as_deref()), ("package-unknown", Some("a")));
    assert_eq!(fix[0], "near names: jq");
}

#[test]
fn without_lists_the_plan_fetches_its_own_and_leaves_those_of_apt_alone() {
    let bench = bench();
    std::fs::remove_dir_all(bench.at("/var/lib/apt/lists")).unwrap();
    let (_, change) = bench.plan(&set(&[("a", "jq")]));
    assert!(change.summary.starts_with("install 2 packages: download 2.0 kB"), "{}", change.summary);
    assert_eq!(bench.host().list(Path::new("/var/lib/apt/lists")).unwrap(), ["partial"]);
    let _ = installed(&bench, &set(&[("a", "jq")]));
    assert!(bench.at("/var/lib/apt/lists/fake_dists_trixie_InRelease").exists());
}

#[test]
fn without_a_network_the_host_that_was_tried_is_named() {
    let bench = bench();
    std::fs::remove_dir_all(bench.at("/var/lib/apt/lists")).unwrap();
    bench.put("/run/fake-offline", "");
    let error = set(&[("a", "jq")]).observe(bench.host()).unwrap_err();
    assert!(matches!(&error, Error::Unreachable { hosts, .. } if hosts == &["fake.example"]), "{error}");
}

#[test]
fn a_package_that_cannot_be_configured_is_named_with_its_module() {
    let bench = bench();
    bench.put("/var/lib/fake-repo/web/postinst", "#!/bin/sh\nexit 1\n");
    let before = tree(&bench);
    let set = set(&[("a", "jq"), ("b", "web")]);
    let (seen, change, record) = captured(&bench, &set);
    let error = set.apply(&bench.context(), &seen, &change).unwrap_err();
    let Error::Refused { code, module, what, .. } = error else { panic!("{error}") };
    assert_eq!((code, module.as_deref(), what.as_str()), ("package-failed", Some("b"), "cannot install web"));
    let undo = decode(1, &record.data).unwrap();
    let _ = undo.undo(&bench.context(), &Scope::Whole, None).unwrap();
    assert_eq!(tree(&bench), before);
    assert!(!bench.at("/usr/sbin/policy-rc.d").exists());
}

#[test]
fn the_others_go_on_without_a_module_whose_package_cannot_be_configured() {
    let bench = bench();
    bench.put("/var/lib/fake-repo/web/postinst", "#!/bin/sh\nexit 1\n");
    let before = tree(&bench);
    let set = set(&[("a", "jq"), ("b", "web")]);
    let (seen, change, record) = captured(&bench, &set);
    set.apply(&bench.context(), &seen, &change).unwrap_err();
    let older = decode(1, &record.data).unwrap();
    let after = older.settle(&bench.context()).unwrap();
    let rest = set.without("b").unwrap();
    let (seen, change) = bench.plan(&*rest);
    let newer = rest.capture(&bench.context(), &seen, &change).unwrap();
    let record = older.extend(&bench.context(), after.as_ref(), &newer).unwrap().unwrap();
    if change.is_needed() {
        rest.apply(&bench.context(), &seen, &change).unwrap();
    }
    assert!(!rest.compare(&rest.observe(bench.host()).unwrap()).unwrap().is_needed());
    let undo = decode(1, &record.data).unwrap();
    let after = undo.settle(&bench.context()).unwrap();
    let outcome = undo.undo(&bench.context(), &Scope::Module("b".into()), after.as_ref()).unwrap();
    let Outcome::Partly(rest) = outcome else { panic!("{outcome:?}") };
    let status = bench.text("/var/lib/dpkg/status");
    assert!(status.contains("Package: jq") && !status.contains("Package: web"), "{status}");
    let _ = decode(1, &rest.data).unwrap().undo(&bench.context(), &Scope::Whole, None).unwrap();
    assert_eq!(tree(&bench), before);
}

#[test]
fn a_plan_on_a_broken_dpkg_says_so_and_changes_nothing_and_an_apply_brings_it_in_order() {
    for kill in ["unpack web", "configure web"] {
        let bench = bench();
        bench.put("/run/fake-kill", kill);
        let _ = bench.host().run(&Command::new("apt-get").args(["install", "web"]).accept(&[137]));
        let broken = bench.text("/var/lib/dpkg/status");
        // The package that is half there is claimed, too.
        for set in [set(&[("a", "jq")]), set(&[("a", "jq"), ("b", "web")])] {
            let (_, change) = bench.plan(&set);
            assert!(change.summary.starts_with("bring dpkg in order"), "{kill}: {}", change.summary);
            let state = if kill == "unpack web" { "half-installed, to be reinstalled" } else { "half-configured" };
            assert!(change.details.contains(&format!("web is {state}")), "{kill}: {:?}", change.details);
            assert_eq!(bench.text("/var/lib/dpkg/status"), broken);
        }
        let set = set(&[("a", "jq")]);
        assert!(set.make_ready(bench.host(), &crate::engine::Silent, PATIENCE).unwrap());
        assert!(!set.make_ready(bench.host(), &crate::engine::Silent, PATIENCE).unwrap());
        let (_, change) = bench.plan(&set);
        assert!(change.summary.starts_with("install 1 package: "), "{kill}: {}", change.summary);
        // What healing did is not ours: web stays.
        let before = tree(&bench);
        let (record, after) = installed(&bench, &set);
        let undo = decode(1, &record.data).unwrap();
        assert_eq!(undo.undo(&bench.context(), &Scope::Whole, after.as_ref()).unwrap(), Outcome::Undone);
        assert_eq!(tree(&bench), before);
        assert!(bench.at("/etc/web/on").is_symlink() && !bench.at("/usr/sbin/policy-rc.d").exists());
    }
}

#[test]
fn a_power_cut_inside_dpkg_is_healed_by_the_next_run_and_by_an_undo() {
    for (at, name) in [("unpack", "libjq1"), ("unpack", "web"), ("configure", "web"), ("configure", "jq")] {
        for resumes in [true, false] {
            let bench = bench();
            let before = tree(&bench);
            let set = set(&[("a", "jq"), ("b", "web")]);
            let (seen, change, record) = captured(&bench, &set);
            bench.put("/run/fake-kill", format!("{at} {name}"));
            set.apply(&bench.context(), &seen, &change).unwrap_err();
            if resumes {
                set.apply(&bench.context(), &seen, &change).unwrap();
                assert_eq!(set.observe(bench.host()).unwrap(), change.after, "{at} {name}");
            }
            let undo = decode(1, &record.data).unwrap();
            // A step that failed is undone without ever having been settled.
            let after = if name == "jq" { None } else { undo.settle(&bench.context()).unwrap() };
            let _ = undo.undo(&bench.context(), &Scope::Whole, after.as_ref()).unwrap();
            let mut now = tree(&bench);
            now.retain(|path, _| path != "/usr/sbin/policy-rc.d");
            assert_eq!(now, before, "{at} {name} resumes: {resumes}");
        }
    }
}

#[test]
fn a_death_at_any_effect_is_resumed_and_taken_back() {
    // Dying after an effect is dying before the next one.
    for fault in [Fault::DieBefore, Fault::DieMiddle] {
        let (mut number, mut undoes) = (1, false);
        loop {
            let bench = bench();
            let before = tree(&bench);
            let set = set(&[("b", "web")]).fast(true);
            let (seen, change, record) = captured(&bench, &set);
            let undo = decode(1, &record.data).unwrap();
            let faulty = FakeHost::with_fault(bench.at("/"), number, fault);
            let context = Context { host: &faulty, ..bench.context() };
            if !undoes {
                dies(|| drop(set.apply(&context, &seen, &change)));
            }
            set.apply(&bench.context(), &seen, &change).unwrap();
            let found = set.observe(bench.host()).unwrap();
            assert_eq!(found, change.after, "{fault:?} at effect {number}");
            assert!(!bench.at(crate::base::paths::UNSYNCED).exists(), "{fault:?} at effect {number}");
            let after = undo.settle(&bench.context()).unwrap();
            if undoes {
                dies(|| drop(undo.undo(&context, &Scope::Whole, after.as_ref())));
            }
            let _ = undo.undo(&bench.context(), &Scope::Whole, after.as_ref()).unwrap();
            assert_eq!(tree(&bench), before, "{fault:?} at effect {number}, while undoing: {undoes}");
            number += 1;
            if !faulty.is_dead() {
                if undoes {
                    assert!(number > 4, "an undo has several effects");
                    break;
                }
                (number, undoes) = (1, true);
            }
        }
    }
}

#[test]
fn a_solution_is_reused_while_nothing_that_it_was_made_from_changes() {
    let changes = [
        ("/etc/apt/preferences.d/pin", "Package: jq\n"),
        ("/etc/apt/sources.list", "deb http://other.example trixie main\n"),
        ("/var/lib/apt/lists/fake_dists_trixie_InRelease", "Label: Debian\nx\n"),
        ("/var/lib/apt/extended_states", "Package: x\nAuto-Installed: 1\n"),
        ("/var/lib/dpkg/status", "Package: x\nStatus: install ok installed\nVersion: 1\n\n"),
    ];
    for (path, text) in changes {
        let bench = bench();
        let set = set(&[("a", "jq")]);
        let first = set.observe(bench.host()).unwrap();
        // Whoever asks apt from now on gets no answer.
        bench.put("/usr/sbin/apt-get", "#!/bin/sh\nexit 100\n");
        assert_eq!(set.observe(bench.host()).unwrap(), first);
        bench.put(path, text);
        assert!(set.observe(bench.host()).is_err(), "{path} changed, and apt was not asked again");
    }
}

#[test]
fn apt_is_given_what_the_request_can_touch_and_nothing_else() {
    let bench = bench();
    bench.put("/var/lib/fake-repo/lonely/control", "Package: lonely\nVersion: 1.0\nArchitecture: amd64\n");
    lists(&bench);
    let _ = installed(&bench, &set(&[("a", "jq")]));
    assert_eq!(excerpts(&bench), [["jq", "libjq1"]]);
    // A second run on the same lists makes no second one of what it needs again.
    let set = set(&[("a", "jq"), ("b", "web")]);
    let (seen, change) = bench.plan(&set);
    assert_eq!(excerpts(&bench).len(), 2);
    let record = set.capture(&bench.context(), &seen, &change).unwrap();
    set.apply(&bench.context(), &seen, &change).unwrap();
    assert_eq!(excerpts(&bench).len(), 2);
    let undo = decode(1, &record.data).unwrap();
    assert_eq!(undo.undo(&bench.context(), &Scope::Whole, None).unwrap(), Outcome::Undone);
}

#[test]
fn lists_that_no_excerpt_can_be_made_of_are_given_to_apt_as_they_are() {
    for name in ["fake_dists_trixie_contrib_binary-amd64_Packages.lz4", "other_dists_x_InRelease"] {
        let bench = bench();
        lists(&bench);
        bench.put(&format!("/var/lib/apt/lists/{name}"), "");
        let _ = installed(&bench, &set(&[("a", "jq")]));
        assert!(excerpts(&bench).is_empty(), "{name}");
    }
}

#[test]
fn a_refusal_is_apts_word_on_the_whole_lists() {
    let bench = bench();
    lists(&bench);
    let Err(Error::Refused { code: "package-unknown", fix, .. }) = set(&[("a", "jqq")]).observe(bench.host()) else {
        panic!("not refused");
    };
    assert!(fix[0].contains("jq"), "{fix:?}");
}

#[test]
fn a_dependency_that_is_wanted_now_is_marked_by_the_call_that_installs() {
    let bench = bench();
    lists(&bench);
    let _ = installed(&bench, &set(&[("a", "jq")]));
    let _ = installed(&bench, &set(&[("a", "jq"), ("b", "libjq1"), ("b", "web")]));
    let calls = bench.text("/run/apt.calls");
    assert!(calls.lines().last().unwrap().ends_with("install web=1.0 libjq1=1.0"), "{calls}");
    assert!(!bench.text("/var/lib/apt/extended_states").contains("libjq1"));
}
