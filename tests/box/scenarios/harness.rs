//! The harness itself: what every other scenario stands on.

use super::Scenario;
use crate::harness::{Machine, clean, disk, leader, net, record};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "a box boots in seconds and all its units are well", run: boots },
    Scenario { name: "two boxes at once reach the mirror and share no state", run: two_at_once },
    Scenario { name: "a box has its own identity, no forwarding, and cannot move the clock", run: own_identity },
    Scenario { name: "commands pass input, output and exit codes, and a daemon does not hold them", run: commands },
    Scenario { name: "files and folders go in and come out as they were", run: copies },
    Scenario { name: "apt in the box reads what this side serves", run: serves },
    Scenario { name: "a power cut stops everything, and the next boot has the disk", run: power_cut },
    CUT_DRIVE,
    Scenario { name: "a dropped box leaves nothing on this machine", run: drop_leaves_nothing },
    Scenario { name: "the leftovers of a killed run are gone after the next clean", run: leftovers },
];

fn boots() {
    let begun = Instant::now();
    let machine = Machine::boot("fresh");
    let took = begun.elapsed();
    // Two seconds on a quiet machine; the bound is for one that has other work.
    assert!(took < Duration::from_secs(20), "the boot took {took:?}");
    assert_eq!(machine.failed_units, Vec::<String>::new());
    assert_eq!(machine.ok("systemctl is-system-running").trim(), "running");
    assert_eq!(machine.ok("systemctl is-active ssh cron dbus systemd-logind"), "active\n".repeat(4));
    assert_eq!(machine.ok(". /etc/os-release; echo $VERSION_ID").trim(), "13");
}

fn two_at_once() {
    let (one, two) = (Machine::boot("one"), Machine::boot("two"));
    for machine in [&one, &two] {
        let update = machine.ok("apt-get update 2>&1");
        assert!(!update.contains("Err:") && update.contains("trixie-security"), "{update}");
    }
    one.ok("touch /etc/only-in-one; useradd only-in-one");
    assert_eq!(two.sh("test -e /etc/only-in-one || id only-in-one").code, 1);
    // Neither sees the other's processes, and both may listen at the same port.
    for machine in [&one, &two] {
        machine.ok("systemd-run --quiet --unit=listener systemd-socket-activate -l 4711 cat");
        assert_eq!(machine.ok("systemctl is-active listener").trim(), "active");
    }
    assert_ne!(one.address(), two.address());
    assert_ne!(one.read("/etc/machine-id"), two.read("/etc/machine-id"));
}

/// From linux/capability.h.
const CAP_SYS_TIME: u32 = 25;

fn own_identity() {
    let machine = Machine::boot("myname");
    assert_eq!(machine.ok("hostname").trim(), "myname");
    assert_eq!(machine.read("/etc/hostname").trim(), "myname");
    assert_eq!(machine.ok("getent hosts myname | cut -d' ' -f1").trim(), "127.0.1.1");
    assert_eq!(machine.ok("date +%Z").trim(), "UTC");
    assert_eq!(machine.ok("cat /proc/sys/net/ipv4/ip_forward").trim(), "0");
    // Asked of the kernel, not tried: where it is allowed, trying moves the clock of the machine under us.
    let limits = machine.ok("grep -h CapBnd /proc/1/status /proc/self/status; grep CapEff /proc/self/status");
    for line in limits.lines() {
        let set = line.split_whitespace().last().and_then(|digits| u64::from_str_radix(digits, 16).ok());
        assert_eq!(set.map(|set| set >> CAP_SYS_TIME & 1), Some(0), "{limits}");
    }
    assert_eq!(limits.lines().count(), 3, "{limits}");
    assert_eq!(machine.sh("ls /var/cache/apt/archives/*.deb").code, 2, "the base carries downloaded packages");
    assert_ne!(machine.ok("ls /var/lib/apt/lists | grep -c security_main").trim(), "0", "the base has no lists");
}

