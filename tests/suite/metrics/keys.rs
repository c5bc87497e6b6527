//! Do the metrics tell how many keys there are in each state, and that the audit record is written?

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::{Gateway, ONE_MODEL, scratch, until};

#[tokio::test]
async fn keys_are_shown_by_their_state() {
    let hours = |hours: u64| {
        let end = SystemTime::now() + Duration::from_secs(hours * 3_600);
        let end = end.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let end = i64::try_from(end).unwrap();
        jiff::Timestamp::from_second(end).unwrap().to_string()
    };
    let key = |number: usize, more: &str| {
        let sha256 = format!("{number:064x}");
        format!("[[keys]]\nid = 'k{number}'\naccount = 'a'\nsha256 = '{sha256}'\n{more}\n")
    };
    let path = scratch::path("data");
    let config = [
        ONE_MODEL,
        "[[accounts]]\nid = 'a'\nkind = 'caller'\n",
        &format!("[ledger]\ndurability = 'none'\npath = {path:?}\n"),
        &key(1, ""),
        &key(2, &format!("expire_time = {}", hours(60))),
        &key(3, &format!("expire_time = {}", hours(2))),
        &key(4, "expire_time = 2020-01-01"),
        &key(5, "revoked = true"),
        &key(6, &format!("rotated_until = {}", hours(2))),
    ];
    let gateway = Gateway::start(&config.concat()).await;

    until("the service runs", async || {
        let scraped = gateway.scraped();
        scraped
            .names()
            .iter()
            .any(|(name, _)| name == "modelway_keys")
    })
    .await;
    let scraped = gateway.scraped();

    for state in [
        "active",
        "ends_within_week",
        "ends_within_day",
        "rotated",
        "expired",
        "revoked",
    ] {
        let keys = scraped.sum("modelway_keys", &[("state", state)]);
        assert_eq!(keys, 1.0, "{state}");
    }
    for fate in ["refused", "retried", "lost"] {
        let failures = scraped.sum("modelway_audit_failures_total", &[("fate", fate)]);
        assert_eq!(failures, 0.0, "{fate}");
    }
}
