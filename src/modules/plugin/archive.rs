//! A plugin's archive, opened by tar(1): its list is judged before anything of it is put on the disk, and what is then
//! really there is judged again. The archive is given to tar as bytes, so that both times it is the same one.

use super::bundle::{Bundle, Count, judge_name, refuse};
use crate::base::paths;
use crate::engine::Result;
use crate::host::{self, Attributes, Command, Host, remove_tree};
use crate::resources::preimage::make_parents;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// An archive is no larger, in bytes.
pub const LARGEST_ARCHIVE: u64 = 16 << 20;
/// How long tar may take, to list and to unpack: a small archive may unpack to any size.
const TIME: Duration = Duration::from_secs(60);

/// The files of an archive: tar, also packed by gzip, xz, bzip2 or zstd. `from` names it in errors.
///
/// # Errors
/// When it is none, or holds what a plugin has not: links, devices, set-uid files, ways out of its folder, too much.
pub fn unpack(host: &dyn Host, from: &str, archive: Vec<u8>) -> Result<Bundle> {
    if archive.len() as u64 > LARGEST_ARCHIVE {
        return Err(refuse(from, format!("the archive is larger than {} MB", LARGEST_ARCHIVE >> 20)));
    }
    let packer = packer(&archive).map_err(|why| refuse(from, why))?;
    let list = Command::new("tar")
        .args(["--list", "--verbose", "--numeric-owner", "--quoting-style=escape", "--absolute-names", "--file=-"])
        .args(packer)
        .stdin(archive.clone())
        .timeout(TIME);
    let told = |error: host::Error| match error {
        host::Error::Failed { .. } | host::Error::TimedOut { .. } => refuse(from, error.to_string()),
        other => other.into(),
    };
    judge(&host.look(&list).map_err(told)?.text()).map_err(|why| refuse(from, why))?;
    let area = Path::new(paths::CACHE).join("downloads/plugin");
    make_parents(host, &area)?;
    remove_tree(host, &area)?;
    host.make_directory(&area, &Attributes::root(0o700))?;
    let mut extract = Command::new("tar")
        .args(["--extract", "--no-same-owner", "--no-same-permissions", "--keep-old-files", "--file=-"])
        .args(packer)
        .stdin(archive)
        .timeout(TIME);
    extract.directory = Some(area.clone());
    let unpacked = host.run(&extract).map_err(told).and_then(|_| Bundle::of_folder(host, &area));
    remove_tree(host, &area)?;
    unpacked
}

/// How tar is told what it is packed with. It can't find out by itself in what it is sent.
fn packer(archive: &[u8]) -> std::result::Result<Option<&'static str>, String> {
    const KNOWN: [(&[u8], &str); 4] =
        [(b"\x1f\x8b", "--gzip"), (b"\xfd7zXZ\0", "--xz"), (b"BZh", "--bzip2"), (b"\x28\xb5\x2f\xfd", "--zstd")];
    if archive.starts_with(b"PK") {
        return Err("it is a zip archive; pack it as tar.gz or tar.xz".to_owned());
    }
    if let Some((_, flag)) = KNOWN.iter().find(|(magic, _)| archive.starts_with(magic)) {
        return Ok(Some(flag));
    }
    match archive.get(257..262) {
        Some(b"ustar") => Ok(None),
        _ => Err("it is no tar archive".to_owned()),
    }
}

/// Why what tar lists (mode, owner, size, day, time, name) is not unpacked.
fn judge(list: &str) -> std::result::Result<(), String> {
    let mut count = Count::default();
    let mut files = BTreeSet::new();
    let mut folders = 0;
    for line in list.lines() {
        let (head, name) = split(line).ok_or_else(|| format!("its list has a line that is not understood: {line}"))?;
        let (mode, size) = (head[0], head[2].parse::<u64>());
        let is_folder = mode.starts_with('d');
        match mode.chars().next() {
            Some('-' | 'd') => {}
            Some('l') => return Err(format!("it holds a link: {name}")),
            Some('h') => return Err(format!("it holds a hard link: {name}")),
            _ => return Err(format!("it holds what is neither file nor folder: {name}")),
        }
        judge_name(name)?;
        if mode.contains(['s', 'S', 't', 'T']) {
            return Err(format!("{name} is set-uid, set-gid or sticky ({mode})"));
        }
        if is_folder {
            folders += 1;
            if folders > super::bundle::MOST_FILES {
                return Err("it has too many folders".to_owned());
            }
            continue;
        }
        let size = size.map_err(|_| format!("{name} has no size"))?;
        count.add(name, size)?;
        let name = name.trim_start_matches("./");
        if !files.insert(name) {
            return Err(format!("{name} is in it twice"));
        }
    }
    Ok(())
}

