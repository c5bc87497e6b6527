//! Does a client certificate name its caller, and are a key and a certificate of one caller one caller?

use modelway::grpc::v1::caller_service_client::CallerServiceClient;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::{CredentialKind, WhoAmIRequest};
use modelway::simulator::{Behaviour, Settings, Simulator};
use rcgen::SanType;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Request;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

use super::issuers::Sso;
use super::{TestKey, bearer, caller, hello, spawn};
use crate::support::foreign::authority::{Authority, Issued, Purpose};
use crate::support::{Gateway, ONE_MODEL, details, scratch};

/// A service that asks its clients for certificates.
struct Mutual {
    gateway: Gateway,
    servers: Authority,
    clients: Authority,
}

impl Mutual {
    async fn start(more: &str) -> Self {
        let (servers, clients) = (Authority::new(), Authority::new());
        let (cert, key) = servers.issue(Purpose::Server).files();
        let ca = clients.file();
        let tls = format!(
            "[server]\npredrain = '0s'\n[server.tls]\ncert = {cert:?}\nkey = {key:?}\nclient_ca = {ca:?}\n\
             client_auth = 'optional'\n"
        );
        Self {
            gateway: Gateway::start(&format!("{tls}{ONE_MODEL}{more}")).await,
            servers,
            clients,
        }
    }

    /// A connection of this client, or of one without a certificate.
    async fn connect(&self, client: Option<&Issued>) -> Channel {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.servers.pem()))
            .domain_name("localhost");
        if let Some(client) = client {
            tls = tls.identity(Identity::from_pem(client.pem(), client.key()));
        }
        let endpoint = Channel::from_shared(format!("https://{}", self.gateway.address));
        let endpoint = endpoint.unwrap().tls_config(tls).unwrap();
        endpoint.connect().await.unwrap()
    }

    /// Who the service says calls, or the reason and the cause of its refusal.
    async fn who(
        &self,
        client: Option<&Issued>,
        key: Option<&TestKey>,
    ) -> Result<(String, CredentialKind), (String, String)> {
        let mut callers = CallerServiceClient::new(self.connect(client).await);
        let request = match key {
            Some(key) => key.sends(WhoAmIRequest {}),
            None => Request::new(WhoAmIRequest {}),
        };
        match callers.who_am_i(request).await {
            Ok(me) => {
                let me = me.into_inner();
                Ok((me.caller.clone(), me.credential_kind()))
            }
            Err(status) => {
                let told = details(&status);
                let cause = told.info.get("cause").cloned();
                Err((told.reason, cause.unwrap_or_default()))
            }
        }
    }
}

fn ok(caller: &str, kind: CredentialKind) -> Result<(String, CredentialKind), (String, String)> {
    Ok((caller.to_owned(), kind))
}

fn invalid(cause: &str) -> Result<(String, CredentialKind), (String, String)> {
    Err(("CREDENTIALS_INVALID".to_owned(), cause.to_owned()))
}

#[tokio::test]
async fn a_certificate_names_its_caller_and_contradicts_no_key() {
    let [a, b] = [TestKey::data(), TestKey::data()];
    let more = [
        "[auth]\nanonymous = 'local'\nmtls = { pattern = 'spiffe://prod/ns/*/sa/{caller}' }\n",
        &caller(
            "a",
            "bindings = [{ certificate = { san = 'spiffe://prod/a' } }, { certificate = { common_name = 'a' } }]",
        ),
        &caller("b", "bindings = [{ certificate = { san = 'B.example' } }]"),
        &a.table("ka", "a", ""),
        &b.table("kb", "b", ""),
    ]
    .concat();
    let service = Mutual::start(&more).await;
    let issue = |uris: &[&str], names: &[&str], common: &str| {
        service.clients.client_named(uris, names, common)
    };
    let kind = CredentialKind::Certificate;
    let of_a = issue(&["spiffe://prod/a"], &["b.example"], "b");

    assert_eq!(service.who(Some(&of_a), None).await, ok("a", kind));
    let by_dns = issue(&["spiffe://prod/x"], &["b.example"], "a");
    assert_eq!(service.who(Some(&by_dns), None).await, ok("b", kind));
    let by_common_name = issue(&[], &[], "a");
    assert_eq!(
        service.who(Some(&by_common_name), None).await,
        ok("a", kind)
    );
    let by_pattern = issue(&["spiffe://prod/ns/n/sa/b"], &[], "");
    assert_eq!(service.who(Some(&by_pattern), None).await, ok("b", kind));
    let unknown = issue(&[], &["x.example"], "a");
    assert_eq!(service.who(Some(&unknown), None).await, invalid("invalid"));
    assert_eq!(
        service.who(None, None).await,
        ok("local", CredentialKind::Anonymous)
    );

    assert_eq!(
        service.who(Some(&of_a), Some(&a)).await,
        ok("a", CredentialKind::Key)
    );
    assert_eq!(
        service.who(Some(&of_a), Some(&b)).await,
        invalid("conflict")
    );
    assert_eq!(
        service.who(Some(&unknown), Some(&b)).await,
        ok("b", CredentialKind::Key)
    );
    let none = TestKey::data();
    assert_eq!(
        service.who(Some(&of_a), Some(&none)).await,
        invalid("invalid")
    );
}

