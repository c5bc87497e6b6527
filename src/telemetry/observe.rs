//! Where are calls and attempts observed, so that each is reported exactly once? Here.
//!
//! A call is observed from the arrival of its head, and reported once, however it ends: answered, failed, refused
//! before it was let in, or left by its caller at any moment. Whatever is to be reported about calls belongs in
//! `Observer::report_call`.
//!
//! Every attempt begins and ends here. Whatever is to be reported about attempts belongs in
//! `Observer::report_attempt`. What must be written before an attempt is sent, and may fail, belongs in
//! [`ObservedAttempt::begin`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::{debug, warn};

use crate::calendar::unix_us;
use crate::caller::{Caller, Door, Method, Priority};
use crate::error::{Error, Reason};
use crate::identity::{Identity, Labels};
use crate::ledger::rows::{CallStart, Intent, Reserved};
use crate::ledger::{Ledger, LedgerUnavailable};
use crate::trail::{AttemptRecord, CallEnd, Outcome, Trail};

use super::divergence::DivergenceLog;
use super::facts::{Gaps, Stopwatch};
use super::ids::new_call_id;
use super::logging::call_log::CallLog;
use super::metrics::Metrics;
use super::recorded::{attempt_settlement, call_settlement, call_start, target_of};
use super::spans::{AttemptDescription, AttemptSpan, CallSpan, Tracer};
use super::trace_context::TraceContext;

pub use super::facts::{AskedFor, AttemptFacts, CallFacts, CallTimes, CallWait};

/// When a caller may try again whose attempt could not be written down.
const RETRY_UNWRITTEN: Duration = Duration::from_secs(1);

/// Observes the calls of one service.
#[derive(Debug, Default)]
pub struct Observer {
    /// `admission.min_time_left`, in nanoseconds: a caller that gives less than this has itself to blame.
    min_time_left: AtomicU64,
    tracer: Tracer,
    metrics: Arc<Metrics>,
    log: Arc<CallLog>,
    divergences: DivergenceLog,
    ledger: Ledger,
}

impl Observer {
    /// An observer whose calls are recorded by `tracer`, counted in `metrics`, and get their lines from `log`.
    pub fn new(tracer: Tracer, metrics: Arc<Metrics>, log: Arc<CallLog>) -> Self {
        Self {
            min_time_left: AtomicU64::new(0),
            tracer,
            metrics,
            log,
            divergences: DivergenceLog::default(),
            ledger: Ledger::none(),
        }
    }

    /// Has its calls written down in this ledger.
    #[must_use]
    pub fn writing_to(mut self, ledger: Ledger) -> Self {
        self.ledger = ledger;
        self
    }

    /// Where its calls are written down.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Begins the spans of calls.
    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// Where its calls are counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Exchanges `admission.min_time_left`.
    pub fn set_min_time_left(&self, least: Duration) {
        let nanos = u64::try_from(least.as_nanos()).unwrap_or(u64::MAX);
        self.min_time_left.store(nanos, Ordering::Relaxed);
    }

    /// Writes the lines of its calls.
    pub fn log(&self) -> &CallLog {
        &self.log
    }

    /// Begins to observe a call.
    pub fn call(self: &Arc<Self>, origin: CallOrigin) -> ObservedCall {
        let CallOrigin {
            span,
            caller,
            identity,
            method,
            door,
            request_id,
            arrived,
            timeout,
        } = origin;
        let trail = Trail {
            call_id: new_call_id(SystemTime::now()),
            trace_id: span.trace_id(),
            ..Trail::default()
        };
        ObservedCall(Some(Box::new(Observation {
            observer: Arc::clone(self),
            span,
            caller,
            identity,
            labels: Arc::default(),
            method,
            door,
            request_id,
            asked_for: AskedFor::Unread,
            priority: Priority::Default,
            messages: 0,
            replayed: false,
            stopwatch: Stopwatch::start(arrived.into_std(), timeout),
            trail,
            written: None,
        })))
    }

    /// Reports a call that has ended.
    fn report_call(&self, span: &CallSpan, facts: &CallFacts<'_>) {
        span.end(facts);
        self.metrics.record_call(facts);
        self.log.write(facts);
        if self.ledger.records()
            && let Some(settlement) = call_settlement(facts)
        {
            self.ledger.settle_call(settlement);
        }
        for record in &facts.trail.attempts {
            if let Outcome::Skipped(_) = record.outcome {
                let call_id = &facts.trail.call_id;
                let gaps = None;
                let facts = AttemptFacts {
                    call_id,
                    record,
                    gaps,
                };
                self.report_attempt(None, &facts, None);
            }
        }
    }

