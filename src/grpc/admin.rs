//! `AdminService`: who may call, and how much, for administrators.

mod convert;
mod limits;
mod pages;
mod prices;
mod refusal;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use secrecy::ExposeSecret as _;
use tonic::{Request, Response, Status};

use crate::admin::{
    AccountChange, AdminError, Administration, Administrator, KeyWish, ListedAccount, MadeKey,
    Revocation, Rotation,
};
use crate::caller::Peer;
use crate::check::Faults;
use crate::error::Error;
use crate::identity::Identity;
use crate::identity::record::CallsUnderWay;
use crate::store::EventFilter;

use super::rpc::Rpc;
use super::v1::admin_service_server::AdminService;
use super::{answer, status, v1};

pub(crate) use self::convert::key;
pub(crate) use self::limits::{grant_wish, limit, limit_change, state_filter};
pub(crate) use self::prices::{price, priced, put_prices, wanted_spelled};
pub(crate) use super::caller::{limit_state, scope};

use self::pages::{AskedPage, event_before, page_after};
use self::refusal::status_of;

/// The service.
pub(super) struct Admin {
    administration: Arc<Administration>,
}

impl Admin {
    pub(super) fn new(administration: Arc<Administration>) -> Self {
        Self { administration }
    }

    /// Does what a request asks for on a thread that may wait for the disk.
    async fn run<Q: Send + 'static, A: Send + 'static>(
        &self,
        rpc: Rpc,
        request: Request<Q>,
        work: impl FnOnce(&Work<'_>, Q) -> Result<A, AdminError> + Send + 'static,
    ) -> Result<Response<A>, Status> {
        let identity = request.extensions().get::<Arc<Identity>>();
        // The door lets nobody through without a credential.
        let identity = identity.ok_or_else(|| status::of_error(&Error::CredentialsMissing))?;
        let peer = request.extensions().get::<Peer>().cloned();
        let by = Administrator::with(identity, peer.unwrap_or_default().to_string());
        let administration = Arc::clone(&self.administration);
        let request = request.into_inner();
        let working = tokio::task::spawn_blocking(move || {
            let now = SystemTime::now();
            let work_place = Work {
                administration: &administration,
                by: &by,
                now,
            };
            let done = work(&work_place, request);
            if let Err(AdminError::Denied(_)) = done {
                administration.note_denied(now, by.actor, rpc.name());
            }
            done
        });
        let Ok(done) = working.await else {
            return Err(status::of_error(&Error::Internal(
                "a request of an administrator broke off",
            )));
        };
        done.map(Response::new).map_err(|error| status_of(&error))
    }
}

/// Where a request is worked on.
struct Work<'w> {
    administration: &'w Administration,
    by: &'w Administrator,
    now: SystemTime,
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn list_accounts(
        &self,
        request: Request<v1::ListAccountsRequest>,
    ) -> Result<Response<v1::ListAccountsResponse>, Status> {
        let rpc = Rpc::AdminServiceListAccounts;
        self.run(rpc, request, |work, request| {
            let v1::ListAccountsRequest {
                page_size,
                page_token,
                parent,
                include_closed,
            } = request;
            let asked = AskedPage::read(page_size, page_token)?;
            let top = Some(&*parent).filter(|parent| !parent.is_empty());
            let mut accounts = work.administration.accounts(work.by, top)?;
            accounts.retain(|listed| include_closed || !listed.is_closed);
            let (accounts, next_page_token) =
                page_after(accounts, &asked, |listed| &listed.account.id)?;
            Ok(v1::ListAccountsResponse {
                accounts: accounts.into_iter().map(convert::account).collect(),
                next_page_token,
            })
        })
        .await
    }

    async fn put_account(
        &self,
        request: Request<v1::PutAccountRequest>,
    ) -> Result<Response<v1::PutAccountResponse>, Status> {
        let rpc = Rpc::AdminServicePutAccount;
        self.run(rpc, request, |work, request| {
            let v1::PutAccountRequest { account, comment } = request;
            let (account, version) = convert::account_record(account.unwrap_or_default())?;
            let change = AccountChange {
                account,
                version,
                comment,
            };
            let stored = work.administration.put_account(work.by, change, work.now)?;
            Ok(v1::PutAccountResponse {
                account: Some(convert::account(ListedAccount {
                    is_closed: stored.account.closed.is_some(),
                    account: stored.account,
                    version: Some(stored.version),
                })),
            })
        })
        .await
    }

