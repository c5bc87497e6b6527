//! How do blocks that only the provider understands come out, whole and streamed?

use serde_json::{Value, json};

use super::*;
use crate::chat::{ProviderPart, ProviderToolUsage, ServedTier, ServiceTier, Usage};
use crate::error::UpstreamErrorKind;

fn start(index: u64, block: &str) -> String {
    format!(r#"{{"type":"content_block_start","index":{index},"content_block":{block}}}"#)
}

fn delta(index: u64, delta: &str) -> String {
    format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#)
}

fn stop(index: u64) -> String {
    format!(r#"{{"type":"content_block_stop","index":{index}}}"#)
}

const END: &str = r#"{"type":"message_stop"}"#;

/// Kind and content of the parts of an answer that holds nothing else.
fn provided(events: Vec<ChatEvent>) -> Vec<(String, Value)> {
    let read = |part| match part {
        Part::Provider(ProviderPart { kind, content, .. }) => {
            (kind, serde_json::from_str(&content).expect("JSON"))
        }
        other => panic!("{other:?} is not the provider's"),
    };
    answer(events).parts.into_iter().map(read).collect()
}

#[test]
fn a_stream_gives_them_at_their_end_as_the_whole_answer_has_them() {
    let data = [
        start(
            0,
            r#"{"type":"server_tool_use","id":"s1","name":"web_search","input":{},"caller":{"type":"direct"}}"#,
        ),
        delta(0, r#"{"type":"input_json_delta","partial_json":""}"#),
        delta(
            0,
            r#"{"type":"input_json_delta","partial_json":"{\"query\": \"é"}"#,
        ),
        delta(0, r#"{"type":"input_json_delta","partial_json":"\"}"}"#),
        stop(0),
        start(
            1,
            r#"{"type":"web_search_tool_result","tool_use_id":"s1","content":[{"encrypted_content":"E"}]}"#,
        ),
        stop(1),
        start(2, r#"{"type":"compaction","content":null}"#),
        delta(
            2,
            r#"{"type":"compaction_delta","content":"so ","encrypted_content":"X"}"#,
        ),
        delta(2, r#"{"type":"compaction_delta","content":"far"}"#),
        stop(2),
        start(3, r#"{"type":"hologram","size":1}"#),
        delta(3, r#"{"type":"hologram_delta","size":2,"of":[1]}"#),
        END.into(),
    ];
    let content = json!([
        {"type":"server_tool_use","id":"s1","name":"web_search","input":{"query":"é"},"caller":{"type":"direct"}},
        {"type":"web_search_tool_result","tool_use_id":"s1","content":[{"encrypted_content":"E"}]},
        {"type":"compaction","content":"so far","encrypted_content":"X"},
        {"type":"hologram","size":2,"of":[1]},
    ]);
    let whole = json!({ "content": content, "stop_reason": "end_turn" }).to_string();

    for (events, end) in [stream(&data), read(Framing::Json, &whole)] {
        assert_eq!(end, Ok(()));
        let parts = provided(events);
        let kinds: Vec<_> = parts.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(
            kinds,
            [
                "server_tool_use",
                "web_search_tool_result",
                "compaction",
                "hologram"
            ]
        );
        let contents: Vec<_> = parts.into_iter().map(|(_, content)| content).collect();
        assert_eq!(Value::Array(contents), content);
    }
}

#[test]
fn a_whole_block_is_kept_as_it_is_written() {
    let written = r#"{"type":"x_tool_result", "n":1.0 , "text":"\u00e9"}"#;
    let whole = format!(r#"{{"content":[{written}],"stop_reason":"end_turn"}}"#);
    let streamed = [start(0, written), stop(0), END.into()];

    for events in [read(Framing::Json, &whole).0, stream(&streamed).0] {
        let Part::Provider(part) = &answer(events).parts[0] else {
            panic!("no part of the provider");
        };
        assert_eq!(part.content, written);
    }
}

#[test]
fn a_block_that_breaks_off_is_no_part_and_an_input_that_is_no_json_is_told() {
    let begun = start(0, r#"{"type":"server_tool_use","id":"s","input":{"a":1}}"#);
    let broken = delta(0, r#"{"type":"input_json_delta","partial_json":"{\"q"}"#);

    let (events, end) = stream(&[&begun, &broken]);
    assert_eq!(end.unwrap_err().kind, UpstreamErrorKind::Truncated);
    assert_eq!(answer(events).parts, []);

    let (events, end) = stream(&[begun, broken, stop(0), END.into()]);
    assert_eq!(end, Ok(()));
    assert_eq!(events[0], ChatEvent::LeftOut("content.input".into()));
    assert_eq!(provided(events)[0].1["input"], json!({"a":1}));
}

#[test]
fn blocks_of_the_provider_have_room_for_32_mib_and_few_fields() {
    let text = "x".repeat(1 << 20);
    let piece = delta(
        0,
        &json!({ "type": "x_delta", "content": text }).to_string(),
    );
    let mut data = vec![start(0, r#"{"type":"x"}"#)];
    data.extend(std::iter::repeat_n(piece, 33));
    let (_, end) = stream(&data);
    assert_eq!(end.unwrap_err().kind, UpstreamErrorKind::Malformed);

    let mut data = vec![start(0, r#"{"type":"x"}"#)];
    data.extend((0..100).map(|n| delta(0, &format!(r#"{{"type":"d","f{n}":"v"}}"#))));
    data.extend([stop(0), END.into()]);
    let (events, end) = stream(&data);
    assert_eq!(end, Ok(()));
    assert!(events.contains(&ChatEvent::LeftOut("content.delta".into())));
    assert_eq!(provided(events)[0].1.as_object().unwrap().len(), 17);
}

#[test]
fn halves_of_characters_in_them_are_replaced() {
    let whole = r#"{"content":[{"type":"x","a":"\ud83d"}],"stop_reason":"end_turn"}"#;

    let parts = provided(read(Framing::Json, whole).0);

    assert_eq!(parts[0].1["a"], "\u{FFFD}");
}

/// A paused answer is appended to the conversation, and its provider continues it.
#[test]
fn a_paused_answer_is_sent_back_unchanged() {
    let content = r#"[{"type":"text","text":"let me see"},{"type":"server_tool_use","id":"s1","name":"web_search","input":{"query":"x"}}]"#;
    let whole = format!(r#"{{"content":{content},"stop_reason":"pause_turn"}}"#);
    let mut parts = answer(read(Framing::Json, &whole).0).parts;
    for part in &mut parts {
        if let Part::Provider(part) = part {
            part.provider = TO.provider.into();
        }
    }
    let mut next = hello();
    next.messages.push(message(Role::Assistant, parts));

    let sent = ADAPTIVE.encode(&next, &TO).expect("it is supported");

    let body = std::str::from_utf8(&sent.body).unwrap();
    assert!(body.contains(content), "{body}");
    assert_eq!(sent.adaptations, []);
}

/// Code that the model runs calls a tool of the caller: the result must name the code again.
#[test]
fn a_call_that_code_has_made_is_sent_back_with_its_caller() {
    let content = r#"[{"type":"tool_use","id":"toolu_1","name":"f","input":{},"caller":{"type":"code_execution_20260120","tool_id":"s1"}},{"type":"tool_use","id":"toolu_2","name":"f","input":{}}]"#;
    let direct = r#""input":{},"caller":{"type":"direct"}}]"#;
    let read_content = content.replace(r#""input":{}}]"#, direct);
    let whole = format!(r#"{{"content":{read_content},"stop_reason":"tool_use"}}"#);
    let mut parts = answer(read(Framing::Json, &whole).0).parts;
    for part in &mut parts {
        if let Part::ToolCall(call) = part {
            call.provider = TO.provider.into();
        }
    }
    let mut next = hello();
    next.messages.push(message(Role::Assistant, parts));

    let sent = ADAPTIVE.encode(&next, &TO).expect("it is supported");

    let body = std::str::from_utf8(&sent.body).unwrap();
    assert!(body.contains(content), "{body}");
    assert_eq!(sent.adaptations, []);
}

#[test]
fn usage_tells_long_writes_to_the_cache_tools_of_the_provider_and_the_tier() {
    let begin = r#"{"type":"message_start","message":{"usage":{"input_tokens":10,"cache_creation_input_tokens":7,
        "cache_creation":{"ephemeral_5m_input_tokens":3,"ephemeral_1h_input_tokens":4},"service_tier":"priority"}}}"#;
    let code = start(
        0,
        r#"{"type":"server_tool_use","name":"bash_code_execution"}"#,
    );
    let finish = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},
        "usage":{"output_tokens":5,"server_tool_use":{"web_search_requests":2,"web_fetch_requests":1}}}"#;
    let streamed = [
        begin.replace('\n', ""),
        code,
        stop(0),
        finish.replace('\n', ""),
        END.into(),
    ];
    let whole = r#"{"content":[{"type":"server_tool_use","name":"bash_code_execution"}],"stop_reason":"end_turn",
        "usage":{"input_tokens":10,"cache_creation_input_tokens":7,"cache_creation":{"ephemeral_1h_input_tokens":4},
        "service_tier":"priority","output_tokens":5,
        "server_tool_use":{"web_search_requests":2,"web_fetch_requests":1}}}"#;

    for events in [stream(&streamed).0, read(Framing::Json, whole).0] {
        assert_eq!(
            answer(events).usage,
            Some(Usage {
                input_tokens: Some(17),
                output_tokens: Some(5),
                cache_write_input_tokens: Some(7),
                cache_write_long_input_tokens: Some(4),
                provider_tools: ProviderToolUsage {
                    web_searches: 2,
                    web_fetches: 1,
                    code_executions: 1,
                    file_searches: 0,
                },
                service_tier: Some(ServedTier::Known(ServiceTier::Priority)),
                ..Usage::default()
            })
        );
    }
}
