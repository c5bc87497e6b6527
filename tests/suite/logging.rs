//! Does logging, or printing, ever stop the program? It must not, whoever reads it or does not.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;

use crate::support::{EVERYTHING, ask, nobody, program, scratch, without_settings};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(30);

const CONFIG: &str = r#"
[server]
predrain = "0s"
[providers.sim]
simulated = true
wire_format = "openai_chat"
[models."sim/quick"]
model = "quick+tokens=1"
[scenarios.quick]
targets = ["sim/quick"]
"#;

fn config(name: &str, text: &str) -> String {
    let path = scratch::file(&format!("{name}.toml"), text);
    path.to_str().unwrap().to_owned()
}

/// The program, killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(sent.success());
    }

    async fn ended(&mut self) -> ExitStatus {
        let ended = async {
            loop {
                if let Some(status) = self.0.try_wait().unwrap() {
                    return status;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PROMPTLY, ended).await.expect("it ends")
    }
}

/// Connects as soon as somebody listens.
async fn connect(address: SocketAddr) -> GenerationServiceClient<Channel> {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    let connected = async {
        loop {
            if let Ok(channel) = endpoint.connect().await {
                return channel;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    GenerationServiceClient::new(timeout(PROMPTLY, connected).await.expect("it listens"))
}

async fn generate(client: &mut GenerationServiceClient<Channel>) {
    let answer = timeout(PROMPTLY, client.generate(ask("quick", "Hello"))).await;
    answer.expect("an answer").unwrap();
}

/// The status and the body of the answer to a GET by HTTP/1.1.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answered = async {
        let url = format!("http://{address}{path}");
        let answer = reqwest::get(url).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    timeout(PROMPTLY, answered).await.expect("an answer")
}

/// How many lines had this fate, as the metrics show it.
async fn counted(probes: SocketAddr, fate: &str) -> u64 {
    let (_, metrics) = get(probes, "/metrics").await;
    let series = format!("modelway_log_lines_total{{fate={fate:?}}} ");
    let mut values = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(&series));
    values.next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_log_that_is_stopped_stops_no_call_and_no_probe_and_is_told_what_was_lost()
{
    const LINES: u64 = 100_000;
    let (address, probes) = (nobody(), nobody());
    let config = config("unread", CONFIG);
    let mut command = program();
    let child = command
        .args(["serve", "--admin-listen", "none"])
        .args(["--probes-listen", &probes.to_string()])
        .args(["--listen", &address.to_string(), "--config"])
        .arg(config)
        .env("RUST_LOG", EVERYTHING)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let mut reader = Command::new("cat")
        .stdin(running.0.stderr.take().unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .map(Running)
        .unwrap();
    let read = reader.0.stdout.take().unwrap();
    reader.signal("-STOP");
    let mut client = connect(address).await;

    // More than a hundred lines each.
    for _ in 0..1000 {
        generate(&mut client).await;
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(get(probes, path).await.0, 200, "{path}");
    }

    // It goes on after all.
    reader.signal("-CONT");
    let is_told = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_told);
    let reading = spawn_blocking(move || {
        let mut log = String::new();
        let mut lines = BufReader::new(read);
        while lines.read_line(&mut log).unwrap() > 0 {
            let last = log.lines().next_back().unwrap();
            if last.contains("log lines were lost") {
                told.store(true, Ordering::Relaxed);
            }
        }
        log
    });
    // Once the loss is told, there is room again.
    let roomy = async {
        while !is_told.load(Ordering::Relaxed) {
            generate(&mut client).await;
        }
    };
    timeout(PROMPTLY, roomy).await.expect("the loss is told");
    drop(client);
    let counted = counted(probes, "lost").await;
    running.signal("-TERM");
    assert_eq!(running.ended().await.code(), Some(0));
    let log = timeout(PROMPTLY, reading).await.unwrap().unwrap();
    let told = log
        .lines()
        .filter(|line| line.contains("log lines were lost"));
    let lost: u64 = told
        .map(|line| {
            let number = line.split("lines=").nth(1).unwrap();
            number
                .split_whitespace()
                .next()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
        .sum();
    let read = log.lines().count() as u64;
    println!("{read} lines read, {lost} lost");
    assert!(lost > 0 && read + lost >= LINES, "{read} read, {lost} lost");
    assert_eq!(lost, counted, "what is told is what is counted");
    assert!(log.contains("draining"), "the last lines are written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pipe_holds_up_neither_the_end_nor_the_word_why_it_does_not_start() {
    let address = nobody();
    let mut command = program();
    let child = command
        .args(["serve", "--admin-listen", "none"])
        .args(["--listen", &address.to_string(), "--config"])
        .arg(config("full", CONFIG))
        .env("RUST_LOG", EVERYTHING)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let mut client = connect(address).await;
    for _ in 0..50 {
        generate(&mut client).await;
    }
    drop(client);

    running.signal("-TERM");
    assert_eq!(running.ended().await.code(), Some(0));

    // Far more mistakes than a pipe holds.
    let many: String = (0..20_000).map(|i| format!("unknown{i} = 1\n")).collect();
    let child = program()
        .args(["serve", "--config"])
        .arg(config("mistakes", &many))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(Running(child).ended().await.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_streams_that_are_closed_stop_nothing() {
    for closed in [">&-", "2>&-", ">&- 2>&- <&-", ">/dev/full 2>/dev/full"] {
        let address = nobody();
        let path = config("closed", CONFIG);
        let binary = env!("CARGO_BIN_EXE_modelway");
        let line = format!("exec {binary} serve --listen {address} --config {path} {closed}");
        let child = without_settings("sh").args(["-c", &line]).spawn().unwrap();
        let mut running = Running(child);

        let mut client = connect(address).await;
        generate(&mut client).await;

        drop(client);
        running.signal("-TERM");
        assert_eq!(running.ended().await.code(), Some(0), "{closed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_gone_stops_nothing() {
    let address = nobody();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = program()
        .args(["serve", "--admin-listen", "none"])
        .args(["--listen", &address.to_string(), "--config"])
        .arg(config("gone", CONFIG))
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .spawn()
        .unwrap();
    let mut running = Running(child);

    let mut client = connect(address).await;
    generate(&mut client).await;

    drop(client);
    running.signal("-TERM");
    assert_eq!(running.ended().await.code(), Some(0));
}

/// How the program ends with this standard output.
fn end(arguments: &[&str], stdout: impl Into<Stdio>) -> (Option<i32>, String) {
    let output = program()
        .args(arguments)
        .stdout(stdout)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), stderr)
}

#[test]
fn the_exit_code_of_a_check_is_right_even_if_its_output_is_not_read() {
    let good = config("good", CONFIG);
    let broken = config("broken", "[server]\nlisten = 1\n");
    let gone = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };

    let (code, told) = end(&["check", &good], gone());
    assert_eq!((code, told.as_str()), (Some(0), ""));
    let (code, told) = end(&["check", &broken], gone());
    assert_eq!(code, Some(2));
    assert!(told.contains("listen"), "{told}");
    for arguments in [&["--help"][..], &["--version"], &["check", "--help"]] {
        assert_eq!(end(arguments, gone()), (Some(0), String::new()));
    }
    // A full disk is reported.
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (code, told) = end(&["check", &good], full);
    assert_eq!(code, Some(1), "{told}");
    assert!(!told.contains("panicked") && !told.is_empty(), "{told}");
}

#[test]
fn a_demonstration_whose_output_is_not_read_ends_without_a_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);

    let (code, told) = end(&["demo", "--fast"], writer);

    assert_eq!(code, Some(1));
    assert!(told.contains("standard output cannot be written"), "{told}");
    assert!(!told.contains("panicked"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_is_gone_is_no_reason_to_stop_and_quitting_ends_well() {
    let child = program()
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(config("signals", CONFIG))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let mut banner = String::new();
    let stdout = running.0.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut banner).unwrap();
    let address = banner.trim().rsplit(' ').next().unwrap().parse().unwrap();
    let mut client = connect(address).await;

    for _ in 0..3 {
        running.signal("-HUP");
        generate(&mut client).await;
    }
    drop(client);
    running.signal("-QUIT");

    assert_eq!(running.ended().await.code(), Some(0));
    let mut log = String::new();
    running
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    assert!(log.contains("configuration unchanged"), "{log}");
    assert!(log.contains("draining"), "{log}");
}
