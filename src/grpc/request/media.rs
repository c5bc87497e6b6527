//! Images and documents: where their bytes are and what they are.

use std::fmt::Arguments;

use crate::chat::{ImageDetail, Media, MediaSource};
use crate::grpc::v1;

use super::Faults;

pub(super) fn media_of(
    media: v1::Media,
    field: Arguments<'_>,
    faults: &mut Faults<'_>,
) -> Option<Media> {
    let v1::Media {
        source,
        media_type,
        filename,
        detail,
    } = media;
    let legal_type = media_type
        .split_once('/')
        .is_some_and(|(kind, subtype)| !kind.is_empty() && !subtype.is_empty());
    let source = match source {
        Some(v1::media::Source::Data(data)) => {
            if data.is_empty() {
                faults.add(format_args!("{field}.data"), "must not be empty");
            }
            if !legal_type {
                faults.add(
                    format_args!("{field}.media_type"),
                    "name the media type of the data, such as `image/png`",
                );
            }
            MediaSource::Data(data)
        }
        Some(v1::media::Source::Uri(uri)) => {
            if !["https://", "http://", "gs://"]
                .iter()
                .any(|scheme| uri.starts_with(scheme))
            {
                faults.add(format_args!("{field}.uri"), "must begin with `https://`, `http://` or `gs://`; send other content as `data`");
            }
            if !media_type.is_empty() && !legal_type {
                faults.add(
                    format_args!("{field}.media_type"),
                    "must look like `image/png`",
                );
            }
            MediaSource::Uri(uri)
        }
        None => {
            faults.add(field, "set `data` or `uri`");
            return None;
        }
    };
    let detail = match v1::ImageDetail::try_from(detail) {
        Ok(v1::ImageDetail::Unspecified) => ImageDetail::Auto,
        Ok(v1::ImageDetail::Low) => ImageDetail::Low,
        Ok(v1::ImageDetail::High) => ImageDetail::High,
        Err(_) => {
            faults.add(
                format_args!("{field}.detail"),
                "use IMAGE_DETAIL_LOW or IMAGE_DETAIL_HIGH, or leave it out",
            );
            ImageDetail::Auto
        }
    };
    Some(Media {
        source,
        media_type,
        filename,
        detail,
    })
}
