//! How is a behaviour spelled in a model's name or in the header `x-simulate`?

use std::str::FromStr;
use std::time::Duration;

use super::behaviour::{Behaviour, Fault, Finish, RefusalReason};

/// The largest number that can be written: a whole answer is held in memory.
const LARGEST: usize = 100_000;

/// Every key that can be written, settings first.
pub const KEYS: [&str; 38] = [
    "tokens",
    "text",
    "reasoning",
    "call",
    "refusal",
    "finish",
    "as",
    "delay",
    "first",
    "gap",
    "slice",
    "drip",
    "ratio",
    "retry-after",
    "status",
    "context-length",
    "content-filter",
    "quota",
    "hang",
    "silence",
    "pings",
    "role-only",
    "error",
    "cut",
    "disconnect",
    "reset",
    "stall",
    "malformed",
    "half-character",
    "html",
    "empty",
    "long-line",
    "error-body",
    "no-end",
    "open-end",
    "no-usage",
    "plain",
    "whole",
];

impl FromStr for Behaviour {
    type Err = String;

    /// Reads `key=value+key=value…`, as the documentation of the [module](super) lists them.
    ///
    /// # Errors
    /// A sentence that names the part that cannot be read.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut behaviour = Self::default();
        behaviour.apply(text)?;
        Ok(behaviour)
    }
}

