//! TLS towards providers: whom we trust, and as whom we show ourselves.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use secrecy::ExposeSecret as _;

use crate::provider::link::{Identity, Link};

/// Why certificates or keys cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The text is no PEM, or its base64 is broken.
    #[error("it is not PEM")]
    NotPem,
    /// PEM, but without what is looked for.
    #[error("it holds no certificate")]
    NoCertificate,
    /// A certificate cannot be read.
    #[error("it holds a certificate that cannot be read")]
    BadCertificate,
    /// PEM without a private key.
    #[error("it holds no private key")]
    NoKey,
    /// A kind of key that nobody can sign with here, or one that is not the certificate's.
    #[error("the key does not fit the certificate, or is of a kind that is not known")]
    BadKey,
}

/// The certificates in PEM, in DER.
///
/// # Errors
/// It is no PEM, holds no certificate, or one that cannot stand for an authority.
pub fn authorities(pem: &str) -> Result<Vec<Vec<u8>>, Unusable> {
    let certificates = certificates(pem)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        let certificate = CertificateDer::from(certificate.as_slice()).into_owned();
        roots.add(certificate).or(Err(Unusable::BadCertificate))?;
    }
    Ok(certificates)
}

/// The certificates in PEM, in DER; at least one.
///
/// # Errors
/// It is no PEM, or holds no certificate.
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
/// The key is no PEM, or does not fit the certificate.
pub fn check_identity(identity: &Identity) -> Result<(), Unusable> {
    certified_key(identity, &ring::default_provider()).map(drop)
}

/// What TLS needs where only hosts without it are reached: it trusts nobody.
pub(super) fn none() -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty());
    Ok(builder.with_no_client_auth())
}

fn certified_key(identity: &Identity, provider: &CryptoProvider) -> Result<CertifiedKey, Unusable> {
    let chain = identity
        .chain
        .iter()
        .map(|certificate| CertificateDer::from(certificate.clone()))
        .collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.expose_secret().as_bytes())
        .or(Err(Unusable::NoKey))?;
    CertifiedKey::from_der(chain, key, provider).or(Err(Unusable::BadKey))
}

/// What TLS needs for connections of this kind, without protocols to offer.
///
/// # Errors
/// There is no authority to trust, or the link's certificates cannot be used, which the configuration
/// has ruled out.
pub(super) fn client(link: &Link) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let extra = link
        .authorities
        .iter()
        .map(|certificate| CertificateDer::from(certificate.clone()));
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider))?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous() // its name for any verifier that is not WebPKI with one set of roots
        .with_custom_certificate_verifier(Arc::new(verifier));
    let Some(identity) = &link.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let key = certified_key(identity, &provider)
        .map_err(|unusable| rustls::Error::General(unusable.to_string()))?;
    Ok(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))))
}
