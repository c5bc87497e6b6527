//! Which events of the audit record wait to be written, so that whoever causes them need not wait for a disk?

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::warn;

use crate::audit::{Actor, AuditDraft, LoginMinute, Subject};
use crate::locked::locked;
use crate::store::StoreError;

use super::{Administration, views};

/// The most events that wait to be written.
pub(super) const MOST_NOTED: usize = 10_000;

impl Administration {
    /// Notes that an administrator was refused a method.
    pub fn note_denied(&self, at: SystemTime, actor: Actor, method: &'static str) {
        let mut event = AuditDraft::done(at, actor, "denied", Subject::new("method", method));
        event.code = "PERMISSION_DENIED";
        self.note(event);
    }

    /// Notes what an operator decided about a breaker: of a provider, and of one of its models unless that is empty.
    pub fn note_override(
        &self,
        at: SystemTime,
        actor: Actor,
        (provider, model): (&str, &str),
        state: &str,
        comment: &str,
    ) {
        let id = match model {
            "" => provider,
            model => model,
        };
        let subject = Subject::new("breaker", id);
        let event = AuditDraft::done(at, actor, "breaker.set", subject);
        self.note(event.after(&views::OverrideView { state }).because(comment));
    }

    /// Notes that the configuration with this hash is in use.
    pub fn note_configuration(&self, at: SystemTime, hash: &str) {
        let subject = Subject::new("configuration", hash);
        self.note(AuditDraft::done(
            at,
            Actor::file(),
            "configuration.load",
            subject,
        ));
    }

    /// Keeps an event until [`Administration::write_noted`], so that whoever notes it need not wait for a disk.
    fn note(&self, event: AuditDraft) {
        let mut noted = locked(&self.noted);
        if noted.len() < MOST_NOTED {
            noted.push(event);
            return;
        }
        self.failures.lost.increment();
        warn!(
            action = event.action,
            subject = %event.subject,
            "too many events wait to be written to the audit record, so this one is not"
        );
    }

    /// Writes down what was noted before this call, also if another thread is about to. To be called every quarter of a
    /// second.
    ///
    /// # Errors
    /// [`StoreError`]. What was not written is written the next time.
    pub fn write_noted(&self) -> Result<(), StoreError> {
        let _alone = locked(&self.noted_writer);
        let mut noted = std::mem::take(&mut *locked(&self.noted));
        if let Err(error) = self.store.record_all(&noted) {
            self.failures.retried.increment();
            let mut later = locked(&self.noted);
            noted.append(&mut later);
            *later = noted;
            return Err(error);
        }
        Ok(())
    }

    /// Counts a login that failed. [`Administration::write_logins`] writes the sums down.
    pub fn count_failed_login(&self, at: SystemTime, address: &str) {
        locked(&self.logins).count(minute_of(at), address);
    }

    /// Writes down the failed logins of the minutes that have ended; of all of them if the service ends.
    ///
    /// # Errors
    /// [`StoreError`]; what was not written is lost.
    pub fn write_logins(&self, now: SystemTime, ends: bool) -> Result<(), StoreError> {
        let sums = {
            let mut logins = locked(&self.logins);
            match ends {
                true => logins.all(),
                false => logins.ended_before(minute_of(now)),
            }
        };
        let events: Vec<_> = sums.into_iter().map(login_event).collect();
        let result = self.store.record_all(&events);
        if result.is_err() {
            self.failures.lost.add(events.len() as u64);
        }
        result
    }
}

fn login_event(sum: LoginMinute) -> AuditDraft {
    let LoginMinute {
        minute,
        address,
        count,
    } = sum;
    let actor = Actor {
        name: String::new(),
        origin: address.clone(),
    };
    let at = UNIX_EPOCH + Duration::from_secs(minute * 60);
    let mut event = AuditDraft::done(at, actor, "login.failed", Subject::new("address", &address));
    event.code = "UNAUTHENTICATED";
    event.after(&views::LoginsView { count })
}

fn minute_of(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 60
}
