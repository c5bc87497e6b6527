//! Cases that are known to fail and wait for their change. One that passes has to leave the list.

pub(crate) const AWAITED: &[&str] = &[
    "base-resp-1008-in-a-200-body-is-a-spent-quota",
    "base-resp-1002-in-a-stream-is-a-rate-limit",
    "code-401-and-msg-in-a-200-body-is-a-refused-key",
    "an-error-in-band-with-code-400-as-text-opens-no-breaker",
    "a-refusal-that-nothing-explains-is-put-to-one-other-provider",
    "two-providers-that-refuse-end-the-call-as-the-first-said",
    "the-other-target-is-of-another-provider",
    "tools-beside-an-effort-do-not-end-the-call",
];
