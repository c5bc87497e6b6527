//! Where do requests go, and what do they say besides, if the configuration has paths and a body of its own?

use modelway::config::Surroundings;
use modelway::config::file::File;
use modelway::grpc::v1::{ExplainPlanRequest, GenerateRequest, SamplingParams};
use modelway::simulator::{Settings, Simulator, WireName};

use crate::support::{Gateway, METHODS, Method, ask, details, lines, text_of};

/// What a file needs besides its providers and models.
const SCENARIO: &str = "
[scenarios.s]
targets = ['p/m']
";

async fn start(config: &str) -> Gateway {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let origin = format!("http://{}", simulator.address());
    let config = config.replace("ORIGIN", &origin);
    Gateway::before(simulator, &format!("{config}{SCENARIO}")).await
}

#[tokio::test]
async fn claude_and_gemini_are_called_on_vertex_by_their_paths() {
    let claude = "
        [providers.p]
        wire_format = 'anthropic'
        base_url = 'ORIGIN/v1/projects/acme/locations/global/publishers/anthropic'
        auth = 'none'
        dialect = { host = 'vertex' }
        [models.'p/m']
        model = 'claude-opus-5@20260101'
        max_output_tokens = 1000
        upstream_mode = 'whole'";
    let by_template = "
        [providers.p]
        wire_format = 'anthropic'
        base_url = 'ORIGIN'
        auth = 'none'
        dialect = { host = 'vertex' }
        path = '/v1/projects/acme/locations/global/publishers/anthropic/models/{model}:rawPredict'
        stream_path = '/v1/projects/acme/locations/global/publishers/anthropic/models/{model}:streamRawPredict'
        [models.'p/m']
        model = 'claude-opus-5@20260101'
        max_output_tokens = 1000
        upstream_mode = 'whole'";
    let gemini = "
        [providers.p]
        wire_format = 'gemini'
        base_url = 'ORIGIN/v1/projects/acme/locations/global/publishers/google'
        auth = 'none'
        dialect = { call_ids = false }
        [models.'p/m']
        model = 'gemini-3-pro'
        upstream_mode = 'whole'";
    let of_claude =
        "/v1/projects/acme/locations/global/publishers/anthropic/models/claude-opus-5@20260101";
    let of_gemini = "/v1/projects/acme/locations/global/publishers/google/models/gemini-3-pro";
    let table = [
        (
            claude,
            format!("{of_claude}:rawPredict"),
            format!("{of_claude}:streamRawPredict"),
        ),
        (
            by_template,
            format!("{of_claude}:rawPredict"),
            format!("{of_claude}:streamRawPredict"),
        ),
        (
            gemini,
            format!("{of_gemini}:generateContent"),
            format!("{of_gemini}:streamGenerateContent?alt=sse"),
        ),
    ];
    for (config, whole, streamed) in table {
        let gateway = start(config).await;
        for method in METHODS {
            let response = gateway.call(method, ask("s", "Hello")).await.unwrap();

            let received = gateway.simulator.requests().pop().unwrap();
            let expected = match method {
                Method::Generate => &whole,
                Method::StreamGenerate => &streamed,
            };
            assert_eq!(&received.path, expected);
            assert!(!text_of(&response).is_empty());
            if received.wire == Some(WireName::Anthropic) {
                let body = received.json();
                assert_eq!(body["anthropic_version"], "vertex-2023-10-16");
                assert_eq!(body.get("model"), None);
                assert_eq!(received.header("anthropic-version"), None);
            }
        }
    }
}

#[tokio::test]
async fn a_body_from_the_configuration_is_part_of_every_request() {
    let gateway = start(
        "
        [providers.p]
        wire_format = 'openai_chat'
        base_url = 'ORIGIN/v1'
        auth = 'none'
        path = '/deployments/{model}/chat/completions'
        [providers.p.body]
        provider = { order = ['a', 'b'], allow_fallbacks = true }
        transforms = []
        [models.'p/m']
        body = { provider = { allow_fallbacks = false, max_price = 0.5 }, seed_of_cache = 7 }",
    )
    .await;
    for method in METHODS {
        gateway.call(method, ask("s", "Hello")).await.unwrap();

        let received = gateway.simulator.requests().pop().unwrap();
        let body = received.json();
        assert_eq!(received.path, "/v1/deployments/m/chat/completions");
        assert_eq!(
            body["provider"],
            serde_json::json!({"order": ["a", "b"], "allow_fallbacks": false, "max_price": 0.5})
        );
        assert_eq!(body["transforms"], serde_json::json!([]));
        assert_eq!(body["seed_of_cache"], 7);
        assert_eq!(body["model"], "m");
    }
}

/// A request whose temperature the caller sets.
fn tempered() -> GenerateRequest {
    GenerateRequest {
        sampling: Some(SamplingParams {
            temperature: Some(0.5),
            ..SamplingParams::default()
        }),
        ..ask("s", "Hello")
    }
}

