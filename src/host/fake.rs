//! A host that fails or dies at chosen effects, and shows each one coming, for the crash suite: a real host on a
//! directory, with a counter.

use super::real::RealHost;
use super::{
    Attributes, Candidate, Command, Error, Guard, Host, Kind, Meta, Output, Result, Space, Stamp, Unreachable,
};
use crate::base::digest::Digest;
use std::ffi::OsString;
use std::fmt;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// What its clock shows first.
const BEGIN: i64 = 1_700_000_000_000_000_000;

/// What happens at the chosen effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The effect is refused and nothing happens; all later ones work again.
    Fail,
    /// The power goes before the effect.
    DieBefore,
    /// The power goes in the middle: a write leaves a half-written temporary file, a program has done a part of its work.
    DieMiddle,
    /// The power goes after the effect.
    DieAfter,
}

/// What a dead host unwinds with: catch it with `std::panic::catch_unwind`, as the end of the process it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Died(pub u64);

/// Does a part of an effect on the host below a directory, up to its middle of this number (from 1); `false` when it has
/// no such middle, whatever was done.
pub type Half<'a> = &'a dyn Fn(&Path, u64) -> bool;

/// An effect that is about to be made.
pub struct Moment<'a> {
    /// Its number, from 1.
    pub number: u64,
    /// What it is: `write /etc/issue`.
    pub what: &'a str,
    half: Option<Half<'a>>,
}

impl fmt::Debug for Moment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "effect {}, {}", self.number, self.what)
    }
}

impl Moment<'_> {
    /// Makes a part of the effect on a copy of the host in `root`: what is there when the power goes in its middle of
    /// this number (from 1; a program has several). False when it has no such middle; the copy is good for nothing then.
    pub fn halve(&self, root: &Path, middle: u64) -> bool {
        self.half.is_some_and(|half| half(root, middle))
    }
}

/// Is shown each effect just before it is made.
pub type Observer = Box<dyn Fn(&Moment<'_>) + Send + Sync>;

/// A real host on a directory that counts effects from 1, and fails or dies at some of them. Death unwinds the caller
/// with [`Died`], and so does every later call: nothing above gets to write down how it ended, as after a SIGKILL. Go
/// on with a new host on the same directory.
pub struct FakeHost {
    root: PathBuf,
    real: RealHost,
    faults: Vec<(u64, Fault)>,
    observer: Option<Observer>,
    effects: AtomicU64,
    /// The effect that it died at; 0 while it lives.
    died_at: AtomicU64,
    /// Nanoseconds; counts up by one second with each look at it.
    clock: AtomicI64,
    /// How far the clock of the wall is ahead of that.
    ahead: AtomicI64,
    views: bool,
}

impl fmt::Debug for FakeHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeHost").field("real", &self.real).field("faults", &self.faults).finish_non_exhaustive()
    }
}

impl FakeHost {
    /// A host on `root` that only counts.
    pub fn new(root: PathBuf) -> Self {
        FakeHost {
            real: RealHost::new(root.clone()),
            root,
            faults: Vec::new(),
            observer: None,
            effects: AtomicU64::new(0),
            died_at: AtomicU64::new(0),
            clock: AtomicI64::new(BEGIN),
            ahead: AtomicI64::new(0),
            views: true,
        }
    }

    /// A host on `root` with a fault at effect `number` (from 1).
    pub fn with_fault(root: PathBuf, number: u64, fault: Fault) -> Self {
        FakeHost { faults: vec![(number, fault)], ..FakeHost::new(root) }
    }

    /// The same, with somebody who is shown each effect before it is made.
    pub fn observed(self, observer: Observer) -> Self {
        FakeHost { observer: Some(observer), ..self }
    }

    /// The same, with a clock that goes on from `time` (nanoseconds since the epoch): time does not go back when a host
    /// comes up again.
    pub fn since(self, time: i128) -> Self {
        FakeHost { clock: AtomicI64::new(i64::try_from(time).unwrap_or(i64::MAX)), ..self }
    }

