//! From text to a tree of nodes.
//!
//! An own loop over saphyr's parser events, because its ready tree loses what is needed here: a scalar's text as
//! written, the place of both keys of a duplicate, and the end of collections. Positions count characters, so they are
//! right behind an å; byte offsets are found by a table.

use super::{Entry, Node, Problem, Source, Span, Value};
use saphyr_parser::{Event, Parser, ScalarStyle};
use std::collections::HashMap;

/// The largest text that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// The most values that one text may hold, those that aliases repeat counted each time.
pub const MAX_NODES: usize = 50_000;
/// The deepest nesting.
pub const MAX_DEPTH: usize = 64;

/// Reads one YAML document. An empty text is an empty mapping.
///
/// # Errors
/// The first thing that is wrong with the text: not UTF-8 (with the offset), not YAML, a duplicate key, a merge key
/// (`<<`), a tag, a second document, too large, too deep, too many values (an alias bomb).
pub fn parse(source: &Source) -> Result<Node, Problem> {
    let start = Span { line: 1, column: 1, end_line: 1, end_column: 1, start: 0, end: 0 };
    if let Some(offset) = source.bad_byte {
        // Everything before the first bad byte is the same in the lossy text.
        let (line, column) = source.place(offset);
        let place = Span { line, column, end_line: line, end_column: column + 1, ..start };
        let message = format!("not UTF-8: the byte at offset {offset} belongs to another encoding");
        return Err(Problem::at(source, place, "yaml-not-utf8", message).hint("save the file as UTF-8"));
    }
    if source.text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; at most {MAX_BYTES} are read", source.text.len());
        return Err(Problem::at(source, start, "yaml-too-large", message));
    }
    Loader::new(source)
        .run()
        .map(|root| root.unwrap_or(Node { value: Value::Map(vec![]), span: start, raw: String::new() }))
}

/// A collection that is not closed yet.
struct Open {
    node: Node,
    anchor: usize,
    /// The key that waits for its value.
    key: Option<(String, Span)>,
    /// The lines of the keys so far.
    keys: HashMap<String, usize>,
    /// Values in it, itself counted.
    size: usize,
}

struct Loader<'a> {
    source: &'a Source,
    /// The byte offset of each character, and the length of the text at the end; none where each has one byte.
    offsets: Option<Vec<usize>>,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    root: Option<Node>,
}

impl<'a> Loader<'a> {
    fn new(source: &'a Source) -> Self {
        let all = || source.text.char_indices().map(|(at, _)| at).chain([source.text.len()]).collect();
        let offsets = (!source.text.is_ascii()).then(all);
        Loader { source, offsets, open: Vec::new(), anchors: HashMap::new(), nodes: 0, root: None }
    }

