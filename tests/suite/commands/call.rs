//! `modelway call`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use modelway::simulator::{
    Behaviour, Ending, Fault, Received, RefusalReason, Settings, Simulator, text,
};
use tokio::time::timeout;

use super::{finish, run};
use crate::support::foreign::authority::{Authority, Purpose};
use crate::support::{Gateway, ONE_MODEL, nobody, program, scratch, without_settings};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(20);

const BOTH: [&str; 2] = ["openai/first", "gemini/second"];

/// A service whose scenario `s` tries two models, and its address.
async fn start() -> (Gateway, String) {
    let gateway = Gateway::start_scenario(&BOTH, "").await;
    let address = gateway.address.to_string();
    (gateway, address)
}

/// Waits until the connections of all requests to the provider were closed by us.
async fn closed_upstream(gateway: &Gateway) {
    let closed = |log: &[Received]| {
        log.iter()
            .all(|one| one.ending == Some(Ending::ClientClosed))
    };
    timeout(PROMPTLY, gateway.simulator.wait_for(closed))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_answer_goes_to_standard_output_and_what_was_tried_to_standard_error() {
    let (gateway, address) = start().await;
    gateway
        .simulator
        .set("first", Fault::Refuse(RefusalReason::Overloaded));

    let done = run(&["call", "s", "Hello", "--address", &address]).await;

    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.out, text(24));
    for told in [
        "answered by gemini (second), STOP",
        "attempt 1 PRIMARY openai first: FAILED PROVIDER_OVERLOADED",
        "attempt 2 FAILOVER gemini second: SUCCEEDED",
        "output tokens",
        "call ",
    ] {
        assert!(done.err.contains(told), "{told}: {}", done.err);
    }
}

#[tokio::test]
async fn events_are_written_as_json_one_a_line() {
    let (_gateway, address) = start().await;

    let done = run(&["call", "s", "Hello", "--json", "--address", &address]).await;

    assert_eq!((done.code, &*done.err), (Some(0), ""));
    let events: Vec<serde_json::Value> = done
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events[0]["started"]["scenario"], "s");
    let deltas = events
        .iter()
        .filter_map(|event| event["textDelta"]["text"].as_str());
    assert_eq!(deltas.collect::<String>(), text(24));
    let last = &events[events.len() - 1]["completed"]["response"];
    assert_eq!(last["attempts"][0]["provider"], "openai");
}

#[tokio::test]
async fn the_exit_code_says_who_must_act_and_the_text_what_to_do() {
    let (gateway, address) = start().await;
    let unknown = run(&["call", "no-such", "Hello", "--address", &address]).await;
    assert_eq!(unknown.code, Some(4), "{unknown:?}");
    assert!(
        unknown.err.starts_with("SCENARIO_NOT_FOUND: "),
        "{unknown:?}"
    );
    assert_eq!(unknown.out, "");

    for model in ["first", "second"] {
        gateway
            .simulator
            .set(model, Fault::Refuse(RefusalReason::ServerError));
    }
    let failed = run(&["call", "s", "Hello", "--json", "--address", &address]).await;
    assert_eq!(failed.code, Some(5), "{failed:?}");
    assert!(
        failed
            .err
            .contains("attempt 1 PRIMARY openai first: FAILED"),
        "{failed:?}"
    );
    let last: serde_json::Value = serde_json::from_str(failed.out.trim()).unwrap();
    assert_eq!(last["error"]["code"], 14, "{last}");

    for model in ["first", "second"] {
        gateway.simulator.set(model, Fault::Hang);
    }
    let late = run(&[
        "call",
        "s",
        "Hello",
        "--timeout",
        "2s",
        "--address",
        &address,
    ])
    .await;
    assert_eq!(late.code, Some(5), "{late:?}");
    assert!(late.err.starts_with("DEADLINE_EXCEEDED"), "{late:?}");
}

#[tokio::test]
async fn where_no_service_answers_the_code_is_3() {
    let address = nobody().to_string();
    let refused = run(&["call", "s", "Hello", "--address", &address]).await;
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.err.contains("does not answer"), "{refused:?}");

    // Another server, which does not speak gRPC.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        let mut head = [0; 24];
        stream.read_exact(&mut head).unwrap();
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let foreign = run(&["call", "s", "Hello", "--address", &address]).await;
    serving.join().unwrap();
    assert_eq!(foreign.code, Some(3), "{foreign:?}");
}

