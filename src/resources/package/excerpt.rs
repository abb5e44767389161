//! The part of the package lists that one request can touch, a hundredth of them.
//!
//! Whatever apt is asked, it first weighs every package of every list: 0.6 s of processor time and 70 MB on a host where
//! 170 packages of 70,000 are in question, and it does so again for each program that is started. So apt is given lists
//! that hold what the request can lead to and nothing else: the packages asked for, those that are installed, and
//! whatever these depend on, through alternatives and provided names, in every version and from every archive. apt
//! installs nothing that isn't reached that way (recommended packages are not asked for), so it decides as it would on
//! the whole; what it refuses there is asked again on the whole lists, before anybody is told.
//!
//! An excerpt is a copy: it holds what apt has verified when it fetched the lists, and its name says which lists and
//! which packages it was made from. It lies in [`paths::APT_EXCERPTS`], to be forgotten by a reboot.

use super::archive::{Archive, copy};
use super::database::{Database, field, folded, names};
use crate::base::digest::Digest;
use crate::base::paths;
use crate::engine::Result;
use crate::host::{Command, Host, read_if_there, read_text};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Excerpts that are older than this are removed when a new one is made: nobody works with them any more.
const OLD: Duration = Duration::from_secs(24 * 3600);

/// The lists that apt is to look at: those of an archive, or an excerpt of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lists {
    archive: Archive,
    excerpt: Option<Excerpt>,
}

impl Lists {
    /// All of an archive.
    pub fn whole(archive: Archive) -> Lists {
        Lists { archive, excerpt: None }
    }

    /// What `request` (arguments of `apt-get install`) can touch, where such an excerpt can be made; else all.
    pub fn for_request(host: &dyn Host, archive: Archive, database: &Database, request: &[String]) -> Result<Lists> {
        Ok(Lists { archive, excerpt: Excerpt::take(host, archive, database, request)? })
    }

    /// What an attempt comes to on an excerpt; where that isn't fine, on all. With the lists that it was made on.
    pub fn attempt<T>(
        host: &dyn Host,
        archive: Archive,
        database: &Database,
        request: &[String],
        attempt: impl Fn(&Lists) -> Result<T>,
        is_fine: impl Fn(&T) -> bool,
    ) -> Result<(Lists, T)> {
        let lists = Lists::for_request(host, archive, database, request)?;
        let outcome = attempt(&lists)?;
        if is_fine(&outcome) || !lists.is_excerpt() {
            return Ok((lists, outcome));
        }
        let lists = Lists::whole(archive);
        let outcome = attempt(&lists)?;
        Ok((lists, outcome))
    }

    /// Whether these aren't all that the archive has.
    pub fn is_excerpt(&self) -> bool {
        self.excerpt.is_some()
    }

    /// Where they are.
    pub fn dir(&self) -> &Path {
        self.excerpt.as_ref().map_or(self.archive.dir(), |excerpt| &excerpt.dir)
    }

    /// A program of apt's that looks at them.
    pub fn command(&self, program: &str) -> Command {
        let command = Command::new(program);
        match self.environment() {
            Some((name, value)) => command.env(name, &value),
            None => command.args(self.archive.options()),
        }
    }

    /// The same as arguments and a variable, for a program that is started otherwise.
    pub fn options(&self) -> Vec<String> {
        if self.is_excerpt() { Vec::new() } else { self.archive.options() }
    }

    /// The variable that makes apt, and every program of apt's that it starts, look at an excerpt (apt.conf(5)).
    pub fn environment(&self) -> Option<(&'static str, String)> {
        self.excerpt.as_ref().map(|excerpt| ("APT_CONFIG", excerpt.configuration().display().to_string()))
    }
}

/// Lists of their own for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Excerpt {
    dir: PathBuf,
}

/// The files of an archive that an excerpt is made from.
#[derive(Debug, Default)]
struct Files {
    packages: Vec<String>,
    releases: Vec<String>,
}

impl Excerpt {
    /// The excerpt for `request`, made unless it is there. `None` when it can't be: the lists are kept compressed, or
    /// there is no room for it.
    fn take(host: &dyn Host, archive: Archive, database: &Database, request: &[String]) -> Result<Option<Excerpt>> {
        let Some(files) = Files::of(host, archive)? else { return Ok(None) };
        let asked = request.iter().filter_map(|argument| argument.split(['=', '/', ':']).next());
        let seeds: BTreeSet<&str> = asked.chain(database.related()).collect();
        let mut made_from = format!("{archive:?} {seeds:?}");
        for name in files.packages.iter().chain(&files.releases) {
            let meta = host.meta(&archive.dir().join(name))?;
            let _ = write!(made_from, "\n{name} {:?}", meta.map(|meta| (meta.size, meta.modified)));
        }
        let dir = Path::new(paths::APT_EXCERPTS).join(Digest::of(made_from.as_bytes()).short());
        let excerpt = Excerpt { dir };
        if host.meta(&excerpt.configuration())?.is_some() {
            return Ok(Some(excerpt));
        }
        match excerpt.make(host, archive, &files, &seeds) {
            Ok(()) => Ok(Some(excerpt)),
            Err(error) => {
                tracing::debug!("apt gets the whole lists: {error}");
                Ok(None)
            }
        }
    }

