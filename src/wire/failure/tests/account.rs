//! Errors about keys, accounts, regions and contracts are our fault, not the caller's.

use serde_json::json;

use super::{Row, check, kinds::*};

#[test]
fn a_refused_account_or_key_is_ours_with_any_status() {
    let rows: Vec<Row> = vec![
        (
            "Anthropic",
            400,
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "This organization has been disabled."}}),
            Authentication,
        ),
        (
            "Anthropic",
            403,
            json!({"type": "error", "error": {"type": "permission_error", "message": "This organization has been disabled."}}),
            Authentication,
        ),
        (
            "Groq",
            400,
            json!({"error": {"message": "Organization has been restricted. Please reach out to support if you believe this was in error.", "type": "invalid_request_error", "code": "organization_restricted"}}),
            Authentication,
        ),
        (
            "OpenAI",
            401,
            json!({"error": {"code": "account_deactivated"}}),
            Authentication,
        ),
        (
            "OpenAI",
            403,
            json!({"error": {"message": "Your project has been archived."}}),
            Authentication,
        ),
        (
            "Google",
            403,
            json!({"error": {"code": 403, "message": "Permission denied: Consumer 'api_key:a' has been suspended.", "status": "PERMISSION_DENIED", "details": [{"reason": "CONSUMER_SUSPENDED"}]}}),
            Authentication,
        ),
        (
            "Google",
            400,
            json!({"error": {"code": 400, "message": "API key expired. Please renew the API key.", "status": "INVALID_ARGUMENT"}}),
            Authentication,
        ),
        (
            "Google",
            400,
            json!({"error": {"details": [{"reason": "API_KEY_INVALID"}], "status": "INVALID_ARGUMENT"}}),
            Authentication,
        ),
        (
            "xAI",
            400,
            json!({"code": "invalid-argument", "error": "Incorrect API key provided."}),
            Authentication,
        ),
        (
            "Zhipu",
            200,
            json!({"code": 401, "msg": "token expired or incorrect", "success": false}),
            Authentication,
        ),
        (
            "Zhipu",
            400,
            json!({"error": {"code": "1112", "message": "您的账户已被锁定"}}),
            Authentication,
        ),
        (
            "Moonshot",
            403,
            json!({"error": {"type": "access_terminated_error", "message": "Access terminated"}}),
            Authentication,
        ),
        (
            "MiniMax",
            200,
            json!({"base_resp": {"status_code": 1004, "status_msg": "login fail: Please carry the API secret key in the 'Authorization' field of the request header"}}),
            Authentication,
        ),
        (
            "MiniMax",
            200,
            json!({"base_resp": {"status_code": 2049, "status_msg": "invalid api key"}}),
            Authentication,
        ),
        (
            "Mistral",
            401,
            json!({"detail": "Unauthorized"}),
            Authentication,
        ),
        (
            "one-api",
            400,
            json!({"error": {"message": "无效的令牌", "type": "one_api_error"}}),
            Authentication,
        ),
        (
            "AWS",
            403,
            json!({"__type": "UnrecognizedClientException", "message": "The security token included in the request is invalid."}),
            Authentication,
        ),
        (
            "AWS",
            403,
            json!({"message": "The security token included in the request is expired", "__type": "ExpiredTokenException"}),
            Authentication,
        ),
        (
            "Tencent",
            200,
            json!({"Response": {"Error": {"Code": "AuthFailure.SignatureFailure", "Message": "a"}}}),
            Authentication,
        ),
        (
            "LiteLLM",
            400,
            json!({"error": {"message": "litellm.AuthenticationError: AnthropicException - invalid x-api-key", "code": "400"}}),
            Authentication,
        ),
        (
            "a relay",
            500,
            json!({"error": {"message": "Invalid API key"}}),
            Authentication,
        ),
        (
            "any",
            400,
            json!({"error_msg": "Access token invalid or no longer valid", "error_code": 110}),
            Authentication,
        ),
        (
            "any",
            403,
            json!({"error": "You didn't provide an API key."}),
            Authentication,
        ),
    ];
    check(rows);
}

