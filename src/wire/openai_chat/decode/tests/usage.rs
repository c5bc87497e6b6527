//! How many tokens does an answer report?

use super::*;

#[test]
fn usage_counts_every_part_in_its_total() {
    let cases = [
        (
            r#"{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}"#,
            Some("9 (read 0, written 0) 4 (reasoning 0)"),
        ),
        // OpenAI
        (
            r#"{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":8,"cache_write_tokens":1},"completion_tokens_details":{"reasoning_tokens":3}}"#,
            Some("9 (read 8, written 1) 4 (reasoning 3)"),
        ),
        // DeepSeek, Moonshot, Mistral
        (
            r#"{"prompt_tokens":9,"completion_tokens":4,"prompt_cache_hit_tokens":8}"#,
            Some("9 (read 8, written 0) 4 (reasoning 0)"),
        ),
        (
            r#"{"prompt_tokens":9,"completion_tokens":4,"cached_tokens":8}"#,
            Some("9 (read 8, written 0) 4 (reasoning 0)"),
        ),
        (
            r#"{"prompt_tokens":9,"completion_tokens":4,"num_cached_tokens":8}"#,
            Some("9 (read 8, written 0) 4 (reasoning 0)"),
        ),
        // Claude behind a gateway
        (
            r#"{"prompt_tokens":9,"completion_tokens":4,"cache_read_input_tokens":5,"cache_creation_input_tokens":2}"#,
            Some("9 (read 5, written 2) 4 (reasoning 0)"),
        ),
        // xAI: reasoning stands in the total alone
        (
            r#"{"prompt_tokens":9,"completion_tokens":4,"total_tokens":20,"completion_tokens_details":{"reasoning_tokens":7}}"#,
            Some("9 (read 0, written 0) 11 (reasoning 7)"),
        ),
        // Mistral: audio stands in the total alone
        (
            r#"{"prompt_tokens":9,"completion_tokens":4,"total_tokens":20,"prompt_tokens_details":{"audio_tokens":7}}"#,
            Some("16 (read 0, written 0) 4 (reasoning 0)"),
        ),
        // Grok on Azure: more cached than there are
        (
            r#"{"prompt_tokens":2,"completion_tokens":4,"total_tokens":6,"prompt_tokens_details":{"cached_tokens":7}}"#,
            Some("9 (read 7, written 0) 4 (reasoning 0)"),
        ),
        // Gemini behind an aggregator: more reasoning than there is output, unless a total denies it
        (
            r#"{"prompt_tokens":9,"completion_tokens":4,"completion_tokens_details":{"reasoning_tokens":7}}"#,
            Some("9 (read 0, written 0) 11 (reasoning 7)"),
        ),
        (
            r#"{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,"completion_tokens_details":{"reasoning_tokens":7}}"#,
            Some("9 (read 0, written 0) 4 (reasoning 4)"),
        ),
        (
            r#"{"prompt_tokens":9,"completion_tokens":null,"prompt_tokens_details":null}"#,
            Some("9 (read 0, written 0) 0 (reasoning 0)"),
        ),
        (
            r#"{"prompt_tokens":18446744073709551615,"completion_tokens":4,"total_tokens":-1,"cached_tokens":"many"}"#,
            Some("18446744073709551615 (read 0, written 0) 4 (reasoning 0)"),
        ),
        (r#"{}"#, None),
    ];

    for (usage, expected) in cases {
        let (events, _) = read(
            &Dialect::default(),
            Framing::Sse,
            &[&format!(r#"{{"choices":[],"usage":{usage}}}"#), "[DONE]"],
        );
        let mut answer = Answer::default();
        for event in events {
            answer.apply(event);
        }

        assert_eq!(
            answer.usage.as_ref().map(counts).as_deref(),
            expected,
            "{usage}"
        );
    }
}

#[test]
fn the_usage_of_groq_may_stand_in_its_own_field() {
    let (told, _) = streamed(&[
        r#"{"choices":[],"x_groq":{"id":"r","usage":{"prompt_tokens":9,"completion_tokens":4}}}"#,
    ]);

    assert_eq!(told, ["usage 9 (read 0, written 0) 4 (reasoning 0)"]);
}

#[test]
fn usage_in_a_choice_counts_where_there_is_none_at_the_top() {
    let event = r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop","usage":{"prompt_tokens":10,"completion_tokens":5}}]}"#;

    let usage = "usage 10 (read 0, written 0) 5 (reasoning 0)";
    assert_eq!(
        of_events(&[event, "[DONE]"]),
        ["text a", "finish Stop stop", usage, "done"]
    );
}

#[test]
fn a_total_that_holds_a_cache_which_the_prompt_leaves_out_is_input() {
    let table = [
        (
            r#"{"prompt_tokens":368,"completion_tokens":19,"total_tokens":10923,"cache_read_input_tokens":10536}"#,
            "usage 10904 (read 10536, written 0) 19 (reasoning 0)",
        ),
        (
            r#"{"prompt_tokens":500,"completion_tokens":20,"total_tokens":1520,"prompt_tokens_details":{"cached_tokens":400},"cache_creation_input_tokens":1000}"#,
            "usage 1500 (read 400, written 1000) 20 (reasoning 0)",
        ),
    ];
    for (usage, expected) in table {
        let event = format!(
            r#"{{"choices":[{{"delta":{{"content":"a"}},"finish_reason":"stop"}}],"usage":{usage}}}"#
        );

        assert_eq!(of_events(&[&event, "[DONE]"])[2], expected, "{usage}");
    }
}
