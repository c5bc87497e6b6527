//! How can a simulated model behave?

use std::time::Duration;

/// How a simulated model answers one request. The default answers at once with 24 tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    /// Length of the generated text in tokens, see [`text`]. The request's own limit may cut it.
    pub tokens: usize,
    /// Text to answer instead of the generated one.
    pub text: Option<String>,
    /// Length of the reasoning before the text, in tokens; 0 for none.
    pub reasoning: usize,
    /// Tools to call, in parallel. The generated text is left out then.
    pub calls: Vec<ToolCall>,
    /// Tools to call with arguments that obey their schema, each until its result has come.
    pub tools: Vec<String>,
    /// Whether the model refuses to answer: `text` says why, in the field that the wire format has for it.
    pub declines: bool,
    /// The finish reason, if not the one that follows from the content.
    pub finish: Option<Finish>,
    /// The model that the answer claims to come from, if not the requested one.
    pub reported_model: Option<String>,
    /// Wait before the response's head.
    pub delay: Duration,
    /// Wait between the head and the first token. A whole answer waits for it before its head.
    pub first_token: Duration,
    /// Wait between two tokens. A whole answer waits for the sum of them before its head.
    pub gap: Duration,
    /// Bytes per write, 0 for whole events.
    pub slice: usize,
    /// Wait after each slice.
    pub drip: Duration,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// The share of requests that suffer the fault, from 0 to 1, drawn from the simulator's seed,
    /// the model's name and the number of the request to that model.
    pub fail_ratio: f64,
    /// How long a refusal asks the client to wait.
    pub retry_after: Option<Duration>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            tokens: 24,
            text: None,
            reasoning: 0,
            calls: Vec::new(),
            tools: Vec::new(),
            declines: false,
            finish: None,
            reported_model: None,
            delay: Duration::ZERO,
            first_token: Duration::ZERO,
            gap: Duration::ZERO,
            slice: 0,
            drip: Duration::ZERO,
            fault: None,
            fail_ratio: 1.0,
            retry_after: None,
        }
    }
}

impl From<Fault> for Behaviour {
    fn from(fault: Fault) -> Self {
        Self {
            fault: Some(fault),
            ..Self::default()
        }
    }
}

/// A call of a tool by the simulated model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// Name of the tool.
    pub name: String,
    /// JSON object.
    pub arguments: String,
}

impl ToolCall {
    /// A call of a tool that the request does not declare.
    pub fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            arguments: format!(r#"{{"query":"{}"}}"#, text(3)),
        }
    }
}

/// Why an answer ends, in the spelling of each wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model had nothing more to say.
    Stop,
    /// The limit on tokens was reached.
    Length,
    /// The model waits for its tools.
    ToolCalls,
    /// A filter stopped it.
    ContentFilter,
}

/// What goes wrong with an answer.
///
/// `after` is the number of tokens that arrive before the fault; if there are fewer, all of them arrive, but not the
/// end after them. In a whole answer of n tokens, `after` n-ths of its bytes arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An HTTP error with the body that the wire format gives it.
    Refuse(RefusalReason),
    /// No response at all, the connection stays open.
    Hang,
    /// The connection is reset before the response's head.
    ResetAtOnce,
    /// A head with status 200, then nothing.
    Silence,
    /// Keep-alives without end (pings, comments, blank lines), but no content.
    Pings {
        /// Wait between two; zero for as fast as they are read.
        every: Duration,
    },
    /// The events before the first token, such as the role, then nothing.
    RoleOnly,
    /// The provider reports an error in the middle of a stream and ends it. In place of a whole
    /// answer, like [`Fault::ErrorBody`].
    ErrorEvent {
        /// Tokens before it.
        after: usize,
    },
    /// The body ends cleanly, but too early.
    Cut {
        /// Tokens before it.
        after: usize,
    },
    /// The connection is closed (FIN) inside the body.
    Disconnect {
        /// Tokens before it.
        after: usize,
    },
    /// The connection is reset (RST) inside the body.
    Reset {
        /// Tokens before it.
        after: usize,
    },
    /// Nothing more comes, the connection stays open.
    Stall {
        /// Tokens before it.
        after: usize,
    },
    /// One event is not JSON; the answer continues after it.
    Malformed {
        /// Tokens before it.
        after: usize,
    },
    /// One event holds half a UTF-8 character; the answer goes on after it.
    HalfCharacter {
        /// Tokens before it.
        after: usize,
    },
    /// Status 200 with a web page.
    Html,
    /// Status 200 with no body.
    Empty,
    /// A line of 10 MB before the answer.
    LongLine,
    /// Status 200 with the body of an error.
    ErrorBody,
    /// The marker after the finish reason is missing: `[DONE]` or `message_stop`. Gemini has none.
    NoEnd,
    /// Like [`Fault::NoEnd`], and the connection stays open.
    OpenEnd,
    /// Usage is not reported.
    NoUsage,
    /// The answer is right, but its content type is `text/plain`.
    WrongContentType,
    /// A request for a stream is answered whole.
    WholeForStream,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// 400: the request is wrong.
    BadRequest,
    /// 401: the key is unknown (Gemini: 400).
    Unauthorized,
    /// 402: the account has no credit.
    PaymentRequired,
    /// 403: the key may not do this.
    Forbidden,
    /// 404: there is no such model.
    ModelNotFound,
    /// 400: the prompt is longer than the context window.
    ContextLength,
    /// The prompt is blocked: 400, Gemini 200 without a candidate, Anthropic 200 with an empty
    /// answer that ends in `refusal`.
    ContentFilter,
    /// 418: a web page that does not say what is wrong.
    Unexplained,
    /// 429: too many requests for now.
    RateLimited,
    /// 429: a long-term quota is used up (Anthropic: 402).
    QuotaExhausted,
    /// 500: the provider failed.
    ServerError,
    /// 502: a web page of a proxy.
    BadGateway,
    /// 503: the model is overloaded.
    Unavailable,
    /// 529: everything is overloaded.
    Overloaded,
}

impl RefusalReason {
    /// The refusal that an HTTP status stands for; `None` where there is none.
    pub fn from_status(status: u16) -> Option<Self> {
        Some(match status {
            400 => Self::BadRequest,
            401 => Self::Unauthorized,
            402 => Self::PaymentRequired,
            403 => Self::Forbidden,
            404 => Self::ModelNotFound,
            418 => Self::Unexplained,
            429 => Self::RateLimited,
            500 => Self::ServerError,
            502 => Self::BadGateway,
            503 => Self::Unavailable,
            529 => Self::Overloaded,
            _ => return None,
        })
    }
}

/// The generated text of that many tokens. One word is one token, and the same word stands at the
/// same place in every answer.
pub fn text(tokens: usize) -> String {
    // Not all ASCII, so that bytes cut at any place are also cut inside a character.
    const WORDS: [&str; 26] = [
        "alpha", "bravo", "charlie", "delta", "écho", "foxtrot", "golf", "hôtel", "india",
        "juliet", "kilo", "lima", "mike", "november", "oscar", "papa", "québec", "roméo", "sierra",
        "tango", "uniform", "victor", "whiskey", "x-ray", "yankee", "zulu",
    ];
    let words: Vec<&str> = WORDS.iter().cycle().take(tokens).copied().collect();
    words.join(" ")
}
