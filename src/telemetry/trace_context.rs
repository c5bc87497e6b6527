//! How is W3C trace context read from callers and written for providers?

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::hash::in_digits;

/// The content of a `traceparent` header (W3C Trace Context, section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Id of the trace, never 0.
    pub trace_id: u128,
    /// Id of the span, never 0.
    pub span_id: u64,
    /// Whether the caller records the trace.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads a `traceparent` header; `None` if it is not valid. W3C says to ignore an invalid one.
    pub fn parse(header: &str) -> Option<Self> {
        let mut fields = header.trim().split('-');
        let version = hex(fields.next()?, 2)?;
        let trace_id = hex(fields.next()?, 32)?;
        let span_id = u64::try_from(hex(fields.next()?, 16)?).ok()?;
        let flags = hex(fields.next()?, 2)?;
        let foreign_version = version == 0xff || (version == 0 && fields.next().is_some());
        if foreign_version || trace_id == 0 || span_id == 0 {
            return None;
        }
        Some(Self {
            trace_id,
            span_id,
            sampled: flags & 1 == 1,
        })
    }

    /// A new span of the same trace, or of a new one.
    pub fn child_of(parent: Option<Self>) -> Self {
        Self {
            trace_id: parent.map_or_else(|| fastrand::u128(1..), |parent| parent.trace_id),
            span_id: fastrand::u64(1..),
            sampled: parent.is_some_and(|parent| parent.sampled),
        }
    }

    /// Whether its trace belongs to this share of all traces, from 0 to 1. Whoever asks about the same trace gets the
    /// same answer, also SDKs of OpenTelemetry with a ratio by trace id.
    pub fn is_among(&self, share: f64) -> bool {
        /// What is compared: 63 bits.
        const ALL: f64 = (1_u64 << 63) as f64;
        let number = (self.trace_id as u64) >> 1;
        share >= 1.0 || (number as f64) < share.max(0.0) * ALL
    }

    /// The trace's id in hex.
    pub fn trace_id_hex(&self) -> String {
        in_digits(&self.trace_id.to_be_bytes())
    }

    /// The span's id in hex.
    pub fn span_id_hex(&self) -> String {
        in_digits(&self.span_id.to_be_bytes())
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace_id,
            self.span_id,
            u8::from(self.sampled)
        )
    }
}

/// The content of `tracestate` headers: entries of tracing systems on the way (W3C Trace Context, section 3.3). They
/// are passed on unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceState(Option<Arc<str>>);

/// The most entries that it has.
const MAX_ENTRIES: usize = 32;

/// At least this many bytes are passed on. If there are more, long entries are dropped first.
const MAX_STATE_BYTES: usize = 512;

/// An entry of more bytes is a long one.
const LONG_ENTRY_BYTES: usize = 128;

impl TraceState {
    /// Reads the values of all `tracestate` headers of a request, in order. An invalid value drops everything, as W3C
    /// says. If there are more than 512 bytes, entries of more than 128 bytes are left out first, then the last ones.
    pub fn parse<'h>(headers: impl IntoIterator<Item = &'h str>) -> Self {
        let entries = headers.into_iter().flat_map(|header| header.split(','));
        let mut kept = Vec::new();
        let mut keys = HashSet::new();
        for entry in entries.map(|entry| entry.trim_matches([' ', '\t'])) {
            if entry.is_empty() {
                continue;
            }
            let legal = entry
                .split_once('=')
                .is_some_and(|(key, value)| is_key(key) && is_value(value) && keys.insert(key));
            if !legal || kept.len() == MAX_ENTRIES {
                return Self::default();
            }
            kept.push(entry);
        }
        if length(&kept) > MAX_STATE_BYTES {
            kept.retain(|entry| entry.len() <= LONG_ENTRY_BYTES);
        }
        while length(&kept) > MAX_STATE_BYTES {
            kept.pop();
        }
        Self((!kept.is_empty()).then(|| kept.join(",").into()))
    }

    /// All entries as the value of one header; `None` if there are none.
    pub fn header(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// Bytes of all entries with the commas between them.
fn length(entries: &[&str]) -> usize {
    let bytes: usize = entries.iter().map(|entry| entry.len() + 1).sum();
    bytes.saturating_sub(1)
}

/// Whether a text is a key: up to 256 characters, or up to 241, an `@`, and the name of a system of up to 14.
fn is_key(key: &str) -> bool {
    let is_name = |name: &str, most: usize, digit_first: bool| {
        let first = name.bytes().next();
        let begins = first.is_some_and(|byte| {
            byte.is_ascii_lowercase() || (digit_first && byte.is_ascii_digit())
        });
        let legal = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/".contains(&byte)
        };
        begins && name.len() <= most && name.bytes().all(legal)
    };
    match key.split_once('@') {
        None => is_name(key, 256, false),
        Some((tenant, system)) => is_name(tenant, 241, true) && is_name(system, 14, false),
    }
}

