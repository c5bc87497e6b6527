//! Who may import whom? The table below is the answer; this test holds the code to it.

mod circles;
mod comments;
mod names;
mod scan;
mod shared;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A module of the crate.
struct Module {
    name: &'static str,
    /// The other modules it may use.
    may_use: &'static [&'static str],
}

const ANY: &[&str] = &["*"];

const MODULES: &[Module] = &[
    // Plain data.
    module("chat", &[]),
    module("caller", &[]),
    // Functions of numbers and texts.
    module("calendar", &[]),
    module("hash", &[]),
    module("name", &[]),
    module("terminal", &[]),
    module("certificate", &["hash"]),
    module("features", &["chat"]),
    module("error", &["chat", "features"]),
    module("spread", &[]),
    module("money", &["chat", "error", "hash", "spread"]),
    module("trail", &["chat", "error", "features", "money"]),
    module("check", &["chat", "error"]),
    // What is written down of calls.
    module(
        "ledger",
        &[
            "calendar", "chat", "error", "hash", "identity", "locked", "meter", "money", "sync",
            "trail",
        ],
    ),
    // What is counted.
    module("meter", &[]),
    // Who calls. Pure, but for the table in use, which is exchanged.
    module(
        "identity",
        &["caller", "error", "hash", "locked", "meter", "name"],
    ),
    // What administrators change, and the record of it.
    module("audit", &["hash", "meter"]),
    module(
        "store",
        &[
            "audit", "calendar", "chat", "error", "hash", "identity", "limits", "money",
        ],
    ),
    module(
        "admin",
        &[
            "audit", "calendar", "chat", "check", "error", "hash", "identity", "ledger", "limits",
            "locked", "money", "store",
        ],
    ),
    // Names for locks and atomics, and how a lock is taken.
    module("sync", &[]),
    module("locked", &[]),
    module("workshop", &["error"]),
    // Pure: a function of bytes.
    module("wire", &["chat", "error", "features", "money"]),
    // Upstream.
    module("provider", &["wire"]),
    module(
        "transport",
        &[
            "certificate",
            "error",
            "limits",
            "locked",
            "meter",
            "provider",
            "wire",
        ],
    ),
    // Everything else that is asked over HTTP.
    module(
        "outbound",
        &[
            "hash",
            "identity",
            "limits",
            "provider",
            "transport",
            "wire",
        ],
    ),
    // May it be spent?
    module(
        "limits",
        &["error", "hash", "identity", "ledger", "meter", "sync"],
    ),
    // Policy.
    module("health", &["error", "meter", "spread", "sync", "trail"]),
    module(
        "dispatch",
        &[
            "chat",
            "error",
            "features",
            "health",
            "identity",
            "ledger",
            "limits",
            "locked",
            "meter",
            "money",
            "provider",
            "sync",
            "telemetry",
            "trail",
            "transport",
            "wire",
            "workshop",
        ],
    ),
    module(
        "telemetry",
        &[
            "calendar",
            "caller",
            "chat",
            "error",
            "hash",
            "identity",
            "ledger",
            "meter",
            "money",
            "outbound",
            "provider",
            "trail",
            "transport",
        ],
    ),
    module("admission", &["caller", "error", "meter", "sync"]),
    module("idempotency", &["caller", "locked"]),
    // Downstream.
    module(
        "serving",
        &[
            "admission",
            "caller",
            "certificate",
            "chat",
            "check",
            "dispatch",
            "error",
            "health",
            "idempotency",
            "identity",
            "ledger",
            "limits",
            "locked",
            "telemetry",
            "trail",
            "workshop",
        ],
    ),
    module(
        "grpc",
        &[
            "admin",
            "admission",
            "audit",
            "calendar",
            "caller",
            "certificate",
            "chat",
            "check",
            "dispatch",
            "error",
            "features",
            "hash",
            "idempotency",
            "identity",
            "ledger",
            "limits",
            "meter",
            "money",
            "serving",
            "store",
            "telemetry",
            "trail",
        ],
    ),
    // Two more doors: they stand on the first, whose contract they speak in other spellings.
    module("grpc_web", &["error", "grpc"]),
    module(
        "json",
        &[
            "admission",
            "calendar",
            "caller",
            "error",
            "grpc",
            "identity",
            "serving",
        ],
    ),
    // The doors stand in it.
    module(
        "server",
        &[
            "admin",
            "admission",
            "caller",
            "certificate",
            "dispatch",
            "error",
            "grpc",
            "grpc_web",
            "hash",
            "idempotency",
            "identity",
            "json",
            "limits",
            "meter",
            "serving",
            "telemetry",
        ],
    ),
    // What makes one of all of them. Nothing but `main`, `lib` and `demo` may use these.
    module(
        "config",
        &[
            "admission",
            "calendar",
            "certificate",
            "chat",
            "dispatch",
            "error",
            "features",
            "grpc",
            "health",
            "idempotency",
            "identity",
            "json",
            "ledger",
            "limits",
            "money",
            "name",
            "outbound",
            "provider",
            "server",
            "simulator",
            "telemetry",
            "terminal",
            "transport",
            "wire",
        ],
    ),
    // Spells the wire formats by itself: a mistake of `wire` must not meet its twin here.
    module("simulator", &[]),
    module("serve", ANY),
    module("demo", ANY),
    module("command", ANY),
    module("lib", ANY),
    module("main", ANY),
];

