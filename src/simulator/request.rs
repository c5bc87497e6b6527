//! What does an HTTP request ask for, by its path, its body and its model's name?

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri};
use serde_json::Value;

use super::WireName;
use super::asked::{Asked, Framing};
use super::behaviour::{Behaviour, Fault};
use super::fingerprint::fingerprint;
use super::openai_chat::OpenAiChat;
use super::plan::Plan;
use super::sequence::Sequence;

/// The header that changes the behaviour of the model it is sent to.
const HEADER: &str = "x-simulate";

/// A request that has been read.
#[derive(Debug)]
pub(super) struct Read {
    /// The wire format of its path.
    pub(super) wire: Option<WireName>,
    pub(super) asked: Asked,
    /// The behaviours that its model's name and its header ask for.
    pub(super) named: Sequence,
    /// What is wrong with it.
    pub(super) mistake: Option<String>,
    last_plan: Mutex<Option<Planned>>,
}

#[derive(Debug)]
struct Planned {
    behaviour: Arc<Behaviour>,
    fault: Option<Fault>,
    plan: Arc<Plan>,
}

impl Read {
    fn new(uri: &Uri, headers: &HeaderMap, body: &Bytes, seed: u64) -> Self {
        let mut read = Self {
            wire: None,
            asked: Asked {
                fingerprint: fingerprint((uri, body)),
                seed,
                ..Asked::default()
            },
            named: Sequence::default(),
            mistake: None,
            last_plan: Mutex::new(None),
        };
        read.mistake = read.fill(uri, headers, body).err();
        read
    }

    fn fill(&mut self, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Result<(), String> {
        let Some(route) = Route::of(uri) else {
            return Err(format!("nothing is served at `{}`", uri.path()));
        };
        self.wire = Some(route.wire);
        self.asked.framing = route.framing;
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| format!("the body is not JSON: {error}"))?;
        let model = route.model.as_deref().or(body["model"].as_str());
        let Some(model) = model else {
            return Err("you must provide a model".to_owned());
        };
        model.clone_into(&mut self.asked.model);
        route.wire.dialect().read(headers, &body, &mut self.asked)?;
        let mut named = Sequence::of_name(model)?;
        if let Some(text) = headers.get(HEADER) {
            let text = text
                .to_str()
                .map_err(|error| format!("{HEADER}: {error}"))?;
            named = named.with(text)?;
        }
        self.named = named;
        Ok(())
    }

    /// The response of a model that behaves like this. The last one is remembered.
    pub(super) fn plan(&self, behaviour: &Arc<Behaviour>, fault: Option<Fault>) -> Arc<Plan> {
        let mut last = self
            .last_plan
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(planned) = &*last
            && Arc::ptr_eq(&planned.behaviour, behaviour)
            && planned.fault == fault
        {
            return Arc::clone(&planned.plan);
        }
        let plan = Arc::new(match (self.wire, &self.mistake) {
            (Some(wire), None) => Plan::new(wire.dialect(), &self.asked, behaviour, fault),
            (Some(wire), Some(mistake)) => Plan::bad_request(wire.dialect(), mistake),
            (None, mistake) => Plan::bad_request(&OpenAiChat, mistake.as_deref().unwrap_or("")),
        });
        *last = Some(Planned {
            behaviour: Arc::clone(behaviour),
            fault,
            plan: Arc::clone(&plan),
        });
        plan
    }
}

/// Requests that were read before. Load tests send the same one over and over.
#[derive(Debug)]
pub(super) struct Memory {
    /// The simulator's seed.
    seed: u64,
    requests: Mutex<HashMap<Fingerprint, Arc<Read>>>,
}

/// All of a request that [`Read::new`] looks at.
#[derive(PartialEq, Eq, Hash, Debug)]
struct Fingerprint {
    target: Option<PathAndQuery>,
    simulate: Option<HeaderValue>,
    anthropic_version: Option<HeaderValue>,
    body: Bytes,
}

impl Memory {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            requests: Mutex::default(),
        }
    }

    pub(super) fn read(&self, head: &Parts, body: &Bytes) -> Arc<Read> {
        const REQUESTS: usize = 64;
        const LONGEST_BODY: usize = 64 * 1024;
        let read = || Arc::new(Read::new(&head.uri, &head.headers, body, self.seed));
        if body.len() > LONGEST_BODY {
            return read();
        }
        let fingerprint = Fingerprint {
            target: head.uri.path_and_query().cloned(),
            simulate: head.headers.get(HEADER).cloned(),
            anthropic_version: head.headers.get("anthropic-version").cloned(),
            body: body.clone(),
        };
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = requests.get(&fingerprint) {
            return Arc::clone(known);
        }
        if requests.len() == REQUESTS {
            requests.clear();
        }
        let read = read();
        requests.insert(fingerprint, Arc::clone(&read));
        read
    }
}

/// What a path says.
struct Route {
    wire: WireName,
    framing: Framing,
    model: Option<String>,
}

impl Route {
    fn of(uri: &Uri) -> Option<Self> {
        let path = uri.path();
        let in_body = |wire| Self {
            wire,
            framing: Framing::Whole,
            model: None,
        };
        if path.ends_with("/chat/completions") {
            return Some(in_body(WireName::OpenAiChat));
        }
        if path.ends_with("/responses") {
            return Some(in_body(WireName::OpenAiResponses));
        }
        if path.ends_with("/messages") {
            return Some(in_body(WireName::Anthropic));
        }
        let (_, call) = path.rsplit_once("/models/")?;
        let (model, method) = call.rsplit_once(':')?;
        let sse = uri
            .query()
            .is_some_and(|query| query.split('&').any(|part| part == "alt=sse"));
        let (wire, framing) = match (method, sse) {
            ("generateContent", _) => (WireName::Gemini, Framing::Whole),
            ("streamGenerateContent", true) => (WireName::Gemini, Framing::Sse),
            ("streamGenerateContent", false) => (WireName::Gemini, Framing::Array),
            // Claude on Vertex AI, whose body says whether a stream is wanted.
            ("rawPredict" | "streamRawPredict", _) => (WireName::Anthropic, Framing::Whole),
            _ => return None,
        };
        Some(Self {
            wire,
            framing,
            model: Some(percent_decoded(model)),
        })
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        let decoded = match (first, behind) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match decoded {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &behind[2..];
            }
            None => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geminis_model_stands_in_the_path() {
        let table = [
            (
                "/models/gemini-sim+cut=10:generateContent",
                "gemini-sim+cut=10",
            ),
            ("/v1/models/a%2Bcut%3d10%zz:generateContent", "a+cut=10%zz"),
            ("/v1beta/models/x:y:streamGenerateContent?alt=sse", "x:y"),
        ];
        for (path, model) in table {
            let route = Route::of(&path.parse().unwrap()).unwrap();
            assert_eq!(route.model.as_deref(), Some(model));
        }
    }

    #[test]
    fn a_request_is_read_once() {
        let memory = Memory::new(0);
        let (head, ()) = http::Request::post("/v1/chat/completions")
            .body(())
            .unwrap()
            .into_parts();

        let first = memory.read(&head, &Bytes::from_static(b"{}"));
        let second = memory.read(&head, &Bytes::from_static(b"{}"));
        let third = memory.read(&head, &Bytes::from_static(b"{ }"));

        assert!(Arc::ptr_eq(&first, &second));
        assert!(!Arc::ptr_eq(&first, &third));
    }
}
