//! The wizard, driven in tmux as a person would: windows of two sizes, out again, and through to the host that it makes.

use super::Scenario;
use super::program::{installed, json, program};
use crate::harness::Machine;
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "the wizard is driven in tmux at 80x24 and 120x40, left without a trace, and makes the host minimal",
    run: wizard,
}];

fn wizard() {
    let machine = installed("wizard");
    machine.ok("DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends tmux");
    // Its folder for sockets stays; the configuration is the administrator's, and not taken back.
    machine.ok("tmux -f /dev/null new-session -d true; tmux kill-server; true");
    machine.ok("mkdir -p /etc/vps-configurator/conf.d && cp -a /etc/vps-configurator/conf.d /root/conf.d");
    let before = machine.snapshot();

    let window = Window::open(&machine, 120, 40);
    window.sees("profile", "What is this host to be?");
    window.press("m Enter");
    window.sees("question", "minimal: question 1 of 3");
    window.press("'My Host' Enter");
    window.sees("objection", "\"My Host\" is not a host name");
    window.press("C-u web1 Enter");
    window.sees("zone", "modules.system.timezone");
    // The window is made smaller, the program stopped and let go on: the page is drawn anew each time.
    machine.ok("tmux resize-window -t wizard -x 80 -y 24");
    window.sees("smaller", "minimal: question 2 of 3");
    machine.ok("tmux resize-window -t wizard -x 50 -y 10");
    window.sees("too-small", "This window is too small");
    machine.ok("tmux resize-window -t wizard -x 120 -y 40");
    window.press("C-z");
    window.sees("stopped", "Stopped");
    window.press("fg Enter");
    window.sees("again", "minimal: question 2 of 3");
    window.press("Enter");
    window.sees("passwords", "Let people log in with a password");
    window.press("Enter");
    window.sees("plan", "Space more");
    window.press("End");
    window.sees("end-of-plan", "nothing was changed.");
    window.press("s");
    window.sees("save", "Save the answers in which file?");
    window.press("/root/answers.yaml Enter");
    window.sees("saved", "The answers are saved");
    window.press("q");
    window.sees("left", "nothing was changed");
    window.press("'stty -a' Enter");
    window.sees("terminal", " icanon ");
    assert!(machine.read("/root/answers.yaml").contains("hostname: web1"));
    machine.ok("rm /root/answers.yaml; tmux kill-server");
    machine.must_be_as_before(&before);

    // The whole connection goes away.
    let window = Window::open(&machine, 80, 24);
    window.sees("profile", "What is this host to be?");
    machine.ok("tmux kill-server");
    let gone = Instant::now();
    while machine.sh("pgrep -x vps-configurato").success() {
        assert!(gone.elapsed() < Duration::from_secs(60), "it ends with its terminal");
        std::thread::sleep(Duration::from_millis(200));
    }
    machine.must_be_as_before(&before);

    let window = Window::open(&machine, 80, 24);
    window.sees("profile", "What is this host to be?");
    window.press("m Enter");
    window.sees("question", "minimal: question 1 of 3");
    window.press("web1 Enter");
    window.sees("zone", "modules.system.timezone");
    window.press("C-u Europe/Stockholm Enter");
    window.sees("passwords", "Let people log in with a password");
    window.press("Enter");
    window.sees("plan", "Space more");
    window.press("y");
    window.sees("installed", "Installation completed successfully: profile minimal");
    machine.ok("tmux kill-server");
    assert_eq!(machine.ok("uname -n; readlink /etc/localtime"), "web1\n/usr/share/zoneinfo/Europe/Stockholm\n");
    assert!(machine.read("/etc/vps-configurator/conf.d/00-profile.yaml").contains("\nprofile: minimal\n"));
    assert_eq!(program(&machine, "verify").code, 0);
    assert_eq!(json(&machine, 0, "install --yes")["changes"], 0);
    assert_eq!(program(&machine, "rollback --yes").code, 0);
    machine.ok("rm -r /etc/vps-configurator/conf.d && cp -a /root/conf.d /etc/vps-configurator/conf.d");
    machine.must_be_as_before(&before);
}

/// A window of tmux with a shell in it, and the wizard in that.
struct Window<'a> {
    machine: &'a Machine,
    size: String,
}

impl Window<'_> {
    fn open(machine: &Machine, width: u16, height: u16) -> Window<'_> {
        machine.ok(&format!(
            "LC_ALL=C.UTF-8 HISTFILE= tmux -f /dev/null new-session -d -s wizard -x {width} -y {height} 'bash --norc'"
        ));
        let window = Window { machine, size: format!("{width}x{height}") };
        window.press("'vps-configurator wizard' Enter");
        window
    }

    fn press(&self, keys: &str) {
        self.machine.ok(&format!("tmux send-keys -t wizard {keys}"));
    }

    /// Waits until the window shows these words; what it shows is kept in `target/tmp/wizard-<size>-<page>.txt`.
    #[track_caller]
    fn sees(&self, page: &str, words: &str) {
        let begun = Instant::now();
        loop {
            let shown = self.machine.ok("tmux capture-pane -p -t wizard");
            if shown.contains(words) {
                let file = format!("{}/wizard-{}-{page}.txt", env!("CARGO_TARGET_TMPDIR"), self.size);
                std::fs::write(file, shown).unwrap();
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(600), "{words:?} is not shown:\n{shown}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
