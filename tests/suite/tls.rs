//! Providers behind TLS: whom the service trusts, and as whom it shows itself.

use std::io;
use std::path::Path;

use modelway::config::Surroundings;
use modelway::config::file::File;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::simulator::{Settings, Simulator, text};

use crate::support::foreign::authority::{Authority, Purpose};
use crate::support::foreign::front::Front;
use crate::support::{Gateway, METHODS, Process, ask, details, lines, program, scratch, text_of};

/// A configuration of one target behind the front; `provider` says more of it.
fn behind(front: &Front, transport: &str, provider: &str) -> String {
    format!(
        r#"
        [transport]
        {transport}
        [providers.private]
        wire_format = "openai_chat"
        base_url = "https://{}/openai/v1"
        auth = "none"
        {provider}
        [models."private/first"]
        [scenarios.one]
        targets = ["private/first"]
        "#,
        front.address
    )
}

fn ca_file(path: &Path) -> String {
    format!("ca_file = {path:?}")
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_for_all_or_for_a_provider() {
    let authority = Authority::new();
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let tls = authority.server(Purpose::Server, &["http/1.1"]);
    let front = Front::before(simulator.address(), tls).await;
    let ca_file = ca_file(&authority.file());
    for (transport, provider) in [(&*ca_file, ""), ("", &ca_file)] {
        let gateway = Gateway::start(&behind(&front, transport, provider)).await;
        for method in METHODS {
            let response = gateway.call(method, ask("one", "Hello")).await.unwrap();

            assert_eq!(text_of(&response), text(24));
        }
    }

    assert!(front.handshakes() > 0);
}

#[tokio::test]
async fn a_host_that_cannot_show_who_it_is_gets_no_request() {
    let (authority, another) = (Authority::new(), Authority::new());
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    for (trusted, purpose) in [
        (&another, Purpose::Server),
        (&authority, Purpose::ExpiredServer),
        (&authority, Purpose::ServerElsewhere),
    ] {
        let tls = authority.server(purpose, &["http/1.1"]);
        let front = Front::before(simulator.address(), tls).await;
        let config = behind(&front, "", &ca_file(&trusted.file()));

        let gateway = Gateway::start(&config).await;
        let failure = gateway.generate(ask("one", "Hello")).await.unwrap_err();

        assert_eq!(details(&failure).reason, "PROVIDER_UNREACHABLE");
        assert_eq!(front.handshakes(), 0, "{purpose:?}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_a_provider_that_asks_for_one() {
    let authority = Authority::new();
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let tls = authority.server_for_clients(&["http/1.1"]);
    let front = Front::before(simulator.address(), tls).await;
    let (certificate, key) = authority.issue(Purpose::Client).files();
    let ca_file = ca_file(&authority.file());
    let identity = format!(
        "client_certificate_file = {certificate:?}\nclient_key = \"file:{}\"",
        key.display()
    );
    let with_both = format!("{ca_file}\n{identity}");
    for (transport, provider) in [("", &with_both), (&*with_both, &String::new())] {
        let gateway = Gateway::start(&behind(&front, transport, provider)).await;

        let response = gateway.generate(ask("one", "Hello")).await.unwrap();

        assert_eq!(text_of(&response), text(24));
        let trail = ["1 PRIMARY private/first SUCCEEDED"];
        assert_eq!(lines(&response.attempts), trail);
    }
    let requests = simulator.requests().len();

    let gateway = Gateway::start(&behind(&front, &ca_file, "")).await;
    let failure = gateway.generate(ask("one", "Hello")).await.unwrap_err();

    assert_eq!(details(&failure).reason, "PROVIDER_UNREACHABLE");
    assert_eq!(simulator.requests().len(), requests, "nobody was let in");
}

/// What is wrong with a provider that says this, where these files are.
fn mistakes(provider: &str, files: &[(&str, String)]) -> Vec<String> {
    let surroundings = Surroundings {
        variable: &|_| None,
        read_file: &|path| {
            let file = files.iter().find(|(name, _)| Path::new(name) == path);
            let text = file.map(|(_, text)| text.clone());
            text.ok_or_else(|| io::ErrorKind::NotFound.into())
        },
        simulator: None,
        in_use: modelway::config::InUse::default(),
    };
    let text = format!(
        "[providers.p]\nwire_format = 'openai_chat'\nbase_url = 'https://example.com'\nauth = 'none'\n{provider}
        [models.'p/m']\n[scenarios.s]\ntargets = ['p/m']"
    );
    let resolved = File::parse(&text).resolve(&surroundings);
    let mistakes = resolved.err().map(|mistakes| {
        let told = mistakes.iter().map(ToString::to_string);
        told.collect()
    });
    mistakes.unwrap_or_default()
}

#[test]
fn certificates_and_keys_are_checked_before_anything_is_sent() {
    let (ours, another) = (Authority::new(), Authority::new());
    let (client, other) = (ours.issue(Purpose::Client), another.issue(Purpose::Client));
    let cut = ours.pem().replace("-----END CERTIFICATE-----", "");
    let files = [
        ("/ca", ours.pem()),
        ("/two", format!("{}{}", ours.pem(), another.pem())),
        ("/cut", cut),
        ("/text", "no certificate".to_owned()),
        ("/client", client.pem()),
        ("/key", client.key()),
        ("/other-key", other.key()),
        (
            "/garbled",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
        ),
    ];
    let client = "client_certificate_file = '/client'";
    let table = [
        ("ca_file = '/ca'", ""),
        ("ca_file = '/two'", ""),
        (
            "ca_file = '/missing'",
            "5: providers.p.ca_file: the file `/missing` cannot be read: there is no such file; store certificates there in PEM, readable for this process",
        ),
        (
            "ca_file = '/text'",
            "5: providers.p.ca_file: the file `/text` cannot be used: it holds no certificate; store certificates there in PEM",
        ),
        (
            "ca_file = '/cut'",
            "5: providers.p.ca_file: the file `/cut` cannot be used: it is not PEM; store certificates there in PEM",
        ),
        (
            "ca_file = '/garbled'",
            "5: providers.p.ca_file: the file `/garbled` cannot be used: it holds a certificate that cannot be read; store certificates there in PEM",
        ),
        (
            client,
            "5: providers.p.client_certificate_file: a client certificate without its key; add `client_key = \"file:PATH\"`",
        ),
        (
            "client_key = 'file:/key'",
            "5: providers.p.client_key: the key of a client certificate that is not there; add `client_certificate_file`",
        ),
        (&format!("{client}\nclient_key = 'file:/key'"), ""),
        (
            &format!("{client}\nclient_key = 'file:/other-key'"),
            "6: providers.p.client_key: the key does not fit the certificate, or is of a kind that is not known; store the private key of `client_certificate_file` there in PEM, without a passphrase",
        ),
        (
            &format!("{client}\nclient_key = 'file:/client'"),
            "6: providers.p.client_key: it holds no private key; store the private key of `client_certificate_file` there in PEM, without a passphrase",
        ),
        (
            &format!("{client}\nclient_key = '/key'"),
            "6: providers.p.client_key: not a reference to a secret; write \"env:NAME\" with a name in capitals, or \"file:PATH\" with a slash in the path",
        ),
    ];
    for (provider, told) in table {
        assert_eq!(mistakes(provider, &files).join("\n"), told, "{provider}");
    }
}

/// An environment in which no authority is known.
const NOBODY: [(&str, &str); 2] = [
    ("SSL_CERT_FILE", "/nowhere/ca.pem"),
    ("SSL_CERT_DIR", "/nowhere"),
];

#[tokio::test]
async fn without_any_authority_the_service_starts_if_no_provider_needs_one() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let path = scratch::path("modelway.toml");
    let plain = format!("http://{}/openai/v1", simulator.address());
    let config = |base_url: &str| {
        let config = format!(
            "[providers.plain]\nwire_format = 'openai_chat'\nbase_url = '{base_url}'\nauth = 'none'\n\
             [models.'plain/first']\n[scenarios.general]\ntargets = ['plain/first']\n\
             [server]\npredrain = '0s'\n"
        );
        std::fs::write(&path, config).unwrap();
    };
    config(&plain);
    for config in [None, Some(path.as_path())] {
        let process = Process::serve(config, &NOBODY);
        let mut client = GenerationServiceClient::new(process.connect().await);

        let response = client.generate(ask("general", "Hello")).await.unwrap();

        assert!(!text_of(&response.into_inner()).is_empty());
    }

    config("https://api.example.com/v1");
    let refused = program()
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(&path)
        .envs(NOBODY)
        .output()
        .unwrap();
    let told = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("provider `plain`"), "{told}");
    assert!(told.contains("set `transport.ca_file`"), "{told}");
}
