//! How many attempts may be added to calls: a token bucket that only success fills.

/// The size of a retry budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Tokens that each successful call deposits, 0 to 1; an added attempt takes one token.
    pub ratio: f64,
    /// Tokens that the bucket can hold; it starts full.
    pub burst: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ratio: 0.2,
            burst: 50,
        }
    }
}
