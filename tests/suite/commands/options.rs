//! Do commands tell what is wrong in the words that were typed, and where?

use std::fs;

use super::run;
use crate::support::scratch;

/// A data directory with a store and an empty ledger.
async fn data() -> String {
    let data = scratch::folder("data");
    fs::create_dir(data.join("ledger")).unwrap();
    let data = data.display().to_string();
    let made = run(&[
        "keys", "create", "--caller", "ops", "--admin", "OPERATE", "--data", &data,
    ])
    .await;
    assert_eq!(made.code, Some(0), "{made:?}");
    data
}

#[tokio::test]
async fn a_key_that_would_end_at_once_or_after_all_times_is_refused() {
    let data = data().await;
    let create = [
        "keys", "create", "--caller", "ops", "--admin", "OPERATE", "--data", &data,
    ];
    for life in [
        "0d",
        "0s",
        "0.001s",
        "2920000d",
        "106751991167d",
        "213000000000000d",
    ] {
        let done = run(&[&create[..], &["--expires", life]].concat()).await;

        assert_eq!(done.code, Some(2), "{life}: {done:?}");
        assert!(done.err.contains("--expires"), "{life}: {done:?}");
        assert!(done.err.contains("such as 90d"), "{life}: {done:?}");
    }
}
