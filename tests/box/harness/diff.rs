//! Two snapshots against each other, and the list of what may differ between them.

use super::Trouble;
use super::snapshot::{Attributes, Snapshot};

/// Part of the binary, so that it can be used without the sources.
const MAY_DIFFER: &str = include_str!("../may-differ.txt");

/// One line of `may-differ.txt`.
pub struct Exception {
    kind: String,
    pattern: String,
    /// None: the whole thing may come, go and change.
    attribute: Option<String>,
}

impl Exception {
    fn covers(&self, kind: &str, name: &str, attribute: Option<&str>) -> bool {
        self.kind == kind
            && matches(&self.pattern, name)
            && match &self.attribute {
                None => true,
                Some(only) => attribute.is_some_and(|attribute| matches(only, attribute)),
            }
    }
}

/// What may differ between two boxes.
pub fn exceptions() -> Result<Vec<Exception>, Trouble> {
    exceptions_in(MAY_DIFFER)
}

/// `kind:pattern [@attribute]   # reason`; a line without a reason is refused.
pub fn exceptions_in(text: &str) -> Result<Vec<Exception>, Trouble> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            exception(line).ok_or_else(|| {
                format!("may-differ.txt line {}: not `kind:pattern [@attribute]   # reason`", number + 1)
            })
        })
        .collect()
}

fn exception(line: &str) -> Option<Exception> {
    let (rule, reason) = line.split_once(" # ")?;
    let (kind, pattern) = rule.trim().split_once(':')?;
    let (pattern, attribute) = match pattern.split_once(" @") {
        Some((pattern, attribute)) => (pattern, Some(attribute.trim().to_owned())),
        None => (pattern, None),
    };
    let exception = Exception { kind: kind.into(), pattern: pattern.trim().into(), attribute };
    (!reason.trim().is_empty()).then_some(exception)
}

/// `*` stands for any text, also across slashes.
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    text.strip_prefix(head).is_some_and(|text| {
        rest.is_empty() || text.char_indices().any(|(at, _)| matches(rest, &text[at..])) || matches(rest, "")
    })
}

/// One thing that is not as before.
#[derive(Debug, Clone)]
pub struct Difference {
    pub kind: String,
    pub name: String,
    /// What is different, for a person.
    pub line: String,
}

/// One line a difference; none if all is as before.
pub fn compare(before: &Snapshot, after: &Snapshot, exceptions: &[Exception]) -> Vec<String> {
    differences(before, after, exceptions).into_iter().map(|difference| difference.line).collect()
}

/// One for each thing that came or went, and for each attribute that changed.
pub fn differences(before: &Snapshot, after: &Snapshot, exceptions: &[Exception]) -> Vec<Difference> {
    let mut found = Vec::new();
    let nothing = std::collections::BTreeMap::new();
    let kinds: std::collections::BTreeSet<&String> = before.0.keys().chain(after.0.keys()).collect();
    for kind in kinds {
        let (old, new) = (before.0.get(kind).unwrap_or(&nothing), after.0.get(kind).unwrap_or(&nothing));
        let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let excused = |attribute| exceptions.iter().any(|exception| exception.covers(kind, name, attribute));
            if excused(None) {
                continue;
            }
            let mut note = |line: String| found.push(Difference { kind: kind.clone(), name: name.clone(), line });
            match (old.get(name), new.get(name)) {
                (None, Some(new)) => note(format!("added {kind} {name}: {}", summary(new))),
                (Some(old), None) => note(format!("removed {kind} {name}: {}", summary(old))),
                (Some(old), Some(new)) => {
                    let attributes: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
                    for attribute in attributes {
                        let (old, new) = (old.get(attribute), new.get(attribute));
                        if old != new && !excused(Some(attribute)) {
                            note(format!("changed {kind} {name}: {attribute} {} -> {}", text(old), text(new)));
                        }
                    }
                }
                (None, None) => {}
            }
        }
    }
    found
}

fn summary(attributes: &Attributes) -> String {
    attributes.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

fn text(value: Option<&String>) -> &str {
    value.map_or("nothing", |value| if value.is_empty() { "\"\"" } else { value })
}
