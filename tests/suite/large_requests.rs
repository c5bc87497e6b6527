//! What do requests of very many elements cost, and what are their callers told?

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _};
use modelway::chat::{
    ChatRequest, FunctionTool, Message, Part, Reasoning, Role, Tool, ToolCall, ToolChoice,
    ToolResult,
};
use modelway::features::features_of;
use modelway::grpc::elements::ElementLimits;
use modelway::grpc::request;
use modelway::grpc::v1::catalog_service_client::CatalogServiceClient;
use modelway::grpc::v1::content_part::Part as Piece;
use modelway::grpc::v1::json_schema::Schema;
use modelway::grpc::v1::{
    self, ContentPart, ExplainPlanRequest, GenerateRequest, JsonSchema, ListScenariosRequest,
    SamplingParams,
};
use modelway::wire::openai_chat::{Dialect, OpenAiChat, ReasoningHistory, ToolCallIds};
use modelway::wire::options::NO_OPTIONS;
use modelway::wire::{Recipient, WireFormat, anthropic, gemini, openai_chat};

use prost::Message as _;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::cost::assert_linear;
use crate::support::foreign::answer::Manner;
use crate::support::foreign::http1::{End, Http1};
use crate::support::{Details, Gateway, ONE_MODEL, Process, ask, details, quickest, scratch};

/// No limit that anything here reaches.
fn unlimited() -> ElementLimits {
    let most = usize::MAX;
    ElementLimits {
        max_messages: most,
        max_parts: most,
        max_tool_calls: most,
        max_tools: most,
        max_schema_values: most,
        max_provider_options: most,
        max_fields: most,
    }
}

fn said(role: v1::Role, text: &str) -> v1::Message {
    v1::Message {
        role: role.into(),
        text: text.to_owned(),
        parts: Vec::new(),
    }
}

fn made_of(role: v1::Role, pieces: impl IntoIterator<Item = Piece>) -> v1::Message {
    let part = |piece| ContentPart {
        part: Some(piece),
        ..ContentPart::default()
    };
    v1::Message {
        role: role.into(),
        text: String::new(),
        parts: pieces.into_iter().map(part).collect(),
    }
}

fn call(id: usize) -> Piece {
    Piece::ToolCall(v1::ToolCall {
        id: format!("call-{id}"),
        name: "look_up".to_owned(),
        arguments_json: "{}".to_owned(),
        ..v1::ToolCall::default()
    })
}

fn result(id: usize) -> Piece {
    let text = Piece::Text("found".to_owned());
    Piece::ToolResult(v1::ToolResult {
        tool_call_id: format!("call-{id}"),
        content: vec![ContentPart {
            part: Some(text),
            ..ContentPart::default()
        }],
        is_error: false,
    })
}

fn tool(name: &str, parameters: Option<Schema>) -> v1::Tool {
    v1::Tool {
        tool: Some(v1::tool::Tool::Function(v1::FunctionTool {
            name: name.to_owned(),
            parameters: parameters.map(|schema| JsonSchema {
                schema: Some(schema),
            }),
            ..v1::FunctionTool::default()
        })),
        ..v1::Tool::default()
    }
}

/// An object schema of this many members, as an object of protobuf.
fn wide(members: usize) -> Schema {
    let value = prost_types::Value::from(1.0);
    let fields: BTreeMap<_, _> = (0..members)
        .map(|member| (format!("m{member}"), value.clone()))
        .collect();
    Schema::Object(prost_types::Struct { fields })
}

/// A request that grows with a number.
type Growing = fn(usize) -> GenerateRequest;

fn talk(messages: impl IntoIterator<Item = v1::Message>) -> GenerateRequest {
    let hello = said(v1::Role::User, "Hello");
    GenerateRequest {
        scenario: "one".to_owned(),
        messages: messages.into_iter().chain([hello]).collect(),
        ..GenerateRequest::default()
    }
}

