//! How is each event bound to all before it? By the SHA-256 of the link before and of everything the event says, so that
//! an event that is changed, taken out or put in shows at once.

use crate::hash::sha256;

use super::event::AuditEvent;
use super::link::ChainLink;

impl ChainLink {
    /// The link of an event that follows this one. Each text stands behind its length, so that no two events have the
    /// same bytes.
    pub fn to(self, event: &AuditEvent) -> Self {
        let AuditEvent {
            sequence,
            at_us,
            actor,
            action,
            subject,
            code,
            before,
            after,
            comment,
            link: _,
        } = event;
        let mut bytes = self.0.to_vec();
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(at_us.to_be_bytes());
        let texts = [
            actor.name.as_str(),
            &actor.origin,
            action,
            subject.as_str(),
            code,
            before,
            after,
            comment,
        ];
        for text in texts {
            // A length of the platform fits into 64 bits.
            bytes.extend((text.len() as u64).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        Self(sha256(&bytes))
    }
}

/// Where the record does not hold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainBreak {
    /// An event says something else than when it was written, or another event before it does.
    #[error("event {0} is not what was written down, or does not follow the event before it")]
    Changed(u64),
    /// Events are missing.
    #[error("event {expected} is missing: event {found} follows the one before it")]
    Missing {
        /// The event that should follow.
        expected: u64,
        /// The event that follows.
        found: u64,
    },
}

/// Checks a record, event by event.
#[derive(Clone, Copy, Debug)]
pub struct ChainCheck {
    /// The last event that was checked, and its link.
    last: (u64, ChainLink),
}

impl ChainCheck {
    /// Begins after an event that is believed; after 0 for the whole record.
    pub fn after(sequence: u64, link: ChainLink) -> Self {
        Self {
            last: (sequence, link),
        }
    }

    /// Checks the next event.
    ///
    /// # Errors
    /// [`ChainBreak`].
    pub fn next(&mut self, event: &AuditEvent) -> Result<(), ChainBreak> {
        let (last, link) = self.last;
        let expected = last + 1;
        if event.sequence != expected {
            return Err(ChainBreak::Missing {
                expected,
                found: event.sequence,
            });
        }
        if link.to(event) != event.link {
            return Err(ChainBreak::Changed(event.sequence));
        }
        self.last = (event.sequence, event.link);
        Ok(())
    }

    /// The last event that was checked, and its link.
    pub fn end(&self) -> (u64, ChainLink) {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::{Actor, Subject};
    use super::super::link::FIRST_LINK;
    use super::*;

    fn record(events: u64) -> Vec<AuditEvent> {
        let mut link = FIRST_LINK;
        let mut record = Vec::new();
        for sequence in 1..=events {
            let mut event = AuditEvent {
                sequence,
                at_us: 7,
                actor: Actor::at_command_line(1),
                action: "key.create".to_owned(),
                subject: Subject::new("key", "key_1"),
                code: "OK".to_owned(),
                before: String::new(),
                after: "{}".to_owned(),
                comment: "c".to_owned(),
                link,
            };
            event.link = link.to(&event);
            link = event.link;
            record.push(event);
        }
        record
    }

    fn check(record: &[AuditEvent]) -> Result<(), ChainBreak> {
        let mut check = ChainCheck::after(0, FIRST_LINK);
        record.iter().try_for_each(|event| check.next(event))
    }

    #[test]
    fn a_record_as_it_was_written_holds_together() {
        assert_eq!(check(&record(5)), Ok(()));
    }

    #[test]
    fn a_change_of_any_field_shows() {
        type Edit = fn(&mut AuditEvent);
        let edits: [Edit; 9] = [
            |event| event.at_us += 1,
            |event| event.actor.name.push('x'),
            |event| event.actor.origin.push('x'),
            |event| event.action.push('x'),
            |event| event.subject = Subject::new("key", "key_2"),
            |event| event.code.push('x'),
            |event| event.before.push('x'),
            |event| event.after.push('x'),
            |event| event.comment.push('x'),
        ];
        for edit in edits {
            let mut record = record(5);
            edit(&mut record[2]);

            assert_eq!(check(&record), Err(ChainBreak::Changed(3)));
        }
    }

    #[test]
    fn a_text_that_moves_from_one_field_to_the_next_shows() {
        let mut record = record(1);
        record[0].code = "OK{".to_owned();
        record[0].before = "}".to_owned();
        record[0].after = String::new();

        assert_eq!(check(&record), Err(ChainBreak::Changed(1)));
    }

    #[test]
    fn an_event_that_is_taken_out_or_moved_shows() {
        let mut shorter = record(5);
        shorter.remove(1);
        assert_eq!(
            check(&shorter),
            Err(ChainBreak::Missing {
                expected: 2,
                found: 3
            })
        );

        let mut renumbered = record(5);
        renumbered.remove(1);
        for (event, sequence) in renumbered.iter_mut().zip(1..) {
            event.sequence = sequence;
        }
        assert_eq!(check(&renumbered), Err(ChainBreak::Changed(2)));
    }
}
