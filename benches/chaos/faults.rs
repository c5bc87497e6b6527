//! Which faults are played, how, and what must the caller see of each? Data only.

use std::num::NonZeroUsize;
use std::time::Duration;

use modelway::simulator::{Behaviour, Fault as Played, RefusalReason};

use super::proxy::{Cut as LineCut, Faults as Line};

/// Something that goes wrong with a target, always in the same way.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) means: Means,
    pub(crate) effect: Effect,
    /// How many times as much work a call is: it may take that many times as long, and calls are that many times rarer.
    pub(crate) costly: u32,
}

impl Fault {
    fn costly(self, costly: u32) -> Self {
        Self { costly, ..self }
    }
}

/// How a fault is brought about.
pub(crate) enum Means {
    /// The simulated model behaves like this.
    Model(Box<Behaviour>),
    /// The network does this to the target's answers.
    Line(Line),
    /// Nothing listens at the target's port.
    Refused,
    /// The target is called with TLS, which it does not speak.
    NoTls,
}

/// What a fault means for a call. The reason is the one with which the attempt fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The answer arrives all the same.
    None,
    /// The request is refused without explanation: the other provider is tried if a token is left for that; if not,
    /// the call ends with the refusal.
    Told(&'static str),
    /// No content has arrived: another target can answer.
    Before(&'static str),
    /// A part of the answer has arrived: a stream says that it broke off, or starts again if its caller asked for that;
    /// a unary call is answered by another target.
    After(&'static str),
}

impl Effect {
    /// Why an attempt fails that meets the fault; `None` if it does not fail.
    pub(crate) fn reason(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Told(reason) | Self::Before(reason) | Self::After(reason) => Some(reason),
        }
    }
}

/// Tokens before a fault in the middle of an answer.
const SOME: usize = 5;

/// Bytes of the head and of some tokens.
const SOME_BYTES: u64 = 2000;

/// Every fault, in the order of the table.
#[rustfmt::skip] // a table is read by its columns
pub(crate) fn faults() -> Vec<Fault> {
    use Effect::{After, Before, None, Told};
    use Played::*;
    use RefusalReason::*;

    let refuse = |refusal| played(Refuse(refusal));
    let hinting = |refusal| Behaviour { retry_after: Some(SECOND), ..Refuse(refusal).into() };
    let dripping = Behaviour { slice: 100, drip: DROP, ..Behaviour::default() };
    let limited = |cut| Means::Line(Line { limit: Some((SOME_BYTES, cut)), ..Line::default() });
    let silent = Line { silent: true, ..Line::default() };
    let late = Line { slow_close: SECOND, ..Line::default() };
    let bytewise = Line { slice: Some(NonZeroUsize::MIN), ..Line::default() };
    vec![
        fault("connection refused",        Means::Refused,                          Before("PROVIDER_UNREACHABLE")),
        fault("TLS fails",                 Means::NoTls,                            Before("PROVIDER_UNREACHABLE")),
        fault("500",                       refuse(ServerError),                     Before("PROVIDER_ERROR")),
        fault("502 with a web page",       refuse(BadGateway),                      Before("PROVIDER_ERROR")),
        fault("503, Retry-After 1 s",      model(hinting(Unavailable)),             Before("PROVIDER_OVERLOADED")),
        fault("529",                       refuse(Overloaded),                      Before("PROVIDER_OVERLOADED")),
        fault("429, Retry-After 1 s",      model(hinting(RateLimited)),             Before("PROVIDER_RATE_LIMITED")),
        fault("429, quota used up",        refuse(QuotaExhausted),                  Before("PROVIDER_QUOTA_EXHAUSTED")),
        fault("401",                       refuse(Unauthorized),                    Before("PROVIDER_AUTH_FAILED")),
        fault("402",                       refuse(PaymentRequired),                 Before("PROVIDER_QUOTA_EXHAUSTED")),
        fault("403",                       refuse(Forbidden),                       Before("PROVIDER_AUTH_FAILED")),
        fault("404",                       refuse(ModelNotFound),                   Before("PROVIDER_ERROR")),
        fault("400",                       refuse(BadRequest),                      Told("INVALID_REQUEST")),
        fault("200 with an error",         played(ErrorBody),                       Told("INVALID_REQUEST")),
        fault("200 with a web page",       played(Html),                            Before("PROVIDER_BAD_RESPONSE")),
        fault("200 with nothing",          played(Empty),                           Before("PROVIDER_BAD_RESPONSE")),
        fault("hangs before the head",     played(Hang),                            Before("PROVIDER_TIMEOUT")),
        fault("nothing but pings",         played(Pings { every: PING }),           Before("PROVIDER_TIMEOUT")),
        fault("role, then silence",        played(RoleOnly),                        Before("PROVIDER_TIMEOUT")),
        fault("reset before the head",     played(ResetAtOnce),                     Before("PROVIDER_UNREACHABLE")),
        fault("error before content",      played(ErrorEvent { after: 0 }),         Before("PROVIDER_ERROR")),
        fault("no JSON before content",    played(Malformed { after: 0 }),          Before("PROVIDER_BAD_RESPONSE")),
        fault("error after content",       played(ErrorEvent { after: SOME }),      After("PROVIDER_ERROR")),
        fault("no JSON after content",     played(Malformed { after: SOME }),       After("PROVIDER_BAD_RESPONSE")),
        fault("cut after content",         played(Cut { after: SOME }),             After("PROVIDER_BAD_RESPONSE")),
        fault("cut before the end",        played(Cut { after: usize::MAX }),       After("PROVIDER_BAD_RESPONSE")),
        fault("closed after content",      played(Disconnect { after: SOME }),      After("PROVIDER_UNREACHABLE")),
        fault("reset after content",       played(Reset { after: SOME }),           After("PROVIDER_UNREACHABLE")),
        fault("silence after content",     played(Stall { after: SOME }),           After("PROVIDER_TIMEOUT")),
        fault("line: limited, closed",     limited(LineCut::Close),                     After("PROVIDER_UNREACHABLE")),
        fault("line: limited, reset",      limited(LineCut::Reset),                     After("PROVIDER_UNREACHABLE")),
        fault("line: silent",              Means::Line(silent),                     Before("PROVIDER_TIMEOUT")),
        fault("line: closes late",         Means::Line(late),                       None),
        fault("line: 1 byte at a time",    Means::Line(bytewise),                   None).costly(10),
        fault("slow drip",                 model(dripping),                         None),
        fault("no [DONE]",                 played(NoEnd),                           None),
        fault("content type of text",      played(WrongContentType),                None),
        fault("whole answer for a stream", played(WholeForStream),                  None),
    ]
}

const SECOND: Duration = Duration::from_secs(1);

/// Wait between two pings.
const PING: Duration = Duration::from_millis(50);

/// Wait between two drops of a slow drip.
const DROP: Duration = Duration::from_millis(10);

fn fault(name: &'static str, means: Means, effect: Effect) -> Fault {
    Fault {
        name,
        means,
        effect,
        costly: 1,
    }
}

fn played(fault: Played) -> Means {
    model(fault.into())
}

fn model(behaviour: Behaviour) -> Means {
    Means::Model(Box::new(behaviour))
}
