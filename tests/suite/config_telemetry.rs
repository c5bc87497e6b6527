//! Where spans and metrics go: by the file, or else by the variables of OpenTelemetry.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use modelway::config::file::File;
use modelway::config::{Config, Mistakes, Surroundings};
use modelway::telemetry::export::{Compression, Destination, Protocol, Settings};
use modelway::telemetry::names::GenAiNames;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

/// What the file under test needs besides what it is about.
const REST: &str = r#"
[providers.p]
wire_format = "openai_chat"
base_url = "https://api.example.com/v1"
auth = "none"
[models."p/m"]
[scenarios.s]
targets = ["p/m"]
"#;

/// A certificate of an authority, in PEM.
fn authority() -> String {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().pem()
}

fn resolve(section: &str, variables: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    let surroundings = Surroundings {
        variable: &|name| variables.get(name).map(|text| (*text).to_owned()),
        read_file: &|path| match path.to_str() {
            Some("/run/ca.pem") => Ok(authority()),
            Some("/run/broken.pem") => Ok("s3cret".to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        },
        simulator: None,
        in_use: modelway::config::InUse::default(),
    };
    File::parse(&format!("{section}\n{REST}")).resolve(&surroundings)
}

fn settings(section: &str, variables: &[(&str, &str)]) -> Settings {
    match resolve(section, variables) {
        Ok(config) => config.telemetry,
        Err(mistakes) => panic!("{section} {variables:?}: {mistakes}"),
    }
}

fn mistakes(section: &str, variables: &[(&str, &str)]) -> String {
    match resolve(section, variables) {
        Ok(_) => String::new(),
        Err(mistakes) => mistakes.to_string(),
    }
}

/// Where traces and metrics go.
fn urls(settings: &Settings) -> [Option<(&str, Protocol)>; 2] {
    let told = |it: &'_ Option<Destination>| {
        let it = it.as_ref()?;
        Some((it.url.clone().leak() as &str, it.protocol))
    };
    [told(&settings.traces), told(&settings.metrics)]
}

#[test]
fn without_an_endpoint_nothing_is_exported() {
    let quiet = [
        ("", &[][..]),
        ("[telemetry]", &[]),
        ("[telemetry]\ntraces = true\nmetrics = true", &[]),
        ("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]),
        ("", &[("OTEL_TRACES_EXPORTER", "otlp")]),
        (
            "",
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
                ("OTEL_SDK_DISABLED", "true"),
            ],
        ),
        (
            "",
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
                ("OTEL_TRACES_EXPORTER", "none"),
                ("OTEL_METRICS_EXPORTER", "none"),
            ],
        ),
    ];
    for (section, variables) in quiet {
        let settings = settings(section, variables);

        assert_eq!(urls(&settings), [None, None], "{section} {variables:?}");
        assert_eq!(settings.sample, 1.0);
        assert_eq!(settings.interval, Duration::from_secs(15));
        assert_eq!(settings.genai_names, GenAiNames::Current);
        assert!(settings.callers.is_empty() && settings.resource.is_empty());
    }
}

