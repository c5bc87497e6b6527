use serde_json::Value;

use super::*;
use crate::chat::{Answer, Part, Usage};

/// One event of an answer, short enough for a table.
fn told(event: &ChatEvent) -> String {
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".into());
    match event {
        ChatEvent::Started {
            response_id,
            response_model,
        } => format!("started {} {}", known(response_id), known(response_model)),
        ChatEvent::Text(text) => format!("text {text}"),
        ChatEvent::Reasoning(text) => format!("reasoning {text}"),
        ChatEvent::ReasoningSignature(token) => {
            format!("signature {}", String::from_utf8_lossy(token))
        }
        ChatEvent::Refusal(text) => format!("refusal {text}"),
        ChatEvent::ToolCall {
            id,
            name,
            signature,
        } => format!("call {id}/{name}/{}", String::from_utf8_lossy(signature)),
        ChatEvent::ToolArguments { call, fragment } => format!("arguments {call} {fragment}"),
        ChatEvent::Finish(finish) => {
            format!(
                "finish {:?} {}",
                finish.reason,
                known(&finish.provider_reason)
            )
        }
        ChatEvent::Usage(usage) => format!("usage {}", counts(usage)),
        ChatEvent::Done => "done".into(),
    }
}

fn counts(usage: &Usage) -> String {
    let Usage {
        input_tokens,
        output_tokens,
        cache_read_input_tokens,
        cache_write_input_tokens,
        reasoning_output_tokens,
    } = usage;
    format!(
        "{input_tokens} (read {cache_read_input_tokens}, written {cache_write_input_tokens}) \
         {output_tokens} (reasoning {reasoning_output_tokens})"
    )
}

fn read(
    dialect: &Dialect,
    framing: Framing,
    frames: &[&str],
) -> (Vec<ChatEvent>, Result<(), UpstreamError>) {
    let mut decoder = ChatDecoder::new(dialect, framing);
    let mut events = Vec::new();
    for data in frames {
        let frame = Frame { event: "", data };
        let outcome = decoder.frame(frame, &mut events);
        if outcome.is_err() || events.last() == Some(&ChatEvent::Done) {
            return (events, outcome);
        }
    }
    let outcome = decoder.end(&mut events);
    (events, outcome)
}

/// The events of a stream, and the kind of the error it ended with.
fn streamed(frames: &[&str]) -> (Vec<String>, Option<UpstreamErrorKind>) {
    let (events, outcome) = read(&Dialect::default(), Framing::Sse, frames);
    let told = events.iter().map(told).collect();
    (told, outcome.err().map(|error| error.kind))
}

fn whole(body: &str) -> (Vec<String>, Option<UpstreamErrorKind>) {
    let (events, outcome) = read(&Dialect::default(), Framing::Json, &[body]);
    let told = events.iter().map(told).collect();
    (told, outcome.err().map(|error| error.kind))
}

/// The chunk of a stream whose first choice has this delta.
fn chunk(delta: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,"delta":{delta}}}]}}"#)
}

fn of_deltas(deltas: &[&str]) -> Vec<String> {
    let chunks: Vec<String> = deltas.iter().map(|delta| chunk(delta)).collect();
    let mut frames: Vec<&str> = chunks.iter().map(String::as_str).collect();
    frames.extend([
        r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#,
        "[DONE]",
    ]);
    let (mut told, error) = streamed(&frames);
    assert_eq!(error, None);
    let end = told.split_off(told.len() - 2);
    assert_eq!(end, ["finish MaxTokens length", "done"]);
    told
}

#[test]
fn a_stream_begins_ends_and_is_counted() {
    let (told, error) = streamed(&[
        r#"{"id":"","model":"","choices":[],"prompt_filter_results":[]}"#,
        r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
        r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"Hi"}}],"usage":null}"#,
        r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"id":"c","model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#,
        "[DONE]",
    ]);

    assert_eq!(
        told,
        [
            "started c m",
            "text Hi",
            "finish Stop stop",
            "usage 3 (read 0, written 0) 1 (reasoning 0)",
            "done",
        ]
    );
    assert_eq!(error, None);
}

