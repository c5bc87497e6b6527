//! Which blocks do the parts of a message become?

use std::borrow::Cow;

use super::blocks::{Block, Source};
use super::opaque::Opaque;
use super::value;
use crate::chat::{
    ImageDetail, Media, MediaSource, Message, Part, Reasoning, Role, ToolCall, ToolResult,
};
use crate::error::Unsupported;
use crate::wire::arguments::Arguments;
use crate::wire::tool_ids::{Distinct, Form, ToolIds};
use crate::wire::{Adaptations, media_type, tool_names};

/// Spells the parts of one conversation, in its order.
pub(super) struct Parts<'a> {
    /// Whom the request goes to: what another provider has signed is left out.
    provider: &'a str,
    ids: ToolIds<'a>,
    pub(super) adaptations: Adaptations,
    /// Images and documents of a tool that failed, which stand beside its result.
    pub(super) shown_by_failures: Vec<Block<'a>>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(messages: &'a [Message], provider: &'a str) -> Self {
        Self {
            provider,
            ids: ToolIds::new(messages, Form::LettersAndDigits, Distinct::InConversation),
            adaptations: Adaptations::default(),
            shown_by_failures: Vec::new(),
        }
    }

    /// An assistant message begins: results that come later belong to its calls.
    pub(super) fn begin_message(&mut self) {
        self.ids.begin_message();
    }

    /// Spells one part; `None` for one that is left out.
    pub(super) fn block(
        &mut self,
        role: Role,
        part: &'a Part,
    ) -> Result<Option<Block<'a>>, Unsupported> {
        if role == Role::System && !matches!(part, Part::Text(_)) {
            return Err(value("messages.parts", "system messages hold only text"));
        }
        if role == Role::Assistant && matches!(part, Part::Image(_) | Part::Document(_)) {
            return Err(value(
                "messages.parts",
                "assistant messages hold no images and no documents",
            ));
        }
        match part {
            // An empty text block is refused, and says nothing. So is one of white space
            // (anomalyco/opencode#31259, NousResearch/hermes-agent#69517).
            Part::Text(text) | Part::Refusal(text) if text.trim().is_empty() => {
                if !text.is_empty() {
                    self.adaptations.note(
                        "messages.parts.text",
                        "left out: the provider refuses texts of white space only",
                    );
                }
                Ok(None)
            }
            Part::Text(text) | Part::Refusal(text) => Ok(Some(Block::Text { text })),
            Part::Image(media) => self.image(media).map(Some),
            Part::Document(media) => self.document(media).map(Some),
            Part::ToolCall(call) => Ok(Some(self.tool_use(call))),
            Part::ToolResult(result) => self.tool_result(result).map(Some),
            Part::Reasoning(reasoning) => Ok(self.thinking(reasoning)),
            Part::Audio(_) | Part::Video(_) | Part::Provider(_) => {
                Err(value("messages.parts", "it has none"))
            }
        }
    }

    fn image(&mut self, media: &'a Media) -> Result<Block<'a>, Unsupported> {
        let Media {
            source,
            media_type,
            filename: _, // an image has no title
            detail,
        } = media;
        match detail {
            ImageDetail::Auto => {}
            ImageDetail::Low | ImageDetail::High => self.adaptations.note(
                "messages.parts.image.detail",
                "left out: the provider chooses the detail of an image itself",
            ),
        }
        let media_type = media_type::registered(media_type);
        let source = match source {
            MediaSource::Data(data) => match &*media_type {
                "image/jpeg" | "image/png" | "image/gif" | "image/webp" => {
                    Source::Base64 { media_type, data }
                }
                _ => {
                    return Err(value(
                        "messages.parts.image.media_type",
                        "images are JPEG, PNG, GIF or WebP",
                    ));
                }
            },
            MediaSource::Uri(url) => web_url(url, "messages.parts.image.uri")?,
            MediaSource::File { .. } => return Err(value("messages.parts", "it has none")),
        };
        Ok(Block::Image { source })
    }

    fn document(&mut self, media: &'a Media) -> Result<Block<'a>, Unsupported> {
        let Media {
            source,
            media_type,
            filename,
            detail: _, // applies to images only
        } = media;
        let media_type = media_type::registered(media_type);
        let essence = media_type
            .split_once(';')
            .map_or(&*media_type, |(essence, _parameters)| essence)
            .trim_end();
        let source = match (source, essence) {
            (MediaSource::Data(data), "application/pdf") => Source::Base64 {
                media_type: Cow::Borrowed("application/pdf"),
                data,
            },
            (MediaSource::Data(data), "text/plain") => Source::Text {
                media_type: "text/plain",
                data: std::str::from_utf8(data)
                    .map_err(|_| value("messages.parts.document.data", "text is UTF-8"))?,
            },
            (MediaSource::Uri(url), "application/pdf" | "") => {
                web_url(url, "messages.parts.document.uri")?
            }
            (MediaSource::File { .. }, _) => return Err(value("messages.parts", "it has none")),
            (MediaSource::Data(_), _) => {
                return Err(value(
                    "messages.parts.document.media_type",
                    "documents are PDF or plain text",
                ));
            }
            (MediaSource::Uri(_), _) => {
                return Err(value(
                    "messages.parts.document.media_type",
                    "only PDF is fetched from a URI",
                ));
            }
        };
        Ok(Block::Document {
            source,
            title: filename,
        })
    }

    fn tool_use(&mut self, call: &'a ToolCall) -> Block<'a> {
        let ToolCall {
            id,
            name,
            arguments,
            signature,
            provider: _, // this format has no signatures of tool calls, so a signature is another provider's
        } = call;
        if !signature.is_empty() {
            self.adaptations.note(
                "messages.parts.tool_call.signature",
                "left out: it means something only to the provider that made it",
            );
        }
        Block::ToolUse {
            id: self.call_id(id, name),
            name: tool_names::fit(name, &mut self.adaptations),
            input: Arguments::of(arguments, &mut self.adaptations),
        }
    }

    fn tool_result(&mut self, result: &'a ToolResult) -> Result<Block<'a>, Unsupported> {
        let ToolResult {
            tool_call_id,
            tool_name,
            content,
            is_error,
        } = result;
        let mut blocks = Vec::with_capacity(content.len());
        for part in content {
            match part {
                Part::Text(_) | Part::Image(_) | Part::Document(_) => {
                    blocks.extend(self.block(Role::Tool, part)?);
                }
                Part::ToolCall(_)
                | Part::ToolResult(_)
                | Part::Reasoning(_)
                | Part::Refusal(_)
                | Part::Audio(_)
                | Part::Video(_)
                | Part::Provider(_) => {
                    return Err(value(
                        "messages.parts.tool_result.content",
                        "tool results hold only text, images and documents",
                    ));
                }
            }
        }
        if *is_error {
            self.fit_failure(&mut blocks);
        }
        Ok(Block::ToolResult {
            tool_use_id: self.ids.of_result(tool_call_id, tool_name).id,
            content: blocks,
            is_error: *is_error,
        })
    }

    /// The content of a failed result is text and never empty:
    /// bytedance/trae-agent#230, vellum-ai/vellum-assistant#18387.
    fn fit_failure(&mut self, blocks: &mut Vec<Block<'a>>) {
        let is_text = |block: &Block<'_>| matches!(block, Block::Text { .. });
        let (mut texts, others): (Vec<_>, Vec<_>) = blocks.drain(..).partition(is_text);
        if !others.is_empty() {
            self.adaptations.note(
                "messages.parts.tool_result.content",
                "images and documents of a failed tool stand beside its result, which holds only text",
            );
            self.shown_by_failures.extend(others);
        }
        if texts.is_empty() {
            self.adaptations.note(
                "messages.parts.tool_result.content",
                "a few words were added: the provider requires the result of a failed tool to have text",
            );
            texts.push(Block::Text {
                text: "The tool failed and did not say why.",
            });
        }
        *blocks = texts;
    }

    fn thinking(&mut self, reasoning: &'a Reasoning) -> Option<Block<'a>> {
        let Reasoning {
            text,
            signature,
            provider: author,
        } = reasoning;
        if author != self.provider {
            self.adaptations.note(
                "messages.parts.reasoning",
                "left out: another provider made it",
            );
            return None;
        }
        match Opaque::read(signature) {
            Some(Opaque::Signature(signature)) => Some(Block::Thinking {
                thinking: text,
                signature,
            }),
            Some(Opaque::Redacted(data)) => Some(Block::RedactedThinking { data }),
            None => {
                self.adaptations.note(
                    "messages.parts.reasoning",
                    "left out: it lacks the provider's signature",
                );
                None
            }
        }
    }

    /// The API takes only ids of letters, digits, `_` and `-`, and each of them once:
    /// <https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls>.
    fn call_id(&mut self, id: &'a str, name: &'a str) -> Cow<'a, str> {
        let wire = self.ids.of_call(id, name);
        if wire != id {
            self.adaptations.note(
                "messages.parts.tool_call.id",
                "rewritten: ids are unique here and hold only letters, digits, `_` and `-`",
            );
        }
        wire
    }
}

fn web_url<'a>(url: &'a str, field: &'static str) -> Result<Source<'a>, Unsupported> {
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(Source::Url { url });
    }
    Err(value(field, "only http and https are fetched"))
}
