//! Which day of the Gregorian calendar is so many days after 1970 began, and the other way round? Pure.
//!
//! Years are taken to begin in March here, so that a leap day is the last day of its year. March, with 31 days, and
//! the months after it then repeat in a pattern of five months with 153 days.

use std::time::{SystemTime, UNIX_EPOCH};

/// From the first of March of the year 0 to the beginning of 1970.
const BEFORE_1970: i64 = 719_468;

/// Four centuries always have the same number of days.
const FOUR_CENTURIES: i64 = 146_097;

/// A moment in microseconds since 1970; one before that, or after the year 200,000, is the nearest that fits.
pub fn unix_us(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Year, month and day, so many days after the first one of 1970.
pub fn date(days: i64) -> (i64, i64, i64) {
    let days = days + BEFORE_1970;
    let (era, day) = (
        days.div_euclid(FOUR_CENTURIES),
        days.rem_euclid(FOUR_CENTURIES),
    );
    let year = (day - day / 1460 + day / 36_524 - day / (FOUR_CENTURIES - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = match month {
        0..=9 => (month + 3, 0),
        _ => (month - 9, 1),
    };
    (era * 400 + year + later, month, day)
}

/// How many days this date is after the first one of 1970.
pub fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - BEFORE_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for number in 0..FOUR_CENTURIES {
            assert_eq!(date(number), (year, month, day));
            assert_eq!(days(year, month, day), number);
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + i64::from(is_leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        assert_eq!((year, month, day), (2370, 1, 1));
    }

    #[test]
    fn days_before_1970_are_counted_backwards() {
        for number in [-1, -365, -BEFORE_1970, -BEFORE_1970 - 1, -FOUR_CENTURIES] {
            let (year, month, day) = date(number);
            assert_eq!(days(year, month, day), number);
        }
        assert_eq!(date(-1), (1969, 12, 31));
        assert_eq!(date(-BEFORE_1970), (0, 3, 1));
    }
}
