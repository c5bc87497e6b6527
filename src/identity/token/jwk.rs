//! Which public keys does an issuer publish? A JSON Web Key Set (RFC 7517).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

use super::{Algorithm, KeyFamily, Verification, verification};

/// The most keys of a set that are read.
const MAX_KEYS: usize = 100;

/// The lengths that an RSA modulus may have, in bytes: 2048 to 8192 bits.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// The public keys of an issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<PublicKey>,
}

/// Why a document is no set of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKeySet {
    /// It is not a JSON Web Key Set.
    #[error("it is not a JSON Web Key Set: an object with an array `keys` of at most 100")]
    Malformed,
    /// It has no key that can verify a signature.
    #[error(
        "it has no public key for signatures: RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519"
    )]
    NoKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

/// A key as it is published. What it needs depends on its type.
#[derive(Deserialize)]
struct Published {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// A public key that verifies signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicKey {
    id: Option<String>,
    family: KeyFamily,
    /// The only algorithm that it may be used with, if its issuer says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    Point(Vec<u8>),
}

impl KeySet {
    /// Reads a set. Keys of other kinds and for other purposes are passed over, as RFC 7517 wants.
    ///
    /// # Errors
    /// [`NoKeySet`].
    pub fn read(document: &[u8]) -> Result<Self, NoKeySet> {
        let document: Document =
            serde_json::from_slice(document).map_err(|_| NoKeySet::Malformed)?;
        if document.keys.len() > MAX_KEYS {
            return Err(NoKeySet::Malformed);
        }
        let published = document.keys.into_iter();
        let published = published.filter_map(|key| serde_json::from_value(key).ok());
        let keys: Vec<_> = published.filter_map(PublicKey::of).collect();
        match keys.is_empty() {
            true => Err(NoKeySet::NoKey),
            false => Ok(Self { keys }),
        }
    }

    /// The key of this id. A token without an id is of the only key; a key without one is that of any token, if it is
    /// the only one.
    pub(super) fn key(&self, id: Option<&str>) -> Option<&PublicKey> {
        match (id, self.keys.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(_), [only]) if only.id.is_none() => Some(only),
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
        }
    }
}

impl PublicKey {
    /// The key, if it is one for signatures of a kind that is known.
    fn of(published: Published) -> Option<Self> {
        let Published {
            kty,
            kid,
            alg,
            purpose,
            key_ops,
            crv,
            n,
            e,
            x,
            y,
        } = published;
        if purpose.is_some_and(|purpose| purpose != "sig")
            || key_ops.is_some_and(|uses| !uses.iter().any(|one| one == "verify"))
        {
            return None;
        }
        let number = |digits: Option<String>| URL_SAFE_NO_PAD.decode(digits?).ok();
        let coordinate = |digits, bytes| number(digits).filter(|number| number.len() == bytes);
        let point = |x, y, bytes| {
            // An uncompressed point (SEC 1, section 2.3.3).
            Some([vec![4], coordinate(x, bytes)?, coordinate(y, bytes)?].concat())
        };
        let (family, material) = match (kty.as_str(), crv.as_deref()) {
            ("RSA", _) => {
                let unsigned = |number: Vec<u8>| {
                    let zeros = number.iter().take_while(|byte| **byte == 0).count();
                    number[zeros..].to_vec()
                };
                let modulus = unsigned(number(n)?);
                let exponent = unsigned(number(e)?);
                if !MODULUS_BYTES.contains(&modulus.len()) {
                    return None;
                }
                (KeyFamily::Rsa, Material::Rsa { modulus, exponent })
            }
            ("EC", Some("P-256")) => (KeyFamily::P256, Material::Point(point(x, y, 32)?)),
            ("EC", Some("P-384")) => (KeyFamily::P384, Material::Point(point(x, y, 48)?)),
            ("OKP", Some("Ed25519")) => (KeyFamily::Ed25519, Material::Point(coordinate(x, 32)?)),
            _ => return None,
        };
        let algorithm = match alg {
            None => None,
            // A key for an algorithm that is not known verifies nothing.
            Some(name) => Some(Algorithm::of_name(&name)?),
        };
        Some(Self {
            id: kid,
            family,
            algorithm,
            material,
        })
    }

    /// Whether it may be used with this algorithm.
    pub(super) fn suits(&self, algorithm: Algorithm) -> bool {
        self.family == algorithm.family() && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Whether its owner has signed the message.
    pub(super) fn has_signed(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        match (&self.material, verification(algorithm)) {
            (Material::Rsa { modulus, exponent }, Verification::Rsa(parameters)) => {
                let key = RsaPublicKeyComponents {
                    n: modulus,
                    e: exponent,
                };
                key.verify(parameters, message, signature).is_ok()
            }
            (Material::Point(point), Verification::Other(algorithm)) => {
                let key = UnparsedPublicKey::new(algorithm, point);
                key.verify(message, signature).is_ok()
            }
            (Material::Rsa { .. }, Verification::Other(_))
            | (Material::Point(_), Verification::Rsa(_)) => false,
        }
    }
}
