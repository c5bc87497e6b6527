use proptest::prelude::*;

use crate::error::UpstreamErrorKind;

use super::*;

type Read = (String, Vec<u8>);

fn parse(pieces: &[&[u8]]) -> Result<Vec<Read>, UpstreamError> {
    let mut parser = Parser::default();
    let mut seen = Vec::new();
    let mut on_frame = |event: Event<'_>| {
        seen.push((event.name.to_owned(), event.data.to_vec()));
        Ok(())
    };
    for piece in pieces {
        parser.push(piece, &mut on_frame)?;
    }
    parser.end(&mut on_frame)?;
    Ok(seen)
}

#[test]
fn it_follows_the_specification() {
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("", &[]),
        ("data: a\n\n", &[("", "a")]),
        ("data: a\r\n\r\ndata: b\r\n\r\n", &[("", "a"), ("", "b")]),
        ("data: a\r\rdata: b\r\r", &[("", "a"), ("", "b")]),
        ("data: a\n\rdata: b\r\r\n", &[("", "a"), ("", "b")]),
        ("data:a\n\ndata:  a\n\n", &[("", "a"), ("", " a")]),
        ("data: a\ndata: b\ndata\ndata:c\n\n", &[("", "a\nb\n\nc")]),
        ("event: x\ndata: a\n\ndata: b\n\n", &[("x", "a"), ("", "b")]),
        ("data: a\nevent: x\nevent: y\n\n", &[("y", "a")]),
        ("event: x\n\ndata: a\n\n", &[("", "a")]),
        ("data\n\n", &[("", "")]),
        ("data:\n\n", &[("", "")]),
        (": comment\n\n:\ndata: a\n: in between\n\n", &[("", "a")]),
        ("\n\r\n\rdata: a\n\n\n\n", &[("", "a")]),
        (" data: a\n\n", &[]),
        ("Data: a\n\ndata : a\n\n", &[]),
        ("id: 1\nretry: 2\nother\ndata: a\n\n", &[("", "a")]),
        ("\u{feff}data: a\n\n\u{feff}data: b\n\n", &[("", "a")]),
        ("\u{feff}\ndata: a\n\n", &[("", "a")]),
        ("data: a:b: c\n\n", &[("", "a:b: c")]),
        ("data: ü\u{2028}é\n\n", &[("", "ü\u{2028}é")]),
        ("data: not closed", &[("", "not closed")]),
        ("event: x\ndata: not closed\n", &[("x", "not closed")]),
        ("event: x\n", &[]),
    ];
    assert_parsed(cases);
}

#[test]
fn json_in_the_place_of_an_event_is_its_data() {
    assert_parsed(&[
        ("{\"a\":1}", &[("", "{\"a\":1}")]),
        ("[{\"a\":1}]\n\n", &[("", "[{\"a\":1}]")]),
        (
            "data: a\n\n{\n  \"b\": 1\r\n}\n\ndata: c\n\n",
            &[("", "a"), ("", "{\n  \"b\": 1\n}"), ("", "c")],
        ),
        ("{\n: no comment\n}\n", &[("", "{\n: no comment\n}")]),
        (" {\n\ndata: a\n{\n: comment\n\n", &[("", "a")]),
    ]);
}

#[test]
fn a_line_that_is_a_whole_json_value_is_an_event_without_a_blank_line_behind_it() {
    assert_parsed(&[
        (
            "data: {\"a\":1}\ndata: {\"b\":2}\ndata: [DONE]\n\n",
            &[("", "{\"a\":1}"), ("", "{\"b\":2}"), ("", "[DONE]")],
        ),
        (
            "event: x\ndata: {\"a\":1}\nevent: y\ndata: {\"b\":2}\n",
            &[("x", "{\"a\":1}"), ("y", "{\"b\":2}")],
        ),
        (
            "data: [DONE]\r\ndata: {\"a\":1}\r\n",
            &[("", "[DONE]"), ("", "{\"a\":1}")],
        ),
        // Lines without a field's name.
        (
            "{\"a\":1}\n{\"b\":2}\ndata: {\"c\":3}\n",
            &[("", "{\"a\":1}"), ("", "{\"b\":2}"), ("", "{\"c\":3}")],
        ),
        // Other fields and comments belong to the event that is open.
        (
            "data: {\"a\":1}\n: comment\nid: 1\n\ndata: {\"b\":2}\n\n",
            &[("", "{\"a\":1}"), ("", "{\"b\":2}")],
        ),
        // A value in several lines is one event.
        (
            "data: {\ndata: \"a\":1\ndata: }\n\n",
            &[("", "{\n\"a\":1\n}")],
        ),
        ("data: {}x\ndata: {}\n\n", &[("", "{}x\n{}")]),
        ("data: 1\ndata: 2\n\n", &[("", "1\n2")]),
    ]);
}

/// Each body gives these events, in one piece and byte by byte.
fn assert_parsed(cases: &[(&str, &[(&str, &str)])]) {
    for (body, expected) in cases {
        let expected: Vec<Read> = expected
            .iter()
            .map(|(event, data)| ((*event).to_owned(), data.as_bytes().to_vec()))
            .collect();
        let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();

        assert_eq!(parse(&[body.as_bytes()]).unwrap(), expected, "{body:?}");
        assert_eq!(parse(&bytes).unwrap(), expected, "{body:?} byte by byte");
    }
}

