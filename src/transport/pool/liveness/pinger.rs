//! When is the peer of an HTTP/2 connection pinged, when is it doubted, and when is it given up? Pure.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::Liveness;

/// A peer that has sent nothing since a request is pinged after this time.
const ASK_AFTER: Duration = Duration::from_secs(1);

/// A peer that sends nothing while streams are open is pinged after this time.
const QUIET: Duration = Duration::from_secs(10);

/// The least time between two pings. Some hosts close connections that ping more often.
const SPACING: Duration = Duration::from_secs(5);

/// A connection whose ping is unanswered for this long gets no requests until bytes arrive.
const DOUBT_AFTER: Duration = Duration::from_secs(2);

/// Streams that have received nothing are given up on a connection whose ping is not answered within this, while
/// nothing can be written either. Their calls go elsewhere long before their own limits.
const LOSE_AFTER: Duration = Duration::from_secs(4);

/// A connection whose ping is not answered within this is closed: every limit of its streams has been
/// reached by then, and a network that is merely slow has had its time.
const GIVE_UP_AFTER: Duration = Duration::from_secs(20);

/// What the task of a connection is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) enum PingStep {
    /// Nothing until this moment, or until something happens.
    Wait(Option<Instant>),
    /// Send a ping.
    Ping,
    /// Close the connection: its peer is gone.
    Close,
}

/// Decides when a connection is pinged.
#[derive(Debug, Default)]
pub(in crate::transport) struct Pinger {
    pinged: Option<Instant>,
}

impl Pinger {
    /// The next step. A ping that is returned counts as sent. Marks the peer as doubted if that is due.
    pub(in crate::transport) fn next_step(
        &mut self,
        liveness: &Liveness,
        now: Instant,
    ) -> PingStep {
        let (read, asked) = (
            liveness.at(&liveness.0.read),
            liveness.at(&liveness.0.asked),
        );
        if let Some(pinged) = self.pinged.filter(|pinged| *pinged > read) {
            if now >= pinged + GIVE_UP_AFTER {
                return PingStep::Close;
            }
            if now >= pinged + DOUBT_AFTER {
                liveness.doubts();
                let stuck = pinged.max(liveness.at(&liveness.0.written));
                if now < stuck + LOSE_AFTER {
                    return PingStep::Wait(Some((stuck + LOSE_AFTER).min(pinged + GIVE_UP_AFTER)));
                }
                liveness.loses();
                return PingStep::Wait(Some(pinged + GIVE_UP_AFTER));
            }
            return PingStep::Wait(Some(pinged + DOUBT_AFTER));
        }
        let mut due = if asked > read {
            asked + ASK_AFTER
        } else if liveness.0.open.load(Ordering::Relaxed) > 0 {
            read + QUIET
        } else {
            return PingStep::Wait(None);
        };
        if let Some(pinged) = self.pinged {
            due = due.max(pinged + SPACING);
        }
        if due > now {
            return PingStep::Wait(Some(due));
        }
        self.pinged = Some(now);
        PingStep::Ping
    }

