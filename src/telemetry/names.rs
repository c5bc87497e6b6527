//! What are the attributes of spans called?
//!
//! GenAI names follow open-telemetry/semantic-conventions-genai (status: development), RPC names
//! the RPC conventions of OpenTelemetry 1.44; names of our own begin with `modelway.`.

/// What the model is asked to do; always [`CHAT`].
pub const OPERATION_NAME: &str = "gen_ai.operation.name";
/// Value of [`OPERATION_NAME`].
pub const CHAT: &str = "chat";
/// The provider's config name.
pub const PROVIDER_NAME: &str = "gen_ai.provider.name";
/// The model as named to the provider.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
/// Whether the upstream answer is streamed.
pub const REQUEST_STREAM: &str = "gen_ai.request.stream";
/// Upper limit of output tokens.
pub const REQUEST_MAX_TOKENS: &str = "gen_ai.request.max_tokens";
/// Sampling temperature.
pub const REQUEST_TEMPERATURE: &str = "gen_ai.request.temperature";
/// Nucleus sampling.
pub const REQUEST_TOP_P: &str = "gen_ai.request.top_p";
/// The caller's conversation.
pub const CONVERSATION_ID: &str = "gen_ai.conversation.id";
/// The provider's id of the response.
pub const RESPONSE_ID: &str = "gen_ai.response.id";
/// The model that the provider says answered.
pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
/// Why the model stopped, an array of one.
pub const RESPONSE_FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
/// Seconds to the first content.
pub const RESPONSE_TIME_TO_FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
/// Tokens of the prompt, cached ones included.
pub const USAGE_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Tokens of the answer, reasoning included.
pub const USAGE_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// Input that a cache served.
pub const USAGE_CACHE_READ: &str = "gen_ai.usage.cache_read.input_tokens";
/// Input that was written to a cache.
pub const USAGE_CACHE_WRITE: &str = "gen_ai.usage.cache_write.input_tokens";
/// Output spent on reasoning.
pub const USAGE_REASONING: &str = "gen_ai.usage.reasoning.output_tokens";

/// What went wrong: an HTTP status, a gRPC code or a reason of ours.
pub const ERROR_TYPE: &str = "error.type";
/// Host of the provider.
pub const SERVER_ADDRESS: &str = "server.address";
/// Port of the provider.
pub const SERVER_PORT: &str = "server.port";

/// Always `grpc`.
pub const RPC_SYSTEM: &str = "rpc.system.name";
/// `service/method`.
pub const RPC_METHOD: &str = "rpc.method";
/// Name of the gRPC code of the answer.
pub const RPC_STATUS_CODE: &str = "rpc.response.status_code";

/// Id of the call.
pub const CALL_ID: &str = "modelway.call.id";
/// The scenario that was asked for.
pub const CALL_SCENARIO: &str = "modelway.call.scenario";
/// Attempts that were sent.
pub const CALL_ATTEMPTS: &str = "modelway.call.attempt.count";
/// Targets that were skipped, as `target: reason`.
pub const CALL_SKIPPED: &str = "modelway.call.skipped";
/// Number of the attempt within its call, from 1.
pub const ATTEMPT_NUMBER: &str = "modelway.attempt.number";
/// Why the attempt was made.
pub const ATTEMPT_KIND: &str = "modelway.attempt.kind";
/// How it ended.
pub const ATTEMPT_OUTCOME: &str = "modelway.attempt.outcome";
/// State of the target's breaker when the attempt was admitted.
pub const BREAKER_STATE: &str = "modelway.breaker.state";
/// The provider's id of the HTTP request.
pub const PROVIDER_REQUEST_ID: &str = "modelway.provider.request_id";

/// Which names of the GenAI conventions are used. The conventions are still changing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GenAiNames {
    /// Those of the newest conventions.
    #[default]
    Current,
    /// Those of version 1.41, which most backends know.
    V1_41,
    /// Both, beside each other.
    Both,
}
