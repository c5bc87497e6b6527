//! Reads the content of a message: one text, or a list of pieces.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

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
    /// A piece that is none of these, and its type.
    Other(Cow<'a, str>, &'a RawValue),
    /// A piece of which nothing can be kept.
    Lost,
}

object! {
    struct Piece<'a> {
        kind: Text<'a> = "type",
        text: Text<'a> = "text",
        refusal: Text<'a> = "refusal",
        // Mistral nests the text of a `thinking` piece in pieces of its own.
        thinking: Thought<'a> = "thinking",
    }
}

/// What a piece of reasoning says, in whatever pieces it is written.
#[derive(Default)]
struct Thought<'a>(Cow<'a, str>);

object! {
    struct ThoughtPiece<'a> {
        thinking: Thought<'a> = "thinking",
        text: Thought<'a> = "text",
        refusal: Thought<'a> = "refusal",
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
        if said.is_empty() {
            return;
        }
        // The reader refuses the answer at one piece above the limit, so no more need to be kept.
        let has_room = self.0.len() <= MAX_PARTS;
        match (self.0.last_mut(), said) {
            (Some(Said::Text(open)), Said::Text(text))
            | (Some(Said::Refusal(open)), Said::Refusal(text))
            | (Some(Said::Reasoning(open)), Said::Reasoning(text)) => open.to_mut().push_str(&text),
            (Some(Said::Lost), Said::Lost) => {}
            (_, said) if has_room => self.0.push(said),
            (_, _) => {}
        }
    }

    /// Adds a piece; `written` is all of it, if that is known.
    fn add(&mut self, piece: Piece<'a>, written: Option<&'a RawValue>) {
        let Piece {
            kind,
            text,
            refusal,
            thinking,
        } = piece;
        let is_empty = text.0.is_empty() && refusal.0.is_empty() && thinking.0.is_empty();
        // A piece of these types is an empty one, a piece without a type is nothing.
        let is_ours = matches!(
            &*kind.0,
            "" | "text" | "output_text" | "refusal" | "thinking"
        );
        if is_empty && !is_ours {
            self.say(match written {
                Some(written) => Said::Other(kind.0, written),
                None => Said::Lost,
            });
            return;
        }
        self.say(Said::Reasoning(thinking.0));
        self.say(Said::Text(text.0));
        self.say(Said::Refusal(refusal.0));
    }
}

impl Said<'_> {
    fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) | Self::Refusal(text) | Self::Reasoning(text) => text.is_empty(),
            Self::Other(..) | Self::Lost => false,
        }
    }
}

impl<'a> Thought<'a> {
    fn join(&mut self, more: Cow<'a, str>) {
        if self.0.is_empty() {
            self.0 = more;
        } else if !more.is_empty() {
            self.0.to_mut().push_str(&more);
        }
    }
}

impl MaybeAbsent for Thought<'_> {
    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Thought<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ThoughtVisitor)
    }
}

struct ThoughtVisitor;

impl<'de> Visitor<'de> for ThoughtVisitor {
    type Value = Thought<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Thought(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Thought(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut thought = Thought::default();
        while let Some(Thought(more)) = list.next_element()? {
            thought.join(more);
        }
        Ok(thought)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        let ThoughtPiece {
            mut thinking,
            text,
            refusal,
        } = ThoughtPiece::deserialize(MapAccessDeserializer::new(object))?;
        thinking.join(text.0);
        thinking.join(refusal.0);
        Ok(thinking)
    }

    nothing_from!(bool u64 i64 f64 unit);
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
        while let Some(written) = list.next_element::<&'de RawValue>()? {
            match serde_json::from_str::<Element<'de>>(written.get()).map_err(A::Error::custom)? {
                Element::Text(text) => content.say(Said::Text(text)),
                Element::Piece(piece) => content.add(piece, Some(written)),
            }
        }
        Ok(content)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        let mut content = Content::default();
        let piece = Piece::deserialize(MapAccessDeserializer::new(object))?;
        content.add(piece, None);
        Ok(content)
    }

    nothing_from!(bool unit);
}

/// An element of a list of content.
enum Element<'a> {
    Text(Cow<'a, str>),
    Piece(Piece<'a>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Element<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ElementVisitor)
    }
}

impl Default for Element<'_> {
    fn default() -> Self {
        Self::Text(Cow::default())
    }
}

struct ElementVisitor;

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Element<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Element::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Element::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        Piece::deserialize(MapAccessDeserializer::new(object)).map(Element::Piece)
    }

    nothing_from!(bool u64 i64 f64 unit seq);
}
