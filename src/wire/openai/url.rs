//! Where are media for OpenAI: at a URL, which is written without a copy of them?

use std::fmt;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

use crate::chat::{Media, MediaSource};
use crate::wire::media_type;

/// Where media are, or the media themselves as a `data:` URL.
pub(in crate::wire) struct Url<'a>(&'a Media);

impl<'a> Url<'a> {
    pub(in crate::wire) fn of(media: &'a Media) -> Self {
        Self(media)
    }
}

impl fmt::Display for Url<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.source {
            MediaSource::Uri(uri) => f.write_str(uri),
            // A stored file has no URL; encoders name it by its id.
            MediaSource::File { provider: _, id } => f.write_str(id),
            MediaSource::Data(bytes) => {
                let base64 = Base64Display::new(bytes, &STANDARD);
                let media_type = media_type::registered(&self.0.media_type);
                write!(f, "data:{media_type};base64,{base64}")
            }
        }
    }
}

/// Bytes in base64, which are written without a copy of them.
pub(in crate::wire) struct Base64<'a>(pub(in crate::wire) &'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

impl Serialize for Url<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
