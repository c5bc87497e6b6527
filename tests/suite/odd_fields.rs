//! What becomes of an answer if one field of one event holds a value of another kind?
//!
//! The events are our own, each place of each of them, and those of recorded answers, some places of each;
//! `MODELWAY_ODD_FIELDS=1` looks at every place. Recordings are found by `MODELWAY_EXCHANGES`, else beside the
//! crate; where they are absent, our own events are all.

use std::fs;
use std::path::{Path, PathBuf};

use modelway::chat::{Answer, ChatEvent};
use modelway::error::UpstreamError;
use modelway::wire::anthropic::Anthropic;
use modelway::wire::gemini::Gemini;
use modelway::wire::openai_chat::OpenAiChat;
use modelway::wire::openai_responses::OpenAiResponses;
use modelway::wire::reader::Reader;
use modelway::wire::{Framing, WireFormat};
use serde_json::{Value, json};

use crate::support::recordings::exchanges;

/// Values of every kind.
fn values() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(false),
        json!(7),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!("x"),
        json!(""),
        json!([]),
        json!([[1]]),
        json!({}),
        json!({"a": {"b": [null]}}),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Family {
    OpenAiChat,
    OpenAiResponses,
    Anthropic,
    Gemini,
}

/// What a field says.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Matter {
    /// Nothing that is read.
    Nothing,
    /// What the answer and its model are called.
    Names,
    /// Counts of tokens.
    Usage,
    /// The answer itself, or its end.
    Content,
}

/// A recorded answer, and how it is read.
struct Recording {
    name: String,
    family: Family,
    framing: Framing,
    /// The values of its events in order, or the whole body; what is no JSON stays as it is.
    frames: Vec<Result<Value, String>>,
}

impl Family {
    fn format(self) -> Box<dyn WireFormat> {
        match self {
            Self::OpenAiChat => Box::new(OpenAiChat::default()),
            Self::OpenAiResponses => Box::new(OpenAiResponses::default()),
            Self::Anthropic => Box::new(Anthropic::default()),
            Self::Gemini => Box::new(Gemini::default()),
        }
    }

