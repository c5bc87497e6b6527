//! What does a call ask, and which targets could answer it if they were healthy?

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::chat::{ChatRequest, Role, ServiceTier, Usage};
use crate::error::{Error, Unsupported};
use crate::money::PromptSize;
use crate::trail::Skip;
use crate::wire::WireRequest;
use crate::workshop::Workshop;

use super::needs::{Needs, may_be_charged_extra};
use super::plan::eligibility;
use super::spellings::{Spellings, spelled};
use super::target::{Target, UpstreamMode};

/// A request, shared by its call and the permits of its attempts.
pub(crate) struct AskedRequest {
    pub(crate) request: Arc<ChatRequest>,
    /// What it needs.
    pub(crate) needs: Needs,
    /// Whether the caller wants the complete answer rather than its events.
    pub(crate) whole: bool,
    /// About how much memory it takes, in bytes.
    pub(crate) bytes: usize,
    /// The id of its call; empty if it is no call.
    pub(crate) call_id: Arc<str>,
    /// Found when it is first asked for.
    size: OnceLock<PromptSize>,
    /// Never contended: only this call locks it, and it waits while another thread does so for it.
    spellings: Mutex<Spellings>,
}

impl AskedRequest {
    pub(crate) fn new(
        request: Arc<ChatRequest>,
        needs: Needs,
        whole: bool,
        bytes: usize,
        call_id: &str,
    ) -> Self {
        Self {
            call_id: call_id.into(),
            needs,
            size: OnceLock::new(),
            spellings: Mutex::new(Spellings::of(&request)),
            request,
            whole,
            bytes,
        }
    }

    /// How large the prompt is.
    pub(super) fn size(&self) -> &PromptSize {
        self.size.get_or_init(|| PromptSize::of(&self.request))
    }

    /// What a target lacks that the request needs. Cheap: the request itself is not looked at.
    pub(crate) fn lacked_by(&self, target: &Target) -> Option<Skip> {
        eligibility::ineligible(target, &self.needs)
    }

    /// Whether a target could answer: it lacks nothing, and its format can express the request.
    pub(crate) fn can_be_put_to(&self, target: &Arc<Target>) -> bool {
        let supported = || {
            let stream = self.wants_stream_of(target);
            self.spellings()
                .unsupported(&self.request, target, stream)
                .is_none()
        };
        self.lacked_by(target).is_none() && supported()
    }

    /// Finds out to which of these targets a large request can be put, where that delays no other call. It is known
    /// from then on.
    ///
    /// # Errors
    /// The work was broken off.
    pub(super) async fn check_all(
        self: Arc<Self>,
        targets: Vec<Arc<Target>>,
        workshop: &Workshop,
    ) -> Result<(), Error> {
        let bytes = self.bytes;
        let checking = move || {
            for target in &targets {
                self.can_be_put_to(target);
            }
            Ok(())
        };
        workshop.work(bytes, checking).await
    }

    /// The request in a target's wire format; `None` if it is so large that [`AskedRequest::spell_heavy`] has to write it.
    ///
    /// # Errors
    /// Why the target's format cannot express it.
    pub(crate) fn spell(&self, target: &Arc<Target>) -> Result<Option<WireRequest>, Unsupported> {
        let stream = self.wants_stream_of(target);
        let mut spellings = self.spellings();
        if !Workshop::is_heavy(self.bytes) {
            return spellings.spell(&self.request, target, stream).map(Some);
        }
        match spellings.unsupported(&self.request, target, stream) {
            Some(why) => Err(why),
            None => Ok(None),
        }
    }

    /// The request in a target's wire format, written where that delays no other call.
    ///
    /// # Errors
    /// The target's format said that it can express the request, but it cannot.
    pub(crate) async fn spell_heavy(
        &self,
        target: &Arc<Target>,
        workshop: &Workshop,
        cap: Option<u32>,
    ) -> Result<WireRequest, Error> {
        let stream = self.wants_stream_of(target);
        let (request, target) = (Arc::clone(&self.request), Arc::clone(target));
        let spelling = move || {
            Ok(match cap {
                Some(tokens) => spelled(&shortened(&request, tokens), &target, stream),
                None => spelled(&request, &target, stream),
            })
        };
        let spelled = workshop.work(self.bytes, spelling).await?;
        spelled
            .map_err(|_| Error::Internal("a wire format cannot write a request that it accepted"))
    }

