//! Which steps happen on the wire for an answer and its fault?

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;

use super::answer::{Answer, Dialect};
use super::asked::{Asked, Framing};
use super::behaviour::{Behaviour, Fault, Finish, RefusalReason};
use super::course::Course;
use super::log::Counted;
use super::step::{Step, length, merge};

/// A response, worked out to its last byte.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) delay: Duration,
    pub(super) opening: Opening,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) steps: Vec<Step>,
    /// Bytes per write, 0 for as many as there are, and the wait after each.
    pub(super) slice: usize,
    pub(super) drip: Duration,
    /// Length of the body, if it is announced.
    pub(super) length: Option<u64>,
    /// Whether the response is a fault even if it is played to its end.
    pub(super) faulty: bool,
    /// The tokens of the request and of its whole answer.
    pub(super) counted: Option<Counted>,
}

/// What happens instead of the response's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    Head,
    Hang,
    Reset,
}

impl Plan {
    /// The response to a request of a model that behaves like this.
    pub(super) fn new(
        dialect: &dyn Dialect,
        asked: &Asked,
        behaviour: &Behaviour,
        fault: Option<Fault>,
    ) -> Self {
        let mut asked = asked.clone();
        if fault == Some(Fault::WholeForStream) {
            asked.framing = Framing::Whole;
        }
        let mut plan = match fault {
            Some(Fault::Refuse(RefusalReason::BadGateway)) => {
                page(StatusCode::BAD_GATEWAY, "Bad gateway")
            }
            Some(Fault::Refuse(RefusalReason::Unexplained)) => {
                page(StatusCode::IM_A_TEAPOT, "I'm a teapot")
            }
            Some(Fault::Html) => page(StatusCode::OK, "Bad gateway"),
            Some(Fault::Refuse(refusal)) => refused(dialect, &asked, behaviour, refusal),
            Some(Fault::ErrorBody) => error_body(dialect),
            Some(Fault::ErrorEvent { .. }) if asked.framing == Framing::Whole => {
                error_body(dialect)
            }
            _ => answered(dialect, &asked, behaviour, fault),
        };
        plan.delay = plan.delay.saturating_add(behaviour.delay);
        plan.faulty = fault.is_some();
        plan.opening = match fault {
            Some(Fault::Hang) => Opening::Hang,
            Some(Fault::ResetAtOnce) => Opening::Reset,
            _ => Opening::Head,
        };
        if fault == Some(Fault::WrongContentType) {
            let plain = HeaderValue::from_static("text/plain; charset=utf-8");
            plan.headers.insert(CONTENT_TYPE, plain);
        }
        plan.steps = merge(plan.steps);
        plan.slice = behaviour.slice;
        plan.drip = behaviour.drip;
        if plan.slice > 0 {
            plan.length = None;
        }
        plan
    }

    /// The refusal of a request that no provider would accept, with a message of ours.
    pub(super) fn bad_request(dialect: &dyn Dialect, message: &str) -> Self {
        let body = dialect.bad_request(message);
        Self::json(dialect, StatusCode::BAD_REQUEST, &body)
    }

    fn json(dialect: &dyn Dialect, status: StatusCode, body: &Value) -> Self {
        Self::of(
            status,
            dialect.json_type(),
            vec![Step::write(body.to_string())],
        )
    }

    fn of(status: StatusCode, content_type: &'static str, steps: Vec<Step>) -> Self {
        let content_type = HeaderValue::from_static(content_type);
        let length = length(&steps);
        Self {
            delay: Duration::ZERO,
            opening: Opening::Head,
            status,
            headers: HeaderMap::from_iter([(CONTENT_TYPE, content_type)]),
            steps,
            slice: 0,
            drip: Duration::ZERO,
            length,
            faulty: true,
            counted: None,
        }
    }
}

fn refused(
    dialect: &dyn Dialect,
    asked: &Asked,
    behaviour: &Behaviour,
    refusal: RefusalReason,
) -> Plan {
    let Some((status, mut body)) = dialect.refuse(refusal, &asked.model) else {
        let empty = Behaviour {
            text: Some(String::new()),
            calls: Vec::new(),
            tools: Vec::new(),
            reasoning: 0,
            finish: Some(Finish::ContentFilter),
            ..behaviour.clone()
        };
        return answered(dialect, asked, &empty, None);
    };
    if status == StatusCode::OK && asked.framing == Framing::Sse {
        let event = dialect.event_of(&body.to_string());
        return Plan::of(status, dialect.stream_type(), vec![Step::Write(event)]);
    }
    let mut headers = HeaderMap::new();
    if let Some(wait) = behaviour.retry_after {
        dialect.ask_to_wait(wait, &mut headers, &mut body);
    }
    let mut plan = Plan::json(dialect, status, &body);
    plan.headers.extend(headers);
    plan
}

fn error_body(dialect: &dyn Dialect) -> Plan {
    let body = dialect.bad_request("The request could not be handled.");
    Plan::json(dialect, StatusCode::OK, &body)
}

/// What a proxy or a firewall shows in place of an answer.
fn page(status: StatusCode, title: &str) -> Plan {
    let page = format!(
        "<!DOCTYPE html>\n<html><head><title>{title}</title></head>\n<body><h1>{title}</h1></body></html>\n"
    );
    Plan::of(status, "text/html; charset=UTF-8", vec![Step::write(page)])
}

fn answered(
    dialect: &dyn Dialect,
    asked: &Asked,
    behaviour: &Behaviour,
    fault: Option<Fault>,
) -> Plan {
    let answer = Answer::new(asked, behaviour, fault);
    let (course, content_type, delay) = match asked.framing {
        Framing::Whole => {
            let course = Course::whole(dialect, &answer);
            (course, dialect.json_type(), time_of(&answer, behaviour))
        }
        Framing::Sse => {
            let course = Course::streamed(dialect, &answer, behaviour, fault);
            (course, dialect.stream_type(), Duration::ZERO)
        }
        Framing::Array => {
            let course = Course::streamed(dialect, &answer, behaviour, fault);
            (course, dialect.json_type(), Duration::ZERO)
        }
    };
    let mut plan = Plan::of(StatusCode::OK, content_type, course.run(fault));
    plan.delay = delay;
    plan.counted = Some(Counted {
        input: asked.input_words as u64,
        output: answer.tokens() as u64,
    });
    if asked.is_streamed() {
        plan.length = None;
    }
    plan
}

/// How long a whole answer takes.
fn time_of(answer: &Answer, behaviour: &Behaviour) -> Duration {
    let gaps = answer.tokens().saturating_sub(1);
    let gaps = u32::try_from(gaps).unwrap_or(u32::MAX);
    let gaps = behaviour.gap.saturating_mul(gaps);
    behaviour.first_token.saturating_add(gaps)
}
