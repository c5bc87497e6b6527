//! Exports of ledgers that are written call by call: their sum is that of the ledger, and their bytes come again.

use std::collections::BTreeMap;

use std::time::SystemTime;

use crate::chat::{ServiceTier, Usage};
use crate::hash::sha256;
use crate::ledger::call_id::CallId;
use crate::ledger::correction::{CorrectedAttempt, CorrectionPiece};
use crate::ledger::names::InternedNames;
use crate::ledger::read::error::ReadError;
use crate::ledger::read::filter::CallFilter;
use crate::ledger::read::filter::Sight;
use crate::ledger::read::interval::Interval;
use crate::ledger::read::question::UsageQuestion;
use crate::ledger::read::usage;
use crate::ledger::specimens::{AttemptSpecimen, CallSpecimen, MIDDAY, MINUTE, Specimen};
use crate::money::{Price, Prices, Rates, Validity, price_again};

use super::{Export, ExportFormat, ExportPiece, ExportQuestion, ExportSummary, price_book};

const HOUR: i64 = 60 * MINUTE;

/// Rates that make costs with fractions of a nano-USD.
const RATES: Rates = Rates {
    input: Some(150_333),
    output: Some(600_777),
    cache_read_input: Some(15_111),
    cache_write_input: None,
    cache_write_long_input: None,
    reasoning_output: None,
    tools: crate::money::ToolFees {
        web_search: None,
        web_fetch: None,
        code_execution: None,
        file_search: None,
    },
    request_nanos: 7,
};

fn question(from: i64, until: i64) -> ExportQuestion {
    ExportQuestion {
        from,
        until,
        format: ExportFormat::FocusCsv,
        account: None,
        single_attempts: false,
    }
}

/// The chunks of an export and its summary.
fn exported(
    ledger: &Specimen,
    sight: &Sight,
    question: &ExportQuestion,
) -> Result<(Vec<Vec<u8>>, ExportSummary), ReadError> {
    let mut files = ledger.reader();
    let now = question.until + HOUR;
    let mut export = Export::begin(&mut files, sight, question, now)?;
    let mut chunks = Vec::new();
    loop {
        match export.next(&mut files)? {
            (ExportPiece::Chunk(chunk), Some(next)) => {
                assert!(chunk.ends_with(b"\n"), "a chunk ends with a line");
                chunks.push(chunk);
                export = next;
            }
            (ExportPiece::Summary(summary), None) => return Ok((chunks, summary)),
            (piece, _) => panic!("{piece:?}"),
        }
    }
}

/// The cells of each line, by the name of their column.
fn cells(csv: &[u8]) -> Vec<BTreeMap<String, String>> {
    let text = String::from_utf8(csv.to_vec()).unwrap();
    let mut lines = text.split_terminator("\r\n").map(parsed);
    let columns = lines.next().unwrap();
    lines
        .map(|line| {
            assert_eq!(line.len(), columns.len());
            columns.iter().cloned().zip(line).collect()
        })
        .collect()
}

fn parsed(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut rest = line.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '"' if is_quoted && rest.peek() == Some(&'"') => {
                cell.push('"');
                rest.next();
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => cells.push(std::mem::take(&mut cell)),
            other => cell.push(other),
        }
    }
    cells.push(cell);
    cells
}

/// A decimal text with twelve places, in units of 10^-12.
fn pico(text: &str) -> i128 {
    let (whole, fraction) = text.split_once('.').unwrap();
    assert_eq!(fraction.len(), 12, "{text}");
    let digits: i128 = format!("{whole}{fraction}").parse().unwrap();
    digits
}

