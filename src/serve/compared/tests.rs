use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::*;
use crate::chat::ProviderToolUsage;
use crate::error::LimitUnit;
use crate::identity::{Identity, Labels};
use crate::ledger::call_id::CallId;
use crate::ledger::rows::{
    AttemptOutcome, AttemptSettlement, CallStart, Intent, Reserved, TargetName, Tokens, UsageSource,
};
use crate::ledger::{LedgerFile, Settings};
use crate::limits::{
    Actual, Asked, Enforcement, Estimate, Expected, Limit, LimitDimension, LimitMatch, LimitWindow,
    Limits, PriorUse, Zone,
};
use crate::money::{Cost, CostSource};
use crate::store::specimens;
use crate::trail::AttemptKind;

/// 2026-11-28T23:50:00Z.
const EVENING: u64 = 1_795_909_800;

fn at(second: u64) -> Now {
    Now {
        wall: UNIX_EPOCH + Duration::from_secs(second),
        mono: Instant::now(),
    }
}

fn by_caller(id: &str, unit: LimitUnit) -> Limit {
    Limit {
        id: id.into(),
        description: String::new(),
        matching: LimitMatch::default(),
        per: vec![LimitDimension::Caller],
        unit,
        amount: 1_000_000,
        window: Some(LimitWindow::Day),
        zone: Zone::UTC,
        thresholds: Vec::new(),
        enforcement: Enforcement::Hard,
        unknown_ceiling: None,
    }
}

/// An attempt that has been reserved, written down and settled.
async fn attempt(limits: &Limits, ledger: &Ledger, seed: u8) {
    let labels = Labels::new();
    let identity = Identity::local();
    let asked = Asked {
        identity: &identity,
        scenario: "general",
        provider: "sim",
        model: "sim/one",
        labels: &labels,
    };
    let estimate = Estimate {
        tokens: 20,
        money: Expected::Known(500),
    };
    let now = at(EVENING);
    let mut reservation = limits.reserve(&asked, &estimate, now).unwrap();
    let id = uuid::Builder::from_unix_timestamp_millis(EVENING * 1_000, &[seed; 10]);
    let call_id = CallId::from_bytes(*id.into_uuid().as_bytes());
    let call = CallStart {
        call_id,
        caller: Arc::clone(&identity.account.caller),
        team: "".into(),
        organisation: "".into(),
        key_id: "".into(),
        scenario: "general".into(),
        labels,
        trace_id: [seed; 16],
        started_us: call_id.unix_ms() * 1_000,
    };
    let intent = Intent {
        started_us: call.started_us,
        call: Arc::new(call),
        number: 1,
        target: TargetName {
            model: "sim/one".into(),
            provider: "sim".into(),
            provider_model: "one".into(),
        },
        kind: AttemptKind::Primary,
        span_id: [seed; 8],
        reserved: Reserved {
            nanos: Some(500),
            tokens: Some(20),
            windows: reservation.windows(None),
        },
    };
    ledger.intent(intent).await.unwrap();
    reservation.sent();
    let actual = Actual {
        tokens: 15,
        money: Expected::Known(300),
        is_waste: false,
        is_estimated: false,
    };
    reservation.settle(actual, now);
    ledger.settle_attempt(AttemptSettlement {
        call_id,
        number: 1,
        outcome: AttemptOutcome::Succeeded,
        is_wasted: false,
        reason: "",
        billing: None,
        latency_us: 1,
        first_content_us: None,
        tokens: Tokens {
            input: Some(10),
            output: Some(5),
            ..Tokens::default()
        },
        usage_source: Some(UsageSource::Provider),
        tools: ProviderToolUsage::default(),
        tier: None,
        cost: Some(Cost::specimen(300, CostSource::Prices)),
        is_priceable: true,
        provider_cost: None,
        provider_request_id: None,
        response_model: None,
    });
}

/// How many windows were equal and how many differed, where this was done with the file of the day after the counters had been
/// asked.
async fn compared(name: &str, change: impl FnOnce(&LimitBook, &Path)) -> (u64, u64) {
    let path = std::env::temp_dir().join(format!("modelway-compared-{name}-{}", fastrand::u64(..)));
    let settings = Settings {
        path: Some(path.clone()),
        ..Settings::default()
    };
    let (ledger, _) = Ledger::open(&settings, at(EVENING).wall).unwrap();
    let all = vec![
        by_caller("money", LimitUnit::Money),
        by_caller("tokens", LimitUnit::Tokens),
    ];
    let limits = Limits::new(all, None);
    let book = LimitBook::new(limits.clone(), Box::new(|_| Ok(PriorUse::default())));
    for seed in 1..=3 {
        attempt(&limits, &ledger, seed).await;
    }
    while ledger.backlog().0 > 0 || ledger.counts().unwrap().attempts.count() < 3 {
        tokio::task::yield_now().await;
    }
    let day = ledger
        .files()
        .unwrap()
        .path(LedgerFile::Day(crate::ledger::call_id::Day::of_us(
            i64::try_from(EVENING).unwrap() * 1_000_000,
        )));
    tokio::time::pause();
    // The window has ended, but only just.
    compare_once(&book, &ledger, at(EVENING + 700)).await;
    let early = limits.take_closed(at(EVENING + 700)).begin();
    let waits = compare_once(&book, &ledger, at(EVENING + 1_200));
    tokio::join!(waits, async { change(&book, &day) });
    // Each is compared once.
    compare_once(&book, &ledger, at(EVENING + 2_000)).await;
    tokio::time::resume();

    let counts = &ledger.counts().unwrap().windows;
    let found = (counts.equal.count(), counts.different.count());
    ledger.close().await;
    let _ = std::fs::remove_dir_all(&path);
    assert_eq!(early, None);
    found
}

/// Takes a little money from each sum.
const CHEAPER: &str = "UPDATE spend_slots SET cost_nanos = cost_nanos - 1";

#[tokio::test]
async fn money_does_not_differ_because_costs_became_known_between_the_counter_and_the_ledger() {
    let late = compared("late", |book, day| {
        let write = || {
            specimens::change(day, CHEAPER);
            Ok::<_, Infallible>(Vec::new())
        };
        let Ok(()) = book.correct(write, &|| at(EVENING + 1_200));
    });

    assert_eq!(late.await, (1, 0), "tokens are compared all the same");
}

#[tokio::test]
async fn windows_that_have_ended_are_compared_once_and_a_row_that_was_changed_is_found() {
    let sound = compared("sound", |_, _| ()).await;
    let money = compared("money", |_, day| specimens::change(day, CHEAPER)).await;
    let gone = compared("gone", |_, day| {
        specimens::change(day, "DELETE FROM spend_slots");
    });
    let gone = gone.await;

    println!(
        "equal and different: {sound:?}; money changed by one: {money:?}; rows gone: {gone:?}"
    );
    assert_eq!((sound, money, gone), ((2, 0), (1, 1), (0, 2)));
}
