//! Which text has a format of JSON Schema?

use std::fmt::Write as _;

/// How long a text may be, in characters.
#[derive(Clone, Copy)]
pub(super) struct Lengths {
    pub(super) least: usize,
    pub(super) most: usize,
}

impl Lengths {
    pub(super) fn hold(self, text: &str) -> bool {
        (self.least..=self.most).contains(&text.chars().count())
    }
}

/// A text of this format, as long as it must be where the format lets it; `None` for an unknown format.
pub(super) fn text(format: &str, lengths: Lengths, random: &mut fastrand::Rng) -> Option<String> {
    Some(match format {
        "date-time" => format!("{}T{}Z", date(random), clock(random)),
        "date" => date(random),
        "time" => format!("{}Z", clock(random)),
        "duration" => format!("PT{}M", random.u8(1..60)),
        "email" | "idn-email" => stretched("", "@example.com", lengths, random),
        "hostname" | "idn-hostname" => hostname(lengths, random),
        "ipv4" => format!("192.0.2.{}", random.u8(1..255)),
        "ipv6" => format!("2001:db8::{:x}", random.u16(1..)),
        "uri" | "iri" | "url" => stretched("https://example.com/", "", lengths, random),
        "uri-reference" | "iri-reference" => stretched("/", "", lengths, random),
        "uri-template" => stretched("/", "/{id}", lengths, random),
        "json-pointer" => stretched("/", "", lengths, random),
        "relative-json-pointer" => stretched("0/", "", lengths, random),
        "regex" => stretched("^", "$", lengths, random),
        "uuid" => uuid(random),
        "byte" => stretched_by("", "", 4, lengths, random),
        _ => return None,
    })
}

fn date(random: &mut fastrand::Rng) -> String {
    format!("2026-{:02}-{:02}", random.u8(1..=12), random.u8(1..=28))
}

fn clock(random: &mut fastrand::Rng) -> String {
    let (hour, minute, second) = (random.u8(..24), random.u8(..60), random.u8(..60));
    format!("{hour:02}:{minute:02}:{second:02}")
}

fn uuid(random: &mut fastrand::Rng) -> String {
    let mut bytes: [u8; 16] = std::array::from_fn(|_| random.u8(..));
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::new();
    for (place, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&place) {
            text.push('-');
        }
        // A string takes every write.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Labels of at most 20 letters, so that each is legal.
fn hostname(lengths: Lengths, random: &mut fastrand::Rng) -> String {
    let mut name = "example".to_owned();
    if lengths.most < name.len() {
        return letters(lengths.least.max(1), random);
    }
    while name.len() < lengths.least {
        let missing = lengths.least - name.len();
        let label = letters(missing.saturating_sub(1).clamp(1, 20), random);
        name = format!("{label}.{name}");
    }
    name
}

fn stretched(before: &str, after: &str, lengths: Lengths, random: &mut fastrand::Rng) -> String {
    stretched_by(before, after, 1, lengths, random)
}

/// Letters between two texts: eight, fewer or more if the length says so, always a multiple of `unit`.
fn stretched_by(
    before: &str,
    after: &str,
    unit: usize,
    lengths: Lengths,
    random: &mut fastrand::Rng,
) -> String {
    let fixed = before.len() + after.len();
    let least = lengths
        .least
        .saturating_sub(fixed)
        .max(unit)
        .next_multiple_of(unit);
    let most = lengths.most.saturating_sub(fixed);
    let most = most - most % unit;
    let count = 8.min(most).max(least);
    format!("{before}{}{after}", letters(count, random))
}

fn letters(count: usize, random: &mut fastrand::Rng) -> String {
    (0..count).map(|_| random.lowercase()).collect()
}