/// The first five words of a line, and the rest.
fn split(line: &str) -> Option<([&str; 5], &str)> {
    let mut words = [""; 5];
    let mut rest = line;
    for word in &mut words {
        (*word, rest) = rest.trim_start_matches(' ').split_once(' ')?;
    }
    (!rest.is_empty()).then_some((words, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Error;
    use crate::host::RealHost;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::Command as Program;

    /// Packs what `prepare` puts into a folder `p` beside a good module; `flags` are tar's.
    fn pack(flags: &[&str], prepare: impl FnOnce(&Path)) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("p");
        fs::create_dir_all(top.join("templates")).unwrap();
        fs::write(top.join("module.yaml"), "name: p\n").unwrap();
        prepare(&top);
        let file = dir.path().join("archive");
        let tar = Program::new("tar").args(flags).arg("-cf").arg(&file).arg("-C").arg(dir.path()).arg("p").output();
        assert!(tar.unwrap().status.success());
        fs::read(&file).unwrap()
    }

    fn open(archive: Vec<u8>) -> std::result::Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("usr/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(dir.path().join("var/cache")).unwrap();
        symlink("/bin/tar", bin.join("tar")).unwrap();
        let host = RealHost::new(dir.path().into());
        let unpacked = unpack(&host, "x", archive);
        assert_eq!(host.list(&Path::new(paths::CACHE).join("downloads")).unwrap().len(), 0, "nothing stays behind");
        match unpacked {
            Ok(bundle) => Ok(bundle.files().keys().cloned().collect()),
            Err(Error::Refused { code: "plugin-unfit", why, .. }) => Err(why),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn archives_of_each_packer_give_their_files() {
        for flag in ["--no-xattrs", "--gzip", "--xz"] {
            let files = open(pack(&[flag], |top| fs::write(top.join("templates/a"), "a").unwrap()));
            assert_eq!(files.unwrap(), ["module.yaml", "templates/a"], "{flag}");
        }
    }

    #[test]
    fn what_a_plugin_has_not_is_refused_before_it_is_unpacked() {
        let set_mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let link = pack(&["-z"], |top| symlink("/etc", top.join("etc")).unwrap());
        assert_eq!(open(link).unwrap_err(), "it holds a link: p/etc -> /etc");
        let hard = pack(&["-z"], |top| fs::hard_link(top.join("module.yaml"), top.join("templates/b")).unwrap());
        assert!(open(hard).unwrap_err().starts_with("it holds a hard link: p/"));
        let suid = pack(&["-z"], |top| {
            fs::write(top.join("s"), "").unwrap();
            set_mode(&top.join("s"), 0o4755);
        });
        assert_eq!(open(suid).unwrap_err(), "p/s is set-uid, set-gid or sticky (-rwsr-xr-x)");
        let pipe = pack(&["-z"], |top| nix::unistd::mkfifo(&top.join("f"), nix::sys::stat::Mode::S_IRWXU).unwrap());
        assert_eq!(open(pipe).unwrap_err(), "it holds what is neither file nor folder: p/f");
        let large = pack(&["-z"], |top| {
            fs::File::create(top.join("zero")).unwrap().set_len(1 << 21).unwrap();
        });
        assert_eq!(open(large).unwrap_err(), "p/zero is larger than 1 MB");
        let sparse = pack(&["-zS"], |top| {
            fs::File::create(top.join("zero")).unwrap().set_len(1 << 21).unwrap();
        });
        assert_eq!(open(sparse).unwrap_err(), "p/zero is larger than 1 MB");
        for (transform, why) in [("s,^,/tmp/,", "is an absolute path"), ("s,^,../,", "leads out of its folder")] {
            let away = pack(&["-z", "-P", &format!("--transform={transform}")], |_| ());
            assert!(open(away).unwrap_err().ends_with(why));
        }
        let line = pack(&["-z"], |top| fs::write(top.join("a\nb"), "").unwrap());
        assert!(open(line).unwrap_err().contains("characters"));
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        assert_eq!(open(b"PK\x03\x04".to_vec()).unwrap_err(), "it is a zip archive; pack it as tar.gz or tar.xz");
        assert_eq!(open(b"hello".to_vec()).unwrap_err(), "it is no tar archive");
        let mut cut = pack(&["-z"], |_| ());
        cut.truncate(cut.len() / 2);
        assert!(open(cut).unwrap_err().contains("tar"));
        let two = pack(&["-z"], |top| {
            fs::create_dir(top.join("q")).unwrap();
            fs::rename(top.join("module.yaml"), top.join("q/module.yaml")).unwrap();
        });
        assert_eq!(open(two).unwrap_err(), "it has no module.yaml");
    }

    #[test]
    fn one_name_twice_is_refused() {
        let list = "-rw-r--r-- 0/0 1 2026-01-01 00:00 a\n-rw-r--r-- 0/0 2 2026-01-01 00:00 ./a\n";
        assert_eq!(judge(list).unwrap_err(), "a is in it twice");
        assert!(judge("-rw-r--r--").unwrap_err().contains("not understood"));
        assert!(judge("-rw-r--r-- 0/0 x 2026-01-01 00:00 a\n").unwrap_err().contains("no size"));
    }
}