fn with_tools(tools: impl IntoIterator<Item = v1::Tool>) -> GenerateRequest {
    GenerateRequest {
        tools: tools.into_iter().collect(),
        ..talk([])
    }
}

/// Requests of which one part grows, legal ones and others.
const GROWING: [(&str, Growing); 17] = [
    ("tools", |n| {
        with_tools((0..n).map(|number| tool(&format!("tool-{number}"), None)))
    }),
    ("tools of one name", |n| {
        with_tools((0..n).map(|_| tool("same", None)))
    }),
    ("long schemas", |n| {
        let text = format!("{{\"a\":[{}0]}}", "0,".repeat(n));
        with_tools([tool("f", Some(Schema::Text(text)))])
    }),
    ("schemas of objects", |n| {
        with_tools([tool("f", Some(wide(n)))])
    }),
    ("schemas that nest", |n| {
        let text = format!("{}{}", "{\"a\":".repeat(n), "}".repeat(n));
        with_tools((0..8).map(|_| tool("f", Some(Schema::Text(text.clone())))))
    }),
    ("messages", |n| {
        talk((0..n).map(|_| said(v1::Role::User, "Hello")))
    }),
    ("system messages", |n| {
        talk((0..n).map(|_| said(v1::Role::System, "Be brief")))
    }),
    ("parts", |n| {
        talk([made_of(
            v1::Role::User,
            (0..n).map(|_| Piece::Text("a".to_owned())),
        )])
    }),
    ("calls in one message, answered in order", |n| {
        talk([
            made_of(v1::Role::Assistant, (0..n).map(call)),
            made_of(v1::Role::Tool, (0..n).map(result)),
        ])
    }),
    (
        "calls in one message, answered backwards in a message each",
        |n| {
            let results = (0..n).rev().map(|id| made_of(v1::Role::Tool, [result(id)]));
            talk(
                [made_of(v1::Role::Assistant, (0..n).map(call))]
                    .into_iter()
                    .chain(results),
            )
        },
    ),
    ("many calls, then turns of one call", |n| {
        let many = [
            made_of(v1::Role::Assistant, (0..n).map(call)),
            made_of(v1::Role::Tool, (0..n).map(result)),
        ];
        let turns = (n..2 * n).flat_map(|id| {
            [
                made_of(v1::Role::Assistant, [call(id)]),
                made_of(v1::Role::Tool, [result(id)]),
            ]
        });
        talk(many.into_iter().chain(turns))
    }),
    ("calls of one id", |n| {
        talk([made_of(v1::Role::Assistant, (0..n).map(|_| call(1)))])
    }),
    ("results of one id", |n| {
        let results = (0..n).map(|_| made_of(v1::Role::Tool, [result(1)]));
        talk(
            [made_of(v1::Role::Assistant, [call(1)])]
                .into_iter()
                .chain(results),
        )
    }),
    ("texts before calls", |n| {
        let texts = (0..n).map(|_| Piece::Text("a".to_owned()));
        talk([
            made_of(v1::Role::Assistant, texts.chain((0..n).map(call))),
            made_of(v1::Role::Tool, (0..n).map(result)),
        ])
    }),
    ("a long name and a long id", |n| {
        let long = "x".repeat(8 * n);
        talk([made_of(
            v1::Role::Assistant,
            [Piece::ToolCall(v1::ToolCall {
                id: long.clone(),
                name: long.clone(),
                arguments_json: long,
                ..v1::ToolCall::default()
            })],
        )])
    }),
    ("stop sequences", |n| GenerateRequest {
        sampling: Some(SamplingParams {
            stop_sequences: vec![String::new(); n],
            ..SamplingParams::default()
        }),
        ..talk([])
    }),
    ("empty messages", |n| {
        talk((0..n).map(|_| v1::Message::default()))
    }),
];

#[test]
fn requests_are_parsed_in_time_that_grows_with_their_size() {
    let limits = unlimited();
    for (what, grown) in GROWING {
        assert_linear(what, 500, grown, |request| request::parse(request, &limits));
    }
}

