//! What is wrong with something that a person wrote, and where. Renderers decide how it looks;
//! [`Problem::marked`] is the plain form.

use super::{Source, Span};
use serde::Serialize;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt;

/// No more problems than this are told at once: nobody reads them, and each takes time by the length of its line.
const MOST: usize = 500;

/// The longest excerpt that is shown, in characters; longer lines are cut around the mark.
const EXCERPT: usize = 160;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Problem {
    /// The stable code, words with hyphens.
    pub code: &'static str,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// The file, or what stands for one (`--set`); empty when the problem has no place.
    pub file: Box<str>,
    /// The line, from 1; 0 when the problem has no place.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The column just after the mark.
    pub end_column: usize,
    /// How to mend it: `did you mean "docker"?`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Box<str>>,
    /// The line that is marked, or the part of it around the mark.
    pub excerpt: Box<str>,
    /// How many characters of the excerpt lie before the mark.
    #[serde(skip)]
    offset: usize,
}

impl Problem {
    /// A problem at a place of a source.
    pub fn at(source: &Source, span: Span, code: &'static str, message: impl Into<String>) -> Self {
        let line = source.line(span.line);
        let length = line.chars().count();
        let column = span.column.max(1);
        let end_column = if span.end_line > span.line { length + 1 } else { span.end_column }.max(column + 1);
        let cut = if length > EXCERPT { (column - 1).saturating_sub(EXCERPT / 2) } else { 0 };
        Problem {
            code,
            message: message.into(),
            file: source.name.as_str().into(),
            line: span.line,
            column,
            end_column,
            hint: None,
            excerpt: line.chars().skip(cut).take(EXCERPT).collect::<String>().into(),
            offset: column - 1 - cut,
        }
    }

    /// A problem without a place.
    pub fn anywhere(code: &'static str, message: impl Into<String>) -> Self {
        Problem {
            code,
            message: message.into(),
            file: Box::default(),
            line: 0,
            column: 0,
            end_column: 0,
            hint: None,
            excerpt: Box::default(),
            offset: 0,
        }
    }

    /// The same problem with a way to mend it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into().into_boxed_str());
        self
    }

    /// The same problem with the name that was probably meant, or else the names there are.
    pub fn instead_of<'a>(self, name: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Self {
        if let Some(near) = super::nearest(name, candidates.clone()) {
            return self.hint(format!("did you mean \"{near}\"?"));
        }
        let all: Vec<&str> = candidates.into_iter().take(30).collect();
        if all.is_empty() { self } else { self.hint(format!("there are: {}", all.join(", "))) }
    }

    /// The problem as plain text: place and message, the line with a mark under it, the hint.
    ///
    /// ```text
    /// /etc/vps-configurator/config.yaml:3:5: unknown key "sorce" in modules.docker
    ///   |     sorce: docker
    ///   |     ^^^^^
    ///   hint: did you mean "source"?
    /// ```
    pub fn marked(&self) -> String {
        let mut out = String::new();
        if self.line > 0 {
            out.push_str(&format!("{}:{}:{}: ", self.file, self.line, self.column));
        }
        out.push_str(&self.message);
        if self.line > 0 && !self.excerpt.is_empty() {
            let blank = |c: char| if c == '\t' { '\t' } else { ' ' };
            let lead: String =
                self.excerpt.chars().chain(std::iter::repeat(' ')).take(self.offset).map(blank).collect();
            let room = self.excerpt.chars().count().saturating_sub(self.offset).max(1);
            let mark = "^".repeat((self.end_column - self.column).clamp(1, room));
            out.push_str(&format!("\n  | {}\n  | {lead}{mark}", self.excerpt.trim_end()));
        }
        if let Some(hint) = &self.hint {
            out.push_str(&format!("\n  hint: {hint}"));
        }
        out
    }
}

/// All problems of one run, in the order in which they were found; never empty when it is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(Problem::marked).collect();
        f.write_str(&parts.join("\n"))
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Problems(vec![problem])
    }
}

/// Where problems are gathered while reading goes on.
#[derive(Debug, Default)]
pub struct Collector(RefCell<Vec<Problem>>);

impl Collector {
    /// Takes one problem in.
    pub fn add(&self, problem: Problem) {
        if !self.is_full() {
            self.0.borrow_mut().push(problem);
        }
    }

    /// Takes several in.
    pub fn extend(&self, problems: Problems) {
        problems.0.into_iter().for_each(|problem| self.add(problem));
    }

    /// Whether further problems are left out: there are enough.
    pub fn is_full(&self) -> bool {
        self.count() >= MOST
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.borrow().len()
    }

    /// `value` when there are none, else all of them, each once: by file in the order in which the files came up, and
    /// by place in each.
    ///
    /// # Errors
    /// All that was told.
    pub fn finish<T>(self, value: T) -> Result<T, Problems> {
        let mut all = self.0.into_inner();
        let mut files: HashMap<Box<str>, usize> = HashMap::new();
        for problem in &all {
            let next = files.len();
            files.entry(problem.file.clone()).or_insert(next);
        }
        let mut seen = HashSet::new();
        all.retain(|problem| seen.insert(problem.clone()));
        all.sort_by_key(|p| (files.get(&p.file).copied(), p.line, p.column));
        if all.is_empty() { Ok(value) } else { Err(Problems(all)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_problem_is_told_once_in_the_order_of_files_and_places_and_not_without_end() {
        let collector = Collector::default();
        let (a, b) = (Source::new("b", "x: 1\ny: 2\n"), Source::new("a", "z: 3\n"));
        let span = |line| Span { line, column: 1, end_line: line, end_column: 2, ..Span::default() };
        for (source, line) in [(&a, 2), (&b, 1), (&a, 1), (&a, 2)] {
            collector.add(Problem::at(source, span(line), "code", "message"));
        }
        let places = |problems: Problems| -> Vec<(String, usize)> {
            problems.0.into_iter().map(|problem| (problem.file.to_string(), problem.line)).collect()
        };
        let wanted = [("b".to_owned(), 1), ("b".to_owned(), 2), ("a".to_owned(), 1)];
        assert_eq!(places(collector.finish(()).unwrap_err()), wanted);
        let collector = Collector::default();
        for number in 0..3 * MOST {
            collector.add(Problem::anywhere("code", number.to_string()));
        }
        assert!(collector.is_full());
        assert_eq!(collector.finish(()).unwrap_err().0.len(), MOST);
    }

    #[test]
    fn a_text_that_ends_too_early_is_marked_at_its_end() {
        for text in ["a: [1, 2\n", "a: 1\nb\n\n", "{"] {
            let problem = super::super::parse(&Source::new("s", text)).unwrap_err();
            let line = text.trim_end().lines().last().unwrap();
            assert_eq!(&*problem.excerpt, line, "{text:?}");
            assert!(problem.column <= line.chars().count() + 1, "{problem:?}");
        }
    }
}
