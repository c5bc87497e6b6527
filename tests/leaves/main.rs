//! Is anything of a recorded answer dropped? Every leaf of its JSON is read, carried in the provider's metadata, named in
//! a warning, or stands in the list of bookkeeping fields.
//!
//! A leaf counts as read or carried only if the outcome is another one when the leaf is changed: the tables of the wire
//! formats are not believed. Of each distinct path of an answer the last leaf is changed, and the first one if that
//! changes nothing. A path is tried in a sample of the recordings that have it; `--all` tries all.
//!
//! `--table` prints what the decoders read, to be compared with the tables. Recordings are found by
//! `MODELWAY_EXCHANGES`, else beside the crate; where they are absent there is nothing to do.

mod body;
mod paths;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use modelway::chat::ChatEvent;
use modelway::error::UpstreamError;
use modelway::wire::anthropic::Anthropic;
use modelway::wire::gemini::Gemini;
use modelway::wire::metadata::telling;
use modelway::wire::openai_chat::OpenAiChat;
use modelway::wire::openai_responses::OpenAiResponses;
use modelway::wire::reader::Reader;
use modelway::wire::{Framing, WireFormat};
use serde_json::Value;

use self::body::Body;

/// In how many recordings each path of a wire format is tried.
const SAMPLE: usize = 3;

/// How many of the first and of the last repetitions of a leaf are tried.
const REPETITIONS: usize = 3;

/// How many paths may be lost. It only falls.
const MOST_LOST: usize = 0;

/// What becomes of a leaf.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Kept,
    Bookkeeping,
    Named,
    Lost,
}

/// What was found of one path of a wire format.
#[derive(Default)]
struct Found {
    tried: usize,
    lost: usize,
    bookkeeping: usize,
    /// How often the decoder itself reads it, without metadata.
    read: usize,
    example: String,
    /// The path in a whole answer.
    whole: String,
}

#[derive(Default)]
struct Report {
    answers: usize,
    leaves: usize,
    found: BTreeMap<(&'static str, String), Found>,
}

#[derive(Clone, Copy)]
struct Options {
    /// In how many recordings a path is tried.
    sample: usize,
    /// Whether it is told what the decoders read.
    table: bool,
}

struct Answer {
    format: Arc<dyn WireFormat>,
    wanted: Framing,
    headers: HeaderMap,
    body: Body,
}

type Outcome = (Vec<ChatEvent>, Result<(), UpstreamError>);

impl Answer {
    /// The answer of a recording; `None` for an error.
    fn read(directory: &Path, name: &str) -> Option<Self> {
        let recorded = json(&directory.join(name));
        let response = &recorded["response"];
        if response["status"].as_u64()? >= 300 {
            return None;
        }
        let mut answer = Self {
            format: wire_format(recorded["api"].as_str()?)?,
            wanted: match recorded["stream"].as_bool()? {
                true => Framing::Sse,
                false => Framing::Json,
            },
            headers: headers(&response["headers"]),
            body: Body::parse(response["body_text"].as_str()?)?,
        };
        let mut reader = answer.reader(false);
        let mut events = Vec::new();
        answer.body.truncate(|piece| {
            let read = reader.push(piece.as_bytes(), &mut events);
            read.is_ok() && reader.is_done()
        });
        answer
            .outcome(&answer.body.text(), true)
            .1
            .is_ok()
            .then_some(answer)
    }

    fn reader(&self, with_metadata: bool) -> Reader {
        let content_type = self.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let reader = Reader::sniffing(Arc::clone(&self.format), self.wanted, content_type);
        match with_metadata {
            true => reader.with_metadata(telling(&self.headers)),
            false => reader,
        }
    }

    fn outcome(&self, body: &str, with_metadata: bool) -> Outcome {
        let mut reader = self.reader(with_metadata);
        let mut events = Vec::new();
        let mut end = reader.push(body.as_bytes(), &mut events);
        if end.is_ok() {
            end = reader.end(&mut events);
        }
        (events, end)
    }

