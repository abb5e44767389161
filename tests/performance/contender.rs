//! Who does the work of a profile: bare apt, our program, a shell script, pyinfra, Ansible.
//!
//! Each gets the same packages, by name and version, and the same files, byte by byte: they are taken from a box that
//! our program has configured.

use crate::harness::Machine;
use crate::report::Report;
use crate::stage::{PEERS, Stage};
use std::path::{Path, PathBuf};

/// One of them.
pub struct Contender {
    pub name: String,
    /// What it runs in the box, first time and every time.
    pub script: String,
    /// Only packages: no peer for a run with nothing to do.
    pub is_bare: bool,
    library: Option<PathBuf>,
}

/// The files that the profile writes; the peers write them too.
const FILES: &[&str] = &[
    "/etc/apt/apt.conf.d/21auto-upgrades-vps-configurator",
    "/etc/apt/apt.conf.d/52unattended-upgrades-vps-configurator",
    "/etc/docker/daemon.json",
    "/etc/fail2ban/jail.d/zz-vps-configurator.conf",
    "/etc/gitconfig",
    "/etc/ssh/sshd_config.d/00-vps-configurator.conf",
    "/etc/sysctl.d/60-vps-configurator-system.conf",
];
/// Where the peers find them, and the list of packages.
const WORK: &str = "/opt/work";

impl Contender {
    /// Puts what it needs into a box.
    pub fn put(&self, stage: &Stage, machine: &Machine) {
        machine.put(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/performance/peers"), WORK);
        machine.put_bytes(stage.packages.join("\n") + "\n", &format!("{WORK}/packages"), 0o644);
        let files = stage.folder.join("files");
        if files.exists() {
            machine.put(files, &format!("{WORK}/files"));
        }
        if let Some(library) = &self.library {
            machine.put(library, PEERS);
        }
    }
}

/// All of them, bare apt first; one that pip can't bring is told in the report and left out.
/// With `VPS_BENCH_PEERS=skip`, and with another profile than the one that the peers know, only the first two.
pub fn contenders(stage: &Stage, report: &mut Report) -> Vec<Contender> {
    let has_peers = stage.profile == "beginner" && std::env::var("VPS_BENCH_PEERS").as_deref() != Ok("skip");
    if has_peers {
        take_files(stage);
    }
    let apt = format!(
        "DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $(cat {WORK}/packages) </dev/null"
    );
    let mut all = vec![
        plain("apt-get install, the packages only", &apt, true),
        plain(
            "vps-configurator install",
            &format!("vps-configurator install --profile {} --yes{}", stage.profile, set()),
            false,
        ),
        plain("bash script", &format!("bash {WORK}/bash/converge.sh"), false),
    ];
    if !has_peers {
        all.truncate(2);
        return all;
    }
    let python = format!("cd {WORK} && PYTHONDONTWRITEBYTECODE= PYTHONPATH={PEERS} python3 -m");
    let scripts = [
        ("pyinfra", "pyinfra --yes @local pyinfra/deploy.py"),
        ("ansible-core", "ansible playbook --inventory localhost, --connection local ansible/playbook.yml"),
    ];
    for (name, words) in scripts {
        match stage.peer(name) {
            Ok(library) => all.push(Contender {
                name: format!("{name} {}", version(&library, name)),
                script: format!("{python} {words}"),
                is_bare: false,
                library: Some(library),
            }),
            Err(why) => report.broken(&format!("{name}: {why}")),
        }
    }
    all
}

fn plain(name: &str, script: &str, is_bare: bool) -> Contender {
    Contender { name: name.into(), script: script.into(), is_bare, library: None }
}

/// The version that pip brought, from the name of its metadata folder.
fn version(library: &Path, name: &str) -> String {
    let start = format!("{}-", name.replace('-', "_"));
    let entries = std::fs::read_dir(library).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter_map(|n| n.strip_prefix(&start)?.strip_suffix(".dist-info").map(str::to_owned))
        .next()
        .unwrap_or_default()
}

/// The files of the profile, once for each set of packages: made by our program.
fn take_files(stage: &Stage) {
    let folder = stage.folder.join("files");
    if FILES.iter().all(|path| folder.join(base_name(path)).exists()) {
        return;
    }
    let machine = stage.boot("files");
    machine.ok("vps-configurator install --profile beginner --yes");
    std::fs::create_dir_all(&folder).expect("target/bench can be written");
    for path in FILES {
        machine.get(path, folder.join(base_name(path)));
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A setting that ours is measured with in first runs; `VPS_BENCH_SET`.
fn set() -> String {
    std::env::var("VPS_BENCH_SET").map(|set| format!(" --set {set}")).unwrap_or_default()
}
