//! What are the attributes of spans called?
//!
//! GenAI names follow open-telemetry/semantic-conventions-genai at commit 32c328e8 (status: development; nothing is
//! released yet). What has changed since 1.41.0, the last release that had them, is listed there in
//! `docs/gen-ai/non-normative/migration.md`; [`GenAiNames`] chooses between both. RPC names follow the RPC conventions of
//! OpenTelemetry 1.44. Names of our own begin with `modelway.`; their times are in seconds.
//!
//! docs/traces.md explains all of them; a test compares it with the lists here.

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

impl GenAiNames {
    /// The names of the tokens that were written to a cache.
    pub fn usage_cache_write(self) -> &'static [&'static str] {
        const BOTH: [&str; 2] = [USAGE_CACHE_WRITE, USAGE_CACHE_CREATION];
        match self {
            Self::Current => &BOTH[..1],
            Self::V1_41 => &BOTH[1..],
            Self::Both => &BOTH,
        }
    }

    /// Whether the newest names are used.
    pub fn has_current(self) -> bool {
        self != Self::V1_41
    }

    /// Whether the names of 1.41 are used.
    pub fn has_former(self) -> bool {
        self != Self::Current
    }

    /// Whether `gen_ai.request.top_k` is a number with a fraction, as in 1.41. It cannot be both: the name has stayed.
    pub fn has_fractional_top_k(self) -> bool {
        self == Self::V1_41
    }
}

