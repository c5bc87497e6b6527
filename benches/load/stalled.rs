//! Hundreds of callers that begin a stream and do not read it (C1).

use std::time::Duration;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::simulator::{Behaviour, Ending, Received};
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;

use super::Plan;
use super::honest;
use super::report::{Bound, Report};
use super::service::{Service, ask};

pub(crate) const NAME: &str = "C1 stalled streams";

const STREAMS: usize = 500;
const CONNECTIONS: usize = 10;

/// What a stream may take of memory.
const KIB_A_STREAM: f64 = 256.0;

pub(crate) async fn measure(plan: &Plan, report: &mut Report) {
    let stall = plan.client_stall;
    let config = format!(
        r#"
        [server]
        client_stall = "{}ms"
        [models."sim/stalled"]
        [scenarios.stalled]
        targets = ["sim/stalled"]
        {}"#,
        stall.as_millis(),
        honest::CONFIG
    );
    let service = Service::start("stalled", &config).await;
    let client = service.client().await;
    let (mut alone, ()) = honest::during(&client, sleep(plan.attack)).await;

    // More than all buffers on the way, and no end.
    let flood = Behaviour {
        text: Some(["x".repeat(1023).as_str(); 8192].join(" ")),
        .."stall=8192".parse().unwrap()
    };
    service.simulator.set("stalled", flood);
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        // Each stream is held up by its own window, not by that of its connection.
        let endpoint = service.endpoint().initial_stream_window_size(64 << 10);
        let endpoint = endpoint.initial_connection_window_size(256 << 20);
        let channel = endpoint.connect().await.unwrap();
        clients.push(GenerationServiceClient::new(channel));
    }
    let memory = service.watch_memory();
    let mut unread = Vec::new();
    for number in 0..STREAMS {
        let client = &mut clients[number % CONNECTIONS];
        let response = client.stream_generate(ask("stalled")).await.unwrap();
        unread.push(response.into_inner());
    }
    let opened = Instant::now();
    let ended = service.simulator.wait_for(|log: &[Received]| {
        let ended = |request: &&Received| {
            request.model == "stalled" && request.ending == Some(Ending::ClientClosed)
        };
        log.iter().filter(ended).count() == STREAMS
    });
    let (mut meanwhile, all_ended) = honest::during(&client, timeout(stall * 3, ended)).await;
    let took = opened.elapsed();

    let mut told = 0;
    for mut stream in unread {
        let status = loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => break Code::Ok,
                Err(status) => break status.code(),
            }
        };
        told += usize::from(status == Code::ResourceExhausted);
    }
    let each = memory.growth_kib() / STREAMS as f64;
    report.line(
        NAME,
        "memory of a stream, KiB",
        each,
        Bound::AtMost(KIB_A_STREAM),
    );
    let bound = Bound::AtMost((stall + Duration::from_secs(1)).as_secs_f64());
    let took = match all_ended {
        Ok(()) => took.as_secs_f64(),
        Err(_) => f64::INFINITY,
    };
    report.line(NAME, "all ended upstream after, s", took, bound);
    let bound = Bound::AtLeast(STREAMS as f64);
    report.line(NAME, "callers that learn why", told as f64, bound);
    honest::report(NAME, &mut alone, &mut meanwhile, report);
}
