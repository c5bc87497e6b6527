//! How is one target asked, step by step? No retry, no breaker, one request.

use std::time::{Duration, SystemTime};

use http::header::CONTENT_TYPE;
use tokio::time::{Instant, timeout_at};

use crate::chat::{ChatEvent, FinishReason};
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::identity::{Identity, Labels};
use crate::limits::{Asked, Estimate, Expected, Limits, Now, Reservation};
use crate::money::{self, AttemptEnd, AttemptEnding, Cost};
use crate::transport::{ProviderLinks, Response, Settings, Transport, Upload};
use crate::wire::reader::Reader;
use crate::wire::{Framing, failure};

use super::plan::Question;
use super::report::Checked;

/// How long all steps of a target may take together.
const LIMIT: Duration = Duration::from_secs(10);

/// The most bytes that are read of an answer: it has a few tokens.
const MAX_BYTES: usize = 1 << 20;

/// How the providers are reached.
pub(super) struct Ways {
    pub(super) links: ProviderLinks,
    pub(super) transport: Transport,
    pub(super) settings: Settings,
}

impl Ways {
    /// Asks a target. `no_token` is why there is no access token, if it wants one that cannot be had.
    pub(super) async fn ask(&self, question: Question, no_token: Option<&str>) -> Checked {
        let Question { target, wire, .. } = question;
        let mut checked = Checked::of(&target);
        let deadline = Instant::now() + LIMIT;
        let wire = match wire {
            Ok(wire) => wire,
            Err(why) => {
                checked.fail(
                    "request",
                    Duration::ZERO,
                    format!("the question cannot be put: {why:?}"),
                    "compare `dialect` and `body` of the model and its provider with their documentation",
                );
                return checked;
            }
        };
        let request = target.provider.address(wire, None);
        let examined = self
            .links
            .examine(self.settings, &request.link, &request.url, deadline)
            .await;
        for step in examined.steps {
            match step.result {
                Ok(found) => checked.pass(step.name, step.took, found),
                Err(why) => {
                    let remedy = remedy_of_step(step.name);
                    checked.fail(step.name, step.took, why, remedy);
                    return checked;
                }
            }
        }
        if let Some(why) = no_token {
            let remedy = "check the provider's `credential` and its rights at the issuer";
            checked.fail(
                "key",
                Duration::ZERO,
                format!("no access token: {why}"),
                remedy,
            );
            return checked;
        }
        let began = Instant::now();
        let upload = Upload::new(began);
        let answer = match unlimited() {
            Err(error) => Err(error),
            Ok(mut reservation) => {
                let sending = self.transport.send(request, &upload, &mut reservation);
                match timeout_at(deadline, sending).await {
                    Err(_) => Err(late("no answer")),
                    Ok(sent) => sent,
                }
            }
        };
        checked.is_sent = upload.written().is_some();
        let answer = match answer {
            Ok(answer) if answer.status.is_success() => answer,
            Ok(answer) => {
                let error = refusal(answer, deadline).await;
                checked.refused(began.elapsed(), &error);
                return checked;
            }
            Err(error) => {
                checked.refused(began.elapsed(), &error);
                return checked;
            }
        };
        let status = answer.status;
        checked.pass("http", began.elapsed(), format!("HTTP {}", status.as_u16()));
        let mut answered = LiveAnswer::default();
        let format = std::sync::Arc::clone(&target.wire_format);
        let content_type = answer.headers.get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let reader = Reader::sniffing(format, Framing::Sse, content_type);
        let read = answered.read(answer, reader, began, deadline).await;
        checked.cost = answered.cost(&target);
        if let Err(error) = &read
            && answered.first_event.is_none()
        {
            checked.refused(began.elapsed(), error);
            return checked;
        }
        checked.pass("key", began.elapsed(), "accepted".to_owned());
        checked.pass("model", began.elapsed(), answered.model(&target.model));
        if let Some(first) = answered.first_event {
            checked.pass("event", first, "the stream's first event".to_owned());
        }
        match read {
            Err(error) => checked.refused(began.elapsed(), &error),
            Ok(()) => match answered.has_token() {
                true => checked.pass("token", began.elapsed(), answered.tokens()),
                false => checked.fail(
                    "token",
                    began.elapsed(),
                    "the answer is complete and empty".to_owned(),
                    "ask the model by `modelway call`; it may need more output tokens than the check allows",
                ),
            },
        }
        checked
    }
}

/// What has come of an answer.
#[derive(Default)]
struct LiveAnswer {
    first_event: Option<Duration>,
    has_content: bool,
    finish: Option<FinishReason>,
    usage: Option<crate::chat::Usage>,
    provider_nanos: Option<i64>,
    response_model: Option<String>,
}

