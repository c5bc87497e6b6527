//! The listeners behind TLS: as whom they show themselves, whom they believe, and what an exchange of files changes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use modelway::grpc::v1::ListBreakersRequest;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::operations_service_client::OperationsServiceClient;
use modelway::serve::Service;
use modelway::server::ListenAddress;
use modelway::simulator::{Fault, Settings, Simulator};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::foreign::authority::{Authority, Issued, Purpose};
use crate::support::{Gateway, ONE_MODEL, ask, scratch};

/// Longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(10);

/// The files of a listener's TLS.
struct Files {
    cert: PathBuf,
    key: PathBuf,
    client_ca: PathBuf,
}

impl Files {
    /// Those of a server of this authority that believes clients of these.
    fn new(authority: &Authority, clients: &[&Authority]) -> Self {
        let (cert, key) = authority.issue(Purpose::Server).files();
        let files = Self {
            cert,
            key,
            client_ca: authority.file(),
        };
        files.believe(clients);
        files
    }

    fn believe(&self, clients: &[&Authority]) {
        let all: String = clients.iter().map(|authority| authority.pem()).collect();
        std::fs::write(&self.client_ca, all).unwrap();
    }

    fn table(&self, more: &str) -> String {
        let Self { cert, key, .. } = self;
        format!("[server.tls]\ncert = {cert:?}\nkey = {key:?}\n{more}\n")
    }

    fn mutual(&self, client_auth: &str) -> String {
        let ca = &self.client_ca;
        self.table(&format!(
            "client_ca = {ca:?}\nclient_auth = {client_auth:?}"
        ))
    }
}

/// Starts a service that follows a file with these tables.
async fn start(tls: &str) -> Gateway {
    start_with("", tls).await
}

async fn start_with(server: &str, tls: &str) -> Gateway {
    let provider = "[providers.openai]\nsimulated = true\nwire_format = 'openai_chat'\n";
    let server = format!("[server]\npredrain = '0s'\nruntimes = 2\n{server}");
    let text = format!("{server}\n{tls}{ONE_MODEL}{provider}");
    let file = scratch::file("modelway.toml", text);
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    Gateway::following(simulator, &file).await
}

/// Connects with TLS, as this client if it is one.
async fn connect(
    gateway: &Gateway,
    authority: &Authority,
    client: Option<&Issued>,
) -> Result<Channel, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(authority.pem()))
        .domain_name("localhost");
    if let Some(client) = client {
        tls = tls.identity(Identity::from_pem(client.pem(), client.key()));
    }
    let endpoint = Channel::from_shared(format!("https://{}", gateway.address)).unwrap();
    endpoint.tls_config(tls)?.connect().await
}

async fn generate(channel: Channel) -> Result<(), Code> {
    let mut client = GenerationServiceClient::new(channel);
    let answered = client.generate(ask("one", "Hello")).await;
    answered.map(|_| ()).map_err(|status| status.code())
}

/// Whether a client gets an answer. With TLS 1.3 it hears only after its own handshake that it is not believed.
async fn is_served(gateway: &Gateway, authority: &Authority, client: Option<&Issued>) -> bool {
    match connect(gateway, authority, client).await {
        Ok(channel) => generate(channel).await.is_ok(),
        Err(_) => false,
    }
}

