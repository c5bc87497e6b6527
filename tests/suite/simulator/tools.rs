//! Are tools called when the prompt or the request asks for it, and does a loop of calls end?

use super::conversation::{Call, Said, declare, messages, return_results, said, says};
use super::*;

fn city() -> Value {
    json!({
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": false,
    })
}

/// A request that declares two tools and says this.
fn asked(wire: WireName, model: &str, prompt: &str) -> Value {
    let mut body = body(wire, model, false);
    // Gemini has it in the path, where `said` puts it.
    body["model"] = json!(model);
    declare(
        wire,
        &mut body,
        &[("get_weather", city()), ("get_time", city())],
    );
    messages(wire, &mut body).push(says(wire, prompt));
    body
}

fn names(said: &Said) -> Vec<&str> {
    said.calls.iter().map(|call| &*call.name).collect()
}

/// Gives results until the model calls no more tools. Gives the names of each round, and the last answer.
async fn run_loop(
    simulator: &Simulator,
    wire: WireName,
    mut body: Value,
    stream: bool,
) -> (Vec<Vec<String>>, Said) {
    let mut rounds = Vec::new();
    while rounds.len() < 10 {
        let answer = said(simulator, wire, &body, stream).await;
        if answer.calls.is_empty() {
            return (rounds, answer);
        }
        rounds.push(answer.calls.iter().map(|call| call.name.clone()).collect());
        return_results(wire, &mut body, &answer.calls, "21 degrees");
    }
    panic!("the loop does not end: {rounds:?}");
}

#[tokio::test]
async fn tools_that_the_prompt_names_are_called_and_their_results_are_told() {
    let simulator = start().await;
    for wire in WIRES {
        for stream in [false, true] {
            let body = asked(wire, "sim", "Ask get_time, then get_weather.");

            let (rounds, last) = run_loop(&simulator, wire, body, stream).await;

            assert_eq!(rounds, [["get_time", "get_weather"]], "{wire:?}");
            let told = "get_time returned: 21 degrees get_weather returned: 21 degrees ";
            assert!(last.text.starts_with(told), "{wire:?}: {}", last.text);
            assert_eq!(last.text.split_whitespace().count(), 24);
        }
    }
}

#[tokio::test]
async fn a_prompt_that_names_no_tool_is_answered_in_text() {
    let simulator = start().await;
    for wire in WIRES {
        let answer = said(
            &simulator,
            wire,
            &asked(wire, "sim", "How is the weather?"),
            false,
        )
        .await;

        assert_eq!(answer.calls, []);
        assert_eq!(answer.text, super::text(24));
    }
}

#[tokio::test]
async fn calls_are_made_one_by_one_where_the_request_says_so() {
    let simulator = start().await;
    for wire in [OpenAiChat, OpenAiResponses, Anthropic] {
        let mut body = asked(wire, "sim", "get_time and get_weather");
        match wire {
            Anthropic => {
                body["tool_choice"] = json!({"type": "auto", "disable_parallel_tool_use": true});
            }
            _ => body["parallel_tool_calls"] = json!(false),
        }

        let (rounds, last) = run_loop(&simulator, wire, body, true).await;

        assert_eq!(rounds, [["get_time"], ["get_weather"]], "{wire:?}");
        assert!(last.text.contains("get_weather returned: 21 degrees"));
    }
}

