//! Do keys, limits and prices change while calls run, without a call that notices? What is charged then?

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use modelway::grpc::v1::caller_service_client::CallerServiceClient;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::{GenerateResponse, WhoAmIRequest};
use modelway::simulator::{Behaviour, Settings, Simulator, WireName, text};
use rusqlite::Connection;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::{TestKey, caller};
use crate::support::{Gateway, ask, collect, details, number_from, scratch};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(60);

/// Callers that stream all the time.
const STREAMS: usize = 20;

/// Tokens of an answer that takes long enough to be overtaken by a change.
const SLOW_TOKENS: usize = 100;

/// What a token costs in nano-USD if a million cost one USD.
const NANOS: i64 = 1_000;

/// Requests that each caller may send in the first configuration; each further one allows one more.
const FIRST_AMOUNT: i64 = 1_000_000;

/// A service whose file says other prices, limits and keys in each version.
struct Changing {
    url: String,
    file: PathBuf,
    /// Holds in every version.
    lasting: TestKey,
    /// Each holds in one version; the one before it is revoked there.
    fleeting: Vec<TestKey>,
}

impl Changing {
    fn text(&self, version: usize) -> String {
        let data = self.file.with_file_name("data");
        let mut text = format!(
            r#"
            [server]
            predrain = "0s"
            runtimes = 2
            [reload]
            check_every = "0s"
            [auth]
            anonymous = "local"
            [ledger]
            path = {data:?}
            [providers.sim]
            wire_format = "openai_chat"
            base_url = "{}"
            auth = "none"
            [models."sim/quick"]
            model = "quick"
            price = {{ input = {version}, output = {version} }}
            [models."sim/slow"]
            model = "slow"
            price = {{ input = {version}, output = {version} }}
            [scenarios.quick]
            targets = ["sim/quick"]
            [scenarios.slow]
            targets = ["sim/slow"]
            [[limits]]
            id = "requests"
            per = ["caller"]
            requests = {}
            window = "day"
            [[limits]]
            id = "money"
            money = "{} USD"
            window = "month"
            "#,
            self.url,
            amount(version),
            1_000 + version,
        );
        text += &caller("lasting", "");
        text += &caller("fleeting", "");
        text += &self.lasting.table("lasting", "lasting", "");
        for (number, key) in self.fleeting.iter().enumerate().take(version + 1) {
            let more = if number < version {
                "revoked = true"
            } else {
                ""
            };
            text += &key.table(&format!("version-{number}"), "fleeting", more);
        }
        text
    }

    fn write(&self, text: &str) {
        let beside = self.file.with_extension("new");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, &self.file).unwrap();
    }
}

fn amount(version: usize) -> i64 {
    FIRST_AMOUNT + i64::try_from(version).unwrap()
}

/// What the answer says it cost; it must be what its tokens cost by the prices of this version.
fn charged(answer: &GenerateResponse, version: usize) -> i64 {
    let usage = answer.usage.as_ref().unwrap();
    let tokens = usage.input_tokens + usage.output_tokens;
    let told = answer.cost.as_ref().unwrap().amount_nanos;
    assert_eq!(told, tokens * NANOS * i64::try_from(version).unwrap());
    told
}

/// Amount and use of the limit on requests, as the caller sees them.
async fn requests(channel: &Channel, key: &TestKey) -> (i64, i64) {
    let mut callers = CallerServiceClient::new(channel.clone());
    let told = callers.who_am_i(key.sends(WhoAmIRequest {})).await.unwrap();
    let states = told.into_inner().limits;
    let state = states.iter().find(|state| state.limit_id == "requests");
    let state = state.expect("a state of the limit");
    (state.amount, state.used)
}

/// Rows that are not settled, all rows, and their sum in nano-USD.
fn ledger(data: &Path) -> (i64, i64, i64) {
    let mut sums = (0, 0, 0);
    for entry in fs::read_dir(data.join("ledger")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "db") {
            continue;
        }
        let day = Connection::open(path).unwrap();
        let found = day.query_row(
            "SELECT count(*) FILTER (WHERE state != 2), count(*), coalesce(sum(cost_nanos), 0) FROM attempts",
            [],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)),
        );
        let (open, rows, nanos) = found.unwrap();
        sums = (sums.0 + open, sums.1 + rows, sums.2 + nanos);
    }
    sums
}

