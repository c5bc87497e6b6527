//! How far a call has come with its plan: which target is next, and why others are passed over.

mod again;
mod call_time;
pub(in crate::dispatch) mod eligibility;
mod exhausted;
mod last_resort;
mod limits;
mod retries;
mod rival;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::debug;

use crate::chat::{ChatRequest, Role};
use crate::error::{Error, Failover, UpstreamError, UpstreamErrorKind};
use crate::provider::{OutboundRequest, Trace};
use crate::telemetry::spans::{AttemptDescription, CallSpan};
use crate::trail::{AttemptKind, AttemptRecord, BreakerState, Outcome, Skip, Trail};
use crate::wire::WireRequest;

use self::call_time::CallTime;
use self::exhausted::Unasked;
use self::limits::Narrowing;
use crate::dispatch::Limits;
use crate::dispatch::asked::Asked;
use crate::dispatch::attempt::timers::Hurried;
use crate::dispatch::attempt::{Attempt, Beginning};
use crate::dispatch::dispatcher::Lane;
use crate::dispatch::target::{Target, Timeouts};
use crate::dispatch::tokens::Tokens;
use crate::health::guard::{self, Guard, Outlook, Permit};
use crate::health::scopes::Refusal;

/// An attempt that may be sent.
pub(in crate::dispatch) struct Admitted {
    /// Position of the target in the plan.
    pub(in crate::dispatch) position: usize,
    pub(in crate::dispatch) permit: Permit,
    pub(in crate::dispatch) wire: WireRequest,
    pub(in crate::dispatch) kind: AttemptKind,
}

/// How far a call has come with its plan, and what its attempts have used up.
pub(in crate::dispatch) struct Course {
    pub(in crate::dispatch) lane: Arc<Lane>,
    pub(in crate::dispatch) asked: Arc<Asked>,
    limits: Limits,
    pub(in crate::dispatch) time: CallTime,
    pub(in crate::dispatch) trail: Trail,
    /// Attempts that were sent.
    pub(in crate::dispatch) sent: u32,
    /// Position of the target that was come to last, but for rivals.
    pub(in crate::dispatch) position: usize,
    /// Position of the target that is come to next.
    pub(in crate::dispatch) next: usize,
    /// Position of a target that is come to before that, though it has failed.
    pub(in crate::dispatch) again: Option<usize>,
    /// Position of the target that a rival was sent to; it is not come to by itself.
    pub(in crate::dispatch) rival_position: Option<usize>,
    /// Targets that have failed, by position, and how they failed last; the latest failure is last.
    pub(in crate::dispatch) failures: Vec<(usize, UpstreamError)>,
    /// How often a target has been waited for.
    pub(in crate::dispatch) retries: u32,
    /// Targets whose context window the prompt exceeds.
    too_small: Vec<Arc<Target>>,
    pub(in crate::dispatch) tokens: Tokens,
    /// The last resort has been come to: nothing is tried after it.
    pub(in crate::dispatch) at_last_resort: bool,
}

impl Course {
    pub(in crate::dispatch) fn new(
        lane: Arc<Lane>,
        request: Arc<ChatRequest>,
        whole: bool,
        limits: Limits,
        deadline: Option<Instant>,
        trail: Trail,
    ) -> Self {
        Self {
            asked: Arc::new(Asked::new(request, whole)),
            time: CallTime::new(Instant::now(), deadline, &lane.scenario),
            tokens: Tokens::of(Arc::clone(&lane.budget)),
            lane,
            limits,
            trail,
            sent: 0,
            position: 0,
            next: 0,
            again: None,
            rival_position: None,
            failures: Vec::new(),
            retries: 0,
            too_small: Vec::new(),
            at_last_resort: false,
        }
    }

    /// Comes to the next target that may be tried, and records those that may not.
    pub(in crate::dispatch) fn next_target(&mut self) -> Result<Admitted, Error> {
        if self.time.is_up(Instant::now()) {
            return Err(Error::DeadlineExceeded);
        }
        if !self.has_room() || self.at_last_resort {
            return Err(self.nothing_left());
        }
        if let Some(position) = self.again.take()
            && let Some(admitted) = self.admit(position)?
        {
            return Ok(admitted);
        }
        while self.next < self.lane.guards.len() {
            let position = self.next;
            let admitted = match self.rival_position == Some(position) {
                true => None,
                false => self.admit(position)?,
            };
            self.next += 1;
            if let Some(admitted) = admitted {
                return Ok(admitted);
            }
        }
        match self.last_resort() {
            Some(admitted) => Ok(admitted),
            None => Err(self.nothing_left()),
        }
    }