    /// A host on `root` that can make no views, as a container without the right to mount.
    pub fn without_views(root: PathBuf) -> Self {
        FakeHost { views: false, ..FakeHost::new(root) }
    }

    /// Somebody sets the clock of the wall, so many seconds ahead of that of the machine.
    pub fn set_clock(&self, seconds: i64) {
        self.ahead.store(seconds.saturating_mul(1_000_000_000), Ordering::SeqCst);
    }

    fn tick(&self) -> i128 {
        i128::from(self.clock.fetch_add(1_000_000_000, Ordering::SeqCst))
    }

    /// How many effects were asked for so far.
    pub fn effects(&self) -> u64 {
        self.effects.load(Ordering::SeqCst)
    }

    /// Whether it died.
    pub fn is_dead(&self) -> bool {
        self.died_at.load(Ordering::SeqCst) != 0
    }

    fn alive(&self) -> Result<()> {
        match self.died_at.load(Ordering::SeqCst) {
            0 => Ok(()),
            number => std::panic::resume_unwind(Box::new(Died(number))),
        }
    }

    /// An effect that another layer is about to make by itself (the journal writes its own files): counted, and refused
    /// or the end as any other.
    ///
    /// # Errors
    /// [`Error::Injected`] when it is the one that fails.
    pub fn pass(&self, what: &str, half: Option<Half<'_>>) -> Result<()> {
        self.effect(|| what.to_owned(), || Ok(()), half)
    }

    /// One effect: `whole` makes it, `half` what is left of it when the power goes in the middle.
    fn effect<T>(
        &self,
        what: impl FnOnce() -> String,
        whole: impl FnOnce() -> Result<T>,
        half: Option<Half<'_>>,
    ) -> Result<T> {
        self.alive()?;
        let number = self.effects.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(observer) = &self.observer {
            observer(&Moment { number, what: &what(), half });
        }
        let Some((_, fault)) = self.faults.iter().find(|(chosen, _)| *chosen == number) else {
            return whole();
        };
        if *fault != Fault::Fail {
            self.died_at.store(number, Ordering::SeqCst);
        }
        // Whether the effect itself went well, the dead don't hear.
        match (fault, half) {
            (Fault::Fail | Fault::DieBefore, _) => {}
            (Fault::DieMiddle, Some(half)) => drop(half(&self.root, 1)),
            (Fault::DieMiddle | Fault::DieAfter, _) => drop(whole()),
        }
        self.alive()?;
        Err(Error::Injected(number))
    }

    /// The simulated programs have the clock of this host, from `VPS_NOW`.
    fn dated(&self, command: &Command) -> Command {
        let time = jiff::Timestamp::from_nanosecond(i128::from(self.clock.load(Ordering::SeqCst))).unwrap_or_default();
        command.clone().env("VPS_NOW", &time.strftime("%a %Y-%m-%d %H:%M:%S.%6f UTC").to_string())
    }
}

/// Runs a program up to its middle of this number: the simulated ones kill themselves, and whoever started them, there.
fn run_half(root: &Path, command: &Command, middle: u64) -> bool {
    let all: Vec<i32> = (0..256).collect();
    let command = command.clone().env("VPS_HALF", &middle.to_string()).accept(&all);
    at(root).run(&command).is_ok_and(|output| output.code == 128 + 9)
}

/// The host below a directory.
fn at(root: &Path) -> RealHost {
    RealHost::new(root.to_owned())
}

impl Host for FakeHost {
    fn meta(&self, path: &Path) -> Result<Option<Meta>> {
        self.alive().and_then(|()| self.real.meta(path))
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        self.alive().and_then(|()| self.real.read(path))
    }