/// What decides is the exact text: nothing is decoded, lowered or completed but the case of DNS names.
#[tokio::test]
async fn a_certificate_with_odd_names_names_exactly_whom_it_names_or_nobody() {
    let more = [
        "[auth]\nmtls = { pattern = 'spiffe://prod/ns/*/sa/{caller}' }\n",
        &caller(
            "a",
            "bindings = [{ certificate = { san = 'spiffe://prod/a' } }, { certificate = { common_name = 'a' } }]",
        ),
        &caller(
            "b",
            "bindings = [{ certificate = { san = 'B.example' } }, { certificate = { san = 'urn:Team:B' } }]",
        ),
    ]
    .concat();
    let service = Mutual::start(&more).await;
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let dns = |text: &str| SanType::DnsName(text.try_into().unwrap());
    let kind = CredentialKind::Certificate;
    let (a, b) = (ok("a", kind), ok("b", kind));
    let (nobody, conflict) = (invalid("invalid"), invalid("conflict"));
    let long = format!("spiffe://prod/{}", "x".repeat(8 << 10));
    let many: Vec<_> = (0..500)
        .map(|number| uri(&format!("spiffe://prod/{number}")))
        .collect();
    let cases = [
        (
            "one of several",
            vec![uri("spiffe://x/y"), uri("spiffe://prod/a"), uri("urn:x")],
            &a,
        ),
        (
            "the same twice",
            vec![uri("spiffe://prod/a"), uri("spiffe://prod/a")],
            &a,
        ),
        (
            "one behind five hundred",
            [many, vec![uri("spiffe://prod/a")]].concat(),
            &a,
        ),
        (
            "beside a long one",
            vec![uri(&long), uri("spiffe://prod/a")],
            &a,
        ),
        (
            "two that the pattern reads",
            vec![
                uri("spiffe://prod/ns/n/sa/a"),
                uri("spiffe://prod/ns/n/sa/b"),
            ],
            &conflict,
        ),
        ("upper case in a URI", vec![uri("SPIFFE://prod/a")], &nobody),
        (
            "upper case in its path",
            vec![uri("spiffe://prod/A")],
            &nobody,
        ),
        ("percent-encoded", vec![uri("spiffe://prod/%61")], &nobody),
        (
            "percent-encoded for the pattern",
            vec![uri("spiffe://prod/ns/n/sa/%62")],
            &nobody,
        ),
        ("a slash at the end", vec![uri("spiffe://prod/a/")], &nobody),
        (
            "dots in the path",
            vec![uri("spiffe://prod/x/../a")],
            &nobody,
        ),
        (
            "a part too many for the pattern",
            vec![uri("spiffe://prod/ns/n/sa/b/c")],
            &nobody,
        ),
        (
            "an empty part in the pattern",
            vec![uri("spiffe://prod/ns//sa/b")],
            &nobody,
        ),
        (
            "no caller in the pattern",
            vec![uri("spiffe://prod/ns/n/sa/")],
            &nobody,
        ),
        (
            "a star for the pattern",
            vec![uri("spiffe://prod/ns/n/sa/*")],
            &nobody,
        ),
        ("upper case in a DNS name", vec![dns("b.EXAMPLE")], &b),
        ("a wildcard", vec![dns("*.example")], &nobody),
        ("a dot at the end", vec![dns("b.example.")], &nobody),
        ("a URI without slashes", vec![uri("urn:Team:B")], &b),
        (
            "the same in small letters",
            vec![uri("urn:team:b")],
            &nobody,
        ),
        ("a URI that is a DNS name", vec![uri("b.example")], &nobody),
        (
            "a DNS name that is a URI",
            vec![dns("spiffe://prod/a")],
            &nobody,
        ),
        (
            "an empty URI beside the common name",
            vec![uri("")],
            &nobody,
        ),
        (
            "an address beside the common name",
            vec![SanType::IpAddress([127, 0, 0, 1].into())],
            &nobody,
        ),
        (
            "mail beside the common name",
            vec![SanType::Rfc822Name("a@b.example".try_into().unwrap())],
            &nobody,
        ),
        ("the common name alone", Vec::new(), &a),
    ];
    let count = cases.len();
    for (what, names, expected) in cases {
        let client = service.clients.client_with(names, "a");
        assert_eq!(service.who(Some(&client), None).await, *expected, "{what}");
    }
    println!("certificates with odd names: {count}, believed wrongly: 0");
    // More than a handshake takes: that connection does not begin, and the service goes on.
    let huge = service
        .clients
        .client_with(vec![uri(&"x".repeat(60 << 10))], "a");
    let endpoint = Channel::from_shared(format!("https://{}", service.gateway.address)).unwrap();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(service.servers.pem()))
        .domain_name("localhost")
        .identity(Identity::from_pem(huge.pem(), huge.key()));
    if let Ok(endpoint) = endpoint.tls_config(tls)
        && let Ok(channel) = endpoint.connect().await
    {
        let mut callers = CallerServiceClient::new(channel);
        assert!(callers.who_am_i(WhoAmIRequest {}).await.is_err());
    }
    let plain = service.clients.client_with(Vec::new(), "a");
    assert_eq!(service.who(Some(&plain), None).await, a);
}

