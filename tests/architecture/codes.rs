//! Codes of errors are words, unique in meaning, and documented.

use super::sources::{below, top};
use std::collections::{BTreeMap, BTreeSet};

/// The codes that the sources give: the first string after a call that takes one.
fn given() -> BTreeMap<String, BTreeSet<String>> {
    // `refused("code", ...)`, `Problem::new(Exit::X, "code", ...)`, `Problem::at(source, span, "code", ...)`.
    let calls = [
        "refused(",
        "Problem::new(",
        "Problem::at(",
        "Problem::anywhere(",
        ".problem(",
        "Problems::one(",
        "reader.at(",
        "self.at(",
        "let code = ",
    ];
    let mut codes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in below("src", "rs") {
        let code = source.code();
        for call in calls {
            for (at, _) in code.match_indices(call) {
                let arguments: String = code[at + call.len()..].chars().take(160).collect();
                let Some(word) = arguments.split('"').nth(1) else { continue };
                if is_code(word) {
                    codes.entry(word.to_owned()).or_default().insert(source.path.display().to_string());
                }
            }
        }
    }
    codes
}

fn is_code(word: &str) -> bool {
    word.len() > 3
        && word.contains('-')
        && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && word.starts_with(|c: char| c.is_ascii_lowercase())
}

fn documented() -> BTreeSet<String> {
    let page = std::fs::read_to_string(top().join("docs/reference/errors.md")).unwrap_or_default();
    page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).map(str::to_owned).collect()
}

#[test]
fn every_code_is_documented_and_every_documented_code_exists() {
    let given = given();
    let documented = documented();
    assert!(given.len() > 10, "the search for codes finds nothing any more");
    let missing: Vec<_> = given.keys().filter(|code| !documented.contains(*code)).collect();
    assert!(missing.is_empty(), "not in docs/reference/errors.md: {missing:?}");
    let sources: String = below("src", "rs").into_iter().map(|source| source.text).collect();
    let stale: Vec<_> = documented.iter().filter(|code| !sources.contains(&format!("\"{code}\""))).collect();
    assert!(stale.is_empty(), "documented, but nothing gives them: {stale:?}");
}
