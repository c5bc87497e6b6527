//! Reads recorded answers of real providers and compares what we make of them with what they mean.
//!
//! Recordings are found by `MODELWAY_EXCHANGES`, else beside the crate; where they are absent there
//! is nothing to do. An argument limits the run to paths that hold it.

mod exchange;
mod laws;
mod outcome;
mod reported;
mod variations;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use modelway::wire::WireFormat;
use modelway::wire::anthropic::Anthropic;
use modelway::wire::gemini::Gemini;
use modelway::wire::openai_chat::OpenAiChat;
use modelway::wire::openai_responses::OpenAiResponses;

/// More of them say nothing new about a recording.
const MAX_COMPLAINTS: usize = 4;

/// How the check of one recording ended.
enum Check {
    Passed,
    /// With one line for each thing that is wrong.
    Failed(Vec<String>),
    /// With the reason.
    Skipped(&'static str),
}

impl Check {
    fn of(complaints: Vec<String>) -> Self {
        if complaints.is_empty() {
            Self::Passed
        } else {
            Self::Failed(complaints)
        }
    }
}

#[derive(Default)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
}

#[derive(Default)]
struct Report {
    by_api: BTreeMap<String, Count>,
    total: Count,
    skipped_because: BTreeMap<&'static str, usize>,
}

impl Report {
    fn add(&mut self, name: &str, api: &str, check: impl FnOnce() -> Check) {
        let check = catch_unwind(AssertUnwindSafe(check))
            .unwrap_or_else(|_| Check::Failed(vec!["it panics".into()]));
        let of_api = self.by_api.entry(api.to_owned()).or_default();
        match check {
            Check::Passed => {
                of_api.passed += 1;
                self.total.passed += 1;
            }
            Check::Skipped(reason) => {
                of_api.skipped += 1;
                self.total.skipped += 1;
                *self.skipped_because.entry(reason).or_default() += 1;
            }
            Check::Failed(complaints) => {
                of_api.failed += 1;
                self.total.failed += 1;
                println!("FAILED {name}");
                for complaint in complaints.iter().take(MAX_COMPLAINTS) {
                    println!("    {complaint}");
                }
            }
        }
    }

    fn print(&self) {
        for (reason, number) in &self.skipped_because {
            println!("{number} skipped: {reason}");
        }
        for (
            api,
            Count {
                passed,
                failed,
                skipped,
            },
        ) in &self.by_api
        {
            println!("{api}: {passed} passed, {failed} failed, {skipped} skipped");
        }
        let Count {
            passed,
            failed,
            skipped,
        } = self.total;
        println!("replay: {passed} passed, {failed} failed, {skipped} skipped");
    }
}

/// The wire format that reads answers of `api`; `None` for an API that we do not speak.
fn wire_format(api: &str) -> Option<Box<dyn WireFormat>> {
    match api {
        "anthropic.messages" => Some(Box::new(Anthropic::default())),
        "gemini.generateContent" | "gemini.streamGenerateContent" => {
            Some(Box::new(Gemini::default()))
        }
        "openai.chat" => Some(Box::new(OpenAiChat::default())),
        "openai.responses" => Some(Box::new(OpenAiResponses::default())),
        _ => None,
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
    println!("replay: skipped: no recordings in {}", directory.display());
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

    let mut report = Report::default();
    for name in exchange::names(&directory) {
        if wanted(&name) {
            let recorded = exchange::Exchange::read(&directory, &name);
            report.add(&name, &recorded.api, || recorded.check());
        }
    }
    for (name, reported) in reported::read(&directory.join("../reported-errors.json")) {
        if wanted(&name) {
            report.add(&name, "reported errors", || reported.check());
        }
    }
    report.print();
    if report.total.failed > 0 {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
