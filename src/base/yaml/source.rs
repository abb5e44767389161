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
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Source { name: name.into(), text, bad_byte: None, lines }
    }

    /// A source from a file's bytes. When they are not UTF-8, the offset of the first bad byte is kept.
    pub fn from_bytes(name: impl Into<String>, bytes: &[u8]) -> Self {
        let mut source = Source::new(name, String::from_utf8_lossy(bytes));
        let mark = if bytes.starts_with("\u{feff}".as_bytes()) { '\u{feff}'.len_utf8() } else { 0 };
        source.bad_byte = std::str::from_utf8(bytes).err().map(|e| e.valid_up_to() - mark);
        source
    }

    /// The line of that number, counted from 1, without its line end; empty beyond the last.
    pub fn line(&self, number: usize) -> &str {
        let start = number.checked_sub(1).and_then(|n| self.lines.get(n));
        start.and_then(|start| self.text.get(*start..)?.lines().next()).unwrap_or("")
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
    fn the_place_of_a_bad_byte_is_counted_in_the_text_without_its_mark() {
        let source = Source::from_bytes("s", b"\xef\xbb\xbfa: 1\nb: \xff\n");
        assert_eq!(source.bad_byte, Some(8));
        let problem = super::super::parse(&source).unwrap_err();
        assert_eq!((problem.line, problem.column), (2, 4));
    }
}
