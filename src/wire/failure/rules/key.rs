//! Which errors say that our account or its key is refused, and not the request.

use crate::error::UpstreamErrorKind::Authentication;

use super::{Rule, Says};

/// The account or its key is closed: the host answers none of its requests.
pub(super) const CLOSED: &[Rule] = &[
    Rule::of(Authentication).codes(&[
        "organization_restricted", // Groq
        "organization_disabled",
        "organization_suspended",
        "account_deactivated", // OpenAI
        "account_suspended",
        "account_disabled",
        "account_blocked",
        "account_banned",
        "account_locked",
        "account_inactive",
        "access_terminated", // Moonshot
        "project_disabled",
        "project_archived",
        "user_suspended",
        "user_deactivated",
        "user_blocked",
        "deactivated_workspace",
        "consumer_suspended", // Google
        "consumer_invalid",
        "api_key_disabled",
        "key_disabled",
        "1110", // Zhipu: the account is not active
        "1111", // it does not exist
        "1112", // it is locked
        "1121", // it is locked for what it was used for
    ]),
    Rule::of(Authentication)
        .says(&[
            Says::All(&[
                &[
                    "organization",
                    "organisation",
                    "account",
                    "your team",
                    "workspace",
                    "your project",
                    "api key",
                    "your key",
                    "this key",
                    "tenant",
                    "subscription",
                    "your access",
                    "your user",
                    "consumer",
                ],
                &[
                    "disabled",
                    "restricted",
                    "suspended",
                    "deactivated",
                    "banned",
                    "terminated",
                    "locked",
                    "not active",
                    "inactive",
                    "been closed",
                    "blocked",
                    "been deleted",
                    "been flagged",
                    "was flagged",
                    "frozen",
                    "revoked",
                    "archived",
                    "delinquent",
                ],
            ]),
            Says::Any(&[
                "账号被",
                "账户被",
                "账号已被",
                "账户已被",
                "用户已被封禁",
                "账户异常",
                "账号异常",
                "账号已冻结",
                "账户已冻结",
                "令牌状态不可用",
                "该令牌已被禁用",
            ]),
        ])
        .unless(&[&["not supported", "country", "region", "territor"]]),
];

/// The key is not accepted.
pub(super) const REFUSED: &[Rule] = &[Rule::of(Authentication)
    .codes(&[
        "authentication",
        "authentication_failed",
        "authorized_error",
        "invalid_api_key",
        "api_key_invalid", // Google, with 400
        "api_key_expired",
        "api_key_not_found",
        "incorrect_api_key",
        "missing_api_key",
        "no_api_key",
        "invalid_authentication", // Moonshot
        "unauthenticated",
        "unauthorized",
        "unrecognized_client", // AWS
        "invalid_signature",
        "signature_failure", // Tencent: `AuthFailure.SignatureFailure`
        "auth_failure",
        "expired_token",
        "token_expired",
        "invalid_access_key_id",
        "access_key_invalid",
        "invalid_iam_token", // Baidu
        "base_resp/1004",    // MiniMax
        "base_resp/2049",
    ])
    .says(&[
        Says::All(&[
            &[
                "api key",
                "api-key",
                "apikey",
                "api_key",
                "api token",
                "access key",
                "accesskey",
                "access token",
                "secret key",
                "auth token",
                "authentication token",
                "credential",
                "bearer token",
                "authorization header",
                "authentication header",
                "x-api-key",
                "authorization field",
                "security token",
                "iam token",
            ],
            &[
                "invalid",
                "incorrect",
                "not valid",
                "expired",
                "missing",
                "wrong",
                "malformed",
                "not found",
                "unauthorized",
                "required",
                "not recognized",
                "does not exist",
                "doesn't exist",
                "not provided",
                "didn't provide",
                "did not provide",
                "no api",
                "unknown",
                "fail",
                "mismatch",
                "not exist",
            ],
        ]),
        Says::Any(&[
            "token expired",
            "token is expired",
            "token has expired",
            "expired token",
            "not authenticated",
            "unauthenticated",
            "authentication fail",
            "authentication error",
            "invalid authentication",
            "authorization fail",
            "login fail", // MiniMax
            "无效的令牌", // one-api
            "令牌已过期",
            "令牌验证",
            "密钥无效",
            "密钥错误",
            "无效的密钥",
            "身份验证失败", // Zhipu
            "鉴权失败",
            "认证失败",
            "api key 无效",
            "apikey无效",
            "未提供令牌",
        ]),
    ])
    .unless(&[&["url", "fetch", "download"]])];
