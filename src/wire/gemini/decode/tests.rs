//! Which events do answers in Gemini's format become?

use super::*;
use crate::chat::{
    Answer, Citation, Finish, ImageDetail, Media, MediaSource, Part as ChatPart, ProviderPart,
    ServedTier, ServiceTier, Substance, Usage, substance,
};

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
            r#"{},{"text":"","inlineData":{}},{"thoughtSignature":"s"}"#,
            vec![signature("s")],
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

    assert_eq!(events, [left_out("candidates[1]"), text("a")]);
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
        [ChatEvent::Usage(Box::new(Usage {
            input_tokens: Some(15),
            output_tokens: Some(7),
            cache_read_input_tokens: Some(2),
            reasoning_output_tokens: Some(4),
            ..Usage::default()
        }))]
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

fn part_event(part: ChatPart) -> ChatEvent {
    ChatEvent::Part(Box::new(part))
}

fn provider_part(kind: &str, content: &str) -> ChatEvent {
    part_event(ChatPart::Provider(ProviderPart {
        provider: String::new(),
        kind: kind.into(),
        content: content.into(),
    }))
}

fn media(source: MediaSource, media_type: &str, filename: &str) -> Media {
    Media {
        source,
        media_type: media_type.into(),
        filename: filename.into(),
        detail: ImageDetail::Auto,
    }
}

fn left_out(path: &'static str) -> ChatEvent {
    ChatEvent::LeftOut(path.into())
}

#[test]
fn media_of_an_answer_are_parts_of_it() {
    let data = |bytes: &'static [u8]| MediaSource::Data(Bytes::from_static(bytes));
    for (json, events) in [
        (
            r#"{"inlineData":{"mimeType":"image/png","data":"//79"},"thoughtSignature":"s"}"#,
            vec![
                part_event(ChatPart::Image(media(
                    data(&[255, 254, 253]),
                    "image/png",
                    "",
                ))),
                signature("media:s"),
            ],
        ),
        (
            r#"{"text":"a"},{"inline_data":{"mime_type":"audio/L16;rate=24000","data":"AQ"}}"#,
            vec![
                text("a"),
                part_event(ChatPart::Audio(media(
                    data(&[1]),
                    "audio/L16;rate=24000",
                    "",
                ))),
            ],
        ),
        (
            r#"{"fileData":{"mimeType":"video/mp4","fileUri":"gs://b/v","displayName":"v"}}"#,
            vec![part_event(ChatPart::Video(media(
                MediaSource::Uri("gs://b/v".into()),
                "video/mp4",
                "v",
            )))],
        ),
        // A draft, and a kind that answers have no part for.
        (
            r#"{"inlineData":{"mimeType":"image/png", "data":"//79"},"thought":true,"thoughtSignature":"s"}"#,
            vec![provider_part(
                "inlineData",
                r#"{"inlineData":{"mimeType":"image/png","data":"//79"},"thought":true,"thoughtSignature":"s"}"#,
            )],
        ),
        (
            r#"{"inlineData":{"mimeType":"application/pdf","data":"//79"}}"#,
            vec![provider_part(
                "inlineData",
                r#"{"inlineData":{"mimeType":"application/pdf","data":"//79"}}"#,
            )],
        ),
        (
            r#"{"inlineData":{"mimeType":"image/png","data":"?"}},{"fileData":{"fileUri":""}}"#,
            vec![
                left_out("candidates.content.parts.inlineData"),
                left_out("candidates.content.parts.fileData"),
            ],
        ),
    ] {
        assert_eq!(of_parts(json), events, "{json}");
    }
}

