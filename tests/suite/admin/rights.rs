//! Which key may call which method? Every method, every action, both kinds of keys.

use std::time::Duration;

use modelway::grpc::v1::{
    Account, Action, CreateKeyRequest, Key, ListAuditEventsRequest, PutAccountRequest,
};
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::support::{ALL, Administered, authorized, caller, keys, scope, secret_of};

/// How long a method may take that streams without an end.
const STREAM_LIMIT: Duration = Duration::from_millis(500);

/// The methods of the listener for operators, and what each asks for.
const METHODS: [(&str, Action); 21] = [
    ("AdminService/ListAccounts", Action::AdminRead),
    ("AdminService/PutAccount", Action::AdminAccounts),
    ("AdminService/CloseAccount", Action::AdminAccounts),
    ("AdminService/ListKeys", Action::AdminRead),
    ("AdminService/CreateKey", Action::AdminAccounts),
    ("AdminService/RotateKey", Action::AdminAccounts),
    ("AdminService/RevokeKey", Action::AdminAccounts),
    ("AdminService/ListLimits", Action::AdminRead),
    ("AdminService/PutLimit", Action::AdminLimits),
    ("AdminService/DeleteLimit", Action::AdminLimits),
    ("AdminService/GrantLimit", Action::AdminLimits),
    ("AdminService/ListLimitStates", Action::AdminRead),
    ("AdminService/ListPrices", Action::AdminRead),
    ("AdminService/PutPrices", Action::AdminPrices),
    ("AdminService/PriceUnknown", Action::AdminPrices),
    ("AdminService/ListAuditEvents", Action::AdminRead),
    ("OperationsService/ListBreakers", Action::Operate),
    ("OperationsService/WatchBreakers", Action::Operate),
    ("OperationsService/SetBreaker", Action::Operate),
    ("OperationsService/ExplainPlan", Action::Operate),
    ("OperationsService/GetConfiguration", Action::Operate),
];

/// The methods of the listener for callers that a scope decides about.
const CALLS: [&str; 2] = [
    "GenerationService/Generate",
    "GenerationService/StreamGenerate",
];

/// What a method says to an empty message.
async fn asked(channel: &Channel, method: &str, secret: Option<&str>) -> Code {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let path = format!("/modelway.v1.{method}").parse().unwrap();
    let mut request = Request::new(());
    if let Some(secret) = secret {
        request = authorized(request, secret);
    }
    let codec: ProstCodec<(), ()> = ProstCodec::default();
    let answer = grpc.server_streaming(request, path, codec).await;
    let end: Result<(), Status> = match answer {
        Err(status) => Err(status),
        Ok(response) => {
            let mut messages = response.into_inner();
            match timeout(STREAM_LIMIT, messages.message()).await {
                Ok(message) => message.map(drop),
                Err(_) => Ok(()),
            }
        }
    };
    end.map_or_else(|status| status.code(), |()| Code::Ok)
}

#[tokio::test]
async fn every_method_is_for_the_keys_that_have_its_action_and_for_no_others() {
    let administered = Administered::start("rights", "").await;
    let mut admin = administered.client().await;
    administered.account(&mut admin, "caller").await;
    let with_usage = Account {
        scopes: vec![scope(Action::Generate), scope(Action::UsageRead)],
        ..caller("reader")
    };
    let request = PutAccountRequest {
        account: Some(with_usage),
        comment: String::new(),
    };
    admin.put_account(request).await.unwrap();
    let mut keys = Vec::new();
    for action in [&ALL[..], &[Action::Generate, Action::UsageRead]].concat() {
        let account = match action {
            Action::Generate | Action::UsageRead => "reader",
            _ => "ops",
        };
        let request = CreateKeyRequest {
            key: Some(Key {
                account: account.to_owned(),
                scopes: vec![scope(action)],
                ..Key::default()
            }),
            comment: String::new(),
        };
        let made = admin.create_key(request).await.unwrap().into_inner();
        keys.push((action, made.secret));
    }
    let side = administered.admin_channel().await;
    let public = administered.gateway.channel();
    let (mut cells, mut allowed) = (0, 0);

    for (action, secret) in &keys {
        for (method, wanted) in METHODS {
            let code = asked(&side, method, Some(secret)).await;
            let may = *action == wanted;
            assert_eq!(
                code != Code::PermissionDenied,
                may,
                "{action:?} {method}: {code:?}"
            );
            cells += 1;
            allowed += usize::from(may);
        }
        for method in CALLS {
            let code = asked(&public, method, Some(secret)).await;
            let may = *action == Action::Generate;
            // An empty request is refused for what it lacks, but only to those who may call.
            assert_eq!(
                code != Code::PermissionDenied,
                may,
                "{action:?} {method}: {code:?}"
            );
            cells += 1;
            allowed += usize::from(may);
        }
    }

    println!("cells: {cells}, allowed: {allowed}, as the table says: {cells}");
    let events = admin
        .list_audit_events(ListAuditEventsRequest {
            subject: "method/PutAccount".to_owned(),
            ..ListAuditEventsRequest::default()
        })
        .await
        .unwrap()
        .into_inner()
        .events;
    assert_eq!(
        events.len(),
        keys.len() - 1,
        "one for each key that was denied"
    );
    assert!(events.iter().all(|event| event.code == "PERMISSION_DENIED"));
}

