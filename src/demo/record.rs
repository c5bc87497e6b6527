//! What has happened so far: acts, calls and breakers, as they were seen from outside. Pure.

use std::time::Duration;

use crate::grpc::v1::{self, BreakerState};

use super::PRIMARY;
use super::acts::{Act, Awaited};
use super::caller::{Ended, Fate};
use crate::caller::Method;

/// Everything that was seen. Times count from the beginning of the demonstration.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// What is worth a line, in order.
    pub(super) events: Vec<(Duration, Event)>,
    /// Every call by its number.
    pub(super) calls: Vec<Call>,
    /// The breakers as last seen, the primary's first.
    pub(super) breakers: Vec<v1::Breaker>,
}

/// Something that is worth a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// An act began, by its number from 0.
    Act(usize),
    /// A breaker was seen in another state than before.
    Breaker {
        provider: String,
        from: BreakerState,
        to: BreakerState,
    },
    /// A call was lost.
    Lost { call: usize, why: String },
}

/// A call, under way or over.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) ended: Option<Ended>,
}

/// Sums over all calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) calls: usize,
    pub(super) streams: usize,
    pub(super) under_way: usize,
    pub(super) primary: usize,
    pub(super) backup: usize,
    pub(super) rescued: usize,
    pub(super) interrupted: usize,
    pub(super) lost: usize,
    pub(super) attempts: usize,
}

impl Counts {
    pub(super) fn answered(&self) -> usize {
        self.primary + self.backup + self.rescued
    }

    /// Attempts for each call that is over.
    pub(super) fn attempts_per_call(&self) -> f64 {
        let over = self.calls - self.under_way;
        self.attempts as f64 / over.max(1) as f64
    }
}

/// A failure of the primary that its breaker should have noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outage {
    /// Title of the act.
    pub(super) title: &'static str,
    /// From the first moment of the failure until the breaker was open.
    pub(super) opened_after: Option<Duration>,
    /// From its last moment until the breaker was closed.
    pub(super) closed_after: Option<Duration>,
}

impl Record {
    pub(super) fn act_began(&mut self, at: Duration, number: usize) {
        self.events.push((at, Event::Act(number)));
    }

    /// Notes a new call and gives it its number.
    pub(super) fn call_began(&mut self, method: Method) -> usize {
        self.calls.push(Call {
            method,
            ended: None,
        });
        self.calls.len() - 1
    }

    pub(super) fn call_ended(&mut self, at: Duration, number: usize, ended: Ended) {
        if let Fate::Lost(why) = &ended.fate {
            let why = why.clone();
            self.events.push((at, Event::Lost { call: number, why }));
        }
        if let Some(call) = self.calls.get_mut(number) {
            call.ended = Some(ended);
        }
    }

    /// Records the breakers' states, and what has changed since the last look.
    pub(super) fn looked(&mut self, at: Duration, mut breakers: Vec<v1::Breaker>) {
        breakers.retain(|breaker| !breaker.model.is_empty()); // endpoints have breakers of their own
        breakers.sort_by_key(|breaker| breaker.provider != PRIMARY);
        for breaker in &breakers {
            let before = self
                .breakers
                .iter()
                .find(|before| before.model == breaker.model);
            let (from, opened) = before.map_or((BreakerState::Closed, 0), |before| {
                (before.state(), before.opened_total)
            });
            let to = breaker.state();
            // It has opened again between two looks: its probe failed.
            let probed = from == to && to == BreakerState::Open && breaker.opened_total > opened;
            let path = match (probed, from == to) {
                (true, _) => vec![from, BreakerState::HalfOpen, to],
                (false, true) => vec![],
                (false, false) => vec![from, to],
            };
            for step in path.windows(2) {
                let provider = breaker.provider.clone();
                let (from, to) = (step[0], step[1]);
                self.events
                    .push((at, Event::Breaker { provider, from, to }));
            }
        }
        self.breakers = breakers;
    }

