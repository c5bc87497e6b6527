//! Reads `credential`: where a provider's access tokens come from.

use std::path::{Path, PathBuf};

use crate::outbound;
use crate::provider::link::ProxyUrl;
use crate::provider::token::{ClientSecret, EntraProof, TokenSource};

use super::link::LinkReader;
use super::reading;
use super::secret::{Surroundings, is_unchecked};
use super::table::{Table, Value};

const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const METADATA_URL: &str = "http://metadata.google.internal";
const ENTRA_URL: &str = "https://login.microsoftonline.com";
const ENTRA_RESOURCE: &str = "https://cognitiveservices.azure.com";
const INSTANCE_URL: &str = "http://169.254.169.254";

/// How a provider's tokens are got.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TokenKind {
    GoogleFile,
    GoogleMetadata,
    EntraSecret,
    EntraCertificate,
    EntraWorkload,
    EntraManaged,
}

const KINDS: [(&str, TokenKind); 6] = [
    ("google_file", TokenKind::GoogleFile),
    ("google_metadata", TokenKind::GoogleMetadata),
    ("entra_secret", TokenKind::EntraSecret),
    ("entra_certificate", TokenKind::EntraCertificate),
    ("entra_workload", TokenKind::EntraWorkload),
    ("entra_managed", TokenKind::EntraManaged),
];

/// Reads the table: a source of tokens and the proxy on the way to it. `None` if something about it is wrong.
pub(super) fn read(
    value: &Value<'_>,
    links: &LinkReader<'_>,
    surroundings: &Surroundings<'_>,
) -> Option<(TokenSource, Option<ProxyUrl>)> {
    let mut table = value.table()?;
    let kind = table.required(
        "kind",
        "say where tokens come from, such as \"google_file\"",
        |value| value.choice(&KINDS),
    )?;
    // What is reached without TLS lies on the machine or its network, and no proxy on the way to it.
    let (source, through) = match kind {
        TokenKind::GoogleFile => google_file(&mut table, surroundings).unzip(),
        TokenKind::GoogleMetadata => {
            let url = table.or("url", METADATA_URL.to_owned(), |value| origin(value, true));
            let account = table.or("account", "default", Value::string).to_owned();
            let scope = table.or("scope", GOOGLE_SCOPE, Value::string).to_owned();
            let source = TokenSource::GoogleMetadata {
                url,
                account,
                scope,
            };
            (Some(source), None)
        }
        TokenKind::EntraManaged => {
            let url = table.or("url", INSTANCE_URL.to_owned(), |value| origin(value, true));
            let resource = table
                .or("resource", ENTRA_RESOURCE, Value::string)
                .to_owned();
            let client = table
                .optional("client_id", Value::string)
                .map(str::to_owned);
            let source = TokenSource::EntraManaged {
                url,
                resource,
                client,
            };
            (Some(source), None)
        }
        TokenKind::EntraSecret | TokenKind::EntraCertificate | TokenKind::EntraWorkload => {
            entra(&mut table, kind, surroundings).unzip()
        }
    };
    let proxy = links.proxy_of(&mut table, through.as_deref());
    table.finish();
    Some((source?, proxy))
}

/// A source, and the URL of its issuer.
type Source = (TokenSource, String);

fn google_file(table: &mut Table<'_>, surroundings: &Surroundings<'_>) -> Option<Source> {
    let scope = table.or("scope", GOOGLE_SCOPE, Value::string).to_owned();
    let path = file(
        table,
        "file",
        Some("GOOGLE_APPLICATION_CREDENTIALS"),
        surroundings,
    )?;
    let text = content(table, &path, surroundings)?;
    let url = match is_unchecked(&text) {
        true => String::new(),
        false => match outbound::check_file(&text) {
            Ok(url) => url,
            Err(why) => {
                table.place.wrong(
                    format!("the file `{}` cannot be used: {why}", shown(&path)),
                    "store there the JSON file that Google Cloud gave you",
                );
                return None;
            }
        },
    };
    Some((TokenSource::GoogleFile { path, scope }, url))
}

