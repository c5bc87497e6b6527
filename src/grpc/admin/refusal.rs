//! How is the refusal of an administrator's request spelled as a status?

use std::collections::HashMap;
use std::time::Duration;

use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::admin::AdminError;
use crate::error::Error;
use crate::grpc::status::{self, DOMAIN};
use crate::grpc::v1::ErrorReason;

/// When to try again what the store could not do now.
const STORE_RETRY: Duration = Duration::from_secs(1);

pub(super) fn status_of(error: &AdminError) -> tonic::Status {
    let (code, reason) = match error {
        AdminError::Invalid(violations) => {
            return status::of_error(&Error::InvalidRequest(violations.clone()));
        }
        AdminError::Denied(what) => {
            return status::of_error(&Error::PermissionDenied(what.clone()));
        }
        AdminError::NotFound(_) => (Code::NotFound, ErrorReason::ObjectNotFound),
        AdminError::Changed(_) => (Code::Aborted, ErrorReason::ObjectChanged),
        AdminError::Impossible(_) => (Code::FailedPrecondition, ErrorReason::ObjectReadOnly),
        AdminError::Ledger(_) => (Code::Unavailable, ErrorReason::LedgerUnavailable),
        AdminError::Store(_) | AdminError::Use(_) | AdminError::NoRandomness => {
            (Code::Unavailable, ErrorReason::StoreUnavailable)
        }
    };
    let name = reason.as_str_name().trim_start_matches("ERROR_REASON_");
    let mut details = ErrorDetails::with_error_info(name, DOMAIN, HashMap::new());
    match error {
        AdminError::NotFound(missing) => {
            let kind = match missing.kind {
                "key" => "modelway.v1.Key",
                "limit" => "modelway.v1.Limit",
                _ => "modelway.v1.Account",
            };
            details.set_resource_info(kind, &missing.id, "", "no such object");
        }
        AdminError::Store(store) if store.is_passing() => {
            details.set_retry_info(Some(STORE_RETRY));
        }
        AdminError::Store(_)
        | AdminError::Ledger(_)
        | AdminError::Use(_)
        | AdminError::NoRandomness
        | AdminError::Invalid(_)
        | AdminError::Denied(_)
        | AdminError::Changed(_)
        | AdminError::Impossible(_) => {}
    }
    tonic::Status::with_error_details(code, error.to_string(), details)
}
