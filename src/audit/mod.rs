//! Who changed what, who was refused, and how is it shown that nothing of that was edited? Pure: the control store keeps
//! the events.

mod chain;
mod event;
mod failures;
mod link;
mod logins;

pub use self::chain::{ChainBreak, ChainCheck};
pub use self::event::{Actor, AuditDraft, AuditEvent, Subject};
pub use self::failures::AuditFailures;
pub use self::link::{ChainLink, FIRST_LINK};
pub use self::logins::{FailedLogins, LoginMinute};

use std::time::Duration;

/// How long an event is kept.
pub const KEPT: Duration = Duration::from_secs(2 * 366 * 24 * 60 * 60);
