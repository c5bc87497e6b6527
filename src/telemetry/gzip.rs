//! Who reads gzip, and how is something written in it? Pure.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// The bytes in gzip, at the level that takes the least time.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

/// Whether whoever sends these headers says that it reads gzip
/// (<https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3>).
pub fn reads_gzip(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(ACCEPT_ENCODING).iter();
    let lists = lists.filter_map(|list| list.to_str().ok());
    let mut by_star = false;
    for offer in lists.flat_map(|list| list.split(',')) {
        let mut parts = offer.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let is_read =
            weight.is_none_or(|weight| weight.parse().is_ok_and(|weight: f32| weight > 0.0));
        // What is said of gzip itself counts, wherever it stands.
        if ["gzip", "x-gzip"]
            .iter()
            .any(|name| coding.eq_ignore_ascii_case(name))
        {
            return is_read;
        }
        by_star |= coding == "*" && is_read;
    }
    by_star
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use http::HeaderValue;

    use super::*;

    #[test]
    fn gzip_is_read_by_those_who_say_so() {
        for (lists, expected) in [
            (&[][..], false),
            (&[""], false),
            (&["identity"], false),
            (&["gzip"], true),
            (&["GZIP"], true),
            (&["deflate, gzip;q=0.5, br"], true),
            (&["br", "x-gzip"], true),
            (&["gzip; q=0"], false),
            (&["gzip;q=0.000"], false),
            (&["gzip;Q=1.0"], true),
            (&["gzip;q=much"], false),
            (&["*"], true),
            (&["*;q=0"], false),
            (&["*, gzip;q=0"], false),
            (&["zstd"], false),
            (&["gzipped"], false),
        ] {
            let mut headers = HeaderMap::new();
            for list in lists {
                headers.append(ACCEPT_ENCODING, HeaderValue::from_static(list));
            }

            assert_eq!(reads_gzip(&headers), expected, "{lists:?}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let text = "modelway_calls_total 1\n".repeat(1_000);

        let packed = gzip(text.as_bytes());

        let mut read = String::new();
        GzDecoder::new(&*packed).read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
        assert!(packed.len() < text.len() / 10);
    }
}
