//! The configuration of the SSH server as modules want it: sshd_config(5), the files below it, and what of them is
//! still to be written.

use crate::host::{Host, Result, read_text};
use crate::resources::Spec;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The main file.
const CONFIG: &str = "/etc/ssh/sshd_config";
/// Its drop-ins.
const DROP_INS: &str = "/etc/ssh/sshd_config.d";

/// Lines that hold for every connection: those before any `Match`. Keywords are in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines(Vec<(String, String)>);

impl Lines {
    /// What modules ask for.
    pub fn asked(specs: &[Spec]) -> Self {
        Lines(concerned(specs).flat_map(|spec| parse(spec.text("content").unwrap_or_default())).collect())
    }

    /// All that there would be: what modules ask for, and the files that they leave alone.
    pub fn after(host: &dyn Host, specs: &[Spec]) -> Result<Self> {
        Lines::after_without(host, specs, &[])
    }

    /// The same, when files at `gone` and below go first.
    pub fn after_without(host: &dyn Host, specs: &[Spec], gone: &[PathBuf]) -> Result<Self> {
        let mut files = BTreeMap::from([(CONFIG.to_owned(), read_text(host, CONFIG)?)]);
        for name in host.list(Path::new(DROP_INS))? {
            let path = format!("{DROP_INS}/{}", name.to_string_lossy());
            if path.ends_with(".conf") {
                files.insert(path.clone(), read_text(host, &path)?);
            }
        }
        files.retain(|path, _| !gone.iter().any(|gone| Path::new(path).starts_with(gone)));
        for spec in concerned(specs) {
            let content = spec.text("content").unwrap_or_default();
            let file = files.entry(spec.name.clone()).or_default();
            match spec.kind {
                "block" => *file = format!("{content}\n{file}"),
                _ => *file = content.to_owned(),
            }
        }
        Ok(Lines(files.values().flat_map(|text| parse(text)).collect()))
    }

    /// Whether a keyword (in lower case) has this value somewhere.
    pub fn has(&self, keyword: &str, value: &str) -> bool {
        self.all(keyword).any(|found| found.eq_ignore_ascii_case(value))
    }

    /// Every value of a keyword (in lower case).
    pub fn all<'l>(&'l self, keyword: &'l str) -> impl Iterator<Item = &'l str> {
        self.0.iter().filter(move |(name, _)| name == keyword).map(|(_, value)| value.as_str())
    }
}

/// Whether sshd reads the file at this path.
pub fn is_config(path: &str) -> bool {
    path == CONFIG || path.starts_with(DROP_INS) && path.ends_with(".conf")
}

fn concerned(specs: &[Spec]) -> impl Iterator<Item = &Spec> {
    specs.iter().filter(|spec| matches!(spec.kind, "file" | "block") && is_config(&spec.name))
}

fn parse(text: &str) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        // The keyword ends at blanks, or at one equals sign.
        let (keyword, value) = line.split_once(|c: char| c.is_whitespace() || c == '=').unwrap_or((line, ""));
        let keyword = keyword.to_lowercase();
        if keyword == "match" {
            break;
        }
        let value = value.trim().trim_start_matches('=').trim().trim_matches('"');
        lines.push((keyword, value.to_owned()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_sshd_reads_them() {
        let lines = Lines(parse(
            "# x\n\tPasswordAuthentication  No\nPort=22\nPort = 2222\nAllowUsers \"mia\"\nMatch User x\nPort 1\n",
        ));
        assert!(lines.has("passwordauthentication", "no"));
        assert_eq!(lines.all("port").collect::<Vec<_>>(), ["22", "2222"]);
        assert!(lines.has("allowusers", "mia") && !lines.has("port", "1"));
    }
}
