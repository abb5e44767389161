//! Where Debian comes from: read off this machine's own apt sources, so that a local mirror is used where one is.

use super::Trouble;
use std::fs;
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    pub debian: String,
    pub security: String,
}

/// One line of `sources.list`, or one stanza of a `.sources` file.
struct Source {
    uris: Vec<String>,
    suites: Vec<String>,
}

pub fn find() -> Result<Mirror, Trouble> {
    let codename = fs::read_to_string("/etc/os-release")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME=").map(str::to_owned))
        .unwrap_or_default();
    let mut files = vec![Path::new("/etc/apt/sources.list").to_path_buf()];
    if let Ok(folder) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(folder.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let mut sources = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_default();
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("sources") => sources.extend(stanzas(&text)),
            Some("list") => sources.extend(lines(&text)),
            _ => {}
        }
    }
    choose(&sources, &codename).ok_or_else(|| {
        "no Debian mirror in this machine's apt sources: one source with a Debian suite and one with its -security suite \
         are needed"
            .into()
    })
}

fn choose(sources: &[Source], codename: &str) -> Option<Mirror> {
    let with = |wanted: &dyn Fn(&str) -> bool| {
        sources
            .iter()
            .find(|source| source.suites.iter().any(|suite| wanted(suite)))
            .and_then(|source| source.uris.first())
            .map(|uri| plain(uri))
    };
    let debian = with(&|suite| {
        [codename, "trixie", "bookworm", "stable", "testing", "sid"].contains(&suite.trim_end_matches('/'))
    })?;
    let security = with(&|suite| suite.trim_end_matches('/').ends_with("-security"))?;
    Some(Mirror { debian, security })
}

/// Debian's cloud images say `mirror+file:/etc/apt/mirrors/debian.list`; the base wants a plain address.
fn plain(uri: &str) -> String {
    let address = uri
        .strip_prefix("mirror+file:")
        .and_then(|path| fs::read_to_string(path).ok())
        .and_then(|text| {
            text.lines()
                .find(|line| line.contains("://"))
                .and_then(|line| line.split_whitespace().next())
                .map(str::to_owned)
        })
        .unwrap_or_else(|| uri.to_owned());
    address.trim_end_matches('/').to_owned()
}

fn lines(text: &str) -> Vec<Source> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("deb "))
        .filter_map(|rest| {
            let rest = match rest.trim_start().strip_prefix('[') {
                Some(options) => options.split_once(']')?.1,
                None => rest,
            };
            let mut words = rest.split_whitespace().map(str::to_owned);
            Some(Source { uris: vec![words.next()?], suites: vec![words.next()?] })
        })
        .collect()
}

fn stanzas(text: &str) -> Vec<Source> {
    let without_comments: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    without_comments
        .join("\n")
        .split("\n\n")
        .filter_map(|stanza| {
            let field = |name: &str| -> Vec<String> {
                stanza
                    .lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                    .map(|value| value.split_whitespace().map(str::to_owned).collect())
                    .unwrap_or_default()
            };
            let off = field("Enabled").first().is_some_and(|value| value == "no");
            (!off && field("Types").iter().any(|kind| kind == "deb"))
                .then(|| Source { uris: field("URIs"), suites: field("Suites") })
        })
        .collect()
}
