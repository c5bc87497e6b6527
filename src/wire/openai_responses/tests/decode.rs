//! How are odd answers read? Recordings of usual ones are tested by the target `replay`.

use serde_json::{Value, json};

use super::*;
use crate::chat::{
    Citation, FinishReason, MediaSource, ProviderPart, Reasoning, ServedTier, ServiceTier,
    ToolCall, Usage,
};
use crate::error::UpstreamErrorKind;

const COMPLETED: &str =
    r#"{"type":"response.completed","response":{"status":"completed","output":[]}}"#;

fn delta(kind: &str, index: u64, delta: &str) -> String {
    let kind = format!("response.{kind}.delta");
    json!({"type": kind, "output_index": index, "delta": delta}).to_string()
}

fn said(index: u64, text: &str) -> String {
    delta("output_text", index, text)
}

fn item(stage: &str, index: u64, item: Value) -> String {
    let kind = format!("response.output_item.{stage}");
    json!({"type": kind, "output_index": index, "item": item}).to_string()
}

fn message_item(id: &str, text: &str) -> Value {
    let content = json!([{"type": "output_text", "text": text}]);
    json!({"type": "message", "id": id, "content": content})
}

fn completed(output: Value) -> String {
    let response = json!({"status": "completed", "output": output});
    json!({"type": "response.completed", "response": response}).to_string()
}

fn parts(data: &[impl AsRef<str>]) -> Vec<Part> {
    let (events, end) = stream(data);
    assert_eq!(end, Ok(()));
    answer(events).parts
}

fn failure(data: &[impl AsRef<str>]) -> (Vec<Part>, UpstreamErrorKind) {
    let (events, end) = stream(data);
    (answer(events).parts, end.expect_err("no whole answer").kind)
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        ..ToolCall::default()
    })
}

