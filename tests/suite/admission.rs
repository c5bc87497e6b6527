//! Who is let in when the service is full, and who is told to come back?

use std::time::Duration;

use modelway::grpc::v1::{ExplainPlanRequest, GenerateRequest, Priority};
use modelway::simulator::{Behaviour, Ending, Received};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tonic::Code;

use crate::support::{Details, Gateway, METHODS, ask, details, text_of};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(20);

/// Long enough on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

const MODEL: &str = r#"
[models."openai/model"]
[scenarios.only]
targets = ["openai/model"]
"#;

/// A service with these lines in `[admission]`.
async fn start(admission: &str) -> Gateway {
    Gateway::start(&format!("[admission]\n{admission}\n{MODEL}")).await
}

fn behave(gateway: &Gateway, behaviour: &str) {
    let behaviour = behaviour.parse::<Behaviour>().unwrap();
    gateway.simulator.set("model", behaviour);
}

fn ask_as(priority: Priority) -> GenerateRequest {
    GenerateRequest {
        priority: priority.into(),
        ..ask("only", "Hello")
    }
}

fn assert_overloaded(told: &Details) {
    assert_eq!(
        (told.code, told.reason.as_str()),
        (Code::Unavailable, "OVERLOADED")
    );
    let wait = told.retry_after.unwrap();
    assert!(wait >= Duration::from_millis(500) && wait <= Duration::from_millis(1500));
    assert_eq!(
        told.pushback.map(i64::unsigned_abs),
        Some(wait.as_millis() as u64)
    );
    assert_eq!(told.failure.as_ref().unwrap().attempts, []);
}

/// Waits until so many requests have come to the provider.
async fn arrived(gateway: &Gateway, count: usize) {
    let arrived = |log: &[Received]| log.len() == count;
    timeout(PROMPTLY, gateway.simulator.wait_for(arrived))
        .await
        .expect("the requests arrive");
}

#[tokio::test]
async fn a_stream_holds_its_place_until_it_ends() {
    let gateway = start("max_inflight = 1\nqueue = 0").await;
    behave(&gateway, "tokens=1000+gap=20ms");
    let request = ask("only", "Hello");
    let stream = gateway.generation().stream_generate(request).await.unwrap();
    let mut stream = stream.into_inner();
    stream.message().await.unwrap().unwrap();

    for method in METHODS {
        let refused = gateway
            .call(method, ask("only", "Hello"))
            .await
            .unwrap_err();
        assert_overloaded(&details(&refused));
    }
    assert_eq!(
        gateway.simulator.requests().len(),
        1,
        "nothing was sent for them"
    );

    drop(stream);
    let closed = |log: &[Received]| log[0].ending == Some(Ending::ClientClosed);
    timeout(PROMPTLY, gateway.simulator.wait_for(closed))
        .await
        .expect("the stream is closed");
    behave(&gateway, "tokens=2");
    timeout(PROMPTLY, async {
        while gateway.generate(ask("only", "Hello")).await.is_err() {}
    })
    .await
    .expect("its place is free");
}

#[tokio::test]
async fn a_plan_is_explained_where_a_call_would_be_let_in() {
    for admission in ["max_inflight = 1\nqueue = 0", "max_inflight_per_caller = 1"] {
        let gateway = start(admission).await;
        behave(&gateway, "tokens=1000+gap=20ms");
        let request = ask("only", "Hello");
        let stream = gateway.generation().stream_generate(request).await.unwrap();
        let mut stream = stream.into_inner();
        stream.message().await.unwrap().unwrap();
        let explained = || async {
            let request = ExplainPlanRequest {
                request: Some(ask("only", "Hello")),
            };
            gateway.operations().explain_plan(request).await
        };

        let refused = details(&explained().await.unwrap_err());
        drop(stream);
        let explained = timeout(PROMPTLY, async {
            while explained().await.is_err() {}
            explained().await
        });

        let told = ["OVERLOADED", "CALLER_RATE_LIMITED"];
        assert!(told.contains(&refused.reason.as_str()), "{refused:?}");
        let explained = explained.await.expect("the place is free");
        assert!(explained.unwrap().into_inner().targets[0].eligible);
    }
}

