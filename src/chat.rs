//! The neutral model of a chat: what a caller asks and what a model answers, in no provider's spelling.
//!
//! Every wire format translates [`ChatRequest`] into its own request and its own answer into
//! [`ChatEvent`]s; nothing behind this module knows protobuf, and nothing before it knows a provider.

use bytes::Bytes;

/// One request for an answer, already validated: roles are in a legal order, JSON texts parse,
/// every tool result names a tool call that stands before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatRequest {
    /// The conversation so far, at least one message; system messages stand first.
    pub messages: Vec<Message>,
    /// Tools the model may call.
    pub tools: Vec<Tool>,
    /// Whether and which tool must be called.
    pub tool_choice: ToolChoice,
    /// `Some(false)` allows at most one tool call in the answer; `None` leaves it to the provider.
    pub parallel_tool_calls: Option<bool>,
    /// The form that the answer's text must have.
    pub response_format: ResponseFormat,
    /// How tokens are drawn and how many.
    pub sampling: Sampling,
    /// How much the model may think before it answers.
    pub reasoning: ReasoningOptions,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who wrote it.
    pub role: Role,
    /// Its pieces, in order; never empty.
    pub parts: Vec<Part>,
}

/// Who authored a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions above the conversation.
    System,
    /// The caller's side of the conversation.
    User,
    /// The model's side of the conversation.
    Assistant,
    /// Results of tool calls; holds only [`Part::ToolResult`]s.
    Tool,
}

/// A typed piece of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Plain text.
    Text(String),
    /// A picture.
    Image(Media),
    /// A document such as a PDF.
    Document(Media),
    /// A tool call that the model made; only in assistant messages.
    ToolCall(ToolCall),
    /// What a tool call gave; only in tool messages.
    ToolResult(ToolResult),
    /// Reasoning that a model produced; only in assistant messages.
    Reasoning(Reasoning),
    /// A model's refusal to answer; only in assistant messages.
    Refusal(String),
}

/// Binary or referenced content.
#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    /// Where the bytes are.
    pub source: MediaSource,
    /// IANA media type such as `image/png`; never empty for [`MediaSource::Data`], may be for a URI.
    pub media_type: String,
    /// The file's name, empty if it has none.
    pub filename: String,
    /// How closely an image is looked at.
    pub detail: ImageDetail,
}

/// Where the bytes of a [`Media`] are.
#[derive(Clone, Debug, PartialEq)]
pub enum MediaSource {
    /// Carried in the request.
    Data(Bytes),
    /// Fetched by the provider, never by us.
    Uri(String),
}

/// How closely an image is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageDetail {
    /// The provider's default.
    #[default]
    Auto,
    /// Few tokens.
    Low,
    /// Full resolution.
    High,
}

/// Reasoning that a model produced, to be replayed unchanged to the provider that made it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reasoning {
    /// Visible reasoning or its summary; may be empty.
    pub text: String,
    /// Opaque token of the provider, spelled by the wire format that decoded it; empty if there is none.
    pub signature: Bytes,
    /// Config name of the provider that made it. Never sent to another one.
    pub provider: String,
}

/// A function the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Name that the model uses to call it.
    pub name: String,
    /// What it does; may be empty.
    pub description: String,
    /// JSON Schema of its arguments as JSON text, an object; `None` for a function without arguments.
    pub parameters: Option<String>,
    /// Whether the arguments must follow the schema exactly.
    pub strict: bool,
}

/// A call of a tool by the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolCall {
    /// Identifies the call among those of the conversation; empty where the provider gave none.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Arguments exactly as the model wrote them: JSON text, possibly invalid or cut off.
    pub arguments: String,
    /// Opaque token of the provider that must be replayed with the call; empty if there is none.
    pub signature: Bytes,
    /// Config name of the provider that made the call, where `signature` is not empty.
    pub provider: String,
}

