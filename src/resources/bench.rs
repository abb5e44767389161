//! A bench for kinds under test: a host in a temporary root, and the life of a step as the engine drives it.

use super::{hostname, kernel_module, locale, preimage, swap, sysctl};
use crate::engine::{Change, Context, Outcome, Patience, Resource, Scope, Silent, State, Undoers};
use crate::host::Host;
use crate::host::fake::{FakeHost, Fault};
use crate::host::real::RealHost;
use crate::journal::Objects;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

/// How others are waited for.
pub const PATIENCE: Patience<'static> = Patience::of(super::package::LOCK_WAIT);

/// A temporary root with a host, an object store and the programs that a test puts there.
#[derive(Debug)]
pub struct Bench {
    dir: tempfile::TempDir,
    host: RealHost,
    objects: Objects,
}

impl Bench {
    /// An almost empty Debian: `/etc` with the accounts files, `/run`, `/var/lib`.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench {
            objects: Objects::new(dir.path().join("objects")),
            host: RealHost::new(dir.path().join("root")),
            dir,
        };
        for d in ["etc", "run", "var/lib", "var/cache", "usr/bin", "usr/sbin", "proc", "tmp"] {
            fs::create_dir_all(bench.at(&format!("/{d}"))).unwrap();
        }
        bench.simulated("stage");
        bench.put("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/bash\n");
        bench.put("/etc/.pwd.lock", "");
        bench.put("/etc/group", "root:x:0:\nada:x:1000:\nadm:x:4:\n");
        bench
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// The real path of `path`.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    /// Puts a file there, its parents too.
    pub fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        let at = self.at(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, content).unwrap();
    }

    /// Puts a program there: the body of a shell script, run with `VPS_ROOT` set.
    pub fn program(&self, name: &str, body: &str) {
        let path = format!("/usr/sbin/{name}");
        self.put(&path, format!("#!/bin/sh\n{body}\n"));
        fs::set_permissions(self.at(&path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Puts the shared simulated program of that name there.
    pub fn simulated(&self, name: &str) {
        self.simulated_at(name, &format!("/usr/sbin/{name}"));
    }

    /// The same, at a path of its own.
    pub fn simulated_at(&self, name: &str, path: &str) {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/programs");
        self.put(path, fs::read(programs.join(name)).unwrap());
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The text of a file.
    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    /// The host.
    pub fn host(&self) -> &dyn Host {
        &self.host
    }

    /// The same host with a clock of its own, which doesn't wait.
    pub fn fake(&self) -> FakeHost {
        FakeHost::new(self.root())
    }

    /// What resources work with.
    pub fn context(&self) -> Context<'_> {
        Context { host: &self.host, objects: &self.objects, progress: &Silent, patience: PATIENCE }
    }

    /// The whole tree: path to kind, mode, owner, content. Our own state and /run are left out.
    pub fn tree(&self) -> BTreeMap<String, String> {
        let mut tree = BTreeMap::new();
        self.walk(&self.root(), &mut tree);
        let own = ["/run/vps-", "/run/.vps-", "/var/lib/vps-", "/var/cache/vps-", "/var/cache/.vps-"];
        tree.retain(|path, _| !own.iter().any(|dir| path.starts_with(dir)));
        tree
    }

    fn walk(&self, dir: &Path, tree: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let what = if meta.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if meta.is_file() {
                format!("{:?}", String::from_utf8_lossy(&fs::read(&path).unwrap()))
            } else {
                "directory".to_owned()
            };
            let name = format!("/{}", path.strip_prefix(self.root()).unwrap().display());
            tree.insert(name, format!("{:o} {}:{} {what}", meta.mode(), meta.uid(), meta.gid()));
            if meta.is_dir() {
                self.walk(&path, tree);
            }
        }
    }

    /// What is seen and what must change.
    pub fn plan(&self, resource: &dyn Resource) -> (State, Change) {
        let seen = resource.observe(&self.host).unwrap();
        let change = resource.compare(&seen).unwrap();
        (seen, change)
    }

    /// One step as the engine takes it, up to its verification: the change must do what the plan promised and leave
    /// nothing to do.
    pub fn step(&self, resource: &dyn Resource) -> Step<'_> {
        let (seen, change) = self.plan(resource);
        assert!(change.is_needed(), "nothing to do for {}", resource.id());
        let record = resource.capture(&self.context(), &seen, &change).unwrap();
        resource.apply(&self.context(), &seen, &change).unwrap();
        // A crash may have come between the change and its mark: it is made again.
        resource.apply(&self.context(), &seen, &change).unwrap();
        let undo = undoers().decode(&record).unwrap();
        let after = undo.settle(&self.context()).unwrap();
        let left = resource.observe(&self.host).unwrap();
        assert_eq!(left, change.after, "the plan of {} promised otherwise", resource.id());
        let again = resource.compare(&left).unwrap();
        assert!(!again.is_needed(), "{} is left to do: {again:?}", resource.id());
        Step { bench: self, record, after, change }
    }

    /// A step, its undo, its undo once more: the tree must be as before.
    pub fn there_and_back(&self, resource: &dyn Resource) -> Change {
        let before = self.tree();
        let step = self.step(resource);
        assert_ne!(self.tree(), before);
        assert_eq!(step.undo(), Outcome::Undone);
        assert_eq!(self.tree(), before);
        let _ = step.undo();
        assert_eq!(self.tree(), before);
        step.change
    }
}