#[tokio::test]
async fn ctrl_c_cancels_the_call_at_the_provider() {
    let (gateway, address) = start().await;
    let slow = "tokens=1000+gap=20ms".parse::<Behaviour>().unwrap();
    gateway.simulator.set("first", slow);
    let mut command = program();
    command.args(["call", "s", "Hello", "--address", &address]);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (pid, first) = (
        child.id().to_string(),
        tokio::task::spawn_blocking(move || {
            let mut byte = [0; 1];
            stdout.read_exact(&mut byte).unwrap();
            stdout
        }),
    );
    let _stdout = first.await.unwrap();

    let sent = std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status();
    assert!(sent.unwrap().success());

    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let output = timeout(PROMPTLY, output).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    closed_upstream(&gateway).await;
    assert_eq!(gateway.simulator.requests().len(), 1);
}

#[tokio::test]
async fn a_reader_that_closes_the_pipe_ends_the_call_quietly() {
    let (gateway, address) = start().await;
    let slow = "tokens=1000+gap=20ms".parse::<Behaviour>().unwrap();
    gateway.simulator.set("first", slow);
    let mut command = program();
    command.args(["call", "s", "Hello", "--json", "--address", &address]);
    let work = move || {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        (line, child.wait_with_output().unwrap())
    };

    let work = timeout(PROMPTLY, tokio::task::spawn_blocking(work));
    let (line, output) = work.await.unwrap().unwrap();

    assert!(line.contains("started"), "{line}");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    closed_upstream(&gateway).await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_written_is_a_failure_outside() {
    let (_gateway, address) = start().await;
    let full = std::fs::File::options().write(true).open("/dev/full");
    let mut command = program();
    command.args(["call", "s", "Hello", "--address", &address]);
    let output =
        tokio::task::spawn_blocking(move || command.stdout(full.unwrap()).output().unwrap());

    let output = output.await.unwrap();

    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("the answer cannot be written"), "{told}");
}

#[tokio::test]
async fn the_prompt_may_come_by_standard_input_and_files_go_with_it() {
    let (gateway, address) = start().await;
    let picture = scratch::file("picture.PNG", b"\x89PNG\r\n");
    let mut command = program();
    command.args([
        "call",
        "s",
        "-",
        "--address",
        &address,
        "--system",
        "Be brief.",
    ]);
    command
        .args(["--max-output-tokens", "5"])
        .arg("--file")
        .arg(&picture);

    let done = finish(command, "Wie groß?".as_bytes()).await;

    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.out.trim_end(), text(5));
    let sent = gateway.simulator.requests()[0].json().to_string();
    for part in ["Be brief.", "Wie groß?", "data:image/png;base64,"] {
        assert!(sent.contains(part), "{part}: {sent}");
    }

    let unknown = scratch::file("picture.pxg", b"");
    let unknown = unknown.to_str().unwrap();
    let done = run(&["call", "s", "Hi", "--address", &address, "--file", unknown]).await;
    assert_eq!(done.code, Some(2), "{done:?}");
    let done = run(&[
        "call",
        "s",
        "Hi",
        "--address",
        &address,
        "--file",
        "none.png",
    ])
    .await;
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.err.contains("`none.png` cannot be read"), "{done:?}");
}

/// What an answer may hold to take over a terminal: its title, its contents, its keyboard.
const EVIL: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31mred\ttab\nline";

#[tokio::test]
async fn what_a_model_says_is_raw_in_a_pipe_and_cannot_steer_a_terminal() {
    let (gateway, address) = start().await;
    gateway.simulator.set(
        "first",
        Behaviour {
            text: Some(EVIL.to_owned()),
            ..Behaviour::default()
        },
    );
    let piped = run(&["call", "s", "Hello", "--address", &address]).await;
    assert_eq!(piped.out, EVIL);

    // `script` gives the program a terminal.
    let typescript = scratch::file("typescript", b"");
    let mut command = without_settings("script");
    let line = format!(
        "{} call s Hello --address {address}",
        env!("CARGO_BIN_EXE_modelway")
    );
    command.args(["-q", "-e", "-c", &line]).arg(&typescript);
    let shown = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output());
    let shown = match shown.await.unwrap() {
        Ok(output) => output,
        Err(error) => {
            eprintln!(
                "skipped: `script` of util-linux gives a terminal, and cannot be run: {error}"
            );
            return;
        }
    };
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains(r"\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31mred"),
        "{shown:?}"
    );
    assert!(shown.contains("\ttab\r\nline"), "{shown:?}");
    for control in ['\u{1b}', '\u{7}', '\u{9b}'] {
        assert!(!shown.contains(control), "{shown:?}");
    }
}

