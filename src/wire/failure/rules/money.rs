//! Which errors say that our money, credit or quota is used up.

use crate::error::UpstreamErrorKind::{ContextLength, QuotaExhausted};

use super::{Rule, Says};

/// Money, credit or a quota of a day or longer is used up.
pub(super) const QUOTA: &[Rule] = &[
    // Anthropic: a plan pays for prompts up to a length only, and for shorter ones still does.
    Rule::of(ContextLength).says(&[Says::All(&[
        &[
            "required for",
            "not yet available for",
            "not available for",
            "not included",
        ],
        &["long context"],
    ])]),
    Rule::of(QuotaExhausted).statuses(&[402..=402]).codes(&[
        "insufficient_quota",
        "insufficient_user_quota", // new-api
        "insufficient_balance",    // MiniMax, with 429 or 500
        "insufficient_credit",
        "insufficient_credits",
        "insufficient_funds", // Vercel
        "insufficient_account_balance",
        "balance_insufficient",
        "balance_not_enough",
        "not_enough_balance",
        "no_balance",
        "no_credits",
        "out_of_credits",
        "credits_exhausted",
        "credit_exhausted",
        "credit_limit_exceeded",
        "credit_balance_exhausted", // OpenAI
        "credit_balance_too_low",
        "exceeded_current_quota", // Moonshot
        "quota_exhausted",
        "token_quota_exhausted",
        "pre_consume_token_quota_failed", // new-api
        "quota_not_enough",
        "monthly_quota_exceeded",
        "spend_limit",         // OpenAI, Anthropic
        "spending_limit",      // xAI
        "usage_limit_reached", // ChatGPT's plans
        "usage_limit_exceeded",
        "budget_exceeded", // LiteLLM
        "exceeded_budget",
        "budget_exhausted",
        "billing", // `billing_error`, `billing_not_active`, `billing_hard_limit_reached`, `BILLING_DISABLED`
        "payment_required",
        "arrearage", // DashScope
        "arrears",
        "service_stop_arrears", // Tencent
        "in_arrears",
        "account_overdue", // Volcengine
        "overdue",
        "prepaid_bill_overdue", // DashScope
        "postpaid_bill_overdue",
        "set_limit_exceeded", // Volcengine: a limit that the account has set for itself
        "allocation_quota_free_tier_only", // DashScope
        "free_tier_only",
        "free_quota_exhausted",
        "resource_pack_exhausted", // Tencent
        "free_resource_pack_exhausted",
        "charge_resource_exhaust",
        "commodity_not_purchased",
        "1113",           // Zhipu: no balance
        "1308",           // its plan: the limit of some hours
        "1309",           // its plan has ended
        "1310",           // its plan: the limit of a week or month
        "30001",          // SiliconFlow
        "base_resp/1008", // MiniMax
        "base_resp/2056", // its plan
        "base_resp/1028",
        "base_resp/1030",
    ]),
    Rule::of(QuotaExhausted)
        .says(&[
            Says::All(&[
                &[
                    "insufficient",
                    "not enough",
                    "enough",
                    "out of",
                    "too low",
                    "depleted",
                    "exhaust",
                    "used up",
                    "used all",
                    "run out",
                    "ran out",
                    "negative",
                    "overdue",
                    "zero",
                    "lack",
                    "no remaining",
                    "more",
                    "exceeded",
                    "expired",
                    "does not have any",
                    "doesn't have any",
                    "below",
                    "reached",
                    "limit",
                ],
                &[
                    "account balance",
                    "credit",
                    "your balance",
                    "funds",
                    "prepaid balance",
                    "prepayment",
                    "neuron",
                    "resource package",
                    "wallet",
                    "user balance",
                    "token balance",
                    "balance is",
                    "insufficient balance",
                    "balance insufficient",
                    "balance not enough",
                    "not enough balance",
                    "remaining balance",
                ],
            ]),
            Says::All(&[
                &[
                    "spend limit",
                    "spending limit",
                    "spending cap",
                    "spend cap",
                    "usage limit",
                    "usage cap",
                    "monthly limit",
                    "weekly limit",
                    "hard limit",
                    "billing cycle",
                    "key limit",
                    "monthly included",
                    "monthly usage",
                    "monthly budget",
                    "monthly request",
                    "monthly allowance",
                    "monthly quota",
                    "weekly quota",
                    "monthly token",
                    "daily free allocation",
                    "free allocated quota",
                    "free quota",
                    "free tier of",
                    "premium request",
                    "total request limit",
                    "extra usage",
                    "5-hour",
                    "5 hour",
                    "max budget",
                ],
                &[
                    "reach",
                    "exceed",
                    "hit",
                    "over ",
                    "used up",
                    "used all",
                    "exhaust",
                    "out of",
                    "ran out",
                    "no more",
                    "current cost",
                    "depleted",
                    "would exceed",
                ],
            ]),
            // "quota" and "exhausted" alone are Google's words for a limit per minute.
            Says::All(&[
                &["quota"],
                &[
                    "insufficient",
                    "not enough",
                    "used up",
                    "no remaining",
                    "no available",
                    "run out",
                    "ran out",
                    "out of",
                    "quota exhausted",
                    "quota is exhausted",
                    "quota has been exhausted",
                    "you have no quota",
                    "month",
                    "remaining quota: 0",
                    "quota remaining",
                ],
            ]),
            Says::All(&[
                &["billing"],
                &[
                    "enable",
                    "disabled",
                    "not active",
                    "inactive",
                    "suspend",
                    "overdue",
                    "hard limit",
                    "not set up",
                    "locked",
                    "requires",
                ],
            ]),
            Says::All(&[
                &[
                    "trial key",
                    "free trial",
                    "trial credit",
                    "trial period",
                    "free plan",
                ],
                &[
                    "limited to",
                    "expired",
                    "has ended",
                    "is over",
                    "exceeded",
                    "used up",
                ],
            ]),
            Says::All(&[
                &[
                    "your plan",
                    "coding plan",
                    "token plan",
                    "subscription",
                    "resource package",
                ],
                &["has expired", "is expired", "expired", "has ended"],
            ]),
            Says::Any(&[
                "payment required",
                "payment method",
                "payment instrument", // AWS
                "unpaid",
                "past due",
                "failure to pay", // Fireworks, with 412
                "payment failed",
                "failed payment",
                "over budget",
                "budget has been exceeded", // LiteLLM
                "exceededbudget",
                "arrear",
                "overdue balance", // Volcengine
                "overdue payment",
                "in good standing", // DashScope
                "insufficient balance",
                "balance is insufficient", // SiliconFlow
                "insufficient quota",
                "insufficient credit",
                "insufficient_quota",
                "insufficient_user_quota",
                "insufficient_balance",
                "can only afford", // OpenRouter
                "please recharge",
                "top up",
                "no resource package", // Zhipu
                "purchase more credits",
                "requires more credits",
                "余额不足", // one-api, Zhipu, SiliconFlow
                "余额不够",
                "额度不足",
                "额度已用",
                "额度已耗",
                "额度用尽",
                "额度失败", // new-api, before it sends anything
                "剩余额度",
                "配额不足",
                "配额已用",
                "配额耗尽",
                "欠费",
                "请充值",
                "资源包",
                "资源包耗尽",
                "免费额度",
                "使用上限", // Zhipu's plans
                "套餐已到期",
                "套餐已过期",
            ]),
        ])
        // A prompt that was blocked costs nothing, and OpenRouter says so. What is per minute is a rate.
        .unless(&[&[
            "charged",
            "per minute",
            "per second",
            "per min",
            "thinking",
            "rate limit",
            "credit card number",
            "budget_tokens",
        ]]),
];