    /// Begins an attempt and spells its request.
    pub(in crate::dispatch) fn begin(
        &mut self,
        admitted: Admitted,
        span: &CallSpan,
    ) -> (Attempt, OutboundRequest) {
        let Admitted {
            position,
            permit,
            mut wire,
            kind,
        } = admitted;
        let target = Arc::clone(permit.target());
        let stream = self.asked.wants_stream_of(&target);
        let mut record = record_of(&target, kind, permit.breaker_state());
        record.number = self.sent + 1;
        let server = target.provider.server();
        let description = AttemptDescription {
            record: &record,
            request: &self.asked.request,
            stream,
            server,
        };
        let attempt_span = span.attempt(&description);
        record.span_id = attempt_span.context().span_id_hex();
        let trace = target.provider.propagate_trace.then(|| Trace {
            parent: attempt_span.context().to_string(),
            state: span.state().header(),
        });
        let adaptations = std::mem::take(&mut wire.adaptations);
        let outbound = target.provider.address(wire, trace);
        self.sent += 1;
        if kind != AttemptKind::Hedge {
            self.position = position;
        }
        let (limits, hurried) = self.limits_of(&target, stream, kind);
        let attempt = Attempt::begin(Beginning {
            permit,
            record,
            span: attempt_span,
            adaptations,
            limits,
            hurried,
            deadline: self.time.deadline,
            stream,
            keep: self.asked.whole,
            may_say_nothing: self.may_say_nothing(),
        });
        (attempt, outbound)
    }

    /// Whether an answer without a word is one. Models have nothing to add to what some tools have done.
    fn may_say_nothing(&self) -> bool {
        let last = self.asked.request.messages.last();
        !self.lane.scenario.empty_answer_failover
            || last.is_some_and(|message| message.role == Role::Tool)
    }

    /// Whether another target may be tried after this failure.
    pub(in crate::dispatch) fn goes_on_after(&self, error: &UpstreamError) -> bool {
        let tolerated = error.kind == UpstreamErrorKind::ContentBlocked
            && self.lane.scenario.content_filter_failover;
        tolerated || error.kind.verdict().failover != Failover::No
    }

    /// Takes in that a target has failed; `silence` is how long nothing had come of it if the call allowed no
    /// more than that.
    pub(in crate::dispatch) fn failed(
        &mut self,
        target: &Arc<Target>,
        error: &UpstreamError,
        silence: Option<Duration>,
    ) {
        let hurried = silence.is_some_and(|silence| self.is_hurry(target, silence));
        self.tokens.follow(hurried);
        if error.kind.verdict().failover == Failover::LargerContext {
            self.too_small.push(Arc::clone(target));
        }
        let mut guards = self.lane.guards.iter();
        if let Some(position) = guards.position(|guard| Arc::ptr_eq(&guard.target, target)) {
            self.failures.retain(|(other, _)| *other != position);
            self.failures.push((position, error.clone()));
        }
    }

    /// Admits an attempt on the target at this position, or records why there is none.
    fn admit(&mut self, position: usize) -> Result<Option<Admitted>, Error> {
        let lane = Arc::clone(&self.lane);
        let Some(guard) = lane.guards.get(position) else {
            return Ok(None);
        };
        let target = &guard.target;
        let kind = self.kind(position);
        if let Some(skip) = self.ineligible(target) {
            self.skip(target, kind, skip, BreakerState::Closed);
            return Ok(None);
        }
        // Health comes first: it is cheaper to ask for than a large request is to spell.
        let probe = match guard.outlook() {
            Ok(outlook) => outlook == Outlook::Probe,
            Err(refusal) => return Ok(self.closed_off(guard, kind, refusal)),
        };
        let wire = match self.asked.spell(target) {
            Ok(wire) => wire,
            Err(unsupported) => {
                let skip = Skip::Unsupported(unsupported);
                self.skip(target, kind, skip, BreakerState::Closed);
                return Ok(None);
            }
        };
        // A probe may cost the call a failover: it is made only if that can be paid for, too. Who
        // never gets another token must not wait for one: the breaker would stay open for ever.
        let insured = probe && lane.budget.has_prospects() && self.has_alternative_to(position);
        let added = u32::from(self.sent > 0);
        if !self.tokens.hold(added + u32::from(insured)) {
            let state = guard.snapshot().state;
            self.skip(target, kind, Skip::RetryBudgetExhausted, state);
            return match insured {
                true => Ok(None),
                false => Err(self.nothing_left()),
            };
        }
        let permit = match guard.admit(&lane, &self.asked) {
            Ok(permit) => permit,
            Err(refusal) => return Ok(self.closed_off(guard, kind, refusal)),
        };
        for _ in 0..added {
            self.tokens.spend();
        }
        Ok(Some(Admitted {
            position,
            kind: match permit.is_probe() {
                true => AttemptKind::Probe,
                false => kind,
            },
            permit,
            wire,
        }))
    }

