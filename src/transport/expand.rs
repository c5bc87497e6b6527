//! Decompresses bodies piece by piece, within bounds. Some hosts compress although they were asked not to.

use std::fmt;

use bytes::{Buf as _, Bytes};
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::zstd::params::DParameter;
use compression_codecs::{
    BrotliDecoder, DecodeV2, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::error::UpstreamError;

/// The size of a decompressed piece.
const PIECE_BYTES: usize = 32 * 1024;

/// How many times its compressed size a body may have, once it is larger than `MAX_BYTES_ANYHOW`. Typical streams of
/// events shrink to a thirtieth.
const MAX_RATIO: u64 = 200;
const MAX_BYTES_ANYHOW: u64 = 4 << 20;

/// The largest window of Zstandard, as a power of two: 8 MiB, the most that a client has to support (RFC 9659).
const MAX_WINDOW_LOG: u32 = 23;

/// A content coding (RFC 9110, section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstandard,
    /// Another coding, or several.
    Other,
}

/// Decompresses one body.
pub(super) struct Expander {
    coding: Coding,
    /// `None` until the first bytes have arrived.
    decoder: Option<Box<dyn DecodeV2 + Send>>,
    /// What has arrived and is not decompressed yet.
    input: Bytes,
    /// Whether the decoder may have more output without further input.
    is_full: bool,
    /// Whether the end marker of the coding was reached.
    is_over: bool,
    taken: u64,
    given: u64,
}

