//! What is read of ledgers that are written call by call.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Code;
use crate::ledger::call_id::{CallId, Day};
use crate::ledger::specimens::{AttemptSpecimen, CallSpecimen, MIDDAY, MINUTE, Specimen};

use super::calls::{self, CallPage};
use super::error::ReadError;
use super::filter::{CallFilter, Sight};
use super::interval::Interval;
use super::question::{Dimension, UsageQuestion};
use super::usage::{self, UsageGroup};

const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn own(account: &str) -> Sight {
    Sight::Account(account.into())
}

fn failed() -> AttemptSpecimen {
    AttemptSpecimen {
        model: "acme/slow",
        has_succeeded: false,
        nanos: 70,
        ..AttemptSpecimen::default()
    }
}

/// Every call of these pages, and how many pages there were.
fn all(ledger: &Specimen, sight: &Sight, filter: &CallFilter, size: usize) -> (Vec<CallId>, usize) {
    let mut files = ledger.reader();
    let (mut found, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let CallPage {
            calls,
            next_page_token,
        } = calls::list(&mut files, sight, filter, size, &token).unwrap();
        found.extend(calls.iter().map(|call| call.call_id));
        pages += 1;
        token = next_page_token;
        if token.is_empty() {
            return (found, pages);
        }
    }
}

#[test]
fn a_call_is_read_with_its_attempts_by_whoever_may_see_it() {
    let mut ledger = Specimen::new();
    let id = ledger.add(&CallSpecimen {
        labels: r#"{"product":"ads"}"#.to_owned(),
        attempts: vec![failed(), AttemptSpecimen::default()],
        ..CallSpecimen::default()
    });
    let mut files = ledger.reader();

    for sight in [Sight::All, own("indexer"), own("search"), own("shop")] {
        let found = calls::get(&mut files, &sight, &id.to_string()).unwrap();
        assert_eq!(found.call.call_id, id);
        assert_eq!(&*found.call.target.model, "groq/fast");
        assert_eq!(found.call.labels["product"], "ads");
        assert_eq!(found.call.waste_nanos, 70);
        assert!(found.call.rescued);
        let numbers: Vec<_> = found
            .attempts
            .iter()
            .map(|attempt| attempt.number)
            .collect();
        assert_eq!(numbers, [1, 2]);
    }
    // What may not be seen looks as if it did not exist.
    let unseen = calls::get(&mut files, &own("ads"), &id.to_string()).unwrap_err();
    let absent = calls::get(&mut files, &Sight::All, &format!("{:032x}", 1)).unwrap_err();
    assert!(matches!(unseen, ReadError::NotFound(_)), "{unseen}");
    assert!(matches!(absent, ReadError::NotFound(_)), "{absent}");
    let malformed = calls::get(&mut files, &Sight::All, "x").unwrap_err();
    assert!(matches!(
        malformed,
        ReadError::Invalid {
            field: "call_id",
            ..
        }
    ));
}

#[test]
fn pages_list_every_call_once_the_latest_first() {
    let mut ledger = Specimen::new();
    let mut ids = Vec::new();
    for day in 0..3 {
        for call in 0..25 {
            let at = MIDDAY + day * DAY + call * MINUTE;
            ids.push(ledger.add(&CallSpecimen {
                at,
                ..CallSpecimen::default()
            }));
        }
    }
    ids.reverse();

    for size in [1, 7, 25, 1_000] {
        let (found, _) = all(&ledger, &Sight::All, &CallFilter::default(), size);
        assert_eq!(found, ids, "pages of {size}");
    }
    let filter = CallFilter {
        from: Some(MIDDAY + DAY),
        until: Some(MIDDAY + DAY + 10 * MINUTE),
        ..CallFilter::default()
    };
    assert_eq!(all(&ledger, &Sight::All, &filter, 4).0, ids[40..50]);
}

