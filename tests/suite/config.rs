//! Configuration files: what they become, and how each mistake is told.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modelway::chat::ServiceTier;
use modelway::config::check::check;
use modelway::config::file::File;
use modelway::config::{Config, KEYLESS, Mistakes, Overrides, Surroundings};
use modelway::dispatch::target::{Catalog, OptionsPolicy, RetryFirst, Timeouts, UpstreamMode};
use modelway::dispatch::{hedging, retry_budget};
use modelway::features::{Feature, Features, Modality};
use modelway::grpc::elements::ElementLimits;
use modelway::health::breaker;
use modelway::json;
use modelway::money::{PriceKey, Rates};
use modelway::provider::Auth;
use modelway::provider::link::Http;
use modelway::server::{self, cors};
use modelway::telemetry::{self, LogFormat, LoggedCalls};
use modelway::transport;
use modelway::wire::{anthropic, gemini, openai_chat, openai_responses};
use proptest::prelude::*;

use crate::support::scratch;

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// What is special about each host.
const PROVIDERS: &str = include_str!("../../docs/providers.md");

/// What the file under test needs besides what it is about.
const REST: &str = r#"
[providers.p]
wire_format = "openai_chat"
base_url = "https://api.example.com/v1"
api_key = "env:KEY"
[models."p/m"]
[scenarios.s]
targets = ["p/m"]
"#;

