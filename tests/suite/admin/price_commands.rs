//! Does `modelway prices` do on the store itself and through a service what AdminService does?

use std::fs;
use std::process::Output;

use tonic::Request;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;

use crate::support::{ask, program, scratch};

use super::support::{Administered, authorized};

const PRICES: &str = "[[price]]\nmodel = \"openai/first\"\ninput = \"2.5\"\noutput = 10\ncache_read_input = \"0.25\"\n";

fn prices(arguments: &[&str]) -> Output {
    program().arg("prices").args(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn prices_are_put_listed_and_applied_through_a_service_and_on_its_store() {
    let folder = scratch::folder("both");
    let file = folder.join("prices.toml");
    fs::write(&file, PRICES).unwrap();
    let file = file.display().to_string();
    let administered = Administered::start("price-commands", "").await;
    let mut admin = administered.client().await;
    administered.account(&mut admin, "indexer").await;
    let (_, secret) = administered.key(&mut admin, "indexer").await;
    let mut client = GenerationServiceClient::new(administered.gateway.channel());
    for _ in 0..3 {
        let request = authorized(Request::new(ask("one", "Hello")), &secret);
        client.generate(request).await.unwrap();
    }
    let server = administered.admin_address();
    let ops = administered.ops.clone();
    let asked = |arguments: &[&str]| {
        let (server, ops) = (server.clone(), ops.clone());
        let arguments: Vec<_> = arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect();
        tokio::task::spawn_blocking(move || {
            let mut command = program();
            command
                .arg("prices")
                .args(&arguments)
                .args(["--server", &server]);
            command.env("MODELWAY_ADMIN_KEY", ops).output().unwrap()
        })
    };

    let dry = out(&asked(&["put", &file, "--dry-run"]).await.unwrap());
    assert!(dry.contains("1 prices would be put"), "{dry}");
    assert!(!out(&asked(&["list"]).await.unwrap()).contains("openai/first"));
    // Beside a service the store alone tells the same, but the ledger is the service's.
    let data = administered.data.display().to_string();
    let early = folder.join("early.toml");
    fs::write(&early, format!("{PRICES}start_time = 2026-01-01\n")).unwrap();
    let put = out(&prices(&[
        "put",
        &early.display().to_string(),
        "--data",
        &data,
    ]));
    assert!(put.contains("1 prices put"), "{put}");
    let beside = prices(&["price-unknown", "--since", "1h", "--data", &data]);
    assert_eq!(beside.status.code(), Some(1), "{beside:?}");
    assert!(err(&beside).contains("--server"), "{beside:?}");
    // The service takes over within a second what was put into its store.
    loop {
        let listed = out(&asked(&["list", "--now"]).await.unwrap());
        let on_store = out(&prices(&["list", "--data", &data]));
        if listed.contains("2.5") {
            assert_eq!(listed, on_store);
            break;
        }
    }
    loop {
        let done = out(&asked(&["price-unknown", "--since", "1h"]).await.unwrap());
        if done.contains("still unknown: 0 attempts") && !done.contains("known now: 0") {
            assert!(done.contains(" 3 attempts of 3 calls"), "{done}");
            break;
        }
    }
    let again = out(&asked(&["price-unknown", "--since", "1h", "--dry-run"])
        .await
        .unwrap());
    assert!(
        again.contains("would be known: 0 attempts of 0 calls, 0.00 USD"),
        "{again}"
    );
}

#[test]
fn a_public_list_becomes_a_file_that_can_be_put() {
    let folder = scratch::folder("import");
    let list = folder.join("list.json");
    let text = r#"{"first": {"litellm_provider": "openai", "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05,
        "input_cost_per_token_above_200k_tokens": 5e-06, "output_cost_per_image": 0.5},
        "unknown": {"litellm_provider": "openai", "input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06}}"#;
    fs::write(&list, text).unwrap();
    let list = list.display().to_string();
    let config = folder.join("modelway.toml");
    fs::write(
        &config,
        "[providers.openai]\nbase_url = \"https://api.openai.com/v1\"\nwire_format = \"openai_chat\"\napi_key = \"env:KEY\"\n[models.\"openai/first\"]\nprice = { input = 2, output = 10 }\n\
         [models.\"openai/second\"]\n[scenarios.one]\ntargets = [\"openai/first\"]\n",
    )
    .unwrap();
    let config = config.display().to_string();
    let made = folder.join("made.toml");

    let told = prices(&["import", &list, "--config", &config]);
    let text = out(&told);
    assert!(text.contains("model = \"openai/first\""), "{text}");
    assert!(text.contains("input_tokens_above = 200000"), "{text}");
    assert!(!text.contains("unknown"), "{text}");
    let told = err(&told);
    for line in [
        "~ openai/first standard: input 2, output 10 -> input 2.5, output 10",
        "+ openai/first standard above 200000 tokens",
        "! openai/first: left out: output_cost_per_image = 0.5",
        "! openai/second: the list has no such model",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let made = made.display().to_string();
    assert!(
        out(&prices(&[
            "import",
            &list,
            "--config",
            &config,
            "--out",
            &made,
            "--start-time",
            "2027-01-01"
        ]))
        .trim()
        .is_empty()
    );
    let data = folder.join("data").display().to_string();
    let put = out(&prices(&[
        "put",
        &made,
        "--data",
        &data,
        "--comment",
        "the list of December",
    ]));
    assert!(put.contains("2 prices put"), "{put}");
    let listed = out(&prices(&["list", "--data", &data]));
    assert!(listed.contains("2027-01-01T00:00:00Z"), "{listed}");
    let wrong = prices(&["import", &config]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(err(&wrong).contains("no JSON"), "{wrong:?}");
}
