//! What does an answer's text rest on, and how likely was it?

use bytes::Bytes;

/// A source that a text of an answer rests on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Citation {
    /// The first character of the text that rests on it and the one after the last, in code points of the text part;
    /// `None` if the provider does not tell.
    pub range: Option<(usize, usize)>,
    /// Address of the source; empty for a document of the request.
    pub uri: String,
    /// Title of the source; may be empty.
    pub title: String,
    /// The passage of the source that is cited; may be empty.
    pub cited_text: String,
    /// Which document of the request it is, from 0; `None` for other sources.
    pub document_index: Option<u32>,
    /// What else the provider tells: a JSON object as text, or empty.
    pub provider_fields: String,
}

/// How likely a token of a text was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenLogprob {
    /// The token's text.
    pub token: String,
    /// Natural logarithm of its probability.
    pub logprob: f64,
    /// Its bytes; empty if the provider does not tell.
    pub bytes: Bytes,
    /// The likeliest tokens at this place.
    pub top: Vec<TopLogprob>,
}

/// One of the likeliest tokens at a place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopLogprob {
    /// The token's text.
    pub token: String,
    /// Natural logarithm of its probability.
    pub logprob: f64,
    /// Its bytes; empty if the provider does not tell.
    pub bytes: Bytes,
}
