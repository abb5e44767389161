//! An archive of somebody else's, with a key that the module pins: it is trusted when all of it is right, and else the
//! host is as before.

use super::Scenario;
use super::program::{installed, json, must_be_settled, program, take_all_back};
use crate::harness::Machine;
use crate::harness::repository::Repository;
use std::path::Path;

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a third party's packages come by the right key alone, whole, and from a list that is still valid",
        run: pinned,
    },
    Scenario {
        name: "a third party's host that gives no answer is left alone for a while, and the rest is installed",
        run: silent,
    },
];

const INSTALL: &str = "install --profile standin --yes";

/// A box whose profile wants a package from the repository, by this key.
fn ask_for(machine: &Machine, url: &str, key: &str, fingerprint: &str) {
    let key: String = key.lines().map(|line| format!("        {line}\n")).collect();
    let profile = format!(
        "title: Stand-in\nsummary: A package of a third party\nmodules:\n  standin:\n    enabled: true\n    uri: {url}\n    \
         fingerprint: {fingerprint}\n    key: |\n{key}"
    );
    machine.put_bytes(profile, "/etc/vps-configurator/profiles.d/standin.yaml", 0o644);
}

#[track_caller]
fn refused(machine: &Machine, code: &str) -> String {
    let output = program(machine, INSTALL);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, 1, "{said}");
    assert!(said.contains(&format!("code:  {code}")) && said.contains("state: nothing was changed"), "{said}");
    said
}

fn pinned() {
    let ours = Repository::of_stand_in("standin");
    let other = Repository::of_stand_in("standin");
    let mut machine = installed("third");
    let url = machine.serve(ours.folder());
    let share = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/box/share/modules.d");
    machine.put(share.join("standin"), "/etc/vps-configurator/modules.d/standin");
    ask_for(&machine, &url, &ours.key(), &ours.fingerprint());
    let before = machine.snapshot();

    // Another key than the one that is pinned never gets as far as apt.
    ask_for(&machine, &url, &other.key(), &ours.fingerprint());
    refused(&machine, "apt-key-mismatch");
    // A key that did not sign the archive.
    ask_for(&machine, &url, &other.key(), &other.fingerprint());
    let said = refused(&machine, "package-lists-refused");
    assert!(said.contains("is not signed"), "{said}");
    ask_for(&machine, &url, &ours.key(), &ours.fingerprint());
    machine.must_be_as_before(&before);

    // A list that was good once.
    ours.expire();
    let said = refused(&machine, "package-lists-refused");
    assert!(said.contains("expired"), "{said}");
    machine.must_be_as_before(&before);
    ours.renew();

    // A package that is not the one that was signed for: of the same size, and with a byte changed.
    ours.turn_bytes();
    let said = refused(&machine, "download-failed");
    assert!(said.contains("standin"), "{said}");
    machine.must_be_as_before(&before);
    assert_eq!(json(&machine, 0, "transaction list")["transactions"], serde_json::json!([]));
    ours.turn_bytes();

    let output = program(&machine, INSTALL);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert_eq!(machine.ok("standin").trim(), "standin");
    must_be_settled(&machine, "standin");
    assert_eq!(json(&machine, 0, INSTALL)["changes"], 0);

    let chain = json(&machine, 0, "supply-chain verify");
    assert_eq!(chain["standing"][0]["resource"], "apt_source:standin");
    assert_eq!(chain["downloads"][0]["packages"], serde_json::json!(["standin 1.0"]));
    let key = "/etc/apt/keyrings/standin-vps-configurator.asc";
    machine.put_bytes(other.key(), key, 0o644);
    machine.ok("echo 'deb [trusted=yes] http://example.org/ ./' > /etc/apt/sources.list.d/mine.list");
    let chain = json(&machine, 4, "supply-chain verify");
    let findings = chain["findings"].as_array().unwrap();
    assert!(findings[0].as_str().unwrap().contains(&other.fingerprint()), "{findings:?}");
    assert!(findings[1].as_str().unwrap().contains("mine.list: trusted is set"), "{findings:?}");
    machine.ok("rm /etc/apt/sources.list.d/mine.list");
    machine.put_bytes(ours.key(), key, 0o644);
    assert_eq!(program(&machine, "supply-chain verify").code, 0);
    take_all_back(&machine, &before);
}

/// Where the archive is that comes and goes.
const COMES_AND_GOES: &str = "http://127.0.0.1:8099";

fn silent() {
    let ours = Repository::of_stand_in("standin");
    let machine = installed("silent");
    let share = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/box/share/modules.d");
    machine.put(share.join("standin"), "/etc/vps-configurator/modules.d/standin");
    machine.put(ours.folder(), "/srv/standin");
    ask_for(&machine, COMES_AND_GOES, &ours.key(), &ours.fingerprint());
    let settings = "network: {failures: 2, pause: 30, retries: 0}\nmodules: {git: {enabled: true, lfs: false, github_cli: false}}\n";
    machine.put_bytes(settings, "/etc/vps-configurator/conf.d/50-test.yaml", 0o644);
    let before = machine.snapshot();

    // Nobody is there: what needs it is set aside, and the rest comes.
    for failures in 1..=2 {
        let run = json(&machine, 1, INSTALL);
        assert_eq!(run["set_aside"], serde_json::json!({"standin": "127.0.0.1:8099"}), "{run:#}");
        let known = &json(&machine, 0, "circuit-breaker status")["hosts"][0];
        let state = if failures < 2 { "closed" } else { "open" };
        assert_eq!((&known["state"], &known["failures"]), (&state.into(), &failures.into()), "{known:#}");
    }
    machine.ok("git config --system --get init.defaultBranch && ! command -v standin");
    // It is back, and isn't asked while it is left alone; then one try decides.
    machine
        .ok("systemd-run --quiet --unit=archive python3 -m http.server --directory /srv/standin --bind 127.0.0.1 8099");
    let run = json(&machine, 1, INSTALL);
    assert_eq!(run["error_code"], "upstream-off", "{run:#}");
    machine.ok("sleep 30");
    assert_eq!(json(&machine, 0, "circuit-breaker status")["hosts"][0]["state"], "half-open");
    assert_eq!(program(&machine, INSTALL).code, 0);
    assert_eq!(machine.ok("standin").trim(), "standin");
    assert_eq!(json(&machine, 0, "circuit-breaker status")["hosts"], serde_json::json!([]));
    must_be_settled(&machine, "standin");
    machine.ok("systemctl stop archive");
    take_all_back(&machine, &before);
}
