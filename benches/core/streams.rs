//! Streamed answers in the shape of real ones: field for field what providers send, with other words.

use std::fmt::Write as _;

/// A streamed answer.
pub(crate) struct Stream {
    /// What it holds.
    pub(crate) kind: &'static str,
    /// Its body.
    pub(crate) bytes: Vec<u8>,
    /// Server-sent events in it.
    pub(crate) events: u64,
}

/// Pieces of text or of arguments in an answer.
const PIECES: usize = 400;

/// An answer of text and one of a tool call, as a wire format spells them.
pub(crate) fn of(format: &str) -> [Stream; 2] {
    let (text, tools) = match format {
        "openai_chat" => (openai_text(), openai_tools()),
        "anthropic" => (anthropic_text(), anthropic_tools()),
        _ => (gemini_text(), gemini_tools()),
    };
    [stream("text", text), stream("tools", tools)]
}

fn stream(kind: &'static str, text: String) -> Stream {
    let normal = text.replace("\r\n", "\n");
    let events = normal.matches("\n\n").count();
    Stream {
        kind,
        bytes: text.into_bytes(),
        events: u64::try_from(events).unwrap_or(u64::MAX),
    }
}

/// A piece of text: short words, now and then an escape or a letter beyond ASCII.
fn word(number: usize) -> &'static str {
    [
        " the", " gate", "way", " sends", "\\n\\n", " é", " tokens", ".",
    ][number % 8]
}

/// A piece of arguments in a JSON string; the pieces together are legal JSON.
fn fragment(number: usize) -> &'static str {
    match number {
        0 => r#"{\"city\":\""#,
        _ if number + 1 == PIECES => r#"\"}"#,
        _ => "Par",
    }
}

fn openai_chunk(text: &mut String, delta: &str, finish: &str, usage: &str) {
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "data: {{\"id\":\"chatcmpl-CkT2mXvQ9aYbL4eWf0RzP7uHsJd31\",\"object\":\"chat.completion.chunk\",\"created\":1764633600,\"model\":\"gpt-5-2025-08-07\",\"service_tier\":\"default\",\"system_fingerprint\":null,\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}],\"usage\":{usage},\"obfuscation\":\"a7Kd9\"}}\n\n"
    );
}

fn openai_end(text: &mut String, finish: &str) {
    openai_chunk(text, "{}", finish, "null");
    let usage = r#"{"prompt_tokens":120,"completion_tokens":400,"total_tokens":520,"prompt_tokens_details":{"cached_tokens":64,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#;
    openai_chunk(text, "{}", "null", usage);
    text.push_str("data: [DONE]\n\n");
}

fn openai_text() -> String {
    let mut text = String::new();
    openai_chunk(
        &mut text,
        r#"{"role":"assistant","content":"","refusal":null}"#,
        "null",
        "null",
    );
    for number in 0..PIECES {
        let delta = format!(r#"{{"content":"{}"}}"#, word(number));
        openai_chunk(&mut text, &delta, "null", "null");
    }
    openai_end(&mut text, "\"stop\"");
    text
}

fn openai_tools() -> String {
    let mut text = String::new();
    openai_chunk(
        &mut text,
        r#"{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_9xkVqT2","type":"function","function":{"name":"get_weather","arguments":""}}],"refusal":null}"#,
        "null",
        "null",
    );
    for number in 0..PIECES {
        let delta = format!(
            r#"{{"tool_calls":[{{"index":0,"function":{{"arguments":"{}"}}}}]}}"#,
            fragment(number)
        );
        openai_chunk(&mut text, &delta, "null", "null");
    }
    openai_end(&mut text, "\"tool_calls\"");
    text
}

fn anthropic_event(text: &mut String, kind: &str, fields: &str) {
    let _ = write!(
        text,
        "event: {kind}\ndata: {{\"type\":\"{kind}\"{fields}}}\n\n"
    );
}

fn anthropic(block: &str, delta: impl Fn(usize) -> String, reason: &str) -> String {
    let mut text = String::new();
    anthropic_event(
        &mut text,
        "message_start",
        r#","message":{"model":"claude-sonnet-4-5-20250929","id":"msg_01XFDUDYJgAACzvnptvVoYEL","type":"message","role":"assistant","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":120,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1,"service_tier":"standard"}}"#,
    );
    let start = format!(r#","index":0,"content_block":{block}"#);
    anthropic_event(&mut text, "content_block_start", &start);
    anthropic_event(&mut text, "ping", "");
    for number in 0..PIECES {
        let fields = format!(r#","index":0,"delta":{}"#, delta(number));
        anthropic_event(&mut text, "content_block_delta", &fields);
    }
    anthropic_event(&mut text, "content_block_stop", r#","index":0"#);
    let fields = format!(
        r#","delta":{{"stop_reason":"{reason}","stop_sequence":null}},"usage":{{"input_tokens":120,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":400}}"#
    );
    anthropic_event(&mut text, "message_delta", &fields);
    anthropic_event(&mut text, "message_stop", "");
    text
}

fn anthropic_text() -> String {
    anthropic(
        r#"{"type":"text","text":""}"#,
        |number| format!(r#"{{"type":"text_delta","text":"{}"}}"#, word(number)),
        "end_turn",
    )
}

fn anthropic_tools() -> String {
    anthropic(
        r#"{"type":"tool_use","id":"toolu_01T1x1fJ34qAmk2tNTrN7Up6","name":"get_weather","input":{}}"#,
        |number| {
            format!(
                r#"{{"type":"input_json_delta","partial_json":"{}"}}"#,
                fragment(number)
            )
        },
        "tool_use",
    )
}

fn gemini_chunk(text: &mut String, parts: &str, finish: &str) {
    let _ = write!(
        text,
        "data: {{\"candidates\": [{{\"content\": {{\"parts\": [{parts}],\"role\": \"model\"}}{finish},\"index\": 0}}],\"usageMetadata\": {{\"promptTokenCount\": 120,\"candidatesTokenCount\": 4,\"totalTokenCount\": 124,\"promptTokensDetails\": [{{\"modality\": \"TEXT\",\"tokenCount\": 120}}]}},\"modelVersion\": \"gemini-2.5-flash\",\"responseId\": \"xQk1aZ2fN6eHvdIP0uSj8A4\"}}\r\n\r\n"
    );
}

fn gemini_text() -> String {
    let mut text = String::new();
    for number in 0..PIECES {
        let part = format!(r#"{{"text": "{}"}}"#, word(number));
        let finish = match number + 1 {
            PIECES => ",\"finishReason\": \"STOP\"",
            _ => "",
        };
        gemini_chunk(&mut text, &part, finish);
    }
    text
}

/// Gemini sends a call whole: many of them, so that there is something to count.
fn gemini_tools() -> String {
    let mut text = String::new();
    for number in 0..PIECES / 10 {
        let part = format!(
            r#"{{"functionCall": {{"name": "get_weather","args": {{"city": "Paris {number}","unit": "celsius"}}}}}}"#
        );
        let finish = match number + 1 {
            40 => ",\"finishReason\": \"STOP\"",
            _ => "",
        };
        gemini_chunk(&mut text, &part, finish);
    }
    text
}
