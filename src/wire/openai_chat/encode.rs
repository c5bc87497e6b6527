//! How a request is spelled in OpenAI Chat Completions.
//!
//! Specification: <https://platform.openai.com/docs/api-reference/chat/create>.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::value::RawValue;

use crate::chat::{
    ChatRequest, ImageDetail, Media, MediaSource, Message, Part, Reasoning, ReasoningEffort,
    ReasoningOptions, ResponseFormat, Role, Sampling, Tool, ToolCall, ToolChoice, ToolResult,
};
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::{Adaptation, Recipient, WireRequest};

use super::body::{
    AssistantMessage, Body, Content, ExtraContent, File, FunctionCall, FunctionTool, GoogleContent,
    ImageUrl, JsonSchema, Named, Piece, ReasoningDetail, ReasoningObject, StreamOptions, Thinking,
    Url, WireResponseFormat, WireMessage, WireTool, WireToolCall, WireToolChoice,
};
use super::tool_ids::{ToolIds, nine_alphanumerics};
use super::{
    Dialect, Documents, Effort, OutputCap, ReasoningControl, ReasoningHistory, RequiredWord,
    SeedField, SystemRole, ToolCallIds,
};

/// OpenAI refuses a fifth.
const MAX_STOP_SEQUENCES: usize = 4;

/// Spells `request` in `dialect`.
pub(super) fn encode(
    dialect: &Dialect,
    request: &ChatRequest,
    to: &Recipient<'_>,
) -> Result<WireRequest, Unsupported> {
    let ChatRequest {
        messages,
        tools,
        tool_choice,
        parallel_tool_calls,
        response_format,
        sampling,
        reasoning,
    } = request;
    let Sampling {
        max_output_tokens,
        temperature,
        top_p,
        top_k,
        frequency_penalty,
        presence_penalty,
        seed,
        stop_sequences,
    } = sampling;
    if stop_sequences.len() > MAX_STOP_SEQUENCES {
        return Err(Unsupported::Value {
            field: "sampling.stop_sequences",
            why: "at most four stop sequences are taken",
        });
    }

    let mut encoder = Encoder {
        dialect,
        provider: to.provider,
        ids: ToolIds::new(messages),
        adaptations: Vec::new(),
    };
    let mut body = Body {
        model: to.model,
        messages: encoder.messages(messages)?,
        response_format: response_format_of(response_format)?,
        temperature: *temperature,
        top_p: *top_p,
        top_k: *top_k,
        frequency_penalty: *frequency_penalty,
        presence_penalty: *presence_penalty,
        stop: stop_sequences,
        ..Body::default()
    };
    if !tools.is_empty() {
        // Both fields are refused without tools.
        body.tools = tools.iter().map(tool_of).collect::<Result<_, _>>()?;
        body.tool_choice = encoder.tool_choice(tool_choice);
        body.parallel_tool_calls = parallel_tool_calls.filter(|_| dialect.parallel_tool_calls);
    }
    let cap = encoder.output_cap(*max_output_tokens, to.max_output_tokens);
    match dialect.output_cap {
        OutputCap::MaxCompletionTokens => body.max_completion_tokens = cap,
        OutputCap::MaxTokens => body.max_tokens = cap,
    }
    match dialect.seed {
        SeedField::Seed => body.seed = *seed,
        SeedField::RandomSeed => body.random_seed = *seed,
    }
    encoder.reasoning_control(reasoning, !tools.is_empty(), &mut body)?;
    if to.stream {
        body.stream = true;
        body.stream_options = dialect.stream_usage.then_some(StreamOptions {
            include_usage: true,
        });
    }

    let json = serde_json::to_vec(&body).expect("strings, numbers and checked JSON texts");
    Ok(WireRequest {
        path: "/chat/completions".to_owned(),
        headers: HeaderMap::from_iter([(
            CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )]),
        body: Bytes::from(json),
        adaptations: encoder.adaptations,
    })
}

/// What is known and noted while one request is spelled.
struct Encoder<'a> {
    dialect: &'a Dialect,
    provider: &'a str,
    ids: ToolIds<'a>,
    adaptations: Vec<Adaptation>,
}

impl<'a> Encoder<'a> {
    fn note(&mut self, field: &'static str, what: &'static str) {
        let adaptation = Adaptation { field, what };
        if !self.adaptations.contains(&adaptation) {
            self.adaptations.push(adaptation);
        }
    }

