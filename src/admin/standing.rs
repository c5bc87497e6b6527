//! In which state is a key, judged by its record alone?

use std::time::SystemTime;

use crate::identity::directory::KeyState;
use crate::identity::record::KeyRecord;

/// Where this key stands at a time.
pub(super) fn state_of(key: &KeyRecord, account_is_closed: bool, now: SystemTime) -> KeyState {
    let mut ends = key.expires.iter().chain(&key.rotated_until);
    match () {
        () if key.revoked.is_some() || account_is_closed => KeyState::Revoked,
        () if ends.any(|end| *end <= now) => KeyState::Expired,
        () if key.rotated_until.is_some() => KeyState::Rotated,
        () => KeyState::Active,
    }
}

/// The state in a word.
pub fn name_of(state: KeyState) -> &'static str {
    match state {
        KeyState::Active => "active",
        KeyState::Rotated => "rotated",
        KeyState::Expired => "expired",
        KeyState::Revoked => "revoked",
    }
}