#[test]
fn the_end_of_the_body_is_an_end_only_after_a_reason() {
    let finish = r#"{"choices":[{"delta":{"content":"Hi"},"finish_reason":"length"}]}"#;

    assert_eq!(
        streamed(&[finish]),
        (
            vec![
                "text Hi".into(),
                "finish MaxTokens length".into(),
                "done".into()
            ],
            None
        )
    );
    assert_eq!(
        streamed(&[&chunk(r#"{"content":"Hi"}"#)]),
        (vec!["text Hi".into()], Some(UpstreamErrorKind::Truncated))
    );
    assert_eq!(streamed(&[]), (vec![], Some(UpstreamErrorKind::Truncated)));
}

#[test]
fn a_reason_says_the_end_only_where_earlier_pieces_had_none() {
    let piece = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#;
    let last = r#"{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}]}"#;
    let empty = r#"{"choices":[{"index":0,"delta":{"content":""},"finish_reason":null}]}"#;
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    for (chunks, expected) in [
        (vec![last], false),
        (vec![last, last], false),
        (vec![last, piece, last], false),
        (vec![piece], false),
        (vec![piece, last], true),
        (vec![piece, last, usage], true),
        (vec![piece, last, empty], true),
        (vec![piece, last, piece], false),
    ] {
        let mut decoder = ChatDecoder::new(&Dialect::default(), Framing::Sse);
        for data in &chunks {
            let read = decoder.frame(Frame { event: "", data }, &mut Vec::new());
            assert_eq!(read, Ok(()));
        }

        assert_eq!(decoder.is_complete(), expected, "{chunks:?}");
    }
}

#[test]
fn content_comes_in_many_forms() {
    let cases: [(&str, &[&str]); 14] = [
        (r#"{"content":"a\n\u00e9"}"#, &["text a\né"]),
        (r#"{"content":null}"#, &[]),
        (r#"{"content":7}"#, &["text 7"]),
        (r#"{"content":{"odd":true}}"#, &[]),
        (
            r#"{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#,
            &["text ab"],
        ),
        (
            r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"a"}]}"#,
            &["reasoning hm", "text a"],
        ),
        (
            r#"{"content":[{"type":"thinking","thinking":"hm"}]}"#,
            &["reasoning hm"],
        ),
        (
            r#"{"content":[{"type":"refusal","refusal":"no"}]}"#,
            &["refusal no"],
        ),
        (
            r#"{"content":[{"type":"reference","reference_ids":[1]}]}"#,
            &[],
        ),
        (r#"{"refusal":"no","content":null}"#, &["refusal no"]),
        (
            r#"{"reasoning_content":"hm","reasoning":"hm","content":""}"#,
            &["reasoning hm"],
        ),
        (
            r#"{"reasoning_content":null,"reasoning":"hm"}"#,
            &["reasoning hm"],
        ),
        (
            r#"{"reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm"}]}"#,
            &["reasoning hm"],
        ),
        (
            r#"{"reasoning_details":[{"type":"reasoning.summary","summary":"a"},{"text":"b"},{"data":"x"}]}"#,
            &["reasoning a", "reasoning b"],
        ),
    ];

    for (delta, expected) in cases {
        assert_eq!(of_deltas(&[delta]), expected, "{delta}");
    }
}

#[test]
fn fragments_find_their_calls() {
    let cases: [(&str, &[&str], &[&str]); 13] = [
        (
            "two calls interleave",
            &[
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}"#,
                r#"{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"{"}}]}"#,
                r#"{"tool_calls":[{"index":0,"function":{"arguments":"1"}},{"index":1,"function":{"arguments":"}"}}]}"#,
            ],
            &[
                "call a/f/",
                "call b/g/",
                "arguments 1 {",
                "arguments 0 1",
                "arguments 1 }",
            ],
        ),
        (
            "id and name are repeated or emptied",
            &[
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"1"}}]}"#,
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"2"}}]}"#,
                r#"{"tool_calls":[{"index":0,"id":"","function":{"name":null,"arguments":"3"}}]}"#,
            ],
            &[
                "call a/f/",
                "arguments 0 1",
                "arguments 0 2",
                "arguments 0 3",
            ],
        ),
        (
            "another id with a name begins a call at the same index",
            &[
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}"#,
                r#"{"tool_calls":[{"index":0,"id":"b","function":{"name":"f","arguments":"{}"}}]}"#,
                r#"{"tool_calls":[{"index":0,"function":{"arguments":" "}}]}"#,
            ],
            &[
                "call a/f/",
                "arguments 0 {}",
                "call b/f/",
                "arguments 1 {}",
                "arguments 1  ",
            ],
        ),
        (
            "another id without a name does not",
            &[
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"1"}}]}"#,
                r#"{"tool_calls":[{"index":0,"id":"b","function":{"arguments":"2"}}]}"#,
            ],
            &["call a/f/", "arguments 0 1", "arguments 0 2"],
        ),
        (
            "without an index an id begins a call",
            &[
                r#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"1"}}]}"#,
                r#"{"tool_calls":[{"function":{"arguments":"2"}}]}"#,
                r#"{"tool_calls":[{"id":"a","function":{"arguments":"3"}}]}"#,
                r#"{"tool_calls":[{"id":"b","function":{"name":"g"}}]}"#,
            ],
            &[
                "call a/f/",
                "arguments 0 1",
                "arguments 0 2",
                "arguments 0 3",
                "call b/g/",
            ],
        ),
        (
            "a name that comes late holds back its call and those behind it",
            &[
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"arguments":"1"}}]}"#,
                r#"{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"2"}}]}"#,
                r#"{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"3"}}]}"#,
            ],
            &["call a/f/", "arguments 0 13", "call b/g/", "arguments 1 2"],
        ),
        (
            "a name that never comes does not lose the call",
            &[r#"{"tool_calls":[{"index":0,"id":"a","function":{"arguments":"1"}}]}"#],
            &["call a//", "arguments 0 1"],
        ),
        (
            "an object is taken for its text",
            &[
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":{"b": [1, 2.0], "a": null}}}]}"#,
            ],
            &["call a/f/", r#"arguments 0 {"b":[1,2.0],"a":null}"#],
        ),
        (
            "null is no argument",
            &[r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":null}}]}"#],
            &["call a/f/"],
        ),
        (
            "Gemini signs its calls",
            &[
                r#"{"tool_calls":[{"index":0,"id":"","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"s"}}}]}"#,
            ],
            &["call /f/s", "arguments 0 {}"],
        ),
        (
            "a custom tool takes free text",
            &[
                r#"{"tool_calls":[{"index":0,"id":"a","type":"custom","function":{"name":"","arguments":""},"custom":{"name":"f","input":"4 + 4"}}]}"#,
            ],
            &["call a/f/", "arguments 0 4 + 4"],
        ),
        (
            "the older field holds one call",
            &[
                r#"{"function_call":{"name":"f","arguments":""}}"#,
                r#"{"function_call":{"arguments":"{}"}}"#,
            ],
            &["call /f/", "arguments 0 {}"],
        ),
        (
            "empty calls are none",
            &[
                r#"{"tool_calls":[{"index":0,"id":"","function":{"name":"","arguments":""}}],"function_call":{"name":"","arguments":""}}"#,
            ],
            &[],
        ),
    ];

    for (situation, deltas, expected) in cases {
        assert_eq!(of_deltas(deltas), expected, "{situation}");
    }
}

#[test]
fn what_cannot_be_told_yet_of_calls_has_an_end() {
    let piece = "x".repeat(1 << 20);
    let named = chunk(r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f"}}]}"#);
    let fragment = chunk(&format!(
        r#"{{"tool_calls":[{{"index":0,"function":{{"arguments":"{piece}"}}}}]}}"#
    ));
    let mut frames = vec![fragment.as_str(); 33];

    let (_, end) = streamed(&frames);
    assert_eq!(end, Some(UpstreamErrorKind::Malformed));

    frames.insert(0, &named);
    frames.push("[DONE]");
    let (events, end) = streamed(&frames);
    assert_eq!((events.len(), end), (35, None));
}

#[test]
fn a_call_of_a_broken_answer_is_told_as_far_as_it_had_come() {
    let begun = chunk(r#"{"tool_calls":[{"index":0,"id":"a","function":{"arguments":"{"}}]}"#);
    let told = || vec!["call a//".to_owned(), "arguments 0 {".to_owned()];

    assert_eq!(
        streamed(&[&begun]),
        (told(), Some(UpstreamErrorKind::Truncated))
    );
    assert_eq!(
        streamed(&[&begun, "{"]),
        (told(), Some(UpstreamErrorKind::Malformed))
    );
    assert_eq!(
        streamed(&[&begun, r#"{"error":{"message":"it broke"}}"#]),
        (told(), Some(UpstreamErrorKind::ServerError))
    );
}

#[test]
fn only_the_first_choice_counts() {
    let (told, _) = streamed(&[
        r#"{"choices":[{"index":1,"delta":{"content":"b"}},{"index":0,"delta":{"content":"a"}}]}"#,
        r#"{"choices":[{"index":1,"delta":{},"finish_reason":"length"}]}"#,
        r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}"#,
    ]);

    assert_eq!(told, ["text a", "text a", "finish Stop stop", "done"]);
}

#[test]
fn in_a_stream_the_message_beside_the_delta_is_a_repetition() {
    let (told, _) = streamed(&[
        r#"{"choices":[{"delta":{"content":"a"},"message":{"content":"a"}}]}"#,
        r#"{"choices":[{"delta":{"content":"b"},"message":{"content":"ab"},"finish_reason":"stop"}]}"#,
    ]);

    assert_eq!(told, ["text a", "text b", "finish Stop stop", "done"]);
}

#[test]
fn reasons_are_mapped_and_kept() {
    let cases = [
        (r#""finish_reason":"eos""#, Some("finish Stop eos")),
        (
            r#""finish_reason":"eos_token""#, // TGI
            Some("finish Stop eos_token"),
        ),
        (
            r#""finish_reason":"model_length""#,
            Some("finish MaxTokens model_length"),
        ),
        (
            r#""finish_reason":"tool_use""#,
            Some("finish ToolCalls tool_use"),
        ),
        (
            r#""finish_reason":"safety""#,
            Some("finish ContentFilter safety"),
        ),
        (r#""finish_reason":"bored""#, Some("finish Other bored")),
        (r#""finish_reason":"""#, None),
        (r#""finish_reason":null"#, None),
        (
            r#""finish_details":{"type":"stop","stop":"x"}"#,
            Some("finish Stop stop"),
        ),
        (
            r#""finish_reason":null,"native_finish_reason":"stop""#,
            None,
        ),
    ];

    for (fields, expected) in cases {
        let chunk = format!(r#"{{"choices":[{{"delta":{{"content":"Hi"}},{fields}}}]}}"#);
        let (told, _) = streamed(&[&chunk, "[DONE]"]);

        assert_eq!(
            told.get(1).map(String::as_str),
            expected.or(Some("done")),
            "{fields}"
        );
    }
}

#[test]
fn an_answer_that_the_provider_gives_up_is_not_complete() {
    for (reason, kind) in [
        ("error", UpstreamErrorKind::ServerError),
        ("abort", UpstreamErrorKind::ServerError),
        (
            "insufficient_system_resource",
            UpstreamErrorKind::Overloaded,
        ),
    ] {
        let last = format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#);
        let body = format!(
            r#"{{"choices":[{{"message":{{"content":"Hi"}},"finish_reason":"{reason}"}}]}}"#
        );
        let hi = chunk(r#"{"content":"Hi"}"#);

        let broken = (vec!["text Hi".to_owned()], Some(kind));
        assert_eq!(streamed(&[&hi, &last, "[DONE]"]), broken, "{reason}");
        assert_eq!(streamed(&[&last, "[DONE]"]), (vec![], Some(kind)));
        assert_eq!(whole(&body), broken, "{reason}");
    }
}

#[test]
fn an_end_alone_is_no_answer() {
    let role = chunk(r#"{"role":"assistant","content":""}"#);

    for frames in [&["[DONE]"][..], &[&role, "[DONE]"]] {
        let nothing = (vec![], Some(UpstreamErrorKind::Truncated));
        assert_eq!(streamed(frames), nothing, "{frames:?}");
    }
}

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
fn errors_in_band_end_the_answer() {
    use UpstreamErrorKind::*;
    let cases = [
        // OpenAI
        (
            r#"{"error":{"message":"Slow down","type":"requests","code":"rate_limit_exceeded"}}"#,
            RateLimited,
        ),
        // OpenRouter: a status as the code, beside a choice
        (
            r#"{"id":"c","error":{"code":502,"message":"x"},"choices":[{"delta":{"content":""},"finish_reason":"error"}]}"#,
            ServerError,
        ),
        (
            r#"{"choices":[{"delta":{},"error":{"code":429,"message":"x"},"finish_reason":"error"}]}"#,
            RateLimited,
        ),
        // vLLM of old, FastAPI, Venice
        (
            r#"{"object":"error","message":"x","code":400}"#,
            InvalidRequest,
        ),
        (r#"{"detail":"it broke"}"#, ServerError),
        (r#"{"error":"it broke"}"#, ServerError),
        // MiniMax, Zhipu, and a code beside the error
        (
            r#"{"choices":null,"usage":{"total_tokens":0},"base_resp":{"status_code":1008,"status_msg":"x"}}"#,
            QuotaExhausted,
        ),
        (
            r#"{"choices":[],"base_resp":{"status_code":1002}}"#,
            RateLimited,
        ),
        (
            r#"{"code":401,"msg":"token expired or incorrect","success":false}"#,
            Authentication,
        ),
        (r#"{"code":30001,"error":{"message":"x"}}"#, QuotaExhausted),
        (r#"{"error":{}}"#, Malformed),
        ("<html>", Malformed),
        ("7", Malformed),
        ("[1", Malformed),
    ];

    for (frame, expected) in cases {
        let (_, of_stream) = streamed(&[frame]);
        let (_, of_body) = whole(frame);

        assert_eq!(of_stream, Some(expected), "{frame}");
        // A body that is no stream ends there in any case, so a mere reason does not hide the error.
        assert_eq!(of_body, Some(expected), "{frame}");
    }
}

#[test]
fn what_is_no_error_and_no_chunk_is_passed_over() {
    let text = chunk(r#"{"content":"a"}"#);
    let (told, error) = streamed(&[
        "",
        "  ",
        r#"{"type":"ping"}"#,
        r#"{"error":null,"choices":null}"#,
        r#"{"error":"","choices":[]}"#,
        r#"{"choices":"none"}"#,
        r#"{"choices":{},"usage":""}"#,
        r#"{"choices":[{"index":0,"content_filter_results":{}}]}"#,
        &text,
        " [DONE] ",
    ]);

    assert_eq!(told, ["text a", "done"]);
    assert_eq!(error, None);
}

#[test]
fn an_event_that_is_named_so_is_an_error() {
    let mut decoder = ChatDecoder::new(&Dialect::default(), Framing::Sse);
    let frame = Frame {
        event: "error",
        data: r#"{"code":"overloaded"}"#,
    };

    let error = decoder.frame(frame, &mut Vec::new()).unwrap_err();

    assert_eq!(error.provider_code.as_deref(), Some("overloaded"));
}

#[test]
fn a_whole_body_is_an_answer_if_it_holds_one() {
    let cases: [(&str, &[&str], Option<UpstreamErrorKind>); 7] = [
        (
            "\n\n {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"message\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}",
            &["started c m", "text Hi", "finish Stop stop", "done"],
            None,
        ),
        (
            r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":null}]}"#,
            &["text Hi", "done"],
            None,
        ),
        (
            r#"{"choices":[{"finish_reason":"content_filter","content_filter_results":{}}]}"#,
            &["finish ContentFilter content_filter", "done"],
            None,
        ),
        // Calls of a whole body are whole, whatever their index and id.
        (
            r#"{"choices":[{"message":{"tool_calls":[{"index":0,"function":{"name":"f"}},{"index":0,"function":{"name":"g","arguments":"{}"}}]}}]}"#,
            &["call /f/", "call /g/", "arguments 1 {}", "done"],
            None,
        ),
        (
            r#"{"choices":[{"message":{"content":""},"finish_reason":""}]}"#,
            &[],
            Some(UpstreamErrorKind::Malformed),
        ),
        (r#"{"choices":[]}"#, &[], Some(UpstreamErrorKind::Malformed)),
        (r#"[]"#, &[], Some(UpstreamErrorKind::Malformed)),
    ];

    for (body, expected, error) in cases {
        let (told, kind) = whole(body);

        assert_eq!(told, expected, "{body}");
        assert_eq!(kind, error, "{body}");
    }
}

#[test]
fn signed_reasoning_is_handed_out_where_it_will_be_sent_back() {
    let openrouter = Dialect {
        reasoning_history: ReasoningHistory::ReasoningDetails,
        ..Dialect::default()
    };
    let frames = [
        chunk(
            r#"{"reasoning":"2 + ","reasoning_details":[{"type":"reasoning.text","text":"2 + ","index":0}]}"#,
        ),
        chunk(
            r#"{"reasoning":"2","reasoning_details":[{"type":"reasoning.text","text":"2","signature":"","index":0}]}"#,
        ),
        chunk(
            r#"{"reasoning_details":[{"type":"reasoning.text","text":"","signature":"s","index":0}]}"#,
        ),
        chunk(r#"{"reasoning_details":[{"type":"reasoning.encrypted","data":"d","index":1}]}"#),
        "[DONE]".to_owned(),
    ];
    let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
    let body = r#"{"choices":[{"message":{"reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm","signature":"s"}]}}]}"#;

    let (of_stream, _) = read(&openrouter, Framing::Sse, &frames);
    let (of_body, _) = read(&openrouter, Framing::Json, &[body]);
    let (of_openai, _) = read(&Dialect::default(), Framing::Sse, &frames);

    assert_eq!(
        of_stream.iter().map(told).collect::<Vec<_>>(),
        [
            "reasoning 2 + ",
            "reasoning 2",
            r#"signature {"type":"reasoning.text","signature":"s","index":0}"#,
            r#"signature {"type":"reasoning.encrypted","data":"d","index":1}"#,
            "done",
        ]
    );
    assert_eq!(
        of_body.iter().map(told).collect::<Vec<_>>(),
        [
            "reasoning hm",
            r#"signature {"type":"reasoning.text","text":"hm","signature":"s"}"#,
            "done",
        ]
    );
    assert_eq!(of_openai.len(), 3);
}

#[test]
fn what_is_handed_out_as_reasoning_is_what_goes_back() {
    use crate::chat::{ChatRequest, Message, Role};
    use crate::wire::{Recipient, WireFormat, openai_chat::OpenAiChat};
    let format = OpenAiChat {
        dialect: Dialect {
            reasoning_history: ReasoningHistory::ReasoningDetails,
            ..Dialect::default()
        },
    };
    let details = r#"[{"type":"reasoning.text","text":"2 + 2","signature":"s","index":0},{"type":"reasoning.encrypted","data":"d","index":1}]"#;
    let body = format!(
        r#"{{"choices":[{{"message":{{"content":"4","reasoning":"2 + 2","reasoning_details":{details}}}}}]}}"#
    );
    let (events, _) = read(&format.dialect, Framing::Json, &[&body]);
    let mut answer = Answer::default();
    for event in events {
        answer.apply(event);
    }
    for part in &mut answer.parts {
        if let Part::Reasoning(reasoning) = part {
            reasoning.provider = "primary".into();
        }
    }
    let request = ChatRequest {
        messages: vec![Message {
            role: Role::Assistant,
            parts: answer.parts,
        }],
        ..ChatRequest::default()
    };
    let to = Recipient {
        provider: "primary",
        model: "m",
        max_output_tokens: None,
        stream: false,
    };

    let spelled = format.encode(&request, &to).unwrap();

    let spelled: Value = serde_json::from_slice(&spelled.body).unwrap();
    let details: Value = serde_json::from_str(details).unwrap();
    assert_eq!(spelled["messages"][0]["reasoning_details"], details);
}

/// The result of a stream of these events, short enough for a table.
fn of_events(frames: &[&str]) -> Vec<String> {
    let (told, error) = streamed(frames);
    assert_eq!(error, None, "{frames:?}");
    told
}

#[test]
fn an_answer_in_the_message_of_an_event_is_read_where_no_delta_came() {
    let all_at_once =
        r#"{"choices":[{"message":{"content":"all at once"},"finish_reason":"stop"}]}"#;
    let repeated = r#"{"choices":[{"message":{"content":"ab"},"finish_reason":"stop"}]}"#;
    let beginning = r#"{"choices":[{"delta":{"content":"ab"}}]}"#;

    assert_eq!(
        of_events(&[all_at_once, "[DONE]"]),
        ["text all at once", "finish Stop stop", "done"]
    );
    assert_eq!(
        of_events(&[beginning, repeated, "[DONE]"]),
        ["text ab", "finish Stop stop", "done"]
    );
}

#[test]
fn an_error_that_says_nothing_is_none() {
    let errors = [
        r#"{"message":"","code":null}"#,
        r#"{"message":"","type":"","code":0}"#,
        "{}",
        "[]",
        "0",
        "false",
        r#""""#,
        "null",
    ];

    for error in errors {
        let event =
            r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}],"error":ERROR}"#
                .replace("ERROR", error);
        assert_eq!(
            of_events(&[&event, "[DONE]"]),
            ["text a", "finish Stop stop", "done"],
            "{error}"
        );
    }
}

#[test]
fn the_text_of_the_older_completions_api_is_read_where_nothing_else_is() {
    let piece = r#"{"choices":[{"text":"a","finish_reason":null}]}"#;
    let end = r#"{"choices":[{"text":"b","finish_reason":"stop"}]}"#;
    let beside = r#"{"choices":[{"delta":{"content":"a"},"text":"ab","finish_reason":"stop"}]}"#;

    assert_eq!(
        of_events(&[piece, end, "[DONE]"]),
        ["text a", "text b", "finish Stop stop", "done"]
    );
    assert_eq!(
        of_events(&[beside, "[DONE]"]),
        ["text a", "finish Stop stop", "done"]
    );
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

#[test]
fn hosts_have_words_of_their_own_for_an_end() {
    let ends = |reason: &str| {
        let event =
            format!(r#"{{"choices":[{{"delta":{{"content":"a"}},"finish_reason":"{reason}"}}]}}"#);
        read(&Dialect::default(), Framing::Sse, &[&event, "[DONE]"])
    };

    for (reason, expected) in [
        ("sensitive", FinishReason::ContentFilter),
        ("model_context_window_exceeded", FinishReason::MaxTokens),
    ] {
        let (events, _) = ends(reason);
        assert!(
            events.iter().any(
                |event| matches!(event, ChatEvent::Finish(finish) if finish.reason == expected)
            )
        );
    }
    let (_, end) = ends("network_error");
    assert_eq!(end.unwrap_err().kind, UpstreamErrorKind::ServerError);
}

#[test]
fn a_call_that_stands_in_both_fields_is_one_call() {
    let delta = r#"{"tool_calls":[{"index":0,"id":"1","function":{"name":"f","arguments":"{}"}}],"function_call":{"name":"f","arguments":"{}"}}"#;

    assert_eq!(of_deltas(&[delta]), ["call 1/f/", "arguments 0 {}"]);
}
