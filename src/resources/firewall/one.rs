//! The kind `firewall_rule`: one rule of ufw(8), for what a module itself needs open. The firewall as a whole (policies,
//! that it is on) is the kind `firewall`; a rule waits for it, and goes alone.

use super::rule::{Family, Rule, arguments_of_kept, identity, kept_in};
use super::undo::without_comment;
use super::{CONF, DEFAULTS, IPV6, RULES, RULES6, ufw, value};
use crate::base::ids::ResourceId;
use crate::engine::{Action, Change, Context, Error, Outcome, Resource, Result, Scope, State, Undo, UndoRecord};
use crate::host::{Host, read_text};
use crate::resources::fields;
use crate::resources::preimage;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The kind, and that of its undo record.
pub const KIND: &str = "firewall_rule";

/// A rule that must be there.
#[derive(Debug)]
pub struct FirewallRule {
    id: ResourceId,
    rule: Rule,
}

impl FirewallRule {
    /// The rule of the line `name`.
    ///
    /// # Errors
    /// `firewall-locks-out` when it would shut a port of `keep_open`: those that sshd listens on.
    pub fn from_spec(name: &str, _: &Map<String, Value>, module: &str, keep_open: &[u16]) -> Result<Box<dyn Resource>> {
        let rule = Rule::parse(name).map_err(|why| fields::invalid(KIND, name, module, why))?;
        if let Some(port) = keep_open.iter().find(|port| rule.shuts(**port)) {
            let why = format!("it would shut port {port}, on which sshd listens");
            return Err(Error::refused("firewall-locks-out", format!("{KIND}:{name} of module {module}"), why)
                .fix("take the rule out, or move sshd to another port first"));
        }
        Ok(Box::new(FirewallRule { id: ResourceId::new(KIND, name), rule }))
    }
}

/// The rules of one family, as ufw keeps them; `None` where the host has no such family.
fn kept(host: &dyn Host, family: Family) -> Result<Option<Vec<String>>> {
    let file = match family {
        Family::Four => RULES,
        Family::Six => {
            let defaults = read_text(host, DEFAULTS)?;
            let is_on = value(&defaults, "IPV6").is_none_or(|word| word == "yes");
            if !is_on || host.meta(Path::new(IPV6))?.is_none() {
                return Ok(None);
            }
            RULES6
        }
    };
    Ok(Some(kept_in(&read_text(host, file)?)))
}

/// What stands in the place of `rule` in each family: itself, one that differs in action or remark, or nothing.
fn in_place(host: &dyn Host, rule: &Rule) -> Result<Vec<(String, Option<String>)>> {
    let mut found = Vec::new();
    for family in [Family::Four, Family::Six] {
        if let (Some(wanted), Some(all)) = (rule.kept(family), kept(host, family)?) {
            let there = all.into_iter().find(|kept| identity(kept) == identity(&wanted));
            found.push((wanted, there));
        }
    }
    Ok(found)
}

fn state(found: &[(String, Option<String>)]) -> State {
    State(json!(found.iter().map(|(wanted, there)| (wanted.clone(), json!(there))).collect::<Map<String, Value>>()))
}

impl Resource for FirewallRule {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn observe(&self, host: &dyn Host) -> Result<State> {
        Ok(state(&in_place(host, &self.rule)?))
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        let found: Map<String, Value> = seen.0.as_object().cloned().unwrap_or_default();
        if !found.is_empty() && found.iter().all(|(wanted, there)| there == wanted) {
            return Ok(Change::keep(seen));
        }
        let after: Map<String, Value> = found.keys().map(|wanted| (wanted.clone(), json!(wanted))).collect();
        let replaced: Vec<&str> =
            found.iter().filter(|(w, t)| t != w).filter_map(|(_, there)| there.as_str()).collect();
        let action = if replaced.is_empty() { Action::Create } else { Action::Update };
        let mut change = Change::new(action, format!("ufw {}", self.rule.arguments().join(" ")), Value::Object(after));
        change.details = replaced.iter().map(|rule| format!("replaces {rule}")).collect();
        Ok(change)
    }

