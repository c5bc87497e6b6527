//! Which scenarios and models may a caller use? The catalogue, page by page.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::dispatch::target::{Scenario, Target};
use crate::error::Error;
use crate::identity::Identity;
use crate::serving::permission;

use super::Control;

/// The size of a page for callers that name none.
const DEFAULT_PAGE_SIZE: usize = 100;

/// The most items of a page.
const MAX_PAGE_SIZE: usize = 1000;

/// A part of a list.
pub struct Page<T> {
    /// Its items, in the order of their ids.
    pub items: Vec<Arc<T>>,
    /// The token of the next page; empty if this is the last one.
    pub next: String,
}

impl Control {
    /// The models of a provider, or of all if it is empty, that the caller may name: up to `page_size`, or 100 if that is
    /// 0, after the page that gave this token.
    ///
    /// # Errors
    /// The caller may call no model, or the size does not lie between 0 and 1000.
    pub fn models(
        &self,
        identity: &Identity,
        provider: &str,
        page_size: i64,
        page_token: &str,
    ) -> Result<Page<Target>, Error> {
        let routes = self.dispatcher.routes();
        permission::to_generate(identity)?;
        let wanted = |target: &Target| {
            (provider.is_empty() || target.provider.name == provider)
                && permission::for_model(identity, &target.id).is_ok()
        };
        page(&routes.catalog().targets, page_size, page_token, wanted)
    }

    /// The model with this id.
    ///
    /// # Errors
    /// There is none, or the caller may not name it.
    pub fn model(&self, identity: &Identity, id: String) -> Result<Arc<Target>, Error> {
        let routes = self.dispatcher.routes();
        let found = routes.catalog().targets.get(&id).cloned();
        permission::to_generate(identity)?;
        let found = found.ok_or_else(|| Error::ModelNotFound(id.clone()))?;
        permission::for_model(identity, &id).map(|()| found)
    }

    /// The scenarios that the caller may name: up to `page_size`, or 100 if that is 0, after the page that gave this token.
    ///
    /// # Errors
    /// The caller may call no model, or the size does not lie between 0 and 1000.
    pub fn scenarios(
        &self,
        identity: &Identity,
        page_size: i64,
        page_token: &str,
    ) -> Result<Page<Scenario>, Error> {
        permission::to_generate(identity)?;
        let wanted =
            |scenario: &Scenario| permission::for_scenario(identity, &scenario.name).is_ok();
        let routes = self.dispatcher.routes();
        page(&routes.catalog().scenarios, page_size, page_token, wanted)
    }

    /// The scenario with this name.
    ///
    /// # Errors
    /// There is none, or the caller may not name it.
    pub fn scenario(&self, identity: &Identity, name: String) -> Result<Arc<Scenario>, Error> {
        let routes = self.dispatcher.routes();
        let found = routes.catalog().scenarios.get(&name).cloned();
        permission::to_generate(identity)?;
        let found = found.ok_or_else(|| Error::ScenarioNotFound(name.clone()))?;
        permission::for_scenario(identity, &name).map(|()| found)
    }
}

/// The items after `token`, which is the id of the last item of the page before.
fn page<T>(
    all: &BTreeMap<String, Arc<T>>,
    size: i64,
    token: &str,
    wanted: impl Fn(&T) -> bool,
) -> Result<Page<T>, Error> {
    let size = match usize::try_from(size) {
        Ok(0) => DEFAULT_PAGE_SIZE,
        Ok(size) if size <= MAX_PAGE_SIZE => size,
        Ok(_) | Err(_) => {
            return Err(Error::invalid(
                "page_size",
                format!("must lie between 0 and {MAX_PAGE_SIZE}"),
            ));
        }
    };
    let after = if token.is_empty() {
        Bound::Unbounded
    } else {
        Bound::Excluded(token)
    };
    let mut rest = all
        .range::<str, _>((after, Bound::Unbounded))
        .filter(|(_, item)| wanted(item))
        .peekable();
    let mut items = Vec::new();
    let mut next = String::new();
    while items.len() < size
        && let Some((id, item)) = rest.next()
    {
        items.push(Arc::clone(item));
        next.clone_from(id);
    }
    if rest.peek().is_none() {
        next.clear();
    }
    Ok(Page { items, next })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Reason;

    #[test]
    fn pages_follow_one_another_without_gap_or_overlap() {
        let all: BTreeMap<String, Arc<u32>> = (0..7)
            .map(|number| (format!("id-{number}"), Arc::new(number)))
            .collect();
        for size in 1..=8 {
            let mut seen = Vec::new();
            let mut token = String::new();
            loop {
                let page = page(&all, size, &token, |_| true).unwrap();
                seen.extend(page.items);
                token = page.next;
                if token.is_empty() {
                    break;
                }
            }

            let expected: Vec<_> = all.values().cloned().collect();
            assert_eq!(seen, expected, "pages of {size}");
        }
    }

    #[test]
    fn a_page_size_out_of_range_is_refused_by_name() {
        let all: BTreeMap<String, Arc<u32>> = BTreeMap::new();
        for size in [-1, 1001, i64::MIN, i64::MAX] {
            let error = page(&all, size, "", |_| true).err().unwrap();

            assert_eq!(error.reason(), Reason::InvalidRequest, "{size}");
            assert!(error.to_string().contains("page_size"), "{error}");
        }
    }
}
