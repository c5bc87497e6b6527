//! Which parts arrive whole, and what is held until they are complete?

use super::*;
use crate::chat::{Media, MediaSource, ProviderPart, ServedTier, ServiceTier};

/// The parts of an answer that arrived whole.
fn parts(framing: Framing, frames: &[&str]) -> Vec<Part> {
    let (events, outcome) = read(&Dialect::default(), framing, frames);
    assert_eq!(outcome, Ok(()));
    let parts = events.into_iter().filter_map(|event| match event {
        ChatEvent::Part(part) => Some(*part),
        _ => None,
    });
    parts.collect()
}

fn data(part: &Part) -> (&[u8], &str) {
    match part {
        Part::Image(Media {
            source: MediaSource::Data(bytes),
            media_type,
            ..
        })
        | Part::Audio(Media {
            source: MediaSource::Data(bytes),
            media_type,
            ..
        }) => (bytes, media_type),
        part => panic!("{part:?}"),
    }
}

const END: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;

#[test]
fn pictures_are_parts_wherever_they_stand() {
    let picture = r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AP8+"}}"#;
    let of_list = chunk(&format!(r#"{{"content":"","images":[{picture}]}}"#));
    let of_content = chunk(&format!(r#"{{"content":[{picture}]}}"#));

    for frame in [&of_list, &of_content] {
        let parts = parts(Framing::Sse, &[frame, END, "[DONE]"]);

        assert_eq!(parts.len(), 1);
        assert_eq!(data(&parts[0]), (&b"\x00\xff>"[..], "image/png"));
    }
}

#[test]
fn a_picture_that_cannot_be_read_is_named() {
    for url in ["data:image/png;base64,????", "data:image/png", ""] {
        let body = format!(
            r#"{{"choices":[{{"message":{{"images":[{{"image_url":{{"url":"{url}"}}}}]}},"finish_reason":"stop"}}]}}"#
        );

        assert_eq!(whole(&body).0[0], "left out choices.message.images");
    }
}

#[test]
fn sound_is_one_part_and_what_was_said_stands_beside_it() {
    let pieces = [
        chunk(r#"{"audio":{"id":"audio_1","transcript":"be"}}"#),
        chunk(r#"{"audio":{"data":"T2dn"}}"#),
        chunk(r#"{"audio":{"data":"UwA=","transcript":"ep"}}"#),
        chunk(r#"{"audio":{"expires_at":7}}"#),
    ];
    let mut frames: Vec<&str> = pieces.iter().map(String::as_str).collect();
    frames.extend([END, "[DONE]"]);
    let body = r#"{"choices":[{"message":{"content":null,"audio":{"id":"audio_1","data":"T2dnUwA=","transcript":"beep","expires_at":7}},"finish_reason":"stop"}]}"#;

    for parts in [parts(Framing::Sse, &frames), parts(Framing::Json, &[body])] {
        assert_eq!(data(&parts[0]), (&b"OggS\0"[..], "audio/ogg"));
        let Part::Provider(ProviderPart { kind, content, .. }) = &parts[1] else {
            panic!("{parts:?}");
        };
        let told: Value = serde_json::from_str(content).unwrap();
        assert_eq!(kind, "audio");
        assert_eq!(
            told,
            serde_json::json!({ "id": "audio_1", "transcript": "beep", "expires_at": 7 })
        );
    }
}

#[test]
fn an_empty_sound_is_none() {
    let body = r#"{"choices":[{"message":{"content":"x","audio":{"data":"","expires_at":0,"id":"","transcript":""}},"finish_reason":"stop"}]}"#;

    assert_eq!(parts(Framing::Json, &[body]), []);
}

#[test]
fn sound_of_an_answer_that_breaks_off_is_not_told() {
    let piece = chunk(r#"{"audio":{"data":"T2dn"}}"#);

    let (told, error) = streamed(&[&piece]);

    assert_eq!(told, [""; 0]);
    assert_eq!(error, Some(UpstreamErrorKind::Truncated));
}

#[test]
fn a_run_of_the_hosts_tool_is_told_once_when_it_is_complete() {
    let begun = chunk(r#"{"executed_tools":[{"index":0,"type":"search","arguments":"{}"}]}"#);
    let ended = chunk(
        r#"{"executed_tools":[{"index":0,"type":"search","arguments":"{}","output":"sunny"}]}"#,
    );

    let parts = parts(Framing::Sse, &[&begun, &ended, END, "[DONE]"]);

    let [Part::Provider(ProviderPart { kind, content, .. })] = &parts[..] else {
        panic!("{parts:?}");
    };
    assert_eq!(kind, "executed_tools");
    assert!(content.contains("sunny"), "{content}");
}

#[test]
fn an_unknown_piece_of_content_is_a_part_of_its_provider() {
    let pieces = chunk(r#"{"content":[{"type":"chart","x":[1]},{"type":"text","text":"so"}]}"#);

    let parts = parts(Framing::Sse, &[&pieces, END, "[DONE]"]);

    assert_eq!(
        parts,
        [Part::Provider(ProviderPart {
            provider: String::new(),
            kind: "chart".into(),
            content: r#"{"type":"chart","x":[1]}"#.into(),
        })]
    );
}

#[test]
fn what_cannot_be_kept_is_named() {
    let lone = r#"{"choices":[{"message":{"content":{"type":"chart"}},"finish_reason":"stop"}]}"#;
    let more = r#"{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"},{"index":1,"message":{"content":"b"}}]}"#;

    assert_eq!(whole(lone).0[0], "left out choices.message.content");
    assert_eq!(whole(more).0[..2], ["left out choices", "text a"]);
}

#[test]
fn tier_and_cost_are_told_beside_the_counts() {
    let body = r#"{"service_tier":"flex","cost":{"usd":0.5},"usage":{"prompt_tokens":1,"completion_tokens":1},"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#;

    let (events, _) = read(&Dialect::default(), Framing::Json, &[body]);

    let tier = events.iter().find_map(|event| match event {
        ChatEvent::Usage(usage) => usage.service_tier,
        _ => None,
    });
    assert_eq!(tier, Some(ServedTier::Known(ServiceTier::Flex)));
    assert!(events.contains(&ChatEvent::Cost(500_000_000)), "{events:?}");
}
