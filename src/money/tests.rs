//! Golden costs: what each attempt costs to the nano-USD, and what is not known.

use std::time::{Duration, SystemTime};

use crate::chat::{ProviderToolUsage, ServedTier, ServiceTier, Usage};
use crate::error::Billing;

use super::CostSource::{Prices as Known, Unknown};
use super::{
    AttemptEnd, AttemptEnding, Ceiling, CostFrom, CostSource, Forecast, OnDisconnect, Price,
    PricedRequest, Prices, Rates, Settled, ToolFees, Validity, most_nanos, output_within, settle,
};
use ServiceTier::{Batch, Flex, Priority, Standard};

/// So many seconds after the beginning of 1970.
fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn rates(input: u64, output: u64, cache: [Option<u64>; 3]) -> Rates {
    let [cache_read_input, cache_write_input, cache_write_long_input] = cache;
    Rates {
        input: Some(input),
        output: Some(output),
        cache_read_input,
        cache_write_input,
        cache_write_long_input,
        ..Rates::default()
    }
}

fn with_searches(rates: Rates) -> Rates {
    Rates {
        tools: ToolFees {
            web_search: Some(10_000_000),
            ..ToolFees::default()
        },
        ..rates
    }
}

fn together(prices: Vec<Price>) -> Prices {
    Prices::together([("maker/model", prices)]).remove(0).1
}

/// A model with two tiers of context, of which the lower one became cheaper, and three other tiers of service.
fn list() -> Vec<Price> {
    let of = |tier, input_tokens_above, rates| Price {
        holds: Validity {
            input_tokens_above,
            ..Validity::always(tier)
        },
        rates,
    };
    let mut old = of(
        Standard,
        0,
        with_searches(rates(
            5_000_000,
            25_000_000,
            [Some(500_000), Some(6_250_000), Some(10_000_000)],
        )),
    );
    old.holds.until = Some(at(1000));
    let mut new = of(
        Standard,
        0,
        with_searches(rates(
            4_000_000,
            20_000_000,
            [Some(400_000), Some(5_000_000), Some(8_000_000)],
        )),
    );
    new.holds.from = Some(at(1000));
    let long = with_searches(rates(
        8_000_000,
        30_000_000,
        [Some(800_000), Some(10_000_000), Some(16_000_000)],
    ));
    let flex = Rates {
        reasoning_output: Some(12_345_678),
        ..rates(
            2_000_000,
            10_000_000,
            [Some(200_000), Some(2_500_000), Some(4_000_000)],
        )
    };
    let batch = Rates {
        request_nanos: 1_500,
        ..rates(1_999_999, 10_000_001, [None; 3])
    };
    vec![
        old,
        new,
        of(Standard, 272_000, long),
        of(Standard, 500_000, rates(12_000_000, 40_000_000, [None; 3])),
        of(
            Priority,
            0,
            rates(8_000_000, 40_000_000, [Some(800_000), None, None]),
        ),
        of(Flex, 0, flex),
        of(Batch, 0, batch),
    ]
}

fn complete(usage: Usage) -> AttemptEnd {
    AttemptEnd {
        ending: AttemptEnding::Complete,
        has_content: true,
        content_bytes: 0,
        forecast: None,
        on_disconnect: OnDisconnect::Cancel,
        ceiling: None,
        usage: Some(usage),
        provider_nanos: None,
        may_cost_more: false,
        began: at(2000),
    }
}

fn settled(end: &AttemptEnd, prices: &[Price]) -> Settled {
    settle(end, Some(&together(prices.to_vec())), CostFrom::Catalogue)
}

/// What is looked at, the tier that was served, when the attempt began, input and output; of that read from a cache,
/// written to it, written for an hour, reasoning, and sound; searches; the nano-USD, and whether they are all.
type Row = (
    &'static str,
    ServiceTier,
    u64,
    (Option<u64>, Option<u64>),
    [u64; 5],
    u32,
    i64,
    CostSource,
);

