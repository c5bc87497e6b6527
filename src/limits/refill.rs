//! What may be used of a minute's amount that is refilled evenly? Pure: the generic cell rate algorithm, which ATM made
//! known, in its form of a bucket that leaks.
//!
//! The bucket holds one amount at most, and loses one amount a minute. What turns out larger than it was estimated goes
//! in even if the bucket then holds more: that is debt, and nothing more is let in until it has leaked away.

/// The time in which a full bucket runs empty.
const MINUTE: i128 = 60_000_000_000;

/// A bucket that leaks.
#[derive(Clone, Debug, Default)]
pub(super) struct Refill {
    /// What is in it, in units times nanoseconds, so that no leak is rounded.
    level: i128,
    /// Up to when it has leaked, in nanoseconds of a clock that is never set back.
    at: i64,
    /// What is set aside for attempts under way, whether it has leaked already or not.
    reserved: i64,
}

impl Refill {
    /// Lets a bucket that nothing was put in begin at this moment, in nanoseconds, which may be past.
    pub(super) fn begin_at(&mut self, at: i64) {
        if self.is_idle() {
            self.at = at;
        }
    }

    /// Puts in what was used, whether it fits or not.
    pub(super) fn add(&mut self, used: i64) {
        self.level = self.level.saturating_add(i128::from(used) * MINUTE);
    }

    /// Lets the bucket of this amount leak until `now`, in nanoseconds.
    pub(super) fn leak(&mut self, amount: i64, now: i64) {
        let elapsed = i128::from(now.saturating_sub(self.at).max(0));
        let leaked = i128::from(amount).saturating_mul(elapsed);
        self.level = self.level.saturating_sub(leaked).max(0);
        self.at = self.at.max(now);
    }

    /// What may still go in. Negative if the bucket holds debt.
    pub(super) fn room(&self, amount: i64) -> i64 {
        // Rounded down: a part of a unit is no room.
        let room = (i128::from(amount) * MINUTE - self.level).div_euclid(MINUTE);
        i64::try_from(room).unwrap_or(i64::MIN)
    }

    /// After how many nanoseconds so much more fits; `None` if it never does.
    pub(super) fn wait(&self, amount: i64, wanted: i64) -> Option<i64> {
        if wanted > amount {
            return None;
        }
        let over = self.level + i128::from(wanted - amount) * MINUTE;
        match (over > 0, amount) {
            (false, _) => Some(0),
            (true, 0) => None,
            (true, amount) => i64::try_from(divided_up(over, amount.into())).ok(),
        }
    }

    /// Puts something in. When it will have leaked away, in nanoseconds, if nothing is taken out.
    pub(super) fn put(&mut self, amount: i64, wanted: i64) -> i64 {
        self.level = self.level.saturating_add(i128::from(wanted) * MINUTE);
        self.reserved = self.reserved.saturating_add(wanted);
        let lasts = match amount {
            0 => i64::MAX,
            amount => i64::try_from(divided_up(self.level, amount.into())).unwrap_or(i64::MAX),
        };
        self.at.saturating_add(lasts)
    }

    /// Something that was put in, and that was to be gone at `mark`, turns out to be `actual`.
    pub(super) fn correct(&mut self, amount: i64, mark: i64, reserved: i64, actual: i64) {
        self.reserved = self.reserved.saturating_sub(reserved);
        let more = i128::from(actual) - i128::from(reserved);
        if more >= 0 {
            self.level = self.level.saturating_add(more * MINUTE);
            return;
        }
        // What has leaked away cannot be taken out again. It leaked in the order in which it was put in.
        let left = i128::from(mark.saturating_sub(self.at).max(0)).saturating_mul(amount.into());
        let less = (-more * MINUTE).min(left);
        self.level = self.level.saturating_sub(less).max(0);
    }

    /// What has been used of the minute.
    pub(super) fn used(&self) -> i64 {
        let held = i64::try_from(divided_up(self.level, MINUTE)).unwrap_or(i64::MAX);
        held.saturating_sub(self.reserved).max(0)
    }

    /// What is set aside for attempts under way.
    pub(super) fn reserved(&self) -> i64 {
        self.reserved
    }

    /// Whether it is as if it had never been used.
    pub(super) fn is_idle(&self) -> bool {
        self.level == 0 && self.reserved == 0
    }
}

fn divided_up(dividend: i128, divisor: i128) -> i128 {
    dividend.div_euclid(divisor) + i128::from(dividend.rem_euclid(divisor) != 0)
}
