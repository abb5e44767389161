//! A tree on which the program's own commands run, in this process, on a host that shows each effect before it is made,
//! and fails where it is told to.

use crate::likeness::likeness;
use crate::support::tree::Tree;
use clap::Parser;
use std::cell::Cell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use vps_configurator::base::digest::Digest;
use vps_configurator::base::ids::TransactionId;
use vps_configurator::cli::args::Args;
use vps_configurator::cli::commands::{self, Outcome};
use vps_configurator::cli::exit::Exit;
use vps_configurator::cli::output::Output;
use vps_configurator::cli::session::{Site, recorded};
use vps_configurator::host::Host;
use vps_configurator::host::fake::{FakeHost, Fault, Moment};
use vps_configurator::journal::{Error, Journal, Result, StepRow, StepState, TransactionState, Watch, Write};

/// The program's state on a host.
pub const STATE: &str = "/var/lib/vps-configurator";

/// A tree and its clock.
#[derive(Debug)]
pub struct Ground {
    pub tree: Tree,
    /// Nanoseconds since the epoch; it never goes back.
    clock: Cell<i128>,
}

/// What is on the disk at a moment of a run.
#[derive(Debug)]
pub struct Point {
    /// What was about to be done, and whether its half is done.
    pub what: String,
    pub ground: Ground,
}

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    pub outcome: Outcome,
    /// How many effects it had.
    pub effects: u64,
    /// What was on the disk before and in the middle of those effects that were to be kept, where it was not known yet.
    pub points: Vec<Point>,
    /// At how many more moments it was like one that was known.
    pub alike: usize,
}

/// What hosts were like from which everything has been tried.
pub type Known = Arc<Mutex<HashSet<Digest>>>;

impl Run {
    /// Whether it ended well.
    pub fn is_done(&self) -> bool {
        matches!(self.outcome, Ok(Exit::Done))
    }

    /// Fails when it did not end well.
    #[track_caller]
    pub fn must_be_done(&self, when: &str) {
        assert!(self.is_done(), "{when}: it ended with {:?}", self.outcome);
    }
}

impl Ground {
    /// A tree as it is.
    pub fn new(tree: Tree) -> Ground {
        Ground { tree, clock: Cell::new(1_700_000_000_000_000_000) }
    }

    /// The same host once more.
    pub fn twin(&self) -> Ground {
        Ground { tree: self.tree.twin(), clock: self.clock.clone() }
    }

    /// Runs the program with the words of one line.
    pub fn run(&self, line: &str) -> Run {
        self.play(line, None, None)
    }

    /// The same, where the effect of this number fails.
    pub fn fail(&self, line: &str, number: u64) -> Run {
        self.play(line, Some(number), None)
    }

    /// The same, and what is on the disk before and in the middle of each effect is kept, where that is not `known` yet.
    pub fn watch(&self, line: &str, known: &Known) -> Run {
        self.play(line, None, Some(known))
    }

    /// The same after an effect that fails: what follows it is kept.
    pub fn fail_and_watch(&self, line: &str, number: u64, known: &Known) -> Run {
        self.play(line, Some(number), Some(known))
    }