/// A ledger of a month, with costs by prices, reported ones, estimates and unknown ones.
fn a_month() -> Specimen {
    let mut ledger = Specimen::new();
    let price = Price {
        holds: Validity::always(ServiceTier::Standard),
        rates: RATES,
    };
    let models = ["groq/fast", "acme/slow"];
    let together = Prices::together(models.map(|model| (model, vec![price])));
    let kept: Vec<_> = together
        .iter()
        .map(|(model, prices)| (*model, prices))
        .collect();
    price_book::keep(&ledger.files(), &kept).unwrap();
    let version = together[0].1.version().to_string();
    let mut random = fastrand::Rng::with_seed(20);
    let begin = MIDDAY - 27 * 24 * HOUR - 12 * HOUR;
    for _ in 0..600 {
        let attempts = (0..random.usize(1..4)).map(|_| {
            let (input, output) = (random.i64(0..5_000), random.i64(0..900));
            let read = random.i64(0..=input);
            let pico = (input - read) * 150_333 + output * 600_777 + read * 15_111;
            let by_prices = (pico + 500) / 1_000 + 7;
            let (source, nanos) = match random.u8(0..10) {
                0 => (3, random.i64(0..50)),
                1 => (4, random.i64(0..100_000)),
                2 => (2, random.i64(0..100_000)),
                _ => (1, by_prices),
            };
            AttemptSpecimen {
                model: models[random.usize(0..2)],
                has_succeeded: random.bool(),
                input: Some(input),
                output: Some(output),
                cache_read: Some(read),
                nanos,
                source,
                price_version: version.clone(),
            }
        });
        let attempts = attempts.collect();
        let (caller, team, organisation) = [
            ("indexer", "search", "shop"),
            ("feed", "ads", "shop"),
            ("=cmd()", "", ""),
        ][random.usize(0..3)];
        ledger.add(&CallSpecimen {
            at: begin + random.i64(0..27 * 24 * 60) * MINUTE,
            caller,
            team,
            organisation,
            labels: [r#"{"product":"=1+1"}"#, "{}"][random.usize(0..2)].to_owned(),
            code: [0, 14][random.usize(0..2)],
            attempts,
            ..CallSpecimen::default()
        });
    }
    ledger
}

fn whole_month() -> ExportQuestion {
    question(MIDDAY - 28 * 24 * HOUR, MIDDAY)
}

/// What the ledger itself sums up for a time.
fn ledger_nanos(ledger: &Specimen, sight: &Sight, asked: &ExportQuestion) -> i64 {
    let question = UsageQuestion {
        filter: CallFilter {
            from: Some(asked.from),
            until: Some(asked.until),
            account: asked.account.clone(),
            ..CallFilter::default()
        },
        interval: Interval::Whole,
        time_zone: String::new(),
        group_by: Vec::new(),
        max_rows: 10,
        needs_latency: false,
    };
    let groups = usage::query(&mut ledger.reader(), sight, &question).unwrap();
    groups.iter().map(|group| group.sums.cost_nanos).sum()
}

#[test]
fn the_sum_of_an_export_is_that_of_the_ledger_and_its_bytes_come_again() {
    let ledger = a_month();
    let mut difference = 0;
    let mut files = 0;
    for single_attempts in [false, true] {
        for format in [ExportFormat::FocusCsv, ExportFormat::JsonLines] {
            for account in [
                None,
                Some("shop"),
                Some("ads"),
                Some("=cmd()"),
                Some("nobody"),
            ] {
                let asked = ExportQuestion {
                    format,
                    single_attempts,
                    account: account.map(str::to_owned),
                    ..whole_month()
                };

                let (chunks, summary) = exported(&ledger, &Sight::All, &asked).unwrap();
                let (again, same) = exported(&ledger, &Sight::All, &asked).unwrap();

                let bytes = chunks.concat();
                assert_eq!(summary, same);
                assert_eq!(bytes, again.concat());
                assert_eq!(summary.sha256, sha256(&bytes));
                let of_ledger = ledger_nanos(&ledger, &Sight::All, &asked);
                difference += (summary.cost_nanos - of_ledger).abs();
                let sum = match format {
                    ExportFormat::FocusCsv => {
                        let lines = cells(&bytes);
                        assert_eq!(u64::try_from(lines.len()).unwrap(), summary.lines);
                        lines
                            .iter()
                            .map(|line| pico(&line["BilledCost"]))
                            .sum::<i128>()
                    }
                    ExportFormat::JsonLines => json_pico(&bytes, summary.lines),
                };
                difference += i64::try_from((sum - i128::from(of_ledger) * 1_000).abs()).unwrap();
                files += 1;
            }
        }
    }
    println!("exports: {files}; sum of the differences to the ledger, in 10^-12 USD: {difference}");
    assert_eq!(difference, 0);
}

fn json_pico(bytes: &[u8], lines: u64) -> i128 {
    let text = std::str::from_utf8(bytes).unwrap();
    assert_eq!(u64::try_from(text.lines().count()).unwrap(), lines);
    let mut sum = 0;
    for line in text.lines() {
        let call: serde_json::Value = serde_json::from_str(line).unwrap();
        let nanos = |cost: &serde_json::Value| -> i128 {
            cost["amountNanos"]
                .as_str()
                .map_or(0, |text| text.parse().unwrap())
        };
        let attempts = call["attemptRecords"].as_array().unwrap();
        let of_attempts: i128 = attempts.iter().map(|attempt| nanos(&attempt["cost"])).sum();
        assert_eq!(of_attempts, nanos(&call["cost"]), "{line}");
        sum += of_attempts * 1_000;
    }
    sum
}

#[test]
fn a_quantity_times_its_unit_price_is_the_cost() {
    let ledger = a_month();
    let (chunks, _) = exported(&ledger, &Sight::All, &whole_month()).unwrap();

    let (mut priced, mut others) = (0, 0);
    for line in cells(&chunks.concat()) {
        let cost = pico(&line["BilledCost"]);
        for column in ["EffectiveCost", "ContractedCost", "ListCost"] {
            assert_eq!(line[column], line["BilledCost"]);
        }
        match &*line["ListUnitPrice"] {
            "" => others += 1,
            price => {
                let quantity: i128 = line["PricingQuantity"].parse().unwrap();
                assert_eq!(quantity * pico(price), cost);
                assert_eq!(line["x_CostUnknown"], "false");
                priced += 1;
            }
        }
        if line["ChargeCategory"] == "Adjustment" {
            assert!(cost.abs() < 1_000 * 1_000, "{cost}");
        }
    }
    println!("lines with a unit price: {priced}, without: {others}");
    assert!(priced > others && others > 0);
}

#[test]
fn an_unknown_cost_is_told_as_unknown() {
    let mut ledger = Specimen::new();
    ledger.add(&CallSpecimen {
        attempts: vec![AttemptSpecimen {
            nanos: 40,
            source: 3,
            ..AttemptSpecimen::default()
        }],
        ..CallSpecimen::default()
    });

    let (chunks, summary) =
        exported(&ledger, &Sight::All, &question(MIDDAY, MIDDAY + HOUR)).unwrap();

    let lines = cells(&chunks.concat());
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["x_CostUnknown"], "true");
    assert_eq!(lines[0]["BilledCost"], "0.000000040000");
    assert_eq!(lines[0]["ListUnitPrice"], "");
    assert!(summary.is_unknown);
}

