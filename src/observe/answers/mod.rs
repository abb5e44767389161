//! Answers of programs that need no second asking: a host on which programs that only look are run when something
//! changed that their answer depends on, and not otherwise. Everything else is looked at each time.

mod list;

pub use list::{Answer, Asks, List};

use crate::base::digest::Digest;
use crate::base::paths;
use crate::host::{
    Attributes, Candidate, Command, Guard, Host, Kind, Meta, Output, Result, Space, Stamp, Unreachable, read_if_there,
    read_text,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// An answer older than this is asked for anew, whatever its stamp says: a day, in nanoseconds.
const AGE: i128 = 86_400_000_000_000;
/// The kernel's clock for files goes in steps of up to 10 ms: a file that changed in this time before a stamp may change
/// again without moving it.
const SLACK: i128 = 100_000_000;

/// How closely is looked whether something changed that an answer depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// At all that it depends on; what was remembered before doesn't count.
    Afresh,
    /// At all that it depends on.
    Whole,
    /// At what a plan goes by: who changes programs in another way than by packages goes unnoticed.
    Plan,
}

/// A host that remembers answers of programs, within a run and from one run to the next.
#[derive(Debug)]
pub struct Remembering<'a> {
    host: &'a dyn Host,
    list: List,
    depth: Depth,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By place in the list; made at the first question. `None`: nothing may be remembered now.
    stamps: BTreeMap<usize, Option<u64>>,
    /// Of each tree that was looked through in this run, with what of it was left out.
    trees: BTreeMap<(PathBuf, Vec<PathBuf>), Stamp>,
    /// What a program reads without being told to, whichever it is; made at the first question.
    everywhere: Option<(i128, String)>,
    kept: BTreeMap<String, Kept>,
    is_new: bool,
    /// What was answered as in a run before.
    given: BTreeMap<String, Command>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// When it was given, nanoseconds since the epoch.
    at: i64,
    stamp: u64,
    code: i32,
    stdout: String,
    stderr: String,
    /// Whether it was given in this run.
    #[serde(skip)]
    is_own: bool,
}

impl<'a> Remembering<'a> {
    /// On this host.
    pub fn new(host: &'a dyn Host, list: List, depth: Depth) -> Self {
        // What can't be read is asked for.
        let kept = read_if_there(host, paths::ANSWERED).ok().flatten().filter(|_| depth != Depth::Afresh);
        let kept = kept.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Remembering { host, list, depth, state: Mutex::new(State { kept, ..State::default() }) }
    }

    /// Asks again what was answered as in a run before; whether all of it is so now. What isn't is forgotten.
    pub fn is_still_so(&self) -> bool {
        let given = std::mem::take(&mut self.state().given);
        let mut is_so = true;
        for (question, command) in given {
            let said = self.host.look(&command).ok().map(|output| (output.code, output.stdout, output.stderr));
            let mut state = self.state();
            let kept = state.kept.get(&question);
            let known =
                kept.map(|kept| (kept.code, kept.stdout.clone().into_bytes(), kept.stderr.clone().into_bytes()));
            if said != known {
                is_so = false;
                state.kept.remove(&question);
                state.is_new = true;
            }
        }
        is_so
    }

