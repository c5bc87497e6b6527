//! One try of one target: sends the request, reads the answer, knows how it ended.

pub(in crate::dispatch) mod timers;

use std::collections::VecDeque;
use std::future::Future;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use tokio::time::{Instant, timeout};

use crate::chat::{Adaptation, ChatEvent, Finish, is_empty_answer};
use crate::error::{Billing, UpstreamError, UpstreamErrorKind};
use crate::provider::OutboundRequest;
use crate::telemetry::spans::AttemptSpan;
use crate::trail::{AttemptRecord, Cost, Outcome};
use crate::transport::{Body, Response, Transport};
use crate::wire::reader::{MAX_BODY_BYTES, Reader};
use crate::wire::{Framing, failure};

use self::timers::{Expiry, Heard, Hurried, Timers};
use crate::dispatch::target::{Target, Timeouts};
use crate::health::guard::Permit;

/// No more is read of an error response's body that has this size: what lies beyond explains nothing.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// The longest wait for the body of an error response: another target could be answering meanwhile.
const MAX_ERROR_WAIT: Duration = Duration::from_secs(1);

/// The most that is read without any content: what keeps coming like that is no answer.
const MAX_BYTES_WITHOUT_CONTENT: usize = MAX_BODY_BYTES;

/// The most that is read of an answer that is kept until it is complete, which is some 200,000
/// tokens in events of their own.
const MAX_BYTES_KEPT: usize = 64 * 1024 * 1024;

/// Why an attempt came to its end without an answer.
#[derive(Debug)]
pub(in crate::dispatch) enum Ended {
    /// It failed.
    Failed(UpstreamError),
    /// The call's deadline passed.
    Deadline,
}

impl From<UpstreamError> for Ended {
    fn from(error: UpstreamError) -> Self {
        Self::Failed(error)
    }
}

/// One try of one target. Dropping it closes the upstream request.
pub(in crate::dispatch) struct Attempt {
    permit: Permit,
    record: AttemptRecord,
    span: AttemptSpan,
    adaptations: Vec<Adaptation>,
    began: Instant,
    /// Set once it has failed, which may be a while before it is settled.
    failed_after: Option<Duration>,
    /// How long nothing had come when it failed, if the call allowed no more than that.
    cut_short_after: Option<Duration>,
    timers: Timers,
    stream: bool,
    keep: bool,
    may_say_nothing: bool,
    slow_after: Duration,
    answer: Option<(Body, Reader)>,
    /// Bytes of the answer's body that were read, and those of them since the last content.
    read_bytes: usize,
    bytes_without_content: usize,
    /// Events that were read and not yet given out. Before the first content nothing is given out.
    ready: VecDeque<ChatEvent>,
    has_content: bool,
    /// A failure that stands behind the ready events.
    failed: Option<UpstreamError>,
    done: bool,
    response_id: Option<String>,
    finish: Option<Finish>,
}

/// What an attempt begins with.
pub(in crate::dispatch) struct Beginning {
    pub(in crate::dispatch) permit: Permit,
    pub(in crate::dispatch) record: AttemptRecord,
    pub(in crate::dispatch) span: AttemptSpan,
    pub(in crate::dispatch) adaptations: Vec<Adaptation>,
    pub(in crate::dispatch) limits: Timeouts,
    pub(in crate::dispatch) hurried: Hurried,
    pub(in crate::dispatch) deadline: Instant,
    /// Whether the answer was asked for as a stream.
    pub(in crate::dispatch) stream: bool,
    /// Whether the answer is kept until it is complete.
    pub(in crate::dispatch) keep: bool,
    /// Whether an answer without a word is one.
    pub(in crate::dispatch) may_say_nothing: bool,
}

impl Attempt {
    pub(in crate::dispatch) fn begin(beginning: Beginning) -> Self {
        let Beginning {
            permit,
            record,
            span,
            adaptations,
            limits,
            hurried,
            deadline,
            stream,
            keep,
            may_say_nothing,
        } = beginning;
        let began = Instant::now();
        Self {
            permit,
            record,
            span,
            adaptations,
            began,
            failed_after: None,
            cut_short_after: None,
            timers: Timers::start(limits, hurried, deadline, began),
            stream,
            keep,
            may_say_nothing,
            slow_after: limits.slow_first_content,
            answer: None,
            read_bytes: 0,
            bytes_without_content: 0,
            ready: VecDeque::new(),
            has_content: false,
            failed: None,
            done: false,
            response_id: None,
            finish: None,
        }
    }

    /// What it tries.
    pub(in crate::dispatch) fn target(&self) -> &Arc<Target> {
        self.permit.target()
    }

    /// Whether the answer is a stream.
    pub(in crate::dispatch) fn is_stream(&self) -> bool {
        self.stream
    }

