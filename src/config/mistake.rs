//! What is wrong with a configuration file, where, and what to do about it.

use std::cell::{Cell, RefCell};
use std::fmt;

/// Mistakes that are told; of more, how many there are.
const MOST_TOLD: usize = 100;

/// Names among which the one is looked for that was probably meant.
const MOST_COMPARED: usize = 1000;

/// Names that are told where none of them was probably meant.
const MOST_NAMED: usize = 50;

/// The longest text that may be a misspelt name.
const LONGEST_NAME: usize = 256;

/// One thing that is wrong in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line in the file, from 1.
    pub line: usize,
    /// Path in the file, such as `scenarios.general.targets[1]`; empty where it cannot be told.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// What would put it right.
    pub remedy: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            path,
            what,
            remedy,
        } = self;
        write!(f, "{line}: ")?;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        write!(f, "{what}; {remedy}")
    }
}

/// Everything that is wrong in one configuration file, in the order of its lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// The mistakes, in the order of their lines.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, mistake) in self.0.iter().enumerate() {
            if position > 0 {
                writeln!(f)?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Where the readers note what is wrong while they read on.
pub(super) struct Notes {
    /// Where each line of the text begins.
    lines: Vec<usize>,
    syntax_is_broken: bool,
    mistakes: RefCell<Vec<Mistake>>,
    /// Mistakes beyond those.
    untold: Cell<usize>,
}

impl Notes {
    /// Begins with the errors of the TOML parser.
    pub(super) fn new(text: &str, syntax_errors: &[toml::de::Error]) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let notes = Self {
            lines: [0].into_iter().chain(ends.map(|(at, _)| at + 1)).collect(),
            syntax_is_broken: !syntax_errors.is_empty(),
            mistakes: RefCell::default(),
            untold: Cell::default(),
        };
        for error in syntax_errors {
            let at = error.span().map_or(0, |span| span.start);
            notes.add(
                at,
                String::new(),
                error.message().to_owned(),
                "correct the TOML".to_owned(),
            );
        }
        notes
    }

    /// What was noted, if anything was.
    pub(super) fn into_mistakes(self) -> Option<Mistakes> {
        let mut mistakes = self.mistakes.into_inner();
        if mistakes.is_empty() {
            return None;
        }
        mistakes.sort_by_key(|mistake| mistake.line);
        mistakes.dedup();
        if let Some(last) = mistakes.last().filter(|_| self.untold.get() > 0) {
            mistakes.push(Mistake {
                line: last.line,
                path: String::new(),
                what: format!("there are {} more mistakes", self.untold.get()),
                remedy: "correct these first".to_owned(),
            });
        }
        Some(Mistakes(mistakes))
    }

    fn is_full(&self) -> bool {
        self.mistakes.borrow().len() >= MOST_TOLD
    }

    fn add(&self, at: usize, path: String, what: String, remedy: String) {
        if self.is_full() {
            self.untold.set(self.untold.get() + 1);
            return;
        }
        let line = self.lines.partition_point(|begin| *begin <= at);
        self.mistakes.borrow_mut().push(Mistake {
            line,
            path,
            what,
            remedy,
        });
    }
}

/// A place in the file, and the means to note what is wrong there.
#[derive(Clone)]
pub(super) struct Place<'a> {
    path: String,
    at: usize,
    notes: &'a Notes,
}

impl<'a> Place<'a> {
    /// The file as a whole.
    pub(super) fn root(notes: &'a Notes) -> Self {
        Self {
            path: String::new(),
            at: 0,
            notes,
        }
    }

    /// The place of `key` in this table; `at` counts bytes from the start of the file.
    pub(super) fn key(&self, key: &str, at: usize) -> Self {
        let is_bare = !key.is_empty()
            && key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        let dot = if self.path.is_empty() { "" } else { "." };
        let path = if is_bare {
            format!("{}{dot}{key}", self.path)
        } else {
            format!("{}{dot}{key:?}", self.path)
        };
        Self {
            path,
            at,
            notes: self.notes,
        }
    }

    /// The place of an item in this list.
    pub(super) fn item(&self, position: usize, at: usize) -> Self {
        Self {
            path: format!("{}[{position}]", self.path),
            at,
            notes: self.notes,
        }
    }

    /// Notes that what stands here is wrong.
    pub(super) fn wrong(&self, what: impl Into<String>, remedy: impl Into<String>) {
        self.notes
            .add(self.at, self.path.clone(), what.into(), remedy.into());
    }

    /// Advises one of `known`: the one that was probably meant, else all of them.
    pub(super) fn advise<'n>(
        &self,
        written: &str,
        known: impl IntoIterator<Item = &'n str> + Clone,
    ) -> String {
        match self.notes.is_full() {
            // Nobody will read it.
            true => String::new(),
            false => advise(written, known),
        }
    }

    /// Notes that something is not there, unless it may only seem so because of broken syntax.
    pub(super) fn absent(&self, what: impl Into<String>, remedy: impl Into<String>) {
        if !self.notes.syntax_is_broken {
            self.wrong(what, remedy);
        }
    }
}

fn advise<'a>(written: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let compared = known.clone().into_iter().take(MOST_COMPARED);
    if written.len() <= LONGEST_NAME
        && let Some(name) = probably_meant(written, compared)
    {
        return format!("did you mean `{name}`?");
    }
    let mut known = known.into_iter();
    let named: Vec<_> = known.by_ref().take(MOST_NAMED).collect();
    let named = named.iter().map(|name| format!("`{name}`"));
    let named = named.collect::<Vec<_>>().join(", ");
    match (named.as_str(), known.count()) {
        ("", _) => "there is none".to_owned(),
        (_, 0) => format!("known are {named}"),
        (_, more) => format!("known are {named} and {more} more"),
    }
}

/// The closest of the names that a slip of the hand or of the memory turns into `written`.
fn probably_meant<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut closest = None;
    for name in known {
        let distance = strsim::damerau_levenshtein(written, name);
        let is_slip = distance <= 1 + name.len() / 4;
        let is_shortened = written.len() >= 3 && name.starts_with(written);
        let is_closest = closest.is_none_or(|(least, _)| distance < least);
        if (is_slip || is_shortened) && is_closest {
            closest = Some((distance, name));
        }
    }
    closest.map(|(_, name)| name)
}
