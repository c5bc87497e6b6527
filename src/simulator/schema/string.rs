//! Which text obeys the length, the pattern and the format of a schema?

use serde_json::Value;

use super::composer::Composer;
use super::format::{self, Lengths};
use super::parts::Keywords;
use super::pattern::Pattern;
use super::{LONGEST_STRING, Stuck, limit};

/// How many texts are made up until one obeys.
const DRAWS: usize = 40;

/// What texts are made of.
const WORDS: [&str; 12] = [
    "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet",
    "kilo", "lima",
];

impl<'s> Composer<'s> {
    pub(super) fn string(&mut self, parts: &[Keywords<'s>]) -> Result<String, Stuck> {
        let least = parts
            .iter()
            .filter_map(|part| limit(part.get("minLength")))
            .max();
        let most = parts
            .iter()
            .filter_map(|part| limit(part.get("maxLength")))
            .min();
        let lengths = Lengths {
            least: least.unwrap_or(0),
            most: most.unwrap_or(usize::MAX),
        };
        if lengths.least > lengths.most || lengths.least > LONGEST_STRING {
            return Err(Stuck);
        }
        self.spend(1 + lengths.least / 16)?;
        let text_of =
            |keyword| move |part: &Keywords<'s>| part.get(keyword).and_then(Value::as_str);
        let patterns: Vec<&str> = parts.iter().filter_map(text_of("pattern")).collect();
        let compiled: Vec<_> = patterns
            .iter()
            .filter_map(|text| self.document.pattern(text))
            .collect();
        let formats: Vec<&str> = parts.iter().filter_map(text_of("format")).collect();
        for draw in 0..DRAWS {
            let by_format = formats
                .iter()
                .find_map(|format| format::text(format, lengths, &mut self.random));
            let text = match (by_format, compiled.is_empty()) {
                (Some(text), true) => text,
                // A text that has the format by chance is better than one that has it not.
                (Some(text), false) if draw < DRAWS / 4 => text,
                (None, true) => words(lengths, &mut self.random),
                // The beginning that one pattern wants and the end that another wants go together.
                (_, false) if compiled.len() > 1 && draw % 2 == 1 => {
                    let texts = compiled
                        .iter()
                        .map(|pattern| pattern.text(draw / 8, &mut self.random));
                    let Some(texts) = texts.collect::<Option<Vec<_>>>() else {
                        continue;
                    };
                    texts.concat()
                }
                (_, false) => {
                    let pattern = &compiled[draw % compiled.len()];
                    let Some(text) = pattern.text(growth(pattern, draw, lengths), &mut self.random)
                    else {
                        continue;
                    };
                    text
                }
            };
            let work: usize = compiled.iter().map(|pattern| pattern.work(&text)).sum();
            self.spend(1 + text.len() / 16 + work)?;
            if lengths.hold(&text) && compiled.iter().all(|pattern| pattern.matches(&text)) {
                return Ok(text);
            }
        }
        Err(Stuck)
    }
}

/// How far repetitions may go beyond their least number, from draw to draw for another length.
fn growth(pattern: &Pattern, draw: usize, lengths: Lengths) -> usize {
    let shortest = pattern.shortest();
    let longest = lengths.most.min(24 + lengths.least);
    match draw % 4 {
        0 => draw / 4,
        1 => lengths.least.saturating_sub(shortest).max(1),
        2 => lengths.least.max(2),
        _ => longest.saturating_sub(shortest),
    }
}

/// One to three words, or as many characters of them as must be.
fn words(lengths: Lengths, random: &mut fastrand::Rng) -> String {
    let mut text = String::new();
    let mut wanted = random.usize(1..=3);
    while wanted > 0 || text.len() < lengths.least {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(WORDS[random.usize(..WORDS.len())]);
        wanted = wanted.saturating_sub(1);
    }
    // All of them are ASCII.
    text.truncate(lengths.most);
    text
}
