use std::pin::{Pin, pin};

use futures_util::FutureExt as _;
use proptest::prelude::*;
use tokio::task::JoinSet;
use tokio::time::{advance, sleep};

use super::*;
use crate::error::CallerLimit;
use crate::meter::Counter;

const HOUR: Duration = Duration::from_secs(3600);

fn admission(settings: Settings) -> Arc<Admission> {
    Arc::new(Admission::new(settings))
}

fn of(max_inflight: usize, queue: usize) -> Arc<Admission> {
    admission(Settings {
        max_inflight,
        queue,
        ..Settings::default()
    })
}

/// Lets a call in whose deadline is far.
async fn admit(admission: &Arc<Admission>) -> Result<CallPermit, Error> {
    let deadline = Instant::now() + HOUR;
    admission
        .admit(Caller::Unknown, "", Priority::Default, deadline)
        .await
}

async fn admit_and_answer(admission: &Arc<Admission>) -> CallPermit {
    let mut permit = admit(admission).await.unwrap();
    permit.answered();
    permit
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_is_given_back_goes_to_a_waiting_call() {
    let admission = of(1, 1);
    let first = admit_and_answer(&admission).await;
    let mut tasks = JoinSet::new();
    let waiting = Arc::clone(&admission);
    tasks.spawn(async move { admit(&waiting).await.map(|mut permit| permit.answered()) });
    while admission.waiting() == 0 {
        tokio::task::yield_now().await;
    }

    drop(first);

    assert_eq!(tasks.join_next().await.unwrap().unwrap(), Ok(()));
    assert_eq!((admission.inflight(), admission.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_too_long_ends_with_advice() {
    let admission = of(1, 1);
    let _first = admit_and_answer(&admission).await;
    let began = Instant::now();

    let refused = admit(&admission).await.unwrap_err();

    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(500) && waited < Duration::from_millis(510));
    let Error::Overloaded { retry_after } = refused else {
        panic!("{refused}");
    };
    assert!(retry_after >= RETRY_AFTER / 2 && retry_after <= RETRY_AFTER * 3 / 2);
    assert_eq!(admission.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_callers_deadline() {
    let admission = admission(Settings {
        max_inflight: 1,
        min_time_left: Duration::from_millis(1),
        ..Settings::default()
    });
    let _first = admit_and_answer(&admission).await;
    let deadline = Instant::now() + Duration::from_millis(100);

    let refused = admission
        .admit(Caller::Unknown, "", Priority::Default, deadline)
        .await;

    assert_eq!(refused.unwrap_err(), Error::DeadlineExceeded);
    assert!(deadline.elapsed() < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn a_more_important_call_takes_the_place_in_a_full_queue() {
    let admission = of(1, 1);
    let first = admit_and_answer(&admission).await;
    let deadline = Instant::now() + HOUR;
    let mut unimportant =
        Box::pin(admission.admit(Caller::Unknown, "", Priority::Shadow, deadline));
    assert!((&mut unimportant).now_or_never().is_none());
    let mut important =
        Box::pin(admission.admit(Caller::Unknown, "", Priority::Critical, deadline));
    assert!((&mut important).now_or_never().is_none());

    let refused = unimportant.await.unwrap_err();
    drop(first);

    assert!(matches!(refused, Error::Overloaded { .. }));
    important.await.unwrap().answered();
}

#[tokio::test(start_paused = true)]
async fn only_calls_cancelled_between_admission_and_answer_count_as_cancelled_early() {
    let admission = admission(Settings {
        max_inflight: 1,
        early_cancels: 2,
        ..Settings::default()
    });
    for _ in 0..5 {
        drop(admit_and_answer(&admission).await);
    }
    for _ in 0..5 {
        let deadline = Instant::now() + DEADLINE_SLACK;
        let late = admission.admit(Caller::Unknown, "", Priority::Default, deadline);
        drop(late.await.unwrap());
    }
    let place = admit_and_answer(&admission).await;
    for _ in 0..5 {
        assert!(admit(&admission).now_or_never().is_none(), "left the queue");
    }
    drop(place);

    for _ in 0..2 {
        drop(admit(&admission).await.unwrap());
    }
    let refused = admit(&admission).await.unwrap_err();
    advance(Duration::from_secs(10)).await;
    let after = admit(&admission).await;

    let expected = Error::CallerRateLimited {
        limit: CallerLimit::EarlyCancellations,
        retry_after: Duration::from_secs(10),
    };
    assert_eq!(refused, expected);
    after.unwrap();
}

/// Lets so much time pass in steps; whatever is due within a step runs at its end.
async fn pass(mut watch: Pin<&mut impl Future<Output = ()>>, step: Duration, steps: u32) {
    for _ in 0..steps {
        assert!(watch.as_mut().now_or_never().is_none());
        advance(step).await;
    }
}

#[tokio::test(start_paused = true)]
async fn less_important_calls_are_refused_while_the_processors_do_not_keep_up() {
    let admission = of(10, 10);
    let deadline = Instant::now() + HOUR;
    let outcomes = || async {
        let mut refused = Vec::new();
        for priority in Priority::ALL {
            let admitted = admission
                .admit(Caller::Unknown, "", priority, deadline)
                .await;
            match admitted {
                Ok(mut permit) => permit.answered(),
                Err(Error::Overloaded { retry_after }) => {
                    assert!(retry_after >= RETRY_AFTER / 2, "{retry_after:?}");
                    refused.push(priority);
                }
                Err(error) => panic!("{error}"),
            }
        }
        refused
    };

    let (mut busy, mut idle) = (pin!(admission.watch()), pin!(admission.watch()));
    pass(busy.as_mut(), Duration::from_millis(10), 300).await;
    assert_eq!(outcomes().await, []);

    pass(busy.as_mut(), Duration::from_millis(100), 30).await;
    pass(idle.as_mut(), Duration::from_millis(10), 300).await;
    assert_eq!(
        outcomes().await,
        [Priority::Batch, Priority::Shadow],
        "one core is enough"
    );
    let of_cpu = |priority| refusals(&admission, priority);
    assert_eq!(of_cpu(Priority::Batch), [("cpu", 1)]);
    assert_eq!(of_cpu(Priority::Critical), []);
    assert_eq!((admission.inflight(), admission.waiting()), (0, 0));

    pass(busy.as_mut(), Duration::from_millis(10), 300).await;
    assert_eq!(outcomes().await, []);
}

#[tokio::test(start_paused = true)]
async fn how_late_the_processors_are_is_told_and_how_late_they_may_be_can_be_changed() {
    let admission = of(10, 10);
    let _call = admit_and_answer(&admission).await;
    let mut watch = pin!(admission.watch());

    // A task that is due every 10 ms runs every 40 ms.
    pass(watch.as_mut(), Duration::from_millis(40), 100).await;
    let told = admission.cpu_wait();
    assert!((25..40).contains(&told.as_millis()), "{told:?}");
    assert_eq!(admission.lock().congested, 0);

    admission.change(Settings {
        max_cpu_wait: Duration::from_millis(20),
        ..Settings::default()
    });
    pass(watch.as_mut(), Duration::from_millis(40), 100).await;
    assert_eq!(admission.lock().congested, 1);
}

#[tokio::test(start_paused = true)]
async fn other_limits_hold_at_once_for_calls_that_wait_and_for_callers() {
    let admission = of(1, 1);
    let _first = admit_and_answer(&admission).await;
    let mut waiting = Box::pin(admit(&admission));
    assert!((&mut waiting).now_or_never().is_none());
    let waits = |priority| admission.waiting_of(priority);
    assert_eq!((waits(Priority::Default), waits(Priority::Batch)), (1, 0));

    admission.change(Settings {
        max_inflight: 3,
        max_inflight_per_caller: 2,
        ..Settings::default()
    });

    let _second = waiting.now_or_never().expect("there is a place").unwrap();
    let third = admit(&admission).await.unwrap_err();
    assert!(
        matches!(third, Error::CallerRateLimited { .. }),
        "{third:?}"
    );
    assert_eq!((admission.limit(), admission.inflight()), (3, 2));
}

/// How many calls of this priority were refused, by each reason that there was.
fn refusals(admission: &Admission, priority: Priority) -> Vec<(&'static str, u64)> {
    let count = |why: WhyRefused| {
        let cell = admission
            .counts()
            .refused
            .at([priority as usize, why as usize]);
        (why.name(), cell.map_or(0, Counter::count))
    };
    let all = WhyRefused::ALL.map(count).into_iter();
    all.filter(|(_, count)| *count > 0).collect()
}

#[tokio::test(start_paused = true)]
async fn refusals_are_counted_by_their_reasons() {
    const LEAST: Duration = Duration::from_millis(20);
    let admission = admission(Settings {
        max_inflight: 1,
        queue: 1,
        min_time_left: LEAST,
        max_wait: Duration::from_millis(500),
        ..Settings::default()
    });
    let _first = admit_and_answer(&admission).await;
    let within = |time: Duration| {
        let deadline = Instant::now() + time;
        admission.admit(Caller::Unknown, "", Priority::Default, deadline)
    };
    let told = || refusals(&admission, Priority::Default);

    // Too little time for the queue, which is empty; then as much as it takes, in which nothing happens.
    assert!(within(LEAST - Duration::from_nanos(1)).await.is_err());
    assert_eq!(told(), [("no_time", 1)]);
    assert_eq!(within(LEAST).await.unwrap_err(), Error::DeadlineExceeded);
    assert_eq!(told(), [("no_time", 2)]);

    // A deadline at the end of the longest wait is a deadline.
    let at_the_end = within(Duration::from_millis(500)).await;
    assert_eq!(at_the_end.unwrap_err(), Error::DeadlineExceeded);
    assert_eq!(told(), [("no_time", 3)]);

    // A full queue, also for a call that has just as much time as it takes.
    let mut waiting = Box::pin(within(HOUR));
    assert!((&mut waiting).now_or_never().is_none());
    assert!(within(HOUR).await.is_err());
    assert!(within(LEAST).await.is_err());
    assert_eq!(told(), [("queue_full", 2), ("no_time", 3)]);

    assert!(waiting.await.is_err());
    assert_eq!(told(), [("queue_full", 2), ("waited", 1), ("no_time", 3)]);

    // Whoever loses a place in the queue to a more important call has waited for less than the longest wait.
    let mut waiting = Box::pin(within(HOUR));
    assert!((&mut waiting).now_or_never().is_none());
    let important = admission.admit(
        Caller::Unknown,
        "",
        Priority::Critical,
        Instant::now() + HOUR,
    );
    let mut important = Box::pin(important);
    assert!((&mut important).now_or_never().is_none());
    assert!(waiting.await.is_err());
    assert_eq!(told()[0], ("queue_full", 3));
    let waits = admission.counts().waits.at([Priority::Default as usize]);
    assert_eq!(waits.unwrap().totals().count(), 5);
}

/// What a call does: how long until it comes, how long it stays, and whether it gives up waiting.
#[derive(Clone, Debug)]
struct Visit {
    priority: usize,
    arrival: u64,
    stay: u64,
    patience: u64,
}

fn visits() -> impl Strategy<Value = Vec<Visit>> {
    let visit = (0..4usize, 0..800u64, 0..400u64, 0..700u64);
    let visit = visit.prop_map(|(priority, arrival, stay, patience)| Visit {
        priority,
        arrival,
        stay,
        patience,
    });
    prop::collection::vec(visit, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_permit_is_lost_whatever_callers_do(
        visits in visits(),
        max_inflight in 1usize..6,
        queue in 0usize..6,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let admission = admission(Settings {
                max_inflight,
                queue,
                early_cancels: 1000,
                ..Settings::default()
            });
            let mut tasks = JoinSet::new();
            for visit in visits {
                let admission = Arc::clone(&admission);
                tasks.spawn(async move {
                    sleep(Duration::from_millis(visit.arrival)).await;
                    let deadline = Instant::now() + HOUR;
                    let priority = Priority::ALL[visit.priority];
                    let admitted = admission.admit(Caller::Unknown, "", priority, deadline);
                    let patience = Duration::from_millis(visit.patience);
                    if let Ok(Ok(_permit)) = tokio::time::timeout(patience, admitted).await {
                        assert!(admission.inflight() <= max_inflight);
                        sleep(Duration::from_millis(visit.stay)).await;
                    }
                });
            }
            while let Some(ended) = tasks.join_next().await {
                ended.unwrap();
            }
            assert_eq!((admission.inflight(), admission.waiting()), (0, 0));
            let all: Vec<_> = (0..max_inflight).map(|_| admit(&admission).now_or_never()).collect();
            assert!(all.iter().all(|admitted| matches!(admitted, Some(Ok(_)))));
        });
    }
}
