//! What does a signed token say, and did its issuer sign it? Pure: keys and time are passed in.
//!
//! The form is JSON Web Token (RFC 7519) in compact serialization (RFC 7515), checked as RFC 8725 advises: the verifier,
//! not the token, chooses the algorithms, and no header leads to a key.

mod jwk;
#[cfg(test)]
pub(super) mod specimens;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature;
use serde_json::{Map, Value};

use super::{Labels, is_label};

pub use self::jwk::{KeySet, NoKeySet};

/// The longest token that is read, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The longest name of a caller, a team or a scope that a token may give, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// The most scopes that a token may name.
const MAX_SCOPES: usize = 64;

/// Headers that name a key or change how the token is read: a token that has one is refused.
const REFUSED_HEADERS: [&str; 5] = ["crit", "jku", "jwk", "x5c", "x5u"];

/// How a token is signed. Only algorithms with a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSA with PKCS #1 v1.5 and SHA-256.
    Rs256,
    /// RSA with PKCS #1 v1.5 and SHA-384.
    Rs384,
    /// RSA with PKCS #1 v1.5 and SHA-512.
    Rs512,
    /// RSA-PSS with SHA-256.
    Ps256,
    /// RSA-PSS with SHA-384.
    Ps384,
    /// RSA-PSS with SHA-512.
    Ps512,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// ECDSA with P-384 and SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Those that are accepted unless an issuer's settings name others.
    pub const USUAL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// Its name in RFC 7518 and RFC 8037.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }

    /// The family of keys that it works with.
    fn family(self) -> KeyFamily {
        match self {
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => {
                KeyFamily::Rsa
            }
            Self::Es256 => KeyFamily::P256,
            Self::Es384 => KeyFamily::P384,
            Self::EdDsa => KeyFamily::Ed25519,
        }
    }
}

/// What kind of public key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyFamily {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// What is accepted of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerRules {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// The `iss` of its tokens, exactly.
    pub issuer: String,
    /// A token is for us if its `aud` has one of these.
    pub audience: Vec<String>,
    /// How its tokens may be signed.
    pub algorithms: Vec<Algorithm>,
    /// How far its clock and ours may differ.
    pub leeway: Duration,
    /// The claim that names the caller.
    pub caller_claim: String,
    /// The claim that names the caller's team, if any does.
    pub team_claim: Option<String>,
    /// The claim that lists what the token may do, if any does.
    pub scopes_claim: Option<String>,
    /// Claims that become labels, each with the key of its label.
    pub labels: Vec<(String, Arc<str>)>,
}

/// What a genuine token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenClaims {
    /// The issuer's name in the configuration.
    pub issuer: Arc<str>,
    /// Whom it is for.
    pub subject: String,
    /// The subject's team, if the token names one.
    pub team: Option<String>,
    /// What it may do, in the issuer's words; `None` if the token does not say.
    pub scopes: Option<Vec<String>>,
    /// Labels of its calls.
    pub labels: Labels,
    /// When it ends.
    pub expires: SystemTime,
}

/// Why a token is refused. For the log; callers are not told which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It is not a token in compact serialization, or too long.
    #[error("it is not a signed token of at most 8 KiB")]
    Malformed,
    /// It has a header that is never accepted.
    #[error("it has a header that names a key of its own, or `crit`")]
    Header,
    /// Its algorithm is not accepted.
    #[error("its algorithm is not accepted")]
    Algorithm,
    /// It is from no issuer of the configuration.
    #[error("it is from no issuer that is configured")]
    Issuer,
    /// No key of its issuer has its `kid`.
    #[error("its issuer has no key of this id")]
    UnknownKey,
    /// Its signature does not fit.
    #[error("its signature does not fit")]
    Signature,
    /// It is meant for others.
    #[error("its audience is another")]
    Audience,
    /// It is over.
    #[error("it has expired")]
    Expired,
    /// It does not hold yet.
    #[error("it does not hold yet")]
    TooEarly,
    /// A claim that is needed is missing, or is not of the right type.
    #[error("a claim that is needed is missing or malformed")]
    Claim,
}

