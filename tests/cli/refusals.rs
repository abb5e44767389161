//! Bad input and bad hosts: each is refused with what, state, why, fix and a code, with its exit code, and the host is
//! as it was before.

use super::snapshots;
use crate::support::snapshot::{compare, steady};
use crate::support::tree::Tree;
use crate::support::{Ran, program};
use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};
use nix::libc;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use vps_configurator::base::paths;
use vps_configurator::host::{Host, RealHost};

/// Runs a line that must be refused: with this exit code and code word, in the form of the house, and in JSON the same;
/// and nothing changes. The words are compared with a snapshot.
#[track_caller]
fn refuses(name: &str, tree: &Tree, line: &str, exit: i32, code: &str) -> Ran {
    let before = tree.listing();
    let ran = tree.call(line).ends(exit);
    is_explained(name, tree, &ran, code);
    let told = tree.call(&format!("{line} --json")).ends(exit).json();
    assert_eq!((&told["status"], &told["error_code"]), (&"error".into(), &code.into()), "{told:#}");
    assert_eq!(told["exit_code"], exit);
    tree.must_be(&before, name);
    ran
}

/// Whether it is told in the form of the house.
#[track_caller]
fn is_explained(name: &str, tree: &Tree, ran: &Ran, code: &str) {
    let text = ran.err.find("error: ").map_or("", |at| &ran.err[at..]);
    for part in ["error: ", "\n  state: ", "\n  why:   ", "\n  fix:   ", &format!("\n  code:  {code}")] {
        assert!(text.contains(part), "{name} lacks {part:?}:\n{}{}", ran.out, ran.err);
    }
    compare(&snapshots().join(format!("refused/{name}.txt")), &steady(text, tree.root()), "UPDATE_SNAPSHOTS");
}

fn with_config(text: impl AsRef<[u8]>) -> Tree {
    let tree = Tree::new();
    tree.put("/etc/vps-configurator/config.yaml", text);
    tree
}

const INSTALL: &str = "install --profile small --yes";

#[test]
fn an_unknown_key_is_shown_in_its_place_with_the_nearest_right_name() {
    let tree = with_config("profile: small\nmodules:\n  base:\n    gretting: hi\n");
    let ran = refuses("unknown-key", &tree, "install --yes", 2, "key-unknown");
    assert!(ran.err.contains("config.yaml") && ran.err.contains("greeting"), "{}", ran.err);
}

#[test]
fn a_wrong_type_is_shown_in_its_place() {
    let tree = with_config("profile: small\nmodules:\n  base:\n    level: loud\n");
    refuses("wrong-type", &tree, "install --yes", 2, "type-wrong");
    let tree = Tree::new();
    refuses(
        "wrong-type-on-the-command-line",
        &tree,
        &format!("{INSTALL} --set modules.base.level=loud"),
        2,
        "type-wrong",
    );
    refuses("not-a-key-and-a-value", &tree, &format!("{INSTALL} --set modules.base.level"), 2, "set-form");
    refuses(
        "unknown-key-on-the-command-line",
        &tree,
        &format!("{INSTALL} --set modules.base.lvel=1"),
        2,
        "key-unknown",
    );
}

#[test]
fn all_problems_of_all_files_are_told_in_one_run() {
    let tree = with_config("profile: small\nmodules:\n  base:\n    level: 77\n    loud: true\n");
    tree.put("/etc/vps-configurator/conf.d/10-more.yaml", "modules: {nosuch: {enabled: true}}\n");
    let ran = refuses("many-problems", &tree, "config validate", 2, "value-out-of-range");
    for word in ["3 problems", "config.yaml", "10-more.yaml", "77", "loud", "nosuch"] {
        assert!(ran.err.contains(word), "{word}: {}", ran.err);
    }
}

#[test]
fn a_yaml_bomb_is_refused_at_once() {
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (name, of) in "bcdefghij".chars().zip("abcdefghi".chars()) {
        bomb.push_str(&format!("{name}: &{name} [*{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}]\n"));
    }
    let tree = with_config(&bomb);
    let began = Instant::now();
    refuses("yaml-bomb", &tree, "install --yes", 2, "yaml-too-large");
    assert!(began.elapsed() < Duration::from_secs(20));
    let tree = with_config("[".repeat(100_000));
    refuses("yaml-deep", &tree, "install --yes", 2, "yaml-syntax");
}

#[test]
fn what_is_no_text_or_no_yaml_is_refused() {
    refuses("not-utf-8", &with_config(b"profile: sm\xffll\n"), "install --yes", 2, "yaml-not-utf8");
    refuses("not-yaml", &with_config("profile: [small\n"), "install --yes", 2, "yaml-syntax");
    refuses("key-twice", &with_config("profile: small\nprofile: full\n"), "install --yes", 2, "yaml-duplicate-key");
}

