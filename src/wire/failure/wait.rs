//! How long does a provider ask us to wait before the next request?

use std::time::{Duration, SystemTime};

use http::HeaderMap;

/// The first positive wait that the headers of an error name.
pub(super) fn in_headers(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    // Azure sends `0` here beside a `retry-after` that is not.
    let milliseconds = text("retry-after-ms")
        .and_then(|text| text.trim().parse::<f64>().ok())
        .and_then(|milliseconds| positive(milliseconds / 1000.0));
    milliseconds.or_else(|| {
        let text = text("retry-after")?;
        seconds(text).or_else(|| until(text, now))
    })
}

/// Reads seconds, perhaps with decimals; `None` unless positive.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    positive(text.trim().parse().ok()?)
}

fn positive(seconds: f64) -> Option<Duration> {
    let wait = Duration::try_from_secs_f64(seconds).ok()?;
    (!wait.is_zero()).then_some(wait)
}

fn until(date: &str, now: SystemTime) -> Option<Duration> {
    let date = httpdate::parse_http_date(date.trim()).ok()?;
    date.duration_since(now).ok().filter(|wait| !wait.is_zero())
}
