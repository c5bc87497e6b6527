//! Does anything that callers, providers or operators keep to themselves get into logs, spans or statuses?

use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::join_all;
use modelway::grpc::v1::content_part::Part;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::{
    ExplainPlanRequest, FunctionTool, GenerateRequest, GetModelRequest, JsonObject, JsonSchema,
    Media, ProviderOptions, Reasoning, Role, SamplingParams, Tool, ToolCall, ToolResult,
    json_object, json_schema, media, tool,
};
use modelway::simulator::{Behaviour, Received, Settings, Simulator, WireName};
use tonic::Status;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

use crate::support::recorder::Recorder;
use crate::support::{
    EVERYTHING, Gateway, METHODS, Method, Process, ask, message, part, parts, scratch, subscribe,
};

/// Stands in everything that must not be seen elsewhere.
const CANARY: &str = "canary";
const KEY: &str = "sk-canary-key";

/// Everything that a provider can do wrong, and some of what it can do right.
const BEHAVIOURS: [&str; 40] = [
    "tokens=3",
    "status=400",
    "status=401",
    "status=402",
    "status=403",
    "status=404",
    "status=429",
    "status=429+retry-after=7s",
    "status=500",
    "status=502",
    "status=503",
    "status=529",
    "context-length",
    "content-filter",
    "quota",
    "hang",
    "reset",
    "silence",
    "pings=10ms",
    "role-only",
    "error",
    "error=1",
    "cut",
    "cut=1",
    "disconnect",
    "disconnect=1",
    "reset=1",
    "stall",
    "stall=1",
    "malformed",
    "malformed=1",
    "half-character=1",
    "html",
    "empty",
    "long-line",
    "error-body",
    "no-end",
    "no-usage",
    "plain",
    "whole",
];

const FORMATS: [(&str, WireName); 4] = [
    ("openai_chat", WireName::OpenAiChat),
    ("openai_responses", WireName::OpenAiResponses),
    ("anthropic", WireName::Anthropic),
    ("gemini", WireName::Gemini),
];

/// Each format's provider with a secret key, each of its models named after a behaviour; and each of
/// those models again at a provider of its own for each method, because some faults are held against
/// the provider.
fn config(simulator: &Simulator) -> String {
    let key = scratch::file("key", KEY);
    let key = key.display();
    // Nothing is closed off for longer than it takes to say so.
    let mut config = String::from(
        "[breaker]\nconsecutive_failures = 1000\nmin_samples = 1000\nmin_commits = 1000\n\
         [credential_lock]\nbase = \"1ms\"\nmax = \"1ms\"\n\
         [throttle]\nbase_wait = \"1ms\"\nmax_wait = \"1ms\"\n\
         [catalog]\nallow_model = true\n",
    );
    for (format, wire) in FORMATS {
        let url = simulator.base_url(wire);
        let mut provider = |name: &str, behaviours: &[&str]| {
            write!(
                config,
                "[providers.{name}]\nwire_format = \"{format}\"\nbase_url = \"{url}\"\napi_key = \"file:{key}\"\n\
                 provider_options = [\"marked\"]\n"
            )
            .unwrap();
            for behaviour in behaviours {
                write!(
                    config,
                    "[models.\"{name}/{behaviour}\"]\nmodel = \"{behaviour}\"\nmax_output_tokens = 1000\n\
                     timeouts = {{ first_event = \"200ms\", first_content = \"300ms\", byte_idle = \"200ms\" }}\n"
                )
                .unwrap();
            }
        };
        provider(format, &BEHAVIOURS);
        for behaviour in BEHAVIOURS {
            for method in METHODS {
                provider(&own_provider(format, behaviour, method), &[behaviour]);
            }
        }
        writeln!(
            config,
            "[scenarios.{format}]\ntargets = [\"{format}/tokens=3\"]"
        )
        .unwrap();
    }
    config
}

fn own_provider(format: &str, behaviour: &str, method: Method) -> String {
    let method = match method {
        Method::Generate => "unary",
        Method::StreamGenerate => "stream",
    };
    format!("{format}-{}-{method}", behaviour.replace(['=', '+'], "-"))
}

/// The simulator that says canaries, too, before and after whatever goes wrong.
async fn simulator() -> Simulator {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    for behaviour in BEHAVIOURS {
        let told = behaviour.parse::<Behaviour>().unwrap();
        simulator.set(
            behaviour,
            Behaviour {
                text: Some("canary-said canary-said canary-said".to_owned()),
                reasoning: 2,
                ..told
            },
        );
    }
    simulator
}