fn commands() {
    let machine = Machine::boot("commands");
    assert_eq!(machine.sh("exit 7").code, 7);
    assert_eq!(machine.sh("kill -TERM $$").code, 128 + 15);
    assert_eq!(machine.run(&["no-such-command"]).code, 127);
    let output = machine.sh("echo out; echo err >&2");
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
    let input = "line\n".repeat(100_000);
    assert_eq!(machine.run_with_input(&["wc", "-l"], &input).stdout.trim(), "100000");
    let begun = Instant::now();
    assert_eq!(machine.ok("(sleep 60 &) ; echo done").trim(), "done");
    assert!(begun.elapsed() < Duration::from_secs(20), "it waited for the daemon");
    // The box's systemd knows where they run.
    assert_eq!(machine.ok("cat /proc/self/cgroup | tail -n 1").trim(), "0::/init.scope");
}

fn copies() {
    let machine = Machine::boot("copies");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let here = folder.path();
    fs::create_dir_all(here.join("in/sub")).expect("a folder in it");
    fs::write(here.join("in/sub/text"), "text\n").expect("a file in it");
    std::os::unix::fs::symlink("sub/text", here.join("in/link")).expect("a link in it");
    machine.put(here.join("in"), "/tmp/tree");
    assert_eq!(machine.ok("cat /tmp/tree/link; stat -c %U /tmp/tree/sub/text"), "text\nroot\n");
    machine.get("/tmp/tree", here.join("out"));
    assert_eq!(fs::read_to_string(here.join("out/link")).expect("the link came back"), "text\n");
    machine.put_bytes(b"\0\xff", "/usr/local/bin/made/deep", 0o755);
    assert_eq!(machine.ok("stat -c '%a %s' /usr/local/bin/made/deep").trim(), "755 2");
    machine.get("/usr/local/bin/made/deep", here.join("deep"));
    assert_eq!(fs::read(here.join("deep")).expect("the file came back"), b"\0\xff");
    machine.put(here.join("deep"), "/root/deep");
    assert_eq!(machine.ok("cmp /root/deep /usr/local/bin/made/deep && echo same").trim(), "same");
}

fn serves() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pool = folder.path().join("pool");
    fs::create_dir(&pool).expect("a folder in it");
    fs::write(pool.join("a+b~1.txt"), "served\n").expect("a file in it");
    let index = "Package: ours\nVersion: 1\nArchitecture: all\nFilename: ./pool/ours.deb\nSize: 1\n";
    fs::write(folder.path().join("Packages"), index).expect("an index");
    let mut machine = Machine::boot("serves");
    let url = machine.serve(folder.path());
    assert_eq!(machine.ok(&format!("curl -sf {url}/pool/a%2bb%7e1.txt {url}/pool/a+b~1.txt")), "served\nserved\n");
    assert_eq!(machine.sh(&format!("curl -sf {url}/none")).code, 22);
    assert_eq!(machine.sh(&format!("curl -sf --path-as-is {url}/../../../../etc/passwd")).code, 22);
    machine.put_bytes(format!("deb [trusted=yes] {url} ./\n"), "/etc/apt/sources.list.d/ours.list", 0o644);
    machine.ok("apt-get update");
    let policy = machine.ok("apt-cache policy ours");
    assert!(policy.contains("Candidate: 1"), "{policy}");
}

fn power_cut() {
    let mut machine = Machine::boot("power");
    machine.ok("echo kept >/root/kept; mkdir /run/lost; sysctl -qw net.ipv4.conf.all.log_martians=1");
    machine.ok("systemd-run --quiet --unit=worker sleep 1000");
    let leader = leader::find(machine.record()).expect("it is up");
    machine.power_cut();
    assert!(!Path::new(&format!("/proc/{leader}/root/etc")).exists(), "process {leader} still lives");
    assert_eq!(fs::read_to_string(machine.disk().join("root/kept")).expect("the disk is there"), "kept\n");
    machine.boot_again();
    assert_eq!(machine.read("/root/kept"), "kept\n");
    assert_eq!(machine.sh("test -e /run/lost || systemctl is-active --quiet worker").code, 4);
    assert_eq!(machine.ok("cat /proc/sys/net/ipv4/conf/all/log_martians").trim(), "0");
    machine.ok("ping -qc1 -W5 $(ip route | awk '/default/ { print $3 }')");
}

