//! Says recorded requests of real clients in the contract, encodes them for their provider, and compares what would be
//! sent with what was recorded.
//!
//! Recordings are found by `MODELWAY_EXCHANGES`, else beside the crate; where they are absent there is nothing to do.
//! An argument limits the run to paths that hold it, and shows both bodies where they differ.

mod answered;
mod anthropic;
mod chat;
mod compare;
mod fields;
mod gemini;
mod host;
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
use modelway::wire::Recipient;
use modelway::wire::options::{AllowedOptions, with_options};
use serde_json::Value;

use crate::fields::Said;
use crate::host::PROVIDER;
use crate::recorded::{Family, Recorded};
use crate::report::{Outcome, Report};
use crate::same::Needed;

/// How much of a family must be sayable, in per mille.
const GOAL: usize = 970;

/// How much of a family can be said at least, in per mille.
fn floor(family: Family) -> usize {
    match family {
        Family::OpenAiChat | Family::OpenAiResponses | Family::Gemini => GOAL,
        // Earlier answers lose what the provider's own tools did.
        Family::Anthropic => 950,
    }
}

/// What became of a recorded request.
fn outcome(recorded: &Recorded, shows: bool, needed: &mut Needed) -> Outcome {
    match sent(recorded) {
        Ok(mut sent) => {
            let mut said = recorded.body.clone();
            same::normalise(recorded.family, &mut said, &mut sent, needed);
            let differences = compare::differences(&said, &sent);
            if shows && !differences.is_empty() {
                println!("{}\n  recorded: {said}\n  sent: {sent}", recorded.name);
            }
            match differences.is_empty() {
                true => Outcome::Said,
                false => Outcome::Unsaid(differences.into_iter().collect()),
            }
        }
        Err(_) if recorded.is_refused => Outcome::Refused,
        Err(reason) => Outcome::Unsaid(vec![reason]),
    }
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

fn exchanges() -> Result<PathBuf, ExitCode> {
    let named = std::env::var_os("MODELWAY_EXCHANGES").map(PathBuf::from);
    let explicit = named.is_some();
    let directory = named
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/wire/exchanges"));
    if directory.join("index.json").is_file() {
        return Ok(directory);
    }
    println!("reach: skipped: no recordings in {}", directory.display());
    Err(if explicit {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn main() -> ExitCode {
    let directory = match exchanges() {
        Ok(directory) => directory,
        Err(code) => return code,
    };
    // Options are meant for the usual test harness, which shares its command line with this one.
    let filters: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|part| name.contains(part));

    let shows = !filters.is_empty();
    let mut report = Report::default();
    for recorded in recorded::requests(&directory) {
        if !wanted(&recorded.name) {
            continue;
        }
        let needed = &mut report.needed;
        let outcome = catch_unwind(AssertUnwindSafe(|| outcome(&recorded, shows, needed)));
        let outcome = outcome.unwrap_or_else(|_| Outcome::Unsaid(vec!["it panics".to_owned()]));
        report.add(recorded.family, &recorded.name, outcome);
    }
    report.print();
    let mut code = ExitCode::SUCCESS;
    for family in report.below(floor) {
        println!("FAILED {}: less can be said than before", family.name());
        // A part of the recordings may be any.
        if !shows {
            code = ExitCode::FAILURE;
        }
    }
    if !shows {
        for (family, same) in report.needless() {
            println!("{family}: no recording needs that {same}");
        }
    }
    code
}
