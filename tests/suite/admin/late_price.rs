//! Is money that became known late the same, to the nano-USD, wherever it is told? The whole way of a price through a service
//! that runs: by its callers, its administrators, its limits, its metrics and its exports.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use modelway::grpc::v1::caller_service_client::CallerServiceClient;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::ledger_service_client::LedgerServiceClient;
use modelway::grpc::v1::{
    Attempt, CallRecord, CostSource, CreateKeyRequest, ExportFormat, ExportSummary,
    ExportUsageRequest, GetCallRequest, Key, ListCallsRequest, Price, PriceUnknownRequest,
    PutAccountRequest, PutPricesRequest, QueryUsageRequest, ServiceTier, UsageDimension, UsageRow,
    UsageSource, WhoAmIRequest,
};
use modelway::server::ListenAddress;
use prost_types::Timestamp;
use tonic::Request;
use tonic::transport::Channel;

use crate::ledger::clocks::Clock;
use crate::ledger::table;
use crate::support::foreign::host::Host;
use crate::support::scraped::Scraped;
use crate::support::{Process, ask, collect, nobody, scratch, until};

use super::support::{ALL, AdminClient, authorized, caller, client_at, keys, secret_of};

const HOUR: i64 = 3_600;

/// Calls of each kind, by either method.
const ROUNDS: usize = 3;

/// The rates of the model in pico-USD for a token: input, cached input, output, reasoning. And the fee of an attempt in
/// nano-USD.
const STANDARD: [i64; 4] = [2_500_003, 250_007, 15_000_011, 15_000_013];
const FEE: i64 = 7;

/// The same where the provider has served the cheaper tier.
const FLEX: [i64; 4] = [1_250_001, 125_003, 7_500_007, 7_500_009];

/// What the provider says that it counted: prompt, cached part, answer, reasoning in it; and the tier that it served.
const COUNTED: [([i64; 4], &str); 5] = [
    ([1_003, 0, 17, 0], "default"),
    ([2_001, 1_536, 31, 0], "default"),
    ([503, 0, 211, 120], "default"),
    ([1_003, 512, 17, 5], "flex"),
    ([1, 0, 1, 0], "flex"),
];

/// A word of the prompt of calls whose first target breaks off.
const BREAKS: &str = "breaks";

/// Answers as the number in the prompt says; at the model `bad` it breaks off, if the prompt asks for that.
fn answer(body: &[u8]) -> String {
    let asked: serde_json::Value = serde_json::from_slice(body).unwrap();
    let prompt = asked["messages"].to_string();
    let mut number = prompt.matches(|character: char| character.is_ascii_digit());
    let number: usize = number.next_back().unwrap().parse().unwrap();
    let ([input, cached, output, reasoning], tier) = COUNTED[number];
    let said = |delta: &str, end: &str, rest: &str| {
        format!(
            "data: {{\"id\":\"a\",\"model\":\"m\",\"service_tier\":\"{tier}\",\"choices\":[{{\"index\":0,\
             \"delta\":{delta},\"finish_reason\":{end}}}]{rest}}}\n\n"
        )
    };
    let begun = said(
        "{\"role\":\"assistant\",\"content\":\"some words\"}",
        "null",
        "",
    );
    if asked["model"] == "bad" && prompt.contains(BREAKS) {
        return begun;
    }
    let usage = format!(
        ",\"usage\":{{\"prompt_tokens\":{input},\"completion_tokens\":{output},\"total_tokens\":{},\
         \"prompt_tokens_details\":{{\"cached_tokens\":{cached}}},\
         \"completion_tokens_details\":{{\"reasoning_tokens\":{reasoning}}}}}",
        input + output
    );
    format!("{begun}{}data: [DONE]\n\n", said("{}", "\"stop\"", &usage))
}

