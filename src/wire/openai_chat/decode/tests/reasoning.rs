//! Which reasoning is given to the caller with a signature?

use super::*;
use crate::wire::options::NO_OPTIONS;

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
        options: &NO_OPTIONS,
    };

    let spelled = format.encode(&request, &to).unwrap();

    let spelled: Value = serde_json::from_slice(&spelled.body).unwrap();
    let details: Value = serde_json::from_str(details).unwrap();
    assert_eq!(spelled["messages"][0]["reasoning_details"], details);
}
