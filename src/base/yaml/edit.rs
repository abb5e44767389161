//! Changing one value of a YAML text and leaving everything else, comments and order included, as it is.
//!
//! Pure. Each edit is checked by reading its outcome back: a text that would not say what was meant is never returned.

use super::{Entry, Node, Problem, Source, Span, Value, parse};
use serde_json::{Map, Value as Json};

/// The text of `source` with `value` at `path` (keys from the outside in); missing mappings are made.
///
/// # Errors
/// When the text is not YAML, or something on the way is not a mapping.
pub fn set(source: &Source, path: &[&str], value: &Json) -> Result<String, Problem> {
    let root = parse(source)?;
    let mut wanted = root.to_json();
    put(&mut wanted, path, value);
    let text = &source.text;
    let mut at = &root;
    let mut parent: Option<&Entry> = None;
    for (depth, key) in path.iter().enumerate() {
        let Some(entries) = at.as_map() else {
            let message =
                format!("{} is not a mapping, so {} can't be set below it", path[..depth].join("."), path.join("."));
            return Err(Problem::at(source, at.span, "type-wrong", message));
        };
        match entries.iter().find(|entry| entry.key == *key) {
            Some(entry) if depth + 1 == path.len() => {
                let from = after_colon(text, entry);
                let to = entry.value.span.end.max(from);
                let edited = format!("{} {}{}", &text[..from], flow(value), &text[to..]);
                return checked(source, edited, &wanted);
            }
            Some(entry) => {
                parent = Some(entry);
                at = &entry.value;
            }
            None => {
                let edited = insert(text, at, parent, &path[depth..], value);
                return checked(source, edited, &wanted);
            }
        }
    }
    Ok(text.clone())
}

/// The text of `source` without what is at `path`; mappings that become empty go with it. The same text when nothing
/// is there.
///
/// # Errors
/// When the text is not YAML.
pub fn unset(source: &Source, path: &[&str]) -> Result<String, Problem> {
    let root = parse(source)?;
    let text = &source.text;
    // The outermost entry that holds nothing but what is removed, and its mapping.
    let mut at = &root;
    let mut target: Option<(&Node, usize)> = None;
    for key in path {
        let Some(index) = at.as_map().and_then(|e| e.iter().position(|entry| entry.key == *key)) else {
            return Ok(text.clone());
        };
        let entries = at.as_map().unwrap_or(&[]);
        if target.is_none() || entries.len() > 1 {
            target = Some((at, index));
        }
        at = &entries[index].value;
    }
    let Some((map, index)) = target else {
        return Ok(text.clone());
    };
    let entries = map.as_map().unwrap_or(&[]);
    let entry = &entries[index];
    let end = entry.value.span.end.max(after_colon(text, entry));
    let (from, to) = if !is_flow(text, map) {
        (line_start(text, entry.span.start), line_end(text, end))
    } else if index > 0 {
        (entries[index - 1].value.span.end, end)
    } else {
        (entry.span.start, entries.get(1).map_or(end, |next| next.span.start))
    };
    let mut wanted = root.to_json();
    take_out(&mut wanted, path);
    checked(source, format!("{}{}", &text[..from], &text[to..]), &wanted)
}

