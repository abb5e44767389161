//! One element of `resources:` or `verify:` as it is written: a kind, its subject, its fields, all with their places.

use crate::base::yaml::{Entry, Fields, Node, Reader, Value};
use crate::resources::schema::{FieldSchema, FieldType, KindSchema};

/// A declared resource or probe, checked as far as that can be done before its templates are rendered.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// The kind.
    pub kind: &'static KindSchema,
    /// The name, or what is probed.
    pub subject: Node,
    /// The fields that are given.
    pub fields: Vec<(&'static FieldSchema, Node)>,
    /// `when`, an expression.
    pub when: Option<Node>,
    /// `for_each`, an expression.
    pub for_each: Option<Node>,
    /// `needs`, templates of ids.
    pub needs: Vec<Node>,
    /// `notify`, templates.
    pub notify: Vec<Node>,
    /// `access`, true or false or a template.
    pub access: Option<Node>,
    /// The line of its first key.
    pub line: usize,
}

/// Which of a kind's fields must be there: at least one of each group.
const ONE_OF: &[(&str, &[&str])] = &[
    ("file", &["template", "content"]),
    ("block", &["template", "content"]),
    ("command", &["creates", "unless"]),
    ("command", &["undo", "irreversible"]),
];

impl Declaration {
    /// Reads an element of `resources:`; its first key is the kind.
    pub fn resource<'a>(reader: Reader<'a>, node: &'a Node, kinds: &'static [KindSchema]) -> Option<Self> {
        let first = reader.map(node, "a resource")?.entries().first();
        let Some(first) = first else {
            return reader.wrong(node, "a resource (`kind: name` and its fields)");
        };
        Self::read(reader, node, first, kinds, true)
    }

    /// Reads an element of `verify:`; the kind may stand anywhere in it.
    pub fn probe<'a>(reader: Reader<'a>, node: &'a Node, kinds: &'static [KindSchema]) -> Option<Self> {
        let entries = reader.map(node, "a probe")?.entries();
        let known = entries.iter().find(|entry| kinds.iter().any(|kind| kind.name == entry.key));
        let Some(subject) = known.or(entries.first()) else {
            return reader.wrong(node, "a probe");
        };
        Self::read(reader, node, subject, kinds, false)
    }

    fn read<'a>(
        reader: Reader<'a>,
        node: &'a Node,
        subject: &'a Entry,
        kinds: &'static [KindSchema],
        is_resource: bool,
    ) -> Option<Self> {
        let Some(kind) = kinds.iter().find(|kind| kind.name == subject.key) else {
            let problem = reader.at(subject.span, "kind-unknown", format!("unknown kind \"{}\"", subject.key));
            reader.tell(problem.instead_of(&subject.key, kinds.iter().map(|kind| kind.name)));
            return None;
        };
        let mut fields = reader.map(node, format!("a {}", kind.name))?;
        fields.take(kind.name);
        check(reader, &subject.value, kind.subject);
        let mut given = Vec::new();
        for field in kind.fields {
            let found = if field.required { fields.require(field.name) } else { fields.take(field.name) };
            if let Some(node) = found {
                check(reader, node, field.kind);
                given.push((field, node.clone()));
            }
        }
        for (_, group) in ONE_OF.iter().filter(|(name, _)| *name == kind.name) {
            if is_resource && !given.iter().any(|(field, _)| group.contains(&field.name)) {
                let message = format!("a {} needs one of: {}", kind.name, group.join(", "));
                reader.problem(subject.span, "key-missing", message);
            }
        }
        if let Some((_, extra)) = given.iter().find(|(field, _)| field.name == "content")
            && given.iter().any(|(field, _)| field.name == "template")
        {
            reader.problem(extra.span, "key-conflict", "template and content can't both be given");
        }
        let when = expression(&mut fields, "when");
        let for_each = expression(&mut fields, "for_each");
        let (needs, notify) = match is_resource {
            true => (cloned(fields.texts("needs")), cloned(fields.texts("notify"))),
            false => (Vec::new(), Vec::new()),
        };
        let access = fields.take("access").filter(|_| is_resource).cloned();
        if let Some(node) = &access {
            check(reader, node, FieldType::Boolean);
        }
        fields.finish();
        let line = subject.span.line;
        let subject = subject.value.clone();
        Some(Declaration { kind, subject, fields: given, when, for_each, needs, notify, access, line })
    }
}

fn cloned(nodes: Vec<&Node>) -> Vec<Node> {
    nodes.into_iter().cloned().collect()
}

/// An expression is written without braces; plain `true`, `false` and numbers are expressions too.
fn expression<'a>(fields: &mut Fields<'a>, key: &str) -> Option<Node> {
    let node = fields.take(key)?;
    let reader = fields.reader;
    match &node.value {
        Value::Text(text) if text.contains("{{") || text.contains("{%") => {
            let problem =
                reader.at(node.span, "expression-braces", format!("{key} takes an expression without braces"));
            reader.tell(problem.hint("write: options.size > 0"));
            None
        }
        Value::Text(_) | Value::Boolean(_) => Some(node.clone()),
        _ => reader.wrong(node, "an expression"),
    }
}

/// Whether a text has templates, so that its type is known only after rendering.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// Tells when a field can't be of its type, whatever its templates give.
fn check(reader: Reader<'_>, node: &Node, kind: FieldType) {
    if node.as_text().is_some_and(is_template) {
        return;
    }
    match (kind, &node.value) {
        (FieldType::Boolean, _) => {
            reader.boolean(node);
        }
        (FieldType::Integer, _) => {
            reader.integer(node, None, None);
        }
        (FieldType::Choice(choices), _) => {
            reader.choice(node, choices.iter().copied());
        }
        (FieldType::List, Value::List(elements)) => {
            for element in elements {
                if element.as_plain_text().is_none() {
                    reader.wrong::<()>(element, "text");
                }
            }
        }
        (FieldType::List, Value::Text(_)) => {}
        (FieldType::List, _) => {
            reader.wrong::<()>(node, "a list");
        }
        (FieldType::Map, Value::Map(entries)) => {
            for entry in entries.iter().filter(|entry| entry.value.as_plain_text().is_none()) {
                reader.wrong::<()>(&entry.value, "text");
            }
        }
        (FieldType::Map, _) => {
            reader.wrong::<()>(node, "a mapping");
        }
        (FieldType::Mode, value) => {
            let good = matches!(value, Value::Text(text) if is_mode(text));
            if !good {
                let problem = reader.at(
                    node.span,
                    "type-wrong",
                    format!("wanted four octal digits in quotes, found {}", node.described()),
                );
                reader.tell(problem.hint("write: \"0644\""));
            }
        }
        (FieldType::Path, Value::Text(text)) if text.starts_with('/') => {}
        (FieldType::Path, Value::Text(_)) => {
            reader.wrong::<()>(node, "an absolute path");
        }
        _ => {
            if node.as_plain_text().is_none() {
                reader.wrong::<()>(node, "text");
            }
        }
    }
}

/// Four octal digits.
pub fn is_mode(text: &str) -> bool {
    text.len() == 4 && text.bytes().all(|b| (b'0'..=b'7').contains(&b))
}
