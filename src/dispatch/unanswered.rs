//! How is an attempt led to its first content apart from its call, so that it can outlive the call or race a rival?

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::time::{Instant, timeout_at};

use crate::trail::AttemptRecord;
use crate::transport::Transport;

use super::attempt::{Attempt, Ended};
use super::drains::READ_ON_FOR;
use super::start::Started;

/// Leads to an attempt that has begun to answer, or has ended.
type OpeningAttempt = Pin<Box<dyn Future<Output = (Box<Attempt>, Result<(), Ended>)> + Send>>;

/// An attempt that has not begun to answer. Nothing of it is lost while nobody waits for it.
pub(super) struct Unanswered {
    /// What is known of it.
    record: AttemptRecord,
    /// The end of its call, if its answer is to be read on after that; otherwise it watches that itself.
    deadline: Option<Instant>,
    stopped: Arc<AtomicBool>,
    stage: UnansweredStage,
}

enum UnansweredStage {
    Opening(OpeningAttempt),
    Opened(Box<Attempt>),
}

impl Unanswered {
    /// Sends an attempt whose call ends at `deadline`.
    pub(super) fn send(started: Started, transport: &Transport, deadline: Instant) -> Box<Self> {
        let Started {
            mut attempt,
            request,
        } = started;
        let drains = attempt.drains();
        if drains {
            attempt.set_deadline(deadline + READ_ON_FOR);
        }
        let record = attempt.record().clone();
        let stopped = Arc::new(AtomicBool::new(false));
        let (transport, is_stopped) = (transport.clone(), Arc::clone(&stopped));
        let opening = Box::pin(async move {
            let opened = {
                let mut open = pin!(attempt.open(&transport, request));
                poll_fn(|context| match is_stopped.load(Ordering::Relaxed) {
                    true => Poll::Ready(Err(Ended::Deadline)),
                    false => open.as_mut().poll(context),
                })
                .await
            };
            (attempt, opened)
        });
        Box::new(Self {
            record,
            deadline: drains.then_some(deadline),
            stopped,
            stage: UnansweredStage::Opening(opening),
        })
    }

    /// Waits until it has begun to answer, or has ended. Safe to cancel.
    pub(super) async fn opened(&mut self) -> Result<(), Ended> {
        match self.deadline {
            Some(deadline) => match timeout_at(deadline, self.reached()).await {
                Ok(opened) => opened,
                Err(_) => Err(Ended::Deadline),
            },
            None => self.reached().await,
        }
    }

    /// Reads its answer to the end, after its call has ended. Safe to cancel.
    pub(super) async fn read_on(&mut self) {
        let opened = self.reached().await;
        if let UnansweredStage::Opened(attempt) = &mut self.stage {
            match opened {
                Ok(()) => attempt.read_on().await,
                Err(ended) => attempt.failed_unread(&ended),
            }
        }
    }

    async fn reached(&mut self) -> Result<(), Ended> {
        match &mut self.stage {
            UnansweredStage::Opened(_) => Ok(()),
            UnansweredStage::Opening(opening) => {
                let (attempt, opened) = opening.await;
                self.stage = UnansweredStage::Opened(attempt);
                opened
            }
        }
    }

    /// Whether it has begun to answer, or has ended.
    pub(super) fn is_opened(&self) -> bool {
        matches!(self.stage, UnansweredStage::Opened(_))
    }

    /// Whether its answer is to be read on if its call ends.
    pub(super) fn drains(&self) -> bool {
        self.deadline.is_some()
    }

    /// What was known of it when it was sent.
    pub(super) fn record(&self) -> &AttemptRecord {
        &self.record
    }

    /// Ends the wait for its answer. There is always an attempt.
    pub(super) fn into_attempt(self) -> Option<Box<Attempt>> {
        let mut attempt = match self.stage {
            UnansweredStage::Opened(attempt) => attempt,
            UnansweredStage::Opening(mut opening) => {
                self.stopped.store(true, Ordering::Relaxed);
                let mut nobody = Context::from_waker(Waker::noop());
                match opening.as_mut().poll(&mut nobody) {
                    Poll::Ready((attempt, _)) => attempt,
                    Poll::Pending => return None,
                }
            }
        };
        if let Some(deadline) = self.deadline {
            attempt.set_deadline(deadline);
        }
        Some(attempt)
    }
}
