//! An install without a network, from what was fetched before.

use super::Scenario;
use super::program::{installed, json, must_be_settled, program, take_all_back};
use crate::harness::Machine;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "what was fetched beforehand is installed without a network, and nothing else is",
    run: offline,
}];

const INSTALL: &str = "install --profile small --yes";

fn cut(machine: &Machine) {
    machine.ok("ip route delete default");
}

fn mend(machine: &Machine) {
    machine.ok(&format!("ip route add default via {}", machine.gateway()));
}

/// As if the package lists had come three days ago.
fn age(machine: &Machine) {
    machine.ok("touch -d '3 days ago' /var/lib/apt/lists/partial /var/cache/vps-configurator/lists/partial");
}

#[track_caller]
fn refused(machine: &Machine) {
    let output = program(machine, INSTALL);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, 1, "{said}");
    assert!(said.contains("code:  network-unreachable") && said.contains("state: nothing was changed"), "{said}");
}

fn offline() {
    let machine = installed("offline");
    let before = machine.snapshot();
    // Fresh lists lead to a plan, and nothing is begun for want of the packages.
    cut(&machine);
    refused(&machine);
    machine.must_be_as_before(&before);
    assert_eq!(json(&machine, 0, "transaction list")["transactions"], serde_json::json!([]));
    mend(&machine);

    machine.ok("touch -d '3 days ago' /var/lib/apt/lists/partial");
    machine.ok(&format!("vps-configurator {INSTALL} --download-only"));
    machine.must_be_as_before(&before);
    assert_eq!(program(&machine, "cache list --verify").code, 0);
    assert!(json(&machine, 0, "cache stats")["packages"].as_u64().unwrap() > 5);

    // A file of the right size and another content: apt would take it.
    machine.ok("printf X | dd of=$(ls /var/cache/apt/archives/git_*.deb) bs=1 seek=1000 conv=notrunc status=none");
    let listed = json(&machine, 4, "cache list --verify");
    let packages = listed["packages"].as_array().unwrap();
    let damaged: Vec<_> = packages.iter().filter(|it| it["state"] == "damaged").map(|it| &it["package"]).collect();
    assert_eq!(damaged, ["git"]);
    cut(&machine);
    age(&machine);
    refused(&machine);
    machine.must_be_as_before(&before);
    machine.ok("! ls /var/cache/apt/archives/git_*.deb");
    mend(&machine);
    machine.ok(&format!("vps-configurator {INSTALL} --download-only"));

    cut(&machine);
    age(&machine);
    let output = program(&machine, INSTALL);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, 0, "{said}");
    must_be_settled(&machine, "small");
    assert!(said.contains("no archive answers"), "{said}");
    mend(&machine);
    machine.ok("vps-configurator cache clear && ! ls /var/cache/apt/archives/*.deb");
    take_all_back(&machine, &before);
}
