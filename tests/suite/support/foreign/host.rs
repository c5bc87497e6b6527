//! A provider that answers each request by itself, as a function says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The provider. Ends when it is dropped.
pub(crate) struct Host {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Host {
    /// Answers the head and the body of each request with what `answer` gives: status, media type, body.
    pub(crate) async fn start(
        answer: impl Fn(&Parts, &[u8]) -> (u16, &'static str, String) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(answer);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let answer = Arc::clone(&answer);
                connections.spawn(async move {
                    let answer = service_fn(move |request: Request<Incoming>| {
                        let answer = Arc::clone(&answer);
                        async move {
                            let (head, body) = request.into_parts();
                            let body = body.collect().await.map(|body| body.to_bytes());
                            let (status, kind, body) = answer(&head, &body.unwrap_or_default());
                            let response = Response::builder()
                                .status(status)
                                .header("content-type", kind)
                                .body(Full::new(Bytes::from(body)));
                            Ok::<_, Infallible>(response.unwrap())
                        }
                    });
                    let server = auto::Builder::new(TokioExecutor::new());
                    // The other end may go away at any time.
                    let _ = server.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Self {
            address,
            _serving: serving,
        }
    }

    /// Lines of a configuration for a provider of this name that speaks `openai_chat` there.
    pub(crate) fn provider(&self, name: &str, more: &str) -> String {
        let address = self.address;
        format!(
            "[providers.{name}]\nwire_format = 'openai_chat'\nbase_url = 'http://{address}/v1'\n{more}\n"
        )
    }
}
