//! Which headers of an answer tell of limits and processing?

use http::{HeaderMap, HeaderName, HeaderValue};

/// What the names of such headers begin with.
const BEGINNINGS: &[&str] = &[
    "anthropic-fast-",
    "anthropic-priority-",
    "anthropic-ratelimit-",
    "openai-processing-",
    "ratelimit-",
    "x-envoy-upstream-service-",
    "x-gemini-",
    "x-groq-",
    "x-metrics-",
    "x-ms-",
    "x-ratelimit-",
];

/// The names of the others.
const NAMES: &[&str] = &[
    "apim-request-id",
    "azureml-model-session",
    "cf-ray",
    "mistral-correlation-id",
    "openai-model",
    "openai-version",
    "ratelimit",
    "request-id",
    "retry-after",
    "retry-after-ms",
    "server-timing",
    "x-amzn-requestid",
    "x-ds-trace-id",
    "x-generation-id",
    "x-inference-time",
    "x-kong-proxy-latency",
    "x-kong-request-id",
    "x-kong-upstream-latency",
    "x-model-id",
    "x-request-id",
    "x-should-retry",
    "x-zero-data-retention",
];

/// What a name with one of the beginnings must not hold: it could be a credential or tell who pays.
const NEVER: &[&str] = &[
    "auth",
    "client-principal",
    "cookie",
    "credential",
    "password",
    "secret",
    "session-token",
    "signature",
    "subscription",
];

/// The most headers that are kept, and the longest value.
const MOST_HEADERS: usize = 64;
const LONGEST_VALUE: usize = 1024;

/// The headers of an answer that tell of limits and processing, by name; of several with one name all values, joined by
/// commas. Never cookies or credentials.
pub fn telling(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut kept: Vec<(String, String)> = Vec::new();
    for name in headers.keys().filter(|name| tells(name)) {
        let values: Vec<_> = headers.get_all(name).iter().filter_map(text).collect();
        let value = values.join(", ");
        if !value.is_empty() && value.len() <= LONGEST_VALUE && kept.len() < MOST_HEADERS {
            kept.push((name.as_str().to_owned(), value));
        }
    }
    kept.sort_unstable();
    kept
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok().filter(|_| !value.is_sensitive())
}

fn tells(name: &HeaderName) -> bool {
    // Names of headers are in small letters here.
    let name = name.as_str();
    let begins = |beginning: &&str| name.starts_with(*beginning);
    let is_secret = || name.ends_with("-key") || NEVER.iter().any(|never| name.contains(never));
    NAMES.contains(&name) || (BEGINNINGS.iter().any(begins) && !is_secret())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_processing_are_told_and_secrets_are_not() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("X-RateLimit-Remaining-Tokens", "100"),
            ("anthropic-ratelimit-requests-limit", "50"),
            ("openai-processing-ms", "7"),
            ("x-ms-region", "Sweden Central"),
            ("retry-after", "1"),
            ("x-request-id", "a"),
            ("x-request-id", "b"),
            ("set-cookie", "session=secret"),
            ("authorization", "Bearer secret"),
            ("x-api-key", "secret"),
            ("x-ratelimit-key", "secret"),
            ("x-ms-cookie-auth", "secret"),
            ("x-ms-client-principal-id", "secret"),
            ("openai-organization", "who pays"),
            ("content-type", "text/plain"),
        ] {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let mut secret = HeaderValue::from_static("secret");
        secret.set_sensitive(true);
        headers.insert("x-groq-region", secret);

        let kept = telling(&headers);
        let kept: Vec<_> = kept
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();

        assert_eq!(
            kept,
            [
                ("anthropic-ratelimit-requests-limit", "50"),
                ("openai-processing-ms", "7"),
                ("retry-after", "1"),
                ("x-ms-region", "Sweden Central"),
                ("x-ratelimit-remaining-tokens", "100"),
                ("x-request-id", "a, b"),
            ]
        );
    }

    #[test]
    fn a_provider_cannot_fill_the_memory_with_headers() {
        let mut headers = HeaderMap::new();
        for number in 0..1000 {
            let name: HeaderName = format!("x-ratelimit-{number}").parse().unwrap();
            headers.insert(name, HeaderValue::from_static("1"));
        }
        let long = HeaderValue::from_str(&"a".repeat(LONGEST_VALUE + 1)).unwrap();
        headers.insert("retry-after", long);

        assert_eq!(telling(&headers).len(), MOST_HEADERS);
    }
}
