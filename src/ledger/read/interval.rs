//! Into which intervals is a time divided, in a time zone? Pure.
//!
//! Usage is summed up by half hours of UTC, so an interval must begin on one of them. A day is from one local midnight to
//! the next: it has 23 or 25 hours when the clocks change. Where midnight does not exist, a day begins at its first moment.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ZonedDateTime};

use super::error::ReadError;

/// The length of a slot of the sums, in seconds.
pub(super) const SLOT: i64 = 1_800;

/// The most intervals that a question may ask for: hours of more than a year.
pub(super) const MOST_INTERVALS: usize = 10_000;

/// The length of an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interval {
    /// One interval for the whole time.
    #[default]
    Whole,
    /// Hours of the zone.
    Hour,
    /// Days of the zone.
    Day,
    /// Months of the zone.
    Month,
}

/// A part of the time that was asked for, in seconds since 1970. `begin` is when its hour, day or month begins, which may
/// be before `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) begin: i64,
    pub(super) from: i64,
    pub(super) until: i64,
}

/// The zone of this IANA name; an empty name is UTC.
///
/// # Errors
/// There is no such zone.
pub fn zone(name: &str) -> Result<TimeZone, ReadError> {
    if name.is_empty() {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| {
        ReadError::invalid(
            "time_zone",
            format!(
                "there is no time zone `{}`; take an IANA name such as `Europe/Berlin`",
                crate::error::excerpt(name)
            ),
        )
    })
}

/// Divides the time from `from` until `until` into intervals, the earliest first.
///
/// # Errors
/// An interval does not begin on a full or half hour of UTC, or there are too many.
pub(super) fn pieces(
    interval: Interval,
    zone: &TimeZone,
    from: i64,
    until: i64,
) -> Result<Vec<Piece>, ReadError> {
    let mut pieces = Vec::new();
    if from >= until {
        return Ok(pieces);
    }
    if interval == Interval::Whole {
        let begin = from;
        return Ok(vec![Piece { begin, from, until }]);
    }
    let mut at = from;
    while at < until {
        let (begin, end) = around(interval, zone, at).ok_or_else(out_of_range)?;
        if begin.rem_euclid(SLOT) != 0 || end.rem_euclid(SLOT) != 0 {
            return Err(ReadError::invalid(
                "time_zone",
                "its hours and days do not begin on a full or half hour of UTC, and usage is summed up by half hours; \
                 take another zone, or no interval",
            ));
        }
        if pieces.len() == MOST_INTERVALS {
            return Err(ReadError::invalid(
                "interval",
                format!(
                    "the time has more than {MOST_INTERVALS} such intervals; take longer ones, or a shorter time"
                ),
            ));
        }
        pieces.push(Piece {
            begin,
            from: at,
            until: end.min(until),
        });
        at = end;
    }
    Ok(pieces)
}

fn out_of_range() -> ReadError {
    ReadError::invalid(
        "filter",
        "the time is outside of the calendar; ask for a time between the years 1970 and 9998",
    )
}

/// The interval around a moment: its begin and its end. `None` beyond the calendar.
fn around(interval: Interval, zone: &TimeZone, at: i64) -> Option<(i64, i64)> {
    let moment = Timestamp::from_second(at)
        .ok()?
        .to_zoned_datetime(zone.clone());
    let (begin, end) = match interval {
        Interval::Whole => return None,
        Interval::Hour => return hour(zone, &moment),
        Interval::Day => {
            let begin = moment.start_of_day().ok()?;
            let next = moment.date().tomorrow().ok()?;
            let next = next.to_zoned_datetime(zone.clone()).ok()?;
            (begin, next.start_of_day().ok()?)
        }
        Interval::Month => {
            let first = moment.date().first_of_month();
            let next = first.checked_add(Span::new().months(1)).ok()?;
            let begin = first.to_zoned_datetime(zone.clone()).ok()?;
            let next = next.to_zoned_datetime(zone.clone()).ok()?;
            (begin.start_of_day().ok()?, next.start_of_day().ok()?)
        }
    };
    Some((begin.timestamp().as_second(), end.timestamp().as_second()))
}

