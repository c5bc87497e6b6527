//! What does an attempt, or a call, cost, and how far is that known?

use super::version::PriceVersion;

/// An amount of money. Only this module makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    nanos: i64,
    source: CostSource,
    version: Option<PriceVersion>,
}

/// Where an amount of money comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostSource {
    /// Tokens that the provider counted, times the configured prices.
    Prices,
    /// The provider reported it.
    Provider,
    /// Tokens that were estimated in part or wholly, times the configured prices or a declared ceiling.
    Estimated,
    /// A price or a count is missing, so that the amount is not the whole.
    Unknown,
    /// More than one of the others, none of them [`CostSource::Unknown`]. In sums only.
    Mixed,
}

impl CostSource {
    /// Its name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prices => "price_table",
            Self::Provider => "provider",
            Self::Estimated => "estimated",
            Self::Unknown => "unknown",
            Self::Mixed => "mixed",
        }
    }
}

impl Cost {
    /// The amount 0 of something that is not charged for. No price is needed to know it.
    pub(super) const NOTHING: Self = Self {
        nanos: 0,
        source: CostSource::Prices,
        version: None,
    };

    /// An amount of which nothing is known, perhaps only for now.
    pub const UNKNOWN: Self = Self {
        nanos: 0,
        source: CostSource::Unknown,
        version: None,
    };

    /// An amount worked out with the prices of this version.
    pub(super) fn by_prices(nanos: i64, is_whole: bool, version: PriceVersion) -> Self {
        Self {
            nanos,
            source: match is_whole {
                true => CostSource::Prices,
                false => CostSource::Unknown,
            },
            version: Some(version),
        }
    }

    /// The same amount, whose tokens were estimated; an unknown one stays unknown.
    pub(super) fn estimated(self) -> Self {
        match self.source {
            CostSource::Unknown => self,
            _ => Self {
                source: CostSource::Estimated,
                ..self
            },
        }
    }

    /// An amount worked out with a declared ceiling, since a price is not known.
    pub(super) fn by_ceiling(nanos: i64) -> Self {
        Self {
            nanos,
            source: CostSource::Estimated,
            version: None,
        }
    }

    /// An amount that the provider has reported.
    pub(super) fn of_provider(nanos: i64) -> Self {
        Self {
            nanos,
            source: CostSource::Provider,
            version: None,
        }
    }

    /// The same amount, which is not the whole.
    pub(super) fn in_part(self) -> Self {
        Self {
            source: CostSource::Unknown,
            ..self
        }
    }

    /// In nano-USD: what is known of it. Never negative.
    pub fn nanos(self) -> i64 {
        self.nanos
    }

    /// Where the amount comes from.
    pub fn source(self) -> CostSource {
        self.source
    }

    /// The prices that it was worked out with; `None` if no price was needed, and of a sum over several versions.
    pub fn version(self) -> Option<PriceVersion> {
        self.version
    }

    /// The sum of two amounts. One that is too large to be written stays the largest, and is not the whole.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        use CostSource::{Mixed, Unknown};
        if self == Self::NOTHING {
            return other;
        }
        if other == Self::NOTHING {
            return self;
        }
        let (nanos, source) = match self.nanos.checked_add(other.nanos) {
            None => (i64::MAX, Unknown),
            Some(nanos) => match (self.source, other.source) {
                (Unknown, _) | (_, Unknown) => (nanos, Unknown),
                (one, other) if one == other => (nanos, one),
                _ => (nanos, Mixed),
            },
        };
        let version = match (self.version, other.version) {
            (Some(one), Some(other)) if one != other => None,
            (one, other) => one.or(other),
        };
        Self {
            nanos,
            source,
            version,
        }
    }
}

#[cfg(test)]
impl Cost {
    /// An amount for the tests of what shows one.
    pub(crate) const fn specimen(nanos: i64, source: CostSource) -> Self {
        Self {
            nanos,
            source,
            version: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_known_if_all_of_it_is() {
        use CostSource::{Estimated, Mixed, Prices, Provider, Unknown};
        let table = [
            (Prices, Prices, Prices),
            (Provider, Provider, Provider),
            (Prices, Provider, Mixed),
            (Estimated, Estimated, Estimated),
            (Estimated, Prices, Mixed),
            (Estimated, Unknown, Unknown),
            (Mixed, Prices, Mixed),
            (Mixed, Provider, Mixed),
            (Unknown, Prices, Unknown),
            (Provider, Unknown, Unknown),
            (Mixed, Unknown, Unknown),
        ];
        for (one, other, expected) in table {
            let (one, other) = (Cost::specimen(1, one), Cost::specimen(2, other));

            assert_eq!(one.plus(other), Cost::specimen(3, expected));
            assert_eq!(other.plus(one), Cost::specimen(3, expected));
        }
    }

    #[test]
    fn what_costs_nothing_changes_no_sum() {
        let by_provider = Cost::of_provider(5);

        assert_eq!(by_provider.plus(Cost::NOTHING), by_provider);
        assert_eq!(Cost::NOTHING.plus(by_provider), by_provider);
    }

    #[test]
    fn a_sum_has_a_version_if_there_is_only_one() {
        let (one, other) = (PriceVersion::of("a"), PriceVersion::of("b"));
        let cost = |version| Cost::by_prices(1, true, version);

        assert_eq!(cost(one).plus(cost(one)).version(), Some(one));
        assert_eq!(cost(one).plus(cost(other)).version(), None);
        assert_eq!(cost(one).plus(Cost::of_provider(1)).version(), Some(one));
    }

    #[test]
    fn a_sum_that_is_too_large_is_not_the_whole() {
        let sum = Cost::of_provider(i64::MAX).plus(Cost::of_provider(1));

        assert_eq!(sum.nanos(), i64::MAX);
        assert_eq!(sum.source(), CostSource::Unknown);
    }
}