    /// Keeps the answers for the next run. It's only a shortcut: that it can't be written is no failure.
    pub fn keep(&self) {
        let mut state = self.state();
        if !state.is_new {
            return;
        }
        let now = self.host.now();
        state.kept.retain(|_, kept| is_young(kept, now));
        let text = serde_json::to_vec(&state.kept).unwrap_or_default();
        let cache = Path::new(paths::CACHE);
        let made = match self.host.meta(cache) {
            Ok(None) => self.host.make_directory(cache, &Attributes::root(paths::CACHE_MODE)),
            other => other.map(drop),
        };
        let written = made.and_then(|()| self.host.write(Path::new(paths::ANSWERED), &text, &Attributes::root(0o600)));
        if let Err(error) = written {
            tracing::warn!("what programs answered is not remembered: {error}");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stamp of all that the answers at this place of the list depend on; `None` when it can't be told, or is too
    /// young to be trusted.
    fn stamp_of(&self, state: &mut State, at: usize) -> Option<u64> {
        if let Some(stamp) = state.stamps.get(&at) {
            return *stamp;
        }
        let stamp = self.make_stamp(state, at);
        state.stamps.insert(at, stamp);
        stamp
    }

    fn make_stamp(&self, state: &mut State, at: usize) -> Option<u64> {
        let answer = self.list.answers.get(at)?;
        let rules = if answer.rules { self.host.rules_stamp()? } else { String::new() };
        let (programs, except, reads) = match self.depth {
            Depth::Plan if answer.plan.is_empty() => return None,
            Depth::Plan => (&self.list.plan, &[][..], &answer.plan),
            _ => (&self.list.programs, &self.list.except[..], &answer.reads),
        };
        let common = self.trees(state, programs, except).ok()?;
        let names: Vec<PathBuf> = self.list.except.iter().filter(|left_out| left_out.is_relative()).cloned().collect();
        let mut newest = common.newest;
        let mut all = format!("{} {rules}", common.sum);
        for path in reads.iter().chain(&answer.at_start) {
            let own = self.trees(state, std::slice::from_ref(path), &names).ok()?;
            newest = newest.max(own.newest);
            all.push_str(&format!(" {}", own.sum));
        }
        for path in &answer.at_start {
            self.host.meta(path).ok()??;
        }
        if let Some(asks) = &answer.asks {
            let told = self.host.ask(&asks.socket, asks.send.as_bytes(), asks.until.as_bytes()).ok()?;
            all.push_str(&format!(" {}", Digest::of(&told)));
        }
        let (root, boot) = match &state.everywhere {
            Some(known) => known.clone(),
            None => {
                // A program may read from where it stands, and does from the kernel that it runs on.
                let root = self.host.meta(Path::new("/")).ok()??;
                let boot = read_text(self.host, "/proc/sys/kernel/random/boot_id").ok()?;
                state.everywhere.insert((root.changed, boot)).clone()
            }
        };
        if newest.max(root) > self.host.now() - SLACK {
            return None;
        }
        all.push_str(&format!(" {root} {boot}"));
        u64::from_str_radix(Digest::of(all.as_bytes()).to_string().get(..16)?, 16).ok()
    }
}

impl Remembering<'_> {
    /// A stamp of these trees, each looked through once in a run, whoever asks.
    fn trees(&self, state: &mut State, paths: &[PathBuf], except: &[PathBuf]) -> Result<Stamp> {
        let mut all = Stamp { begun: self.host.now(), ..Stamp::default() };
        for path in paths {
            let counts = |left_out: &&PathBuf| left_out.is_relative() || left_out.starts_with(path);
            let left_out: Vec<PathBuf> = except.iter().filter(counts).cloned().collect();
            let key = (path.clone(), left_out);
            let one = match state.trees.get(&key) {
                Some(one) => *one,
                None => self.host.stamp(std::slice::from_ref(path), &key.1)?,
            };
            state.trees.insert(key, one);
            all.sum = all.sum.wrapping_add(one.sum);
            all.newest = all.newest.max(one.newest);
            all.begun = all.begun.min(one.begun);
        }
        Ok(all)
    }
}

fn is_young(kept: &Kept, now: i128) -> bool {
    (0..AGE).contains(&(now - i128::from(kept.at)))
}

/// What is asked, which codes are no failure, and whether all is looked at that the answer depends on.
fn question(command: &Command, depth: Depth) -> String {
    let Command { program, args, accept, env, .. } = command;
    let is_whole = depth != Depth::Plan;
    Digest::of(format!("{program:?} {args:?} {accept:?} {env:?} {is_whole}").as_bytes()).to_string()
}

impl Host for Remembering<'_> {
    fn look(&self, command: &Command) -> Result<Output> {
        let Some(at) = self.list.find(command) else { return self.host.look(command) };
        // The stamp is from before the answer: what changes in between moves the next one.
        let Some(stamp) = self.stamp_of(&mut self.state(), at) else { return self.host.look(command) };
        let question = question(command, self.depth);
        let now = self.host.now();
        let kept = self.state().kept.get(&question).filter(|kept| kept.stamp == stamp && is_young(kept, now)).cloned();
        if let Some(Kept { code, stdout, stderr, is_own, .. }) = kept {
            if !is_own {
                self.state().given.insert(question, command.clone());
            }
            return Ok(Output { code, stdout: stdout.into_bytes(), stderr: stderr.into_bytes() });
        }
        let output = self.host.look(command)?;
        if let (Ok(stdout), Ok(stderr), Ok(at)) =
            (String::from_utf8(output.stdout.clone()), String::from_utf8(output.stderr.clone()), i64::try_from(now))
        {
            let mut state = self.state();
            state.kept.insert(question, Kept { at, stamp, code: output.code, stdout, stderr, is_own: true });
            state.is_new = true;
        }
        Ok(output)
    }

