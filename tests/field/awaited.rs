//! Cases that are known to fail and wait for their change. One that passes has to leave the list.

pub(crate) const AWAITED: &[&str] = &[
    "base-resp-1008-in-a-200-body-is-a-spent-quota",
    "base-resp-1002-in-a-stream-is-a-rate-limit",
    "code-401-and-msg-in-a-200-body-is-a-refused-key",
];