/// Every wire format, and the ways of one that do more.
fn formats() -> [(&'static str, Box<dyn WireFormat>); 5] {
    let dialect = |dialect| Box::new(OpenAiChat { dialect });
    [
        ("openai_chat", Box::new(openai_chat::OpenAiChat::default())),
        (
            "openai_chat with ids of nine characters",
            dialect(Dialect {
                tool_call_ids: ToolCallIds::NineAlphanumerics,
                ..Dialect::default()
            }),
        ),
        (
            "openai_chat with reasoning details",
            dialect(Dialect {
                reasoning_history: ReasoningHistory::ReasoningDetails,
                ..Dialect::default()
            }),
        ),
        ("anthropic", Box::new(anthropic::Anthropic::default())),
        ("gemini", Box::new(gemini::Gemini::default())),
    ]
}

/// A chat that grows with a number.
type GrowingChat = fn(usize) -> ChatRequest;

/// What the parser refuses and a format must not be slow with all the same.
const ODD: [(&str, GrowingChat); 5] = [
    ("calls without ids", |n| {
        let calls = (0..n).map(|number| Part::ToolCall(unnamed(number % 7)));
        let results = (0..n)
            .rev()
            .map(|number| Part::ToolResult(of_tool("", number % 7)));
        chat([
            (Role::User, vec![Part::Text("Hello".to_owned())]),
            (Role::Assistant, calls.collect()),
            (Role::Tool, results.collect()),
        ])
    }),
    ("calls without ids beside such as would be invented", |n| {
        let given = (0..n).map(|number| {
            Part::ToolCall(ToolCall {
                id: format!("call_{number}"),
                ..unnamed(0)
            })
        });
        let calls = (0..n).map(|_| Part::ToolCall(unnamed(0)));
        chat([
            (Role::User, vec![Part::Text("Hello".to_owned())]),
            (Role::Assistant, given.chain(calls).collect()),
        ])
    }),
    ("results behind texts", |n| {
        let mut parts = vec![(Role::User, vec![Part::Text("a".to_owned())]); n];
        let results = (0..n).map(|_| (Role::Tool, vec![Part::ToolResult(of_tool("id", 1))]));
        parts.extend(results);
        chat(parts)
    }),
    ("pieces of reasoning", |n| {
        let piece = |number| {
            Part::Reasoning(Reasoning {
                text: "hm".to_owned(),
                signature: format!("{{\"type\":\"reasoning.text\",\"n\":{number}}}").into(),
                provider: "provider".to_owned(),
            })
        };
        chat([
            (Role::User, vec![Part::Text("Hello".to_owned())]),
            (Role::Assistant, (0..n).map(piece).collect()),
        ])
    }),
    ("a long signature", |n| {
        let signature = format!(
            "{{\"a\":[{}0],\"type\":\"reasoning.text\"}}",
            "0,".repeat(n)
        );
        let reasoning = Part::Reasoning(Reasoning {
            text: "hm".repeat(n),
            signature: signature.into(),
            provider: "provider".to_owned(),
        });
        chat([
            (Role::User, vec![Part::Text("Hello".to_owned())]),
            (Role::Assistant, vec![reasoning]),
        ])
    }),
];

fn unnamed(number: usize) -> ToolCall {
    ToolCall {
        name: format!("tool-{number}"),
        arguments: "{}".to_owned(),
        ..ToolCall::default()
    }
}

fn of_tool(id: &str, number: usize) -> ToolResult {
    ToolResult {
        tool_call_id: id.to_owned(),
        tool_name: format!("tool-{number}"),
        content: vec![Part::Text("found".to_owned())],
        is_error: false,
    }
}

fn chat(messages: impl IntoIterator<Item = (Role, Vec<Part>)>) -> ChatRequest {
    let messages = messages.into_iter();
    ChatRequest {
        messages: messages
            .map(|(role, parts)| Message { role, parts })
            .collect(),
        tools: vec![Tool::Function(FunctionTool {
            name: "look_up".to_owned(),
            description: String::new(),
            parameters: None,
            strict: false,
        })],
        tool_choice: ToolChoice::Auto,
        ..ChatRequest::default()
    }
}

#[test]
fn requests_are_spelled_in_time_that_grows_with_their_size() {
    let to = Recipient {
        provider: "provider",
        model: "model",
        max_output_tokens: Some(1000),
        stream: true,
        options: &NO_OPTIONS,
    };
    let limits = unlimited();
    for (name, format) in formats() {
        let encode = |request: ChatRequest| {
            let used = features_of(&request);
            (used, format.encode(&request, &to))
        };
        for (what, grown) in GROWING {
            let Ok(parsed) = request::parse(grown(2), &limits) else {
                continue;
            };
            drop(parsed);
            let grown = |n| request::parse(grown(n), &limits).unwrap().request;
            assert_linear(&format!("{name}: {what}"), 500, grown, encode);
        }
        for (what, grown) in ODD {
            assert_linear(&format!("{name}: {what}"), 500, grown, encode);
        }
    }
}

#[tokio::test]
async fn a_request_of_too_many_elements_is_refused_by_name_before_anything_else() {
    let limits = "max_messages = 4\nmax_parts = 4\nmax_tool_calls = 2\nmax_tools = 2\nmax_schema_values = 6\nmax_fields = 60";
    let gateway = Gateway::start(&format!("{ONE_MODEL}\n[requests]\n{limits}")).await;
    gateway.generate(talk([])).await.unwrap();
    let text = Schema::Text("{\"a\":[1,2,3,4,5,6]}".to_owned());
    let table: [(&str, &str, GenerateRequest); 7] = [
        (
            "messages",
            "max_messages",
            talk((0..9).map(|_| said(v1::Role::User, "a"))),
        ),
        (
            "messages[0].parts",
            "max_parts",
            talk([made_of(
                v1::Role::User,
                (0..9).map(|_| Piece::Text("a".to_owned())),
            )]),
        ),
        (
            "messages[0].parts[2].tool_call",
            "max_tool_calls",
            talk([made_of(v1::Role::Assistant, (0..3).map(call))]),
        ),
        (
            "tools",
            "max_tools",
            with_tools((0..9).map(|_| tool("f", None))),
        ),
        (
            "tools[0].function.parameters.text",
            "max_schema_values",
            with_tools([tool("f", Some(text))]),
        ),
        (
            "tools[0].function.parameters.object.fields",
            "max_schema_values",
            with_tools([tool("f", Some(wide(9)))]),
        ),
        (
            "message",
            "max_fields",
            GenerateRequest {
                conversation_id: "many fields".to_owned(),
                ..with_tools([])
            },
        ),
    ];
    for (field, setting, mut request) in table {
        // Whether there is such a scenario is not looked up for it.
        request.scenario = "none".to_owned();
        let mut bytes = request.encode_to_vec();
        if setting == "max_fields" {
            bytes.extend([0xf8, 0x07, 1].repeat(60));
        }
        let raw = GenerateRequest::decode(&*bytes).unwrap();
        for (path, bytes, prefix) in [
            (GENERATE, bytes.clone(), ""),
            (STREAM, bytes.clone(), ""),
            (
                EXPLAIN,
                ExplainPlanRequest { request: Some(raw) }.encode_to_vec(),
                "request.",
            ),
        ] {
            if path == EXPLAIN && setting == "max_fields" {
                continue; // what is not known has not been kept
            }
            let told = refused(&gateway, path, bytes).await;

            assert_eq!(told.code, Code::InvalidArgument, "{told:?}");
            let [(found, what)] = &told.violations[..] else {
                panic!("{told:?}");
            };
            assert_eq!(*found, format!("{prefix}{field}"), "{what}");
            assert!(what.contains(setting), "{what}");
        }
    }
    assert_eq!(gateway.simulator.requests().len(), 1);
}

const GENERATE: &str = "/modelway.v1.GenerationService/Generate";
const STREAM: &str = "/modelway.v1.GenerationService/StreamGenerate";
const EXPLAIN: &str = "/modelway.v1.OperationsService/ExplainPlan";

/// What is told of a message that is refused, whatever its method.
async fn refused(gateway: &Gateway, path: &'static str, message: Vec<u8>) -> Details {
    let mut client = tonic::client::Grpc::new(gateway.channel());
    client.ready().await.unwrap();
    let status = client
        .unary(tonic::Request::new(message), path.parse().unwrap(), Bytes)
        .await
        .map(|response: tonic::Response<Vec<u8>>| response.into_inner())
        .unwrap_err();
    details(&status)
}

/// Messages as the bytes they are.
#[derive(Clone, Copy, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(&*message);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut message = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut message);
        Ok(Some(message))
    }
}

