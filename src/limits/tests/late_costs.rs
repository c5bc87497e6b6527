//! Does a limit count a cost once that becomes known while the limit begins?

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::specimens::*;
use super::time::used_row;
use crate::identity::directory::Directory;
use crate::ledger::{Unpriced, UsedRow};
use crate::limits::book::{LimitBook, StoreLimits};
use crate::limits::*;

/// What was set aside for the only attempt, and what it costs, as becomes known later.
const SET_ASIDE: i64 = 20;
const COST: i64 = 30;

/// For so long a thread gets the chance to come in between. Where it cannot, this passes in vain.
const CHANCE: Duration = Duration::from_millis(200);

/// A thread that does something once, and says when it has.
struct Other(JoinHandle<()>, mpsc::Receiver<()>);

impl Other {
    fn does(what: impl FnOnce() + Send + 'static) -> Self {
        let (done, is_done) = mpsc::channel();
        let thread = thread::spawn(move || {
            what();
            let _ = done.send(());
        });
        Self(thread, is_done)
    }

    fn give_chance(&self) {
        let _ = self.1.recv_timeout(CHANCE);
    }
}

/// A book over a ledger with one attempt.
struct Played {
    book: LimitBook,
    is_known: Arc<AtomicBool>,
    now: Now,
    others: Mutex<Vec<Other>>,
}

fn row(now: Now, is_known: bool) -> UsedRow {
    UsedRow {
        unpriced: (!is_known).then_some(Unpriced {
            reserved_nanos: SET_ASIDE,
            is_wasted: false,
        }),
        ..used_row(
            &caller("indexer"),
            now.wall,
            if is_known { COST } else { 0 },
        )
    }
}

impl Played {
    /// `after_read` is done whenever the ledger has been read.
    fn new(after_read: impl Fn(&Arc<Self>) + Send + Sync + 'static) -> Arc<Self> {
        let now = Clocks::default().now();
        let is_known = Arc::<AtomicBool>::default();
        let known = Arc::clone(&is_known);
        Arc::new_cyclic(|played: &std::sync::Weak<Self>| {
            let played = played.clone();
            let used = move |_| {
                let row = row(now, known.load(Ordering::SeqCst));
                after_read(&played.upgrade().unwrap());
                Ok(PriorUse::of(vec![row], None))
            };
            Self {
                book: LimitBook::new(Limits::none(), Box::new(used)),
                is_known,
                now,
                others: Mutex::default(),
            }
        })
    }

    /// The cost becomes known; `written` is done when the ledger has it.
    fn correct(&self, written: impl FnOnce()) {
        let write = || {
            self.is_known.store(true, Ordering::SeqCst);
            written();
            Ok::<_, Infallible>(vec![LateCost {
                used: row(self.now, false),
                nanos: COST,
            }])
        };
        let Ok(()) = self.book.correct(write, &|| self.now);
    }

    fn put_limit(&self) {
        let record = LimitRecord {
            limit: money("day", 1_000),
            zone: None,
        };
        let store = StoreLimits {
            limits: vec![record],
            kept: LimitHistory::default(),
        };
        self.book
            .follow_store(store, &Directory::default(), self.now)
            .unwrap();
    }

    /// Lets another thread do this, which gets the chance to do it at once.
    fn meanwhile(self: &Arc<Self>, what: impl FnOnce(&Self) + Send + 'static) {
        let played = Arc::clone(self);
        let other = Other::does(move || what(&played));
        other.give_chance();
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.push(other);
    }

    /// What the limit has counted when all threads have ended.
    fn counted(&self) -> i64 {
        let others = std::mem::take(&mut *self.others.lock().unwrap());
        for Other(thread, _) in others {
            thread.join().unwrap();
        }
        only(self.book.limits(), self.now).used
    }
}

#[test]
fn a_cost_that_becomes_known_after_the_ledger_was_read_for_a_new_limit_is_not_lost() {
    let played = Played::new(|played| played.meanwhile(|played| played.correct(|| ())));

    played.put_limit();

    assert_eq!(played.counted(), COST);
}

#[test]
fn a_cost_that_becomes_known_before_the_ledger_is_read_for_a_new_limit_is_counted_once() {
    let played = Played::new(|_| ());

    played.correct(|| played.meanwhile(Played::put_limit));

    assert_eq!(played.counted(), COST);
}

#[test]
fn a_cost_that_becomes_known_while_limits_of_the_file_are_prepared_is_not_lost() {
    let played = Played::new(|_| ());
    let ground = LimitGround {
        limits: vec![money("day", 1_000)],
        ..LimitGround::default()
    };
    let directory = Directory::default();
    let book = &played.book;

    let prior = book.prepare_file(&ground, &directory, played.now).unwrap();
    played.meanwhile(|played| played.correct(|| ()));
    book.follow_file(ground, &directory, prior, played.now);

    assert_eq!(played.counted(), COST);
}
