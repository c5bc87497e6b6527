use crate::chat::ChatRequest;
use crate::error::Unsupported;
use crate::features::Features;
use crate::wire::anthropic::{Anthropic, Dialect, Host, ThinkingDialect};
use crate::wire::gemini::Gemini;
use crate::wire::limits::MAX_EVENT_BYTES;
use crate::wire::metadata::AnswerFields;
use crate::wire::openai_chat::OpenAiChat;
use crate::wire::{Decoder, Frame, Recipient, Spelling, WireRequest};

use super::*;

/// A format whose answers are `{"text":…}` frames, closed by `{"done":true}` or, whole, by themselves.
struct Toy;

struct ToyDecoder(Framing);

const NO_FIELDS: AnswerFields = AnswerFields {
    read: &[],
    bookkeeping: &[],
    first_only: &[],
    numbered: &[],
    renamed: &[],
    moved: &[],
};

impl WireFormat for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn features(&self) -> Features {
        Features::NONE
    }

    fn encode(
        &self,
        _request: &ChatRequest,
        _to: &Recipient<'_>,
    ) -> Result<WireRequest, Unsupported> {
        Err(Unsupported::Value {
            field: "messages",
            why: "nothing can be said",
        })
    }

    fn check(&self, request: &ChatRequest, to: &Recipient<'_>) -> Result<(), Unsupported> {
        self.encode(request, to).map(drop)
    }

    fn spelling<'a>(&'a self, to: &Recipient<'_>) -> Spelling<'a> {
        Spelling::Anthropic {
            dialect: &Dialect {
                thinking: ThinkingDialect::Adaptive,
                host: Host::Anthropic,
                excludes: None,
                efforts: None,
            },
            max_output_tokens: None,
            stream: to.stream,
        }
    }

    fn answer_fields(&self) -> &'static AnswerFields {
        &NO_FIELDS
    }

    fn decoder(&self, framing: Framing) -> Box<dyn Decoder> {
        Box::new(ToyDecoder(framing))
    }
}

impl Decoder for ToyDecoder {
    fn frame(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let json: serde_json::Value =
            serde_json::from_str(frame.data).map_err(|_| UpstreamError::malformed("no JSON"))?;
        if json.get("bad").is_some() {
            return Err(UpstreamError::malformed("bad"));
        }
        if let Some(text) = json["text"].as_str() {
            events.push(ChatEvent::Text(text.into()));
        }
        if self.0 == Framing::Json || json.get("done").is_some() {
            events.push(ChatEvent::Done);
        }
        Ok(())
    }

    fn end(&mut self, _events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        Ok(())
    }
}

fn read_all(mut reader: Reader, pieces: &[&[u8]]) -> (String, Result<(), UpstreamError>) {
    let mut events = Vec::new();
    let mut outcome = Ok(());
    for piece in pieces {
        outcome = outcome.and(reader.push(piece, &mut events));
    }
    outcome = outcome.and(reader.end(&mut events));
    assert_eq!(reader.is_done(), outcome.is_ok());
    assert_eq!(
        reader.push(b"data: {\"text\":\"late\"}\n\n", &mut events),
        outcome
    );
    assert_eq!(reader.end(&mut events), outcome);
    assert_eq!(is_done(&events), outcome.is_ok());
    let mut text = String::new();
    for event in events {
        if let ChatEvent::Text(piece) = event {
            text.push_str(&piece);
        }
    }
    (text, outcome)
}

#[test]
fn the_first_byte_tells_the_framing() {
    const EVENTS: &str = "data: {\"text\":\"a\"}\n\ndata: {\"done\":1}\n\n";
    const JSON: &str = "{\"text\":\"a\"}";
    use Framing::{Json, Sse};
    let malformed = Err(UpstreamErrorKind::Malformed);
    let truncated = Err(UpstreamErrorKind::Truncated);
    let cases = [
        (EVENTS, Sse, Some("text/event-stream"), Ok("a")),
        (EVENTS, Sse, Some("text/plain"), Ok("a")),
        (EVENTS, Sse, Some("application/json"), Ok("a")),
        (EVENTS, Sse, None, Ok("a")),
        (
            EVENTS,
            Json,
            Some(" Text/Event-Stream; charset=utf-8"),
            Ok("a"),
        ),
        (EVENTS, Json, Some("application/json"), Ok("a")),
        (EVENTS, Json, None, Ok("a")),
        (": hello\n\ndata: {\"done\":1}\n\n", Json, None, Ok("")),
        ("event: x\ndata: {\"done\":1}\n\n", Json, None, Ok("")),
        ("\u{feff}data: {\"done\":1}\n\n", Json, None, Ok("")),
        ("\u{feff}\n{\"text\":\"a\"}", Json, None, Ok("a")),
        ("\u{feff}{\"text\":\"a\"}", Sse, None, Ok("a")),
        ("da", Json, None, malformed),
        (JSON, Sse, Some("text/event-stream"), Ok("a")),
        (JSON, Sse, None, Ok("a")),
        (JSON, Json, Some("text/event-stream"), Ok("a")),
        (JSON, Json, Some("ü"), Ok("a")),
        ("\n \r\n\n{\"text\":\"a\"} \n", Sse, None, Ok("a")),
        ("[]", Sse, None, Ok("")),
        ("{\"text\":", Sse, None, malformed),
        ("<!doctype html>", Sse, Some("text/html"), malformed),
        ("\n <html>", Json, None, malformed),
        ("error code: 1016", Sse, None, truncated),
        ("error code: 1016", Json, None, malformed),
        ("", Sse, None, malformed),
        ("\n \n", Json, None, malformed),
        (": hello\n\ndata: {\"done\":1}\n\n", Sse, None, Ok("")),
        ("\r\n\r\ndata: {\"done\":1}\n\n", Sse, None, Ok("")),
        ("\u{feff}data: {\"done\":1}\n\n", Sse, None, Ok("")),
        // A field must stand at the start of its line.
        (" data: {\"done\":1}\n\n", Sse, None, truncated),
        ("\n\tdata: {\"done\":1}\n\n", Sse, None, truncated),
    ];
    for (body, wanted, content_type, expected) in cases {
        let reader = || Reader::sniffing(Arc::new(Toy), wanted, content_type);
        let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();

        let (text, outcome) = read_all(reader(), &[b"", body.as_bytes()]);

        let seen = outcome.as_ref().map(|()| text.as_str());
        let seen = seen.map_err(|error| error.kind);
        assert_eq!(seen, expected, "{body:?} {wanted:?} {content_type:?}");
        assert_eq!(read_all(reader(), &bytes), (text, outcome), "{body:?}");
    }
}

