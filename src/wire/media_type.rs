//! Media types by the names that every provider knows.

use std::borrow::Cow;

/// The media type of an image or a document, by its registered name: callers write `image/jpg`, and
/// capital letters and parameters, which hosts refuse
/// (<https://github.com/mealie-recipes/mealie/issues/5897>). The parameters of text stay.
pub(super) fn registered(media_type: &str) -> Cow<'_, str> {
    let essence = media_type
        .split_once(';')
        .map_or(media_type, |(essence, _parameters)| essence)
        .trim();
    let has_parameters_that_count = is_of_text(essence) && essence.len() < media_type.len();
    let name = match essence.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(essence.to_ascii_lowercase()),
        false => Cow::Borrowed(essence),
    };
    match &*name {
        "image/jpg" | "image/pjpeg" | "image/x-jpeg" | "image/x-jpg" => Cow::Borrowed("image/jpeg"),
        "image/x-png" => Cow::Borrowed("image/png"),
        "application/x-pdf" => Cow::Borrowed("application/pdf"),
        _ if has_parameters_that_count => Cow::Borrowed(media_type),
        _ => name,
    }
}

fn is_of_text(essence: &str) -> bool {
    essence
        .get(..5)
        .is_some_and(|kind| kind.eq_ignore_ascii_case("text/"))
}

#[cfg(test)]
mod tests {
    use super::registered;

    #[test]
    fn other_names_of_a_media_type_mean_the_same() {
        for (written, name) in [
            ("image/jpeg", "image/jpeg"),
            ("image/jpg", "image/jpeg"),
            ("IMAGE/JPG", "image/jpeg"),
            ("image/pjpeg", "image/jpeg"),
            ("image/jpeg; charset=binary", "image/jpeg"),
            ("image/x-png", "image/png"),
            ("Image/PNG", "image/png"),
            ("application/x-pdf", "application/pdf"),
            ("application/pdf;version=1.7", "application/pdf"),
            ("text/plain; charset=latin1", "text/plain; charset=latin1"),
            ("TEXT/CSV", "text/csv"),
            ("", ""),
            ("é", "é"),
        ] {
            assert_eq!(registered(written), name);
        }
    }
}