#[rustfmt::skip]
const GOLDEN: &[Row] = &[
    ("plain input and output", Standard, 2_000, (Some(1_000), Some(100)), [0, 0, 0, 0, 0], 0, 6_000_000, Known),
    ("the least of a token", Standard, 2_000, (Some(1), Some(0)), [0, 0, 0, 0, 0], 0, 4_000, Known),
    ("nothing at all", Standard, 2_000, (Some(0), Some(0)), [0, 0, 0, 0, 0], 0, 0, Known),
    ("a prompt from the cache", Standard, 2_000, (Some(1_000), Some(100)), [1_000, 0, 0, 0, 0], 0, 2_400_000, Known),
    ("one cached token", Standard, 2_000, (Some(1_000), Some(0)), [1, 0, 0, 0, 0], 0, 3_996_400, Known),
    ("one token written for minutes", Standard, 2_000, (Some(1_000), Some(0)), [0, 1, 0, 0, 0], 0, 4_001_000, Known),
    ("all written for minutes", Standard, 2_000, (Some(1_000), Some(0)), [0, 1_000, 0, 0, 0], 0, 5_000_000, Known),
    ("one token written for an hour", Standard, 2_000, (Some(1_000), Some(0)), [0, 1, 1, 0, 0], 0, 4_004_000, Known),
    ("both times of a cache", Standard, 2_000, (Some(1_000), Some(100)), [200, 300, 100, 0, 0], 0, 5_880_000, Known),
    ("reasoning at the rate of output", Standard, 2_000, (Some(1_000), Some(100)), [0, 0, 0, 60, 0], 0, 6_000_000, Known),
    ("a search", Standard, 2_000, (Some(1_000), Some(100)), [0, 0, 0, 0, 0], 1, 16_000_000, Known),
    ("seven searches and a cache", Standard, 2_000, (Some(1_000), Some(100)), [500, 100, 50, 60, 0], 7, 74_450_000, Known),
    ("before the price changed", Standard, 999, (Some(1_000), Some(100)), [0, 0, 0, 0, 0], 0, 7_500_000, Known),
    ("the moment in which it changed", Standard, 1_000, (Some(1_000), Some(100)), [0, 0, 0, 0, 0], 0, 6_000_000, Known),
    ("before the price changed, with a cache", Standard, 999, (Some(1_000), Some(100)), [200, 300, 100, 0, 0], 0, 7_350_000, Known),
    ("before the price changed, with a search", Standard, 0, (Some(1_000), Some(100)), [0, 0, 0, 0, 0], 1, 17_500_000, Known),
    ("one token below the tier", Standard, 2_000, (Some(271_999), Some(10)), [0, 0, 0, 0, 0], 0, 1_088_196_000, Known),
    ("at the tier", Standard, 2_000, (Some(272_000), Some(10)), [0, 0, 0, 0, 0], 0, 1_088_200_000, Known),
    ("one token above the tier", Standard, 2_000, (Some(272_001), Some(10)), [0, 0, 0, 0, 0], 0, 2_176_308_000, Known),
    ("below the tier, nearly all cached", Standard, 2_000, (Some(271_999), Some(10)), [271_000, 0, 0, 0, 0], 0, 112_596_000, Known),
    ("at the tier, nearly all cached", Standard, 2_000, (Some(272_000), Some(10)), [271_000, 0, 0, 0, 0], 0, 112_600_000, Known),
    ("above the tier by cached tokens alone", Standard, 2_000, (Some(272_001), Some(10)), [272_000, 0, 0, 0, 0], 0, 217_908_000, Known),
    ("above the tier, written for minutes", Standard, 2_000, (Some(272_001), Some(10)), [0, 272_000, 0, 0, 0], 0, 2_720_308_000, Known),
    ("above the tier, written for an hour", Standard, 2_000, (Some(272_001), Some(10)), [1, 272_000, 272_000, 0, 0], 0, 4_352_300_800, Known),
    ("above the tier, old price", Standard, 999, (Some(272_001), Some(10)), [100, 100, 50, 5, 0], 1, 2_186_088_000, Known),
    ("at the second tier", Standard, 2_000, (Some(500_000), Some(10)), [100_000, 0, 0, 0, 0], 0, 3_280_300_000, Known),
    ("above the second tier", Standard, 2_000, (Some(500_001), Some(10)), [0, 0, 0, 0, 0], 0, 6_000_412_000, Known),
    ("above the second tier, whose cache has no price", Standard, 2_000, (Some(500_001), Some(10)), [1, 0, 0, 0, 0], 0, 6_000_400_000, Unknown),
    ("above the second tier, whose searches have no price", Standard, 2_000, (Some(500_001), Some(10)), [0, 0, 0, 0, 0], 1, 6_000_412_000, Unknown),
    ("priority", Priority, 2_000, (Some(1_000), Some(100)), [0, 0, 0, 0, 0], 0, 12_000_000, Known),
    ("priority with a cached prompt", Priority, 2_000, (Some(1_000), Some(100)), [400, 0, 0, 0, 0], 0, 9_120_000, Known),
    ("priority, whose writes have no price", Priority, 2_000, (Some(1_000), Some(100)), [0, 400, 0, 0, 0], 0, 8_800_000, Unknown),
    ("priority beyond the tier of the standard", Priority, 2_000, (Some(400_000), Some(100)), [0, 0, 0, 0, 0], 0, 3_204_000_000, Known),
    ("flex", Flex, 2_000, (Some(1_000), Some(100)), [0, 0, 0, 0, 0], 0, 3_000_000, Known),
    ("flex with both times of a cache", Flex, 2_000, (Some(1_000), Some(100)), [200, 300, 100, 0, 0], 0, 2_940_000, Known),
    ("flex with reasoning of its own price", Flex, 2_000, (Some(1_000), Some(100)), [0, 0, 0, 33, 0], 0, 3_077_407, Known),
    ("flex, one token", Flex, 2_000, (Some(1), Some(0)), [0, 0, 0, 0, 0], 0, 2_000, Known),
    ("flex with a search of no known price", Flex, 2_000, (Some(1_000), Some(100)), [0, 0, 0, 0, 0], 1, 3_000_000, Unknown),
    ("batch with its fee", Batch, 2_000, (Some(1_000), Some(100)), [0, 0, 0, 0, 0], 0, 3_001_499, Known),
    ("batch, rounded up from half", Batch, 2_000, (Some(500), Some(0)), [0, 0, 0, 0, 0], 0, 1_001_500, Known),
    ("batch, rounded down", Batch, 2_000, (Some(0), Some(1)), [0, 0, 0, 0, 0], 0, 11_500, Known),
    ("batch, rounded once and not for each part", Batch, 2_000, (Some(500), Some(500)), [0, 0, 0, 0, 0], 0, 6_001_500, Known),
    ("batch without a price for its cache", Batch, 2_000, (Some(1_000), Some(100)), [1, 0, 0, 0, 0], 0, 2_999_499, Unknown),
    ("no count of the output", Standard, 2_000, (Some(1_000), None), [0, 0, 0, 0, 0], 0, 4_000_000, Unknown),
    ("no count of the input in one tier of context", Flex, 2_000, (None, Some(100)), [0, 0, 0, 0, 0], 0, 1_000_000, Unknown),
    ("no count of the input in several", Standard, 2_000, (None, Some(100)), [0, 0, 0, 0, 0], 0, 0, Unknown),
    ("sound", Standard, 2_000, (Some(1_000), Some(100)), [0, 0, 0, 0, 400], 0, 4_400_000, Unknown),
];

