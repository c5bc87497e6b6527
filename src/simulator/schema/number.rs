//! Which number obeys the limits of a schema?

use serde_json::{Number, Value};

use super::Stuck;
use super::parts::Keywords;

/// Decimal places of a number that is made up.
const PLACES: u32 = 2;

/// The most decimal places that are counted with; a limit with more is taken as a binary fraction.
const MOST_PLACES: u32 = 15;

/// Numbers are made up within so many of the one limit that there is.
const REACH: i128 = 100;

/// A number with a whole number of its last decimal place.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scaled {
    digits: i128,
    places: u32,
}

impl Scaled {
    /// A number as it is written; `None` if it is too large or too fine to count with.
    fn of(number: &Number) -> Option<Self> {
        let text = number.to_string();
        let (text, exponent) = match text.split_once(['e', 'E']) {
            Some((text, exponent)) => (text.to_owned(), exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let fraction = fraction.trim_end_matches('0');
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let places = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        match u32::try_from(places) {
            Ok(places) if places <= MOST_PLACES => Some(Self { digits, places }),
            Ok(_) => None,
            Err(_) => {
                let factor = 10i128.checked_pow(places.unsigned_abs())?;
                let digits = digits.checked_mul(factor)?;
                Some(Self { digits, places: 0 })
            }
        }
    }

    fn at(self, places: u32) -> Option<i128> {
        let factor = 10i128.checked_pow(places.checked_sub(self.places)?)?;
        self.digits.checked_mul(factor)
    }
}

/// The limits of all schemas of a place, each with whether the limit itself is left out.
#[derive(Default)]
struct Limits {
    least: Vec<(Number, bool)>,
    most: Vec<(Number, bool)>,
    steps: Vec<Number>,
}

impl Limits {
    fn of(parts: &[Keywords<'_>]) -> Self {
        let mut limits = Self::default();
        for part in parts {
            let number = |keyword| match part.get(keyword) {
                Some(Value::Number(number)) => Some(number.clone()),
                Some(Value::String(text)) => text.parse().ok(),
                _ => None,
            };
            // In draft 4 and OpenAPI 3.0 the exclusive limit is a flag.
            let flag = |keyword| part.get(keyword) == Some(&Value::Bool(true));
            let least = number("minimum").map(|least| (least, flag("exclusiveMinimum")));
            let most = number("maximum").map(|most| (most, flag("exclusiveMaximum")));
            limits.least.extend(least);
            limits.most.extend(most);
            limits
                .least
                .extend(number("exclusiveMinimum").map(|least| (least, true)));
            limits
                .most
                .extend(number("exclusiveMaximum").map(|most| (most, true)));
            limits.steps.extend(number("multipleOf"));
        }
        limits
    }
}

/// A number within the limits of all these schemas.
pub(super) fn number(
    parts: &[Keywords<'_>],
    is_whole: bool,
    random: &mut fastrand::Rng,
) -> Result<Value, Stuck> {
    let limits = Limits::of(parts);
    let number = counted(&limits, is_whole, random).or_else(|| bound(&limits));
    let number = number.ok_or(Stuck)?;
    let is_allowed = parts.iter().all(|part| allows(part, &number))
        && (!is_whole || number.as_f64().is_some_and(|number| number.fract() == 0.0));
    match is_allowed {
        true => Ok(Value::Number(number)),
        false => Err(Stuck),
    }
}

/// A number from counting in whole steps; `None` if there is none, or the numbers are too large.
fn counted(limits: &Limits, is_whole: bool, random: &mut fastrand::Rng) -> Option<Number> {
    let mut places = if is_whole { 0 } else { PLACES };
    let ends = limits.least.iter().chain(&limits.most).map(|(end, _)| end);
    for number in ends.chain(&limits.steps) {
        places = places.max(Scaled::of(number)?.places + u32::from(!is_whole));
    }
    let unit = 10i128.checked_pow(places)?;
    let mut step = if is_whole { unit } else { 1 };
    for number in &limits.steps {
        let number = Scaled::of(number)?.at(places)?.checked_abs()?;
        if number == 0 {
            return None;
        }
        step = step.checked_mul(number / gcd(step, number))?;
    }
    let end = |(number, is_left_out): &(Number, bool)| {
        Some((Scaled::of(number)?.at(places)?, i128::from(*is_left_out)))
    };
    let mut least: Option<i128> = None;
    for limit in &limits.least {
        let (number, gap) = end(limit)?;
        least = least.max(Some(number.saturating_add(gap)));
    }
    let mut most: Option<i128> = None;
    for limit in &limits.most {
        let (number, gap) = end(limit)?;
        let number = number.saturating_sub(gap);
        most = Some(most.map_or(number, |most| most.min(number)));
    }
    // Coarse numbers look better where the limits leave any.
    let coarse = step
        .checked_mul(unit / gcd(step, unit))
        .filter(|_| is_whole);
    let coarse = coarse.or_else(|| Some(step.max(unit / 10)).filter(|coarse| coarse % step == 0));
    for step in [coarse.unwrap_or(step), step] {
        let reach = step.checked_mul(REACH)?;
        let (least, most) = match (least, most) {
            (Some(least), Some(most)) => (least, most),
            (Some(least), None) => (least, least.checked_add(reach)?),
            (None, Some(most)) => (most.checked_sub(reach)?, most),
            (None, None) => (0, reach),
        };
        let first = least.div_euclid(step) + i128::from(least.rem_euclid(step) != 0);
        let last = most.div_euclid(step);
        if first <= last {
            return written(random.i128(first..=last).checked_mul(step)?, places, unit);
        }
    }
    None
}

fn written(digits: i128, places: u32, unit: i128) -> Option<Number> {
    if digits % unit == 0 {
        let whole = digits / unit;
        let signed = i64::try_from(whole).map(Number::from);
        return signed
            .or_else(|_| u64::try_from(whole).map(Number::from))
            .ok();
    }
    let sign = if digits < 0 { "-" } else { "" };
    let (whole, fraction) = (digits.abs() / unit, digits.abs() % unit);
    let text = format!("{sign}{whole}.{fraction:0width$}", width = places as usize);
    Number::from_f64(text.parse().ok()?)
}

/// A limit itself, where numbers are too large to count with.
fn bound(limits: &Limits) -> Option<Number> {
    let zero = (Number::from(0), false);
    let mut ends = limits.least.iter().chain(&limits.most).chain([&zero]);
    let fits = |number: &Number| allows_limits(limits, number);
    let found = ends.find(|(number, _)| fits(number));
    found.map(|(number, _)| number.clone())
}

fn gcd(one: i128, other: i128) -> i128 {
    if other == 0 {
        one
    } else {
        gcd(other, one % other)
    }
}

/// Whether the limits of this schema allow a number.
pub(super) fn allows(keywords: Keywords<'_>, number: &Number) -> bool {
    allows_limits(&Limits::of(&[keywords]), number)
}

fn allows_limits(limits: &Limits, number: &Number) -> bool {
    let is_above = |(least, is_left_out): &(Number, bool)| match compare(number, least) {
        Some(order) => order.is_gt() || order.is_eq() && !is_left_out,
        None => false,
    };
    let is_below = |(most, is_left_out): &(Number, bool)| match compare(number, most) {
        Some(order) => order.is_lt() || order.is_eq() && !is_left_out,
        None => false,
    };
    limits.least.iter().all(is_above)
        && limits.most.iter().all(is_below)
        && limits.steps.iter().all(|step| is_multiple(number, step))
}

fn compare(one: &Number, other: &Number) -> Option<std::cmp::Ordering> {
    if let (Some(one), Some(other)) = (Scaled::of(one), Scaled::of(other)) {
        let places = one.places.max(other.places);
        if let (Some(one), Some(other)) = (one.at(places), other.at(places)) {
            return Some(one.cmp(&other));
        }
    }
    one.as_f64()?.partial_cmp(&other.as_f64()?)
}

fn is_multiple(number: &Number, step: &Number) -> bool {
    if let (Some(number), Some(step)) = (Scaled::of(number), Scaled::of(step)) {
        let places = number.places.max(step.places);
        if let (Some(number), Some(step)) = (number.at(places), step.at(places)) {
            return step != 0 && number % step == 0;
        }
    }
    let ratio = number
        .as_f64()
        .zip(step.as_f64())
        .map(|(number, step)| number / step);
    ratio.is_some_and(|ratio| ratio.fract() == 0.0)
}
