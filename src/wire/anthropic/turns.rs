//! Which system text and which turns does a conversation become in Anthropic's format?

use super::blocks::{Author, Block, Content, Turn};
use super::parts::Parts;
use super::value;
use crate::chat::{Message, Role};
use crate::error::Unsupported;
use crate::wire::Adaptations;

/// A conversation as the API wants it: the system text apart, then turns of alternating roles.
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<Block<'a>>,
    pub(super) turns: Vec<Turn<'a>>,
    pub(super) adaptations: Adaptations,
}

impl<'a> Conversation<'a> {
    /// Spells `messages` for `provider`.
    pub(super) fn new(messages: &'a [Message], provider: &'a str) -> Result<Self, Unsupported> {
        let mut blocks = Parts::new(messages, provider);
        let mut conversation = Self {
            system: Vec::new(),
            turns: Vec::new(),
            adaptations: Adaptations::default(),
        };
        for message in messages {
            let Message { role, parts } = message;
            if *role == Role::Assistant {
                blocks.begin_message();
            }
            for part in parts {
                let Some(block) = blocks.block(*role, part)? else {
                    continue;
                };
                match role {
                    Role::System => conversation.system.push(block),
                    Role::User | Role::Tool => conversation.add(Author::User, block),
                    Role::Assistant => conversation.add(Author::Assistant, block),
                }
                for block in std::mem::take(&mut blocks.shown_by_failures) {
                    conversation.add(Author::User, block);
                }
            }
        }
        conversation.adaptations = blocks.adaptations;
        let author = |turn: Option<&Turn<'_>>| turn.map(|turn| turn.role);
        if author(conversation.turns.first()) != Some(Author::User) {
            return Err(value(
                "messages",
                "a conversation begins with the user's message",
            ));
        }
        // Otherwise the model would continue the assistant's turn, which the caller did not ask for.
        let is_asked = matches!(messages.last(), Some(last) if last.role != Role::Assistant);
        if is_asked && author(conversation.turns.last()) != Some(Author::User) {
            return Err(value("messages", "the last message must say something"));
        }
        Ok(conversation)
    }

    /// Whether the model is in the middle of a turn of its own, waiting for tool results, that it did
    /// not begin by thinking.
    pub(super) fn continues_without_thinking(&self) -> bool {
        let [.., own, results] = self.turns.as_slice() else {
            return false;
        };
        !results.content.results.is_empty()
            && !matches!(
                own.content.others.first(),
                Some(Block::Thinking { .. } | Block::RedactedThinking { .. })
            )
    }

    /// Adds a block to the last turn if that is by the same author: two turns in a row are refused.
    fn add(&mut self, role: Author, block: Block<'a>) {
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
