//! Access tokens of Google: by a service account's key, by another identity that Google trusts, by a user's own
//! credential, or from the metadata server of the machine.
//!
//! <https://google.aip.dev/auth/4112>, <https://google.aip.dev/auth/4117>,
//! <https://cloud.google.com/compute/docs/access/authenticate-workloads>

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::wire::segment;

use super::client::{Client, Content, bearer, secret_header};
use super::files::{self, unusable};
use super::{FetchError, Skew, Token, answers, jwt};

/// The life of a token that is asked for.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Where tokens are exchanged unless the file says so.
const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";

const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");

/// A file with a credential of Google.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum CredentialFile {
    ServiceAccount(ServiceAccount),
    ExternalAccount(Box<ExternalAccount>),
    AuthorizedUser(AuthorizedUser),
}

#[derive(Deserialize)]
struct ServiceAccount {
    client_email: String,
    private_key: SecretString,
    private_key_id: Option<String>,
    token_uri: Option<String>,
}

#[derive(Deserialize)]
struct AuthorizedUser {
    client_id: String,
    client_secret: SecretString,
    refresh_token: SecretString,
    token_uri: Option<String>,
}

#[derive(Deserialize)]
struct ExternalAccount {
    audience: String,
    subject_token_type: String,
    token_url: String,
    credential_source: SubjectSource,
    service_account_impersonation_url: Option<String>,
    service_account_impersonation: Option<Impersonation>,
}

#[derive(Deserialize)]
struct Impersonation {
    token_lifetime_seconds: Option<u32>,
}

/// Where the token of the other identity comes from.
#[derive(Deserialize)]
struct SubjectSource {
    file: Option<PathBuf>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, SecretString>,
    format: Option<SubjectFormat>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum SubjectFormat {
    Text,
    Json { subject_token_field_name: String },
}

/// Why a file holds no credential of Google that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFile {
    /// It is not the JSON of a known type.
    #[error("it is not the JSON of a service account, an external account or an authorized user")]
    Unknown,
    /// The key cannot sign.
    #[error("its `private_key`: {0}")]
    Key(jwt::NoKey),
    /// An external account whose own token comes from elsewhere than a file or a URL.
    #[error(
        "its `credential_source` has neither `file` nor `url`: AWS and executables are not supported"
    )]
    Source,
    /// A secret would travel unencrypted.
    #[error("one of its URLs is neither https nor on this machine")]
    Url,
    /// A header of the credential source cannot be sent.
    #[error("one of the headers of its `credential_source` cannot be sent")]
    Header,
}

/// Whether a file holds a credential that can be used. Returns the URL of its token endpoint.
///
/// # Errors
/// [`BadFile`].
pub fn check_file(text: &str) -> Result<String, BadFile> {
    read(text).map(|written| written.token_url().to_owned())
}

fn read(text: &str) -> Result<CredentialFile, BadFile> {
    let written: CredentialFile = serde_json::from_str(text).map_err(|_| BadFile::Unknown)?;
    match &written {
        CredentialFile::ServiceAccount(account) => {
            let key = jwt::SigningKey::from_pem(account.private_key.expose_secret());
            key.map_err(BadFile::Key)?;
        }
        CredentialFile::AuthorizedUser(_) => {}
        CredentialFile::ExternalAccount(account) => {
            let source = &account.credential_source;
            if source.file.is_none() && source.url.is_none() {
                return Err(BadFile::Source);
            }
            subject_headers(source).ok_or(BadFile::Header)?;
            // The URL of the subject token may be a metadata server's, which has no TLS.
            let of_google = &account.service_account_impersonation_url;
            if !of_google.as_deref().is_none_or(is_protected) {
                return Err(BadFile::Url);
            }
        }
    }
    match is_protected(written.token_url()) {
        true => Ok(written),
        false => Err(BadFile::Url),
    }
}

/// Whether what is sent to this URL is encrypted or stays on this machine.
pub fn is_protected(url: &str) -> bool {
    let Ok(url) = url.parse::<http::Uri>() else {
        return false;
    };
    let is_here = |host: &str| {
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let address = address.parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    };
    match url.scheme_str() {
        Some("https") => url.host().is_some(),
        Some("http") => url.host().is_some_and(is_here),
        Some(_) | None => false,
    }
}

impl CredentialFile {
    fn token_url(&self) -> &str {
        match self {
            Self::ServiceAccount(ServiceAccount { token_uri, .. })
            | Self::AuthorizedUser(AuthorizedUser { token_uri, .. }) => {
                token_uri.as_deref().unwrap_or(TOKEN_URL)
            }
            Self::ExternalAccount(account) => &account.token_url,
        }
    }
}

/// A token by a file.
pub(super) async fn by_file(
    client: &Client,
    path: &Path,
    scope: &str,
    skew: &mut Skew,
) -> Result<Token, FetchError> {
    let text = files::read(path).await?;
    let written = read(text.expose_secret()).map_err(|bad| unusable(path, bad.to_string()))?;
    match &written {
        CredentialFile::ServiceAccount(account) => {
            let now = skew.theirs(SystemTime::now());
            let assertion = assertion(account, written.token_url(), scope, now)
                .map_err(|no_key| unusable(path, no_key.to_string()))?;
            let form = [
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                ("assertion", &assertion),
            ];
            exchange(client, written.token_url(), &form, skew).await
        }
        CredentialFile::AuthorizedUser(user) => {
            let form = [
                ("grant_type", "refresh_token"),
                ("client_id", &*user.client_id),
                ("client_secret", user.client_secret.expose_secret()),
                ("refresh_token", user.refresh_token.expose_secret()),
            ];
            exchange(client, written.token_url(), &form, skew).await
        }
        CredentialFile::ExternalAccount(account) => by_exchange(client, account, scope, skew).await,
    }
}