    /// apt's configuration that names the lists. Written last: an excerpt without it isn't whole.
    fn configuration(&self) -> PathBuf {
        self.dir.join("apt.conf")
    }

    fn make(&self, host: &dyn Host, archive: Archive, files: &Files, seeds: &BTreeSet<&str>) -> Result<()> {
        remove_old(host)?;
        let mut texts = Vec::new();
        for name in &files.packages {
            texts.push(read_text(host, archive.dir().join(name))?);
        }
        let chosen = reached(&texts, seeds);
        let directories = [Path::new(paths::APT_EXCERPTS), &self.dir].map(|dir| dir.display().to_string());
        host.look(&Command::new("install").args(["-d", "-m", "0755"]).args(directories))?;
        for (name, paragraphs) in files.packages.iter().zip(chosen) {
            let text: String = paragraphs.iter().flat_map(|paragraph| [paragraph.trim_end(), "\n\n"]).collect();
            copy(host, &self.dir.join(name), text.as_bytes())?;
        }
        for name in &files.releases {
            let text = read_if_there(host, archive.dir().join(name))?.unwrap_or_default();
            copy(host, &self.dir.join(name), &text)?;
        }
        let mut settings: Vec<(&str, String)> = vec![
            ("Dir::State::lists", format!("{}/", self.dir.display())),
            ("Dir::Cache::pkgcache", String::new()),
            ("Dir::Cache::srcpkgcache", String::new()),
        ];
        settings.extend(archive.sources().map(|sources| ("Dir::Etc::sourceparts", sources.to_owned())));
        let text: String = settings.iter().map(|(name, value)| format!("{name} \"{value}\";\n")).collect();
        copy(host, &self.configuration(), text.as_bytes())
    }
}

impl Files {
    /// `None` where the lists are compressed, or one of them is missing.
    fn of(host: &dyn Host, archive: Archive) -> Result<Option<Files>> {
        let mut files = Files::default();
        for name in host.list(archive.dir())?.into_iter().filter_map(|name| name.into_string().ok()) {
            if name.ends_with("_Packages") {
                files.packages.push(name);
            } else if ["_InRelease", "_Release", "_Release.gpg"].iter().any(|end| name.ends_with(end)) {
                files.releases.push(name);
            } else if name.contains("_Packages.") {
                return Ok(None);
            }
        }
        let has_lists = |release: &String| {
            let start = release.rsplit_once('_').map_or(0, |(start, _)| start.len() + 1);
            files.packages.iter().any(|list| list.starts_with(release.get(..start).unwrap_or_default()))
        };
        let is_whole = !files.packages.is_empty() && files.releases.iter().all(has_lists);
        Ok(is_whole.then_some(files))
    }
}

fn remove_old(host: &dyn Host) -> Result<()> {
    let old = i128::try_from(OLD.as_nanos()).unwrap_or(i128::MAX);
    for name in host.list(Path::new(paths::APT_EXCERPTS))? {
        let path = Path::new(paths::APT_EXCERPTS).join(name);
        if host.meta(&path)?.is_some_and(|meta| host.now() - meta.modified > old) {
            host.look(&Command::new("rm").args(["-rf", "--one-file-system"]).arg(path.display().to_string()))?;
        }
    }
    Ok(())
}

/// The paragraphs of each of `texts`, in their order, that `seeds` lead to: by name or by what they provide, and on by
/// what these depend on.
fn reached<'a>(texts: &'a [String], seeds: &BTreeSet<&'a str>) -> Vec<Vec<&'a str>> {
    let index = Index::of(texts);
    let mut open: Vec<&str> = seeds.iter().copied().collect();
    let (mut met, mut chosen) = (BTreeSet::new(), BTreeSet::new());
    while let Some(name) = open.pop() {
        if !met.insert(name) {
            continue;
        }
        for number in index.offers(name).filter(|number| chosen.insert(*number)) {
            let paragraph = index.paragraph(number);
            // Under its own name, too: other versions of it.
            open.extend(field(paragraph, "Package"));
            open.extend(["Pre-Depends", "Depends"].into_iter().flat_map(|kind| names(folded(paragraph, kind))));
        }
    }
    let mut lists: Vec<Vec<&str>> = texts.iter().map(|_| Vec::new()).collect();
    for number in chosen {
        if let Some(list) = index.list(number).and_then(|list| lists.get_mut(list)) {
            list.push(index.paragraph(number));
        }
    }
    lists
}

