//! Which errors say that our contract, permissions or region do not include what was requested?

use crate::error::UpstreamErrorKind::{ModelNotFound, Permission};

use super::{Rule, Says};

/// The key is accepted and may not do this.
pub(super) const LACKING: &[Rule] = &[
    Rule::of(Permission)
        .codes(&[
            "unsupported_country_region_territory", // OpenAI
            "unsupported_country",
            "unsupported_region",
            "location_not_supported",
            "region_not_supported",
            "failed_precondition", // Google, with 400: the place, or no billing there
            "access_denied",       // AWS, DashScope
            "access_denied_unpurchased",
            "model_access_denied",
            "key_model_access_denied", // LiteLLM
            "team_model_access_denied",
            "operation_not_allowed",
            "operation_denied",
            "ip_not_authorized", // OpenAI
            "ip_not_allowed",
            "service_disabled", // Google: the API is not switched on in the project
            "org_must_be_verified",
            "organization_not_verified",
            "1220",           // Zhipu
            "1311",           // Zhipu: a plan without this model
            "1313",           // Zhipu: its plan is not meant for this use
            "base_resp/2061", // MiniMax: a plan without this model
            "base_resp/2042",
        ])
        .says(&[
            Says::All(&[
                &[
                    "location",
                    "country",
                    "countries",
                    "region",
                    "territor",
                    "jurisdiction",
                ],
                &[
                    "not supported",
                    "unsupported",
                    "not available",
                    "isn't available",
                    "unavailable",
                    "not allowed",
                    "isn't supported",
                    "restricted",
                    "not permitted",
                    "prohibited",
                    "does not support",
                    "doesn't support",
                    "not support",
                    "blocked",
                ],
            ]),
            Says::All(&[
                &[
                    "must be verified",
                    "not verified",
                    "verify your",
                    "identity verification",
                    "verify organization",
                ],
                &[
                    "organization",
                    "organisation",
                    "account",
                    "identity",
                    "phone",
                    "email",
                    "stream",
                    "model",
                ],
            ]),
            // Zhipu, MiniMax, Kimi, Mistral: a plan without this model.
            Says::All(&[
                &["plan", "subscription", "tier", "package"],
                &[
                    "not include",
                    "not yet include",
                    "n't include",
                    "not support",
                    "n't support",
                    "upgrade",
                    "not have access",
                    "no access",
                    "not available",
                    "does not cover",
                    "not cover",
                    "not allow",
                    "not entitled",
                    "not eligible",
                ],
            ]),
            Says::All(&[
                &[
                    "access",
                    "permission",
                    "authorized",
                    "authorised",
                    "entitle",
                    "privilege",
                ],
                &[
                    "do not have",
                    "don't have",
                    "does not have",
                    "doesn't have",
                    "not have",
                    "no access",
                    "no permission",
                    "not allowed",
                    "not authorized",
                    "not authorised",
                    "n't authorized",
                    "lack",
                    "insufficient permission",
                    "sufficient permission",
                    "permission denied",
                    "not permitted",
                    "not granted",
                    "not been granted",
                    "request access",
                    "access to this",
                    "not entitled",
                    "n't allowed",
                ],
            ]),
            Says::All(&[
                &[
                    "ip address",
                    "your ip",
                    "client ip",
                    "ip whitelist",
                    "ip allowlist",
                ],
                &[
                    "not",
                    "denied",
                    "blocked",
                    "forbidden",
                    "whitelist",
                    "allowlist",
                ],
            ]),
            Says::All(&[
                &["only available for", "only for", "restricted to"],
                &["coding agent", "coding plan", "enterprise", "subscribers"],
            ]),
            Says::Any(&[
                "use case details have not been submitted", // Bedrock
                "operation not allowed",                    // Bedrock
                "not allowed to use",                       // Vertex
                "service not activated",                    // Tencent
                "access denied, please",
                "model access is denied", // Bedrock
                "无权访问",
                "没有权限",
                "权限不足",
                "无权使用",
                "暂未开放",
                "套餐暂未",
                "未开通",
                "地区不支持",
                "不支持该地区",
                "未实名",
            ]),
        ])
        // What a host may not fetch is the caller's address, not our contract.
        .unless(&[&[
            "url",
            "fetch",
            "download",
            "image",
            "file",
            "robots",
            "service tier",
        ]]),
    // Something that our contract lacks rather than the request: Bedrock wants a profile in place of a model.
    Rule::of(ModelNotFound).says(&[Says::Any(&[
        "on-demand throughput isn",
        "on-demand throughput is not",
    ])]),
];
