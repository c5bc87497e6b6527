use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use proptest::prelude::*;

use super::Priority::{Batch, Critical, Default as Normal, Shadow};
use super::scanning::Scanning;
use super::*;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn settings(max_inflight: usize, queue: usize) -> Settings {
    Settings {
        max_inflight,
        queue,
        ..Settings::default()
    }
}

/// A limiter at a time that tests set. Each waiting call is known by a number.
struct Bench {
    limiter: Limiter<u32>,
    start: Instant,
    now: Duration,
}

impl Bench {
    fn new(max_inflight: usize, queue: usize) -> Self {
        Self {
            limiter: Limiter::new(settings(max_inflight, queue)),
            start: Instant::now(),
            now: Duration::ZERO,
        }
    }

    fn time(&self) -> Instant {
        self.start + self.now
    }

    fn at(&mut self, milliseconds: u64) -> &mut Self {
        self.now = ms(milliseconds);
        self
    }

    fn arrive(&mut self, priority: Priority, number: u32) -> Reception {
        let now = self.time();
        self.limiter
            .arrive(priority, now, now + ms(60_000), || number)
    }

    /// Lets this many calls in.
    fn fill(&mut self, priority: Priority, count: usize) {
        for _ in 0..count {
            assert_eq!(self.arrive(priority, 0), Reception::Admitted);
        }
    }

    /// Lets a call wait; returns how long it may.
    fn wait(&mut self, priority: Priority, number: u32) -> Duration {
        let Reception::Queued { until, .. } = self.arrive(priority, number) else {
            panic!("{number} is not queued");
        };
        until - self.time()
    }

    fn release(&mut self, priority: Priority) -> Option<(Priority, u32)> {
        let now = self.time();
        self.limiter.release(priority, now)
    }
}

#[test]
fn any_priority_may_use_all_the_places_that_are_free() {
    for priority in Priority::ALL {
        let mut bench = Bench::new(10, 0);

        bench.fill(priority, 10);

        assert_eq!(bench.arrive(priority, 1), Reception::Refused);
    }
}

#[test]
fn a_place_goes_to_a_priority_that_has_less_than_its_share_before_a_more_important_one() {
    let mut bench = Bench::new(20, 10);
    bench.fill(Critical, 10);
    bench.fill(Normal, 10);
    bench.wait(Critical, 1);
    bench.wait(Normal, 2);
    bench.wait(Batch, 3);
    bench.wait(Shadow, 4);

    // Batch has a share of 3 places and Shadow of 1; Critical and Default have theirs or more.
    assert_eq!(bench.release(Normal), Some((Batch, 3)));
    assert_eq!(bench.release(Normal), Some((Shadow, 4)));
    assert_eq!(bench.release(Normal), Some((Critical, 1)));
    assert_eq!(bench.release(Normal), Some((Normal, 2)));
    assert_eq!(bench.release(Normal), None);
}

#[test]
fn the_least_important_is_turned_away_first_when_the_queue_is_full() {
    let mut bench = Bench::new(4, 2);
    bench.fill(Normal, 2);
    bench.fill(Critical, 2);
    bench.wait(Shadow, 1);
    bench.wait(Shadow, 2);

    assert_eq!(bench.arrive(Shadow, 3), Reception::Refused);
    bench.wait(Batch, 4);
    bench.wait(Normal, 5);
    assert_eq!(bench.arrive(Batch, 6), Reception::Refused);
    bench.wait(Critical, 7);

    assert_eq!(bench.release(Normal), Some((Critical, 7)));
    assert_eq!(bench.release(Normal), Some((Normal, 5)));
    assert_eq!(bench.release(Normal), None, "the others were turned away");
}

#[test]
fn a_queue_that_was_empty_lately_allows_long_waits_and_serves_the_oldest_first() {
    let mut bench = Bench::new(2, 10);
    bench.fill(Normal, 2);

    assert_eq!(bench.wait(Normal, 1), ms(500));
    assert_eq!(
        bench.at(100).wait(Normal, 2),
        ms(400),
        "overload would begin"
    );
    assert_eq!(bench.at(480).wait(Normal, 3), ms(50));

    assert_eq!(bench.release(Normal), Some((Normal, 1)));
    assert_eq!(bench.release(Normal), Some((Normal, 2)));
}

