//! The built-in provider: a server on a real socket that speaks the wire formats of real providers
//! and behaves as its script says, mistakes and faults included.
//!
//! It is used by the start without keys, the demonstration, tests and benchmarks. It uses nothing else of this
//! crate, so that a mistake in the wire formats is not repeated here and thereby hidden.
//!
//! | format | path |
//! |---|---|
//! | OpenAI Chat Completions | `POST …/chat/completions` |
//! | OpenAI Responses | `POST …/responses` |
//! | Anthropic Messages | `POST …/messages` |
//! | Gemini | `POST …/models/{model}:generateContent`, `…:streamGenerateContent?alt=sse` |
//!
//! Every model name is accepted. By default a model answers with the [`text`] of 24 tokens, never more than the
//! request allows. If the request asks for JSON, it gets JSON that obeys its schema (`schema`), or an object of one
//! key, `answer`. Tools are called if the request requires one or its last words name them, with arguments that obey
//! their schema, and their results are repeated in text (`tools`). Usage counts the words of the request and the tokens
//! of the answer. The same request gets the same answer, ids included.
//!
//! # How a model behaves
//!
//! The first of these that applies: a script ([`Simulator::script`], [`Simulator::set`]); the model's name with the
//! header `x-simulate`; the default [`Behaviour`]. A name may end with settings and at most one fault, each after a
//! `+`, such as `claude-sim+tokens=200+first=300ms+gap=20ms+cut=100`. The header has the same syntax without the
//! name: `x-simulate: status=503+ratio=0.2`. A part that cannot be read is answered with status 400 and a message
//! that names it.
//!
//! A name or a header may have several steps with `then` between them, one for each request: `status=429+then+cut=10+then`
//! refuses the first request and breaks off the second; the last step stays, here the default. With `repeat` in the last
//! step the first one follows it.
//!
//! | setting | meaning | [`Behaviour`] |
//! |---|---|---|
//! | `tokens=N`, `text=T`, `reasoning=N` | what is said and thought | `tokens`, `text`, `reasoning` |
//! | `call=TOOL` | calls a tool until its result has come; may be repeated | `tools` |
//! | `refusal` | refuses to answer, in the field that the wire format has for it | `declines` |
//! | `finish=stop\|length\|tool-calls\|content-filter` | why it ends | `finish` |
//! | `as=MODEL` | another model than the requested one answers | `reported_model` |
//! | `delay=TIME`, `first=TIME`, `gap=TIME` | before the head, the first token, each further token | `delay`, `first_token`, `gap` |
//! | `slice=N`, `drip=TIME` | N bytes per write, with a wait after each | `slice`, `drip` |
//! | `ratio=R` | the share of requests with the fault, 0 to 1 | `fail_ratio` |
//! | `retry-after=TIME` | what a refusal asks for | `retry_after` |
//!
//! | fault | [`Fault`] |
//! |---|---|
//! | `status=400\|401\|402\|403\|404\|418\|429\|500\|502\|503\|529` | `Refuse`, a web page for 418 and 502 |
//! | `context-length`, `content-filter`, `quota` | `Refuse` |
//! | `hang`, `reset` | `Hang`, `ResetAtOnce`: no response at all |
//! | `silence`, `role-only`, `pings`, `pings=TIME` | `Silence`, `RoleOnly`, `Pings`: no content, no end |
//! | `error=N`, `cut=N`, `disconnect=N`, `reset=N`, `stall=N` | the end after N tokens |
//! | `malformed=N`, `half-character=N`, `long-line` | something broken, or half a character, then the rest |
//! | `html`, `empty`, `error-body` | status 200 without an answer |
//! | `no-end`, `open-end`, `no-usage`, `plain`, `whole` | `NoEnd`, `OpenEnd`, `NoUsage`, `WrongContentType`, `WholeForStream` |
//!
//! A TIME is written `20ms` or `2s`. Times are those of the runtime's clock, which tests may pause;
//! its resolution is a millisecond.

mod answer;
mod anthropic;
mod asked;
mod behaviour;
mod course;
mod fingerprint;
mod gemini;
mod log;
mod openai_chat;
mod openai_responses;
mod plan;
mod play;
mod request;
mod schema;
mod script;
mod sequence;
mod server;
mod socket;
mod step;
mod syntax;
mod tools;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

pub use self::behaviour::{Behaviour, Fault, Finish, RefusalReason, ToolCall, text};
pub use self::log::{Counted, Ending, Received};
pub use self::sequence::Sequence;
pub use self::syntax::KEYS;

