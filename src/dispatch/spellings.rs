//! How the targets of a call read its request: found out and written once for all that would be sent the same.

use std::sync::Arc;

use crate::chat::{ChatRequest, Part};
use crate::error::Unsupported;
use crate::wire::{Recipient, WireRequest};

use super::target::Target;

/// Bodies below this size are written anew as cheaply as they are kept.
const LEAST_BYTES_KEPT: usize = 16 * 1024;

/// What is known of one request as targets read it. Formats and dialects are few, targets may be many.
pub(super) struct Spellings {
    /// Whether the request holds what a model has made, which is not for every provider to read.
    has_author: bool,
    known: Vec<Known>,
}

/// The request as one target reads it.
struct Known {
    target: Arc<Target>,
    stream: bool,
    form: Form,
}

enum Form {
    /// It cannot be expressed.
    Unsupported(Unsupported),
    /// It can.
    Supported,
    /// It is written.
    Written(WireRequest),
}

impl Spellings {
    /// Nothing is known yet of this request. The other methods are to be given the same.
    pub(super) fn of(request: &ChatRequest) -> Self {
        let mut parts = request.messages.iter().flat_map(|message| &message.parts);
        Self {
            has_author: parts.any(|part| matches!(part, Part::Reasoning(_) | Part::ToolCall(_))),
            known: Vec::new(),
        }
    }

    /// Why a target's format cannot express the request; nothing of any size is written for that.
    pub(super) fn unsupported(
        &mut self,
        request: &ChatRequest,
        target: &Arc<Target>,
        stream: bool,
    ) -> Option<Unsupported> {
        if let Some(position) = self.position(target, stream) {
            return match &self.known[position].form {
                Form::Unsupported(why) => Some(why.clone()),
                Form::Supported | Form::Written(_) => None,
            };
        }
        let format = &target.provider.wire_format;
        let unsupported = format.check(request, &recipient(target, stream)).err();
        let form = match &unsupported {
            Some(why) => Form::Unsupported(why.clone()),
            None => Form::Supported,
        };
        self.learn(target, stream, form);
        unsupported
    }

    /// The request as a target reads it. A large one is kept: another attempt may need it.
    ///
    /// # Errors
    /// Why the target's format cannot express it.
    pub(super) fn spell(
        &mut self,
        request: &ChatRequest,
        target: &Arc<Target>,
        stream: bool,
    ) -> Result<WireRequest, Unsupported> {
        let to = recipient(target, stream);
        let format = &target.provider.wire_format;
        let position = self.position(target, stream);
        if let Some(known) = position.map(|position| &self.known[position]) {
            match &known.form {
                Form::Unsupported(why) => return Err(why.clone()),
                Form::Supported => {}
                Form::Written(written) => {
                    let from = recipient(&known.target, known.stream);
                    if let Some(renamed) = format.rename(written, &from, &to) {
                        return Ok(renamed);
                    }
                }
            }
        }
        let spelled = format.encode(request, &to);
        let form = match &spelled {
            Ok(written) if written.body.len() >= LEAST_BYTES_KEPT => Form::Written(written.clone()),
            Ok(_) => return spelled,
            Err(why) => Form::Unsupported(why.clone()),
        };
        if let Some(position) = position {
            self.known.swap_remove(position);
        }
        self.learn(target, stream, form);
        spelled
    }

    /// Lets go of what was written; it can be written again.
    pub(super) fn let_go(&mut self) {
        for known in &mut self.known {
            if matches!(known.form, Form::Written(_)) {
                known.form = Form::Supported;
            }
        }
    }

    fn learn(&mut self, target: &Arc<Target>, stream: bool, form: Form) {
        self.known.push(Known {
            target: Arc::clone(target),
            stream,
            form,
        });
    }

    /// Where it stands what a target would be sent, but for the model's name.
    fn position(&self, target: &Arc<Target>, stream: bool) -> Option<usize> {
        self.known.iter().position(|known| {
            let (one, other) = (&known.target.provider, &target.provider);
            let spelling = one
                .wire_format
                .spelling(&recipient(&known.target, known.stream));
            (!self.has_author || one.name == other.name)
                && spelling == other.wire_format.spelling(&recipient(target, stream))
        })
    }
}

