//! What sshd makes of a file of ours among others. sshd takes the first value that it meets (sshd_config(5)): a file
//! that is read before ours can make ours mean nothing, and `sshd -t` is content with that.

use std::collections::BTreeSet;
use std::path::Path;

/// Where sshd begins to read.
pub const MAIN: &str = "/etc/ssh/sshd_config";
/// What a relative `Include` counts from.
const DIRECTORY: &str = "/etc/ssh";
/// The keyword that names other files.
const INCLUDE: &str = "include";

/// Reads files and lists directories as sshd would see them.
pub trait Files {
    /// The text of a file; empty when it isn't there.
    fn text(&self, path: &str) -> String;
    /// The names in a directory, sorted.
    fn names(&self, dir: &str) -> Vec<String>;
}

/// A line that sets a keyword.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// For which connections: what follows `Match`. `None`: for all.
    pub only: Option<String>,
    /// The file.
    pub file: String,
    /// The line's number, from 1.
    pub line: usize,
    /// The keyword, lower case.
    pub keyword: String,
    /// What it is set to, as written.
    pub value: String,
}

/// Keyword and value of a line; none of a comment or an empty line.
fn words(line: &str) -> Option<(String, &str)> {
    let line = line.trim();
    let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
    let (keyword, value) = line.split_at(end);
    let value = value.trim_start_matches(|c: char| c.is_whitespace() || c == '=');
    (!keyword.is_empty() && !keyword.starts_with('#')).then(|| (keyword.to_lowercase(), value))
}

/// Every setting outside of `Match`, in the order in which sshd reads them.
pub fn settings(files: &dyn Files) -> Vec<Setting> {
    let mut all = lines(files);
    all.retain(|setting| setting.only.is_none());
    all
}

/// Every setting inside of `Match`: it takes the place of what holds for all.
pub fn exceptions(files: &dyn Files) -> Vec<Setting> {
    let mut all = lines(files);
    all.retain(|setting| setting.only.is_some());
    all
}

/// Whether all files that sshd reads lie in its own directory.
pub fn is_at_home(files: &dyn Files) -> bool {
    let includes = all_lines(files).into_iter().filter(|line| line.keyword == INCLUDE);
    let patterns: Vec<String> = includes.flat_map(|line| patterns(&line.value).collect::<Vec<_>>()).collect();
    patterns.iter().all(|pattern| Path::new(pattern).starts_with(DIRECTORY) && !pattern.contains(".."))
}

fn lines(files: &dyn Files) -> Vec<Setting> {
    let mut all = all_lines(files);
    all.retain(|line| line.keyword != INCLUDE);
    all
}

fn all_lines(files: &dyn Files) -> Vec<Setting> {
    let mut all = Vec::new();
    read(files, MAIN, 0, None, &mut all);
    all
}

/// `only`: inside of which `Match` the file is included.
fn read(files: &dyn Files, file: &str, depth: usize, mut only: Option<String>, all: &mut Vec<Setting>) {
    // sshd itself follows Include 16 deep.
    if depth > 16 {
        return;
    }
    for (number, line) in files.text(file).lines().enumerate() {
        let Some((keyword, value)) = words(line) else { continue };
        if keyword == "match" {
            // What follows counts for some connections only, up to the next one or the end of this file.
            only = Some(value.to_owned());
            continue;
        }
        let is_include = keyword == INCLUDE;
        let (file, own) = (file.to_owned(), value.to_owned());
        all.push(Setting { only: only.clone(), file, line: number + 1, keyword, value: own });
        if is_include {
            for path in patterns(value).flat_map(|pattern| matching(files, &pattern)) {
                read(files, &path, depth + 1, only.clone(), all);
            }
        }
    }
}

/// The patterns in a value of `Include`, as whole paths.
fn patterns(value: &str) -> impl Iterator<Item = String> {
    let words = value.split_whitespace().map(|pattern| pattern.trim_matches('"'));
    words.map(|pattern| if pattern.starts_with('/') { pattern.to_owned() } else { format!("{DIRECTORY}/{pattern}") })
}

/// The files that a pattern of `Include` names, in lexical order.
fn matching(files: &dyn Files, pattern: &str) -> Vec<String> {
    let Some((dir, name)) = pattern.rsplit_once('/') else { return Vec::new() };
    if !name.contains(['*', '?']) {
        return vec![pattern.to_owned()];
    }
    let is_shown = |found: &String| name.starts_with('.') || !found.starts_with('.');
    let names = files.names(dir).into_iter().filter(|found| is_shown(found) && is_like(found, name));
    names.map(|found| format!("{dir}/{found}")).collect()
}