    fn meta(&self, path: &Path) -> Result<Option<Meta>> {
        self.host.meta(path)
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        self.host.read(path)
    }

    fn read_parts(&self, path: &Path, part: usize, see: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<()> {
        self.host.read_parts(path, part, see)
    }

    fn digest(&self, path: &Path) -> Result<Digest> {
        self.host.digest(path)
    }

    fn list(&self, dir: &Path) -> Result<Vec<OsString>> {
        self.host.list(dir)
    }

    fn entries(&self, dir: &Path) -> Result<Vec<(OsString, Kind)>> {
        self.host.entries(dir)
    }

    fn changed_since(&self, dirs: &[PathBuf], except: &[PathBuf], since: i128) -> Result<Vec<PathBuf>> {
        self.host.changed_since(dirs, except, since)
    }

    fn stamp(&self, paths: &[PathBuf], except: &[PathBuf]) -> Result<Stamp> {
        self.trees(&mut self.state(), paths, except)
    }

    fn packet_filter_refusal(&self) -> Option<String> {
        self.host.packet_filter_refusal()
    }

    fn reach(&self, name: &str, port: u16, wait: Duration) -> Option<std::result::Result<(), Unreachable>> {
        self.host.reach(name, port, wait)
    }

    fn outward_address(&self) -> Option<Ipv4Addr> {
        self.host.outward_address()
    }

    fn rules_stamp(&self) -> Option<String> {
        self.host.rules_stamp()
    }

    fn ask(&self, socket: &Path, question: &[u8], until: &[u8]) -> Result<Vec<u8>> {
        self.host.ask(socket, question, until)
    }

    fn space(&self, path: &Path) -> Result<Space> {
        self.host.space(path)
    }

    fn look_over(&self, command: &Command, candidates: &[Candidate]) -> Result<Output> {
        self.host.look_over(command, candidates)
    }

    fn is_chroot(&self) -> bool {
        self.host.is_chroot()
    }

    fn has_views(&self) -> bool {
        self.host.has_views()
    }

    fn has_program(&self, name: &str) -> bool {
        self.host.has_program(name)
    }

    fn now(&self) -> i128 {
        self.host.now()
    }

    fn uptime(&self) -> i128 {
        self.host.uptime()
    }

    fn pause(&self, time: Duration) {
        self.host.pause(time);
    }

    fn lock_holder(&self, path: &Path) -> Result<Option<u32>> {
        self.host.lock_holder(path)
    }

    fn write(&self, path: &Path, content: &[u8], attributes: &Attributes) -> Result<()> {
        self.host.write(path, content, attributes)
    }

    fn make_directory(&self, path: &Path, attributes: &Attributes) -> Result<()> {
        self.host.make_directory(path, attributes)
    }

    fn make_link(&self, path: &Path, target: &Path, attributes: &Attributes) -> Result<()> {
        self.host.make_link(path, target, attributes)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.host.rename(from, to)
    }

    fn set_attributes(&self, path: &Path, attributes: &Attributes) -> Result<()> {
        self.host.set_attributes(path, attributes)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.host.remove(path)
    }

    fn run(&self, command: &Command) -> Result<Output> {
        self.host.run(command)
    }

    fn run_watched(&self, command: &Command, on_line: &mut dyn FnMut(&str)) -> Result<Output> {
        self.host.run_watched(command, on_line)
    }

    fn sync(&self) -> Result<()> {
        self.host.sync()
    }

    fn lock_fcntl(&self, path: &Path) -> Result<Box<dyn Guard>> {
        self.host.lock_fcntl(path)
    }

    fn lock(&self, path: &Path, note: &str) -> Result<Box<dyn Guard>> {
        self.host.lock(path, note)
    }
}

#[cfg(test)]
mod tests;
