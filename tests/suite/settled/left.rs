//! The endings that a caller, an operator or the service itself brings about, before the first event of an answer and after
//! it, in every wire format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::stream_generate_response::Event;
use modelway::grpc::v1::{AttemptOutcome, BillingClass, GenerateRequest, StreamGenerateResponse};
use modelway::simulator::{Behaviour, Settings, Simulator, WireName};
use prost::Message as _;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::{Request, Streaming};

use super::{Cell, FORMATS, PRICE, compare, compare_rows, settled_rows};
use crate::identity::{TestKey, caller};
use crate::ledger::table;
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, Wire, frame, head,
};
use crate::support::{Gateway, Method, Process, Timerless, ask, scratch};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(60);

/// What its attempt is doing when a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its provider is silent.
    Before,
    /// Its answer has begun, and is collected for the caller.
    Collecting,
    /// Its answer has begun, and is passed on.
    Streaming,
}

const STAGES: [Stage; 3] = [Stage::Before, Stage::Collecting, Stage::Streaming];

impl Stage {
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    fn method(self) -> Method {
        match self {
            Self::Before | Self::Streaming => Method::StreamGenerate,
            Self::Collecting => Method::Generate,
        }
    }

    fn behaviour(self) -> Behaviour {
        let text = match self {
            Self::Before => "hang",
            Self::Collecting | Self::Streaming => "tokens=2000+gap=10ms",
        };
        text.parse().unwrap()
    }

    fn class(self) -> BillingClass {
        match self {
            Self::Before => BillingClass::Uncertain,
            Self::Collecting | Self::Streaming => BillingClass::Partial,
        }
    }

    /// Whether the caller has been given something when it leaves.
    fn is_useful(self) -> bool {
        self == Self::Streaming
    }
}

/// The places at which a call can be when it ends in this way.
struct Left {
    ending: &'static str,
    stages: Vec<Stage>,
}

impl Left {
    fn places(&self) -> impl Iterator<Item = (&'static str, Stage)> {
        FORMATS
            .into_iter()
            .flat_map(|format| self.stages.iter().map(move |stage| (format, *stage)))
    }

    /// A scenario with a target of its own for each place; `provider` says where its provider is.
    fn config(&self, provider: impl Fn(&str) -> String) -> String {
        let mut config = String::new();
        for (format, stage) in self.places() {
            let name = format!("{format}-{}", stage.name());
            let _ = write!(
                config,
                "[providers.{name}]\n{}\npropagate_trace = true\nwire_format = {format:?}\n\
                 [models.\"{name}/m\"]\nmodel = {:?}\n{PRICE}\
                 [scenarios.{name}]\ntargets = [\"{name}/m\"]\nmax_attempts = 1\n",
                provider(format),
                stage.name(),
            );
        }
        config
    }

    fn simulated(&self) -> String {
        self.config(|_| "simulated = true".to_owned())
    }

    fn cells(&self, class: impl Fn(Stage) -> BillingClass) -> BTreeMap<String, Cell> {
        let cell = |(format, stage): (&'static str, Stage)| {
            let cell = Cell {
                ending: format!("{} {stage:?}", self.ending),
                format,
                class: class(stage),
                is_useful: stage.is_useful(),
            };
            (format!("{format}-{}/m", stage.name()), cell)
        };
        self.places().map(cell).collect()
    }

    fn count(&self) -> usize {
        self.places().count()
    }
}

fn behave(simulator: &Simulator) {
    for stage in STAGES {
        simulator.set(&stage.name(), stage.behaviour());
    }
}

fn request(format: &str, stage: Stage) -> GenerateRequest {
    ask(&format!("{format}-{}", stage.name()), "Hello there")
}

/// Reads a stream until it has content.
async fn content_of(stream: &mut Streaming<StreamGenerateResponse>) {
    let begun = async {
        while !matches!(
            stream.message().await.unwrap().unwrap().event,
            Some(Event::TextDelta(_))
        ) {}
    };
    timeout(PROMPTLY, begun).await.expect("content");
}

/// Calls under way, each at the place that it is to reach.
struct UnderWay {
    waiting: JoinSet<()>,
    streams: Vec<Streaming<StreamGenerateResponse>>,
}

impl UnderWay {
    /// Begins a call for each place with this client, and waits until it is there.
    async fn reach(
        left: &Left,
        client: &GenerationServiceClient<tonic::transport::Channel>,
        simulator: &Simulator,
        sent: impl Fn(GenerateRequest) -> Request<GenerateRequest>,
    ) -> Self {
        let (mut waiting, mut streams) = (JoinSet::new(), Vec::new());
        for (format, stage) in left.places() {
            let mut client = client.clone();
            let request = sent(request(format, stage));
            match stage {
                Stage::Streaming => {
                    let stream = client.stream_generate(request).await.unwrap();
                    let mut stream = stream.into_inner();
                    content_of(&mut stream).await;
                    streams.push(stream);
                }
                Stage::Before => {
                    waiting.spawn(async move {
                        if let Ok(stream) = client.stream_generate(request).await {
                            let mut stream = stream.into_inner();
                            while let Ok(Some(_)) = stream.message().await {}
                        }
                    });
                }
                Stage::Collecting => {
                    waiting.spawn(async move {
                        let _ = client.generate(request).await;
                    });
                }
            }
        }
        let arrived = simulator.wait_for(|log| log.len() == left.count());
        timeout(PROMPTLY, arrived).await.expect("the requests");
        // What is collected gets its tokens as these do.
        for stream in &mut streams {
            for _ in 0..40 {
                content_of(stream).await;
            }
        }
        Self { waiting, streams }
    }

