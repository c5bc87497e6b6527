//! How are readings written for a collector? As an `ExportMetricsServiceRequest`, with totals since the start of the
//! service. Pure.
//!
//! The numbers are those of the fields in `opentelemetry/proto/metrics/v1/metrics.proto`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::meter::Totals;
use crate::telemetry::protobuf::{attribute, bytes_field, fixed64_field, text_field, varint_field};

use super::names::MetricKind;
use super::readings::{MetricFamily, Reading, Readings, Sample};

/// A billion, by which amounts are divided that are kept in billionths.
const NANOS: f64 = 1e9;

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`: totals since the start.
const CUMULATIVE: u64 = 2;

/// Since when and until when something was counted, in nanoseconds since 1970.
#[derive(Clone, Copy)]
struct CountedInterval {
    since: u64,
    until: u64,
}

/// The readings of `now` as an encoded message, about a process with these attributes that has counted `since` then.
pub(super) fn message(
    readings: &Readings,
    resource: &[(String, String)],
    since: SystemTime,
    now: SystemTime,
) -> Vec<u8> {
    let interval = CountedInterval {
        since: nanos_of(since),
        until: nanos_of(now),
    };
    let attributes = message_of(|out| {
        for (name, value) in resource {
            attribute(out, 1, name, value);
        }
    });
    let scope = message_of(|out| {
        text_field(out, 1, env!("CARGO_PKG_NAME"));
        text_field(out, 2, env!("CARGO_PKG_VERSION"));
    });
    let of_scope = message_of(|out| {
        bytes_field(out, 1, &scope);
        for family in readings.families() {
            if !family.samples.is_empty() {
                bytes_field(out, 2, &metric(family, interval));
            }
        }
    });
    let of_resource = message_of(|out| {
        bytes_field(out, 1, &attributes);
        bytes_field(out, 2, &of_scope);
    });
    message_of(|out| bytes_field(out, 1, &of_resource))
}

/// What `write` writes.
fn message_of(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// A `Metric`.
fn metric(family: &MetricFamily, interval: CountedInterval) -> Vec<u8> {
    let MetricFamily {
        definition,
        samples,
    } = family;
    let points = |out: &mut Vec<u8>| {
        for sample in samples {
            bytes_field(out, 1, &point(sample, interval));
        }
    };
    let (data, tag) = match definition.kind {
        MetricKind::Gauge => (message_of(points), 5),
        MetricKind::Counter | MetricKind::Nanos => {
            let sum = message_of(|out| {
                points(out);
                varint_field(out, 2, CUMULATIVE);
                // It never falls.
                varint_field(out, 3, 1);
            });
            (sum, 7)
        }
        MetricKind::Histogram => {
            let histogram = message_of(|out| {
                points(out);
                varint_field(out, 2, CUMULATIVE);
            });
            (histogram, 9)
        }
    };
    message_of(|out| {
        text_field(out, 1, definition.otel);
        text_field(out, 2, definition.help);
        text_field(out, 3, definition.unit);
        bytes_field(out, tag, &data);
    })
}

/// A `HistogramDataPoint` or a `NumberDataPoint`.
fn point(sample: &Sample, interval: CountedInterval) -> Vec<u8> {
    let Sample { labels, reading } = sample;
    let attributes = |out: &mut Vec<u8>, tag| {
        for (name, value) in labels {
            // What has an empty value in Prometheus is left out here.
            if !value.is_empty() {
                attribute(out, tag, name, value);
            }
        }
    };
    message_of(|out| {
        fixed64_field(out, 3, interval.until);
        if !matches!(reading, Reading::Gauge(_)) {
            fixed64_field(out, 2, interval.since);
        }
        match reading {
            Reading::Count(count) => {
                attributes(out, 7);
                // A number with a sign.
                fixed64_field(out, 6, (*count).min(i64::MAX as u64));
            }
            Reading::Nanos(nanos) => {
                attributes(out, 7);
                fixed64_field(out, 4, (*nanos as f64 / NANOS).to_bits());
            }
            Reading::Gauge(value) => {
                attributes(out, 7);
                fixed64_field(out, 4, value.to_bits());
            }
            Reading::Histogram(totals) => {
                attributes(out, 9);
                histogram(out, totals);
            }
        }
    })
}

fn histogram(out: &mut Vec<u8>, totals: &Totals) {
    let Totals {
        buckets,
        counts,
        sum,
    } = totals;
    let scale = buckets.scale as f64;
    fixed64_field(out, 4, totals.count());
    fixed64_field(out, 5, (*sum as f64 / scale).to_bits());
    let counts: Vec<u8> = counts.iter().flat_map(|it| it.to_le_bytes()).collect();
    bytes_field(out, 6, &counts);
    let bounds = buckets.bounds.iter().map(|bound| *bound as f64 / scale);
    let bounds: Vec<u8> = bounds.flat_map(f64::to_le_bytes).collect();
    bytes_field(out, 7, &bounds);
}

fn nanos_of(time: SystemTime) -> u64 {
    let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
    use opentelemetry_proto::tonic::metrics::v1::{Metric, metric, number_data_point};
    use prost::Message as _;

    use crate::meter::{self, SHORT};

    use super::super::configured::ShownNames;
    use super::super::names;
    use super::*;

    fn metric_of(readings: &Readings) -> Metric {
        let (since, now) = (UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(1));
        let resource = [("service.name".to_owned(), "test".to_owned())];
        let message = message(readings, &resource, since, now);
        let request = ExportMetricsServiceRequest::decode(&*message).expect("the message decodes");
        let mut of_resource = request.resource_metrics;
        let resource = of_resource[0].resource.take().expect("a resource");
        assert_eq!(labels(&resource.attributes), ["service.name=test"]);
        let mut metrics = of_resource.remove(0).scope_metrics.remove(0);
        assert_eq!(metrics.metrics.len(), 1);
        metrics.metrics.remove(0)
    }

    fn labels(attributes: &[KeyValue]) -> Vec<String> {
        let labels = attributes.iter().map(|attribute| {
            let value = attribute.value.as_ref().and_then(|it| it.value.as_ref());
            match value {
                Some(any_value::Value::StringValue(text)) => format!("{}={text}", attribute.key),
                other => panic!("{other:?}"),
            }
        });
        labels.collect()
    }

    #[test]
    fn a_counter_is_a_total_since_the_start() {
        let mut readings = Readings::new(ShownNames::default());
        readings.count(&names::REPLAYED, ["general".into()], 7);

        let metric = metric_of(&readings);

        assert_eq!(metric.name, "modelway.calls.replayed");
        assert_eq!(metric.unit, "{call}");
        let Some(metric::Data::Sum(sum)) = metric.data else {
            panic!("no sum");
        };
        assert!(sum.is_monotonic);
        assert_eq!(sum.aggregation_temporality, 2);
        let point = &sum.data_points[0];
        assert_eq!(point.value, Some(number_data_point::Value::AsInt(7)));
        assert_eq!(labels(&point.attributes), ["scenario=general"]);
        assert_eq!(point.start_time_unix_nano, 0);
        assert_eq!(point.time_unix_nano, 1_000_000_000);
    }

    #[test]
    fn a_histogram_has_its_bounds_in_the_unit_of_the_metric() {
        let histogram = meter::Histogram::new(&SHORT);
        histogram.record_time(Duration::from_millis(2));
        histogram.record_time(Duration::from_secs(3));
        let mut readings = Readings::new(ShownNames::default());
        readings.histogram(&names::FIRST_CONTENT, ["s".into()], &histogram);

        let Some(metric::Data::Histogram(histogram)) = metric_of(&readings).data else {
            panic!("no histogram");
        };

        assert_eq!(histogram.aggregation_temporality, 2);
        let point = &histogram.data_points[0];
        assert_eq!(labels(&point.attributes), ["scenario=s"]);
        assert_eq!((point.count, point.sum), (2, Some(3.002)));
        assert_eq!(point.explicit_bounds[..3], [0.0001, 0.00025, 0.0005]);
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!((point.bucket_counts[4], point.bucket_counts[13]), (1, 1));
    }

    #[test]
    fn a_label_without_a_value_is_left_out() {
        let mut readings = Readings::new(ShownNames::default());
        let of = ["p".into(), "".into(), "open".into()];
        readings.flag(&names::BREAKER_STATE, of, true);

        let Some(metric::Data::Gauge(gauge)) = metric_of(&readings).data else {
            panic!("no gauge");
        };

        let point = &gauge.data_points[0];
        assert_eq!(labels(&point.attributes), ["provider=p", "state=open"]);
        assert_eq!(point.value, Some(number_data_point::Value::AsDouble(1.0)));
    }
}
