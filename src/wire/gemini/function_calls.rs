//! Which events do the function calls of an answer become, whole or in pieces?

use bytes::Bytes;

use crate::chat::ChatEvent;
use crate::error::UpstreamError;
use crate::wire::json::{Flag, compact, object_text};
use crate::wire::reported::check_call;

use super::partial_args::PartialArgs;
use super::response::FunctionCall;

/// The calls of one answer.
#[derive(Default)]
pub(super) struct FunctionCalls {
    /// How many have begun.
    begun: usize,
    open: Option<OpenCall>,
}

/// A tool call whose arguments come in pieces.
struct OpenCall {
    number: usize,
    arguments: PartialArgs,
}

impl FunctionCalls {
    /// Reads a call, or the next piece of the open one.
    pub(super) fn add(
        &mut self,
        call: FunctionCall<'_>,
        signature: Bytes,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let FunctionCall {
            id,
            name,
            args,
            partial_args,
            will_continue,
        } = call;
        let name = name.0.into_owned();
        let pieces = partial_args.all()?;
        let Flag(will_continue) = will_continue;

        // A call without a name continues the open one.
        let begins = !name.is_empty() || self.open.is_none();
        if begins {
            if name.is_empty() && args.is_none() && pieces.is_empty() {
                return Ok(());
            }
            let id = id.0.into_owned();
            check_call(&id, &name)?;
            self.close(events);
            let number = self.begun;
            self.begun += 1;
            events.push(ChatEvent::ToolCall {
                id,
                name,
                signature,
            });
            if pieces.is_empty() && !will_continue {
                events.push(ChatEvent::ToolArguments {
                    call: number,
                    fragment: args
                        .map_or_else(|| "{}".to_owned(), |args| compact(&object_text(args))),
                });
                return Ok(());
            }
            self.open = Some(OpenCall {
                number,
                arguments: PartialArgs::default(),
            });
        }

        if let Some(open) = &mut self.open {
            if let Some(args) = args {
                open.arguments.replace(args)?;
            }
            for piece in pieces {
                open.arguments.add(piece)?;
            }
        }
        if !will_continue {
            self.close(events);
        }
        Ok(())
    }

    /// Ends the open call: it has all its arguments.
    pub(super) fn close(&mut self, events: &mut Vec<ChatEvent>) {
        if let Some(OpenCall { number, arguments }) = self.open.take() {
            events.push(ChatEvent::ToolArguments {
                call: number,
                fragment: arguments.whole(),
            });
        }
    }

    /// Emits the arguments of the open call as far as they have arrived.
    pub(super) fn break_off(&mut self, events: &mut Vec<ChatEvent>) {
        if let Some(OpenCall { number, arguments }) = self.open.take() {
            let fragment = arguments.beginning();
            if !fragment.is_empty() {
                events.push(ChatEvent::ToolArguments {
                    call: number,
                    fragment,
                });
            }
        }
    }
}
