//! `modelway health`.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use modelway::server::ListenAddress;
use modelway::simulator::{Settings, Simulator};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{finish, run};
use crate::support::foreign::authority::{Authority, Purpose};
use crate::support::{Gateway, ONE_MODEL, Process, nobody, program, scratch};

fn tcp(address: &Option<ListenAddress>) -> String {
    match address {
        Some(ListenAddress::Tcp(address)) => address.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_listener_tells_the_health_of_the_service_and_of_its_names() {
    let config = format!("[probes]\nlisten = '127.0.0.1:0'\n{ONE_MODEL}");
    let gateway = Gateway::start(&config).await;
    let public = gateway.address.to_string();
    for address in [public, tcp(&gateway.admin), tcp(&gateway.probes)] {
        for (name, code) in [
            ("", 0),
            ("live", 0),
            ("scenario/one", 0),
            ("scenario/none", 1),
        ] {
            let done = run(&["health", "--address", &address, "--service", name]).await;

            assert_eq!(done.code, Some(code), "{address} {name} {done:?}");
            assert_eq!(done.err.is_empty(), code == 0, "{done:?}");
        }
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_or_says_nothing_is_no_answer() {
    let refused = nobody().to_string();
    // It accepts and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute_address = mute.local_addr().unwrap().to_string();
    for address in [&refused, &mute_address] {
        let began = Instant::now();

        let done = run(&["health", "--address", address]).await;

        assert_eq!(done.code, Some(3), "{done:?}");
        let expected = format!("{address} does not answer: ");
        assert!(done.err.starts_with(&expected), "{done:?}");
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn a_service_that_starts_is_waited_for() {
    let address = nobody().to_string();
    let mut waiting = program();
    waiting.args(["health", "--address", &address, "--wait", "30s"]);
    let mut waits = JoinSet::new();
    waits.spawn(finish(waiting, b""));
    tokio::task::yield_now().await;
    let process = Process::serve(None, &[("MODELWAY_PROBES_LISTEN", &address)]);

    let done = waits.join_next().await.unwrap().unwrap();

    assert_eq!(done.code, Some(0), "{done:?}");
    drop(process);
    let done = run(&["health", "--address", &address, "--wait", "300ms"]).await;
    assert_eq!(done.code, Some(3), "{done:?}");
}

#[tokio::test]
async fn the_address_is_that_of_the_environment_or_of_the_configuration_even_if_that_has_mistakes()
{
    let config = format!("[probes]\nlisten = '127.0.0.1:0'\n{ONE_MODEL}");
    let gateway = Gateway::start(&config).await;
    let (probes, public) = (tcp(&gateway.probes), gateway.address.to_string());
    let of_file = format!("[admin]\nlisten = 'none'\n[probes]\nlisten = '{probes}'\n[nonsense]\n");
    let of_file = scratch::file("health-probes.toml", &of_file);
    let of_server = format!("[server]\nlisten = '{public}'\n[admin]\nlisten = 'none'\n");
    let of_server = scratch::file("health-server.toml", &of_server);
    let (of_file, of_server) = (of_file.to_str().unwrap(), of_server.to_str().unwrap());
    for variables in [
        &[("MODELWAY_PROBES_LISTEN", &*probes)][..],
        &[
            ("MODELWAY_ADMIN_LISTEN", "none"),
            ("MODELWAY_LISTEN", &public),
        ],
        &[("MODELWAY_CONFIG", of_file)],
        &[("MODELWAY_CONFIG", of_server)],
    ] {
        let mut command = program();
        command.arg("health").envs(variables.iter().copied());
        let done = finish(command, b"").await;
        assert_eq!(done.code, Some(0), "{variables:?} {done:?}");
    }
    // A variable that holds a secret of the configuration may have any name.
    let with_key = format!(
        "[probes]\nlisten = '{probes}'\n[providers.p]\napi_key = 'env:MODELWAY_TEAM_KEY'\n"
    );
    let with_key = scratch::file("health-key.toml", &with_key);
    let mut command = program();
    command.arg("health").arg("--config").arg(&with_key);
    command.env("MODELWAY_TEAM_KEY", "k");
    let done = finish(command, b"").await;
    assert_eq!(done.code, Some(0), "{done:?}");

    let mut command = program();
    command.arg("health").env("MODELWAY_PROBE_LISTEN", &probes);
    let done = finish(command, b"").await;
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(
        done.err.contains("did you mean `MODELWAY_PROBES_LISTEN`?"),
        "{done:?}"
    );
}

#[tokio::test]
async fn a_listener_with_tls_is_asked_with_its_authority() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (cert, key) = authority.issue(Purpose::Server).files();
    let text = format!(
        "[server]\npredrain = '0s'\n[server.tls]\ncert = {cert:?}\nkey = {key:?}\n{ONE_MODEL}\n\
         [providers.openai]\nsimulated = true\nwire_format = 'openai_chat'\n"
    );
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let gateway = Gateway::before(simulator, &text).await;
    let address = gateway.address.to_string();
    let by = |ca: PathBuf| {
        let (address, ca) = (address.clone(), ca.to_str().unwrap().to_owned());
        async move { run(&["health", "--address", &address, "--ca", &ca]).await }
    };

    let done = by(authority.file()).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let done = by(other.file()).await;
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(
        done.err.contains("authority that is not trusted"),
        "{done:?}"
    );
    let done = run(&["health", "--address", &address]).await;
    assert_eq!(done.code, Some(3), "{done:?}");

    let ca = authority.file();
    let ca = ca.to_str().unwrap();
    let call = ["call", "one", "Hello", "--address", &address, "--ca", ca];
    let done = run(&call).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let named = [&call[..], &["--server-name", "localhost"]].concat();
    assert_eq!(run(&named).await.code, Some(0));
    let named = [&call[..], &["--server-name", "elsewhere.example"]].concat();
    let done = run(&named).await;
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.err.contains("for another host"), "{done:?}");
}
