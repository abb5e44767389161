//! Groups on a simulated host: what is asked, when, and what is left when it is refused.

use super::Wholes;
use crate::engine::{Context, Error, Resource};
use crate::host::fake::FakeHost;
use crate::resources::bench::Bench;
use crate::resources::file::File;
use crate::resources::symlink::Symlink;
use crate::resources::{Spec, block::Block};
use serde_json::{Value, json};
use std::sync::Arc;

/// nginx, small: each directive once in all of conf.d, and every file that is included is there. Notes each call.
const NGINX: &str = "echo asked >>\"$VPS_ROOT/run/asked\"\n\
    cd \"$VPS_ROOT/etc/nginx/conf.d\" || exit 0\n\
    twice=$(cat * | grep -v include | sort | uniq -d | head -n 1)\n\
    [ -z \"$twice\" ] || { echo \"\\\"$twice\\\" directive is duplicate in $(grep -lx \"$twice\" * | tail -n 1):1\" >&2; exit 1; }\n\
    for file in $(sed -n 's/^include //p' *); do [ -e \"$VPS_ROOT$file\" ] || { echo \"no $file\" >&2; exit 1; }; done";

fn bench() -> Bench {
    let bench = Bench::new();
    bench.put("/run/asked", "");
    bench.put("/etc/nginx/conf.d/theirs.conf", "tokens off\n");
    bench.program("nginx", NGINX);
    bench
}

fn conf(name: &str, content: &str) -> Spec {
    Spec::sample("file", &format!("/etc/nginx/conf.d/{name}.conf"), json!({"content": content}))
}

fn resources(specs: &[Spec]) -> Vec<Box<dyn Resource>> {
    let wholes = Wholes::of(specs, &Arc::default()).unwrap();
    let made = |(at, spec): (usize, &Spec)| {
        let whole = wholes.of_spec(at);
        let Spec { name, fields, module, .. } = spec;
        match spec.kind {
            "file" => File::from_spec(name, fields, module, whole, &Arc::default()),
            "block" => Block::from_spec(name, fields, module, whole),
            _ => Symlink::from_spec(name, fields, module, whole),
        }
        .unwrap()
    };
    specs.iter().enumerate().map(made).collect()
}

fn apply(context: &Context<'_>, resource: &dyn Resource) -> crate::engine::Result<()> {
    let seen = resource.observe(context.host).unwrap();
    let change = resource.compare(&seen).unwrap();
    resource.apply(context, &seen, &change)
}

fn asked(bench: &Bench) -> usize {
    bench.text("/run/asked").lines().count()
}

#[test]
fn a_fragment_that_is_bad_only_among_the_others_is_refused_before_the_switch() {
    let bench = bench();
    let before = bench.tree();
    let all = resources(&[conf("ours", "tokens off\n")]);
    let Err(Error::Refused { code: "check-failed", what, why, .. }) = apply(&bench.context(), &*all[0]) else {
        panic!("not refused")
    };
    assert_eq!(what, "cannot write /etc/nginx/conf.d/ours.conf");
    assert_eq!(why, "nginx -t exited 1: \"tokens off\" directive is duplicate in theirs.conf:1");
    bench.put("/run/asked", "");
    assert_eq!(bench.tree(), before);
}

#[test]
fn files_that_need_each_other_are_checked_together_and_once() {
    let bench = bench();
    let snippet = Spec::sample("file", "/etc/nginx/snippet", json!({"content": "x\n"}));
    let part = Spec::sample("block", "/etc/nginx/conf.d/theirs.conf", json!({"marker": "m", "content": "gzip on"}));
    let link = Spec::sample("symlink", "/etc/nginx/conf.d/link.conf", json!({"target": "../snippet"}));
    let all = resources(&[conf("ours", "include /etc/nginx/snippet\n"), snippet, part, link]);
    for one in &all {
        apply(&bench.context(), &**one).unwrap();
    }
    assert_eq!(asked(&bench), 1);
    // What is there is no reason to ask again; what somebody else changed is.
    let all = resources(&[conf("ours", "include /etc/nginx/snippet\n")]);
    assert!(!bench.plan(&*all[0]).1.is_needed());
}

#[test]
fn what_another_module_switched_in_between_is_part_of_the_whole() {
    let bench = bench();
    let mut other = conf("other", "gzip on\n");
    other.module = "other".into();
    let all = resources(&[conf("a", "a\n"), conf("b", "gzip on\n"), other]);
    apply(&bench.context(), &*all[0]).unwrap();
    apply(&bench.context(), &*all[2]).unwrap();
    assert_eq!(asked(&bench), 2);
    let refused = apply(&bench.context(), &*all[1]);
    assert!(matches!(refused, Err(Error::Refused { why, .. }) if why.contains("\"gzip on\" directive is duplicate")));
}

#[test]
fn what_is_refused_already_without_the_change_is_told() {
    let bench = bench();
    bench.put("/etc/nginx/conf.d/theirs2.conf", "tokens off\n");
    let all = resources(&[conf("ours", "gzip on\n")]);
    let refused = apply(&bench.context(), &*all[0]);
    assert!(
        matches!(refused, Err(Error::Refused { why, .. }) if why.contains("it refuses what is in force now as well"))
    );
}