fn entra(
    table: &mut Table<'_>,
    kind: TokenKind,
    surroundings: &Surroundings<'_>,
) -> Option<Source> {
    // The Azure SDKs read the same variables, which the webhook of workload identity sets.
    let is_workload = kind == TokenKind::EntraWorkload;
    let variable = |name: &'static str| is_workload.then_some(name);
    let authority = table.get("url");
    let authority = match (&authority, variable("AZURE_AUTHORITY_HOST")) {
        (Some(value), _) => origin(value, false),
        (None, Some(name)) => {
            let set = (surroundings.variable)(name).filter(|url| !is_unchecked(url));
            let url = set.map_or(ENTRA_URL.to_owned(), |url| {
                url.trim_end_matches('/').to_owned()
            });
            let is_protected = outbound::is_protected(&url);
            if !is_protected {
                table.place.wrong(
                    format!("the environment variable `{name}` is no URL with https"),
                    format!("correct `{name}`, or set `url`"),
                );
            }
            is_protected.then_some(url)
        }
        (None, None) => Some(ENTRA_URL.to_owned()),
    };
    let tenant = named(
        table,
        "tenant_id",
        variable("AZURE_TENANT_ID"),
        surroundings,
    );
    let client = named(
        table,
        "client_id",
        variable("AZURE_CLIENT_ID"),
        surroundings,
    );
    let default_scope = format!("{ENTRA_RESOURCE}/.default");
    let scope = table.or("scope", default_scope, |value| {
        value.string().map(str::to_owned)
    });
    let proof = match kind {
        TokenKind::EntraCertificate => certificate(table, surroundings),
        TokenKind::EntraWorkload => token_file(table, surroundings),
        TokenKind::EntraSecret
        | TokenKind::GoogleFile
        | TokenKind::GoogleMetadata
        | TokenKind::EntraManaged => client_secret(table, surroundings),
    };
    let authority = authority?;
    let source = TokenSource::Entra {
        authority: authority.clone(),
        tenant: tenant?,
        client: client?,
        scope,
        proof: proof?,
    };
    Some((source, authority))
}

fn client_secret(table: &mut Table<'_>, surroundings: &Surroundings<'_>) -> Option<EntraProof> {
    table.required(
        "client_secret",
        "refer to the secret by \"env:NAME\" or \"file:PATH\"",
        |value| {
            let secret = surroundings.secret_text(value)?;
            Some(match value.string()?.strip_prefix("file:") {
                Some(path) => EntraProof::SecretFile(PathBuf::from(path)),
                None => EntraProof::Secret(ClientSecret(secret)),
            })
        },
    )
}

fn certificate(table: &mut Table<'_>, surroundings: &Surroundings<'_>) -> Option<EntraProof> {
    let path = file(table, "certificate_file", None, surroundings)?;
    let pem = content(table, &path, surroundings)?;
    if !is_unchecked(&pem)
        && let Err(why) = outbound::check_certificate(&pem)
    {
        table.place.wrong(
            format!("the file `{}` cannot be used: {why}", shown(&path)),
            "store there the certificate and its private RSA key, both in PEM",
        );
        return None;
    }
    Some(EntraProof::CertificateFile(path))
}

fn token_file(table: &mut Table<'_>, surroundings: &Surroundings<'_>) -> Option<EntraProof> {
    let path = file(
        table,
        "token_file",
        Some("AZURE_FEDERATED_TOKEN_FILE"),
        surroundings,
    )?;
    content(table, &path, surroundings)?;
    Some(EntraProof::TokenFile(path))
}

/// A text from the table, or else from an environment variable.
fn named(
    table: &mut Table<'_>,
    key: &'static str,
    variable: Option<&'static str>,
    surroundings: &Surroundings<'_>,
) -> Option<String> {
    if let Some(value) = table.get(key) {
        return value.string().map(str::to_owned);
    }
    let set = variable.and_then(|name| (surroundings.variable)(name));
    let set = set
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty());
    if set.is_none() {
        let or_variable = variable.map(|name| format!(", or the environment variable `{name}`"));
        table.place.absent(
            format!("`{key}` is missing"),
            format!("set it{}", or_variable.unwrap_or_default()),
        );
    }
    set
}

fn file(
    table: &mut Table<'_>,
    key: &'static str,
    variable: Option<&'static str>,
    surroundings: &Surroundings<'_>,
) -> Option<PathBuf> {
    named(table, key, variable, surroundings).map(PathBuf::from)
}

fn content(table: &Table<'_>, path: &Path, surroundings: &Surroundings<'_>) -> Option<String> {
    match (surroundings.read_file)(path) {
        Ok(text) => Some(text),
        Err(error) => {
            table.place.wrong(
                format!(
                    "the file `{}` cannot be read: {}",
                    shown(path),
                    reading::why(&error)
                ),
                "store the credential there, readable for this process",
            );
            None
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string()
}

/// A URL without a path. Secrets are sent by https only.
fn origin(value: &Value<'_>, may_be_plain: bool) -> Option<String> {
    let written = value.string()?;
    let url = written.parse::<http::Uri>().unwrap_or_default();
    let is_plain = url.scheme_str() == Some("http") && url.host().is_some();
    let has_more =
        url.path_and_query().is_some_and(|rest| rest != "/") || written.contains(['@', '#']);
    let is_usable = outbound::is_protected(written) || may_be_plain && is_plain;
    if has_more || !is_usable {
        value.place.wrong(
            "not the URL of an issuer of tokens",
            "write scheme and host only, such as \"https://login.microsoftonline.com\"",
        );
        return None;
    }
    Some(written.trim_end_matches('/').to_owned())
}