/// Crates and functions that only some modules may name.
struct Home {
    of: &'static [&'static str],
    modules: &'static [&'static str],
}

const HOMES: &[Home] = &[
    Home {
        // Towards providers and towards callers.
        of: &["rustls", "tokio_rustls"],
        modules: &["server", "transport"],
    },
    Home {
        of: &["x509_cert"],
        modules: &["certificate", "server"],
    },
    Home {
        of: &["rustls_platform_verifier"],
        modules: &["transport"],
    },
    Home {
        of: &[
            "tonic",
            "tonic_health",
            "tonic_prost",
            "tonic_reflection",
            "tonic_types",
        ],
        // The demonstration is a caller, and callers speak gRPC.
        // So are the commands that call a running service.
        modules: &["command", "demo", "grpc"],
    },
    Home {
        // JSON is written from a message's encoding by its descriptors, and spans for a collector as they go over the
        // wire; no door but gRPC knows the generated code.
        of: &["prost", "prost_types"],
        modules: &["command", "demo", "grpc", "json", "telemetry"],
    },
    Home {
        // Not on the way of a call.
        of: &["reqwest"],
        modules: &["outbound"],
    },
    Home {
        of: &["ring"],
        modules: &[
            "admin",
            "hash",
            "identity",
            "outbound",
            "server",
            "transport",
        ],
    },
    Home {
        // The only database.
        of: &["rusqlite"],
        modules: &["ledger", "store"],
    },
    Home {
        // Schemas in requests are JSON.
        of: &["serde", "serde_json"],
        modules: &[
            // What is written down of changes is JSON.
            "admin",
            "audit",
            "command",
            "config",
            "grpc",
            "json",
            // Tokens and sets of keys are JSON.
            "identity",
            // Labels are interned as JSON objects, which SQLite reads.
            "ledger",
            // So are the windows in which something was set aside.
            "limits",
            "outbound",
            "simulator",
            "store",
            "telemetry",
            "wire",
        ],
    },
    Home {
        of: &["secrecy"],
        modules: &[
            "admin",
            "command",
            "config",
            "grpc",
            "identity",
            "outbound",
            "provider",
            "serve",
            "transport",
        ],
    },
    Home {
        // A door asks `serving`, which leads calls and shows the state of the dispatcher.
        of: &["dispatcher::Dispatcher"],
        modules: &["demo", "dispatch", "serve", "server", "serving"],
    },
    Home {
        of: &["clap"],
        modules: &["command"],
    },
    Home {
        of: &["tokio", "tokio_stream", "tokio_util"],
        modules: &[
            "admission",
            "command",
            "config",
            "demo",
            "dispatch",
            "grpc",
            "grpc_web",
            "health",
            "idempotency",
            // Its channels alone, which tell who waits for keys.
            "identity",
            "json",
            // Who waits for a row waits as a task.
            "ledger",
            "lib",
            "limits",
            "outbound",
            "serve",
            "server",
            "serving",
            "simulator",
            "sync",
            "telemetry",
            "transport",
            "workshop",
        ],
    },
    Home {
        of: &["Instant::now", "SystemTime::now"],
        modules: &[
            "admission",
            "command",
            "config",
            "demo",
            "dispatch",
            "grpc",
            "grpc_web",
            "health",
            "idempotency",
            // In its tests alone: time is passed in.
            "identity",
            "json",
            // Its threads.
            "ledger",
            "lib",
            // In its tests alone: time is passed in.
            "limits",
            "outbound",
            "serve",
            "server",
            "serving",
            "simulator",
            "telemetry",
            "transport",
        ],
    },
];

