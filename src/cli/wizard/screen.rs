//! The wizard's pages on a whole screen: a head, the page, what is wrong with it, which keys do what. Draws only.

use super::field::{Field, Line};
use super::state::{Page, Wizard};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect, Size};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;

/// The smallest window that a page fits in.
pub const SMALLEST: Size = Size::new(60, 15);

/// How long a line that is read may be; a wider window stays empty beside it.
const WIDEST: u16 = 100;

/// Rows above the page and below it.
const HEAD: u16 = 3;
const FOOT: u16 = 2;

/// Whether the window is too small to draw a page.
pub fn is_too_small(size: Size) -> bool {
    size.width < SMALLEST.width || size.height < SMALLEST.height
}

/// How many rows of a text a window of this size shows, and the text's rows in it.
pub fn text_rows(wizard: &Wizard, size: Size) -> (usize, Vec<String>) {
    let told = told(wizard, size.width).len();
    let rows = usize::from(size.height.saturating_sub(HEAD + FOOT)).saturating_sub(told).max(1);
    (rows, fold(&wizard.plan, usize::from(size.width.saturating_sub(2)).max(1)))
}

/// Draws the page; returns where the cursor stands, if it has a place.
pub fn draw(wizard: &Wizard, field: &Field, buffer: &mut Buffer) -> Option<Position> {
    let area = buffer.area;
    if is_too_small(area.as_size()) {
        let words = format!("This window is too small: {} by {} at least.", SMALLEST.width, SMALLEST.height);
        for (row, line) in (0..area.height).zip(fold(&words, usize::from(area.width).max(1))) {
            buffer.set_string(0, row, line, Style::new());
        }
        return None;
    }
    let mut page = Pen { buffer, row: 0, end: area.height - FOOT, width: area.width };
    head(wizard, &mut page);
    let told = told(wizard, area.width);
    let lines = u16::try_from(told.len()).unwrap_or(u16::MAX).min(page.end - HEAD - 3);
    page.end -= lines;
    let cursor = match wizard.page {
        Page::Profile => profiles(wizard, field, &mut page),
        Page::Question(number) => question(wizard, number, field, &mut page),
        Page::Plan => plan(wizard, field, &mut page),
        Page::Save => save(wizard, field, &mut page),
    };
    (page.row, page.end) = (page.end, area.height - FOOT);
    told.iter().take(usize::from(lines)).for_each(|line| page.line(line, bold().fg(Color::Yellow)));
    foot(wizard, field, &mut page, area);
    cursor
}

/// Writes lines from above to below.
struct Pen<'a> {
    buffer: &'a mut Buffer,
    row: u16,
    end: u16,
    width: u16,
}

impl Pen<'_> {
    /// One line, cut where the window ends.
    fn line(&mut self, text: &str, style: Style) {
        if self.row < self.end {
            self.buffer.set_stringn(1, self.row, text, usize::from(self.width.saturating_sub(2)), style);
            self.row += 1;
        }
    }

    /// A text, broken at blanks.
    fn text(&mut self, text: &str, style: Style) {
        let width = usize::from(self.width.min(WIDEST).saturating_sub(2)).max(1);
        fold(text, width).iter().for_each(|line| self.line(line, style));
    }

    /// Rows that are left.
    fn left(&self) -> usize {
        usize::from(self.end.saturating_sub(self.row))
    }
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn head(wizard: &Wizard, page: &mut Pen<'_>) {
    let name = wizard.profile().map(|choice| choice.name.as_str()).unwrap_or_default();
    let where_ = match wizard.page {
        Page::Profile => "Profile".to_owned(),
        Page::Question(number) => format!("{name}: question {} of {}", number + 1, wizard.questions.len()),
        Page::Plan => format!("{name}: the plan"),
        Page::Save => format!("{name}: save the answers"),
    };
    page.buffer.set_string(1, 0, "vps-configurator", bold().fg(Color::Cyan));
    let room = usize::from(page.width).saturating_sub(20);
    let start = page.width.saturating_sub(u16::try_from(width(&where_).min(room)).unwrap_or(0) + 1);
    page.buffer.set_stringn(start, 0, &where_, room, bold());
    page.buffer.set_string(0, 1, "─".repeat(usize::from(page.width)), dim());
    page.row = HEAD;
}

fn profiles(wizard: &Wizard, field: &Field, page: &mut Pen<'_>) -> Option<Position> {
    page.text("What is this host to be? Nothing is changed before you have seen the plan.", Style::new());
    page.row += 1;
    let Field::Menu { at, .. } = field else { return None };
    let longest = wizard.profiles.iter().map(|choice| width(&choice.name)).max().unwrap_or(0);
    let rows: Vec<String> = wizard
        .profiles
        .iter()
        .map(|c| format!("{}{}  {}", c.name, " ".repeat(longest - width(&c.name)), c.title))
        .collect();
    // Below the list: what the marked profile is, in three lines, and what it takes.
    menu(&rows, *at, page.left().saturating_sub(5), page);
    page.row += 1;
    if let Some(choice) = wizard.profiles.get(*at) {
        page.text(choice.summary.trim(), Style::new());
        page.text(choice.estimate.as_deref().unwrap_or_default(), dim());
    }
    None
}

fn question(wizard: &Wizard, number: usize, field: &Field, page: &mut Pen<'_>) -> Option<Position> {
    let question = wizard.questions.get(number)?;
    page.text(&question.help, bold());
    page.line(&question.key, dim());
    page.row += 1;
    match field {
        Field::Menu { words, at } => {
            menu(words, *at, page.left(), page);
            None
        }
        Field::Line(line) => {
            let cursor = edited(line, page);
            page.row += 1;
            if let Some(objection) = wizard.objection(&line.text()) {
                page.text(&objection, Style::new().fg(Color::Red));
            }
            cursor
        }
        Field::Text { .. } => None,
    }
}

