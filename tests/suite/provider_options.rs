//! Do fields in a provider's own words reach the targets that they are for, and no others?

use modelway::grpc::v1::content_part::Part;
use modelway::grpc::v1::{
    Attempt, AttemptKind, ContentPart, CostSource, ExplainPlanRequest, FILE_DESCRIPTOR_SET,
    FunctionTool, GenerateRequest, GenerateResponse, JsonObject, Media, PlannedTarget,
    ProviderFile, ProviderOptions, ProviderPart, ProviderTool, Role, ServiceTier, Tool,
    json_object, media, tool,
};
use modelway::simulator::{Behaviour, Settings, Simulator};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value;
use tonic::Code;

use crate::support::{Gateway, METHODS, ask, details, lines, message, part, parts};

/// Three formats, two hosts of one of them, and one whose operator allows nothing.
const CONFIG: &str = r#"
[breaker]
consecutive_failures = 1000
min_samples = 1000

[catalog]
allow_model = true

[providers.claude]
simulated = true
wire_format = "anthropic"
provider_options = ["*"]
[providers.vertex]
simulated = true
wire_format = "anthropic"
provider_options = ["context_management", "metadata.team"]
[providers.gpt]
simulated = true
wire_format = "openai_chat"
provider_options = ["*"]
[providers.strict]
simulated = true
wire_format = "openai_chat"
[providers.idle]
simulated = true
wire_format = "gemini"

[models."claude/opus"]
max_output_tokens = 1000
[models."vertex/opus-at-vertex"]
max_output_tokens = 1000
[models."gpt/five"]
[models."strict/six"]

[scenarios.all]
targets = ["claude/opus", "vertex/opus-at-vertex", "gpt/five", "strict/six"]
max_attempts = 4
[scenarios.typed-only]
targets = ["gpt/five"]
provider_options = "refuse"
"#;

fn text(fields: &str) -> Option<JsonObject> {
    Some(JsonObject {
        value: Some(json_object::Value::Text(fields.to_owned())),
    })
}

fn entry(target: &str, fields: &str, optional: bool) -> ProviderOptions {
    ProviderOptions {
        target: target.to_owned(),
        fields: text(fields),
        optional,
    }
}

fn asking(options: Vec<ProviderOptions>) -> GenerateRequest {
    GenerateRequest {
        provider_options: options,
        ..ask("all", "Hello")
    }
}

/// The body that a model was sent last.
fn sent(gateway: &Gateway, model: &str) -> Value {
    let requests = gateway.simulator.requests_for(model);
    serde_json::from_slice(&requests.last().unwrap().body).unwrap()
}

fn fail(gateway: &Gateway, models: &[&str]) {
    for model in models {
        let behaviour = "status=500".parse::<Behaviour>().unwrap();
        gateway.simulator.set(model, behaviour);
    }
}

async fn plan(gateway: &Gateway, request: &GenerateRequest) -> Vec<PlannedTarget> {
    let request = ExplainPlanRequest {
        request: Some(request.clone()),
    };
    let response = gateway.operations().explain_plan(request).await.unwrap();
    response.into_inner().targets
}

/// Why targets are skipped, by their models.
fn skipped(attempts: &[Attempt]) -> Vec<(&str, &str)> {
    let skipped = attempts.iter().filter(|attempt| attempt.number == 0);
    skipped
        .map(|attempt| (&*attempt.model, &*attempt.detail))
        .collect()
}