impl Expander {
    /// The decompressor for a body with this head; `None` if it is not compressed.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut codings = headers
            .get_all(CONTENT_ENCODING)
            .into_iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"));
        let first = codings.next()?;
        let is = |name: &str| first.eq_ignore_ascii_case(name.as_bytes());
        let coding = match codings.next() {
            Some(_) => Coding::Other,
            None if is("gzip") || is("x-gzip") => Coding::Gzip,
            None if is("deflate") => Coding::Deflate,
            None if is("br") => Coding::Brotli,
            None if is("zstd") => Coding::Zstandard,
            None => Coding::Other,
        };
        Some(Self {
            coding,
            decoder: None,
            input: Bytes::new(),
            is_full: false,
            is_over: false,
            taken: 0,
            given: 0,
        })
    }

    /// Takes the next bytes. To be called only after [`Expander::piece`] has returned `None`.
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.taken = self.taken.saturating_add(bytes.len() as u64);
        self.input = bytes;
    }

    /// The next piece; `None` if more bytes are needed first.
    ///
    /// # Errors
    /// `Malformed` if the bytes are not in the coding that the head names, or expand too much.
    pub(super) fn piece(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        if self.coding == Coding::Other {
            return Err(UpstreamError::malformed(
                "the body is in a coding that is not known",
            ));
        }
        let broken = |_| UpstreamError::malformed("the compressed body cannot be expanded");
        while !self.input.is_empty() || self.is_full {
            if self.is_over && !self.goes_on().map_err(broken)? {
                return Ok(None);
            }
            let decoder = match &mut self.decoder {
                Some(decoder) => decoder,
                None => self.decoder.insert(decoder(self.coding, self.input[0])?),
            };
            let mut piece = vec![0; PIECE_BYTES];
            let mut input = PartialBuffer::new(&self.input[..]);
            let mut output = WriteBuffer::new_initialized(&mut piece);
            if self.input.is_empty() {
                self.is_full = !decoder.flush(&mut output).map_err(broken)?;
            } else {
                self.is_over = decoder.decode(&mut input, &mut output).map_err(broken)?;
                self.is_full = output.has_no_spare_space() && !self.is_over;
            }
            let (read, written) = (input.written_len(), output.written_len());
            self.input.advance(read);
            if written > 0 {
                self.given = self.given.saturating_add(written as u64);
                if self.given > MAX_BYTES_ANYHOW.saturating_add(self.taken * MAX_RATIO) {
                    return Err(UpstreamError::malformed(
                        "the compressed body expands beyond the limit",
                    ));
                }
                piece.truncate(written);
                return Ok(Some(piece.into()));
            }
            if read == 0 && !self.is_over && !self.is_full {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Starts another member after the end of one: gzip and Zstandard may have several. Bytes after the end of the
    /// other codings are ignored.
    fn goes_on(&mut self) -> std::io::Result<bool> {
        match (self.coding, &mut self.decoder) {
            (Coding::Gzip | Coding::Zstandard, Some(decoder)) => {
                decoder.reinit()?;
                self.is_over = false;
                Ok(true)
            }
            _ => {
                self.input.clear();
                Ok(false)
            }
        }
    }
}

impl fmt::Debug for Expander {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expander")
            .field("coding", &self.coding)
            .field("taken", &self.taken)
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}

/// The decoder for a body that begins with this byte.
fn decoder(coding: Coding, first: u8) -> Result<Box<dyn DecodeV2 + Send>, UpstreamError> {
    // The low half of zlib's first byte is the method, 8. Bare deflate, which some servers send by the same name,
    // never begins so: that would be a stored block whose padding bits are not zero.
    const METHOD: u8 = 0x0f;
    const ZLIB: u8 = 8;
    // Such a byte announces a window beyond the standard's 16 MiB, which only an extension has.
    const LARGE_WINDOW: u8 = 0x11;
    Ok(match coding {
        Coding::Gzip => Box::new(GzipDecoder::new()),
        Coding::Deflate if first & METHOD == ZLIB => Box::new(ZlibDecoder::new()),
        Coding::Deflate => Box::new(DeflateDecoder::new()),
        Coding::Brotli if first & 0x7f == LARGE_WINDOW => {
            return Err(UpstreamError::malformed(
                "the compressed body has too large a window",
            ));
        }
        Coding::Brotli => Box::new(BrotliDecoder::new()),
        Coding::Zstandard => {
            let window = DParameter::window_log_max(MAX_WINDOW_LOG);
            Box::new(ZstdDecoder::new_with_params(&[window]))
        }
        Coding::Other => {
            return Err(UpstreamError::malformed(
                "the body is in a coding that is not known",
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use compression_codecs::brotli::params::EncoderParams;
    use compression_codecs::core::Level;
    use compression_codecs::{
        BrotliEncoder, DeflateEncoder, EncodeV2, GzipEncoder, ZlibEncoder, ZstdEncoder,
    };
    use http::HeaderValue;

    use super::*;

    type NewConnection = fn() -> Box<dyn EncodeV2>;

    /// Every coding under its names, and what makes it.
    const CODINGS: [(&str, NewConnection); 6] = [
        ("gzip", || Box::new(GzipEncoder::new(Level::Default.into()))),
        ("X-GZip", || {
            Box::new(GzipEncoder::new(Level::Default.into()))
        }),
        ("deflate", || {
            Box::new(ZlibEncoder::new(Level::Default.into()))
        }),
        ("deflate", || {
            Box::new(DeflateEncoder::new(Level::Default.into()))
        }),
        ("br", || {
            Box::new(BrotliEncoder::new(EncoderParams::default()))
        }),
        ("identity, zstd", || Box::new(ZstdEncoder::new(3))),
    ];

    fn expander(coding: &'static str) -> Option<Expander> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        Expander::of(&headers)
    }

    /// Compresses a text and flushes, so that all of it can be read at once.
    fn flushed(encoder: &mut dyn EncodeV2, text: &[u8]) -> Vec<u8> {
        let mut compressed = vec![0; text.len() + 1024];
        let mut output = WriteBuffer::new_initialized(&mut compressed);
        let mut input = PartialBuffer::new(text);
        while !input.unwritten().is_empty() {
            encoder.encode(&mut input, &mut output).unwrap();
        }
        while !encoder.flush(&mut output).unwrap() {}
        let written = output.written_len();
        compressed.truncate(written);
        compressed
    }

    fn end(encoder: &mut dyn EncodeV2) -> Vec<u8> {
        let mut compressed = vec![0; 1024];
        let mut output = WriteBuffer::new_initialized(&mut compressed);
        while !encoder.finish(&mut output).unwrap() {}
        let written = output.written_len();
        compressed.truncate(written);
        compressed
    }

    /// All that can be expanded of these bytes.
    fn expanded(expander: &mut Expander, bytes: &[u8]) -> Result<Vec<u8>, UpstreamError> {
        let mut text = Vec::new();
        expander.push(Bytes::copy_from_slice(bytes));
        while let Some(piece) = expander.piece()? {
            assert!((1..=PIECE_BYTES).contains(&piece.len()));
            text.extend_from_slice(&piece);
        }
        Ok(text)
    }

    #[test]
    fn each_event_is_there_as_soon_as_it_has_come_however_it_is_cut() {
        for (coding, made) in CODINGS {
            for cut in [1, 7, usize::MAX] {
                let mut encoder = made();
                let mut expander = expander(coding).unwrap();
                for number in 0..50 {
                    let event =
                        format!("data: {{\"choices\":[{{\"delta\":\"word {number}\"}}]}}\n\n");
                    let compressed = flushed(&mut *encoder, event.as_bytes());
                    let mut text = Vec::new();
                    for piece in compressed.chunks(cut.min(compressed.len())) {
                        text.extend(expanded(&mut expander, piece).unwrap());
                    }

                    assert_eq!(String::from_utf8(text).unwrap(), event, "{coding} {cut}");
                }
                let rest = expanded(&mut expander, &end(&mut *encoder)).unwrap();
                assert!(rest.is_empty() && expander.is_over, "{coding} {cut}");
            }
        }
    }

    #[test]
    fn a_long_body_is_expanded_in_pieces() {
        let text: Vec<u8> = (0..50_000_u32)
            .flat_map(|number| (number.wrapping_mul(2_654_435_761) >> 20).to_le_bytes())
            .collect();
        for (coding, made) in CODINGS {
            let mut encoder = made();
            let mut compressed = flushed(&mut *encoder, &text);
            compressed.extend(end(&mut *encoder));

            let expanded = expanded(&mut expander(coding).unwrap(), &compressed).unwrap();

            assert!(expanded == text, "{coding}");
        }
    }

    #[test]
    fn a_body_that_becomes_out_of_all_measure_is_given_up() {
        let nothing = vec![0; 1 << 20];
        for (coding, made) in CODINGS {
            let mut encoder = made();
            let mut expander = expander(coding).unwrap();
            let mut given = 0;
            let failed = (0..1000).find_map(|_| {
                let compressed = flushed(&mut *encoder, &nothing);
                expander.push(compressed.into());
                loop {
                    match expander.piece() {
                        Ok(Some(piece)) => given += piece.len(),
                        Ok(None) => return None,
                        Err(error) => return Some(error),
                    }
                }
            });

            let told = failed.unwrap().to_string();
            assert!(
                told.ends_with("the compressed body expands beyond the limit"),
                "{told}"
            );
            assert!(given < 32 << 20, "{coding}: {given}");
        }
    }

    #[test]
    fn what_cannot_be_expanded_is_told_so() {
        let table = [
            (
                "gzip",
                &b"{\"id\":1}"[..],
                "the compressed body cannot be expanded",
            ),
            (
                "deflate",
                b"\x78\x00",
                "the compressed body cannot be expanded",
            ),
            (
                "zstd",
                b"{\"id\":1}",
                "the compressed body cannot be expanded",
            ),
            (
                "br",
                b"\x11\x1e",
                "the compressed body has too large a window",
            ),
            (
                "gzip, br",
                b"x",
                "the body is in a coding that is not known",
            ),
            (
                "compress",
                b"x",
                "the body is in a coding that is not known",
            ),
        ];
        for (coding, bytes, words) in table {
            let mut expander = expander(coding).unwrap();
            let error = expanded(&mut expander, bytes).unwrap_err();

            assert!(error.to_string().ends_with(words), "{coding}: {error}");
        }
    }

    #[test]
    fn a_body_may_have_several_parts_and_what_is_not_compressed_stays_as_it_is() {
        for (coding, made) in [CODINGS[0], CODINGS[5]] {
            let mut compressed = Vec::new();
            for text in ["one ", "two"] {
                let mut encoder = made();
                compressed.extend(flushed(&mut *encoder, text.as_bytes()));
                compressed.extend(end(&mut *encoder));
            }
            let text = expanded(&mut expander(coding).unwrap(), &compressed).unwrap();

            assert_eq!(text, b"one two", "{coding}");
        }
        assert!(expander("identity").is_none());
        assert!(expander(" ,").is_none());
        assert!(Expander::of(&HeaderMap::new()).is_none());
    }
}