const fn module(name: &'static str, may_use: &'static [&'static str]) -> Module {
    Module { name, may_use }
}

#[test]
fn modules_use_only_what_they_may() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut broken = Vec::new();
    let files = rust_files(&source);
    assert!(files.iter().any(|file| file.ends_with("chat.rs")));

    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source file can be read");
        let relative = file.strip_prefix(&source).expect("it lies in src");
        broken.extend(broken_rules(relative, &text));
    }

    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn no_two_files_import_each_other_in_a_circle() {
    let files = circles::Files::read(&texts_without_tests());

    let circles = files.circles();

    assert!(circles.is_empty(), "{circles:#?}");
}

/// Names that more than one type may have, and why.
const SHARED_NAMES: &[(&[&str], &str)] = &[
    (
        &["Settings", "SetupError"],
        "each module has its own, which is named with the module",
    ),
    (
        &[
            "Block",
            "Content",
            "ExtraContent",
            "FunctionCall",
            "GoogleContent",
            "Part",
            "ReasoningDetail",
        ],
        "an object of a provider's API has its name there: as we write it, and as we read it",
    ),
];

#[test]
fn a_type_has_a_name_of_its_own() {
    let texts = texts_without_tests();

    let mut twice = names::declared_twice(texts.iter().map(|(_, file, text)| (&**file, &**text)));
    for name in SHARED_NAMES.iter().flat_map(|(names, _)| *names) {
        assert!(
            twice.remove(*name).is_some(),
            "{name} means one thing by now"
        );
    }

    assert!(twice.is_empty(), "{twice:#?}");
}

#[test]
fn comments_name_types_between_back_quotes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files: Vec<_> = ["src", "tests", "benches"]
        .iter()
        .flat_map(|directory| rust_files(&root.join(directory)))
        .map(|file| {
            let text = std::fs::read_to_string(&file).expect("a source file can be read");
            let relative = file.strip_prefix(root).expect("it lies below the root");
            (relative.display().to_string(), text)
        })
        .collect();

    let unquoted = comments::unquoted_types(files.iter().map(|(file, text)| (&**file, &**text)));

    assert!(unquoted.is_empty(), "{unquoted:#?}");
}

#[test]
fn every_file_that_the_page_on_the_life_of_a_call_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/life-of-a-call.md")).unwrap();

    let quoted = page.split('`').skip(1).step_by(2);
    let named: Vec<_> = quoted.filter(|text| text.starts_with("src/")).collect();
    let absent = named.iter().filter(|file| !root.join(file).exists());

    assert!(named.len() > 10, "{named:?}");
    assert_eq!(
        absent.collect::<Vec<_>>(),
        [""; 0].iter().collect::<Vec<_>>()
    );
}

/// The files that a call passes by the headings of the page on its life, and their lines without tests.
fn stops(page: &str, left_out: &[&str]) -> (usize, usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let headings = page.lines().filter_map(|line| line.strip_prefix("### `"));
    let passed = headings.filter(|heading| !left_out.iter().any(|kind| heading.ends_with(kind)));
    let lines = passed.map(|heading| {
        let (file, _) = heading.split_once('`').expect("a file is quoted");
        let text = std::fs::read_to_string(root.join(file)).expect("the file is there");
        let code = text.lines().take_while(|line| *line != "#[cfg(test)]");
        code.count()
    });
    lines.fold((0, 0), |(files, sum), lines| (files + 1, sum + lines))
}

