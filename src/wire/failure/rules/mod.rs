//! The table that tells errors apart: which statuses, codes and messages mean which kind.

use std::ops::RangeInclusive;

use crate::error::UpstreamErrorKind::{self, *};

use super::report::Report;

/// One row of the table. It applies if the status, a code or a message says so.
pub(super) struct Rule {
    pub(super) kind: UpstreamErrorKind,
    statuses: &'static [RangeInclusive<u16>],
    /// In lower case. A code that ends with one of these, after a `_`, says so too.
    codes: &'static [&'static str],
    /// In lower case: pieces that follow each other in the message.
    messages: &'static [&'static [&'static str]],
}

impl Rule {
    pub(super) fn applies(&self, status: u16, report: &Report) -> bool {
        self.statuses.iter().any(|range| range.contains(&status))
            || self.codes.iter().any(|code| report.has_code(code))
            || self.messages.iter().any(|pieces| report.says(pieces))
    }

    #[cfg(test)]
    pub(super) fn texts(&self) -> impl Iterator<Item = &'static str> {
        let pieces = self.messages.iter().copied().flatten();
        self.codes.iter().chain(pieces).copied()
    }
}

const fn rule(
    kind: UpstreamErrorKind,
    statuses: &'static [RangeInclusive<u16>],
    codes: &'static [&'static str],
    messages: &'static [&'static [&'static str]],
) -> Rule {
    Rule {
        kind,
        statuses,
        codes,
        messages,
    }
}

/// The first row that applies decides. What none applies to is the provider's fault: a redirect, or
/// an error in a 200 response that nobody explains.
pub(super) const RULES: &[Rule] = &[
    rule(
        QuotaExhausted,
        &[402..=402],
        &[
            "insufficient_quota",
            "insufficient_user_quota",      // new-api
            "exceeded_current_quota_error", // Moonshot
            "credit_balance_exhausted",
            "spend_limit_exceeded",
            "enforced_spend_limit_reached", // Anthropic
            "billing_error",
            "billing_not_active",
            "billing_hard_limit_reached",
            "arrearage", // DashScope
        ],
        &[],
    ),
    // one-api and new-api, in whose place other statuses and codes mean nothing: no channel for
    // this model, and a saturated upstream.
    rule(ModelNotFound, &[], &[], &[&["无可用渠道"]]),
    rule(Overloaded, &[], &[], &[&["负载已饱和"]]),
    // The codes stand before the statuses: Moonshot says with 429 that everybody has to wait.
    rule(
        Overloaded,
        &[503..=503, 529..=529],
        &["overloaded_error", "server_is_overloaded"],
        &[],
    ),
    rule(
        ServerError,
        // 408, 424 (AWS: the model behind it failed) and 499 (Google: it was cancelled there) blame
        // nothing in the request.
        &[408..=408, 424..=424, 499..=499, 500..=599],
        &[],
        &[],
    ),
    rule(
        RateLimited,
        &[429..=429],
        &[
            "rate_limit_error",
            "rate_limit_exceeded",
            "rate_limited",
            "ratelimitreached",
            "resource_exhausted",
            "throttlingexception",
            "too_many_requests",
        ],
        &[],
    ),
    rule(
        QuotaExhausted,
        &[],
        &[],
        &[&["credit balance is too low"]], // Anthropic, with 400
    ),
    rule(
        Authentication,
        &[401..=401],
        &[
            "authentication_error",
            "invalid_api_key",
            "api_key_invalid", // Google, with 400
            "api_key_expired",
            "unauthenticated",
        ],
        &[
            &["api key not valid"],
            &["incorrect api key"], // xAI, with 400
            &["invalid api key"],
            &["invalid x-api-key"],
            &["api key expired"],
        ],
    ),
    rule(
        Permission,
        &[403..=403],
        &["permission_denied", "permission_error"],
        &[],
    ),
    rule(
        ContentBlocked,
        &[],
        &[
            "content_filter",
            "content_policy_violation",
            "responsibleaipolicyviolation",
            "data_inspection_failed", // DashScope
        ],
        &[],
    ),
    rule(
        ContextLength,
        &[],
        &[
            "context_length_exceeded",
            "exceed_context_size_error", // llama.cpp
            "too_many_prompt_tokens",    // Perplexity
        ],
        &[
            &["maximum context length"],
            &["context length exceeded"],
            &["context length is only"], // vLLM
            &["max context length"],     // Ollama
            &["exceeds the context window"],
            &["exceed context limit"], // Anthropic
            &["exceeds the available context size"],
            &["exceeded model token limit"], // Moonshot
            &["input token count", "exceeds the maximum number of tokens"], // Google
            &["input tokens exceeded"],      // Bedrock
            &["input is too long"],
            &["prompt is too long"], // Anthropic
            &["prompt too long"],
            &["maximum prompt length"], // xAI
            &["too many input tokens"],
            &["too many prompt tokens"],
            &["too many tokens: size limit exceeded"], // Cohere
            // Older vLLM: what the prompt leaves for the answer is less than nothing.
            &["max_tokens must be at least 1, got -"],
        ],
    ),
    rule(
        ModelNotFound,
        &[404..=404],
        &[
            "model_not_found",
            "not_found_error",
            "deploymentnotfound",
            "invalid_model",
        ],
        &[
            &["model not found"],
            &["not a valid model id"],
            &["invalid model:"],
            &["invalid model '"],
            &["supported api model names"],
            &["model identifier is invalid"],
            &["the model `", "does not exist"],
            &["the requested model", "does not exist"],
        ],
    ),
    rule(
        InvalidRequest,
        &[400..=499],
        &[
            "invalid_request_error",
            "invalid_argument",
            "invalid-argument",
        ],
        &[],
    ),
];