/// The hour of the wall clock around a moment. One that a change of the clocks cuts short ends there, so that the hour that
/// comes twice in autumn is two intervals.
fn hour(zone: &TimeZone, moment: &ZonedDateTime) -> Option<(i64, i64)> {
    let at = moment.timestamp().as_second();
    let offset = i64::from(moment.offset().seconds());
    let begin = at - (at + offset).rem_euclid(3_600);
    let changed = |change: jiff::tz::TimeZoneTransition<'_>| change.timestamp().as_second();
    // A change at this very moment is not among those before it.
    let after = Timestamp::from_second(at + 1).ok()?;
    let before = zone.preceding(after).next().map_or(i64::MIN, changed);
    let next = zone
        .following(moment.timestamp())
        .next()
        .map_or(i64::MAX, changed);
    Some((begin.max(before), (begin + 3_600).min(next)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    fn lengths(interval: Interval, name: &str, from: &str, until: &str) -> Vec<i64> {
        let zone = zone(name).unwrap();
        let pieces = pieces(interval, &zone, second(from), second(until)).unwrap();
        pieces
            .iter()
            .map(|piece| piece.until - piece.from)
            .collect()
    }

    #[test]
    fn days_have_23_or_25_hours_when_the_clocks_change() {
        // The zone, the three days around the change as they are in UTC, their hours.
        let table = [
            (
                "Europe/Berlin",
                "2026-03-27T23:00Z",
                "2026-03-30T22:00Z",
                [24, 23, 24],
            ),
            (
                "Europe/Berlin",
                "2026-10-23T22:00Z",
                "2026-10-26T23:00Z",
                [24, 25, 24],
            ),
            (
                "America/New_York",
                "2026-03-07T05:00Z",
                "2026-03-10T04:00Z",
                [24, 23, 24],
            ),
            (
                "America/New_York",
                "2026-10-31T04:00Z",
                "2026-11-03T05:00Z",
                [24, 25, 24],
            ),
            (
                "Asia/Kolkata",
                "2026-03-27T18:30Z",
                "2026-03-30T18:30Z",
                [24, 24, 24],
            ),
            // Midnight does not exist here on 24 April, and 29 October has two hours from 23 on.
            (
                "Africa/Cairo",
                "2026-04-22T22:00Z",
                "2026-04-25T21:00Z",
                [24, 23, 24],
            ),
            (
                "Africa/Cairo",
                "2026-10-27T21:00Z",
                "2026-10-30T22:00Z",
                [24, 25, 24],
            ),
        ];
        for (name, from, until, hours) in table {
            let lengths = lengths(Interval::Day, name, from, until);
            let expected = hours.map(|hours| hours * 3_600);
            assert_eq!(lengths, expected, "{name} {from}");
        }
        println!(
            "days of another length than their hours: 0 of {}",
            3 * table.len()
        );
    }

    #[test]
    fn hours_follow_the_wall_clock_of_the_zone() {
        let hour = 3_600;
        let day = lengths(
            Interval::Hour,
            "Europe/Berlin",
            "2026-10-24T22:00Z",
            "2026-10-25T23:00Z",
        );
        assert_eq!(day, [hour; 25]);

        let zone = zone("Asia/Kolkata").unwrap();
        let (from, until) = (second("2026-01-01T00:00Z"), second("2026-01-01T01:00Z"));
        let pieces = pieces(Interval::Hour, &zone, from, until).unwrap();
        let begins: Vec<_> = pieces.iter().map(|piece| piece.begin - from).collect();
        assert_eq!(begins, [-1_800, 1_800]);

        // Clocks go back by half an hour here, at 15:00 of UTC.
        let night = lengths(
            Interval::Hour,
            "Australia/Lord_Howe",
            "2026-04-04T14:00Z",
            "2026-04-04T16:30Z",
        );
        assert_eq!(night, [hour, hour / 2, hour]);
    }

    #[test]
    fn months_of_a_zone_begin_with_its_days() {
        let zone = zone("Asia/Shanghai").unwrap();
        let (from, until) = (second("2026-01-15T00:00Z"), second("2026-03-15T00:00Z"));

        let pieces = pieces(Interval::Month, &zone, from, until).unwrap();

        let begins: Vec<_> = pieces.iter().map(|piece| piece.begin).collect();
        let expected = [
            "2025-12-31T16:00Z",
            "2026-01-31T16:00Z",
            "2026-02-28T16:00Z",
        ];
        assert_eq!(begins, expected.map(second));
        assert_eq!(pieces[0].from, from);
        assert_eq!(pieces[2].until, until);
    }

    #[test]
    fn pieces_cover_the_time_without_gap_or_overlap() {
        let (from, until) = (second("2026-01-01T00:30Z"), second("2027-01-01T00:00Z"));
        for name in [
            "UTC",
            "Europe/Berlin",
            "Asia/Kolkata",
            "Australia/Lord_Howe",
            "Africa/Cairo",
        ] {
            let zone = zone(name).unwrap();
            for interval in [
                Interval::Whole,
                Interval::Hour,
                Interval::Day,
                Interval::Month,
            ] {
                let pieces = pieces(interval, &zone, from, until).unwrap();
                let mut at = from;
                for piece in &pieces {
                    assert_eq!(piece.from, at, "{name} {interval:?}");
                    assert!(piece.begin <= piece.from && piece.from < piece.until);
                    at = piece.until;
                }
                assert_eq!(at, until);
            }
        }
    }

    #[test]
    fn what_cannot_be_divided_is_refused_with_the_remedy() {
        let (from, until) = (second("2026-01-01T00:00Z"), second("2026-01-02T00:00Z"));
        let refused = |interval, name: &str, until| match zone(name)
            .and_then(|zone| pieces(interval, &zone, from, until))
        {
            Err(ReadError::Invalid { field, what }) => (field, what),
            other => panic!("{other:?}"),
        };

        assert_eq!(
            refused(Interval::Day, "Asia/Kathmandu", until).0,
            "time_zone"
        );
        assert_eq!(refused(Interval::Day, "Mars/Olympus", until).0, "time_zone");
        assert_eq!(
            refused(Interval::Hour, "UTC", from + 10_001 * 3_600).0,
            "interval"
        );
        let beyond =
            pieces(Interval::Month, &TimeZone::UTC, i64::MAX / 4, i64::MAX / 2).unwrap_err();
        assert!(
            matches!(
                beyond,
                ReadError::Invalid {
                    field: "filter",
                    ..
                }
            ),
            "{beyond}"
        );
    }
}