#[test]
fn everything_about_telemetry_can_be_set() {
    let section = r#"
[telemetry]
endpoint = "http://collector.example:4318/otlp/"
protocol = "http"
compression = "gzip"
headers = { X-Tenant = "search", authorization = "env:KEY" }
allow_insecure = true
ca = "/run/ca.pem"
traces = true
metrics = false
sample = 0.25
interval = "30s"
genai_names = "both"
callers = ["search", "mail"]
"#;
    let variables = [
        ("KEY", "Bearer s3cret"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://elsewhere:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-other=1"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1"),
    ];

    let settings = settings(section, &variables);

    let traces = settings.traces.clone().unwrap();
    assert_eq!(traces.url, "http://collector.example:4318/otlp/v1/traces");
    assert_eq!(traces.protocol, Protocol::Http);
    assert_eq!(traces.compression, Compression::Gzip);
    assert_eq!(traces.link.authorities.len(), 1);
    let headers = traces.all_headers();
    assert_eq!(headers.len(), 2);
    assert_eq!(headers["x-tenant"], "search");
    assert_eq!(headers["authorization"], "Bearer s3cret");
    assert!(headers["authorization"].is_sensitive());
    assert!(settings.metrics.is_none());
    assert_eq!(settings.sample, 0.25);
    assert_eq!(settings.interval, Duration::from_secs(30));
    assert_eq!(settings.genai_names, GenAiNames::Both);
    assert_eq!(settings.callers, ["search", "mail"]);
    let shown = format!("{settings:?} {traces:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn variables_fill_what_the_file_leaves_out() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/base"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            "https://metrics.example/push",
        ),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cret%20key, x-a=b"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-traces=%2Ba"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/run/ca.pem"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.125"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "2500"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=other,deployment.environment.name=a%2Cb",
        ),
        ("OTEL_SERVICE_NAME", "gateway"),
    ];

    let settings = settings("", &variables);

    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        urls(&settings),
        [
            Some(("http://collector:4318/base/v1/traces", Protocol::Http)),
            Some(("https://metrics.example/push", Protocol::Http)),
        ]
    );
    let (traces, metrics) = (settings.traces.unwrap(), settings.metrics.unwrap());
    assert_eq!(traces.headers.len(), 1);
    assert_eq!(traces.headers["x-traces"], "+a");
    assert_eq!(metrics.headers["api-key"], "s3cret key");
    assert_eq!(metrics.headers["x-a"], "b");
    for destination in [traces, metrics] {
        assert_eq!(destination.compression, Compression::Gzip);
        assert_eq!(destination.link.authorities.len(), 1);
    }
    assert_eq!(settings.sample, 0.125);
    assert_eq!(settings.interval, Duration::from_millis(2500));
    assert_eq!(
        settings.resource,
        [
            pair("deployment.environment.name", "a,b"),
            pair("service.name", "gateway"),
        ]
    );
}

#[test]
fn the_port_tells_the_protocol_where_nothing_else_does() {
    let table = [
        ("http://a:4317", "", "http://a:4317", Protocol::Grpc),
        ("https://a", "", "https://a", Protocol::Grpc),
        (
            "http://a:4318",
            "",
            "http://a:4318/v1/traces",
            Protocol::Http,
        ),
        ("http://a:4318/", "grpc", "http://a:4318", Protocol::Grpc),
        (
            "http://[::1]:4317/",
            "http",
            "http://[::1]:4317/v1/traces",
            Protocol::Http,
        ),
    ];
    for (endpoint, protocol, url, expected) in table {
        let protocol = match protocol {
            "" => String::new(),
            protocol => format!("protocol = '{protocol}'"),
        };
        let section = format!("[telemetry]\nendpoint = '{endpoint}'\n{protocol}");

        let settings = settings(&section, &[]);

        assert_eq!(urls(&settings)[0], Some((url, expected)), "{section}");
    }
}

