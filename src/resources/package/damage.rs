//! Files of packages that a lost write spoilt: `dpkg --verify` says which are not as they were brought; which of these
//! may be so for another reason is told apart here.

use super::aborted;
use super::database::Database;
use crate::engine::Result;
use crate::host::{Command, Host, read_if_there, read_text};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where dpkg is told what to leave out (dpkg(1), `--path-exclude`).
const DPKG_CONF_D: &str = "/etc/dpkg/dpkg.cfg.d";

/// A file that is not as its package brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spoilt {
    path: PathBuf,
    /// A conffile in its place, with nothing in it.
    is_blank: bool,
}

/// Damaged packages, each with the files of it that are.
#[derive(Debug, Default)]
pub struct Damage(BTreeMap<String, Vec<Spoilt>>);

impl Damage {
    /// What is damaged of those of `names` that are there.
    pub fn find(host: &dyn Host, names: &BTreeSet<String>) -> Result<Damage> {
        let database = Database::read(host)?;
        let left_out = left_out(host)?;
        let mut damage = Damage::default();
        for name in names {
            let Some(known) = database.known(name).filter(|p| p.is_present() && p.state != "config-files") else {
                continue;
            };
            let mut files = Vec::new();
            if !aborted::has_list(host, name, known)? {
                let [list, _] = aborted::lists(name, known);
                files.push(Spoilt { path: list.into(), is_blank: false });
            }
            let verify =
                Command::new("dpkg").args(["--verify", name]).accept(&[0, 1]).timeout(Duration::from_secs(600));
            for line in host.look(&verify)?.text().lines().filter_map(Line::parse) {
                files.extend(line.spoilt(host, &left_out)?);
            }
            if !files.is_empty() {
                damage.0.insert(name.clone(), files);
            }
        }
        Ok(damage)
    }

    /// Whether nothing is.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The packages.
    pub fn packages(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The same in a line.
    pub fn names(&self) -> String {
        self.packages().collect::<Vec<_>>().join(" ")
    }

    /// The conffiles with nothing in them.
    pub fn blank(&self) -> impl Iterator<Item = &Path> {
        self.files().filter(|file| file.is_blank).map(|file| file.path.as_path())
    }

    /// `3 files are damaged, /usr/bin/jq among them`.
    pub fn summary(&self) -> String {
        let first = self.files().next().map(|file| file.path.display().to_string()).unwrap_or_default();
        match self.files().count() {
            1 => format!("{first} is damaged"),
            count => format!("{count} files are damaged, {first} among them"),
        }
    }

    fn files(&self) -> impl Iterator<Item = &Spoilt> {
        self.0.values().flatten()
    }
}

/// A line of `dpkg --verify`, `??5?????? c /etc/x` or `missing     /usr/bin/x` (dpkg(1), `--verify-format`).
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    path: &'a str,
    is_missing: bool,
    is_conffile: bool,
}

impl Line<'_> {
    fn parse(line: &str) -> Option<Line<'_>> {
        let (what, rest) = line.split_at_checked(9)?;
        let (kind, path) = rest.split_at_checked(3)?;
        let (is_missing, is_conffile) = (what.starts_with("missing"), kind == " c ");
        path.starts_with('/').then_some(Line { path, is_missing, is_conffile })
    }

    /// The file, where a lost write can have made it so. A conffile that has other content is somebody's; one that is yet
    /// to be configured lies beside its place.
    fn spoilt(&self, host: &dyn Host, left_out: &[String]) -> Result<Option<Spoilt>> {
        let path = PathBuf::from(self.path);
        if !self.is_conffile {
            let is_spoilt = !self.is_missing || !left_out.iter().any(|start| self.path.starts_with(start));
            return Ok(is_spoilt.then_some(Spoilt { path, is_blank: false }));
        }
        let beside = PathBuf::from(format!("{}.dpkg-new", self.path));
        Ok(match (read_if_there(host, &beside)?, read_if_there(host, &path)?) {
            (Some(content), _) => is_blank(&content).then_some(Spoilt { path: beside, is_blank: false }),
            (None, Some(content)) => is_blank(&content).then_some(Spoilt { path, is_blank: true }),
            (None, None) => Some(Spoilt { path, is_blank: false }),
        })
    }
}

