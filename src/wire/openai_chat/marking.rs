//! How are marks written: that a prompt is worth keeping, and fields in the host's own words?

use std::fmt::Arguments;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::chat::{CacheRetention, Mark, Marks, PartAt, ProviderOptions};
use crate::error::Unsupported;
use crate::wire::options::{OptionsPlace, Words};
use crate::wire::{Adaptations, Recipient};

use super::{CacheMarks, Dialect, NAME};

/// Writes the marks of one request for one host.
#[derive(Clone, Copy)]
pub(super) struct Marking<'a> {
    words: Words<'a>,
    cache_marks: CacheMarks,
    /// `None` if no part has a mark.
    of_parts: Option<&'a Marks>,
    of_tools: &'a Marks,
}

/// A piece of a request and what is said of it.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Marked<T> {
    /// Nothing is said of it.
    Plain(T),
    /// The prompt up to here is worth keeping.
    Kept(Kept<T>),
    /// The piece with further fields.
    Extended(Box<RawValue>),
}

/// A piece up to which the prompt is worth keeping.
#[derive(Serialize)]
pub(super) struct Kept<T> {
    #[serde(flatten)]
    piece: T,
    #[serde(flatten)]
    cache: CacheMark,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum CacheMark {
    /// <https://openrouter.ai/docs/guides/best-practices/prompt-caching>
    CacheControl(CacheControl),
    /// <https://platform.openai.com/docs/guides/prompt-caching>
    PromptCacheBreakpoint(Breakpoint),
}

#[derive(Clone, Copy, Serialize)]
struct CacheControl {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

#[derive(Clone, Copy, Serialize)]
struct Breakpoint {
    mode: &'static str,
}

/// Which part is written, and what is said of it.
#[derive(Clone, Copy)]
pub(super) struct PartMark<'a> {
    at: PartAt,
    pub(super) cache: Option<CacheRetention>,
    options: &'a [ProviderOptions],
}

impl<'a> Marking<'a> {
    pub(super) fn new(dialect: &Dialect, marks: &'a Marks, to: &Recipient<'a>) -> Self {
        Self {
            words: Words::of(to, NAME),
            cache_marks: dialect.cache_marks,
            of_parts: marks.of_parts().next().map(|_| marks),
            of_tools: marks,
        }
    }

    /// What is said of a part; `None` if that is nothing.
    pub(super) fn of_part(&self, message: usize, part: usize) -> Option<PartMark<'a>> {
        let at = PartAt {
            message,
            part,
            content: None,
        };
        Some(PartMark::new(at, self.of_parts?.of_part(message, part)?))
    }