impl Behaviour {
    /// Changes what `text` names and leaves the rest.
    ///
    /// # Errors
    /// A sentence that names the part that cannot be read.
    pub fn apply(&mut self, text: &str) -> Result<(), String> {
        let mut has_fault = false;
        for part in text.split('+') {
            let (key, value) = match part.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (part, None),
            };
            if self.apply_setting(key, value)? {
                continue;
            }
            let fault = read_fault(key, value)?
                .ok_or_else(|| format!("unknown behaviour `{key}` in `{text}`"))?;
            if has_fault {
                return Err(format!("more than one fault in `{text}`"));
            }
            has_fault = true;
            self.fault = Some(fault);
        }
        Ok(())
    }

    /// Whether `key` is a setting and no fault.
    fn apply_setting(&mut self, key: &str, value: Option<&str>) -> Result<bool, String> {
        match key {
            "tokens" => self.tokens = number(key, value)?,
            "text" => self.text = Some(required(key, value)?.to_owned()),
            "reasoning" => self.reasoning = number(key, value)?,
            "call" => self.tools.push(required(key, value)?.to_owned()),
            "refusal" => self.declines = true,
            "finish" => self.finish = Some(finish(required(key, value)?)?),
            "as" => self.reported_model = Some(required(key, value)?.to_owned()),
            "delay" => self.delay = duration(key, value)?,
            "first" => self.first_token = duration(key, value)?,
            "gap" => self.gap = duration(key, value)?,
            "slice" => self.slice = number(key, value)?,
            "drip" => self.drip = duration(key, value)?,
            "ratio" => self.fail_ratio = ratio(key, value)?,
            "retry-after" => self.retry_after = Some(duration(key, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn read_fault(key: &str, value: Option<&str>) -> Result<Option<Fault>, String> {
    let place = || number(key, Some(value.unwrap_or("0")));
    let fault = match key {
        "status" => Fault::Refuse(status(key, value)?),
        "context-length" => Fault::Refuse(RefusalReason::ContextLength),
        "content-filter" => Fault::Refuse(RefusalReason::ContentFilter),
        "quota" => Fault::Refuse(RefusalReason::QuotaExhausted),
        "hang" => Fault::Hang,
        "silence" => Fault::Silence,
        "pings" => Fault::Pings {
            every: duration(key, Some(value.unwrap_or("0ms")))?,
        },
        "role-only" => Fault::RoleOnly,
        "error" => Fault::ErrorEvent { after: place()? },
        "cut" => Fault::Cut { after: place()? },
        "disconnect" => Fault::Disconnect { after: place()? },
        "reset" if value.is_none() => Fault::ResetAtOnce,
        "reset" => Fault::Reset { after: place()? },
        "stall" => Fault::Stall { after: place()? },
        "malformed" => Fault::Malformed { after: place()? },
        "half-character" => Fault::HalfCharacter { after: place()? },
        "html" => Fault::Html,
        "empty" => Fault::Empty,
        "long-line" => Fault::LongLine,
        "error-body" => Fault::ErrorBody,
        "no-end" => Fault::NoEnd,
        "open-end" => Fault::OpenEnd,
        "no-usage" => Fault::NoUsage,
        "plain" => Fault::WrongContentType,
        "whole" => Fault::WholeForStream,
        _ => return Ok(None),
    };
    Ok(Some(fault))
}

fn required<'a>(key: &str, value: Option<&'a str>) -> Result<&'a str, String> {
    value.ok_or_else(|| format!("`{key}` needs a value"))
}

fn number(key: &str, value: Option<&str>) -> Result<usize, String> {
    let value = required(key, value)?;
    value
        .parse()
        .ok()
        .filter(|number| *number <= LARGEST)
        .ok_or_else(|| format!("`{key}` needs a number up to {LARGEST}, not `{value}`"))
}

fn ratio(key: &str, value: Option<&str>) -> Result<f64, String> {
    let value = required(key, value)?;
    value
        .parse()
        .ok()
        .filter(|ratio| (0.0..=1.0).contains(ratio))
        .ok_or_else(|| format!("`{key}` needs a number from 0 to 1, not `{value}`"))
}

fn duration(key: &str, value: Option<&str>) -> Result<Duration, String> {
    let value = required(key, value)?;
    let (digits, milliseconds) = match (value.strip_suffix("ms"), value.strip_suffix('s')) {
        (Some(digits), _) => (digits, 1),
        (None, Some(digits)) => (digits, 1000),
        (None, None) => ("", 1),
    };
    digits
        .parse::<u32>()
        .map(|count| Duration::from_millis(u64::from(count) * milliseconds))
        .map_err(|_| format!("`{key}` needs a time such as `20ms` or `2s`, not `{value}`"))
}

fn status(key: &str, value: Option<&str>) -> Result<RefusalReason, String> {
    let value = required(key, value)?;
    value
        .parse()
        .ok()
        .and_then(RefusalReason::from_status)
        .ok_or_else(|| format!("`{key}` knows no status `{value}`"))
}

fn finish(value: &str) -> Result<Finish, String> {
    match value {
        "stop" => Ok(Finish::Stop),
        "length" => Ok(Finish::Length),
        "tool-calls" => Ok(Finish::ToolCalls),
        "content-filter" => Ok(Finish::ContentFilter),
        _ => Err(format!("`finish` knows no reason `{value}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_one_fault_are_read_together() {
        let read: Behaviour = "tokens=200+first=300ms+gap=2s+status=503+ratio=0.2"
            .parse()
            .unwrap();

        let expected = Behaviour {
            tokens: 200,
            first_token: Duration::from_millis(300),
            gap: Duration::from_secs(2),
            fail_ratio: 0.2,
            ..Behaviour::from(Fault::Refuse(RefusalReason::Unavailable))
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn every_key_of_the_list_can_be_written() {
        for key in KEYS {
            let unknown = format!("unknown behaviour `{key}`");
            let refused = key.parse::<Behaviour>().err().unwrap_or_default();

            assert!(!refused.starts_with(&unknown), "{key}");
        }
    }

    #[test]
    fn a_mistake_is_named() {
        let table = [
            ("tokns=3", "unknown behaviour `tokns` in `tokns=3`"),
            ("tokens", "`tokens` needs a value"),
            (
                "tokens=many",
                "`tokens` needs a number up to 100000, not `many`",
            ),
            (
                "cut=100001",
                "`cut` needs a number up to 100000, not `100001`",
            ),
            (
                "gap=20",
                "`gap` needs a time such as `20ms` or `2s`, not `20`",
            ),
            ("ratio=20", "`ratio` needs a number from 0 to 1, not `20`"),
            ("status=999", "`status` knows no status `999`"),
            ("cut=1+hang", "more than one fault in `cut=1+hang`"),
            ("", "unknown behaviour `` in ``"),
        ];
        for (text, message) in table {
            assert_eq!(text.parse::<Behaviour>(), Err(message.to_owned()));
        }
    }

    #[test]
    fn a_reset_without_a_place_comes_before_the_response() {
        assert_eq!(read_fault("reset", None), Ok(Some(Fault::ResetAtOnce)));
        assert_eq!(
            read_fault("reset", Some("3")),
            Ok(Some(Fault::Reset { after: 3 }))
        );
    }
}
