//! What does each listener serve: the one for callers, the one for operators, the one for probes?

use std::io::Read as _;
use std::net::SocketAddr;

use flate2::read::GzDecoder;
use modelway::grpc::v1::ListBreakersRequest;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::operations_service_client::OperationsServiceClient;
use modelway::server::ListenAddress;
use modelway::simulator::{Behaviour, Fault};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus::{self, NotServing, Serving};
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use crate::support::scraped::Scraped;
use crate::support::{Gateway, ONE_MODEL, ask, program, scratch};

const ANY_PORT: &str = "[probes]\nlisten = '127.0.0.1:0'\n";

async fn start(config: &str) -> Gateway {
    Gateway::start(&format!("{config}{ANY_PORT}{ONE_MODEL}")).await
}

fn tcp(address: &Option<ListenAddress>) -> SocketAddr {
    match address {
        Some(ListenAddress::Tcp(address)) => *address,
        other => panic!("{other:?}"),
    }
}

async fn connect(address: SocketAddr) -> Channel {
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    channel.connect().await.unwrap()
}

/// Status and body of the answer to a GET by HTTP/1.1.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://{address}{path}"))
        .await
        .unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn health(address: SocketAddr, service: &str) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let mut client = HealthClient::new(connect(address).await);
    match client.check(request).await {
        Ok(response) => Ok(response.into_inner().status()),
        Err(status) => Err(status.code()),
    }
}

#[tokio::test]
async fn a_scrape_is_compressed_for_who_reads_gzip_and_plain_text_for_everybody() {
    /// What Prometheus sends: first what it likes best, which is not written here.
    const ACCEPT: &str =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    let gateway = start("").await;
    for address in [tcp(&gateway.probes), tcp(&gateway.admin)] {
        let url = format!("http://{address}/metrics");
        let client = reqwest::Client::new();
        let asked = async |encoding: Option<&str>| {
            let mut request = client.get(&url).header("accept", ACCEPT);
            if let Some(encoding) = encoding {
                request = request.header("accept-encoding", encoding);
            }
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.headers()["content-type"], TEXT);
            assert_eq!(answer.headers()["vary"], "accept-encoding");
            let encoding = answer.headers().get("content-encoding").cloned();
            let length = answer.headers()["content-length"].clone();
            let body = answer.bytes().await.unwrap();
            assert_eq!(length, body.len().to_string());
            (encoding.map(|it| it.to_str().unwrap().to_owned()), body)
        };

        let (none, plain) = asked(None).await;
        let (refused, _) = asked(Some("br, gzip;q=0")).await;
        let (gzip, packed) = asked(Some("zstd, gzip, deflate")).await;

        assert_eq!([none, refused, gzip], [None, None, Some("gzip".to_owned())]);
        let mut text = String::new();
        GzDecoder::new(&*packed).read_to_string(&mut text).unwrap();
        println!(
            "a scrape: {} bytes, compressed {}",
            plain.len(),
            packed.len()
        );
        assert!(packed.len() * 5 < plain.len());
        let scraped = [text, String::from_utf8(plain.to_vec()).unwrap()];
        let [packed, plain] = scraped.map(|text| Scraped::read(&text));
        assert_eq!(packed.metrics(), plain.metrics());
        let head = client.head(&url).header("accept-encoding", "gzip");
        let head = head.send().await.unwrap();
        assert_eq!(head.headers()["content-encoding"], "gzip");
        assert_eq!(head.bytes().await.unwrap(), "");
    }
}

#[tokio::test]
async fn probes_are_answered_by_http_and_by_grpc_and_nothing_else_is() {
    let gateway = start("").await;
    for address in [tcp(&gateway.probes), tcp(&gateway.admin)] {
        assert_eq!(get(address, "/livez").await, (200, "ok\n".to_owned()));
        assert_eq!(get(address, "/readyz").await.0, 200);
        assert_eq!(get(address, "/metrics").await.0, 200);
        assert_eq!(get(address, "/").await.0, 404);
        for service in ["", "live", "scenario/one", "modelway.v1.GenerationService"] {
            assert_eq!(health(address, service).await, Ok(Serving), "{service}");
        }
        let mut calls = GenerationServiceClient::new(connect(address).await);
        let refused = calls.generate(ask("one", "Hello")).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented);
    }

    let operations = |address| async move {
        let mut client = OperationsServiceClient::new(connect(address).await);
        let listed = client.list_breakers(ListBreakersRequest::default()).await;
        listed.map(|_| ()).map_err(|status| status.code())
    };
    assert_eq!(operations(tcp(&gateway.admin)).await, Ok(()));
    let on_probes = operations(tcp(&gateway.probes)).await;
    assert_eq!(on_probes, Err(Code::Unimplemented));
}

