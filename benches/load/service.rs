//! The service under load: a process of its own in front of a provider that is here.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::{GenerateRequest, Message, Role};
use modelway::simulator::{Settings, Simulator, WireName};
use tokio::task::JoinSet;
use tokio::time::interval;
use tonic::transport::{Channel, Endpoint};

use super::process::{Process, resident_kib};

/// How often the memory of the process is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A running service and its provider.
pub(crate) struct Service {
    pub(crate) process: Process,
    pub(crate) simulator: Simulator,
}

impl Service {
    /// Starts both. `config` is the rest of the configuration: models of the provider `sim`,
    /// scenarios, limits.
    pub(crate) async fn start(name: &str, config: &str) -> Self {
        let simulator = Simulator::start(Settings::default()).await.unwrap();
        let text = format!(
            r#"
            {config}
            [providers.sim]
            wire_format = "openai_chat"
            base_url = "{}"
            auth = "none"
            "#,
            simulator.base_url(WireName::OpenAiChat)
        );
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("load-{name}.toml"));
        fs::write(&path, text).unwrap();
        let process = Process::serve(Some(&path), &[("RUST_LOG", "error")]);
        Self { process, simulator }
    }

    /// Where it is reached.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::from_shared(format!("http://{}", self.process.address))
            .unwrap()
            .tcp_nodelay(true)
    }

    /// A client with a connection of its own.
    pub(crate) async fn client(&self) -> GenerationServiceClient<Channel> {
        GenerationServiceClient::new(self.endpoint().connect().await.unwrap())
    }

    /// Watches the memory of the process from here on.
    pub(crate) fn watch_memory(&self) -> Memory {
        let before = self.process.resident_kib();
        let most = Arc::new(AtomicU64::new(before));
        let (seen, process) = (Arc::clone(&most), self.process.id());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut looks = interval(LOOK);
            loop {
                looks.tick().await;
                seen.fetch_max(resident_kib(process), Ordering::Relaxed);
            }
        });
        Memory {
            before,
            most,
            _task: task,
        }
    }
}

/// How the memory of a process grows.
pub(crate) struct Memory {
    before: u64,
    most: Arc<AtomicU64>,
    _task: JoinSet<()>,
}

impl Memory {
    /// The most that it has grown by, in KiB.
    pub(crate) fn growth_kib(&self) -> f64 {
        (self.most.load(Ordering::Relaxed) - self.before) as f64
    }
}

/// A request of one word.
pub(crate) fn ask(scenario: &str) -> GenerateRequest {
    GenerateRequest {
        scenario: scenario.to_owned(),
        messages: vec![Message {
            role: Role::User.into(),
            text: "Hello".to_owned(),
            ..Message::default()
        }],
        ..GenerateRequest::default()
    }
}
