//! Which credential does each method need? A row for each method of the contract; a method without one does not compile.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, header};

use crate::admin::{Administration, Administrator};
use crate::caller::Peer;
use crate::error::Error;
use crate::identity::identities::Identities;
use crate::identity::issuers::CheckedToken;
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
    /// As [`Demand::Allowing`]; but at a listener where only this machine, or whoever holds a certificate that is believed,
    /// can connect, no credential is needed.
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
        | Rpc::AdminServiceListLimits
        | Rpc::AdminServiceListLimitStates
        | Rpc::AdminServiceListPrices
        | Rpc::AdminServiceListAuditEvents => Demand::Allowing(&[Action::AdminRead]),
        Rpc::AdminServicePutAccount
        | Rpc::AdminServiceCloseAccount
        | Rpc::AdminServiceCreateKey
        | Rpc::AdminServiceRotateKey
        | Rpc::AdminServiceRevokeKey => Demand::Allowing(&[Action::AdminAccounts]),
        Rpc::AdminServicePutLimit | Rpc::AdminServiceDeleteLimit | Rpc::AdminServiceGrantLimit => {
            Demand::Allowing(&[Action::AdminLimits])
        }
        Rpc::AdminServicePutPrices | Rpc::AdminServicePriceUnknown => {
            Demand::Allowing(&[Action::AdminPrices])
        }
    }
}

/// Whose connections are proof enough to operate, without a credential in each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedConnections {
    /// All: only this machine can connect.
    All,
    /// Those whose client has shown a certificate that the listener believes.
    Certified,
    /// None: each request needs a credential.
    None,
}

impl TrustedConnections {
    /// Whether that of this peer is one of them.
    pub(super) fn includes(self, peer: &Peer) -> bool {
        match self {
            Self::All => true,
            Self::Certified => peer.certificate.is_some(),
            Self::None => false,
        }
    }
}

/// A request, and what the listener that it came to thinks of its connections.
#[derive(Clone, Copy)]
pub(super) struct Asking<'r> {
    pub(super) identities: &'r Identities,
    pub(super) administration: Option<&'r Administration>,
    pub(super) peer: &'r Peer,
    pub(super) headers: &'r HeaderMap,
    /// What became of its token, if that was checked already.
    pub(super) token: Option<&'r CheckedToken>,
    /// Whether the listener serves callers.
    pub(super) serves_calls: bool,
    /// Whether its connection is proof enough to operate.
    pub(super) is_trusted: bool,
}

impl Asking<'_> {
    fn shown(&self) -> Shown<'_> {
        Shown {
            headers: self.headers,
            certificate: self.peer.certificate.as_deref(),
            token: self.token,
        }
    }

    /// Who asks.
    fn prove(&self, now: SystemTime) -> Result<Arc<Identity>, Error> {
        self.identities
            .resolve(self.shown(), now)
            .map_err(|unproved| {
                self.identities.note(unproved, self.peer);
                if let (Some(administration), false) =
                    (self.administration, unproved == Unproved::Missing)
                {
                    administration.count_failed_login(now, &address_of(self.peer));
                }
                unproved.error()
            })
    }

    /// Who asks, with a credential that allows one of these.
    fn allowed(
        &self,
        what: &'static str,
        actions: &[Action],
        now: SystemTime,
    ) -> Result<Arc<Identity>, Error> {
        let identity = self.prove(now)?;
        match identity.kind {
            CredentialKind::Anonymous => Err(Error::CredentialsMissing),
            CredentialKind::Key | CredentialKind::Token | CredentialKind::Certificate => {
                self.holds(identity, what, actions, now)
            }
        }
    }

    /// The identity, if it may do one of these. That it may not is written down.
    fn holds(
        &self,
        identity: Arc<Identity>,
        what: &'static str,
        actions: &[Action],
        now: SystemTime,
    ) -> Result<Arc<Identity>, Error> {
        let mut may = actions.iter();
        if may.any(|action| scopes::allow(&identity.scopes, *action)) {
            return Ok(identity);
        }
        if let Some(administration) = self.administration {
            let by = Administrator::with(&identity, self.peer.to_string());
            administration.note_denied(now, by.actor, what);
        }
        let names: Vec<_> = actions.iter().map(|action| action.name()).collect();
        Err(Error::PermissionDenied(format!(
            "{what}, which needs {}",
            names.join(" or ")
        )))
    }
}

/// Judges a request for the method at this path: who sent it, if that matters.
///
/// # Errors
/// The method may not be called.
pub(super) fn admit(asking: Asking<'_>, path: &str) -> Result<Option<Arc<Identity>>, Error> {
    let now = SystemTime::now();
    let rpc = Rpc::at(path);
    match rpc.map(|rpc| (rpc, demand_of(rpc))) {
        // Services that are not here are told apart by their routes.
        None | Some((_, Demand::Caller))
            if !asking.serves_calls || is_open(asking.identities, path) =>
        {
            Ok(None)
        }
        None | Some((_, Demand::Caller)) => asking.prove(now).map(Some),
        Some((rpc, Demand::Allowing(actions))) => {
            asking.allowed(rpc.name(), actions, now).map(Some)
        }
        Some((rpc, Demand::AllowingIfShown(actions))) if !asking.is_trusted => {
            asking.allowed(rpc.name(), actions, now).map(Some)
        }
        Some((rpc, Demand::AllowingIfShown(actions))) => {
            let identity = if asking.headers.contains_key(header::AUTHORIZATION) {
                asking.prove(now)?
            } else {
                // A certificate opens the connection; it is held to what it may do only if it names a caller.
                let certificate = asking.identities.resolve(asking.shown(), now).ok();
                let named =
                    certificate.filter(|identity| identity.kind == CredentialKind::Certificate);
                let Some(identity) = named else {
                    return Ok(None);
                };
                identity
            };
            asking.holds(identity, rpc.name(), actions, now).map(Some)
        }
    }
}

/// Judges a request for metrics.
///
/// # Errors
/// They are not shown.
pub(super) fn admit_to_metrics(asking: Asking<'_>) -> Result<(), Error> {
    if asking.is_trusted {
        return Ok(());
    }
    let now = SystemTime::now();
    asking.allowed("metrics", &[Action::Operate], now).map(drop)
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
