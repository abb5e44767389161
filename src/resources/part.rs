//! Our part of a file that is not ours: a block between two marker lines, or one line. Pure text work, byte for byte.
//!
//! What stands around our part is never touched, whatever its encoding or its last line.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Our part of a file, with what stood in its place before us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// A managed block.
    Block {
        /// The word that names the block in its marker lines.
        marker: String,
        /// The text between the marker lines before; `None` when there was no such block.
        before: Option<String>,
        /// The text as we wrote it.
        after: String,
    },
    /// One line, without its newline.
    Line {
        /// The line that it took the place of; `None` when it was added.
        before: Option<String>,
        /// The line as we wrote it.
        after: String,
    },
}

impl Part {
    /// `text` with our part taken back out, the former one in its place; `None` when our part is not in it any more.
    pub fn take_out(&self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Part::Block { marker, before, .. } => {
                let former = before.as_ref().map(|b| block(marker, b)).unwrap_or_default();
                find(text, marker).map(|whole| replace(text, whole, former.as_bytes()))
            }
            Part::Line { before, after } => {
                let line = find_line(text, |line| line == after.as_bytes())?;
                let former = before.as_ref().map(|b| format!("{b}\n")).unwrap_or_default();
                Some(replace(text, line, former.as_bytes()))
            }
        }
    }

    /// Whether somebody edited our part itself in `text`.
    pub fn is_edited(&self, text: &[u8]) -> bool {
        match self {
            Part::Block { marker, after, .. } => inner(text, marker).is_some_and(|b| b != after.as_bytes()),
            Part::Line { .. } => false,
        }
    }
}

/// Where a new block goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Behind everything else.
    #[default]
    End,
    /// Before everything else.
    Start,
}

/// A whole block: marker line, `inner` with a newline at its end, marker line.
pub fn block(marker: &str, inner: &str) -> String {
    let newline = if inner.is_empty() || inner.ends_with('\n') { "" } else { "\n" };
    format!("{}{inner}{newline}{}", begin(marker), end(marker))
}

/// The bytes of the block named `marker` in `text`, marker lines included; `None` when there is none. A begin line
/// without its end line is no block: where it ends can't be known.
pub fn find(text: &[u8], marker: &str) -> Option<Range<usize>> {
    let first = find_line(text, |line| line == begin(marker).trim_end().as_bytes())?;
    let rest = text.get(first.end..)?;
    let last = find_line(rest, |line| line == end(marker).trim_end().as_bytes())?;
    Some(first.start..first.end + last.end)
}

/// The text between the marker lines of the block named `marker`.
pub fn inner<'a>(text: &'a [u8], marker: &str) -> Option<&'a [u8]> {
    let whole = find(text, marker)?;
    let lines = text.get(whole)?;
    let start = lines.iter().position(|b| *b == b'\n')? + 1;
    let last = find_line(lines.get(start..)?, |line| line == end(marker).trim_end().as_bytes())?;
    lines.get(start..start + last.start)
}

/// `text` with the block named `marker` holding `content`: in place where there is one, else at `place`.
pub fn put(text: &[u8], marker: &str, content: &str, place: Place) -> Vec<u8> {
    let new = block(marker, content);
    match (find(text, marker), place) {
        (Some(whole), _) => replace(text, whole, new.as_bytes()),
        (None, Place::Start) => [new.as_bytes(), text].concat(),
        (None, Place::End) => append(text, new.as_bytes()),
    }
}

/// `text` with `added` behind it, on a line of its own.
pub fn append(text: &[u8], added: &[u8]) -> Vec<u8> {
    let newline: &[u8] = if text.is_empty() || text.ends_with(b"\n") { b"" } else { b"\n" };
    [text, newline, added].concat()
}

/// The bytes of the first line (with its newline) that `is` accepts (without its newline).
pub fn find_line(text: &[u8], is: impl Fn(&[u8]) -> bool) -> Option<Range<usize>> {
    let mut start = 0;
    for line in text.split_inclusive(|b| *b == b'\n') {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        if is(bare) {
            return Some(start..start + line.len());
        }
        start += line.len();
    }
    None
}

/// `text` with the bytes of `range` replaced by `new`.
pub fn replace(text: &[u8], range: Range<usize>, new: &[u8]) -> Vec<u8> {
    let head = text.get(..range.start).unwrap_or_default();
    let tail = text.get(range.end..).unwrap_or_default();
    [head, new, tail].concat()
}

fn begin(marker: &str) -> String {
    format!("# BEGIN vps-configurator: {marker}\n")
}

fn end(marker: &str) -> String {
    format!("# END vps-configurator: {marker}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_goes_in_and_out_without_touching_the_rest() {
        let foreign: &[u8] = b"first \xff line\nsecond\n";
        let with = put(foreign, "shell", "alias ll='ls -l'", Place::End);
        assert!(with.ends_with(b"alias ll='ls -l'\n# END vps-configurator: shell\n"));
        assert_eq!(inner(&with, "shell"), Some(&b"alias ll='ls -l'\n"[..]));
        assert_eq!(put(&with, "shell", "alias ll='ls -l'", Place::End), with);
        let part = Part::Block { marker: "shell".into(), before: None, after: "x".into() };
        assert_eq!(part.take_out(&with).as_deref(), Some(foreign));
        assert_eq!(part.take_out(foreign), None);
    }

    #[test]
    fn what_others_wrote_behind_the_block_stays() {
        let with = put(b"a\n", "m", "ours\n", Place::Start);
        let edited = append(&with, b"theirs\n");
        let part = Part::Block { marker: "m".into(), before: Some("old\n".into()), after: "ours\n".into() };
        let out = part.take_out(&edited).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "# BEGIN vps-configurator: m\nold\n# END vps-configurator: m\na\ntheirs\n"
        );
    }

    #[test]
    fn a_begin_line_without_its_end_is_no_block() {
        assert_eq!(find(b"# BEGIN vps-configurator: m\nrest of the file\n", "m"), None);
    }

    #[test]
    fn a_line_is_put_back_as_it_was() {
        let part = Part::Line { before: Some("# en_US.UTF-8 UTF-8".into()), after: "en_US.UTF-8 UTF-8".into() };
        assert_eq!(part.take_out(b"a\nen_US.UTF-8 UTF-8\nb").unwrap(), b"a\n# en_US.UTF-8 UTF-8\nb");
    }
}
