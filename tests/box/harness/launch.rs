//! Makes a box's disk and starts `systemd-nspawn` on it.

use super::record::{Options, Owner, Record, check_name, hex};
use super::{Trouble, base, disk, drive, host, net, place};
use std::fs::{self, File, OpenOptions};
use std::process::{Command, Stdio};

/// Runs beside the box for as long as the box is up, in a mount namespace of its own.
///
/// - nspawn wants the unified cgroup tree at its usual place; on a machine that has the old layout this is arranged
///   where nobody else sees it.
/// - A cgroup may hold processes or children, not both: hence `loop` for this script and `box` for nspawn, which
///   splits its own further. `box` is made anew at each boot, because nspawn leaves it split.
/// - The network namespace is new at each boot, too.
/// - Its mounts are copies of this machine's: those of other boxes' disks would hold them after these were let go.
/// - 133 is nspawn's word for "the box asked for a reboot".
const LAUNCHER: &str = r#"set -eu
for place in $(cut -d ' ' -f 5 /proc/self/mountinfo); do
    case $place in
    "$PWD"/*) ;;
    "${PWD%/*}"/*/merged)
        # One that isn't there any more went with its folder: its box was removed at this moment.
        umount -l "$place" || if grep -qF " $place " /proc/self/mountinfo; then exit 1; fi
        ;;
    esac
done
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
pub fn create(id: &str, hostname: &str, owner: Option<Owner>, options: Options) -> Result<Record, Trouble> {
    check_name(id)?;
    check_name(hostname)?;
    for folder in &options.real {
        if !folder.is_absolute() {
            return Err(format!("{} must be an absolute path of the box", folder.display()));
        }
    }
    let base = base::ready()?;
    let _lock = place::lock_registry()?;
    let folder = place::boxes().join(id);
    if folder.exists() {
        return Err(format!("there is already a box named {id}"));
    }
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
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
    let folders: &[&str] = if record.options.drive { &["merged"] } else { &["upper", "work", "merged"] };
    for name in folders {
        let path = folder.join(name);
        fs::create_dir(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
    }
    if record.options.drive {
        drive::make(&record)?;
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
    disk::ready(record)?;
    {
        let _lock = place::lock_registry()?;
        net::masquerade()?;
    }
    let _ = fs::remove_file(folder.join("cgroup"));
    let script = folder.join("launch.sh");
    fs::write(&script, LAUNCHER).map_err(|error| format!("cannot write {}: {error}", script.display()))?;
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
            .args(["--quiet", "--collect", "--property=Delegate=yes", "--property=TasksMax=infinity"])
            .arg(format!("--unit={}.service", record.tag()))
            .arg(format!("--working-directory={}", folder.display()))
            .arg(format!("--property=StandardOutput=append:{}", console.display()))
            .arg(format!("--property=StandardError=append:{}", console.display()));
        for (name, value) in &variables {
            command.arg(format!("--setenv={name}={value}"));
        }
        command
    } else {
        let mut command = Command::new("setsid");
        command.current_dir(&folder).envs(variables.iter().map(|(name, value)| (*name, value)));
        command
    };
    command.args(["unshare", "--mount", "--propagation=private", "sh"]).arg(&script);
    command.args(nspawn_arguments(record));
    let errors = log.try_clone().map_err(|error| format!("cannot use {}: {error}", console.display()))?;
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
    // Always: a box with it moves the clock of the machine under it.
    arguments.push("--drop-capability=CAP_SYS_TIME".into());
    for folder in disk::real_folders(record) {
        arguments.push(format!("--bind={}:{}", disk::real_source(record, &folder).display(), folder.display()));
    }
    arguments
}
