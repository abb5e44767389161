//! Facts of the machine that plans depend on. Read from files; only the ports of ssh take a program.

use super::accounts::Accounts;
use super::{Command, Error, Host, Result, read_text, sockets};
use crate::base::{glob, paths};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

/// What systemd listens with for sshd, when the administrator chose that in place of a daemon that always runs.
const SSH_SOCKET: &str = "ssh.socket";

/// What `/etc/os-release` says (os-release(5)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OsRelease {
    /// `debian`.
    pub id: String,
    /// `13`; empty in testing and unstable.
    pub version_id: String,
    /// `trixie`.
    pub codename: String,
    /// For people: `Debian GNU/Linux 13 (trixie)`.
    pub pretty: String,
}

impl OsRelease {
    /// What the host says of its system; nothing when it says nothing.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn read(host: &dyn Host) -> Result<Self> {
        Ok(parse_os_release(&read_text(host, paths::OS_RELEASE)?))
    }
}

/// The name in `/etc/hostname`; empty without one.
///
/// # Errors
/// When the file can't be read.
pub fn hostname(host: &dyn Host) -> Result<String> {
    Ok(parse_hostname(&read_text(host, "/etc/hostname")?))
}

/// Facts that don't change while a plan is made and applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The system.
    pub os: OsRelease,
    /// dpkg's name of the architecture: `amd64`, `arm64`.
    pub architecture: String,
    /// Bytes of memory; `None` when the kernel does not say.
    pub memory: Option<u64>,
    /// Processors that work.
    pub cpus: Option<usize>,
    /// The container manager, when this is a container: `docker`, `lxc`, `systemd-nspawn`.
    pub container: Option<String>,
    /// The name in `/etc/hostname`.
    pub hostname: String,
    /// People who can log in, by name, sorted.
    pub people: Vec<String>,
    /// Those of them who may become root through the group `sudo`.
    pub admins: Vec<String>,
}

impl Machine {
    /// Reads the facts; what is missing on the host stays empty.
    pub fn read(host: &dyn Host) -> Result<Self> {
        let cpus = read_text(host, Path::new("/sys/devices/system/cpu/online"))?;
        let accounts = Accounts::read(host)?;
        let mut people: Vec<String> = accounts.people().map(|user| user.name.clone()).collect();
        people.sort();
        let sudoers = accounts.members("sudo");
        let admins = people.iter().filter(|name| sudoers.contains(&name.as_str())).cloned().collect();
        Ok(Machine {
            os: OsRelease::read(host)?,
            architecture: architecture(host)?,
            memory: parse_memory(&read_text(host, Path::new("/proc/meminfo"))?),
            cpus: parse_cpus(cpus.trim()),
            container: container(host)?,
            hostname: hostname(host)?,
            people,
            admins,
        })
    }
}

/// The ports that ssh may be reached at: those that sshd's effective configuration names, those at which systemd listens
/// for it, and those in `used`, at which people came in. Whoever closes ports must leave these open.
///
/// # Errors
/// When a program that is there can't be run, or a file can't be read.
pub fn ssh_ports(host: &dyn Host, used: &[u16]) -> Result<BTreeSet<u16>> {
    let mut ports: BTreeSet<u16> = used.iter().copied().collect();
    match host.look(&Command::new("sshd").arg("-T")) {
        Ok(output) => ports.extend(parse_sshd_ports(&output.text())),
        // Nothing is started without its program, whatever units are left.
        Err(Error::NoProgram { .. }) => return Ok(ports),
        // Without host keys or its run directory sshd tells nothing: its files say what it would do.
        Err(Error::Failed { .. }) => ports.extend(configured_ports(host)?),
        Err(e) => return Err(e),
    }
    ports.extend(socket_ports(host)?);
    Ok(ports)
}