#[test]
fn what_the_provider_ran_and_unknown_parts_are_kept_for_it() {
    for (json, kind, content) in [
        (
            r#"{"executableCode":{"language":"PYTHON", "code":"1 + 1"},"thoughtSignature":"s"}"#,
            "executableCode",
            r#"{"executableCode":{"language":"PYTHON","code":"1 + 1"},"thoughtSignature":"s"}"#,
        ),
        (
            r#"{"text":"","codeExecutionResult":{"outcome":"OUTCOME_OK"}}"#,
            "codeExecutionResult",
            r#"{"codeExecutionResult":{"outcome":"OUTCOME_OK"}}"#,
        ),
        (
            r#"{"videoMetadata":null,"toolCall":{"id":"1"},"partMetadata":{"a":[1.50]}}"#,
            "toolCall",
            r#"{"toolCall":{"id":"1"},"partMetadata":{"a":[1.50]}}"#,
        ),
    ] {
        assert_eq!(of_parts(json), [provider_part(kind, content)], "{json}");
    }
    assert_eq!(
        of_parts(r#"{"text":"a","partMetadata":{"b":1},"videoMetadata":{}}"#),
        [left_out("candidates.content.parts.partMetadata"), text("a")]
    );
}

#[test]
fn an_answer_of_which_nothing_can_be_carried_is_no_empty_success() {
    for lost in [
        r#"{"inlineData":{"mimeType":"image/png","data":"?"}}"#,
        r#"{"inlineData":{}}"#,
        r#"{"fileData":{"mimeType":"image/png"}}"#,
    ] {
        let (events, end) = streamed(&[&parts(lost), &finish("\"STOP\"")]);

        assert_eq!(end, Ok(()));
        assert_eq!(substance(&events), Substance::Lost, "{lost}");
    }
    let (events, _) = streamed(&[
        &parts(r#"{"inlineData":{}},{"text":"a"}"#),
        &finish("\"STOP\""),
    ]);
    assert_eq!(substance(&events), Substance::Something);
}

#[test]
fn further_candidates_are_told_once() {
    let both = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}},{"index":1,"content":{"parts":[{"text":"b"}]}}]}"#;

    let (events, end) = streamed(&[both, both, &finish("\"STOP\"")]);

    assert_eq!(end, Ok(()));
    let told = events
        .iter()
        .filter(|event| matches!(event, ChatEvent::LeftOut(_)));
    assert_eq!(told.count(), 1);
    assert!(!events.contains(&text("b")));
}

#[test]
fn sources_that_come_before_their_places_are_told_with_them() {
    let grounded = |chunks: &str, supports: &str| {
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"ab"}}]}},"groundingMetadata":{{"groundingChunks":[{chunks}],"groundingSupports":[{supports}]}}}}]}}"#
        )
    };
    let (u, v) = (r#"{"web":{"uri":"u"}}"#, r#"{"web":{"uri":"v"}}"#);
    let early = grounded(u, "");
    let late = grounded(
        &format!("{u},{v}"),
        r#"{"segment":{"startIndex":1,"endIndex":3},"groundingChunkIndices":[0]}"#,
    );

    let (events, end) = streamed(&[&early, &late, &late, &finish("\"STOP\"")]);

    assert_eq!(end, Ok(()));
    assert_eq!(
        cited(&events),
        [(Some((1, 3)), "u", "", "", ""), (None, "v", "", "", "")]
    );
}

/// The place, the address, the title, the passage and the other fields of a citation.
type Cited<'a> = (Option<(usize, usize)>, &'a str, &'a str, &'a str, &'a str);

/// The citations of an answer.
fn cited(events: &[ChatEvent]) -> Vec<Cited<'_>> {
    let citations = events.iter().filter_map(|event| match event {
        ChatEvent::Citation(citation) => Some(&**citation),
        _ => None,
    });
    citations
        .map(|citation| {
            let Citation {
                range,
                uri,
                title,
                cited_text,
                document_index: _,
                provider_fields,
            } = citation;
            (*range, &**uri, &**title, &**cited_text, &**provider_fields)
        })
        .collect()
}

