//! A bench for kinds under test: a host in a temporary root, and the life of a step as the engine drives it.

use super::preimage;
use crate::engine::{Change, Context, Outcome, Resource, Scope, Silent, State, Undoers};
use crate::host::{self, Attributes, Command, Guard, Host, Kind, Meta, Output, Space};
use crate::journal::Objects;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A temporary root with a host, an object store and the programs that a test puts there.
#[derive(Debug)]
pub struct Bench {
    dir: tempfile::TempDir,
    host: RootHost,
    objects: Objects,
}

impl Bench {
    /// An almost empty Debian: `/etc` with the accounts files, `/run`, `/var/lib`.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let bench = Bench {
            objects: Objects::new(dir.path().join("objects")),
            host: RootHost { root },
            dir,
        };
        for d in [
            "etc", "run", "var/lib", "usr/bin", "usr/sbin", "proc", "tmp",
        ] {
            fs::create_dir_all(bench.at(&format!("/{d}"))).unwrap();
        }
        bench.put(
            "/etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/bash\n",
        );
        bench.put("/etc/group", "root:x:0:\nada:x:1000:\nadm:x:4:\n");
        bench
    }

    /// The real path of `path`.
    pub fn at(&self, path: &str) -> PathBuf {
        self.host.root.join(path.trim_start_matches('/'))
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
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/support/programs")
            .join(name);
        self.put(&format!("/usr/sbin/{name}"), fs::read(script).unwrap());
        fs::set_permissions(
            self.at(&format!("/usr/sbin/{name}")),
            fs::Permissions::from_mode(0o755),
        )
        .unwrap();
    }

    /// The text of a file.
    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    /// The host.
    pub fn host(&self) -> &dyn Host {
        &self.host
    }

    /// What resources work with.
    pub fn context(&self) -> Context<'_> {
        Context {
            host: &self.host,
            objects: &self.objects,
            progress: &Silent,
        }
    }

    /// The whole tree: path to kind, mode, owner, content. Our own state and /run are left out.
    pub fn tree(&self) -> BTreeMap<String, String> {
        let mut tree = BTreeMap::new();
        self.walk(&self.host.root, &mut tree);
        tree.retain(|path, _| !path.starts_with("/run/vps-") && !path.starts_with("/var/lib/vps-"));
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
            let name = format!("/{}", path.strip_prefix(&self.host.root).unwrap().display());
            tree.insert(
                name,
                format!("{:o} {}:{} {what}", meta.mode(), meta.uid(), meta.gid()),
            );
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
        assert_eq!(
            left,
            change.after,
            "the plan of {} promised otherwise",
            resource.id()
        );
        let again = resource.compare(&left).unwrap();
        assert!(
            !again.is_needed(),
            "{} is left to do: {again:?}",
            resource.id()
        );
        Step {
            bench: self,
            record,
            after,
            change,
        }
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
        undo.undo(&self.bench.context(), &Scope::Whole, self.after.as_ref())
            .unwrap()
    }
}

/// The kinds of records that the kinds of this folder write.
pub fn undoers() -> Undoers {
    Undoers::new(&[(preimage::KIND, preimage::Paths::decode)])
}

/// The smallest host on a directory: no extended attributes, no locks. For tests only.
#[derive(Debug)]
struct RootHost {
    root: PathBuf,
}

impl RootHost {
    fn real(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap())
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        ["usr/sbin", "usr/bin", "sbin", "bin"]
            .iter()
            .map(|d| self.root.join(d).join(name))
            .find(|p| p.exists())
    }
}