#[tokio::test]
async fn probes_ask_no_provider_and_an_outage_of_all_leaves_the_process_ready() {
    const PROBES: usize = 1000;
    let breaker = "[breaker]\nconsecutive_failures = 1\nopen_base = '1h'\nopen_max = '1h'\n";
    let gateway = start(breaker).await;
    let probes = tcp(&gateway.probes);
    let refusing: Behaviour = "status=503".parse().unwrap();
    gateway.simulator.set("first", refusing);
    gateway.generate(ask("one", "Hello")).await.unwrap_err();
    let asked = gateway.simulator.requests().len();
    while health(probes, "scenario/one").await != Ok(NotServing) {}

    let mut channel = HealthClient::new(connect(probes).await);
    for _ in 0..PROBES {
        for service in ["", "live", "scenario/one"] {
            let request = HealthCheckRequest {
                service: service.to_owned(),
            };
            let status = channel.check(request).await.unwrap().into_inner().status();
            assert_eq!(status == Serving, service != "scenario/one", "{service}");
        }
    }
    let client = reqwest::Client::new();
    for path in ["livez", "readyz", "metrics"] {
        for _ in 0..PROBES {
            let answer = client.get(format!("http://{probes}/{path}")).send();
            assert_eq!(answer.await.unwrap().status().as_u16(), 200, "{path}");
        }
    }

    assert_eq!(gateway.simulator.requests().len(), asked);
}

#[tokio::test]
async fn probes_are_answered_through_the_drain_and_say_that_the_process_lives() {
    let server = "[server]\npredrain = '0s'\ndrain_timeout = '1h'\n";
    let mut gateway = start(server).await;
    let probes = tcp(&gateway.probes);
    gateway.simulator.set("first", Fault::Hang);
    let mut calls = JoinSet::new();
    let mut client = gateway.generation();
    calls.spawn(async move { client.generate(ask("one", "Hello")).await });
    gateway.simulator.wait_for(|log| log.len() == 1).await;

    gateway.stop();
    while get(probes, "/readyz").await.0 == 200 {}

    assert_eq!(get(probes, "/livez").await.0, 200);
    assert_eq!(health(probes, "live").await, Ok(Serving));
    assert_eq!(health(probes, "").await, Ok(NotServing));
    assert_eq!(get(probes, "/metrics").await.0, 200);
}

#[tokio::test]
async fn callers_are_not_served_as_operators_where_that_is_not_wanted() {
    let gateway = start("[server]\npredrain = '0s'\nadmin = false\n").await;

    let mut callers = gateway.operations();
    let listed = callers.list_breakers(ListBreakersRequest::default()).await;

    assert_eq!(listed.unwrap_err().code(), Code::Unimplemented);
    let mut admin = OperationsServiceClient::new(connect(tcp(&gateway.admin)).await);
    let request = ListBreakersRequest::default();
    admin.list_breakers(request).await.unwrap();
    let names = |channel| async move {
        let question = MessageRequest::ListServices(String::new());
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(question),
        };
        let mut client = ServerReflectionClient::new(channel);
        let asked = client.server_reflection_info(tokio_stream::once(request));
        let answer = asked.await.unwrap().into_inner().message().await.unwrap();
        format!("{answer:?}")
    };
    let of_callers = names(gateway.channel()).await;
    assert!(of_callers.contains("GenerationService"), "{of_callers}");
    assert!(!of_callers.contains("OperationsService"), "{of_callers}");
    let of_operators = names(connect(tcp(&gateway.admin)).await).await;
    assert!(
        !of_operators.contains("GenerationService"),
        "{of_operators}"
    );
    assert!(of_operators.contains("OperationsService"), "{of_operators}");
}

#[tokio::test]
async fn a_listener_may_be_a_unix_socket() {
    let path = scratch::socket();
    let listen = format!("[probes]\nlisten = 'unix:{}'\n", path.display());
    let gateway = Gateway::start(&format!("{listen}{ONE_MODEL}")).await;
    let mut stream = UnixStream::connect(&path).await.unwrap();

    let request = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(gateway);
}

#[test]
fn an_exposed_listener_or_an_unknown_variable_is_refused_with_its_remedy() {
    let serve = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut program = program();
        program.arg("serve").args(arguments);
        let output = program.envs(variables.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };

    let plaintext = serve(&["--listen", "0.0.0.0:0"], &[]);
    assert!(plaintext.contains("server.listen"), "{plaintext}");
    assert!(
        plaintext.contains("--plaintext behind-proxy"),
        "{plaintext}"
    );
    let operators = serve(&["--admin-listen", "0.0.0.0:0"], &[]);
    assert!(operators.contains("admin.listen"), "{operators}");
    assert!(operators.contains("client_ca"), "{operators}");
    let unknown = serve(&[], &[("MODELWAY_LISTN", "127.0.0.1:0")]);
    assert!(
        unknown.contains("did you mean `MODELWAY_LISTEN`?"),
        "{unknown}"
    );
}