/// Which paragraphs of some lists offer a name, their own or one that they provide. Half a million names in 60 MB: so
/// they stand here as numbers, in order. That two names may have the same number makes an excerpt larger, no more.
#[derive(Debug, Default)]
struct Index<'a> {
    /// Each paragraph, with the list that it is of.
    paragraphs: Vec<(usize, &'a str)>,
    /// The number of a name in the upper half, that of a paragraph in the lower.
    offers: Vec<u64>,
}

impl<'a> Index<'a> {
    fn of(texts: &'a [String]) -> Index<'a> {
        let mut index = Index::default();
        for (list, text) in texts.iter().enumerate() {
            let (mut start, mut at, mut is_provides) = (0, 0, false);
            // An empty line ends a paragraph; one is thought to stand at the end.
            for line in text.split_inclusive('\n').chain(["\n"]) {
                if line == "\n" {
                    index.paragraphs.extend(text.get(start..at).filter(|p| !p.is_empty()).map(|p| (list, p)));
                    start = at + 1;
                }
                is_provides = line.starts_with("Provides:") || is_provides && line.starts_with([' ', '\t']);
                if is_provides {
                    names(line.strip_prefix("Provides:").unwrap_or(line)).for_each(|name| index.add(name));
                } else if let Some(name) = line.strip_prefix("Package:") {
                    index.add(name.trim());
                }
                at += line.len();
            }
        }
        index.offers.sort_unstable();
        index
    }

    /// `name` is offered by the paragraph that is being read.
    fn add(&mut self, name: &str) {
        self.offers.push(number_of(name) << 32 | self.paragraphs.len() as u64);
    }

    /// The numbers of the paragraphs that offer `name`.
    fn offers(&self, name: &str) -> impl Iterator<Item = usize> {
        let wanted = number_of(name);
        let start = self.offers.partition_point(|offer| offer >> 32 < wanted);
        let offers = self.offers.iter().skip(start).take_while(move |offer| **offer >> 32 == wanted);
        offers.map(|offer| (offer & u64::from(u32::MAX)) as usize)
    }

    fn paragraph(&self, number: usize) -> &'a str {
        self.paragraphs.get(number).map_or("", |(_, paragraph)| paragraph)
    }

    fn list(&self, number: usize) -> Option<usize> {
        self.paragraphs.get(number).map(|(list, _)| *list)
    }
}

/// FNV-1a of 32 bits.
fn number_of(name: &str) -> u64 {
    name.bytes().fold(0x811c_9dc5_u32, |number, byte| (number ^ u32::from(byte)).wrapping_mul(0x0100_0193)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached_names(texts: &[&str], seeds: &[&str]) -> Vec<String> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let lists = reached(&texts, &seeds.iter().copied().collect());
        let name = |p: &&str| format!("{} {}", field(p, "Package").unwrap(), field(p, "Version").unwrap_or("-"));
        lists.iter().flatten().map(name).collect()
    }

    #[test]
    fn alternatives_provided_names_and_all_versions_are_reached_and_nothing_else() {
        let stable = "Package: web\nVersion: 1\nPre-Depends: libc6 (>= 2)\nDepends: tls | tls-old:any, mailer (= 3),\n logger [amd64]\n\n\
            Package: libc6\nVersion: 2\n\nPackage: tls\nVersion: 1\nRecommends: docs\n\nPackage: docs\nVersion: 1\n\n\
            Package: exim\nVersion: 4\nProvides: mta,\n mailer (= 3)\nDepends: exim-base\n\nPackage: exim-base\nVersion: 4\n\n\
            Package: lonely\nVersion: 1\nDepends: web\n\nPackage: logger\nVersion: 1\n";
        let security = "Package: tls\nVersion: 2\nDepends: newer\n\nPackage: newer\nVersion: 1\n";
        let found = reached_names(&[stable, security], &["web"]);
        let wanted =
            ["web 1", "libc6 2", "tls 1", "exim 4", "exim-base 4", "logger 1", "tls 2", "newer 1"].map(str::to_owned);
        assert_eq!(found, wanted);
    }

    #[test]
    fn paragraphs_are_read_whatever_lines_stand_between_them_and_at_the_end() {
        let texts = ["\n\nPackage: a\nVersion: 1\n\n\nPackage: b\nProvides: c".to_owned(), String::new()];
        let index = Index::of(&texts);
        assert_eq!(index.paragraphs, [(0, "Package: a\nVersion: 1\n"), (0, "Package: b\nProvides: c")]);
        assert_eq!(["a", "b", "c", "d"].map(|name| index.offers(name).next()), [Some(0), Some(1), Some(1), None]);
    }

    #[test]
    fn a_name_that_only_others_provide_leads_to_them_under_their_own_names() {
        let text = "Package: a\nVersion: 1\nProvides: virtual\n\nPackage: a\nVersion: 2\n\nPackage: b\nVersion: 1\n";
        assert_eq!(reached_names(&[text], &["virtual"]), ["a 1", "a 2"]);
    }
}