use self::answer::Dialect;
use self::log::Log;
use self::request::Memory;
use self::script::Scripts;
use self::server::{Running, State};

/// A wire format that the simulator speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WireName {
    /// OpenAI Chat Completions.
    OpenAiChat,
    /// OpenAI Responses.
    OpenAiResponses,
    /// Anthropic Messages.
    Anthropic,
    /// Gemini generateContent.
    Gemini,
}

impl WireName {
    fn dialect(self) -> &'static dyn Dialect {
        match self {
            Self::OpenAiChat => &openai_chat::OpenAiChat,
            Self::OpenAiResponses => &openai_responses::OpenAiResponses,
            Self::Anthropic => &anthropic::Anthropic,
            Self::Gemini => &gemini::Gemini,
        }
    }

    fn base_path(self) -> &'static str {
        match self {
            Self::OpenAiChat | Self::OpenAiResponses => "/openai/v1",
            Self::Anthropic => "/anthropic/v1",
            Self::Gemini => "/gemini/v1beta",
        }
    }
}

/// How a simulator is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Port on 127.0.0.1; 0 for any free one.
    pub port: u16,
    /// How many requests are remembered; 0 for none, which is cheapest.
    pub log_capacity: usize,
    /// Seed of what is made up for schemas, and of the draws for [`Behaviour::fail_ratio`].
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: 0,
            log_capacity: 100_000,
            seed: 0,
        }
    }
}

/// A running simulated provider. Dropping it breaks off every connection.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    state: Arc<State>,
    running: Mutex<Option<Running>>,
}

impl Simulator {
    /// Starts to serve on the loopback interface, in the current runtime.
    ///
    /// # Errors
    /// The port cannot be bound.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let Settings {
            port,
            log_capacity,
            seed,
        } = settings;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            scripts: Scripts::new(seed),
            log: Arc::new(Log::new(log_capacity)),
            memory: Memory::new(seed),
        });
        let running = Running::start(listener, Arc::clone(&state));
        Ok(Self {
            address,
            state,
            running: Mutex::new(Some(running)),
        })
    }

    /// Serves one more connection, which need not be a socket: sockets take real time even if the runtime's clock is
    /// paused. A reset is an ordinary close on it. A paused simulator drops the connection.
    pub fn serve(&self, connection: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        if let Some(running) = &*self.running() {
            let reset = Arc::new(AtomicBool::new(false));
            running.serve(connection, reset, Arc::clone(&self.state));
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL of a provider that speaks this format, without a trailing slash.
    pub fn base_url(&self, wire: WireName) -> String {
        format!("http://{}{}", self.address, wire.base_path())
    }

    /// Scripts the next requests to a model, one behaviour each, in order of their arrival. The last
    /// behaviour stays. Replaces an earlier script; an empty one leaves the model to its name.
    pub fn script(&self, model: &str, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.state.scripts.set(model, behaviours);
    }

    /// Makes a model behave like this from the next request on.
    pub fn set(&self, model: &str, behaviour: impl Into<Behaviour>) {
        self.script(model, [behaviour.into()]);
    }

    /// The remembered requests in the order of their arrival.
    pub fn requests(&self) -> Vec<Received> {
        self.state.log.all()
    }

    /// The remembered requests to one model, by its name as it was sent.
    pub fn requests_for(&self, model: &str) -> Vec<Received> {
        let mut requests = self.requests();
        requests.retain(|request| request.model == model);
        requests
    }

    /// Waits until the remembered requests are as they should be. The condition is asked at once and
    /// after every arrival and ending; it must not call the simulator.
    pub async fn wait_for(&self, condition: impl FnMut(&[Received]) -> bool) {
        self.state.log.wait_for(condition).await;
    }

    /// Breaks off every connection and refuses new ones until [`Simulator::resume`].
    pub async fn pause(&self) {
        let running = self.running().take();
        if let Some(running) = running {
            self.state.log.set_stopped(true);
            running.stop();
            running.stopped().await;
        }
    }

    /// Serves again at the same address, with the same scripts and log.
    ///
    /// # Errors
    /// Another process has taken the port.
    pub async fn resume(&self) -> io::Result<()> {
        if self.running().is_some() {
            return Ok(());
        }
        let listener = TcpListener::bind(self.address).await?;
        self.state.log.set_stopped(false);
        let running = Running::start(listener, Arc::clone(&self.state));
        *self.running() = Some(running);
        Ok(())
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if let Some(running) = self.running().take() {
            self.state.log.set_stopped(true);
            running.stop();
        }
    }
}
