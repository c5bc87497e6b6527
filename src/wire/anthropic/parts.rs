//! Which blocks do the parts of a message become?

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::betas::Betas;
use super::blocks::{Block, MarkedBlock, Source};
use super::marked::{Marked, Marking};
use super::opaque::Opaque;
use super::value;
use crate::chat::{
    ChatRequest, ImageDetail, Marks, Media, MediaSource, Part, PartAt, ProviderPart, Reasoning,
    Role, ToolCall, ToolResult,
};
use crate::error::Unsupported;
use crate::wire::arguments::Arguments;
use crate::wire::options::OptionsPlace;
use crate::wire::tool_ids::{Distinct, Form, ToolIds};
use crate::wire::{Adaptations, media_type, tool_names};

/// Spells the parts of one conversation, in its order.
pub(super) struct Parts<'a> {
    /// Whom the request goes to: what another provider has signed is left out.
    provider: &'a str,
    /// What is said of parts; `None` if nothing is.
    marks: Option<&'a Marks>,
    marking: Marking<'a>,
    ids: ToolIds<'a>,
    pub(super) adaptations: Adaptations,
    pub(super) betas: Betas,
    /// Images and documents of a tool that failed, which stand beside its result.
    pub(super) shown_by_failures: Vec<MarkedBlock<'a>>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(request: &'a ChatRequest, provider: &'a str, marking: Marking<'a>) -> Self {
        let ChatRequest {
            messages, marks, ..
        } = request;
        Self {
            provider,
            marks: marks.of_parts().next().map(|_| marks),
            marking,
            ids: ToolIds::new(messages, Form::LettersAndDigits, Distinct::InConversation),
            adaptations: Adaptations::default(),
            betas: Betas::default(),
            shown_by_failures: Vec::new(),
        }
    }

    /// An assistant message begins: results that come later belong to its calls.
    pub(super) fn begin_message(&mut self) {
        self.ids.begin_message();
    }

    /// Spells one part with its mark; `None` for one that is left out.
    pub(super) fn block(
        &mut self,
        role: Role,
        part: &'a Part,
        at: PartAt,
    ) -> Result<Option<MarkedBlock<'a>>, Unsupported> {
        let block = self.content(role, part, at)?;
        let Some(marks) = self.marks else {
            return Ok(block.map(Marked::plain));
        };
        let Some(mark) = marks.at(at) else {
            return Ok(block.map(Marked::plain));
        };
        let path = at.to_string();
        let Some(block) = block else {
            if mark.cache.is_some() {
                let path = format!("{path}.cache_breakpoint");
                self.adaptations.note(path, "left out with its part");
            }
            return Ok(None);
        };
        let (place, marking) = (OptionsPlace::Part, self.marking);
        Marked::new(block, mark, path, place, marking, &mut self.adaptations).map(Some)
    }

    fn content(
        &mut self,
        role: Role,
        part: &'a Part,
        at: PartAt,
    ) -> Result<Option<Block<'a>>, Unsupported> {
        if role == Role::System && !matches!(part, Part::Text(_)) {
            return Err(value("messages.parts", "system messages hold only text"));
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
            Part::Document(_) if role == Role::Assistant => Err(value(
                "messages.parts",
                "assistant messages hold no documents",
            )),
            Part::Image(_) | Part::Audio(_) | Part::Video(_) if role == Role::Assistant => {
                self.adaptations.note(
                    match part {
                        Part::Image(_) => "messages.parts.image",
                        Part::Audio(_) => "messages.parts.audio",
                        _ => "messages.parts.video",
                    },
                    "left out: the provider takes only text and tool calls of an assistant",
                );
                Ok(None)
            }
            Part::Image(media) => self.image(media).map(Some),
            Part::Document(media) => self.document(media).map(Some),
            Part::Audio(_) => Err(value("messages.parts.audio", "the provider takes no sound")),
            Part::Video(_) => Err(value("messages.parts.video", "the provider takes no films")),
            Part::ToolCall(call) => Ok(Some(self.tool_use(call))),
            Part::ToolResult(result) => self.tool_result(result, at).map(Some),
            Part::Reasoning(reasoning) => Ok(self.thinking(reasoning)),
            Part::Provider(part) => self.provider_block(part),
        }
    }

    fn provider_block(&mut self, part: &'a ProviderPart) -> Result<Option<Block<'a>>, Unsupported> {
        let ProviderPart {
            provider,
            kind,
            content,
        } = part;
        if provider != self.provider {
            self.adaptations.note(
                "messages.parts.provider_part",
                "left out: another provider made it",
            );
            return Ok(None);
        }
        let content: &RawValue = serde_json::from_str(content)
            .map_err(|_| value("messages.parts.provider_part.content", "it is no JSON"))?;
        self.betas.add_block(kind);
        Ok(Some(Block::Provider(content)))
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
            MediaSource::File { provider, id } => {
                self.stored(provider, id, "messages.parts.image.file")?
            }
        };
        Ok(Block::Image { source })
    }

    fn stored(
        &mut self,
        provider: &str,
        id: &'a str,
        field: &'static str,
    ) -> Result<Source<'a>, Unsupported> {
        if provider != self.provider {
            return Err(value(field, "the file is stored at another provider"));
        }
        self.betas.add_files();
        Ok(Source::File { file_id: id })
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
            (MediaSource::File { provider, id }, _) => {
                self.stored(provider, id, "messages.parts.document.file")?
            }
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
            provider: author,
        } = call;
        let caller = match Opaque::read(signature) {
            Some(Opaque::Caller(json)) if author == self.provider => {
                serde_json::from_str::<&RawValue>(json).ok()
            }
            _ => None,
        };
        if caller.is_none() && !signature.is_empty() {
            self.adaptations.note(
                "messages.parts.tool_call.signature",
                "left out: it means something only to the provider that made it",
            );
        }
        Block::ToolUse {
            id: self.call_id(id, name),
            name: tool_names::fit(name, &mut self.adaptations),
            input: Arguments::of(arguments, &mut self.adaptations),
            caller,
        }
    }

    fn tool_result(
        &mut self,
        result: &'a ToolResult,
        at: PartAt,
    ) -> Result<Block<'a>, Unsupported> {
        let ToolResult {
            tool_call_id,
            tool_name,
            content,
            is_error,
        } = result;
        let mut blocks = Vec::with_capacity(content.len());
        for (index, part) in content.iter().enumerate() {
            match part {
                Part::Text(_)
                | Part::Image(_)
                | Part::Document(_)
                | Part::Audio(_)
                | Part::Video(_) => {
                    let content = Some(index);
                    blocks.extend(self.block(Role::Tool, part, PartAt { content, ..at })?);
                }
                Part::ToolCall(_)
                | Part::ToolResult(_)
                | Part::Reasoning(_)
                | Part::Refusal(_)
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
    fn fit_failure(&mut self, blocks: &mut Vec<MarkedBlock<'a>>) {
        let is_text = |block: &MarkedBlock<'_>| matches!(block.piece, Block::Text { .. });
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
            texts.push(Marked::plain(Block::Text {
                text: "The tool failed and did not say why.",
            }));
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
            Some(Opaque::Caller(_)) | None => {
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
