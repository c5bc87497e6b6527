//! How much memory does an answer cost that is made to cost much?

use std::fmt::Write as _;

use futures_util::{StreamExt as _, stream};
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;

use super::raw::{EVENTS, Host, JSON};
use crate::support::{Process, ask, scratch};

/// A quarter of what one event may have.
const MANY_BYTES: usize = 2 * 1024 * 1024;

/// What any answer of that size may cost, its copies on the way and all else that a call takes included.
const MOST_KIB: u64 = 32 * 1024;

/// How many programs run at once, each with an answer of its own.
const AT_ONCE: usize = 2;

/// An answer that is repetitive: its beginning, what comes again and again, its end.
struct Shape {
    name: &'static str,
    wire_format: &'static str,
    head: &'static str,
    beginning: &'static str,
    filling: &'static str,
    end: &'static str,
}

#[rustfmt::skip] // a table is read by its columns
fn shapes() -> Vec<Shape> {
    let row = |wire_format, head, name, beginning, filling, end| Shape { name, wire_format, head, beginning, filling, end };
    let (openai, anthropic, gemini) = ("openai_chat", "anthropic", "gemini");
    vec![
        row(openai, EVENTS, "empty tool calls",    r#"data: {"choices":[{"delta":{"tool_calls":[{}"#, ",{}", "]}}]}\n\n"),
        row(openai, EVENTS, "named tool calls",    r#"data: {"choices":[{"delta":{"tool_calls":[{}"#, r#",{"function":{"name":"a"}}"#, "]}}]}\n\n"),
        row(openai, EVENTS, "empty pieces",        r#"data: {"choices":[{"delta":{"content":[{}"#, ",{}", "]}}]}\n\n"),
        row(openai, EVENTS, "pieces that are lists", r#"data: {"choices":[{"delta":{"content":[[]"#, ",[]", "]}}]}\n\n"),
        row(openai, EVENTS, "an id that is a list",  r#"data: {"id":[{}"#, ",{}", "],\"choices\":[]}\n\n"),
        row(openai, EVENTS, "a count that is an object", r#"data: {"usage":{"prompt_tokens":{"a":[0"#, ",[]", "]}},\"choices\":[]}\n\n"),
        row(openai, EVENTS, "arguments that are an object", r#"data: {"choices":[{"delta":{"tool_calls":[{"function":{"arguments":{"a":[0"#, ",[]", "]}}}]}}]}\n\n"),
        row(openai, EVENTS, "reasoning details",   r#"data: {"choices":[{"delta":{"reasoning_details":[0"#, ",0", "]}}]}\n\n"),
        row(openai, EVENTS, "an unknown event",    r#"data: {"x":[0"#, ",[]", "]}\n\n"),
        row(openai, EVENTS, "an error",            r#"data: {"error":{"message":"no","x":[0"#, ",[]", "]}}\n\n"),
        row(openai, JSON,   "whole: empty tool calls", r#"{"choices":[{"message":{"tool_calls":[{}"#, ",{}", "]}}]}"),
        row(openai, JSON,   "whole: no answer",    r#"{"x":[0"#, ",[]", "]}"),
        row(openai, EVENTS, "short events",        "", "data:{}\n\n", ""),
        row(openai, EVENTS, "usage twice by turns", "", "data:{\"usage\":{\"prompt_tokens\":1}}\n\ndata:{\"usage\":{\"prompt_tokens\":2}}\n\n", ""),
        row(openai, EVENTS, "an event's name",     "event: ", "\u{e9}", "\ndata: {}\n\n"),
        row(anthropic, EVENTS, "an unreadable event", r#"data: {"type":"message_start","index":"no","x":[0"#, ",[]", "]}\n\n"),
        row(anthropic, EVENTS, "an error",         r#"data: {"type":"error","error":{"x":[0"#, ",[]", "]}}\n\n"),
        row(anthropic, JSON,   "whole: empty blocks", r#"{"content":[{}"#, ",{}", "]}"),
        row(anthropic, EVENTS, "open blocks",      "", "data:{\"type\":\"content_block_start\",\"content_block\":{\"type\":\"x\"}}\n\n", ""),
        row(gemini, EVENTS, "empty candidates",    r#"data: {"candidates":[{}"#, ",{}", "]}\n\n"),
        row(gemini, EVENTS, "empty parts",         r#"data: {"candidates":[{"content":{"parts":[{}"#, ",{}", "]}}]}\n\n"),
        row(gemini, EVENTS, "short parts",         r#"data: {"candidates":[{"content":{"parts":[{}"#, r#",{"text":"a"},{"text":"b","thought":true}"#, "]}}]}\n\n"),
        row(gemini, EVENTS, "an error",            r#"data: {"error":{"x":[0"#, ",[]", "]}}\n\n"),
        row(gemini, EVENTS, "arguments in pieces", r#"data: {"candidates":[{"content":{"parts":[{"functionCall":{"name":"a","willContinue":true,"args":{"a":[0"#, ",[]", "]}}}]}}]}\n\n"),
        row(gemini, JSON,   "whole: responses",    "[{}", r#",{"usageMetadata":{"promptTokenCount":1}}"#, "]"),
    ]
}

/// A model's name of a mebibyte, and behind it events that each change the answer's id.
async fn names() -> Host {
    let head = format!(
        "{EVENTS}data: {{\"modelVersion\":\"{}\"}}\n\n",
        "m".repeat(1 << 20)
    );
    let ids: String = (0..2_000).fold(String::new(), |mut ids, id| {
        let _ = write!(ids, "data:{{\"responseId\":\"{id}\"}}\n\n");
        ids
    });
    Host::start(&head, ids, 1).await
}

/// What one call of such a host costs at most, in KiB.
async fn cost(host: &Host, wire_format: &str) -> u64 {
    let limit = match wire_format {
        "anthropic" => "max_output_tokens = 1000",
        _ => "",
    };
    let config = format!(
        r#"
        [providers.odd]
        wire_format = "{wire_format}"
        base_url = "http://{}/v1"
        auth = "none"
        [models."odd/m"]
        {limit}
        [scenarios.s]
        targets = ["odd/m"]
        "#,
        host.address
    );
    let file = scratch::file("modelway.toml", config);
    let process = Process::serve(Some(&file), &[]);
    let mut client = GenerationServiceClient::new(process.connect().await);
    let before = process.resident_kib();

    let _ = client.generate(ask("s", "Hello")).await;

    process.peak_kib().saturating_sub(before)
}

#[tokio::test]
async fn no_answer_costs_many_times_its_size() {
    let shapes = stream::iter(shapes()).map(|shape| async move {
        let head = format!("{}{}", shape.head, shape.beginning);
        let times = MANY_BYTES / (shape.filling.len() * 1024);
        let host = Host::ending(&head, shape.filling.repeat(1024), times, shape.end).await;
        let cost = cost(&host, shape.wire_format).await;
        (cost, format!("{} {}", shape.wire_format, shape.name))
    });
    let mut costs: Vec<_> = shapes.buffered(AT_ONCE).collect().await;
    let cost = cost(&names().await, "gemini").await;
    costs.push((cost, "gemini names".to_owned()));

    let lines = costs
        .iter()
        .map(|(cost, name)| format!("{cost:>8} KiB  {name}"));
    let table = lines.collect::<Vec<_>>().join("\n");
    println!("{table}");
    assert!(costs.iter().all(|(cost, _)| *cost <= MOST_KIB), "{table}");
}
