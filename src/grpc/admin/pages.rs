//! Which page of a list is asked for?

use crate::admin::{AdminError, MOST_ON_PAGE};
use crate::check::Faults;

/// How many objects a page has by default.
const USUAL_PAGE: usize = 100;

/// The page that a request asks for.
pub(super) struct AskedPage {
    /// How many objects it has at most.
    pub(super) size: usize,
    /// The token of the page before; empty for the first page.
    token: String,
}

impl AskedPage {
    pub(super) fn read(page_size: i32, page_token: String) -> Result<Self, AdminError> {
        let size = match usize::try_from(page_size) {
            Ok(0) => USUAL_PAGE,
            Ok(size) if size <= MOST_ON_PAGE => size,
            Ok(_) | Err(_) => {
                let what = format!("use 1 to {MOST_ON_PAGE}, or 0 for {USUAL_PAGE}");
                return Err(AdminError::invalid("page_size", what));
            }
        };
        Ok(Self {
            size,
            token: page_token,
        })
    }
}

/// The objects of a page, and the token of the next one. The token is the id of the last object.
pub(super) fn page_after<T>(
    mut all: Vec<T>,
    asked: &AskedPage,
    id: impl Fn(&T) -> &str,
) -> Result<(Vec<T>, String), AdminError> {
    if !asked.token.is_empty() {
        let at = all.iter().position(|object| id(object) == asked.token);
        let at = at.ok_or_else(bad_token)?;
        all.drain(..=at);
    }
    let has_more = all.len() > asked.size;
    all.truncate(asked.size);
    let next = all.last().filter(|_| has_more);
    let token = next.map(|last| id(last).to_owned()).unwrap_or_default();
    Ok((all, token))
}

/// The event before which a page of the audit record begins; `None` for the first page.
pub(super) fn event_before(asked: &AskedPage, faults: &mut Faults) -> Option<u64> {
    if asked.token.is_empty() {
        return None;
    }
    let sequence = asked.token.parse().ok();
    if sequence.is_none() {
        faults.add("page_token", BAD_TOKEN);
    }
    sequence
}

const BAD_TOKEN: &str =
    "it is not that of a page of this list, or the list has changed; begin again without it";

fn bad_token() -> AdminError {
    AdminError::invalid("page_token", BAD_TOKEN)
}
