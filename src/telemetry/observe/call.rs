//! What is observed of a call, from the head of its request to its end?

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::calendar::unix_us;
use crate::caller::{Caller, Door, Method, Priority};
use crate::error::{Error, Reason};
use crate::identity::{Identity, Labels};
use crate::ledger::LedgerUnavailable;
use crate::ledger::rows::{CallStart, Intent, Reserved};
use crate::trail::{AttemptRecord, CallEnd, Trail};

use super::super::facts::{AskedFor, CallFacts, CallWait, Stopwatch};
use super::super::ids::new_call_id;
use super::super::recorded::{call_start, target_of};
use super::super::spans::{AttemptDescription, AttemptSpan, CallSpan};
use super::super::trace_context::TraceContext;
use super::Observer;

/// When a caller may try again whose attempt could not be written down.
const RETRY_UNWRITTEN: Duration = Duration::from_secs(1);

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
    /// When the call ended for its caller, if its end is reported later.
    ended: Option<std::time::Instant>,
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

    /// How a call ends that is dropped or fails now.
    fn end_now(&self, end: CallEnd) -> CallEnd {
        match end {
            // The caller did not go away: its call was dropped because its credential has ended.
            CallEnd::Cancelled if self.ended.is_none() && self.has_lost_credential() => {
                CallEnd::Failed(Reason::CredentialsInvalid)
            }
            end => end,
        }
    }

    fn end(&self, end: CallEnd, trail: &Trail) {
        let end = self.end_now(end);
        let ended = self.ended.unwrap_or_else(now);
        let times = self.stopwatch.read(self.method, trail, ended);
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
    /// Begins to observe a call.
    pub(super) fn begin(observer: Arc<Observer>, origin: CallOrigin) -> Self {
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
        Self(Some(Box::new(Observation {
            observer,
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
            ended: None,
            written: None,
        })))
    }

    /// Gives an attempt its span, and has it written down with what is reserved for it. It is sent only if this succeeds.
    pub(super) async fn begin_attempt(
        &self,
        attempt: &AttemptDescription<'_>,
        reserved: Reserved,
    ) -> Result<(Arc<Observer>, AttemptSpan), Error> {
        let Some(call) = &self.0 else {
            return Err(Error::Internal("a call that has ended went on"));
        };
        let span = call.span.attempt(attempt);
        let span_id = span.context().span_id.to_be_bytes();
        call.write(attempt.record, span_id, reserved).await?;
        Ok((Arc::clone(&call.observer), span))
    }

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

    /// Notes that the call ends like this for its caller now, and is reported once its attempts have been read on. Returns
    /// how it ends.
    pub fn leaves(&mut self, end: CallEnd) -> CallEnd {
        let Some(call) = &mut self.0 else {
            return end;
        };
        let end = call.end_now(end);
        call.ended = Some(now());
        call.span.stop();
        end
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

/// The present moment of the clock that tests can stop.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}
