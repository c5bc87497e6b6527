//! How far a call has come with its plan: which target is next, and why others are passed over.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::debug;

use crate::chat::{ChatRequest, Role};
use crate::error::{Error, Failover, Unsupported, UpstreamError, UpstreamErrorKind};
use crate::features::{Features, features_of};
use crate::provider::{OutboundRequest, Trace};
use crate::telemetry::spans::{AttemptDescription, CallSpan};
use crate::trail::{AttemptKind, AttemptRecord, BreakerState, Outcome, Skip, Trail};
use crate::wire::{Recipient, WireRequest};

use super::again::{self, Candidate};
use super::attempt::{Attempt, Beginning};
use super::call_time::CallTime;
use super::dispatcher::Lane;
use super::exhausted::{self, Unasked};
use super::guard::{self, Guard, Permit};
use super::scopes::Refusal;
use super::target::{Target, Timeouts, UpstreamMode};
use super::timers::Hurried;
use super::tokens::Tokens;
use super::{Limits, plan};

/// An attempt that may be sent.
pub(super) struct Admitted {
    /// Position of the target in the plan.
    pub(super) position: usize,
    pub(super) permit: Permit,
    pub(super) wire: WireRequest,
    pub(super) kind: AttemptKind,
    /// Whether another target could answer after it.
    pub(super) alternative: bool,
    /// Whether the answer is asked for as a stream.
    pub(super) stream: bool,
}

/// How far a call has come with its plan, and what its attempts have used up.
pub(super) struct Course {
    pub(super) lane: Arc<Lane>,
    pub(super) request: Arc<ChatRequest>,
    /// The features that the request uses.
    pub(super) used: Features,
    /// Whether the caller wants the whole answer at its end.
    whole: bool,
    limits: Limits,
    pub(super) time: CallTime,
    pub(super) trail: Trail,
    /// Attempts that were sent.
    pub(super) sent: u32,
    /// Position of the target that was come to last, but for rivals.
    pub(super) position: usize,
    /// Position of the target that is come to next.
    pub(super) next: usize,
    /// Position of a target that is come to before that, though it has failed.
    again: Option<usize>,
    /// Position of the target that a rival was sent to; it is not come to by itself.
    pub(super) rival_position: Option<usize>,
    /// Targets that have failed, by position, and how they failed last; the latest failure is last.
    failures: Vec<(usize, UpstreamError)>,
    /// How often a target has been waited for.
    retries: u32,
    /// Targets whose context window the prompt exceeds.
    too_small: Vec<Arc<Target>>,
    pub(super) tokens: Tokens,
    /// The last resort has been come to: nothing is tried after it.
    pub(super) at_last_resort: bool,
}

