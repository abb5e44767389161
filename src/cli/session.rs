//! One run of the program: the host, who asks, the lock, the journal.

use super::Environment;
use super::args::Global;
use super::debris;
use super::exit::Exit;
use super::explain::{BEGUN, Problem, UNTOUCHED};
use super::output::Output;
use crate::base::paths;
use crate::engine::{Patience, Progress, Undoers, Works};
use crate::host::actor::Actor;
use crate::host::login::{self, Login};
use crate::host::machine::OsRelease;
use crate::host::{self, Guard, Host};
use crate::journal::{Journal, Watch};
use crate::observe::health;
use crate::resources::package::{self, LOCK_WAIT};
use crate::resources::{self, Units};
use serde_json::Value;
use std::cell::RefCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The lock of changing runs, until it is let go.
pub type Held = RefCell<Option<Box<dyn Guard>>>;

/// What a run works on.
#[derive(Debug, Clone)]
pub struct Site<'a> {
    /// The machine.
    pub host: &'a dyn Host,
    /// Who sees each write of the journal coming: nobody but the crash suite.
    pub watch: Option<Arc<dyn Watch>>,
}

impl<'a> Site<'a> {
    /// This host, and nobody who watches.
    pub fn new(host: &'a dyn Host) -> Self {
        Site { host, watch: None }
    }
}

/// One run.
#[derive(Debug)]
pub struct Session<'a> {
    /// The machine.
    pub host: &'a dyn Host,
    /// The environment that the program was given.
    pub environment: &'a Environment,
    /// Where words go.
    pub output: &'a Output,
    /// The command's name.
    pub command: String,
    /// The command line, for the records.
    line: String,
    root: PathBuf,
    watch: Option<Arc<dyn Watch>>,
    undoers: Undoers,
    units: Units,
    begun: AtomicBool,
    actor: OnceLock<Value>,
}

impl<'a> Session<'a> {
    /// A run of `command` on the host whose files are where the flags say.
    pub fn new(
        site: &Site<'a>,
        global: &Global,
        command: &str,
        line: &str,
        environment: &'a Environment,
        output: &'a Output,
    ) -> Self {
        Session {
            host: site.host,
            watch: site.watch.clone(),
            environment,
            output,
            command: command.to_owned(),
            line: line.to_owned(),
            root: global.root.clone(),
            undoers: resources::undoers(),
            units: Units,
            begun: AtomicBool::new(false),
            actor: OnceLock::new(),
        }
    }

    /// From now on the host is no longer as this run found it, whatever fails.
    pub fn begin_changes(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    /// Whether the host is no longer as this run found it.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// The problem, which doesn't say that nothing was changed when something was.
    pub fn in_truth(&self, problem: Problem) -> Problem {
        match problem.state == UNTOUCHED && self.begun.load(Ordering::Relaxed) {
            true => problem.state(BEGUN),
            false => problem,
        }
    }

    /// The same run on a host that stands before this one.
    pub fn on<'b>(&'b self, host: &'b dyn Host) -> Session<'b> {
        Session {
            host,
            watch: self.watch.clone(),
            environment: self.environment,
            output: self.output,
            command: self.command.clone(),
            line: self.line.clone(),
            root: self.root.clone(),
            undoers: resources::undoers(),
            units: Units,
            begun: AtomicBool::new(self.begun.load(Ordering::SeqCst)),
            actor: self.actor.clone(),
        }
    }

    /// The command line, as it may be shown: without the values of `--set`, and without passwords in addresses.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Whether this is the machine itself, not a tree that stands for it.
    pub fn is_real(&self) -> bool {
        self.root == Path::new("/")
    }

    /// A path of the host in the real file system.
    pub fn real(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Refuses anybody but root, on the machine itself.
    pub fn require_root(&self) -> Result<(), Problem> {
        if self.is_real() && !nix::unistd::geteuid().is_root() {
            return Err(Problem::new(
                Exit::NeedsRoot,
                "needs-root",
                format!("cannot run vps-configurator {}", self.command),
                "it changes or reads what only root may",
            )
            .fix("the same command with sudo before it"));
        }
        Ok(())
    }

    /// Refuses a system that is not Debian 13.
    pub fn require_debian_13(&self) -> Result<(), Problem> {
        let Some(why) = health::unsupported(&OsRelease::read(self.host)?) else { return Ok(()) };
        Err(Problem::new(Exit::Failed, "system-unsupported", "this system is not supported", why)
            .fix("use a server with Debian 13"))
    }

    /// Refuses a host whose file systems are read-only, before a package or a file is half changed.
    pub fn require_writable(&self) -> Result<(), Problem> {
        for path in ["/etc", "/usr", "/var/lib", "/var/cache"] {
            if self.host.space(Path::new(path))?.read_only {
                let what = "cannot change this host";
                return Err(Problem::new(Exit::Failed, "read-only", what, format!("{path} is mounted read-only"))
                    .fix(format!("mount -o remount,rw {path}, or look why it is not writable: dmesg")));
            }
        }
        Ok(())
    }

    /// Takes the lock of changing runs, and sweeps away what a killed one left of its own.
    pub fn lock(&self) -> Result<Box<dyn Guard>, Problem> {
        let guard = self.hold()?;
        debris::sweep(self.host);
        if let Err(error) = Journal::sweep(&self.real(paths::STATE)) {
            tracing::warn!("what an earlier run left in the object store stays: {error}");
        }
        if let Err(error) = package::sweep(self.host, || self.is_cut_off()) {
            tracing::warn!("what an undo that does not go on needed stays: {error}");
        }
        Ok(guard)
    }

    /// Whether a run that is not over stands in the journal, or that cannot be told.
    fn is_cut_off(&self) -> bool {
        let running = |journal: Journal| journal.running().map_or(true, |running| !running.is_empty());
        self.journal_to_read().map_or(true, |journal| journal.is_some_and(running))
    }

    /// Refuses while another run changes the host: what is seen then is half of what that run makes.
    pub fn require_quiet(&self) -> Result<(), Problem> {
        drop(self.hold()?);
        Ok(())
    }

    /// Who changes the host right now, if anybody does: its process, what it runs, since when. Where no lock can be
    /// taken nobody does.
    pub fn who_changes(&self) -> Option<String> {
        match self.hold() {
            Err(host::Error::Locked { holder, .. }) => Some(holder),
            _ => None,
        }
    }

    /// The lock, as soon as it is free. Who only looks whether somebody has it, like the drift timer's `verify`, has it for
    /// an instant: nobody is turned away for that.
    fn hold(&self) -> host::Result<Box<dyn Guard>> {
        let note = format!("vps-configurator {}", self.command);
        for _ in 0..20 {
            match self.host.lock(Path::new(paths::LOCK), &note) {
                Err(host::Error::Locked { .. }) => self.host.pause(Duration::from_millis(25)),
                taken => return taken,
            }
        }
        self.host.lock(Path::new(paths::LOCK), &note)
    }

    /// The journal, made when it isn't there.
    pub fn journal(&self) -> Result<Journal, Problem> {
        Ok(Journal::open_watched(&self.real(paths::STATE), self.watch.clone())?)
    }

    /// The journal, when there is one.
    pub fn journal_to_read(&self) -> Result<Option<Journal>, Problem> {
        Ok(Journal::open_to_read(&self.real(paths::STATE))?)
    }

    /// Who asks, for the records.
    pub fn actor(&self) -> Value {
        let find = || {
            // Not knowing who it is must stop nobody.
            let actor = Actor::of_this_process(self.host, self.environment, &self.line).unwrap_or_default();
            serde_json::to_value(actor).unwrap_or_default()
        };
        self.actor.get_or_init(find).clone()
    }

    /// The login that this was asked for in; without one (a service), those of everybody who is in from elsewhere: the
    /// ways in that must stay.
    pub fn logins(&self) -> Vec<Login> {
        match login::own(self.host, self.environment) {
            Some(own) => vec![own],
            None => login::remote(self.host),
        }
    }

    /// What the engine works with. Others are waited for as long as nobody says otherwise.
    pub fn works<'w>(&'w self, journal: &'w Journal, progress: &'w dyn Progress) -> Works<'w> {
        let patience = Patience::of(LOCK_WAIT);
        Works { host: self.host, journal, progress, undoers: &self.undoers, services: &self.units, patience }
    }
}