#[test]
fn each_attempt_costs_what_its_price_key_says_to_the_nano_dollar() {
    for (name, tier, began, (input, output), parts, searches, nanos, source) in GOLDEN {
        let [read, written, long, reasoning, audio] = *parts;
        let usage = Usage {
            input_tokens: *input,
            output_tokens: *output,
            cache_read_input_tokens: Some(read),
            cache_write_input_tokens: Some(written),
            cache_write_long_input_tokens: Some(long),
            reasoning_output_tokens: Some(reasoning),
            audio_input_tokens: Some(audio),
            provider_tools: ProviderToolUsage {
                web_searches: *searches,
                ..ProviderToolUsage::default()
            },
            service_tier: Some(ServedTier::Known(*tier)),
            ..Usage::default()
        };
        let end = AttemptEnd {
            began: at(*began),
            ..complete(usage)
        };

        let cost = settled(&end, &list()).cost;

        assert_eq!((cost.nanos(), cost.source()), (*nanos, *source), "{name}");
    }
    println!("golden costs: {} of {0}", GOLDEN.len());
}

/// Some of each part that has a rate.
fn all_parts() -> Usage {
    Usage {
        input_tokens: Some(1000),
        output_tokens: Some(100),
        cache_read_input_tokens: Some(200),
        cache_write_input_tokens: Some(300),
        cache_write_long_input_tokens: Some(100),
        reasoning_output_tokens: Some(40),
        provider_tools: ProviderToolUsage {
            web_searches: 1,
            web_fetches: 1,
            code_executions: 1,
            file_searches: 1,
        },
        ..Usage::default()
    }
}

