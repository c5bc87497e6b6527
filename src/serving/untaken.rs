//! A whole answer on its way: what it holds until its caller has taken it.

use std::sync::Mutex;

use crate::admission::Permit;
use crate::dispatch::Answered;
use crate::error::{Code, Error};

use super::open_calls::{Ending, lock};

/// A whole answer that its caller has not taken yet.
pub(super) struct Untaken(Mutex<Option<(Option<Answered>, Permit)>>);

impl Untaken {
    /// The permit is given back, and the end of the call recorded, when the answer is taken or given up.
    pub(super) fn new(call: Answered, permit: Permit) -> Self {
        Self(Mutex::new(Some((Some(call), permit))))
    }

    /// An answer of a call that has ended, for others may be given it, too: the permit alone is given back.
    pub(super) fn shared(permit: Permit) -> Self {
        Self(Mutex::new(Some((None, permit))))
    }

    fn ended(&self, code: Code) {
        let held = lock(&self.0).take();
        if let Some((Some(call), _permit)) = held {
            call.end(code);
        }
    }
}

impl Ending for Untaken {
    fn end(&self, error: Error) {
        self.ended(error.reason().code());
    }

    /// Its head has said that all is well, and nothing can be said behind what is not taken.
    fn is_told(&self) -> bool {
        false
    }

    fn taken(&self) {
        self.ended(Code::Ok);
    }
}
