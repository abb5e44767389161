//! From the bytes that a terminal sends to keys (ECMA-48, xterm's ctlseqs). Pure.

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A character.
    Char(char),
    /// A letter with Ctrl.
    Control(char),
    /// Text that came at once (bracketed paste).
    Paste(String),
    /// Enter.
    Enter,
    /// Esc.
    Escape,
    /// Backspace.
    Backspace,
    /// Delete.
    Delete,
    /// Up.
    Up,
    /// Down.
    Down,
    /// Left.
    Left,
    /// Right.
    Right,
    /// Home.
    Home,
    /// End.
    End,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
}

const PASTE_BEGINS: &[u8] = b"\x1b[200~";
const PASTE_ENDS: &[u8] = b"\x1b[201~";

/// The most bytes that are waited for until something is a key.
const MOST: usize = 1 << 16;

/// Bytes that aren't a whole key yet.
#[derive(Debug, Default)]
pub struct Keys {
    bytes: Vec<u8>,
}

impl Keys {
    /// Takes bytes in, and returns the keys that are whole now.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Key> {
        self.bytes.extend_from_slice(bytes);
        let mut keys = Vec::new();
        let mut at = 0;
        while let Some((key, length)) = first(&self.bytes[at..]) {
            keys.extend(key);
            at += length;
        }
        self.bytes.drain(..at);
        if self.bytes.len() > MOST {
            // Of a paste without an end, its beginning stays, and what may be the beginning of its end.
            let kept = if self.bytes.starts_with(PASTE_BEGINS) { PASTE_BEGINS.len() } else { 0 };
            self.bytes.drain(kept..self.bytes.len() - PASTE_ENDS.len());
        }
        keys
    }

    /// Whether bytes wait for more. When none come within a moment, they are [what they are](Self::settle).
    pub fn is_waiting(&self) -> bool {
        !self.bytes.is_empty() && !self.bytes.starts_with(PASTE_BEGINS)
    }

    /// Nothing more came: an Esc alone is the key Esc, anything else is nothing.
    pub fn settle(&mut self) -> Option<Key> {
        let is_escape = self.bytes == b"\x1b";
        self.bytes.clear();
        is_escape.then_some(Key::Escape)
    }
}

/// The first key and how many bytes it is; no key where the bytes mean none. `None` when more must come.
fn first(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    match *bytes.first()? {
        0x1b => escape(bytes),
        b'\r' | b'\n' => Some((Some(Key::Enter), 1)),
        0x08 | 0x7f => Some((Some(Key::Backspace), 1)),
        control @ 1..=26 => Some((Some(Key::Control((b'a' + control - 1) as char)), 1)),
        0 | 0x1c..=0x1f => Some((None, 1)),
        byte if byte < 0x80 => Some((Some(Key::Char(byte as char)), 1)),
        lead => {
            let length = match lead {
                0xc2..=0xdf => 2,
                0xe0..=0xef => 3,
                0xf0..=0xf4 => 4,
                _ => return Some((None, 1)),
            };
            let there = &bytes[..bytes.len().min(length)];
            match std::str::from_utf8(there) {
                Ok(text) => Some((text.chars().next().map(Key::Char), length)),
                Err(error) if error.error_len().is_none() => None,
                Err(_) => Some((None, 1)),
            }
        }
    }
}

fn escape(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    match bytes.get(1)? {
        b'O' => Some((letter(*bytes.get(2)?), 3)),
        b'[' => {
            let end = 2 + bytes[2..].iter().position(|byte| (0x40..=0x7e).contains(byte))?;
            if bytes.starts_with(PASTE_BEGINS) {
                let start = PASTE_BEGINS.len();
                let length = bytes[start..].windows(PASTE_ENDS.len()).position(|window| window == PASTE_ENDS)?;
                let text = String::from_utf8_lossy(&bytes[start..start + length]).into_owned();
                return Some((Some(Key::Paste(text)), start + length + PASTE_ENDS.len()));
            }
            let number = bytes[2..end].split(|byte| *byte == b';').next().unwrap_or_default();
            let key = match (bytes[end], number) {
                (b'~', b"1" | b"7") => Some(Key::Home),
                (b'~', b"3") => Some(Key::Delete),
                (b'~', b"4" | b"8") => Some(Key::End),
                (b'~', b"5") => Some(Key::PageUp),
                (b'~', b"6") => Some(Key::PageDown),
                (end, _) => letter(end),
            };
            Some((key, end + 1))
        }
        0x1b => Some((Some(Key::Escape), 1)),
        // Alt with a key: as without it would be something else than was meant.
        _ => Some((None, 2)),
    }
}

fn letter(letter: u8) -> Option<Key> {
    Some(match letter {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        b'M' => Key::Enter,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_keys_however_they_are_cut() {
        let all = "aé日😀\r\u{7f}\u{3}\u{1b}[A\u{1b}OB\u{1b}[5~\u{1b}[1;5C\u{1b}[3~\u{1b}[200~p\u{1b}[Aq\u{1b}[201~z";
        let expected = [
            Key::Char('a'),
            Key::Char('é'),
            Key::Char('日'),
            Key::Char('😀'),
            Key::Enter,
            Key::Backspace,
            Key::Control('c'),
            Key::Up,
            Key::Down,
            Key::PageUp,
            Key::Right,
            Key::Delete,
            Key::Paste("p\u{1b}[Aq".into()),
            Key::Char('z'),
        ];
        for size in 1..all.len() {
            let mut keys = Keys::default();
            let got: Vec<Key> = all.as_bytes().chunks(size).flat_map(|part| keys.feed(part)).collect();
            assert_eq!(got, expected, "in parts of {size}");
            assert!(!keys.is_waiting());
        }
    }

    #[test]
    fn an_escape_alone_is_a_key_once_nothing_follows_and_rubbish_is_none() {
        let mut keys = Keys::default();
        assert!(keys.feed(b"\x1b").is_empty() && keys.is_waiting());
        assert_eq!(keys.settle(), Some(Key::Escape));
        assert!(keys.feed(b"\x1b[1;").is_empty());
        assert_eq!((keys.settle(), keys.is_waiting()), (None, false));
        assert_eq!(keys.feed(b"\xff\xc3x\0\x1bf\x1b[99~y"), [Key::Char('x'), Key::Char('y')]);
        assert_eq!(keys.feed(b"\x1b\x1b[A"), [Key::Escape, Key::Up]);
    }

    #[test]
    fn a_paste_without_an_end_is_not_gathered_for_ever() {
        let mut keys = Keys::default();
        keys.feed(b"\x1b[200~");
        (0..20).for_each(|_| assert!(keys.feed(&[b'x'; 8192]).is_empty()));
        assert!(keys.bytes.len() <= MOST);
        assert!(matches!(&keys.feed(b"\x1b[201~y")[..], [Key::Paste(_), Key::Char('y')]));
    }
}
