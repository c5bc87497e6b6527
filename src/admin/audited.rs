//! How is the audit record read?

use crate::audit::AuditEvent;
use crate::store::{EventFilter, StoreError};

use super::error::AdminError;
use super::rights::Administrator;
use super::{Administration, StoreObjects};

/// Events, the latest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<AuditEvent>,
    /// Where the next page begins: before the event of this number; `None` on the last one.
    pub next: Option<u64>,
}

impl Administration {
    /// A page of the audit record, which is for those who administer the whole service.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn events(
        &self,
        by: &Administrator,
        filter: &EventFilter,
        size: usize,
    ) -> Result<EventPage, AdminError> {
        self.write_noted()?;
        let file = self.file();
        let (objects, mut events) = self.store.read(|reading| {
            let objects = StoreObjects::read(reading)?;
            Ok::<_, StoreError>((objects, reading.events(filter, size + 1)?))
        })?;
        if !by.has_no_bounds(&self.current(by, &file, &objects)?) {
            return Err(AdminError::Denied(
                "reading the audit record, which tells of all accounts".to_owned(),
            ));
        }
        let has_more = events.len() > size;
        events.truncate(size);
        let next = events.last().map(|event| event.sequence);
        Ok(EventPage {
            next: next.filter(|_| has_more),
            events,
        })
    }
}