fn config(data: &Path, host: &Host, admin: SocketAddr) -> String {
    let mut text = format!(
        "[server]\npredrain = '0s'\n[admin]\nlisten = '{admin}'\n{}{}",
        table(data, ""),
        host.provider("p", "auth = 'none'")
    );
    for (model, name) in [("bad", "bad"), ("good", "good")] {
        text += &format!("[models.'p/{model}']\nmodel = '{name}'\nmax_output_tokens = 1000\n");
    }
    text += "[scenarios.one]\ntargets = ['p/bad', 'p/good']\nretry = { ratio = 1.0, burst = 1000 }\n\
             [breaker]\nmin_commits = 1000000\n";
    // Of the one an unknown cost counts nothing, of the other its ceiling, until the cost is known.
    for (id, more) in [
        ("watched", "enforcement = 'watch'\n"),
        ("held", "unknown_ceiling = '20 USD'\n"),
    ] {
        text += &format!(
            "[[limits]]\nid = '{id}'\nper = ['caller']\nmoney = '5000 USD'\nwindow = 'total'\n{more}"
        );
    }
    text
}

fn moment(at: i64) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: at,
        nanos: 0,
    })
}

/// What an attempt costs by the arithmetic of this test, in nano-USD; half a nano-USD is rounded up.
fn cost_of(attempt: &Attempt) -> i64 {
    let usage = attempt.usage.as_ref().unwrap();
    let rates = match usage.service_tier() {
        ServiceTier::Flex => FLEX,
        _ => STANDARD,
    };
    let counts = [
        usage.input_tokens - usage.cache_read_input_tokens,
        usage.cache_read_input_tokens,
        usage.output_tokens - usage.reasoning_output_tokens,
        usage.reasoning_output_tokens,
    ];
    let pico: i64 = counts
        .iter()
        .zip(rates)
        .map(|(count, rate)| count * rate)
        .sum();
    (pico + 500) / 1_000 + FEE
}

/// A running service, and who asks it.
struct Service {
    process: Process,
    channel: Channel,
    admin_address: SocketAddr,
    admin: AdminClient,
    ledger: LedgerServiceClient<Channel>,
    ops: String,
    /// The key of a caller.
    secret: String,
}

impl Service {
    async fn start(clock: &Clock, host: &Host) -> Self {
        let data = scratch::path("data");
        let actions = ALL.map(|action| action.as_str_name().trim_start_matches("ACTION_"));
        let actions = actions.iter().flat_map(|action| ["--admin", action]);
        let arguments: Vec<_> = ["create", "--caller", "ops"]
            .into_iter()
            .chain(actions)
            .collect();
        let ops = secret_of(&keys(&data, &arguments));
        let admin_address = nobody();
        let config = scratch::file("modelway.toml", config(&data, host, admin_address));
        let process = clock.serve(&config);
        let channel = process.connect().await;
        let mut admin = client_at(&ListenAddress::Tcp(admin_address), &ops).await;
        let account = PutAccountRequest {
            account: Some(caller("indexer")),
            comment: String::new(),
        };
        admin.put_account(account).await.unwrap();
        let key = CreateKeyRequest {
            key: Some(Key {
                account: "indexer".to_owned(),
                ..Key::default()
            }),
            comment: String::new(),
        };
        let secret = admin.create_key(key).await.unwrap().into_inner().secret;
        let of_ledger = Channel::from_shared(format!("http://{admin_address}")).unwrap();
        Self {
            ledger: LedgerServiceClient::new(of_ledger.connect().await.unwrap()),
            process,
            channel,
            admin_address,
            admin,
            ops,
            secret,
        }
    }

    /// One call of each kind by either method; the ids of those that are answered in one piece.
    async fn calls(&self) -> Vec<String> {
        let mut client = GenerationServiceClient::new(self.channel.clone());
        let mut ids = Vec::new();
        for number in 0..COUNTED.len() {
            for what in ["stays whole", BREAKS] {
                let request = ask("one", &format!("this {what}, as {number} does"));
                let request = authorized(Request::new(request), &self.secret);
                let answer = client.generate(request).await.unwrap().into_inner();
                ids.push(answer.call_id);
            }
            let request = ask("one", &format!("this is streamed, as {number} is"));
            let request = authorized(Request::new(request), &self.secret);
            let stream = client.stream_generate(request).await.unwrap();
            let streamed = collect(stream.into_inner()).await;
            assert!(streamed.failure.is_none(), "{:?}", streamed.failure);
        }
        ids
    }

