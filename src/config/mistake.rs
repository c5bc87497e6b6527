//! Mistakes of a configuration file: where they are, what is wrong and how to correct it.

use std::cell::{Cell, RefCell};
use std::fmt;

use crate::error::advise;
use crate::terminal;

/// The place of what is not in the file.
const BESIDE: usize = usize::MAX;

/// The most mistakes that are listed. Of the others only the number is given.
const MOST_LISTED: usize = 100;

/// A mistake in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line in the file, from 1; 0 for a variable of the environment.
    pub line: usize,
    /// Path in the file, such as `scenarios.general.targets[1]`; empty if it is not known.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// How to correct it.
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
        if *line > 0 {
            write!(f, "{line}: ")?;
        }
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        write!(f, "{what}; {remedy}")
    }
}

impl Mistake {
    /// The mistake with its place, where the file has this name. What is wrong with the environment is at no place in it.
    pub fn of_file(&self, name: &str) -> String {
        match self.line {
            0 => self.to_string(),
            _ => format!("{name}:{self}"),
        }
    }
}

/// All mistakes of one configuration file, in the order of its lines; never empty.
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

/// Collects the mistakes that the readers note while they read on.
pub(super) struct Notes {
    /// Where each line of the text begins.
    lines: Vec<usize>,
    syntax_is_broken: bool,
    mistakes: RefCell<Vec<Mistake>>,
    /// How many further mistakes there are.
    unlisted: Cell<usize>,
}

impl Notes {
    /// Starts with the errors of the TOML parser.
    pub(super) fn new(text: &str, syntax_errors: &[toml::de::Error]) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let notes = Self {
            lines: [0].into_iter().chain(ends.map(|(at, _)| at + 1)).collect(),
            syntax_is_broken: !syntax_errors.is_empty(),
            mistakes: RefCell::default(),
            unlisted: Cell::default(),
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

    /// The mistakes, if there are any.
    pub(super) fn into_mistakes(self) -> Option<Mistakes> {
        let mut mistakes = self.mistakes.into_inner();
        if mistakes.is_empty() {
            return None;
        }
        mistakes.sort_by_key(|mistake| mistake.line);
        mistakes.dedup();
        if let Some(last) = mistakes.last().filter(|_| self.unlisted.get() > 0) {
            mistakes.push(Mistake {
                line: last.line,
                path: String::new(),
                what: format!("there are {} more mistakes", self.unlisted.get()),
                remedy: "correct these first".to_owned(),
            });
        }
        Some(Mistakes(mistakes))
    }

    fn is_full(&self) -> bool {
        self.mistakes.borrow().len() >= MOST_LISTED
    }

    /// The line in which a byte stands, from 1; 0 if it is not in the file.
    fn line(&self, at: usize) -> usize {
        match at {
            BESIDE => 0,
            _ => self.lines.partition_point(|begin| *begin <= at),
        }
    }

    fn add(&self, at: usize, path: String, what: String, remedy: String) {
        if self.is_full() {
            self.unlisted.set(self.unlisted.get() + 1);
            return;
        }
        // A mistake may quote what the file holds, also in the words of a library that escapes nothing.
        let shown = |text: String| terminal::shown(&text, &[]).into_owned();
        let line = self.line(at);
        self.mistakes.borrow_mut().push(Mistake {
            line,
            path: shown(path),
            what: shown(what),
            remedy: shown(remedy),
        });
    }
}

/// A place in the file, and the means to note what is wrong there.
#[derive(Clone)]
pub(super) struct Location<'a> {
    path: String,
    at: usize,
    notes: &'a Notes,
}

impl<'a> Location<'a> {
    /// The file as a whole.
    pub(super) fn root(notes: &'a Notes) -> Self {
        Self {
            path: String::new(),
            at: 0,
            notes,
        }
    }

    /// A variable of the environment, which says something in place of the file.
    pub(super) fn variable(&self, name: &str) -> Self {
        Self {
            path: name.to_owned(),
            at: BESIDE,
            notes: self.notes,
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

    /// The place of a key of this table, which need not be written there.
    pub(super) fn field(&self, key: &str) -> Self {
        self.key(key, self.at)
    }

    /// The path in the file, such as `scenarios.general.targets[1]`.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Where it is, in words.
    pub(super) fn shown(&self) -> String {
        let line = self.notes.line(self.at);
        match self.path.is_empty() {
            true => format!("line {line}"),
            false => format!("line {line} (`{}`)", self.path),
        }
    }

    /// Notes a mistake here.
    pub(super) fn wrong(&self, what: impl Into<String>, remedy: impl Into<String>) {
        self.notes
            .add(self.at, self.path.clone(), what.into(), remedy.into());
    }

    /// The advice to use one of `known`: the most similar one, or else a list of them.
    pub(super) fn advise<'n>(
        &self,
        written: &str,
        known: impl IntoIterator<Item = &'n str> + Clone,
    ) -> String {
        match self.notes.is_full() {
            // This mistake will not be listed.
            true => String::new(),
            false => advise(written, known),
        }
    }

    /// Notes that something is missing, unless broken syntax may be the reason.
    pub(super) fn absent(&self, what: impl Into<String>, remedy: impl Into<String>) {
        if !self.notes.syntax_is_broken {
            self.wrong(what, remedy);
        }
    }
}
