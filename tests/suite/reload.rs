//! Does a running service follow its configuration file, as a whole or not at all, without a call noticing?

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use modelway::grpc::v1::operations_service_client::OperationsServiceClient;
use modelway::grpc::v1::{
    Breaker, BreakerState, GetConfigurationRequest, GetConfigurationResponse, ListBreakersRequest,
    ListModelsRequest, ListScenariosRequest,
};
use modelway::simulator::{Behaviour, Fault, Refusal, Settings, Simulator, WireName, text};
use ring::digest::{SHA256, digest};
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::{Gateway, Process, ask, collect, details};

/// Much longer than it takes until a change is noticed.
const PROMPTLY: Duration = Duration::from_secs(30);

/// A folder of its own, which nothing is in.
fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("reload-{name}"));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// A provider that the simulator plays, with this key, under this name.
fn provider(simulator: &Simulator, name: &str, key: &str) -> String {
    let url = simulator.base_url(WireName::OpenAiChat);
    format!("[providers.{name}]\nwire_format = \"openai_chat\"\nbase_url = \"{url}\"\n{key}\n")
}

fn model(id: &str) -> String {
    format!("[models.{id:?}]\n")
}

fn scenario(name: &str, targets: &[&str]) -> String {
    format!("[scenarios.{name}]\ntargets = {targets:?}\n")
}

const SERVER: &str = "[server]\npredrain = \"0s\"\nruntimes = 2\n";

/// A service that follows a file with one model in one scenario `s`.
async fn start(name: &str) -> (Gateway, PathBuf, String) {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let text = [
        SERVER.to_owned(),
        provider(&simulator, "p", "auth = \"none\""),
        model("p/one"),
        scenario("s", &["p/one"]),
    ]
    .concat();
    let file = folder(name).join("modelway.toml");
    fs::write(&file, &text).unwrap();
    (Gateway::following(simulator, &file).await, file, text)
}

async fn configuration(
    mut operations: OperationsServiceClient<Channel>,
) -> GetConfigurationResponse {
    let told = operations
        .get_configuration(GetConfigurationRequest {})
        .await;
    told.unwrap().into_inner()
}