    async fn call(&mut self, id: &str) -> CallRecord {
        let request = GetCallRequest {
            call_id: id.to_owned(),
        };
        let request = authorized(Request::new(request), &self.ops);
        let answer = self.ledger.get_call(request).await.unwrap();
        answer.into_inner().call.unwrap()
    }

    /// All calls, page by page.
    async fn listed(&mut self) -> Vec<CallRecord> {
        let mut calls = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListCallsRequest {
                page_size: 7,
                page_token,
                filter: None,
            };
            let request = authorized(Request::new(request), &self.ops);
            let page = self.ledger.list_calls(request).await.unwrap().into_inner();
            calls.extend(page.calls);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return calls;
            }
        }
    }

    async fn usage(&mut self, group_by: &[UsageDimension]) -> Vec<UsageRow> {
        let request = QueryUsageRequest {
            group_by: group_by.iter().map(|of| (*of).into()).collect(),
            ..QueryUsageRequest::default()
        };
        let request = authorized(Request::new(request), &self.ops);
        let answer = self.ledger.query_usage(request).await.unwrap();
        answer.into_inner().rows
    }

    /// What is used of each limit, as its caller is told.
    async fn used(&self) -> BTreeMap<String, (i64, i64)> {
        let mut callers = CallerServiceClient::new(self.channel.clone());
        let request = authorized(Request::new(WhoAmIRequest {}), &self.secret);
        let answer = callers.who_am_i(request).await.unwrap().into_inner();
        let states = answer.limits.into_iter();
        let used = states.map(|state| (state.limit_id, (state.used, state.reserved)));
        used.collect()
    }

    async fn scraped(&self) -> Scraped {
        let url = format!("http://{}/metrics", self.admin_address);
        let answer = reqwest::get(url).await.unwrap();
        Scraped::read(&answer.text().await.unwrap())
    }

    /// The lines of an export, and what it says that they sum up to.
    async fn exported(
        &mut self,
        format: ExportFormat,
        from: i64,
        end: i64,
    ) -> (String, ExportSummary) {
        let request = ExportUsageRequest {
            start_time: moment(from),
            end_time: moment(end),
            format: format.into(),
            ..ExportUsageRequest::default()
        };
        let request = authorized(Request::new(request), &self.ops);
        let mut pieces = self
            .ledger
            .export_usage(request)
            .await
            .unwrap()
            .into_inner();
        let mut text = Vec::new();
        let mut summary = None;
        while let Some(piece) = pieces.message().await.unwrap() {
            text.extend(piece.chunk);
            summary = piece.summary.or(summary);
        }
        (String::from_utf8(text).unwrap(), summary.unwrap())
    }
}

/// The cells of a line of comma-separated values.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut is_quoted = false;
    for character in line.chars() {
        match character {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => cells.push(String::new()),
            _ => cells.last_mut().unwrap().push(character),
        }
    }
    cells
}

/// The sums of `BilledCost`, in nano-USD, by `ChargeClass`.
fn billed(csv: &str) -> BTreeMap<String, i64> {
    let mut lines = csv.lines().map(cells);
    let heads = lines.next().unwrap();
    let column = |name| heads.iter().position(|head| head == name).unwrap();
    let (cost, class) = (column("BilledCost"), column("ChargeClass"));
    let mut sums: BTreeMap<String, i128> = BTreeMap::new();
    for line in lines {
        let (whole, part) = line[cost].split_once('.').unwrap();
        assert_eq!(part.len(), 12, "{line:?}");
        let pico: i128 = format!("{whole}{part}").parse().unwrap();
        *sums.entry(line[class].clone()).or_default() += pico;
    }
    let nanos = |(class, pico): (String, i128)| {
        assert_eq!(pico % 1_000, 0, "whole nano-USD of {class}");
        (class, i64::try_from(pico / 1_000).unwrap())
    };
    sums.into_iter().map(nanos).collect()
}

