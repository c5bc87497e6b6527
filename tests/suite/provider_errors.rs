//! Where does the text of a provider's error go? Nowhere, unless the operator asks for it, and then into the log alone.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use modelway::simulator::{Settings, Simulator};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::foreign::host::Host;
use crate::support::log::Log;
use crate::support::recorder::Recorder;
use crate::support::{EVERYTHING, Gateway, METHODS, ask, scratch};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(20);

/// Stands in every error of the provider.
const SAID: &str = "the-host-said-so";

/// No more of it than this may be quoted, in bytes.
const MOST: usize = 512;

/// The configured key; it does not look like one, so that only the configuration tells that it is one.
const KEY: &str = "correct horse";

/// A key that the configuration does not have, and another that only its scheme gives away.
const STRANGE: &str = "sk-proj-4242424242424242abcdef";
const BORNE: &str = "opaque.words";

/// What the provider answers: status, media type and body.
fn errors() -> Vec<(u16, &'static str, String)> {
    let encoded = STANDARD.encode(KEY);
    let secrets = format!("{KEY} {encoded} {STRANGE} Bearer {BORNE}");
    let long = "word ".repeat(20_000);
    let message = format!("{SAID}: {secrets}\r\n\u{1b}[31m fake line {long}");
    let json = |code: &str| json!({"error": {"message": message, "code": code}}).to_string();
    let mut errors: Vec<_> = [400, 401, 403, 404, 409, 413, 422, 429, 500, 503, 529]
        .map(|status| (status, "application/json", json("a_code")))
        .to_vec();
    errors.push((500, "text/plain", message.clone()));
    errors.push((502, "text/html", format!("<html>{message}</html>")));
    errors.push((
        400,
        "application/json",
        json!([{"detail": message}]).to_string(),
    ));
    errors.push((
        400,
        "application/json",
        json("context_length_exceeded")[..60].to_owned(),
    ));
    errors
}

/// Everything that a run of all errors told: to callers of each door, in spans and metrics; and the log.
struct Told {
    elsewhere: String,
    log: Vec<Value>,
    calls: usize,
}

/// Makes calls of every kind that fail with each of the errors.
async fn run(filter: &str, provider_errors: bool) -> Told {
    let log = Log::default();
    let _subscriber = log.listen(filter);
    let spans = Recorder::start();
    let errors = errors();
    let kinds = errors.len();
    let key = scratch::file("key", KEY);
    let host = Host::start(move |head, _| {
        let number = head.uri.path().split('/').nth(1).unwrap();
        errors[number.parse::<usize>().unwrap()].clone()
    })
    .await;
    let address = host.address;
    let mut config = format!(
        "[logging]\nprovider_errors = {provider_errors}\n\
         [breaker]\nconsecutive_failures = 1000\nmin_samples = 1000\nmin_commits = 1000\n\
         [credential_lock]\nbase = '1ms'\nmax = '1ms'\n[throttle]\nbase_wait = '1ms'\nmax_wait = '1ms'\n"
    );
    for number in 0..kinds {
        config += &format!(
            "[providers.p{number}]\nwire_format = 'openai_chat'\nbase_url = 'http://{address}/{number}'\n\
             api_key = 'file:{}'\n[models.'p{number}/m']\n[scenarios.s{number}]\ntargets = ['p{number}/m']\n\
             max_attempts = 1\n",
            key.display()
        );
    }
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let gateway = Gateway::before(simulator, &config).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut elsewhere = String::new();
    for number in 0..kinds {
        let scenario = format!("s{number}");
        for method in METHODS {
            let status = gateway.call(method, ask(&scenario, "Hello")).await;
            let status = status.unwrap_err();
            let details = String::from_utf8_lossy(status.details());
            elsewhere += &format!("{status:?} {details}");
        }
        let body =
            json!({"scenario": scenario, "messages": [{"role": "ROLE_USER", "text": "Hello"}]});
        for path in ["generate", "stream"] {
            let url = format!("http://{}/v1/{path}", gateway.address);
            let request = client.post(url).header("content-type", "application/json");
            let answer = request.body(body.to_string()).send().await.unwrap();
            assert!(answer.status().as_u16() >= 400, "{number} {answer:?}");
            elsewhere += &answer.text().await.unwrap();
        }
    }
    let calls = 4 * kinds;
    elsewhere += &format!("{:?}", gateway.scraped_after(calls).await);
    let recorded = async {
        while spans.spans().len() < 2 * calls {
            tokio::task::yield_now().await;
        }
    };
    timeout(PROMPTLY, recorded).await.expect("all spans end");
    elsewhere += &format!("{:?}", spans.spans());
    Told {
        elsewhere,
        log: log.lines(),
        calls,
    }
}

#[tokio::test]
async fn it_goes_nowhere_unless_the_operator_asks_for_it() {
    let told = run(EVERYTHING, false).await;

    for secret in [SAID, KEY, STRANGE, BORNE, "fake line"] {
        assert!(!told.elsewhere.contains(secret), "{secret}");
        for line in &told.log {
            assert!(!line.to_string().contains(secret), "{secret}: {line}");
        }
    }
}

#[tokio::test]
async fn it_is_quoted_in_the_log_alone_short_and_without_secrets_where_the_operator_asks_for_it() {
    let told = run("info", true).await;

    let quotes: Vec<_> = told
        .log
        .iter()
        .filter(|line| line.get("provider_text").is_some())
        .collect();
    assert_eq!(quotes.len(), told.calls, "one of each attempt that failed");
    for line in &quotes {
        let text = line["provider_text"].as_str().unwrap();
        assert!(text.contains(SAID), "{line}");
        assert!(text.len() <= MOST, "{} bytes", text.len());
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "attempt failed");
        assert!(line["call_id"].is_string(), "{line}");
    }
    for line in &told.log {
        let is_quote = line.get("provider_text").is_some();
        assert!(is_quote || !line.to_string().contains(SAID), "{line}");
        for secret in [KEY, &STANDARD.encode(KEY)[..16], STRANGE, BORNE] {
            assert!(!line.to_string().contains(secret), "{secret}: {line}");
        }
    }
    for secret in [SAID, KEY, STRANGE, BORNE] {
        assert!(!told.elsewhere.contains(secret), "{secret}");
    }
}
