//! What do the sources of a text become, whole and streamed?

use serde_json::{Value, json};

use super::*;
use crate::chat::Citation;

fn citations(events: Vec<ChatEvent>) -> Vec<(usize, Citation)> {
    answer(events).citations
}

/// An answer whose blocks stream as the API sends them: sources before their text.
fn streamed(blocks: &[Value]) -> Vec<ChatEvent> {
    let mut data = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        let mut begun = block.clone();
        if block["type"] == "text" {
            begun["text"] = json!("");
            begun["citations"] = json!([]);
        }
        data.push(json!({"type":"content_block_start","index":index,"content_block":begun}));
        let mut send = |delta: Value| {
            data.push(json!({"type":"content_block_delta","index":index,"delta":delta}));
        };
        for citation in block["citations"].as_array().into_iter().flatten() {
            send(json!({"type":"citations_delta","citation":citation}));
        }
        for character in block["text"].as_str().unwrap_or_default().chars() {
            send(json!({"type":"text_delta","text":character.to_string()}));
        }
        data.push(json!({"type":"content_block_stop","index":index}));
    }
    data.push(json!({"type":"message_delta","delta":{"stop_reason":"end_turn"}}));
    data.push(json!({"type":"message_stop"}));
    let data: Vec<String> = data.iter().map(Value::to_string).collect();
    let (events, end) = stream(&data);
    assert_eq!(end, Ok(()));
    events
}

fn whole(blocks: &[Value]) -> Vec<ChatEvent> {
    let body = json!({"content":blocks,"stop_reason":"end_turn"}).to_string();
    let (events, end) = read(Framing::Json, &body);
    assert_eq!(end, Ok(()));
    events
}

#[test]
fn a_source_says_where_it_is_cited_and_what_it_is() {
    let found = json!({"type":"web_search_result_location","url":"https://x","title":"X","cited_text":"so",
        "encrypted_index":"E"});
    let page = json!({"type":"page_location","document_index":1,"document_title":"D","cited_text":"p",
        "start_page_number":2,"end_page_number":3});
    let blocks = [
        json!({"type":"text","text":"é: "}),
        json!({"type":"text","text":"wärm","citations":[found, page]}),
        json!({"type":"server_tool_use","id":"s","name":"web_search","input":{}}),
        json!({"type":"text","text":"und naß","citations":[found]}),
    ];

    for events in [whole(&blocks), streamed(&blocks)] {
        let [(0, first), (0, second), (2, third)] = &*citations(events) else {
            panic!("three sources");
        };
        let expected = Citation {
            range: Some((3, 7)),
            uri: "https://x".into(),
            title: "X".into(),
            cited_text: "so".into(),
            document_index: None,
            provider_fields: r#"{"type":"web_search_result_location","encrypted_index":"E"}"#
                .into(),
        };
        assert_eq!(first, &expected);
        assert_eq!(
            second,
            &Citation {
                range: Some((3, 7)),
                uri: String::new(),
                title: "D".into(),
                cited_text: "p".into(),
                document_index: Some(1),
                provider_fields:
                    r#"{"type":"page_location","start_page_number":2,"end_page_number":3}"#.into(),
            }
        );
        let range = Some((0, 7));
        assert_eq!(third, &Citation { range, ..expected });
    }
}

#[test]
fn every_kind_of_place_is_read() {
    for (citation, uri, title, index) in [
        (
            json!({"type":"char_location","document_index":0,"document_title":null,"start_char_index":1,"end_char_index":2}),
            "",
            "",
            Some(0),
        ),
        (
            json!({"type":"content_block_location","document_index":2,"document_title":"T","start_block_index":0}),
            "",
            "T",
            Some(2),
        ),
        (
            json!({"type":"search_result_location","source":"https://s","title":"S","search_result_index":0}),
            "https://s",
            "S",
            None,
        ),
    ] {
        let events = whole(&[json!({"type":"text","text":"a","citations":[citation]})]);

        let (_, read) = &citations(events)[0];
        assert_eq!(
            (&*read.uri, &*read.title, read.document_index),
            (uri, title, index)
        );
        let rest: Value = serde_json::from_str(&read.provider_fields).unwrap();
        assert_eq!(rest["type"], citation["type"]);
    }
}

#[test]
fn a_source_without_a_text_of_its_own_is_one_of_the_text_before() {
    let blocks = [
        json!({"type":"text","text":"a"}),
        json!({"type":"text","text":"","citations":[{"type":"char_location","cited_text":"x"}]}),
    ];

    for events in [whole(&blocks), streamed(&blocks)] {
        let (0, read) = &citations(events)[0] else {
            panic!("of the first text");
        };
        assert_eq!((read.range, &*read.cited_text), (None, "x"));
    }
}
