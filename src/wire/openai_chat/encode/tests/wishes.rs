//! How are wishes written, and what becomes of one that a host has no place for?

use super::*;
use crate::chat::{CacheRetention, ServiceTier, Verbosity};

fn wishing() -> ChatRequest {
    ChatRequest {
        end_user_id: "u-1".into(),
        prompt_cache_key: "k".into(),
        prompt_cache_retention: Some(CacheRetention::Long),
        service_tier: Some(ServiceTier::Priority),
        verbosity: Some(Verbosity::Low),
        ..hi()
    }
}

#[test]
fn openai_is_told_every_wish() {
    let body = spelled(&openai(), &wishing());

    for (field, value) in [
        ("safety_identifier", "u-1"),
        ("prompt_cache_key", "k"),
        ("prompt_cache_retention", "24h"),
        ("service_tier", "priority"),
        ("verbosity", "low"),
    ] {
        assert_eq!(body[field], value, "{field}");
    }
    assert_eq!(body["user"], Value::Null);
}

#[test]
fn a_host_is_told_the_wishes_that_it_has_a_place_for() {
    let bare = Dialect {
        end_user: EndUserField::None,
        prompt_cache_key: false,
        prompt_cache_retention: false,
        service_tiers: Vec::new(),
        verbosity: false,
        ..openai()
    };
    let groq = Dialect {
        end_user: EndUserField::User,
        service_tiers: vec![TierWord::OnDemand, TierWord::Flex],
        ..openai()
    };

    let (body, adapted) = spelled_to(&TO, &bare, &wishing());
    assert_eq!(body, spelled(&bare, &hi()));
    assert_eq!(
        adapted,
        [
            "end_user_id",
            "prompt_cache_key",
            "prompt_cache_retention",
            "service_tier",
            "verbosity"
        ]
    );

    let (body, adapted) = spelled_to(&TO, &groq, &wishing());
    assert_eq!(body["user"], "u-1");
    assert_eq!(body["service_tier"], Value::Null);
    assert_eq!(adapted, ["service_tier"]);

    for (tier, word) in [
        (ServiceTier::Standard, "on_demand"),
        (ServiceTier::Flex, "flex"),
    ] {
        let request = ChatRequest {
            service_tier: Some(tier),
            ..hi()
        };
        assert_eq!(spelled(&groq, &request)["service_tier"], word);
    }
}

#[test]
fn an_end_user_whose_id_is_too_long_is_not_named() {
    for (length, adapted) in [(64, &[][..]), (65, &["end_user_id"][..])] {
        let request = ChatRequest {
            end_user_id: "u".repeat(length),
            ..hi()
        };

        assert_eq!(spelled_to(&TO, &openai(), &request).1, adapted);
    }
}

#[test]
fn probabilities_are_asked_for_alone_or_with_those_of_other_tokens() {
    for (top_logprobs, top) in [(0, Value::Null), (5, json!(5))] {
        let request = ChatRequest {
            sampling: Sampling {
                top_logprobs: Some(top_logprobs),
                ..Sampling::default()
            },
            ..hi()
        };
        let without = Dialect {
            logprobs: false,
            ..openai()
        };

        let body = spelled(&openai(), &request);

        assert_eq!(
            (&body["logprobs"], &body["top_logprobs"]),
            (&json!(true), &top)
        );
        assert_eq!(
            refused(&without, &request),
            Unsupported::Feature(Feature::Logprobs)
        );
    }
}
