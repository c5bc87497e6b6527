//! When do the certificates end that the configuration names? Operators and metrics are told, and follow every exchange.

use std::fs;
use std::path::{Path, PathBuf};

use modelway::grpc::v1::operations_service_client::OperationsServiceClient;
use modelway::grpc::v1::{GetConfigurationRequest, GetConfigurationResponse};
use modelway::server::ListenAddress;
use modelway::simulator::{Settings, Simulator};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

use crate::support::foreign::authority::{Authority, Issued, Purpose};
use crate::support::{Gateway, ask, scratch};

const METRIC: &str = "modelway_certificate_not_after_timestamp_seconds";

/// Seconds from 1970 to the beginning of a year before 2100.
fn beginning_of(year: u64) -> i64 {
    let days = (year - 1970) * 365 + (year - 1969) / 4;
    i64::try_from(days * 24 * 60 * 60).unwrap()
}

/// The files of a configuration that has a certificate of every use.
struct Files {
    config: PathBuf,
    server: [PathBuf; 2],
    admin: [PathBuf; 2],
    client_ca: PathBuf,
    provider: [PathBuf; 2],
}

impl Files {
    fn new() -> Self {
        let pair = |name: &str| {
            [
                scratch::path(&format!("{name}.pem")),
                scratch::path(&format!("{name}.key")),
            ]
        };
        Self {
            config: scratch::path("modelway.toml"),
            server: pair("server"),
            admin: pair("admin"),
            client_ca: scratch::path("clients.pem"),
            provider: pair("provider"),
        }
    }

    fn write_config(&self) {
        let Self {
            config,
            server: [server, server_key],
            admin: [admin, admin_key],
            client_ca,
            provider: [provider, provider_key],
        } = self;
        let provider_key = provider_key.display();
        let text = format!(
            r#"
            [server]
            predrain = "0s"
            runtimes = 2
            [server.tls]
            cert = {server:?}
            key = {server_key:?}
            client_ca = {client_ca:?}
            client_auth = "optional"
            [admin]
            listen = "127.0.0.1:0"
            [admin.tls]
            cert = {admin:?}
            key = {admin_key:?}
            client_ca = {client_ca:?}
            [providers.openai]
            simulated = true
            wire_format = "openai_chat"
            [providers.private]
            base_url = "https://127.0.0.1:1/v1"
            auth = "none"
            wire_format = "openai_chat"
            client_certificate_file = {provider:?}
            client_key = "file:{provider_key}"
            [models."openai/first"]
            [models."private/first"]
            [scenarios.one]
            targets = ["openai/first", "private/first"]
            "#
        );
        fs::write(config, text).unwrap();
    }
}

/// A certificate with those that stand behind it in the file, and its key.
fn write([cert, key]: &[PathBuf; 2], issued: &Issued, behind: &str) {
    fs::write(cert, issued.pem() + behind).unwrap();
    fs::write(key, issued.key()).unwrap();
}

/// Asks the listener for operators, as this client.
async fn configuration(
    gateway: &Gateway,
    authority: &Authority,
    client: &Issued,
) -> GetConfigurationResponse {
    let Some(ListenAddress::Tcp(address)) = &gateway.admin else {
        panic!("no listener for operators");
    };
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(authority.pem()))
        .identity(Identity::from_pem(client.pem(), client.key()))
        .domain_name("localhost");
    let endpoint = Channel::from_shared(format!("https://{address}")).unwrap();
    let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
    let mut operations = OperationsServiceClient::new(channel);
    let asked = operations.get_configuration(GetConfigurationRequest {});
    asked.await.unwrap().into_inner()
}