/// A token that has been taken apart. Nothing that it says is proved.
#[derive(Debug)]
pub struct Unverified<'t> {
    /// What is signed.
    signed: &'t str,
    signature: Vec<u8>,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl<'t> Unverified<'t> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`TokenFault::Malformed`] and [`TokenFault::Header`].
    pub fn read(token: &'t str) -> Result<Self, TokenFault> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenFault::Malformed);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenFault::Malformed);
        };
        let signed = &token[..header.len() + 1 + claims.len()];
        let decoded = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part);
            bytes.map_err(|_| TokenFault::Malformed)
        };
        let object = |part: &str| match serde_json::from_slice(&decoded(part)?) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) | Err(_) => Err(TokenFault::Malformed),
        };
        let header = object(header)?;
        if REFUSED_HEADERS
            .iter()
            .any(|name| header.contains_key(*name))
        {
            return Err(TokenFault::Header);
        }
        Ok(Self {
            signed,
            signature: decoded(signature)?,
            claims: object(claims)?,
            header,
        })
    }

    /// The issuer that it names.
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }

    /// What it says, if this issuer has signed it and it holds `now`.
    ///
    /// # Errors
    /// Every [`TokenFault`] but the first two.
    pub fn verify(
        &self,
        rules: &IssuerRules,
        keys: &KeySet,
        now: SystemTime,
    ) -> Result<TokenClaims, TokenFault> {
        if self.issuer() != Some(&rules.issuer) {
            return Err(TokenFault::Issuer);
        }
        let algorithm = self.header.get("alg").and_then(Value::as_str);
        let algorithm = algorithm.and_then(Algorithm::of_name);
        let algorithm = algorithm
            .filter(|algorithm| rules.algorithms.contains(algorithm))
            .ok_or(TokenFault::Algorithm)?;
        let kid = match self.header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.as_str()),
            Some(_) => return Err(TokenFault::Malformed),
        };
        let key = keys.key(kid).ok_or(TokenFault::UnknownKey)?;
        if !key.suits(algorithm) {
            return Err(TokenFault::Algorithm);
        }
        if !key.has_signed(algorithm, self.signed.as_bytes(), &self.signature) {
            return Err(TokenFault::Signature);
        }
        self.claims_at(rules, now)
    }

    fn claims_at(&self, rules: &IssuerRules, now: SystemTime) -> Result<TokenClaims, TokenFault> {
        let is_for_us = |audience: &Value| {
            let audience = audience.as_str();
            audience.is_some_and(|audience| rules.audience.iter().any(|ours| ours == audience))
        };
        let is_ours = match self.claims.get("aud") {
            Some(Value::Array(audiences)) => audiences.iter().any(is_for_us),
            Some(audience) => is_for_us(audience),
            None => false,
        };
        if !is_ours {
            return Err(TokenFault::Audience);
        }
        let expires = self.time("exp")?.ok_or(TokenFault::Claim)?;
        let begins = self.time("nbf")?;
        if now >= expires.checked_add(rules.leeway).unwrap_or(expires) {
            return Err(TokenFault::Expired);
        }
        let is_early = |begins: SystemTime| {
            let latest = now.checked_add(rules.leeway);
            latest.is_some_and(|latest| latest < begins)
        };
        if begins.is_some_and(is_early) {
            return Err(TokenFault::TooEarly);
        }
        let subject = self.name(&rules.caller_claim)?.ok_or(TokenFault::Claim)?;
        let team = match &rules.team_claim {
            Some(claim) => self.name(claim)?,
            None => None,
        };
        let mut labels = Labels::new();
        for (claim, key) in &rules.labels {
            match self.claims.get(claim) {
                None | Some(Value::Null) => {}
                Some(Value::String(value)) if is_label(value) => {
                    labels.insert(Arc::clone(key), value.as_str().into());
                }
                Some(_) => return Err(TokenFault::Claim),
            }
        }
        Ok(TokenClaims {
            issuer: Arc::clone(&rules.name),
            subject,
            team,
            scopes: self.scopes(rules)?,
            labels,
            expires,
        })
    }

    /// A moment in seconds since 1970, which may have a fraction (RFC 7519, section 2).
    fn time(&self, claim: &str) -> Result<Option<SystemTime>, TokenFault> {
        let Some(value) = self.claims.get(claim) else {
            return Ok(None);
        };
        let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0);
        let since = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let moment = since.and_then(|since| UNIX_EPOCH.checked_add(since));
        moment.map(Some).ok_or(TokenFault::Claim)
    }

    /// A name that a claim gives.
    fn name(&self, claim: &str) -> Result<Option<String>, TokenFault> {
        match self.claims.get(claim) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(name)) => {
                // The names of callers stand in logs and reports.
                let is_plain = !name.chars().any(char::is_control);
                match is_plain && (1..=MAX_NAME_BYTES).contains(&name.len()) {
                    true => Ok(Some(name.clone())),
                    false => Err(TokenFault::Claim),
                }
            }
            Some(_) => Err(TokenFault::Claim),
        }
    }

    /// What the token may do: an array of texts, or one text with spaces between them (RFC 8693, section 4.2).
    fn scopes(&self, rules: &IssuerRules) -> Result<Option<Vec<String>>, TokenFault> {
        let Some(claim) = &rules.scopes_claim else {
            return Ok(None);
        };
        let scopes: Vec<String> = match self.claims.get(claim) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(scopes)) => scopes.split_whitespace().map(str::to_owned).collect(),
            Some(Value::Array(scopes)) => {
                let scopes = scopes.iter().map(|scope| scope.as_str().map(str::to_owned));
                scopes.collect::<Option<_>>().ok_or(TokenFault::Claim)?
            }
            Some(_) => return Err(TokenFault::Claim),
        };
        let is_sound = |scope: &String| (1..=MAX_NAME_BYTES).contains(&scope.len());
        match scopes.len() <= MAX_SCOPES && scopes.iter().all(is_sound) {
            true => Ok(Some(scopes)),
            false => Err(TokenFault::Claim),
        }
    }
}

/// The verification of `ring` for an algorithm.
fn verification(algorithm: Algorithm) -> Verification {
    match algorithm {
        Algorithm::Rs256 => Verification::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Verification::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Verification::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Verification::Rsa(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Verification::Rsa(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Verification::Rsa(&signature::RSA_PSS_2048_8192_SHA512),
        Algorithm::Es256 => Verification::Other(&signature::ECDSA_P256_SHA256_FIXED),
        Algorithm::Es384 => Verification::Other(&signature::ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDsa => Verification::Other(&signature::ED25519),
    }
}

/// How `ring` takes the key of an algorithm.
enum Verification {
    Rsa(&'static signature::RsaParameters),
    Other(&'static dyn signature::VerificationAlgorithm),
}

#[cfg(test)]
mod tests;
