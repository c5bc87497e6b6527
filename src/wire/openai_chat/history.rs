//! How is a conversation written: messages, media, tool calls and the reasoning that is sent back?

use std::borrow::Cow;

use crate::chat::{
    ImageDetail, Media, MediaSource, Message, Part, Reasoning, Role, ToolCall, ToolResult,
};
use crate::error::Unsupported;
use crate::features::Feature;

use super::body::{
    AssistantMessage, Content, ExtraContent, File, FunctionCall, GoogleContent, ImageUrl, Piece,
    Texts, WireMessage, WireToolCall,
};
use super::details::details;
use super::{Dialect, Documents, ReasoningHistory, SystemRole};
use crate::wire::arguments::Arguments;
use crate::wire::openai::url::Url;
use crate::wire::tool_ids::ToolIds;
use crate::wire::{Adaptations, tool_names};

/// Between the texts of a message that become one string.
const BETWEEN_TEXTS: &str = "\n";

/// Between instructions that become one message.
const BETWEEN_INSTRUCTIONS: &str = "\n\n";

/// Sent in place of reasoning that another provider made. Moonshot and DeepSeek require reasoning beside tool
/// calls (QuantumNous/new-api#3121, bytedance/deer-flow#3043).
const NO_REASONING: &str = " ";

/// The assistant message between tool results and a user message, where a host requires one
/// (mistralai/mistral-vibe#578).
const BRIDGE: &str = "Understood.";

/// The result of a tool that failed without any text.
const WORDLESS_FAILURE: &str = "The tool failed and did not say why.";

/// Spells the messages of one request.
pub(super) struct History<'a, 'n> {
    pub(super) dialect: &'a Dialect,
    /// Whom the request goes to: what another provider has signed is left out.
    pub(super) provider: &'a str,
    pub(super) ids: ToolIds<'a>,
    pub(super) adaptations: &'n mut Adaptations,
}

