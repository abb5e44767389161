//! The wizard: line by line in a pipe, from a file of answers, and on a terminal that is drawn on.

use super::refusals::{lock_of_dpkg, stopped_while_it_waits};
use crate::support::tree::Tree;
use crate::support::{Ran, program};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const PROFILE: &str = "/etc/vps-configurator/conf.d/00-profile.yaml";
const LOCAL: &str = "/etc/vps-configurator/conf.d/50-local.yaml";

/// Runs `wizard --plain` with these lines as its standard input.
fn typed(tree: &Tree, flags: &[&str], lines: &[&str]) -> Ran {
    let mut command = program(tree.root());
    command.args(["wizard", "--plain"]).args(flags);
    let mut running = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    // Who left early reads no more.
    let _ = running.stdin.take().unwrap().write_all(text.as_bytes());
    Ran::of(&running.wait_with_output().unwrap())
}

fn answers(tree: &Tree, text: &str) -> String {
    tree.put("/tmp/answers.yaml", text);
    tree.at("/tmp/answers.yaml").display().to_string()
}

#[test]
fn line_by_line_from_the_profile_to_the_host_that_it_makes() {
    let tree = Tree::new();
    let before = tree.listing();
    let lines = ["tiny", "small", "Good evening, 日本", "12", "7", "yes"];
    let ran = typed(&tree, &[], &lines).ends(0);
    for part in [
        "there is no profile \"tiny\"",
        "2. small: One mandatory module of files",
        "1 of 2. modules.base.greeting",
        "What the host says",
        "12 must be between 0 and 9",
        "Plan for profile small",
        "Make these changes?",
        "Read /etc/base/greeting.conf",
    ] {
        assert!(ran.out.contains(part), "{part:?} is not in\n{}\n{}", ran.out, ran.err);
    }
    assert!(tree.text("/etc/base/greeting.conf").contains("Good evening, 日本"));
    assert!(tree.text(PROFILE).ends_with("\nprofile: small\n"), "{}", tree.text(PROFILE));
    assert!(tree.text(LOCAL).ends_with("greeting: \"Good evening, 日本\"\n    level: 7\n"), "{}", tree.text(LOCAL));
    let modes = [PROFILE, LOCAL].map(|path| std::fs::metadata(tree.at(path)).unwrap());
    assert_eq!(modes.map(|meta| std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777), [0o644, 0o640]);
    tree.call("verify").ends(0);
    assert_eq!(tree.call("install --yes --json").ends(0).json()["changes"], 0);

    // A second time it offers what is so, and writes what is another.
    let ran = typed(&tree, &[], &["", "", "3", "y"]).ends(0);
    assert!(ran.out.contains("Profile [small]: ") && ran.out.contains("[Good evening, 日本]"), "{}", ran.out);
    assert!(tree.text(LOCAL).ends_with("greeting: \"Good evening, 日本\"\n    level: 3\n"), "{}", tree.text(LOCAL));

    tree.call("rollback --to 0 --yes").ends(0);
    std::fs::remove_dir_all(tree.at("/etc/vps-configurator")).unwrap();
    tree.must_be(&before, "the configuration is the administrator's; all else is taken back");
}

#[test]
fn whoever_leaves_leaves_nothing_at_whatever_page() {
    let tree = Tree::new();
    let before = tree.listing();
    let lines = ["small", "Hi", "4", "s", "", "<", "<", "", "n"];
    for count in 0..=lines.len() {
        let ran = typed(&tree, &[], &lines[..count]).ends(1);
        assert!(ran.err.contains("nothing was changed") && ran.err.contains("not-confirmed"), "{count}: {}", ran.err);
        tree.must_be(&before, &format!("after {count} lines"));
    }
    for (lines, flags) in [(vec!["q"], vec![]), (vec!["small", "Hi", "4", "q"], vec!["--color", "never"])] {
        typed(&tree, &flags, &lines).ends(1);
    }
    typed(&tree, &["--dry-run"], &["small", "Hi", "4", "y"]).ends(0);
    tree.must_be(&before, "after a dry run");
}