    /// What the field at a path says, for what is read of each family.
    fn matter(self, path: &[&str]) -> Matter {
        use Matter::{Content, Names, Nothing, Usage};
        let among =
            |keys: &[&str], place: usize| path.get(place).is_none_or(|key| keys.contains(key));
        match (self, path) {
            (_, [] | ["error", ..]) => Content,
            (Self::OpenAiChat, ["usage" | "x_groq" | "service_tier", ..]) => Usage,
            (Self::OpenAiChat, ["citations" | "search_results", ..]) => Content,
            (Self::OpenAiChat, ["choices", _, "usage", ..]) => Usage,
            (Self::OpenAiChat, ["id" | "model", ..]) => Names,
            // An error whose fields stand at the top of a frame.
            (Self::OpenAiChat, ["object" | "type" | "message" | "detail", ..]) => Content,
            (Self::OpenAiChat, ["choices", _, "delta" | "message", _, ..]) => {
                let read = [
                    "content",
                    "reasoning_content",
                    "reasoning",
                    "reasoning_details",
                    "refusal",
                    "tool_calls",
                    "function_call",
                    "annotations",
                    "audio",
                    "images",
                    "executed_tools",
                ];
                if among(&read, 3) { Content } else { Nothing }
            }
            (Self::OpenAiChat, ["choices", ..]) => {
                let read = [
                    "index",
                    "delta",
                    "message",
                    "finish_reason",
                    "finish_details",
                    "logprobs",
                    "error",
                ];
                if among(&read, 2) { Content } else { Nothing }
            }
            (Self::OpenAiResponses, ["response", rest @ ..]) if !rest.is_empty() => {
                match Self::OpenAiResponses.matter(rest) {
                    // Fields of events alone.
                    Content
                        if !["output", "status", "incomplete_details", "error"]
                            .contains(&rest[0]) =>
                    {
                        Nothing
                    }
                    matter => matter,
                }
            }
            (Self::OpenAiResponses, ["usage", "cost" | "cost_in_usd_ticks", ..]) => Content,
            (Self::OpenAiResponses, ["usage" | "service_tier", ..]) => Usage,
            (Self::OpenAiResponses, ["id" | "model", ..]) => Names,
            (Self::OpenAiResponses, [key, ..]) => {
                let read = [
                    "type",
                    "object",
                    "output_index",
                    "item_id",
                    "content_index",
                    "summary_index",
                    "delta",
                    "text",
                    "refusal",
                    "arguments",
                    "input",
                    "part",
                    "item",
                    "annotation",
                    "logprobs",
                    "response",
                    "output",
                    "output_text",
                    "status",
                    "incomplete_details",
                    "code",
                    "message",
                ];
                if read.contains(key) { Content } else { Nothing }
            }
            (Self::Anthropic, ["usage", ..] | ["message", "usage", ..]) => Usage,
            (Self::Anthropic, ["id" | "model", ..] | ["message", "id" | "model", ..]) => Names,
            (Self::Anthropic, ["message", _, ..]) => Nothing,
            (Self::Anthropic, ["delta", key, ..]) => {
                let read = [
                    "type",
                    "text",
                    "thinking",
                    "signature",
                    "partial_json",
                    "citation",
                    "stop_reason",
                    "stop_sequence",
                ];
                if read.contains(key) { Content } else { Nothing }
            }
            (Self::Anthropic, ["content_block", key, ..] | ["content", _, key, ..]) => {
                let read = [
                    "type",
                    "text",
                    "thinking",
                    "signature",
                    "data",
                    "id",
                    "name",
                    "input",
                    "citations",
                    "caller",
                ];
                if read.contains(key) { Content } else { Nothing }
            }
            (
                Self::Anthropic,
                [
                    "type" | "index" | "delta" | "content_block" | "message" | "content",
                    ..,
                ]
                | ["stop_reason" | "stop_sequence", ..],
            ) => Content,
            (Self::Gemini, ["usageMetadata", ..]) => Usage,
            (Self::Gemini, ["modelVersion" | "responseId", ..]) => Names,
            (Self::Gemini, ["promptFeedback", ..]) => Content,
            // Parts of unknown kinds are kept for their provider.
            (Self::Gemini, ["candidates", _, "content", "parts", _, ..]) => Content,
            (Self::Gemini, ["candidates", _, "content", key, ..]) if *key != "parts" => Nothing,
            (Self::Gemini, ["candidates", ..]) => {
                let read = [
                    "index",
                    "content",
                    "finishReason",
                    "groundingMetadata",
                    "citationMetadata",
                    "urlContextMetadata",
                    "logprobsResult",
                ];
                if among(&read, 2) { Content } else { Nothing }
            }
            _ => Nothing,
        }
    }
}

impl Recording {
    fn new(name: &str, family: Family, framing: Framing, body: &str) -> Self {
        let frames = match framing {
            Framing::Json => vec![serde_json::from_str(body).map_err(|_| body.to_owned())],
            Framing::Sse => body
                .replace("\r\n", "\n")
                .split("\n\n")
                .map(|event| {
                    let data = event.lines().find_map(|line| line.strip_prefix("data:"));
                    let value = data.map(|data| serde_json::from_str(data.trim_start()));
                    value.and_then(Result::ok).ok_or_else(|| event.to_owned())
                })
                .collect(),
        };
        Self {
            name: name.to_owned(),
            family,
            framing,
            frames,
        }
    }

