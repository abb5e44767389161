//! The kill points of a case: every effect of an install and of its rollback fails, and the power goes before and in the
//! middle of each; the same while a failed module is taken back, and while a crash is recovered from. After each, the
//! host is finished or taken back, and looked at.
//!
//! Dying after an effect is dying before the next one, so that is no point of its own; and what is like a host from which
//! both ways were tried is not tried again. Two faults in one life are too many to combine all: of the first ones of composed
//! plans few are taken, others in each, with all that can follow; `CRASH_ALL=1` takes all of every case.

use crate::ground::{Ground, Known, Point, Run};
use crate::likeness::likeness;
use crate::support::listing::{Listing, differences};
use crate::support::tree::Tree;
use std::collections::HashSet;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use vps_configurator::base::digest::Digest;
use vps_configurator::base::ids::TransactionId;
use vps_configurator::journal::{StepState, TransactionState};

/// What is put on a host, and where it is put.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: String,
    /// The whole line that installs it.
    pub install: String,
    pub tree: fn(&str) -> Tree,
    /// Paths that begin so need not come back.
    pub but: Option<&'static str>,
    /// After how many of the errors, and of the deaths, there is a second fault, at every effect that follows.
    pub second: usize,
}

impl Case {
    /// What of a host counts.
    fn listing(&self, ground: &Ground) -> Listing {
        let mut listing = ground.tree.listing();
        listing.retain(|path, _| !self.but.is_some_and(|start| path.starts_with(start)));
        listing
    }
}

/// What was done.
#[derive(Debug, Default, Clone, Copy)]
pub struct Count {
    /// Effects that failed, and moments at which the power went.
    pub points: usize,
    /// Runs of the program that recovered from them.
    pub runs: usize,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Count) {
        self.points += other.points;
        self.runs += other.runs;
    }
}

/// A case under way: how the host was before, and how it is when nothing goes wrong.
struct Play<'a> {
    case: &'a Case,
    base: Ground,
    /// The newest transaction on the host before, 0 where there is none.
    since: TransactionId,
    /// What takes back all that came after it.
    roll_back: String,
    before: Listing,
    installed: Ground,
    after: Listing,
    state: TransactionState,
    count: Count,
    /// From what both ways were tried.
    known: Known,
    /// What was there when this line was run, and that went well.
    tried: HashSet<(Digest, String)>,
}

/// Plays all points of a case.
pub fn play(case: &Case) -> Count {
    let base = Ground::new((case.tree)(&case.name));
    let before = case.listing(&base);
    let since = base.newest();
    let roll_back = format!("rollback --to {since} --yes");
    let installed = base.twin();
    let known = Known::default();
    let clean = installed.watch(&case.install, &known);
    let state = installed.states().last().copied().unwrap_or_else(|| panic!("{}: {:?}", case.name, clean.outcome));
    installed.must_be_settled(&format!("{}, without a fault", case.name));
    let after = case.listing(&installed);
    let (count, tried) = (Count::default(), HashSet::new());
    let mut play = Play { case, base, since, roll_back, before, installed, after, state, count, known, tried };
    if state == TransactionState::Done {
        clean.must_be_done(&case.name);
        assert!(!differences(&play.before, &play.after).is_empty(), "{}: it changes nothing", case.name);
    }
    play.deaths_in_the_install(&clean);
    play.errors_in_the_install(clean.effects);
    let back = play.deaths_in_the_rollback();
    play.errors_in_the_rollback(back);
    play.deaths_in_the_recovery(&clean);
    play.count
}

