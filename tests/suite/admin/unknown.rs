//! Do attempts whose price became known later get their cost everywhere, once, and also after a process died in between?

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use modelway::grpc::v1::caller_service_client::CallerServiceClient;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::ledger_service_client::LedgerServiceClient;
use modelway::grpc::v1::{
    CallFilter, CostSource, GetCallRequest, LimitState, ListAuditEventsRequest, ListCallsRequest,
    Price, PriceUnknownRequest, PriceUnknownResponse, PutPricesRequest, QueryUsageRequest,
    UsageRow, WhoAmIRequest,
};
use tonic::{Code, Request, Status};

use crate::support::ask;

use super::support::{AdminClient, Administered, authorized};

const MODEL: &str = "openai/first";

/// Two limits on what the model may cost: of one an unknown price counts nothing, of the other its ceiling. The second model
/// has a price, so that they count at all.
const LIMITS: &str = r#"
[models."openai/second"]
price = { input = 1, output = 1 }
[[limits]]
id = "watched"
per = ["caller"]
money = "500 USD"
window = "day"
enforcement = "watch"
[[limits]]
id = "with-ceiling"
per = ["caller"]
money = "500 USD"
window = "month"
enforcement = "watch"
unknown_ceiling = "20 USD"
"#;

fn moment(at: SystemTime) -> prost_types::Timestamp {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    prost_types::Timestamp {
        seconds: i64::try_from(seconds).unwrap(),
        nanos: 0,
    }
}

async fn call(administered: &Administered, secret: &str) -> (String, i64, CostSource) {
    let mut client = GenerationServiceClient::new(administered.gateway.channel());
    let request = authorized(Request::new(ask("one", "Hello there")), secret);
    let answer = client.generate(request).await.unwrap().into_inner();
    let cost = answer.cost.unwrap();
    (answer.call_id, cost.amount_nanos, cost.source())
}

async fn usage(administered: &Administered) -> UsageRow {
    let mut ledger = LedgerServiceClient::new(administered.admin_channel().await);
    let request = authorized(
        Request::new(QueryUsageRequest::default()),
        &administered.ops,
    );
    let rows = ledger.query_usage(request).await.unwrap().into_inner().rows;
    rows.into_iter().next().unwrap()
}

