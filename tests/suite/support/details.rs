//! What a failed call's status says, decoded.

use std::collections::HashMap;
use std::time::Duration;

use modelway::grpc::v1::CallFailure;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A status and its details. Absent ones are empty.
#[derive(Debug)]
pub(crate) struct Details {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// `ErrorInfo.reason`, without a prefix.
    pub(crate) reason: String,
    /// `ErrorInfo.domain`.
    pub(crate) domain: String,
    /// `ErrorInfo.metadata`.
    pub(crate) info: HashMap<String, String>,
    /// Field and description of each `BadRequest` violation.
    pub(crate) violations: Vec<(String, String)>,
    /// Descriptions of the `PreconditionFailure` violations.
    pub(crate) preconditions: Vec<String>,
    /// Descriptions of the `QuotaFailure` violations.
    pub(crate) quota: Vec<String>,
    /// Type and name of `ResourceInfo`.
    pub(crate) resource: Option<(String, String)>,
    /// `RetryInfo.retry_delay`.
    pub(crate) retry_after: Option<Duration>,
    /// The trailer `grpc-retry-pushback-ms`.
    pub(crate) pushback: Option<i64>,
    /// Our own detail.
    pub(crate) failure: Option<CallFailure>,
}

/// Decodes a status with all its details.
pub(crate) fn details(status: &Status) -> Details {
    let known = status.get_error_details();
    let info = known.error_info();
    let raw = tonic_types::Status::decode(status.details()).unwrap();
    let failure = raw
        .details
        .iter()
        .find(|detail| detail.type_url == "type.googleapis.com/modelway.v1.CallFailure")
        .map(|detail| CallFailure::decode(detail.value.as_slice()).unwrap());
    let pushback = status.metadata().get("grpc-retry-pushback-ms");
    Details {
        code: status.code(),
        message: status.message().to_owned(),
        reason: info.map(|info| info.reason.clone()).unwrap_or_default(),
        domain: info.map(|info| info.domain.clone()).unwrap_or_default(),
        info: info.map(|info| info.metadata.clone()).unwrap_or_default(),
        violations: known
            .bad_request()
            .map(|bad_request| &bad_request.field_violations[..])
            .unwrap_or_default()
            .iter()
            .map(|violation| (violation.field.clone(), violation.description.clone()))
            .collect(),
        preconditions: known
            .precondition_failure()
            .map(|failure| &failure.violations[..])
            .unwrap_or_default()
            .iter()
            .map(|violation| violation.description.clone())
            .collect(),
        quota: known
            .quota_failure()
            .map(|failure| &failure.violations[..])
            .unwrap_or_default()
            .iter()
            .map(|violation| violation.description.clone())
            .collect(),
        resource: known
            .resource_info()
            .map(|info| (info.resource_type.clone(), info.resource_name.clone())),
        retry_after: known.retry_info().and_then(|info| info.retry_delay),
        pushback: pushback.map(|value| value.to_str().unwrap().parse().unwrap()),
        failure,
    }
}