/// Contents of the extension for alternative names that are lists, as TLS demands, but none of names.
const UNREADABLE: [(&str, &[u8]); 6] = [
    ("a name that is longer than it", b"\x30\x03\x86\x7fa"),
    ("a name without a length", b"\x30\x01\x86"),
    ("a list of a number", b"\x30\x03\x02\x01\x07"),
    ("a kind of name that there is not", b"\x30\x03\x8f\x01a"),
    ("a URI that is not ASCII", b"\x30\x04\x86\x02\xc3\xa4"),
    (
        "a name beside one that cannot be read",
        b"\x30\x14\x86\x0fspiffe://prod/a\x86\x7fx",
    ),
];

/// Contents that are no list.
const NO_LISTS: [(&str, &[u8]); 6] = [
    ("nothing", b""),
    ("no DER", b"spiffe://prod/a"),
    ("a list that is longer than it", b"\x30\x7f\x86\x01a"),
    ("a list without a length", b"\x30\x80\x86\x01a\x00\x00"),
    (
        "a length of eight bytes",
        b"\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff",
    ),
    ("a list and more behind it", b"\x30\x03\x86\x01ajunk"),
];

#[tokio::test]
async fn a_certificate_whose_alternative_names_cannot_be_read_names_nobody_and_does_no_harm() {
    let more = [
        "[auth]\nanonymous = 'local'\nmtls = { pattern = 'spiffe://prod/ns/*/sa/{caller}' }\n",
        &caller(
            "a",
            "bindings = [{ certificate = { san = 'spiffe://prod/a' } }, { certificate = { common_name = 'a' } }]",
        ),
    ]
    .concat();
    let service = Mutual::start(&more).await;

    for (what, content) in UNREADABLE {
        let client = service.clients.client_with_raw_names(content, "a");

        // Neither by its common name nor as somebody without a credential.
        let who = service.who(Some(&client), None).await;
        assert_eq!(who, invalid("invalid"), "{what}");
    }
    for (what, content) in NO_LISTS {
        let client = service.clients.client_with_raw_names(content, "a");
        let tls = TlsConnector::from(service.servers.client_that_shows(&client));
        let socket = TcpStream::connect(service.gateway.address).await.unwrap();

        // A client may have finished the handshake before the service has seen its certificate.
        let refused = async {
            let localhost = "localhost".try_into().unwrap();
            let mut stream = tls.connect(localhost, socket).await?;
            stream.read_u8().await
        };
        let refused = refused.await.unwrap_err().to_string();
        assert!(refused.contains("BadCertificate"), "{what}: {refused}");
    }
    let refused = service.gateway.scraped().sum(
        "modelway_credentials_refused_total",
        &[("cause", "unknown_certificate")],
    );
    println!(
        "certificates whose alternative names cannot be read: {refused}, that are malformed: {}, believed: 0",
        NO_LISTS.len()
    );
    assert_eq!(refused, UNREADABLE.len() as f64);
    let plain = service.clients.client_with(Vec::new(), "a");
    let who = service.who(Some(&plain), None).await;
    assert_eq!(who, ok("a", CredentialKind::Certificate));
}

#[tokio::test]
async fn where_certificates_only_open_the_door_they_name_nobody() {
    let service = Mutual::start(&format!(
        "[auth]\nanonymous = 'local'\nmtls = {{ role = 'transport' }}\n{}",
        caller("a", "bindings = [{ certificate = { san = 'a.example' } }]")
    ))
    .await;
    let client = service.clients.client_named(&[], &["a.example"], "");

    let who = service.who(Some(&client), None).await;

    assert_eq!(who, ok("local", CredentialKind::Anonymous));
}

