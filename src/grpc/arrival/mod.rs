//! How does a request arrive? `intake` lets it begin, `body` reads it, `messages` finds the messages in its bytes and
//! counts their elements, `unpacking` decompresses them.

mod body;
mod intake;
mod messages;
mod unpacking;

pub(super) use self::intake::{Arrival, Intake, with_compressions};
pub(super) use self::messages::MessageRules;
