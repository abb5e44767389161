//! Whether the archives that apt installs from can be reached: their names, and something that answers there.

use super::{Looked, State};
use crate::engine::Result;
use crate::host::{Command, Host, Unreachable, read_text};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// How long a name, and then an answer, is waited for.
const WAIT: Duration = Duration::from_secs(3);
/// What switches a source off, as apt takes it.
const OFF: [&str; 6] = ["no", "false", "without", "off", "disable", "0"];
/// More archives than this are not asked.
const MOST: usize = 8;

pub(super) fn look(host: &dyn Host) -> Result<Vec<Looked>> {
    let mut sites = sites(host)?;
    let through = match proxy(host) {
        Some(proxy) => {
            sites = BTreeSet::from([proxy]);
            " (apt's proxy)"
        }
        None => "",
    };
    if sites.is_empty() {
        return Ok(vec![Looked::beside("network", "apt installs from no archive on the network")]);
    }
    let asked: Vec<_> = sites.into_iter().take(MOST).collect();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let ask = |(name, port): &(String, u16)| {
            let (name, port) = (name.clone(), *port);
            scope.spawn(move || host.reach(&name, port, WAIT))
        };
        let asking: Vec<_> = asked.iter().map(ask).collect();
        asking.into_iter().map(|one| one.join().unwrap_or(None)).collect()
    });
    let all = asked.iter().zip(answers).map(|((name, port), answer)| judge(name, *port, through, answer));
    Ok(all.collect())
}

/// `None`: it can't be told here.
fn judge(name: &str, port: u16, through: &str, answer: Option<std::result::Result<(), Unreachable>>) -> Looked {
    let at = format!("{name}:{port}{through}");
    match answer {
        None => Looked::beside("network", format!("{at} is not asked from a tree that stands for a host")),
        Some(Ok(())) => Looked::well("network", format!("{at} answers")),
        Some(Err(Unreachable::Name(why))) => Looked::found(
            "network",
            State::Unhealthy,
            format!("the name {name} is not found"),
            format!("no name server tells its address: {why}"),
            "see /etc/resolv.conf, and whether its name server answers: resolvectl status, or getent hosts debian.org",
        ),
        Some(Err(Unreachable::Connection(why))) => Looked::found(
            "network",
            State::Unhealthy,
            format!("{at} does not answer"),
            format!("packages can't be fetched from there: {why}"),
            "see the way out (ip route; ip address) and outgoing rules (nft list ruleset)",
        ),
    }
}

/// The hosts and ports of apt's sources.
fn sites(host: &dyn Host) -> Result<BTreeSet<(String, u16)>> {
    let mut all = sites_of(&read_text(host, Path::new("/etc/apt/sources.list"))?, false);
    let dir = Path::new("/etc/apt/sources.list.d");
    for name in host.list(dir)?.iter().map(|name| name.to_string_lossy()) {
        if name.ends_with(".list") || name.ends_with(".sources") {
            all.extend(sites_of(&read_text(host, dir.join(&*name))?, name.ends_with(".sources")));
        }
    }
    Ok(all)
}

/// From one file of them (sources.list(5)): each address in a line of `deb`, or in a paragraph that is not disabled.
fn sites_of(text: &str, is_deb822: bool) -> BTreeSet<(String, u16)> {
    let is_comment = |line: &&str| !line.trim_start().starts_with('#');
    let is_off = |part: &&str| {
        let off = |line: &str| line.to_lowercase().strip_prefix("enabled:").is_some_and(|it| OFF.contains(&it.trim()));
        !part.lines().any(off)
    };
    let parts: Vec<&str> = match is_deb822 {
        true => text.split("\n\n").filter(is_off).collect(),
        false => text.lines().filter(|line| line.trim_start().starts_with("deb")).collect(),
    };
    let lines = parts.iter().flat_map(|part| part.lines()).filter(is_comment);
    lines.flat_map(str::split_whitespace).filter_map(site).collect()
}

/// The host and port of an http or https address.
fn site(address: &str) -> Option<(String, u16)> {
    let (rest, port) = match address.strip_prefix("https://") {
        Some(rest) => (rest, 443),
        None => (address.strip_prefix("http://")?, 80),
    };
    let host = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?;
    let (name, port) = match host.rsplit_once(':').filter(|(name, _)| name.ends_with(']') || !name.contains(':')) {
        Some((name, given)) => (name, given.parse().ok()?),
        None => (host, port),
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    (!name.is_empty()).then(|| (name.to_owned(), port))
}

/// What apt is told to fetch through.
fn proxy(host: &dyn Host) -> Option<(String, u16)> {
    let output = host.look(&Command::new("apt-config").args(["dump", "Acquire::http::Proxy"])).ok()?;
    let value = output.text().lines().find_map(|line| {
        line.strip_prefix("Acquire::http::Proxy ").map(|value| value.trim_matches(['"', ';', ' ']).to_owned())
    })?;
    site(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archives_of_both_forms_of_sources_are_found() {
        let list = "# deb http://old/\ndeb [signed-by=/x] http://deb.debian.org/debian trixie main\n deb-src https://a:8443/x y\n\
                    deb file:/srv/repo ./\ndeb cdrom:[x]/ trixie main\n";
        let of = |text: &str, form: bool| {
            sites_of(text, form).into_iter().map(|(name, port)| format!("{name}:{port}")).collect::<Vec<_>>()
        };
        assert_eq!(of(list, false), ["a:8443", "deb.debian.org:80"]);
        let sources = "Types: deb\n# http://no/\nURIs: http://b/debian\n https://[2001:db8::1]/x\n\n\
                       Types: deb\nEnabled: no\nURIs: http://off/\n\nTypes: deb\nURIs: http://off/\nEnabled: False\n";
        assert_eq!(of(sources, true), ["2001:db8::1:443", "b:80"]);
        assert_eq!(site("http://user:word@proxy:3128"), Some(("proxy".into(), 3128)));
        assert_eq!([site("http://"), site("ftp://x/"), site("http://x:port/")], [None, None, None]);
    }

    #[test]
    fn a_name_that_is_not_found_and_a_way_that_is_shut_are_told_apart() {
        let judged = |answer| judge("deb.debian.org", 80, "", answer);
        let name = judged(Some(Err(Unreachable::Name("timed out".into()))));
        assert!(name.is_finding() && name.seen.contains("the name deb.debian.org") && name.fix.contains("resolv.conf"));
        let way = judged(Some(Err(Unreachable::Connection("refused".into()))));
        assert!(way.is_finding() && way.seen.contains("deb.debian.org:80") && way.fix.contains("ip route"));
        assert!(!judged(Some(Ok(()))).is_finding() && !judged(None).is_finding());
    }
}
