//! A rule of ufw(8), as a manifest writes it (`limit 22/tcp # SSH`), as ufw takes it (an argument vector), and as ufw
//! keeps it (the `### tuple ###` lines of /etc/ufw/user.rules and user6.rules).

use std::net::{Ipv4Addr, Ipv6Addr};

/// A rule that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `allow`, `deny`, `reject` or `limit`.
    pub action: String,
    /// `in` or `out`.
    pub direction: String,
    /// `tcp`, `udp` or `any`.
    pub protocol: String,
    /// A port, ranges and lists of them, as ufw orders them; or `any`.
    pub ports: String,
    /// An address or network, or `any`.
    pub from: String,
    /// For packets that pass through this host, from one interface to another.
    pub route: Option<Route>,
    /// The remark, or nothing.
    pub comment: String,
}

/// Which packets that pass through a rule is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Route {
    /// The interface that they come in by, or nothing for any.
    pub entry: String,
    /// The interface that they go out by, or nothing for any.
    pub exit: String,
}

/// The two families of addresses, each with a file of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4, /etc/ufw/user.rules.
    Four,
    /// IPv6, /etc/ufw/user6.rules.
    Six,
}

impl Rule {
    /// The rule of a line: `ACTION [in|out] PORTS[/PROTOCOL] [# REMARK]`,
    /// `ACTION [in|out] from ADDRESS [to any port PORTS [proto PROTOCOL]] [# REMARK]` or
    /// `route ACTION [in on INTERFACE] [out on INTERFACE] [from ADDRESS] [# REMARK]`. The error says what is wrong.
    pub fn parse(line: &str) -> Result<Rule, String> {
        let (text, comment) = line.split_once('#').map_or((line, ""), |(text, comment)| (text, comment.trim()));
        if comment.contains(['\'', '"', '\n']) {
            return Err("ufw takes no quotes in a remark".to_owned());
        }
        let mut words = text.split_whitespace().peekable();
        let is_route = words.next_if(|word| *word == "route").is_some();
        let action = words.next().unwrap_or("").to_owned();
        if !["allow", "deny", "reject", "limit"].contains(&action.as_str()) {
            return Err(format!("\"{action}\" is none of allow, deny, reject, limit"));
        }
        if is_route {
            let rest: Vec<&str> = words.collect();
            return Rule::parse_route(&action, &rest, comment);
        }
        let direction = words.next_if(|word| ["in", "out"].contains(word)).unwrap_or("in").to_owned();
        let rest: Vec<&str> = words.collect();
        let (ports, protocol, from) = match rest.as_slice() {
            ["from", address] => ("any", "any", *address),
            ["from", address, "to", "any", "port", ports] => (*ports, "any", *address),
            ["from", address, "to", "any", "port", ports, "proto", protocol] => (*ports, *protocol, *address),
            [ports] => {
                ports.split_once('/').map_or((*ports, "any", "any"), |(ports, protocol)| (ports, protocol, "any"))
            }
            _ => return Err(format!("\"{}\" is no port, such as 22/tcp", rest.join(" "))),
        };
        if !["any", "tcp", "udp"].contains(&protocol) {
            return Err(format!("\"{protocol}\" is neither tcp nor udp"));
        }
        if protocol == "any" && ports.contains([',', ':']) {
            return Err("several ports need a protocol, such as 80,443/tcp".to_owned());
        }
        Ok(Rule {
            action,
            direction,
            protocol: protocol.to_owned(),
            ports: if ports == "any" { "any".to_owned() } else { ordered(ports)? },
            from: network(from)?,
            route: None,
            comment: comment.to_owned(),
        })
    }

    fn parse_route(action: &str, words: &[&str], comment: &str) -> Result<Rule, String> {
        let (mut route, mut from, mut rest) = (Route::default(), "any", words);
        loop {
            rest = match rest {
                ["in", "on", name, rest @ ..] if is_interface(name) && route.entry.is_empty() => {
                    route.entry = (*name).to_owned();
                    rest
                }
                ["out", "on", name, rest @ ..] if is_interface(name) && route.exit.is_empty() => {
                    route.exit = (*name).to_owned();
                    rest
                }
                ["from", address, rest @ ..] if from == "any" => {
                    from = address;
                    rest
                }
                [] => break,
                _ => return Err(format!("\"{}\" is no way through this host", rest.join(" "))),
            };
        }
        Ok(Rule {
            action: action.to_owned(),
            direction: "in".to_owned(),
            protocol: "any".to_owned(),
            ports: "any".to_owned(),
            from: network(from)?,
            route: Some(route),
            comment: comment.to_owned(),
        })
    }

