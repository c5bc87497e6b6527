//! Which sources does a text block rest on?

use serde_json::value::RawValue;

use crate::chat::{ChatEvent, Citation};
use crate::error::UpstreamError;
use crate::wire::json::{Count, Few, Text, object, without};

object! {
    struct Source<'a> {
        url: Text<'a> = "url" | "source",
        title: Text<'a> = "title" | "document_title",
        cited_text: Text<'a> = "cited_text",
        document_index: Count = "document_index",
    }
}

/// A source as the provider writes it. Where it is cited is known when its block has ended.
pub(super) fn citation(written: &RawValue) -> Citation {
    let Source {
        url,
        title,
        cited_text,
        document_index,
    } = serde_json::from_str(written.get()).unwrap_or_default();
    let document_index = document_index.0.and_then(|index| u32::try_from(index).ok());
    const TYPED: &[&str] = &[
        "url",
        "source",
        "title",
        "document_title",
        "cited_text",
        "document_index",
    ];
    Citation {
        range: None,
        uri: url.0.into_owned(),
        title: title.0.into_owned(),
        cited_text: cited_text.0.into_owned(),
        document_index,
        provider_fields: without(written, TYPED).unwrap_or_default(),
    }
}

/// The sources of a block.
///
/// # Errors
/// There are more than an answer has parts.
pub(super) fn citations(list: Option<&RawValue>) -> Result<Vec<Citation>, UpstreamError> {
    // Nearly always there is none.
    let Some(list) = list.filter(|list| list.get().len() > 2) else {
        return Ok(Vec::new());
    };
    let list: Few<&RawValue> = serde_json::from_str(list.get()).unwrap_or_default();
    Ok(list.all()?.into_iter().map(citation).collect())
}

/// Bytes of a source that is held back until its block has ended.
pub(super) fn held(citation: &Citation) -> usize {
    let Citation {
        uri,
        title,
        cited_text,
        provider_fields,
        ..
    } = citation;
    uri.len() + title.len() + cited_text.len() + provider_fields.len()
}

/// Where the text of the answer stands, in code points of its open text part.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TextPlace(usize);

impl TextPlace {
    /// How long the open text part is.
    pub(super) fn now(self) -> usize {
        self.0
    }

    /// Reads events that were emitted. Every part of another kind ends the text part.
    pub(super) fn pass(&mut self, events: &[ChatEvent]) {
        for event in events {
            match event {
                ChatEvent::Text(text) => self.0 += text.chars().count(),
                ChatEvent::Reasoning(_)
                | ChatEvent::ReasoningSignature(_)
                | ChatEvent::Refusal(_)
                | ChatEvent::ToolCall { .. }
                | ChatEvent::Part(_) => self.0 = 0,
                ChatEvent::Started { .. }
                | ChatEvent::ToolArguments { .. }
                | ChatEvent::Citation(_)
                | ChatEvent::Logprobs(_)
                | ChatEvent::Cost(_)
                | ChatEvent::Metadata(_)
                | ChatEvent::LeftOut(_)
                | ChatEvent::Finish(_)
                | ChatEvent::Usage(_)
                | ChatEvent::Done => {}
            }
        }
    }

    /// Appends the sources of a block whose text began at `start` and ends here.
    pub(super) fn cite(self, start: usize, citations: Vec<Citation>, events: &mut Vec<ChatEvent>) {
        let range = (start < self.0).then_some((start, self.0));
        for citation in citations {
            let citation = Citation { range, ..citation };
            events.push(ChatEvent::Citation(Box::new(citation)));
        }
    }
}
