//! Which events does a whole (not streamed) answer of the Responses API become?

use crate::chat::ChatEvent;
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::wire::json::{MaybeAbsent, parse_object};
use crate::wire::reported::Reported;
use crate::wire::{Decoder, Frame, failure};

use super::accounts;
use super::ending::{error_of, finish};
use super::items::{Field, Items, Name};
use super::reply::Response;

/// Reads a whole answer.
pub(super) struct Whole;

impl Decoder for Whole {
    fn frame(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let mut response: Response<'_> = parse_object(frame.data)
            .ok_or_else(|| UpstreamError::malformed("the body cannot be read"))?;
        let mut reported = Reported::default();
        reported.renamed(&response.id.0, &response.model.0, events);
        if let Some(error) = error_of(&response) {
            let is_answer = response.object.0 == "response";
            let report = if is_answer { error.get() } else { frame.data };
            return Err(failure::in_band(report.as_bytes()));
        }
        let has_output = response.output.is_some();
        let output = response.output.take().unwrap_or_default().all()?;
        let mut items = Items::default();
        items.settle(&output, events)?;
        if items.is_empty() && !response.output_text.is_absent() {
            let text = &response.output_text.0;
            items.whole(Name::default(), (Field::Text, 0), text, events)?;
        }
        let is_answer = has_output || !items.is_empty();
        if !is_answer && response.status.0 != "failed" {
            return Err(failure::bare(frame.data)
                .unwrap_or_else(|| UpstreamError::malformed("the body holds no answer")));
        }
        accounts::usage(&response, items.tools(), &mut reported, events);
        finish(&response, "", events)?;
        if items.is_empty() && output.is_empty() && response.status.is_absent() {
            return Err(UpstreamError::malformed(
                "the body has neither content nor a status",
            ));
        }
        events.push(ChatEvent::Done);
        Ok(())
    }

    fn end(&mut self, _events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        Err(UpstreamError::new(UpstreamErrorKind::Truncated))
    }
}