    /// The rule that keeps a port of sshd open, with six tries in half a minute.
    pub fn ssh(port: u16) -> Rule {
        Rule {
            action: "limit".to_owned(),
            direction: "in".to_owned(),
            protocol: "tcp".to_owned(),
            ports: port.to_string(),
            from: "any".to_owned(),
            route: None,
            comment: "SSH".to_owned(),
        }
    }

    /// The arguments that ufw takes to add it.
    pub fn arguments(&self) -> Vec<String> {
        let mut args: Vec<&str> = Vec::new();
        match &self.route {
            None => args.extend([self.action.as_str(), &self.direction]),
            Some(route) => {
                args.extend(["route", &self.action]);
                let ends = [("in", &route.entry), ("out", &route.exit)];
                args.extend(
                    ends.iter().filter(|(_, name)| !name.is_empty()).flat_map(|(way, name)| [way, "on", name.as_str()]),
                );
            }
        }
        args.extend(["from", &self.from, "to", "any"]);
        if self.ports != "any" {
            args.extend(["port", &self.ports]);
        }
        if self.protocol != "any" {
            args.extend(["proto", &self.protocol]);
        }
        if !self.comment.is_empty() {
            args.extend(["comment", &self.comment]);
        }
        args.into_iter().map(str::to_owned).collect()
    }

    /// What ufw keeps of it for one family; `None` when it isn't for that family.
    pub fn kept(&self, family: Family) -> Option<String> {
        let (all, other) = match family {
            Family::Four => ("0.0.0.0/0", ':'),
            Family::Six => ("::/0", '.'),
        };
        if self.from.contains(other) {
            return None;
        }
        let from = if self.from == "any" { all } else { &self.from };
        let (prefix, way) = match &self.route {
            None => ("", self.direction.clone()),
            Some(Route { entry, exit }) => {
                let ends = [("in", entry), ("out", exit)].into_iter().filter(|(_, name)| !name.is_empty());
                let ends: Vec<String> = ends.map(|(way, name)| format!("{way}_{name}")).collect();
                ("route:", if ends.is_empty() { self.direction.clone() } else { ends.join("!") })
            }
        };
        let mut text = format!("{prefix}{} {} {} {all} any {from} {way}", self.action, self.protocol, self.ports);
        if !self.comment.is_empty() {
            text.push_str(&format!(" # {}", self.comment));
        }
        Some(text)
    }

    /// Whether it lets new connections to this TCP port in, from anywhere.
    pub fn opens(&self, port: u16) -> bool {
        let lets_in = ["allow", "limit"].contains(&self.action.as_str());
        lets_in && self.concerns(port) && self.from == "any"
    }

    /// Whether it shuts this TCP port, at least for some.
    pub fn shuts(&self, port: u16) -> bool {
        ["deny", "reject"].contains(&self.action.as_str()) && self.concerns(port)
    }

    fn concerns(&self, port: u16) -> bool {
        self.route.is_none() && self.direction == "in" && self.protocol != "udp" && has_port(&self.ports, port)
    }
}

/// Whether ports as ufw writes them (`any`, `22`, `80,443`, `6000:6007`) take this one in.
pub(super) fn has_port(ports: &str, port: u16) -> bool {
    let within = |part: &str| {
        let (low, high) = part.split_once(':').unwrap_or((part, part));
        let number = |text: &str| text.parse::<u16>().ok();
        number(low).is_some_and(|low| low <= port) && number(high).is_some_and(|high| port <= high)
    };
    ports == "any" || ports.split(',').any(within)
}

/// Whether this can be the name of a network interface (at most 15 characters, as the kernel has it).
fn is_interface(name: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    (1..=15).contains(&name.len()) && name.chars().all(is_good)
}

/// Ports in the order in which ufw keeps them: by their (first) number.
fn ordered(text: &str) -> Result<String, String> {
    let mut parts: Vec<(u16, &str)> = Vec::new();
    for part in text.split(',') {
        let (low, high) = part.split_once(':').unwrap_or((part, part));
        match (low.parse::<u16>(), high.parse::<u16>()) {
            (Ok(low), Ok(high)) if low > 0 && low <= high => parts.push((low, part)),
            _ => return Err(format!("\"{part}\" is no port")),
        }
    }
    if parts.len() > 15 {
        return Err("ufw takes 15 ports in one rule".to_owned());
    }
    parts.sort_by_key(|(low, _)| *low);
    Ok(parts.into_iter().map(|(_, part)| part).collect::<Vec<_>>().join(","))
}

