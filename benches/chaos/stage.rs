//! A service with two targets of its own, whose faults can be switched on and off.

use std::net::{Ipv4Addr, SocketAddr};

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::serve::Service;
use modelway::simulator::{self, Behaviour, Simulator, WireName, text};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use super::Failed;
use super::faults::{Fault, Means};
use super::laws::Ill;
use super::proxy::{Cut, Proxy, Towards};

/// The scenario of both targets.
pub(crate) const SCENARIO: &str = "both";

/// The first target's provider.
pub(crate) const PRIMARY: &str = "primary";

/// The second target's.
pub(crate) const BACKUP: &str = "backup";

/// Both targets' model.
const MODEL: &str = "m";

/// Requests of one kind that each simulator remembers; more than a cell ever makes.
const LOG_CAPACITY: usize = 20_000;

/// Share of the requests that fail in [`Ill::Tenth`].
const TENTH: f64 = 0.1;

/// Every time is a tenth of its default, except that a locked credential is not used for a second. Settings that are not
/// written here have their defaults.
const POLICIES: &str = r#"
[server]
predrain = "1ms"

[breaker]
window = "2s"
open_base = "500ms"
open_max = "1400ms"
retry_after_max = "12s"
probe_lease = "1s"
lasting_answer = "2500ms"

[credential_lock]
base = "1s"
max = "1s"

[throttle]
base_wait = "100ms"
max_wait = "6s"
"#;

/// The same of a call and its attempts, in milliseconds.
const TIMEOUT: u32 = 12_000;
const TIMEOUTS: [(&str, u32); 6] = [
    ("first_event", 1000),
    ("first_content", 2000),
    ("byte_idle", 2000),
    ("progress_idle", 4500),
    ("slow_first_content", 800),
    ("stall_after", 400),
];

/// Tokens of a provider's answers, which tell who gave them.
fn tokens(provider: &str) -> usize {
    match provider {
        PRIMARY => 24,
        BACKUP => 31,
        _ => 0,
    }
}

/// What a provider says when it says all.
pub(crate) fn whole_text(provider: &str) -> String {
    text(tokens(provider))
}

/// A running service and the two simulators behind it. All end when it is dropped.
pub(crate) struct Stage {
    targets: [Side; 2],
    pub(crate) client: GenerationServiceClient<Channel>,
    _stop: oneshot::Sender<()>,
    _service: JoinSet<()>,
}

/// A target: its provider's name and who plays it.
struct Side {
    provider: &'static str,
    simulator: Simulator,
    /// In front of the simulator, for faults of the network.
    proxy: Option<Proxy>,
}

impl Stage {
    /// Starts with both targets healthy, except one that is to lack TLS.
    pub(crate) async fn start(fault: &Fault, ill: Ill, patience: u32) -> Result<Self, Failed> {
        let targets = [
            Side::start(PRIMARY, fault).await?,
            Side::start(BACKUP, fault).await?,
        ];
        let timeouts = TIMEOUTS.map(|(name, time)| format!("{name} = \"{}ms\"", patience * time));
        let timeouts = timeouts.join(", ");
        let mut config = format!(
            r#"
            {POLICIES}
            [scenarios.{SCENARIO}]
            targets = ["{PRIMARY}/{MODEL}", "{BACKUP}/{MODEL}"]
            timeout = "{}ms"
            "#,
            patience * TIMEOUT
        );
        for (side, is_ill) in targets.iter().zip(ill_sides(ill)) {
            let base_url = side.base_url(is_ill && matches!(fault.means, Means::NoTls));
            let provider = side.provider;
            config.push_str(&format!(
                r#"
                [providers.{provider}]
                wire_format = "openai_chat"
                base_url = "{base_url}"
                auth = "none"
                [models."{provider}/{MODEL}"]
                timeouts = {{ {timeouts} }}
                "#
            ));
        }
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let service = Service::from_text(&config, "chaos", Some(anywhere)).await?;
        let endpoint = Endpoint::from_shared(format!("http://{}", service.address()))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let mut tasks = JoinSet::new();
        tasks.spawn(async {
            let stopped = async { stopped.await.unwrap_or_default() };
            if let Err(error) = service.run(stopped).await {
                eprintln!("a service has ended: {error}");
            }
        });
        Ok(Self {
            targets,
            client: GenerationServiceClient::new(endpoint.tcp_nodelay(true).connect_lazy()),
            _stop: stop,
            _service: tasks,
        })
    }

    /// The fault begins.
    pub(crate) async fn inflict(&self, fault: &Fault, ill: Ill) {
        for (side, is_ill) in self.targets.iter().zip(ill_sides(ill)) {
            if !is_ill {
                continue;
            }
            match &fault.means {
                Means::Model(behaviour) => {
                    let mut behaviour = Behaviour::clone(behaviour);
                    behaviour.tokens = tokens(side.provider);
                    if ill == Ill::Tenth {
                        behaviour.fail_ratio = TENTH;
                    }
                    side.simulator.set(MODEL, behaviour);
                }
                Means::Line(line) => {
                    if let Some(proxy) = &side.proxy {
                        proxy.set(Towards::Client, *line);
                        // The limit counts the bytes of a connection, so no connection may have passed any before.
                        proxy.cut(Cut::Close);
                    }
                }
                Means::Refused => side.simulator.pause().await,
                Means::NoTls => {}
            }
        }
    }

    /// The fault ends.
    pub(crate) async fn relieve(&self) -> Result<(), Failed> {
        for side in &self.targets {
            side.recover();
            side.simulator.resume().await?;
            if let Some(proxy) = &side.proxy {
                proxy.heal();
            }
        }
        Ok(())
    }

    /// Requests that have arrived at a provider.
    pub(crate) fn received(&self) -> usize {
        let received = |side: &Side| side.simulator.requests().len();
        self.targets.iter().map(received).sum()
    }
}

impl Side {
    async fn start(provider: &'static str, fault: &Fault) -> Result<Self, Failed> {
        let simulator = Simulator::start(simulator::Settings {
            log_capacity: LOG_CAPACITY,
            ..simulator::Settings::default()
        })
        .await?;
        let proxy = match fault.means {
            Means::Line(_) => Some(Proxy::start(simulator.address())?),
            Means::Model(_) | Means::Refused | Means::NoTls => None,
        };
        let side = Self {
            provider,
            simulator,
            proxy,
        };
        side.recover();
        Ok(side)
    }

    fn base_url(&self, tls: bool) -> String {
        let direct = self.simulator.address();
        let address = self.proxy.as_ref().map_or(direct, Proxy::address);
        let url = self.simulator.base_url(WireName::OpenAiChat);
        let url = url.replace(&direct.to_string(), &address.to_string());
        match tls {
            true => url.replace("http://", "https://"),
            false => url,
        }
    }

    fn recover(&self) {
        let well = Behaviour {
            tokens: tokens(self.provider),
            ..Behaviour::default()
        };
        self.simulator.set(MODEL, well);
    }
}

/// Which of the targets suffer the fault.
fn ill_sides(ill: Ill) -> [bool; 2] {
    [true, ill == Ill::Both]
}
