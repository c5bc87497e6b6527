//! How do attempts get their cost whose price became known after they had ended? Some at a time, by the writer of the ledger,
//! and with the limits of the windows that run.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::audit::{AuditDraft, Subject};
use crate::calendar::unix_us;
use crate::check::Faults;
use crate::ledger::{
    CorrectedAttempt, CorrectedCost, Ledger, LedgerUnavailable, UnpricedAttempt, UnpricedTime,
    UsedRow,
};
use crate::limits::{LateCost, Now};
use crate::money::{Cost, CostSource, PriceVersion, price_again};

use super::super::accounts::all;
use super::super::error::AdminError;
use super::super::fields::check_comment;
use super::super::rights::Administrator;
use super::super::{Administration, StoreObjects};
use super::board::CompiledPrices;

/// Which attempts are to get a cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWish {
    /// Those that began at this moment or later.
    pub from: SystemTime,
    /// Those that began before this moment; `None`: before now.
    pub until: Option<SystemTime>,
    /// Only those of this model; `None` for all.
    pub model: Option<String>,
    /// Whether nothing is to be written.
    pub dry_run: bool,
    /// Why.
    pub comment: String,
}

/// What became known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PricedUnknown {
    /// Attempts whose cost is known now.
    pub attempts: u64,
    /// Their calls.
    pub calls: u64,
    /// Attempts of which a part is unknown still.
    pub still_unknown: u64,
    /// What was added to the ledger, in nano-USD.
    pub added_nanos: i64,
    /// Names the prices that were used.
    pub version: Option<PriceVersion>,
}

/// The same in the audit record.
#[derive(Debug, Serialize)]
struct UnknownView {
    from: i64,
    until: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    still_unknown: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    added_nanos: Option<i64>,
}

impl Administration {
    /// Works out again what attempts cost of which a part was unknown. What was known is never changed. The same again
    /// changes nothing, and goes on where a process that died has left off. `clock` returns the time. Blocks.
    ///
    /// # Errors
    /// [`AdminError`]; what was priced before stays priced.
    pub fn price_unknown(
        &self,
        by: &Administrator,
        wish: &UnknownWish,
        clock: &dyn Fn() -> Now,
    ) -> Result<PricedUnknown, AdminError> {
        let now = clock().wall;
        let time = self.check_unknown(by, wish, now)?;
        let ledger = self.ledger.get().ok_or_else(no_books)?;
        let prices = self.prices.compiled();
        let mut done = PricedUnknown {
            version: prices.version(),
            ..PricedUnknown::default()
        };
        let mut is_told = wish.dry_run;
        for day in ledger.days_of(&time).map_err(unreadable)? {
            let mut after = None;
            loop {
                let page = ledger.unpriced(day, &time, after);
                let page = page.map_err(unreadable)?;
                let found = page.attempts.len();
                let known = priced(&prices, page.attempts);
                done.still_unknown += (found - known.len()) as u64;
                if !is_told && !known.is_empty() {
                    is_told = true;
                    self.store.record(event(by, wish, &time, None, now))?;
                }
                let late = self.apply(ledger, &known, wish.dry_run, &mut done, clock)?;
                if let Some(told) = self.late_costs.get() {
                    for (used, added_nanos) in late {
                        told(used, added_nanos);
                    }
                }
                after = page.last;
                if after.is_none() {
                    break;
                }
            }
        }
        if !wish.dry_run && done.attempts > 0 {
            let event = event(by, wish, &time, Some(&done), clock().wall);
            self.store.record(event)?;
        }
        Ok(done)
    }

    fn check_unknown(
        &self,
        by: &Administrator,
        wish: &UnknownWish,
        now: SystemTime,
    ) -> Result<UnpricedTime, AdminError> {
        let mut faults = Faults::default();
        check_comment(&wish.comment, &mut faults);
        let until = wish.until.unwrap_or(now);
        if until <= wish.from {
            let what = "it is not after `start_time`; take a later one, or leave it out for now";
            faults.add("end_time", what);
        }
        all(faults)?;
        self.store.read(|reading| {
            by.check_rules_all(&self.current(by, &self.file(), &StoreObjects::read(reading)?)?)
        })?;
        let ledger = self.ledger.get().filter(|ledger| ledger.records());
        let ledger = ledger.ok_or_else(no_books)?;
        let time = UnpricedTime {
            from_us: unix_us(wish.from),
            until_us: unix_us(until),
            model: wish.model.clone(),
        };
        match ledger.kept_from().map_err(unreadable)? {
            Some(day) if time.from_us < day.begin_us() => Err(AdminError::invalid(
                "start_time",
                format!(
                    "the rows of days before {day} are no longer kept (`ledger.keep`), and their sums cannot be priced; take \
                     a start_time from {day}T00:00:00Z on"
                ),
            )),
            _ => Ok(time),
        }
    }

