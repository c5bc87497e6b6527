//! Does work take time in proportion to its input?

use std::hint::black_box;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How much larger the second input is.
const FACTOR: usize = 8;

/// Twice as much per element would be 16, ten percent of the square 51, the square itself 64.
const MOST: f64 = 24.0;

/// Shorter times cannot be measured beside a thread's other work.
const LEAST: Duration = Duration::from_micros(200);

/// How often the first size is doubled at most.
const DOUBLINGS: u32 = 8;

/// Panics unless work on an input of eight times the size takes about eight times as long, in the
/// best of some runs, by the processor's time of this thread alone. The first size is the smallest
/// of those tried, from `size` on, that can be measured; what cannot be costs nothing.
pub(crate) fn assert_linear<I, T>(
    what: &str,
    size: usize,
    input: impl Fn(usize) -> I,
    work: impl Fn(I) -> T,
) {
    let largest = size << DOUBLINGS;
    let mut size = size;
    let mut small = best(&input, &work, size);
    while small < LEAST {
        if size >= largest {
            println!("{what}: {size} take {small:?}");
            return;
        }
        size *= 2;
        small = best(&input, &work, size);
    }

    let large = best(&input, &work, size * FACTOR);

    let ratio = large.as_secs_f64() / small.as_secs_f64();
    println!("{what}: {size} take {small:?}, {FACTOR} times as many {ratio:.1} times as long");
    assert!(ratio < MOST, "{what}: {small:?} and {large:?}");
}

fn best<I, T>(input: &impl Fn(usize) -> I, work: &impl Fn(I) -> T, size: usize) -> Duration {
    let runs = (0..5).map(|_| {
        let input = input(size);
        let begun = thread_time();
        let done = black_box(work(black_box(input)));
        let took = thread_time() - begun;
        drop(done);
        took
    });
    runs.min().unwrap()
}

/// The processor's time that this thread has taken.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}
