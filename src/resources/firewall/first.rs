//! Which rule counts for a port: of the rules that ufw keeps, the first that fits a packet. What the administrator had
//! written before stays in front of ours.

use super::rule::has_port;

/// One rule as ufw keeps it: `deny_log tcp 22,80 0.0.0.0/0 any 0.0.0.0/0 in_eth0 # remark`.
struct Kept<'k> {
    action: &'k str,
    ports: &'k str,
    is_for_all: bool,
    interface: &'k str,
}

impl<'k> Kept<'k> {
    /// A rule for connections that come in by TCP to some port here; `None` for all others.
    fn read(kept: &'k str) -> Option<Self> {
        let tuple = kept.split_once(" # ").map_or(kept, |(tuple, _)| tuple);
        let mut fields = tuple.split(' ');
        let (action, protocol, ports) = (fields.next()?, fields.next()?, fields.next()?);
        let (to, source, from) = (fields.next()?, fields.next()?, fields.next()?);
        // Between them, the names of applications.
        let way = fields.next_back()?;
        let interface = way.strip_prefix("in")?;
        let is_any = |address: &str| matches!(address, "0.0.0.0/0" | "::/0");
        let is_plain = !action.contains(':') && protocol != "udp" && source == "any";
        is_plain.then_some(Kept {
            action: action.split('_').next().unwrap_or(action),
            ports,
            is_for_all: is_any(from) && is_any(to),
            interface: interface.trim_start_matches('_'),
        })
    }
}

/// The rule that shuts this TCP port before any opens it to everybody. Rules for single addresses or networks don't
/// count: whom they are for is not known.
pub fn shutter(rules: &[String], port: u16) -> Option<&str> {
    for rule in rules {
        let Some(kept) = Kept::read(rule).filter(|kept| kept.is_for_all && has_port(kept.ports, port)) else {
            continue;
        };
        match kept.action {
            "allow" | "limit" if kept.interface.is_empty() => return None,
            "deny" | "reject" if kept.interface != "lo" => return Some(rule),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_is_for_everybody_counts() {
        let shut = |rules: &[&str], port| {
            let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
            shutter(&rules, port).map(str::to_owned)
        };
        let ours = "limit tcp 22 0.0.0.0/0 any 0.0.0.0/0 in # SSH";
        for first in [
            "deny any 22 0.0.0.0/0 any 0.0.0.0/0 in",
            "reject tcp 1:1024 0.0.0.0/0 any 0.0.0.0/0 in # old",
            "deny_log-all tcp 22,80 0.0.0.0/0 any 0.0.0.0/0 in_eth0",
            "deny tcp 22 0.0.0.0/0 any 0.0.0.0/0 OpenSSH - in",
            "deny any any ::/0 any ::/0 in",
        ] {
            assert_eq!(shut(&[first, ours], 22).as_deref(), Some(first));
            assert_eq!(shut(&[ours, first], 22), None, "{first} comes too late");
        }
        for other in [
            "deny tcp 25 0.0.0.0/0 any 0.0.0.0/0 in",
            "deny udp 22 0.0.0.0/0 any 0.0.0.0/0 in",
            "deny any any 0.0.0.0/0 any 203.0.113.9 in",
            "deny any 22 0.0.0.0/0 any 0.0.0.0/0 out",
            "route:deny any any 0.0.0.0/0 any 0.0.0.0/0 in",
            "deny any 22 0.0.0.0/0 any 0.0.0.0/0 in_lo",
        ] {
            assert_eq!(shut(&[other, ours], 22), None, "{other}");
        }
        assert!(
            shut(&["allow tcp 22 0.0.0.0/0 any 10.0.0.0/8 in", "deny any 22 0.0.0.0/0 any 0.0.0.0/0 in"], 22).is_some()
        );
    }
}
