//! Does the program start, refuse and end as an operator expects?

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::serve::Service;
use modelway::simulator::text;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::Channel;

use crate::support::{EVERYTHING, Process, ask, collect, program, scratch, without_settings};

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

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_good_configuration_passes_the_check() {
    let path = scratch::file("good.toml", SLOW);

    let output = run(&["check", path.to_str().unwrap()]);

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[tokio::test]
async fn who_may_call_is_said_by_the_check_and_by_the_first_lines() {
    let data = scratch::path("data");
    let governed = format!(
        "{SLOW}
        [ledger]
        path = {data:?}
        [[accounts]]
        id = 'search-api'
        kind = 'caller'
        [[limits]]
        id = 'a-day'
        requests = 100
        window = 'day'"
    );
    for (name, text, said, shown) in [
        (
            "open.toml",
            SLOW,
            "calls without a credential: as `local`\n",
            "grpcurl -plaintext -d ",
        ),
        (
            "governed.toml",
            &governed,
            "calls without a credential: refused\naccounts: 1, with 0 keys in this file\n",
            "grpcurl -plaintext -H \"authorization: Bearer $MODELWAY_API_KEY\" -d ",
        ),
    ] {
        let path = scratch::file(name, text);

        let checked = run(&["check", path.to_str().unwrap()]);
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let service = Service::start(Some(&path), Some(anywhere)).await.unwrap();

        let checked = String::from_utf8(checked.stdout).unwrap();
        assert!(checked.contains(said), "{checked}");
        assert!(service.banner().contains(shown), "{}", service.banner());
        if text == governed {
            assert!(
                checked.contains(&format!(
                    "ledger and keys: in `{}`\nlimits: a-day\n",
                    data.display()
                )),
                "{checked}"
            );
        }
    }
}

#[test]
fn a_check_whose_result_cannot_be_written_says_so() {
    let path = scratch::file("good-for-nobody.toml", SLOW);
    let full = std::fs::File::options().write(true).open("/dev/full");
    let mut check = program();
    check.args(["check", path.to_str().unwrap()]);

    let output = check.stdout(full.unwrap()).output().unwrap();

    assert_eq!(output.status.code(), Some(1));
    let expected = format!(
        "the result of checking `{}` cannot be written: No space left on device",
        path.display()
    );
    let told = stderr(&output);
    assert!(told.starts_with(&expected), "{told}");
}

#[test]
fn a_broken_configuration_is_told_every_mistake_and_not_served() {
    let text = SLOW.replace("sim/slow\"]\n", "sim/none\"]\ntimeout = \"soon\"\n");
    let path = scratch::file("broken.toml", &text);
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

    assert_eq!(output.status.code(), Some(2));
    for word in ["RUST_LOG", "info,modelway=debug"] {
        assert!(stderr(&output).contains(word), "{}", stderr(&output));
    }
}

#[tokio::test]
async fn the_call_that_the_first_lines_show_is_answered() {
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let service = Service::start(None, Some(anywhere)).await.unwrap();
    let (banner, address) = (service.banner(), service.address());
    let shown = banner.split(r#""scenario":""#).nth(1).unwrap();
    let (scenario, _) = shown.split_once('"').unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(service.run(std::future::pending()));
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    let mut client = GenerationServiceClient::new(channel.connect_lazy());

    client.generate(ask(scenario, "Hello")).await.unwrap();
}

#[tokio::test]
async fn open_calls_end_well_after_the_signal_to_stop() {
    let process = Process::serve(Some(&scratch::file("slow.toml", SLOW)), &[]);
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
fn wake_ups(process: &Process) -> u64 {
    let of_task = |(_, task): (String, PathBuf)| {
        let status = std::fs::read_to_string(task.join("status")).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    process.threads().into_iter().map(of_task).sum()
}

#[tokio::test]
async fn a_service_without_calls_sleeps() {
    const WATCHED: Duration = Duration::from_secs(5);
    let process = Process::serve(None, &[]);
    let mut client = GenerationServiceClient::new(process.connect().await);
    client.generate(ask("general", "Hello")).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);

    loop {
        let before = wake_ups(&process);
        // The time itself is what is measured in.
        tokio::time::sleep(WATCHED).await;
        let count = wake_ups(&process) - before;
        println!("{count} wake-ups in {WATCHED:?}");
        if count < 150 {
            break;
        }
        assert!(Instant::now() < deadline, "{count} wake-ups in {WATCHED:?}");
    }

    // And it is awake as soon as it is needed.
    client.generate(ask("general", "Hello")).await.unwrap();
}

#[test]
fn what_is_no_configuration_is_refused_soon_and_clearly() {
    let folder = scratch::folder("hostile");
    let pipe = folder.join("pipe.toml");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let huge = folder.join("huge.toml");
    std::fs::File::create(&huge)
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let binary = folder.join("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe]).unwrap();
    let table = [
        (Path::new("/dev/zero"), "neither a file nor a pipe"),
        (Path::new("/dev/null"), "neither a file nor a pipe"),
        (&folder, "it is a directory"),
        (&pipe, "within 5 s"),
        (&huge, "larger than 16 MiB"),
        (&binary, "not UTF-8"),
    ];
    for (path, why) in table {
        let path = path.to_str().unwrap();
        for arguments in [&["check", path][..], &["serve", "--config", path]] {
            let began = Instant::now();

            let output = run(arguments);

            let told = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{path}: {told}");
            assert!(told.contains(why) && told.contains(path), "{told}");
            assert!(began.elapsed() < Duration::from_secs(60), "{path}");
        }
    }
    // The same for the files that a configuration names.
    let text = r#"
        [providers.p]
        wire_format = "openai_chat"
        base_url = "https://example.com/v1"
        api_key = "file:/dev/zero"
        [models."p/m"]
        [scenarios.s]
        targets = ["p/m"]
    "#;
    let output = run(&[
        "check",
        scratch::file("device.toml", text).to_str().unwrap(),
    ]);
    assert!(stderr(&output).contains("neither a file nor a pipe"));
}

#[test]
fn a_configuration_that_comes_through_a_pipe_is_read() {
    let program = env!("CARGO_BIN_EXE_modelway");
    let path = scratch::file("piped.toml", SLOW);
    let line = format!("cat {} | {program} check /dev/stdin", path.display());

    let output = without_settings("sh").args(["-c", &line]).output().unwrap();

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

/// Begins to serve a configuration that comes through this pipe, and waits until it is being read.
fn reading(pipe: &Path) -> (std::process::Child, std::fs::File) {
    let made = Command::new("mkfifo").arg(pipe).status().unwrap();
    assert!(made.success());
    let mut command = program();
    command.args([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "none",
        "--config",
    ]);
    let child = command
        .arg(pipe)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It can be opened once the program has opened the other end.
    let writer = std::fs::OpenOptions::new().write(true).open(pipe).unwrap();
    (child, writer)
}

fn signal(child: &std::process::Child, signal: &str) {
    let sent = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_signal_during_the_start_does_what_it_does_later() {
    let (mut child, mut writer) = reading(&scratch::path("pipe"));
    for name in ["-HUP", "-USR1", "-USR2"] {
        signal(&child, name);
    }
    writer.write_all(SLOW.as_bytes()).unwrap();
    drop(writer);
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert!(line.contains("serves gRPC on"), "{line}");
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let (mut child, writer) = reading(&scratch::path("pipe"));
    signal(&child, "-TERM");
    // The configuration never comes, and is not waited for.
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(writer);
}

#[tokio::test]
async fn a_signal_that_means_nothing_ends_no_service() {
    let process = Process::serve(Some(&scratch::file("signals.toml", SLOW)), &[]);
    let mut client = GenerationServiceClient::new(process.connect().await);
    let open = client.stream_generate(ask("slow", "Hello")).await.unwrap();

    for name in ["-USR1", "-USR2"] {
        process.signal(name);
    }
    let streamed = collect(open.into_inner()).await;
    drop(client);
    process.terminate();
    let (status, log) = process.ended().await;

    assert!(streamed.failure.is_none());
    assert_eq!(status.code(), Some(0), "{log}");
    for name in ["SIGUSR1", "SIGUSR2"] {
        assert!(log.contains(name), "{log}");
    }
}

#[test]
fn a_configuration_with_tens_of_thousands_of_tables_takes_seconds() {
    let tables = 50_000;
    let wrong = |table: usize| {
        format!(
            "[providers.p{table}]\nwire_format = 'openai'\n[models.\"q{table}/m\"]\n[scenarios.s{table}]\ntargets = ['r']\n"
        )
    };
    let right = |table: usize| {
        format!(
            "[providers.p{table}]\nsimulated = true\nwire_format = 'openai_chat'\n[models.\"p{table}/m\"]\n[scenarios.s{table}]\ntargets = ['p{table}/m']\n"
        )
    };
    let texts: [(String, i32); 2] = [
        ((0..tables).map(wrong).collect(), 2),
        ((0..tables).map(right).collect(), 0),
    ];
    let checks = texts.map(|(text, code)| {
        std::thread::spawn(move || {
            let path = scratch::file(&format!("tables-{code}.toml"), &text);
            let began = Instant::now();
            let output = run(&["check", path.to_str().unwrap()]);
            (output, code, began.elapsed())
        })
    });
    for check in checks {
        let (output, code, took) = check.join().unwrap();
        println!("{took:?}");
        assert_eq!(output.status.code(), Some(code));
        let told = stderr(&output);
        assert!(told.lines().count() <= 101, "{told}");
        assert_eq!(told.contains("more mistakes"), code == 2, "{told}");
        // Work that takes the square of their number would take an hour.
        assert!(took < Duration::from_secs(240), "{took:?}");
    }
}

#[test]
fn the_password_of_a_collector_is_not_printed() {
    for url in [
        "http://me:s3cret@not a host:4317",
        "https://me:s3cret@127.0.0.1:4317",
        "ftp://me:s3cret@",
    ] {
        let mut command = program();
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", url);
        command.env("RUST_LOG", EVERYTHING);
        let mut child = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // It either refuses to start, or serves until it is told to stop.
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();

        let told = stderr(&output) + &String::from_utf8(output.stdout).unwrap();
        assert!(!told.is_empty(), "{url}");
        assert!(!told.contains("s3cret"), "{url}: {told}");
    }
}

#[test]
fn a_behaviour_that_the_simulator_does_not_know_is_refused_with_those_that_it_does() {
    let wrong = SLOW.replace("tokens=20", "tokns=20");

    let output = run(&[
        "check",
        scratch::file("behaviour.toml", &wrong).to_str().unwrap(),
    ]);

    assert_eq!(output.status.code(), Some(2));
    let told = stderr(&output);
    assert!(told.contains("unknown behaviour `tokns`"), "{told}");
    assert!(
        told.contains("`tokens`") && told.contains("`retry-after`"),
        "{told}"
    );
}

#[test]
fn an_address_that_strangers_can_reach_is_warned_of_in_one_line() {
    let open = "[auth]\nanonymous = \"local\"\nanonymous_beyond_loopback = true\n[server]\nlisten = \"0.0.0.0:0\"\nplaintext = \"behind-proxy\"";
    let open = SLOW.replace("[server]", open);
    let path = scratch::file("open.toml", &open);
    let output = run(&["check", path.to_str().unwrap()]);
    let told = String::from_utf8(output.stdout).unwrap();
    let warnings = |text: &str| {
        let lines = text.lines();
        lines
            .filter(|line| line.contains("anyone who can reach"))
            .count()
    };
    assert_eq!(warnings(&told), 1, "{told}");

    let path = scratch::file("closed.toml", SLOW);
    let output = run(&["check", path.to_str().unwrap()]);
    assert_eq!(warnings(&String::from_utf8(output.stdout).unwrap()), 0);
}
