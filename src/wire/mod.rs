//! Wire formats: how each family of chat APIs spells a request, its events and its errors.
//!
//! Everything below is a pure function of bytes. A format turns a [`ChatRequest`] into a
//! [`WireRequest`] and the frames of a response into [`ChatEvent`]s; [`reader::Reader`] turns the
//! bytes of a response into frames and holds what is true of every format.

pub mod anthropic;
mod arguments;
mod exclusions;
pub mod failure;
pub mod gemini;
mod halves;
mod json;
pub mod limits;
mod media_type;
pub mod merge;
pub mod metadata;
mod openai;
pub mod openai_chat;
pub mod openai_responses;
pub mod options;
mod readable;
pub mod reader;
mod reported;
mod schema;
pub mod segment;
pub mod sse;
mod tally;
mod tool_ids;
mod tool_names;
mod wishes;

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderMap;
use serde::Serialize;

use crate::chat::{Adaptation, ChatEvent, ChatRequest};
use crate::error::{Unsupported, UpstreamError};
use crate::features::{Exclusion, Features};

use self::metadata::AnswerFields;
use self::options::AllowedOptions;

/// One family of chat APIs. Pure functions of their arguments.
pub trait WireFormat: Send + Sync {
    /// Its name in the configuration and in provider options.
    fn name(&self) -> &'static str;

    /// What this family can express at all; a model may be able to do less.
    fn features(&self) -> Features;

    /// Features that cannot be combined in one request, though each alone can be used. The plan
    /// refuses the target before anything is sent.
    fn exclusions(&self) -> &[Exclusion] {
        &[]
    }

    /// Encodes a request. It uses no features outside [`WireFormat::features`]: the plan refuses the target
    /// before that.
    ///
    /// # Errors
    /// [`Unsupported`] for a value of a supported feature that this family cannot express, such as
    /// a fifth stop sequence.
    fn encode(&self, request: &ChatRequest, to: &Recipient<'_>)
    -> Result<WireRequest, Unsupported>;

    /// Checks whether a request can be encoded, at much less cost than encoding it.
    ///
    /// # Errors
    /// The same as those of [`WireFormat::encode`].
    fn check(&self, request: &ChatRequest, to: &Recipient<'_>) -> Result<(), Unsupported>;

    /// What an encoded request depends on besides the request itself. Recipients for which this is equal are sent the
    /// same bytes, except for the model's name and, if the request holds reasoning or signatures, those that are left
    /// out because another provider made them.
    fn spelling<'a>(&'a self, to: &Recipient<'_>) -> Spelling<'a>;

    /// What the path of a request says because its body does not. A path from the configuration has to say it, too.
    fn path_says(&self) -> PathSays {
        PathSays::default()
    }

    /// Which fields of an answer its decoder reads, and which say nothing.
    fn answer_fields(&self) -> &'static AnswerFields;

    /// Begins to read one response.
    fn decoder(&self, framing: Framing) -> Box<dyn Decoder>;
}

/// What the path of a request says because its body does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathSays {
    /// The model's name.
    pub model: bool,
    /// Whether a stream is wanted.
    pub stream: bool,
}

/// What an encoded request depends on besides the request and the model's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling<'a> {
    /// OpenAI Chat Completions.
    OpenAiChat {
        /// What the host does differently.
        dialect: &'a openai_chat::Dialect,
        /// Whether the answer is wanted as a stream.
        stream: bool,
    },
    /// OpenAI Responses.
    OpenAiResponses {
        /// What the host or the model does differently.
        dialect: &'a openai_responses::Dialect,
        /// Whether the answer is wanted as a stream.
        stream: bool,
    },
    /// Anthropic Messages.
    Anthropic {
        /// What differs between hosts and generations of models.
        dialect: &'a anthropic::Dialect,
        /// The limit that is written where the request has none.
        max_output_tokens: Option<u32>,
        /// Whether the answer is wanted as a stream.
        stream: bool,
    },
    /// Gemini, which says in the path whether it wants a stream.
    Gemini(gemini::Asking<'a>),
}

/// The target that a request is encoded for, and how its answer is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'a> {
    /// Config name of the provider: reasoning signed by another one is left out.
    pub provider: &'a str,
    /// The model's name at the provider.
    pub model: &'a str,
    /// The most output tokens the model can give, if configured: for formats that require a limit. The plan refuses a
    /// target of which more is asked.
    pub max_output_tokens: Option<u32>,
    /// Whether the answer is wanted as a stream of events or whole.
    pub stream: bool,
    /// Which fields in the provider's own words callers may set.
    pub options: &'a AllowedOptions,
}

/// An HTTP POST without what belongs to the provider: host, credential, extra headers.
#[derive(Clone, Debug)]
pub struct WireRequest {
    /// What to append to the base URL, with a leading slash and perhaps a query.
    pub path: String,
    /// Headers that the format itself demands, `content-type` included.
    pub headers: HeaderMap,
    /// The JSON body.
    pub body: Bytes,
    /// What was left out or changed without changing what was asked.
    pub adaptations: Vec<Adaptation>,
}

/// Room for the body of a short question; a longer one makes it grow.
const USUAL_BODY_BYTES: usize = 1024;

/// The JSON text of a body.
fn json_text(body: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(USUAL_BODY_BYTES);
    serde_json::to_writer(&mut text, body)?;
    Ok(text)
}

/// The adaptations made while a request was encoded, each listed once.
#[derive(Debug, Default)]
pub struct Adaptations(Vec<Adaptation>);

impl Adaptations {
    fn note(&mut self, field: impl Into<Cow<'static, str>>, what: &'static str) {
        let adaptation = Adaptation {
            field: field.into(),
            what,
        };
        if !self.0.contains(&adaptation) {
            self.0.push(adaptation);
        }
    }
}

/// How the body of a response is cut into frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events, a frame each.
    Sse,
    /// One JSON text, a single frame.
    Json,
}

/// One server-sent event, or a whole JSON body.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The event's name, empty if it has none.
    pub event: &'a str,
    /// Its data; for a well-behaved provider JSON text.
    pub data: &'a str,
}

/// Turns one response's frames into events, in order.
pub trait Decoder: Send {
    /// Reads one frame. When the provider says that it is done, appends [`ChatEvent::Done`], last; no frame is passed
    /// in after that. An unknown kind of frame appends nothing.
    ///
    /// # Errors
    /// An error that the provider reports in band, or `Malformed` for a known frame that cannot be
    /// read. What was appended before it stands.
    fn frame(&mut self, frame: Frame<'_>, events: &mut Vec<ChatEvent>)
    -> Result<(), UpstreamError>;

    /// Whether the provider has said that the answer is complete, so that it is usable even if neither more frames nor
    /// the end of the body arrive. Frames that do arrive are still read: usage, and the family's own end.
    fn is_complete(&self) -> bool {
        false
    }

    /// The body has ended without [`ChatEvent::Done`]. Appends it if the end of the body is how this
    /// family ends an answer.
    ///
    /// # Errors
    /// `Truncated` otherwise: the end of the bytes alone is never success.
    fn end(&mut self, events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError>;
}
