//! Walks through the wizard, from its first page to its last, and what its pages look like.

use super::field::{Field, Line};
use super::keys::Key;
use super::screen;
use super::state::{Act, Choice, Event, Page, Wizard};
use crate::base::yaml::Source;
use crate::modules::{Catalogue, ModuleSource};
use crate::profiles::input::Inputs;
use crate::profiles::{Profiles, Question, check, questions};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

const MODULE: &str = "name: base
summary: a test
options:
  name: {type: string, pattern: '[a-zå-ö日]*', default: '', help: 'Name of the host; empty keeps the name it has'}
  level: {type: integer, min: 0, max: 9, default: 3, help: How loud}
  on: {type: boolean, default: true, help: Whether people may come in with a password}
  side: {type: choice, choices: [left, right], default: right, help: Where}
  people: {type: list, items: {type: string, pattern: '[a-z]+'}, default: [], help: Who}
  sites: {type: list, items: {type: map, fields: {name: {type: string}}}, default: [], help: What}
";

fn asked(keys: &[&str]) -> Vec<Question> {
    let module = ModuleSource {
        dir: PathBuf::from("/m/base"),
        builtin: true,
        manifest: Source::new("/m/base/module.yaml", MODULE),
        files: BTreeMap::new(),
    };
    let catalogue = Catalogue::new(vec![module]).unwrap();
    let ask: String = keys.iter().map(|key| format!("  - modules.base.{key}\n")).collect();
    let ask = if keys.is_empty() { " []".to_owned() } else { format!("\n{ask}") };
    let text = format!("title: T\nsummary: S\nmodules: {{base: }}\nask:{ask}");
    let inputs = Inputs {
        profiles: vec![(Source::new("/p/one.yaml", text), true)],
        profile: Some("one".into()),
        ..Inputs::default()
    };
    let configuration = check(&catalogue, &inputs).unwrap();
    let profiles = Profiles::read(&inputs, &Default::default());
    questions(&catalogue, &profiles, &configuration)
}

fn wizard() -> Wizard {
    let choice = |name: &str| Choice {
        name: name.to_owned(),
        title: format!("The {name} one"),
        summary: format!("What {name} is for, said in so many words that they fill more than one line of a window"),
        estimate: Some("About 3 minutes, 60 MB to fetch, 270 MB on disk.".to_owned()),
    };
    Wizard::new(["beginner", "minimal", "server"].map(choice).to_vec(), Some("minimal"))
}

fn at(keys: &[&str]) -> Wizard {
    let mut wizard = wizard();
    assert_eq!(wizard.on(Event::Answer("minimal".into())), Act::Questions("minimal".into()));
    wizard.on(Event::Questions(asked(keys)));
    wizard
}

#[test]
fn from_a_profile_over_its_questions_to_a_plan_and_a_yes() {
    let mut wizard = wizard();
    assert_eq!(wizard.given(), "minimal", "what is configured is chosen");
    assert_eq!(wizard.on(Event::Answer("4".into())), Act::Show);
    assert_eq!(wizard.told.as_deref(), Some("there is no profile \"4\""));
    assert_eq!(wizard.on(Event::Answer("1".into())), Act::Questions("beginner".into()));
    assert_eq!(wizard.on(Event::Questions(asked(&["name", "level"]))), Act::Show);
    assert_eq!((wizard.page, wizard.given()), (Page::Question(0), String::new()));
    assert_eq!(wizard.on(Event::Answer(" år ".into())), Act::Show);
    assert_eq!((wizard.page, wizard.given()), (Page::Question(1), "3".to_owned()));
    wizard.on(Event::Answer("12".into()));
    assert_eq!((wizard.page, wizard.told.as_deref()), (Page::Question(1), Some("12 must be between 0 and 9")));
    assert_eq!(wizard.on(Event::Answer("7".into())), Act::Plan);
    assert_eq!(wizard.on(Event::Planned("the plan".into())), Act::Show);
    assert_eq!((wizard.page, &*wizard.plan), (Page::Plan, "the plan"));
    assert_eq!(wizard.on(Event::Answer(String::new())), Act::Show, "only a yes is a yes");
    assert_eq!(wizard.on(Event::Answer("s".into())), Act::Show);
    assert_eq!(wizard.on(Event::Answer("/tmp/a".into())), Act::Save("/tmp/a".into()));
    wizard.on(Event::Saved("/tmp/a".into()));
    assert!(wizard.page == Page::Plan && wizard.told.as_deref().is_some_and(|told| told.contains("--answers /tmp/a")));
    assert_eq!(wizard.on(Event::Answer("Yes".into())), Act::Install);
    let answers = wizard.answers();
    assert_eq!(answers.profile.as_deref(), Some("beginner"));
    assert_eq!(
        answers.sets(),
        ["modules.base.name=\"år\"", "modules.base.level=7"]
            .map(|s| s.replace("\"år\"", &crate::base::yaml::edit::flow(&json!("år"))))
    );
}