    /// How long nothing had come when it failed, if the call allowed no more than that.
    pub(in crate::dispatch) fn cut_short_after(&self) -> Option<Duration> {
        self.cut_short_after
    }

    /// The record so far.
    pub(in crate::dispatch) fn record(&self) -> &AttemptRecord {
        &self.record
    }

    /// Sends the request and reads up to the first content. Lifecycle events before it are kept.
    pub(in crate::dispatch) async fn open(
        &mut self,
        transport: &Transport,
        request: OutboundRequest,
    ) -> Result<(), Ended> {
        let opened = self.send(transport, request).await;
        self.judged(opened)
    }

    /// The next event; `None` after the last one of a complete answer. Safe to cancel.
    pub(in crate::dispatch) async fn next(&mut self) -> Result<Option<ChatEvent>, Ended> {
        let read = self.read().await;
        self.judged(read)
    }

    async fn send(&mut self, transport: &Transport, request: OutboundRequest) -> Result<(), Ended> {
        let upload = self.timers.upload().clone();
        let sending = transport.send(request, &upload);
        let response = watched(&mut self.timers, &mut self.permit, sending).await??;
        self.permit.reached();
        self.record.provider_request_id = request_id(&response.headers);
        if !response.status.is_success() {
            return Err(self.refused(response).await.into());
        }
        let content_type = response
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let framing = if self.stream {
            Framing::Sse
        } else {
            Framing::Json
        };
        let format = Arc::clone(&self.permit.target().wire_format);
        let reader = Reader::sniffing(format, framing, content_type);
        // The headers go: for as long as a stream is open, the buffer that they lie in would stay with them.
        self.answer = Some((response.body, reader));
        while !self.has_content {
            if let Some(error) = self.failed.take() {
                return Err(error.into());
            }
            self.fill().await?;
        }
        let now = Instant::now();
        let is_empty = self.failed.is_none() && is_empty_answer(&self.ready);
        if !is_empty {
            self.record.first_content = Some(now - self.began);
        }
        // What fails in the same breath has given nothing to the caller yet.
        if let Some(error) = self.failed.take() {
            return Err(error.into());
        }
        // The wait for a connection of ours, and a slow upload, say nothing of the target.
        let taken = now.saturating_duration_since(upload.written().unwrap_or(self.began));
        let is_failure = is_empty && !self.may_say_nothing;
        // It has answered; but a model that mostly says nothing is as good as one that comes too late.
        self.permit.committed(is_failure || taken > self.slow_after);
        if is_failure {
            self.leave();
            return Err(UpstreamError::new(UpstreamErrorKind::EmptyAnswer).into());
        }
        if self.stream {
            self.permit.observe(now - self.began);
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<Option<ChatEvent>, Ended> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if self.note(&event) {
                    return Ok(Some(event));
                }
                self.done = true;
                self.permit.completed();
                self.leave();
            }
            if self.done {
                return Ok(None);
            }
            if self.ready.is_empty() {
                if let Some(error) = self.failed.take() {
                    return Err(error.into());
                }
                self.fill().await?;
            }
        }
    }

    /// The answer is complete: its connection may be used again.
    fn leave(&mut self) {
        if let Some((body, _)) = self.answer.take() {
            body.leave();
        }
    }

    /// Tells the breaker of a failure at once, whenever the attempt is settled.
    fn judged<T>(&mut self, result: Result<T, Ended>) -> Result<T, Ended> {
        if let Err(Ended::Failed(error)) = &result {
            match self.timers.cut_short() {
                Some(since) => {
                    self.cut_short_after = Some(since.elapsed());
                    self.permit.cut_short(since);
                }
                None => self.permit.failed(error),
            }
            self.failed_after = Some(self.began.elapsed());
        }
        result
    }

    /// Ends the attempt: tells the span, and gives away its record and what was left out or changed
    /// for the target.
    pub(in crate::dispatch) fn settle(
        mut self,
        outcome: Outcome,
    ) -> (AttemptRecord, Vec<Adaptation>) {
        while let Some(event) = self.ready.pop_front() {
            self.note(&event); // usage that had arrived counts, though nobody was told
        }
        self.record.billing = Some(self.billing(&outcome));
        self.record.outcome = outcome;
        self.record.latency = self.failed_after.unwrap_or_else(|| self.began.elapsed());
        if self.stream && self.record.first_content.is_none() {
            self.permit.observe_without_content(self.record.latency);
        }
        let price = self.permit.target().price;
        self.record.cost = self.record.usage.map(|usage| match price {
            Some(price) => Cost {
                nanos: price.cost_nanos(&usage),
                incomplete: false,
            },
            None => Cost {
                nanos: 0,
                incomplete: true,
            },
        });
        self.span.end(
            &self.record,
            self.response_id.as_deref(),
            self.finish.as_ref(),
        );
        (self.record, self.adaptations)
    }

    /// What the provider charges for an attempt that ends like this.
    fn billing(&self, outcome: &Outcome) -> Billing {
        let begun = self.record.first_content.is_some() || self.record.usage.is_some();
        match outcome {
            Outcome::Succeeded if self.record.usage.is_some() => Billing::Actual,
            Outcome::Failed(error) if error.kind == UpstreamErrorKind::EmptyAnswer => {
                match self.record.usage {
                    Some(_) => error.kind.verdict().billing,
                    None => Billing::Uncertain,
                }
            }
            Outcome::Failed(error) if !begun => error.kind.verdict().billing,
            Outcome::Failed(_) => Billing::Partial,
            Outcome::Cancelled(_) if begun => Billing::Partial,
            Outcome::Succeeded | Outcome::Cancelled(_) => Billing::Uncertain,
            Outcome::Running | Outcome::Skipped(_) => Billing::Zero,
        }
    }

    /// Reads the next bytes and the events they complete.
    async fn fill(&mut self) -> Result<(), Ended> {
        let Some((body, reader)) = &mut self.answer else {
            return Ok(());
        };
        let chunk = match watched(&mut self.timers, &mut self.permit, body.chunk()).await {
            // Nothing of the answer is missing: silence or a broken connection is its end, too.
            Err(Ended::Failed(_)) | Ok(Err(_)) if reader.is_complete() => Ok(None),
            Err(ended) => return Err(ended),
            Ok(chunk) => chunk,
        };
        // Once there is content, nothing waits here, and the room is used again.
        let mut events = match self.has_content {
            true => Vec::from(mem::take(&mut self.ready)),
            false => Vec::new(),
        };
        let read = match chunk {
            Ok(Some(bytes)) => {
                let read = reader.push(&bytes, &mut events);
                let heard = heard(&events);
                self.timers.complete(reader.is_complete());
                self.timers.heard(heard, Instant::now());
                if heard == Heard::Content {
                    self.permit.progressed();
                }
                let is_done = reader.is_done();
                let counted = self.count(bytes.len(), heard);
                read.and(if is_done { Ok(()) } else { counted })
            }
            Ok(None) => reader.end(&mut events),
            Err(error) => Err(error),
        };
        self.has_content |= events.iter().any(ChatEvent::is_content);
        if self.ready.is_empty() {
            self.ready = events.into();
        } else {
            for event in events {
                let event = event.unless_replacing(self.ready.iter_mut().rev());
                self.ready.extend(event);
            }
        }
        self.failed = read.err();
        Ok(())
    }

    /// Counts bytes of the answer that have been read.
    ///
    /// # Errors
    /// `Malformed` for more than an answer has.
    fn count(&mut self, bytes: usize, heard: Heard) -> Result<(), UpstreamError> {
        self.read_bytes = self.read_bytes.saturating_add(bytes);
        self.bytes_without_content = match heard {
            Heard::Content => 0,
            Heard::Progress | Heard::Bytes => self.bytes_without_content.saturating_add(bytes),
        };
        if self.bytes_without_content > MAX_BYTES_WITHOUT_CONTENT
            || (self.keep && self.read_bytes > MAX_BYTES_KEPT)
        {
            return Err(UpstreamError::malformed("the answer has no end"));
        }
        Ok(())
    }

    /// Classifies an answer that is none.
    async fn refused(&mut self, response: Response) -> UpstreamError {
        let Response {
            status,
            headers,
            mut body,
        } = response;
        let mut read = Vec::new();
        let reading = async {
            while read.len() < MAX_ERROR_BYTES {
                match watched(&mut self.timers, &mut self.permit, body.chunk()).await {
                    Ok(Ok(Some(bytes))) => read.extend_from_slice(&bytes),
                    Ok(Ok(None) | Err(_)) | Err(_) => break,
                }
            }
        };
        // Whatever keeps the body from its end, the status alone says enough.
        let _ = timeout(MAX_ERROR_WAIT, reading).await;
        failure::classify(status, &headers, &read, SystemTime::now())
    }

    /// Takes in what the record tells of an event. False for the end of the answer.
    fn note(&mut self, event: &ChatEvent) -> bool {
        match event {
            ChatEvent::Started {
                response_id,
                response_model,
            } => {
                if let Some(id) = response_id.as_deref().filter(is_name) {
                    self.response_id = Some(id.to_owned());
                }
                if let Some(model) = response_model.as_deref().filter(is_name) {
                    self.record.response_model = Some(model.to_owned());
                }
            }
            ChatEvent::Finish(finish) => self.finish = Some(finish.clone()),
            ChatEvent::Usage(usage) => self.record.usage = Some(*usage),
            ChatEvent::Done => return false,
            ChatEvent::Text(_)
            | ChatEvent::Reasoning(_)
            | ChatEvent::ReasoningSignature(_)
            | ChatEvent::Refusal(_)
            | ChatEvent::ToolCall { .. }
            | ChatEvent::ToolArguments { .. } => {}
        }
        true
    }
}