#[test]
fn the_page_on_the_life_of_a_call_says_how_much_there_is_to_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/life-of-a-call.md")).unwrap();
    for (call, left_out) in [
        ("unary", ["(streamed)", "(JSON)"]),
        ("streamed", ["(unary)", "(JSON)"]),
    ] {
        let (files, lines) = stops(&page, &left_out);
        println!("a {call} call: {lines} lines in {files} files");

        let row = format!("| {call} | {files} | ");
        let said = page.lines().find_map(|line| line.strip_prefix(&row));
        let said = said.unwrap_or_else(|| panic!("no row begins with `{row}`"));
        let said: usize = said
            .trim_end_matches(" |")
            .replace(',', "")
            .parse()
            .unwrap();
        let differs_by = said.abs_diff(lines);
        assert!(
            differs_by <= lines / 10,
            "{call}: {said} are said, {lines} there"
        );
    }
}

/// The files of `src` that are not for tests alone: the path of the module, the name, the text.
fn texts_without_tests() -> Vec<(Vec<String>, String, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut texts = Vec::new();
    for file in rust_files(&source) {
        let relative = file.strip_prefix(&source).expect("it lies in src");
        let path = module_path(relative);
        let is_of_tests = |name: &String| name == "tests" || name == "specimens";
        if path.iter().any(is_of_tests) {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("a source file can be read");
        texts.push((path, relative.display().to_string(), text));
    }
    texts
}

#[test]
fn planted_violations_are_found() {
    let planted = [
        ("chat.rs", "use crate::wire::Frame;", "wire"),
        ("chat.rs", "use serde::Deserialize;", "serde"),
        ("error/mod.rs", "fn f(_: tonic::Status) {}", "tonic"),
        ("wire/sse.rs", "use crate::{chat::Part, config};", "config"),
        ("wire/sse.rs", "use super::super::config::File;", "config"),
        (
            "wire/mod.rs",
            "use super::{chat, transport::Client};",
            "transport",
        ),
        (
            "wire/x/y.rs",
            "mod tests { use super::super::super::super::grpc; }",
            "grpc",
        ),
        (
            "wire/x.rs",
            "fn f() { let _ = SystemTime::now(); }",
            "SystemTime::now",
        ),
        ("wire/x.rs", "fn f() { ::tokio::spawn(async {}); }", "tokio"),
        ("wire/x.rs", "#[tokio::test] async fn f() {}", "tokio"),
        ("wire/x.rs", "use tokio as runtime;", "tokio"),
        ("wire/x.rs", "use {http, tokio::spawn};", "tokio"),
        ("wire/x.rs", "use crate::*;", "*"),
        (
            "dispatch/plan.rs",
            "pub(crate) use crate::grpc::Service;",
            "grpc",
        ),
        (
            "dispatch/plan.rs",
            "type T = Vec<tokio_rustls::TlsConnector>;",
            "tokio_rustls",
        ),
        ("grpc/mod.rs", "type T = <crate::wire::X as Y>::Z;", "wire"),
        ("serving/calls.rs", "fn f(_: tonic::Status) {}", "tonic"),
        ("serving/repeats.rs", "use prost::Message as _;", "prost"),
        ("serving/stream.rs", "use crate::grpc::v1;", "grpc"),
        ("grpc/mod.rs", "use crate::server::Settings;", "server"),
        (
            "grpc/operations.rs",
            "use crate::dispatch::dispatcher::Dispatcher;",
            "dispatcher::Dispatcher",
        ),
        (
            "grpc/breakers.rs",
            "use crate::health::breaker::Snapshot;",
            "health",
        ),
        ("serving/control/watch.rs", "use tonic::Status;", "tonic"),
        ("gadget.rs", "", "no row"),
    ];
    for (file, text, named) in planted {
        let broken = broken_rules(Path::new(file), text);

        assert_eq!(broken.len(), 1, "{file}: {text}: {broken:?}");
        assert!(broken[0].contains(named), "{file}: {text}: {broken:?}");
    }
}

#[test]
fn what_is_allowed_or_only_mentioned_passes() {
    let harmless = [
        (
            "wire/x.rs",
            "use crate::chat::Part; use super::Frame; use serde::Deserialize;",
        ),
        (
            "wire/x/y.rs",
            "mod tests { use super::*; use super::super::z; }",
        ),
        (
            "chat.rs",
            "// crate::wire\n/* tokio::x /* */ serde::y */ fn f() {}",
        ),
        (
            "chat.rs",
            "/// See [`crate::wire`].\nfn f<'a>() { let _ = ('\\'', \"crate::wire \\\" serde::x\"); }",
        ),
        (
            "chat.rs",
            "const A: &str = r#\"use \"crate::wire\"\"#; const B: &[u8] = br\"serde::x\";",
        ),
        (
            "chat.rs",
            "use crate::chat::Part; pub(in crate::chat) fn f(x: foo::serde::X) {}",
        ),
        (
            "main.rs",
            "use modelway::config; fn main() { modelway::grpc::serve() }",
        ),
    ];
    for (file, text) in harmless {
        assert_eq!(broken_rules(Path::new(file), text), [""; 0], "{text}");
    }
}

/// A line for every rule that the text of a file breaks.
fn broken_rules(file: &Path, text: &str) -> Vec<String> {
    let path = module_path(file);
    let name = path.first().map_or_else(|| stem(file), String::clone);
    let Some(module) = MODULES.iter().find(|module| module.name == name) else {
        return vec![format!(
            "{}: `{name}` has no row in the table",
            file.display()
        )];
    };
    let used = scan::uses(text, &path);
    let mut broken = BTreeSet::new();
    for other in &used.modules {
        let allowed =
            module.may_use == ANY || *other == name || module.may_use.contains(&other.as_str());
        if !allowed {
            broken.insert(format!(
                "{}: `{name}` may not use `{other}`",
                file.display()
            ));
        }
    }
    for home in HOMES {
        for foreign in home.of {
            let named = used.foreign.contains(*foreign) || used.pairs.contains(*foreign);
            if named && !home.modules.contains(&module.name) {
                broken.insert(format!(
                    "{}: `{name}` may not name `{foreign}`",
                    file.display()
                ));
            }
        }
    }
    broken.into_iter().collect()
}

/// The path of the module that a file of `src` holds; empty for the roots.
fn module_path(file: &Path) -> Vec<String> {
    let mut path: Vec<String> = file
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if path.last().is_some_and(|last| last == "mod") || path == ["lib"] || path == ["main"] {
        path.pop();
    }
    path
}

fn stem(file: &Path) -> String {
    file.with_extension("").to_string_lossy().into_owned()
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a folder can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn nothing_is_sent_but_by_attempts_for_which_something_was_set_aside() {
    let mut sends = Vec::new();
    let mut reserves = Vec::new();
    for (_, file, text) in texts_without_tests() {
        for line in text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("//"))
        {
            if line.contains("transport.send(") {
                sends.push(file.clone());
            }
            if line.contains(".reserve(&") {
                reserves.push(file.clone());
            }
        }
    }
    reserves.retain(|file| !file.starts_with("limits/"));
    reserves.dedup();

    // `check --live` asks a target outside of any call.
    assert_eq!(sends, ["command/live/ask.rs", "dispatch/attempt/mod.rs"]);
    assert_eq!(reserves, ["command/live/ask.rs", "dispatch/spending.rs"]);
}

#[test]
fn costs_are_made_in_one_place() {
    let mut settled = Vec::new();
    let mut made = Vec::new();
    for (_, file, text) in texts_without_tests() {
        for line in text.lines().map(str::trim) {
            if line.contains("money::settle(") {
                settled.push(file.clone());
            }
            // The fields of a cost are private to its file; these functions are private to the module.
            let makes = [
                "Cost::by_prices(",
                "Cost::by_ceiling(",
                "Cost::told(",
                "Cost::specimen(",
            ];
            if makes.iter().any(|make| line.contains(make)) && !line.starts_with("//") {
                made.push(file.clone());
            }
        }
    }

    // `check --live` asks a target outside of any call.
    assert_eq!(settled, ["command/live/ask.rs", "dispatch/attempt/mod.rs"]);
    made.retain(|file| !file.starts_with("money/"));
    assert!(made.is_empty(), "{made:?}");
}
