//! When does a certificate end, and which one is it? For operators, and for the metric that an alert watches.

use std::time::{Duration, SystemTime};

use x509_cert::Certificate as Parsed;
use x509_cert::der::Decode as _;

use crate::hash::sha256_in_digits;

/// How long before its end a certificate is warned of.
const SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What is told of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// When it begins to be valid.
    pub not_before: SystemTime,
    /// When it ends to be valid.
    pub not_after: SystemTime,
    /// The SHA-256 of its DER, in hexadecimal digits.
    pub fingerprint: String,
}

impl Certificate {
    /// Reads a certificate; `None` if this is not the DER of one.
    pub fn read(der: &[u8]) -> Option<Self> {
        let parsed = Parsed::from_der(der).ok()?;
        let validity = parsed.tbs_certificate().validity();
        Some(Self {
            not_before: validity.not_before.to_system_time(),
            not_after: validity.not_after.to_system_time(),
            fingerprint: sha256_in_digits(der),
        })
    }

    /// What an operator should know of it, if it has expired, ends soon or is not valid yet. `what` names it in the
    /// sentence.
    pub fn warning(&self, what: &str, now: SystemTime) -> Option<String> {
        let days = |time: Duration| time.as_secs() / (24 * 60 * 60);
        let left = self.not_after.duration_since(now);
        let until = self.not_before.duration_since(now);
        match (left, until) {
            (Err(since), _) => Some(format!(
                "{what} expired {} days ago",
                days(since.duration())
            )),
            (Ok(_), Ok(until)) if !until.is_zero() => Some(format!(
                "{what} is not valid yet, but in {} days",
                days(until)
            )),
            (Ok(left), _) if left < SOON => Some(format!("{what} ends in {} days", days(left))),
            (Ok(_), _) => None,
        }
    }
}

/// The name of the authority that has issued a certificate, as RFC 4514 writes it, in the certificate's own words; `None` if
/// this is not the DER of one.
pub fn issuer(der: &[u8]) -> Option<String> {
    let parsed = Parsed::from_der(der).ok()?;
    Some(parsed.tbs_certificate().issuer().to_string())
}

/// What the certificates of a file are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateUse {
    /// The listener for callers shows them.
    Server,
    /// The listener for operators shows them.
    Admin,
    /// Clients with a certificate of one of these authorities are believed.
    ClientCa,
    /// They are shown to providers.
    Provider,
}

impl CertificateUse {
    /// Its name for operators and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Admin => "admin",
            Self::ClientCa => "client_ca",
            Self::Provider => "provider",
        }
    }
}

/// The certificates of a file that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFile {
    /// What they are for.
    pub usage: CertificateUse,
    /// The file, as the configuration writes it.
    pub path: String,
    /// All of them together: valid while each of them is valid, with the fingerprint of the first one.
    pub together: Certificate,
}

impl CertificateFile {
    /// The file with these certificates; `None` if there are none.
    pub fn of<'a>(
        usage: CertificateUse,
        path: impl Into<String>,
        certificates: impl IntoIterator<Item = &'a Certificate>,
    ) -> Option<Self> {
        let mut certificates = certificates.into_iter();
        let mut together = certificates.next()?.clone();
        for certificate in certificates {
            together.not_before = together.not_before.max(certificate.not_before);
            together.not_after = together.not_after.min(certificate.not_after);
        }
        Some(Self {
            usage,
            path: path.into(),
            together,
        })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(from_year: i32, until_year: i32) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from_year, 1, 1);
        params.not_after = date_time_ymd(until_year, 1, 1);
        Certificate::read(params.self_signed(&key).unwrap().der()).unwrap()
    }

    #[test]
    fn a_file_ends_with_the_first_of_its_certificates_that_ends() {
        let [leaf, authority] = [certificate(2020, 2040), certificate(2021, 2030)];

        let file = CertificateFile::of(CertificateUse::Server, "/a.pem", [&leaf, &authority]);

        let together = file.unwrap().together;
        assert_eq!(together.not_after, authority.not_after);
        assert_eq!(together.not_before, authority.not_before);
        assert_eq!(together.fingerprint, leaf.fingerprint);
        assert_eq!(
            CertificateFile::of(CertificateUse::Server, "/a.pem", []),
            None
        );
    }

    #[test]
    fn what_is_no_certificate_is_not_read() {
        assert_eq!(Certificate::read(b"no certificate"), None);
    }
}
