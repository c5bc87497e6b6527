//! Does reading an answer take time in proportion to its length, whatever a provider sends?

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::iter;
use modelway::chat::{Answer, ChatRequest, Message, Part, Role};
use modelway::config::Surroundings;
use modelway::config::file::File;
use modelway::dispatch::dispatcher::{Dispatcher, Selector};
use modelway::dispatch::{Inquiry, Interruption, Limits};
use modelway::provider::OutboundRequest;
use modelway::telemetry::spans::CallSpan;
use modelway::transport::{Carrier, Response, Sending, Transport};
use tokio::time::Instant;

/// The input is made longer by this factor.
const LONGER: usize = 8;

/// Work that is linear takes about 8 times as long then, work that is quadratic 64 times.
const MOST: u32 = 24;

/// Measures work on inputs of `length` and of 8 times as much, as made by `prepare`.
fn assert_linear<T>(name: &str, length: usize, prepare: impl Fn(usize) -> T, work: impl Fn(&T)) {
    let best_of = |times, length| {
        let input = prepare(length);
        let once = || {
            let began = Instant::now();
            work(black_box(&input));
            began.elapsed()
        };
        (0..times).map(|_| once()).min().unwrap_or_default()
    };
    // A clock that is too coarse for the short input must not make the long one look slow.
    let short = best_of(5, length).max(Duration::from_micros(100));
    let long = best_of(3, LONGER * length);
    assert!(
        long < short * MOST,
        "{name}: {short:?} for {length}, {long:?} for {LONGER} times as much"
    );
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
        let lane = dispatcher
            .lane(&Selector::Scenario("s".to_owned()))
            .unwrap();
        let question = Message {
            role: Role::User,
            parts: vec![Part::Text("Hello".to_owned())],
        };
        let inquiry = Inquiry {
            request: ChatRequest {
                messages: vec![question],
                ..ChatRequest::default()
            },
            whole: true,
            deadline: None,
            limits: Limits::default(),
            interruption: Interruption::Fail,
            span: CallSpan::start("linear", None),
            call_id: String::new(),
        };
        dispatcher.call(lane, inquiry).whole().await.unwrap()
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
