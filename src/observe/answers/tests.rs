//! A program that counts how often it was asked, and the changes that must make it be asked again.

use super::*;
use crate::host::RealHost;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

struct Stand {
    root: tempfile::TempDir,
}

impl Stand {
    fn new() -> Stand {
        let stand = Stand { root: tempfile::tempdir().unwrap() };
        stand.put(
            "usr/bin/tell",
            "#!/bin/sh\necho x >> \"$VPS_ROOT/asked\"\nread line < \"$VPS_ROOT/etc/tell.conf\"\necho \"$line\"\n",
        );
        fs::set_permissions(stand.at("usr/bin/tell"), fs::Permissions::from_mode(0o755)).unwrap();
        stand.put("etc/tell.conf", "first\n");
        stand.put("opt/target", "1");
        stand.put("root/more/a", "1");
        stand.put("proc/sys/value", "0\n");
        stand.put("asked", "");
        symlink("../opt/target", stand.at("etc/link")).unwrap();
        stand.settle();
        stand
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), text).unwrap();
    }

    /// So that nothing is younger than what a stamp is trusted for.
    fn settle(&self) {
        std::thread::sleep(Duration::from_millis(130));
    }

    /// Asks once in a run of its own; what was answered, and whether the program was run for it.
    fn ask(&self, afresh: bool) -> (String, bool) {
        let host = RealHost::new(self.root.path().into());
        let list = List {
            programs: vec!["/usr/bin".into(), "/etc".into()],
            except: vec!["/etc/left-out".into()],
            answers: vec![Answer {
                run: vec!["tell *".into()],
                reads: vec!["/root/more".into(), "/root/none".into(), "/proc/sys/value".into()],
                rules: false,
            }],
        };
        let remembering = Remembering::new(&host, list, afresh);
        let before = self.asked();
        let told = remembering.look(&Command::new("tell").arg("me")).unwrap().text();
        remembering.keep();
        (told.trim().to_owned(), self.asked() > before)
    }

    fn asked(&self) -> u64 {
        fs::metadata(self.at("asked")).unwrap().len()
    }
}

#[test]
fn a_program_is_asked_again_after_each_change_that_its_answer_may_depend_on_and_only_then() {
    let stand = Stand::new();
    // The directory for what is remembered is made by the first: that is a change at the root's own level, /var.
    stand.put("var/cache/x", "");
    stand.settle();
    assert_eq!(stand.ask(false), ("first".to_owned(), true));
    assert_eq!(stand.ask(false), ("first".to_owned(), false));
    type Act<'a> = Box<dyn Fn() + 'a>;
    let changes: [(&str, Act<'_>); 10] = [
        ("a file of the same length", Box::new(|| stand.put("etc/tell.conf", "other\n"))),
        (
            "its mode",
            Box::new(|| fs::set_permissions(stand.at("etc/tell.conf"), fs::Permissions::from_mode(0o600)).unwrap()),
        ),
        ("a new file", Box::new(|| stand.put("etc/tell.d/new", ""))),
        ("one that goes", Box::new(|| fs::remove_file(stand.at("etc/tell.d/new")).unwrap())),
        (
            "an older file that comes by its name",
            Box::new(|| fs::rename(stand.at("opt/target"), stand.at("etc/moved")).unwrap()),
        ),
        ("what a link leads to", Box::new(|| stand.put("opt/target", "2"))),
        ("what it names itself", Box::new(|| stand.put("root/more/a", "2"))),
        ("what it names and was not there", Box::new(|| stand.put("root/none", ""))),
        ("a value of the kernel", Box::new(|| stand.put("proc/sys/value", "1\n"))),
        ("a file at the root", Box::new(|| stand.put("tell.py", ""))),
    ];
    for (what, change) in changes {
        change();
        stand.settle();
        assert!(stand.ask(false).1, "{what}");
        assert!(!stand.ask(false).1, "after {what}");
    }
    assert_eq!(stand.ask(false).0, "other");
    stand.put("etc/left-out/x", "");
    stand.settle();
    assert!(stand.ask(false).1, "the directory that it lies in changed");
    stand.put("etc/left-out/x", "y");
    stand.settle();
    assert!(!stand.ask(false).1, "what is left out");
    assert!(stand.ask(true).1, "asked afresh");
}

#[test]
fn nothing_is_remembered_of_files_that_changed_a_moment_ago() {
    let stand = Stand::new();
    stand.put("var/cache/x", "");
    stand.settle();
    stand.ask(false);
    // Whatever the answer is now, the file may change within the same tick of the clock.
    stand.put("etc/tell.conf", "third\n");
    assert_eq!(stand.ask(false), ("third".to_owned(), true));
    stand.settle();
    assert!(stand.ask(false).1 && !stand.ask(false).1);
}

#[test]
fn an_answer_is_forgotten_after_a_day_and_when_the_clock_was_before_it() {
    let kept = Kept { at: 1000, stamp: 1, code: 0, stdout: String::new(), stderr: String::new() };
    assert!(is_young(&kept, 1000) && is_young(&kept, 1000 + AGE - 1));
    assert!(!is_young(&kept, 999) && !is_young(&kept, 1000 + AGE));
}

#[test]
fn what_a_broken_memory_says_is_asked_for() {
    let stand = Stand::new();
    stand.put("var/cache/vps-configurator/answered.json", "{\"x\": 3");
    stand.settle();
    assert!(stand.ask(false).1 && !stand.ask(false).1);
}

#[test]
fn rules_that_nobody_counts_are_asked_for_each_time() {
    let stand = Stand::new();
    let host = RealHost::new(stand.root.path().into());
    let list =
        List { answers: vec![Answer { run: vec!["tell".into()], reads: vec![], rules: true }], ..List::default() };
    let remembering = Remembering::new(&host, list, false);
    for count in 1..4 {
        remembering.look(&Command::new("tell")).unwrap();
        assert_eq!(stand.asked(), count * 2);
    }
}
