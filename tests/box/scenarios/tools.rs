//! The modules for working at a terminal: each program is used, and all of them go again.

use super::Scenario;
use super::modules::there_and_back_on;
use super::program::installed;
use crate::harness::Machine;

/// A hundred megabytes to fetch, two minutes.
pub const LONG: &[Scenario] = &[Scenario {
    name: "zsh, neovim, ansible, kubectl and the small tools work for a user, and all of them go without a trace",
    run: tools,
}];

const PROFILE: &str = "\
title: Tools
summary: Tools for a terminal
modules:
  system: {enabled: true, build_tools: false}
  git: {enabled: true, github_cli: false}
  python: {enabled: true}
  utilities: {enabled: true}
  terminal_tools: {enabled: true, users: [ada]}
  neovim: {enabled: true, editor: true}
  devops: {enabled: true}
";

fn tools() {
    let machine = installed("tools");
    machine.ok("useradd --create-home --shell /bin/bash ada");
    there_and_back_on(&machine, "tools", PROFILE, || {
        shells(&machine);
        editor(&machine);
        // Homes are the users' own: what their programs left there is no business of a rollback.
        machine.ok("rm -rf /home/ada/.cache /home/ada/.local /home/ada/.zsh_history /root/.ansible /root/.local");
    });
}

/// As a user types it, at a terminal; the answer has no colours in it.
#[track_caller]
fn typed(machine: &Machine, words: &str) -> String {
    let script = format!("printf '%s\\n' '{words}' exit | script -qec 'su - ada' /dev/null");
    let said = machine.ok(&script);
    let mut plain = String::new();
    let mut inside = false;
    for c in said.chars() {
        match c {
            '\x1b' => inside = true,
            c if inside => inside = !c.is_ascii_alphabetic(),
            c => plain.push(c),
        }
    }
    plain
}

fn shells(machine: &Machine) {
    // As a person runs it: a terminal stops what wants it from the background.
    machine.ok("script -qec 'vps-configurator verify --profile tools' /dev/null");
    let said = typed(machine, "z /etc && ll hostname && print ${+widgets[autosuggest-accept]} $ZSH_VERSION");
    assert!(said.contains("root") && said.contains("1 5."), "{said}");
    assert!(!said.contains("zsh-newuser-install"), "a user without a ~/.zshrc is not asked for one: {said}");
    // The figure is told, not judged: other work on this machine takes as long as it takes.
    let took = machine.ok("su ada -c 'zsh -ic exit; TIMEFMT=%E; time zsh -ic exit' 2>&1 | tail -n 3");
    println!("zsh -i: {}", took.replace('\n', " "));
    let bash = machine.ok("su ada -c 'bash -ic \"alias ll; type -t z; echo $PROMPT_COMMAND\"' 2>/dev/null");
    assert!(bash.contains("eza --long") && bash.contains("function"), "{bash}");
    assert_eq!(machine.ok("su - ada -c 'bat --plain --color=never /etc/hostname'").trim(), "tools");
    assert_eq!(machine.ok("cd /etc && fd --max-depth 1 '^hostname$'").trim(), "hostname");
    assert_eq!(machine.ok("git config --system core.excludesFile").trim(), "/etc/gitignore");
}

fn editor(machine: &Machine) {
    machine.ok("su ada -c 'cd && nvim --headless -c \"call setline(1, 6 * 7)\" -c \"write answer\" -c qall' && grep -qx 42 /home/ada/answer");
    let said = machine.ok("su ada -c 'cd && nvim --headless -c \"set number?\" -c \"set undofile?\" -c qall' 2>&1");
    assert!(said.contains("number") && !said.contains("nonumber") && said.contains("undofile"), "{said}");
    // A user's own settings win.
    machine.ok("su ada -c 'mkdir -p ~/.config/nvim && echo vim.opt.number = false > ~/.config/nvim/init.lua'");
    assert!(machine.ok("su ada -c 'cd && nvim --headless -c \"set number?\" -c qall' 2>&1").contains("nonumber"));
    machine.ok("editor --version | grep -q NVIM && rm -r /home/ada/answer /home/ada/.config");
}
