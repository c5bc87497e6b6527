//! Which of a request's fields in providers' own words is a target sent?

use std::borrow::Cow;
use std::fmt::Arguments;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::chat::{ChatRequest, ProviderOptions};
use crate::error::Unsupported;

use super::merge::{merge, overlay};
use super::{Adaptations, Recipient, WireRequest};

mod allowed;
mod lists;
mod members;
mod reserved;

pub use self::allowed::{AllowedOptions, NO_OPTIONS};
pub use self::lists::{OptionsList, lists};
pub use self::reserved::{Because, Forbidden, WIRE_FORMATS, forbidden};

/// Where options stand in a request; the operator allows paths that begin so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionsPlace {
    /// The request itself.
    Request,
    /// A part of a message.
    Part,
    /// A function, or a typed tool of the provider.
    Tool,
    /// The whole definition of a tool of the provider.
    ProviderTool,
}

/// Chooses what one target is sent.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    provider: &'a str,
    format: &'static str,
    allowed: &'a AllowedOptions,
}

impl<'a> Words<'a> {
    /// For a target whose wire format has this name.
    pub fn of(to: &Recipient<'a>, format: &'static str) -> Self {
        Self {
            provider: to.provider,
            format,
            allowed: to.options,
        }
    }

    /// The fields of a list that the target is sent, if there are any. What entries for the wire format and for the
    /// provider both say is said by the one for the provider.
    ///
    /// # Errors
    /// An entry is not optional, and none fits the target; or the operator does not allow a field of one that does.
    pub fn chosen<'o>(
        &self,
        options: &'o [ProviderOptions],
        place: OptionsPlace,
        path: Arguments<'_>,
        adaptations: &mut Adaptations,
    ) -> Result<Option<Cow<'o, RawValue>>, Unsupported> {
        if options.is_empty() {
            return Ok(None);
        }
        let mut chosen: Option<Cow<'o, RawValue>> = None;
        let mut has_fitting = false;
        for target in [self.format, self.provider] {
            for (index, entry) in options.iter().enumerate() {
                let ProviderOptions {
                    target: of,
                    fields,
                    optional,
                } = entry;
                if of != target {
                    continue;
                }
                has_fitting = true;
                let refused = |why: &'static str| Unsupported::Options {
                    path: format!("{path}[{index}].fields"),
                    why: why.into(),
                };
                let fields: &RawValue =
                    serde_json::from_str(fields).map_err(|_| refused("it is no JSON object"))?;
                if let Err(field) = self.allowed.check(place, fields) {
                    let path = format!("{path}[{index}].fields.{field}");
                    if *optional {
                        adaptations.note(path, "left out: the operator does not allow it");
                        continue;
                    }
                    return Err(Unsupported::Options {
                        path,
                        why: "the operator does not allow it".into(),
                    });
                }
                chosen = Some(match chosen {
                    None => Cow::Borrowed(fields),
                    Some(lower) => Cow::Owned(
                        overlay(&lower, fields)
                            .map_err(|_| refused("it nests objects too deep"))?,
                    ),
                });
            }
            if self.format == self.provider {
                break;
            }
        }
        if !has_fitting {
            if options.iter().any(|entry| !entry.optional) {
                return Err(Unsupported::Options {
                    path: path.to_string(),
                    why: "none of it is for this provider or its wire format".into(),
                });
            }
            let why = "left out: none of it is for this provider or its wire format";
            adaptations.note(path.to_string(), why);
        }
        Ok(chosen)
    }

    /// A piece of a request with fields in the provider's words.
    ///
    /// # Errors
    /// The piece has one of the fields already.
    pub fn extended(
        piece: &impl Serialize,
        fields: &RawValue,
        path: Arguments<'_>,
    ) -> Result<Box<RawValue>, Unsupported> {
        let refused = |why: &'static str| Unsupported::Options {
            path: path.to_string(),
            why: why.into(),
        };
        let piece =
            serde_json::to_vec(piece).map_err(|_| refused("it cannot be written as JSON"))?;
        let extended = added(piece, fields, path)?;
        let extended =
            String::from_utf8(extended).map_err(|_| refused("it cannot be written as JSON"))?;
        RawValue::from_string(extended).map_err(|_| refused("it cannot be written as JSON"))
    }
}

/// Adds the request's own options to what is sent.
///
/// # Errors
/// As [`Words::chosen`], and if what is sent has one of the fields already.
pub fn with_options(
    mut wire: WireRequest,
    request: &ChatRequest,
    to: &Recipient<'_>,
    format: &'static str,
) -> Result<WireRequest, Unsupported> {
    let path = format_args!("provider_options");
    let mut adaptations = Adaptations(std::mem::take(&mut wire.adaptations));
    let words = Words::of(to, format);
    let fields = words.chosen(
        &request.options,
        OptionsPlace::Request,
        path,
        &mut adaptations,
    )?;
    wire.adaptations = adaptations.0;
    if let Some(fields) = fields {
        wire.body = added(wire.body.into(), &fields, path)?.into();
    }
    Ok(wire)
}

fn added(piece: Vec<u8>, fields: &RawValue, path: Arguments<'_>) -> Result<Vec<u8>, Unsupported> {
    merge(piece, &[fields]).map_err(|collision| Unsupported::Options {
        path: format!("{path}: {}", collision.path),
        why: "the rest of the request says this already".into(),
    })
}

#[cfg(test)]
mod tests;
