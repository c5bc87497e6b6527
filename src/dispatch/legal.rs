//! Does what a request says to single providers fit the configuration, and the rest of the contract? Pure.
//!
//! What does not fit is the caller's mistake: it is refused before anything is sent, whatever door it came through.
//! What only some targets cannot be sent makes those ineligible instead; see `crate::wire::options`.

use std::collections::{BTreeMap, BTreeSet};

use crate::chat::{ChatRequest, ProviderOptions};
use crate::error::{Error, Violation, advise, excerpt};
use crate::features::Feature;
use crate::wire::options::{Because, Forbidden, OptionsPlace, WIRE_FORMATS, forbidden, lists};

use super::needs::{Needs, for_each_file, has_options};
use super::target::{OptionsPolicy, Scenario};

/// The wire format of each provider, by its name.
pub(super) type Formats = BTreeMap<String, &'static str>;

/// The most faults that are reported.
const MAX_FAULTS: usize = 32;

/// Checks options and stored files of a request to a scenario. Costs nothing where there are none.
///
/// # Errors
/// [`Error::InvalidRequest`]: the scenario refuses options; an entry of options or a file names a provider that is not
/// known; or options set a field that they must not set.
pub(super) fn check(
    request: &ChatRequest,
    needs: &Needs,
    scenario: &Scenario,
    formats: &Formats,
) -> Result<(), Error> {
    let has_options = needs.may_cost_extra && has_options(request);
    if !has_options && !needs.used.contains(Feature::StoredFile) {
        return Ok(());
    }
    let mut check = Check {
        formats,
        policy: scenario.provider_options,
        faults: Vec::new(),
    };
    if has_options {
        check.all_options(request);
    }
    for_each_file(&request.messages, |path, provider| {
        if !formats.contains_key(provider) {
            let names = formats.keys().map(String::as_str);
            let what = format!(
                "there is no provider `{}`; {}",
                excerpt(provider),
                advise(provider, names)
            );
            check.fault(path, what);
        }
    });
    match check.faults.is_empty() {
        true => Ok(()),
        false => Err(Error::InvalidRequest(check.faults)),
    }
}

struct Check<'a> {
    formats: &'a Formats,
    policy: OptionsPolicy,
    faults: Vec<Violation>,
}

impl Check<'_> {
    fn all_options(&mut self, request: &ChatRequest) {
        for (list, place, options) in lists(request) {
            if !options.is_empty() && self.policy == OptionsPolicy::Refuse {
                let what = "the scenario refuses fields in providers' own words (`provider_options` in its \
                            configuration); remove them, or name another scenario";
                self.fault(list.to_string(), what);
                continue;
            }
            for (index, entry) in options.iter().enumerate() {
                self.entry(entry, place, || format!("{list}[{index}]"));
            }
        }
    }

    fn entry(&mut self, entry: &ProviderOptions, place: OptionsPlace, path: impl Fn() -> String) {
        let ProviderOptions {
            target,
            fields,
            optional: _,
        } = entry;
        let of_format = WIRE_FORMATS.into_iter().find(|format| format == target);
        let of_provider = self.formats.get(target).copied();
        if of_format.is_none() && of_provider.is_none() {
            let providers = self.formats.keys().map(String::as_str);
            // A provider may be called like a wire format.
            let names: BTreeSet<_> = providers.chain(WIRE_FORMATS).collect();
            let what = format!(
                "`{}` is neither a provider of the configuration nor a wire format; {}",
                excerpt(target),
                advise(target, names)
            );
            self.fault(format!("{}.target", path()), what);
            return;
        }
        // A provider may be called like a wire format. It alone gets the options if no other one has that format.
        let others = |format| {
            let mut others = self.formats.iter();
            others.find(|(name, other)| **other == format && *name != target)
        };
        let shared_with = of_format.and_then(others);
        let is_shared = of_provider.is_none() || shared_with.is_some();
        let mut speaking: Vec<_> = of_format.into_iter().chain(of_provider).collect();
        speaking.dedup();
        for format in speaking {
            if let Some(Forbidden {
                path: field,
                because,
            }) = forbidden(format, place, fields, is_shared)
            {
                let what = remedy(because, of_provider.is_some());
                self.fault(format!("{}.fields.{field}", path()), what);
            }
        }
    }

    fn fault(&mut self, field: String, what: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Violation {
                field,
                what: what.into(),
            });
        }
    }
}

/// What is wrong with a field, and what to do.
fn remedy(because: Because, names_provider: bool) -> String {
    match because {
        Because::Ours => {
            "the service sets this field from the rest of the request; remove it".to_owned()
        }
        Because::Typed(field) => {
            format!("the contract has a field for this; remove it and set `{field}`")
        }
        Because::OneAnswer => {
            "a call has one answer; remove it, and make a call for each answer".to_owned()
        }
        Because::Background => {
            "a call waits for its answer; remove it, and give the call a deadline that is long enough"
                .to_owned()
        }
        Because::Stored if names_provider => {
            "it names something that one provider has stored, and `target` stands for several providers: the name is \
             also that of a wire format; give the provider a name of its own in the configuration"
                .to_owned()
        }
        Because::Stored => {
            "it names something that one provider has stored; name that provider in `target` instead of a wire format"
                .to_owned()
        }
    }
}
