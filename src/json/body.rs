//! How is the body of a request read? Whole, within its limits of size and time, and counted as it arrives.

use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use crate::admission::room::Held;
use crate::error::Error;

/// Why a body was not read.
pub(super) enum Unread {
    /// It has more bytes than a request may have.
    TooLarge(Error),
    /// Another reason.
    Refused(Error),
    /// Its sender went away.
    Gone,
}

/// The limits of a body.
pub(super) struct BodyLimits {
    pub(super) max_bytes: usize,
    pub(super) arrived: Instant,
    /// How long it may take from then on.
    pub(super) timeout: Duration,
    /// The caller's deadline.
    pub(super) deadline: Option<Instant>,
}

/// Reads a body, whose bytes `held` counts.
pub(super) async fn read<B>(body: B, limits: &BodyLimits, held: &Held) -> Result<Vec<u8>, Unread>
where
    B: Body<Data = Bytes>,
{
    let announced = body.size_hint().lower();
    if announced > limits.max_bytes as u64 {
        return Err(too_large(announced, limits.max_bytes));
    }
    let slow_at = limits.arrived + limits.timeout;
    let until = limits
        .deadline
        .map_or(slow_at, |deadline| deadline.min(slow_at));
    let body = pin!(body);
    let reading = pieces(body, limits.max_bytes, held);
    match timeout_at(until, reading).await {
        Ok(read) => read,
        Err(_) if limits.deadline == Some(until) => Err(Unread::Refused(Error::DeadlineExceeded)),
        Err(_) => {
            let what = format!("it took longer than {:?} to arrive", limits.timeout);
            Err(Unread::Refused(Error::invalid("message", what)))
        }
    }
}

async fn pieces<B: Body<Data = Bytes>>(
    mut body: Pin<&mut B>,
    max_bytes: usize,
    held: &Held,
) -> Result<Vec<u8>, Unread> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(Unread::Gone);
        };
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        let length = read.len() + piece.len();
        if length > max_bytes {
            return Err(too_large(length as u64, max_bytes));
        }
        held.grow_unfinished(piece.len()).map_err(Unread::Refused)?;
        read.extend_from_slice(&piece);
    }
    held.finish();
    Ok(read)
}

fn too_large(bytes: u64, most: usize) -> Unread {
    let what = format!(
        "it has {bytes} bytes or more; at most {most} are allowed (`server.max_message_bytes`)"
    );
    Unread::TooLarge(Error::invalid("message", what))
}