/// Resolves `text` where the variable `KEY` and the file `/run/secrets/key` hold a secret.
fn resolve(text: &str) -> Result<Config, Mistakes> {
    let surroundings = Surroundings {
        variable: &|name| match name {
            "KEY" => Some("s3cret-of-the-variable".to_owned()),
            "TWO_LINES" => Some("s3cret\nX-Injected: yes".to_owned()),
            "BLANK" => Some("  \n".to_owned()),
            _ => None,
        },
        read_file: &|path| match path.to_str() {
            Some("/run/secrets/key") => Ok("s3cret-of-the-file\n".to_owned()),
            Some("/run/secrets/empty") => Ok("\n".to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        },
        simulator: Some("http://127.0.0.1:41234"),
        in_use: modelway::config::InUse::default(),
    };
    File::parse(text).resolve(&surroundings)
}

fn mistakes(text: &str) -> String {
    match resolve(text) {
        Ok(_) => String::new(),
        Err(mistakes) => mistakes.to_string(),
    }
}

fn resolve_example() -> Config {
    let surroundings = Surroundings::without_secrets(None);
    match File::parse(EXAMPLE).resolve(&surroundings) {
        Ok(config) => config,
        Err(mistakes) => panic!("{mistakes}"),
    }
}

#[test]
fn a_short_file_gets_the_defaults_of_every_module() {
    let config = resolve(REST).unwrap();

    assert_eq!(config.server, server::Settings::default());
    assert_eq!(config.admin, server::AdminSettings::default());
    assert_eq!(config.probes, server::ProbesSettings::default());
    assert_eq!(config.scopes.breaker, breaker::Settings::default());
    assert_eq!(config.transport, transport::Settings::default());
    assert_eq!(config.logging, telemetry::Settings::default());
    assert!(!config.catalog.allow_model);

    let scenario = &config.catalog.scenarios["s"];
    assert_eq!(scenario.default_timeout, Duration::from_secs(120));
    assert_eq!(scenario.max_timeout, Duration::from_secs(600));
    assert_eq!(scenario.max_attempts, 3);
    assert_eq!(scenario.first_content, None);
    assert_eq!(scenario.retry, retry_budget::Settings::default());
    assert_eq!(scenario.retry_first, None);
    assert_eq!(scenario.hedge, None);

    let target = &scenario.targets[0];
    assert_eq!(target.id, "p/m");
    assert_eq!(target.model, "m");
    assert_eq!(target.features, target.wire_format.features());
    assert_eq!(target.prices.now(), None);
    assert_eq!(target.upstream_mode, UpstreamMode::Stream);
    assert_eq!(target.timeouts, Timeouts::default());

    let provider = &target.provider;
    assert_eq!(provider.name, "p");
    assert_eq!(provider.base_url, "https://api.example.com/v1");
    assert_eq!(provider.link.http, Http::Auto);
    assert!(!provider.propagate_trace);
    assert!(
        matches!(&provider.auth, Auth::Bearer(key) if key.header().unwrap() == "Bearer s3cret-of-the-variable")
    );
}

#[test]
fn everything_can_be_set() {
    let text = r#"
[server]
admin = false
plaintext = "behind-proxy"
listen = "[::1]:9000"
runtimes = 4
max_message_bytes = 1_048_576
max_unfinished_bytes = "64MiB"
max_connections = 100
max_connections_per_ip = 10
max_concurrent_streams = 0x10
max_resets = 20
handshake_timeout = "1s"
first_request_timeout = "2s"
receive_timeout = "3s"
keepalive_interval = "4s"
keepalive_timeout = "5s"
connection_age = "6s"
client_stall = "7s"
reflection = false
predrain = "0s"
drain_timeout = "1.5s"
[cors]
origins = ["https://app.example.com", "http://localhost:3000"]
[json]
open_after = "8s"
keepalive = "9s"
[requests]
max_messages = 1
max_parts = 2
max_tool_calls = 3
max_tools = 4
max_schema_values = 5
max_provider_options = 5
max_fields = 6
[transport]
connect_timeout = "1s"
idle_timeout = "2s"
connection_age = "3s"
max_streams = 4
[logging]
format = "json"
filter = "warn,modelway=trace"
calls = "failed"
sample_ok = 0.25
provider_errors = true
[retry]
ratio = 1
burst = 1
[catalog]
allow_model = true
[providers.azure]
wire_format = "openai_chat"
base_url = "https://example.openai.azure.com/openai/v1//"
api_key = "file:/run/secrets/key"
auth = { header = "Api-Key" }
headers = { X-Plain = "yes", X-Secret = "env:KEY" }
query = { api-version = "2025-01-01 beta&x" }
unsupported = ["seed"]
http = "1.1"
propagate_trace = true
[providers.local]
wire_format = "gemini"
base_url = "http://[::1]:8080"
auth = "none"
[models.answers]
provider = "azure"
model = "team/answers"
context_window_tokens = 8000
max_output_tokens = 1000
unsupported = ["tools", "seed"]
price = { input = 0.05, output = 10, cache_write_input = 0.0625, cache_write_long_input = 0.1, tiers = { priority = { input = 0.1, output = 20 }, flex = { input = 0.02, output = 5 }, batch = { input = 0.01, output = 4, cache_read_input = 0 } } }
input_modalities = ["text", "image"]
output_modalities = ["audio"]
upstream_mode = "whole"
timeouts = { stall_after = "250ms" }
[models."local/a/b"]
[scenarios."one.two_3-x"]
description = "for tests"
targets = ["local/a/b", "answers"]
timeout = "1m"
max_timeout = "1m"
max_attempts = 2
first_content = "3s"
hedge = { min_delay = "1s", max_cost = 0.01, ratio = 0.1, burst = 3 }
[scenarios.other]
targets = ["answers"]
max_timeout = "20s"
max_attempts = 4
provider_options = "refuse"
retry = { burst = 7 }
retry_first = { times = 3, longest_wait = "1s" }
"#;

    let config = resolve(text).unwrap();

    assert_eq!(
        config.server,
        server::Settings {
            listen: "[::1]:9000".parse().unwrap(),
            runtimes: 4,
            max_message_bytes: 1 << 20,
            requests: ElementLimits {
                max_messages: 1,
                max_parts: 2,
                max_tool_calls: 3,
                max_tools: 4,
                max_schema_values: 5,
                max_provider_options: 5,
                max_fields: 6,
            },
            max_unfinished_bytes: 64 << 20,
            max_connections: 100,
            max_connections_per_ip: 10,
            max_concurrent_streams: 16,
            max_resets: 20,
            handshake_timeout: Duration::from_secs(1),
            first_request_timeout: Duration::from_secs(2),
            receive_timeout: Duration::from_secs(3),
            keepalive_interval: Duration::from_secs(4),
            keepalive_timeout: Duration::from_secs(5),
            connection_age: Duration::from_secs(6),
            client_stall: Duration::from_secs(7),
            cors: cors::Settings {
                origins: vec![
                    "https://app.example.com".to_owned(),
                    "http://localhost:3000".to_owned(),
                ],
            },
            json: json::Settings {
                open_after: Duration::from_secs(8),
                keepalive: Duration::from_secs(9),
            },
            reflection: false,
            admin: server::PublicAdmin::Never,
            behind_proxy: true,
            tls: None,
            predrain: Duration::ZERO,
            drain_timeout: Duration::from_millis(1500),
        }
    );
    assert_eq!(
        config.logging,
        telemetry::Settings {
            format: LogFormat::Json,
            filter: "warn,modelway=trace".to_owned(),
            calls: LoggedCalls::Failed,
            sample_ok: 0.25,
            provider_errors: true,
        }
    );
    let Catalog {
        targets,
        scenarios,
        wire_formats: _,
        allow_model,
    } = config.catalog;
    assert!(allow_model);

    let answers = &targets["answers"];
    assert_eq!(answers.model, "team/answers");
    assert_eq!(answers.context_window_tokens, Some(8000));
    assert_eq!(answers.max_output_tokens, Some(1000));
    let taken_away = Features::NONE.with(Feature::Tools).with(Feature::Seed);
    // It reads pictures only.
    let unread = Modality::ALL
        .into_iter()
        .filter(|modality| *modality != Modality::Image);
    let taken_away = unread.fold(taken_away, |all, modality| all.or(modality.features()));
    assert_eq!(
        answers.features,
        answers.wire_format.features().minus(taken_away)
    );
    assert_eq!(answers.output_modalities, [Modality::Audio]);
    // What is not written is not known.
    let rates = |input, output, cache: [Option<u64>; 3]| Rates {
        input: Some(input),
        output: Some(output),
        cache_read_input: cache[0],
        cache_write_input: cache[1],
        cache_write_long_input: cache[2],
        ..Rates::default()
    };
    let prices = answers.prices.now().unwrap();
    for (tier, expected) in [
        (
            ServiceTier::Standard,
            rates(50_000, 10_000_000, [None, Some(62_500), Some(100_000)]),
        ),
        (ServiceTier::Priority, rates(100_000, 20_000_000, [None; 3])),
        (ServiceTier::Flex, rates(20_000, 5_000_000, [None; 3])),
        (
            ServiceTier::Batch,
            rates(10_000, 4_000_000, [Some(0), None, None]),
        ),
    ] {
        let key = PriceKey {
            tier,
            input_tokens: Some(1_000_000),
            at: SystemTime::UNIX_EPOCH,
        };
        assert_eq!(prices.rates(&key), Some(&expected), "{tier:?}");
    }
    assert_eq!(answers.upstream_mode, UpstreamMode::Whole);
    assert_eq!(answers.timeouts.stall_after, Duration::from_millis(250));
    assert_eq!(
        answers.timeouts.first_event,
        Timeouts::default().first_event
    );

    let azure = &answers.provider;
    assert_eq!(azure.base_url, "https://example.openai.azure.com/openai/v1");
    assert!(matches!(
        &azure.auth,
        Auth::Header(name, key) if name == "api-key" && key.header().unwrap() == "s3cret-of-the-file"
    ));
    assert_eq!(azure.headers["x-plain"], "yes");
    let [(name, secret)] = &azure.secret_headers[..] else {
        panic!("one secret header")
    };
    assert_eq!(name, "x-secret");
    assert_eq!(secret.header().unwrap(), "s3cret-of-the-variable");
    assert!(secret.header().unwrap().is_sensitive());
    assert_eq!(
        azure.query,
        [("api-version".to_owned(), "2025-01-01%20beta%26x".to_owned())]
    );
    let expected = transport::Settings {
        connect_timeout: Duration::from_secs(1),
        idle_timeout: Duration::from_secs(2),
        connection_age: Duration::from_secs(3),
        max_streams: 4,
    };
    assert_eq!(config.transport, expected);
    assert_eq!(azure.link.http, Http::Http1);
    assert!(azure.propagate_trace);

    let local = &targets["local/a/b"];
    assert_eq!(local.model, "a/b");
    assert!(matches!(local.provider.auth, Auth::None));

    let first = &scenarios["one.two_3-x"];
    assert_eq!(first.targets[0].id, "local/a/b");
    assert_eq!(first.targets[1].id, "answers");
    assert_eq!(first.max_attempts, 2);
    assert_eq!(first.first_content, Some(Duration::from_secs(3)));
    assert_eq!(
        first.retry,
        retry_budget::Settings {
            ratio: 1.0,
            burst: 1
        }
    );
    assert_eq!(
        first.hedge,
        Some(hedging::Settings {
            budget: retry_budget::Settings {
                ratio: 0.1,
                burst: 3
            },
            min_delay: Duration::from_secs(1),
            max_cost_nanos: 10_000_000,
        })
    );
    assert_eq!(first.retry_first, None);
    let other = &scenarios["other"];
    assert_eq!(first.provider_options, OptionsPolicy::Allow);
    assert_eq!(other.provider_options, OptionsPolicy::Refuse);
    assert_eq!(
        other.retry_first,
        Some(RetryFirst {
            times: 3,
            longest_wait: Duration::from_secs(1)
        })
    );
    assert_eq!(other.default_timeout, Duration::from_secs(20));
    assert_eq!(
        other.retry,
        retry_budget::Settings {
            ratio: 1.0,
            burst: 7
        }
    );
}

#[test]
fn every_mistake_of_a_file_is_told_at_once_with_its_place() {
    let text = r#"[server]
listen = "localhost"
max_message_byte = 3
[breaker]
failure_ratio = 2
[providers.OpenAI]
wire_format = "openai"
base_url = "http://api.example.com/v1"
api_key = "s3cret"
[providers.b]
wire_format = "anthropic"
[models."b/claude"]
unsupported = ["tool", "seed", 3]
price = { input = -1, outptu = 3 }
[models."c/x"]
max_output_tokens = 5.0
[scenarios.general]
targets = ["b/claud", "c/x", "c/x"]
retry = { ratio = 2, burst = -1 }
[scenarios.empty]
targets = []
[telemetrie]
"#;

    assert_eq!(
        mistakes(text),
        r#"2: server.listen: not an IP address and a port; write it like "127.0.0.1:50051" or "[::1]:50051", or like "unix:/run/modelway.sock"
3: server.max_message_byte: unknown key; did you mean `max_message_bytes`?
5: breaker.failure_ratio: out of range; choose from 0.01 to 1
6: providers.OpenAI: not a name for a provider; use small letters, digits, `.`, `_` and `-`
7: providers.OpenAI.wire_format: not one of the known words; did you mean `openai_chat`?
8: providers.OpenAI.base_url: prompts and the key would travel unencrypted; use https, or set `allow_insecure = true` for a network that you trust
9: providers.OpenAI.api_key: not a reference to a secret; write "env:NAME" with a name in capitals, or "file:PATH" with a slash in the path
10: providers.b: `base_url` is missing; give the URL that comes before the paths of the API, such as "https://api.openai.com/v1"
10: providers.b: `api_key` is missing; refer to the key by "env:NAME" or "file:PATH", or set `auth = "none"`
12: models."b/claude": `max_output_tokens` is missing; set it: the anthropic wire format has to send a limit with every request
13: models."b/claude".unsupported[0]: not one of the known words; did you mean `tools`?
13: models."b/claude".unsupported[2]: a whole number stands here; write a string in quotes
14: models."b/claude".price: `output` is missing; give USD for a million output tokens
14: models."b/claude".price.input: not a price for a million tokens; write a number from 0 to 1000000 with at most 6 decimals, such as 2.5
14: models."b/claude".price.outptu: unknown key; did you mean `output`?
15: models."c/x": there is no provider `c`; did you mean `b`?
16: models."c/x".max_output_tokens: a fraction stands here; write a whole number
18: scenarios.general.targets[0]: there is no model `b/claud`; did you mean `b/claude`?
18: scenarios.general.targets[2]: listed twice; remove the second: a scenario tries each target once
19: scenarios.general.retry.ratio: out of range; choose from 0 to 1
19: scenarios.general.retry.burst: out of range; choose from 0 to 1000000
21: scenarios.empty.targets: no target; list at least one model
22: telemetrie: unknown key; did you mean `telemetry`?"#
    );
}

#[test]
fn broken_syntax_does_not_hide_other_mistakes_nor_invent_any() {
    let text = r#"[server]
listen = 127.0.0.1:50051
reflection = "yes"
[providers.p]
wire_format =
base_url = "ftp://example.com"
[models."p/m"]
[models."p/m"]
[scenarios.s
targets = ["p/m", "p/n"]
"#;

    let told = mistakes(text);

    assert!(
        told.contains("\n3: server.reflection: a string stands here; write `true` or `false`"),
        "{told}"
    );
    assert!(
        told.contains("\n6: providers.p.base_url: neither https nor http; use https"),
        "{told}"
    );
    assert!(!told.contains("missing"), "{told}");
    assert!(!told.contains("there is no"), "{told}");
    for line in [2, 5, 8, 9] {
        assert!(
            told.lines()
                .any(|mistake| mistake.starts_with(&format!("{line}: "))),
            "{line} in {told}"
        );
    }
}

/// A terminal obeys control characters, and a key may hold any of them. The words of the library that reads a dialect
/// quote such a key as it is.
#[test]
fn a_mistake_shows_no_control_characters_of_the_file() {
    let key = r#""a\u001b[2Jb\u0000c\u0085""#;
    for table in [
        "",
        "[server]\n",
        "[providers.x]\nwire_format = 'gemini'\n",
        "[providers.x]\nwire_format = 'gemini'\n[providers.x.dialect]\n",
        "[models.\"p/m\".dialect]\n",
        "[models.\"p/m\".price]\n",
        "[scenarios.s]\n",
        "[telemetry.headers]\n",
    ] {
        for value in ["1", "'\u{1}x'", r#""\u001b""#, "{ x = 1 }"] {
            let told = mistakes(&format!("{table}{key} = {value}\n{REST}"));

            assert!(told.contains("[2J"), "{told:?}");
            assert!(
                !told.replace('\n', " ").contains(char::is_control),
                "{told:?}"
            );
        }
    }
}

/// One provider that is wrong in one way, and how it is told.
#[test]
fn a_provider_is_checked_before_anything_is_sent_to_it() {
    let unusual = [
        (
            "base_url = 'https://me:s3cret@example.com'\napi_key = 'env:KEY'",
            "3: providers.x.base_url: the URL holds a credential; move it to `api_key`",
        ),
        (
            "base_url = 'https://example.com/v1?key=s3cret'\napi_key = 'env:KEY'",
            "3: providers.x.base_url: the URL has more than a path; move the part after `?` to the table `query`",
        ),
        (
            "base_url = 'https://example.com/v1#s3cret'\napi_key = 'env:KEY'",
            "3: providers.x.base_url: the URL has more than a path; move the part after `?` to the table `query`",
        ),
        (
            "base_url = 'example.com/v1'\napi_key = 'env:KEY'",
            "3: providers.x.base_url: not a URL; write it like \"https://api.openai.com/v1\"",
        ),
        (
            "base_url = 'https://example.com:99999/v1'\napi_key = 'env:KEY'",
            "3: providers.x.base_url: the URL has no usable host and port; write it like \"https://host:8443/v1\"",
        ),
        (
            "base_url = 'http://10.0.0.7/v1'\napi_key = 'env:KEY'",
            "3: providers.x.base_url: prompts and the key would travel unencrypted; use https, or set `allow_insecure = true` for a network that you trust",
        ),
        (
            "base_url = 'https://example.com'\napi_key = 'env:NOT_SET'",
            "4: providers.x.api_key: the environment variable `NOT_SET` is unset or empty; set `NOT_SET`",
        ),
        (
            "base_url = 'https://example.com'\napi_key = 'env:BLANK'",
            "4: providers.x.api_key: the environment variable `BLANK` is unset or empty; set `BLANK`",
        ),
        (
            "base_url = 'https://example.com'\napi_key = 'env:TWO_LINES'",
            "4: providers.x.api_key: the secret holds bytes that no header can carry; store the key alone, in one line",
        ),
        (
            "base_url = 'https://example.com'\napi_key = 'file:/nowhere'",
            "4: providers.x.api_key: the file `/nowhere` cannot be read: there is no such file; store the key there, readable for this process",
        ),
        (
            "base_url = 'https://example.com'\napi_key = 'file:/run/secrets/empty'",
            "4: providers.x.api_key: the file `/run/secrets/empty` is empty; store the key there",
        ),
        (
            "base_url = 'https://example.com'\napi_key = 'env:sk-s3cret'",
            "4: providers.x.api_key: not a reference to a secret; write \"env:NAME\" with a name in capitals, or \"file:PATH\" with a slash in the path",
        ),
        (
            "base_url = 'https://example.com'\napi_key = 'env:KEY'\nauth = 's3cret'",
            "5: providers.x.auth: not one of the known words; use one of `bearer`, `none`",
        ),
        (
            "base_url = 'https://example.com'\napi_key = 'env:KEY'\nauth = 'none'",
            "4: providers.x.api_key: `auth = \"none\"` sends no key; remove `api_key` or change `auth`",
        ),
        (
            "base_url = 'https://example.com'\napi_key = 'env:KEY'\nauth = { header = 'a b' }",
            "5: providers.x.auth.header: not a name for a header; use letters, digits and `-`",
        ),
        (
            "base_url = 'https://example.com'\napi_key = 'env:KEY'\nheaders.Authorization = 's3cret'",
            "5: providers.x.headers.Authorization: this header carries `api_key`; remove it or change `auth`",
        ),
        (
            "base_url = 'https://example.com'\napi_key = 'env:KEY'\nheaders.Host = 'x'",
            "5: providers.x.headers.Host: this header is set for each request; remove it",
        ),
        (
            "base_url = 'https://example.com'\napi_key = 'env:KEY'\nheaders.x = \"a\\nb\"",
            "5: providers.x.headers.x: not a value for a header; use visible ASCII letters",
        ),
        (
            "base_url = 'https://example.com'\napi_key = 'env:KEY'\n[providers.x.headers]\nX-A = 'a'\nx-a = 'b'",
            "7: providers.x.headers.x-a: this header is set twice; keep one of the spellings",
        ),
        (
            "simulated = true\napi_key = 'env:KEY'",
            "4: providers.x.api_key: a simulated provider has no such key; remove `api_key` or `simulated`",
        ),
    ];

    for (keys, expected) in unusual {
        let text = format!("[providers.x]\nwire_format = 'openai_chat'\n{keys}\n{REST}");
        assert_eq!(mistakes(&text), expected, "{keys}");
    }
}

#[test]
fn a_breaker_that_is_to_stay_open_longer_at_first_may_do_so_for_a_minute_unasked() {
    for (keys, longest) in [
        ("", 14),
        ("open_base = '10s'", 14),
        ("open_base = '60s'", 60),
        ("open_base = '2m'\nopen_max = '3m'", 180),
    ] {
        let config = resolve(&format!("[breaker]\n{keys}\n{REST}")).unwrap();

        let open_max = config.scopes.breaker.open_max;
        assert_eq!(open_max, Duration::from_secs(longest), "{keys}");
    }
}

#[test]
fn a_busy_breaker_never_opens_on_fewer_failures_in_a_row_than_a_quiet_one_unasked() {
    for (keys, expected) in [
        ("", (5, 15)),
        ("consecutive_failures = 1", (1, 15)),
        ("consecutive_failures = 20", (20, 20)),
        (
            "consecutive_failures = 20\nconsecutive_failures_busy = 10",
            (20, 10),
        ),
    ] {
        let breaker = resolve(&format!("[breaker]\n{keys}\n{REST}"))
            .unwrap()
            .scopes
            .breaker;

        let found = (
            breaker.consecutive_failures,
            breaker.consecutive_failures_busy,
        );
        assert_eq!(found, expected, "{keys}");
    }
}

#[test]
fn a_caller_has_three_quarters_of_the_room_for_requests_unless_the_file_says_otherwise() {
    let admission = |lines: &str| {
        let text = format!("[admission]\n{lines}\n{REST}");
        let admission = resolve(&text).unwrap().admission;
        (
            admission.max_request_bytes,
            admission.max_request_bytes_per_caller,
        )
    };

    assert_eq!(admission("max_request_bytes = '4MiB'"), (4 << 20, 3 << 20));
    assert_eq!(
        admission("max_request_bytes = '4MiB'\nmax_request_bytes_per_caller = '1MiB'"),
        (4 << 20, 1 << 20)
    );
    let (all, share) = admission("");
    assert!(all <= 2 << 30 && share == all / 4 * 3, "{all}, {share}");
}

#[test]
fn settings_are_checked_for_their_range_and_sense() {
    let unusual = [
        (
            "[breaker]\nopen_base = '2m'",
            "1: breaker: `open_base` is longer than `open_max`; lower it, or raise `open_max`",
        ),
        (
            "[breaker]\nconsecutive_failures_with_alternative = 3",
            "2: breaker.consecutive_failures_with_alternative: this key no longer exists; remove it: while a healthier alternative exists, a third of `consecutive_failures` is enough, but at least three",
        ),
        (
            "[breaker]\nconsecutive_failures_busy_with_alternative = 5",
            "2: breaker.consecutive_failures_busy_with_alternative: this key no longer exists; remove it: while a healthier alternative exists, a third of `consecutive_failures_busy` is enough, but at least three",
        ),
        (
            "[server]\ndrain_timeout = '0s'",
            "2: server.drain_timeout: not a time between 1ms and 24h; write it as a number with a unit, such as \"250ms\", \"10s\", \"2m\" or \"1h\"",
        ),
        (
            "[server]\ndrain_timeout = 60",
            "2: server.drain_timeout: not a time between 1ms and 24h; write it as a number with a unit, such as \"250ms\", \"10s\", \"2m\" or \"1h\"",
        ),
        (
            "[server]\nmax_message_bytes = '4MB'",
            "2: server.max_message_bytes: not a size from 65536 to 1073741824 bytes; write it as a number of bytes or with a unit, such as \"512KiB\" or \"4MiB\"",
        ),
        (
            "[logging]\nfilter = 'inof'",
            "2: logging.filter: not a filter for logs; write a level such as \"info\", or \"info,modelway=debug\"",
        ),
        (
            "[logging]\nfilter = 'info,modelway=loud'",
            "2: logging.filter: not a filter for logs; write a level such as \"info\", or \"info,modelway=debug\"",
        ),
        (
            "[retry]\nratio = nan",
            "2: retry.ratio: out of range; choose from 0 to 1",
        ),
        (
            "[retry]\nburst = 99999999999999999999999",
            "2: retry.burst: out of range; choose from 0 to 1000000",
        ),
        (
            "[models.lonely]",
            "1: models.lonely: no provider is named; write the id as \"PROVIDER/MODEL\", or set `provider`",
        ),
        (
            "[models.'p/']",
            "1: models.\"p/\": the model has no name; set `model` to its name at the provider",
        ),
        (
            "[models.'p/two words']",
            "1: models.\"p/two words\": not an id for a model; use at most 128 letters, digits and signs, without spaces and quotes",
        ),
        (
            "[models.'p/x'.price]\ninput = inf\noutput = 1",
            "2: models.\"p/x\".price.input: not a price for a million tokens; write a number from 0 to 1000000 with at most 6 decimals, such as 2.5",
        ),
        (
            "[scenarios.a]\ntargets = ['p/m']\ntimeout = '11m'",
            "3: scenarios.a.timeout: longer than `max_timeout`; lower it, or raise `max_timeout`",
        ),
        (
            "[providers.q]\nwire_format = 'openai_chat'\nbase_url = 'https://q.test'\nauth = 'none'\nquery = { key = 'env:KEY' }",
            "5: providers.q.query.key: a query must not hold a secret: URLs are often logged on the way; send it in a header: `api_key` with `auth`, or `headers`",
        ),
        (
            "[server]\nruntimes = 257",
            "2: server.runtimes: out of range; choose from 0 to 256",
        ),
        (
            "[scenarios.a]\ntargets = ['p/m']\nmax_attempts = 11",
            "3: scenarios.a.max_attempts: out of range; choose from 1 to 10",
        ),
        (
            "[scenarios.'Two Words']\ntargets = ['p/m']",
            "1: scenarios.\"Two Words\": not a name for a scenario; use small letters, digits, `.`, `_` and `-`",
        ),
        (
            "[scenarios.a]\ntargets = ['p/m']\nhedge = { ratio = 2 }",
            "3: scenarios.a.hedge.ratio: out of range; choose from 0 to 1\n\
             3: scenarios.a.hedge: no target after the first has a `price`; add one: the cost of a rival must be known before it is sent",
        ),
        (
            "[scenarios.a]\ntargets = ['p/m', 'p/priced']\nmax_attempts = 1\nhedge = {}\n[models.'p/priced']\nprice = { input = 1, output = 1 }",
            "4: scenarios.a.hedge: no rival is ever sent: `max_attempts` is 1, and a rival counts as an attempt; raise `max_attempts`, or leave out `hedge`",
        ),
        (
            "[scenarios.a]\ntargets = ['p/m', 'p/priced']\nretry.burst = 0\nhedge = {}\n[models.'p/priced']\nprice = { input = 1, output = 1 }",
            "4: scenarios.a.hedge: no rival is ever sent: `burst` in `retry` is 0, and each rival takes a token from it; raise `burst` in `retry`, or leave out `hedge`",
        ),
        (
            "[retry]\nburst = 0\n[scenarios.a]\ntargets = ['p/m', 'p/priced']\nhedge = { burst = 0 }\n[models.'p/priced']\nprice = { input = 1, output = 1 }",
            "5: scenarios.a.hedge.burst: out of range; choose from 1 to 1000000\n\
             5: scenarios.a.hedge: no rival is ever sent: `burst` in `retry` is 0, and each rival takes a token from it; raise `burst` in `retry`, or leave out `hedge`",
        ),
        (
            "[scenarios.a]\ntargets = ['p/m']\nretry_first = { times = 0, longest_wait = '0s', wait = 1 }",
            "3: scenarios.a.retry_first.times: out of range; choose from 1 to 9\n\
             3: scenarios.a.retry_first.longest_wait: not a time between 1ms and 24h; write it as a number with a unit, such as \"250ms\", \"10s\", \"2m\" or \"1h\"\n\
             3: scenarios.a.retry_first.wait: unknown key; use one of `times`, `longest_wait`",
        ),
        (
            "[scenarios.a]\ntargets = ['p/m', 'p/priced']\nretry_first = { times = 2 }\n[models.'p/priced']\n[scenarios.b]\ntargets = ['p/m']\nretry_first = { times = 2 }",
            "3: scenarios.a.retry_first: `times` is 2, but `max_attempts` leaves room for 1; raise it, lower `times`, or leave out `retry_first`: a call's first attempt and one for another target count, too",
        ),
        (
            "[scenarios.a]\ntargets = ['p/m']\nretry.burst = 0\nmax_timeout = '3s'\nretry_first.longest_wait = '3s'",
            "5: scenarios.a.retry_first.longest_wait: as long as a whole call may take (`max_timeout`); lower it, or raise `max_timeout`\n\
             5: scenarios.a.retry_first: the first choice is never tried again: `burst` in `retry` is 0, and each retry takes a token from it; raise `burst` in `retry`, or leave out `retry_first`",
        ),
        (
            "[scenarios.a]",
            "1: scenarios.a: `targets` is missing; list the ids of the models, the first choice first",
        ),
    ];

    for (tables, expected) in unusual {
        assert_eq!(mistakes(&format!("{tables}\n{REST}")), expected, "{tables}");
    }
}

#[test]
fn a_dialect_is_checked_key_by_key() {
    let text = format!(
        "[providers.x]\nwire_format = 'anthropic'\nbase_url = 'https://example.com'\napi_key = 'env:KEY'
[providers.x.dialect]\nthinking = 'deep'\nthinkin = true\n{REST}"
    );

    assert_eq!(
        mistakes(&text),
        "6: providers.x.dialect.thinking: unknown variant `deep`, expected `adaptive` or `budget`; see config.example.toml\n\
         7: providers.x.dialect.thinkin: unknown field `thinkin`, expected one of `thinking`, `host`, `efforts`, `excludes`; see config.example.toml"
    );
}

#[test]
fn a_models_dialect_is_checked_key_by_key_too() {
    let text = format!(
        "[providers.x]\nwire_format = 'anthropic'\nbase_url = 'https://example.com'\napi_key = 'env:KEY'
dialect = {{ thinking = 'budget' }}
[models.'x/m']\nmax_output_tokens = 1
[models.'x/m'.dialect]\nthinking = 'deep'\nthinkin = true
[models.'x/n']\nmax_output_tokens = 1\ndialect = 'budget'
[models.'p/n'.dialect]\nthinking = 'budget'\n{REST}"
    );

    let told = mistakes(&text);

    let first = told.lines().take(4).collect::<Vec<_>>().join("\n");
    assert!(told.lines().count() == 4, "{told}");
    assert!(
        first.starts_with(
            "9: models.\"x/m\".dialect.thinking: unknown variant `deep`, expected `adaptive` or `budget`; see config.example.toml\n\
             10: models.\"x/m\".dialect.thinkin: unknown field `thinkin`, expected one of `thinking`, `host`, `efforts`, `excludes`; see config.example.toml\n\
             13: models.\"x/n\".dialect: a string stands here; write a table\n\
             15: models.\"p/n\".dialect.thinking: unknown field `thinking`, expected one of "
        ),
        "{told}"
    );
}

#[test]
fn a_models_dialect_goes_before_its_providers_key_by_key() {
    let text = format!(
        "[providers.c]\nwire_format = 'anthropic'\nbase_url = 'https://example.com'\napi_key = 'env:KEY'
[models.'c/new']\nmax_output_tokens = 1
[models.'c/old']\nmax_output_tokens = 1\ndialect.thinking = 'budget'
[providers.o]\nwire_format = 'openai_chat'\nbase_url = 'https://example.com'\napi_key = 'env:KEY'
dialect = {{ reasoning = 'none', top_k = true }}
[models.'o/plain']
[models.'o/thinks']\ndialect = {{ reasoning = 'reasoning_effort', documents = 'none' }}
[models.'o/spelled-out']\ndialect = {{ reasoning = 'none', json_schema = true }}
[providers.g]\nwire_format = 'gemini'\nbase_url = 'https://example.com'\napi_key = 'env:KEY'
[models.'g/tuned']\ndialect.generation = '2'\n{REST}"
    );

    let targets = resolve(&text).unwrap().catalog.targets;

    let has = |id: &str, feature| targets[id].features.contains(feature);
    assert!(!has("c/new", Feature::ReasoningBudget));
    assert!(has("c/old", Feature::ReasoningBudget));
    assert!(!has("o/plain", Feature::ReasoningEffort) && has("o/plain", Feature::TopK));
    assert!(has("o/thinks", Feature::ReasoningEffort) && has("o/thinks", Feature::TopK));
    assert!(!has("o/thinks", Feature::DocumentData));
    let same = |one: &str, other: &str| {
        Arc::ptr_eq(&targets[one].wire_format, &targets[other].wire_format)
    };
    assert!(same("o/plain", "o/spelled-out"), "equal dialects are one");
    assert!(!same("o/plain", "o/thinks") && !same("c/new", "c/old"));
}

#[test]
fn a_key_in_the_wrong_place_is_not_shown() {
    let places = [
        "[providers.x]\napi_key = s3cret",
        "[providers.x]\napi_key = 's3cret",
        "[providers.x]\napi_key = ['s3cret']",
        "[providers.x]\nwire_format = 's3cret'",
        "[providers.x]\nwire_format = 'gemini'\nbase_url = 's3cret'",
        "[providers.x]\nwire_format = 'gemini'\ndialect = 's3cret'",
        "[providers.x]\nwire_format = 'gemini'\ndialect.api_key = 's3cret'",
        "[providers.x]\nsimulated = 's3cret'",
        "[server]\nlisten = 's3cret'",
        "[logging]\nfilter = 's3cret=='",
        "[telemetry]\nendpoint = 's3cret'",
        "[telemetry]\nendpoint = 'https://me:s3cret@collector:4317'",
        "[telemetry]\nendpoint = 'https://collector/?key=s3cret'",
        "[telemetry]\nheaders = 's3cret'",
        "[telemetry]\nheaders.x-key = 's3cret\u{e9}'",
        "[telemetry]\nprotocol = 's3cret'",
        "[telemetry]\ngenai_names = 's3cret'",
    ];

    for place in places {
        let told = mistakes(place);
        assert!(!told.is_empty() && !told.contains("s3cret"), "{told}");
    }
}

#[test]
fn an_empty_file_serves_nothing_and_is_refused() {
    assert_eq!(
        mistakes(""),
        "1: there is no scenario; add a table `[scenarios.NAME]` that lists its targets"
    );
}

#[test]
fn the_example_writes_the_defaults_and_resolves() {
    let config = resolve_example();
    let short = resolve(REST).unwrap();

    assert_eq!(config.server, short.server);
    assert_eq!(config.logging, short.logging);
    assert_eq!(config.scopes.breaker, short.scopes.breaker);
    assert_eq!(config.transport, short.transport);
    assert_eq!(config.catalog.allow_model, short.catalog.allow_model);
    let (written, default) = (
        &config.catalog.scenarios["general"],
        &short.catalog.scenarios["s"],
    );
    assert_eq!(written.default_timeout, default.default_timeout);
    assert_eq!(written.max_timeout, default.max_timeout);
    assert_eq!(written.max_attempts, default.max_attempts);
    assert_eq!(written.retry, default.retry);
    assert!(!File::parse(EXAMPLE).needs_simulator());
}

#[test]
fn the_defaults_in_the_comments_of_the_example_are_the_defaults() {
    let commented = EXAMPLE
        .lines()
        .find_map(|line| line.strip_prefix("# timeouts = "));
    let text = format!("[models.'p/x']\ntimeouts = {}\n{REST}", commented.unwrap());

    let config = resolve(&text).unwrap();

    assert_eq!(config.catalog.targets["p/x"].timeouts, Timeouts::default());

    let commented = EXAMPLE
        .lines()
        .find_map(|line| line.strip_prefix("# hedge = "));
    for hedge in [commented.unwrap(), "{}"] {
        let text = format!(
            "[models.'p/x']\nprice = {{ input = 1, output = 1 }}\n[scenarios.a]\ntargets = ['p/m', 'p/x']\nhedge = {hedge}\n{REST}"
        );

        let config = resolve(&text).unwrap();

        let written = config.catalog.scenarios["a"].hedge;
        assert_eq!(written, Some(hedging::Settings::default()));
    }

    let commented = EXAMPLE
        .lines()
        .find_map(|line| line.strip_prefix("# retry_first = "));
    for retry_first in [commented.unwrap(), "{}"] {
        let text = format!("[scenarios.a]\ntargets = ['p/m']\nretry_first = {retry_first}\n{REST}");

        let config = resolve(&text).unwrap();

        let written = config.catalog.scenarios["a"].retry_first;
        assert_eq!(written, Some(RetryFirst::default()));
    }
}

#[test]
fn a_model_that_may_take_longer_is_slow_later() {
    let table = [
        ("first_content = '10s'", 8),
        ("first_content = '2m'", 48),
        ("first_event = '1m'", 24),
        ("first_content = '2m', first_event = '1m'", 48),
        ("first_content = '2m', slow_first_content = '9s'", 9),
    ];
    for (timeouts, seconds) in table {
        let text = format!("[models.'p/x']\ntimeouts = {{ {timeouts} }}\n{REST}");

        let config = resolve(&text).unwrap();

        let slow = config.catalog.targets["p/x"].timeouts.slow_first_content;
        assert_eq!(slow, Duration::from_secs(seconds), "{timeouts}");
    }
}

#[test]
fn the_silence_of_a_model_that_may_take_longer_to_its_first_event_is_suspicious_later() {
    let table = [
        ("first_event = '2s'", 4),
        ("first_content = '2m'", 4),
        ("first_event = '60s'", 24),
        ("first_event = '60s', stall_after = '5s'", 5),
    ];
    for (timeouts, seconds) in table {
        let text = format!("[models.'p/x']\ntimeouts = {{ {timeouts} }}\n{REST}");

        let config = resolve(&text).unwrap();

        let stall = config.catalog.targets["p/x"].timeouts.stall_after;
        assert_eq!(stall, Duration::from_secs(seconds), "{timeouts}");
    }
}

#[test]
fn the_dialects_of_the_example_are_the_defaults() {
    let file: toml::Table = EXAMPLE.parse().unwrap();
    let dialect = |provider: &str| file["providers"][provider]["dialect"].clone();

    assert_eq!(
        dialect("openai")
            .try_into::<openai_responses::Dialect>()
            .unwrap(),
        openai_responses::Dialect::default()
    );
    assert_eq!(
        dialect("openai-chat")
            .try_into::<openai_chat::Dialect>()
            .unwrap(),
        openai_chat::Dialect::default()
    );
    assert_eq!(
        dialect("anthropic")
            .try_into::<anthropic::Dialect>()
            .unwrap(),
        anthropic::Dialect::default()
    );
    assert_eq!(
        dialect("gemini").try_into::<gemini::Dialect>().unwrap(),
        gemini::Dialect::default()
    );
}

#[test]
fn every_host_of_the_example_has_a_section_in_the_documentation() {
    let hosts: HashSet<&str> = EXAMPLE
        .lines()
        .filter_map(|line| {
            line.trim_start_matches(['#', ' '])
                .strip_prefix("[providers.")
        })
        .filter_map(|rest| rest.split_once(']'))
        .map(|(name, _)| name.split('.').next().unwrap())
        .filter(|name| *name != "NAME")
        .collect();

    assert!(hosts.len() > 10, "{hosts:?}");
    for host in hosts {
        let heading = format!("\n## `{host}`: ");
        assert!(PROVIDERS.contains(&heading), "{host} has no section");
    }
}

#[test]
fn the_configuration_in_the_documentation_of_providers_resolves() {
    let mut blocks = PROVIDERS.split("```toml\n").skip(1);
    let (block, _) = blocks.next().unwrap().split_once("```").unwrap();
    let text = format!(
        "{block}[scenarios.all]\ntargets = ['poloapi-claude/claude-sonnet-4-6', 'poloapi-gemini/gemini-3.5-flash']"
    );

    let told = File::parse(&text)
        .resolve(&Surroundings::without_secrets(None))
        .err();

    assert_eq!(told, None);
    assert!(blocks.next().is_none());
}

#[test]
fn the_hosts_in_the_comments_of_the_example_resolve() {
    let (_, hosts) = EXAMPLE.split_once("Some more, without the `#`:\n").unwrap();
    let (hosts, _) = hosts.split_once("\n\n").unwrap();
    let hosts: Vec<_> = hosts
        .lines()
        .map(|line| line.trim_start_matches(['#', ' ']))
        .collect();
    let hosts = format!("{}\n{REST}", hosts.join("\n"));

    let told = File::parse(&hosts)
        .resolve(&Surroundings::without_secrets(None))
        .err();

    assert!(hosts.matches("[providers.").count() > 7, "{hosts}");
    assert_eq!(told, None);
}

#[test]
fn the_example_shows_every_key_and_every_feature() {
    // Each table tells its keys when it is asked for one that it does not know.
    let text = "
        zzzzzzzz = 1
        [server]\nzzzzzzzz = 1\n[logging]\nzzzzzzzz = 1\n[telemetry]\nzzzzzzzz = 1\n[transport]\nzzzzzzzz = 1\n[breaker]\nzzzzzzzz = 1
        [retry]\nzzzzzzzz = 1\n[catalog]\nzzzzzzzz = 1
        [providers.real]\nzzzzzzzz = 1\n[providers.played]\nsimulated = true\nzzzzzzzz = 1
        [providers.a]\nwire_format = 'anthropic'\ndialect.zzzzzzzz = 1
        [providers.g]\nwire_format = 'gemini'\ndialect.zzzzzzzz = 1
        [providers.o]\nwire_format = 'openai_chat'\ndialect.zzzzzzzz = 1
        [providers.t1]\ncredential = { kind = 'zzzzzzzz' }
        [providers.t2]\ncredential = { kind = 'google_file', zzzzzzzz = 1 }
        [providers.t3]\ncredential = { kind = 'google_metadata', zzzzzzzz = 1 }
        [providers.t4]\ncredential = { kind = 'entra_secret', zzzzzzzz = 1 }
        [providers.t5]\ncredential = { kind = 'entra_certificate', zzzzzzzz = 1 }
        [providers.t6]\ncredential = { kind = 'entra_workload', zzzzzzzz = 1 }
        [providers.t7]\ncredential = { kind = 'entra_managed', zzzzzzzz = 1 }
        [models.x]\nzzzzzzzz = 1\nprice.zzzzzzzz = 1\ntimeouts.zzzzzzzz = 1
        [scenarios.x]\nzzzzzzzz = 1\nhedge.zzzzzzzz = 1";
    let told = mistakes(text);
    let known = told.lines().filter_map(|line| {
        let known = line.split_once("use one of ");
        known.or_else(|| line.split_once(", expected "))
    });
    let in_backticks = |text: &'_ str| {
        text.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut words: BTreeSet<String> = known.flat_map(|(_, names)| in_backticks(names)).collect();
    let features: Vec<_> = Feature::ALL
        .iter()
        .map(|feature| feature.name().to_owned())
        .collect();
    words.extend(features);

    let missing: Vec<_> = words
        .iter()
        .filter(|word| {
            let ways = [
                format!("{word} = "),
                format!("[{word}"),
                format!(".{word}]"),
                format!(" {word} "),
                format!(" {word}\n"),
            ];
            !ways.iter().any(|way| EXAMPLE.contains(way))
        })
        .collect();

    assert!(words.len() > 60, "{words:?}");
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_built_in_configuration_needs_no_key_and_no_network() {
    let config = resolve(KEYLESS).unwrap();

    assert!(File::parse(KEYLESS).needs_simulator());
    for target in config.catalog.targets.values() {
        assert!(
            target
                .provider
                .base_url
                .starts_with("http://127.0.0.1:41234/")
        );
        assert!(matches!(target.provider.auth, Auth::None));
    }
    let example = resolve_example();
    for name in example.catalog.scenarios.keys() {
        assert!(config.catalog.scenarios.contains_key(name), "{name}");
    }
}

#[test]
fn a_simulated_provider_without_a_simulator_is_a_mistake() {
    let told = File::parse(KEYLESS).resolve(&Surroundings::without_secrets(None));

    let told = told.err().unwrap().to_string();
    assert!(told.contains("the simulator does not run"), "{told}");
}

#[test]
fn the_check_command_says_what_a_file_serves() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
    let (mut out, mut err) = (Vec::new(), Vec::new());

    let code = check(&path, false, &Overrides::default(), &mut out, &mut err).unwrap();

    assert_eq!(code, ExitCode::SUCCESS);
    assert_eq!(String::from_utf8(err).unwrap(), "");
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("listens on 127.0.0.1:50051\n"), "{out}");
    assert!(
        out.contains("\nproviders: anthropic, gemini, openai, poloapi\n"),
        "{out}"
    );
    assert!(
        out.contains("  long-text: anthropic/claude-opus-5, then gemini/gemini-3.1-pro-preview, then openai/gpt-5.5\n"),
        "{out}"
    );
}

#[test]
fn the_check_command_names_file_and_line_of_every_mistake() {
    let text = format!("[server]\nlisten = 1\nreflections = true\n{REST}");
    let path = scratch::file("broken.toml", text);
    let (mut out, mut err) = (Vec::new(), Vec::new());

    let code = check(&path, false, &Overrides::default(), &mut out, &mut err).unwrap();

    assert_eq!(code, ExitCode::from(2));
    assert!(out.is_empty());
    let path = path.display();
    assert_eq!(
        String::from_utf8(err).unwrap(),
        format!(
            "{path}:2: server.listen: a whole number stands here; write a string in quotes\n\
             {path}:3: server.reflections: unknown key; did you mean `reflection`?\n"
        )
    );
}

#[test]
fn the_check_command_tells_a_file_that_is_not_there() {
    let (mut out, mut err) = (Vec::new(), Vec::new());

    let code = check(
        Path::new("/nowhere.toml"),
        true,
        &Overrides::default(),
        &mut out,
        &mut err,
    )
    .unwrap();

    assert_eq!(code, ExitCode::from(2));
    assert!(
        String::from_utf8(err)
            .unwrap()
            .starts_with("/nowhere.toml: cannot be read: ")
    );
}

/// Text that looks like a configuration often enough to get past the parser.
fn toml_like() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        prop::sample::select(
            EXAMPLE
                .lines()
                .chain(KEYLESS.lines())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        ),
        "[a-z_.\"]{0,12} ?=? ?[\\[{\"']?[a-z0-9:/._+-]{0,12}[\\]}\"']?",
        "\\[\\[?[a-z\"./é]{0,12}\\]?\\]?",
        "\\PC{0,20}",
    ];
    prop::collection::vec(line, 0..40).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_no_mistake_shows_a_secret(text in toml_like()) {
        let told = mistakes(&text);

        prop_assert!(!told.contains("s3cret"), "{}", told);
    }

    #[test]
    fn one_changed_byte_of_the_example_does_not_make_it_panic(at in 0..EXAMPLE.len(), byte in any::<char>()) {
        let mut text = EXAMPLE.to_owned();
        if text.is_char_boundary(at) {
            text.insert(at, byte);
        }

        let file = File::parse(&text);
        let _ = file.needs_simulator();
        let _ = file.resolve(&Surroundings::without_secrets(None));
    }
}
