//! Files that are read as a whole: a file that is good by itself can be bad among the others that a daemon reads. So
//! before the first file of a group is switched, all of the group are laid over the real ones in a view of their own
//! (`host::view`), and everything that checks one of them is run there.
//!
//! A group is what belongs to one daemon in one module: files, blocks and links that notify the same unit or have the
//! same checker. Other modules' files count as they are on the host by then, so that a fault is found where it is made.

pub mod checkers;
mod draft;
mod groups;
pub mod sshd;
#[cfg(test)]
mod tests;

pub use draft::Draft;
pub use groups::{Wholes, checked};

use self::draft::{Composed, is_in_place};
use super::preimage::{self, Image};
use crate::base::digest::Digest;
use crate::base::paths;
use crate::engine::{Context, Error, Result};
use crate::host::{self, Attributes, Candidate, Command, Host, Output, Shape};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Something that must approve of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// A program that a manifest names, asked about all of a configuration.
    Asked(Vec<String>),
    /// A program that a manifest names, asked about one file: `{path}` in it is the file's.
    File(PathBuf, Vec<String>),
    /// A program that is known to read the file; where it isn't installed nothing reads it.
    Known(Vec<String>),
    /// sshd must give this file what it asks for.
    Sshd(PathBuf),
    /// systemd must take the units that these files describe.
    Units,
}

/// The paths that an approval spoke for, by what gave it. Whoever switches a file that it did not speak for asks again.
type Approvals = BTreeMap<Check, BTreeSet<PathBuf>>;

/// A group of files, and what must approve of them.
#[derive(Debug)]
pub struct Whole {
    members: Vec<(PathBuf, Draft)>,
    checks: BTreeSet<Check>,
    approvals: Arc<Mutex<Approvals>>,
}

/// The host as it is, or with a group laid over it.
#[derive(Clone, Copy)]
struct View<'a> {
    host: &'a dyn Host,
    over: Option<&'a [Candidate]>,
}

impl View<'_> {
    fn look(&self, command: &Command) -> host::Result<Output> {
        match self.over {
            Some(candidates) => self.host.look_over(command, candidates),
            None => self.host.look(command),
        }
    }

    fn candidate(&self, path: &str) -> Option<&Candidate> {
        self.over.unwrap_or_default().iter().find(|candidate| candidate.path == Path::new(path))
    }
}

/// What the SSH server's files on the host set for some connections only.
pub fn ssh_exceptions(host: &dyn Host) -> Vec<sshd::Setting> {
    sshd::exceptions(&View { host, over: None })
}

/// Whether all files that the SSH server reads lie in `/etc/ssh`.
pub fn ssh_is_at_home(host: &dyn Host) -> bool {
    sshd::is_at_home(&View { host, over: None })
}

impl sshd::Files for View<'_> {
    fn text(&self, path: &str) -> String {
        match self.candidate(path) {
            Some(Candidate { shape: Shape::File(content), .. }) => String::from_utf8_lossy(content).into_owned(),
            _ => host::read_text(self.host, path).unwrap_or_default(),
        }
    }

    fn names(&self, dir: &str) -> Vec<String> {
        let there = self.host.list(Path::new(dir)).unwrap_or_default();
        let mut names: BTreeSet<String> = there.into_iter().filter_map(|name| name.into_string().ok()).collect();
        let over = self.over.unwrap_or_default().iter().filter(|one| one.path.parent() == Some(Path::new(dir)));
        names.extend(over.filter_map(|one| one.path.file_name()?.to_str().map(str::to_owned)));
        names.into_iter().collect()
    }
}

