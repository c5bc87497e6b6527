//! Does a retry budget grant what was earned, however calls meet at it?

use std::sync::{Arc, Mutex};

use shuttle::thread;

use super::retry_budget::{RetryBudget, Settings};

fn budget(ratio: f64, burst: u32) -> Arc<RetryBudget> {
    Arc::new(RetryBudget::new(Settings { ratio, burst }))
}

fn join(threads: Vec<thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("it does not panic");
    }
}

/// While one token is out, successes fill the bucket to one below its burst.
pub fn keep_their_place() {
    let budget = budget(1.0, 2);
    assert!(budget.withdraw());
    budget.spend();

    let reserve = {
        let budget = Arc::clone(&budget);
        thread::spawn(move || assert!(budget.withdraw()))
    };
    let mut threads = vec![reserve];
    for _ in 0..2 {
        let budget = Arc::clone(&budget);
        threads.push(thread::spawn(move || budget.deposit()));
    }
    join(threads);

    assert!(budget.available() < 2, "the reserved one has its place");
}

/// What happened, in order. Locked without the scheduler's knowledge.
type History = Arc<Mutex<Vec<Event>>>;

#[derive(Clone, Copy, PartialEq)]
enum Event {
    SuccessBegins,
    SuccessEnds,
    Attempt,
}

/// On every interval, attempts are at most the burst and the successes that fall into it.
pub fn are_not_granted_twice() {
    const BURST: usize = 2;
    let budget = budget(1.0, BURST as u32);
    let history = History::default();

    let mut threads = Vec::new();
    for _ in 0..3 {
        let (budget, history) = (Arc::clone(&budget), Arc::clone(&history));
        let note = move |event| history.lock().expect("not poisoned").push(event);
        threads.push(thread::spawn(move || {
            for _ in 0..2 {
                if budget.withdraw() {
                    note(Event::Attempt);
                    budget.spend();
                }
                note(Event::SuccessBegins);
                budget.deposit();
                note(Event::SuccessEnds);
            }
        }));
    }
    join(threads);

    let history = history.lock().expect("not poisoned");
    for start in 0..history.len() {
        // Those under way at the start may still bring their token.
        let begun = count(&history[..start], Event::SuccessBegins);
        let mut successes = begun - count(&history[..start], Event::SuccessEnds);
        let mut attempts = 0;
        for event in &history[start..] {
            successes += usize::from(*event == Event::SuccessBegins);
            attempts += usize::from(*event == Event::Attempt);
            assert!(attempts <= BURST + successes);
        }
    }
}

fn count(history: &[Event], wanted: Event) -> usize {
    history.iter().filter(|event| **event == wanted).count()
}

/// A token is spent, given back or still there, and a full bucket is full again in the end.
pub fn are_not_lost() {
    const BURST: u32 = 3;
    let budget = budget(0.5, BURST);

    let mut threads = Vec::new();
    for number in 0..3 {
        let budget = Arc::clone(&budget);
        threads.push(thread::spawn(move || {
            if budget.withdraw() {
                thread::yield_now();
                match number {
                    0 => budget.spend(),
                    _ => budget.refund(),
                }
            }
        }));
    }
    join(threads);
    assert_eq!(budget.available(), BURST - 1);

    budget.deposit();
    budget.deposit();
    assert_eq!(budget.available(), BURST);
}