/// What the events say that came with some bytes.
fn heard(events: &[ChatEvent]) -> Heard {
    if events.iter().any(ChatEvent::is_content) {
        return Heard::Content;
    }
    let is_progress = |event: &ChatEvent| !matches!(event, ChatEvent::Started { .. });
    if events.iter().any(is_progress) {
        Heard::Progress
    } else {
        Heard::Bytes
    }
}

/// Waits for something of the provider's, no longer than the limits allow.
async fn watched<T>(
    timers: &mut Timers,
    permit: &mut Permit,
    wait: impl Future<Output = T>,
) -> Result<T, Ended> {
    tokio::pin!(wait);
    loop {
        let expiry = tokio::select! {
            biased;
            output = &mut wait => return Ok(output),
            expiry = timers.expired() => expiry,
        };
        match expiry {
            Expiry::Stalled => permit.stalled(),
            Expiry::Deadline => return Err(Ended::Deadline),
            Expiry::WriteIdle => {
                timers.upload().overdue();
                return Err(timed_out(
                    "no piece of the request was taken within `write_idle`",
                ));
            }
            Expiry::FirstEvent => {
                timers.upload().overdue();
                return Err(timed_out("no byte of an answer within `first_event`"));
            }
            Expiry::FirstContent if timers.cut_short().is_some() => {
                return Err(timed_out("no content in the time that the call has for it"));
            }
            Expiry::FirstContent => return Err(timed_out("no content within `first_content`")),
            Expiry::ByteIdle => {
                timers.upload().overdue();
                return Err(timed_out("no byte within `byte_idle`"));
            }
            Expiry::ProgressIdle if timers.cut_short().is_some() => {
                return Err(timed_out(
                    "no progress in the time that the call has for it",
                ));
            }
            Expiry::ProgressIdle => return Err(timed_out("no progress within `progress_idle`")),
        }
    }
}