#[test]
fn mistakes_about_the_collector_are_told_with_their_remedy_and_without_secrets() {
    let unusual = [
        (
            "endpoint = 'collector:4317'",
            "2: telemetry.endpoint: not a URL; write it like \"http://127.0.0.1:4317\" or \"https://otlp.example.com\"",
        ),
        (
            "endpoint = 'https://me:s3cret@collector'",
            "2: telemetry.endpoint: the URL holds a credential; send it in a header: `headers = { authorization = \"env:NAME\" }`",
        ),
        (
            "endpoint = 'https://collector:99999'",
            "2: telemetry.endpoint: the URL has no usable host and port; write it like \"http://127.0.0.1:4317\" or \"https://otlp.example.com\"",
        ),
        (
            "endpoint = 'https://collector/v1?key=s3cret'",
            "2: telemetry.endpoint: the URL has more than a path; remove what follows it; a key goes into `headers`",
        ),
        (
            "endpoint = 'ftp://collector'",
            "2: telemetry.endpoint: neither https nor http; use https",
        ),
        (
            "endpoint = 'https://collector/path'",
            "2: telemetry.endpoint: the URL of a gRPC receiver has no path; remove the path, or set `protocol = \"http\"`",
        ),
        (
            "endpoint = 'https://collector'\nprotocol = 'http/json'",
            "3: telemetry.protocol: not one of the known words; use one of `grpc`, `http`",
        ),
        (
            "endpoint = 'http://collector'\nheaders = { authorization = 'env:KEY' }",
            "3: telemetry.headers: a secret would travel unencrypted; use https for `endpoint`, or set `allow_insecure = true` for a network that you trust",
        ),
        (
            "headers = { authorization = 'env:NOT_SET' }",
            "2: telemetry.headers.authorization: the environment variable `NOT_SET` is unset or empty; set `NOT_SET`",
        ),
        (
            "headers = { Content-Type = 'text/plain' }",
            "2: telemetry.headers.Content-Type: this header is set for each request; remove it",
        ),
        (
            "ca = '/run/broken.pem'",
            "2: telemetry.ca: the file `/run/broken.pem` cannot be used: it holds no certificate; store certificates there in PEM",
        ),
        (
            "sample = 1.5",
            "2: telemetry.sample: out of range; choose from 0 to 1",
        ),
        (
            "interval = '0s'",
            "2: telemetry.interval: not a time between 1ms and 24h; write it as a number with a unit, such as \"250ms\", \"10s\", \"2m\" or \"1h\"",
        ),
        (
            "genai_names = 'latest'",
            "2: telemetry.genai_names: not one of the known words; use one of `current`, `v1_41`, `both`",
        ),
        (
            "callers = ['a', 'a']",
            "2: telemetry.callers[1]: listed twice; remove one of them",
        ),
        (
            "callers = ['a b']",
            "2: telemetry.callers[0]: not the name of a caller; write up to 128 visible ASCII characters",
        ),
        (
            "endpoints = 'x'",
            "2: telemetry.endpoints: unknown key; did you mean `endpoint`?",
        ),
    ];
    for (line, expected) in unusual {
        let section = format!("[telemetry]\n{line}");

        let told = mistakes(&section, &[("KEY", "s3cret")]);

        assert_eq!(told, expected, "{line}");
    }
}