#[test]
fn everything_that_is_said_several_times_is_passed_on_once() {
    let whole = message_item("m", "Hello");
    let part = json!({"type": "response.content_part.done", "output_index": 0, "content_index": 0, "part": {"type": "output_text", "text": "Hello"}});
    let done = json!({"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "Hello"});

    let parts = parts(&[
        item(
            "added",
            0,
            json!({"type": "message", "id": "m", "content": []}),
        ),
        said(0, "Hel"),
        said(0, "lo"),
        done.to_string(),
        part.to_string(),
        item("done", 0, whole.clone()),
        completed(json!([whole])),
    ]);

    assert_eq!(parts, [text("Hello")]);
}

#[test]
fn what_the_pieces_lack_comes_from_what_follows_them() {
    let whole = message_item("m", "Hello");
    let done = json!({"type": "response.output_text.done", "output_index": 0, "text": "Hello"});
    for data in [
        vec![said(0, "Hel"), done.to_string(), COMPLETED.to_owned()],
        vec![
            said(0, "Hel"),
            item("done", 0, whole.clone()),
            COMPLETED.to_owned(),
        ],
        vec![said(0, "Hel"), completed(json!([whole.clone()]))],
        vec![completed(json!([whole.clone()]))],
        vec![item("done", 0, whole.clone()), COMPLETED.to_owned()],
        // No event has a number, and every event another id.
        vec![
            json!({"type": "response.output_text.delta", "item_id": "a", "delta": "Hel"})
                .to_string(),
            json!({"type": "response.output_text.delta", "item_id": "b", "delta": "lo"})
                .to_string(),
            json!({"type": "response.output_item.done", "item": message_item("c", "Hello")})
                .to_string(),
            completed(json!([message_item("d", "Hello")])),
        ],
        // The pieces come before their item.
        vec![
            said(0, "Hello"),
            item("added", 0, json!({"type": "message", "id": "m"})),
            item("done", 0, whole.clone()),
            completed(json!([whole])),
        ],
    ] {
        assert_eq!(parts(&data), [text("Hello")], "{data:?}");
    }
}

#[test]
fn items_keep_their_texts_apart_whatever_they_are_counted_by() {
    let by_id = |id: &str, delta: &str| {
        json!({"type": "response.output_text.delta", "item_id": id, "delta": delta}).to_string()
    };
    let parts = parts(&[
        item("added", 0, json!({"type": "message", "id": "a"})),
        said(0, "One."),
        item("done", 0, message_item("a", "One.")),
        // A host that gives every item the same number.
        item("added", 0, json!({"type": "message", "id": "b"})),
        by_id("b", "Two."),
        item("done", 0, message_item("b", "Two.")),
        completed(json!([
            message_item("a", "One."),
            message_item("b", "Two.")
        ])),
    ]);

    assert_eq!(parts, [text("One.Two.")]);
}

#[test]
fn a_text_that_its_host_corrects_stays_as_it_was_passed_on() {
    let corrected = completed(json!([message_item("m", "Good bye")]));

    assert_eq!(parts(&[said(0, "Hello"), corrected]), [text("Hello")]);
}

#[test]
fn lost_events_are_an_error_only_if_the_answer_lacks_what_they_said() {
    let numbered = |number: u64, event: &str| {
        let mut event: Value = serde_json::from_str(event).unwrap();
        event["sequence_number"] = json!(number);
        event.to_string()
    };
    let end = completed(json!([message_item("m", "one two three")]));
    let (one, two, three) = (said(0, "one "), said(0, "two "), said(0, "three"));

    let lost_in_the_middle = [numbered(0, &one), numbered(2, &three), numbered(3, &end)];
    let lost_at_the_end = [numbered(0, &one), numbered(1, &two), numbered(3, &end)];
    let repeated = [
        numbered(0, &one),
        numbered(1, &two),
        numbered(0, &one),
        numbered(1, &two),
        numbered(2, &three),
        numbered(3, &end),
    ];

    let (kept, kind) = failure(&lost_in_the_middle);
    assert_eq!(kind, UpstreamErrorKind::Malformed);
    assert_eq!(kept, [text("one three")]);
    assert_eq!(parts(&lost_at_the_end), [text("one two three")]);
    assert_eq!(parts(&repeated), [text("one two three")]);
}

#[test]
fn reasoning_keeps_what_it_needs_to_be_sent_back() {
    let summary = |index: u64, delta: &str| {
        let kind = "response.reasoning_summary_text.delta";
        json!({"type": kind, "output_index": 0, "summary_index": index, "delta": delta}).to_string()
    };
    let whole = json!({
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}],
        "encrypted_content": "gAAA",
    });
    let token = r#"{"id":"rs_1","encrypted":"gAAA","summary":[4,4]}"#;
    let expected = Part::Reasoning(Reasoning {
        text: "One.Two.".to_owned(),
        signature: token.into(),
        provider: String::new(),
    });

    let streamed = parts(&[
        summary(0, "One."),
        summary(1, "Two."),
        item("done", 0, whole.clone()),
        said(1, "Hi"),
        completed(json!([whole, message_item("m", "Hi")])),
    ]);
    let body = json!({"status": "completed", "output": [whole, message_item("m", "Hi")]});
    let (events, end) = read(Framing::Json, &body.to_string());

    assert_eq!(end, Ok(()));
    assert_eq!(streamed, [expected.clone(), text("Hi")]);
    assert_eq!(answer(events).parts, [expected, text("Hi")]);
}

#[test]
fn reasoning_without_any_text_and_token_is_nothing() {
    let empty = json!({"type": "reasoning", "id": "rs_1", "summary": []});

    assert_eq!(
        parts(&[item("done", 0, empty.clone()), completed(json!([empty]))]),
        []
    );
}

