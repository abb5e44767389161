//! A host that fails or dies at a chosen effect, for the crash suite: a real host on a directory, with a counter.

use super::real::RealHost;
use super::{Attributes, Command, Error, Guard, Host, Meta, Output, Result, Space};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// What happens at the chosen effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The effect is refused and nothing happens; all later ones work again.
    Fail,
    /// The power goes before the effect.
    DieBefore,
    /// The power goes in the middle: a write leaves its temporary file, a program has run and nobody heard of it.
    DieMiddle,
    /// The power goes after the effect.
    DieAfter,
}

/// What a dead host unwinds with: catch it with `std::panic::catch_unwind`, as the end of the process it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Died(pub u64);

/// A real host on a directory that counts effects from 1, and fails or dies at one of them. Death unwinds the caller
/// with [`Died`], and so does every later call: nothing above gets to write down how it ended, as after a SIGKILL. Go
/// on with a new host on the same directory.
#[derive(Debug)]
pub struct FakeHost {
    real: RealHost,
    fault: Option<(u64, Fault)>,
    effects: AtomicU64,
    /// The effect that it died at; 0 while it lives.
    died_at: AtomicU64,
    /// Nanoseconds; counts up by one second with each look at it.
    clock: AtomicI64,
}

impl FakeHost {
    /// A host on `root` that only counts.
    pub fn new(root: PathBuf) -> Self {
        FakeHost {
            real: RealHost::new(root),
            fault: None,
            effects: AtomicU64::new(0),
            died_at: AtomicU64::new(0),
            clock: AtomicI64::new(1_700_000_000_000_000_000),
        }
    }

    /// A host on `root` with a fault at effect `number` (from 1).
    pub fn with_fault(root: PathBuf, number: u64, fault: Fault) -> Self {
        FakeHost { fault: Some((number, fault)), ..FakeHost::new(root) }
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

    /// One effect: `whole` does it, `half` does what is left of it when the power goes in the middle.
    fn effect<T>(&self, whole: impl FnOnce() -> Result<T>, half: impl FnOnce() -> Result<()>) -> Result<T> {
        self.alive()?;
        let number = self.effects.fetch_add(1, Ordering::SeqCst) + 1;
        let Some((_, fault)) = self.fault.filter(|(chosen, _)| *chosen == number) else {
            return whole();
        };
        if fault != Fault::Fail {
            self.died_at.store(number, Ordering::SeqCst);
        }
        // Whether the effect itself went well, the dead don't hear.
        match fault {
            Fault::Fail | Fault::DieBefore => {}
            Fault::DieMiddle => drop(half()),
            Fault::DieAfter => drop(whole()),
        }
        self.alive()?;
        Err(Error::Injected(number))
    }
}

impl Host for FakeHost {
    fn meta(&self, path: &Path) -> Result<Option<Meta>> {
        self.alive().and_then(|()| self.real.meta(path))
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        self.alive().and_then(|()| self.real.read(path))
    }

    fn list(&self, dir: &Path) -> Result<Vec<OsString>> {
        self.alive().and_then(|()| self.real.list(dir))
    }

    fn space(&self, path: &Path) -> Result<Space> {
        self.alive().and_then(|()| self.real.space(path))
    }

    fn look(&self, command: &Command) -> Result<Output> {
        self.alive().and_then(|()| self.real.look(command))
    }

    fn has_program(&self, name: &str) -> bool {
        !self.is_dead() && self.real.has_program(name)
    }

    fn now(&self) -> i128 {
        i128::from(self.clock.fetch_add(1_000_000_000, Ordering::SeqCst))
    }

    /// Only moves the clock on.
    fn pause(&self, time: Duration) {
        self.clock.fetch_add(i64::try_from(time.as_nanos()).unwrap_or(0), Ordering::SeqCst);
    }

    fn lock_holder(&self, path: &Path) -> Result<Option<u32>> {
        self.alive().and_then(|()| self.real.lock_holder(path))
    }

    fn write(&self, path: &Path, content: &[u8], attributes: &Attributes) -> Result<()> {
        let half = || self.real.stage(path, content, attributes).map(drop);
        self.effect(|| self.real.write(path, content, attributes), half)
    }

    fn make_directory(&self, path: &Path, attributes: &Attributes) -> Result<()> {
        let half = || self.real.make_directory(path, &Attributes { mode: 0o700, ..attributes.clone() });
        self.effect(|| self.real.make_directory(path, attributes), half)
    }

    fn make_link(&self, path: &Path, target: &Path, attributes: &Attributes) -> Result<()> {
        let half = || self.real.stage_link(path, target, attributes).map(drop);
        self.effect(|| self.real.make_link(path, target, attributes), half)
    }

    fn set_attributes(&self, path: &Path, attributes: &Attributes) -> Result<()> {
        let whole = || self.real.set_attributes(path, attributes);
        self.effect(whole, whole)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.effect(|| self.real.remove(path), || self.real.remove(path))
    }

    fn run(&self, command: &Command) -> Result<Output> {
        self.effect(|| self.real.run(command), || self.real.run(command).map(drop))
    }

    fn run_watched(&self, command: &Command, on_line: &mut dyn FnMut(&str)) -> Result<Output> {
        self.effect(|| self.real.run_watched(command, on_line), || self.real.run(command).map(drop))
    }

    fn lock(&self, path: &Path, note: &str) -> Result<Box<dyn Guard>> {
        self.effect(|| self.real.lock(path, note), || Ok(()))
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
