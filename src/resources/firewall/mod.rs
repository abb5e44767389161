//! The firewall, driven through ufw(8): default policies, rules, and that it is on, in its files and in the kernel.
//!
//! Rules that are there and not asked for are the administrator's: they stay. The ports on which sshd listens are always
//! kept open. A session never breaks: rules first, then policies, then the switch. Nothing of ufw is run to observe (its
//! Python costs 100 ms): its files are read, and the kernel is asked with one `iptables -S` (3 ms).

mod first;
pub mod live;
pub mod one;
pub mod rule;
pub mod undo;

use self::rule::{Family, Rule, added, kept_in};
use self::undo::UndoFirewall;
use super::fields;
use crate::base::ids::ResourceId;
use crate::engine::{Action, Change, Context, Error, Resource, Result, State, UndoRecord};
use crate::host::{self, Command, Host, read_text};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::undo::{UNDO, decode};

/// Whether it is on at boot: `ENABLED=yes`.
pub(super) const CONF: &str = "/etc/ufw/ufw.conf";
/// The default policies.
pub(super) const DEFAULTS: &str = "/etc/default/ufw";
/// The rules for IPv4.
pub(super) const RULES: &str = "/etc/ufw/user.rules";
/// The rules for IPv6.
pub(super) const RULES6: &str = "/etc/ufw/user6.rules";
/// There when the kernel knows IPv6.
const IPV6: &str = "/proc/sys/net/ipv6";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default, deserialize_with = "fields::optional_text")]
    incoming: Option<String>,
    #[serde(default, deserialize_with = "fields::optional_text")]
    outgoing: Option<String>,
    #[serde(default, deserialize_with = "fields::optional_text")]
    routed: Option<String>,
    #[serde(default, deserialize_with = "fields::list")]
    rules: Vec<String>,
}

