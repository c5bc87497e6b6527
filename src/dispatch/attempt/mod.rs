//! One try of one target: how is the request sent, the answer read, and the end recorded?

mod arriving;
mod draining;
mod facts;
pub(in crate::dispatch) mod progress;
mod timers;
mod waiting;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use tokio::time::{Instant, timeout};

use crate::chat::{Adaptation, ChatEvent, Substance};
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::limits::Now;
use crate::money::{self, AttemptEnding, OnDisconnect};
use crate::provider::OutboundRequest;
use crate::telemetry::observe::ObservedAttempt;
use crate::trail::{AttemptRecord, Outcome};
use crate::transport::{Response, Transport};
use crate::wire::reader::Reader;
use crate::wire::{Framing, failure, metadata};

use super::candidate::CapBy;
use super::permit::TargetPermit;
use super::spending::{Allowance, actual};
use super::target::{Target, Timeouts};

use self::arriving::Arriving;
use self::facts::Charged;
use self::progress::{Gain, Hurried};
use self::timers::Timers;
use self::waiting::within_limits;

/// The most bytes that are read of the body of an error response: nothing beyond them explains the failure.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// The longest wait for the body of an error response: another target could be answering meanwhile.
const MAX_ERROR_WAIT: Duration = Duration::from_secs(1);

/// Why an attempt ended without an answer.
#[derive(Debug)]
pub(super) enum Ended {
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
pub(super) struct Attempt {
    permit: TargetPermit,
    observed: ObservedAttempt,
    record: AttemptRecord,
    /// What the answer says of what is charged for it.
    charged: Charged,
    adaptations: Vec<Adaptation>,
    allowance: Allowance,
    began: Instant,
    /// Set when the attempt fails; it may be settled later.
    failed_after: Option<Duration>,
    /// If a limit tighter than the target's own ended the attempt: how long the provider had been silent.
    cut_short_after: Option<Duration>,
    timers: Timers,
    arriving: Arriving,
    /// Set if its caller left while it was under way: after how long. It may be read on.
    left_after: Option<Duration>,
    /// Set once it was read on to an end: how it ended.
    read_on: Option<AttemptEnding>,
}

/// What an attempt begins with.
pub(super) struct Beginning {
    pub(super) permit: TargetPermit,
    pub(super) observed: ObservedAttempt,
    pub(super) record: AttemptRecord,
    /// What was left out or changed for the target.
    pub(super) adaptations: Vec<Adaptation>,
    /// What is set aside for it.
    pub(super) allowance: Allowance,
    pub(super) limits: Timeouts,
    pub(super) hurried: Hurried,
    pub(super) deadline: Instant,
}

impl Attempt {
    /// Begins the attempt. Its time counts from now. It is boxed, since it is large and goes through many hands.
    pub(super) fn begin(beginning: Beginning) -> Box<Self> {
        let Beginning {
            permit,
            observed,
            mut record,
            adaptations,
            allowance,
            limits,
            hurried,
            deadline,
        } = beginning;
        let began = Instant::now();
        record.began = Some(began.into_std());
        Box::new(Self {
            permit,
            observed,
            record,
            charged: Charged::default(),
            adaptations,
            allowance,
            began,
            failed_after: None,
            cut_short_after: None,
            timers: Timers::start(limits, hurried, deadline, began),
            arriving: Arriving::default(),
            left_after: None,
            read_on: None,
        })
    }

    /// The target's position in the plan.
    pub(super) fn position(&self) -> usize {
        self.permit.position()
    }

    /// The target.
    pub(super) fn target(&self) -> &Arc<Target> {
        self.permit.target()
    }

    /// Whether the answer is a stream.
    pub(super) fn is_stream(&self) -> bool {
        self.permit.asked().wants_stream_of(self.target())
    }

    /// If a limit tighter than the target's own ended the attempt: how long the provider had been silent.
    pub(super) fn cut_short_after(&self) -> Option<Duration> {
        self.cut_short_after
    }

    /// The record so far.
    pub(super) fn record(&self) -> &AttemptRecord {
        &self.record
    }

    /// Sends the request and reads up to the first content. The events before it are kept.
    pub(super) async fn open(
        &mut self,
        transport: &Transport,
        request: OutboundRequest,
    ) -> Result<(), Ended> {
        let opened = self.send(transport, request).await;
        self.report_failure(opened)
    }