#[test]
fn the_way_back_keeps_what_was_answered_and_leads_out_at_any_time() {
    let mut wizard = at(&["level", "side"]);
    wizard.on(Event::Answer("5".into()));
    assert_eq!(wizard.page, Page::Question(1));
    wizard.on(Event::Back);
    assert_eq!((wizard.page, wizard.given()), (Page::Question(0), "5".to_owned()));
    wizard.on(Event::Back);
    wizard.on(Event::Back);
    assert_eq!(wizard.page, Page::Profile);
    wizard.on(Event::Answer("server".into()));
    wizard.on(Event::Questions(asked(&["side", "level"])));
    assert_eq!(wizard.values, [json!("right"), json!(5)]);
    for page in [Page::Profile, Page::Question(0), Page::Plan, Page::Save] {
        wizard.page = page;
        assert_eq!(wizard.clone().on(Event::Leave), Act::Leave, "{page:?}");
    }
    wizard.page = Page::Plan;
    wizard.on(Event::Back);
    assert_eq!(wizard.page, Page::Question(1));
}

#[test]
fn what_cannot_be_is_told_where_it_can_be_answered_otherwise() {
    let mut wizard = at(&["level"]);
    assert_eq!(wizard.on(Event::Answer("1".into())), Act::Plan);
    assert_eq!(wizard.on(Event::Refused("no room\nmake some".into())), Act::Show);
    assert_eq!((wizard.page, wizard.told.as_deref()), (Page::Question(0), Some("no room\nmake some")));
    let mut wizard = at(&[]);
    assert_eq!(wizard.on(Event::Answer("server".into())), Act::Questions("server".into()));
    assert_eq!(wizard.on(Event::Questions(Vec::new())), Act::Plan, "a profile that asks nothing leads to its plan");
    wizard.on(Event::Refused("no".into()));
    assert_eq!(wizard.page, Page::Profile);
}

#[test]
fn an_answer_is_read_as_its_option_wants_it() {
    let all = asked(&["name", "level", "on", "side", "people", "sites"]);
    let read = |at: usize, line: &str| all[at].read(line).map_err(|problem| problem.message);
    assert_eq!(read(0, ""), Ok(json!("")));
    assert_eq!(read(0, "日"), Ok(json!("日")));
    assert!(read(0, "A B").unwrap_err().contains("does not match the pattern"));
    assert!(read(0, "a\u{1b}[31m").unwrap_err().contains("can't be part of it"));
    assert_eq!(read(1, " 4 "), Ok(json!(4)));
    assert!(read(1, "").is_err() && read(1, "4.5").is_err() && read(1, "[").is_err() && read(1, "a: b").is_err());
    for (line, on) in [("yes", true), ("Y", true), ("true", true), ("on", true), ("no", false), ("N", false)] {
        assert_eq!(read(2, line), Ok(json!(on)), "{line}");
    }
    assert!(read(2, "perhaps").is_err() && read(2, "").is_err());
    assert_eq!((read(3, "left"), read(3, "up").is_err()), (Ok(json!("left")), true));
    assert_eq!(read(4, "ada, bob,"), Ok(json!(["ada", "bob"])));
    assert_eq!(read(4, "[ada, bob]"), Ok(json!(["ada", "bob"])));
    assert_eq!((read(4, ""), read(4, "[]")), (Ok(json!([])), Ok(json!([]))));
    assert!(read(4, "ada, Bob").unwrap_err().contains("\"Bob\" does not match"));
    assert_eq!(read(5, "[{name: a}]"), Ok(json!([{"name": "a"}])));
    assert!(read(5, "[{nmae: a}]").is_err() && read(5, "[{name: a}").is_err());
    for (at, value) in
        [(0, json!("日")), (1, json!(4)), (2, json!(false)), (4, json!(["ada", "bob"])), (5, json!([{"name": "a"}]))]
    {
        assert_eq!(all[at].read(&all[at].typed(&value)).unwrap(), value, "what is shown can be typed");
    }
}

/// The rows of a page on a window of that size, and where the cursor stands.
fn drawn(wizard: &Wizard, field: &Field, width: u16, height: u16) -> (Vec<String>, Option<(u16, u16)>) {
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    let cursor = screen::draw(wizard, field, &mut buffer).map(|at| (at.x, at.y));
    let row = |y: u16| {
        let mut row = String::new();
        let mut x = 0;
        while x < width {
            let symbol = buffer[(x, y)].symbol();
            row.push_str(symbol);
            x += u16::try_from(ratatui::text::Span::raw(symbol).width().max(1)).unwrap();
        }
        row.trim_end().to_owned()
    };
    ((0..height).map(row).collect(), cursor)
}

