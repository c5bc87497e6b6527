//! How is the name of a tool written in the history, so that hosts accept it?
//!
//! Models call tools that nobody offered, by names such as `browser.tabs.open`. Hosts refuse a
//! conversation with such a name, whoever made it: anomalyco/opencode#48750, vercel/ai#17769,
//! mcp-use/mcp-use#94.

use std::borrow::Cow;

use super::Adaptations;

/// The most bytes of a name.
const LONGEST: usize = 64;

/// The name itself if it consists of 1 to 64 letters, digits, `_` and `-`; else one that is derived from it.
pub(super) fn fit<'a>(name: &'a str, adaptations: &mut Adaptations) -> Cow<'a, str> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=LONGEST).contains(&name.len()) && name.bytes().all(is_legal) {
        return Cow::Borrowed(name);
    }
    adaptations.note(
        "messages.parts.tool_call.name",
        "rewritten: names hold 1 to 64 letters, digits, `_` and `-`",
    );
    let mut fitted: String = name
        .chars()
        .take(LONGEST)
        .map(|sign| match u8::try_from(sign) {
            Ok(byte) if is_legal(byte) => sign,
            _ => '_',
        })
        .collect();
    if fitted.is_empty() {
        fitted.push('_');
    }
    Cow::Owned(fitted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_hosts_refuse_becomes_one_that_they_take() {
        let long = "n".repeat(65);
        for (name, expected) in [
            ("get_weather-2", "get_weather-2"),
            ("browser.tabs.open", "browser_tabs_open"),
            ("$lookup", "_lookup"),
            ("wetter für", "wetter_f_r"),
            ("", "_"),
            (&long, &long[..64]),
        ] {
            let mut adaptations = Adaptations::default();

            let fitted = fit(name, &mut adaptations);

            assert_eq!(fitted, expected);
            assert_eq!(adaptations.0.is_empty(), fitted == name, "{name}");
        }
    }
}
