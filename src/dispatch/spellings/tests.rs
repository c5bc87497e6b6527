//! Is a request written for a provider only when it must be, and then once?

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::chat::{ImageDetail, Media, MediaSource, Message, Reasoning, Role, Sampling, ToolCall};
use crate::dispatch::specimens::target;
use crate::features::Features;
use crate::provider::Provider;
use crate::wire::anthropic::{self, Anthropic};
use crate::wire::gemini::{self, Gemini};
use crate::wire::metadata::AnswerFields;
use crate::wire::openai_chat::{self, OpenAiChat};
use crate::wire::{Decoder, Framing, Spelling, WireFormat};

fn speaking(format: impl WireFormat + 'static, provider: &str, model: &str) -> Arc<Target> {
    let spoken = target(model);
    let provider = Provider {
        name: provider.to_owned(),
        ..Arc::into_inner(spoken.provider).expect("nobody else has it")
    };
    Arc::new(Target {
        provider: Arc::new(provider),
        wire_format: Arc::new(format),
        ..spoken
    })
}

fn saying(role: Role, part: Part) -> Message {
    Message {
        role,
        parts: vec![part],
    }
}

fn pictured() -> ChatRequest {
    let picture = Part::Image(Media {
        source: MediaSource::Data(vec![7; 7].into()),
        media_type: "image/png".to_owned(),
        filename: String::new(),
        detail: ImageDetail::Auto,
    });
    ChatRequest {
        messages: vec![saying(Role::User, picture)],
        ..ChatRequest::default()
    }
}

/// The same with what models of these providers have made.
fn authored() -> ChatRequest {
    let made = |provider: &str| {
        let reasoning = Part::Reasoning(Reasoning {
            text: format!("thought at {provider}"),
            signature: "c2lnbmVk".into(),
            provider: provider.to_owned(),
        });
        [
            saying(Role::Assistant, reasoning),
            saying(Role::User, Part::Text("Go on".to_owned())),
        ]
    };
    let mut request = pictured();
    request
        .messages
        .extend(["one", "two"].iter().flat_map(|provider| made(provider)));
    request
}

fn targets() -> Vec<Arc<Target>> {
    let mistral = openai_chat::Dialect {
        output_cap: openai_chat::OutputCap::MaxTokens,
        ..openai_chat::Dialect::default()
    };
    let capped = |target: Arc<Target>, most| {
        let target = Arc::into_inner(target).expect("nobody else has it");
        Arc::new(Target {
            max_output_tokens: Some(most),
            ..target
        })
    };
    let call_ids = gemini::Dialect {
        call_ids: false,
        ..gemini::Dialect::default()
    };
    let thinking = anthropic::ThinkingDialect::Budget;
    let budget = Anthropic {
        dialect: anthropic::Dialect {
            thinking,
            ..anthropic::Dialect::default()
        },
    };
    vec![
        speaking(OpenAiChat::default(), "one", "a"),
        speaking(OpenAiChat::default(), "one", "a \"quoted\" name"),
        speaking(OpenAiChat::default(), "two", "a"),
        speaking(OpenAiChat { dialect: mistral }, "one", "b"),
        speaking(Anthropic::default(), "one", "c"),
        speaking(Anthropic::default(), "two", "d"),
        capped(speaking(Anthropic::default(), "one", "e"), 7),
        speaking(budget, "one", "f"),
        speaking(Gemini::default(), "one", "gemini-3"),
        speaking(Gemini::default(), "two", "gemini-4/x"),
        speaking(Gemini::default(), "one", "gemini-2.5"),
        speaking(Gemini::new(call_ids), "one", "gemini-3"),
    ]
}

fn told(spelled: Result<WireRequest, Unsupported>) -> Result<(String, String, usize), Unsupported> {
    let spelled = spelled?;
    let body = String::from_utf8(spelled.body.to_vec()).expect("JSON");
    Ok((spelled.path, body, spelled.adaptations.len()))
}

