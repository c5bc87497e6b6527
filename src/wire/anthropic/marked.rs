//! How do a block and a tool carry what is said of them besides their content: a cache breakpoint, and fields in the
//! provider's own words?

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::chat::{CacheRetention, Mark};
use crate::error::Unsupported;
use crate::wire::Adaptations;
use crate::wire::options::{OptionsPlace, Words};

/// The most breakpoints that the API takes:
/// <https://platform.claude.com/docs/en/build-with-claude/prompt-caching>.
const MOST_BREAKPOINTS: usize = 4;

/// A block or a tool with its mark. Nearly always it has none.
pub(super) struct Marked<'a, T> {
    pub(super) piece: T,
    mark: Option<Box<SpelledMark<'a>>>,
}

struct SpelledMark<'a> {
    /// The path of the piece in the request.
    path: String,
    cache: Option<CacheControl>,
    /// Fields in the provider's words, until they are added.
    words: Option<Cow<'a, RawValue>>,
    /// The piece with everything that is said of it, where that is not merely a breakpoint.
    whole: Option<Box<RawValue>>,
}

/// What a mark can be added to.
pub(super) trait Piece: Serialize {
    /// Whether it is written as a provider or a caller worded it.
    fn is_verbatim(&self) -> bool;

    /// Why the provider refuses a breakpoint here, if it does.
    fn refuses_cache(&self) -> Option<&'static str> {
        None
    }
}

/// Where a prompt is kept up to, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "ephemeral")]
pub(super) struct CacheControl {
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

const AN_HOUR: &str = "1h";

impl CacheControl {
    pub(super) fn of(retention: CacheRetention) -> Self {
        Self {
            ttl: match retention {
                CacheRetention::Default => None,
                CacheRetention::Short => Some("5m"),
                CacheRetention::Long => Some(AN_HOUR),
            },
        }
    }

    fn is_long(self) -> bool {
        self.ttl == Some(AN_HOUR)
    }
}

/// Spells the marks of one request.
#[derive(Clone, Copy)]
pub(super) struct Marking<'a> {
    pub(super) words: Words<'a>,
    /// How long breakpoints keep a prompt that do not say it themselves.
    pub(super) retention: Option<CacheRetention>,
}

impl<'a, T> Marked<'a, T> {
    /// A piece of which nothing is said.
    pub(super) fn plain(piece: T) -> Self {
        Self { piece, mark: None }
    }
}

impl<'a, T: Piece> Marked<'a, T> {
    /// A piece with its mark, whose path in the request is `path`.
    ///
    /// # Errors
    /// The provider cannot be sent its options.
    pub(super) fn new(
        piece: T,
        mark: &'a Mark,
        path: String,
        place: OptionsPlace,
        marking: Marking<'_>,
        adaptations: &mut Adaptations,
    ) -> Result<Self, Unsupported> {
        let Mark { cache, options } = mark;
        let mut cache = *cache;
        if let (Some(why), Some(_)) = (piece.refuses_cache(), cache) {
            adaptations.note(format!("{path}.cache_breakpoint"), why);
            cache = None;
        }
        let retention = |own| match (own, marking.retention) {
            (CacheRetention::Default, Some(of_request)) => of_request,
            (own, _) => own,
        };
        let options_path = format_args!("{path}.provider_options");
        let words = marking
            .words
            .chosen(options, place, options_path, adaptations)?;
        let mark = SpelledMark {
            cache: cache.map(|own| CacheControl::of(retention(own))),
            words,
            whole: None,
            path,
        };
        Ok(Self {
            piece,
            mark: Some(Box::new(mark)),
        })
    }

    /// Its breakpoint, with the path of the piece.
    pub(super) fn breakpoint(&mut self) -> Option<Breakpoint<'_>> {
        let SpelledMark { path, cache, .. } = self.mark.as_deref_mut()?;
        cache.is_some().then_some(Breakpoint { path, cache })
    }

    /// Adds the fields in the provider's words, once it is settled which breakpoints remain.
    ///
    /// # Errors
    /// The piece has one of the fields already.
    pub(super) fn finish(&mut self) -> Result<(), Unsupported> {
        let Some(mark) = self.mark.as_deref_mut() else {
            return Ok(());
        };
        let SpelledMark {
            path,
            cache,
            words,
            whole,
        } = mark;
        if self.piece.is_verbatim()
            && let Some(cache) = cache
        {
            let field = serde_json::value::to_raw_value(&CacheField {
                cache_control: *cache,
            });
            let field = field.map_err(|_| super::value("cache_breakpoint", "it has no JSON"))?;
            let path = format_args!("{path}.cache_breakpoint");
            *whole = Some(Words::extended(&self.piece, &field, path)?);
        }
        if let Some(words) = words.take() {
            let path = format_args!("{path}.provider_options");
            *whole = Some(match (&*whole, cache) {
                (Some(whole), _) => Words::extended(whole, &words, path)?,
                (None, Some(cache)) => {
                    Words::extended(&with_cache(&self.piece, *cache), &words, path)?
                }
                (None, None) => Words::extended(&self.piece, &words, path)?,
            });
        }
        Ok(())
    }
}

impl<T: Serialize> Serialize for Marked<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.mark.as_deref() {
            Some(SpelledMark {
                whole: Some(whole), ..
            }) => whole.serialize(serializer),
            Some(SpelledMark {
                cache: Some(cache), ..
            }) => with_cache(&self.piece, *cache).serialize(serializer),
            _ => self.piece.serialize(serializer),
        }
    }
}

#[derive(Serialize)]
struct CacheField {
    cache_control: CacheControl,
}

#[derive(Serialize)]
struct WithCache<'p, T> {
    #[serde(flatten)]
    piece: &'p T,
    cache_control: CacheControl,
}

fn with_cache<T>(piece: &T, cache_control: CacheControl) -> WithCache<'_, T> {
    WithCache {
        piece,
        cache_control,
    }
}

/// A breakpoint of a request, and where it stands.
pub(super) struct Breakpoint<'m> {
    path: &'m str,
    cache: &'m mut Option<CacheControl>,
}

/// Makes the breakpoints of a request, in the order of the prompt, such that the API takes them: few, and none that
/// keeps the prompt longer than one before it.
pub(super) fn settle(breakpoints: &mut [Breakpoint<'_>], adaptations: &mut Adaptations) {
    let too_many = breakpoints.len().saturating_sub(MOST_BREAKPOINTS);
    let (first, kept) = breakpoints.split_at_mut(too_many);
    for Breakpoint { path, cache } in first {
        **cache = None;
        adaptations.note(
            format!("{path}.cache_breakpoint"),
            "left out: the provider takes at most 4 breakpoints, and the last ones are kept",
        );
    }
    let is_long = |breakpoint: &Breakpoint<'_>| breakpoint.cache.is_some_and(CacheControl::is_long);
    let Some(last_long) = kept.iter().rposition(is_long) else {
        return;
    };
    for Breakpoint { path, cache } in kept.iter_mut().take(last_long) {
        let longer = Some(CacheControl::of(CacheRetention::Long));
        if **cache != longer {
            **cache = longer;
            adaptations.note(
                format!("{path}.cache_breakpoint"),
                "prolonged to an hour: the provider takes no shorter breakpoint before one of an hour",
            );
        }
    }
}
