//! Reads `[breaker]`, `[credential_lock]`, `[throttle]`: when targets get no attempts, and when they do again.

use std::time::Duration;

use crate::health::{breaker, lock, throttle};

use super::table::{Table, Value};

/// The longest default of `open_max` that follows from `open_base`: a longer open time must be set explicitly.
const LONGEST_UNASKED: Duration = Duration::from_secs(60);

pub(super) fn breaker(mut table: Table<'_>) -> breaker::Settings {
    let default = breaker::Settings::default();
    let count = |value: &Value<'_>| value.whole(1..=1_000_000);
    let ratio = |value: &Value<'_>| value.number(0.01..=1.0);
    let consecutive_failures =
        table.or("consecutive_failures", default.consecutive_failures, count);
    table.refuse_former(
        "consecutive_failures_with_alternative",
        "remove it: while a healthier alternative exists, a third of `consecutive_failures` is enough, but at least three",
    );
    table.refuse_former(
        "consecutive_failures_busy_with_alternative",
        "remove it: while a healthier alternative exists, a third of `consecutive_failures_busy` is enough, but at least three",
    );
    let open_base = table.or("open_base", default.open_base, Value::duration);
    let settings = breaker::Settings {
        window: table.or("window", default.window, Value::duration),
        min_samples: table.or("min_samples", default.min_samples, count),
        failure_ratio: table.or("failure_ratio", default.failure_ratio, ratio),
        consecutive_failures,
        consecutive_failures_busy: table.or(
            "consecutive_failures_busy",
            default.consecutive_failures_busy.max(consecutive_failures),
            count,
        ),
        slow_ratio: table.or("slow_ratio", default.slow_ratio, ratio),
        min_commits: table.or("min_commits", default.min_commits, count),
        break_ratio: table.or("break_ratio", default.break_ratio, ratio),
        open_base,
        open_max: table.or(
            "open_max",
            default.open_max.max(open_base.min(LONGEST_UNASKED)),
            Value::duration,
        ),
        retry_after_max: table.or("retry_after_max", default.retry_after_max, Value::duration),
        probe_successes: table.or("probe_successes", default.probe_successes, count),
        probe_lease: table.or("probe_lease", default.probe_lease, Value::duration),
        lasting_answer: table.or("lasting_answer", default.lasting_answer, Value::duration),
    };
    if settings.open_base > settings.open_max {
        table.place.wrong(
            "`open_base` is longer than `open_max`",
            "lower it, or raise `open_max`",
        );
    }
    table.finish();
    settings
}

pub(super) fn lock(mut table: Table<'_>) -> lock::Settings {
    let default = lock::Settings::default();
    let settings = lock::Settings {
        base: table.or("base", default.base, Value::duration),
        max: table.or("max", default.max, Value::duration),
    };
    if settings.base > settings.max {
        table
            .place
            .wrong("`base` is longer than `max`", "lower it, or raise `max`");
    }
    table.finish();
    settings
}

pub(super) fn throttle(mut table: Table<'_>) -> throttle::Settings {
    let default = throttle::Settings::default();
    let count = |value: &Value<'_>| value.whole(1..=1_000_000);
    let settings = throttle::Settings {
        initial_concurrency: table.or("initial_concurrency", default.initial_concurrency, count),
        min_concurrency: table.or("min_concurrency", default.min_concurrency, count),
        max_concurrency: table.or("max_concurrency", default.max_concurrency, count),
        decrease: table.or("decrease", default.decrease, |value| {
            value.number(0.1..=0.99)
        }),
        base_wait: table.or("base_wait", default.base_wait, Value::duration),
        max_wait: table.or("max_wait", default.max_wait, Value::duration),
    };
    if settings.min_concurrency > settings.initial_concurrency
        || settings.initial_concurrency > settings.max_concurrency
    {
        table.place.wrong(
            "`initial_concurrency` does not lie between `min_concurrency` and `max_concurrency`",
            "choose it between them",
        );
    }
    if settings.base_wait > settings.max_wait {
        table.place.wrong(
            "`base_wait` is longer than `max_wait`",
            "lower it, or raise `max_wait`",
        );
    }
    table.finish();
    settings
}
