//! Are the labels of a call those that its account allows?

use std::path::Path;

use modelway::grpc::v1::caller_service_client::CallerServiceClient;
use modelway::grpc::v1::{GenerateRequest, LabelRule, WhoAmIRequest};
use modelway::ledger::read::calls;
use modelway::ledger::read::files::LedgerFiles;
use modelway::ledger::read::filter::{CallFilter, Sight};
use modelway::ledger::read::interval::Interval;
use modelway::ledger::read::question::{Dimension, UsageQuestion};
use modelway::ledger::read::usage;
use modelway::ledger::{Durability, Files};
use tonic::{Code, Request};

use super::{TestKey, caller, hello};
use crate::support::log::Log;
use crate::support::posted::framed;
use crate::support::{Gateway, ONE_MODEL, details, scratch};

fn labelled(labels: &[(&str, &str)]) -> GenerateRequest {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    GenerateRequest {
        labels: labels.iter().map(owned).collect(),
        ..hello()
    }
}

#[tokio::test]
async fn a_label_is_set_if_the_account_allows_it_and_else_named_with_the_remedy() {
    let key = TestKey::data();
    let config = [
        ONE_MODEL,
        "[[accounts]]\nid = 'search'\nkind = 'team'\nlabels = { unit = 'shop' }\n\
         label_rules = [{ key = 'product', values = ['ads', 'feed'], required = true }, { key = 'run' }]\n",
        &caller("indexer", "parent = 'search'"),
        &key.table("k1", "indexer", ""),
    ]
    .concat();
    let log = Log::default();
    let _guard = log.listen("info");
    let gateway = Gateway::start(&config).await;
    let generate = async |labels: &[(&str, &str)]| {
        let request = key.sends(labelled(labels));
        gateway.generation().generate(request).await
    };

    generate(&[("product", "ads"), ("run", "7"), ("unit", "shop")])
        .await
        .unwrap();
    for (labels, field) in [
        (&[][..], "labels[\"product\"]"),
        (&[("product", "adz")], "labels[\"product\"]"),
        (&[("product", "ads"), ("prod", "x")], "labels[\"prod\"]"),
        (&[("product", "ads"), ("unit", "else")], "labels[\"unit\"]"),
    ] {
        let refused = details(&generate(labels).await.unwrap_err());
        assert_eq!(refused.code, Code::InvalidArgument);
        assert_eq!(refused.reason, "LABEL_NOT_ALLOWED");
        assert_eq!(refused.pushback, Some(-1));
        assert_eq!(refused.violations[0].0, field);
    }
    assert_eq!(gateway.simulator.requests().len(), 1);

    let line = &log.calls(1).await[0];
    assert_eq!(line["caller"], "indexer", "{line}");
    assert_eq!(line["team"], "search");
    assert_eq!(line["key_id"], "k1");
}

#[tokio::test]
async fn an_account_without_rules_allows_no_label() {
    let gateway = Gateway::start(ONE_MODEL).await;

    let refused = gateway.generate(labelled(&[("product", "ads")])).await;

    let refused = details(&refused.unwrap_err());
    assert_eq!(refused.reason, "LABEL_NOT_ALLOWED");
    assert!(
        refused.violations[0].1.contains("allows no labels"),
        "{refused:?}"
    );
}

fn ledger(data: &Path) -> String {
    format!("[ledger]\npath = {:?}\n", data.to_str().unwrap())
}

/// Callers without a credential are this account, with these rules.
fn anybody(rules: &str) -> String {
    let account = caller("anybody", &format!("label_rules = [{rules}]"));
    format!("{ONE_MODEL}\n[auth]\nanonymous = 'anybody'\n{account}")
}

fn question(group_by: Vec<Dimension>) -> UsageQuestion {
    UsageQuestion {
        filter: CallFilter::default(),
        interval: Interval::Whole,
        time_zone: String::new(),
        group_by,
        max_rows: 2_000,
        needs_latency: false,
    }
}

/// The values of a label in the rows of all calls, without those that have none.
fn in_rows(files: &mut LedgerFiles, key: &str) -> Vec<String> {
    let (mut values, mut token) = (Vec::new(), String::new());
    loop {
        let page = calls::list(files, &Sight::All, &CallFilter::default(), 1_000, &token).unwrap();
        for call in &page.calls {
            values.extend(call.labels.get(key).map(ToString::to_string));
        }
        token = page.next_page_token;
        if token.is_empty() {
            values.sort();
            return values;
        }
    }
}

#[tokio::test]
async fn the_first_thousand_values_of_a_day_are_summed_one_by_one_and_the_rest_together() {
    const VALUES: usize = 1_100;
    let data = scratch::path("other");
    let rules = "{ key = 'run' }, { key = 'product', values = ['ads'] }";
    let config = anybody(rules) + &ledger(&data);
    // Some of the day is counted before a restart.
    for (from, until) in [(0, 600), (600, VALUES)] {
        let mut gateway = Gateway::start(&config).await;
        for number in from..until {
            let run = format!("run-{number}");
            let request = labelled(&[("run", &run), ("product", "ads")]);
            gateway.generate(request).await.unwrap();
        }
        // A value of the first thousand goes on to be told apart.
        gateway
            .generate(labelled(&[("run", "run-7")]))
            .await
            .unwrap();
        gateway.stop();
        gateway.stopped().await;
    }
    let mut files = LedgerFiles::new(Files::in_directory(&data, Durability::Process));

    let by_run = question(vec![Dimension::Label("run".to_owned())]);
    let groups = usage::query(&mut files, &Sight::All, &by_run).unwrap();
    let by_product = question(vec![Dimension::Label("product".to_owned())]);
    let products = usage::query(&mut files, &Sight::All, &by_product).unwrap();

    let calls = |key: &str| -> i64 {
        let of_key = groups.iter().filter(|group| &*group.key[0] == key);
        of_key.map(|group| group.sums.calls).sum()
    };
    println!(
        "{VALUES} values: {} groups, {} calls under (other)",
        groups.len(),
        calls("(other)")
    );
    assert_eq!(groups.len(), 1_001);
    assert_eq!(calls("run-7"), 3);
    assert_eq!(calls("run-999"), 1);
    assert_eq!(calls("(other)"), 100);
    assert_eq!(
        products.iter().map(|group| group.sums.calls).max(),
        Some(1_100)
    );
    // Each row keeps its own value.
    let rows = in_rows(&mut files, "run");
    assert_eq!(rows.len(), VALUES + 2);
    assert!(rows.contains(&"run-1099".to_owned()));
    assert!(!rows.contains(&"(other)".to_owned()));
}

