//! `GenerateRequest` to [`ChatRequest`]: parses and checks, and names every field that is wrong.

use std::collections::HashSet;
use std::time::Duration;

use crate::chat::{
    ChatRequest, ImageDetail, Media, MediaSource, Message, Part, Reasoning, ReasoningEffort,
    ReasoningOptions, ResponseFormat, Role, Sampling, Tool, ToolCall, ToolChoice, ToolResult,
};
use crate::dispatch::Limits;
use crate::dispatch::dispatcher::Selector;
use crate::error::{Error, Violation};

use super::v1;

/// A request that may be dispatched.
#[derive(Debug)]
pub struct Parsed {
    /// What the caller named.
    pub selector: Selector,
    /// What it asks.
    pub request: ChatRequest,
    /// Its limits.
    pub limits: Limits,
    /// Its conversation, empty if it names none.
    pub conversation_id: String,
}

/// Parses a request.
///
/// # Errors
/// [`Error::InvalidRequest`] with every violation.
pub fn parse(request: v1::GenerateRequest) -> Result<Parsed, Error> {
    let v1::GenerateRequest {
        scenario,
        model,
        messages,
        tools,
        tool_choice,
        parallel_tool_calls,
        response_format,
        sampling,
        reasoning,
        limits,
        conversation_id,
    } = request;
    let mut faults = Faults::default();

    let selector = match (scenario.is_empty(), model.is_empty()) {
        (false, true) => Selector::Scenario(scenario),
        (true, false) => Selector::Model(model),
        (true, true) => {
            faults.add("scenario", "set `scenario`, or `model` to bypass it");
            Selector::Scenario(scenario)
        }
        (false, false) => {
            faults.add("model", "set either `scenario` or `model`, not both");
            Selector::Scenario(scenario)
        }
    };
    let tools = tools_of(tools, &mut faults);
    let request = ChatRequest {
        messages: Conversation::parse(messages, &mut faults),
        tool_choice: tool_choice_of(tool_choice, &tools, &mut faults),
        tools,
        parallel_tool_calls,
        response_format: response_format_of(response_format, &mut faults),
        sampling: sampling_of(sampling.unwrap_or_default(), &mut faults),
        reasoning: reasoning_options_of(reasoning.unwrap_or_default(), &mut faults),
    };
    let limits = limits_of(limits.unwrap_or_default(), &mut faults);
    if conversation_id.len() > 128
        || !conversation_id
            .bytes()
            .all(|byte| (0x20..0x7f).contains(&byte))
    {
        faults.add(
            "conversation_id",
            "use at most 128 printable ASCII characters",
        );
    }
    faults.or(Parsed {
        selector,
        request,
        limits,
        conversation_id,
    })
}

/// What is wrong with a request.
#[derive(Default)]
struct Faults(Vec<Violation>);

/// A request with more faults than this is not described any further.
const MAX_FAULTS: usize = 32;

impl Faults {
    fn add(&mut self, field: impl Into<String>, what: impl Into<String>) {
        if self.0.len() < MAX_FAULTS {
            self.0.push(Violation {
                field: field.into(),
                what: what.into(),
            });
        }
    }

    fn or<T>(self, value: T) -> Result<T, Error> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(Error::InvalidRequest(self.0))
        }
    }
}

/// The rules that hold between the messages of a conversation.
struct Conversation<'a> {
    faults: &'a mut Faults,
    /// Tool calls of the last assistant message that have no result yet: id, name, field.
    open_calls: Vec<(String, String, String)>,
    call_ids: HashSet<String>,
    conversing: bool,
}

impl<'a> Conversation<'a> {
    fn parse(messages: Vec<v1::Message>, faults: &'a mut Faults) -> Vec<Message> {
        if messages.is_empty() {
            faults.add("messages", "add at least one message");
            return Vec::new();
        }
        let mut conversation = Self {
            faults,
            open_calls: Vec::new(),
            call_ids: HashSet::new(),
            conversing: false,
        };
        let parsed: Vec<Message> = messages
            .into_iter()
            .enumerate()
            .map(|(index, message)| conversation.message(message, &format!("messages[{index}]")))
            .collect();
        conversation.require_results();
        match parsed.last().map(|last| last.role) {
            Some(Role::User | Role::Tool) | None => {}
            Some(Role::System) => conversation.faults.add("messages", "add a user message after the system messages"),
            Some(Role::Assistant) => conversation.faults.add(
                format!("messages[{}].role", parsed.len() - 1),
                "the last message must come from the user or a tool: models do not continue a given beginning",
            ),
        }
        parsed
    }