#[tokio::test]
async fn each_target_of_a_call_is_sent_what_is_for_its_format_or_its_provider() {
    let request = asking(vec![
        entry("claude", r#"{"context_management":{"edits":[1]}}"#, false),
        entry(
            "anthropic",
            r#"{"context_management":{"edits":[2]},"metadata":{"team":"a"}}"#,
            false,
        ),
        entry("openai_chat", r#"{"enable_thinking":1e2}"#, false),
    ]);
    for method in METHODS {
        let gateway = Gateway::start(CONFIG).await;
        fail(&gateway, &["opus", "opus-at-vertex"]);

        let response = gateway.call(method, request.clone()).await.unwrap();

        assert_eq!(response.model, "five");
        // The provider's own entry holds over the one for its format, and both are merged.
        let claude = sent(&gateway, "opus");
        assert_eq!(claude["context_management"]["edits"][0], 1);
        assert_eq!(claude["metadata"]["team"], "a");
        let vertex = sent(&gateway, "opus-at-vertex");
        assert_eq!(vertex["context_management"]["edits"][0], 2);
        assert_eq!(vertex["metadata"]["team"], "a");
        let gpt = gateway.simulator.requests_for("five");
        let gpt = String::from_utf8(gpt[0].body.to_vec()).unwrap();
        assert!(gpt.contains(r#""enable_thinking":1e2"#), "{gpt}");
        assert!(!gpt.contains("context_management") && !gpt.contains("team"));
    }
}

#[tokio::test]
async fn a_target_that_no_needed_entry_fits_or_that_allows_none_is_skipped_before_anything_is_sent()
{
    let request = asking(vec![
        entry("gpt", r#"{"mine":1}"#, false),
        entry("strict", r#"{"mine":1}"#, false),
        entry("claude", r#"{"mine":1}"#, true),
    ]);
    let none_fits =
        "it cannot be sent `provider_options`: none of it is for this provider or its wire format";
    let forbidden =
        "it cannot be sent `provider_options[1].fields.mine`: the operator does not allow it";
    for method in METHODS {
        let gateway = Gateway::start(CONFIG).await;
        fail(&gateway, &["opus", "five"]);

        let planned = plan(&gateway, &request).await;
        let failed = gateway.call(method, request.clone()).await.unwrap_err();

        let planned: Vec<_> = planned
            .iter()
            .map(|target| (&*target.model, target.eligible, &*target.detail))
            .collect();
        let expected = [
            ("claude/opus", true, ""),
            ("vertex/opus-at-vertex", false, none_fits),
            ("gpt/five", true, ""),
            ("strict/six", false, forbidden),
        ];
        assert_eq!(planned, expected);
        let failure = details(&failed).failure.unwrap();
        let skipped = skipped(&failure.attempts);
        assert_eq!(skipped[0], ("opus-at-vertex", none_fits));
        for model in ["opus-at-vertex", "six"] {
            assert!(gateway.simulator.requests_for(model).is_empty());
        }
    }
}

#[tokio::test]
async fn a_call_that_no_target_can_be_sent_fails_and_says_why() {
    let gateway = Gateway::start(CONFIG).await;

    let failed = gateway
        .generate(asking(vec![entry("gemini", r#"{"a":1}"#, false)]))
        .await;

    let details = details(&failed.unwrap_err());
    assert_eq!(details.code, Code::FailedPrecondition);
    assert_eq!(details.reason, "CAPABILITY_UNSUPPORTED");
    assert!(gateway.simulator.requests().is_empty());
}

#[tokio::test]
async fn optional_entries_are_left_out_with_a_warning_that_names_them() {
    let gateway = Gateway::start(CONFIG).await;
    let ask_of = |model: &str, options| GenerateRequest {
        scenario: String::new(),
        model: model.to_owned(),
        ..asking(options)
    };
    let options = vec![
        entry("claude", r#"{"context_management":{}}"#, true),
        entry("openai_chat", r#"{"mine":1}"#, true),
    ];
    // The model, the field of the warning, what the model is sent.
    let table = [
        ("claude/opus", None, "context_management"),
        ("vertex/opus-at-vertex", Some("provider_options"), ""),
        ("gpt/five", None, "mine"),
        ("strict/six", Some("provider_options[1].fields.mine"), ""),
    ];
    for (model, field, is_sent) in table {
        let response = gateway.generate(ask_of(model, options.clone())).await;

        let warnings = response.unwrap().warnings;
        let adapted = warnings.iter().filter(|warning| warning.code == "ADAPTED");
        let fields: Vec<_> = adapted.map(|warning| &*warning.field).collect();
        assert_eq!(fields, field.into_iter().collect::<Vec<_>>(), "{model}");
        let body = sent(&gateway, model.split_once('/').unwrap().1);
        for name in ["context_management", "mine"] {
            assert_eq!(body.get(name).is_some(), name == is_sent, "{model} {name}");
        }
    }
}

#[tokio::test]
async fn what_no_target_may_be_sent_is_refused_with_the_field_and_the_remedy() {
    let gateway = Gateway::start(CONFIG).await;
    // Target, fields, the field that is wrong below the entry, a piece of what is said of it.
    let table = [
        ("antropic", "{}", "target", "did you mean `anthropic`?"),
        (
            "nobody",
            "{}",
            "target",
            "use one of `anthropic`, `claude`, `gemini`, `gpt`",
        ),
        ("anthropic", r#"{"model":"x"}"#, "fields.model", "remove it"),
        (
            "claude",
            r#"{"max_tokens":1}"#,
            "fields.max_tokens",
            "`sampling.max_output_tokens`",
        ),
        (
            "gpt",
            r#"{"temperature":1}"#,
            "fields.temperature",
            "`sampling.temperature`",
        ),
        ("gpt", r#"{"n":2}"#, "fields.n", "one answer"),
        (
            "openai_chat",
            r#"{"stream":false}"#,
            "fields.stream",
            "remove it",
        ),
        (
            "openai_chat",
            r#"{"reasoning_effort":"high"}"#,
            "fields.reasoning_effort",
            "`reasoning.effort`",
        ),
        (
            "openai_responses",
            r#"{"background":true}"#,
            "fields.background",
            "waits",
        ),
        (
            "openai_responses",
            r#"{"previous_response_id":"r"}"#,
            "fields.previous_response_id",
            "name that provider",
        ),
        (
            "anthropic",
            r#"{"container":"c"}"#,
            "fields.container",
            "a name of its own",
        ),
        (
            "idle",
            r#"{"generation_config":{"top_p":1}}"#,
            "fields.generation_config.top_p",
            "`sampling.top_p`",
        ),
        (
            "gemini",
            r#"{"generationConfig":{"candidateCount":2}}"#,
            "fields.generationConfig.candidateCount",
            "one answer",
        ),
    ];
    for (target, fields, field, told) in table {
        // An entry that is optional is wrong, too, and so is one for a target that is not in the scenario.
        for optional in [false, true] {
            let request = asking(vec![
                entry("claude", "{}", true),
                entry(target, fields, optional),
            ]);
            let refused = gateway.generate(request.clone()).await.unwrap_err();
            let planned = ExplainPlanRequest {
                request: Some(request),
            };
            let unplanned = gateway
                .operations()
                .explain_plan(planned)
                .await
                .unwrap_err();

            let field = format!("provider_options[1].{field}");
            let within = format!("request.{field}");
            for (status, field) in [(refused, field), (unplanned, within)] {
                let details = details(&status);
                assert_eq!(details.code, Code::InvalidArgument, "{field}");
                let [(of, what)] = &details.violations[..] else {
                    panic!("{:?}", details.violations)
                };
                assert_eq!(*of, field);
                assert!(what.contains(told), "{what}");
            }
        }
    }
    assert!(gateway.simulator.requests().is_empty());
}

#[tokio::test]
async fn options_of_parts_and_tools_are_refused_by_their_path() {
    let gateway = Gateway::start(CONFIG).await;
    let mut request = ask("all", "Hello");
    let marked = ContentPart {
        provider_options: vec![entry("claude", r#"{"cache_control":{}}"#, false)],
        ..part(Part::Text("Hello".to_owned()))
    };
    request.messages[0].text.clear();
    request.messages[0].parts = vec![part(Part::Text("Hi".to_owned())), marked];
    let definition = entry("vertexx", r#"{"type":"x"}"#, false);
    request.tools = vec![Tool {
        tool: Some(tool::Tool::ProviderTool(ProviderTool {
            definitions: vec![definition],
        })),
        ..Tool::default()
    }];

    let refused = gateway.generate(request).await.unwrap_err();

    let violations = details(&refused).violations;
    let fields: Vec<_> = violations.iter().map(|(field, _)| &**field).collect();
    assert_eq!(
        fields,
        [
            "messages[0].parts[1].provider_options[0].fields.cache_control",
            "tools[0].provider_tool.definitions[0].target",
        ]
    );
    assert!(violations[0].1.contains("`cache_breakpoint`"));
    assert!(violations[1].1.contains("did you mean `vertex`?"));
}

#[tokio::test]
async fn a_scenario_may_refuse_all_options() {
    let gateway = Gateway::start(CONFIG).await;
    let request = GenerateRequest {
        scenario: "typed-only".to_owned(),
        ..asking(vec![entry("gpt", "{}", true)])
    };

    let refused = gateway.generate(request).await.unwrap_err();
    let without = gateway.generate(ask("typed-only", "Hello")).await;

    let details = details(&refused);
    assert_eq!(details.code, Code::InvalidArgument);
    assert_eq!(details.violations[0].0, "provider_options");
    assert!(without.is_ok());
}

#[tokio::test]
async fn an_answer_that_paused_is_continued_by_its_provider_alone() {
    let paused = |provider: &str| {
        let mut request = ask("all", "Search");
        let part = Part::ProviderPart(ProviderPart {
            provider: provider.to_owned(),
            kind: "server_tool_use".to_owned(),
            content: text(
                r#"{"type":"server_tool_use","id":"s_1","name":"web_search","input":{}}"#,
            ),
        });
        request.messages.push(parts(Role::Assistant, [part]));
        request
    };
    let gateway = Gateway::start(CONFIG).await;
    fail(&gateway, &["opus-at-vertex"]);

    let planned = plan(&gateway, &paused("vertex")).await;
    let failed = gateway.generate(paused("vertex")).await.unwrap_err();
    let nobody = gateway.generate(paused("gone")).await.unwrap_err();

    let mut goes_on = paused("gone");
    goes_on.messages.push(message(Role::User, "Go on"));
    let replaced = gateway.generate(goes_on).await.unwrap();

    let why = "only `vertex` can continue the answer with which the conversation ends";
    let other: Vec<_> = planned
        .iter()
        .filter(|target| target.provider != "vertex")
        .map(|target| &*target.detail)
        .collect();
    assert_eq!(other, [why; 3]);
    let failure = details(&failed).failure.unwrap();
    let skipped = skipped(&failure.attempts).into_iter();
    let of_others = skipped.filter(|(model, _)| *model != "opus-at-vertex");
    assert!(
        of_others
            .map(|(_, detail)| detail)
            .all(|detail| detail == why)
    );
    assert_eq!(details(&nobody).reason, "CAPABILITY_UNSUPPORTED");
    assert_eq!(replaced.model, "opus");
    let vertex = sent(&gateway, "opus-at-vertex");
    let last = vertex["messages"].as_array().unwrap().last().unwrap();
    assert_eq!(last["content"][0]["id"], "s_1");
    for model in ["five", "six"] {
        assert!(gateway.simulator.requests_for(model).is_empty());
    }
}

#[tokio::test]
async fn a_stored_file_is_sent_to_nobody_but_its_provider() {
    let with_file = |provider: &str| {
        let mut request = ask("all", "Read");
        let file = Part::Document(Media {
            source: Some(media::Source::File(ProviderFile {
                provider: provider.to_owned(),
                id: "file_1".to_owned(),
            })),
            ..Media::default()
        });
        request.messages.push(parts(Role::User, [file]));
        request
    };
    let gateway = Gateway::start(CONFIG).await;

    let planned = plan(&gateway, &with_file("vertex")).await;
    let unknown = gateway.generate(with_file("vertx")).await.unwrap_err();

    let why = "only `vertex` has a file that the request names";
    for target in planned.iter().filter(|target| target.provider != "vertex") {
        assert!(!target.eligible);
        assert!(
            target.detail == why || target.detail == "it lacks `stored_file`",
            "{}",
            target.detail
        );
    }
    let details = details(&unknown);
    assert_eq!(details.code, Code::InvalidArgument);
    let (field, what) = &details.violations[0];
    assert_eq!(field, "messages[1].parts[0].document.file.provider");
    assert!(what.contains("did you mean `vertex`?"), "{what}");
}

#[tokio::test]
async fn options_belong_to_what_a_key_stands_for() {
    let gateway = Gateway::start(CONFIG).await;
    let keyed = |options| GenerateRequest {
        idempotency_key: "once".to_owned(),
        ..asking(options)
    };
    let one = vec![entry("claude", r#"{"context_management":{"a":1}}"#, true)];
    let other = vec![entry("claude", r#"{"context_management":{"a":2}}"#, true)];

    let first = gateway.generate(keyed(one.clone())).await.unwrap();
    let repeat = gateway.generate(keyed(one)).await.unwrap();
    let conflict = gateway.generate(keyed(other)).await.unwrap_err();

    assert!(!first.replayed && repeat.replayed);
    assert_eq!(details(&conflict).reason, "IDEMPOTENCY_CONFLICT");
    assert_eq!(lines(&first.attempts), ["1 PRIMARY claude/opus SUCCEEDED"]);
    assert_eq!(gateway.simulator.requests().len(), 1);
}

/// A provider for each wire format.
const EACH: &str = r#"
[catalog]
allow_model = true
[providers.claude]
simulated = true
wire_format = "anthropic"
provider_options = ["*"]
[providers.gpt]
simulated = true
wire_format = "openai_chat"
provider_options = ["*"]
[providers.responses]
simulated = true
wire_format = "openai_responses"
provider_options = ["*"]
[providers.gem]
simulated = true
wire_format = "gemini"
provider_options = ["*"]
[models."claude/m1"]
max_output_tokens = 1000
[models."gpt/m2"]
[models."responses/m3"]
[models."gem/m4"]
[scenarios.all]
targets = ["claude/m1"]
"#;

#[tokio::test]
async fn options_of_parts_and_tools_arrive_where_each_provider_looks_for_them() {
    let gateway = Gateway::start(EACH).await;
    let function = |options| Tool {
        tool: Some(tool::Tool::Function(FunctionTool {
            name: "look_up".to_owned(),
            ..FunctionTool::default()
        })),
        provider_options: options,
        ..Tool::default()
    };
    // The model, options of a part and of a tool, where they arrive, and where the whole definition of a tool does.
    let table = [
        (
            "claude/m1",
            r#"{"citations":{"enabled":true}}"#,
            r#"{"defer_loading":true}"#,
            (
                "/messages/0/content/1/citations/enabled",
                "/tools/0/defer_loading",
                "/tools/1/beta",
            ),
        ),
        (
            "gpt/m2",
            r#"{"citations":{"enabled":true}}"#,
            r#"{"function":{"cached":true}}"#,
            (
                "/messages/0/content/1/citations/enabled",
                "/tools/0/function/cached",
                "/tools/1/beta",
            ),
        ),
        (
            "responses/m3",
            r#"{"citations":{"enabled":true}}"#,
            r#"{"defer_loading":true}"#,
            (
                "/input/0/content/1/citations/enabled",
                "/tools/0/defer_loading",
                "/tools/1/beta",
            ),
        ),
        (
            "gem/m4",
            r#"{"videoMetadata":{"fps":true}}"#,
            r#"{"behavior":true}"#,
            (
                "/contents/0/parts/1/videoMetadata/fps",
                "/tools/0/functionDeclarations/0/behavior",
                "/tools/1/beta",
            ),
        ),
    ];
    for (model, of_part, of_tool, (part_at, tool_at, definition_at)) in table {
        let (provider, name) = model.split_once('/').unwrap();
        let marked = ContentPart {
            provider_options: vec![entry(provider, of_part, false)],
            ..part(Part::Text("there".to_owned()))
        };
        let mut request = GenerateRequest {
            model: model.to_owned(),
            scenario: String::new(),
            ..ask("", "")
        };
        request.messages[0].text.clear();
        request.messages[0].parts = vec![part(Part::Text("Hello".to_owned())), marked];
        let definition = match provider {
            "gem" => r#"{"beta":true}"#,
            _ => r#"{"type":"own","beta":true}"#,
        };
        let whole = Tool {
            tool: Some(tool::Tool::ProviderTool(ProviderTool {
                definitions: vec![entry(provider, definition, false)],
            })),
            ..Tool::default()
        };
        request.tools = vec![function(vec![entry(provider, of_tool, false)]), whole];
        for method in METHODS {
            gateway.call(method, request.clone()).await.unwrap();

            let body = sent(&gateway, name);
            for at in [part_at, tool_at, definition_at] {
                assert_eq!(body.pointer(at), Some(&Value::Bool(true)), "{at}: {body}");
            }
        }
    }
}

/// The page that explains all this, with an example.
const PAGE: &str = include_str!("../../docs/provider-options.md");

/// The first piece of the page in this language.
fn piece(language: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

/// The request of the page, read as any client of gRPC reads JSON.
fn example() -> GenerateRequest {
    let contract = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    let name = "modelway.v1.GenerateRequest";
    let message = contract.get_message_by_name(name).unwrap();
    let mut json = serde_json::Deserializer::from_str(piece("json"));
    let request = DynamicMessage::deserialize(message, &mut json).unwrap();
    GenerateRequest::decode(request.encode_to_vec().as_slice()).unwrap()
}

#[tokio::test]
async fn the_example_of_the_page_is_sent_to_claude_and_fails_over_to_gpt() {
    let simulated = piece("toml").lines().filter_map(|line| match line {
        line if line.starts_with("api_key") => None,
        line if line.starts_with("base_url") => Some("simulated = true"),
        line => Some(line),
    });
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let config: Vec<_> = simulated.collect();
    let gateway = Gateway::before(simulator, &config.join("\n")).await;

    let first = gateway.generate(example()).await.unwrap();
    fail(&gateway, &["claude-sonnet-4-6"]);
    let second = gateway.generate(example()).await.unwrap();

    assert_eq!((&*first.provider, &*second.provider), ("claude", "gpt"));
    let claude = sent(&gateway, "claude-sonnet-4-6");
    assert_eq!(claude["system"][0]["cache_control"]["type"], "ephemeral");
    assert_eq!(claude["tools"][0]["name"], "web_search");
    assert!(claude["context_management"]["edits"].is_array());
    let gpt = sent(&gateway, "gpt-5.5");
    assert_eq!(gpt["prompt_cache_key"], "central-banks-3");
    assert_eq!(gpt["tools"][0]["type"], "web_search");
    assert_eq!(gpt["truncation"], "auto");
    let left_out = |response: &GenerateResponse| {
        let warnings = response.warnings.iter();
        let fields = warnings.map(|warning| warning.field.clone());
        fields.collect::<Vec<_>>()
    };
    assert!(left_out(&first).contains(&"prompt_cache_key".to_owned()));
    let breakpoint = "messages.parts.cache_breakpoint".to_owned();
    assert!(left_out(&second).contains(&breakpoint));
}

/// Two models with prices, at providers that are not the same.
const PRICED: &str = r#"
[providers.own]
simulated = true
wire_format = "openai_chat"
provider_options = ["mine"]
[models."own/first"]
max_output_tokens = 1000
price = { input = 1.0, output = 2.0 }
[models."openai/second"]
max_output_tokens = 1000
price = { input = 1.0, output = 2.0 }
[scenarios.own]
targets = ["own/first"]
[scenarios.other]
targets = ["openai/second"]
[scenarios.rivals]
targets = ["own/first", "openai/second"]
hedge = { max_cost = 1.0, min_delay = "1ms", burst = 100 }
"#;

#[tokio::test]
async fn a_cost_is_known_unless_options_may_have_changed_it() {
    let gateway = Gateway::start(PRICED).await;
    let optional = vec![entry("own", r#"{"mine":1}"#, true)];
    let tier = |service_tier: ServiceTier| service_tier.into();
    // The scenario, options, the tier that is asked for, where the cost comes from.
    let table = [
        ("own", vec![], 0, CostSource::PriceTable),
        ("own", optional.clone(), 0, CostSource::Unknown),
        // They are left out, so that they cannot cost anything.
        ("other", optional, 0, CostSource::PriceTable),
        (
            "own",
            vec![],
            tier(ServiceTier::Standard),
            CostSource::PriceTable,
        ),
        // The provider says that it used its standard tier after all.
        (
            "own",
            vec![],
            tier(ServiceTier::Priority),
            CostSource::PriceTable,
        ),
    ];
    for (scenario, provider_options, service_tier, source) in table {
        let request = GenerateRequest {
            provider_options,
            service_tier,
            ..ask(scenario, "Hello")
        };
        for method in METHODS {
            let response = gateway.call(method, request.clone()).await.unwrap();

            let cost = response.cost.unwrap();
            assert_eq!(cost.source(), source, "{scenario} {service_tier}");
            // What is known stays in the amount.
            assert!(cost.amount_nanos > 0);
        }
    }
}

#[tokio::test]
async fn a_call_whose_cost_may_be_unknown_gets_no_rival() {
    let gateway = Gateway::start(PRICED).await;
    let request = |provider_options| GenerateRequest {
        provider_options,
        ..ask("rivals", "Hello")
    };
    // What is usual has to be known before an attempt is late.
    let brief = "tokens=1".parse::<Behaviour>().unwrap();
    gateway.simulator.set("first", brief);
    for _ in 0..200 {
        gateway.stream(request(Vec::new())).await;
    }
    let late = "delay=400ms".parse::<Behaviour>().unwrap();
    gateway.simulator.set("first", late);

    let plain = gateway.stream(request(Vec::new())).await;
    let optional = vec![entry("own", r#"{"mine":1}"#, true)];
    let with_options = gateway.stream(request(optional)).await;

    let plain = plain.into_response().unwrap();
    assert!(
        plain
            .attempts
            .iter()
            .any(|attempt| attempt.kind() == AttemptKind::Hedge)
    );
    let with_options = with_options.into_response().unwrap();
    assert_eq!(
        lines(&with_options.attempts),
        ["1 PRIMARY own/first SUCCEEDED"]
    );
}
