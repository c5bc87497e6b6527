//! What do kubelets, load balancers and scrapers ask by HTTP? `/livez`, `/readyz` and `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use tokio::time::Instant;

use crate::error::{Code, Error};
use crate::telemetry::gzip::{gzip, reads_gzip};

use super::liveness::Pulse;

/// Writes all metrics as text for Prometheus.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// The media type of [`MetricsText`]
/// (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).
const METRICS_TYPE: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

const TEXT_TYPE: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// What the probes are told. It depends on the process alone, never on a provider.
pub(super) struct ProcessHealth {
    is_ready: AtomicBool,
    pub(super) pulse: Arc<Pulse>,
    metrics: MetricsText,
}

impl ProcessHealth {
    /// The health of a process that is not ready yet.
    pub(super) fn new(pulse: Arc<Pulse>, metrics: MetricsText) -> Self {
        Self {
            is_ready: AtomicBool::new(false),
            pulse,
            metrics,
        }
    }

    /// Sets whether new calls should come here.
    pub(super) fn set_ready(&self, is_ready: bool) {
        self.is_ready.store(is_ready, Ordering::Release);
    }

    /// Whether the process should go on.
    pub(super) fn is_alive(&self, now: Instant) -> bool {
        self.pulse.is_alive(now)
    }
}

/// The answer to a request that is not gRPC; `None` if it is. `may_scrape` judges whether it is shown metrics.
pub(super) fn answer<B>(
    health: &ProcessHealth,
    request: &Request<B>,
    may_scrape: impl FnOnce() -> Result<(), Error>,
) -> Option<Response<Bytes>> {
    let head = || -> Option<&str> { request.headers().get(CONTENT_TYPE)?.to_str().ok() };
    let is_grpc = head().is_some_and(|kind| kind.starts_with("application/grpc"));
    if is_grpc {
        let is_http1 = request.version() < Version::HTTP_2;
        return is_http1.then(|| {
            let advice = "gRPC needs HTTP/2\n";
            text(StatusCode::UNSUPPORTED_MEDIA_TYPE, advice)
        });
    }
    let path = request.uri().path();
    if !matches!(path, "/livez" | "/readyz" | "/metrics") {
        let advice = "not found; /livez, /readyz and /metrics are served here, and gRPC\n";
        return Some(text(StatusCode::NOT_FOUND, advice));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        let allowed = HeaderValue::from_static("GET, HEAD");
        refusal.headers_mut().insert(ALLOW, allowed);
        return Some(refusal);
    }
    Some(match path {
        "/metrics" => {
            if let Err(error) = may_scrape() {
                return Some(refused(&error));
            }
            scraped((health.metrics)(), reads_gzip(request.headers()))
        }
        "/livez" => verdict(health.is_alive(Instant::now()), "no core answers"),
        _ => verdict(health.is_ready.load(Ordering::Acquire), "not ready"),
    })
}

/// The answer to a scrape. With hundreds of scenarios the text is large, and most of it repeats.
fn scraped(text: String, is_packed: bool) -> Response<Bytes> {
    let body = match is_packed {
        true => Bytes::from(gzip(text.as_bytes())),
        false => Bytes::from(text),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, METRICS_TYPE);
    headers.insert(VARY, ACCEPT_ENCODING.into());
    if is_packed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// The answer to a request whose credential is missing, is not accepted, or does not allow it.
fn refused(error: &Error) -> Response<Bytes> {
    let status = match error.reason().code() {
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        // The credential cannot be checked at this time.
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut refusal = text(status, &format!("{error}\n"));
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        refusal.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    }
    refusal
}

fn verdict(is_well: bool, otherwise: &str) -> Response<Bytes> {
    match is_well {
        true => text(StatusCode::OK, "ok\n"),
        false => text(StatusCode::SERVICE_UNAVAILABLE, &format!("{otherwise}\n")),
    }
}

fn text(status: StatusCode, words: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::copy_from_slice(words.as_bytes()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, TEXT_TYPE);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn health() -> ProcessHealth {
        let pulse = Arc::new(Pulse::new(Instant::now()));
        ProcessHealth::new(pulse, Arc::new(|| "up 1\n".to_owned()))
    }

    fn ask(health: &ProcessHealth, method: &str, path: &str) -> (u16, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(())
            .unwrap();
        let response = answer(health, &request, || Ok(())).unwrap();
        let body = String::from_utf8(response.body().to_vec()).unwrap();
        (response.status().as_u16(), body)
    }

    #[test]
    fn a_process_is_ready_from_its_start_to_the_signal() {
        let health = health();
        assert_eq!(ask(&health, "GET", "/readyz").0, 503);

        health.set_ready(true);
        assert_eq!(ask(&health, "GET", "/readyz").0, 200);
        assert_eq!(ask(&health, "HEAD", "/livez?verbose").0, 200);

        health.set_ready(false);
        assert_eq!(ask(&health, "GET", "/readyz").0, 503);
        assert_eq!(ask(&health, "GET", "/livez").0, 200);
    }

    #[test]
    fn a_process_whose_cores_are_silent_is_not_alive() {
        let long_ago = Instant::now().checked_sub(Duration::from_secs(60));
        let pulse = Arc::new(Pulse::new(long_ago.unwrap()));
        let health = ProcessHealth::new(pulse, Arc::new(String::new));

        assert_eq!(
            ask(&health, "GET", "/livez"),
            (503, "no core answers\n".to_owned())
        );
    }

    #[test]
    fn metrics_are_text_and_anything_else_is_refused() {
        let health = health();

        assert_eq!(ask(&health, "GET", "/metrics"), (200, "up 1\n".to_owned()));
        assert_eq!(ask(&health, "POST", "/metrics").0, 405);
        assert_eq!(ask(&health, "GET", "/").0, 404);
        let grpc = Request::post("/x").header(CONTENT_TYPE, "application/grpc");
        let grpc = grpc.body(()).unwrap();
        assert_eq!(
            answer(&health, &grpc, || Ok(())).unwrap().status().as_u16(),
            415
        );
        let grpc = Request::post("/x").header(CONTENT_TYPE, "application/grpc");
        let grpc = grpc.version(Version::HTTP_2).body(()).unwrap();
        assert!(answer(&health, &grpc, || Ok(())).is_none());
    }
}