    /// Reads it, with one frame replaced.
    fn read(&self, replaced: Option<(usize, &Value)>) -> (Answer, Result<(), UpstreamError>) {
        let mut body = String::new();
        for (number, frame) in self.frames.iter().enumerate() {
            let frame = match replaced {
                Some((place, value)) if place == number => Ok(value),
                _ => frame.as_ref(),
            };
            match (frame, self.framing) {
                (Ok(value), Framing::Sse) => body.push_str(&format!("data: {value}\n\n")),
                (Err(event), Framing::Sse) => body.push_str(&format!("{event}\n\n")),
                (Ok(value), Framing::Json) => body.push_str(&value.to_string()),
                (Err(text), Framing::Json) => body.push_str(text),
            }
        }
        let mut reader = Reader::new(self.family.format().as_ref(), self.framing);
        let mut events = Vec::new();
        let mut end = reader.push(body.as_bytes(), &mut events);
        if end.is_ok() {
            end = reader.end(&mut events);
        }
        (fold(events), end)
    }

    /// Looks at every `stride`th place with every value, from `first` on. Gives how many it was.
    fn hold(&self, first: usize, stride: usize) -> usize {
        let expected = self.read(None);
        let mut seen = 0;
        let mut held = 0;
        for (number, frame) in self.frames.iter().enumerate() {
            let Ok(frame) = frame else { continue };
            for place in places(frame) {
                for value in values() {
                    seen += 1;
                    if !(seen + first).is_multiple_of(stride) {
                        continue;
                    }
                    let mut odd = frame.clone();
                    *at(&mut odd, &place) = value;
                    let read = self.read(Some((number, &odd)));
                    self.compare(&place, &odd, &expected, &read);
                    held += 1;
                }
            }
        }
        held
    }

    fn compare(
        &self,
        place: &[String],
        odd: &Value,
        expected: &(Answer, Result<(), UpstreamError>),
        read: &(Answer, Result<(), UpstreamError>),
    ) {
        let mut path: Vec<&str> = place.iter().map(String::as_str).collect();
        // A stream of Gemini may be one array of responses.
        if self.family == Family::Gemini && odd.is_array() {
            path.remove(0);
        }
        let matter = match self.family == Family::Anthropic && is_of_provider(odd, &path) {
            true => Matter::Content,
            false => self.family.matter(&path),
        };
        let (answer, end) = read;
        if matter == Matter::Content {
            return;
        }
        let bare = |answer: &Answer| {
            let mut answer = answer.clone();
            if matter == Matter::Usage {
                answer.usage = None;
            }
            if matter == Matter::Names {
                answer.response_id = None;
                answer.response_model = None;
            }
            answer
        };
        assert_eq!(end, &expected.1, "{}: {place:?} in {odd}", self.name);
        assert_eq!(
            bare(answer),
            bare(&expected.0),
            "{}: {place:?} in {odd}",
            self.name
        );
    }
}

fn fold(events: Vec<ChatEvent>) -> Answer {
    let mut answer = Answer::default();
    for event in events {
        answer.apply(event);
    }
    answer
}

/// The paths of all values in a value, but its own.
fn places(value: &Value) -> Vec<Vec<String>> {
    let children: Vec<(String, &Value)> = match value {
        Value::Array(list) => {
            let numbered = list.iter().enumerate();
            numbered
                .map(|(number, child)| (number.to_string(), child))
                .collect()
        }
        Value::Object(object) => object
            .iter()
            .map(|(key, child)| (key.clone(), child))
            .collect(),
        _ => Vec::new(),
    };
    let mut all = Vec::new();
    for (key, child) in children {
        all.push(vec![key.clone()]);
        for mut place in places(child) {
            place.insert(0, key.clone());
            all.push(place);
        }
    }
    all
}

fn at<'v>(value: &'v mut Value, place: &[String]) -> &'v mut Value {
    place.iter().fold(value, |value, key| match value {
        Value::Array(list) => &mut list[key.parse::<usize>().unwrap()],
        object => &mut object[key],
    })
}

