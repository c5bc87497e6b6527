//! A change of the store meets one of the configuration file: does what was answered hold?

use std::fs;
use std::time::Duration;

use modelway::grpc::v1::{CreateKeyRequest, Key};
use modelway::simulator::{Settings, Simulator};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tonic::Request;

use crate::support::{Gateway, ask, scratch};

use super::support::{authorized, client_at, keys, secret_of};

const ONE_MODEL: &str = r#"
[server]
predrain = "0s"
[providers.openai]
wire_format = "openai_chat"
simulated = true
[models."openai/first"]
[scenarios.one]
targets = ["openai/first"]
"#;

/// Much longer than it takes until a reload fetches its first tokens.
const PROMPTLY: Duration = Duration::from_secs(30);

#[tokio::test]
async fn an_account_that_gets_a_key_while_a_reload_is_under_way_is_not_taken_away_by_it() {
    let folder = scratch::folder("reloaded");
    let created = ["create", "--caller", "ops", "--admin", "ADMIN_ACCOUNTS"];
    let ops = secret_of(&keys(&folder, &created));
    let ledger = format!("[ledger]\npath = {:?}\n", folder.display().to_string());
    let account = "[[accounts]]\nid = \"batch\"\nkind = \"caller\"\n";
    let file = folder.join("modelway.toml");
    fs::write(&file, [ONE_MODEL, &ledger, account].concat()).unwrap();
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let gateway = Gateway::following(simulator, &file).await;
    let mut admin = client_at(gateway.admin.as_ref().unwrap(), &ops).await;
    // The new configuration has no such account, and a provider whose tokens do not come: the reload waits for them.
    let issuer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", issuer.local_addr().unwrap());
    let provider = format!(
        "[providers.new]\nwire_format = \"openai_chat\"\nbase_url = {url:?}\n\
         credential = {{ kind = \"google_metadata\", url = {url:?} }}\n[models.\"new/m\"]\n"
    );
    let scenario = "[scenarios.new]\ntargets = [\"new/m\"]\n";
    fs::write(&file, [ONE_MODEL, &ledger, &provider, scenario].concat()).unwrap();

    let making = async {
        let _asked = timeout(PROMPTLY, issuer.accept()).await.unwrap().unwrap();
        let key = Key {
            account: "batch".to_owned(),
            ..Key::default()
        };
        let request = CreateKeyRequest {
            key: Some(key),
            comment: String::new(),
        };
        admin.create_key(request).await.unwrap().into_inner().secret
    };
    let (is_applied, secret) = tokio::join!(gateway.reload(), making);

    let told = format!("{:?}", gateway.configuration().state());
    assert!(!is_applied && told.contains("batch"), "{told}");
    let request = authorized(Request::new(ask("one", "Hello")), &secret);
    gateway.generation().generate(request).await.unwrap();
}
