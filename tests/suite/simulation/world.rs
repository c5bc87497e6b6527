//! The providers of a simulation: how each answers at the moment, and what it was asked.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use modelway::error::{UpstreamError, UpstreamErrorKind};
use modelway::provider::OutboundRequest;
use modelway::transport::{Carrier, Response, Sending};
use tokio::time::{Instant, sleep};

/// How a provider answers from here on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Weather {
    /// Every request, whole, within 0.3 to 1.5 s.
    Fine,
    /// Every request, whole, after so many seconds.
    Slow(u64),
    /// Every request with a role at once, and whole after so many seconds.
    Thinking(u64),
    /// This share of requests with a server error within 50 to 150 ms.
    Errors(f64),
    /// Not at all.
    Silent,
    /// With the beginning of an answer, after which the connection is lost.
    Cuts,
    /// With the beginning of an answer, after which nothing more comes.
    FallsSilent,
    /// With 429 and this `Retry-After` in seconds.
    RateLimited(Option<u64>),
    /// With 401.
    KeyRefused,
    /// This share of requests in any of the ways that there are.
    Wild(f64),
}

/// An attempt as the providers saw it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Number of the call that made it.
    pub(super) call: usize,
    /// Position of the provider.
    pub(super) provider: usize,
    /// Position of the model at its provider.
    pub(super) model: usize,
    /// When it came.
    pub(super) began: Instant,
    /// When the head of an answer had come.
    pub(super) reached: Option<Instant>,
    /// When it had failed, given its first content or been cancelled: from here on it is no probe.
    pub(super) judged: Option<Instant>,
}

/// All providers. Shared with the dispatcher as its network.
#[derive(Debug)]
pub(super) struct World {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    weather: BTreeMap<usize, Weather>,
    draw: fastrand::Rng,
    seen: Vec<Seen>,
}

/// What comes back: the head after a while, then pieces of the body, each after a while.
struct Reply {
    after: Duration,
    status: u16,
    retry_after: Option<u64>,
    pieces: Vec<(Duration, Bytes)>,
    end: End,
}

#[derive(Clone, Copy)]
enum End {
    Complete,
    Cut,
    Silence,
}

const ROLE: &str = "data: {\"id\":\"a\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"},\"finish_reason\":null}]}\n\n";
const CONTENT: &str = "data: {\"id\":\"a\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"},\"finish_reason\":null}]}\n\n";
const FINISH: &str = "data: {\"id\":\"a\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
const ALL: &str = "data: {\"id\":\"a\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

impl World {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        let state = State {
            weather: BTreeMap::new(),
            draw: fastrand::Rng::with_seed(seed),
            seen: Vec::new(),
        };
        Arc::new(Self {
            state: Mutex::new(state),
        })
    }

    /// From here on a provider answers like this.
    pub(super) fn set(&self, provider: usize, weather: Weather) {
        self.state().weather.insert(provider, weather);
    }

    /// Every attempt so far, in order.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The world as the dispatcher's network.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) world: Arc<World>,
    pub(super) told: Told,
}

/// What is to be done at once with the news of an attempt; it is given the number of its call, too.
#[derive(Clone)]
pub(super) struct Told(pub(super) Arc<dyn Fn(usize, News) + Send + Sync>);

/// What has happened to an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) enum News {
    /// It was sent.
    Sent,
    /// It was refused for a reason that nothing explains.
    Refused,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Told")
    }
}

impl Carrier for Network {
    fn send(&self, request: OutboundRequest) -> Sending {
        let call = number_after(&request.body, "call ");
        let provider = number_after(request.url.as_bytes(), "//p");
        let model = number_after(&request.body, "\"model\":\"m");
        let mut state = self.world.state();
        let weather = state.weather.get(&provider).copied();
        let reply = reply(weather.unwrap_or(Weather::Fine), &mut state.draw);
        (self.told.0)(call, News::Sent);
        let position = state.seen.len();
        state.seen.push(Seen {
            call,
            provider,
            model,
            began: Instant::now(),
            reached: None,
            judged: None,
        });
        let judgement = Judgement {
            world: Arc::clone(&self.world),
            position,
        };
        let told = self.told.clone();
        Box::pin(async move {
            let reply = match reply {
                Ok(reply) => reply,
                Err((after, kind)) => {
                    sleep(after).await;
                    drop(judgement);
                    return Err(UpstreamError::new(kind));
                }
            };
            sleep(reply.after).await;
            judgement.reach();
            if reply.status == 400 {
                (told.0)(call, News::Refused);
            }
            let mut head = http::Response::builder()
                .status(reply.status)
                .header("content-type", "text/event-stream");
            if let Some(seconds) = reply.retry_after {
                head = head.header("retry-after", seconds);
            }
            let pieces = reply.pieces.into_iter();
            let body = unfold(
                (pieces, judgement),
                move |(mut pieces, judgement)| async move {
                    if let Some((after, piece)) = pieces.next() {
                        sleep(after).await;
                        judgement.pass();
                        return Some((Ok(piece), (pieces, judgement)));
                    }
                    match reply.end {
                        End::Complete => None,
                        End::Cut => Some((
                            Err(io::Error::from(io::ErrorKind::ConnectionReset)),
                            (pieces, judgement),
                        )),
                        End::Silence => std::future::pending().await,
                    }
                },
            );
            Ok(Response::carried(head.body(()).unwrap(), body))
        })
    }
}

