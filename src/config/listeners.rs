//! Reads the tables `admin` and `probes`, and the address of any listener.

use crate::server::{AdminSettings, ListenAddress, ProbesSettings};

use super::table::{Table, Value};

/// The word for a listener that is not wanted.
const NONE: &str = "none";

pub(super) fn admin(mut table: Table<'_>) -> AdminSettings {
    let default = AdminSettings::default();
    let settings = AdminSettings {
        listen: table.or("listen", default.listen, listen_or_none),
        reflection: table.or("reflection", default.reflection, Value::boolean),
    };
    table.finish();
    settings
}

pub(super) fn probes(mut table: Table<'_>) -> ProbesSettings {
    let default = ProbesSettings::default();
    let settings = ProbesSettings {
        listen: table.or("listen", default.listen, listen_or_none),
    };
    table.finish();
    settings
}

/// Where a listener listens.
pub(super) fn listen(value: &Value<'_>) -> Option<ListenAddress> {
    let address = value.string()?.parse().ok();
    if address.is_none() {
        value.place.wrong(
            "not an IP address and a port",
            "write it like \"127.0.0.1:50051\" or \"[::1]:50051\", or like \"unix:/run/modelway.sock\"",
        );
    }
    address
}

/// The same, or that it does not listen.
fn listen_or_none(value: &Value<'_>) -> Option<Option<ListenAddress>> {
    match value.text() {
        Some(NONE) => Some(None),
        _ => listen(value).map(Some),
    }
}