    /// Writes down what these attempts cost, and has the limits count it. By how many nano-USD the cost of each has grown;
    /// nothing has if it is a dry run.
    fn apply<'k>(
        &self,
        ledger: &Ledger,
        known: &'k [(UnpricedAttempt, Cost)],
        dry_run: bool,
        done: &mut PricedUnknown,
        clock: &dyn Fn() -> Now,
    ) -> Result<Vec<(&'k UsedRow, i64)>, AdminError> {
        if dry_run {
            done.add(known.iter().map(|(attempt, cost)| CorrectedCost {
                call_id: attempt.call_id,
                number: attempt.number,
                added_nanos: cost.nanos().saturating_sub(attempt.known_nanos),
            }));
            return Ok(Vec::new());
        }
        let corrected = known.iter().map(|(attempt, cost)| CorrectedAttempt {
            call_id: attempt.call_id,
            number: attempt.number,
            version: attempt.version,
            cost: *cost,
        });
        let known: HashMap<_, _> = known
            .iter()
            .map(|known| ((known.0.call_id, known.0.number), known))
            .collect();
        let mut grown = Vec::new();
        let write = || {
            let added = ledger.correct(corrected.collect(), unix_us(clock().wall))?;
            let mut late = Vec::with_capacity(added.len());
            for added in &added {
                let Some((attempt, cost)) = known.get(&(added.call_id, added.number)) else {
                    continue;
                };
                late.push(LateCost {
                    used: attempt.used.clone(),
                    nanos: cost.nanos(),
                });
                grown.push((&attempt.used, added.added_nanos));
            }
            done.add(added);
            Ok::<_, AdminError>(late)
        };
        self.book.correct(write, clock)?;
        Ok(grown)
    }
}

impl PricedUnknown {
    /// Adds attempts whose cost has become known.
    fn add(&mut self, added: impl IntoIterator<Item = CorrectedCost>) {
        let mut calls = Vec::new();
        for added in added {
            self.attempts += 1;
            self.added_nanos = self.added_nanos.saturating_add(added.added_nanos);
            calls.push(added.call_id);
        }
        calls.sort_unstable();
        calls.dedup();
        self.calls += calls.len() as u64;
    }
}

/// The attempts whose whole cost is known by these prices, with it.
fn priced(prices: &CompiledPrices, attempts: Vec<UnpricedAttempt>) -> Vec<(UnpricedAttempt, Cost)> {
    let known = attempts.into_iter().filter_map(|attempt| {
        let prices = prices.model(&attempt.used.model)?;
        let began = u64::try_from(attempt.started_us).ok()?;
        let began = UNIX_EPOCH + Duration::from_micros(began);
        let cost = price_again(attempt.usage.as_ref()?, prices, began);
        (cost.source() != CostSource::Unknown).then_some((attempt, cost))
    });
    known.collect()
}

fn event(
    by: &Administrator,
    wish: &UnknownWish,
    time: &UnpricedTime,
    done: Option<&PricedUnknown>,
    at: SystemTime,
) -> AuditDraft {
    let subject = Subject::new("price", wish.model.as_deref().unwrap_or("*"));
    let view = UnknownView {
        from: time.from_us / 1_000_000,
        until: time.until_us / 1_000_000,
        attempts: done.map(|done| done.attempts),
        still_unknown: done.map(|done| done.still_unknown),
        added_nanos: done.map(|done| done.added_nanos),
    };
    let action = match done {
        None => "price.unknown.begin",
        Some(_) => "price.unknown.end",
    };
    AuditDraft::done(at, by.actor.clone(), action, subject)
        .after(&view)
        .because(&wish.comment)
}

/// Nothing says which attempts wait for a price.
fn no_books() -> AdminError {
    AdminError::Impossible(
        "nothing is written down of calls here, so that no attempt waits for a price; set `ledger.path`".to_owned(),
    )
}

fn unreadable(error: crate::ledger::schema::SchemaError) -> AdminError {
    AdminError::Ledger(format!("cannot be read: {error}"))
}

impl From<LedgerUnavailable> for AdminError {
    fn from(_: LedgerUnavailable) -> Self {
        Self::Ledger("cannot be written; ask again: what was priced stays priced".to_owned())
    }
}