#[test]
fn an_event_with_one_data_line_is_handed_out_where_it_lies() {
    let body = b"event: x\ndata: {\"a\":1}\n\n".as_slice();
    let range = body.as_ptr_range();
    let mut frames = 0;

    Parser::default()
        .push(body, |frame| {
            frames += 1;
            assert!(range.contains(&frame.data.as_ptr()));
            Ok(())
        })
        .unwrap();

    assert_eq!(frames, 1);
}

#[test]
fn an_event_comes_as_soon_as_its_blank_line_begins() {
    let mut parser = Parser::default();
    let mut frames = 0;

    parser
        .push(b"data: a\r\n\r", |_| {
            frames += 1;
            Ok(())
        })
        .unwrap();

    assert_eq!(frames, 1);
}

#[test]
fn an_event_without_end_is_refused_and_takes_little_memory() {
    for piece in [
        "data: a\n",
        "data: aaaaaa",
        ": aaaaaa",
        ":\n",
        "a\r\n",
        "event: aaaa",
    ] {
        let piece = piece.repeat(64 * 1024);
        let mut parser = Parser::default();
        let mut bytes = 0;

        let error = loop {
            bytes += piece.len();
            if let Err(error) = parser.push(piece.as_bytes(), |_| Ok(())) {
                break error;
            }
            assert!(bytes <= 4 * MAX_EVENT_BYTES, "{:?}", &piece[..12]);
        };

        assert_eq!(error.kind, UpstreamErrorKind::Malformed);
        assert!(parser.line.len() + parser.data.len() <= MAX_EVENT_BYTES);
    }
}

#[test]
fn the_largest_event_is_read_however_it_is_cut() {
    let largest = [b"data:".as_slice(), &vec![b'a'; MAX_EVENT_BYTES - 5]].concat();
    let too_large = [largest.as_slice(), b"a"].concat();

    for (line, fits) in [(&largest, true), (&too_large, false)] {
        let body = [line.as_slice(), b"\n\n"].concat();
        let (first, second) = body.split_at(body.len() / 3);

        assert_eq!(parse(&[&body]).is_ok(), fits);
        assert_eq!(parse(&[first, second]).is_ok(), fits);
    }
}

#[test]
fn what_the_receiver_refuses_ends_the_reading() {
    let mut frames = 0;

    let refused = Parser::default().push(b"data: a\n\ndata: b\n\n", |_| {
        frames += 1;
        Err(UpstreamError::malformed("refused"))
    });

    assert_eq!(refused, Err(UpstreamError::malformed("refused")));
    assert_eq!(frames, 1);
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        4 => prop::sample::select(vec!["\n", "\r", "\r\n", "\n\n", "\r\n\r\n"]),
        4 => prop::sample::select(vec!["data", "data:", "data: ", "event: ", ":", " ", "id: 1"]),
        2 => prop::sample::select(vec!["a", "ü", "{\"a\":1}", "[", "{}", "\u{feff}", "\u{1f600}"]),
    ];
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat().into_bytes())
}

proptest! {
    #[test]
    fn cuts_change_nothing(body in body(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &body[cut[0]..cut[1]]).collect();
        let bytes: Vec<&[u8]> = body.chunks(1).collect();

        let whole = parse(&[&body]);
        prop_assert_eq!(&parse(&pieces), &whole);
        prop_assert_eq!(&parse(&bytes), &whole);
    }

    #[test]
    fn it_agrees_with_a_reading_of_the_whole_text(body in body()) {
        prop_assert_eq!(parse(&[&body]).unwrap(), by_the_letter(std::str::from_utf8(&body).unwrap()));
    }
}

/// The specification's steps, one after the other, over the whole text; and JSON in the place of an
/// event, and lines of JSON that no blank line parts.
fn by_the_letter(text: &str) -> Vec<Read> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n") + "\n\n";
    let mut events = Vec::new();
    let (mut name, mut data) = (String::new(), String::new());
    let (mut begins_event, mut is_bare) = (true, false);
    for line in text.split('\n') {
        let may_begin = ["{", "[", "data:", "event:"]
            .iter()
            .any(|head| line.starts_with(head));
        if let Some(only) = data.strip_suffix('\n')
            && may_begin
            && !only.contains('\n')
            && only.trim_ascii().starts_with(['{', '['])
            && serde_json::from_str::<serde_json::Value>(only).is_ok()
        {
            events.push((name.clone(), only.as_bytes().to_vec()));
            name.clear();
            data.clear();
            (begins_event, is_bare) = (true, false);
        }
        is_bare = !line.is_empty() && (is_bare || begins_event && line.starts_with(['{', '[']));
        begins_event = line.is_empty();
        if is_bare {
            data = data + line + "\n";
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => {
                if let Some(data) = data.strip_suffix('\n') {
                    events.push((name.clone(), data.as_bytes().to_vec()));
                }
                name.clear();
                data.clear();
            }
            "event" => value.clone_into(&mut name),
            "data" => data = data + value + "\n",
            _ => {}
        }
    }
    events
}
