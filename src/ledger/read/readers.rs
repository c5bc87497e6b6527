//! Who reads the ledger? A few threads with connections of their own, so that no question holds up a call or the writer.
//!
//! A question ends when its time is over, or when the asker no longer waits for the answer.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::ledger::Files;
use crate::ledger::counts::now;

use super::error::ReadError;
use super::files::LedgerFiles;
use super::limit::QuestionLimit;

const THREADS: usize = 2;

/// The most questions that wait for a thread.
const MOST_WAITING: usize = 64;

type Job = Box<dyn FnOnce(&mut LedgerFiles) + Send>;

/// Answers questions about the ledger. Its threads end with the last of its clones.
#[derive(Clone)]
pub struct Readers {
    jobs: SyncSender<Job>,
    timeout: Duration,
}

impl Readers {
    /// Starts to read these files. A question may take `timeout`, waiting included.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(files: &Files, timeout: Duration) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(MOST_WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 0..THREADS {
            let (files, waiting) = (LedgerFiles::new(files.clone()), Arc::clone(&waiting));
            thread::Builder::new()
                .name(format!("ledger-read-{number}"))
                .spawn(move || work(files, &waiting))?;
        }
        Ok(Self { jobs, timeout })
    }

    /// Asks a question, which is a function of the ledger's files.
    ///
    /// # Errors
    /// [`ReadError`], the question's own and [`ReadError::TooMuch`].
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut LedgerFiles) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let (answer, answered) = oneshot::channel();
        let asker = Arc::new(());
        let patience = QuestionLimit {
            until: now() + self.timeout,
            asker: Some(Arc::downgrade(&asker)),
        };
        let timeout = self.timeout;
        let job: Job = Box::new(move |files| {
            let result = files.patiently(patience, question);
            let result = result.map_err(|error| error.after(timeout));
            // Nobody waits for it any more.
            let _ = answer.send(result);
        });
        self.jobs.try_send(job).map_err(|refused| {
            ReadError::TooMuch(match refused {
                TrySendError::Full(_) => format!(
                    "{MOST_WAITING} questions about the ledger wait already; ask again when some are answered"
                ),
                TrySendError::Disconnected(_) => {
                    "the threads that read the ledger have ended; start the service again".to_owned()
                }
            })
        })?;
        let result = answered.await;
        drop(asker);
        result.unwrap_or_else(|_| {
            Err(ReadError::Unreadable(
                "the thread that read the ledger has ended with a defect; the log says more"
                    .to_owned(),
            ))
        })
    }
}

fn work(mut files: LedgerFiles, waiting: &Mutex<Receiver<Job>>) {
    loop {
        let next = {
            let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.recv()
        };
        let Ok(job) = next else {
            return;
        };
        job(&mut files);
    }
}
