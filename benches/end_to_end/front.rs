//! A server in front of the provider, as on the internet: terminates TLS and HTTP/2, and speaks plain HTTP/1.1 to it.

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Failed;
use super::roles;

/// Streams that a connection may have open, as most hosts have it.
const MAX_STREAMS: u32 = 100;

/// Serves on a port of its own, which it prints with the file of its certificate.
pub(crate) async fn serve(upstream: &str) -> Result<(), Failed> {
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let file = std::env::temp_dir().join(format!("modelway-bench-{}.pem", std::process::id()));
    std::fs::write(&file, issued.cert.pem())?;
    let key = PrivateKeyDer::Pkcs8(issued.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let upstream: Arc<str> = upstream.into();
    let listener = TcpListener::bind(roles::ANY_PORT).await?;
    println!("{} {}", listener.local_addr()?, file.display());
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (acceptor, client, upstream) =
            (acceptor.clone(), client.clone(), Arc::clone(&upstream));
        connections.spawn(async move {
            let stream = acceptor.accept(stream).await?;
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let service =
                service_fn(move |request| forward(client.clone(), Arc::clone(&upstream), request));
            let stream = TokioIo::new(stream);
            if is_http2 {
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder.max_concurrent_streams(MAX_STREAMS);
                builder.serve_connection(stream, service).await?;
            } else {
                http1::Builder::new()
                    .serve_connection(stream, service)
                    .await?;
            }
            Ok::<_, Failed>(())
        });
    }
}

type Body = http_body_util::Either<Incoming, Empty<bytes::Bytes>>;

async fn forward(
    client: Client<HttpConnector, Incoming>,
    upstream: Arc<str>,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    *request.version_mut() = hyper::Version::HTTP_11;
    let answered = match format!("http://{upstream}{path}").parse::<Uri>() {
        Ok(uri) => {
            *request.uri_mut() = uri;
            client.request(request).await.ok()
        }
        Err(_) => None,
    };
    Ok(match answered {
        Some(mut response) => {
            response.headers_mut().remove("transfer-encoding");
            response.headers_mut().remove("connection");
            response.map(http_body_util::Either::Left)
        }
        None => {
            let mut response = Response::new(http_body_util::Either::Right(Empty::new()));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        }
    })
}
