//! Where does an access token come from? Data: `outbound` fetches it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use super::link::Link;

/// Who issues a token, and how we prove who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// Google, by a JSON file: a service account, a user's own credential, or another identity that Google trusts
    /// (workload identity federation).
    GoogleFile {
        /// The file. It is read for each token.
        path: PathBuf,
        /// What the token is for.
        scope: String,
    },
    /// Google, by the metadata server of the machine.
    GoogleMetadata {
        /// The server's URL without a path.
        url: String,
        /// The service account, such as `default`.
        account: String,
        /// What the token is for.
        scope: String,
    },
    /// Microsoft Entra ID, by an application.
    Entra {
        /// The URL of the authority without a path.
        authority: String,
        /// The directory (tenant) of the application.
        tenant: String,
        /// The application's id.
        client: String,
        /// What the token is for.
        scope: String,
        /// How the application proves who it is.
        proof: EntraProof,
    },
    /// Microsoft Entra ID, by the managed identity of the machine.
    EntraManaged {
        /// The URL of the instance's metadata service without a path.
        url: String,
        /// What the token is for.
        resource: String,
        /// Which of several identities; `None` for the only one.
        client: Option<String>,
    },
}

/// How an application proves to Entra ID who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntraProof {
    /// By a secret from the environment.
    Secret(ClientSecret),
    /// By a secret in a file. It is read for each token.
    SecretFile(PathBuf),
    /// By a certificate and its private key in PEM. The file is read for each token.
    CertificateFile(PathBuf),
    /// By a token in a file, such as a Kubernetes service account's. It is read for each token.
    TokenFile(PathBuf),
}

/// A secret of an application.
#[derive(Clone)]
pub struct ClientSecret(pub SecretString);

impl PartialEq for ClientSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Eq for ClientSecret {}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSecret").finish_non_exhaustive()
    }
}

impl TokenSource {
    /// The file whose content it depends on, if any.
    pub fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::GoogleFile { path, .. } => Some(path),
            Self::Entra { proof, .. } => match proof {
                EntraProof::Secret(_) => None,
                EntraProof::SecretFile(path)
                | EntraProof::CertificateFile(path)
                | EntraProof::TokenFile(path) => Some(path),
            },
            Self::GoogleMetadata { .. } | Self::EntraManaged { .. } => None,
        }
    }
}

/// A source and how it is reached. Providers that agree in both share their token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenOrigin {
    /// Who issues the token.
    pub source: TokenSource,
    /// How connections to the issuer are made.
    pub link: Arc<Link>,
}
