//! Typed reading of a tree that collects everything that is wrong, not only the first thing.

use super::{Collector, Entry, Node, Problem, Source, Span, Value};

/// Reads nodes of one source and tells what is wrong to a collector. `None` always means that it was told.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// The source that the nodes are from.
    pub source: &'a Source,
    collector: &'a Collector,
}

impl<'a> Reader<'a> {
    /// A reader of `source`.
    pub fn new(source: &'a Source, collector: &'a Collector) -> Self {
        Reader { source, collector }
    }

    /// Tells a problem at a place.
    pub fn problem(&self, span: Span, code: &'static str, message: impl Into<String>) {
        self.tell(self.at(span, code, message));
    }

    /// Tells a problem.
    pub fn tell(&self, problem: Problem) {
        self.collector.add(problem);
    }

    /// A problem at a place, to be completed and told.
    pub fn at(&self, span: Span, code: &'static str, message: impl Into<String>) -> Problem {
        if self.collector.is_full() {
            // It will be left out: finding its place in a long line would be in vain.
            return Problem::anywhere(code, message);
        }
        Problem::at(self.source, span, code, message)
    }

    /// Tells that something else was wanted; always `None`.
    pub fn wrong<T>(&self, node: &Node, wanted: &str) -> Option<T> {
        let message = format!("wanted {wanted}, found {}", node.described());
        let problem = self.at(node.span, "type-wrong", message);
        let scalar = matches!(node.value, Value::Boolean(_) | Value::Integer(_) | Value::Number(_));
        let quote = scalar && wanted.starts_with("text");
        self.tell(if quote { problem.hint(format!("write it in quotes: \"{}\"", node.raw)) } else { problem });
        None
    }

    /// A mapping, whose keys are then taken one by one. `what` names it in messages: `modules.docker`.
    pub fn map(&self, node: &'a Node, what: impl Into<String>) -> Option<Fields<'a>> {
        match node.as_map() {
            Some(entries) => {
                Some(Fields { reader: *self, entries, span: node.span, what: what.into(), known: Vec::new() })
            }
            None => self.wrong(node, "a mapping"),
        }
    }

    /// Text. A number or a boolean is refused with the advice to quote it.
    pub fn text(&self, node: &'a Node) -> Option<&'a str> {
        node.as_text().or_else(|| self.wrong(node, "text"))
    }

    /// A boolean.
    pub fn boolean(&self, node: &Node) -> Option<bool> {
        match &node.value {
            Value::Boolean(value) => Some(*value),
            Value::Text(text) if ["yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str()) => {
                let right = matches!(text.to_ascii_lowercase().as_str(), "yes" | "on");
                let problem =
                    self.at(node.span, "type-wrong", format!("wanted true or false, found {}", node.described()));
                self.tell(problem.hint(format!("write {right}")));
                None
            }
            _ => self.wrong(node, "true or false"),
        }
    }

    /// A whole number within bounds.
    pub fn integer(&self, node: &Node, min: Option<i64>, max: Option<i64>) -> Option<i64> {
        let Value::Integer(value) = node.value else {
            return self.wrong(node, "a whole number");
        };
        if min.is_some_and(|m| value < m) || max.is_some_and(|m| value > m) {
            return self.out_of_range(node, min.map(|m| m.to_string()), max.map(|m| m.to_string()));
        }
        Some(value)
    }

    /// A number within bounds.
    pub fn number(&self, node: &Node, min: Option<f64>, max: Option<f64>) -> Option<f64> {
        let value = match node.value {
            Value::Integer(value) => value as f64,
            Value::Number(value) => value,
            _ => return self.wrong(node, "a number"),
        };
        if min.is_some_and(|m| value < m) || max.is_some_and(|m| value > m) {
            return self.out_of_range(node, min.map(|m| m.to_string()), max.map(|m| m.to_string()));
        }
        Some(value)
    }

    fn out_of_range<T>(&self, node: &Node, min: Option<String>, max: Option<String>) -> Option<T> {
        let bounds = match (min, max) {
            (Some(min), Some(max)) => format!("must be between {min} and {max}"),
            (Some(min), None) => format!("must be at least {min}"),
            (_, max) => format!("must be at most {}", max.unwrap_or_default()),
        };
        self.problem(node.span, "value-out-of-range", format!("{} {bounds}", node.raw));
        None
    }

    /// One of several words.
    pub fn choice<'c>(&self, node: &Node, choices: impl IntoIterator<Item = &'c str> + Clone) -> Option<&'c str> {
        let text = node.as_plain_text().or_else(|| self.wrong(node, "text"))?;
        if let Some(found) = choices.clone().into_iter().find(|c| *c == text) {
            return Some(found);
        }
        let all: Vec<&str> = choices.clone().into_iter().collect();
        let message = format!("\"{text}\" is none of {}", all.join(", "));
        let problem = self.at(node.span, "choice-unknown", message);
        self.tell(match super::nearest(text, choices) {
            Some(near) => problem.hint(format!("did you mean \"{near}\"?")),
            None => problem,
        });
        None
    }