/// Changes keys, limits and prices `times` times under load, one change after each `pause`.
async fn under_load(times: usize, pause: Duration) {
    let folder = scratch::folder("reloads");
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    simulator.set("quick", "tokens=30".parse::<Behaviour>().unwrap());
    simulator.set(
        "slow",
        format!("tokens={SLOW_TOKENS}+gap=20ms")
            .parse::<Behaviour>()
            .unwrap(),
    );
    let changing = Changing {
        url: simulator.base_url(WireName::OpenAiChat),
        file: folder.join("modelway.toml"),
        lasting: TestKey::data(),
        fleeting: (0..=times).map(|_| TestKey::data()).collect(),
    };
    changing.write(&changing.text(0));
    let mut gateway = Gateway::following(simulator, &changing.file).await;
    let channel = gateway.channel();

    let stop = CancellationToken::new();
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let mut client = GenerationServiceClient::new(channel.clone());
        let (stop, secret) = (stop.clone(), changing.lasting.secret.clone());
        streams.spawn(async move {
            let (mut calls, mut nanos) = (0, 0);
            while !stop.is_cancelled() {
                let request = super::bearer(ask("quick", "Hello"), &secret);
                let stream = client.stream_generate(request).await.unwrap();
                let streamed = collect(stream.into_inner()).await;
                assert!(streamed.failure.is_none(), "{:?}", streamed.failure);
                assert_eq!(streamed.text(), text(30));
                let answer = streamed.into_response().unwrap();
                (calls, nanos) = (calls + 1, nanos + answer.cost.unwrap().amount_nanos);
            }
            (calls, nanos)
        });
    }
    let mut under_way = JoinSet::new();
    let (mut calls, mut nanos, mut used_before, mut overtaken) = (0, 0, 0, 0);
    for version in 1..=times {
        // It has begun when its head comes, and ends under this version or a later one.
        let mut client = GenerationServiceClient::new(channel.clone());
        let request = changing.lasting.sends(ask("slow", "Hello"));
        let stream = client.stream_generate(request).await.unwrap();
        let call = async move { (version - 1, collect(stream.into_inner()).await) };
        let call = under_way.spawn(call);
        if version % 5 == 0 {
            changing
                .write(&(changing.text(version) + "[[limits]]\nid = 'no-window'\nrequests = 1\n"));
            assert!(!gateway.reload().await);
        }

        changing.write(&changing.text(version));
        assert!(gateway.reload().await);

        overtaken += usize::from(!call.is_finished());
        let of_before = changing.fleeting[version - 1].sends(ask("quick", "Hello"));
        let refused = client.generate(of_before).await.unwrap_err();
        assert_eq!(details(&refused).reason, "CREDENTIALS_INVALID");
        let of_this = changing.fleeting[version].sends(ask("quick", "Hello"));
        let answer = client.generate(of_this).await.unwrap().into_inner();
        nanos += charged(&answer, version);
        let (allowed, used) = requests(&channel, &changing.lasting).await;
        assert_eq!(allowed, amount(version));
        assert!(used >= used_before, "{used} after {used_before}");
        (calls, used_before) = (calls + 1, used);
        while let Some(ended) = under_way.try_join_next() {
            let (begun, streamed) = ended.unwrap();
            let answer = streamed.into_response().unwrap();
            (calls, nanos) = (calls + 1, nanos + charged(&answer, begun));
        }
        tokio::time::sleep(pause).await;
    }
    stop.cancel();
    for (more, cost) in timeout(PROMPTLY, streams.join_all()).await.unwrap() {
        (calls, nanos) = (calls + more, nanos + cost);
    }
    for (begun, streamed) in timeout(PROMPTLY, under_way.join_all()).await.unwrap() {
        let answer = streamed.into_response().unwrap();
        (calls, nanos) = (calls + 1, nanos + charged(&answer, begun));
    }
    gateway.stop();
    gateway.stopped().await;

    println!("{times} changes under {calls} calls, {overtaken} of which were overtaken by one");
    assert!(overtaken > 0);
    assert_eq!(ledger(&folder.join("data")), (0, calls, nanos));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_limits_and_prices_change_under_load_and_each_call_is_charged_by_those_it_began_with()
{
    let times = number_from("MODELWAY_RELOADS", 10);
    under_load(usize::try_from(times).unwrap(), Duration::ZERO).await;
}

/// `just reload`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute"]
async fn a_reload_every_second_of_keys_limits_and_prices_for_a_minute_is_noticed_by_no_call() {
    under_load(60, Duration::from_secs(1)).await;
}