    fn message(&mut self, message: v1::Message, field: &str) -> Message {
        let v1::Message {
            role: role_number,
            text,
            parts,
        } = message;
        let role = match v1::Role::try_from(role_number) {
            Ok(v1::Role::System) => Role::System,
            Ok(v1::Role::User) => Role::User,
            Ok(v1::Role::Assistant) => Role::Assistant,
            Ok(v1::Role::Tool) => Role::Tool,
            Ok(v1::Role::Unspecified) | Err(_) => {
                self.faults.add(
                    format!("{field}.role"),
                    "use ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT or ROLE_TOOL",
                );
                Role::User
            }
        };
        if role == Role::System && self.conversing {
            self.faults.add(
                format!("{field}.role"),
                "system messages must stand before all others",
            );
        }
        self.conversing |= role != Role::System;
        if role != Role::Tool {
            self.require_results();
        }
        let parts = match (text.is_empty(), parts.is_empty()) {
            (false, true) => vec![v1::ContentPart {
                part: Some(v1::content_part::Part::Text(text)),
            }],
            (true, false) => parts,
            (true, true) => {
                self.faults.add(field, "set `text` or `parts`");
                Vec::new()
            }
            (false, false) => {
                self.faults
                    .add(field, "set either `text` or `parts`, not both");
                Vec::new()
            }
        };
        let parts = parts
            .into_iter()
            .enumerate()
            .filter_map(|(index, part)| self.part(part, role, &format!("{field}.parts[{index}]")))
            .collect();
        Message { role, parts }
    }

    fn part(&mut self, part: v1::ContentPart, role: Role, field: &str) -> Option<Part> {
        use v1::content_part::Part as Wire;
        let Some(part) = part.part else {
            self.faults
                .add(field, "set one kind of part, such as `text`");
            return None;
        };
        let (part, legal_roles): (Part, &[Role]) = match part {
            Wire::Text(text) => {
                if text.is_empty() {
                    self.faults.add(
                        format!("{field}.text"),
                        "must not be empty; leave the part out",
                    );
                }
                (
                    Part::Text(text),
                    &[Role::System, Role::User, Role::Assistant],
                )
            }
            Wire::Image(media) => (
                Part::Image(media_of(media, &format!("{field}.image"), self.faults)?),
                &[Role::User],
            ),
            Wire::Document(media) => (
                Part::Document(media_of(media, &format!("{field}.document"), self.faults)?),
                &[Role::User],
            ),
            Wire::ToolCall(call) => (
                Part::ToolCall(self.tool_call(call, &format!("{field}.tool_call"))),
                &[Role::Assistant],
            ),
            Wire::ToolResult(result) => (
                Part::ToolResult(self.tool_result(result, &format!("{field}.tool_result"))),
                &[Role::Tool],
            ),
            Wire::Reasoning(v1::Reasoning {
                text,
                signature,
                provider,
            }) => {
                if provider.is_empty() {
                    let what = "name the provider that produced the reasoning, as the answer did";
                    self.faults.add(format!("{field}.reasoning.provider"), what);
                }
                (
                    Part::Reasoning(Reasoning {
                        text,
                        signature,
                        provider,
                    }),
                    &[Role::Assistant],
                )
            }
            Wire::Refusal(text) => (Part::Refusal(text), &[Role::Assistant]),
        };
        if !legal_roles.contains(&role) {
            self.faults.add(
                field,
                format!(
                    "a {} message cannot hold this kind of part",
                    role_name(role)
                ),
            );
        }
        Some(part)
    }

    fn tool_call(&mut self, call: v1::ToolCall, field: &str) -> ToolCall {
        let v1::ToolCall {
            id,
            name,
            arguments_json,
            signature,
            provider,
        } = call;
        if id.is_empty() {
            self.faults.add(
                format!("{field}.id"),
                "give the call the id that the answer gave it",
            );
        } else if !self.call_ids.insert(id.clone()) {
            self.faults.add(
                format!("{field}.id"),
                "another tool call of the conversation has the same id",
            );
        }
        if name.is_empty() {
            self.faults
                .add(format!("{field}.name"), "name the tool that is called");
        }
        if !signature.is_empty() && provider.is_empty() {
            self.faults.add(
                format!("{field}.provider"),
                "name the provider that produced the signature",
            );
        }
        self.open_calls
            .push((id.clone(), name.clone(), field.to_owned()));
        ToolCall {
            id,
            name,
            arguments: arguments_json,
            signature,
            provider,
        }
    }

