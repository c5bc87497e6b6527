//! What a breaker does: its cases by file, and one law for whatever happens.

mod forced;
mod opening;
mod recovery;

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const FAILED: Signal = Signal::Failed { retry_after: None };
const FIRST_CONTENT: Signal = Signal::FirstContent { slow: false };

/// Alone, and with the open times in the middle of their spread.
fn alone(now: Instant) -> Circumstances {
    Circumstances {
        now,
        jitter: 0.5,
        healthier_alternative: false,
        retry_ratio: 0.2,
    }
}

fn closed() -> (Breaker, Instant) {
    closed_with(Settings::default())
}

fn closed_with(settings: Settings) -> (Breaker, Instant) {
    let now = Instant::now();
    (Breaker::new(settings, now), now)
}

fn attempt(breaker: &mut Breaker, signal: Signal, now: Instant) -> Option<Transition> {
    attempt_under(breaker, signal, alone(now))
}

fn attempt_under(
    breaker: &mut Breaker,
    signal: Signal,
    circumstances: Circumstances,
) -> Option<Transition> {
    let mut pass = breaker.admit(circumstances.now).expect("admitted");
    breaker.report(&mut pass, signal, circumstances)
}

fn cause_of(transition: Option<Transition>) -> Option<&'static str> {
    transition.map(|transition| transition.cause)
}

fn opened() -> (Breaker, Instant) {
    opened_with(Settings::default())
}

fn opened_with(settings: Settings) -> (Breaker, Instant) {
    let (mut breaker, now) = closed_with(settings);
    for _ in 0..5 {
        attempt(&mut breaker, FAILED, now);
    }
    assert_eq!(breaker.state(now), BreakerState::Open);
    (breaker, now)
}

/// When one that is open lets a probe through.
fn opens_at(breaker: &Breaker, now: Instant) -> Instant {
    breaker.refuses(now).and_then(Barred::until).expect("open")
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Admit,
    AdmitLast,
    Report(usize, Signal),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let signal = prop_oneof![
        Just(Signal::Stalled),
        Just(FIRST_CONTENT),
        Just(Signal::Answered),
        Just(Signal::Progressed),
        Just(Signal::Completed),
        Just(Signal::CutShort {
            since: Instant::now()
        }),
        Just(FAILED),
        Just(Signal::Throttled {
            retry_after: Some(Duration::from_secs(7))
        }),
        Just(Signal::Released),
    ];
    let step = prop_oneof![
        Just(Step::Admit),
        Just(Step::AdmitLast),
        (any::<usize>(), signal).prop_map(|(index, signal)| Step::Report(index, signal)),
        (0u64..8_000).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    #[test]
    fn whatever_happens_it_never_wedges_and_no_more_probes_are_sent_than_must_succeed(steps in steps()) {
        let (mut breaker, mut now) = closed();
        let mut passes = Vec::new();
        for step in steps {
            match step {
                Step::Admit => passes.extend(breaker.admit(now)),
                Step::AdmitLast => passes.extend(breaker.admit_last(now)),
                Step::Report(index, signal) if !passes.is_empty() => {
                    let index = index % passes.len();
                    let pass: &mut Pass = &mut passes[index];
                    let stale = pass.generation != breaker.generation;
                    let transition = breaker.report(pass, signal, alone(now));
                    prop_assert!(!(stale && transition.is_some()));
                    if matches!(signal, Signal::Released) {
                        passes.swap_remove(index);
                    }
                }
                Step::Report(..) => {}
                Step::Wait(millis) => now += Duration::from_millis(millis),
            }
            let lease = breaker.settings.lasting_answer;
            let snapshot = breaker.snapshot(now);
            prop_assert!(snapshot.failures <= snapshot.samples);
            // It leaves every state within its bound, and then admits as many probes as must succeed at most.
            let bound = breaker.settings.retry_after_max + lease;
            prop_assert!(snapshot.refuses_until.is_none_or(|until| until <= now + bound));
            if breaker.state(now) == BreakerState::HalfOpen {
                let most = match breaker.probes.has_succeeded() {
                    true => breaker.settings.probe_successes - 1,
                    false => 1,
                };
                let admitted = (0..=most).take_while(|_| breaker.admit(now).is_ok()).count();
                prop_assert!(admitted as u32 <= most);
            }
        }
    }
}