    fn play(&self, line: &str, fails: Option<u64>, known: Option<&Known>) -> Run {
        let root = self.tree.root().to_owned();
        let wanted: Arc<Mutex<(Vec<Point>, usize)>> = Arc::default();
        let moments = Arc::clone(&wanted);
        let known = known.map(Arc::clone);
        let (tree, clock) = (self.tree.root().to_owned(), self.clock.get());
        // Effects come from the thread that runs the command.
        let observer = move |moment: &Moment<'_>| {
            let Some(known) = known.as_ref().filter(|_| fails.is_none_or(|number| moment.number > number)) else {
                return;
            };
            let at = moment.number;
            let twin = || Ground { tree: Tree::twin_of(&tree), clock: Cell::new(clock + HOUR) };
            let is_new = |root: &Path| known.lock().unwrap().insert(likeness(root));
            let mut moments = moments.lock().unwrap();
            if is_new(&tree) {
                moments.0.push(Point { what: format!("before effect {at}, {}", moment.what), ground: twin() });
            } else {
                moments.1 += 1;
            }
            for middle in 1.. {
                let part = twin();
                if !moment.halve(part.tree.root(), middle) {
                    break;
                }
                if is_new(part.tree.root()) {
                    let what = format!("in the middle ({middle}) of effect {at}, {}", moment.what);
                    moments.0.push(Point { what, ground: part });
                } else {
                    moments.1 += 1;
                }
            }
        };
        let host = match fails {
            Some(number) => FakeHost::with_fault(root.clone(), number, Fault::Fail),
            None => FakeHost::new(root.clone()),
        };
        let host = Arc::new(host.since(clock).observed(Box::new(observer)));
        let outcome = command(&host, &root, line);
        self.clock.set(host.now());
        drop(Arc::clone(&host));
        let (points, alike) = std::mem::take(&mut *wanted.lock().unwrap());
        Run { outcome, effects: host.effects(), points, alike }
    }

    /// The journal; `None` before there is one.
    pub fn journal(&self) -> Option<Journal> {
        Journal::open_to_read(&self.tree.at(STATE)).unwrap()
    }

    /// Where the transactions stand, oldest first.
    pub fn states(&self) -> Vec<TransactionState> {
        let rows = self.journal().map(|journal| journal.transactions().unwrap()).unwrap_or_default();
        rows.iter().rev().map(|row| row.state).collect()
    }

    /// Whether a transaction is under way, or was cut off.
    pub fn is_cut_off(&self) -> bool {
        self.states().contains(&TransactionState::Running)
    }

    /// How many steps of transactions newer than this one stand.
    pub fn standing_since(&self, tx: TransactionId) -> usize {
        let standing = self.journal().map(|journal| journal.standing().unwrap()).unwrap_or_default();
        standing.iter().filter(|step| step.tx > tx).count()
    }

    /// The newest transaction, 0 where there is none.
    pub fn newest(&self) -> TransactionId {
        let rows = self.journal().map(|journal| journal.transactions().unwrap()).unwrap_or_default();
        rows.iter().map(|row| row.id).max().unwrap_or(TransactionId(0))
    }

    /// Nothing is under way, nothing is owed, no undo is incomplete, and nothing half-made or held back is left behind.
    #[track_caller]
    pub fn must_be_settled(&self, when: &str) {
        self.must_be_closed(when);
        let left = self.leftovers();
        assert!(left.is_empty(), "{when}: left behind: {left:?}");
    }

    /// The same but for our own temporary files, which the next run takes away.
    #[track_caller]
    pub fn must_be_closed(&self, when: &str) {
        if let Some(journal) = self.journal() {
            let rows = journal.transactions().unwrap();
            let left: Vec<_> = rows.iter().filter(|row| row.state == TransactionState::Running).collect();
            assert!(left.is_empty(), "{when}: left in the journal: {left:#?}");
            let stuck = |step: &StepRow| step.state == StepState::UndoFailed;
            assert!(!journal.standing().unwrap().iter().any(stuck), "{when}: steps could not be undone");
            assert!(journal.owed().unwrap().is_empty(), "{when}: {:?} is owed", journal.owed().unwrap());
        }
        assert!(!self.tree.has("/usr/sbin/policy-rc.d"), "{when}: services are still held back");
    }

    /// Files of ours that no run may leave behind.
    fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        let mut ahead = vec![self.tree.root().to_owned()];
        while let Some(dir) = ahead.pop() {
            for entry in std::fs::read_dir(&dir).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                let path = format!("/{}", entry.path().strip_prefix(self.tree.root()).unwrap().display());
                if entry.file_type().unwrap().is_dir() {
                    ahead.push(entry.path());
                }
                let is_temporary = name.starts_with('.') && name.contains("vps-configurator");
                let in_store = path.starts_with("/var/lib/vps-configurator/objects/unfinished/");
                let in_run = path.starts_with("/run/vps-configurator/") && !STAYS.contains(&name.as_str());
                let fetched = path.starts_with("/var/cache/vps-configurator/downloads/");
                if is_temporary || in_store || in_run || fetched {
                    left.push(path);
                }
            }
        }
        left
    }
}

/// What lies in /run/vps-configurator between two runs.
const STAYS: [&str; 3] = ["lock", "held-units", "apt.log"];
/// Between a power cut and the next start.
const HOUR: i128 = 3_600_000_000_000;

fn command(host: &Arc<FakeHost>, root: &Path, line: &str) -> Outcome {
    let words = ["vps-configurator", "--quiet", "--root", root.to_str().unwrap()].into_iter().chain(line.split(' '));
    let words: Vec<std::ffi::OsString> = words.map(Into::into).collect();
    let args = Args::try_parse_from(&words).unwrap();
    let environment = Default::default();
    let output = Output::new(&args.global, &environment);
    let eye = Eye { host: Arc::clone(host), root: root.to_owned() };
    let site = Site { host: &**host, watch: Some(Arc::new(eye)) };
    commands::run(&site, &args, &recorded(&words), &environment, &output)
}

/// The journal's writes are effects like any other.
#[derive(Debug)]
struct Eye {
    host: Arc<FakeHost>,
    root: PathBuf,
}

impl Watch for Eye {
    fn before(&self, write: Write<'_>) -> Result<()> {
        let passed = match write {
            Write::Open => self.host.pass("open the journal", None),
            Write::Commit(what) => self.host.pass(&format!("commit the {what}"), None),
            Write::Object { beside, content } => {
                let beside = beside.strip_prefix(&self.root).unwrap();
                let half = |root: &Path, middle| {
                    std::fs::write(root.join(beside), &content[..content.len() / 2]).unwrap();
                    middle == 1
                };
                self.host.pass("put an object into the store", Some(&half))
            }
        };
        passed.map_err(|error| Error::Io(std::io::Error::other(error)))
    }
}
