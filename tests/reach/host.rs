//! Which wire format and dialect does the host of a recorded request need?
//!
//! A dialect is chosen as an operator would: by what the recording shows that host and model to take.

use modelway::wire::WireFormat;
use modelway::wire::anthropic::{self, Anthropic, ThinkingDialect};
use modelway::wire::gemini::{self, Gemini};
use modelway::wire::openai_chat::{
    self, Documents, Effort, OpenAiChat, OutputCap, ReasoningControl, ReasoningHistory,
    RequiredWord, SeedField, SystemRole, ToolCallIds,
};
use modelway::wire::openai_responses::{self, OpenAiResponses};
use serde_json::Value;

use crate::recorded::{Family, Recorded};

/// The provider's name in the configuration.
pub(crate) const PROVIDER: &str = "recorded-host";

const EFFORTS: [Effort; 7] = [
    Effort::None,
    Effort::Minimal,
    Effort::Low,
    Effort::Medium,
    Effort::High,
    Effort::Xhigh,
    Effort::Max,
];

pub(crate) fn wire_format(recorded: &Recorded) -> Box<dyn WireFormat> {
    match recorded.family {
        Family::Anthropic => Box::new(Anthropic {
            dialect: of_anthropic(recorded),
        }),
        Family::OpenAiChat => Box::new(OpenAiChat {
            dialect: of_chat(recorded),
        }),
        Family::OpenAiResponses => Box::new(OpenAiResponses {
            dialect: of_responses(),
        }),
        Family::Gemini => Box::new(Gemini::new(of_gemini(&recorded.body))),
    }
}

fn of_anthropic(Recorded { url, body, .. }: &Recorded) -> anthropic::Dialect {
    anthropic::Dialect {
        thinking: match body["thinking"]["type"].as_str() {
            Some("enabled") => ThinkingDialect::Budget,
            _ => ThinkingDialect::Adaptive,
        },
        host: match url.contains("aiplatform.googleapis.com") {
            true => anthropic::Host::Vertex,
            false => anthropic::Host::Anthropic,
        },
        // Which features a model cannot combine is no matter of words.
        excludes: Some(Vec::new()),
        efforts: None,
    }
}

fn of_chat(Recorded { url, body, .. }: &Recorded) -> openai_chat::Dialect {
    let has = |name: &str| !body[name].is_null();
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let some_message = |is: &dyn Fn(&Value) -> bool| messages.iter().any(is);
    let is_mistral = url.contains("api.mistral.ai");
    openai_chat::Dialect {
        output_cap: match has("max_tokens") {
            true => OutputCap::MaxTokens,
            false => OutputCap::MaxCompletionTokens,
        },
        system_role: match some_message(&|message| message["role"] == "developer") {
            true => SystemRole::Developer,
            false => SystemRole::System,
        },
        stream_usage: has("stream_options"),
        reasoning: if has("reasoning") {
            ReasoningControl::ReasoningObject
        } else if has("thinking") {
            ReasoningControl::Thinking
        } else if has("enable_thinking") {
            ReasoningControl::EnableThinking
        } else {
            ReasoningControl::ReasoningEffort
        },
        efforts: EFFORTS.to_vec(),
        thinks_unasked: false,
        reasoning_history: if some_message(&|message| message["reasoning_details"].is_array()) {
            ReasoningHistory::ReasoningDetails
        } else if some_message(&|message| message["reasoning_content"].is_string()) {
            ReasoningHistory::ReasoningContent
        } else if some_message(&|message| message["reasoning"].is_string()) {
            ReasoningHistory::Reasoning
        } else {
            ReasoningHistory::None
        },
        seed: match has("random_seed") {
            true => SeedField::RandomSeed,
            false => SeedField::Seed,
        },
        required_tool_choice: match body["tool_choice"] == "any" {
            true => RequiredWord::Any,
            false => RequiredWord::Required,
        },
        tool_call_ids: match is_mistral {
            true => ToolCallIds::NineAlphanumerics,
            false => ToolCallIds::Any,
        },
        documents: match is_mistral {
            true => Documents::DocumentUrl,
            false => Documents::File,
        },
        top_k: has("top_k"),
        excludes: Some(Vec::new()),
        ..openai_chat::Dialect::default()
    }
}

fn of_responses() -> openai_responses::Dialect {
    openai_responses::Dialect {
        efforts: EFFORTS.to_vec(),
        excludes: Some(Vec::new()),
        ..openai_responses::Dialect::default()
    }
}

fn of_gemini(body: &Value) -> gemini::Dialect {
    gemini::Dialect {
        call_ids: body["contents"].to_string().contains("\"id\":"),
        ..gemini::Dialect::default()
    }
}
