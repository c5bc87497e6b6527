//! Which targets of a call can express its request? The answer is remembered for all targets that would get the same
//! body.
//!
//! Bodies are not kept, so that a large request is in memory only once while its call waits.

use std::sync::Arc;

use crate::chat::{ChatRequest, MediaSource, Part};
use crate::error::Unsupported;
use crate::wire::merge::Collision;
use crate::wire::options::with_options;
use crate::wire::{Recipient, WireRequest};

use super::needs::has_options;
use super::target::Target;

/// What is known about one request and the targets it may be sent to. There are few formats and dialects, but there may
/// be many targets.
pub(super) struct Spellings {
    /// Whether what is sent depends on the provider's name: the request contains parts that only the provider that made
    /// them may get, or fields in a provider's own words.
    depends_on_provider: bool,
    known: Vec<KnownSpelling>,
}

/// Whether the request can be sent to one target.
struct KnownSpelling {
    target: Arc<Target>,
    stream: bool,
    unsupported: Option<Unsupported>,
}

impl Spellings {
    /// Starts with nothing known about this request. Pass the same request to the other methods.
    pub(super) fn of(request: &ChatRequest) -> Self {
        Self {
            depends_on_provider: depends_on_provider(request),
            known: Vec::new(),
        }
    }

    /// Why a target's format cannot express the request; `None` if it can. Finds out without writing the body.
    pub(super) fn unsupported(
        &mut self,
        request: &ChatRequest,
        target: &Arc<Target>,
        stream: bool,
    ) -> Option<Unsupported> {
        if let Some(known) = self.known_of(target, stream) {
            return known.unsupported.clone();
        }
        let format = &target.wire_format;
        let unsupported = match &target.body {
            None if request.options.is_empty() => {
                format.check(request, &recipient(target, stream)).err()
            }
            // Only the whole body shows which fields are set twice.
            _ => spelled(request, target, stream).err(),
        };
        self.learn(target, stream, unsupported.clone());
        unsupported
    }

    /// The request in a target's wire format.
    ///
    /// # Errors
    /// Why the target's format cannot express it.
    pub(super) fn spell(
        &mut self,
        request: &ChatRequest,
        target: &Arc<Target>,
        stream: bool,
    ) -> Result<WireRequest, Unsupported> {
        let known = self.known_of(target, stream);
        let is_known = known.is_some();
        if let Some(why) = known.and_then(|known| known.unsupported.clone()) {
            return Err(why);
        }
        let spelled = spelled(request, target, stream);
        if !is_known {
            // A success is worth knowing, too: an alternative with the same format need not be checked then.
            self.learn(target, stream, spelled.as_ref().err().cloned());
        }
        spelled
    }

    fn learn(&mut self, target: &Arc<Target>, stream: bool, unsupported: Option<Unsupported>) {
        self.known.push(KnownSpelling {
            target: Arc::clone(target),
            stream,
            unsupported,
        });
    }

    /// What is known of a target that would be sent the same body, except for the model's name.
    fn known_of(&self, target: &Arc<Target>, stream: bool) -> Option<&KnownSpelling> {
        self.known.iter().find(|known| {
            let (one, other) = (&known.target.provider, &target.provider);
            let spelling = known
                .target
                .wire_format
                .spelling(&recipient(&known.target, known.stream));
            (!self.depends_on_provider || one.name == other.name)
                && known.target.body == target.body
                && spelling == target.wire_format.spelling(&recipient(target, stream))
        })
    }
}

/// The request in a target's wire format.
///
/// # Errors
/// Why the target's format cannot express it.
pub(super) fn spelled(
    request: &ChatRequest,
    target: &Target,
    stream: bool,
) -> Result<WireRequest, Unsupported> {
    let to = recipient(target, stream);
    let format = &target.wire_format;
    let mut wire = format.encode(request, &to)?;
    if let Some(paths) = &target.paths {
        wire.path = paths.path(&target.model, stream);
    }
    if let Some(fields) = &target.body {
        let merged = fields.merge_into(wire.body.into());
        let collision = |Collision { path }| Unsupported::Configured { path };
        wire.body = merged.map_err(collision)?.into();
    }
    match request.options.is_empty() {
        true => Ok(wire),
        false => with_options(wire, request, &to, format.name()),
    }
}

impl Target {
    /// A request in its wire format, with its own path and fields.
    ///
    /// # Errors
    /// Why its format cannot express the request.
    pub fn spelled(&self, request: &ChatRequest, stream: bool) -> Result<WireRequest, Unsupported> {
        spelled(request, self, stream)
    }
}

/// Whether what is sent depends on the provider's name.
fn depends_on_provider(request: &ChatRequest) -> bool {
    let mut parts = request.messages.iter().flat_map(|message| &message.parts);
    has_options(request) || parts.any(is_of_provider)
}

/// Whether only one provider can be sent this part.
fn is_of_provider(part: &Part) -> bool {
    match part {
        Part::Reasoning(_) | Part::ToolCall(_) | Part::Provider(_) => true,
        Part::Image(media) | Part::Document(media) | Part::Audio(media) | Part::Video(media) => {
            matches!(media.source, MediaSource::File { .. })
        }
        Part::ToolResult(result) => result.content.iter().any(is_of_provider),
        Part::Text(_) | Part::Refusal(_) => false,
    }
}

fn recipient(target: &Target, stream: bool) -> Recipient<'_> {
    Recipient {
        provider: &target.provider.name,
        model: &target.model,
        max_output_tokens: target.max_output_tokens,
        stream,
        options: &target.provider.options,
    }
}

#[cfg(test)]
mod tests;
