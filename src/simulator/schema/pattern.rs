//! Which text matches a pattern of a schema?

use regex_automata::nfa::thompson;
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::util::syntax;
use regex_syntax::hir::{Class, ClassUnicodeRange, Hir, HirKind};

/// Memory that a compiled pattern may take, in bytes.
const LARGEST: usize = 1 << 17;

/// Characters of one text.
const LONGEST: usize = super::LONGEST_STRING;

/// A regular expression. ECMA-262, which schemas use, is read as the syntax of the crate `regex`: they differ in
/// look-around and back references, which cannot be read, and in `\d` and `\w`, of which only ASCII is made up.
pub(super) struct Pattern {
    tree: Hir,
    machine: PikeVM,
}

impl Pattern {
    /// `None` if the pattern cannot be read, or is too large.
    pub(super) fn new(text: &str) -> Option<Self> {
        let tree = regex_syntax::ParserBuilder::new()
            .nest_limit(50)
            .build()
            .parse(text)
            .ok()?;
        let machine = PikeVM::builder()
            .syntax(syntax::Config::new().nest_limit(50))
            .thompson(thompson::Config::new().nfa_size_limit(Some(LARGEST)))
            .build(text)
            .ok()?;
        Some(Self { tree, machine })
    }

    /// The work of finding out whether the text matches.
    pub(super) fn work(&self, text: &str) -> usize {
        1 + text.len() * self.machine.get_nfa().states().len() / 2000
    }

    /// The length of the shortest text, in bytes.
    pub(super) fn shortest(&self) -> usize {
        self.tree.properties().minimum_len().unwrap_or(0)
    }

    /// Whether the text matches anywhere.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.machine
            .is_match(&mut self.machine.create_cache(), text)
    }

    /// A text that is likely to match; repetitions without a limit go up to `growth` beyond their least number.
    /// `None` if it would be too long.
    pub(super) fn text(&self, growth: usize, random: &mut fastrand::Rng) -> Option<String> {
        let mut text = String::new();
        write(&self.tree, growth, random, &mut text)?;
        Some(text)
    }
}

/// Writes a text that the tree matches. Its depth is limited by the parser.
fn write(tree: &Hir, growth: usize, random: &mut fastrand::Rng, text: &mut String) -> Option<()> {
    if text.len() > LONGEST {
        return None;
    }
    match tree.kind() {
        // Ends hold by themselves where a pattern begins and ends with them; the machine notices the others.
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Class(class) => text.push(character(class, random)?),
        HirKind::Capture(capture) => write(&capture.sub, growth, random, text)?,
        HirKind::Concat(parts) => {
            for part in parts {
                write(part, growth, random, text)?;
            }
        }
        HirKind::Alternation(branches) => {
            let branch = branches.get(random.usize(..branches.len().max(1)))?;
            write(branch, growth, random, text)?;
        }
        HirKind::Repetition(repetition) => {
            let least = usize::try_from(repetition.min).ok()?;
            let most = match repetition.max {
                Some(most) => usize::try_from(most).ok()?,
                None => usize::MAX,
            };
            let most = most.min(least.saturating_add(growth)).max(least);
            let times = match random.u8(..3) {
                0 => most,
                _ => random.usize(least..=most),
            };
            for _ in 0..times {
                write(&repetition.sub, growth, random, text)?;
            }
        }
    }
    Some(())
}

/// A character of the class: a letter or digit if there is one, then any visible one of ASCII, then any.
fn character(class: &Class, random: &mut fastrand::Rng) -> Option<char> {
    let ranges: Vec<(u32, u32)> = match class {
        Class::Unicode(class) => {
            let ends =
                |range: &ClassUnicodeRange| (u32::from(range.start()), u32::from(range.end()));
            class.iter().map(ends).collect()
        }
        Class::Bytes(class) => {
            let ranges = class.iter();
            ranges
                .map(|range| (u32::from(range.start()), u32::from(range.end())))
                .collect()
        }
    };
    let is_in = |character: &char| {
        let code = u32::from(*character);
        ranges
            .iter()
            .any(|(start, end)| (*start..=*end).contains(&code))
    };
    for preferred in ['a'..='z', '0'..='9', 'A'..='Z', ' '..='~'] {
        let choices: Vec<char> = preferred.filter(is_in).collect();
        if let Some(character) = random.choice(choices) {
            return Some(character);
        }
    }
    let (start, end) = random.choice(ranges)?;
    // The numbers between are no characters.
    char::from_u32(random.u32(start..=end)).or_else(|| char::from_u32(start))
}
