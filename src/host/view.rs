//! A view of the machine in which candidates lie over the real files, for one program and nobody else: what a daemon
//! would say of its whole configuration, asked before any of it is changed.
//!
//! On the machine a thread takes a mount namespace of its own (unshare(2)). Each directory in which a candidate lies is
//! covered there by an empty tmpfs, in which everything that the directory really holds is bound again (mount(2)), but
//! for what the candidates replace. Bind mounts alone, no overlayfs: they are allowed wherever a namespace is, in
//! containers of every kind too, and they keep owners, modes and mounts below. Namespace and mounts end with the thread
//! and its program, also when both are killed; of the candidates nothing ever lies on the disk.
//!
//! Under the root of a test a tree of links stands for it, so that tests need no privilege.

use super::{Attributes, Error, Host, RealHost, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, fstat};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A path as it would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where.
    pub path: PathBuf,
    /// What would be there.
    pub shape: Shape,
    /// With which owner and mode.
    pub attributes: Attributes,
}

/// What a candidate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A regular file with this content.
    File(Vec<u8>),
    /// A symbolic link to this target.
    Link(PathBuf),
}

/// The nearest directory above each candidate that is there, and what in it gives way to candidates.
type Covered = BTreeMap<PathBuf, BTreeSet<OsString>>;

/// Does `look` on this machine in a thread that alone sees the candidates.
///
/// # Errors
/// [`Error::NoView`] when no such namespace can be had here; what `look` returns.
pub(super) fn on_the_machine<T: Send>(
    host: &RealHost,
    candidates: &[Candidate],
    look: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let seen = std::thread::scope(|scope| {
        let alone = || {
            unshare(CloneFlags::CLONE_NEWNS).map_err(|e| no_view("take a mount namespace", e))?;
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
                .map_err(|e| no_view("keep mounts private", e))?;
            // What a checker leaves in a home or in /tmp ends with the view.
            tmpfs(Path::new("/tmp"), "mode=1777")?;
            cover(host, candidates)?;
            look()
        };
        scope.spawn(alone).join()
    });
    seen.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn no_view(act: &str, errno: Errno) -> Error {
    Error::NoView { why: format!("cannot {act}: {}", errno.desc()) }
}

fn tmpfs(at: &Path, options: &str) -> Result<()> {
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(options))
        .map_err(|e| no_view(&format!("mount a tmpfs over {}", at.display()), e))
}

fn cover(host: &RealHost, candidates: &[Candidate]) -> Result<()> {
    let failed = |e: io::Error| Error::NoView { why: format!("the view can't be made: {e}") };
    let mut covered = Covered::new();
    for candidate in candidates {
        let (dir, name) = nearest(&candidate.path).map_err(failed)?;
        covered.entry(dir).or_default().insert(name);
    }
    // A directory sorts before what lies in it: the cover of the outer one shows the inner one, which is covered next.
    for (dir, replaced) in &covered {
        cover_one(dir, replaced)?;
    }
    for candidate in candidates {
        lay(host, candidate)?;
    }
    Ok(())
}

