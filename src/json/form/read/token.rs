//! Which number does a value stand for that is neither an object nor a list?

/// A value that is neither an object nor a list.
#[derive(Clone, Copy)]
pub(super) enum Token<'a> {
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Real(f64),
    Text(&'a str),
}

impl Token<'_> {
    pub(super) fn described(self) -> &'static str {
        match self {
            Token::Bool(_) => "a truth value",
            Token::Unsigned(_) | Token::Signed(_) | Token::Real(_) => "another number",
            Token::Text(_) => "another text",
        }
    }

    /// A whole number, also if it is written with a fraction of zero, or as a text.
    pub(super) fn whole(self) -> Option<i128> {
        /// From here on, a fraction may have been lost.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self {
            Token::Unsigned(value) => Some(value.into()),
            Token::Signed(value) => Some(value.into()),
            Token::Real(value) => {
                (value.fract() == 0.0 && value.abs() <= EXACT).then_some(value as i128)
            }
            Token::Text(text) => match text.parse::<i128>() {
                Ok(_) if text.starts_with('+') => None,
                Ok(value) => Some(value),
                Err(_) => Token::Real(decimal(text)?).whole(),
            },
            Token::Bool(_) => None,
        }
    }

    pub(super) fn real(self) -> Option<f64> {
        match self {
            Token::Unsigned(value) => Some(value as f64),
            Token::Signed(value) => Some(value as f64),
            Token::Real(value) => Some(value),
            Token::Text("NaN") => Some(f64::NAN),
            Token::Text("Infinity") => Some(f64::INFINITY),
            Token::Text("-Infinity") => Some(f64::NEG_INFINITY),
            Token::Text(text) => decimal(text),
            Token::Bool(_) => None,
        }
    }
}

/// A finite number in the decimal notation of JSON.
fn decimal(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = digits.starts_with(|first: char| first.is_ascii_digit());
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
    is_number.then_some(value).flatten()
}