#[tokio::test]
async fn a_required_tool_is_called_once_and_then_answered() {
    let simulator = start().await;
    for wire in WIRES {
        let any = match wire {
            OpenAiChat | OpenAiResponses => json!("required"),
            Anthropic => json!({"type": "any"}),
            Gemini => json!({"functionCallingConfig": {"mode": "ANY"}}),
        };
        let named = match wire {
            OpenAiChat => json!({"type": "function", "function": {"name": "get_time"}}),
            OpenAiResponses => json!({"type": "function", "name": "get_time"}),
            Anthropic => json!({"type": "tool", "name": "get_time"}),
            Gemini => {
                json!({"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["get_time"]}})
            }
        };
        let field = if wire == Gemini {
            "toolConfig"
        } else {
            "tool_choice"
        };
        for (choice, expected) in [(any, "get_weather"), (named, "get_time")] {
            let mut body = asked(wire, "sim", "Hello");
            body[field] = choice;

            let (rounds, _) = run_loop(&simulator, wire, body, false).await;

            assert_eq!(rounds, [[expected]], "{wire:?}");
        }
    }
}

#[tokio::test]
async fn tools_that_may_not_be_called_are_not() {
    let simulator = start().await;
    for wire in WIRES {
        let (none, field) = match wire {
            OpenAiChat | OpenAiResponses => (json!("none"), "tool_choice"),
            Anthropic => (json!({"type": "none"}), "tool_choice"),
            Gemini => (
                json!({"functionCallingConfig": {"mode": "NONE"}}),
                "toolConfig",
            ),
        };
        let mut body = asked(wire, "sim", "get_time");
        body[field] = none;

        let answer = said(&simulator, wire, &body, false).await;

        assert_eq!(answer.calls, []);
    }
}

#[tokio::test]
async fn allowed_tools_limit_what_the_prompt_can_name() {
    let simulator = start().await;
    for mode in ["auto", "required"] {
        let chat = json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [{"type": "function", "function": {"name": "get_time"}}]}});
        let responses = json!({"type": "allowed_tools", "mode": mode, "tools": [{"type": "function", "name": "get_time"}]});
        for (wire, choice) in [(OpenAiChat, chat), (OpenAiResponses, responses)] {
            let mut body = asked(wire, "sim", "get_weather");
            body["tool_choice"] = choice;

            let answer = said(&simulator, wire, &body, false).await;

            let expected: &[&str] = if mode == "required" {
                &["get_time"]
            } else {
                &[]
            };
            assert_eq!(names(&answer), expected, "{wire:?}");
        }
    }
}

#[tokio::test]
async fn a_tool_that_the_models_name_calls_has_arguments_of_its_schema() {
    let simulator = start().await;
    for wire in WIRES {
        let body = asked(wire, "sim+call=get_time", "Hello");
        let undeclared = body_without_tools(wire);

        let (rounds, _) = run_loop(&simulator, wire, body.clone(), false).await;
        let call = &said(&simulator, wire, &body, false).await.calls[0];
        let other = &said(&simulator, wire, &undeclared, false).await.calls[0];

        assert_eq!(rounds, [["get_time"]]);
        assert!(call.input()["city"].is_string(), "{call:?}");
        assert_eq!(other.arguments, r#"{"query":"alpha bravo charlie"}"#);
    }
}

fn body_without_tools(wire: WireName) -> Value {
    let mut body = body(wire, "sim+call=look", false);
    body["model"] = json!("sim+call=look");
    body
}

#[tokio::test]
async fn the_callers_next_words_begin_another_turn() {
    let simulator = start().await;
    for wire in WIRES {
        let mut body = asked(wire, "sim", "get_time");
        let first = said(&simulator, wire, &body, false).await;
        return_results(wire, &mut body, &first.calls, "noon");
        messages(wire, &mut body).push(says(wire, "And get_time once more"));

        let second = said(&simulator, wire, &body, false).await;

        assert_eq!(names(&second), ["get_time"], "{wire:?}");
        let ids: Vec<&Call> = first.calls.iter().chain(&second.calls).collect();
        assert!(wire == Gemini || ids[0].id != ids[1].id);
    }
}

#[tokio::test]
async fn a_refusal_stands_where_each_format_puts_it() {
    let simulator = start().await;
    for wire in WIRES {
        let body = asked(wire, "sim+refusal", "get_time");
        let whole = said(&simulator, wire, &body, false).await;
        let streamed = said(&simulator, wire, &body, true).await;

        assert_eq!(whole, streamed, "{wire:?}");
        assert_eq!(whole.calls, []);
        let refusal = "I cannot help with that.".to_owned();
        let (said, finish) = match wire {
            OpenAiChat => (whole.refusal, "stop"),
            OpenAiResponses => (whole.refusal, "completed"),
            Anthropic => (whole.text, "refusal"),
            Gemini => (whole.text, "PROHIBITED_CONTENT"),
        };
        assert_eq!((said, &*whole.finish), (refusal, finish));
    }
}
