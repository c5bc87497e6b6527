//! Which roles do the processes have that this benchmark starts?

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::thread;

use clap::ValueEnum;
use modelway::simulator::{self, Simulator};

use super::{Failed, floor, front, gateway, telemetry};

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// The simulated provider.
    Simulator,
    /// The server that only forwards.
    Floor,
    /// Modelway.
    Gateway,
    /// Modelway that asks its callers for a key.
    Keyed,
    /// Modelway that asks its callers for a signed token.
    Tokened,
    /// Modelway with all its telemetry, which goes to the sink.
    Observed,
    /// What speaks TLS for the provider.
    Front,
    /// What takes telemetry.
    Sink,
}

/// How a server uses the machine's cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layout {
    /// One runtime with a thread for each core.
    Shared,
    /// A runtime of one thread for each core.
    PerCore,
}

impl Layout {
    pub(crate) const ALL: [Self; 2] = [Self::Shared, Self::PerCore];

    /// How many runtimes of one thread serve.
    pub(crate) fn runtimes(self) -> usize {
        match self {
            Self::Shared => 0,
            Self::PerCore => thread::available_parallelism().map_or(1, NonZero::get),
        }
    }

    /// What it is called in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::PerCore => "per core",
        }
    }
}

impl Role {
    /// Serves until the process is ended.
    pub(crate) async fn play(self, layout: Layout, upstream: &str) -> Result<(), Failed> {
        end_with_parent();
        match self {
            Self::Simulator => {
                let settings = simulator::Settings {
                    log_capacity: 0,
                    ..simulator::Settings::default()
                };
                let simulator = Simulator::start(settings).await?;
                println!("{}", simulator.address());
                std::future::pending().await
            }
            Self::Floor => floor::serve(layout, upstream).await,
            Self::Gateway | Self::Keyed | Self::Tokened | Self::Observed => {
                gateway::serve(layout, upstream).await
            }
            Self::Sink => telemetry::sink().await,
            Self::Front => front::serve(upstream).await,
        }
    }
}

/// Any free port.
pub(crate) const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The parent holds the other end of our standard input for as long as it lives.
fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
}