#[test]
fn calls_are_announced_with_id_and_name_and_completed() {
    let head =
        json!({"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": ""});
    let nameless = json!({"type": "function_call", "id": "fc", "arguments": ""});
    let whole = json!({"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "{\"a\":1}"});
    let object =
        json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": {"a": 1}});
    let piece = |text: &str| delta("function_call_arguments", 0, text);
    for data in [
        vec![
            item("added", 0, head.clone()),
            piece("{\"a\""),
            piece(":1}"),
            item("done", 0, whole.clone()),
            completed(json!([whole.clone()])),
        ],
        vec![
            item("added", 0, head.clone()),
            completed(json!([whole.clone()])),
        ],
        vec![
            item("added", 0, nameless.clone()),
            piece("{\"a\":1"),
            item("done", 0, whole),
            COMPLETED.to_owned(),
        ],
        vec![completed(json!([object]))],
    ] {
        assert_eq!(parts(&data), [call("c", "f", "{\"a\":1}")], "{data:?}");
    }
    let (cut, kind) = failure(&[item("added", 0, head), piece("{\"a")]);
    assert_eq!(
        (cut, kind),
        (vec![call("c", "f", "{\"a")], UpstreamErrorKind::Truncated)
    );
    // Its id and its name would have come later.
    let unnamed = (Vec::new(), UpstreamErrorKind::Truncated);
    assert_eq!(failure(&[piece("{\"a")]), unnamed);
    assert_eq!(
        failure(&[item("added", 0, nameless), piece("{\"a")]),
        unnamed
    );
}

#[test]
fn a_call_of_a_custom_tool_is_marked_as_one() {
    let whole = json!({"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "3 + 4"});

    let parts = parts(&[
        item(
            "added",
            0,
            json!({"type": "custom_tool_call", "call_id": "c", "name": "f"}),
        ),
        delta("custom_tool_call_input", 0, "3 +"),
        item("done", 0, whole),
        COMPLETED.to_owned(),
    ]);

    let Part::ToolCall(call) = &parts[0] else {
        panic!("{parts:?}");
    };
    assert_eq!(
        (&*call.arguments, &call.signature[..]),
        ("3 + 4", &b"custom"[..])
    );
}

#[test]
fn events_of_unknown_kinds_are_skipped() {
    let parts = parts(&[
        r#"{"type":"response.new_call.delta","output_index":0,"delta":"no"}"#.to_owned(),
        said(1, "yes"),
        completed(json!([{"id": "no type"}, message_item("m", "yes")])),
    ]);

    assert_eq!(parts, [text("yes")]);
}

#[test]
fn the_end_says_why_the_model_stopped() {
    let end = |kind: &str, response: Value| {
        json!({"type": format!("response.{kind}"), "response": response}).to_string()
    };
    let cut =
        json!({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}});
    for (end, reason, provider_reason) in [
        (end("completed", json!({})), FinishReason::Stop, "completed"),
        // A host that repeats what it said in the beginning.
        (
            end("completed", json!({"status": "in_progress"})),
            FinishReason::Stop,
            "completed",
        ),
        (
            end("incomplete", cut),
            FinishReason::MaxTokens,
            "max_output_tokens",
        ),
        (
            end("incomplete", json!({})),
            FinishReason::Other,
            "incomplete",
        ),
        (
            end(
                "incomplete",
                json!({"incomplete_details": {"reason": "content_filter"}}),
            ),
            FinishReason::ContentFilter,
            "content_filter",
        ),
    ] {
        let (events, result) = stream(&[said(0, "a"), end]);
        let answer = answer(events);

        assert_eq!(result, Ok(()));
        let finish = answer.beside.finish.unwrap();
        assert_eq!(
            (finish.reason, finish.provider_reason.as_deref()),
            (reason, Some(provider_reason))
        );
    }
}

#[test]
fn an_error_is_the_same_in_whatever_event_it_comes() {
    for error in [
        r#"{"type":"error","code":"rate_limit_exceeded","message":"Rate limit reached","param":null,"sequence_number":1}"#,
        r#"{"type":"error","error":{"type":"requests","code":"rate_limit_exceeded","message":"Rate limit reached"}}"#,
        r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"rate_limit_exceeded","message":"Rate limit reached"}}}"#,
        r#"{"type":"response.completed","response":{"status":"failed","output":[],"error":{"code":"rate_limit_exceeded","message":"Rate limit reached"}}}"#,
        r#"{"error":{"code":"rate_limit_exceeded","message":"Rate limit reached"}}"#,
        r#"{"code":"rate_limit_exceeded","message":"Rate limit reached"}"#,
    ] {
        let (events, end) = stream(&[&*said(0, "a"), error]);
        let end = end.unwrap_err();

        assert_eq!(end.kind, UpstreamErrorKind::RateLimited, "{error}");
        assert_eq!(end.provider_code.as_deref(), Some("rate_limit_exceeded"));
        assert_eq!(answer(events).parts, [text("a")]);
    }
}

