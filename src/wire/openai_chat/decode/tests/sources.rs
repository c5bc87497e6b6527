//! Which sources and probabilities does an answer tell?

use super::*;
use crate::chat::Citation;

/// The sources of a stream of these chunks.
fn cited(frames: &[&str]) -> Vec<Citation> {
    let (events, outcome) = read(&Dialect::default(), Framing::Sse, frames);
    assert_eq!(outcome, Ok(()));
    let sources = events.into_iter().filter_map(|event| match event {
        ChatEvent::Citation(citation) => Some(*citation),
        _ => None,
    });
    sources.collect()
}

const END: [&str; 2] = [
    r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
    "[DONE]",
];

#[test]
fn annotations_are_sources_of_the_text_and_told_once() {
    let annotated = chunk(
        r#"{"annotations":[{"type":"url_citation","url_citation":{"url":"https://a.example","title":"A","content":"so","start_index":1,"end_index":4}}]}"#,
    );
    let text = chunk(r#"{"content":"\u00fcber alles"}"#);

    let sources = cited(&[&text, &annotated, &annotated, END[0], END[1]]);

    assert_eq!(
        sources,
        [Citation {
            range: Some((1, 4)),
            uri: "https://a.example".into(),
            title: "A".into(),
            cited_text: "so".into(),
            ..Citation::default()
        }]
    );
}

#[test]
fn a_place_is_counted_from_the_beginning_of_its_part() {
    let annotated = |start: u32| {
        chunk(&format!(
            r#"{{"annotations":[{{"type":"url_citation","url":"https://a.example","start_index":{start},"end_index":9}}]}}"#
        ))
    };

    let frames = [
        chunk(r#"{"content":"12345"}"#),
        chunk(r#"{"reasoning":"hm"}"#),
        chunk(r#"{"content":"6789"}"#),
        annotated(6),
        annotated(2),
    ];
    let mut frames: Vec<&str> = frames.iter().map(String::as_str).collect();
    frames.extend(END);

    let ranges: Vec<_> = cited(&frames).iter().map(|one| one.range).collect();
    assert_eq!(ranges, [Some((1, 4)), None]);
}

#[test]
fn sources_beside_the_answer_are_told_once_with_what_is_known_of_them() {
    let beside = r#"{"search_results":[{"title":"A","url":"https://a.example","date":"2025-01-02","snippet":"so"}],"citations":["https://a.example","https://b.example"],"choices":[{"delta":{"content":"x"}}]}"#;

    let sources = cited(&[beside, beside, END[0], END[1]]);

    assert_eq!(
        sources,
        [
            Citation {
                uri: "https://a.example".into(),
                title: "A".into(),
                cited_text: "so".into(),
                provider_fields: r#"{"date":"2025-01-02"}"#.into(),
                ..Citation::default()
            },
            Citation {
                uri: "https://b.example".into(),
                ..Citation::default()
            },
        ]
    );
}

#[test]
fn references_between_the_pieces_of_content_are_sources() {
    let pieces = chunk(
        r#"{"content":[{"type":"text","text":"so"},{"type":"tool_reference","title":"A","url":"https://a.example"},{"type":"reference","reference_ids":[1]}]}"#,
    );

    let sources = cited(&[&pieces, END[0], END[1]]);

    assert_eq!(sources[0].uri, "https://a.example");
    assert_eq!(sources[0].title, "A");
    assert_eq!(
        sources[1].provider_fields,
        r#"{"type":"reference","reference_ids":[1]}"#
    );
}

#[test]
fn an_annotation_that_is_no_source_is_a_part_of_its_provider() {
    let body = r#"{"choices":[{"message":{"content":"so","annotations":[{"type": "file", "file": {"hash":"h"}}]},"finish_reason":"stop"}]}"#;

    let (told, error) = whole(body);

    assert_eq!(error, None);
    assert_eq!(told[0], "text so");
    assert!(
        told[1].contains(r#"kind: "annotations""#) && told[1].contains("hash"),
        "{}",
        told[1]
    );
}

#[test]
fn probabilities_are_those_of_the_text() {
    let body = r#"{"choices":[{"message":{"content":"42","reasoning_content":"hm"},"logprobs":{"content":[{"token":"42","logprob":-0.5,"bytes":[52,50],"top_logprobs":[{"token":"42","logprob":-0.5,"bytes":null}]}],"refusal":null,"reasoning_content":[{"token":"hm","logprob":-1.0}]},"finish_reason":"stop"}]}"#;

    let (events, outcome) = read(&Dialect::default(), Framing::Json, &[body]);

    assert_eq!(outcome, Ok(()));
    let ChatEvent::Logprobs(logprobs) = &events[2] else {
        panic!("{events:?}");
    };
    assert_eq!(logprobs[0].token, "42");
    assert_eq!(logprobs[0].logprob, -0.5);
    assert_eq!(&logprobs[0].bytes[..], b"42");
    assert_eq!(logprobs[0].top[0].token, "42");
    assert_eq!(
        events[3],
        ChatEvent::LeftOut("choices.logprobs.reasoning_content".into())
    );
}