/// An address or network as ufw keeps it: IPv4 networks without the bits of the host.
fn network(text: &str) -> Result<String, String> {
    if text == "any" {
        return Ok("any".to_owned());
    }
    let wrong = || format!("\"{text}\" is no address");
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    if let Ok(address) = address.parse::<Ipv4Addr>() {
        let Some(length) = length else {
            return Ok(address.to_string());
        };
        let length: u32 = length.parse().ok().filter(|length| *length <= 32).ok_or_else(wrong)?;
        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
        let address = Ipv4Addr::from(u32::from(address) & mask);
        return Ok(if length == 32 { address.to_string() } else { format!("{address}/{length}") });
    }
    let six: Ipv6Addr = address.parse().map_err(|_| wrong())?;
    let length: Option<u32> = length.map(|l| l.parse().ok().filter(|l| *l <= 128).ok_or_else(wrong)).transpose()?;
    Ok(length.filter(|length| *length < 128).map_or_else(|| six.to_string(), |length| format!("{six}/{length}")))
}

/// The rules in a file of ufw, as [`Rule::kept`] writes them.
pub fn kept_in(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("### tuple ### "))
        .map(|tuple| match tuple.rsplit_once(" comment=") {
            Some((tuple, hex)) => format!("{tuple} # {}", unhex(hex)),
            None => tuple.to_owned(),
        })
        .collect()
}

