//! Which requests reached the simulator, in which order, and how did each response end?

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use tokio::sync::watch;

use super::WireName;
use super::behaviour::Behaviour;

/// One request that reached the simulator.
#[derive(Clone, Debug)]
pub struct Received {
    /// Place in the order of arrival, from 0.
    pub number: u64,
    /// The wire format of its path; `None` if the path belongs to none.
    pub wire: Option<WireName>,
    /// The model's name as sent; empty if it has none.
    pub model: String,
    /// Path and query.
    pub path: String,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// All headers, credentials included.
    pub headers: HeaderMap,
    /// The body as it was sent.
    pub body: Bytes,
    /// How the model behaved.
    pub behaviour: Arc<Behaviour>,
    /// Whether the request suffers the behaviour's fault, or is refused for a mistake of its own.
    pub faulty: bool,
    /// The tokens that are charged for if the answer is read to its end; `None` if the request is refused.
    pub counted: Option<Counted>,
    /// How the response ended; `None` while it has not.
    pub ending: Option<Ending>,
}

/// The tokens of a request and of its whole answer, as a provider counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Of the prompt.
    pub input: u64,
    /// Of the answer, reasoning included.
    pub output: u64,
}

impl Received {
    /// The body as JSON, null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A header's value, if it is there and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// How a response ended, seen from the simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was written to its end as a provider should.
    Completed,
    /// It was written to its end, but the end or something before it was a fault.
    Faulted,
    /// The client closed the request before that.
    ClientClosed,
    /// The simulator was paused or dropped before that.
    Stopped,
}

/// The last requests. Keeps nothing if its capacity is 0.
#[derive(Debug)]
pub(super) struct Log {
    capacity: usize,
    next: AtomicU64,
    entries: Mutex<VecDeque<Received>>,
    changes: watch::Sender<()>,
    stopped: AtomicBool,
}

impl Log {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            next: AtomicU64::new(0),
            entries: Mutex::new(VecDeque::new()),
            changes: watch::Sender::new(()),
            stopped: AtomicBool::new(false),
        }
    }

    /// Records a request; `entry` is called only if it is kept, with its number.
    pub(super) fn open(self: &Arc<Self>, entry: impl FnOnce(u64) -> Received) -> OpenRequest {
        let number = if self.capacity == 0 {
            self.next.fetch_add(1, Ordering::Relaxed)
        } else {
            let mut entries = self.entries();
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if entries.len() == self.capacity {
                entries.pop_front();
            }
            entries.push_back(entry(number));
            drop(entries);
            self.changes.send_replace(());
            number
        };
        OpenRequest {
            log: Arc::clone(self),
            number,
            ending: None,
        }
    }

    /// Sets whether responses that break off from now on do so because the simulator stops.
    pub(super) fn set_stopped(&self, stopped: bool) {
        self.stopped.store(stopped, Ordering::Relaxed);
    }

    pub(super) fn all(&self) -> Vec<Received> {
        self.entries().iter().cloned().collect()
    }

    pub(super) async fn wait_for(&self, mut condition: impl FnMut(&[Received]) -> bool) {
        let mut changes = self.changes.subscribe();
        loop {
            if condition(self.entries().make_contiguous()) {
                return;
            }
            // The sender lives in `self`, so waiting cannot fail.
            let _ = changes.changed().await;
        }
    }

    fn close(&self, number: u64, ending: Option<Ending>) {
        if self.capacity == 0 {
            return;
        }
        let broken_off = match self.stopped.load(Ordering::Relaxed) {
            true => Ending::Stopped,
            false => Ending::ClientClosed,
        };
        let mut entries = self.entries();
        let oldest = entries.front().map_or(0, |entry| entry.number);
        let entry = number
            .checked_sub(oldest)
            .and_then(|place| usize::try_from(place).ok())
            .and_then(|place| entries.get_mut(place));
        if let Some(entry) = entry {
            entry.ending = Some(ending.unwrap_or(broken_off));
        }
        drop(entries);
        self.changes.send_replace(());
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<Received>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request whose response has not ended; records the ending when dropped.
#[derive(Debug)]
pub(super) struct OpenRequest {
    log: Arc<Log>,
    number: u64,
    ending: Option<Ending>,
}

impl OpenRequest {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Sets how the response ends; if it is never called, the response was broken off.
    pub(super) fn ends(&mut self, ending: Ending) {
        self.ending = Some(ending);
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.log.close(self.number, self.ending);
    }
}
