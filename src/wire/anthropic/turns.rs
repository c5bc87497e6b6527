//! Which system text and which turns does a conversation become in Anthropic's format?

use super::betas::Betas;
use super::blocks::{Author, Block, Content, MarkedBlock, Turn};
use super::marked::Marking;
use super::parts::Parts;
use super::value;
use crate::chat::{ChatRequest, Message, Part, PartAt, ProviderPart, Role};
use crate::error::Unsupported;
use crate::wire::Adaptations;

/// A conversation as the API wants it: the system text apart, then turns of alternating roles.
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<MarkedBlock<'a>>,
    pub(super) turns: Vec<Turn<'a>>,
    pub(super) adaptations: Adaptations,
    pub(super) betas: Betas,
}

impl<'a> Conversation<'a> {
    /// Spells the messages of a request for `provider`.
    pub(super) fn new(
        request: &'a ChatRequest,
        provider: &'a str,
        marking: Marking<'a>,
    ) -> Result<Self, Unsupported> {
        let messages = &request.messages;
        let mut blocks = Parts::new(request, provider, marking);
        let mut conversation = Self {
            system: Vec::new(),
            turns: Vec::new(),
            adaptations: Adaptations::default(),
            betas: Betas::default(),
        };
        let is_system = |message: &Message| message.role == Role::System;
        let has_only_system = messages.iter().all(is_system);
        let mut has_begun = false;
        for (index, message) in messages.iter().enumerate() {
            let Message { role, parts } = message;
            match role {
                Role::System if has_only_system => blocks.adaptations.note(
                    "messages.role",
                    "system messages were sent as the user's: the provider answers only the user",
                ),
                Role::System if has_begun => blocks.adaptations.note(
                    "messages.role",
                    "later system messages were moved to the first ones: the provider takes them only there",
                ),
                Role::System => {}
                Role::User | Role::Tool => has_begun = true,
                Role::Assistant => {
                    has_begun = true;
                    blocks.begin_message();
                }
            }
            for (position, part) in parts.iter().enumerate() {
                let at = PartAt {
                    message: index,
                    part: position,
                    content: None,
                };
                let Some(block) = blocks.block(*role, part, at)? else {
                    continue;
                };
                match role {
                    Role::System if !has_only_system => conversation.system.push(block),
                    Role::System | Role::User | Role::Tool => {
                        conversation.add(Author::User, block);
                    }
                    Role::Assistant => conversation.add(Author::Assistant, block),
                }
                for block in std::mem::take(&mut blocks.shown_by_failures) {
                    conversation.add(Author::User, block);
                }
            }
        }
        conversation.adaptations = blocks.adaptations;
        conversation.betas = blocks.betas;
        conversation.check_ends(messages.last(), provider)?;
        Ok(conversation)
    }

    /// Checks that the conversation begins with the user and ends with something to answer or to continue.
    fn check_ends(&self, last: Option<&Message>, provider: &str) -> Result<(), Unsupported> {
        let author = |turn: Option<&Turn<'_>>| turn.map(|turn| turn.role);
        if author(self.turns.first()) != Some(Author::User) {
            return Err(value(
                "messages",
                "a conversation begins with the user's message",
            ));
        }
        let Some(Message { role, parts }) = last else {
            return Ok(());
        };
        if *role != Role::Assistant {
            // Otherwise the model would continue the assistant's turn, which the caller did not ask for.
            return match author(self.turns.last()) {
                Some(Author::User) => Ok(()),
                _ => Err(value("messages", "the last message must say something")),
            };
        }
        let is_foreign = |part: &Part| match part {
            Part::Provider(ProviderPart { provider: of, .. }) => of != provider,
            _ => false,
        };
        if parts.iter().any(is_foreign) || author(self.turns.last()) != Some(Author::Assistant) {
            return Err(value(
                "messages",
                "only the provider that paused in the last message can continue it",
            ));
        }
        Ok(())
    }

    /// Whether the model is in the middle of a turn of its own, waiting for tool results or to continue, that it did
    /// not begin by thinking.
    pub(super) fn continues_without_thinking(&self) -> bool {
        let own = match self.turns.as_slice() {
            [.., own] if own.role == Author::Assistant => own,
            [.., own, results] if !results.content.results.is_empty() => own,
            _ => return false,
        };
        !matches!(
            own.content.first(),
            Some(Block::Thinking { .. } | Block::RedactedThinking { .. })
        )
    }

    /// Adds a block to the last turn if that is by the same author: two turns in a row are refused.
    fn add(&mut self, role: Author, block: MarkedBlock<'a>) {
        match self.turns.last_mut() {
            Some(turn) if turn.role == role => turn.content.push(block),
            _ => {
                let mut content = Content::default();
                content.push(block);
                self.turns.push(Turn { role, content });
            }
        }
    }
}
