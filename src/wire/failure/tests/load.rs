//! An overloaded host is told apart from our own rate limit.

use serde_json::json;

use super::{Row, check, kinds::*};

#[test]
fn overload_is_told_from_our_rate_whatever_the_status() {
    let rows: Vec<Row> = vec![
        (
            "Zhipu",
            429,
            json!({"error": {"code": "1305", "message": "The service may be temporarily overloaded, please try again later"}}),
            Overloaded,
        ),
        (
            "Zhipu",
            429,
            json!({"error": {"code": 1312, "message": "该模型当前访问量过大，请您稍后再试"}}),
            Overloaded,
        ),
        (
            "Moonshot",
            429,
            json!({"error": {"type": "engine_overloaded_error", "message": "The engine is currently overloaded, please try again later"}}),
            Overloaded,
        ),
        (
            "Groq",
            498,
            json!({"error": {"message": "Flex tier capacity exceeded", "type": "capacity_exceeded", "code": "capacity_exceeded"}}),
            Overloaded,
        ),
        ("Groq, told in no words", 498, json!({}), Overloaded),
        (
            "Mistral",
            429,
            json!({"object": "error", "message": "Service tier capacity exceeded for this model.", "type": "service_tier_capacity_exceeded", "code": "3505"}),
            Overloaded,
        ),
        (
            "Volcengine",
            429,
            json!({"error": {"code": "ServerOverloaded", "message": "The service is currently unable to handle additional requests due to server overload."}}),
            Overloaded,
        ),
        (
            "DashScope",
            429,
            json!({"error": {"message": "Too many requests. Your requests are being throttled due to system capacity limits. Please try again later."}}),
            Overloaded,
        ),
        (
            "Bedrock",
            429,
            json!({"__type": "ModelNotReadyException", "message": "The model is not ready for inference."}),
            Overloaded,
        ),
        (
            "Hugging Face",
            500,
            json!({"error": "Model too busy, unable to get response in less than 60 second(s)"}),
            Overloaded,
        ),
        (
            "DeepInfra",
            429,
            json!({"detail": {"error": "Model busy, retry later"}}),
            Overloaded,
        ),
        (
            "Google",
            500,
            json!({"error": {"message": "This model is currently experiencing high demand."}}),
            Overloaded,
        ),
        (
            "new-api",
            429,
            json!({"error": {"message": "当前分组上游负载已饱和，请稍后再试", "type": "upstream_error", "param": "404", "code": "bad_response_status_code"}}),
            Overloaded,
        ),
        (
            "NVIDIA",
            400,
            json!({"status": 400, "title": "Bad Request", "detail": "Function id '1': DEGRADED function cannot be invoked"}),
            Overloaded,
        ),
        (
            "SiliconFlow",
            503,
            json!({"code": 50505, "message": "Model service overloaded. Please try again later.", "data": null}),
            Overloaded,
        ),
        (
            "a relay",
            400,
            json!({"error": {"type": "overloaded_error", "message": "Overloaded"}}),
            Overloaded,
        ),
    ];
    check(rows);
}

#[test]
fn a_rate_of_ours_is_one_with_any_status() {
    let rows: Vec<Row> = vec![
        (
            "LiteLLM",
            200,
            json!({"error": {"message": "litellm.RateLimitError: slow down", "type": "None", "param": "None", "code": "429"}}),
            RateLimited,
        ),
        (
            "MiniMax",
            200,
            json!({"base_resp": {"status_code": 1002, "status_msg": "rate limit exceeded(RPM)"}}),
            RateLimited,
        ),
        (
            "MiniMax",
            200,
            json!({"base_resp": {"status_code": 1039, "status_msg": "token limit"}}),
            RateLimited,
        ),
        (
            "Zhipu",
            429,
            json!({"error": {"code": "1302", "message": "您当前使用该API的并发数过高，请降低并发，或联系客服增加限额。"}}),
            RateLimited,
        ),
        (
            "Baidu",
            200,
            json!({"error_code": 18, "error_msg": "Open api qps request limit reached", "id": "a"}),
            RateLimited,
        ),
        (
            "Baidu",
            429,
            json!({"error": {"code": "rpm_rate_limit_exceeded", "message": "Rate limit reached for RPM", "type": "rate_limit_exceeded"}}),
            RateLimited,
        ),
        (
            "Tencent",
            200,
            json!({"Response": {"Error": {"Code": "RequestLimitExceeded", "Message": "a"}}}),
            RateLimited,
        ),
        (
            "AWS",
            400,
            json!({"__type": "ThrottlingException", "message": "Too many tokens, please wait before trying again."}),
            RateLimited,
        ),
        (
            "DashScope",
            429,
            json!({"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded, please try again later."}),
            RateLimited,
        ),
        (
            "Azure",
            429,
            json!({"error": {"code": "429", "message": "Requests to the ChatCompletions Operation have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 1 second."}}),
            RateLimited,
        ),
        (
            "Groq",
            413,
            json!({"error": {"type": "tokens", "code": "rate_limit_exceeded", "message": "Request too large for model `a` on tokens per minute (TPM): Limit 6000, Requested 7000, please reduce your message size and try again."}}),
            RateLimited,
        ),
        (
            "OpenAI",
            429,
            json!({"error": {"type": "tokens", "code": "rate_limit_exceeded", "message": "Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Requested 31538. The input or output tokens must be reduced in order to run successfully."}}),
            RateLimited,
        ),
        (
            "a relay of Anthropic",
            429,
            json!({"error": {"code": "rate_limit_error", "type": "invalid_request_error", "message": "This request would exceed the rate limit for your organization of 20,000 input tokens per minute. Please reduce the prompt length or the maximum tokens requested, or try again later."}}),
            RateLimited,
        ),
        (
            "OpenRouter",
            429,
            json!({"error": {"message": "Rate limit exceeded: limit_rpm/a. High demand for a:free on OpenRouter - limited to 1 requests per minute. Please retry shortly.", "code": 429}}),
            RateLimited,
        ),
        (
            "a gateway that nests",
            502,
            json!({"error": {"code": 502, "message": "Provider returned error", "metadata": {"raw": "{\"status\":429,\"title\":\"a\"}"}}}),
            RateLimited,
        ),
    ];
    check(rows);
}
