//! The dispatcher in virtual time, before the simulated provider: only the sockets are replaced.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::unfold;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use modelway::caller::Caller;
use modelway::chat::{Answer, ChatRequest, Message, Part, Role};
use modelway::config::Surroundings;
use modelway::config::file::File;
use modelway::dispatch::dispatcher::Dispatcher;
use modelway::dispatch::needs::Needs;
use modelway::dispatch::routes::Selector;
use modelway::dispatch::{AskedLimits, Call, CallEvent, Failure, Inquiry, Interruption};
use modelway::error::{UpstreamError, UpstreamErrorKind};
use modelway::provider::OutboundRequest;
use modelway::simulator::{Behaviour, Settings, Simulator, text};
use modelway::telemetry::observe::{CallOrigin, Observer};
use modelway::telemetry::spans::CallSpan;
use modelway::trail::Trail;
use modelway::transport::{Carrier, Response, Sending, Transport};
use tokio::io::duplex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::{METHODS, Method};

use super::{FORMATS, another};

/// A dispatcher with the scenario `s`: a primary of one wire format, and a backup of another.
pub(super) struct Clockwork {
    dispatcher: Dispatcher,
    network: Network,
}

/// What came of a call.
pub(super) struct Outcome {
    pub(super) answer: Result<Answer, Failure>,
    pub(super) trail: Trail,
    pub(super) began: Instant,
    pub(super) took: Duration,
}

/// Runs a check in virtual time for every wire format of the primary.
pub(super) fn in_every_format(policy: &str, check: impl AsyncFn(Clockwork)) {
    for format in FORMATS {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async { check(Clockwork::start(format, policy).await).await });
    }
}

impl Clockwork {
    async fn start(format: &str, policy: &str) -> Self {
        fastrand::seed(1); // draws of the dispatcher, which all happen on this thread
        let simulator = Simulator::start(Settings::default()).await.unwrap();
        let mut config =
            format!("[scenarios.s]\ntargets = [\"primary/p\", \"backup/b\"]\n{policy}\n");
        let targets = [("primary", "p", format), ("backup", "b", another(format))];
        for (provider, model, format) in targets {
            write!(
                config,
                r#"
                [providers.{provider}]
                wire_format = "{}"
                base_url = "https://{provider}.test/v1"
                auth = "none"
                [models."{provider}/{model}"]
                max_output_tokens = 1000
                "#,
                if format == "openai" {
                    "openai_chat"
                } else {
                    format
                },
            )
            .unwrap();
        }
        let config = File::parse(&config)
            .resolve(&Surroundings::without_secrets(None))
            .unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let network = Network {
            simulator: Arc::new(simulator),
            seen: Arc::default(),
        };
        let transport = Transport::carried_by(Arc::new(network.clone()));
        Self {
            dispatcher: Dispatcher::new(config.catalog, config.scopes, transport),
            network,
        }
    }

    /// From here on the primary behaves like this, each time but the last once.
    pub(super) fn primary(&self, behaviours: &[&str]) {
        let behaviours: Vec<Behaviour> = behaviours
            .iter()
            .map(|behaviour| behaviour.parse().unwrap())
            .collect();
        self.network.simulator.script("p", behaviours);
    }

    /// When the primary was asked, each time.
    pub(super) fn primary_asked(&self) -> Vec<Instant> {
        self.network.seen.lock().unwrap().clone()
    }

    /// Makes a call; a stream starts anew if it breaks off.
    pub(super) async fn call(&self, method: Method) -> Outcome {
        let began = Instant::now();
        let inquiry = Inquiry {
            request: Arc::new(request()),
            needs: Needs::default(),
            bytes: 0,
            whole: method == Method::Generate,
            deadline: None,
            limits: AskedLimits::default(),
            interruption: Interruption::Restart,
            observed: Arc::<Observer>::default().call(CallOrigin::new(
                CallSpan::default(),
                Caller::Unknown,
                modelway::caller::Method::Generate,
            )),
        };
        let selector = Selector::Scenario("s".to_owned());
        let route = self.dispatcher.route(&selector).unwrap();
        let mut call = self.dispatcher.call(route, inquiry);
        let answer = match method {
            Method::Generate => call.whole().await,
            Method::StreamGenerate => streamed(&mut call).await,
        };
        let trail = match &answer {
            Ok(_) => call.trail().clone(),
            Err(failure) => failure.trail.clone(),
        };
        Outcome {
            answer,
            trail,
            began,
            took: began.elapsed(),
        }
    }

    /// Makes two calls a second for so long, one of each kind, and waits for all.
    pub(super) async fn two_a_second(&self, time: Duration) -> Vec<Outcome> {
        const GAP: Duration = Duration::from_millis(500);
        let number = u32::try_from(time.as_millis() / GAP.as_millis()).unwrap();
        let calls = (0..number).map(|number| async move {
            sleep(GAP * number).await;
            self.call(METHODS[number as usize % 2]).await
        });
        join_all(calls).await
    }
}

impl Outcome {
    /// Whether all of the answer has come: nothing of the simulator's 24 tokens is missing.
    pub(super) fn is_answered(&self) -> bool {
        let whole = Part::Text(text(24));
        matches!(&self.answer, Ok(answer) if answer.parts == [whole])
    }

    /// Whether the primary gave the answer.
    pub(super) fn by_primary(&self) -> bool {
        self.is_answered()
            && self
                .trail
                .sent()
                .last()
                .is_some_and(|last| last.target == "primary/p")
    }
}

async fn streamed(call: &mut Call) -> Result<Answer, Failure> {
    call.commit().await?;
    let mut answer = Answer::default();
    while let Some(event) = call.next().await? {
        match event {
            CallEvent::Answer(event) => answer.apply(event),
            CallEvent::Restarted { .. } => answer = Answer::default(),
        }
    }
    Ok(answer)
}

fn request() -> ChatRequest {
    ChatRequest {
        messages: vec![Message {
            role: Role::User,
            parts: vec![Part::Text("Hello".to_owned())],
        }],
        ..ChatRequest::default()
    }
}

/// Brings each request to the simulator on a connection of its own that is no socket.
#[derive(Clone, Debug)]
struct Network {
    simulator: Arc<Simulator>,
    /// When the primary was asked.
    seen: Arc<Mutex<Vec<Instant>>>,
}

impl Carrier for Network {
    fn send(&self, request: OutboundRequest) -> Sending {
        if request.url.starts_with("https://primary.") {
            self.seen.lock().unwrap().push(Instant::now());
        }
        let (ours, theirs) = duplex(64 * 1024);
        self.simulator.serve(theirs);
        Box::pin(async move {
            let lost = |_| UpstreamError::new(UpstreamErrorKind::Disconnected);
            let handshake = http1::handshake(TokioIo::new(ours));
            let (mut sender, connection) = handshake.await.map_err(lost)?;
            // Ends with the response.
            let mut driver = JoinSet::new();
            driver.spawn(async { connection.await.unwrap_or_default() });
            let OutboundRequest {
                link: _,
                url,
                headers,
                body,
            } = request;
            let mut request = http::Request::post(url).body(Full::new(body)).unwrap();
            *request.headers_mut() = headers;
            let response = sender.send_request(request).await.map_err(lost)?;
            let (head, body) = response.into_parts();
            let body = unfold((body, driver), |(mut body, driver)| async move {
                let frame = body.frame().await?;
                let bytes = frame.map(|frame| frame.into_data().unwrap_or_default());
                Some((bytes, (body, driver)))
            });
            Ok(Response::carried(
                http::Response::from_parts(head, ()),
                body,
            ))
        })
    }
}
