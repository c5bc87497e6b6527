//! When is memory that nobody needs any more given back to the system?
//!
//! The allocator gives pages back a second after they became free, but looks for such pages only when a thread takes or
//! frees one. After a spike nobody may do so for hours.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use tokio::time::sleep;

const PERIOD: Duration = Duration::from_secs(1);

/// So large that it has a page of its own.
const PAGE_BYTES: usize = 1024 * 1024;

/// Takes a page and frees it, every second. It is never written to, so that it needs no memory.
pub(super) async fn give_back() -> Infallible {
    loop {
        sleep(PERIOD).await;
        drop(black_box(Vec::<u8>::with_capacity(PAGE_BYTES)));
    }
}
