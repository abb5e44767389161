//! Runs programs: each in its own process group, with a fixed environment, a time limit, and bounded output. One loop
//! over its streams and its pidfd (pidfd_open(2)): a daemon that inherited the streams can't make it wait.

use super::accounts::Accounts;
use super::capture::Capture;
use super::command::STATUS_FD;
use super::{Command, Error, Host, Output, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, pipe2};
use rustix::process::{PidfdFlags, pidfd_open};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where programs are looked up.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// How long the streams are read after the program ended, when something it started still holds them.
const GRACE: Duration = Duration::from_millis(200);
/// The time between SIGTERM and SIGKILL.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long the end is waited for after SIGKILL (a process that waits for a disk can't be killed).
const UNKILLABLE: Duration = Duration::from_secs(5);
/// How often, and how far apart, a program is tried that is just being written.
const BUSY_TRIES: usize = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(25);
/// How many of the last lines an error quotes.
const TAIL_LINES: usize = 15;

/// Held while a process is made: the umask belongs to the whole process, and the status pipe must not be inherited
/// by a program that another thread starts at that moment.
static SPAWNING: Mutex<()> = Mutex::new(());

/// Runs programs of the host under a root.
#[derive(Debug)]
pub(super) struct Runner {
    root: PathBuf,
}

impl Runner {
    /// For programs under `root`.
    pub fn new(root: PathBuf) -> Self {
        Runner { root }
    }

    fn is_machine(&self) -> bool {
        self.root == Path::new("/")
    }

    fn under_root(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The file of a program: only ever one under the root.
    pub fn locate(&self, program: &str) -> Option<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let runs = |path: &PathBuf| {
            std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        };
        if program.contains('/') {
            return Some(self.under_root(program)).filter(runs);
        }
        DIRECTORIES.iter().map(|dir| self.under_root(dir).join(program)).find(runs)
    }

    /// Runs it to its end. `on_line` gets the lines of the status pipe as they come.
    pub fn run(&self, host: &dyn Host, command: &Command, on_line: &mut dyn FnMut(&str)) -> Result<Output> {
        let io_error = |source: io::Error| Error::Io { act: "run", path: command.program.clone().into(), source };
        let (child, status) = self.start(host, command)?;
        let mut running = Running::new(child, command, status).map_err(io_error)?;
        let ended = running.watch(on_line).map_err(io_error)?;
        let Ended::Exited(code) = ended else {
            return Err(Error::TimedOut { command: command.shown(), seconds: command.timeout.as_secs() });
        };
        let output = Output { code, stdout: running.stdout.finish(), stderr: running.stderr.finish() };
        if command.accept.contains(&code) {
            return Ok(output);
        }
        Err(Error::Failed { command: command.shown(), code, tail: tail(command, &output) })
    }

    /// Starts it. A program that somebody has open to write (who puts it there at this moment) can't be run until that is
    /// over (execve(2), ETXTBSY).
    fn start(&self, host: &dyn Host, command: &Command) -> Result<(Child, Option<OwnedFd>)> {
        let mut tries = BUSY_TRIES;
        loop {
            match spawn(&mut self.prepare(host, command)?, command) {
                Err(e) if e.kind() == io::ErrorKind::ExecutableFileBusy && tries > 0 => {
                    tries -= 1;
                    host.pause(BUSY_PAUSE);
                }
                Err(source) => {
                    return Err(Error::Io { act: "run", path: command.program.clone().into(), source });
                }
                Ok(started) => return Ok(started),
            }
        }
    }

    fn prepare(&self, host: &dyn Host, command: &Command) -> Result<std::process::Command> {
        let missing = |name: &str| Error::NoProgram { program: name.to_owned() };
        let program = self.locate(&command.program).ok_or_else(|| missing(&command.program))?;
        let mut home = "/root".to_owned();
        let mut names = Vec::new();
        let mut prepared = match &command.user {
            None => std::process::Command::new(program),
            Some(name) => {
                let accounts = Accounts::read(host)?;
                let user = accounts.user(name).ok_or_else(|| Error::Unexpected {
                    path: "/etc/passwd".into(),
                    what: format!("has no user {name}"),
                })?;
                home.clone_from(&user.home);
                names = vec![("USER", name.clone()), ("LOGNAME", name.clone())];
                if self.is_machine() {
                    // Not runuser: that would start a PAM session, and depend on a configuration we may be mending.
                    let mut setpriv =
                        std::process::Command::new(self.locate("setpriv").ok_or_else(|| missing("setpriv"))?);
                    setpriv.arg(format!("--reuid={}", user.uid)).arg(format!("--regid={}", user.gid));
                    setpriv.args(["--init-groups", "--"]).arg(program);
                    setpriv
                } else {
                    // The users of a tree that stands for a machine don't exist here: its programs only get the names.
                    std::process::Command::new(program)
                }
            }
        };
        prepared.env_clear().envs(self.environment(&home)).envs(names);
        prepared.envs(command.env.iter().map(|(name, value)| (name, value)));
        let directory = command.directory.as_deref().unwrap_or(Path::new("/"));
        prepared.current_dir(self.under_root(&directory.to_string_lossy()));
        prepared.process_group(0);
        Ok(prepared)
    }

