//! A program that counts how often it was asked, and the changes that must make it be asked again.

use super::*;
use crate::host::RealHost;
use crate::modules::probe::{Probe, ProbeTest};
use crate::modules::probing::{Prober, Verdict};
use crate::resources::unit::survey::UnitSurvey;
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
        stand.put("srv/top/a", "1");
        stand.put("srv/top/deeper/a", "1");
        stand.put("root/more/a", "1");
        stand.put("root/more/made/x", "x");
        stand.put("etc/tell.d/made/x", "x");
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
        self.ask_to(if afresh { Depth::Afresh } else { Depth::Whole })
    }

    fn ask_to(&self, depth: Depth) -> (String, bool) {
        let host = RealHost::new(self.root.path().into());
        let list = List {
            programs: vec!["/usr/bin".into(), "/etc".into()],
            except: vec!["/etc/left-out".into(), "made".into()],
            plan: vec!["/var/lib/dpkg/status".into(), "/usr/local/bin/*".into()],
            answers: vec![Answer {
                run: vec!["tell *".into()],
                plan: vec!["/etc/tell.conf".into(), "/usr/bin/tell".into()],
                reads: vec!["/root/more".into(), "/root/none".into(), "/proc/sys/value".into(), "/srv/top/*".into()],
                ..Answer::default()
            }],
        };
        let remembering = Remembering::new(&host, list, depth);
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
    let changes: [(&str, Act<'_>); 12] = [
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
        ("a file directly in a directory of which only that counts", Box::new(|| stand.put("srv/top/a", "2"))),
        ("a new name there", Box::new(|| fs::create_dir(stand.at("srv/top/more")).unwrap())),
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
    stand.put("srv/top/deeper/a", "2");
    stand.put("root/more/made/x", "y");
    stand.put("etc/tell.d/made/x", "y");
    stand.settle();
    assert!(!stand.ask(false).1, "what is left out, and what lies too deep");
    assert!(stand.ask(true).1, "asked afresh");
}

#[test]
fn a_plan_goes_by_less_and_never_by_what_was_remembered_for_more_or_more_by_what_was_for_it() {
    let stand = Stand::new();
    stand.put("var/cache/x", "");
    stand.put("var/lib/dpkg/status", "Package: tell\n");
    stand.settle();
    let by_plan = || stand.ask_to(Depth::Plan).1;
    assert!(stand.ask(false).1 && by_plan(), "each remembers for itself");
    assert!(!stand.ask(false).1 && !by_plan());
    for change in ["etc/tell.conf", "usr/bin/tell", "var/lib/dpkg/status", "usr/local/bin/tell"] {
        let text = fs::read_to_string(stand.at(change)).unwrap_or_else(|_| "#!/bin/sh\n".to_owned());
        stand.put(change, &text);
        stand.settle();
        assert!(by_plan() && !by_plan(), "{change}");
    }
    stand.put("etc/other", "");
    stand.put("usr/bin/other", "");
    stand.settle();
    assert!(!by_plan() && stand.ask(false).1);
    let host = RealHost::new(stand.root.path().into());
    let answers = vec![Answer { run: vec!["tell".into()], ..Answer::default() }];
    let remembering = Remembering::new(&host, List { answers, ..List::default() }, Depth::Plan);
    for _ in 0..2 {
        let before = stand.asked();
        remembering.look(&Command::new("tell")).unwrap();
        assert!(stand.asked() > before && remembering.is_still_so(), "for a plan nothing is said of it");
    }
}

#[test]
fn what_is_not_so_any_more_is_found_when_it_is_asked_for_again_and_forgotten() {
    let stand = Stand::new();
    stand.put("var/cache/x", "");
    stand.put("usr/bin/say", "#!/bin/sh\nread line < \"$VPS_ROOT/srv/said\"\necho \"$line\"\n");
    fs::set_permissions(stand.at("usr/bin/say"), fs::Permissions::from_mode(0o755)).unwrap();
    stand.put("srv/said", "first\n");
    stand.settle();
    let host = RealHost::new(stand.root.path().into());
    let ask = |is_so: bool| {
        let answers = vec![Answer { run: vec!["say".into()], plan: vec!["/usr/bin/say".into()], ..Answer::default() }];
        let remembering = Remembering::new(&host, List { answers, ..List::default() }, Depth::Plan);
        let say = || remembering.look(&Command::new("say")).unwrap().text().trim().to_owned();
        let first = say();
        assert_eq!((remembering.is_still_so(), remembering.is_still_so()), (is_so, true), "{first}");
        let second = say();
        remembering.keep();
        (first, second)
    };
    let both = |first: &str, second: &str| (first.to_owned(), second.to_owned());
    assert_eq!(ask(true), both("first", "first"));
    // It depends on what the list does not know of.
    stand.put("srv/said", "other\n");
    assert_eq!(ask(false), both("first", "other"));
    assert_eq!(ask(true), both("other", "other"));
}

#[test]
fn what_a_probe_asks_as_root_is_remembered_although_it_has_a_home_of_its_own() {
    let stand = Stand::new();
    stand.put("etc/passwd", "root:x:0:0::/root:/bin/bash\n");
    stand.put("etc/group", "root:x:0:\n");
    stand.put("run/vps-configurator/x", "");
    stand.put("var/cache/x", "");
    stand.settle();
    let host = RealHost::new(stand.root.path().into());
    let list = || List {
        programs: vec!["/usr/bin".into(), "/etc".into()],
        answers: vec![Answer { run: vec!["tell".into()], ..Answer::default() }],
        ..List::default()
    };
    let test = ProbeTest::Command { run: vec!["tell".into()], contains: None, exit: 0, user: None };
    let probe = Probe { module: "m".into(), name: "n".into(), timeout: 10, origin: "o".into(), test };
    let units = UnitSurvey::default();
    for asked in [2, 2, 2] {
        let remembering = Remembering::new(&host, list(), Depth::Whole);
        assert_eq!(Prober::new(&remembering, &units).run(&probe).verdict, Verdict::Passed);
        remembering.keep();
        assert_eq!(stand.asked(), asked);
    }
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
    let kept = Kept { at: 1000, stamp: 1, code: 0, stdout: String::new(), stderr: String::new(), is_own: false };
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
    let answers = vec![Answer { run: vec!["tell".into()], rules: true, ..Answer::default() }];
    let list = List { answers, ..List::default() };
    let remembering = Remembering::new(&host, list, Depth::Whole);
    for count in 1..4 {
        remembering.look(&Command::new("tell")).unwrap();
        assert_eq!(stand.asked(), count * 2);
    }
}

/// A service at a socket that answers `said`, as long as this lives.
struct Service {
    said: std::sync::Arc<Mutex<&'static [u8]>>,
    path: PathBuf,
}

impl Service {
    fn start(stand: &Stand) -> Service {
        let said: std::sync::Arc<Mutex<&'static [u8]>> = std::sync::Arc::new(Mutex::new(b"200 OK\nnow it is one"));
        let path = stand.at("run/sock");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let says = std::sync::Arc::clone(&said);
        std::thread::spawn(move || {
            for caller in listener.incoming() {
                let (mut asked, mut caller) = ([0; 4], caller.unwrap());
                if std::io::Read::read_exact(&mut caller, &mut asked).is_ok() && asked == *b"ping" {
                    let _ = std::io::Write::write_all(&mut caller, *says.lock().unwrap());
                }
            }
        });
        Service { said, path }
    }

    fn say(&self, what: &'static [u8]) {
        *self.said.lock().unwrap() = what;
    }
}

#[test]
fn a_program_that_asks_a_service_is_run_when_the_service_says_something_else_was_started_anew_or_says_nothing() {
    let stand = Stand::new();
    let service = Service::start(&stand);
    stand.put("run/pid", "17");
    stand.put("var/cache/x", "");
    stand.settle();
    let is_run = || {
        let host = RealHost::new(stand.root.path().into());
        let asks = Asks { socket: "/run/sock".into(), send: "ping".into(), until: "\n".into() };
        let at_start = vec!["/run/pid".into()];
        let answer = Answer { run: vec!["tell *".into()], at_start, asks: Some(asks), ..Answer::default() };
        let list = List { programs: vec!["/usr/bin".into()], answers: vec![answer], ..List::default() };
        let remembering = Remembering::new(&host, list, Depth::Whole);
        let before = stand.asked();
        remembering.look(&Command::new("tell").arg("me")).unwrap();
        remembering.keep();
        stand.asked() > before
    };
    assert!(is_run() && !is_run());
    service.say(b"200 OK\nnow it is two");
    assert!(!is_run(), "that is behind the end");
    service.say(b"503 busy\n");
    assert!(is_run() && !is_run(), "it says something else");
    service.say(b"200 OK\n");
    assert!(is_run() && !is_run(), "and what it said before");
    stand.put("run/pid", "18");
    stand.settle();
    assert!(is_run() && !is_run(), "it was started anew");
    fs::remove_file(stand.at("run/pid")).unwrap();
    assert!(is_run() && is_run(), "whether it was started anew can't be told");
    stand.put("run/pid", "18");
    stand.settle();
    assert!(is_run() && !is_run());
    service.say(b"hm");
    assert!(is_run() && is_run(), "it never comes to the end");
    service.say(b"200 OK\n");
    fs::remove_file(&service.path).unwrap();
    assert!(is_run() && is_run(), "it is gone");
}

#[test]
fn a_tree_is_looked_through_once_in_a_run_and_whoever_asks_is_told_when() {
    let stand = Stand::new();
    let host = RealHost::new(stand.root.path().into());
    let list = List {
        programs: vec!["/usr/bin".into(), "/etc".into()],
        except: vec!["/etc/left-out".into()],
        answers: vec![Answer { run: vec!["tell *".into()], ..Answer::default() }],
        ..List::default()
    };
    let remembering = Remembering::new(&host, list, Depth::Whole);
    let before = host.now();
    remembering.look(&Command::new("tell").arg("me")).unwrap();
    let after = host.now();
    stand.put("etc/new", "");
    let shared = remembering.stamp(&["/etc".into()], &["/usr/x".into(), "/etc/left-out".into()]).unwrap();
    assert!((before..after).contains(&shared.begun) && shared.newest < before, "what was seen then");
    let all = remembering.stamp(&["/etc".into()], &[]).unwrap();
    assert!(all.begun >= after && all.newest > shared.newest, "with nothing left out it is another tree");
}

#[test]
fn the_shipped_lists_leave_out_the_same_so_that_one_look_does_for_both() {
    let list = list::shipped();
    let territories = include_str!("../../../config/territories.yaml");
    let of_programs = list.except.iter().filter(|path| !path.starts_with("/etc"));
    let left_out: Vec<String> = of_programs.map(|path| path.display().to_string()).collect();
    assert!(territories.ends_with(&format!("\n  except: [{}]\n", left_out.join(", "))), "{left_out:?}");
}