#[test]
fn every_page_fits_the_smallest_window_and_a_large_one() {
    let mut wizard = at(&["name", "on", "people"]);
    wizard.plan = (0..200)
        .map(|n| format!("  + file:/etc/{n}: a change that is said in more words than one row holds, surely\n"))
        .collect();
    for (width, height) in [(60, 15), (80, 24), (120, 40), (300, 100)] {
        for page in [Page::Profile, Page::Question(0), Page::Question(1), Page::Question(2), Page::Plan, Page::Save] {
            wizard.page = page;
            for told in [None, Some("why\n".repeat(50))] {
                wizard.told = told;
                let (rows, _) = drawn(&wizard, &Field::of(&wizard), width, height);
                assert!(rows[0].starts_with(" vps-configurator"), "{page:?} {width}x{height}");
                let keys = &rows[usize::from(height) - 1];
                assert!(keys.contains(" leave"), "{page:?} {width}x{height}: {keys}");
                assert!(rows[3].len() > 2, "{page:?} {width}x{height}: there is a page below the head: {rows:#?}");
            }
        }
    }
    let (rows, cursor) = drawn(&wizard, &Field::of(&wizard), 59, 15);
    assert!(rows[0].starts_with("This window is too small: 60 by 15") && cursor.is_none());
    drawn(&wizard, &Field::of(&wizard), 1, 1);
}

#[test]
fn what_is_wrong_with_an_answer_stands_below_it_while_it_is_typed() {
    let wizard = at(&["name"]);
    let mut field = Field::of(&wizard);
    field.press(&Key::Char('å'), 0, 0);
    assert!(!drawn(&wizard, &field, 80, 24).0.join("\n").contains("does not match"));
    field.press(&Key::Char('!'), 0, 0);
    let (rows, cursor) = drawn(&wizard, &field, 80, 24);
    assert_eq!((&*rows[6], cursor), (" > å!", Some((5, 6))), "{rows:#?}");
    assert!(rows[8].contains("\"å!\" does not match the pattern"), "{rows:#?}");
}

#[test]
fn of_a_long_or_wide_line_the_part_around_the_cursor_is_shown() {
    let wizard = at(&["name"]);
    for text in ["日".repeat(500), "å".repeat(500), format!("{}日", "a".repeat(500))] {
        let mut line = Line::new(&text);
        for _ in 0..3 {
            let (rows, cursor) = drawn(&wizard, &Field::Line(line.clone()), 80, 24);
            let (x, y) = cursor.unwrap();
            assert!(x < 80 && y == 6, "{x} {y}");
            assert!(ratatui::text::Span::raw(&*rows[6]).width() <= 80);
            line.cursor /= 20;
        }
    }
    let (rows, _) = drawn(&wizard, &Field::Line(Line::new(&"x".repeat(500))), 80, 24);
    assert!(rows[6].starts_with(" < x"), "{}", rows[6]);
}

#[test]
fn a_list_longer_than_the_window_shows_the_marked_line() {
    let mut wizard = wizard();
    let one = wizard.profiles[0].clone();
    wizard.profiles = (0..50).map(|n| Choice { name: format!("p{n}"), ..one.clone() }).collect();
    for at in [0, 3, 20, 49] {
        let words = wizard.profiles.iter().map(|choice| choice.name.clone()).collect();
        let (rows, _) = drawn(&wizard, &Field::Menu { words, at }, 60, 15);
        assert!(rows.iter().any(|row| row.starts_with(&format!(" > p{at} "))), "{at}: {rows:#?}");
        assert!(rows.iter().any(|row| row.contains("About 3 minutes")), "{at}: {rows:#?}");
    }
}

#[test]
fn the_plan_is_seen_to_its_last_line() {
    let mut wizard = at(&["name"]);
    wizard.plan = (0..100).map(|n| format!("line {n}\n")).collect();
    wizard.page = Page::Plan;
    let mut field = Field::of(&wizard);
    let size = ratatui::layout::Size::new(80, 24);
    let (window, lines) = screen::text_rows(&wizard, size);
    field.press(&Key::End, lines.len(), window);
    let (rows, _) = drawn(&wizard, &field, 80, 24);
    assert_eq!((&*rows[3], &*rows[21]), (" line 81", " line 99"), "{rows:#?}");
    assert!(rows[1].contains("82-100 of 100"), "{}", rows[1]);
    // A window that grew since shows as much as there is.
    let (rows, _) = drawn(&wizard, &field, 80, 60);
    assert_eq!(&*rows[57], " line 99");
}