    fn run(mut self) -> Result<Option<Node>, Problem> {
        let source = self.source;
        let mut parser = Parser::new_from_str(&source.text);
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| self.not_yaml(&error))?;
            let span = self.span(span);
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(self.problem(span, "yaml-documents", "a second document begins here; one is read"));
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let span = self.without_comment(span, style);
                    self.no_tag(tag.is_some(), span)?;
                    let node = Node { value: resolve(&text, style), span, raw: text.into_owned() };
                    if style == ScalarStyle::Plain && node.raw == "<<" && self.wants_key() {
                        let problem = self.problem(span, "yaml-merge-key", "merge keys (<<) are not supported");
                        return Err(problem.hint("write the keys out, or put shared values in a profile and extend it"));
                    }
                    self.put(node, anchor, 1)?;
                }
                Event::SequenceStart(anchor, tag) => self.begin(Value::List(vec![]), span, anchor, tag.is_some())?,
                Event::MappingStart(anchor, tag) => self.begin(Value::Map(vec![]), span, anchor, tag.is_some())?,
                Event::SequenceEnd | Event::MappingEnd => {
                    if let Some(mut open) = self.open.pop() {
                        // A block's end event lies at the next token; its end is that of its last value.
                        let inner = match &open.node.value {
                            Value::List(nodes) => nodes.last().map(|n| n.span),
                            Value::Map(entries) => entries.last().map(|e| e.value.span),
                            _ => None,
                        };
                        let flow = self.source.text[open.node.span.start..].starts_with(['[', '{']);
                        let end = if flow { span } else { inner.unwrap_or(span) };
                        open.node.span =
                            Span { end_line: end.end_line, end_column: end.end_column, end: end.end, ..open.node.span };
                        self.put(open.node, open.anchor, open.size)?;
                    }
                }
                Event::Alias(anchor) => {
                    let Some((node, size)) = self.anchors.get(&anchor) else {
                        return Err(self.problem(span, "yaml-alias", "this alias is inside the value that it names"));
                    };
                    if self.nodes + size > MAX_NODES {
                        return Err(self.too_many(span));
                    }
                    let (node, size) = (Node { span, ..node.clone() }, *size);
                    self.nodes += size - 1;
                    self.put(node, 0, size)?;
                }
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        Ok(self.root.filter(|node| node.value != Value::Null))
    }

    fn begin(&mut self, value: Value, span: Span, anchor: usize, tagged: bool) -> Result<(), Problem> {
        self.no_tag(tagged, span)?;
        if self.wants_key() {
            return Err(self.problem(span, "yaml-key", "a key must be a word, not a list or a mapping"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(self.problem(span, "yaml-too-deep", format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let node = Node { value, span, raw: String::new() };
        self.open.push(Open { node, anchor, key: None, keys: HashMap::new(), size: 1 });
        Ok(())
    }

    fn put(&mut self, node: Node, anchor: usize, size: usize) -> Result<(), Problem> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(self.too_many(node.span));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.size += size;
        match (&mut open.node.value, open.key.take()) {
            (Value::List(nodes), _) => nodes.push(node),
            (Value::Map(entries), Some((key, span))) => entries.push(Entry { key, span, value: node }),
            (_, None) => {
                if matches!(node.value, Value::List(_) | Value::Map(_)) {
                    return Err(self.problem(node.span, "yaml-key", "a key must be a word, not a list or a mapping"));
                }
                if let Some(first) = open.keys.insert(node.raw.clone(), node.span.line) {
                    let problem = self.problem(
                        node.span,
                        "yaml-duplicate-key",
                        format!("the key \"{}\" is given twice", node.raw),
                    );
                    return Err(problem.hint(format!("the first one is on line {first}; keep one of them")));
                }
                open.key = Some((node.raw, node.span));
            }
            _ => {}
        }
        Ok(())
    }

    fn wants_key(&self) -> bool {
        self.open.last().is_some_and(|open| matches!(open.node.value, Value::Map(_)) && open.key.is_none())
    }

    fn too_many(&self, span: Span) -> Problem {
        let message = format!("more than {MAX_NODES} values, those that aliases repeat included");
        self.problem(span, "yaml-too-large", message)
    }

    fn no_tag(&self, tagged: bool, span: Span) -> Result<(), Problem> {
        if tagged {
            return Err(self.problem(span, "yaml-tag", "tags (words that begin with \"!\") are not supported"));
        }
        Ok(())
    }

    fn not_yaml(&self, error: &saphyr_parser::ScanError) -> Problem {
        let at = error.marker();
        let (mut number, mut column) = (at.line(), at.col() + 1);
        // What the text ends too early for is missing behind its last line.
        let last = self.source.last_line();
        if number > last {
            (number, column) = (last, self.source.line(last).trim_end().chars().count() + 1);
        }
        column = column.min(self.source.line(number).chars().count() + 1);
        let line = self.source.line(number);
        let place = Span { line: number, column, end_line: number, end_column: column + 1, start: 0, end: 0 };
        let problem = self.problem(place, "yaml-syntax", format!("not YAML: {}", error.info()));
        let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
        if indent.contains('\t') { problem.hint("indent with spaces; YAML takes no tabs there") } else { problem }
    }

    fn problem(&self, span: Span, code: &'static str, message: impl Into<String>) -> Problem {
        Problem::at(self.source, span, code, message)
    }

    /// The parser lets a quoted or a block scalar reach over the blanks and comments behind it; this ends it where it
    /// really ends.
    fn without_comment(&self, span: Span, style: ScalarStyle) -> Span {
        let text = &self.source.text[span.start..span.end];
        let length = match style {
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => quoted_length(text),
            _ => text.trim_end().len(),
        };
        let kept = &text[..length];
        let lines = kept.matches('\n').count();
        let column = match kept.rsplit_once('\n') {
            Some((_, last)) => last.chars().count() + 1,
            None => span.column + kept.chars().count(),
        };
        Span { end_line: span.line + lines, end_column: column, end: span.start + length, ..span }
    }

    fn span(&self, span: saphyr_parser::Span) -> Span {
        let byte = |index: usize| match &self.offsets {
            None => index.min(self.source.text.len()),
            Some(offsets) => offsets.get(index).copied().unwrap_or(self.source.text.len()),
        };
        Span {
            line: span.start.line(),
            column: span.start.col() + 1,
            end_line: span.end.line(),
            end_column: span.end.col() + 1,
            start: byte(span.start.index()),
            end: byte(span.end.index()),
        }
    }
}

/// The length in bytes of the quoted scalar that `text` begins with.
fn quoted_length(text: &str) -> usize {
    let quote = text.chars().next().unwrap_or('"');
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && quote == '"' {
            chars.next();
        } else if c == quote {
            if quote == '\'' && chars.peek().is_some_and(|&(_, next)| next == quote) {
                chars.next();
            } else {
                return at + 1;
            }
        }
    }
    text.len()
}

/// The type of a scalar by YAML 1.2's core schema (section 10.3.2); not-a-number and infinities are text.
fn resolve(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Text(text.to_owned());
    }
    let digits = |rest: &str, radix| i64::from_str_radix(rest, radix).ok().filter(|_| !rest.starts_with(['+', '-']));
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Boolean(true),
        "false" | "False" | "FALSE" => return Value::Boolean(false),
        _ => {}
    }
    let whole = match (text.strip_prefix("0x"), text.strip_prefix("0o")) {
        (Some(rest), _) => digits(rest, 16),
        (_, Some(rest)) => digits(rest, 8),
        _ => text.parse().ok(),
    };
    if let Some(number) = whole {
        return Value::Integer(number);
    }
    let numeric =
        text.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c)) && text.contains(|c: char| c.is_ascii_digit());
    match text.parse::<f64>() {
        Ok(number) if numeric && number.is_finite() => Value::Number(number),
        _ => Value::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Node {
        parse(&Source::new("c.yaml", text)).unwrap()
    }

    fn refusal(text: &str) -> String {
        parse(&Source::new("c.yaml", text)).unwrap_err().marked()
    }

    fn written<'a>(text: &'a str, node: &Node) -> &'a str {
        &text[node.span.start..node.span.end]
    }

    #[test]
    fn an_empty_file_and_one_of_comments_are_empty_mappings() {
        assert_eq!(tree("").as_map(), Some(&[][..]));
        assert_eq!(tree("# nothing yet\n").as_map(), Some(&[][..]));
    }

    #[test]
    fn scalars_have_the_types_of_the_core_schema() {
        let node = tree("[no, true, 0755, '0755', 0o17, 3.10, ~, .inf, 1e3, 12:30, +5]");
        let values: Vec<String> = node.as_list().unwrap().iter().map(Node::described).collect();
        let expected = [
            "the text \"no\"",
            "the boolean true",
            "the number 0755",
            "the text \"0755\"",
            "the number 0o17",
            "the number 3.10",
            "nothing",
            "the text \".inf\"",
            "the number 1e3",
            "the text \"12:30\"",
            "the number +5",
        ];
        assert_eq!(values, expected);
        assert_eq!(node.as_list().unwrap()[2].value, Value::Integer(755));
    }

    #[test]
    fn places_count_characters_and_end_before_comments() {
        let text = "å: {ö: 'it''s'}\nkey: \"ä\" # said\nblock: |\n  one\n\n# end\nlist:\n  - a # first\n  - b\n";
        let node = tree(text);
        let quoted = node.get("å").unwrap().get("ö").unwrap();
        assert_eq!((quoted.span.line, quoted.span.column, quoted.span.end_column), (1, 8, 15));
        assert_eq!(written(text, quoted), "'it''s'");
        assert_eq!(written(text, node.get("key").unwrap()), "\"ä\"");
        assert_eq!(written(text, node.get("block").unwrap()), "one");
        assert_eq!(written(text, node.get("list").unwrap()), "- a # first\n  - b");
        assert_eq!(written(text, &node.get("list").unwrap().as_list().unwrap()[0]), "a");
    }

    #[test]
    fn a_place_inside_a_literal_block_is_found_in_the_file() {
        let source = Source::new("c.yaml", "a:\n  b: |\n    first\n    second line\n");
        let root = parse(&source).unwrap();
        let block = root.get("a").unwrap().get("b").unwrap();
        let place = block.place_within(&source, 2, 7, 4);
        assert_eq!((place.line, place.column, place.end_column), (4, 12, 16));
    }

    #[test]
    fn a_duplicate_key_is_refused_at_the_second() {
        assert_eq!(
            refusal("a:\n  åb: 1\n  c: 2\n  åb: 3\n"),
            "c.yaml:4:3: the key \"åb\" is given twice\n  |   åb: 3\n  |   ^^\n  hint: the first one is on line 2; keep one of them"
        );
    }

    #[test]
    fn merge_keys_tags_second_documents_and_odd_keys_are_refused() {
        assert!(refusal("a: &x {b: 1}\nc:\n  <<: *x\n").starts_with("c.yaml:3:3: merge keys (<<) are not supported"));
        assert_eq!(
            refusal("a: !x y\n").lines().next(),
            Some("c.yaml:1:4: tags (words that begin with \"!\") are not supported")
        );
        assert!(refusal("a: 1\n---\nb: 2\n").starts_with("c.yaml:2:1: a second document begins here"));
        assert!(refusal("? [a, b]\n: c\n").contains("a key must be a word"));
        assert!(refusal("a: *nobody\n").contains("c.yaml:1:4: not YAML"));
    }

    #[test]
    fn tabs_in_the_indentation_get_advice() {
        assert_eq!(
            refusal("a:\n\tb: 1\n").lines().last(),
            Some("  hint: indent with spaces; YAML takes no tabs there")
        );
    }

    #[test]
    fn bombs_are_refused_before_they_cost_anything() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..12 {
            let uses = vec![format!("*a{}", n - 1); 10].join(", ");
            bomb.push_str(&format!("a{n}: &a{n} [{uses}]\n"));
        }
        assert_eq!(
            refusal(&bomb).lines().next(),
            Some("c.yaml:5:25: more than 50000 values, those that aliases repeat included")
        );
        assert!(refusal(&"[".repeat(100)).contains("nested deeper than 64 levels"));
        assert!(refusal(&"[".repeat(100_000)).starts_with("c.yaml:1:256: not YAML: recursion limit exceeded"));
        assert!(refusal(&"a".repeat(MAX_BYTES + 1)).contains("at most 1048576 are read"));
    }

    #[test]
    fn text_in_another_encoding_is_refused_with_the_offset() {
        let source = Source::from_bytes("c.yaml", b"a: 1\nname: Malm\xf6\n");
        assert_eq!(
            parse(&source).unwrap_err().marked(),
            "c.yaml:2:11: not UTF-8: the byte at offset 15 belongs to another encoding\n  | name: Malm\u{fffd}\n  |           ^\n  hint: save the file as UTF-8"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic_and_every_place_lies_in_the_text(text in "[a-c:å\\-\\[\\]{},'\"|>#&*! \n\r\t0-9~\\\\]{0,60}") {
            fn walk(node: &Node, source: &Source) {
                assert!(source.text.get(node.span.start..node.span.end).is_some());
                node.place_within(source, 1, 0, 1);
                for entry in node.as_map().unwrap_or(&[]) {
                    walk(&entry.value, source);
                }
                for element in node.as_list().unwrap_or(&[]) {
                    walk(element, source);
                }
            }
            let source = Source::new("f", text);
            match parse(&source) {
                Ok(root) => walk(&root, &source),
                Err(problem) => assert!(!problem.marked().is_empty()),
            }
        }
    }
}
