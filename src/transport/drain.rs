//! Reads the rest of a body after a complete answer, within bounds, so that its connection can be used again.
//!
//! Many providers end a stream some milliseconds after its last event. Dropping the answer before that resets the
//! HTTP/2 stream, which some hosts count as abuse, or closes the HTTP/1.1 connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::body::RawBody;

/// The most bytes that are read.
const MAX_BYTES: usize = 64 * 1024;

/// The longest wait for the end.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Reads on in a task of its own, which stops with the pool of the connection.
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