/// What W3C Baggage of a trace may look like, and which value of `product` a call has by that.
const BAGGAGE: [(&[&str], &str); 14] = [
    (&["product=ads"], "ads"),
    (&["tenant=acme;private,product = %61ds ;ttl=1"], "ads"),
    (&["tenant=acme", "product=ads"], "ads"),
    (&["product=feed,product=ads"], "ads"),
    // No value of the rule.
    (&["product=junk"], ""),
    (&["product=(other)"], ""),
    (&["PRODUCT=ads"], ""),
    (&["product="], ""),
    (&["product=%ff%00"], ""),
    // No baggage.
    (&["product=ads,"], ""),
    (&["product=ads;;"], ""),
    (&["product=ads,x=\"y\""], ""),
    (&["product=ads,x=%4"], ""),
    (&["product=ads", "x"], ""),
];

#[tokio::test]
async fn baggage_sets_labels_only_for_rules_that_say_so_and_never_fails_a_call() {
    let data = scratch::path("baggage");
    let rules =
        "{ key = 'product', values = ['ads', 'feed'], from_baggage = true }, { key = 'run' }";
    let mut gateway = Gateway::start(&(anybody(rules) + &ledger(&data))).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut told = Vec::new();
    let huge = format!("product=ads,x={}", "y".repeat(8_200));
    let many = format!("product=ads{}", ",x=1".repeat(180));
    let too_much = [(&[huge.as_str()][..], ""), (&[many.as_str()][..], "")];
    for (headers, value) in BAGGAGE.into_iter().chain(too_much) {
        let mut request = Request::new(hello());
        for header in headers {
            request
                .metadata_mut()
                .append("baggage", header.parse().unwrap());
        }
        gateway.generation().generate(request).await.unwrap();
        // The same through the other doors.
        let address = gateway.address;
        let json = http.post(format!("http://{address}/v1/generate"));
        let json = json.header("content-type", "application/json");
        let body = r#"{"scenario":"one","messages":[{"role":"ROLE_USER","text":"x"}]}"#;
        let web = http.post(format!(
            "http://{address}/modelway.v1.GenerationService/Generate"
        ));
        let web = web.header("content-type", "application/grpc-web+proto");
        let message = framed(0, &prost::Message::encode_to_vec(&hello()));
        for (post, body) in [(json, body.as_bytes().to_vec()), (web, message)] {
            let post = headers
                .iter()
                .fold(post, |post, header| post.header("baggage", *header));
            let answer = post.body(body).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{headers:?}");
            assert!(answer.bytes().await.unwrap().len() > 100, "{headers:?}");
        }
        told.extend(std::iter::repeat_n(value, 3).filter(|value| !value.is_empty()));
    }
    // What the request says comes first; a rule that does not say so takes nothing.
    let mut request = Request::new(labelled(&[("product", "feed")]));
    request
        .metadata_mut()
        .insert("baggage", "product=ads,run=7".parse().unwrap());
    gateway.generation().generate(request).await.unwrap();
    told.push("feed");
    for received in gateway.simulator.requests() {
        assert_eq!(received.header("baggage"), None);
    }
    gateway.stop();
    gateway.stopped().await;

    let mut files = LedgerFiles::new(Files::in_directory(&data, Durability::Process));
    assert_eq!(in_rows(&mut files, "product"), told);
    assert_eq!(in_rows(&mut files, "run"), [] as [&str; 0]);
    println!(
        "{} headers, {} calls with a label by them",
        BAGGAGE.len() + 2,
        told.len() - 1
    );
}

#[tokio::test]
async fn a_required_label_may_come_as_baggage_and_whoami_says_so() {
    let rules = "{ key = 'product', values = ['ads'], required = true, from_baggage = true }";
    let gateway = Gateway::start(&anybody(rules)).await;

    let mut request = Request::new(hello());
    request
        .metadata_mut()
        .insert("baggage", "product=ads".parse().unwrap());
    gateway.generation().generate(request).await.unwrap();
    let refused = details(&gateway.generate(hello()).await.unwrap_err());
    let mut client = CallerServiceClient::new(gateway.channel());
    let who = client.who_am_i(WhoAmIRequest::default()).await.unwrap();

    assert_eq!(refused.reason, "LABEL_NOT_ALLOWED");
    assert!(refused.violations[0].1.contains("`baggage`"), "{refused:?}");
    let rule = LabelRule {
        key: "product".to_owned(),
        values: vec!["ads".to_owned()],
        required: true,
        from_baggage: true,
    };
    assert_eq!(who.into_inner().label_rules, [rule]);
}