    /// Reports an attempt that has ended, or a target that was passed over, which has no span. A passed over target
    /// is reported when its call ends, since a call that waits for targets considers them again.
    fn report_attempt(
        &self,
        span: Option<&AttemptSpan>,
        facts: &AttemptFacts<'_>,
        provider_text: Option<&str>,
    ) {
        let AttemptFacts {
            call_id,
            record,
            gaps: _,
        } = facts;
        self.metrics.record_attempt(facts);
        self.divergences.note(record, Instant::now());
        if let Some(span) = span {
            span.end(record);
        }
        if self.ledger.records()
            && let Some(settlement) = attempt_settlement(facts)
        {
            self.ledger.settle_attempt(settlement);
        }
        let outcome = record.outcome.name();
        match (&record.outcome, provider_text) {
            (Outcome::Failed(error), None) => debug!(
                call_id,
                attempt = record.number,
                model = record.target,
                kind = record.kind.name(),
                reason = error.kind.verdict().reason.name(),
                %error,
                code = error.safe_code(),
                provider_request_id = record.provider_request_id,
                ms = record.latency.as_secs_f64() * 1e3,
                "attempt failed"
            ),
            (Outcome::Failed(error), Some(provider_text)) => warn!(
                call_id,
                attempt = record.number,
                model = record.target,
                kind = record.kind.name(),
                reason = error.kind.verdict().reason.name(),
                %error,
                code = error.safe_code(),
                provider_request_id = record.provider_request_id,
                ms = record.latency.as_secs_f64() * 1e3,
                provider_text,
                "attempt failed"
            ),
            // What is passed over was told when that was decided.
            (Outcome::Skipped(_), _) => {}
            (Outcome::Running | Outcome::Succeeded | Outcome::Cancelled(_), _) => debug!(
                call_id,
                attempt = record.number,
                model = record.target,
                kind = record.kind.name(),
                outcome,
                ms = record.latency.as_secs_f64() * 1e3,
                "attempt ended"
            ),
        }
    }
}

/// The present moment of the clock that tests can stop.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// What is known of a call when the head of its request has arrived.
#[derive(Debug)]
pub struct CallOrigin {
    /// Its span, begun in the trace that the caller named, if it named one.
    pub span: CallSpan,
    /// Who calls, as admission counts it.
    pub caller: Caller,
    /// Who calls; `None` if no credential proves it.
    pub identity: Option<Arc<Identity>>,
    /// Which method.
    pub method: Method,
    /// Through which protocol.
    pub door: Door,
    /// The caller's own id of the request, if it sent one that is short and printable.
    pub request_id: Option<String>,
    /// When the head arrived; the call's timeout counts from here.
    pub arrived: Instant,
    /// The timeout that the caller gave.
    pub timeout: Option<Duration>,
}

impl CallOrigin {
    /// A call without an id or a timeout of its caller, which arrives now, through the gRPC door.
    pub fn new(span: CallSpan, caller: Caller, method: Method) -> Self {
        Self {
            span,
            caller,
            identity: Some(Identity::local()),
            method,
            door: Door::default(),
            request_id: None,
            arrived: Instant::now(),
            timeout: None,
        }
    }
}

/// A call that has not ended yet. Dropping this ends it: its caller went away. The default observes nothing.
#[derive(Debug, Default)]
pub struct ObservedCall(
    /// `None` once the end has been reported, or the observation was handed over.
    Option<Box<Observation>>,
);

#[derive(Debug)]
struct Observation {
    observer: Arc<Observer>,
    span: CallSpan,
    caller: Caller,
    identity: Option<Arc<Identity>>,
    labels: Arc<Labels>,
    method: Method,
    door: Door,
    request_id: Option<String>,
    asked_for: AskedFor,
    priority: Priority,
    /// Messages of a stream that were handed over.
    messages: u64,
    replayed: bool,
    stopwatch: Stopwatch,
    /// The ids and the scenario, for a call that ends before the dispatcher records what it tries.
    trail: Trail,
    /// What the ledger writes of the call with its first attempt; `None` until it may be tried, and without a ledger.
    written: Option<Arc<CallStart>>,
}

impl Observation {
    /// Takes out the record of what the call tries.
    fn take_trail(&mut self) -> Trail {
        if self.observer.ledger.records() {
            let identity = self.identity.as_deref();
            self.written = call_start(&self.trail, identity, &self.labels).map(Arc::new);
        }
        std::mem::take(&mut self.trail)
    }

