//! What do the policies make of an outage? The real dispatcher in virtual time, with an imagined
//! network in place of connections: nothing else is replaced.

mod alone;
mod exchange;
mod laws;
mod outages;
mod recovery;
mod slow;
mod tickets;
mod world;

use std::sync::Arc;
use std::time::Duration;

use modelway::caller::Caller;
use modelway::chat::{ChatRequest, Message, Part, Role};
use modelway::config::Surroundings;
use modelway::config::file::File;
use modelway::dispatch::dispatcher::Dispatcher;
use modelway::dispatch::needs::Needs;
use modelway::dispatch::routes::{Route, Selector};
use modelway::dispatch::{AskedLimits, Call, Inquiry, Interruption};
use modelway::telemetry::observe::{CallOrigin, Observer};
use modelway::telemetry::spans::CallSpan;
use modelway::transport::Transport;
use tokio::time::Instant;

use self::world::{Network, Told, World};

/// A dispatcher and the world in which it acts.
struct Simulation {
    dispatcher: Dispatcher,
    world: Arc<World>,
}

impl Simulation {
    /// Begins with a configuration whose provider number n is at `https://pn` and calls its models
    /// `m0`, `m1` and so on.
    fn begin(config: &str, seed: u64, told: Told) -> Self {
        fastrand::seed(seed); // draws of the dispatcher, which all happen on this thread
        let config = File::parse(config)
            .resolve(&Surroundings::without_secrets(None))
            .unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let world = World::new(seed);
        let network = Network {
            world: Arc::clone(&world),
            told,
        };
        let transport = Transport::carried_by(Arc::new(network));
        Self {
            dispatcher: Dispatcher::new(config.catalog, config.scopes, transport),
            world,
        }
    }

    fn route(&self, scenario: &str) -> Arc<Route> {
        self.dispatcher
            .route(&Selector::Scenario(scenario.to_owned()))
            .unwrap()
    }

    /// A call with a number by which the world knows it.
    fn call(&self, route: &Arc<Route>, number: usize, how: How) -> Call {
        let How {
            whole,
            interruption,
            timeout,
        } = how;
        let inquiry = Inquiry {
            request: Arc::new(request(number)),
            needs: Needs::default(),
            bytes: 0,
            whole,
            deadline: timeout.map(|timeout| Instant::now() + timeout),
            limits: AskedLimits::default(),
            interruption,
            observed: Arc::<Observer>::default().call(CallOrigin::new(
                CallSpan::default(),
                Caller::Unknown,
                modelway::caller::Method::Generate,
            )),
        };
        self.dispatcher.call(Arc::clone(route), inquiry)
    }
}

/// How a call is made.
#[derive(Clone, Copy)]
struct How {
    whole: bool,
    interruption: Interruption,
    timeout: Option<Duration>,
}

fn request(number: usize) -> ChatRequest {
    ChatRequest {
        messages: vec![Message {
            role: Role::User,
            parts: vec![Part::Text(format!("call {number}"))],
        }],
        ..ChatRequest::default()
    }
}

/// Runs a simulation on this thread. Time goes on when there is nothing else to do.
fn run<T>(simulation: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(simulation)
}
