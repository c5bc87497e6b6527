//! What comes after a complete answer is read to its end, within a bound, so that its connection goes on.
//!
//! Many providers end their stream some milliseconds after its last event. Whoever hangs up in between
//! resets a stream of HTTP/2, which some hosts count as abuse, and loses a connection of HTTP/1.1.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::body::RawBody;

/// The most that is read.
const MAX_BYTES: usize = 64 * 1024;

/// The longest wait for the end.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Reads on until the end or the bound. It stops with the pool that its connection belongs to.
pub(super) fn leave(mut answer: RawBody) {
    let lease = match &answer {
        RawBody::Http1(answer) => answer.lease(),
        RawBody::Http2(answer) => answer.lease(),
        RawBody::Carried(_) => None,
    };
    let Some(lease) = lease else {
        return;
    };
    let host = Arc::clone(lease.host());
    let (tasks, stop) = host.tasks();
    let stop = stop.clone();
    tasks.spawn(async move {
        let end = timeout(MAX_WAIT, read_on(&mut answer));
        tokio::select! {
            biased;
            _ = end => {}
            () = stop.cancelled() => {}
        }
    });
}

async fn read_on(answer: &mut RawBody) {
    let mut read = 0;
    while read <= MAX_BYTES
        && let Ok(Some(bytes)) = answer.chunk().await
    {
        read += bytes.len();
    }
}
