//! Why is a credential locked, for how long, and whose fault is a refusal? The words of a lock and its settings.

use std::time::Duration;

use tokio::time::Instant;

/// How long a credential is not used after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The time after the first refusal; it doubles with each further refusal in a row.
    pub base: Duration,
    /// The longest time.
    pub max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(5),
            max: Duration::from_secs(10 * 60),
        }
    }
}

/// Why a credential is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockCause {
    /// The provider does not accept it.
    Refused,
    /// Its quota or credit is used up.
    QuotaExhausted,
}

impl LockCause {
    /// Its name in logs and for watchers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "credential_refused",
            Self::QuotaExhausted => "quota_exhausted",
        }
    }
}

/// Why no attempt is sent with the credential now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locked {
    /// When to ask again; `None` while the probe that will decide is under way.
    pub until: Option<Instant>,
    /// Why the provider refused the credential.
    pub cause: LockCause,
}

/// Whose fault a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The model's: the credential has just been accepted for another model.
    Model,
    /// The credential's, as far as is known. It is locked for this long from now; `None` if the refusal changes
    /// nothing.
    Credential(Option<Duration>),
}

/// A lock as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockSnapshot {
    /// What the provider said of the credential.
    pub cause: LockCause,
    /// When the provider first refused it.
    pub since: Instant,
    /// When the next probe is let through.
    pub until: Instant,
    /// How many refusals in a row have locked it. Refusals while it is locked are not counted.
    pub refusals: u32,
    /// Whether every model is closed off, and not only the one that was refused.
    pub proven: bool,
}
