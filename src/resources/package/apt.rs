//! Running apt-get: in a unit of its own, so that it outlives us; with progress.
//!
//! A configurator that is killed while its own child unpacks packages leaves dpkg half-way. So on a host with systemd,
//! apt-get runs in the transient unit [`UNIT`], started by systemd itself and writing to a file, not to a pipe of ours:
//! whoever kills us doesn't kill it, and the next start *adopts* it, which means: waits until it is done. On a host
//! without systemd (a fake root, a chroot) it is our child, and [`heal`](super::health::heal) mends what a kill leaves.

use super::locks::stopped;
use crate::base::paths;
use crate::engine::{Error, Event, Patience, Progress, Result};
use crate::host::machine::is_booted;
use crate::host::{Attributes, Command, Host, Output, read_if_there};
use crate::resources::preimage::make_parents;
use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The unit that apt-get runs in.
pub const UNIT: &str = "vps-configurator-apt";
/// What one transaction may take.
pub const TRANSACTION_TIME: Duration = Duration::from_secs(4 * 3600);
/// What apt starts before it installs (apt.conf(5)).
const HOOKS: &str = "DPkg::Pre-Install-Pkgs";
/// What apt makes of its lists and dpkg's database, as fast as it can be made anew (apt.conf(5), Dir::Cache).
const CACHES: [&str; 2] = ["/var/cache/apt/pkgcache.bin", "/var/cache/apt/srcpkgcache.bin"];
/// The signals by which a program ends that has a fault.
const CRASHES: [Signal; 5] = [Signal::SIGABRT, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGSEGV];
/// How a status line about fetching begins.
const FETCHING: &str = "dlstatus:";
/// How one begins that is about a package which dpkg works on.
const AT_PACKAGES: &str = "pmstatus:";
/// The code of systemd-run for a unit that a signal ended.
const BY_SIGNAL: i32 = 255;
/// How often the unit's output is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Options of every call that changes packages: nothing is asked; changed configuration stays as it is.
const OPTIONS: [&str; 16] = [
    "-y",
    "-q",
    "--no-install-recommends",
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confold",
    "-o",
    "Dpkg::Use-Pty=0",
    "-o",
    "DPkg::Lock::Timeout=120",
    "-o",
    "APT::Get::AutomaticRemove=false",
    "-o",
    "Acquire::Retries=2",
    "-o",
];

/// Which part of a step one call of apt-get is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Part {
    /// Bytes that it has to fetch, where that is known.
    pub bytes: Option<u64>,
    /// How much of the step is done before it, and after it: 0 to 1.
    pub span: Option<(f64, f64)>,
}

/// Runs `apt-get` with `args` and one more `variable` of the environment, telling how far it is. Returns its code, 128 + n
/// where signal n ended it, and what it wrote, whatever the code.
pub fn run(
    host: &dyn Host,
    progress: &dyn Progress,
    variable: Option<(&str, String)>,
    args: &[String],
) -> Result<Output> {
    run_part(host, progress, variable, args, Part::default())
}

/// The same, for a step of which this is a part.
pub fn run_part(
    host: &dyn Host,
    progress: &dyn Progress,
    variable: Option<(&str, String)>,
    args: &[String],
    part: Part,
) -> Result<Output> {
    let args = &[without_preconfiguring(host)?, args.to_vec()].concat();
    let mut has_begun = false;
    let mut on_line = |line: &str| {
        has_begun |= line.contains(AT_PACKAGES);
        tell(progress, line, part);
    };
    let first = run_once(host, variable.clone(), args, &mut on_line)?;
    if has_begun || !has_crashed(&first) {
        return Ok(first);
    }
    // What it computed of the lists, and keeps, may be what it stumbles over.
    for cache in CACHES {
        host.remove(Path::new(cache))?;
    }
    progress.tell(&Event::Note { line: "apt-get crashed before it had begun: once more, with its caches made anew" });
    run_once(host, variable, args, &mut |line| tell(progress, line, part))
}

fn run_once(
    host: &dyn Host,
    variable: Option<(&str, String)>,
    args: &[String],
    on_line: &mut dyn FnMut(&str),
) -> Result<Output> {
    let mut output = if is_booted(host)? && host.has_program("systemd-run") {
        run_in_unit(host, variable, args, on_line)?
    } else {
        let codes: Vec<i32> = [0, 1, 100].into_iter().chain(129..160).collect();
        let command = apt_get("{status_fd}").args(args.iter().cloned()).accept(&codes).timeout(TRANSACTION_TIME);
        let command = variable.into_iter().fold(command, |command, (name, value)| command.env(name, &value));
        host.run_watched(&command, on_line)?
    };
    if let Some(signal) = signal_of(&output) {
        let name = Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |signal| signal.to_string());
        output.stderr.extend(format!("\napt-get was ended by {name}\n").bytes());
    }
    Ok(output)
}

