//! What is read of answers in OpenAI Chat Completions.

use std::sync::Arc;

use modelway::wire::Framing;
use modelway::wire::openai_chat::OpenAiChat;

use super::{events, told};

const END: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}}"#;

/// An event with this delta.
fn delta(delta: &str) -> String {
    format!(
        r#"{{"id":"c","model":"m","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#
    )
}

/// An event with these fragments of tool calls.
fn calls(fragments: &str) -> String {
    delta(&format!(r#"{{"tool_calls":{fragments}}}"#))
}

fn assert_told(name: &str, wanted: Framing, body: &[u8], expected: &str) {
    let format = Arc::new(OpenAiChat::default());

    assert_eq!(told(format, wanted, body), expected, "{name}");
}

/// Each stream of these events and `[DONE]` tells this.
fn assert_streams(table: &[(&str, &[&str], &str)]) {
    for (name, data, expected) in table {
        let body = events(data.iter().copied().chain(["[DONE]"]));

        assert_told(name, Framing::Sse, body.as_bytes(), expected);
    }
}

#[test]
fn odd_values_beside_the_answer_cost_nothing() {
    let hello = delta(r#"{"content":"Hello"}"#);
    let beside = |fields: &str| {
        format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"Hello"}}{fields}}}]}}"#)
    };
    let table = [
        (
            "index is null",
            hello.replace(r#""index":0"#, r#""index":null"#),
        ),
        (
            "index is a text",
            hello.replace(r#""index":0"#, r#""index":"0""#),
        ),
        ("index is missing", hello.replace(r#""index":0,"#, "")),
        (
            "index is negative",
            hello.replace(r#""index":0"#, r#""index":-1"#),
        ),
        ("id is a number", hello.replace(r#""id":"c""#, r#""id":17"#)),
        (
            "id is an object",
            hello.replace(r#""id":"c""#, r#""id":{"$oid":"c"}"#),
        ),
        (
            "model is null",
            hello.replace(r#""model":"m""#, r#""model":null"#),
        ),
        (
            "an object in the place of the choices",
            hello
                .replace(r#"[{"index""#, r#"{"index""#)
                .replace("}]}", "}}"),
        ),
        (
            "the finish reason is a text of null",
            hello.replace("null", r#""null""#),
        ),
        ("the finish reason is false", hello.replace("null", "false")),
        (
            "usage is an empty text",
            hello.replace(r#""id""#, r#""usage":"","id""#),
        ),
        (
            "usage is a list",
            hello.replace(r#""id""#, r#""usage":[],"id""#),
        ),
        (
            "an error that is false",
            hello.replace(r#""id""#, r#""error":false,"id""#),
        ),
        (
            "an error of empty fields",
            hello.replace(r#""id""#, r#""error":{"code":null,"message":""},"id""#),
        ),
        (
            "an error of the choice that says nothing",
            beside(r#","error":{}"#),
        ),
        (
            "no number for a probability",
            beside(r#","logprobs":{"content":[{"logprob":-Infinity,"x":NaN}]}"#),
        ),
        (
            "content twice",
            hello.replace(r#"{"content""#, r#"{"content":"Hello","content""#),
        ),
        (
            "content twice, one of them null",
            hello.replace(r#"{"content""#, r#"{"content":null,"content""#),
        ),
        (
            "content null behind content",
            hello.replace(r#""Hello""#, r#""Hello","content":null"#),
        ),
        (
            "tool calls null",
            hello.replace(r#"{"content""#, r#"{"tool_calls":null,"content""#),
        ),
        (
            "tool calls an empty text",
            hello.replace(r#"{"content""#, r#"{"tool_calls":"","content""#),
        ),
        (
            "tool calls of null",
            hello.replace(r#"{"content""#, r#"{"tool_calls":[null],"content""#),
        ),
        (
            "a function call of nothing",
            hello.replace(
                r#"{"content""#,
                r#"{"function_call":{"name":"","arguments":""},"content""#,
            ),
        ),
        (
            "reasoning details of another kind",
            hello.replace(r#"{"content""#, r#"{"reasoning_details":"","content""#),
        ),
        (
            "refusal false",
            hello.replace(r#"{"content""#, r#"{"refusal":false,"content""#),
        ),
        (
            "content as a list of texts",
            hello.replace(r#""Hello""#, r#"["Hel","lo"]"#),
        ),
        (
            "content as a piece",
            hello.replace(r#""Hello""#, r#"{"type":"text","text":"Hello"}"#),
        ),
        (
            "a control character as it is",
            hello.replace(r#""c""#, "\"a\tb\""),
        ),
    ];
    for (name, first) in &table {
        assert_streams(&[(name, &[first, END], "Hello | Stop | 9+5")]);
    }
}

#[test]
fn streams_in_odd_frames_are_read() {
    let hello = delta(r#"{"content":"Hello"}"#);
    let lines = |end: &str| format!("data: {hello}{end}data: {END}{end}data: [DONE]{end}");
    let table = [
        ("one line end between events", lines("\n")),
        ("CRLF", lines("\r\n\r\n")),
        ("one CRLF", lines("\r\n")),
        ("a byte order mark", format!("\u{feff}{}", lines("\n\n"))),
        (
            "no space behind the colon",
            lines("\n\n").replace("data: ", "data:"),
        ),
        (
            "named events without a blank line",
            lines("\n").replace("data:", "event: chunk\ndata:"),
        ),
        ("empty events", lines("\n\ndata:\n\ndata: \n\n")),
        (
            "comments",
            format!(": waiting\n\n{}", lines("\n\n: alive\n\n")),
        ),
        (
            "no mark at the end",
            lines("\n\n").replace("data: [DONE]\n\n", ""),
        ),
        (
            "the mark twice",
            format!("{}data: [DONE]\n\n", lines("\n\n")),
        ),
        (
            "lines without a name",
            format!("data: {hello}\n\n{END}\n\n"),
        ),
        ("ids of events", lines("\nid: 1\n\n")),
    ];
    for (name, body) in &table {
        for wanted in [Framing::Sse, Framing::Json] {
            assert_told(name, wanted, body.as_bytes(), "Hello | Stop | 9+5");
        }
    }
}

#[test]
fn half_characters_are_joined_in_every_text() {
    let text = |field: &str| {
        [
            delta(&format!(r#"{{"{field}":"a\ud83d"}}"#)),
            delta(&format!(r#"{{"{field}":"\ude00b"}}"#)),
        ]
    };
    for (field, expected) in [
        ("content", "a😀b | Stop | 9+5"),
        ("reasoning_content", "(a😀b) | Stop | 9+5"),
        ("reasoning", "(a😀b) | Stop | 9+5"),
        ("refusal", "no: a😀b | Stop | 9+5"),
    ] {
        let [first, second] = text(field);
        assert_streams(&[(field, &[&first, &second, END], expected)]);
    }
    let first =
        calls(r#"[{"index":0,"id":"t","function":{"name":"f","arguments":"{\"a\":\"\ud83d"}}]"#);
    let second = calls(r#"[{"index":0,"function":{"arguments":"\ude00\"}"}}]"#);
    assert_streams(&[(
        "arguments",
        &[&first, &second, END],
        r#"t=f{"a":"😀"} | ToolCalls | 9+5"#,
    )]);

    let body = events([&*delta(r#"{"content":"你HERE"}"#), END]).into_bytes();
    let cut = body.iter().position(|byte| *byte == b'H').unwrap();
    let mut halves = body[..cut - 1].to_vec();
    halves.extend_from_slice(b"\"},\"x\":1}]}\n\n");
    let rest = events([&*delta(r#"{"content":"@b"}"#), END, "[DONE]"]).into_bytes();
    halves.extend(
        rest.iter()
            .map(|byte| if *byte == b'@' { 0xA0 } else { *byte }),
    );
    assert_told("bytes", Framing::Sse, &halves, "你b | Stop | 9+5");
}

#[test]
fn fragments_find_their_calls_however_they_are_numbered_and_named() {
    let all = |fragments: &[&str]| {
        fragments
            .iter()
            .map(|fragment| calls(fragment))
            .collect::<Vec<_>>()
    };
    #[rustfmt::skip] // a table is read by its columns
    let table: [(&str, &[&str], &str); 24] = [
        ("whole calls of index 0 without ids",
            &[r#"[{"index":0,"function":{"name":"f","arguments":"{\"a\":1}"}}]"#, r#"[{"index":0,"function":{"name":"g","arguments":"{}"}}]"#],
            r#"=f{"a":1} | =g{}"#),
        ("the same tool twice, index 0, no ids",
            &[r#"[{"index":0,"function":{"name":"f","arguments":"{\"a\":1}"}}]"#, r#"[{"index":0,"function":{"name":"f","arguments":"{\"a\":2}"}}]"#],
            r#"=f{"a":1} | =f{"a":2}"#),
        ("calls in pieces, index 0, no ids",
            &[r#"[{"index":0,"function":{"name":"f","arguments":""}}]"#, r#"[{"index":0,"function":{"arguments":"{}"}}]"#, r#"[{"index":0,"function":{"name":"f","arguments":""}}]"#, r#"[{"index":0,"function":{"arguments":"{\"a\":2}"}}]"#],
            r#"=f{} | =f{"a":2}"#),
        ("without index and id in one list",
            &[r#"[{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"f","arguments":"{}"}}]"#],
            "=f{} | =f{}"),
        ("two without arguments in one list",
            &[r#"[{"function":{"name":"f","arguments":""}},{"function":{"name":"g","arguments":""}}]"#],
            "=f | =g"),
        ("without index, in pieces, with ids",
            &[r#"[{"id":"a","function":{"name":"f","arguments":"{\"a\":"}}]"#, r#"[{"function":{"arguments":"1}"}}]"#, r#"[{"id":"b","function":{"name":"g","arguments":"{}"}}]"#],
            r#"a=f{"a":1} | b=g{}"#),
        ("one id with every fragment",
            &[r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"a\""}}]"#, r#"[{"index":0,"id":"a","function":{"name":"f","arguments":":1"}}]"#, r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"}"}}]"#, r#"[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]"#],
            r#"a=f{"a":1}"#),
        ("one id with every fragment, without index",
            &[r#"[{"id":"a","function":{"name":"f","arguments":"{\"a\""}}]"#, r#"[{"id":"a","function":{"arguments":":1}"}}]"#],
            r#"a=f{"a":1}"#),
        ("a new id with every fragment",
            &[r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"a\""}}]"#, r#"[{"index":0,"id":"b","function":{"name":"f","arguments":":1}"}}]"#, r#"[{"index":0,"id":"c","function":{"arguments":""}}]"#],
            r#"a=f{"a":1}"#),
        ("a new id with every fragment, without index and name",
            &[r#"[{"id":"a","function":{"name":"f","arguments":"{\"a\""}}]"#, r#"[{"id":"b","function":{"arguments":":1}"}}]"#],
            r#"a=f{"a":1}"#),
        ("ids that interleave under index 0",
            &[r#"[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]"#, r#"[{"index":0,"id":"b","function":{"name":"g","arguments":""}}]"#, r#"[{"index":0,"id":"a","function":{"arguments":"{\"a\":1}"}}]"#, r#"[{"index":0,"id":"b","function":{"arguments":"{}"}}]"#],
            r#"a=f{"a":1} | b=g{}"#),
        ("one id for two indices",
            &[r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]"#, r#"[{"index":1,"id":"a","function":{"name":"f","arguments":"{\"a\":1}"}}]"#],
            r#"a=f{} | a=f{"a":1}"#),
        ("the same call again at the end",
            &[r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"a\""}}]"#, r#"[{"index":0,"function":{"arguments":":1}"}}]"#, r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"a\":1}"}}]"#],
            r#"a=f{"a":1}"#),
        ("blanks behind the arguments",
            &[r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]"#, r#"[{"index":0,"function":{"arguments":"\n"}}]"#],
            "a=f{}\n"),
        ("the name after the id",
            &[r#"[{"index":0,"id":"a"}]"#, r#"[{"index":0,"function":{"name":"f","arguments":"{}"}}]"#],
            "a=f{}"),
        ("arguments as an object",
            &[r#"[{"index":0,"id":"a","function":{"name":"f","arguments":{"a": 1}}}]"#],
            r#"a=f{"a":1}"#),
        ("arguments null",
            &[r#"[{"index":0,"id":"a","function":{"name":"f","arguments":null}}]"#],
            "a=f"),
        ("one call in the place of the list",
            &[r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}"#],
            "a=f{}"),
        ("the index as a text",
            &[r#"[{"index":"0","id":"a","function":{"name":"f","arguments":"{"}}]"#, r#"[{"index":"0","function":{"arguments":"}"}}]"#],
            "a=f{}"),
        ("the index null",
            &[r#"[{"index":null,"id":"a","function":{"name":"f","arguments":"{"}}]"#, r#"[{"index":null,"function":{"arguments":"}"}}]"#],
            "a=f{}"),
        ("indices from one",
            &[r#"[{"index":1,"id":"a","function":{"name":"f","arguments":"{}"}}]"#, r#"[{"index":2,"id":"b","function":{"name":"g","arguments":"{}"}}]"#],
            "a=f{} | b=g{}"),
        ("an id that is a number",
            &[r#"[{"index":0,"id":7,"function":{"name":"f","arguments":"{}"}}]"#],
            "7=f{}"),
        ("braces in texts of the arguments",
            &[r#"[{"index":0,"function":{"name":"f","arguments":"{\"a\":\"}"}}]"#, r#"[{"index":0,"function":{"name":"f","arguments":"{\\\"\"}"}}]"#],
            r#"=f{"a":"}{\""}"#),
        ("a function call in pieces",
            &[r#"null,"function_call":{"name":"f","arguments":"{"}"#, r#"null,"function_call":{"arguments":"}"}"#],
            "=f{}"),
    ];
    for (name, fragments, expected) in table {
        let chunks = all(fragments);
        let data: Vec<&str> = chunks.iter().map(String::as_str).chain([END]).collect();

        assert_streams(&[(name, &data, &format!("{expected} | ToolCalls | 9+5"))]);
    }
}

#[test]
fn an_answer_outside_its_place_is_read_once() {
    let whole = r#"{"choices":[{"index":0,"message":{"content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":5}}"#;
    let beside_empty = whole.replace(r#""message""#, r#""delta":{},"message""#);
    let beside_role = whole.replace(
        r#""message""#,
        r#""delta":{"role":"assistant","content":""},"message""#,
    );
    let beside_null = whole.replace(r#""message""#, r#""delta":null,"message""#);
    let hello = delta(r#"{"content":"Hello"}"#);
    let repeated = whole.replace(r#""message""#, r#""delta":{"content":""},"message""#);
    let both = calls(
        r#"[{"index":0,"id":"t","function":{"name":"f","arguments":"{}"}}],"function_call":{"name":"f","arguments":"{}"}"#,
    );
    let older = delta(r#"{"function_call":{"name":"f","arguments":"{}"}}"#);
    let newer = calls(r#"[{"index":0,"id":"t","function":{"name":"f","arguments":"{}"}}]"#);
    assert_streams(&[
        ("message", &[whole], "Hello | Stop | 9+5"),
        (
            "message beside an empty delta",
            &[&beside_empty],
            "Hello | Stop | 9+5",
        ),
        (
            "message beside a role",
            &[&beside_role],
            "Hello | Stop | 9+5",
        ),
        ("message beside null", &[&beside_null], "Hello | Stop | 9+5"),
        (
            "message behind deltas",
            &[&hello, &repeated],
            "Hello | Stop | 9+5",
        ),
        (
            "both fields of calls",
            &[&both, END],
            "t=f{} | ToolCalls | 9+5",
        ),
        (
            "the older field behind",
            &[&newer, &older, END],
            "t=f{} | ToolCalls | 9+5",
        ),
    ]);
    let of_delta = whole.replace("message", "delta");
    for (name, body) in [
        ("whole", whole),
        ("delta of a whole body", &of_delta),
        ("both", &beside_empty),
    ] {
        for wanted in [Framing::Sse, Framing::Json] {
            assert_told(name, wanted, body.as_bytes(), "Hello | Stop | 9+5");
        }
    }
}

#[test]
fn finish_reasons_say_what_happened_in_the_words_of_any_host() {
    let hello = delta(r#"{"content":"Hello"}"#);
    for (reason, expected) in [
        ("stop", "Stop"),
        ("STOP", "Stop"),
        ("eos", "Stop"),
        ("length", "MaxTokens"),
        ("MAX_TOKENS", "MaxTokens"),
        ("model_context_window_exceeded", "MaxTokens"),
        ("sensitive", "ContentFilter"),
        ("SAFETY", "ContentFilter"),
        ("guardrail_intervened", "ContentFilter"),
        ("tool_calls", "Other"),
        ("MALFORMED_FUNCTION_CALL", "Other"),
        ("error", "ServerError!"),
        ("network_error", "ServerError!"),
        ("abort", "ServerError!"),
        ("insufficient_system_resource", "Overloaded!"),
    ] {
        let end = format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#);
        let expected = format!("Hello | {expected}");
        assert_streams(&[(reason, &[&hello, &end], &expected)]);
    }
    let null = r#"{"choices":[{"delta":{},"finish_reason":"null"}]}"#;
    assert_told(
        "null",
        Framing::Sse,
        events([&*hello, null]).as_bytes(),
        "Hello | Truncated!",
    );
}

#[test]
fn counts_are_read_wherever_they_stand_and_whatever_they_include() {
    let hello = delta(r#"{"content":"Hello"}"#);
    #[rustfmt::skip] // a table is read by its columns
    let table = [
        ("zeros behind", r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":5}}"#, r#"{"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}"#, "9+5"),
        ("nulls behind", r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":5}}"#, r#"{"choices":[],"usage":{"prompt_tokens":null,"completion_tokens":null}}"#, "9+5"),
        ("details only at first", r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4}}}"#, r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":6}}"#, "9+6 read 4"),
        ("a part of the counts behind", r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":5}}"#, r#"{"choices":[],"usage":{"completion_tokens":6}}"#, "9+6"),
        ("in the choice", r#"{"choices":[{"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":9,"completion_tokens":5}}]}"#, "{}", "9+5"),
        ("of Groq", r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"x_groq":{"usage":{"prompt_tokens":9,"completion_tokens":5}}}"#, "{}", "9+5"),
        ("as texts", r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":"9","completion_tokens":"5"}}"#, "{}", "9+5"),
        ("as fractions", r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9.0,"completion_tokens":5.0}}"#, "{}", "9+5"),
        ("the prompt negative", r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":-1,"completion_tokens":5}}"#, "{}", "0+5"),
        ("the prompt absent", r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"completion_tokens":5,"total_tokens":14}}"#, "{}", "9+5"),
        ("a cache beside the prompt", r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":114,"prompt_tokens_details":{"cached_tokens":100}}}"#, "{}", "109+5 read 100"),
        ("reasoning beside the answer", r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":17,"completion_tokens_details":{"reasoning_tokens":3}}}"#, "{}", "9+8 thought 3"),
        ("reasoning beyond the answer", r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14,"completion_tokens_details":{"reasoning_tokens":7}}}"#, "{}", "9+5 thought 5"),
        ("details of another kind", r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":5,"prompt_tokens_details":[],"completion_tokens_details":""}}"#, "{}", "9+5"),
        ("names of Anthropic", r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"input_tokens":9,"output_tokens":5}}"#, "{}", "9+5"),
    ];
    for (name, first, second, expected) in table {
        let expected = format!("Hello | Stop | {expected}");
        assert_streams(&[(name, &[&hello, first, second], &expected)]);
    }
}