/// Each certificate in a line: use, file, seconds of its end, fingerprint.
fn told(response: &GetConfigurationResponse) -> Vec<String> {
    let certificates = response.certificates.iter().map(|certificate| {
        let end = certificate.not_after_time.unwrap().seconds;
        let (usage, name) = (&certificate.r#use, &certificate.name);
        format!("{usage} {name} {end} {}", certificate.fingerprint)
    });
    certificates.collect()
}

fn expected(usage: &str, file: &Path, until: u64, fingerprint: &str) -> String {
    let end = beginning_of(until);
    format!("{usage} {} {end} {fingerprint}", file.display())
}

/// The metric shows exactly what operators are told.
fn metric_agrees(gateway: &Gateway, response: &GetConfigurationResponse) {
    let scraped = gateway.scraped();
    for certificate in &response.certificates {
        let labels = [("use", &*certificate.r#use), ("name", &*certificate.name)];
        let shown = scraped.sum(METRIC, &labels);
        assert_eq!(shown, certificate.not_after_time.unwrap().seconds as f64);
    }
    let names = scraped.names();
    let shown = names.iter().filter(|(name, _)| name == METRIC).count();
    assert_eq!(shown, response.certificates.len());
}

#[tokio::test]
async fn every_certificate_is_told_with_the_first_end_in_its_file_and_follows_an_exchange() {
    let authority = Authority::until(2050);
    let operator = authority.issue(Purpose::Client);
    let files = Files::new();
    let server = authority.issue_until(Purpose::Server, 2090);
    write(&files.server, &server, &authority.pem());
    let admin = authority.issue_until(Purpose::Server, 2041);
    write(&files.admin, &admin, "");
    fs::write(&files.client_ca, authority.pem()).unwrap();
    let shown = authority.issue_until(Purpose::Client, 2042);
    write(&files.provider, &shown, "");
    files.write_config();
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let gateway = Gateway::following(simulator, &files.config).await;

    let before = configuration(&gateway, &authority, &operator).await;

    let in_order = [
        // The authority behind the certificate ends first.
        expected("server", &files.server[0], 2050, &server.fingerprint()),
        expected("admin", &files.admin[0], 2041, &admin.fingerprint()),
        expected(
            "client_ca",
            &files.client_ca,
            2050,
            &authority.fingerprint(),
        ),
        expected("provider", &files.provider[0], 2042, &shown.fingerprint()),
    ];
    assert_eq!(told(&before), in_order);
    metric_agrees(&gateway, &before);

    let another = Authority::until(2045);
    let both = authority.pem() + &another.pem();
    fs::write(&files.client_ca, both).unwrap();
    let renewed = authority.issue_until(Purpose::Client, 2060);
    write(&files.provider, &renewed, "");
    let fresh = authority.issue_until(Purpose::Server, 2061);
    write(&files.server, &fresh, "");
    assert!(gateway.reload().await);

    let after = configuration(&gateway, &authority, &operator).await;
    let in_order = [
        expected("server", &files.server[0], 2061, &fresh.fingerprint()),
        expected("admin", &files.admin[0], 2041, &admin.fingerprint()),
        expected(
            "client_ca",
            &files.client_ca,
            2045,
            &authority.fingerprint(),
        ),
        expected("provider", &files.provider[0], 2060, &renewed.fingerprint()),
    ];
    assert_eq!(told(&after), in_order);
    metric_agrees(&gateway, &after);
    assert_eq!(
        after.running_hash, before.running_hash,
        "the file is the same"
    );
}

#[tokio::test]
async fn half_of_a_new_pair_is_not_told_of() {
    let authority = Authority::until(2050);
    let operator = authority.issue(Purpose::Client);
    let files = Files::new();
    let old = authority.issue_until(Purpose::Server, 2040);
    write(&files.server, &old, "");
    write(&files.admin, &authority.issue(Purpose::Server), "");
    fs::write(&files.client_ca, authority.pem()).unwrap();
    write(&files.provider, &authority.issue(Purpose::Client), "");
    files.write_config();
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let gateway = Gateway::following(simulator, &files.config).await;
    let before = configuration(&gateway, &authority, &operator).await;
    let [cert, _] = &files.server;

    let new = authority.issue_until(Purpose::Server, 2060);
    fs::write(cert, new.pem()).unwrap();
    assert!(!gateway.reload().await);

    let after = configuration(&gateway, &authority, &operator).await;
    assert!(after.rejected);
    let mistakes = format!("{:?}", after.mistakes);
    assert!(mistakes.contains("certificate_pair"), "{mistakes}");
    assert_eq!(told(&after), told(&before));
    metric_agrees(&gateway, &after);
}

#[tokio::test]
async fn a_configuration_without_certificates_tells_of_none() {
    let gateway = Gateway::start_scenario(&["openai/first"], "").await;
    gateway.generate(ask("s", "Hello")).await.unwrap();

    let response = gateway
        .operations()
        .get_configuration(GetConfigurationRequest {})
        .await
        .unwrap()
        .into_inner();

    assert_eq!(response.certificates, []);
    metric_agrees(&gateway, &response);
}