    fn tool_result(&mut self, result: v1::ToolResult, field: &str) -> ToolResult {
        let v1::ToolResult {
            tool_call_id,
            content,
            is_error,
        } = result;
        let tool_name = match self
            .open_calls
            .iter()
            .position(|(id, ..)| *id == tool_call_id)
        {
            Some(position) => self.open_calls.swap_remove(position).1,
            None => {
                self.faults.add(
                    format!("{field}.tool_call_id"),
                    "must be the id of a tool call in the assistant message before, each answered once",
                );
                String::new()
            }
        };
        let content = content
            .into_iter()
            .enumerate()
            .filter_map(|(index, part)| {
                self.result_part(part, &format!("{field}.content[{index}]"))
            })
            .collect();
        ToolResult {
            tool_call_id,
            tool_name,
            content,
            is_error,
        }
    }

    fn result_part(&mut self, part: v1::ContentPart, field: &str) -> Option<Part> {
        use v1::content_part::Part as Wire;
        match part.part {
            Some(Wire::Text(text)) => Some(Part::Text(text)),
            Some(Wire::Image(media)) => {
                media_of(media, &format!("{field}.image"), self.faults).map(Part::Image)
            }
            Some(Wire::Document(media)) => {
                media_of(media, &format!("{field}.document"), self.faults).map(Part::Document)
            }
            Some(
                Wire::ToolCall(_) | Wire::ToolResult(_) | Wire::Reasoning(_) | Wire::Refusal(_),
            )
            | None => {
                self.faults.add(
                    field,
                    "a tool result holds `text`, `image` and `document` parts",
                );
                None
            }
        }
    }