#[test]
fn a_profile_that_does_not_exist_is_refused_with_near_names() {
    let ran = refuses("no-such-profile", &Tree::new(), "install --profile smal --yes", 2, "profile-unknown");
    assert!(ran.err.contains("small"), "{}", ran.err);
    refuses("no-profile", &Tree::new(), "install --yes", 2, "profile-missing");
    refuses("no-such-module", &Tree::new(), "install --profile small --module bsae --yes", 2, "module-unknown");
}

#[test]
fn a_cycle_among_modules_is_refused() {
    let tree = Tree::new();
    tree.module("one", "depends_on: [two]\nresources: []\n");
    tree.module("two", "depends_on: [one]\nresources: []\n");
    refuses("module-cycle", &tree, INSTALL, 2, "module-cycle");
}

#[test]
fn a_dependency_that_is_missing_is_refused() {
    let tree = Tree::new();
    tree.module("one", "depends_on: [bsae]\nresources: []\n");
    let ran = refuses("module-missing", &tree, INSTALL, 2, "module-unknown");
    assert!(ran.err.contains("base"), "{}", ran.err);
    let tree = Tree::new();
    tree.module("one", "resources:\n  - file: /etc/one\n    content: x\n    needs: [\"unit:nosuch.service\"]\n");
    tree.enable(&["one"]);
    refuses("need-unknown", &tree, INSTALL, 2, "need-unknown");
}

#[test]
fn two_owners_of_one_file_are_refused_and_both_named() {
    let tree = Tree::new();
    for name in ["one", "two"] {
        tree.module(name, &format!("resources:\n  - file: /etc/shared\n    content: {name}\n"));
    }
    tree.enable(&["one", "two"]);
    let ran = refuses("two-owners", &tree, INSTALL, 2, "two-owners");
    assert!(ran.err.contains("modules.d/one/") && ran.err.contains("modules.d/two/"), "{}", ran.err);
}

#[test]
fn an_error_in_a_template_is_shown_in_its_place() {
    let tree = Tree::new();
    tree.module("one", "resources:\n  - file: /etc/one\n    content: \"{{ options.nosuch }}\"\n");
    tree.enable(&["one"]);
    refuses("template-name", &tree, INSTALL, 2, "template-undefined");
    let tree = Tree::new();
    tree.module("one", "resources:\n  - file: /etc/one\n    content: \"{% if %}\"\n");
    tree.enable(&["one"]);
    refuses("template-syntax", &tree, INSTALL, 2, "template-error");
}

#[test]
fn a_package_that_does_not_exist_is_found_when_planning() {
    let tree = Tree::new();
    tree.module("one", "resources:\n  - package: toool\n");
    tree.enable(&["one"]);
    let ran = refuses("package-unknown", &tree, "plan", 1, "package-unknown");
    assert!(ran.err.contains("near names: tool"), "{}", ran.err);
    refuses("package-unknown-at-install", &tree, "install --yes", 1, "package-unknown");
}

#[test]
fn without_a_network_nothing_is_touched() {
    let tree = Tree::new();
    std::fs::remove_dir_all(tree.at("/var/lib/apt/lists")).unwrap();
    tree.put("/run/fake-offline", "");
    refuses("no-network", &tree, "install --profile full --yes", 1, "network-unreachable");
}

#[test]
fn packages_that_do_not_fit_are_refused_before_anything_is_touched() {
    let tree = Tree::new();
    tree.put(
        "/var/lib/fake-repo/tool/control",
        "Package: tool\nVersion: 1.0\nArchitecture: amd64\nSize: 1000\nInstalled-Size: 900000000000\n",
    );
    refuses("no-space", &tree, "install --profile full --yes", 1, "disk-full");
}

#[test]
fn someone_who_is_not_root_is_told_so() {
    if !nix::unistd::geteuid().is_root() {
        let output = Command::new(env!("CARGO_BIN_EXE_vps-configurator")).arg("plan").output().unwrap();
        assert!(Ran::of(&output).ends(6).err.contains("code:  needs-root"));
        return;
    }
    // The build folder may not be open to others, so nobody gets a copy.
    let dir = tempfile::Builder::new().prefix("vps-").tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let copy = dir.path().join("vps-configurator");
    std::fs::copy(env!("CARGO_BIN_EXE_vps-configurator"), &copy).unwrap();
    let tree = Tree::bare();
    for line in ["plan", "verify", "status", "install --dry-run", "rollback --dry-run", "transaction list"] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&copy).args(line.split(' '));
        let ran = Ran::of(&command.current_dir("/").output().unwrap()).ends(6);
        is_explained(&format!("not-root-{}", line.replace([' ', '-'], "")), &tree, &ran, "needs-root");
    }
}

