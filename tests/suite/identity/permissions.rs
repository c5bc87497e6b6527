//! May a caller do no more than its scopes say, and is it counted as itself wherever it calls from?

use modelway::grpc::v1::caller_service_client::CallerServiceClient;
use modelway::grpc::v1::{
    GetModelRequest, GetScenarioRequest, ListModelsRequest, ListScenariosRequest, WhoAmIRequest,
};
use modelway::identity::key::KeyKind;
use modelway::simulator::Behaviour;
use tonic::{Code, Status};

use super::{TestKey, caller, hello, spawn};
use crate::support::{Gateway, ask, details};

const MODELS: &str = "
[catalog]\nallow_model = true
[models.'openai/first']\n[models.'openai/second']\n[models.'anthropic/third']
max_output_tokens = 1000
[scenarios.one]\ntargets = ['openai/first']
[scenarios.two]\ntargets = ['openai/second']
[scenarios.batch-a]\ntargets = ['openai/second']
[scenarios.batch-b]\ntargets = ['openai/second']
";

fn refused(status: Status) -> (Code, String) {
    let details = details(&status);
    assert_eq!(
        details.pushback,
        match details.code {
            Code::PermissionDenied => Some(-1),
            _ => None,
        }
    );
    (details.code, details.reason)
}

#[tokio::test]
async fn a_key_calls_and_sees_what_generate_allows() {
    let [narrow, wide] = [TestKey::data(), TestKey::data()];
    let config = [
        MODELS,
        &caller("a", "scopes = [{ action = 'GENERATE', models = ['openai/*'] }]"),
        &wide.table("wide", "a", ""),
        &narrow.table(
            "narrow",
            "a",
            "scopes = [{ action = 'GENERATE', scenarios = ['one', 'batch-*'], models = ['openai/first', 'anthropic/third'] }]",
        ),
    ]
    .concat();
    let gateway = Gateway::start(&config).await;
    let denied = (Code::PermissionDenied, "PERMISSION_DENIED".to_owned());

    // (what is asked for, whether `narrow` and `wide` may)
    for (scenario, model, may) in [
        ("one", "", [true, true]),
        ("two", "", [false, true]),
        ("batch-a", "", [true, true]),
        ("", "openai/first", [true, true]),
        ("", "openai/second", [false, true]),
        // The account may not, whatever its key says.
        ("", "anthropic/third", [false, false]),
    ] {
        for (key, may) in [&narrow, &wide].into_iter().zip(may) {
            let mut request = ask(scenario, "Hello");
            request.model = model.to_owned();
            let result = gateway.generation().generate(key.sends(request)).await;
            match may {
                true => drop(result.unwrap()),
                false => assert_eq!(refused(result.unwrap_err()), denied, "{scenario}{model}"),
            }
        }
    }
    let unknown = gateway
        .generation()
        .generate(narrow.sends(ask("three", "Hello")))
        .await;
    let unknown = refused(unknown.unwrap_err());
    assert_eq!(unknown, (Code::NotFound, "SCENARIO_NOT_FOUND".to_owned()));

    let mut catalog = gateway.catalog();
    let listed = catalog.list_scenarios(narrow.sends(ListScenariosRequest::default()));
    let listed = listed.await.unwrap().into_inner().scenarios;
    let ids: Vec<_> = listed.iter().map(|scenario| &*scenario.id).collect();
    assert_eq!(ids, ["batch-a", "batch-b", "one"]);
    let listed = catalog.list_models(narrow.sends(ListModelsRequest::default()));
    let listed = listed.await.unwrap().into_inner().models;
    let ids: Vec<_> = listed.iter().map(|model| &*model.id).collect();
    assert_eq!(ids, ["openai/first"]);
    let get = |id: &str| narrow.sends(GetScenarioRequest { id: id.to_owned() });
    catalog.get_scenario(get("one")).await.unwrap();
    assert_eq!(
        refused(catalog.get_scenario(get("two")).await.unwrap_err()),
        denied
    );
    assert_eq!(
        catalog.get_scenario(get("three")).await.unwrap_err().code(),
        Code::NotFound
    );
    let get = |id: &str| narrow.sends(GetModelRequest { id: id.to_owned() });
    assert_eq!(
        refused(catalog.get_model(get("openai/second")).await.unwrap_err()),
        denied
    );
}

