//! What went wrong, read from what apt and dpkg print.

use crate::base::paths;
use crate::engine::Error;
use crate::host::{Attributes, Host};
use std::path::Path;

/// The packages that dpkg names at its end, and whose errors apt reports.
pub fn guilty(text: &str) -> Vec<String> {
    let mut guilty: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        let name = name.trim();
        let bare = std::path::Path::new(name).file_name().and_then(|n| n.to_str()).unwrap_or(name);
        let bare = bare.split(['_', ':', ' ']).next().unwrap_or(bare);
        if !bare.is_empty() && !guilty.iter().any(|g| g == bare) {
            guilty.push(bare.to_owned());
        }
    };
    for line in text.lines() {
        // dpkg: error processing package NAME (--configure):  /  dpkg: error processing archive PATH (--unpack):
        if let Some(rest) =
            line.split_once("error processing package ").or_else(|| line.split_once("error processing archive "))
        {
            add(rest.1.split(" (").next().unwrap_or_default());
        }
        // E: Failed to fetch http://host/pool/main/j/jq/jq_1.7_amd64.deb  404  Not Found
        if let Some(rest) = line.strip_prefix("E: Failed to fetch ") {
            add(rest.split_whitespace().next().unwrap_or_default());
        }
    }
    if let Some((_, list)) = text.split_once("Errors were encountered while processing:\n") {
        list.lines().take_while(|l| l.starts_with(' ')).for_each(&mut add);
    }
    guilty
}

/// The hosts that could not be reached: those of the lines that say so, else of all lines about a failure.
fn hosts(text: &str) -> Vec<String> {
    let failed = || text.lines().filter(|l| l.contains("Failed to fetch ") || l.starts_with("Err:"));
    let of = |lines: &mut dyn Iterator<Item = &str>| {
        let mut hosts: Vec<String> = Vec::new();
        for host in lines.filter_map(|line| host_of(line.split_whitespace().find(|word| word.contains("://"))?)) {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        hosts
    };
    let sure = of(&mut failed().filter(|line| NETWORK.iter().any(|sign| line.contains(sign))));
    if sure.is_empty() { of(&mut failed()) } else { sure }
}

/// The host of an address, with its port where there is one.
pub fn host_of(url: &str) -> Option<String> {
    let authority = url.split_once("://")?.1.split('/').next()?;
    let host = authority.rsplit('@').next().unwrap_or(authority);
    (!host.is_empty()).then(|| host.to_owned())
}

/// What apt's methods say when a host doesn't answer, or answers that it can't: not when it answers that there is no such
/// file, or with one that is not what was asked for.
const NETWORK: [&str; 12] = [
    "resolving",
    "Could not resolve",
    "Could not connect",
    "Unable to connect",
    "Connection",
    "timed out",
    "unreachable",
    "No route",
    "  500  ",
    "  502  ",
    "  503  ",
    "  504  ",
];

/// Nobody can be reached for `what`.
fn unreachable(what: &str, text: &str, why: &str) -> Error {
    Error::Unreachable { what: what.to_owned(), hosts: hosts(text), why: why.to_owned() }
}

/// Whether the error is that nobody could be reached.
pub fn is_network(error: &Error) -> bool {
    matches!(error, Error::Unreachable { .. })
}

/// The error of a file that could not be downloaded, where it is that nobody could be reached.
pub fn of_download(url: &str, host: Option<String>, why: &str) -> Option<Error> {
    let is_network = NETWORK.iter().any(|sign| why.contains(sign));
    is_network.then(|| Error::Unreachable {
        what: url.to_owned(),
        hosts: host.into_iter().collect(),
        why: why.to_owned(),
    })
}

/// So many complaints are told.
const MANY: usize = 6;

/// apt's own errors and warnings.
fn complaints(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|l| l.starts_with("E: ") || l.starts_with("W: "))
}

/// The first of them, else apt's last words.
fn told(text: &str) -> String {
    let more = complaints(text).count().saturating_sub(MANY);
    let first: Vec<&str> = complaints(text).take(MANY).collect();
    match (first.is_empty(), more) {
        (true, _) => last_lines(text, 8),
        (false, 0) => first.join("\n"),
        (false, more) => format!("{}\nand {more} more like these", first.join("\n")),
    }
}

/// Whether one of them is that a host gives no answer.
fn is_silence(text: &str) -> bool {
    let has_sign = |line: &str| NETWORK.iter().any(|sign| line.contains(sign));
    complaints(text).any(has_sign) || complaints(text).next().is_none() && has_sign(&last_lines(text, 8))
}

/// Whether apt-get failed because of the network or the disk, and not because of a package.
pub fn is_of_fetching(text: &str) -> bool {
    text.contains("E: Failed to fetch") && is_silence(text) || text.contains("No space left on device")
}

