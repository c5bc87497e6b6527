//! What becomes of two hundred calls when their provider is killed, paused, slowed or cut off under
//! them, and what of the calls after that?
//!
//! The primary's log and the backup's are the truth about attempts; what callers are told of must be
//! the same, attempt by attempt.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::{Duration, SystemTime};

use modelway::grpc::v1::{AttemptKind, AttemptOutcome, BreakerState, ErrorReason};
use modelway::simulator::{Behaviour, Fault, Received, Settings, Simulator, text};
use tokio::time::timeout;
use tonic::Code;

use crate::support::aftermath::{
    breaker, every_place_is_free, nothing_is_under_way, tasks, tasks_fall_to, tokens,
};
use crate::support::crowd::{Crowd, Kind, Told, attempts, span_of};
use crate::support::proxy::{Cut, Faults, Proxy, Towards};
use crate::support::{Gateway, ask, details, lines};

const CALLS: usize = 200;

/// Tokens of the primary's answers. The backup's have 24.
const WHOLE: usize = 40;

/// Tokens in the retry budget, which no success fills: one is missing for each added attempt.
const BURST: usize = 400;

/// Much longer than any recovery takes.
const PROMPTLY: Duration = Duration::from_secs(20);

/// A service whose primary is behind a proxy and whose backup is well.
struct Site {
    /// Its simulator is the backup.
    gateway: Gateway,
    primary: Simulator,
    proxy: Proxy,
    /// Tasks before any of the calls.
    tasks: usize,
}

impl Site {
    /// The primary has these time-outs and behaves like this.
    async fn start(timeouts: &str, behaviour: Behaviour) -> Self {
        Self::with_budget(
            timeouts,
            behaviour,
            &format!("{{ ratio = 0.0, burst = {BURST} }}"),
        )
        .await
    }

    async fn with_budget(timeouts: &str, behaviour: Behaviour, retry: &str) -> Self {
        let primary = Simulator::start(Settings::default()).await.unwrap();
        let proxy = Proxy::start(primary.address()).unwrap();
        let address = proxy.address();
        let gateway = Gateway::start(&format!(
            r#"
            [admission]
            max_inflight = {CALLS}
            queue = 0
            [transport]
            idle_timeout = "50ms"
            [breaker]
            open_base = "100ms"
            open_max = "200ms"

            [providers.severed]
            wire_format = "anthropic"
            base_url = "http://{address}/anthropic/v1"
            auth = "none"
            propagate_trace = true

            [models."severed/primary"]
            max_output_tokens = 1000
            timeouts = {timeouts}
            [models."openai/backup"]
            [models."openai/spare"]

            [scenarios.s]
            targets = ["severed/primary", "openai/backup"]
            retry = {retry}
            [scenarios.spare]
            targets = ["openai/spare"]
            "#
        ))
        .await;
        primary.set("primary", behaviour);
        gateway.generate(ask("spare", "Hello")).await.unwrap();
        Self {
            gateway,
            primary,
            proxy,
            tasks: tasks(),
        }
    }

    /// Lets nothing pass in either direction, or everything.
    fn silence(&self, silent: bool) {
        let faults = Faults {
            silent,
            ..Faults::default()
        };
        self.proxy.set(Towards::Server, faults);
        self.proxy.set(Towards::Client, faults);
    }

    fn crowd(&self, count: usize) -> Crowd {
        Crowd::of(&self.gateway, "s", count)
    }

