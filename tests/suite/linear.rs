//! Does reading an answer take time in proportion to its length, whatever a provider sends?

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::iter;
use modelway::caller::Caller;
use modelway::chat::{Answer, ChatRequest, Message, Part, ResponseFormat, Role};
use modelway::config::Surroundings;
use modelway::config::file::File;
use modelway::dispatch::dispatcher::Dispatcher;
use modelway::dispatch::needs::Needs;
use modelway::dispatch::routes::Selector;
use modelway::dispatch::{AskedLimits, Inquiry, Interruption};
use modelway::provider::OutboundRequest;
use modelway::telemetry::observe::{CallOrigin, Observer};
use modelway::telemetry::spans::CallSpan;
use modelway::transport::{Carrier, Response, Sending, Transport};
use modelway::wire::anthropic::Anthropic;
use modelway::wire::gemini::Gemini;
use modelway::wire::openai_chat::OpenAiChat;
use modelway::wire::openai_responses::OpenAiResponses;
use modelway::wire::options::NO_OPTIONS;
use modelway::wire::reader::Reader;
use modelway::wire::{Framing, Recipient, WireFormat, failure};

use crate::support::cost;

/// Panics unless work on inputs that `prepare` makes takes time in proportion to their length.
fn assert_linear<I>(name: &str, length: usize, prepare: impl Fn(usize) -> I, work: impl Fn(&I)) {
    cost::assert_linear(name, length, prepare, |input| {
        work(&input);
        input
    });
}

const TOKENS: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n";
const ANSWER: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// A network that gives each of these pieces of an answer by itself.
#[derive(Clone, Debug)]
struct Pieces(Vec<Bytes>);

impl Carrier for Pieces {
    fn send(&self, _request: OutboundRequest) -> Sending {
        let pieces = self.0.clone();
        Box::pin(async move {
            let head = http::Response::builder().header("content-type", "text/event-stream");
            let body = iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
            Ok(Response::carried(head.body(()).unwrap(), body))
        })
    }
}

const CONFIG: &str = r#"
[providers.p]
wire_format = "openai_chat"
base_url = "https://p.test/v1"
auth = "none"
[models."p/m"]
[scenarios.s]
targets = ["p/m"]
"#;

/// What a call makes of an answer in these pieces.
fn answer_of(pieces: &Pieces) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let config = File::parse(CONFIG)
            .resolve(&Surroundings::without_secrets(None))
            .unwrap();
        let transport = Transport::carried_by(Arc::new(pieces.clone()));
        let dispatcher = Dispatcher::new(config.catalog, config.scopes, transport);
        let route = dispatcher
            .route(&Selector::Scenario("s".to_owned()))
            .unwrap();
        let question = Message {
            role: Role::User,
            parts: vec![Part::Text("Hello".to_owned())],
        };
        let inquiry = Inquiry {
            request: Arc::new(ChatRequest {
                messages: vec![question],
                ..ChatRequest::default()
            }),
            needs: Needs::default(),
            bytes: 0,
            whole: true,
            deadline: None,
            limits: AskedLimits::default(),
            interruption: Interruption::Fail,
            observed: Arc::<Observer>::default().call(CallOrigin::new(
                CallSpan::default(),
                Caller::Unknown,
                modelway::caller::Method::Generate,
            )),
        };
        dispatcher.call(route, inquiry).whole().await.unwrap()
    })
}

#[test]
fn what_comes_before_the_first_content_is_looked_at_once() {
    let pieces = |count| {
        let mut pieces = vec![Bytes::from_static(TOKENS.as_bytes()); count];
        pieces.push(Bytes::from_static(ANSWER.as_bytes()));
        Pieces(pieces)
    };
    assert_linear("usage before content", 2_000, pieces, |pieces| {
        let answer = answer_of(pieces);
        assert_eq!(answer.parts, [Part::Text("Hello".to_owned())]);
    });
}

/// An answer's bytes: a beginning, as many pieces as wanted, an end.
struct Body {
    name: &'static str,
    format: Arc<dyn WireFormat>,
    framing: Framing,
    beginning: &'static str,
    piece: fn(usize) -> String,
    end: &'static str,
}

impl Body {
    fn of(&self, pieces: usize) -> Vec<u8> {
        let pieces: String = (0..pieces).map(self.piece).collect();
        [self.beginning, &pieces, self.end].concat().into_bytes()
    }

    /// Reads it as it comes, or byte by byte.
    fn read(&self, body: &[u8], chunk: usize) {
        let mut reader = Reader::new(self.format.as_ref(), self.framing);
        let mut events = Vec::new();
        let mut answer = Answer::default();
        let pushed = body
            .chunks(chunk)
            .try_for_each(|bytes| reader.push(bytes, &mut events));
        // How it ends is not what is asked here.
        let _ = pushed.and_then(|()| reader.end(&mut events));
        events.into_iter().for_each(|event| answer.apply(event));
        black_box(answer);
    }
}

