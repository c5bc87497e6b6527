//! The life of a call, whatever door it comes through: understood, let in, answered, taken or given up.
//!
//! A door reads what its caller sends and spells what the caller gets; everything between is here. The door
//! hands over the [`CallHead`] of a call and a function that reads its message. [`Serving::begin`] makes a call of
//! them. It ends in one of three ways: [`BegunCall::whole`] gives the complete answer, [`BegunCall::once`] gives the
//! answer that all calls with the same idempotency key share, and [`BegunCall::stream`] gives the events as they
//! come. Every failure is a [`Failure`]: an error and the record of what was tried. What callers and operators may see and
//! set besides calls is in [`control`].

mod calls;
pub mod control;
mod delivery;
mod open_calls;
mod permission;
mod reading;
mod repeats;
mod size;
mod stream;
mod untaken;

pub use self::calls::{BegunCall, CallHead, Serving};
pub use self::delivery::DeliveryHandle;
pub use self::reading::{CallReading, CallRequest};
pub use self::repeats::{KeyedAnswer, Repeats, SharedOutcome, SharedRequest, Spelled};
pub use self::stream::{EventStream, StreamEvent, StreamSpelling};
pub use crate::dispatch::{Failure, Summary};
