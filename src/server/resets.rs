//! How many calls may a caller begin and cancel at once?
//!
//! A call that is cancelled at once costs its caller two frames, and us all the work up to admission. HTTP/2
//! limits only the calls that are open, and these are not open for long. They are counted when their frames are
//! read, since what happens to a call afterwards depends on which task runs first.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

/// The window in which a caller may cancel its number of calls.
const WINDOW: Duration = Duration::from_secs(10);

/// The calls that a caller may still cancel: a number in each [`WINDOW`], and one for each call that it does not
/// cancel.
#[derive(Debug)]
pub(super) struct Resets {
    limit: u32,
    /// The calls that may still be cancelled, and one more for the call that is just beginning.
    left: AtomicU32,
    /// The time up to which the allowance has been credited.
    counted: Mutex<Instant>,
}

impl Resets {
    pub(super) fn new(limit: u32, now: Instant) -> Self {
        Self {
            limit,
            left: AtomicU32::new(limit.saturating_add(1)),
            counted: Mutex::new(now),
        }
    }

    /// A call begins. Unless it is cancelled, it earns the right to cancel another one.
    fn begun(&self) {
        // Nearly always the allowance is full, and this costs one read.
        if self.left.load(Ordering::Relaxed) <= self.limit {
            self.add(1);
        }
    }

    /// The time until the allowance is full again.
    pub(super) fn recovers_in(&self) -> Duration {
        let missing = self.limit.saturating_sub(self.left.load(Ordering::Relaxed));
        WINDOW.mul_f64(f64::from(missing) / f64::from(self.limit))
    }

    /// A call is cancelled. False if that exceeds the limit.
    fn cancelled(&self, now: Instant) -> bool {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let each = WINDOW / self.limit;
        let passed = now.duration_since(*counted).min(WINDOW);
        let earned = passed.div_duration_f64(each) as u32;
        self.add(earned);
        // What is left of the time counts towards the next earned cancellation.
        *counted = now - passed + each * earned;
        // One for this call, and one that was earned when it began.
        let less = |left: u32| Some(left.saturating_sub(2));
        let before = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        before.is_ok_and(|before| before >= 2)
    }

    fn add(&self, more: u32) {
        let sum = |left: u32| Some(left.saturating_add(more).min(self.limit.saturating_add(1)));
        let _ = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
    }
}

/// The bytes of a frame before its payload (RFC 9113, section 4.1).
const HEADER_BYTES: usize = 9;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;

/// The bit before the number of a stream.
const RESERVED: u32 = 1 << 31;

/// Finds the frames in the bytes of a connection after its preface. Pure.
#[derive(Debug, Default)]
struct Frames {
    header: [u8; HEADER_BYTES],
    /// Bytes of the header that have been read.
    begun: usize,
    /// Bytes of the payload that have not been read.
    payload_left: usize,
    /// The highest stream that has begun.
    last_stream: u32,
}

/// A frame that changes the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// A call begins: its stream is the highest so far (section 5.1.1). Trailers do not begin one.
    Begun,
    /// A call is cancelled.
    Cancelled,
}

impl Frames {
    /// Reports every frame whose header these bytes complete.
    fn read(&mut self, mut bytes: &[u8], mut report: impl FnMut(Seen)) {
        while !bytes.is_empty() {
            let skipped = self.payload_left.min(bytes.len());
            self.payload_left -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEADER_BYTES - self.begun).min(bytes.len());
            self.header[self.begun..][..taken].copy_from_slice(&bytes[..taken]);
            self.begun += taken;
            bytes = &bytes[taken..];
            if self.begun == HEADER_BYTES {
                let [a, b, c, kind, _flags, stream @ ..] = self.header;
                self.payload_left = u32::from_be_bytes([0, a, b, c]) as usize;
                self.begun = 0;
                let stream = u32::from_be_bytes(stream) & !RESERVED;
                match kind {
                    HEADERS if stream > self.last_stream => {
                        self.last_stream = stream;
                        report(Seen::Begun);
                    }
                    RST_STREAM => report(Seen::Cancelled),
                    _ => {}
                }
            }
        }
    }
}

/// Reads a connection, and fails when its caller cancels too many calls.
pub(super) struct Metered<R> {
    connection: R,
    frames: Frames,
    resets: Arc<Resets>,
    /// Set with the failure.
    too_many: Arc<AtomicBool>,
}

