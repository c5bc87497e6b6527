//! Which caller does a client certificate name? Its alternative names decide; its common name only if it has none. Pure.

use std::sync::Arc;

use crate::caller::ClientCertificate;

use super::Identity;
use super::directory::Directory;
use super::record::AccountKind;

/// What a certificate says about its caller.
#[derive(Debug)]
pub enum NamedCaller<'d> {
    /// It is this one.
    One(&'d Arc<Identity>),
    /// Its names are those of different callers.
    Several,
    /// It is none that is known.
    Unknown,
}

/// The caller that a certificate names in this directory.
pub fn caller_of<'d>(certificate: &ClientCertificate, directory: &'d Directory) -> NamedCaller<'d> {
    let ClientCertificate {
        uris,
        dns_names,
        has_others,
        common_name,
    } = certificate;
    let bound = |name: &String| directory.alternative_names.get(name);
    // What a certificate calls a DNS name is never taken for a URI, nor the other way round.
    let uris: Vec<_> = uris.iter().filter(|uri| is_uri(uri)).cloned().collect();
    let lowered: Vec<_> = dns_names
        .iter()
        .filter(|name| !is_uri(name))
        .map(|name| name.to_ascii_lowercase())
        .collect();
    // If no name of one kind is a caller's, the names of the next kind decide.
    let by_uri = only(uris.iter().filter_map(bound));
    let by_dns = || only(lowered.iter().filter_map(bound));
    let has_no_others = certificate.uris.is_empty() && dns_names.is_empty() && !has_others;
    let by_common_name = || match common_name {
        Some(name) if has_no_others => only(directory.common_names.get(name).into_iter()),
        Some(_) | None => NamedCaller::Unknown,
    };
    let by_pattern = || {
        let Some(pattern) = &directory.pattern else {
            return NamedCaller::Unknown;
        };
        let names = if pattern.is_of_uris() {
            &uris
        } else {
            &lowered
        };
        // A name of many hosts is that of no caller.
        let names = names
            .iter()
            .filter(|name| pattern.is_of_uris() || !name.contains('*'));
        only(names.filter_map(|name| {
            let account = directory.account(pattern.caller(name)?)?;
            let is_caller = account.kind == AccountKind::Caller;
            account.by_certificate.as_ref().filter(|_| is_caller)
        }))
    };
    by_uri.or(by_dns).or(by_common_name).or(by_pattern)
}

/// Whether a name is a URI, which has a scheme; a DNS name has no colon.
pub(super) fn is_uri(name: &str) -> bool {
    name.contains(':')
}

impl NamedCaller<'_> {
    fn or(self, next: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Unknown => next(),
            Self::One(_) | Self::Several => self,
        }
    }
}

fn only<'d>(mut named: impl Iterator<Item = &'d Arc<Identity>>) -> NamedCaller<'d> {
    let Some(first) = named.next() else {
        return NamedCaller::Unknown;
    };
    match named.all(|other| other.number == first.number) {
        true => NamedCaller::One(first),
        false => NamedCaller::Several,
    }
}
