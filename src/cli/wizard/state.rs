//! The wizard as a machine of states: pages, what happens on them, and what is to be done then. Pure: it neither draws,
//! reads nor writes; [`plain`](super::plain) and [`screen`](super::screen) show its pages, and the wizard's loop does
//! what it asks for.

use crate::profiles::{Answers, Question};
use serde_json::Value;

/// A profile to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// What it is for.
    pub summary: String,
    /// What a first run takes, in words.
    pub estimate: Option<String>,
}

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// Which profile.
    Profile,
    /// The question of that number, from 0.
    Question(usize),
    /// The plan.
    Plan,
    /// Where the answers are to be saved.
    Save,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The page was answered with these words.
    Answer(String),
    /// One page back.
    Back,
    /// Out.
    Leave,
    /// The chosen profile's questions are these.
    Questions(Vec<Question>),
    /// The plan is made.
    Planned(String),
    /// What was asked for can't be, and why.
    Refused(String),
    /// The answers are saved there.
    Saved(String),
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Show the page, and tell what happens on it.
    Show,
    /// Tell the questions of this profile.
    Questions(String),
    /// Make the plan.
    Plan,
    /// Save the answers in this file.
    Save(String),
    /// Make what was shown and agreed to.
    Install,
    /// End; nothing is kept.
    Leave,
}

/// The state.
#[derive(Debug, Clone)]
pub struct Wizard {
    /// The profiles there are.
    pub profiles: Vec<Choice>,
    /// Which of them is chosen.
    pub chosen: usize,
    /// What the chosen profile asks.
    pub questions: Vec<Question>,
    /// The answers so far, one for each question.
    pub values: Vec<Value>,
    /// The page that is shown.
    pub page: Page,
    /// The plan, as text.
    pub plan: String,
    /// What is to be told on this page: what is wrong with the last answer, or what was done.
    pub told: Option<String>,
}

impl Wizard {
    /// The first page; the profile of that name is chosen beforehand.
    pub fn new(profiles: Vec<Choice>, profile: Option<&str>) -> Self {
        let chosen = profiles.iter().position(|choice| Some(choice.name.as_str()) == profile).unwrap_or(0);
        Wizard {
            profiles,
            chosen,
            questions: Vec::new(),
            values: Vec::new(),
            page: Page::Profile,
            plan: String::new(),
            told: None,
        }
    }

    /// The chosen profile.
    pub fn profile(&self) -> Option<&Choice> {
        self.profiles.get(self.chosen)
    }

    /// All that was answered.
    pub fn answers(&self) -> Answers {
        let keys = self.questions.iter().map(|question| question.key.clone());
        Answers {
            profile: self.profile().map(|choice| choice.name.clone()),
            values: keys.zip(self.values.iter().cloned()).collect(),
        }
    }

    /// The answer that the page has so far, as a person would type it.
    pub fn given(&self) -> String {
        match self.page {
            Page::Profile => self.profile().map(|choice| choice.name.clone()).unwrap_or_default(),
            Page::Question(number) => match (self.questions.get(number), self.values.get(number)) {
                (Some(question), Some(value)) => question.typed(value),
                _ => String::new(),
            },
            Page::Plan | Page::Save => String::new(),
        }
    }

    /// What would be wrong with this answer, without giving it.
    pub fn objection(&self, line: &str) -> Option<String> {
        match self.page {
            Page::Question(number) => {
                let problem = self.questions.get(number)?.read(line).err()?;
                Some(match problem.hint {
                    Some(hint) => format!("{}; {hint}", problem.message),
                    None => problem.message,
                })
            }
            Page::Profile if self.find(line).is_none() => Some(format!("there is no profile \"{}\"", line.trim())),
            Page::Save if line.trim().is_empty() => Some("name a file".to_owned()),
            Page::Profile | Page::Plan | Page::Save => None,
        }
    }

    /// The next state, and what is to be done in it.
    pub fn on(&mut self, event: Event) -> Act {
        self.told = None;
        match event {
            Event::Leave => Act::Leave,
            Event::Answer(line) => self.answer(line.trim()),
            Event::Back => self.to(match self.page {
                Page::Plan if !self.questions.is_empty() => Page::Question(self.questions.len() - 1),
                Page::Question(number) if number > 0 => Page::Question(number - 1),
                Page::Save => Page::Plan,
                _ => Page::Profile,
            }),
            Event::Questions(questions) => {
                // What was answered before, on the way back to another profile, stays answered.
                let answered = |question: &Question| {
                    let before = self.questions.iter().position(|asked| asked.key == question.key);
                    before.and_then(|at| self.values.get(at).cloned())
                };
                self.values = questions.iter().map(|q| answered(q).unwrap_or_else(|| q.value.clone())).collect();
                self.questions = questions;
                self.question(0)
            }
            Event::Planned(text) => {
                self.plan = text;
                self.to(Page::Plan)
            }
            Event::Refused(why) => {
                self.told = Some(why);
                Act::Show
            }
            Event::Saved(path) => {
                self.page = Page::Plan;
                self.told = Some(format!("The answers are saved: vps-configurator wizard --answers {path}"));
                Act::Show
            }
        }
    }

    fn answer(&mut self, line: &str) -> Act {
        if let Some(objection) = self.objection(line) {
            self.told = Some(objection);
            return Act::Show;
        }
        match self.page {
            Page::Profile => {
                self.chosen = self.find(line).unwrap_or(self.chosen);
                Act::Questions(self.profile().map(|choice| choice.name.clone()).unwrap_or_default())
            }
            Page::Question(number) => {
                let read = self.questions.get(number).and_then(|question| question.read(line).ok());
                if let (Some(value), Some(place)) = (read, self.values.get_mut(number)) {
                    *place = value;
                }
                self.question(number + 1)
            }
            Page::Plan => match line.to_lowercase().as_str() {
                "y" | "yes" => Act::Install,
                "s" | "save" => self.to(Page::Save),
                _ => {
                    self.told = Some("Nothing is changed before a yes.".to_owned());
                    Act::Show
                }
            },
            Page::Save => Act::Save(line.to_owned()),
        }
    }

    /// The question of that number, or the plan after the last.
    fn question(&mut self, number: usize) -> Act {
        if number < self.questions.len() { self.to(Page::Question(number)) } else { Act::Plan }
    }

    fn to(&mut self, page: Page) -> Act {
        self.page = page;
        Act::Show
    }

    /// The profile of that name, or of that number in the list.
    fn find(&self, line: &str) -> Option<usize> {
        let line = line.trim();
        let number = line.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let by_name = self.profiles.iter().position(|choice| choice.name == line);
        by_name.or(number.filter(|number| *number < self.profiles.len()))
    }
}