    /// Makes one call after the other, each of which must be answered, until the primary is the
    /// ordinary first target again.
    async fn recovers(&self, told: &mut Vec<Told>) {
        let recovered = async {
            loop {
                told.extend(self.crowd(1).told().await);
                let response = told.last().unwrap().outcome.as_ref().unwrap();
                let last = response.attempts.last().unwrap();
                if last.kind() == AttemptKind::Primary {
                    return;
                }
            }
        };
        timeout(PROMPTLY, recovered)
            .await
            .expect("the primary is used again");
        let breaker = breaker(&self.gateway, "severed/primary").await;
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    /// The logs hold no attempt of which nobody was told, and nothing is held any more.
    async fn is_as_before(&self, told: &[Told]) {
        self.every_attempt_is_told(told);
        nothing_is_under_way(&self.gateway).await;
        let added = |told: &Told| told.attempts().len().saturating_sub(1);
        let added: usize = told.iter().map(added).sum();
        assert_eq!(tokens(&self.gateway, "s").await, BURST - added);
        every_place_is_free(&self.gateway, "spare", CALLS).await;
        tasks_fall_to(self.tasks).await;
    }

    /// Each request in the logs belongs to one attempt of which one caller was told. Those that never
    /// arrived could not: the network was cut or silent. Gives how many arrived.
    fn every_attempt_is_told(&self, told: &[Told]) -> usize {
        let mut told = attempts(told);
        let mut requests = self.primary.requests();
        requests.extend(self.gateway.simulator.requests_for("backup"));
        for request in &requests {
            let attempt = told.remove(&span_of(request));
            let attempt =
                attempt.expect("an attempt of which nobody was told, or a second request");
            assert_eq!(attempt.model, request.model);
        }
        for (_, attempt) in told {
            assert_eq!(attempt.provider, "severed", "{attempt:?}");
            assert_eq!(attempt.outcome(), AttemptOutcome::Failed, "{attempt:?}");
            let reasons = [
                ErrorReason::ProviderUnreachable,
                ErrorReason::ProviderTimeout,
            ];
            assert!(reasons.contains(&attempt.error_reason()), "{attempt:?}");
        }
        requests.len()
    }
}

/// Forty tokens, of which twenty come.
fn stalling() -> Behaviour {
    Behaviour {
        tokens: WHOLE,
        ..Fault::Stall { after: 20 }.into()
    }
}

fn healthy() -> Behaviour {
    Behaviour {
        tokens: WHOLE,
        ..Behaviour::default()
    }
}

/// Each stream has been told so many words.
fn each(least: usize) -> impl FnMut(&Vec<usize>) -> bool {
    move |streams| streams.iter().all(|words| *words >= least)
}

/// What every caller may rely on: an answer that is told as complete is, and anything else ends in a
/// failure with a reason. Gives the reason.
fn reason(told: &Told) -> Option<String> {
    match &told.outcome {
        Ok(response) => {
            let whole = match response.model.as_str() {
                "primary" => text(WHOLE),
                _ => text(24),
            };
            assert_eq!(told.text, whole, "{told:?}");
            assert_eq!(
                told.resets > 0,
                told.resets == 1 && told.kind == Kind::Restarting
            );
            assert!(response.usage.is_some());
            None
        }
        Err(status) => {
            let failure = details(status);
            assert_eq!(failure.code, Code::Unavailable, "{told:?}");
            assert_eq!(failure.pushback, Some(-1), "{told:?}");
            assert!(!failure.failure.unwrap().attempts.is_empty());
            Some(failure.reason)
        }
    }
}

/// The reasons for which calls failed that were told nothing else than what is true.
fn failures(told: &[Told]) -> Vec<(Kind, String)> {
    let failure = |told: &Told| Some((told.kind, reason(told)?));
    told.iter().filter_map(failure).collect()
}

/// An interruption is told with the words and the usage so far.
fn assert_interrupted(told: &Told) {
    assert_eq!(reason(told).unwrap(), "STREAM_INTERRUPTED");
    assert_eq!(told.resets, 0);
    assert!(!told.text.is_empty());
    assert!(text(WHOLE).starts_with(told.text.trim_end()));
    let failure = details(told.outcome.as_ref().unwrap_err()).failure.unwrap();
    assert!(failure.usage.unwrap().input_tokens > 0);
}

#[tokio::test]
async fn calls_survive_that_their_provider_is_killed() {
    let site = Site::start("{}", stalling()).await;
    let crowd = site.crowd(CALLS);
    crowd.has_heard(each(20)).await;
    site.primary.wait_for(|log| log.len() == CALLS).await;

    site.primary.pause().await;
    let mut told = crowd.told().await;

    for told in &told {
        match told.kind {
            Kind::Whole | Kind::Restarting => {
                assert_eq!(reason(told), None);
                let response = told.outcome.as_ref().unwrap();
                let trail = [
                    "1 PRIMARY severed/primary FAILED PROVIDER_UNREACHABLE",
                    "2 FAILOVER openai/backup SUCCEEDED",
                ];
                assert_eq!(lines(&response.attempts), trail);
                assert_eq!(told.resets, usize::from(told.kind == Kind::Restarting));
            }
            Kind::Failing => {
                assert_interrupted(told);
                assert_eq!(told.text.trim_end(), text(20));
            }
        }
    }
    assert_eq!(site.every_attempt_is_told(&told), CALLS + 150);

    let gone = site.crowd(CALLS).told().await;
    assert_eq!(failures(&gone), []);
    told.extend(gone);

    site.primary.set("primary", healthy());
    site.primary.resume().await.unwrap();
    site.recovers(&mut told).await;
    let before = site.primary.requests().len();
    let back = site.crowd(CALLS).told().await;
    assert_eq!(failures(&back), []);
    assert_eq!(site.primary.requests().len() - before, CALLS);
    told.extend(back);
    site.is_as_before(&told).await;
}

#[tokio::test]
async fn where_the_budget_does_not_suffice_for_all_of_them_the_rest_are_told_so() {
    let site = Site::with_budget("{}", stalling(), "{ ratio = 0.2, burst = 50 }").await;
    let crowd = site.crowd(CALLS);
    crowd.has_heard(each(20)).await;
    site.primary.wait_for(|log| log.len() == CALLS).await;

    site.primary.pause().await;
    let told = crowd.told().await;

    let answered = told.iter().filter(|told| reason(told).is_none()).count();
    for (kind, reason) in failures(&told) {
        let expected = match kind {
            Kind::Whole => "RETRY_BUDGET_EXHAUSTED",
            Kind::Failing | Kind::Restarting => "STREAM_INTERRUPTED",
        };
        assert_eq!(reason, expected);
    }
    let added = site.every_attempt_is_told(&told) - CALLS;
    assert_eq!(added, answered, "each added attempt has rescued a call");
    assert!(
        added >= 50 && added <= 50 + answered / 5,
        "{added} were added"
    );
}

#[tokio::test]
async fn calls_survive_that_their_provider_falls_silent() {
    const FLOWING: usize = 160;
    const BATCH: usize = 20;
    let timeouts = r#"{ stall_after = "1s", first_event = "2s", byte_idle = "2s" }"#;
    let flowing: Behaviour = "tokens=1000+gap=50ms".parse().unwrap();
    let site = Site::start(timeouts, flowing).await;
    let mut crowd = Crowd::new();
    // Few at a time: a busy machine must not look like a silent provider.
    for batch in 1..=FLOWING / BATCH {
        crowd.join(&site.gateway, "s", BATCH);
        let arrived = |log: &[Received]| log.len() == batch * BATCH;
        site.primary.wait_for(arrived).await;
        crowd.has_heard(each(1)).await;
    }

    site.silence(true);
    let began = SystemTime::now();
    crowd.join(&site.gateway, "s", CALLS - FLOWING);
    let open = async {
        loop {
            let breaker = breaker(&site.gateway, "severed/primary").await;
            if breaker.opened_total > 0 {
                return SystemTime::try_from(breaker.state_since.unwrap()).unwrap();
            }
        }
    };
    let open = timeout(PROMPTLY, open).await.expect("the breaker opens");
    let mut told = crowd.told().await;
    // There is no wait any more for those who come later, but for probes.
    let later = site.crowd(CALLS).told().await;

    let open = open.duration_since(began).unwrap();
    println!("silence: the breaker opened after {open:?}, `stall_after` is 1 s");
    let interrupted = failures(&told);
    assert_eq!(interrupted.len(), FLOWING / 4);
    for (kind, reason) in interrupted {
        assert_eq!(
            (kind, reason.as_str()),
            (Kind::Failing, "STREAM_INTERRUPTED")
        );
    }
    assert_eq!(failures(&later), []);
    told.extend(later);

    site.primary.set("primary", healthy());
    site.silence(false);
    site.recovers(&mut told).await;
    site.is_as_before(&told).await;
}

#[tokio::test]
async fn nothing_fails_that_is_merely_slow() {
    let timeouts = r#"{ stall_after = "30s", first_event = "40s", first_content = "50s" }"#;
    let site = Site::start(timeouts, healthy()).await;
    let slow = Faults {
        latency: Duration::from_millis(50),
        bandwidth: NonZeroU64::new(50_000),
        slow_close: Duration::from_millis(50),
        ..Faults::default()
    };
    site.proxy.set(Towards::Server, slow);
    site.proxy.set(
        Towards::Client,
        Faults {
            slice: NonZeroUsize::new(100),
            ..slow
        },
    );

    let told = site.crowd(CALLS).told().await;

    assert_eq!(failures(&told), []);
    assert_eq!(site.primary.requests().len(), CALLS);
    assert_eq!(site.gateway.simulator.requests_for("backup").len(), 0);
    let breaker = breaker(&site.gateway, "severed/primary").await;
    assert_eq!(breaker.window_failures, 0);
    site.is_as_before(&told).await;
}

#[tokio::test]
async fn calls_survive_that_the_network_is_cut_wherever_they_are() {
    const EARLIER: usize = 150;
    let mut site = Site::start("{}", Behaviour::default()).await;
    // Before the head, before the content, in the middle, and at the end of an answer.
    let places = [
        "hang",
        "silence",
        "role-only",
        "stall=20",
        "stall=100",
        "tokens=40",
    ]
    .map(|place| place.parse().unwrap())
    .map(|behaviour| Behaviour {
        tokens: WHOLE,
        ..behaviour
    });
    let script = places.iter().cycle().take(EARLIER).cloned();
    site.primary.script("primary", script);
    let mut crowd = site.crowd(EARLIER);
    site.primary.wait_for(|log| log.len() == EARLIER).await;
    let some = |streams: &Vec<usize>| streams.iter().any(|words| *words >= 20);
    crowd.has_heard(some).await;

    site.proxy.down(Cut::Reset).await;
    crowd.join(&site.gateway, "s", CALLS - EARLIER);
    let mut told = crowd.told().await;

    let interrupted = told.iter().filter(|told| reason(told).is_some());
    let interrupted: Vec<&Told> = interrupted.collect();
    assert!(!interrupted.is_empty());
    for told in interrupted {
        assert_eq!(told.kind, Kind::Failing);
        assert_interrupted(told);
    }
    let cut_off = site.crowd(CALLS).told().await;
    assert_eq!(failures(&cut_off), []);
    told.extend(cut_off);

    site.primary.set("primary", healthy());
    site.proxy.up().unwrap();
    site.recovers(&mut told).await;
    site.is_as_before(&told).await;
}