    /// Records that a target is passed over for its health.
    fn closed_off(
        &mut self,
        guard: &Guard,
        kind: AttemptKind,
        refusal: Refusal,
    ) -> Option<Admitted> {
        let breaker = match refusal {
            Refusal::Operator(_) => BreakerState::ForcedOpen,
            _ => guard.snapshot().state,
        };
        self.skip(&guard.target, kind, guard::skip(refusal), breaker);
        None
    }

    /// Why an attempt on the target at this position is made, or would be, unless it is a probe.
    fn kind(&self, position: usize) -> AttemptKind {
        if self.failures.iter().any(|(failed, _)| *failed == position) {
            AttemptKind::Retry
        } else if position > 0 {
            AttemptKind::Failover
        } else {
            AttemptKind::Primary
        }
    }

    /// Whether a target that is not yet come to could be tried now.
    pub(in crate::dispatch) fn has_alternative(&self) -> bool {
        self.can_be_tried(self.next)
    }

    /// Whether a target besides this one that is not yet come to could be tried now.
    fn has_alternative_to(&self, position: usize) -> bool {
        self.can_be_tried(self.next.max(position + 1))
    }

    /// Whether a target could be tried now that stands here or later in the plan.
    fn can_be_tried(&self, from: usize) -> bool {
        let mut later = self.lane.guards.iter().enumerate().skip(from);
        later.any(|(position, guard)| {
            self.rival_position != Some(position)
                && self.ineligible(&guard.target).is_none()
                && guard.refuses().is_none()
                && self.asked.can_be_put_to(&guard.target)
        })
    }

    /// Whether the call may send another attempt, and has the time for one.
    pub(in crate::dispatch) fn has_room(&self) -> bool {
        let in_time = self.sent == 0 || self.time.allows_another_attempt(Instant::now());
        in_time && self.sent < self.max_attempts()
    }

    pub(in crate::dispatch) fn max_attempts(&self) -> u32 {
        let of_scenario = self.lane.scenario.max_attempts;
        self.limits
            .max_attempts
            .unwrap_or(u32::MAX)
            .min(of_scenario)
    }

    /// Whether it is the caller's doing alone that no more silence than this was allowed to a target: it is
    /// nothing that would be suspicious in itself.
    fn is_hurry(&self, target: &Target, silence: Duration) -> bool {
        let Limits {
            first_content,
            progress_idle,
            max_attempts: _,
        } = self.limits;
        let is_narrowed = first_content.is_some() || progress_idle.is_some();
        (self.time.is_short || is_narrowed) && silence < target.timeouts.stall_after
    }

    /// How long an attempt of this kind may wait for what, and which of these limits the call alone makes
    /// so narrow. Where another target could answer after it, it leaves time for that.
    fn limits_of(&self, target: &Target, stream: bool, kind: AttemptKind) -> (Timeouts, Hurried) {
        let own = if stream {
            target.timeouts
        } else {
            Timeouts {
                write_idle: target.timeouts.write_idle,
                ..Timeouts::UNLIMITED
            }
        };
        let longest = self.time.longest_to_first_content(Instant::now());
        let is_followed = match kind {
            AttemptKind::Hedge | AttemptKind::LastResort => false,
            AttemptKind::Primary
            | AttemptKind::Retry
            | AttemptKind::Failover
            | AttemptKind::Probe => {
                let hurried = self.is_hurry(target, longest);
                self.sent < self.max_attempts() && self.tokens.are_left(hurried)
            }
        };
        // Looked for only where it would matter.
        let narrows = is_followed && longest < own.first_content;
        let narrowing = Narrowing {
            scenario: self.lane.scenario.first_content,
            caller: self.limits,
            for_another: (narrows && self.has_alternative_to(self.position)).then_some(longest),
        };
        narrowing.of(own)
    }

    /// Why the call is not answered, when no target is left that may be tried.
    fn nothing_left(&self) -> Error {
        let guards = &self.lane.guards;
        let could_answer = |id: &str| {
            let its = guards.iter().find(|guard| guard.target.id == id);
            its.is_some_and(|guard| self.could_answer(&guard.target))
        };
        exhausted::error_after(&self.trail.attempts, could_answer, || self.unasked())
    }

