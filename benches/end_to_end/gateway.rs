//! Modelway as it is served: every policy on, logging as by default; telemetry goes to a sink, or nowhere.

use std::fmt::Write as _;
use std::future::pending;

use modelway::serve::Service;
use modelway::telemetry::Telemetry;

use super::Failed;
use super::cases::{CASES, Kind, OTHERS};
use super::governance;
use super::roles::{self, Layout};

/// Serves on a port of its own, which it prints.
pub(crate) async fn serve(layout: Layout, upstream: &str) -> Result<(), Failed> {
    let service = Service::from_text(
        &config(layout, upstream),
        "benchmark",
        Some(roles::ANY_PORT),
    )
    .await?;
    let _telemetry = Telemetry::install(service.logging(), service.call_log())?;
    println!("{}", service.address());
    service.run(pending()).await?;
    Ok(())
}

/// One provider; each scenario has the model of its case and one to fail over to.
fn config(layout: Layout, upstream: &str) -> String {
    let runtimes = layout.runtimes();
    let mut governance = upstream.split('#');
    let upstream = governance.next().unwrap_or_default();
    let mut part = || governance.next().unwrap_or_default();
    let governance = governance::tables(part(), part(), part());
    let (upstream, telemetry) = match upstream.split_once('|') {
        Some((upstream, sink)) => {
            let sink =
                format!("endpoint = \"http://{sink}\"\nprotocol = \"http\"\ninterval = \"1s\"");
            (upstream, sink)
        }
        None => (upstream, "traces = false\nmetrics = false".to_owned()),
    };
    // Behind TLS the file of its certificate and the version of HTTP are told, too.
    let mut parts = upstream.split(' ');
    let address = parts.next().unwrap_or_default();
    let (scheme, more) = match (parts.next(), parts.next()) {
        (Some(ca_file), Some(http)) => {
            let more = format!("ca_file = {ca_file:?}\nhttp = {http:?}");
            ("https", more)
        }
        _ => ("http", String::new()),
    };
    let mut text = format!(
        r#"
        [server]
        runtimes = {runtimes}
        [telemetry]
        {telemetry}
        [providers.sim]
        wire_format = "openai_chat"
        base_url = "{scheme}://{address}/openai/v1"
        auth = "none"
        {more}
        [models."sim/spare"]
        model = "sim-spare"
        "#
    );
    let of_cases = CASES.iter().map(|case| {
        let mode = match case.kind {
            Kind::Whole => "whole",
            Kind::Folded | Kind::Streamed(_) => "stream",
        };
        (case.scenario, case.model, mode)
    });
    let others = OTHERS.map(|(scenario, model)| (scenario, model, "stream"));
    for (scenario, model, mode) in of_cases.chain(others) {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            r#"
            [models."sim/{scenario}"]
            model = "{model}"
            upstream_mode = "{mode}"
            context_window_tokens = 128_000
            max_output_tokens = 16_000
            price = {{ input = 1.25, output = 10.0 }}
            [scenarios.{scenario}]
            targets = ["sim/{scenario}", "sim/spare"]
            "#
        );
    }
    text + &governance
}
