//! The kinds that drive systemd, shadow and ufw, there and back on a temporary root with simulated programs.

use super::bench::{Bench, survives_every_crash, undoers};
use super::unit::debt::{Paid, owed, pay};
use super::unit::health::prove;
use super::unit::survey::UnitSurvey;
use super::{command, firewall, group, member, unit, user};
use crate::engine::{Action, Debt, DebtKind, Error, Outcome, Resource, Scope};
use serde_json::{Map, Value, json};

fn fields(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn bench(programs: &[&str]) -> Bench {
    let bench = Bench::new();
    for program in programs {
        bench.simulated(program);
    }
    bench
}

fn people() -> Bench {
    let bench = bench(&["useradd", "usermod", "groupadd", "gpasswd"]);
    bench.put("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nbo:x:1000:1000:Bo:/home/bo:/bin/sh\n");
    bench.put("/etc/shadow", "root:*:20000:0:99999:7:::\nbo:$y$hash:20001:0:99999:7:::\n");
    bench.put("/etc/group", "root:x:0:\nsudo:x:27:\nbo:x:1000:\n");
    bench.put("/etc/gshadow", "root:*::\nsudo:*::\nbo:!::\n");
    bench.put("/etc/subuid", "bo:100000:65536\n");
    bench.put("/etc/subgid", "bo:100000:65536\n");
    bench.put("/etc/skel/.bashrc", "# skel\n");
    bench.put("/etc/skel/.config/dir/file", "x\n");
    bench.put("/etc/login.defs", "HOME_MODE 0700\n");
    bench.put("/home/bo/notes", "mine\n");
    bench
}

fn a_user(name: &str, value: Value) -> Box<dyn Resource> {
    user::User::from_spec(name, &fields(value), "access").unwrap()
}

fn systemd() -> Bench {
    let bench = bench(&["systemctl", "journalctl"]);
    for dir in ["/run/systemd/system", "/run/fake-systemd/active", "/run/fake-systemd/failed", "/etc/systemd/system"] {
        std::fs::create_dir_all(bench.at(dir)).unwrap();
    }
    let units = "/usr/lib/systemd/system";
    bench.put(&format!("{units}/web.service"), "[Service]\n[Install]\nWantedBy=multi-user.target\nAlso=web.socket\n");
    bench.put(&format!("{units}/web.socket"), "[Socket]\n[Install]\nWantedBy=sockets.target\n");
    bench.put(&format!("{units}/bad.service"), "# FAKE-FAILS\n[Install]\nWantedBy=multi-user.target\n");
    bench.put(&format!("{units}/fixed.service"), "[Service]\n");
    bench
}

fn a_unit(name: &str, value: Value) -> Box<dyn Resource> {
    unit::Unit::from_spec(name, &fields(value), "web", &UnitSurvey::new()).unwrap()
}

fn walls() -> Bench {
    let programs = ["ufw", "iptables", "ip6tables", "iptables-restore", "ip6tables-restore", "nft", "sysctl"];
    let bench = bench(&programs);
    bench.put("/etc/ufw/ufw.conf", "# ufw\nENABLED=no\nLOGLEVEL=low\n");
    bench.put(
        "/etc/default/ufw",
        "IPV6=yes\nDEFAULT_INPUT_POLICY=\"ACCEPT\"\nDEFAULT_OUTPUT_POLICY=\"ACCEPT\"\nDEFAULT_FORWARD_POLICY=\"DROP\"\n",
    );
    for file in ["user.rules", "user6.rules"] {
        bench.put(&format!("/etc/ufw/{file}"), "*filter\n### RULES ###\n\n### END RULES ###\nCOMMIT\n");
    }
    bench.put("/etc/ufw/sysctl.conf", "net/ipv4/conf/all/accept_redirects=0\n");
    bench.put("/proc/sys/net/ipv4/conf/all/accept_redirects", "1\n");
    bench.put("/proc/sys/net/ipv6/x", "");
    std::fs::create_dir_all(bench.at("/run/fake-netfilter")).unwrap();
    bench
}

fn a_firewall(value: Value) -> Box<dyn Resource> {
    firewall::Firewall::from_spec("ufw", &fields(value), "security", &[22]).unwrap()
}

#[test]
fn a_user_and_its_home_come_and_go() {
    let bench = people();
    let anna = a_user("anna", json!({"shell": "/bin/bash", "comment": "Anna A"}));
    let change = bench.there_and_back(&*anna);
    assert_eq!(change.action, Action::Create);
    let _step = bench.step(&*anna);
    assert_eq!(bench.text("/home/anna/.config/dir/file"), "x\n");
    assert!(bench.text("/etc/passwd").ends_with("anna:x:1001:1001:Anna A:/home/anna:/bin/bash\n"));
}

#[test]
fn a_home_with_something_in_it_is_kept_when_its_user_goes() {
    let bench = people();
    let step_bench = &bench;
    let step = step_bench.step(&*a_user("anna", json!({})));
    bench.put("/home/anna/thesis", "years of work\n");
    let Outcome::Kept(lines) = step.undo() else { panic!("not kept") };
    assert!(lines[0].contains("/home/anna") && lines[0].contains("thesis"), "{lines:?}");
    assert_eq!(bench.text("/home/anna/thesis"), "years of work\n");
    assert!(!bench.text("/etc/passwd").contains("anna"));
}

#[test]
fn a_user_that_was_there_gets_its_lines_back() {
    let bench = people();
    let before = bench.text("/etc/shadow");
    let change = bench.there_and_back(&*a_user("bo", json!({"shell": "/bin/zsh", "locked": true, "group": "sudo"})));
    assert_eq!((change.action, change.details.len()), (Action::Update, 3));
    assert_eq!(bench.text("/etc/shadow"), before);
}

#[test]
fn what_somebody_changed_of_a_user_after_us_stays() {
    let bench = people();
    let step = bench.step(&*a_user("bo", json!({"shell": "/bin/zsh"})));
    let changed = bench.text("/etc/passwd").replace("/bin/zsh", "/bin/fish");
    bench.put("/etc/passwd", &changed);
    assert!(matches!(step.undo(), Outcome::Kept(_)));
    assert_eq!(bench.text("/etc/passwd"), changed);
}

#[test]
fn a_user_is_never_given_another_number() {
    let bench = people();
    let bo = a_user("bo", json!({"uid": 1234}));
    let refused = bo.compare(&bo.observe(bench.host()).unwrap());
    assert!(matches!(refused, Err(Error::Refused { code: "user-number-taken", .. })));
}

#[test]
fn a_useradd_that_was_killed_is_made_whole() {
    let bench = people();
    let before = bench.tree();
    let anna = a_user("anna", json!({}));
    let (seen, change) = bench.plan(&*anna);
    let record = anna.capture(&bench.context(), &seen, &change).unwrap();
    bench.put("/run/fake-useradd-dies", "");
    assert!(anna.apply(&bench.context(), &seen, &change).is_err());
    assert!(bench.text("/etc/passwd").contains("anna") && !bench.text("/etc/shadow").contains("anna"));
    anna.apply(&bench.context(), &seen, &change).unwrap();
    assert_eq!(anna.observe(bench.host()).unwrap(), change.after);
    assert!(bench.text("/etc/shadow").contains("anna") && bench.text("/etc/subuid").contains("anna"));
    let undo = undoers().decode(&record).unwrap();
    assert_eq!(undo.undo(&bench.context(), &Scope::Whole, None).unwrap(), Outcome::Undone);
    assert_eq!(bench.tree(), without(before, "/home/anna"));
}

/// A tree without one of its paths.
fn without<V>(mut tree: std::collections::BTreeMap<String, V>, path: &str) -> std::collections::BTreeMap<String, V> {
    tree.remove(path);
    tree
}

#[test]
fn a_group_comes_and_goes_unless_somebody_uses_it() {
    let bench = people();
    let dev = group::Group::from_spec("dev", &fields(json!({"gid": "2000"})), "access").unwrap();
    let _ = bench.there_and_back(&*dev);
    let step = bench.step(&*dev);
    let used = bench.text("/etc/group").replace("dev:x:2000:", "dev:x:2000:bo");
    bench.put("/etc/group", &used);
    assert_eq!(step.undo(), Outcome::Kept(vec!["group dev: used by bo".to_owned()]));
    assert_eq!(bench.text("/etc/group"), used);
}

#[test]
fn memberships_are_taken_back_one_by_one_in_any_order() {
    let bench = people();
    let of = |name: &str| member::Member::from_spec(name, &Map::new(), "access").unwrap();
    let _ = bench.there_and_back(&*of("bo/sudo"));
    let before = bench.tree();
    let (first, second) = (bench.step(&*of("bo/sudo")), bench.step(&*of("root/sudo")));
    assert!(bench.text("/etc/gshadow").contains("sudo:*::bo,root\n"));
    assert_eq!(first.undo(), Outcome::Undone);
    assert_eq!(bench.text("/etc/group"), "root:x:0:\nsudo:x:27:root\nbo:x:1000:\n");
    assert_eq!(second.undo(), Outcome::Undone);
    assert_eq!(bench.tree(), before);
    let nobody = of("nobody/sudo");
    let (seen, change) = bench.plan(&*nobody);
    let refused = nobody.apply(&bench.context(), &seen, &change);
    assert!(matches!(refused, Err(Error::Refused { code: "account-missing", .. })));
}

#[test]
fn a_unit_is_enabled_with_what_it_brings_and_all_links_go_again() {
    let bench = systemd();
    let web = a_unit("web.service", json!({"enabled": true, "active": true}));
    let change = bench.there_and_back(&*web);
    assert_eq!(change.summary, "enable and start");
    let _step = bench.step(&*web);
    assert!(bench.at("/etc/systemd/system/sockets.target.wants/web.socket").is_symlink());
    assert!(bench.at("/run/fake-systemd/active/web.service").exists());
}

#[test]
fn a_link_that_an_administrator_made_survives_our_disable_and_its_undo() {
    let bench = systemd();
    let dir = bench.at("/etc/systemd/system/special.target.wants");
    std::fs::create_dir_all(&dir).unwrap();
    std::os::unix::fs::symlink("/usr/lib/systemd/system/web.service", dir.join("web.service")).unwrap();
    bench.put("/run/fake-systemd/active/web.service", "");
    let before = bench.tree();
    let step = bench.step(&*a_unit("web.service", json!({"enabled": "false", "active": false})));
    assert!(!dir.exists());
    assert_eq!(step.undo(), Outcome::Undone);
    let after = bench.tree();
    let running = "/run/fake-systemd/active/web.service";
    assert!(after.contains_key(running));
    assert_eq!(without(after, running), without(before, running));
}

#[test]
fn masking_comes_and_goes() {
    let bench = systemd();
    let _ = bench.there_and_back(&*a_unit("web.service", json!({"masked": true})));
    let _ = bench.there_and_back(&*a_unit("absent.service", json!({"masked": true})));
}

#[test]
fn a_unit_that_cannot_be_enabled_satisfies_either_wish() {
    let bench = systemd();
    for wish in [true, false] {
        let fixed = a_unit("fixed.service", json!({"enabled": wish}));
        assert!(!bench.plan(&*fixed).1.is_needed());
    }
    assert!(!bench.plan(&*a_unit("absent.service", json!({"enabled": false, "active": false}))).1.is_needed());
}

#[test]
fn a_unit_that_does_not_start_says_why_and_is_taken_back() {
    let bench = systemd();
    bench.put("/run/fake-systemd/journal", "bad[7]: no such port 99999\n");
    let before = bench.tree();
    let bad = a_unit("bad.service", json!({"enabled": true, "active": true}));
    let (seen, change) = bench.plan(&*bad);
    let record = bad.capture(&bench.context(), &seen, &change).unwrap();
    match bad.apply(&bench.context(), &seen, &change) {
        Err(Error::Refused { code: "unit-failed", why, .. }) => assert_eq!(why, "bad[7]: no such port 99999"),
        other => panic!("{other:?}"),
    }
    let undo = undoers().decode(&record).unwrap();
    assert_eq!(undo.undo(&bench.context(), &Scope::Whole, None).unwrap(), Outcome::Undone);
    assert_eq!(bench.tree(), before, "not even its failure is left");
    assert_eq!(bench.plan(&*bad).1, change);
}

#[test]
fn without_systemd_links_are_made_and_a_start_is_refused() {
    let bench = systemd();
    std::fs::remove_dir(bench.at("/run/systemd/system")).unwrap();
    let _ = bench.there_and_back(&*a_unit("web.service", json!({"enabled": true})));
    let web = a_unit("web.service", json!({"active": true}));
    let (seen, change) = bench.plan(&*web);
    let refused = web.apply(&bench.context(), &seen, &change);
    assert!(matches!(refused, Err(Error::Refused { code: "systemd-not-running", .. })));
}

#[test]
fn all_units_of_a_run_are_asked_for_in_one_call() {
    let bench = systemd();
    let survey = UnitSurvey::new();
    let wish = fields(json!({"enabled": true}));
    let units: Vec<Box<dyn Resource>> = ["web.service", "web.socket", "bad.service", "fixed.service"]
        .iter()
        .map(|name| unit::Unit::from_spec(name, &wish, "web", &survey).unwrap())
        .collect();
    for unit in &units {
        unit.observe(bench.host()).unwrap();
    }
    assert_eq!(bench.text("/run/vps-calls").lines().count(), 1);
    units[0].observe(bench.host()).unwrap();
    assert_eq!(bench.text("/run/vps-calls").lines().count(), 2, "the second time it is asked anew");
}

#[test]
fn debts_are_paid_only_to_what_runs_and_never_by_restarting_sshd() {
    let bench = systemd();
    bench.put("/usr/lib/systemd/system/ssh.service", "[Install]\nWantedBy=multi-user.target\n");
    bench.program("sshd", "cat \"$VPS_ROOT/etc/bad-sshd\" >&2 2>/dev/null && exit 255; exit 0");
    let debt = |kind: DebtKind, unit: &str| Debt::new(kind, unit);
    let restart = debt(DebtKind::Restart, "ssh.service");
    assert!(matches!(pay(bench.host(), &restart, 0).unwrap(), Paid::NotNeeded(_)));
    let since = bench.host().now();
    bench.host().run(&crate::host::Command::new("systemctl").args(["start", "ssh.service"])).unwrap();
    assert_eq!(pay(bench.host(), &restart, since).unwrap(), Paid::Since, "it has read what changed");
    let now = bench.host().now();
    assert_eq!(pay(bench.host(), &restart, now).unwrap(), Paid::Done);
    assert!(!bench.text("/run/vps-calls").contains("restart"));
    bench.put("/etc/bad-sshd", "line 7: bad value\n");
    let refused = pay(bench.host(), &debt(DebtKind::Reload, "ssh.service"), now);
    assert!(matches!(refused, Err(Error::Refused { code: "ssh-config-rejected", .. })));
    assert!(matches!(pay(bench.host(), &debt(DebtKind::Start, "web.service"), 0).unwrap(), Paid::NotNeeded(_)));
    assert_eq!(pay(bench.host(), &debt(DebtKind::DaemonReload, ""), 0).unwrap(), Paid::Done);
}

#[test]
fn a_unit_that_ran_when_a_restart_was_owed_is_started_whatever_became_of_it() {
    let bench = systemd();
    let restart = Debt::new(DebtKind::Restart, "web.service");
    assert!(!owed(bench.host(), std::slice::from_ref(&restart)).unwrap()[0].ran);
    bench.host().run(&crate::host::Command::new("systemctl").args(["start", "web.service"])).unwrap();
    let restart = owed(bench.host(), &[restart]).unwrap().remove(0);
    assert!(restart.ran);
    std::fs::remove_file(bench.at("/run/fake-systemd/active/web.service")).unwrap();
    assert_eq!(pay(bench.host(), &restart, bench.host().now()).unwrap(), Paid::Done);
    assert!(bench.at("/run/fake-systemd/active/web.service").exists());
}

#[test]
fn units_are_watched_together_and_those_that_do_not_stay_well_are_named_with_their_last_words() {
    let bench = systemd();
    bench.put("/run/fake-systemd/journal", "dies[7]: no memory for this\n");
    bench.put("/usr/lib/systemd/system/dies.service", "FAKE-DIES\n");
    bench.put("/proc/net/tcp", "  sl\n 0: 00000000:0050 00000000:0000 0A x\n");
    let host = crate::host::FakeHost::new(bench.at("/"));
    let started = ["web.service", "dies.service"];
    bench.host().run(&crate::host::Command::new("systemctl").arg("start").args(started)).unwrap();
    let port = |port: &str| crate::engine::Health { ports: vec![port.to_owned()], ..crate::engine::Health::default() };
    let debt = |unit: &str, healthy| Debt { healthy, ..Debt::new(DebtKind::Restart, unit) };
    let debts = [
        debt("web.service", port("80")),
        debt("dies.service", crate::engine::Health::default()),
        debt("web.service", port("81")),
    ];
    let proved = prove(&host, &debts);
    assert!(proved[0].is_ok(), "{proved:?}");
    let why = |at: usize| match &proved[at] {
        Err(Error::Refused { code: "unit-unhealthy", what, why, .. }) => format!("{what}: {why}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(why(1), "restart dies.service: it failed: exit-code\ndies[7]: no memory for this");
    assert!(why(2).starts_with("restart web.service: it runs, but nothing listens on port 81\n"), "{}", why(2));
}

#[test]
fn the_firewall_goes_up_and_down_and_leaves_nothing_in_the_kernel() {
    let bench = walls();
    let change =
        bench.there_and_back(&*a_firewall(json!({"rules": ["allow 80,443/tcp # web", "allow from 10.1.2.3/8"]})));
    assert_eq!(change.summary, "add 3 rules, set the default policies, switch it on");
    assert_eq!(change.after.0["rules"][0], "limit tcp 22 0.0.0.0/0 any 0.0.0.0/0 in # SSH");
    assert_eq!(change.after.0["rules6"].as_array().unwrap().len(), 2);
}

#[test]
fn a_rule_added_by_hand_survives_the_undo_of_ours() {
    let bench = walls();
    let step = bench.step(&*a_firewall(json!({"rules": ["allow 80/tcp"]})));
    let by_hand = ["allow", "in", "from", "any", "to", "any", "port", "99", "proto", "tcp"];
    bench.host().run(&crate::host::Command::new("ufw").args(by_hand)).unwrap();
    assert!(matches!(step.undo(), Outcome::Kept(_)));
    let rules = bench.text("/etc/ufw/user.rules");
    assert!(rules.contains("allow tcp 99 ") && !rules.contains("tcp 80") && !rules.contains("tcp 22"), "{rules}");
    assert!(bench.text("/etc/ufw/ufw.conf").contains("ENABLED=no"));
    assert!(bench.text("/etc/default/ufw").contains("DEFAULT_INPUT_POLICY=\"ACCEPT\""));
}

#[test]
fn a_ruleset_that_somebody_flushed_is_seen_and_loaded_again() {
    let bench = walls();
    let wall = a_firewall(json!({}));
    let _step = bench.step(&*wall);
    let live = bench.text("/run/fake-netfilter/4").replace("-A INPUT -j ufw-before-input\n", "");
    bench.put("/run/fake-netfilter/4", live);
    let change = bench.plan(&*wall).1;
    assert_eq!(change.summary, "load it into the kernel again");
    let _again = bench.step(&*wall);
    assert!(bench.text("/run/fake-netfilter/4").contains("-A INPUT -j ufw-before-input\n"));
}

#[test]
fn a_command_runs_once_and_is_taken_back() {
    let bench = bench(&[]);
    bench.program("mark", "echo \"$WORD\" > \"$VPS_ROOT/etc/mark\"");
    bench.program("unmark", "rm \"$VPS_ROOT/etc/mark\"");
    bench.program("is-marked", "test -e \"$VPS_ROOT/etc/mark\"");
    for guard in [json!({"creates": "/etc/mark"}), json!({"unless": ["is-marked"]})] {
        let mut all = fields(json!({"run": ["mark"], "undo": ["unmark"], "env": {"WORD": "hello"}}));
        all.extend(fields(guard));
        let _ = bench.there_and_back(&*command::Run::from_spec("mark", &all, "test").unwrap());
    }
    let kept = fields(json!({"run": ["mark"], "creates": "/etc/mark", "irreversible": true}));
    let kept = command::Run::from_spec("mark", &kept, "test").unwrap();
    assert!(matches!(bench.step(&*kept).undo(), Outcome::Kept(_)));
    let absent = fields(json!({"run": ["x"], "unless": ["not-installed"], "irreversible": true}));
    assert!(bench.plan(&*command::Run::from_spec("x", &absent, "test").unwrap()).1.is_needed());
}

#[test]
fn a_crash_at_any_effect_of_any_kind_is_finished_or_taken_back() {
    survives_every_crash(|| (people(), group::Group::from_spec("dev", &Map::new(), "access").unwrap()));
    survives_every_crash(|| (people(), member::Member::from_spec("bo/sudo", &Map::new(), "access").unwrap()));
    survives_every_crash(|| (people(), a_user("anna", json!({"shell": "/bin/zsh"}))));
    survives_every_crash(|| (people(), a_user("bo", json!({"shell": "/bin/zsh", "locked": true}))));
    survives_every_crash(|| (systemd(), a_unit("web.service", json!({"enabled": true, "active": true}))));
    survives_every_crash(|| (walls(), a_firewall(json!({"rules": ["allow 80/tcp"]}))));
}
