//! How do operators see, watch and set breakers?

mod listing;
mod set;
mod watch;

pub use self::listing::{check_provider, list};
pub use self::set::set;
pub use self::watch::watch;
