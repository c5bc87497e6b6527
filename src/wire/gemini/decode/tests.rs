//! Which events do answers in Gemini's format become?

use super::*;
use crate::chat::{Answer, Finish, Usage};
use crate::wire::Decoder as _;
use crate::wire::options::NO_OPTIONS;

/// Reads these events, then the end of the body.
fn streamed(events: &[&str]) -> (Vec<ChatEvent>, Result<(), UpstreamError>) {
    read(Framing::Sse, events)
}

/// Reads this body in one piece.
fn whole(body: &str) -> (Vec<ChatEvent>, Result<(), UpstreamError>) {
    read(Framing::Json, &[body])
}

fn read(framing: Framing, frames: &[&str]) -> (Vec<ChatEvent>, Result<(), UpstreamError>) {
    let mut decoder = Decoder::new(framing);
    let mut events = Vec::new();
    for data in frames {
        let frame = Frame { event: "", data };
        if let Err(failure) = decoder.frame(frame, &mut events) {
            return (events, Err(failure));
        }
    }
    let end = decoder.end(&mut events);
    (events, end)
}

fn parts(parts: &str) -> String {
    format!(r#"{{"candidates":[{{"content":{{"parts":[{parts}]}}}}]}}"#)
}

fn finish(reason: &str) -> String {
    format!(r#"{{"candidates":[{{"finishReason":{reason}}}]}}"#)
}

/// The events of a complete answer with these parts, without its finish and end.
fn of_parts(json: &str) -> Vec<ChatEvent> {
    let (mut events, end) = streamed(&[&parts(json), &finish("\"STOP\"")]);
    assert_eq!(end, Ok(()));
    events.retain(|event| !matches!(event, ChatEvent::Finish(_) | ChatEvent::Done));
    events
}

fn text(text: &str) -> ChatEvent {
    ChatEvent::Text(text.into())
}

fn signature(signature: &'static str) -> ChatEvent {
    ChatEvent::ReasoningSignature(Bytes::from_static(signature.as_bytes()))
}

fn begun(id: &str, name: &str, signature: &'static str) -> ChatEvent {
    ChatEvent::ToolCall {
        id: id.into(),
        name: name.into(),
        signature: Bytes::from_static(signature.as_bytes()),
    }
}

fn arguments(call: usize, fragment: &str) -> ChatEvent {
    ChatEvent::ToolArguments {
        call,
        fragment: fragment.into(),
    }
}

fn finished(reason: FinishReason, provider_reason: &str) -> ChatEvent {
    ChatEvent::Finish(Finish {
        reason,
        provider_reason: Some(provider_reason.into()),
        stop_sequence: None,
    })
}

fn kind(end: &Result<(), UpstreamError>) -> UpstreamErrorKind {
    end.as_ref().unwrap_err().kind
}

#[test]
fn parts_become_events() {
    for (json, events) in [
        (
            r#"{"text":"a\n"},{"text":""},{"text":"b"}"#,
            vec![text("a\n"), text("b")],
        ),
        (
            r#"{"text":"hm","thought":true,"thoughtSignature":"s\u003d"}"#,
            vec![ChatEvent::Reasoning("hm".into()), signature("s=")],
        ),
        (
            r#"{"text":"a","thoughtSignature":"s"},{"text":"","thoughtSignature":"t"}"#,
            vec![text("a"), signature("s"), signature("t")],
        ),
        (
            r#"{},{"inlineData":{}},{"executableCode":{},"thoughtSignature":"s"}"#,
            vec![],
        ),
        (
            r#"{"functionCall":{"id":"1","name":"f","args":{"a" : [1.50, " \" "]}},"thoughtSignature":"s"},{"functionCall":{"name":"g"}}"#,
            vec![
                begun("1", "f", "s"),
                arguments(0, r#"{"a":[1.50," \" "]}"#),
                begun("", "g", ""),
                arguments(1, "{}"),
            ],
        ),
        (r#"{"functionCall":{}}"#, vec![]),
        (
            r#"{"functionCall":{"args":null,"name":"f"}}"#,
            vec![begun("", "f", ""), arguments(0, "{}")],
        ),
    ] {
        assert_eq!(of_parts(json), events, "{json}");
    }
}

#[test]
fn a_response_may_lack_anything() {
    for missing in [
        "{}",
        r#"{"candidates":null}"#,
        r#"{"candidates":[]}"#,
        r#"{"candidates":[{"content":null}]}"#,
        r#"{"candidates":[{"content":{"role":"model"}}]}"#,
        r#"{"candidates":[{"finishReason":""}]}"#,
        r#"{"usageMetadata":{"trafficType":"ON_DEMAND"}}"#,
        r#"{"promptFeedback":{"safetyRatings":[]}}"#,
        r#"{"this":["is","new"]}"#,
    ] {
        let (events, end) = streamed(&[missing]);

        assert_eq!(events, [], "{missing}");
        assert_eq!(kind(&end), UpstreamErrorKind::Truncated, "{missing}");
    }
}

#[test]
fn text_goes_on_after_stop_and_the_last_reason_counts() {
    let first = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}"#;

    let (events, end) = streamed(&[first, &parts(r#"{"text":"b"}"#), &finish("\"MAX_TOKENS\"")]);

    assert_eq!(end, Ok(()));
    assert_eq!(
        events,
        [
            text("a"),
            finished(FinishReason::Stop, "STOP"),
            text("b"),
            finished(FinishReason::MaxTokens, "MAX_TOKENS"),
            ChatEvent::Done,
        ]
    );
}

#[test]
fn a_reason_says_the_end_only_where_earlier_pieces_had_none() {
    let text = parts(r#"{"text":"a"}"#);
    let last = r#"{"candidates":[{"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"}]}"#;
    let usage = r#"{"usageMetadata":{"promptTokenCount":1}}"#;
    for (events, expected) in [
        (vec![last], false),
        (vec![last, last], false),
        (vec![text.as_str()], false),
        (vec![text.as_str(), last], true),
        (vec![text.as_str(), last, usage], true),
        (vec![text.as_str(), last, text.as_str()], false),
    ] {
        let mut decoder = Decoder::new(Framing::Sse);
        for data in &events {
            let read = decoder.frame(Frame { event: "", data }, &mut Vec::new());
            assert_eq!(read, Ok(()));
        }

        assert_eq!(decoder.is_complete(), expected, "{events:?}");
    }
}

#[test]
fn finish_reasons_are_names_or_numbers() {
    for (json, reason, provider_reason) in [
        ("\"STOP\"", FinishReason::Stop, "STOP"),
        ("1", FinishReason::Stop, "1"),
        ("2", FinishReason::MaxTokens, "2"),
        ("3", FinishReason::ContentFilter, "3"),
        (
            "\"IMAGE_SAFETY\"",
            FinishReason::ContentFilter,
            "IMAGE_SAFETY",
        ),
        (
            "\"MALFORMED_FUNCTION_CALL\"",
            FinishReason::Other,
            "MALFORMED_FUNCTION_CALL",
        ),
        ("\"N\\u0045W\"", FinishReason::Other, "NEW"),
        ("-1", FinishReason::Other, "-1"),
    ] {
        let (events, _) = streamed(&[&finish(json)]);

        assert_eq!(events[0], finished(reason, provider_reason));
    }
}

#[test]
fn only_the_first_candidate_counts() {
    let response = r#"{"candidates":[
        {"index":1,"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"},
        {"content":{"parts":[{"text":"a"}]}},
        {"index":0,"content":{"parts":[{"text":"c"}]}}]}"#;

    let (events, end) = streamed(&[response]);

    assert_eq!(events, [text("a")]);
    assert_eq!(kind(&end), UpstreamErrorKind::Truncated);
}

#[test]
fn usage_adds_thoughts_and_tool_prompts() {
    let response = r#"{"usageMetadata":{"promptTokenCount":10,"toolUsePromptTokenCount":5,
        "candidatesTokenCount":3,"thoughtsTokenCount":4,"cachedContentTokenCount":2,
        "totalTokenCount":22}}"#;

    let (events, _) = streamed(&[response]);

    assert_eq!(
        events,
        [ChatEvent::Usage(Usage {
            input_tokens: 15,
            output_tokens: 7,
            cache_read_input_tokens: 2,
            reasoning_output_tokens: 4,
            ..Usage::default()
        })]
    );
}

#[test]
fn the_id_and_the_model_are_told_once() {
    let response = r#"{"responseId":"1","modelVersion":"m"}"#;
    let changed = r#"{"responseId":"2","modelVersion":"n"}"#;

    let (events, _) = streamed(&[response, response, changed]);

    let started = ChatEvent::Started {
        response_id: Some("1".into()),
        response_model: Some("m".into()),
    };
    assert_eq!(events, [started]);
}

#[test]
fn a_blocked_prompt_is_an_error_with_the_reason_as_its_code() {
    for (feedback, code) in [
        (r#"{"blockReason":"SAFETY"}"#, Some("SAFETY")),
        (r#"{"blockReason":1}"#, Some("1")),
        (r#"{"blockReasonMessage":"no"}"#, None),
    ] {
        let body = format!(r#"{{"promptFeedback":{feedback},"candidates":[]}}"#);

        for (events, end) in [streamed(&[&body]), whole(&body)] {
            let failure = end.unwrap_err();
            assert_eq!(events, []);
            assert_eq!(failure.kind, UpstreamErrorKind::ContentBlocked);
            assert_eq!(failure.status, Some(200));
            assert_eq!(failure.provider_code.as_deref(), code);
        }
    }
}

#[test]
fn an_error_in_band_ends_the_answer_even_after_a_finish_reason() {
    let error = r#"{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}"#;
    let in_array = format!("[{},{error}]", parts(r#"{"text":"a"}"#));
    for (events, end) in [
        streamed(&[&parts(r#"{"text":"a"}"#), error]),
        streamed(&[&parts(r#"{"text":"a"}"#), &format!("[{error}]")]),
        whole(&in_array),
    ] {
        assert_eq!(events, [text("a")]);
        assert_eq!(kind(&end), UpstreamErrorKind::Overloaded);
    }

    // As written by a gateway that does not know the format.
    let foreign = r#"{"code":401,"msg":"token expired or incorrect","success":false}"#;
    for (_, end) in [streamed(&[foreign]), whole(foreign)] {
        assert_eq!(kind(&end), UpstreamErrorKind::Authentication);
    }

    let (_, end) = streamed(&[&finish("\"STOP\""), error]);
    assert_eq!(kind(&end), UpstreamErrorKind::Overloaded);
}

#[test]
fn a_whole_body_needs_content_or_a_finish_reason() {
    let (events, end) = whole(&parts(r#"{"text":"a"}"#));
    assert_eq!(events, [text("a"), ChatEvent::Done]);
    assert_eq!(end, Ok(()));

    let (_, end) = whole(&finish("\"SAFETY\""));
    assert_eq!(end, Ok(()));

    for empty in ["{}", r#"{"candidates":[{"content":{"parts":[]}}]}"#] {
        let (_, end) = whole(empty);
        assert_eq!(kind(&end), UpstreamErrorKind::Malformed, "{empty}");
    }
}

#[test]
fn an_array_of_responses_is_read_as_far_as_it_goes() {
    let (first, last) = (parts(r#"{"text":"a"}"#), finish("\"STOP\""));

    let (events, end) = whole(&format!(" [{first},\n{last}]"));
    assert_eq!(
        events,
        [
            text("a"),
            finished(FinishReason::Stop, "STOP"),
            ChatEvent::Done
        ]
    );
    assert_eq!(end, Ok(()));

    for (cut, failure) in [
        (format!("[{first},"), UpstreamErrorKind::Truncated),
        (format!("[{first}]"), UpstreamErrorKind::Truncated),
        (format!("[{first},nonsense"), UpstreamErrorKind::Malformed),
        (format!("[{first}]nonsense"), UpstreamErrorKind::Malformed),
    ] {
        let (events, end) = whole(&cut);
        assert_eq!(events, [text("a")], "{cut}");
        assert_eq!(kind(&end), failure, "{cut}");
    }
}

#[test]
fn what_is_no_response_is_malformed() {
    let first = parts(r#"{"text":"a"}"#);
    for broken in [
        "nonsense",
        "{",
        "7",
        r#"{"candidates":[{"content":{"parts":[{"text":"b}]}}]}"#,
    ] {
        let (events, end) = streamed(&[&first, broken]);

        assert_eq!(events, [text("a")], "{broken}");
        assert_eq!(kind(&end), UpstreamErrorKind::Malformed, "{broken}");
    }
    let (_, end) = whole("");
    assert_eq!(kind(&end), UpstreamErrorKind::Truncated);
}

#[test]
fn streamed_arguments_come_when_the_call_is_complete() {
    let events = of_parts(
        r#"{"functionCall":{"name":"f","id":"1","willContinue":true},"thoughtSignature":"s"},
        {"functionCall":{"partialArgs":[{"jsonPath":"$.a","stringValue":"x","willContinue":true}],"willContinue":true}},
        {"text":"meanwhile"},
        {"functionCall":{"partialArgs":[{"jsonPath":"$.a","stringValue":"y"}],"willContinue":true}},
        {"functionCall":{}},
        {"functionCall":{"name":"g","partialArgs":[{"jsonPath":"$.b","boolValue":true}]}},
        {"functionCall":{"name":"h","willContinue":true}},
        {"functionCall":{"name":"i"}},
        {"functionCall":{"name":"j","args":{"a":1},"willContinue":true}}"#,
    );

    assert_eq!(
        events,
        [
            begun("1", "f", "s"),
            text("meanwhile"),
            arguments(0, r#"{"a":"xy"}"#),
            begun("", "g", ""),
            arguments(1, r#"{"b":true}"#),
            begun("", "h", ""),
            arguments(2, "{}"),
            begun("", "i", ""),
            arguments(3, "{}"),
            begun("", "j", ""),
            arguments(4, r#"{"a":1}"#),
        ]
    );
}

#[test]
fn streamed_arguments_that_break_off_are_no_valid_json() {
    let open = parts(
        r#"{"functionCall":{"name":"f","partialArgs":[{"jsonPath":"$.a","stringValue":"x","willContinue":true}],"willContinue":true}}"#,
    );

    for (events, _) in [streamed(&[&open]), streamed(&[&open, "nonsense"])] {
        assert_eq!(events, [begun("", "f", ""), arguments(0, r#"{"a":"x"#)]);
    }
}

#[test]
fn signatures_survive_the_way_to_the_caller_and_back() {
    use crate::chat::{ChatRequest, Message, Part as ChatPart, Role};
    use crate::wire::gemini::Gemini;
    use crate::wire::{Recipient, WireFormat};
    let parts_as_sent = concat!(
        r#"{"text":"hm","thought":true,"thoughtSignature":"A"},{"text":"so"},"#,
        r#"{"text":"","thoughtSignature":"B"},"#,
        r#"{"functionCall":{"id":"1","name":"f","args":{"a":1}},"thoughtSignature":"C"}"#
    );
    let mut answer = Answer::default();
    for event in of_parts(parts_as_sent) {
        answer.apply(event);
    }
    for part in &mut answer.parts {
        match part {
            ChatPart::Reasoning(reasoning) => reasoning.provider = "gemini".into(),
            ChatPart::ToolCall(call) => call.provider = "gemini".into(),
            _ => {}
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
        provider: "gemini",
        model: "gemini-3-pro",
        max_output_tokens: None,
        stream: true,
        options: &NO_OPTIONS,
    };
    let written = Gemini::default().encode(&request, &to).unwrap();

    assert_eq!(written.adaptations, []);
    assert_eq!(
        String::from_utf8(written.body.to_vec()).unwrap(),
        format!(r#"{{"contents":[{{"role":"model","parts":[{parts_as_sent}]}}]}}"#)
    );
}
