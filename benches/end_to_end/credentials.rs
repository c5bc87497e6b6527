//! What do calls show to servers that ask who they are?

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use modelway::hash::in_digits;
use modelway::identity::key::{KeyKind, NewKey};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::Failed;
use super::roles::Role;

/// Who signs tokens, as the configuration spells it.
pub(crate) const ISSUER: &str = "https://issuer.example";

/// Longer than any measurement, in seconds.
const LIFE: u64 = 24 * 60 * 60;

static CREDENTIALS: OnceLock<Credentials> = OnceLock::new();

/// A key and a token of one caller.
pub(crate) struct Credentials {
    /// The SHA-256 of the key, in hexadecimal digits.
    pub(crate) key_hash: String,
    /// What the token can be verified with, as an issuer publishes it.
    pub(crate) jwks: String,
    by_key: String,
    by_token: String,
}

impl Credentials {
    /// Those of this process.
    pub(crate) fn of_process() -> Result<&'static Self, Failed> {
        if CREDENTIALS.get().is_none() {
            // Nobody else sets them.
            let _ = CREDENTIALS.set(Self::make()?);
        }
        CREDENTIALS.get().ok_or_else(|| "no credentials".into())
    }

    fn make() -> Result<Self, Failed> {
        let random = SystemRandom::new();
        let key = NewKey::make(KeyKind::Data, &random).map_err(|_| "no random numbers")?;
        let pair = Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| "no random numbers")?;
        let pair = Ed25519KeyPair::from_pkcs8(pair.as_ref()).map_err(|_| "no key pair")?;
        let end = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + LIFE;
        let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!(
            "{}.{}",
            part(json!({"alg": "EdDSA", "kid": "bench"})),
            part(json!({"iss": ISSUER, "aud": "modelway", "sub": "bench", "exp": end}))
        );
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()));
        let public = URL_SAFE_NO_PAD.encode(pair.public_key());
        let public = json!({"kty": "OKP", "crv": "Ed25519", "kid": "bench", "x": public});
        Ok(Self {
            key_hash: in_digits(key.hash.as_bytes()),
            jwks: json!({"keys": [public]}).to_string(),
            by_key: format!("Bearer {}", key.secret.expose_secret()),
            by_token: format!("Bearer {signed}.{signature}"),
        })
    }
}

/// The message with the credential that a server of this role asks for.
pub(crate) fn credited<T>(role: Role, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let Some(credentials) = CREDENTIALS.get() else {
        return request;
    };
    let shown = match role {
        Role::Keyed => &credentials.by_key,
        Role::Tokened => &credentials.by_token,
        Role::Gateway
        | Role::Observed
        | Role::Floor
        | Role::Simulator
        | Role::Front
        | Role::Sink => return request,
    };
    if let Ok(value) = shown.parse() {
        request.metadata_mut().insert("authorization", value);
    }
    request
}
