//! How is an event spelled as a line, for people or for programs?
//!
//! Whatever stands in an event, a line ends by its newline alone, has no control character in it, and is no longer
//! than [`MAX_LINE_BYTES`].

use std::fmt::{self, Write};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::LogFormat;
use super::call_line;
use super::escapes::{MAX_LINE_BYTES, escape_into, is_plain, whole_escapes};
use super::figures::push_time;
use super::live::LiveLog;

/// The most bytes of the text of a field, before it is escaped.
const MAX_FIELD_BYTES: usize = 1024;

/// Room for what ends a line.
const END_BYTES: usize = 32;

/// Spells events as lines.
pub(super) struct Lines {
    live: LiveLog,
}

impl Lines {
    /// Lines in the format that `live` has at the moment.
    pub(super) fn of(live: LiveLog) -> Self {
        Self { live }
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match self.live.format() {
            LogFormat::Text => text(writer, event),
            LogFormat::Json => json(writer, event),
        }
    }
}

/// The time in UTC, to the microsecond.
fn write_time(out: &mut Bounded<'_>) {
    let mut time = String::with_capacity(32);
    push_time(&mut time, SystemTime::now());
    out.raw(&time);
}

fn json(mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
    let metadata = event.metadata();
    let mut out = Bounded::new(&mut writer);
    out.raw("{\"time\":\"");
    write_time(&mut out);
    let (level, target) = (metadata.level(), metadata.target());
    out.raw("\",\"level\":\"");
    out.raw(level.as_str());
    out.raw("\",\"target\":\"");
    out.raw(target);
    out.raw("\",\"message\":\"");
    event.record(&mut MessageWriter(&mut out));
    out.raw("\"");
    event.record(&mut JsonFields {
        out: &mut out,
        is_call: target == call_line::TARGET,
    });
    let ending = if out.is_cut {
        ",\"cut\":true}\n"
    } else {
        "}\n"
    };
    writer.write_str(ending)
}

fn text(mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
    let metadata = event.metadata();
    let is_call = metadata.target() == call_line::TARGET;
    let colour = writer.has_ansi_escapes().then(|| colour(*metadata.level()));
    let mut out = Bounded::new(&mut writer);
    write_time(&mut out);
    let level = metadata.level().as_str();
    out.raw(" ");
    out.raw(colour.unwrap_or_default());
    // Words of four letters are aligned with those of five.
    out.raw(if level.len() < 5 { " " } else { "" });
    out.raw(level);
    out.raw(colour.map_or(" ", |_| "\u{1b}[0m "));
    if !is_call {
        out.raw(metadata.target());
        out.raw(": ");
    }
    event.record(&mut MessageWriter(&mut out));
    event.record(&mut TextFields {
        out: &mut out,
        is_call,
    });
    let ending = if out.is_cut { " cut=true\n" } else { "\n" };
    writer.write_str(ending)
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        Level::DEBUG | Level::TRACE => "\u{1b}[34m",
    }
}

/// A line that is being written, and the room that is left in it.
struct Bounded<'a> {
    out: &'a mut dyn Write,
    left: usize,
    /// Whether something was left out.
    is_cut: bool,
}

impl<'a> Bounded<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        Self {
            out,
            left: MAX_LINE_BYTES - END_BYTES,
            is_cut: false,
        }
    }

    /// Writes what needs no escapes; all of it or nothing.
    fn raw(&mut self, text: &str) -> bool {
        let fits = text.len() <= self.left;
        if fits {
            self.left -= text.len();
            // The writer is a string in memory.
            let _ = self.out.write_str(text);
        } else {
            self.is_cut = true;
        }
        fits
    }

    /// Whether there is room for a field with this name, whatever its value.
    fn has_room_for(&mut self, name: &str) -> bool {
        let has_room = self.left > name.len() + MAX_FIELD_BYTES + END_BYTES;
        self.is_cut |= !has_room;
        has_room
    }
}

impl Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.raw(text);
        Ok(())
    }
}

/// Escapes what it writes as the inside of a JSON string, and cuts it off after [`MAX_FIELD_BYTES`].
struct Escaping<'a, 'b> {
    out: &'a mut Bounded<'b>,
    left: usize,
}

impl<'a, 'b> Escaping<'a, 'b> {
    fn new(out: &'a mut Bounded<'b>) -> Self {
        Self {
            out,
            left: MAX_FIELD_BYTES,
        }
    }
}

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() <= self.left && is_plain(text) {
            self.left -= text.len();
            self.out.raw(text);
            return Ok(());
        }
        let mut escaped = String::with_capacity(text.len());
        escape_into(&mut escaped, text);
        let end = escaped.len().min(self.left);
        if end == escaped.len() {
            self.left -= end;
            self.out.raw(&escaped);
            return Ok(());
        }
        self.left = 0;
        self.out.is_cut = true;
        self.out.raw(whole_escapes(&escaped, end));
        Ok(())
    }
}

/// Writes the message of an event and nothing else.
struct MessageWriter<'a, 'b>(&'a mut Bounded<'b>);

impl Visit for MessageWriter<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(Escaping::new(self.0), "{value:?}");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            let _ = Escaping::new(self.0).write_str(value);
        }
    }
}

/// Writes the fields of an event as members of a JSON object.
struct JsonFields<'a, 'b> {
    out: &'a mut Bounded<'b>,
    is_call: bool,
}

impl JsonFields<'_, '_> {
    fn begin(&mut self, field: &Field) -> bool {
        let is_shown = field.name() != "message" && self.out.has_room_for(field.name());
        if is_shown {
            self.out.raw(",\"");
            self.out.raw(field.name());
            self.out.raw("\":");
        }
        is_shown
    }

    fn number(&mut self, field: &Field, value: &dyn fmt::Display) {
        if self.begin(field) {
            let _ = write!(self.out, "{value}");
        }
    }
}

impl Visit for JsonFields<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.is_call && field.name() == call_line::FIELD {
            // The line of a call spells itself.
            let _ = write!(self.out, "{value:#?}");
        } else if self.begin(field) {
            self.out.raw("\"");
            let _ = write!(Escaping::new(self.out), "{value:?}");
            self.out.raw("\"");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if self.begin(field) {
            self.out.raw("\"");
            let _ = Escaping::new(self.out).write_str(value);
            self.out.raw("\"");
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.number(field, &value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.number(field, &value);
    }
}

/// Writes the fields of an event for people.
struct TextFields<'a, 'b> {
    out: &'a mut Bounded<'b>,
    is_call: bool,
}

impl TextFields<'_, '_> {
    fn field(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if field.name() == "message" || !self.out.has_room_for(field.name()) {
            return;
        }
        self.out.raw(" ");
        self.out.raw(field.name());
        self.out.raw("=");
        let mut escaped = String::new();
        escape_into(&mut escaped, &value.to_string());
        let is_cut = escaped.len() > MAX_FIELD_BYTES;
        self.out.is_cut |= is_cut;
        let escaped = match is_cut {
            true => whole_escapes(&escaped, MAX_FIELD_BYTES),
            false => &escaped,
        };
        let is_word = !escaped.is_empty() && !escaped.contains([' ', '"', '=', '\\']);
        match is_word {
            true => _ = self.out.raw(escaped),
            false => {
                self.out.raw("\"");
                self.out.raw(escaped);
                self.out.raw("\"");
            }
        }
    }
}

impl Visit for TextFields<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.is_call && field.name() == call_line::FIELD {
            // The line of a call spells itself.
            let _ = write!(self.out, " {value:?}");
        } else {
            self.field(field, format_args!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, format_args!("{value}"));
    }
}