    /// The request in a target's wire format, for an answer of at most so many tokens.
    ///
    /// # Errors
    /// Why the target's format cannot express it.
    pub(super) fn spell_shortened(
        &self,
        target: &Target,
        tokens: u32,
    ) -> Result<WireRequest, Unsupported> {
        let stream = self.wants_stream_of(target);
        spelled(&shortened(&self.request, tokens), target, stream)
    }

    /// Whether it asks for parts of the prompt to be kept in a cache.
    pub(super) fn writes_cache(&self) -> bool {
        let marks = &self.request.marks;
        let of_parts = marks.of_parts().map(|(_, mark)| mark);
        let mut marks = of_parts.chain(marks.of_tools().map(|(_, mark)| mark));
        marks.any(|mark| mark.cache.is_some())
    }

    /// Whether a target's provider may charge for something that the usage of its answer does not tell.
    pub(super) fn may_cost_more(&self, target: &Target, usage: Option<&Usage>) -> bool {
        if !self.needs.may_cost_extra {
            return false;
        }
        // Of a tier that was asked for, it is not known that it was used unless the provider says so.
        let is_tier_known = usage.is_some_and(|usage| usage.service_tier.is_some())
            || matches!(
                self.request.service_tier,
                None | Some(ServiceTier::Standard)
            );
        let (provider, format) = (&target.provider.name, target.wire_format.name());
        !is_tier_known || may_be_charged_extra(&self.request, provider, format)
    }

    /// Whether it answers a model's call of a tool.
    pub(super) fn ends_with_tool_result(&self) -> bool {
        let last = self.request.messages.last();
        last.is_some_and(|message| message.role == Role::Tool)
    }

    /// Whether a target is asked for a stream.
    pub(crate) fn wants_stream_of(&self, target: &Target) -> bool {
        !self.whole || target.upstream_mode == UpstreamMode::Stream
    }

    fn spellings(&self) -> MutexGuard<'_, Spellings> {
        self.spellings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same request for an answer of at most so many tokens.
fn shortened(request: &ChatRequest, tokens: u32) -> ChatRequest {
    let mut request = request.clone();
    request.sampling.max_output_tokens = Some(tokens);
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{ProviderOptions, ServedTier};
    use crate::dispatch::specimens::{asked_for, target};

    #[test]
    fn a_tier_that_was_asked_for_is_known_only_if_the_provider_tells_one() {
        use ServiceTier::{Priority, Standard};
        // The tier that was asked for, the tier that was reported, whether the usage determines the cost.
        let table = [
            (None, None, true),
            (Some(Standard), None, true),
            (Some(Priority), None, false),
            (Some(Priority), Some(ServedTier::Known(Priority)), true),
            (Some(Priority), Some(ServedTier::Known(Standard)), true),
        ];
        for (service_tier, told, is_known) in table {
            let asked = asked_for(ChatRequest {
                service_tier,
                ..ChatRequest::default()
            });
            let usage = Usage {
                service_tier: told,
                ..Usage::default()
            };

            let known = !asked.may_cost_more(&target("one"), Some(&usage));

            assert_eq!(known, is_known, "{service_tier:?} {told:?}");
        }
    }

    #[test]
    fn options_leave_the_cost_open_only_for_targets_that_are_sent_them() {
        let own = target("one");
        for (of, is_known) in [
            (own.provider.name.as_str(), false),
            (own.wire_format.name(), false),
            ("another", true),
        ] {
            let options = ProviderOptions {
                target: of.to_owned(),
                fields: "{}".to_owned(),
                optional: true,
            };
            let asked = asked_for(ChatRequest {
                options: vec![options],
                ..ChatRequest::default()
            });

            let known = !asked.may_cost_more(&own, Some(&Usage::default()));

            assert_eq!(known, is_known, "{of}");
        }
    }
}