impl Play<'_> {
    fn all(&self) -> bool {
        std::env::var_os("CRASH_ALL").is_some()
    }

    /// Whether the first fault number `at` of `all` is one after which there is a second one.
    fn takes(&self, at: usize, all: usize) -> bool {
        let apart = all.checked_div(self.case.second).map(|apart| apart.max(1));
        self.all() || apart.is_some_and(|apart| (at + self.case.name.len()).is_multiple_of(apart))
    }

    /// Whether it is the first time that what follows from `line` is looked at on a host like this.
    fn is_new(&mut self, ground: &Ground, line: &str) -> bool {
        self.tried.insert((likeness(ground.tree.root()), line.to_owned()))
    }

    fn run(&mut self, ground: &Ground, line: &str) -> Run {
        self.count.runs += 1;
        ground.run(line)
    }

    fn deaths_in_the_install(&mut self, clean: &Run) {
        self.count.points += clean.alike;
        for (number, point) in clean.points.iter().enumerate() {
            self.count.points += 1;
            self.finished_and_undone(number, point);
        }
    }

    /// From what is on the disk both ways lead to their end.
    fn finished_and_undone(&mut self, number: usize, point: &Point) {
        let when = format!("{}: the power went {}", self.case.name, point.what);
        if !point.ground.is_cut_off() {
            return self.nothing_is_under_way(&point.ground, &when);
        }
        self.finished(point.ground.twin(), number, &when);
        self.undone(point.ground.twin(), number, &when);
    }

    /// Nothing had begun, or all was over: the host is as before or as it shall be, and there is nothing to recover.
    fn nothing_is_under_way(&mut self, ground: &Ground, when: &str) {
        let ground = ground.twin();
        self.run(&ground, "recover").must_be_done(when);
        ground.must_be_settled(when);
        let wanted = if ground.standing_since(self.since) == 0 { &self.before } else { &self.after };
        self.must_be(&ground, wanted, when);
    }

    fn finished(&mut self, ground: Ground, number: usize, when: &str) {
        let line = if number.is_multiple_of(2) { "recover --direction finish" } else { self.case.install.as_str() };
        let when = format!("{when}, then `{line}`");
        let run = self.run(&ground, line);
        ground.must_be_settled(&format!("{when} ({:?})", run.outcome));
        let state = ground.states().into_iter().rev().find(|state| *state != TransactionState::Undone);
        let is_back = ground.standing_since(self.since) == 0;
        if is_back {
            // It was being taken back when the power went.
            self.must_be(&ground, &self.before, &format!("{when}, taken back"));
        } else {
            assert_eq!(state, Some(self.state), "{when}: {:?}", run.outcome);
            self.must_be(&ground, &self.after, &format!("{when}, finished"));
        }
        if self.is_new(&ground, &self.roll_back.clone()) {
            self.run(&ground, &self.roll_back.clone()).must_be_done(&format!("{when}, then the rollback"));
            self.must_be_back(&ground, &format!("{when}, then the rollback"));
        }
    }

    fn undone(&mut self, ground: Ground, number: usize, when: &str) {
        let line =
            if number.is_multiple_of(2) { "recover --direction undo".to_owned() } else { self.roll_back.clone() };
        let when = format!("{when}, then `{line}`");
        self.run(&ground, &line).must_be_done(&when);
        self.must_be_back(&ground, &when);
    }

    #[track_caller]
    fn must_be(&self, ground: &Ground, wanted: &Listing, when: &str) {
        let lines = differences(wanted, &self.case.listing(ground));
        assert!(lines.is_empty(), "{when}: the host is not as it must be:\n{}", lines.join("\n"));
    }

    #[track_caller]
    fn must_be_back(&self, ground: &Ground, when: &str) {
        self.must_be(ground, &self.before, when);
        assert_eq!(ground.standing_since(self.since), 0, "{when}: steps stand");
        ground.must_be_settled(when);
    }

    /// Each effect fails once; what follows from that, and the power going meanwhile, too.
    fn errors_in_the_install(&mut self, effects: u64) {
        for number in 1..=effects {
            self.count.points += 1;
            let when = format!("{}: an error at effect {number}", self.case.name);
            let ground = self.base.twin();
            let watched = self.takes(usize::try_from(number).unwrap(), usize::try_from(effects).unwrap());
            let install = self.case.install.clone();
            let run = if watched {
                ground.fail_and_watch(&install, number, &self.known)
            } else {
                ground.fail(&install, number)
            };
            self.count.runs += 1;
            let when = format!("{when} ({:?})", run.outcome);
            self.count.points += run.alike;
            for (at, point) in run.points.iter().enumerate() {
                self.count.points += 1;
                let point = Point {
                    what: format!("after an error at effect {number}, {}", point.what),
                    ground: point.ground.twin(),
                };
                self.finished_and_undone(at, &point);
            }
            if ground.is_cut_off() {
                let point = Point { what: when, ground };
                self.finished_and_undone(usize::try_from(number).unwrap(), &point);
                continue;
            }
            ground.must_be_closed(&when);
            if !self.is_new(&ground, "after an error") {
                continue;
            }
            let other = ground.twin();
            self.run(&other, &self.roll_back.clone()).must_be_done(&when);
            // What a boot does: it takes our own temporary files away, also where nothing stood.
            self.run(&other, "recover").must_be_done(&when);
            self.must_be_back(&other, &when);
            let again = self.run(&ground, &install);
            let when = format!("{when}, then once more");
            ground.must_be_settled(&when);
            assert_eq!(ground.states().last(), Some(&self.state), "{when}: {:?}", again.outcome);
            self.must_be(&ground, &self.after, &when);
        }
    }

    fn deaths_in_the_rollback(&mut self) -> u64 {
        let ground = self.installed.twin();
        self.is_new(&ground, &self.roll_back.clone());
        let run = ground.watch(&self.roll_back.clone(), &Known::default());
        let when = format!("{}: a rollback", self.case.name);
        run.must_be_done(&when);
        self.must_be_back(&ground, &when);
        self.count.points += run.alike;
        for (number, point) in run.points.iter().enumerate() {
            self.count.points += 1;
            let when = format!("{}: the power went in the rollback {}", self.case.name, point.what);
            let ground = point.ground.twin();
            if !ground.is_cut_off() {
                self.nothing_is_under_way(&ground, &when);
                continue;
            }
            let line = if number.is_multiple_of(2) { "recover" } else { "recover --direction undo" };
            self.run(&ground, line).must_be_done(&when);
            self.must_be_back(&ground, &when);
        }
        run.effects
    }

    fn errors_in_the_rollback(&mut self, effects: u64) {
        for number in 1..=effects {
            self.count.points += 1;
            let ground = self.installed.twin();
            let run = ground.fail(&self.roll_back.clone(), number);
            self.count.runs += 1;
            let when = format!("{}: an error at effect {number} of the rollback ({:?})", self.case.name, run.outcome);
            let stuck = ground.journal().map_or(0, |journal| {
                journal.standing().unwrap().iter().filter(|s| s.state == StepState::UndoFailed).count()
            });
            assert!(
                !run.is_done() || stuck == 0,
                "{when}: it says that all is well, and {stuck} steps could not be undone"
            );
            if !self.is_new(&ground, "after an error in the rollback") {
                continue;
            }
            if ground.is_cut_off() {
                self.run(&ground, "recover").must_be_done(&when);
            }
            self.run(&ground, &self.roll_back.clone()).must_be_done(&format!("{when}, then once more"));
            self.must_be_back(&ground, &format!("{when}, then once more"));
        }
    }

    /// The power goes in the install, and again while that is recovered from, whichever way.
    fn deaths_in_the_recovery(&mut self, clean: &Run) {
        let cut_off: Vec<&Point> = clean.points.iter().filter(|point| point.ground.is_cut_off()).collect();
        let all = cut_off.len();
        for (number, first) in cut_off.into_iter().enumerate() {
            if !self.takes(number, all) {
                continue;
            }
            for way in ["finish", "undo"] {
                let ground = first.ground.twin();
                let run = ground.watch(&format!("recover --direction {way}"), &self.known);
                self.count.runs += 1;
                self.count.points += run.alike;
                for (at, second) in run.points.iter().enumerate() {
                    self.count.points += 1;
                    let what = format!("{}, and once more in `recover --direction {way}` {}", first.what, second.what);
                    let point = Point { what, ground: second.ground.twin() };
                    self.finished_and_undone(at + number, &point);
                }
            }
        }
    }
}

/// Plays cases on as many threads as there are processors, and says what came of it.
pub fn play_all(what: &str, cases: &[Case]) {
    let next = AtomicUsize::new(0);
    let (sum, failed) = (Mutex::new(Count::default()), Mutex::new(Vec::new()));
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
            match catch_unwind(|| play(case)) {
                Ok(count) => {
                    println!("  {:<36} {:>5} kill points, {:>5} runs", case.name, count.points, count.runs);
                    *sum.lock().unwrap() += count;
                }
                Err(_) => failed.lock().unwrap().push(case.name.clone()),
            }
        }
    };
    std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        (0..workers).for_each(|_| drop(scope.spawn(work)));
    });
    let (sum, failed) = (sum.into_inner().unwrap(), failed.into_inner().unwrap());
    assert!(failed.is_empty(), "{} of {} cases failed: {failed:#?}", failed.len(), cases.len());
    println!("{what}: {} kill points, {} runs of the program after them, all recovered", sum.points, sum.runs);
}