/// A request with canaries wherever a caller's content goes.
fn secretive(model: &str) -> GenerateRequest {
    let canary = |what: &str| format!("{CANARY}-{what}");
    let image = Media {
        source: Some(media::Source::Data(Bytes::from_static(b"canary-bytes"))),
        media_type: "image/png".to_owned(),
        filename: canary("file.png"),
        ..Media::default()
    };
    let call = ToolCall {
        id: canary("call"),
        name: "look_up".to_owned(),
        arguments_json: r#"{"query":"canary-arguments"}"#.to_owned(),
        ..ToolCall::default()
    };
    let reasoning = Reasoning {
        text: canary("thought"),
        signature: Bytes::from_static(b"canary-signature"),
        provider: "anthropic".to_owned(),
    };
    let result = ToolResult {
        tool_call_id: canary("call"),
        content: vec![part(Part::Text(canary("found")))],
        is_error: true,
    };
    let function = FunctionTool {
        name: "look_up".to_owned(),
        description: canary("description"),
        parameters: Some(JsonSchema {
            schema: Some(json_schema::Schema::Text(
                r#"{"type":"object","title":"canary-schema"}"#.to_owned(),
            )),
        }),
        strict: false,
    };
    // The Responses API has none.
    let has_stops = !model.starts_with("openai_responses");
    GenerateRequest {
        model: model.to_owned(),
        messages: vec![
            message(Role::System, &canary("system")),
            parts(
                Role::User,
                [Part::Text(canary("question")), Part::Image(image)],
            ),
            parts(
                Role::Assistant,
                [Part::Reasoning(reasoning), Part::ToolCall(call)],
            ),
            parts(Role::Tool, [Part::ToolResult(result)]),
            message(Role::User, &canary("again")),
        ],
        tools: vec![Tool {
            tool: Some(tool::Tool::Function(function)),
            ..Tool::default()
        }],
        sampling: Some(SamplingParams {
            stop_sequences: Vec::from_iter(has_stops.then(|| canary("stop"))),
            ..SamplingParams::default()
        }),
        end_user_id: canary("user"),
        prompt_cache_key: canary("key"),
        provider_options: FORMATS
            .map(|(format, _)| options(format, r#"{"marked":{"said":"canary-option"}}"#))
            .to_vec(),
        include_provider_metadata: true,
        ..GenerateRequest::default()
    }
}

/// Fields in a provider's own words.
fn options(target: &str, fields: &str) -> ProviderOptions {
    ProviderOptions {
        target: target.to_owned(),
        fields: Some(JsonObject {
            value: Some(json_object::Value::Text(fields.to_owned())),
        }),
        optional: false,
    }
}

/// Requests that are refused here, with canaries in what is wrong about them.
fn refused() -> Vec<GenerateRequest> {
    let good = || secretive("openai_chat/tokens=3");
    let mut no_result = good();
    no_result.messages.remove(3);
    let mut no_schema = good();
    if let Some(tool::Tool::Function(function)) = &mut no_schema.tools[0].tool {
        function.name = "canary tool".to_owned();
        function.parameters = Some(JsonSchema {
            schema: Some(json_schema::Schema::Text("canary".to_owned())),
        });
    }
    let mut no_media = good();
    no_media.messages[1] = parts(
        Role::User,
        [Part::Image(Media {
            source: Some(media::Source::Uri("canary://canary".to_owned())),
            media_type: "canary".to_owned(),
            ..Media::default()
        })],
    );
    let unprintable = GenerateRequest {
        conversation_id: "canary\n".to_owned(),
        ..good()
    };
    // Options that are written wrongly, set what they must not, or are not allowed.
    let of_options = [
        "canary",
        r#"{"temperature":"canary","model":"canary"}"#,
        r#"{"hidden":"canary"}"#,
    ];
    let of_options = of_options.map(|fields| GenerateRequest {
        provider_options: vec![options("openai_chat", fields)],
        ..good()
    });
    let mut refused = vec![no_result, no_schema, no_media, unprintable];
    refused.extend(of_options);
    refused
}

/// What was written to a log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn assert_clean(what: &str, text: &str) {
    let place = text.find(CANARY);
    assert!(
        place.is_none(),
        "{what}: {}",
        &text[place.unwrap_or(0).saturating_sub(200)..]
    );
}

fn assert_clean_status(what: &str, status: &Status) {
    assert_clean(what, &format!("{status:?}"));
    assert_clean(what, &String::from_utf8_lossy(status.details()));
}

#[tokio::test]
async fn no_content_and_no_key_gets_into_logs_spans_or_statuses() {
    let (text_log, json_log) = (Log::default(), Log::default());
    let recorder = Recorder::start();
    let ours = || EnvFilter::new("modelway=trace");
    let (text, json) = (text_log.clone(), json_log.clone());
    let subscriber = registry()
        .with(
            fmt::layer()
                .with_writer(move || text.clone())
                .with_filter(ours()),
        )
        .with(
            fmt::layer()
                .json()
                .with_writer(move || json.clone())
                .with_filter(ours()),
        );
    let _subscriber = subscribe(subscriber);
    let simulator = simulator().await;
    let config = config(&simulator);
    let gateway = Gateway::before(simulator, &config).await;

    let mut failures = Vec::new();
    for behaviour in BEHAVIOURS {
        let mut calls = Vec::new();
        for (format, _) in FORMATS {
            for method in METHODS {
                let provider = own_provider(format, behaviour, method);
                let request = secretive(&format!("{provider}/{behaviour}"));
                calls.push(gateway.call(method, request));
            }
        }
        failures.extend(join_all(calls).await.into_iter().filter_map(Result::err));
    }
    for request in refused() {
        failures.push(gateway.generate(request).await.unwrap_err());
    }
    leave_in_the_middle(&gateway).await;

    // The canaries were there to be seen.
    let received = gateway.simulator.requests();
    assert!(received.len() >= FORMATS.len() * BEHAVIOURS.len() * METHODS.len());
    assert!(received.iter().all(shows_canaries));
    let (text, json) = (text_log.text(), json_log.text());
    assert!(text.contains("attempt failed") && json.contains("attempt failed"));
    assert!(failures.len() > FORMATS.len() * BEHAVIOURS.len());
    assert_clean("text log", &text);
    assert_clean("JSON log", &json);
    let spans = recorder.spans();
    assert!(spans.len() > received.len());
    assert_clean("spans", &format!("{spans:?}"));
    for status in &failures {
        assert_clean_status("status", status);
    }
}

fn shows_canaries(request: &Received) -> bool {
    let headers = format!("{:?}", request.headers);
    let body = String::from_utf8_lossy(&request.body);
    let said = ["canary-question", "canary-system", "canary-option"];
    headers.contains(KEY) && said.iter().all(|said| body.contains(said))
}

async fn leave_in_the_middle(gateway: &Gateway) {
    let before = gateway.simulator.requests().len();
    let arrived = |log: &[Received]| log.len() > before;
    tokio::select! {
        _ = gateway.generate(secretive("anthropic/hang")) => {}
        () = gateway.simulator.wait_for(arrived) => {}
    }
}

#[tokio::test]
async fn what_operators_and_catalogue_readers_are_shown_holds_no_key() {
    let simulator = simulator().await;
    let config = config(&simulator);
    let gateway = Gateway::before(simulator, &config).await;

    let model = GetModelRequest {
        id: "anthropic/hang".to_owned(),
    };
    let model = gateway.catalog().get_model(model).await.unwrap();
    let request = ExplainPlanRequest {
        request: Some(secretive("anthropic/hang")),
    };
    let plan = gateway.operations().explain_plan(request).await.unwrap();

    assert_clean("model", &format!("{model:?}"));
    assert_clean("plan", &format!("{plan:?}"));
}

/// The program with everything logged that it and its libraries have to say.
#[tokio::test]
async fn the_programs_log_is_clean_in_both_formats_at_every_level() {
    let simulator = simulator().await;
    for format in ["text", "json"] {
        let mut config = config(&simulator);
        write!(config, "[logging]\nformat = \"{format}\"\n").unwrap();
        let path = scratch::file("modelway.toml", config);
        let process = Process::serve(Some(&path), &[("RUST_LOG", EVERYTHING)]);
        let mut client = GenerationServiceClient::new(process.connect().await);

        for (provider, _) in FORMATS {
            for behaviour in ["tokens=3", "status=500", "status=401", "cut=1", "malformed"] {
                let request = secretive(&format!("{provider}/{behaviour}"));
                // Whether it is answered does not matter here.
                let _ = client.generate(request).await;
            }
            client
                .generate(ask(provider, "canary-short"))
                .await
                .unwrap();
        }
        process.terminate();
        let (status, log) = process.ended().await;

        assert_eq!(status.code(), Some(0));
        assert!(log.contains("attempt failed"));
        assert_clean(format, &log);
    }
}