fn sha256(text: &str) -> String {
    let hash = digest(&SHA256, text.as_bytes());
    hash.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

async fn breaker(gateway: &Gateway, model: &str) -> Breaker {
    let request = ListBreakersRequest::default();
    let listed = gateway.operations().list_breakers(request).await.unwrap();
    let breakers = listed.into_inner().breakers;
    let found = breakers.into_iter().find(|breaker| breaker.model == model);
    found.unwrap_or_else(|| panic!("there is no breaker of {model}"))
}

#[tokio::test]
async fn targets_come_go_and_change_their_order_without_a_restart() {
    let (gateway, file, text) = start("targets").await;
    gateway.generate(ask("s", "Hello")).await.unwrap();

    // A model and a scenario come, and the order of targets changes.
    let more = [
        text.replace("[\"p/one\"]", "[\"p/two\", \"p/one\"]"),
        model("p/two"),
        scenario("t", &["p/one"]),
    ]
    .concat();
    fs::write(&file, &more).unwrap();
    assert!(gateway.reload().await);
    let answer = gateway.generate(ask("s", "Hello")).await.unwrap();
    assert_eq!(answer.attempts[0].model, "two");
    gateway.generate(ask("t", "Hello")).await.unwrap();
    let mut catalog = gateway.catalog();
    let scenarios = catalog.list_scenarios(ListScenariosRequest::default());
    assert_eq!(scenarios.await.unwrap().into_inner().scenarios.len(), 2);

    // They go.
    fs::write(&file, &text).unwrap();
    assert!(gateway.reload().await);
    let gone = gateway.generate(ask("t", "Hello")).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    let answer = gateway.generate(ask("s", "Hello")).await.unwrap();
    assert_eq!(answer.attempts[0].model, "one");
    let models = catalog.list_models(ListModelsRequest::default());
    assert_eq!(models.await.unwrap().into_inner().models.len(), 1);
}

#[tokio::test]
async fn a_call_under_way_keeps_the_configuration_that_it_began_with() {
    let (gateway, file, before) = start("under-way").await;
    let slow = Behaviour {
        tokens: 40,
        gap: Duration::from_millis(20),
        ..Behaviour::default()
    };
    gateway.simulator.set("one", slow);
    let open = gateway
        .generation()
        .stream_generate(ask("s", "Hello"))
        .await
        .unwrap();

    // Its scenario and its target are gone.
    let other = before
        .replace("p/one", "p/two")
        .replace("scenarios.s", "scenarios.t");
    fs::write(&file, &other).unwrap();
    assert!(gateway.reload().await);
    assert_eq!(configuration(gateway.operations()).await.generations, 2);
    let streamed = collect(open.into_inner()).await;

    assert!(streamed.failure.is_none(), "{:?}", streamed.failure);
    assert_eq!(streamed.text(), text(40));
    let rested = async { while configuration(gateway.operations()).await.generations != 1 {} };
    timeout(PROMPTLY, rested).await.unwrap();
}

#[tokio::test]
async fn what_was_learnt_about_a_model_outlives_every_change_that_leaves_the_model_as_it_is() {
    let (gateway, file, text) = start("learnt").await;
    gateway
        .simulator
        .set("one", Fault::Refuse(Refusal::ServerError));
    while breaker(&gateway, "p/one").await.state() != BreakerState::Open {
        gateway.generate(ask("s", "Hello")).await.unwrap_err();
    }
    let before = breaker(&gateway, "p/one").await;

    let other = [
        text.clone(),
        model("p/two"),
        scenario("t", &["p/two", "p/one"]),
        "[breaker]\nopen_max = \"13s\"\n[retry]\nburst = 7\n".to_owned(),
    ]
    .concat();
    fs::write(&file, other).unwrap();
    assert!(gateway.reload().await);

    let after = breaker(&gateway, "p/one").await;
    assert_eq!(
        (
            after.state,
            after.state_since,
            after.opened_total,
            after.next_probe_time
        ),
        (
            before.state,
            before.state_since,
            before.opened_total,
            before.next_probe_time
        )
    );

    // Another name at the provider is another model.
    let renamed = text.replace(
        "[models.\"p/one\"]",
        "[models.\"p/one\"]\nmodel = \"other\"",
    );
    fs::write(&file, renamed).unwrap();
    assert!(gateway.reload().await);
    assert_eq!(
        breaker(&gateway, "p/one").await.state(),
        BreakerState::Closed
    );
    gateway.generate(ask("s", "Hello")).await.unwrap();
}

#[tokio::test]
async fn a_file_with_mistakes_changes_nothing_and_is_told_beside_what_runs() {
    let (gateway, file, text) = start("mistakes").await;
    let running = configuration(gateway.operations()).await;
    assert_eq!(running.running_hash, sha256(&text));
    assert_eq!(running.file_hash, sha256(&text));
    assert!(!running.rejected);

    let broken = text.replace("p/one\"]\n", "p/none\"]\ntimeout = \"soon\"\n");
    let broken = broken.replacen("p/none", "p/one", 1);
    for (broken, expected) in [
        ("[scenarios", "correct the TOML"),
        (&*broken, "`p/none`"),
        ("", "there is no scenario"),
    ] {
        fs::write(&file, broken).unwrap();
        assert!(!gateway.reload().await);

        let told = configuration(gateway.operations()).await;
        assert_eq!(told.running_hash, sha256(&text));
        assert_eq!(told.running_since, running.running_since);
        assert_eq!(told.file_hash, sha256(broken));
        assert!(told.rejected);
        let mistakes = format!("{:?}", told.mistakes);
        assert!(mistakes.contains(expected), "{mistakes}");
        gateway.generate(ask("s", "Hello")).await.unwrap();
    }

    fs::remove_file(&file).unwrap();
    assert!(!gateway.reload().await);
    let told = configuration(gateway.operations()).await;
    assert_eq!(told.file_hash, "");
    assert!(told.mistakes[0].what.contains("cannot be read"), "{told:?}");

    fs::write(&file, &text).unwrap();
    assert!(gateway.reload().await);
    assert!(!configuration(gateway.operations()).await.rejected);
}

#[tokio::test]
async fn a_file_that_changes_what_needs_a_restart_is_refused_as_a_whole() {
    let (gateway, file, text) = start("restart-only").await;
    let table = [
        ("runtimes = 2", "runtimes = 1", "server.runtimes"),
        (
            "[server]",
            "[probes]
listen = \"127.0.0.1:1\"
[server]",
            "probes.listen",
        ),
        (
            "[models.",
            "[providers.q]\nsimulated = true\nwire_format = \"gemini\"\n[models.",
            "providers.*.simulated",
        ),
    ];
    for (before, after, key) in table {
        let changed = text.replacen(before, after, 1) + &scenario("t", &["p/one"]);
        fs::write(&file, &changed).unwrap();

        assert!(!gateway.reload().await, "{key}");

        let told = configuration(gateway.operations()).await;
        assert_eq!(told.restart_needed, [key]);
        assert!(told.rejected && told.mistakes.is_empty());
        assert_eq!(told.running_hash, sha256(&text));
        let absent = gateway.generate(ask("t", "Hello")).await.unwrap_err();
        assert_eq!(absent.code(), Code::NotFound);
    }
}

#[tokio::test]
async fn a_change_of_the_file_is_noticed_without_being_asked_for() {
    let (gateway, file, text) = start("noticed").await;
    let with = |name: &str| text.clone() + &scenario(name, &["p/one"]);
    let until_runs = async |hash: String| {
        let runs = async {
            while configuration(gateway.operations()).await.running_hash != hash {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PROMPTLY, runs).await.expect("the file is used");
    };
    fs::write(
        &file,
        with("a").replace("[server]", "[reload]\ncheck_every = \"200ms\"\n[server]"),
    )
    .unwrap();
    assert!(gateway.reload().await);

    let next = with("b").replace("[server]", "[reload]\ncheck_every = \"200ms\"\n[server]");
    let beside = file.with_extension("new");
    fs::write(&beside, &next).unwrap();
    fs::rename(&beside, &file).unwrap();
    until_runs(sha256(&next)).await;

    gateway.generate(ask("b", "Hello")).await.unwrap();
    let told = configuration(gateway.operations()).await;
    assert!(told.file_checked_time.is_some());
    // What was refused is not judged again and again.
    fs::write(&file, "broken").unwrap();
    let refused = async {
        while gateway.configuration().counts().rejected == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PROMPTLY, refused).await.unwrap();
    assert_eq!(gateway.configuration().counts().rejected, 1);
}

#[tokio::test]
async fn a_key_that_another_configuration_names_is_used_by_calls_under_way_and_opens_the_lock() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let folder = folder("keys");
    let (old, new) = (folder.join("old"), folder.join("new"));
    fs::write(&old, "old-key").unwrap();
    fs::write(&new, "new-key").unwrap();
    let text = |key: &Path| {
        [
            SERVER.to_owned(),
            "[credential_lock]\nbase = \"1h\"\nmax = \"1h\"\n".to_owned(),
            provider(
                &simulator,
                "p",
                &format!("api_key = \"file:{}\"", key.display()),
            ),
            model("p/one"),
            scenario("s", &["p/one"]),
        ]
        .concat()
    };
    let file = folder.join("modelway.toml");
    let (first, second) = (text(&old), text(&new));
    fs::write(&file, first).unwrap();
    let gateway = Gateway::following(simulator, &file).await;
    let before = configuration(gateway.operations()).await.secrets;
    assert_eq!(before[0].name, "providers.p authorization");
    gateway.simulator.script(
        "one",
        [
            Fault::Refuse(Refusal::Unauthorized).into(),
            Behaviour::default(),
        ],
    );
    gateway.generate(ask("s", "Hello")).await.unwrap_err();
    let locked = gateway.generate(ask("s", "Hello")).await.unwrap_err();
    assert!(
        details(&locked).reason.contains("NO_PROVIDER"),
        "{locked:?}"
    );

    fs::write(&file, second).unwrap();
    assert!(gateway.reload().await);

    gateway.generate(ask("s", "Hello")).await.unwrap();
    let received = gateway.simulator.requests().pop().unwrap();
    assert_eq!(received.header("authorization"), Some("Bearer new-key"));
    let after = configuration(gateway.operations()).await.secrets;
    assert!(after[0].changed_time.unwrap().seconds >= before[0].changed_time.unwrap().seconds);
    assert_ne!(after[0].changed_time, before[0].changed_time);
}

#[tokio::test]
async fn the_program_reads_its_file_again_on_sighup_and_says_what_changed() {
    let file = folder("sighup").join("modelway.toml");
    let text = [
        SERVER,
        "[reload]\ncheck_every = \"0s\"\n",
        "[providers.p]\nsimulated = true\nwire_format = \"openai_chat\"\n",
        "[models.\"p/one\"]\n[scenarios.s]\ntargets = [\"p/one\"]\n",
    ]
    .concat();
    fs::write(&file, &text).unwrap();
    let process = Process::serve(Some(&file), &[]);
    let operations = OperationsServiceClient::new(process.connect().await);
    let until = async |hash: String| {
        let told = async {
            while configuration(operations.clone()).await.file_hash != hash {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PROMPTLY, told).await.unwrap();
    };

    let changed = text.clone() + "[scenarios.t]\ntargets = [\"p/one\"]\n";
    fs::write(&file, &changed).unwrap();
    process.hang_up();
    until(sha256(&changed)).await;
    let broken = changed.clone() + "[scenario.u]\n";
    fs::write(&file, &broken).unwrap();
    process.hang_up();
    until(sha256(&broken)).await;
    let told = configuration(operations.clone()).await;
    assert_eq!(told.running_hash, sha256(&changed));

    drop(operations);
    process.terminate();
    let (_, log) = process.ended().await;
    assert!(log.contains("configuration applied"), "{log}");
    assert!(log.contains("+ scenario t"), "{log}");
    assert!(log.contains("configuration refused"), "{log}");
    assert!(log.contains("scenario: unknown key"), "{log}");
}
