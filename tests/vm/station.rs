//! The station: the one box that qemu runs in. It is kept from run to run, switched off: with qemu installed, the
//! guests' disks in its folder, and the mirror that they install from.
//!
//! A box, because the qemu of Debian 12 loses guests at random, and that of Debian 13 is in a box on any machine.

use crate::harness::record::{Options, Record};
use crate::harness::serve::Server;
use crate::harness::{Output, Shell, Trouble, base, disk, exec, launch, leader, mirror, net, place, teardown};
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const NAME: &str = "vm-station";

/// Where its disks lie, as the station sees it: a real folder, not on its overlay.
pub const FOLDER: &str = "/var/lib/vm";

/// The mirror's port on this side of the station's veth pair. Always the same: it is written into the guests' disks.
const MIRROR_PORT: u16 = 3142;

/// What guests need of this machine, in MB.
const MEMORY: u64 = 1500;
const DISK: u64 = 8000;

pub struct Station {
    record: Record,
    _mirror: Server,
    _lock: place::Locked,
}

impl Station {
    /// Switches it on, made first if there is none or its base is no longer the current one. One run at a time has it.
    pub fn ready() -> Result<Self, Trouble> {
        let base = base::ready()?;
        let lock = place::lock(&place::boxes().join("vm-station.lock"))?;
        if let Ok(old) = Record::load(NAME)
            && old.base != base
        {
            teardown::remove(&old)?;
        }
        let record = match Record::load(NAME) {
            Ok(record) => record,
            Err(_) => {
                launch::create(NAME, "station", None, Options { real: vec![FOLDER.into()], ..Options::default() })?
            }
        };
        if leader::find(&record).is_none() {
            launch::start(&record)?;
        }
        leader::wait_until_up(&record)?;
        let folder = record.folder().join("mirror");
        fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let gateway = net::subnet(record.number).outside;
        let served = Server::start_fetching(
            SocketAddrV4::new(gateway, MIRROR_PORT),
            &folder,
            Arc::new(upstream(&folder, &mirror::find()?)),
        )?;
        let station = Station { record, _mirror: served, _lock: lock };
        station.has_room()?;
        station.install()?;
        Ok(station)
    }

    fn has_room(&self) -> Result<(), Trouble> {
        let number = |script: &str| self.sh(script).stdout.trim().parse::<u64>().unwrap_or(0);
        let memory = number("sed -n 's/^MemAvailable: *//p' /proc/meminfo | cut -d' ' -f1") / 1024;
        let free = number(&format!("df --output=avail -BM {FOLDER} | tail -n 1 | tr -d M"));
        if memory < MEMORY || free < DISK {
            return Err(format!(
                "a virtual machine needs {MEMORY} MB of memory and {DISK} MB in {}; there are {memory} and {free}",
                place::top().display()
            ));
        }
        Ok(())
    }

    /// qemu, what makes its disks, and the programs that look at a guest's firewall.
    fn install(&self) -> Result<(), Trouble> {
        const PACKAGES: &str = "qemu-system-x86 qemu-utils eatmydata nftables iptables";
        if self.sh(&format!("dpkg-query -W {PACKAGES}")).success() {
            return Ok(());
        }
        eprintln!("vm: installing in the station, a box: {PACKAGES}");
        let install =
            format!("export DEBIAN_FRONTEND=noninteractive; apt-get install -qy --no-install-recommends {PACKAGES}");
        let output = self.sh(&format!("apt-get update -q && {install}"));
        if output.success() {
            return Ok(());
        }
        Err(format!("apt-get in the station: {}", output.stderr.trim()))
    }

    /// `FOLDER`, as this side sees it.
    pub fn folder(&self) -> PathBuf {
        disk::real_source(&self.record, Path::new(FOLDER))
    }

    pub fn address(&self) -> Ipv4Addr {
        net::subnet(self.record.number).inside
    }

    /// Tells it from a later one of the same name.
    pub fn machine_id(&self) -> &str {
        &self.record.machine_id
    }

    /// The address of a part of the mirror, as guests and boxes reach it: `debian`, `security` or `product`.
    pub fn mirror(&self, part: &str) -> String {
        format!("http://{}:{MIRROR_PORT}/{part}", net::subnet(self.record.number).outside)
    }

    /// Puts a folder's files in place of a part of the mirror.
    pub fn offer(&self, part: &str, folder: &Path) -> Result<(), Trouble> {
        let target = self.record.folder().join("mirror").join(part);
        let _ = fs::remove_dir_all(&target);
        let copied = Command::new("cp").arg("-r").args([folder, &target]).status();
        match copied {
            Ok(status) if status.success() => Ok(()),
            _ => Err(format!("cannot copy {} to {}", folder.display(), target.display())),
        }
    }
}

impl Shell for Station {
    fn sh(&self, script: &str) -> Output {
        exec::run(&self.record, &["sh", "-c", script], b"", Duration::from_secs(1200))
            .unwrap_or_else(|why| panic!("{why}"))
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        if let Err(why) = leader::cut_power(&self.record) {
            eprintln!("vm: the station stays on: {why}");
        }
    }
}

/// Fetches from Debian's mirror what nobody has asked for yet, and keeps it as it was then: so a run needs the network
/// only for what is new to it, and the archive doesn't move between a power cut and what comes after it.
fn upstream(folder: &Path, mirror: &mirror::Mirror) -> impl Fn(&str) + Send + Sync + use<> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let (folder, mirror) = (folder.to_path_buf(), mirror.clone());
    move |name: &str| {
        let (part, rest) = name.split_once('/').unwrap_or_default();
        let address = match part {
            "debian" => &mirror.debian,
            "security" => &mirror.security,
            _ => return,
        };
        let target = folder.join(name);
        let raw = folder.join(format!("part-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let fetched = Command::new("/usr/lib/apt/apt-helper")
            .args(["-o", "APT::Sandbox::User=root", "download-file", &format!("{address}/{rest}")])
            .arg(&raw)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if fetched.is_ok_and(|status| status.success())
            && let Some(parent) = target.parent()
        {
            let _ = fs::create_dir_all(parent);
            let _ = fs::rename(&raw, &target);
        }
        let _ = fs::remove_file(&raw);
    }
}
