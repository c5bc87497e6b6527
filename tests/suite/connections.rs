//! Connections to providers other than the simulator: how many, for how long, and what is lost when one ends.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use modelway::grpc::v1::GenerateResponse;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use crate::support::foreign::answer::{Manner, TEXT};
use crate::support::foreign::authority::{Authority, Purpose};
use crate::support::foreign::http1::{End, Http1};
use crate::support::foreign::http2::{Http2, Seen};
use crate::support::foreign::lowering::Lowering;
use crate::support::{Gateway, ask, details, lines, text_of, until};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(120);

/// Limits that no busy machine reaches while answers are held back.
const PATIENT: &str = "stall_after = '1m', first_event = '1m'";

/// A service on one runtime whose one target is at this URL.
async fn before(url: &str, transport: &str, provider: &str, timeouts: &str) -> Gateway {
    let config = format!(
        r#"
        [server]
        runtimes = 1
        predrain = "0s"
        [transport]
        {transport}
        [providers.foreign]
        wire_format = "openai_chat"
        base_url = "{url}/v1"
        auth = "none"
        {provider}
        [models."foreign/first"]
        timeouts = {{ {timeouts} }}
        [scenarios.one]
        targets = ["foreign/first"]
        retry = {{ ratio = 0, burst = 0 }}
        [scenarios.again]
        targets = ["foreign/first"]
        "#
    );
    Gateway::start(&config).await
}

async fn before_http2(provider: &Http2, timeouts: &str) -> Gateway {
    let url = format!("http://{}", provider.address);
    before(&url, "", "http = \"2\"", timeouts).await
}

/// So many calls at once, and what became of each.
async fn calls(gateway: &Gateway, count: usize) -> Vec<Result<GenerateResponse, Status>> {
    begin(gateway, count).join_all().await
}

fn begin(gateway: &Gateway, count: usize) -> JoinSet<Result<GenerateResponse, Status>> {
    let mut calls = JoinSet::new();
    for _ in 0..count {
        let mut client = gateway.generation();
        calls.spawn(async move {
            let response = client.generate(ask("one", "Hello")).await?;
            Ok(response.into_inner())
        });
    }
    calls
}

/// Each call was answered by its first attempt.
fn assert_answered(told: Vec<Result<GenerateResponse, Status>>) {
    for told in told {
        let response = told.unwrap_or_else(|status| panic!("{:?}", details(&status)));
        assert_eq!(text_of(&response), TEXT);
        let trail = ["1 PRIMARY foreign/first SUCCEEDED"];
        assert_eq!(lines(&response.attempts), trail);
    }
}

/// A call fails whose first attempt ends like this.
async fn assert_failed(gateway: &Gateway, reason: &str) {
    let failure = gateway.generate(ask("one", "Hello")).await.unwrap_err();
    let attempts = details(&failure).failure.unwrap().attempts;
    let expected = format!("1 PRIMARY foreign/first FAILED {reason}");
    assert_eq!(lines(&attempts)[0], expected);
}

#[tokio::test]
async fn more_calls_than_a_connection_takes_get_further_connections() {
    // What the host allows on a connection.
    for limit in [Some(100), Some(10), Some(1), None] {
        let provider = Http2::start(limit, None).await;
        let gateway = before_http2(&provider, PATIENT).await;
        provider.hold(true);

        let began = Instant::now();
        let told = begin(&gateway, 160);
        let arrived = || {
            provider
                .seen()
                .iter()
                .map(|seen| seen.requests)
                .sum::<usize>()
        };
        settle(|| arrived() >= 160).await;
        let slow = slow_connections(began.elapsed());
        provider.hold(false);
        assert_answered(told.join_all().await);

        let seen = provider.seen();
        let most = usize::try_from(limit.unwrap_or(64)).unwrap().min(64);
        assert!(seen.iter().all(|seen| seen.most_open <= most), "{seen:?}");
        let fewest = 160_usize.div_ceil(most);
        let spare = 1 + fewest / 10;
        let most = fewest + spare + slow;
        assert!((fewest..=most).contains(&seen.len()), "{seen:?}");
        assert_answered(calls(&gateway, 160).await);
    }
}