#[test]
fn a_filter_finds_the_calls_for_which_all_of_it_holds() {
    let mut ledger = Specimen::new();
    let mut at = MIDDAY;
    let mut add = |change: &dyn Fn(&mut CallSpecimen)| {
        let mut call = CallSpecimen {
            at,
            ..CallSpecimen::default()
        };
        at += MINUTE;
        change(&mut call);
        ledger.add(&call)
    };
    let plain = add(&|_| {});
    let other_team = add(&|call| (call.caller, call.team) = ("feed", "ads"));
    let broken = add(&|call| {
        call.code = 14;
        call.attempts = vec![failed()];
    });
    let rescued = add(&|call| call.attempts = vec![failed(), AttemptSpecimen::default()]);
    let labelled = add(&|call| call.labels = r#"{"product":"ads","x":"1"}"#.to_owned());
    let unknown = add(&|call| call.attempts[0].source = 3);
    let scenario = add(&|call| call.scenario = "code");
    let open = add(&|call| call.is_open = true);
    let everything = [
        plain, other_team, broken, rescued, labelled, unknown, scenario, open,
    ];

    let none = CallFilter::default;
    let text = |text: &str| Some(text.to_owned());
    let labels = BTreeMap::from([("product".to_owned(), "ads".to_owned())]);
    for (filter, expected) in [
        (
            CallFilter {
                account: text("feed"),
                ..none()
            },
            vec![other_team],
        ),
        (
            CallFilter {
                account: text("ads"),
                ..none()
            },
            vec![other_team],
        ),
        (
            CallFilter {
                account: text("shop"),
                ..none()
            },
            everything.to_vec(),
        ),
        (
            CallFilter {
                account: text("nobody"),
                ..none()
            },
            vec![],
        ),
        (
            CallFilter {
                scenario: text("code"),
                ..none()
            },
            vec![scenario],
        ),
        (CallFilter { labels, ..none() }, vec![labelled]),
        (
            CallFilter {
                troubled: true,
                ..none()
            },
            vec![broken, rescued],
        ),
        (
            CallFilter {
                code: Some(Code::Unavailable),
                ..none()
            },
            vec![broken],
        ),
        (
            CallFilter {
                cost_unknown: true,
                ..none()
            },
            vec![unknown],
        ),
        (
            CallFilter {
                provider: text("acme"),
                ..none()
            },
            vec![],
        ),
        (
            CallFilter {
                account: text("ads"),
                troubled: true,
                ..none()
            },
            vec![],
        ),
        (
            CallFilter {
                trace_id: Some(plain.to_string()),
                ..none()
            },
            vec![plain],
        ),
        (
            CallFilter {
                trace_id: Some(open.to_string()),
                ..none()
            },
            vec![open],
        ),
        (
            CallFilter {
                trace_id: Some(plain.to_string()),
                until: Some(MIDDAY),
                ..none()
            },
            vec![],
        ),
    ] {
        let mut found = all(&ledger, &Sight::All, &filter, 100).0;
        found.reverse();
        assert_eq!(found, expected, "{filter:?}");
    }
    // A filter never shows more than may be seen.
    let filter = CallFilter {
        account: text("shop"),
        ..none()
    };
    assert_eq!(all(&ledger, &own("ads"), &filter, 100).0, [other_team]);
    assert_eq!(all(&ledger, &own("nobody"), &none(), 100).0, []);
}

#[test]
fn the_calls_of_a_trace_are_found_by_an_index_alone() {
    let ledger = Specimen::new();
    let file = ledger.day(Day::of_us(MIDDAY));
    let sql = format!(
        "EXPLAIN QUERY PLAN {} SELECT call_id FROM of_trace",
        calls::OF_TRACE
    );
    let mut explain = file.prepare(&sql).unwrap();
    let steps = explain.query_map([[0; 16]; 3], |row| row.get::<_, String>("detail"));

    let steps: Vec<_> = steps.unwrap().map(Result::unwrap).collect();

    let plan = steps.join("\n");
    assert!(plan.contains("COVERING INDEX calls_by_trace"), "{plan}");
}

#[test]
fn a_page_looks_at_a_bounded_number_of_rows_and_may_be_short() {
    let mut ledger = Specimen::new();
    let file = ledger.day(Day::of_us(MIDDAY));
    let rare = {
        let moment = file.unchecked_transaction().unwrap();
        let rare = ledger.add_to(
            &moment,
            &CallSpecimen {
                code: 4,
                ..CallSpecimen::default()
            },
        );
        for call in 0..60_000 {
            let at = MIDDAY + MINUTE + call;
            ledger.add_to(
                &moment,
                &CallSpecimen {
                    at,
                    ..CallSpecimen::default()
                },
            );
        }
        moment.commit().unwrap();
        rare
    };
    let filter = CallFilter {
        code: Some(Code::DeadlineExceeded),
        ..CallFilter::default()
    };

    let first = calls::list(&mut ledger.reader(), &Sight::All, &filter, 10, "").unwrap();
    let (found, pages) = all(&ledger, &Sight::All, &filter, 10);

    assert!(first.calls.is_empty());
    assert!(!first.next_page_token.is_empty());
    assert_eq!((found, pages), (vec![rare], 2));
}

fn question(interval: Interval, group_by: &[Dimension]) -> UsageQuestion {
    UsageQuestion {
        filter: CallFilter::default(),
        interval,
        time_zone: String::new(),
        group_by: group_by.to_vec(),
        max_rows: 1_000,
        needs_latency: false,
    }
}

fn asked(ledger: &Specimen, sight: &Sight, question: &UsageQuestion) -> Vec<UsageGroup> {
    usage::query(&mut ledger.reader(), sight, question).unwrap()
}

/// The key of each group, its calls and its cost.
fn told(groups: &[UsageGroup]) -> Vec<(String, i64, i64)> {
    let key = |group: &UsageGroup| match group.is_rest {
        true => "rest".to_owned(),
        false => group.key.join(" "),
    };
    let groups = groups.iter();
    groups
        .map(|group| (key(group), group.sums.calls, group.sums.cost_nanos))
        .collect()
}

/// Three teams, labels, two models, over three days.
fn some_usage() -> Specimen {
    let mut ledger = Specimen::new();
    for day in 0..3 {
        for (number, (caller, team)) in [("indexer", "search"), ("feed", "ads"), ("bot", "ads")]
            .into_iter()
            .enumerate()
        {
            for call in 0..4_i64 {
                let product = ["web", "app"][usize::try_from(call % 2).unwrap()];
                let nanos = 100 * (i64::try_from(number).unwrap() + 1);
                ledger.add(&CallSpecimen {
                    at: MIDDAY + day * DAY + call * HOUR,
                    caller,
                    team,
                    labels: format!(r#"{{"product":"{product}"}}"#),
                    attempts: vec![AttemptSpecimen {
                        model: ["groq/fast", "acme/slow"][usize::try_from(call / 2).unwrap()],
                        nanos,
                        ..AttemptSpecimen::default()
                    }],
                    ..CallSpecimen::default()
                });
            }
        }
    }
    ledger
}

#[test]
fn usage_is_summed_up_by_every_dimension() {
    let ledger = some_usage();
    let by = |dimensions: &[Dimension]| {
        told(&asked(
            &ledger,
            &Sight::All,
            &question(Interval::Whole, dimensions),
        ))
    };
    let row = |key: &str, calls, cost| (key.to_owned(), calls, cost);
    let product = || Dimension::Label("product".to_owned());

    assert_eq!(by(&[]), [row("", 36, 7_200)]);
    assert_eq!(
        by(&[Dimension::Team]),
        [row("ads", 24, 6_000), row("search", 12, 1_200)]
    );
    assert_eq!(
        by(&[Dimension::Caller]),
        [
            row("bot", 12, 3_600),
            row("feed", 12, 2_400),
            row("indexer", 12, 1_200)
        ]
    );
    assert_eq!(by(&[Dimension::Organisation]), [row("shop", 36, 7_200)]);
    assert_eq!(by(&[Dimension::Code]), [row("OK", 36, 7_200)]);
    assert_eq!(
        by(&[Dimension::Provider]),
        [row("acme", 18, 3_600), row("groq", 18, 3_600)]
    );
    assert_eq!(
        by(&[product()]),
        [row("app", 18, 3_600), row("web", 18, 3_600)]
    );
    assert_eq!(
        by(&[Dimension::Team, product()]),
        [
            row("ads app", 12, 3_000),
            row("ads web", 12, 3_000),
            row("search app", 6, 600),
            row("search web", 6, 600)
        ]
    );
    // Neither kind of sums has labels by model: the rows have.
    assert_eq!(
        by(&[product(), Dimension::Model])[0],
        row("app acme/slow", 9, 1_800)
    );
}

#[test]
fn usage_is_shown_to_an_account_as_far_as_it_is_its_own() {
    let ledger = some_usage();
    let product = Dimension::Label("product".to_owned());
    for (account, calls) in [("bot", 12), ("ads", 24), ("shop", 36), ("nobody", 0)] {
        for dimensions in [vec![], vec![product.clone()], vec![Dimension::Model]] {
            let groups = asked(
                &ledger,
                &own(account),
                &question(Interval::Whole, &dimensions),
            );
            let sum: i64 = groups.iter().map(|group| group.sums.calls).sum();
            assert_eq!(sum, calls, "{account} {dimensions:?}");
            // Latencies are counted for all callers together.
            assert!(groups.iter().all(|group| group.latency_us.is_none()));
        }
    }
}

#[test]
fn latencies_are_told_by_scenario_and_target() {
    let mut ledger = Specimen::new();
    for call in 1..=100 {
        ledger.add(&CallSpecimen {
            latency_us: call * 10_000,
            ..CallSpecimen::default()
        });
    }

    let groups = asked(
        &ledger,
        &Sight::All,
        &question(Interval::Whole, &[Dimension::Model]),
    );
    let by_team = asked(
        &ledger,
        &Sight::All,
        &question(Interval::Whole, &[Dimension::Team]),
    );

    let (median, high) = groups[0].latency_us.unwrap();
    assert!((500_000.0..560_001.0).contains(&median), "{median}");
    assert!((990_000.0..1_110_000.0).contains(&high), "{high}");
    assert_eq!(by_team[0].latency_us, None);
}

#[test]
fn groups_beyond_the_most_rows_are_one_row_for_each_interval() {
    let ledger = some_usage();
    let mut asked_for = question(Interval::Day, &[Dimension::Caller]);
    asked_for.max_rows = 4;

    let groups = asked(&ledger, &Sight::All, &asked_for);

    let row = |key: &str, calls, cost| (key.to_owned(), calls, cost);
    assert_eq!(
        told(&groups),
        [
            row("bot", 4, 1_200),
            row("feed", 4, 800),
            row("rest", 4, 400),
            row("bot", 4, 1_200),
            row("rest", 8, 1_200),
            row("bot", 4, 1_200),
            row("rest", 8, 1_200),
        ]
    );
    let whole: i64 = groups.iter().map(|group| group.sums.cost_nanos).sum();
    assert_eq!(whole, 7_200);
}

#[test]
fn days_of_a_zone_hold_the_calls_of_their_23_24_or_25_hours() {
    // A call in the middle of every half hour of three days around each change of the clocks.
    let mut wrong = 0;
    for (zone, begin, hours) in [
        ("Europe/Berlin", "2026-03-27T23:00:00Z", [24, 23, 24]),
        ("Europe/Berlin", "2026-10-23T22:00:00Z", [24, 25, 24]),
        ("America/New_York", "2026-03-07T05:00:00Z", [24, 23, 24]),
        ("Asia/Kolkata", "2026-03-27T18:30:00Z", [24, 24, 24]),
        ("Africa/Cairo", "2026-04-22T22:00:00Z", [24, 23, 24]),
    ] {
        let mut ledger = Specimen::new();
        let begin = begin.parse::<jiff::Timestamp>().unwrap().as_microsecond();
        let slots = 2 * hours.iter().sum::<i64>();
        for slot in 0..slots {
            let at = begin + slot * 30 * MINUTE + 15 * MINUTE;
            ledger.add(&CallSpecimen {
                at,
                ..CallSpecimen::default()
            });
        }
        let mut asked_for = question(Interval::Day, &[]);
        asked_for.time_zone = zone.to_owned();

        let days = asked(&ledger, &Sight::All, &asked_for);

        let mut expected = begin / 1_000_000;
        assert_eq!(days.len(), 3, "{zone}");
        for (day, hours) in days.iter().zip(hours) {
            assert_eq!(day.begin, Some(expected), "{zone}");
            wrong += (day.sums.calls - 2 * hours).abs();
            expected += hours * 3_600;
        }
        asked_for.interval = Interval::Hour;
        let by_hour = asked(&ledger, &Sight::All, &asked_for);
        wrong += by_hour
            .iter()
            .map(|hour| (hour.sums.calls - 2).abs())
            .sum::<i64>();
        assert_eq!(i64::try_from(by_hour.len()).unwrap(), slots / 2, "{zone}");
    }
    println!("calls in the wrong day or hour: {wrong}");
    assert_eq!(wrong, 0);
}

#[test]
fn usage_of_days_whose_rows_are_gone_is_read_from_their_sums() {
    let mut ledger = Specimen::new();
    ledger.add(&CallSpecimen::default());
    let day = Day::of_us(MIDDAY - DAY);
    let kept = ledger.sums();
    ledger.add_to(
        &kept,
        &CallSpecimen {
            at: MIDDAY - DAY,
            ..CallSpecimen::default()
        },
    );
    kept.execute_batch("DELETE FROM settled_calls; DELETE FROM settled_attempts")
        .unwrap();
    kept.execute("INSERT INTO merged_days VALUES (?1)", [day.0])
        .unwrap();

    let groups = asked(
        &ledger,
        &Sight::All,
        &question(Interval::Day, &[Dimension::Team]),
    );
    let rows = Dimension::Label("product".to_owned());
    let both = question(Interval::Day, &[rows, Dimension::Model]);
    let refused = usage::query(&mut ledger.reader(), &Sight::All, &both).unwrap_err();

    assert_eq!(groups.len(), 2);
    assert!(
        matches!(
            refused,
            ReadError::Invalid {
                field: "group_by",
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn a_question_that_cannot_be_answered_names_its_field() {
    let ledger = some_usage();
    let refused = |change: &dyn Fn(&mut UsageQuestion)| {
        let mut asked_for = question(Interval::Day, &[]);
        change(&mut asked_for);
        match usage::query(&mut ledger.reader(), &Sight::All, &asked_for) {
            Err(ReadError::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };

    assert_eq!(refused(&|asked| asked.max_rows = 0), "max_rows");
    assert_eq!(refused(&|asked| asked.max_rows = 10_001), "max_rows");
    assert_eq!(
        refused(&|asked| asked.filter.troubled = true),
        "filter.troubled"
    );
    assert_eq!(
        refused(&|asked| asked.filter.key_id = Some(String::new())),
        "filter.key_id"
    );
    assert_eq!(
        refused(&|asked| asked.filter.from = Some(1)),
        "filter.start_time"
    );
    assert_eq!(
        refused(&|asked| asked.filter.until = Some(MINUTE)),
        "filter.end_time"
    );
    assert_eq!(
        refused(&|asked| asked.time_zone = "Asia/Kathmandu".to_owned()),
        "time_zone"
    );
    assert_eq!(
        refused(&|asked| asked.group_by = vec![Dimension::Team, Dimension::Team]),
        "group_by"
    );
    let labels = (0..5).map(|key| Dimension::Label(key.to_string()));
    let labels: Vec<_> = labels.collect();
    assert_eq!(
        refused(&|asked| asked.group_by = labels.clone()),
        "group_by_labels"
    );
}

#[test]
fn an_empty_ledger_has_no_calls_and_no_usage() {
    let ledger = Specimen::new();

    let (found, pages) = all(&ledger, &Sight::All, &CallFilter::default(), 10);

    assert_eq!((found, pages), (vec![], 1));
    assert_eq!(
        asked(&ledger, &Sight::All, &question(Interval::Day, &[])),
        []
    );
    let nowhere = std::path::Path::new("/nowhere/at/all");
    let files = crate::ledger::Files::in_directory(nowhere, crate::ledger::Durability::Process);
    let mut files = super::files::LedgerFiles::new(files);
    let page = calls::list(&mut files, &Sight::All, &CallFilter::default(), 10, "").unwrap();
    assert!(page.calls.is_empty());
}

#[test]
fn a_file_that_is_no_ledger_is_named() {
    let ledger = Specimen::new();
    let path = ledger.data.join("ledger/2026-11-28.db");
    let list = || {
        calls::list(
            &mut ledger.reader(),
            &Sight::All,
            &CallFilter::default(),
            10,
            "",
        )
        .unwrap_err()
        .to_string()
    };

    std::fs::write(
        &path,
        "no database, but more than a hundred bytes of text".repeat(9),
    )
    .unwrap();
    let text = list();
    std::fs::remove_file(&path).unwrap();
    let later = ledger.day(Day::of_us(MIDDAY));
    later.pragma_update(None, "user_version", 99).unwrap();
    let newer = list();

    assert!(text.contains("2026-11-28.db"), "{text}");
    assert!(
        newer.contains("2026-11-28.db") && newer.contains("99"),
        "{newer}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_takes_too_long_is_given_up_with_the_remedy() {
    use super::readers::Readers;
    use std::time::Duration;
    let mut ledger = Specimen::new();
    ledger.add(&CallSpecimen::default());
    let readers = Readers::start(&ledger.files(), Duration::from_millis(50)).unwrap();

    let refused = readers
        .ask(|files| {
            let file = files.day(Day::of_us(MIDDAY))?.unwrap();
            let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
            let found = file.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
            found.map_err(|error| file.failed(&error))
        })
        .await
        .unwrap_err();
    // The thread goes on with the next question.
    let page = readers
        .ask(|files| calls::list(files, &Sight::All, &CallFilter::default(), 10, ""))
        .await
        .unwrap();

    assert!(matches!(refused, ReadError::TooMuch(_)), "{refused:?}");
    assert!(
        refused.to_string().contains("ask for a shorter time"),
        "{refused}"
    );
    assert_eq!(page.calls.len(), 1);
}

#[test]
fn the_same_question_has_the_same_answer() {
    let ledger = some_usage();
    let asked_for = question(
        Interval::Day,
        &[Dimension::Caller, Dimension::Label("product".to_owned())],
    );

    let answers: Vec<_> = (0..3)
        .map(|_| asked(&ledger, &Sight::All, &asked_for))
        .collect();

    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[1], answers[2]);
    let keys: Vec<Arc<str>> = answers[0]
        .iter()
        .flat_map(|group| group.key.clone())
        .collect();
    assert!(keys.contains(&Arc::from("web")));
}
