//! Does a running service follow its configuration file, as a whole or not at all, without a call noticing?

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use modelway::config::check::check;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::operations_service_client::OperationsServiceClient;
use modelway::grpc::v1::{
    Breaker, BreakerState, ExplainPlanRequest, GetConfigurationRequest, GetConfigurationResponse,
    ListBreakersRequest, ListModelsRequest, ListScenariosRequest,
};
use modelway::serve::{Service, StartError};
use modelway::server::ListenAddress;
use modelway::simulator::{Behaviour, Fault, RefusalReason, Settings, Simulator, WireName, text};
use ring::digest::{SHA256, digest};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Gateway, Process, ask, collect, details, number_from, scratch, until};

/// Much longer than it takes until a change is noticed.
const PROMPTLY: Duration = Duration::from_secs(30);

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
    let file = scratch::folder(name).join("modelway.toml");
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
        .set("one", Fault::Refuse(RefusalReason::ServerError));
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
        until("the file is used", async || {
            configuration(gateway.operations()).await.running_hash == hash
        })
        .await;
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
    until("the file is refused", async || {
        gateway.configuration().counts().rejected > 0
    })
    .await;
    assert_eq!(gateway.configuration().counts().rejected, 1);
}

#[tokio::test]
async fn a_key_that_another_configuration_names_is_used_by_calls_under_way_and_opens_the_lock() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let folder = scratch::folder("keys");
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
            Fault::Refuse(RefusalReason::Unauthorized).into(),
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
    let file = scratch::folder("sighup").join("modelway.toml");
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
    let until_judged = async |hash: String| {
        until("the file is judged", async || {
            configuration(operations.clone()).await.file_hash == hash
        })
        .await;
    };

    let changed = text.clone() + "[scenarios.t]\ntargets = [\"p/one\"]\n";
    fs::write(&file, &changed).unwrap();
    process.hang_up();
    until_judged(sha256(&changed)).await;
    let broken = changed.clone() + "[scenario.u]\n";
    fs::write(&file, &broken).unwrap();
    process.hang_up();
    until_judged(sha256(&broken)).await;
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