fn all_rates() -> Rates {
    Rates {
        input: Some(4_000_000),
        output: Some(20_000_000),
        cache_read_input: Some(400_000),
        cache_write_input: Some(5_000_000),
        cache_write_long_input: Some(8_000_000),
        reasoning_output: Some(10_000_000),
        tools: ToolFees {
            web_search: Some(1),
            web_fetch: Some(20),
            code_execution: Some(300),
            file_search: Some(4_000),
        },
        request_nanos: 50_000,
    }
}

const ALL: i64 = 2_000_000 + 80_000 + 1_000_000 + 800_000 + 1_200_000 + 400_000 + 4_321 + 50_000;

fn one(rates: Rates) -> Price {
    Price {
        holds: Validity::always(Standard),
        rates,
    }
}

#[test]
fn a_part_without_a_rate_is_unknown_and_adds_nothing() {
    type Removal = fn(&mut Rates);
    // What is removed, and what it added.
    let table: [(Removal, i64); 9] = [
        (|rates| rates.input = None, 2_000_000),
        (|rates| rates.cache_read_input = None, 80_000),
        (|rates| rates.cache_write_input = None, 1_000_000),
        (|rates| rates.cache_write_long_input = None, 800_000),
        (|rates| rates.output = None, 1_200_000),
        (|rates| rates.tools.web_search = None, 1),
        (|rates| rates.tools.web_fetch = None, 20),
        (|rates| rates.tools.code_execution = None, 300),
        (|rates| rates.tools.file_search = None, 4_000),
    ];
    let end = complete(all_parts());
    let whole = settled(&end, &[one(all_rates())]).cost;
    assert_eq!((whole.nanos(), whole.source()), (ALL, Known));
    for (remove, part) in table {
        let mut rates = all_rates();
        remove(&mut rates);

        let cost = settled(&end, &[one(rates)]).cost;

        assert_eq!((cost.nanos(), cost.source()), (ALL - part, Unknown));
        // The same without those tokens needs no such rate.
        let none = complete(Usage {
            input_tokens: Some(0),
            output_tokens: Some(0),
            ..Usage::default()
        });
        assert_eq!(settled(&none, &[one(rates)]).cost.source(), Known);
    }
    // Reasoning without a rate of its own is output.
    let mut rates = all_rates();
    rates.reasoning_output = None;
    let cost = settled(&end, &[one(rates)]).cost;
    assert_eq!((cost.nanos(), cost.source()), (ALL + 400_000, Known));
}

#[test]
fn an_attempt_for_which_no_price_holds_has_an_unknown_cost() {
    let whole = one(all_rates());
    let with = |change: fn(&mut Validity)| {
        let mut price = whole;
        change(&mut price.holds);
        price
    };
    let prices = [
        with(|holds| holds.tier = Flex),
        with(|holds| holds.tier = Batch),
        with(|holds| holds.input_tokens_above = 1000),
        with(|holds| holds.from = Some(at(2001))),
        with(|holds| holds.until = Some(at(2000))),
    ];
    for price in prices {
        let cost = settled(&complete(all_parts()), &[price]).cost;

        assert_eq!((cost.nanos(), cost.source()), (0, Unknown), "{price:?}");
        assert_eq!(cost.version(), None);
    }
    let none = settle(&complete(all_parts()), None, CostFrom::Catalogue);
    assert_eq!(none.cost.source(), Unknown);
    let other = complete(Usage {
        service_tier: Some(ServedTier::Other),
        ..all_parts()
    });
    assert_eq!(settled(&other, &[whole]).cost.source(), Unknown);
}