/// The signal that ended it. dpkg, which it had started, may still be at work then.
pub fn signal_of(output: &Output) -> Option<i32> {
    output.code.checked_sub(128).filter(|number| *number > 0)
}

/// Whether it fell over a fault of its own.
fn has_crashed(output: &Output) -> bool {
    signal_of(output).is_some_and(|number| CRASHES.iter().any(|crash| *crash as i32 == number))
}

fn apt_get(status_fd: &str) -> Command {
    let options = OPTIONS.iter().map(|o| (*o).to_owned());
    Command::new("apt-get").args(options).arg(format!("APT::Status-Fd={status_fd}"))
}

/// Options that keep dpkg-preconfigure(8) away, where apt would start it: it has the packages' questions asked before
/// they are unpacked, by a Perl that looks into each archive. Nobody answers here, and each package has them asked once
/// more when it is configured, as it must on a host without apt-utils (debconf-devel(7)). Other hooks stay.
fn without_preconfiguring(host: &dyn Host) -> Result<Vec<String>> {
    // What is wrong with apt's configuration apt-get says itself.
    let dumped = host.look(&Command::new("apt-config").args(["dump", HOOKS])).map(|output| output.text());
    let Some(configuration) = hooks_but_preconfigure(&dumped.unwrap_or_default()) else { return Ok(Vec::new()) };
    make_parents(host, Path::new(paths::APT_HOOKS))?;
    host.write(Path::new(paths::APT_HOOKS), configuration.as_bytes(), &Attributes::root(0o644))?;
    Ok(vec!["-c".to_owned(), paths::APT_HOOKS.to_owned()])
}

/// Configuration for apt that puts other hooks in the place of `dumped`, the lines of `apt-config dump`; `None` where
/// debconf's isn't among them. A list can only be cleared by a file: options add to it.
fn hooks_but_preconfigure(dumped: &str) -> Option<String> {
    let is_debconf = |line: &&str| line.contains("dpkg-preconfigure");
    dumped.lines().find(is_debconf)?;
    let kept = dumped.lines().filter(|line| !is_debconf(line)).map(|line| format!("{line}\n"));
    Some(std::iter::once(format!("#clear {HOOKS};\n")).chain(kept).collect())
}

fn run_in_unit(
    host: &dyn Host,
    variable: Option<(&str, String)>,
    args: &[String],
    on_line: &mut dyn FnMut(&str),
) -> Result<Output> {
    make_parents(host, Path::new(paths::APT_LOG))?;
    host.write(Path::new(paths::APT_LOG), b"", &Attributes::root(0o644))?;
    let mut command = Command::new("systemd-run").args(["--wait", "--collect", "--service-type=exec"]);
    command = command.arg(format!("--unit={UNIT}")).arg("--description=Packages for vps-configurator");
    for stream in ["StandardOutput", "StandardError"] {
        command = command.arg(format!("--property={stream}=append:{}", paths::APT_LOG));
    }
    // apt closes its status descriptor for dpkg and everything below. It must not be the standard output: maintainer
    // scripts that say a word would fail (ca-certificates-java does), or write into a file that dpkg opened as number 1.
    command = command.arg(format!("--property=OpenFile={}:status:append", paths::APT_LOG));
    let environment = [
        "DEBIAN_FRONTEND=noninteractive",
        "LC_ALL=C.UTF-8",
        "HOME=/root",
        "TERM=dumb",
        "NEEDRESTART_SUSPEND=1",
        "APT_LISTCHANGES_FRONTEND=none",
        "UCF_FORCE_CONFFOLD=1",
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    ];
    command = command.args(environment.iter().map(|e| format!("--setenv={e}")));
    command = command.args(variable.map(|(name, value)| format!("--setenv={name}={value}")));
    let apt_get = apt_get("3");
    command = command.arg("--").arg(apt_get.program).args(apt_get.args).args(args.iter().cloned());
    // A refusal of systemd-run itself (1) is not to be taken for one of apt-get: the log is then empty.
    command = command.accept(&[0, 1, 100, BY_SIGNAL]).timeout(TRANSACTION_TIME);
    let done = AtomicBool::new(false);
    let mut follow = Follow::default();
    let output = std::thread::scope(|scope| {
        let runner = scope.spawn(|| {
            let output = host.run(&command);
            done.store(true, Ordering::Release);
            output
        });
        while !done.load(Ordering::Acquire) {
            host.pause(LOOK);
            follow.tell_new(host, on_line)?;
        }
        let output = runner.join().map_err(|_| {
            Error::refused("package-failed", "cannot run apt-get", "the thread that waited for it broke down")
        })?;
        Ok::<Output, Error>(output?)
    })?;
    let text = follow.tell_new(host, on_line)?;
    if let Some(signal) = ending_signal(&String::from_utf8_lossy(&output.stderr)) {
        return Ok(Output { code: 128 + signal, stdout: text, stderr: Vec::new() });
    }
    if text.is_empty() && output.code != 0 {
        return Ok(output);
    }
    // The rest of what systemd-run says is about the unit.
    Ok(Output { code: output.code, stdout: text, stderr: Vec::new() })
}

