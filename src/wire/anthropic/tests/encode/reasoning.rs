//! How is reasoning asked for, and which reasoning is sent back?

use super::*;

#[test]
fn an_effort_is_a_name_or_a_share_of_the_output_limit() {
    use ReasoningEffort::{High, Low, Max, Medium, Minimal, None as Off};
    for (effort, name, budget) in [
        (Minimal, "low", 1024),
        (Low, "low", 2000),
        (Medium, "medium", 5000),
        (High, "high", 8000),
        (Max, "max", 9500),
    ] {
        let request = thinking(Some(effort), None, 10_000);
        assert_fields(
            ADAPTIVE,
            &request,
            &format!(
                r#"{{"thinking":{{"type":"adaptive","display":"summarized"}},"output_config":{{"effort":"{name}"}}}}"#
            ),
        );
        assert_fields(
            BUDGET,
            &request,
            &format!(
                r#"{{"thinking":{{"type":"enabled","budget_tokens":{budget},"display":"summarized"}},"output_config":null}}"#
            ),
        );
    }
    for format in [ADAPTIVE, BUDGET] {
        assert_fields(
            format.clone(),
            &thinking(Some(Off), None, 10_000),
            r#"{"thinking":{"type":"disabled"},"output_config":null}"#,
        );
        assert_fields(format, &hello(), r#"{"thinking":null}"#);
    }
}

#[test]
fn a_thinking_budget_stays_within_its_limits() {
    use ReasoningEffort::{High, Max};
    let budget = |request: &ChatRequest| {
        json(&written(BUDGET, request).body)["thinking"]["budget_tokens"].clone()
    };

    assert_eq!(budget(&thinking(None, Some(3000), 10_000)), 3000);
    assert_eq!(budget(&thinking(Some(High), Some(3000), 10_000)), 3000);
    assert_eq!(budget(&thinking(Some(High), Some(9000), 10_000)), 8000);
    assert_eq!(budget(&thinking(Some(Max), None, 1025)), 1024);

    let too_small = thinking(None, Some(1023), 10_000);
    assert_refused(BUDGET, &too_small, "reasoning.max_reasoning_tokens");
    for (effort, limit) in [(None, Some(10_000)), (Some(High), None)] {
        let limited = thinking(effort, limit, if effort.is_some() { 1024 } else { 10_000 });
        assert_refused(BUDGET, &limited, "sampling.max_output_tokens");
    }
}

#[test]
fn what_the_api_refuses_beside_thinking_is_refused_before() {
    let changes: [(&str, Change); 3] = [
        ("sampling.temperature", |request| {
            request.sampling.temperature = Some(0.7);
        }),
        ("sampling.top_k", |request| request.sampling.top_k = Some(5)),
        ("sampling.top_p", |request| {
            request.sampling.top_p = Some(0.5);
        }),
    ];
    for (field, change) in changes {
        let mut on = thinking(Some(ReasoningEffort::High), None, 8192);
        change(&mut on);
        let mut off = thinking(Some(ReasoningEffort::None), None, 8192);
        change(&mut off);

        for format in [ADAPTIVE, BUDGET] {
            assert!(format.encode(&off, &TO).is_ok());
            assert_refused(format, &on, field);
        }
    }
}

#[test]
fn reasoning_goes_back_only_to_the_provider_that_signed_it() {
    let signed = Opaque::Signature("EqQB").to_bytes();
    let redacted = Opaque::Redacted("EmwK").to_bytes();
    let foreign = Bytes::from_static(b"EqQB");
    let request = request(vec![
        message(Role::User, vec![text("why?")]),
        message(
            Role::Assistant,
            vec![
                reasoning("anthropic", "because", signed.clone()),
                reasoning("anthropic", "", redacted),
                reasoning("other", "x", signed),
                reasoning("anthropic", "x", foreign),
                reasoning("anthropic", "x", Bytes::new()),
                text("so"),
            ],
        ),
        message(Role::User, vec![text("really?")]),
    ]);

    let body = json(&written(ADAPTIVE, &request).body);
    let adaptations = written(ADAPTIVE, &request).adaptations;

    assert_eq!(
        body["messages"][1]["content"],
        json(
            br#"[{"type":"thinking","thinking":"because","signature":"EqQB"},
            {"type":"redacted_thinking","data":"EmwK"},{"type":"text","text":"so"}]"#
        )
    );
    assert_eq!(adaptations.len(), 2);
}

#[test]
fn a_turn_of_nothing_but_foreign_reasoning_vanishes() {
    let request = request(vec![
        message(Role::User, vec![text("a")]),
        message(
            Role::Assistant,
            vec![reasoning("other", "x", Bytes::from_static(b"y"))],
        ),
        message(Role::User, vec![text("b")]),
    ]);

    assert_fields(
        ADAPTIVE,
        &request,
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}"#,
    );
}

#[test]
fn a_budget_is_refused_for_a_turn_that_began_without_thinking() {
    let mut request = thinking(Some(ReasoningEffort::High), None, 8192);
    request.messages.extend([
        message(Role::Assistant, vec![call("toolu_1", "")]),
        message(Role::Tool, vec![result("toolu_1", vec![text("rain")])]),
    ]);

    assert_refused(BUDGET, &request, "reasoning");
    assert!(ADAPTIVE.encode(&request, &TO).is_ok());

    let signed = reasoning("anthropic", "hm", Opaque::Signature("EqQB").to_bytes());
    request.messages[1].parts.insert(0, signed);
    assert!(BUDGET.encode(&request, &TO).is_ok());
}

#[test]
fn an_effort_that_the_model_does_not_take_is_the_next_lower_one() {
    let mut older = ADAPTIVE;
    older.dialect = toml::from_str(r#"efforts = ["low", "medium", "high", "max"]"#).unwrap();
    let asking = |effort| thinking(Some(effort), None, 8192);
    for (format, effort, expected, adapted) in [
        (&ADAPTIVE, ReasoningEffort::XHigh, "xhigh", 0),
        (&older, ReasoningEffort::XHigh, "high", 1),
        (&older, ReasoningEffort::Max, "max", 0),
        (&ADAPTIVE, ReasoningEffort::Minimal, "low", 1),
    ] {
        let request = asking(effort);
        let body = json(&written(format.clone(), &request).body);

        assert_eq!(body["output_config"]["effort"], expected);
        assert_eq!(adapted_fields(format.clone(), &request).len(), adapted);
    }
    let body = json(
        &written(
            BUDGET,
            &thinking(Some(ReasoningEffort::XHigh), None, 10_000),
        )
        .body,
    );
    assert_eq!(body["thinking"]["budget_tokens"], 9000);
}
