//! Do counters of limits hold, however calls meet at them?

#[path = "../../src/limits/counter.rs"]
mod counter;
#[path = "../../src/limits/refill.rs"]
mod refill;
#[path = "../../src/limits/taking.rs"]
mod taking;
#[path = "../../src/limits/under_way.rs"]
mod under_way;
#[path = "../../src/limits/window_tally.rs"]
mod window_tally;

use std::sync::Arc;

use shuttle::thread;

use crate::sync::{AtomicUsize, Mutex, Ordering};

use self::counter::{CountedBy, CounterTime, Tallies};
use self::open_hold::OpenHold;
use self::taking::{Ask, lock, set_aside};
use self::under_way::OpenHolds;
use self::window_tally::{Terms, Use, WindowBounds};

/// What is under way need not be known to be kept.
mod open_hold {
    pub(super) struct OpenHold(pub(super) u64);
}

/// Counters of limits in the order of their ids, with the amounts of the limits.
type Counters = Arc<Vec<(Mutex<Tallies>, i64)>>;

fn counters<const COUNT: usize>(amounts: [i64; COUNT]) -> Counters {
    let counter = |amount| (Mutex::new(Tallies::new(CountedBy::Windows)), amount);
    Arc::new(amounts.into_iter().map(counter).collect())
}

/// Sets aside one in each of these counters, and uses it. Whether it could.
fn spend(counters: &Counters, which: &[usize]) -> bool {
    let asks: Vec<_> = which
        .iter()
        .map(|at| Ask {
            tallies: &counters[*at].0,
            amount: counters[*at].1,
            wanted: 1,
            is_hard: true,
        })
        .collect();
    let marks = set_aside(&asks, |_, tallies| {
        if tallies.needs_window(CounterTime::BEGIN) {
            tallies.begin_window(WindowBounds::ALWAYS);
        }
    });
    let Ok(marks) = marks else {
        return false;
    };
    for (ask, mark) in asks.iter().zip(marks) {
        thread::yield_now();
        let terms = Terms {
            amount: ask.amount,
            thresholds: &[],
        };
        let used = Use {
            amount: 1,
            is_estimated: false,
        };
        lock(ask.tallies).settle(terms, mark, 1, used);
    }
    true
}

fn join(threads: Vec<thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("it does not panic");
    }
}

/// Calls meet in overlapping counters: exactly as many go through as there is room for, and nothing stays set aside.
pub fn are_never_passed() {
    let counters = counters([2, 3]);
    let through = Arc::new(AtomicUsize::new(0));

    let mut threads = Vec::new();
    for which in [&[0, 1][..], &[0, 1], &[1], &[0, 1]] {
        let (counters, through) = (Arc::clone(&counters), Arc::clone(&through));
        threads.push(thread::spawn(move || {
            if spend(&counters, which) {
                through.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    join(threads);

    let standings: Vec<_> = counters
        .iter()
        .map(|(tallies, amount)| lock(tallies).standing(*amount))
        .collect();
    assert!(standings.iter().all(|standing| standing.reserved == 0));
    assert!(standings.iter().all(|standing| standing.used <= standing.amount));
    assert_eq!(standings[0].used, 2);
    assert_eq!(standings[1].used, through.load(Ordering::Relaxed) as i64);
    assert_eq!(through.load(Ordering::Relaxed), 3);
}

/// A call that is refused by its own counter takes nothing from another that both share.
pub fn refuse_nobody_for_what_is_given_back() {
    let counters = counters([2, 0]);

    let refused = {
        let counters = Arc::clone(&counters);
        thread::spawn(move || {
            for _ in 0..2 {
                assert!(!spend(&counters, &[0, 1]));
            }
        })
    };
    let mut threads = vec![refused];
    for _ in 0..2 {
        let counters = Arc::clone(&counters);
        threads.push(thread::spawn(move || assert!(spend(&counters, &[0]))));
    }
    join(threads);
}

/// A change of limits that is being prepared loses nothing that ends meanwhile when the preparation of another one ends.
pub fn keep_what_ends_while_they_change() {
    let under_way = Arc::new(OpenHolds::default());
    let hold = Arc::new(OpenHold(7));
    under_way.add(&hold);

    let other = {
        let under_way = Arc::clone(&under_way);
        thread::spawn(move || {
            under_way.keep();
            under_way.let_go();
        })
    };
    let this = {
        let under_way = Arc::clone(&under_way);
        thread::spawn(move || {
            under_way.keep();
            drop(hold);
            thread::yield_now();
            assert!(under_way.all().iter().any(|hold| hold.0 == 7));
            under_way.let_go();
        })
    };
    join(vec![other, this]);
    assert!(under_way.all().is_empty());
}