#[test]
fn another_system_is_refused_with_its_name() {
    for (name, text) in [
        ("debian-12", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n"),
        ("ubuntu", "PRETTY_NAME=\"Ubuntu 24.04.1 LTS\"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n"),
        ("debian-testing", "PRETTY_NAME=\"Debian GNU/Linux forky/sid\"\nID=debian\n"),
        ("no-os-release", ""),
    ] {
        let tree = Tree::new();
        tree.put("/etc/os-release", text);
        refuses(name, &tree, INSTALL, 1, "system-unsupported");
        tree.call("plan --profile small").ends(1);
        tree.call("verify --profile small").ends(1);
    }
}

#[test]
fn a_host_that_is_too_small_or_of_another_kind_is_refused() {
    let tree = Tree::new();
    tree.module("one", "requires: {memory_mb: 64000, architectures: [arm64]}\nresources: []\n");
    tree.enable(&["one"]);
    refuses("requirements", &tree, INSTALL, 1, "requirements-unmet");
}

#[test]
fn while_another_run_is_under_way_nobody_else_begins_and_the_holder_is_named() {
    let tree = Tree::new();
    tree.put("/run/vps-configurator/lock", "4711\nvps-configurator install\n2026-01-02T03:04:05Z\n");
    let file = OpenOptions::new().write(true).open(tree.at("/run/vps-configurator/lock")).unwrap();
    let held = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
    let ran = refuses("lock-held", &tree, INSTALL, 5, "lock-held");
    assert!(ran.err.contains("pid 4711 (vps-configurator install)"), "{}", ran.err);
    tree.call("config set modules.base.level 4").ends(5);
    tree.call("plan --profile small").ends(4);
    drop(held);
    tree.call(INSTALL).ends(0);
    let file = OpenOptions::new().write(true).open(tree.at("/run/vps-configurator/lock")).unwrap();
    let _held = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
    refuses("lock-held-rollback", &tree, "rollback --yes", 5, "lock-held");
    tree.call("recover").ends(5);
    tree.call("status").ends(0);
}

/// Runs a line in a mount namespace of its own where the tree's /etc can't be written. `None` where the kernel
/// gives no such namespace.
fn with_read_only_etc(tree: &Tree, line: &str) -> Option<Ran> {
    let etc = tree.at("/etc").display().to_string();
    let script = format!("mount --bind {etc} {etc} && mount -o remount,bind,ro {etc} || exit 99; exec \"$@\"");
    let mut command = Command::new("unshare");
    command.arg(if nix::unistd::geteuid().is_root() { "-m" } else { "-rm" }).args(["sh", "-c", &script, "sh"]);
    command.arg(env!("CARGO_BIN_EXE_vps-configurator")).arg("--root").arg(tree.root()).args(line.split(' '));
    let ran = Ran::of(&command.env("TERM", "dumb").output().ok()?);
    if ran.code == 99 || ran.err.starts_with("unshare:") {
        println!("skipped: no mount namespace here: {}", ran.err);
        return None;
    }
    Some(ran)
}

#[test]
fn a_read_only_etc_is_told_before_anything_is_touched() {
    let tree = Tree::new();
    let before = tree.listing();
    let Some(ran) = with_read_only_etc(&tree, "install --profile full --workers 1 --yes") else { return };
    is_explained("read-only-etc", &tree, &ran.ends(1), "read-only");
    tree.must_be(&before, "after an install on a read-only /etc");
}

/// Locks a file of the tree as dpkg does. The lock goes when the file is closed.
pub fn lock_of_dpkg(tree: &Tree, path: &str) -> File {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o640).open(tree.at(path)).unwrap();
    let lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_SETLK(&lock)).unwrap();
    let pid = std::process::id();
    tree.put(&format!("/proc/{pid}/cmdline"), "/usr/bin/python3\0/usr/bin/unattended-upgrade\0");
    file
}

