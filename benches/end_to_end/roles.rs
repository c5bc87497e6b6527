//! What the processes are that this benchmark starts.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};

use clap::ValueEnum;
use modelway::simulator::{self, Simulator};

use super::{Failed, floor, gateway};

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// The simulated provider.
    Simulator,
    /// The server that only forwards.
    Floor,
    /// Modelway.
    Gateway,
}

impl Role {
    /// Serves until the process is ended.
    pub(crate) async fn play(self, upstream: &str) -> Result<(), Failed> {
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
            Self::Floor => floor::serve(upstream).await,
            Self::Gateway => gateway::serve(upstream).await,
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
