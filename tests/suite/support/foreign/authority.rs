//! A private certificate authority: issues certificates to servers and clients, valid and invalid ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use ring::digest::{SHA256, digest};
use rustls::crypto;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::support::scratch;

/// A certificate authority. Each one has a key of its own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A server on this machine: `localhost`, 127.0.0.1 and ::1.
    Server,
    /// The same, but expired.
    ExpiredServer,
    /// A server of another name.
    ServerElsewhere,
    /// A client.
    Client,
}

/// A certificate and its key.
pub(crate) struct Issued {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::until(4096)
    }

    /// One whose own certificate is valid until the beginning of this year.
    pub(crate) fn until(year: i32) -> Self {
        let mut params = CertificateParams::default();
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, format!("authority {}", next_number()));
        params.not_after = date_time_ymd(year, 1, 1);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its certificate in PEM, as a `ca_file` holds it.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// The SHA-256 of its certificate's DER, in hexadecimal digits.
    pub(crate) fn fingerprint(&self) -> String {
        fingerprint(self.0.der())
    }

    /// Its certificate in DER.
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A file with its certificate.
    pub(crate) fn file(&self) -> PathBuf {
        scratch::file("ca.pem", self.pem())
    }

    /// Issues a certificate.
    pub(crate) fn issue(&self, purpose: Purpose) -> Issued {
        match purpose {
            Purpose::ExpiredServer => self.issue_until(purpose, 2021),
            _ => self.issue_until(purpose, 4096),
        }
    }

    /// Issues a certificate that is valid from 2020 to the beginning of this year.
    pub(crate) fn issue_until(&self, purpose: Purpose, year: i32) -> Issued {
        let mut params = CertificateParams::default();
        let here = || {
            let addresses = [
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(Ipv6Addr::LOCALHOST),
            ];
            let mut names = addresses.map(SanType::IpAddress).to_vec();
            names.push(SanType::DnsName("localhost".try_into().unwrap()));
            names
        };
        let usage = match purpose {
            Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
            Purpose::Server | Purpose::ExpiredServer | Purpose::ServerElsewhere => {
                ExtendedKeyUsagePurpose::ServerAuth
            }
        };
        params.extended_key_usages = vec![usage];
        params.subject_alt_names = match purpose {
            Purpose::Server | Purpose::ExpiredServer => here(),
            Purpose::ServerElsewhere => {
                vec![SanType::DnsName("elsewhere.example".try_into().unwrap())]
            }
            Purpose::Client => vec![SanType::DnsName("modelway.example".try_into().unwrap())],
        };
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued {
            chain: vec![certificate.der().clone()],
            pem: certificate.pem(),
            key,
        }
    }

    /// Issues a certificate to a client with these URIs and DNS names among its alternative names, and this common name.
    pub(crate) fn client_named(&self, uris: &[&str], names: &[&str], common_name: &str) -> Issued {
        let uris = uris
            .iter()
            .map(|uri| SanType::URI((*uri).try_into().unwrap()));
        let names = names
            .iter()
            .map(|name| SanType::DnsName((*name).try_into().unwrap()));
        self.client_with(uris.chain(names).collect(), common_name)
    }

    /// Issues a certificate to a client with these alternative names of any kind, and this common name.
    pub(crate) fn client_with(&self, names: Vec<SanType>, common_name: &str) -> Issued {
        self.client_of(CertificateParams::default(), names, common_name)
    }

    /// Issues a certificate to a client whose extension for alternative names has this content, whatever it is, and with
    /// this common name.
    pub(crate) fn client_with_raw_names(&self, content: &[u8], common_name: &str) -> Issued {
        // The extension of alternative names (RFC 5280, section 4.2.1.6).
        let names = CustomExtension::from_oid_content(&[2, 5, 29, 17], content.to_vec());
        let mut params = CertificateParams::default();
        params.custom_extensions = vec![names];
        self.client_of(params, Vec::new(), common_name)
    }

    fn client_of(
        &self,
        mut params: CertificateParams,
        names: Vec<SanType>,
        common_name: &str,
    ) -> Issued {
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = names;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(4096, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued {
            chain: vec![certificate.der().clone()],
            pem: certificate.pem(),
            key,
        }
    }

    /// How a server speaks TLS that shows this certificate and offers these protocols.
    pub(crate) fn server(&self, purpose: Purpose, protocols: &[&str]) -> Arc<ServerConfig> {
        let provider = Arc::new(crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        finished(
            builder.with_no_client_auth(),
            self.issue(purpose),
            protocols,
        )
    }

    /// How a client speaks TLS that believes this authority alone, offers these protocols, and shows this certificate if
    /// it has one.
    pub(crate) fn client(&self, client: Option<&Issued>, protocols: &[&str]) -> Arc<ClientConfig> {
        let provider = Arc::new(crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.der()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match client {
            Some(client) => {
                let key = PrivateKeyDer::Pkcs8(client.key.serialize_der().into());
                let config = builder.with_client_auth_cert(client.chain.clone(), key);
                config.unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        Arc::new(config)
    }

    /// How a client speaks TLS that believes this authority alone, and shows a certificate that it has not looked into.
    pub(crate) fn client_that_shows(&self, client: &Issued) -> Arc<ClientConfig> {
        let provider = Arc::new(crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.der()).unwrap();
        let key = PrivateKeyDer::Pkcs8(client.key.serialize_der().into());
        let key = crypto::ring::sign::any_supported_type(&key).unwrap();
        let shown = CertifiedKey::new(client.chain.clone(), key);
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
        Arc::new(config)
    }

    /// How a server speaks TLS that accepts only clients with a certificate of this authority.
    pub(crate) fn server_for_clients(&self, protocols: &[&str]) -> Arc<ServerConfig> {
        let provider = Arc::new(crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.der()).unwrap();
        let roots = Arc::new(roots);
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.unwrap());
        finished(builder, self.issue(Purpose::Server), protocols)
    }
}

impl Issued {
    /// The certificate in PEM.
    pub(crate) fn pem(&self) -> String {
        self.pem.clone()
    }

    /// The SHA-256 of the certificate's DER, in hexadecimal digits.
    pub(crate) fn fingerprint(&self) -> String {
        fingerprint(&self.chain[0])
    }

    /// Its key in PEM.
    pub(crate) fn key(&self) -> String {
        self.key.serialize_pem()
    }

    /// Files with the certificate and with its key, in PEM.
    pub(crate) fn files(&self) -> (PathBuf, PathBuf) {
        let key = self.key();
        (
            scratch::file("cert.pem", &self.pem),
            scratch::file("key.pem", &key),
        )
    }
}

fn finished(
    builder: rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>,
    issued: Issued,
    protocols: &[&str],
) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(issued.key.serialize_der().into());
    let mut config = builder.with_single_cert(issued.chain, key).unwrap();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    Arc::new(config)
}

fn fingerprint(der: &[u8]) -> String {
    let hash = digest(&SHA256, der);
    hash.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Another number each time.
fn next_number() -> usize {
    static GIVEN: AtomicUsize = AtomicUsize::new(0);
    GIVEN.fetch_add(1, Ordering::Relaxed)
}
