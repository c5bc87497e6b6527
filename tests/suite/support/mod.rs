//! The real service on a real socket, in front of a simulator that tests script.
//!
//! Under a paused clock, every wait for a socket would let all timers fire at once. So these tests run on the real clock, with limits as short as the behaviour needs, and wait for
//! conditions ([`Simulator::wait_for`], the next event of a stream), never for time to pass.

pub(crate) mod aftermath;
pub(crate) mod collector;
pub(crate) mod cost;
pub(crate) mod crowd;
mod details;
pub(crate) mod exporting;
pub(crate) mod foreign;
pub(crate) mod frames;
pub(crate) mod log;
mod nobody;
pub(crate) mod posted;
mod process;
pub(crate) mod proxy;
pub(crate) mod recorder;
pub(crate) mod recordings;
mod request;
pub(crate) mod scraped;
pub(crate) mod scratch;
mod snapshot;
mod specs;
mod spread;
mod streamed;
mod timerless;

pub(crate) use self::details::{Details, details};
pub(crate) use self::nobody::nobody;
pub(crate) use self::process::{EVERYTHING, Process, program, without_settings};
pub(crate) use self::request::{ask, message, part, parts};
pub(crate) use self::snapshot::assert_snapshot;
pub(crate) use self::specs::published;
pub(crate) use self::spread::written;
pub(crate) use self::streamed::{Streamed, collect};
pub(crate) use self::timerless::Timerless;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use modelway::grpc::v1::catalog_service_client::CatalogServiceClient;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::operations_service_client::OperationsServiceClient;
use modelway::grpc::v1::{Attempt, GenerateRequest, GenerateResponse};
use modelway::limits::Limits;
use modelway::serve::Service;
use modelway::server::ListenAddress;
use modelway::serving::control::configuration::ConfigurationFacts;
use modelway::simulator::{Settings, Simulator};
use modelway::telemetry::logging::call_log::CallLog;
use modelway::telemetry::metrics::Metrics;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::Status;
use tonic::transport::Channel;
use tracing::Dispatch;
use tracing::dispatcher::get_default;
use tracing::subscriber::{DefaultGuard, NoSubscriber};

/// One simulated provider for each wire format, behind every test's configuration.
const PROVIDERS: &str = r#"
[providers.openai]
simulated = true
propagate_trace = true
wire_format = "openai_chat"

[providers.anthropic]
simulated = true
propagate_trace = true
wire_format = "anthropic"

[providers.gemini]
simulated = true
propagate_trace = true
wire_format = "gemini"
"#;

/// A scenario of one target, for tests that are about anything but targets.
pub(crate) const ONE_MODEL: &str = r#"
[models."openai/first"]
[scenarios.one]
targets = ["openai/first"]
"#;

/// A running service and its simulator. Both end when it is dropped.
pub(crate) struct Gateway {
    /// Plays every provider; script it by the model's name at the provider, which is what stands
    /// behind the slash of the model's id.
    pub(crate) simulator: Simulator,
    /// Where the service listens.
    pub(crate) address: SocketAddr,
    /// Where it listens for operators.
    pub(crate) admin: Option<ListenAddress>,
    /// Where it listens for probes.
    pub(crate) probes: Option<ListenAddress>,
    /// What the service counts and shows of itself.
    pub(crate) metrics: Arc<Metrics>,
    /// The limits that its calls are held to.
    pub(crate) limits: Limits,
    channel: Channel,
    call_log: Arc<CallLog>,
    /// Dropped or sent, it tells the service to stop.
    stop: Option<oneshot::Sender<()>>,
    service: JoinSet<()>,
    reloads: Arc<Notify>,
    configuration: Arc<ConfigurationFacts>,
}

impl Gateway {
    /// Starts a service with the simulated providers `openai`, `anthropic` and `gemini`, and what
    /// the rest of the configuration says: models, scenarios, limits.
    pub(crate) async fn start(config: &str) -> Self {
        let simulator = Simulator::start(Settings::default()).await.unwrap();
        Self::before(simulator, &format!("{config}\n{PROVIDERS}")).await
    }

    /// Starts a service whose scenario `s` tries these simulated models, in order. `more` goes on with keys of the
    /// scenario, then with other tables.
    pub(crate) async fn start_scenario(targets: &[&str], more: &str) -> Self {
        let models = targets
            .iter()
            .map(|target| format!("[models.{target:?}]\n"));
        let models: String = models.collect();
        Self::start(&format!(
            "{models}[scenarios.s]\ntargets = {targets:?}\n{more}"
        ))
        .await
    }