    /// The environment of every program. Under a fake root the machine's `/usr/bin` comes last in PATH, because the
    /// small scripts that stand for programs there need `cat` and `sed`.
    fn environment(&self, home: &str) -> Vec<(&'static str, String)> {
        let mut path: Vec<String> =
            DIRECTORIES.iter().map(|dir| self.under_root(dir).to_string_lossy().into_owned()).collect();
        let mut fixed = vec![
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("HOME", self.under_root(home).to_string_lossy().into_owned()),
            ("DEBIAN_FRONTEND", "noninteractive".to_owned()),
            ("TERM", "dumb".to_owned()),
            ("NEEDRESTART_SUSPEND", "1".to_owned()),
        ];
        if !self.is_machine() {
            path.extend(["/usr/bin".to_owned(), "/bin".to_owned()]);
            fixed.push(("VPS_ROOT", self.root.to_string_lossy().into_owned()));
        }
        fixed.push(("PATH", path.join(":")));
        fixed
    }
}

/// Starts it; the second part is our end of the status pipe, when its arguments ask for one.
fn spawn(prepared: &mut std::process::Command, command: &Command) -> io::Result<(Child, Option<OwnedFd>)> {
    prepared.stdin(if command.stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
    prepared.stdout(Stdio::piped()).stderr(Stdio::piped());
    let wants_status = command.args.iter().any(|arg| arg.contains(STATUS_FD));
    let status = if wants_status { Some(pipe2(OFlag::O_CLOEXEC)?) } else { None };
    let number = status.as_ref().map_or_else(String::new, |(_, theirs)| theirs.as_raw_fd().to_string());
    prepared.args(command.args.iter().map(|arg| arg.replace(STATUS_FD, &number)));

    let _alone = SPAWNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, theirs)) = &status {
        fcntl(theirs, FcntlArg::F_SETFD(FdFlag::empty()))?;
    }
    let before = umask(Mode::from_bits_truncate(0o022));
    let spawned = prepared.spawn();
    umask(before);
    // Closing their end belongs under the lock, too: it is inheritable until then.
    let ours = status.map(|(ours, theirs)| {
        drop(theirs);
        ours
    });
    Ok((spawned?, ours))
}

/// The last lines of what it wrote, for the error.
fn tail(command: &Command, output: &Output) -> String {
    if command.secret {
        return "(its output is not shown: it may hold a secret)".to_owned();
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let text = if errors.trim().is_empty() { String::from_utf8_lossy(&output.stdout) } else { errors };
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default().join("\n")
}

/// How the watch ended.
#[derive(Debug)]
enum Ended {
    Exited(i32),
    OutOfTime,
}

/// Where a program stands with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Terminated,
    Killed,
}

/// A program under way.
#[derive(Debug)]
struct Running<'a> {
    child: Child,
    pidfd: OwnedFd,
    stdin: &'a [u8],
    stdout: Capture,
    stderr: Capture,
    status: Option<OwnedFd>,
    status_line: Vec<u8>,
    deadline: Instant,
}

impl<'a> Running<'a> {
    fn new(mut child: Child, command: &'a Command, status: Option<OwnedFd>) -> io::Result<Self> {
        let pidfd = match pidfd_open(rustix::process::Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(e) => {
                child.kill()?;
                child.wait()?;
                return Err(e.into());
            }
        };
        if let Some(stdin) = &child.stdin {
            fcntl(stdin, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        let deadline = Instant::now() + command.timeout;
        let stdout = Capture::new(child.stdout.take().map(Into::into));
        let stderr = Capture::new(child.stderr.take().map(Into::into));
        Ok(Running { child, pidfd, stdin: &command.stdin, stdout, stderr, status, status_line: Vec::new(), deadline })
    }

    /// The process group: its number can't be given to others before the child was waited for.
    fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // ESRCH: none of the group is left, which is what the signal was for.
            let _gone = killpg(Pid::from_raw(pid), signal);
        }
    }

