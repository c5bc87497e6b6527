//! How does a piece of a request get fields in the provider's own words?

use std::borrow::Cow;
use std::fmt::Arguments;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::chat::ProviderOptions;
use crate::error::Unsupported;
use crate::wire::Adaptations;
use crate::wire::options::{OptionsPlace, Words};

/// A part, a tool or a declaration of a request.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Piece<'a, T> {
    /// As this format writes it.
    Own(T),
    /// In the provider's own words, in whole or in part.
    Worded(Cow<'a, RawValue>),
}

impl<T: Serialize> Piece<'_, T> {
    /// What this format writes, with those of the options that the target is sent.
    ///
    /// # Errors
    /// As [`Words::chosen`] and [`Words::extended`].
    pub(super) fn with_options(
        own: T,
        options: &[ProviderOptions],
        place: OptionsPlace,
        path: Arguments<'_>,
        words: &Words<'_>,
        adaptations: &mut Adaptations,
    ) -> Result<Self, Unsupported> {
        Ok(match words.chosen(options, place, path, adaptations)? {
            None => Self::Own(own),
            Some(fields) => Self::Worded(Cow::Owned(Words::extended(&own, &fields, path)?)),
        })
    }
}