impl<'a> History<'a, '_> {
    /// The messages, each as the host wants it, after `instructions` of ours. All instructions make one
    /// message: several model families refuse a second one (vllm-project/vllm#41114).
    pub(super) fn messages(
        &mut self,
        instructions: Option<&'a str>,
        messages: &'a [Message],
    ) -> Result<Vec<WireMessage<'a>>, Unsupported> {
        let mut wire = Vec::with_capacity(messages.len() + 1);
        let mut system = Vec::new();
        // Whether nothing of an assistant's message may be sent to this provider.
        let mut has_vanished = false;
        for Message { role, parts } in messages {
            match role {
                Role::System => texts(parts, &mut system, "instructions are text only")?,
                Role::User => {
                    if self.dialect.parts_tool_from_user()
                        && matches!(wire.last(), Some(WireMessage::Tool { .. }))
                    {
                        wire.push(self.bridge());
                    }
                    let content = self.user_content(parts)?;
                    match wire.last_mut() {
                        // Templates of some models refuse two messages of one role in a row.
                        Some(WireMessage::User { content: before }) if has_vanished => {
                            before.join(content);
                        }
                        _ => wire.push(WireMessage::User { content }),
                    }
                    has_vanished = false;
                }
                Role::Assistant => {
                    let message = self.assistant_message(parts)?;
                    has_vanished |= message.is_none();
                    wire.extend(message);
                }
                Role::Tool => {
                    for part in parts {
                        let Part::ToolResult(result) = part else {
                            return Err(misplaced("a tool message holds only tool results"));
                        };
                        wire.push(self.tool_message(result)?);
                    }
                }
            }
        }
        system.extend(instructions);
        if !system.is_empty() {
            let content = Content::Texts(Texts {
                texts: system,
                separator: BETWEEN_INSTRUCTIONS,
            });
            let message = match self.dialect.system_role {
                SystemRole::System => WireMessage::System { content },
                SystemRole::Developer => WireMessage::Developer { content },
            };
            wire.insert(0, message);
        }
        Ok(wire)
    }

    fn bridge(&mut self) -> WireMessage<'a> {
        self.adaptations.note(
            "messages",
            "an assistant message was added after the tool results: the provider requires one",
        );
        WireMessage::Assistant(AssistantMessage {
            content: Some(joined(vec![BRIDGE])),
            ..AssistantMessage::default()
        })
    }

    fn user_content(&self, parts: &'a [Part]) -> Result<Content<'a>, Unsupported> {
        if parts.iter().all(|part| matches!(part, Part::Text(_))) {
            let mut content = Vec::with_capacity(parts.len());
            texts(parts, &mut content, "")?;
            return Ok(joined(content));
        }
        let mut pieces = Vec::with_capacity(parts.len());
        for part in parts {
            pieces.push(match part {
                Part::Text(text) => Piece::Text { text },
                Part::Image(media) => Piece::ImageUrl {
                    image_url: ImageUrl {
                        url: Url::of(media),
                        detail: match media.detail {
                            ImageDetail::Auto => None,
                            ImageDetail::Low => Some("low"),
                            ImageDetail::High => Some("high"),
                        },
                    },
                },
                Part::Document(media) => self.document(media)?,
                Part::ToolCall(_) | Part::ToolResult(_) | Part::Reasoning(_) | Part::Refusal(_) => {
                    return Err(misplaced("a user message holds text, images and documents"));
                }
            });
        }
        Ok(Content::Pieces(pieces))
    }

    fn document(&self, media: &'a Media) -> Result<Piece<'a>, Unsupported> {
        let is_data = matches!(media.source, MediaSource::Data(_));
        match (self.dialect.documents, is_data) {
            (Documents::None, true) => Err(Unsupported::Feature(Feature::DocumentData)),
            (Documents::None | Documents::File, false) => {
                Err(Unsupported::Feature(Feature::DocumentUri))
            }
            (Documents::File, true) => Ok(Piece::File {
                file: File {
                    filename: match media.filename.as_str() {
                        // A name is required beside the bytes.
                        "" => "document",
                        name => name,
                    },
                    file_data: Url::of(media),
                },
            }),
            (Documents::DocumentUrl, _) => Ok(Piece::DocumentUrl {
                document_url: Url::of(media),
                document_name: &media.filename,
            }),
        }
    }

    /// `None` if nothing of the message may be sent to this provider.
    fn assistant_message(
        &mut self,
        parts: &'a [Part],
    ) -> Result<Option<WireMessage<'a>>, Unsupported> {
        self.ids.begin_message();
        let mut content = Vec::new();
        let mut message = AssistantMessage::default();
        for part in parts {
            match part {
                // A refusal is sent back as text: only OpenAI has a field for it, and for every other host the turn
                // would be empty.
                Part::Text(text) | Part::Refusal(text) => content.push(text.as_str()),
                Part::ToolCall(call) => {
                    let call = self.tool_call(call);
                    message.tool_calls.push(call);
                }
                Part::Reasoning(reasoning) => self.replay_reasoning(reasoning, &mut message),
                Part::Image(_) | Part::Document(_) | Part::ToolResult(_) => {
                    return Err(misplaced(
                        "an assistant message holds text, reasoning and tool calls",
                    ));
                }
            }
        }
        message.content = if !content.is_empty() || message.has_reasoning() {
            Some(joined(content))
        } else if !message.tool_calls.is_empty() {
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

    fn tool_call(&mut self, call: &'a ToolCall) -> WireToolCall<'a> {
        let ToolCall {
            id,
            name,
            arguments,
            signature,
            provider,
        } = call;
        let own_signature = match std::str::from_utf8(signature) {
            Ok(text) if !text.is_empty() && provider == self.provider => Some(text),
            _ => None,
        };
        if own_signature.is_none() && !signature.is_empty() {
            self.adaptations.note(
                "messages.parts.tool_call.signature",
                "left out: another provider made it",
            );
        }
        WireToolCall {
            id: self.ids.of_call(id, name),
            r#type: "function",
            function: FunctionCall {
                name: tool_names::fit(name, self.adaptations),
                arguments: Arguments::of(arguments, self.adaptations).into_text(),
            },
            extra_content: own_signature.map(|thought_signature| ExtraContent {
                google: GoogleContent { thought_signature },
            }),
        }
    }

    fn tool_message(&mut self, result: &'a ToolResult) -> Result<WireMessage<'a>, Unsupported> {
        let ToolResult {
            tool_call_id,
            tool_name,
            content,
            is_error,
        } = result;
        let mut said = Vec::with_capacity(content.len());
        texts(content, &mut said, "tool results are text only")?;
        if *is_error && said.iter().all(|text| text.trim().is_empty()) {
            said = vec![WORDLESS_FAILURE];
        }
        if *is_error {
            self.adaptations.note(
                "messages.parts.tool_result.is_error",
                "left out: the API cannot mark a tool result as failed; its text has to say so",
            );
        }
        Ok(WireMessage::Tool {
            tool_call_id: self.ids.of_result(tool_call_id, tool_name).id,
            content: joined(said),
        })
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

/// Adds the texts of a message that may hold nothing else.
fn texts<'a>(
    parts: &'a [Part],
    to: &mut Vec<&'a str>,
    why: &'static str,
) -> Result<(), Unsupported> {
    for part in parts {
        let Part::Text(text) = part else {
            return Err(misplaced(why));
        };
        to.push(text);
    }
    Ok(())
}

fn joined(texts: Vec<&str>) -> Content<'_> {
    Content::Texts(Texts {
        texts,
        separator: BETWEEN_TEXTS,
    })
}

fn misplaced(why: &'static str) -> Unsupported {
    Unsupported::Value {
        field: "messages.parts",
        why,
    }
}
