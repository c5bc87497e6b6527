//! How do the messages of a chat become the turns of a Gemini request?

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::chat::{
    ImageDetail, Media, MediaSource, Message, Part as ChatPart, Reasoning, Role, ToolCall,
    ToolResult,
};
use crate::error::Unsupported;
use crate::wire::arguments::Arguments;
use crate::wire::tool_ids::{Distinct, Form, Linked, ToolIds};
use crate::wire::{Adaptations, media_type, tool_names};

use super::request::{
    Author, Blob, Content, FileData, FunctionCall, FunctionResponse, Part, SystemInstruction,
    ToolOutput, ToolOutputPart,
};
use super::{Asking, Generation, refused};

/// A placeholder for the signature of another provider's call. Gemini 3 refuses a turn whose first call has no
/// signature (https://ai.google.dev/gemini-api/docs/thought-signatures).
const UNSIGNED_CALL: &str = "skip_thought_signature_validator";

/// The turns as far as they are written.
pub(super) struct Conversation<'a> {
    provider: &'a str,
    asking: Asking<'a>,
    pub(super) contents: Vec<Content<'a>>,
    /// Whether the open turn has a tool call.
    open_turn_calls: bool,
    ids: ToolIds<'a>,
    pub(super) adaptations: Adaptations,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(provider: &'a str, messages: &'a [Message], asking: Asking<'a>) -> Self {
        Self {
            provider,
            asking,
            contents: Vec::new(),
            open_turn_calls: false,
            ids: ToolIds::new(messages, Form::Any, Distinct::InConversation),
            adaptations: Adaptations::default(),
        }
    }

    /// Writes every message except the system's text, which is returned.
    pub(super) fn write(
        &mut self,
        messages: &'a [Message],
    ) -> Result<Option<SystemInstruction<'a>>, Unsupported> {
        let mut system = Vec::new();
        let mut results = Vec::new();
        for Message { role, parts } in messages {
            if *role != Role::Tool {
                self.tool_results(&mut results)?;
            }
            match role {
                Role::System => {
                    for part in parts {
                        let ChatPart::Text(text) = part else {
                            return Err(refused("messages.parts", "a system message is text only"));
                        };
                        system.push(Part::text(text));
                    }
                }
                Role::User | Role::Assistant => {
                    if *role == Role::Assistant {
                        self.ids.begin_message();
                    }
                    for part in parts {
                        self.part(*role, part)?;
                    }
                }
                Role::Tool => {
                    for part in parts {
                        let ChatPart::ToolResult(result) = part else {
                            return Err(refused(
                                "messages.parts",
                                "a tool message holds results only",
                            ));
                        };
                        let call = self.ids.of_result(&result.tool_call_id, &result.tool_name);
                        results.push((call, result));
                    }
                }
            }
        }
        self.tool_results(&mut results)?;
        Ok((!system.is_empty()).then_some(SystemInstruction { parts: system }))
    }

    fn part(&mut self, role: Role, part: &'a ChatPart) -> Result<(), Unsupported> {
        let author = match role {
            Role::Assistant => Author::Model,
            Role::System | Role::User | Role::Tool => Author::User,
        };
        match part {
            // An empty text is refused as a part without data.
            ChatPart::Text(text) if text.is_empty() => {}
            ChatPart::Text(text) => self.push(author, Part::text(text)),
            ChatPart::Refusal(text) => {
                self.adaptations.note(
                    "messages.parts.refusal",
                    "sent as text: this provider has no field for refusals",
                );
                self.push(author, Part::text(text));
            }
            ChatPart::Image(media) | ChatPart::Document(media) => {
                let part = self.media(media);
                self.push(author, part);
            }
            ChatPart::ToolCall(call) => {
                let part = self.tool_call(call)?;
                self.push(author, part);
            }
            ChatPart::Reasoning(reasoning) => {
                if let Some(part) = self.reasoning(reasoning)? {
                    self.push(author, part);
                }
            }
            ChatPart::ToolResult(_) => {
                return Err(refused(
                    "messages.parts.tool_result",
                    "only a tool message holds results",
                ));
            }
        }
        Ok(())
    }

    /// Appends to the open turn if it is the same author's: turns must alternate.
    fn push(&mut self, author: Author, part: Part<'a>) {
        let calls = part.function_call.is_some();
        match self.contents.last_mut() {
            Some(open) if open.role == author => {
                open.parts.push(part);
                self.open_turn_calls |= calls;
            }
            _ => {
                self.contents.push(Content {
                    role: author,
                    parts: vec![part],
                });
                self.open_turn_calls = calls;
            }
        }
    }

    fn media(&mut self, media: &'a Media) -> Part<'a> {
        match &media.source {
            MediaSource::Data(_) => Part {
                inline_data: self.blob(media),
                ..Part::default()
            },
            MediaSource::Uri(uri) => {
                self.media_adaptations(media);
                Part {
                    file_data: Some(FileData {
                        mime_type: media_type::registered(&media.media_type),
                        file_uri: uri,
                    }),
                    ..Part::default()
                }
            }
        }
    }

    /// `None` for media that the provider fetches.
    fn blob(&mut self, media: &'a Media) -> Option<Blob<'a>> {
        let MediaSource::Data(data) = &media.source else {
            return None;
        };
        self.media_adaptations(media);
        Some(Blob {
            mime_type: media_type::registered(&media.media_type),
            data,
        })
    }

    fn media_adaptations(&mut self, media: &Media) {
        let Media {
            source: _,
            media_type: _,
            filename,
            detail,
        } = media;
        if !filename.is_empty() {
            self.adaptations.note(
                "messages.parts.filename",
                "left out: this provider has no field for file names",
            );
        }
        match detail {
            ImageDetail::Auto => {}
            ImageDetail::Low | ImageDetail::High => self.adaptations.note(
                "messages.parts.image.detail",
                "left out: this provider has no setting for the detail of an image",
            ),
        }
    }

    fn reasoning(&mut self, reasoning: &'a Reasoning) -> Result<Option<Part<'a>>, Unsupported> {
        let Reasoning {
            text,
            signature,
            provider,
        } = reasoning;
        if provider != self.provider {
            self.adaptations.note(
                "messages.parts.reasoning",
                "left out: it was made by another provider",
            );
            return Ok(None);
        }
        let thought_signature = signature_text(signature)?;
        if text.is_empty() && thought_signature.is_none() {
            return Ok(None);
        }
        Ok(Some(Part {
            thought: !text.is_empty(),
            thought_signature,
            ..Part::text(text)
        }))
    }

    fn tool_call(&mut self, call: &'a ToolCall) -> Result<Part<'a>, Unsupported> {
        let ToolCall {
            id,
            name,
            arguments,
            signature,
            provider,
        } = call;
        let args = Arguments::of(arguments, &mut self.adaptations);
        let mut thought_signature = None;
        if provider == self.provider {
            thought_signature = signature_text(signature)?;
        } else if !signature.is_empty() {
            self.adaptations.note(
                "messages.parts.tool_call.signature",
                "left out: it was made by another provider",
            );
        }
        if thought_signature.is_none() && self.must_be_signed() {
            self.adaptations.note(
                "messages.parts.tool_call.signature",
                "replaced by a placeholder: this provider has not signed the call",
            );
            thought_signature = Some(UNSIGNED_CALL);
        }
        let id = self.ids.of_call(id, name);
        Ok(Part {
            function_call: Some(FunctionCall {
                id: if self.asking.call_ids {
                    id
                } else {
                    Cow::Borrowed("")
                },
                name: tool_names::fit(name, &mut self.adaptations),
                args,
            }),
            thought_signature,
            ..Part::default()
        })
    }

    /// Whether a call that comes next must carry a signature: of parallel calls only the first does.
    fn must_be_signed(&self) -> bool {
        let is_first = match self.contents.last() {
            Some(open) if open.role == Author::Model => !self.open_turn_calls,
            _ => true,
        };
        self.asking.generation == Generation::Third && is_first
    }

    /// Writes the results of one turn in the order of their calls: a host that ignores ids can tell two results of the
    /// same tool apart only by their order.
    fn tool_results(
        &mut self,
        results: &mut Vec<(Linked<'a>, &'a ToolResult)>,
    ) -> Result<(), Unsupported> {
        results.sort_by_key(|(call, _)| call.number);
        for (call, result) in results.drain(..) {
            self.tool_result(call, result)?;
        }
        Ok(())
    }

    fn tool_result(&mut self, call: Linked<'a>, result: &'a ToolResult) -> Result<(), Unsupported> {
        let ToolResult {
            tool_call_id: _, // `call` has it
            tool_name,
            content,
            is_error,
        } = result;
        let mut texts = Vec::new();
        let mut within = Vec::new();
        let mut beside = Vec::new();
        for part in content {
            match part {
                ChatPart::Text(text) => texts.push(text.as_str()),
                ChatPart::Image(media) | ChatPart::Document(media) => {
                    let nested = match self.asking.generation {
                        Generation::Second => None,
                        Generation::Third => self.blob(media),
                    };
                    match nested {
                        Some(inline_data) => within.push(ToolOutputPart { inline_data }),
                        None => beside.push(self.media(media)),
                    }
                }
                ChatPart::ToolCall(_)
                | ChatPart::ToolResult(_)
                | ChatPart::Reasoning(_)
                | ChatPart::Refusal(_) => {
                    return Err(refused(
                        "messages.parts.tool_result.content",
                        "a result holds text, images and documents only",
                    ));
                }
            }
        }
        let name = tool_names::fit(tool_name, &mut self.adaptations);
        self.push(
            Author::User,
            Part {
                function_response: Some(FunctionResponse {
                    id: if self.asking.call_ids {
                        call.id
                    } else {
                        Cow::Borrowed("")
                    },
                    name,
                    response: output(&texts, *is_error),
                    parts: within,
                }),
                ..Part::default()
            },
        );
        for part in beside {
            self.push(Author::User, part);
        }
        Ok(())
    }
}

pub(super) fn output<'a>(texts: &[&'a str], is_error: bool) -> ToolOutput<'a> {
    let (text, object) = match texts {
        [text] => (Cow::Borrowed(*text), json_object(text)),
        _ => (Cow::Owned(texts.join("\n")), None),
    };
    match (object, is_error) {
        (Some(object), false) => ToolOutput::AsItIs(object),
        (Some(error), true) => ToolOutput::ErrorObject { error },
        (None, false) => ToolOutput::Result { result: text },
        (None, true) => ToolOutput::ErrorText { error: text },
    }
}

fn signature_text(signature: &[u8]) -> Result<Option<&str>, Unsupported> {
    if signature.is_empty() {
        return Ok(None);
    }
    match std::str::from_utf8(signature) {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(refused(
            "messages.parts.signature",
            "it is not the signature that the provider gave",
        )),
    }
}

fn json_object(text: &str) -> Option<&RawValue> {
    let value: &RawValue = serde_json::from_str(text).ok()?;
    value.get().starts_with('{').then_some(value)
}