#[test]
fn sources_are_told_with_the_characters_that_rest_on_them() {
    let last = r#"{"candidates":[{"content":{"parts":[{"text":"ü b."}]},"finishReason":"STOP",
        "groundingMetadata":{
            "webSearchQueries":["q","r","q"],"retrievalQueries":["s"],
            "groundingChunks":[
                {"web":{"uri":"u","title":"t","domain":"d"}},
                {"retrievedContext":{"title":"f","text":"passage","fileSearchStore":"s"}},
                {"maps":{"uri":"m"}}],
            "groundingSupports":[
                {"segment":{"startIndex":3,"endIndex":5,"text":"ü"},"groundingChunkIndices":[0,1,9],"confidenceScores":[0.5]},
                {"segment":{"endIndex":2},"groundingChunkIndices":[1]},
                {"segment":{"startIndex":4,"endIndex":6},"groundingChunkIndices":[0]}]}}]}"#;

    let (events, end) = streamed(&[&parts(r#"{"text":"a: "}"#), last]);

    assert_eq!(end, Ok(()));
    let of_web = r#"{"web":{"domain":"d"}}"#;
    let of_file = r#"{"retrievedContext":{"fileSearchStore":"s"}}"#;
    assert_eq!(
        cited(&events),
        [
            (
                Some((3, 4)),
                "u",
                "t",
                "",
                r#"{"web":{"domain":"d"},"confidenceScore":0.5}"#
            ),
            (Some((3, 4)), "", "f", "passage", of_file),
            (Some((0, 2)), "", "f", "passage", of_file),
            // Within a character.
            (None, "u", "t", "", of_web),
            (None, "m", "", "", ""),
        ]
    );
}

#[test]
fn a_source_of_a_later_part_counts_from_there_and_repeated_ones_are_told_once() {
    let body = r#"{"candidates":[{"finishReason":"STOP",
        "content":{"parts":[{"text":"first"},{"executableCode":{"code":"1"}},{"text":"zweite ü"}]},
        "citationMetadata":{"citations":[{},{"startIndex":5,"endIndex":11,"uri":"c","license":"MIT"},{"uri":"c","license":""}]},
        "urlContextMetadata":{"urlMetadata":[
            {"retrievedUrl":"u","urlRetrievalStatus":"URL_RETRIEVAL_STATUS_SUCCESS"},
            {"retrievedUrl":"p","urlRetrievalStatus":"URL_RETRIEVAL_STATUS_SUCCESS"},
            {"retrievedUrl":"x","urlRetrievalStatus":"URL_RETRIEVAL_STATUS_ERROR"}]},
        "groundingMetadata":{
            "groundingChunks":[{"web":{"uri":"u"}}],
            "groundingSupports":[
                {"segment":{"partIndex":2,"startIndex":7,"endIndex":9},"groundingChunkIndices":[0]},
                {"segment":{"partIndex":2,"startIndex":7,"endIndex":9},"groundingChunkIndices":[0,0]},
                {"segment":{"startIndex":0,"endIndex":5},"groundingChunkIndices":[0]}]}}],
        "usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2}}"#;

    let (events, end) = whole(body);

    assert_eq!(end, Ok(()));
    assert_eq!(
        cited(&events),
        [
            (Some((7, 8)), "u", "", "", ""),
            // In an earlier text.
            (None, "u", "", "", ""),
            (Some((0, 6)), "c", "", "", r#"{"license":"MIT"}"#),
            (None, "c", "", "", ""),
            (None, "p", "", "", ""),
        ]
    );
    let used = events.iter().rev().find_map(|event| match event {
        ChatEvent::Usage(usage) => Some(usage.provider_tools),
        _ => None,
    });
    let used = used.unwrap();
    assert_eq!((used.web_fetches, used.code_executions), (2, 1));
}

#[test]
fn tokens_are_counted_by_modality_and_the_tier_is_told_with_them() {
    let tier = r#"{"usageMetadata":{"trafficType":"ON_DEMAND_FLEX"}}"#;
    let counts = r#"{"usageMetadata":{"promptTokenCount":30,"toolUsePromptTokenCount":5,"candidatesTokenCount":9,
        "promptTokensDetails":[{"modality":"TEXT","tokenCount":1},{"modality":"IMAGE","tokenCount":10},
            {"modality":"AUDIO","tokenCount":12},{"modality":"VIDEO","tokenCount":7},{"modality":"NEW"}],
        "toolUsePromptTokensDetails":[{"modality":"IMAGE","tokenCount":2}],
        "candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":8},{"modality":"AUDIO","tokenCount":1}]}}"#;

    let (events, _) = streamed(&[tier]);
    assert_eq!(events, []);
    let (events, _) = streamed(&[tier, counts]);

    assert_eq!(
        events,
        [ChatEvent::Usage(Box::new(Usage {
            input_tokens: Some(35),
            output_tokens: Some(9),
            audio_input_tokens: Some(12),
            image_input_tokens: Some(12),
            video_input_tokens: Some(7),
            audio_output_tokens: Some(1),
            image_output_tokens: Some(8),
            service_tier: Some(ServedTier::Known(ServiceTier::Flex)),
            ..Usage::default()
        }))]
    );
}