#[test]
fn no_cell_of_a_caller_is_a_formula() {
    let ledger = a_month();
    let (chunks, _) = exported(&ledger, &Sight::All, &whole_month()).unwrap();

    let mut guarded = 0;
    for line in cells(&chunks.concat()) {
        for (column, cell) in line {
            let is_amount = column.ends_with("Cost") || column.ends_with("UnitPrice");
            assert!(
                is_amount || !cell.starts_with(['=', '+', '-', '@']),
                "{column}: {cell}"
            );
            guarded += usize::from(cell.starts_with("'="));
        }
    }
    assert!(guarded > 0);
}

#[test]
fn an_account_exports_what_it_may_see_only() {
    let ledger = a_month();
    let sight = Sight::Account("ads".into());
    for account in [None, Some("shop".to_owned()), Some("ads".to_owned())] {
        let asked = ExportQuestion {
            account,
            ..whole_month()
        };
        let (chunks, summary) = exported(&ledger, &sight, &asked).unwrap();
        let lines = cells(&chunks.concat());
        assert!(lines.iter().all(|line| line["x_Caller"] == "feed"));
        assert!(!lines.is_empty());
        assert_eq!(summary.cost_nanos, ledger_nanos(&ledger, &sight, &asked));
    }
}

#[test]
fn a_time_that_may_still_change_is_not_exported() {
    let mut ledger = Specimen::new();
    let open = ledger.add(&CallSpecimen {
        is_open: true,
        ..CallSpecimen::default()
    });
    let begin = |from, until, now| {
        let mut files = ledger.reader();
        Export::begin(&mut files, &Sight::All, &question(from, until), now).map(|_| ())
    };
    let field = |refused: Result<(), ReadError>| match refused {
        Err(ReadError::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    };

    let until = MIDDAY + HOUR;
    assert!(begin(MIDDAY, until, until + HOUR).is_ok());
    assert_eq!(field(begin(MIDDAY, until, until + HOUR - 1)), "end_time");
    assert_eq!(field(begin(MIDDAY, MIDDAY, until + HOUR)), "end_time");
    assert_eq!(field(begin(MIDDAY + 1, until, until + HOUR)), "start_time");
    assert_eq!(field(begin(-HOUR, until, until + HOUR)), "start_time");
    let refused = exported(&ledger, &Sight::All, &question(MIDDAY, until)).unwrap_err();
    assert!(matches!(refused, ReadError::NotYet(_)), "{refused}");
    assert!(refused.to_string().contains(&open.to_string()), "{refused}");
}

#[test]
fn a_day_whose_rows_are_gone_is_not_exported_as_if_it_had_none() {
    let mut ledger = Specimen::new();
    ledger.add(&CallSpecimen::default());
    let dropped = crate::ledger::call_id::Day::of_us(MIDDAY - 24 * HOUR);
    ledger
        .sums()
        .execute("INSERT INTO merged_days VALUES (?1)", [dropped.0])
        .unwrap();

    let refused = exported(&ledger, &Sight::All, &whole_month()).unwrap_err();
    let kept = exported(
        &ledger,
        &Sight::All,
        &question(MIDDAY - 12 * HOUR, MIDDAY + HOUR),
    );

    assert!(
        refused.to_string().contains("2026-11-28T00:00:00Z"),
        "{refused}"
    );
    assert!(kept.is_ok());
}

#[test]
fn a_large_hour_comes_in_chunks_of_whole_lines() {
    let mut ledger = Specimen::new();
    let file = ledger.day(crate::ledger::call_id::Day::of_us(MIDDAY));
    let moment = file.unchecked_transaction().unwrap();
    for call in 0..5_000 {
        ledger.add_to(
            &moment,
            &CallSpecimen {
                at: MIDDAY + call,
                ..CallSpecimen::default()
            },
        );
    }
    moment.commit().unwrap();
    let asked = ExportQuestion {
        single_attempts: true,
        ..question(MIDDAY, MIDDAY + HOUR)
    };

    let (chunks, summary) = exported(&ledger, &Sight::All, &asked).unwrap();

    assert_eq!(summary.lines, 5_000);
    assert!(chunks.len() > 10, "{}", chunks.len());
    let largest = chunks.iter().map(Vec::len).max().unwrap();
    assert!(largest < 2 * super::CHUNK_BYTES, "{largest}");
    let (_, grouped) = exported(&ledger, &Sight::All, &question(MIDDAY, MIDDAY + HOUR)).unwrap();
    assert_eq!(grouped.cost_nanos, summary.cost_nanos);
    assert_eq!(grouped.lines, 1);
}

/// Gives every attempt of the month whose cost is not known a cost, at random moments of four days: the last two of the month
/// that is exported, and two after it. Returns how many there were.
fn correct_what_is_unknown(ledger: &Specimen) -> usize {
    let price = Price {
        holds: Validity::always(ServiceTier::Standard),
        rates: RATES,
    };
    let together = Prices::together(["groq/fast", "acme/slow"].map(|model| (model, vec![price])));
    let prices = &together[0].1;
    let mut random = fastrand::Rng::with_seed(21);
    let mut corrected = 0;
    for day in ledger.files().days().unwrap() {
        let file = ledger.day(day);
        let mut select = file
            .prepare("SELECT call_id, number, input, output, cache_read FROM attempts WHERE cost_source = 3")
            .unwrap();
        let unknown = select.query_map([], |row| {
            let count = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
            let usage = Usage {
                input_tokens: Some(count(2)?),
                output_tokens: Some(count(3)?),
                cache_read_input_tokens: Some(count(4)?),
                ..Usage::default()
            };
            Ok(CorrectedAttempt {
                call_id: CallId::from_bytes(row.get(0)?),
                number: row.get(1)?,
                version: 1,
                cost: price_again(&usage, prices, SystemTime::UNIX_EPOCH),
            })
        });
        let unknown: Vec<_> = unknown.unwrap().map(Result::unwrap).collect();
        for attempt in unknown {
            let at = MIDDAY + random.i64(-48 * 60..48 * 60) * MINUTE;
            let moment = file.unchecked_transaction().unwrap();
            for again in [false, true] {
                let (piece, committed) = CorrectionPiece::new(vec![attempt], at);
                piece.write(&moment, &mut InternedNames::default()).unwrap();
                piece.committed();
                // The same again has no effect.
                assert_eq!(committed.recv().unwrap().is_empty(), again);
            }
            moment.commit().unwrap();
            corrected += 1;
        }
    }
    corrected
}

#[test]
fn a_cost_that_became_known_later_is_a_correction_in_the_time_of_the_correction() {
    let ledger = a_month();
    let before_all = question(MIDDAY - 28 * 24 * HOUR, MIDDAY - 48 * HOUR);
    let with_all = question(MIDDAY - 28 * 24 * HOUR, MIDDAY + 49 * HOUR);
    let formats = [ExportFormat::FocusCsv, ExportFormat::JsonLines];
    let mut asked = Vec::new();
    for format in formats {
        for single_attempts in [false, true] {
            for account in [None, Some("shop".to_owned()), Some("ads".to_owned())] {
                let with = |question: &ExportQuestion| ExportQuestion {
                    format,
                    single_attempts,
                    account: account.clone(),
                    ..question.clone()
                };
                asked.push((with(&before_all), with(&with_all)));
            }
        }
    }
    let told: Vec<_> = asked
        .iter()
        .map(|(before, _)| exported(&ledger, &Sight::All, before).unwrap().0.concat())
        .collect();

    let corrected = correct_what_is_unknown(&ledger);

    let (mut difference, mut corrections, mut changed) = (0, 0, 0);
    for ((before, all), told) in asked.iter().zip(&told) {
        let (chunks, _) = exported(&ledger, &Sight::All, before).unwrap();
        changed += usize::from(chunks.concat() != *told);

        let (chunks, summary) = exported(&ledger, &Sight::All, all).unwrap();
        let (again, same) = exported(&ledger, &Sight::All, all).unwrap();
        let bytes = chunks.concat();
        assert_eq!((&summary, &bytes), (&same, &again.concat()));
        let of_ledger = ledger_nanos(&ledger, &Sight::All, all);
        difference += (summary.cost_nanos - of_ledger).abs();
        let sum = match all.format {
            ExportFormat::FocusCsv => {
                let lines = cells(&bytes);
                for line in &lines {
                    match &*line["ChargeClass"] {
                        "" => {}
                        class => {
                            assert_eq!(class, "Correction");
                            // 26 to 30 November.
                            assert!(line["ChargePeriodStart"].as_str() >= "2026-11-26T12");
                            assert!(line["ChargePeriodEnd"].as_str() <= "2026-11-30T13");
                            corrections += 1;
                        }
                    }
                }
                let costs = lines.iter().map(|line| pico(&line["BilledCost"]));
                let unknown: i128 = lines
                    .iter()
                    .filter(|line| line["x_CostUnknown"] == "true")
                    .map(|line| pico(&line["BilledCost"]))
                    .sum();
                // What was unknown is taken back as it was exported.
                assert_eq!(unknown, 0);
                costs.sum::<i128>()
            }
            ExportFormat::JsonLines => json_pico(&bytes, summary.lines),
        };
        difference += i64::try_from((sum - i128::from(of_ledger) * 1_000).abs()).unwrap();
    }
    println!(
        "attempts corrected: {corrected}; lines of corrections: {corrections}; exports of before that changed: {changed}; \
         sum of the differences to the ledger, in 10^-12 USD: {difference}"
    );
    assert!(corrected > 50 && corrections > corrected);
    assert_eq!((changed, difference), (0, 0));
}