/// A step that was made.
#[derive(Debug)]
pub struct Step<'a> {
    bench: &'a Bench,
    /// Its undo record.
    pub record: crate::engine::UndoRecord,
    after: Option<serde_json::Value>,
    /// Its change.
    pub change: Change,
}

impl Step<'_> {
    /// Takes it back, after asking what that would do.
    pub fn undo(&self) -> Outcome {
        let undo = undoers().decode(&self.record).unwrap();
        undo.describe(&self.bench.context(), &Scope::Whole).unwrap();
        undo.undo(&self.bench.context(), &Scope::Whole, self.after.as_ref()).unwrap()
    }
}

/// The power goes at every effect of the change and of its undo. `make` sets up a bench and the resource.
///
/// After each death the change is made again, or taken back at once; the undo is done again. Each time the host must
/// be as planned, or as before.
pub fn survives_every_crash(make: impl Fn() -> (Bench, Box<dyn Resource>)) {
    for fault in [Fault::DieBefore, Fault::DieMiddle, Fault::DieAfter] {
        for number in 1.. {
            let (bench, resource) = make();
            let before = bench.tree();
            let (seen, change) = bench.plan(&*resource);
            let record = resource.capture(&bench.context(), &seen, &change).unwrap();
            let undo = || {
                let undo = undoers().decode(&record).unwrap();
                let _ = undo.undo(&bench.context(), &Scope::Whole, None).unwrap();
                assert_eq!(bench.tree(), before, "undone after {fault:?} at {number}");
            };
            let dying = FakeHost::with_fault(bench.root(), number, fault);
            let context = Context { host: &dying, ..bench.context() };
            let died = dies(|| drop(resource.apply(&context, &seen, &change)));
            undo();
            let (seen, change) = bench.plan(&*resource);
            let dying = FakeHost::with_fault(bench.root(), number, fault);
            let context = Context { host: &dying, ..bench.context() };
            dies(|| drop(resource.apply(&context, &seen, &change)));
            resource.apply(&bench.context(), &seen, &change).unwrap();
            assert_eq!(resource.observe(bench.host()).unwrap(), change.after, "again after {fault:?} at {number}");
            let dying = FakeHost::with_fault(bench.root(), number, fault);
            let context = Context { host: &dying, ..bench.context() };
            let taken_back = undoers().decode(&record).unwrap();
            let undo_died = dies(|| drop(taken_back.undo(&context, &Scope::Whole, None)));
            undo();
            if !died && !undo_died {
                break;
            }
        }
    }
}

/// Whether the power went while `act` ran: a dead host unwinds.
pub fn dies(act: impl FnOnce()) -> bool {
    std::panic::catch_unwind(AssertUnwindSafe(act)).is_err()
}

/// The kinds of records that the kinds of this folder write.
pub fn undoers() -> Undoers {
    Undoers::new(&[
        (preimage::KIND, preimage::Paths::decode),
        (super::command::UNDO, super::command::decode),
        (super::firewall::UNDO, super::firewall::decode),
        (super::group::UNDO, super::group::decode),
        (super::member::UNDO, super::member::decode),
        (super::unit::UNDO, super::unit::decode),
        (super::user::UNDO, super::user::decode),
        (hostname::KIND, hostname::decode),
        (kernel_module::KIND, kernel_module::decode),
        (locale::KIND, locale::decode),
        (swap::KIND, swap::decode),
        (sysctl::KIND, sysctl::decode),
    ])
}
