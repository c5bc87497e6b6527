//! What does the configuration say now, and can the running service use it? Nothing in use changes by asking.

use std::path::Path;

use crate::config::judge::{Before, Judged, UnusableConfiguration, judge};
use crate::config::{Mistake, Overrides, Surroundings, check};
use crate::hash::sha256_in_digits;
use crate::serving::control::configuration::ConfigurationMistake;

use super::super::restart_only::RestartOnly;
use super::super::sources::{NamedFiles, SourceFiles};

/// What to do about a failure that no line of the file causes.
pub(super) const START_AGAIN: &str = "start the service anew; what runs goes on meanwhile";

/// What to do about accounts and keys that do not fit those in the store.
pub(super) const CHANGE_FILE_OR_STORE: &str = "change the file or the store";

/// The most mistakes that a line of the log lists.
const MOST_LOGGED: usize = 10;

/// A configuration that was read and judged.
pub(super) struct JudgedFile {
    /// The hash of the text; empty if the file cannot be read.
    pub(super) hash: String,
    pub(super) text: String,
    pub(super) named: NamedFiles,
    pub(super) judged: Result<Box<Judged>, UnusedFile>,
}

/// Why a configuration is not used.
#[derive(Debug, Default)]
pub(super) struct UnusedFile {
    pub(super) mistakes: Vec<ConfigurationMistake>,
    pub(super) restart_needed: Vec<String>,
}

impl JudgedFile {
    pub(super) fn unreadable(why: &str) -> Self {
        Self {
            hash: String::new(),
            text: String::new(),
            named: NamedFiles::new(),
            judged: Err(UnusedFile::of(
                format!("the configuration file cannot be read: {why}"),
                "write it again; what runs goes on meanwhile",
            )),
        }
    }

    pub(super) fn of(
        text: String,
        overrides: &Overrides,
        simulator: Option<&str>,
        before: &Before,
        restart_only: &RestartOnly,
    ) -> Self {
        let sources = SourceFiles::of(text);
        let judged = {
            let read = |path: &Path| sources.read(path);
            let surroundings = Surroundings {
                read_file: &read,
                // A simulator that does not run is no mistake of the file; it needs a restart.
                ..Surroundings::of_process(simulator.or(Some(check::SIMULATOR)))
            };
            judge(sources.text(), &surroundings, overrides, Some(before))
        };
        let judged = judged.map_err(UnusedFile::from).and_then(|judged| {
            let after = RestartOnly::of(&judged.config, judged.needs_simulator);
            let changed = restart_only.changed(&after);
            match changed.is_empty() {
                true => Ok(Box::new(judged)),
                false => Err(UnusedFile {
                    restart_needed: changed.into_iter().map(str::to_owned).collect(),
                    ..UnusedFile::default()
                }),
            }
        });
        let named = sources.named();
        let text = sources.into_text();
        Self {
            hash: sha256_in_digits(text.as_bytes()),
            text,
            named,
            judged,
        }
    }
}

impl UnusedFile {
    pub(super) fn of(what: String, remedy: &str) -> Self {
        Self {
            mistakes: vec![ConfigurationMistake {
                line: 0,
                path: String::new(),
                what,
                remedy: remedy.to_owned(),
            }],
            restart_needed: Vec::new(),
        }
    }
}

impl From<UnusableConfiguration> for UnusedFile {
    fn from(unusable: UnusableConfiguration) -> Self {
        let mistakes = match unusable {
            UnusableConfiguration::Mistakes(mistakes) => mistakes,
            UnusableConfiguration::Transport(error) => {
                return Self::of(error.to_string(), START_AGAIN);
            }
            UnusableConfiguration::Outbound(error) => {
                return Self::of(error.to_string(), START_AGAIN);
            }
        };
        let mistake = |mistake: &Mistake| ConfigurationMistake {
            line: mistake.line,
            path: mistake.path.clone(),
            what: mistake.what.clone(),
            remedy: mistake.remedy.clone(),
        };
        Self {
            mistakes: mistakes.iter().map(mistake).collect(),
            restart_needed: Vec::new(),
        }
    }
}

/// The first mistakes, for the log.
pub(super) fn first_mistakes(file: Option<&Path>, mistakes: &[ConfigurationMistake]) -> String {
    let file = file.map(|file| file.display().to_string());
    let file = file.unwrap_or_default();
    let line = |mistake: &ConfigurationMistake| {
        let ConfigurationMistake {
            line,
            path,
            what,
            remedy,
        } = mistake;
        match (line, &**path) {
            (0, "") => format!("{file}: {what}; {remedy}"),
            // A variable of the environment is at no place in the file.
            (0, _) => format!("{path}: {what}; {remedy}"),
            _ => format!("{file}:{line}: {path}: {what}; {remedy}"),
        }
    };
    let mut lines: Vec<_> = mistakes.iter().take(MOST_LOGGED).map(line).collect();
    if mistakes.len() > MOST_LOGGED {
        lines.push(format!("and {} more", mistakes.len() - MOST_LOGGED));
    }
    lines.join(" | ")
}
