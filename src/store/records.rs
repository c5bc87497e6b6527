//! What does the control store keep of accounts and keys, beside what the directory needs?

use std::time::SystemTime;

use crate::identity::record::{AccountRecord, KeyRecord};

/// Where an object is kept, in messages.
pub const KEPT_IN: &str = "the store";

/// An account of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAccount {
    /// The account.
    pub account: AccountRecord,
    /// Changes with every change.
    pub version: u64,
}

/// A key of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// The key.
    pub key: KeyRecord,
    /// For people.
    pub display_name: String,
    /// The first characters of the secret, for people.
    pub shown: String,
    /// When it was made.
    pub created: SystemTime,
    /// When it was revoked.
    pub revoked_at: Option<SystemTime>,
    /// Id of the key in whose place it was made.
    pub replaces: Option<String>,
    /// Id of the key that was made in its place.
    pub replaced_by: Option<String>,
    /// When it was last used, to the minute; `None` for never.
    pub used: Option<SystemTime>,
}
