//! How a chat request becomes a generateContent request.

use std::borrow::Cow;
use std::fmt::Write;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::value::RawValue;

use crate::chat::{
    ChatRequest, ImageDetail, Media, MediaSource, Message, Part as ChatPart, Reasoning,
    ReasoningEffort, ReasoningOptions, ResponseFormat, Role, Sampling, Tool, ToolCall, ToolChoice,
    ToolResult,
};
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::{Adaptation, Recipient, WireRequest};

use super::Generation;
use super::request::{
    Author, Blob, Content, FileData, FunctionCall, FunctionCallingConfig, FunctionDeclaration,
    FunctionResponse, GenerationConfig, Part, Request, SystemInstruction, ThinkingConfig,
    ToolConfig, ToolOutput, ToolOutputPart, Tools,
};

const MAX_STOP_SEQUENCES: usize = 5;

/// Stands in for a signature that a call from another provider cannot have; Gemini 3 refuses the
/// first call of a turn without any (https://ai.google.dev/gemini-api/docs/thought-signatures).
const UNSIGNED_CALL: &str = "skip_thought_signature_validator";

pub(super) fn encode(
    request: &ChatRequest,
    to: &Recipient<'_>,
    generation: Generation,
    call_ids: bool,
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
    if *parallel_tool_calls == Some(false) {
        return Err(Unsupported::Feature(Feature::SerialToolCalls));
    }
    if generation == Generation::Second
        && *response_format != ResponseFormat::Text
        && !tools.is_empty()
    {
        return Err(refused(
            "response_format",
            "models before Gemini 3 give JSON only without tools",
        ));
    }

    let mut conversation = Conversation {
        provider: to.provider,
        generation,
        call_ids,
        contents: Vec::with_capacity(messages.len()),
        calls: Vec::new(),
        adaptations: Vec::new(),
    };
    let system_instruction = conversation.read(messages)?;
    let Conversation {
        contents,
        mut adaptations,
        ..
    } = conversation;
    if contents.is_empty() {
        return Err(refused(
            "messages",
            "there must be a message besides the system's",
        ));
    }

    let body = Request {
        system_instruction,
        contents,
        tools: declare(tools)?,
        tool_config: choose(tools, tool_choice),
        generation_config: configure(
            response_format,
            sampling,
            thinking(reasoning, generation)?,
            to.max_output_tokens,
            &mut adaptations,
        )?,
    };
    // Writing to memory fails only for maps with keys that are no strings; there are none.
    let body = serde_json::to_vec(&body)
        .map_err(|_| refused("messages", "it cannot be written as JSON"))?;

    let mut headers = HeaderMap::with_capacity(1);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(WireRequest {
        path: path(to.model, to.stream),
        headers,
        body: body.into(),
        adaptations,
    })
}

fn path(model: &str, stream: bool) -> String {
    let mut path = String::from("/models/");
    for byte in model.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' => {
                path.push(char::from(byte));
            }
            // Writing to a string cannot fail.
            _ => _ = write!(path, "%{byte:02X}"),
        }
    }
    path.push_str(if stream {
        ":streamGenerateContent?alt=sse"
    } else {
        ":generateContent"
    });
    path
}

/// The turns as far as they are written.
struct Conversation<'a> {
    provider: &'a str,
    generation: Generation,
    call_ids: bool,
    contents: Vec<Content<'a>>,
    /// Ids of the tool calls so far, in order.
    calls: Vec<&'a str>,
    adaptations: Vec<Adaptation>,
}

