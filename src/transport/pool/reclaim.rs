//! Closes unused connections when a new connection finds no free file.
//!
//! The limit on open files holds for the whole process, so every host on every core is looked at.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::locked::locked;

use super::book::Book;

/// While every connection is in use, a request that finds no free file waits this long: an answer that has just ended
/// leaves an unused connection within milliseconds.
const BECOMING_UNUSED: Duration = Duration::from_millis(100);

/// The interval between two searches for an unused connection meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The connections of all hosts on all cores. Cheap to clone.
#[derive(Debug)]
pub(in crate::transport) struct Reclaimer<L, W>(Arc<Shared<L, W>>);

/// Counts the connections that are closed.
#[derive(Debug)]
pub(in crate::transport) struct Closes(watch::Receiver<u64>);

/// The connections from one core to one host.
type HostBook<L, W> = Mutex<Book<L, W>>;

#[derive(Debug)]
struct Shared<L, W> {
    books: Mutex<Vec<Weak<HostBook<L, W>>>>,
    /// How many connections have been closed so far.
    closed: watch::Sender<u64>,
}

impl<L, W> Reclaimer<L, W> {
    /// Adds the connections to one host from one core.
    pub(super) fn watch(&self, book: &Arc<HostBook<L, W>>) {
        let mut books = locked(&self.0.books);
        books.retain(|book| book.strong_count() > 0);
        books.push(Arc::downgrade(book));
    }

    /// A connection has been closed, for whatever reason: its file is free.
    pub(super) fn closed(&self) {
        self.0.closed.send_modify(|closed| *closed += 1);
    }

    /// Counts the connections that are closed from now on. Call this before trying to open a file.
    pub(in crate::transport) fn closes(&self) -> Closes {
        Closes(self.0.closed.subscribe())
    }

    /// Waits until another connection has been closed; if none was since the last look, the one that has been
    /// unused for the longest time is closed. False if none becomes unused soon, or none was closed before the deadline.
    pub(in crate::transport) async fn free_a_file(
        &self,
        Closes(closed): &mut Closes,
        deadline: Instant,
    ) -> bool {
        let until = deadline.min(Instant::now() + BECOMING_UNUSED);
        // A file that is free already may have been too late for the last try.
        while !closed.has_changed().unwrap_or(false) && !self.close_one() {
            let now = Instant::now();
            if now >= until {
                // The last one to be closed may have ended in between.
                return closed.has_changed().unwrap_or(false);
            }
            let next_look = until.min(now + LOOK_AGAIN);
            if let Ok(changed) = timeout_at(next_look, closed.changed()).await {
                return changed.is_ok();
            }
        }
        let closed = timeout_at(deadline, closed.changed()).await;
        closed.is_ok_and(|changed| changed.is_ok())
    }

    /// Begins to close the connection that has been unused for the longest time. False if there is none,
    /// and none that is being closed already.
    fn close_one(&self) -> bool {
        let mut oldest = None;
        let mut is_closing = false;
        for weak in locked(&self.0.books).iter() {
            let Some(book) = weak.upgrade() else { continue };
            let guard = locked(&book);
            is_closing |= guard.is_closing();
            let unused = guard.unused_since();
            drop(guard);
            if let Some(since) = unused
                && oldest.as_ref().is_none_or(|(oldest, _)| since < *oldest)
            {
                oldest = Some((since, book));
            }
        }
        // Meanwhile a request may have taken it.
        let has_begun = oldest.is_some_and(|(_, book)| locked(&book).close_unused());
        has_begun || is_closing
    }
}

impl<L, W> Default for Reclaimer<L, W> {
    fn default() -> Self {
        Self(Arc::new(Shared {
            books: Mutex::default(),
            closed: watch::Sender::new(0),
        }))
    }
}