    /// The next event; `None` after the last one of a complete answer. Safe to cancel.
    pub(super) async fn next(&mut self) -> Result<Option<ChatEvent>, Ended> {
        let read = self.read().await;
        self.report_failure(read)
    }

    async fn send(&mut self, transport: &Transport, request: OutboundRequest) -> Result<(), Ended> {
        let upload = self.timers.upload().clone();
        let response = {
            let sending = pin!(transport.send(request, &upload, &mut self.allowance.reservation));
            within_limits(&mut self.timers, &mut self.permit, sending).await??
        };
        self.permit.reached();
        self.record.provider_request_id = facts::request_id(&response.headers);
        if !response.status.is_success() {
            return Err(self.refused(response).await.into());
        }
        self.arriving = self.arriving_from(response);
        while !self.arriving.has_content() {
            if let Some(error) = self.arriving.take_failure() {
                return Err(error.into());
            }
            self.fill().await?;
        }
        let now = Instant::now();
        let substance = self.arriving.substance();
        if substance == Substance::Something {
            self.record.first_content = Some(now - self.began);
        }
        // If the answer fails together with its first content, the caller has seen nothing of it yet.
        if let Some(error) = self.arriving.take_failure() {
            return Err(error.into());
        }
        if substance == Substance::Lost {
            return Err(self.arriving.lost().into());
        }
        // Our wait for a connection, and a slow upload, say nothing about the target.
        let taken = now.saturating_duration_since(upload.written().unwrap_or(self.began));
        let is_failure = substance == Substance::Nothing && !self.permit.may_say_nothing();
        // The target has answered, but an empty answer counts as a slow one.
        self.permit
            .committed(is_failure || taken > self.timers.slow_after());
        if is_failure {
            self.arriving.leave();
            return Err(UpstreamError::new(UpstreamErrorKind::EmptyAnswer).into());
        }
        if self.is_stream() {
            self.permit.observe(now - self.began);
        }
        Ok(())
    }

    /// The answer whose head has arrived.
    fn arriving_from(&self, response: Response) -> Arriving {
        let content_type = response
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let framing = match self.is_stream() {
            true => Framing::Sse,
            false => Framing::Json,
        };
        let format = Arc::clone(&self.target().wire_format);
        let mut reader = Reader::sniffing(format, framing, content_type);
        if self.permit.asked().request.wants_metadata {
            reader = reader.with_metadata(metadata::telling(&response.headers));
        }
        // The headers are dropped: they would keep their read buffer in memory as long as the stream is open.
        Arriving::of(response.body, reader)
    }

    async fn read(&mut self) -> Result<Option<ChatEvent>, Ended> {
        loop {
            if let Some(event) = self.arriving.pop() {
                let event = match self.allowance.cap {
                    Some(cap) if cap.by == CapBy::MaxCost => event.at_cost_cap(),
                    Some(_) | None => event,
                };
                if facts::note(&mut self.record, &mut self.charged, &event) {
                    return Ok(Some(event));
                }
                self.permit.completed();
                self.arriving.leave();
                return Ok(None);
            }
            if let Some(error) = self.arriving.take_failure() {
                return Err(error.into());
            }
            if self.arriving.source().is_none() {
                return Ok(None);
            }
            self.fill().await?;
        }
    }

    /// Reads the next bytes and the events that they complete.
    async fn fill(&mut self) -> Result<(), Ended> {
        let Some((body, reader)) = self.arriving.source() else {
            return Ok(());
        };
        let chunk = {
            let chunk = pin!(body.chunk());
            within_limits(&mut self.timers, &mut self.permit, chunk).await
        };
        let chunk = match chunk {
            // The answer is complete: silence or a broken connection may end it.
            Err(Ended::Failed(_)) | Ok(Err(_)) if reader.is_complete() => Ok(None),
            Err(ended) => return Err(ended),
            Ok(chunk) => chunk,
        };
        self.take_in(chunk);
        Ok(())
    }

