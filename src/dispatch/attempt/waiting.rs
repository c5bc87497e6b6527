//! How does an attempt wait for the provider, no longer than its limits allow?

use std::future::Future;
use std::pin::Pin;

use crate::error::{UpstreamError, UpstreamErrorKind};

use crate::dispatch::permit::TargetPermit;

use super::Ended;
use super::progress::Expiry;
use super::timers::Timers;

/// Waits until `wait` is over or a limit is reached. Silence that is suspicious but within the limits is reported to
/// the breaker. `wait` is pinned by the caller: a future that is handed over would take its memory twice.
///
/// # Errors
/// A limit was reached.
pub(super) async fn within_limits<T>(
    timers: &mut Timers,
    permit: &mut TargetPermit,
    mut wait: Pin<&mut impl Future<Output = T>>,
) -> Result<T, Ended> {
    loop {
        let expiry = tokio::select! {
            biased;
            output = wait.as_mut() => return Ok(output),
            expiry = timers.expired() => expiry,
        };
        let is_cut_short = timers.cut_short().is_some();
        let message = match expiry {
            Expiry::Stalled => {
                permit.stalled();
                continue;
            }
            Expiry::Deadline => return Err(Ended::Deadline),
            Expiry::WriteIdle => "no piece of the request was taken within `write_idle`",
            Expiry::FirstEvent => "no byte of an answer within `first_event`",
            Expiry::ByteIdle => "no byte within `byte_idle`",
            Expiry::FirstContent if is_cut_short => {
                "no content in the time that the call has for it"
            }
            Expiry::FirstContent => "no content within `first_content`",
            Expiry::ProgressIdle if is_cut_short => {
                "no progress in the time that the call has for it"
            }
            Expiry::ProgressIdle => "no progress within `progress_idle`",
        };
        match expiry {
            // Nothing moves on the connection: it may be dead.
            Expiry::WriteIdle | Expiry::FirstEvent | Expiry::ByteIdle => {
                timers.upload().note_overdue()
            }
            Expiry::Stalled | Expiry::Deadline | Expiry::FirstContent | Expiry::ProgressIdle => {}
        }
        let error = UpstreamError::new(UpstreamErrorKind::TimedOut).because(message);
        return Err(Ended::Failed(error));
    }
}