impl<L, W> Clone for Reclaimer<L, W> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::book::{ConnectionLimits, Id, NewConnection, Version};
    use super::super::liveness::Liveness;
    use super::*;

    type Numbers = Arc<Mutex<Book<(), u32>>>;

    fn host(reclaimer: &Reclaimer<(), u32>) -> Numbers {
        let rules = ConnectionLimits {
            streams: 1,
            idle: Duration::from_secs(90),
        };
        let book = Arc::new(Mutex::new(Book::new(rules, Some(Version::Http1))));
        reclaimer.watch(&book);
        book
    }

    fn connection(book: &Numbers) -> Id {
        let now = Instant::now();
        let mut book = locked(book);
        let waiting = book.wait(0, now);
        let id = book.begin(now)[0];
        book.withdraw(waiting);
        let made = NewConnection {
            version: Version::Http1,
            link: (),
            liveness: Liveness::new(now),
            retires: now + Duration::from_secs(300),
        };
        book.made(id, made, now);
        id
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_was_unused_for_longest_is_closed_whosever_it_is() {
        let reclaimer = Reclaimer::default();
        let (one, other) = (host(&reclaimer), host(&reclaimer));
        let mut made = Vec::new();
        for book in [&one, &other, &one] {
            made.push((Arc::clone(book), connection(book)));
            tokio::time::advance(Duration::from_secs(1)).await;
        }

        for (book, id) in made {
            assert!(locked(&book).link(id).is_some());
            let freed = async {
                let mut closes = reclaimer.closes();
                let (freed, ()) = tokio::join!(reclaimer.free_a_file(&mut closes, soon()), async {
                    assert!(locked(&book).link(id).is_none());
                    locked(&book).ended(id, Instant::now());
                    reclaimer.closed();
                });
                freed
            };
            assert!(freed.await);
        }
        assert!(
            !reclaimer.free_a_file(&mut reclaimer.closes(), soon()).await,
            "none is left"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_became_free_after_the_last_look_counts() {
        let reclaimer = Reclaimer::default();
        let book = host(&reclaimer);
        let id = connection(&book);
        let mut closes = reclaimer.closes();
        assert!(locked(&book).close_unused());
        locked(&book).ended(id, Instant::now());
        reclaimer.closed();

        assert!(reclaimer.free_a_file(&mut closes, soon()).await);
        assert!(!reclaimer.free_a_file(&mut closes, soon()).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_used_or_waited_for_is_kept() {
        let reclaimer = Reclaimer::default();
        let book = host(&reclaimer);
        let id = connection(&book);
        let now = Instant::now();
        assert_eq!(locked(&book).take(now), Some(id));
        assert!(!reclaimer.free_a_file(&mut reclaimer.closes(), soon()).await);

        locked(&book).wait(1, now);
        locked(&book).release(id, now);
        assert!(!reclaimer.free_a_file(&mut reclaimer.closes(), soon()).await);

        assert!(locked(&book).link(id).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_becomes_unused_soon_is_waited_for() {
        let reclaimer = Reclaimer::default();
        let book = host(&reclaimer);
        let id = connection(&book);
        assert_eq!(locked(&book).take(Instant::now()), Some(id));

        let mut closes = reclaimer.closes();
        let (freed, ()) = tokio::join!(reclaimer.free_a_file(&mut closes, soon()), async {
            tokio::time::sleep(BECOMING_UNUSED / 2).await;
            locked(&book).release(id, Instant::now());
            tokio::time::sleep(2 * LOOK_AGAIN).await;
            assert!(locked(&book).link(id).is_none());
            locked(&book).ended(id, Instant::now());
            reclaimer.closed();
        });

        assert!(freed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_being_closed_is_waited_for_until_the_deadline() {
        let reclaimer = Reclaimer::default();
        let book = host(&reclaimer);
        let id = connection(&book);
        assert!(locked(&book).close_unused());

        assert!(!reclaimer.free_a_file(&mut reclaimer.closes(), soon()).await);

        let mut closes = reclaimer.closes();
        let (freed, ()) = tokio::join!(reclaimer.free_a_file(&mut closes, soon()), async {
            locked(&book).ended(id, Instant::now());
            reclaimer.closed();
        });
        assert!(freed);
        assert!(
            !reclaimer.free_a_file(&mut reclaimer.closes(), soon()).await,
            "nothing is closing any more"
        );
    }
}
