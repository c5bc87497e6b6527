//! Which number does a value stand for that is neither an object nor a list?

/// A value that is neither an object nor a list.
#[derive(Clone, Copy)]
pub(super) enum Primitive<'a> {
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Real(f64),
    Text(&'a str),
}

impl Primitive<'_> {
    pub(super) fn described(self) -> &'static str {
        match self {
            Primitive::Bool(_) => "a truth value",
            Primitive::Unsigned(_) | Primitive::Signed(_) | Primitive::Real(_) => "another number",
            Primitive::Text(_) => "another text",
        }
    }

    /// A whole number, also if it is written with a fraction of zero, or as a text.
    pub(super) fn whole(self) -> Option<i128> {
        /// From here on, a fraction may have been lost.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self {
            Primitive::Unsigned(value) => Some(value.into()),
            Primitive::Signed(value) => Some(value.into()),
            Primitive::Real(value) => {
                (value.fract() == 0.0 && value.abs() <= EXACT).then_some(value as i128)
            }
            Primitive::Text(text) => match text.parse::<i128>() {
                Ok(_) if text.starts_with('+') => None,
                Ok(value) => Some(value),
                Err(_) => Primitive::Real(decimal(text)?).whole(),
            },
            Primitive::Bool(_) => None,
        }
    }

    pub(super) fn real(self) -> Option<f64> {
        match self {
            Primitive::Unsigned(value) => Some(value as f64),
            Primitive::Signed(value) => Some(value as f64),
            Primitive::Real(value) => Some(value),
            Primitive::Text("NaN") => Some(f64::NAN),
            Primitive::Text("Infinity") => Some(f64::INFINITY),
            Primitive::Text("-Infinity") => Some(f64::NEG_INFINITY),
            Primitive::Text(text) => decimal(text),
            Primitive::Bool(_) => None,
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