    /// Whether a ping was ever sent.
    pub(in crate::transport) fn has_pinged(&self) -> bool {
        self.pinged.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_peer_that_answers_at_once_is_never_pinged() {
        let start = Instant::now();
        let (liveness, mut pinger) = (Liveness::new(start), Pinger::default());
        for request in 1..100 {
            let asked = start + seconds(f64::from(request));
            liveness.note_request(asked);
            let due = PingStep::Wait(Some(asked + ASK_AFTER));
            assert_eq!(pinger.next_step(&liveness, asked), due);
            liveness.note_bytes(asked + seconds(0.9));
            liveness.note_stream_end();
            assert_eq!(
                pinger.next_step(&liveness, asked + seconds(0.95)),
                PingStep::Wait(None)
            );
        }
        assert!(!pinger.has_pinged());
    }

    #[test]
    fn a_peer_that_says_nothing_is_pinged_then_doubted_then_given_up() {
        let start = Instant::now();
        let at = |second| start + seconds(second);
        let (liveness, mut pinger) = (Liveness::new(start), Pinger::default());
        liveness.note_request(at(5.0));

        assert_eq!(
            pinger.next_step(&liveness, at(5.9)),
            PingStep::Wait(Some(at(6.0)))
        );
        assert_eq!(pinger.next_step(&liveness, at(6.0)), PingStep::Ping);
        assert_eq!(
            pinger.next_step(&liveness, at(6.0)),
            PingStep::Wait(Some(at(8.0)))
        );
        assert!(!liveness.is_doubted());
        liveness.note_request(at(7.0));
        assert_eq!(
            pinger.next_step(&liveness, at(8.0)),
            PingStep::Wait(Some(at(10.0)))
        );
        assert!(liveness.is_doubted());
        assert!(!liveness.is_lost());
        assert_eq!(
            pinger.next_step(&liveness, at(10.0)),
            PingStep::Wait(Some(at(26.0)))
        );
        assert!(liveness.is_lost());
        assert_eq!(pinger.next_step(&liveness, at(26.0)), PingStep::Close);
    }

    #[test]
    fn a_peer_that_still_takes_a_request_is_not_given_up() {
        let start = Instant::now();
        let at = |second| start + seconds(second);
        let (liveness, mut pinger) = (Liveness::new(start), Pinger::default());
        liveness.note_request(at(0.5));
        assert_eq!(pinger.next_step(&liveness, at(1.5)), PingStep::Ping);
        for second in 4..12 {
            liveness.note_write(at(f64::from(second)));
            let due = at(f64::from(second + 4));
            assert_eq!(
                pinger.next_step(&liveness, at(f64::from(second))),
                PingStep::Wait(Some(due))
            );
        }
        assert!(!liveness.is_lost());

        pinger.next_step(&liveness, at(15.0));
        assert!(liveness.is_lost());
        liveness.note_bytes(at(15.5));
        assert!(!liveness.is_lost());
    }

    #[test]
    fn a_peer_that_speaks_after_all_is_trusted_again() {
        let start = Instant::now();
        let at = |second| start + seconds(second);
        let (liveness, mut pinger) = (Liveness::new(start), Pinger::default());
        liveness.note_request(at(0.5));
        assert_eq!(pinger.next_step(&liveness, at(1.5)), PingStep::Ping);
        pinger.next_step(&liveness, at(3.5));
        assert!(liveness.is_doubted());

        liveness.note_bytes(at(4.0));

        assert!(!liveness.is_doubted());
        assert_eq!(
            pinger.next_step(&liveness, at(4.0)),
            PingStep::Wait(Some(at(14.0)))
        );
    }

    #[test]
    fn an_answer_that_takes_long_costs_a_ping_now_and_then() {
        let start = Instant::now();
        let (liveness, mut pinger) = (Liveness::new(start), Pinger::default());
        let mut pings = Vec::new();
        for tenth in 1..600_u32 {
            let now = start + seconds(f64::from(tenth) / 10.0);
            if tenth % 20 == 1 {
                liveness.note_request(now); // one request every two seconds, none of them answered
            }
            if pinger.next_step(&liveness, now) == PingStep::Ping {
                pings.push(tenth / 10);
                liveness.note_bytes(now + seconds(0.01));
            }
        }

        assert_eq!(pings, [1, 6, 11, 16, 21, 26, 31, 36, 41, 46, 51, 56]);
    }

    #[test]
    fn a_connection_that_nobody_uses_is_left_alone() {
        let start = Instant::now();
        let (liveness, mut pinger) = (Liveness::new(start), Pinger::default());

        let step = pinger.next_step(&liveness, start + seconds(1000.0));

        assert_eq!(step, PingStep::Wait(None));
    }
}
