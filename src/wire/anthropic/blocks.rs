//! Which content blocks of Anthropic's format does a turn of a request consist of?

use std::borrow::Cow;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

use crate::wire::arguments::Arguments;

#[derive(Serialize)]
pub(super) struct Turn<'a> {
    pub(super) role: Author,
    pub(super) content: Content<'a>,
}

/// The blocks of a turn: the results of tool calls stand together and before anything else.
#[derive(Default)]
pub(super) struct Content<'a> {
    pub(super) results: Vec<Block<'a>>,
    pub(super) others: Vec<Block<'a>>,
}

impl<'a> Content<'a> {
    pub(super) fn push(&mut self, block: Block<'a>) {
        match block {
            Block::ToolResult { .. } => self.results.push(block),
            Block::Text { .. }
            | Block::Image { .. }
            | Block::Document { .. }
            | Block::ToolUse { .. }
            | Block::Thinking { .. }
            | Block::RedactedThinking { .. } => self.others.push(block),
        }
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
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Block<'a>>,
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
}

fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(bytes, &STANDARD))
}
