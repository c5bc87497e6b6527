//! `[[auth.issuers]]`: whose signed tokens are believed, and which callers they name.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::identity::is_label;
use crate::identity::issuers::{IssuerSettings, KeySource, SubjectAccounts};
use crate::identity::token::{Algorithm, IssuerRules};
use crate::name::is_legal_name;
use crate::provider::link::Link;

use super::link::LinkReader;
use super::table::{Table, Value};

/// How far the clocks of an issuer and of the service may differ unless the file says otherwise ...
const USUAL_LEEWAY: Duration = Duration::from_secs(30);

/// ... and at most.
const LONGEST_LEEWAY: Duration = Duration::from_secs(5 * 60);

/// The most issuers.
const MOST_ISSUERS: usize = 16;

/// How the keys of each issuer are fetched, by its name.
pub type IssuerLinks = BTreeMap<Arc<str>, Arc<Link>>;

/// Reads the issuers, and how their keys are fetched.
pub(super) fn issuers(
    auth: &mut Table<'_>,
    links: &LinkReader<'_>,
) -> (Vec<IssuerSettings>, IssuerLinks) {
    let mut reached = IssuerLinks::new();
    let Some(list) = auth.get("issuers") else {
        return (Vec::new(), reached);
    };
    let tables = list.list().unwrap_or_default();
    if tables.len() > MOST_ISSUERS {
        list.place.wrong(
            format!("more than {MOST_ISSUERS} issuers"),
            "remove some of them",
        );
    }
    let mut issuers: Vec<IssuerSettings> = Vec::new();
    for value in &tables {
        let Some((read, link)) = value.table().and_then(|table| issuer(table, links)) else {
            continue;
        };
        reached.insert(Arc::clone(&read.rules.name), Arc::new(link));
        let is_same = |other: &&IssuerSettings| {
            other.rules.name == read.rules.name || other.rules.issuer == read.rules.issuer
        };
        if issuers.iter().any(|other| is_same(&other)) {
            value.place.wrong(
                "another issuer has the same `name` or `issuer`",
                "give each of them its own",
            );
        }
        issuers.push(read);
    }
    (issuers, reached)
}

fn issuer(mut table: Table<'_>, links: &LinkReader<'_>) -> Option<(IssuerSettings, Link)> {
    let name = table.required("name", "give it a name, such as \"sso\"", name);
    let issuer = table.required("issuer", "write the `iss` of its tokens", filled);
    let audience = table.required(
        "audience",
        "list what its tokens name as `aud` that is this service, such as [\"modelway\"]",
        filled_list,
    );
    let keys = table.required(
        "jwks",
        "write where its keys are: \"https://...\", or \"file:\" and a path",
        key_source,
    );
    let link = match &keys {
        Some(KeySource::File(_)) => {
            for key in ["proxy", "ca_file"] {
                if let Some(value) = table.get(key) {
                    value.place.wrong(
                        "the keys of this issuer are in a file, so nothing is fetched",
                        "remove it, or write a URL in `jwks`",
                    );
                }
            }
            Link::default()
        }
        Some(KeySource::Url(url)) => links.of_issuer(&mut table, Some(url)),
        // The URL is wrong, which has been noted.
        None => links.of_issuer(&mut table, None),
    };
    let algorithms = table.or("algorithms", Algorithm::USUAL.to_vec(), |value| {
        let choices = Algorithm::ALL.map(|algorithm| (algorithm.name(), algorithm));
        let items = value.list()?;
        let chosen: Vec<_> = items
            .iter()
            .filter_map(|item| item.choice(&choices))
            .collect();
        if items.is_empty() {
            value.place.wrong("empty", "name one, or leave it out");
        }
        Some(chosen)
    });
    let leeway = table.or("leeway", USUAL_LEEWAY, |value| {
        let leeway = value.duration_or_none()?;
        if leeway > LONGEST_LEEWAY {
            value.place.wrong(
                "longer than 5 minutes",
                "set the clocks right, and write less",
            );
        }
        Some(leeway)
    });
    let caller_claim = table.or("caller_claim", "sub".to_owned(), filled);
    let team_claim = table.optional("team_claim", filled);
    let scopes_claim = table.optional("scopes_claim", filled);
    let labels = table.or("labels", Vec::new(), labels);
    let accounts = table.or("accounts", SubjectAccounts::Bound, |value| {
        value.choice(&[
            ("bound", SubjectAccounts::Bound),
            ("create", SubjectAccounts::Create),
        ])
    });
    if accounts == SubjectAccounts::Create && team_claim.is_none() {
        table.place.absent(
            "`team_claim` is missing, and callers that tokens make belong to a team",
            "name the claim that holds the id of the team",
        );
    }
    table.finish();
    let settings = IssuerSettings {
        rules: IssuerRules {
            name: name?.into(),
            issuer: issuer?,
            audience: audience?,
            algorithms,
            leeway,
            caller_claim,
            team_claim,
            scopes_claim,
            labels,
        },
        keys: keys?,
        accounts,
    };
    Some((settings, link))
}

/// A name that is a part of the ids of callers.
fn name(value: &Value<'_>) -> Option<String> {
    let name = value.string()?;
    let is_name = is_legal_name(name);
    if !is_name {
        value.place.wrong(
            "not a name",
            "write 1 to 64 small letters, digits, `.`, `_` or `-`",
        );
    }
    is_name.then(|| name.to_owned())
}

fn filled(value: &Value<'_>) -> Option<String> {
    value.filled("write it, or leave it out").map(str::to_owned)
}

fn filled_list(value: &Value<'_>) -> Option<Vec<String>> {
    let items = value.list()?;
    if items.is_empty() {
        value.place.wrong("empty", "write at least one");
        return None;
    }
    Some(items.iter().filter_map(filled).collect())
}

/// Where keys are: in a file, or at a URL that nobody on the way can change.
fn key_source(value: &Value<'_>) -> Option<KeySource> {
    let text = value.string()?;
    if let Some(path) = text.strip_prefix("file:").filter(|path| !path.is_empty()) {
        return Some(KeySource::File(PathBuf::from(path)));
    }
    let url = text.parse::<http::Uri>().ok();
    let host = url.as_ref().and_then(http::Uri::host);
    let is_here = |host: &str| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    };
    let is_sound = match url.as_ref().and_then(http::Uri::scheme_str) {
        Some("https") => host.is_some(),
        Some("http") => host.is_some_and(is_here),
        _ => false,
    };
    if !is_sound {
        value.place.wrong(
            "neither \"https://...\" nor \"file:\" and a path",
            "write one of them; \"http://\" is for this machine alone, since others could change the keys on their way",
        );
        return None;
    }
    Some(KeySource::Url(text.to_owned()))
}

/// Claims that become labels.
fn labels(value: &Value<'_>) -> Option<Vec<(String, Arc<str>)>> {
    let table = value.table()?;
    let label = |(claim, value): (&str, Value<'_>)| {
        let key = value.string()?;
        if !is_label(key) {
            value.place.wrong(
                "not the key of a label",
                "write 1 to 63 letters, digits, `.`, `_` or `-`",
            );
            return None;
        }
        Some((claim.to_owned(), Arc::from(key)))
    };
    Some(table.named().into_iter().filter_map(label).collect())
}
