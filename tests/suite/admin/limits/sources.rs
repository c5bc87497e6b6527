//! Do the limits of the configuration file and those of the store go together, when either changes?

use std::fs;
use std::path::PathBuf;

use modelway::grpc::v1::admin_service_client::AdminServiceClient;
use modelway::grpc::v1::{DeleteLimitRequest, Limit, LimitEnforcement, LimitUnit, LimitWindow};
use modelway::serve::Service;
use modelway::simulator::{Settings, Simulator, WireName};
use tonic::{Code, Request};

use crate::admin::support::{authorized, keys, secret_of};
use crate::support::{Gateway, ask, details, scratch};

use super::{GROUND, grant, limits, put, requests, state};
use crate::admin::support::Administered;

/// A service that follows a file, with a data directory and an administrator.
struct Followed {
    gateway: Gateway,
    file: PathBuf,
    text: String,
    data: PathBuf,
    secret: String,
}

fn text(simulator: &Simulator, data: &std::path::Path) -> String {
    let url = simulator.base_url(WireName::OpenAiChat);
    format!(
        "[server]
        predrain = '0s'
        runtimes = 2
        [admin]
        listen = '127.0.0.1:0'
        [auth]
        anonymous = 'local'
        [providers.p]
        wire_format = 'openai_chat'
        base_url = '{url}'
        auth = 'none'
        [models.'p/one']
        [scenarios.one]
        targets = ['p/one']
        [ledger]
        path = {:?}
        ",
        data.display().to_string()
    )
}

const ON_FILE: &str = "
    [[limits]]
    id = 'of-file'
    requests = 5
    window = 'day'
";

impl Followed {
    async fn start(name: &str) -> Self {
        let folder = scratch::folder(name);
        let data = folder.join("data");
        let made = keys(
            &data,
            &[
                "create",
                "--caller",
                "ops",
                "--admin",
                "ADMIN_LIMITS",
                "--admin",
                "ADMIN_READ",
            ],
        );
        let simulator = Simulator::start(Settings::default()).await.unwrap();
        let text = text(&simulator, &data);
        let file = folder.join("modelway.toml");
        fs::write(&file, format!("{text}{ON_FILE}")).unwrap();
        Self {
            gateway: Gateway::following(simulator, &file).await,
            file,
            text,
            data,
            secret: secret_of(&made),
        }
    }

    /// Has the service use these limits of the file; whether it does.
    async fn reload(&self, limits: &str) -> bool {
        fs::write(&self.file, format!("{}{limits}", self.text)).unwrap();
        self.gateway.reload().await
    }

    async fn client(&self) -> crate::admin::support::AdminClient {
        crate::admin::support::client_at(self.gateway.admin.as_ref().unwrap(), &self.secret).await
    }
}

#[tokio::test]
async fn a_reload_keeps_the_limits_of_the_store_and_a_change_of_the_store_those_of_the_file() {
    let followed = Followed::start("both").await;
    let mut admin = followed.client().await;
    put(&mut admin, requests("of-store", 3)).await.unwrap();
    followed.gateway.generate(ask("one", "a")).await.unwrap();

    assert!(followed.reload(&ON_FILE.replace("= 5", "= 9")).await);

    for (id, amount) in [("of-file", 9), ("of-store", 3)] {
        let state = state(&mut admin, id).await;
        assert_eq!((state.amount, state.used), (amount, 1), "{id}");
    }
    let written = limits(&mut admin).await.remove(1);
    put(
        &mut admin,
        Limit {
            amount: 4,
            ..written
        },
    )
    .await
    .unwrap();
    for (id, amount) in [("of-file", 9), ("of-store", 4)] {
        let state = state(&mut admin, id).await;
        assert_eq!((state.amount, state.used), (amount, 1), "{id}");
    }
    // Without those of the file, those of the store go on.
    assert!(followed.reload("").await);
    let ids: Vec<_> = limits(&mut admin)
        .await
        .into_iter()
        .map(|limit| limit.id)
        .collect();
    assert_eq!(ids, ["of-store"]);
    assert_eq!(state(&mut admin, "of-store").await.used, 1);
}

