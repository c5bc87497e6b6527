//! Which sources does a text have?

use serde_json::value::RawValue;

use crate::chat::Citation;
use crate::error::UpstreamError;
use crate::wire::json::{Count, Few, Text, compact, object};

object! {
    struct Annotation<'a> {
        kind: Text<'a> = "type",
        url: Text<'a> = "url",
        title: Text<'a> = "title",
        filename: Text<'a> = "filename",
        start: Count = "start_index",
        end: Count = "end_index",
    }
}

/// A source. `base` is the number of characters before the text in its part of the answer.
pub(super) fn citation(written: &RawValue, base: usize) -> Citation {
    let read: Annotation<'_> = serde_json::from_str(written.get()).unwrap_or_default();
    let place = |count: Count| {
        let place = usize::try_from(count.0?).ok()?;
        place.checked_add(base)
    };
    let range = place(read.start).zip(place(read.end));
    let is_address = read.kind.0 == "url_citation";
    Citation {
        range: range.filter(|(start, end)| start <= end),
        uri: read.url.0.into_owned(),
        title: read.title.or(read.filename).0.into_owned(),
        // Files have ids, which have no place of their own.
        provider_fields: match is_address {
            true => String::new(),
            false => compact(written.get()),
        },
        ..Citation::default()
    }
}

/// The elements of a list that follow the first so many.
///
/// # Errors
/// There are too many.
pub(super) fn after(
    first: usize,
    list: Option<&RawValue>,
) -> Result<Vec<&RawValue>, UpstreamError> {
    // Nearly always there is none.
    let Some(list) = list.filter(|list| list.get().len() > 2) else {
        return Ok(Vec::new());
    };
    let list: Few<&RawValue> = serde_json::from_str(list.get()).unwrap_or_default();
    Ok(list.all()?.into_iter().skip(first).collect())
}
