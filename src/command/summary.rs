//! How is a call summed up at its end: who answered, what was tried for it, what it cost? Pure.

use std::fmt::Write as _;

use crate::grpc::v1;

/// What became of an answered call, several lines.
pub(super) fn of_answer(response: &v1::GenerateResponse) -> String {
    let mut text = String::new();
    let finish = bare(response.finish_reason().as_str_name(), "FINISH_REASON_");
    let _ = writeln!(
        text,
        "answered by {} ({}), {finish}{}",
        response.provider,
        response.model,
        in_seconds(response.latency.as_ref(), ", ")
    );
    text += &cost_line(response.usage.as_ref(), response.cost.as_ref());
    text += &attempts(&response.attempts);
    for warning in &response.warnings {
        let field = match warning.field.is_empty() {
            true => String::new(),
            false => format!(" {}", warning.field),
        };
        let _ = writeln!(
            text,
            "  warning {}{field}: {}",
            warning.code, warning.message
        );
    }
    text += &ids(&response.call_id, &response.trace_id);
    text
}

/// What names the call in logs and traces.
pub(super) fn ids(call_id: &str, trace_id: &str) -> String {
    match (call_id, trace_id) {
        ("", _) => String::new(),
        (_, "") => format!("  call {call_id}\n"),
        _ => format!("  call {call_id}, trace {trace_id}\n"),
    }
}

/// A line for each attempt.
pub(super) fn attempts(attempts: &[v1::Attempt]) -> String {
    let mut text = String::new();
    for attempt in attempts {
        let outcome = bare(attempt.outcome().as_str_name(), "ATTEMPT_OUTCOME_");
        let kind = bare(attempt.kind().as_str_name(), "ATTEMPT_KIND_");
        let _ = match attempt.number {
            0 => write!(text, "  skipped   "),
            number => write!(text, "  attempt {number} {kind} "),
        };
        let _ = write!(text, "{} {}: {outcome}", attempt.provider, attempt.model);
        if attempt.error_reason != 0 {
            let reason = bare(attempt.error_reason().as_str_name(), "ERROR_REASON_");
            let _ = write!(text, " {reason}");
        }
        if !attempt.provider_status.is_empty() {
            let _ = write!(text, " ({})", attempt.provider_status);
        }
        text += &in_seconds(attempt.latency.as_ref(), ", ");
        text += &in_seconds(
            attempt.time_to_first_token.as_ref(),
            ", first content after ",
        );
        if !attempt.detail.is_empty() {
            let _ = write!(text, "; {}", attempt.detail);
        }
        text.push('\n');
    }
    text
}

/// The tokens and what they cost; nothing if neither is known.
pub(super) fn cost_line(usage: Option<&v1::TokenUsage>, cost: Option<&v1::Cost>) -> String {
    let mut text = String::new();
    if let Some(usage) = usage {
        let _ = write!(
            text,
            "  {} input and {} output tokens",
            usage.input_tokens, usage.output_tokens
        );
    }
    if let Some(cost) = cost {
        text.push_str(if text.is_empty() { "  " } else { ", " });
        if cost.source() == v1::CostSource::Unknown {
            text.push_str(match cost.amount_nanos {
                0 => "at an unknown price",
                _ => "at least ",
            });
        }
        if cost.source() != v1::CostSource::Unknown || cost.amount_nanos != 0 {
            let _ = write!(text, "{} {}", amount(cost.amount_nanos), cost.currency_code);
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// An amount of nanos to a millionth.
pub(super) fn amount(nanos: i64) -> String {
    let micros = (i128::from(nanos) + 500).div_euclid(1000);
    let (sign, micros) = match micros < 0 {
        true => ("-", -micros),
        false => ("", micros),
    };
    format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// The name of a value of an enum without that of the enum.
pub(super) fn bare<'a>(name: &'a str, prefix: &str) -> &'a str {
    name.strip_prefix(prefix).unwrap_or(name)
}

/// A time behind these words; nothing if it is not known.
fn in_seconds(time: Option<&prost_types::Duration>, words: &str) -> String {
    time.map_or_else(String::new, |time| {
        let seconds = time.seconds as f64 + f64::from(time.nanos) / 1e9;
        format!("{words}{seconds:.2} s")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_told_to_a_millionth() {
        for (nanos, shown) in [
            (0, "0.000000"),
            (499, "0.000000"),
            (500, "0.000001"),
            (1_234_567_890, "1.234568"),
            (-1_500_000, "-0.001500"),
            (i64::MAX, "9223372036.854776"),
            (i64::MIN, "-9223372036.854776"),
        ] {
            assert_eq!(amount(nanos), shown);
        }
    }

    #[test]
    fn a_price_that_is_not_known_is_not_told_as_nothing() {
        let cost = |amount_nanos, source: v1::CostSource| v1::Cost {
            currency_code: "USD".to_owned(),
            amount_nanos,
            source: source.into(),
            prices_version: String::new(),
        };
        let usage = v1::TokenUsage {
            input_tokens: 3,
            output_tokens: 4,
            ..v1::TokenUsage::default()
        };
        let table = [
            (cost(2000, v1::CostSource::PriceTable), "0.000002 USD"),
            (cost(0, v1::CostSource::Unknown), "at an unknown price"),
            (cost(2000, v1::CostSource::Unknown), "at least 0.000002 USD"),
        ];
        for (cost, shown) in table {
            let line = cost_line(Some(&usage), Some(&cost));
            assert_eq!(line, format!("  3 input and 4 output tokens, {shown}\n"));
        }
        assert_eq!(cost_line(None, None), "");
    }
}