#[tokio::test]
async fn a_call_waits_for_the_end_of_another() {
    let gateway = start("max_inflight = 1\nmax_wait = \"1h\"").await;
    behave(&gateway, "tokens=3+gap=30ms");

    let calls = METHODS.map(|method| gateway.call(method, ask("only", "Hello")));
    let answers = futures_util::future::join_all(calls).await;

    for answer in answers {
        answer.unwrap();
    }
    let requests = gateway.simulator.requests();
    assert_eq!(requests.len(), 2);
    assert!(
        requests
            .iter()
            .all(|request| request.ending == Some(Ending::Completed))
    );
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_refused() {
    let gateway =
        start("max_inflight = 1\nmax_wait = \"20ms\"\nmax_wait_overloaded = \"1ms\"").await;
    behave(&gateway, "hang");
    let hung = gateway.generate(ask("only", "Hello"));
    tokio::pin!(hung);
    tokio::select! {
        outcome = &mut hung => panic!("{outcome:?}"),
        () = arrived(&gateway, 1) => {}
    }

    let refused = tokio::select! {
        outcome = &mut hung => panic!("{outcome:?}"),
        refused = gateway.generate(ask("only", "Hello")) => refused.unwrap_err(),
    };

    assert_overloaded(&details(&refused));
}

#[tokio::test]
async fn important_calls_are_answered_before_unimportant_ones() {
    let gateway = start("max_inflight = 1\nqueue = 2\nmax_wait = \"1h\"").await;
    behave(&gateway, "hang");
    let mut tasks = JoinSet::new();
    let mut call = |request: GenerateRequest, name: &'static str| {
        let mut client = gateway.generation();
        tasks.spawn(async move { (name, client.generate(request).await) })
    };
    let first = call(ask("only", "Hello"), "first");
    arrived(&gateway, 1).await;
    // Not both shadow calls and the others fit into the queue.
    call(ask_as(Priority::Shadow), "shadow");
    call(ask_as(Priority::Shadow), "shadow");
    call(ask_as(Priority::Critical), "critical");
    call(ask("only", "Hello"), "default");

    let mut ended = Vec::new();
    for _ in 0..2 {
        let (name, refused) = tasks.join_next().await.unwrap().unwrap();
        assert_overloaded(&details(&refused.unwrap_err()));
        ended.push(name);
    }
    behave(&gateway, "tokens=2");
    first.abort();
    while let Some(task) = tasks.join_next().await {
        let Ok((name, answer)) = task else {
            continue; // the first
        };
        answer.unwrap();
        ended.push(name);
    }

    assert_eq!(ended, ["shadow", "shadow", "critical", "default"]);
}

#[tokio::test]
async fn unimportant_calls_are_refused_while_the_processor_does_not_keep_up() {
    let gateway = start("[server]\nruntimes = 0").await;
    // The service runs on this thread, too, and has to wait for each of these turns.
    let busy = async {
        loop {
            let turn = Instant::now();
            while turn.elapsed() < Duration::from_millis(150) {}
            tokio::task::yield_now().await;
        }
    };

    let refused = async {
        loop {
            if let Err(refused) = gateway.generate(ask_as(Priority::Batch)).await {
                break refused;
            }
        }
    };
    let refused = tokio::select! {
        refused = timeout(PATIENCE, refused) => refused.expect("it is noticed"),
        () = busy => unreachable!(),
    };

    assert_overloaded(&details(&refused));
    gateway.generate(ask_as(Priority::Critical)).await.unwrap();
    gateway.generate(ask_as(Priority::Default)).await.unwrap();
    timeout(PATIENCE, async {
        while gateway.generate(ask_as(Priority::Batch)).await.is_err() {}
    })
    .await
    .expect("it is over");
}

#[tokio::test]
async fn one_caller_has_only_so_many_calls_open() {
    let gateway = start("max_inflight_per_caller = 1").await;
    behave(&gateway, "hang");
    let hung = gateway.generate(ask("only", "Hello"));
    tokio::pin!(hung);
    tokio::select! {
        outcome = &mut hung => panic!("{outcome:?}"),
        () = arrived(&gateway, 1) => {}
    }

    let refused = gateway.generate(ask("only", "Hello")).await.unwrap_err();

    let told = details(&refused);
    assert_eq!(told.code, Code::ResourceExhausted);
    assert_eq!(told.reason, "CALLER_RATE_LIMITED");
    assert_eq!(told.quota, ["the caller has too many calls open"]);
    assert_eq!(told.retry_after, Some(Duration::from_secs(1)));
    assert_eq!(told.pushback, Some(1000));
    assert_eq!(gateway.simulator.requests().len(), 1);
}

