//! Which errors say that the host does not have the model, or that the model cannot do what is asked.

use crate::error::UpstreamErrorKind::{ModelNotFound, UnsupportedByModel};

use super::{Rule, Says};

/// The host does not have the model, or no longer has it.
pub(super) const GONE: &[Rule] = &[
    Rule::of(ModelNotFound).codes(&[
        "model_not_found", // OpenAI, new-api with 503
        "model_not_exist",
        "model_not_exists",
        "model_does_not_exist",
        "no_such_model",
        "unknown_model",
        "invalid_model",
        "model_invalid",
        "model_decommissioned", // Groq
        "model_deprecated",
        "model_retired",
        "model_terminated",
        "model_not_available", // Together
        "model_unavailable",
        "model_not_open",      // Volcengine
        "model_not_supported", // Copilot
        "unsupported_model",
        "invalid_endpoint_or_model", // Volcengine
        "invalid_endpoint",
        "deployment_not_found", // Azure
        "no_available_channel", // new-api
        "get_channel_failed",
        "resource_not_found_exception", // AWS
        "1211",                         // Zhipu
        "20012",                        // SiliconFlow
        "5007",                         // Cloudflare
        "5035",                         // Cloudflare: it has gone
    ]),
    Rule::of(ModelNotFound)
        .says(&[
            // OpenAI: "The model `x` does not exist"; Groq: "has been decommissioned"; DeepSeek: "Model Not
            // Exist"; Google: "This model models/x is no longer available to new users"; xAI: "was deprecated
            // on"; Fireworks: "Model not found, inaccessible, and/or not deployed"; Cohere: "was removed on"
            Says::Then(
                &["model", "models/", "deployment", "model id", "endpoint"],
                6,
                &[
                    "does not exist",
                    "not exist",
                    "doesn't exist",
                    "not found",
                    "no longer",
                    "decommissioned",
                    "has been deprecated",
                    "was deprecated",
                    "is deprecated",
                    "retired",
                    "sunset",
                    "discontinued",
                    "been removed",
                    "been replaced",
                    "was removed",
                    "shut down",
                    "end of life",
                    "end-of-life",
                    "not deployed",
                    "inaccessible",
                    "not recognized",
                    "unrecognized",
                    "not activated",
                    "been activated",
                    "is unknown",
                    "not been found",
                    "is offline",
                    "been disabled",
                    "is disabled",
                ],
            ),
            // Copilot: "The requested model is not supported"
            Says::Then(
                &["model", "models/"],
                2,
                &[
                    "is not supported",
                    "not supported",
                    "is not available",
                    "isn't available",
                    "is unavailable",
                    "is currently unavailable",
                    "not available",
                    "isn't supported",
                    "is not allowed",
                    "is invalid",
                    "is not valid",
                    "not open",
                ],
            ),
            // Mistral: "Invalid model: x"; Cloudflare: "No such model"; OpenRouter: "x is not a valid model ID"
            Says::Then(
                &[
                    "invalid",
                    "unknown",
                    "no such",
                    "not a valid",
                    "unrecognized",
                    "nonexistent",
                    "non-serverless",
                    "unable to access",
                    "wrong",
                    "unsupported",
                    "unable to find",
                    "could not find",
                    "cannot find",
                    "can't find",
                    "not find",
                ],
                1,
                &[
                    "model:",
                    "model id",
                    "model name",
                    "model identifier",
                    "model.",
                    "model,",
                    "model ",
                    "deployment",
                    "models/",
                ],
            ),
            Says::Any(&[
                "supported api model names",   // DeepSeek
                "model identifier is invalid", // Bedrock
                "no available channel",        // new-api
                "no channel",
                "no deployments available", // LiteLLM
                "no healthy deployment",
                "no available provider",
                "no allowed providers",             // OpenRouter
                "no models loaded",                 // LM Studio
                "try pulling it",                   // Ollama
                "permitted models can be found",    // Perplexity
                "see the list of supported models", // Together
                "view available models",            // LiteLLM
                "可用渠道",                         // one-api and new-api
                "可用的渠道",
                "模型不存在",
                "不存在的模型",
                "模型已下线",
                "模型不可用",
                "不支持的模型",
                "暂不支持该模型",
                "不支持该模型",
            ]),
            Says::Then(
                &["模型"],
                2,
                &["不存在", "已下线", "已下架", "未找到", "不可用"],
            ),
        ])
        .unless(&[OF_A_PART]),
];

/// The model does not support something in the request, or not this value of it; other models may.
pub(super) const UNSUPPORTED: &[Rule] = &[
    Rule::of(UnsupportedByModel).within(0..=499).codes(&[
        "unsupported_value",     // OpenAI
        "unsupported_parameter", // OpenAI
        "unsupported_params",    // LiteLLM
        "unsupported_feature",
        "unsupported_content_type",
        "unsupported_media_type",
        "feature_not_supported",
        "parameter_not_supported",
        "not_supported",
        "1212", // Zhipu: the model cannot be called in this way
    ]),
    Rule::of(UnsupportedByModel).within(0..=499).says(&[
        Says::Any(&[
            "does not support",
            "doesn't support",
            "unsupported parameter",
            "unsupported value",
            "unsupported media",
            "unsupported image",
            "unsupported file",
            "unsupported content",
            "not a multimodal model",          // vLLM
            "no endpoints found that support", // OpenRouter, with 404
            "tool choice requires",            // vLLM
            "不支持",
        ]),
        // Mistral: "Logprobs are not enabled for this model"; Google: "Developer instruction is not enabled for
        // models/gemma"; Kimi: "invalid temperature: only 1 is allowed for this model"
        Says::All(&[
            &[
                "not support",
                "unsupported",
                "n't support",
                "not enabled",
                "n't enabled",
                "only supports",
                "is allowed for",
                "only works",
                "cannot be used",
                "can't be used",
                "not available",
                "not allowed",
                "n't available",
                "not compatible",
                "incompatible",
                "is deprecated for",
                "cannot both",
                "not permitted",
                "only allowed",
                "must be one of the supported",
                "not configured",
                "is disabled for",
            ],
            &[
                "this model",
                "the model",
                "with model",
                "for model",
                "model",
                "models/",
                "thinking mode",
                "reasoning mode",
                "deployment",
            ],
        ]),
        Says::Then(
            &[
                "parameter",
                "tool calling",
                "function calling",
                "tool use",
                "tool_choice",
                "response format",
                "response_format",
                "json mode",
                "image input",
                "service tier",
            ],
            3,
            &[
                "not supported",
                "not support",
                "unsupported",
                "not enabled",
                "not available",
            ],
        ),
    ]),
];

/// Words for parts of a request: a sentence that contains one says that the part is missing or wrong, not the model.
const OF_A_PART: &[&str] = &[
    "tool",
    "function",
    "parameter",
    "param ",
    "field",
    "argument",
    "message",
    "image",
    "file",
    "url",
    "schema",
    "support image",
    "response format",
    "temperature",
    "logprob",
    "reasoning",
    "thinking",
    "effort",
    "prefill",
    "modalit",
    "input",
    "output",
    "token",
    "method",
    "system",
    "developer",
    "instruction",
    "prompt",
    "stop",
    "top_p",
    "top p",
    "streaming",
    "region",
    "country",
    "location",
    "plan",
];