#[tokio::test]
async fn a_command_line_that_does_not_say_what_to_ask_is_a_mistake_of_usage() {
    let no_file = "cannot be read: there is no such file";
    for (more, remedy) in [
        ("", "name a scenario, or a model with --model"),
        ("s Hello --model openai/first", "not both"),
        ("s Hello --address nowhere", "write HOST:PORT"),
        ("s Hello --timeout soon", "a number and a unit"),
        ("s -", "the prompt is empty"),
        ("s Hello --ca no-such-file", no_file),
        ("s Hello --api-key-file no-such-file", no_file),
        ("s Hello --file no-such-file.png", no_file),
        ("s Hello --file no-such-file", "no extension"),
        ("s Hello --file picture.pngg", "did you mean `png`?"),
    ] {
        let mut arguments = vec!["call"];
        arguments.extend(more.split_whitespace());
        if !more.contains("--address") && !more.is_empty() {
            arguments.extend(["--address", "127.0.0.1:1"]);
        }

        let done = run(&arguments).await;

        assert_eq!(done.code, Some(2), "{arguments:?} {done:?}");
        assert!(done.err.contains(remedy), "{arguments:?} {done:?}");
        assert!(!done.err.contains("os error"), "{arguments:?} {done:?}");
    }
    let done = run(&["call", "s", "Hello", "--address", "unix:/no/such/socket"]).await;

    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.err.contains("there is no such socket"), "{done:?}");
}

#[tokio::test]
async fn a_service_that_demands_a_certificate_is_called_with_one() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (cert, key) = authority.issue(Purpose::Server).files();
    let ca = authority.file();
    let text = format!(
        "[server]\npredrain = '0s'\n[server.tls]\ncert = {cert:?}\nkey = {key:?}\nclient_ca = {ca:?}\n\
         client_auth = 'required'\n{ONE_MODEL}\n\
         [providers.openai]\nsimulated = true\nwire_format = 'openai_chat'\n"
    );
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let gateway = Gateway::before(simulator, &text).await;
    let address = format!("https://{}", gateway.address);
    let ca = ca.to_str().unwrap();
    let call = ["call", "one", "Hello", "--address", &address, "--ca", ca];
    let by = async |cert: &PathBuf, key: &PathBuf| {
        let [cert, key] = [cert, key].map(|path| path.to_str().unwrap());
        run(&[&call[..], &["--cert", cert, "--key", key]].concat()).await
    };

    let (cert, key) = authority.issue(Purpose::Client).files();
    let done = by(&cert, &key).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("answered by openai"), "{done:?}");

    // Without a certificate, or with one of somebody else, there is no service.
    let (other_cert, other_key) = stranger.issue(Purpose::Client).files();
    for done in [run(&call).await, by(&other_cert, &other_key).await] {
        assert_eq!(done.code, Some(3), "{done:?}");
    }
    assert_eq!(gateway.simulator.requests().len(), 1);

    // What cannot be a certificate and its key is a mistake of usage, which names the file.
    let nothing = scratch::file("call-nothing.pem", b"");
    let absent = PathBuf::from("/no/such/key.pem");
    for (cert, key, named) in [
        (&nothing, &key, &nothing),
        (&cert, &absent, &absent),
        (&cert, &other_key, &other_key),
    ] {
        let done = by(cert, key).await;
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.err.contains(named.to_str().unwrap()), "{done:?}");
    }
    let cert = cert.to_str().unwrap();
    let alone = [&call[..], &["--cert", cert]].concat();
    let done = run(&alone).await;
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.err.contains("--key"), "{done:?}");
}

#[tokio::test]
async fn a_service_on_a_unix_socket_is_called() {
    let path = scratch::socket();
    let config = format!(
        "[server]\npredrain = '0s'\nlisten = 'unix:{}'\n[admin]\nlisten = '127.0.0.1:0'\n",
        path.display()
    );
    let text = format!(
        "{config}{ONE_MODEL}\n[providers.openai]\nsimulated = true\nwire_format = 'openai_chat'\n"
    );
    let file = scratch::file("call-unix.toml", text.as_bytes());
    let mut command = program();
    command.arg("serve").arg("--config").arg(&file);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("serves gRPC")));
    let address = format!("unix:{}", path.display());

    let done = run(&["call", "one", "Hello", "--address", &address]).await;

    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.out, modelway::simulator::text(24));
    child.kill().unwrap();
    child.wait().unwrap();
    // What remains of it answers nobody.
    let done = run(&["call", "one", "Hello", "--address", &address]).await;
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(
        done.err.contains(&format!("{address} does not answer")),
        "{done:?}"
    );
    std::fs::remove_file(&path).unwrap();
}