/// Where boxes can have one.
pub const CUT_DRIVE: Scenario =
    Scenario { name: "a power cut of a drive loses what was not written out, and nothing else", run: cut_drive };

fn cut_drive() {
    let mut machine = Machine::plan("drive").drive().boot();
    let other = Machine::boot("beside");
    machine.ok("cd /root && echo old >replaced && echo kept >synced && sync && echo lost >later && echo more >>synced");
    machine.ok("cd /root && echo kept >alone && sync alone");
    machine.ok("cd /root && echo new >replaced.new && mv replaced.new replaced && echo last >last && rm synced");
    machine.power_cut();
    machine.boot_again();
    // One file's sync commits what directories say, but not what lies in other files.
    assert_eq!(machine.ok("cd /root && head alone replaced synced").matches("kept").count(), 2);
    assert_eq!(machine.read("/root/replaced"), "old\n");
    assert_eq!(machine.ok("cd /root && wc -c <later && test ! -e last && wc -l <synced"), "0\n1\n");
    // And a second time, with a box beside it that was there before.
    machine.ok("echo once >/root/last");
    machine.power_cut();
    machine.boot_again();
    machine.ok("test ! -e /root/last");
    drop(other);
    let record = machine.record().clone();
    let cgroup = leader::cgroup(&record).expect("it is up");
    assert!(traces(&record.folder(), record.number, &cgroup).contains(&"loop device".to_owned()));
    drop(machine);
    assert_eq!(traces(&record.folder(), record.number, &cgroup), Vec::<String>::new());
}

fn drop_leaves_nothing() {
    let machine = Machine::boot("gone");
    machine.ok("systemd-run --quiet sleep 1000");
    let record = machine.record().clone();
    let cgroup = leader::cgroup(&record).expect("it is up");
    assert!(traces(&record.folder(), record.number, &cgroup).len() >= 4, "the search itself finds nothing");
    drop(machine);
    assert_eq!(traces(&record.folder(), record.number, &cgroup), Vec::<String>::new());
}

/// All that a box is on this machine, seen without the harness's own bookkeeping.
fn traces(folder: &Path, number: u16, cgroup: &Path) -> Vec<String> {
    let tag = format!("vpsbox{number}");
    let mut found = Vec::new();
    let mut note = |there: bool, what: &str| there.then(|| found.push(what.to_owned()));
    note(folder.exists(), "folder");
    note(disk::mounted(&folder.join("merged")), "mount");
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let behind = |device: fs::DirEntry| fs::read_to_string(device.path().join("loop/backing_file")).unwrap_or_default();
    note(devices.map(behind).any(|file| Path::new(file.trim()).starts_with(folder)), "loop device");
    note(Path::new("/sys/class/net").join(&tag).exists(), "veth");
    note(cgroup.exists(), "cgroup");
    note(Path::new("/run/netns").join(&tag).exists(), "network namespace");
    note(net::numbers().iter().any(|(taken, holder)| *taken == number && Path::new(holder) == folder), "number");
    let processes = fs::read_dir("/proc").expect("/proc lists").flatten().filter(|entry| {
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(&format!("{}/", folder.display()))
    });
    note(processes.count() > 0, "processes");
    found
}

/// The binary runs itself as another run, which is then killed.
fn leftovers() {
    let this = std::env::current_exe().expect("the path of this binary");
    let mut child = Command::new(this)
        .args(["boot-and-wait", "orphan"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("another run starts");
    let mut id = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().expect("it is piped")), &mut id)
        .expect("it says the box's id");
    let record = record::Record::load(id.trim()).expect("its box has a record");
    let cgroup = leader::cgroup(&record).expect("its box is up");
    clean::dead_owners().expect("the clean goes through");
    assert!(leader::find(&record).is_some(), "the box of a living run was removed");
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    clean::dead_owners().expect("the clean goes through");
    assert_eq!(traces(&record.folder(), record.number, &cgroup), Vec::<String>::new());
}
