//! Who calls? The proofs that came with a request say it, and a bad one is never passed over. Pure.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, header};

use crate::caller::ClientCertificate;
use crate::error::{CredentialFault, Error};

use super::Identity;
use super::certificate::{self, NamedCaller};
use super::directory::{Directory, KeyState};
use super::issuers::{CheckedToken, REFRESH_AT_MOST, TokenRefusal};
use super::key;
use super::token::TokenFault;

/// What a request shows to prove who calls.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'r> {
    /// The head of the request.
    pub headers: &'r HeaderMap,
    /// The certificate of its connection, if one was believed.
    pub certificate: Option<&'r ClientCertificate>,
    /// What became of its token, if that was checked already.
    pub token: Option<&'r CheckedToken>,
}

/// A proof in the head of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Proof<'r> {
    /// An API key.
    Key(&'r [u8]),
    /// A signed token: three parts with dots between them.
    Token(&'r [u8]),
}

/// Why a request does not prove who calls. Callers learn no more than [`Unproved::error`]; the name is for the log and a
/// metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unproved {
    /// Nothing was shown, and calls need a credential.
    Missing,
    /// There are two `authorization` entries.
    SeveralEntries,
    /// The `authorization` entry has another scheme than Bearer.
    OtherScheme,
    /// What was shown has neither the form of a key nor that of a token.
    Malformed,
    /// No such key was issued.
    UnknownKey,
    /// The time of the key is over.
    ExpiredKey,
    /// The key was revoked, or its account closed.
    RevokedKey,
    /// The token names no issuer that is believed.
    UnknownIssuer,
    /// The issuer has not signed the token, or not in a way that is accepted.
    ForgedToken,
    /// No key of the issuer has the id that the token names.
    UnknownTokenKey,
    /// The keys of the issuer are not known.
    NoTokenKeys,
    /// The token is meant for others.
    OtherAudience,
    /// The time of the token is over, or has not begun.
    ExpiredToken,
    /// A claim that is needed is missing or malformed.
    BadClaim,
    /// The token is genuine, and its subject is no caller.
    UnknownSubject,
    /// The certificate names no caller.
    UnknownCertificate,
    /// The account of the certificate, or that of calls without a credential, is closed.
    ClosedAccount,
    /// Two proofs name different callers.
    Conflict,
}

impl Unproved {
    /// Every cause, in the order of declaration.
    pub const ALL: [Self; 18] = [
        Self::Missing,
        Self::SeveralEntries,
        Self::OtherScheme,
        Self::Malformed,
        Self::UnknownKey,
        Self::ExpiredKey,
        Self::RevokedKey,
        Self::UnknownIssuer,
        Self::ForgedToken,
        Self::UnknownTokenKey,
        Self::NoTokenKeys,
        Self::OtherAudience,
        Self::ExpiredToken,
        Self::BadClaim,
        Self::UnknownSubject,
        Self::UnknownCertificate,
        Self::ClosedAccount,
        Self::Conflict,
    ];

    /// Its name in the log and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::SeveralEntries => "several_entries",
            Self::OtherScheme => "other_scheme",
            Self::Malformed => "malformed",
            Self::UnknownKey => "unknown_key",
            Self::ExpiredKey => "expired_key",
            Self::RevokedKey => "revoked_key",
            Self::UnknownIssuer => "unknown_issuer",
            Self::ForgedToken => "forged_token",
            Self::UnknownTokenKey => "unknown_token_key",
            Self::NoTokenKeys => "no_token_keys",
            Self::OtherAudience => "other_audience",
            Self::ExpiredToken => "expired_token",
            Self::BadClaim => "bad_claim",
            Self::UnknownSubject => "unknown_subject",
            Self::UnknownCertificate => "unknown_certificate",
            Self::ClosedAccount => "closed_account",
            Self::Conflict => "conflict",
        }
    }

    /// The error that the caller gets.
    pub fn error(self) -> Error {
        match self {
            Self::Missing => Error::CredentialsMissing,
            Self::Conflict => Error::CredentialsInvalid(CredentialFault::Conflict),
            Self::NoTokenKeys => Error::CredentialsUnchecked {
                retry_after: REFRESH_AT_MOST,
            },
            Self::SeveralEntries
            | Self::OtherScheme
            | Self::Malformed
            | Self::UnknownKey
            | Self::ExpiredKey
            | Self::RevokedKey
            | Self::UnknownIssuer
            | Self::ForgedToken
            | Self::UnknownTokenKey
            | Self::OtherAudience
            | Self::ExpiredToken
            | Self::BadClaim
            | Self::UnknownSubject
            | Self::UnknownCertificate
            | Self::ClosedAccount => Error::CredentialsInvalid(CredentialFault::Invalid),
        }
    }
}

