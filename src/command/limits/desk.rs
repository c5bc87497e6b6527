//! Who does what a command asks for? The control store itself, or AdminService of a running service.

use std::time::SystemTime;

use crate::admin::{AdminError, StateFilter};
use crate::command::administrator::{AdminClient, AdminProof, NoAnswer, answered};
use crate::command::control::OpenedStore;
use crate::command::nothing_done::NothingDone;
use crate::grpc::{admin, v1};
use crate::limits::Now;

/// The most objects that are asked for at a time.
const PAGE: i32 = 1_000;

/// What does it.
pub(super) enum LimitDesk {
    Store(Box<OpenedStore>),
    Service(Box<AdminClient>, AdminProof),
}

impl From<AdminError> for NoAnswer {
    fn from(error: AdminError) -> Self {
        NothingDone::from(error).into()
    }
}

impl LimitDesk {
    pub(super) fn of_store(opened: OpenedStore) -> Self {
        Self::Store(Box::new(opened))
    }

    pub(super) fn of_service(client: AdminClient, proof: AdminProof) -> Self {
        Self::Service(Box::new(client), proof)
    }

    pub(super) fn is_store(&self) -> bool {
        matches!(self, Self::Store(_))
    }

    /// All limits, or those that a call of this account is held to.
    pub(super) async fn limits(&mut self, account: String) -> Result<Vec<v1::Limit>, NoAnswer> {
        match self {
            Self::Store(opened) => {
                let OpenedStore {
                    administration, by, ..
                } = &**opened;
                let account = Some(&*account).filter(|account| !account.is_empty());
                let limits = administration.limits(by, account)?;
                Ok(limits.into_iter().map(admin::limit).collect())
            }
            Self::Service(client, proof) => {
                let mut limits = Vec::new();
                let mut page_token = String::new();
                loop {
                    let request = v1::ListLimitsRequest {
                        page_size: PAGE,
                        page_token,
                        account: account.clone(),
                    };
                    let page = answered(client.list_limits(proof.with(request))).await?;
                    limits.extend(page.limits);
                    page_token = page.next_page_token;
                    if page_token.is_empty() {
                        return Ok(limits);
                    }
                }
            }
        }
    }

    /// Writes a limit; it comes back as written.
    pub(super) async fn put(
        &mut self,
        limit: v1::Limit,
        comment: String,
    ) -> Result<v1::Limit, NoAnswer> {
        match self {
            Self::Store(opened) => {
                let OpenedStore {
                    administration, by, ..
                } = &**opened;
                let change = admin::limit_change(limit, comment)?;
                let written = administration.put_limit(by, change, SystemTime::now())?;
                Ok(admin::limit(written))
            }
            Self::Service(client, proof) => {
                let request = v1::PutLimitRequest {
                    limit: Some(limit),
                    comment,
                };
                let written = answered(client.put_limit(proof.with(request))).await?;
                Ok(written.limit.unwrap_or_default())
            }
        }
    }

    pub(super) async fn delete(&mut self, id: String, comment: String) -> Result<(), NoAnswer> {
        match self {
            Self::Store(opened) => {
                let OpenedStore {
                    administration, by, ..
                } = &**opened;
                administration.delete_limit(by, &id, &comment, SystemTime::now())?;
                Ok(())
            }
            Self::Service(client, proof) => {
                let request = v1::DeleteLimitRequest { id, comment };
                answered(client.delete_limit(proof.with(request))).await?;
                Ok(())
            }
        }
    }

    /// Adds to a limit. Where its counter stands then.
    pub(super) async fn grant(
        &mut self,
        request: v1::GrantLimitRequest,
    ) -> Result<v1::LimitState, NoAnswer> {
        match self {
            Self::Store(opened) => {
                let OpenedStore {
                    administration, by, ..
                } = &**opened;
                let wish = admin::grant_wish(request);
                let state = administration.grant_limit(by, &wish, Now::of_clocks())?;
                Ok(admin::limit_state(&state))
            }
            Self::Service(client, proof) => {
                let granted = answered(client.grant_limit(proof.with(request))).await?;
                Ok(granted.state.unwrap_or_default())
            }
        }
    }

    /// Where the counters stand that a request asks for, on all pages.
    pub(super) async fn states(
        &mut self,
        request: v1::ListLimitStatesRequest,
    ) -> Result<Vec<v1::LimitState>, NoAnswer> {
        match self {
            Self::Store(opened) => {
                let OpenedStore {
                    administration, by, ..
                } = &**opened;
                let filter: StateFilter = admin::state_filter(&request)?;
                let states = administration.limit_states(by, &filter, Now::of_clocks())?;
                Ok(states.iter().map(admin::limit_state).collect())
            }
            Self::Service(client, proof) => {
                let mut states = Vec::new();
                let mut page_token = String::new();
                loop {
                    let request = v1::ListLimitStatesRequest {
                        page_size: PAGE,
                        page_token,
                        ..request.clone()
                    };
                    let page = answered(client.list_limit_states(proof.with(request))).await?;
                    states.extend(page.states);
                    page_token = page.next_page_token;
                    if page_token.is_empty() {
                        return Ok(states);
                    }
                }
            }
        }
    }
}
