//! The guests' disk: a Debian 13 as the boxes are made from, with a kernel, and with the program installed. Made once
//! for each state of the program; a guest runs on a thin layer over it.

use crate::guest::Guest;
use crate::harness::exec::output_of;
use crate::harness::record::hex;
use crate::harness::{Machine, Shell, Trouble};
use crate::program;
use crate::station::{FOLDER, Station};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What turns the root of a box into that of a machine with a kernel. `$1`: the mirror.
const FURNISH: &str = r#"set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -qy --no-install-recommends linux-image-cloud-amd64 initramfs-tools zstd qemu-guest-agent
apt-get clean
echo 'LABEL=root / ext4 errors=remount-ro 0 1' > /etc/fstab
# No resolver: the archive has an address, and a time server would be found, and move the guest's clock.
echo '# The test has no name server.' > /etc/resolv.conf
printf '[Match]\nName=en*\n\n[Network]\nDHCP=ipv4\n' > /etc/systemd/network/20-dhcp.network
# An emulated machine on a busy one may take ten times as long as systemd has patience.
mkdir -p /etc/systemd/system.conf.d
printf '[Manager]\nDefault%s=15min\n' TimeoutStartSec TimeoutStopSec DeviceTimeoutSec > /etc/systemd/system.conf.d/50-test.conf
systemctl enable -q systemd-networkd.service vps-configurator-recover.service
mkdir -p -m 0700 /root/.ssh /etc/vps-configurator/conf.d
"#;

/// Where the tools lie in the guest.
pub const TOOLS: &str = "/run/tools";

/// The programs that read a guest's firewall, run with the libraries that they came with: the guest may have none.
const FIREWALL_TOOLS: &str = r#"set -eu
rm -rf /run/tools && mkdir -p /run/tools/bin /run/tools/lib
for program in nft iptables-nft-save ip6tables-nft-save; do
    cp -L "$(command -v $program)" /run/tools/lib/$program
    ldd "$(command -v $program)" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | grep -v '/libc\.so' | xargs -I{} cp -L {} /run/tools/lib/
    printf '#!/bin/sh\nXTABLES_LIBDIR=%s/xtables LD_LIBRARY_PATH=%s exec %s/%s "$@"\n' \
        /run/tools/lib /run/tools/lib /run/tools/lib $program > /run/tools/bin/$program
    chmod 0755 /run/tools/bin/$program
done
cp -r /usr/lib/x86_64-linux-gnu/xtables /run/tools/lib/
"#;

pub struct Image {
    /// The name of the disk in the station's folder; `<name>-<what>` are files that belong to it.
    pub name: String,
    /// Seconds since the epoch: the guests' clock begins here. The mirror doesn't move, so neither does this.
    pub born: i64,
}

impl Image {
    /// The image of the program as it is now, made first if there is none.
    pub fn ready(station: &Station) -> Result<Self, Trouble> {
        let name = key(station)?;
        let folder = station.folder();
        tools(station)?;
        let born = folder.join(format!("{name}-born"));
        if let Ok(text) = fs::read_to_string(&born) {
            let born = text.trim().parse().map_err(|error| format!("{}: {error}", born.display()))?;
            return Ok(Image { name, born });
        }
        eprintln!("vm: making the guests' disk (a few minutes)");
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.path().is_file() && entry.file_name() != "tools.img" {
                let _ = fs::remove_file(entry.path());
            }
        }
        let image = Image { name, born: evening() };
        image.make(station)?;
        fs::write(&born, image.born.to_string())
            .map_err(|error| format!("cannot write {}: {error}", born.display()))?;
        Ok(image)
    }

    fn make(&self, station: &Station) -> Result<(), Trouble> {
        let repository = project().join("target/repo");
        if repository.join("dists").is_dir() {
            station.offer("product", &repository)?;
        }
        let machine = program::installed("guest");
        for file in ["debian.sources", "vps-configurator.sources"] {
            let path = format!("/etc/apt/sources.list.d/{file}");
            let text = machine.sh(&format!("cat {path}")).stdout;
            if !text.is_empty() {
                machine.put_bytes(redirected(&text, station), &path, 0o644);
            }
        }
        machine.ok(FURNISH);
        machine.put_bytes(public_key(station)?, "/root/.ssh/authorized_keys", 0o600);
        machine.power_cut();
        self.write_disk(station, &machine)?;
        // Once: the first boot of a machine does things that no later one does.
        let guest = Guest::on_image(station, self)?;
        guest.shut_down();
        Ok(())
    }

    fn write_disk(&self, station: &Station, machine: &Machine) -> Result<(), Trouble> {
        let (disk, folder) = (machine.disk(), station.folder());
        for (what, file) in [("kernel", "vmlinuz"), ("initrd", "initrd.img")] {
            let of_kernel = |name: &str| name.starts_with(&format!("{file}-"));
            let found = fs::read_dir(disk.join("boot"))
                .into_iter()
                .flatten()
                .flatten()
                .find(|entry| entry.file_name().to_str().is_some_and(of_kernel))
                .ok_or_else(|| format!("no {file} in the guest's /boot"))?;
            fs::copy(found.path(), folder.join(format!("{}-{what}", self.name)))
                .map_err(|error| format!("cannot copy {}: {error}", found.path().display()))?;
        }
        let mut write = Command::new("/sbin/mke2fs");
        write.args(["-q", "-t", "ext4", "-L", "root", "-d"]).arg(&disk).arg(folder.join(&self.name)).arg("12G");
        must_end_well(write)
    }
}