    /// A list.
    pub fn list(&self, node: &'a Node) -> Option<&'a [Node]> {
        node.as_list().or_else(|| self.wrong(node, "a list"))
    }

    /// A list of texts; the elements that are no text are told and left out.
    pub fn texts(&self, node: &'a Node) -> Vec<&'a Node> {
        let list = self.list(node).unwrap_or(&[]);
        list.iter().filter(|element| self.text(element).is_some()).collect()
    }
}

/// A mapping that is being read: each key is taken once, and what nobody took is told at the end.
#[derive(Debug)]
pub struct Fields<'a> {
    /// The reader of the mapping's source.
    pub reader: Reader<'a>,
    /// The mapping's place.
    pub span: Span,
    entries: &'a [Entry],
    what: String,
    known: Vec<String>,
}

impl<'a> Fields<'a> {
    /// The value of a key, when it is there.
    pub fn take(&mut self, key: &str) -> Option<&'a Node> {
        self.take_entry(key).map(|entry| &entry.value)
    }

    /// The key and its value, when it is there.
    pub fn take_entry(&mut self, key: &str) -> Option<&'a Entry> {
        self.known.push(key.to_owned());
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The value of a key that must be there.
    pub fn require(&mut self, key: &str) -> Option<&'a Node> {
        let found = self.take(key);
        if found.is_none() {
            // The mark goes under the first word of the mapping, not under all its lines.
            let span = self.entries.first().map_or(self.span, |entry| entry.span);
            self.reader.problem(span, "key-missing", format!("the key \"{key}\" is missing in {}", self.what));
        }
        found
    }

    /// A text that may be missing.
    pub fn text(&mut self, key: &str) -> Option<&'a str> {
        self.take(key).and_then(|node| self.reader.text(node))
    }

    /// A boolean that may be missing.
    pub fn boolean(&mut self, key: &str) -> Option<bool> {
        self.take(key).and_then(|node| self.reader.boolean(node))
    }

    /// A whole number that may be missing.
    pub fn integer(&mut self, key: &str, min: Option<i64>, max: Option<i64>) -> Option<i64> {
        self.take(key).and_then(|node| self.reader.integer(node, min, max))
    }

    /// A list of texts that may be missing.
    pub fn texts(&mut self, key: &str) -> Vec<&'a Node> {
        self.take(key).map(|node| self.reader.texts(node)).unwrap_or_default()
    }

    /// The keys in the order of writing.
    pub fn entries(&self) -> &'a [Entry] {
        self.entries
    }

    /// Tells every key that nobody asked for, with the nearest right name.
    pub fn finish(self) {
        for entry in self.entries.iter().filter(|entry| !self.known.contains(&entry.key)) {
            let message = format!("unknown key \"{}\" in {}", entry.key, self.what);
            let problem = self.reader.at(entry.span, "key-unknown", message);
            self.reader.tell(problem.instead_of(&entry.key, self.known.iter().map(String::as_str)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn everything_wrong_is_told_at_once_with_its_mark() {
        let text = "name: 12\nsize: 99\nå: \tx\nwhere: hmoe\non: yes\nlist: {}\nextra: 1\nwrokers: 3\n";
        let source = Source::new("f.yaml", text);
        let root = parse(&source).unwrap();
        let collector = Collector::default();
        let reader = Reader::new(&source, &collector);
        let mut fields = reader.map(&root, "apply").unwrap();
        assert_eq!(fields.text("name"), None);
        assert_eq!(fields.integer("size", Some(1), Some(16)), None);
        assert_eq!(fields.boolean("å"), None);
        assert_eq!(fields.take("where").and_then(|node| reader.choice(node, ["home", "root"])), None);
        assert_eq!(fields.boolean("on"), None);
        assert!(fields.texts("list").is_empty());
        assert_eq!(fields.require("host"), None);
        assert_eq!(fields.integer("workers", None, None), None);
        fields.finish();
        let told = collector.finish(()).unwrap_err().to_string();
        let expected = "\
f.yaml:1:1: the key \"host\" is missing in apply
  | name: 12
  | ^^^^
f.yaml:1:7: wanted text, found the number 12
  | name: 12
  |       ^^
  hint: write it in quotes: \"12\"
f.yaml:2:7: 99 must be between 1 and 16
  | size: 99
  |       ^^
f.yaml:3:5: wanted true or false, found the text \"x\"
  | å: \tx
  |    \t^
f.yaml:4:8: \"hmoe\" is none of home, root
  | where: hmoe
  |        ^^^^
  hint: did you mean \"home\"?
f.yaml:5:5: wanted true or false, found the text \"yes\"
  | on: yes
  |     ^^^
  hint: write true
f.yaml:6:7: wanted a list, found a mapping
  | list: {}
  |       ^^
f.yaml:7:1: unknown key \"extra\" in apply
  | extra: 1
  | ^^^^^
  hint: there are: name, size, å, where, on, list, host, workers
f.yaml:8:1: unknown key \"wrokers\" in apply
  | wrokers: 3
  | ^^^^^^^
  hint: did you mean \"workers\"?";
        assert_eq!(told, expected);
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_mark() {
        let source = Source::new("f", format!("[{}1, x]", "1, ".repeat(300)));
        let root = parse(&source).unwrap();
        let last = root.as_list().unwrap().last().unwrap();
        let marked = Problem::at(&source, last.span, "x", "here").marked();
        let lines: Vec<&str> = marked.lines().collect();
        assert!(lines[1].chars().count() < 170);
        assert_eq!(lines[1].chars().nth(lines[2].find('^').unwrap()), Some('x'));
    }
}