fn unhex(text: &str) -> String {
    let bytes: Vec<u8> =
        (0..text.len()).step_by(2).filter_map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What makes two kept rules the same rule to ufw: all but the action and the remark. It replaces such a one.
pub fn identity(kept: &str) -> (bool, &str) {
    let tuple = kept.split_once(" # ").map_or(kept, |(tuple, _)| tuple);
    let (action, rest) = tuple.split_once(' ').unwrap_or((tuple, ""));
    (action.starts_with("route:"), rest)
}

/// The kept rules after `wanted` was added to `before`: in the place of the same rule, else at the end.
pub fn added(before: &[String], wanted: &str) -> Vec<String> {
    let mut after = before.to_vec();
    match after.iter_mut().find(|kept| identity(kept) == identity(wanted)) {
        Some(kept) => *kept = wanted.to_owned(),
        None => after.push(wanted.to_owned()),
    }
    after
}

/// The arguments that make ufw add a kept rule again; `None` for forms that we never replace (applications).
pub fn arguments_of_kept(kept: &str) -> Option<Vec<String>> {
    let (tuple, comment) = kept.split_once(" # ").unwrap_or((kept, ""));
    let fields: Vec<&str> = tuple.split(' ').collect();
    let &[action, protocol, ports, to, source_ports, from, direction] = fields.as_slice() else {
        return None;
    };
    let (route, action) = action.strip_prefix("route:").map_or((false, action), |action| (true, action));
    if action.contains(':') || (!route && direction.contains(['_', '!'])) {
        return None;
    }
    let (action, log) = action.split_once('_').map_or((action, None), |(action, log)| (action, Some(log)));
    let mut args = Vec::new();
    if route {
        args.extend(["route", action]);
        for end in direction.split('!').filter_map(|end| end.split_once('_')) {
            args.extend([end.0, "on", end.1]);
        }
    } else {
        args.extend([action, direction]);
    }
    args.extend(log);
    args.extend(["from", from]);
    if source_ports != "any" {
        args.extend(["port", source_ports]);
    }
    args.extend(["to", to]);
    if ports != "any" {
        args.extend(["port", ports]);
    }
    if protocol != "any" {
        args.extend(["proto", protocol]);
    }
    if !comment.is_empty() {
        args.extend(["comment", comment]);
    }
    Some(args.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    // As ufw 0.36.2 of Debian 13 wrote them.
    const FILE: &str = "*filter\n### RULES ###\n\n\
        ### tuple ### limit tcp 22 0.0.0.0/0 any 0.0.0.0/0 in comment=5353482068657265\n\
        -A ufw-user-input -p tcp --dport 22 -j ufw-user-limit-accept\n\n\
        ### tuple ### allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 in\n\
        ### tuple ### allow tcp 5432 0.0.0.0/0 any 10.0.0.0/8 in\n\
        ### tuple ### route:allow any any 0.0.0.0/0 any 0.0.0.0/0 in_a!out_b\n### END RULES ###\n";

    #[test]
    fn a_rule_is_kept_by_ufw_in_the_form_that_we_expect() {
        let kept = kept_in(FILE);
        let lines = ["limit 22/tcp # SSH here", "allow 443,80/tcp", "allow from 10.1.2.3/8 to any port 5432 proto tcp"];
        for (line, kept) in lines.iter().zip(&kept) {
            assert_eq!(Rule::parse(line).unwrap().kept(Family::Four).as_ref(), Some(kept));
        }
        assert_eq!(kept.len(), 4);
        let six = Rule::parse("allow from 2001:DB8::1/64 to any port 9 proto tcp").unwrap();
        assert_eq!(six.kept(Family::Six).as_deref(), Some("allow tcp 9 ::/0 any 2001:db8::1/64 in"));
        assert_eq!(six.kept(Family::Four), None);
        assert_eq!(
            Rule::parse("limit 22/tcp").unwrap().kept(Family::Six).as_deref(),
            Some("limit tcp 22 ::/0 any ::/0 in")
        );
    }

    #[test]
    fn a_rule_for_what_passes_through_is_kept_by_ufw_in_the_form_that_we_expect() {
        let rule = Rule::parse("route allow in on a out on b # vpn").unwrap();
        let kept = rule.kept(Family::Four).unwrap();
        assert_eq!(kept, "route:allow any any 0.0.0.0/0 any 0.0.0.0/0 in_a!out_b # vpn");
        assert!(kept_in(FILE).contains(&kept.replace(" # vpn", "")));
        assert_eq!(rule.arguments().join(" "), "route allow in on a out on b from any to any comment vpn");
        let from = Rule::parse("route allow in on wg0 from 10.8.0.1/24").unwrap();
        assert_eq!(from.kept(Family::Four).as_deref(), Some("route:allow any any 0.0.0.0/0 any 10.8.0.0/24 in_wg0"));
        assert!(from.kept(Family::Six).is_none() && !Rule::parse("route deny").unwrap().shuts(22));
        for wrong in
            ["route", "route allow in on", "route allow in on a in on b", "route allow 22/tcp", "route allow in on a;b"]
        {
            assert!(Rule::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rule_takes_the_place_of_the_same_rule_with_another_action() {
        let before = kept_in(FILE);
        let after = added(&before, "allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in");
        assert_eq!((after.len(), after[0].as_str()), (4, "allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in"));
        assert_eq!(added(&before, "allow any any 0.0.0.0/0 any 0.0.0.0/0 in_a!out_b").len(), 5);
        assert_eq!(added(&before, &before[1].clone()), before);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for wrong in [
            "",
            "permit 22",
            "allow",
            "allow 0/tcp",
            "allow 70000",
            "allow 22/icmp",
            "allow 80,443",
            "allow 22/tcp # it's",
            "allow from nowhere",
            "allow 22/tcp extra",
            "allow 9:3/tcp",
        ] {
            assert!(Rule::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_port_of_sshd_is_seen_in_ranges_and_lists() {
        let rule = |line: &str| Rule::parse(line).unwrap();
        assert!(rule("allow 20:30/tcp").opens(22) && rule("limit 22").opens(22) && rule("allow 80,22/tcp").opens(22));
        assert!(!rule("allow 22/udp").opens(22) && !rule("allow from 10.0.0.1 to any port 22").opens(22));
        assert!(!rule("allow out 22/tcp").opens(22) && rule("deny 22/tcp").shuts(22) && !rule("deny 23/tcp").shuts(22));
    }

    #[test]
    fn a_kept_rule_turns_back_into_arguments() {
        let args = arguments_of_kept("allow_log tcp 99 0.0.0.0/0 any 10.0.0.0/8 in # my own").unwrap().join(" ");
        assert_eq!(args, "allow in log from 10.0.0.0/8 to 0.0.0.0/0 port 99 proto tcp comment my own");
        let args = arguments_of_kept("route:allow any any 0.0.0.0/0 any 0.0.0.0/0 in_a!out_b").unwrap().join(" ");
        assert_eq!(args, "route allow in on a out on b from 0.0.0.0/0 to 0.0.0.0/0");
        assert_eq!(arguments_of_kept("allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 OpenSSH - in"), None);
    }
}
