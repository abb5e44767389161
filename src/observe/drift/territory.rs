//! Territories: what is looked after beside the resources of the profile. Data, in the package's `territories.yaml`.

use crate::base::paths;
use crate::base::yaml::{Collector, Node, Problem, Problems, Reader, Source, parse};
use crate::host::{Host, read_if_there};
use std::path::PathBuf;

/// One place where a change matters although no module declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Territory {
    /// Its name, before the colon of a finding's id.
    pub name: String,
    /// What it holds, one line.
    pub summary: String,
    /// How it is looked at.
    pub kind: Kind,
}

/// The name of the territory of [`Kind::Edits`].
pub const EDITS: &str = "edits";

/// How a territory is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Accounts that can log in, or have the number of root.
    Accounts,
    /// The members of these groups.
    Members(Vec<String>),
    /// The keys in these files below the home of each account that can log in.
    Keys(Vec<PathBuf>),
    /// These files, and the files in these directories.
    Files(Vec<PathBuf>),
    /// What a program says is in force, a `key value` on each line.
    Settings {
        /// The program and its arguments; it only looks.
        argv: Vec<String>,
        /// The files, and directories of files, that set them; where one is set first, it counts.
        set_in: Vec<PathBuf>,
    },
    /// The rules of ufw.
    FirewallRules,
    /// The rules in the kernel, but for those of these patterns.
    KernelRules {
        /// Patterns of [`glob`](crate::base::glob).
        ignore: Vec<String>,
    },
    /// What somebody edited in files of ours.
    Edits,
    /// Packages that are marked as installed by hand.
    Packages,
    /// Files of packages below these directories that are not as their packages brought them.
    Programs {
        /// The directories.
        below: Vec<PathBuf>,
        /// Directories in them, and names of such, that only a deep look takes in.
        except: Vec<PathBuf>,
    },
}

/// The territories of this host, in the order of writing; none where the package brought no list.
///
/// # Errors
/// What is wrong with the list.
pub fn load(host: &dyn Host) -> Result<Vec<Territory>, Problems> {
    let unreadable = |error: crate::host::Error| Problem::anywhere("territories-unreadable", error.to_string());
    match read_if_there(host, paths::TERRITORIES).map_err(unreadable)? {
        Some(text) => read(&Source::from_bytes(paths::TERRITORIES.to_owned(), &text)),
        None => Ok(Vec::new()),
    }
}

/// The territories of a list.
pub(super) fn read(source: &Source) -> Result<Vec<Territory>, Problems> {
    let collector = Collector::default();
    let root = parse(source)?;
    let reader = Reader::new(source, &collector);
    let mut all = Vec::new();
    for entry in root.as_map().unwrap_or_else(|| {
        reader.wrong::<()>(&root, "a mapping");
        &[]
    }) {
        let Some(kind) = territory(reader, &entry.key, &entry.value) else { continue };
        all.push(kind);
    }
    collector.finish(all)
}

fn territory(reader: Reader<'_>, name: &str, node: &Node) -> Option<Territory> {
    let mut fields = reader.map(node, format!("the territory {name}"))?;
    let summary = fields.require("summary").and_then(|node| reader.text(node)).unwrap_or_default().to_owned();
    let texts = |nodes: Vec<&Node>| -> Vec<String> {
        nodes.into_iter().filter_map(|node| node.as_text().map(str::to_owned)).collect()
    };
    let paths = |nodes: Vec<&Node>| -> Vec<PathBuf> { texts(nodes).into_iter().map(PathBuf::from).collect() };
    let mut kinds = Vec::new();
    for (key, word) in [("accounts", "can-log-in"), ("rules", "ufw"), ("packages", "manual"), ("edits", "files")] {
        if let Some(node) = fields.take(key) {
            reader.choice(node, [word])?;
            kinds.push(match key {
                "accounts" => Kind::Accounts,
                "rules" => Kind::FirewallRules,
                "edits" => Kind::Edits,
                _ => Kind::Packages,
            });
        }
    }
    for key in ["members", "keys", "files"] {
        let Some(node) = fields.take(key) else { continue };
        let nodes = reader.texts(node);
        kinds.push(match key {
            "members" => Kind::Members(texts(nodes)),
            "keys" => Kind::Keys(paths(nodes)),
            _ => Kind::Files(paths(nodes)),
        });
    }
    if let Some(node) = fields.take("settings") {
        kinds.push(Kind::Settings { argv: texts(reader.texts(node)), set_in: paths(fields.texts("set_in")) });
    }
    if let Some(node) = fields.take("kernel_rules") {
        reader.choice(node, ["all"])?;
        kinds.push(Kind::KernelRules { ignore: texts(fields.texts("ignore")) });
    }
    if let Some(node) = fields.take("programs") {
        kinds.push(Kind::Programs { below: paths(reader.texts(node)), except: paths(fields.texts("except")) });
    }
    fields.finish();
    let mut kinds = kinds.into_iter();
    match (kinds.next(), kinds.next()) {
        (Some(kind), None) => Some(Territory { name: name.to_owned(), summary, kind }),
        _ => {
            let message = format!("the territory {name} must say in one way how it is looked at");
            reader.problem(node.span, "territory-kind", message);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_list_is_good_and_has_every_kind() {
        let text = include_str!("../../../config/territories.yaml");
        let all = read(&Source::new("territories.yaml", text)).unwrap();
        let mut kinds: Vec<_> = all.iter().map(|territory| std::mem::discriminant(&territory.kind)).collect();
        kinds.dedup();
        assert_eq!(kinds.len(), 10, "a kind of its own for each, but for two lists of files");
        assert!(all.iter().all(|territory| !territory.summary.is_empty()));
        assert!(all.iter().all(|territory| (territory.kind == Kind::Edits) == (territory.name == EDITS)));
    }

    #[test]
    fn a_territory_of_no_kind_of_two_or_with_an_unknown_key_is_told() {
        for (text, code) in [
            ("a: {summary: x}", "territory-kind"),
            ("a: {summary: x, files: [/a], packages: manual}", "territory-kind"),
            ("a: {summary: x, files: [/a], fiels: [/b]}", "key-unknown"),
            ("a: {files: [/a]}", "key-missing"),
            ("a: {summary: x, packages: all}", "choice-unknown"),
            ("- a", "type-wrong"),
        ] {
            let problems = read(&Source::new("t", text)).unwrap_err();
            assert!(problems.0.iter().any(|problem| problem.code == code), "{text}: {problems}");
        }
    }
}