#[test]
fn a_queue_that_is_never_empty_allows_short_waits_and_serves_the_newest_first() {
    let mut bench = Bench::new(1, 10);
    bench.fill(Normal, 1);
    bench.wait(Normal, 1);
    bench.at(460).wait(Normal, 2);
    assert_eq!(bench.at(500).wait(Normal, 3), ms(50));
    assert_eq!(bench.at(505).wait(Normal, 4), ms(50));

    assert_eq!(bench.release(Normal), Some((Normal, 4)));
    assert_eq!(bench.release(Normal), Some((Normal, 3)));
    assert_eq!(bench.at(510).release(Normal), None, "2 is too old");

    bench.fill(Normal, 1);
    assert_eq!(bench.wait(Normal, 5), ms(500), "nobody waited in between");
}

#[test]
fn the_overload_of_one_priority_does_not_shorten_the_waits_of_another() {
    let mut bench = Bench::new(1, 10);
    bench.fill(Normal, 1);
    bench.wait(Batch, 1);
    bench.at(460).wait(Batch, 2);
    bench.at(500).wait(Critical, 3);

    assert_eq!(bench.wait(Critical, 4), ms(500));
    assert_eq!(bench.wait(Batch, 5), ms(50));
    // Each call that ends makes room for the next one.
    let order = [(Critical, 3), (Critical, 4), (Batch, 5), (Batch, 2)];
    let ending = [Normal, Critical, Critical, Batch];
    assert_eq!(ending.map(|ends| bench.release(ends).unwrap()), order);
}

#[test]
fn a_call_whose_deadline_is_near_does_not_wait() {
    let mut bench = Bench::new(1, 10);
    bench.fill(Normal, 1);
    let now = bench.time();

    let near = bench.limiter.arrive(Critical, now, now + ms(999), || 1);
    let far = bench.limiter.arrive(Critical, now, now + ms(1000), || 2);

    assert_eq!(near, Reception::Refused);
    assert!(matches!(far, Reception::Queued { .. }));
}

