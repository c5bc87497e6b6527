//! When does a window begin and end? Calendar windows in a time zone. Pure.
//!
//! A day is `[local midnight, next local midnight)`: 23 or 25 hours long where clocks change. Where midnight does not
//! exist, the day begins at the first instant after it.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::window_tally::WindowBounds;

/// A time zone by its IANA name. Its rules are built in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// The time over which a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitWindow {
    /// A minute, refilled evenly.
    Minute,
    /// From the full hour.
    Hour,
    /// From midnight.
    Day,
    /// From Monday, midnight.
    Week,
    /// From the first of the month, midnight.
    Month,
    /// From the first of January, midnight.
    Year,
    /// For ever.
    Total,
}

impl LimitWindow {
    /// Every window, the shortest first.
    pub const ALL: [Self; 7] = [
        Self::Minute,
        Self::Hour,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Year,
        Self::Total,
    ];

    /// Its name in the configuration and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
            Self::Total => "total",
        }
    }
}

impl Zone {
    /// UTC.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The zone with this IANA name, such as `Asia/Shanghai`.
    pub fn named(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(Self)
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The window to which this second belongs.
    pub fn window(&self, kind: LimitWindow, second: i64) -> WindowBounds {
        let bounds = match kind {
            // A minute is refilled evenly: it has no bounds.
            LimitWindow::Total | LimitWindow::Minute => Some(WindowBounds::ALWAYS),
            LimitWindow::Hour => self.hour(second),
            LimitWindow::Day | LimitWindow::Week | LimitWindow::Month | LimitWindow::Year => {
                self.days(kind, second)
            }
        };
        // At the ends of the calendar, thousands of years away, a window lasts for ever.
        bounds.unwrap_or(WindowBounds::ALWAYS)
    }

    /// The hour of a clock on the wall. A change of the clock ends it, unless it falls on a full hour anyway.
    fn hour(&self, second: i64) -> Option<WindowBounds> {
        let now = Timestamp::from_second(second).ok()?;
        let local = second + i64::from(self.0.to_offset(now).seconds());
        let start = second - local.rem_euclid(3600);
        let end = start + 3600;
        let changed = self
            .0
            .preceding(Timestamp::from_second(second + 1).ok()?)
            .next();
        let changes = self.0.following(now).next();
        Some(WindowBounds {
            start: changed.map_or(start, |change| start.max(change.timestamp().as_second())),
            end: changes.map_or(end, |change| end.min(change.timestamp().as_second())),
        })
    }

    fn days(&self, kind: LimitWindow, second: i64) -> Option<WindowBounds> {
        let now = Timestamp::from_second(second).ok()?;
        let today = self.0.to_datetime(now).date();
        let (first, next) = match kind {
            LimitWindow::Week => {
                let after_monday = i64::from(today.weekday().to_monday_zero_offset());
                let monday = later(today, -after_monday)?;
                (monday, later(monday, 7)?)
            }
            LimitWindow::Month => {
                let first = today.first_of_month();
                (first, later(first, 31)?.first_of_month())
            }
            LimitWindow::Year => {
                let first = today.first_of_year();
                (first, later(first, 366)?.first_of_year())
            }
            LimitWindow::Day | LimitWindow::Minute | LimitWindow::Hour | LimitWindow::Total => {
                (today, today.tomorrow().ok()?)
            }
        };
        Some(WindowBounds {
            start: self.beginning(first)?,
            end: self.beginning(next)?,
        })
    }

    /// The first second of a day.
    fn beginning(&self, day: Date) -> Option<i64> {
        let midnight = self.0.to_ambiguous_timestamp(day.at(0, 0, 0, 0));
        let skipped = matches!(midnight.offset(), AmbiguousOffset::Gap { .. });
        let instant = midnight.compatible().ok()?.as_second();
        if !skipped {
            return Some(instant);
        }
        // Clocks went forward over midnight: the day begins with the change.
        let after = Timestamp::from_second(instant + 1).ok()?;
        let change = self.0.preceding(after).next()?;
        Some(change.timestamp().as_second())
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

/// The date so many days later.
fn later(date: Date, days: i64) -> Option<Date> {
    date.checked_add(jiff::Span::new().try_days(days).ok()?)
        .ok()
}

/// The second since 1970 in which a time lies.
pub(super) fn second_of(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => {
            let before = before.duration();
            let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            let begun = i64::from(before.subsec_nanos() > 0);
            seconds.saturating_add(begun).saturating_neg()
        }
    }
}