/// Runs the program with 40 streams at a time and ten that last from before the first reload until after the last, and
/// lets it read another configuration `times` times, one after each
/// `pause`. Each configuration differs from the one before in a scenario, the order of targets, a budget and limits.
async fn under_load(name: &str, times: usize, pause: Duration) {
    const STREAMS: usize = 40;
    const LASTING: usize = 10;
    let file = scratch::folder(name).join("modelway.toml");
    let version = |number: usize| {
        let targets = match number % 2 {
            0 => r#"["sim/slow+tokens=30+gap=10ms", "sim/other+tokens=30"]"#,
            _ => r#"["sim/slow+tokens=30+gap=10ms"]"#,
        };
        let burst = 50 + number % 3;
        let most = 500 + number;
        // The providers' time is not what is tried here, and a machine with other work to do may take it all.
        let patient = r#"timeouts = { first_event = "10m", first_content = "10m", byte_idle = "10m", progress_idle = "10m" }"#;
        format!(
            r#"
            [server]
            predrain = "0s"
            runtimes = 2
            [admission]
            max_inflight = {most}
            [reload]
            check_every = "0s"
            [providers.sim]
            simulated = true
            wire_format = "openai_chat"
            [models."sim/slow+tokens=30+gap=10ms"]
            {patient}
            [models."sim/long+tokens=100000+gap=50ms"]
            {patient}
            [models."sim/other+tokens=30"]
            {patient}
            [models."sim/broken"]
            model = "broken+status=500"
            {patient}
            [models."sim/version-{number}"]
            {patient}
            [scenarios.s]
            targets = {targets}
            timeout = "20m"
            max_timeout = "30m"
            [scenarios.s.retry]
            burst = {burst}
            [scenarios.long]
            targets = ["sim/long+tokens=100000+gap=50ms"]
            timeout = "20m"
            max_timeout = "30m"
            [scenarios.spent]
            targets = ["sim/broken", "sim/other+tokens=30"]
            retry.ratio = 0.0
            retry.burst = 20
            [scenarios.version-{number}]
            targets = ["sim/version-{number}"]
            "#
        )
    };
    let write = |number: usize| {
        let (text, beside) = (version(number), file.with_extension("new"));
        fs::write(&beside, &text).unwrap();
        fs::rename(&beside, &file).unwrap();
        sha256(&text)
    };
    write(0);
    let process = Process::serve(Some(&file), &[]);
    let channel = process.connect().await;
    let mut operations = OperationsServiceClient::new(channel.clone());
    let mut client = GenerationServiceClient::new(channel.clone());
    for _ in 0..5 {
        client.generate(ask("spent", "Hello")).await.unwrap();
    }
    let tokens = async |operations: &mut OperationsServiceClient<Channel>| {
        let request = ExplainPlanRequest {
            request: Some(ask("spent", "Hello")),
        };
        let plan = operations.explain_plan(request).await.unwrap().into_inner();
        plan.retry_tokens
    };
    let broken = async |operations: &mut OperationsServiceClient<Channel>| {
        let listed = operations
            .list_breakers(ListBreakersRequest::default())
            .await;
        let breakers = listed.unwrap().into_inner().breakers;
        let broken = breakers
            .into_iter()
            .find(|it| it.model == "sim/broken")
            .unwrap();
        (broken.state_since, broken.opened_total)
    };
    let (tokens_before, broken_before) =
        (tokens(&mut operations).await, broken(&mut operations).await);
    assert!(tokens_before < 20, "{tokens_before}");

    let stop = CancellationToken::new();
    let mut callers = JoinSet::new();
    for _ in 0..STREAMS {
        let (mut client, stop) = (client.clone(), stop.clone());
        callers.spawn(async move {
            let mut calls = 0;
            while !stop.is_cancelled() {
                let stream = client.stream_generate(ask("s", "Hello")).await;
                let streamed = collect(stream.unwrap().into_inner()).await;
                assert!(streamed.failure.is_none(), "{:?}", streamed.failure);
                assert_eq!(streamed.text(), text(30));
                calls += 1;
            }
            calls
        });
    }
    let mut lasting = JoinSet::new();
    for _ in 0..LASTING {
        let (mut client, stop) = (client.clone(), stop.clone());
        let stream = client.stream_generate(ask("long", "Hello")).await;
        let mut stream = stream.unwrap().into_inner();
        lasting.spawn(async move {
            while !stop.is_cancelled() {
                stream
                    .message()
                    .await
                    .expect("it is not cut")
                    .expect("it goes on");
            }
        });
    }
    let mut resident = 0;
    for number in 1..=times {
        let hash = write(number);
        process.hang_up();
        until("the file is used", async || {
            configuration(operations.clone()).await.running_hash == hash
        })
        .await;
        client
            .generate(ask(&format!("version-{number}"), "Hello"))
            .await
            .unwrap();
        if number == times / 4 {
            resident = process.resident_kib();
        }
        // The pace of reloads is part of what is measured.
        tokio::time::sleep(pause).await;
    }
    let grown = process.resident_kib().saturating_sub(resident);
    stop.cancel();
    let calls: usize = callers.join_all().await.into_iter().sum();
    lasting.join_all().await;

    assert!(calls >= STREAMS, "{calls}");
    assert_eq!(tokens(&mut operations).await, tokens_before);
    assert_eq!(broken(&mut operations).await, broken_before);
    assert!(
        grown <= resident / 10 + 8 * 1024,
        "{grown} KiB more than {resident} KiB"
    );
    let rested = async { while configuration(operations.clone()).await.generations != 1 {} };
    timeout(PROMPTLY, rested).await.unwrap();
}

#[tokio::test]
async fn many_reloads_cut_no_stream_change_no_answer_and_leave_nothing_behind() {
    let times = number_from("MODELWAY_RELOADS", 40);
    under_load("often", usize::try_from(times).unwrap(), Duration::ZERO).await;
}

/// `just reload`
#[tokio::test]
#[ignore = "takes a minute"]
async fn a_reload_every_second_for_a_minute_is_noticed_by_no_call() {
    under_load("minute", 60, Duration::from_secs(1)).await;
}

