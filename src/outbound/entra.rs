//! Access tokens of Microsoft Entra ID: by an application's secret, certificate or federated token, or by the managed
//! identity of the machine.
//!
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>,
//! <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::hash::sha256;
use crate::provider::token::EntraProof;
use crate::transport::tls;
use crate::wire::segment;

use super::client::{Client, Content};
use super::files::{self, unusable};
use super::{FetchError, Skew, Token, answers, jwt};

/// The life of an assertion in seconds.
const ASSERTION: i64 = 600;

/// An application and what it wants a token for.
#[derive(Clone, Copy)]
pub(super) struct Application<'a> {
    /// The URL of the authority without a path.
    pub(super) authority: &'a str,
    pub(super) tenant: &'a str,
    pub(super) id: &'a str,
    pub(super) scope: &'a str,
}

/// A token for an application.
pub(super) async fn by_application(
    client: &Client,
    application: Application<'_>,
    proof: &EntraProof,
    skew: &mut Skew,
) -> Result<Token, FetchError> {
    let Application {
        authority,
        tenant,
        id,
        scope,
    } = application;
    let url = format!("{authority}/{}/oauth2/v2.0/token", segment::encoded(tenant));
    let (is_secret, proof) = match proof {
        EntraProof::Secret(secret) => (true, secret.0.clone()),
        EntraProof::SecretFile(path) => (true, trimmed(files::read(path).await?)),
        EntraProof::TokenFile(path) => (false, trimmed(files::read(path).await?)),
        EntraProof::CertificateFile(path) => {
            let pem = files::read(path).await?;
            let now = skew.theirs(SystemTime::now());
            let assertion = assertion(pem.expose_secret(), &url, id, now);
            (false, assertion.map_err(|why| unusable(path, why))?.into())
        }
    };
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_id", id),
        ("scope", scope),
    ];
    match is_secret {
        true => form.push(("client_secret", proof.expose_secret())),
        false => form.extend([
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", proof.expose_secret()),
        ]),
    }
    let content = Content::Form(&form);
    let reply = client.ask(&url, HeaderMap::new(), content, skew).await?;
    answers::token(&reply.body)
}

fn trimmed(text: SecretString) -> SecretString {
    text.expose_secret().trim().to_owned().into()
}

/// Whether a file in PEM holds a certificate and an RSA key that can sign.
///
/// # Errors
/// Why not.
pub fn check_certificate(pem: &str) -> Result<(), String> {
    assertion(pem, "", "", 0).map(drop)
}

/// What an application signs with the key of its certificate. `now` is in seconds since 1970.
fn assertion(pem: &str, url: &str, id: &str, now: i64) -> Result<String, String> {
    let chain = tls::certificates(pem).map_err(|unusable| unusable.to_string())?;
    let key = jwt::SigningKey::from_pem(pem).map_err(|no_key| no_key.to_string())?;
    let own = chain.first().map(Vec::as_slice).unwrap_or_default();
    let thumbprint = URL_SAFE_NO_PAD.encode(sha256(own));
    let header = json!({"alg": "RS256", "typ": "JWT", "x5t#S256": thumbprint});
    let claims = json!({
        "aud": url,
        "iss": id,
        "sub": id,
        "jti": uuid::Uuid::now_v7().to_string(),
        "nbf": now,
        "exp": now.saturating_add(ASSERTION),
    });
    let signed = key.sign(&header, &claims);
    signed.map_err(|no_key| no_key.to_string())
}

/// A token for the managed identity of the machine.
pub(super) async fn by_machine(
    client: &Client,
    url: &str,
    resource: &str,
    id: Option<&str>,
) -> Result<Token, FetchError> {
    let mut url = format!(
        "{url}/metadata/identity/oauth2/token?api-version=2018-02-01&resource={}",
        segment::encoded(resource)
    );
    if let Some(id) = id {
        url.push_str("&client_id=");
        url.push_str(&segment::encoded(id));
    }
    let headers = HeaderMap::from_iter([(
        HeaderName::from_static("metadata"),
        HeaderValue::from_static("true"),
    )]);
    let mut skew = Skew::default();
    let reply = client
        .ask(&url, headers, Content::Nothing, &mut skew)
        .await?;
    answers::token(&reply.body)
}