#[tokio::test]
async fn one_id_in_file_and_store_is_refused_wherever_it_comes_from() {
    let mut followed = Followed::start("one-id").await;
    let mut admin = followed.client().await;
    put(&mut admin, requests("of-store", 3)).await.unwrap();

    // By the service.
    let status = put(&mut admin, requests("of-file", 3)).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(details(&status).reason, "OBJECT_READ_ONLY");
    let request = DeleteLimitRequest {
        id: "of-file".to_owned(),
        comment: String::new(),
    };
    let status = admin.delete_limit(request).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    // A grant changes nothing of the file.
    let granted = admin.grant_limit(grant("of-file", 2, "x")).await.unwrap();
    assert_eq!(granted.into_inner().state.unwrap().amount, 7);

    // By the file.
    let twice = ON_FILE.replace("of-file", "of-store");
    assert!(!followed.reload(&twice).await, "refused");
    let told = followed
        .gateway
        .configuration()
        .state()
        .file
        .unwrap()
        .mistakes;
    assert!(told[0].what.contains("limit `of-store`"), "{told:?}");
    assert_eq!(state(&mut admin, "of-file").await.amount, 7);

    // At the start.
    followed.gateway.stop();
    followed.gateway.stopped().await;
    fs::write(&followed.file, format!("{}{twice}", followed.text)).unwrap();
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let anywhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let started = Service::following(&followed.file, Some(anywhere), &simulator).await;
    let told = started.err().unwrap().to_string();
    assert!(
        told.contains("limit `of-store`") && told.contains("modelway limits delete"),
        "{told}"
    );
    // The remedy that it names helps.
    let mut delete = crate::support::program();
    delete
        .args(["limits", "delete", "of-store", "--data"])
        .arg(&followed.data);
    assert!(delete.output().unwrap().status.success());
    Service::following(&followed.file, Some(anywhere), &simulator)
        .await
        .map(drop)
        .unwrap();
}

#[tokio::test]
async fn grants_outlive_the_process_with_their_window() {
    let mut followed = Followed::start("grants").await;
    let mut admin = followed.client().await;
    put(&mut admin, requests("of-store", 1)).await.unwrap();
    for id in ["of-file", "of-store"] {
        admin.grant_limit(grant(id, 10, "ticket-1")).await.unwrap();
    }
    followed.gateway.generate(ask("one", "a")).await.unwrap();
    followed.gateway.stop();
    followed.gateway.stopped().await;

    let simulator = Simulator::start(Settings::default()).await.unwrap();
    followed.gateway = Gateway::following(simulator, &followed.file).await;

    let mut admin = followed.client().await;
    for (id, amount) in [("of-file", 15), ("of-store", 11)] {
        let state = state(&mut admin, id).await;
        assert_eq!(
            (state.amount, state.used, state.reserved),
            (amount, 1, 0),
            "{id}"
        );
        let again = admin.grant_limit(grant(id, 10, "ticket-1")).await.unwrap();
        assert_eq!(
            again.into_inner().state.unwrap().amount,
            amount,
            "granted before"
        );
    }
}

#[tokio::test]
async fn limits_of_the_file_are_listed_with_every_field() {
    let file = format!(
        "{GROUND}
        [[limits]]
        id = 'team-month'
        description = 'what search may spend'
        per = ['team', 'label:product']
        money = '500 USD'
        window = 'month'
        time_zone = 'Asia/Shanghai'
        match = {{ accounts = ['shop'], scenarios = ['priced'], providers = ['openai'], models = ['openai/priced'], labels = {{ run = 'a' }} }}
        thresholds = [50, 80]
        enforcement = 'watch'
        unknown_ceiling = '20 USD'
        "
    );
    let administered = Administered::start("limits-of-file", &file).await;
    let mut admin = administered.client().await;

    let listed = limits(&mut admin).await;

    let [limit] = &listed[..] else {
        panic!("{listed:?}");
    };
    assert_eq!(limit.id, "team-month");
    assert_eq!(limit.description, "what search may spend");
    let matching = limit.r#match.clone().unwrap();
    assert_eq!(
        (
            matching.accounts,
            matching.scenarios,
            matching.providers,
            matching.models
        ),
        (
            vec!["shop".to_owned()],
            vec!["priced".to_owned()],
            vec!["openai".to_owned()],
            vec!["openai/priced".to_owned()]
        )
    );
    assert_eq!(matching.labels["run"], "a");
    let per: Vec<_> = limit
        .per
        .iter()
        .map(|it| (it.kind().as_str_name(), &*it.label))
        .collect();
    assert_eq!(
        per,
        [
            ("LIMIT_DIMENSION_KIND_TEAM", ""),
            ("LIMIT_DIMENSION_KIND_LABEL", "product")
        ]
    );
    assert_eq!(
        (limit.unit(), limit.amount),
        (LimitUnit::Money, 500_000_000_000)
    );
    assert_eq!(
        (limit.window(), &*limit.time_zone),
        (LimitWindow::Month, "Asia/Shanghai")
    );
    assert_eq!(limit.enforcement(), LimitEnforcement::Watch);
    assert_eq!(limit.thresholds, [50, 80]);
    assert_eq!(limit.unknown_ceiling, Some(20_000_000_000));
    assert_eq!((&*limit.source, &*limit.etag), ("file", ""));
}