    /// Writes down that an attempt is to be sent.
    async fn write(
        &self,
        record: &AttemptRecord,
        span_id: [u8; 8],
        reserved: Reserved,
    ) -> Result<(), Error> {
        let Some(call) = &self.written else {
            return Ok(());
        };
        let intent = Intent {
            call: Arc::clone(call),
            number: record.number,
            target: target_of(record),
            kind: record.kind,
            started_us: unix_us(record.started),
            span_id,
            reserved,
        };
        // Boxed: every call would hold the memory for it otherwise, also where nothing is written down.
        let written = Box::pin(self.observer.ledger.intent(intent)).await;
        written.map_err(|LedgerUnavailable| Error::LedgerUnavailable {
            retry_after: RETRY_UNWRITTEN,
        })
    }

    fn has_lost_credential(&self) -> bool {
        let identity = self.identity.as_ref();
        identity.is_some_and(|identity| identity.standing.has_ended())
    }

    fn end(&self, end: CallEnd, trail: &Trail) {
        let end = match end {
            // The caller did not go away: its call was dropped because its credential has ended.
            CallEnd::Cancelled if self.has_lost_credential() => {
                CallEnd::Failed(Reason::CredentialsInvalid)
            }
            end => end,
        };
        let times = self.stopwatch.read(self.method, trail, now());
        let least = Duration::from_nanos(self.observer.min_time_left.load(Ordering::Relaxed));
        let facts = CallFacts {
            trail,
            caller: self.caller,
            identity: self.identity.as_deref(),
            labels: &self.labels,
            request_id: self.request_id.as_deref(),
            method: self.method,
            door: self.door,
            asked_for: &self.asked_for,
            priority: self.priority,
            end,
            blame: end.blame(times.deadline.is_none_or(|given| given >= least)),
            messages: match self.method {
                Method::Generate => None,
                Method::StreamGenerate => Some(self.messages),
            },
            replayed: self.replayed,
            times,
        };
        self.observer.report_call(&self.span, &facts);
    }
}

impl ObservedCall {
    /// The call's id; empty once it has ended.
    pub fn call_id(&self) -> &str {
        self.0.as_ref().map_or("", |call| &call.trail.call_id)
    }

    /// The call's span; `None` once it has ended.
    pub fn span(&self) -> Option<&CallSpan> {
        self.0.as_ref().map(|call| &call.span)
    }

    /// Whether its attempts are written down before they are sent.
    pub fn is_written_down(&self) -> bool {
        let call = self.0.as_ref();
        call.is_some_and(|call| call.observer.ledger.records())
    }

    /// Who calls; the local caller if no credential proves another one.
    pub fn identity(&self) -> Arc<Identity> {
        let known = self.0.as_ref().and_then(|call| call.identity.clone());
        known.unwrap_or_else(Identity::local)
    }

    /// The labels of the call; none once it has ended.
    pub fn labels(&self) -> Arc<Labels> {
        let labels = self.0.as_ref().map(|call| Arc::clone(&call.labels));
        labels.unwrap_or_default()
    }

    /// The ids of the call's span. Once it has ended they are those of no span.
    pub fn context(&self) -> TraceContext {
        let context = self.span().map(CallSpan::context);
        context.unwrap_or_else(|| TraceContext::child_of(None))
    }

    /// Takes out the record of what the call tries: its ids and the name of its scenario, without any attempt. From
    /// then on, whoever has it must [`end`](Self::end) the call with it.
    pub fn take_trail(&mut self) -> Trail {
        self.0
            .as_mut()
            .map_or_else(Trail::default, |call| call.take_trail())
    }

    /// The whole request has been read: the call's time counts from now.
    pub fn was_read(&mut self, now: Instant) {
        self.change(|call| call.stopwatch.began = now.into_std());
    }

    /// Notes what the call asks for. `scenario` is the name of a scenario of the configuration, or empty.
    pub fn asks_for(&mut self, asked_for: AskedFor, scenario: &str) {
        self.change(|call| {
            call.asked_for = asked_for;
            scenario.clone_into(&mut call.trail.scenario);
        });
    }

    /// Notes the labels of the call.
    pub fn has_labels(&mut self, labels: Arc<Labels>) {
        self.change(|call| call.labels = labels);
    }

