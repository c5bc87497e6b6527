//! What is told once, at the end of an answer?

use std::borrow::Cow;
use std::mem;

use super::{ChatEvent, Finish, Metadata};

/// What is told once, at the end of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beside {
    /// Why the model stopped, in the provider's words.
    pub finish: Option<Finish>,
    /// What the provider said beyond the rest of the answer, if that was wanted.
    pub metadata: Option<Box<Metadata>>,
    /// Paths in the provider's answer of what has no place in ours, each once.
    pub left_out: Vec<Cow<'static, str>>,
}

/// The most paths that are told of what was left out.
const MAX_LEFT_OUT: usize = 32;

impl Beside {
    /// Keeps an event that is told at the end; gives back any other one.
    pub fn keep(&mut self, event: ChatEvent) -> Option<ChatEvent> {
        match event {
            ChatEvent::Finish(finish) => self.finish = Some(finish),
            ChatEvent::Metadata(mut metadata) => {
                for path in mem::take(&mut metadata.not_kept) {
                    self.leave_out(path.into());
                }
                self.metadata = Some(metadata);
            }
            ChatEvent::LeftOut(path) => self.leave_out(path),
            event => return Some(event),
        }
        None
    }

    fn leave_out(&mut self, path: Cow<'static, str>) {
        if self.left_out.len() < MAX_LEFT_OUT && !self.left_out.contains(&path) {
            self.left_out.push(path);
        }
    }
}