/// Whether a text is a value: up to 256 printable characters without commas and equals signs, the last no blank.
fn is_value(value: &str) -> bool {
    let legal = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b',' && byte != b'=';
    (1..=256).contains(&value.len()) && value.bytes().all(legal) && !value.ends_with(' ')
}

/// Lower-case hex of exactly this many digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let legal = text.len() == digits
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    legal.then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_legal_header_survives_a_round_trip() {
        let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

        let context = TraceContext::parse(header).unwrap();

        assert_eq!(context.to_string(), header);
        assert!(context.sampled);
    }

    #[test]
    fn illegal_headers_are_ignored() {
        for header in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::parse(header), None, "{header}");
        }
    }

    #[test]
    fn a_child_stays_in_its_parents_trace_under_an_id_of_its_own() {
        let parent =
            TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();

        let child = TraceContext::child_of(Some(parent));

        assert_eq!(child.trace_id, parent.trace_id);
        assert_ne!(child.span_id, parent.span_id);
        assert!(child.sampled);
    }

    #[test]
    fn a_state_goes_on_as_it_came() {
        let many: Vec<String> = (0..32).map(|number| format!("k{number}=v")).collect();
        let many = many.join(",");
        for (headers, expected) in [
            (&["caller=1"][..], Some("caller=1")),
            (&[" a=1 ,\tb@c=x y ", "d=2"], Some("a=1,b@c=x y,d=2")),
            (&["", " , ,a=1,"], Some("a=1")),
            (&["0tenant@system=!~"], Some("0tenant@system=!~")),
            (&[&many], Some(&many)),
            (&[], None),
            (&[""], None),
        ] {
            let state = TraceState::parse(headers.iter().copied());

            assert_eq!(state.header(), expected, "{headers:?}");
        }
    }

    #[test]
    fn an_illegal_state_is_dropped_as_a_whole() {
        let many: Vec<String> = (0..33).map(|number| format!("k{number}=v")).collect();
        for header in [
            "a",
            "a=",
            "=1",
            "A=1",
            "1a=1",
            "a=1,a=2",
            "a=b=c",
            "a=\u{e9}",
            "a@=1",
            "@a=1",
            "a@1=1",
            "a b=1",
            &many.join(","),
            &format!("a={}", "x".repeat(257)),
            &format!("{}=1", "k".repeat(257)),
        ] {
            let headers = ["good=1", header];

            assert_eq!(
                TraceState::parse(headers),
                TraceState::default(),
                "{header}"
            );
        }
    }

    #[test]
    fn of_a_long_state_long_entries_go_first_and_then_the_last() {
        let long = format!("long={}", "x".repeat(200));
        let short: Vec<String> = (0..10)
            .map(|number| format!("s{number}={}", "x".repeat(60)))
            .collect();
        let header = format!("{},{long},{}", short[0], short[1..].join(","));

        let state = TraceState::parse([header.as_str()]);

        assert_eq!(state.header(), Some(short[..8].join(",").as_str()));
        let both = format!("{long},b=1");
        assert_eq!(
            TraceState::parse([both.as_str()]).header(),
            Some(both.as_str())
        );
    }
}
