//! What does a request need from a target, as far as one look at it shows? Found once for each call. Pure.

use crate::chat::{ChatRequest, Media, MediaSource, Message, Part, ProviderOptions, Role, Tool};
use crate::error::Unsupported;
use crate::features::{Feature, Features, features_of};

/// What a request needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The features that it uses.
    pub(super) used: Features,
    /// How many output tokens it asks for.
    pub(super) max_output_tokens: Option<u32>,
    /// Whether it asked for more output tokens than its scenario allows.
    pub(super) is_shortened: bool,
    /// What it needs that only one provider has, with that provider's name; nearly always nothing.
    pub(super) kept: Vec<(ProviderOwned, String)>,
    /// Whether it says anything that a provider may charge for besides tokens, or at other prices.
    pub(super) may_cost_extra: bool,
}

/// Something that only one provider has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProviderOwned {
    /// The rest of the answer with which the conversation ends.
    Answer,
    /// A stored file.
    File,
}

impl Needs {
    /// What this request needs.
    pub fn of(request: &ChatRequest) -> Self {
        let used = features_of(request);
        let mut kept = Vec::new();
        kept.extend(
            continued(request).map(|provider| (ProviderOwned::Answer, provider.to_owned())),
        );
        if used.contains(Feature::StoredFile) {
            for_each_file(&request.messages, |_, provider| {
                if !kept.iter().any(|(_, known)| known == provider) {
                    kept.push((ProviderOwned::File, provider.to_owned()));
                }
            });
        }
        Self {
            used,
            max_output_tokens: request.sampling.max_output_tokens,
            is_shortened: false,
            kept,
            may_cost_extra: request.service_tier.is_some()
                || has_options(request)
                || request.tools.iter().any(|tool| tool.function().is_none()),
        }
    }

    /// What a provider cannot have because another one has it.
    pub(super) fn kept_from(&self, own: &str) -> Option<Unsupported> {
        let (kept, provider) = self.kept.iter().find(|(_, provider)| provider != own)?;
        Some(Unsupported::Elsewhere {
            provider: provider.clone(),
            what: match kept {
                ProviderOwned::Answer => "can continue the answer with which the conversation ends",
                ProviderOwned::File => "has a file that the request names",
            },
        })
    }
}

/// Whether a request says anything in a provider's own words.
pub(super) fn has_options(request: &ChatRequest) -> bool {
    let mut tools = request.tools.iter();
    !request.options.is_empty()
        || request.marks.has_options()
        || tools.any(|tool| matches!(tool, Tool::Provider(_)))
}

/// Whether a request may make a provider of this wire format charge for what the usage of its answer does not tell: for
/// runs of tools that are not counted, or by fields in the provider's own words.
pub(super) fn may_be_charged_extra(request: &ChatRequest, provider: &str, format: &str) -> bool {
    let fit = |options: &[ProviderOptions]| {
        let mut targets = options.iter().map(|entry| &entry.target);
        targets.any(|of| of == provider || of == format)
    };
    let of_parts = request.marks.of_parts().map(|(_, mark)| mark);
    let mut marks = of_parts.chain(request.marks.of_tools().map(|(_, mark)| mark));
    let mut tools = request.tools.iter();
    fit(&request.options)
        || marks.any(|mark| fit(&mark.options))
        || tools.any(|tool| match tool {
            Tool::Function(_) => false,
            // An answer in another format reports how often they ran, and so what is charged for them.
            Tool::WebSearch(_) | Tool::CodeExecution => format == "openai_chat",
            Tool::Provider(definitions) => fit(definitions),
        })
}

/// The provider whose answer the conversation ends with, for that provider to continue.
fn continued(request: &ChatRequest) -> Option<&str> {
    let last = request.messages.last()?;
    if last.role != Role::Assistant {
        return None;
    }
    last.parts.iter().rev().find_map(|part| match part {
        Part::Provider(part) => Some(&*part.provider),
        Part::Text(_)
        | Part::Image(_)
        | Part::Document(_)
        | Part::Audio(_)
        | Part::Video(_)
        | Part::ToolCall(_)
        | Part::ToolResult(_)
        | Part::Reasoning(_)
        | Part::Refusal(_) => None,
    })
}

/// Passes each stored file of users' messages and tool results to `visit`: its path in the contract and its provider.
/// A target that cannot be sent a file of an earlier answer is asked without it.
pub(super) fn for_each_file(messages: &[Message], mut visit: impl FnMut(String, &str)) {
    for (index, message) in messages.iter().enumerate() {
        if message.role == Role::Assistant {
            continue;
        }
        for (position, part) in message.parts.iter().enumerate() {
            let path = || format!("messages[{index}].parts[{position}]");
            if let Some((kind, provider)) = file_of(part) {
                visit(format!("{}.{kind}.file.provider", path()), provider);
            }
            let Part::ToolResult(result) = part else {
                continue;
            };
            for (content, part) in result.content.iter().enumerate() {
                if let Some((kind, provider)) = file_of(part) {
                    let path = format!("{}.tool_result.content[{content}]", path());
                    visit(format!("{path}.{kind}.file.provider"), provider);
                }
            }
        }
    }
}

/// The name of the part's field in the contract and the provider of its file, if it is one.
fn file_of(part: &Part) -> Option<(&'static str, &str)> {
    let (kind, media): (_, &Media) = match part {
        Part::Image(media) => ("image", media),
        Part::Document(media) => ("document", media),
        Part::Audio(media) => ("audio", media),
        Part::Video(media) => ("video", media),
        Part::Text(_)
        | Part::ToolCall(_)
        | Part::ToolResult(_)
        | Part::Reasoning(_)
        | Part::Refusal(_)
        | Part::Provider(_) => return None,
    };
    match &media.source {
        MediaSource::File { provider, id: _ } => Some((kind, provider)),
        MediaSource::Data(_) | MediaSource::Uri(_) => None,
    }
}
