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

/// The host names that could not be reached.
fn hosts(text: &str) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for line in text.lines().filter(|l| l.contains("Failed to fetch ") || l.starts_with("Err:")) {
        let host = line.split("://").nth(1).and_then(|rest| rest.split(['/', ' ']).next());
        if let Some(host) = host.filter(|h| !h.is_empty() && !hosts.iter().any(|k| k == h)) {
            hosts.push(host.to_owned());
        }
    }
    hosts
}

/// The code of [`unreachable`].
const UNREACHABLE: &str = "network-unreachable";

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

/// A refusal that has no module: no host can be reached for `what`.
fn unreachable(what: &str, text: &str, why: &str) -> Error {
    let hosts = hosts(text);
    let hosts = if hosts.is_empty() { "the mirrors".to_owned() } else { hosts.join(", ") };
    Error::refused(UNREACHABLE, format!("cannot fetch {what} from {hosts}"), why)
        .fix("see that the host has a route and a name server: ip route; getent hosts deb.debian.org")
        .fix("then run the same command again; nothing was changed")
}

/// Whether the error is that nobody could be reached.
pub fn is_network(error: &Error) -> bool {
    matches!(error, Error::Refused { code: UNREACHABLE, .. })
}

/// apt's own errors and warnings, else its last words.
fn complaints(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|l| l.starts_with("E: ") || l.starts_with("W: ")).collect();
    if lines.is_empty() { last_lines(text, 8) } else { lines.join("\n") }
}

/// Whether apt-get failed because of the network or the disk, and not because of a package.
pub fn is_of_fetching(text: &str) -> bool {
    let is_network = text.contains("E: Failed to fetch") && NETWORK.iter().any(|sign| complaints(text).contains(sign));
    is_network || text.contains("No space left on device")
}

/// The refusal for packages that could not be fetched.
pub fn of_fetch(text: &str) -> Error {
    let why = complaints(text);
    if text.contains("No space left on device") {
        return Error::refused("disk-full", "cannot install the packages", last_lines(text, 8))
            .fix("free some room (apt-get clean; journalctl --vacuum-size=100M), then run this again");
    }
    if NETWORK.iter().any(|sign| why.contains(sign)) {
        return unreachable("the packages", text, &why);
    }
    Error::refused("download-failed", "cannot fetch the packages", why)
        .fix("if a file is not found the archive has newer ones: apt-get update, then run this again")
        .fix("if one is not what the lists say: try again later, or another mirror; it was not installed")
}

/// The refusal for package lists that could not be fetched.
pub fn of_update(text: &str, has_lists: bool) -> Error {
    let why = complaints(text);
    if NETWORK.iter().any(|sign| why.contains(sign)) {
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
        let Error::Refused { code, what, .. } = of_update(text, false) else { panic!() };
        assert_eq!(
            (code, what.as_str()),
            ("network-unreachable", "cannot fetch the package lists from deb.debian.org")
        );
        let Error::Refused { code, .. } =
            of_update("E: The repository 'http://x trixie InRelease' is not signed.\n", true)
        else {
            panic!()
        };
        assert_eq!(code, "package-lists-refused");
    }
}