#[tokio::test]
async fn a_connection_whose_limit_is_lowered_gets_no_request_beyond_it() {
    let provider = Lowering::start(100).await;
    let url = format!("http://{}", provider.address);
    let gateway = before(&url, "", "http = \"2\"", PATIENT).await;
    let requests = || -> usize { provider.seen().iter().map(|seen| seen.requests).sum() };
    provider.hold(true);
    let many = begin(&gateway, 10);
    settle(|| requests() == 10).await;
    assert_eq!(provider.seen().len(), 1);

    provider.allow(2);
    settle(|| provider.seen()[0].limit == 2).await;
    let more = begin(&gateway, 10);
    settle(|| requests() == 20).await;

    let seen = provider.seen();
    assert_eq!(seen[0].requests, 10, "all of them came before: {seen:?}");
    assert!(seen[1..].iter().all(|seen| seen.most_open <= 2), "{seen:?}");
    provider.hold(false);
    assert_answered(many.join_all().await);
    assert_answered(more.join_all().await);
    // The first connection goes on, within the limit.
    assert_answered(calls(&gateway, 20).await);
    let seen = provider.seen();
    assert!(seen.iter().all(|seen| seen.most_open <= 2), "{seen:?}");
}

#[tokio::test]
async fn the_wait_for_a_connection_of_ours_is_not_the_providers_silence() {
    // Each answer takes a good part of the time in which the provider may be silent.
    let provider = Http2::start(Some(1), None).await;
    let timeouts = "stall_after = '4s', first_event = '5s'";
    let gateway = before_http2(&provider, timeouts).await;
    provider.set(Manner {
        first: Duration::from_millis(1500),
        ..Manner::default()
    });

    assert_answered(calls(&gateway, 100).await);
    assert_answered(calls(&gateway, 100).await);
}

#[tokio::test]
async fn three_hundred_cold_calls_share_a_few_tls_connections() {
    let authority = Authority::new();
    let ca_file = format!("ca_file = {:?}", authority.file());
    let tls = authority.server(Purpose::Server, &["h2", "http/1.1"]);
    let provider = Http2::start(Some(100), Some(tls)).await;
    let url = format!("https://{}", provider.address);
    let gateway = before(&url, &ca_file, "", PATIENT).await;
    provider.hold(true);

    let began = Instant::now();
    let told = begin(&gateway, 300);
    let arrived = || -> usize { provider.seen().iter().map(|seen| seen.requests).sum() };
    settle(|| arrived() == 300).await;
    let slow = slow_connections(began.elapsed());
    provider.hold(false);
    assert_answered(told.join_all().await);

    let seen = provider.seen();
    assert!((5..=7 + slow).contains(&seen.len()), "{seen:?}");
    assert!(seen.iter().all(|seen| seen.most_open <= 64), "{seen:?}");
}

#[tokio::test]
async fn cold_calls_over_http1_throw_no_connection_away() {
    let manner = Manner {
        first: Duration::from_millis(500),
        ..Manner::default()
    };
    let provider = Http1::start(manner, End::Chunked, None).await;
    let url = format!("http://{}", provider.address);
    let gateway = before(&url, "", "", PATIENT).await;

    assert_answered(calls(&gateway, 300).await);
    let made = provider.connections();
    assert_answered(calls(&gateway, made).await);

    assert!(made <= 300);
    assert_eq!(provider.connections(), made, "all of them are used again");
}

