//! Reads the content of a message: one text, or a list of pieces of text, refusal and reasoning.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::wire::json::{MaybeAbsent, Text, nothing_from, object};
use crate::wire::limits::MAX_PARTS;

/// The content of a message. Most hosts write one text, Mistral a list of pieces.
#[derive(Default)]
pub(super) struct Content<'a>(pub(super) Vec<Said<'a>>);

/// A piece of content, never empty. Adjacent pieces of the same kind are joined.
pub(super) enum Said<'a> {
    Text(Cow<'a, str>),
    Refusal(Cow<'a, str>),
    Reasoning(Cow<'a, str>),
}

object! {
    struct Piece<'a> {
        text: Text<'a> = "text",
        refusal: Text<'a> = "refusal",
        // Mistral nests the text of a `thinking` piece in pieces of its own.
        thinking: Content<'a> = "thinking",
    }
}

impl<'a> From<Cow<'a, str>> for Content<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        let mut content = Self::default();
        content.say(Said::Text(text));
        content
    }
}

impl<'a> Content<'a> {
    fn say(&mut self, said: Said<'a>) {
        if said.text().is_empty() {
            return;
        }
        // The reader refuses the answer at one piece above the limit, so no more need to be kept.
        let has_room = self.0.len() <= MAX_PARTS;
        match (self.0.last_mut(), said) {
            (Some(Said::Text(open)), Said::Text(text))
            | (Some(Said::Refusal(open)), Said::Refusal(text))
            | (Some(Said::Reasoning(open)), Said::Reasoning(text)) => open.to_mut().push_str(&text),
            (_, said) if has_room => self.0.push(said),
            (_, _) => {}
        }
    }

    fn add(&mut self, piece: Piece<'a>) {
        let Piece {
            text,
            refusal,
            thinking,
        } = piece;
        for thought in thinking.0 {
            self.say(Said::Reasoning(thought.into_text()));
        }
        self.say(Said::Text(text.0));
        self.say(Said::Refusal(refusal.0));
    }
}

impl<'a> Said<'a> {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Refusal(text) | Self::Reasoning(text) => text,
        }
    }

    fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) | Self::Refusal(text) | Self::Reasoning(text) => text,
        }
    }
}

impl MaybeAbsent for Content<'_> {
    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Content::from(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Content::from(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Content::from(Cow::Owned(number.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Content::from(Cow::Owned(number.to_string())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Content::from(Cow::Owned(number.to_string())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut content = Content::default();
        // An element is a piece or a plain text.
        while let Some(Content(said)) = list.next_element()? {
            for said in said {
                content.say(said);
            }
        }
        Ok(content)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        let mut content = Content::default();
        content.add(Piece::deserialize(MapAccessDeserializer::new(object))?);
        Ok(content)
    }

    nothing_from!(bool unit);
}
