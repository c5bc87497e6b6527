//! Which wire format and dialect does the host of a recorded request need?
//!
//! A dialect is chosen as an operator would: by what the recording shows that host and model to take.

use modelway::wire::WireFormat;
use modelway::wire::anthropic::{self, Anthropic, ThinkingDialect};
use modelway::wire::gemini::{self, Gemini};
use modelway::wire::openai_chat::{
    self, CacheMarks, Documents, Effort, EndUserField, OpenAiChat, OutputCap, ReasoningControl,
    ReasoningHistory, RequiredWord, SeedField, SystemRole, TierWord, ToolCallIds,
};
use modelway::wire::openai_responses::{self, OpenAiResponses, ReasoningReplay};
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
            dialect: of_responses(&recorded.body),
        }),
        Family::Gemini => Box::new(Gemini::new(of_gemini(recorded))),
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
    let text = body.to_string();
    let has_within = |name: &str| text.contains(&format!("\"{name}\":"));
    let is_image = |piece: &Value| piece["type"] == "image_url";
    let shows_result = |message: &Value| {
        let pieces = message["content"].as_array();
        message["role"] == "tool" && pieces.is_some_and(|pieces| pieces.iter().any(is_image))
    };
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
        video: true,
        tool_result_images: some_message(&shows_result),
        cache_marks: if has_within("cache_control") {
            CacheMarks::CacheControl
        } else if has_within("prompt_cache_breakpoint") {
            CacheMarks::PromptCacheBreakpoint
        } else {
            CacheMarks::None
        },
        end_user: match has("user") {
            true => EndUserField::User,
            false => EndUserField::SafetyIdentifier,
        },
        service_tiers: match body["service_tier"] == "on_demand" {
            true => vec![TierWord::OnDemand],
            false => vec![TierWord::Default, TierWord::Priority, TierWord::Flex],
        },
        top_k: has("top_k"),
        user_after_tool: messages
            .windows(2)
            .any(|pair| pair[0]["role"] == "tool" && pair[1]["role"] == "user")
            .then_some(true),
        excludes: Some(Vec::new()),
        ..openai_chat::Dialect::default()
    }
}

fn of_responses(body: &Value) -> openai_responses::Dialect {
    let items = body["input"].as_array().map_or(&[][..], Vec::as_slice);
    let mut reasoning = items.iter().filter(|item| item["type"] == "reasoning");
    openai_responses::Dialect {
        efforts: EFFORTS.to_vec(),
        cache_breakpoints: body["input"]
            .to_string()
            .contains("\"prompt_cache_breakpoint\":"),
        reasoning_history: match reasoning.all(|item| item["encrypted_content"].is_string()) {
            true => ReasoningReplay::Encrypted,
            false => ReasoningReplay::Plain,
        },
        excludes: Some(Vec::new()),
        ..openai_responses::Dialect::default()
    }
}

fn of_gemini(Recorded { url, body, .. }: &Recorded) -> gemini::Dialect {
    let host = match url.contains("aiplatform.googleapis.com") {
        true => gemini::Host::Vertex,
        false => gemini::Host::Gemini,
    };
    gemini::Dialect {
        call_ids: body["contents"].to_string().contains("\"id\":"),
        host: Some(host),
        ..gemini::Dialect::default()
    }
}