impl Whole {
    /// Makes the change at `path`, a member's, by `act`, when everything that checks the group approves of it.
    ///
    /// Where no view can be made, what looks at one file is shown a copy of it, and what looks at the whole is asked
    /// right after the group's last switch, in time before any reload; when it refuses, what was there comes back.
    ///
    /// # Errors
    /// `check-failed`, `ssh-config-rejected` or `ssh-config-overridden` with the checker's words; the path is then as
    /// before.
    pub fn switch(&self, context: &Context<'_>, path: &Path, act: &dyn Fn() -> Result<()>) -> Result<()> {
        let host = context.host;
        // Held while checking and switching: no other group may come in between.
        let mut approvals = self.approvals.lock().unwrap_or_else(PoisonError::into_inner);
        let composed = self.compose(host)?;
        let candidates: Vec<Candidate> = composed.values().cloned().collect();
        let members: BTreeSet<PathBuf> = self.members.iter().map(|(path, _)| path.clone()).collect();
        for check in &self.checks {
            if approvals.get(check).is_some_and(|paths| paths.contains(path)) {
                continue;
            }
            match self.ask(View { host, over: Some(&candidates) }, check) {
                Err(Error::Host(host::Error::NoView { .. })) => {
                    return self.switch_unseen(context, path, &composed, act);
                }
                asked => asked?,
            }
            approvals.insert(check.clone(), members.clone());
        }
        act()
    }

    /// Makes the change at `path` by `act`: as a member of `whole` when there is one, else at once.
    pub fn around(
        whole: Option<&Whole>,
        context: &Context<'_>,
        path: &Path,
        act: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        match whole {
            Some(whole) => whole.switch(context, path, act),
            None => act(),
        }
    }

    fn compose(&self, host: &dyn Host) -> Result<Composed> {
        let mut composed = Composed::new();
        for (path, draft) in &self.members {
            draft.compose(host, path, &mut composed)?;
        }
        Ok(composed)
    }

