//! `[admission]`, `[idempotency]`: how many calls are let in, and how many are remembered.

use crate::admission::{self, room};
use crate::idempotency;

use super::table::{Table, Value};

pub(super) fn admission(mut table: Table<'_>) -> admission::Settings {
    let default = admission::Settings::default();
    let count = |value: &Value<'_>| value.whole(1..=1_000_000);
    let bytes = |value: &Value<'_>| value.bytes(1 << 20..=1 << 40);
    let max_request_bytes = table.or("max_request_bytes", default.max_request_bytes, bytes);
    let settings = admission::Settings {
        max_inflight: table.or("max_inflight", default.max_inflight, count),
        max_inflight_per_caller: table.or(
            "max_inflight_per_caller",
            default.max_inflight_per_caller,
            count,
        ),
        max_request_bytes,
        max_request_bytes_per_caller: table.or(
            "max_request_bytes_per_caller",
            room::usual_share(max_request_bytes),
            bytes,
        ),
        queue: table.or("queue", default.queue, |value| value.whole(0..=1_000_000)),
        max_wait: table.or("max_wait", default.max_wait, Value::duration),
        max_wait_overloaded: table.or(
            "max_wait_overloaded",
            default.max_wait_overloaded,
            Value::duration,
        ),
        min_time_left: table.or("min_time_left", default.min_time_left, Value::duration),
        early_cancels: table.or("early_cancels", default.early_cancels, |value| {
            value.whole(0..=1_000_000)
        }),
        early_cancels_window: table.or(
            "early_cancels_window",
            default.early_cancels_window,
            Value::duration,
        ),
        max_cpu_wait: table.or("max_cpu_wait", default.max_cpu_wait, Value::duration),
    };
    if settings.max_wait_overloaded > settings.max_wait {
        table.place.wrong(
            "`max_wait_overloaded` is longer than `max_wait`",
            "lower it, or raise `max_wait`",
        );
    }
    table.finish();
    settings
}

pub(super) fn idempotency(mut table: Table<'_>) -> idempotency::Settings {
    let default = idempotency::Settings::default();
    let settings = idempotency::Settings {
        retention: table.or("retention", default.retention, Value::duration),
        max_entries: table.or("max_entries", default.max_entries, |value| {
            value.whole(1..=10_000_000)
        }),
        max_bytes: table.or("max_bytes", default.max_bytes, |value| {
            value.bytes(64 << 10..=16 << 30)
        }),
    };
    table.finish();
    settings
}
