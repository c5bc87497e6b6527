//! Which names may accounts, issuers, limits, providers, scenarios and models have?

/// Whether callers, logs and health checks can carry `name` of an account, an issuer, a limit, a provider or a scenario: 1 to 64
/// small letters, digits, `.`, `_` or `-`.
pub(crate) fn is_legal_name(name: &str) -> bool {
    let is_legal =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(is_legal)
}

/// Whether `id` can name a model: visible ASCII without quotes and backslashes.
pub(crate) fn is_legal_model_id(id: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_graphic() && !b"\"'`\\".contains(&byte);
    (1..=128).contains(&id.len()) && id.bytes().all(is_legal)
}
