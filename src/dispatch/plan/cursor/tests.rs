//! Does a cursor know, after all that can happen to a call, which target is next?

use super::*;
use crate::error::UpstreamErrorKind;
use crate::trail::AttemptKind::{Failover, Hedge, LastResort, Primary, Retry};

/// What happens to a call.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// It moves on to this target, or to none.
    Moves(Option<usize>),
    Starts(usize, AttemptKind),
    Fails(usize),
    ChoosesAgain(usize),
}
use Act::{ChoosesAgain, Fails, Moves, Starts};

fn server_error() -> UpstreamError {
    UpstreamError::new(UpstreamErrorKind::ServerError)
}

/// The cursor of a call on three targets to which all this has happened.
fn after(acts: &[Act]) -> Cursor {
    let mut cursor = Cursor::new(3);
    for act in acts {
        match *act {
            Moves(expected) => assert_eq!(cursor.advance(), expected, "{acts:?}"),
            Starts(position, kind) => cursor.start(position, kind),
            Fails(position) => cursor.fail(position, server_error()),
            ChoosesAgain(position) => cursor.choose_again(position),
        }
    }
    cursor
}

#[test]
fn targets_are_taken_in_order_and_one_that_is_chosen_again_before_those_ahead() {
    let table: [&[Act]; 6] = [
        &[
            Moves(Some(0)),
            Moves(Some(1)),
            Moves(Some(2)),
            Moves(None),
            Moves(None),
        ],
        &[Moves(Some(0)), Starts(0, Primary), Fails(0), Moves(Some(1))],
        &[
            Moves(Some(0)),
            Starts(0, Primary),
            Fails(0),
            ChoosesAgain(0),
            Moves(Some(0)),
            Starts(0, Retry),
            Fails(0),
            Moves(Some(1)),
        ],
        // The target that is chosen again may be skipped.
        &[
            Moves(Some(0)),
            Starts(0, Primary),
            Fails(0),
            ChoosesAgain(0),
            Moves(Some(0)),
            Moves(Some(1)),
        ],
        // At the end of the plan only what is chosen again is left.
        &[
            Moves(Some(0)),
            Moves(Some(1)),
            Moves(Some(2)),
            Starts(2, Failover),
            Fails(2),
            Moves(None),
            ChoosesAgain(2),
            Moves(Some(2)),
            Moves(None),
        ],
        &[
            Moves(Some(0)),
            Moves(Some(1)),
            Moves(Some(2)),
            Moves(None),
            Starts(1, LastResort),
            Moves(None),
        ],
    ];
    for acts in table {
        after(acts);
    }
}

#[test]
fn nothing_follows_a_last_resort() {
    let cursor = after(&[Moves(Some(0)), Starts(0, LastResort), Fails(0), Moves(None)]);

    assert!(cursor.is_at_last_resort());
    assert!(!after(&[Moves(Some(0)), Starts(0, Primary)]).is_at_last_resort());
}

#[test]
fn a_cursor_that_goes_back_begins_with_the_target_of_a_last_resort_and_then_with_the_first_target()
{
    let passed = [Moves(Some(0)), Moves(Some(1)), Moves(Some(2)), Moves(None)];
    let table: [(&[Act], &[usize]); 3] = [
        (&[], &[0, 1, 2]),
        (&[Starts(1, LastResort), Fails(1)], &[1, 0, 2]),
        (&[Starts(0, LastResort), Fails(0)], &[0, 1, 2]),
    ];
    for (acts, order) in table {
        let mut cursor = after(&[&passed, acts].concat());

        cursor.rewind();

        let visited: Vec<_> = std::iter::from_fn(|| cursor.advance()).collect();
        assert_eq!(visited, order, "{acts:?}");
    }
}

#[test]
fn a_cursor_knows_whether_a_target_has_refused_the_request() {
    for (kind, expected) in [
        (UpstreamErrorKind::InvalidRequest, true),
        (UpstreamErrorKind::Rejected, true),
        (UpstreamErrorKind::ServerError, false),
    ] {
        let mut cursor = Cursor::new(2);
        assert!(!cursor.has_refusal());

        cursor.fail(1, UpstreamError::new(kind));

        assert_eq!(cursor.has_refusal(), expected, "{kind:?}");
    }
}

#[test]
fn targets_that_have_refused_for_an_unknown_reason_are_told_from_those_that_failed_otherwise() {
    let mut cursor = Cursor::new(3);
    cursor.fail(0, UpstreamError::new(UpstreamErrorKind::InvalidRequest));
    cursor.fail(1, server_error());

    assert_eq!(cursor.refused().collect::<Vec<_>>(), [0]);
    assert_eq!(cursor.too_small().count(), 0);
}