#[test]
fn a_place_or_a_contract_without_the_model_is_ours_with_any_status() {
    let rows: Vec<Row> = vec![
        (
            "Google",
            400,
            json!({"error": {"code": 400, "message": "User location is not supported for the API use.", "status": "FAILED_PRECONDITION"}}),
            Permission,
        ),
        (
            "a relay of Google",
            500,
            json!({"error": {"message": "User location is not supported for the API use."}}),
            Permission,
        ),
        (
            "OpenAI",
            403,
            json!({"error": {"code": "unsupported_country_region_territory", "message": "Country, region, or territory not supported", "type": "request_forbidden"}}),
            Permission,
        ),
        (
            "Bedrock",
            400,
            json!({"message": "Access to Anthropic models is not allowed from unsupported countries, regions, or territories."}),
            Permission,
        ),
        (
            "OpenAI",
            400,
            json!({"error": {"message": "Your organization must be verified to stream this model.", "type": "invalid_request_error", "param": "stream", "code": "unsupported_value"}}),
            Permission,
        ),
        (
            "OpenAI",
            404,
            json!({"error": {"message": "Your organization must be verified to use the model `gpt-5`."}}),
            Permission,
        ),
        (
            "Zhipu",
            429,
            json!({"error": {"code": "1311", "message": "当前订阅套餐暂未开放GLM-5权限"}}),
            Permission,
        ),
        (
            "Z.ai",
            400,
            json!({"error": {"message": "Your current subscription plan does not yet include access to GLM-5"}}),
            Permission,
        ),
        (
            "MiniMax",
            200,
            json!({"base_resp": {"status_code": 2061, "status_msg": "your current token plan not support model, MiniMax-M2.5"}}),
            Permission,
        ),
        (
            "MiniMax, as OpenAI",
            500,
            json!({"error": {"type": "api_error", "message": "your current token plan not support model, MiniMax-M2.5 (2061)"}}),
            Permission,
        ),
        (
            "Kimi",
            403,
            json!({"error": {"message": "Kimi For Coding is currently only available for Coding Agents such as a", "type": "access_denied"}}),
            Permission,
        ),
        (
            "AWS",
            403,
            json!({"__type": "AccessDeniedException", "message": "You don't have access to the model with the specified model ID."}),
            Permission,
        ),
        (
            "AWS",
            404,
            json!({"message": "Model use case details have not been submitted for this account."}),
            Permission,
        ),
        (
            "Hugging Face",
            403,
            json!({"error": "This authentication method does not have sufficient permissions to call Inference Providers on behalf of user a"}),
            Permission,
        ),
        (
            "LiteLLM",
            401,
            json!({"error": {"type": "key_model_access_denied", "message": "key not allowed to access model. This key can only access models=['a']"}}),
            Permission,
        ),
        (
            "OpenAI",
            401,
            json!({"error": {"code": "ip_not_authorized", "message": "Your request IP is not authorized"}}),
            Permission,
        ),
        (
            "Doubleword",
            403,
            json!({"error": {"code": "forbidden", "message": "Forbidden", "type": "invalid_request_error"}}),
            Permission,
        ),
        (
            "any",
            400,
            json!({"error": {"message": "This model is not available in your region."}}),
            Permission,
        ),
        (
            "AWS",
            400,
            json!({"__type": "ValidationException", "message": "Operation not allowed"}),
            Permission,
        ),
        (
            "Vertex",
            400,
            json!({"error": {"code": 400, "message": "Project `1` is not allowed to use Publisher Model `a`", "status": "FAILED_PRECONDITION"}}),
            Permission,
        ),
        (
            "any",
            400,
            json!({"error": {"message": "The requested model is not available on your plan"}}),
            Permission,
        ),
        // The caller's address, and not our contract.
        (
            "any",
            400,
            json!({"error": {"message": "We do not have permission to download the file at this url"}}),
            InvalidRequest,
        ),
    ];
    check(rows);
}