    /// The target that the call would come to next, and what keeps it from that.
    fn unasked(&self) -> Option<Unasked> {
        // Those that are still to be come to are there only if the call may not go on.
        let mut unasked = self.lane.guards.iter().skip(self.next);
        let guard = unasked.find(|guard| self.could_answer(&guard.target))?;
        Some(Unasked {
            target: guard.target.id.clone(),
            limit: match self.sent < self.max_attempts() {
                true => "too little time is left",
                false => "the call may make no more attempts (`max_attempts`)",
            },
        })
    }

    pub(in crate::dispatch) fn ineligible(&self, target: &Target) -> Option<Skip> {
        if !eligibility::may_hold_more(target, &self.too_small) {
            return Some(Skip::ContextTooSmall);
        }
        self.asked.lacked_by(target)
    }

    /// Whether a target could answer, were it well, going by what the call has learnt.
    pub(in crate::dispatch) fn could_answer(&self, target: &Arc<Target>) -> bool {
        self.ineligible(target).is_none() && self.asked.can_be_put_to(target)
    }

    fn skip(&mut self, target: &Target, kind: AttemptKind, skip: Skip, breaker: BreakerState) {
        debug!(
            call_id = self.trail.call_id,
            model = target.id,
            reason = skip.reason().name(),
            "target skipped"
        );
        let record = AttemptRecord {
            outcome: Outcome::Skipped(skip),
            ..record_of(target, kind, breaker)
        };
        self.trail.attempts.push(record);
    }
}

/// The record of a target that was come to, before anything has happened.
pub(in crate::dispatch) fn record_of(
    target: &Target,
    kind: AttemptKind,
    breaker: BreakerState,
) -> AttemptRecord {
    AttemptRecord {
        number: 0,
        target: target.id.clone(),
        provider: target.provider.name.clone(),
        model: target.model.clone(),
        kind,
        breaker,
        outcome: Outcome::Running,
        started: SystemTime::now(),
        latency: Duration::ZERO,
        first_content: None,
        usage: None,
        cost: None,
        billing: None,
        span_id: String::new(),
        provider_request_id: None,
        response_model: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::specimens::{lane, target};
    use crate::health::scopes;

    fn course(lane: Arc<Lane>, deadline: Option<Instant>) -> Course {
        let (request, limits) = (Arc::default(), Limits::default());
        Course::new(lane, request, true, limits, deadline, Trail::default())
    }

    #[test]
    fn an_attempt_leaves_time_for_another_target_only_if_there_is_one() {
        let first_content = |models: &[&str], kind, stream| {
            let lane = lane(models, scopes::Settings::default());
            let deadline = Instant::now() + Duration::from_secs(10);
            let course = course(lane, Some(deadline));
            let (limits, hurried) = course.limits_of(&target("one"), stream, kind);
            (limits.first_content, hurried.first_content)
        };

        let (two, alone) = (&["one", "two"][..], &["one"][..]);
        let (whole, primary) = (false, AttemptKind::Primary);
        for stream in [true, whole] {
            let (limit, hurried) = first_content(two, primary, stream);
            assert!(limit <= Duration::from_secs(6) && hurried);
        }
        let all = (Duration::from_secs(20), false);
        assert_eq!(first_content(alone, primary, true), all);
        assert_eq!(first_content(alone, primary, whole), (Duration::MAX, false));
        for kind in [AttemptKind::Hedge, AttemptKind::LastResort] {
            assert_eq!(first_content(two, kind, true), all);
        }
    }

    #[test]
    fn a_target_that_cannot_express_the_request_is_no_alternative() {
        let mut request = ChatRequest::default();
        request.sampling.stop_sequences = vec!["END".to_owned(); 5];
        let lane = lane(&["one", "two"], scopes::Settings::default());
        let deadline = Some(Instant::now() + Duration::from_secs(10));
        let (limits, trail) = (Limits::default(), Trail::default());

        let course = Course::new(lane, Arc::new(request), true, limits, deadline, trail);

        assert!(!course.has_alternative());
        let (limits, _) = course.limits_of(&target("one"), true, AttemptKind::Primary);
        assert_eq!(limits.first_content, Duration::from_secs(20));
    }

    #[test]
    fn a_call_whose_time_is_up_comes_to_no_target() {
        let lane = lane(&["one"], scopes::Settings::default());
        let mut course = course(lane, Some(Instant::now()));

        let error = course.next_target().err();

        assert_eq!(error, Some(Error::DeadlineExceeded));
        assert_eq!(course.trail.attempts.len(), 0);
    }
}