/// Answers of our own that use everything that is read.
fn golden() -> Vec<Recording> {
    let events = |frames: &[&str]| -> String {
        frames
            .iter()
            .map(|frame| format!("data: {frame}\n\n"))
            .collect()
    };
    let openai = events(&[
        r#"{"id":"c","model":"m","created":1,"choices":[{"index":0,"logprobs":null,"delta":{"role":"assistant","content":"a","reasoning_content":"h","reasoning":"h","reasoning_details":[{"type":"t","text":"h"}],"refusal":null},"finish_reason":null,"content_filter_results":{}}],"usage":null,"service_tier":"s"}"#,
        r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":[{"type":"text","text":"b"}],"tool_calls":[{"index":0,"id":"t","type":"function","function":{"name":"f","arguments":"{\"a\":"}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls","native_finish_reason":"x"}],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":2}},"x_groq":{"id":"r"}}"#,
        "[DONE]",
    ]);
    let openai_whole = r#"{"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a","refusal":null,"annotations":[],"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":9,"completion_tokens":5}}"#;
    let responses = events(&[
        r#"{"type":"response.created","sequence_number":0,"response":{"id":"r","object":"response","created_at":1,"model":"m","status":"in_progress","error":null,"output":[],"usage":null,"tools":[]}}"#,
        r#"{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"id":"s","type":"reasoning","summary":[]}}"#,
        r#"{"type":"response.reasoning_summary_text.delta","sequence_number":2,"output_index":0,"item_id":"s","summary_index":0,"delta":"h","obfuscation":"x"}"#,
        r#"{"type":"response.output_item.done","sequence_number":3,"output_index":0,"item":{"id":"s","type":"reasoning","summary":[{"type":"summary_text","text":"h"}],"encrypted_content":"e"}}"#,
        r#"{"type":"response.output_text.delta","sequence_number":4,"output_index":1,"item_id":"a","content_index":0,"delta":"a","logprobs":[]}"#,
        r#"{"type":"response.output_item.added","sequence_number":5,"output_index":2,"item":{"id":"f","type":"function_call","call_id":"c","name":"f","arguments":""}}"#,
        r#"{"type":"response.function_call_arguments.delta","sequence_number":6,"output_index":2,"item_id":"f","delta":"{}"}"#,
        r#"{"type":"response.completed","sequence_number":7,"response":{"id":"r","object":"response","model":"m","status":"completed","error":null,"incomplete_details":null,"output":[{"id":"s","type":"reasoning","summary":[]},{"id":"a","type":"message","content":[{"type":"output_text","text":"a","annotations":[]}]},{"id":"f","type":"function_call","call_id":"c","name":"f","arguments":"{}"}],"usage":{"input_tokens":9,"output_tokens":5,"total_tokens":14,"input_tokens_details":{"cached_tokens":3}},"store":false,"billing":{}}}"#,
    ]);
    let responses_whole = r#"{"id":"r","object":"response","created_at":1,"model":"m","status":"completed","error":null,"incomplete_details":null,"output":[{"id":"a","type":"message","phase":"final","content":[{"type":"output_text","text":"a","annotations":[]}]}],"parallel_tool_calls":true,"reasoning":{"effort":null},"store":false,"text":{"format":{"type":"text"}},"usage":{"input_tokens":9,"output_tokens":5},"metadata":{}}"#;
    let anthropic = events(&[
        r#"{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"c","content":[],"stop_reason":null,"usage":{"input_tokens":9,"cache_read_input_tokens":3,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"h"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{},"caller":{}}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null,"container":null},"usage":{"output_tokens":5},"context_management":{}}"#,
        r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{}}"#,
    ]);
    let anthropic_whole = r#"{"id":"m","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"a","citations":null},{"type":"tool_use","id":"t","name":"f","input":{"a":[1]}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":5,"service_tier":"s"},"container":null}"#;
    let gemini = events(&[
        r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"h","thought":true},{"text":"a","thoughtSignature":"s"}]},"index":0,"safetyRatings":[]}],"modelVersion":"m","responseId":"r","usageMetadata":{"promptTokenCount":9,"totalTokenCount":9,"trafficType":"t"}}"#,
        r#"{"candidates":[{"content":{"role":"model","parts":[{"functionCall":{"name":"f","args":{"a":1},"id":"t"}},{"inlineData":{"data":""}}]},"finishReason":"STOP","index":0,"avgLogprobs":-0.1}],"modelVersion":"m","usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":5,"totalTokenCount":14,"promptTokensDetails":[{"modality":"TEXT","tokenCount":9}]},"createTime":"t"}"#,
    ]);
    let new = Recording::new;
    vec![
        new("own", Family::OpenAiChat, Framing::Sse, &openai),
        new("own", Family::OpenAiChat, Framing::Json, openai_whole),
        new("own", Family::OpenAiResponses, Framing::Sse, &responses),
        new(
            "own",
            Family::OpenAiResponses,
            Framing::Json,
            responses_whole,
        ),
        new("own", Family::Anthropic, Framing::Sse, &anthropic),
        new("own", Family::Anthropic, Framing::Json, anthropic_whole),
        new("own", Family::Gemini, Framing::Sse, &gemini),
    ]
}