#[test]
fn a_mistake_in_a_variable_is_told_by_its_name_and_once() {
    let here = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4317");
    let table = [
        (
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
            "`OTEL_EXPORTER_OTLP_ENDPOINT`: not a URL",
        ),
        (
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://me:s3cret@collector"),
            "`OTEL_EXPORTER_OTLP_ENDPOINT`: the URL holds a credential",
        ),
        (
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector/path"),
            "the endpoint of the environment: the URL of a gRPC receiver has no path",
        ),
        (
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            "`OTEL_EXPORTER_OTLP_PROTOCOL`: a protocol that is not known here",
        ),
        (
            ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret"),
            "`OTEL_EXPORTER_OTLP_HEADERS`: not a list of names and values",
        ),
        (
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-a=s3cret%0Ax-b: 1"),
            "`OTEL_EXPORTER_OTLP_HEADERS`: not a list of headers that can be set",
        ),
        (
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
            "`OTEL_EXPORTER_OTLP_COMPRESSION`: a compression that is not known here",
        ),
        (
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere"),
            "`OTEL_EXPORTER_OTLP_CERTIFICATE`: the file cannot be read: there is no such file",
        ),
        (
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/run/broken.pem"),
            "`OTEL_EXPORTER_OTLP_CERTIFICATE`: it holds no certificate",
        ),
        (
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            "`OTEL_TRACES_EXPORTER`: an exporter that is not known here",
        ),
        (
            ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
            "`OTEL_TRACES_SAMPLER`: a sampler that is not known here",
        ),
        (
            ("OTEL_METRIC_EXPORT_INTERVAL", "15s"),
            "`OTEL_METRIC_EXPORT_INTERVAL`: not a time",
        ),
        (
            ("OTEL_RESOURCE_ATTRIBUTES", "s3cret"),
            "`OTEL_RESOURCE_ATTRIBUTES`: not a list of names and values",
        ),
    ];
    for (variable, expected) in table {
        let told = mistakes("", &[here, variable]);

        assert!(told.contains(expected), "{variable:?}: {told}");
        assert!(told.contains("; "), "{told}");
        assert!(!told.contains("s3cret"), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn a_machine_without_the_secrets_can_check_the_file() {
    let section = "[telemetry]\nendpoint = 'https://collector'\nheaders = { key = 'env:KEY' }\nca = '/run/ca.pem'\n";

    let file = format!("{section}{REST}");
    let config = File::parse(&file).resolve(&Surroundings::without_secrets(None));

    assert!(config.unwrap().telemetry.traces.is_some());
}

/// Accounts with rules for the labels that a test names.
const RULES: &str = r#"
[[accounts]]
id = "a"
kind = "caller"
labels = { product = "mail" }
label_rules = [{ key = "unit" }]
[[accounts]]
id = "b"
kind = "caller"
label_rules = [
    { key = "product", values = ["feed", "ads"] },
    { key = "reason", values = ["x"] },
    { key = "7days", values = ["x"] },
    { key = "cost.center", values = ["x"] },
    { key = "cost-center", values = ["x"] },
]
"#;

#[test]
fn metrics_tell_apart_the_values_that_accounts_list() {
    let section = format!("[metrics]\nlabels = [\"product\"]\n{RULES}");

    let config = resolve(&section, &[]).unwrap_or_else(|mistakes| panic!("{mistakes}"));

    let [label] = &config.metrics.labels[..] else {
        panic!("{:?}", config.metrics);
    };
    assert_eq!(&*label.key, "product");
    let values: Vec<_> = label.values.iter().map(|value| &**value).collect();
    assert_eq!(values, ["ads", "feed", "mail"]);
}

#[test]
fn a_label_that_cannot_be_one_of_metrics_is_named_with_the_remedy() {
    let many: Vec<_> = (0..199).map(|number| format!("v{number}")).collect();
    let account = format!(
        "[[accounts]]\nid = \"c\"\nkind = \"caller\"\nlabel_rules = [{{ key = \"many\", values = {many:?} }}]\n"
    );
    for (labels, path, what, remedy) in [
        (
            r#"["unit"]"#,
            "labels[0]",
            "lists the values of `unit`",
            "`values` in the `label_rules`",
        ),
        (
            r#"["prodct"]"#,
            "labels[0]",
            "lists the values of `prodct`",
            "product",
        ),
        (
            r#"["reason"]"#,
            "labels[0]",
            "means something else",
            "call the label of your calls otherwise",
        ),
        (
            r#"["7days"]"#,
            "labels[0]",
            "cannot be the name of a label",
            "begins with a letter",
        ),
        (
            r#"["product", "product"]"#,
            "labels[1]",
            "two labels",
            "remove one",
        ),
        (
            r#"["cost.center", "cost-center"]"#,
            "labels[1]",
            "two labels that Prometheus calls `cost_center`",
            "remove one",
        ),
        (
            r#"["many"]"#,
            "metrics.labels",
            "201 groups",
            "fewer values",
        ),
        (
            r#"["product", "a", "b", "c", "d"]"#,
            "metrics.labels",
            "more than 4",
            "QueryUsage",
        ),
        (r#"[7]"#, "labels[0]", "", ""),
    ] {
        let section = format!("[metrics]\nlabels = {labels}\n{RULES}{account}");

        let told = mistakes(&section, &[]);

        for part in [path, what, remedy] {
            assert!(told.contains(part), "{labels}: {part}: {told}");
        }
    }
    let none = mistakes("[metrics]\nlabels = [\"product\"]", &[]);
    assert!(
        none.contains("give it `values` in the `label_rules`"),
        "{none}"
    );
    let unknown = mistakes("[metrics]\nlabel = [\"product\"]", &[]);
    assert!(unknown.contains("labels"), "{unknown}");
}
