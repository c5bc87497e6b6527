//! What is written down of a change, or of an attempt at one?

use std::fmt;
use std::time::SystemTime;

use serde::Serialize;

use super::link::ChainLink;

/// Who does something, and where from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The account, and the id of its key if it has shown one: `ops/key_018f…`; `uid:1000` for a command on this machine;
    /// empty if it is not known.
    pub name: String,
    /// The address of the peer, or `cli`, `file`, `signal`.
    pub origin: String,
}

impl Actor {
    /// A user of this machine who runs a command on the control store itself.
    pub fn at_command_line(uid: u32) -> Self {
        Self {
            name: format!("uid:{uid}"),
            origin: "cli".to_owned(),
        }
    }

    /// The service itself, which follows its configuration file.
    pub fn file() -> Self {
        Self {
            name: String::new(),
            origin: "file".to_owned(),
        }
    }
}

/// What something is done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(String);

impl Subject {
    /// The thing of this kind and id, such as `limit/team-search`.
    pub fn new(kind: &str, id: &str) -> Self {
        Self(format!("{kind}/{id}"))
    }

    /// The subject of this name, as it was written down.
    pub(crate) fn named(name: String) -> Self {
        Self(name)
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An event that is about to be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditDraft {
    /// When it happened.
    pub at: SystemTime,
    /// Who did it.
    pub actor: Actor,
    /// What was done, such as `key.create`.
    pub action: &'static str,
    /// To what.
    pub subject: Subject,
    /// The name of the status code it ended with, such as `OK` or `PERMISSION_DENIED`.
    pub code: &'static str,
    /// What it was before, as JSON; empty if nothing.
    pub before: String,
    /// What it has been since, as JSON; empty if nothing.
    pub after: String,
    /// The reason that was given.
    pub comment: String,
}

impl AuditDraft {
    /// Something that was done.
    pub fn done(at: SystemTime, actor: Actor, action: &'static str, subject: Subject) -> Self {
        Self {
            at,
            actor,
            action,
            subject,
            code: "OK",
            before: String::new(),
            after: String::new(),
            comment: String::new(),
        }
    }

    /// The same, with what the subject was before.
    pub fn before(self, view: &impl Serialize) -> Self {
        Self {
            before: json(view),
            ..self
        }
    }

    /// The same, with what the subject has been since.
    pub fn after(self, view: &impl Serialize) -> Self {
        Self {
            after: json(view),
            ..self
        }
    }

    /// The same, with the reason that was given.
    pub fn because(self, comment: &str) -> Self {
        Self {
            comment: comment.to_owned(),
            ..self
        }
    }
}

/// The JSON of a view. Views are plain structs, whose JSON cannot fail.
fn json(view: &impl Serialize) -> String {
    serde_json::to_string(view).unwrap_or_default()
}

/// An event as it was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// Its number: from 1, without gaps.
    pub sequence: u64,
    /// When it happened, in microseconds since 1970.
    pub at_us: i64,
    /// Who did it.
    pub actor: Actor,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: Subject,
    /// The name of the status code it ended with.
    pub code: String,
    /// What it was before, as JSON; empty if nothing.
    pub before: String,
    /// What it has been since, as JSON; empty if nothing.
    pub after: String,
    /// The reason that was given.
    pub comment: String,
    /// Binds it to all events before it.
    pub link: ChainLink,
}