/// What a tool call gave.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolResult {
    /// Id of the [`ToolCall`] it answers; that call stands earlier in the conversation.
    pub tool_call_id: String,
    /// Name of the tool, taken from that call (Gemini matches results by name).
    pub tool_name: String,
    /// Text, image and document parts.
    pub content: Vec<Part>,
    /// Whether the tool failed.
    pub is_error: bool,
}

/// Whether and which tool must be called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No tool may be called.
    None,
    /// Some tool must be called.
    Required,
    /// This tool must be called.
    Function(String),
}

/// The form that the answer's text must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ResponseFormat {
    /// Any text.
    #[default]
    Text,
    /// Some JSON object.
    JsonObject,
    /// JSON that follows a schema.
    JsonSchema {
        /// Name of the schema, `[A-Za-z0-9_-]{1,64}`.
        name: String,
        /// The JSON Schema as JSON text, an object.
        schema: String,
        /// Whether the schema is enforced token by token where the provider can.
        strict: bool,
    },
}

/// How tokens are drawn and how many. `None` leaves a value to the provider.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// Upper limit of output tokens, reasoning included, at least 1.
    pub max_output_tokens: Option<u32>,
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// 0 to 1.
    pub top_p: Option<f64>,
    /// At least 1.
    pub top_k: Option<u32>,
    /// -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// -2 to 2.
    pub presence_penalty: Option<f64>,
    /// Makes sampling repeatable where the provider can.
    pub seed: Option<i64>,
    /// Texts that end the answer when the model writes them.
    pub stop_sequences: Vec<String>,
}

/// How much the model may think before it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReasoningOptions {
    /// Effort by name; `None` leaves it to the provider.
    pub effort: Option<ReasoningEffort>,
    /// Upper limit of reasoning tokens, at least 1.
    pub max_tokens: Option<u32>,
    /// Whether the reasoning text is wanted in the answer where the provider lets us choose.
    pub include: bool,
}

/// Effort by name, from none at all to as much as the model can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReasoningEffort {
    /// No reasoning.
    None,
    /// As little as the model can.
    Minimal,
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// As much as the model can.
    Max,
}

/// One item of an answer.
///
/// A stream of events holds exactly one [`ChatEvent::Done`], last, if the answer is complete;
/// otherwise it ends with an error and none. [`ChatEvent::Started`], [`ChatEvent::Finish`] and
/// [`ChatEvent::Usage`] may come several times, the last one counts (see [`Answer::apply`]).
#[derive(Clone, Debug, PartialEq)]
pub enum ChatEvent {
    /// What the provider calls the answer and the model that gives it; lifecycle, no content.
    Started {
        /// The provider's id of the response.
        response_id: Option<String>,
        /// The model that the provider says answers.
        response_model: Option<String>,
    },
    /// More text; never empty.
    Text(String),
    /// More reasoning text; never empty.
    Reasoning(String),
    /// The opaque token that closes the open piece of reasoning, or stands for reasoning without text.
    ReasoningSignature(Bytes),
    /// More of a refusal; never empty.
    Refusal(String),
    /// A tool call begins. Calls are numbered from 0 in the order in which they begin.
    ToolCall {
        /// The provider's id, empty where it gave none.
        id: String,
        /// The tool's name.
        name: String,
        /// Opaque token to be replayed with the call; empty if there is none.
        signature: Bytes,
    },
    /// More of the arguments of a tool call; never empty.
    ToolArguments {
        /// Number of the call, see [`ChatEvent::ToolCall`].
        call: usize,
        /// A piece of the arguments' JSON text.
        fragment: String,
    },
    /// Why the model stopped, as far as known; later ones replace earlier ones.
    Finish(Finish),
    /// Tokens counted so far; later ones replace earlier ones.
    Usage(Usage),
    /// The provider itself said that the answer is complete.
    Done,
}

