//! What is read of answers in Anthropic Messages.

use std::sync::Arc;

use modelway::wire::Framing;
use modelway::wire::anthropic::Anthropic;

use super::{events, told};

const START: &str = r#"{"type":"message_start","message":{"id":"m","model":"c","content":[],"usage":{"input_tokens":9,"output_tokens":1}}}"#;
const OPEN: &str =
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
const TEXT: &str =
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#;
const CLOSE: &str = r#"{"type":"content_block_stop","index":0}"#;
const REASON: &str = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":5}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

fn assert_told(name: &str, wanted: Framing, body: &[u8], expected: &str) {
    assert_eq!(
        told(Arc::new(Anthropic::default()), wanted, body),
        expected,
        "{name}"
    );
}

fn assert_stream(name: &str, data: &[&str], expected: &str) {
    let body = events(data.iter().copied());

    assert_told(name, Framing::Sse, body.as_bytes(), expected);
}

#[test]
fn odd_values_beside_the_answer_cost_nothing() {
    #[rustfmt::skip] // a table is read by its columns
    let table = [
        ("the prompt negative", START.replace("9", "-1"), TEXT.to_owned(), REASON.replace(r#""output"#, r#""input_tokens":9,"output"#)),
        ("a fraction", START.replace("9", "9.0"), TEXT.to_owned(), REASON.to_owned()),
        ("a text", START.replace("9", "\"9\""), TEXT.to_owned(), REASON.to_owned()),
        ("no message", START.to_owned(), TEXT.to_owned(), REASON.replace("\"usage\"", "\"context_management\":{},\"usage\"")),
        ("the index null", START.to_owned(), TEXT.replace(r#""index":0"#, r#""index":null"#), REASON.to_owned()),
        ("the index missing", START.to_owned(), TEXT.replace(r#""index":0,"#, ""), REASON.to_owned()),
        ("the index a text", START.to_owned(), TEXT.replace(r#""index":0"#, r#""index":"0""#), REASON.to_owned()),
        ("the id a number", START.replace(r#""id":"m""#, r#""id":7"#), TEXT.to_owned(), REASON.to_owned()),
        ("the model null", START.replace(r#""model":"c""#, r#""model":null"#), TEXT.to_owned(), REASON.to_owned()),
        ("the text twice", START.to_owned(), TEXT.replace(r#""text":"Hello""#, r#""text":"Hello","text":"Hello""#), REASON.to_owned()),
        ("the type of the delta missing", START.to_owned(), TEXT.replace(r#""type":"text_delta","#, ""), REASON.to_owned()),
        ("usage beside the message", START.replace(r#""message":{"#, r#""usage":"","message":{"#), TEXT.to_owned(), REASON.to_owned()),
        ("details null", START.to_owned(), TEXT.to_owned(), REASON.replace("5}", r#"5,"output_tokens_details":null,"server_tool_use":null}"#)),
        ("details of another kind", START.to_owned(), TEXT.to_owned(), REASON.replace("5}", r#"5,"output_tokens_details":[]}"#)),
        ("a stop sequence false", START.to_owned(), TEXT.to_owned(), REASON.replace(r#""stop_sequence":null"#, r#""stop_sequence":false"#)),
        ("an empty error", START.to_owned(), TEXT.replace(r#""index""#, r#""error":{},"index""#), REASON.to_owned()),
        ("a control character", START.replace("\"m\"", "\"a\tb\""), TEXT.to_owned(), REASON.to_owned()),
        ("no number", START.to_owned(), TEXT.replace(r#""index""#, r#""p":NaN,"index""#), REASON.to_owned()),
    ];
    for (name, start, text, reason) in &table {
        assert_stream(
            name,
            &[start, OPEN, text, CLOSE, reason, STOP],
            "Hello | Stop | 9+5",
        );
    }
}

#[test]
fn streams_in_odd_frames_are_read() {
    let all = [START, OPEN, TEXT, CLOSE, REASON, STOP];
    let with = |before: &str, after: &str| -> String {
        all.iter()
            .map(|data| format!("{before}data: {data}{after}"))
            .collect()
    };
    let named: String = all
        .iter()
        .map(|data| {
            let kind = data.split('"').nth(3).unwrap();
            let untyped = data.replacen(&format!(r#""type":"{kind}""#), r#""x":1"#, 1);
            format!("event: {kind}\ndata: {untyped}\n")
        })
        .collect();
    let table = [
        ("one line end", with("", "\n")),
        ("one line end and names", with("event: x\n", "\n")),
        ("names of events without a blank line", named),
        ("CRLF", with("", "\r\n\r\n")),
        ("a byte order mark", format!("\u{feff}{}", with("", "\n\n"))),
        ("pings without data", with("event: ping\ndata:\n\n", "\n\n")),
        ("pings", with("data: {\"type\":\"ping\"}\n\n", "\n\n")),
        ("comments", with(": alive\n\n", "\n\n")),
        (
            "the mark of another format",
            format!("{}data: [DONE]\n\n", with("", "\n\n")),
        ),
        (
            "that mark in the place of the end",
            with("", "\n\n").replace(STOP, "[DONE]"),
        ),
        (
            "no end but the stop reason",
            with("", "\n\n").replace(&format!("data: {STOP}\n\n"), ""),
        ),
        (
            "blocks that are not closed",
            with("", "\n\n").replace(&format!("data: {CLOSE}\n\n"), ""),
        ),
        (
            "unknown events",
            with("data: {\"type\":\"news\",\"delta\":7}\n\n", "\n\n"),
        ),
    ];
    for (name, body) in &table {
        for wanted in [Framing::Sse, Framing::Json] {
            assert_told(name, wanted, body.as_bytes(), "Hello | Stop | 9+5");
        }
    }
}

#[test]
fn an_answer_outside_its_place_is_read() {
    let whole = r#"{"id":"m","type":"message","role":"assistant","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","usage":{"input_tokens":9,"output_tokens":5}}"#;
    let text = whole.replace(
        r#"{"type":"text","text":"Hello"}"#,
        r#"{"type":"text","text":"","citations":[]},{"type":"text","text":"Hello"},null,7"#,
    );
    let error = whole.replace(r#""id""#, r#""error":{},"id""#);
    for (name, body) in [
        ("whole", whole),
        ("empty blocks", &text),
        ("an empty error", &error),
    ] {
        for wanted in [Framing::Sse, Framing::Json] {
            assert_told(name, wanted, body.as_bytes(), "Hello | Stop | 9+5");
        }
        assert_stream(name, &[body], "Hello | Stop | 9+5");
        assert_stream(name, &[START, body, "[DONE]"], "Hello | Stop | 9+5");
    }
    let in_start = OPEN.replace(r#""text":"""#, r#""text":"Hello""#);
    assert_stream(
        "text of the start",
        &[START, &in_start, CLOSE, REASON, STOP],
        "Hello | Stop | 9+5",
    );
    assert_stream("no start", &[TEXT, REASON, STOP], "Hello | Stop | 0+5");
    assert_stream(
        "another number",
        &[
            START,
            OPEN,
            &TEXT.replace(r#""index":0"#, r#""index":4"#),
            REASON,
            STOP,
        ],
        "Hello | Stop | 9+5",
    );
}

#[test]
fn half_characters_are_joined_in_every_text() {
    let table = [
        ("text_delta", "text", "text", "a😀b"),
        ("thinking_delta", "thinking", "thinking", "(a😀b)"),
    ];
    for (kind, block, field, expected) in table {
        let open = format!(
            r#"{{"type":"content_block_start","index":0,"content_block":{{"type":"{block}","{field}":""}}}}"#
        );
        let piece = |text: &str| {
            format!(
                r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"{kind}","{field}":"{text}"}}}}"#
            )
        };
        let (first, second) = (piece("a\\ud83d"), piece("\\ude00b"));
        assert_stream(
            kind,
            &[START, &open, &first, &second, REASON, STOP],
            &format!("{expected} | Stop | 9+5"),
        );
    }
    let open = r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#;
    let piece = |json: &str| {
        format!(
            r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"input_json_delta","partial_json":"{json}"}}}}"#
        )
    };
    let (first, second) = (piece(r#"{\"a\":\"\uD83D"#), piece(r#"\uDE00\"}"#));
    assert_stream(
        "arguments",
        &[START, open, &first, &second, REASON, STOP],
        r#"t=f{"a":"😀"} | ToolCalls | 9+5"#,
    );
}

#[test]
fn calls_are_read_however_their_input_comes() {
    let open = |index: &str, id: &str, input: &str| {
        format!(
            r#"{{"type":"content_block_start"{index},"content_block":{{"type":"tool_use","id":{id},"name":"f","input":{input}}}}}"#
        )
    };
    let piece = |index: &str, json: &str| {
        format!(
            r#"{{"type":"content_block_delta"{index},"delta":{{"type":"input_json_delta","partial_json":"{json}"}}}}"#
        )
    };
    let (zero, one) = (r#","index":0"#, r#","index":1"#);
    #[rustfmt::skip] // a table is read by its columns
    let table = [
        ("no piece", vec![open(zero, "\"t\"", "{}")], "t=f{}"),
        ("in the start", vec![open(zero, "\"t\"", r#"{"a":1}"#)], r#"t=f{"a":1}"#),
        ("in the start and in pieces", vec![open(zero, "\"t\"", r#"{"a":1}"#), piece(zero, r#"{\"a\":1}"#)], r#"t=f{"a":1}"#),
        ("as a text", vec![open(zero, "\"t\"", r#""{\"a\":1}""#)], r#"t=f{"a":1}"#),
        ("null", vec![open(zero, "\"t\"", "null")], "t=f{}"),
        ("an empty text", vec![open(zero, "\"t\"", "\"\""), piece(zero, ""), piece(zero, r#"{\"a\":1}"#)], r#"t=f{"a":1}"#),
        ("a list", vec![open(zero, "\"t\"", "[]")], "t=f{}"),
        ("no id", vec![open(zero, "null", "{}")], "=f{}"),
        ("two that take turns", vec![open(zero, "\"t\"", "{}"), open(one, "\"u\"", "{}"), piece(zero, r#"{\"a\""#), piece(one, "{"), piece(zero, ":1}"), piece(one, "}")], r#"t=f{"a":1} | u=f{}"#),
        ("without numbers", vec![open("", "\"t\"", "{}"), piece("", r#"{\"a\":1}"#), open("", "\"u\"", "{}"), piece("", r#"{\"a\":2}"#)], r#"t=f{"a":1} | u=f{"a":2}"#),
        ("pieces without a number", vec![open(one, "\"t\"", "{}"), piece("", r#"{\"a\":1}"#)], r#"t=f{"a":1}"#),
        ("all of number 0", vec![open(zero, "\"t\"", "{}"), piece(zero, r#"{\"a\":1}"#), open(zero, "\"u\"", "{}"), piece(zero, r#"{\"a\":2}"#)], r#"t=f{"a":1} | u=f{"a":2}"#),
    ];
    for (name, data, expected) in &table {
        let all: Vec<&str> = [START]
            .into_iter()
            .chain(data.iter().map(String::as_str))
            .chain([REASON, STOP])
            .collect();
        assert_stream(name, &all, &format!("{expected} | ToolCalls | 9+5"));
    }
}

#[test]
fn ends_and_counts_say_what_happened() {
    for (reason, expected) in [
        ("end_turn", "Hello | Stop | 9+5"),
        ("stop", "Hello | Stop | 9+5"),
        ("length", "Hello | MaxTokens | 9+5"),
        ("model_context_window_exceeded", "Hello | MaxTokens | 9+5"),
        ("refusal", "Hello | ContentFilter | 9+5"),
        ("content_filter", "Hello | ContentFilter | 9+5"),
        ("tool_use", "Hello | Other | 9+5"),
        ("pause_turn", "Hello | Other | 9+5"),
        ("error", "Hello | 9+5 | ServerError!"),
        ("network_error", "Hello | 9+5 | ServerError!"),
        ("null", "Hello | Other | 9+5"),
    ] {
        let end = REASON.replace("end_turn", reason);
        assert_stream(reason, &[START, OPEN, TEXT, &end, STOP], expected);
    }
    #[rustfmt::skip] // a table is read by its columns
    let table = [
        ("a prompt of none behind", r#"{"input_tokens":0,"output_tokens":5}"#, "9+5"),
        ("nothing behind", r#"{"input_tokens":0,"output_tokens":0}"#, "9+1"),
        ("no answer behind", r#"{"output_tokens":0}"#, "9+0"),
        ("null behind", r#"{"input_tokens":null,"output_tokens":5,"cache_read_input_tokens":null}"#, "9+5"),
        ("negative behind", r#"{"input_tokens":-3,"output_tokens":5}"#, "9+5"),
        ("a cache behind", r#"{"input_tokens":2,"output_tokens":5,"cache_read_input_tokens":7}"#, "9+5 read 7"),
        ("all of it from the cache", r#"{"input_tokens":0,"output_tokens":5,"cache_read_input_tokens":9}"#, "9+5 read 9"),
        ("a smaller prompt", r#"{"input_tokens":4,"output_tokens":5}"#, "4+5"),
        ("an empty text", r#""""#, "9+1"),
    ];
    for (name, usage, expected) in table {
        let end = REASON.replace(r#"{"output_tokens":5}"#, usage);
        assert_stream(
            name,
            &[START, OPEN, TEXT, &end, STOP],
            &format!("Hello | Stop | {expected}"),
        );
    }
    let in_stop = STOP.replace("}", r#","usage":{"output_tokens":5}}"#);
    let end = REASON.replace(r#","usage":{"output_tokens":5}"#, "");
    assert_stream(
        "with the end",
        &[START, OPEN, TEXT, &end, &in_stop],
        "Hello | Stop | 9+5",
    );
}
