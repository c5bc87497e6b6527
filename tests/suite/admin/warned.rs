//! Is a limit on money whose models have no price in the configuration a warning and no mistake, since administrators may put
//! the price: when the configuration is checked, at the start, and when it changes?

use std::fs;
use std::path::Path;

use modelway::grpc::v1::caller_service_client::CallerServiceClient;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::{Price, PutPricesRequest, WhoAmIRequest};
use modelway::server::ListenAddress;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::{Process, ask, details, nobody, program, scratch, until};

use super::support::{client_at, keys, secret_of};

/// A limit that holds calls to what they may cost.
fn limit(id: &str) -> String {
    format!("[[limits]]\nid = '{id}'\nper = ['caller']\nmoney = '500 USD'\nwindow = 'month'\n")
}

/// What is said of it.
fn warning(id: &str) -> String {
    format!(
        "the configuration has no price of a model to which the limit `{id}` applies: as long as the control store has none \
         either (`modelway prices list`), calls that it applies to are refused with PRICE_UNKNOWN"
    )
}

/// Whether `modelway check` takes the file, and what it says.
fn checked(file: &Path) -> (bool, String) {
    let output = program().arg("check").arg(file).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

async fn generate(channel: &Channel) -> Result<(), (Code, String)> {
    let mut client = GenerationServiceClient::new(channel.clone());
    match client.generate(ask("one", "Hello")).await {
        Ok(_) => Ok(()),
        Err(status) => Err((status.code(), details(&status).reason)),
    }
}

#[tokio::test]
async fn a_limit_on_money_waits_for_a_price_of_the_store_with_a_warning() {
    let folder = scratch::folder("warned");
    let (file, data, address) = (folder.join("modelway.toml"), folder.join("data"), nobody());
    let rest = format!(
        "[server]\npredrain = '0s'\n[admin]\nlisten = '{address}'\n[auth]\nanonymous = 'local'\n\
         [[accounts]]\nid = 'local'\nkind = 'caller'\n[providers.p]\nsimulated = true\nwire_format = 'openai_chat'\n\
         [models.'p/m']\nmax_output_tokens = 1000\n[scenarios.one]\ntargets = ['p/m']\n"
    );
    let ledger = format!("[ledger]\npath = {data:?}\n");
    let ops = secret_of(&keys(
        &data,
        &["create", "--caller", "ops", "--admin", "ADMIN_PRICES"],
    ));

    // Nothing can hold a price where there is no ledger.
    fs::write(&file, [&*rest, &limit("first")].concat()).unwrap();
    let (is_taken, told) = checked(&file);
    assert!(
        !is_taken && told.contains("no model to which it applies has a price"),
        "{told}"
    );
    fs::write(&file, [&*rest, &ledger, &limit("first")].concat()).unwrap();
    let (is_taken, told) = checked(&file);
    assert!(is_taken && told.contains(&warning("first")), "{told}");

    let process = Process::serve(Some(&file), &[]);
    let channel = process.connect().await;
    let unknown = Err((Code::FailedPrecondition, "PRICE_UNKNOWN".to_owned()));
    assert_eq!(generate(&channel).await, unknown);
    let mut admin = client_at(&ListenAddress::Tcp(address), &ops).await;
    let price = Price {
        model: "p/m".to_owned(),
        input_pico: Some(2_500_000),
        output_pico: Some(10_000_000),
        ..Price::default()
    };
    let prices = PutPricesRequest {
        prices: vec![price],
        ..PutPricesRequest::default()
    };
    admin.put_prices(prices).await.unwrap();
    assert_eq!(generate(&channel).await, Ok(()));

    let both = [&*rest, &ledger, &limit("first"), &limit("second")].concat();
    fs::write(&file, both).unwrap();
    process.hang_up();
    let mut callers = CallerServiceClient::new(channel.clone());
    until("the second limit holds", async || {
        let me = callers.who_am_i(WhoAmIRequest {}).await.unwrap();
        let limits = me.into_inner().limits;
        limits.iter().any(|state| state.limit_id == "second")
    })
    .await;
    assert_eq!(generate(&channel).await, Ok(()));
    process.terminate();
    let (status, log) = process.ended().await;

    assert!(status.success(), "{log}");
    // Each is told once: at the start, and when it came.
    for id in ["first", "second"] {
        assert_eq!(log.matches(&*warning(id)).count(), 1, "{id}: {log}");
    }
    assert!(log.find(&*warning("first")) < log.find(&*warning("second")));
}
