//! A package step that is cut off, goes on, is cut off again, on a simulated host where others work in between: taken
//! back, nothing is left of ours and all is left of theirs.

use super::health::{Healing, heal};
use super::life::{self, bench, set};
use super::record::{KIND, Record, decode};
use super::set::PackageSet;
use crate::engine::{Context, Outcome, Resource, Scope, UndoRecord};
use crate::host::fake::{FakeHost, Fault};
use crate::resources::bench::{Bench, PATIENCE, dies};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const HEALING: Healing<'_> = Healing { patience: PATIENCE, holds_services: true };

/// A bench with a package whose script empties what another of its scripts had made, as git-lfs does.
fn with_lfs() -> Bench {
    let bench = bench();
    let control = "Package: lfs\nVersion: 1.0\nArchitecture: amd64\nSize: 1000\nInstalled-Size: 4\nDepends: web\n";
    bench.put("/var/lib/fake-repo/lfs/control", control);
    bench.put("/var/lib/fake-repo/lfs/postinst", "#!/bin/sh\necho '[filter]' > $VPS_ROOT/etc/gitconfig\necho 'lfs:x:991:991::/:/bin/false' >> $VPS_ROOT/etc/passwd\n");
    bench.put("/var/lib/fake-repo/lfs/prerm", "#!/bin/sh\n: > $VPS_ROOT/etc/gitconfig\n");
    bench.put("/etc/motd", "hello\n");
    bench
}

/// What counts as before: `/etc`, and what dpkg knows.
fn tree(bench: &Bench) -> BTreeMap<String, String> {
    let mut tree = life::tree(bench);
    tree.retain(|path, _| path.starts_with("/etc") || path == "status");
    tree
}

/// A step as the engine takes it through the journal.
struct Step {
    record: UndoRecord,
    settled: Option<Value>,
}

impl Step {
    fn begin(bench: &Bench, set: &PackageSet) -> Step {
        let (seen, change) = bench.plan(set);
        Step { record: set.capture(&bench.context(), &seen, &change).unwrap(), settled: None }
    }

    /// Goes on after recovery found it cut off.
    fn go_on(&mut self, bench: &Bench, set: &PackageSet) {
        let newer = Step::begin(bench, set).record;
        let older = decode(1, &self.record.data).unwrap();
        self.record = older.extend(&bench.context(), self.settled.as_ref(), &newer).unwrap().unwrap();
        self.settled = None;
    }

    /// Makes the change, until the power goes at effect `number`. Returns whether it went.
    fn change(&self, bench: &Bench, set: &PackageSet, number: u64) -> bool {
        let faulty = FakeHost::with_fault(bench.at("/"), number, Fault::DieMiddle);
        let context = Context { host: &faulty, ..bench.context() };
        let (seen, change) = bench.plan(set);
        dies(|| drop(set.apply(&context, &seen, &change)))
    }

    /// What recovery does: heals dpkg, looks at what there is to remember.
    fn settle(&mut self, bench: &Bench) {
        heal(bench.host(), &crate::engine::Silent, HEALING).unwrap();
        self.settled = decode(1, &self.record.data).unwrap().settle(&bench.context()).unwrap();
    }

    fn undo(&self, bench: &Bench, scope: &Scope) -> Outcome {
        decode(1, &self.record.data).unwrap().undo(&bench.context(), scope, self.settled.as_ref()).unwrap()
    }

    fn is_needed(bench: &Bench, set: &PackageSet) -> bool {
        bench.plan(set).1.is_needed()
    }
}

/// Somebody makes an account, a file, and changes one that is there.
fn others_work(bench: &Bench, name: &str) {
    bench.put("/etc/passwd", bench.text("/etc/passwd") + &format!("{name}:x:1001:1001::/home/{name}:/bin/sh\n"));
    bench.put(&format!("/etc/{name}"), "theirs\n");
    bench.put("/etc/motd", format!("{name} was here\n"));
}

/// The host as it was before, with the work of `names`.
fn expected(bench: &Bench, mut before: BTreeMap<String, String>, names: &[&str]) -> BTreeMap<String, String> {
    let now = tree(bench);
    for name in names {
        let (path, motd) = (format!("/etc/{name}"), "/etc/motd".to_owned());
        assert!(now[&motd].contains("was here"), "the administrator's line is lost");
        before.insert(path.clone(), now.get(&path).cloned().unwrap_or_default());
        before.insert(motd.clone(), now[&motd].clone());
        let passwd = before["/etc/passwd"].trim_end_matches('"').to_owned();
        before.insert("/etc/passwd".into(), format!("{passwd}{name}:x:1001:1001::/home/{name}:/bin/sh\\n\""));
    }
    before
}

