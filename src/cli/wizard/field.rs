//! What keys do within a page: a line that is edited, a list to choose from, a text to look through. Pure.

use super::keys::Key;
use super::state::{Page, Wizard};

/// The longest line that can be typed or pasted, in characters.
const LONGEST: usize = 4096;

/// What the page has for the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// A list, and which of it is marked.
    Menu {
        /// The words.
        words: Vec<String>,
        /// The marked one.
        at: usize,
    },
    /// A line.
    Line(Line),
    /// A text that is longer than the window, and the first line that is shown.
    Text {
        /// The line.
        top: usize,
    },
}

/// What a key asks for beyond the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    None,
    /// The answer is this.
    Answer(String),
    /// One page back.
    Back,
    /// Out.
    Leave,
}

impl Field {
    /// The field of the wizard's page, with the answer that there is so far.
    pub fn of(wizard: &Wizard) -> Field {
        let given = wizard.given();
        let menu = |words: Vec<String>| {
            let at = words.iter().position(|word| *word == given).unwrap_or(0);
            Field::Menu { words, at }
        };
        match wizard.page {
            Page::Profile => menu(wizard.profiles.iter().map(|choice| choice.name.clone()).collect()),
            Page::Question(number) => match wizard.questions.get(number).and_then(|question| question.choices()) {
                Some(words) => menu(words),
                None => Field::Line(Line::new(&given)),
            },
            Page::Plan => Field::Text { top: 0 },
            Page::Save => Field::Line(Line::new(&given)),
        }
    }

    /// The answer as it stands.
    pub fn answer(&self) -> String {
        match self {
            Field::Menu { words, at } => words.get(*at).cloned().unwrap_or_default(),
            Field::Line(line) => line.text(),
            Field::Text { .. } => String::new(),
        }
    }

    /// Takes a key. `lines` and `window`: how many lines a text has, and how many of them are shown at once.
    pub fn press(&mut self, key: &Key, lines: usize, window: usize) -> Wish {
        match key {
            Key::Control('c') => return Wish::Leave,
            Key::Escape => return Wish::Back,
            Key::Enter if !matches!(self, Field::Text { .. }) => return Wish::Answer(self.answer()),
            _ => {}
        }
        match self {
            Field::Line(line) => line.press(key),
            Field::Menu { words, at } => {
                let last = words.len().saturating_sub(1);
                match key {
                    Key::Up => *at = at.saturating_sub(1),
                    Key::Down => *at = (*at + 1).min(last),
                    Key::Home | Key::PageUp => *at = 0,
                    Key::End | Key::PageDown => *at = last,
                    Key::Char('q') => return Wish::Leave,
                    Key::Char(typed) => {
                        let begins = |word: &String| word.starts_with(*typed);
                        let next = words.iter().skip(*at + 1).position(begins).map(|found| *at + 1 + found);
                        *at = next.or_else(|| words.iter().position(begins)).unwrap_or(*at);
                    }
                    _ => {}
                }
            }
            Field::Text { top } => {
                let last = lines.saturating_sub(window);
                let page = window.saturating_sub(1).max(1);
                match key {
                    Key::Up => *top = top.saturating_sub(1),
                    Key::Down | Key::Enter => *top = (*top + 1).min(last),
                    Key::PageUp => *top = top.saturating_sub(page),
                    Key::PageDown | Key::Char(' ') => *top = (*top + page).min(last),
                    Key::Home => *top = 0,
                    Key::End => *top = last,
                    Key::Char('q') => return Wish::Leave,
                    Key::Char('b') => return Wish::Back,
                    Key::Char(word @ ('y' | 's')) => return Wish::Answer(word.to_string()),
                    _ => {}
                }
            }
        }
        Wish::None
    }
}

/// A line of text with a cursor in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    /// Its characters.
    pub chars: Vec<char>,
    /// Before which of them the cursor stands.
    pub cursor: usize,
}

impl Line {
    /// The text, and the cursor at its end.
    pub fn new(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        Line { cursor: chars.len(), chars }
    }

    /// The text.
    pub fn text(&self) -> String {
        self.chars.iter().collect()
    }

