//! Runs commands in a box.

use super::Trouble;
use super::leader;
use super::record::Record;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How a command of the box ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its exit code; 128 + n if signal n ended it, as a shell has it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    pub fn success(&self) -> bool {
        self.code == 0
    }
}

/// Joins the box's init scope before it enters, so that the box's systemd finds the process where it knows it; a
/// failure of that isn't worth a word.
const ENTER: &str = r#"echo $$ >"$0" 2>/dev/null; exec setpriv "$@""#;

/// What setpriv must drop so that a command may do no more than the box's process 1. nsenter changes namespaces only:
/// without this, root "in the box" would still be root of this machine, and `date -s` would move everyone's clock.
fn dropped_capabilities(leader: i32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{leader}/status")).unwrap_or_default();
    let bounds = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap_or_default();
    // Unreadable (it just died): nothing is allowed.
    let allowed = u64::from_str_radix(bounds.trim(), 16).unwrap_or(0);
    let known = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap_or_default();
    let last: u32 = known.trim().parse().unwrap_or(40);
    let dropped: Vec<String> =
        (0..=last).filter(|number| allowed >> number & 1 == 0).map(|number| format!("-cap_{number}")).collect();
    dropped.join(",")
}

/// The command that runs `argv` in the box, as root with the environment of a fresh root login.
pub fn command(record: &Record, leader: i32, argv: &[&str]) -> Command {
    let scope = leader::cgroup(record)
        .map(|path| path.join("box/payload/init.scope/cgroup.procs"))
        .filter(|path| path.exists())
        .unwrap_or_else(|| Path::new("/dev/null").to_path_buf());
    let terminal = std::env::var("TERM").unwrap_or_else(|_| "dumb".into());
    let mut command = Command::new("sh");
    command
        .args(["-c", ENTER])
        .arg(scope)
        .arg(format!("--bounding-set={}", dropped_capabilities(leader)))
        .args(["--inh-caps=-all", "--ambient-caps=-all", "nsenter"])
        .arg(format!("--target={leader}"))
        .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"])
        .args(["env", "-i", "-C", "/root", "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/bash"])
        .arg(format!("TERM={terminal}"))
        .arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .args(argv);
    command
}

/// The box's process 1, or the sentence saying that it isn't up.
pub fn leader_of(record: &Record) -> Result<i32, Trouble> {
    leader::find(record).ok_or_else(|| format!("box {} is not running (see: up {})", record.id, record.id))
}

/// Runs `argv` to its end, feeding it `input`, at most for `limit`.
pub fn run(record: &Record, argv: &[&str], input: &[u8], limit: Duration) -> Result<Output, Trouble> {
    let leader = leader_of(record)?;
    output_of(command(record, leader, argv), input, limit)
        .map_err(|why| format!("{} in box {}: {why}", argv.join(" "), record.id))
}

/// Runs a command to its end, feeding it `input`, at most for `limit`.
pub fn output_of(command: Command, input: &[u8], limit: Duration) -> Result<Output, Trouble> {
    let (status, stdout, stderr) = collect(command, input, limit)?;
    Ok(Output {
        code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    })
}

/// Like `run`, for a box that may be half up: what it printed, or nothing.
pub fn quick(record: &Record, leader: i32, argv: &[&str]) -> Option<String> {
    collect(command(record, leader, argv), b"", Duration::from_secs(60))
        .ok()
        .map(|(_, stdout, _)| String::from_utf8_lossy(&stdout).into_owned())
}

/// Not `Command::output`: that waits for the pipes to close, and a daemon started by the command keeps them open.
pub fn collect(mut command: Command, input: &[u8], limit: Duration) -> Result<(ExitStatus, Vec<u8>, Vec<u8>), Trouble> {
    let mut child = command
        .process_group(0)
        .stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start: {error}"))?;
    if let Some(mut pipe) = child.stdin.take() {
        let input = input.to_vec();
        // A command that doesn't read all of it is no fault of ours.
        std::thread::spawn(move || pipe.write_all(&input));
    }
    let stdout = Drain::start(child.stdout.take());
    let stderr = Drain::start(child.stderr.take());
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|error| format!("cannot wait: {error}"))? {
            break status;
        }
        if Instant::now() > end {
            let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
            let _ = child.wait();
            return Err(format!(
                "not done after {} s; it said:\n{}{}",
                limit.as_secs(),
                String::from_utf8_lossy(&stdout.take()),
                String::from_utf8_lossy(&stderr.take())
            ));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    Ok((status, stdout.take(), stderr.take()))
}

/// Reads a pipe on a thread of its own.
struct Drain {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drain {
    fn start(pipe: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        let thread = pipe.map(|mut pipe| {
            std::thread::spawn(move || {
                let mut buffer = [0; 65536];
                while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                    sink.lock().expect("no reader panics").extend_from_slice(&buffer[..count]);
                }
            })
        });
        Drain { bytes, thread }
    }

    /// What came so far: all of it, unless a daemon still holds the pipe after a moment of grace.
    fn take(&self) -> Vec<u8> {
        let end = Instant::now() + Duration::from_millis(500);
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::mem::take(&mut *self.bytes.lock().expect("no reader panics"))
    }
}

/// Becomes the command: a developer's `run` has its own terminal, signals and exit code.
pub fn become_command(record: &Record, argv: &[&str]) -> Trouble {
    match leader_of(record) {
        Ok(leader) => format!("cannot run nsenter: {}", command(record, leader, argv).exec()),
        Err(why) => why,
    }
}
