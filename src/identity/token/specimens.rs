//! Who signs the tokens of tests?

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::{Value, json};

/// Somebody who signs tokens.
pub(in crate::identity) enum Signer {
    P256(EcdsaKeyPair, &'static str),
    Ed25519(Ed25519KeyPair, &'static str),
}

impl Signer {
    pub(in crate::identity) fn p256(id: &'static str) -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::P256(
            EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap(),
            id,
        )
    }

    pub(in crate::identity) fn ed25519(id: &'static str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap(), id)
    }

    pub(in crate::identity) fn published(&self) -> Value {
        let digits = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::P256(pair, id) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": id, "x": digits(x), "y": digits(y)})
            }
            Self::Ed25519(pair, id) => {
                let x = digits(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": x, "use": "sig"})
            }
        }
    }

    pub(in crate::identity) fn header(&self) -> Value {
        match self {
            Self::P256(_, id) => json!({"alg": "ES256", "kid": id}),
            Self::Ed25519(_, id) => json!({"alg": "EdDSA", "kid": id}),
        }
    }

    pub(in crate::identity) fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = match self {
            Self::P256(pair, _) => {
                let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
                signature.as_ref().to_vec()
            }
            Self::Ed25519(pair, _) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