    /// The callers leave.
    async fn leave(mut self) {
        self.waiting.shutdown().await;
        self.streams.clear();
    }

    /// Waits until the service has ended all of them.
    async fn ended(mut self) {
        let ended = async {
            while self.waiting.join_next().await.is_some() {}
            for mut stream in self.streams {
                while let Ok(Some(_)) = stream.message().await {}
            }
        };
        timeout(PROMPTLY, ended).await.expect("they end");
    }
}

async fn compared(mut gateway: Gateway, data: &Path, cells: &BTreeMap<String, Cell>) {
    gateway.stop();
    gateway.stopped().await;
    compare(data, cells, &gateway.simulator.requests());
}

#[tokio::test]
async fn calls_that_their_callers_leave() {
    let left = Left {
        ending: "left by its caller",
        stages: STAGES.to_vec(),
    };
    let data = scratch::path("settled-left");
    let gateway = Gateway::start(&format!("{}{}", left.simulated(), table(&data, ""))).await;
    behave(&gateway.simulator);

    let generation = gateway.generation();
    let calls = UnderWay::reach(&left, &generation, &gateway.simulator, Request::new).await;
    calls.leave().await;

    compared(gateway, &data, &left.cells(Stage::class)).await;
}

#[tokio::test]
async fn calls_that_their_deadlines_end() {
    let left = Left {
        ending: "deadline",
        stages: STAGES.to_vec(),
    };
    let data = scratch::path("settled-deadline");
    let gateway = Gateway::start(&format!("{}{}", left.simulated(), table(&data, ""))).await;
    behave(&gateway.simulator);
    let client = Timerless::connect(gateway.address).await;

    // Long enough for all answers to have begun, and too short for more than was set aside.
    let calls = left
        .places()
        .map(|(format, stage)| client.call(stage.method(), request(format, stage), "4S"));
    let outcomes = join_all(calls).await;

    assert!(outcomes.iter().all(Result::is_err));
    compared(gateway, &data, &left.cells(Stage::class)).await;
}

#[tokio::test]
async fn calls_that_the_end_of_the_service_ends() {
    let left = Left {
        ending: "end of the service",
        stages: STAGES.to_vec(),
    };
    let data = scratch::path("settled-end");
    let server = "[server]\npredrain = '0s'\ndrain_timeout = '200ms'\n";
    let config = format!("{server}{}{}", left.simulated(), table(&data, ""));
    let mut gateway = Gateway::start(&config).await;
    behave(&gateway.simulator);

    let generation = gateway.generation();
    let calls = UnderWay::reach(&left, &generation, &gateway.simulator, Request::new).await;
    gateway.stop();
    calls.ended().await;

    compared(gateway, &data, &left.cells(Stage::class)).await;
}

#[tokio::test]
async fn calls_whose_key_is_revoked() {
    let left = Left {
        ending: "key revoked",
        stages: STAGES.to_vec(),
    };
    let data = scratch::path("settled-revoked");
    let key = TestKey::new(modelway::identity::key::KeyKind::Data);
    let text = |more: &str| {
        let server = "[server]\npredrain = '0s'\nruntimes = 2\n";
        let key = key.table("k", "a", more);
        [
            server,
            &left.simulated(),
            &table(&data, ""),
            &caller("a", ""),
            &key,
        ]
        .concat()
    };
    let file = scratch::file("modelway.toml", text(""));
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    behave(&simulator);
    let gateway = Gateway::following(simulator, &file).await;

    let generation = gateway.generation();
    let sends = |request| key.sends(request);
    let calls = UnderWay::reach(&left, &generation, &gateway.simulator, sends).await;
    fs::write(&file, text("revoked = true")).unwrap();
    assert!(gateway.reload().await);
    calls.ended().await;

    compared(gateway, &data, &left.cells(Stage::class)).await;
}