#[test]
fn a_daemon_that_is_not_there_reads_nothing() {
    let bench = bench();
    std::fs::remove_file(bench.at("/usr/sbin/nginx")).unwrap();
    let all = resources(&[conf("ours", "tokens off\n")]);
    let _ = bench.there_and_back(&*all[0]);
}

#[test]
fn where_no_view_can_be_made_the_whole_is_checked_after_the_last_switch_and_that_one_comes_back() {
    let bench = bench();
    let host = FakeHost::without_views(bench.at("/"));
    let context = Context { host: &host, ..bench.context() };
    let all = resources(&[conf("a", "include /etc/nginx/conf.d/b.conf\n"), conf("b", "tokens off\n")]);
    apply(&context, &*all[0]).unwrap();
    assert_eq!(asked(&bench), 0, "of one file of two the daemon says nothing");
    assert!(matches!(apply(&context, &*all[1]), Err(Error::Refused { code: "check-failed", .. })));
    assert!(!bench.at("/etc/nginx/conf.d/b.conf").exists());
    let all = resources(&[conf("a", "include /etc/nginx/conf.d/b.conf\n"), conf("b", "good\n")]);
    apply(&context, &*all[1]).unwrap();
    assert_eq!(bench.text("/etc/nginx/conf.d/b.conf"), "good\n");
}

#[test]
fn where_no_view_can_be_made_a_checker_of_one_file_is_shown_a_copy() {
    let bench = bench();
    bench.program(
        "look",
        "cp \"$VPS_ROOT$1\" \"$VPS_ROOT/run/shown\"; echo \"$1\" >\"$VPS_ROOT/run/name\"; grep -q good \"$VPS_ROOT$1\"",
    );
    let host = FakeHost::without_views(bench.at("/"));
    let context = Context { host: &host, ..bench.context() };
    let file = |text: &str| Spec::sample("file", "/etc/x", json!({"content": text, "check": ["look", "{path}"]}));
    assert!(apply(&context, &*resources(&[file("evil")])[0]).is_err());
    assert!(!bench.at("/etc/x").exists());
    apply(&context, &*resources(&[file("good")])[0]).unwrap();
    assert!(bench.text("/run/name").starts_with("/run/vps-configurator/candidate-"));
    assert_eq!(std::fs::read_dir(bench.at("/run/vps-configurator")).unwrap().count(), 0);
    // With a view it is the file at its own place.
    apply(&bench.context(), &*resources(&[file("as good")])[0]).unwrap();
    assert_eq!((bench.text("/run/name").as_str(), bench.text("/run/shown").as_str()), ("/etc/x\n", "as good"));
}

fn sshd(fields: Value) -> Vec<Box<dyn Resource>> {
    resources(&[Spec::sample("file", "/etc/ssh/sshd_config.d/10-ours.conf", fields)])
}

#[test]
fn a_value_that_sshd_would_take_from_an_earlier_file_is_refused_with_that_files_name() {
    let bench = Bench::new();
    bench.simulated("sshd");
    bench.put("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\n");
    bench.put("/etc/ssh/sshd_config.d/00-theirs.conf", "# theirs\nPasswordAuthentication yes\n");
    let before = bench.tree();
    let ours = sshd(json!({"content": "PasswordAuthentication no\nMaxAuthTries 3\n"}));
    let Err(Error::Refused { code: "ssh-config-overridden", why, .. }) = apply(&bench.context(), &*ours[0]) else {
        panic!("not refused")
    };
    assert!(why.starts_with("/etc/ssh/sshd_config.d/00-theirs.conf line 2: passwordauthentication yes comes"), "{why}");
    assert_eq!(bench.tree(), before);
    bench.put("/etc/ssh/sshd_config.d/00-theirs.conf", "PasswordAuthentication no\n");
    let _ = bench.there_and_back(&*ours[0]);
    let bad = sshd(json!({"content": "PasswordAuthentication yess\n"}));
    assert!(matches!(apply(&bench.context(), &*bad[0]), Err(Error::Refused { code: "ssh-config-rejected", .. })));
}

#[test]
fn units_that_systemd_would_not_take_are_refused_but_not_for_what_was_wrong_before() {
    let bench = Bench::new();
    bench.program(
        "systemd-analyze",
        "cd \"$VPS_ROOT/etc/systemd/system\"; grep -n '' *.service *.service.d/* 2>/dev/null |\n\
         sed -n 's,^\\([^:]*\\):\\([0-9]*\\):BAD.*,/etc/systemd/system/\\1:\\2: Unknown key,p' >&2; echo 'b.service: old' >&2; exit 1",
    );
    bench.put("/etc/systemd/system/b.service", "BAD\n");
    let unit =
        |name: &str, text: &str| Spec::sample("file", &format!("/etc/systemd/system/{name}"), json!({"content": text}));
    let both = resources(&[unit("a.service", "good\n"), unit("b.service.d/x.conf", "good\n")]);
    for one in &both {
        apply(&bench.context(), &**one).unwrap();
    }
    let bad = resources(&[unit("a.service", "good\nBAD\n")]);
    let refused = apply(&bench.context(), &*bad[0]);
    assert!(
        matches!(&refused, Err(Error::Refused { why, .. }) if why == "/etc/systemd/system/a.service:2: Unknown key"),
        "{refused:?}"
    );
}
