//! How are images, documents and other media parsed: where they are, and their media type?

use std::fmt::Arguments;

use crate::chat::{ImageDetail, Media, MediaSource};
use crate::check::Faults;
use crate::grpc::v1;

pub(super) fn media_of(
    media: v1::Media,
    field: Arguments<'_>,
    faults: &mut Faults,
) -> Option<Media> {
    let v1::Media {
        source,
        media_type,
        filename,
        detail,
    } = media;
    let source = match source {
        Some(v1::media::Source::Data(data)) => MediaSource::Data(data),
        Some(v1::media::Source::Uri(uri)) => MediaSource::Uri(uri),
        Some(v1::media::Source::File(v1::ProviderFile { provider, id })) => {
            MediaSource::File { provider, id }
        }
        None => {
            faults.add(field, "set `data`, `uri` or `file`");
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