#[test]
fn a_target_reads_the_same_whatever_was_found_out_for_others_before() {
    let limit = |request: ChatRequest| ChatRequest {
        sampling: Sampling {
            max_output_tokens: Some(1000),
            stop_sequences: vec!["END".to_owned(); 5],
            ..Sampling::default()
        },
        ..request
    };
    for request in [pictured(), authored(), limit(pictured())] {
        for first in &targets() {
            let mut spellings = Spellings::of(&request);
            for (target, stream) in targets().iter().flat_map(|one| [(one, true), (one, false)]) {
                spellings.unsupported(&request, first, true);
                let first = spellings.spell(&request, first, true);
                let unsupported = spellings.unsupported(&request, target, stream);
                let spelled = spellings.spell(&request, target, stream);

                let to = recipient(target, stream);
                let expected = target.wire_format.encode(&request, &to);
                assert_eq!(unsupported.is_some(), expected.is_err(), "{}", target.id);
                assert_eq!(told(spelled), told(expected), "{}", target.id);
                drop(first);
            }
        }
    }
}

/// Speaks like another one and counts how often it is asked.
#[derive(Clone, Default)]
struct Counting {
    format: OpenAiChat,
    checks: Arc<AtomicUsize>,
    encodings: Arc<AtomicUsize>,
}

impl WireFormat for Counting {
    fn name(&self) -> &'static str {
        self.format.name()
    }

    fn features(&self) -> Features {
        self.format.features()
    }

    fn encode(
        &self,
        request: &ChatRequest,
        to: &Recipient<'_>,
    ) -> Result<WireRequest, Unsupported> {
        self.encodings.fetch_add(1, Ordering::Relaxed);
        self.format.encode(request, to)
    }

    fn check(&self, request: &ChatRequest, to: &Recipient<'_>) -> Result<(), Unsupported> {
        self.checks.fetch_add(1, Ordering::Relaxed);
        self.format.check(request, to)
    }

    fn spelling<'a>(&'a self, to: &Recipient<'_>) -> Spelling<'a> {
        self.format.spelling(to)
    }

    fn answer_fields(&self) -> &'static AnswerFields {
        self.format.answer_fields()
    }

    fn decoder(&self, framing: Framing) -> Box<dyn Decoder> {
        self.format.decoder(framing)
    }
}

#[test]
fn a_request_is_checked_once_for_many_targets_and_not_written() {
    let format = Counting::default();
    let request = pictured();
    let mut spellings = Spellings::of(&request);

    for model in 0..100 {
        let provider = ["one", "two"][model % 2];
        let target = speaking(format.clone(), provider, &model.to_string());
        assert_eq!(spellings.unsupported(&request, &target, true), None);
    }

    assert_eq!(format.checks.load(Ordering::Relaxed), 1);
    assert_eq!(format.encodings.load(Ordering::Relaxed), 0);
}

#[test]
fn a_request_that_was_written_for_one_target_is_not_checked_for_another_with_the_same_format() {
    let format = Counting::default();
    let request = pictured();
    let mut spellings = Spellings::of(&request);
    let [first, other] = ["a", "b"].map(|model| speaking(format.clone(), "one", model));

    assert!(spellings.spell(&request, &first, false).is_ok());
    assert_eq!(spellings.unsupported(&request, &other, false), None);
    assert!(spellings.spell(&request, &other, false).is_ok());

    assert_eq!(format.checks.load(Ordering::Relaxed), 0);
    assert_eq!(format.encodings.load(Ordering::Relaxed), 2);
    assert_eq!(spellings.known.len(), 1);
}

#[test]
fn what_a_model_has_made_is_looked_at_for_each_provider_by_itself() {
    let format = Counting::default();
    let call = Part::ToolCall(ToolCall {
        name: "look".to_owned(),
        ..ToolCall::default()
    });
    let mut request = pictured();
    request.messages.push(saying(Role::Assistant, call));
    let mut spellings = Spellings::of(&request);

    for provider in ["one", "two", "one"] {
        let target = speaking(format.clone(), provider, "a");
        assert_eq!(spellings.unsupported(&request, &target, true), None);
    }

    assert_eq!(format.checks.load(Ordering::Relaxed), 2);
}