/// The signal that ended the unit, in the words of systemd-run: `Main processes terminated with: code=killed,
/// status=11/SEGV`. One of those that end services in the ordinary way, SIGTERM, is no failure to it.
fn ending_signal(words: &str) -> Option<i32> {
    let (_, ending) = words.split_once("Main processes terminated with: code=")?;
    let number = ["killed, status=", "dumped, status="].iter().find_map(|how| ending.strip_prefix(how))?;
    number.split('/').next()?.parse().ok()
}

/// Follows the file that the unit writes.
#[derive(Debug, Default)]
struct Follow {
    told: usize,
}

impl Follow {
    /// Tells the lines that are new and whole; returns all there is.
    fn tell_new(&mut self, host: &dyn Host, on_line: &mut dyn FnMut(&str)) -> Result<Vec<u8>> {
        let path = Path::new(paths::APT_LOG);
        let is_longer = host.meta(path)?.is_some_and(|m| m.size > self.told as u64);
        let all = read_if_there(host, path)?.filter(|_| is_longer || self.told > 0).unwrap_or_default();
        let new = all.get(self.told..).unwrap_or_default();
        let whole = new.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        for line in String::from_utf8_lossy(new.get(..whole).unwrap_or_default()).lines() {
            on_line(line);
        }
        self.told += whole;
        Ok(all)
    }
}

/// A line of apt's status (README.progress-reporting of apt): `dlstatus:1:12.5:Retrieving file 1 of 8`,
/// `pmstatus:jq:40.0:Unpacking jq (amd64)`; what it says and how far it is with that.
fn status(line: &str) -> Option<(&str, Option<f64>)> {
    let at = line.find(AT_PACKAGES).or_else(|| line.find(FETCHING))?;
    let mut fields = line.get(at..)?.splitn(4, ':');
    // A package's name may carry its architecture: `pmstatus:libc6:amd64:40.0:text`.
    let (_, _, third, rest) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    match third.parse() {
        Ok(percent) => Some((rest, Some(percent))),
        Err(_) => {
            let (percent, text) = rest.split_once(':')?;
            Some((text, percent.parse().ok()))
        }
    }
}

fn tell(progress: &dyn Progress, line: &str, part: Part) {
    let Some((what, percent)) = status(line) else { return };
    let bytes = part.bytes.filter(|_| line.contains(FETCHING));
    // What is fetched is not installed yet.
    let share = if line.contains(FETCHING) { 0.0 } else { percent.unwrap_or(0.0) / 100.0 };
    let done = part.span.map(|(from, to)| from + (to - from) * share);
    progress.tell(&Event::Within { what, percent, bytes, done });
}

