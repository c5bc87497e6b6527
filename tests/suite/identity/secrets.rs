//! Does no secret get out of the service, whatever is done with it?

use super::{TestKey, bearer, caller, hello};
use crate::support::log::Log;
use crate::support::recorder::Recorder;
use crate::support::{Gateway, ONE_MODEL};

#[tokio::test]
async fn no_key_and_no_hash_of_a_key_is_in_logs_spans_metrics_or_statuses() {
    let [good, revoked] = [TestKey::data(), TestKey::data()];
    let config = [
        ONE_MODEL,
        &caller("a", ""),
        &good.table("good", "a", ""),
        &revoked.table("revoked", "a", "revoked = true"),
    ]
    .concat();
    let log = Log::default();
    let _guard = log.listen("trace");
    let recorder = Recorder::start();
    let gateway = Gateway::start(&config).await;
    let canary = "mwd_canarycanarycanarycanarycanarycanarycanarycanary1";
    let mut told = String::new();
    for shown in [
        &*good.secret,
        &revoked.secret,
        canary,
        "canary.canary.canary",
    ] {
        for path in ["one", "unknown"] {
            let mut request = hello();
            if path == "unknown" {
                request = crate::support::ask("unknown", "Hello");
            }
            match gateway.generation().generate(bearer(request, shown)).await {
                Ok(answer) => told += &format!("{:?} {answer:?}", answer.metadata()),
                Err(status) => told += &format!("{:?} {status:?}", status.metadata()),
            }
        }
    }
    log.calls(8).await;
    told += &format!("{:?}", log.lines());
    told += &gateway.metrics.text();
    told += &format!("{:?}", recorder.spans());
    for secret in [&good, &revoked] {
        assert!(!told.contains(&secret.secret[12..]), "a key is told");
        assert!(!told.contains(&secret.sha256), "the hash of a key is told");
    }
    assert!(!told.contains("canary"), "what was shown is told");
    println!("secrets in logs, spans, metrics and statuses: 0");
}