    fn capture(&self, context: &Context<'_>, _: &State, _: &Change) -> Result<UndoRecord> {
        let rules =
            in_place(context.host, &self.rule)?.into_iter().filter(|(wanted, there)| there.as_ref() != Some(wanted));
        Ok(UndoRecord::new(KIND, preimage::to_data(KIND, &UndoRule { rules: rules.collect() })?))
    }

    fn apply(&self, context: &Context<'_>, _: &State, _: &Change) -> Result<()> {
        if !context.host.has_program("ufw") {
            return Err(Error::refused(
                "ufw-missing",
                "add a rule to the firewall",
                "the package ufw is not installed",
            )
            .fix("leave the firewall to the module security, or let no module ask for rules"));
        }
        // A run that was cut off has put it into the files, and maybe not into the kernel: ufw would pass over it.
        if in_place(context.host, &self.rule)?.iter().all(|(wanted, there)| there.as_ref() == Some(wanted)) {
            return reload(context.host);
        }
        ufw(context.host, self.rule.arguments())
    }

    /// ufw reads and writes its files whole.
    fn exclusive(&self) -> &'static [&'static str] {
        &["ufw"]
    }
}

/// The rules that came, as ufw keeps them, with what they replaced.
#[derive(Debug, Serialize, Deserialize)]
struct UndoRule {
    rules: Vec<(String, Option<String>)>,
}

/// Reads the undo record of a rule.
pub fn decode(version: u32, data: &Value) -> Result<Box<dyn Undo>> {
    preimage::from_data::<UndoRule>(KIND, version, data).map(|undo| Box::new(undo) as Box<dyn Undo>)
}

impl UndoRule {
    /// The rules that are still as we put them.
    fn standing(&self, host: &dyn Host) -> Result<Vec<&(String, Option<String>)>> {
        let mut all = kept(host, Family::Four)?.unwrap_or_default();
        all.extend(kept(host, Family::Six)?.unwrap_or_default());
        Ok(self.rules.iter().filter(|(rule, _)| all.contains(rule)).collect())
    }
}

impl Undo for UndoRule {
    fn describe(&self, context: &Context<'_>, _: &Scope) -> Result<Vec<String>> {
        let standing = self.standing(context.host)?;
        Ok(standing.into_iter().map(|(rule, _)| format!("take the rule out of ufw: {rule}")).collect())
    }

    fn undo(&self, context: &Context<'_>, _: &Scope, _: Option<&Value>) -> Result<Outcome> {
        let host = context.host;
        if !host.has_program("ufw") {
            return Ok(Outcome::AlreadyGone);
        }
        let standing = self.standing(host)?;
        let outcome = if standing.is_empty() { Outcome::AlreadyGone } else { Outcome::Undone };
        for (rule, before) in standing {
            match before.as_deref().and_then(arguments_of_kept) {
                Some(args) => ufw(host, args)?,
                None => {
                    let args = without_comment(arguments_of_kept(rule).unwrap_or_default());
                    let route = usize::from(args.first().is_some_and(|word| word == "route"));
                    let (head, tail) = args.split_at(route);
                    let words = ["--force".to_owned()].into_iter().chain(head.to_vec());
                    ufw(host, words.chain(["delete".to_owned()]).chain(tail.to_vec()))?;
                }
            }
        }
        // Whether or not it was still in the files: an undo that was cut off may not have come to the kernel.
        reload(host)?;
        Ok(outcome)
    }
}

/// What is in ufw's files comes into force, when it is on.
fn reload(host: &dyn Host) -> Result<()> {
    let is_on = value(&read_text(host, CONF)?, "ENABLED").as_deref() == Some("yes");
    if is_on { ufw(host, ["reload"]) } else { Ok(()) }
}