#[test]
fn an_explicit_zero_is_free_and_known_whatever_was_counted() {
    let free = Rates {
        input: Some(0),
        output: Some(0),
        cache_read_input: Some(0),
        ..Rates::default()
    };
    let usage = |input_tokens, output_tokens| Usage {
        input_tokens,
        output_tokens,
        cache_read_input_tokens: input_tokens,
        ..Usage::default()
    };
    for usage in [usage(Some(1000), Some(100)), usage(None, None)] {
        let cost = settled(&complete(usage), &[one(free)]).cost;

        assert_eq!((cost.nanos(), cost.source()), (0, Known));
        assert!(cost.version().is_some());
    }
    let not_even_counted = AttemptEnd {
        usage: None,
        ..complete(Usage::default())
    };
    assert_eq!(
        settled(&not_even_counted, &[one(free)]).cost.source(),
        Known
    );
    let unknown = Rates::default();
    let cost = settled(&complete(usage(Some(1), Some(0))), &[one(unknown)]).cost;
    assert_eq!((cost.nanos(), cost.source()), (0, Unknown));
}

#[test]
fn the_largest_numbers_cost_the_largest_amount_which_is_not_the_whole() {
    let highest = rates(u64::MAX, u64::MAX, [Some(u64::MAX); 3]);
    let usage = Usage {
        input_tokens: Some(u64::MAX),
        output_tokens: Some(u64::MAX),
        cache_write_input_tokens: Some(u64::MAX / 2),
        ..Usage::default()
    };

    let cost = settled(&complete(usage), &[one(highest)]).cost;

    assert_eq!((cost.nanos(), cost.source()), (i64::MAX, Unknown));
}

#[test]
fn every_ending_has_a_class() {
    use AttemptEnding::{Complete, Empty, Failed, Stopped};
    use Billing::{Actual, Partial, Uncertain, Zero};
    // How it ended, whether content had arrived, whether tokens were counted, the class.
    let table = [
        (Complete, true, true, Actual),
        (Complete, true, false, Uncertain),
        (Complete, false, true, Actual),
        (Empty, false, true, Actual),
        (Empty, false, false, Uncertain),
        (Failed(Zero), false, false, Zero),
        (Failed(Uncertain), false, false, Uncertain),
        (Failed(Zero), true, false, Partial),
        (Failed(Uncertain), true, true, Partial),
        (Failed(Zero), false, true, Partial),
        (Stopped, false, false, Uncertain),
        (Stopped, true, false, Partial),
        (Stopped, false, true, Partial),
    ];
    for (ending, has_content, is_counted, class) in table {
        let end = AttemptEnd {
            ending,
            has_content,
            usage: is_counted.then(all_parts),
            ..complete(all_parts())
        };

        let settled = settled(&end, &[one(all_rates())]);

        assert_eq!(settled.class, class, "{end:?}");
        // Where nothing was counted, the fee alone is known.
        let expected = match (class, is_counted) {
            (Zero, _) => (0, Known),
            (_, true) => (ALL, Known),
            (_, false) => (50_000, Unknown),
        };
        let cost = settled.cost;
        assert_eq!((cost.nanos(), cost.source()), expected, "{end:?}");
    }
}

#[test]
fn what_is_asked_for_and_not_counted_leaves_the_cost_open() {
    let end = AttemptEnd {
        may_cost_more: true,
        ..complete(all_parts())
    };

    let cost = settled(&end, &[one(all_rates())]).cost;

    assert_eq!((cost.nanos(), cost.source()), (ALL, Unknown));
}

#[test]
fn the_cost_that_counts_is_the_one_that_the_operator_chose() {
    use CostFrom::{Catalogue, Provider};
    let known = Some(together(vec![one(all_rates())]));
    let told = Some(7);
    // The prices, the cost that the provider reports, which one counts, the cost.
    let table = [
        (&known, told, Catalogue, (ALL, Known)),
        (&known, told, Provider, (7, CostSource::Provider)),
        (&known, None, Provider, (ALL, Known)),
        (&None, told, Catalogue, (7, CostSource::Provider)),
        (&None, None, Catalogue, (0, Unknown)),
    ];
    for (prices, provider_nanos, cost_from, expected) in table {
        let end = AttemptEnd {
            provider_nanos,
            ..complete(all_parts())
        };

        let settled = settle(&end, prices.as_ref(), cost_from);

        assert_eq!((settled.cost.nanos(), settled.cost.source()), expected);
        let beside = settled.provider_cost.map(|cost| cost.nanos());
        assert_eq!(beside, provider_nanos);
    }
}