fn recipient(target: &Target, stream: bool) -> Recipient<'_> {
    Recipient {
        provider: &target.provider.name,
        model: &target.model,
        max_output_tokens: target.max_output_tokens,
        stream,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::chat::{
        ImageDetail, Media, MediaSource, Message, Reasoning, Role, Sampling, ToolCall,
    };
    use crate::dispatch::specimens::target;
    use crate::features::Features;
    use crate::provider::Provider;
    use crate::wire::anthropic::{self, Anthropic};
    use crate::wire::gemini::{self, Gemini};
    use crate::wire::openai_chat::{self, OpenAiChat};
    use crate::wire::{Decoder, Framing, Spelling, WireFormat};

    fn speaking(format: impl WireFormat + 'static, provider: &str, model: &str) -> Arc<Target> {
        let spoken = target(model);
        let provider = Provider {
            name: provider.to_owned(),
            wire_format: Arc::new(format),
            ..Arc::into_inner(spoken.provider).expect("nobody else has it")
        };
        Arc::new(Target {
            provider: Arc::new(provider),
            ..spoken
        })
    }

    fn saying(role: Role, part: Part) -> Message {
        Message {
            role,
            parts: vec![part],
        }
    }

    /// A request that is large enough for its spelling to be kept.
    fn large() -> ChatRequest {
        let picture = Part::Image(Media {
            source: MediaSource::Data(vec![7; LEAST_BYTES_KEPT].into()),
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
        let mut request = large();
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
            dialect: anthropic::Dialect { thinking },
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

    fn told(
        spelled: Result<WireRequest, Unsupported>,
    ) -> Result<(String, String, usize), Unsupported> {
        let spelled = spelled?;
        let body = String::from_utf8(spelled.body.to_vec()).expect("JSON");
        Ok((spelled.path, body, spelled.adaptations.len()))
    }

    #[test]
    fn a_target_reads_the_same_whatever_was_written_for_others_before() {
        let limit = |request: ChatRequest| ChatRequest {
            sampling: Sampling {
                max_output_tokens: Some(1000),
                stop_sequences: vec!["END".to_owned(); 5],
                ..Sampling::default()
            },
            ..request
        };
        for request in [large(), authored(), limit(large())] {
            for first in &targets() {
                let mut spellings = Spellings::of(&request);
                for (target, stream) in targets().iter().flat_map(|one| [(one, true), (one, false)])
                {
                    spellings.unsupported(&request, first, true);
                    let first = spellings.spell(&request, first, true);
                    let unsupported = spellings.unsupported(&request, target, stream);
                    let spelled = spellings.spell(&request, target, stream);

                    let to = recipient(target, stream);
                    let expected = target.provider.wire_format.encode(&request, &to);
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

        fn rename(
            &self,
            spelled: &WireRequest,
            from: &Recipient<'_>,
            to: &Recipient<'_>,
        ) -> Option<WireRequest> {
            self.format.rename(spelled, from, to)
        }

        fn decoder(&self, framing: Framing) -> Box<dyn Decoder> {
            self.format.decoder(framing)
        }
    }

    #[test]
    fn what_is_sent_to_many_is_written_once_and_copied_only_for_another_model() {
        let format = Counting::default();
        let speaking = |provider: &str, model: &str| speaking(format.clone(), provider, model);
        let request = large();
        let mut spellings = Spellings::of(&request);

        let first = spellings
            .spell(&request, &speaking("one", "a"), true)
            .expect("spelled");
        let same = spellings
            .spell(&request, &speaking("two", "a"), true)
            .expect("spelled");
        for model in 0..100 {
            let target = speaking("one", &model.to_string());
            assert_eq!(spellings.unsupported(&request, &target, true), None);
        }
        spellings
            .spell(&request, &speaking("three", "b"), true)
            .expect("spelled");

        assert_eq!(first.body.as_ptr(), same.body.as_ptr());
        assert_eq!(format.encodings.load(Ordering::Relaxed), 1);
        assert_eq!(format.checks.load(Ordering::Relaxed), 0);
        spellings.let_go();
        spellings
            .spell(&request, &speaking("one", "a"), true)
            .expect("spelled");
        assert_eq!(format.encodings.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn what_a_model_has_made_is_written_for_each_provider_by_itself() {
        let format = Counting::default();
        let call = Part::ToolCall(ToolCall {
            name: "look".to_owned(),
            ..ToolCall::default()
        });
        let mut request = large();
        request.messages.push(saying(Role::Assistant, call));
        let mut spellings = Spellings::of(&request);

        for provider in ["one", "two", "one"] {
            let target = speaking(format.clone(), provider, "a");
            spellings.spell(&request, &target, true).expect("spelled");
        }

        assert_eq!(format.encodings.load(Ordering::Relaxed), 2);
    }
}
