//! TLS towards providers: which authorities are trusted, and which client certificate is shown.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use secrecy::ExposeSecret as _;

use crate::provider::link::{ClientKeyPair, Link};

/// Why certificates or keys cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The text is not PEM, or its base64 is broken.
    #[error("it is not PEM")]
    NotPem,
    /// PEM without a certificate.
    #[error("it holds no certificate")]
    NoCertificate,
    /// A certificate cannot be read.
    #[error("it holds a certificate that cannot be read")]
    BadCertificate,
    /// PEM without a private key.
    #[error("it holds no private key")]
    NoKey,
    /// The key is of an unsupported kind, or does not belong to the certificate.
    #[error("the key does not fit the certificate, or is of a kind that is not known")]
    BadKey,
}

/// Reads the certificates of authorities from PEM, as DER.
///
/// # Errors
/// The text is not PEM, holds no certificate, or holds one that cannot be used as an authority.
pub fn authorities(pem: &str) -> Result<Vec<Vec<u8>>, Unusable> {
    let certificates = certificates(pem)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        let certificate = CertificateDer::from(certificate.as_slice()).into_owned();
        roots.add(certificate).or(Err(Unusable::BadCertificate))?;
    }
    Ok(certificates)
}

/// Reads at least one certificate from PEM, as DER.
///
/// # Errors
/// The text is not PEM, or holds no certificate.
pub fn certificates(pem: &str) -> Result<Vec<Vec<u8>>, Unusable> {
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        certificates.push(certificate.or(Err(Unusable::NotPem))?.to_vec());
    }
    if certificates.is_empty() {
        return Err(Unusable::NoCertificate);
    }
    Ok(certificates)
}

/// Whether certificate and key belong together and can be used.
///
/// # Errors
/// The key is not PEM, or does not belong to the certificate.
pub fn check_identity(identity: &ClientKeyPair) -> Result<(), Unusable> {
    certified_key(identity, &ring::default_provider()).map(drop)
}

/// An RSA key in DER.
pub enum RsaKey {
    /// As PKCS #8 wraps it.
    Pkcs8(Vec<u8>),
    /// As PKCS #1 writes it.
    Pkcs1(Vec<u8>),
}

/// Reads a private key from PEM; `None` if there is none that can be one of RSA.
pub fn rsa_key(pem: &str) -> Option<RsaKey> {
    match PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()? {
        PrivateKeyDer::Pkcs8(key) => Some(RsaKey::Pkcs8(key.secret_pkcs8_der().to_vec())),
        PrivateKeyDer::Pkcs1(key) => Some(RsaKey::Pkcs1(key.secret_pkcs1_der().to_vec())),
        _ => None,
    }
}

/// The TLS configuration of a link. On a machine without certificate authorities it trusts none.
///
/// # Errors
/// TLS cannot be set up at all.
pub fn client_or_none(link: &Link) -> Result<ClientConfig, rustls::Error> {
    client(link).or_else(|_| none())
}

/// A TLS configuration that trusts no authority, for links that never use TLS.
pub(super) fn none() -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty());
    Ok(builder.with_no_client_auth())
}

fn certified_key(
    identity: &ClientKeyPair,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Unusable> {
    let chain = identity
        .chain
        .iter()
        .map(|certificate| CertificateDer::from(certificate.clone()))
        .collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.expose_secret().as_bytes())
        .or(Err(Unusable::NoKey))?;
    CertifiedKey::from_der(chain, key, provider).or(Err(Unusable::BadKey))
}

/// The TLS configuration of a link. It offers no protocols yet.
///
/// # Errors
/// There is no authority to trust. Or the link's certificates cannot be used; the configuration has already refused
/// such certificates.
pub(super) fn client(link: &Link) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let extra = link
        .authorities
        .iter()
        .map(|certificate| CertificateDer::from(certificate.clone()));
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider))?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous() // rustls' word for any verifier of one's own
        .with_custom_certificate_verifier(Arc::new(verifier));
    let Some(identity) = &link.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let key = certified_key(identity, &provider)
        .map_err(|unusable| rustls::Error::General(unusable.to_string()))?;
    Ok(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))))
}
