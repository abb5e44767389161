//! The machine under the boxes: may we, and is everything here?

use super::{Trouble, place};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A program the harness runs on this side, and the Debian package that brings it.
const PROGRAMS: &[(&str, &str)] = &[
    ("mke2fs", "e2fsprogs"),
    ("mmdebstrap", "mmdebstrap"),
    ("perl", "perl-base"),
    ("systemd-nspawn", "systemd-container"),
    ("nft", "nftables"),
    ("iptables-nft-save", "iptables"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
    ("tar", "tar"),
];

const KEYRING: &str = "/usr/share/keyrings/debian-archive-trixie-stable.gpg";

/// Once a process: checks what can't be mended (root, namespaces), then installs what is missing.
pub fn ready() -> Result<(), Trouble> {
    static READY: OnceLock<Result<(), Trouble>> = OnceLock::new();
    READY.get_or_init(check).clone()
}

fn check() -> Result<(), Trouble> {
    if !nix::unistd::geteuid().is_root() {
        return Err("boxes need root (namespaces, overlayfs, a veth pair); run it with sudo".into());
    }
    if !Path::new("/etc/debian_version").exists() {
        return Err("boxes are made with Debian's tools; this is not a Debian system".into());
    }
    place::make()?;
    install_missing()?;
    let namespaces = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "true"])
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| format!("cannot run unshare: {error}"))?;
    if !namespaces.status.success() {
        return Err(format!("no new namespaces here: {}", String::from_utf8_lossy(&namespaces.stderr).trim()));
    }
    Ok(())
}

fn install_missing() -> Result<(), Trouble> {
    let mut missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !on_path(program)).map(|(_, package)| *package).collect();
    if !Path::new(KEYRING).exists() {
        missing.push("debian-archive-keyring");
    }
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("box: installing what boxes need on this machine: {}", missing.join(" "));
    let apt = |arguments: &[&str]| {
        Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let mut install = vec!["install", "-y", "-q", "--no-install-recommends"];
    install.extend(&missing);
    if apt(&install) || (apt(&["update", "-q"]) && apt(&install)) {
        Ok(())
    } else {
        Err(format!("apt-get could not install: {}", missing.join(" ")))
    }
}

fn on_path(program: &str) -> bool {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|folder| Path::new(folder).join(program).exists())
}

/// Does this machine itself run systemd? The same test as sd_booted(3).
pub fn runs_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Runs a program of this side to its end; its error text becomes ours.
pub fn run(program: &str, arguments: &[&str]) -> Result<String, Trouble> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!(
        "{program} {}: {}: {}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}