    fn watch(&mut self, on_line: &mut dyn FnMut(&str)) -> io::Result<Ended> {
        let mut phase = Phase::Running;
        let mut exited = false;
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                match phase {
                    Phase::Running if exited => break,
                    Phase::Running => {
                        self.signal(Signal::SIGTERM);
                        phase = Phase::Terminated;
                        self.deadline = Instant::now() + LAST_WORDS;
                    }
                    Phase::Terminated => {
                        self.signal(Signal::SIGKILL);
                        phase = Phase::Killed;
                        self.deadline = Instant::now() + if exited { GRACE } else { UNKILLABLE };
                    }
                    Phase::Killed => break,
                }
                continue;
            }
            if self.step(left, exited, on_line)? {
                exited = true;
                if phase != Phase::Terminated {
                    self.deadline = Instant::now() + GRACE;
                }
            }
            if exited && self.stdout.is_done() && self.stderr.is_done() && self.status.is_none() {
                break;
            }
        }
        if phase != Phase::Running {
            self.signal(Signal::SIGKILL);
            if exited {
                self.child.wait()?;
            }
            return Ok(Ended::OutOfTime);
        }
        self.flush_status(on_line);
        let status = self.child.wait()?;
        Ok(Ended::Exited(status.code().or_else(|| status.signal().map(|n| 128 + n)).unwrap_or(-1)))
    }

    /// Waits until something happens, or `left` is over, and deals with it. True when the program just ended.
    fn step(&mut self, left: Duration, exited: bool, on_line: &mut dyn FnMut(&str)) -> io::Result<bool> {
        let ready = self.wait(left, exited)?;
        for source in &ready {
            match source {
                Source::End => {}
                Source::Stdout => self.stdout.read()?,
                Source::Stderr => self.stderr.read()?,
                Source::Status => self.read_status(on_line)?,
                Source::Stdin => self.feed()?,
            }
        }
        Ok(ready.contains(&Source::End))
    }

    fn wait(&self, left: Duration, exited: bool) -> io::Result<Vec<Source>> {
        let (come, go) = (PollFlags::POLLIN, PollFlags::POLLOUT);
        let sources: Vec<(Source, BorrowedFd<'_>, PollFlags)> = [
            (Source::End, (!exited).then(|| self.pidfd.as_fd()), come),
            (Source::Stdout, self.stdout.fd.as_ref().map(AsFd::as_fd), come),
            (Source::Stderr, self.stderr.fd.as_ref().map(AsFd::as_fd), come),
            (Source::Status, self.status.as_ref().map(AsFd::as_fd), come),
            (Source::Stdin, self.child.stdin.as_ref().map(AsFd::as_fd), go),
        ]
        .into_iter()
        .filter_map(|(source, fd, events)| fd.map(|fd| (source, fd, events)))
        .collect();
        let mut waits: Vec<PollFd<'_>> = sources.iter().map(|(_, fd, events)| PollFd::new(*fd, *events)).collect();
        // One millisecond more: the time left rounds down, and a wait of 0 ms would spin.
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut waits, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
        }
        let happened = |wait: &PollFd<'_>| wait.any().unwrap_or(true);
        Ok(sources.iter().zip(&waits).filter(|(_, wait)| happened(wait)).map(|(source, _)| source.0).collect())
    }

    fn feed(&mut self) -> io::Result<()> {
        let Some(pipe) = &mut self.child.stdin else {
            return Ok(());
        };
        match pipe.write(self.stdin) {
            Ok(written) => self.stdin = self.stdin.get(written..).unwrap_or_default(),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // It doesn't want to read the rest: whether that is a failure, its exit code says.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => self.stdin = &[],
            Err(e) => return Err(e),
        }
        if self.stdin.is_empty() {
            self.child.stdin = None;
        }
        Ok(())
    }

    fn read_status(&mut self, on_line: &mut dyn FnMut(&str)) -> io::Result<()> {
        let Some(fd) = &self.status else {
            return Ok(());
        };
        let mut buffer = [0; 4096];
        match nix::unistd::read(fd, &mut buffer) {
            Ok(0) => self.status = None,
            Ok(n) => {
                self.status_line.extend_from_slice(buffer.get(..n).unwrap_or_default());
                while let Some(end) = self.status_line.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = self.status_line.drain(..=end).collect();
                    on_line(String::from_utf8_lossy(&line).trim_end_matches('\n'));
                }
            }
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        Ok(())
    }

    /// A last line without its end.
    fn flush_status(&mut self, on_line: &mut dyn FnMut(&str)) {
        if !self.status_line.is_empty() {
            on_line(&String::from_utf8_lossy(&std::mem::take(&mut self.status_line)));
        }
    }
}