    /// Providers refuse a conversation that goes on before every tool call has its result.
    fn require_results(&mut self) {
        for (_, _, field) in std::mem::take(&mut self.open_calls) {
            self.faults.add(
                field,
                "has no result; add a ROLE_TOOL message with one right after it",
            );
        }
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

fn media_of(media: v1::Media, field: &str, faults: &mut Faults) -> Option<Media> {
    let v1::Media {
        source,
        media_type,
        filename,
        detail,
    } = media;
    let legal_type = media_type
        .split_once('/')
        .is_some_and(|(kind, subtype)| !kind.is_empty() && !subtype.is_empty());
    let source = match source {
        Some(v1::media::Source::Data(data)) => {
            if data.is_empty() {
                faults.add(format!("{field}.data"), "must not be empty");
            }
            if !legal_type {
                faults.add(
                    format!("{field}.media_type"),
                    "name the media type of the data, such as `image/png`",
                );
            }
            MediaSource::Data(data)
        }
        Some(v1::media::Source::Uri(uri)) => {
            if !["https://", "http://", "gs://"]
                .iter()
                .any(|scheme| uri.starts_with(scheme))
            {
                faults.add(format!("{field}.uri"), "must begin with `https://`, `http://` or `gs://`; send other content as `data`");
            }
            if !media_type.is_empty() && !legal_type {
                faults.add(format!("{field}.media_type"), "must look like `image/png`");
            }
            MediaSource::Uri(uri)
        }
        None => {
            faults.add(field, "set `data` or `uri`");
            return None;
        }
    };
    let detail = match v1::ImageDetail::try_from(detail) {
        Ok(v1::ImageDetail::Unspecified) => ImageDetail::Auto,
        Ok(v1::ImageDetail::Low) => ImageDetail::Low,
        Ok(v1::ImageDetail::High) => ImageDetail::High,
        Err(_) => {
            faults.add(
                format!("{field}.detail"),
                "use IMAGE_DETAIL_LOW or IMAGE_DETAIL_HIGH, or leave it out",
            );
            ImageDetail::Auto
        }
    };
    Some(Media {
        source,
        media_type,
        filename,
        detail,
    })
}

fn tools_of(tools: Vec<v1::Tool>, faults: &mut Faults) -> Vec<Tool> {
    let mut parsed: Vec<Tool> = Vec::with_capacity(tools.len());
    for (index, tool) in tools.into_iter().enumerate() {
        let field = format!("tools[{index}].function");
        let Some(v1::tool::Tool::Function(function)) = tool.tool else {
            faults.add(format!("tools[{index}]"), "set `function`");
            continue;
        };
        let v1::FunctionTool {
            name,
            description,
            parameters,
            strict,
        } = function;
        if !is_name(&name) {
            faults.add(
                format!("{field}.name"),
                "use 1 to 64 letters, digits, `_` or `-`",
            );
        } else if parsed.iter().any(|other| other.name == name) {
            faults.add(format!("{field}.name"), "another tool has the same name");
        }
        let parameters =
            parameters.and_then(|schema| schema_of(schema, &format!("{field}.parameters"), faults));
        parsed.push(Tool {
            name,
            description,
            parameters,
            strict,
        });
    }
    parsed
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// A schema as JSON text. Providers check the rest: what they accept of JSON Schema differs.
fn schema_of(schema: v1::JsonSchema, field: &str, faults: &mut Faults) -> Option<String> {
    match schema.schema {
        Some(v1::json_schema::Schema::Text(text)) => {
            match serde_json::from_str::<serde_json::Value>(&text) {
                Ok(serde_json::Value::Object(_)) => Some(text),
                Ok(_) => {
                    faults.add(format!("{field}.text"), "must be a JSON object");
                    None
                }
                Err(error) => {
                    let place = format!("line {} column {}", error.line(), error.column());
                    faults.add(format!("{field}.text"), format!("is not JSON: see {place}"));
                    None
                }
            }
        }
        Some(v1::json_schema::Schema::Object(object)) => Some(json_of_struct(object).to_string()),
        None => {
            faults.add(field, "set `text` or `object`");
            None
        }
    }
}

fn json_of_struct(object: prost_types::Struct) -> serde_json::Value {
    object
        .fields
        .into_iter()
        .map(|(key, value)| (key, json_of(value)))
        .collect()
}

fn json_of(value: prost_types::Value) -> serde_json::Value {
    use prost_types::value::Kind;
    match value.kind {
        Some(Kind::NullValue(_)) | None => serde_json::Value::Null,
        // A Struct knows only doubles; schemas mean whole numbers where they write them.
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() < 9e15 => {
            (number as i64).into()
        }
        Some(Kind::NumberValue(number)) => number.into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::BoolValue(flag)) => flag.into(),
        Some(Kind::StructValue(object)) => json_of_struct(object),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(json_of).collect(),
    }
}

fn tool_choice_of(
    choice: Option<v1::ToolChoice>,
    tools: &[Tool],
    faults: &mut Faults,
) -> ToolChoice {
    use v1::ToolChoiceMode as Mode;
    use v1::tool_choice::Choice;
    let Some(choice) = choice else {
        return ToolChoice::Auto;
    };
    let choice = match choice.choice {
        Some(Choice::Mode(mode)) => match Mode::try_from(mode) {
            Ok(Mode::Auto) => ToolChoice::Auto,
            Ok(Mode::None) => ToolChoice::None,
            Ok(Mode::Required) => ToolChoice::Required,
            Ok(Mode::Unspecified) | Err(_) => {
                let what =
                    "use TOOL_CHOICE_MODE_AUTO, TOOL_CHOICE_MODE_NONE or TOOL_CHOICE_MODE_REQUIRED";
                faults.add("tool_choice.mode", what);
                ToolChoice::Auto
            }
        },
        Some(Choice::FunctionName(name)) => {
            if !tools.iter().any(|tool| tool.name == name) {
                faults.add(
                    "tool_choice.function_name",
                    "must be the name of one of `tools`",
                );
            }
            ToolChoice::Function(name)
        }
        None => {
            faults.add("tool_choice", "set `mode` or `function_name`");
            ToolChoice::Auto
        }
    };
    if choice == ToolChoice::Required && tools.is_empty() {
        faults.add(
            "tool_choice.mode",
            "TOOL_CHOICE_MODE_REQUIRED needs at least one of `tools`",
        );
    }
    choice
}

fn response_format_of(format: Option<v1::ResponseFormat>, faults: &mut Faults) -> ResponseFormat {
    use v1::response_format::Format;
    let Some(format) = format else {
        return ResponseFormat::Text;
    };
    match format.format {
        Some(Format::Text(v1::TextFormat {})) => ResponseFormat::Text,
        Some(Format::JsonObject(v1::JsonObjectFormat {})) => ResponseFormat::JsonObject,
        Some(Format::JsonSchema(v1::JsonSchemaFormat {
            name,
            schema,
            strict,
        })) => {
            let name = if name.is_empty() {
                "answer".to_owned()
            } else {
                name
            };
            if !is_name(&name) {
                faults.add(
                    "response_format.json_schema.name",
                    "use 1 to 64 letters, digits, `_` or `-`",
                );
            }
            let field = "response_format.json_schema.schema";
            let schema = match schema {
                Some(schema) => schema_of(schema, field, faults).unwrap_or_default(),
                None => {
                    faults.add(field, "set the schema that the answer must follow");
                    String::new()
                }
            };
            ResponseFormat::JsonSchema {
                name,
                schema,
                strict,
            }
        }
        None => {
            faults.add(
                "response_format",
                "set `text`, `json_object` or `json_schema`",
            );
            ResponseFormat::Text
        }
    }
}

fn sampling_of(sampling: v1::SamplingParams, faults: &mut Faults) -> Sampling {
    let v1::SamplingParams {
        max_output_tokens,
        temperature,
        top_p,
        top_k,
        frequency_penalty,
        presence_penalty,
        seed,
        stop_sequences,
    } = sampling;
    let mut within = |value: Option<f64>, least: f64, most: f64, field: &str| {
        if value.is_some_and(|value| !(least..=most).contains(&value)) {
            faults.add(
                format!("sampling.{field}"),
                format!("must lie between {least} and {most}"),
            );
        }
        value
    };
    let temperature = within(temperature, 0.0, 2.0, "temperature");
    let top_p = within(top_p, 0.0, 1.0, "top_p");
    let frequency_penalty = within(frequency_penalty, -2.0, 2.0, "frequency_penalty");
    let presence_penalty = within(presence_penalty, -2.0, 2.0, "presence_penalty");
    if stop_sequences.len() > 16 {
        faults.add("sampling.stop_sequences", "use at most 16");
    }
    for (index, sequence) in stop_sequences.iter().enumerate() {
        if sequence.is_empty() {
            faults.add(
                format!("sampling.stop_sequences[{index}]"),
                "must not be empty",
            );
        }
    }
    Sampling {
        max_output_tokens: at_least_one(max_output_tokens, "sampling.max_output_tokens", faults),
        temperature,
        top_p,
        top_k: at_least_one(top_k, "sampling.top_k", faults),
        frequency_penalty,
        presence_penalty,
        seed,
        stop_sequences,
    }
}

fn at_least_one(value: Option<i32>, field: &str, faults: &mut Faults) -> Option<u32> {
    let value = value?;
    let positive = u32::try_from(value).ok().filter(|value| *value > 0);
    if positive.is_none() {
        faults.add(field, "must be at least 1");
    }
    positive
}

fn reasoning_options_of(options: v1::ReasoningOptions, faults: &mut Faults) -> ReasoningOptions {
    use v1::ReasoningEffort as Effort;
    let v1::ReasoningOptions {
        effort,
        max_reasoning_tokens,
        include_reasoning,
    } = options;
    let effort = match Effort::try_from(effort) {
        Ok(Effort::Unspecified) => None,
        Ok(Effort::None) => Some(ReasoningEffort::None),
        Ok(Effort::Minimal) => Some(ReasoningEffort::Minimal),
        Ok(Effort::Low) => Some(ReasoningEffort::Low),
        Ok(Effort::Medium) => Some(ReasoningEffort::Medium),
        Ok(Effort::High) => Some(ReasoningEffort::High),
        Ok(Effort::Max) => Some(ReasoningEffort::Max),
        Err(_) => {
            faults.add(
                "reasoning.effort",
                "use one of the values of ReasoningEffort",
            );
            None
        }
    };
    let max_tokens = at_least_one(
        max_reasoning_tokens,
        "reasoning.max_reasoning_tokens",
        faults,
    );
    ReasoningOptions {
        effort,
        max_tokens,
        include: include_reasoning,
    }
}

fn limits_of(limits: v1::CallLimits, faults: &mut Faults) -> Limits {
    let v1::CallLimits {
        max_attempts,
        max_time_to_first_token,
        max_gap_between_chunks,
    } = limits;
    let mut positive = |duration: Option<prost_types::Duration>, field: &str| {
        let duration = duration?;
        let legal = Duration::try_from(duration)
            .ok()
            .filter(|duration| !duration.is_zero());
        if legal.is_none() {
            faults.add(format!("limits.{field}"), "must be more than 0 seconds");
        }
        legal
    };
    let first_content = positive(max_time_to_first_token, "max_time_to_first_token");
    let progress_idle = positive(max_gap_between_chunks, "max_gap_between_chunks");
    let max_attempts = at_least_one(max_attempts, "limits.max_attempts", faults);
    Limits {
        max_attempts,
        first_content,
        progress_idle,
    }
}

#[cfg(test)]
mod tests;
