//! Makes a box's disk and starts `systemd-nspawn` on it.

use super::record::{Options, Owner, Record, check_name, hex};
use super::{Trouble, base, host, net, place};
use nix::mount::{MsFlags, mount};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs beside the box for as long as the box is up, in a mount namespace of its own.
///
/// - nspawn wants the unified cgroup tree at its usual place; on a machine that has the old layout this is arranged
///   where nobody else sees it.
/// - A cgroup may hold processes or children, not both: hence `loop` for this script and `box` for nspawn, which
///   splits its own further. `box` is made anew at each boot, because nspawn leaves it split.
/// - The network namespace is new at each boot, too.
/// - 133 is nspawn's word for "the box asked for a reboot".
const LAUNCHER: &str = r#"set -eu
if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
    while umount -R -l /sys/fs/cgroup 2>/dev/null; do :; done
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
own=$(sed -n 's/^0:://p' /proc/self/cgroup)
case $own in
*/"$TAG".service) ;;
*) own=/$TAG ;;
esac
top=/sys/fs/cgroup$own
mkdir -p "$top/loop"
echo $$ >"$top/loop/cgroup.procs"
# From here on an empty cgroup means that it's over.
echo "$own" >cgroup.new
mv cgroup.new cgroup
while :; do
    if [ -d "$top/box" ]; then
        echo 1 >"$top/box/cgroup.kill"
        tries=0
        while ! find "$top/box" -depth -type d -exec rmdir {} + 2>/dev/null && [ $tries -lt 50 ]; do
            tries=$((tries + 1))
            sleep 0.05
        done
    fi
    mkdir -p "$top/box"
    ip netns delete "$TAG" 2>/dev/null || :
    ip link delete "$TAG" 2>/dev/null || :
    ip netns add "$TAG"
    # A new namespace inherits this machine's forwarding, which is on for the boxes' sake; a fresh server has it off.
    ip netns exec "$TAG" sh -c 'echo 0 >/proc/sys/net/ipv4/ip_forward'
    ip link add "$TAG" type veth peer name eth0 netns "$TAG"
    ip address add "$OUTSIDE/30" dev "$TAG"
    ip link set "$TAG" up
    ip -n "$TAG" link set lo up
    ip -n "$TAG" address add "$INSIDE/30" dev eth0
    ip -n "$TAG" link set eth0 up
    ip -n "$TAG" route add default via "$OUTSIDE"
    code=0
    sh -c 'echo $$ >"$0/cgroup.procs"; exec "$@"' "$top/box" systemd-nspawn "$@" || code=$?
    [ $code = 133 ] || exit $code
done
"#;

/// A new box: its record, its empty layers and what makes it itself. It isn't started yet.
pub fn create(
    id: &str,
    hostname: &str,
    owner: Option<Owner>,
    options: Options,
) -> Result<Record, Trouble> {
    check_name(id)?;
    check_name(hostname)?;
    for folder in &options.real {
        if !folder.is_absolute() {
            return Err(format!(
                "{} must be an absolute path of the box",
                folder.display()
            ));
        }
    }
    let base = base::ready()?;
    let _lock = place::lock_registry()?;
    let folder = place::boxes().join(id);
    if folder.exists() {
        return Err(format!("there is already a box named {id}"));
    }
    fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let record = Record {
        id: id.to_owned(),
        hostname: hostname.to_owned(),
        number: net::take_number(&folder)?,
        machine_id: hex(&random()?),
        owner,
        base,
        options,
    };
    record.save()?;
    for name in ["upper", "work", "merged"] {
        let path = folder.join(name);
        fs::create_dir(&path)
            .map_err(|error| format!("cannot make {}: {error}", path.display()))?;
    }
    Ok(record)
}

fn random() -> Result<[u8; 16], Trouble> {
    use std::io::Read;
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| format!("cannot read /dev/urandom: {error}"))?;
    Ok(bytes)
}