#[tokio::test]
async fn limits_change_for_connections_that_are_open() {
    let (gateway, file, text) = start("limits").await;
    let long = "x".repeat(100 << 10);
    gateway.generate(ask("s", &long)).await.unwrap();

    let short = text.replace("[server]", "[server]\nmax_message_bytes = \"64KiB\"");
    fs::write(&file, short).unwrap();
    assert!(gateway.reload().await);
    let refused = gateway.generate(ask("s", &long)).await.unwrap_err();
    assert!(refused.message().contains("at most 65536"), "{refused}");

    let few = text.clone() + "[requests]\nmax_messages = 1\n";
    fs::write(&file, few).unwrap();
    assert!(gateway.reload().await);
    gateway.generate(ask("s", &long)).await.unwrap();
    let mut two = ask("s", "Hello");
    two.messages.push(two.messages[0].clone());
    let refused = gateway.generate(two).await.unwrap_err();
    assert!(refused.message().contains("max_messages"), "{refused}");

    // Places for calls.
    let slow = Behaviour {
        tokens: 40,
        gap: Duration::from_millis(20),
        ..Behaviour::default()
    };
    let one = text + "[admission]\nmax_inflight = 1\nqueue = 0\n";
    fs::write(&file, one).unwrap();
    assert!(gateway.reload().await);
    gateway.simulator.set("one", slow);
    let mut generation = gateway.generation();
    let open = generation.stream_generate(ask("s", "Hello")).await.unwrap();
    let refused = gateway.generate(ask("s", "Hello")).await.unwrap_err();
    assert_eq!(details(&refused).reason, "OVERLOADED");
    drop(open);
}

#[tokio::test]
async fn limits_change_for_operators_and_probes_too() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let provider = provider(&simulator, "p", "auth = \"none\"");
    let text = format!(
        "{SERVER}[admin]\nlisten = '127.0.0.1:0'\n[probes]\nlisten = '127.0.0.1:0'\n{provider}{}{}",
        model("p/one"),
        scenario("s", &["p/one"]),
    );
    let file = scratch::folder("sides").join("modelway.toml");
    fs::write(&file, &text).unwrap();
    let gateway = Gateway::following(simulator, &file).await;
    let [admin, probes] = [&gateway.admin, &gateway.probes].map(|address| match address {
        Some(ListenAddress::Tcp(address)) => *address,
        other => panic!("{other:?}"),
    });
    let operators = Channel::from_shared(format!("http://{admin}")).unwrap();
    let mut operators = OperationsServiceClient::new(operators.connect().await.unwrap());
    let long = ExplainPlanRequest {
        request: Some(ask("s", &"x".repeat(100 << 10))),
    };
    operators.explain_plan(long.clone()).await.unwrap();

    let limited = text.replace(
        "[server]",
        "[server]\nmax_message_bytes = \"64KiB\"\nfirst_request_timeout = \"200ms\"",
    );
    fs::write(&file, limited).unwrap();
    assert!(gateway.reload().await);

    // The next request, on an open connection.
    let refused = operators.explain_plan(long).await.unwrap_err();
    assert!(refused.message().contains("65536"), "{refused}");
    // The next connection: before, one that says nothing was kept for 10 s.
    for address in [admin, probes] {
        let mut silent = TcpStream::connect(address).await.unwrap();
        let connected = Instant::now();
        silent.read_to_end(&mut Vec::new()).await.unwrap();
        assert!(connected.elapsed() < Duration::from_secs(5), "{address}");
    }
}

#[tokio::test]
async fn the_health_of_scenarios_follows_the_configuration() {
    let (gateway, file, text) = start("health").await;
    let mut health = HealthClient::new(gateway.channel());
    let mut until_known = async |name: &str, known: bool| {
        until(&format!("{name} is known: {known}"), async || {
            let request = HealthCheckRequest {
                service: format!("scenario/{name}"),
            };
            health.check(request).await.is_ok() == known
        })
        .await;
    };
    until_known("s", true).await;

    fs::write(&file, text.clone() + &scenario("t", &["p/one"])).unwrap();
    assert!(gateway.reload().await);
    until_known("t", true).await;
    until_known("s", true).await;

    fs::write(&file, &text).unwrap();
    assert!(gateway.reload().await);
    until_known("t", false).await;
    until_known("s", true).await;
}

/// Spoils a text in one place. What comes out may or may not be a configuration.
fn mutated(text: &str, random: &mut fastrand::Rng) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = random.usize(..lines.len());
    let other = random.usize(..lines.len());
    match random.u8(..6) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines[other].clone()),
        2 => lines.swap(at, other),
        3 => {
            let line = &mut lines[at];
            let place = random.usize(..=line.len());
            if line.is_char_boundary(place) {
                line.truncate(place);
            }
        }
        4 => {
            let value = [
                "0",
                "-1",
                "\"\"",
                "true",
                "[]",
                "\"10s\"",
                "99999999999",
                "{ a = 1 }",
            ];
            if let Some((key, _)) = lines[at].clone().split_once('=') {
                lines[at] = format!("{key}= {}", value[random.usize(..value.len())]);
            }
        }
        _ => {
            if let Some(letter) = lines[at].pop() {
                lines[at].insert(0, letter);
            }
        }
    }
    lines.join("\n")
}

