//! Is what a caller saw what it must see?

use modelway::grpc::v1::{Attempt, AttemptOutcome};
use serde_json::{Value, json};

use crate::condition::{are_distinct, found_in, matches, same, values};
use crate::form::{Counts, Expect, Reasons, Sent};
use crate::play::Place;
use crate::seen::Seen;

/// What is wrong with the outcome of a call, a line each.
///
/// # Errors
/// A pattern or a path of the case that cannot be read.
pub(crate) fn complaints(
    expect: &Expect,
    seen: &Seen,
    places: &[Place],
    received: &[Vec<Value>],
) -> Result<Vec<String>, String> {
    let Expect {
        text,
        text_matches,
        reasoning,
        tool_calls,
        finish,
        usage,
        cost_nanos,
        answered_by,
        reason,
        attempt_reasons,
        asked,
        sent,
    } = expect;
    let mut wrong = Wrong(Vec::new());
    wrong.unless_equal("reason", &json!(reason), &json!(seen.failure));
    if let Some(text) = text {
        wrong.unless_equal("text", &json!(text), &json!(seen.text()));
    }
    if let Some(pattern) = text_matches
        && !found_in(&seen.text(), pattern)?
    {
        wrong.add("text_matches", &json!(pattern), &json!(seen.text()));
    }
    if let Some(reasoning) = reasoning {
        wrong.unless_equal("reasoning", &json!(reasoning), &json!(seen.reasoning()));
    }
    if let Some(calls) = tool_calls {
        let expected: Vec<Value> = calls
            .iter()
            .map(|call| json!([call.name, call.arguments]))
            .collect();
        wrong.unless_equal("tool_calls", &json!(expected), &json!(calls_of(seen)));
    }
    let ids: Vec<Value> = seen
        .tool_calls()
        .iter()
        .map(|call| json!(call.id))
        .collect();
    if ids.contains(&json!("")) || !are_distinct(&ids.iter().collect::<Vec<_>>()) {
        wrong.add(
            "ids of tool calls",
            &json!("none empty or equal"),
            &json!(ids),
        );
    }
    if let Some(finish) = finish {
        wrong.unless_equal("finish", &json!(finish), &json!(seen.finish));
    }
    if let Some(counts) = usage {
        wrong.counts(counts, seen);
    }
    if let Some(cost) = cost_nanos {
        let nanos = seen.cost.as_ref().map(|cost| cost.amount_nanos);
        wrong.unless_equal("cost_nanos", &json!(cost), &json!(nanos));
    }
    if let Some(target) = answered_by {
        let (provider, model) = &seen.answered;
        let answered = places.iter().position(|place| place.is(provider, model));
        wrong.unless_equal("answered_by", &json!(target), &json!(answered));
    }
    if let Some(reasons) = attempt_reasons {
        if reasons.len() != places.len() {
            return Err("attempt_reasons has not one entry for each target".to_owned());
        }
        for (place, expected) in places.iter().zip(reasons) {
            wrong.reasons(place, expected, &seen.attempts);
        }
    }
    if let Some(asked) = asked {
        let numbers: Vec<usize> = received.iter().map(Vec::len).collect();
        wrong.unless_equal("asked", &json!(asked), &json!(numbers));
    }
    for check in sent {
        let bodies = received
            .get(check.target)
            .ok_or("`sent` names a target that is not there")?;
        match bodies.last() {
            Some(body) => wrong.sent(check, body)?,
            None => wrong.add(
                &format!("sent to target {}", check.target),
                &json!("a request"),
                &Value::Null,
            ),
        }
    }
    Ok(wrong.0)
}

struct Wrong(Vec<String>);

impl Wrong {
    fn add(&mut self, what: &str, expected: &Value, got: &Value) {
        self.0
            .push(format!("{what}: expected {expected}, got {got}"));
    }

    fn unless_equal(&mut self, what: &str, expected: &Value, got: &Value) {
        if expected != got {
            self.add(what, expected, got);
        }
    }

