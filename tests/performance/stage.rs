//! What is made once, before anything is measured: the program as it is shipped, the peers, the packages' files.

use crate::gauge::CARRIED;
use crate::harness::{Machine, drive, host};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the peers' libraries lie in a box.
pub const PEERS: &str = "/opt/peers";
/// apt's archives.
const ARCHIVES: &str = "var/cache/apt/archives";

/// The stage: all of it lies in `target/bench`.
pub struct Stage {
    /// `target/bench`.
    pub folder: PathBuf,
    /// How many rounds each figure is the median of; `VPS_BENCH_ROUNDS`.
    pub rounds: usize,
    /// Of chapters that take minutes a round; `VPS_BENCH_FIRST_ROUNDS`.
    pub first_rounds: usize,
    /// The release build, or the one that `VPS_BENCH_PROGRAM` names, without its debugging information: as it is packaged.
    pub program: PathBuf,
    /// What `plan` and `first` are measured with; `VPS_BENCH_PROFILE`.
    pub profile: String,
    /// The package set of the profile, `name=version` each.
    pub packages: Vec<String>,
}

impl Stage {
    pub fn set() -> Result<Stage, String> {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = top.join("target/bench");
        fs::create_dir_all(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
        let number = |name: &str, or: usize| {
            std::env::var(name).ok().and_then(|value| value.parse().ok()).filter(|n| *n > 0).unwrap_or(or)
        };
        let rounds = number("VPS_BENCH_ROUNDS", 5);
        let program = folder.join("vps-configurator");
        match std::env::var_os("VPS_BENCH_PROGRAM") {
            Some(given) => strip(Path::new(&given), &program)?,
            None => build(top, &program)?,
        }
        let mut stage = Stage {
            folder,
            rounds,
            first_rounds: number("VPS_BENCH_FIRST_ROUNDS", rounds),
            program,
            profile: std::env::var("VPS_BENCH_PROFILE").unwrap_or_else(|_| "beginner".to_owned()),
            packages: Vec::new(),
        };
        stage.fetch_packages()?;
        Ok(stage)
    }

    /// A fresh box with the program in it and the files of all packages at hand, so that no network is measured. What
    /// a fresh Debian does by itself, and at a time of its own choosing, is kept out.
    pub fn boot(&self, name: &str) -> Machine {
        self.with_archives(Machine::plan(name).real("/var/lib/docker").boot())
    }

    /// The same on an ext4 file system of its own, as servers have one: on the overlay of a box each look at a file is two.
    pub fn boot_on_drive(&self, name: &str) -> Machine {
        match drive::missing() {
            None => self.with_archives(Machine::plan(name).drive().boot()),
            Some(why) => {
                eprintln!("performance: {why}: {name} is measured on an overlay");
                self.boot(name)
            }
        }
    }

    fn with_archives(&self, machine: Machine) -> Machine {
        self.furnish(&machine);
        fill(&self.archives(), &machine.disk().join(ARCHIVES));
        machine
    }

    fn furnish(&self, machine: &Machine) {
        machine.ok("systemctl stop apt-daily.timer apt-daily-upgrade.timer man-db.timer dpkg-db-backup.timer 2>/dev/null; true");
        machine.put(&self.program, "/usr/bin/vps-configurator");
        machine.ok("chmod 755 /usr/bin/vps-configurator");
        machine.put(Path::new(env!("CARGO_MANIFEST_DIR")).join("config"), "/usr/share/vps-configurator");
        machine.put(std::env::current_exe().expect("own path"), CARRIED);
    }

    fn archives(&self) -> PathBuf {
        self.folder.join("archives")
    }

    /// Asks the program for its plan in a fresh box, and fetches exactly these packages there, once a day.
    fn fetch_packages(&mut self) -> Result<(), String> {
        let machine = Machine::boot("fetch");
        self.furnish(&machine);
        let plan = machine.ok(&format!("vps-configurator plan --profile {} --json || [ $? = 4 ]", self.profile));
        self.packages = packages(&plan)?;
        let list = self.folder.join("packages");
        let text = self.packages.join("\n");
        if fs::read_to_string(&list).is_ok_and(|known| known == text) {
            return Ok(());
        }
        eprintln!("performance: fetching {} packages", self.packages.len());
        machine.ok(&format!(
            "apt-get -qq -y --download-only --no-install-recommends install {} >&2",
            self.packages.join(" ")
        ));
        let archives = self.archives();
        let _ = fs::remove_dir_all(&archives);
        fs::create_dir_all(&archives).map_err(|e| e.to_string())?;
        fill(&machine.disk().join(ARCHIVES), &archives);
        fs::write(list, text).map_err(|e| e.to_string())
    }

    /// The package's own word on what it takes, KiB, when it was built.
    pub fn installed_size(&self) -> Option<u64> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/debian");
        let entries = fs::read_dir(folder).ok()?.flatten();
        let of_us = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("vps-configurator_") && name.ends_with(".deb")
        };
        let package = entries.map(|entry| entry.path()).filter(of_us).max()?;
        host::run("dpkg-deb", &["--field", &package.to_string_lossy(), "Installed-Size"]).ok()?.trim().parse().ok()
    }

    /// A peer's library as pip installs it for Debian 13's Python, in a folder of its own; its version is not pinned:
    /// the report says which one it was.
    pub fn peer(&self, name: &str) -> Result<PathBuf, String> {
        let folder = self.folder.join("peers").join(name);
        if folder.join("bin").exists() {
            return Ok(folder);
        }
        let target = folder.to_string_lossy().into_owned();
        let python = ["-m", "pip", "install", "--quiet", "--target", &target, "--python-version", "3.13"];
        let wheels =
            ["--only-binary=:all:", "--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_28_x86_64"];
        host::run("python3", &[&python[..], &wheels[..], &[name]].concat())?;
        Ok(folder)
    }
}

/// Builds the program and strips it as the package does.
fn build(top: &Path, program: &Path) -> Result<(), String> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--quiet", "--bin", "vps-configurator"])
        .current_dir(top)
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return Err("the release build failed".into());
    }
    strip(&top.join("target/release/vps-configurator"), program)
}

fn strip(from: &Path, to: &Path) -> Result<(), String> {
    host::run("strip", &["-o", &to.to_string_lossy(), &from.to_string_lossy()]).map(drop)
}

/// `name=version` of everything that the plan installs or upgrades.
fn packages(plan: &str) -> Result<Vec<String>, String> {
    let plan: serde_json::Value = serde_json::from_str(plan).map_err(|e| e.to_string())?;
    let steps = plan["plan"]["steps"].as_array().ok_or("the plan has no steps")?;
    let solution = steps
        .iter()
        .find(|step| step["id"] == "package:all")
        .map(|step| &step["seen"]["solution"])
        .ok_or("the plan has no packages")?;
    let items = ["new", "upgrades"].into_iter().filter_map(|part| solution[part].as_array()).flatten();
    let named: Vec<String> =
        items.filter_map(|item| Some(format!("{}={}", item["name"].as_str()?, item["version"].as_str()?))).collect();
    if named.len() < 10 { Err(format!("only {} packages are planned", named.len())) } else { Ok(named) }
}

/// Copies the package files of one folder into another, on this side.
fn fill(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("the folder of packages lists").flatten() {
        if entry.path().extension().is_some_and(|ending| ending == "deb") {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("a package can be copied");
        }
    }
}