/// Whether it holds what a file does of which nothing was written out.
pub fn is_blank(content: &[u8]) -> bool {
    content.iter().all(|byte| *byte == 0)
}

/// The beginnings of the paths that dpkg is told to leave out: nothing is missing there.
fn left_out(host: &dyn Host) -> Result<Vec<String>> {
    let mut texts = vec![read_text(host, "/etc/dpkg/dpkg.cfg")?];
    for name in host.list(Path::new(DPKG_CONF_D))? {
        texts.push(read_text(host, Path::new(DPKG_CONF_D).join(name))?);
    }
    Ok(texts.iter().flat_map(|text| text.lines()).filter_map(excluded).map(str::to_owned).collect())
}

/// The beginning of the pattern in `path-exclude=/usr/share/doc/*`.
fn excluded(line: &str) -> Option<&str> {
    let pattern = line.trim().strip_prefix("path-exclude")?.trim_start_matches([' ', '=', '\t']);
    pattern.split(['*', '?', '[']).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::bench::Bench;

    #[test]
    fn lines_of_verify_are_read() {
        let line = |path, is_missing, is_conffile| Some(Line { path, is_missing, is_conffile });
        assert_eq!(Line::parse("??5??????   /usr/bin/jq"), line("/usr/bin/jq", false, false));
        assert_eq!(Line::parse("??5?????? c /etc/a b"), line("/etc/a b", false, true));
        assert_eq!(Line::parse("missing     /usr/bin/x"), line("/usr/bin/x", true, false));
        assert_eq!(Line::parse("missing   c /etc/x"), line("/etc/x", true, true));
        assert_eq!(Line::parse("dpkg: warning"), None);
    }

    #[test]
    fn what_an_image_leaves_out_is_not_missing() {
        assert_eq!(excluded("path-exclude=/usr/share/doc/*"), Some("/usr/share/doc/"));
        assert_eq!(excluded("path-exclude /usr/share/man/??"), Some("/usr/share/man/"));
        assert_eq!(excluded("path-include=/usr/share/doc/*/copyright"), None);
        let bench = Bench::new();
        let line = |text| Line::parse(text).unwrap().spoilt(bench.host(), &["/usr/share/doc/".to_owned()]).unwrap();
        assert_eq!(line("missing     /usr/share/doc/jq/copyright"), None);
        assert!(line("??5??????   /usr/share/doc/jq/copyright").is_some());
        assert!(line("missing     /usr/bin/jq").is_some());
    }

    #[test]
    fn a_conffile_is_damaged_when_it_is_blank_or_gone_and_not_when_somebody_wrote_another() {
        let bench = Bench::new();
        let found = |text| {
            let found = Line::parse(text).unwrap().spoilt(bench.host(), &[]).unwrap();
            found.map(|file| (file.path.display().to_string(), file.is_blank))
        };
        bench.put("/etc/theirs", "theirs\n");
        bench.put("/etc/blank", [0; 8]);
        bench.put("/etc/new.dpkg-new", "to be configured\n");
        bench.put("/etc/lost.dpkg-new", "");
        assert_eq!(found("??5?????? c /etc/theirs"), None);
        assert_eq!(found("??5?????? c /etc/blank"), Some(("/etc/blank".into(), true)));
        assert_eq!(found("missing   c /etc/new"), None);
        assert_eq!(found("missing   c /etc/lost"), Some(("/etc/lost.dpkg-new".into(), false)));
        assert_eq!(found("missing   c /etc/gone"), Some(("/etc/gone".into(), false)));
    }
}
