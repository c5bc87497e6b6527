//! Does the audit record read the same through a service as on the store itself?

use std::process::Output;
use std::time::Duration;

use modelway::grpc::v1::{Action, CreateKeyRequest, Key, ListAccountsRequest};
use tokio::time::sleep;
use tonic::Code;

use crate::support::collector::{Collector, Manner};
use crate::support::{ask, program, until};

use super::support::{AdminClient, Administered, scope};

/// More than the service puts on a page.
const DENIED: usize = 1_050;

/// Between two requests of an operator.
const PAUSE: Duration = Duration::from_millis(20);

/// `modelway audit` against the service, or on the store itself.
async fn audit(administered: &Administered, arguments: &[&str], key: Option<&str>) -> Output {
    let mut command = program();
    command.arg("audit").args(arguments);
    match key {
        Some(key) => command
            .args(["--server", &administered.admin_address()])
            .env("MODELWAY_ADMIN_KEY", key),
        None => command.arg("--data").arg(&administered.data),
    };
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

fn text(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap()
}

/// A client that may do nothing but operate, and its key.
async fn operator_of(administered: &Administered) -> (AdminClient, String) {
    let request = CreateKeyRequest {
        key: Some(Key {
            account: "ops".to_owned(),
            scopes: vec![scope(Action::Operate)],
            ..Key::default()
        }),
        comment: String::new(),
    };
    let made = administered.client().await.create_key(request).await;
    let secret = made.unwrap().into_inner().secret;
    (administered.client_with(&secret).await, secret)
}

#[tokio::test]
async fn the_record_of_a_service_is_listed_and_checked_page_by_page_as_the_store_has_it() {
    let administered = Administered::start("record", "").await;
    let mut admin = administered.client().await;
    administered.account(&mut admin, "caller").await;
    let (mut operator, secret) = operator_of(&administered).await;
    for _ in 0..DENIED {
        let denied = operator.list_accounts(ListAccountsRequest::default()).await;
        assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied);
    }
    let ops = administered.ops.clone();
    // Refusals are written down twice a second.
    until("the last refusal is in the record", async || {
        let listed = audit(&administered, &["list", "--limit", "5000"], None).await;
        text(&listed).matches(" denied ").count() >= DENIED
    })
    .await;

    let by_service = audit(&administered, &["list", "--limit", "5000"], Some(&ops)).await;
    let on_store = audit(&administered, &["list", "--limit", "5000"], None).await;

    let lines = text(&by_service)
        .lines()
        .filter(|line| !line.starts_with(' '));
    let count = lines.count();
    assert!(count > DENIED, "{count}");
    assert_eq!(text(&by_service), text(&on_store));
    for filter in [
        &["list", "--since", "1h", "--limit", "1001"][..],
        &["list", "--subject", "account/caller"],
        &["list", "--subject", "account/nobody"],
        &["list", "--limit", "3"],
    ] {
        let by_service = audit(&administered, filter, Some(&ops)).await;
        let on_store = audit(&administered, filter, None).await;
        assert_eq!(
            text(&by_service).trim_end(),
            text(&on_store).trim_end(),
            "{filter:?}"
        );
    }
    let verified = audit(&administered, &["verify"], Some(&ops)).await;
    assert_eq!(text(&verified), format!("{count} events hold together\n"));
    println!("events listed and checked through the service: {count}, as on the store");

    // Without the right there is no record, and an edit is found out by whoever asks.
    let refused = audit(&administered, &["list"], Some(&secret)).await;
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    let file = rusqlite::Connection::open(administered.data.join("control.db")).unwrap();
    let edit = "UPDATE audit SET actor = 'somebody else' WHERE sequence = 2";
    file.execute(edit, []).unwrap();
    let edited = audit(&administered, &["verify"], Some(&ops)).await;
    assert_eq!(edited.status.code(), Some(1), "{edited:?}");
    let told = String::from_utf8(edited.stderr).unwrap();
    assert!(told.contains("event 2 "), "{told}");
}

#[tokio::test]
async fn what_is_refused_while_the_service_ends_is_in_the_record() {
    // The service waits for some seconds for a collector that does not answer.
    let collector = Collector::start(Manner::Silent).await;
    let telemetry = format!("[telemetry]\nendpoint = \"http://{}\"\n", collector.address);
    let mut administered = Administered::start("ending", &telemetry).await;
    let (mut operator, _) = operator_of(&administered).await;
    let answer = administered.gateway.generate(ask("one", "Hello")).await;
    answer.unwrap();
    administered.gateway.stop();

    let mut refused = 0;
    loop {
        let denied = operator.list_accounts(ListAccountsRequest::default()).await;
        if denied.unwrap_err().code() != Code::PermissionDenied {
            break;
        }
        refused += 1;
        sleep(PAUSE).await;
    }
    administered.gateway.stopped().await;

    let listed = audit(&administered, &["list", "--limit", "5000"], None).await;
    let recorded = text(&listed).matches(" denied ").count();
    println!("{refused} refusals until the end, {recorded} in the record");
    assert!(refused > 50, "the service has waited: {refused}");
    assert!(recorded >= refused, "{recorded} of {refused}");
}