#[tokio::test]
async fn administration_demands_a_credential_and_operations_on_this_machine_do_not() {
    let administered = Administered::start("credentials", "").await;
    let side = administered.admin_channel().await;
    for (method, action) in METHODS {
        let without = asked(&side, method, None).await;
        let is_operations = action == Action::Operate;
        assert_eq!(
            without != Code::Unauthenticated,
            is_operations,
            "{method}: {without:?}"
        );
        let wrong = asked(&side, method, Some("mwa_wrong")).await;
        assert_eq!(wrong, Code::Unauthenticated, "{method}");
    }

    // The failed logins are summed, not listed one by one.
    drop(side);
    let data = administered.data.clone();
    let mut gateway = administered.gateway;
    gateway.stop();
    gateway.stopped().await;
    let mut command = crate::support::program();
    command.args(["audit", "list", "--data"]).arg(&data);
    let listed = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let failed = listed
        .lines()
        .filter(|line| line.contains("login.failed"))
        .count();
    assert!((1..=2).contains(&failed), "{listed}");
    assert!(
        listed.contains("(127.0.0.1)  login.failed  address/127.0.0.1"),
        "{listed}"
    );
}

#[tokio::test]
async fn the_listener_for_callers_does_not_know_administration() {
    let administered = Administered::start("public", "").await;

    let code = asked(
        &administered.gateway.channel(),
        "AdminService/ListKeys",
        Some(&administered.ops),
    )
    .await;

    assert_eq!(code, Code::Unimplemented);
}

#[tokio::test]
async fn an_administrator_of_a_team_sees_and_changes_only_what_is_below_it() {
    use modelway::grpc::v1::{AccountKind, ListAccountsRequest};

    let administered = Administered::start("team", "").await;
    let mut admin = administered.client().await;
    let actions = [Action::AdminAccounts, Action::AdminRead, Action::Generate];
    let shop = Account {
        kind: AccountKind::Organisation.into(),
        scopes: actions.map(scope).to_vec(),
        ..caller("shop")
    };
    let team = |id: &str| Account {
        kind: AccountKind::Team.into(),
        parent: "shop".to_owned(),
        scopes: actions.map(scope).to_vec(),
        ..caller(id)
    };
    let member = |id: &str, team: &str| Account {
        parent: team.to_owned(),
        ..caller(id)
    };
    let put = |account: Account| PutAccountRequest {
        account: Some(account),
        comment: String::new(),
    };
    for account in [shop, team("search"), team("ads"), member("a", "ads")] {
        admin.put_account(put(account)).await.unwrap();
    }
    let made = keys(
        &administered.data,
        &[
            "create",
            "--caller",
            "search",
            "--admin",
            "ADMIN_ACCOUNTS",
            "--admin",
            "ADMIN_READ",
        ],
    );
    let secret = secret_of(&made);
    // Another process has made the key: the service takes it over within a second.
    let mut of_team = administered.client_with(&secret).await;
    let begun = tokio::time::Instant::now();
    while of_team
        .list_accounts(ListAccountsRequest::default())
        .await
        .is_err()
    {
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    of_team
        .put_account(put(member("s", "search")))
        .await
        .unwrap();

    let seen = of_team.list_accounts(ListAccountsRequest::default()).await;
    let seen = seen.unwrap().into_inner().accounts;
    let seen: Vec<_> = seen.iter().map(|account| &*account.id).collect();
    assert_eq!(seen, ["s", "search"]);
    for outside in [member("x", "ads"), caller("top"), team("search")] {
        let status = of_team.put_account(put(outside)).await.unwrap_err();
        assert!(
            matches!(status.code(), Code::PermissionDenied | Code::Aborted),
            "{status:?}"
        );
    }
    let read = of_team
        .list_audit_events(ListAuditEventsRequest::default())
        .await;
    assert_eq!(read.unwrap_err().code(), Code::PermissionDenied);
}
