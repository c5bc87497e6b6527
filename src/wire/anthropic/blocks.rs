//! Which content blocks of Anthropic's format does a turn of a request consist of?

use std::borrow::Cow;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::marked::{Breakpoint, Marked, Piece};
use crate::error::Unsupported;
use crate::wire::arguments::Arguments;

/// A block with what is said of it.
pub(super) type MarkedBlock<'a> = Marked<'a, Block<'a>>;

#[derive(Serialize)]
pub(super) struct Turn<'a> {
    pub(super) role: Author,
    pub(super) content: Content<'a>,
}

/// The blocks of a turn: the results of tool calls stand together and before anything else.
#[derive(Default)]
pub(super) struct Content<'a> {
    pub(super) results: Vec<MarkedBlock<'a>>,
    pub(super) others: Vec<MarkedBlock<'a>>,
}

impl<'a> Content<'a> {
    pub(super) fn push(&mut self, block: MarkedBlock<'a>) {
        match block.piece {
            Block::ToolResult { .. } => self.results.push(block),
            Block::Text { .. }
            | Block::Image { .. }
            | Block::Document { .. }
            | Block::ToolUse { .. }
            | Block::Thinking { .. }
            | Block::RedactedThinking { .. }
            | Block::Provider(_) => self.others.push(block),
        }
    }

    /// The block that the turn begins with.
    pub(super) fn first(&self) -> Option<&Block<'a>> {
        let mut blocks = self.results.iter().chain(&self.others);
        blocks.next().map(|block| &block.piece)
    }

    /// The breakpoints of the turn, in order.
    pub(super) fn breakpoints(&mut self) -> impl Iterator<Item = Breakpoint<'_>> {
        // The content of tool results has none: the door refuses them there.
        let blocks = self.results.iter_mut().chain(&mut self.others);
        blocks.filter_map(Marked::breakpoint)
    }

    /// Adds the options of every block, of those within tool results first.
    ///
    /// # Errors
    /// A block has one of the fields already.
    pub(super) fn finish_marks(&mut self) -> Result<(), Unsupported> {
        for block in self.results.iter_mut().chain(&mut self.others) {
            if let Block::ToolResult { content, .. } = &mut block.piece {
                content.iter_mut().try_for_each(Marked::finish)?;
            }
            block.finish()?;
        }
        Ok(())
    }
}

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.results.iter().chain(&self.others))
    }
}

#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Author {
    User,
    Assistant,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text {
        text: &'a str,
    },
    Image {
        source: Source<'a>,
    },
    Document {
        source: Source<'a>,
        #[serde(skip_serializing_if = "str::is_empty")]
        title: &'a str,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: Arguments<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        caller: Option<&'a RawValue>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<MarkedBlock<'a>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    /// What the provider itself wrote, such as a search and its results.
    #[serde(untagged)]
    Provider(&'a RawValue),
}

impl Piece for Block<'_> {
    fn is_verbatim(&self) -> bool {
        matches!(self, Self::Provider(_))
    }

    fn refuses_cache(&self) -> Option<&'static str> {
        match self {
            Self::Thinking { .. } | Self::RedactedThinking { .. } => {
                Some("left out: the provider takes no breakpoint at reasoning")
            }
            Self::Text { .. }
            | Self::Image { .. }
            | Self::Document { .. }
            | Self::ToolUse { .. }
            | Self::ToolResult { .. }
            | Self::Provider(_) => None,
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Source<'a> {
    Base64 {
        media_type: Cow<'a, str>,
        #[serde(serialize_with = "base64")]
        data: &'a [u8],
    },
    Text {
        media_type: &'static str,
        data: &'a str,
    },
    Url {
        url: &'a str,
    },
    File {
        file_id: &'a str,
    },
}

fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(bytes, &STANDARD))
}
