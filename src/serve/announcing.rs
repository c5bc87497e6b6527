//! Who decides which thresholds of limits are announced, so that none is announced twice? A thread that writes each one into
//! the control store first, and announces only those that were not there. Notices that the webhook has not accepted when
//! the process ends are sent by the next one.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::warn;

use crate::admin::Administration;
use crate::limits::{LimitNotice, Limits};
use crate::outbound::notify::NoticeSender;
use crate::store::Store;

/// The most thresholds and answers of the webhook that wait for the thread.
const MOST_WAITING: usize = 10_000;

/// The most thresholds that are written down at a time.
const MOST_AT_ONCE: usize = 256;

/// How long the thread waits before it tries again what could not be written or queued.
const PAUSE: Duration = Duration::from_millis(200);

/// A message to the thread.
enum AnnouncerTask {
    /// A threshold is reached.
    Reached(LimitNotice),
    /// The webhook is done with the notice of this id.
    Sent(String),
    /// The service ends.
    End,
}

/// The thread. It ends when this is dropped, after it has written down everything that was sent to it before.
pub(super) struct Announcing {
    told: SyncSender<AnnouncerTask>,
    /// What the thread reads; `None` once it runs.
    unread: Option<Receiver<AnnouncerTask>>,
    thread: Option<JoinHandle<()>>,
}

impl Announcing {
    /// From now on the thresholds of these limits wait for the thread.
    pub(super) fn of(limits: &Limits, sender: &NoticeSender) -> Self {
        let (told, unread) = mpsc::sync_channel(MOST_WAITING);
        let candidates = told.clone();
        limits.elected_by(Arc::new(move |notice| {
            tell(&candidates, AnnouncerTask::Reached(notice));
        }));
        let done = told.clone();
        sender.tell_done(Box::new(move |id| tell(&done, AnnouncerTask::Sent(id))));
        Self {
            told,
            unread: Some(unread),
            thread: None,
        }
    }

    /// Starts the thread, which writes to the store of this administration.
    ///
    /// # Errors
    /// The system starts no thread.
    pub(super) fn start(
        &mut self,
        administration: Arc<Administration>,
        limits: &Limits,
        sender: &NoticeSender,
    ) -> io::Result<()> {
        let Some(unread) = self.unread.take() else {
            return Ok(());
        };
        let mut announcer = Announcer {
            administration,
            limits: limits.clone(),
            sender: sender.clone(),
            unwritten: Vec::new(),
            to_send: VecDeque::new(),
            sent: Vec::new(),
            has_failed: false,
        };
        let thread = thread::Builder::new().name("thresholds".to_owned());
        self.thread = Some(thread.spawn(move || announcer.run(&unread))?);
        Ok(())
    }
}

/// Never waits: calls end here.
fn tell(told: &SyncSender<AnnouncerTask>, what: AnnouncerTask) {
    match told.try_send(what) {
        Ok(()) => {}
        Err(TrySendError::Full(AnnouncerTask::Reached(notice))) => warn!(
            limit = &*notice.limit,
            notice = notice.id,
            "threshold of a limit not announced: too many are waiting; it will be announced after the next start"
        ),
        // The next process makes up for either loss.
        Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
    }
}

impl Drop for Announcing {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // The thread reads on until then, so that there is room.
            let _ = self.told.send(AnnouncerTask::End);
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

struct Announcer {
    administration: Arc<Administration>,
    limits: Limits,
    sender: NoticeSender,
    /// Notices that were announced although they could not be written down.
    unwritten: Vec<LimitNotice>,
    /// Notices that the queue of the webhook had no room for.
    to_send: VecDeque<LimitNotice>,
    /// Ids of notices that the webhook is done with.
    sent: Vec<String>,
    /// Whether the last write failed, so that only the first failure of several is logged.
    has_failed: bool,
}

impl Announcer {
    fn run(&mut self, told: &Receiver<AnnouncerTask>) {
        self.resume();
        loop {
            let mut reached = Vec::new();
            let mut ends = false;
            let first = match told.recv_timeout(PAUSE) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(AnnouncerTask::End),
            };
            let others = std::iter::from_fn(|| told.try_recv().ok());
            for told in first.into_iter().chain(others.take(MOST_AT_ONCE)) {
                match told {
                    AnnouncerTask::Reached(notice) => reached.push(notice),
                    AnnouncerTask::Sent(id) => self.sent.push(id),
                    AnnouncerTask::End => ends = true,
                }
            }
            self.announce(reached);
            self.write_the_rest();
            self.send();
            if ends {
                return;
            }
        }
    }

    /// Sends the notices that the process before this one has not sent.
    fn resume(&mut self) {
        match self.store().notices_to_send() {
            Ok(notices) if self.sender.has_webhook() => self.to_send.extend(notices),
            // No webhook is configured.
            Ok(notices) => self
                .sent
                .extend(notices.into_iter().map(|notice| notice.id)),
            Err(error) => self.failed(&error),
        }
    }

    fn announce(&mut self, mut reached: Vec<LimitNotice>) {
        // Attempts under a limit that was deleted may still end.
        reached.retain(|notice| self.limits.has(&notice.limit));
        if reached.is_empty() {
            return;
        }
        let are_new = match self.administration.announce(&reached) {
            Ok(are_new) => are_new,
            Err(error) => {
                // After a restart a notice may be sent twice; none is lost.
                self.failed(&error);
                self.unwritten.extend(reached.iter().cloned());
                vec![true; reached.len()]
            }
        };
        let has_webhook = self.sender.has_webhook();
        for (notice, is_new) in reached.into_iter().zip(are_new) {
            if !is_new {
                continue;
            }
            match has_webhook {
                true => self.to_send.push_back(notice.clone()),
                false => self.sent.push(notice.id.clone()),
            }
            self.limits.tell(&notice);
        }
    }

    /// Writes down what could not be written before, and which notices the webhook is done with.
    fn write_the_rest(&mut self) {
        if !self.unwritten.is_empty() {
            match self.administration.announce(&self.unwritten) {
                Ok(_) => self.unwritten.clear(),
                Err(error) => return self.failed(&error),
            }
        }
        if !self.sent.is_empty() {
            let ids = self.sent.iter().map(String::as_str);
            match self.store().notices_are_sent(ids) {
                Ok(()) => self.sent.clear(),
                Err(error) => return self.failed(&error),
            }
        }
        self.has_failed = false;
    }

    fn send(&mut self) {
        while let Some(notice) = self.to_send.pop_front() {
            if let Err(notice) = self.sender.offer(notice) {
                self.to_send.push_front(notice);
                return;
            }
        }
    }

    fn store(&self) -> &Store {
        self.administration.store()
    }

    fn failed(&mut self, error: &crate::store::StoreError) {
        if !std::mem::replace(&mut self.has_failed, true) {
            warn!(
                %error,
                "announced thresholds cannot be written down: they may be announced again after a restart"
            );
        }
    }
}