/// The sum of what the lines say that calls cost, in nano-USD.
fn in_lines(lines: &str) -> i64 {
    let nanos = |line: &str| {
        let call: serde_json::Value = serde_json::from_str(line).unwrap();
        let nanos = call["cost"]["amountNanos"].as_str();
        nanos.map_or(0, |nanos| nanos.parse::<i64>().unwrap())
    };
    lines.lines().map(nanos).sum()
}

fn prices(start: i64) -> PutPricesRequest {
    let price = |[input, cached, output, reasoning]: [i64; 4], tier: ServiceTier| Price {
        service_tier: tier.into(),
        start_time: moment(start),
        input_pico: Some(input),
        cache_read_pico: Some(cached),
        output_pico: Some(output),
        reasoning_pico: Some(reasoning),
        request_nanos: FEE,
        ..Price::default()
    };
    let of_model = |model: &str| {
        [(STANDARD, ServiceTier::Standard), (FLEX, ServiceTier::Flex)].map(|(rates, tier)| Price {
            model: model.to_owned(),
            ..price(rates, tier)
        })
    };
    PutPricesRequest {
        prices: [of_model("p/bad"), of_model("p/good")].concat(),
        comment: "the list has come".to_owned(),
        ..PutPricesRequest::default()
    }
}

fn nanos_of(row: &UsageRow) -> i64 {
    row.cost.as_ref().map_or(0, |cost| cost.amount_nanos)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_comes_late_makes_the_same_money_known_at_every_place() {
    let Some(clock) = Clock::new() else {
        return;
    };
    let host = Host::start(|_, body| (200, "text/event-stream", answer(body))).await;
    let mut service = Service::start(&clock, &host).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    // The hour in which the calls come may end meanwhile.
    let hour = now - now % HOUR;
    let mut ids = Vec::new();
    for _ in 0..ROUNDS {
        ids.extend(service.calls().await);
    }
    let calls = i64::try_from(ROUNDS * COUNTED.len() * 3).unwrap();
    until("the calls are settled", async || {
        let rows = service.usage(&[]).await;
        rows.iter().map(|row| row.calls).sum::<i64>() == calls
    })
    .await;

    // Before the price is known, nothing is told as if it were.
    let before = service.listed().await;
    let attempts: i64 = before.iter().map(|record| i64::from(record.attempts)).sum();
    let unknown =
        |record: &CallRecord| record.cost.as_ref().unwrap().source() == CostSource::Unknown;
    assert!(before.iter().all(unknown), "{before:?}");
    let scraped = service.scraped().await;
    assert_eq!(scraped.nanos("modelway_cost_usd_total", &[]), 0);
    let unpriced = scraped.sum("modelway_cost_unknown_total", &[]);
    assert_eq!(unpriced, attempts as f64);
    assert_eq!(service.used().await["watched"], (0, 0));
    assert!(service.used().await["held"].0 > 0);

    // An hour later the list of prices comes.
    clock.step(HOUR);
    service.admin.put_prices(prices(now - 60)).await.unwrap();
    let wish = PriceUnknownRequest {
        start_time: moment(now - 60),
        comment: "the list has come".to_owned(),
        ..PriceUnknownRequest::default()
    };
    let done = service
        .admin
        .price_unknown(wish.clone())
        .await
        .unwrap()
        .into_inner();
    let again = service
        .admin
        .price_unknown(wish)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (done.attempts, done.calls, done.still_unknown),
        (attempts, calls, 0)
    );
    assert_eq!((again.attempts, again.added.unwrap().amount_nanos), (0, 0));
    let sum = done.added.unwrap().amount_nanos;

    // Each attempt costs what this test works out of what the provider has counted.
    let listed = service.listed().await;
    let (mut by_test, mut wasted, mut by_get, mut estimated) = (0, 0, 0, 0);
    for record in &listed {
        let shown = service.call(&record.call_id).await;
        assert_eq!(shown.cost, record.cost);
        let mut of_call = 0;
        for attempt in shown.attempt_records.iter().filter(|it| it.number > 0) {
            let nanos = cost_of(attempt);
            let told = attempt.cost.as_ref().unwrap();
            assert_eq!(told.amount_nanos, nanos, "{attempt:?}");
            assert!(!told.prices_version.is_empty(), "{attempt:?}");
            let source = attempt.usage.as_ref().unwrap().source();
            estimated += usize::from(source == UsageSource::Estimated);
            of_call += nanos;
        }
        assert_eq!(record.cost.as_ref().unwrap().amount_nanos, of_call);
        by_get += shown.cost.as_ref().unwrap().amount_nanos;
        by_test += of_call;
        wasted += record.waste.as_ref().map_or(0, |waste| waste.amount_nanos);
    }
    let broken = &service.call(&ids[1]).await.attempt_records;
    assert_eq!(broken.len(), 2, "{broken:?}");
    let by_list: i64 = listed
        .iter()
        .map(|call| call.cost.as_ref().unwrap().amount_nanos)
        .sum();
    let total: i64 = service.usage(&[]).await.iter().map(nanos_of).sum();
    let by_model = service
        .usage(&[UsageDimension::Caller, UsageDimension::Scenario])
        .await;
    let by_model: i64 = by_model.iter().map(nanos_of).sum();
    let used = service.used().await;
    let scraped = service.scraped().await;
    let of_attempts = scraped.nanos("modelway_cost_usd_total", &[("provider", "p")]);
    let of_waste = scraped.nanos("modelway_cost_usd_total", &[("use", "wasted")]);
    let of_calls = scraped.nanos("modelway_call_cost_usd_total", &[("scenario", "one")]);

    // Once the hours have long passed: what came first is told as it was told, and each change beside it.
    clock.step(4 * HOUR);
    let (csv, of_csv) = service
        .exported(ExportFormat::Focus12Csv, hour, hour + 3 * HOUR)
        .await;
    let (first, of_first) = service
        .exported(ExportFormat::Focus12Csv, hour, hour + HOUR)
        .await;
    let (lines, of_lines) = service
        .exported(ExportFormat::JsonLines, hour, hour + 3 * HOUR)
        .await;
    let billed_all = billed(&csv);
    let corrections = billed_all["Correction"];

    let told = [
        ("added by PriceUnknown", sum),
        ("worked out by the test", by_test),
        ("GetCall", by_get),
        ("ListCalls", by_list),
        ("QueryUsage", total),
        ("QueryUsage by groups", by_model),
        ("limit that watches", used["watched"].0),
        ("limit with a ceiling", used["held"].0),
        ("metrics of attempts", of_attempts),
        ("metrics of calls", of_calls),
        ("corrections of the export", corrections),
        ("lines of the export", billed_all.values().sum()),
        ("sum of the export", of_csv.cost.unwrap().amount_nanos),
        ("JSON lines", in_lines(&lines)),
        ("sum of the JSON lines", of_lines.cost.unwrap().amount_nanos),
    ];
    for (place, nanos) in told {
        println!("{place}: {nanos}");
    }
    let off: i64 = told.iter().map(|(_, nanos)| (nanos - by_test).abs()).sum();
    println!(
        "{calls} calls, {attempts} attempts, {estimated} of them with estimated tokens, priced late: {by_test} nano-USD, of \
         which {wasted} were wasted; told at {} places, off by {off}",
        told.len()
    );
    assert_eq!(off, 0, "{told:?}");
    assert!(wasted > 0 && estimated > 0);
    assert_eq!(of_waste, wasted);
    // What was exported before the price was known comes again as it was.
    assert!(billed(&first).values().all(|nanos| *nanos == 0), "{first}");
    assert_eq!(of_first.cost.unwrap().amount_nanos, 0);
    assert!(used.values().all(|(_, reserved)| *reserved == 0));
    service.process.terminate();
    assert!(service.process.ended().await.0.success());
}