/// `KEY=VALUE` without the value.
pub fn masked(set: &str) -> String {
    format!("{}=...", set.split('=').next().unwrap_or_default())
}

/// An address without the name and password that may stand in it (RFC 3986); whatever else as it is.
pub fn without_login(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest.split_at(end) {
        (authority, path) if authority.contains('@') => {
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://...@{host}{path}")
        }
        _ => word.to_owned(),
    }
}

/// The command line as it is kept with a transaction and told in the system's journal: the values of `--set` are left out,
/// and what an address has of a login, since they may be secret.
pub fn recorded(arguments: &[OsString]) -> String {
    let mut words = Vec::new();
    let mut is_value = false;
    for argument in arguments.iter().skip(1) {
        let argument = argument.to_string_lossy();
        let word = match (is_value, argument.strip_prefix("--set=")) {
            (true, _) => masked(&argument),
            (false, Some(rest)) => format!("--set={}", masked(rest)),
            (false, None) => without_login(&argument),
        };
        is_value = argument == "--set";
        words.push(word);
    }
    format!("vps-configurator {}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Args;
    use crate::host::RealHost;
    use clap::Parser;

    #[test]
    fn once_something_was_changed_no_problem_says_that_nothing_was() {
        let args = Args::try_parse_from(["x", "recover"]).unwrap();
        let environment = Environment::default();
        let output = Output::new(&args.global, &environment);
        let host = RealHost::new("/".into());
        let session = Session::new(&Site::new(&host), &args.global, "recover", "", &environment, &output);
        let problem = || Problem::new(Exit::Failed, "x", "what", "why");
        assert_eq!(session.in_truth(problem()).state, UNTOUCHED);
        session.begin_changes();
        assert_eq!(session.in_truth(problem()).state, BEGUN);
        assert_eq!(session.in_truth(problem().state("rolled back")).state, "rolled back");
    }

    #[test]
    fn the_values_of_set_are_not_recorded() {
        let line = ["x", "install", "--set", "a.token=s3cret", "--set=b=c", "--yes"].map(Into::into);
        assert_eq!(recorded(&line), "vps-configurator install --set a.token=... --set=b=... --yes");
    }

    #[test]
    fn the_login_in_an_address_is_not_recorded() {
        let line = ["x", "plugin", "install", "https://me:s3cret@example.org:8443/a@b.tar?x"].map(Into::into);
        let recorded = recorded(&line);
        assert_eq!(recorded, "vps-configurator plugin install https://...@example.org:8443/a@b.tar?x");
        for plain in ["https://example.org/a@b", "./a@b", "ada@example.org", "https://", ""] {
            assert_eq!(without_login(plain), plain);
        }
    }
}
