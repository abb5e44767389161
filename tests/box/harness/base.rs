//! The base: a Debian 13 root as a provider ships it, made once and laid under every box.
//!
//! It is installed from the suite `trixie` alone, while its sources name trixie-updates and trixie-security too
//! and its lists are fresh: so real upgrades are pending in it, as on a server that was just created.

use super::mirror::{self, Mirror};
use super::record::Record;
use super::{Trouble, place};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

/// What Debian's own cloud images have over minbase, as far as this program or its tests can notice it. Left out:
/// kernel, boot loader, cloud-init (the box has its address from outside) and what only people at a prompt miss.
const PACKAGES: &[&str] = &[
    "adduser",
    "apt-utils",
    "bash-completion",
    "ca-certificates",
    "cron",
    "curl",
    "dbus",
    "e2fsprogs",
    "iproute2",
    "iputils-ping",
    "kmod",
    "less",
    "libpam-systemd",
    "locales",
    "logrotate",
    "nano",
    "netbase",
    "openssh-client",
    "openssh-server",
    "procps",
    "sudo",
    "systemd",
    "systemd-sysv",
    "systemd-timesyncd",
    "tzdata",
    "udev",
    "unattended-upgrades",
    "vim-tiny",
    "wget",
];

/// Run in the new root at the end of its making. The box gets its own machine-id, host name and resolver later.
const FINISH: &str = r#"set -eu
root=$1
rm -f "$root/etc/apt/sources.list"
cp "$VPS_BOX_SOURCES" "$root/etc/apt/sources.list.d/debian.sources"
chmod 0644 "$root/etc/apt/sources.list.d/debian.sources"
chroot "$root" apt-get update -q
ln -sf /usr/share/zoneinfo/Etc/UTC "$root/etc/localtime"
chroot "$root" ssh-keygen -A
# As after the image's first boot: otherwise the second one would differ by the units that run after an update.
chroot "$root" /usr/lib/systemd/systemd-update-done
"#;

const OLD: Duration = Duration::from_secs(7 * 24 * 3600);

/// The root of the current base, made first if there is none, its recipe changed or it is older than a week.
pub fn ready() -> Result<PathBuf, Trouble> {
    static READY: OnceLock<Result<PathBuf, Trouble>> = OnceLock::new();
    READY.get_or_init(find_or_make).clone()
}

fn find_or_make() -> Result<PathBuf, Trouble> {
    place::make()?;
    let mirror = mirror::find()?;
    let folder = place::bases().join(recipe(&mirror));
    let _lock = place::lock(&place::bases().join("lock"))?;
    if let Some(root) = newest(&folder)? {
        return Ok(root);
    }
    let root = make(&folder, &mirror)?;
    drop_unused(&root)?;
    Ok(root)
}

/// A changed recipe is another folder: boxes that still stand on the old one keep it.
fn recipe(mirror: &Mirror) -> String {
    let mut hash = Sha256::new();
    hash.update(PACKAGES.join(" "));
    hash.update(FINISH);
    hash.update(sources(mirror));
    super::record::hex(&hash.finalize()[..6])
}

fn sources(mirror: &Mirror) -> String {
    let Mirror { debian, security } = mirror;
    format!(
        "Types: deb\nURIs: {debian}\nSuites: trixie trixie-updates\nComponents: main\n\
         Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
         Types: deb\nURIs: {security}\nSuites: trixie-security\nComponents: main\n\
         Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    )
}

/// A base lies in `<recipe>/<seconds>/root` and is only ever renamed into place whole.
fn newest(folder: &Path) -> Result<Option<PathBuf>, Trouble> {
    let now = seconds(SystemTime::now());
    Ok(made(folder)
        .into_iter()
        .max()
        .filter(|born| now.saturating_sub(*born) < OLD.as_secs())
        .map(|born| folder.join(born.to_string()).join("root")))
}

fn made(folder: &Path) -> Vec<u64> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

fn make(folder: &Path, mirror: &Mirror) -> Result<PathBuf, Trouble> {
    let begun = Instant::now();
    eprintln!("box: making the base image (once a week, about half a minute)");
    let raw = folder.join("unfinished");
    if raw.exists() {
        fs::remove_dir_all(&raw).map_err(|error| format!("cannot remove {}: {error}", raw.display()))?;
    }
    fs::create_dir_all(&raw).map_err(|error| format!("cannot make {}: {error}", raw.display()))?;
    let write = |name: &str, text: &str| {
        let path = raw.join(name);
        fs::write(&path, text)
            .map(|()| path.clone())
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    };
    let finish = write("finish.sh", FINISH)?;
    let wanted = write("debian.sources", &sources(mirror))?;
    let output = Command::new("mmdebstrap")
        .args(["--quiet", "--variant=minbase", "--mode=root", "--format=directory"])
        .arg("--keyring=/usr/share/keyrings")
        .arg(format!("--include={}", PACKAGES.join(",")))
        .arg("--skip=cleanup/apt/lists")
        .arg(format!("--customize-hook=sh {} \"$1\"", finish.display()))
        .arg("trixie")
        .arg(raw.join("root"))
        .arg(format!("deb {} trixie main", mirror.debian))
        .env("VPS_BOX_SOURCES", &wanted)
        .env("TMPDIR", &raw)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run mmdebstrap: {error}"))?;
    if !output.status.success() {
        return Err(format!("mmdebstrap failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    let done = folder.join(seconds(SystemTime::now()).to_string());
    fs::rename(&raw, &done).map_err(|error| format!("cannot rename {}: {error}", raw.display()))?;
    eprintln!("box: the base is ready after {:.0} s", begun.elapsed().as_secs_f32());
    Ok(done.join("root"))
}

/// Bases too old for anyone to boot a new box from go, once no box lies on them. A young one of another recipe stays:
/// another checkout of the project may be using it.
fn drop_unused(current: &Path) -> Result<(), Trouble> {
    let used: Vec<PathBuf> = Record::all().into_iter().map(|record| record.base).collect();
    let now = seconds(SystemTime::now());
    for recipe in fs::read_dir(place::bases()).into_iter().flatten().flatten() {
        for born in made(&recipe.path()) {
            let folder = recipe.path().join(born.to_string());
            let root = folder.join("root");
            let old = now.saturating_sub(born) >= OLD.as_secs();
            if old && root != current && !used.contains(&root) {
                fs::remove_dir_all(&folder).map_err(|error| format!("cannot remove {}: {error}", folder.display()))?;
            }
        }
        // Refused while there is something in it, which is right.
        let _ = fs::remove_dir(recipe.path());
    }
    Ok(())
}