#[test]
fn a_step_that_goes_on_twice_is_taken_back_to_what_was_before_the_first_with_the_work_of_others_in_place() {
    for number in 1.. {
        let bench = with_lfs();
        let set = set(&[("a", "jq"), ("b", "lfs")]);
        let before = tree(&bench);
        let mut step = Step::begin(&bench, &set);
        let died = step.change(&bench, &set, number);
        step.settle(&bench);
        others_work(&bench, "eve");
        if Step::is_needed(&bench, &set) {
            step.go_on(&bench, &set);
            step.change(&bench, &set, number);
            step.settle(&bench);
        }
        others_work(&bench, "bob");
        if Step::is_needed(&bench, &set) {
            step.go_on(&bench, &set);
            step.change(&bench, &set, u64::MAX);
            step.settle(&bench);
        }
        assert!(!Step::is_needed(&bench, &set));
        let _ = step.undo(&bench, &Scope::Whole);
        assert_eq!(tree(&bench), expected(&bench, before, &["eve", "bob"]), "at effect {number}");
        if !died {
            assert!(number > 3, "an install has several effects");
            break;
        }
    }
}

#[test]
fn a_dpkg_that_is_killed_once_and_again_leaves_one_record_that_any_scope_is_taken_back_by() {
    for (first, second) in [("unpack libjq1", "configure web"), ("configure libjq1", "unpack lfs"), ("unpack web", "-")]
    {
        for by_module in [false, true] {
            let bench = with_lfs();
            let set = set(&[("a", "jq"), ("b", "lfs")]);
            let before = tree(&bench);
            let mut step = Step::begin(&bench, &set);
            bench.put("/run/fake-kill", first);
            step.change(&bench, &set, u64::MAX);
            step.settle(&bench);
            others_work(&bench, "eve");
            step.go_on(&bench, &set);
            bench.put("/run/fake-kill", second);
            step.change(&bench, &set, u64::MAX);
            step.settle(&bench);
            if Step::is_needed(&bench, &set) {
                step.go_on(&bench, &set);
                step.change(&bench, &set, u64::MAX);
                step.settle(&bench);
            }
            assert!(!Step::is_needed(&bench, &set), "{first}, {second}");
            if by_module {
                let outcome = step.undo(&bench, &Scope::Module("b".into()));
                let Outcome::Partly(rest) = outcome else { panic!("{outcome:?}") };
                step.record = rest;
            }
            let _ = step.undo(&bench, &Scope::Whole);
            let expected = expected(&bench, before, &["eve"]);
            assert_eq!(tree(&bench), expected, "{first}, {second}, by module: {by_module}");
        }
    }
}

#[test]
fn a_step_that_nobody_looked_at_before_it_goes_on_counts_all_until_then_as_ours() {
    let bench = with_lfs();
    let set = set(&[("b", "lfs")]);
    let before = tree(&bench);
    let mut step = Step::begin(&bench, &set);
    bench.put("/run/fake-kill", "configure lfs");
    step.change(&bench, &set, u64::MAX);
    heal(bench.host(), &crate::engine::Silent, HEALING).unwrap();
    bench.host().run(&crate::host::Command::new("dpkg").args(["--purge", "web", "lfs"])).unwrap();
    step.go_on(&bench, &set);
    step.change(&bench, &set, u64::MAX);
    // Not settled either: the undo looks for itself.
    let _ = step.undo(&bench, &Scope::Whole);
    assert_eq!(tree(&bench), before);
}

#[test]
fn an_undo_that_the_power_cut_off_is_completed_though_a_script_emptied_what_another_had_made() {
    for number in 1.. {
        let bench = with_lfs();
        let set = set(&[("b", "lfs")]);
        let before = tree(&bench);
        let mut step = Step::begin(&bench, &set);
        step.change(&bench, &set, u64::MAX);
        step.settle(&bench);
        let faulty = FakeHost::with_fault(bench.at("/"), number, Fault::DieMiddle);
        let context = Context { host: &faulty, ..bench.context() };
        let undo = decode(1, &step.record.data).unwrap();
        let died = dies(|| drop(undo.undo(&context, &Scope::Whole, step.settled.as_ref())));
        let _ = step.undo(&bench, &Scope::Whole);
        assert_eq!(tree(&bench), before, "at effect {number}");
        if !died {
            break;
        }
    }
}