impl<'a> Conversation<'a> {
    /// Writes every message; what the system says is handed back.
    fn read(
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
                        results.push(result);
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
                self.adapted(
                    "messages.parts.refusal",
                    "sent as text: this provider knows no refusals",
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
        match self.contents.last_mut() {
            Some(open) if open.role == author => open.parts.push(part),
            _ => self.contents.push(Content {
                role: author,
                parts: vec![part],
            }),
        }
    }

    fn adapted(&mut self, field: &'static str, what: &'static str) {
        let adaptation = Adaptation { field, what };
        if !self.adaptations.contains(&adaptation) {
            self.adaptations.push(adaptation);
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
                        mime_type: &media.media_type,
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
            mime_type: &media.media_type,
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
            self.adapted(
                "messages.parts.filename",
                "left out: this provider knows no file names",
            );
        }
        match detail {
            ImageDetail::Auto => {}
            ImageDetail::Low | ImageDetail::High => self.adapted(
                "messages.parts.image.detail",
                "left out: this provider looks at every image alike",
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
            self.adapted(
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
        let arguments = if arguments.trim().is_empty() {
            "{}"
        } else {
            arguments
        };
        let args = json_object(arguments).ok_or(refused(
            "messages.parts.tool_call.arguments",
            "arguments must be a JSON object",
        ))?;
        let mut thought_signature = None;
        if provider == self.provider {
            thought_signature = signature_text(signature)?;
        } else if !signature.is_empty() {
            self.adapted(
                "messages.parts.tool_call.signature",
                "left out: it was made by another provider",
            );
        }
        if thought_signature.is_none() && self.must_be_signed() {
            self.adapted(
                "messages.parts.tool_call.signature",
                "replaced by a placeholder: this provider has not signed the call",
            );
            thought_signature = Some(UNSIGNED_CALL);
        }
        self.calls.push(id);
        Ok(Part {
            function_call: Some(FunctionCall {
                id: if self.call_ids { id } else { "" },
                name,
                args,
            }),
            thought_signature,
            ..Part::default()
        })
    }

    /// Whether a call that comes next must carry a signature: of parallel calls only the first does.
    fn must_be_signed(&self) -> bool {
        let is_first = match self.contents.last() {
            Some(open) if open.role == Author::Model => {
                !open.parts.iter().any(|part| part.function_call.is_some())
            }
            _ => true,
        };
        self.generation == Generation::Third && is_first
    }

    /// Writes the results of one turn in the order of their calls: where ids are not read, two
    /// results of the same tool are told apart by nothing else.
    fn tool_results(&mut self, results: &mut Vec<&'a ToolResult>) -> Result<(), Unsupported> {
        results.sort_by_key(|result| self.calls.iter().rposition(|id| *id == result.tool_call_id));
        for result in results.drain(..) {
            self.tool_result(result)?;
        }
        Ok(())
    }

    fn tool_result(&mut self, result: &'a ToolResult) -> Result<(), Unsupported> {
        let ToolResult {
            tool_call_id,
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
                    let nested = match self.generation {
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
        self.push(
            Author::User,
            Part {
                function_response: Some(FunctionResponse {
                    id: if self.call_ids { tool_call_id } else { "" },
                    name: tool_name,
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

fn output<'a>(texts: &[&'a str], is_error: bool) -> ToolOutput<'a> {
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

fn declare(tools: &[Tool]) -> Result<Option<[Tools<'_>; 1]>, Unsupported> {
    if tools.is_empty() {
        return Ok(None);
    }
    let mut function_declarations = Vec::with_capacity(tools.len());
    for tool in tools {
        let Tool {
            name,
            description,
            parameters,
            strict: _, // a matter of the mode, see `choose`
        } = tool;
        let parameters_json_schema = match parameters {
            None => None,
            Some(schema) => Some(json_object(schema).ok_or(refused(
                "tools.parameters",
                "a schema must be a JSON object",
            ))?),
        };
        function_declarations.push(FunctionDeclaration {
            name,
            description,
            parameters_json_schema,
        });
    }
    Ok(Some([Tools {
        function_declarations,
    }]))
}

/// The mode of function calling. `VALIDATED` and `ANY` hold the arguments of every tool to its
/// schema, so one strict tool makes all of them strict.
fn choose<'a>(tools: &[Tool], choice: &'a ToolChoice) -> Option<ToolConfig<'a>> {
    if tools.is_empty() {
        return None;
    }
    let (mode, allowed_function_names) = match choice {
        ToolChoice::Auto if tools.iter().any(|tool| tool.strict) => ("VALIDATED", None),
        ToolChoice::Auto => return None,
        ToolChoice::None => ("NONE", None),
        ToolChoice::Required => ("ANY", None),
        ToolChoice::Function(name) => ("ANY", Some([name.as_str()])),
    };
    Some(ToolConfig {
        function_calling_config: FunctionCallingConfig {
            mode,
            allowed_function_names,
        },
    })
}

fn configure<'a>(
    response_format: &'a ResponseFormat,
    sampling: &'a Sampling,
    thinking_config: Option<ThinkingConfig>,
    model_limit: Option<u32>,
    adaptations: &mut Vec<Adaptation>,
) -> Result<GenerationConfig<'a>, Unsupported> {
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
        return Err(refused(
            "sampling.stop_sequences",
            "there may be at most five",
        ));
    }
    let seed = match seed.map(i32::try_from) {
        None => None,
        Some(Ok(seed)) => Some(seed),
        Some(Err(_)) => return Err(refused("sampling.seed", "it must fit into 32 bits")),
    };
    let (response_mime_type, response_json_schema) = match response_format {
        ResponseFormat::Text => (None, None),
        ResponseFormat::JsonObject => (Some("application/json"), None),
        ResponseFormat::JsonSchema {
            name: _, // has no place here
            schema,
            strict: _, // the schema is always enforced
        } => {
            let schema = json_object(schema).ok_or(refused(
                "response_format.json_schema.schema",
                "a schema must be a JSON object",
            ))?;
            (Some("application/json"), Some(schema))
        }
    };
    Ok(GenerationConfig {
        max_output_tokens: cap(*max_output_tokens, model_limit, adaptations),
        temperature: *temperature,
        top_p: *top_p,
        top_k: top_k.map(as_int32),
        frequency_penalty: penalty("sampling.frequency_penalty", *frequency_penalty)?,
        presence_penalty: penalty("sampling.presence_penalty", *presence_penalty)?,
        seed,
        stop_sequences,
        response_mime_type,
        response_json_schema,
        thinking_config,
    })
}

/// A limit above the model's own is refused by the provider and means the same as that.
fn cap(
    wanted: Option<u32>,
    model_limit: Option<u32>,
    adaptations: &mut Vec<Adaptation>,
) -> Option<u32> {
    let wanted = as_int32(wanted?);
    match model_limit {
        Some(limit) if limit < wanted => {
            adaptations.push(Adaptation {
                field: "sampling.max_output_tokens",
                what: "lowered to the most that the model can give",
            });
            Some(limit)
        }
        _ => Some(wanted),
    }
}

// https://cloud.google.com/vertex-ai/generative-ai/docs/reference/nodejs/latest/vertexai/generationconfig
// "up to, but not including, 2.0"
fn penalty(field: &'static str, value: Option<f64>) -> Result<Option<f64>, Unsupported> {
    match value {
        Some(value) if value >= 2.0 => Err(refused(field, "it must be less than 2")),
        _ => Ok(value),
    }
}

fn thinking(
    options: &ReasoningOptions,
    generation: Generation,
) -> Result<Option<ThinkingConfig>, Unsupported> {
    let ReasoningOptions {
        effort,
        max_tokens,
        include,
    } = options;
    let max_tokens = max_tokens.map(as_int32);
    let mut config = ThinkingConfig {
        include_thoughts: *include,
        ..ThinkingConfig::default()
    };
    match (generation, effort) {
        (_, None) => config.thinking_budget = max_tokens,
        (Generation::Second, Some(effort)) => {
            let budget = budget_of(*effort);
            config.thinking_budget = Some(max_tokens.map_or(budget, |most| most.min(budget)));
        }
        (Generation::Third, Some(effort)) => {
            if max_tokens.is_some() {
                return Err(refused(
                    "reasoning",
                    "an effort and a token limit exclude each other",
                ));
            }
            config.thinking_level = Some(level_of(*effort)?);
        }
    }
    Ok((config != ThinkingConfig::default()).then_some(config))
}

/// Tokens that models before Gemini 3 may think for; as in Google's own mapping of efforts
/// (https://ai.google.dev/gemini-api/docs/openai#thinking), whose largest every model accepts.
fn budget_of(effort: ReasoningEffort) -> u32 {
    match effort {
        ReasoningEffort::None => 0,
        ReasoningEffort::Minimal | ReasoningEffort::Low => 1024,
        ReasoningEffort::Medium => 8192,
        ReasoningEffort::High | ReasoningEffort::Max => 24576,
    }
}

fn level_of(effort: ReasoningEffort) -> Result<&'static str, Unsupported> {
    match effort {
        ReasoningEffort::None => Err(refused(
            "reasoning.effort",
            "models since Gemini 3 always think",
        )),
        ReasoningEffort::Minimal => Ok("MINIMAL"),
        ReasoningEffort::Low => Ok("LOW"),
        ReasoningEffort::Medium => Ok("MEDIUM"),
        ReasoningEffort::High | ReasoningEffort::Max => Ok("HIGH"),
    }
}

/// The numbers are `int32` at the provider; a larger limit limits nothing.
fn as_int32(number: u32) -> u32 {
    number.min(i32::MAX as u32)
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

fn refused(field: &'static str, why: &'static str) -> Unsupported {
    Unsupported::Value { field, why }
}
