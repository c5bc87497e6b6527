//! Are probes answered while calls take all that the cores have?

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, interval, sleep};
use tonic::transport::Channel;

use crate::support::{Process, ask, details, nobody, number_from, scratch, slowest};

/// How many calls are open at any moment: far more than two cores answer at once.
const CALLERS: usize = 64;

/// How long a kubelet waits for an answer unless it is told otherwise.
const PATIENCE: Duration = Duration::from_secs(1);

/// A connection lives for longer than the test: a client of tonic's does not send a call again that waits for its turn
/// when its connection ends.
const CONFIG: &str = r#"
[server]
predrain = "0s"
connection_age = "1h"
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

/// A service whose calls take all cores, and where it answers probes.
fn serve() -> (Process, SocketAddr) {
    let address = nobody();
    let config = format!("{CONFIG}[probes]\nlisten = '{address}'\n[logging]\ncalls = 'none'\n");
    let path = scratch::file("modelway.toml", config);
    (Process::serve(Some(&path), &[]), address)
}

/// Callers each of which calls again as soon as it is answered, until it is over.
#[derive(Default)]
struct Callers {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    calling: JoinSet<()>,
}

impl Callers {
    /// Returns when there were as many answers as there are callers.
    async fn start(channel: &Channel) -> Self {
        let mut callers = Self::default();
        for _ in 0..CALLERS {
            let mut client = GenerationServiceClient::new(channel.clone());
            let (is_over, answered) = (Arc::clone(&callers.is_over), Arc::clone(&callers.answered));
            callers.calling.spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    client.generate(ask("quick", "Hello")).await.unwrap();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while callers.answered() < CALLERS {
            tokio::task::yield_now().await;
        }
        callers
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    async fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.calling.join_all().await;
    }
}

/// Asks both probes by turns until it is enough, each after this pause. Returns how long the answers took.
async fn probing(
    address: SocketAddr,
    pause: Duration,
    is_enough: impl Fn(usize) -> bool + Send + 'static,
) -> Vec<Duration> {
    let probing = spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut times = Vec::new();
        for path in ["/livez", "/readyz"].iter().cycle() {
            times.push(probe(&mut stream, path));
            if is_enough(times.len()) {
                break;
            }
            // A probe is due after the pause: the rate is what is tested.
            std::thread::park_timeout(pause);
        }
        times
    });
    probing.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_are_answered_while_calls_take_all_cores() {
    const PROBES: usize = 200;
    let (process, address) = serve();
    let channel = process.connect().await;
    let callers = Callers::start(&channel).await;

    // Until each caller has had so many answers.
    let enough = callers.answered() + 10 * CALLERS;
    let answered = Arc::clone(&callers.answered);
    let (before, began) = (process.processor_time(), Instant::now());
    let is_enough = move |probes| probes >= PROBES && answered.load(Ordering::Relaxed) >= enough;
    let mut times = probing(address, Duration::ZERO, is_enough).await;
    let busy = (process.processor_time() - before).as_secs_f64() / began.elapsed().as_secs_f64();
    let calls = callers.answered();
    callers.end().await;

    let (most, worst) = slowest(&mut times);
    println!(
        "{} probes beside {calls} calls on {busy:.2} cores: p99 {most:?}, worst {worst:?}",
        times.len()
    );
    assert!(most <= PATIENCE, "{most:?}");
}

/// `just probes`: offered twice what it can answer, for ten minutes or `MODELWAY_SECONDS`. What does not fit is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes ten minutes, and all cores"]
async fn probes_are_answered_soon_while_twice_as_many_calls_come_as_can_be_answered() {
    const MEASURED: Duration = Duration::from_secs(10);
    /// So many that what does not fit is open at the service, and is refused there. Beyond its streams for each connection,
    /// calls would wait in the client.
    const CONNECTIONS: usize = 8;
    /// Twenty probes a second.
    const PAUSE: Duration = Duration::from_millis(50);
    const SOON: Duration = Duration::from_millis(100);
    let seconds = number_from("MODELWAY_SECONDS", 600);
    let (process, address) = serve();
    let channel = process.connect().await;
    let callers = Callers::start(&channel).await;
    let before = callers.answered();
    sleep(MEASURED).await;
    let most = (callers.answered() - before) as f64 / MEASURED.as_secs_f64();
    callers.end().await;

    let mut channels = vec![channel];
    while channels.len() < CONNECTIONS {
        channels.push(process.connect().await);
    }
    let mut channels = channels.iter().cycle();
    let over = Arc::<AtomicBool>::default();
    let is_over = Arc::clone(&over);
    let mut probes = JoinSet::new();
    probes.spawn(probing(address, PAUSE, move |_| {
        is_over.load(Ordering::Relaxed)
    }));
    let mut pace = interval(Duration::from_secs_f64(0.5 / most));
    let (began, mut offered) = (Instant::now(), 0);
    let (answered, refused) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let mut calls = JoinSet::new();
    while began.elapsed() < Duration::from_secs(seconds) {
        pace.tick().await;
        let channel = channels.next().unwrap();
        let mut client = GenerationServiceClient::new(channel.clone());
        let (answered, refused) = (Arc::clone(&answered), Arc::clone(&refused));
        calls.spawn(async move {
            match client.generate(ask("quick", "Hello")).await {
                Ok(_) => answered.fetch_add(1, Ordering::Relaxed),
                Err(status) => {
                    // All calls come from one address, which may not have all places.
                    let reason = details(&status).reason;
                    let is_refusal = ["OVERLOADED", "CALLER_RATE_LIMITED"].contains(&&*reason);
                    assert!(is_refusal, "{status}");
                    refused.fetch_add(1, Ordering::Relaxed)
                }
            }
        });
        offered += 1;
        while let Some(done) = calls.try_join_next() {
            done.unwrap();
        }
    }
    let lasted = began.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    let mut times = probes.join_next().await.unwrap().unwrap();
    calls.join_all().await;

    let (late, worst) = slowest(&mut times);
    println!(
        "{most:.0} calls a second fit; {:.0} a second came for {lasted:.0} s, {} answered, {} refused; {} probes: p99 {late:?}, \
         worst {worst:?}",
        f64::from(offered) / lasted,
        answered.load(Ordering::Relaxed),
        refused.load(Ordering::Relaxed),
        times.len(),
    );
    assert!(refused.load(Ordering::Relaxed) > 0, "more came than fitted");
    assert!(late <= SOON, "{late:?}");
}