#[rustfmt::skip] // a table is read by its columns
fn bodies() -> Vec<Body> {
    let openai = || Arc::new(OpenAiChat::default()) as Arc<dyn WireFormat>;
    let responses = || Arc::new(OpenAiResponses::default()) as Arc<dyn WireFormat>;
    let anthropic = || Arc::new(Anthropic::default()) as Arc<dyn WireFormat>;
    let gemini = || Arc::new(Gemini::default()) as Arc<dyn WireFormat>;
    let row = |name, format, framing, beginning, piece, end| Body { name, format, framing, beginning, piece, end };
    let (sse, json) = (Framing::Sse, Framing::Json);
    vec![
        row("comments", openai(), sse, "", |_| ": a\n".into(), ""),
        row("names of an event", openai(), sse, "", |_| "event: a\n".into(), ""),
        row("lines of data", openai(), sse, "", |_| "data: a\n".into(), ""),
        row("one long line", openai(), sse, "data: ", |_| "aaaaaaaaaa".into(), ""),
        row("blank lines", openai(), json, "", |_| "\n \r\n".into(), ""),
        row("unknown fields", openai(), sse, "data: {", |n| format!("\"{n}\":[[]],"), "\"choices\":[]}\n\n"),
        row("nested lists", openai(), sse, "data: {\"x\":", |_| "[".into(), "\n\n"),
        row("empty events", openai(), sse, "", |_| "data: {}\n\n".into(), ""),
        row("usage", openai(), sse, "", |n| format!("data: {{\"usage\":{{\"prompt_tokens\":{n}}}}}\n\n"), ""),
        row("tool calls by turns", openai(), sse, "", |n| format!("data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{{\"index\":{},\"function\":{{\"name\":\"a\",\"arguments\":\"b\"}}}}]}}}}]}}\n\n", n / 2 + 500 * (n % 2)), ""),
        row("tool calls without a name", openai(), sse, "", |n| format!("data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{{\"index\":{n},\"function\":{{\"arguments\":\"b\"}}}}]}}}}]}}\n\n"), ""),
        row("tool calls in one body", openai(), json, "{\"choices\":[{\"message\":{\"tool_calls\":[", |n| format!("{{\"id\":\"{n}\",\"function\":{{\"name\":\"a\"}}}},"), "{}]}}]}"),
        row("pieces of content", openai(), json, "{\"choices\":[{\"message\":{\"content\":[", |_| "{\"text\":\"a\"},".into(), "{}]}}]}"),
        row("words", openai(), sse, "", |_| "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n".into(), ""),
        row("items", responses(), sse, "", |n| format!("data: {{\"type\":\"response.output_item.added\",\"output_index\":{n},\"item\":{{\"type\":\"function_call\",\"id\":\"{n}\",\"call_id\":\"{n}\",\"name\":\"a\"}}}}\n\n"), ""),
        row("items without a number", responses(), sse, "", |n| format!("data: {{\"type\":\"response.output_item.done\",\"item\":{{\"type\":\"message\",\"id\":\"{n}\",\"content\":[{{\"type\":\"output_text\",\"text\":\"{n}\"}}]}}}}\n\n"), ""),
        row("pieces of one item", responses(), sse, "", |n| format!("data: {{\"type\":\"response.output_text.delta\",\"item_id\":\"a\",\"content_index\":{},\"delta\":\"a\",\"sequence_number\":{n}}}\n\n", n % 7), ""),
        row("pieces of arguments without a name", responses(), sse, "", |n| format!("data: {{\"type\":\"response.function_call_arguments.delta\",\"output_index\":{},\"delta\":\"a\"}}\n\n", n % 2), ""),
        row("numbers that come again", responses(), sse, "data: {\"sequence_number\":1}\n\n", |n| format!("data: {{\"type\":\"response.output_text.delta\",\"delta\":\"{n}\",\"sequence_number\":{}}}\n\n", n % 2), ""),
        row("items in one body", responses(), json, "{\"output\":[", |n| format!("{{\"type\":\"{}\",\"id\":\"\",\"name\":\"a\"}},", ["function_call", "reasoning", "message"][n % 3]), "{}]}"),
        row("open blocks", anthropic(), sse, "", |n| format!("data: {{\"type\":\"content_block_start\",\"index\":{n},\"content_block\":{{\"type\":\"tool_use\",\"input\":{{}}}}}}\n\n"), ""),
        row("blocks that go on by turns", anthropic(), sse, "", |n| format!("data: {{\"type\":\"content_block_start\",\"index\":{n},\"content_block\":{{\"type\":\"tool_use\"}}}}\n\ndata: {{\"type\":\"content_block_delta\",\"index\":{},\"delta\":{{\"type\":\"input_json_delta\",\"partial_json\":\"a\"}}}}\n\n", n / 2), ""),
        row("blocks in one body", anthropic(), json, "{\"content\":[", |_| "{\"type\":\"tool_use\"},".into(), "{}]}"),
        row("pings", anthropic(), sse, "", |_| "event: ping\ndata: {\"type\":\"ping\"}\n\n".into(), ""),
        row("parts", gemini(), json, "{\"candidates\":[{\"content\":{\"parts\":[", |n| format!("{{\"text\":\"a\",\"thought\":{}}},", n % 2 == 0), "{}]}}]}"),
        row("calls", gemini(), json, "{\"candidates\":[{\"content\":{\"parts\":[", |_| "{\"functionCall\":{\"name\":\"a\"}},".into(), "{}]}}]}"),
        row("candidates", gemini(), json, "{\"candidates\":[", |n| format!("{{\"index\":{}}},", n + 1), "{\"content\":{}}]}"),
        row("responses in one body", gemini(), json, "[", |n| format!("{{\"usageMetadata\":{{\"promptTokenCount\":{n}}}}},"), "{}]"),
        row("arguments in pieces", gemini(), sse, "data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"a\",\"willContinue\":true}}]}}]}\n\n",
            |n| format!("data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"functionCall\":{{\"willContinue\":true,\"partialArgs\":[{{\"jsonPath\":\"$.a[{n}]\",\"stringValue\":\"b\",\"willContinue\":true}}]}}}}]}}}}]}}\n\n"), ""),
    ]
}