#[test]
fn an_undo_that_is_cut_off_in_a_script_does_not_take_what_it_made_for_somebodys_but_what_was_written_since() {
    let mut cut_in_script = 0;
    for number in 1.. {
        let bench = with_lfs();
        // As nginx's modules do: a note of what is being removed, which the last script removes with its folder.
        let prerm = "#!/bin/sh\nmkdir -p $VPS_ROOT/etc/mods; ln -sf /gone $VPS_ROOT/etc/mods/x.removed;\n\
                     if [ -e $VPS_ROOT/run/cut ]; then rm $VPS_ROOT/run/cut; kill -9 $PPID; fi\n";
        bench.put("/var/lib/fake-repo/web/prerm", prerm);
        bench.put("/var/lib/fake-repo/web/postrm", "#!/bin/sh\nrm -rf $VPS_ROOT/etc/mods\n");
        let set = set(&[("b", "web")]);
        let before = tree(&bench);
        let mut step = Step::begin(&bench, &set);
        step.change(&bench, &set, u64::MAX);
        step.settle(&bench);
        bench.put("/run/cut", "");
        let faulty = FakeHost::with_fault(bench.at("/"), number, Fault::DieBefore);
        let context = Context { host: &faulty, ..bench.context() };
        let undo = decode(1, &step.record.data).unwrap();
        let died = dies(|| drop(undo.undo(&context, &Scope::Whole, step.settled.as_ref())));
        let in_script = died && bench.at("/etc/mods").exists();
        if in_script {
            cut_in_script += 1;
            bench.put("/etc/mods/theirs", "a site\n");
        }
        let outcome = step.undo(&bench, &Scope::Whole);
        let mut now = tree(&bench);
        if in_script {
            let Outcome::Kept(lines) = outcome else { panic!("{outcome:?}") };
            let own = ["/etc/mods", "/etc/mods/theirs"].map(|path| format!("{path} is someone's own: it was put back"));
            assert_eq!(lines, own);
            now.remove("/etc/mods/theirs").unwrap();
            now.remove("/etc/mods").unwrap();
        }
        assert_eq!(now, before, "at effect {number}");
        assert!(!bench.at(crate::base::paths::UNDOING).exists());
        if !died {
            assert!(cut_in_script > 0, "it never died while the script's link was there");
            break;
        }
    }
}

#[test]
fn what_was_there_before_the_first_part_counts() {
    let read = |text: &str| serde_json::from_str::<Record>(text).unwrap();
    let older = read(
        r#"{"claims": {"a": {"jq": {"was": "absent"}, "sed": {"was": "installed", "version": "1", "auto": true}}},
            "new": [{"name": "jq", "architecture": "amd64", "version": "1.0"}, {"name": "lib", "architecture": "amd64", "version": "1"}],
            "upgrades": [{"name": "libc6", "architecture": "amd64", "version": "2", "old": "1", "auto": true}]}"#,
    );
    let newer = read(
        r#"{"claims": {"a": {"jq": {"was": "installed", "version": "1.0", "auto": false}},
                       "b": {"lib": {"was": "installed", "version": "1", "auto": true}, "web": {"was": "absent"},
                             "libc6": {"was": "installed", "version": "2", "auto": true}}},
            "security": ["s"],
            "new": [{"name": "web", "architecture": "amd64", "version": "1"}, {"name": "sed", "architecture": "amd64", "version": "1"}],
            "upgrades": [{"name": "jq", "architecture": "amd64", "version": "1.1", "old": "1.0"},
                         {"name": "libc6", "architecture": "amd64", "version": "3", "old": "2"}]}"#,
    );
    let bench = with_lfs();
    let one = older.extended(&bench.context(), Default::default(), newer).unwrap();
    let expected = read(
        r#"{"claims": {"a": {"jq": {"was": "absent"}, "sed": {"was": "installed", "version": "1", "auto": true}},
                       "b": {"lib": {"was": "absent"}, "web": {"was": "absent"},
                             "libc6": {"was": "installed", "version": "1", "auto": true}}},
            "security": ["s"],
            "new": [{"name": "jq", "architecture": "amd64", "version": "1.1"}, {"name": "lib", "architecture": "amd64", "version": "1"},
                    {"name": "web", "architecture": "amd64", "version": "1"}],
            "upgrades": [{"name": "libc6", "architecture": "amd64", "version": "3", "old": "1", "auto": true}],
            "resumed": {}}"#,
    );
    assert_eq!(one, expected);
    let again = decode(1, &one.to_undo_record().unwrap().data).unwrap();
    assert!(format!("{again:?}").contains("libc6") && one.to_undo_record().unwrap().kind == KIND);
    assert_eq!(one.modules(), BTreeSet::from([&"a".to_owned(), &"b".to_owned(), &"s".to_owned()]));
}

#[test]
fn two_steps_of_one_transaction_as_older_versions_wrote_them_are_taken_back_one_after_the_other() {
    for kill in ["unpack libjq1", "configure jq", "unpack lfs"] {
        let bench = with_lfs();
        let set = set(&[("a", "jq"), ("b", "lfs")]);
        let before = tree(&bench);
        let mut older = Step::begin(&bench, &set);
        bench.put("/run/fake-kill", kill);
        older.change(&bench, &set, u64::MAX);
        older.settle(&bench);
        others_work(&bench, "eve");
        let mut newer = Step::begin(&bench, &set);
        newer.change(&bench, &set, u64::MAX);
        newer.settle(&bench);
        assert!(!Step::is_needed(&bench, &set), "{kill}");
        let _ = newer.undo(&bench, &Scope::Whole);
        let _ = older.undo(&bench, &Scope::Whole);
        assert_eq!(tree(&bench), expected(&bench, before, &["eve"]), "{kill}");
    }
}