    async fn close_account(
        &self,
        request: Request<v1::CloseAccountRequest>,
    ) -> Result<Response<v1::CloseAccountResponse>, Status> {
        let rpc = Rpc::AdminServiceCloseAccount;
        self.run(rpc, request, |work, request| {
            let v1::CloseAccountRequest { id, comment } = request;
            let admin = work.administration;
            let stored = admin.close_account(work.by, &id, &comment, work.now)?;
            Ok(v1::CloseAccountResponse {
                account: Some(convert::account(ListedAccount {
                    is_closed: true,
                    account: stored.account,
                    version: Some(stored.version),
                })),
            })
        })
        .await
    }

    async fn list_keys(
        &self,
        request: Request<v1::ListKeysRequest>,
    ) -> Result<Response<v1::ListKeysResponse>, Status> {
        let rpc = Rpc::AdminServiceListKeys;
        self.run(rpc, request, |work, request| {
            let state = request.state;
            let v1::ListKeysRequest {
                page_size,
                page_token,
                account,
                state: _,
            } = request;
            let asked = AskedPage::read(page_size, page_token)?;
            let state = convert::key_state_asked(state)?;
            let account = Some(&*account).filter(|account| !account.is_empty());
            let mut keys = work.administration.keys(work.by, account, work.now)?;
            keys.retain(|key| state.is_none_or(|state| key.state == state));
            let (keys, next_page_token) = page_after(keys, &asked, |listed| &listed.stored.key.id)?;
            Ok(v1::ListKeysResponse {
                keys: keys.into_iter().map(convert::key).collect(),
                next_page_token,
            })
        })
        .await
    }

    async fn create_key(
        &self,
        request: Request<v1::CreateKeyRequest>,
    ) -> Result<Response<v1::CreateKeyResponse>, Status> {
        let rpc = Rpc::AdminServiceCreateKey;
        self.run(rpc, request, |work, request| {
            let v1::CreateKeyRequest { key, comment } = request;
            let key = key.unwrap_or_default();
            let mut faults = Faults::default();
            let scopes = convert::scopes("key.scopes", key.scopes, &mut faults);
            let expires = convert::time("key.expire_time", key.expire_time, &mut faults);
            convert::checked(faults)?;
            let wish = KeyWish {
                account: key.account,
                display_name: key.display_name,
                scopes,
                expires,
                comment,
            };
            let MadeKey { key, secret } =
                work.administration.create_key(work.by, wish, work.now)?;
            Ok(v1::CreateKeyResponse {
                key: Some(convert::key(key)),
                secret: secret.expose_secret().to_owned(),
            })
        })
        .await
    }

    async fn rotate_key(
        &self,
        request: Request<v1::RotateKeyRequest>,
    ) -> Result<Response<v1::RotateKeyResponse>, Status> {
        let rpc = Rpc::AdminServiceRotateKey;
        self.run(rpc, request, |work, request| {
            let v1::RotateKeyRequest {
                id,
                overlap,
                expire_time,
                comment,
            } = request;
            let mut faults = Faults::default();
            let rotation = Rotation {
                id,
                overlap: convert::duration("overlap", overlap, &mut faults),
                expires: convert::time("expire_time", expire_time, &mut faults),
                comment,
            };
            convert::checked(faults)?;
            let MadeKey { key, secret } = work
                .administration
                .rotate_key(work.by, rotation, work.now)?;
            Ok(v1::RotateKeyResponse {
                key: Some(convert::key(key)),
                secret: secret.expose_secret().to_owned(),
            })
        })
        .await
    }