/// A value on one line, as YAML: plain words plain, everything else quoted, lists and mappings in brackets.
pub fn flow(value: &Json) -> String {
    match value {
        Json::String(text) => word(text),
        Json::Array(list) => format!("[{}]", list.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Json::Object(map) => {
            let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{}: {}", word(k), flow(v))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        other => other.to_string(),
    }
}

/// A text plain where that can't be mistaken for anything else, else in double quotes.
fn word(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_alphanumeric() || "_-./+@".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { Json::String(text.to_owned()).to_string() }
}

fn insert(text: &str, map: &Node, parent: Option<&Entry>, path: &[&str], value: &Json) -> String {
    if is_flow(text, map) {
        let close = map.span.end - 1;
        let head = text[..close].trim_end();
        let comma = if map.as_map().is_some_and(<[Entry]>::is_empty) { "" } else { ", " };
        let nested = path[1..].iter().rev().fold(flow(value), |inner, key| format!("{{{}: {inner}}}", word(key)));
        return format!("{head}{comma}{}: {nested}{}", word(path[0]), &text[close..]);
    }
    let (after, indent) = match (map.as_map().and_then(|entries| entries.last()), parent) {
        (Some(last), _) => (last.value.span.end.max(after_colon(text, last)), last.span.column - 1),
        (None, Some(entry)) => (after_colon(text, entry), entry.span.column + 1),
        (None, None) => (text.len(), 0),
    };
    let mut lines = String::new();
    for (depth, key) in path.iter().enumerate() {
        let end = if depth + 1 == path.len() { format!(" {}", flow(value)) } else { String::new() };
        lines.push_str(&format!("{}{}:{end}\n", " ".repeat(indent + 2 * depth), word(key)));
    }
    let at = line_end(text, after);
    let newline = if at > 0 && !text[..at].ends_with('\n') { "\n" } else { "" };
    format!("{}{newline}{lines}{}", &text[..at], &text[at..])
}

fn checked(source: &Source, edited: String, wanted: &Json) -> Result<String, Problem> {
    let outcome = parse(&Source::new(source.name.clone(), edited.clone()))?;
    if outcome.to_json() == *wanted || (outcome.as_map() == Some(&[]) && wanted.as_object().is_some_and(Map::is_empty))
    {
        return Ok(edited);
    }
    let place = Span { line: 1, column: 1, end_line: 1, end_column: 2, start: 0, end: 0 };
    let message = "this file is written in a way that can't be edited safely; change it with an editor";
    Err(Problem::at(source, place, "edit-unsafe", message))
}

fn put(at: &mut Json, path: &[&str], value: &Json) {
    let [key, rest @ ..] = path else {
        *at = value.clone();
        return;
    };
    if !at.is_object() {
        *at = Json::Object(Map::new());
    }
    if let Some(map) = at.as_object_mut() {
        put(map.entry((*key).to_owned()).or_insert(Json::Null), rest, value);
    }
}

fn take_out(at: &mut Json, path: &[&str]) {
    let ([key, rest @ ..], Some(map)) = (path, at.as_object_mut()) else {
        return;
    };
    if let Some(inner) = map.get_mut(*key) {
        take_out(inner, rest);
        if rest.is_empty() || inner.as_object().is_some_and(Map::is_empty) {
            map.shift_remove(*key);
        }
    }
}

fn is_flow(text: &str, map: &Node) -> bool {
    matches!(map.value, Value::Map(_)) && text[map.span.start..].starts_with('{') && map.span.end > map.span.start
}

/// The offset just after the colon behind a key.
fn after_colon(text: &str, entry: &Entry) -> usize {
    text[entry.span.end..].find(':').map_or(entry.span.end, |colon| entry.span.end + colon + 1)
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// The offset of the next line's start.
fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEXT: &str = "# mine, never touched by packages\n\
        profile: beginner   # for now\n\
        modules:\n  docker:\n    source: debian # å\n    list:\n      - a\n      - b\n  git: {}\n  # the end\n";

    fn with(path: &[&str], value: Json) -> String {
        set(&Source::new("local.yaml", TEXT), path, &value).unwrap()
    }

    #[test]
    fn a_value_is_replaced_and_its_comment_stays() {
        assert_eq!(with(&["profile"], json!("advanced")), TEXT.replace("beginner", "advanced"));
        assert_eq!(with(&["modules", "docker", "source"], json!("docker")), TEXT.replace("debian", "docker"));
        assert_eq!(
            with(&["modules", "docker", "list"], json!(["c", "0755"])),
            TEXT.replace("list:\n      - a\n      - b\n", "list: [c, \"0755\"]\n")
        );
    }

    #[test]
    fn a_missing_value_is_added_where_it_belongs() {
        assert_eq!(
            with(&["modules", "docker", "size"], json!(3)),
            TEXT.replace("      - b\n", "      - b\n    size: 3\n")
        );
        assert_eq!(with(&["modules", "git", "name"], json!("Åke")), TEXT.replace("git: {}", "git: {name: \"Åke\"}"));
        assert_eq!(
            with(&["modules", "system", "swap", "size"], json!(true)),
            TEXT.replace("  git: {}\n", "  git: {}\n  system:\n    swap:\n      size: true\n")
        );
        assert_eq!(
            set(&Source::new("l", "# only this"), &["apply", "workers"], &json!(2)).unwrap(),
            "# only this\napply:\n  workers: 2\n"
        );
        assert_eq!(
            set(&Source::new("l", "modules:\n  docker:   # later\n"), &["modules", "docker", "a"], &json!("x: y"))
                .unwrap(),
            "modules:\n  docker:   # later\n    a: \"x: y\"\n"
        );
    }

    #[test]
    fn what_is_removed_takes_empty_mappings_with_it() {
        let source = Source::new("l", "a:\n  b:\n    c: 1 # gone\n# stays\nd: {e: 1, f: 2}\n");
        assert_eq!(unset(&source, &["a", "b", "c"]).unwrap(), "# stays\nd: {e: 1, f: 2}\n");
        assert_eq!(unset(&source, &["d", "e"]).unwrap(), source.text.replace("e: 1, ", ""));
        assert_eq!(unset(&source, &["d", "f"]).unwrap(), source.text.replace(", f: 2", ""));
        assert_eq!(unset(&source, &["nothing", "here"]).unwrap(), source.text);
        assert_eq!(unset(&Source::new("l", "# c\na: 1\n"), &["a"]).unwrap(), "# c\n");
    }

    #[test]
    fn a_scalar_in_the_way_is_refused_with_its_place() {
        let problem = set(&Source::new("l", "a: 1\n"), &["a", "b"], &json!(2)).unwrap_err();
        assert_eq!(problem.marked(), "l:1:4: a is not a mapping, so a.b can't be set below it\n  | a: 1\n  |    ^");
    }

    proptest::proptest! {
        #[test]
        fn an_edit_says_what_was_meant_or_is_refused(text in "([a-c]: ?([0-9å]|'x'|\\{\\}|\\[1\\]|)( # c)?\n(  [a-c]: [0-9å]*\n){0,2}){0,3}", key in "[a-c]", inner in "[a-c]") {
            let source = Source::new("f", text);
            if let Some(root) = parse(&source).ok().filter(|root| root.as_map().is_some()) {
                if let Ok(edited) = set(&source, &[&key, &inner], &json!("y z")) {
                    let outcome = parse(&Source::new("f", edited)).unwrap();
                    assert_eq!(outcome.get(&key).unwrap().get(&inner).unwrap().as_text(), Some("y z"));
                }
                let edited = unset(&source, &[&key]).unwrap();
                let outcome = parse(&Source::new("f", edited)).unwrap();
                assert!(outcome.get(&key).is_none());
                let others = |node: &Node| node.as_map().unwrap().iter().filter(|e| e.key != key).count();
                assert_eq!(others(&outcome), others(&root));
            }
        }
    }
}
