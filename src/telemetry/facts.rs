//! What is known of a call, and of an attempt, when it has ended? Everything that is reported about it. Pure.
//!
//! The line in the log, the span and the metrics of a call are filled from one [`CallFacts`], so they agree.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use crate::caller::{Caller, Door, Method, Priority};
use crate::chat::Usage;
use crate::error::{Blame, Code};
use crate::identity::{Identity, Labels};
use crate::meter::{self, BucketTally};
use crate::money::Cost;
use crate::trail::{AttemptKind, AttemptRecord, CallEnd, Trail};

/// What a call asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AskedFor {
    /// It is not known: the message could not be read.
    #[default]
    Unread,
    /// A scenario of the configuration; [`Trail::scenario`] is its name.
    Scenario,
    /// A scenario that the configuration does not have.
    UnknownScenario,
    /// The model of the configuration with this id.
    Model(String),
    /// A model that the configuration does not have, or models may not be named.
    UnknownModel,
}

/// The facts of a call that has ended, without its content.
#[derive(Clone, Copy, Debug)]
pub struct CallFacts<'a> {
    /// Its ids, the name of its scenario, and every attempt and skipped target with its tokens and costs.
    pub trail: &'a Trail,
    /// Who called, as admission counts it.
    pub caller: Caller,
    /// Who called; `None` if no credential proved it.
    pub identity: Option<&'a Identity>,
    /// The labels of the call, those of its account included.
    pub labels: &'a Labels,
    /// The caller's own id of the request, if it sent one that is short and printable.
    pub request_id: Option<&'a str>,
    /// Which method was called.
    pub method: Method,
    /// Through which protocol.
    pub door: Door,
    /// What was asked for.
    pub asked_for: &'a AskedFor,
    /// How important the call is; the usual importance if its message could not be read.
    pub priority: Priority,
    /// How it ended: code and reason.
    pub end: CallEnd,
    /// Who must act on its end.
    pub blame: Blame,
    /// How many messages of a stream were handed over; `None` if the method answers with one message.
    pub messages: Option<u64>,
    /// Whether it was answered by the result of an earlier call with the same idempotency key.
    pub replayed: bool,
    /// How long it took, and where that time went.
    pub times: CallTimes,
}

/// How long a call took, and where that time went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallTimes {
    /// From the moment at which the whole request had been read (or its head, if it never was read) until the last
    /// byte of the answer was handed to the connection, or the call ended otherwise.
    pub total: Duration,
    /// Waiting for admission.
    pub queue: Duration,
    /// At least one attempt was under way, or the call waited for the call that it repeats.
    pub upstream: Duration,
    /// The whole answer was there, and the caller did not read it yet.
    pub stalled: Duration,
    /// Waiting on purpose before another attempt: until a provider may be asked again.
    pub paused: Duration,
    /// What the gateway itself took: the total without all of the above, and for a stream also the time from the
    /// first content's arrival until its message was handed over, but for the time in which its caller had not asked
    /// for that.
    pub overhead: Duration,
    /// Until the first content was handed over, for a whole answer until it had arrived; `None` if none ever did.
    pub first_content: Option<Duration>,
    /// What the caller gave as its timeout.
    pub deadline: Option<Duration>,
}

impl<'a> CallFacts<'a> {
    /// Who called, by name: the id of its account; without a credential its address.
    pub fn caller_name(&self) -> Cow<'a, str> {
        match (self.caller, self.identity) {
            (Caller::Account(_), Some(identity)) => Cow::Borrowed(&*identity.account.caller),
            (caller, _) => Cow::Owned(caller.to_string()),
        }
    }

    /// The status code of the call.
    pub fn code(&self) -> Code {
        self.end.code()
    }

    /// The attempt that answered the call.
    pub fn answered_by(&self) -> Option<&'a AttemptRecord> {
        match self.end {
            CallEnd::Answered => self.trail.attempts.last().filter(|last| last.number > 0),
            CallEnd::Cancelled | CallEnd::Failed(_) => None,
        }
    }

    /// The attempt that answered the call, else the one that was sent last; `None` if nothing was sent.
    pub fn decisive_attempt(&self) -> Option<&'a AttemptRecord> {
        self.answered_by()
            .or_else(|| self.trail.sent().max_by_key(|attempt| attempt.number))
    }

    /// How many attempts were sent.
    pub fn attempts(&self) -> usize {
        self.trail.sent().count()
    }

    /// How many targets were passed over.
    pub fn skipped(&self) -> usize {
        self.trail.attempts.len() - self.attempts()
    }

    /// The kind of the attempt that answered, if the call would have failed without it: see [`Trail::rescued`].
    pub fn rescued(&self) -> Option<AttemptKind> {
        match self.end {
            CallEnd::Answered => self.trail.rescued(),
            CallEnd::Cancelled | CallEnd::Failed(_) => None,
        }
    }

    /// The tokens of all attempts; `None` if no attempt reported any.
    pub fn usage(&self) -> Option<Usage> {
        self.trail.usage()
    }

    /// What all attempts cost; `None` if nothing was sent.
    pub fn cost(&self) -> Option<Cost> {
        self.trail.cost()
    }

    /// What attempts cost that gave no whole answer; `None` if there is none.
    pub fn wasted(&self) -> Option<Cost> {
        self.trail.wasted()
    }
}