    /// Starts a service with a whole configuration; its simulated providers are this simulator.
    pub(crate) async fn before(simulator: Simulator, text: &str) -> Self {
        let text = match text.contains("[server]") {
            true => text.to_owned(),
            false => format!("{text}\n[server]\npredrain = \"0s\"\n"),
        };
        let text = match text.contains("runtimes = ") {
            true => text,
            false => text.replace("[server]", &format!("[server]\nruntimes = {}", runtimes())),
        };
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let service = Service::with_simulator(&text, "test", Some(anywhere), &simulator)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        Self::run(simulator, service)
    }

    /// Starts a service that follows this file; its simulated providers are this simulator.
    pub(crate) async fn following(simulator: Simulator, file: &Path) -> Self {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let service = Service::following(file, Some(anywhere), &simulator)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        Self::run(simulator, service)
    }

    fn run(simulator: Simulator, mut service: Service) -> Self {
        if let Some(spans) = recorder::recorded() {
            service.record_into(spans);
        }
        let address = service.address();
        let admin = service.admin_address().cloned();
        let probes = service.probes_address().cloned();
        let (reloads, configuration) = (service.reloads(), service.configuration());
        let metrics = Arc::clone(service.metrics());
        let limits = service.limits().clone();
        let call_log = Arc::clone(service.call_log());
        let (stop, stopped) = oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async {
            let stopped = async { stopped.await.unwrap_or_default() };
            service.run(stopped).await.unwrap();
        });
        let channel = Channel::from_shared(format!("http://{address}"))
            .unwrap()
            .connect_lazy();
        Self {
            simulator,
            address,
            admin,
            probes,
            metrics,
            limits,
            channel,
            call_log,
            stop: Some(stop),
            service: tasks,
            reloads,
            configuration,
        }
    }

    /// What the service tells about its configuration.
    pub(crate) fn configuration(&self) -> &ConfigurationFacts {
        &self.configuration
    }

    /// Lets the service read its file again, and waits until it has: true if the file is used now.
    pub(crate) async fn reload(&self) -> bool {
        let before = self.configuration.counts();
        self.reloads.notify_one();
        loop {
            let after = self.configuration.counts();
            if after != before {
                return after.rejected == before.rejected;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Has the calls summed up that got no line of their own.
    pub(crate) fn sum_up(&self) {
        self.call_log.sum_up();
    }

    /// Tells the service to stop: it takes no more connections, and open calls go on.
    pub(crate) fn stop(&mut self) {
        self.stop = None;
    }

    /// Waits until the service has ended.
    pub(crate) async fn stopped(&mut self) {
        self.service.join_next().await.unwrap().unwrap();
    }

    /// A client of the catalogue.
    pub(crate) fn catalog(&self) -> CatalogServiceClient<Channel> {
        CatalogServiceClient::new(self.channel.clone())
    }

    /// A client of the generation service, for what the shorthands below do not show.
    pub(crate) fn generation(&self) -> GenerationServiceClient<Channel> {
        GenerationServiceClient::new(self.channel.clone())
    }

    /// A client of the operations service.
    pub(crate) fn operations(&self) -> OperationsServiceClient<Channel> {
        OperationsServiceClient::new(self.channel.clone())
    }

    /// A connection from this address, which is that of another caller.
    pub(crate) async fn channel_from(&self, source: IpAddr) -> Channel {
        Channel::from_shared(format!("http://{}", self.address))
            .unwrap()
            .local_address(Some(source))
            .connect()
            .await
            .unwrap()
    }

    /// The connection, for clients of other services.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Calls `Generate`.
    pub(crate) async fn generate(
        &self,
        request: GenerateRequest,
    ) -> Result<GenerateResponse, Status> {
        let response = self.generation().generate(request).await?;
        Ok(response.into_inner())
    }

    /// Calls `StreamGenerate` and reads to the end. A call that fails before its first event gives
    /// no events and that failure.
    pub(crate) async fn stream(&self, request: GenerateRequest) -> Streamed {
        match self.generation().stream_generate(request).await {
            Ok(response) => collect(response.into_inner()).await,
            Err(status) => Streamed::failed(status),
        }
    }

    /// Calls one method or the other; a stream's events are put together to the same response.
    pub(crate) async fn call(
        &self,
        method: Method,
        request: GenerateRequest,
    ) -> Result<GenerateResponse, Status> {
        match method {
            Method::Generate => self.generate(request).await,
            Method::StreamGenerate => self.stream(request).await.into_response(),
        }
    }
}

/// How many runtimes serve where a test does not say: `MODELWAY_RUNTIMES`, or 2. A test that listens
/// to what its own thread traces is served by that thread.
fn runtimes() -> String {
    let listens = get_default(|subscriber| !subscriber.is::<NoSubscriber>());
    if listens || recorder::recorded().is_some() {
        return "0".to_owned();
    }
    std::env::var("MODELWAY_RUNTIMES").unwrap_or_else(|_| "2".to_owned())
}

/// Sends what this thread traces to a subscriber until the guard is dropped.
///
/// While there is just one subscriber, tracing asks the current thread's about a callsite that is
/// new, and remembers the answer: a test on another thread, without a subscriber, would silence the
/// callsite for all. One that stays alive for ever makes it ask all of them.
pub(crate) fn subscribe(subscriber: impl Into<Dispatch>) -> DefaultGuard {
    static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));
    LazyLock::force(&ANOTHER);
    tracing::dispatcher::set_default(&subscriber.into())
}