impl<R> Metered<R> {
    pub(super) fn new(connection: R, resets: Arc<Resets>, too_many: Arc<AtomicBool>) -> Self {
        Self {
            connection,
            frames: Frames::default(),
            resets,
            too_many,
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Metered<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.connection).poll_read(context, buffer))?;
        let mut too_many = false;
        this.frames
            .read(&buffer.filled()[before..], |seen| match seen {
                Seen::Begun => this.resets.begun(),
                Seen::Cancelled => too_many |= !this.resets.cancelled(Instant::now()),
            });
        if too_many {
            this.too_many.store(true, Ordering::Relaxed);
            buffer.set_filled(before);
            let error = "the connection cancels more calls than `server.max_resets` allows";
            return Poll::Ready(Err(io::Error::other(error)));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// Frames of these types on these streams, with payloads of these lengths that look like headers.
    fn frames(frames: &[(u8, u32, usize)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &(kind, stream, length) in frames {
            let [_, a, b, c] = u32::try_from(length).unwrap().to_be_bytes();
            bytes.extend([a, b, c, kind, 0]);
            bytes.extend(stream.to_be_bytes());
            bytes.extend(std::iter::repeat_n(RST_STREAM, length));
        }
        bytes
    }

    fn seen(bytes: &[u8], piece: usize) -> Vec<Seen> {
        let mut scan = Frames::default();
        let mut seen = Vec::new();
        for bytes in bytes.chunks(piece) {
            scan.read(bytes, |one| seen.push(one));
        }
        seen
    }

    proptest! {
        #[test]
        fn every_frame_is_found_however_it_comes(
            sent in prop::collection::vec((0u8..10, 0usize..40), 0..20),
            piece in 1usize..30,
        ) {
            let numbered = (1..).zip(sent);
            let sent: Vec<_> = numbered.map(|(stream, (kind, length))| (kind, stream, length)).collect();
            let expected = sent.iter().filter_map(|(kind, ..)| match *kind {
                HEADERS => Some(Seen::Begun),
                RST_STREAM => Some(Seen::Cancelled),
                _ => None,
            });

            prop_assert_eq!(seen(&frames(&sent), piece), expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn trailers_begin_no_call() {
        let reserved = RESERVED | 3;
        let streams = [1, reserved, 1, 3].map(|stream| (HEADERS, stream, 5));

        assert_eq!(seen(&frames(&streams), 100), [Seen::Begun; 2]);
    }

    /// Begins this many calls and cancels them; returns how many of the cancellations are allowed.
    fn cancel(resets: &Resets, count: u32, now: Instant) -> u32 {
        let granted = (0..count).filter(|_| {
            resets.begun();
            resets.cancelled(now)
        });
        u32::try_from(granted.count()).unwrap()
    }

    #[test]
    fn so_many_may_be_cancelled_in_every_window() {
        let now = Instant::now();
        let resets = Resets::new(100, now);

        assert_eq!(cancel(&resets, 150, now), 100);
        assert_eq!(cancel(&resets, 150, now + WINDOW / 10), 10);
        assert_eq!(cancel(&resets, 150, now + WINDOW * 5), 100);
    }

    #[test]
    fn who_cancels_fewer_is_never_cut_off_however_unevenly_they_come() {
        let mut now = Instant::now();
        let resets = Resets::new(100, now);
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..10_000 {
            // Eighty in each window, independently of each other.
            now += (WINDOW / 80).mul_f64(-(1.0 - random.f64()).ln());
            assert_eq!(cancel(&resets, 1, now), 1);
        }
    }

    #[test]
    fn cancelled_calls_are_made_up_for_in_their_share_of_the_window() {
        let now = Instant::now();
        let resets = Resets::new(100, now);
        assert_eq!(resets.recovers_in(), Duration::ZERO);

        cancel(&resets, 30, now);

        assert!(resets.recovers_in().abs_diff(WINDOW * 3 / 10) <= WINDOW / 100);
        cancel(&resets, 100, now);
        assert_eq!(resets.recovers_in(), WINDOW);
    }

    #[test]
    fn calls_that_are_not_cancelled_make_up_for_others() {
        let now = Instant::now();
        let resets = Resets::new(10, now);
        cancel(&resets, 20, now);

        for _ in 0..3 {
            resets.begun();
        }

        assert_eq!(cancel(&resets, 20, now), 3);
    }

    #[test]
    fn half_of_all_calls_may_be_cancelled_for_ever() {
        let now = Instant::now();
        let resets = Resets::new(10, now);
        for _ in 0..1000 {
            resets.begun();
            assert_eq!(cancel(&resets, 1, now), 1);
        }
    }

    #[tokio::test]
    async fn a_connection_fails_with_the_call_that_is_one_too_many() {
        let calls = |count: u32| -> Vec<u8> {
            let call = |stream| frames(&[(HEADERS, stream, 5), (RST_STREAM, stream, 4)]);
            (1..=count).flat_map(call).collect()
        };
        let resets = Arc::new(Resets::new(10, Instant::now()));
        let too_many = Arc::new(AtomicBool::new(false));
        let read = async |count| {
            let sent = calls(count);
            let mut metered = Metered::new(&*sent, Arc::clone(&resets), Arc::clone(&too_many));
            let mut all = Vec::new();
            let read = metered.read_to_end(&mut all).await;
            (read.is_ok(), too_many.load(Ordering::Relaxed))
        };

        assert_eq!(read(10).await, (true, false));
        assert_eq!(
            read(1).await,
            (false, true),
            "by another connection of the address"
        );
    }
}
