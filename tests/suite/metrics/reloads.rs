//! Do counters never fall, and never vanish at once, through reload after reload?

use std::collections::BTreeMap;

use modelway::server::ListenAddress;
use modelway::simulator::{Settings, Simulator};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::scraped::Scraped;
use crate::support::{Gateway, METHODS, ask, scratch};

const RELOADS: usize = 100;

/// The configuration of one reload: some models and scenarios stay, others come and go.
fn config(number: usize) -> String {
    let more = match number % 3 {
        0 => "",
        1 => "[models.\"openai/more\"]\n[scenarios.more]\ntargets = [\"openai/more\"]\n",
        _ => {
            "[models.\"more/more\"]\n[scenarios.more-still]\ntargets = [\"more/more\"]\n\
              [providers.more]\nsimulated = true\nwire_format = 'openai_chat'\n"
        }
    };
    format!(
        "# {number}\n[server]\npredrain = '0s'\nruntimes = 2\n[probes]\nlisten = '127.0.0.1:0'\n\
         [providers.openai]\nsimulated = true\nwire_format = 'openai_chat'\n\
         [models.\"openai/first\"]\nprice = {{ input = {}.0, output = 1.0 }}\n\
         [scenarios.s]\ntargets = [\"openai/first\"]\n{more}",
        number % 5 + 1
    )
}

/// What the listener for probes shows to a scraper.
async fn scrape(gateway: &Gateway) -> BTreeMap<String, f64> {
    let Some(ListenAddress::Tcp(probes)) = &gateway.probes else {
        panic!("no listener for probes");
    };
    let page = reqwest::get(format!("http://{probes}/metrics"))
        .await
        .unwrap();
    Scraped::read(&page.text().await.unwrap()).counters()
}

#[tokio::test]
async fn no_counter_falls_and_none_vanishes_at_once_over_a_hundred_reloads_under_load() {
    let file = scratch::file("modelway.toml", config(0));
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let gateway = Gateway::following(simulator, &file).await;
    let is_over = CancellationToken::new();
    let mut callers = JoinSet::new();
    for method in METHODS {
        let (mut generation, is_over) = (gateway.generation(), is_over.clone());
        callers.spawn(async move {
            let mut calls = 0;
            while !is_over.is_cancelled() {
                calls += 1;
                match method {
                    crate::support::Method::Generate => {
                        generation.generate(ask("s", "Hello")).await.unwrap();
                    }
                    crate::support::Method::StreamGenerate => {
                        let stream = generation.stream_generate(ask("s", "Hello")).await;
                        crate::support::collect(stream.unwrap().into_inner()).await;
                    }
                }
            }
            calls
        });
    }

    let mut more = 0;
    let mut before = scrape(&gateway).await;
    for number in 1..=RELOADS {
        std::fs::write(&file, config(number)).unwrap();
        assert!(gateway.reload().await, "{number}");
        let after = scrape(&gateway).await;
        // What is counted of something that has just left the configuration is shown for another five minutes.
        for (series, count) in &before {
            let now = after.get(series);
            assert!(
                now.is_some_and(|now| now >= count),
                "{number}: {series} was {count}, is {now:?}"
            );
        }
        for (series, now) in &after {
            let count = before.get(series);
            assert!(
                count.is_none_or(|count| now >= count),
                "{number}: {series} fell from {count:?} to {now}"
            );
        }
        before = after;
        if number % 3 == 2 {
            gateway.generate(ask("more-still", "Hello")).await.unwrap();
            more += 1;
        }
    }
    is_over.cancel();
    let calls: usize = callers.join_all().await.into_iter().sum();
    let calls = calls + more;

    let all = gateway.scraped_after(calls).await;
    assert_eq!(all.sum("modelway_calls_total", &[]), calls as f64);
    let connected = [("provider", "more"), ("result", "ok")];
    assert!(all.sum("modelway_upstream_connects_total", &connected) >= 1.0);
    let applied = [("result", "applied")];
    assert_eq!(
        all.sum("modelway_config_reloads_total", &applied),
        RELOADS as f64
    );
    assert_eq!(all.sum("modelway_config_generations", &[]), 1.0);
}