fn plan(wizard: &Wizard, field: &Field, page: &mut Pen<'_>) -> Option<Position> {
    let Field::Text { top } = field else { return None };
    let (rows, text) = text_rows(wizard, page.buffer.area.as_size());
    let top = (*top).min(text.len().saturating_sub(rows));
    for line in text.iter().skip(top).take(rows) {
        let style = match line.trim_start().chars().next() {
            Some('+') => Style::new().fg(Color::Green),
            Some('-' | '!') => Style::new().fg(Color::Red),
            Some('~') => Style::new().fg(Color::Yellow),
            _ if !line.starts_with(' ') => bold(),
            _ => Style::new(),
        };
        page.line(line, style);
    }
    let last = (top + rows).min(text.len());
    let seen = format!(" {}-{last} of {} ", top + 1, text.len());
    let start = page.width.saturating_sub(u16::try_from(width(&seen)).unwrap_or(0) + 2);
    page.buffer.set_string(start, 1, seen, Style::new());
    None
}

fn save(wizard: &Wizard, field: &Field, page: &mut Pen<'_>) -> Option<Position> {
    page.text("Save the answers in which file? Another host can take them: wizard --answers FILE.", bold());
    page.row += 1;
    for (key, value) in wizard.answers().values {
        page.line(&format!("{key} = {value}"), dim());
    }
    page.row += 1;
    match field {
        Field::Line(line) => edited(line, page),
        _ => None,
    }
}

/// A list with one line marked; as much of it as fits into so many rows.
fn menu(rows: &[String], at: usize, room: usize, page: &mut Pen<'_>) {
    let room = room.max(1);
    let top = (at + 1).saturating_sub(room);
    for (number, row) in rows.iter().enumerate().skip(top).take(room) {
        let (sign, style) =
            if number == at { ('>', Style::new().add_modifier(Modifier::REVERSED)) } else { (' ', Style::new()) };
        page.line(&format!("{sign} {row} "), style);
    }
}

/// A line with its cursor: the part of it around the cursor, where it is longer than the window.
fn edited(line: &Line, page: &mut Pen<'_>) -> Option<Position> {
    let room = usize::from(page.width.min(WIDEST)).saturating_sub(6).max(1);
    let mut start = line.cursor;
    let mut before = 0;
    while start > 0 && before + wide(line.chars[start - 1]) < room {
        start -= 1;
        before += wide(line.chars[start]);
    }
    let shown: String = line.chars[start..].iter().collect();
    let row = page.row;
    let sign = if start > 0 { '<' } else { '>' };
    page.buffer.set_string(1, row, sign.to_string(), bold().fg(Color::Cyan));
    page.buffer.set_stringn(3, row, shown, room, Style::new());
    page.row += 1;
    Some(Position::new(3 + u16::try_from(before).unwrap_or(0), row))
}

/// What is to be told, above the keys.
fn told(wizard: &Wizard, width: u16) -> Vec<String> {
    wizard.told.iter().flat_map(|told| fold(told, usize::from(width.saturating_sub(2)).max(1))).collect()
}

fn foot(wizard: &Wizard, field: &Field, page: &mut Pen<'_>, area: Rect) {
    // Each fits the smallest window.
    let keys = match (wizard.page, field) {
        (Page::Profile, _) => "Enter choose   ↑ ↓ move   q leave, nothing is changed",
        (Page::Plan, _) => "y install   s save answers   b back   Space more   q leave",
        (Page::Save, _) => "Enter save   Esc back   Ctrl-C leave",
        (_, Field::Menu { .. }) => "Enter next   ↑ ↓ move   Esc back   q leave",
        _ => "Enter next   Esc back   Ctrl-U empty   Ctrl-C leave",
    };
    page.buffer.set_string(0, area.height - 2, "─".repeat(usize::from(area.width)), dim());
    (page.row, page.end) = (area.height - 1, area.height);
    page.line(keys, Style::new());
}

/// How many columns a text takes.
fn width(text: &str) -> usize {
    Span::raw(text).width()
}

fn wide(c: char) -> usize {
    width(c.encode_utf8(&mut [0; 4]))
}

/// The lines of a text, broken so that none is wider: at a blank where there is one, the rest indented as the line is.
fn fold(text: &str, widest: usize) -> Vec<String> {
    let mut rows = Vec::new();
    for line in text.lines() {
        let indent: String = line.chars().take_while(|c| *c == ' ').take(widest / 2).collect();
        let line = line.replace('\t', "    ");
        let mut rest: Vec<char> = line.chars().filter(|c| !c.is_control()).collect();
        loop {
            let mut taken = 0;
            let fits = rest.iter().take_while(|c| {
                taken += wide(**c);
                taken <= widest
            });
            let fits = fits.count();
            if fits == rest.len() {
                rows.push(rest.iter().collect());
                break;
            }
            let first = rest.iter().position(|c| *c != ' ').unwrap_or(0);
            let blank = rest[..=fits].iter().rposition(|c| *c == ' ').filter(|at| *at > first);
            let cut = blank.unwrap_or(fits.max(1));
            rows.push(rest[..cut].iter().collect());
            let after = rest[cut..].iter().skip_while(|c| **c == ' ');
            rest = indent.chars().chain(after.copied()).collect();
        }
    }
    rows
}
