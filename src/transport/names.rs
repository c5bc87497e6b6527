//! The addresses of a host, by its name: look-ups are shared, and few of them run at once.
//!
//! A look-up holds a thread until the name server has answered, and it cannot be cancelled. So every request that
//! needs the name waits for the look-up under way. Another one is started only if that is slow, since a query to
//! a name server may simply be lost.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

/// The most look-ups of one name at once.
const MAX_AT_ONCE: usize = 4;

/// Another look-up of a name is begun if the last one takes longer.
const SLOW: Duration = Duration::from_secs(1);

/// A name has no address, or no name server knows one.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NameError(Arc<io::Error>);

/// The addresses of a name, with a port of 0.
pub(super) type Addresses = Result<Vec<SocketAddr>, NameError>;

/// Looks names up for all cores. Cheap to clone.
#[derive(Clone)]
pub(super) struct Names(Arc<Shared>);

struct Shared {
    look_up: Box<LookUp>,
    hosts: Mutex<HashMap<Box<str>, LookedUpName>>,
}

/// Looks a name up; may hold its thread for long.
type LookUp = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// A name that is being looked up.
struct LookedUpName {
    running: usize,
    last_begun: Instant,
    waiting: Vec<oneshot::Sender<Addresses>>,
}

impl Names {
    /// With the system's resolver.
    pub(super) fn of_system() -> Self {
        Self::by(|name| (name, 0).to_socket_addrs().map(Iterator::collect))
    }

    /// With another resolver.
    pub(super) fn by(
        look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            look_up: Box::new(look_up),
            hosts: Mutex::default(),
        }))
    }

    /// The addresses of a host; never an empty list. Safe to cancel.
    ///
    /// # Errors
    /// [`NameError`].
    pub(super) async fn addresses(&self, name: &str) -> Addresses {
        let (who, mut found) = oneshot::channel();
        let mut look_again = self.wait(name, who);
        loop {
            tokio::select! {
                biased;
                found = &mut found => return found.unwrap_or_else(|_| Err(broken_off())),
                () = sleep_until(look_again) => look_again = self.look_up_if_due(name),
            }
        }
    }

    /// Adds a waiter for a name, and starts a look-up if none is under way. Returns when to start another one.
    fn wait(&self, name: &str, who: oneshot::Sender<Addresses>) -> Instant {
        {
            let mut hosts = self.hosts();
            let host = hosts.entry(name.into()).or_insert_with(|| LookedUpName {
                running: 0,
                last_begun: Instant::now(),
                waiting: Vec::new(),
            });
            host.waiting.retain(|who| !who.is_closed());
            host.waiting.push(who);
        }
        self.look_up_if_due(name)
    }

    fn look_up_if_due(&self, name: &str) -> Instant {
        let now = Instant::now();
        let mut hosts = self.hosts();
        let Some(host) = hosts.get_mut(name) else {
            // It has just been found.
            return now + SLOW;
        };
        let is_slow = now >= host.last_begun + SLOW;
        if host.running == 0 || (is_slow && host.running < MAX_AT_ONCE) {
            host.running += 1;
            host.last_begun = now;
            let mut running = Running {
                names: self.clone(),
                name: name.into(),
                found: None,
            };
            spawn_blocking(move || running.look_up());
        }
        now + SLOW
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<Box<str>, LookedUpName>> {
        self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

/// A look-up under way. If it is dropped before it has run, as when its runtime ends, it counts as failed.
struct Running {
    names: Names,
    name: Box<str>,
    found: Option<Addresses>,
}

impl Running {
    fn look_up(&mut self) {
        let found = (self.names.0.look_up)(&self.name);
        let found = found.and_then(|addresses| match addresses.is_empty() {
            true => Err(io::Error::other("the name has no address")),
            false => Ok(addresses),
        });
        self.found = Some(found.map_err(|error| NameError(Arc::new(error))));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let waiting = {
            let mut hosts = self.names.hosts();
            let Some(host) = hosts.get_mut(&self.name) else {
                return;
            };
            host.running -= 1;
            let waiting = std::mem::take(&mut host.waiting);
            if host.running == 0 {
                hosts.remove(&self.name);
            }
            waiting
        };
        let found = self.found.take().unwrap_or_else(|| Err(broken_off()));
        for who in waiting {
            // Sending fails if the waiter has gone.
            let _ = who.send(found.clone());
        }
    }
}

fn broken_off() -> NameError {
    NameError(Arc::new(io::Error::other("the look-up was broken off")))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use tokio::task::JoinSet;

    use super::*;

    const ADDRESS: &str = "127.0.0.1:0";

    /// A resolver whose look-ups each wait for a message, and the number of its look-ups.
    fn slow() -> (Names, mpsc::Sender<bool>, Arc<AtomicUsize>) {
        let (answer, answers) = mpsc::channel();
        let answers = Mutex::new(answers);
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let names = Names::by(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            match answers.lock().unwrap().recv() {
                Ok(true) => Ok(vec![ADDRESS.parse().unwrap()]),
                Ok(false) | Err(_) => Err(io::Error::other("not known")),
            }
        });
        (names, answer, count)
    }

    fn ask(names: &Names, count: usize) -> JoinSet<Addresses> {
        let mut asking = JoinSet::new();
        for _ in 0..count {
            let names = names.clone();
            asking.spawn(async move { names.addresses("host").await });
        }
        asking
    }

    async fn begun(count: &AtomicUsize, expected: usize) {
        while count.load(Ordering::SeqCst) < expected {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn all_who_want_a_name_share_one_look_up() {
        for is_known in [true, false] {
            let (names, answer, count) = slow();
            let asking = ask(&names, 100);
            while names
                .hosts()
                .get("host")
                .is_none_or(|host| host.waiting.len() < 100)
            {
                tokio::task::yield_now().await;
            }
            begun(&count, 1).await;

            answer.send(is_known).unwrap();

            for found in asking.join_all().await {
                match found {
                    Ok(addresses) => assert_eq!(addresses, [ADDRESS.parse().unwrap()]),
                    Err(error) => assert_eq!(error.to_string(), "not known"),
                }
            }
            assert_eq!(count.load(Ordering::SeqCst), 1);
            assert!(names.hosts().is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_server_that_hangs_holds_few_threads() {
        let (names, answer, count) = slow();
        let patient = ask(&names, 1);
        for second in 0..30 {
            // An impatient waiter leaves; others arrive.
            let impatient = ask(&names, 100);
            let expected = MAX_AT_ONCE.min(second + 1);
            begun(&count, expected).await;
            tokio::time::advance(SLOW).await;
            drop(impatient);
        }
        let running = names.hosts().get("host").map(|host| host.running);
        assert_eq!(running, Some(MAX_AT_ONCE));

        answer.send(true).unwrap();
        let found = patient.join_all().await;

        assert!(found[0].is_ok());
        drop(answer);
    }
}
