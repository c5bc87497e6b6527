//! Who sees what of the ledger?

use std::time::Duration;

use modelway::grpc::v1::ledger_service_client::LedgerServiceClient;
use modelway::grpc::v1::{
    ExportFormat, ExportUsageRequest, GetCallRequest, ListCallsRequest, QueryUsageRequest,
    UsageDimension,
};
use modelway::identity::key::KeyKind;
use prost_types::Timestamp;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::{Gateway, ONE_MODEL, details, scratch};

use super::{TestKey, caller, hello};

const BOTH: &str = "scopes = ['GENERATE', 'USAGE_READ']";

async fn listed(
    client: &mut LedgerServiceClient<Channel>,
    key: &TestKey,
) -> Result<Vec<String>, Code> {
    let asked = client
        .list_calls(key.sends(ListCallsRequest::default()))
        .await;
    let page = asked.map_err(|status| status.code())?.into_inner();
    Ok(page.calls.into_iter().map(|call| call.call_id).collect())
}

#[tokio::test]
async fn a_key_sees_the_calls_of_its_account_and_an_administrator_those_of_all() {
    let data = scratch::path("data");
    let (indexer, feed, mute) = (TestKey::data(), TestKey::data(), TestKey::data());
    let auditor = TestKey::new(KeyKind::Administration);
    let config = [
        ONE_MODEL.to_owned(),
        format!("[ledger]\npath = {:?}\n", data.to_str().unwrap()),
        caller("indexer", BOTH),
        caller("feed", BOTH),
        caller("mute", "scopes = ['GENERATE']"),
        caller("auditor", "scopes = ['LEDGER_READ']"),
        indexer.table("k1", "indexer", ""),
        feed.table("k2", "feed", ""),
        mute.table("k3", "mute", ""),
        auditor.table("k4", "auditor", ""),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    let mut own = Vec::new();
    for _ in 0..3 {
        let answered = gateway
            .generation()
            .generate(indexer.sends(hello()))
            .await
            .unwrap();
        own.push(answered.into_inner().call_id);
    }
    let other = gateway
        .generation()
        .generate(feed.sends(hello()))
        .await
        .unwrap();
    let other = other.into_inner().call_id;
    let mut client = LedgerServiceClient::new(gateway.channel());

    // Rows are settled soon after their call has ended.
    let settled = async {
        loop {
            let request = QueryUsageRequest {
                group_by: vec![UsageDimension::Caller.into()],
                ..QueryUsageRequest::default()
            };
            let usage = client
                .query_usage(auditor.sends(request))
                .await
                .unwrap()
                .into_inner();
            if usage.rows.iter().map(|row| row.calls).sum::<i64>() == 4 {
                return usage;
            }
        }
    };
    let usage = tokio::time::timeout(Duration::from_secs(30), settled)
        .await
        .unwrap();
    own.reverse();
    let all: Vec<_> = std::iter::once(other.clone()).chain(own.clone()).collect();

    assert!(usage.as_of_time.is_some());
    let mut callers: Vec<_> = usage
        .rows
        .iter()
        .map(|row| (&*row.key["caller"], row.calls))
        .collect();
    callers.sort_unstable();
    assert_eq!(callers, [("feed", 1), ("indexer", 3)]);
    assert_eq!(listed(&mut client, &indexer).await, Ok(own.clone()));
    assert_eq!(listed(&mut client, &feed).await, Ok(vec![other.clone()]));
    assert_eq!(listed(&mut client, &auditor).await, Ok(all));
    assert_eq!(
        listed(&mut client, &mute).await,
        Err(Code::PermissionDenied)
    );

    let get = |id: &str| GetCallRequest {
        call_id: id.to_owned(),
    };
    let shown = client
        .get_call(indexer.sends(get(&own[0])))
        .await
        .unwrap()
        .into_inner();
    let call = shown.call.unwrap();
    assert_eq!((&*call.caller, call.attempt_records.len()), ("indexer", 1));
    let hidden = client
        .get_call(indexer.sends(get(&other)))
        .await
        .unwrap_err();
    assert_eq!(hidden.code(), Code::NotFound);
    let wrong = client.get_call(indexer.sends(get("x"))).await.unwrap_err();
    assert_eq!(details(&wrong).violations[0].0, "call_id");
}

#[tokio::test]
async fn an_export_streams_its_header_and_its_sums_and_refuses_what_is_not_settled() {
    let data = scratch::path("data");
    let key = TestKey::data();
    let config = [
        ONE_MODEL.to_owned(),
        format!("[ledger]\npath = {:?}\n", data.to_str().unwrap()),
        caller("indexer", BOTH),
        key.table("k1", "indexer", ""),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    let mut client = LedgerServiceClient::new(gateway.channel());
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let asked = |end| ExportUsageRequest {
        start_time: at(1_795_867_200),
        end_time: at(end),
        format: ExportFormat::Focus12Csv.into(),
        ..ExportUsageRequest::default()
    };

    let refused = client
        .export_usage(key.sends(asked(4_102_444_800)))
        .await
        .unwrap_err();
    let mut pieces = client
        .export_usage(key.sends(asked(1_795_870_800)))
        .await
        .unwrap()
        .into_inner();
    let mut all = Vec::new();
    let mut summary = None;
    while let Some(piece) = pieces.message().await.unwrap() {
        all.extend_from_slice(&piece.chunk);
        summary = piece.summary;
    }

    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(details(&refused).violations[0].0, "end_time");
    assert!(all.starts_with(b"BilledCost,BillingAccountId,"));
    let summary = summary.unwrap();
    assert_eq!(summary.lines, 0);
    assert_eq!(summary.sha256, modelway::hash::sha256(&all));
}
