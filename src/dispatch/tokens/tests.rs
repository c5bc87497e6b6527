//! Do calls take, spend and give back the right tokens?

use super::*;

fn budget(ratio: f64, burst: u32) -> Arc<Budget> {
    Arc::new(Budget::new(Settings { ratio, burst }))
}

/// A budget of so many tokens that earns none, and the tokens of a call that holds none.
fn call_of(burst: u32) -> (Arc<Budget>, TokenHold) {
    let budget = budget(0.0, burst);
    let tokens = TokenHold::of(&budget);
    (budget, tokens)
}

/// How many attempts calls can add one after the other.
fn added(budget: &Arc<Budget>, cause: Cause) -> usize {
    let adds = |_: &usize| {
        let mut tokens = TokenHold::of(budget);
        tokens.follow(cause);
        let is_left = tokens.are_left(cause != Cause::Failure);
        let is_held = tokens.hold(1);
        assert_eq!(is_held, is_left);
        tokens.spend();
        is_held
    };
    (0..1000).take_while(adds).count()
}

#[test]
fn callers_in_a_hurry_add_a_tenth_of_the_burst_and_at_least_one() {
    for (burst, hurried) in [(0, 0), (1, 1), (5, 1), (20, 2), (50, 5)] {
        let budget = budget(0.0, burst);

        assert_eq!(added(&budget, Cause::Hurry), hurried, "{burst}");
        assert_eq!(added(&budget, Cause::Failure), burst as usize - hurried);
    }
}

#[test]
fn a_budget_has_prospects_while_it_holds_a_token_or_success_can_earn_one() {
    for (ratio, burst, expected) in [(0.0, 0, false), (0.0, 1, true), (0.5, 1, true)] {
        let has_prospects = budget(ratio, burst).has_prospects();

        assert_eq!(has_prospects, expected, "{ratio} {burst}");
    }
}

#[test]
fn callers_in_a_hurry_add_nothing_to_an_empty_budget() {
    let budget = budget(0.0, 20);

    assert_eq!(added(&budget, Cause::Failure), 20);
    assert_eq!(added(&budget, Cause::Hurry), 0);
    assert_eq!(budget.share_of_the_hurried.available(), 2);
}

#[test]
fn success_buys_attempts_for_callers_in_a_hurry_and_for_others_alike() {
    for (one, other) in [
        (Cause::Hurry, Cause::Failure),
        (Cause::Failure, Cause::Hurry),
    ] {
        let budget = budget(0.5, 20);
        while added(&budget, Cause::Hurry) + added(&budget, Cause::Failure) > 0 {}

        (0..4).for_each(|_| budget.deposit());

        assert_eq!(added(&budget, one), 2);
        assert_eq!(added(&budget, other), 0);
    }
}

#[test]
fn what_is_not_spent_goes_back_to_where_it_was_taken() {
    let budget = budget(0.0, 30);
    let mut tokens = TokenHold::of(&budget);

    assert!(tokens.hold(1));
    tokens.follow(Cause::Hurry);
    assert!(tokens.hold(3));
    let left = |budget: &Budget| (budget.available(), budget.share_of_the_hurried.available());
    assert_eq!(left(&budget), (27, 1));
    tokens.spend();
    drop(tokens);

    assert_eq!(left(&budget), (29, 2));
}

#[test]
fn a_token_that_is_held_pays_for_whatever_follows() {
    let budget = budget(0.0, 10);
    assert_eq!(added(&budget, Cause::Hurry), 1);
    let mut tokens = TokenHold::of(&budget);
    assert!(tokens.hold(1));

    tokens.follow(Cause::Hurry);

    assert!(tokens.are_left(true) && tokens.hold(1));
    assert!(!tokens.hold(2));
}

#[test]
fn a_hold_takes_only_the_tokens_that_it_does_not_have_yet() {
    // How many tokens are wanted, one step after the other; which steps succeed; what is left in the budget.
    let table: [(&[u32], &[bool], u32); 5] = [
        (&[0], &[true], 3),
        (&[1], &[true], 2),
        (&[2, 1, 2], &[true, true, true], 1),
        (&[3], &[true], 0),
        (&[1, 4, 3], &[true, false, true], 0),
    ];
    for (wanted, expected, left) in table {
        let (budget, mut tokens) = call_of(3);

        let had: Vec<_> = wanted.iter().map(|&wanted| tokens.hold(wanted)).collect();

        assert_eq!(
            (&had[..], budget.available()),
            (expected, left),
            "{wanted:?}"
        );
    }
}

