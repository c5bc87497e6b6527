//! `[auth]`: how callers prove who they are, and whether some need not.

use crate::identity::LOCAL;
use crate::identity::directory::Directory;
use crate::identity::directory::complaints::{DirectoryMistake, MistakenRecord};
use crate::identity::directory::numbers::AccountNumbers;
use crate::identity::pattern::NamePattern;
use crate::identity::record::{AccountRecord, DirectoryRecords, KeyRecord};
use crate::identity::settings::{CertificateRole, OpenServices, Settings};
use crate::server::ListenAddress;

use super::accounts::{self, Placed};
use super::issuers::{self, IssuerLinks};
use super::link::LinkReader;
use super::mistake::Location;
use super::quantity::parse_long_duration;
use super::table::{Table, Value};

/// The tables without which everybody may call who can connect.
const TABLES: [&str; 3] = ["auth", "accounts", "keys"];

/// Reads `[auth]`, `[[accounts]]` and `[[keys]]` of a service that listens here.
pub(super) fn read(
    root: &mut Table<'_>,
    listen: &ListenAddress,
    links: &LinkReader<'_>,
) -> (Settings, IssuerLinks) {
    let is_open = !TABLES.iter().any(|table| root.has(table));
    let place = root.place.clone();
    let auth = root.section("auth");
    let here = auth.place.clone();
    let accounts = accounts::accounts(root);
    let keys = accounts::keys(root);
    let (settings, reached) = rules(auth, listen, is_open, links);
    if is_open && !listen.is_local() {
        place.absent(
            format!("everybody who reaches {listen} could call, since nothing says who may"),
            format!(
                "add `[[accounts]]` and `[[keys]]`; or, if callers need no credential, `[auth]` with \
                 `anonymous = \"{LOCAL}\"` and `anonymous_beyond_loopback = true`; or listen on a loopback address or a Unix socket"
            ),
        );
    }
    if settings.max_key_life.is_some() {
        for (place, key) in &keys {
            if key.expires.is_none() && key.revoked.is_none() {
                place.wrong(
                    "the key has no end, and `auth.max_key_life` limits the life of keys",
                    "give it an `expire_time`",
                );
            }
        }
    }
    (finished(settings, accounts, keys, &here), reached)
}

fn rules(
    mut auth: Table<'_>,
    listen: &ListenAddress,
    is_open: bool,
    links: &LinkReader<'_>,
) -> (Settings, IssuerLinks) {
    let default = Settings::default();
    let anonymous = auth.get("anonymous");
    let beyond = auth.or("anonymous_beyond_loopback", false, Value::boolean);
    if let Some(anonymous) = &anonymous
        && !beyond
        && !listen.is_local()
    {
        anonymous.place.wrong(
            format!("everybody who reaches {listen} could call without a credential"),
            "say `anonymous_beyond_loopback = true` if that is meant, leave `anonymous` out, \
             or listen on a loopback address or a Unix socket",
        );
    }
    let named = anonymous.as_ref().and_then(Value::string);
    let mut mtls = auth.section("mtls");
    let certificates = mtls.or("role", default.certificates, |value| {
        value.choice(&[
            ("identity", CertificateRole::Identity),
            ("transport", CertificateRole::Transport),
        ])
    });
    let pattern = mtls.optional("pattern", |value| {
        let pattern = NamePattern::parse(value.string()?);
        if let Err(what) = pattern {
            let remedy = "write one such as \"spiffe://prod/ns/*/sa/{caller}\"";
            value.place.wrong(what, remedy);
        }
        pattern.ok()
    });
    mtls.finish();
    let (issuers, reached) = issuers::issuers(&mut auth, links);
    let settings = Settings {
        anonymous: match named {
            Some(named) => Some(named.to_owned()),
            None => is_open.then(|| LOCAL.to_owned()),
        },
        max_key_life: auth.optional("max_key_life", |value| {
            let life = parse_long_duration(value.string()?).filter(|life| !life.is_zero());
            if life.is_none() {
                value.place.wrong(
                    "not a time",
                    "write a number with a unit, such as \"365d\" or \"12h\"",
                );
            }
            life
        }),
        open: auth.or("open", default.open, open),
        certificates,
        pattern,
        issuers,
        accounts: Vec::new(),
        keys: Vec::new(),
    };
    auth.finish();
    (settings, reached)
}

/// The services that need no credential.
fn open(value: &Value<'_>) -> Option<OpenServices> {
    let mut open = OpenServices {
        health: false,
        reflection: false,
    };
    for item in value.list()? {
        match item.choice(&[("health", true), ("reflection", false)]) {
            Some(true) => open.health = true,
            Some(false) => open.reflection = true,
            None => {}
        }
    }
    Some(open)
}

/// The settings with their accounts and keys, once it is known that these fit together.
fn finished(
    mut settings: Settings,
    accounts: Vec<Placed<'_, AccountRecord>>,
    keys: Vec<Placed<'_, KeyRecord>>,
    auth: &Location<'_>,
) -> Settings {
    let (account_places, accounts): (Vec<_>, Vec<_>) = accounts.into_iter().unzip();
    let (key_places, keys): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
    settings.accounts = accounts;
    settings.keys = keys;
    let records = DirectoryRecords {
        accounts: &settings.accounts,
        keys: &settings.keys,
        anonymous: settings.anonymous.as_deref(),
        reads_certificates: settings.certificates == CertificateRole::Identity,
        pattern: settings.pattern.as_ref(),
        nameable: None,
    };
    let built = Directory::build(&records, &Directory::default(), &AccountNumbers::default());
    for mistake in built.err().unwrap_or_default() {
        let DirectoryMistake {
            record,
            field,
            what,
            remedy,
        } = mistake;
        let place = match record {
            MistakenRecord::Account(position) => account_places.get(position),
            MistakenRecord::Key(position) => key_places.get(position),
            MistakenRecord::Rules => Some(auth),
        };
        place.unwrap_or(auth).field(field).wrong(what, remedy);
    }
    settings
}