/// The refusal for packages that could not be fetched.
pub fn of_fetch(text: &str) -> Error {
    let why = told(text);
    if text.contains("No space left on device") {
        return Error::refused("disk-full", "cannot install the packages", last_lines(text, 8))
            .fix("free some room (apt-get clean; journalctl --vacuum-size=100M), then run this again");
    }
    if is_silence(text) {
        return unreachable("the packages", text, &why);
    }
    Error::refused("download-failed", "cannot fetch the packages", why)
        .fix("if a file is not found the archive has newer ones: apt-get update, then run this again")
        .fix("if one is not what the lists say: try again later, or another mirror; it was not installed")
}

/// The refusal for package lists that could not be fetched.
pub fn of_update(text: &str, has_lists: bool) -> Error {
    let why = told(text);
    if is_silence(text) {
        return unreachable("the package lists", text, &why);
    }
    let error = Error::refused("package-lists-refused", "cannot fetch the package lists", why)
        .fix("correct the source that is named above in /etc/apt/sources.list.d, then run apt-get update");
    if has_lists { error.fix("apt's older lists are still in place") } else { error }
}

/// The lines that say something: neither empty nor apt's status.
fn telling(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with("pmstatus:") && !l.starts_with("dlstatus:"))
}

/// Keeps all that was written where it can be read after the next run of apt-get, too; says where the story is.
pub fn keep(host: &dyn Host, text: &str) -> String {
    let path = Path::new(paths::APT_FAILED_LOG);
    let lines: String = telling(text).map(|line| format!("{line}\n")).collect();
    let made = match host.meta(Path::new(paths::LOG)) {
        Ok(None) => host.make_directory(Path::new(paths::LOG), &Attributes::root(0o750)),
        other => other.map(drop),
    };
    match made.and_then(|()| host.write(path, lines.as_bytes(), &Attributes::root(0o640))) {
        Ok(_) => format!("the whole story is in {} and /var/log/dpkg.log", path.display()),
        // A disk that is full or broken; what it was about is told all the same.
        Err(error) => format!("what dpkg did is in /var/log/dpkg.log; the rest was not kept: {error}"),
    }
}

/// The last `count` lines that say something.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = telling(text).collect();
    lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guilty_packages_are_found_in_what_dpkg_prints() {
        let text = "dpkg: error processing package nginx:amd64 (--configure):\n installed nginx package post-installation script subprocess returned error exit status 1\n\
            dpkg: error processing archive /var/cache/apt/archives/jq_1.7_amd64.deb (--unpack):\n\
            Errors were encountered while processing:\n nginx\n /var/cache/apt/archives/foo_1_all.deb\nE: Sub-process /usr/bin/dpkg returned an error code (1)\n";
        assert_eq!(guilty(text), ["nginx", "jq", "foo"]);
        assert_eq!(
            guilty("E: Failed to fetch http://deb.debian.org/debian/pool/main/j/jq/jq_1.7_amd64.deb  404  Not Found\n"),
            ["jq"]
        );
    }

    #[test]
    fn a_mirror_that_cannot_be_reached_is_told_from_a_bad_signature() {
        let text = "Err:1 http://deb.debian.org/debian trixie InRelease\n  Temporary failure resolving 'deb.debian.org'\n\
            E: Failed to fetch http://deb.debian.org/debian/dists/trixie/InRelease  Temporary failure resolving 'deb.debian.org'\n";
        let Error::Unreachable { what, hosts, .. } = of_update(text, false) else { panic!() };
        assert_eq!((what.as_str(), hosts), ("the package lists", vec!["deb.debian.org".to_owned()]));
        // Of two hosts that failed, the one that is there and has no such file is not the one that gives no answer.
        let both = format!("{text}E: Failed to fetch https://x:8/a/b.deb  404  Not Found [IP: 10.0.0.1 8]\n");
        assert!(matches!(of_fetch(&both), Error::Unreachable { hosts, .. } if hosts == ["deb.debian.org"]));
        assert!(matches!(
            of_fetch("E: Failed to fetch https://x:8/a/b.deb  404  Not Found\n"),
            Error::Refused { code: "download-failed", .. }
        ));
        let busy = of_fetch("E: Failed to fetch https://x:8/a/b.deb  503  Service Unavailable [IP: 10.0.0.1 8]\n");
        assert!(matches!(busy, Error::Unreachable { hosts, .. } if hosts == ["x:8"]));
        let Error::Refused { code, .. } =
            of_update("E: The repository 'http://x trixie InRelease' is not signed.\n", true)
        else {
            panic!()
        };
        assert_eq!(code, "package-lists-refused");
    }
}
