//! The neutral model of a chat: what a caller asks and what a model answers, in no provider's spelling.
//!
//! Every wire format translates [`ChatRequest`] into its own request and its own answer into
//! [`ChatEvent`]s; nothing behind this module knows protobuf, and nothing before it knows a provider.

mod answer;
mod beside;
mod call_ids;
mod event;
mod marks;
mod metadata;
mod options;
mod source;
mod tools;
mod usage;

use std::borrow::Cow;

use bytes::Bytes;

pub use self::answer::{Answer, finish_reason};
pub use self::beside::Beside;
pub use self::call_ids::{CallIds, given_name};
pub use self::event::{ChatEvent, Finish, FinishReason, Substance, substance};
pub use self::marks::{CacheRetention, Mark, Marks, PartAt};
pub use self::metadata::Metadata;
pub use self::options::{ProviderOptions, ServiceTier, Verbosity};
pub use self::source::{Citation, TokenLogprob, TopLogprob};
pub use self::tools::{FunctionTool, Tool, ToolChoice, WebSearch};
pub use self::usage::{ProviderToolUsage, ServedTier, Usage};

/// One request for an answer, already validated: roles are in a legal order, JSON texts parse,
/// every tool result names a tool call that stands before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatRequest {
    /// The conversation so far, at least one message; system messages may stand anywhere.
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
    /// What is said of single parts and tools besides their content.
    pub marks: Marks,
    /// Which of the caller's users is asking, for the provider; empty if it is not told.
    pub end_user_id: String,
    /// Groups requests with a common beginning for the provider's prompt cache; empty for none.
    pub prompt_cache_key: String,
    /// How long the provider keeps the prompt at least; `None` leaves it to the provider.
    pub prompt_cache_retention: Option<CacheRetention>,
    /// What the provider gives for its price; `None` leaves it to the provider.
    pub service_tier: Option<ServiceTier>,
    /// How wordy the answer is; `None` leaves it to the provider.
    pub verbosity: Option<Verbosity>,
    /// Fields of the request in a provider's own words.
    pub options: Vec<ProviderOptions>,
    /// Whether the caller wants what the provider says beyond the rest of the answer.
    pub wants_metadata: bool,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who wrote it.
    pub role: Role,
    /// Its pieces, in order; none only for an assistant that said nothing.
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
    /// The result of a tool call; only in tool messages.
    ToolResult(ToolResult),
    /// Reasoning that a model produced; only in assistant messages.
    Reasoning(Reasoning),
    /// A model's refusal to answer; only in assistant messages.
    Refusal(String),
    /// Sound.
    Audio(Media),
    /// Moving pictures.
    Video(Media),
    /// A piece of an answer that only its provider understands; only in assistant messages.
    Provider(ProviderPart),
}

/// A piece of an answer that only its provider understands, to be replayed unchanged to that provider.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProviderPart {
    /// Config name of the provider that made it; empty in the events of an answer. Never sent to another one.
    pub provider: String,
    /// What the provider calls it, such as `web_search_tool_result`.
    pub kind: String,
    /// The piece as the provider sent it: a JSON object as text.
    pub content: String,
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
    /// Stored at a provider; no other one has it.
    File {
        /// Config name of the provider.
        provider: String,
        /// The provider's id of the file.
        id: String,
    },
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

/// A call of a tool by the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolCall {
    /// Identifies the call until its result; later turns may use the id again. Empty if the provider gave none.
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

/// The result of a tool call.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolResult {
    /// Id of the [`ToolCall`] it answers: of those with this id in the assistant message before, the first
    /// that no other result answers.
    pub tool_call_id: String,
    /// Name of the tool, taken from that call (Gemini matches results by name).
    pub tool_name: String,
    /// Text, image, document, audio and video parts.
    pub content: Vec<Part>,
    /// Whether the tool failed.
    pub is_error: bool,
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
        /// What the answer is for; may be empty.
        description: String,
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
    /// Asks for the probability of each token, and of so many of the likeliest ones; 0 to 20.
    pub top_logprobs: Option<u8>,
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
    /// Between much and as much as the model can.
    XHigh,
    /// As much as the model can.
    Max,
}

/// Something that was left out or changed in the request for one target; the caller gets it as a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adaptation {
    /// Path of the field in the request.
    pub field: Cow<'static, str>,
    /// What was done and why, in our words.
    pub what: &'static str,
}
