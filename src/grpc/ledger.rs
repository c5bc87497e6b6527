//! `LedgerService`: what was called and what it cost, for whoever may know.

mod convert;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::{Stream, StreamExt as _, stream};
use tonic::{Request, Response, Status};

use crate::calendar::unix_us;
use crate::error::Error;
use crate::identity::{Action, CredentialKind, Identity};
use crate::ledger::export::{Export, ExportPiece};
use crate::ledger::read::calls;
use crate::ledger::read::error::ReadError;
use crate::ledger::read::files::LedgerFiles;
use crate::ledger::read::filter::Sight;
use crate::ledger::read::question::Dimension;
use crate::ledger::read::readers::Readers;
use crate::ledger::read::usage;
use crate::ledger::{Files, Ledger};

use super::status;
use super::v1;
use super::v1::ledger_service_server::LedgerService;

/// The service.
pub(super) struct LedgerQueries {
    ledger: Ledger,
    files: Files,
    /// Started by the first question.
    readers: OnceLock<Readers>,
}

impl LedgerQueries {
    /// Shows this ledger; `None` if it records nothing.
    pub(super) fn new(ledger: &Ledger) -> Option<Self> {
        Some(Self {
            ledger: ledger.clone(),
            files: ledger.files()?.clone(),
            readers: OnceLock::new(),
        })
    }

    fn readers(&self) -> Result<Readers, ReadError> {
        if let Some(readers) = self.readers.get() {
            return Ok(readers.clone());
        }
        let started =
            Readers::start(&self.files, self.ledger.query_timeout()).map_err(|error| {
                ReadError::Unreadable(format!("no thread can be started to read it: {error}"))
            })?;
        Ok(self.readers.get_or_init(|| started).clone())
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut LedgerFiles) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Status> {
        let readers = self.readers().map_err(|error| status_of(&error))?;
        let ledger = self.ledger.clone();
        let answer = readers.ask(move |files| {
            ledger.catch_up();
            question(files)
        });
        answer.await.map_err(|error| status_of(&error))
    }
}

#[tonic::async_trait]
impl LedgerService for LedgerQueries {
    async fn get_call(
        &self,
        request: Request<v1::GetCallRequest>,
    ) -> Result<Response<v1::GetCallResponse>, Status> {
        let sight = sight(&request)?;
        let v1::GetCallRequest { call_id } = request.into_inner();
        let found = self
            .ask(move |files| calls::get(files, &sight, &call_id))
            .await?;
        Ok(Response::new(v1::GetCallResponse {
            call: Some(convert::details(&found)),
        }))
    }

    async fn list_calls(
        &self,
        request: Request<v1::ListCallsRequest>,
    ) -> Result<Response<v1::ListCallsResponse>, Status> {
        let sight = sight(&request)?;
        let v1::ListCallsRequest {
            page_size,
            page_token,
            filter,
        } = request.into_inner();
        let size =
            convert::count(page_size, 100, "page_size").map_err(|error| status_of(&error))?;
        let filter = convert::filter(filter).map_err(|error| status_of(&error))?;
        let page = self
            .ask(move |files| calls::list(files, &sight, &filter, size, &page_token))
            .await?;
        Ok(Response::new(v1::ListCallsResponse {
            calls: page.calls.iter().map(convert::call).collect(),
            next_page_token: page.next_page_token,
        }))
    }

    async fn query_usage(
        &self,
        request: Request<v1::QueryUsageRequest>,
    ) -> Result<Response<v1::QueryUsageResponse>, Status> {
        let sight = sight(&request)?;
        let question = convert::usage_question(request.into_inner());
        let question = question.map_err(|error| status_of(&error))?;
        // What has ended before this moment is in the files by the time that they are read.
        let (_, lag) = self.ledger.backlog();
        let as_of = SystemTime::now().checked_sub(lag).unwrap_or(UNIX_EPOCH);
        let names: Vec<_> = question.group_by.iter().map(Dimension::name).collect();
        let groups = self
            .ask(move |files| usage::query(files, &sight, &question))
            .await?;
        Ok(Response::new(v1::QueryUsageResponse {
            rows: groups
                .iter()
                .map(|group| convert::usage_row(group, &names))
                .collect(),
            as_of_time: Some(as_of.into()),
        }))
    }

    type ExportUsageStream =
        Pin<Box<dyn Stream<Item = Result<v1::ExportUsageResponse, Status>> + Send>>;

    async fn export_usage(
        &self,
        request: Request<v1::ExportUsageRequest>,
    ) -> Result<Response<Self::ExportUsageStream>, Status> {
        let sight = sight(&request)?;
        let question = convert::export_question(request.into_inner());
        let question = question.map_err(|error| status_of(&error))?;
        let readers = self.readers().map_err(|error| status_of(&error))?;
        let begun = self
            .ask(move |files| Export::begin(files, &sight, &question, unix_us(SystemTime::now())))
            .await?;
        // The next piece is read when the one before has been taken.
        let pieces = stream::try_unfold(Some(begun), move |export| {
            let readers = readers.clone();
            async move {
                let Some(export) = export else {
                    return Ok(None);
                };
                let (piece, rest) = readers.ask(|files| export.next(files)).await?;
                Ok(Some((piece, rest)))
            }
        });
        let messages = pieces.map(|piece: Result<ExportPiece, ReadError>| match piece {
            Ok(piece) => Ok(convert::piece(piece)),
            Err(error) => Err(status_of(&error)),
        });
        Ok(Response::new(Box::pin(messages)))
    }
}

/// What whoever asks may see.
fn sight<T>(request: &Request<T>) -> Result<Sight, Status> {
    // The door resolves the credential; without one there is no identity.
    let Some(identity) = request.extensions().get::<Arc<Identity>>() else {
        return Err(status::of_error(&Error::CredentialsMissing));
    };
    if identity.kind == CredentialKind::Anonymous {
        return Err(status::of_error(&Error::CredentialsMissing));
    }
    let may = |action| identity.scopes.iter().any(|scope| scope.action == action);
    if may(Action::LedgerRead) {
        return Ok(Sight::All);
    }
    if may(Action::UsageRead) {
        return Ok(Sight::Account(Arc::clone(&identity.account.caller)));
    }
    Err(status::of_error(&Error::PermissionDenied(
        "the ledger, which needs USAGE_READ for its own account or LEDGER_READ for all".to_owned(),
    )))
}

/// The status of a question without an answer.
fn status_of(error: &ReadError) -> Status {
    use tonic::Code;
    use v1::ErrorReason;
    let (code, reason) = match error {
        ReadError::Invalid { field, what } => {
            return status::of_error(&Error::invalid(*field, what.clone()));
        }
        ReadError::NotFound(_) => (Code::NotFound, NOT_FOUND),
        ReadError::NotYet(_) => (
            Code::FailedPrecondition,
            ErrorReason::NotSettled.as_str_name(),
        ),
        ReadError::TooMuch(_) | ReadError::GivenUp => (
            Code::ResourceExhausted,
            ErrorReason::QueryTooLarge.as_str_name(),
        ),
        ReadError::Unreadable(_) => (
            Code::Unavailable,
            ErrorReason::LedgerUnavailable.as_str_name(),
        ),
    };
    status::with_reason(code, reason, error.to_string())
}

/// What names an object that does not exist.
const NOT_FOUND: &str = "ERROR_REASON_OBJECT_NOT_FOUND";