/// Notes when an attempt is judged: when it says so, or else when it is dropped.
struct Judgement {
    world: Arc<World>,
    position: usize,
}

impl Judgement {
    fn reach(&self) {
        self.world.state().seen[self.position].reached = Some(Instant::now());
    }

    fn pass(&self) {
        let seen = &mut self.world.state().seen[self.position];
        seen.judged.get_or_insert_with(Instant::now);
    }
}

impl Drop for Judgement {
    fn drop(&mut self) {
        self.pass();
    }
}

fn reply(
    weather: Weather,
    draw: &mut fastrand::Rng,
) -> Result<Reply, (Duration, UpstreamErrorKind)> {
    match weather {
        Weather::Fine => Ok(fine(draw)),
        Weather::Slow(seconds) => Ok(Reply {
            after: Duration::from_secs(seconds),
            ..fine(draw)
        }),
        Weather::Thinking(seconds) => Ok(Reply {
            pieces: vec![
                (Duration::ZERO, Bytes::from_static(ROLE.as_bytes())),
                (
                    Duration::from_secs(seconds),
                    Bytes::from_static(ALL.as_bytes()),
                ),
            ],
            ..fine(draw)
        }),
        Weather::Errors(share) if draw.f64() < share => Ok(refusal(500, None, draw)),
        Weather::Errors(_) => Ok(fine(draw)),
        Weather::Silent => Ok(silent()),
        Weather::Cuts => Ok(ending(End::Cut, draw)),
        Weather::FallsSilent => Ok(ending(End::Silence, draw)),
        Weather::RateLimited(hint) => Ok(refusal(429, hint, draw)),
        Weather::KeyRefused => Ok(refusal(401, None, draw)),
        Weather::Wild(share) if draw.f64() < share => wild(draw),
        Weather::Wild(_) => Ok(ending(End::Complete, draw)),
    }
}

fn wild(draw: &mut fastrand::Rng) -> Result<Reply, (Duration, UpstreamErrorKind)> {
    let hint = draw.bool().then(|| draw.u64(0..4));
    Ok(match draw.u32(0..12) {
        0..3 => refusal(500, None, draw),
        3 => refusal(529, hint, draw),
        4 => refusal(503, hint, draw),
        5 => refusal(429, hint, draw),
        6 => refusal(400, None, draw),
        7 => silent(),
        8 => return Err((between(draw, 0.0, 0.1), UpstreamErrorKind::Unreachable)),
        9 => return Err((between(draw, 0.0, 2.0), UpstreamErrorKind::Disconnected)),
        10 => ending([End::Cut, End::Silence][draw.usize(0..2)], draw),
        _ => Reply {
            after: between(draw, 3.0, 19.0),
            ..fine(draw)
        },
    })
}

fn fine(draw: &mut fastrand::Rng) -> Reply {
    Reply {
        after: between(draw, 0.3, 1.5),
        status: 200,
        retry_after: None,
        pieces: vec![(Duration::ZERO, Bytes::from_static(ALL.as_bytes()))],
        end: End::Complete,
    }
}

/// Begins to answer; goes on or does not.
fn ending(end: End, draw: &mut fastrand::Rng) -> Reply {
    let content = (
        between(draw, 0.1, 1.0),
        Bytes::from_static(CONTENT.as_bytes()),
    );
    let finish = (
        between(draw, 0.1, 5.0),
        Bytes::from_static(FINISH.as_bytes()),
    );
    let is_complete = matches!(end, End::Complete);
    Reply {
        after: between(draw, 0.0, 0.5),
        status: 200,
        retry_after: None,
        pieces: if is_complete {
            vec![content, finish]
        } else {
            vec![content]
        },
        end,
    }
}

fn refusal(status: u16, retry_after: Option<u64>, draw: &mut fastrand::Rng) -> Reply {
    Reply {
        after: between(draw, 0.05, 0.15),
        status,
        retry_after,
        pieces: Vec::new(),
        end: End::Complete,
    }
}

fn silent() -> Reply {
    Reply {
        after: Duration::from_secs(3600),
        status: 200,
        retry_after: None,
        pieces: Vec::new(),
        end: End::Complete,
    }
}

fn between(draw: &mut fastrand::Rng, least: f64, most: f64) -> Duration {
    Duration::from_secs_f64(least + draw.f64() * (most - least))
}

/// The number that stands behind a mark.
fn number_after(text: &[u8], mark: &str) -> usize {
    let start = text
        .windows(mark.len())
        .position(|window| window == mark.as_bytes())
        .unwrap()
        + mark.len();
    text[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}
