//! Are probes answered while calls take all that the cores have?

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::Instant;

use crate::support::{Process, ask, number_from, slowest};

/// How many calls are open at any moment: far more than two cores answer at once.
const CALLERS: usize = 64;

/// How long a kubelet waits for an answer unless it is told otherwise.
const PATIENCE: Duration = Duration::from_secs(1);

const CONFIG: &str = r#"
[server]
predrain = "0s"
runtimes = 2
[admission]
queue = 1000
[providers.sim]
simulated = true
wire_format = "openai_chat"
[models."sim/quick"]
model = "quick+tokens=50"
[scenarios.quick]
targets = ["sim/quick"]
"#;

/// Asks a path over a connection that is kept, and returns how long the answer took.
fn probe(stream: &mut TcpStream, path: &str) -> Duration {
    let asked = Instant::now();
    let request = format!("GET {path} HTTP/1.1\r\nhost: probe\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let (mut answer, mut bytes) = (Vec::new(), [0; 1024]);
    while !answer.ends_with(b"\r\n\r\nok\n") {
        let read = stream.read(&mut bytes).unwrap();
        answer.extend_from_slice(&bytes[..read]);
        let text = String::from_utf8_lossy(&answer);
        assert!(read > 0 && text.starts_with("HTTP/1.1 200"), "{text}");
    }
    asked.elapsed()
}

/// `MODELWAY_PROBES=6000` goes on for minutes; on a machine of its own the 99th percentile stays below 100 ms.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_are_answered_while_calls_take_all_cores() {
    let probes = number_from("MODELWAY_PROBES", 200);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    drop(listener);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("saturated.toml");
    let config = format!("{CONFIG}[probes]\nlisten = '{address}'\n[logging]\ncalls = 'none'\n");
    std::fs::write(&path, config).unwrap();
    let process = Process::serve(Some(&path), &[]);
    let channel = process.connect().await;
    let (is_over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let mut client = GenerationServiceClient::new(channel.clone());
        let (is_over, answered) = (Arc::clone(&is_over), Arc::clone(&answered));
        callers.spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                client.generate(ask("quick", "Hello")).await.unwrap();
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while answered.load(Ordering::Relaxed) < CALLERS {
        tokio::task::yield_now().await;
    }

    // Until each caller has had so many answers.
    let enough = answered.load(Ordering::Relaxed) + 10 * CALLERS;
    let so_far = Arc::clone(&answered);
    let (before, began) = (process.processor_time(), Instant::now());
    let probing = spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut times = Vec::new();
        for path in ["/livez", "/readyz"].iter().cycle() {
            times.push(probe(&mut stream, path));
            if times.len() as u64 >= probes && so_far.load(Ordering::Relaxed) >= enough {
                break;
            }
        }
        times
    });
    let mut times = probing.await.unwrap();
    let busy = (process.processor_time() - before).as_secs_f64() / began.elapsed().as_secs_f64();
    is_over.store(true, Ordering::Relaxed);
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }

    let (most, worst) = slowest(&mut times);
    let calls = answered.load(Ordering::Relaxed);
    println!(
        "{} probes beside {calls} calls on {busy:.2} cores: p99 {most:?}, worst {worst:?}",
        times.len()
    );
    assert!(most <= PATIENCE, "{most:?}");
}