impl ChatEvent {
    /// Whether a caller that has seen this event has seen a part of the answer, so that another
    /// attempt could only repeat it. [`ChatEvent::Done`] counts: an empty answer is an answer.
    pub fn is_content(&self) -> bool {
        match self {
            Self::Text(_)
            | Self::Reasoning(_)
            | Self::ReasoningSignature(_)
            | Self::Refusal(_)
            | Self::ToolCall { .. }
            | Self::ToolArguments { .. }
            | Self::Done => true,
            Self::Started { .. } | Self::Finish(_) | Self::Usage(_) => false,
        }
    }

    /// Puts a count or a finish reason in the place of the last one before it, if no content stands
    /// between them: only the later one counts. Gives back what replaces nothing. `before` are the
    /// events before it, last first.
    pub fn unless_replacing<'e>(self, before: impl Iterator<Item = &'e mut Self>) -> Option<Self> {
        for earlier in before.take_while(|event| !event.is_content()) {
            match (&self, &*earlier) {
                (Self::Usage(_), Self::Usage(_)) | (Self::Finish(_), Self::Finish(_)) => {
                    *earlier = self;
                    return None;
                }
                _ => {}
            }
        }
        Some(self)
    }
}

/// Whether the events of a complete answer say nothing, though neither a limit nor a filter ended it: not
/// a word, no reasoning, no tool call. White space is a word: it may be what was asked for.
pub fn is_empty_answer<'e>(events: impl IntoIterator<Item = &'e ChatEvent>) -> bool {
    let mut finish = None;
    for event in events {
        match event {
            ChatEvent::Done | ChatEvent::Started { .. } | ChatEvent::Usage(_) => {}
            ChatEvent::Finish(sent) => finish = Some(sent.reason),
            ChatEvent::Text(_)
            | ChatEvent::Reasoning(_)
            | ChatEvent::ReasoningSignature(_)
            | ChatEvent::Refusal(_)
            | ChatEvent::ToolCall { .. }
            | ChatEvent::ToolArguments { .. } => return false,
        }
    }
    match finish {
        Some(FinishReason::MaxTokens | FinishReason::ContentFilter) => false,
        Some(FinishReason::Stop | FinishReason::ToolCalls | FinishReason::Other) | None => true,
    }
}

/// Why the model stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// In our terms.
    pub reason: FinishReason,
    /// In the provider's words, unmapped; `None` if it gave none.
    pub provider_reason: Option<String>,
    /// The stop sequence that was written, where the provider tells.
    pub stop_sequence: Option<String>,
}

/// Why the model stopped, in our terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// It had said all, or wrote a stop sequence.
    Stop,
    /// The token limit was reached: the answer is cut off.
    MaxTokens,
    /// It waits for tool results.
    ToolCalls,
    /// A filter of the provider ended the answer.
    ContentFilter,
    /// Something else; see [`Finish::provider_reason`].
    Other,
}

/// Token counts. Every sub-count is included in its total, as in the OpenTelemetry GenAI conventions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input_tokens: u64,
    /// Tokens of the answer, reasoning included.
    pub output_tokens: u64,
    /// Part of the input that a provider cache served.
    pub cache_read_input_tokens: u64,
    /// Part of the input that was written to a provider cache.
    pub cache_write_input_tokens: u64,
    /// Part of the output spent on reasoning.
    pub reasoning_output_tokens: u64,
}

impl Usage {
    /// The sum of two counts.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cache_read_input_tokens: self
                .cache_read_input_tokens
                .saturating_add(other.cache_read_input_tokens),
            cache_write_input_tokens: self
                .cache_write_input_tokens
                .saturating_add(other.cache_write_input_tokens),
            reasoning_output_tokens: self
                .reasoning_output_tokens
                .saturating_add(other.reasoning_output_tokens),
        }
    }
}