/// Declares names, and the list of all that a kind of span can have.
macro_rules! names {
    ($(#[$of_list:meta])* $list:ident: $($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*
        $(#[$of_list])*
        pub const $list: &[&str] = &[$($name),*];
    };
}

/// Value of [`OPERATION_NAME`].
pub const CHAT: &str = "chat";

names! {
    /// What only spans of attempts have.
    ONLY_OF_ATTEMPTS:
    /// What the model is asked to do; always [`CHAT`].
    OPERATION_NAME = "gen_ai.operation.name";
    /// The provider's config name.
    PROVIDER_NAME = "gen_ai.provider.name";
    /// The model as named to the provider.
    REQUEST_MODEL = "gen_ai.request.model";
    /// Whether the upstream answer is streamed.
    REQUEST_STREAM = "gen_ai.request.stream";
    /// Upper limit of output tokens.
    REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens";
    /// Sampling temperature.
    REQUEST_TEMPERATURE = "gen_ai.request.temperature";
    /// Nucleus sampling.
    REQUEST_TOP_P = "gen_ai.request.top_p";
    /// How many of the likeliest tokens are sampled.
    REQUEST_TOP_K = "gen_ai.request.top_k";
    /// Frequency penalty.
    REQUEST_FREQUENCY_PENALTY = "gen_ai.request.frequency_penalty";
    /// Presence penalty.
    REQUEST_PRESENCE_PENALTY = "gen_ai.request.presence_penalty";
    /// Seed of the sampling.
    REQUEST_SEED = "gen_ai.request.seed";
    /// The provider's id of the response.
    RESPONSE_ID = "gen_ai.response.id";
    /// The model that the provider says answered.
    RESPONSE_MODEL = "gen_ai.response.model";
    /// Why the model stopped, an array of one.
    RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons";
    /// Seconds to the first content of a streamed answer.
    RESPONSE_TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk";
    /// Tokens of the prompt, cached ones included.
    USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens";
    /// Tokens of the answer, reasoning included.
    USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens";
    /// Input that a cache served.
    USAGE_CACHE_READ = "gen_ai.usage.cache_read.input_tokens";
    /// Input that was written to a cache.
    USAGE_CACHE_WRITE = "gen_ai.usage.cache_write.input_tokens";
    /// The same under its name in 1.41.
    USAGE_CACHE_CREATION = "gen_ai.usage.cache_creation.input_tokens";
    /// Output spent on reasoning.
    USAGE_REASONING = "gen_ai.usage.reasoning.output_tokens";
    /// Host of the provider.
    SERVER_ADDRESS = "server.address";
    /// Port of the provider.
    SERVER_PORT = "server.port";
    /// Id of the model in the catalogue.
    ATTEMPT_TARGET = "modelway.attempt.target";
    /// Number of the attempt within its call, from 1.
    ATTEMPT_NUMBER = "modelway.attempt.number";
    /// Why the attempt was made.
    ATTEMPT_KIND = "modelway.attempt.kind";
    /// How it ended.
    ATTEMPT_OUTCOME = "modelway.attempt.outcome";
    /// Why it failed, as callers see it.
    ATTEMPT_REASON = "modelway.attempt.reason";
    /// State of the target's breaker when the attempt was admitted.
    BREAKER_STATE = "modelway.breaker.state";
    /// The provider's id of the HTTP request.
    PROVIDER_REQUEST_ID = "modelway.provider.request_id";
}

names! {
    /// What only spans of calls have.
    ONLY_OF_CALLS:
    /// `grpc`, for calls through the doors of gRPC and gRPC-Web.
    RPC_SYSTEM = "rpc.system.name";
    /// `service/method`.
    RPC_METHOD = "rpc.method";
    /// Name of the gRPC code of the answer.
    RPC_STATUS_CODE = "rpc.response.status_code";
    /// The scenario that was asked for.
    CALL_SCENARIO = "modelway.call.scenario";
    /// The model of the configuration that was asked for.
    CALL_MODEL = "modelway.call.model";
    /// Who called.
    CALL_CALLER = "modelway.call.caller";
    /// The team of the caller.
    CALL_TEAM = "modelway.call.team";
    /// The organisation of the caller.
    CALL_ORGANISATION = "modelway.call.organisation";
    /// The id of the key that it called with.
    CALL_KEY_ID = "modelway.call.key_id";
    /// The caller's own id of its request.
    CALL_REQUEST_ID = "modelway.call.request_id";
    /// Through which protocol the call came.
    CALL_DOOR = "modelway.call.door";
    /// How important the call is.
    CALL_PRIORITY = "modelway.call.priority";
    /// `OK`, `CANCELLED`, or why the call failed.
    CALL_REASON = "modelway.call.reason";
    /// Who must act on its end.
    CALL_BLAME = "modelway.call.blame";
    /// Attempts that were sent.
    CALL_ATTEMPTS = "modelway.call.attempt.count";
    /// The model in the catalogue that answered, or that was tried last.
    CALL_TARGET = "modelway.call.target";
    /// Targets that were skipped, as `target: reason`.
    CALL_SKIPPED = "modelway.call.skipped";
    /// The kind of the attempt without which the call would have failed.
    CALL_RESCUED_BY = "modelway.call.rescued_by";
    /// Whether an earlier call with the same idempotency key gave the answer.
    CALL_REPLAYED = "modelway.call.replayed";
    /// Messages of a stream that were handed over.
    CALL_MESSAGES = "modelway.call.messages";
    /// Input tokens of all attempts. Not under a GenAI name, since backends add those up over all spans.
    CALL_INPUT_TOKENS = "modelway.call.input_tokens";
    /// Output tokens of all attempts.
    CALL_OUTPUT_TOKENS = "modelway.call.output_tokens";
    /// Input tokens of all attempts that a cache served.
    CALL_CACHED_TOKENS = "modelway.call.cached_tokens";
    /// Output tokens of all attempts that were spent on reasoning.
    CALL_REASONING_TOKENS = "modelway.call.reasoning_tokens";
    /// USD that were spent on attempts that gave their caller nothing.
    COST_WASTED = "modelway.cost.wasted_usd";
    /// Waiting for admission.
    TIME_QUEUE = "modelway.call.time.queue";
    /// At least one attempt was under way.
    TIME_UPSTREAM = "modelway.call.time.upstream";
    /// What the gateway itself took.
    TIME_OVERHEAD = "modelway.call.time.overhead";
    /// Until the first content was handed over.
    TIME_FIRST_CONTENT = "modelway.call.time.first_content";
    /// What the caller gave.
    TIME_DEADLINE = "modelway.call.time.deadline";
}

names! {
    /// What spans of calls and of attempts have.
    OF_BOTH:
    /// What went wrong: an HTTP status, a gRPC code or a reason of ours.
    ERROR_TYPE = "error.type";
    /// The caller's conversation.
    CONVERSATION_ID = "gen_ai.conversation.id";
    /// Id of the call.
    CALL_ID = "modelway.call.id";
    /// USD, as far as they are known; of a call the sum of all attempts.
    COST_USD = "modelway.cost.usd";
    /// Where the amount comes from.
    COST_SOURCE = "modelway.cost.source";
}

names! {
    /// What links have.
    OF_LINKS:
    /// What the linked span is: `original` for that of the call whose answer is given again, `rival` for the attempt
    /// that was late.
    LINK_KIND = "modelway.link.kind";
}

/// Value of [`LINK_KIND`].
pub const ORIGINAL: &str = "original";
/// Value of [`LINK_KIND`].
pub const RIVAL: &str = "rival";

#[cfg(test)]
mod tests {
    use super::*;

    /// A change here must be meant: dashboards and queries of others use these names.
    #[test]
    fn the_names_are_these() {
        let mut all = [ONLY_OF_ATTEMPTS, ONLY_OF_CALLS, OF_BOTH, OF_LINKS].concat();
        all.sort_unstable();

        assert_eq!(all.join("\n"), SNAPSHOT.trim());
    }

    #[test]
    fn each_choice_of_names_differs_where_the_conventions_do() {
        let current = "gen_ai.usage.cache_write.input_tokens";
        let former = "gen_ai.usage.cache_creation.input_tokens";
        let table = [
            (GenAiNames::Current, &[current][..], false),
            (GenAiNames::V1_41, &[former], true),
            (GenAiNames::Both, &[current, former], false),
        ];
        for (names, cache_write, fractional_top_k) in table {
            assert_eq!(names.usage_cache_write(), cache_write, "{names:?}");
            assert_eq!(names.has_fractional_top_k(), fractional_top_k, "{names:?}");
        }
    }

    const SNAPSHOT: &str = "
error.type
gen_ai.conversation.id
gen_ai.operation.name
gen_ai.provider.name
gen_ai.request.frequency_penalty
gen_ai.request.max_tokens
gen_ai.request.model
gen_ai.request.presence_penalty
gen_ai.request.seed
gen_ai.request.stream
gen_ai.request.temperature
gen_ai.request.top_k
gen_ai.request.top_p
gen_ai.response.finish_reasons
gen_ai.response.id
gen_ai.response.model
gen_ai.response.time_to_first_chunk
gen_ai.usage.cache_creation.input_tokens
gen_ai.usage.cache_read.input_tokens
gen_ai.usage.cache_write.input_tokens
gen_ai.usage.input_tokens
gen_ai.usage.output_tokens
gen_ai.usage.reasoning.output_tokens
modelway.attempt.kind
modelway.attempt.number
modelway.attempt.outcome
modelway.attempt.reason
modelway.attempt.target
modelway.breaker.state
modelway.call.attempt.count
modelway.call.blame
modelway.call.cached_tokens
modelway.call.caller
modelway.call.door
modelway.call.id
modelway.call.input_tokens
modelway.call.key_id
modelway.call.messages
modelway.call.model
modelway.call.organisation
modelway.call.output_tokens
modelway.call.priority
modelway.call.reason
modelway.call.reasoning_tokens
modelway.call.replayed
modelway.call.request_id
modelway.call.rescued_by
modelway.call.scenario
modelway.call.skipped
modelway.call.target
modelway.call.team
modelway.call.time.deadline
modelway.call.time.first_content
modelway.call.time.overhead
modelway.call.time.queue
modelway.call.time.upstream
modelway.cost.source
modelway.cost.usd
modelway.cost.wasted_usd
modelway.link.kind
modelway.provider.request_id
rpc.method
rpc.response.status_code
rpc.system.name
server.address
server.port
";
}
