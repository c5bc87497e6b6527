//! The settings of the doors for browsers and for JSON.

use crate::{json, server::cors};

use super::table::{Table, Value};

/// Reads `[cors]`.
pub(super) fn cors(mut table: Table<'_>) -> cors::Settings {
    let default = cors::Settings::default();
    let settings = cors::Settings {
        origins: table.or("origins", default.origins, |value| {
            let origins = value.list()?;
            Some(origins.iter().filter_map(origin).collect())
        }),
    };
    table.finish();
    settings
}

/// An origin as browsers send it.
fn origin(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let is_legal = text == "*"
        || text.split_once("://").is_some_and(|(scheme, host)| {
            let is_plain = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.:[]_".contains(&byte)
            };
            let is_name = |name: &str| !name.is_empty() && name.bytes().all(is_plain);
            is_name(scheme) && is_name(host)
        });
    if !is_legal {
        value.place.wrong(
            "not an origin of web pages",
            "write scheme, host and port in small letters as browsers send them, without a path, such as \
             \"https://app.example.com\" or \"http://localhost:3000\", or \"*\" for every page",
        );
        return None;
    }
    Some(text.to_owned())
}

/// Reads `[json]`.
pub(super) fn json(mut table: Table<'_>) -> json::Settings {
    let default = json::Settings::default();
    let settings = json::Settings {
        open_after: table.or("open_after", default.open_after, Value::duration),
        keepalive: table.or("keepalive", default.keepalive, Value::duration),
    };
    table.finish();
    settings
}
