//! The report: a table for each chapter, as Markdown and as JSON.

use crate::gauge::Cost;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;

/// A bound to hold, and what was measured of it.
#[derive(Debug, Clone)]
struct Target {
    what: String,
    is: f64,
    at_most: f64,
    unit: &'static str,
}

/// Who did something, and what it cost.
#[derive(Debug, Clone)]
struct Row {
    who: String,
    cost: Cost,
    rounds: usize,
}

/// One table, and the targets that stand on it.
#[derive(Debug, Default)]
struct Chapter {
    title: String,
    rows: Vec<Row>,
    targets: Vec<Target>,
    notes: Vec<String>,
}

/// All of it.
#[derive(Debug)]
pub struct Report {
    rounds: usize,
    chapters: Vec<Chapter>,
    broken: Vec<String>,
}

impl Report {
    pub fn new(rounds: usize) -> Self {
        Report { rounds, chapters: Vec::new(), broken: Vec::new() }
    }

    /// Begins a table; what follows belongs to it.
    pub fn chapter(&mut self, title: &str) {
        self.chapters.push(Chapter { title: title.to_owned(), ..Chapter::default() });
    }

    /// A row: the median of `costs`. The first row of a table is what the others are compared with.
    pub fn row(&mut self, who: &str, costs: &[Cost]) -> Cost {
        let cost = Cost::median(costs);
        eprintln!("performance:   {who}: {:.1} ms CPU ({:.1} user), {:.1} ms", cost.cpu(), cost.user, cost.wall);
        if let Some(chapter) = self.chapters.last_mut() {
            chapter.rows.push(Row { who: who.to_owned(), cost, rounds: costs.len() });
        }
        cost
    }

    /// Says a figure with the bound that it should hold.
    pub fn target(&mut self, what: &str, is: f64, at_most: f64, unit: &'static str) {
        if let Some(chapter) = self.chapters.last_mut() {
            chapter.targets.push(Target { what: what.to_owned(), is, at_most, unit });
        }
    }

    /// A sentence below the table.
    pub fn note(&mut self, text: impl Into<String>) {
        if let Some(chapter) = self.chapters.last_mut() {
            chapter.notes.push(text.into());
        }
    }

    /// A chapter or a contender that could not be measured.
    pub fn broken(&mut self, what: &str) {
        self.broken.push(what.to_owned());
    }

    /// Whether everything could be measured.
    pub fn is_whole(&self) -> bool {
        self.broken.is_empty()
    }

    pub fn markdown(&self) -> String {
        let mut text = format!("# Performance: medians of {} back-to-back rounds\n", self.rounds);
        for chapter in &self.chapters {
            let _ = write!(text, "\n## {}\n\n", chapter.title);
            if !chapter.rows.is_empty() {
                text.push_str("| who | user | system | CPU | x first row | wall | x first row | peak RSS | rounds |\n");
                text.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
            }
            let first = chapter.rows.first().map_or_else(Cost::default, |row| row.cost);
            let over = |part: f64, whole: f64| if whole > 0.0 { format!("{:.2}", part / whole) } else { String::new() };
            for Row { who, cost, rounds } in &chapter.rows {
                let rss = if cost.rss > 0.0 { format!("{:.1} MB", cost.rss / 1024.0) } else { String::new() };
                let _ = writeln!(
                    text,
                    "| {who} | {} | {} | {} | {} | {} | {} | {rss} | {rounds} |",
                    time(cost.user),
                    time(cost.system),
                    time(cost.cpu()),
                    over(cost.cpu(), first.cpu()),
                    time(cost.wall),
                    over(cost.wall, first.wall),
                );
            }
            if !chapter.targets.is_empty() {
                text.push('\n');
            }
            for Target { what, is, at_most, unit } in &chapter.targets {
                let word = if is <= at_most { "ok" } else { "MISS" };
                let _ = writeln!(text, "- {word}: {what}: {is:.2} {unit} (at most {at_most} {unit})");
            }
            for note in &chapter.notes {
                let _ = writeln!(text, "- {note}");
            }
        }
        for broken in &self.broken {
            let _ = writeln!(text, "\nNot measured: {broken}");
        }
        text
    }

    fn json(&self) -> Value {
        let row = |row: &Row| {
            json!({"who": row.who, "rounds": row.rounds, "user_ms": row.cost.user, "system_ms": row.cost.system,
                "wall_ms": row.cost.wall, "rss_kb": row.cost.rss})
        };
        let target = |t: &Target| json!({"what": t.what, "is": t.is, "at_most": t.at_most, "unit": t.unit, "held": t.is <= t.at_most});
        let chapter = |c: &Chapter| {
            json!({"title": c.title, "rows": c.rows.iter().map(row).collect::<Vec<_>>(),
                "targets": c.targets.iter().map(target).collect::<Vec<_>>(), "notes": c.notes})
        };
        json!({"rounds": self.rounds, "chapters": self.chapters.iter().map(chapter).collect::<Vec<_>>(),
            "not_measured": self.broken})
    }

    /// Writes `report.md` and `report.json` into a folder.
    pub fn keep(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::write(folder.join("report.md"), self.markdown())?;
        std::fs::write(folder.join("report.json"), format!("{:#}\n", self.json()))
    }
}

/// Milliseconds for people.
fn time(milliseconds: f64) -> String {
    if milliseconds >= 1000.0 { format!("{:.2} s", milliseconds / 1e3) } else { format!("{milliseconds:.1} ms") }
}
