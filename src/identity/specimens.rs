//! Which keys do tests begin with?

use super::key::KeyHash;
use super::record::KeyRecord;

/// A key of this account without an end and with all that the account may do.
pub(crate) fn key(id: &str, account: &str) -> KeyRecord {
    KeyRecord {
        id: id.to_owned(),
        account: account.to_owned(),
        kind: None,
        hash: KeyHash::from_bytes([7; 32]),
        scopes: None,
        expires: None,
        rotated_until: None,
        revoked: None,
        kept_in: format!("the place of {id}"),
    }
}
