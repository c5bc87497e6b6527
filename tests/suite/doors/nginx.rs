//! Do streams pass a proxy as it comes out of the box? nginx with its defaults, but for a time-out that a test can await.
//!
//! nginx is taken from `MODELWAY_NGINX` or from the path. Debian's needs no installation:
//! `apt-get download nginx && dpkg -x nginx_*.deb DIR`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use modelway::simulator::Behaviour;
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::Instant;

use super::http::{Http1, events, post_json};
use super::soon_open;
use crate::support::{Gateway, nobody, scratch};

const ASK: &str = r#"{"scenario":"one","messages":[{"role":"ROLE_USER","text":"Hello"}]}"#;

/// A running nginx. It ends when it is dropped.
struct Nginx {
    process: Child,
    address: SocketAddr,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> Option<PathBuf> {
    let named = std::env::var_os("MODELWAY_NGINX").map(PathBuf::from);
    let in_path = || {
        let path = std::env::var_os("PATH")?;
        let files = std::env::split_paths(&path).map(|folder| folder.join("nginx"));
        let system = [PathBuf::from("/usr/sbin/nginx")];
        files.chain(system).find(|file| file.is_file())
    };
    named.or_else(in_path)
}

impl Nginx {
    /// Starts it before the gateway. Silence for two seconds ends a connection, as one for a minute does by default.
    async fn before(gateway: SocketAddr, program: &Path) -> Self {
        let address = nobody();
        let folder = scratch::folder("nginx");
        std::fs::create_dir_all(folder.join("temporary")).unwrap();
        let at = folder.display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|of| format!("{of}_temp_path {at}/temporary/{of};"))
            .join("\n");
        let text = format!(
            "daemon off; pid {at}/pid; error_log {at}/errors;\nevents {{}}\nhttp {{\n{temporary}\naccess_log off;\n\
             server {{ listen {address}; location / {{ proxy_pass http://{gateway}; proxy_read_timeout 2s; }} }}\n}}\n"
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, text).unwrap();
        let process = Command::new(program)
            .arg("-c")
            .arg(&file)
            .arg("-p")
            .arg(&folder)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).await.is_err() {
            assert!(Instant::now() < end, "nginx does not start");
            yield_now().await;
        }
        Self { process, address }
    }
}

#[tokio::test]
async fn events_pass_nginx_one_by_one_and_silence_does_not_cut_a_stream() {
    let Some(program) = program() else {
        println!("skipped: there is no nginx; set MODELWAY_NGINX");
        return;
    };
    let gateway = Gateway::start(&soon_open("300ms")).await;
    // Silent for longer than the proxy's limit, before the first token and between two of them.
    let behaviour = "tokens=2+first=4s+gap=3s".parse::<Behaviour>().unwrap();
    gateway.simulator.set("first", behaviour);
    let nginx = Nginx::before(gateway.address, &program).await;
    let mut http = Http1::connect(nginx.address).await;
    let began = Instant::now();
    http.send(&post_json("/v1/stream", "", ASK)).await;

    let head = http.head().await;

    let opened = began.elapsed();
    assert_eq!(head.status, 200);
    assert_eq!(head.get("content-type"), "text/event-stream");
    let mut text = Vec::new();
    let mut arrivals = Vec::new();
    loop {
        let piece = http.chunk().await;
        if piece.is_empty() {
            break;
        }
        if piece.windows(9).any(|window| window == b"textDelta") {
            arrivals.push(began.elapsed());
        }
        text.extend(piece);
    }
    let (events, comments) = events(&text);
    assert_eq!(events.last().unwrap().name, "completed");
    assert!(comments >= 6, "{comments}");
    // As far as that can be told on a busy machine, where anything may be read late.
    let gaps = [
        arrivals[0] - opened,
        *arrivals.last().unwrap() - arrivals[0],
    ];
    assert!(
        gaps.iter().all(|gap| *gap >= Duration::from_millis(500)),
        "the head waits for the model, or events come together: {opened:?}, {arrivals:?}"
    );
}
