//! How far does a connection to a provider get? DNS, TCP and TLS one after the other, without a request.

use std::time::{Duration, SystemTime};

use http::Uri;
use tokio::time::Instant;
use tokio_util::either::Either;

use crate::certificate::{Certificate, issuer};

use super::super::cause::{ConnectCause, ConnectError, ConnectFailure};
use super::super::proxy::with_port;
use super::{Connector, encrypted};

/// The most characters that are shown of an issuer's name.
const MAX_ISSUER: usize = 120;

/// What was found on the way to a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examination {
    /// The steps that were made, in order. The last one may have failed.
    pub steps: Vec<ConnectStep>,
}

/// A step of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectStep {
    /// Its name: `dns`, `tcp` or `tls`.
    pub name: &'static str,
    /// How long it took.
    pub took: Duration,
    /// What was found, or why it failed; in our words, but for the name of a certificate's issuer.
    pub result: Result<String, String>,
}

impl Examination {
    fn add(&mut self, name: &'static str, began: Instant, result: Result<String, String>) -> bool {
        let is_done = result.is_ok();
        let took = began.elapsed();
        self.steps.push(ConnectStep { name, took, result });
        is_done
    }
}

impl Connector {
    /// Connects to the host of a URL step by step, and closes the connection.
    pub(in crate::transport) async fn examine(&self, url: &Uri, deadline: Instant) -> Examination {
        let mut found = Examination::default();
        let has_tls = url.scheme_str() == Some("https");
        let host = with_port(url, if has_tls { 443 } else { 80 });
        let began = Instant::now();
        let hop = match &self.proxy {
            Some(proxy) => {
                let hop = self.through(proxy, host.clone(), deadline).await;
                let result = match &hop {
                    Ok(_) => Ok("through its proxy".to_owned()),
                    Err(error) => Err(words(error.failure())),
                };
                found.add("tcp", began, result);
                hop.ok()
            }
            None => {
                let addresses = self.addresses(&host, deadline).await;
                let result = match &addresses {
                    Ok(addresses) => Ok(addresses
                        .first()
                        .map_or_else(String::new, |address| address.ip().to_string())),
                    Err(error) => Err(match error.failure() {
                        ConnectFailure::Host(ConnectCause::TcpTimeout) => {
                            "no name server answers in time".to_owned()
                        }
                        failure => words(failure),
                    }),
                };
                if !found.add("dns", began, result) {
                    return found;
                }
                let began = Instant::now();
                let tcp = self.tcp(host.clone(), deadline).await;
                let result = match &tcp {
                    Ok(stream) => Ok(stream
                        .peer_addr()
                        .map_or_else(|_| String::new(), |address| address.to_string())),
                    Err((cause, _)) => Err(words(ConnectFailure::Host(*cause))),
                };
                found.add("tcp", began, result);
                tcp.ok().map(Either::Right)
            }
        };
        let Some(hop) = hop else {
            return found;
        };
        if has_tls {
            let began = Instant::now();
            let result = match encrypted(&self.tls, &host, hop, deadline).await {
                Ok(Either::Left(stream)) => {
                    let chain = stream.get_ref().1.peer_certificates();
                    let leaf = chain.and_then(|chain| chain.first());
                    Ok(leaf.map_or_else(String::new, |leaf| certificate(leaf, SystemTime::now())))
                }
                Ok(Either::Right(_)) => Ok(String::new()),
                Err((cause, error)) => {
                    let error = ConnectError::new(ConnectFailure::Host(cause), error);
                    Err(words(error.failure()))
                }
            };
            found.add("tls", began, result);
        }
        found
    }
}

fn words(failure: ConnectFailure) -> String {
    failure.words().into_owned()
}

/// The issuer of a certificate and how long it is valid.
fn certificate(der: &[u8], now: SystemTime) -> String {
    let (Some(certificate), Some(issuer)) = (Certificate::read(der), issuer(der)) else {
        return "a certificate that cannot be read".to_owned();
    };
    let issuer: String = issuer
        .chars()
        .filter(|character| !character.is_control())
        .take(MAX_ISSUER)
        .collect();
    let left = certificate
        .not_after
        .duration_since(now)
        .unwrap_or_default();
    let days = left.as_secs() / (24 * 60 * 60);
    format!("issued by {issuer}, valid for {days} more days")
}