/// How a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Generate,
    StreamGenerate,
}

/// Both of them, for what holds for either.
pub(crate) const METHODS: [Method; 2] = [Method::Generate, Method::StreamGenerate];

/// A number from the environment, or what stands in for it.
pub(crate) fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |number| number.parse().unwrap())
}

/// Sorts times and gives the one below which 99 of 100 are, and the longest.
pub(crate) fn slowest(times: &mut [Duration]) -> (Duration, Duration) {
    times.sort_unstable();
    let place = times.len() * 99 / 100;
    (times[place.min(times.len() - 1)], times[times.len() - 1])
}

/// Waits for a condition that nothing announces, by looking again and again. Panics with `what` if it never holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let met = async {
        while !holds().await {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(120), met)
        .await
        .unwrap_or_else(|_| panic!("in two minutes it was never so: {what}"));
}

/// Measures how late unrelated timers fire while this is awaited: any further lateness is caused by the
/// service.
pub(crate) async fn note_lateness(late: &mut Vec<Duration>) {
    loop {
        let due = Instant::now() + Duration::from_millis(5);
        sleep_until(due).await;
        late.push(due.elapsed());
    }
}

/// The least time of a few tries; the first that takes less than `limit` is the last of them. Where something waits that
/// should not, every try takes as long as the wait; where the machine has other work to do, some try is quick.
pub(crate) async fn quickest(
    limit: Duration,
    mut attempt: impl AsyncFnMut() -> Duration,
) -> Duration {
    const TRIES: usize = 6;
    let mut least = Duration::MAX;
    for _ in 0..TRIES {
        least = least.min(attempt().await);
        if least < limit {
            break;
        }
    }
    least
}

/// An attempt in one line, such as `1 PRIMARY openai/primary FAILED PROVIDER_TIMEOUT`.
pub(crate) fn line(attempt: &Attempt) -> String {
    let kind = attempt.kind().as_str_name();
    let outcome = attempt.outcome().as_str_name();
    let reason = attempt.error_reason().as_str_name();
    let line = format!(
        "{} {} {}/{} {} {}",
        attempt.number,
        kind.trim_start_matches("ATTEMPT_KIND_"),
        attempt.provider,
        attempt.model,
        outcome.trim_start_matches("ATTEMPT_OUTCOME_"),
        reason.trim_start_matches("ERROR_REASON_"),
    );
    line.trim_end_matches(" UNSPECIFIED").to_owned()
}

/// A trail of attempts, a line each.
pub(crate) fn lines(attempts: &[Attempt]) -> Vec<String> {
    attempts.iter().map(line).collect()
}

/// The text of an answer, all its text parts together.
pub(crate) fn text_of(response: &GenerateResponse) -> String {
    use modelway::grpc::v1::content_part::Part;

    let output = response.output.as_ref().unwrap();
    let texts = output.parts.iter().map(|part| match &part.part {
        Some(Part::Text(text)) => text.as_str(),
        _ => "",
    });
    texts.collect()
}