#[test]
fn what_is_spent_is_gone_and_what_is_left_at_the_end_goes_back() {
    for (held, spent, left) in [(2, 0, 3), (2, 1, 2), (2, 2, 1), (0, 1, 3)] {
        let (budget, mut tokens) = call_of(3);
        assert!(tokens.hold(held));

        (0..spent).for_each(|_| tokens.spend());
        drop(tokens);

        assert_eq!(budget.available(), left, "{spent} of {held}");
    }
}

#[test]
fn the_place_of_a_spent_token_is_free_for_what_success_earns() {
    let budget = budget(1.0, 1);
    let mut tokens = TokenHold::of(&budget);
    assert!(tokens.hold(1));

    budget.deposit();
    assert_eq!(budget.available(), 0);
    tokens.spend();
    budget.deposit();

    assert_eq!(budget.available(), 1);
}

#[test]
fn a_token_is_left_while_one_is_held_or_in_the_budget() {
    for (burst, held, expected) in [(0, 0, false), (1, 0, true), (1, 1, true), (2, 1, true)] {
        let (_budget, mut tokens) = call_of(burst);
        assert!(tokens.hold(held));

        assert_eq!(tokens.are_left(false), expected, "{held} of {burst}");
    }
}

#[test]
fn refused_requests_add_a_fifth_of_the_burst_besides_and_leave_the_burst_alone() {
    for (burst, refused) in [(0, 0), (1, 1), (4, 1), (20, 4), (50, 10)] {
        let budget = budget(0.0, burst);

        assert_eq!(added(&budget, Cause::Refusal), refused, "{burst}");
        assert_eq!(budget.available(), burst);
        assert_eq!(added(&budget, Cause::Failure), burst as usize);
    }
}

#[test]
fn success_buys_attempts_for_refused_requests_at_the_same_ratio() {
    let budget = budget(0.5, 20);
    while added(&budget, Cause::Refusal) > 0 {}

    (0..4).for_each(|_| budget.deposit());

    assert_eq!(added(&budget, Cause::Refusal), 2);
}

#[test]
fn what_was_held_for_a_failure_goes_back_when_the_request_is_refused() {
    let budget = budget(0.0, 20);
    let mut tokens = TokenHold::of(&budget);
    tokens.follow(Cause::Hurry);
    assert!(tokens.hold(2));
    let left = |budget: &Budget| {
        let share = &budget.share_of_the_hurried;
        let refused = &budget.after_refusals;
        (budget.available(), share.available(), refused.available())
    };
    assert_eq!(left(&budget), (18, 0, 4));

    tokens.follow(Cause::Refusal);
    assert_eq!(left(&budget), (20, 2, 4));
    assert!(tokens.hold(2));
    assert_eq!(left(&budget), (20, 2, 2));
    tokens.spend();
    drop(tokens);

    assert_eq!(left(&budget), (20, 2, 3));
}

#[test]
fn an_answer_after_a_refusal_brings_the_token_of_the_first_attempt_back() {
    // How many attempts follow the refusal, whether the last one answers, and what is left of four tokens.
    let table = [
        (1, true, 4),
        (1, false, 3),
        (2, true, 3),
        (2, false, 2),
        (0, true, 4),
    ];
    for (attempts, answers, left) in table {
        let budget = budget(0.0, 20);
        let mut tokens = TokenHold::of(&budget);
        tokens.follow(Cause::Refusal);

        for _ in 0..attempts {
            assert!(tokens.hold(1));
            tokens.spend();
        }
        if answers {
            tokens.answered();
        }
        drop(tokens);

        assert_eq!(
            budget.after_refusals.available(),
            left,
            "{attempts} {answers}"
        );
        assert_eq!(budget.available(), 20);
    }
}

#[test]
fn the_place_of_a_token_after_a_refusal_is_free_for_what_success_earns_once_its_call_has_failed() {
    // Whether the attempt after the refusal is answered. In both cases no token stays reserved.
    for answers in [true, false] {
        let budget = budget(1.0, 1);
        let mut tokens = TokenHold::of(&budget);
        tokens.follow(Cause::Refusal);
        assert!(tokens.hold(1));
        tokens.spend();
        if answers {
            tokens.answered();
        }
        drop(tokens);

        budget.deposit();

        assert_eq!(budget.after_refusals.available(), 1, "{answers}");
    }
}

#[test]
fn other_settings_hold_for_every_bucket_of_a_budget() {
    for (burst, hurried, refused) in [(50, 5, 10), (10, 1, 2), (0, 0, 0)] {
        let budget = budget(0.0, 100);

        budget.change(Settings { ratio: 0.0, burst });

        assert_eq!(budget.burst(), burst);
        assert_eq!(added(&budget, Cause::Refusal), refused, "{burst}");
        assert_eq!(added(&budget, Cause::Hurry), hurried, "{burst}");
        let others = added(&budget, Cause::Failure);
        assert_eq!(others, burst as usize - hurried, "{burst}");
    }
}