#[tokio::test]
async fn a_request_that_sets_what_the_configuration_sets_skips_the_target() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let url = simulator.base_url(WireName::OpenAiChat);
    let gateway = Gateway::before(
        simulator,
        &format!(
            "
            [providers.p]
            wire_format = 'openai_chat'
            base_url = '{url}'
            auth = 'none'
            [models.'p/fixed']
            body = {{ temperature = 0.1 }}
            [models.'p/free']
            [scenarios.s]
            targets = ['p/fixed', 'p/free']
            [scenarios.only]
            targets = ['p/fixed']"
        ),
    )
    .await;

    let response = gateway.generate(ask("s", "Hello")).await.unwrap();
    assert_eq!(lines(&response.attempts), ["1 PRIMARY p/fixed SUCCEEDED"]);

    let response = gateway.generate(tempered()).await.unwrap();
    assert_eq!(
        lines(&response.attempts),
        [
            "0 PRIMARY p/fixed SKIPPED CAPABILITY_UNSUPPORTED",
            "1 FAILOVER p/free SUCCEEDED"
        ]
    );
    let why = "its configuration sets `temperature`, which the request sets, too";
    assert_eq!(response.attempts[0].detail, why);

    let request = ExplainPlanRequest {
        request: Some(tempered()),
    };
    let plan = gateway.operations().explain_plan(request).await.unwrap();
    assert_eq!(plan.into_inner().targets[0].detail, why);

    // A large request is written elsewhere, but the fields are compared before.
    for text in ["Hello".to_owned(), "Hello ".repeat(200_000)] {
        let only = GenerateRequest {
            messages: ask("only", &text).messages,
            scenario: "only".to_owned(),
            ..tempered()
        };
        let failed = gateway.generate(only).await.unwrap_err();
        assert_eq!(details(&failed).reason, "CAPABILITY_UNSUPPORTED");
    }
    assert_eq!(gateway.simulator.requests().len(), 2);
}

fn mistakes(text: &str) -> String {
    let surroundings = Surroundings::without_secrets(None);
    match File::parse(text).resolve(&surroundings) {
        Ok(_) => String::new(),
        Err(mistakes) => mistakes.to_string(),
    }
}

#[test]
fn paths_and_bodies_that_cannot_be_meant_are_refused_with_their_place() {
    let table = [
        (
            "openai_chat",
            "path = 'chat'",
            "",
            "7: providers.p.path: not a path below the base URL: it does not begin with `/`; write it like \"/models/{model}:rawPredict\"",
        ),
        (
            "openai_chat",
            "path = '/{project}/{model}'",
            "",
            "7: providers.p.path: not a path below the base URL: the only placeholder is `{model}`; write it like \"/models/{model}:rawPredict\"",
        ),
        (
            "openai_chat",
            "stream_path = '/chat'",
            "",
            "2: providers.p: `stream_path` is set without `path`; add `path`, where whole answers are asked for",
        ),
        ("openai_chat", "path = '/chat'", "", ""),
        (
            "gemini",
            "path = '/models/{model}:generateContent'",
            "",
            "2: providers.p: `path` is set without `stream_path`, and only the path says whether a stream is wanted; add `stream_path`, such as \"/models/{model}:streamRawPredict\" or \"/models/{model}:streamGenerateContent?alt=sse\"",
        ),
        (
            "gemini",
            "",
            "path = '/a'\nstream_path = '/{model}'",
            "8: models.\"p/m\": the path lacks the model's name, and no other part of the request holds it; write `{model}` in `path` and `stream_path` where the name belongs",
        ),
        (
            "openai_chat",
            "body = 'x'",
            "",
            "7: providers.p.body: a string stands here; write a table",
        ),
        (
            "openai_chat",
            "",
            "body = { stream = true }",
            "9: models.\"p/m\".body.stream: the service sets this field for each request; remove it; callers limit an answer by `sampling`, a model by `max_output_tokens`",
        ),
        (
            "gemini",
            "body.generationConfig.maxOutputTokens = 7",
            "",
            "7: providers.p.body.generationConfig.maxOutputTokens: the service sets this field for each request; remove it; callers limit an answer by `sampling`, a model by `max_output_tokens`",
        ),
        (
            "gemini",
            "body.generation_config.seed = 7",
            "",
            "7: providers.p.body.generation_config: the host reads this as another spelling of a field that the service may set; write it in camelCase, such as `generationConfig`",
        ),
        (
            "openai_chat",
            "body.key = 'env:KEY'",
            "",
            "7: providers.p.body.key: a body must not hold a secret: the host would get the reference itself; send it in a header: `api_key` with `auth`, or `headers`",
        ),
        (
            "openai_chat",
            "body.since = 2020-01-01",
            "",
            "7: providers.p.body.since: JSON has no such value; write a string, a boolean, a finite number of 64 bits, a list or a table",
        ),
        (
            "openai_chat",
            "body.share = nan",
            "",
            "7: providers.p.body.share: JSON has no such value; write a string, a boolean, a finite number of 64 bits, a list or a table",
        ),
        (
            "anthropic",
            "body.messages = []",
            "",
            "7: providers.p.body.messages: the service sets this field for each request; remove it; callers limit an answer by `sampling`, a model by `max_output_tokens`",
        ),
    ];
    for (format, of_provider, of_model, expected) in table {
        let text = format!(
            "
[providers.p]
wire_format = '{format}'
base_url = 'https://example.com'
api_key = 'env:KEY'
dialect = {{}}
{of_provider}
[models.'p/m']
{of_model}
max_output_tokens = 7
{SCENARIO}"
        );
        assert_eq!(mistakes(&text), expected, "{of_provider} {of_model}");
    }
}