#[test]
fn the_target_of_a_rival_is_passed_over_once_the_rival_has_failed() {
    let raced = [Moves(Some(0)), Starts(0, Primary), Starts(1, Hedge)];
    // How the race ends, and what is ahead then.
    let table: [(&[Act], &[usize]); 4] = [
        (&[], &[1, 2]),
        (&[Fails(0)], &[1, 2]),
        (&[Fails(1)], &[2]),
        (&[Fails(1), Fails(0)], &[2]),
    ];
    for (acts, ahead) in table {
        let cursor = after(&[&raced, acts].concat());

        assert_eq!(cursor.ahead().collect::<Vec<_>>(), ahead, "{acts:?}");
        assert_eq!(cursor.current(), Some(0));
    }
    after(
        &[
            &raced[..],
            &[Fails(1), Fails(0), Moves(Some(2)), Moves(None)],
        ]
        .concat(),
    );
}

#[test]
fn an_attempt_is_the_first_one_or_a_retry_or_a_failover() {
    let failed = [Moves(Some(0)), Starts(0, Primary), Fails(0)];
    let table: [(&[Act], usize, AttemptKind); 4] = [
        (&[], 0, Primary),
        (&[], 1, Failover),
        (&failed, 0, Retry),
        (&failed, 1, Failover),
    ];
    for (acts, position, expected) in table {
        assert_eq!(after(acts).kind(position), expected, "{acts:?}, {position}");
    }
}

#[test]
fn every_attempt_that_is_started_counts_and_so_does_every_choice_of_a_failed_target() {
    let acts = [
        Moves(Some(0)),
        Starts(0, Primary),
        Starts(2, Hedge),
        Fails(2),
        Fails(0),
        ChoosesAgain(0),
        Moves(Some(0)),
        Starts(0, Retry),
        Fails(0),
        ChoosesAgain(2),
    ];
    // How many acts, and the attempts and retries that there were by then.
    let table = [
        (0, 0, 0),
        (2, 1, 0),
        (3, 2, 0),
        (6, 2, 1),
        (8, 3, 1),
        (10, 3, 2),
    ];
    for (acts_done, started, retries) in table {
        let cursor = after(&acts[..acts_done]);

        let counted = (cursor.started(), cursor.retries());
        assert_eq!(counted, (started, retries), "{acts_done}");
    }
}

#[test]
fn the_first_choice_is_the_target_of_the_latest_attempt_while_only_its_rival_failed_besides() {
    let table: [(&[Act], Option<usize>); 6] = [
        (&[], None),
        (&[Moves(Some(0)), Starts(0, Primary), Fails(0)], Some(0)),
        // The targets before it could not be tried.
        (
            &[
                Moves(Some(0)),
                Moves(Some(1)),
                Starts(1, Failover),
                Fails(1),
            ],
            Some(1),
        ),
        (
            &[
                Moves(Some(0)),
                Starts(0, Primary),
                Starts(1, Hedge),
                Fails(1),
                Fails(0),
            ],
            Some(0),
        ),
        (
            &[
                Moves(Some(0)),
                Starts(0, Primary),
                Fails(0),
                Moves(Some(1)),
                Starts(1, Failover),
                Fails(1),
            ],
            None,
        ),
        (
            &[
                Moves(Some(0)),
                Starts(0, Primary),
                Starts(1, Hedge),
                Fails(1),
                Fails(0),
                Moves(Some(2)),
                Starts(2, Failover),
                Fails(2),
            ],
            None,
        ),
    ];
    for (acts, expected) in table {
        assert_eq!(after(acts).first_choice(), expected, "{acts:?}");
    }
}

#[test]
fn failures_are_listed_in_their_order_and_each_target_with_its_latest() {
    let mut cursor = Cursor::new(3);
    cursor.fail(1, server_error());
    cursor.fail(0, UpstreamError::new(UpstreamErrorKind::ContextLength));
    let latest = UpstreamError::new(UpstreamErrorKind::Overloaded);
    cursor.fail(1, latest.clone());

    let failed: Vec<_> = cursor.failures().map(|(position, _)| position).collect();

    assert_eq!(failed, [0, 1]);
    assert_eq!(cursor.failures().next_back(), Some((1, &latest)));
    assert_eq!(cursor.too_small().collect::<Vec<_>>(), [0]);
}