/// The data side of least privilege: what a credential of each kind may do, with each action, at each method.
#[tokio::test]
async fn every_data_method_is_allowed_to_its_action_and_to_no_other() {
    const ACTIONS: [(&str, KeyKind); 8] = [
        ("GENERATE", KeyKind::Data),
        ("USAGE_READ", KeyKind::Data),
        ("LEDGER_READ", KeyKind::Administration),
        ("OPERATE", KeyKind::Administration),
        ("ADMIN_ACCOUNTS", KeyKind::Administration),
        ("ADMIN_LIMITS", KeyKind::Administration),
        ("ADMIN_PRICES", KeyKind::Administration),
        ("ADMIN_READ", KeyKind::Administration),
    ];
    let keys = ACTIONS.map(|(_, kind)| TestKey::new(kind));
    let mut config = MODELS.to_owned();
    for ((action, _), key) in ACTIONS.iter().zip(&keys) {
        let id = action.to_lowercase();
        config += &caller(&id, &format!("scopes = [{action:?}]"));
        config += &key.table(&id, &id, "");
    }
    let gateway = Gateway::start(&config).await;
    let (mut allowed, mut cells) = (0, 0);
    for ((action, _), key) in ACTIONS.iter().zip(&keys) {
        let (mut calls, mut catalog) = (gateway.generation(), gateway.catalog());
        let mut callers = CallerServiceClient::new(gateway.channel());
        let id = "one".to_owned();
        let codes = [
            calls.generate(key.sends(hello())).await.map(drop),
            calls.stream_generate(key.sends(hello())).await.map(drop),
            catalog
                .list_models(key.sends(ListModelsRequest::default()))
                .await
                .map(drop),
            catalog
                .list_scenarios(key.sends(ListScenariosRequest::default()))
                .await
                .map(drop),
            catalog
                .get_scenario(key.sends(GetScenarioRequest { id }))
                .await
                .map(drop),
            catalog
                .get_model(key.sends(GetModelRequest {
                    id: "none".to_owned(),
                }))
                .await
                .map(drop),
        ]
        .map(|result| result.err().map_or(Code::Ok, |status| status.code()));
        for (method, code) in codes.into_iter().enumerate() {
            cells += 1;
            let expected = match (*action, method) {
                ("GENERATE", 5) => Code::NotFound,
                ("GENERATE", _) => Code::Ok,
                (_, _) => Code::PermissionDenied,
            };
            allowed += usize::from(code != Code::PermissionDenied);
            assert_eq!(code, expected, "{action}, method {method}");
        }
        callers.who_am_i(key.sends(WhoAmIRequest {})).await.unwrap();
    }
    println!(
        "data methods x actions x kinds: {allowed} of {cells} cells allowed, as the table says"
    );
    assert_eq!(allowed, 6);
}

#[tokio::test]
async fn open_calls_are_counted_by_account_whatever_the_connection_and_the_key() {
    let [a, other_of_a, b] = [(); 3].map(|()| TestKey::data());
    let config = [
        MODELS,
        "[admission]\nmax_inflight_per_caller = 1\n[auth]\nanonymous = 'local'\n",
        &caller("a", ""),
        &caller("b", ""),
        &a.table("k1", "a", ""),
        &other_of_a.table("k2", "a", ""),
        &b.table("k3", "b", ""),
    ]
    .concat();
    let gateway = Gateway::start(&config).await;
    gateway
        .simulator
        .set("first", "hang".parse::<Behaviour>().unwrap());
    let mut client = gateway.generation();
    let open = spawn(async move { client.generate(a.sends(hello())).await });
    gateway
        .simulator
        .wait_for(|requests| requests.len() == 1)
        .await;

    let second = gateway
        .generation()
        .generate(other_of_a.sends(ask("two", "Hello")))
        .await;
    let second = details(&second.unwrap_err());

    assert_eq!(second.reason, "CALLER_RATE_LIMITED");
    gateway
        .generation()
        .generate(b.sends(ask("two", "Hello")))
        .await
        .unwrap();
    gateway.generate(ask("two", "Hello")).await.unwrap();
    drop(open);
}

#[tokio::test]
async fn an_idempotency_key_belongs_to_the_account() {
    let [a, other_of_a, b] = [(); 3].map(|()| TestKey::data());
    let config = [
        MODELS,
        &caller("a", ""),
        &caller("b", ""),
        &a.table("k1", "a", ""),
        &other_of_a.table("k2", "a", ""),
        &b.table("k3", "b", ""),
    ]
    .concat();
    let gateway = Gateway::start(&config).await;
    let mut answers = Vec::new();
    for key in [&a, &other_of_a, &b] {
        let mut request = hello();
        request.idempotency_key = "same".to_owned();
        let answer = gateway
            .generation()
            .generate(key.sends(request))
            .await
            .unwrap();
        answers.push(answer.into_inner().replayed);
    }

    assert_eq!(answers, [false, true, false]);
    assert_eq!(gateway.simulator.requests().len(), 2);
}
