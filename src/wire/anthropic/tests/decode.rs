//! How are odd answers read? Recordings of usual ones are tested by the target `replay`.

use super::*;
use crate::chat::{Finish, FinishReason, Usage};
use crate::error::UpstreamErrorKind;

const START: &str = r#"{"type":"message_start","message":{"id":"msg_1","model":"claude-1","usage":{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":1}}}"#;
const TEXT: &str =
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}"#;
const TEXT_START: &str =
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
const STOP_REASON: &str = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":7}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

fn block(index: u64, block: &str) -> String {
    format!(r#"{{"type":"content_block_start","index":{index},"content_block":{block}}}"#)
}

fn delta(index: u64, delta: &str) -> String {
    format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#)
}

fn block_stop(index: u64) -> String {
    format!(r#"{{"type":"content_block_stop","index":{index}}}"#)
}

/// Id and arguments of the tool calls of an answer that holds nothing else.
fn calls(events: Vec<ChatEvent>) -> Vec<(String, String)> {
    let call = |part| match part {
        Part::ToolCall(call) => (call.id, call.arguments),
        other => panic!("{other:?} is no tool call"),
    };
    answer(events).parts.into_iter().map(call).collect()
}

fn kind(end: Result<(), UpstreamError>) -> UpstreamErrorKind {
    end.expect_err("it is no whole answer").kind
}

#[test]
fn a_stream_gives_its_events_in_order() {
    let (events, end) = stream(&[
        START,
        r#"{"type":"ping"}"#,
        TEXT_START,
        TEXT,
        STOP_REASON,
        STOP,
    ]);

    let usage = |output_tokens| {
        ChatEvent::Usage(Box::new(Usage {
            input_tokens: Some(15),
            output_tokens,
            cache_read_input_tokens: Some(5),
            ..Usage::default()
        }))
    };
    assert_eq!(end, Ok(()));
    assert_eq!(
        events,
        [
            ChatEvent::Started {
                response_id: Some("msg_1".into()),
                response_model: Some("claude-1".into()),
            },
            usage(Some(1)),
            ChatEvent::Text("hi".into()),
            ChatEvent::Finish(Finish {
                reason: FinishReason::Stop,
                provider_reason: Some("end_turn".into()),
                stop_sequence: None,
            }),
            usage(Some(7)),
            ChatEvent::Done,
        ]
    );
}

#[test]
fn the_end_of_the_body_is_an_end_only_after_a_stop_reason() {
    let (events, end) = stream(&[START, TEXT_START, TEXT, STOP_REASON]);
    assert_eq!(end, Ok(()));
    assert_eq!(events.last(), Some(&ChatEvent::Done));

    let unnamed = r#"{"type":"message_delta","delta":{"stop_reason":null}}"#;
    for data in [
        &[START][..],
        &[START, TEXT_START, TEXT],
        &[START, unnamed],
        &[],
    ] {
        let (events, end) = stream(data);
        assert_eq!(kind(end), UpstreamErrorKind::Truncated);
        assert!(!events.contains(&ChatEvent::Done));
    }
}

#[test]
fn a_second_start_is_harmless_only_before_the_first_block() {
    let second = START.replace("msg_1", "msg_2");
    let (events, end) = stream(&[START, &second, TEXT_START, TEXT, STOP_REASON, STOP]);
    assert_eq!(end, Ok(()));
    assert_eq!(answer(events).response_id.as_deref(), Some("msg_1"));

    let (events, end) = stream(&[START, TEXT_START, &second, TEXT, STOP]);
    assert_eq!(kind(end), UpstreamErrorKind::Malformed);
    assert_eq!(answer(events).parts, []);
}

#[test]
fn events_that_are_no_json_are_malformed_and_unknown_ones_nothing() {
    for broken in [
        "<html>",
        "[]",
        "7",
        r#"{"type":"content_block_delta","index":0"#,
    ] {
        let (_, end) = read(Framing::Sse, &format!("data: {broken}\n\n"));
        assert_eq!(kind(end), UpstreamErrorKind::Malformed, "{broken}");
    }

    for nothing in ["", "[DONE]"] {
        let (_, end) = read(Framing::Sse, &format!("data: {nothing}\n\n"));
        assert_eq!(kind(end), UpstreamErrorKind::Truncated, "{nothing}");
    }

    let news = r#"{"type":"news","delta":"soon","usage":[],"index":null}"#;
    let (events, end) = stream(&[START, news, TEXT_START, TEXT, STOP_REASON, STOP]);
    assert_eq!(end, Ok(()));
    assert_eq!(answer(events).parts, [text("hi")]);
}

#[test]
fn an_event_without_a_type_has_the_type_of_its_name() {
    let body = concat!(
        "event: content_block_delta\n",
        "data: {\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hi\"}}\n\n",
        "event: message_stop\ndata: {}\n\n",
    );

    let (events, end) = read(Framing::Sse, body);

    assert_eq!(end, Ok(()));
    assert_eq!(events, [ChatEvent::Text("hi".into()), ChatEvent::Done]);
}

#[test]
fn errors_in_band_end_the_answer() {
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let unnamed = r#"{"error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    for data in [
        &[error][..],
        &[unnamed],
        &[START, TEXT_START, TEXT, error],
        &[START, TEXT_START, TEXT, STOP_REASON, error],
    ] {
        let (events, end) = stream(data);
        assert_eq!(kind(end), UpstreamErrorKind::Overloaded);
        assert!(!events.contains(&ChatEvent::Done));
    }
    for body in [error, unnamed] {
        let (events, end) = read(Framing::Json, body);
        assert_eq!(kind(end), UpstreamErrorKind::Overloaded);
        assert_eq!(events, []);
    }
    // As written by a gateway that does not know the format.
    let foreign = r#"{"code":401,"msg":"token expired or incorrect","success":false}"#;
    for end in [stream(&[foreign]).1, read(Framing::Json, foreign).1] {
        assert_eq!(kind(end), UpstreamErrorKind::Authentication);
    }
    for empty in [r#"{"type":"error"}"#, r#"{"type":"error","error":null}"#] {
        assert!(stream(&[empty]).1.is_err());
        assert!(read(Framing::Json, empty).1.is_err());
    }
}

#[test]
fn the_arguments_of_a_call_are_its_pieces_or_the_input_of_its_start() {
    let start = |input: &str| {
        block(
            3,
            &format!(r#"{{"type":"tool_use","id":"toolu_1","name":"weather"{input}}}"#),
        )
    };
    let piece = |json: &str| {
        delta(
            3,
            &serde_json::json!({ "type": "input_json_delta", "partial_json": json }).to_string(),
        )
    };
    let city = r#"{"city":"Bonn"}"#;
    let table: [(&str, &[String], &str); 6] = [
        (
            r#","input":{}"#,
            &[piece(""), piece(r#"{"city""#), piece(r#":"Bonn"}"#)],
            city,
        ),
        (r#","input":{"city":"Bonn"}"#, &[], city),
        (r#","input":{"city":"Rome"}"#, &[piece(city)], city),
        (r#","input":{}"#, &[piece("")], "{}"),
        (r#","input":null"#, &[], "{}"),
        ("", &[], "{}"),
    ];
    for (input, pieces, expected) in table {
        let start = start(input);
        let stop = block_stop(3);
        let mut data = vec![START, start.as_str()];
        data.extend(pieces.iter().map(String::as_str));
        data.extend([stop.as_str(), STOP]);

        let (events, end) = stream(&data);

        assert_eq!(end, Ok(()));
        assert_eq!(calls(events), [("toolu_1".into(), expected.into())]);
    }
}

#[test]
fn a_call_that_breaks_off_has_the_arguments_that_had_arrived() {
    let error = r#"{"type":"error","error":{"type":"overloaded_error"}}"#.to_owned();
    let bare = block(0, r#"{"type":"tool_use","id":"a","name":"f","input":{}}"#);
    let whole = block(
        1,
        r#"{"type":"tool_use","id":"b","name":"f","input":{"x":1}}"#,
    );

    for data in [vec![&bare, &whole], vec![&bare, &whole, &error]] {
        let (events, end) = stream(&data);

        assert!(end.is_err());
        let expected = [("a", ""), ("b", r#"{"x":1}"#)];
        assert_eq!(
            calls(events),
            expected.map(|(id, json)| (id.into(), json.into()))
        );
    }
}

#[test]
fn interleaved_blocks_keep_apart() {
    let data = [
        block(0, r#"{"type":"tool_use","id":"a","name":"f","input":{}}"#),
        block(1, r#"{"type":"tool_use","id":"b","name":"g","input":{}}"#),
        delta(1, r#"{"type":"input_json_delta","partial_json":"{\"y\":"}"#),
        delta(
            0,
            r#"{"type":"input_json_delta","partial_json":"{\"x\":1}"}"#,
        ),
        delta(1, r#"{"type":"input_json_delta","partial_json":"2}"}"#),
        STOP.into(),
    ];

    let (events, _) = stream(&data);

    let expected = [("a", r#"{"x":1}"#), ("b", r#"{"y":2}"#)];
    assert_eq!(
        calls(events),
        expected.map(|(id, json)| (id.into(), json.into()))
    );
}

#[test]
fn the_inputs_of_open_calls_have_room_for_32_mib() {
    let begin = |index, length| {
        let input = "x".repeat(length);
        let call =
            format!(r#"{{"type":"tool_use","id":"a","name":"f","input":{{"a":"{input}"}}}}"#);
        block(index, &call)
    };
    let frames: Vec<String> = (0..33).map(|index| begin(index, 1 << 20)).collect();
    let (_, end) = stream(&frames);
    assert_eq!(kind(end), UpstreamErrorKind::Malformed);

    let stopped = (0..33).flat_map(|index| [begin(index, 1 << 20), block_stop(index)]);
    let mut frames: Vec<String> = stopped.collect();
    frames.extend([STOP_REASON.to_owned(), STOP.to_owned()]);
    let (_, end) = stream(&frames);
    assert_eq!(end, Ok(()));
}

#[test]
fn what_has_no_place_in_an_answer_is_told() {
    let data = [
        block(0, "{}"),
        block_stop(0),
        block(1, r#"{"sound":"x"}"#),
        block_stop(1),
        block(2, r#"{"type":"text","text":"a"}"#),
        delta(2, r#"{"type":"hum_delta","hum":"x"}"#),
        delta(2, "{}"),
        delta(2, r#"{"type":"text_delta","text":""}"#),
        delta(2, r#"{"type":"text_delta","text":"b"}"#),
        STOP.into(),
    ];

    let (events, end) = stream(&data);

    assert_eq!(end, Ok(()));
    assert_eq!(
        events,
        [
            ChatEvent::LeftOut("content".into()),
            ChatEvent::Text("a".into()),
            ChatEvent::LeftOut("content.delta".into()),
            ChatEvent::Text("b".into()),
            ChatEvent::Done
        ]
    );
}

#[test]
fn a_whole_answer_without_content_needs_a_stop_reason() {
    for body in [
        "{}",
        r#"{"type":"message","content":[],"stop_reason":null}"#,
        "",
        "[",
        "<html>",
    ] {
        assert_eq!(
            kind(read(Framing::Json, body).1),
            UpstreamErrorKind::Malformed
        );
    }
    let body = r#"{"type":"message","content":[],"stop_reason":"refusal"}"#;
    let (events, end) = read(Framing::Json, body);
    assert_eq!(end, Ok(()));
    assert_eq!(
        answer(events).finish_reason(),
        Some(FinishReason::ContentFilter)
    );
}

#[test]
fn stop_reasons_read_as_ours() {
    let table = [
        ("end_turn", FinishReason::Stop),
        ("stop_sequence", FinishReason::Stop),
        ("max_tokens", FinishReason::MaxTokens),
        ("model_context_window_exceeded", FinishReason::MaxTokens),
        ("tool_use", FinishReason::ToolCalls),
        ("refusal", FinishReason::ContentFilter),
        ("pause_turn", FinishReason::Other),
        ("bored", FinishReason::Other),
    ];
    for (word, reason) in table {
        let body = format!(
            r#"{{"content":[],"stop_reason":"{word}","stop_sequence":"END","usage":{{"output_tokens":2,"output_tokens_details":{{"thinking_tokens":1}}}}}}"#
        );

        let answer = answer(read(Framing::Json, &body).0);

        assert_eq!(
            answer.beside.finish,
            Some(Finish {
                reason,
                provider_reason: Some(word.into()),
                stop_sequence: Some("END".into()),
            })
        );
        assert_eq!(
            answer.usage.expect("usage").reasoning_output_tokens,
            Some(1)
        );
    }
}

/// The content of an answer is sent back in the next request unchanged, byte for byte.
#[test]
fn an_answer_with_thinking_and_a_tool_call_is_replayed_unchanged() {
    let content = r#"[{"type":"thinking","thinking":"I \"need\"\nit","signature":"EqQB+/=="},{"type":"redacted_thinking","data":"EmwKAh"},{"type":"text","text":"ü"},{"type":"tool_use","id":"toolu_01A","name":"weather","input":{"z": 1.0, "a":"é"}}]"#;
    let whole = format!(r#"{{"content":{content},"stop_reason":"tool_use"}}"#);
    let data = [
        block(0, r#"{"type":"thinking","thinking":"","signature":""}"#),
        delta(0, r#"{"type":"thinking_delta","thinking":"I \"ne"}"#),
        delta(0, r#"{"type":"thinking_delta","thinking":"ed\"\nit"}"#),
        delta(0, r#"{"type":"signature_delta","signature":"EqQB+/=="}"#),
        block_stop(0),
        block(1, r#"{"type":"redacted_thinking","data":"EmwKAh"}"#),
        block_stop(1),
        block(2, r#"{"type":"text","text":""}"#),
        delta(2, r#"{"type":"text_delta","text":"ü"}"#),
        block_stop(2),
        block(
            3,
            r#"{"type":"tool_use","id":"toolu_01A","name":"weather","input":{}}"#,
        ),
        delta(
            3,
            r#"{"type":"input_json_delta","partial_json":"{\"z\": 1.0, \"a\":\"é\"}"}"#,
        ),
        block_stop(3),
        STOP.into(),
    ];

    for events in [read(Framing::Json, &whole).0, stream(&data).0] {
        let mut parts = answer(events).parts;
        for part in &mut parts {
            if let Part::Reasoning(reasoning) = part {
                reasoning.provider = TO.provider.into();
            }
        }
        let next = request(vec![
            message(Role::User, vec![text("weather?")]),
            message(Role::Assistant, parts),
        ]);

        let sent = BUDGET.encode(&next, &TO).expect("it is supported");

        let sent_text = std::str::from_utf8(&sent.body).expect("UTF-8");
        assert!(sent_text.contains(content), "{sent_text}");
        assert_eq!(sent.adaptations, []);
    }
}
