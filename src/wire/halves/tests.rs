use proptest::prelude::*;

use super::*;
use crate::wire::readable::readable;

/// The texts of frames, each a JSON string, joined; and whether each frame is JSON.
fn joined(frames: &[&[u8]]) -> String {
    let mut joiner = Joiner::default();
    let mut events = Vec::new();
    for frame in frames {
        let readable = readable(frame);
        if readable.has_marks {
            joiner.expect_marks();
        }
        let text: String = serde_json::from_str(&readable.text).unwrap();
        let first = events.len();
        if !text.is_empty() {
            events.push(ChatEvent::Text(text));
        }
        joiner.join(&mut events, first);
    }
    joiner.finish(&mut events);
    let texts = events.into_iter().map(|event| match event {
        ChatEvent::Text(text) => text,
        other => panic!("{other:?}"),
    });
    texts.collect()
}

#[test]
fn halves_are_joined_where_the_next_event_completes_them() {
    let table: [(&[&[u8]], &str); 14] = [
        // Halves of a pair.
        (&[br#""a\ud83d""#, br#""\ude00b""#], "a😀b"),
        (&[br#""a\uD83D""#, br#""""#, br#""\uDE00b""#], "a😀b"),
        (&[br#""\ud83d\ude00\ud83d""#, br#""\udc80""#], "😀💀"),
        // Bytes of a character.
        (&[b"\"a\xE4\xBD\"", b"\"\xA0b\""], "a你b"),
        (&[b"\"\xF0\"", b"\"\x9F\"", b"\"\x98\"", b"\"\x80\""], "😀"),
        // Each half as three bytes.
        (&[b"\"\xED\xA0\xBD\"", b"\"\xED\xB8\x80\""], "😀"),
        // Halves that nothing completes.
        (&[br#""cut \ud83d""#], "cut \u{FFFD}"),
        (&[br#""a\ud83d""#, br#""b""#], "a\u{FFFD}b"),
        (&[br#""\ude00b""#], "\u{FFFD}b"),
        (&[b"\"a\xE4\xBD\"", b"\"b\xFF\""], "a\u{FFFD}b\u{FFFD}"),
        (&[b"\"\xC3\"", b"\"\xC3\"", b"\"\xA9\""], "\u{FFFD}é"),
        // What is no half stays.
        (&[br#""\\ud83d \u0041 \ud83d\ude00""#], "\\ud83d A 😀"),
        (&["\"\u{10D83D}\"".as_bytes()], "\u{10D83D}"),
        // Control characters as they are.
        (&[b"\"a\tb\nc\x01\""], "a\tb\nc\u{1}"),
    ];
    for (frames, expected) in table {
        assert_eq!(joined(frames), expected, "{frames:?}");
    }
}

#[test]
fn a_half_is_closed_where_another_part_follows() {
    let mark = |half: u32| char::from_u32(SURROGATE_MARKS + half).unwrap().to_string();
    let (high, low) = (mark(0xD83D), mark(0xDE00));
    let arguments = |call, fragment: &str| ChatEvent::ToolArguments {
        call,
        fragment: fragment.to_owned(),
    };
    let call = ChatEvent::ToolCall {
        id: low.clone(),
        name: "f".to_owned(),
        signature: bytes::Bytes::new(),
    };
    let mut joiner = Joiner::default();
    joiner.expect_marks();
    let mut events = vec![
        ChatEvent::Text(high.clone()),
        call,
        arguments(0, &high),
        arguments(1, &high),
        arguments(0, &low),
        ChatEvent::Done,
    ];

    joiner.join(&mut events, 0);

    let expected = [
        ChatEvent::Text("\u{FFFD}".to_owned()),
        ChatEvent::ToolCall {
            id: "\u{FFFD}".to_owned(),
            name: "f".to_owned(),
            signature: bytes::Bytes::new(),
        },
        arguments(0, "😀"),
        arguments(1, "\u{FFFD}"),
        ChatEvent::Done,
    ];
    assert_eq!(events, expected);
}

proptest! {
    #[test]
    fn a_text_is_the_same_wherever_it_is_cut(text in "[a-z\"\\\\é你😀💀]{0,12}", cut in any::<prop::sample::Index>(), escape: bool) {
        let (first, second) = if escape {
            let units: Vec<u16> = text.encode_utf16().collect();
            let cut = cut.index(units.len() + 1);
            let escaped = |units: &[u16]| {
                let escapes = units.iter().map(|unit| format!("\\u{unit:04x}"));
                format!("\"{}\"", escapes.collect::<String>()).into_bytes()
            };
            (escaped(&units[..cut]), escaped(&units[cut..]))
        } else {
            let text = text.replace(['"', '\\'], "");
            let cut = cut.index(text.len() + 1);
            let quoted = |bytes: &[u8]| [b"\"".as_slice(), bytes, b"\""].concat();
            (quoted(&text.as_bytes()[..cut]), quoted(&text.as_bytes()[cut..]))
        };
        let expected = if escape { text } else { text.replace(['"', '\\'], "") };

        prop_assert_eq!(joined(&[&first, &second]), expected);
    }
}