fn timed_out(message: &'static str) -> Ended {
    Ended::Failed(UpstreamError::new(UpstreamErrorKind::TimedOut).because(message))
}

/// Under which names providers send the id that their support desk asks for.
const REQUEST_ID_HEADERS: [&str; 5] = [
    "x-request-id",
    "request-id",
    "apim-request-id",
    "x-generation-id",
    "mistral-correlation-id",
];

fn request_id(headers: &HeaderMap) -> Option<String> {
    let legal = |value: &HeaderValue| {
        let id = value.to_str().ok().filter(is_name)?;
        Some(id.to_owned())
    };
    REQUEST_ID_HEADERS
        .iter()
        .find_map(|name| headers.get(*name).and_then(legal))
}

/// The longest name of anything that goes into records and spans as a provider wrote it.
const MAX_NAME_BYTES: usize = 128;

/// Whether it can be a name: what is longer, or holds spaces, may be a piece of the prompt.
fn is_name(text: &&str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_NAME_BYTES
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Usage;

    #[test]
    fn only_what_brings_the_answer_on_is_progress() {
        let started = || ChatEvent::Started {
            response_id: None,
            response_model: None,
        };
        let usage = || ChatEvent::Usage(Usage::default());
        let text = || ChatEvent::Text("a".to_owned());
        let table = [
            (vec![], Heard::Bytes),
            (vec![started()], Heard::Bytes),
            (vec![usage()], Heard::Progress),
            (vec![started(), usage()], Heard::Progress),
            (vec![text()], Heard::Content),
            (vec![started(), usage(), text()], Heard::Content),
        ];
        for (events, expected) in table {
            assert_eq!(heard(&events), expected, "{events:?}");
        }
    }

    #[test]
    fn the_first_id_of_a_request_that_looks_like_one_is_taken() {
        let (longest, too_long) = ("i".repeat(128), "i".repeat(129));
        let table = [
            (vec![], None),
            (vec![("x-other", "id")], None),
            (
                vec![("request-id", "one"), ("x-request-id", "two")],
                Some("two"),
            ),
            (
                vec![("x-request-id", ""), ("request-id", "one")],
                Some("one"),
            ),
            (vec![("x-request-id", longest.as_str())], Some(&*longest)),
            (vec![("x-request-id", too_long.as_str())], None),
        ];
        for (headers, expected) in table {
            let headers = headers.into_iter().map(|(name, value)| {
                let value = HeaderValue::from_str(value).expect("visible characters");
                (http::HeaderName::from_static(name), value)
            });

            assert_eq!(request_id(&headers.collect()).as_deref(), expected);
        }
    }
}
