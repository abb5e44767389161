//! What is in each territory now.

use super::{Kind, Territory, accounts, edits, files, kernel_rules, programs, settings};
use crate::host::{Host, read_text};
use crate::resources::firewall::rule;
use crate::resources::package::Database;
use crate::resources::written::Written;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// One thing of a territory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What is compared. Nothing secret: of files and keys a digest.
    pub value: String,
    /// In words, for people.
    pub text: String,
    /// The file that it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<PathBuf>,
}

impl Item {
    /// A thing that is as it is: only whether it is there is compared.
    pub fn new(text: impl Into<String>, place: impl Into<PathBuf>) -> Self {
        let text = text.into();
        Item { value: text.clone(), text, place: Some(place.into()) }
    }
}

/// The things of one territory, by name.
pub type Items = BTreeMap<String, Item>;

/// What is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The things of each territory that could be looked at.
    pub territories: BTreeMap<String, Items>,
    /// The territories that could not, each with the reason.
    pub unknown: BTreeMap<String, String>,
    /// Up to when the files of packages are known to be as they were brought, but for those among the things:
    /// nanoseconds since the epoch.
    pub since: Option<i64>,
}

/// How far the files of packages are looked through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Only what changed since then (nanoseconds since the epoch); what changed in the moment before, when there is none.
    pub since: Option<i64>,
    /// What was found before, which is looked at again.
    pub again: BTreeSet<PathBuf>,
    /// Every file of every package, whenever it changed.
    pub deep: bool,
}

/// The firewall's files of rules.
const RULES: [&str; 2] = ["/etc/ufw/user.rules", "/etc/ufw/user6.rules"];

impl Inventory {
    /// Looks at every territory. One that can't be looked at keeps none of the others from it. `written`: what is known of
    /// our own files.
    pub fn take(host: &dyn Host, territories: &[Territory], written: &Written, reach: &Reach) -> Inventory {
        let mut inventory = Inventory::default();
        for territory in territories {
            let looked = match &territory.kind {
                Kind::Accounts => accounts::logins(host),
                Kind::Members(groups) => accounts::members(host, groups),
                Kind::Keys(below) => accounts::keys(host, below),
                Kind::Files(paths) => files::look(host, paths),
                Kind::Settings { argv, .. } => settings::look(host, argv),
                Kind::FirewallRules => firewall_rules(host),
                Kind::KernelRules { ignore } => kernel_rules::look(host, ignore),
                Kind::Edits => edits::look(host, written),
                Kind::Packages => packages(host),
                Kind::Programs { below, except } => programs::look(host, below, except, reach).map(|(items, since)| {
                    inventory.since = Some(since);
                    items
                }),
            };
            match looked {
                Ok(items) => drop(inventory.territories.insert(territory.name.clone(), items)),
                Err(error) => drop(inventory.unknown.insert(territory.name.clone(), error.to_string())),
            }
        }
        inventory
    }
}

fn firewall_rules(host: &dyn Host) -> crate::engine::Result<Items> {
    let mut items = Items::new();
    for file in RULES {
        for rule in rule::kept_in(&read_text(host, file)?) {
            items.insert(rule.clone(), Item::new(format!("ufw has the rule {rule}"), file));
        }
    }
    Ok(items)
}

fn packages(host: &dyn Host) -> crate::engine::Result<Items> {
    let database = Database::read(host)?;
    let by_hand = database.all().filter(|(_, package)| package.is_installed() && !package.auto);
    let item = |name: &str, version: &str| Item {
        value: "manual".to_owned(),
        text: format!("{name} {version} is installed"),
        place: Some(PathBuf::from(format!("{}/{name}.list", programs::INFO))),
    };
    Ok(by_hand.map(|(name, package)| (name.to_owned(), item(name, &package.version))).collect())
}