/// Turns the power on. Returns as soon as the launcher runs; `leader::wait_until_up` waits for the rest.
pub fn start(record: &Record) -> Result<(), Trouble> {
    let folder = record.folder();
    mount_disk(record)?;
    if !folder.join("personal").exists() {
        personalise(record)?;
        File::create(folder.join("personal"))
            .map_err(|error| format!("cannot mark {}: {error}", record.id))?;
    }
    {
        let _lock = place::lock_registry()?;
        net::masquerade()?;
    }
    let _ = fs::remove_file(folder.join("cgroup"));
    let script = folder.join("launch.sh");
    fs::write(&script, LAUNCHER)
        .map_err(|error| format!("cannot write {}: {error}", script.display()))?;
    let console = folder.join("console.log");
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&console)
        .map_err(|error| format!("cannot open {}: {error}", console.display()))?;
    let subnet = net::subnet(record.number);
    let variables = [
        ("TAG", record.tag()),
        ("OUTSIDE", subnet.outside.to_string()),
        ("INSIDE", subnet.inside.to_string()),
        // Otherwise nspawn copies the layout of the machine under it.
        ("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1".into()),
        // net.* is the box's own and may be written; kernel.* is everyone's and stays read-only.
        ("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network".into()),
    ];
    let mut command = if host::runs_systemd() {
        // Without a unit of its own the box would die with the session that started it.
        let mut command = Command::new("systemd-run");
        command
            .args([
                "--quiet",
                "--collect",
                "--property=Delegate=yes",
                "--property=TasksMax=infinity",
            ])
            .arg(format!("--unit={}.service", record.tag()))
            .arg(format!("--working-directory={}", folder.display()))
            .arg(format!(
                "--property=StandardOutput=append:{}",
                console.display()
            ))
            .arg(format!(
                "--property=StandardError=append:{}",
                console.display()
            ));
        for (name, value) in &variables {
            command.arg(format!("--setenv={name}={value}"));
        }
        command
    } else {
        let mut command = Command::new("setsid");
        command
            .current_dir(&folder)
            .envs(variables.iter().map(|(name, value)| (*name, value)));
        command
    };
    command
        .args(["unshare", "--mount", "--propagation=private", "sh"])
        .arg(&script);
    command.args(nspawn_arguments(record));
    let errors = log
        .try_clone()
        .map_err(|error| format!("cannot use {}: {error}", console.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .map_err(|error| format!("cannot start the launcher of {}: {error}", record.id))?;
    // Nobody waits for it but the kernel wants it reaped.
    std::thread::spawn(move || child.wait());
    Ok(())
}

fn nspawn_arguments(record: &Record) -> Vec<String> {
    let mut arguments = vec![
        "--boot".to_owned(),
        format!("--directory={}", record.disk().display()),
        format!("--machine={}", record.tag()),
        format!("--hostname={}", record.hostname),
        "--register=no".into(),
        "--keep-unit".into(),
        format!("--network-namespace-path=/run/netns/{}", record.tag()),
        // read-only: the boot's messages go to console.log, and nobody needs a terminal.
        "--console=read-only".into(),
        "--system-call-filter=@keyring bpf".into(),
        "--capability=CAP_NET_ADMIN".into(),
        "--resolv-conf=off".into(),
        "--timezone=off".into(),
        "--link-journal=no".into(),
    ];
    if record.options.nested {
        arguments.push("--capability=all".into());
    }
    // Always last and always: a box with it moves the clock of the machine under it.
    arguments.push("--drop-capability=CAP_SYS_TIME".into());
    for folder in real_folders(record) {
        arguments.push(format!(
            "--bind={}:{}",
            real_source(record, &folder).display(),
            folder.display()
        ));
    }
    arguments
}

/// A nested box keeps its state under /var/tmp, and an overlay can't lie on the overlay that the box itself is.
fn real_folders(record: &Record) -> Vec<std::path::PathBuf> {
    let mut folders = record.options.real.clone();
    if record.options.nested {
        folders.push("/var/tmp".into());
    }
    folders
}

fn real_source(record: &Record, folder: &Path) -> std::path::PathBuf {
    let name = folder.to_string_lossy().trim_matches('/').replace('/', "-");
    record.folder().join("real").join(name)
}

/// redirect_dir: without it a folder of the base can't be renamed, which works on any other file system.
fn mount_disk(record: &Record) -> Result<(), Trouble> {
    let folder = record.folder();
    let disk = record.disk();
    if mounted(&disk) {
        return Ok(());
    }
    let layers = format!(
        "lowerdir={},upperdir={},workdir={},redirect_dir=on",
        record.base.display(),
        folder.join("upper").display(),
        folder.join("work").display()
    );
    mount(Some("overlay"), &disk, Some("overlay"), MsFlags::empty(), Some(layers.as_str())).map_err(|error| {
        format!(
            "cannot mount the overlay of {} ({error}); VPS_BOX_DIR must lie on a real file system, not on an overlay",
            record.id
        )
    })
}

pub fn mounted(path: &Path) -> bool {
    fs::read_to_string("/proc/self/mountinfo")
        .unwrap_or_default()
        .lines()
        .any(|line| line.split(' ').nth(4) == path.to_str())
}

/// What differs between two servers of one image.
fn personalise(record: &Record) -> Result<(), Trouble> {
    let disk = record.disk();
    let write = |path: &str, text: String| {
        let path = disk.join(path);
        let _ = fs::remove_file(&path);
        fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
    };
    let name = &record.hostname;
    write("etc/machine-id", format!("{}\n", record.machine_id))?;
    fs::set_permissions(
        disk.join("etc/machine-id"),
        PermissionsExt::from_mode(0o444),
    )
    .map_err(|error| format!("cannot set the mode of /etc/machine-id: {error}"))?;
    write("etc/hostname", format!("{name}\n"))?;
    write(
        "etc/hosts",
        format!(
            "127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n::1\t\tlocalhost ip6-localhost ip6-loopback\n\
             ff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n"
        ),
    )?;
    write("etc/resolv.conf", resolver()?)?;
    let dbus = disk.join("var/lib/dbus/machine-id");
    if dbus.parent().is_some_and(Path::is_dir) && !dbus.is_symlink() {
        let _ = fs::remove_file(&dbus);
        symlink("/etc/machine-id", &dbus)
            .map_err(|error| format!("cannot link {}: {error}", dbus.display()))?;
    }
    for folder in real_folders(record) {
        let source = real_source(record, &folder);
        fs::create_dir_all(&source)
            .map_err(|error| format!("cannot make {}: {error}", source.display()))?;
        let mode = if folder.starts_with("/var/tmp") {
            0o1777
        } else {
            0o711
        };
        fs::set_permissions(&source, PermissionsExt::from_mode(mode))
            .map_err(|error| format!("cannot set the mode of {}: {error}", source.display()))?;
    }
    Ok(())
}

/// This machine's resolver, if a box can reach it: a resolver on 127.0.0.1 is nobody's but ours.
fn resolver() -> Result<String, Trouble> {
    for path in ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"] {
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut servers = text
            .lines()
            .filter_map(|line| line.strip_prefix("nameserver"));
        if servers.any(|server| !server.trim().starts_with("127.") && server.trim() != "::1") {
            return Ok(text);
        }
    }
    Err("this machine's resolver listens on 127.0.0.1 only, which boxes can't reach".into())
}