#[test]
fn two_costs_diverge_by_more_than_a_fiftieth_and_a_thousand_nano_dollars() {
    // The price of a million tokens in pico-USD each, the cost that the provider reports.
    let of = |input: u64, told: i64| {
        let end = AttemptEnd {
            provider_nanos: Some(told),
            ..complete(Usage {
                input_tokens: Some(1000),
                output_tokens: Some(0),
                ..Usage::default()
            })
        };
        settled(&end, &[one(rates(input, 0, [None; 3]))])
            .diverging_nanos
            .is_some()
    };
    assert!(!of(1_000_000, 1_000_000));
    assert!(!of(1_000_000, 1_020_000));
    assert!(of(1_000_000, 1_021_000));
    assert!(of(1_000_000, 979_000));
    assert!(!of(1_000, 2_000));
    assert!(of(1_000, 2_001));
    assert!(of(1_000_000, 0));
}

#[test]
fn prices_that_follow_each_other_do_not_overlap() {
    let holds = |from: Option<u64>, until: Option<u64>| Validity {
        from: from.map(at),
        until: until.map(at),
        ..Validity::always(Standard)
    };
    let table = [
        ((None, None), (None, None), true),
        ((None, Some(5)), (Some(5), None), false),
        ((None, Some(6)), (Some(5), None), true),
        ((Some(1), Some(2)), (Some(2), Some(3)), false),
        ((Some(1), Some(9)), (Some(2), Some(3)), true),
        ((Some(1), Some(2)), (None, None), true),
    ];
    for ((from, until), (other_from, other_until), overlap) in table {
        let (one, other) = (holds(from, until), holds(other_from, other_until));

        assert_eq!(one.overlaps(&other), overlap, "{one:?} {other:?}");
        assert_eq!(other.overlaps(&one), overlap, "{one:?} {other:?}");
    }
    let flex = Validity::always(Flex);
    assert!(!flex.overlaps(&Validity::always(Standard)));
    let long = Validity {
        input_tokens_above: 1,
        ..flex
    };
    assert!(!flex.overlaps(&long));
}