#[test]
fn what_was_answered_can_be_saved_and_another_host_takes_it() {
    let tree = Tree::new();
    let file = tree.at("/tmp/saved.yaml").display().to_string();
    let ran = typed(&tree, &[], &["full", "5", "8081", "eva", "s", &file, "q"]).ends(1);
    let words = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(&format!("The answers are saved: vps-configurator wizard --answers {file}")), "{words}");
    let saved = tree.text("/tmp/saved.yaml");
    assert!(
        saved.ends_with(
            "profile: full\nmodules:\n  base:\n    level: 5\n  web:\n    port: 8081\n  people:\n    login: eva\n"
        ),
        "{saved}"
    );
    let other = Tree::new();
    other.put("/tmp/saved.yaml", saved);
    let before = other.listing();
    let file = other.at("/tmp/saved.yaml").display().to_string();
    other.call(&format!("wizard --answers {file} --dry-run")).ends(0);
    other.call(&format!("wizard --answers {file}")).ends(2);
    other.must_be(&before, "nobody agreed");
    let ran = other.call(&format!("wizard --answers {file} --yes")).ends(0);
    assert!(ran.out.contains("Plan for profile full"), "{}", ran.out);
    assert!(other.text("/etc/passwd").contains("\neva:") && other.text(LOCAL).contains("port: 8081"));
    let again = other.call(&format!("wizard --answers {file} --yes --json")).ends(0).json();
    assert_eq!((&again["changes"], &again["profile"]), (&0.into(), &"full".into()));
}