#[test]
fn probabilities_of_tokens_are_told_behind_their_text() {
    let piece = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"logprobsResult":{"chosenCandidates":[{"token":"a","logProbability":-1}]}}]}"#;

    let (events, _) = streamed(&[piece, &finish("\"STOP\"")]);

    assert_eq!(events[0], text("a"));
    assert!(matches!(&events[1], ChatEvent::Logprobs(tokens) if tokens.len() == 1));
}

#[test]
fn many_places_that_name_a_large_source_do_not_make_a_larger_answer() {
    let uri = "u".repeat(1024 * 1024);
    let supports = (0..2000)
        .map(|at| format!(r#"{{"segment":{{"startIndex":{at},"endIndex":2001}},"groundingChunkIndices":[0,0]}}"#))
        .collect::<Vec<_>>()
        .join(",");
    let text = "t".repeat(2001);
    let body = format!(
        r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}]}},"finishReason":"STOP","groundingMetadata":{{"groundingChunks":[{{"web":{{"uri":"{uri}"}}}}],"groundingSupports":[{supports}]}}}}]}}"#
    );

    let (events, end) = whole(&body);

    assert_eq!(end, Ok(()));
    assert_eq!(cited(&events).len(), 7);
    let told = |event: &&ChatEvent| **event == left_out("candidates.groundingMetadata");
    assert_eq!(events.iter().filter(told).count(), 1);
}

#[test]
fn what_is_wrong_in_metadata_costs_the_metadata_alone() {
    for metadata in [
        r#""groundingMetadata":[]"#,
        r#""groundingMetadata":{"groundingChunks":[1,null,{"web":7}],"groundingSupports":[{"segment":1,"groundingChunkIndices":[0,1,2,-1,"x"]}]}"#,
        r#""groundingMetadata":{"groundingSupports":[{"segment":{"partIndex":7,"startIndex":5,"endIndex":18446744073709551615},"groundingChunkIndices":{}}]}"#,
        r#""citationMetadata":{"citations":[1,{"startIndex":9,"endIndex":1}]}"#,
        r#""urlContextMetadata":{"urlMetadata":[1,{}]}"#,
        r#""logprobsResult":{"chosenCandidates":7}"#,
    ] {
        let piece = format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"a"}}]}},"finishReason":"STOP",{metadata}}}]}}"#
        );

        let (events, end) = streamed(&[&piece]);

        assert_eq!(end, Ok(()), "{metadata}");
        assert_eq!(
            events,
            [
                text("a"),
                finished(FinishReason::Stop, "STOP"),
                ChatEvent::Done
            ],
            "{metadata}"
        );
    }
}