#[test]
fn a_held_lock_of_dpkg_is_waited_for_and_its_holder_named() {
    let tree = Tree::new();
    let held = lock_of_dpkg(&tree, "/var/lib/dpkg/lock-frontend");
    let mut running = program(tree.root())
        .args(["install", "--profile", "full", "--yes"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(running.stderr.take().unwrap()).lines().map(Result::unwrap);
    let told = lines.find(|line| line.contains("waiting: ")).expect("it says that it waits");
    assert!(running.try_wait().unwrap().is_none(), "it waits");
    drop(held);
    let rest: Vec<String> = lines.collect();
    assert!(running.wait().unwrap().success(), "{rest:#?}");
    let who = format!("waiting: for unattended-upgrade (pid {}", std::process::id());
    assert!(told.contains(&who), "{told}");
}

#[test]
fn a_lock_of_dpkg_that_is_held_too_long_ends_it_with_the_holder_named() {
    let tree = Tree::new();
    tree.put("/etc/vps-configurator/conf.d/wait.yaml", "apply: {lock_wait: 1}\n");
    // Listing opens the file, and closing it would let the lock go: so before.
    drop(lock_of_dpkg(&tree, "/var/lib/dpkg/lock-frontend"));
    let before = tree.listing();
    let held = lock_of_dpkg(&tree, "/var/lib/dpkg/lock-frontend");
    let began = Instant::now();
    let ran = tree.call("install --profile full --workers 1 --yes").ends(1);
    is_explained("apt-lock-held", &tree, &ran, "apt-lock-held");
    assert!(ran.err.contains("unattended-upgrade"), "{}", ran.err);
    assert!(began.elapsed() < Duration::from_secs(30), "what never began is not waited for once more");
    drop(held);
    // Modules that need no package may stand: they are not what failed.
    tree.call("rollback --to 0 --yes").ends(0);
    tree.must_be(&before, "after the lock was held too long");
}

/// The program, told to stop once it says that it waits for the lock of dpkg, which is held for a day. What it wrote.
pub fn stopped_while_it_waits(tree: &Tree, words: &[&str]) -> (i32, String) {
    let held = lock_of_dpkg(tree, "/var/lib/dpkg/lock-frontend");
    let mut running = program(tree.root()).args(words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(running.stderr.take().unwrap()).lines().map(Result::unwrap);
    lines.find(|line| line.contains("waiting: ")).expect("it says that it waits");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(running.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let rest: Vec<String> = lines.collect();
    let code = running.wait().unwrap().code().expect("it ends by itself");
    drop(held);
    (code, rest.join("\n"))
}

#[test]
fn a_request_to_stop_ends_the_waiting_for_others_in_an_install_and_in_a_rollback() {
    let tree = Tree::new();
    tree.put("/etc/vps-configurator/conf.d/wait.yaml", "apply: {lock_wait: 86400}\n");
    drop(lock_of_dpkg(&tree, "/var/lib/dpkg/lock-frontend"));
    let before = tree.listing();
    let install = ["install", "--profile", "full", "--workers", "1", "--yes"];
    let (code, said) = stopped_while_it_waits(&tree, &install);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("stopped") && said.contains("unattended-upgrade"), "{said}");
    tree.must_be(&before, "after it was stopped while it waited");
    tree.call("install --profile full --workers 1 --yes").ends(0);
    let installed = tree.listing();
    // dpkg has to be brought in order first: that is what is waited for before anything is taken back.
    tree.put("/var/lib/dpkg/updates/0001", "");
    let (code, said) = stopped_while_it_waits(&tree, &["rollback", "--yes"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("stopped") && said.contains("unattended-upgrade"), "{said}");
    tree.remove("/var/lib/dpkg/updates/0001");
    tree.must_be(&installed, "after the rollback was stopped while it waited");
    tree.call("rollback --yes").ends(0);
    tree.must_be(&before, "after all");
}

#[test]
fn what_dpkg_lets_itself_be_brought_in_order_for_at_the_second_try_only_is_settled_all_the_same() {
    let tree = Tree::new();
    tree.module("tooled", "resources:\n  - package: tool\n");
    tree.enable(&["tooled"]);
    let programs = ["apt-get", "dpkg"].map(|name| (name, tree.text(&format!("/usr/sbin/{name}"))));
    for (name, text) in &programs {
        tree.program(&format!("/usr/sbin/{name}.real"), text);
    }
    let real = |name: &str| format!("\"$VPS_ROOT/usr/sbin/{name}.real\" \"$@\"\n");
    let killed = "sed -i '/^Package: tool$/,/^$/s/ok installed/ok unpacked/' \"$VPS_ROOT/var/lib/dpkg/status\"\n\
                  kill -9 $PPID\n";
    let looks = "case \" $* \" in *' -s '* | *print-uris* | *download* | *update*)";
    let text = format!("#!/bin/sh\n{looks} exec {};; esac\n{}{killed}", real("apt-get"), real("apt-get"));
    tree.program("/usr/sbin/apt-get", &text);
    assert_eq!(tree.call("install --yes").code, 137);
    for (name, word, code) in [("apt-get", "-f", 100), ("dpkg", "--configure", 1)] {
        let once = format!("mkdir \"$VPS_ROOT/tmp/{name}\" 2>/dev/null && exit {code}");
        let text = format!("#!/bin/sh\ncase \" $* \" in *' {word} '*) {once} ;; esac\nexec {}", real(name));
        tree.program(&format!("/usr/sbin/{name}"), &text);
    }
    let ran = tree.call("recover").ends(0);
    assert!(
        ran.err.contains("cannot bring dpkg in order") && ran.err.contains("dpkg is in order again"),
        "{}",
        ran.err
    );
    let shown = tree.call("transaction show 1 --json").ends(0).json();
    assert_eq!(shown["state"], "done", "{shown:#}");
    for step in shown["steps"].as_array().unwrap() {
        assert_eq!(step["state"], "verified", "{step:#}");
    }
    tree.call("plan").ends(0);
}

#[test]
fn a_rollback_waits_for_others_as_long_as_the_configuration_says() {
    let tree = Tree::new();
    tree.put("/etc/vps-configurator/conf.d/wait.yaml", "apply: {lock_wait: 1}\n");
    drop(lock_of_dpkg(&tree, "/var/lib/dpkg/lock-frontend"));
    let before = tree.listing();
    tree.call("install --profile full --workers 1 --yes").ends(0);
    let held = lock_of_dpkg(&tree, "/var/lib/dpkg/lock-frontend");
    let ran = tree.call("rollback --yes").ends(3);
    assert!(ran.err.contains("waited for 1 s"), "{}", ran.err);
    drop(held);
    tree.call("rollback --yes").ends(0);
    tree.must_be(&before, "after the lock was let go");
}

#[test]
fn a_unit_that_does_not_start_takes_its_module_back_and_its_journal_is_shown() {
    let tree = Tree::new();
    tree.module(
        "bad",
        "resources:\n  - file: /etc/systemd/system/bad.service\n    content: \"[Service]\\n# FAKE-FAILS\\n[Install]\\nWantedBy=multi-user.target\\n\"\n\
         \x20   notify: [daemon-reload]\n  - unit: bad.service\n    enabled: true\n    active: true\n    needs: [\"file:/etc/systemd/system/bad.service\"]\n\
         next_steps: [Look at the bad service]\n",
    );
    tree.enable(&["bad"]);
    tree.put("/run/fake-systemd/journal", "bad[7]: cannot bind: no such port 99999\n");
    let before = tree.listing();
    let ran = tree.call("install --workers 1 --yes").ends(1);
    is_explained("unit-failed", &tree, &ran, "unit-failed");
    assert!(ran.err.contains("no such port 99999"), "the journal's last lines are shown: {}", ran.err);
    assert!(!tree.has("/etc/systemd/system/bad.service") && tree.has("/etc/base/greeting.conf"));
    assert!(!ran.out.contains("Look at the bad service"), "there is none to look at: {}", ran.out);
    tree.call("rollback --yes").ends(0);
    tree.must_be(&before, "after the other modules were taken back too");
}

#[test]
fn a_package_whose_script_fails_takes_back_all_that_needs_it_and_dpkg_is_whole() {
    let tree = Tree::new();
    tree.program("/var/lib/fake-repo/tool/postinst", "#!/bin/sh\necho 'tool: no luck' >&2\nexit 1\n");
    let before = tree.listing();
    let ran = tree.call("install --profile full --workers 1 --yes");
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    is_explained("package-failed", &tree, &ran, "package-failed");
    let story = tree.text("/var/log/vps-configurator/apt-failed.log");
    assert!(story.contains("tool: no luck") && !story.contains("status:"), "{story}");
    tree.call("rollback --to 0 --yes").ends(0);
    tree.must_be(&before, "after a package failed");
}

#[test]
fn a_checker_that_rejects_a_file_leaves_the_old_one() {
    let tree = Tree::new();
    tree.module(
        "rules",
        "resources:\n  - file: /etc/sudoers.d/rules\n    content: \"BROKEN\\n\"\n    mode: \"0440\"\n    check: [visudo, -cf, \"{path}\"]\n",
    );
    tree.put("/etc/sudoers.d/rules", "old\n");
    tree.enable(&["rules"]);
    let before = tree.listing();
    let ran = tree.call("install --module rules --yes").ends(1);
    is_explained("check-failed", &tree, &ran, "check-failed");
    tree.must_be(&before, "after a rejected file");
}

#[test]
fn a_fragment_that_collides_with_the_administrators_own_is_refused_before_it_is_written() {
    let tree = Tree::new();
    tree.put("/etc/nginx/nginx.conf", "user www-data;\n");
    tree.put("/etc/nginx/conf.d/mine.conf", "# mine\nserver_tokens off;\n");
    let file = |name: &str| format!("  - file: /etc/nginx/conf.d/{name}.conf\n    notify: [reload nginx.service]\n");
    tree.module(
        "site",
        &format!(
            "resources:\n{}    content: \"gzip on;\\n\"\n{}    content: \"server_tokens off;\\n\"\n",
            file("10-a"),
            file("20-b")
        ),
    );
    tree.enable(&["site"]);
    let before = tree.listing();
    let ran = tree.call("install --module site --workers 1 --yes").ends(1);
    is_explained("check-failed-whole", &tree, &ran, "check-failed");
    tree.must_be(&before, "after a collision");
}

#[test]
fn a_service_that_dies_of_its_new_configuration_comes_back_with_the_old_one_and_no_further_run_is_green() {
    let tree = Tree::new();
    tree.put("/usr/lib/systemd/system/app.service", "READS=/etc/app.conf\n");
    tree.put("/run/fake-systemd/active/app.service", "Thu 2026-11-19 10:00:00.000000 UTC\n");
    tree.put("/run/fake-systemd/journal", "app[9]: cannot live with this\n");
    tree.put("/etc/app.conf", "good\n");
    tree.module(
        "app",
        "resources:\n  - file: /etc/app.conf\n    content: \"DIES\\n\"\n    notify: [restart app.service]\n",
    );
    tree.enable(&["app"]);
    let ran = tree.call("install --module app --workers 1 --yes").ends(1);
    is_explained("unit-unhealthy", &tree, &ran, "unit-unhealthy");
    assert!(ran.err.contains("cannot live with this"), "{}", ran.err);
    assert_eq!(tree.text("/etc/app.conf"), "good\n");
    assert!(tree.has("/run/fake-systemd/active/app.service"), "the old process is back");
    tree.call("status").ends(0);
    tree.call("install --module app --workers 1 --yes").ends(1);
    // Not even the old configuration keeps it alive: it stays owed, and no run is green over it.
    tree.put("/etc/app.conf", "DIES too\n");
    tree.call("install --module app --workers 1 --yes").ends(1);
    tree.call("status").ends(4);
    tree.module("app", "resources:\n  - file: /etc/app.conf\n    content: \"DIES too\\n\"\n");
    tree.call("install --module app --workers 1 --yes").ends(1);
    tree.put("/usr/lib/systemd/system/app.service", "[Service]\n");
    tree.call("install --module app --workers 1 --yes").ends(0);
    tree.call("status").ends(0);
}

#[test]
fn a_rollback_and_a_recovery_over_a_dead_service_are_no_success() {
    let tree = Tree::new();
    tree.put("/usr/lib/systemd/system/app.service", "READS=/etc/app.conf\n");
    tree.put("/run/fake-systemd/active/app.service", "Thu 2026-11-19 10:00:00.000000 UTC\n");
    tree.put("/etc/app.conf", "DIES\n");
    tree.module(
        "app",
        "resources:\n  - file: /etc/app.conf\n    content: \"good\\n\"\n    notify: [restart app.service]\n",
    );
    tree.enable(&["app"]);
    tree.call("install --module app --workers 1 --yes").ends(0);
    // The configuration of before does not keep it alive.
    let ran = tree.call("rollback --yes").ends(1);
    assert!(ran.err.contains("state: taken back, but for what is still owed"), "{}", ran.err);
    assert!(ran.err.contains("code:  unit-unhealthy"), "{}", ran.err);
    assert_eq!(tree.text("/etc/app.conf"), "DIES\n");
    let ran = tree.call("recover").ends(1);
    assert!(ran.err.contains("what was cut off is settled, but for what is still owed"), "{}", ran.err);
    tree.put("/etc/app.conf", "good\n");
    tree.call("recover").ends(0);
    tree.call("status").ends(0);
}

#[test]
fn a_value_that_sshd_would_take_from_another_file_is_refused_with_that_files_name() {
    let tree = Tree::new();
    tree.put("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\n");
    tree.put("/etc/ssh/sshd_config.d/00-provider.conf", "# provider\nMaxAuthTries 20\n");
    tree.module(
        "keys",
        "resources:\n  - file: /etc/ssh/sshd_config.d/10-keys.conf\n    content: \"MaxAuthTries 3\\n\"\n",
    );
    tree.enable(&["keys"]);
    let before = tree.listing();
    let ran = tree.call("install --module keys --yes").ends(1);
    is_explained("ssh-config-overridden", &tree, &ran, "ssh-config-overridden");
    tree.must_be(&before, "after a value that would count for nothing");
}

#[test]
fn a_mandatory_module_that_fails_takes_everything_back() {
    let tree = Tree::new();
    let before = tree.listing();
    // What must become a directory is a file of someone's.
    tree.put("/etc/base", "mine\n");
    let ran = tree.call("install --profile full --yes");
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    tree.remove("/etc/base");
    tree.must_be(&before, "after a mandatory module failed");
}

#[test]
fn a_journal_that_is_damaged_or_newer_is_not_written_to() {
    let tree = Tree::new();
    tree.call(INSTALL).ends(0);
    tree.put("/var/lib/vps-configurator/journal.db", "this is no database, but it is long enough to be read as one");
    for file in ["journal.db-wal", "journal.db-shm"] {
        let _ = std::fs::remove_file(tree.at(&format!("/var/lib/vps-configurator/{file}")));
    }
    refuses("journal-damaged", &tree, "rollback --yes", 1, "journal-damaged");
    tree.call(INSTALL).ends(1);
}

#[test]
fn modules_are_listed_where_the_configuration_cannot_be_read_and_none_is_said_to_be_off() {
    let tree = Tree::new();
    tree.put("/etc/vps-configurator/config.yaml", "profile: small\nmodules: {nosuch: {enabled: true}}\n");
    let listed = tree.call("module list").ends(0);
    assert!(listed.out.lines().skip(1).all(|line| line.contains(" unknown ")), "{}", listed.out);
    assert!(listed.err.contains("nosuch"), "{}", listed.err);
    let listed = tree.call("module list --json").ends(0);
    assert!(listed.out.contains("\"enabled\": null") && !listed.out.contains("\"enabled\": false"), "{}", listed.out);
}

#[test]
fn why_an_undo_failed_and_what_a_rollback_did_are_shown() {
    let tree = Tree::new();
    tree.program("/usr/sbin/do-odd", "#!/bin/sh\ntouch \"$VPS_ROOT/etc/done\"\n");
    tree.program("/usr/sbin/undo-odd", "#!/bin/sh\necho 'nobody may' >&2\nexit 8\n");
    let command = "  - command: odd\n    run: [do-odd]\n    creates: /etc/done\n    undo: [undo-odd]\n";
    tree.module("odd", &format!("resources:\n{command}  - file: /etc/odd\n    content: x\n"));
    tree.enable(&["odd"]);
    tree.call("install --yes").ends(0);
    tree.call("rollback --yes").ends(3);
    let status = tree.call("rollback --status").ends(3);
    assert!(status.out.contains("nobody may"), "{}", status.out);
    let status = tree.call("rollback --status --json").ends(3).json();
    assert!(status["incomplete"][0]["why"].as_str().unwrap().contains("nobody may"), "{status:#}");
    let diff = tree.call("transaction diff 2").ends(0);
    assert!(diff.out.contains("undone file:/etc/odd") && diff.out.contains("failed command:odd"), "{}", diff.out);
    let diff = tree.call("transaction diff 2 --json").ends(0).json();
    let shown = tree.call("transaction show 2 --json").ends(0).json();
    assert_eq!(diff["steps"].as_array().map(Vec::len), shown["undos"].as_array().map(Vec::len));
    tree.program("/usr/sbin/undo-odd", "#!/bin/sh\nrm \"$VPS_ROOT/etc/done\"\n");
    tree.call("rollback --yes").ends(0);
}

#[test]
fn the_values_of_set_are_shown_nowhere() {
    let tree = Tree::new();
    tree.call("install --profile small --set modules.base.greeting=s3cret --yes").ends(0);
    for line in ["transaction show 1 --json", "transaction show 1", "transaction list --json", "status --json"] {
        let shown = tree.call(line).ends(0).out;
        assert!(!shown.contains("s3cret"), "{line}: {shown}");
    }
    let request = &tree.call("transaction show 1 --json").ends(0).json()["request"];
    assert_eq!(request["set"], serde_json::json!(["modules.base.greeting=..."]));
}

#[test]
fn the_package_may_go_when_nothing_waits_and_is_told_what_stands() {
    let tree = Tree::new();
    assert_eq!(tree.call("internal may-remove").ends(0).out, "");
    tree.call("install --profile small --yes").ends(0);
    let told = tree.call("internal may-remove").ends(4);
    assert!(told.out.starts_with("transaction 1 ") && told.out.lines().count() == 1, "{}", told.out);
    let host = RealHost::new(tree.root().to_owned());
    let lock = host.lock(Path::new(paths::LOCK), "vps-configurator recover").unwrap();
    assert!(tree.call("internal may-remove").ends(5).err.contains("vps-configurator recover"));
    drop(lock);
    tree.call("install --profile full --module people --confirm always --yes").ends(0);
    let refused = tree.call("internal may-remove").ends(1);
    assert!(refused.out.is_empty() && refused.err.contains("code:  confirm-waiting"), "{}", refused.err);
    tree.call("rollback --to 0 --yes").ends(0);
    tree.call("internal may-remove").ends(0);
    tree.put("/var/lib/vps-configurator/journal.db", "x".repeat(5000));
    assert!(tree.call("internal may-remove").ends(1).err.contains("move /var/lib/vps-configurator away"));
}

#[test]
fn while_a_change_waits_no_mirror_is_waited_for() {
    let tree = Tree::new();
    tree.call("install --profile full --module people --confirm always --yes").ends(0);
    // apt's lists are too old to install from; each call of apt-get makes this folder anew.
    let age = || std::fs::remove_dir_all(tree.at("/var/lib/apt/lists/partial")).unwrap();
    let asked = || tree.has("/run/apt.calls") && tree.text("/run/apt.calls").contains("update");
    for line in ["install --profile full --yes", "install --profile full --download-only --yes"] {
        age();
        let refused = tree.call(line).ends(1);
        assert!(refused.err.contains("code:  confirm-waiting"), "{}", refused.err);
        assert!(!asked(), "{}", tree.text("/run/apt.calls"));
    }
    assert_eq!(tree.call("install --profile full --module people --yes --json").ends(0).json()["changes"], 0);
    // Without the lock, who plans may wait.
    age();
    tree.call("plan --profile full").ends(4);
    assert!(asked());
}

#[test]
fn a_swap_file_for_which_there_is_no_room_is_refused_before_anything_is_begun() {
    let tree = Tree::new();
    tree.module("big", "resources:\n  - file: /etc/big\n    content: x\n  - swap: /swapfile\n    size_mb: 900000000\n");
    tree.enable(&["big"]);
    for line in ["plan", "install --dry-run", "install --yes"] {
        let refused = tree.call(line).ends(1);
        assert!(refused.err.contains("code:  disk-full") && refused.err.contains("swap:/swapfile"), "{}", refused.err);
        assert!(refused.err.contains("state: nothing was changed"), "{}", refused.err);
    }
    assert!(!tree.has("/etc/big"));
}

#[test]
fn files_that_miss_the_same_folders_are_written_by_many_workers_at_once() {
    let tree = Tree::new();
    let path = |n: u32| format!("/etc/many/{}/in/a/deep/folder/{n}", n / 8);
    let file = |n: u32| format!("  - file: {}\n    content: \"{n}\"\n", path(n));
    tree.module("many", &format!("resources:\n{}", (0..160).map(file).collect::<String>()));
    tree.enable(&["many"]);
    let before = tree.listing();
    tree.call("install --workers 16 --yes").ends(0);
    assert!((0..160).all(|n| tree.has(&path(n))));
    tree.call("rollback --yes").ends(0);
    tree.must_be(&before, "the folders went with the files");
}

#[test]
fn a_host_that_gives_no_answer_is_left_alone_for_a_while_and_what_needs_it_is_set_aside() {
    let tree = Tree::new();
    let manifest = "name: pinned\nsummary: A tool\npriority: 50\nresources:\n  - download: /usr/local/bin/fetched\n    \
                    url: https://example.org/fetched\n    \
                    sha256: 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\n";
    tree.put("/etc/vps-configurator/modules.d/pinned/module.yaml", manifest);
    tree.put("/etc/vps-configurator/conf.d/50-x.yaml", "network: {failures: 2, pause: 3600}\n");
    tree.put("/run/fake-silent", "");
    let install = "install --profile small --module pinned,base --yes --json";
    for failures in [1, 2] {
        let failed = tree.call(install).ends(1).json();
        assert_eq!(failed["error_code"], "network-unreachable", "{failed:#}");
        let status = tree.call("circuit-breaker status --json").ends(0).json();
        let known = &status["hosts"][0];
        let state = if failures < 2 { "closed" } else { "open" };
        assert_eq!(
            (&known["host"], &known["state"], &known["failures"]),
            (&"example.org".into(), &state.into(), &failures.into())
        );
    }
    // Everything but that module is there, and nobody is asked.
    tree.remove("/run/fake-silent");
    let aside = tree.call(install).ends(1).json();
    assert_eq!((&aside["error_code"], &aside["changes"]), (&"upstream-off".into(), &0.into()), "{aside:#}");
    assert_eq!(aside["set_aside"], serde_json::json!({"pinned": "example.org"}));
    assert!(aside["error_details"]["why"].as_str().unwrap().contains("gave no answer 2 times since"), "{aside:#}");
    // A mandatory module ends the run before anything is changed.
    let text = manifest.replace("priority", "mandatory: true\npriority");
    tree.put("/etc/vps-configurator/modules.d/pinned/module.yaml", text);
    let ended = tree.call(install).ends(1).json();
    assert_eq!(ended["host_state"], "nothing was changed");
    tree.put("/etc/vps-configurator/modules.d/pinned/module.yaml", manifest);

    tree.call("circuit-breaker reset example.com").ends(2);
    tree.call("circuit-breaker reset example.org").ends(0);
    tree.put("/srv/web/example.org/fetched", "hello\n");
    tree.call(install).ends(0);
    assert_eq!(tree.text("/usr/local/bin/fetched"), "hello\n");
}
