//! A host that gives exact bytes, for the targets of one provider.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::form::{Answer, Refusal};

/// How long the rest of a body is held back.
const LATER: Duration = Duration::from_millis(300);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A host on a socket of its own. Ends when it is dropped.
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    _serving: JoinSet<()>,
}

/// The models of a host, by their names there.
pub(crate) type Models = BTreeMap<String, Arc<Model>>;

/// One model of a host: what it answers, and what it was sent.
pub(crate) struct Model {
    answers: Vec<Prepared>,
    refusals: Vec<(Refusal, Prepared)>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    answered: usize,
    received: Vec<Value>,
    /// What of the case could not be understood.
    mistake: Option<String>,
}

/// An answer whose bytes are at hand.
#[derive(Clone)]
struct Prepared {
    status: StatusCode,
    headers: HeaderMap,
    now: Bytes,
    later: Bytes,
}

impl Model {
    /// A model that gives these answers in order, the last one again and again, and these instead to
    /// requests that it refuses.
    ///
    /// # Errors
    /// An answer that cannot be given.
    pub(crate) fn new(answers: Vec<Answer>, refusals: Vec<Refusal>) -> Result<Self, String> {
        if answers.is_empty() {
            return Err("a target has no answers".to_owned());
        }
        let mut prepared_refusals = Vec::new();
        for refusal in refusals {
            let answer = Prepared::new(&refusal.answer)?;
            prepared_refusals.push((refusal, answer));
        }
        Ok(Self {
            answers: answers
                .iter()
                .map(Prepared::new)
                .collect::<Result<_, _>>()?,
            refusals: prepared_refusals,
            state: Mutex::default(),
        })
    }

    /// The bodies that it was sent since it was asked the last time.
    ///
    /// # Errors
    /// What of the case could not be understood.
    pub(crate) fn take_received(&self) -> Result<Vec<Value>, String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.mistake.take() {
            Some(mistake) => Err(mistake),
            None => Ok(std::mem::take(&mut state.received)),
        }
    }

    fn answer(&self, body: Value) -> Prepared {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refused = None;
        for (refusal, answer) in &self.refusals {
            match refusal.condition.holds(&body) {
                Ok(true) => {
                    refused = Some(answer.clone());
                    break;
                }
                Ok(false) => {}
                Err(mistake) => state.mistake = Some(mistake),
            }
        }
        state.received.push(body);
        refused.unwrap_or_else(|| {
            let number = state.answered.min(self.answers.len() - 1);
            state.answered += 1;
            self.answers[number].clone()
        })
    }
}

impl Prepared {
    fn new(answer: &Answer) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        for (name, lines) in &answer.headers {
            let header = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("`{name}` is no name of a header"))?;
            for line in lines.all() {
                let value = HeaderValue::from_bytes(line.as_bytes())
                    .map_err(|_| format!("`{line}` is no value of a header"))?;
                headers.append(header.clone(), value);
            }
        }
        let now = Bytes::from(answer.bytes()?);
        let later = Bytes::from(answer.body_later.clone());
        headers.insert(CONTENT_LENGTH, HeaderValue::from(now.len() + later.len()));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        Ok(Self {
            status: StatusCode::from_u16(answer.status)
                .map_err(|_| format!("{} is no status", answer.status))?,
            headers,
            now,
            later,
        })
    }

    fn into_response(self) -> Response<Body> {
        let Self {
            status,
            headers,
            now,
            later,
        } = self;
        let first = stream::once(async { Ok(Frame::data(now)) });
        let rest = stream::once(async {
            if !later.is_empty() {
                tokio::time::sleep(LATER).await;
            }
            Ok(Frame::data(later))
        });
        let mut response = Response::new(StreamBody::new(first.chain(rest)).boxed_unsync());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

impl Host {
    /// Listens for requests to these models.
    ///
    /// # Errors
    /// There is no socket.
    pub(crate) async fn start(models: Models) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let models = Arc::new(models);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let models = Arc::clone(&models);
                connections.spawn(async move {
                    let answer = service_fn(|request| respond(&models, request));
                    // A caller that goes away is no fault of the host's.
                    let _ = http1::Builder::new()
                        .keep_alive(false)
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                });
            }
        });
        Ok(Self {
            address,
            _serving: serving,
        })
    }
}

async fn respond(
    models: &Models,
    request: Request<Incoming>,
) -> Result<Response<Body>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let model = models.get(&name_of(&path, &body));
    let response = match model {
        Some(model) => model.answer(body).into_response(),
        None => {
            let nothing = stream::once(async { Ok(Frame::data(Bytes::new())) });
            let mut response = Response::new(StreamBody::new(nothing).boxed_unsync());
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    };
    Ok(response)
}

/// The model that a request asks: Gemini names it in the path, the other formats in the body.
fn name_of(path: &str, body: &Value) -> String {
    let in_path = path
        .split_once("/models/")
        .and_then(|(_, model)| model.split_once(':'));
    match (body["model"].as_str(), in_path) {
        (Some(model), _) | (None, Some((model, _))) => model.to_owned(),
        (None, None) => String::new(),
    }
}