/// Waits until so many calls are settled.
async fn settled(administered: &Administered, calls: i64) -> UsageRow {
    loop {
        let mut ledger = LedgerServiceClient::new(administered.admin_channel().await);
        let request = authorized(
            Request::new(QueryUsageRequest::default()),
            &administered.ops,
        );
        let rows = ledger.query_usage(request).await.unwrap().into_inner().rows;
        match rows.into_iter().next() {
            Some(row) if row.calls == calls => return row,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn limits(administered: &Administered, secret: &str) -> HashMap<String, LimitState> {
    let mut callers = CallerServiceClient::new(administered.gateway.channel());
    let request = authorized(Request::new(WhoAmIRequest {}), secret);
    let answer = callers.who_am_i(request).await.unwrap().into_inner();
    let states = answer.limits.into_iter();
    states
        .map(|state| (state.limit_id.clone(), state))
        .collect()
}

async fn price_unknown(
    admin: &mut AdminClient,
    since: SystemTime,
    dry_run: bool,
) -> Result<PriceUnknownResponse, Status> {
    let request = PriceUnknownRequest {
        start_time: Some(moment(since)),
        dry_run,
        comment: "the price list came late".to_owned(),
        ..PriceUnknownRequest::default()
    };
    let answer = admin.price_unknown(request).await;
    answer.map(tonic::Response::into_inner)
}

async fn put(admin: &mut AdminClient, price: Price) -> Result<(), Status> {
    let request = PutPricesRequest {
        prices: vec![price],
        ..PutPricesRequest::default()
    };
    admin.put_prices(request).await.map(drop)
}

fn price(start: SystemTime) -> Price {
    Price {
        model: MODEL.to_owned(),
        input_pico: Some(1_000_003),
        output_pico: Some(4_000_007),
        cache_read_pico: Some(100_001),
        start_time: Some(moment(start)),
        ..Price::default()
    }
}

#[tokio::test]
async fn a_price_that_comes_late_is_counted_everywhere_and_once() {
    const CALLS: i64 = 230;
    let administered = Administered::start("unknown", LIMITS).await;
    let mut admin = administered.client().await;
    administered.account(&mut admin, "indexer").await;
    let (_, secret) = administered.key(&mut admin, "indexer").await;
    let since = SystemTime::now() - Duration::from_secs(60);
    let mut ids = Vec::new();
    for _ in 0..CALLS {
        let (id, nanos, source) = call(&administered, &secret).await;
        assert_eq!((nanos, source), (0, CostSource::Unknown));
        ids.push(id);
    }
    let before = settled(&administered, CALLS).await;
    assert_eq!(before.unknown_cost_calls, CALLS);
    let of_limits = limits(&administered, &secret).await;
    assert_eq!(of_limits["watched"].used, 0);
    assert!(of_limits["with-ceiling"].used > 0);
    let nothing = price_unknown(&mut admin, since, false).await.unwrap();
    assert_eq!((nothing.attempts, nothing.still_unknown), (0, CALLS));

    put(&mut admin, price(since)).await.unwrap();
    let dry = price_unknown(&mut admin, since, true).await.unwrap();
    assert_eq!(usage(&administered).await, before);
    let done = price_unknown(&mut admin, since, false).await.unwrap();
    let again = price_unknown(&mut admin, since, false).await.unwrap();

    assert_eq!(done, dry);
    assert_eq!(
        (done.attempts, done.calls, done.still_unknown),
        (CALLS, CALLS, 0)
    );
    assert_eq!((again.attempts, again.added.unwrap().amount_nanos), (0, 0));
    let (_, nanos, source) = call(&administered, &secret).await;
    assert_eq!(source, CostSource::PriceTable);
    let added = done.added.unwrap().amount_nanos;
    assert_eq!(added, CALLS * nanos);
    let after = settled(&administered, CALLS + 1).await;
    assert_eq!(after.unknown_cost_calls, 0);
    assert_eq!(after.cost.as_ref().unwrap().amount_nanos, added + nanos);
    let of_limits = limits(&administered, &secret).await;
    for limit in ["watched", "with-ceiling"] {
        assert_eq!(of_limits[limit].used, added + nanos, "{limit}");
        assert_eq!(of_limits[limit].estimated, 0, "{limit}");
    }
    let mut ledger = LedgerServiceClient::new(administered.admin_channel().await);
    let get = GetCallRequest {
        call_id: ids[0].clone(),
    };
    let get = authorized(Request::new(get), &administered.ops);
    let record = ledger
        .get_call(get)
        .await
        .unwrap()
        .into_inner()
        .call
        .unwrap();
    let of_attempt = record.attempt_records[0].cost.as_ref().unwrap();
    assert_eq!(of_attempt.amount_nanos, nanos);
    assert_eq!(of_attempt.source(), CostSource::PriceTable);
    assert!(!of_attempt.prices_version.is_empty());
    assert_eq!(record.cost.unwrap().amount_nanos, nanos);
    let unknown = ListCallsRequest {
        filter: Some(CallFilter {
            cost_unknown: true,
            ..CallFilter::default()
        }),
        ..ListCallsRequest::default()
    };
    let unknown = authorized(Request::new(unknown), &administered.ops);
    assert!(
        ledger
            .list_calls(unknown)
            .await
            .unwrap()
            .into_inner()
            .calls
            .is_empty()
    );

    // What is known is never changed, by a price of the past neither.
    let mut other = price(since - Duration::from_secs(10));
    other.end_time = Some(moment(since));
    put(&mut admin, other).await.unwrap();
    let refused = put(
        &mut admin,
        Price {
            service_tier: 0,
            ..price(since - Duration::from_secs(99))
        },
    )
    .await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    let events = ListAuditEventsRequest {
        subject: "price/*".to_owned(),
        ..ListAuditEventsRequest::default()
    };
    let events = admin
        .list_audit_events(events)
        .await
        .unwrap()
        .into_inner()
        .events;
    let actions: Vec<_> = events.iter().map(|event| &*event.action).collect();
    assert_eq!(actions, ["price.unknown.end", "price.unknown.begin"]);
    assert!(
        events[0].after_json.contains(&added.to_string()),
        "{events:?}"
    );
    println!(
        "attempts priced late: {CALLS}, added: {added} nano-USD, drift of usage and of both limits: 0"
    );
}

#[tokio::test]
async fn a_wrong_question_about_unknown_costs_names_its_field() {
    let administered = Administered::start("unknown-wrong", "").await;
    let mut admin = administered.client().await;

    let without = admin.price_unknown(PriceUnknownRequest::default()).await;
    let later = SystemTime::now() + Duration::from_secs(3_600);
    let later = price_unknown(&mut admin, later, true).await.unwrap_err();

    let without = without.unwrap_err();
    assert_eq!(without.code(), Code::InvalidArgument);
    assert!(without.message().contains("start_time"), "{without}");
    assert_eq!(later.code(), Code::InvalidArgument);
    assert!(later.message().contains("end_time"), "{later}");
}
