//! Tera templates with errors that point into the manifest or the template file.

use super::names::{self, Missing};
use crate::base::yaml::{Node, Problem, Source, Span};
use serde_json::Value as Json;
use tera::{Context, ErrorKind, Kwargs, State, Tera};

/// Renders templates. Text is never escaped; the filter `json` writes a value as JSON.
pub struct Renderer {
    tera: Tera,
}

/// What a template may name.
pub struct Scope {
    json: Json,
    context: Context,
}

/// Where a template is written.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// A scalar of a manifest.
    Node(&'a Source, &'a Node),
    /// A whole file.
    File(&'a Source),
}

impl Scope {
    /// A scope of these names (a mapping).
    pub fn new(json: Json) -> Scope {
        let mut context = Context::new();
        for (name, value) in json.as_object().into_iter().flatten() {
            context.insert(name.clone(), value);
        }
        Scope { json, context }
    }

    /// The same scope with `item`.
    pub fn with_item(&self, item: &Json) -> Scope {
        let mut json = self.json.clone();
        json["item"] = item.clone();
        let mut context = self.context.clone();
        context.insert("item", item);
        Scope { json, context }
    }
}

impl Place<'_> {
    fn problem(&self, line: usize, column: usize, width: usize, code: &'static str, message: String) -> Problem {
        match self {
            Place::Node(source, node) => {
                Problem::at(source, node.place_within(source, line, column, width), code, message)
            }
            Place::File(source) => {
                let span =
                    Span { line, column: column + 1, end_line: line, end_column: column + 1 + width, start: 0, end: 0 };
                Problem::at(source, span, code, message)
            }
        }
    }
}

impl Default for Renderer {
    fn default() -> Self {
        let mut tera = Tera::new();
        tera.autoescape_on(Vec::<&str>::new());
        tera.register_filter("json", |value: tera::Value, _: Kwargs, _: &State<'_>| -> tera::TeraResult<String> {
            serde_json::to_string(&value).map_err(tera::Error::message)
        });
        Renderer { tera }
    }
}

impl Renderer {
    /// The text that a template gives.
    pub fn text(&self, template: &str, scope: &Scope, place: Place<'_>) -> Result<String, Vec<Problem>> {
        if !super::declaration::is_template(template) {
            return Ok(template.to_owned());
        }
        let missing = names::missing(template, &scope.json);
        if !missing.is_empty() {
            return Err(missing.into_iter().map(|m| undefined(m, place)).collect());
        }
        self.tera.render_str(template, &scope.context, false).map_err(|error| vec![failed(&error, 0, place)])
    }

    /// The value that a bare expression gives.
    pub fn value(&self, expression: &str, scope: &Scope, place: Place<'_>) -> Result<Json, Vec<Problem>> {
        let text = self.wrapped("{{ (", expression, ") | json }}", scope, place)?;
        serde_json::from_str(&text)
            .map_err(|error| vec![place.problem(1, 0, 1, "template-error", format!("no value: {error}"))])
    }

    /// Whether a bare expression is true.
    pub fn truth(&self, expression: &str, scope: &Scope, place: Place<'_>) -> Result<bool, Vec<Problem>> {
        Ok(self.wrapped("{% if ", expression, " %}1{% endif %}", scope, place)? == "1")
    }

    /// The value of a text that is one whole `{{ expression }}`; `None` for any other text.
    pub fn whole(&self, template: &str, scope: &Scope, place: Place<'_>) -> Option<Result<Json, Vec<Problem>>> {
        let inner = template.trim().strip_prefix("{{")?.strip_suffix("}}")?;
        if inner.contains("}}") || inner.contains("{{") || inner.contains("{%") {
            return None;
        }
        Some(self.value(inner, scope, place))
    }

    fn wrapped(
        &self,
        head: &str,
        expression: &str,
        tail: &str,
        scope: &Scope,
        place: Place<'_>,
    ) -> Result<String, Vec<Problem>> {
        let missing = names::missing_in_expression(expression, &scope.json);
        if !missing.is_empty() {
            return Err(missing.into_iter().map(|m| undefined(m, place)).collect());
        }
        let template = format!("{head}{expression}{tail}");
        let error = |error: &tera::Error| vec![failed(error, head.chars().count(), place)];
        self.tera.render_str(&template, &scope.context, false).map_err(|e| error(&e))
    }
}

fn undefined(missing: Missing, place: Place<'_>) -> Problem {
    let width = missing.path.chars().count();
    let message = format!("undefined name {}", missing.path);
    place
        .problem(missing.line, missing.column, width, "template-undefined", message)
        .instead_of(&missing.part, missing.known.iter().map(String::as_str))
}

/// A problem from Tera's error; `shift` characters were put before the expression.
fn failed(error: &tera::Error, shift: usize, place: Place<'_>) -> Problem {
    let (message, line, column, width) = match error.kind() {
        ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => {
            let span = report.span();
            let width = if span.end_line == span.start_line { span.end_col.saturating_sub(span.start_col) } else { 1 };
            (report.message().to_owned(), span.start_line, span.start_col, width)
        }
        other => from_report(&other.to_string()),
    };
    let column = if line == 1 { column.saturating_sub(shift) } else { column };
    place.problem(line.max(1), column, width.max(1), "template-error", format!("template: {}", one_line(&message)))
}

/// Message and place from a report that Tera gives as text only (unknown filters and tests): its first line, and
/// ` --> name:line:column`.
fn from_report(report: &str) -> (String, usize, usize, usize) {
    let first = report.lines().next().unwrap_or("");
    let message = first.strip_prefix("error: ").unwrap_or(first).to_owned();
    let place = report.lines().find_map(|line| line.split_once("--> ")).map_or("", |(_, place)| place);
    let mut numbers = place.rsplit(':').map(|n| n.trim().parse::<usize>().unwrap_or(1));
    let column = numbers.next().unwrap_or(1).saturating_sub(1);
    let width = report.lines().find(|l| l.trim_end().ends_with('^')).map_or(1, |l| l.matches('^').count());
    (message, numbers.next().unwrap_or(1), column, width)
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}