/// A whole answer, or as much of one as has arrived: the fold of its events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Text, reasoning, refusals and tool calls in the order in which they began.
    pub parts: Vec<Part>,
    /// Why the model stopped, as the provider said; see [`Answer::finish_reason`].
    pub finish: Option<Finish>,
    /// Token counts; `None` if the provider sent none.
    pub usage: Option<Usage>,
    /// The provider's id of the response.
    pub response_id: Option<String>,
    /// The model that the provider says answered.
    pub response_model: Option<String>,
    /// Whether [`ChatEvent::Done`] has come.
    pub complete: bool,
    /// Index in `parts` of each tool call, by its number.
    tool_calls: Vec<usize>,
}

impl Answer {
    /// Adds one event.
    pub fn apply(&mut self, event: ChatEvent) {
        match event {
            ChatEvent::Started {
                response_id,
                response_model,
            } => {
                self.response_id = response_id.or(self.response_id.take());
                self.response_model = response_model.or(self.response_model.take());
            }
            ChatEvent::Text(delta) => match self.parts.last_mut() {
                Some(Part::Text(text)) => text.push_str(&delta),
                _ => self.parts.push(Part::Text(delta)),
            },
            ChatEvent::Refusal(delta) => match self.parts.last_mut() {
                Some(Part::Refusal(text)) => text.push_str(&delta),
                _ => self.parts.push(Part::Refusal(delta)),
            },
            ChatEvent::Reasoning(delta) => match self.parts.last_mut() {
                Some(Part::Reasoning(open)) if open.signature.is_empty() => {
                    open.text.push_str(&delta)
                }
                _ => self.parts.push(Part::Reasoning(Reasoning {
                    text: delta,
                    ..Reasoning::default()
                })),
            },
            ChatEvent::ReasoningSignature(signature) => match self.parts.last_mut() {
                Some(Part::Reasoning(open)) if open.signature.is_empty() => {
                    open.signature = signature
                }
                _ => self.parts.push(Part::Reasoning(Reasoning {
                    signature,
                    ..Reasoning::default()
                })),
            },
            ChatEvent::ToolCall {
                id,
                name,
                signature,
            } => {
                self.tool_calls.push(self.parts.len());
                self.parts.push(Part::ToolCall(ToolCall {
                    id,
                    name,
                    signature,
                    ..ToolCall::default()
                }));
            }
            ChatEvent::ToolArguments { call, fragment } => {
                let part = self
                    .tool_calls
                    .get(call)
                    .and_then(|&index| self.parts.get_mut(index));
                if let Some(Part::ToolCall(open)) = part {
                    open.arguments.push_str(&fragment);
                }
            }
            ChatEvent::Finish(finish) => self.finish = Some(finish),
            ChatEvent::Usage(usage) => self.usage = Some(usage),
            ChatEvent::Done => self.complete = true,
        }
    }

    /// Why the model stopped: the provider's reason, corrected where providers are known to be vague.
    ///
    /// `Stop` beside tool calls means that the tools are waited for, and a complete answer without
    /// any reason has one all the same. `None` only for an answer that is not complete.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        finish_reason(
            self.finish.as_ref(),
            !self.tool_calls.is_empty(),
            self.complete,
        )
    }
}

/// See [`Answer::finish_reason`]; here for those who do not keep the whole answer.
pub fn finish_reason(
    finish: Option<&Finish>,
    has_tool_calls: bool,
    complete: bool,
) -> Option<FinishReason> {
    match finish.map(|finish| finish.reason) {
        Some(FinishReason::Stop) if has_tool_calls => Some(FinishReason::ToolCalls),
        Some(reason) => Some(reason),
        None if !complete => None,
        None if has_tool_calls => Some(FinishReason::ToolCalls),
        None => Some(FinishReason::Other),
    }
}

/// Something that was left out or changed in the request for one target, to be told to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adaptation {
    /// Path of the field in the request.
    pub field: &'static str,
    /// What was done and why, in our words.
    pub what: &'static str,
}