/// What a program under way is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    End,
    Stdout,
    Stderr,
    Status,
    Stdin,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::capture::KEPT;
    use crate::host::real::RealHost;

    /// The machine itself: these tests run `sh` only.
    fn machine() -> RealHost {
        RealHost::new(PathBuf::from("/"))
    }

    fn sh(script: &str) -> Command {
        Command::new("sh").args(["-c", script])
    }

    #[test]
    fn a_program_runs_in_its_own_fixed_surroundings() {
        let host = machine();
        let out = host.look(&sh("env; pwd; umask").env("EXTRA", "yes")).unwrap().text();
        let mut lines: Vec<&str> = out.lines().filter(|l| !l.starts_with("PWD=") && !l.starts_with("_=")).collect();
        lines.sort_unstable();
        let wanted = [
            "/",
            "0022",
            "DEBIAN_FRONTEND=noninteractive",
            "EXTRA=yes",
            "HOME=/root",
            "LC_ALL=C.UTF-8",
            "NEEDRESTART_SUSPEND=1",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "TERM=dumb",
        ];
        assert_eq!(lines, wanted);
    }

    #[test]
    fn codes_signals_and_missing_programs_are_told_apart() {
        let host = machine();
        assert_eq!(host.look(&sh("exit 3").accept(&[0, 3])).unwrap().code, 3);
        assert_eq!(host.look(&sh("kill -9 $$").accept(&[137])).unwrap().code, 137);
        let failed = host.look(&sh("for i in $(seq 20); do echo line $i >&2; done; echo out; exit 4")).unwrap_err();
        let Error::Failed { code: 4, tail, .. } = failed else { panic!("{failed}") };
        assert_eq!((tail.lines().count(), tail.lines().next()), (15, Some("line 6")));
        let Error::Failed { tail, .. } = host.look(&sh("echo only out; exit 1")).unwrap_err() else { panic!() };
        assert_eq!(tail, "only out");
        let missing = host.look(&Command::new("no-such-program")).unwrap_err();
        assert!(matches!(missing, Error::NoProgram { .. }), "{missing}");
        assert!(host.has_program("sh") && host.has_program("/bin/sh") && !host.has_program("no-such-program"));
    }

    #[test]
    fn a_failure_with_a_secret_shows_none_of_it() {
        let mut command = sh("echo hunter2 >&2; exit 1; # hunter2").stdin("hunter2");
        command.secret = true;
        assert!(!machine().run(&command).unwrap_err().to_string().contains("hunter2"));
    }

    #[test]
    fn a_program_that_ignores_sigterm_is_killed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let pids = dir.path().join("pids");
        let script = format!("trap '' TERM; (trap '' TERM; sleep 60) & echo $$ $! > {}; sleep 61", pids.display());
        let begun = Instant::now();
        let end = machine().run(&sh(&script).timeout(Duration::from_millis(300))).unwrap_err();
        assert!(matches!(end, Error::TimedOut { .. }), "{end}");
        let took = begun.elapsed();
        assert!(took > Duration::from_secs(2) && took < Duration::from_secs(6), "{took:?}");
        std::thread::sleep(Duration::from_millis(100));
        for pid in std::fs::read_to_string(pids).unwrap().split_whitespace() {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            assert!(state.is_empty() || state.contains(") Z "), "{pid} lives: {state}");
        }
    }

    #[test]
    fn a_program_that_obeys_sigterm_is_not_waited_for_any_longer() {
        let begun = Instant::now();
        let end = machine().run(&sh("exec sleep 60").timeout(Duration::from_millis(100))).unwrap_err();
        assert!(matches!(end, Error::TimedOut { .. }), "{end}");
        assert!(begun.elapsed() < Duration::from_millis(1900), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_daemon_that_keeps_the_streams_is_not_waited_for() {
        let begun = Instant::now();
        let out = machine().run(&sh("sleep 4 & echo started")).unwrap();
        assert_eq!(out.text(), "started\n");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }

    #[test]
    fn ten_megabytes_on_both_streams_are_read_and_the_middle_is_left_out() {
        let script = "(echo first; head -c 10000000 /dev/zero; echo last) | tee /dev/stderr";
        let out = machine().run(&sh(script)).unwrap();
        for stream in [&out.stdout, &out.stderr] {
            assert!(stream.len() > KEPT && stream.len() < KEPT + 100, "{}", stream.len());
            assert!(stream.starts_with(b"first\n") && stream.ends_with(b"last\n"));
            let note = format!("[... {} bytes left out ...]", 10_000_000 + 11 - KEPT);
            assert!(String::from_utf8_lossy(stream).contains(&note));
        }
    }

    #[test]
    fn a_program_that_is_just_being_written_is_run_once_it_is_whole() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        std::fs::write(&path, "#!/bin/sh\necho \"$@\"\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let writing = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        let command = Command::new(path.to_string_lossy()).arg("whole");
        assert!(matches!(machine().look(&command), Err(Error::Io { .. })), "never as long as it is written");
        let out = std::thread::scope(|scope| {
            let running = scope.spawn(|| machine().look(&command).unwrap().text());
            std::thread::sleep(Duration::from_millis(60));
            drop(writing);
            running.join().unwrap()
        });
        assert_eq!(out, "whole\n");
    }

    #[test]
    fn input_larger_than_a_pipe_goes_in_while_output_comes_out() {
        let input = vec![b'x'; 3_000_000];
        let out = machine().run(&Command::new("cat").stdin(input.clone())).unwrap();
        assert!(out.stdout == input);
        machine().run(&Command::new("true").stdin(input)).unwrap();
    }

    #[test]
    fn status_lines_arrive_while_the_program_runs() {
        let script = "echo one >&$0; sleep 0.5; printf 'two\nthree' >&$0; sleep 0.3";
        let begun = Instant::now();
        let mut lines = Vec::new();
        let command = Command::new("bash").args(["-c", script, STATUS_FD]);
        machine().run_watched(&command, &mut |line| lines.push((line.to_owned(), begun.elapsed()))).unwrap();
        let words: Vec<&str> = lines.iter().map(|(line, _)| line.as_str()).collect();
        assert_eq!(words, ["one", "two", "three"]);
        let gap = lines[1].1 - lines[0].1;
        assert!(gap > Duration::from_millis(300), "{gap:?}");
    }

    #[test]
    fn the_status_pipe_is_not_inherited_by_programs_of_other_threads() {
        let open = || machine().look(&Command::new("ls").arg("/proc/self/fd")).unwrap().text();
        // Whoever started the tests may have left descriptors open, too.
        let usual = open();
        std::thread::scope(|scope| {
            let watching = scope.spawn(|| {
                for _ in 0..150 {
                    machine().run_watched(&Command::new("true").arg(STATUS_FD), &mut |_| ()).unwrap();
                }
            });
            let mut looks = 0;
            while !watching.is_finished() {
                assert_eq!(open(), usual);
                looks += 1;
            }
            assert!(looks > 10, "{looks}");
            watching.join().unwrap();
        });
    }

    #[test]
    fn under_a_fake_root_only_its_own_programs_are_found() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("usr/bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir_all(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/passwd"), "mia:x:1000:1000::/home/mia:/bin/bash\n").unwrap();
        std::fs::write(bin.join("apt-get"), "#!/bin/sh\necho fake $VPS_ROOT $USER $HOME\n").unwrap();
        std::fs::set_permissions(bin.join("apt-get"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let host = RealHost::new(dir.path().into());
        let mut command = Command::new("apt-get");
        command.user = Some("mia".to_owned());
        let root = dir.path().display();
        assert_eq!(host.run(&command).unwrap().text(), format!("fake {root} mia {root}/home/mia\n"));
        assert!(host.has_program("apt-get") && host.has_program("/usr/bin/apt-get"));
        assert!(!host.has_program("sh") && !host.has_program("/bin/sh") && !host.has_program("systemctl"));
        command.user = Some("nobody-here".to_owned());
        assert!(matches!(host.run(&command), Err(Error::Unexpected { .. })));
    }

    #[test]
    fn a_user_gets_their_own_groups_and_home() {
        let host = machine();
        if !nix::unistd::geteuid().is_root() || !host.has_program("setpriv") {
            eprintln!("skipped: running as another user needs root and setpriv");
            return;
        }
        let mut command = sh("id -un; id -G; echo $HOME $USER $LOGNAME");
        command.user = Some("daemon".to_owned());
        let accounts = Accounts::read(&host).unwrap();
        let daemon = accounts.user("daemon").unwrap();
        let wanted = format!("daemon\n{}\n{} daemon daemon\n", daemon.gid, daemon.home);
        assert_eq!(host.look(&command).unwrap().text(), wanted);
    }
}