#[test]
fn a_call_that_has_left_the_queue_gets_no_place() {
    let mut bench = Bench::new(1, 10);
    bench.fill(Normal, 1);
    let Reception::Queued { ticket, .. } = bench.arrive(Normal, 1) else {
        panic!("it waits");
    };
    bench.wait(Normal, 2);

    bench.limiter.leave(Normal, ticket);
    bench.limiter.leave(Normal, ticket);

    assert_eq!(bench.limiter.waiting(), 1);
    assert_eq!(bench.release(Normal), Some((Normal, 2)));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Arrive(Priority),
    /// The running call at this position, modulo their number, ends.
    Release(usize),
    /// The waiting call at this position, modulo their number, goes away.
    Leave(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let priority = (0..4usize).prop_map(|index| Priority::ALL[index]);
    let step = prop_oneof![
        6 => priority.prop_map(Step::Arrive),
        4 => any::<usize>().prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::Leave),
        2 => (0..300u64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    #[test]
    fn no_place_is_lost_or_added_and_shares_are_kept(
        max_inflight in 1usize..24,
        queue in 0usize..12,
        steps in steps(),
    ) {
        let mut bench = Bench::new(max_inflight, queue);
        let mut running: Vec<Priority> = Vec::new();
        // Those that may wait still, with their tickets and the ends of their waits.
        let mut waiting: HashMap<u32, (Priority, u64, Instant)> = HashMap::new();
        for (number, step) in (0u32..).zip(steps) {
            match step {
                Step::Pass(milliseconds) => bench.now += ms(milliseconds),
                Step::Arrive(priority) => match bench.arrive(priority, number) {
                    Reception::Admitted => running.push(priority),
                    Reception::Queued { ticket, until } => {
                        prop_assert_eq!(running.len(), max_inflight);
                        prop_assert!(until <= bench.time() + ms(500));
                        waiting.insert(number, (priority, ticket, until));
                    }
                    Reception::Refused => prop_assert_eq!(running.len(), max_inflight),
                },
                Step::Release(_) if running.is_empty() => {}
                Step::Release(position) => {
                    let ended = running.swap_remove(position % running.len());
                    let count = |priority| running.iter().filter(|it| **it == priority).count();
                    let below = |priority: Priority| {
                        count(priority) < max_inflight * priority.guaranteed_percent() / 100
                    };
                    let still = |limiter: &Limiter<u32>, number| {
                        limiter.classes.iter().any(|class| {
                            class.waiting.values().any(|waiter| waiter.handle == number)
                        })
                    };
                    let next = bench.release(ended);
                    let now = bench.time();
                    if let Some((priority, number)) = next {
                        let (known, _, until) = waiting.remove(&number).unwrap();
                        prop_assert_eq!(known, priority);
                        prop_assert!(now < until, "it has waited too long");
                        for (other, &(theirs, ..)) in &waiting {
                            if !still(&bench.limiter, *other) {
                                continue;
                            }
                            prop_assert!(below(priority) || !below(theirs), "a share was lost");
                            if below(priority) == below(theirs) {
                                prop_assert!(priority <= theirs, "importance was overlooked");
                            }
                        }
                        running.push(priority);
                    }
                }
                Step::Leave(position) => {
                    let mut numbers: Vec<u32> = waiting.keys().copied().collect();
                    numbers.sort_unstable();
                    if let Some(&number) = numbers.get(position % numbers.len().max(1)) {
                        let (priority, ticket, _) = waiting.remove(&number).unwrap();
                        bench.limiter.leave(priority, ticket);
                    }
                }
            }
            prop_assert!(running.len() <= max_inflight);
            prop_assert_eq!(bench.limiter.running(), running.len());
            prop_assert!(bench.limiter.waiting() <= queue);
            prop_assert!(bench.limiter.waiting() == 0 || running.len() == max_inflight);
            let queued: usize = bench.limiter.classes.iter().map(|it| it.waiting.len()).sum();
            prop_assert_eq!(bench.limiter.waiting(), queued);
        }

        while let Some(priority) = running.pop() {
            if let Some((next, _)) = bench.release(priority) {
                running.push(next);
            }
        }
        prop_assert_eq!(bench.limiter.running(), 0);
        prop_assert_eq!(bench.limiter.waiting(), 0);
        prop_assert!(bench.limiter.classes.iter().all(|class| class.running == 0));
    }
}

/// What became of the calls of one priority.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    calls: u32,
    admitted: u32,
    longest_wait: Duration,
}

/// Lets this many calls of each priority arrive in each second of virtual time. A call
/// that is let in stays for a quarter to three quarters of a second.
fn play(
    bench: &mut Bench,
    ends: &mut BinaryHeap<Reverse<(Duration, Priority)>>,
    per_second: [u32; 4],
    seconds: u64,
) -> [Tally; 4] {
    let mut random = fastrand::Rng::with_seed(7);
    let mut tallies = [Tally::default(); 4];
    // The times of arrival, by the numbers of the calls.
    let mut arrivals = Vec::new();
    for _ in 0..seconds * 1000 {
        bench.now += ms(1);
        while let Some(Reverse((end, priority))) = ends.peek().copied()
            && end <= bench.now
        {
            ends.pop();
            if let Some((next, number)) = bench.release(priority) {
                let arrival: Option<&Duration> = arrivals.get(number as usize);
                let wait = bench.now - *arrival.unwrap_or(&bench.now);
                let tally = &mut tallies[next as usize];
                tally.admitted += 1;
                tally.longest_wait = tally.longest_wait.max(wait);
                ends.push(Reverse((bench.now + ms(random.u64(250..750)), next)));
            }
        }
        for priority in Priority::ALL {
            let chance = f64::from(per_second[priority as usize]) / 1000.0;
            if random.f64() >= chance {
                continue;
            }
            let tally = &mut tallies[priority as usize];
            tally.calls += 1;
            let number = u32::try_from(arrivals.len()).unwrap();
            arrivals.push(bench.now);
            if bench.arrive(priority, number) == Reception::Admitted {
                tally.admitted += 1;
                ends.push(Reverse((bench.now + ms(random.u64(250..750)), priority)));
            }
        }
    }
    tallies
}

#[test]
fn three_times_the_load_leaves_important_calls_and_the_throughput_as_they_were() {
    // 100 places for half a second each: 200 calls in a second.
    let (mut bench, mut ends) = (Bench::new(100, 128), BinaryHeap::new());

    let overload = play(&mut bench, &mut ends, [60, 240, 200, 100], 60);
    play(&mut bench, &mut ends, [30, 40, 20, 10], 1);
    let recovered = play(&mut bench, &mut ends, [30, 40, 20, 10], 10);

    for (priority, tally) in Priority::ALL.into_iter().zip(overload) {
        let share = 100.0 * f64::from(tally.admitted) / f64::from(tally.calls);
        println!("{priority:?}: {share:.1} % let in, {tally:?}");
    }
    let admitted: u32 = overload.iter().map(|tally| tally.admitted).sum();
    println!("{} of 200 calls in a second", admitted / 60);
    let [critical, normal, batch, shadow] = overload;
    assert!(f64::from(critical.admitted) >= 0.99 * f64::from(critical.calls));
    assert!(admitted >= 200 * 60 * 95 / 100, "the places are in use");
    for (tally, guaranteed) in [(normal, 60), (batch, 30), (shadow, 10)] {
        assert!(tally.admitted >= guaranteed * 60 * 9 / 10, "{tally:?}");
    }
    assert!(overload.iter().all(|tally| tally.longest_wait <= ms(500)));
    for tally in recovered {
        assert_eq!(
            tally.admitted, tally.calls,
            "no further call is turned away"
        );
    }
}

proptest! {
    #[test]
    fn the_limiter_decides_like_one_that_scans_the_whole_queue(
        max_inflight in 1usize..24,
        queue in 0usize..24,
        steps in steps(),
    ) {
        let mut bench = Bench::new(max_inflight, queue);
        let mut scanning = Scanning::new(settings(max_inflight, queue));
        let mut running: Vec<Priority> = Vec::new();
        let mut tickets: Vec<(Priority, u64)> = Vec::new();
        for (number, step) in (0u32..).zip(steps) {
            match step {
                Step::Pass(milliseconds) => bench.now += ms(milliseconds),
                Step::Arrive(priority) => {
                    let now = bench.time();
                    let theirs = scanning.arrive(priority, now, now + ms(60_000), || number);
                    let ours = bench.arrive(priority, number);
                    prop_assert_eq!(ours, theirs);
                    match ours {
                        Reception::Admitted => running.push(priority),
                        Reception::Queued { ticket, .. } => tickets.push((priority, ticket)),
                        Reception::Refused => {}
                    }
                }
                Step::Release(_) if running.is_empty() => {}
                Step::Release(position) => {
                    let ended = running.swap_remove(position % running.len());
                    let theirs = scanning.release(ended, bench.time());
                    let ours = bench.release(ended);
                    prop_assert_eq!(ours, theirs);
                    running.extend(ours.map(|(priority, _)| priority));
                }
                Step::Leave(_) if tickets.is_empty() => {}
                Step::Leave(position) => {
                    let (priority, ticket) = tickets.swap_remove(position % tickets.len());
                    scanning.leave(priority, ticket);
                    bench.limiter.leave(priority, ticket);
                }
            }
            prop_assert_eq!(bench.limiter.running(), scanning.running());
            prop_assert_eq!(bench.limiter.waiting(), scanning.waiting());
        }
    }
}

#[test]
fn a_step_takes_no_longer_for_a_long_queue() {
    const STEPS: u32 = 2_000;
    let time = |queue: u32| {
        let mut bench = Bench::new(1, queue as usize + STEPS as usize);
        bench.fill(Normal, 1);
        for number in 0..queue {
            bench.wait(Normal, number);
        }
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let began = Instant::now();
            for number in 0..STEPS {
                let Reception::Queued { ticket, .. } = bench.arrive(Normal, number) else {
                    panic!("there is room");
                };
                bench.limiter.leave(Normal, ticket);
                assert!(bench.release(Normal).is_some());
            }
            for number in 0..STEPS {
                bench.wait(Normal, number);
            }
            best = best.min(began.elapsed());
        }
        best
    };

    let (short, long) = (time(1_000 + STEPS), time(1_000_000));

    println!("{STEPS} steps with a short queue: {short:?}, with a million: {long:?}");
    // A tree of a million is twice as high as one of a thousand; a scan would take 300 times as long.
    assert!(long < 60 * short, "{short:?}, {long:?}");
}