/// How many connections the metrics say were refused for this reason.
fn refused(gateway: &Gateway, why: &str) -> usize {
    let name = format!("modelway_connections_refused_total{{why={why:?}}} ");
    let text = gateway.metrics.text();
    let mut counts = text.lines().filter_map(|line| line.strip_prefix(&name));
    counts.next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn callers_speak_tls_and_one_that_speaks_plaintext_gets_an_alert_and_is_counted() {
    let authority = Authority::new();
    let gateway = start(&Files::new(&authority, &[]).table("")).await;

    assert!(is_served(&gateway, &authority, None).await);

    let mut plaintext = TcpStream::connect(gateway.address).await.unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    plaintext.write_all(preface).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(PROMPTLY, plaintext.read_to_end(&mut answer)).await;
    read.expect("the connection ends").unwrap();
    // The type of the record is that of an alert (RFC 8446, section 5.1), and its level is fatal.
    assert_eq!((answer[0], answer[5]), (21, 2), "{answer:?}");
    assert_eq!(refused(&gateway, "tls"), 1);
    let channel = Channel::from_shared(format!("http://{}", gateway.address));
    let refused = generate(channel.unwrap().connect_lazy()).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn the_call_that_the_first_lines_show_has_the_options_that_this_listener_asks_for() {
    let authority = Authority::new();
    let files = Files::new(&authority, &[&authority]);
    let with_tls = "grpcurl -cacert CA.pem -d ";
    let with_proof = "grpcurl -cacert CA.pem -cert CERT.pem -key KEY.pem -d ";
    for (tls, shown) in [
        (files.table(""), with_tls),
        (files.mutual("optional"), with_tls),
        (files.mutual("required"), with_proof),
        (String::new(), "grpcurl -plaintext -d "),
    ] {
        let provider = "[providers.openai]\nsimulated = true\nwire_format = 'openai_chat'\n";
        let file = scratch::file("modelway.toml", format!("{tls}{ONE_MODEL}{provider}"));
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));

        let service = Service::start(Some(&file), Some(anywhere)).await.unwrap();

        assert!(service.banner().contains(shown), "{}", service.banner());
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_come_to_its_end_is_given_up_and_keeps_nobody_waiting() {
    const SLOW: usize = 50;
    let authority = Authority::new();
    let table = Files::new(&authority, &[]).table("");
    // Long enough for the client that is served beside them, however busy the machine is.
    let gateway = start_with("handshake_timeout = '3s'", &table).await;
    let mut slow = JoinSet::new();
    for number in 0..SLOW {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        slow.spawn(async move {
            // The beginning of a record that says it has 512 bytes; some say nothing at all.
            let beginning = [22, 3, 1, 2, 0, 1];
            stream.write_all(&beginning[..number % 7]).await.unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
        });
    }

    assert!(is_served(&gateway, &authority, None).await);

    timeout(PROMPTLY, slow.join_all())
        .await
        .expect("all are given up");
    // A connection is counted after it has ended.
    let counted = async {
        while refused(&gateway, "handshake") < SLOW {
            tokio::task::yield_now().await;
        }
    };
    timeout(PROMPTLY, counted).await.expect("all are counted");
    assert_eq!(refused(&gateway, "handshake"), SLOW);
}

#[tokio::test]
async fn only_clients_of_an_authority_that_is_believed_are_served() {
    let (authority, ours, others) = (Authority::new(), Authority::new(), Authority::new());
    let (client, stranger) = (ours.issue(Purpose::Client), others.issue(Purpose::Client));
    let files = Files::new(&authority, &[&ours]);
    for (client_auth, without) in [("required", false), ("optional", true)] {
        let gateway = start(&files.mutual(client_auth)).await;

        assert!(is_served(&gateway, &authority, Some(&client)).await);
        assert!(!is_served(&gateway, &authority, Some(&stranger)).await);
        assert_eq!(is_served(&gateway, &authority, None).await, without);
    }
}

#[tokio::test]
async fn an_authority_is_replaced_without_a_refused_client_and_one_that_is_removed_loses_its_clients()
 {
    let (authority, old, new) = (Authority::new(), Authority::new(), Authority::new());
    let (old_client, new_client) = (old.issue(Purpose::Client), new.issue(Purpose::Client));
    let files = Files::new(&authority, &[&old]);
    let gateway = start(&files.mutual("required")).await;
    let early = connect(&gateway, &authority, Some(&old_client))
        .await
        .unwrap();
    assert_eq!(generate(early.clone()).await, Ok(()));
    assert!(!is_served(&gateway, &authority, Some(&new_client)).await);

    files.believe(&[&old, &new]);
    assert!(gateway.reload().await);
    assert!(is_served(&gateway, &authority, Some(&old_client)).await);
    assert!(is_served(&gateway, &authority, Some(&new_client)).await);
    let kept = connect(&gateway, &authority, Some(&new_client))
        .await
        .unwrap();
    assert_eq!(
        generate(early.clone()).await,
        Ok(()),
        "it is open from before"
    );
    gateway.simulator.set("first", Fault::Hang);
    let mut calls = JoinSet::new();
    calls.spawn(generate(early));
    let asked = gateway.simulator.requests().len();
    gateway
        .simulator
        .wait_for(|log| log.len() > asked.saturating_sub(1))
        .await;

    files.believe(&[&new]);
    let removed = Instant::now();
    assert!(gateway.reload().await);

    let ended = timeout(PROMPTLY, calls.join_next()).await.expect("it ends");
    assert!(ended.unwrap().unwrap().is_err());
    println!("it ended after {:?}", removed.elapsed());
    assert!(!is_served(&gateway, &authority, Some(&old_client)).await);
    let mut health = HealthClient::new(kept);
    health.check(HealthCheckRequest::default()).await.unwrap();
}

#[tokio::test]
async fn half_of_a_new_pair_changes_nothing_and_the_whole_is_shown_to_the_next() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = Files::new(&old, &[]);
    let gateway = start(&files.table("")).await;
    let fresh = new.issue(Purpose::Server);

    std::fs::write(&files.cert, fresh.pem()).unwrap();
    assert!(!gateway.reload().await);
    assert!(is_served(&gateway, &old, None).await);

    std::fs::write(&files.key, fresh.key()).unwrap();
    assert!(gateway.reload().await);
    assert!(is_served(&gateway, &new, None).await);
    assert!(!is_served(&gateway, &old, None).await);
}

/// Whether the metrics say that the files are not what runs.
fn is_rejected(gateway: &Gateway) -> bool {
    let text = gateway.metrics.text();
    text.lines()
        .any(|line| line == "modelway_config_rejected 1")
}

/// Calls over a new connection each time, as the client that is shown last, and trusts servers of all these authorities.
/// Counts when it has been answered as another client than before. Returns the number of calls when it is told to end. No
/// call may fail.
async fn call_until(
    address: SocketAddr,
    servers: String,
    client: watch::Receiver<Option<(String, String)>>,
    gone_over: Arc<AtomicUsize>,
) -> usize {
    let (mut calls, mut last) = (0, None);
    loop {
        let Some((pem, key)) = client.borrow().clone() else {
            return calls;
        };
        let is_another = last.replace(pem.clone()).is_some_and(|last| last != pem);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&servers))
            .identity(Identity::from_pem(pem, key))
            .domain_name("localhost");
        let endpoint = Channel::from_shared(format!("https://{address}")).unwrap();
        let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
        assert_eq!(generate(channel).await, Ok(()), "after {calls} calls");
        calls += 1;
        gone_over.fetch_add(usize::from(is_another), Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificate_key_and_authorities_are_rotated_as_one_under_calls_and_a_half_changes_nothing()
{
    let (old_server, new_server) = (Authority::new(), Authority::new());
    let (old, new) = (Authority::new(), Authority::new());
    let (old_client, new_client) = (old.issue(Purpose::Client), new.issue(Purpose::Client));
    let files = Files::new(&old_server, &[&old]);
    let gateway = start(&files.mutual("required")).await;
    let shown = |client: &Issued| Some((client.pem(), client.key()));
    let (show, client) = watch::channel(shown(&old_client));
    let servers = old_server.pem() + &new_server.pem();
    const CALLERS: usize = 4;
    let gone_over = Arc::<AtomicUsize>::default();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (servers, gone_over) = (servers.clone(), Arc::clone(&gone_over));
        callers.spawn(call_until(
            gateway.address,
            servers,
            client.clone(),
            gone_over,
        ));
    }
    let leaf = new_server.issue(Purpose::Server);

    // The certificate without its key: what else was written is not used either.
    files.believe(&[&old, &new]);
    std::fs::write(&files.cert, leaf.pem()).unwrap();
    assert!(!gateway.reload().await);
    assert!(is_rejected(&gateway));
    assert!(!is_served(&gateway, &old_server, Some(&new_client)).await);
    assert!(is_served(&gateway, &old_server, Some(&old_client)).await);

    // The key makes the pair whole.
    std::fs::write(&files.key, leaf.key()).unwrap();
    assert!(gateway.reload().await);
    assert!(!is_rejected(&gateway));
    for client in [&old_client, &new_client] {
        assert!(is_served(&gateway, &new_server, Some(client)).await);
        assert!(!is_served(&gateway, &old_server, Some(client)).await);
    }

    // Callers have gone over to the new authority before the old one is removed.
    show.send(shown(&new_client)).unwrap();
    let all = async {
        while gone_over.load(Ordering::Relaxed) < CALLERS {
            tokio::task::yield_now().await;
        }
    };
    timeout(PROMPTLY, all).await.expect("all are answered");
    files.believe(&[&new]);
    assert!(gateway.reload().await);
    assert!(!is_served(&gateway, &new_server, Some(&old_client)).await);
    assert!(is_served(&gateway, &new_server, Some(&new_client)).await);

    show.send(None).unwrap();
    let calls: usize = callers.join_all().await.into_iter().sum();
    println!("{calls} calls over new connections, failed 0");
    assert!(calls >= 2 * CALLERS, "{calls}");
}

#[tokio::test]
async fn a_prober_that_speaks_plaintext_is_answered_beside_a_server_with_client_certificates() {
    let (authority, ours) = (Authority::new(), Authority::new());
    let tls = Files::new(&authority, &[&ours]).mutual("required");
    let gateway = start(&format!("{tls}[probes]\nlisten = '127.0.0.1:0'\n")).await;
    let probes = gateway.probes.as_ref().unwrap();

    let answer = reqwest::get(format!("http://{probes}/readyz"))
        .await
        .unwrap();
    let channel = Channel::from_shared(format!("http://{probes}")).unwrap();
    let mut health = HealthClient::new(channel.connect().await.unwrap());

    assert_eq!(answer.status().as_u16(), 200);
    health.check(HealthCheckRequest::default()).await.unwrap();
}

/// A connection by TLS, as this client if it is one, that speaks HTTP/1.1.
async fn http1(
    gateway: &Gateway,
    authority: &Authority,
    client: Option<&Issued>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let config = authority.client(client, &["http/1.1"]);
    let stream = TcpStream::connect(gateway.address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(config).connect(name, stream).await
}

#[tokio::test]
async fn calls_in_json_come_by_tls_as_well_and_only_from_clients_that_are_believed() {
    let (authority, ours, others) = (Authority::new(), Authority::new(), Authority::new());
    let gateway = start(&Files::new(&authority, &[&ours]).mutual("required")).await;
    let client = ours.issue(Purpose::Client);
    for (path, last) in [
        ("generate", "FINISH_REASON_STOP"),
        ("stream", "event: completed"),
    ] {
        let mut stream = http1(&gateway, &authority, Some(&client)).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let body = r#"{"scenario":"one","messages":[{"role":"ROLE_USER","text":"Hello"}]}"#;
        let length = body.len();
        let request = format!(
            "POST /v1/{path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = timeout(PROMPTLY, stream.read_to_string(&mut answer)).await;
        read.expect("an answer").unwrap();

        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains(last), "{answer}");
    }
    let stranger = others.issue(Purpose::Client);
    for client in [None, Some(&stranger)] {
        // With TLS 1.3 a client hears only after its own handshake that it is not believed.
        let Ok(mut stream) = http1(&gateway, &authority, client).await else {
            continue;
        };
        let _ = stream
            .write_all(b"POST /v1/generate HTTP/1.1\r\n\r\n")
            .await;
        let mut answer = Vec::new();
        let read = timeout(PROMPTLY, stream.read_to_end(&mut answer)).await;
        assert!(read.expect("the connection ends").is_err(), "{answer:?}");
        assert_eq!(answer, b"");
    }
    assert_eq!(gateway.simulator.requests().len(), 2);
}

#[tokio::test]
async fn operators_who_prove_themselves_are_served_beyond_this_machine_and_nobody_else_is() {
    let (authority, ours, others) = (Authority::new(), Authority::new(), Authority::new());
    let files = Files::new(&authority, &[&ours]);
    let table = files.mutual("required").replace("server.tls", "admin.tls");
    // Every address of the machine, so that other machines can reach it.
    let gateway = start(&format!("[admin]\nlisten = '0.0.0.0:0'\n{table}")).await;
    let Some(ListenAddress::Tcp(admin)) = gateway.admin else {
        panic!("{:?}", gateway.admin);
    };
    let list = async |client: Option<&Issued>| {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(authority.pem()))
            .domain_name("localhost");
        if let Some(client) = client {
            tls = tls.identity(Identity::from_pem(client.pem(), client.key()));
        }
        let url = format!("https://127.0.0.1:{}", admin.port());
        let endpoint = Channel::from_shared(url).unwrap().tls_config(tls);
        let channel = endpoint.unwrap().connect().await.ok()?;
        let mut operations = OperationsServiceClient::new(channel);
        let listed = operations.list_breakers(ListBreakersRequest::default());
        Some(!listed.await.ok()?.into_inner().breakers.is_empty())
    };
    let operator = ours.issue(Purpose::Client);

    assert_eq!(list(Some(&operator)).await, Some(true));
    assert_eq!(list(Some(&others.issue(Purpose::Client))).await, None);
    assert_eq!(list(None).await, None);
    // An authority that is removed loses its operators, too.
    files.believe(&[&others]);
    assert!(gateway.reload().await);
    assert_eq!(list(Some(&operator)).await, None);
}

/// Runs a program of the system; `None` if it is not there.
async fn run(program: &'static str, arguments: Vec<String>) -> Option<String> {
    let run = move || Command::new(program).args(arguments).output();
    let Ok(output) = tokio::task::spawn_blocking(run).await.unwrap() else {
        println!("skipped: `{program}` is not installed");
        return None;
    };
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
async fn clients_of_another_make_agree_on_version_and_protocol() {
    let (authority, ours) = (Authority::new(), Authority::new());
    let gateway = start(&Files::new(&authority, &[&ours]).mutual("required")).await;
    let (cert, key) = ours.issue(Purpose::Client).files();
    let path = |path: PathBuf| path.display().to_string();
    let (ca, cert, key) = (path(authority.file()), path(cert), path(key));
    let address = gateway.address.to_string();
    for (version, said) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let arguments = [
            "s_client",
            "-connect",
            &address,
            version,
            "-alpn",
            "h2,http/1.1",
            "-CAfile",
            &ca,
            "-cert",
            &cert,
            "-key",
            &key,
            "-verify_return_error",
        ];
        let arguments = arguments.map(str::to_owned).to_vec();
        let Some(told) = run("openssl", arguments).await else {
            return;
        };
        assert!(told.contains("ALPN protocol: h2"), "{told}");
        assert!(
            told.contains(said) && told.contains("Verify return code: 0"),
            "{told}"
        );
    }
    for (path, status) in [("metrics", "404"), ("v1/generate", "405")] {
        let url = format!("https://localhost:{}/{path}", gateway.address.port());
        let arguments = [
            "-s",
            "-o",
            "-",
            "-w",
            "\n%{http_code}",
            "--cacert",
            &ca,
            "--cert",
            &cert,
            "--key",
            &key,
            &url,
        ];
        let arguments = arguments.map(str::to_owned).to_vec();
        let Some(told) = run("curl", arguments).await else {
            return;
        };
        assert!(told.ends_with(status), "{path}: {told}");
    }
}