/// The nearest directory above `path` that is there, by its real name, and the name in it that leads to `path`.
fn nearest(path: &Path) -> io::Result<(PathBuf, OsString)> {
    for above in path.ancestors().skip(1) {
        match fs::canonicalize(above) {
            Ok(dir) => {
                let first = path.strip_prefix(above).ok().and_then(|rest| rest.iter().next());
                return Ok((dir, first.unwrap_or_default().to_owned()));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Err(Errno::ENOENT.into())
}

/// Covers a directory by a tmpfs that shows all of it but the names that are replaced.
fn cover_one(dir: &Path, replaced: &BTreeSet<OsString>) -> Result<()> {
    let told = |e: Errno| no_view(&format!("cover {}", dir.display()), e);
    let below = open(dir, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).map_err(told)?;
    let stat = fstat(&below).map_err(told)?;
    tmpfs(dir, &format!("mode={:o},uid={},gid={}", stat.st_mode & 0o7777, stat.st_uid, stat.st_gid))?;
    // Through the descriptor, what is covered can still be reached.
    let real = PathBuf::from(format!("/proc/self/fd/{}", below.as_raw_fd()));
    let show = |name: &OsString| -> io::Result<()> {
        let (from, to) = (real.join(name), dir.join(name));
        let kind = fs::symlink_metadata(&from)?.file_type();
        if kind.is_symlink() {
            return symlink(fs::read_link(&from)?, &to);
        }
        if kind.is_dir() {
            fs::create_dir(&to)?;
        } else {
            fs::File::create(&to)?;
        }
        let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
        Ok(mount(Some(&from), &to, None::<&str>, bind, None::<&str>)?)
    };
    let listed =
        fs::read_dir(&real).and_then(|all| all.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>());
    for name in
        listed.map_err(|e| Error::NoView { why: e.to_string() })?.iter().filter(|name| !replaced.contains(*name))
    {
        match show(name) {
            // Somebody removed it meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(real.join(name)).is_err() => {}
            shown => shown.map_err(|e| Error::NoView {
                why: format!("cannot show {} in the view: {e}", dir.join(name).display()),
            })?,
        }
    }
    Ok(())
}

/// Puts a candidate in its place in the view.
fn lay(host: &RealHost, candidate: &Candidate) -> Result<()> {
    let path = &candidate.path;
    // A tmpfs keeps no extended attributes of users, and no checker asks for them.
    let attributes = Attributes { xattrs: BTreeMap::new(), ..candidate.attributes.clone() };
    let missing: Vec<&Path> =
        path.ancestors().skip(1).take_while(|above| matches!(host.meta(above), Ok(None))).collect();
    let made = missing.iter().rev().try_for_each(|dir| host.make_directory(dir, &Attributes::root(0o755)));
    let laid = made.and_then(|()| match &candidate.shape {
        Shape::File(content) => host.write(path, content, &attributes),
        Shape::Link(target) => host.make_link(path, target, &attributes),
    });
    laid.map_err(|e| Error::NoView { why: e.to_string() })
}

/// A tree that stands for a root with candidates over it: links to everything that the root holds, but for them.
#[derive(Debug)]
pub(super) struct Farm(PathBuf);

impl Farm {
    /// The tree for `root`.
    pub fn of(root: &Path, candidates: &[Candidate]) -> Result<Farm> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("view-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let farm = Farm(root.join("run/vps-configurator").join(name));
        let failed = |source: io::Error| Error::Io { act: "make", path: farm.0.clone(), source };
        fs::create_dir_all(&farm.0).map_err(failed)?;
        let root = fs::canonicalize(root).map_err(failed)?;
        let host = RealHost::new(farm.0.clone());
        grow(&farm.0, &root, Path::new("")).map_err(failed)?;
        for candidate in candidates {
            let path = candidate.path.strip_prefix("/").unwrap_or(&candidate.path);
            let mut above: Vec<&Path> = path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()).collect();
            above.reverse();
            for dir in above {
                grow(&farm.0, &root, dir).map_err(failed)?;
            }
            lay(&host, candidate)?;
        }
        Ok(farm)
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.0
    }
}

/// Makes `dir` of the farm a directory of links to what `dir` of the root holds, unless it is one.
fn grow(farm: &Path, root: &Path, dir: &Path) -> io::Result<()> {
    let (here, real) = (farm.join(dir), root.join(dir));
    if fs::symlink_metadata(&here).is_ok_and(|meta| meta.is_symlink()) {
        fs::remove_file(&here)?;
    } else if here != *farm && here.exists() || !real.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(&here)?;
    for entry in fs::read_dir(&real)? {
        let name = entry?.file_name();
        symlink(real.join(&name), here.join(&name))?;
    }
    Ok(())
}

impl Drop for Farm {
    fn drop(&mut self) {
        // It holds links and candidates only; what can't be removed lies in the run directory of a test.
        drop(fs::remove_dir_all(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Command, FakeHost};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn file(path: &str, text: &str) -> Candidate {
        Candidate { path: path.into(), shape: Shape::File(text.into()), attributes: Attributes::root(0o640) }
    }

    fn link(path: &str, target: &str) -> Candidate {
        Candidate { path: path.into(), shape: Shape::Link(target.into()), attributes: Attributes::root(0o777) }
    }

    fn sh(script: &str) -> Command {
        Command::new("sh").args(["-c", script])
    }

    /// The machine itself, where that may take a mount namespace; nothing of it is changed.
    fn machine() -> Option<RealHost> {
        let host = RealHost::new("/".into());
        if !host.has_views() {
            eprintln!("skipped: a mount namespace needs root");
            return None;
        }
        Some(host)
    }

    #[test]
    fn a_program_on_the_machine_sees_candidates_over_everything_else_and_nobody_else_does() {
        let Some(host) = machine() else { return };
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let at = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        fs::create_dir_all(at("conf.d/deep")).unwrap();
        for (name, text) in [("main", "old"), ("kept", "kept"), ("conf.d/one", "1"), ("conf.d/deep/two", "2")] {
            fs::write(at(name), text).unwrap();
        }
        fs::set_permissions(at("kept"), fs::Permissions::from_mode(0o604)).unwrap();
        std::os::unix::fs::chown(at("kept"), Some(12), Some(13)).unwrap();
        symlink("main", at("alias")).unwrap();
        symlink("conf.d", at("linked")).unwrap();
        let candidates = [
            file(&at("main"), "new"),
            file(&at("linked/three"), "3"),
            file(&at("new/dir/four"), "4"),
            link(&at("alias"), "kept"),
        ];
        let script = format!(
            "cd {} && cat main kept alias conf.d/one conf.d/three conf.d/deep/two new/dir/four && ls conf.d && \
             stat -c %a:%u:%g kept && stat -c %a main && echo x > main && rm conf.d/three && echo y > \"$HOME/z\"",
            dir.path().display()
        );
        let out = host.look_over(&sh(&script), &candidates).unwrap().text();
        assert_eq!(out, "newkeptkept1324deep\none\nthree\n604:12:13\n640\n");
        assert_eq!(fs::read_to_string(at("main")).unwrap(), "old");
        assert_eq!(fs::read_link(at("alias")).unwrap(), Path::new("main"));
        let names: BTreeSet<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["alias", "conf.d", "kept", "linked", "main"].map(OsString::from).into());
        assert!(
            !Path::new("/tmp/z").exists() && !at("conf.d/three").is_empty() && !Path::new(&at("conf.d/three")).exists()
        );
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(dir.path().to_str().unwrap()), "{mounts}");
    }

    #[test]
    fn a_candidate_of_etc_is_seen_by_a_program_of_the_machine() {
        let Some(host) = machine() else { return };
        let before = fs::metadata("/etc/hostname").map(|meta| meta.mtime()).ok();
        let out = host.look_over(&sh("cat /etc/hostname; test -s /etc/passwd"), &[file("/etc/hostname", "mine\n")]);
        assert_eq!(out.unwrap().text(), "mine\n");
        assert_eq!(fs::metadata("/etc/hostname").map(|meta| meta.mtime()).ok(), before);
    }

    #[test]
    fn what_a_program_says_in_a_view_is_its_own_failure() {
        let Some(host) = machine() else { return };
        let said = host.look_over(&sh("echo line 7 >&2; exit 3"), &[file("/etc/none", "")]);
        assert!(matches!(said, Err(Error::Failed { code: 3, tail, .. }) if tail == "line 7"));
        // A file where a directory would have to be.
        let said = host.look_over(&sh("true"), &[file("/etc/passwd/none", "")]);
        assert!(matches!(said, Err(Error::NoView { .. })), "{said:?}");
    }

    #[test]
    fn under_a_root_a_tree_of_links_is_the_view_and_is_gone_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (name, text) in [
            ("etc/a", "a\n"),
            ("etc/conf.d/one", "1\n"),
            (
                "usr/bin/show",
                "#!/bin/sh\ncat \"$VPS_ROOT\"/etc/a \"$VPS_ROOT\"/etc/conf.d/* \"$VPS_ROOT\"/new/b\nls \"$VPS_ROOT\"/etc\n",
            ),
        ] {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), text).unwrap();
        }
        fs::set_permissions(at("usr/bin/show"), fs::Permissions::from_mode(0o755)).unwrap();
        let candidates =
            [file("/etc/conf.d/two", "2\n"), file("/etc/a", "A\n"), file("/new/b", "b\n"), link("/etc/l", "a")];
        let host = FakeHost::new(dir.path().into());
        let out = host.look_over(&Command::new("show"), &candidates).unwrap().text();
        assert_eq!(out, "A\n1\n2\nb\na\nconf.d\nl\n");
        assert_eq!(host.effects(), 0, "it only looks");
        assert_eq!(fs::read_to_string(at("etc/a")).unwrap(), "a\n");
        assert!(!at("new").exists() && !at("etc/conf.d/two").exists());
        assert_eq!(fs::read_dir(at("run/vps-configurator")).unwrap().count(), 0);
        let without = FakeHost::without_views(dir.path().into());
        assert!(matches!(without.look_over(&Command::new("show"), &[]), Err(Error::NoView { .. })));
    }
}
