//! Are the labels of a call those that its account allows?

use modelway::grpc::v1::GenerateRequest;
use tonic::Code;

use super::{TestKey, caller, hello};
use crate::support::log::Log;
use crate::support::{Gateway, ONE_MODEL, details};

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