#[tokio::test]
async fn the_check_the_start_and_a_reload_judge_alike() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let folder = scratch::folder("judged");
    let (file, other, key) = (
        folder.join("a.toml"),
        folder.join("b.toml"),
        folder.join("key"),
    );
    fs::write(&key, "key").unwrap();
    let text = [
        "[server]\npredrain = \"0s\"\nruntimes = 0\n".to_owned(),
        "[admission]\nqueue = 5\nmax_wait = \"1s\"\n[retry]\nburst = 5\n".to_owned(),
        "[breaker]\nwindow = \"10s\"\n[transport]\nidle_timeout = \"10s\"\n".to_owned(),
        provider(
            &simulator,
            "p",
            &format!("api_key = \"file:{}\"", key.display()),
        ),
        model("p/one") + "max_output_tokens = 100\n",
        model("p/two"),
        scenario("s", &["p/one", "p/two"]) + "max_attempts = 3\n",
    ]
    .concat();
    fs::write(&file, &text).unwrap();
    let gateway = Gateway::following(simulator, &file).await;
    let mut random = fastrand::Rng::with_seed(number_from("MODELWAY_SEED", 7));
    let mut usable = 0;
    let files = number_from("MODELWAY_MUTATIONS", 300);

    for _ in 0..files {
        let text = mutated(&text, &mut random);
        fs::write(&file, &text).unwrap();
        fs::write(&other, &text).unwrap();

        let (mut out, mut err) = (Vec::new(), Vec::new());
        let anywhere: Option<SocketAddr> = "127.0.0.1:0".parse().ok();
        let code = check(&other, true, &anywhere.into(), &mut out, &mut err).unwrap();
        let checked = code == ExitCode::SUCCESS;
        let started = Service::following(&other, anywhere, &gateway.simulator).await;
        let is_mistake = |error: &StartError| matches!(error, StartError::Config(_));
        let started = !started.err().is_some_and(|error| is_mistake(&error));
        let applied = gateway.reload().await;
        let told = configuration(gateway.operations()).await;
        let reloaded = applied || told.mistakes.is_empty();

        let told = String::from_utf8(err).unwrap();
        assert_eq!((started, reloaded), (checked, checked), "{told}\n{text}");
        usable += u64::from(checked);
    }

    assert!(usable > files / 20 && usable < files, "{usable} of {files}");
}

#[tokio::test]
async fn a_fault_at_any_step_leaves_what_runs_as_it_is() {
    let (gateway, file, text) = start("faults").await;
    let folder = file.parent().unwrap();
    fs::write(folder.join("empty"), "").unwrap();
    fs::write(folder.join("no-ca"), "no certificate").unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    let with = |more: &str| text.replacen("auth = \"none\"", more, 1);
    let table = [
        (
            with(&format!("api_key = \"file:{}\"", path("absent"))),
            "there is no such file",
        ),
        (
            with(&format!("api_key = \"file:{}\"", path("empty"))),
            "is empty",
        ),
        (
            with(&format!("auth = \"none\"\nca_file = \"{}\"", path("no-ca"))),
            "certificate",
        ),
        (with("auth = \"none\"\nproxy = \"ftp://proxy\""), "proxy"),
        (text.clone() + "[nothing]\n", "unknown key"),
        ("\u{0}".to_owned(), "correct the TOML"),
    ];
    let mut generation = gateway.generation();
    gateway.simulator.set(
        "one",
        Behaviour {
            tokens: 100,
            gap: Duration::from_millis(10),
            ..Behaviour::default()
        },
    );
    let open = generation.stream_generate(ask("s", "Hello")).await.unwrap();

    for (broken, expected) in table {
        fs::write(&file, &broken).unwrap();
        assert!(!gateway.reload().await, "{broken}");

        let told = configuration(gateway.operations()).await;
        assert_eq!(
            (&*told.running_hash, &*told.file_hash),
            (&*sha256(&text), &*sha256(&broken))
        );
        let mistakes = format!("{:?}", told.mistakes);
        assert!(mistakes.contains(expected), "{expected}: {mistakes}");
        assert_eq!(told.generations, 1);
    }
    let streamed = collect(open.into_inner()).await;
    assert_eq!(streamed.text(), modelway::simulator::text(100));
}
