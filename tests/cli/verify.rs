//! `verify`: with what the host is compared, and what it says of what it could not see.

use crate::support::tree::Tree;
use std::path::Path;
use vps_configurator::base::paths;
use vps_configurator::host::{Host, RealHost};

#[test]
fn without_a_selection_the_host_is_held_against_what_the_last_whole_install_was_asked_for() {
    let tree = Tree::new();
    assert!(tree.call("verify").ends(2).err.contains("code:  profile-missing"), "nothing was installed yet");
    tree.call("install --profile full --skip web --set modules.base.level=7 --yes").ends(0);
    let verified = tree.call("verify --json").ends(0).json();
    assert_eq!((&verified["status"], &verified["profile"]), (&"success".into(), &"full".into()));
    tree.call("install --profile small --module base --set modules.base.level=4 --yes").ends(0);
    let verified = tree.call("verify --json").ends(4).json();
    assert_eq!(verified["profile"], "full", "one module says nothing of the rest");
    assert_eq!(tree.call("verify --profile small --json").ends(4).json()["profile"], "small", "a selection counts");
    tree.call("rollback --yes").ends(0);
    tree.call("verify").ends(0);
    tree.call("rollback --yes").ends(0);
    assert!(tree.call("verify").ends(2).err.contains("code:  profile-missing"), "nothing stands any more");
}

#[test]
fn what_was_known_and_cannot_be_looked_at_any_more_is_no_clean_host() {
    let tree = Tree::new();
    tree.call("install --profile small --yes").ends(0);
    tree.call("verify").ends(0);
    tree.program("/usr/sbin/sshd", "#!/bin/sh\necho 'bad configuration' >&2\nexit 255\n");
    let verified = tree.call("verify --json").ends(4).json();
    assert_eq!((&verified["status"], &verified["findings"]), (&"not-compared".into(), &serde_json::json!([])));
    assert!(verified["not_compared"]["sshd"].as_str().unwrap().contains("bad configuration"), "{verified:#}");
    let said = tree.call("verify").ends(4).out;
    assert!(said.contains("sshd was not compared"), "{said}");
}

#[test]
fn a_probe_that_cannot_be_made_here_is_not_counted_as_passed() {
    let tree = Tree::new();
    let probe = "  - effective_sysctl: net.nosuch.key\n    value: \"1\"\n    name: A setting of another kernel\n";
    tree.module("odd", &format!("resources:\n  - file: /etc/odd\n    content: x\nverify:\n{probe}"));
    tree.enable(&["odd"]);
    tree.call("install --yes").ends(0);
    let said = tree.call("verify").ends(0).out;
    assert!(said.ends_with("1 of 2 probes passed, 1 not applicable here.\n"), "{said}");
}

#[test]
fn nothing_is_told_or_remembered_of_a_host_that_another_run_works_on() {
    let tree = Tree::new();
    tree.call("install --profile small --yes").ends(0);
    let looked = "/var/cache/vps-configurator/looked.json";
    assert!(!tree.has(looked));
    let host = RealHost::new(tree.root().to_owned());
    let lock = host.lock(Path::new(paths::LOCK), "vps-configurator install").unwrap();
    let refused = tree.call("verify").ends(5);
    assert!(refused.err.contains("code:  lock-held") && refused.err.contains("vps-configurator install"));
    assert!(!tree.has(looked));
    drop(lock);
    assert_ne!(tree.call("verify").code, 5, "it is free again");
    assert!(tree.has(looked));
    tree.call("install --profile small --yes").ends(0); // and nothing is left locked
}

#[test]
fn a_download_is_told_with_its_pin_and_a_file_that_is_another_by_now_is_a_finding() {
    let tree = Tree::new();
    let manifest = "name: pinned\nsummary: A tool\npriority: 50\nresources:\n  - download: /usr/local/bin/fetched\n    \
                    url: https://example.org/fetched\n    \
                    sha256: 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\n";
    tree.put("/etc/vps-configurator/modules.d/pinned/module.yaml", manifest);
    tree.put("/srv/web/example.org/fetched", "hello\n");
    tree.call("install --profile small --module pinned --yes").ends(0);
    let chain = tree.call("supply-chain verify --json").ends(0).json();
    let standing = &chain["standing"][0];
    assert_eq!((&standing["module"], &standing["finding"]), (&"pinned".into(), &serde_json::Value::Null));
    let fetched = &chain["downloads"][0];
    assert_eq!((&fetched["url"], &fetched["sha256"]), (&"https://example.org/fetched".into(), &standing["pinned"]));
    tree.put("/usr/local/bin/fetched", "evil\n");
    tree.put("/etc/apt/sources.list.d/x.sources", "Types: deb\nURIs: http://x\nSuites: x/\nTrusted: yes\n");
    let chain = tree.call("supply-chain verify --json").ends(4).json();
    let findings: Vec<_> = chain["findings"].as_array().unwrap().iter().filter_map(|it| it.as_str()).collect();
    assert!(findings[0].starts_with("download:/usr/local/bin/fetched: not as it was brought"), "{findings:?}");
    assert!(findings[1].starts_with("/etc/apt/sources.list.d/x.sources: trusted is set"), "{findings:?}");
    tree.call("rollback --yes").ends(0);
    let chain = tree.call("supply-chain verify --json").ends(4).json();
    assert_eq!((&chain["standing"], &chain["downloads"][0]["stands"]), (&serde_json::json!([]), &false.into()));
}