#[test]
fn what_follows_the_providers_own_end_is_ignored() {
    let body = b"data: {\"done\":1}\n\ndata: {\"text\":\"a\"}\n\ndata: no JSON\n\n";
    let too_large = vec![b'a'; MAX_EVENT_BYTES + 1];
    let endless = [body.as_slice(), &too_large].concat();

    for pieces in [
        vec![body.as_slice()],
        vec![&endless],
        body.chunks(1).collect(),
    ] {
        let read = read_all(Reader::new(&Toy, Framing::Sse), &pieces);

        assert_eq!(read, (String::new(), Ok(())));
    }
}

#[test]
fn an_error_ends_the_reading_and_keeps_what_had_come() {
    let body = b"data: {\"text\":\"a\"}\n\ndata: {\"bad\":1}\n\ndata: {\"done\":1}\n\n";

    let (text, outcome) = read_all(Reader::new(&Toy, Framing::Sse), &[body]);

    assert_eq!(text, "a");
    assert_eq!(outcome, Err(UpstreamError::malformed("bad")));
}

#[test]
fn a_body_that_ends_within_an_event_is_truncated_not_malformed() {
    let cases = [
        (
            "data: {\"text\":\"a\"}\n\ndata: {\"te",
            UpstreamErrorKind::Truncated,
        ),
        (
            "data: {\"text\":\"a\"}\n\ndata",
            UpstreamErrorKind::Truncated,
        ),
        (
            "data: {\"text\":\"a\"}\n\ndata: {\"te\n\n",
            UpstreamErrorKind::Malformed,
        ),
        (
            "data: {\"text\":\"a\"}\n\ndata: {\"bad\":1}",
            UpstreamErrorKind::Malformed,
        ),
        ("data: {\"text\":\"a\"}", UpstreamErrorKind::Truncated),
    ];
    for (body, kind) in cases {
        let (text, outcome) = read_all(Reader::new(&Toy, Framing::Sse), &[body.as_bytes()]);

        assert_eq!(text, "a");
        assert_eq!(outcome.unwrap_err().kind, kind, "{body:?}");
    }
}

#[test]
fn a_json_body_is_read_up_to_its_limit() {
    let mut reader = Reader::sniffing(Arc::new(Toy), Framing::Json, None);
    let largest = [b"{".as_slice(), &vec![b' '; MAX_BODY_BYTES - 1]].concat();

    assert_eq!(reader.push(&largest, &mut Vec::new()), Ok(()));
    assert_eq!(
        reader.push(b"}", &mut Vec::new()).unwrap_err().kind,
        UpstreamErrorKind::Malformed
    );
}

#[test]
fn an_error_that_a_failing_stream_ends_with_is_read_without_a_field() {
    let table: [(Box<dyn WireFormat>, &str); 3] = [
        (
            Box::new(OpenAiChat::default()),
            r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#,
        ),
        (
            Box::new(Anthropic::default()),
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#,
        ),
        (
            Box::new(Gemini::default()),
            r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#,
        ),
    ];
    let error = "{\n  \"error\": {\n    \"code\": 503,\n    \"message\": \"busy\"\n  }\n}\n";
    for (format, event) in &table {
        for body in [
            format!("data: {event}\n\n{error}"),
            format!("data: {event}\r\n\r\n{error}\n"),
        ] {
            let reader = Reader::new(format.as_ref(), Framing::Sse);

            let (text, outcome) = read_all(reader, &[body.as_bytes()]);

            assert_eq!(text, "a");
            assert_eq!(outcome.unwrap_err().kind, UpstreamErrorKind::Overloaded);
        }
    }
}

#[test]
fn keep_alives_without_data_and_the_end_mark_of_other_families_are_read() {
    let anthropic = concat!(
        "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":-1,\"cache_read_input_tokens\":5}}}\n\n",
        "event: ping\ndata: \n\n",
        "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"a\"}}\n\n",
        "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2.0}}\n\n",
        "data: [DONE]\n\n",
    );
    let gemini = concat!(
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}\n\n",
        "data: {\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":\"5\",\"candidatesTokenCount\":-7}}\n\n",
        "data: [DONE]\n\n",
    );
    let formats: [(&dyn WireFormat, &str); 2] = [
        (&Anthropic::default(), anthropic),
        (&Gemini::default(), gemini),
    ];
    for (format, body) in formats {
        let mut reader = Reader::new(format, Framing::Sse);
        let mut events = Vec::new();

        reader.push(body.as_bytes(), &mut events).unwrap();

        assert!(reader.is_done(), "{body}");
        let mut answer = crate::chat::Answer::default();
        events.into_iter().for_each(|event| answer.apply(event));
        assert_eq!(answer.parts, [crate::chat::Part::Text("a".to_owned())]);
        assert_eq!(answer.usage.unwrap().input_tokens, Some(5));
    }
}