    fn messages(&mut self, messages: &'a [Message]) -> Result<Vec<WireMessage<'a>>, Unsupported> {
        let mut wire = Vec::with_capacity(messages.len());
        for Message { role, parts } in messages {
            match role {
                Role::System => {
                    let content = texts(parts, "instructions are text only")?;
                    wire.push(match self.dialect.system_role {
                        SystemRole::System => WireMessage::System { content },
                        SystemRole::Developer => WireMessage::Developer { content },
                    });
                }
                Role::User => wire.push(WireMessage::User {
                    content: self.user_content(parts)?,
                }),
                Role::Assistant => wire.extend(self.assistant_message(parts)?),
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
        Ok(wire)
    }

    fn user_content(&self, parts: &'a [Part]) -> Result<Content<'a>, Unsupported> {
        if let [Part::Text(text)] = parts {
            return Ok(Content::Text(text));
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
                Part::ToolCall(_)
                | Part::ToolResult(_)
                | Part::Reasoning(_)
                | Part::Refusal(_) => {
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
        let mut content = Vec::new();
        let mut message = AssistantMessage::default();
        for part in parts {
            match part {
                // A refusal goes back as the text it is: only OpenAI knows a field for it, and to
                // every other host the turn would be empty.
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
            Some(Content::of(&content))
        } else if !message.tool_calls.is_empty() {
            None
        } else {
            return Ok(None);
        };
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
            self.note(
                "messages.parts.tool_call.signature",
                "left out: another provider made it",
            );
        }
        WireToolCall {
            id: self.wire_id(self.ids.of_call(id, name)),
            r#type: "function",
            function: FunctionCall {
                name,
                arguments: if arguments.is_empty() {
                    "{}"
                } else {
                    arguments
                },
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
        let content = texts(content, "tool results are text only")?;
        if *is_error {
            self.note(
                "messages.parts.tool_result.is_error",
                "left out: the API has no mark for failed tools, the text has to say it",
            );
        }
        Ok(WireMessage::Tool {
            tool_call_id: self.wire_id(self.ids.of_result(tool_call_id, tool_name)),
            content,
        })
    }

    fn wire_id(&self, id: Cow<'a, str>) -> Cow<'a, str> {
        match self.dialect.tool_call_ids {
            ToolCallIds::Any => id,
            ToolCallIds::NineAlphanumerics => nine_alphanumerics(id),
        }
    }

    fn replay_reasoning(&mut self, reasoning: &'a Reasoning, message: &mut AssistantMessage<'a>) {
        const FIELD: &str = "messages.parts.reasoning";
        let Reasoning {
            text,
            signature,
            provider,
        } = reasoning;
        if provider != self.provider {
            self.note(FIELD, "left out: another provider made it");
            return;
        }
        match self.dialect.reasoning_history {
            ReasoningHistory::None => self.note(FIELD, "left out: the provider does not take it"),
            ReasoningHistory::ReasoningContent => message.reasoning_content += text.as_str(),
            ReasoningHistory::Reasoning => message.reasoning += text.as_str(),
            ReasoningHistory::ReasoningDetails => {
                message.reasoning_details.extend(details(text, signature));
            }
        }
    }

    fn tool_choice(&self, choice: &'a ToolChoice) -> Option<WireToolChoice<'a>> {
        match choice {
            ToolChoice::Auto => None,
            ToolChoice::None => Some(WireToolChoice::Word("none")),
            ToolChoice::Required => Some(WireToolChoice::Word(match self.dialect.required_tool_choice {
                RequiredWord::Required => "required",
                RequiredWord::Any => "any",
            })),
            ToolChoice::Function(name) => Some(WireToolChoice::Function {
                r#type: "function",
                function: Named { name },
            }),
        }
    }

    fn output_cap(&mut self, wanted: Option<u32>, most: Option<u32>) -> Option<u32> {
        match (wanted, most) {
            (Some(wanted), Some(most)) if wanted > most => {
                self.note(
                    "sampling.max_output_tokens",
                    "lowered to the most the model can give",
                );
                Some(most)
            }
            _ => wanted,
        }
    }

    fn reasoning_control(
        &mut self,
        options: &ReasoningOptions,
        has_tools: bool,
        body: &mut Body<'a>,
    ) -> Result<(), Unsupported> {
        let ReasoningOptions {
            effort,
            max_tokens,
            include,
        } = *options;
        // No reasoning at all keeps every limit.
        let budget = max_tokens.filter(|_| effort != Some(ReasoningEffort::None));
        let on = effort.map(|effort| effort != ReasoningEffort::None);
        let without_budget = || match budget {
            None => Ok(()),
            Some(_) => Err(Unsupported::Feature(Feature::ReasoningBudget)),
        };
        match self.dialect.reasoning {
            ReasoningControl::None => {
                without_budget()?;
                if effort.is_some() {
                    return Err(Unsupported::Feature(Feature::ReasoningEffort));
                }
            }
            ReasoningControl::ReasoningEffort => {
                without_budget()?;
                body.reasoning_effort = self.effort(effort)?;
            }
            ReasoningControl::ReasoningObject => {
                if effort.is_none() && budget.is_none() {
                    return Ok(());
                }
                if effort.is_some() && budget.is_some() {
                    self.note(
                        "reasoning.effort",
                        "left out: the provider takes either an effort or a limit of tokens",
                    );
                }
                body.reasoning = Some(ReasoningObject {
                    effort: match budget {
                        Some(_) => None,
                        None => self.effort(effort)?,
                    },
                    max_tokens: budget,
                    // With tools the details have to come back in the next request.
                    exclude: !include && !has_tools,
                });
            }
            ReasoningControl::Thinking => {
                without_budget()?;
                body.thinking = on.map(|on| Thinking {
                    r#type: if on { "enabled" } else { "disabled" },
                });
                if on == Some(true) && !self.dialect.efforts.is_empty() {
                    body.reasoning_effort = self.effort(effort)?;
                } else if on == Some(true) {
                    self.note_switch();
                }
            }
            ReasoningControl::EnableThinking => {
                body.enable_thinking = on.or(budget.map(|_| true));
                body.thinking_budget = budget;
                if on == Some(true) {
                    self.note_switch();
                }
            }
        }
        Ok(())
    }

    fn note_switch(&mut self) {
        self.note(
            "reasoning.effort",
            "reasoning is switched on: the provider takes no degrees of it",
        );
    }

    fn effort(&mut self, effort: Option<ReasoningEffort>) -> Result<Option<Effort>, Unsupported> {
        let Some(effort) = effort else {
            return Ok(None);
        };
        let Some((word, exact)) = self.dialect.nearest_effort(effort) else {
            return Err(Unsupported::Feature(Feature::ReasoningEffort));
        };
        if !exact {
            self.note(
                "reasoning.effort",
                "changed to the nearest effort that the provider takes",
            );
        }
        Ok(Some(word))
    }
}

/// Text parts as the content of a message that takes nothing else.
fn texts<'a>(parts: &'a [Part], why: &'static str) -> Result<Content<'a>, Unsupported> {
    let mut texts = Vec::with_capacity(parts.len());
    for part in parts {
        let Part::Text(text) = part else {
            return Err(misplaced(why));
        };
        texts.push(text.as_str());
    }
    Ok(Content::of(&texts))
}

fn misplaced(why: &'static str) -> Unsupported {
    Unsupported::Value {
        field: "messages.parts",
        why,
    }
}

/// The entries of `reasoning_details` for one piece of reasoning, as the decoder took it apart: the
/// signature is the entry that held it, the text that of the entries before it.
fn details<'a>(text: &'a str, signature: &[u8]) -> Vec<ReasoningDetail<'a>> {
    let plain = ReasoningDetail::Plain {
        r#type: "reasoning.text",
        text,
    };
    let Ok(mut entry) = serde_json::from_slice::<serde_json::Map<_, _>>(signature) else {
        return Vec::from_iter((!text.is_empty()).then_some(plain));
    };
    let field = match entry.get("type").and_then(|kind| kind.as_str()) {
        Some("reasoning.text") => Some("text"),
        Some("reasoning.summary") => Some("summary"),
        _ => None,
    };
    match field {
        Some(field) => {
            if !entry.contains_key(field) {
                entry.insert(field.to_owned(), text.into());
            }
            vec![ReasoningDetail::Signed(entry)]
        }
        None if text.is_empty() => vec![ReasoningDetail::Signed(entry)],
        None => vec![plain, ReasoningDetail::Signed(entry)],
    }
}

fn tool_of(tool: &Tool) -> Result<WireTool<'_>, Unsupported> {
    let Tool {
        name,
        description,
        parameters,
        strict,
    } = tool;
    Ok(WireTool {
        r#type: "function",
        function: FunctionTool {
            name,
            description,
            parameters: match parameters {
                Some(schema) => Some(json(schema, "tools.parameters")?),
                None => None,
            },
            strict: *strict,
        },
    })
}

fn response_format_of(
    format: &ResponseFormat,
) -> Result<Option<WireResponseFormat<'_>>, Unsupported> {
    Ok(match format {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some(WireResponseFormat::JsonObject),
        ResponseFormat::JsonSchema {
            name,
            schema,
            strict,
        } => Some(WireResponseFormat::JsonSchema {
            json_schema: JsonSchema {
                name,
                schema: json(schema, "response_format.json_schema.schema")?,
                strict: *strict,
            },
        }),
    })
}

fn json<'a>(text: &'a str, field: &'static str) -> Result<&'a RawValue, Unsupported> {
    serde_json::from_str(text).map_err(|_| Unsupported::Value {
        field,
        why: "it is not JSON",
    })
}

#[cfg(test)]
mod tests;
