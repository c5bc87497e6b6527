//! How is thinking asked for?

use super::*;
use crate::wire::gemini::thinking::budget;
use crate::wire::options::NO_OPTIONS;

#[test]
fn thinking_is_a_budget_before_gemini_3_and_a_level_since() {
    use Generation::{Second, Third};
    use ReasoningEffort::{High, Low, Max, Medium, Minimal};
    for (generation, effort, max_tokens, include, config) in [
        (Second, None, None, false, ""),
        (
            Second,
            None,
            Some(5),
            true,
            r#"{"thinkingBudget":5,"includeThoughts":true}"#,
        ),
        (
            Second,
            Some(ReasoningEffort::None),
            None,
            false,
            r#"{"thinkingBudget":0}"#,
        ),
        (
            Second,
            Some(Minimal),
            None,
            false,
            r#"{"thinkingBudget":1024}"#,
        ),
        (
            Second,
            Some(Medium),
            None,
            false,
            r#"{"thinkingBudget":8192}"#,
        ),
        (
            Second,
            Some(High),
            Some(2000),
            false,
            r#"{"thinkingBudget":2000}"#,
        ),
        (
            Second,
            Some(Low),
            Some(2000),
            false,
            r#"{"thinkingBudget":1024}"#,
        ),
        (Third, None, Some(5), false, r#"{"thinkingBudget":5}"#),
        (
            Third,
            Some(Minimal),
            None,
            false,
            r#"{"thinkingLevel":"MINIMAL"}"#,
        ),
        (
            Third,
            Some(Max),
            None,
            true,
            r#"{"thinkingLevel":"HIGH","includeThoughts":true}"#,
        ),
    ] {
        let request = ChatRequest {
            reasoning: ReasoningOptions {
                effort,
                max_tokens,
                include,
            },
            ..ChatRequest::default()
        };
        let expected = match config {
            "" => "{}".to_owned(),
            config => format!(r#"{{,"generationConfig":{{"thinkingConfig":{config}}}}}"#),
        };
        assert_eq!(options(request, generation), expected);
    }
}

#[test]
fn an_effort_is_the_nearest_level_that_the_model_has() {
    use ReasoningEffort::{High, Low, Max, Medium, Minimal};
    let pro = [Level::Low, Level::High];
    for (effort, levels, expected, is_exact) in [
        (Minimal, &pro[..], "LOW", false),
        (Low, &pro, "LOW", true),
        (Medium, &pro, "LOW", false),
        (High, &pro, "HIGH", true),
        (ReasoningEffort::XHigh, &pro, "HIGH", false),
        (Max, &pro, "HIGH", true),
        (Minimal, &Level::ALL, "MINIMAL", true),
        (Medium, &Level::ALL, "MEDIUM", true),
    ] {
        let request = ChatRequest {
            reasoning: ReasoningOptions {
                effort: Some(effort),
                ..ReasoningOptions::default()
            },
            ..chat(vec![text(Role::User, "hi")])
        };
        let to = Recipient {
            provider: "gemini",
            model: "m",
            max_output_tokens: None,
            stream: true,
            options: &NO_OPTIONS,
        };
        let asking = Asking {
            levels,
            ..asking(Generation::Third)
        };

        let written = encode(&request, &to, asking).unwrap();

        let body = String::from_utf8(written.body.to_vec()).unwrap();
        let level = format!(r#""thinkingLevel":"{expected}""#);
        assert!(body.contains(&level), "{effort:?}: {body}");
        assert_eq!(written.adaptations.is_empty(), is_exact, "{effort:?}");
    }
}

#[test]
fn a_budget_stays_within_what_the_model_takes() {
    use ReasoningEffort::{High, None as Off};
    let pro = Budgets {
        least: 128,
        most: 32_768,
        can_be_none: false,
    };
    for (budgets, effort, max_tokens, expected) in [
        (pro, None, Some(100_000), Ok(Some(32_768))),
        (pro, None, Some(127), Err("reasoning.max_reasoning_tokens")),
        (pro, Some(Off), None, Err("reasoning.effort")),
        (pro, Some(High), None, Ok(Some(24_576))),
        (pro, Some(ReasoningEffort::XHigh), None, Ok(Some(32_768))),
        (pro, None, None, Ok(None)),
        (Budgets::WIDEST, Some(Off), Some(5), Ok(Some(0))),
        (Budgets::WIDEST, None, Some(30_000), Ok(Some(24_576))),
    ] {
        let budget = budget(effort, max_tokens, budgets).map_err(|refused| match refused {
            Unsupported::Value { field, .. } => field,
            other => panic!("{other}"),
        });

        assert_eq!(budget, expected, "{effort:?} {max_tokens:?}");
    }
}
