//! How does a command read the audit record of a running service? Page by page, the latest event first.

use std::process::ExitCode;
use std::time::SystemTime;

use crate::audit::{Actor, AuditEvent, ChainBreak, ChainCheck, ChainLink, FIRST_LINK, Subject};
use crate::calendar::unix_us;
use crate::command::administrator::{AdminClient, AdminProof, NoAnswer, answered};
use crate::command::console::{print, shown};
use crate::grpc::{answer, v1};
use crate::store::EventFilter;

use super::{AuditCommand, listed};

/// The most events that the service puts on a page.
const PAGE: usize = 1_000;

/// Has the service tell what the command asks for.
pub(super) async fn asked(
    client: AdminClient,
    proof: &AdminProof,
    command: AuditCommand,
) -> Result<ExitCode, NoAnswer> {
    match command {
        AuditCommand::List(arguments) => {
            let limit = arguments.limit;
            let mut pages = Pages::of(client, proof, arguments.filter(), limit);
            while let Some(page) = pages.next().await? {
                if !page.is_empty() {
                    print(shown(listed(&page).trim_end()).into_owned())?;
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        AuditCommand::Verify => {
            let mut pages = Pages::of(client, proof, EventFilter::default(), usize::MAX);
            let mut check = BackwardCheck::default();
            while let Some(page) = pages.next().await? {
                check.continue_with(page).map_err(|broken| {
                    let count = check.count;
                    NoAnswer::Failed(format!("the latest {count} events hold together: {broken}"))
                })?;
            }
            print(check.summary())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The pages of a list.
struct Pages<'p> {
    client: AdminClient,
    proof: &'p AdminProof,
    filter: EventFilter,
    /// How many more events are wanted.
    left: usize,
    /// The token of the next page; `None` after the last one.
    token: Option<String>,
}

impl<'p> Pages<'p> {
    fn of(client: AdminClient, proof: &'p AdminProof, filter: EventFilter, limit: usize) -> Self {
        Self {
            client,
            proof,
            filter,
            left: limit,
            token: Some(String::new()),
        }
    }

    /// The next page; `None` if there is no other or no more events are wanted.
    async fn next(&mut self) -> Result<Option<Vec<AuditEvent>>, NoAnswer> {
        let Some(page_token) = self.token.take().filter(|_| self.left > 0) else {
            return Ok(None);
        };
        let page_size = self.left.min(PAGE);
        let request = v1::ListAuditEventsRequest {
            page_size: i32::try_from(page_size).unwrap_or(i32::MAX),
            page_token,
            start_time: self.filter.from.map(answer::timestamp),
            end_time: None,
            subject: self.filter.subject.clone().unwrap_or_default(),
        };
        let asking = self.client.list_audit_events(self.proof.with(request));
        let v1::ListAuditEventsResponse {
            events,
            next_page_token,
        } = answered(asking).await?;
        self.left = self.left.saturating_sub(events.len());
        self.token = Some(next_page_token).filter(|token| !token.is_empty());
        let events: Result<_, _> = events.into_iter().map(event).collect();
        events.map(Some)
    }
}

/// An event as the contract spells it.
fn event(event: v1::AuditEvent) -> Result<AuditEvent, NoAnswer> {
    let v1::AuditEvent {
        sequence,
        time,
        actor,
        origin,
        action,
        subject,
        code,
        before_json,
        after_json,
        comment,
        chain,
    } = event;
    let unreadable = || {
        let what = "the service tells of an event without a number, a time or a link";
        NoAnswer::Failed(what.to_owned())
    };
    let at = SystemTime::try_from(time.ok_or_else(unreadable)?).map_err(|_| unreadable())?;
    Ok(AuditEvent {
        sequence: u64::try_from(sequence).map_err(|_| unreadable())?,
        at_us: unix_us(at),
        actor: Actor {
            name: actor,
            origin,
        },
        action,
        subject: Subject::named(subject),
        code,
        before: before_json,
        after: after_json,
        comment,
        link: ChainLink(chain.try_into().map_err(|_| unreadable())?),
    })
}

/// Checks a record that arrives latest event first, by computing each link here: the service is not believed.
#[derive(Default)]
struct BackwardCheck {
    /// How many events hold together.
    count: u64,
    /// The oldest event so far. What precedes it decides whether it holds.
    oldest: Option<AuditEvent>,
}

impl BackwardCheck {
    fn continue_with(&mut self, page: Vec<AuditEvent>) -> Result<(), ChainBreak> {
        for event in page {
            if let Some(later) = &self.oldest {
                ChainCheck::after(event.sequence, event.link).next(later)?;
                self.count += 1;
            }
            self.oldest = Some(event);
        }
        // The first event of all follows nothing.
        if let Some(first) = self.oldest.take_if(|event| event.sequence == 1) {
            ChainCheck::after(0, FIRST_LINK).next(&first)?;
            self.count += 1;
        }
        Ok(())
    }

    /// What was found, in words.
    fn summary(&self) -> String {
        let count = self.count;
        match &self.oldest {
            None => format!("{count} events hold together"),
            Some(event) => format!(
                "{count} events hold together; those before {} were dropped because of their age, so that one cannot be \
                 checked from here",
                event.sequence
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record, the latest event first.
    fn record(events: u64) -> Vec<AuditEvent> {
        let mut link = FIRST_LINK;
        let mut record = Vec::new();
        for sequence in 1..=events {
            let mut event = AuditEvent {
                sequence,
                at_us: 7,
                actor: Actor::file(),
                action: "key.create".to_owned(),
                subject: Subject::new("key", "key_1"),
                code: "OK".to_owned(),
                before: String::new(),
                after: "{}".to_owned(),
                comment: String::new(),
                link,
            };
            event.link = link.to(&event);
            link = event.link;
            record.push(event);
        }
        record.reverse();
        record
    }

    fn checked(record: Vec<AuditEvent>, page: usize) -> Result<String, ChainBreak> {
        let mut check = BackwardCheck::default();
        for page in record.chunks(page) {
            check.continue_with(page.to_vec())?;
        }
        Ok(check.summary())
    }

    #[test]
    fn a_record_is_checked_from_its_end_whatever_the_pages() {
        for page in [1, 2, 5, 9] {
            assert_eq!(checked(record(5), page).unwrap(), "5 events hold together");
        }
        assert_eq!(checked(Vec::new(), 1).unwrap(), "0 events hold together");
        let mut young = record(5);
        young.truncate(3);
        let summary = checked(young, 2).unwrap();
        assert!(
            summary.starts_with("2 events hold together; those before 3"),
            "{summary}"
        );
    }

    #[test]
    fn an_event_that_was_changed_or_left_out_shows() {
        for at in 0..5 {
            let mut edited = record(5);
            edited[at].comment.push('x');
            let number = edited[at].sequence;
            assert_eq!(checked(edited, 2), Err(ChainBreak::Changed(number)));
        }
        for at in 1..5 {
            let mut shorter = record(5);
            let found = shorter[at - 1].sequence;
            let gone = shorter.remove(at).sequence;
            // Without its first event a record looks like one whose oldest events were dropped.
            let broken = checked(shorter, 2);
            match gone {
                1 => assert!(broken.unwrap().contains("those before 2")),
                _ => assert_eq!(
                    broken,
                    Err(ChainBreak::Missing {
                        expected: gone,
                        found
                    })
                ),
            }
        }
    }
}
