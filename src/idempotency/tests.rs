use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::*;

type Outcome = &'static str;

fn key(name: &str) -> Key {
    Key {
        caller: Caller::Unknown,
        key: name.to_owned(),
    }
}

fn idempotency() -> Arc<Idempotency<Arc<str>, Outcome>> {
    Arc::new(Idempotency::new(Settings::default()))
}

fn find(
    idempotency: &Arc<Idempotency<Arc<str>, Outcome>>,
) -> Result<KnownCall<Arc<str>, Outcome>, Conflict> {
    let body = idempotency.fingerprint(b"body");
    idempotency.find(key("a"), body, "request".into())
}

fn open(idempotency: &Arc<Idempotency<Arc<str>, Outcome>>) -> Arc<SharedCall<Arc<str>, Outcome>> {
    match find(idempotency) {
        Ok(KnownCall::Open(call)) => call,
        Ok(KnownCall::Ended(outcome)) => panic!("it has ended: {outcome}"),
        Err(Conflict) => panic!("conflict"),
    }
}

/// Finds the call `a` and takes part in it; it ends when `end` is sent, and leaves its key free if `keep`
/// is not set.
fn part(
    idempotency: &Arc<Idempotency<Arc<str>, Outcome>>,
    end: oneshot::Receiver<Outcome>,
    keep: bool,
) -> Participation<(), Outcome> {
    open(idempotency).take_part((), |()| async move {
        Concluded {
            outcome: end.await.unwrap_or("no end"),
            keep: keep.then_some(1),
        }
    })
}

fn underway(part: Participation<(), Outcome>) -> Underway<Outcome> {
    match part {
        Participation::First(underway) | Participation::Repeat((), underway) => underway,
        Participation::Ended((), outcome) => panic!("it has ended: {outcome}"),
    }
}

fn is_first(part: &Participation<(), Outcome>) -> bool {
    matches!(part, Participation::First(_))
}

fn ended(text: Outcome) -> oneshot::Receiver<Outcome> {
    let (sender, receiver) = oneshot::channel();
    sender.send(text).unwrap();
    receiver
}

#[tokio::test]
async fn a_repeat_waits_for_the_first_call_and_later_ones_get_the_same_outcome() {
    let idempotency = idempotency();
    let (end, receiver) = oneshot::channel();
    let first = part(&idempotency, receiver, true);
    let repeat = part(&idempotency, ended("again"), true);
    assert!(is_first(&first) && !is_first(&repeat));

    end.send("once").unwrap();

    assert_eq!(underway(repeat).await, "once");
    assert_eq!(underway(first).await, "once");
    assert!(matches!(find(&idempotency), Ok(KnownCall::Ended("once"))));
}

#[tokio::test]
async fn all_repeats_of_a_call_share_one_request() {
    let idempotency = idempotency();
    let first = open(&idempotency);
    let request = Arc::downgrade(first.request());

    let repeats: Vec<_> = (0..100).map(|_| open(&idempotency)).collect();
    drop(first);

    for repeat in &repeats {
        assert!(std::ptr::eq(
            Arc::as_ptr(repeat.request()),
            request.as_ptr()
        ));
    }
    drop(repeats);
    assert!(
        request.upgrade().is_none(),
        "nothing is kept without callers, and the key is free"
    );
}

#[tokio::test]
async fn the_first_caller_that_is_admitted_makes_the_call_that_all_wait_for() {
    let idempotency = idempotency();
    let waits_for_a_place = open(&idempotency);

    let let_in = part(&idempotency, ended("once"), true);

    assert!(is_first(&let_in));
    assert_eq!(underway(let_in).await, "once");
    let part = waits_for_a_place.take_part((), |()| async { unreachable!() });
    assert!(matches!(part, Participation::Ended((), "once")));
}

#[tokio::test]
async fn a_call_goes_on_without_the_caller_that_began_it() {
    let idempotency = idempotency();
    let (end, receiver) = oneshot::channel();
    let mut first = underway(part(&idempotency, receiver, true));
    assert!((&mut first).now_or_never().is_none(), "it drives the call");
    let repeat = underway(part(&idempotency, ended("again"), true));
    let mut tasks = JoinSet::new();
    tasks.spawn(repeat);
    tokio::task::yield_now().await;

    drop(first);
    end.send("once").unwrap();

    assert_eq!(tasks.join_next().await.unwrap().unwrap(), "once");
}

#[tokio::test]
async fn a_call_that_no_caller_waits_for_is_cancelled_and_its_key_is_free() {
    let idempotency = idempotency();
    let (mut end, receiver) = oneshot::channel();
    let mut first = underway(part(&idempotency, receiver, true));
    assert!((&mut first).now_or_never().is_none());
    let repeat = underway(part(&idempotency, ended("again"), true));

    drop(first);
    assert!(!end.is_closed(), "one waits still");
    drop(repeat);

    end.closed().await;
    let next = part(&idempotency, ended("again"), true);
    assert!(is_first(&next));
    assert_eq!(underway(next).await, "again");
}

#[tokio::test]
async fn a_call_whose_first_caller_left_is_made_again_by_another_that_still_waits() {
    let idempotency = idempotency();
    let (_end, receiver) = oneshot::channel();
    let first = underway(part(&idempotency, receiver, true));
    let waits_for_a_place = open(&idempotency);

    drop(first);

    let part = waits_for_a_place.take_part((), |()| async {
        Concluded {
            outcome: "again",
            keep: Some(1),
        }
    });
    assert!(is_first(&part));
    assert_eq!(underway(part).await, "again");
}

#[tokio::test]
async fn an_outcome_that_is_not_to_be_kept_leaves_the_key_free() {
    let idempotency = idempotency();
    let waits_for_a_place = open(&idempotency);

    let first = underway(part(&idempotency, ended("refused"), false));
    assert_eq!(first.await, "refused");

    assert!(is_first(&part(&idempotency, ended("again"), true)));
    drop(waits_for_a_place);
}

#[tokio::test]
async fn another_body_under_the_same_key_is_a_conflict() {
    let idempotency = idempotency();
    let _first = open(&idempotency);

    let other = idempotency.fingerprint(b"other");
    let found = idempotency.find(key("a"), other, "request".into());

    assert!(matches!(found, Err(Conflict)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_at_once_make_one_call() {
    let idempotency = idempotency();
    let made = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();

    for _ in 0..100 {
        let (idempotency, made) = (Arc::clone(&idempotency), Arc::clone(&made));
        tasks.spawn(async move {
            let call = match find(&idempotency) {
                Ok(KnownCall::Open(call)) => call,
                Ok(KnownCall::Ended(outcome)) => return outcome,
                Err(Conflict) => return "conflict",
            };
            let part = call.take_part((), |()| async move {
                made.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Concluded {
                    outcome: "once",
                    keep: Some(1),
                }
            });
            match part {
                Participation::First(underway) | Participation::Repeat((), underway) => {
                    underway.await
                }
                Participation::Ended((), outcome) => outcome,
            }
        });
    }

    while let Some(outcome) = tasks.join_next().await {
        assert_eq!(outcome.unwrap(), "once");
    }
    assert_eq!(made.load(Ordering::Relaxed), 1);
}
