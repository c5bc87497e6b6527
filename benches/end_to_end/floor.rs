//! The floor: the least that a gRPC server can do between a caller and a provider.
//!
//! It writes a request as minimal JSON, splits server-sent events and forwards their data unread. It has no policies,
//! keeps no records and does not parse answers. Runtime, allocator, HTTP server and socket options are Modelway's, and
//! answers are mapped in their own task, too; its HTTP client is reqwest.

use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::Stream;
use futures_util::stream::unfold;
use http::header::CONTENT_TYPE;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use modelway::grpc::v1;
use modelway::grpc::v1::generation_service_server::{GenerationService, GenerationServiceServer};
use modelway::grpc::v1::stream_generate_response::Event;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::Failed;
use super::roles::{self, Layout};

/// Used instead of a scenario: the provider is asked for a whole answer.
pub(crate) const WHOLE: &str = "whole";

/// Serves on a port of its own, which it prints.
pub(crate) async fn serve(layout: Layout, upstream: &str) -> Result<(), Failed> {
    let listener = TcpListener::bind(roles::ANY_PORT).await?;
    println!("{}", listener.local_addr()?);
    let mut cores = Vec::new();
    for runtime in runtimes(layout)? {
        let floor = Floor {
            client: client()?,
            url: url(upstream),
        };
        let routes = Routes::new(GenerationServiceServer::new(floor)).prepare();
        cores.push((runtime, routes));
    }
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .max_concurrent_streams(1024)
        .max_send_buf_size(64 * 1024);
    let mut connections = JoinSet::new();
    for (runtime, routes) in cores.iter().cycle() {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let stream = stream.into_std()?;
        let service = TowerToHyperService::new(routes.clone());
        let builder = builder.clone();
        let served = async move {
            let stream = TcpStream::from_std(stream)?;
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            connection.await.map_err(Failed::from)
        };
        connections.spawn_on(served, runtime);
    }
    Ok(())
}

/// The runtimes of a layout.
fn runtimes(layout: Layout) -> Result<Vec<Handle>, Failed> {
    let count = layout.runtimes();
    if count == 0 {
        return Ok(vec![Handle::current()]);
    }
    let mut handles = Vec::new();
    for _ in 0..count {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        handles.push(runtime.handle().clone());
        std::thread::spawn(move || runtime.block_on(pending::<()>()));
    }
    Ok(handles)
}

/// A client that behaves as Modelway's: it follows no redirects, retries nothing and uses no proxy.
pub(crate) fn client() -> Result<reqwest::Client, Failed> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .tcp_nodelay(true)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .tls_certs_only([]);
    Ok(client.build()?)
}

/// Where the simulated provider takes requests.
pub(crate) fn url(upstream: &str) -> String {
    format!("http://{upstream}/openai/v1/chat/completions")
}

/// The JSON of a request.
pub(crate) fn body(
    request: &v1::GenerateRequest,
    stream: bool,
) -> Result<Vec<u8>, serde_json::Error> {
    let role = |message: &v1::Message| match message.role() {
        v1::Role::System => "system",
        v1::Role::Assistant => "assistant",
        v1::Role::User | v1::Role::Tool | v1::Role::Unspecified => "user",
    };
    serde_json::to_vec(&Body {
        model: &request.model,
        messages: request
            .messages
            .iter()
            .map(|message| Message {
                role: role(message),
                content: &message.text,
            })
            .collect(),
        stream,
    })
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    stream: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

struct Floor {
    client: reqwest::Client,
    url: String,
}

impl Floor {
    async fn send(
        &self,
        request: &v1::GenerateRequest,
        stream: bool,
    ) -> Result<reqwest::Response, Status> {
        let body = body(request, stream).map_err(|error| Status::internal(error.to_string()))?;
        self.client
            .post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(unavailable)
    }
}

#[tonic::async_trait]
impl GenerationService for Floor {
    async fn generate(
        &self,
        request: Request<v1::GenerateRequest>,
    ) -> Result<Response<v1::GenerateResponse>, Status> {
        let request = request.into_inner();
        let is_whole = request.scenario == WHOLE;
        let response = self.send(&request, !is_whole).await?;
        let text = if is_whole {
            let body = response.bytes().await.map_err(unavailable)?;
            String::from_utf8_lossy(&body).into_owned()
        } else {
            let mut events = Events::of(response);
            let mut text = String::new();
            while let Some(data) = events.next().await? {
                text.push_str(&data);
            }
            text
        };
        Ok(Response::new(v1::GenerateResponse {
            output: Some(v1::Message {
                role: v1::Role::Assistant.into(),
                text,
                parts: Vec::new(),
            }),
            ..v1::GenerateResponse::default()
        }))
    }

    type StreamGenerateStream =
        Pin<Box<dyn Stream<Item = Result<v1::StreamGenerateResponse, Status>> + Send>>;

    async fn stream_generate(
        &self,
        request: Request<v1::GenerateRequest>,
    ) -> Result<Response<Self::StreamGenerateStream>, Status> {
        let response = self.send(&request.into_inner(), true).await?;
        let messages = unfold(
            (Events::of(response), 0),
            |(mut events, sequence)| async move {
                let data = match events.next().await {
                    Ok(data) => data?,
                    Err(status) => return Some((Err(status), (events, sequence))),
                };
                let sequence = sequence + 1;
                let delta = v1::TextDelta {
                    part_index: 0,
                    text: data,
                };
                let message = v1::StreamGenerateResponse {
                    sequence,
                    event: Some(Event::TextDelta(delta)),
                };
                Some((Ok(message), (events, sequence)))
            },
        );
        Ok(Response::new(Box::pin(messages)))
    }
}

fn unavailable(error: reqwest::Error) -> Status {
    Status::unavailable(error.to_string())
}

/// The data lines of a streamed answer.
struct Events {
    response: reqwest::Response,
    buffer: BytesMut,
}

impl Events {
    fn of(response: reqwest::Response) -> Self {
        Self {
            response,
            buffer: BytesMut::new(),
        }
    }

    /// The next event's data; `None` at the end of the body.
    async fn next(&mut self) -> Result<Option<String>, Status> {
        loop {
            while let Some(end) = memchr::memchr(b'\n', &self.buffer) {
                let line = self.buffer.split_to(end + 1);
                let data = line.trim_ascii_end().strip_prefix(b"data: ");
                if let Some(data) = data.filter(|data| *data != b"[DONE]") {
                    return Ok(Some(String::from_utf8_lossy(data).into_owned()));
                }
            }
            match self.response.chunk().await.map_err(unavailable)? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }
}