#[tokio::test]
async fn a_stream_that_is_refused_is_asked_for_again_in_an_attempt_of_its_own() {
    let provider = Http2::start(Some(100), None).await;
    let gateway = before_http2(&provider, "").await;
    assert_answered(calls(&gateway, 1).await);

    provider.refuse(1);
    let response = gateway.generate(ask("again", "Hello")).await.unwrap();

    let trail = [
        "1 PRIMARY foreign/first FAILED PROVIDER_UNREACHABLE",
        "2 RETRY foreign/first SUCCEEDED",
    ];
    assert_eq!(lines(&response.attempts), trail);
    assert_eq!(provider.seen().len(), 1, "the connection goes on");
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_replaced() {
    for under_way in [0, 60] {
        let back = silent_for(under_way).await;

        println!("with {under_way} calls on it, a silent connection was replaced after {back:?}");
        assert!(back < Duration::from_secs(15), "{back:?}");
    }
}

/// How long no call is answered when a connection freezes on which so many are under way.
async fn silent_for(under_way: usize) -> Duration {
    let provider = Http2::start(Some(100), None).await;
    let gateway = before_http2(&provider, "").await;
    assert_answered(calls(&gateway, 5).await);
    provider.hold(true);
    let _under_way = begin(&gateway, under_way);
    settle(|| provider.seen()[0].requests == 5 + under_way).await;

    provider.freeze();
    provider.hold(false);
    let began = Instant::now();
    let mut waiting = JoinSet::new();
    loop {
        // A call each 250 ms, none of which waits for another.
        waiting.spawn({
            let mut client = gateway.generation();
            async move { client.generate(ask("one", "Hello")).await.is_ok() }
        });
        let one_answers = async {
            while let Some(answered) = waiting.join_next().await {
                if answered.unwrap() {
                    return;
                }
            }
            pending().await
        };
        if timeout(Duration::from_millis(250), one_answers)
            .await
            .is_ok()
        {
            return began.elapsed();
        }
        assert!(began.elapsed() < PROMPTLY);
    }
}

#[tokio::test]
async fn calls_on_a_connection_that_has_frozen_are_answered_on_another_one_before_their_limit() {
    let provider = Http2::start(Some(100), None).await;
    let gateway = before_http2(&provider, "first_event = '60s', first_content = '2m'").await;
    assert_answered(calls(&gateway, 5).await);
    provider.hold(true);
    // Fewer than the silence of which would open the breaker.
    let waiting = (0..4).map(|_| {
        let mut client = gateway.generation();
        async move { client.generate(ask("again", "Hello")).await }
    });
    let mut waiting: JoinSet<_> = waiting.collect();
    settle(|| provider.seen()[0].requests == 9).await;

    provider.freeze();
    provider.hold(false);
    let began = Instant::now();
    while let Some(answer) = waiting.join_next().await {
        let trail = lines(&answer.unwrap().unwrap().into_inner().attempts);
        let expected = [
            "1 PRIMARY foreign/first FAILED PROVIDER_UNREACHABLE",
            "2 RETRY foreign/first SUCCEEDED",
        ];
        assert_eq!(trail, expected);
    }

    // A second until the ping, and four until it is clear that no answer to it comes; the limit is a minute.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[tokio::test]
async fn a_connection_on_which_an_answer_did_not_come_is_not_used_again() {
    let timeouts = "first_event = '2s'";
    let provider = Http2::start(Some(100), None).await;
    let gateway = before_http2(&provider, timeouts).await;
    assert_answered(calls(&gateway, 5).await);
    provider.freeze();

    assert_failed(&gateway, "PROVIDER_TIMEOUT").await;

    assert_answered(calls(&gateway, 1).await);

    let provider = Http1::start(Manner::default(), End::Chunked, None).await;
    let url = format!("http://{}", provider.address);
    let gateway = before(&url, "", "", timeouts).await;
    assert_answered(calls(&gateway, 5).await);
    provider.freeze();

    assert_failed(&gateway, "PROVIDER_TIMEOUT").await;

    assert_answered(calls(&gateway, 5).await);
}

#[tokio::test]
async fn a_late_end_is_waited_for_and_the_connection_used_again() {
    let manner = Manner {
        late_end: Duration::from_millis(20),
        chatter: 1000,
        ..Manner::default()
    };
    let provider = Http2::start(Some(100), None).await;
    provider.set(manner);
    let gateway = before_http2(&provider, "").await;
    for _ in 0..50 {
        assert_answered(calls(&gateway, 1).await);
    }
    // Each stream has ended, by itself or by a reset.
    settle(|| {
        let seen = provider.seen();
        let asked: usize = seen.iter().map(|seen| seen.requests).sum();
        asked == 50 && seen.iter().all(|seen| seen.open == 0)
    })
    .await;
    let seen = provider.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].resets, 0, "{seen:?}");

    let provider = Http1::start(manner, End::Chunked, None).await;
    let url = format!("http://{}", provider.address);
    let gateway = before(&url, "", "", "").await;
    for call in 1..=50 {
        assert_answered(calls(&gateway, 1).await);
        settle(|| provider.answered() == call).await;
    }
    // A call may come before the end of the one before has been read.
    assert!(provider.connections() <= 5, "{}", provider.connections());
    assert_eq!(provider.requests(), 50);
}

