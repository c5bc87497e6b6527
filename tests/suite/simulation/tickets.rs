//! Does a breaker let at most as many probes through at a time as must still succeed, does a ticket of the past decide
//! anything, and does every breaker close again? Its state machine alone, told anything in any order.

use std::time::Duration;

use modelway::health::breaker::{Barred, Breaker, Circumstances, Pass, Settings, Signal, Snapshot};
use modelway::trail::BreakerState;
use tokio::time::Instant;

use crate::support::number_from;

const STEPS: u32 = 1000;

/// A ticket that has not been given back.
struct Held {
    ticket: Pass,
    /// How often the breaker had opened or closed when the ticket was given.
    period: u64,
    admitted: Instant,
    /// Whether it is a probe of which nothing has been told.
    probing: bool,
}

/// A breaker, and what is expected of it.
struct Model {
    breaker: Breaker,
    settings: Settings,
    draw: fastrand::Rng,
    now: Instant,
    held: Vec<Held>,
    /// How often it has opened while it was closed, or closed.
    period: u64,
    /// Whether a probe has been answered in this period.
    has_succeeded: bool,
    last: Snapshot,
}

#[test]
fn whatever_a_breaker_is_told_only_its_own_tickets_decide_and_it_closes_again() {
    let first_seed = number_from("MODELWAY_SEED", 1);
    let breakers = number_from("MODELWAY_BREAKERS", 200);
    for seed in first_seed..first_seed + breakers {
        let mut model = Model::new(seed);
        for _ in 0..STEPS {
            model.step();
        }
        model.close();
    }
}

impl Model {
    fn new(seed: u64) -> Self {
        let settings = Settings::default();
        let now = Instant::now();
        let mut breaker = Breaker::new(settings, now);
        let last = breaker.snapshot(now);
        Self {
            breaker,
            settings,
            draw: fastrand::Rng::with_seed(seed),
            now,
            held: Vec::new(),
            period: 0,
            has_succeeded: false,
            last,
        }
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(self.draw.u64(0..1000));
        match self.draw.u32(0..10) {
            0..5 => self.admit(),
            5..8 => self.tell(),
            _ => self.give_back(),
        }
    }

    fn admit(&mut self) {
        let refused = self.breaker.refuses(self.now);
        let admitted = self.breaker.admit(self.now);
        self.notice_change();
        assert_eq!(admitted.as_ref().err(), refused.as_ref());
        let Ok(ticket) = admitted else {
            return;
        };
        let probing = ticket.is_probe();
        assert_eq!(probing, self.last.state == BreakerState::HalfOpen);
        let in_time = |held: &Held| self.now < held.admitted + self.settings.probe_lease;
        let is_other = |held: &&Held| held.probing && held.period == self.period && in_time(held);
        let others = self.held.iter().filter(is_other).count();
        let most = match self.has_succeeded {
            true => self.settings.probe_successes as usize - 1,
            false => 1,
        };
        assert!(!probing || others < most, "{others} other probes at a time");
        self.held.push(Held {
            ticket,
            period: self.period,
            admitted: self.now,
            probing,
        });
    }

    fn tell(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let retry_after = self
            .draw
            .bool()
            .then(|| Duration::from_secs(self.draw.u64(0..200)));
        let signal = match self.draw.u32(0..12) {
            0 => Signal::Stalled,
            1..4 => Signal::FirstContent {
                slow: self.draw.bool(),
            },
            4 => Signal::Answered,
            5..9 => Signal::Failed { retry_after },
            9 => Signal::Completed,
            10 => Signal::Progressed,
            _ => Signal::Throttled { retry_after },
        };
        let position = self.draw.usize(0..self.held.len());
        self.report(position, signal);
        self.held[position].probing = false;
    }

    fn give_back(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let position = self.draw.usize(0..self.held.len());
        self.report(position, Signal::Released);
        let held = self.held.swap_remove(position);
        let is_probe = |other: &Held| other.ticket.is_probe() && other.period == self.period;
        let is_alone = !self.held.iter().any(is_probe);
        let is_half_open = self.last.state == BreakerState::HalfOpen;
        if held.probing && held.period == self.period && is_alone && is_half_open {
            let refused = self.breaker.refuses(self.now);
            assert_eq!(refused, None, "a cancelled probe kept its place");
        }
    }

    fn report(&mut self, position: usize, signal: Signal) {
        let circumstances = Circumstances {
            now: self.now,
            jitter: self.draw.f64(),
            healthier_alternative: self.draw.bool(),
            retry_ratio: 0.2,
        };
        let before = self.breaker.snapshot(self.now);
        let held = &mut self.held[position];
        let is_stale = held.period != self.period;
        let transition = self.breaker.report(&mut held.ticket, signal, circumstances);
        let after = self.breaker.snapshot(self.now);
        self.has_succeeded |= !is_stale
            && !matches!(
                signal,
                Signal::Stalled
                    | Signal::CutShort { .. }
                    | Signal::Failed { .. }
                    | Signal::Throttled { .. }
                    | Signal::Released
            );
        if is_stale {
            assert_eq!(transition, None, "a ticket of the past decided");
            assert_eq!(before, after, "a ticket of the past counted");
        }
        if let Some(transition) = transition {
            assert_eq!(transition.from, before.state);
            assert_eq!(transition.to, after.state);
        }
        self.notice_change();
    }

    /// Counts an opening or a closing, by whatever it came.
    fn notice_change(&mut self) {
        let snapshot = self.breaker.snapshot(self.now);
        let is_closed = |of: &Snapshot| of.state == BreakerState::Closed;
        if is_closed(&snapshot) != is_closed(&self.last) {
            self.period += 1;
            self.has_succeeded = false;
        }
        self.last = snapshot;
    }

    /// The target is healthy from here on, though tickets of before are never given back: three
    /// probes close the breaker as soon as it lets them through.
    fn close(mut self) {
        let longest_open = self.settings.open_max.mul_f64(1.2);
        let limit = self.now
            + longest_open
                .max(self.settings.retry_after_max)
                .max(self.settings.lasting_answer);
        let mut probes = 0;
        while self.breaker.is_open() {
            while let Some(Barred::Open(until) | Barred::Probing(until)) =
                self.breaker.refuses(self.now)
            {
                self.now = until;
            }
            assert!(self.now <= limit, "it stays open");
            self.admit();
            let newest = self.held.len() - 1;
            self.report(newest, Signal::FirstContent { slow: false });
            self.report(newest, Signal::Completed);
            self.held[newest].probing = false;
            probes += 1;
            assert!(probes <= self.settings.probe_successes);
        }
    }
}