/// The same sources, from our mirror.
fn redirected(sources: &str, station: &Station) -> String {
    let part = |stanza: &str| match stanza {
        _ if stanza.contains("-security") => "security",
        _ if stanza.contains("vps-configurator") => "product",
        _ => "debian",
    };
    let stanza = |text: &str| -> String {
        text.lines()
            .map(|line| match line.strip_prefix("URIs:") {
                Some(_) => format!("URIs: {}\n", station.mirror(part(text))),
                None => format!("{line}\n"),
            })
            .collect()
    };
    sources.split("\n\n").map(stanza).collect::<Vec<_>>().join("\n")
}

/// The test's key; made once for the station.
fn public_key(station: &Station) -> Result<Vec<u8>, Trouble> {
    station.ok(&format!("test -e {FOLDER}/ssh-key || ssh-keygen -q -t ed25519 -N '' -f {FOLDER}/ssh-key"));
    let path = station.folder().join("ssh-key.pub");
    fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// A small disk with this very binary, which looks at the guest from inside, and the firewall's tools.
fn tools(station: &Station) -> Result<(), Trouble> {
    let folder = station.folder().join("tools");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    station.ok(&format!("{FIREWALL_TOOLS}\ncp -r {TOOLS}/. {FOLDER}/tools/"));
    let own = std::env::current_exe().map_err(|error| format!("where is this program? {error}"))?;
    let inside = folder.join("bin/inside");
    // Without what only a debugger reads; where there is no strip, with it.
    let stripped = Command::new("strip").arg("-o").arg(&inside).arg(&own).status().is_ok_and(|status| status.success());
    if !stripped {
        fs::copy(&own, &inside).map_err(|error| format!("cannot copy {}: {error}", own.display()))?;
    }
    let disk = station.folder().join("tools.img");
    let _ = fs::remove_file(&disk);
    let mut write = Command::new("/sbin/mke2fs");
    write.args(["-q", "-t", "ext4", "-d"]).arg(&folder).arg(&disk).arg("160M");
    must_end_well(write)
}

fn must_end_well(command: Command) -> Result<(), Trouble> {
    let what = format!("{:?}", command.get_program());
    let output = output_of(command, b"", Duration::from_secs(600))?;
    if output.success() {
        return Ok(());
    }
    Err(format!("{what}: {}", output.stderr.trim()))
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The next 19:00 UTC. Debian's daily jobs begin at midnight, and apt's at six in the morning and the evening: none of
/// them comes by itself into a guest that begins then.
fn evening() -> i64 {
    const DAY: i64 = 24 * 3600;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let today = now - now.rem_euclid(DAY) + 19 * 3600;
    if today > now { today } else { today + DAY }
}

/// Changes with the station, with what is put on the disk, and with how that is done.
fn key(station: &Station) -> Result<String, Trouble> {
    let mut hash = Sha256::new();
    hash.update(station.machine_id());
    hash.update(FURNISH);
    hash.update(include_str!("../box/scenarios/program.rs"));
    let packages = project().join("target/repo/dists");
    let given = std::env::var_os("VPS_BOX_PROGRAM").map(PathBuf::from);
    let parts = match given {
        None if packages.is_dir() => vec![packages],
        given => {
            let program = given.unwrap_or_else(|| env!("CARGO_BIN_EXE_vps-configurator").into());
            vec![program, project().join("config"), project().join("systemd")]
        }
    };
    for part in parts {
        add(&mut hash, &part)?;
    }
    Ok(format!("guest-{}", hex(&hash.finalize()[..6])))
}

/// A file's name and content; a folder's, in order.
fn add(hash: &mut Sha256, path: &Path) -> Result<(), Trouble> {
    let trouble = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    hash.update(path.as_os_str().as_encoded_bytes());
    if path.is_dir() {
        let mut entries: Vec<PathBuf> = fs::read_dir(path).map_err(trouble)?.flatten().map(|it| it.path()).collect();
        entries.sort();
        return entries.iter().try_for_each(|entry| add(hash, entry));
    }
    hash.update(fs::read(path).map_err(trouble)?);
    Ok(())
}
