//! Signs a JSON Web Token by RS256 (RFC 7515, RFC 7518 section 3.3).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::Value;

use crate::transport::tls;

/// Why nothing is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it holds no RSA key of 2048 to 4096 bits in PEM that can sign")]
pub struct NoKey;

/// A private key.
pub(super) struct SigningKey(RsaKeyPair);

impl SigningKey {
    /// Reads a private key from PEM.
    ///
    /// # Errors
    /// [`NoKey`].
    pub(super) fn from_pem(pem: &str) -> Result<Self, NoKey> {
        let key = tls::rsa_key(pem).ok_or(NoKey)?;
        let pair = match key {
            tls::RsaKey::Pkcs8(der) => RsaKeyPair::from_pkcs8(&der),
            tls::RsaKey::Pkcs1(der) => RsaKeyPair::from_der(&der),
        };
        pair.map(Self).map_err(|_| NoKey)
    }

    /// The signed token.
    ///
    /// # Errors
    /// [`NoKey`].
    pub(super) fn sign(&self, header: &Value, claims: &Value) -> Result<String, NoKey> {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .map_err(|_| NoKey)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
