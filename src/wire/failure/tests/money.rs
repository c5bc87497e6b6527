//! Spent money, credit and quotas are recognised with any status.

use serde_json::json;

use super::{Row, check, kinds::*};

#[test]
fn no_money_is_no_money_with_any_status() {
    let rows: Vec<Row> = vec![
        (
            "DeepSeek",
            402,
            json!({"error": {"message": "Insufficient Balance", "type": "unknown_error", "code": "invalid_request_error"}}),
            QuotaExhausted,
        ),
        (
            "a relay of DeepSeek",
            400,
            json!({"error": {"message": "Insufficient Balance", "type": "upstream_error"}}),
            QuotaExhausted,
        ),
        (
            "Zhipu",
            429,
            json!({"error": {"code": "1113", "message": "Insufficient balance or no resource package. Please recharge."}}),
            QuotaExhausted,
        ),
        (
            "Zhipu",
            429,
            json!({"error": {"code": "1113", "message": "余额不足或无可用资源包,请充值。"}}),
            QuotaExhausted,
        ),
        (
            "Zhipu",
            429,
            json!({"error": {"code": 1308, "message": "Usage limit reached for 5 hour. Your limit will reset at 2026-01-01 12:00:00"}}),
            QuotaExhausted,
        ),
        (
            "Zhipu",
            429,
            json!({"error": {"code": "1310", "message": "Weekly/Monthly Limit Exhausted."}}),
            QuotaExhausted,
        ),
        (
            "Zhipu",
            429,
            json!({"error": {"code": "1309", "message": "您的GLM Coding Plan套餐已到期"}}),
            QuotaExhausted,
        ),
        (
            "SiliconFlow",
            403,
            json!({"code": 30001, "message": "Sorry, your account balance is insufficient", "data": null}),
            QuotaExhausted,
        ),
        (
            "MiniMax",
            200,
            json!({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
            QuotaExhausted,
        ),
        (
            "MiniMax",
            200,
            json!({"base_resp": {"status_code": "2056", "status_msg": "usage limit exceeded"}}),
            QuotaExhausted,
        ),
        (
            "MiniMax, as OpenAI",
            429,
            json!({"type": "error", "error": {"type": "insufficient_balance_error", "message": "insufficient balance (1008)", "http_code": "429"}}),
            QuotaExhausted,
        ),
        (
            "MiniMax, as OpenAI",
            500,
            json!({"type": "error", "error": {"type": "insufficient_balance_error"}}),
            QuotaExhausted,
        ),
        (
            "Anthropic",
            400,
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the Anthropic API."}}),
            QuotaExhausted,
        ),
        (
            "Anthropic",
            400,
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "This request would exceed your organization's monthly spend limit."}}),
            QuotaExhausted,
        ),
        (
            "Anthropic",
            400,
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."}}),
            QuotaExhausted,
        ),
        (
            "Anthropic",
            429,
            json!({"error": {"details": {"error_code": "enforced_spend_limit_reached"}, "type": "rate_limit_error"}}),
            QuotaExhausted,
        ),
        (
            "Claude's plans",
            429,
            json!({"error": {"type": "rate_limit_error", "message": "You're out of extra usage"}}),
            QuotaExhausted,
        ),
        (
            "OpenAI",
            429,
            json!({"error": {"type": "insufficient_quota", "code": "project_spend_limit_exceeded"}}),
            QuotaExhausted,
        ),
        (
            "OpenAI",
            429,
            json!({"error": {"code": "billing_not_active", "message": "Your account is not active, please check your billing details on our website."}}),
            QuotaExhausted,
        ),
        (
            "ChatGPT's plans",
            429,
            json!({"error": {"type": "usage_limit_reached", "message": "The usage limit has been reached", "resets_in_seconds": 3600}}),
            QuotaExhausted,
        ),
        (
            "Perplexity",
            401,
            json!({"error": {"message": "You exceeded your current quota, please check your plan and billing details.", "type": "insufficient_quota", "code": 401}}),
            QuotaExhausted,
        ),
        (
            "Moonshot",
            429,
            json!({"error": {"type": "exceeded_current_quota_error", "message": "Your account is not active, current state: overdue"}}),
            QuotaExhausted,
        ),
        (
            "Moonshot",
            403,
            json!({"error": {"type": "access_terminated_error", "message": "You've reached your usage limit for this billing cycle."}}),
            QuotaExhausted,
        ),
        (
            "OpenRouter",
            402,
            json!({"error": {"code": 402, "message": "This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens, but can only afford 9"}}),
            QuotaExhausted,
        ),
        (
            "OpenRouter",
            403,
            json!({"error": {"code": 403, "message": "Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys"}}),
            QuotaExhausted,
        ),
        (
            "a relay of OpenRouter",
            500,
            json!({"error": {"message": "Insufficient credits. Add more using https://openrouter.ai/settings/credits"}}),
            QuotaExhausted,
        ),
        (
            "Together",
            429,
            json!({"error": {"message": "Credit limit exceeded, please navigate to your account settings", "type": "credit_limit"}}),
            QuotaExhausted,
        ),
        (
            "Fireworks",
            412,
            json!({"error": {"message": "Account a is suspended, possibly due to reaching the monthly spending limit or failure to pay past invoices."}}),
            QuotaExhausted,
        ),
        (
            "xAI",
            429,
            json!({"code": "Some resource has been exhausted", "error": "Your team 1 has either used all available credits or reached its monthly spending limit."}),
            QuotaExhausted,
        ),
        (
            "xAI",
            403,
            json!({"code": "The caller does not have permission to execute the specified operation", "error": "Your newly created team doesn't have any credits yet."}),
            QuotaExhausted,
        ),
        (
            "Google",
            429,
            json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Your prepayment credits are depleted. Please go to AI Studio to manage your project and billing."}}),
            QuotaExhausted,
        ),
        (
            "Google",
            403,
            json!({"error": {"code": 403, "status": "PERMISSION_DENIED", "details": [{"reason": "BILLING_DISABLED"}]}}),
            QuotaExhausted,
        ),
        (
            "Cohere",
            429,
            json!({"message": "You are using a Trial key, which is limited to 1000 API calls / month."}),
            QuotaExhausted,
        ),
        (
            "DashScope",
            400,
            json!({"error": {"code": "Arrearage", "message": "Access denied, please make sure your account is in good standing."}}),
            QuotaExhausted,
        ),
        (
            "DashScope",
            403,
            json!({"code": "AllocationQuota.FreeTierOnly", "message": "The free tier of the model has been exhausted."}),
            QuotaExhausted,
        ),
        (
            "DashScope",
            429,
            json!({"error": {"code": "insufficient_quota", "message": "You exceeded your current quota, please check your plan and billing details."}}),
            QuotaExhausted,
        ),
        (
            "Volcengine",
            403,
            json!({"error": {"code": "AccountOverdueError", "message": "The request failed because your account has an overdue balance.", "type": "Forbidden"}}),
            QuotaExhausted,
        ),
        (
            "Volcengine",
            429,
            json!({"error": {"code": "SetLimitExceeded", "message": "Your account has reached the set inference limit for the model."}}),
            QuotaExhausted,
        ),
        (
            "Tencent",
            200,
            json!({"Response": {"Error": {"Code": "FailedOperation.ResourcePackExhausted", "Message": "资源包余量已用尽"}}}),
            QuotaExhausted,
        ),
        (
            "Hugging Face",
            402,
            json!({"error": "You have exceeded your monthly included credits for Inference Providers."}),
            QuotaExhausted,
        ),
        (
            "a relay of Hugging Face",
            400,
            json!({"error": "You have exceeded your monthly included credits for Inference Providers."}),
            QuotaExhausted,
        ),
        (
            "Cloudflare",
            429,
            json!({"success": false, "errors": [{"message": "you have used up your daily free allocation of 10,000 neurons, please upgrade", "code": 4006}]}),
            QuotaExhausted,
        ),
        (
            "NVIDIA",
            403,
            json!({"detail": "Cloud credits expired - Please contact NVIDIA representatives"}),
            QuotaExhausted,
        ),
        (
            "LiteLLM",
            400,
            json!({"error": {"message": "Budget has been exceeded! Current cost: 10.1, Max budget: 10.0", "type": "budget_exceeded", "code": "400"}}),
            QuotaExhausted,
        ),
        (
            "LiteLLM",
            429,
            json!({"error": {"message": "ExceededBudget: User=a over budget. Spend=2, Budget=1"}}),
            QuotaExhausted,
        ),
        (
            "one-api",
            403,
            json!({"error": {"message": "用户额度不足, 剩余额度: ＄0.00", "type": "one_api_error"}}),
            QuotaExhausted,
        ),
        (
            "one-api",
            401,
            json!({"error": {"message": "该令牌额度已用尽 (request id: 1)"}}),
            QuotaExhausted,
        ),
        (
            "new-api",
            403,
            json!({"error": {"message": "预扣费额度失败, 用户剩余额度: 1, 需要预扣费额度: 2", "code": "pre_consume_token_quota_failed"}}),
            QuotaExhausted,
        ),
        (
            "new-api",
            403,
            json!({"error": {"code": "insufficient_user_quota"}}),
            QuotaExhausted,
        ),
        (
            "one-api in English",
            403,
            json!({"error": {"message": "user quota is not enough"}}),
            QuotaExhausted,
        ),
        (
            "any",
            500,
            json!({"error": {"message": "您的账户已欠费"}}),
            QuotaExhausted,
        ),
        (
            "Vercel",
            402,
            json!({"error": {"type": "insufficient_funds"}}),
            QuotaExhausted,
        ),
        (
            "Replicate",
            402,
            json!({"title": "Insufficient credit", "detail": "You have insufficient credit to run this model.", "status": 402}),
            QuotaExhausted,
        ),
        // A limit per minute, in the words of one that is used up.
        (
            "Google",
            429,
            json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. * Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 20"}}),
            RateLimited,
        ),
        (
            "Vertex",
            429,
            json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Resource has been exhausted (e.g. check quota)."}}),
            RateLimited,
        ),
        // Words of the caller, who may be a bank.
        (
            "any",
            400,
            json!({"error": {"message": "Invalid schema for function 'get_credit_balance': 'insufficient' is not valid", "type": "invalid_request_error"}}),
            InvalidRequest,
        ),
        (
            "any",
            400,
            json!({"error": {"message": "tools.0.payment.billing: Field required", "type": "invalid_request_error"}}),
            InvalidRequest,
        ),
        (
            "any",
            422,
            json!({"detail": [{"type": "missing", "loc": ["body", "billing"], "msg": "Field required", "input": {"message": "Insufficient balance"}}]}),
            InvalidRequest,
        ),
    ];
    check(rows);
}