/// Where systemd listens for sshd, or will at the next boot: then the ports that sshd itself names are not in force.
///
/// systemctl, which costs as much as all else in a run with nothing to do, is asked only where a socket may be such a one:
/// systemd then listens itself, or there is a link to start a socket of that name.
fn socket_ports(host: &dyn Host) -> Result<BTreeSet<u16>> {
    if is_booted(host)? {
        if !sockets::is_listener(host, 1) && !is_wanted(host)? {
            return Ok(BTreeSet::new());
        }
        let show = ["show", "--property=ActiveState,UnitFileState,Listen", SSH_SOCKET, "*ssh*.socket"];
        match host.look(&Command::new("systemctl").args(show)) {
            Ok(output) => return Ok(output.text().split("\n\n").flat_map(parse_socket).collect()),
            Err(Error::NoProgram { .. } | Error::Failed { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    let link = Path::new("/etc/systemd/system/sockets.target.wants").join(SSH_SOCKET);
    if host.meta(&link)?.is_none() {
        return Ok(BTreeSet::new());
    }
    let mut text = String::new();
    let mut directories = Vec::new();
    for directory in ["/usr/lib/systemd/system", "/etc/systemd/system"] {
        let whole = read_text(host, Path::new(directory).join(SSH_SOCKET))?;
        // The administrator's own takes the place of the package's.
        text = if whole.is_empty() { text } else { whole };
        directories.push(Path::new(directory).join(format!("{SSH_SOCKET}.d")));
    }
    for directory in directories {
        for name in host.list(&directory)?.iter().filter(|name| name.as_encoded_bytes().ends_with(b".conf")) {
            text.push('\n');
            text.push_str(&read_text(host, directory.join(name))?);
        }
    }
    Ok(parse_listen_streams(&text))
}

/// Whether something starts a socket of ssh: a link in the `*.wants` or `*.requires` of the administrator's units
/// (systemd.unit(5)), for good or until the next boot.
fn is_wanted(host: &dyn Host) -> Result<bool> {
    for units in ["/etc/systemd/system", "/run/systemd/system"].map(Path::new) {
        for name in host.list(units)? {
            let name = name.to_string_lossy();
            if !name.ends_with(".wants") && !name.ends_with(".requires") {
                continue;
            }
            let links = host.list(&units.join(&*name))?;
            if links.iter().map(|link| link.to_string_lossy()).any(|link| glob::matches("*ssh*.socket", &link)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The ports of one socket in the answer of `systemctl show`; none when it neither listens nor will.
fn parse_socket(block: &str) -> Vec<u16> {
    let values = |key: &'static str| block.lines().filter_map(move |line| line.strip_prefix(key)?.strip_prefix('='));
    let is_up = values("ActiveState").any(|state| state != "inactive" && state != "failed");
    if !is_up && !values("UnitFileState").any(|state| state.starts_with("enabled")) {
        return Vec::new();
    }
    // `[::]:22 (Stream)`, `127.0.0.1:2022 (Stream)`, `/run/ssh-unix-local/socket (Stream)`.
    values("Listen").filter_map(|value| port_of(value.strip_suffix(" (Stream)")?)).collect()
}

/// The same from the files of a socket, in the order in which they count (systemd.socket(5)): an empty value forgets
/// those before it.
fn parse_listen_streams(text: &str) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    for line in text.lines() {
        match line.split_once('=').filter(|(key, _)| key.trim() == "ListenStream").map(|(_, value)| value.trim()) {
            None => {}
            Some("") => ports.clear(),
            Some(value) => ports.extend(port_of(value)),
        }
    }
    ports
}

/// The port of `22`, `0.0.0.0:22` or `[::]:22`; a path or a number of vsock has none.
fn port_of(address: &str) -> Option<u16> {
    let address = Some(address).filter(|address| !address.starts_with(['/', '@']) && !address.starts_with("vsock:"))?;
    address.rsplit_once(':').map_or(address, |(_, port)| port).parse().ok()
}

/// The ports in the output of `sshd -T`: an address with a port overrides `port`, but both are told.
fn parse_sshd_ports(text: &str) -> BTreeSet<u16> {
    let port = |line: &str| match line.split_once(' ')? {
        ("port", number) => number.trim().parse().ok(),
        ("listenaddress", address) => address.trim().rsplit_once(':')?.1.parse().ok(),
        _ => None,
    };
    text.lines().filter_map(port).collect()
}

/// A line of sshd_config(5) as `sshd -T` would tell it: the keyword ends at blanks, or at an equals sign.
fn as_told(line: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || c == '=';
    let line = line.trim();
    let (keyword, value) = line.split_at(line.find(is_end).unwrap_or(line.len()));
    format!("{} {}", keyword.to_lowercase(), value.trim_start_matches(is_end).trim_matches('"'))
}

fn configured_ports(host: &dyn Host) -> Result<BTreeSet<u16>> {
    let directory = Path::new("/etc/ssh/sshd_config.d");
    let mut text = read_text(host, Path::new("/etc/ssh/sshd_config"))?;
    for name in host.list(directory)?.iter().filter(|name| name.as_encoded_bytes().ends_with(b".conf")) {
        text.push('\n');
        text.push_str(&read_text(host, directory.join(name))?);
    }
    let ports = parse_sshd_ports(&text.lines().map(as_told).collect::<Vec<_>>().join("\n"));
    Ok(if ports.is_empty() { BTreeSet::from([22]) } else { ports })
}

/// dpkg's own architecture: the first line of `/var/lib/dpkg/arch`, which exists once a foreign one was added; else
/// the architecture of the package dpkg; else that of this program.
fn architecture(host: &dyn Host) -> Result<String> {
    if let Some(first) =
        read_text(host, Path::new("/var/lib/dpkg/arch"))?.lines().next().filter(|line| !line.is_empty())
    {
        return Ok(first.trim().to_owned());
    }
    let status = read_text(host, Path::new(paths::DPKG_STATUS))?;
    let of_dpkg = status.split("\n\n").find(|paragraph| paragraph.trim_start().starts_with("Package: dpkg\n"));
    let field = of_dpkg.and_then(|paragraph| paragraph.lines().find_map(|line| line.strip_prefix("Architecture: ")));
    Ok(field.map(str::trim).unwrap_or(own_architecture()).to_owned())
}

fn own_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "i386",
        "powerpc64" => "ppc64el",
        other => other,
    }
}

/// Whether systemd runs this host (sd_booted(3)): not in a chroot, though the `/run` of the system around may be there.
///
/// # Errors
/// When the directory can't be looked at.
pub fn is_booted(host: &dyn Host) -> Result<bool> {
    Ok(host.meta(Path::new("/run/systemd/system"))?.is_some() && !host.is_chroot())
}

/// Which container manager started us, as systemd-detect-virt(1) finds it. A container has no kernel, no modules and no
/// swap of its own.
///
/// # Errors
/// When one of the files that managers leave can't be read.
pub fn container(host: &dyn Host) -> Result<Option<String>> {
    for path in ["/run/systemd/container", "/run/host/container-manager"] {
        if let Some(name) = Some(read_text(host, Path::new(path))?.trim()).filter(|name| !name.is_empty()) {
            return Ok(Some(name.to_owned()));
        }
    }
    for (path, name) in [("/.dockerenv", "docker"), ("/run/.containerenv", "podman")] {
        if host.meta(Path::new(path))?.is_some() {
            return Ok(Some(name.to_owned()));
        }
    }
    // Only root may read it; for others the files above must do.
    let environment = read_text(host, Path::new("/proc/1/environ")).unwrap_or_default();
    let name = environment.split('\0').find_map(|line| line.strip_prefix("container="));
    Ok(name.filter(|name| !name.is_empty()).map(str::to_owned))
}

fn parse_os_release(text: &str) -> OsRelease {
    let mut os = OsRelease::default();
    for (name, value) in text.lines().filter_map(|line| line.trim().split_once('=')) {
        let value = value.trim();
        let quoted = ['"', '\''].iter().find_map(|mark| value.strip_prefix(*mark)?.strip_suffix(*mark));
        let value = quoted.unwrap_or(value).replace("\\\"", "\"");
        match name {
            "ID" => os.id = value,
            "VERSION_ID" => os.version_id = value,
            "VERSION_CODENAME" => os.codename = value,
            "PRETTY_NAME" => os.pretty = value,
            _ => {}
        }
    }
    os
}

/// `MemTotal: 2031212 kB`, in bytes.
fn parse_memory(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The number of processors in a list like `0-3,6`.
fn parse_cpus(list: &str) -> Option<usize> {
    let span = |span: &str| -> Option<usize> {
        let (first, last) = span.split_once('-').unwrap_or((span, span));
        last.parse::<usize>().ok()?.checked_sub(first.parse().ok()?).map(|more| more + 1)
    };
    list.split(',').map(span).sum()
}

/// The first line that is no comment (hostname(5)).
fn parse_hostname(text: &str) -> String {
    text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_facts_of_a_host_are_read_from_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        put(
            root,
            "usr/lib/os-release",
            "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nID=debian\nVERSION_ID='13'\nVERSION_CODENAME=trixie\n",
        );
        fs::create_dir_all(root.join("etc")).unwrap();
        std::os::unix::fs::symlink("../usr/lib/os-release", root.join("etc/os-release")).unwrap();
        put(root, "etc/hostname", "# ours\n vps1 \n");
        put(
            root,
            "etc/passwd",
            "root:x:0:0::/root:/bin/bash\nzoe:x:1001:1001::/home/zoe:/bin/sh\nmia:x:1000:1000::/home/mia:/bin/bash\n",
        );
        put(root, "etc/group", "sudo:x:27:mia,bot\n");
        put(root, "proc/meminfo", "MemTotal:        2031212 kB\nMemFree: 1 kB\n");
        put(root, "proc/1/environ", "PATH=/bin\0container=lxc\0");
        put(root, "sys/devices/system/cpu/online", "0-2,5\n");
        put(
            root,
            "var/lib/dpkg/status",
            "Package: a\nArchitecture: all\n\nPackage: dpkg\nStatus: install ok installed\nArchitecture: arm64\n",
        );
        let machine = Machine::read(&RealHost::new(root.into())).unwrap();
        let wanted = Machine {
            os: OsRelease {
                id: "debian".into(),
                version_id: "13".into(),
                codename: "trixie".into(),
                pretty: "Debian GNU/Linux 13 (trixie)".into(),
            },
            architecture: "arm64".into(),
            memory: Some(2031212 * 1024),
            cpus: Some(4),
            container: Some("lxc".into()),
            hostname: "vps1".into(),
            people: vec!["mia".into(), "zoe".into()],
            admins: vec!["mia".into()],
        };
        assert_eq!(machine, wanted);
        put(root, "var/lib/dpkg/arch", "riscv64\namd64\n");
        put(root, "run/systemd/container", "systemd-nspawn\n");
        let machine = Machine::read(&RealHost::new(root.into())).unwrap();
        assert_eq!((machine.architecture.as_str(), machine.container.as_deref()), ("riscv64", Some("systemd-nspawn")));
    }

    #[test]
    fn a_host_without_any_file_has_no_facts_but_an_architecture() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::read(&RealHost::new(dir.path().into())).unwrap();
        assert_eq!(machine, Machine { architecture: own_architecture().into(), ..Machine::default() });
    }

    #[test]
    fn this_machine_has_memory_and_processors() {
        let machine = Machine::read(&RealHost::new("/".into())).unwrap();
        assert!(machine.memory.unwrap() > 1 << 26 && machine.cpus.unwrap() >= 1, "{machine:?}");
    }

    #[test]
    fn the_ports_of_ssh_are_the_effective_ones_and_the_one_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let host = RealHost::new(dir.path().into());
        assert_eq!(ssh_ports(&host, &[]).unwrap(), BTreeSet::new());
        assert_eq!(ssh_ports(&host, &[2200]).unwrap(), BTreeSet::from([2200]));
        put(
            dir.path(),
            "usr/sbin/sshd",
            "#!/bin/sh\nprintf 'port 22\\naddressfamily any\\nlistenaddress [::]:2022\\nlistenaddress 0.0.0.0:2022\\n'\n",
        );
        assert_eq!(ssh_ports(&host, &[2200]).unwrap(), BTreeSet::from([22, 2022, 2200]));
        put(dir.path(), "usr/sbin/sshd", "#!/bin/sh\necho 'no hostkeys available' >&2; exit 1\n");
        assert_eq!(ssh_ports(&host, &[]).unwrap(), BTreeSet::from([22]));
        put(dir.path(), "etc/ssh/sshd_config.d/10.conf", "Port\t2222\n");
        assert_eq!(ssh_ports(&host, &[]).unwrap(), BTreeSet::from([2222]));
        let lines = "Port=2222\nPort = 2223\nListenAddress\t=\"0.0.0.0:2224\"\n#Port=9\n";
        put(dir.path(), "etc/ssh/sshd_config.d/10.conf", lines);
        assert_eq!(ssh_ports(&host, &[]).unwrap(), BTreeSet::from([2222, 2223, 2224]));
    }

    #[test]
    fn ports_at_which_systemd_listens_for_ssh_are_ports_of_ssh() {
        let dir = tempfile::tempdir().unwrap();
        let host = RealHost::new(dir.path().into());
        put(dir.path(), "usr/sbin/sshd", "#!/bin/sh\necho port 22\n");
        // As Debian 13's systemctl answers: two units of a pattern may be the same one.
        let answer = |state: &str, file: &str| {
            format!(
                "Listen=[::]:2222 (Stream)\nListen=127.0.0.1:2022 (Stream)\nListen=/run/x.sock (Stream)\nListen=[::]:9 \
                 (Datagram)\nActiveState={state}\nUnitFileState={file}\n\nListen=/run/ssh-unix-local/socket (Stream)\n\
                 ActiveState=active\nUnitFileState=generated\n"
            )
        };
        std::fs::create_dir_all(dir.path().join("run/systemd/system")).unwrap();
        let cases = [
            ("active", "disabled", BTreeSet::from([22, 2022, 2222])),
            ("inactive", "enabled", BTreeSet::from([22, 2022, 2222])),
            ("activating", "enabled-runtime", BTreeSet::from([22, 2022, 2222])),
            ("inactive", "disabled", BTreeSet::from([22])),
            ("failed", "masked", BTreeSet::from([22])),
        ];
        put(dir.path(), "run/systemd/system/multi-user.target.wants/ssh.socket", "");
        for (state, file, ports) in cases {
            put(dir.path(), "usr/bin/systemctl", &format!("#!/bin/sh\ncat <<'EOF'\n{}EOF\n", answer(state, file)));
            assert_eq!(ssh_ports(&host, &[]).unwrap(), ports, "{state} {file}");
        }
    }

    #[test]
    fn systemctl_is_asked_for_sockets_of_ssh_only_where_there_may_be_one() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let host = RealHost::new(root.into());
        put(root, "usr/sbin/sshd", "#!/bin/sh\necho port 22\n");
        let socket = "Listen=[::]:2222 (Stream)\nActiveState=active\nUnitFileState=enabled\n";
        put(root, "usr/bin/systemctl", &format!("#!/bin/sh\necho \"$*\" >>\"$VPS_ROOT/asked\"\nprintf '{socket}'\n"));
        std::fs::create_dir_all(root.join("run/systemd/system")).unwrap();
        let is_asked = || {
            let found = ssh_ports(&host, &[]).unwrap();
            let asked = std::fs::remove_file(root.join("asked")).is_ok();
            assert_eq!(found.contains(&2222), asked, "{found:?}");
            asked
        };
        put(root, "etc/systemd/system/sockets.target.wants/docker.socket", "");
        put(root, "etc/systemd/system/ssh.socket.wants/sshd-keygen.service", "");
        put(root, "etc/systemd/system/sockets.target.d/ssh.socket", "");
        assert!(!is_asked(), "none is started, and nothing listens");
        put(root, "proc/net/tcp", "sl\n 0: 00000000:0016 00000000:0000 0A a b c d 0 4711\n");
        put(root, "proc/1/fd/none", "");
        std::os::unix::fs::symlink("socket:[4710]", root.join("proc/1/fd/8")).unwrap();
        assert!(!is_asked(), "another process listens");
        std::os::unix::fs::symlink("socket:[4711]", root.join("proc/1/fd/9")).unwrap();
        assert!(is_asked(), "systemd listens");
        put(root, "proc/net/unix", "Num\n0: 2 0 10000 5 1 4711 /run/x\n");
        assert!(!is_asked(), "in vain: it's a socket of another kind");
        put(root, "proc/net/unix", "Num\n0: 2 0 10000 5 1 4710 /run/x\n");
        std::fs::remove_dir_all(root.join("proc/1/fd")).unwrap();
        put(root, "proc/1/fd", "");
        assert!(is_asked(), "what systemd holds can't be seen");
        std::fs::remove_dir_all(root.join("proc")).unwrap();
        assert!(!is_asked());
        for links in ["etc/systemd/system/sockets.target.wants", "run/systemd/system/a.requires"] {
            put(root, &format!("{links}/ssh.socket"), "");
            assert!(is_asked(), "{links}");
            std::fs::remove_dir_all(root.join(links)).unwrap();
        }
        put(root, "etc/systemd/system/sockets.target.wants/my-ssh-2.socket", "");
        assert!(is_asked(), "one of the administrator's own");
    }

    #[test]
    fn where_systemd_can_not_be_asked_the_files_of_the_socket_tell_its_ports() {
        let dir = tempfile::tempdir().unwrap();
        let host = RealHost::new(dir.path().into());
        put(dir.path(), "usr/sbin/sshd", "#!/bin/sh\necho port 22\n");
        put(dir.path(), "usr/lib/systemd/system/ssh.socket", "[Socket]\nListenStream=23\nAccept=no\n");
        assert_eq!(ssh_ports(&host, &[]).unwrap(), BTreeSet::from([22]), "it is not enabled");
        put(dir.path(), "etc/systemd/system/sockets.target.wants/ssh.socket", "");
        assert_eq!(ssh_ports(&host, &[]).unwrap(), BTreeSet::from([22, 23]));
        let own =
            "[Socket]\nListenStream=\n ListenStream = [::]:2222\nListenStream=127.0.0.1:2022\nListenStream=/run/x\n";
        put(dir.path(), "etc/systemd/system/ssh.socket.d/port.conf", own);
        assert_eq!(ssh_ports(&host, &[]).unwrap(), BTreeSet::from([22, 2022, 2222]));
        std::fs::create_dir_all(dir.path().join("run/systemd/system")).unwrap();
        put(dir.path(), "usr/bin/systemctl", "#!/bin/sh\necho 'Failed to connect to bus' >&2; exit 1\n");
        assert_eq!(ssh_ports(&host, &[]).unwrap(), BTreeSet::from([22, 2022, 2222]));
        std::fs::remove_file(dir.path().join("usr/sbin/sshd")).unwrap();
        assert_eq!(ssh_ports(&host, &[]).unwrap(), BTreeSet::new(), "nothing is started without the program");
    }
}