#[test]
fn an_answer_that_its_provider_did_not_end_is_not_complete() {
    let response = |status: &str| json!({"status": status, "output": [message_item("m", "a")]});
    let whole = |status: &str| read(Framing::Json, &response(status).to_string()).1;

    for ended in [vec![said(0, "a")], vec![said(0, "a"), "[DONE]".to_owned()]] {
        assert_eq!(failure(&ended).1, UpstreamErrorKind::Truncated);
    }
    for status in ["queued", "in_progress", "failed"] {
        assert_eq!(
            whole(status).unwrap_err().kind,
            UpstreamErrorKind::Malformed,
            "{status}"
        );
    }
    assert_eq!(
        whole("cancelled").unwrap_err().kind,
        UpstreamErrorKind::ServerError
    );
    let queued = r#"{"type":"response.queued","response":{"id":"r","status":"queued"}}"#;
    assert_eq!(failure(&[queued]).1, UpstreamErrorKind::Truncated);
    assert_eq!(whole("completed"), Ok(()));
}

#[test]
fn names_and_counts_are_the_last_that_say_something() {
    let created =
        r#"{"type":"response.created","response":{"id":"r1","model":"gpt","usage":null}}"#;
    let ended = r#"{"type":"response.completed","response":{"id":"r2","model":"gpt-2026","output":[],"usage":{"input_tokens":10,"output_tokens":5,"total_tokens":15,"input_tokens_details":{"cached_tokens":4},"output_tokens_details":{"reasoning_tokens":3}}}}"#;

    let (events, end) = stream(&[created, &said(0, "a"), ended]);
    let answer = answer(events);

    assert_eq!(end, Ok(()));
    assert_eq!(answer.response_id.as_deref(), Some("r2"));
    assert_eq!(answer.response_model.as_deref(), Some("gpt-2026"));
    let expected = Usage {
        input_tokens: Some(10),
        output_tokens: Some(5),
        cache_read_input_tokens: Some(4),
        reasoning_output_tokens: Some(3),
        ..Usage::default()
    };
    assert_eq!(answer.usage, Some(expected));
}

#[test]
fn a_whole_answer_in_one_event_and_a_bare_text_are_read() {
    let response =
        json!({"object": "response", "status": "completed", "output": [message_item("m", "a")]});
    let bare = json!({"object": "response", "output_text": "a"});
    let string = json!({"output": [{"type": "message", "content": "a"}]});

    assert_eq!(parts(&[response.to_string()]), [text("a")]);
    for body in [bare, string] {
        let (events, end) = read(Framing::Json, &body.to_string());
        assert_eq!(end, Ok(()));
        assert_eq!(answer(events).parts, [text("a")]);
    }
}

