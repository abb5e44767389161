//! The ways onto a host that docs/how-to/install.md tells of, beside `quick-install.sh` (packages.rs): the user data for
//! cloud-init and the Dockerfile, as they lie in docs/.

use super::Scenario;
use super::program::{json, must_be_settled, program};
use crate::harness::Machine;
use crate::harness::repository::Repository;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Both fetch what no other scenario does, and take a minute or two.
pub const LONG: &[Scenario] = &[
    Scenario { name: "cloud-init applies a profile at the first boot, and nothing at the second", run: cloud_init },
    Scenario { name: "the Dockerfile makes an image to plan in, and an install in it is taken back", run: image },
];

/// What a cloud image has, and what a box needs: its address comes from outside, its archives are its own.
const CLOUD: &str = "datasource_list: [NoCloud]\nnetwork: {config: disabled}\napt: {preserve_sources_list: true}\n";

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn cloud_init() {
    let repository = Repository::of_built_packages();
    let mut machine = Machine::boot("cloud");
    let url = machine.serve(repository.folder());
    machine.ok("apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qqy cloud-init");
    machine.put_bytes(CLOUD, "/etc/cloud/cloud.cfg.d/99-box.cfg", 0o644);
    machine.put_bytes("instance-id: box-1\n", "/var/lib/cloud/seed/nocloud/meta-data", 0o644);
    machine.put_bytes(user_data(&repository, &url), "/var/lib/cloud/seed/nocloud/user-data", 0o600);

    machine.reboot();
    let done = machine.sh("cloud-init status --wait --long");
    assert_eq!(done.code, 0, "{done:?}\n{}", machine.ok("tail -n 60 /var/log/cloud-init-output.log"));
    // As the page says: it joins what runs, and returns with its result.
    machine.ok("systemctl start vps-configurator-install@minimal");
    must_be_settled(&machine, "minimal");
    // The configured profile is that one, too.
    assert_eq!(program(&machine, "plan").code, 0);
    machine.ok("dpkg -s vps-configurator-apt-source");
    let first = json(&machine, 0, "transaction list");
    assert_eq!(first["transactions"].as_array().map(Vec::len), Some(1), "{first}");

    let before = machine.snapshot();
    machine.reboot();
    machine.ok("cloud-init status --wait");
    assert_eq!(json(&machine, 0, "transaction list"), first);
    // `ufw enable` loads the rules itself; its unit runs at boots alone.
    assert_eq!(machine.differences(&before), ["added active ufw.service: state active"]);
    must_be_settled(&machine, "minimal");
}

/// As `make repo` fills it in.
fn user_data(repository: &Repository, url: &str) -> String {
    let key = repository.folder().join("vps-configurator.pgp");
    let output = Command::new("base64").args(["-w", "0"]).arg(key).output().expect("base64 runs");
    let key = String::from_utf8(output.stdout).expect("base64 is text");
    let text = fs::read_to_string(docs().join("cloud-init.yaml")).expect("the example");
    assert!(text.contains("@KEY@") && text.contains("@REPO_URL@"));
    text.replace("@KEY@", &key).replace("@REPO_URL@", url)
}

/// `debian:trixie` is made here: it is what its makers build, a minimal Debian without more.
fn image() {
    let repository = Repository::of_built_packages();
    let machine = Machine::plan("docker").real("/var/lib/docker").boot();
    machine.ok("apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qqy docker.io mmdebstrap");
    machine.ok("cp /etc/apt/sources.list.d/debian.sources /root/ && \
         mmdebstrap --variant=minbase trixie /root/base.tar /root/debian.sources && \
         docker import /root/base.tar debian:trixie");
    machine.put(repository.folder(), "/root/repo");
    let script = fs::read_to_string(docs().join("quick-install.sh")).expect("the script");
    let script = script.replace("@FINGERPRINT@", &repository.fingerprint());
    machine.put_bytes(script, "/root/repo/quick-install.sh", 0o755);
    machine.put(docs().join("Dockerfile"), "/root/Dockerfile");
    machine.ok("docker build -t vps-configurator -f /root/Dockerfile /root/repo");

    let run = |words: &str| machine.sh(&format!("docker run --rm --cap-add NET_ADMIN vps-configurator {words}"));
    for words in ["--version", "module list", "module show docker", "profile list", "config show --origin"] {
        let output = run(words);
        assert_eq!(output.code, 0, "{words}: {output:?}");
        assert!(!output.stdout.is_empty(), "{words}");
    }
    let plan = run("plan --profile minimal");
    assert_eq!(plan.code, 4, "{plan:?}");
    let bare = machine.sh("docker run --rm vps-configurator plan --profile minimal");
    assert!(bare.code == 1 && bare.stderr.contains("firewall-impossible"), "{bare:?}");
    let refused = run("install --profile minimal --yes");
    assert!(refused.code == 1 && refused.stderr.contains("systemd-not-running"), "{refused:?}");
    assert!(refused.stderr.contains("the host is as it was before"), "{refused:?}");
}
