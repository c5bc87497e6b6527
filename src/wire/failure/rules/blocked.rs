//! Which errors say that a filter has blocked the prompt.

use crate::error::UpstreamErrorKind::{ContentBlocked, InvalidRequest};

use super::{Rule, Says};

/// Words for a blocked account: a sentence that contains one is not about a blocked prompt.
const OF_AN_ACCOUNT: &[&str] = &[
    "account",
    "organization",
    "organisation",
    "api key has been",
];

pub(super) const BLOCKED: &[Rule] = &[
    Rule::of(ContentBlocked).codes(&[
        "content_filter",   // OpenAI, Azure, Moonshot, Snowflake
        "content_filtered", // Bedrock
        "content_policy",   // OpenAI; LiteLLM's `ContentPolicyViolationError`
        "content_moderation",
        "moderation_blocked", // OpenAI
        "moderation_failed",
        "invalid_prompt", // OpenAI: flagged as against the usage policy
        "cyber_policy",   // OpenAI
        "responsible_ai_policy_violation", // Azure
        "data_inspection_failed", // DashScope
        "data_inspection",
        "sensitive_content_detected", // Volcengine; with `Input`, `Output` and `Text`, `Image` before it
        "sensitive_content",
        "sensitive_words_detected",   // new-api
        "content_security_detection", // Volcengine
        "text_risk_detection",        // Volcengine
        "image_risk_detection",
        "risk_detection",
        "text_illegal_detected", // Tencent
        "image_illegal_detected",
        "censorship_blocked", // StepFun, with 451
        "prohibited_content", // Google
        "prompt_blocked",
        "content_blocked",
        "input_blocked",
        "output_blocked",
        "unsafe_content",
        "input_sensitive", // MiniMax
        "output_sensitive",
        "new_sensitive",
        "guardrail_intervened", // Bedrock
        "guardrail_violation",
        "guardrail_triggered", // Databricks
        "hooks_failed",        // Portkey, with 446
        "safety_violation",
        "usage_policy_violation",
        "policy_violation",
        "1301",           // Zhipu
        "base_resp/1026", // MiniMax: the prompt
        "base_resp/1027", // MiniMax: the answer
        "2016",           // Cloudflare's AI Gateway: the prompt
        "2017",           // and the answer
        "10013",          // iFlytek: the prompt
        "10014",          // the answer
        "10019",          // the conversation
    ]),
    Rule::of(ContentBlocked)
        .says(&[
            // OpenRouter, OpenAI: "your prompt was flagged as potentially violating our usage policy"
            Says::All(&[
                &["flagged"],
                &[
                    "input",
                    "prompt",
                    "content",
                    "message",
                    "request",
                    "text",
                    "image",
                    "moderation",
                    "safety",
                    "policy",
                ],
            ]),
            // xAI: "Content violates usage guidelines"
            Says::All(&[
                &["violat"],
                &[
                    "content polic",
                    "content safety",
                    "content management polic",
                    "usage polic",
                    "usage guideline",
                    "use polic",
                    "safety polic",
                    "safety guideline",
                    "community guideline",
                    "guardrail",
                    "moderation",
                    "terms of service",
                    "responsible ai",
                    "content guideline",
                    "acceptable use",
                    "our polic",
                    "our guideline",
                ],
            ]),
            // Azure: "filtered due to the prompt triggering Azure OpenAI's content management policy";
            // Anthropic: "Output blocked by content filtering policy"; OpenAI: "rejected as a result of our
            // safety system"; Bedrock: "blocked by our content filters"; Moonshot: "rejected because it was
            // considered high risk"; Cloudflare: "Prompt blocked due to security configurations"
            Says::All(&[
                &[
                    "block",
                    "reject",
                    "filtered",
                    "refused",
                    "denied",
                    "stopped",
                    "caught",
                    "trigger",
                    "not allowed",
                    "did not pass",
                    "not pass",
                    "fail",
                    "prohibit",
                    "intercept",
                ],
                &[
                    "content filter",
                    "content polic",
                    "content management",
                    "content moderation",
                    "content safety",
                    "content security",
                    "safety system",
                    "safety filter",
                    "safety check",
                    "safety polic",
                    "safety setting",
                    "safety reason",
                    "for safety",
                    "due to safety",
                    "content check",
                    "usage guideline",
                    "safety model",
                    "moderation",
                    "guardrail",
                    "responsible ai",
                    "high risk",
                    "high-risk",
                    "sensitive",
                    "security configuration",
                    "prohibited_content",
                    "usage polic",
                    "acceptable use",
                    "inappropriate",
                    "unsafe",
                    "harmful",
                ],
            ]),
            // DashScope: "Input data may contain inappropriate content"; Volcengine: "the input text may
            // contain sensitive information"; Google: "This prompt contains sensitive words"; Z.ai: "System
            // detected potentially unsafe or sensitive content in input or generation"
            Says::All(&[
                &[
                    "contain",
                    "detect",
                    "involve",
                    "include",
                    "considered",
                    "deemed",
                    "classified",
                    "consist",
                    "may be",
                    "might be",
                    "potentially",
                ],
                &[
                    "inappropriate",
                    "sensitive content",
                    "sensitive word",
                    "sensitive info",
                    "sensitive topic",
                    "sensitive data",
                    "sensitive text",
                    "or sensitive",
                    "unsafe",
                    "illegal content",
                    "illegal info",
                    "prohibited content",
                    "harmful content",
                    "harmful",
                    "objectionable",
                    "violating content",
                    "non-compliant content",
                    "risky content",
                    "forbidden content",
                ],
            ]),
            Says::Any(&[
                "content exists risk", // DeepSeek
                "content exist risk",
                "content risk",
                "new_sensitive",                                        // MiniMax
                "sensitive words detected",                             // new-api
                "content you provided or machine outputted is blocked", // StepFun
                "requires moderation",                                  // OpenRouter
                "datainspectionfailed",
                "data_inspection_failed",
                "content_filter",
                "content_policy_violation",
                "contentpolicyviolation",
                "responsibleaipolicyviolation",
                "safety_check_type", // xAI
                "inputtextsensitivecontentdetected",
                "blocked output", // Cohere
                "blocked input",
                "triggered moderation",
                "did not pass the content",
                "content review",
                "security audit",
                "green net", // DashScope
            ]),
            Says::All(&[
                &[
                    "敏感",
                    "违规",
                    "不合规",
                    "不当内容",
                    "不安全",
                    "违法",
                    "色情",
                    "暴恐",
                    "有害",
                ],
                &[
                    "内容", "输入", "输出", "文本", "提示", "检测", "信息", "词", "问题", "消息",
                    "prompt",
                ],
            ]),
            Says::All(&[
                &["审核", "内容安全", "安全检测", "安全策略", "风控", "风险"],
                &[
                    "不通过",
                    "未通过",
                    "失败",
                    "拦截",
                    "拒绝",
                    "存在",
                    "触发",
                    "命中",
                    "没有通过",
                ],
            ]),
        ])
        .unless(&[OF_AN_ACCOUNT]),
    // A firewall before the host, for words in the prompt or for our address: a page of Cloudflare, of
    // CloudFront, of Aliyun. Another provider has another one.
    Rule::of(InvalidRequest)
        .within(400..=499)
        .says(&[Says::Any(&[
            "sorry, you have been blocked",
            "attention required",
            "your request has been blocked as it may cause potential threats",
            "request blocked",
        ])]),
];
