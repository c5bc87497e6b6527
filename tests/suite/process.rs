//! Does the program start, refuse and end as an operator expects?

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::simulator::text;
use tokio::time::Instant;

use crate::support::{Process, ask, collect, program};

const SLOW: &str = r#"
[server]
predrain = "0s"
[providers.sim]
simulated = true
wire_format = "openai_chat"
[models."sim/slow"]
model = "slow+tokens=20+gap=20ms"
[scenarios.slow]
targets = ["sim/slow"]
"#;

/// A configuration file in cargo's folder for the tests' files.
fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_good_configuration_passes_the_check() {
    let path = file("good.toml", SLOW);

    let output = run(&["check", path.to_str().unwrap()]);

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_broken_configuration_is_told_every_mistake_and_not_served() {
    let text = SLOW.replace("sim/slow\"]\n", "sim/none\"]\ntimeout = \"soon\"\n");
    let path = file("broken.toml", &text);
    let path = path.to_str().unwrap();

    for arguments in [&["check", path][..], &["serve", "--config", path]] {
        let output = run(arguments);

        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let told = stderr(&output);
        assert!(told.contains("broken.toml:"), "{told}");
        assert!(told.contains("timeout"), "{told}");
        assert!(!told.contains("panicked"), "{told}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    for arguments in [
        &["check", "no-such-file.toml"][..],
        &["serve", "--config", "no-such-file.toml"],
    ] {
        let output = run(arguments);

        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains("no-such-file.toml"));
    }
}

#[test]
fn an_address_in_use_is_a_clear_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let output = run(&["serve", "--listen", &address]);

    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(
        told.contains(&format!("cannot listen on {address}")),
        "{told}"
    );
    assert!(told.contains("--listen"), "{told}");
}

#[test]
fn a_log_filter_that_cannot_be_read_is_a_clear_error() {
    let mut command = program();
    command.args(["serve", "--listen", "127.0.0.1:0"]);

    let output = command.env("RUST_LOG", "modelway=loud").output().unwrap();

    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("RUST_LOG"), "{}", stderr(&output));
}

#[tokio::test]
async fn open_calls_end_well_after_the_signal_to_stop() {
    let process = Process::serve(Some(&file("slow.toml", SLOW)), &[]);
    let address = process.address;
    let mut client = GenerationServiceClient::new(process.connect().await);
    let open = client.stream_generate(ask("slow", "Hello")).await.unwrap();

    process.terminate();
    let streamed = collect(open.into_inner()).await;
    drop(client);
    let (status, log) = process.ended().await;

    assert_eq!(streamed.text(), text(20));
    assert!(streamed.failure.is_none());
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("draining"), "{log}");
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let process = Process::serve(None, &[]);
    let mut client = GenerationServiceClient::new(process.connect().await);
    client.generate(ask("general", "Hello")).await.unwrap();

    process.terminate();
    let (status, log) = process.ended().await;

    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("cut off"), "{log}");
}

/// How often the threads of a process have gone to sleep and were woken up again.
fn wake_ups(process: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of_task = |task: std::io::Result<std::fs::DirEntry>| {
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    tasks.map(of_task).sum()
}

#[tokio::test]
async fn a_service_without_calls_sleeps() {
    const WATCHED: Duration = Duration::from_secs(5);
    let process = Process::serve(None, &[]);
    let mut client = GenerationServiceClient::new(process.connect().await);
    client.generate(ask("general", "Hello")).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);

    loop {
        let before = wake_ups(process.id());
        // The time itself is what is measured in.
        tokio::time::sleep(WATCHED).await;
        let count = wake_ups(process.id()) - before;
        println!("{count} wake-ups in {WATCHED:?}");
        if count < 150 {
            break;
        }
        assert!(Instant::now() < deadline, "{count} wake-ups in {WATCHED:?}");
    }

    // And it is awake as soon as it is needed.
    client.generate(ask("general", "Hello")).await.unwrap();
}