/// Bodies that are small for what they would become.
fn swarms(bytes: usize) -> [(&'static str, Vec<u8>); 6] {
    let many = |element: &[u8]| element.repeat(bytes / element.len());
    let within = |field: u8, inside: Vec<u8>| {
        let mut whole = vec![field << 3 | 2];
        prost::encoding::encode_varint(inside.len() as u64, &mut whole);
        whole.extend(inside);
        whole
    };
    let named = |field: u8| many(&[field << 3 | 2, 0]);
    let tools = (0..bytes / 13).map(|number| tool(&format!("t{number:06}"), None));
    [
        ("empty messages", named(3)),
        ("empty parts", within(3, named(3))),
        ("empty tools", named(4)),
        ("tools", with_tools(tools).encode_to_vec()),
        ("empty stop sequences", within(8, named(8))),
        ("unknown fields", many(&[0xf8, 0x07, 1])),
    ]
}

#[tokio::test]
async fn swarms_of_elements_cost_neither_memory_nor_others_their_time() {
    let process = Process::serve(None, &[]);
    let channel = process.connect().await;
    let mut other = CatalogServiceClient::new(process.connect().await);
    other
        .list_scenarios(ListScenariosRequest::default())
        .await
        .unwrap();
    for (what, body) in swarms(4 << 20) {
        let before = process.resident_kib();
        let begun = Instant::now();
        let mut refusals = JoinSet::new();
        for path in [GENERATE, STREAM, EXPLAIN, GENERATE] {
            let body = match path {
                EXPLAIN => {
                    let mut whole = vec![1 << 3 | 2];
                    prost::encoding::encode_varint(body.len() as u64, &mut whole);
                    whole.extend(&body);
                    whole
                }
                _ => body.clone(),
            };
            let mut client = tonic::client::Grpc::new(channel.clone());
            refusals.spawn(async move {
                client.ready().await.unwrap();
                let request = tonic::Request::new(body);
                client
                    .unary(request, path.parse().unwrap(), Bytes)
                    .await
                    .map(|response: tonic::Response<Vec<u8>>| response.into_inner())
            });
        }
        let mut slowest = Duration::ZERO;
        while !refusals.is_empty() {
            tokio::select! {
                refusal = refusals.join_next() => {
                    let status = refusal.unwrap().unwrap().unwrap_err();
                    assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
                }
                took = timed(&mut other) => slowest = slowest.max(took),
            }
        }
        let grown = process.resident_kib().saturating_sub(before);

        println!(
            "{what}: 4 of 4 MiB refused in {:?}, {grown} KiB more, another call took {slowest:?} at most",
            begun.elapsed()
        );
        // The bytes themselves may be held, twice while they come.
        assert!(grown < 64 << 10, "{what}: {grown} KiB");
        // Work that takes the square of their number would hold it up for minutes.
        assert!(slowest < Duration::from_secs(8), "{what}: {slowest:?}");
    }
}

async fn timed(client: &mut CatalogServiceClient<Channel>) -> Duration {
    let begun = Instant::now();
    let request = ListScenariosRequest::default();
    client.list_scenarios(request).await.unwrap();
    begun.elapsed()
}

fn picture(bytes: usize) -> GenerateRequest {
    let media = v1::Media {
        source: Some(v1::media::Source::Data(vec![7; bytes].into())),
        media_type: "image/png".to_owned(),
        ..v1::Media::default()
    };
    GenerateRequest {
        messages: vec![made_of(v1::Role::User, [Piece::Image(media)])],
        ..talk([])
    }
}

fn made_of_words(parts: usize) -> GenerateRequest {
    let words = (0..parts).map(|number| Piece::Text(format!("word {number}")));
    GenerateRequest {
        messages: vec![made_of(v1::Role::User, words)],
        ..talk([])
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_request_does_not_hold_up_other_calls_of_its_core() {
    let provider = Http1::start(Manner::default(), End::Chunked, None).await;
    let config = format!(
        r#"
        [server]
        runtimes = 1
        predrain = "0s"
        [providers.foreign]
        wire_format = "openai_chat"
        base_url = "http://{}/v1"
        auth = "none"
        [models."foreign/first"]
        [models."foreign/second"]
        body = {{ top_k = 7 }}
        [scenarios.one]
        targets = ["foreign/first"]
        [scenarios.fields]
        targets = ["foreign/second"]
        "#,
        provider.address
    );
    let path = scratch::file("modelway.toml", config);
    let process = Process::serve(Some(&path), &[]);
    let mut other = CatalogServiceClient::new(process.connect().await);
    for (what, request) in [
        ("text", ask("one", &"\n\"é ".repeat(4 << 20))),
        ("image", picture(20 << 20)),
        ("other letters", ask("one", &"ü".repeat(10 << 20))),
        ("parts", made_of_words(45_000)),
        ("schema", with_tools([tool("wide", Some(wide(180_000)))])),
        // Whether a field is set twice is only known once the body is written.
        (
            "fields of the model",
            ask("fields", &"\n\"é ".repeat(4 << 20)),
        ),
    ] {
        // Encoded before: that would hold up the other calls of this process.
        let generate = request.encode_to_vec();
        let request = Some(request);
        let explain = ExplainPlanRequest { request }.encode_to_vec();
        for (path, message) in [(GENERATE, generate), (EXPLAIN, explain)] {
            // In a build without optimizations, by the processor's time of the core: on a busy machine everything takes
            // longer.
            let limit = Duration::from_millis(200);
            let mut waited = Duration::MAX;
            let least = quickest(limit, async || {
                let mut client = tonic::client::Grpc::new(process.connect().await)
                    .max_encoding_message_size(64 << 20);
                let request = tonic::Request::new(message.clone());
                let mut call = JoinSet::new();
                call.spawn(async move {
                    client.ready().await.unwrap();
                    client
                        .unary(request, path.parse().unwrap(), Bytes)
                        .await
                        .map(|response: tonic::Response<Vec<u8>>| response.into_inner())
                });
                let (mut worked, mut slowest) = (Duration::ZERO, Duration::ZERO);
                loop {
                    let before = process.core_time();
                    tokio::select! {
                        biased;
                        answered = call.join_next() => { answered.unwrap().unwrap().unwrap(); break }
                        took = timed(&mut other) => {
                            worked = worked.max(process.core_time() - before);
                            slowest = slowest.max(took);
                        }
                    }
                }
                waited = waited.min(slowest);
                worked
            });
            let least = least.await;
            println!(
                "{path} {what}: another call took {least:?} of its core and {waited:?} at most, in the best of some tries"
            );
            assert!(least < limit, "{path} {what}: {least:?}");
            // It waits for nothing else either, such as a lock.
            assert!(waited < 20 * limit, "{path} {what}: {waited:?}");
        }
    }
}