/// The firewall as it must be.
#[derive(Debug)]
pub struct Firewall {
    id: ResourceId,
    policies: [(&'static str, String); 3],
    rules: Vec<Rule>,
    keep_open: Vec<u16>,
}

impl Firewall {
    /// The firewall that a manifest asks for. `keep_open`: the ports on which sshd listens; those that no rule opens get
    /// one.
    pub fn from_spec(
        name: &str,
        fields: &Map<String, Value>,
        module: &str,
        keep_open: &[u16],
    ) -> Result<Box<dyn Resource>> {
        let read: Fields = fields::read("firewall", name, fields, module)?;
        let invalid = |why: String| fields::invalid("firewall", name, module, why);
        if name != "ufw" {
            return Err(invalid("the only firewall is ufw".to_owned()));
        }
        let policy = |value: Option<String>, default: &str| match value.as_deref().unwrap_or(default) {
            known @ ("allow" | "deny" | "reject") => Ok(known.to_owned()),
            other => Err(invalid(format!("\"{other}\" is none of allow, deny, reject"))),
        };
        let policies = [
            ("incoming", policy(read.incoming, "deny")?),
            ("outgoing", policy(read.outgoing, "allow")?),
            ("routed", policy(read.routed, "deny")?),
        ];
        let mut rules = Vec::new();
        for line in &read.rules {
            let rule = Rule::parse(line).map_err(|why| invalid(format!("rule \"{line}\": {why}")))?;
            if let Some(port) = keep_open.iter().find(|port| rule.shuts(**port)) {
                let why = format!("rule \"{line}\" would shut port {port}, on which sshd listens");
                return Err(Error::refused("firewall-locks-out", format!("firewall:ufw of module {module}"), why)
                    .fix("take the rule out, or move sshd to another port first"));
            }
            rules.push(rule);
        }
        for port in keep_open.iter().rev() {
            if !rules.iter().any(|rule| rule.opens(*port)) {
                rules.insert(0, Rule::ssh(*port));
            }
        }
        Ok(Box::new(Firewall { id: ResourceId::new("firewall", name), policies, rules, keep_open: keep_open.to_vec() }))
    }

    /// The rules as ufw keeps them once ours are added to `before`.
    fn after(&self, before: &Value, family: Family) -> Vec<String> {
        let before: Vec<String> =
            before.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        self.rules.iter().filter_map(|rule| rule.kept(family)).fold(before, |rules, rule| added(&rules, &rule))
    }

    /// Refuses to switch on what would shut a port of sshd: a rule of the administrator's that comes before the one that
    /// opens it. Where it is in force already, that is how people come in now.
    fn refuse_if_shut(&self, after: &Value) -> Result<()> {
        for rules in [&after["rules"], &after["rules6"]] {
            let rules: Vec<String> =
                rules.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            let shut = self.keep_open.iter().find_map(|port| Some((port, first::shutter(&rules, *port)?)));
            if let Some((port, rule)) = shut {
                let why = format!("ufw has a rule already that would shut port {port}, on which sshd listens: {rule}");
                return Err(Error::refused("firewall-locks-out", "switch the firewall on", why)
                    .fix("look at the rules: ufw show added; then ufw delete RULE")
                    .fix("or, when it is meant so and you come in another way: ufw enable, then run this again"));
            }
        }
        Ok(())
    }

    /// The rules that are still to be added.
    fn missing(&self, seen: &Value) -> Vec<&Rule> {
        let is_kept = |rule: &Rule, family: Family, key: &str| {
            let kept = rule.kept(family).filter(|_| family == Family::Four || seen["ipv6"] == true);
            kept.is_none_or(|kept| seen[key].as_array().into_iter().flatten().any(|rule| *rule == kept))
        };
        let missing = |rule: &&Rule| !is_kept(rule, Family::Four, "rules") || !is_kept(rule, Family::Six, "rules6");
        self.rules.iter().filter(missing).collect()
    }
}

/// The value of `KEY=value` in a file of shell assignments, without quotes, in lower case as ufw reads it.
fn value(text: &str, key: &str) -> Option<String> {
    let lines = text.lines().filter_map(|line| line.trim().split_once('='));
    lines.filter(|(name, _)| *name == key).map(|(_, value)| value.trim_matches(['"', '\'']).to_lowercase()).next_back()
}

/// ufw's word for a policy of /etc/default/ufw.
fn policy_word(kernel: &str) -> &str {
    match kernel {
        "accept" => "allow",
        "drop" => "deny",
        other => other,
    }
}

/// What is in force.
pub(super) fn observe(host: &dyn Host) -> Result<Value> {
    let (conf, defaults, rules) = (read_text(host, CONF)?, read_text(host, DEFAULTS)?, read_text(host, RULES)?);
    let rules6 = read_text(host, RULES6)?;
    let enabled = value(&conf, "ENABLED").as_deref() == Some("yes");
    let ipv6 = value(&defaults, "IPV6").is_none_or(|word| word == "yes") && host.meta(Path::new(IPV6))?.is_some();
    let policy = |key: &str| value(&defaults, key).map_or(Value::Null, |word| policy_word(&word).into());
    let incoming = policy("DEFAULT_INPUT_POLICY");
    let drops = incoming != "allow";
    let is_whole =
        |family: Family, file: &str| Ok::<_, Error>(live::is_whole(&live::rules(host, family)?, file, family, drops));
    let in_force = enabled && is_whole(Family::Four, &rules)? && (!ipv6 || is_whole(Family::Six, &rules6)?);
    Ok(json!({
        "enabled": enabled,
        "in_force": in_force,
        "ipv6": ipv6,
        "incoming": incoming,
        "outgoing": policy("DEFAULT_OUTPUT_POLICY"),
        "routed": policy("DEFAULT_FORWARD_POLICY"),
        "rules": kept_in(&rules),
        "rules6": if ipv6 { kept_in(&rules6) } else { Vec::new() },
    }))
}

/// Refuses a host that can have no firewall, as some containers: found while planning, not when the packages are in.
fn refuse_if_impossible(host: &dyn Host) -> Result<()> {
    let family = Family::Four;
    let refusal = match host.has_program(family.program()) {
        true => match host.look(&Command::new(family.program()).arg("-S")) {
            Err(error @ host::Error::Failed { .. }) => Some(error.to_string()),
            asked => asked.map(|_| None)?,
        },
        false => host.packet_filter_refusal(),
    };
    match refusal {
        None => Ok(()),
        Some(why) => Err(Error::refused("firewall-impossible", "this host can have no firewall of its own", why)
            .fix("leave it out, when the provider's own is enough: modules.security.ufw.enabled=false")
            .fix("in a container: let whoever runs it give it the right to set rules (CAP_NET_ADMIN)")),
    }
}

/// Runs ufw.
pub(super) fn ufw<I: IntoIterator<Item = S>, S: Into<String>>(host: &dyn Host, args: I) -> Result<()> {
    host.run(&Command::new("ufw").args(args).timeout(Duration::from_secs(120)))?;
    Ok(())
}

impl Resource for Firewall {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn observe(&self, host: &dyn Host) -> Result<State> {
        let seen = observe(host);
        // Where it is in force it can be.
        if !seen.as_ref().is_ok_and(|seen| seen["in_force"] == true) {
            refuse_if_impossible(host)?;
        }
        seen.map(State)
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        let mut after = seen.0.clone();
        after["enabled"] = true.into();
        after["in_force"] = true.into();
        for (name, word) in &self.policies {
            after[*name] = word.clone().into();
        }
        after["rules"] = self.after(&seen.0["rules"], Family::Four).into();
        if seen.0["ipv6"] == true {
            after["rules6"] = self.after(&seen.0["rules6"], Family::Six).into();
        }
        if after == seen.0 {
            return Ok(Change::keep(seen));
        }
        if seen.0["in_force"] != true {
            self.refuse_if_shut(&after)?;
        }
        let missing = self.missing(&seen.0);
        let mut acts = Vec::new();
        if !missing.is_empty() {
            acts.push(format!("add {} rule{}", missing.len(), if missing.len() == 1 { "" } else { "s" }));
        }
        if self.policies.iter().any(|(name, word)| seen.0[*name] != *word) {
            acts.push("set the default policies".to_owned());
        }
        if seen.0["enabled"] != true {
            acts.push("switch it on".to_owned());
        } else if seen.0["in_force"] != true {
            acts.push("load it into the kernel again".to_owned());
        }
        let action = if seen.0["incoming"].is_null() { Action::Create } else { Action::Update };
        let mut change = Change::new(action, acts.join(", "), after);
        change.details = missing.iter().map(|rule| rule.arguments().join(" ")).collect();
        for (name, word) in self.policies.iter().filter(|(name, word)| seen.0[*name] != *word) {
            change.details.push(format!("{name}: {} → {word}", seen.0[*name].as_str().unwrap_or("none")));
        }
        Ok(change)
    }

    fn capture(&self, context: &Context<'_>, seen: &State, change: &Change) -> Result<UndoRecord> {
        let undo = UndoFirewall::capture(context, &seen.0, &change.after.0)?;
        Ok(UndoRecord::new(UNDO, serde_json::to_value(undo).unwrap_or_default()))
    }

    fn apply(&self, context: &Context<'_>, _: &State, _: &Change) -> Result<()> {
        let host = context.host;
        if !host.has_program("ufw") {
            return Err(Error::refused("ufw-missing", "set up the firewall", "the package ufw is not installed")
                .fix("let the module ask for the package ufw"));
        }
        let seen = observe(host)?;
        let broken = seen["enabled"] == true && seen["in_force"] != true;
        if broken {
            live::remove(host, &Default::default(), None)?;
        }
        for rule in self.missing(&seen) {
            ufw(host, rule.arguments())?;
        }
        for (name, word) in self.policies.iter().filter(|(name, word)| seen[*name] != *word) {
            ufw(host, ["default", word, name])?;
        }
        match (seen["enabled"] == true, broken) {
            (false, _) => ufw(host, ["--force", "enable"]),
            (true, true) => ufw(host, ["reload"]),
            (true, false) => Ok(()),
        }
    }

    fn exclusive(&self) -> &'static [&'static str] {
        &["ufw"]
    }

    fn paths(&self) -> Vec<PathBuf> {
        [CONF, DEFAULTS, RULES, RULES6].map(PathBuf::from).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firewall(fields: Value, keep_open: &[u16]) -> Result<Box<dyn Resource>> {
        let Value::Object(fields) = fields else { panic!("not an object") };
        Firewall::from_spec("ufw", &fields, "security", keep_open)
    }

    #[test]
    fn the_port_of_sshd_is_opened_even_when_the_rules_forget_it() {
        let nothing = State(json!({"enabled": false, "in_force": false, "ipv6": true, "incoming": null,
            "outgoing": null, "routed": null, "rules": [], "rules6": []}));
        let change = firewall(json!({"rules": ["allow 80/tcp"]}), &[2222]).unwrap().compare(&nothing).unwrap();
        assert_eq!(change.after.0["rules"][0], "limit tcp 2222 0.0.0.0/0 any 0.0.0.0/0 in # SSH");
        assert_eq!(change.after.0["rules6"][1], "allow tcp 80 ::/0 any ::/0 in");
        assert_eq!(change.action, Action::Create);
        let said = firewall(json!({"rules": "limit 2222/tcp # mine\n"}), &[2222]).unwrap().compare(&nothing).unwrap();
        assert_eq!(said.after.0["rules"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn a_rule_that_shuts_sshd_is_refused() {
        let shut = firewall(json!({"rules": ["deny 22/tcp"]}), &[22]);
        assert!(matches!(shut, Err(Error::Refused { code: "firewall-locks-out", .. })));
    }

    #[test]
    fn a_rule_that_was_there_before_and_would_shut_sshd_keeps_the_firewall_off() {
        let seen = |in_force: bool, rule: &str| {
            State(json!({"enabled": in_force, "in_force": in_force, "ipv6": true, "incoming": "deny",
                "outgoing": "allow", "routed": "deny", "rules": [rule], "rules6": []}))
        };
        let wanted = firewall(json!({"rules": ["allow 80/tcp"]}), &[22]).unwrap();
        let deny = "deny any 22 0.0.0.0/0 any 0.0.0.0/0 in";
        let refused = wanted.compare(&seen(false, deny)).unwrap_err();
        assert!(matches!(&refused, Error::Refused { code: "firewall-locks-out", why, .. } if why.contains(deny)));
        assert!(wanted.compare(&seen(true, deny)).unwrap().is_needed(), "in force, it is how people come in");
        // Word for word the same but for the action, it is replaced by ours.
        let change = wanted.compare(&seen(false, "deny tcp 22 0.0.0.0/0 any 0.0.0.0/0 in")).unwrap();
        assert_eq!(change.after.0["rules"][0], "limit tcp 22 0.0.0.0/0 any 0.0.0.0/0 in # SSH");
    }

    #[test]
    fn rules_of_the_administrator_stay_where_they_are() {
        let seen = State(json!({"enabled": true, "in_force": true, "ipv6": false, "incoming": "deny",
            "outgoing": "allow", "routed": "deny", "rules": ["deny tcp 25 0.0.0.0/0 any 0.0.0.0/0 in"], "rules6": []}));
        let wanted = firewall(json!({"rules": ["allow 80/tcp"]}), &[]).unwrap();
        let change = wanted.compare(&seen).unwrap();
        assert_eq!(change.after.0["rules"][0], seen.0["rules"][0]);
        assert_eq!(change.summary, "add 1 rule");
        assert!(!wanted.compare(&change.after).unwrap().is_needed());
    }
}
