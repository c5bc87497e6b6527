//! What does a service manager of `Type=notify` learn, over a socket of its own?

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::{Process, program, scratch};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(30);

const CONFIG: &str = r#"
[server]
predrain = "0s"
[providers.sim]
simulated = true
wire_format = "openai_chat"
[models."sim/quick"]
model = "quick"
[scenarios.quick]
targets = ["sim/quick"]
"#;

/// A service manager that has bound its socket here.
fn manager(path: &PathBuf) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(PROMPTLY)).unwrap();
    socket
}

fn received(manager: &UnixDatagram) -> String {
    let mut bytes = [0; 1024];
    let count = manager.recv(&mut bytes).unwrap();
    String::from_utf8(bytes[..count].to_vec()).unwrap()
}

#[tokio::test]
async fn it_learns_when_the_service_is_ready_and_when_it_stops() {
    let path = scratch::socket();
    let manager = manager(&path);
    let config = scratch::file("modelway.toml", CONFIG);
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let process = Process::serve(Some(&config), &variables);

    let ready = received(&manager);
    let expected = format!("READY=1\nSTATUS=serves on {}", process.address);
    process.terminate();
    let stopping = received(&manager);
    let (status, log) = process.ended().await;

    assert_eq!(ready, expected);
    assert!(stopping.starts_with("STOPPING=1\n"), "{stopping}");
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test]
async fn it_learns_of_a_reload_and_of_its_end_also_if_the_file_is_refused() {
    let path = scratch::socket();
    let manager = manager(&path);
    let config = scratch::file("modelway.toml", CONFIG);
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let process = Process::serve(Some(&config), &variables);
    let ready = received(&manager);

    let mut heard = Vec::new();
    for text in [CONFIG.replace("quick", "swift"), "nonsense".to_owned()] {
        std::fs::write(&config, text).unwrap();
        process.hang_up();
        heard.extend([received(&manager), received(&manager)]);
    }

    assert!(ready.starts_with("READY=1\n"), "{ready}");
    for pair in heard.chunks(2) {
        assert!(
            pair[0].starts_with("RELOADING=1\nMONOTONIC_USEC="),
            "{pair:?}"
        );
        assert_eq!(pair[1], "READY=1");
    }
}

#[test]
fn it_is_not_told_of_a_service_that_cannot_start() {
    let path = scratch::socket();
    let manager = manager(&path);
    let config = scratch::file("modelway.toml", "[server]\nno_such_key = 1\n");
    let mut command = program();
    command.args(["serve", "--config", config.to_str().unwrap()]);

    let output = command.env("NOTIFY_SOCKET", &path).output().unwrap();

    assert_eq!(output.status.code(), Some(2));
    manager.set_nonblocking(true).unwrap();
    assert!(manager.recv(&mut [0; 16]).is_err());
}

#[tokio::test]
async fn a_manager_that_is_not_there_stops_nothing() {
    for address in ["/no/such/socket", "neither a path nor a name"] {
        let config = scratch::file("modelway.toml", CONFIG);
        let process = Process::serve(Some(&config), &[("NOTIFY_SOCKET", address)]);

        process.terminate();
        let (status, log) = process.ended().await;

        assert_eq!(status.code(), Some(0), "{log}");
        let warned = log.contains("NOTIFY_SOCKET cannot be used");
        assert_eq!(warned, !address.starts_with('/'), "{log}");
    }
}
