//! What becomes of the service when one of its cores is in the middle of a step that does not end?

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use modelway::config::Surroundings;
use modelway::config::file::File;
use modelway::dispatch::dispatcher::Dispatcher;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::provider::OutboundRequest;
use modelway::server::{Core, ListenAddress, Listener, Listeners, Policies, Server, Settings};
use modelway::transport::{Carrier, Sending, Transport};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::ask;

/// Longer than an answer takes that comes.
const PATIENCE: Duration = Duration::from_secs(6);

/// What an end may take beyond the drain: last words, cutting off.
const LAST_STEPS: Duration = Duration::from_secs(20);

const CONFIG: &str = r#"
[server]
predrain = "0s"
drain_timeout = "1s"
[providers.p]
wire_format = "openai_chat"
base_url = "https://p.test/v1"
auth = "none"
[models."p/m"]
[scenarios.one]
targets = ["p/m"]
"#;

/// A provider that keeps the thread which asks it until the test ends.
#[derive(Debug)]
struct Trap {
    begun: mpsc::Sender<()>,
    released: Mutex<mpsc::Receiver<()>>,
}

impl Carrier for Trap {
    fn send(&self, _: OutboundRequest) -> Sending {
        self.begun.send(()).unwrap();
        let _ = self.released.lock().unwrap().recv();
        Box::pin(pending())
    }
}

/// What asks that provider, and how long it is kept.
struct Trapped {
    dispatcher: Arc<Dispatcher>,
    settings: Settings,
    has_begun: mpsc::Receiver<()>,
    /// The thread is let go when this is dropped.
    release: mpsc::Sender<()>,
}

impl Trapped {
    fn new() -> Self {
        let config = File::parse(CONFIG)
            .resolve(&Surroundings::without_secrets(None))
            .unwrap();
        let ((begun, has_begun), (release, released)) = (mpsc::channel(), mpsc::channel());
        let trap = Trap {
            begun,
            released: Mutex::new(released),
        };
        let transport = Transport::carried_by(Arc::new(trap));
        Self {
            dispatcher: Arc::new(Dispatcher::new(config.catalog, config.scopes, transport)),
            settings: config.server,
            has_begun,
            release,
        }
    }
}

/// A thread with a runtime, as the service has one for each core.
fn core(dispatcher: &Arc<Dispatcher>) -> Core {
    let (sender, handle) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        sender.send(runtime.handle().clone()).unwrap();
        runtime.block_on(pending::<()>());
    });
    Core {
        runtime: handle.recv().unwrap(),
        dispatcher: Arc::clone(dispatcher),
    }
}

/// A listener on any free port, and where that is.
async fn listen() -> (Listener, SocketAddr) {
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = Listener::bind(&anywhere.into()).await.unwrap();
    let ListenAddress::Tcp(address) = *listener.address() else {
        unreachable!()
    };
    (listener, address)
}

async fn connect(address: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect().await.unwrap()
}

#[tokio::test]
async fn others_answer_and_the_end_does_not_wait_for_it() {
    const CALLERS: usize = 6;
    let Trapped {
        dispatcher,
        settings,
        has_begun,
        release,
    } = Trapped::new();
    let cores = vec![core(&dispatcher), core(&dispatcher)];
    let (listener, address) = listen().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let shutdown = async { stopped.await.unwrap() };
        let policies = Policies::default();
        let listeners = Listeners::only(listener);
        let server = Server::set_up(listeners, &settings, policies, dispatcher, cores).await;
        server.unwrap().run(shutdown, pending()).await;
    });
    let mut client = GenerationServiceClient::new(connect(address).await);
    let mut stuck = JoinSet::new();
    stuck.spawn(async move { client.generate(ask("one", "Hello")).await });
    tokio::task::spawn_blocking(move || has_begun.recv().unwrap())
        .await
        .unwrap();

    let (mut connections, mut answered) = (Vec::new(), 0);
    for _ in 0..CALLERS {
        let mut health = HealthClient::new(connect(address).await);
        connections.push(health.clone());
        let check = timeout(PATIENCE, health.check(HealthCheckRequest::default()));
        answered += usize::from(check.await.is_ok_and(|checked| checked.is_ok()));
    }
    // One that came before it was noticed may have been given to the core.
    assert!(answered >= CALLERS - 1, "{answered} of {CALLERS}");

    let before = Instant::now();
    stop.send(()).unwrap();
    let limit = Duration::from_secs(1) + LAST_STEPS;
    timeout(limit, tasks.join_next())
        .await
        .expect("it does not wait for a core that is stuck")
        .unwrap()
        .unwrap();
    println!("ended after {:?}", before.elapsed());
    drop(release);
}

#[tokio::test]
async fn probes_are_answered_while_every_core_is_stuck() {
    const CORES: usize = 2;
    const PROBES: usize = 100;
    let Trapped {
        dispatcher,
        settings,
        has_begun,
        release,
    } = Trapped::new();
    let cores = (0..CORES).map(|_| core(&dispatcher)).collect();
    let (listener, address) = listen().await;
    let (probes, probed) = listen().await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let listeners = Listeners {
            probes: Some(probes),
            ..Listeners::only(listener)
        };
        let policies = Policies::default();
        let server = Server::set_up(listeners, &settings, policies, dispatcher, cores).await;
        server.unwrap().run(pending(), pending()).await;
    });
    let mut stuck = JoinSet::new();
    for _ in 0..CORES {
        // Each new connection goes to the core that has fewest.
        let mut client = GenerationServiceClient::new(connect(address).await);
        stuck.spawn(async move { client.generate(ask("one", "Hello")).await });
    }
    // The second of them waits for the first one's lock, on a core of its own: neither core does anything else.
    let first = tokio::task::spawn_blocking(move || has_begun.recv().map(|()| has_begun));
    let has_begun = first.await.unwrap().unwrap();
    let second = tokio::task::spawn_blocking(move || has_begun.recv());
    second.await.unwrap().unwrap();

    let mut health = HealthClient::new(connect(probed).await);
    for number in 0..PROBES {
        let service = ["", "live"][number % 2].to_owned();
        let check = health.check(HealthCheckRequest { service });
        let checked = timeout(PATIENCE, check).await.expect("an answer").unwrap();
        assert_eq!(checked.into_inner().status(), ServingStatus::Serving);
    }
    drop(release);
}
