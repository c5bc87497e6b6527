//! In which fields is reasoning asked for?

use super::*;

#[test]
fn reasoning_is_asked_for_in_the_fields_of_the_dialect() {
    use ReasoningControl as Control;
    let effort = |effort| ReasoningOptions {
        effort: Some(effort),
        ..ReasoningOptions::default()
    };
    let budget = ReasoningOptions {
        max_tokens: Some(512),
        include: true,
        ..ReasoningOptions::default()
    };
    let both = ReasoningOptions {
        effort: Some(ReasoningEffort::Low),
        ..budget.clone()
    };
    let neither = ReasoningOptions {
        effort: Some(ReasoningEffort::None),
        ..budget.clone()
    };
    let told = || vec!["reasoning.effort"];
    let cases = [
        (
            Control::None,
            ReasoningOptions::default(),
            json!({}),
            vec![],
        ),
        (
            Control::ReasoningEffort,
            effort(ReasoningEffort::Max),
            json!({ "reasoning_effort": "xhigh" }),
            vec![],
        ),
        (
            Control::ReasoningEffort,
            neither.clone(),
            json!({ "reasoning_effort": "none" }),
            vec![],
        ),
        (
            Control::ReasoningObject,
            ReasoningOptions::default(),
            json!({}),
            vec![],
        ),
        (
            Control::ReasoningObject,
            effort(ReasoningEffort::High),
            json!({ "reasoning": { "effort": "high", "exclude": true } }),
            vec![],
        ),
        (
            Control::ReasoningObject,
            both.clone(),
            json!({ "reasoning": { "max_tokens": 512 } }),
            told(),
        ),
        (
            Control::ReasoningObject,
            neither.clone(),
            json!({ "reasoning": { "effort": "none" } }),
            vec![],
        ),
        (
            Control::Thinking,
            effort(ReasoningEffort::Low),
            json!({ "thinking": { "type": "enabled" }, "reasoning_effort": "low" }),
            vec![],
        ),
        (
            Control::Thinking,
            effort(ReasoningEffort::None),
            json!({ "thinking": { "type": "disabled" } }),
            vec![],
        ),
        (
            Control::EnableThinking,
            budget,
            json!({ "enable_thinking": true, "thinking_budget": 512 }),
            vec![],
        ),
        (
            Control::EnableThinking,
            both,
            json!({ "enable_thinking": true, "thinking_budget": 512 }),
            told(),
        ),
        (
            Control::EnableThinking,
            neither,
            json!({ "enable_thinking": false }),
            vec![],
        ),
    ];

    for (control, reasoning, mut expected, told) in cases {
        let dialect = Dialect {
            reasoning: control,
            ..openai()
        };
        let request = ChatRequest {
            reasoning: reasoning.clone(),
            ..hi()
        };
        expected["model"] = json!("m-1");
        expected["messages"] = json!([{ "role": "user", "content": "hi" }]);

        assert_eq!(
            spelled_to(&TO, &dialect, &request),
            (expected, told),
            "{control:?} {reasoning:?}"
        );
    }
}

#[test]
fn reasoning_stays_in_the_answer_where_tools_will_need_it_back() {
    let openrouter = Dialect {
        reasoning: ReasoningControl::ReasoningObject,
        ..openai()
    };
    let request = ChatRequest {
        reasoning: ReasoningOptions {
            max_tokens: Some(512),
            ..ReasoningOptions::default()
        },
        ..with_tool(hi())
    };

    assert_eq!(
        spelled(&openrouter, &request)["reasoning"],
        json!({ "max_tokens": 512 })
    );
}

#[test]
fn an_effort_that_the_host_lacks_is_changed_and_told() {
    let asking = |effort| ChatRequest {
        reasoning: ReasoningOptions {
            effort: Some(effort),
            ..ReasoningOptions::default()
        },
        ..hi()
    };
    let mistral = Dialect {
        efforts: vec![Effort::None, Effort::High],
        ..openai()
    };
    let zai = Dialect {
        reasoning: ReasoningControl::Thinking,
        efforts: vec![],
        ..openai()
    };

    let (of_mistral, told) = spelled_to(&TO, &mistral, &asking(ReasoningEffort::Low));
    assert_eq!(of_mistral["reasoning_effort"], "high");
    assert_eq!(told, ["reasoning.effort"]);
    let (of_zai, told) = spelled_to(&TO, &zai, &asking(ReasoningEffort::Low));
    assert_eq!(of_zai["thinking"]["type"], "enabled");
    assert_eq!(of_zai["reasoning_effort"], Value::Null);
    assert_eq!(told, ["reasoning.effort"]);
}

#[test]
fn reasoning_that_a_dialect_cannot_ask_for_is_refused() {
    let asking = |effort, max_tokens| ChatRequest {
        reasoning: ReasoningOptions {
            effort,
            max_tokens,
            include: false,
        },
        ..hi()
    };
    let none = Dialect {
        reasoning: ReasoningControl::None,
        ..openai()
    };
    let high = Some(ReasoningEffort::High);

    assert_eq!(
        refused(&none, &asking(high, None)),
        Unsupported::Feature(Feature::ReasoningEffort)
    );
    assert_eq!(
        refused(&openai(), &asking(None, Some(512))),
        Unsupported::Feature(Feature::ReasoningBudget)
    );
}

#[test]
fn a_model_that_reasons_unasked_is_told_not_to_beside_what_excludes_reasoning() {
    let kimi = Dialect {
        reasoning: ReasoningControl::Thinking,
        efforts: vec![],
        thinks_unasked: true,
        ..openai()
    };
    let qwen = Dialect {
        reasoning: ReasoningControl::EnableThinking,
        thinks_unasked: true,
        ..openai()
    };
    let forced = ChatRequest {
        tool_choice: ToolChoice::Required,
        ..with_tool(hi())
    };

    let (body, adapted) = spelled_to(&TO, &kimi, &forced);
    assert_eq!(body["thinking"], json!({ "type": "disabled" }));
    assert_eq!(body["tool_choice"], "required");
    assert_eq!(adapted, ["reasoning"]);
    let (body, _) = spelled_to(&TO, &qwen, &forced);
    assert_eq!(body["enable_thinking"], false);
    assert_eq!(spelled(&kimi, &with_tool(hi()))["thinking"], Value::Null);
    let gpt = Dialect {
        thinks_unasked: true,
        excludes: Some(vec![Exclusion(Feature::Tools, Feature::Reasoning)]),
        ..openai()
    };
    let (body, _) = spelled_to(&TO, &gpt, &with_tool(hi()));
    assert_eq!(body["reasoning_effort"], "none");
    assert_eq!(spelled(&gpt, &hi())["reasoning_effort"], Value::Null);
}
