//! How does a connection begin: by a TLS handshake, or in plaintext?

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, split};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::caller::{ClientCertificate, Peer};

use super::listen::{Halves, Io, Socket};
use super::tls::{Following, ListenerTls};

/// How long and how much is read after a failed handshake. A socket that is closed with unread bytes is reset, and
/// the client might not see the alert that tells it why.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: u64 = 64 << 10;

/// A connection that can be read and written.
pub(super) struct Opened {
    pub(super) halves: Halves,
    pub(super) peer: Peer,
    pub(super) trust: Trust,
}

/// Why a connection did not begin.
pub(super) enum Unopened {
    /// The handshake failed: plaintext, another version, a certificate that is missing or not believed.
    Failed(String, FailedSocket),
    /// The handshake took too long.
    Late,
}

/// What may be left to read of a connection whose handshake failed.
pub(super) struct FailedSocket(Box<dyn Io>);

impl FailedSocket {
    /// Closes the connection so that its client can read the alert.
    pub(super) async fn close(mut self) {
        let rest = async {
            self.0.shutdown().await?;
            let mut rest = self.0.take(LINGER_BYTES);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
        };
        // The client need not wait for anything.
        let _ = timeout(LINGER, rest).await;
    }
}

/// Whether the client is still believed.
pub(super) struct Trust(Option<(Following, Vec<CertificateDer<'static>>)>);

impl Trust {
    /// Waits until the client is no longer believed. A client that has shown no certificate always is.
    pub(super) async fn lost(self) {
        match self.0 {
            Some((following, shown)) => following.disbelieves(shown).await,
            None => pending().await,
        }
    }
}

/// Begins a connection. A handshake that takes longer than `limit` is given up.
pub(super) async fn open(
    socket: Socket,
    mut peer: Peer,
    tls: Option<&ListenerTls>,
    limit: Duration,
) -> Result<Opened, Unopened> {
    let Some(tls) = tls else {
        return Ok(Opened {
            halves: socket.into_halves(),
            peer,
            trust: Trust(None),
        });
    };
    let mut following = tls.follow();
    let acceptor = TlsAcceptor::from(Arc::clone(&following.now().config));
    let io: Box<dyn Io> = socket.into_io();
    let shaken = timeout(limit, acceptor.accept(io).into_fallible()).await;
    let stream = match shaken.or(Err(Unopened::Late))? {
        Ok(stream) => stream,
        // The alert has been written.
        Err((error, io)) => return Err(Unopened::Failed(error.to_string(), FailedSocket(io))),
    };
    let shown = stream.get_ref().1.peer_certificates();
    let shown = shown.map(|shown| {
        let shown = shown.iter().cloned().map(CertificateDer::into_owned);
        shown.collect::<Vec<_>>()
    });
    let client = shown.as_ref().and_then(|shown| shown.first());
    peer.certificate = client.map(|client| Arc::new(names(client)));
    let (read, write) = split(stream);
    Ok(Opened {
        halves: Halves {
            read: Box::new(read),
            write: Box::new(write),
        },
        peer,
        trust: Trust(shown.map(|shown| (following, shown))),
    })
}

/// The names in a client's certificate, which has been verified.
fn names(certificate: &CertificateDer<'_>) -> ClientCertificate {
    let mut names = ClientCertificate::default();
    let Ok(read) = Certificate::from_der(certificate) else {
        return names;
    };
    let certificate = read.tbs_certificate();
    match certificate.get_extension::<SubjectAltName>() {
        Ok(Some((_, alternatives))) => {
            for name in alternatives.0 {
                match name {
                    GeneralName::UniformResourceIdentifier(uri) => names.uris.push(uri.to_string()),
                    GeneralName::DnsName(name) => names.dns_names.push(name.to_string()),
                    _ => names.has_others = true,
                }
            }
        }
        Ok(None) => {}
        // They cannot be read, but they are there.
        Err(_) => names.has_others = true,
    }
    let attributes = certificate.subject().iter();
    for attribute in attributes.filter(|attribute| attribute.oid == COMMON_NAME) {
        let value = &attribute.value;
        let text = Utf8StringRef::try_from(value).map(|text| text.as_str().to_owned());
        let text = text
            .or_else(|_| PrintableStringRef::try_from(value).map(|text| text.as_str().to_owned()));
        names.common_name = text.ok().or(names.common_name);
    }
    names
}
