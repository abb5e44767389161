//! A text that a person wrote, and its name.

/// A file's text, or an argument of the command line that stands for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What messages call it: an absolute path, or `--set`.
    pub name: String,
    /// The text, without a byte order mark.
    pub text: String,
    /// Where the bytes stopped being UTF-8, the mark not counted; [`parse`](super::parse) refuses such a source.
    pub bad_byte: Option<usize>,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl Source {
    /// A source from text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        // YAML ends a line at a carriage return alone, too.
        let is_end = |at: usize| match text.as_bytes().get(at) {
            Some(b'\n') => true,
            Some(b'\r') => text.as_bytes().get(at + 1) != Some(&b'\n'),
            _ => false,
        };
        let ends = memchr::memchr2_iter(b'\n', b'\r', text.as_bytes()).filter(|at| is_end(*at));
        let lines = std::iter::once(0).chain(ends.map(|at| at + 1)).collect();
        Source { name: name.into(), text, bad_byte: None, lines }
    }

    /// A source from a file's bytes. When they are not UTF-8, the offset of the first bad byte is kept.
    pub fn from_bytes(name: impl Into<String>, bytes: &[u8]) -> Self {
        let bad = match std::str::from_utf8(bytes) {
            Ok(text) => return Source::new(name, text),
            Err(bad) => bad.valid_up_to(),
        };
        let mark = if bytes.starts_with("\u{feff}".as_bytes()) { '\u{feff}'.len_utf8() } else { 0 };
        Source { bad_byte: Some(bad - mark), ..Source::new(name, String::from_utf8_lossy(bytes)) }
    }

    /// The line of that number, counted from 1, without its line end; empty beyond the last.
    pub fn line(&self, number: usize) -> &str {
        let start = number.checked_sub(1).and_then(|n| self.lines.get(n));
        start.and_then(|start| self.text.get(*start..)?.split(['\n', '\r']).next()).unwrap_or("")
    }

    /// The line and the column, in characters, of the byte at `offset`; both from 1.
    pub fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        (line, self.text.get(start..offset).unwrap_or("").chars().count() + 1)
    }

    /// The number of the last line with something in it; 1 when there is none.
    pub fn last_line(&self) -> usize {
        let end = self.text.trim_end().len();
        self.lines.iter().take_while(|start| **start < end).count().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_by_its_number_and_ends_before_its_end() {
        for text in ["", "a", "a\n", "a\r\nb\n\nå", "\n\n", "\u{feff}a\nb"] {
            let source = Source::new("s", text);
            for number in 0..6_usize {
                let line = number.checked_sub(1).and_then(|n| source.text.lines().nth(n)).unwrap_or("");
                assert_eq!(source.line(number), line, "{text:?} {number}");
            }
        }
    }

    #[test]
    fn a_carriage_return_ends_a_line_as_yaml_has_it() {
        let source = Source::new("s", "a: 1\rb: [\r\n\r");
        assert_eq!((source.line(1), source.line(2), source.line(3), source.last_line()), ("a: 1", "b: [", "", 2));
        let problem = super::super::parse(&source).unwrap_err();
        assert_eq!((problem.line, &*problem.excerpt), (2, "b: ["));
    }

    #[test]
    fn the_place_of_a_bad_byte_is_counted_in_the_text_without_its_mark() {
        let source = Source::from_bytes("s", b"\xef\xbb\xbfa: 1\nb: \xff\n");
        assert_eq!(source.bad_byte, Some(8));
        let problem = super::super::parse(&source).unwrap_err();
        assert_eq!((problem.line, problem.column), (2, 4));
    }
}