    /// Takes in the next bytes of the body, or its end.
    fn take_in(&mut self, chunk: Result<Option<Bytes>, UpstreamError>) {
        match chunk {
            Ok(Some(bytes)) => {
                let now = Instant::now();
                let (gain, is_complete) = self.arriving.read(&bytes, self.permit.asked().whole);
                self.timers.gained(gain, is_complete, now);
                self.observed.arrived(self.arriving.steps(), now);
                if gain == Gain::Content {
                    self.permit.progressed();
                }
            }
            Ok(None) => self.arriving.end(),
            Err(error) => self.arriving.fail(error),
        }
    }

    /// Classifies the response of a provider that refuses the request.
    async fn refused(&mut self, response: Response) -> UpstreamError {
        let Response {
            status,
            headers,
            mut body,
        } = response;
        let mut read = Vec::new();
        let reading = async {
            while read.len() < MAX_ERROR_BYTES {
                let chunk = pin!(body.chunk());
                match within_limits(&mut self.timers, &mut self.permit, chunk).await {
                    Ok(Ok(Some(bytes))) => read.extend_from_slice(&bytes),
                    Ok(Ok(None) | Err(_)) | Err(_) => break,
                }
            }
        };
        // If the body does not end, the status alone says enough.
        let _ = timeout(MAX_ERROR_WAIT, reading).await;
        self.observed.refused(&read);
        failure::classify(status, &headers, &read, SystemTime::now())
    }

    /// Reports a failure to the breaker at once, even if the attempt is settled later.
    fn report_failure<T>(&mut self, mut result: Result<T, Ended>) -> Result<T, Ended> {
        if let Err(Ended::Failed(error)) = &mut result {
            if let Some(text) = error.report.take() {
                self.observed.refused(&text);
            }
            if error.kind == UpstreamErrorKind::Authentication
                && let Some(token) = self.target().provider.token()
            {
                token.refuse();
            }
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

    /// What is set aside for it, in nano-USD.
    pub(super) fn reserved_nanos(&self) -> Option<i64> {
        self.allowance.nanos
    }

    /// Ends the attempt: its end is observed. Returns its record, and what was left out or changed for the target.
    pub(super) fn settle(
        mut self: Box<Self>,
        call_id: &str,
        outcome: Outcome,
    ) -> (AttemptRecord, Vec<Adaptation>) {
        // Usage in events that were not given out counts, too.
        while let Some(event) = self.arriving.pop() {
            facts::note(&mut self.record, &mut self.charged, &event);
        }
        let (asked, target) = (self.permit.asked(), self.permit.target());
        let may_cost_more = asked.may_cost_more(target, self.record.usage.as_ref());
        let ending = match (&outcome, self.read_on) {
            (Outcome::Cancelled(_), Some(ending)) => ending,
            _ => facts::ending(&outcome),
        };
        let is_whole = ending == AttemptEnding::Complete;
        let is_counted = self.record.usage.is_some_and(|usage| {
            is_whole && usage.input_tokens.is_some() && usage.output_tokens.is_some()
        });
        // What is counted needs no estimate, and is the usual case.
        let set_aside = self.allowance.forecast;
        let forecast = (!is_counted).then(|| set_aside.unwrap_or_else(|| self.permit.forecast()));
        let charging = &target.charging;
        let end = facts::end(
            &self.record,
            ending,
            self.charged,
            may_cost_more,
            forecast,
            charging,
        );
        let prices = self.allowance.prices.as_deref();
        let settled = money::settle(&end, prices, charging.cost_from);
        if let Some(usage) = self.record.usage.filter(|_| is_whole) {
            self.permit.learn(&usage, set_aside.is_some());
        }
        self.record.settle(outcome, settled);
        let ended_after = self.left_after.or(self.failed_after);
        self.record.latency = ended_after.unwrap_or_else(|| self.began.elapsed());
        if let Some(left_after) = self.left_after {
            // What arrived later was given to nobody.
            self.record
                .first_content
                .take_if(|first| *first > left_after);
        }
        if self.is_stream() && self.record.first_content.is_none() {
            self.permit.observe_without_content(self.record.latency);
        }
        let reservation = self.allowance.reservation;
        let counted = reservation.settle(actual(&self.record), Now::of_clocks());
        self.observed.end(call_id, &self.record);
        // Not before the ledger was told.
        drop(counted);
        (self.record, self.adaptations)
    }
}
