//! Which errors say that the prompt is longer than the model's context window.
//!
//! Hosts have no common code for it. What their messages share are two ideas: the length of the prompt or its
//! tokens, and that it is too large for something.

use crate::error::UpstreamErrorKind::ContextLength;

use super::{Rule, Says};

/// Words for too much of something.
const TOO_MUCH: &[&str] = &[
    "too long",
    "too large",
    "too many",
    "too big",
    "exceed",
    "over the",
    "overflow",
    "longer than",
    "larger than",
    "greater than",
    "more than",
    "bigger than",
    "beyond",
    "maximum",
    "max ",
    "limit",
    "at most",
    "up to",
    "only",
    "less than",
    "lower than",
    "fewer than",
    "not fit",
    "smaller than",
    "within",
    "range of",
    "should be [",
    "<=",
    "> ",
    "cannot be longer",
    "shorten",
    "run out",
    "ran out",
    "above",
    "surpass",
];

/// Words for a rate limit, which is not a limit on length.
const OF_A_RATE: &[&str] = &[
    "per minute",
    "per min",
    "per day",
    "per hour",
    "per second",
    "/min",
    "tpm",
    "rpm",
    "tpd",
    "rate limit",
    "quota",
    "please wait",
];

/// Words for other things that can be too long or too many.
const OF_SOMETHING_ELSE: &[&str] = &[
    "string",
    "array",
    "characters",
    "description",
    "name",
    "schema",
    "stop sequence",
    "image",
    "file",
    "pdf",
    "page",
    "audio",
    "video",
    "bytes",
    "batch size must",
    "logprob",
    "budget",
    "enum",
    "depth",
    "tool call id",
    "payload size",
    "number of messages",
    "number of tools",
];

/// Names of the limit on an answer's length, as in requests.
const OF_THE_ANSWER: &[&str] = &[
    "max tokens",
    "max_tokens is",
    "max_tokens should",
    "max_tokens must",
    "max_tokens:",
    "max_tokens to",
    "max_completion_tokens",
    "max_output_tokens",
    "maxoutputtokens",
    "maxtokens",
    "max_tokens_to_sample",
    "completion tokens",
    "output tokens",
    "output length",
    "range of max_tokens",
    "maximum value for",
    "maximum tokens you",
    "maximum tokens value",
];

pub(super) const BY_CODE: &[Rule] = &[Rule::of(ContextLength).codes(&[
    "context_length_exceeded", // OpenAI
    "context_length",
    "context_window_exceeded", // LiteLLM
    "context_window",
    "context_too_long",
    "context_limit_exceeded",
    "exceed_context_size", // llama.cpp
    "context_size_exceeded",
    "model_max_prompt_tokens_exceeded", // Copilot
    "max_prompt_tokens_exceeded",
    "too_many_prompt_tokens", // Perplexity
    "prompt_too_long",
    "input_too_long",
    "prompt_tokens_too_long",
    "input_tokens_exceeded",
    "tokens_limit_reached", // GitHub Models, with 413
    "too_large_context",    // Tencent
    "string_above_max_context",
    "max_context_length",
    "max_message_tokens", // Volcengine
    "1261",               // Zhipu
    "336103",             // Baidu
    "10907",              // iFlytek
])];

pub(super) const BY_MESSAGE: &[Rule] = &[
    // A sentence that mentions the context is about the prompt, whatever else it mentions.
    Rule::of(ContextLength)
        .says(&[
            Says::All(&[
                &[
                    "context length",
                    "context window",
                    "context size",
                    "context limit",
                    "context-length",
                    "contextlength",
                    "context token",
                    "context the overflows",
                    "length of context",
                    "length of the context",
                    "model context",
                    "max_seq_len",
                    "max_model_len",
                ],
                TOO_MUCH,
            ]),
            Says::Any(&[
                "maximum context",
                "max context",
                "exceeds context",
                "exceed context",
                "exceeded context",
                "context is too long",
                "context too long",
                "context overflow",
                "context window is full",
                "prompt tokens too long", // Baidu
                "maximum prompt length",  // xAI
                "max prompt length",
                "input tokens exceeded", // Bedrock
                "too many input tokens",
                "too many prompt tokens",
                "input length and",   // Anthropic: and `max_tokens`
                "too many tokens: ",  // Cohere
                "max message tokens", // Volcengine
                // Older vLLM: what the prompt leaves for the answer is less than nothing.
                "max_tokens must be at least 1, got -",
                // TGI and Together: the prompt and what may be answered.
                "inputs tokens + max_new_tokens",
                "tokens + max_new_tokens",
                "上下文长度",
                "超过最大上下文",
                "超出上下文",
                "超出最大长度",
                "超过最大长度",
                "超出模型最大长度",
                "输入过长",
                "输入长度超",
                "prompt 超长",
                "prompt超长",
                "token超",
                "token 超",
                "tokens超",
                "tokens 超",
                "token数量超过",
                "token数超",
                "长度超过",
                "长度超出",
            ]),
        ])
        .unless(&[OF_A_RATE]),
    Rule::of(ContextLength)
        .says(&[
            // Google: "The input token count (9) exceeds the maximum number of tokens allowed (8)"; Moonshot:
            // "Your request exceeded model token limit"; Cohere: "total number of tokens in the prompt cannot
            // exceed 4081"; Mistral: "Prompt contains 130000 tokens, too large for model"; TGI: "inputs must
            // have less than 1024 tokens"; SiliconFlow: "length of prompt_tokens must be less than"
            Says::All(&[
                &["token", "prompt_tokens", "input_tokens", "max size"],
                &[
                    "input",
                    "prompt",
                    "message",
                    "request",
                    "conversation",
                    "context",
                    "total",
                    "history",
                    "query",
                    "question",
                    "body",
                    "prompt_tokens",
                    "input_tokens",
                    "max size",
                ],
                TOO_MUCH,
            ]),
            // DashScope: "Range of input length should be [1, 129024]"; Z.ai: "Prompt exceeds max length"
            Says::All(&[
                &[
                    "input",
                    "prompt",
                    "message",
                    "conversation",
                    "request",
                    "history",
                    "query",
                    "text",
                ],
                &["length", "size limit"],
                TOO_MUCH,
            ]),
            // Anthropic: "prompt is too long"; Bedrock: "Input is too long for requested model"
            Says::Then(
                &[
                    "input",
                    "prompt",
                    "message",
                    "conversation",
                    "history",
                    "context",
                    "request",
                    "query",
                    "question",
                    "content",
                ],
                3,
                &["too long", "too many tokens"],
            ),
            // "Token count exceeds the limit", "Prompt exceeds limit"
            Says::Then(
                &["number of tokens", "token count", "total tokens", "tokens"],
                6,
                &[
                    "exceed",
                    "too many",
                    "larger than",
                    "greater than",
                    "over the limit",
                ],
            ),
            Says::Then(
                &[
                    "prompt",
                    "conversation",
                    "history",
                    "your input",
                    "input",
                    "context",
                ],
                2,
                &["exceed"],
            ),
            // Groq: "Please reduce the length of the messages or completion"
            Says::Then(
                &["reduce the length of", "shorten", "reduce"],
                3,
                &["message", "prompt", "input", "conversation"],
            ),
        ])
        .unless(&[OF_A_RATE, OF_SOMETHING_ELSE, OF_THE_ANSWER]),
];
