//! With which certificate does a listener prove itself, and whose clients does it believe? Exchanged while it serves.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;
use tracing::info;

use crate::certificate::Certificate;
use crate::hash::sha256;

/// The protocols that are offered, the preferred one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The files of a listener's TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The certificate in PEM, followed by those that lead from it to its authority.
    pub cert: PathBuf,
    /// The private key of the certificate in PEM.
    pub key: PathBuf,
    /// The authorities whose clients are believed, in PEM; `None`: clients are not asked for a certificate.
    pub client_ca: Option<PathBuf>,
    /// Whether a client must show a certificate.
    pub client_auth: ClientAuth,
}

impl TlsSettings {
    /// Whether nobody connects without a certificate of an authority that is believed.
    pub fn asks_for_proof(&self) -> bool {
        self.client_ca.is_some() && self.client_auth == ClientAuth::Required
    }
}

/// Whether a client must show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// A client without a certificate is refused.
    #[default]
    Required,
    /// A client may come without a certificate; one that it shows must be valid.
    Optional,
}

/// Which file of a listener's TLS cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFile {
    /// The certificate.
    Cert,
    /// The private key.
    Key,
    /// The authorities of clients.
    ClientCa,
}

/// Why the files of a listener's TLS cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct BadTls {
    /// The file to change.
    pub file: TlsFile,
    /// What is wrong with it.
    pub why: String,
}

/// The text of the files of a listener's TLS.
#[derive(Clone, Copy, Debug)]
pub struct TlsTexts<'a> {
    /// The certificate.
    pub cert: &'a str,
    /// The private key.
    pub key: &'a str,
    /// The authorities of clients.
    pub client_ca: Option<&'a str>,
}

/// A certificate, its key and the authorities of clients, checked together.
pub struct TlsMaterial {
    /// For connections.
    pub(super) config: Arc<ServerConfig>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    chain: Vec<Certificate>,
    authorities: Vec<Certificate>,
    /// The SHA-256 of all texts, and of whether clients must show a certificate.
    digest: [u8; 32],
}

impl TlsMaterial {
    /// Checks the texts of all files together.
    ///
    /// # Errors
    /// [`BadTls`], of the first file that cannot be used.
    pub fn check(texts: TlsTexts<'_>, client_auth: ClientAuth) -> Result<Self, BadTls> {
        let TlsTexts {
            cert,
            key,
            client_ca,
        } = texts;
        let provider = Arc::new(default_provider());
        let chain = certificates(TlsFile::Cert, cert)?;
        let read = |file, certificate: &CertificateDer<'_>| {
            Certificate::read(certificate).ok_or_else(|| bad(file, BAD_CERTIFICATE))
        };
        let shown = chain.iter().map(|it| read(TlsFile::Cert, it));
        let shown: Vec<_> = shown.collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).or(Err(bad(
            TlsFile::Key,
            "it holds no private key in PEM without a passphrase",
        )))?;
        let certified = CertifiedKey::from_der(chain, key, &provider).or(Err(bad(
            TlsFile::Key,
            "certificate_pair: the key does not belong to the certificate, or is of an unsupported kind",
        )))?;
        let mut authorities = Vec::new();
        let mut verifier = None;
        if let Some(text) = client_ca {
            let mut roots = RootCertStore::empty();
            for authority in certificates(TlsFile::ClientCa, text)? {
                authorities.push(read(TlsFile::ClientCa, &authority)?);
                roots
                    .add(authority)
                    .or(Err(bad(TlsFile::ClientCa, BAD_CERTIFICATE)))?;
            }
            let builder =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
            let builder = match client_auth {
                ClientAuth::Required => builder,
                ClientAuth::Optional => builder.allow_unauthenticated(),
            };
            let built = builder.build();
            verifier = Some(built.or(Err(bad(TlsFile::ClientCa, BAD_CERTIFICATE)))?);
        }
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| bad(TlsFile::Cert, &error.to_string()))?;
        let builder = match &verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self {
            config: Arc::new(config),
            verifier,
            chain: shown,
            authorities,
            digest: digest_of(texts, client_auth),
        })
    }

    /// The certificate of the listener, then those that lead from it to its authority.
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// The certificates of the authorities of its clients.
    pub fn authorities(&self) -> &[Certificate] {
        &self.authorities
    }

    /// What an operator should know of these certificates: not yet valid, expired, soon to end.
    pub fn warnings(&self, now: SystemTime) -> Vec<String> {
        let names = std::iter::once("the certificate");
        let names = names.chain(std::iter::repeat("a certificate behind it"));
        let chain = self.chain.iter().zip(names);
        let authorities = self.authorities.iter();
        let authorities = authorities.map(|authority| (authority, "an authority of clients"));
        chain
            .chain(authorities)
            .filter_map(|(certificate, what)| certificate.warning(what, now))
            .collect()
    }

    /// Whether a client that has shown these certificates is believed.
    fn believes(&self, shown: &[CertificateDer<'_>], now: UnixTime) -> bool {
        let (Some(verifier), Some((client, others))) = (&self.verifier, shown.split_first()) else {
            // Without authorities, certificates prove nothing, and nobody needs one.
            return self.verifier.is_none();
        };
        verifier.verify_client_cert(client, others, now).is_ok()
    }
}

