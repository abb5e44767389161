//! A text that a person wrote, and its name.

/// A file's text, or an argument of the command line that stands for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What messages call it: an absolute path, or `--set`.
    pub name: String,
    /// The text, without a byte order mark.
    pub text: String,
    /// Where the bytes stopped being UTF-8; [`parse`](super::parse) refuses such a source.
    pub bad_byte: Option<usize>,
}

impl Source {
    /// A source from text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        Source { name: name.into(), text, bad_byte: None }
    }

    /// A source from a file's bytes. When they are not UTF-8, the offset of the first bad byte is kept.
    pub fn from_bytes(name: impl Into<String>, bytes: &[u8]) -> Self {
        let mut source = Source::new(name, String::from_utf8_lossy(bytes));
        source.bad_byte = std::str::from_utf8(bytes).err().map(|e| e.valid_up_to());
        source
    }

    /// The line of that number, counted from 1, without its line end; empty beyond the last.
    pub fn line(&self, number: usize) -> &str {
        number.checked_sub(1).and_then(|n| self.text.lines().nth(n)).unwrap_or("")
    }
}