#[test]
fn a_body_without_an_answer_is_no_answer() {
    for (body, kind) in [
        ("{}", UpstreamErrorKind::Malformed),
        (r#"{"output":[]}"#, UpstreamErrorKind::Malformed),
        (
            r#"{"output":null,"error":null}"#,
            UpstreamErrorKind::Malformed,
        ),
        ("[]", UpstreamErrorKind::Malformed),
        (
            r#"{"error":{"code":"invalid_api_key"}}"#,
            UpstreamErrorKind::Authentication,
        ),
        (
            r#"{"code":503,"message":"busy"}"#,
            UpstreamErrorKind::Overloaded,
        ),
    ] {
        let (events, end) = read(Framing::Json, body);
        assert_eq!(end.unwrap_err().kind, kind, "{body}");
        assert_eq!(events, []);
    }
}

#[test]
fn sources_stand_behind_their_text_once() {
    let annotation = json!({"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 1, "end_index": 3});
    let file = json!({"type": "file_citation", "file_id": "f", "filename": "b.pdf", "index": 4});
    let message = |index: &str, text: &str, annotations: Value| json!({"type": "message", "id": index, "content": [{"type": "output_text", "text": text, "annotations": annotations}]});
    let added = json!({"type": "response.output_text.annotation.added", "output_index": 1, "content_index": 0, "annotation_index": 0, "annotation": annotation});
    let whole = [
        message("a", "äöü", json!([])),
        message("b", "grün", json!([annotation, file])),
    ];

    let (streamed, end) = stream(&[
        said(0, "äöü"),
        item("done", 0, whole[0].clone()),
        said(1, "grün"),
        added.to_string(),
        item("done", 1, whole[1].clone()),
        completed(json!(whole)),
    ]);
    let body = json!({"status": "completed", "output": whole}).to_string();
    let (at_once, _) = read(Framing::Json, &body);

    assert_eq!(end, Ok(()));
    let expected = [
        Citation {
            range: Some((4, 6)),
            uri: "https://a.example".to_owned(),
            title: "A".to_owned(),
            ..Citation::default()
        },
        Citation {
            title: "b.pdf".to_owned(),
            provider_fields: file.to_string(),
            ..Citation::default()
        },
    ];
    for events in [streamed, at_once] {
        let citations: Vec<_> = events
            .into_iter()
            .filter_map(|event| match event {
                ChatEvent::Citation(citation) => Some(*citation),
                _ => None,
            })
            .collect();
        assert_eq!(citations, expected);
    }
}

#[test]
fn probabilities_are_passed_on_once() {
    let one = json!({"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1.0}]});
    let mut event: Value = serde_json::from_str(&said(0, "a")).unwrap();
    event["logprobs"] = json!([one]);
    let whole = json!({"type": "message", "content": [{"type": "output_text", "text": "a", "logprobs": [one]}]});

    let (events, _) = stream(&[event.to_string(), completed(json!([whole]))]);

    let told: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            ChatEvent::Logprobs(logprobs) => Some(logprobs),
            _ => None,
        })
        .collect();
    let [logprobs] = told[..] else {
        panic!("{told:?}");
    };
    assert_eq!((&*logprobs[0].token, logprobs[0].logprob), ("a", -0.5));
    assert_eq!(logprobs[0].top[0].token, "b");
}

#[test]
fn what_only_the_provider_understands_comes_out_whole_and_once() {
    let search = json!({"type": "web_search_call", "id": "ws", "status": "completed", "action": {"query": "x"}});
    let picture = json!({"type": "image_generation_call", "id": "ig", "status": "completed", "result": "aGk=", "output_format": "webp"});

    let parts = parts(&[
        item("added", 0, json!({"type": "web_search_call", "id": "ws"})),
        item("done", 0, search.clone()),
        completed(json!([search, picture])),
    ]);

    let [
        Part::Provider(part),
        Part::Image(image),
        Part::Provider(about),
    ] = &parts[..]
    else {
        panic!("{parts:?}");
    };
    assert_eq!(part.kind, "web_search_call");
    assert_eq!(
        serde_json::from_str::<Value>(&part.content).unwrap(),
        search
    );
    assert_eq!(image.source, MediaSource::Data(b"hi".as_slice().into()));
    assert_eq!(image.media_type, "image/webp");
    // What the picture is sent back with.
    assert_eq!(about.kind, "image_generation_call");
    assert_eq!(
        serde_json::from_str::<Value>(&about.content).unwrap(),
        json!({"type": "image_generation_call", "id": "ig", "status": "completed", "output_format": "webp"})
    );
}

fn with_phase(id: &str, said: &str, phase: &str) -> Value {
    let mut item = message_item(id, said);
    item["phase"] = json!(phase);
    item
}

fn phase(phase: &str) -> Part {
    Part::Provider(ProviderPart {
        provider: String::new(),
        kind: "message".to_owned(),
        content: json!({"type": "message", "phase": phase}).to_string(),
    })
}

#[test]
fn the_phase_of_a_message_follows_its_text_once_and_parts_it_from_the_next() {
    let (comment, answer) = (
        with_phase("a", "Looking.", "commentary"),
        with_phase("b", "Found.", "final_answer"),
    );
    let expected = [
        text("Looking."),
        phase("commentary"),
        text("Found."),
        phase("final_answer"),
    ];
    for data in [
        vec![
            said(0, "Look"),
            item("done", 0, comment.clone()),
            item(
                "added",
                1,
                json!({"type": "message", "id": "b", "phase": "final_answer"}),
            ),
            said(1, "Found."),
            item("done", 1, answer.clone()),
            completed(json!([comment.clone(), answer.clone()])),
        ],
        vec![completed(json!([comment, answer]))],
    ] {
        assert_eq!(parts(&data), expected, "{data:?}");
    }
}

#[test]
fn a_phase_that_comes_too_late_or_without_text_is_no_part_of_the_answer() {
    let call_item =
        json!({"type": "function_call", "id": "f", "call_id": "c", "name": "n", "arguments": "{}"});
    let (events, end) = stream(&[
        said(0, "Looking."),
        item("done", 1, call_item.clone()),
        completed(json!([
            with_phase("a", "Looking.", "commentary"),
            call_item
        ])),
    ]);

    assert_eq!(end, Ok(()));
    let late = ChatEvent::LeftOut("output.phase".into());
    assert_eq!(events.iter().filter(|event| **event == late).count(), 1);
    assert_eq!(
        answer(events).parts,
        [text("Looking."), call("c", "n", "{}")]
    );
    let silent = json!({"type": "message", "id": "a", "phase": "commentary", "content": []});
    assert_eq!(parts(&[completed(json!([silent]))]), []);
}

#[test]
fn a_piece_of_an_unknown_kind_is_left_out_with_its_path() {
    let mut sound = message_item("m", "Hello");
    let pieces = sound["content"].as_array_mut().unwrap();
    pieces.insert(0, json!({"type": "output_audio", "data": "aGk="}));
    let (events, end) = stream(&[item("done", 0, sound.clone()), completed(json!([sound]))]);

    assert_eq!(end, Ok(()));
    let left_out = ChatEvent::LeftOut("output.content".into());
    assert_eq!(events.iter().filter(|event| **event == left_out).count(), 1);
    assert_eq!(answer(events).parts, [text("Hello")]);
}

#[test]
fn the_accounts_tell_tools_tier_and_cost() {
    let search = json!({"type": "web_search_call", "id": "ws"});
    let body = |usage: Value| {
        json!({"status": "completed", "output": [search], "service_tier": "flex", "usage": usage})
            .to_string()
    };
    for (usage, cost) in [
        (
            json!({"input_tokens": 1, "output_tokens": 2, "cost": 0.0015}),
            1_500_000,
        ),
        (
            json!({"input_tokens": 1, "output_tokens": 2, "cost_in_usd_ticks": 15_000_000}),
            1_500_000,
        ),
    ] {
        let (events, end) = read(Framing::Json, &body(usage));

        assert_eq!(end, Ok(()));
        assert!(events.contains(&ChatEvent::Cost(cost)), "{events:?}");
        let usage = answer(events).usage.unwrap();
        assert_eq!(usage.provider_tools.web_searches, 1);
        assert_eq!(
            usage.service_tier,
            Some(ServedTier::Known(ServiceTier::Flex))
        );
    }
}
