//! A service of its own that exports to a collector, as its configuration says.

use std::sync::Arc;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::serve::Service;
use modelway::telemetry::export::{ExportCounts, SpanFate};
use modelway::telemetry::metrics::Metrics;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::ask;
use super::scraped::Scraped;

/// Both protocols, as the configuration names them.
pub(crate) const PROTOCOLS: [&str; 2] = ["grpc", "http"];

/// The service while it runs.
pub(crate) struct Exporting {
    pub(crate) client: GenerationServiceClient<Channel>,
    pub(crate) seen: Seen,
    stop: oneshot::Sender<()>,
    service: JoinSet<()>,
}

/// What can be seen of its exports, also after its end.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) counts: Arc<ExportCounts>,
    metrics: Arc<Metrics>,
}

impl Seen {
    /// What became of its spans.
    pub(crate) fn fates(&self) -> [u64; 4] {
        SpanFate::ALL.map(|fate| self.counts.spans(fate))
    }

    /// What its metrics show.
    pub(crate) fn shown(&self) -> Scraped {
        Scraped::read(&self.metrics.text())
    }
}

impl Exporting {
    pub(crate) async fn start(config: &str) -> Self {
        let anywhere = "127.0.0.1:0".parse().unwrap();
        let service = Service::from_text(config, "test", Some(anywhere)).await;
        let service = service.unwrap_or_else(|error| panic!("{error}"));
        let seen = Seen {
            counts: Arc::clone(service.export_counts()),
            metrics: Arc::clone(service.metrics()),
        };
        let address = format!("http://{}", service.address());
        let (stop, stopped) = oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async {
            let stopped = async { stopped.await.unwrap_or_default() };
            service.run(stopped).await.unwrap();
        });
        let channel = Channel::from_shared(address).unwrap().connect_lazy();
        Self {
            client: GenerationServiceClient::new(channel),
            seen,
            stop,
            service: tasks,
        }
    }

    /// So many calls of the scenario `quick`, one after the other.
    pub(crate) async fn calls(&self, count: usize) {
        for _ in 0..count {
            let mut client = self.client.clone();
            client.generate(ask("quick", "Hello")).await.unwrap();
        }
    }

    /// Ends it, and returns what is seen then.
    pub(crate) async fn end(mut self) -> Seen {
        drop(self.stop);
        self.service.join_next().await.unwrap().unwrap();
        self.seen
    }
}
