//! How does a page of calls name the next one? By the last call that was looked at, and by what was asked for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::ledger::call_id::CallId;

use super::error::ReadError;
use super::filter::CallFilter;

/// The form of a token; another one gets another number.
const FORM: u8 = 1;

const ID_BYTES: usize = 16;
const HASH_BYTES: usize = 8;

/// The token for the calls of `filter` that came before the call `last`.
pub(super) fn write(last: &CallId, filter: &CallFilter) -> String {
    let mut bytes = Vec::with_capacity(1 + ID_BYTES + HASH_BYTES);
    bytes.push(FORM);
    bytes.extend_from_slice(last.bytes());
    bytes.extend_from_slice(&filter.hash()[..HASH_BYTES]);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The call before which the next page begins; `None` for an empty token, which asks for the first page.
///
/// # Errors
/// The token is none of ours, or was given for another filter.
pub(super) fn read(token: &str, filter: &CallFilter) -> Result<Option<CallId>, ReadError> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).unwrap_or_default();
    let parts = bytes.split_first().and_then(|(form, rest)| {
        let (id, hash) = rest.split_first_chunk::<ID_BYTES>()?;
        (*form == FORM && hash.len() == HASH_BYTES).then_some((id, hash))
    });
    let Some((id, hash)) = parts else {
        return Err(ReadError::invalid(
            "page_token",
            "it is no token of this service; take next_page_token of the page before, or leave it empty for the first page",
        ));
    };
    if hash != &filter.hash()[..HASH_BYTES] {
        return Err(ReadError::invalid(
            "page_token",
            "it was given for another filter; repeat the filter of the first page, or leave the token empty",
        ));
    }
    Ok(Some(CallId::from_bytes(*id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_for_the_filter_that_it_was_given_for_only() {
        let filter = CallFilter {
            scenario: Some("general".to_owned()),
            ..CallFilter::default()
        };
        let id = CallId::from_bytes([7; 16]);

        let token = write(&id, &filter);

        assert_eq!(read(&token, &filter).unwrap(), Some(id));
        let refused = read(&token, &CallFilter::default()).unwrap_err();
        assert!(refused.to_string().contains("another filter"), "{refused}");
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let filter = CallFilter::default();
        let token = write(&CallId::from_bytes([7; 16]), &filter);
        let longer = format!("{token}AAAA");

        assert_eq!(read("", &filter).unwrap(), None);
        for token in ["x", "💥", &token[..10], &longer, &"A".repeat(10_000)] {
            let refused = read(token, &filter).unwrap_err();
            assert!(refused.to_string().contains("no token"), "{refused}");
        }
    }
}