#[test]
fn no_answer_takes_longer_to_read_than_its_length_asks_for() {
    for body in bodies() {
        let of_length = |pieces| body.of(pieces);
        assert_linear(body.name, 2_000, of_length, |bytes| {
            body.read(bytes, 16 * 1024)
        });
        let name = format!("{}, cut everywhere", body.name);
        assert_linear(&name, 125, of_length, |bytes| body.read(bytes, 1));
    }
}

#[test]
fn no_error_takes_longer_to_classify_than_its_length_asks_for() {
    let details = |count: usize| {
        let details: Vec<_> = (0..count)
            .map(|n| format!(r#"{{"reason":"r{n}","violations":[{{"quotaId":"q"}}]}}"#))
            .collect();
        format!(
            r#"{{"error":{{"code":429,"details":[{}]}}}}"#,
            details.join(",")
        )
    };
    assert_linear("details", 150, details, |body| {
        black_box(failure::in_band(body.as_bytes()));
    });
    let nested = |count| "[".repeat(count);
    assert_linear("nested lists", 5_000, nested, |body| {
        black_box(failure::in_band(body.as_bytes()));
    });
}

#[test]
fn no_schema_takes_longer_to_fit_to_a_provider_than_its_length_asks_for() {
    type Shape = fn(usize) -> String;
    let shapes: [(&str, Shape); 4] = [
        ("many properties", |count| {
            let properties: Vec<_> = (0..count)
                .map(|n| format!(r#""p{n}":{{"type":"object","properties":{{"a":{{}}}}}}"#))
                .collect();
            let properties = properties.join(",");
            format!(r#"{{"type":"object","properties":{{{properties}}}}}"#)
        }),
        ("deep definitions beside references", |count| {
            let names = r##""description":"x","$ref":"#","$defs":{"a":"##;
            let inner = format!(r#"{{"enum":[{}1]}}"#, "1,".repeat(20 * count));
            let nested = [
                &format!("{{{names}").repeat(25),
                inner.as_str(),
                &"}}".repeat(25),
            ];
            nested.concat()
        }),
        ("a long list of required names", |count| {
            let names: Vec<_> = (0..20 * count).map(|n| format!(r#""n{n}""#)).collect();
            format!(r#"{{"type":"object","required":[{}]}}"#, names.join(","))
        }),
        ("one key again and again", |count| {
            format!("{{{}}}", vec![r#""type":"object""#; 20 * count].join(","))
        }),
    ];
    let formats: [&dyn WireFormat; 4] = [
        &OpenAiChat::default(),
        &OpenAiResponses::default(),
        &Anthropic::default(),
        &Gemini::default(),
    ];
    for (shape, schema) in shapes {
        let of_length = |count| ChatRequest {
            messages: vec![Message {
                role: Role::User,
                parts: vec![Part::Text("hi".to_owned())],
            }],
            response_format: ResponseFormat::JsonSchema {
                description: String::new(),
                name: "n".to_owned(),
                schema: schema(count),
                strict: true,
            },
            ..ChatRequest::default()
        };
        for format in formats {
            let to = Recipient {
                provider: "p",
                model: "m",
                max_output_tokens: Some(1000),
                stream: true,
                options: &NO_OPTIONS,
            };
            assert_linear(shape, 300, of_length, |request| {
                _ = black_box(format.check(request, &to));
            });
        }
    }
}
