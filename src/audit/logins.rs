//! How are failed logins recorded without a row for each? Summed by address and minute; the number of addresses is bounded.

use std::collections::BTreeMap;

/// The most addresses that are counted apart within a minute.
const MOST_ADDRESSES: usize = 1_000;

/// What the addresses beyond the limit are called together.
const OTHERS: &str = "(other)";

/// The failed logins of one address within one minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginMinute {
    /// The minute, counted from 1970.
    pub minute: u64,
    /// The address.
    pub address: String,
    /// How many there were.
    pub count: u64,
}

/// Sums failed logins until their minute has ended.
#[derive(Debug, Default)]
pub struct FailedLogins {
    /// By minute and address.
    counts: BTreeMap<(u64, String), u64>,
}

impl FailedLogins {
    /// Counts one from this address, in the minute since 1970 that runs.
    pub fn count(&mut self, minute: u64, address: &str) {
        let key = (minute, address.to_owned());
        if let Some(count) = self.counts.get_mut(&key) {
            *count += 1;
            return;
        }
        let is_full = self.counts.len() >= MOST_ADDRESSES;
        let address = if is_full { OTHERS } else { address };
        *self.counts.entry((minute, address.to_owned())).or_default() += 1;
    }

    /// Takes the sums of the minutes before this one.
    pub fn ended_before(&mut self, minute: u64) -> Vec<LoginMinute> {
        let open = self.counts.split_off(&(minute, String::new()));
        let ended = std::mem::replace(&mut self.counts, open);
        let ended = ended.into_iter();
        ended
            .map(|((minute, address), count)| LoginMinute {
                minute,
                address,
                count,
            })
            .collect()
    }

    /// Takes all sums, those of a minute that still runs as well.
    pub fn all(&mut self) -> Vec<LoginMinute> {
        self.ended_before(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(minute: u64, address: &str, count: u64) -> LoginMinute {
        LoginMinute {
            minute,
            address: address.to_owned(),
            count,
        }
    }

    #[test]
    fn failed_logins_are_summed_by_address_and_minute() {
        let mut logins = FailedLogins::default();
        for (minute, address) in [(1, "a"), (1, "b"), (1, "a"), (2, "a")] {
            logins.count(minute, address);
        }

        assert_eq!(logins.ended_before(2), [sum(1, "a", 2), sum(1, "b", 1)]);
        assert_eq!(logins.ended_before(2), []);
        assert_eq!(logins.all(), [sum(2, "a", 1)]);
    }

    #[test]
    fn many_addresses_take_up_bounded_memory_and_none_goes_uncounted() {
        let mut logins = FailedLogins::default();
        for address in 0..5_000 {
            logins.count(1, &address.to_string());
        }

        let sums = logins.all();

        assert_eq!(sums.len(), MOST_ADDRESSES + 1);
        assert_eq!(sums.iter().map(|sum| sum.count).sum::<u64>(), 5_000);
    }
}
