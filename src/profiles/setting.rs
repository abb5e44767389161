//! `key=value` of the command line as a tree, so that it is read like a file, with marks under the argument.

use crate::base::yaml::{Entry, Node, Problem, Source, Span, Value, parse};

/// The source and the tree of one `--set` argument. The value is YAML in a line; what is no YAML is text.
///
/// # Errors
/// When it has no `=`, or a part of the key is empty.
pub(super) fn tree(argument: &str) -> Result<(Source, Node), Problem> {
    let source = Source::new("--set", argument);
    let whole = span(1, argument.chars().count() + 1);
    let Some((key, value)) = argument.split_once('=') else {
        let problem = Problem::at(&source, whole, "set-form", "no \"=\" in it");
        return Err(problem.hint("write --set modules.docker.source=docker"));
    };
    if key.split('.').any(str::is_empty) {
        return Err(Problem::at(&source, whole, "set-form", "a part of the key is empty"));
    }
    let before = key.chars().count() + 1;
    // Blanks in front keep the columns of the argument.
    let padded = Source::new("--set", format!("{}{value}", " ".repeat(before)));
    let is_collection = value.trim_start().starts_with(['[', '{']);
    let node = match parse(&padded) {
        Ok(node) if node.value != Value::Map(vec![]) || is_collection => node,
        Err(problem) if is_collection => {
            let place = span(problem.column, problem.end_column);
            return Err(Problem::at(&source, place, problem.code, problem.message));
        }
        _ => plain(value, before),
    };
    let parts: Vec<&str> = key.split('.').collect();
    let mut column = before;
    let tree = parts.iter().rev().fold(node, |value, part| {
        let start = column - part.chars().count();
        let entry = Entry { key: (*part).to_owned(), span: span(start, column), value };
        column = start - usize::from(start > 1);
        Node { value: Value::Map(vec![entry]), span: whole, raw: String::new() }
    });
    Ok((source, tree))
}

/// A text, or nothing, as it stands behind `before` characters.
pub(super) fn plain(value: &str, before: usize) -> Node {
    let kind = match value {
        "" | "~" | "null" => Value::Null,
        text => Value::Text(text.to_owned()),
    };
    Node { value: kind, span: span(before + 1, before + 1 + value.chars().count()), raw: value.to_owned() }
}

fn span(column: usize, end_column: usize) -> Span {
    Span { line: 1, column, end_line: 1, end_column, start: 0, end: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_have_their_places_in_the_argument() {
        let (_, root) = tree("modules.docker.source=dokcer").unwrap();
        let modules = root.entry("modules").unwrap();
        let docker = modules.value.entry("docker").unwrap();
        let source = docker.value.entry("source").unwrap();
        assert_eq!((modules.span.column, modules.span.end_column), (1, 8));
        assert_eq!((docker.span.column, source.span.column, source.span.end_column), (9, 16, 22));
        assert_eq!((source.value.span.column, source.value.span.end_column), (23, 29));
    }

    #[test]
    fn values_are_yaml_and_what_is_none_is_text() {
        let value = |argument: &str| {
            let (_, root) = tree(argument).unwrap();
            root.get("a").unwrap().value.clone()
        };
        assert_eq!(value("a=3"), Value::Integer(3));
        assert_eq!(value("a=true"), Value::Boolean(true));
        assert_eq!(value("a="), Value::Null);
        assert_eq!(value("a=#fff"), Value::Text("#fff".into()));
        assert_eq!(value("a=@x"), Value::Text("@x".into()));
        assert!(matches!(value("a=[1, 2]"), Value::List(list) if list.len() == 2));
        assert!(tree("a").unwrap_err().marked().starts_with("--set:1:1: no \"=\" in it"));
        assert!(tree("a=[1").unwrap_err().marked().contains("| a=[1"));
        assert!(tree("a..b=1").is_err());
    }
}
