//! What ratatui draws, as bytes for a terminal (ECMA-48): they are gathered, and written at once.

use ratatui::backend::{Backend, ClearType, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use ratatui::style::{Color, Modifier};
use std::io::{Error, Write};

/// A terminal that is written to, and asked for its size.
#[derive(Debug)]
pub struct Ansi<W, S> {
    to: W,
    size: S,
    colour: bool,
    gathered: String,
}

impl<W: Write, S: Fn() -> Size> Ansi<W, S> {
    /// Writes to `to`, whose size `size` tells. Without `colour` only bold and reversed letters are used.
    pub fn new(to: W, size: S, colour: bool) -> Self {
        Ansi { to, size, colour, gathered: String::new() }
    }

    fn style(&mut self, cell: &Cell) {
        let mut codes = String::from("0");
        for (modifier, code) in [(Modifier::BOLD, ";1"), (Modifier::DIM, ";2"), (Modifier::REVERSED, ";7")] {
            if cell.modifier.contains(modifier) {
                codes.push_str(code);
            }
        }
        if self.colour {
            codes.push_str(match cell.fg {
                Color::Red => ";31",
                Color::Green => ";32",
                Color::Yellow => ";33",
                Color::Cyan => ";36",
                _ => "",
            });
        }
        self.gathered.push_str(&format!("\u{1b}[{codes}m"));
    }
}

impl<W: Write, S: Fn() -> Size> Backend for Ansi<W, S> {
    type Error = Error;

    fn draw<'a, I: Iterator<Item = (u16, u16, &'a Cell)>>(&mut self, content: I) -> Result<(), Error> {
        let mut last: Option<(u16, u16, &Cell)> = None;
        for (x, y, cell) in content {
            if !last.is_some_and(|(before, row, one)| row == y && before + 1 == x && one.symbol().len() == 1) {
                self.set_cursor_position((x, y))?;
            }
            if !last.is_some_and(|(_, _, one)| (one.fg, one.modifier) == (cell.fg, cell.modifier)) {
                self.style(cell);
            }
            self.gathered.push_str(cell.symbol());
            last = Some((x, y, cell));
        }
        self.gathered.push_str("\u{1b}[0m");
        Ok(())
    }

    fn hide_cursor(&mut self) -> Result<(), Error> {
        self.gathered.push_str("\u{1b}[?25l");
        Ok(())
    }

    fn show_cursor(&mut self) -> Result<(), Error> {
        self.gathered.push_str("\u{1b}[?25h");
        Ok(())
    }

    /// Nobody asks: what is drawn fills the window, and each place is named.
    fn get_cursor_position(&mut self) -> Result<Position, Error> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> Result<(), Error> {
        let Position { x, y } = position.into();
        self.gathered.push_str(&format!("\u{1b}[{};{}H", u32::from(y) + 1, u32::from(x) + 1));
        Ok(())
    }

    fn clear(&mut self) -> Result<(), Error> {
        self.clear_region(ClearType::All)
    }

    fn clear_region(&mut self, region: ClearType) -> Result<(), Error> {
        self.gathered.push_str(match region {
            ClearType::All => "\u{1b}[2J",
            ClearType::AfterCursor => "\u{1b}[J",
            ClearType::BeforeCursor => "\u{1b}[1J",
            ClearType::CurrentLine => "\u{1b}[2K",
            ClearType::UntilNewLine => "\u{1b}[K",
        });
        Ok(())
    }

    fn size(&self) -> Result<Size, Error> {
        Ok((self.size)())
    }

    fn window_size(&mut self) -> Result<WindowSize, Error> {
        Ok(WindowSize { columns_rows: (self.size)(), pixels: Size::default() })
    }

    fn flush(&mut self) -> Result<(), Error> {
        let gathered = std::mem::take(&mut self.gathered);
        self.to.write_all(gathered.as_bytes())?;
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::style::Style;

    fn drawn(colour: bool) -> String {
        let mut bytes = Vec::new();
        let mut terminal = Terminal::new(Ansi::new(&mut bytes, || Size::new(8, 2), colour)).unwrap();
        terminal
            .draw(|frame| {
                frame.buffer_mut().set_string(0, 0, "a日b", Style::new().fg(Color::Red).add_modifier(Modifier::BOLD));
                frame.buffer_mut().set_string(1, 1, "c", Style::new());
            })
            .unwrap();
        drop(terminal);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn cells_are_bytes_with_places_where_they_do_not_follow_each_other() {
        let text = drawn(true);
        assert!(text.contains("\u{1b}[1;1H\u{1b}[0;1;31ma日\u{1b}[1;4Hb"), "{text:?}");
        assert!(text.contains("\u{1b}[2;2H\u{1b}[0mc"), "{text:?}");
    }

    #[test]
    fn without_colour_letters_are_bold_at_most() {
        let text = drawn(false);
        assert!(text.contains("\u{1b}[0;1ma日") && !text.contains("31"), "{text:?}");
    }
}