#[tokio::test]
async fn an_end_that_comes_too_late_or_after_too_much_is_not_waited_for() {
    for manner in [
        Manner {
            late_end: Duration::from_secs(1000),
            ..Manner::default()
        },
        Manner {
            chatter: 1 << 20,
            ..Manner::default()
        },
    ] {
        let provider = Http2::start(Some(100), None).await;
        provider.set(manner);
        let gateway = before_http2(&provider, "").await;

        assert_answered(calls(&gateway, 3).await);

        let resets = || provider.seen()[0].resets;
        if manner.late_end > PROMPTLY {
            settle(|| resets() == 3).await;
        }
        provider.set(Manner::default());
        assert_answered(calls(&gateway, 3).await);
        assert_eq!(provider.seen().len(), 1, "the connection goes on");
    }
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_is_an_answer() {
    let provider = Http1::start(Manner::default(), End::Close, None).await;
    let url = format!("http://{}", provider.address);
    let gateway = before(&url, "", "", "").await;

    for _ in 0..5 {
        assert_answered(calls(&gateway, 10).await);
    }
}

#[tokio::test]
async fn a_host_that_closes_unused_connections_early_loses_no_call() {
    let keeps = Some(Duration::from_secs(1));
    let provider = Http1::start(Manner::default(), End::Chunked, keeps).await;
    let url = format!("http://{}", provider.address);
    let gateway = before(&url, "", "", "").await;

    for _ in 0..4 {
        assert_answered(calls(&gateway, 1).await);
        // The host closes at one second: calls are to meet that moment, which no condition can announce.
        sleep(Duration::from_millis(995)).await;
    }
}

#[tokio::test]
async fn a_host_that_goes_away_loses_no_call() {
    let provider = Http2::start(Some(100), None).await;
    let gateway = before_http2(&provider, "").await;
    assert_answered(calls(&gateway, 1).await);
    provider.hold(true);
    let open = begin(&gateway, 20);
    settle(|| provider.seen()[0].requests == 21).await;

    provider.go_away();
    let later = begin(&gateway, 20);
    settle(|| provider.seen().get(1).is_some_and(|seen| seen.requests > 0)).await;
    provider.hold(false);

    assert_answered(open.join_all().await);
    for told in later.join_all().await {
        // The provider did not process what was sent before its GOAWAY arrived, so that is sent again.
        assert_eq!(text_of(&told.unwrap()), TEXT);
    }
}

#[tokio::test]
async fn a_host_that_goes_away_on_all_its_connections_loses_no_call() {
    let provider = Http2::start(Some(10), None).await;
    let gateway = before_http2(&provider, "").await;
    provider.hold(true);
    let sum = |of: fn(&Seen) -> usize| provider.seen().iter().map(of).sum::<usize>();
    let open: Vec<_> = (0..60).map(|_| begin(&gateway, 1)).collect();
    settle(|| sum(|seen| seen.requests) == 60).await;
    // Every connection is in use and has a free stream.
    let open: Vec<_> = open.into_iter().step_by(3).collect();
    settle(|| sum(|seen| seen.resets) == 40).await;
    let connections = provider.seen().len();
    assert!(connections >= 6);

    provider.go_away();
    settle(|| provider.seen().iter().all(|seen| seen.has_left)).await;
    let later = begin(&gateway, 1);
    settle(|| provider.seen().len() > connections).await;
    provider.hold(false);

    for calls in open {
        assert_answered(calls.join_all().await);
    }
    assert_answered(later.join_all().await);
}

#[tokio::test]
async fn a_connection_retires_with_its_age() {
    let provider = Http2::start(Some(100), None).await;
    let url = format!("http://{}", provider.address);
    let gateway = before(&url, "connection_age = \"500ms\"", "http = \"2\"", "").await;
    provider.hold(true);
    let open = begin(&gateway, 1);
    settle(|| provider.seen().len() == 1 && provider.seen()[0].requests == 1).await;

    let mut new = Vec::new();
    let mut looks = 0..;
    settle(|| {
        // So few calls that the connection has streams for all of them.
        if looks.next().is_some_and(|look| look % 10 == 0) {
            new.push(begin(&gateway, 1));
        }
        provider.seen().len() == 2
    })
    .await;
    provider.hold(false);

    assert_answered(open.join_all().await);
    for calls in new {
        assert_answered(calls.join_all().await);
    }
}

#[tokio::test]
async fn a_host_that_gets_no_more_requests_gets_no_further_connection() {
    let provider = Http2::start(Some(100), None).await;
    let url = format!("http://{}", provider.address);
    let gateway = before(&url, "idle_timeout = \"200ms\"", "http = \"2\"", "").await;
    assert_answered(calls(&gateway, 1).await);

    settle(|| provider.seen()[0].has_left).await;

    assert_eq!(provider.seen().len(), 1);
    assert_answered(calls(&gateway, 1).await);
    assert_eq!(provider.seen().len(), 2);
}

#[tokio::test]
async fn a_provider_is_asked_in_the_version_that_is_set() {
    let authority = Arc::new(Authority::new());
    let ca_file = format!("ca_file = {:?}", authority.file());
    let tls = authority.server(Purpose::Server, &["h2"]);
    let two = Http2::start(None, Some(tls)).await;
    let url = format!("https://{}", two.address);

    for http in ["", "http = \"auto\"", "http = \"2\""] {
        let gateway = before(&url, &ca_file, http, "").await;
        assert_answered(calls(&gateway, 2).await);
    }
    let gateway = before(&url, &ca_file, "http = \"1.1\"", "").await;
    assert_failed(&gateway, "PROVIDER_UNREACHABLE").await;
}

/// How many more connections may be begun in so much time because those before them are slow, as on a busy machine: one
/// in half a second.
fn slow_connections(time: Duration) -> usize {
    usize::try_from(time.as_millis() / 500).unwrap()
}

/// Waits until it is so.
async fn settle(mut is_so: impl FnMut() -> bool) {
    until("the connections are as expected", async || is_so()).await;
}