/// Row 22 of the invariants, for the two proofs that there are.
#[tokio::test]
async fn calls_by_key_and_by_certificate_are_counted_together() {
    let key = TestKey::data();
    let more = [
        "[admission]\nmax_inflight_per_caller = 1\n",
        &caller("a", "bindings = [{ certificate = { san = 'a.example' } }]"),
        &key.table("k", "a", ""),
    ]
    .concat();
    let service = Mutual::start(&more).await;
    service
        .gateway
        .simulator
        .set("first", "hang".parse::<Behaviour>().unwrap());
    let client = service.clients.client_named(&[], &["a.example"], "");
    let mut by_certificate = GenerationServiceClient::new(service.connect(Some(&client)).await);
    let open = spawn(async move { by_certificate.generate(hello()).await });
    let arrived = service
        .gateway
        .simulator
        .wait_for(|requests| requests.len() == 1);
    arrived.await;

    let mut by_key = GenerationServiceClient::new(service.connect(None).await);
    let refused = by_key.generate(key.sends(hello())).await.unwrap_err();

    assert_eq!(details(&refused).reason, "CALLER_RATE_LIMITED");
    println!("calls by key and by certificate of one caller: counted together");
    drop(open);
}

/// Row 22 of the invariants: one budget for all proofs, which a reload changes.
#[tokio::test]
async fn key_token_and_certificate_spend_one_budget_and_a_larger_one_needs_no_restart() {
    let sso = Sso::start("one").await;
    let (servers, clients) = (Authority::new(), Authority::new());
    let (cert, private) = servers.issue(Purpose::Server).files();
    let key = TestKey::data();
    let file = scratch::path("modelway.toml");
    let bindings = "bindings = [{ token = { issuer = 'sso', subject = 'a' } }, { certificate = { san = 'a.example' } }]";
    let text = |requests: u32| {
        [
            sso.configuration_of_issuer(""),
            format!(
                "[server]\npredrain = '0s'\n[server.tls]\ncert = {cert:?}\nkey = {private:?}\nclient_ca = {:?}\n\
                 client_auth = 'optional'\n[providers.openai]\nsimulated = true\nwire_format = 'openai_chat'\n{ONE_MODEL}",
                clients.file()
            ),
            caller("a", bindings),
            key.table("k", "a", ""),
            format!("[[limits]]\nid = 'day'\nper = ['caller']\nrequests = {requests}\nwindow = 'day'\n"),
        ]
        .concat()
    };
    std::fs::write(&file, text(3)).unwrap();
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let gateway = Gateway::following(simulator, &file).await;
    let connect = async |client: Option<&Issued>| {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(servers.pem()))
            .domain_name("localhost");
        if let Some(client) = client {
            tls = tls.identity(Identity::from_pem(client.pem(), client.key()));
        }
        let endpoint = Channel::from_shared(format!("https://{}", gateway.address));
        let channel = endpoint.unwrap().tls_config(tls).unwrap().connect().await;
        GenerationServiceClient::new(channel.unwrap())
    };
    let client = clients.client_named(&[], &["a.example"], "");
    let (mut plain, mut certified) = (connect(None).await, connect(Some(&client)).await);
    let token = sso.token("a", serde_json::json!({}));

    plain.generate(key.sends(hello())).await.unwrap();
    plain.generate(bearer(hello(), &token)).await.unwrap();
    certified.generate(hello()).await.unwrap();

    for _ in 0..2 {
        let by_key = plain.generate(key.sends(hello())).await.unwrap_err();
        let by_token = plain.generate(bearer(hello(), &token)).await.unwrap_err();
        let by_certificate = certified.generate(hello()).await.unwrap_err();
        for refused in [by_key, by_token, by_certificate] {
            assert_eq!(details(&refused).reason, "CALLER_QUOTA_EXHAUSTED");
        }
    }
    assert_eq!(gateway.simulator.requests().len(), 3);

    let began = tokio::time::Instant::now();
    std::fs::write(&file, text(6)).unwrap();
    assert!(gateway.reload().await);
    let seconds = began.elapsed().as_secs_f64();
    for _ in 0..3 {
        plain.generate(bearer(hello(), &token)).await.unwrap();
    }
    let refused = certified.generate(hello()).await.unwrap_err();
    assert_eq!(details(&refused).reason, "CALLER_QUOTA_EXHAUSTED");
    println!(
        "calls by key, token and certificate against 3 a day: 3; doubled without a restart in {seconds:.3} s: 6"
    );
}
