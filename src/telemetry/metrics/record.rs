//! What does the end of a call, or of an attempt, add to the metrics?

use std::sync::Arc;

use tokio::time::Instant;

use crate::chat::Usage;
use crate::error::{Billing, LimitUnit};
use crate::ledger::UsedRow;
use crate::money::{Cost, CostSource};
use crate::telemetry::facts::{AskedFor, AttemptFacts, CallFacts};
use crate::trail::{AttemptRecord, CallEnd, Outcome, Skip};

use super::configured::ConfiguredModel;
use super::series::{OfModel, OfScenario};
use super::tables::{DIRECT, NEITHER};
use super::{Metrics, labels};

impl Metrics {
    /// Counts a call that has ended.
    pub fn record_call(&self, facts: &CallFacts<'_>) {
        let CallFacts {
            trail,
            caller: _,
            identity: _,
            labels: of_call,
            request_id: _,
            method,
            door,
            asked_for,
            priority: _,
            end,
            blame,
            messages: _,
            replayed,
            times,
        } = facts;
        let (method, answered) = (*method as usize, *end == CallEnd::Answered);
        let scenario = match asked_for {
            AskedFor::Scenario => &trail.scenario,
            AskedFor::Model(_) => DIRECT,
            AskedFor::Unread | AskedFor::UnknownScenario | AskedFor::UnknownModel => NEITHER,
        };
        let caller = || facts.caller_name().into_owned();
        let group = self.tables().groups().of(caller, of_call);
        let of = self.of_scenario(scenario);
        if let Some(durations) = of.durations.at([method, usize::from(answered)]) {
            durations.record_time(times.total);
        }
        if let Some(time) = times.first_content {
            of.first_content.record_time(time);
        }
        let attempts = facts.attempts();
        of.attempts.record(attempts as u64);
        if let Some(kind) = facts.rescued()
            && let Some(position) = labels::rescue(kind)
        {
            of.rescued.increment([position]);
        }
        let refused = trail.attempts.iter().filter(|attempt| {
            matches!(
                attempt.outcome,
                Outcome::Skipped(Skip::RetryBudgetExhausted)
            )
        });
        of.retries_refused.add(refused.count() as u64);
        if *replayed {
            of.replayed.increment();
        }
        self.doors.increment([*door as usize, method]);
        if attempts > 0
            && let Some(overhead) = self.overhead.at([method])
        {
            overhead.record_time(times.overhead);
        }
        for attempt in trail.sent() {
            self.record_cost(attempt);
        }
        // Counted last: a reader that sees the call in this counter finds it in all others, too.
        if let Some(calls) = of.calls.get(group) {
            let nanos = facts.cost().map_or(0, Cost::nanos);
            calls.cost.add(u64::try_from(nanos).unwrap_or(0));
            let usage = facts.usage().unwrap_or_default();
            let of_types = [usage.input_tokens, usage.output_tokens];
            for (position, tokens) in of_types.into_iter().enumerate() {
                if let Some(sum) = calls.tokens.at([position]) {
                    sum.add(tokens.unwrap_or(0));
                }
            }
            calls.ended.increment([method, labels::end(*end, *blame)]);
        }
    }

    /// Counts what an attempt has cost.
    fn record_cost(&self, record: &AttemptRecord) {
        let of = self.of_model(record);
        let Some(cost) = record.cost else {
            return;
        };
        if let Some(sum) = of.cost.at([usize::from(!record.is_useful())]) {
            sum.add(u64::try_from(cost.nanos()).unwrap_or(0));
        }
        if cost.source() == CostSource::Unknown {
            of.cost_unknown.increment();
        }
        if record.diverging_nanos.is_some() {
            of.cost_divergence.increment();
        }
        if record.usage.is_some_and(|usage| usage.is_contradictory) {
            of.usage_contradictory.increment();
        }
    }

    /// Counts by how many nano-USD the cost of an attempt has grown, since its price became known after its end. What is not
    /// shown any more is not counted.
    pub fn record_late_cost(&self, used: &UsedRow, added_nanos: i64) {
        let added = u64::try_from(added_nanos).unwrap_or(0);
        let is_wasted = used.unpriced.is_some_and(|unpriced| unpriced.is_wasted);
        let tables = self.tables();
        if let Some(of) = tables.models.get(&*used.model)
            && let Some(sum) = of.cost.at([usize::from(is_wasted)])
        {
            sum.add(added);
        }
        let scenario = match &*used.scenario {
            "" => DIRECT,
            scenario => scenario,
        };
        let caller = || used.account.caller.to_string();
        let group = tables.groups().of(caller, &used.labels);
        if let Some(of) = tables.scenarios.get(scenario)
            && let Some(calls) = of.calls.get(group)
        {
            calls.cost.add(added);
        }
    }