#[tokio::test]
async fn who_cancels_again_and_again_before_the_answer_is_refused_for_a_while() {
    for method in METHODS {
        let gateway = start("early_cancels = 3").await;
        behave(&gateway, "hang");
        for call in 1..=3 {
            tokio::select! {
                outcome = gateway.call(method, ask("only", "Hello")) => panic!("{outcome:?}"),
                () = arrived(&gateway, call) => {}
            }
        }
        let closed = |log: &[Received]| {
            let is_closed = |request: &Received| request.ending == Some(Ending::ClientClosed);
            log.iter().all(is_closed)
        };
        timeout(PROMPTLY, gateway.simulator.wait_for(closed))
            .await
            .expect("the calls are cancelled");

        let refused = gateway
            .call(method, ask("only", "Hello"))
            .await
            .unwrap_err();

        let told = details(&refused);
        assert_eq!(told.code, Code::ResourceExhausted);
        assert_eq!(told.reason, "CALLER_RATE_LIMITED");
        let quota = "the caller has cancelled too many calls before they were answered";
        assert_eq!(told.quota, [quota]);
        let wait = told.retry_after.unwrap();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(10));
        assert!(told.pushback.unwrap() >= 0);
        assert_eq!(gateway.simulator.requests().len(), 3);
    }
}

#[tokio::test]
async fn impatient_callers_behind_one_address_block_nobody() {
    const IMPATIENT: usize = 40;
    let gateway = start("").await;
    behave(&gateway, "hang");
    let mut impatient = JoinSet::new();
    for call in 1..=IMPATIENT {
        let mut client = gateway.generation();
        impatient.spawn(async move { client.generate(ask("only", "Hello")).await });
        arrived(&gateway, call).await;
    }
    impatient.shutdown().await;
    let closed = |log: &[Received]| log.iter().all(|request| request.ending.is_some());
    timeout(PROMPTLY, gateway.simulator.wait_for(closed))
        .await
        .expect("the calls are cancelled");

    behave(&gateway, "tokens=2");
    for method in METHODS {
        gateway.call(method, ask("only", "Hello")).await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_that_is_left_after_its_beginning_was_not_cancelled_early() {
    let gateway = start("early_cancels = 1").await;
    behave(&gateway, "tokens=1000+gap=20ms");

    for call in 1..=3 {
        let request = ask("only", "Hello");
        let stream = gateway.generation().stream_generate(request).await.unwrap();
        let mut stream = stream.into_inner();
        stream.message().await.unwrap().unwrap();
        drop(stream);
        let closed = |log: &[Received]| log[call - 1].ending == Some(Ending::ClientClosed);
        timeout(PROMPTLY, gateway.simulator.wait_for(closed))
            .await
            .expect("the stream is closed");
    }

    behave(&gateway, "tokens=2");
    let answer = gateway.generate(ask("only", "Hello")).await.unwrap();
    assert!(!text_of(&answer).is_empty());
}

/// Thousands of refusals on one connection end nothing: the calls that were let in go on, and the connection too.
#[tokio::test]
async fn those_who_are_refused_in_thousands_do_not_cost_their_connection_its_open_streams() {
    let gateway = start("max_inflight = 1\nqueue = 0").await;
    behave(&gateway, "tokens=10000+gap=20ms");
    let client = gateway.generation();
    let stream = client.clone().stream_generate(ask("only", "Hello")).await;
    let mut stream = stream.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();

    let mut callers = JoinSet::new();
    for _ in 0..64 {
        let mut client = client.clone();
        callers.spawn(async move {
            for _ in 0..20 {
                let long = "long ".repeat(5_000);
                let refused = client.generate(ask("only", &long)).await.unwrap_err();
                assert_eq!(details(&refused).reason, "OVERLOADED", "{refused:?}");
            }
        });
    }
    callers.join_all().await;
    stream.message().await.unwrap().unwrap();
}
