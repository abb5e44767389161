//! Debian 13's own checkers of packages, on the packages as they were built: lintian, piuparts, autopkgtest.

use super::Scenario;
use crate::harness::Machine;
use crate::harness::repository::Repository;
use std::path::Path;
use std::time::Duration;

/// They take minutes: with `VPS_BOX_LONG=1`, before a release.
pub const LONG: &[Scenario] = &[
    Scenario { name: "lintian of Debian 13 has nothing to say of the packages", run: lintian },
    Scenario { name: "piuparts installs, upgrades and purges the packages without a trace", run: piuparts },
    Scenario { name: "autopkgtest passes the packages' own tests", run: autopkgtest },
];

/// What these checkers may take, base image included.
const LIMIT: Duration = Duration::from_secs(1800);

/// A box with the packages in `/root/debs` and a checker.
fn with_checker(tools: &str) -> Machine {
    let machine = Machine::boot("checkers");
    machine.put(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/debian"), "/root/debs");
    must_pass(&machine, &format!("apt-get update -qq && apt-get install -qqy --no-install-recommends {tools}"));
    machine
}

/// Runs a script with the time that it takes; returns what it printed.
#[track_caller]
fn must_pass(machine: &Machine, script: &str) -> String {
    let output = machine.run_for(LIMIT, &["sh", "-euc", script]);
    assert_eq!(output.code, 0, "{script}\n{}\n{}", output.stdout, output.stderr);
    output.stdout
}

fn lintian() {
    let machine = with_checker("lintian");
    let said = must_pass(
        &machine,
        "lintian --allow-root --display-info --display-experimental --pedantic \
         --fail-on error,warning,info,pedantic,experimental /root/debs/*.deb 2>&1",
    );
    assert_eq!(said, "", "not one tag");
}

fn piuparts() {
    let older = Repository::of_another_version("0.9.0-1");
    let mut machine = with_checker("piuparts mmdebstrap");
    let url = machine.serve(older.folder());
    must_pass(
        &machine,
        "cd /root
         sed -n 's/^URIs: //p; s/^deb \\(\\[[^]]*\\] \\)*\\([^ ]*\\) .*/\\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/* \
           2> /dev/null | head -n 1 > mirror
         test -s mirror
         mmdebstrap --quiet --variant=minbase --include=apt trixie base.tar.gz \"$(cat mirror)\"",
    );
    let run = |options: &str, deb: &str| {
        must_pass(
            &machine,
            &format!(
                "cd /root && piuparts --basetgz=base.tar.gz -d trixie --mirror \"$(cat mirror) main\" --no-eatmydata \
                   --scriptsdir /etc/piuparts/scripts {options} debs/{deb}_*.deb 2>&1"
            ),
        )
    };
    let said = run(&format!("--extra-repo 'deb [trusted=yes] {url} trixie main'"), "vps-configurator");
    assert!(said.contains("PASS: All tests."), "{said}");
    assert!(said.contains("0.9.0-1"), "the upgrade from the older version was tested: {said}");
    let said = run("", "vps-configurator-apt-source");
    assert!(said.contains("PASS: All tests."), "{said}");
}

fn autopkgtest() {
    let machine = with_checker("autopkgtest dpkg-dev openssh-server");
    machine.put(Path::new(env!("CARGO_MANIFEST_DIR")).join("debian"), "/root/source/debian");
    // The box is the testbed, by ssh to itself: the backend `null` can't be told that it may be changed.
    let said = must_pass(
        &machine,
        "cd /root
         ssh-keygen -q -t ed25519 -N '' -f key && mkdir -p -m 0700 .ssh && cp key.pub .ssh/authorized_keys
         autopkgtest --no-built-binaries debs/vps-configurator_*.deb source/ -- ssh -H localhost -l root -i /root/key \
           --capability=isolation-container 2>&1 || echo \"code $?\"",
    );
    let ended =
        |name: &str, how: &str| said.lines().any(|line| line.starts_with(name) && line.trim_end().ends_with(how));
    assert!(ended("smoke", "PASS (superficial)") && ended("service", "PASS"), "{said}");
}