    /// Counts an attempt that has ended, or a target that was passed over.
    pub fn record_attempt(&self, facts: &AttemptFacts<'_>) {
        let AttemptFacts {
            call_id: _,
            record,
            gaps,
        } = facts;
        let of = self.of_model(record);
        if let Some(outcome) = labels::outcome(&record.outcome) {
            of.attempts.increment([record.kind as usize, outcome]);
        }
        match &record.outcome {
            Outcome::Failed(error) => of.failures.increment([labels::failure(error.kind)]),
            Outcome::Skipped(skip) => of.skips.increment([labels::skip(skip)]),
            Outcome::Running | Outcome::Succeeded | Outcome::Cancelled(_) => {}
        }
        if record.number == 0 {
            return;
        }
        if let Some(gaps) = gaps {
            of.gaps.add(gaps.tally());
        }
        of.compare(record);
        let genai = &of.genai;
        if let Some(duration) = genai.duration.at([labels::error_type(&record.outcome)]) {
            duration.record_time(record.latency);
        }
        if let Some(time) = record.first_content.filter(|_| gaps.is_some()) {
            genai.first_chunk.record_time(time);
        }
        if let Some(usage) = record.usage {
            let Usage {
                input_tokens,
                output_tokens,
                cache_read_input_tokens,
                cache_write_input_tokens,
                reasoning_output_tokens,
                ..
            } = usage;
            genai.input.add(input_tokens.unwrap_or(0));
            genai.output.add(output_tokens.unwrap_or(0));
            genai.cache_read.add(cache_read_input_tokens.unwrap_or(0));
            genai.cache_write.add(cache_write_input_tokens.unwrap_or(0));
            genai.reasoning.add(reasoning_output_tokens.unwrap_or(0));
            let of_types = [input_tokens, output_tokens].into_iter().enumerate();
            for (position, count) in of_types {
                let of_type = genai
                    .tokens
                    .as_ref()
                    .and_then(|tokens| tokens.at([position]));
                if let Some((of_type, count)) = of_type.zip(count) {
                    of_type.record(count);
                }
            }
        }
    }

    fn of_scenario(&self, name: &str) -> Arc<OfScenario> {
        if let Some(of) = self.tables().scenarios.get(name) {
            return Arc::clone(of);
        }
        self.change().bring_back_scenario(name, Instant::now())
    }

    fn of_model(&self, record: &AttemptRecord) -> Arc<OfModel> {
        if let Some(of) = self.tables().models.get(&record.target) {
            return Arc::clone(of);
        }
        let names = ConfiguredModel {
            id: record.target.clone(),
            provider: record.provider.clone(),
            model: record.model.clone(),
        };
        self.change().bring_back_model(&names, Instant::now())
    }
}

impl OfModel {
    /// Compares what an attempt has used with what was set aside for it.
    fn compare(&self, record: &AttemptRecord) {
        for (position, unit) in labels::ESTIMATED_UNITS.into_iter().enumerate() {
            let (used, set_aside) = match unit {
                LimitUnit::Money => (used_nanos(record), record.reserved_nanos.map(count)),
                LimitUnit::Tokens
                | LimitUnit::Requests
                | LimitUnit::ConcurrentCalls
                | LimitUnit::Waste => (used_tokens(record), record.reserved_tokens),
            };
            let Some((used, set_aside)) = used.zip(set_aside) else {
                continue;
            };
            if used > set_aside {
                self.estimate_exceeded.increment([position]);
            }
            // A use that was itself estimated, or was not charged, cannot be compared with the estimate.
            let is_told = record.billing == Some(Billing::Actual)
                && record.usage.is_some_and(|usage| !usage.is_estimated);
            if is_told
                && set_aside > 0
                && let Some(ratios) = self.estimate_ratio.at([position])
            {
                ratios.record(ratio(used, set_aside));
            }
        }
    }
}

/// What the tokens of an attempt cost, in nano-USD, if that is known.
fn used_nanos(record: &AttemptRecord) -> Option<u64> {
    let cost = record.cost?;
    match cost.source() {
        CostSource::Unknown => None,
        CostSource::Prices | CostSource::Provider | CostSource::Estimated | CostSource::Mixed => {
            Some(count(cost.nanos()))
        }
    }
}

/// The tokens of an attempt, of input and output.
fn used_tokens(record: &AttemptRecord) -> Option<u64> {
    let usage = record.usage?;
    let tokens = [usage.input_tokens, usage.output_tokens];
    tokens.into_iter().flatten().reduce(u64::saturating_add)
}

/// One number divided by another that is not 0, in billionths; at most a thousand.
fn ratio(used: u64, set_aside: u64) -> u64 {
    const BILLION: u128 = 1_000_000_000;
    let ratio = u128::from(used) * BILLION / u128::from(set_aside);
    u64::try_from(ratio.min(1_000 * BILLION)).unwrap_or(u64::MAX)
}

fn count(nanos: i64) -> u64 {
    u64::try_from(nanos).unwrap_or(0)
}
