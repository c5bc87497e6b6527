//! Which metrics of attempts do the GenAI conventions name?
//!
//! The names follow open-telemetry/semantic-conventions-genai (status: development).

use super::definition::{Definition, MetricKind};

/// `gen_ai.client.inference.duration`.
pub static GENAI_DURATION: Definition = Definition {
    otel: "gen_ai.client.inference.duration",
    prometheus: "gen_ai_client_inference_duration_seconds",
    kind: MetricKind::Histogram,
    unit: "s",
    help: "Duration of an attempt that was sent.",
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "error.type",
    ],
};

/// `gen_ai.client.inference.time_to_first_chunk`.
pub static GENAI_FIRST_CHUNK: Definition = Definition {
    otel: "gen_ai.client.inference.time_to_first_chunk",
    prometheus: "gen_ai_client_inference_time_to_first_chunk_seconds",
    kind: MetricKind::Histogram,
    unit: "s",
    help: "Time to the first content of a streamed attempt.",
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
    ],
};

/// `gen_ai.client.inference.usage.input_tokens`.
pub static GENAI_INPUT: Definition = Definition {
    otel: "gen_ai.client.inference.usage.input_tokens",
    prometheus: "gen_ai_client_inference_usage_input_tokens_total",
    kind: MetricKind::Counter,
    unit: "{token}",
    help: "Tokens of prompts, cached ones included.",
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
    ],
};

/// `gen_ai.client.inference.usage.output_tokens`.
pub static GENAI_OUTPUT: Definition = Definition {
    otel: "gen_ai.client.inference.usage.output_tokens",
    prometheus: "gen_ai_client_inference_usage_output_tokens_total",
    kind: MetricKind::Counter,
    unit: "{token}",
    help: "Tokens of answers, reasoning included.",
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
    ],
};

/// `gen_ai.client.inference.usage.cache_read.input_tokens`.
pub static GENAI_CACHE_READ: Definition = Definition {
    otel: "gen_ai.client.inference.usage.cache_read.input_tokens",
    prometheus: "gen_ai_client_inference_usage_cache_read_input_tokens_total",
    kind: MetricKind::Counter,
    unit: "{token}",
    help: "Tokens of prompts that a cache of the provider served.",
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
    ],
};

/// `gen_ai.client.inference.usage.cache_write.input_tokens`.
pub static GENAI_CACHE_WRITE: Definition = Definition {
    otel: "gen_ai.client.inference.usage.cache_write.input_tokens",
    prometheus: "gen_ai_client_inference_usage_cache_write_input_tokens_total",
    kind: MetricKind::Counter,
    unit: "{token}",
    help: "Tokens of prompts that were written to a cache of the provider.",
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
    ],
};

/// `gen_ai.client.inference.usage.reasoning.output_tokens`.
pub static GENAI_REASONING: Definition = Definition {
    otel: "gen_ai.client.inference.usage.reasoning.output_tokens",
    prometheus: "gen_ai_client_inference_usage_reasoning_output_tokens_total",
    kind: MetricKind::Counter,
    unit: "{token}",
    help: "Tokens of answers that were spent on reasoning.",
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
    ],
};

/// `gen_ai.client.operation.duration`, the name of [`GENAI_DURATION`] in 1.41.
pub static FORMER_DURATION: Definition = Definition {
    otel: "gen_ai.client.operation.duration",
    prometheus: "gen_ai_client_operation_duration_seconds",
    kind: MetricKind::Histogram,
    unit: "s",
    help: "Duration of an attempt that was sent, under its name in version 1.41 of the GenAI conventions.",
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "error.type",
    ],
};

/// `gen_ai.client.operation.time_to_first_chunk`, the name of [`GENAI_FIRST_CHUNK`] in 1.41.
pub static FORMER_FIRST_CHUNK: Definition = Definition {
    otel: "gen_ai.client.operation.time_to_first_chunk",
    prometheus: "gen_ai_client_operation_time_to_first_chunk_seconds",
    kind: MetricKind::Histogram,
    unit: "s",
    help: "Time to the first content of a streamed attempt, under its name in version 1.41.",
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
    ],
};

/// `gen_ai.client.token.usage`, which stood in 1.41 for what [`GENAI_INPUT`] and [`GENAI_OUTPUT`] count.
pub static FORMER_TOKENS: Definition = Definition {
    otel: "gen_ai.client.token.usage",
    prometheus: "gen_ai_client_token_usage",
    kind: MetricKind::Histogram,
    unit: "{token}",
    help: "Tokens of an attempt, by their type, under their name in version 1.41.",
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.token.type",
    ],
};
