//! What is read of answers of Gemini.

use std::sync::Arc;

use modelway::wire::Framing;
use modelway::wire::gemini::Gemini;

use super::{events, told};

const FIRST: &str = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"Hel"}]},"index":0}],"usageMetadata":{"promptTokenCount":9,"totalTokenCount":9},"modelVersion":"m","responseId":"r"}"#;
const LAST: &str = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"lo"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":5,"totalTokenCount":14},"modelVersion":"m"}"#;

fn assert_told(name: &str, wanted: Framing, body: &[u8], expected: &str) {
    assert_eq!(
        told(Arc::new(Gemini::default()), wanted, body),
        expected,
        "{name}"
    );
}

fn assert_stream(name: &str, data: &[&str], expected: &str) {
    let body = events(data.iter().copied());

    assert_told(name, Framing::Sse, body.as_bytes(), expected);
}

/// The last event with these parts in the place of its text.
fn with_parts(parts: &str) -> String {
    LAST.replace(r#"{"text":"lo"}"#, parts)
}

#[test]
fn odd_values_beside_the_answer_cost_nothing() {
    #[rustfmt::skip] // a table is read by its columns
    let table = [
        ("the index null", FIRST.replace(r#""index":0"#, r#""index":null"#)),
        ("the index a text", FIRST.replace(r#""index":0"#, r#""index":"0""#)),
        ("the index missing", FIRST.replace(r#","index":0"#, "")),
        ("a count negative", FIRST.replace(":9,", ":-9,")),
        ("counts as texts", FIRST.replace(":9,", r#":"9","#)),
        ("usage an empty text", FIRST.replace(r#"{"promptTokenCount":9,"totalTokenCount":9}"#, r#""""#)),
        ("usage a list", FIRST.replace(r#"{"promptTokenCount":9,"totalTokenCount":9}"#, "[]")),
        ("the model null", FIRST.replace(r#""m""#, "null")),
        ("the id a number", FIRST.replace(r#""r""#, "7")),
        ("the finish reason null", FIRST.replace(r#""index""#, r#""finishReason":null,"index""#)),
        ("the finish reason unspecified", FIRST.replace(r#""index""#, r#""finishReason":"FINISH_REASON_UNSPECIFIED","index""#)),
        ("feedback of another kind", FIRST.replace(r#""modelVersion""#, r#""promptFeedback":[],"modelVersion""#)),
        ("feedback that blocks nothing", FIRST.replace(r#""modelVersion""#, r#""promptFeedback":{"blockReason":null},"modelVersion""#)),
        ("ratings of another kind", FIRST.replace(r#""index""#, r#""safetyRatings":"","citationMetadata":7,"index""#)),
        ("no number", FIRST.replace(r#""index""#, r#""avgLogprobs":NaN,"index""#)),
        ("an empty error", FIRST.replace(r#""modelVersion""#, r#""error":{},"modelVersion""#)),
        ("a thought that is null", FIRST.replace(r#""Hel""#, r#""Hel","thought":null"#)),
        ("a thought that is a text", FIRST.replace(r#""Hel""#, r#""Hel","thought":"""#)),
        ("a signature null", FIRST.replace(r#""Hel""#, r#""Hel","thoughtSignature":null"#)),
        ("a call null", FIRST.replace(r#""Hel""#, r#""Hel","functionCall":null"#)),
        ("the text twice", FIRST.replace(r#""Hel""#, r#""Hel","text":"Hel""#)),
        ("parts that say nothing", FIRST.replace(r#"{"text":"Hel"}"#, r#"{"text":"Hel"},{},null,7,{"inlineData":{}}"#)),
        ("one part in the place of the list", FIRST.replace(r#"[{"text":"Hel"}]"#, r#"{"text":"Hel"}"#)),
        ("one candidate in the place of the list", FIRST.replace(r#"[{"content""#, r#"{"content""#).replace(r#""index":0}]"#, r#""index":0}"#)),
        ("a second candidate", FIRST.replace(r#""index":0}"#, r#""index":0},{"index":1,"content":{"parts":[{"text":"other"}]}}"#)),
        ("a control character", FIRST.replace(r#""m""#, "\"a\tb\"")),
        ("snake case", FIRST.replace("usageMetadata", "usage_metadata").replace("promptTokenCount", "prompt_token_count")),
    ];
    for (name, first) in &table {
        assert_stream(name, &[first, LAST], "Hello | Stop | 9+5");
    }
}

#[test]
fn streams_in_odd_frames_are_read() {
    let with = |before: &str, after: &str| -> String {
        [FIRST, LAST]
            .iter()
            .map(|data| format!("{before}data: {data}{after}"))
            .collect()
    };
    let table = [
        ("one line end", with("", "\n")),
        ("CRLF", with("", "\r\n\r\n")),
        ("a byte order mark", format!("\u{feff}{}", with("", "\n\n"))),
        ("empty data", with("data:\n\n", "\n\n")),
        ("comments", with(": alive\n\n", "\n\n")),
        ("names of events", with("event: x\n", "\n")),
        (
            "the mark of another format",
            format!("{}data: [DONE]\n\n", with("", "\n\n")),
        ),
        (
            "that mark without a blank line",
            format!("{}data: [DONE]\n", with("", "\n")),
        ),
        ("responses on one line", format!("data: {FIRST}{LAST}\n\n")),
        ("an array", format!("[{FIRST},\n{LAST}]")),
        (
            "an array behind a mark",
            format!("\u{feff}[{FIRST}\n,\n{LAST}\n]\n"),
        ),
        (
            "an array in an event",
            format!("data: [{FIRST},{LAST}]\n\n"),
        ),
        (
            "lines without a name",
            format!("data: {FIRST}\n\n{LAST}\n\n"),
        ),
    ];
    for (name, body) in &table {
        for wanted in [Framing::Sse, Framing::Json] {
            assert_told(name, wanted, body.as_bytes(), "Hello | Stop | 9+5");
        }
    }
}

#[test]
fn half_characters_are_joined_in_every_text() {
    for (extra, expected) in [("", "a😀b"), (r#","thought":true"#, "(a😀b)")] {
        let first = FIRST.replace(r#""Hel""#, &format!(r#""a\ud83d"{extra}"#));
        let last = LAST.replace(r#""lo""#, &format!(r#""\ude00b"{extra}"#));
        assert_stream(
            expected,
            &[&first, &last],
            &format!("{expected} | Stop | 9+5"),
        );
    }
    let call = with_parts(r#"{"functionCall":{"name":"f","args":{"a":"\ud83d\ude00"}}}"#);
    assert_stream(
        "arguments",
        &[&call],
        r#"=f{"a":"\ud83d\ude00"} | ToolCalls | 9+5"#,
    );
    let cut = LAST.replace("lo", "lo\\ud83d");
    assert_stream("cut", &[FIRST, &cut], "Hello\u{FFFD} | Stop | 9+5");
}

#[test]
fn calls_are_read_however_they_come() {
    #[rustfmt::skip] // a table is read by its columns
    let table = [
        (r#"{"functionCall":{"name":"f","args":{"a":1}}}"#, r#"=f{"a":1}"#),
        (r#"{"functionCall":{"name":"f"}}"#, "=f{}"),
        (r#"{"functionCall":{"name":"f","args":null}}"#, "=f{}"),
        (r#"{"functionCall":{"name":"f","args":"{\"a\":1}"}}"#, r#"=f{"a":1}"#),
        (r#"{"functionCall":{"name":"f","args":""}}"#, "=f{}"),
        (r#"{"functionCall":{"name":"f","args":[]}}"#, "=f{}"),
        (r#"{"functionCall":{"name":"f","args":{},"id":7}}"#, "7=f{}"),
        (r#"{"functionCall":{"name":"f","args":{},"id":""}}"#, "=f{}"),
        (r#"{"functionCall":{"name":"f","args":{}}},{"functionCall":{"name":"f","args":{}}}"#, "=f{} | =f{}"),
        (r#"{"functionCall":{"name":"f","args":{},"id":"t"}},{"functionCall":{"name":"g","args":{},"id":"t"}}"#, "t=f{} | t=g{}"),
        (r#"{"function_call":{"name":"f","args":{"a":1}}}"#, r#"=f{"a":1}"#),
        (r#"{"functionCall":{"name":"f","args":{}},"text":""}"#, "=f{}"),
        (r#"{"functionCall":{"name":"f","args":{},"args":{"a":1}}}"#, r#"=f{"a":1}"#),
        (r#"{"functionCall":{"name":"f","willContinue":true}},{"functionCall":{"partialArgs":[{"jsonPath":"$.a","numberValue":"1"}]}}"#, r#"=f{"a":1}"#),
    ];
    for (parts, expected) in table {
        let expected = format!("{expected} | ToolCalls | 9+5");
        assert_stream(parts, &[&with_parts(parts)], &expected);
    }
}

#[test]
fn ends_and_counts_say_what_happened() {
    for (reason, expected) in [
        (r#""STOP""#, "Hello | Stop | 9+5"),
        ("1", "Hello | Stop | 9+5"),
        (r#""MAX_TOKENS""#, "Hello | MaxTokens | 9+5"),
        (r#""SAFETY""#, "Hello | ContentFilter | 9+5"),
        (r#""PROHIBITED_CONTENT""#, "Hello | ContentFilter | 9+5"),
        (r#""IMAGE_SAFETY""#, "Hello | ContentFilter | 9+5"),
        (r#""MALFORMED_FUNCTION_CALL""#, "Hello | Other | 9+5"),
        (r#""TOO_MANY_TOOL_CALLS""#, "Hello | Other | 9+5"),
        (r#""LANGUAGE""#, "Hello | Other | 9+5"),
        (r#""error""#, "Hello | 9+5 | ServerError!"),
        (r#""null""#, "Hello | 9+5 | Truncated!"),
        ("null", "Hello | 9+5 | Truncated!"),
    ] {
        let last = LAST.replace(r#""STOP""#, reason);
        assert_stream(reason, &[FIRST, &last], expected);
    }
    #[rustfmt::skip] // a table is read by its columns
    let table = [
        (r#"{"promptTokenCount":9,"candidatesTokenCount":-7,"totalTokenCount":2}"#, "9+0"),
        (r#"{"promptTokenCount":9,"candidatesTokenCount":5,"thoughtsTokenCount":3,"totalTokenCount":17}"#, "9+8 thought 3"),
        (r#"{"promptTokenCount":9,"thoughtsTokenCount":3,"totalTokenCount":17}"#, "9+8 thought 3"),
        (r#"{"promptTokenCount":9,"candidatesTokenCount":5,"totalTokenCount":20}"#, "9+11"),
        (r#"{"promptTokenCount":9,"candidatesTokenCount":5,"cachedContentTokenCount":4,"totalTokenCount":14}"#, "9+5 read 4"),
        (r#"{"promptTokenCount":7,"toolUsePromptTokenCount":2,"candidatesTokenCount":5,"totalTokenCount":14}"#, "9+5"),
        (r#"{"promptTokenCount":0,"candidatesTokenCount":0,"totalTokenCount":0}"#, "9+0"),
        (r#"{"trafficType":"ON_DEMAND"}"#, "9+0"),
        (r#"{"candidatesTokenCount":5}"#, "9+5"),
        (r#""""#, "9+0"),
        ("null", "9+0"),
    ];
    for (usage, expected) in table {
        let last = LAST.replace(
            r#"{"promptTokenCount":9,"candidatesTokenCount":5,"totalTokenCount":14}"#,
            usage,
        );
        assert_stream(
            usage,
            &[FIRST, &last],
            &format!("Hello | Stop | {expected}"),
        );
    }
}
