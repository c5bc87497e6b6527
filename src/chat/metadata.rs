//! What does a provider say that nothing else in an answer holds?

/// What a provider says in an answer that no other event holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The wire format of the answer.
    pub wire_format: &'static str,
    /// Fields of the answer at the places where the provider has them: a JSON object as text, or empty.
    pub fields: String,
    /// Headers of the answer, names in small letters.
    pub headers: Vec<(String, String)>,
    /// Paths of fields for which there was no room.
    pub not_kept: Vec<String>,
}
