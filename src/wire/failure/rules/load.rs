//! Which errors say that the host is overloaded for everyone, or that we exceed our rate limit?

use crate::error::UpstreamErrorKind::{Overloaded, RateLimited};

use super::{Rule, Says};

/// The host is overloaded, whoever asks.
pub(super) const OVERLOADED: &[Rule] = &[Rule::of(Overloaded)
    .codes(&[
        "overloaded", // Anthropic's `overloaded_error`, Moonshot's `engine_overloaded_error`
        "overload",
        "server_is_overloaded", // OpenAI
        "slow_down",            // OpenAI
        "server_overloaded",    // Volcengine, with 429
        "model_overloaded",
        "capacity_exceeded",              // Groq, with 498
        "service_tier_capacity_exceeded", // Mistral, with 429
        "insufficient_capacity",
        "no_capacity",
        "server_busy",
        "system_busy",
        "model_busy",
        "engine_busy",
        "service_busy",
        "model_not_ready", // Bedrock, with 429
        "model_loading",
        "1305", // Zhipu
        "1312", // Zhipu: so many ask for this model
        "3505", // Mistral
    ])
    .says(&[
        Says::Any(&[
            "overloaded",
            "over capacity",
            "at capacity",
            "capacity exceeded",
            "capacity limit",
            "exceeded capacity",
            "no capacity",
            "not enough capacity",
            "insufficient capacity",
            "out of capacity",
            "high demand",
            "heavy load",
            "high load",
            "heavy traffic",
            "high traffic",
            "too busy",
            "server is busy",
            "server busy",
            "system is busy",
            "system busy",
            "service is busy",
            "model is busy",
            "model busy", // DeepInfra
            "engine is busy",
            "currently busy",
            "currently loading", // Hugging Face
            "负载已饱和",        // one-api and new-api
            "负载过高",
            "负载较高",
            "服务繁忙",
            "系统繁忙",
            "服务器繁忙",
            "模型繁忙",
            "服务过载",
            "访问量过大", // Zhipu
            "资源不足",
            "算力不足",
        ]),
        // one of NVIDIA's functions is down for everybody, with 400
        Says::Then(&["degraded function"], 4, &["invoked"]),
    ])
    .unless(&[&[
        "context",
        "token limit",
        "your rate limit",
        "limited to",
        "per minute",
    ]])];

/// We exceed our rate limit. These codes are more specific than the lengths that messages also mention.
pub(super) const RATE_LIMITED_BY_CODE: &[Rule] = &[Rule::of(RateLimited).codes(&[
    "rate_limit", // `rate_limit_error`, `rate_limit_exceeded`, `RateLimitReached`
    "rate_limited",
    "limit_requests", // DashScope
    "limit_burst_rate",
    "ratelimit",
    "rpm_limit",
    "tpm_limit",
    "qps_limit",
    "rpm_rate_limit_exceeded", // Baidu
    "tpm_rate_limit_exceeded",
    "request_limit_exceeded", // Tencent
    "request_burst_too_fast", // Volcengine
    "concurrency_limit",
    "too_many_concurrent_requests",
    "resource_exhausted", // Google
    "throttling",         // AWS, DashScope
    "throttled",
    "throttling_exception",
    "too_many_requests",
    "1302",           // Zhipu: calls at once
    "1303",           // calls in a while
    "1304",           // calls of a day
    "base_resp/1002", // MiniMax: requests
    "base_resp/1039", // tokens
    "base_resp/1041", // connections
])];

pub(super) const RATE_LIMITED_BY_MESSAGE: &[Rule] = &[Rule::of(RateLimited).says(&[Says::Any(&[
    "rate limit",
    "rate-limit",
    "ratelimit",
    "too many requests",
    "too many concurrent",
    "requests per minute",
    "requests per second",
    "tokens per minute",
    "tokens per min",
    "request limit reached", // Baidu
    "request frequency",
    "throttled",
    "throttling",
    "concurrency limit",
    "qps limit",
    "qps request limit",
    "slow down",
    "速率限制",
    "请求过于频繁",
    "频率限制",
    "请求频率",
    "并发数",
    "并发限制",
    "请求数限制",
    "限流",
])])];
