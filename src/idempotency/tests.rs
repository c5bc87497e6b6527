use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::*;

fn key(name: &str) -> Key {
    Key {
        caller: Caller::Unknown,
        key: name.to_owned(),
    }
}

fn idempotency() -> Arc<Idempotency<&'static str>> {
    Arc::new(Idempotency::new(Settings::default()))
}

/// Finds the call `a` or begins it; it ends when `end` is sent, and leaves its key free if `keep` is not set.
fn place(
    idempotency: &Arc<Idempotency<&'static str>>,
    end: oneshot::Receiver<&'static str>,
    keep: bool,
) -> Place<&'static str> {
    let body = idempotency.fingerprint(b"body");
    idempotency.place(key("a"), body, || async move {
        Ending {
            outcome: end.await.unwrap_or("no end"),
            keep: keep.then_some(1),
        }
    })
}

fn underway(place: Place<&'static str>) -> Underway<&'static str> {
    match place {
        Place::First(underway) | Place::Repeat(underway) => underway,
        Place::Ended(outcome) => panic!("it has ended: {outcome}"),
        Place::Conflict => panic!("conflict"),
    }
}

fn is_first(place: &Place<&'static str>) -> bool {
    matches!(place, Place::First(_))
}

fn ended(text: &'static str) -> oneshot::Receiver<&'static str> {
    let (sender, receiver) = oneshot::channel();
    sender.send(text).unwrap();
    receiver
}

#[tokio::test]
async fn a_repeat_waits_for_the_first_and_later_ones_get_what_it_got() {
    let idempotency = idempotency();
    let (end, receiver) = oneshot::channel();
    let first = place(&idempotency, receiver, true);
    let repeat = place(&idempotency, ended("again"), true);
    assert!(is_first(&first) && !is_first(&repeat));

    end.send("once").unwrap();

    assert_eq!(underway(repeat).await, "once");
    assert_eq!(underway(first).await, "once");
    let later = place(&idempotency, ended("again"), true);
    assert!(matches!(later, Place::Ended("once")));
}

#[tokio::test]
async fn a_call_goes_on_without_the_caller_that_began_it() {
    let idempotency = idempotency();
    let (end, receiver) = oneshot::channel();
    let mut first = underway(place(&idempotency, receiver, true));
    assert!((&mut first).now_or_never().is_none(), "it drives the call");
    let repeat = underway(place(&idempotency, ended("again"), true));
    let mut tasks = JoinSet::new();
    tasks.spawn(repeat);
    tokio::task::yield_now().await;

    drop(first);
    end.send("once").unwrap();

    assert_eq!(tasks.join_next().await.unwrap().unwrap(), "once");
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_cancelled_and_its_key_is_free() {
    let idempotency = idempotency();
    let (mut end, receiver) = oneshot::channel();
    let mut first = underway(place(&idempotency, receiver, true));
    assert!((&mut first).now_or_never().is_none());
    let repeat = underway(place(&idempotency, ended("again"), true));

    drop(first);
    assert!(!end.is_closed(), "one waits still");
    drop(repeat);

    end.closed().await;
    let next = place(&idempotency, ended("again"), true);
    assert!(is_first(&next));
    assert_eq!(underway(next).await, "again");
}

#[tokio::test]
async fn an_outcome_that_is_not_to_be_kept_leaves_the_key_free() {
    let idempotency = idempotency();

    let first = underway(place(&idempotency, ended("refused"), false));
    assert_eq!(first.await, "refused");

    assert!(is_first(&place(&idempotency, ended("again"), true)));
}

#[tokio::test]
async fn another_body_under_the_same_key_is_a_conflict() {
    let idempotency = idempotency();
    let _first = place(&idempotency, ended("once"), true);

    let other = idempotency.fingerprint(b"other");
    let place = idempotency.place(key("a"), other, || async {
        Ending {
            outcome: "never",
            keep: None,
        }
    });

    assert!(matches!(place, Place::Conflict));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_callers_at_once_one_call_is_made() {
    let idempotency = idempotency();
    let made = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();

    for _ in 0..100 {
        let (idempotency, made) = (Arc::clone(&idempotency), Arc::clone(&made));
        tasks.spawn(async move {
            let body = idempotency.fingerprint(b"body");
            let place = idempotency.place(key("a"), body, || async move {
                made.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ending {
                    outcome: "once",
                    keep: Some(1),
                }
            });
            match place {
                Place::First(underway) | Place::Repeat(underway) => underway.await,
                Place::Ended(outcome) => outcome,
                Place::Conflict => "conflict",
            }
        });
    }

    while let Some(outcome) = tasks.join_next().await {
        assert_eq!(outcome.unwrap(), "once");
    }
    assert_eq!(made.load(Ordering::Relaxed), 1);
}
