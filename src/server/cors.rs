//! Which web pages may call the service? The browser asks for each page, and reads an answer only with these headers.
//!
//! The protocol: <https://fetch.spec.whatwg.org/#http-cors-protocol>.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};

/// The origins of pages that may call. Without one, no answer has a header for browsers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// As browsers send them, such as `https://app.example.com`; `*` stands for every page.
    pub origins: Vec<String>,
}

/// Allows a page everything that a call can have in its head.
const ALLOWED: &str = "content-type, x-grpc-web, x-user-agent, grpc-timeout, authorization, x-request-id, traceparent, \
                       tracestate, baggage, x-modelway-timeout-ms";

/// What a page may read of an answer. A browser shows it no other header.
const EXPOSED: &str = "grpc-status, grpc-message, grpc-status-details-bin, grpc-retry-pushback-ms, retry-after, x-should-retry, \
                       x-modelway-call-id, x-request-id";

/// How long a browser may remember the answer to its question, in seconds. No browser remembers longer.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// Who asks, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AskingPage {
    /// No page is allowed to call, or no browser asks.
    None,
    /// An allowed one, and what is answered to it.
    Allowed(HeaderValue),
    /// Another one.
    Unknown,
}

impl Settings {
    /// A warning if every page may call.
    pub fn exposure(&self) -> Option<&'static str> {
        self.origins.iter().any(|origin| origin == "*").then_some(
            "every web page may call (`cors.origins`): a key that a page holds is known to all who open it; name the origins",
        )
    }

    /// The page that sends a request.
    pub(super) fn page(&self, headers: &HeaderMap) -> AskingPage {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return AskingPage::None;
        };
        if self.origins.is_empty() {
            return AskingPage::None;
        }
        if self.origins.iter().any(|allowed| allowed == "*") {
            return AskingPage::Allowed(HeaderValue::from_static("*"));
        }
        let is_allowed = |allowed: &String| allowed.as_bytes() == origin.as_bytes();
        match self.origins.iter().any(is_allowed) {
            true => AskingPage::Allowed(origin.clone()),
            false => AskingPage::Unknown,
        }
    }

    /// Lets a page read an answer if it may.
    pub(super) fn allow<B>(&self, page: &AskingPage, mut response: Response<B>) -> Response<B> {
        if self.origins.is_empty() {
            return response;
        }
        let headers = response.headers_mut();
        // Caches must not give the answer for one page to another.
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        if let AskingPage::Allowed(origin) = page {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(
                header::ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static(EXPOSED),
            );
        }
        response
    }
}

/// Whether a browser asks if a page may send a request.
pub(super) fn is_preflight<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to an allowed page: what its requests may have.
pub(super) fn permission<B: Default>() -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("POST"),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(ALLOWED),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    response
}