    fn press(&mut self, key: &Key) {
        match key {
            Key::Char(c) => self.insert(std::iter::once(*c)),
            Key::Paste(text) => self.insert(text.chars()),
            Key::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.chars.remove(self.cursor);
            }
            Key::Delete if self.cursor < self.chars.len() => {
                self.chars.remove(self.cursor);
            }
            Key::Left => self.cursor = self.cursor.saturating_sub(1),
            Key::Right => self.cursor = (self.cursor + 1).min(self.chars.len()),
            Key::Home | Key::Control('a') => self.cursor = 0,
            Key::End | Key::Control('e') => self.cursor = self.chars.len(),
            Key::Control('u') => {
                self.chars.drain(..self.cursor);
                self.cursor = 0;
            }
            Key::Control('k') => self.chars.truncate(self.cursor),
            Key::Control('w') => {
                let before = &self.chars[..self.cursor];
                let end = before.iter().rposition(|c| !c.is_whitespace()).map_or(0, |at| at + 1);
                let start = before[..end].iter().rposition(|c| c.is_whitespace()).map_or(0, |at| at + 1);
                self.chars.drain(start..self.cursor);
                self.cursor = start;
            }
            _ => {}
        }
    }

    /// Puts characters at the cursor. What steers a terminal is left out; a line's end counts as a blank.
    fn insert(&mut self, new: impl Iterator<Item = char>) {
        for c in new {
            let c = if c == '\n' || c == '\r' || c == '\t' { ' ' } else { c };
            if self.chars.len() < LONGEST && !c.is_control() {
                self.chars.insert(self.cursor, c);
                self.cursor += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &mut Line, keys: &[Key]) -> String {
        keys.iter().for_each(|key| line.press(key));
        let mut text = line.text();
        let at = line.chars[..line.cursor].iter().map(|c| c.len_utf8()).sum();
        text.insert(at, '|');
        text
    }

    #[test]
    fn a_line_is_edited_by_characters_also_wide_ones() {
        let mut line = Line::new("räksmörgås");
        assert_eq!(typed(&mut line, &[Key::Left, Key::Backspace, Key::Char('日')]), "räksmörg日|s");
        assert_eq!(typed(&mut line, &[Key::Home, Key::Delete, Key::Right]), "ä|ksmörg日s");
        assert_eq!(typed(&mut line, &[Key::Control('k'), Key::Char('!')]), "ä!|");
        let mut line = Line::new("one two  ");
        assert_eq!(typed(&mut line, &[Key::Control('w')]), "one |");
        assert_eq!(typed(&mut line, &[Key::Control('u'), Key::Backspace, Key::Delete, Key::Left]), "|");
    }

    #[test]
    fn what_is_pasted_keeps_nothing_that_steers_a_terminal_and_has_an_end() {
        let mut line = Line::default();
        assert_eq!(typed(&mut line, &[Key::Paste("a\r\nb\u{1b}[31m\tc\u{7f}".into())]), "a  b[31m c|");
        line.press(&Key::Paste("x".repeat(10_000)));
        assert_eq!(line.chars.len(), LONGEST);
    }

    #[test]
    fn a_list_is_walked_by_arrows_and_first_letters_and_stops_at_its_ends() {
        let words = ["minimal", "server", "medium"].map(str::to_owned).to_vec();
        let mut menu = Field::Menu { words, at: 0 };
        let mut press = |key: Key| {
            let wish = menu.press(&key, 0, 0);
            (menu.answer(), wish)
        };
        assert_eq!(press(Key::Up).0, "minimal");
        assert_eq!(press(Key::Char('m')).0, "medium");
        assert_eq!(press(Key::Down).0, "medium");
        assert_eq!(press(Key::Char('m')).0, "minimal");
        assert_eq!(press(Key::Char('z')).0, "minimal");
        assert_eq!(press(Key::Enter).1, Wish::Answer("minimal".into()));
        assert_eq!(press(Key::Escape).1, Wish::Back);
        assert_eq!((press(Key::Char('q')).1, press(Key::Control('c')).1), (Wish::Leave, Wish::Leave));
    }

    #[test]
    fn a_text_is_looked_through_to_its_last_line_and_enter_agrees_to_nothing() {
        let mut text = Field::Text { top: 0 };
        let mut press = |key: Key| {
            let wish = text.press(&key, 30, 10);
            assert!(wish == Wish::None || matches!(key, Key::Char('y')), "{key:?}");
            let Field::Text { top } = text else { panic!() };
            top
        };
        assert_eq!((press(Key::Enter), press(Key::PageDown), press(Key::End)), (1, 10, 20));
        assert_eq!((press(Key::Down), press(Key::Up), press(Key::Home), press(Key::PageUp)), (20, 19, 0, 0));
        press(Key::Char('y'));
    }
}