#[test]
fn a_wrong_file_of_answers_is_refused_with_its_places_and_nothing_is_touched() {
    let tree = Tree::new();
    let file = answers(&tree, "profile: small\nmodules:\n  base: {level: loud, lvl: 3}\nanswer: 1\n");
    let before = tree.listing();
    let ran = tree.call(&format!("wizard --answers {file} --yes")).ends(2);
    for part in
        ["answers.yaml:3:17: wanted a whole number", "answers.yaml:3:23: unknown key \"lvl\"", "answers.yaml:4:1:"]
    {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    let ran = tree.call("wizard --answers /nonexistent --yes").ends(2);
    assert!(ran.err.contains("answers-missing"), "{}", ran.err);
    tree.must_be(&before, "after wrong answers");
    tree.put("/etc/vps-configurator/conf.d/90-site.yaml", "modules: {base: {level: 1}}\n");
    let file = answers(&tree, "profile: small\nmodules: {base: {level: 5}}\n");
    let before = tree.listing();
    let ran = tree.call(&format!("wizard --answers {file} --yes")).ends(2);
    assert!(ran.err.contains("answer-overridden") && ran.err.contains("90-site.yaml:1:25"), "{}", ran.err);
    tree.must_be(&before, "an answer without effect is none");
}

#[test]
fn the_fragments_of_others_keep_their_words() {
    let tree = Tree::new();
    let owned = "# Owned by the package.\nprofile: full   # as debconf says\n";
    tree.put(PROFILE, owned);
    tree.put(LOCAL, "# mine\nmodules:\n  base:\n    level: 1   # quiet\n");
    let file = answers(&tree, "profile: small\nmodules: {base: {level: 5}}\n");
    tree.call(&format!("wizard --answers {file} --yes")).ends(0);
    assert_eq!(tree.text(PROFILE), owned.replace("full", "small"));
    assert_eq!(tree.text(LOCAL), "# mine\nmodules:\n  base:\n    level: 5   # quiet\n");
    // Who chose the profile in the own fragment finds it there.
    tree.put(LOCAL, "profile: full\n");
    tree.call(&format!("wizard --answers {file} --yes")).ends(0);
    assert!(tree.text(LOCAL).starts_with("profile: small\n") && tree.text(PROFILE) == owned.replace("full", "small"));
}

#[test]
fn where_nothing_came_of_the_install_the_configuration_is_as_before() {
    let tree = Tree::new();
    tree.put("/etc/vps-configurator/conf.d/wait.yaml", "apply: {lock_wait: 1}\n");
    tree.call("install --profile full --module people --confirm always --yes").ends(0);
    let file = answers(&tree, "profile: small\nmodules: {base: {level: 5}}\n");
    let before = tree.listing();
    let ran = tree.call(&format!("wizard --answers {file} --yes")).ends(1);
    assert!(ran.err.contains("confirm-waiting") && ran.err.contains("nothing was changed"), "{}", ran.err);
    tree.must_be(&before, "a transaction waits, so the answers wait, too");
}

#[test]
fn whoever_stops_the_install_finds_the_configuration_as_before() {
    let tree = Tree::new();
    tree.put("/etc/vps-configurator/conf.d/wait.yaml", "apply: {lock_wait: 86400}\n");
    drop(lock_of_dpkg(&tree, "/var/lib/dpkg/lock-frontend"));
    let file = answers(&tree, "profile: full\nmodules: {base: {level: 5}}\n");
    let before = tree.listing();
    let (code, said) = stopped_while_it_waits(&tree, &["wizard", "--answers", &file, "--yes"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("stopped"), "{said}");
    tree.must_be(&before, "after it was stopped");
}

/// The program on these answers, told to stop while something waits for `/tmp/go` that said so by `/tmp/begun`.
fn stopped_at(tree: &Tree, words: &[&str]) -> Ran {
    let mut command = program(tree.root());
    let running = command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !tree.has("/tmp/begun") {
        std::thread::sleep(Duration::from_millis(20));
    }
    kill(Pid::from_raw(i32::try_from(running.id()).unwrap()), Signal::SIGTERM).unwrap();
    // Until its thread has taken the signal, it may not know of it when it goes on. One that died is not there.
    let status = || std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap_or_default();
    while status().contains("ShdPnd:") && !status().contains("ShdPnd:\t0000000000000000") {
        std::thread::sleep(Duration::from_millis(20));
    }
    tree.put("/tmp/go", "");
    let ran = Ran::of(&running.wait_with_output().unwrap());
    ["/tmp/begun", "/tmp/go"].iter().for_each(|path| tree.remove(path));
    ran
}

/// A program that waits so.
const WAITS: &str = "touch \"$VPS_ROOT/tmp/begun\"; while [ ! -e \"$VPS_ROOT/tmp/go\" ]; do sleep 0.05; done\n";

#[test]
fn a_signal_while_the_plan_is_made_once_more_leaves_the_configuration_as_before() {
    let tree = Tree::new();
    tree.program("/usr/sbin/apt-get.real", &tree.text("/usr/sbin/apt-get"));
    let once_written = format!("if [ -e \"$VPS_ROOT{LOCAL}\" ]; then\n{WAITS}fi");
    let text = format!("#!/bin/sh\n{once_written}\nexec \"$VPS_ROOT/usr/sbin/apt-get.real\" \"$@\"\n");
    tree.program("/usr/sbin/apt-get", &text);
    let file = answers(&tree, "profile: full\nmodules: {base: {level: 5}}\n");
    let before = tree.listing();
    let ran = stopped_at(&tree, &["wizard", "--answers", &file, "--yes"]).ends(1);
    assert!(ran.err.contains("code:  stopped") && ran.err.contains("nothing was changed"), "{}", ran.err);
    tree.must_be(&before, "after it was stopped at its second plan");
}

#[test]
fn whoever_stops_the_install_in_its_midst_finds_the_configuration_as_before_for_programs_too() {
    for flags in [vec![], vec!["--json"]] {
        let tree = Tree::new();
        tree.program("/usr/sbin/slow", &format!("#!/bin/sh\n{WAITS}touch \"$VPS_ROOT/etc/slow\"\n"));
        tree.program("/usr/sbin/unslow", "#!/bin/sh\nrm \"$VPS_ROOT/etc/slow\"\n");
        let resources = "resources:\n  - command: slow\n    run: [slow]\n    creates: /etc/slow\n    undo: [unslow]\n  \
                         - file: /etc/after\n    content: x\n    needs: [\"command:slow\"]\n";
        tree.module("slow", resources);
        let file = answers(&tree, "profile: small\nmodules: {slow: {enabled: true}}\n");
        let before = tree.listing();
        let words = ["wizard", "--answers", &file, "--yes"].into_iter().chain(flags.iter().copied());
        let ran = stopped_at(&tree, &words.collect::<Vec<_>>()).ends(1);
        assert!(ran.out.contains("\"stopped\"") || ran.err.contains("code:  stopped"), "{}{}", ran.out, ran.err);
        tree.must_be(&before, &format!("after it was stopped {flags:?}"));
    }
}

/// What a terminal shows: the page that is drawn, or the lines that were written.
#[derive(Debug, Default)]
struct Shown {
    is_drawn: bool,
    page: Vec<Vec<char>>,
    at: (usize, usize),
    lines: String,
    codes: String,
    rest: Vec<u8>,
}

impl Shown {
    /// Takes bytes as a terminal does: places, letters, the other screen; how letters look is only noted.
    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let valid = std::str::from_utf8(&self.rest).map_or_else(|error| error.valid_up_to(), str::len);
        let text = String::from_utf8_lossy(&self.rest[..valid]).into_owned();
        let mut left = text.as_str();
        while let Some(c) = left.chars().next() {
            if let Some(code) = left.strip_prefix("\u{1b}[") {
                let Some(end) = code.find(|c: char| ('\u{40}'..='\u{7e}').contains(&c)) else { break };
                self.steer(&code[..=end]);
                left = &code[end + 1..];
                continue;
            }
            if left == "\u{1b}" {
                break;
            }
            left = &left[c.len_utf8()..];
            if self.is_drawn {
                self.page[self.at.0][self.at.1] = c;
                self.at.1 += 1;
            } else {
                self.lines.push(c);
            }
        }
        self.rest = [left.as_bytes(), &self.rest[valid..]].concat();
    }

    fn steer(&mut self, code: &str) {
        match code {
            "?1049h" | "2J" => (self.is_drawn, self.page) = (true, vec![vec![' '; 200]; 60]),
            "?1049l" => self.is_drawn = false,
            code => match code.strip_suffix('H').and_then(|place| place.split_once(';')) {
                Some((row, column)) => {
                    self.at = (row.parse::<usize>().unwrap() - 1, column.parse::<usize>().unwrap() - 1);
                }
                None => self.codes.push_str(code),
            },
        }
    }

    fn text(&self) -> String {
        match self.is_drawn {
            true => self.page.iter().map(|row| format!("{}\n", row.iter().collect::<String>().trim_end())).collect(),
            false => self.lines.clone(),
        }
    }
}

/// A terminal of this size that the program runs on.
struct Screen {
    running: Child,
    keys: File,
    bytes: Receiver<Vec<u8>>,
    shown: Shown,
    line: OwnedFd,
}

impl Screen {
    fn start(tree: &Tree, width: u16, height: u16, environment: &[(&str, &str)]) -> Screen {
        let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut command: Command = program(tree.root());
        command.arg("wizard").env("TERM", "xterm").envs(environment.iter().copied());
        let running = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let mut master = File::from(pty.master.try_clone().unwrap());
        let (tell, bytes) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count) = master.read(&mut buffer) {
                if count == 0 || tell.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Screen { running, keys: File::from(pty.master), bytes, shown: Shown::default(), line: pty.slave }
    }

    /// Waits until these words are shown, drawn or as lines.
    #[track_caller]
    fn sees(&mut self, is_drawn: bool, words: &str) {
        while self.shown.is_drawn != is_drawn || !self.shown.text().contains(words) {
            match self.bytes.recv_timeout(Duration::from_secs(120)) {
                Ok(bytes) => self.shown.take(&bytes),
                Err(why) => panic!("{why}: {words:?} is not shown:\n{}", self.shown.text()),
            }
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Whether the terminal is one in which lines are edited and letters shown.
    fn is_ordinary(&self) -> bool {
        tcgetattr(&self.line).unwrap().local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
    }

    /// How it ended; the terminal must be given back.
    #[track_caller]
    fn ends(mut self) -> Option<i32> {
        let code = self.running.wait().unwrap().code();
        assert!(self.is_ordinary(), "the terminal is as it was");
        code
    }
}

#[test]
fn on_a_terminal_pages_are_drawn_and_the_terminal_is_given_back() {
    let tree = Tree::new();
    let mut screen = Screen::start(&tree, 80, 24, &[]);
    screen.sees(true, "What is this host to be?");
    assert!(!screen.is_ordinary());
    screen.press("s\r");
    screen.sees(true, "small: question 1 of 2");
    screen.press("\u{15}Good day\r");
    screen.sees(true, "question 2 of 2");
    screen.press("\u{7f}77\r");
    screen.sees(true, "77 must be between 0 and 9");
    screen.press("\u{7f}\r");
    screen.sees(false, "Looking at the host");
    screen.sees(true, "Plan for profile small");
    screen.press("y");
    screen.sees(false, "Read /etc/base/greeting.conf");
    assert!(screen.shown.codes.contains("32m"), "what comes is green");
    assert_eq!(screen.ends(), Some(0));
    assert!(tree.text("/etc/base/greeting.conf").contains("Good day") && tree.text(LOCAL).contains("level: 7"));
}

#[test]
fn whatever_ends_it_the_terminal_is_given_back_and_nothing_is_left() {
    let tree = Tree::new();
    let before = tree.listing();
    for end in [None, Some(Signal::SIGTERM), Some(Signal::SIGINT), Some(Signal::SIGHUP), Some(Signal::SIGQUIT)] {
        let mut screen = Screen::start(&tree, 120, 40, &[("NO_COLOR", "1")]);
        screen.sees(true, "What is this host to be?");
        match end {
            None => screen.press("\u{3}"),
            Some(signal) => {
                kill(Pid::from_raw(i32::try_from(screen.running.id()).unwrap()), signal).unwrap();
            }
        }
        screen.sees(false, "not-confirmed");
        assert!(!screen.shown.codes.contains(";3"), "no colour: {}", screen.shown.codes);
        assert_eq!(screen.ends(), Some(1), "{end:?}");
        tree.must_be(&before, &format!("{end:?}"));
    }
}

#[test]
fn a_window_that_is_too_small_or_a_dumb_terminal_is_asked_line_by_line() {
    let tree = Tree::new();
    for (width, height, environment) in [(50, 24, vec![]), (80, 10, vec![]), (80, 24, vec![("TERM", "dumb")])] {
        let mut screen = Screen::start(&tree, width, height, &environment);
        screen.sees(false, "Profile [full]: ");
        assert!(screen.is_ordinary());
        screen.press("q\n");
        assert_eq!(screen.ends(), Some(1));
    }
}