/// The facts of an attempt that has ended, or of a target that was passed over, without its content.
#[derive(Clone, Copy, Debug)]
pub struct AttemptFacts<'a> {
    /// The id of its call.
    pub call_id: &'a str,
    /// What was tried, how it ended, and what it used up.
    pub record: &'a AttemptRecord,
    /// The times between its events, if its answer was read as a stream.
    pub gaps: Option<&'a Gaps>,
}

/// The times between the events of a stream that carry content or usage.
#[derive(Clone, Debug)]
pub struct Gaps {
    tally: BucketTally<15>,
    /// When the last of these events arrived.
    last: Option<Instant>,
}

impl Default for Gaps {
    fn default() -> Self {
        Self {
            tally: BucketTally::new(&meter::GAPS),
            last: None,
        }
    }
}

impl Gaps {
    /// This many events arrived together.
    pub fn arrived(&mut self, events: usize, now: Instant) {
        for _ in 0..events {
            if let Some(last) = self.last.replace(now) {
                self.tally.record_time(now.saturating_duration_since(last));
            }
        }
    }

    /// The times, counted.
    pub(super) fn tally(&self) -> &BucketTally<15> {
        &self.tally
    }
}

/// What a call can wait for while no attempt is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallWait {
    /// Admission.
    Admission,
    /// The moment at which a target may be tried.
    Pause,
    /// The result of the call that it repeats.
    Repeated,
    /// Its caller, who has not read the complete answer yet.
    Reader,
}

/// The moments and durations that are noted while a call is under way, from which its times follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopwatch {
    /// When the head of its request arrived, and later when the whole request had been read.
    pub(super) began: Instant,
    /// What it waits for, since when.
    waiting: Option<(CallWait, Instant)>,
    /// How long it has waited for each [`CallWait`], in the order of declaration.
    waited: [Duration; 4],
    /// When the first content of a stream was handed over.
    pub(super) first_content: Option<Instant>,
    /// From the first content's arrival until it was handed over.
    pub(super) handing_over: Duration,
    pub(super) deadline: Option<Duration>,
}

impl Stopwatch {
    /// Begins with the arrival of a request whose caller gave this timeout.
    pub(super) fn start(began: Instant, deadline: Option<Duration>) -> Self {
        Self {
            began,
            waiting: None,
            waited: [Duration::ZERO; 4],
            first_content: None,
            handing_over: Duration::ZERO,
            deadline,
        }
    }

    /// From now on it waits for this, or for nothing.
    pub(super) fn waits(&mut self, next: Option<CallWait>, now: Instant) {
        if let Some((wait, since)) = self.waiting.take() {
            self.waited[wait as usize] += now.saturating_duration_since(since);
        }
        self.waiting = next.map(|wait| (wait, now));
    }

    /// The times of a call that has been tried like this and ends now.
    pub(super) fn read(mut self, method: Method, trail: &Trail, now: Instant) -> CallTimes {
        self.waits(None, now);
        let total = now.saturating_duration_since(self.began);
        let [queue, paused, repeated, stalled] = self.waited;
        let upstream = trail.upstream() + repeated;
        let elsewhere = queue + upstream + stalled + paused;
        let arrived = || {
            let answering = trail.attempts.last()?;
            Some(answering.began? + answering.first_content?)
        };
        let first_content = match method {
            Method::Generate => arrived(),
            Method::StreamGenerate => self.first_content,
        };
        CallTimes {
            total,
            queue,
            upstream,
            stalled,
            paused,
            overhead: total.saturating_sub(elsewhere) + self.handing_over,
            first_content: first_content.map(|at| at.saturating_duration_since(self.began)),
            deadline: self.deadline,
        }
    }
}
