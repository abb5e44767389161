//! A value and the place where it is written.

use super::Source;
use serde_json::{Map, Number};

/// A place in a source: from its first character to just after its last. Lines and columns count from 1, columns in
/// characters; `start` and `end` are byte offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First line.
    pub line: usize,
    /// Column of the first character.
    pub column: usize,
    /// Line of the end.
    pub end_line: usize,
    /// Column just after the last character.
    pub end_column: usize,
    /// Offset of the first byte.
    pub start: usize,
    /// Offset just after the last byte.
    pub end: usize,
}

/// What is written.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`; `yes` and `no` are text.
    Boolean(bool),
    /// A whole number, also `0x1f` and `0o17`. `0755` is 755: what is octal must be written in quotes.
    Integer(i64),
    /// A number with a point or an exponent.
    Number(f64),
    /// Everything else.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of writing; keys are unique.
    Map(Vec<Entry>),
}

/// One key of a mapping and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key as written.
    pub key: String,
    /// Where the key is.
    pub span: Span,
    /// The value.
    pub value: Node,
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What is written.
    pub value: Value,
    /// Where.
    pub span: Span,
    /// A scalar's text as written, before its type was found (`0755`, `3.10`); empty for lists and mappings.
    pub raw: String,
}

impl Node {
    /// The text, when it is text.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The entries, when it is a mapping. Nothing written counts as an empty one.
    pub fn as_map(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            Value::Null => Some(&[]),
            _ => None,
        }
    }

    /// The elements, when it is a list.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(nodes) => Some(nodes),
            _ => None,
        }
    }

    /// The entry of `key`, when it is a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.as_map()?.iter().find(|entry| entry.key == key)
    }

    /// The value of `key`, when it is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The text of a scalar where a number may stand for its digits: text, and whole numbers written plainly (`22`,
    /// but not `0755`, `0x1f`, `1e3` or `3.10`, which would not survive another reader).
    pub fn as_plain_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Integer(number) if number.to_string() == self.raw => Some(&self.raw),
            _ => None,
        }
    }

    /// The value without its places.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Boolean(b) => Json::Bool(*b),
            Value::Integer(n) => Json::Number((*n).into()),
            Value::Number(n) => Number::from_f64(*n).map_or(Json::Null, Json::Number),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(nodes) => Json::Array(nodes.iter().map(Node::to_json).collect()),
            Value::Map(entries) => {
                let pairs = entries.iter().map(|e| (e.key.clone(), e.value.to_json()));
                Json::Object(pairs.collect::<Map<_, _>>())
            }
        }
    }

    /// What it is, for messages: `the text "four"`, `the number 3.12`, `a list`.
    pub fn described(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Boolean(b) => format!("the boolean {b}"),
            Value::Integer(_) | Value::Number(_) => format!("the number {}", self.raw),
            Value::Text(text) if text.chars().count() <= 40 && !text.contains('\n') => {
                format!("the text {text:?}")
            }
            Value::Text(_) => "text".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }

    /// The place in `source` of a place inside this scalar's text (line from 1, column from 0, `width` characters):
    /// exact for plain and quoted text on one line and for literal blocks (`|`); else the scalar itself.
    pub fn place_within(&self, source: &Source, line: usize, column: usize, width: usize) -> Span {
        let text = self.as_text().unwrap_or(&self.raw);
        let Some(wanted) = text.lines().nth(line.saturating_sub(1)) else {
            return self.span;
        };
        let several = text.trim_end_matches('\n').contains('\n');
        // A literal block's place begins with its first line, after the `|`.
        let at = self.span.line + line.saturating_sub(1);
        let written = source.line(at);
        let skip = if several { 0 } else { self.span.column.saturating_sub(1) };
        let head: usize = written.chars().take(skip).map(char::len_utf8).sum();
        match written[head..].find(wanted).filter(|_| !wanted.is_empty()) {
            Some(found) => {
                let start = written[..head + found].chars().count() + column + 1;
                Span { line: at, column: start, end_line: at, end_column: start + width.max(1), ..self.span }
            }
            None => self.span,
        }
    }
}