    /// Whether the condition of the current act has been met.
    pub(super) fn has_seen(&self, awaited: Awaited) -> bool {
        match awaited {
            Awaited::Nothing => true,
            Awaited::Opened => {
                let in_this_act = self
                    .events
                    .iter()
                    .rev()
                    .take_while(|(_, event)| !matches!(event, Event::Act(_)));
                in_this_act
                    .filter_map(|(_, event)| primary_in(event))
                    .any(|state| state == BreakerState::Open)
            }
            Awaited::Closed => self
                .breakers
                .iter()
                .filter(|breaker| breaker.provider == PRIMARY)
                .all(|breaker| breaker.state() == BreakerState::Closed),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts {
            calls: self.calls.len(),
            ..Counts::default()
        };
        for call in &self.calls {
            counts.streams += usize::from(call.method == Method::StreamGenerate);
            let Some(Ended { fate, attempts }) = &call.ended else {
                counts.under_way += 1;
                continue;
            };
            counts.attempts += attempts;
            match fate {
                Fate::Primary => counts.primary += 1,
                Fate::Backup => counts.backup += 1,
                Fate::Rescued => counts.rescued += 1,
                Fate::Interrupted => counts.interrupted += 1,
                Fate::Lost(_) => counts.lost += 1,
            }
        }
        counts
    }

    /// The failures that the breaker should have noticed, of those acts that have begun.
    pub(super) fn outages(&self, acts: &[Act]) -> Vec<Outage> {
        let mut outages = Vec::new();
        for (number, act) in acts.iter().enumerate() {
            let Some(began) = self.began(number) else {
                break;
            };
            if act.awaits != Awaited::Opened {
                continue;
            }
            let ended = self.began(number + 1);
            let opened = self.primary_came(BreakerState::Open, began);
            let closed = ended.and_then(|ended| self.primary_came(BreakerState::Closed, ended));
            outages.push(Outage {
                title: act.title,
                opened_after: opened.map(|opened| opened.saturating_sub(began)),
                closed_after: closed
                    .zip(ended)
                    .map(|(closed, ended)| closed.saturating_sub(ended)),
            });
        }
        outages
    }

    /// How often the primary's breaker has opened.
    pub(super) fn opened_total(&self) -> i64 {
        let primary = self
            .breakers
            .iter()
            .filter(|breaker| breaker.provider == PRIMARY);
        primary.map(|breaker| breaker.opened_total).sum()
    }

    fn began(&self, number: usize) -> Option<Duration> {
        let began = |(at, event): &(Duration, Event)| (*event == Event::Act(number)).then_some(*at);
        self.events.iter().find_map(began)
    }

    /// When the primary's breaker first entered a state after this time.
    fn primary_came(&self, state: BreakerState, after: Duration) -> Option<Duration> {
        let came = |(at, event): &(Duration, Event)| {
            (*at >= after && primary_in(event) == Some(state)).then_some(*at)
        };
        self.events.iter().find_map(came)
    }
}

/// The state that an event brought the primary's breaker into.
fn primary_in(event: &Event) -> Option<BreakerState> {
    match event {
        Event::Breaker { provider, to, .. } if provider == PRIMARY => Some(*to),
        Event::Breaker { .. } | Event::Act(_) | Event::Lost { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::acts::ACTS;
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn primary(state: BreakerState, opened_total: i64) -> Vec<v1::Breaker> {
        vec![v1::Breaker {
            provider: PRIMARY.to_owned(),
            model: "primary/claude".to_owned(),
            state: state.into(),
            opened_total,
            ..v1::Breaker::default()
        }]
    }

    fn breaker_events(record: &Record) -> Vec<(BreakerState, BreakerState)> {
        let mut changes = Vec::new();
        for (_, event) in &record.events {
            if let Event::Breaker { from, to, .. } = event {
                changes.push((*from, *to));
            }
        }
        changes
    }

    #[test]
    fn every_call_is_counted_once() {
        let mut record = Record::default();
        let fates = [
            (Fate::Primary, 1),
            (Fate::Backup, 1),
            (Fate::Rescued, 2),
            (Fate::Interrupted, 1),
            (Fate::Lost("gone".to_owned()), 2),
        ];
        for (fate, attempts) in fates {
            let number = record.call_began(Method::Generate);
            record.call_ended(ms(1), number, Ended { fate, attempts });
        }
        record.call_began(Method::StreamGenerate);

        let counts = record.counts();

        let expected = Counts {
            calls: 6,
            streams: 1,
            under_way: 1,
            primary: 1,
            backup: 1,
            rescued: 1,
            interrupted: 1,
            lost: 1,
            attempts: 7,
        };
        assert_eq!(counts, expected);
        assert_eq!(counts.answered(), 3);
        assert_eq!(counts.attempts_per_call(), 1.4);
        let why = "gone".to_owned();
        assert_eq!(record.events, [(ms(1), Event::Lost { call: 4, why })]);
    }

    #[test]
    fn only_changes_of_a_breaker_are_noted() {
        use BreakerState::{Closed, HalfOpen, Open};
        let mut record = Record::default();

        for (state, opened) in [
            (Closed, 0),
            (Open, 1),
            (Open, 1),
            (HalfOpen, 1),
            (Closed, 1),
        ] {
            record.looked(ms(1), primary(state, opened));
        }

        let expected = [(Closed, Open), (Open, HalfOpen), (HalfOpen, Closed)];
        assert_eq!(breaker_events(&record), expected);
    }

    #[test]
    fn a_probe_that_failed_between_two_looks_is_noted() {
        use BreakerState::{Closed, HalfOpen, Open};
        let mut record = Record::default();

        record.looked(ms(1), primary(Open, 1));
        record.looked(ms(2), primary(Open, 2));

        let expected = [(Closed, Open), (Open, HalfOpen), (HalfOpen, Open)];
        assert_eq!(breaker_events(&record), expected);
        assert_eq!(record.opened_total(), 2);
    }

    #[test]
    fn an_outage_is_timed_from_its_act_and_from_the_next() {
        use BreakerState::{Closed, HalfOpen, Open};
        let hanging = ACTS
            .iter()
            .position(|act| act.awaits == Awaited::Opened)
            .unwrap();
        let mut record = Record::default();
        for act in 0..=hanging {
            record.act_began(ms(1000), act);
        }
        assert!(!record.has_seen(Awaited::Opened));

        record.looked(ms(2100), primary(Open, 1));
        assert!(record.has_seen(Awaited::Opened));
        record.act_began(ms(5000), hanging + 1);
        assert!(!record.has_seen(Awaited::Opened));
        assert!(!record.has_seen(Awaited::Closed));
        record.looked(ms(5500), primary(HalfOpen, 1));
        record.looked(ms(5700), primary(Closed, 1));

        assert!(record.has_seen(Awaited::Closed));
        let expected = Outage {
            title: ACTS[hanging].title,
            opened_after: Some(ms(1100)),
            closed_after: Some(ms(700)),
        };
        assert_eq!(record.outages(&ACTS), [expected]);
    }
}