#[test]
fn a_version_names_all_prices_of_all_models_in_any_order() {
    let version = |models: &[(&'static str, Vec<Price>)]| {
        let together = Prices::together(models.iter().cloned());
        let first = together[0].1.version();
        assert!(together.iter().all(|(_, prices)| prices.version() == first));
        first
    };
    let (a, b) = (("a", list()), ("b", vec![one(all_rates())]));
    let mut reversed = list();
    reversed.reverse();
    let expected = version(&[a.clone(), b.clone()]);
    assert_eq!(version(&[b.clone(), ("a", reversed)]), expected);
    assert_ne!(version(&[("c", list()), b.clone()]), expected);

    let changed = |change: fn(&mut Price)| {
        let mut price = one(all_rates());
        change(&mut price);
        version(&[a.clone(), ("b", vec![price])])
    };
    for change in [
        (|price| price.rates.input = Some(1)) as fn(&mut Price),
        |price| price.rates.cache_read_input = None,
        |price| price.rates.tools.file_search = Some(0),
        |price| price.rates.request_nanos += 1,
        |price| price.holds.tier = Flex,
        |price| price.holds.input_tokens_above = 1,
        |price| price.holds.until = Some(at(9)),
    ] {
        assert_ne!(changed(change), expected);
    }
    let shown = expected.to_string();
    assert_eq!(shown.len(), 12);
    assert!(shown.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

/// What is expected of an attempt whose prompt has some 900 tokens.
const FORECAST: Forecast = Forecast {
    most_input: 2_000,
    most_output: 500,
    usual_input: 900,
    usual_output: 300,
};

#[test]
fn what_the_provider_does_not_count_is_estimated_wherever_it_may_be_charged_for() {
    use AttemptEnding::{Complete, Empty, Failed, Stopped, TimedOut};
    use Billing::{Actual, Partial, Uncertain, Zero};
    use OnDisconnect::{Cancel, CancelFree};
    let told = |input_tokens, output_tokens| {
        Some(Usage {
            input_tokens,
            output_tokens,
            ..Usage::default()
        })
    };
    let all = told(Some(1_000), Some(100));
    // How it ended, bytes of text that arrived, the reported tokens, what a closed connection costs; the class, input and
    // output, and whether any of it is an estimate.
    let table = [
        (
            Complete,
            300,
            all,
            Cancel,
            Actual,
            Some((1_000, 100)),
            false,
        ),
        (
            Complete,
            300,
            None,
            Cancel,
            Uncertain,
            Some((900, 100)),
            true,
        ),
        (
            Complete,
            300,
            told(None, Some(40)),
            Cancel,
            Actual,
            Some((900, 40)),
            true,
        ),
        (
            Complete,
            300,
            told(Some(7), None),
            Cancel,
            Actual,
            Some((7, 100)),
            true,
        ),
        (Empty, 0, all, Cancel, Actual, Some((1_000, 100)), false),
        (Empty, 0, None, Cancel, Uncertain, Some((900, 0)), true),
        (Failed(Zero), 0, None, Cancel, Zero, None, false),
        // A time-out before the first event, or a connection lost after sending.
        (
            Failed(Uncertain),
            0,
            None,
            Cancel,
            Uncertain,
            Some((900, 300)),
            true,
        ),
        // It broke off: the prompt is always charged for.
        (
            Failed(Uncertain),
            60,
            None,
            Cancel,
            Partial,
            Some((900, 20)),
            true,
        ),
        (
            Failed(Zero),
            60,
            told(Some(1_000), Some(1)),
            Cancel,
            Partial,
            Some((1_000, 20)),
            true,
        ),
        (
            Failed(Zero),
            60,
            told(Some(1_000), Some(90)),
            Cancel,
            Partial,
            Some((1_000, 90)),
            false,
        ),
        (Stopped, 0, None, Cancel, Uncertain, Some((900, 300)), true),
        (Stopped, 60, None, Cancel, Partial, Some((900, 20)), true),
        (
            Stopped,
            60,
            told(Some(1_000), None),
            Cancel,
            Partial,
            Some((1_000, 20)),
            true,
        ),
        // More than was set aside counts if it arrived.
        (
            Stopped,
            6_000,
            None,
            Cancel,
            Partial,
            Some((900, 2_000)),
            true,
        ),
        (Stopped, 0, None, CancelFree, Zero, None, false),
        (TimedOut(Uncertain), 0, None, CancelFree, Zero, None, false),
        (TimedOut(Uncertain), 60, None, CancelFree, Zero, None, false),
        (
            TimedOut(Uncertain),
            0,
            None,
            Cancel,
            Uncertain,
            Some((900, 300)),
            true,
        ),
        (Stopped, 60, all, CancelFree, Zero, None, false),
        (
            Complete,
            300,
            all,
            CancelFree,
            Actual,
            Some((1_000, 100)),
            false,
        ),
    ];
    let prices = [one(rates(1_000_000, 10_000_000, [None; 3]))];
    let mut classes = 0;
    for (ending, content_bytes, usage, on_disconnect, class, expected, is_estimated) in table {
        let end = AttemptEnd {
            ending,
            has_content: content_bytes > 0,
            content_bytes,
            usage,
            forecast: Some(FORECAST),
            on_disconnect,
            ..complete(Usage::default())
        };

        let settled = settled(&end, &prices);

        assert_eq!(settled.class, class, "{end:?}");
        let counts = settled.usage.map(|usage| {
            assert_eq!(usage.is_estimated, is_estimated, "{end:?}");
            let told = "neither count is missing";
            (
                usage.input_tokens.expect(told),
                usage.output_tokens.expect(told),
            )
        });
        assert_eq!(counts, expected, "{end:?}");
        let (input, output) = counts.unwrap_or_default();
        let source = match is_estimated {
            true => CostSource::Estimated,
            false => Known,
        };
        let nanos = i64::try_from(input * 1_000 + output * 10_000).expect("small");
        assert_eq!(
            (settled.cost.nanos(), settled.cost.source()),
            (nanos, source),
            "{end:?}"
        );
        classes += 1;
    }
    println!("endings with a class and an estimate: {classes}; without: 0");
}

#[test]
fn a_declared_ceiling_is_charged_where_no_price_is_known() {
    let end = AttemptEnd {
        ceiling: Some(Ceiling(2_000_000_000)),
        ..complete(all_parts())
    };

    let unknown = settle(&end, None, CostFrom::Catalogue).cost;
    let known = settled(&end, &[one(all_rates())]).cost;

    assert_eq!(
        (unknown.nanos(), unknown.source()),
        (1_100 * 2_000, CostSource::Estimated)
    );
    assert_eq!((known.nanos(), known.source()), (ALL, Known));
}

#[test]
fn the_most_that_an_attempt_may_cost_is_unknown_if_any_part_of_its_price_key_is() {
    let plain = PricedRequest {
        tier: None,
        writes_cache: false,
        at: at(2000),
    };
    let most = |prices: Vec<Price>, request: PricedRequest| {
        most_nanos(&FORECAST, &request, Some(&together(prices)), None)
    };
    let whole = one(all_rates());
    // 2,000 tokens in, 500 out, the fee.
    let nanos = 8_000_000 + 10_000_000 + 50_000;
    assert_eq!(most(vec![whole], plain), Some(nanos));
    assert_eq!(most_nanos(&FORECAST, &plain, None, None), None);
    let without = |remove: fn(&mut Price)| {
        let mut price = whole;
        remove(&mut price);
        vec![price]
    };
    let cached = PricedRequest {
        writes_cache: true,
        ..plain
    };
    let flex = PricedRequest {
        tier: Some(Flex),
        ..plain
    };
    // What is removed from the price, and what the request asks for.
    type Removal = fn(&mut Price);
    let removed: [(Removal, PricedRequest); 7] = [
        (|price| price.rates.input = None, plain),
        (|price| price.rates.output = None, plain),
        (|price| price.rates.cache_write_input = None, cached),
        (|price| price.holds.until = Some(at(2000)), plain),
        (|price| price.holds.from = Some(at(2001)), plain),
        (|price| price.holds.input_tokens_above = 2_000, plain),
        (|_| {}, flex),
    ];
    for (remove, request) in removed {
        assert_eq!(most(without(remove), request), None, "{request:?}");
        let ceiling = Some(Ceiling(2_000_000_000));
        let prices = together(without(remove));
        let most = most_nanos(&FORECAST, &request, Some(&prices), ceiling);
        assert_eq!(most, Some(2_500 * 2_000), "the ceiling");
    }
    println!(
        "parts of the price key removed: {}, known: 0",
        removed.len()
    );
    // What is asked to be kept may cost as much as the dearest way to keep it.
    assert_eq!(
        most(vec![whole], cached),
        Some(16_000_000 + 10_000_000 + 50_000)
    );
}

#[test]
fn of_two_tiers_of_context_that_a_prompt_may_be_in_the_dearer_one_is_set_aside() {
    let request = PricedRequest {
        tier: None,
        writes_cache: false,
        at: at(2000),
    };
    let most = |most_input| {
        let forecast = Forecast {
            most_input,
            most_output: 0,
            ..FORECAST
        };
        most_nanos(&forecast, &request, Some(&together(list())), None)
    };
    assert_eq!(most(272_000), Some(1_088_000_000));
    assert_eq!(most(272_001), Some(2_176_008_000));
}

#[test]
fn an_answer_is_as_long_as_the_money_allows_and_no_longer() {
    let request = PricedRequest {
        tier: None,
        writes_cache: false,
        at: at(2000),
    };
    let prices = together(vec![one(rates(1_000_000, 10_000_000, [None; 3]))]);
    let output = |nanos| output_within(nanos, &FORECAST, &request, Some(&prices), None);

    assert_eq!(output(2_000_000 - 1), None);
    assert_eq!(output(2_000_000), Some(0));
    assert_eq!(output(2_000_000 + 10_000 * 20 + 9_999), Some(20));
    assert_eq!(output(i64::MAX), Some(500));
    assert_eq!(
        output_within(i64::MAX, &FORECAST, &request, None, None),
        None
    );
}