fn io_error(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> host::Error {
    let path = path.to_owned();
    move |source| host::Error::Io { act, path, source }
}

impl Host for RootHost {
    fn meta(&self, path: &Path) -> host::Result<Option<Meta>> {
        let real = self.real(path);
        let meta = match fs::symlink_metadata(&real) {
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            other => other.map_err(io_error("look at", path))?,
        };
        let kind = if meta.is_symlink() {
            Kind::Link(fs::read_link(&real).unwrap())
        } else if meta.is_dir() {
            Kind::Directory
        } else if meta.is_file() {
            Kind::File
        } else {
            Kind::Other
        };
        let attributes = Attributes {
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            xattrs: BTreeMap::new(),
        };
        let modified = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        Ok(Some(Meta {
            kind,
            attributes,
            size: meta.size(),
            modified,
        }))
    }

    fn read(&self, path: &Path) -> host::Result<Vec<u8>> {
        fs::read(self.real(path)).map_err(io_error("read", path))
    }

    fn list(&self, dir: &Path) -> host::Result<Vec<OsString>> {
        let mut names: Vec<OsString> = match fs::read_dir(self.real(dir)) {
            Ok(entries) => entries.map(|e| e.unwrap().file_name()).collect(),
            Err(_) => Vec::new(),
        };
        names.sort();
        Ok(names)
    }

    fn space(&self, _path: &Path) -> host::Result<Space> {
        Ok(Space {
            available: 1 << 34,
            total: 1 << 35,
            device: 1,
            read_only: false,
        })
    }

    fn look(&self, command: &Command) -> host::Result<Output> {
        self.run(command)
    }

    fn has_program(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn now(&self) -> i128 {
        0
    }

    fn pause(&self, _time: Duration) {}

    fn lock_holder(&self, _path: &Path) -> host::Result<Option<u32>> {
        Ok(None)
    }

    fn write(&self, path: &Path, content: &[u8], attributes: &Attributes) -> host::Result<()> {
        let real = self.real(path);
        let beside = real.with_file_name(".beside");
        fs::write(&beside, content).map_err(io_error("write", path))?;
        lchown(&beside, Some(attributes.uid), Some(attributes.gid))
            .map_err(io_error("own", path))?;
        fs::set_permissions(&beside, fs::Permissions::from_mode(attributes.mode)).unwrap();
        fs::rename(&beside, &real).map_err(io_error("write", path))
    }

    fn make_directory(&self, path: &Path, attributes: &Attributes) -> host::Result<()> {
        fs::create_dir(self.real(path)).map_err(io_error("make", path))?;
        self.set_attributes(path, attributes)
    }

    fn make_link(&self, path: &Path, target: &Path, attributes: &Attributes) -> host::Result<()> {
        let beside = self.real(path).with_file_name(".beside");
        symlink(target, &beside).map_err(io_error("link", path))?;
        lchown(&beside, Some(attributes.uid), Some(attributes.gid))
            .map_err(io_error("own", path))?;
        fs::rename(&beside, self.real(path)).map_err(io_error("link", path))
    }

    fn set_attributes(&self, path: &Path, attributes: &Attributes) -> host::Result<()> {
        lchown(self.real(path), Some(attributes.uid), Some(attributes.gid))
            .map_err(io_error("own", path))?;
        fs::set_permissions(self.real(path), fs::Permissions::from_mode(attributes.mode))
            .map_err(io_error("set the mode of", path))
    }

    fn remove(&self, path: &Path) -> host::Result<()> {
        let real = self.real(path);
        let gone = match fs::symlink_metadata(&real) {
            Ok(meta) if meta.is_dir() => fs::remove_dir(&real),
            Ok(_) => fs::remove_file(&real),
            Err(_) => Ok(()),
        };
        gone.map_err(io_error("remove", path))
    }

    fn run(&self, command: &Command) -> host::Result<Output> {
        let no_program = || host::Error::NoProgram {
            program: command.program.clone(),
        };
        let program = match command.program.strip_prefix('/') {
            Some(rest) => Some(self.root.join(rest)).filter(|p| p.exists()),
            None => self.find(&command.program),
        };
        let output = std::process::Command::new(program.ok_or_else(no_program)?)
            .args(&command.args)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("VPS_ROOT", &self.root)
            .output()
            .map_err(io_error("run", Path::new(&command.program)))?;
        let code = output.status.code().unwrap_or(128);
        if command.accept.contains(&code) {
            return Ok(Output {
                code,
                stdout: output.stdout,
                stderr: output.stderr,
            });
        }
        let tail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(host::Error::Failed {
            command: command.shown(),
            code,
            tail,
        })
    }

    fn lock(&self, _path: &Path, _note: &str) -> host::Result<Box<dyn Guard>> {
        #[derive(Debug)]
        struct Free;
        impl Guard for Free {}
        Ok(Box::new(Free))
    }
}