impl Course {
    pub(super) fn new(
        lane: Arc<Lane>,
        request: Arc<ChatRequest>,
        whole: bool,
        limits: Limits,
        deadline: Option<Instant>,
        trail: Trail,
    ) -> Self {
        Self {
            used: features_of(&request),
            time: CallTime::new(Instant::now(), deadline, &lane.scenario),
            tokens: Tokens::of(Arc::clone(&lane.budget)),
            lane,
            request,
            whole,
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
    pub(super) fn next_target(&mut self) -> Result<Admitted, Error> {
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
    pub(super) fn begin(
        &mut self,
        admitted: Admitted,
        span: &CallSpan,
    ) -> (Attempt, OutboundRequest) {
        let Admitted {
            position,
            permit,
            mut wire,
            kind,
            alternative,
            stream,
        } = admitted;
        let target = Arc::clone(permit.target());
        let mut record = record_of(&target, kind, permit.breaker_state());
        record.number = self.sent + 1;
        let server = target.provider.server();
        let description = AttemptDescription {
            record: &record,
            request: &self.request,
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
        let (limits, hurried) = self.limits_of(&target, stream, alternative);
        let attempt = Attempt::begin(Beginning {
            permit,
            record,
            span: attempt_span,
            adaptations,
            limits,
            hurried,
            deadline: self.time.deadline,
            stream,
            keep: self.whole,
            may_say_nothing: self.may_say_nothing(),
        });
        (attempt, outbound)
    }

    /// Whether an answer without a word is one. Models have nothing to add to what some tools have done.
    fn may_say_nothing(&self) -> bool {
        let last = self.request.messages.last();
        !self.lane.scenario.empty_answer_failover
            || last.is_some_and(|message| message.role == Role::Tool)
    }

    /// Whether another target may be tried after this failure.
    pub(super) fn goes_on_after(&self, error: &UpstreamError) -> bool {
        let tolerated = error.kind == UpstreamErrorKind::ContentBlocked
            && self.lane.scenario.content_filter_failover;
        tolerated || error.kind.verdict().failover != Failover::No
    }

    /// Takes in that a target has failed.
    pub(super) fn failed(&mut self, target: &Arc<Target>, error: &UpstreamError) {
        if error.kind.verdict().failover == Failover::LargerContext {
            self.too_small.push(Arc::clone(target));
        }
        let mut guards = self.lane.guards.iter();
        if let Some(position) = guards.position(|guard| Arc::ptr_eq(&guard.target, target)) {
            self.failures.retain(|(other, _)| *other != position);
            self.failures.push((position, error.clone()));
        }
    }

    /// Comes to a target again if no other could be tried, and tells how long it is waited for. Its token
    /// is taken before, so that nobody waits in vain.
    pub(super) fn come_again(&mut self) -> Option<Duration> {
        let now = Instant::now();
        if !self.has_room() || self.at_last_resort || self.has_alternative() {
            return None;
        }
        let candidates = self.failures.iter().filter_map(|(position, error)| {
            let guard = &self.lane.guards[*position];
            self.ineligible(&guard.target).is_none().then(|| Candidate {
                position: *position,
                error,
                refusal: guard.refuses(),
                seen: guard.snapshot(),
            })
        });
        let longest = self.time.longest_wait(now);
        let (position, wait) =
            again::choose(candidates, self.retries, fastrand::f64(), longest, now)?;
        if !self.time.allows_another_attempt(now + wait) {
            return None;
        }
        self.again = Some(position);
        self.retries += 1;
        self.tokens.hold(1).then_some(wait)
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
        let (wire, stream) = match self.spell(target) {
            Ok(spelled) => spelled,
            Err(unsupported) => {
                let skip = Skip::Unsupported(unsupported);
                self.skip(target, kind, skip, BreakerState::Closed);
                return Ok(None);
            }
        };
        let alternative = self.has_alternative_to(position);
        // A probe may cost the call a failover: it is made only if that can be paid for, too. Who
        // never gets another token must not wait for one: the breaker would stay open for ever.
        let insured = alternative && guard.would_probe() && lane.budget.has_prospects();
        let added = u32::from(self.sent > 0);
        if !self.tokens.hold(added + u32::from(insured)) {
            let state = guard.snapshot().state;
            self.skip(target, kind, Skip::RetryBudgetExhausted, state);
            return match insured {
                true => Ok(None),
                false => Err(self.nothing_left()),
            };
        }
        let permit = match guard.admit(&lane) {
            Ok(permit) => permit,
            Err(refusal) => {
                let breaker = match refusal {
                    Refusal::Operator(_) => BreakerState::ForcedOpen,
                    _ => guard.snapshot().state,
                };
                self.skip(target, kind, guard::skip(refusal), breaker);
                return Ok(None);
            }
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
            alternative: alternative && self.may_send_more_than(self.sent + 1),
            stream,
        }))
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
    fn has_alternative(&self) -> bool {
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
        })
    }

    /// Whether the call may send another attempt, and has the time for one.
    pub(super) fn has_room(&self) -> bool {
        let in_time = self.sent == 0 || self.time.allows_another_attempt(Instant::now());
        in_time && self.sent < self.max_attempts()
    }

    fn max_attempts(&self) -> u32 {
        let of_scenario = self.lane.scenario.max_attempts;
        self.limits
            .max_attempts
            .unwrap_or(u32::MAX)
            .min(of_scenario)
    }

    /// Whether further attempts than so many are allowed, and one could be paid for.
    fn may_send_more_than(&self, sent: u32) -> bool {
        self.tokens.are_left() && sent < self.max_attempts()
    }

    /// The request as the target reads it, and whether it asks for a stream.
    pub(super) fn spell(&self, target: &Target) -> Result<(WireRequest, bool), Unsupported> {
        let stream = !self.whole || target.upstream_mode == UpstreamMode::Stream;
        let format = &target.wire_format;
        let wire = format.encode(&self.request, &recipient(target, stream))?;
        Ok((wire, stream))
    }

    /// The target's limits for a stream, or none but for sending; narrowed by the scenario, the caller, and the time
    /// that a failover needs; and which of them only the last two have made so narrow.
    fn limits_of(&self, target: &Target, stream: bool, alternative: bool) -> (Timeouts, Hurried) {
        let mut own = if stream {
            target.timeouts
        } else {
            Timeouts {
                write_idle: target.timeouts.write_idle,
                ..Timeouts::UNLIMITED
            }
        };
        if let Some(limit) = self.lane.scenario.first_content {
            own.first_content = own.first_content.min(limit);
        }
        let mut limits = own;
        if let Some(limit) = self.limits.first_content {
            limits.first_content = limits.first_content.min(limit);
        }
        if alternative {
            let longest = self.time.longest_to_first_content(Instant::now());
            limits.first_content = limits.first_content.min(longest);
        }
        if let Some(limit) = self.limits.progress_idle {
            limits.progress_idle = limits.progress_idle.min(limit);
        }
        let hurried = Hurried {
            first_content: limits.first_content < own.first_content,
            progress_idle: limits.progress_idle < own.progress_idle,
        };
        (limits, hurried)
    }

    /// Why the call is not answered, when no target is left that may be tried.
    fn nothing_left(&self) -> Error {
        let guards = &self.lane.guards;
        let could_answer = |id: &str| {
            let its = guards.iter().find(|guard| guard.target.id == id);
            its.is_some_and(|guard| self.ineligible(&guard.target).is_none())
        };
        exhausted::error_after(&self.trail.attempts, could_answer, || self.unasked())
    }

    /// The target that the call would come to next, and what keeps it from that.
    fn unasked(&self) -> Option<Unasked> {
        // Those that are still to be come to are there only if the call may not go on.
        let mut unasked = self.lane.guards.iter().skip(self.next);
        let able = |guard: &&Arc<Guard>| {
            self.ineligible(&guard.target).is_none() && self.spell(&guard.target).is_ok()
        };
        let guard = unasked.find(able)?;
        Some(Unasked {
            target: guard.target.id.clone(),
            limit: match self.sent < self.max_attempts() {
                true => "too little time is left",
                false => "the call may make no more attempts (`max_attempts`)",
            },
        })
    }

    pub(super) fn ineligible(&self, target: &Target) -> Option<Skip> {
        if !plan::may_hold_more(target, &self.too_small) {
            return Some(Skip::ContextTooSmall);
        }
        plan::ineligible(target, self.used, self.request.sampling.max_output_tokens)
    }

    fn skip(&mut self, target: &Target, kind: AttemptKind, skip: Skip, breaker: BreakerState) {
        debug!(
            call_id = self.trail.call_id,
            target = target.id,
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

pub(super) fn recipient(target: &Target, stream: bool) -> Recipient<'_> {
    Recipient {
        provider: &target.provider.name,
        model: &target.model,
        max_output_tokens: target.max_output_tokens,
        stream,
    }
}

/// The record of a target that was come to, before anything has happened.
pub(super) fn record_of(
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
    use crate::dispatch::scopes;
    use crate::dispatch::specimens::{lane, target};

    fn course(lane: Arc<Lane>, deadline: Option<Instant>) -> Course {
        let (request, limits) = (Arc::default(), Limits::default());
        Course::new(lane, request, true, limits, deadline, Trail::default())
    }

    /// A call with so many seconds, in a scenario that allows so many to the first content.
    fn limited(scenario: Option<u64>, limits: Limits, seconds: u64) -> Course {
        let lane = lane(&["one"], scopes::Settings::default());
        let mut lane = Arc::into_inner(lane).expect("nobody else has it");
        let mut described = Arc::into_inner(lane.scenario).expect("nobody else has it");
        described.first_content = scenario.map(Duration::from_secs);
        lane.scenario = Arc::new(described);
        Course {
            limits,
            ..course(
                Arc::new(lane),
                Some(Instant::now() + Duration::from_secs(seconds)),
            )
        }
    }

    #[test]
    fn an_attempt_has_the_tightest_limits_of_the_model_the_scenario_and_the_caller() {
        // The scenario's seconds to the first content and the caller's; what applies, where the model has 20.
        let table = [
            (None, None, 20),
            (Some(5), None, 5),
            (Some(30), None, 20),
            (None, Some(5), 5),
            (None, Some(30), 20),
            (Some(5), Some(3), 3),
            (Some(3), Some(5), 3),
        ];
        for (scenario, caller, expected) in table {
            let limits = Limits {
                first_content: caller.map(Duration::from_secs),
                ..Limits::default()
            };
            let course = limited(scenario, limits, 600);

            let (limits, hurried) = course.limits_of(&target("one"), true, true);

            assert_eq!(limits.first_content, Duration::from_secs(expected));
            let own = scenario.map_or(20, |limit: u64| limit.min(20));
            assert_eq!(hurried.first_content, expected < own);
        }
        for (caller, expected) in [(None, 45), (Some(10), 10), (Some(60), 45)] {
            let limits = Limits {
                progress_idle: caller.map(Duration::from_secs),
                ..Limits::default()
            };
            let course = limited(None, limits, 600);

            let (limits, hurried) = course.limits_of(&target("one"), true, true);

            assert_eq!(limits.progress_idle, Duration::from_secs(expected));
            assert_eq!(hurried.progress_idle, expected < 45);
        }
    }

    #[test]
    fn an_attempt_leaves_time_for_another_target_only_if_there_is_one() {
        let course = limited(None, Limits::default(), 10);
        let first_content = |stream, alternative| {
            let (limits, hurried) = course.limits_of(&target("one"), stream, alternative);
            assert_eq!(hurried.first_content, alternative);
            limits.first_content
        };

        assert!(first_content(true, true) <= Duration::from_secs(6));
        assert_eq!(first_content(true, false), Duration::from_secs(20));
        assert!(first_content(false, true) <= Duration::from_secs(6));
        assert_eq!(first_content(false, false), Duration::MAX);
    }

    #[test]
    fn a_call_whose_time_is_up_comes_to_no_target() {
        let lane = lane(&["one"], scopes::Settings::default());
        let mut course = course(lane, Some(Instant::now()));

        let error = course.next_target().err();

        assert_eq!(error, Some(Error::DeadlineExceeded));
        assert_eq!(course.trail.attempts.len(), 0);
    }

    #[test]
    fn a_last_resort_is_not_come_to_again() {
        let lane = lane(&["one"], scopes::Settings::default());
        for attempt in 0..60 {
            let Ok(mut permit) = lane.guards[0].admit(&lane) else {
                break;
            };
            match attempt < 40 {
                true => permit.committed(false),
                false => permit.failed(&UpstreamError::new(UpstreamErrorKind::ServerError)),
            }
        }
        let target = Arc::clone(&lane.guards[0].target);
        let mut course = course(lane, None);

        let admitted = course.next_target().expect("it has mostly answered");

        assert_eq!(admitted.kind, AttemptKind::LastResort);
        for kind in [
            UpstreamErrorKind::Unreachable,
            UpstreamErrorKind::RateLimited,
        ] {
            let error = UpstreamError {
                retry_after: Some(Duration::from_millis(1)),
                ..UpstreamError::new(kind)
            };
            course.failed(&target, &error);
            assert_eq!(course.come_again(), None);
        }
    }
}
