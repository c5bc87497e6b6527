//! What of an earlier answer is sent back?

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::chat::{MediaSource, Part, ProviderPart, Reasoning};
use crate::error::Unsupported;
use crate::wire::openai_chat::body::{AssistantMessage, AudioId, WireMessage};
use crate::wire::openai_chat::details::details;
use crate::wire::openai_chat::marking::{Marked, PartMark, note_unmarked};
use crate::wire::openai_chat::media::{Piece, misplaced};
use crate::wire::openai_chat::parts::{BETWEEN_TEXTS, Content};
use crate::wire::openai_chat::{
    ANNOTATIONS, AUDIO, CacheMarks, EXECUTED_TOOLS, ReasoningHistory, calls,
};

use super::History;

/// Sent in place of reasoning that another provider made. Moonshot and DeepSeek require reasoning beside tool
/// calls (QuantumNous/new-api#3121, bytedance/deer-flow#3043).
const NO_REASONING: &str = " ";

impl<'a> History<'a, '_> {
    /// `None` if nothing of the message may be sent to this provider.
    pub(super) fn assistant_message(
        &mut self,
        index: usize,
        parts: &'a [Part],
    ) -> Result<Option<WireMessage<'a>>, Unsupported> {
        self.ids.begin_message();
        let mut content = Content::new(BETWEEN_TEXTS, parts.len());
        let mut message = AssistantMessage::default();
        let mut has_sound = false;
        for (position, part) in parts.iter().enumerate() {
            let said = self.marking.of_part(index, position);
            match part {
                // A refusal is sent back as text: only OpenAI has a field for it, and for every other host the turn
                // would be empty.
                Part::Text(text) | Part::Refusal(text) => {
                    let piece = Piece::text(text);
                    content.add(self.marking.part(piece, said, self.adaptations)?);
                }
                Part::ToolCall(call) => {
                    let call =
                        calls::tool_call(call, self.provider, &mut self.ids, self.adaptations);
                    let call = match self.dialect.cache_marks {
                        CacheMarks::PromptCacheBreakpoint => {
                            if said.is_some_and(|said| said.cache.is_some()) {
                                note_unmarked(self.adaptations);
                            }
                            let said = said.map(PartMark::without_cache);
                            self.marking.part(call, said, self.adaptations)?
                        }
                        CacheMarks::None | CacheMarks::CacheControl => {
                            self.marking.part(call, said, self.adaptations)?
                        }
                    };
                    message.tool_calls.push(call);
                }
                Part::Reasoning(reasoning) => {
                    self.marking.nowhere(said, self.adaptations)?;
                    self.replay_reasoning(reasoning, &mut message);
                }
                Part::Image(_) => self.leave_out("messages.parts.image", said)?,
                Part::Video(_) => self.leave_out("messages.parts.video", said)?,
                Part::Audio(media) => match &media.source {
                    MediaSource::File { provider, id } if provider == self.provider => {
                        self.marking.nowhere(said, self.adaptations)?;
                        message.audio = Some(AudioId { id: id.into() });
                    }
                    MediaSource::File { .. } | MediaSource::Data(_) | MediaSource::Uri(_) => {
                        self.marking.nowhere(said, self.adaptations)?;
                        has_sound = true;
                    }
                },
                Part::Provider(part) => {
                    self.replay_provider_part(part, said, &mut content, &mut message)?
                }
                Part::Document(_) | Part::ToolResult(_) => {
                    return Err(misplaced(
                        "an assistant message holds no documents and no tool results",
                    ));
                }
            }
        }
        // The host has the sound that it keeps by an id.
        if has_sound && message.audio.is_none() {
            self.leave_out("messages.parts.audio", None)?;
        }
        let AssistantMessage {
            audio, annotations, ..
        } = &message;
        let has_more = message.has_reasoning() || audio.is_some() || !annotations.is_empty();
        message.content = if !content.is_empty() || message.has_reasoning() {
            Some(content)
        } else if !message.tool_calls.is_empty() || has_more {
            None
        } else {
            return Ok(None);
        };
        if self.dialect.reasoning_history == ReasoningHistory::ReasoningContent
            && !message.tool_calls.is_empty()
            && message.reasoning_content.is_empty()
        {
            self.adaptations.note(
                "messages.parts.reasoning",
                "a blank was added where this provider made none: it requires reasoning beside tool calls",
            );
            message.reasoning_content = Cow::Borrowed(NO_REASONING);
        }
        Ok(Some(WireMessage::Assistant(message)))
    }

    /// Leaves out what no host of this format takes back of an answer.
    fn leave_out(
        &mut self,
        field: &'static str,
        said: Option<PartMark<'a>>,
    ) -> Result<(), Unsupported> {
        self.marking.nowhere(said, self.adaptations)?;
        self.adaptations.note(
            field,
            "left out of an earlier answer: the provider does not take it back",
        );
        Ok(())
    }

    fn replay_provider_part(
        &mut self,
        part: &'a ProviderPart,
        said: Option<PartMark<'a>>,
        content: &mut Content<'a>,
        message: &mut AssistantMessage<'a>,
    ) -> Result<(), Unsupported> {
        const FIELD: &str = "messages.parts.provider_part";
        let ProviderPart {
            provider,
            kind,
            content: piece,
        } = part;
        self.marking.nowhere(said, self.adaptations)?;
        let piece = serde_json::from_str::<&RawValue>(piece);
        match (provider == self.provider, kind.as_str(), piece) {
            (false, _, _) => self
                .adaptations
                .note(FIELD, "left out: another provider made it"),
            (true, EXECUTED_TOOLS, _) => self.adaptations.note(
                FIELD,
                "left out: the provider does not take back what its tools did",
            ),
            (true, ANNOTATIONS, Ok(piece)) => message.annotations.push(piece),
            (true, AUDIO, Ok(piece)) => message.audio = serde_json::from_str(piece.get()).ok(),
            (true, _, Ok(piece)) => content.add(Marked::Extended(piece.to_owned())),
            (true, _, Err(_)) => self.adaptations.note(FIELD, "left out: it is no JSON"),
        }
        Ok(())
    }

    fn replay_reasoning(&mut self, reasoning: &'a Reasoning, message: &mut AssistantMessage<'a>) {
        const FIELD: &str = "messages.parts.reasoning";
        let Reasoning {
            text,
            signature,
            provider,
        } = reasoning;
        if provider != self.provider {
            self.adaptations
                .note(FIELD, "left out: another provider made it");
            return;
        }
        match self.dialect.reasoning_history {
            ReasoningHistory::None => self
                .adaptations
                .note(FIELD, "left out: the provider does not take it"),
            ReasoningHistory::ReasoningContent => message.reasoning_content += text.as_str(),
            ReasoningHistory::Reasoning => message.reasoning += text.as_str(),
            ReasoningHistory::ReasoningDetails => {
                message.reasoning_details.extend(details(text, signature));
            }
        }
    }
}