async fn exchange(
    client: &Client,
    url: &str,
    form: &[(&str, &str)],
    skew: &mut Skew,
) -> Result<Token, FetchError> {
    let content = Content::Form(form);
    let reply = client.ask(url, HeaderMap::new(), content, skew).await?;
    answers::token(&reply.body)
}

/// What a service account signs to get a token. `now` is in seconds since 1970.
fn assertion(
    account: &ServiceAccount,
    token_url: &str,
    scope: &str,
    now: i64,
) -> Result<String, jwt::NoKey> {
    let mut header = json!({"alg": "RS256", "typ": "JWT"});
    if let Some(id) = &account.private_key_id {
        header["kid"] = json!(id);
    }
    let claims = json!({
        "iss": account.client_email,
        "scope": scope,
        "aud": token_url,
        "iat": now,
        "exp": now.saturating_add(3600),
    });
    jwt::SigningKey::from_pem(account.private_key.expose_secret())?.sign(&header, &claims)
}

/// A token for an identity that Google trusts, perhaps in the name of a service account.
async fn by_exchange(
    client: &Client,
    account: &ExternalAccount,
    scope: &str,
    skew: &mut Skew,
) -> Result<Token, FetchError> {
    const CLOUD: &str = "https://www.googleapis.com/auth/cloud-platform";
    let subject = subject_token(client, &account.credential_source).await?;
    let impersonation = account.service_account_impersonation_url.as_deref();
    let form = [
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        (
            "requested_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        ("audience", &account.audience),
        ("scope", impersonation.map_or(scope, |_| CLOUD)),
        ("subject_token_type", &account.subject_token_type),
        ("subject_token", subject.expose_secret()),
    ];
    let federated = exchange(client, &account.token_url, &form, skew).await?;
    let Some(url) = impersonation else {
        return Ok(federated);
    };
    let settings = account.service_account_impersonation.as_ref();
    let asked = settings.and_then(|settings| settings.token_lifetime_seconds);
    let lifetime = asked.map_or(LIFETIME, |seconds| Duration::from_secs(seconds.into()));
    let content = json!({"scope": [scope], "lifetime": format!("{}s", lifetime.as_secs())});
    let headers = bearer(&federated.text)?;
    let content = Content::Json(content.to_string());
    let reply = client.ask(url, headers, content, skew).await?;
    answers::impersonated(&reply.body, lifetime)
}

fn subject_headers(source: &SubjectSource) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in &source.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.insert(name, secret_header(value.expose_secret()).ok()?);
    }
    Some(headers)
}

/// The token of the identity that Google trusts.
async fn subject_token(
    client: &Client,
    source: &SubjectSource,
) -> Result<SecretString, FetchError> {
    const NO_TEXT: FetchError = FetchError::Unreadable("the subject token is not there");
    let text: SecretString = match (&source.file, &source.url) {
        (Some(path), _) => files::read(path).await?,
        (None, Some(url)) => {
            let headers = subject_headers(source).unwrap_or_default();
            // Another host than Google's: its clock is not the one that counts.
            let mut its = Skew::default();
            let reply = client.ask(url, headers, Content::Nothing, &mut its).await?;
            String::from_utf8(reply.body).map_err(|_| NO_TEXT)?.into()
        }
        (None, None) => return Err(NO_TEXT),
    };
    let token = match &source.format {
        None | Some(SubjectFormat::Text) => Some(text.expose_secret().trim().to_owned()),
        Some(SubjectFormat::Json {
            subject_token_field_name: field,
        }) => serde_json::from_str::<Value>(text.expose_secret())
            .ok()
            .and_then(|json| Some(json.get(field)?.as_str()?.to_owned())),
    };
    let token = token.filter(|token| !token.is_empty());
    token.map(SecretString::from).ok_or(NO_TEXT)
}

/// A token from the metadata server. Its answer names itself, so that no other server is taken for it.
pub(super) async fn by_metadata(
    client: &Client,
    url: &str,
    account: &str,
    scope: &str,
) -> Result<Token, FetchError> {
    let url = format!(
        "{url}/computeMetadata/v1/instance/service-accounts/{}/token?scopes={}",
        segment::encoded(account),
        segment::encoded(scope)
    );
    let google = HeaderValue::from_static("Google");
    let headers = HeaderMap::from_iter([(FLAVOR, google.clone())]);
    let mut skew = Skew::default();
    let reply = client
        .ask(&url, headers, Content::Nothing, &mut skew)
        .await?;
    if reply.headers.get(FLAVOR) != Some(&google) {
        return Err(FetchError::Unreadable(
            "it does not come from a metadata server of Google",
        ));
    }
    answers::token(&reply.body)
}
