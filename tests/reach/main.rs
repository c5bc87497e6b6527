//! Says recorded requests of real clients in the contract, encodes them for their provider, and compares what would be
//! sent with what was recorded.
//!
//! Recordings are found by `MODELWAY_EXCHANGES`, else beside the crate; where they are absent there is nothing to do.
//! An argument limits the run to paths that hold it, and shows both bodies where they differ. The comparison itself is
//! checked: it notices a change at every place of a request, and each of its normalisations is needed.

mod answered;
mod anthropic;
mod chat;
mod compare;
mod fields;
mod gemini;
mod host;
mod noticed;
mod parts;
mod recorded;
mod report;
mod responses;
mod same;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use modelway::chat::ChatRequest;
use modelway::error::Error;
use modelway::features::{Feature, features_of};
use modelway::grpc::elements::ElementLimits;
use modelway::grpc::{request, v1};
use modelway::wire::options::{AllowedOptions, Forbidden, forbidden, lists, with_options};
use modelway::wire::{Recipient, WireFormat};
use serde_json::Value;

use crate::fields::Said;
use crate::host::PROVIDER;
use crate::noticed::Noticed;
use crate::recorded::{Family, Recorded};
use crate::report::{Outcome, Report};
use crate::same::Needed;

/// How much of a family must be sayable, in per mille.
const GOAL: usize = 970;

/// What became of a recorded request.
fn outcome(recorded: &Recorded, shows: bool, check: &mut Check) -> Outcome {
    let sent = match sent(recorded) {
        Ok(sent) => sent,
        Err(_) if recorded.is_refused => return Outcome::Refused,
        Err(reason) => return Outcome::Unsaid(vec![reason]),
    };
    let (mut one, mut other) = (recorded.body.clone(), sent.clone());
    same::normalise(recorded.family, &mut one, &mut other, &mut check.needed);
    let differences = compare::differences(&one, &other);
    if differences.is_empty() {
        check.noticed.check(recorded, &sent);
        return Outcome::Said;
    }
    if shows {
        println!("{}\n  recorded: {one}\n  sent: {other}", recorded.name);
    }
    Outcome::Unsaid(differences.into_iter().collect())
}

/// What the recordings tell about the comparison itself.
#[derive(Default)]
struct Check {
    needed: Needed,
    noticed: Noticed,
}

/// The body that a provider would be sent for a recorded request.
fn sent(recorded: &Recorded) -> Said<Value> {
    let format = &*host::wire_format(recorded);
    let said = match recorded.family {
        Family::Anthropic => anthropic::say(&recorded.body, format),
        Family::OpenAiChat => chat::say(&recorded.body, format),
        Family::OpenAiResponses => responses::say(&recorded.body, format),
        Family::Gemini => gemini::say(&recorded.body, format),
    }?;
    let request = parse(said)?;
    accept(&request, format)?;
    let lacking = features_of(&request).minus(format.features());
    if let Some(feature) = lacking.iter().next() {
        return Err(format!("the format lacks `{}`", Feature::name(feature)));
    }
    let options = AllowedOptions::all();
    let to = Recipient {
        provider: PROVIDER,
        model: recorded.model(),
        max_output_tokens: None,
        stream: recorded.streams,
        options: &options,
    };
    let wire = format
        .encode(&request, &to)
        .and_then(|wire| with_options(wire, &request, &to, format.name()))
        .map_err(|unsupported| unsupported.to_string())?;
    serde_json::from_slice(&wire.body).map_err(|error| format!("the body is no JSON: {error}"))
}

/// What the door makes of a request.
fn parse(said: v1::GenerateRequest) -> Said<ChatRequest> {
    let said = v1::GenerateRequest {
        model: "recorded/model".to_owned(),
        ..said
    };
    match request::parse(said, &ElementLimits::default()) {
        Ok(call) => Ok(call.request),
        Err(Error::InvalidRequest(violations)) => {
            let violation = violations.first();
            Err(violation.map_or_else(String::new, |violation| {
                let field: String = violation
                    .field
                    .chars()
                    .filter(|c| !c.is_ascii_digit())
                    .collect();
                format!("the door refuses {field}: {}", violation.what)
            }))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Fails if the service refuses options of the request, because they say what it says itself.
fn accept(request: &ChatRequest, format: &dyn WireFormat) -> Said<()> {
    for (_, place, options) in lists(request) {
        for entry in options {
            let is_shared = entry.target != PROVIDER;
            let found = forbidden(format.name(), place, &entry.fields, is_shared);
            if let Some(Forbidden { path, because }) = found {
                return Err(format!(
                    "the service refuses `{path}` in options: {because:?}"
                ));
            }
        }
    }
    Ok(())
}

/// Where the recordings are, and whether that was told.
fn exchanges() -> Result<(PathBuf, bool), ExitCode> {
    let named = std::env::var_os("MODELWAY_EXCHANGES").map(PathBuf::from);
    let is_explicit = named.is_some();
    let directory = named
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/wire/exchanges"));
    if directory.join("index.json").is_file() {
        return Ok((directory, is_explicit));
    }
    println!("reach: skipped: no recordings in {}", directory.display());
    Err(match is_explicit {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn main() -> ExitCode {
    let (directory, is_explicit) = match exchanges() {
        Ok(found) => found,
        Err(code) => return code,
    };
    // Options are meant for the usual test harness, which shares its command line with this one.
    let filters: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|part| name.contains(part));

    let shows = !filters.is_empty();
    let mut check = Check::default();
    let mut report = Report::default();
    for recorded in recorded::requests(&directory) {
        if !wanted(&recorded.name) {
            continue;
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| outcome(&recorded, shows, &mut check)));
        let outcome = outcome.unwrap_or_else(|_| Outcome::Unsaid(vec!["it panics".to_owned()]));
        report.add(recorded.family, &recorded.name, outcome);
    }
    report.print();
    // A part of the recordings may be any.
    if shows {
        return ExitCode::SUCCESS;
    }
    let mut failures = Vec::new();
    for family in report.below(GOAL) {
        failures.push(format!("{}: less can be said than the goal", family.name()));
    }
    for (family, place) in check.noticed.missed() {
        failures.push(format!("{family}: a change of {place} goes unnoticed"));
    }
    // Other recordings may need less, and ask for more.
    if !is_explicit {
        for (family, reason) in report.unintended() {
            failures.push(format!("{}: {reason}: it is not said why", family.name()));
        }
        for (family, same) in same::needless(&check.needed) {
            failures.push(format!("{family}: no recording needs that {same}"));
        }
    }
    println!(
        "reach: changes at {} places were tried",
        check.noticed.tried()
    );
    for failure in &failures {
        println!("FAILED {failure}");
    }
    match failures.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