#[tokio::test]
async fn calls_whose_callers_do_not_read() {
    let left = Left {
        ending: "not read by its caller",
        stages: vec![Stage::Streaming],
    };
    let data = scratch::path("settled-stall");
    let server = "[server]\npredrain = '0s'\nclient_stall = '1s'\n";
    // More than all buffers on the way have room for, so that a busy machine takes a while to begin with it.
    let long = "= 30000\ntimeouts = { first_event = '60s', first_content = '60s' }\n";
    let long = left.simulated().replace("= 1000\n", long);
    let config = format!("{server}{long}{}", table(&data, ""));
    let gateway = Gateway::start(&config).await;
    let behaviour: Behaviour = "tokens=20000+stall=10000".parse().unwrap();
    gateway.simulator.set("streaming", behaviour);

    let mut callers = Vec::new();
    for (format, stage) in left.places() {
        let mut wire = Wire::connect(gateway.address).await;
        // SETTINGS_INITIAL_WINDOW_SIZE: enough for the head of the stream and a few events.
        let mut setting = vec![0, 4];
        setting.extend(2048_u32.to_be_bytes());
        wire.send(PREFACE).await;
        wire.send(&frame(SETTINGS, 0, 0, &setting)).await;
        let message = request(format, stage).encode_to_vec();
        let mut body = vec![0];
        body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        body.extend(message);
        let path = "/modelway.v1.GenerationService/StreamGenerate";
        wire.send(&frame(HEADERS, END_HEADERS, 1, &head(path)))
            .await;
        wire.send(&frame(DATA, END_STREAM, 1, &body)).await;
        callers.push(wire);
    }
    let given_up = gateway.simulator.wait_for(|log| {
        log.len() == left.count() && log.iter().all(|request| request.ending.is_some())
    });
    timeout(PROMPTLY, given_up)
        .await
        .expect("they are given up");
    drop(callers);

    compared(gateway, &data, &left.cells(Stage::class)).await;
}

#[tokio::test]
async fn attempts_that_lose_against_a_rival() {
    /// Attempts that have to be seen before it is known what is usual.
    const KNOWN_AFTER: usize = 200;
    let data = scratch::path("settled-rivals");
    let mut config = table(&data, "");
    let mut cells = BTreeMap::new();
    for format in FORMATS {
        let mut provider = |name: &str| {
            let _ = write!(
                config,
                "[providers.{name}-{format}]\nsimulated = true\npropagate_trace = true\nwire_format = {format:?}\n\
                 [models.\"{name}-{format}/{name}\"]\n{PRICE}"
            );
        };
        provider("late");
        provider("swift");
        let _ = write!(
            config,
            "[scenarios.{format}]\ntargets = [\"late-{format}/late\", \"swift-{format}/swift\"]\n\
             hedge = {{ min_delay = '50ms', burst = 1000, max_cost = 1 }}\n"
        );
        let cell = Cell {
            ending: "given up for a rival".to_owned(),
            format,
            // Two of the formats count the prompt before there is content.
            class: match format {
                "anthropic" | "gemini" => BillingClass::Partial,
                _ => BillingClass::Uncertain,
            },
            is_useful: false,
        };
        cells.insert(format!("late-{format}/late"), cell);
    }
    let gateway = Gateway::start(&config).await;
    gateway
        .simulator
        .set("late", "tokens=2".parse::<Behaviour>().unwrap());
    gateway
        .simulator
        .set("swift", "tokens=2".parse::<Behaviour>().unwrap());
    let known = FORMATS.map(async |format| {
        for _ in 0..KNOWN_AFTER {
            gateway.generate(ask(format, "Hello")).await.unwrap();
        }
    });
    join_all(known).await;
    gateway
        .simulator
        .set("late", "first=20s".parse::<Behaviour>().unwrap());
    for format in FORMATS {
        let answer = gateway.generate(ask(format, "Hello")).await.unwrap();
        assert_eq!(answer.attempts.len(), 2, "{answer:?}");
    }
    let mut gateway = gateway;
    gateway.stop();
    gateway.stopped().await;
    // What made known what is usual is no part of the matrix.
    let mut rows = settled_rows(&data);
    rows.retain(|row| row.outcome == i64::from(AttemptOutcome::Cancelled as i32));
    compare_rows(&rows, &cells, &gateway.simulator.requests());
}

#[tokio::test]
async fn attempts_of_a_process_that_is_killed() {
    let left = Left {
        ending: "process killed",
        stages: STAGES.to_vec(),
    };
    let data = scratch::path("settled-killed");
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    behave(&simulator);
    let place = |format: &str| {
        let wire = match format {
            "openai_chat" => WireName::OpenAiChat,
            "openai_responses" => WireName::OpenAiResponses,
            "anthropic" => WireName::Anthropic,
            _ => WireName::Gemini,
        };
        format!("base_url = {:?}\nauth = 'none'", simulator.base_url(wire))
    };
    let server = "[server]\npredrain = '0s'\n";
    let config = format!("{server}{}{}", left.config(place), table(&data, ""));
    let file = scratch::file("modelway.toml", config);
    let process = Process::serve(Some(&file), &[]);
    let client = GenerationServiceClient::new(process.connect().await);
    let calls = UnderWay::reach(&left, &client, &simulator, Request::new).await;

    // Dropped, it is killed.
    drop(process);
    calls.leave().await;
    let process = Process::serve(Some(&file), &[]);
    process.terminate();
    assert!(process.ended().await.0.success());

    let cells = left.cells(|_| BillingClass::Uncertain);
    let wasted = cells.into_iter().map(|(target, cell)| {
        let is_useful = false;
        (target, Cell { is_useful, ..cell })
    });
    compare(&data, &wasted.collect(), &simulator.requests());
}
