//! Which credential does each method need? A row for each method of the contract; a method without one does not compile.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, header};

use crate::admin::{Administration, Administrator};
use crate::caller::Peer;
use crate::error::Error;
use crate::identity::identities::Identities;
use crate::identity::resolve::{Shown, Unproved};
use crate::identity::{Action, CredentialKind, Identity, scopes};

use super::rpc::Rpc;

/// What the paths of the health service begin with.
const HEALTH_SERVICE: &str = "/grpc.health.v1.Health/";

/// What the paths of all versions of reflection begin with.
const REFLECTION_SERVICES: &str = "/grpc.reflection.";

/// What a method asks of whoever calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// Who calls is known, with a credential or as the account of those without; what the caller may do decides the
    /// method's service.
    Caller,
    /// A credential that allows one of these.
    Allowing(&'static [Action]),
    /// As [`Demand::Allowing`] if a credential is shown; but none is needed, since only this machine, or whoever holds a
    /// certificate that the listener believes, can connect.
    AllowingIfShown(&'static [Action]),
}

/// The table.
pub(super) fn demand_of(rpc: Rpc) -> Demand {
    match rpc {
        Rpc::GenerationServiceGenerate
        | Rpc::GenerationServiceStreamGenerate
        | Rpc::CallerServiceWhoAmI
        | Rpc::CatalogServiceListModels
        | Rpc::CatalogServiceGetModel
        | Rpc::CatalogServiceListScenarios
        | Rpc::CatalogServiceGetScenario => Demand::Caller,
        Rpc::OperationsServiceListBreakers
        | Rpc::OperationsServiceWatchBreakers
        | Rpc::OperationsServiceSetBreaker
        | Rpc::OperationsServiceExplainPlan
        | Rpc::OperationsServiceGetConfiguration => Demand::AllowingIfShown(&[Action::Operate]),
        // What a caller sees of the ledger is what its account and those below it did.
        Rpc::LedgerServiceGetCall
        | Rpc::LedgerServiceListCalls
        | Rpc::LedgerServiceQueryUsage
        | Rpc::LedgerServiceExportUsage => {
            Demand::Allowing(&[Action::LedgerRead, Action::UsageRead])
        }
        Rpc::AdminServiceListAccounts
        | Rpc::AdminServiceListKeys
        | Rpc::AdminServiceListPrices
        | Rpc::AdminServiceListAuditEvents => Demand::Allowing(&[Action::AdminRead]),
        Rpc::AdminServicePutAccount
        | Rpc::AdminServiceCloseAccount
        | Rpc::AdminServiceCreateKey
        | Rpc::AdminServiceRotateKey
        | Rpc::AdminServiceRevokeKey => Demand::Allowing(&[Action::AdminAccounts]),
        Rpc::AdminServicePutPrices | Rpc::AdminServicePriceUnknown => {
            Demand::Allowing(&[Action::AdminPrices])
        }
    }
}

/// Judges a request from this peer for the method at this path: who sent it, if that matters. `serves_calls` says whether
/// the listener serves callers.
///
/// # Errors
/// The method may not be called.
pub(super) fn admit(
    identities: &Identities,
    administration: Option<&Administration>,
    peer: &Peer,
    headers: &HeaderMap,
    path: &str,
    serves_calls: bool,
) -> Result<Option<Arc<Identity>>, Error> {
    let rpc = Rpc::at(path);
    let now = SystemTime::now();
    let shown = Shown {
        headers,
        certificate: peer.certificate.as_deref(),
    };
    let prove = || {
        identities.resolve(shown, now).map_err(|unproved| {
            identities.note(unproved, peer);
            if let (Some(administration), false) = (administration, unproved == Unproved::Missing) {
                administration.count_failed_login(now, &address_of(peer));
            }
            unproved.error()
        })
    };
    match rpc.map(|rpc| (rpc, demand_of(rpc))) {
        // Services that are not here are told apart by their routes.
        None | Some((_, Demand::Caller)) if !serves_calls || is_open(identities, path) => Ok(None),
        None | Some((_, Demand::Caller)) => prove().map(Some),
        Some((rpc, Demand::Allowing(actions))) => {
            let identity = prove()?;
            match identity.kind {
                CredentialKind::Anonymous => Err(Error::CredentialsMissing),
                CredentialKind::Key | CredentialKind::Token | CredentialKind::Certificate => {
                    let allowed = allowed(administration, peer, identity, rpc, actions, now);
                    allowed.map(Some)
                }
            }
        }
        Some((rpc, Demand::AllowingIfShown(actions))) => {
            if !headers.contains_key(header::AUTHORIZATION) {
                // A certificate opens the connection; it is held to what it may do only if it names a caller.
                let certificate = identities.resolve(shown, now).ok();
                let named =
                    certificate.filter(|identity| identity.kind == CredentialKind::Certificate);
                let Some(identity) = named else {
                    return Ok(None);
                };
                return allowed(administration, peer, identity, rpc, actions, now).map(Some);
            }
            allowed(administration, peer, prove()?, rpc, actions, now).map(Some)
        }
    }
}

/// The identity, if it may do one of these. That it may not is written down.
fn allowed(
    administration: Option<&Administration>,
    peer: &Peer,
    identity: Arc<Identity>,
    rpc: Rpc,
    actions: &[Action],
    now: SystemTime,
) -> Result<Arc<Identity>, Error> {
    let mut may = actions.iter();
    if may.any(|action| scopes::allow(&identity.scopes, *action)) {
        return Ok(identity);
    }
    if let Some(administration) = administration {
        let by = Administrator::with(&identity, peer.to_string());
        administration.note_denied(now, by.actor, rpc.name());
    }
    let names: Vec<_> = actions.iter().map(|action| action.name()).collect();
    Err(Error::PermissionDenied(format!(
        "{}, which needs {}",
        rpc.name(),
        names.join(" or ")
    )))
}

/// Whether the method at this path needs no credential.
fn is_open(identities: &Identities, path: &str) -> bool {
    let open = identities.open_services();
    open.health && path.starts_with(HEALTH_SERVICE)
        || open.reflection && path.starts_with(REFLECTION_SERVICES)
}

/// What failed logins of a peer are summed under.
fn address_of(peer: &Peer) -> String {
    match peer.address {
        Some(address) => address.ip().to_string(),
        None => Peer {
            certificate: None,
            ..peer.clone()
        }
        .to_string(),
    }
}