    /// Notes how important the call is.
    pub fn has_priority(&mut self, priority: Priority) {
        self.change(|call| call.priority = priority);
    }

    /// From now on the call waits for this.
    pub fn waits_for(&mut self, wait: CallWait) {
        self.change(|call| call.stopwatch.waits(Some(wait), now()));
    }

    /// The call waits no longer.
    pub fn goes_on(&mut self) {
        self.change(|call| call.stopwatch.waits(None, now()));
    }

    /// Notes that the call is answered by the result of another one, with this span.
    pub fn is_replayed(&mut self, original: TraceContext) {
        self.change(|call| {
            call.replayed = true;
            call.span.repeats(original);
        });
    }

    /// Notes the conversation that the call is part of; empty if it is not known.
    pub fn is_part_of(&mut self, conversation_id: &str) {
        self.change(|call| call.span.describe(&call.trail.call_id, conversation_id));
    }

    /// Notes that the first content of a stream is handed over now, which arrived at `arrived`.
    pub fn gives_first_content(&mut self, arrived: Option<std::time::Instant>) {
        self.change(|call| {
            let now = now();
            call.stopwatch.first_content = Some(now);
            let wait = arrived.map(|arrived| now.saturating_duration_since(arrived));
            call.stopwatch.handing_over = wait.unwrap_or_default();
        });
    }

    /// Notes that a message of a stream is handed over.
    pub fn gives_message(&mut self) {
        self.change(|call| call.messages += 1);
    }

    /// Ends the call; only the first end counts.
    pub fn end(&mut self, end: CallEnd, trail: &Trail) {
        if let Some(call) = self.0.take() {
            call.end(end, trail);
        }
    }

    /// Ends a call before anything was tried. Returns its ids.
    pub fn refuse(&mut self, end: CallEnd) -> Trail {
        let Some(call) = self.0.take() else {
            return Trail::default();
        };
        call.end(end, &call.trail);
        call.trail
    }

    /// Hands the observation over to the value that is returned; this one reports nothing any more.
    pub fn hand_over(&mut self) -> Self {
        Self(self.0.take())
    }

    fn change(&mut self, change: impl FnOnce(&mut Observation)) {
        if let Some(call) = &mut self.0 {
            change(call);
        }
    }
}

impl Drop for ObservedCall {
    fn drop(&mut self) {
        self.refuse(CallEnd::Cancelled);
    }
}

/// An attempt that has not ended yet.
#[derive(Debug)]
pub struct ObservedAttempt {
    observer: Arc<Observer>,
    span: AttemptSpan,
    /// Set if the answer is read as a stream.
    gaps: Option<Gaps>,
    /// What the log may quote of the provider's error.
    provider_text: Option<String>,
}

impl ObservedAttempt {
    /// Begins before anything of the attempt is sent, and has it written down with what is reserved for it. It is sent
    /// only if this succeeds.
    ///
    /// # Errors
    /// The attempt must not be sent: the ledger cannot be written, or the call has ended.
    pub async fn begin(
        call: &ObservedCall,
        attempt: &AttemptDescription<'_>,
        reserved: Reserved,
    ) -> Result<Self, Error> {
        let Some(call) = &call.0 else {
            return Err(Error::Internal("a call that has ended went on"));
        };
        let span = call.span.attempt(attempt);
        let span_id = span.context().span_id.to_be_bytes();
        call.write(attempt.record, span_id, reserved).await?;
        Ok(Self {
            observer: Arc::clone(&call.observer),
            span,
            gaps: attempt.stream.then(Gaps::default),
            provider_text: None,
        })
    }

    /// The provider refused the request with this body, or reported this failure within its answer. The log may quote it;
    /// nothing else ever does.
    pub fn refused(&mut self, body: &[u8]) {
        self.provider_text = self.observer.log.quoted(body);
    }

    /// The trace context for a provider that takes part in the trace.
    pub fn context(&self) -> TraceContext {
        self.span.context()
    }

    /// This many events with content or usage arrived together.
    pub fn arrived(&mut self, events: usize, now: Instant) {
        if let Some(gaps) = &mut self.gaps {
            gaps.arrived(events, now.into_std());
        }
    }

    /// Observes how the attempt ended.
    pub fn end(self, call_id: &str, record: &AttemptRecord) {
        let facts = AttemptFacts {
            call_id,
            record,
            gaps: self.gaps.as_ref(),
        };
        let provider_text = self.provider_text.as_deref();
        self.observer
            .report_attempt(Some(&self.span), &facts, provider_text);
    }
}