    fn read_parts(&self, path: &Path, part: usize, see: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<()> {
        self.alive().and_then(|()| self.real.read_parts(path, part, see))
    }

    fn digest(&self, path: &Path) -> Result<Digest> {
        self.alive().and_then(|()| self.real.digest(path))
    }

    fn list(&self, dir: &Path) -> Result<Vec<OsString>> {
        self.alive().and_then(|()| self.real.list(dir))
    }

    fn entries(&self, dir: &Path) -> Result<Vec<(OsString, Kind)>> {
        self.alive().and_then(|()| self.real.entries(dir))
    }

    fn changed_since(&self, dirs: &[PathBuf], except: &[PathBuf], since: i128) -> Result<Vec<PathBuf>> {
        self.alive().and_then(|()| self.real.changed_since(dirs, except, since))
    }

    fn stamp(&self, paths: &[PathBuf], except: &[PathBuf]) -> Result<Stamp> {
        self.alive().and_then(|()| self.real.stamp(paths, except))
    }

    fn packet_filter_refusal(&self) -> Option<String> {
        self.real.packet_filter_refusal()
    }

    fn reach(&self, name: &str, port: u16, wait: Duration) -> Option<std::result::Result<(), Unreachable>> {
        self.real.reach(name, port, wait)
    }

    fn outward_address(&self) -> Option<Ipv4Addr> {
        self.real.outward_address()
    }

    fn rules_stamp(&self) -> Option<String> {
        self.real.rules_stamp()
    }

    fn ask(&self, socket: &Path, question: &[u8], until: &[u8]) -> Result<Vec<u8>> {
        self.alive().and_then(|()| self.real.ask(socket, question, until))
    }

    fn space(&self, path: &Path) -> Result<Space> {
        self.alive().and_then(|()| self.real.space(path))
    }

    fn look(&self, command: &Command) -> Result<Output> {
        self.alive().and_then(|()| self.real.look(command))
    }

    fn look_over(&self, command: &Command, candidates: &[Candidate]) -> Result<Output> {
        self.alive()?;
        if self.views {
            return self.real.look_over(command, candidates);
        }
        Err(Error::NoView { why: "this host can't".to_owned() })
    }

    fn is_chroot(&self) -> bool {
        self.real.is_chroot()
    }

    fn has_views(&self) -> bool {
        self.views && self.real.has_views()
    }

    fn has_program(&self, name: &str) -> bool {
        !self.is_dead() && self.real.has_program(name)
    }

    fn now(&self) -> i128 {
        self.tick() + i128::from(self.ahead.load(Ordering::SeqCst))
    }

    /// The same clock, counted from when the host was made.
    fn uptime(&self) -> i128 {
        self.tick() - i128::from(BEGIN)
    }

    /// Only moves the clock on.
    fn pause(&self, time: Duration) {
        self.clock.fetch_add(i64::try_from(time.as_nanos()).unwrap_or(0), Ordering::SeqCst);
    }

    fn lock_holder(&self, path: &Path) -> Result<Option<u32>> {
        self.alive().and_then(|()| self.real.lock_holder(path))
    }

    fn write(&self, path: &Path, content: &[u8], attributes: &Attributes) -> Result<()> {
        let written = content.get(..content.len() / 2).unwrap_or_default();
        let half = |root: &Path, middle| middle == 1 && at(root).stage(path, written, attributes).is_ok();
        let what = || format!("write {}", path.display());
        self.effect(what, || self.real.write(path, content, attributes), Some(&half))
    }

    fn make_directory(&self, path: &Path, attributes: &Attributes) -> Result<()> {
        let half = |root: &Path, middle| middle == 1 && at(root).stage_directory(path, attributes).is_ok();
        let what = || format!("make the directory {}", path.display());
        self.effect(what, || self.real.make_directory(path, attributes), Some(&half))
    }

    fn make_link(&self, path: &Path, target: &Path, attributes: &Attributes) -> Result<()> {
        let half = |root: &Path, middle| middle == 1 && at(root).stage_link(path, target, attributes).is_ok();
        let what = || format!("link {} to {}", path.display(), target.display());
        self.effect(what, || self.real.make_link(path, target, attributes), Some(&half))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.effect(|| format!("rename {}", from.display()), || self.real.rename(from, to), None)
    }

    /// Its middle: the owner is set, the mode is not.
    fn set_attributes(&self, path: &Path, attributes: &Attributes) -> Result<()> {
        let half = |root: &Path, middle| match at(root).meta(path) {
            Ok(Some(meta)) => {
                let owned = Attributes { uid: attributes.uid, gid: attributes.gid, ..meta.attributes };
                middle == 1 && at(root).set_attributes(path, &owned).is_ok()
            }
            _ => false,
        };
        let what = || format!("set the attributes of {}", path.display());
        self.effect(what, || self.real.set_attributes(path, attributes), Some(&half))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.effect(|| format!("remove {}", path.display()), || self.real.remove(path), None)
    }

    fn run(&self, command: &Command) -> Result<Output> {
        let command = self.dated(command);
        let half = |root: &Path, middle| run_half(root, &command, middle);
        self.effect(|| format!("run {}", command.shown()), || self.real.run(&command), Some(&half))
    }

    fn run_watched(&self, command: &Command, on_line: &mut dyn FnMut(&str)) -> Result<Output> {
        let command = self.dated(command);
        let half = |root: &Path, middle| run_half(root, &command, middle);
        self.effect(|| format!("run {}", command.shown()), || self.real.run_watched(&command, on_line), Some(&half))
    }

    fn sync(&self) -> Result<()> {
        self.effect(|| "sync".to_owned(), || self.real.sync(), None)
    }

    fn lock(&self, path: &Path, note: &str) -> Result<Box<dyn Guard>> {
        self.effect(|| format!("lock {}", path.display()), || self.real.lock(path, note), None)
    }

    fn lock_fcntl(&self, path: &Path) -> Result<Box<dyn Guard>> {
        self.effect(|| format!("lock {}", path.display()), || self.real.lock_fcntl(path), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/file";

    fn two_writes(host: &FakeHost) -> [Result<()>; 2] {
        let mode = Attributes::root(0o644);
        [host.write(Path::new(PATH), b"one", &mode), host.write(Path::new(PATH), b"two", &mode)]
    }

    #[test]
    fn each_fault_leaves_what_it_says() {
        let temporary = ".file.vps-configurator";
        for (fault, content, left, dead) in [
            (Fault::Fail, "one", false, false),
            (Fault::DieBefore, "one", false, true),
            (Fault::DieMiddle, "one", true, true),
            (Fault::DieAfter, "two", false, true),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let host = FakeHost::with_fault(dir.path().into(), 2, fault);
            let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| two_writes(&host)));
            match end {
                Ok([first, second]) => {
                    assert!(first.is_ok() && matches!(second, Err(Error::Injected(2))) && !dead, "{fault:?}");
                }
                Err(why) => assert!(dead && why.downcast_ref() == Some(&Died(2)), "{fault:?}"),
            }
            assert_eq!(std::fs::read_to_string(dir.path().join("file")).unwrap(), content, "{fault:?}");
            assert_eq!(dir.path().join(temporary).exists(), left, "{fault:?}");
            assert_eq!((host.is_dead(), host.effects()), (dead, 2), "{fault:?}");
            let next = FakeHost::new(dir.path().into());
            next.remove(Path::new(PATH)).unwrap();
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{fault:?}");
        }
    }

    #[test]
    fn the_clock_only_goes_forward() {
        let dir = tempfile::tempdir().unwrap();
        let host = FakeHost::new(dir.path().into());
        let first = host.now();
        host.pause(Duration::from_secs(60));
        assert_eq!(host.now() - first, 61_000_000_000);
    }
}