fn recorded(folder: &Path) -> Vec<Recording> {
    let json =
        |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let index = json(folder.join("index.json"));
    let entries = index.as_array().unwrap().iter();
    let recordings = entries.filter_map(|entry| {
        let name = entry["path"].as_str()?;
        let exchange = json(folder.join(name));
        let family = match exchange["api"].as_str()? {
            "openai.chat" => Family::OpenAiChat,
            "openai.responses" => Family::OpenAiResponses,
            "anthropic.messages" => Family::Anthropic,
            "gemini.generateContent" | "gemini.streamGenerateContent" => Family::Gemini,
            _ => return None,
        };
        let framing = match exchange["framing"].as_str()? {
            "sse" => Framing::Sse,
            _ => Framing::Json,
        };
        let is_success = exchange["response"]["status"].as_u64()? < 300;
        let body = exchange["response"]["body_text"].as_str()?;
        is_success.then(|| Recording::new(name, family, framing, body))
    });
    recordings.collect()
}

#[test]
fn a_field_of_another_kind_costs_that_field_alone_at_every_place_of_our_own_events() {
    for recording in golden() {
        let (answer, end) = recording.read(None);
        assert!(answer.complete && end.is_ok(), "{end:?}");

        assert!(recording.hold(0, 1) > 200);
    }
}

#[test]
fn a_field_of_another_kind_costs_that_field_alone_in_recorded_events() {
    let Some(folder) = exchanges() else {
        return;
    };
    let is_thorough = std::env::var_os("MODELWAY_ODD_FIELDS").is_some();
    let mut held = 0;
    for (number, recording) in recorded(&folder).iter().enumerate() {
        let count: usize = recording
            .frames
            .iter()
            .flatten()
            .map(|frame| places(frame).len())
            .sum();
        // Some twenty places with some value of each recording, others for each.
        let stride = if is_thorough {
            1
        } else {
            (count * values().len() / 20).max(1)
        };
        held += recording.hold(number, stride);
    }
    assert!(held > 5000, "{held}");
}

/// Whether a place lies in something of Anthropic's that is kept for the provider as it is.
fn is_of_provider(frame: &Value, path: &[&str]) -> bool {
    const OF_OURS: [&str; 9] = [
        "text",
        "thinking",
        "redacted_thinking",
        "tool_use",
        "text_delta",
        "thinking_delta",
        "signature_delta",
        "input_json_delta",
        "citations_delta",
    ];
    let whole = match path {
        ["content", number, _, ..] => number
            .parse::<usize>()
            .ok()
            .and_then(|number| frame["content"].get(number)),
        [part @ ("content_block" | "delta"), _, ..] => frame.get(part),
        _ => None,
    };
    let kind = whole.and_then(|whole| whole["type"].as_str());
    kind.is_some_and(|kind| !OF_OURS.contains(&kind))
}
