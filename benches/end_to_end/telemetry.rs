//! What does telemetry cost? Modelway that exports every span and its metrics, beside one that exports nothing.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::cases::{CASES, Case, Kind};
use super::process::Process;
use super::report::{Effort, Goal, Rows};
use super::roles::{self, Layout, Role};
use super::{Failed, cost, load};

/// The beginning of these cases' names.
pub(crate) const NAME: &str = "telemetry";

/// The most that telemetry may make of a call or an event.
const GOAL: Goal = Goal::Ratio(1.2);

/// Compares both for a call and for an event. In the table, the one without telemetry is the floor.
pub(crate) async fn measure(
    simulator: &Process,
    connections: usize,
    effort: Effort,
) -> Result<Vec<Rows>, Failed> {
    let sink = Process::start(Role::Sink, Layout::Shared, "")?;
    let upstream = format!("{}|{}", simulator.address, sink.address);
    let mut servers = Vec::new();
    for layout in Layout::ALL {
        let off = Process::start(Role::Gateway, layout, &simulator.address)?;
        let on = Process::start(Role::Observed, layout, &upstream)?;
        servers.push((layout, off, on));
    }
    let mut tables = Vec::new();
    let of = |kind| CASES.iter().find(|case| case.kind == kind);
    let cases = [
        ("telemetry call", of(Kind::Folded)),
        ("telemetry event", of(Kind::Streamed(100))),
    ];
    for (name, case) in cases {
        if let Some(case) = case {
            tables.push(compare(name, case, &servers, connections, effort).await?);
        }
    }
    Ok(tables)
}

async fn compare(
    name: &'static str,
    case: &Case,
    servers: &[(Layout, Process, Process)],
    connections: usize,
    effort: Effort,
) -> Result<Rows, Failed> {
    let calls = case.calls(effort);
    let units = case.units(calls);
    let mut rows = Rows::new(name, case.unit, GOAL);
    for (layout, off, on) in servers {
        let off = (off, load::Load::connect(case, off, connections).await?);
        let on = (on, load::Load::connect(case, on, connections).await?);
        off.1.run(calls.div_ceil(4)).await?;
        on.1.run(calls.div_ceil(4)).await?;
        if effort == Effort::Test {
            continue;
        }
        for _ in 0..effort.rounds(case.rounds) {
            let first = cost(&off, calls).await? / units;
            let second = cost(&on, calls).await? / units;
            let third = cost(&on, calls).await? / units;
            let fourth = cost(&off, calls).await? / units;
            rows.add(*layout, [first, fourth], [second, third]);
        }
    }
    Ok(rows)
}

/// A collector that reads what it is sent and forgets it. It prints where it listens.
pub(crate) async fn sink() -> Result<(), Failed> {
    let listener = TcpListener::bind(roles::ANY_PORT).await?;
    println!("{}", listener.local_addr()?);
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        connections.spawn(async move {
            let connection =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(swallow));
            // The gateway ends its connections when it ends.
            let _ = connection.await;
        });
    }
}

async fn swallow(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // A body that breaks off is nothing to answer.
    let _ = request.into_body().collect().await;
    Ok(Response::new(Full::default()))
}