/// Whether a name is like a pattern with `*` and `?` (glob(7)).
fn is_like(name: &str, pattern: &str) -> bool {
    let (mut names, mut patterns) = (name.chars(), pattern.chars());
    match (patterns.next(), names.clone().next()) {
        (None, None) => true,
        (Some('*'), first) => {
            is_like(name, patterns.as_str())
                || first.is_some_and(|_| {
                    names.next();
                    is_like(names.as_str(), pattern)
                })
        }
        (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {
            names.next();
            is_like(names.as_str(), patterns.as_str())
        }
        _ => false,
    }
}

/// What the file `ours` asks for and does not get, a line each. `alone` is what `sshd -T` tells of that file alone,
/// `whole` what it tells of all: in its own words, so that spellings and defaults are its business.
pub fn overridden(files: &dyn Files, ours: &str, alone: &str, whole: &str) -> Vec<String> {
    let mut asked = Vec::new();
    let text = files.text(ours);
    for (keyword, value) in text.lines().filter_map(words).take_while(|(keyword, _)| keyword != "match") {
        if keyword != "include" && !asked.iter().any(|(known, _)| *known == keyword) {
            asked.push((keyword, value));
        }
    }
    let lines = |text: &str, keyword: &str| -> BTreeSet<String> {
        let of = |line: &&str| line.split_once(' ').is_some_and(|(word, _)| word.eq_ignore_ascii_case(keyword));
        text.lines().filter(of).map(str::to_lowercase).collect()
    };
    let read = settings(files);
    let mut said = Vec::new();
    for (keyword, value) in asked {
        let missing = lines(alone, &keyword).difference(&lines(whole, &keyword)).count();
        if missing == 0 {
            continue;
        }
        let first = read.iter().find(|setting| setting.keyword == keyword);
        let why = match first {
            _ if !read.iter().any(|setting| setting.file == ours) => {
                format!("sshd does not read {ours}: {MAIN} has no Include for it")
            }
            Some(Setting { file, line, value, .. }) if file != ours => {
                format!("{file} line {line}: {keyword} {value} comes first")
            }
            _ => "something that is read before it says otherwise under another name".to_owned(),
        };
        said.push(format!("{why}, so {keyword} {value} would count for nothing"));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    struct Tree(BTreeMap<&'static str, &'static str>);

    impl Files for Tree {
        fn text(&self, path: &str) -> String {
            self.0.get(path).map(|text| (*text).to_owned()).unwrap_or_default()
        }
        fn names(&self, dir: &str) -> Vec<String> {
            let in_it = |path: &&'static str| {
                path.rsplit_once('/').filter(|(at, _)| *at == dir).map(|(_, name)| name.to_owned())
            };
            self.0.keys().filter_map(in_it).collect()
        }
    }

    const OURS: &str = "/etc/ssh/sshd_config.d/10-ours.conf";

    fn tree(theirs: &'static str, ours: &'static str) -> Tree {
        Tree(BTreeMap::from([
            (MAIN, "# main\nInclude sshd_config.d/*.conf\nX11Forwarding yes\nMatch User bo\n  LogLevel QUIET\n"),
            ("/etc/ssh/sshd_config.d/00-theirs.conf", theirs),
            ("/etc/ssh/sshd_config.d/notes.txt", "PermitRootLogin yes\n"),
            (OURS, ours),
        ]))
    }

    #[test]
    fn settings_are_read_in_the_order_of_sshd_and_without_what_only_some_connections_get() {
        let files = tree("permitrootlogin = no\nMatch all\nMaxAuthTries 9\n", "# x\nPermitRootLogin\tyes\n");
        let read: Vec<String> =
            settings(&files).into_iter().map(|s| format!("{}:{} {}", s.line, s.keyword, s.value)).collect();
        assert_eq!(read, ["1:permitrootlogin no", "2:permitrootlogin yes", "3:x11forwarding yes"]);
    }

    #[test]
    fn sshd_is_at_home_when_it_reads_nothing_elsewhere() {
        for (theirs, is_at_home) in [
            ("Port 22\n", true),
            ("Include /etc/ssh/more.d/*.conf\n", true),
            ("Match User bo\n Include more.conf \"/srv/ssh.conf\"\n", false),
            ("include=/etc/sshd/x\n", false),
            ("Include /etc/ssh/../x\n", false),
        ] {
            assert_eq!(super::is_at_home(&tree(theirs, "")), is_at_home, "{theirs}");
        }
    }

    #[test]
    fn what_only_some_connections_get_is_read_with_who_they_are_up_to_the_end_of_its_file() {
        let files = tree(
            "Match Address 10.0.0.0/8\nPasswordAuthentication=yes\nMatch all\nMaxAuthTries 9\n",
            "X11Forwarding no\n",
        );
        let read: Vec<String> = exceptions(&files)
            .into_iter()
            .map(|s| format!("{}:{} {} {}", s.line, s.only.unwrap_or_default(), s.keyword, s.value))
            .collect();
        assert_eq!(
            read,
            ["2:Address 10.0.0.0/8 passwordauthentication yes", "4:all maxauthtries 9", "5:User bo loglevel QUIET"]
        );
    }

    #[test]
    fn a_value_that_an_earlier_file_takes_away_is_told_with_file_and_line() {
        let files =
            tree("\nPermitRootLogin yes\nAcceptEnv A\n", "PermitRootLogin no\nLoginGraceTime 2m\nAcceptEnv B\n");
        let alone = "permitrootlogin no\nlogingracetime 120\nacceptenv B\nx11forwarding no\n";
        let whole = "permitrootlogin yes\nlogingracetime 120\nacceptenv A\nacceptenv B\nx11forwarding yes\n";
        let said = overridden(&files, OURS, alone, whole);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("/etc/ssh/sshd_config.d/00-theirs.conf line 2: permitrootlogin yes comes first"));
    }

    #[test]
    fn a_file_that_sshd_does_not_read_is_told() {
        let files = Tree(BTreeMap::from([(MAIN, "LogLevel INFO\n"), (OURS, "LogLevel VERBOSE\nMaxAuthTries 3\n")]));
        let said = overridden(&files, OURS, "loglevel VERBOSE\nmaxauthtries 3\n", "loglevel INFO\nmaxauthtries 6\n");
        assert_eq!(said.len(), 2);
        assert!(said[0].starts_with(&format!("sshd does not read {OURS}: {MAIN} has no Include")), "{said:?}");
    }

    #[test]
    fn names_are_like_patterns_as_in_a_shell() {
        for (name, pattern, like) in [
            ("a.conf", "*.conf", true),
            ("a.conf", "?.conf", true),
            ("ab", "?", false),
            ("", "*", true),
            ("abc", "a*c*", true),
            ("ab", "a*c", false),
        ] {
            assert_eq!(is_like(name, pattern), like, "{name} {pattern}");
        }
    }
}
