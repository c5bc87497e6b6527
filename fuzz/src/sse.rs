//! Does a stream of events read the same, wherever it is cut, and does it hold to its form?

use modelway::error::UpstreamError;
use modelway::wire::sse::{Event, Parser};

use crate::cuts;

/// The name and the data of an event.
type Read = (String, Vec<u8>);

/// Holds the framing of server-sent events to its laws. The first byte of `input` draws the cuts, the
/// rest is the body.
///
/// # Panics
/// A law is broken.
pub fn hold(input: &[u8]) {
    let [seed, body @ ..] = input else {
        return;
    };
    let (whole, end) = read(&[body], true);

    assert_eq!(end, Ok(()), "no event is too large");
    let bytes: Vec<&[u8]> = body.chunks(1).collect();
    assert_eq!(read(&bytes, true).0, whole, "byte by byte");
    let pieces = cuts::pieces(body, *seed);
    assert_eq!(read(&pieces, true).0, whole, "in pieces");

    for (name, data) in &whole {
        assert!(!name.contains(['\n', '\r']), "a name within its line");
        assert!(!data.contains(&b'\r'), "no line end but LF");
    }
    let given_out: usize = whole.iter().map(|(_, data)| data.len()).sum();
    assert!(given_out <= body.len(), "nothing is made up");

    let (early, _) = read(&pieces[..pieces.len() - 1], false);
    assert!(whole.starts_with(&early), "what has come stands");
}

fn read(pieces: &[&[u8]], to_end: bool) -> (Vec<Read>, Result<(), UpstreamError>) {
    let mut events = Vec::new();
    let mut on_frame = |event: Event<'_>| {
        events.push((event.name.to_owned(), event.data.to_vec()));
        Ok(())
    };
    let mut parser = Parser::default();
    let mut end = Ok(());
    for piece in pieces {
        end = end.and_then(|()| parser.push(piece, &mut on_frame));
    }
    if to_end {
        end = end.and_then(|()| parser.end(&mut on_frame));
    }
    (events, end)
}