const NO_CERTIFICATE: &str = "it holds no certificate in PEM";
const BAD_CERTIFICATE: &str = "it holds a certificate that cannot be read";

fn bad(file: TlsFile, why: &str) -> BadTls {
    BadTls {
        file,
        why: why.to_owned(),
    }
}

fn certificates(file: TlsFile, pem: &str) -> Result<Vec<CertificateDer<'static>>, BadTls> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(bad(file, NO_CERTIFICATE)),
    }
}

fn digest_of(texts: TlsTexts<'_>, client_auth: ClientAuth) -> [u8; 32] {
    let TlsTexts {
        cert,
        key,
        client_ca,
    } = texts;
    let auth = match client_auth {
        ClientAuth::Required => "required",
        ClientAuth::Optional => "optional",
    };
    let all = [cert, key, client_ca.unwrap_or_default(), auth].join("\0");
    sha256(all.as_bytes())
}

/// The TLS of a listener, whose certificates can be exchanged while it serves.
pub struct ListenerTls {
    /// The table of the configuration, such as `server.tls`.
    name: &'static str,
    current: watch::Sender<Arc<TlsMaterial>>,
}

impl ListenerTls {
    /// The TLS of the listener whose table has this name.
    pub fn new(name: &'static str, material: Arc<TlsMaterial>) -> Self {
        Self {
            name,
            current: watch::Sender::new(material),
        }
    }

    /// What handshakes use now.
    pub fn current(&self) -> Arc<TlsMaterial> {
        Arc::clone(&self.current.borrow())
    }

    /// Uses `new` for handshakes from now on. Open connections go on; those of clients whose authority is no longer
    /// believed end within 5 seconds.
    pub fn exchange(&self, new: Arc<TlsMaterial>) {
        if new.digest == self.current.borrow().digest {
            return;
        }
        let leaf = new.chain.first();
        let fingerprint = leaf.map(|certificate| certificate.fingerprint.as_str());
        info!(listener = self.name, fingerprint, "certificates exchanged");
        self.current.send_replace(new);
    }

    /// Follows exchanges from now on.
    pub(super) fn follow(&self) -> Following {
        Following {
            current: self.current.subscribe(),
        }
    }
}

/// Follows the exchanges of a listener's TLS, for one connection.
pub(super) struct Following {
    current: watch::Receiver<Arc<TlsMaterial>>,
}

impl Following {
    /// What the handshake of the connection uses.
    pub(super) fn now(&mut self) -> Arc<TlsMaterial> {
        Arc::clone(&self.current.borrow_and_update())
    }

    /// Waits until a client that has shown these certificates is no longer believed.
    pub(super) async fn disbelieves(mut self, shown: Vec<CertificateDer<'static>>) {
        while self.current.changed().await.is_ok() {
            let current = self.now();
            if !current.believes(&shown, UnixTime::now()) {
                return;
            }
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    use super::*;

    struct Pair {
        cert: String,
        key: String,
    }

    fn pair(until_year: i32) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until_year, 1, 10);
        Pair {
            cert: params.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    fn check(cert: &str, key: &str, client_ca: Option<&str>) -> Result<TlsMaterial, BadTls> {
        let texts = TlsTexts {
            cert,
            key,
            client_ca,
        };
        TlsMaterial::check(texts, ClientAuth::Required)
    }

    /// Seconds of a day in January of a year.
    fn january(year: u64, day: u64) -> SystemTime {
        // Leap years until then, from 1970 on; none of the years here is one of a century without a leap day.
        let days = (year - 1970) * 365 + (year - 1969) / 4 + day - 1;
        SystemTime::UNIX_EPOCH + Duration::from_secs(days * 24 * 60 * 60)
    }

    #[test]
    fn a_bad_file_is_named() {
        let (one, other) = (pair(2050), pair(2050));
        let file = |checked: Result<TlsMaterial, BadTls>| checked.err().unwrap().file;

        assert!(check(&one.cert, &one.key, Some(&other.cert)).is_ok());
        assert_eq!(file(check("", &one.key, None)), TlsFile::Cert);
        assert_eq!(file(check(&one.key, &one.key, None)), TlsFile::Cert);
        assert_eq!(file(check(&one.cert, "", None)), TlsFile::Key);
        assert_eq!(file(check(&one.cert, &other.key, None)), TlsFile::Key);
        let no_authority = check(&one.cert, &one.key, Some(""));
        assert_eq!(file(no_authority), TlsFile::ClientCa);
    }

    #[test]
    fn a_certificate_out_of_its_time_is_warned_of() {
        let one = pair(2027);
        let material = check(&one.cert, &one.key, None).unwrap();
        let told = |now| material.warnings(now).join("; ");

        assert_eq!(told(january(2026, 1)), "");
        assert_eq!(told(january(2027, 5)), "the certificate ends in 5 days");
        assert_eq!(
            told(january(2027, 13)),
            "the certificate expired 3 days ago"
        );
        let early = told(january(2019, 31));
        assert_eq!(early, "the certificate is not valid yet, but in 335 days");
    }
}