/// Waits for an apt-get that an earlier, killed run of ours started and that still works, to its end, or until somebody
/// asks to stop. Returns whether there was one.
pub fn adopt(host: &dyn Host, progress: &dyn Progress, patience: Patience<'_>) -> Result<bool> {
    // While a unit runs it has a control group: looking for that costs no process.
    let group = PathBuf::from(format!("/sys/fs/cgroup/system.slice/{UNIT}.service"));
    let mut follow = Follow::default();
    let mut waited = false;
    while host.meta(&group)?.is_some() {
        if !waited {
            progress
                .tell(&Event::Waiting { what: "for the packages of an earlier run, which are still being installed" });
        }
        waited = true;
        if patience.is_over() {
            return Err(stopped("the packages of an earlier run are still being installed"));
        }
        host.pause(LOOK);
        follow.tell_new(host, &mut |line| tell(progress, line, Part::default()))?;
    }
    Ok(waited)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Silent;
    use crate::resources::bench::Bench;

    #[test]
    fn of_the_hooks_only_that_of_debconf_goes() {
        let debconf =
            "DPkg::Pre-Install-Pkgs \"\";\nDPkg::Pre-Install-Pkgs:: \"/usr/sbin/dpkg-preconfigure --apt || true\";\n";
        let own = "DPkg::Pre-Install-Pkgs:: \"/usr/bin/apt-listchanges --apt || test $? -lt 10\";\n";
        let rest = "#clear DPkg::Pre-Install-Pkgs;\nDPkg::Pre-Install-Pkgs \"\";\n";
        assert_eq!(hooks_but_preconfigure(debconf).as_deref(), Some(rest));
        assert_eq!(hooks_but_preconfigure(&format!("{debconf}{own}")), Some(format!("{rest}{own}")));
        assert_eq!(hooks_but_preconfigure(own), None);
        assert_eq!(hooks_but_preconfigure(""), None);
    }

    #[test]
    fn the_signal_that_ended_the_unit_is_read_from_the_words_of_systemd_run() {
        let words = |result: &str, how: &str| {
            format!(
                "Running as unit: x.service\nFinished with result: {result}\nMain processes terminated with: code={how}\nService runtime: 6ms\n"
            )
        };
        assert_eq!(ending_signal(&words("signal", "killed, status=11/SEGV")), Some(11));
        assert_eq!(ending_signal(&words("core-dump", "dumped, status=6/ABRT")), Some(6));
        assert_eq!(ending_signal(&words("success", "killed, status=15/TERM")), Some(15));
        assert_eq!(ending_signal(&words("exit-code", "exited, status=100/n/a")), None);
        assert_eq!(ending_signal("Failed to start transient service unit\n"), None);
    }

    /// How apt-get ends that crashes once with `signal`, after it wrote the line `before` to its status.
    fn crashing(signal: &str, before: &str) -> (Bench, Output) {
        let bench = Bench::new();
        bench.put(CACHES[0], "spoilt");
        bench.program(
            "apt-get",
            &format!(
                "fd=$(echo \"$*\" | sed 's/.*Status-Fd=\\([0-9]*\\).*/\\1/')\n\
                 if [ ! -e $VPS_ROOT/run/crashed ]; then : > $VPS_ROOT/run/crashed; \
                 echo '{before}' >> /proc/self/fd/$fd; kill -{signal} $$; fi; echo fine"
            ),
        );
        let output = run(bench.host(), &Silent, None, &["install".to_owned()]).unwrap();
        (bench, output)
    }

    #[test]
    fn an_apt_get_that_crashes_before_it_came_to_packages_is_run_once_more_without_its_caches() {
        let (bench, output) = crashing("SEGV", "dlstatus:1:50:Retrieving file 1 of 2");
        assert_eq!((output.code, output.text().trim()), (0, "fine"));
        assert!(!bench.at(CACHES[0]).exists());
    }

    #[test]
    fn an_apt_get_that_crashes_at_packages_or_that_somebody_ends_is_a_failure_that_names_the_signal() {
        for (signal, before, code) in [("SEGV", "pmstatus:jq:40:Unpacking jq", 139), ("TERM", "", 143)] {
            let (bench, output) = crashing(signal, before);
            assert_eq!(output.code, code);
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(words.contains(&format!("apt-get was ended by SIG{signal}")), "{words}");
            assert!(bench.at(CACHES[0]).exists());
        }
    }

    #[test]
    fn status_lines_are_read_with_and_without_an_architecture_in_the_name() {
        assert_eq!(status("dlstatus:1:12.5:Retrieving file 1 of 8"), Some(("Retrieving file 1 of 8", Some(12.5))));
        assert_eq!(status("pmstatus:jq:40.0000:Unpacking jq (amd64)"), Some(("Unpacking jq (amd64)", Some(40.0))));
        assert_eq!(status("pmstatus:libc6:amd64:40.0:Preparing: libc6"), Some(("Preparing: libc6", Some(40.0))));
        assert_eq!(status("half a line pmstatus:jq:1:x"), Some(("x", Some(1.0))));
        assert_eq!(status("Setting up jq"), None);
    }
}
