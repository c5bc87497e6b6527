//! How are readings written for Prometheus? In its text format 0.0.4, which every version of it reads.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use std::fmt::{self, Write as _};

use crate::meter::Totals;

use super::names::MetricKind;
use super::readings::{LabelValue, Reading, Readings, Sample};

/// The `content-type` of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A billion, by which amounts are divided that are kept in billionths.
const NANOS: u64 = 1_000_000_000;

/// The readings as text.
pub(super) fn of(readings: &Readings) -> String {
    let mut text = String::with_capacity(128 * readings.series());
    for family in readings.families() {
        let name = family.definition.prometheus;
        let kind = match family.definition.kind {
            MetricKind::Counter | MetricKind::Nanos => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {}", family.definition.help);
        let _ = writeln!(text, "# TYPE {name} {kind}");
        for sample in &family.samples {
            let _ = write_sample(&mut text, name, sample);
        }
    }
    text
}

fn write_sample(text: &mut String, name: &str, sample: &Sample) -> fmt::Result {
    let Sample { labels, reading } = sample;
    let line = |text: &mut String, suffix: &str, bound: Option<&str>, value: &dyn fmt::Display| {
        text.push_str(name);
        text.push_str(suffix);
        write_labels(text, labels, bound)?;
        writeln!(text, " {value}")
    };
    match reading {
        Reading::Count(count) => line(text, "", None, count),
        Reading::Nanos(nanos) => line(text, "", None, &Decimal::of(*nanos, NANOS)),
        Reading::Gauge(value) => line(text, "", None, value),
        Reading::Histogram(totals) => {
            let Totals {
                buckets,
                counts,
                sum,
            } = totals;
            let bounds = buckets.bounds.iter();
            let bounds = bounds.map(|bound| Decimal::of(*bound, buckets.scale).to_string());
            let bounds = bounds.chain(["+Inf".to_owned()]);
            let mut below = 0;
            for (bound, count) in bounds.zip(counts) {
                below += count;
                line(text, "_bucket", Some(&bound), &below)?;
            }
            line(text, "_sum", None, &Decimal::of(*sum, buckets.scale))?;
            line(text, "_count", None, &below)
        }
    }
}

fn write_labels(
    text: &mut String,
    labels: &[(LabelValue, LabelValue)],
    bound: Option<&str>,
) -> fmt::Result {
    let labels = labels.iter().map(|(name, value)| (&**name, &**value));
    let mut separator = '{';
    for (name, value) in labels.chain(bound.map(|bound| ("le", bound))) {
        write!(text, "{separator}{}=\"", LabelName(name))?;
        for character in value.chars() {
            match character {
                '\\' => text.push_str(r"\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str(r"\n"),
                other => text.push(other),
            }
        }
        text.push('"');
        separator = ',';
    }
    if separator == ',' {
        text.push('}');
    }
    Ok(())
}

/// The name of a label as Prometheus accepts it.
struct LabelName<'a>(&'a str);

impl fmt::Display for LabelName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pieces = self.0.split(['.', '-']);
        for (nth, piece) in pieces.enumerate() {
            if nth > 0 {
                f.write_char('_')?;
            }
            f.write_str(piece)?;
        }
        Ok(())
    }
}

/// An amount in the unit of its metric, written exactly.
struct Decimal {
    whole: u64,
    /// Billionths.
    nanos: u64,
}

impl Decimal {
    /// `amount` pieces, of which `scale`, 1 or a billion, make a unit.
    fn of(amount: u64, scale: u64) -> Self {
        Self {
            whole: amount / scale,
            nanos: amount % scale,
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nanos {
            0 => write!(f, "{}", self.whole),
            nanos => {
                let digits = format!("{nanos:09}");
                write!(f, "{}.{}", self.whole, digits.trim_end_matches('0'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::meter::{Histogram, SHORT};

    use super::super::configured::ShownNames;
    use super::super::names;
    use super::*;

    /// The lines of one metric.
    fn lines_of(name: &str, readings: &Readings) -> Vec<String> {
        let text = of(readings);
        let lines = text.lines().filter(|line| line.contains(name));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn an_amount_of_money_is_written_to_the_billionth() {
        let table = [
            (0, "0"),
            (1, "0.000000001"),
            (4_200_000, "0.0042"),
            (12_000_000_000, "12"),
            (u64::MAX, "18446744073.709551615"),
        ];
        for (nanos, expected) in table {
            let mut readings = Readings::new(ShownNames::default());
            readings.count(
                &names::COST,
                ["p".into(), "m".into(), "answer".into()],
                nanos,
            );

            let lines = lines_of("modelway_cost_usd_total", &readings);

            assert_eq!(lines[1], "# TYPE modelway_cost_usd_total counter");
            let expected = format!(
                r#"modelway_cost_usd_total{{provider="p",model="m",use="answer"}} {expected}"#
            );
            assert_eq!(lines[2], expected);
        }
    }

    #[test]
    fn the_buckets_of_a_histogram_count_what_is_not_above_their_bound() {
        let histogram = Histogram::new(&SHORT);
        for micros in [100, 101, 2_000_000] {
            histogram.record_time(Duration::from_micros(micros));
        }
        let mut readings = Readings::new(ShownNames::default());
        readings.histogram(&names::OVERHEAD, ["Generate".into()], &histogram);

        let lines = lines_of("modelway_call_overhead_seconds", &readings);

        assert_eq!(lines.len(), 2 + 14 + 2);
        let name = "modelway_call_overhead_seconds";
        assert_eq!(
            lines[2],
            format!(r#"{name}_bucket{{method="Generate",le="0.0001"}} 1"#)
        );
        assert_eq!(
            lines[3],
            format!(r#"{name}_bucket{{method="Generate",le="0.00025"}} 2"#)
        );
        assert_eq!(
            lines[14],
            format!(r#"{name}_bucket{{method="Generate",le="1"}} 2"#)
        );
        assert_eq!(
            lines[15],
            format!(r#"{name}_bucket{{method="Generate",le="+Inf"}} 3"#)
        );
        assert_eq!(
            lines[16],
            format!(r#"{name}_sum{{method="Generate"}} 2.000201"#)
        );
        assert_eq!(lines[17], format!(r#"{name}_count{{method="Generate"}} 3"#));
    }

    #[test]
    fn a_label_cannot_end_its_line() {
        let mut readings = Readings::new(ShownNames::default());
        readings.flag(&names::SERVING, ["a\"b\\c\nd".into()], true);

        let lines = lines_of("modelway_scenario_serving", &readings);

        assert_eq!(
            lines[2],
            r#"modelway_scenario_serving{scenario="a\"b\\c\nd"} 1"#
        );
    }

    #[test]
    fn every_metric_is_named_even_without_a_series() {
        let readings = Readings::new(ShownNames::default());

        let text = of(&readings);

        assert_eq!(text.lines().count(), 2 * names::ALL.len());
        assert_eq!(readings.series(), 0);
    }
}
