//! Which status codes does the service use? Each door knows their numbers in its protocol.

/// The gRPC status codes that the service uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Answered.
    Ok,
    /// The caller went away.
    Cancelled,
    /// The request is wrong, whatever the state of the service.
    InvalidArgument,
    /// The deadline passed.
    DeadlineExceeded,
    /// What the request names does not exist.
    NotFound,
    /// The caller asks for more than it may have.
    ResourceExhausted,
    /// Nothing proves who calls.
    Unauthenticated,
    /// Whoever calls may not do this.
    PermissionDenied,
    /// The request contradicts an earlier one.
    Aborted,
    /// The request cannot be served by the service as it is configured.
    FailedPrecondition,
    /// The service has no such method.
    Unimplemented,
    /// A defect of the service.
    Internal,
    /// The same call may succeed later.
    Unavailable,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Ok,
        Self::Cancelled,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::ResourceExhausted,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::Aborted,
        Self::FailedPrecondition,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
    ];

    /// Its name in the gRPC specification.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Cancelled => "CANCELLED",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::Aborted => "ABORTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
        }
    }

    /// Whether OpenTelemetry's RPC conventions make it an error of the serving side.
    pub fn is_service_fault(self) -> bool {
        match self {
            Self::DeadlineExceeded | Self::Internal | Self::Unavailable => true,
            Self::Ok
            | Self::Cancelled
            | Self::InvalidArgument
            | Self::NotFound
            | Self::ResourceExhausted
            | Self::Unauthenticated
            | Self::PermissionDenied
            | Self::Aborted
            | Self::FailedPrecondition
            | Self::Unimplemented => false,
        }
    }
}