#[tokio::test]
async fn a_hard_limit_on_money_demands_a_ledger_that_lasts() {
    let folder = scratch::folder("no-durability");
    let data = folder.join("data");
    let made = keys(
        &data,
        &[
            "create",
            "--caller",
            "ops",
            "--admin",
            "ADMIN_LIMITS",
            "--admin",
            "ADMIN_READ",
        ],
    );
    let secret = secret_of(&made);
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let lasting = text(&simulator, &data).replace(
        "[models.'p/one']",
        "[models.'p/one']\nprice = { input = 1, output = 2 }",
    );
    let fleeting = format!("{lasting}durability = 'none'\n");
    let file = folder.join("modelway.toml");
    fs::write(&file, &fleeting).unwrap();
    let mut gateway = Gateway::following(simulator, &file).await;
    let mut admin =
        crate::admin::support::client_at(gateway.admin.as_ref().unwrap(), &secret).await;
    let money = Limit {
        unit: LimitUnit::Money.into(),
        ..requests("money", 1_000_000_000)
    };

    let status = put(&mut admin, money.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let (field, what) = &details(&status).violations[0];
    assert_eq!(field, "limit.enforcement");
    assert!(what.contains("ledger.durability"), "{what}");
    let watched = Limit {
        enforcement: LimitEnforcement::Watch.into(),
        ..money
    };
    put(&mut admin, watched).await.unwrap();

    // A hard one of the store keeps a service from starting on such a ledger.
    gateway.stop();
    gateway.stopped().await;
    let mut hard = crate::support::program();
    hard.args(["limits", "put", "money", "--enforcement", "hard", "--data"])
        .arg(&data);
    assert!(hard.output().unwrap().status.success());
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let anywhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let started = Service::following(&file, Some(anywhere), &simulator).await;
    let told = started.err().unwrap().to_string();
    assert!(
        told.contains("limit `money`") && told.contains("durability"),
        "{told}"
    );
}

#[tokio::test]
async fn a_caller_sees_the_limits_of_the_store_that_are_its_own() {
    use modelway::grpc::v1::caller_service_client::CallerServiceClient;
    use modelway::grpc::v1::{LimitDimension, LimitDimensionKind, WhoAmIRequest};

    let followed = Followed::start("who-am-i").await;
    let mut admin = followed.client().await;
    let own = Limit {
        per: vec![LimitDimension {
            kind: LimitDimensionKind::Caller.into(),
            label: String::new(),
        }],
        ..requests("of-store", 7)
    };
    put(&mut admin, own).await.unwrap();

    let mut callers = CallerServiceClient::new(followed.gateway.channel());
    let told = callers
        .who_am_i(WhoAmIRequest {})
        .await
        .unwrap()
        .into_inner();

    let ids: Vec<_> = told
        .limits
        .iter()
        .map(|state| (&*state.limit_id, state.remaining))
        .collect();
    assert_eq!(ids, [("of-store", 7)]);
    // What is for administrators is for them alone.
    let mut as_caller = AdminServiceClient::new(followed.gateway.channel());
    let request = modelway::grpc::v1::ListLimitStatesRequest::default();
    let status = as_caller
        .list_limit_states(authorized(Request::new(request), &followed.secret))
        .await;
    assert_eq!(status.unwrap_err().code(), Code::Unimplemented);
}
