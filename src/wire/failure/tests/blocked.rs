//! A blocked prompt is recognised with any status, and nothing else is taken for one.

use serde_json::json;

use super::{Row, check, kinds::*};

#[test]
fn a_blocked_prompt_is_one_with_any_status_and_in_any_words() {
    let openrouter = json!({"error": {
        "code": 403,
        "message": "model requires moderation on its host. Your input was flagged for \"violence\". No credits were charged.",
        "metadata": {"reasons": ["violence"], "flagged_input": "...", "provider_name": "host"},
    }});
    let rows: Vec<Row> = vec![
        ("OpenRouter", 403, openrouter, ContentBlocked),
        (
            "OpenRouter",
            403,
            json!({"error": {"code": 403, "metadata": {"flagged_input": "a"}}}),
            ContentBlocked,
        ),
        (
            "OpenAI",
            400,
            json!({"error": {"code": "content_policy_violation", "message": "Your request was rejected as a result of our safety system."}}),
            ContentBlocked,
        ),
        (
            "OpenAI",
            400,
            json!({"error": {"code": "invalid_prompt", "message": "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try again with a different prompt."}}),
            ContentBlocked,
        ),
        (
            "OpenAI",
            400,
            json!({"error": {"message": "Your request was rejected as a result of our safety system.", "type": "invalid_request_error"}}),
            ContentBlocked,
        ),
        (
            "OpenAI",
            400,
            json!({"error": {"code": "moderation_blocked"}}),
            ContentBlocked,
        ),
        (
            "Azure",
            400,
            json!({"error": {"message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", "code": null}}),
            ContentBlocked,
        ),
        (
            "Azure",
            400,
            json!({"error": {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
            ContentBlocked,
        ),
        (
            "a relay of Azure",
            500,
            json!({"error": {"code": null, "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
            ContentBlocked,
        ),
        (
            "any",
            403,
            json!({"error": {"code": "content_filter", "message": "filtered", "type": "x"}}),
            ContentBlocked,
        ),
        (
            "any",
            422,
            json!({"error": {"code": "content_filter"}}),
            ContentBlocked,
        ),
        (
            "Anthropic",
            400,
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"}}),
            ContentBlocked,
        ),
        (
            "xAI",
            403,
            json!({"code": "The caller does not have permission to execute the specified operation", "error": "Content violates usage guidelines. Team: 1, API key ID: 2, Model: grok-4, Failed check: SAFETY_CHECK_TYPE_CSAM"}),
            ContentBlocked,
        ),
        (
            "Zhipu",
            400,
            json!({"contentFilter": [{"level": 1, "role": "user"}], "error": {"code": "1301", "message": "系统检测到输入或生成内容可能包含不安全或敏感内容，请您避免输入易产生敏感内容的提示语，感谢您的配合。"}}),
            ContentBlocked,
        ),
        (
            "Zhipu",
            400,
            json!({"error": {"code": 1301}}),
            ContentBlocked,
        ),
        (
            "Zhipu without its number",
            400,
            json!({"error": {"message": "系统检测到输入或生成内容可能包含不安全或敏感内容"}}),
            ContentBlocked,
        ),
        (
            "Z.ai",
            400,
            json!({"error": {"message": "System detected potentially unsafe or sensitive content in input or generation. Please avoid using prompts that may generate sensitive content."}}),
            ContentBlocked,
        ),
        (
            "DeepSeek",
            400,
            json!({"error": {"message": "Content Exists Risk", "type": "invalid_request_error", "param": null, "code": "invalid_request_error"}}),
            ContentBlocked,
        ),
        (
            "DashScope",
            400,
            json!({"error": {"code": "data_inspection_failed", "message": "Input data may contain inappropriate content."}}),
            ContentBlocked,
        ),
        (
            "DashScope's own API",
            400,
            json!({"code": "DataInspectionFailed", "message": "Output data may contain inappropriate content.", "request_id": "a"}),
            ContentBlocked,
        ),
        (
            "DashScope",
            400,
            json!({"error": {"message": "<400> InternalError.Algo.DataInspectionFailed: Input text data may contain inappropriate content.", "code": "invalid_parameter_error"}}),
            ContentBlocked,
        ),
        (
            "Volcengine",
            400,
            json!({"error": {"code": "InputTextSensitiveContentDetected", "message": "The request failed because the input text may contain sensitive information. Request id: 1", "type": "BadRequest"}}),
            ContentBlocked,
        ),
        (
            "Volcengine",
            400,
            json!({"error": {"code": "SensitiveContentDetected.SevereViolation"}}),
            ContentBlocked,
        ),
        (
            "Volcengine",
            400,
            json!({"error": {"code": "OutputTextRiskDetection"}}),
            ContentBlocked,
        ),
        (
            "Tencent",
            200,
            json!({"Response": {"Error": {"Code": "OperationDenied.TextIllegalDetected", "Message": "text is illegal"}, "RequestId": "a"}}),
            ContentBlocked,
        ),
        (
            "MiniMax",
            200,
            json!({"base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}}),
            ContentBlocked,
        ),
        (
            "MiniMax",
            200,
            json!({"base_resp": {"status_code": 1027, "status_msg": "output new_sensitive"}}),
            ContentBlocked,
        ),
        (
            "MiniMax, as OpenAI",
            400,
            json!({"type": "error", "error": {"type": "bad_request_error", "message": "input new_sensitive (1026)", "http_code": "400"}}),
            ContentBlocked,
        ),
        (
            "Moonshot",
            400,
            json!({"error": {"message": "The request was rejected because it was considered high risk", "type": "content_filter"}}),
            ContentBlocked,
        ),
        (
            "StepFun",
            451,
            json!({"error": {"message": "The content you provided or machine outputted is blocked.", "type": "censorship_blocked"}}),
            ContentBlocked,
        ),
        (
            "iFlytek",
            400,
            json!({"error": {"message": "输入内容审核不通过，涉嫌违规，请重新调整输入内容", "code": "10013"}}),
            ContentBlocked,
        ),
        (
            "iFlytek",
            200,
            json!({"code": 10013, "message": "blocked"}),
            ContentBlocked,
        ),
        (
            "new-api",
            400,
            json!({"error": {"message": "user sensitive words detected: a", "code": "sensitive_words_detected", "type": "new_api_error"}}),
            ContentBlocked,
        ),
        (
            "one-api",
            400,
            json!({"error": {"message": "检测到敏感词"}}),
            ContentBlocked,
        ),
        (
            "Google",
            400,
            json!({"error": {"code": 400, "message": "The prompt could not be submitted. This prompt contains sensitive words that violate Google's Responsible AI practices.", "status": "INVALID_ARGUMENT"}}),
            ContentBlocked,
        ),
        (
            "Bedrock",
            400,
            json!({"message": "This request has been blocked by our content filters."}),
            ContentBlocked,
        ),
        (
            "Cohere",
            400,
            json!({"message": "blocked output: this generation may be potentially unsafe"}),
            ContentBlocked,
        ),
        (
            "Cloudflare's AI Gateway",
            424,
            json!({"success": false, "errors": [{"code": 2016, "message": "Prompt blocked due to security configurations"}]}),
            ContentBlocked,
        ),
        (
            "Cloudflare's AI Gateway",
            400,
            json!({"error": [{"code": 2017, "message": "Response blocked due to security configurations"}]}),
            ContentBlocked,
        ),
        (
            "Portkey",
            446,
            json!({"error": {"message": "The guardrail checks defined in the config failed.", "type": "hooks_failed"}}),
            ContentBlocked,
        ),
        (
            "LiteLLM",
            400,
            json!({"error": {"message": "litellm.ContentPolicyViolationError: AzureException - The prompt was refused", "type": null, "code": "400"}}),
            ContentBlocked,
        ),
        (
            "LiteLLM",
            400,
            json!({"error": {"message": "Violated guardrail policy", "type": "None", "param": "None", "code": "400"}}),
            ContentBlocked,
        ),
        (
            "a gateway that nests",
            502,
            json!({"error": {"message": "Provider returned error", "metadata": {"raw": "{\"error\":{\"code\":\"data_inspection_failed\"}}"}}}),
            ContentBlocked,
        ),
        (
            "a gateway that nests",
            500,
            json!({"error": {"message": "upstream", "upstream_error": {"error": {"code": 1301}}}}),
            ContentBlocked,
        ),
        (
            "any",
            400,
            json!({"detail": "Your prompt was flagged by our moderation system."}),
            ContentBlocked,
        ),
        (
            "any",
            400,
            json!({"msg": "内容安全检测未通过"}),
            ContentBlocked,
        ),
        (
            "Google",
            400,
            json!({"error": {"message": "The prompt was blocked due to safety", "code": 400}}),
            ContentBlocked,
        ),
        (
            "DashScope",
            400,
            json!({"message": "Green net check rejected for input"}),
            ContentBlocked,
        ),
        (
            "LiteLLM",
            400,
            json!({"error": {"message": "Blocked entity detected: CREDIT_CARD by Guardrail", "code": "400"}}),
            ContentBlocked,
        ),
        (
            "OpenAI",
            400,
            json!({"error": {"message": "This request has been flagged for possible cybersecurity risk.", "code": "cyber_policy"}}),
            ContentBlocked,
        ),
        (
            "a relay of Google",
            500,
            json!({"error": {"message": "request blocked by upstream: PROHIBITED_CONTENT"}}),
            ContentBlocked,
        ),
        (
            "Baidu",
            200,
            json!({"error_code": 336000, "error_msg": "输入内容含有违规信息"}),
            ContentBlocked,
        ),
        // The account, and not the prompt.
        (
            "OpenAI",
            403,
            json!({"error": {"message": "Your account has been disabled for violating our usage policies."}}),
            Authentication,
        ),
        // Words of the caller, and words that are alike.
        (
            "any",
            400,
            json!({"error": {"message": "tools.0.content_filter: Field required", "type": "invalid_request_error"}}),
            InvalidRequest,
        ),
        (
            "any",
            400,
            json!({"error": {"message": "Invalid value: 'sensitive'. Supported values are: 'a' and 'b'.", "type": "invalid_request_error"}}),
            InvalidRequest,
        ),
        (
            "any",
            400,
            json!({"error": {"message": "Function name contains illegal characters"}}),
            InvalidRequest,
        ),
        (
            "any",
            400,
            json!({"error": {"message": "the arguments violate the schema of the function"}}),
            InvalidRequest,
        ),
    ];
    check(rows);
}

#[test]
fn a_firewall_before_the_host_says_nothing_of_the_key() {
    check(vec![
        (
            "Cloudflare",
            403,
            json!("<html><title>Attention Required! | Cloudflare</title>"),
            InvalidRequest,
        ),
        (
            "Cloudflare",
            403,
            json!("<h1>Sorry, you have been blocked</h1>"),
            InvalidRequest,
        ),
        (
            "Aliyun",
            405,
            json!(
                "Sorry, your request has been blocked as it may cause potential threats to the server's security."
            ),
            InvalidRequest,
        ),
    ]);
}