    fn counts(&mut self, counts: &Counts, seen: &Seen) {
        let Counts {
            input,
            output,
            cache_read,
            cache_write,
            reasoning,
        } = counts;
        let usage = seen.usage.unwrap_or_default();
        let table = [
            ("usage.input", input, usage.input_tokens),
            ("usage.output", output, usage.output_tokens),
            (
                "usage.cache_read",
                cache_read,
                usage.cache_read_input_tokens,
            ),
            (
                "usage.cache_write",
                cache_write,
                usage.cache_write_input_tokens,
            ),
            ("usage.reasoning", reasoning, usage.reasoning_output_tokens),
        ];
        for (what, expected, got) in table {
            let got = seen.usage.is_some().then_some(got);
            if let Some(expected) = expected {
                self.unless_equal(what, &json!(expected), &json!(got));
            }
        }
    }

    fn reasons(&mut self, place: &Place, expected: &Reasons, attempts: &[Attempt]) {
        let mut got: Vec<Option<String>> = attempts
            .iter()
            .filter(|attempt| place.is(&attempt.provider, &attempt.model))
            .filter(|attempt| {
                matches!(
                    attempt.outcome(),
                    AttemptOutcome::Failed | AttemptOutcome::Skipped
                )
            })
            .map(|attempt| {
                let reason = attempt.error_reason().as_str_name();
                Some(reason.trim_start_matches("ERROR_REASON_").to_owned())
            })
            .collect();
        if got.is_empty() {
            got.push(None);
        }
        let allowed = match expected {
            Reasons::None(()) => vec![None],
            Reasons::One(reason) => vec![Some(reason.clone())],
            Reasons::AnyOf(reasons) => reasons.clone(),
        };
        if !got.iter().all(|reason| allowed.contains(reason)) {
            let what = format!("attempt_reasons of {}/{}", place.provider, place.model);
            self.add(&what, &json!(allowed), &json!(got));
        }
    }

    fn sent(&mut self, check: &Sent, body: &Value) -> Result<(), String> {
        let Sent {
            target,
            path,
            equals,
            matches: pattern,
            not_matches,
            absent,
            count,
            distinct,
            same_as,
        } = check;
        let found = values(body, path)?;
        let mut failed = Vec::new();
        let mut tested = 0;
        let mut test = |name: &str, expected: Value, holds: bool| {
            tested += 1;
            if !holds {
                failed.push(format!("{name} {expected}"));
            }
        };
        if let Some(wanted) = equals {
            let holds = !found.is_empty() && found.iter().all(|value| same(value, wanted));
            test("equals", wanted.clone(), holds);
        }
        if let Some(pattern) = pattern {
            let mut holds = !found.is_empty();
            for value in &found {
                holds &= matches(value, pattern)?;
            }
            test("matches", json!(pattern), holds);
        }
        if let Some(pattern) = not_matches {
            let mut holds = true;
            for value in &found {
                holds &= !matches(value, pattern)?;
            }
            test("not_matches", json!(pattern), holds);
        }
        if let Some(absent) = absent {
            test("absent", json!(absent), found.is_empty() == *absent);
        }
        if let Some(count) = count {
            test("count", json!(count), found.len() == *count);
        }
        if let Some(distinct) = distinct {
            test(
                "distinct",
                json!(distinct),
                are_distinct(&found) == *distinct,
            );
        }
        if let Some(other) = same_as {
            let others = values(body, other)?;
            test(
                "same_as",
                json!(other),
                !found.is_empty() && found == others,
            );
        }
        if tested == 0 {
            return Err(format!("`sent` checks nothing at `{path}`"));
        }
        for failed in failed {
            let what = format!("sent to target {target}, {path}");
            self.add(&what, &json!(failed), &json!(found));
        }
        Ok(())
    }
}

/// Names and arguments of the tool calls; arguments that are no JSON as their text.
fn calls_of(seen: &Seen) -> Vec<Value> {
    let calls = seen.tool_calls();
    let pair = |call: &&modelway::grpc::v1::ToolCall| {
        let text = || json!(call.arguments_json);
        let arguments = serde_json::from_str(&call.arguments_json).unwrap_or_else(|_| text());
        json!([call.name, arguments])
    };
    calls.iter().map(pair).collect()
}
