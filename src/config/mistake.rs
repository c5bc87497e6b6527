//! What is wrong with a configuration file, where, and what to do about it.

use std::cell::RefCell;
use std::fmt;

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
pub(super) struct Notes<'a> {
    text: &'a str,
    syntax_is_broken: bool,
    mistakes: RefCell<Vec<Mistake>>,
}

impl<'a> Notes<'a> {
    /// Begins with the errors of the TOML parser.
    pub(super) fn new(text: &'a str, syntax_errors: &[toml::de::Error]) -> Self {
        let notes = Self {
            text,
            syntax_is_broken: !syntax_errors.is_empty(),
            mistakes: RefCell::default(),
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
        Some(Mistakes(mistakes))
    }

    fn add(&self, at: usize, path: String, what: String, remedy: String) {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
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
    notes: &'a Notes<'a>,
}

impl<'a> Place<'a> {
    /// The file as a whole.
    pub(super) fn root(notes: &'a Notes<'a>) -> Self {
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

    /// Notes that something is not there, unless it may only seem so because of broken syntax.
    pub(super) fn absent(&self, what: impl Into<String>, remedy: impl Into<String>) {
        if !self.notes.syntax_is_broken {
            self.wrong(what, remedy);
        }
    }
}

/// Advises one of `known`: the one that was probably meant, else all of them.
pub(super) fn advise<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    if let Some(name) = probably_meant(written, known.clone()) {
        return format!("did you mean `{name}`?");
    }
    let known: Vec<_> = known.into_iter().map(|name| format!("`{name}`")).collect();
    match known.as_slice() {
        [] => "there is none".to_owned(),
        names => format!("known are {}", names.join(", ")),
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
