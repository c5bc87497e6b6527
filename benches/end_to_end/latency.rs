//! How much longer does a call take than the provider? 500 calls a second that take 50 ms upstream.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use tonic::transport::Channel;

use super::cases::{DELAYED, Kind, OTHERS, request};
use super::process::{Process, Processes};
use super::report::{Effort, Goal, Rows, median};
use super::roles::{Layout, Role};
use super::{Failed, floor, load};

/// This case's name.
pub(crate) const NAME: &str = "latency";

/// The most that ours may add at the median.
const GOAL_MS: f64 = 0.5;

/// Between two calls.
const PERIOD: Duration = Duration::from_millis(2);

/// Measures both servers in each layout and the provider without any, in turns.
pub(crate) async fn measure(simulator: &Process, effort: Effort) -> Result<Rows, Failed> {
    let (calls, rounds) = match effort {
        Effort::Test => (5, 1),
        Effort::Quick => (500, 1),
        Effort::Full => (1000, 3),
    };
    let direct = Caller::Direct(Direct::new(&simulator.address)?);
    direct.median_ms(calls / 4 + 1).await?;
    let mut servers = Vec::new();
    for layout in Layout::ALL {
        let processes = Processes::start(layout, simulator)?;
        let floor = Caller::grpc(&processes.floor).await?;
        let gateway = Caller::grpc(&processes.gateway).await?;
        for caller in [&floor, &gateway] {
            caller.median_ms(calls / 4 + 1).await?;
        }
        servers.push((layout, processes, floor, gateway));
    }
    let mut rows = Rows::new(NAME, "ms added", Goal::AtMost(GOAL_MS));
    for _ in 0..rounds {
        for (layout, _processes, floor, gateway) in &servers {
            let first = floor.median_ms(calls).await?;
            let second = gateway.median_ms(calls).await?;
            let without = direct.median_ms(calls).await?;
            let third = gateway.median_ms(calls).await?;
            let fourth = floor.median_ms(calls).await?;
            rows.add(
                *layout,
                [first - without, fourth - without],
                [second - without, third - without],
            );
        }
    }
    Ok(rows)
}

/// Who is called, and how.
enum Caller {
    Direct(Direct),
    Grpc {
        clients: Vec<GenerationServiceClient<Channel>>,
        role: Role,
    },
}

impl Caller {
    async fn grpc(process: &Process) -> Result<Self, Failed> {
        Ok(Self::Grpc {
            clients: load::clients(process, load::CONNECTIONS).await?,
            role: process.role,
        })
    }

    /// Begins a call every two milliseconds, whether or not those before have ended.
    async fn median_ms(&self, calls: usize) -> Result<f64, Failed> {
        let mut open = JoinSet::new();
        let mut period = interval(PERIOD);
        for number in 0..calls {
            period.tick().await;
            match self {
                Self::Direct(direct) => {
                    open.spawn(direct.clone().call());
                }
                Self::Grpc { clients, role } => {
                    open.spawn(call(clients[number % clients.len()].clone(), *role));
                }
            }
        }
        let mut times = Vec::with_capacity(calls);
        while let Some(ended) = open.join_next().await {
            times.push(ended??);
        }
        Ok(median(&times))
    }
}

fn model() -> &'static str {
    OTHERS
        .iter()
        .find_map(|(scenario, model)| (*scenario == DELAYED).then_some(*model))
        .unwrap_or_default()
}

async fn call(mut client: GenerationServiceClient<Channel>, role: Role) -> Result<f64, Failed> {
    let request = request(role, DELAYED, model(), Kind::Folded);
    let began = Instant::now();
    client.generate(request).await?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

/// The provider without anything in front of it.
#[derive(Clone)]
struct Direct {
    client: reqwest::Client,
    url: String,
}

impl Direct {
    fn new(simulator: &str) -> Result<Self, Failed> {
        Ok(Self {
            client: floor::client()?,
            url: floor::url(simulator),
        })
    }

    async fn call(self) -> Result<f64, Failed> {
        let request = request(Role::Floor, DELAYED, model(), Kind::Folded);
        let began = Instant::now();
        let body = floor::body(&request, true)?;
        let post = self.client.post(&self.url);
        let response = post.header(CONTENT_TYPE, "application/json").body(body);
        response.send().await?.error_for_status()?.bytes().await?;
        Ok(began.elapsed().as_secs_f64() * 1e3)
    }
}