    async fn revoke_key(
        &self,
        request: Request<v1::RevokeKeyRequest>,
    ) -> Result<Response<v1::RevokeKeyResponse>, Status> {
        let rpc = Rpc::AdminServiceRevokeKey;
        self.run(rpc, request, |work, request| {
            let v1::RevokeKeyRequest {
                id,
                comment,
                let_calls_end,
            } = request;
            let revocation = Revocation {
                id,
                calls: match let_calls_end {
                    true => CallsUnderWay::GoOn,
                    false => CallsUnderWay::End,
                },
                comment,
            };
            let key = work
                .administration
                .revoke_key(work.by, revocation, work.now)?;
            Ok(v1::RevokeKeyResponse {
                key: Some(convert::key(key)),
                // The directory in use has changed already.
                revocation_bound: Some(answer::duration(Duration::ZERO)),
            })
        })
        .await
    }

    async fn list_prices(
        &self,
        request: Request<v1::ListPricesRequest>,
    ) -> Result<Response<v1::ListPricesResponse>, Status> {
        let rpc = Rpc::AdminServiceListPrices;
        self.run(rpc, request, prices::list).await
    }

    async fn put_prices(
        &self,
        request: Request<v1::PutPricesRequest>,
    ) -> Result<Response<v1::PutPricesResponse>, Status> {
        let rpc = Rpc::AdminServicePutPrices;
        self.run(rpc, request, prices::put).await
    }

    async fn price_unknown(
        &self,
        request: Request<v1::PriceUnknownRequest>,
    ) -> Result<Response<v1::PriceUnknownResponse>, Status> {
        let rpc = Rpc::AdminServicePriceUnknown;
        self.run(rpc, request, prices::price_unknown).await
    }

    async fn list_limits(
        &self,
        request: Request<v1::ListLimitsRequest>,
    ) -> Result<Response<v1::ListLimitsResponse>, Status> {
        self.run(Rpc::AdminServiceListLimits, request, limits::list)
            .await
    }

    async fn put_limit(
        &self,
        request: Request<v1::PutLimitRequest>,
    ) -> Result<Response<v1::PutLimitResponse>, Status> {
        self.run(Rpc::AdminServicePutLimit, request, limits::put)
            .await
    }

    async fn delete_limit(
        &self,
        request: Request<v1::DeleteLimitRequest>,
    ) -> Result<Response<v1::DeleteLimitResponse>, Status> {
        self.run(Rpc::AdminServiceDeleteLimit, request, limits::delete)
            .await
    }

    async fn grant_limit(
        &self,
        request: Request<v1::GrantLimitRequest>,
    ) -> Result<Response<v1::GrantLimitResponse>, Status> {
        self.run(Rpc::AdminServiceGrantLimit, request, limits::grant)
            .await
    }

    async fn list_limit_states(
        &self,
        request: Request<v1::ListLimitStatesRequest>,
    ) -> Result<Response<v1::ListLimitStatesResponse>, Status> {
        self.run(Rpc::AdminServiceListLimitStates, request, limits::states)
            .await
    }

    async fn list_audit_events(
        &self,
        request: Request<v1::ListAuditEventsRequest>,
    ) -> Result<Response<v1::ListAuditEventsResponse>, Status> {
        let rpc = Rpc::AdminServiceListAuditEvents;
        self.run(rpc, request, |work, request| {
            let v1::ListAuditEventsRequest {
                page_size,
                page_token,
                start_time,
                end_time,
                subject,
            } = request;
            let asked = AskedPage::read(page_size, page_token)?;
            let mut faults = Faults::default();
            let filter = EventFilter {
                before: event_before(&asked, &mut faults),
                from: convert::time("start_time", start_time, &mut faults),
                until: convert::time("end_time", end_time, &mut faults),
                subject: Some(subject).filter(|subject| !subject.is_empty()),
            };
            convert::checked(faults)?;
            let page = work.administration.events(work.by, &filter, asked.size)?;
            Ok(v1::ListAuditEventsResponse {
                events: page.events.into_iter().map(convert::event).collect(),
                next_page_token: page.next.map(|next| next.to_string()).unwrap_or_default(),
            })
        })
        .await
    }
}