    /// Tries every path of the answer that was not tried often enough yet.
    fn check(&self, name: &str, options: Options, report: &mut Report) {
        report.answers += 1;
        let whole =
            [false, true].map(|with_metadata| self.outcome(&self.body.text(), with_metadata));
        for (path, leaves) in self.body.leaves(self.format.answer_fields()) {
            let key = (self.format.name(), path.to_string());
            let found = report.found.entry(key).or_default();
            if found.tried == options.sample {
                continue;
            }
            found.tried += 1;
            found.whole = path.in_whole_answer(self.format.answer_fields());
            report.leaves += 1;
            let changes = |with_metadata: bool| {
                // Of many in a list, the last and the first.
                let same = [leaves.last(), leaves.first()];
                let mut tried = same.into_iter().flatten().flat_map(|same| {
                    // Of one that is repeated, the first ones and the last ones.
                    let last = same.len().saturating_sub(REPETITIONS).max(REPETITIONS);
                    same.iter().take(REPETITIONS).chain(same.iter().skip(last))
                });
                tried.any(|leaf| {
                    self.body.variations(leaf).any(|changed| {
                        self.outcome(&changed, with_metadata) != whole[usize::from(with_metadata)]
                    })
                })
            };
            found.read += usize::from(options.table && changes(false));
            let fate = match changes(true) {
                true => Fate::Kept,
                false => self.fate(&path, &whole[1].0),
            };
            found.bookkeeping += usize::from(fate == Fate::Bookkeeping);
            if fate == Fate::Lost {
                found.lost += 1;
                name.clone_into(&mut found.example);
            }
        }
    }

    /// What becomes of a leaf that is neither read nor carried.
    fn fate(&self, path: &paths::LeafPath, events: &[ChatEvent]) -> Fate {
        let fields = self.format.answer_fields();
        let whole = path.in_whole_answer(fields);
        let is_below = |above: &str| {
            let rest = whole.strip_prefix(above);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if fields.bookkeeping.iter().any(|(path, _)| is_below(path)) {
            return Fate::Bookkeeping;
        }
        let is_named = events.iter().any(|event| match event {
            ChatEvent::LeftOut(named) => is_below(&paths::without_positions(named)),
            _ => false,
        });
        if is_named { Fate::Named } else { Fate::Lost }
    }
}

impl Report {
    fn print(&self, table: bool) -> usize {
        let mut lost = 0;
        for ((format, path), found) in &self.found {
            if table {
                let read = match found.read {
                    0 => "never",
                    read if read == found.tried => "read",
                    _ => "mixed",
                };
                println!("{format} {read} {path} = {}", found.whole);
            }
            if found.lost > 0 {
                lost += 1;
                println!(
                    "LOST {format} {path}: {} of {} ({})",
                    found.lost, found.tried, found.example
                );
            }
        }
        println!(
            "leaves: {} leaves of {} paths in {} answers were changed; {lost} paths are lost",
            self.leaves,
            self.found.len(),
            self.answers,
        );
        lost
    }
}

fn wire_format(api: &str) -> Option<Arc<dyn WireFormat>> {
    Some(match api {
        "anthropic.messages" => Arc::new(Anthropic::default()),
        "gemini.generateContent" | "gemini.streamGenerateContent" => Arc::new(Gemini::default()),
        "openai.chat" => Arc::new(OpenAiChat::default()),
        "openai.responses" => Arc::new(OpenAiResponses::default()),
        _ => return None,
    })
}

fn json(path: &Path) -> Value {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn headers(value: &Value) -> HeaderMap {
    let headers = value.as_object().expect("headers");
    let header = |(name, value): (&String, &Value)| {
        let name: HeaderName = name.parse().expect("a header name");
        let value = value.as_str().expect("a text");
        (name, HeaderValue::from_str(value).expect("a header value"))
    };
    headers.iter().map(header).collect()
}

fn main() -> ExitCode {
    let named = std::env::var_os("MODELWAY_EXCHANGES").map(PathBuf::from);
    let is_named = named.is_some();
    let directory = named
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/wire/exchanges"));
    if !directory.join("index.json").is_file() {
        println!("leaves: skipped: no recordings in {}", directory.display());
        return match is_named {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        };
    }
    let has = |option: &str| std::env::args().any(|argument| argument == option);
    let options = Options {
        sample: if has("--all") { usize::MAX } else { SAMPLE },
        table: has("--table"),
    };
    let only = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let mut report = Report::default();
    let index = json(&directory.join("index.json"));
    for entry in index.as_array().expect("a list of recordings") {
        let name = entry["path"].as_str().expect("a path");
        if only.as_ref().is_some_and(|only| !name.contains(&**only)) {
            continue;
        }
        if let Some(answer) = Answer::read(&directory, name) {
            answer.check(name, options, &mut report);
        }
    }
    match report.print(options.table) > MOST_LOST {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