    /// What is said of a part of a tool result; `None` if that is nothing.
    pub(super) fn of_content(&self, result: PartAt, content: usize) -> Option<PartMark<'a>> {
        let PartAt { message, part, .. } = result;
        let at = PartAt {
            content: Some(content),
            ..result
        };
        let mark = self.of_parts?.of_content(message, part, content)?;
        Some(PartMark::new(at, mark))
    }

    /// The piece that a part is written as.
    pub(super) fn part<T: Serialize>(
        &self,
        piece: T,
        said: Option<PartMark<'a>>,
        adaptations: &mut Adaptations,
    ) -> Result<Marked<T>, Unsupported> {
        let Some(PartMark { at, cache, options }) = said else {
            return Ok(Marked::Plain(piece));
        };
        let cache = self.cache_mark(cache);
        let path = format_args!("{at}.provider_options");
        self.marked(piece, cache, options, OptionsPlace::Part, path, adaptations)
    }

    /// The definition that a tool is written as.
    pub(super) fn tool<T: Serialize>(
        &self,
        tool: T,
        index: usize,
        adaptations: &mut Adaptations,
    ) -> Result<Marked<T>, Unsupported> {
        let Some(Mark { cache, options }) = self.of_tools.of_tool(index) else {
            return Ok(Marked::Plain(tool));
        };
        let path = format_args!("tools[{index}].provider_options");
        let place = OptionsPlace::Tool;
        let cache = self.cache_of_tool(*cache);
        self.marked(tool, cache, options, place, path, adaptations)
    }

    /// The definition of a tool in the host's own words; `None` if it has no such tool and is asked without it.
    pub(super) fn provider_tool<T>(
        &self,
        definitions: &[ProviderOptions],
        index: usize,
        adaptations: &mut Adaptations,
    ) -> Result<Option<Marked<T>>, Unsupported> {
        let path = format_args!("tools[{index}].provider_tool.definitions");
        let place = OptionsPlace::ProviderTool;
        let chosen = self.words.chosen(definitions, place, path, adaptations)?;
        let Some(definition) = chosen else {
            return Ok(None);
        };
        let mark = self.of_tools.of_tool(index);
        let mut definition = definition.into_owned();
        if let Some(cache) = mark.and_then(|mark| self.cache_of_tool(mark.cache)) {
            let path = format_args!("tools[{index}].cache_breakpoint");
            let cache = serde_json::value::to_raw_value(&cache).map_err(|_| unwritable())?;
            definition = Words::extended(&definition, &cache, path)?;
        }
        let options = mark.map_or(&[][..], |mark| &mark.options);
        let path = format_args!("tools[{index}].provider_options");
        let fields = (self.words).chosen(options, OptionsPlace::Tool, path, adaptations)?;
        if let Some(fields) = fields {
            definition = Words::extended(&definition, &fields, path)?;
        }
        Ok(Some(Marked::Extended(definition)))
    }

    /// Refuses what is said of a part that is not written as one piece, as far as it is for this host.
    pub(super) fn nowhere(
        &self,
        said: Option<PartMark<'a>>,
        adaptations: &mut Adaptations,
    ) -> Result<(), Unsupported> {
        let Some(PartMark { at, cache, options }) = said else {
            return Ok(());
        };
        let PartAt { message, part, .. } = at;
        let path = format_args!("messages[{message}].parts[{part}].provider_options");
        if (self.words)
            .chosen(options, OptionsPlace::Part, path, adaptations)?
            .is_some()
        {
            return Err(Unsupported::Options {
                path: path.to_string(),
                why: "the provider is not sent this part as a piece of its own".into(),
            });
        }
        if self.cache_mark(cache).is_some() {
            note_unmarked(adaptations);
        }
        Ok(())
    }

    fn marked<T: Serialize>(
        &self,
        piece: T,
        cache: Option<CacheMark>,
        options: &[ProviderOptions],
        place: OptionsPlace,
        path: Arguments<'_>,
        adaptations: &mut Adaptations,
    ) -> Result<Marked<T>, Unsupported> {
        let fields = self.words.chosen(options, place, path, adaptations)?;
        let marked = match cache {
            Some(cache) => Marked::Kept(Kept { piece, cache }),
            None => Marked::Plain(piece),
        };
        match fields {
            Some(fields) => Ok(Marked::Extended(Words::extended(&marked, &fields, path)?)),
            None => Ok(marked),
        }
    }

    fn cache_mark(&self, retention: Option<CacheRetention>) -> Option<CacheMark> {
        let retention = retention?;
        match self.cache_marks {
            CacheMarks::None => None,
            CacheMarks::CacheControl => Some(CacheMark::CacheControl(CacheControl {
                r#type: "ephemeral",
                ttl: match retention {
                    CacheRetention::Default => None,
                    CacheRetention::Short => Some("5m"),
                    CacheRetention::Long => Some("1h"),
                },
            })),
            CacheMarks::PromptCacheBreakpoint => {
                Some(CacheMark::PromptCacheBreakpoint(Breakpoint {
                    mode: "explicit",
                }))
            }
        }
    }

    fn cache_of_tool(&self, retention: Option<CacheRetention>) -> Option<CacheMark> {
        match self.cache_marks {
            CacheMarks::CacheControl => self.cache_mark(retention),
            CacheMarks::None | CacheMarks::PromptCacheBreakpoint => None,
        }
    }
}

impl<'a> PartMark<'a> {
    fn new(at: PartAt, mark: &'a Mark) -> Self {
        Self {
            at,
            cache: mark.cache,
            options: &mark.options,
        }
    }

    /// That the prompt up to a part of a tool result is worth keeping.
    pub(super) fn kept(result: PartAt, content: usize, cache: CacheRetention) -> Self {
        Self {
            at: PartAt {
                content: Some(content),
                ..result
            },
            cache: Some(cache),
            options: &[],
        }
    }

    /// The same, and the prompt up to it is worth keeping.
    #[must_use]
    pub(super) fn or_kept(self, cache: CacheRetention) -> Self {
        Self {
            cache: self.cache.or(Some(cache)),
            ..self
        }
    }

    /// The same without the mark for the cache.
    #[must_use]
    pub(super) fn without_cache(self) -> Self {
        Self {
            cache: None,
            ..self
        }
    }
}

/// Records that the mark of a part has no place.
pub(super) fn note_unmarked(adaptations: &mut Adaptations) {
    adaptations.note(
        "messages.parts.cache_breakpoint",
        "left out: the provider is sent nothing here that could be marked",
    );
}

fn unwritable() -> Unsupported {
    Unsupported::Value {
        field: "tools",
        why: "it cannot be written as JSON",
    }
}
