//! How are parts extended by what the request says of them in the provider's own words?

use serde::Serialize;

use crate::chat::{Marks, PartAt};
use crate::error::Unsupported;
use crate::wire::Adaptations;
use crate::wire::options::{OptionsPlace, Words};

use super::piece::Piece;
use super::refused;
use super::request::Part;

/// Adds to parts what the request says of them in the provider's own words.
pub(super) struct Worder<'a> {
    /// Config name of the provider that the request goes to.
    pub(super) provider: &'a str,
    words: Words<'a>,
    /// `None` if no part has any mark, which is nearly always so.
    marks: Option<&'a Marks>,
    pub(super) adaptations: Adaptations,
}

impl<'a> Worder<'a> {
    /// For requests to this provider. `marks` is `None` if no part has any, which is nearly always so.
    pub(super) fn new(provider: &'a str, words: Words<'a>, marks: Option<&'a Marks>) -> Self {
        Self {
            provider,
            words,
            marks,
            adaptations: Adaptations::default(),
        }
    }

    /// A part with its options.
    pub(super) fn piece<T: Serialize>(
        &mut self,
        part: T,
        at: PartAt,
    ) -> Result<Piece<'a, T>, Unsupported> {
        let Some(mark) = self.marks.and_then(|marks| marks.at(at)) else {
            return Ok(Piece::Own(part));
        };
        Piece::with_options(
            part,
            &mark.options,
            OptionsPlace::Part,
            format_args!("{at}.provider_options"),
            &self.words,
            &mut self.adaptations,
        )
    }

    /// Refuses options of a text in a tool result: it is no part of its own.
    pub(super) fn refuse_options(&mut self, at: PartAt) -> Result<(), Unsupported> {
        match self.piece(Part::default(), at)? {
            Piece::Own(_) => Ok(()),
            Piece::Worded(_) => Err(refused(
                "messages.parts.tool_result.content.provider_options",
                "this provider takes no options of a text in a tool result",
            )),
        }
    }
}
