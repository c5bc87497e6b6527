//! Does the audit record read the same through a service as on the store itself?

use std::process::Output;

use modelway::grpc::v1::{Action, CreateKeyRequest, Key, ListAccountsRequest};
use tonic::Code;

use crate::support::{program, until};

use super::support::{Administered, scope};

/// More than the service puts on a page.
const DENIED: usize = 1_050;

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

#[tokio::test]
async fn the_record_of_a_service_is_listed_and_checked_page_by_page_as_the_store_has_it() {
    let administered = Administered::start("record", "").await;
    let mut admin = administered.client().await;
    administered.account(&mut admin, "caller").await;
    let request = CreateKeyRequest {
        key: Some(Key {
            account: "ops".to_owned(),
            scopes: vec![scope(Action::Operate)],
            ..Key::default()
        }),
        comment: String::new(),
    };
    let made = admin.create_key(request).await.unwrap().into_inner();
    let mut operator = administered.client_with(&made.secret).await;
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
    let refused = audit(&administered, &["list"], Some(&made.secret)).await;
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    let file = rusqlite::Connection::open(administered.data.join("control.db")).unwrap();
    let edit = "UPDATE audit SET actor = 'somebody else' WHERE sequence = 2";
    file.execute(edit, []).unwrap();
    let edited = audit(&administered, &["verify"], Some(&ops)).await;
    assert_eq!(edited.status.code(), Some(1), "{edited:?}");
    let told = String::from_utf8(edited.stderr).unwrap();
    assert!(told.contains("event 2 "), "{told}");
}