impl From<TokenRefusal> for Unproved {
    fn from(refusal: TokenRefusal) -> Self {
        match refusal {
            TokenRefusal::KeyNotLearned(_) => Self::UnknownTokenKey,
            TokenRefusal::NoKeys(_) => Self::NoTokenKeys,
            TokenRefusal::Fault(fault) => match fault {
                TokenFault::Malformed => Self::Malformed,
                TokenFault::Issuer => Self::UnknownIssuer,
                TokenFault::Header | TokenFault::Algorithm | TokenFault::Signature => {
                    Self::ForgedToken
                }
                TokenFault::UnknownKey => Self::UnknownTokenKey,
                TokenFault::Audience => Self::OtherAudience,
                TokenFault::Expired | TokenFault::TooEarly => Self::ExpiredToken,
                TokenFault::Claim => Self::BadClaim,
            },
        }
    }
}

/// Who calls at this time. `by_token` says who calls by a token. The key or the token decides first, then the certificate;
/// only a caller that shows none of them is anonymous.
///
/// # Errors
/// [`Unproved`].
pub fn resolve(
    directory: &Directory,
    by_token: impl FnOnce(&str) -> Result<Arc<Identity>, Unproved>,
    shown: Shown<'_>,
    now: SystemTime,
) -> Result<Arc<Identity>, Unproved> {
    let by_certificate = of_certificate(directory, shown.certificate);
    let Some(proof) = proof_in(shown.headers)? else {
        if let Some(identity) = by_certificate? {
            return open(directory, identity);
        }
        let anonymous = directory.anonymous().ok_or(Unproved::Missing)?;
        return open(directory, anonymous);
    };
    let identity = match proof {
        Proof::Key(secret) => Arc::clone(of_key(directory, secret, now)?),
        Proof::Token(token) => {
            let token = std::str::from_utf8(token).map_err(|_| Unproved::Malformed)?;
            by_token(token)?
        }
    };
    // Beside a valid key or token, a certificate that names no caller is ignored.
    match by_certificate {
        Ok(Some(other)) if other.number != identity.number => Err(Unproved::Conflict),
        Err(Unproved::Conflict) => Err(Unproved::Conflict),
        Ok(_) | Err(_) => Ok(identity),
    }
}

/// The proof in the head of a request; `None` if there is none.
///
/// # Errors
/// The credential in the head is malformed.
pub fn proof_in(headers: &HeaderMap) -> Result<Option<Proof<'_>>, Unproved> {
    let mut entries = headers.get_all(header::AUTHORIZATION).iter();
    let Some(entry) = entries.next() else {
        return Ok(None);
    };
    if entries.next().is_some() {
        return Err(Unproved::SeveralEntries);
    }
    let entry = entry.as_bytes().trim_ascii();
    let (scheme, shown) = match entry.iter().position(|byte| *byte == b' ') {
        Some(end) => (&entry[..end], entry[end..].trim_ascii()),
        None => (entry, &b""[..]),
    };
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(Unproved::OtherScheme);
    }
    if shown.starts_with(key::FAMILY) {
        return Ok(Some(Proof::Key(shown)));
    }
    match shown.iter().filter(|byte| **byte == b'.').count() {
        2 => Ok(Some(Proof::Token(shown))),
        _ => Err(Unproved::Malformed),
    }
}

fn of_key<'d>(
    directory: &'d Directory,
    secret: &[u8],
    now: SystemTime,
) -> Result<&'d Arc<Identity>, Unproved> {
    let Some(key) = directory.key(secret) else {
        return Err(match key::is_well_formed(secret) {
            true => Unproved::UnknownKey,
            false => Unproved::Malformed,
        });
    };
    match key.state(now) {
        KeyState::Active | KeyState::Rotated => {
            key.identity.standing.is_used(now);
            Ok(&key.identity)
        }
        KeyState::Expired => Err(Unproved::ExpiredKey),
        KeyState::Revoked => Err(Unproved::RevokedKey),
    }
}

/// The caller that a certificate names; `None` without a certificate, and where certificates do not name callers.
fn of_certificate<'d>(
    directory: &'d Directory,
    certificate: Option<&ClientCertificate>,
) -> Result<Option<&'d Arc<Identity>>, Unproved> {
    let Some(certificate) = certificate.filter(|_| directory.reads_certificates()) else {
        return Ok(None);
    };
    match certificate::caller_of(certificate, directory) {
        NamedCaller::One(identity) => Ok(Some(identity)),
        NamedCaller::Several => Err(Unproved::Conflict),
        NamedCaller::Unknown => Err(Unproved::UnknownCertificate),
    }
}

/// The identity, if its account is not closed.
fn open(directory: &Directory, identity: &Arc<Identity>) -> Result<Arc<Identity>, Unproved> {
    match directory.is_closed(identity) {
        true => Err(Unproved::ClosedAccount),
        false => Ok(Arc::clone(identity)),
    }
}

#[cfg(test)]
mod tests;