    fn switch_unseen(
        &self,
        context: &Context<'_>,
        path: &Path,
        composed: &Composed,
        act: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        let host = context.host;
        for check in &self.checks {
            if let (Check::File(of, argv), Some(Candidate { shape: Shape::File(content), .. })) =
                (check, composed.get(path))
                && of == path
            {
                self.ask_about_copy(host, path, content, argv)?;
            }
        }
        let before = Image::keep(context, path)?;
        act()?;
        let whole = self.checks.iter().filter(|check| !matches!(check, Check::File(..)));
        if is_in_place(host, composed)? {
            for check in whole {
                if let Err(error) = self.ask(View { host, over: None }, check) {
                    preimage::put_back(context, path, &before)?;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn ask_about_copy(&self, host: &dyn Host, path: &Path, content: &[u8], argv: &[String]) -> Result<()> {
        let dir = Path::new(paths::RUN).join(format!("candidate-{}", Digest::of(content).short()));
        let copy = dir.join(path.file_name().unwrap_or_default());
        preimage::make_parents(host, &dir)?;
        if host.meta(&dir)?.is_none() {
            host.make_directory(&dir, &Attributes::root(0o700))?;
        }
        host.write(&copy, content, &Attributes::root(0o600))?;
        let asked = host.look(&command(argv, Some(&copy)));
        host.remove(&copy)?;
        host.remove(&dir)?;
        asked.map(drop).map_err(|why| self.refusal(argv, &[path], why.to_string()))
    }

    /// Asks one of those that must approve.
    fn ask(&self, view: View<'_>, check: &Check) -> Result<()> {
        let all: Vec<&Path> = self.members.iter().map(|(path, _)| path.as_path()).collect();
        match check {
            Check::Known(argv) if argv.first().is_none_or(|program| !view.host.has_program(program)) => Ok(()),
            Check::Known(argv) | Check::Asked(argv) => self.run(view, argv, None, &all),
            Check::File(path, argv) => self.run(view, argv, Some(path), &[path]),
            Check::Sshd(path) => self.ask_sshd(view, path),
            Check::Units => self.ask_systemd(view),
        }
    }

    fn run(&self, view: View<'_>, argv: &[String], path: Option<&Path>, about: &[&Path]) -> Result<()> {
        let command = command(argv, path);
        let mut why = match view.look(&command) {
            Ok(_) => return Ok(()),
            Err(error @ host::Error::NoView { .. }) => return Err(error.into()),
            Err(why) => why.to_string(),
        };
        if path.is_none() && view.over.is_some() && matches!(view.host.look(&command), Err(host::Error::Failed { .. }))
        {
            why.push_str("\nit refuses what is in force now as well: the fault may be older than this change");
        }
        Err(self.refusal(argv, about, why))
    }

    fn ask_sshd(&self, view: View<'_>, path: &Path) -> Result<()> {
        if !view.host.has_program("sshd") {
            return Ok(());
        }
        let name = path.to_string_lossy();
        let tell = |args: &[&str]| view.look(&Command::new("sshd").args(args.iter().copied()));
        let (whole, alone) = match (tell(&["-T"]), tell(&["-T", "-f", &name])) {
            (Ok(whole), Ok(alone)) => (whole.text(), alone.text()),
            (Err(error @ host::Error::NoView { .. }), _) => return Err(error.into()),
            // That it can't be read at all is for `sshd -t` to say.
            _ => return Ok(()),
        };
        let said = sshd::overridden(&view, &name, &alone, &whole);
        if said.is_empty() {
            return Ok(());
        }
        Err(Error::refused("ssh-config-overridden", format!("cannot write {name}"), said.join("\n"))
            .fix("remove the line that comes first, or set the option to what it says"))
    }

    fn ask_systemd(&self, view: View<'_>) -> Result<()> {
        let paths: Vec<&str> = self.members.iter().filter_map(|(path, _)| path.to_str()).collect();
        let names: BTreeSet<&str> = paths.iter().filter_map(|path| checkers::unit(path)).collect();
        let names: Vec<&str> = names.into_iter().collect();
        if names.is_empty() || !view.host.has_program("systemd-analyze") {
            return Ok(());
        }
        let args = ["verify", "--man=no", "--recursive-errors=no", "--"];
        let command = Command::new("systemd-analyze").args(args).args(names.iter().copied()).accept(&[0, 1]);
        let text = |output: Output| String::from_utf8_lossy(&output.stderr).into_owned();
        let said = match view.look(&command) {
            Err(host::Error::NoView { why }) => return Err(host::Error::NoView { why }.into()),
            // Its own trouble is no fault of the units.
            Err(_) => return Ok(()),
            Ok(output) => text(output),
        };
        let mut faults = checkers::faults(&said, &paths, &names);
        if faults.is_empty() {
            return Ok(());
        }
        // What a unit of the distribution is blamed for already is not this change's.
        let before = view.over.and_then(|_| view.host.look(&command).ok()).map(text).unwrap_or_default();
        faults.retain(|line| !before.lines().any(|old| old == *line));
        if faults.is_empty() {
            return Ok(());
        }
        let about: Vec<&Path> = self.members.iter().map(|(path, _)| path.as_path()).collect();
        Err(self.refusal(&["systemd-analyze".to_owned()], &about, faults.join("\n")))
    }

    fn refusal(&self, argv: &[String], about: &[&Path], why: String) -> Error {
        let is_sshd = argv.first().is_some_and(|program| program.ends_with("sshd"));
        let code = if is_sshd { "ssh-config-rejected" } else { "check-failed" };
        let names: Vec<String> = about.iter().map(|path| path.display().to_string()).collect();
        Error::refused(code, format!("cannot write {}", names.join(", ")), why)
            .fix("correct the option or the template that gives this line, then run vps-configurator plan")
    }
}

fn command(argv: &[String], path: Option<&Path>) -> Command {
    let path = path.map(|path| path.to_string_lossy().into_owned());
    let mut words = argv.iter().map(|arg| match &path {
        Some(path) => arg.replace("{path}", path),
        None => arg.clone(),
    });
    Command::new(words.next().unwrap_or_default()).args(words)
}