impl LiveAnswer {
    async fn read(
        &mut self,
        answer: Response,
        mut reader: Reader,
        began: Instant,
        deadline: Instant,
    ) -> Result<(), UpstreamError> {
        let mut body = answer.body;
        let mut bytes = 0;
        loop {
            let mut events = Vec::new();
            let chunk = match timeout_at(deadline, body.chunk()).await {
                Err(_) if reader.is_complete() => Ok(None),
                Err(_) => Err(late("no further event")),
                Ok(chunk) => chunk,
            };
            let ended = match chunk {
                Ok(Some(chunk)) => {
                    bytes += chunk.len();
                    if bytes > MAX_BYTES {
                        return Err(UpstreamError::malformed("the answer has no end"));
                    }
                    reader.push(&chunk, &mut events).map(|()| reader.is_done())
                }
                Ok(None) => reader.end(&mut events).map(|()| true),
                Err(_) if reader.is_complete() => Ok(true),
                Err(error) => Err(error),
            };
            for event in events {
                self.note(event, began);
            }
            if ended? {
                return Ok(());
            }
        }
    }

    fn note(&mut self, event: ChatEvent, began: Instant) {
        self.first_event.get_or_insert_with(|| began.elapsed());
        match event {
            ChatEvent::Started { response_model, .. } => {
                self.response_model = response_model.or(self.response_model.take());
            }
            ChatEvent::Finish(finish) => self.finish = Some(finish.reason),
            ChatEvent::Usage(usage) => self.usage = Some(*usage),
            ChatEvent::Cost(nanos) => self.provider_nanos = Some(nanos),
            ChatEvent::Done => {}
            other => self.has_content |= other.is_content(),
        }
    }

    /// Whether the model has written anything, be it only thought, or was stopped by the limit.
    fn has_token(&self) -> bool {
        self.has_content || self.finish == Some(FinishReason::MaxTokens)
    }

    fn tokens(&self) -> String {
        match &self.usage {
            Some(usage) => {
                let count = |tokens: Option<u64>| {
                    tokens.map_or_else(|| "unknown".to_owned(), |tokens| tokens.to_string())
                };
                let (input, output) = (count(usage.input_tokens), count(usage.output_tokens));
                format!("{input} input and {output} output tokens")
            }
            None => "the provider tells no usage".to_owned(),
        }
    }

    fn model(&self, asked: &str) -> String {
        let legal = |name: &&String| name.len() <= 128 && !name.contains(char::is_control);
        match self.response_model.as_ref().filter(legal) {
            Some(named) if named != asked => format!("answers as {named}"),
            _ => "known".to_owned(),
        }
    }

    /// What it cost; `None` if neither the provider nor the prices tell anything of it.
    fn cost(&self, target: &crate::dispatch::target::Target) -> Option<Cost> {
        if self.provider_nanos.is_none() && (!target.prices.are_known() || self.usage.is_none()) {
            return None;
        }
        let end = AttemptEnd {
            ending: AttemptEnding::Complete,
            has_content: self.has_content,
            content_bytes: 0,
            forecast: None,
            on_disconnect: target.charging.on_disconnect,
            ceiling: None,
            usage: self.usage,
            provider_nanos: self.provider_nanos,
            may_cost_more: false,
            began: SystemTime::now(),
        };
        let prices = target.prices.now();
        let settled = money::settle(&end, prices.as_deref(), target.charging.cost_from);
        Some(settled.cost)
    }
}

/// What is set aside for a request that no limit applies to.
fn unlimited() -> Result<Reservation, UpstreamError> {
    let asked = Asked {
        identity: &Identity::local(),
        scenario: "",
        provider: "",
        model: "",
        labels: &Labels::new(),
    };
    let estimate = Estimate {
        tokens: 0,
        money: Expected::Known(0),
    };
    let now = Now {
        wall: SystemTime::now(),
        mono: Instant::now(),
    };
    let reserved = Limits::none().reserve(&asked, &estimate, now);
    reserved.map_err(|denial| {
        UpstreamError::new(UpstreamErrorKind::Shortage).because(denial.to_string())
    })
}

fn late(what: &str) -> UpstreamError {
    let limit = LIMIT.as_secs();
    UpstreamError::new(UpstreamErrorKind::TimedOut).because(format!("{what} within {limit} s"))
}

/// Why a provider refuses the request.
async fn refusal(answer: Response, deadline: Instant) -> UpstreamError {
    let Response {
        status,
        headers,
        mut body,
    } = answer;
    let mut read = Vec::new();
    while read.len() < MAX_BYTES {
        match timeout_at(deadline, body.chunk()).await {
            Ok(Ok(Some(bytes))) => read.extend_from_slice(&bytes),
            Ok(Ok(None) | Err(_)) | Err(_) => break,
        }
    }
    failure::classify(status, &headers, &read, SystemTime::now())
}

fn remedy_of_step(step: &str) -> &'static str {
    match step {
        "dns" => "check the host in `base_url`, and the name server of this machine",
        "tcp" => "check host and port in `base_url`, the proxy, and the firewall",
        _ => {
            "check the host in `base_url`; an authority of your own belongs into `ca_file` of the provider"
        }
    }
}
