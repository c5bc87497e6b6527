//! To which counters can something be granted, and how much?

use std::collections::BTreeMap;

use crate::limits::{Limit, LimitDimension, LimitState};

use super::seen::{limit, put_limit};
use super::*;

fn grant(
    place: &Place,
    limit: &str,
    key: &[(&str, &str)],
    (id, amount): (&str, i64),
) -> Result<LimitState, AdminError> {
    let key: BTreeMap<_, _> = key
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let wish = GrantWish {
        limit: limit.to_owned(),
        key,
        amount,
        id: id.to_owned(),
        comment: "because".to_owned(),
    };
    place.admin.grant_limit(&root(), &wish, Now::of_clocks())
}

#[test]
fn something_is_granted_only_to_a_counter_that_calls_can_use() {
    let place = shop();
    let per = |id: &str, dimension: LimitDimension, accounts: &[&str]| Limit {
        per: vec![dimension],
        ..limit(id, accounts)
    };
    for limit in [
        per("each-team", LimitDimension::Team, &[]),
        per("each-caller", LimitDimension::Caller, &["search"]),
        per("each-key", LimitDimension::Key, &[]),
    ] {
        put_limit(&place.admin, &root(), limit).unwrap();
    }
    let key = place.key("ads-caller", None).key.stored.key.id;

    for (limit, name, value, remedy) in [
        ("each-team", "team", "search-caller", "is a caller"),
        ("each-team", "team", "shop", "is an organisation"),
        ("each-team", "team", "sso:somebody", "there is no team"),
        ("each-team", "team", "sales", "there is no team"),
        ("each-caller", "caller", "search", "name a caller"),
        ("each-caller", "caller", "ads-caller", "counts no call of"),
        ("each-key", "key", "key_none", "there is no key"),
    ] {
        let error = grant(&place, limit, &[(name, value)], ("x", 1)).unwrap_err();
        assert!(error.to_string().contains(remedy), "{error}");
        assert_eq!(fields(error), [format!("key[\"{name}\"]")]);
    }
    for (limit, name, value) in [
        ("each-team", "team", "search"),
        ("each-team", "team", ""),
        ("each-caller", "caller", "search-caller"),
        ("each-caller", "caller", "sso:somebody"),
        ("each-key", "key", &*key),
    ] {
        let id = format!("to {value}");
        let granted = grant(&place, limit, &[(name, value)], (&*id, 1)).unwrap();
        assert_eq!(granted.amount, 11);
    }
}

#[test]
fn a_grant_is_refused_that_no_amount_could_say_and_no_sum_is_lost() {
    let place = shop();
    let money = Limit {
        unit: crate::error::LimitUnit::Waste,
        amount: 1_000,
        enforcement: crate::limits::Enforcement::Watch,
        ..limit("money", &[])
    };
    put_limit(&place.admin, &root(), money).unwrap();
    let give = |id: &str, amount: i64| grant(&place, "money", &[], (id, amount));

    let too_much = give("a", i64::MAX).unwrap_err();
    assert!(
        too_much
            .to_string()
            .contains(&format!("use at most {}", i64::MAX - 1_000)),
        "{too_much}"
    );
    assert_eq!(fields(too_much), ["amount"]);
    assert_eq!(give("b", i64::MAX - 1_000).unwrap().amount, i64::MAX);
    assert_eq!(fields(give("c", 1).unwrap_err()), ["amount"]);
    assert_eq!(
        give("b", i64::MAX - 1_000).unwrap().amount,
        i64::MAX,
        "it is the same grant"
    );

    // What was added and what was taken make one sum, in whatever order a later process reads them.
    assert_eq!(give("d", i64::MIN).unwrap().amount, -1);
    assert_eq!(give("e", i64::MIN + 1).unwrap().amount, i64::MIN);
    let too_little = give("f", -1).unwrap_err();
    assert!(
        too_little.to_string().contains("use at least 0"),
        "{too_little}"
    );
    assert_eq!(give("g", i64::MAX).unwrap().amount, -1);
    assert_eq!(give("h", 1_001).unwrap().amount, 1_000);
    let read_again = place.other_process();
    let book =
        crate::limits::book::LimitBook::new(Limits::none(), Box::new(|_| Ok(PriorUse::default())));
    let read_again = read_again.limiting(Arc::new(book)).unwrap();
    let states = read_again.limit_states(&root(), &StateFilter::default(), Now::of_clocks());
    let amounts: Vec<_> = states.unwrap().iter().map(|state| state.amount).collect();
    assert_eq!(amounts, [1_000]);
}
